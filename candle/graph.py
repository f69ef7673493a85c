"""Capturing a function as one graph, by running it on a backend that writes down instead of computing."""

from __future__ import annotations

import copy
import inspect
import json
import os
from typing import Any, Callable, Iterable, Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from .backend import Backend, Device
from .dtype import DType, as_dtype
from .errors import CaptureError, DeviceError, FormatError, ShapeError
from .op import OPS, Op, Spec
from .tensor import Tensor, current_trace, no_grad, pop_trace, push_trace, run, untraced

__all__ = ["Call", "Graph", "Trace", "capture"]


class Call(NamedTuple):
    """One line of a graph: an op on numbered values (None where an optional operand was left out)."""

    op: Op
    inputs: tuple[int | None, ...]
    attrs: dict[str, Any]
    outs: tuple[Spec, ...]
    results: tuple[int, ...]


class Input(NamedTuple):
    """A named value a graph is given; ``state`` says that it is a weight, buffer or cache rather than an argument."""

    name: str
    value: int
    spec: Spec
    state: bool = False


class Output(NamedTuple):
    """A named value a graph gives; ``target`` names the state it is written back to, or is None for a result."""

    name: str
    value: int
    spec: Spec
    target: str | None = None


class Graph:
    """A function written down: named inputs, constants, calls in order, named outputs.

    Call it with tensors for its arguments; states it was captured with are read and written back.
    """

    def __init__(
        self,
        name: str,
        inputs: Sequence[Input],
        constants: Mapping[int, Tensor],
        calls: Sequence[Call],
        outputs: Sequence[Output],
        states: Mapping[str, Tensor] | None = None,
        tree: Any = None,
    ) -> None:
        self.name = name
        self.inputs = list(inputs)
        self.constants = dict(constants)
        self.calls = list(calls)
        self.outputs = list(outputs)
        self.states = dict(states or {})
        self.tree = tree  # how the results were nested

    # -- what it says -------------------------------------------------------------------------------

    @property
    def args(self) -> list[Input]:
        return [i for i in self.inputs if not i.state]

    @property
    def results(self) -> list[Output]:
        return [o for o in self.outputs if o.target is None]

    def spec(self, value: int) -> Spec:
        """The spec of a numbered value."""
        return self._specs()[value]

    def _specs(self) -> dict[int, Spec]:
        found = {i.value: i.spec for i in self.inputs} | {k: t.spec for k, t in self.constants.items()}
        for call in self.calls:
            found.update(zip(call.results, call.outs))
        return found

    def __str__(self) -> str:
        rename: dict[int, str] = {}
        for i in self.inputs:
            rename[i.value] = f"%{i.name}"

        def name(v: int | None) -> str:
            return "none" if v is None else rename.setdefault(v, f"%{len(rename)}")

        rows = [f"graph {self.name}({', '.join(f'%{i.name}: {i.spec}' for i in self.inputs)}):"]
        for v, t in self.constants.items():
            shown = f" = {t.numpy().tolist()}" if t.spec.size <= 8 else ""
            rows.append(f"  {name(v)} : {t.spec} constant{shown}")
        for c in self.calls:
            given = [name(v) for v in c.inputs] + [f"{k}={v}" for k, v in c.attrs.items()]
            made = ", ".join(name(r) for r in c.results)
            rows.append(f"  {made} = {c.op.name}({', '.join(given)}) : {', '.join(map(str, c.outs))}")
        rows.append(f"  return {', '.join(name(o.value) for o in self.results)}")
        rows += [f"  %{o.target} <- {name(o.value)}" for o in self.outputs if o.target is not None]
        return "\n".join(rows)

    def __repr__(self) -> str:
        return f"<graph {self.name}: {len(self.inputs)} inputs, {len(self.calls)} calls, {len(self.outputs)} outputs>"

    # -- running it ---------------------------------------------------------------------------------

    def __call__(self, *args: Any, **states: Any) -> Any:
        """Run it through the ordinary op path, so that a graph can itself be captured, differentiated or lowered.

        Arguments come by position; a state comes by name, or is the one it was captured with (which is then written back).
        """
        wanted = self.args
        if len(args) != len(wanted):
            raise CaptureError(
                f"{self.name} takes {len(wanted)} arguments ({', '.join(i.name for i in wanted)}) but was given {len(args)}"
            )
        given = iter(args)
        env: dict[int, Any] = {}
        backend = next((a.backend for a in args if isinstance(a, Tensor)), None)
        for i in self.inputs:
            if i.state:
                x = states[i.name] if i.name in states else self.states.get(i.name)
                if x is None:
                    raise CaptureError(
                        f"{self.name} needs its state {i.name}: {i.spec}; pass it by name, as {self.name}(..., **states)"
                    )
            else:
                x = next(given)
            if not isinstance(x, Tensor):
                from .create import as_tensor

                x = as_tensor(x, i.spec.dtype, backend)
            if x.spec is not i.spec:
                raise ShapeError(
                    f"{self.name} was captured with {i.name}: {i.spec} but was given {x.spec}; capture it again for that"
                )
            backend = backend or x.backend
            env[i.value] = x
        for v, t in self.constants.items():
            env[v] = t if backend is None or t.backend is backend else t.to(backend if backend.name != "trace" else None)
        for c in self.calls:
            made = run(c.op, [None if v is None else env[v] for v in c.inputs], c.attrs, backend)
            env.update(zip(c.results, made if len(c.results) > 1 else (made,)))
        for o in self.outputs:
            if o.target is not None and o.target not in states and o.target in self.states:
                self.states[o.target]._rebind(env[o.value], keep_node=True)
        return unflatten(self.tree, iter([env[o.value] for o in self.results]))

    def interpreter(self, backend: Backend) -> Callable[..., tuple[Any, ...]]:
        """The graph as a flat loop over a backend's kernels, looked up once: data of all inputs in, data of all outputs out.

        The graph must have been captured with this backend as its target.  Values are let go after their last use.
        """
        specs = self._specs()
        last: dict[int, int] = {}
        for at, c in enumerate(self.calls):
            last.update({v: at for v in c.inputs if v is not None})
        kept = {o.value for o in self.outputs} | {i.value for i in self.inputs} | set(self.constants)
        slot = {v: n for n, v in enumerate([*[i.value for i in self.inputs], *self.constants])}
        for c in self.calls:
            for r in c.results:
                slot.setdefault(r, len(slot))
        constants = {slot[v]: _data(t, backend) for v, t in self.constants.items()}
        steps = []
        for at, c in enumerate(self.calls):
            out: Any = c.outs if c.op.multiple else c.outs[0]
            kernel = backend.kernel(c.op, out, [None if v is None else specs[v] for v in c.inputs], c.attrs)
            if kernel is None:
                raise CaptureError(
                    f"{backend.name} has no kernel for {c.op.name}; capture the graph again with target={backend.name!r}"
                )
            ins = tuple([-1 if v is None else slot[v] for v in c.inputs])
            dead = {v for v in (*c.inputs, *c.results) if v is not None and last.get(v, at) == at and v not in kept}
            steps.append((kernel, out, ins, c.attrs, tuple([slot[r] for r in c.results]), tuple([slot[v] for v in dead])))
        n, width = len(self.inputs), len(slot) + 1
        ends = [slot[o.value] for o in self.outputs]

        def flat(*args: Any) -> tuple[Any, ...]:
            env: list[Any] = [None] * width  # the last stays None: an operand left out
            env[:n] = args
            for k, v in constants.items():
                env[k] = v
            for kernel, out, ins, attrs, results, dead in steps:
                made = kernel(out, *[env[i] for i in ins], **attrs)
                if len(results) == 1:
                    env[results[0]] = made
                else:
                    for r, m in zip(results, made):
                        env[r] = m
                made = None
                for d in dead:
                    env[d] = None
            return tuple([env[e] for e in ends])

        return flat

    def lower(self, target: Backend, fold: bool = True) -> Graph:
        """The same graph in ops that a backend has kernels for: captured again with it as the target."""
        from .device import resolve

        target = resolve(target)
        specs = [i.spec for i in self.inputs]
        names = [i.name for i in self.inputs]

        def again(*xs: Tensor) -> list[Tensor]:
            env: dict[int, Any] = {i.value: x for i, x in zip(self.inputs, xs)}
            trace = current_trace()
            for v, t in self.constants.items():
                env[v] = Tensor(trace.put(t.numpy()), t.spec, trace)
            for c in self.calls:
                made = run(c.op, [None if v is None else env[v] for v in c.inputs], c.attrs, trace)
                env.update(zip(c.results, made if len(c.results) > 1 else (made,)))
            return [env[o.value] for o in self.outputs]

        again.__name__ = self.name
        made = capture(again, *specs, target=target, names=names, fold=fold)
        inputs = [Input(i.name, m.value, i.spec, i.state) for i, m in zip(self.inputs, made.inputs)]
        outputs = [Output(o.name, m.value, o.spec, o.target) for o, m in zip(self.outputs, made.outputs)]
        return Graph(self.name, inputs, made.constants, made.calls, outputs, self.states, self.tree)

    def pruned(self) -> Graph:
        """Without the calls and constants that no output needs."""
        need = {o.value for o in self.outputs}
        calls = []
        for c in reversed(self.calls):
            if any(r in need for r in c.results):
                calls.append(c)
                need.update([v for v in c.inputs if v is not None])
        constants = {v: t for v, t in self.constants.items() if v in need}
        return Graph(self.name, self.inputs, constants, calls[::-1], self.outputs, self.states, self.tree)

    def folded(self, limit: int = 1 << 16) -> Graph:
        """With what depends on constants only computed now, where the result has at most ``limit`` elements.

        Calls without operands (zeros, ranges) are computed only for the sake of others that fold.
        """
        constants = dict(self.constants)
        made: dict[int, Call] = {c.results[0]: c for c in self.calls if not c.inputs}
        calls = []
        for c in self.calls:
            known = c.inputs and all(v is None or v in constants or v in made for v in c.inputs)
            if not known or sum(o.size for o in c.outs) > limit:
                calls.append(c)
                continue
            with untraced(), no_grad():
                backend = next((t.backend for t in constants.values()), None) or _numpy()
                for v in c.inputs:
                    if v is not None and v not in constants:
                        constants[v] = run(made[v].op, (), made[v].attrs, backend)
                found = run(c.op, [None if v is None else constants[v] for v in c.inputs], c.attrs, backend)
            constants.update(zip(c.results, found if len(c.results) > 1 else (found,)))
        calls = [c for c in calls if c.inputs or c.results[0] not in constants]
        return Graph(self.name, self.inputs, constants, calls, self.outputs, self.states, self.tree).pruned()

    # -- on disk ------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The graph as plain JSON values, without the constants' contents."""
        return {
            "format": "candle-graph",
            "version": 1,
            "name": self.name,
            "inputs": [[i.name, i.value, _spec_json(i.spec), i.state] for i in self.inputs],
            "constants": [[v, _spec_json(t.spec)] for v, t in self.constants.items()],
            "calls": [
                [
                    c.op.name,
                    list(c.inputs),
                    {k: _encode(v) for k, v in c.attrs.items()},
                    [_spec_json(o) for o in c.outs],
                    list(c.results),
                ]
                for c in self.calls
            ],
            "outputs": [[o.name, o.value, _spec_json(o.spec), o.target] for o in self.outputs],
            "tree": _tree_json(self.tree),
        }

    def save(self, path: str | os.PathLike[str], states: bool = True) -> None:
        """Write ``path.json`` (the program) and ``path.safetensors`` (constants and, unless told not to, states)."""
        from .formats import save

        stem = _stem(path)
        text = json.dumps(self.to_dict(), indent=1)
        tensors = {f"constant.{v}": t for v, t in self.constants.items()}
        if states:
            tensors |= {f"state.{k}": t.detach() for k, t in self.states.items()}
        save(stem + ".safetensors", tensors)
        part = stem + ".json.part"
        with open(part, "w", encoding="utf-8") as f:
            f.write(text)
        os.replace(part, stem + ".json")

    @staticmethod
    def load(path: str | os.PathLike[str], device: Any = None) -> Graph:
        """Read a saved graph; every call is checked against the op table.  Raises FormatError where the file is not one."""
        from .formats import load

        stem = _stem(path)
        try:
            with open(stem + ".json", encoding="utf-8") as f:
                d = json.load(f)
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as e:
            raise FormatError(f"{stem}.json is not a saved graph: {e}") from None
        tensors = dict(load(stem + ".safetensors", device=device).items())
        try:
            return _from_dict(d, tensors, stem)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as e:
            if isinstance(e, FormatError):
                raise
            raise FormatError(f"{stem}.json is not a saved graph: {type(e).__name__}: {e}") from None


