"""The standard's functions, each over an op of the table."""

from __future__ import annotations

import builtins
import math
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from .. import create
from .. import dtype as dt
from ..device import get_default_device, names, resolve
from ..dtype import DType, as_dtype
from ..op import FUNCTIONS, OPS, broadcast_shapes
from ..tensor import Tensor, run
from .array import DTYPES, KINDS, Array, binary, cast, promote, scalar_dtype, together, unwrap

# -- elementwise -----------------------------------------------------------------------------------

_UNARY = {
    "abs": ("abs", "iufc"), "acos": ("acos", "fc"), "acosh": ("acosh", "fc"), "asin": ("asin", "fc"), "asinh": ("asinh", "fc"),
    "atan": ("atan", "fc"), "atanh": ("atanh", "fc"), "bitwise_invert": ("bitwise_not", "biu"), "ceil": ("ceil", "iuf"),
    "conj": ("conj_physical", "iufc"), "cos": ("cos", "fc"), "cosh": ("cosh", "fc"), "exp": ("exp", "fc"),
    "expm1": ("expm1", "fc"), "floor": ("floor", "iuf"), "imag": ("imag", "c"), "isfinite": ("isfinite", "iufc"),
    "isinf": ("isinf", "iufc"), "isnan": ("isnan", "iufc"), "log": ("log", "fc"), "log1p": ("log1p", "fc"),
    "log2": ("log2", "fc"), "log10": ("log10", "fc"), "logical_not": ("logical_not", "b"), "negative": ("neg", "iufc"),
    "positive": ("alias", "iufc"), "real": ("real", "fc"), "reciprocal": ("reciprocal", "fc"), "round": ("round", "iufc"),
    "sign": ("sign", "iufc"), "signbit": ("signbit", "f"), "sin": ("sin", "fc"), "sinh": ("sinh", "fc"),
    "square": ("square", "iufc"), "sqrt": ("sqrt", "fc"), "tan": ("tan", "fc"), "tanh": ("tanh", "fc"),
    "trunc": ("trunc", "iuf"),
}  # fmt: skip
_BINARY = {
    "add": ("add", "iufc"), "atan2": ("atan2", "f"), "bitwise_and": ("bitwise_and", "biu"), "bitwise_or": ("bitwise_or", "biu"),
    "bitwise_xor": ("bitwise_xor", "biu"), "bitwise_left_shift": ("bitwise_left_shift", "iu"),
    "bitwise_right_shift": ("bitwise_right_shift", "iu"), "copysign": ("copysign", "f"), "divide": ("div", "fc"),
    "equal": ("eq", "biufc"), "floor_divide": ("floor_divide", "iuf"), "greater": ("gt", "iuf"), "greater_equal": ("ge", "iuf"),
    "hypot": ("hypot", "f"), "less": ("lt", "iuf"), "less_equal": ("le", "iuf"), "logaddexp": ("logaddexp", "f"),
    "logical_and": ("logical_and", "b"), "logical_or": ("logical_or", "b"), "logical_xor": ("logical_xor", "b"),
    "maximum": ("maximum", "iuf"), "minimum": ("minimum", "iuf"), "multiply": ("mul", "iufc"), "nextafter": ("nextafter", "f"),
    "not_equal": ("ne", "biufc"), "pow": ("pow", "iufc"), "remainder": ("remainder", "iuf"), "subtract": ("sub", "iufc"),
}  # fmt: skip
# Ops that the table declares for inexact numbers and that leave integers as they are.
_IDENTITY_ON_INTEGERS = {"ceil", "floor", "round", "trunc", "conj", "real"}


def _unary(name: str, op: str, kinds: str) -> Callable[[Array], Array]:
    def function(x: Any, /) -> Array:
        t = unwrap(x)
        if t.dtype.kind not in kinds:
            raise TypeError(f"{name} takes arrays of kind {kinds!r} but was given {t.spec}; use astype")
        if name in _STRICT:
            return Array(_STRICT[name](t))
        if (name in _IDENTITY_ON_INTEGERS and t.dtype.kind in "biu") or (name in ("conj", "real") and t.dtype.kind == "f"):
            return Array(t.clone())
        if name == "round" and t.dtype.kind == "c":
            return Array(OPS["complex"](OPS["round"](t.real), OPS["round"](t.imag)))
        if name in ("isnan", "isinf", "isfinite") and t.dtype.kind in "iu":
            return Array(create.full_like(t, name == "isfinite", dtype=dt.bool_))
        return Array(run(OPS[op], (t,), {}))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = OPS[op].doc
    return function


