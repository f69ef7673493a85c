"""Tokenizers from the metadata of GGUF: SentencePiece's BPE, byte-pair merges, WordPiece, Unigram and RWKV's."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from ..errors import FormatError
from .greedy import Greedy
from .pretokenizers import PRE, Pre
from .tokenizer import Tokenizer, library

__all__ = ["from_metadata"]

_UNKNOWN, _CONTROL, _USER, _BYTE = 2, 3, 4, 6
_SPACE = "\u2581"


class _Vocabulary:
    """The tokens, scores and types of a file's metadata."""

    def __init__(self, metadata: Mapping[str, Any], where: str) -> None:
        self.metadata, self.where = metadata, where
        tokens = self.get("tokens")
        if tokens is None or isinstance(tokens, (str, bytes)) or not hasattr(tokens, "__len__"):
            raise FormatError(f"{where} has no tokenizer.ggml.tokens, so there is no tokenizer in it")
        self.tokens: list[str] = [str(t) for t in tokens]
        self.types = self._numbers("token_type", 1)
        self.scores = self._numbers("scores", 0.0)

    def _numbers(self, key: str, default: Any) -> list[Any]:
        found = self.get(key)
        if found is None:
            return [default] * len(self.tokens)
        numbers: list[Any] = found.tolist() if hasattr(found, "tolist") else list(found)
        if len(numbers) != len(self.tokens):
            raise FormatError(f"{self.where} has {len(self.tokens)} tokens but {len(numbers)} numbers in tokenizer.ggml.{key}")
        return numbers

    def get(self, key: str, default: Any = None) -> Any:
        return self.metadata.get(f"tokenizer.ggml.{key}", default)

    def id(self, *keys: str) -> int | None:
        for key in keys:
            found = self.get(f"{key}_token_id")
            if isinstance(found, int) and 0 <= found < len(self.tokens):
                return found
        return None

    def flag(self, key: str, default: bool) -> bool:
        found = self.get(key)
        return default if found is None else bool(found)

    def unique(self) -> dict[str, int]:
        """Tokens to ids; of those that are there twice, the first."""
        found: dict[str, int] = {}
        for i, token in enumerate(self.tokens):
            found.setdefault(token, i)
        return found


def from_metadata(metadata: Mapping[str, Any], where: str) -> Tokenizer:
    """The tokenizer that a file's metadata describes; raises FormatError where it has none or one of an unknown kind."""
    v = _Vocabulary(metadata, where)
    kind = v.get("model")
    kinds = {"llama": _spm, "gpt2": _bpe, "bert": _wpm, "t5": _unigram, "gemma4": _bpe, "rwkv": _rwkv}
    build = kinds.get(str(kind))
    if build is None:
        raise FormatError(f"{where} has a tokenizer of the kind {kind!r}; those known are {', '.join(kinds)}")
    backend, before, after = build(v)
    if kind != "rwkv":
        _add(backend, v)
    special = {
        "bos": v.id("bos", "cls"), "eos": v.id("eos"), "unk": v.id("unknown"), "sep": v.id("separator", "seperator"),
        "pad": v.id("padding"), "cls": v.id("cls"), "mask": v.id("mask"), "eot": v.id("eot"), "eom": v.id("eom"),
    }  # fmt: skip
    if kind == "bert":
        special["bos"], special["sep"] = v.id("bos", "cls"), v.id("separator", "seperator", "eos")
    prefix = [special["bos"]] if v.flag("add_bos_token", before) and special["bos"] is not None else []
    ending = special["sep"] if kind == "bert" or after == "sep" else special["eos"]
    suffix = [ending] if v.flag("add_eos_token", bool(after)) and ending is not None else []
    templates = {"default": str(metadata["tokenizer.chat_template"])} if "tokenizer.chat_template" in metadata else {}
    head = "tokenizer.chat_template."
    templates.update({k.removeprefix(head): str(t) for k, t in metadata.items() if k.startswith(head)})
    return Tokenizer(backend, special, [i for i in prefix if i is not None], [i for i in suffix if i is not None], templates)


