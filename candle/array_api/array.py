"""The standard's array object: a tensor with the standard's operators and its stricter promotion."""

from __future__ import annotations

import builtins
import operator
from typing import Any, Callable

import numpy as np

from .. import dtype as dt
from ..create import as_tensor
from ..device import resolve
from ..dtype import DType, as_dtype, promote_types
from ..op import OPS, normalize_dim
from ..tensor import Tensor, run

DTYPES = (
    dt.bool_, dt.int8, dt.int16, dt.int32, dt.int64, dt.uint8, dt.uint16, dt.uint32, dt.uint64,
    dt.float32, dt.float64, dt.complex64, dt.complex128,
)  # fmt: skip

KINDS = {
    "bool": "b", "signed integer": "i", "unsigned integer": "u", "integral": "iu", "real floating": "f",
    "complex floating": "c", "numeric": "iufc",
}  # fmt: skip


def standard_dtype(dtype: Any) -> DType | None:
    """A dtype of the standard, or None for None; raises TypeError for others."""
    if dtype is None:
        return None
    found = as_dtype(dtype)
    if found not in DTYPES:
        raise TypeError(f"the standard has no dtype {found}; it has {', '.join(d.name for d in DTYPES)}")
    return found


def promote(*dtypes: DType) -> DType:
    """The standard's promotion: within a kind, and between real and complex floats; other mixtures are refused."""
    found = dtypes[0]
    for d in dtypes[1:]:
        if {found.kind, d.kind} - {"f", "c"} and found.kind != d.kind and {found.kind, d.kind} != {"i", "u"}:
            raise TypeError(f"{found} and {d} are of different kinds, which the standard does not mix; use astype")
        found = promote_types(found, d)
    return found


def scalar_dtype(value: Any, dtype: DType) -> DType:
    """The dtype a Python number takes beside an array's; raises TypeError where the standard does not admit it."""
    kind = dtype.kind
    if isinstance(value, bool):
        admitted = kind == "b"
    elif isinstance(value, int):
        admitted = kind in "iufc"
    elif isinstance(value, float):
        admitted = kind in "fc"
    else:
        admitted = kind in "fc"
        dtype = dt.complex_of(dtype) if kind == "f" else dtype
    if not admitted:
        raise TypeError(f"a Python {type(value).__name__} does not mix with {dtype}; use asarray or astype")
    return dtype


def together(*values: Any) -> list[Tensor]:
    """Arrays and Python numbers as tensors of one dtype."""
    arrays = [v for v in values if isinstance(v, Array)]
    if not arrays:
        raise TypeError(f"at least one array is wanted but {', '.join(type(v).__name__ for v in values)} were given")
    dtype = promote(*[a.dtype for a in arrays])
    for v in values:
        if isinstance(v, (bool, int, float, complex)) and not isinstance(v, np.generic):
            dtype = scalar_dtype(v, dtype)
        elif not isinstance(v, Array):
            raise TypeError(f"an array or a Python number is wanted but {type(v).__name__} was given; use asarray")
    made = []
    for v in values:
        if isinstance(v, Array):
            made.append(cast(v._tensor, dtype))
        else:
            if dtype.kind in "iu":
                limits = np.iinfo(dtype.numpy)
                if not limits.min <= v <= limits.max:
                    raise OverflowError(f"{v} is outside of {dtype}")
            made.append(as_tensor(np.asarray(v, dtype.numpy), device=arrays[0]._tensor.backend))
    return made


def cast(x: Tensor, dtype: DType) -> Tensor:
    return x if x.dtype is dtype else run(OPS["cast"], (x,), {"dtype": dtype})


def axes_of(axis: int | tuple[int, ...] | None, ndim: int, what: str) -> tuple[int, ...]:
    """Axes counted from the front, each once: all for None; raises IndexError for one outside, ValueError for one twice."""
    if axis is None:
        return tuple(range(ndim))
    found = tuple([normalize_dim(a, ndim, what) for a in ((axis,) if isinstance(axis, int) else axis)])
    if len(set(found)) < len(found):
        raise ValueError(f"{what}: an axis may be named once but {axis} was given")
    return found