def _binary(name: str, op: str, kinds: str) -> Callable[[Array, Array], Array]:
    def function(x1: Any, x2: Any, /) -> Array:
        a, b = together(x1, x2)
        if a.dtype.kind not in kinds:
            raise TypeError(f"{name} takes arrays of kind {kinds!r} but was given {a.dtype}; use astype")
        return Array(binary(op, a, b))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = OPS[op].doc
    return function


def _sign(t: Tensor) -> Tensor:
    """NaN stays NaN, where PyTorch's sign gives 0; of a complex number its direction, of zero zero."""
    if t.dtype.kind == "f":
        return OPS["where"](t.isnan(), t, t.sign())
    if t.dtype.kind == "c":
        size = t.abs()
        return OPS["where"](size == 0, 0, t / OPS["where"](size == 0, 1, size))
    return t.sign()


def _expm1(t: Tensor) -> Tensor:
    """Of complex numbers with the standard's values at infinities and NaN, and without cancellation near zero."""
    if t.dtype.kind != "c":
        return t.expm1()
    x, y = t.real, t.imag
    half = (y / 2).sin()
    grown = x.exp()
    real = x.expm1() * y.cos() - half * half * 2
    imag = grown * y.sin()
    flat = y == 0
    low = (x == -math.inf) & ~y.isfinite()
    high = (x == math.inf) & ~y.isfinite()
    where_ = OPS["where"]
    real = where_(flat, x.expm1(), where_(low, -1, where_(high, math.inf, real)))
    imag = where_(flat, y, where_(low, 0, where_(high, math.nan, imag)))
    return OPS["complex"](real, imag)


# Functions whose values at special points differ from the op's, which are PyTorch's.
_STRICT: dict[str, Callable[[Tensor], Tensor]] = {"sign": _sign, "expm1": _expm1}

for _name, (_op, _kinds) in _UNARY.items():
    globals()[_name] = _unary(_name, _op, _kinds)
for _name, (_op, _kinds) in _BINARY.items():
    globals()[_name] = _binary(_name, _op, _kinds)


def clip(x: Array, /, min: Any = None, max: Any = None) -> Array:
    """x limited to [min, max]; NaN where any of the three is."""
    t = unwrap(x)
    for bound, which in ((min, "maximum"), (max, "minimum")):
        if bound is None:
            continue
        b = unwrap(bound) if isinstance(bound, Array) else None
        if b is None:
            scalar_dtype(bound, t.dtype)
            if t.dtype.kind in "iu":
                limits = np.iinfo(t.dtype.numpy)
                bound = builtins.min(builtins.max(int(bound), limits.min), limits.max)
            b = create.tensor(np.asarray(bound, t.dtype.numpy), device=t.backend)
        t = run(OPS[which], (t, cast(b, t.dtype)), {})
    return Array(t)


# -- creation --------------------------------------------------------------------------------------


def _dtype(dtype: Any) -> DType | None:
    if dtype is None:
        return None
    found = as_dtype(dtype)
    if found not in DTYPES:
        raise TypeError(f"the standard has no dtype {found}")
    return found


def _shape(shape: Any) -> tuple[int, ...]:
    return (int(shape),) if not isinstance(shape, (tuple, list)) else tuple(shape)


def _place(device_: Any) -> Any:
    return resolve(device_)


