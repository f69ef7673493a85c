"""The standard's functions that search, sort and make sets."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

import numpy as np

from .. import create
from ..op import OPS
from ..tensor import run
from .array import Array, axes_of, together, unwrap


def _arg(name: str) -> Callable[..., Array]:
    def function(x: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Array:
        t = unwrap(x)
        if t.dtype.kind not in "iuf":
            raise TypeError(f"{name} takes real numbers but was given {t.spec}")
        return Array(OPS[name](t, dim=axis, keepdim=keepdims))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = OPS[name].doc
    return function


argmax = _arg("argmax")
argmin = _arg("argmin")


def nonzero(x: Array, /) -> tuple[Array, ...]:
    """The indices of the elements that are not zero, one array an axis."""
    t = unwrap(x)
    if not t.ndim:
        raise ValueError("nonzero takes at least one dimension")
    found = t.nonzero()
    return tuple([Array(found[:, i]) for i in range(t.ndim)])


def where(condition: Array, x1: Any, x2: Any, /) -> Array:
    """x1 where the condition holds, else x2."""
    a, b = together(x1, x2)
    return Array(run(OPS["where"], (unwrap(condition), a, b), {}))


def searchsorted(x1: Array, x2: Any, /, *, side: str = "left", sorter: Array | None = None) -> Array:
    """Where to insert x2 so that x1 stays sorted."""
    if side not in ("left", "right"):
        raise ValueError(f"searchsorted's side is 'left' or 'right' but {side!r} was given")
    a, b = together(x1, x2)
    if a.ndim != 1 or a.dtype.kind not in "iuf":
        raise TypeError(f"searchsorted takes a vector of real numbers in order but was given {a.spec}")
    if sorter is not None:
        a = a.index_select(0, unwrap(sorter).long())
    return Array(OPS["searchsorted"](a, b, right=side == "right"))


def sort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """Sorted along an axis."""
    t = unwrap(x)
    (at,) = axes_of(axis, t.ndim, "sort")
    return Array(t.sort(dim=at, descending=descending, stable=stable)[0])


def argsort(x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Array:
    """The indices that sort along an axis."""
    t = unwrap(x)
    (at,) = axes_of(axis, t.ndim, "argsort")
    return Array(t.sort(dim=at, descending=descending, stable=stable)[1])


def isin(x1: Any, x2: Any, /, *, invert: bool = False) -> Array:
    """Whether each element of x1 is among those of x2; NaN is among none."""
    a, b = together(x1, x2)
    return Array(OPS["isin"](a, b, invert=invert))


class unique_all_result(NamedTuple):
    values: Array
    indices: Array
    inverse_indices: Array
    counts: Array


class unique_counts_result(NamedTuple):
    values: Array
    counts: Array


class unique_inverse_result(NamedTuple):
    values: Array
    inverse_indices: Array


def unique_all(x: Array, /) -> unique_all_result:
    """The distinct elements, where each is first, which each element is, and how often each comes; every NaN is distinct."""
    t = unwrap(x)
    array = t.numpy()
    found = np.unique(array, return_index=True, return_inverse=True, return_counts=True, equal_nan=False)
    values, first, inverse, counts = (create.as_tensor(np.ascontiguousarray(f), device=t.backend) for f in found)
    return unique_all_result(Array(values), Array(first.long()), Array(inverse.long().reshape(t.shape)), Array(counts.long()))


def unique_counts(x: Array, /) -> unique_counts_result:
    """The distinct elements and how often each comes."""
    found = unique_all(x)
    return unique_counts_result(found.values, found.counts)


def unique_inverse(x: Array, /) -> unique_inverse_result:
    """The distinct elements and which of them each element is."""
    found = unique_all(x)
    return unique_inverse_result(found.values, found.inverse_indices)


def unique_values(x: Array, /) -> Array:
    """The distinct elements."""
    return unique_all(x).values


__all__ = [
    "argmax", "argmin", "argsort", "isin", "nonzero", "searchsorted", "sort", "unique_all", "unique_counts", "unique_inverse",
    "unique_values", "where",
]  # fmt: skip
