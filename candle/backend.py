"""What a backend is: a name, a table of kernels, and a way in and out; and the NumPy one, derived from the op table."""

from __future__ import annotations

import contextvars
import sys
import threading
from typing import Any, Callable, Mapping, NamedTuple, Sequence

import numpy as np

from . import dtype as dt
from .dtype import DType
from .op import OPS, Op, Spec

__all__ = ["Backend", "Device", "Reference"]

Kernel = Callable[..., Any]


class Device(NamedTuple):
    """Where a tensor lives: a backend's name and, where it has several devices, which."""

    type: str
    index: int | None = None  # type: ignore[assignment]  # a field, over tuple's method

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        return f"device({str(self)!r})"


class Backend:
    """Somewhere tensors live and ops run.  Subclass it, or anything that has these attributes.

    A kernel is ``kernel(out, *operands, **attrs) -> data``: ``out`` is the Spec of the result (a tuple of them for an
    op with several results, whose kernel returns a tuple), the operands are this backend's data, promoted and checked,
    None where an optional one was left out; the attributes are complete and in canonical form (dimensions counted from
    the front).  A function ``kernel.when(out, *specs, **attrs) -> bool`` may restrict it.
    """

    name: str = ""
    index: int | None = None
    kernels: Mapping[str, Kernel] = {}
    dtypes: Sequence[DType] = dt.EVERY  # those it stores
    api_version: tuple[int, int] = (1, 0)
    subnormals: bool = True  # it computes with subnormal numbers; else they count as zeros

    @property
    def device(self) -> Device:
        found = self.__dict__.get("_device")
        if found is None:
            found = self._device = Device(self.name.partition(":")[0], self.index)
        return found

    @property
    def plans(self) -> dict[Any, Any]:
        """What the engine has decided about calls on this backend."""
        found = self.__dict__.setdefault("_plans", {})
        self.__dict__["plans"] = found
        return found

    def put(self, array: np.ndarray[Any, Any]) -> Any:
        """Take an array in.  The data must not change when the array does."""
        return array

    def get(self, data: Any) -> np.ndarray[Any, Any]:
        """Give an array back."""
        return np.asarray(data)

    def kernel(self, op: Op, out: Any, specs: Sequence[Spec | None], attrs: Mapping[str, Any]) -> Kernel | None:
        """The kernel for an op on such operands, or None to have the op expand."""
        found = self.kernels.get(op.name)
        when = getattr(found, "when", None)
        return found if when is None or when(out, *specs, **attrs) else None

    def writer(self, op: Op, x: Any) -> Kernel | None:
        """A kernel for ``op`` that writes over the storage of its first operand, the tensor ``x``; None if others hold it.

        Asked only where x is about to be given the result.  Storage that was exported is held by who has it.
        """
        return None

    def compile(self, graph: Any) -> Callable[..., Any]:
        """Make a lowered graph callable on this backend's data; by default, op by op.

        States the graph gives another value may be written over.  A callable that does so has an attribute ``donates``, their
        positions among the inputs, and is called with ``sole=``: for each, whether its tensor alone holds it (see ``sole``).
        """
        return graph.interpreter(self)

    def synchronize(self) -> None:
        """Wait for all that was begun."""

    def dlpack(self, data: Any, **kwargs: Any) -> Any:
        """A DLPack capsule that shares the data; a copy's for a consumer too old to be told that it may not write."""
        array = self.get(data)
        version = kwargs.get("max_version")
        if not array.flags.writeable and (version is None or version[0] < 1) and kwargs.get("copy") is not True:
            # NumPy refuses to export read-only memory to those who cannot be told; only on demand is it shared all the same.
            array = array.copy() if kwargs.pop("copy", None) is None or array.base is not None else _writable(array)
        return array.__dlpack__(**kwargs)

    def dlpack_device(self, data: Any) -> tuple[int, int]:
        return 1, 0  # kDLCPU

    def from_dlpack(self, capsule: Any) -> Any:
        """Data that shares another library's, read only; None where it must be copied through the host."""
        return None

    def memory(self) -> dict[str, int]:
        """Bytes in use and at most so far, where the backend counts them."""
        return {}

    def __repr__(self) -> str:
        return f"<backend {self.name}>"