def asarray(obj: Any, /, *, dtype: Any = None, device: Any = None, copy: builtins.bool | None = None) -> Array:
    """An array of the values of an array, a number, nested lists, or what has a buffer or DLPack."""
    wanted = _dtype(dtype)
    if isinstance(obj, Array):
        t = obj._tensor
        if copy is False and ((wanted not in (None, t.dtype)) or (device is not None and _place(device) is not t.backend)):
            raise ValueError("a copy is needed for another dtype or device; pass copy=None")
        return Array(_moved(t, wanted, device, copy))
    if isinstance(obj, Tensor):
        return Array(_moved(obj, wanted, device, copy))
    if (
        copy is False
        and not hasattr(obj, "__dlpack__")
        and not isinstance(obj, (memoryview, bytearray))
        and not hasattr(obj, "__array__")
    ):
        raise ValueError(f"a {type(obj).__name__} cannot be made an array without a copy; pass copy=None")
    value = _plain(obj)
    if wanted is None and not hasattr(obj, "dtype") and isinstance(value, (builtins.bool, int, float, complex)):
        if isinstance(value, int) and not -(2**63) <= value < 2**63 and not isinstance(value, builtins.bool):
            raise OverflowError(f"{value} is outside of int64; pass dtype=uint64 or a float")
    if wanted is not None and wanted.kind in "iu" and isinstance(value, int):
        limits = np.iinfo(wanted.numpy)
        if not limits.min <= value <= limits.max:
            raise OverflowError(f"{value} is outside of {wanted}")
    if copy is not False and hasattr(value, "__dlpack__") and not isinstance(value, np.ndarray):
        value = np.from_dlpack(value)
    return Array(create.tensor(value, wanted, _place(device)))


def _moved(t: Tensor, dtype: DType | None, device: Any, copy: builtins.bool | None) -> Tensor:
    """t of another dtype and on another device; t itself where it is so already, unless a copy is wanted."""
    found = t.to(device=None if device is None else _place(device), dtype=dtype)
    return t.clone() if copy and found is t else found


def _plain(obj: Any) -> Any:
    """Nested lists with arrays without dimensions in them, as numbers."""
    if isinstance(obj, Array):
        return obj._tensor.item() if not obj.ndim else obj._tensor.numpy()
    if isinstance(obj, (list, tuple)):
        return [_plain(o) for o in obj]
    if isinstance(obj, (memoryview, bytearray, bytes)):
        return np.asarray(memoryview(obj))
    return obj


