"""A tokenizer: text to ids and back, with what a model's files say of its special tokens and its chat."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping, Sequence

from ..errors import BackendError, FormatError
from .chat import ChatTemplate

__all__ = ["TextStream", "Tokenizer", "load", "library"]

_BROKEN = "\ufffd"  # what an incomplete character decodes to
_ENDS = (
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<|eom_id|>", "<EOT>", "_<EOT>",
    "<end_of_utterance>", "<|return|>", "<|call|>", "<\uff5cend\u2581of\u2581sentence\uff5c>",
)  # fmt: skip


def library() -> Any:
    """The ``tokenizers`` library; raises BackendError with how to install it."""
    try:
        import tokenizers
    except ImportError:
        raise BackendError("tokenizers are built on the library of that name: pip install 'candle[models]'") from None
    return tokenizers


class Tokenizer:
    """Text to ids and back.  Make one with ``candle.text.load``.

    ``prefix`` and ``suffix`` are the ids that stand before and after a text of its own (a beginning, an end);
    ``ends`` are those after which a model has nothing to add.
    """

    def __init__(
        self,
        backend: Any,
        special: Mapping[str, int | None] | None = None,
        prefix: Sequence[int] | None = None,
        suffix: Sequence[int] | None = None,
        templates: Mapping[str, str] | None = None,
        ends: Iterable[int] = (),
    ) -> None:
        self.backend = backend  # a tokenizers.Tokenizer
        self.special = {k: v for k, v in (special or {}).items() if v is not None}  # "bos", "eos", "unk", "sep", "pad", ...
        self._own = prefix is None and suffix is None  # whether the backend itself adds special tokens
        self.prefix, self.suffix = list(prefix or ()), list(suffix or ())
        self.templates = dict(templates or {})
        self.ends = {*ends, *[self.special[k] for k in ("eos", "eot", "eom") if k in self.special]}
        for text in _ENDS:
            found = backend.token_to_id(text)
            if found is not None:
                self.ends.add(found)
        self._plain: Any = None
        self._lock = threading.Lock()

    # -- what it knows ------------------------------------------------------------------------------

    def __len__(self) -> int:
        return int(self.backend.get_vocab_size(with_added_tokens=True))

    @property
    def vocab_size(self) -> int:
        """How many ids there are, those of added tokens included."""
        return len(self)

    @property
    def bos_id(self) -> int | None:
        return self.special.get("bos")

    @property
    def eos_id(self) -> int | None:
        return self.special.get("eos")

    @property
    def pad_id(self) -> int | None:
        return self.special.get("pad")

    def token_to_id(self, token: str) -> int | None:
        """The id of a token as the vocabulary has it, or None."""
        return self.backend.token_to_id(token)

    def id_to_token(self, i: int) -> str | None:
        """The token of an id, as the vocabulary has it, or None."""
        return self.backend.id_to_token(i)

    # -- text to ids and back -----------------------------------------------------------------------

    def encode(self, text: str, add_special_tokens: bool = True, parse_special: bool = True) -> list[int]:
        """The ids of a text.

        ``add_special_tokens`` puts before and after it what the model expects of a text of its own.  Without
        ``parse_special`` control tokens that are written out in the text, such as ``<|im_end|>``, are text like any other:
        so it is to be with text of strangers.
        """
        found: list[int] = self._reader(parse_special).encode(text, add_special_tokens=add_special_tokens and self._own).ids
        return self._framed(found) if add_special_tokens else found

    def encode_batch(self, texts: Sequence[str], add_special_tokens: bool = True, parse_special: bool = True) -> list[list[int]]:
        """The ids of several texts, by several threads."""
        made = self._reader(parse_special).encode_batch(list(texts), add_special_tokens=add_special_tokens and self._own)
        return [self._framed(e.ids) if add_special_tokens else e.ids for e in made]

    def _framed(self, ids: list[int]) -> list[int]:
        return [*self.prefix, *ids, *self.suffix] if self.prefix or self.suffix else ids

    def _reader(self, parse_special: bool) -> Any:
        if parse_special:
            return self.backend
        with self._lock:
            if self._plain is None:
                if hasattr(self.backend, "plain"):
                    self._plain = self.backend.plain()
                else:
                    plain = type(self.backend).from_str(self.backend.to_str())
                    plain.encode_special_tokens = True
                    self._plain = plain
        return self._plain

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = True) -> str:
        """The text of ids; without special tokens unless they are asked for."""
        return str(self.backend.decode([int(i) for i in ids], skip_special_tokens=skip_special_tokens))

    def stream(self, skip_special_tokens: bool = True) -> TextStream:
        """Takes ids one by one and gives the text that is complete."""
        return TextStream(self, skip_special_tokens)

    # -- chat ---------------------------------------------------------------------------------------

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Any] | None = None,
        add_generation_prompt: bool = True,
        template: str | None = None,
        tokenize: bool = False,
        **variables: Any,
    ) -> Any:
        """A conversation as the model was taught to read it: text, or ids with ``tokenize``.

        ``messages`` are dictionaries of "role" and "content"; ``template`` is the name of one of several, or a template
        itself; ``variables`` are passed on to it.  Raises FormatError where there is none, or where it refuses.
        """
        known = self.templates
        if template is not None and template not in known:
            source = template
        elif template is not None:
            source = known[template]
        elif tools and "tool_use" in known:
            source = known["tool_use"]
        elif "default" in known:
            source = known["default"]
        else:
            names = f"; it has templates called {', '.join(known)}" if known else ""
            raise FormatError(f"the model's files have no chat template: it was not made for conversation{names}; give template=")
        words = {f"{k}_token": self.backend.id_to_token(v) for k, v in self.special.items()}
        text = ChatTemplate(source).render(
            messages=messages, tools=tools, add_generation_prompt=add_generation_prompt, **{**words, **variables}
        )
        return self.encode(text, add_special_tokens=False) if tokenize else text

    def __repr__(self) -> str:
        return f"<tokenizer of {len(self)} tokens, {type(self.backend.model).__name__}>"


class TextStream:
    """Text as its ids come in: never half a character, and together what ``decode`` gives for all of them."""

    def __init__(self, tokenizer: Tokenizer, skip_special_tokens: bool = True) -> None:
        self._tokenizer, self._skip = tokenizer, skip_special_tokens
        self._ids: list[int] = []
        self._shown = 0  # how many of the ids have been given as text
        self._before = ""  # their text

    def _decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, self._skip)

    def put(self, i: int) -> str:
        """Take an id in; the text that is complete with it, often of this token, sometimes none."""
        self._ids.append(int(i))
        text = self._decode(self._ids)
        if text.endswith(_BROKEN) or len(text) <= len(self._before):
            return ""
        new = text[len(self._before) :]
        # what follows is decoded together with what was just given: a space may depend on it
        self._ids = self._ids[self._shown :]
        self._shown, self._before = len(self._ids), self._decode(self._ids)
        return new

    def end(self) -> str:
        """What is left when no more ids come: an incomplete character is given as the replacement sign."""
        text = self._decode(self._ids)
        new = text[len(self._before) :]
        self._ids, self._shown, self._before = [], 0, ""
        return new

    def text(self, ids: Iterable[int]) -> Iterator[str]:
        """The pieces of text of ids that come one by one."""
        for i in ids:
            piece = self.put(i)
            if piece:
                yield piece
        last = self.end()
        if last:
            yield last


# -- files -----------------------------------------------------------------------------------------


def load(path: str | os.PathLike[str] | Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of a folder (tokenizer.json or tokenizer.model), a tokenizer.json, a SentencePiece model, a tokenizer.bin of
    llama2.c, a GGUF file, or GGUF metadata.

    Raises FormatError where there is none or it is not right, BackendError where the library ``tokenizers`` is missing.
    """
    if isinstance(path, Mapping):
        from .gguf import from_metadata

        return from_metadata(path, "the metadata")
    at = Path(path)
    if at.is_dir():
        return _of_folder(at)
    with open(at, "rb") as f:
        head = f.read(64)
    if head.startswith(b"GGUF"):
        from ..formats import load as load_file
        from .gguf import from_metadata

        return from_metadata(load_file(at).metadata, str(at))
    if head.lstrip()[:1] == b"{":
        return _of_json(at, at.parent)
    from . import llama2c
    from .sentencepiece import from_model

    if llama2c.matches(at.read_bytes()):
        return llama2c.from_file(at)
    return from_model(at, _settings(at.parent))


