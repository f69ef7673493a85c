"""The K kinds: superblocks of 256 with quantised scales of their groups.  https://github.com/ggml-org/llama.cpp/pull/1684"""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from .bits import Array, extreme, fields, half, in_order, inverse, nearest, packed
from .search import descended_scale, offset_scale, positive_scale, signed_scale

_PAIRS = (0, 2, 4, 6)
_HALVES = (0, 4)


# -- scales ----------------------------------------------------------------------------------------


def _six(scales: Array) -> tuple[Array, Array]:
    """Eight scales and eight offsets of six bits from the twelve bytes of Q4_K and Q5_K."""
    d, m, high = scales[:, :4], scales[:, 4:8], scales[:, 8:]
    return (
        np.concatenate([d & 63, (high & 15) | ((d >> 2) & 48)], -1),
        np.concatenate([m & 63, (high >> 4) | ((m >> 2) & 48)], -1),
    )


def _to_six(scales: Array, offsets: Array) -> Array:
    a, b = scales.astype(np.uint8), offsets.astype(np.uint8)
    four = np.uint8(4)
    high = (a[:, 4:] & 15) | ((b[:, 4:] & 15) << four)
    top = np.uint8(6)
    return np.concatenate([a[:, :4] | (a[:, 4:] >> four << top), b[:, :4] | (b[:, 4:] >> four << top), high], -1)


def _q3_scales(scales: Array) -> Array:
    """Sixteen scales in [-32, 32) from the twelve bytes of Q3_K."""
    low, high = fields(scales[:, :8], 8, _HALVES, 15), fields(scales[:, 8:], 4, _PAIRS, 3)
    return (low | (high << np.uint8(4))).astype(np.int8) - np.int8(32)


def _to_q3_scales(q: Array) -> Array:
    q = q.astype(np.uint8)
    return np.concatenate([packed(q & np.uint8(15), 8, _HALVES), packed(q >> np.uint8(4), 4, _PAIRS)], -1)


def _grouped(d: Array, scales: Array, q: Array) -> Array:
    """Scales of groups times their quants: [n, groups, elements]."""
    return (half(d) * scales.astype(np.float32))[..., None] * q


def _groups(q: Array, count: int) -> Array:
    return q.reshape(q.shape[0], count, -1)


# -- decoding --------------------------------------------------------------------------------------


def _rows(x: Array) -> Array:
    return x.reshape(x.shape[0], -1)


def _q2_k(b: Array) -> Array:
    q = _groups(fields(b["qs"], 32, _PAIRS, 3), 16).astype(np.float32)
    low = half(b["dmin"]) * (b["scales"] >> 4).astype(np.float32)
    return _rows(_grouped(b["d"], b["scales"] & 15, q) - low[..., None])


def _q3_k(b: Array) -> Array:
    low = fields(b["qs"], 32, _PAIRS, 3).astype(np.int8)
    high = fields(b["hmask"], 32, range(8), 1).astype(np.int8)
    q = low - ((high ^ np.int8(1)) << np.int8(2))
    return _rows(_grouped(b["d"], _q3_scales(b["scales"]), _groups(q, 16).astype(np.float32)))


def _affine(b: Array, q: Array) -> Array:
    scales, offsets = _six(b["scales"])
    low = half(b["dmin"]) * offsets.astype(np.float32)
    return _rows(_grouped(b["d"], scales, _groups(q, 8).astype(np.float32)) - low[..., None])


def _q4_k(b: Array) -> Array:
    return _affine(b, fields(b["qs"], 32, _HALVES, 15))


def _q5_k(b: Array) -> Array:
    return _affine(b, fields(b["qs"], 32, _HALVES, 15) | (fields(b["qh"], 32, range(8), 1) << np.uint8(4)))


def _q6_k(b: Array) -> Array:
    q = fields(b["ql"], 64, _HALVES, 15) | (fields(b["qh"], 32, _PAIRS, 3) << np.uint8(4))
    return _rows(_grouped(b["d"], b["scales"], _groups(q.astype(np.int8) - np.int8(32), 16).astype(np.float32)))


def _q8_k(b: Array) -> Array:
    return b["d"][:, None].astype(np.float32) * b["qs"].astype(np.float32)


DECODERS: dict[str, Callable[[Array], Array]] = {
    "q2_k": _q2_k, "q3_k": _q3_k, "q4_k": _q4_k, "q5_k": _q5_k, "q6_k": _q6_k, "q8_k": _q8_k,
}  # fmt: skip


# -- encoding --------------------------------------------------------------------------------------


def _weighted(x: Array, importance: Any, part: float) -> Array:
    """The weights of squared errors that an importance matrix gives: importance times the root of (mean square + square)."""
    mean = in_order(x * x)[:, None] * np.float32(part) / np.float32(256)
    return importance.blocks * np.sqrt(mean + x * x)


def _requantised(x: Array, d: Array, low: Array, least: int, most: int, kept: Array) -> Array:
    """Quants of groups x [n, groups, elements] under scales and offsets as they were rounded; ``kept`` where the scale is 0."""
    q = np.clip(nearest((x + low[..., None]) / d[..., None]), least, most)
    return np.where((d == 0)[..., None], kept, q)


def _shared(values: Array, most: int) -> tuple[Array, Array]:
    """A scale for the scales of groups, which are not negative, and their quants."""
    top = np.maximum(values.max(-1), np.float32(0))
    factor = np.where(top > 0, np.float32(most) / top, np.float32(0))
    return top / np.float32(most), np.clip(nearest(factor[:, None] * values), 0, most)


