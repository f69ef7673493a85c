"""Tensors made from nothing: constants, ranges, identities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..dtype import EVERY, FLOATS, INEXACT, REALS, float64, int64
from ..op import DType, Shape, primitive
from .elementwise import cast, where


def _full_sample(d: Any) -> Any:
    dtype = d.dtype(EVERY)
    values = {"f": [0, 1, True, 0.375, -1.5, math.inf, -math.inf], "c": [0, 1, -1.5, 0.375], "i": [0, 1, True, -1, 100]}
    far = [2**53 + 1, -(2**60) + 1, 2**62 + 3] if dtype is int64 else []
    return [], {"shape": d.shape(), "value": d.one([*far, *values.get(dtype.kind, [0, 1, True])]), "dtype": dtype}


@primitive("-> dtype", required=True, method=False, wide=False, shape=lambda *, shape, value, dtype: shape, sample=_full_sample)
def full(*, shape: Shape, value: Any, dtype: DType):
    """One number everywhere."""
    array = np.asarray(value)
    return np.broadcast_to(array.astype(dtype.numpy), shape)


def _arange_sample(d: Any) -> Any:
    dtype = d.dtype(REALS)
    start = d.int(0, 5) if dtype.kind == "u" else d.int(-5, 5)
    step, length = d.int(1, 3), d.size(0)
    if dtype.itemsize == 1:
        length = min(length, 30)
    if dtype.kind == "f":
        start, step = start + d.one([0, 0.5]), step * d.one([1, -1, 0.25])
    elif dtype.kind == "i":
        step *= d.one([1, -1])
    return [], {"start": start, "step": step, "length": length, "dtype": dtype}


@primitive("-> dtype", required=True, method=False, wide=False, sample=_arange_sample,
           shape=lambda *, start, step, length, dtype: (length,), ulps=8)  # fmt: skip
def arange(*, start: Any, step: Any, length: int, dtype: DType):
    """start, start + step, ... in float64 (integers exactly), then rounded to the dtype."""
    return (start + step * np.arange(length)).astype(dtype.numpy)


def _counted(n: int, dtype: DType = int64) -> Any:
    return arange(start=0, step=1, length=n, dtype=dtype)


def _linspace_expand(*, start: Any, end: Any, steps: int, dtype: DType) -> Any:
    n = _counted(steps, float64)
    step = (end - start) / (steps - 1) if steps > 1 else 0.0
    late = _counted(steps) >= steps // 2 + steps % 2
    y = where(late, end - (steps - 1 - n) * step, n * step + start) if steps > 1 else n * 0 + start
    return cast(y, dtype=dtype)


def _eye_expand(*, n: int, m: int, k: int, dtype: DType) -> Any:
    return cast((_counted(m) - k).eq(_counted(n).unsqueeze(1)), dtype=dtype)


def _linspace_sample(d: Any) -> Any:
    start, end = d.int(-5, 5) + d.one([0, 0.25]), d.int(-5, 5)
    return [], {"start": start, "end": end, "steps": d.size(0), "dtype": d.dtype(FLOATS)}


@primitive("-> dtype", method=False, wide=False, shape=lambda *, start, end, steps, dtype: (steps,),
           sample=_linspace_sample, expand=_linspace_expand, ulps=8)  # fmt: skip
def linspace(*, start: Any, end: Any, steps: int, dtype: DType):
    """``steps`` numbers evenly from start to end, both included, computed from both ends so that they meet exactly."""
    n = np.arange(steps)
    step = (end - start) / (steps - 1) if steps > 1 else 0.0
    early = n < steps // 2 + steps % 2
    y = np.where(early, start + step * n, end - step * (steps - 1 - n)) if steps > 1 else np.full(steps, start)
    return np.trunc(y).astype(dtype.numpy) if dtype.kind in "iu" else y.astype(dtype.numpy)


def _eye_sample(d: Any) -> Any:
    return [], {"n": d.size(0), "m": d.size(0), "k": d.int(-2, 2), "dtype": d.dtype(REALS + INEXACT)}


@primitive("-> dtype", method=False, wide=False, shape=lambda *, n, m, k, dtype: (n, m), sample=_eye_sample, expand=_eye_expand)
def eye(*, n: int, m: int, k: int, dtype: DType):
    """Ones on the k-th diagonal, zeros elsewhere."""
    return np.eye(n, m, k, dtype=np.int8).astype(dtype.numpy)
