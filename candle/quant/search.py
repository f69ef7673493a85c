"""The searches for scales that GGML's encoders make, for all groups of values at once.

Each takes groups x [g, n] and weights [g, n] of the squared errors, and gives scales [g] and quants [g, n].  Within, a
group is a column, so that sums over it are taken in order, as GGML's loops take them, and over many groups at a time.
Source: ggml-quants.c (make_qx_quants, make_qkx2_quants, make_qkx3_quants, make_qp_quants, make_q3_quants).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .bits import Array

_EPS = np.float32(1e-15)  # a group of smaller values is zero


def _columns(x: Array) -> Array:
    return np.ascontiguousarray(x.T)


def _sum(x: Array) -> Array:
    return np.add.reduce(x, 0, dtype=np.float32)


def _peak(x: Array) -> Array:
    """The element of the largest magnitude of each column, the first of several, with its sign."""
    return np.take_along_axis(x, np.abs(x).argmax(0)[None], 0)[0]


def _ratio(a: Array, b: Array) -> Array:
    return np.where(b > 0, a / b, np.float32(0))


def _rounded(x: Array, least: int, most: int, out: Array) -> Array:
    """The nearest integers, halves to even, within bounds."""
    np.rint(x, out)
    np.minimum(out, np.float32(most), out=out)
    return np.maximum(out, np.float32(least), out=out)


def signed_scale(x: Array, most: int, weights: Array | None = None) -> tuple[Array, Array]:
    """The scale d for which d * q is nearest to x, with q in [-most, most); weighted by x squared where no weights are given."""
    x = _columns(x)
    w = x * x if weights is None else _columns(weights)
    peak, wx = _peak(x), w * x
    q, part = np.empty_like(x), np.empty_like(x)
    best: Any = None
    scale: Any = None
    quants: Any = None
    for step in (0, *[s for s in range(-9, 10) if s]):
        factor = -(np.float32(most) + np.float32(0.1) * np.float32(step)) / peak
        _rounded(np.multiply(factor, x, out=part), -most, most - 1, q)
        product = _sum(np.multiply(wx, q, out=part))
        np.multiply(w, q, out=part)
        square = _sum(np.multiply(part, q, out=part))
        if best is None:
            scale, quants = _ratio(product, square), q.copy()
            best = scale * product
            continue
        better = (square > 0) & (product * product > best * square)
        scale = np.where(better, product / square, scale)
        best = np.where(better, scale * product, best)
        np.copyto(quants, q, where=better)
    zero = np.abs(peak) < _EPS
    quants[:, zero] = -most
    return np.where(zero, np.float32(0), scale), quants.T.astype(np.int8)


def offset_scale(
    x: Array, most: int, w: Array, first: float, step: float, steps: int, mad: bool = False
) -> tuple[Array, Array, Array]:
    """The scale d and offset m (at most 0) for which d * q + m is nearest to x, with q in [0, most]: d, m, q.

    ``mad`` measures absolute instead of squared errors.
    """
    x, w = _columns(x), _columns(w)
    low, high = np.minimum(x.min(0), np.float32(0)), x.max(0)
    flat = high <= low
    sum_w, sum_x = _sum(w), _sum(w * x)
    q, part = np.empty_like(x), np.empty_like(x)

    def quants_of(factor: Array, offset: Array) -> Array:
        np.subtract(x, offset, out=part)
        return _rounded(np.multiply(factor, part, out=part), 0, most, q)

    def error(scale: Array, offset: Array) -> Array:
        np.multiply(scale, q, out=part)
        np.add(part, offset, out=part)
        np.subtract(part, x, out=part)
        np.multiply(part, np.sign(part) if mad else part, out=part)
        return _sum(np.multiply(w, part, out=part))

    factor = np.float32(most) / (high - low)
    scale, offset = np.float32(1) / factor, low
    quants = quants_of(factor, low).copy()
    best = error(scale, offset)
    for at in range(steps + 1):
        factor = (np.float32(first) + np.float32(step) * np.float32(at) + np.float32(most)) / (high - offset)
        quants_of(factor, offset)  # from the best offset so far
        sum_l = _sum(np.multiply(w, q, out=part))
        sum_xl = _sum(part * x)
        sum_l2 = _sum(np.multiply(part, q, out=part))
        det = sum_w * sum_l2 - sum_l * sum_l
        d = (sum_w * sum_xl - sum_x * sum_l) / det
        m = (sum_l2 * sum_x - sum_l * sum_xl) / det
        above = m > 0
        m, d = np.where(above, np.float32(0), m), np.where(above, sum_xl / sum_l2, d)
        now = error(d, m)
        better = (det > 0) & (now < best)
        best, scale, offset = np.where(better, now, best), np.where(better, d, scale), np.where(better, m, offset)
        np.copyto(quants, q, where=better)
    quants[:, flat] = 0
    return np.where(flat, np.float32(0), scale), np.where(flat, low, offset), quants.T.astype(np.uint8)


def positive_scale(x: Array, most: int, w: Array) -> tuple[Array, Array]:
    """The scale d for which d * q is nearest to x, which is not negative, with q in [0, most]."""
    x, w = _columns(x), _columns(w)
    high = x.max(0)

    def error(factor: Array, q: Array) -> Array:
        off = x - (np.float32(1) / factor) * q
        return _sum(w * off * off)

    factor = np.float32(most) / high
    best = error(factor, np.rint(factor * x))
    for step in (-4, -3, -2, -1, 1, 2, 3, 4):
        tried = (np.float32(0.1) * np.float32(step) + np.float32(most)) / high
        now = error(tried, np.minimum(np.rint(tried * x), np.float32(most)))
        better = now < best
        best, factor = np.where(better, now, best), np.where(better, tried, factor)
    scale, q = _descend(x, np.minimum(np.rint(factor * x), np.float32(most)), w, 0, most, False)
    zero = high < _EPS
    q[:, zero] = 0
    return np.where(zero, np.float32(0), scale), q.T.astype(np.uint8)


def descended_scale(x: Array, most: int) -> tuple[Array, Array]:
    """The scale d for which d * q is nearest to x, weighted by x squared, with q in [-most, most).

    One value after the other is bettered.
    """
    x = _columns(x)
    peak = _peak(x)
    start = _rounded((np.float32(-most) / peak) * x, -most, most - 1, np.empty_like(x))
    scale, q = _descend(x, start, x * x, -most, most - 1, True)
    zero = np.abs(peak) < _EPS
    q[:, zero] = -most
    return np.where(zero, np.float32(0), scale), q.T.astype(np.int8)


def _descend(x: Array, q: Array, w: Array, least: int, most: int, lone: bool) -> tuple[Array, Array]:
    """Better one quant after the other, five times round; ``lone`` where it may be the only one that is not 0."""
    product, square = _sum(w * x * q), _sum(w * q * q)
    for _ in range(5):
        changed = False
        for wi, xi, qi in zip(w, x, q):
            p, s = product - wi * xi * qi, square - wi * qi * qi
            new = np.clip(np.rint(xi * s / p), least, most)
            new = np.where(np.isfinite(new), new, qi)
            pn, sn = p + wi * xi * new, s + wi * new * new
            better = (p > 0) & (new != qi) & (pn * pn * square > product * product * sn) & ((sn > 0) if lone else (s > 0))
            if better.any():
                changed = True
                qi[better] = new[better]
                product, square = np.where(better, pn, product), np.where(better, sn, square)
        if not changed:
            break
    return _ratio(product, square), q


def table_scale(x: Array, w: Array, table: Array, tries: int) -> Array:
    """The scale d [g] for which d times values of a rising table come nearest to x.  Source: quantize_row_iq4_nl_impl."""
    x, w = _columns(x), _columns(w)
    peak, part = _peak(x), np.empty_like(x)
    best: Any = None
    scale: Any = None
    for step in (None, *range(-tries, tries + 1)):
        factor = np.float32(1) / (-peak / table[0]) if step is None else (np.float32(step) + table[0]) / peak
        q = table[places(np.multiply(factor, x, out=part), table)]
        np.multiply(w, q, out=part)
        product, square = _sum(part * x), _sum(part * q)
        if best is None:
            scale = _ratio(product, square)
            best = scale * product
            continue
        better = (square > 0) & (product * product > best * square)
        scale = np.where(better, product / square, scale)
        best = np.where(better, scale * product, best)
    return np.where(np.abs(peak) < _EPS, np.float32(0), scale)


def places(x: Array, table: Array) -> Array:
    """The place of the value of a rising table that is nearest to each x; of two equally near the higher one."""
    found = np.zeros(x.shape, np.uint8)
    for limit in (table[1:] + table[:-1]) / 2:
        found += x >= limit
    return found
