"""Texts: files, their characters or tokens, and windows of them for language models."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from candle import CandleError, FormatError

from .dataset import Dataset, _within
from .files import Remote, cache, find

__all__ = ["Characters", "Stories", "Windows", "text", "tiny_shakespeare", "tiny_stories", "token_file"]


class Windows(Dataset):
    """Stretches of a long sequence of tokens: ``tokens[i : i + length]`` and the same one further on, as int64.

    ``stride`` is the distance between two starts (``length`` where None).  ``tokens`` may be mapped from a file.
    """

    def __init__(self, tokens: Any, length: int, stride: int | None = None) -> None:
        self.tokens = tokens if isinstance(tokens, np.ndarray) else np.asarray(tokens)
        self.length, self.stride = length, length if stride is None else stride
        if self.tokens.ndim != 1 or self.tokens.dtype.kind not in "iu":
            raise CandleError(f"Windows takes a sequence of token ids but was given {self.tokens.dtype}{list(self.tokens.shape)}")
        if length < 1 or self.stride < 1:
            raise CandleError(f"a window's length and stride are at least 1 but {length} and {self.stride} were given")
        if len(self.tokens) <= length:
            raise CandleError(f"windows of {length} tokens and the next need a longer text than {len(self.tokens)} tokens")

    def __len__(self) -> int:
        return (len(self.tokens) - self.length - 1) // self.stride + 1

    def __getitem__(self, index: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        start = _within(index, len(self)) * self.stride
        stretch = np.asarray(self.tokens[start : start + self.length + 1]).astype(np.int64)
        return stretch[:-1], stretch[1:]

    def batch(self, indices: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The windows of these numbers, ``[n, length]`` each."""
        at = np.asarray(indices)[:, None] * self.stride + np.arange(self.length + 1)
        stretch = np.asarray(self.tokens[at]).astype(np.int64)
        return stretch[:, :-1], stretch[:, 1:]


class Characters:
    """Characters as tokens: those of a text, in order, are numbered."""

    def __init__(self, alphabet: str) -> None:
        self.alphabet = "".join(sorted(set(alphabet)))
        self._number = {c: n for n, c in enumerate(self.alphabet)}

    def __len__(self) -> int:
        return len(self.alphabet)

    def encode(self, text: str) -> np.ndarray[Any, Any]:
        """The characters' numbers; raises CandleError for one that is not in the alphabet."""
        try:
            return np.array([self._number[c] for c in text], np.int64)
        except KeyError as e:
            raise CandleError(f"the character {e.args[0]!r} is not among the {len(self)} of this alphabet") from None

    def decode(self, ids: Any) -> str:
        """The text of numbers."""
        return "".join([self.alphabet[int(i)] for i in np.asarray(ids).reshape(-1)])


def text(path: str | os.PathLike[str]) -> str:
    """A text file's content, as UTF-8.  Raises FormatError where it is something else."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CandleError(f"there is no file {path}") from None
    except UnicodeDecodeError as e:
        raise FormatError(f"{path} is no UTF-8 text: {e}") from None


def tiny_shakespeare(root: str | os.PathLike[str] | None = None) -> str:
    """Scenes of Shakespeare, 1,115,394 characters.  ``root`` is a folder with ``tinyshakespeare.txt`` or ``input.txt``."""
    if root is not None and (Path(root) / "tinyshakespeare.txt").is_file():
        return text(Path(root) / "tinyshakespeare.txt")
    url = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
    return text(find(Remote("input.txt", (url,)), "tiny-shakespeare", root))


class Stories(Dataset):
    """The pieces of a large text file between lines with a mark; opening it reads it once, for where they begin."""

    def __init__(self, path: str | os.PathLike[str], mark: str = "<|endoftext|>") -> None:
        self.path, sign = Path(path), mark.encode()
        self._spans: list[tuple[int, int]] = []
        try:
            with open(self.path, "rb") as f:
                start = at = 0
                for line in f:
                    if line.strip() == sign:
                        self._spans.append((start, at))
                        start = at + len(line)
                    at += len(line)
                self._spans.append((start, at))
        except FileNotFoundError:
            raise CandleError(f"there is no file {path}") from None
        self._spans = [(a, b) for a, b in self._spans if b > a]

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, index: int) -> str:
        start, end = self._spans[_within(index, len(self))]
        with open(self.path, "rb") as f:
            f.seek(start)
            return f.read(end - start).decode("utf-8", errors="replace").strip()

    def __iter__(self) -> Iterator[str]:
        for at in range(len(self)):
            yield self[at]

    def tokens(self, encode: Callable[[str], Sequence[int]], end: int | None = None) -> np.ndarray[Any, Any]:
        """All stories as one sequence of token ids, ``end`` after each."""
        parts = []
        for story in self:
            ids = np.asarray(encode(story), np.int64)
            parts.append(ids if end is None else np.append(ids, end))
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def tiny_stories(split: str = "train", root: str | os.PathLike[str] | None = None) -> Stories:
    """Short stories in the words of a small child.  https://arxiv.org/abs/2305.07759, the version by GPT-4 alone."""
    names = {"train": "TinyStoriesV2-GPT4-train.txt", "validation": "TinyStoriesV2-GPT4-valid.txt"}
    if split not in names:
        raise CandleError(f"the split is 'train' or 'validation' but {split!r} was given")
    url = f"https://huggingface.co/datasets/roneneldan/TinyStories/resolve/main/{names[split]}"
    return Stories(find(Remote(names[split], (url,)), "tiny-stories", root))


def token_file(path: str | os.PathLike[str], dtype: Any = np.uint16) -> np.ndarray[Any, Any]:
    """Token ids one after another in a file, as llama2.c writes them (uint16, little endian): mapped, not read.

    Raises FormatError where the file is empty or does not hold whole ids.
    """
    kind = np.dtype(dtype).newbyteorder("<")
    try:
        size = Path(path).stat().st_size
    except FileNotFoundError:
        raise CandleError(f"there is no file {path}") from None
    if size == 0 or size % kind.itemsize:
        raise FormatError(f"{path} has {size} bytes, which are no whole number of {kind.name} ids")
    return np.memmap(path, kind, "r")


def save_tokens(path: str | os.PathLike[str], ids: Any, dtype: Any = np.uint16) -> None:
    """Write token ids for ``token_file``; raises CandleError where one does not fit."""
    kind, found = np.dtype(dtype).newbyteorder("<"), np.asarray(ids)
    if found.size and not 0 <= int(found.min()) <= int(found.max()) <= np.iinfo(kind).max:
        raise CandleError(f"{kind.name} holds ids up to {np.iinfo(kind).max} but there are {found.min()} to {found.max()}")
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    found.astype(kind).tofile(part)
    os.replace(part, target)


def prepared(name: str, make: Callable[[], Any], dtype: Any = np.uint16) -> np.ndarray[Any, Any]:
    """The token file ``name`` of the cache, made by ``make()`` where there is none."""
    path = cache() / "prepared" / name
    if not path.is_file():
        save_tokens(path, make(), dtype)
    return token_file(path, dtype)
