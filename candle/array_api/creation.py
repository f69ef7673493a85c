"""The standard's creation functions."""

from __future__ import annotations

import builtins
import math
import operator
from typing import Any

import numpy as np

from .. import create
from .. import dtype as dt
from ..device import resolve
from ..dtype import DType, as_dtype
from ..op import FUNCTIONS, OPS
from ..tensor import Tensor, run
from .array import Array, cast, standard_dtype, together, unwrap


def _shape(shape: Any) -> tuple[int, ...]:
    return tuple([operator.index(n) for n in (shape if isinstance(shape, (tuple, list)) else (shape,))])


def _held(value: Any, dtype: DType) -> Any:
    """A Python number that a dtype holds; raises OverflowError or TypeError otherwise."""
    if isinstance(value, complex) and dtype.kind not in "cb":
        raise TypeError(f"{value} is complex, which {dtype} is not")
    if dtype.kind in "iu" and isinstance(value, (int, float)):
        limits = np.iinfo(dtype.numpy)
        if not math.isfinite(value) or not limits.min <= math.trunc(value) <= limits.max:
            raise OverflowError(f"{value} is outside of {dtype}, which goes from {limits.min} to {limits.max}")
    return value


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: builtins.bool | None = None) -> Array:
    """An array of the values of an array, a number, nested lists, or what has a buffer or DLPack.

    Memory is shared where that is safe, unless ``copy``: of arrays of candle, of DLPack, and of what cannot be written to.
    ``copy=False`` shares what can be written to as well, and then it must not be; raises ValueError where it cannot share.
    """
    wanted = standard_dtype(dtype)
    if isinstance(obj, Array):
        t = obj._tensor
        if copy is False and ((wanted not in (None, t.dtype)) or (device is not None and resolve(device) is not t.backend)):
            raise ValueError("a copy is needed for another dtype or device; pass copy=None")
        moved = _moved(t, wanted, device, copy)
        return obj if moved is t else Array(moved)
    if isinstance(obj, Tensor):
        return Array(_moved(obj, wanted, device, copy))
    if isinstance(obj, (builtins.bool, int, float, complex)) and not isinstance(obj, np.generic):
        _held(obj, wanted or as_dtype(type(obj)))
    if hasattr(obj, "__dlpack__") and not isinstance(obj, (np.ndarray, np.generic)):
        found = create.from_dlpack(obj, device=None if device is None else resolve(device), copy=copy)
        return asarray(Array(found), dtype=wanted, copy=None if copy else copy)
    value = _plain(obj)
    if copy is False and isinstance(value, np.ndarray):
        value = value.view()
        value.flags.writeable = False
    made = (create.tensor if copy else create.as_tensor)(value, wanted, resolve(device))
    if copy is False and not (isinstance(value, np.ndarray) and (not value.size or np.shares_memory(value, made.numpy()))):
        raise ValueError(f"a {type(obj).__name__} cannot be made an array of {made.spec} without a copy; pass copy=None")
    return Array(made)


def _moved(t: Tensor, dtype: DType | None, device: Any, copy: builtins.bool | None) -> Tensor:
    """t of another dtype and on another device; t itself where it is so already, unless a copy is wanted."""
    found = t.to(device=None if device is None else resolve(device), dtype=dtype)
    return t.clone() if copy and found is t else found


