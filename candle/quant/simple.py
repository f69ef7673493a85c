"""Q4_0 to Q8_1: blocks of 32 with one scale, and an offset in those that end in _1."""

from __future__ import annotations

from typing import Any

import numpy as np

from .bits import Array, away, extreme, fields, half, inverse, packed
from .search import offset_scale, signed_scale

_HALVES = (0, 4)
_BITS = tuple(range(8))


def _low(b: Array) -> Array:
    return fields(b["qs"], 16, _HALVES, 15)


def _fifth(b: Array) -> Array:
    return np.unpackbits(b["qh"], axis=-1, bitorder="little")


def _five(b: Array) -> Array:
    return _low(b) | (_fifth(b) << np.uint8(4))


def _signed(q: Array, zero: int) -> Array:
    return (q.astype(np.int8) - np.int8(zero)).astype(np.float32)


DECODERS = {
    "q4_0": lambda b: half(b["d"]) * _signed(_low(b), 8),
    "q4_1": lambda b: half(b["d"]) * _low(b).astype(np.float32) + half(b["m"]),
    "q5_0": lambda b: half(b["d"]) * _signed(_five(b), 16),
    "q5_1": lambda b: half(b["d"]) * _five(b).astype(np.float32) + half(b["m"]),
    "q8_0": lambda b: b["qs"].astype(np.float32) * half(b["d"]),
    "q8_1": lambda b: b["qs"].astype(np.float32) * half(b["d"]),
}


def _weights(x: Array, importance: Any) -> Array:
    return importance.blocks * np.sqrt(importance.row_square + x * x)


def _symmetric(x: Array, most: int, importance: Any) -> tuple[Array, Array]:
    """Scale [n] and quants in [0, 2 * most)."""
    if importance is not None:
        d, q = signed_scale(x, most, _weights(x, importance))
        return d, q + most
    d = extreme(x) / np.float32(-most)
    q = np.trunc(x * inverse(d) + np.float32(most + 0.5)).astype(np.uint8)
    return d[:, 0], np.minimum(q, 2 * most - 1)


def _affine(x: Array, most: int, importance: Any) -> tuple[Array, Array, Array]:
    """Scale [n], offset [n] and quants in [0, most]."""
    if importance is not None:
        d, low, q = offset_scale(x, most, _weights(x, importance), -0.9, 0.05, 36)
        return d, low, q
    low = x.min(-1, keepdims=True)
    d = (x.max(-1, keepdims=True) - low) / np.float32(most)
    q = np.trunc((x - low) * inverse(d) + np.float32(0.5)).astype(np.uint8)
    return d[:, 0], low[:, 0], np.minimum(q, most)


def _q4_0(x: Array, out: Array, importance: Any) -> None:
    d, q = _symmetric(x, 8, importance)
    out["d"], out["qs"] = d, packed(q, 16, _HALVES)


def _q4_1(x: Array, out: Array, importance: Any) -> None:
    d, low, q = _affine(x, 15, importance)
    out["d"], out["m"], out["qs"] = d, low, packed(q, 16, _HALVES)


def _with_fifth(q: Array, out: Array) -> None:
    q = q.astype(np.uint8)
    out["qh"] = np.packbits(q >> np.uint8(4), axis=-1, bitorder="little")
    out["qs"] = packed(q & np.uint8(15), 16, _HALVES)


def _q5_0(x: Array, out: Array, importance: Any) -> None:
    d, q = _symmetric(x, 16, importance)
    out["d"] = d
    _with_fifth(q, out)


def _q5_1(x: Array, out: Array, importance: Any) -> None:
    d, low, q = _affine(x, 31, importance)
    out["d"], out["m"] = d, low
    _with_fifth(q, out)


def _eight(x: Array) -> tuple[Array, Array]:
    d = np.abs(x).max(-1, keepdims=True) / np.float32(127)
    return d[:, 0], away(x * inverse(d)).astype(np.int8)


def _q8_0(x: Array, out: Array, importance: Any) -> None:
    out["d"], out["qs"] = _eight(x)


def _q8_1(x: Array, out: Array, importance: Any) -> None:
    d, q = _eight(x)
    out["d"], out["qs"] = d, q
    out["s"] = q.sum(-1, dtype=np.int32).astype(np.float32) * d


ENCODERS = {"q4_0": _q4_0, "q4_1": _q4_1, "q5_0": _q5_0, "q5_1": _q5_1, "q8_0": _q8_0, "q8_1": _q8_1}
