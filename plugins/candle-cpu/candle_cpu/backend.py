"""The device ``cpu``: kernels of the C engine, views for movement, and NumPy's reference for what is left."""

from __future__ import annotations

import os
import sys
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from candle import OPS, Backend, Spec
from candle import dtype as dt
from candle.backend import blockwise, holds_blocks, reference_kernel
from candle.errors import DimError
from candle.op import Op

from . import _engine
from .builders import BUILDERS
from .dtypes import CODES, block_of, from_array, to_array
from .threads import default_threads

Kernel = Callable[..., Any]


class _Box:
    __slots__ = ("value",)
    value: Any


def _references(x: Any) -> int:
    """How many references to a tensor's array there are, counted as it is counted here."""
    return sys.getrefcount(x.value)


def _sole() -> int:
    """What ``_references`` counts for an array that a tensor alone holds; interpreters differ."""
    box = _Box()
    box.value = _engine.empty((1,), 0)
    return _references(box)


_SOLE = _sole()


def served(op: Op) -> Kernel:
    """The NumPy reference of an op over views of this device's memory, which is the host's."""
    reference = reference_kernel(op)

    def kernel(out: Any, *data: Any, **attrs: Any) -> Any:
        arrays = [None if x is None else to_array(x) for x in data]
        y = reference(out, *arrays, **attrs)
        return tuple([from_array(_kept(v)) for v in y]) if op.multiple else from_array(_kept(y))

    return kernel


def _kept(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A result of NumPy's as one that nobody writes to again, so that its memory can be taken over."""
    array = np.asarray(array)
    if array.flags.owndata or array.base is not None:
        array = array.view()
    array.flags.writeable = False
    return array


def _in_blocks(spec: Any) -> Any:
    """The spec of an array of blocks, of a quantised tensor's spec; others are their own."""
    if isinstance(spec, tuple):
        return tuple([_in_blocks(s) for s in spec])
    if spec is None or spec.dtype.kind != "q":
        return spec
    return Spec((*spec.shape[:-1], spec.shape[-1] // spec.dtype.block), block_of(spec.dtype))


def _dtype(number: int) -> dt.DType:
    return next(d for d, n in CODES.items() if n == number)


class Cpu(Backend):
    """The C engine.  Its data are ``_engine.Array``: views of storage that movement ops share.

    A composite without a kernel here expands.  A primitive without one (for its dtype) is served by the op's NumPy reference
    over the same memory, for that is quicker than its expansion; ``coverage`` says of each op which it is.
    """

    name = "cpu"
    dtypes = dt.EVERY + dt.QUANTISED

    def __init__(self) -> None:
        _engine.choose(os.environ.get("CANDLE_CPU_ISA", ""))
        _engine.set_threads(default_threads())
        _engine.set_index_error(DimError)
        self.kernels: dict[str, Kernel] = {}  # those that plugins add
        self._served: dict[str, Kernel] = {}
        self._writers: dict[Any, Kernel] = {}

    def put(self, array: np.ndarray[Any, Any]) -> Any:
        return from_array(array)

    def get(self, data: Any) -> np.ndarray[Any, Any]:
        return to_array(data)

    def kernel(self, op: Op, out: Any, specs: Sequence[Spec | None], attrs: Mapping[str, Any]) -> Kernel | None:
        added = super().kernel(op, out, specs, attrs)
        if added is not None:
            return added
        builder = BUILDERS.get(op.name)
        blocks = holds_blocks(op, specs)  # then what moves are blocks, and sizes are counted in them
        if builder is None or (blocks and not callable(op.blocks)):
            made = None
        elif blocks:
            made = builder(_in_blocks(out), *map(_in_blocks, specs), **op.in_blocks(specs, attrs))
        else:
            made = builder(out, *specs, **attrs)
        if made is not None or op.composite:
            return made
        found = self._served.get(op.name)
        if found is None:
            found = self._served[op.name] = served(op)
        return blockwise(op, found, specs, attrs) if blocks else found

    def writer(self, op: Op, x: Any) -> Kernel | None:
        if op.name not in ("slice_set", "write") or _engine.holders(x.value) != 1 or x.dtype.kind == "q":
            return None
        if _references(x) > _SOLE or not x.value.contiguous:
            return None

        def write(out: Spec, data: Any, *rest: Any, **attrs: Any) -> Any:
            key = op.name, out, *[r.shape for r in rest], *attrs.values()
            found = self._writers.get(key)
            if found is None:
                specs = [Spec(r.shape, _dtype(r.dtype)) for r in rest]
                found = self._writers[key] = _engine.into(BUILDERS[op.name](out, out, *specs, **attrs))
            return found(out, data, *rest)

        return write

    def compile(self, graph: Any) -> Kernel:
        """The graph as a plan: one call into the engine for each run of steps that are all its own."""
        from .plan import compiled

        return compiled(graph, self)

    @property
    def threads(self) -> int:
        """How many threads kernels share their work between."""
        return _engine.get_threads()

    @threads.setter
    def threads(self, n: int) -> None:
        _engine.set_threads(n)

    def from_dlpack(self, capsule: Any) -> Any:
        """An array over another library's memory on the host; None for what NumPy cannot be told of (bfloat16)."""
        try:
            return from_array(_kept(np.from_dlpack(capsule)))
        except (BufferError, RuntimeError, TypeError, ValueError):
            return None

    def memory(self) -> dict[str, int]:
        return _engine.memory()


def coverage() -> dict[str, str]:
    """Each op's name -> "C", "reference" (NumPy over the engine's memory) or "expands", for the dtypes its kernels take."""
    return {
        op.name: "C" if op.name in BUILDERS else "expands" if op.composite else "reference"
        for op in sorted(OPS.values(), key=lambda op: op.name)
    }


__all__ = ["Cpu", "coverage", "served"]
