"""Kinds whose quants are places in a table of sixteen values: IQ4_NL, IQ4_XS, MXFP4 (OCP's microscaling) and NVFP4.

https://www.opencompute.org/documents/ocp-microscaling-formats-mx-v1-0-spec-final-pdf
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .bits import Array, each, extreme, fields, half, in_order, inverse, nearest, packed
from .search import places, table_scale

_HALVES = (0, 4)
_NL = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32)
_TRIES = 7
_E2M1 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.float32)  # doubled: their scales are halved


# -- decoding --------------------------------------------------------------------------------------


def _iq4_nl(b: Array) -> Array:
    return half(b["d"]) * _NL[fields(b["qs"], 16, _HALVES, 15)]


def _iq4_xs(b: Array) -> Array:
    n = b.shape[0]
    low = each(b["scales_l"], _HALVES, 15)
    high = each(b["scales_h"][:, None], range(0, 16, 2), 3).astype(np.uint8)
    scales = (low | (high << np.uint8(4))).astype(np.int8) - np.int8(32)
    d = half(b["d"]) * scales.astype(np.float32)
    return (d[..., None] * _NL[fields(b["qs"], 16, _HALVES, 15)].reshape(n, 8, 32)).reshape(n, -1)


def _halved_power(e: Array) -> Array:
    """2 ** (e - 128) from an exponent byte."""
    bits = np.where(e < 2, np.uint32(0x00200000) << e.astype(np.uint32), (e - np.uint8(1)).astype(np.uint32) << np.uint32(23))
    return bits.view(np.float32)


def _mxfp4(b: Array) -> Array:
    return _halved_power(b["e"])[:, None] * _E2M1[fields(b["qs"], 16, _HALVES, 15)]


def _ue4m3(x: Array) -> Array:
    """Half of what an unsigned byte of four exponent and three mantissa bits says."""
    exponent, mantissa = (x >> 3).astype(np.int32) & 15, (x & 7).astype(np.float32)
    raw = np.where(exponent == 0, mantissa * np.float32(2**-9), np.ldexp(1 + mantissa / np.float32(8), exponent - 7))
    return np.where((x == 0) | (x == 0x7F), np.float32(0), raw * np.float32(0.5)).astype(np.float32)


def _nvfp4(b: Array) -> Array:
    n = b.shape[0]
    return (_ue4m3(b["d"])[..., None] * _E2M1[fields(b["qs"], 8, _HALVES, 15)].reshape(n, 4, 16)).reshape(n, -1)


DECODERS = {"iq4_nl": _iq4_nl, "iq4_xs": _iq4_xs, "mxfp4": _mxfp4, "nvfp4": _nvfp4}


# -- encoding --------------------------------------------------------------------------------------


def _weights(x: Array, importance: Any) -> Array:
    if importance is None:
        return x * x
    mean = in_order(x * x)[:, None] * np.float32(2 / x.shape[-1])
    return importance.blocks * np.sqrt(mean + x * x)


def _to_iq4_nl(x: Array, out: Array, importance: Any) -> None:
    scale = table_scale(x, _weights(x, importance), _NL, _TRIES)
    out["d"], out["qs"] = scale, packed(places(inverse(scale)[:, None] * x, _NL), 16, _HALVES)


def _to_iq4_xs(x: Array, out: Array, importance: Any) -> None:
    n = x.shape[0]
    g = x.reshape(-1, 32)
    scale = table_scale(g, _weights(x, importance).reshape(g.shape), _NL, _TRIES).reshape(n, 8)
    d = extreme(scale) / np.float32(-32)
    scales = np.clip(nearest(inverse(d) * scale), -32, 31)
    factor = inverse(d * scales).reshape(-1, 1)
    q = (scales + 32).astype(np.uint8)
    out["d"] = d[:, 0]
    out["qs"] = packed(places(factor * g, _NL).reshape(n, -1), 16, _HALVES)
    out["scales_l"] = (q[:, ::2] & 15) | ((q[:, 1::2] & 15) << np.uint8(4))
    out["scales_h"] = ((q >> np.uint8(4)).astype(np.uint16) << np.arange(0, 16, 2, dtype=np.uint16)).sum(-1, dtype=np.uint16)


def _to_mxfp4(x: Array, out: Array, importance: Any) -> None:
    top = np.abs(x).max(-1)
    e = np.where(top > 0, np.floor(np.log2(top)) - 2 + 127, 0).astype(np.uint8)
    d = _halved_power(e)
    off = np.abs(d[:, None, None] * _E2M1 - x[..., None])
    out["e"], out["qs"] = e, packed(off.argmin(-1), 16, _HALVES)


ENCODERS = {"iq4_nl": _to_iq4_nl, "iq4_xs": _to_iq4_xs, "mxfp4": _to_mxfp4}
