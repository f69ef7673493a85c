"""Reading numbers and strings off a mapped file, each checked against its end."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError
from ..op import Spec

_ORDERS = {"<": "little", ">": "big"}


def mapped(path: Path) -> Any:
    """A file mapped into memory, read only; an empty one is no bytes."""
    with open(path, "rb") as f:
        if f.seek(0, 2) == 0:
            return b""
        return mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)


class Cursor:
    """A place in a file's bytes that moves on with what is read; raises FormatError, naming file and field, beyond the end."""

    def __init__(self, path: Path, data: Any, at: int = 0, order: Any = "<") -> None:
        self.path, self.data, self.at, self.order = path, data, at, order
        self.size = len(data)

    @property
    def left(self) -> int:
        return self.size - self.at

    def wrong(self, text: str) -> FormatError:
        return FormatError(f"{self.path}: {text}")

    def skip(self, n: int, what: str) -> int:
        """Move on by n bytes; gives where they begin."""
        if n < 0 or n > self.left:
            raise self.wrong(f"{what} at {self.at} takes {n} bytes but {self.left} are left: the file is truncated or damaged")
        at = self.at
        self.at += n
        return at

    def take(self, n: int, what: str) -> bytes:
        at = self.skip(n, what)
        return bytes(self.data[at : at + n])

    def read(self, form: str, what: str) -> Any:
        """One number of a ``struct`` format."""
        at = self.skip(struct.calcsize(form), what)
        return struct.unpack_from(self.order + form, self.data, at)[0]

    def u32(self, what: str) -> int:
        return self.read("I", what)

    def i32(self, what: str) -> int:
        return self.read("i", what)

    def u64(self, what: str) -> int:
        return self.read("Q", what)

    def count(self, n: int, least: int, what: str) -> int:
        """A number of things that take at least so many bytes each, if the file has room for them."""
        if n < 0 or n * least > self.left:
            raise self.wrong(f"{what} says {n} of at least {least} bytes each but {self.left} bytes are left")
        return n

    def text(self, n: int, what: str) -> str:
        raw = self.take(n, what)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as e:
            raise self.wrong(f"{what} is no UTF-8: {e}") from None

    def array(self, kind: str, n: int, what: str) -> np.ndarray[Any, Any]:
        """Numbers of a NumPy dtype where they lie, read only."""
        dtype = np.dtype(kind).newbyteorder(self.order)
        self.count(n, dtype.itemsize, what)
        at = self.skip(n * dtype.itemsize, what)
        return np.frombuffer(self.data, dtype, n, at)


def tensor_at(data: Any, spec: Spec, at: int, order: Any = "<") -> np.ndarray[Any, Any]:
    """The elements or blocks of a tensor where they lie in a file; native after a copy where the file is of the other order."""
    if spec.size == 0:
        return np.zeros(spec.stored, spec.dtype.numpy)
    kind = spec.dtype.numpy
    stored = kind.newbyteorder(order) if kind.kind in "iufc" or spec.dtype.kind == "q" else kind
    count = spec.size // spec.dtype.block
    if order == ">" and spec.dtype.name == "bfloat16":
        raw = np.frombuffer(data, ">u2", count, at).astype("<u2").view(kind)
    else:
        raw = np.frombuffer(data, stored, count, at)
        raw = raw if raw.dtype == kind else raw.astype(kind)
    found = raw.reshape(spec.stored)
    found.flags.writeable = False
    return found


def ordered(path: Path, places: dict[str, tuple[int, int]], size: int) -> None:
    """Check that tensors (begin, end) lie within the file and apart."""
    last, before = 0, ""
    for name, (begin, end) in sorted(places.items(), key=lambda item: item[1]):
        if end > size:
            raise FormatError(
                f"{path}: the tensor {name!r} lies at {begin} to {end} but the file ends at {size}: it is truncated"
            )
        if begin < last and begin != end:
            raise FormatError(f"{path}: the tensors {before!r} and {name!r} overlap")
        if end > last:
            last, before = end, name