def _offsets(
    x: Array, out: Array, importance: Any, groups: int, most: int, top: int, plan: tuple[float, float, int, bool]
) -> tuple[Array, Array, Array]:
    """What Q2_K, Q4_K and Q5_K share: scales and offsets of the groups.  Sets d and dmin; gives quants, scales, offsets."""
    n = x.shape[0]
    g = x.reshape(n * groups, -1)
    if importance is None:
        magnitude = np.abs(g)
        if groups == 8:
            magnitude = np.sqrt(in_order(g * g)[:, None] / np.float32(32)) + magnitude
        scale, low, kept = offset_scale(g, most, magnitude, *plan)
        d, scales = _shared(scale.reshape(n, groups), top)
        m, offsets = _shared(-low.reshape(n, groups), top)
    else:
        w = _weighted(x, importance, 1 if groups == 16 else 2).reshape(g.shape)
        scale, low, kept = offset_scale(g, most, w, -0.9, 0.05, 36)
        total = in_order(w).reshape(n, groups)
        d, scales = positive_scale(scale.reshape(n, groups), top, total)
        m, offsets = positive_scale(-low.reshape(n, groups), top, total)
    out["d"], out["dmin"] = d, m
    q = _requantised(
        x.reshape(n, groups, -1), half(out["d"]) * scales, half(out["dmin"]) * offsets, 0, most, kept.reshape(n, groups, -1)
    )
    return q.reshape(n, -1).astype(np.uint8), scales.astype(np.uint8), offsets.astype(np.uint8)


def _to_q2_k(x: Array, out: Array, importance: Any) -> None:
    q, scales, offsets = _offsets(x, out, importance, 16, 3, 15, (-0.5, 0.1, 15, True))
    out["scales"] = scales | (offsets << np.uint8(4))
    out["qs"] = packed(q, 32, _PAIRS)


def _to_q4_k(x: Array, out: Array, importance: Any) -> None:
    q, scales, offsets = _offsets(x, out, importance, 8, 15, 63, (-1.0, 0.1, 20, False))
    out["scales"], out["qs"] = _to_six(scales, offsets), packed(q, 32, _HALVES)


def _to_q5_k(x: Array, out: Array, importance: Any) -> None:
    q, scales, offsets = _offsets(x, out, importance, 8, 31, 63, (-0.5, 0.1, 15, False))
    out["scales"] = _to_six(scales, offsets)
    out["qs"], out["qh"] = packed(q & np.uint8(15), 32, _HALVES), packed(q >> np.uint8(4), 32, range(8))


def _to_q3_k(x: Array, out: Array, importance: Any) -> None:
    n = x.shape[0]
    g = x.reshape(n * 16, 16)
    if importance is None:
        scale, kept = descended_scale(g, 4)
        scale = scale.reshape(n, 16)
        peak = extreme(scale)
        factor = np.where(peak == 0, np.float32(0), np.float32(-32) / peak)
        d, scales = inverse(factor)[:, 0], np.where(peak == 0, -32, np.clip(nearest(factor * scale), -32, 31))
    else:
        w = _weighted(x, importance, 2).reshape(g.shape)
        scale, kept = signed_scale(g, 4, w)
        d, scales = signed_scale(scale.reshape(n, 16), 32, in_order(w).reshape(n, 16))
    out["d"] = d
    step = half(out["d"]) * scales.astype(np.float32)
    q = _requantised(x.reshape(n, 16, 16), step, np.zeros_like(step), -4, 3, kept.reshape(n, 16, 16))
    q = (q.reshape(n, -1) + 4).astype(np.uint8)
    out["scales"] = _to_q3_scales(scales + 32)
    out["qs"], out["hmask"] = packed(q & np.uint8(3), 32, _PAIRS), packed(q >> np.uint8(2), 32, range(8))


def _to_q6_k(x: Array, out: Array, importance: Any) -> None:
    n = x.shape[0]
    g = x.reshape(n * 16, 16)
    scale, kept = signed_scale(g, 32, None if importance is None else importance.blocks.reshape(g.shape))
    scale = scale.reshape(n, 16)
    peak = extreme(scale)
    small = np.abs(peak) < 1e-15
    factor = np.where(small, np.float32(0), np.float32(-128) / peak)
    out["d"] = inverse(factor)[:, 0]
    out["scales"] = np.minimum(nearest(factor * scale), 127).astype(np.int8)
    step = half(out["d"]) * out["scales"].astype(np.float32)
    q = _requantised(x.reshape(n, 16, 16), step, np.zeros_like(step), -32, 31, kept.reshape(n, 16, 16))
    q = np.where(small, 0, q.reshape(n, -1) + 32).astype(np.uint8)
    out["ql"], out["qh"] = packed(q & np.uint8(15), 64, _HALVES), packed(q >> np.uint8(4), 32, _PAIRS)


def _to_q8_k(x: Array, out: Array, importance: Any) -> None:
    peak = extreme(x)
    factor = np.where(peak == 0, np.float32(0), np.float32(-127) / peak)
    q = np.minimum(nearest(factor * x), 127).astype(np.int8)
    out["d"], out["qs"] = inverse(factor)[:, 0], q
    out["bsums"] = q.reshape(-1, 16, 16).sum(-1, dtype=np.int16)


ENCODERS: dict[str, Callable[[Array, Array, Any], None]] = {
    "q2_k": _to_q2_k, "q3_k": _to_q3_k, "q4_k": _to_q4_k, "q5_k": _to_q5_k, "q6_k": _to_q6_k, "q8_k": _to_q8_k,
}  # fmt: skip