def _data(t: Tensor, backend: Backend) -> Any:
    return t.value if t.backend is backend else backend.put(t.backend.get(t.value))


def _numpy() -> Any:
    from .device import resolve

    return resolve("numpy")


def _stem(path: Any) -> str:
    text = os.fspath(path)
    for suffix in (".json", ".safetensors"):
        text = text.removesuffix(suffix)
    return text


def _spec_json(spec: Spec) -> list[Any]:
    return [spec.dtype.name, list(spec.shape)]


def _spec(value: Any) -> Spec:
    name, shape = value
    return Spec([int(n) for n in shape], as_dtype(name))


def _encode(v: Any) -> Any:
    """An attribute as JSON, told apart from lists and strings by a tag."""
    if isinstance(v, DType):
        return {"dtype": v.name}
    if isinstance(v, tuple):
        return {"tuple": [_encode(x) for x in v]}
    if isinstance(v, complex):
        return {"complex": [_encode(v.real), _encode(v.imag)]}
    if isinstance(v, float) and not np.isfinite(v):
        return {"float": str(v)}
    if v is None or isinstance(v, (bool, int, float, str)):
        return v
    raise CaptureError(f"an attribute {v!r} cannot be saved")


def _decode(v: Any) -> Any:
    if isinstance(v, dict):
        ((tag, x),) = v.items()
        if tag == "dtype":
            return as_dtype(x)
        if tag == "tuple":
            return tuple([_decode(e) for e in x])
        if tag == "complex":
            return complex(float(_decode(x[0])), float(_decode(x[1])))
        if tag == "float":
            return float(x)
        raise FormatError(f"an attribute has the unknown tag {tag!r}")
    return v


