"""Recurrences that are linear in their state: the heart of state-space models."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtype import FLOATS
from ..op import OPS, Dim, Spec, primitive
from .reduce import _from_behind

__all__: list[str] = []


def _before(y: Any, dim: int) -> Any:
    """y one step later, a zero first."""
    n = y.shape[dim]
    return OPS["cat"](y.narrow(dim, 0, 1).zeros_like(), y.narrow(dim, 0, n - 1), dim=dim)


def _scan_vjp(g: Any, y: Any, a: Any, _b: Any, dim: int) -> tuple[Any, Any]:
    n = a.shape[dim]
    if n == 0:
        return g, g
    following = OPS["cat"](a.narrow(dim, 1, n - 1), a.narrow(dim, 0, 1).zeros_like(), dim=dim)
    gb = linear_scan(following.flip(dim), g.flip(dim), dim=dim).flip(dim)
    return gb * _before(y, dim), gb


def _scan_expand(a: Any, b: Any, *, dim: int) -> Any:
    return _from_behind(a.flip(dim), b.flip(dim), dim).flip(dim)


def _scan_sample(d: Any) -> Any:
    shape = d.shape(min_dims=1)
    dtype = d.dtype(FLOATS)
    return [d.array(shape, dtype, (-1.0, 1.0)), d.array(shape, dtype)], {"dim": d.dim(shape)}


def _scan_shape(a: Spec, b: Spec, *, dim: int) -> tuple[int, ...]:
    if a.shape != b.shape:
        raise OPS["linear_scan"].misfit((a, b), "a and b have one shape")
    return a.shape


@primitive("T, T -> T", FLOATS, shape=_scan_shape, sample=_scan_sample, vjp=_scan_vjp, expand=_scan_expand, method=False,
           special=False, ulps=64, terms=lambda a, _b, *, dim: max(a.shape[dim], 1))  # fmt: skip
def linear_scan(a, b, *, dim: Dim):
    """The y with y[t] = a[t] y[t - 1] + b[t] along a dimension, y before the first being 0.  https://arxiv.org/abs/2312.00752"""
    y = np.array(b, copy=True)
    ys, factors = np.moveaxis(y, dim, 0), np.moveaxis(a, dim, 0)
    for t in range(1, len(ys)):
        ys[t] += factors[t] * ys[t - 1]
    return y