def arange(start: Any, /, stop: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Array:
    """Numbers from start up to but not including stop."""
    if stop is None:
        start, stop = 0, start
    wanted = _dtype(dtype)
    if wanted is None:
        wanted = dt.int64 if builtins.all(isinstance(v, int) for v in (start, stop, step)) else dt.get_default_dtype()
    length = builtins.max(0, math.ceil((stop - start) / step)) if step else 0
    return Array(run(OPS["arange"], (), {"start": start, "step": step, "length": length, "dtype": wanted}, _place(device)))


def _filled(shape: Any, value: Any, dtype: Any, device: Any) -> Array:
    return Array(run(OPS["full"], (), {"shape": _shape(shape), "value": value, "dtype": dtype}, _place(device)))


def zeros(shape: Any, *, dtype: Any = None, device: Any = None) -> Array:
    """Zeros."""
    return _filled(shape, 0, _dtype(dtype) or dt.get_default_dtype(), device)


def ones(shape: Any, *, dtype: Any = None, device: Any = None) -> Array:
    """Ones."""
    return _filled(shape, 1, _dtype(dtype) or dt.get_default_dtype(), device)


def empty(shape: Any, *, dtype: Any = None, device: Any = None) -> Array:
    """Zeros: values are immutable, so memory without values has no use."""
    return zeros(shape, dtype=dtype, device=device)


def full(shape: Any, fill_value: Any, *, dtype: Any = None, device: Any = None) -> Array:
    """One number everywhere."""
    wanted = _dtype(dtype) or as_dtype(type(fill_value))
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
    return _filled(t.shape, fill_value, _dtype(dtype) or t.dtype, t.backend if device is None else device)


def eye(n_rows: int, n_cols: int | None = None, /, *, k: int = 0, dtype: Any = None, device: Any = None) -> Array:
    """Ones on the k-th diagonal."""
    m = n_rows if n_cols is None else n_cols
    rows = arange(n_rows, device=device)._tensor[:, None]
    columns = arange(m, device=device)._tensor[None, :]
    return Array(cast((columns - rows) == k, _dtype(dtype) or dt.get_default_dtype()))


def linspace(
    start: Any, stop: Any, /, num: int, *, dtype: Any = None, device: Any = None, endpoint: builtins.bool = True
) -> Array:
    """``num`` numbers evenly from start to stop."""
    wanted = _dtype(dtype)
    if wanted is None:
        complex_ = isinstance(start, complex) or isinstance(stop, complex)
        wanted = dt.complex_of(dt.get_default_dtype()) if complex_ else dt.get_default_dtype()
    return Array(create.as_tensor(np.linspace(start, stop, num, endpoint=endpoint, dtype=wanted.numpy), device=_place(device)))


def meshgrid(*arrays: Array, indexing: str = "xy") -> list[Array]:
    """Coordinate arrays of one-dimensional ones."""
    if not arrays:
        return []
    promoted = together(*arrays)
    return [Array(t) for t in FUNCTIONS["meshgrid"](*promoted, indexing=indexing)]


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
    return Array(create.from_dlpack(x, device=None if device is None else _place(device), copy=copy))


# -- dtypes ----------------------------------------------------------------------------------------


def astype(x: Array, dtype: Any, /, *, copy: builtins.bool = True, device: Any = None) -> Array:
    """The values in another dtype."""
    t = unwrap(x)
    wanted = _dtype(dtype)
    if t.dtype.kind == "c" and wanted is not None and wanted.kind not in "cb":
        raise TypeError(f"{t.dtype} is not cast to {wanted}, which would lose the imaginary part; use real")
    if not copy and wanted is t.dtype and device is None:
        return x
    return Array(t.to(device=None if device is None else _place(device), dtype=wanted))


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


# -- movement --------------------------------------------------------------------------------------


def broadcast_to(x: Array, /, shape: Sequence[int]) -> Array:
    """An array repeated to a shape."""
    return Array(unwrap(x).expand(tuple(shape)))


def broadcast_arrays(*arrays: Array) -> list[Array]:
    """Arrays repeated to their common shape."""
    shape = broadcast_shapes(*[a.shape for a in arrays])
    if shape is None:
        raise ValueError(f"the shapes {', '.join(str(a.shape) for a in arrays)} do not broadcast")
    return [broadcast_to(a, shape) for a in arrays]


def concat(arrays: Sequence[Array], /, *, axis: int | None = 0) -> Array:
    """Arrays joined along an axis; flattened first where it is None."""
    tensors = together(*arrays)
    if axis is None:
        tensors, axis = [t.reshape((-1,)) for t in tensors], 0
    return Array(OPS["cat"](tensors, dim=axis))


def expand_dims(x: Array, /, axis: int) -> Array:
    """With an axis of size one more."""
    return Array(unwrap(x).unsqueeze(axis))


def flip(x: Array, /, *, axis: Any = None) -> Array:
    """In reverse order along axes."""
    t = unwrap(x)
    dims = tuple(range(t.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    return Array(t.flip(dims) if dims else t.clone())


def moveaxis(x: Array, source: Any, destination: Any, /) -> Array:
    """With axes moved to other places."""
    return Array(
        OPS["movedim"](unwrap(x), source, destination)
        if "movedim" in OPS
        else FUNCTIONS["movedim"](unwrap(x), source, destination)
    )


def permute_dims(x: Array, /, axes: Sequence[int]) -> Array:
    """With the axes in another order."""
    return Array(unwrap(x).permute(tuple(axes)))


def repeat(x: Array, repeats: Any, /, *, axis: int | None = None) -> Array:
    """Each element several times."""
    t = unwrap(x)
    counts = unwrap(repeats) if isinstance(repeats, Array) else repeats
    return Array(t.repeat_interleave(counts, dim=axis))


def reshape(x: Array, /, shape: Sequence[int], *, copy: builtins.bool | None = None) -> Array:
    """The elements in another shape."""
    return Array(unwrap(x).reshape(tuple(shape)))


def roll(x: Array, /, shift: Any, *, axis: Any = None) -> Array:
    """Elements moved along axes, those that leave coming in at the other end."""
    t = unwrap(x)
    if axis is None:
        return Array(t.reshape((-1,)).roll(shift if isinstance(shift, int) else sum_of(shift), 0).reshape(t.shape))
    shifts = shift if isinstance(shift, tuple) else (shift,)
    axes = axis if isinstance(axis, tuple) else (axis,)
    if len(shifts) == 1:
        shifts = shifts * len(axes)
    for s, a in zip(shifts, axes):
        t = t.roll(s, a)
    return Array(t)


def sum_of(values: Sequence[int]) -> int:
    return builtins.sum(values)


def squeeze(x: Array, /, axis: Any = None) -> Array:
    """Without some axes of size one."""
    t = unwrap(x)
    axes = (
        axis if isinstance(axis, tuple) else (axis,) if axis is not None else tuple([i for i, n in enumerate(t.shape) if n == 1])
    )
    dims = {a + t.ndim if a < 0 else a for a in axes}
    if builtins.any(not 0 <= d < t.ndim or t.shape[d] != 1 for d in dims):
        raise ValueError(f"squeeze takes axes of size one but was given {axis} for {t.spec}")
    return Array(t.reshape([n for i, n in enumerate(t.shape) if i not in dims]))


def stack(arrays: Sequence[Array], /, *, axis: int = 0) -> Array:
    """Arrays joined along a new axis."""
    return Array(OPS["stack"](together(*arrays), dim=axis))


def tile(x: Array, repetitions: Sequence[int], /) -> Array:
    """The whole array several times along each axis."""
    t = unwrap(x)
    counts = (1,) * (t.ndim - len(repetitions)) + tuple(repetitions)
    return Array(t.repeat(counts))


def unstack(x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    """The parts along an axis."""
    return tuple([Array(p) for p in unwrap(x).unbind(axis)])


def take(x: Array, indices: Array, /, *, axis: int | None = None) -> Array:
    """The elements at some indices along an axis."""
    t = unwrap(x)
    if axis is None:
        if t.ndim != 1:
            raise ValueError(f"take needs an axis for {t.spec}")
        axis = 0
    ids = unwrap(indices)
    found = t.index_select(axis, _from_front(ids.reshape((-1,)), t.shape[axis]))
    axis = axis + t.ndim if axis < 0 else axis
    return Array(found.reshape((*t.shape[:axis], *ids.shape, *t.shape[axis + 1 :])))


def _from_front(ids: Tensor, n: int) -> Tensor:
    return ids if ids.dtype.kind == "u" else OPS["where"](ids < 0, ids + n, ids)


def take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    """For each line along an axis the elements at its own indices."""
    t, ids = unwrap(x), unwrap(indices)
    axis = axis + t.ndim if axis < 0 else axis
    shape = broadcast_shapes(t.shape[:axis] + (1,) + t.shape[axis + 1 :], ids.shape[:axis] + (1,) + ids.shape[axis + 1 :])
    if shape is None:
        raise ValueError(f"take_along_axis cannot broadcast {t.spec} and {ids.spec}")
    t = t.expand(shape[:axis] + (t.shape[axis],) + shape[axis + 1 :])
    ids = ids.expand(shape[:axis] + (ids.shape[axis],) + shape[axis + 1 :])
    return Array(t.gather(axis, _from_front(ids.long(), t.shape[axis])))


# -- reductions ------------------------------------------------------------------------------------


def _accumulated(t: Tensor, dtype: Any) -> DType:
    """Sums and products of integers are at least of the default integer's size."""
    wanted = _dtype(dtype)
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
        return Array(run(OPS[op], (t,), {"dim": axis, "keepdim": keepdims}))

    def summing(x: Array, /, *, axis: Any = None, dtype: Any = None, keepdims: builtins.bool = False) -> Array:
        t = unwrap(x)
        wanted = _accumulated(t, dtype)
        return Array(cast(run(OPS[op], (cast(t, wanted),), {"dim": axis, "keepdim": keepdims, "dtype": wanted}), wanted))

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
        return Array(run(OPS[op], (t,), {"dim": axis, "correction": correction, "keepdim": keepdims}))

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
        t = cast(t, _accumulated(t, dtype))
        y = cast(run(OPS[op], (t,), {"dim": axis}), t.dtype)
        if include_initial:
            axis = axis + t.ndim if axis < 0 else axis
            first = create.full_like(t, initial)
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
    return Array(run(OPS["sum"], (t != 0,), {"dim": axis, "keepdim": keepdims}))


def diff(x: Array, /, *, axis: int = -1, n: int = 1, prepend: Array | None = None, append: Array | None = None) -> Array:
    """Differences of neighbours along an axis, n times."""
    t = unwrap(x)
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


# -- searching, sorting, sets ----------------------------------------------------------------------


def _arg(name: str) -> Callable[..., Array]:
    def function(x: Array, /, *, axis: int | None = None, keepdims: builtins.bool = False) -> Array:
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
    a, b = together(x1, x2) if isinstance(x1, Array) or isinstance(x2, Array) else (unwrap(asarray(v)) for v in (x1, x2))
    return Array(run(OPS["where"], (unwrap(condition), a, b), {}))


def searchsorted(x1: Array, x2: Any, /, *, side: str = "left", sorter: Array | None = None) -> Array:
    """Where to insert x2 so that x1 stays sorted."""
    if not isinstance(x2, Array):
        x2 = asarray(x2, dtype=x1.dtype)
    a, b = together(x1, x2)
    if sorter is not None:
        a = a.index_select(0, unwrap(sorter).long())
    return Array(OPS["searchsorted"](a, b, right=side == "right"))


def sort(x: Array, /, *, axis: int = -1, descending: builtins.bool = False, stable: builtins.bool = True) -> Array:
    """Sorted along an axis."""
    return Array(unwrap(x).sort(dim=axis, descending=descending, stable=stable)[0])


def argsort(x: Array, /, *, axis: int = -1, descending: builtins.bool = False, stable: builtins.bool = True) -> Array:
    """The indices that sort along an axis."""
    return Array(unwrap(x).sort(dim=axis, descending=descending, stable=stable)[1])


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


# -- products --------------------------------------------------------------------------------------


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
    return Array((OPS.get("tensordot") or FUNCTIONS["tensordot"])(a, b, dims))


def vecdot(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """Products of vectors along an axis, the first conjugated."""
    a, b = _numbers(x1, x2)
    if not -builtins.min(a.ndim, b.ndim) <= axis < 0:
        raise ValueError(f"vecdot's axis is negative and within both arrays but {axis} was given for {a.spec} and {b.spec}")
    if a.shape[axis] != b.shape[axis]:
        raise ValueError(f"vecdot takes vectors of one length but was given {a.spec} and {b.spec} along {axis}")
    a, b = (FUNCTIONS.get("movedim") or OPS["movedim"])(a, axis, -1), (FUNCTIONS.get("movedim") or OPS["movedim"])(b, axis, -1)
    if a.dtype.kind == "c":
        a = a.conj()
    return Array(run(OPS["sum"], (a * b,), {"dim": -1, "keepdim": False, "dtype": a.dtype}))


# -- inspection ------------------------------------------------------------------------------------


class _Info:
    """What ``__array_namespace_info__`` gives."""

    def capabilities(self) -> dict[str, Any]:
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        return str(get_default_device())

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        real = dt.get_default_dtype()
        return {"real floating": real, "complex floating": dt.complex_of(real), "integral": dt.int64, "indexing": dt.int64}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        kinds = None if kind is None else "".join(KINDS[k] for k in (kind if isinstance(kind, tuple) else (kind,)))
        return {d.name: d for d in DTYPES if kinds is None or d.kind in kinds}

    def devices(self) -> list[str]:
        return names()


def __array_namespace_info__() -> _Info:
    """What this namespace can do."""
    return _Info()


__all__ = [
    *_UNARY, *_BINARY, "__array_namespace_info__", "all", "any", "arange", "argmax", "argmin", "argsort", "asarray", "astype",
    "broadcast_arrays", "broadcast_to", "can_cast", "clip", "concat", "count_nonzero", "cumulative_prod", "cumulative_sum",
    "diff", "empty", "empty_like", "expand_dims", "eye", "finfo", "flip", "from_dlpack", "full", "full_like", "iinfo",
    "isdtype", "linspace", "matmul", "matrix_transpose", "max", "mean", "meshgrid", "min", "moveaxis", "nonzero", "ones",
    "ones_like", "permute_dims", "prod", "repeat", "reshape", "result_type", "roll", "searchsorted", "sort", "squeeze", "stack",
    "std", "sum", "take", "take_along_axis", "tensordot", "tile", "tril", "triu", "unique_all", "unique_counts",
    "unique_inverse", "unique_values", "unstack", "var", "vecdot", "where", "zeros", "zeros_like",
]  # fmt: skip
