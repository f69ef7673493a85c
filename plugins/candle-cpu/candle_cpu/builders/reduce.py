"""Builders of reductions: over the operand's own layout, in float32 for halves and in 64 bits for whole numbers."""

from __future__ import annotations

from functools import partial
from typing import Any

from candle import dtype as dt
from candle.op import Spec

from .base import BUILDERS, kernel, wide

_SUM, _PROD, _MAX, _MIN, _MEAN = range(5)


def _computed(dtype: dt.DType) -> dt.DType | None:
    """What a reduction of a dtype is computed in."""
    if dtype is dt.uint64 or dtype is dt.bool_:
        return dtype
    return dt.int64 if dtype.kind in "iu" else wide(dtype) if dtype.kind == "f" else None


def _reduce(name: str, op: int, dtype: dt.DType | None, out: Spec, x: Spec, dim: Any) -> Any:
    if dtype is None:
        return None
    mask = [int(d in dim) for d in range(x.ndim)]
    return kernel(name, dtype, out, 1, [*mask, op], work=x.size)


def _sum(op: int, out: Spec, x: Spec, *, dim: Any, keepdim: bool, dtype: dt.DType | None) -> Any:
    if (out.dtype.kind in "iu" and x.dtype.kind == "c") or out.dtype.kind == "b":
        return None
    return _reduce("reduce", op, None if x.dtype.kind == "c" else _computed(out.dtype), out, x, dim)


BUILDERS["sum"] = partial(_sum, _SUM)
BUILDERS["prod"] = partial(_sum, _PROD)
BUILDERS["mean"] = partial(_sum, _MEAN)


def _extreme(name: str, op: int, out: Spec, x: Spec, *, dim: Any, keepdim: bool) -> Any:
    dim = tuple(range(x.ndim)) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    return _reduce(name, op, _computed(x.dtype), out, x, dim)


BUILDERS["amax"] = partial(_extreme, "reduce", _MAX)
BUILDERS["amin"] = partial(_extreme, "reduce", _MIN)
BUILDERS["argmax"] = partial(_extreme, "arg", _MAX)
BUILDERS["argmin"] = partial(_extreme, "arg", _MIN)


def _truth(op: int, out: Spec, x: Spec, *, dim: Any, keepdim: bool) -> Any:
    return None if x.dtype is dt.complex128 else _reduce("reduce", op, dt.bool_, out, x, dim)


BUILDERS["any"] = partial(_truth, _MAX)
BUILDERS["all"] = partial(_truth, _MIN)


def _scan(op: int, out: Spec, x: Spec, *, dim: int, dtype: dt.DType | None) -> Any:
    computed = _computed(out.dtype)
    if x.dtype.kind == "c" or computed is None or computed is dt.bool_ or not x.ndim:
        return None
    return kernel("scan", dt.int64 if computed is dt.uint64 else computed, out, 1, [dim, op], work=x.size * 4)


BUILDERS["cumsum"] = partial(_scan, _SUM)
BUILDERS["cumprod"] = partial(_scan, _PROD)