def _add(backend: Any, v: _Vocabulary) -> None:
    """Tokens that are met in text as a whole: control tokens, which can be switched off, and those of users."""
    from tokenizers import AddedToken

    control, user = [], []
    for token, kind in zip(v.tokens, v.types):
        if kind == _CONTROL or kind == _UNKNOWN:
            control.append(AddedToken(token, special=True, normalized=False))
        elif kind == _USER:
            user.append(AddedToken(token, special=False, normalized=False))
    if user:
        backend.add_tokens(user)
    if control:
        backend.add_special_tokens(control)


# -- SentencePiece's BPE ---------------------------------------------------------------------------


def merges_of(vocabulary: Mapping[str, int], scores: Sequence[float], skip: Any = ()) -> list[tuple[str, str]]:
    """The merges that join the pieces of the highest score first, as SentencePiece's BPE does."""
    found = []
    for piece, i in vocabulary.items():
        if len(piece) < 2 or i in skip:
            continue
        parts = []
        for cut in range(1, len(piece)):
            left, right = vocabulary.get(piece[:cut]), vocabulary.get(piece[cut:])
            if left is not None and right is not None:
                parts.append((left, right, piece[:cut], piece[cut:]))
        parts.sort()
        found += [(-scores[i], i, a, b) for _, _, a, b in parts]
    found.sort(key=lambda m: m[:2])
    return [(a, b) for _, _, a, b in found]


def spaced(prefix: bool, collapse: bool = False, charsmap: bytes | None = None) -> tuple[Any, Any]:
    """Normalizer and decoder of text whose spaces are underscores, with one before the text if wanted."""
    from tokenizers import Regex, decoders, normalizers

    steps: list[Any] = [normalizers.Precompiled(charsmap)] if charsmap else []
    if collapse:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    if prefix:
        steps.append(normalizers.Prepend(_SPACE))
    steps.append(normalizers.Replace(" ", _SPACE))
    back: list[Any] = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if prefix:
        back.append(decoders.Strip(" ", 1, 0))
    return normalizers.Sequence(steps), decoders.Sequence(back)


def _spm(v: _Vocabulary) -> tuple[Any, bool, bool]:
    lib = library()
    vocabulary = v.unique()
    special = {i for i, kind in enumerate(v.types) if kind in (_UNKNOWN, _CONTROL, _USER, _BYTE)}
    return spm(lib, vocabulary, v.scores, special, v.id("unknown"), v.tokens, v.flag("add_space_prefix", True)), True, False


def spm(
    lib: Any, vocabulary: Any, scores: Any, special: set[int], unknown: int | None, tokens: Sequence[str], prefix: bool
) -> Any:
    """A tokenizer of SentencePiece's BPE with bytes for what it has no piece of."""
    backend = lib.Tokenizer(lib.models.BPE(
        vocab=vocabulary, merges=merges_of(vocabulary, scores, special), fuse_unk=True, byte_fallback="<0x00>" in vocabulary,
        unk_token=None if unknown is None else tokens[unknown],
    ))  # fmt: skip
    backend.normalizer, backend.decoder = spaced(prefix)
    return backend


# -- byte-pair merges ------------------------------------------------------------------------------


