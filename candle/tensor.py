"""Tensors, and the one function through which every op passes."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, Callable, Iterator, Sequence

import numpy as np

from . import dtype as dt
from . import op as _op
from .dtype import DType, as_dtype
from .errors import CaptureError, DeviceError, DTypeError, GradientError, KernelError, ShapeError
from .op import OPS, Op, Spec

if TYPE_CHECKING:  # the methods that are attached from the op table, for type checkers only
    from ._methods import TensorMethods
else:
    TensorMethods = object

__all__ = ["Tensor", "apply", "enable_grad", "inference_mode", "is_grad_enabled", "no_grad", "set_grad_enabled"]


# -- the tape --------------------------------------------------------------------------------------


class Leaf:
    """The place on the tape of a tensor whose gradient was asked for: ``backward`` leaves it there."""

    __slots__ = ("__weakref__", "owner")
    nodes: tuple[()] = ()

    def __init__(self, owner: Tensor | None = None) -> None:
        self.owner = weakref.ref(owner) if owner is not None else None


class Node:
    """How a value was made: the plan it ran by, the data it was given and gave, and the nodes that came before.

    It holds data, which never changes, and no Tensor, which can be rebound.
    """

    __slots__ = ("__weakref__", "datas", "nodes", "outs", "plan")

    def __init__(self, plan: Plan, datas: Any, nodes: tuple[Any, ...], outs: Any) -> None:
        self.plan, self.datas, self.nodes, self.outs = plan, datas, nodes, outs


class Pick:
    """One of several results of a node."""

    __slots__ = ("__weakref__", "at", "nodes")

    def __init__(self, node: Node, at: int) -> None:
        self.nodes, self.at = (node,), at


class _Mode(threading.local):
    grad = True
    traces: tuple[Any, ...] = ()
    donated: Any = None  # the tensor that is about to be given the result: its storage may be written over


_mode = _Mode()
_tracing = 0  # how many captures are under way in any thread; the fast paths look at this only


def is_grad_enabled() -> bool:
    """Whether operations are written on the tape in this thread."""
    return _mode.grad


class set_grad_enabled:
    """Switch the tape on or off, as a function, a context manager or a decorator."""

    def __init__(self, mode: bool) -> None:
        self.mode, self.before = bool(mode), [_mode.grad]
        _mode.grad = self.mode

    def __enter__(self) -> None:
        self.before.append(_mode.grad)
        _mode.grad = self.mode

    def __exit__(self, *_: Any) -> None:
        before = self.before.pop()
        _mode.grad = self.before[0] if len(self.before) == 1 else before


class _GradMode:
    """A context manager and decorator that sets the tape on or off within."""

    mode: bool

    def __init__(self, function: Any = None) -> None:
        self._before: list[bool] = []

    def __new__(cls, function: Any = None) -> Any:
        self = object.__new__(cls)
        if function is None:
            return self
        self.__init__()  # type: ignore[misc]
        return self(function)

    def __enter__(self) -> _GradMode:
        self._before.append(_mode.grad)
        _mode.grad = self.mode
        return self

    def __exit__(self, *_: Any) -> None:
        _mode.grad = self._before.pop()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        import functools

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with type(self)():
                return function(*args, **kwargs)

        return wrapped


class no_grad(_GradMode):
    """Within it nothing is written on the tape."""

    mode = False


class enable_grad(_GradMode):
    """Within it operations on tracked tensors are written on the tape again."""

    mode = True


class inference_mode(no_grad):
    """The same as ``no_grad``: values are immutable, so there is nothing further to gain."""


# -- plans and apply -------------------------------------------------------------------------------


class Plan:
    """What is decided of a call from specs alone: casts, results, kernel.  One is kept per backend, op, specs, attributes."""

    __slots__ = ("attrs", "backend", "casts", "kernel", "op", "out", "outs", "saves", "single", "specs", "tracks")

    def __init__(self, op: Op, backend: Any, operands: Sequence[Any], attrs: dict[str, Any]) -> None:
        targets = op.promote(operands)
        specs: list[Spec | None] = []
        casts: list[DType | None] = []
        for x, target in zip(operands, targets):
            if x is None or target is None:
                specs.append(None)
                casts.append(None)
            elif isinstance(x, Spec):
                specs.append(x if x.dtype is target else Spec(x.shape, target))
                casts.append(None if x.dtype is target else target)
            else:
                specs.append(Spec((), target))
                casts.append(target)
        self.op, self.backend = op, backend
        self.specs = tuple(specs)
        self.casts = tuple(casts) if any(c is not None for c in casts) else None
        self.attrs = op.complete(self.specs, attrs)
        self.outs = op.infer(self.specs, self.attrs)
        if op.blocks and any(s is not None and s.dtype.kind == "q" for s in self.specs):
            op.in_blocks(self.specs, self.attrs)  # refuses a movement that would take blocks apart
        self.single = not op.multiple
        self.out: Any = self.outs[0] if self.single else self.outs
        self.kernel = backend.kernel(op, self.out, self.specs, self.attrs)
        if self.kernel is None and not op.composite and op.expand is None:
            given = ", ".join(map(str, specs))
            raise KernelError(
                f"{backend.name} has no kernel for {op.name}({given}), and {op.name} does not expand into other ops; "
                f"move the operands to a device that has it, such as .to('numpy')"
            )
        self.tracks = any(o.dtype.kind in "fc" for o in self.outs)
        self.saves = op.saves


_PLANS = 32768  # per backend: a decoding loop with growing shapes would otherwise keep plans for ever
_scalars: dict[Any, Tensor] = {}


def _scalar(value: Any, dtype: DType, backend: Any) -> Tensor:
    """A Python number as a tensor; small ones are kept, for they come again."""
    key = value, value.__class__, dtype, backend
    keep = value.__class__ is int or (value.__class__ is float and value != 0)
    if keep and not _tracing:
        found = _scalars.get(key)
        if found is not None:
            return found
    try:
        array = np.asarray(value).astype(dtype.numpy) if dtype.kind != "s" else np.asarray(value, dtype.numpy)
    except (OverflowError, TypeError, ValueError) as e:
        raise DTypeError(f"{value!r} cannot be made a {dtype}: {e}") from None
    made = Tensor(backend.put(array), Spec((), dtype), backend)
    if keep and not _tracing:
        if len(_scalars) > 4096:
            _scalars.clear()
        _scalars[key] = made
    return made


def current_trace() -> Any:
    """The innermost capture under way in this thread, or None."""
    traces = _mode.traces
    return traces[-1] if traces else None


def push_trace(trace: Any) -> None:
    global _tracing
    _mode.traces = (*_mode.traces, trace)
    _tracing += 1


def pop_trace() -> None:
    global _tracing
    _mode.traces = _mode.traces[:-1]
    _tracing -= 1


class untraced:
    """Within it this thread computes again although a capture is under way."""

    def __enter__(self) -> None:
        self.traces, _mode.traces = _mode.traces, ()

    def __exit__(self, *_: Any) -> None:
        _mode.traces = self.traces


def apply(op: Op, args: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """Call an op as a user does: operands and attributes by position or by name."""
    operands, attrs = op.bind(args, attrs)
    return run(op, operands, attrs)


def run(op: Op, operands: Sequence[Any], attrs: dict[str, Any], backend: Any = None) -> Any:
    """Run an op where its operands are, and write it on the tape if need be.  All operations pass here.

    ``operands`` are tensors, Python numbers, arrays or None; ``attrs`` are hashable.  ``backend`` is only needed for
    ops without operands.
    """
    trace = current_trace() if _tracing else None
    if trace is not None:
        operands = [trace.lift(x) if isinstance(x, Tensor) else x for x in operands]
        backend = trace
    key: list[Any] = [op]
    for x in operands:
        if isinstance(x, Tensor):
            key.append(x.spec)
            if backend is None:
                backend = x.backend
            elif x.backend is not backend:
                raise _strangers(op, operands)
        elif x is None:
            key.append(None)
        elif x.__class__ in (int, float, bool, complex):
            key.append(x.__class__)
        else:
            return run(op, _as_operands(op, operands, backend), attrs, backend)
    if backend is None and not op.inputs:
        from .device import resolve

        return run(op, (), attrs, resolve(None))
    if backend is None:
        operands = _as_operands(op, operands, None)
        backend = next(x.backend for x in operands if isinstance(x, Tensor))
        return run(op, operands, attrs, backend)
    if attrs:
        key.append(tuple(attrs.items()))
        key.append(tuple([v.__class__ for v in attrs.values()]))  # 1, 1.0 and True are equal keys
    plans = backend.plans
    try:
        plan = plans.get(tuple(key))
    except TypeError:
        raise DTypeError(
            f"{op.name}'s attributes must be numbers, strings, dtypes or tuples of them but {attrs} was given"
        ) from None
    if plan is None:
        plan = Plan(op, backend, [x.spec if isinstance(x, Tensor) else x for x in operands], attrs)
        if len(plans) >= _PLANS:
            plans.clear()
        plans[tuple(key)] = plan
    if plan.casts is not None:
        operands = [
            x if to is None else run(OPS["cast"], (x,), {"dtype": to}) if isinstance(x, Tensor) else _scalar(x, to, backend)
            for x, to in zip(operands, plan.casts)
        ]
    tracked = plan.tracks and _mode.grad and any([x is not None and x.node is not None for x in operands])  # noqa: C419
    kernel = plan.kernel
    if kernel is None or (tracked and kernel is not None and plan.op.composite and trace is not None and trace.expands(plan)):
        body = op.body
        if not operands and trace is None:
            from .device import placed

            with placed(backend):
                return body(**plan.attrs)
        if not tracked or op.vjp is None:
            return body(*operands, **plan.attrs)
        with no_grad():
            made = body(*operands, **plan.attrs)
        data = made.value if plan.single else tuple([m.value for m in made])
    else:
        if op.into is not None and not tracked and operands[0] is _mode.donated and trace is None:
            kernel = backend.writer(op, operands[0]) or kernel
        data = kernel(plan.out, *[None if x is None else x.value for x in operands], **plan.attrs)
    if not tracked:
        if plan.single:
            return Tensor(data, plan.out, backend)
        return tuple([Tensor(d, s, backend) for d, s in zip(data, plan.outs)])
    return _tracked(plan, operands, data)


def _tracked(plan: Plan, operands: Sequence[Any], data: Any) -> Any:
    ins, outs = plan.saves
    if plan.op.vjp is None and (plan.op.composite or plan.op.expand is not None):
        keep = [None if x is None else x.value for x in operands]
    else:
        more = [ins[-1]] * (len(operands) - len(ins)) if ins else []
        keep = [x.value if k and x is not None else None for x, k in zip(operands, [*ins, *more])]
    nodes = tuple([None if x is None else x.node for x in operands])
    node = Node(plan, tuple(keep), nodes, data if outs[0] else None)
    if plan.single:
        return Tensor(data, plan.out, plan.backend, node)
    return tuple(
        [
            Tensor(d, s, plan.backend, Pick(node, at) if s.dtype.kind in "fc" else None)
            for at, (d, s) in enumerate(zip(data, plan.outs))
        ]
    )


def _as_operands(op: Op, operands: Sequence[Any], backend: Any) -> list[Any]:
    """Arrays, nested lists and, where no tensor is among them, numbers too, made tensors."""
    from .create import as_tensor

    if backend is None:
        backend = next((x.backend for x in operands if isinstance(x, Tensor)), None)
    alone = not any(isinstance(x, Tensor) for x in operands)
    made = []
    for x in operands:
        number = isinstance(x, (bool, int, float, complex)) and not isinstance(x, np.generic)
        if x is None or isinstance(x, Tensor) or (number and not alone):
            made.append(x)
        elif isinstance(x, (str, bytes)) or not (number or hasattr(x, "__array__") or isinstance(x, (list, tuple))):
            raise DTypeError(
                f"{op.name} takes tensors ({op.signature}) but was given {type(x).__name__} {x!r:.60}; it is {op.torchlike}"
            )
        else:
            made.append(as_tensor(x, device=backend))
    if not any(isinstance(x, Tensor) for x in made):
        raise TypeError(f"{op.name} was given no tensor: it is {op.torchlike}")
    return made


def _strangers(op: Op, operands: Sequence[Any]) -> Exception:
    names = [x.backend.name for x in operands if isinstance(x, Tensor)]
    if "trace" in names:
        return CaptureError(
            f"{op.name} was given a tensor of a capture that has ended; "
            "return it from the captured function instead of storing it"
        )
    return DeviceError(
        f"{op.name} was given tensors on {' and '.join(dict.fromkeys(names))}; move them to one device with .to(device)"
    )


_op.set_apply(apply)


def _unary(op: Op) -> Callable[[Any], Any]:
    """The method of an op with one operand and no attributes: the shortest way to its kernel."""

    def method(self: Any) -> Any:
        backend = self.backend
        plan = backend.plans.get((op, self.spec))
        if plan is None or _tracing or plan.kernel is None or plan.casts is not None:
            return run(op, (self,), {})
        x = self.value
        data = plan.kernel(plan.out, x)
        if self.node is not None and plan.tracks and _mode.grad:
            return _tracked(plan, (self,), data)
        return Tensor(data, plan.out, backend)

    return method


def _binary(op: Op, swap: bool = False) -> Callable[[Any, Any], Any]:
    """The method of an op with two operands and no attributes."""
    save_a, save_b = op.saves[0]
    save_y = op.saves[1][0]
    vjp = op.vjp is not None

    def method(self: Any, other: Any) -> Any:
        backend, kind = self.backend, other.__class__
        if kind is float or kind is int:
            plan = backend.plans.get((op, self.spec, kind))
            if plan is None or _tracing or plan.kernel is None or plan.casts[0] is not None:
                return run(op, (self, other), {})
            other = _scalar(other, plan.casts[1], backend)
        elif isinstance(other, Tensor):
            plan = backend.plans.get((op, self.spec, other.spec))
            if plan is None or _tracing or plan.kernel is None or plan.casts is not None or backend is not other.backend:
                return run(op, (self, other), {})
        else:
            return run(op, (self, other), {})
        a, b = self.value, other.value
        data = plan.kernel(plan.out, a, b)
        if (self.node is None and other.node is None) or not plan.tracks or not _mode.grad:
            return Tensor(data, plan.out, backend)
        if vjp:
            node = Node(plan, (a if save_a else None, b if save_b else None), (self.node, other.node), data if save_y else None)
            return Tensor(data, plan.out, backend, node)
        return _tracked(plan, (self, other), data)

    return method


_HASHABLE = {int, float, bool, str, tuple, type(None), DType}


def _with_attributes(op: Op) -> Callable[..., Any]:
    """The method of an op with one operand: a call with attributes by position that was made before finds its plan at once."""

    def method(self: Any, *args: Any, **attrs: Any) -> Any:
        kinds = tuple([a.__class__ for a in args])
        if attrs or _tracing or not _HASHABLE.issuperset(kinds):
            return apply(op, (self, *args), attrs)
        backend = self.backend
        key = "method", op, self.spec, args, kinds
        try:
            plan = backend.plans.get(key)
        except TypeError:  # a list within a tuple
            return apply(op, (self, *args), attrs)
        if plan is None:
            operands, bound = op.bind((self, *args), attrs)
            found = run(op, operands, bound)
            if len(operands) == 1 and operands[0] is self:
                plan = Plan(op, backend, [self.spec], bound)
                if plan.kernel is not None and plan.casts is None and len(backend.plans) < _PLANS:
                    backend.plans[key] = plan
            return found
        if _mode.donated is self and op.into is not None:
            return apply(op, (self, *args), attrs)
        data = plan.kernel(plan.out, self.value, **plan.attrs)
        if self.node is not None and plan.tracks and _mode.grad:
            return _tracked(plan, (self,), data)
        return Tensor(data, plan.out, backend)

    return method


def _matrices(op: Op, general: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The product of two tensors the short way where both hold matrices."""
    short = _binary(op)

    def method(self: Any, other: Any) -> Any:
        if isinstance(other, Tensor) and len(self.spec.shape) > 1 and len(other.spec.shape) > 1:
            return short(self, other)
        return general(self, other)

    return method


