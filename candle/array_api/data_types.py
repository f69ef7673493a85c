"""The standard's functions of dtypes."""

from __future__ import annotations

import builtins
from typing import Any, NamedTuple

from .. import dtype as dt
from ..device import resolve
from ..dtype import DType, as_dtype
from .array import KINDS, Array, promote, scalar_dtype, standard_dtype, unwrap


def astype(x: Array, dtype: Any, /, *, copy: builtins.bool = True, device: Any = None) -> Array:
    """The values in another dtype."""
    t = unwrap(x)
    wanted = standard_dtype(dtype)
    if t.dtype.kind == "c" and wanted is not None and wanted.kind not in "cb":
        raise TypeError(f"{t.dtype} is not cast to {wanted}, which would lose the imaginary part; use real")
    if not copy and wanted is t.dtype and device is None:
        return x
    return Array(t.to(device=None if device is None else resolve(device), dtype=wanted))


def can_cast(from_: Any, to: Any, /) -> builtins.bool:
    """Whether the standard's promotion takes one dtype to the other."""
    source = from_.dtype if isinstance(from_, Array) else as_dtype(from_)
    target = as_dtype(to)
    try:
        return promote(source, target) is target
    except TypeError:
        return False


class finfo_object(NamedTuple):
    """What ``finfo`` gives."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: DType


class iinfo_object(NamedTuple):
    """What ``iinfo`` gives."""

    bits: int
    max: int
    min: int
    dtype: DType


def _of(type_: Any) -> DType:
    return type_.dtype if isinstance(type_, Array) else as_dtype(type_)


def finfo(type: Any, /) -> finfo_object:
    """The limits of a floating dtype; of a complex one, its parts'."""
    d = dt.real_of(_of(type))
    i = dt.finfo(d)
    return finfo_object(i.bits, float(i.eps), float(i.max), float(i.min), float(i.smallest_normal), d)


def iinfo(type: Any, /) -> iinfo_object:
    """The limits of an integer dtype."""
    d = _of(type)
    i = dt.iinfo(d)
    return iinfo_object(i.bits, int(i.max), int(i.min), d)


def isdtype(dtype: Any, kind: Any) -> builtins.bool:
    """Whether a dtype is, or is of, a kind."""
    d = as_dtype(dtype)
    if isinstance(kind, tuple):
        return builtins.any(isdtype(d, k) for k in kind)
    if isinstance(kind, str):
        if kind not in KINDS:
            raise ValueError(f"a kind is one of {', '.join(KINDS)} but {kind!r} was given")
        return d.kind in KINDS[kind]
    return d is as_dtype(kind)


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype of an operation on arrays, dtypes and Python numbers."""
    numbers = [a for a in arrays_and_dtypes if isinstance(a, (builtins.bool, int, float, complex))]
    others = [_of(a) for a in arrays_and_dtypes if not isinstance(a, (builtins.bool, int, float, complex))]
    if not others:
        raise ValueError("result_type takes at least one array or dtype")
    found = promote(*others)
    for n in numbers:
        found = scalar_dtype(n, found)
    return found


__all__ = ["astype", "can_cast", "finfo", "iinfo", "isdtype", "result_type"]
