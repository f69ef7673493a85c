"""SentencePiece's models (tokenizer.model): the few fields of their protocol buffer that a tokenizer needs.

https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Iterator, Mapping

from ..errors import FormatError
from .gguf import spm, unigram
from .tokenizer import Tokenizer, library, specials_of, templates_of

__all__ = ["from_model"]

_UNIGRAM, _BPE = 1, 2
_UNKNOWN, _CONTROL, _USER, _BYTE = 2, 3, 4, 6


def _fields(path: Path, raw: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a message: numbers, floats as four bytes, strings and messages as bytes."""
    at, end = 0, len(raw)

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            if at >= end or shift > 63:
                raise FormatError(f"{path} is no SentencePiece model: a number goes beyond the end")
            byte = raw[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < end:
        tag = varint()
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            yield number, varint()
            continue
        size = varint() if kind == 2 else {1: 8, 5: 4}.get(kind, -1)
        if size < 0 or size > end - at or number == 0:
            raise FormatError(f"{path} is no SentencePiece model: at {at} there is no field of a protocol buffer that fits")
        yield number, raw[at : at + size]
        at += size


def _message(path: Path, raw: Any) -> dict[int, Any]:
    """The last value of each field of a message."""
    return dict(_fields(path, raw if isinstance(raw, bytes) else b""))


def from_model(path: Path, settings: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of a SentencePiece model, of its BPE or Unigram kind; ``settings`` are those of a tokenizer_config.json.

    Raises FormatError where the file is no such model or of another kind.
    """
    pieces: list[tuple[str, float]] = []
    types: list[int] = []
    trainer: dict[int, Any] = {}
    normalizer: dict[int, Any] = {}
    for number, value in _fields(path, path.read_bytes()):
        if number == 1:
            fields = _message(path, value)
            score = fields.get(2, bytes(4))
            try:
                pieces.append((fields.get(1, b"").decode("utf-8"), struct.unpack("<f", score)[0]))
            except (UnicodeDecodeError, AttributeError, TypeError, struct.error) as e:
                raise FormatError(f"{path}: piece {len(pieces)} is not right: {e}") from None
            types.append(fields.get(3, 1))
        elif number == 2:
            trainer = _message(path, value)
        elif number == 3:
            normalizer = _message(path, value)
    if not pieces:
        raise FormatError(f"{path} is no SentencePiece model: it has no pieces")
    kind = trainer.get(3, _UNIGRAM)
    unknown = next((i for i, t in enumerate(types) if t == _UNKNOWN), None)
    prefix = bool(normalizer.get(3, 1))
    charsmap, collapse = normalizer.get(2) or None, bool(normalizer.get(4, 1))
    lib = library()
    tokens = [p for p, _ in pieces]
    if kind == _BPE:
        special = {i for i, t in enumerate(types) if t in (_UNKNOWN, _CONTROL, _USER, _BYTE)}
        vocabulary: dict[str, int] = {}
        for i, token in enumerate(tokens):
            vocabulary.setdefault(token, i)
        backend = spm(lib, vocabulary, [s for _, s in pieces], special, unknown, tokens, prefix)
    elif kind == _UNIGRAM:
        backend = unigram(lib, pieces, unknown, prefix, collapse, charsmap, _BYTE in types)
    else:
        raise FormatError(f"{path} is a SentencePiece model of kind {kind}; Unigram (1) and BPE (2) are read")
    control = [lib.AddedToken(p, special=True, normalized=False) for p, t in zip(tokens, types) if t in (_CONTROL, _UNKNOWN)]
    user = [lib.AddedToken(p, special=False, normalized=False) for p, t in zip(tokens, types) if t == _USER]
    backend.add_tokens(user)
    backend.add_special_tokens(control)
    names = {"unk": 40, "bos": 41, "eos": 42, "pad": 43}
    ids = {k: trainer.get(n, d) for (k, n), d in zip(names.items(), (0, 1, 2, -1))}
    special_ids: dict[str, int | None] = {k: i for k, i in ids.items() if isinstance(i, int) and 0 <= i < len(tokens)}
    special_ids.update({k: i for k, i in specials_of(settings, backend).items() if i is not None})
    begins, ends = settings.get("add_bos_token", kind == _BPE), settings.get("add_eos_token", kind == _UNIGRAM)
    before = [special_ids["bos"]] if begins and special_ids.get("bos") is not None else []
    after = [special_ids["eos"]] if ends and special_ids.get("eos") is not None else []
    return Tokenizer(
        backend, special_ids, [i for i in before if i is not None], [i for i in after if i is not None], templates_of(settings)
    )