def unwrap(x: Any) -> Tensor:
    if not isinstance(x, Array):
        raise TypeError(f"an array of candle.array_api is wanted but {type(x).__name__} was given; use asarray")
    return x._tensor


def _operator(name: str, kinds: str, swap: builtins.bool = False) -> Callable[[Any, Any], Any]:
    def method(self: Array, other: Any) -> Any:
        if not isinstance(other, (Array, bool, int, float, complex)) or isinstance(other, np.generic):
            return NotImplemented
        pair = together(other, self) if swap else together(self, other)
        if pair[0].dtype.kind not in kinds:
            raise TypeError(f"{name} takes arrays of kind {kinds!r} but was given {pair[0].dtype}")
        return Array(binary(name, *pair))

    return method


def binary(name: str, a: Tensor, b: Tensor) -> Tensor:
    """An op of the table on tensors of one dtype; infinities divide to the floor of the quotient, as the standard says."""
    y = run(OPS[name], (a, b), {})
    if name == "floor_divide" and a.dtype.kind == "f":
        quotient = (a / b).floor()
        minus = (a * b.sign() < 0) & a.isfinite() & b.isinf()
        y = OPS["where"](a.isinf() & b.isfinite() & (b != 0), quotient, OPS["where"](minus, -0.0, y))
    return y


class Array:
    """An n-dimensional array of the Array API standard over a candle tensor.  Made by ``asarray`` and the other creators."""

    __slots__ = ("_tensor",)
    __array_priority__ = 1001

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    @property
    def dtype(self) -> DType:
        return self._tensor.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self._tensor.shape

    @property
    def ndim(self) -> int:
        return self._tensor.ndim

    @property
    def size(self) -> int:
        return self._tensor.spec.size

    @property
    def device(self) -> str:
        return str(self._tensor.device)

    @property
    def T(self) -> Array:
        if self.ndim != 2:
            raise ValueError(f"T takes two dimensions but was given {self._tensor.spec}; use mT or permute_dims")
        return Array(self._tensor.mT)

    @property
    def mT(self) -> Array:
        return Array(self._tensor.mT)

    def to_device(self, device: Any, /, *, stream: Any = None) -> Array:
        if stream is not None:
            raise ValueError("to_device takes no stream here; leave it out")
        return Array(self._tensor.to(resolve(device)))

    def __array_namespace__(self, /, *, api_version: str | None = None) -> Any:
        from . import earlier

        return earlier.namespace(api_version)

    def __array__(self, dtype: Any = None, copy: builtins.bool | None = None) -> np.ndarray[Any, Any]:
        return self._tensor.__array__(dtype, copy)

    def __dlpack__(
        self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: builtins.bool | None = None
    ) -> Any:
        return self._tensor.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._tensor.__dlpack_device__()

    def __repr__(self) -> str:
        return f"Array({self._tensor.tolist()}, dtype={self.dtype})"

    def __bool__(self) -> builtins.bool:
        return bool(self._scalar())

    def __int__(self) -> int:
        value = self._scalar()
        if isinstance(value, complex):
            raise TypeError("a complex number is no integer")
        return int(value)

    def __float__(self) -> float:
        value = self._scalar()
        if isinstance(value, complex):
            raise TypeError("a complex number is no float")
        return float(value)

    def __complex__(self) -> complex:
        return complex(self._scalar())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise TypeError(f"an index is an integer but {self._tensor.spec} was given")
        return int(self._scalar())

    def _scalar(self) -> Any:
        if self.ndim:
            raise TypeError(f"a Python number is made of an array without dimensions but {self._tensor.spec} was given")
        return self._tensor.item()

    def __len__(self) -> int:
        return len(self._tensor)

    def __iter__(self) -> Any:
        if not self.ndim:
            raise TypeError("iteration over an array without dimensions")
        return iter([self[i] for i in range(self.shape[0])])

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, key: Any, /) -> Array:
        return Array(_settled(self._tensor[_key(key, self.shape)]))

    def __setitem__(self, key: Any, value: Any, /) -> None:
        if isinstance(value, Array):
            if promote(self.dtype, value.dtype) is not self.dtype:
                raise TypeError(f"{value.dtype} cannot be written into {self.dtype}; use astype")
            value = value._tensor
        else:
            scalar_dtype(value, self.dtype)
        self._tensor[_key(key, self.shape)] = value

    # -- operators ----------------------------------------------------------------------------------

    def __abs__(self) -> Array:
        if self.dtype.kind == "b":
            raise TypeError("abs takes numbers but was given bool")
        return Array(self._tensor.abs())

    def __neg__(self) -> Array:
        if self.dtype.kind == "b":
            raise TypeError("negation takes numbers but was given bool")
        return Array(self._tensor.neg())

    def __pos__(self) -> Array:
        if self.dtype.kind == "b":
            raise TypeError("positive takes numbers but was given bool")
        return Array(self._tensor.clone())

    def __invert__(self) -> Array:
        if self.dtype.kind not in "biu":
            raise TypeError(f"inversion takes bool or integers but was given {self.dtype}")
        return Array(self._tensor.bitwise_not())

    def __matmul__(self, other: Any) -> Array:
        from .products import matmul

        return matmul(self, other) if isinstance(other, Array) else NotImplemented

    def __rmatmul__(self, other: Any) -> Array:
        from .products import matmul

        return matmul(other, self) if isinstance(other, Array) else NotImplemented

    def __imatmul__(self, other: Any) -> Array:
        return self._in_place(self @ other)

    def _in_place(self, new: Any) -> Array:
        if new is NotImplemented:
            raise TypeError("the operand is neither an array nor a Python number")
        if new.shape != self.shape:
            raise ValueError(f"an in-place operation keeps the shape of {self._tensor.spec} but its result is {new._tensor.spec}")
        if new.dtype is not self.dtype:
            raise TypeError(f"an in-place operation keeps {self.dtype} but its result is {new.dtype}")
        self._tensor[...] = new._tensor
        return self


