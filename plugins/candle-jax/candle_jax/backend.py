"""The backend: JAX's arrays as data, kernels compiled by XLA once per kind of call, graphs through jax.jit."""

from __future__ import annotations

import math
import warnings
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from candle import Backend, Spec, no_grad
from candle import dtype as dt
from candle.backend import Device, sole
from candle.errors import BackendError, CaptureError, DeviceError
from candle.graph import Graph, Input, capture
from candle.op import Op
from candle.tensor import current_trace

try:
    import jax
    import jax.numpy as jnp
except ModuleNotFoundError as e:
    raise BackendError(
        f"the device 'jax' needs JAX, which is not installed ({e}); install it with: pip install jax, "
        "or for NVIDIA GPUs: pip install 'jax[cuda13]'"
    ) from e

from .kernels import kernels
from .kernels.table import PACKED

_NOT_STORED = ("float6_e2m3fn", "float6_e3m2fn")  # XLA has no such types
_INLINE = 1024  # elements of a constant that is compiled in; larger ones are passed at every call
_WRITERS = 4096  # programs that write in place are kept
_IDENTITIES = ("alias", "no_gradient")


def x64() -> Any:
    """JAX has 64-bit dtypes within; elsewhere in the process its settings stay as they are."""
    return jax.enable_x64(True)