def _plain(obj: Any) -> Any:
    """Nested lists with arrays without dimensions in them, as numbers; what has a buffer, as an array of NumPy."""
    if isinstance(obj, Array):
        return obj._tensor.item() if not obj.ndim else obj._tensor.numpy()
    if isinstance(obj, (list, tuple)):
        return [_plain(o) for o in obj]
    if isinstance(obj, (builtins.bool, int, float, complex, str, np.ndarray)):
        return obj
    if hasattr(obj, "__array__"):
        return np.asarray(obj)
    try:
        return np.asarray(memoryview(obj))
    except TypeError:
        return obj


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Array:
    """Numbers from start up to but not including stop."""
    if stop is None:
        start, stop = 0, start
    wanted = standard_dtype(dtype)
    if wanted is None:
        wanted = dt.int64 if builtins.all(isinstance(v, int) for v in (start, stop, step)) else dt.get_default_dtype()
    if not step or wanted.kind == "b":
        raise ValueError(f"arange takes a step other than 0 and a dtype of numbers but {step} and {wanted} were given")
    whole = builtins.all(isinstance(v, int) for v in (start, stop, step))
    length = builtins.max(0, -((start - stop) // step) if whole else math.ceil((stop - start) / step))
    return Array(run(OPS["arange"], (), {"start": start, "step": step, "length": length, "dtype": wanted}, resolve(device)))


def _filled(shape: Any, value: Any, dtype: DType, device: Any) -> Array:
    value = _held(value, dtype)
    return Array(run(OPS["full"], (), {"shape": _shape(shape), "value": value, "dtype": dtype}, resolve(device)))


def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Array:
    """Zeros."""
    return _filled(shape, 0, standard_dtype(dtype) or dt.get_default_dtype(), device)


def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Array:
    """Ones."""
    return _filled(shape, 1, standard_dtype(dtype) or dt.get_default_dtype(), device)


def empty(shape: Any, *, dtype: Any = None, device: Any = None) -> Array:
    """Zeros: values are immutable, so memory without values has no use."""
    return zeros(shape, dtype=dtype, device=device)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Array:
    """One number everywhere."""
    wanted = standard_dtype(dtype) or as_dtype(type(fill_value))
    return _filled(shape, fill_value, wanted, device)


def zeros_like(x: Array, /, *, dtype: Any = None, device: Any = None) -> Array:
    """Zeros in the shape of another array."""
    return full_like(x, 0, dtype=dtype, device=device)


def ones_like(x: Array, /, *, dtype: Any = None, device: Any = None) -> Array:
    """Ones in the shape of another array."""
    return full_like(x, 1, dtype=dtype, device=device)


def empty_like(x: Array, /, *, dtype: Any = None, device: Any = None) -> Array:
    """Zeros in the shape of another array."""
    return full_like(x, 0, dtype=dtype, device=device)


def full_like(x: Array, /, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Array:
    """One number everywhere in the shape of another array."""
    t = unwrap(x)
    return _filled(t.shape, fill_value, standard_dtype(dtype) or t.dtype, t.backend if device is None else device)


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None) -> Array:
    """Ones on the k-th diagonal."""
    m = n_rows if n_cols is None else n_cols
    rows = arange(n_rows, device=device)._tensor[:, None]
    columns = arange(m, device=device)._tensor[None, :]
    k = builtins.max(-n_rows, builtins.min(int(k), m))  # a diagonal further out holds nothing either
    return Array(cast((columns - rows) == k, standard_dtype(dtype) or dt.get_default_dtype()))


def linspace(
    start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: Any = None, endpoint: builtins.bool = True
) -> Array:
    """``num`` numbers evenly from start to stop."""
    wanted = standard_dtype(dtype)
    if wanted is None:
        complex_ = isinstance(start, complex) or isinstance(stop, complex)
        wanted = dt.complex_of(dt.get_default_dtype()) if complex_ else dt.get_default_dtype()
    return Array(create.as_tensor(np.linspace(start, stop, num, endpoint=endpoint, dtype=wanted.numpy), device=resolve(device)))


def meshgrid(*arrays: Array, indexing: str = "xy") -> tuple[Array, ...]:
    """Coordinate arrays of one-dimensional ones."""
    if not arrays:
        return ()
    promoted = together(*arrays)
    return tuple([Array(t) for t in FUNCTIONS["meshgrid"](*promoted, indexing=indexing)])


def tril(x: Array, /, *, k: int = 0) -> Array:
    """The lower triangle of matrices; zeros above the k-th diagonal."""
    return Array(_matrices(x, "tril").tril(k))


def triu(x: Array, /, *, k: int = 0) -> Array:
    """The upper triangle of matrices; zeros below the k-th diagonal."""
    return Array(_matrices(x, "triu").triu(k))


def _matrices(x: Any, name: str) -> Tensor:
    t = unwrap(x)
    if t.ndim < 2:
        raise ValueError(f"{name} takes at least two dimensions but was given {t.spec}")
    return t


def from_dlpack(x: Any, /, *, device: Any = None, copy: builtins.bool | None = None) -> Array:
    """An array over the memory of another library's."""
    if isinstance(x, Array):
        return asarray(x, device=device)
    return Array(create.from_dlpack(x, device=None if device is None else resolve(device), copy=copy))


__all__ = [
    "arange", "asarray", "empty", "empty_like", "eye", "from_dlpack", "full", "full_like", "linspace", "meshgrid", "ones",
    "ones_like", "tril", "triu", "zeros", "zeros_like",
]  # fmt: skip