def _settled(x: Tensor) -> Tensor:
    return Tensor(x.value, x.spec, x.backend, x.node)


def _key(key: Any, shape: tuple[int, ...]) -> Any:
    """An index of tensors; a mask's empty dimensions pick nothing from the array's, as the standard says."""
    if isinstance(key, Array):
        mask, fits = key._tensor, shape[: key.ndim]
        if key.dtype.kind == "b" and 0 in key.shape and len(fits) == key.ndim and mask.shape != fits:
            if all(m in (n, 0) for m, n in zip(mask.shape, fits)):
                return run(OPS["full"], (), {"shape": fits, "value": False, "dtype": dt.bool_}, mask.backend)
        return mask
    if isinstance(key, tuple):
        return tuple([k._tensor if isinstance(k, Array) else k for k in key])
    return key


_BINARY = {
    "add": ("add", "iufc"), "sub": ("sub", "iufc"), "mul": ("mul", "iufc"), "truediv": ("div", "fc"),
    "floordiv": ("floor_divide", "iuf"), "mod": ("remainder", "iuf"), "pow": ("pow", "iufc"),
    "and": ("bitwise_and", "biu"), "or": ("bitwise_or", "biu"), "xor": ("bitwise_xor", "biu"),
    "lshift": ("bitwise_left_shift", "iu"), "rshift": ("bitwise_right_shift", "iu"),
}  # fmt: skip
_COMPARE = {"eq": "biufc", "ne": "biufc", "lt": "iuf", "le": "iuf", "gt": "iuf", "ge": "iuf"}


def _in_place_operator(name: str) -> Callable[[Array, Any], Array]:
    forward = getattr(operator, f"__{name}__")
    return lambda self, other: self._in_place(forward(self, other))


for _name, (_op, _kinds) in _BINARY.items():
    setattr(Array, f"__{_name}__", _operator(_op, _kinds))
    setattr(Array, f"__r{_name}__", _operator(_op, _kinds, swap=True))
    setattr(Array, f"__i{_name}__", _in_place_operator(_name))
for _name, _kinds in _COMPARE.items():
    setattr(Array, f"__{_name}__", _operator(_name, _kinds))