class Jax(Backend):
    """One of JAX's devices, ``jax.devices()[index]``: which platform that is, JAX decides by its own settings."""

    subnormals = False  # XLA's threads on the CPU have them flushed, and so do many accelerators

    def __init__(self, index: int = 0) -> None:
        devices = jax.devices()
        if index >= len(devices):
            raise DeviceError(f"JAX has {len(devices)} devices, jax:0 to jax:{len(devices) - 1}, but jax:{index} was asked for")
        self.name, self.index = f"jax:{index}", index
        self.place = devices[index]
        self.sharding = jax.sharding.SingleDeviceSharding(self.place)
        self.host = self.place.platform == "cpu"
        self.kernels: Mapping[str, Callable[..., Any]] = dict(kernels())
        self.dtypes = tuple(d for d in dt.EVERY if d.name not in _NOT_STORED)
        self._writers: dict[Any, Callable[..., Any]] = {}

    @property
    def device(self) -> Device:
        return Device("jax", self.index)

    # -- in and out ---------------------------------------------------------------------------------

    def put(self, array: np.ndarray[Any, Any]) -> Any:
        """An array on the device; on the host, one that cannot be written to is shared where its alignment permits."""
        dtype = dt.as_dtype(array.dtype)
        if dtype not in self.dtypes:
            raise BackendError(f"{self.name} does not store {dtype}, which XLA has not; keep it on numpy")
        if array.flags.writeable or not array.dtype.isnative or not array.flags.c_contiguous:
            array = _aligned(array)
        with x64():
            data = jax.device_put(array, self.sharding)
        data._shared = True  # perhaps with the array
        return data

    def get(self, data: Any) -> np.ndarray[Any, Any]:
        array = np.asarray(data)
        if self.host:
            data._shared = True
        return array

    def dlpack(self, data: Any, **kwargs: Any) -> Any:
        if self.host and dt.as_dtype(data.dtype).kind in "biufc" and data.dtype != jnp.bfloat16:
            return super().dlpack(data, **kwargs)  # NumPy tells the consumer that it may not write
        data._shared = True
        return data.__dlpack__(**kwargs)

    def dlpack_device(self, data: Any) -> tuple[int, int]:
        kind, index = data.__dlpack_device__()
        return int(kind), int(index)

    def from_dlpack(self, capsule: Any) -> Any:
        try:
            with x64():
                data = jax.dlpack.from_dlpack(capsule, device=self.place, copy=False)
        except Exception:
            return None  # another device, or memory that is not aligned for XLA
        data._shared = True
        return data

    def synchronize(self) -> None:
        jax.block_until_ready([x for x in self.place.client.live_arrays() if not x.is_deleted()])

    def memory(self) -> dict[str, int]:
        stats = self.place.memory_stats() or {}
        names = {"in_use": "bytes_in_use", "peak": "peak_bytes_in_use"}
        return {ours: int(stats[theirs]) for ours, theirs in names.items() if theirs in stats}

    # -- kernels ------------------------------------------------------------------------------------

    def _avals(self, specs: Sequence[Spec | None]) -> list[Any]:
        return [None if s is None else jax.ShapeDtypeStruct(s.shape, s.dtype.numpy, sharding=self.sharding) for s in specs]

    def compiled(self, fn: Callable[..., Any], specs: Sequence[Spec | None], donated: Sequence[int] = ()) -> Callable[..., Any]:
        """A function of arrays, compiled for such operands, which may write over those that are donated."""
        with x64(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Some donated buffers were not usable")
            jitted = jax.jit(fn, out_shardings=self.sharding, donate_argnums=tuple(donated))
            if not any(s is not None and s.dtype.name in PACKED for s in specs):
                return jitted.lower(*self._avals(specs)).compile()

        def call(*xs: Any) -> Any:  # a program compiled ahead refuses the layout that packed arrays say they have
            with x64():
                return jitted(*xs)

        return call

    def kernel(self, op: Op, out: Any, specs: Sequence[Spec | None], attrs: Mapping[str, Any]) -> Callable[..., Any] | None:
        found = super().kernel(op, out, specs, attrs)
        if found is None:
            # in a captured function it is expanded, and fused with its neighbours
            body = op.fn if op.composite else op.expand
            return None if body is None or current_trace() is not None else self._fused(op, body, out, specs, attrs)
        if op.name in _IDENTITIES:
            return lambda _out, x, **_attrs: x
        run: Callable[..., Any] | None = None

        def call(_out: Any, *xs: Any, **_attrs: Any) -> Any:
            nonlocal run
            if run is None:
                run = self.compiled(lambda *ys: found(out, *ys, **attrs), specs)
            return run(*xs)

        return self._checked(found, call)

    def _fused(
        self, op: Op, made_of: Callable[..., Any], out: Any, specs: Sequence[Spec | None], attrs: Mapping[str, Any]
    ) -> Callable[..., Any] | None:
        """What an op is made of as one program; None where that cannot be captured."""
        given = [at for at, s in enumerate(specs) if s is not None]

        def body(*xs: Any) -> Any:
            operands: list[Any] = [None] * len(specs)
            for at, x in zip(given, xs):
                operands[at] = x
            return made_of(*operands, **attrs)

        try:
            with no_grad():
                graph = capture(body, *[specs[at] for at in given], target=self)
        except CaptureError:
            return None
        if graph.states or tuple([o.spec for o in graph.outputs]) != (out if op.multiple else (out,)):
            return None
        run: Callable[..., Any] | None = None

        def call(_out: Any, *xs: Any, **_attrs: Any) -> Any:
            nonlocal run
            if run is None:
                run = self.compile(graph)
            y = run(*[xs[at] for at in given])
            return y if op.multiple else y[0]

        return call

    def _checked(self, found: Any, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same with the checks that look at values; only on the host, where that waits for no transfer."""
        before, after = getattr(found, "before", None), getattr(found, "after", None)
        if not self.host or (before is None and after is None):
            return call

        def checked(out: Any, *xs: Any, **attrs: Any) -> Any:
            if before is not None:
                before(out, *xs, **attrs)
            y = call(out, *xs, **attrs)
            if after is not None:
                after(y, out, *xs, **attrs)
            return y

        return checked

    def writer(self, op: Op, x: Any) -> Callable[..., Any] | None:
        found = self.kernels.get(op.name)
        if found is None or not sole(x) or getattr(x.value, "_shared", False):
            return None

        def write(out: Any, *xs: Any, **attrs: Any) -> Any:
            specs = tuple([None if v is None else Spec(v.shape, v.dtype) for v in xs])
            key = op, out, specs, tuple(attrs.items())
            run = self._writers.get(key)
            if run is None:
                if len(self._writers) >= _WRITERS:
                    self._writers.clear()
                run = self._writers[key] = self.compiled(lambda *ys: found(out, *ys, **attrs), specs, (0,))
            return run(*xs)

        return self._checked(found, write)

    # -- graphs -------------------------------------------------------------------------------------

    def compile(self, graph: Graph) -> Callable[..., Any]:
        """The graph as one XLA program.  States that it gives another value are donated, unless something else holds them."""
        large = [v for v, t in graph.constants.items() if t.spec.size > _INLINE]
        passed = [Input(f"constant{v}", v, graph.constants[v].spec) for v in large]
        small = {v: t for v, t in graph.constants.items() if v not in large}
        inputs = [*graph.inputs, *passed]
        flat = Graph(graph.name, inputs, small, graph.calls, graph.outputs).interpreter(_Traced(self))
        held = [_data(graph.constants[v], self) for v in large]
        targets = {o.target: o.spec for o in graph.outputs if o.target is not None}
        donated = tuple([at for at, i in enumerate(graph.inputs) if i.state and targets.get(i.name) is i.spec])
        run = self.compiled(flat, [i.spec for i in inputs], donated)

        def call(*xs: Any, sole: Sequence[bool] = ()) -> Any:
            if donated:
                given = list(xs)
                for at, alone in zip(donated, sole or (False,) * len(donated)):
                    x = given[at]
                    if not alone or getattr(x, "_shared", False):
                        given[at] = self._copy(x)
                    del x
                return run(*given, *held)
            return run(*xs, *held)

        call.donates = donated  # type: ignore[attr-defined]
        return call

    def _copy(self, x: Any) -> Any:
        with x64():
            return jnp.copy(x)


class _Traced(Backend):
    """A backend's kernels as JAX traces them, with constants that are compiled in."""

    def __init__(self, backend: Jax) -> None:
        self.name, self.kernels = backend.name, backend.kernels

    def put(self, array: np.ndarray[Any, Any]) -> Any:
        with x64():
            return jnp.asarray(array)


def _data(t: Any, backend: Jax) -> Any:
    return t.value if t.backend is backend else backend.put(t.backend.get(t.value))


def _aligned(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A read-only copy that begins where XLA can use it in place."""
    dtype = array.dtype.newbyteorder("=")
    n = math.prod(array.shape) * dtype.itemsize
    whole = np.empty(n + 64, np.uint8)
    skip = -whole.__array_interface__["data"][0] % 64
    copy = whole[skip : skip + n].view(dtype).reshape(array.shape)
    copy[...] = array
    copy.flags.writeable = False
    return copy
