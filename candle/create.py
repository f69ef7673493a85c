"""Making tensors: from values, and from nothing."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from . import dtype as dt
from .device import resolve
from .dtype import DType, as_dtype
from .errors import DTypeError, ShapeError
from .op import OPS, Spec
from .op import broadcast_shapes as broadcast
from .tensor import Tensor, current_trace, run

__all__ = [
    "arange", "as_tensor", "asarray", "broadcast_shapes", "empty", "empty_like", "eye", "from_dlpack", "from_numpy",
    "frombuffer", "full", "full_like", "is_tensor", "linspace", "logspace", "ones", "ones_like", "scalar_tensor",
    "tensor", "zeros", "zeros_like",
]  # fmt: skip


def _backend(device: Any) -> Any:
    trace = current_trace()
    return trace if trace is not None else resolve(device)


def _array(value: Any, dtype: DType | None) -> np.ndarray[Any, Any]:
    if isinstance(value, (list, tuple)) and any(isinstance(v, Tensor) for v in _flat(value)):
        value = _lists(value)
    try:
        if dtype is None:
            array = np.asarray(value)
            if not isinstance(value, (np.ndarray, np.generic)) and not hasattr(value, "__array__"):
                array = _defaults(array)
        else:
            array = np.asarray(value)
            if dtype.kind in "iu" and not hasattr(value, "dtype"):
                _fits(array, dtype)
            if array.dtype != dtype.numpy:
                with np.errstate(all="ignore"):
                    array = array.astype(dtype.numpy)
    except ValueError as e:
        raise ShapeError(f"a tensor has the same number of elements in each row but {str(value)[:80]} has not ({e})") from None
    except TypeError as e:
        raise DTypeError(f"a tensor is made of numbers but {value!r:.80} was given ({e})") from None
    if array.dtype.kind in "OUSmM":
        raise DTypeError(f"a tensor is made of numbers but {value!r:.80} was given, which NumPy makes {array.dtype}")
    as_dtype(array.dtype)
    return array


def _fits(array: np.ndarray[Any, Any], dtype: DType) -> None:
    """Raise DTypeError where Python's numbers are beyond an integer dtype, which would wrap them around."""
    if not array.size or array.dtype.kind not in "iuf":
        return
    limits = dt.iinfo(dtype)
    for v in (array.min(), array.max()):
        if not limits.min <= v <= limits.max:
            raise DTypeError(f"{dtype} holds integers from {limits.min} to {limits.max} but {v} was given; use a wider dtype")


def _flat(value: Any) -> Any:
    for v in value:
        if isinstance(v, (list, tuple)):
            yield from _flat(v)
        else:
            yield v


def _lists(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_lists(v) for v in value]
    return value.numpy() if isinstance(value, Tensor) else value


def _defaults(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What Python numbers become: integers int64, floats the default dtype."""
    kind = array.dtype.kind
    if kind == "f" and array.dtype == np.float64:
        return array.astype(dt.get_default_dtype().numpy)
    if kind == "c":
        return array.astype(dt.complex_of(dt.get_default_dtype()).numpy)
    return array.astype(np.int64) if kind in "iu" and array.dtype != np.uint64 else array


def _made(array: np.ndarray[Any, Any], backend: Any) -> Tensor:
    return Tensor(backend.put(array), Spec.of(array), backend)


def tensor(data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """A tensor of the given values, copied: a number, nested lists, an array, another tensor.

    Python floats become the default dtype (float32), integers int64; arrays keep theirs.
    """
    if isinstance(data, Tensor):
        made = data.detach().to(device=device, dtype=dtype)
        if made is data:
            made = Tensor(data.value, data.spec, data.backend)
    elif type(data).__module__.partition(".")[0] == "torch":
        made = from_dlpack(data.detach(), copy=True).to(device=device, dtype=dtype)
    else:
        array = _array(data, None if dtype is None else as_dtype(dtype))
        if isinstance(data, np.ndarray) and array is data:
            array = array.copy()
        made = _made(array, _backend(device))
    return made.requires_grad_() if requires_grad else made


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """The same, but a tensor is taken as it is where it already fits, and memory is shared where it can be."""
    if isinstance(data, Tensor):
        return data.to(device=device, dtype=dtype)
    if type(data).__module__.partition(".")[0] == "torch":
        return from_dlpack(data.detach()).to(device=device, dtype=dtype)
    return _made(_array(data, None if dtype is None else as_dtype(dtype)), _backend(device))


asarray = as_tensor


def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor on the host that shares an array's memory where the backend can; do not write to the array afterwards."""
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"from_numpy takes a NumPy array but was given {type(array).__name__}; use candle.tensor")
    view = array.view()
    view.flags.writeable = False
    return _made(view, _backend(None))


