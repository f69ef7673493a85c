"""A model with its tokenizer: text in, text out as it is written."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from ..errors import CandleError
from .decoding import Prefix, stream

__all__ = ["Count", "Writer", "chat", "load"]


@dataclass
class Count:
    """What a text took: tokens read and written, seconds to the first token and for the others, and why it ended.

    ``end`` is "stop" at an end token or a stop string, "length" at the limit.
    """

    prompt: int = 0
    written: int = 0
    first: float = 0.0
    rest: float = 0.0
    end: str = "length"

    @property
    def speed(self) -> float:
        """Tokens a second after the first."""
        return (self.written - 1) / self.rest if self.written > 1 and self.rest > 0 else 0.0


class Writer:
    """A model and its tokenizer.  What a prompt has in common with the one before is not computed again."""

    def __init__(self, model: Any, tokenizer: Any, compiled: bool = True) -> None:
        self.model, self.tokenizer, self.compiled = model, tokenizer, compiled
        self.count = Count()
        self._prefix: Prefix | None = None

    def write(
        self,
        prompt: str | Sequence[int],
        max_new_tokens: int = 256,
        stop: Sequence[str] = (),
        ignore_eos: bool = False,
        add_special_tokens: bool = True,
        **sampling: Any,
    ) -> Iterator[str]:
        """The text that follows a prompt (a text, or ids), piece by piece, never half a character.

        It ends before the first of the ``stop`` strings.  ``sampling`` are the settings of ``candle.generate.Sampling``; the
        figures are in ``count`` when it has ended.
        """
        if any(not s for s in stop):
            raise CandleError("a stop string is not empty")
        ids = self.tokenizer.encode(prompt, add_special_tokens) if isinstance(prompt, str) else list(prompt)
        if not ids:
            raise CandleError("the prompt is empty, also after the tokenizer; write a word")
        if max(ids) >= self.model.config.vocab_size:
            raise CandleError(
                f"the tokenizer gives the id {max(ids)} but the model has a vocabulary of {self.model.config.vocab_size}; "
                "they do not belong together"
            )
        return self._pieces(ids, max_new_tokens, tuple(stop), ignore_eos, sampling)

    def _pieces(self, ids: list[int], most: int, stop: tuple[str, ...], ignore_eos: bool, sampling: Any) -> Iterator[str]:
        count = self.count = Count(prompt=len(ids))
        prefix = None
        if not self.model.is_encoder_decoder:
            prefix = self._prefix = self._prefix or Prefix(self.model, len(ids) + most, self.compiled)
        begun = time.perf_counter()
        ends = self._ends()
        text, held = self.tokenizer.stream(), ""
        tokens = stream(
            self.model, [ids], most, ignore_eos=ignore_eos, compiled=self.compiled, prefix=prefix, eos_token_id=ends, **sampling
        )
        for token in tokens:
            now = time.perf_counter()
            count.written += 1
            count.first, count.rest = (now - begun, 0.0) if count.written == 1 else (count.first, now - begun - count.first)
            if token in ends and not ignore_eos:
                count.end = "stop"
                break
            held += text.put(token)
            shown, ended = _before_stop(held, stop)
            if ended:
                count.end = "stop"
                if shown:
                    yield shown
                return
            held = held[len(shown) :]
            if shown:
                yield shown
        held += text.end()
        shown, ended = _before_stop(held, stop)
        if (shown if ended else held) != "":
            yield shown if ended else held

    def _ends(self) -> list[int]:
        from .decoding import ends_of

        found = ends_of(self.model, None)
        if self.tokenizer.eos_id is not None:
            found.add(self.tokenizer.eos_id)
        return sorted(found)

    def chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None = None, **settings: Any) -> Iterator[str]:
        """The answer to a conversation, by the model's chat template; ``settings`` are those of ``write``."""
        ids = self.tokenizer.apply_chat_template(messages, tools=tools, tokenize=True)
        return self.write(ids, **settings)

    @property
    def chats(self) -> bool:
        """Whether the model's files have a chat template."""
        return bool(self.tokenizer.templates)


def _before_stop(held: str, stop: tuple[str, ...]) -> tuple[str, bool]:
    """What of a text may be shown, and whether a stop string was met; what may be the beginning of one is held back."""
    found = min((at for at in (held.find(s) for s in stop) if at >= 0), default=-1)
    if found >= 0:
        return held[:found], True
    keep = 0
    for s in stop:
        keep = max(keep, next((n for n in range(min(len(s) - 1, len(held)), 0, -1) if held.endswith(s[:n])), 0))
    return held[: len(held) - keep], False


def load(name: Any, device: Any = None, dtype: Any = None, compiled: bool = True) -> Writer:
    """A model that writes and its tokenizer, from a GGUF file, a folder or a hub name."""
    from .. import models, text

    model = models.load(name, device=device, dtype=dtype)
    if not hasattr(model, "generate"):
        raise CandleError(
            f"{name} is a {type(model).__name__}, which writes no text; `candle embed` turns sentences into vectors"
        )
    metadata = getattr(model, "metadata", None)
    tokenizer = text.load(metadata) if metadata is not None else text.load(models.locate(name))
    return Writer(model, tokenizer, compiled)


def chat(
    model: Writer | str | Path, messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] | None = None, **settings: Any
) -> str:
    """A model's answer to a conversation, whole; ``load(name).chat(...)`` gives it piece by piece.

    >>> candle.generate.chat("model.gguf", [{"role": "user", "content": "Hello"}])  # doctest: +SKIP
    """
    writer = model if isinstance(model, Writer) else load(model)
    return "".join(writer.chat(messages, tools, **settings))
