"""IQ3, IQ2 and IQ1: vectors of four or eight values taken from a codebook, with signs apart.  Decoded only.

https://github.com/ggml-org/llama.cpp/pull/4773
"""

from __future__ import annotations

import numpy as np

from .bits import Array, each, half
from .grids import grid

_HALVES = (0, 4)
_SEVENS = (0, 7, 14, 21)
_DELTA = np.float32(0.125)
# The sign of the last of eight values makes the number of negative ones even.
_SIGNS = np.array([i | (i.bit_count() & 1) << 7 for i in range(128)], np.uint8)


def _signed(x: Array) -> Array:
    """1 or -1 for the bits of bytes [.., m]: [.., m, 8]."""
    bits = (x[..., None] >> np.arange(8, dtype=np.uint8)) & np.uint8(1)
    return np.where(bits == 0, np.float32(1), np.float32(-1))


def _product(scale: Array, vectors: Array, signs: Array) -> Array:
    """Scales [n, groups], vectors and signs of the groups: the values [n, 256]."""
    n, groups = scale.shape
    return ((scale[..., None] * vectors.reshape(n, groups, -1)) * signs.reshape(n, groups, -1)).reshape(n, -1)


def _two(d: Array, scales: Array) -> Array:
    return half(d) * (np.float32(0.5) + scales.astype(np.float32)) * np.float32(0.25)


def _iq2_xxs(b: Array) -> Array:
    n = b.shape[0]
    words = np.ascontiguousarray(b["qs"]).view("<u4").reshape(n, 8, 2)
    places = np.ascontiguousarray(words[..., 0]).view(np.uint8).reshape(n, 32)
    signs = _SIGNS[each(words[..., 1], _SEVENS, 127)]
    return _product(_two(b["d"], words[..., 1] >> 28), grid("iq2_xxs")[places], _signed(signs))


def _iq2_xs(b: Array) -> Array:
    scales = each(b["scales"], _HALVES, 15)
    return _product(_two(b["d"], scales), grid("iq2_xs")[b["qs"] & 511], _signed(_SIGNS[b["qs"] >> 9]))


def _iq2_s(b: Array) -> Array:
    scales = each(b["scales"], _HALVES, 15)
    places = b["qs"].astype(np.uint16) | (each(b["qh"], (0, 2, 4, 6), 3).astype(np.uint16) << 8)
    return _product(_two(b["d"], scales), grid("iq2_s")[places], _signed(b["signs"]))


def _iq3_xxs(b: Array) -> Array:
    words = np.ascontiguousarray(b["scales"]).view("<u4")
    scale = half(b["d"]) * (np.float32(0.5) + (words >> 28).astype(np.float32)) * np.float32(0.5)
    return _product(scale, grid("iq3_xxs")[b["qs"]], _signed(_SIGNS[each(words, _SEVENS, 127)]))


def _iq3_s(b: Array) -> Array:
    scale = half(b["d"]) * (1 + 2 * each(b["scales"], _HALVES, 15)).astype(np.float32)
    places = b["qs"].astype(np.uint16) | (each(b["qh"], range(8), 1).astype(np.uint16) << 8)
    return _product(scale, grid("iq3_s")[places], _signed(b["signs"]))


def _shifted(scale: Array, places: Array, negative: Array) -> Array:
    """Scales [n, groups] times vectors moved by an eighth up or down."""
    n, groups = scale.shape
    delta = np.where(negative, -_DELTA, _DELTA)
    vectors = grid("iq1_s")[places] + delta[..., None]
    return (scale[..., None] * vectors.reshape(n, groups, -1)).reshape(n, -1)


def _iq1_s(b: Array) -> Array:
    qh = b["qh"]
    scale = half(b["d"]) * (2 * ((qh >> 12) & 7) + 1).astype(np.float32)
    places = b["qs"].astype(np.uint16) | (each(qh, (0, 3, 6, 9), 7) << 8)
    return _shifted(scale, places, np.repeat((qh & 0x8000) != 0, 4, -1))


def _iq1_m(b: Array) -> Array:
    words = np.ascontiguousarray(b["scales"]).view("<u2")
    parts = (words & np.uint16(0xF000)) >> np.array([12, 8, 4, 0], np.uint16)
    d = np.bitwise_or.reduce(parts, -1).astype(np.uint16).view(np.float16)
    scale = half(d) * (2 * each(words, (0, 3, 6, 9), 7) + 1).astype(np.float32)
    high = each(b["qh"], _HALVES, 15)
    places = b["qs"].astype(np.uint16) | ((high & 7).astype(np.uint16) << 8)
    return _shifted(scale, places, (high & 8) != 0)


DECODERS = {
    "iq2_xxs": _iq2_xxs, "iq2_xs": _iq2_xs, "iq2_s": _iq2_s, "iq3_xxs": _iq3_xxs, "iq3_s": _iq3_s, "iq1_s": _iq1_s,
    "iq1_m": _iq1_m,
}  # fmt: skip
ENCODERS: dict[str, None] = {}
