"""npy: one NumPy array.  It is called "arr_0", as NumPy calls an array without a name."""

from __future__ import annotations

import math
import struct
import tokenize
from pathlib import Path
from typing import Any, Mapping

import numpy as np
from numpy.lib import format as npformat

from ..dtype import as_dtype
from ..errors import DTypeError, FormatError
from ..op import Spec
from . import Checkpoint, Entry, replacing

suffixes = (".npy",)
_MAGIC = b"\x93NUMPY"
NAME = "arr_0"


def matches(head: bytes, path: Path) -> bool:
    return head.startswith(_MAGIC)


def header(f: Any, size: int, what: str) -> tuple[Spec, np.dtype[Any], bool]:
    """The spec, stored dtype and order of the array at the beginning of a file; checked against its size."""
    try:
        version = npformat.read_magic(f)
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise FormatError(f"{what} is of npy version {version[0]}.{version[1]}; 1.0, 2.0 and 3.0 are read")
        read = npformat.read_array_header_1_0 if version == (1, 0) else npformat.read_array_header_2_0
        shape, fortran, dtype = read(f)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, struct.error, tokenize.TokenError) as e:
        raise FormatError(f"{what} has no right npy header: {e}") from None
    if dtype.hasobject:
        raise FormatError(f"{what} holds Python objects, which would run code when read; only numbers are read")
    try:
        kind = as_dtype(dtype)
    except DTypeError as e:
        raise FormatError(f"{what} holds NumPy's {dtype}: {e}") from None
    if any(n < 0 for n in shape) or len(shape) > 64:
        raise FormatError(f"{what} has the shape {shape!r:.80}; a shape is at most 64 integers, at least 0")
    wanted, there = math.prod(shape) * dtype.itemsize, size - f.tell()
    if wanted != there:
        raise FormatError(f"{what} is {kind}[{','.join(map(str, shape))}], {wanted} bytes, but {there} follow its header")
    return Spec(shape, kind), dtype, fortran


def load(path: Path) -> Checkpoint:
    """The array, mapped into memory."""
    with open(path, "rb") as f:
        size = f.seek(0, 2)
        f.seek(0)
        spec, dtype, fortran = header(f, size, str(path))
        at = f.tell()

    def read() -> np.ndarray[Any, Any]:
        if spec.size == 0:
            return np.zeros(spec.shape, dtype)
        mapped = np.memmap(path, dtype, "r", at, spec.shape, "F" if fortran else "C")
        return mapped.view(np.ndarray)

    return Checkpoint({NAME: Entry(spec, spec.nbytes, read)}, {}, str(path))


def plain(name: str, array: np.ndarray[Any, Any], format: str) -> np.ndarray[Any, Any]:
    """An array of a dtype that NumPy's files can name."""
    if array.dtype.kind not in "biufc":
        raise FormatError(f"{name!r} is {as_dtype(array.dtype)}, which {format} has no name for; save it as .safetensors")
    return array


def save(path: Path, arrays: Mapping[str, Entry], metadata: Mapping[str, str]) -> None:
    """Write one array."""
    if len(arrays) != 1 or metadata:
        raise FormatError(f"an npy file holds one array and no metadata but {len(arrays)} were given; save them as .safetensors")
    ((name, entry),) = arrays.items()
    replacing(path, lambda f: npformat.write_array(f, plain(name, entry.read(), "npy"), allow_pickle=False))