def _tree_json(tree: Any) -> Any:
    if isinstance(tree, _Leaf):
        return "tensor"
    if isinstance(tree, (tuple, list)):
        return [type(tree).__name__ if type(tree) in (tuple, list) else "tuple", [_tree_json(t) for t in tree]]
    if isinstance(tree, dict):
        return ["dict", {str(k): _tree_json(t) for k, t in tree.items()}]
    return {"value": tree if tree is None or isinstance(tree, (bool, int, float, str)) else str(tree)}


def _tree(value: Any) -> Any:
    if value == "tensor":
        return LEAF
    if isinstance(value, dict):
        return value["value"]
    kind, items = value
    if kind == "dict":
        return {k: _tree(v) for k, v in items.items()}
    made = [_tree(v) for v in items]
    return made if kind == "list" else tuple(made)


def _from_dict(d: Any, tensors: Mapping[str, Tensor], where: str) -> Graph:
    if d.get("format") != "candle-graph" or d.get("version") != 1:
        raise FormatError(f"{where}.json is not a saved graph of version 1")
    inputs = [Input(str(n), int(v), _spec(s), bool(st)) for n, v, s, st in d["inputs"]]
    constants = {}
    for v, s in d["constants"]:
        t = tensors[f"constant.{int(v)}"]
        if t.spec is not _spec(s):
            raise FormatError(f"{where}: constant {v} is {t.spec} but the graph says {_spec(s)}")
        constants[int(v)] = t
    known = {i.value: i.spec for i in inputs} | {v: t.spec for v, t in constants.items()}
    calls = []
    for name, ins, attrs, outs, results in d["calls"]:
        op = OPS.get(name)
        if op is None:
            raise FormatError(
                f"{where} uses the op {name!r}, which no installed plugin declares; install the plugin it was made with"
            )
        specs = []
        for v in ins:
            if v is not None and v not in known:
                raise FormatError(f"{where}: {name} uses value {v} before it is made")
            specs.append(None if v is None else known[v])
        decoded = {k: _decode(v) for k, v in attrs.items()}
        if set(decoded) != set(op.attrs):
            raise FormatError(f"{where}: {name} has the attributes {sorted(decoded)} but takes {sorted(op.attrs)}")
        given = tuple([_spec(o) for o in outs])
        if op.infer(specs, op.complete(specs, decoded)) != given or len(results) != len(given):
            raise FormatError(f"{where}: {name} does not give {', '.join(map(str, given))}")
        calls.append(Call(op, tuple(ins), decoded, given, tuple([int(r) for r in results])))
        known.update(zip(calls[-1].results, given))
    outputs = [Output(str(n), int(v), _spec(s), t) for n, v, s, t in d["outputs"]]
    for o in outputs:
        if known.get(o.value) is not o.spec:
            raise FormatError(f"{where}: the output {o.name} is value {o.value}, which is not a {o.spec}")
    states = {i.name: tensors[f"state.{i.name}"] for i in inputs if i.state and f"state.{i.name}" in tensors}
    return Graph(str(d["name"]), inputs, constants, calls, outputs, states, _tree(d["tree"]))