def _reflected(op: Op) -> Callable[[Any, Any], Any]:
    return lambda self, other: run(op, (other, self), {})


def _reflected_product(product: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda self, other: product(self.new_tensor(other), self)


def _method(op: Op) -> Callable[..., Any]:
    if len(op.operands) == 1 and not op.attrs and not op.multiple and not op.variadic and not op.composite:
        method: Callable[..., Any] = _unary(op)
    elif (
        len(op.operands) == 2
        and not op.attrs
        and not op.multiple
        and not op.composite
        and not op.variadic
        and not op.inputs[1].optional
    ):
        method = _binary(op)
    elif len(op.operands) == 1 and not op.multiple and not op.variadic:
        method = _with_attributes(op)
    else:

        def method(self: Any, *args: Any, **attrs: Any) -> Any:
            return apply(op, (self, *args), attrs)

    method.__name__, method.__qualname__, method.__doc__ = op.name, f"Tensor.{op.name}", op.doc
    return method


class donating:
    """Within it an op that gives a tensor another value may write over the old one, if nothing else holds that."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __enter__(self) -> None:
        self.before, _mode.donated = _mode.donated, self.x

    def __exit__(self, *_: Any) -> None:
        _mode.donated = self.before


_RESHAPE = {
    "squeeze",
    "unsqueeze",
    "transpose",
    "t",
    "swapaxes",
    "swapdims",
}  # whose forms in place change the shape, as in PyTorch


def in_place(name: str) -> Callable[..., Any]:
    """``x.name_(...)``: give x the result of ``x.name(...)``, in x's own dtype, and shape but for a few movements."""

    def method(self: Any, *args: Any, **attrs: Any) -> Any:
        with donating(self):
            new = getattr(self, name)(*args, **attrs)
        return self._assign(new, name + "_", name in _RESHAPE)

    method.__name__ = name + "_"
    method.__doc__ = f"Give the tensor the values of ``{name}``; its shape and dtype stay."
    return method


# -- the tensor ------------------------------------------------------------------------------------


class Tensor(TensorMethods):
    """An array of one dtype on some device, with the means to find its gradient.

    A Tensor is a name for a value.  The value never changes; ``x[i] = v``, ``x += y`` and ``x.add_(y)`` give the name
    another one, and no other tensor changes with it.  Make one with ``candle.tensor``.
    """

    __slots__ = ("__weakref__", "_grad", "_origin", "backend", "node", "spec", "value")
    __array_priority__ = 1000

    _origin: str  # the index it came out of, if it did

    def __init__(self, value: Any, spec: Spec, backend: Any, node: Any = None) -> None:
        self.value = value  # the backend's own
        self.spec = spec
        self.backend = backend
        self.node = node  # its place on the tape

    # -- what it is ---------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self.spec.shape

    @property
    def dtype(self) -> DType:
        return self.spec.dtype

    @property
    def device(self) -> Any:
        return self.backend.device

    @property
    def ndim(self) -> int:
        return len(self.spec.shape)

    @property
    def itemsize(self) -> int:
        return self.spec.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.spec.nbytes

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of one dimension."""
        return self.shape if dim is None else self.shape[_op.normalize_dim(dim, self.ndim)]

    def dim(self) -> int:
        return self.ndim

    def numel(self) -> int:
        """The number of elements."""
        return self.spec.size

    nelement, ndimension = numel, dim

    def element_size(self) -> int:
        return self.spec.dtype.itemsize

    def is_floating_point(self) -> bool:
        return self.spec.dtype.kind == "f"

    def is_complex(self) -> bool:
        return self.spec.dtype.kind == "c"

    def is_signed(self) -> bool:
        return self.spec.dtype.kind not in "bu"

    def is_nonzero(self) -> bool:
        """Whether the only element is not zero."""
        return self.__bool__()

    def is_same_size(self, other: Tensor) -> bool:
        return self.shape == other.shape

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """True: how a value is laid out is the backend's affair."""
        return True

    def contiguous(self, memory_format: Any = None) -> Tensor:
        return self

    def stride(self, dim: int | None = None) -> Any:
        """Steps, in elements, of a row-major layout: what other libraries are handed is such."""
        steps = [1] * self.ndim
        for at in range(self.ndim - 2, -1, -1):
            steps[at] = steps[at + 1] * max(self.shape[at + 1], 1)
        return tuple(steps) if dim is None else steps[_op.normalize_dim(dim, self.ndim)]

    @property
    def is_cpu(self) -> bool:
        """Whether it lies in this process's memory."""
        return self.device.type in ("cpu", "numpy")

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    def get_device(self) -> int:
        """The number of its device, -1 where that has none."""
        return -1 if self.is_cpu or self.device.index is None else self.device.index

    # -- values in and out --------------------------------------------------------------------------

    def numpy(self) -> np.ndarray[Any, Any]:
        """The values as a NumPy array, read-only where memory is shared; of a quantised tensor its blocks.

        Tracked tensors are given too.
        """
        if self.backend.name == "trace":
            raise CaptureError(
                f"a {self.spec} of a function being captured has no values yet; keep .numpy(), .item() and `if tensor:` "
                "out of captured functions, or pass the number as an argument"
            )
        array = self.backend.get(self.value)
        if array.flags.writeable:
            array = array.view()
            array.flags.writeable = False
        return array

    def item(self) -> Any:
        """The only element, as a Python number; raises ShapeError where there is not exactly one."""
        if self.spec.size != 1:
            raise ShapeError(f"item() takes a tensor of one element but was given {self.spec}; use .tolist()")
        array = self.numpy().reshape(())
        return array.item() if array.dtype.kind in "biufc" else float(array)

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
        array = (self._cast(dt.float32) if self.spec.dtype.kind == "q" else self).numpy()
        return (array if array.dtype.kind in "biufc" else array.astype(np.float64)).tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        if copy or (dtype is not None and np.dtype(dtype) != array.dtype):
            return array.astype(dtype or array.dtype, copy=bool(copy) or True)
        return array

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """NumPy's functions take tensors as arrays and give arrays; operators between the two give tensors."""
        reflected = {"add": "__radd__", "subtract": "__rsub__", "multiply": "__rmul__", "true_divide": "__rtruediv__",
                     "power": "__rpow__", "matmul": "__rmatmul__", "floor_divide": "__rfloordiv__", "remainder": "__rmod__",
                     "bitwise_and": "__rand__", "bitwise_or": "__ror__", "bitwise_xor": "__rxor__", "equal": "__eq__",
                     "not_equal": "__ne__", "less": "__gt__", "less_equal": "__ge__", "greater": "__lt__",
                     "greater_equal": "__le__"}  # fmt: skip
        if method == "__call__" and not kwargs and len(inputs) == 2 and ufunc.__name__ in reflected:
            if isinstance(inputs[1], Tensor) and not isinstance(inputs[0], Tensor):
                return getattr(inputs[1], reflected[ufunc.__name__])(inputs[0])
        arrays = [x.numpy() if isinstance(x, Tensor) else x for x in inputs]
        return getattr(ufunc, method)(*arrays, **kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """NumPy's other functions, ``np.sum`` and the like: tensors as arrays, and arrays come back."""

        def plain(value: Any) -> Any:
            if isinstance(value, Tensor):
                return value.numpy()
            return type(value)(map(plain, value)) if type(value) in (list, tuple) else value

        return func(*plain(args), **{k: plain(v) for k, v in kwargs.items()})

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.backend.dlpack(self.value, **kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.backend.dlpack_device(self.value)

    def __bool__(self) -> bool:
        if self.spec.size != 1:
            raise ShapeError(f"the truth of {self.spec} is ambiguous: it has {self.spec.size} elements; use .any() or .all()")
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self.spec.dtype.kind not in "biu":
            raise DTypeError(f"an index is an integer but {self.spec} was given; cast it with .long()")
        return int(self.item())

    def __format__(self, form: str) -> str:
        return format(self.item(), form) if form and self.spec.size == 1 else format(str(self), form)

    def __len__(self) -> int:
        if not self.spec.shape:
            raise TypeError("len() of a tensor without dimensions")
        return self.spec.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.spec.shape:
            raise TypeError("iteration over a tensor without dimensions; use .item()")
        return iter([self[i] for i in range(self.spec.shape[0])])

    def __hash__(self) -> int:
        return id(self)

    def __reversed__(self) -> Tensor:
        return self.flip(0) if self.ndim else self

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __repr__(self) -> str:
        from .display import text

        return text(self)

    def _repr_html_(self) -> str:
        from .display import html

        return html(self)

    def __copy__(self) -> Tensor:
        made = type(self).__new__(type(self))
        Tensor.__init__(made, self.value, self.spec, self.backend, self.node)
        if isinstance(self.node, Leaf):
            made.node = Leaf(made)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.node is not None and not isinstance(self.node, Leaf):
            raise GradientError(
                "only leaves can be deep-copied: the tape behind this tensor would be shared; use .detach() first"
            )
        made = self.__copy__()
        memo[id(self)] = made
        return made

    def __reduce__(self) -> Any:
        if self.node is not None and not isinstance(self.node, Leaf):
            raise GradientError("a tensor with a tape behind it cannot be pickled; use .detach() first")
        return _unpickle, (type(self), self.backend.get(self.value), self.spec.dtype.name, str(self.device), self.requires_grad)

    # -- gradients ----------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    def requires_grad_(self, wanted: bool = True) -> Tensor:
        """Make it a leaf of the tape, or take it off; raises GradientError for dtypes without gradients."""
        if not wanted:
            if self.node is not None and not self.is_leaf:
                raise GradientError("only a leaf can stop requiring its gradient; use .detach()")
            self.node = None
        elif self.node is None:
            if self.spec.dtype.kind not in "fc":
                raise GradientError(
                    f"only floating and complex tensors have gradients but this is {self.spec}; cast it with .float()"
                )
            self.node = Leaf(self)
        return self

    @property
    def is_leaf(self) -> bool:
        return self.node is None or isinstance(self.node, Leaf)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that ``backward`` has left here, or None."""
        if _tracing:
            trace = current_trace()
            if trace is not None:
                trace.grad_read(self)
        try:
            return self._grad
        except AttributeError:
            return None

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None and value.spec.shape != self.spec.shape:
            raise ShapeError(f"the gradient of a {self.spec} has its shape but was given {value.spec}")
        if _tracing:
            trace = current_trace()
            if trace is not None:
                trace.grad_set(self)
        self._grad = value

    @property
    def grad_fn(self) -> Any:
        """How it was made, or None for a leaf."""
        return None if self.is_leaf else self.node

    def retain_grad(self) -> None:
        """Have ``backward`` leave this tensor's gradient in ``.grad`` although it is no leaf."""
        if self.node is None:
            raise GradientError("retain_grad() takes a tracked tensor; call requires_grad_() on an input first")
        if self.is_leaf:
            return
        from .grad import retain

        retain(self)

    @property
    def retains_grad(self) -> bool:
        """Whether ``retain_grad`` was called on it."""
        from .grad import retained

        return not self.is_leaf and retained(self)

    def register_hook(self, hook: Callable[[Tensor], Any]) -> Any:
        """Call a function with this tensor's gradient when that is known; what it returns, if not None, is the gradient then.

        Gives a handle, whose ``remove()`` takes the hook away.
        """
        from .grad import hook as hooked

        if self.node is None:
            raise GradientError("register_hook takes a tracked tensor; call requires_grad_() first")
        return hooked(self, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], Any]) -> Any:
        """Call a function with this leaf after ``backward`` has added to its ``.grad``; gives a handle with ``remove()``."""
        from .grad import hook as hooked

        if not isinstance(self.node, Leaf):
            raise GradientError("register_post_accumulate_grad_hook takes a leaf that requires its gradient")
        return hooked(self, hook, after=True)

    def detach(self) -> Tensor:
        """The same value, off the tape."""
        x = self
        if _tracing:
            trace = current_trace()
            if trace is not None:
                x = trace.lift(self)
        return Tensor(x.value, x.spec, x.backend)

    def detach_(self) -> Tensor:
        self.node = None
        return self

    @property
    def data(self) -> Tensor:
        """The detached tensor.  Assigning gives this tensor another value and keeps its place as a leaf."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        self._rebind(value.detach(), keep_node=True)

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Add the gradient of this scalar (or of its product with ``gradient``) to ``.grad`` of every leaf behind it.

        With ``inputs``, a tensor or several, only theirs.
        """
        from .grad import backward

        keep = create_graph if retain_graph is None else retain_graph
        backward([self], [gradient], retain_graph=keep, create_graph=create_graph, inputs=inputs)

    # -- other values for the same name -------------------------------------------------------------

    def _rebind(self, new: Tensor, keep_node: bool = False) -> Tensor:
        """Give this name another value: the only place where a tensor changes."""
        if _tracing:
            trace = current_trace()
            if trace is not None:
                new = trace.lift(new)
                trace.rebound(self)
        self.value, self.spec, self.backend = new.value, new.spec, new.backend
        if not keep_node:
            self.node = new.node
        return self

    def _assign(self, new: Tensor, what: str, reshape: bool = False) -> Tensor:
        """What in-place methods do: another value of the same dtype, and shape unless that may change too."""
        origin = getattr(self, "_origin", None)
        if origin is not None:
            raise ShapeError(
                f"{what} would change a copy: this tensor came out of x[{origin}], and tensors are values; "
                f"write x[{origin}] = ... on the whole tensor instead"
            )
        if self.node is not None and _mode.grad and isinstance(self.node, Leaf):
            raise GradientError(f"{what} on a leaf that requires its gradient; do it under candle.no_grad()")
        if new.spec is not self.spec:
            if new.shape != self.shape and not reshape:
                common = _op.broadcast_shapes(new.shape, self.shape)
                if common != self.shape:
                    raise ShapeError(f"{what} keeps the shape of {self.spec} but its result is {new.spec}")
                new = new.expand(self.shape)
            if new.dtype is not self.dtype:
                if not dt.can_cast(new.dtype, self.dtype):
                    raise DTypeError(
                        f"{what} keeps the dtype of {self.spec} but its result is {new.spec}; write x = x.{what.rstrip('_')}(...)"
                    )
                new = run(OPS["cast"], (new,), {"dtype": self.dtype})
        return self._rebind(new, keep_node=isinstance(self.node, Leaf) and not _mode.grad)

    def copy_(self, source: Any) -> Tensor:
        """Take over the values of another tensor, broadcast and cast to this one's shape and dtype."""
        from .create import as_tensor

        new = as_tensor(source, device=None if isinstance(source, Tensor) else self.device)
        return self._assign(new.to(self.device, self.dtype), "copy_")

    def zero_(self) -> Tensor:
        """Give it zeros."""
        return self._assign(self.detach().zeros_like(), "zero_")

    def fill_(self, value: Any) -> Tensor:
        """Give it one number everywhere."""
        return self._assign(self.detach().full_like(value), "fill_")

    def fill_diagonal_(self, fill_value: Any, wrap: bool = False) -> Tensor:
        """Give the main diagonal one number; with ``wrap`` it begins again below the last column of a tall matrix."""
        n, m = self.shape[0] if self.ndim else 0, self.shape[-1] if self.ndim else 0
        if self.ndim < 2 or (self.ndim > 2 and len(set(self.shape)) > 1):
            raise ShapeError(f"fill_diagonal_ takes a matrix, or equal sizes, but was given {self.spec}")
        rows = np.arange(n if wrap and self.ndim == 2 else min(n, m))
        rows = rows[rows % (m + 1) < m] if wrap and self.ndim == 2 else rows
        mask = np.zeros(self.shape, np.bool_)
        mask[(rows, rows % (m + 1)) if wrap and self.ndim == 2 else (rows,) * self.ndim] = True
        return self._assign(self.masked_fill(self.detach().new_tensor(mask, dtype=dt.bool_), fill_value), "fill_diagonal_")

    def __getitem__(self, key: Any) -> Tensor:
        from .index import getitem

        found = getitem(self, key)
        found._origin = key_text(key)
        return found

    def __setitem__(self, key: Any, value: Any) -> None:
        from .index import setitem

        origin = getattr(self, "_origin", None)
        if origin is not None:
            raise ShapeError(
                f"x[{origin}][{key_text(key)}] = v would change a copy: tensors are values; "
                f"write x[{origin}, {key_text(key)}] = v, or .clone() first"
            )
        if self.node is not None and _mode.grad and isinstance(self.node, Leaf):
            raise GradientError("assignment into a leaf that requires its gradient; do it under candle.no_grad()")
        with donating(self):
            new = setitem(self, key, value)
        self._rebind(new, keep_node=isinstance(self.node, Leaf) and not _mode.grad)

    # -- devices and dtypes -------------------------------------------------------------------------

    def to(
        self,
        *args: Any,
        device: Any = None,
        dtype: Any = None,
        copy: bool = False,
        non_blocking: bool = False,
        memory_format: Any = None,
    ) -> Tensor:
        """The tensor on another device, in another dtype, or as another tensor is."""
        for a in args:
            if isinstance(a, Tensor):
                device, dtype = a.device, a.dtype
            elif a is None or isinstance(a, bool):
                continue  # PyTorch's non_blocking and copy by position
            elif isinstance(a, (DType, type, np.dtype)) or (isinstance(a, str) and (a in dt._BY_NAME or a in dt._ALIASES)):
                dtype = a
            else:
                device = a
        x = self
        if dtype is not None and as_dtype(dtype) is not x.spec.dtype:
            x = x._cast(as_dtype(dtype))
        if device is not None:
            from .device import resolve

            target = resolve(device)
            if x.backend.name == "trace":
                if target is not x.backend.target and x.backend.target is not None:
                    raise CaptureError(f"a captured function stays on one device but .to({str(device)!r}) was called in it")
            elif target is not x.backend:
                from .grad import moved

                x = moved(x, target)
        if copy and x is self:
            x = x.clone()
        return x

    def _cast(self, dtype: DType) -> Tensor:
        x = self
        if x.spec.dtype.kind == "q":
            target = dtype if dtype.kind == "f" else dt.float32
            x = run(OPS["dequantize"], (x,), {"dtype": target})
        if dtype.kind == "q":
            return run(OPS["quantize"], (x, None), {"dtype": dtype})
        return x if x.spec.dtype is dtype else run(OPS["cast"], (x,), {"dtype": dtype})

    def cpu(self) -> Tensor:
        """On the default device of this process's memory: ``cpu`` where candle-cpu is installed, else ``numpy``."""
        from .device import host

        return self.to(host())

    def cuda(self, index: int = 0) -> Tensor:
        return self.to(f"cuda:{index}")

    def type(self, dtype: Any = None) -> Any:
        return self.dtype if dtype is None else self.to(dtype=dtype)

    def float(self) -> Tensor:
        return self.to(dtype=dt.float32)

    def double(self) -> Tensor:
        return self.to(dtype=dt.float64)

    def half(self) -> Tensor:
        return self.to(dtype=dt.float16)

    def bfloat16(self) -> Tensor:
        return self.to(dtype=dt.bfloat16)

    def int(self) -> Tensor:
        return self.to(dtype=dt.int32)

    def long(self) -> Tensor:
        return self.to(dtype=dt.int64)

    def short(self) -> Tensor:
        return self.to(dtype=dt.int16)

    def bool(self) -> Tensor:
        return self.to(dtype=dt.bool_)

    def byte(self) -> Tensor:
        return self.to(dtype=dt.uint8)

    def char(self) -> Tensor:
        return self.to(dtype=dt.int8)

    def cfloat(self) -> Tensor:
        return self.to(dtype=dt.complex64)

    def cdouble(self) -> Tensor:
        return self.to(dtype=dt.complex128)

    def type_as(self, other: Tensor) -> Tensor:
        return self.to(dtype=other.dtype)

    # -- shapes in PyTorch's words ------------------------------------------------------------------

    @property
    def T(self) -> Tensor:
        """The dimensions in reverse order."""
        return self.permute(tuple(range(self.ndim - 1, -1, -1)))

    @property
    def mT(self) -> Tensor:
        """The last two dimensions exchanged."""
        if self.ndim < 2:
            raise ShapeError(f"mT takes at least two dimensions but was given {self.spec}")
        return self.permute((*range(self.ndim - 2), self.ndim - 1, self.ndim - 2))

    @property
    def H(self) -> Tensor:
        return self.mT.conj()

    @property
    def mH(self) -> Tensor:
        return self.mT.conj()

    @property
    def real(self) -> Tensor:
        return run(OPS["real"], (self,), {}) if self.is_complex() else self

    @property
    def imag(self) -> Tensor:
        if not self.is_complex():
            raise DTypeError(f"imag takes a complex tensor but was given {self.spec}")
        return run(OPS["imag"], (self,), {})

    def resolve_conj(self) -> Tensor:
        """Itself: conjugation is never put off."""
        return self

    resolve_neg = resolve_conj

    def clone(self, memory_format: Any = None) -> Tensor:
        """Another name for the same value, on the tape."""
        return run(OPS["alias"], (self,), {})


def key_text(key: Any) -> str:
    """An index as it was written."""
    if isinstance(key, tuple):
        return ", ".join(map(key_text, key))
    if isinstance(key, slice):
        parts = ["" if v is None else str(v) for v in (key.start, key.stop)]
        return ":".join(parts) + ("" if key.step is None else f":{key.step}")
    if key is Ellipsis:
        return "..."
    return f"tensor({key.spec})" if isinstance(key, Tensor) else str(key)


def _unpickle(cls: type[Tensor], array: Any, dtype: str, device: str, requires_grad: bool) -> Tensor:
    from .device import resolve

    backend = resolve(device)
    made = cls.__new__(cls)
    Tensor.__init__(made, backend.put(array), Spec.of(array), backend)
    return made.requires_grad_() if requires_grad else made


_OPERATORS = {
    "add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide", "mod": "remainder",
    "pow": "pow", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
    "lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift",
}  # fmt: skip
_COMPARISONS = {"eq": "eq", "ne": "ne", "lt": "lt", "le": "le", "gt": "gt", "ge": "ge"}
_SIGNS = {"neg": "neg", "abs": "abs", "invert": "bitwise_not", "pos": "positive"}


def attach(op: Op) -> None:
    """Make an op a method of Tensor, in place too, where the name is free."""
    if op.method and op.operands and not hasattr(Tensor, op.name):
        setattr(Tensor, op.name, _method(op))
        if not op.multiple and not hasattr(Tensor, op.name + "_"):
            setattr(Tensor, op.name + "_", in_place(op.name))


def attach_functions(functions: dict[str, Callable[..., Any]]) -> None:
    """Make functions of the table methods of Tensor, where they are meant to be."""
    for name, fn in functions.items():
        form = fn.__dict__.get("method")
        if form and (name in OPS or not hasattr(Tensor, name)):
            setattr(Tensor, name, form if callable(form) else fn)
            if (name in OPS or "alias" in fn.__dict__ or fn.__dict__.get("in_place")) and not hasattr(Tensor, name + "_"):
                setattr(Tensor, name + "_", in_place(name))


def attach_operators() -> None:
    """Python's operators, from the ops of the table."""
    for name, short in _OPERATORS.items():
        if name == "matmul":  # takes vectors too, which the op does not
            product = getattr(Tensor, short)
            Tensor.__matmul__ = _matrices(OPS[short], product)
            Tensor.__rmatmul__ = _reflected_product(product)
        elif short in OPS:
            setattr(Tensor, f"__{name}__", _method(OPS[short]))
            setattr(Tensor, f"__r{name}__", _reflected(OPS[short]))

            def assign(self: Any, other: Any, _short: str = short) -> Any:
                new = getattr(self, _short)(other)
                if self.node is not None and _mode.grad and isinstance(self.node, Leaf):
                    raise GradientError(
                        "an in-place operation on a leaf that requires its gradient; do it under candle.no_grad()"
                    )
                if new.shape != self.shape:
                    raise ShapeError(f"an in-place operation keeps the shape of {self.spec} but its result is {new.spec}")
                if new.dtype is not self.dtype:
                    if not dt.can_cast(new.dtype, self.dtype):
                        raise DTypeError(f"an in-place operation keeps the dtype of {self.spec} but its result is {new.spec}")
                    new = new.to(dtype=self.dtype)
                return self._rebind(new, keep_node=isinstance(self.node, Leaf) and not _mode.grad)

            setattr(Tensor, f"__i{name}__", assign)
    for name, short in {**_COMPARISONS, **_SIGNS}.items():
        if short in OPS:
            setattr(Tensor, f"__{name}__", _method(OPS[short]))
