"""Functions captured at their first call and run as one graph from then on."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from .backend import sole
from .errors import CaptureError, GradientError
from .grad import _play, call
from .graph import LEAF, Captured, Graph, Input, Output, flatten, trace_function, unflatten
from .op import Spec
from .tensor import Leaf, Tensor, current_trace, is_grad_enabled, pop_trace, push_trace

__all__ = ["Compiled", "compile"]


class _Pulled(NamedTuple):
    """The backward graph of a compiled function: which inputs get gradients, which values of the forward run it needs."""

    run: Callable[..., tuple[Any, ...]]
    wanted: list[int]  # positions among the forward inputs
    specs: list[Spec]
    saved: int  # how many of the forward outputs, counted from the end, are kept for it
    seeds: list[int]  # which results take a seed


class _Entry:
    """One captured form of a function."""

    def __init__(self, captured: Captured, backend: Any, graph: Graph, pulled: _Pulled | None) -> None:
        self.graph, self.backend, self.pulled = graph, backend, pulled
        self.states, self.writes, self.guards = captured.states, captured.writes, captured.guards
        self.specs = [s.spec for s in self.states]
        self.nodes = [s.node is not None for s in self.states]
        self.run = backend.compile(graph)
        self.donates: Sequence[int] = getattr(self.run, "donates", ())
        self.results = [o.spec for o in graph.outputs if o.target is None][: len(captured.results)]
        self.tracked = [r.node is not None for r in captured.results]

    def valid(self) -> bool:
        for state, spec in zip(self.states, self.specs):
            if state.spec is not spec or state.backend is not self.backend:
                return False
        if [s.node is not None for s in self.states] != self.nodes:
            return False
        return all(getattr(owner, attribute, None) is value for owner, attribute, value in self.guards)

    def __call__(self, tensors: Sequence[Tensor]) -> Any:
        inputs = [*tensors, *self.states]
        if self.donates:
            alone = [sole(inputs[at]) for at in self.donates]
            found = self.run(*[t.value for t in inputs], sole=alone)
        else:
            found = self.run(*[t.value for t in inputs])
        backend = self.backend
        made: list[Tensor] = [Tensor(v, s, backend) for v, s in zip(found, self.results)]
        if self.pulled is not None:
            made = self._track(inputs, made, found)
        for state, what, at in self.writes:
            if what == "value":
                assert at is not None
                state.value, state.spec = found[at], self.graph.outputs[at].spec
                if not isinstance(state.node, Leaf):
                    state.node = None
            elif at is None:
                state._grad = None
            else:
                state._grad = Tensor(found[at], self.graph.outputs[at].spec, backend)
        return unflatten(self.graph.tree, iter(made))

    def _track(self, inputs: Sequence[Tensor], made: list[Tensor], found: Sequence[Any]) -> list[Tensor]:
        pulled = self.pulled
        assert pulled is not None
        kept = found[len(found) - pulled.saved :]
        wanted = [inputs[at] for at in pulled.wanted]

        def pull(gs: Sequence[Tensor], *_xs: Tensor) -> Sequence[Tensor]:
            if any(g.node is not None for g in gs):
                raise GradientError("a compiled function has first derivatives only; call the function itself for second ones")
            data = pulled.run(*kept, *[g.value for g in gs])
            return [Tensor(d, s, self.backend) for d, s in zip(data, pulled.specs)]

        chosen = [made[at] for at in pulled.seeds]
        traced = call(self.graph.name, wanted, chosen, pull)
        traced = list(traced) if isinstance(traced, tuple) else [traced]
        for at, t in zip(pulled.seeds, traced):
            made[at] = t
        return made


class Compiled:
    """A function that is captured once per kind of arguments and then run as one graph.

    Kinds differ by the arguments' specs and tracking, by other arguments' values, and by what the function read of modules'
    modes.  Tensors it reaches otherwise are states, read and written back at every call.
    """

    def __init__(self, fn: Callable[..., Any], limit: int = 64) -> None:
        self.__name__ = str(getattr(fn, "__name__", type(fn).__name__))
        functools.update_wrapper(self, fn, updated=())
        self.fn = fn
        self.limit = limit
        self.entries: dict[Any, list[_Entry]] = {}

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        bound = instance.__dict__.setdefault("_compiled", {})
        if self.fn not in bound:
            bound[self.fn] = Compiled(functools.partial(self.fn, instance), self.limit)
        return bound[self.fn]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if current_trace() is not None:
            return self.fn(*args, **kwargs)
        tensors: list[Tensor] = []
        form = flatten((_arrays(args), _arrays(kwargs)), tensors)
        grad = is_grad_enabled()
        key = (
            _frozen(form),
            tuple([t.spec for t in tensors]),
            tuple([id(t.backend) for t in tensors]),
            grad and tuple([t.node is not None for t in tensors]),
            grad,
        )
        entries = self.entries.setdefault(key, [])
        for entry in entries:
            if entry.valid():
                return entry(tensors)
        if sum(map(len, self.entries.values())) >= self.limit:
            raise CaptureError(
                f"{self.__name__} was captured {self.limit} times, each time for other shapes or values; "
                "pass numbers that change as tensors, pad to a few shapes, or raise compile's limit"
            )
        entry = self._capture(form, tensors, grad)
        entries[:] = [e for e in entries if e.valid()]
        entries.append(entry)
        return entry(tensors)

    def _capture(self, form: Any, tensors: Sequence[Tensor], grad: bool) -> _Entry:
        target = tensors[0].backend if tensors else None
        args, kwargs = unflatten(form, iter([_Arg(t.spec, grad and t.node is not None) for t in tensors]))
        names = _names(self.fn, form)
        captured = _capture(self.fn, args, kwargs, target, names)
        backend = captured.trace.target
        pulled = None
        graph = captured.graph
        if grad and any(r.node is not None and not _freed(r) for r in captured.results):
            graph, pulled = _joint(captured, backend)
        return _Entry(captured, backend, graph if pulled is not None else graph.folded(), pulled)

    def graph(self, *args: Any, **kwargs: Any) -> Graph:
        """The graph that a call with these arguments runs."""
        tensors: list[Tensor] = []
        form = flatten((_arrays(args), _arrays(kwargs)), tensors)
        return self._capture(form, tensors, is_grad_enabled()).graph

    def __repr__(self) -> str:
        return f"<compiled {self.__name__}: captured {sum(map(len, self.entries.values()))} times>"


class _Arg(NamedTuple):
    spec: Spec
    tracked: bool


def _capture(fn: Callable[..., Any], args: Any, kwargs: Any, target: Any, names: Sequence[str]) -> Captured:
    """Capture with tracked stand-ins where the arguments are tracked."""
    flags: list[bool] = []

    def specs(a: Any) -> Any:
        if isinstance(a, _Arg):
            flags.append(a.tracked)
            return a.spec
        if isinstance(a, tuple):
            parts = [specs(v) for v in a]
            return type(a)(*parts) if hasattr(a, "_fields") else tuple(parts)
        if isinstance(a, list):
            return [specs(v) for v in a]
        if isinstance(a, dict):
            return {k: specs(v) for k, v in a.items()}
        return a

    plain, plain_kw = specs(list(args)), specs(dict(kwargs))

    def run(*a: Any, **k: Any) -> Any:
        found: list[Tensor] = []
        flatten((a, k), found)
        for x, tracked in zip([f for f in found if f.backend.name == "trace"], flags):
            if tracked:
                x.requires_grad_()
        run.leaves = [f for f in found if f.backend.name == "trace"]  # type: ignore[attr-defined]
        return fn(*a, **k)

    functools.update_wrapper(run, fn, updated=())
    run.__wrapped__ = fn  # type: ignore[attr-defined]
    captured = trace_function(run, plain, plain_kw, target, False, names)
    captured.trace.leaves = run.leaves  # type: ignore[attr-defined]
    return captured


def _freed(x: Tensor) -> bool:
    from .grad import _FREED

    node = x.node.nodes[0] if x.node is not None and not hasattr(x.node, "datas") and x.node.nodes else x.node
    return getattr(node, "datas", None) is _FREED


def _joint(captured: Captured, backend: Any) -> tuple[Graph, _Pulled]:
    """Split a tracked capture into a forward graph that also gives what the backward graph needs, and that backward graph."""
    trace, graph = captured.trace, captured.graph
    results = captured.results
    seeds = [at for at, r in enumerate(results) if r.node is not None and not _freed(r)]
    state_of = {id(m): m for _, m in trace.lifted.values()}
    by_value: dict[int, Tensor] = {m.value: m for m in state_of.values()}
    by_value.update({x.value: x for x in trace.leaves if x.node is not None})  # type: ignore[attr-defined]
    wanted = [at for at, i in enumerate(graph.inputs) if i.value in by_value and by_value[i.value].node is not None]
    forward_calls = len(trace.calls)
    trace.closed = False
    push_trace(trace)
    try:
        gs = []
        for at in seeds:
            value = trace.new()
            gs.append(Tensor(value, results[at].spec, trace))
        nodes = [by_value[graph.inputs[at].value].node for at in wanted]
        found = _play([results[at] for at in seeds], gs, nodes, False)
        grads = [g if g is not None else by_value[graph.inputs[at].value].detach().zeros_like() for at, g in zip(wanted, found)]
    finally:
        trace.closed = True
        pop_trace()
    backward = trace.calls[forward_calls:]
    made = {r for c in backward for r in c.results} | {g.value for g in gs}
    used = {v for c in backward for v in c.inputs if v is not None} | {g.value for g in grads}
    specs = graph._specs() | {k: t.spec for k, t in trace.constants.items()}
    for c in trace.calls:
        specs.update(zip(c.results, c.outs))
    saved = sorted(v for v in used if v not in made and v not in trace.constants)
    forward = Graph(
        graph.name, graph.inputs, trace.constants, trace.calls[:forward_calls],
        [*graph.outputs, *[Output(f"saved{v}", v, specs[v], f"saved{v}") for v in saved]], graph.states, graph.tree,
    ).folded()  # fmt: skip
    # folding may have turned saved values into constants; they are still outputs of the forward graph
    inputs = [Input(f"saved{v}", v, specs[v]) for v in saved] + [Input(f"g{n}", g.value, g.spec) for n, g in enumerate(gs)]
    outputs = [Output(f"grad{n}", g.value, g.spec) for n, g in enumerate(grads)]
    back = Graph(f"{graph.name}_backward", inputs, trace.constants, backward, outputs).pruned().folded()
    return forward, _Pulled(backend.compile(back), wanted, [g.spec for g in grads], len(saved), seeds)


def _arrays(a: Any) -> Any:
    """Arrays among the arguments become tensors."""
    if isinstance(a, np.ndarray):
        from .create import as_tensor

        return as_tensor(a)
    if isinstance(a, tuple) and not hasattr(a, "_fields"):
        return tuple([_arrays(v) for v in a])
    if isinstance(a, list):
        return [_arrays(v) for v in a]
    if isinstance(a, dict):
        return {k: _arrays(v) for k, v in a.items()}
    return a


def _frozen(form: Any) -> Any:
    """The form of a call as a dictionary key; values of unequal types are unequal."""
    if form is LEAF:
        return LEAF
    if isinstance(form, (tuple, list)):
        return type(form), tuple([_frozen(f) for f in form])
    if isinstance(form, dict):
        return dict, tuple([(k, _frozen(v)) for k, v in form.items()])
    try:
        hash(form)
    except TypeError:
        raise CaptureError(
            f"a compiled function was given a {type(form).__name__}, which cannot be compared; pass tensors, numbers or strings"
        ) from None
    return type(form), form


def _names(fn: Callable[..., Any], form: Any) -> list[str]:
    try:
        parameters = list(inspect.signature(fn).parameters)
    except (TypeError, ValueError):
        parameters = []
    found: list[str] = []

    def visit(f: Any, name: str) -> None:
        if f is LEAF:
            found.append(name if name not in found else f"{name}{len(found)}")
        elif isinstance(f, (tuple, list)):
            for n, v in enumerate(f):
                visit(v, f"{name}.{n}")
        elif isinstance(f, dict):
            for k, v in f.items():
                visit(v, f"{name}.{k}")

    args, kwargs = form
    for n, a in enumerate(args):
        visit(a, parameters[n] if n < len(parameters) else f"arg{n}")
    for k, v in kwargs.items():
        visit(v, k)
    return found


def compile(fn: Any = None, *, limit: int = 64) -> Any:
    """Have a function (or a module) captured at its first call and run as one graph from then on; also a decorator.

    The function must be pure but for the tensors it rebinds (parameters, buffers, optimiser state, caches, random
    generators): those are read and written back.  ``limit`` is how many captures it may take.
    """
    if fn is None:
        return functools.partial(compile, limit=limit)
    if not callable(fn):
        raise TypeError(f"compile takes a function or a module but was given {type(fn).__name__} {fn!r:.60}")
    return Compiled(fn, limit)