def _of_folder(folder: Path) -> Tokenizer:
    if (folder / "tokenizer.json").is_file():
        return _of_json(folder / "tokenizer.json", folder)
    for name in ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model"):
        if (folder / name).is_file():
            from .sentencepiece import from_model

            return from_model(folder / name, _settings(folder))
    files = sorted(p for p in folder.glob("*.gguf"))
    if len(files) == 1:
        return load(files[0])
    raise FormatError(f"{folder} has no tokenizer.json, no tokenizer.model and no single .gguf file to take a tokenizer from")


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as e:
        raise FormatError(f"{path} is no JSON: {e}") from None
    if not isinstance(found, dict):
        raise FormatError(f"{path} is no JSON object")
    return found


def _settings(folder: Path) -> dict[str, Any]:
    """What tokenizer_config.json, special_tokens_map.json and the files of templates beside a tokenizer say."""
    found = {**_read_json(folder / "special_tokens_map.json"), **_read_json(folder / "tokenizer_config.json")}
    template = folder / "chat_template.jinja"
    if template.is_file():
        found["chat_template"] = template.read_text(encoding="utf-8")
    elif "chat_template" not in found:
        also = _read_json(folder / "chat_template.json").get("chat_template")
        if also is not None:
            found["chat_template"] = also
    generation = _read_json(folder / "generation_config.json").get("eos_token_id")
    if generation is not None:
        found["_ends"] = generation if isinstance(generation, list) else [generation]
    return found


def templates_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """The chat templates of a tokenizer_config.json by name: one, or a list of several."""
    given = settings.get("chat_template")
    if isinstance(given, str):
        return {"default": given}
    if isinstance(given, list):
        return {str(t.get("name", "default")): str(t.get("template", "")) for t in given if isinstance(t, dict)}
    return {}


def specials_of(settings: Mapping[str, Any], backend: Any) -> dict[str, int | None]:
    """The ids of the special tokens that a tokenizer_config.json names."""
    found: dict[str, int | None] = {}
    for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"):
        token = settings.get(f"{name}_token")
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str):
            found[name] = backend.token_to_id(token)
    return found


def _of_json(path: Path, folder: Path) -> Tokenizer:
    try:
        backend = library().Tokenizer.from_file(str(path))
    except Exception as e:  # the library raises its errors as plain Exception
        if isinstance(e, BackendError):
            raise
        raise FormatError(f"{path} is no right tokenizer.json: {e}") from None
    backend.no_padding()
    backend.no_truncation()
    settings = _settings(folder)
    ends = [i for i in settings.get("_ends", []) if isinstance(i, int)]
    return Tokenizer(backend, specials_of(settings, backend), None, None, templates_of(settings), ends)
