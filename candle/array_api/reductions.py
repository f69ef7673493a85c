"""The standard's statistical functions and other reductions."""

from __future__ import annotations

import builtins
from typing import Any, Callable

from .. import dtype as dt
from ..dtype import DType
from ..op import OPS
from ..tensor import Tensor, run
from .array import Array, axes_of, cast, standard_dtype, unwrap


def accumulated(t: Tensor, dtype: Any) -> DType:
    """Sums and products of integers are at least of the default integer's size."""
    wanted = standard_dtype(dtype)
    if wanted is not None:
        return wanted
    if t.dtype.kind == "u":
        return t.dtype if t.dtype.itemsize == 8 else dt.uint64
    return dt.int64 if t.dtype.kind in "ib" else t.dtype


def _reduction(name: str, op: str, kinds: str, accumulate: builtins.bool = False) -> Callable[..., Array]:
    def function(x: Array, /, *, axis: Any = None, keepdims: builtins.bool = False) -> Array:
        t = unwrap(x)
        if t.dtype.kind not in kinds:
            raise TypeError(f"{name} takes arrays of kind {kinds!r} but was given {t.spec}")
        return Array(run(OPS[op], (t,), {"dim": axes_of(axis, t.ndim, name), "keepdim": keepdims}))

    def summing(x: Array, /, *, axis: Any = None, dtype: Any = None, keepdims: builtins.bool = False) -> Array:
        t = unwrap(x)
        wanted, dims = accumulated(t, dtype), axes_of(axis, t.ndim, name)
        return Array(cast(run(OPS[op], (cast(t, wanted),), {"dim": dims, "keepdim": keepdims, "dtype": wanted}), wanted))

    made = summing if accumulate else function
    made.__name__ = made.__qualname__ = name
    made.__doc__ = OPS[op].doc
    return made


sum = _reduction("sum", "sum", "iufc", accumulate=True)
prod = _reduction("prod", "prod", "iufc", accumulate=True)
max = _reduction("max", "amax", "iuf")
min = _reduction("min", "amin", "iuf")
mean = _reduction("mean", "mean", "fc")
any = _reduction("any", "any", "biufc")
all = _reduction("all", "all", "biufc")


def _spread(op: str) -> Callable[..., Array]:
    def function(x: Array, /, *, axis: Any = None, correction: float = 0.0, keepdims: builtins.bool = False) -> Array:
        t = unwrap(x)
        if t.dtype.kind != "f":
            raise TypeError(f"{op} takes real floats but was given {t.spec}")
        dims = axes_of(axis, t.ndim, op)
        return Array(run(OPS[op], (t,), {"dim": dims, "correction": correction, "keepdim": keepdims}))

    function.__name__ = function.__qualname__ = op
    function.__doc__ = OPS[op].doc
    return function


std = _spread("std")
var = _spread("var")


def _cumulative(name: str, op: str, initial: int) -> Callable[..., Array]:
    def function(x: Array, /, *, axis: int | None = None, dtype: Any = None, include_initial: builtins.bool = False) -> Array:
        t = unwrap(x)
        if axis is None:
            if t.ndim != 1:
                raise ValueError(f"{name} needs an axis for {t.spec}")
            axis = 0
        t = cast(t, accumulated(t, dtype))
        y = cast(run(OPS[op], (t,), {"dim": axis}), t.dtype)
        if include_initial:
            axis = axis + t.ndim if axis < 0 else axis
            first = run(
                OPS["full"],
                (),
                {"shape": (*t.shape[:axis], 1, *t.shape[axis + 1 :]), "value": initial, "dtype": t.dtype},
                t.backend,
            )
            y = OPS["cat"]([first, y], dim=axis)
        return Array(y)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = OPS[op].doc
    return function


cumulative_sum = _cumulative("cumulative_sum", "cumsum", 0)
cumulative_prod = _cumulative("cumulative_prod", "cumprod", 1)


def count_nonzero(x: Array, /, *, axis: Any = None, keepdims: builtins.bool = False) -> Array:
    """How many elements are not zero."""
    t = unwrap(x)
    return Array(run(OPS["sum"], (t != 0,), {"dim": axes_of(axis, t.ndim, "count_nonzero"), "keepdim": keepdims}))


def diff(x: Array, /, *, axis: int = -1, n: int = 1, prepend: Array | None = None, append: Array | None = None) -> Array:
    """Differences of neighbours along an axis, n times."""
    t = unwrap(x)
    if n < 0:
        raise ValueError(f"diff takes differences 0 times or more but n={n} was given")
    parts = [unwrap(p) for p in (prepend, x, append) if p is not None]
    if len(parts) > 1:
        t = OPS["cat"]([cast(p, t.dtype) for p in parts], dim=axis)
    for _ in range(n):
        size = t.shape[axis]
        late, early = (
            t.narrow(axis, 1, builtins.max(size - 1, 0)) if size else t,
            t.narrow(axis, 0, builtins.max(size - 1, 0)) if size else t,
        )
        t = (late != early) if t.dtype.kind == "b" else late - early
    return Array(t)


__all__ = [
    "all", "any", "count_nonzero", "cumulative_prod", "cumulative_sum", "diff", "max", "mean", "min", "prod", "std", "sum", "var",
]  # fmt: skip