def from_dlpack(source: Any, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor over the memory of another library's array (torch, jax, NumPy, ...), without a copy where that can be.

    The other library must not write to it afterwards.  Dtypes that DLPack lacks in NumPy (bfloat16) are copied.
    """
    if isinstance(source, Tensor):
        return source
    if not hasattr(source, "__dlpack__"):
        raise DTypeError(f"from_dlpack takes an object with __dlpack__ but was given {type(source).__name__}; use candle.tensor")
    backend = _backend(device)
    data = None if copy else backend.from_dlpack(source)
    if data is None:
        data = _host_array(source)
        if copy:
            data = data.copy()
        return _made(data, backend)
    array = backend.get(data)
    return Tensor(data, Spec.of(array), backend)


def _host_array(source: Any) -> np.ndarray[Any, Any]:
    if str(getattr(source, "dtype", "")) == "torch.bfloat16":
        import torch

        return source.cpu().view(torch.int16).numpy().view(dt.bfloat16.numpy)
    try:
        return np.from_dlpack(source)
    except (BufferError, RuntimeError, TypeError):
        return np.asarray(source)


def _shape(sizes: Sequence[Any], shape: Any = None) -> tuple[int, ...]:
    if shape is not None:
        sizes = (shape,)
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = sizes[0]
    elif len(sizes) == 1 and isinstance(sizes[0], Tensor) and sizes[0].ndim == 1:
        sizes = sizes[0].tolist()
    try:
        return Spec(sizes, dt.bool_).shape
    except TypeError:
        raise ShapeError(f"a shape is integers but {tuple(sizes)} was given") from None


def _floating(dtype: Any) -> DType:
    return dt.get_default_dtype() if dtype is None else as_dtype(dtype)


def _fill(shape: tuple[int, ...], value: Any, dtype: DType, device: Any, requires_grad: bool = False) -> Tensor:
    made = run(OPS["full"], (), {"shape": shape, "value": value, "dtype": dtype}, _backend(device))
    return made.requires_grad_() if requires_grad else made


def zeros(*size: Any, shape: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Zeros, of a shape given as integers or as one tuple."""
    return _fill(_shape(size, shape), 0, _floating(dtype), device, requires_grad)


def ones(*size: Any, shape: Any = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones, of a shape given as integers or as one tuple."""
    return _fill(_shape(size, shape), 1, _floating(dtype), device, requires_grad)


empty = zeros  # values are immutable, so memory without values has no use


def full(size: Any, fill_value: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """One number everywhere; its Python type decides the dtype where none is given."""
    if isinstance(fill_value, Tensor):
        dtype, fill_value = dtype or fill_value.dtype, fill_value.item()
    if not isinstance(fill_value, (bool, int, float, complex, np.number, np.bool_)):
        raise DTypeError(f"full takes a number to fill with but was given {type(fill_value).__name__} {fill_value!r:.60}")
    dtype = as_dtype(dtype if dtype is not None else type(fill_value))
    return _fill(_shape((size,) if isinstance(size, int) else (tuple(size),)), fill_value, dtype, device, requires_grad)


def is_tensor(x: Any) -> bool:
    """Whether something is a tensor."""
    return isinstance(x, Tensor)


def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """A vector of the numbers that lie in a buffer (bytes, an array, a mapped file), copied."""
    kind = as_dtype(dtype)
    try:
        array = np.frombuffer(buffer, kind.numpy, count, offset).copy()
    except ValueError as e:
        raise ShapeError(
            f"frombuffer found no {'whole ' if count < 0 else ''}number of {kind} from byte {offset} on: {e}"
        ) from None
    return tensor(array, requires_grad=requires_grad)


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that several shapes broadcast to; raises ShapeError where they do not."""
    given = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    found = broadcast(*given)
    if found is None:
        raise ShapeError(f"the shapes {', '.join(map(str, given))} do not broadcast")
    return found


def scalar_tensor(value: Any, dtype: Any = None, device: Any = None) -> Tensor:
    return tensor(value, dtype, device)


def arange(
    start: Any, end: Any = None, step: Any = 1, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Numbers from start (0 if only one bound is given) up to but not including end."""
    if end is None:
        start, end = 0, start
    start, end, step = (v.item() if hasattr(v, "item") else v for v in (start, end, step))
    if step == 0:
        raise ShapeError("arange's step is not 0")
    if dtype is None:
        dtype = dt.int64 if all(isinstance(v, int) for v in (start, end, step)) else dt.get_default_dtype()
    length = max(0, int(np.ceil((end - start) / step)))
    made = run(OPS["arange"], (), {"start": start, "step": step, "length": length, "dtype": as_dtype(dtype)}, _backend(device))
    return made.requires_grad_() if requires_grad else made


def linspace(start: Any, end: Any, steps: int, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """``steps`` numbers evenly from start to end, both included."""
    if steps < 0:
        raise ShapeError(f"linspace's steps is at least 0 but {steps} was given")
    attrs = {"start": start, "end": end, "steps": steps, "dtype": _floating(dtype)}
    made = run(OPS["linspace"], (), attrs, _backend(device))
    return made.requires_grad_() if requires_grad else made


def logspace(start: Any, end: Any, steps: int, base: float = 10.0, dtype: Any = None, device: Any = None) -> Tensor:
    """``steps`` powers of base, the exponents evenly from start to end."""
    return (base ** linspace(start, end, steps, dt.float64, device)).to(dtype=_floating(dtype))


def eye(n: int, m: int | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Ones on the diagonal, zeros elsewhere."""
    attrs = {"n": n, "m": n if m is None else m, "k": 0, "dtype": _floating(dtype)}
    made = run(OPS["eye"], (), attrs, _backend(device))
    return made.requires_grad_() if requires_grad else made


def full_like(x: Tensor, fill_value: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """One number everywhere, in the shape, dtype and device of another tensor."""
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    return _fill(
        x.shape, value, x.dtype if dtype is None else as_dtype(dtype), x.backend if device is None else device, requires_grad
    )


def zeros_like(
    x: Tensor, dtype: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None
) -> Tensor:
    return full_like(x, 0, dtype, device, requires_grad)


def ones_like(x: Tensor, dtype: Any = None, device: Any = None, requires_grad: bool = False, memory_format: Any = None) -> Tensor:
    return full_like(x, 1, dtype, device, requires_grad)


empty_like = zeros_like


def _new(name: str) -> Any:
    def method(self: Tensor, *size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
        value = {"zeros": 0, "empty": 0, "ones": 1}[name]
        return _fill(
            _shape(size), value, as_dtype(dtype or self.dtype), self.backend if device is None else device, requires_grad
        )

    method.__name__ = f"new_{name}"
    return method


for _name in ("zeros", "ones", "empty"):
    setattr(Tensor, f"new_{_name}", _new(_name))


def _new_full(
    self: Tensor, size: Any, fill_value: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    return _fill(
        _shape((size,)), fill_value, as_dtype(dtype or self.dtype), self.backend if device is None else device, requires_grad
    )


def _new_tensor(self: Tensor, data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    return tensor(data, dtype or self.dtype, self.backend if device is None else device, requires_grad)


_METHODS = {
    "full_like": full_like, "zeros_like": zeros_like, "ones_like": ones_like, "new_full": _new_full, "new_tensor": _new_tensor,
}  # fmt: skip
for _name, _function in _METHODS.items():
    setattr(Tensor, _name, _function)