def _bpe(v: _Vocabulary) -> tuple[Any, bool, Any]:
    lib = library()
    name = str(v.get("pre", "gemma4" if v.get("model") == "gemma4" else "default"))
    pre: Pre | None = PRE.get(name)
    if pre is None:
        raise FormatError(f"{v.where} splits text by {name!r}, which is unknown; those known are {', '.join(sorted(PRE))}")
    vocabulary = v.unique()
    given = v.get("merges")
    if given is None:
        raise FormatError(f"{v.where} has a tokenizer of byte-pair merges but no tokenizer.ggml.merges")
    merges = [tuple(text.split(" ")) for text in given]
    wrong = next((m for m in merges if len(m) != 2 or not m[0] or not m[1]), None)
    if wrong is not None:
        raise FormatError(f"{v.where} has the merge {' '.join(wrong)!r:.60}; a merge is two tokens with a space between")
    unknown = v.id("unknown")
    options = {
        "fuse_unk": False, "ignore_merges": pre.ignore_merges, "byte_fallback": not pre.byte_level,
        "unk_token": None if unknown is None or pre.byte_level else v.tokens[unknown],
    }  # fmt: skip
    try:
        model = lib.models.BPE(vocab=vocabulary, merges=merges, **options)
    except Exception:  # a merge whose parts or result are no tokens can never come about
        merges = [(a, b) for a, b in merges if a in vocabulary and b in vocabulary and a + b in vocabulary]
        model = lib.models.BPE(vocab=vocabulary, merges=merges, **options)
    backend = lib.Tokenizer(model)
    split = [lib.pre_tokenizers.Split(lib.Regex(p), "isolated") for p in pre.patterns]
    if pre.byte_level:
        split.append(lib.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
        backend.decoder = lib.decoders.ByteLevel()
    elif pre.spaces_as_underscores:
        backend.normalizer, backend.decoder = spaced(v.flag("add_space_prefix", False))
    backend.pre_tokenizer = lib.pre_tokenizers.Sequence(split)
    return backend, pre.add_bos, "sep" if pre.add_sep else False


# -- WordPiece -------------------------------------------------------------------------------------


def _wpm(v: _Vocabulary) -> tuple[Any, bool, bool]:
    """GGUF marks the pieces that begin a word, where BERT's own vocabulary marks those that go on in it."""
    lib = library()
    vocabulary: dict[str, int] = {}
    for i, (token, kind) in enumerate(zip(v.tokens, v.types)):
        if token.startswith(_SPACE):
            v.tokens[i] = token[1:]
        elif kind not in (_CONTROL, _UNKNOWN, _USER) and not (token.startswith("[") and token.endswith("]") and len(token) > 2):
            v.tokens[i] = "##" + token
        vocabulary.setdefault(v.tokens[i], i)
    unknown = v.id("unknown")
    backend = lib.Tokenizer(lib.models.WordPiece(
        vocab=vocabulary, unk_token="[UNK]" if unknown is None else v.tokens[unknown], max_input_chars_per_word=1 << 30,
    ))  # fmt: skip
    lower = v.flag("normalizer.lowercase", True)
    backend.normalizer = lib.normalizers.BertNormalizer(lowercase=lower, strip_accents=lower)
    backend.pre_tokenizer = lib.pre_tokenizers.BertPreTokenizer()
    backend.decoder = lib.decoders.WordPiece()
    return backend, True, True


# -- RWKV ------------------------------------------------------------------------------------------


def _rwkv(v: _Vocabulary) -> tuple[Any, bool, bool]:
    """Tokens are bytes, written as Python writes them."""
    tokens = []
    for i, text in enumerate(v.tokens):
        try:
            tokens.append(text.encode("ascii").decode("unicode_escape").encode("latin-1"))
        except UnicodeError as e:
            raise FormatError(f"{v.where}: token {i} is {text!r:.40}, which is no bytes as Python writes them: {e}") from None
    special = {v.tokens[i]: i for i, kind in enumerate(v.types) if kind in (_CONTROL, _UNKNOWN)}
    return Greedy(tokens, special), False, False


# -- Unigram ---------------------------------------------------------------------------------------


def _unigram(v: _Vocabulary) -> tuple[Any, bool, bool]:
    charsmap = v.get("precompiled_charsmap")
    raw = bytes(charsmap.astype("u1").tobytes()) if hasattr(charsmap, "astype") else None
    pieces = list(zip(v.tokens, v.scores))
    prefix, collapse = v.flag("add_space_prefix", True), v.flag("remove_extra_whitespaces", False)
    return unigram(library(), pieces, v.id("unknown"), prefix, collapse, raw, _BYTE in v.types), False, True


def unigram(
    lib: Any, pieces: Any, unknown: int | None, prefix: bool, collapse: bool, charsmap: bytes | None, byte_fallback: bool
) -> Any:
    """A tokenizer that finds the likeliest pieces."""
    backend = lib.Tokenizer(lib.models.Unigram(pieces, unk_id=unknown, byte_fallback=byte_fallback))
    backend.normalizer, _ = spaced(False, collapse, charsmap)
    backend.pre_tokenizer = lib.pre_tokenizers.Metaspace(_SPACE, prepend_scheme="always" if prefix else "never")
    backend.decoder = lib.decoders.Metaspace(_SPACE, prepend_scheme="always" if prefix else "never")
    return backend
