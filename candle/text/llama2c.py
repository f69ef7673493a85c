"""llama2.c's tokenizer.bin: scores and pieces of a SentencePiece BPE, spaces as they are.  https://github.com/karpathy/llama2.c"""

from __future__ import annotations

import struct
from pathlib import Path

from ..errors import FormatError
from .gguf import spm
from .tokenizer import Tokenizer, library

__all__ = ["from_file", "matches"]

_UNKNOWN, _BOS, _EOS = 0, 1, 2
_BYTES = range(3, 259)


def _pieces(raw: bytes) -> list[tuple[float, bytes]] | None:
    """Score and bytes of every piece, or None where the file is no such thing."""
    if len(raw) < 16:
        return None
    (longest,) = struct.unpack_from("<i", raw)
    if not 0 < longest < 1024:
        return None
    found, at = [], 4
    while at < len(raw):
        if at + 8 > len(raw):
            return None
        score, length = struct.unpack_from("<fi", raw, at)
        at += 8
        if not 0 <= length <= longest or at + length > len(raw):
            return None
        found.append((score, raw[at : at + length]))
        at += length
    return found if len(found) >= _BYTES.stop else None


def matches(raw: bytes) -> bool:
    """Whether a file's bytes are such a tokenizer, to their end."""
    return _pieces(raw) is not None


def from_file(path: Path) -> Tokenizer:
    """The tokenizer of a tokenizer.bin; raises FormatError where it is none."""
    pieces = _pieces(path.read_bytes())
    if pieces is None:
        raise FormatError(f"{path} is no tokenizer.bin of llama2.c")
    tokens: list[str] = []
    for i, (_, raw) in enumerate(pieces):
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise FormatError(f"{path}: piece {i} is {raw!r:.60}, which is no UTF-8") from None
        tokens.append(text if i < _BYTES.stop else text.replace(" ", "\u2581"))
    tokens[_UNKNOWN], tokens[_BOS], tokens[_EOS] = "<unk>", "<s>", "</s>"
    vocabulary: dict[str, int] = {}
    for i, token in enumerate(tokens):
        vocabulary.setdefault(token, i)
    lib = library()
    special = {_UNKNOWN, _BOS, _EOS, *_BYTES}
    backend = spm(lib, vocabulary, [s for s, _ in pieces], special, _UNKNOWN, tokens, True)
    backend.add_special_tokens([lib.AddedToken(t, special=True, normalized=False) for t in tokens[:3]])
    return Tokenizer(backend, {"unk": _UNKNOWN, "bos": _BOS, "eos": _EOS}, [_BOS], [])
