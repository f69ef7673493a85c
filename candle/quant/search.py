"""The searches for scales that GGML's encoders make, for all groups of values at once.

Each takes groups x [g, n] and weights [g, n] of the squared errors, and gives scales [g] and quants [g, n].
Source: ggml-quants.c (make_qx_quants, make_qkx2_quants, make_qkx3_quants, make_qp_quants, make_q3_quants).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .bits import Array, extreme, nearest

_EPS = np.float32(1e-15)  # a group of smaller values is zero


def _sum(x: Array) -> Array:
    return x.sum(-1, dtype=np.float32)


def _ratio(a: Array, b: Array) -> Array:
    return np.where(b > 0, a / b, np.float32(0))


def signed_scale(x: Array, most: int, weights: Array | None = None) -> tuple[Array, Array]:
    """The scale d for which d * q is nearest to x, with q in [-most, most); weighted by x squared where no weights are given."""
    peak = extreme(x)[:, 0]
    w = x * x if weights is None else weights
    wx = w * x
    best: Any = None
    scale: Any = None
    quants: Any = None
    for step in (0, *[s for s in range(-9, 10) if s]):
        factor = -(np.float32(most) + np.float32(0.1) * np.float32(step)) / peak
        q = np.clip(nearest(factor[:, None] * x), -most, most - 1)
        product, square = _sum(wx * q), _sum(w * q * q)
        if best is None:
            scale, quants = _ratio(product, square), q
            best = scale * product
            continue
        better = (square > 0) & (product * product > best * square)
        scale = np.where(better, product / square, scale)
        best = np.where(better, scale * product, best)
        quants[better] = q[better]
    zero = np.abs(peak) < _EPS
    return np.where(zero, np.float32(0), scale), np.where(zero[:, None], -most, quants).astype(np.int8)


def offset_scale(
    x: Array, most: int, w: Array, first: float, step: float, steps: int, mad: bool = False
) -> tuple[Array, Array, Array]:
    """The scale d and offset m (at most 0) for which d * q + m is nearest to x, with q in [0, most]: d, m, q.

    ``mad`` measures absolute instead of squared errors.
    """
    low, high = np.minimum(x.min(-1), np.float32(0)), x.max(-1)
    span = high - low
    flat = span <= 0
    sum_w, sum_x = _sum(w), _sum(w * x)

    def error(scale: Array, offset: Array, q: Array) -> Array:
        off = scale[:, None] * q + offset[:, None] - x
        return _sum(w * (np.abs(off) if mad else off * off))

    factor = np.float32(most) / span
    scale, offset = np.float32(1) / factor, low
    quants = np.clip(nearest(factor[:, None] * (x - low[:, None])), 0, most)
    best = error(scale, offset, quants)
    wx = w * x
    for at in range(steps + 1):
        factor = (np.float32(first) + np.float32(step) * np.float32(at) + np.float32(most)) / (high - offset)
        q = np.clip(nearest(factor[:, None] * (x - offset[:, None])), 0, most)  # from the best offset so far
        sum_l, sum_l2, sum_xl = _sum(w * q), _sum(w * q * q), _sum(wx * q)
        det = sum_w * sum_l2 - sum_l * sum_l
        d = (sum_w * sum_xl - sum_x * sum_l) / det
        m = (sum_l2 * sum_x - sum_l * sum_xl) / det
        above = m > 0
        m, d = np.where(above, np.float32(0), m), np.where(above, sum_xl / sum_l2, d)
        now = error(d, m, q)
        better = (det > 0) & (now < best)
        best, scale, offset = np.where(better, now, best), np.where(better, d, scale), np.where(better, m, offset)
        quants[better] = q[better]
    scale = np.where(flat, np.float32(0), scale)
    return scale, np.where(flat, low, offset), np.where(flat[:, None], 0, quants).astype(np.uint8)


def positive_scale(x: Array, most: int, w: Array) -> tuple[Array, Array]:
    """The scale d for which d * q is nearest to x, which is not negative, with q in [0, most]."""
    high = x.max(-1)
    base = np.float32(most) / high

    def error(factor: Array, q: Array) -> Array:
        off = x - q / factor[:, None]
        return _sum(w * off * off)

    factor = base
    best = error(base, nearest(base[:, None] * x))
    for step in (-4, -3, -2, -1, 1, 2, 3, 4):
        tried = (np.float32(0.1) * np.float32(step) + np.float32(most)) / high
        now = error(tried, np.minimum(nearest(tried[:, None] * x), most))
        better = now < best
        best, factor = np.where(better, now, best), np.where(better, tried, factor)
    q = np.minimum(nearest(factor[:, None] * x), most)
    scale, q = _descend(x, q, w, 0, most, False)
    zero = high < _EPS
    return np.where(zero, np.float32(0), scale), np.where(zero[:, None], 0, q).astype(np.uint8)


def descended_scale(x: Array, most: int) -> tuple[Array, Array]:
    """The scale d for which d * q is nearest to x, weighted by x squared, with q in [-most, most).

    One value after the other is bettered.
    """
    peak = extreme(x)[:, 0]
    q = np.clip(nearest((np.float32(-most) / peak)[:, None] * x), -most, most - 1)
    scale, q = _descend(x, q, x * x, -most, most - 1, True)
    zero = np.abs(peak) < _EPS
    return np.where(zero, np.float32(0), scale), np.where(zero[:, None], -most, q).astype(np.int8)


def _descend(x: Array, q: Array, w: Array, least: int, most: int, lone: bool) -> tuple[Array, Array]:
    """Better one quant after the other, five times round; ``lone`` where it may be the only one that is not 0."""
    q = np.ascontiguousarray(q.T)
    x, w = np.ascontiguousarray(x.T), np.ascontiguousarray(w.T)
    product, square = (w * x * q).sum(0, dtype=np.float32), (w * q * q).sum(0, dtype=np.float32)
    for _ in range(5):
        changed = False
        for wi, xi, qi in zip(w, x, q):
            p, s = product - wi * xi * qi, square - wi * qi * qi
            new = np.clip(nearest(xi * s / p), least, most)
            new = np.where(np.isfinite(new), new, qi)
            pn, sn = p + wi * xi * new, s + wi * new * new
            better = (p > 0) & (new != qi) & (pn * pn * square > product * product * sn) & ((sn > 0) if lone else (s > 0))
            if better.any():
                changed = True
                qi[better] = new[better]
                product, square = np.where(better, pn, product), np.where(better, sn, square)
        if not changed:
            break
    return _ratio(product, square), np.ascontiguousarray(q.T)
