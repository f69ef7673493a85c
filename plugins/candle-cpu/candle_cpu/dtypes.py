"""The engine's numbers of candle's dtypes, and NumPy arrays in and out."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from candle.dtype import ALL, DType, as_dtype

from . import _engine

CODES: dict[DType, int] = {as_dtype(name): number for number, name in enumerate(_engine.DTYPES)}
_NUMPY: dict[int, np.dtype[Any]] = {number: d.numpy for d, number in CODES.items()}
_OF_NUMPY: dict[np.dtype[Any], int] = {d.numpy: number for d, number in CODES.items()}
_CARRIER: dict[int, np.dtype[Any]] = {}  # what the buffer protocol can say of a dtype that it does not know
assert set(CODES) == set(ALL)


def code(dtype: DType) -> int:
    """The engine's number of a dtype; dtypes that only move get theirs when first met."""
    found = CODES.get(dtype)
    if found is None:
        found = CODES[dtype] = _engine.define(dtype.numpy.itemsize)
        _NUMPY[found] = dtype.numpy
        _OF_NUMPY.setdefault(dtype.numpy, found)
    return found


@cache
def block_of(dtype: DType) -> DType:
    """A dtype whose elements are the blocks of a quantised one, of the same number."""
    block = DType(f"{dtype}_block", dtype.numpy, "s")
    CODES[block] = code(dtype)
    return block


def to_array(data: Any) -> np.ndarray[Any, Any]:
    """A NumPy array over an engine array's memory, read-only."""
    number = data.dtype
    array = np.asarray(memoryview(data)) if data.shape else np.frombuffer(data, _carrier(number), 1).reshape(())
    return array if number in _PLAIN else array.view(_NUMPY[number])


def _carrier(number: int) -> np.dtype[Any]:
    found = _CARRIER.get(number)
    if found is None:
        dtype = _NUMPY[number]
        plain = dtype.kind in "biufc" and dtype.isbuiltin == 1
        found = _CARRIER[number] = (
            dtype if plain else np.dtype(f"u{dtype.itemsize}" if dtype.itemsize in (1, 2) else f"S{dtype.itemsize}")
        )
        if plain:
            _PLAIN.add(number)
    return found


_PLAIN: set[int] = set()
for _number in CODES.values():
    _carrier(_number)


def from_array(array: np.ndarray[Any, Any]) -> Any:
    """An engine array of the same values: over the same memory where NumPy may not write to it, else a copy."""
    number = _OF_NUMPY.get(array.dtype)
    if number is None:
        if not array.dtype.isnative:
            return from_array(array.astype(array.dtype.newbyteorder("=")))
        number = code(as_dtype(array.dtype))
    shared = not array.flags.writeable
    if not array.flags.aligned:
        array, shared = array.copy(), True
    try:
        found = _engine.wrap(array if number in _PLAIN else array.view(_carrier(number)), number)
    except ValueError:  # strides that are no multiples of an item
        found, shared = from_array_copy(array, number), True
    return found if shared else _engine.contiguous(found)


def from_array_copy(array: np.ndarray[Any, Any], number: int) -> Any:
    copy = array.copy(order="C")
    return _engine.wrap(copy if number in _PLAIN else copy.view(_carrier(number)), number)
