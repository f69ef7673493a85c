"""Taking fields of a few bits out of bytes, and putting them in."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

Array = np.ndarray[Any, Any]


def half(x: Array) -> Array:
    """Float16 scales [n] as float32 [n, 1]."""
    return x.astype(np.float32)[:, None]


def fields(x: Array, group: int, shifts: Sequence[int], mask: int) -> Array:
    """Of each group of bytes first the field at the first shift of all of them, then that at the second, and so on."""
    n = x.shape[0]
    at = np.array(shifts, x.dtype)[:, None]
    return ((x.reshape(n, -1, 1, group) >> at) & x.dtype.type(mask)).reshape(n, -1)


def each(x: Array, shifts: Sequence[int], mask: int) -> Array:
    """Of each number all its fields, one after the other."""
    return ((x[..., None] >> np.array(shifts, x.dtype)) & x.dtype.type(mask)).reshape(x.shape[0], -1)


def packed(q: Array, group: int, shifts: Sequence[int]) -> Array:
    """The inverse of ``fields``: bytes that hold, at each shift, the values that lie that many groups on."""
    n = q.shape[0]
    parts = q.astype(np.uint8).reshape(n, -1, len(shifts), group) << np.array(shifts, np.uint8)[:, None]
    return np.bitwise_or.reduce(parts, axis=2).reshape(n, -1)


def nearest(x: Array) -> Array:
    """The nearest integer as float32; halves to even, as GGML's nearest_int has it."""
    return np.rint(x)


def away(x: Array) -> Array:
    """The nearest integer; halves away from zero, as C's roundf has it."""
    a = np.abs(x)
    whole = np.floor(a)
    return np.sign(x) * (whole + np.floor(np.float32(2) * (a - whole)))


def inverse(d: Array) -> Array:
    """1 / d, and 0 for 0."""
    return np.where(d == 0, np.float32(0), np.float32(1) / d)


def extreme(x: Array) -> Array:
    """The element of the largest magnitude in each row, with its sign: [n, 1]."""
    at = np.abs(x).argmax(-1)
    return np.take_along_axis(x, at[..., None], -1)


def in_order(x: Array) -> Array:
    """The sums of rows [n, k] as float32, added one after the other as C's loops do."""
    return np.add.reduce(np.ascontiguousarray(x.T), 0, dtype=np.float32)
