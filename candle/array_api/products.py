"""The standard's products of matrices and vectors."""

from __future__ import annotations

from typing import Any

from ..op import FUNCTIONS, OPS
from ..tensor import Tensor, run
from .array import Array, together, unwrap


def _numbers(*arrays: Array) -> list[Tensor]:
    tensors = together(*arrays)
    if tensors[0].dtype.kind == "b":
        raise TypeError("products take numbers but bool was given")
    return tensors


def matmul(x1: Array, x2: Array, /) -> Array:
    """Matrix product."""
    a, b = _numbers(x1, x2)
    return Array(a @ b)


def matrix_transpose(x: Array, /) -> Array:
    """The last two axes exchanged."""
    return Array(unwrap(x).mT)


def tensordot(x1: Array, x2: Array, /, *, axes: Any = 2) -> Array:
    """Products summed over some axes of both."""
    a, b = _numbers(x1, x2)
    dims = axes if isinstance(axes, int) else tuple([tuple(s) for s in axes])
    return Array(FUNCTIONS["tensordot"](a, b, dims))


def vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """Products of vectors along an axis, the first conjugated."""
    a, b = _numbers(x1, x2)
    if not -min(a.ndim, b.ndim) <= axis < 0:
        raise ValueError(f"vecdot's axis is negative and within both arrays but {axis} was given for {a.spec} and {b.spec}")
    if a.shape[axis] != b.shape[axis]:
        raise ValueError(f"vecdot takes vectors of one length but was given {a.spec} and {b.spec} along {axis}")
    a, b = (FUNCTIONS["movedim"](t, axis, -1) for t in (a, b))
    if a.dtype.kind == "c":
        a = a.conj()
    return Array(run(OPS["sum"], (a * b,), {"dim": -1, "keepdim": False, "dtype": a.dtype}))


__all__ = ["matmul", "matrix_transpose", "tensordot", "vecdot"]