def _writable(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A view of an array that owns its memory, without the mark that it must not be written to."""
    array.flags.writeable = True
    view = array.view()
    array.flags.writeable = False
    return view


# -- the reference ---------------------------------------------------------------------------------


class _Quiet(threading.local):
    """A context in which NumPy's floating-point warnings are off: entering it costs a sixth of ``np.errstate``."""

    def __init__(self) -> None:
        context = contextvars.copy_context()
        context.run(np.seterr, all="ignore")
        self.run = context.run


_quiet = _Quiet()
_WIDE = {dt.float16: np.dtype(np.float32), dt.bfloat16: np.dtype(np.float32)}


def _finish(y: Any, out: Spec) -> np.ndarray[Any, Any]:
    if type(y) is not np.ndarray or y.dtype != out.dtype.numpy:
        with np.errstate(all="ignore"):
            y = np.asarray(y, out.dtype.numpy) if not isinstance(y, np.ndarray) else y.astype(out.dtype.numpy)
    return y


def reference_kernel(op: Op) -> Kernel:
    """An op's NumPy function as a kernel: half precision computed in single and rounded once, warnings off."""
    fn, multiple, wide = op.fn, op.multiple, op.wide
    half = {np.dtype(d.numpy) for d in _WIDE}
    plain = not multiple and not op.variadic and len(op.operands) == 2 and not op.attrs

    def widened(x: Any) -> Any:
        return x.astype(np.float32) if x is not None and x.dtype in half else x

    def general(out: Any, *xs: Any, **attrs: Any) -> Any:
        if wide:
            xs = tuple([widened(x) for x in xs])
        with np.errstate(all="ignore"):
            y = fn(*xs, **attrs)
        return tuple([_finish(v, o) for v, o in zip(y, out)]) if multiple else _finish(y, out)

    if not plain:
        return general

    def binary(out: Spec, a: Any, b: Any) -> Any:
        if a.dtype.kind == "V" or a.dtype.char == "e" or not a.ndim:
            return general(out, a, b)
        y = _quiet.run(fn, a, b)
        return y if type(y) is np.ndarray and y.dtype is out.dtype.numpy else _finish(y, out)

    return binary


def blockwise(op: Op, kernel: Kernel, specs: Sequence[Spec | None], attrs: Mapping[str, Any]) -> Kernel:
    """A kernel of a movement op for quantised operands that are arrays of blocks: it is told sizes in blocks."""
    translated = op.in_blocks(specs, attrs)
    return lambda out, *xs, **_: kernel(out, *xs, **translated)


def holds_blocks(op: Op, specs: Sequence[Spec | None]) -> bool:
    """Whether a call moves quantised operands."""
    return bool(op.blocks) and any(s is not None and s.dtype.kind == "q" for s in specs)


class Reference(Backend):
    """NumPy, straight from the op declarations: right, and always there.  Quantised tensors are arrays of blocks."""

    name = "numpy"
    dtypes = dt.EVERY + dt.QUANTISED

    def __init__(self) -> None:
        self.kernels = {op.name: reference_kernel(op) for op in OPS.values() if not op.composite}

    def kernel(self, op: Op, out: Any, specs: Sequence[Spec | None], attrs: Mapping[str, Any]) -> Kernel | None:
        if op.name not in self.kernels and not op.composite:
            self.kernels = {**self.kernels, op.name: reference_kernel(op)}
        found = super().kernel(op, out, specs, attrs)
        return blockwise(op, found, specs, attrs) if found is not None and holds_blocks(op, specs) else found

    def put(self, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if array.flags.writeable or not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="), order="C", copy=True)
            array.flags.writeable = False
        return array

    def get(self, data: Any) -> np.ndarray[Any, Any]:
        return data

    def from_dlpack(self, capsule: Any) -> Any:
        try:
            return np.from_dlpack(capsule)
        except (BufferError, RuntimeError, TypeError):  # bfloat16, memory elsewhere
            return None

    def writer(self, op: Op, x: Any) -> Kernel | None:
        into = op.into
        if into is None or x.value.base is not None or not x.value.flags.owndata or not sole(x):
            return None

        def write(out: Spec, data: Any, *xs: Any, **attrs: Any) -> Any:
            data.flags.writeable = True
            if holds_blocks(op, (out,)):
                attrs = op.in_blocks((out,), attrs)
            with np.errstate(all="ignore"):
                return into(data, *xs, **attrs)

        return write


class _Box:
    """Something with a value, as tensors are."""

    __slots__ = ("value",)
    value: Any


def _holders(x: Any) -> int:
    """How many references to a tensor's array there are, counted as it is counted here."""
    return sys.getrefcount(x.value)


def _sole() -> int:
    """What ``_holders`` counts for an array that the tensor alone holds; interpreters differ."""
    box = _Box()
    box.value = np.empty(1)
    return _holders(box)


_SOLE = _sole()


def sole(x: Any) -> bool:
    """Whether a tensor alone holds its data, as far as Python knows: exported storage is the backend's to remember."""
    return _holders(x) <= _SOLE
