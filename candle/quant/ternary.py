"""TQ1_0 and TQ2_0: blocks of 256 values that are -d, 0 or d.  https://github.com/ggml-org/llama.cpp/pull/8151"""

from __future__ import annotations

from typing import Any

import numpy as np

from .bits import Array, away, fields, half, inverse, packed

_POWERS = np.array([1, 3, 9, 27, 81], np.uint8)
_PAIRS = (0, 2, 4, 6)


def _trits(x: Array, group: int, count: int) -> Array:
    """Five (or four) digits to the base 3 out of each byte, which holds them as a fraction of 256: the first digit of each
    byte of a group, then the second."""
    n = x.shape[0]
    shifted = x.reshape(n, -1, 1, group) * _POWERS[:count, None]
    return ((shifted.astype(np.uint16) * 3) >> 8).astype(np.int8).reshape(n, -1)


def _untrits(q: Array, group: int, count: int) -> Array:
    n = q.shape[0]
    places = _POWERS[::-1][:count].astype(np.uint16)[:, None]
    number = (q.astype(np.uint16).reshape(n, -1, count, group) * places).sum(2, dtype=np.uint16).reshape(n, -1)
    return ((number * 256 + 242) // 243).astype(np.uint8)


def _tq1_0(b: Array) -> Array:
    q = np.concatenate([_trits(b["qs"][:, :32], 32, 5), _trits(b["qs"][:, 32:], 16, 5), _trits(b["qh"], 4, 4)], -1)
    return half(b["d"]) * (q - np.int8(1)).astype(np.float32)


def _tq2_0(b: Array) -> Array:
    return half(b["d"]) * (fields(b["qs"], 32, _PAIRS, 3).astype(np.int8) - np.int8(1)).astype(np.float32)


def _rounded(x: Array) -> tuple[Array, Array]:
    d = np.abs(x).max(-1, keepdims=True)
    return d[:, 0], (away(x * inverse(d)).astype(np.int8) + np.int8(1)).astype(np.uint8)


def _to_tq1_0(x: Array, out: Array, importance: Any) -> None:
    out["d"], q = _rounded(x)
    out["qs"] = np.concatenate([_untrits(q[:, :160], 32, 5), _untrits(q[:, 160:240], 16, 5)], -1)
    out["qh"] = _untrits(q[:, 240:], 4, 4)


def _to_tq2_0(x: Array, out: Array, importance: Any) -> None:
    out["d"], q = _rounded(x)
    out["qs"] = packed(q, 32, _PAIRS)


DECODERS = {"tq1_0": _tq1_0, "tq2_0": _tq2_0}
ENCODERS = {"tq1_0": _to_tq1_0, "tq2_0": _to_tq2_0}