# -- nests of tensors ------------------------------------------------------------------------------


class _Leaf:
    """Where a tensor stood."""

    def __repr__(self) -> str:
        return "*"

    def __reduce__(self) -> str:
        return "LEAF"


LEAF = _Leaf()


def flatten(tree: Any, found: list[Tensor]) -> Any:
    """The form of nested tuples, lists and dicts, with tensors appended to ``found`` and LEAF in their place."""
    if isinstance(tree, Tensor):
        found.append(tree)
        return LEAF
    if isinstance(tree, tuple):
        parts = [flatten(t, found) for t in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    if isinstance(tree, list):
        return [flatten(t, found) for t in tree]
    if isinstance(tree, dict):
        return _like(tree, {k: flatten(t, found) for k, t in tree.items()})
    return tree


def _like(tree: dict[Any, Any], items: dict[Any, Any]) -> dict[Any, Any]:
    """Other members in a dictionary of the same kind, such as a model's named results."""
    if type(tree) is dict:
        return items
    made = copy.copy(tree)
    made.clear()
    made.update(items)
    return made


def unflatten(tree: Any, tensors: Iterator[Any]) -> Any:
    """The nest again, from its form and its tensors."""
    if tree is LEAF:
        return next(tensors)
    if isinstance(tree, tuple):
        parts = [unflatten(t, tensors) for t in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    if isinstance(tree, list):
        return [unflatten(t, tensors) for t in tree]
    if isinstance(tree, dict):
        return _like(tree, {k: unflatten(t, tensors) for k, t in tree.items()})
    return tree


# -- the backend that writes down ------------------------------------------------------------------


class Trace(Backend):
    """A backend whose kernels append to a list of calls.  What its target cannot run is expanded.

    Tensors that existed before are its states: read as inputs, found by identity; those that the function gives another
    value are outputs too, and get their old value back when the capture ends.
    """

    name = "trace"

    def __init__(self, target: Backend | None = None, portable: bool = False) -> None:
        self.portable = portable
        self._target = target
        self.inputs: list[Input] = []
        self.constants: dict[int, Tensor] = {}
        self.calls: list[Call] = []
        self.count = 0
        self.closed = False
        self.lifted: dict[int, tuple[Tensor, Tensor]] = {}
        self.saved: dict[int, tuple[Tensor, Any, Spec, Any, Any]] = {}
        self.grads: dict[int, tuple[Tensor, Tensor | None]] = {}
        self.guards: list[tuple[Any, str, Any]] = []
        self._known: dict[Any, Any] = {}
        self._small: dict[Any, int] = {}

    @property
    def target(self) -> Any:
        if self._target is None and not self.portable:
            from .device import resolve

            with untraced():
                self._target = resolve(None)
        return self._target

    @property
    def device(self) -> Device:
        found = self.target
        return found.device if found is not None else Device("trace")

    def new(self) -> int:
        self.count += 1
        return self.count - 1

    def argument(self, name: str, spec: Spec, tracked: bool = False) -> Tensor:
        value = self.new()
        self.inputs.append(Input(name, value, spec))
        x = Tensor(value, spec, self)
        return x.requires_grad_() if tracked else x

    def kernel(self, op: Op, out: Any, specs: Any, attrs: Any) -> Any:
        if self.closed:
            raise CaptureError(
                f"{op.name} was given a tensor of a capture that has ended; return it from the captured function instead"
            )
        if op.dynamic:
            raise CaptureError(
                f"{op.name} gives a result whose shape depends on values, so it cannot be part of a captured function; "
                "call it outside, or use an op with a fixed shape (where, topk, masked_fill)"
            )
        if not self.portable and self.target.kernel(op, out, specs, attrs) is None:
            return None
        outs = out if op.multiple else (out,)

        def record(_out: Any, *inputs: int | None, **attrs: Any) -> Any:
            if self.closed:
                raise CaptureError(
                    f"{op.name} was given a tensor of a capture that has ended; return it from the captured function instead"
                )
            key = op, inputs, tuple(attrs.items()), tuple([v.__class__ for v in attrs.values()])
            found = self._known.get(key)
            if found is None:
                results = tuple([self.new() for _ in outs])
                self.calls.append(Call(op, inputs, attrs, tuple(outs), results))
                found = self._known[key] = results if op.multiple else results[0]
            return found

        return record

    def expands(self, plan: Any) -> bool:
        """Whether a tracked composite is written down by its parts, so that its gradient finds them."""
        return self.portable and plan.op.vjp is None

    def put(self, array: np.ndarray[Any, Any]) -> int:
        key = (array.dtype.str, array.dtype.name, array.shape, array.tobytes()) if array.size <= 16 else None
        if key is not None and key in self._small:
            return self._small[key]
        value = self.new()
        backend = _numpy() if self.target is None else self.target
        self.constants[value] = Tensor(backend.put(array), Spec.of(array), backend)
        if key is not None:
            self._small[key] = value
        return value

    def get(self, data: Any) -> Any:
        raise CaptureError("a function being captured has no values yet; keep .numpy(), .item() and `if tensor:` out of it")

    def from_dlpack(self, capsule: Any) -> Any:
        return None

    # -- states -------------------------------------------------------------------------------------

    def lift(self, x: Tensor) -> Tensor:
        """A tensor as one of this trace: a state, if it comes from outside."""
        if x.backend is self:
            return x
        found = self.lifted.get(id(x))
        if found is not None:
            return found[1]
        if isinstance(x.backend, Trace):
            raise CaptureError("a tensor of another capture was met; captures do not nest: return it from that function first")
        if self._target is None and not self.portable:
            self._target = x.backend
        if self._target is not None and x.backend is not self._target:
            raise DeviceError(
                f"the function is captured for {self._target.name} but met a {x.spec} on {x.backend.name}; move it first"
            )
        value = self.new()
        self.inputs.append(Input(f"state{len(self.lifted)}", value, x.spec, True))
        made = Tensor(value, x.spec, self, x.node)
        self.lifted[id(x)] = x, made
        return made

    def rebound(self, x: Tensor) -> None:
        """Told before a tensor is given another value."""
        if x.backend is not self and id(x) not in self.saved:
            self.lift(x)
            self.saved[id(x)] = x, x.value, x.spec, x.backend, x.node

    def grad_set(self, x: Tensor) -> None:
        """Told before a tensor's ``.grad`` is set."""
        if id(x) not in self.grads and (x.backend is not self or id(x) in self.saved):
            self.grads[id(x)] = x, getattr(x, "_grad", None)

    def grad_read(self, x: Tensor) -> None:
        """Told when a tensor's ``.grad`` is read: what was captured holds for that gradient only."""
        if id(x) not in self.grads and (x.backend is not self or id(x) in self.saved):
            self.grad_set(x)
            self.guards.append((x, "grad", getattr(x, "_grad", None)))

    def guard(self, owner: Any, attribute: str, value: Any) -> None:
        """What was captured holds while an attribute has this value."""
        if all(o is not owner or a != attribute for o, a, _ in self.guards):
            self.guards.append((owner, attribute, value))

    def end(self) -> list[tuple[Tensor, str, Tensor | None]]:
        """Give states their old values back and say which new ones are to be written: (state, "value" or "grad", what)."""
        self.closed = True
        written: list[tuple[Tensor, str, Tensor | None]] = []
        for x, before in self.grads.values():
            now = getattr(x, "_grad", None)
            if now is not before:
                written.append((x, "grad", now))
            x._grad = before
        for x, value, spec, backend, node in self.saved.values():
            if x.backend is self:
                written.append((x, "value", Tensor(x.value, x.spec, self)))
            x.value, x.spec, x.backend, x.node = value, spec, backend, node
        self.saved = {}  # old values are held by their tensors alone again
        return written


def names_of(fn: Any, args: Sequence[Any] = ()) -> dict[int, str]:
    """Names for the tensors that a function reaches through modules, optimisers and variables, by identity."""
    found: dict[int, str] = {}

    def visit(name: str, x: Any, depth: int = 0) -> None:
        if isinstance(x, Tensor):
            found.setdefault(id(x), name)
        elif hasattr(x, "named_parameters") and hasattr(x, "named_buffers"):
            for k, p in [*x.named_parameters(), *x.named_buffers()]:
                found.setdefault(id(p), f"{name}.{k}" if name else k)
        elif hasattr(x, "named_state"):
            for k, p in x.named_state():
                found.setdefault(id(p), f"{name}.{k}" if name else k)
        elif isinstance(x, dict) and depth < 2:
            for k, v in x.items():
                visit(f"{name}.{k}", v, depth + 1)
        elif isinstance(x, (list, tuple)) and depth < 2:
            for k, v in enumerate(x):
                visit(f"{name}.{k}", v, depth + 1)

    owner = getattr(fn, "__self__", None)
    if owner is not None:
        visit("", owner)
    visit("", fn)
    inner = inspect.unwrap(fn) if callable(fn) else fn
    inner = getattr(inner, "__func__", inner)
    code = getattr(inner, "__code__", None)
    if code is not None:
        for name, cell in zip(code.co_freevars, inner.__closure__ or ()):
            try:
                visit(name, cell.cell_contents)
            except ValueError:
                continue
        names = code.co_varnames[: code.co_argcount]
        defaults = inner.__defaults__ or ()
        for name, default in [*zip(names[len(names) - len(defaults) :], defaults), *(inner.__kwdefaults__ or {}).items()]:
            visit(name, default)
        for name in code.co_names:
            if name in inner.__globals__:
                visit(name, inner.__globals__[name])
    for at, x in enumerate(args):
        visit(f"arg{at}", x)
    return found


class Captured(NamedTuple):
    """A capture with what its caller needs besides the graph."""

    graph: Graph
    states: list[Tensor]  # in the order of the graph's state inputs
    writes: list[tuple[Tensor, str, int | None]]  # state, "value" or "grad", which output (None: set to None)
    guards: list[tuple[Any, str, Any]]
    trace: Trace
    results: list[Tensor]  # still on the trace, tracked or not


def trace_function(
    fn: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    target: Backend | None,
    portable: bool,
    arg_names: Sequence[str],
    label: Callable[[Sequence[Any]], Any] | None = None,
) -> Captured:
    """Run a function on stand-ins for the Specs among its (nested) arguments; see ``capture``."""
    trace = Trace(target, portable)
    names = iter(arg_names)

    def place(a: Any) -> Any:
        if isinstance(a, Spec):
            return trace.argument(next(names), a)
        if isinstance(a, tuple):
            parts = [place(v) for v in a]
            return type(a)(*parts) if hasattr(a, "_fields") else tuple(parts)
        if isinstance(a, list):
            return [place(v) for v in a]
        if isinstance(a, dict):
            return {k: place(v) for k, v in a.items()}
        return a

    placed, placed_kw = place(list(args)), place(dict(kwargs))
    push_trace(trace)
    try:
        made = fn(*placed, **placed_kw)
        results: list[Tensor] = []
        tree = flatten(made, results)
        results = [trace.lift(r) for r in results]
    finally:
        written = trace.end()
        pop_trace()
    known = names_of(fn, [*args, *kwargs.values()])
    used = {i.name for i in trace.inputs if not i.state}
    inputs, states = [], {}
    state_list: list[Tensor] = []
    name_by_id: dict[int, str] = {}
    by_value = {m.value: x for x, m in trace.lifted.values()}
    for i in trace.inputs:
        if i.state:
            x = by_value[i.value]
            name = known.get(id(x), i.name)
            while name in used:
                name += "_"
            used.add(name)
            i = i._replace(name=name)
            states[name] = x
            name_by_id[id(x)] = name
            state_list.append(x)
        inputs.append(i)
    outputs = [Output(f"result{n}" if len(results) > 1 else "result", r.value, r.spec) for n, r in enumerate(results)]
    writes: list[tuple[Tensor, str, int | None]] = []
    for x, what, new in written:
        if new is None:
            writes.append((x, what, None))
            continue
        if new.backend is not trace:
            continue
        name = name_by_id.get(id(x), known.get(id(x), "state"))
        target_name = name if what == "value" else f"{name}.grad"
        writes.append((x, what, len(outputs)))
        outputs.append(Output(target_name, new.value, new.spec, target_name))
    graph = Graph(getattr(fn, "__name__", type(fn).__name__), inputs, trace.constants, trace.calls, outputs, states, tree)
    return Captured(graph, state_list, writes, trace.guards, trace, results)


def capture(
    fn: Callable[..., Any], *args: Any, target: Any = None, names: Sequence[str] | None = None, fold: bool = True, **kwargs: Any
) -> Any:
    """Run a function on stand-ins and return the graph of what it did.

    A ``Spec`` (or a tensor, of which only the spec is taken) among the arguments becomes an input; anything else is passed
    as it is.  Tensors that the function reaches otherwise (weights, buffers, caches) become named states, and those it gives
    another value are written back.  Without ``target`` composites stay whole; with one, the graph is in ops it has kernels for.
    A Spec may name sizes, ``Spec(("batch", 128), float32)``: the result is then a ``SymbolicGraph``, for every batch.
    Raises CaptureError where the function looks at values or a shape depends on them.
    """
    from .device import resolve
    from .symbolic import _symbols, capture_symbolic

    backend = None if target is None else resolve(target)
    if _symbols([list(args), dict(kwargs)]):
        found_symbolic = capture_symbolic(fn, args, kwargs)
        return found_symbolic if backend is None else found_symbolic.lower(backend)
    found: list[str] = []
    try:
        parameters = list(inspect.signature(fn).parameters)
    except (TypeError, ValueError):
        parameters = []

    def spec(a: Any, name: str) -> Any:
        if isinstance(a, (Spec, Tensor)):
            found.append(name)
            return a if isinstance(a, Spec) else a.spec
        if isinstance(a, (list, tuple)):
            parts = [spec(v, f"{name}.{n}") for n, v in enumerate(a)]
            return type(a)(*parts) if hasattr(a, "_fields") else type(a)(parts)
        if isinstance(a, dict):
            return {k: spec(v, f"{name}.{k}") for k, v in a.items()}
        return a

    given = [spec(a, parameters[n] if n < len(parameters) else f"arg{n}") for n, a in enumerate(args)]
    given_kw = {k: spec(v, k) for k, v in kwargs.items()}
    if names is not None:
        found = list(names)
    for n, name in enumerate(found):
        if name in found[:n]:
            found[n] = f"{name}{n}"
    captured = trace_function(fn, given, given_kw, backend, backend is None, found)
    return captured.graph.folded() if fold else captured.graph.pruned()


_ = Iterable
