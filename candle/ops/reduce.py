"""Reductions along dimensions, cumulative operations, sorting and statistics."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..dtype import ALL, INEXACT, NUMBERS, REALS, int64
from ..op import Dim, Dims, DType, Spec, composite, primitive

# -- reductions ------------------------------------------------------------------------------------


def reduced(x: Spec, *, dim: Dims, keepdim: bool = False, **_: Any) -> tuple[int, ...]:
    """The shape that remains."""
    return tuple([1 if i in dim else n for i, n in enumerate(x.shape) if keepdim or i not in dim])


def unreduced(g: Any, x: Any, dim: Dims) -> Any:
    """A reduction's gradient, brought to the operand's shape."""
    return g.reshape(reduced(x.spec, dim=dim, keepdim=True)).expand(x.shape)


def _terms(x: Spec, *, dim: Dims, **_: Any) -> int:
    return int(np.prod([x.shape[d] for d in dim], dtype=np.int64)) if dim else 1


def _sample(types: Any) -> Any:
    def sample(d: Any) -> Any:
        shape = d.shape()
        return [d.array(shape, d.dtype(types))], {"dim": d.dims(shape), "keepdim": d.bool()}

    return sample


reduction = partial(primitive, "T -> T", shape=reduced, terms=_terms)


def _sum_dtype(x: Spec, *, dtype: DType | None, **_: Any) -> DType:
    return dtype or (int64 if x.dtype.kind in "biu" else x.dtype)


@reduction(ALL, required=True, result=_sum_dtype, sample=_sample(ALL), star=None,
           vjp=(lambda g, _y, _x, dim, keepdim, dtype: unreduced(g, _x, dim),))  # fmt: skip
def sum_(x, *, dim: Dims = None, keepdim: bool = False, dtype: DType = None):
    """Sum; of integers and booleans in int64."""
    kind = dtype.numpy if dtype else np.int64 if x.dtype.kind in "biu" else x.dtype
    return np.sum(x, dim, keepdims=keepdim, dtype=kind)


_ = Dim, INEXACT, NUMBERS, REALS, composite
