"""Gradients: the tape played backwards, in the same ops, so that it can be captured and differentiated again."""

from __future__ import annotations

import functools
import itertools
import weakref
from typing import Any, Callable, Iterable, Sequence

from . import dtype as dt
from .errors import GradientError, ShapeError
from .op import OPS, ZERO, Op, Spec
from .tensor import Leaf, Node, Pick, Tensor, enable_grad, no_grad, run

__all__ = ["backward", "checkpoint", "grad", "hessian", "jacobian", "jvp", "value_and_grad", "vjp"]


class _Gone:
    """What stands in for values that were not kept; a kernel that is given it fails."""

    def __repr__(self) -> str:
        return "<values not kept for the backward pass>"


_GONE = _Gone()
_FREED = object()
_retained: weakref.WeakKeyDictionary[Any, weakref.ref[Tensor]] = weakref.WeakKeyDictionary()


_hooks: weakref.WeakKeyDictionary[Any, dict[int, Callable[[Tensor], Any]]] = weakref.WeakKeyDictionary()
_after: weakref.WeakKeyDictionary[Any, dict[int, Callable[[Tensor], Any]]] = weakref.WeakKeyDictionary()
_numbers = itertools.count()


def retain(x: Tensor) -> None:
    """Have ``backward`` leave the gradient of a tensor that is no leaf."""
    _retained[x.node] = weakref.ref(x)


def retained(x: Tensor) -> bool:
    return x.node in _retained


class Handle:
    """Takes a hook away again, by ``remove()`` or as a context manager."""

    def __init__(self, hooks: dict[int, Any], number: int) -> None:
        self.hooks, self.number = hooks, number

    def remove(self) -> None:
        self.hooks.pop(self.number, None)

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove()


def hook(x: Tensor, function: Callable[[Tensor], Any], after: bool = False) -> Handle:
    """Call a function with a tensor's gradient, which what it returns replaces; or ``after`` a leaf has got it, with the leaf."""
    hooks = (_after if after else _hooks).setdefault(x.node, {})
    number = next(_numbers)
    hooks[number] = function
    return Handle(hooks, number)


def _hooked(node: Any, g: Tensor) -> Tensor:
    for function in list(_hooks[node].values()):
        found = function(g)
        if found is not None:
            if found.spec.shape != g.spec.shape:
                raise GradientError(f"a hook gives a gradient of the shape of {g.spec} but gave {found.spec}")
            g = found
    return g


_anomaly = False


class set_detect_anomaly:
    """Have backward passes fail at the first op whose gradient is NaN, as a function or a context manager."""

    def __init__(self, mode: bool = True) -> None:
        global _anomaly
        self.before, _anomaly = _anomaly, bool(mode)

    def __enter__(self) -> set_detect_anomaly:
        return self

    def __exit__(self, *_: Any) -> None:
        global _anomaly
        _anomaly = self.before


class detect_anomaly(set_detect_anomaly):
    """Within it a backward pass fails at the first op whose gradient is NaN, and names it."""

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__(check_nan)


def _inspect(node: Node, pulled: Sequence[Tensor | None]) -> None:
    for at, g in enumerate(pulled):
        if g is not None and g.backend.name != "trace" and bool(g.isnan().any()):
            given = ", ".join(map(str, node.plan.specs))
            raise GradientError(
                f"the gradient of {node.plan.op.name}({given}) with respect to operand {at} holds NaN; "
                "look at what the forward pass gave it"
            )


def _order(roots: Iterable[Any], stop: frozenset[int]) -> list[Any]:
    """The nodes behind some roots, each after those it was made from."""
    found: list[Any] = []
    state: dict[int, bool] = {}
    stack = [(n, False) for n in roots]
    while stack:
        node, done = stack.pop()
        if done:
            found.append(node)
            continue
        if id(node) in state:
            continue
        state[id(node)] = True
        stack.append((node, True))
        if id(node) not in stop:
            stack.extend([(n, False) for n in node.nodes if n is not None and id(n) not in state])
    return found


def _fit(g: Tensor, spec: Spec) -> Tensor:
    """Undo broadcasting, promotion and the step from real to complex: the gradient has its operand's shape and dtype."""
    if g.spec is spec:
        return g
    if g.dtype.kind == "c" and spec.dtype.kind != "c":
        g = g.real
    shape = spec.shape
    if g.shape != shape:
        extra = g.ndim - len(shape)
        if extra > 0:
            g = g.sum(tuple(range(extra)))
        dims = tuple([i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1]) if extra >= 0 else ()
        if dims:
            g = g.sum(dims, True)
        if g.shape != shape:
            g = g.expand(shape)
    if g.dtype is not spec.dtype:
        g = g.to(dtype=spec.dtype)
    return g


def _sum(a: Tensor | None, b: Tensor) -> Tensor:
    return b if a is None else a + b


def _operands(node: Node, tracked: bool) -> list[Tensor | None]:
    plan = node.plan
    made: list[Tensor | None] = []
    for value, spec, before in zip(node.datas, plan.specs, node.nodes):
        if spec is None:
            made.append(None)
        else:
            made.append(Tensor(_GONE if value is None else value, spec, plan.backend, before if tracked else None))
    return made


def _expanded(node: Node, g: Any, tracked: bool) -> list[Tensor | None]:
    """The gradient of a fused composite: that of its expansion, made now."""
    op = node.plan.op
    inputs: list[Tensor | None] = []
    for x in _operands(node, tracked):
        if x is not None and x.dtype.kind in "fc":
            x = run(OPS["alias"], (x,), {}) if x.node is not None else x
            if x.node is None:
                x.node = Leaf()
        inputs.append(x)
    with enable_grad():
        made = op.body(*inputs, **node.plan.attrs)
    ys = [made] if node.plan.single else list(made)
    gs = [g] if node.plan.single else list(g)
    pairs = [(y, d) for y, d in zip(ys, gs) if d is not None and y.node is not None]
    wanted = [x for x in inputs if x is not None and x.node is not None]
    got = iter(_play([p[0] for p in pairs], [p[1] for p in pairs], [x.node for x in wanted], tracked, stop=True))
    return [next(got) if x is not None and x.node is not None else None for x in inputs]


def _pull(node: Node, g: Any, tracked: bool, needed: Callable[[Any], bool]) -> list[Tensor | None]:
    """The gradient for each operand of a node."""
    plan = node.plan
    op, single = plan.op, plan.single
    if node.datas is _FREED:
        raise GradientError(
            f"the tape behind this {op.name} was freed by an earlier backward pass; pass retain_graph=True to the first one"
        )
    if op.vjp is None:
        if op.composite or op.expand is not None:
            return _expanded(node, g, tracked)
        raise GradientError(f"{op.name} has no gradient; use .detach() where none is wanted")
    operands = _operands(node, tracked)
    if node.outs is None:
        outs: Any = [Tensor(_GONE, s, plan.backend) for s in plan.outs]
    else:
        values = (node.outs,) if single else node.outs
        if tracked:
            outs = [
                Tensor(v, s, plan.backend, node if single else Pick(node, i)) for i, (v, s) in enumerate(zip(values, plan.outs))
            ]
        else:
            outs = [Tensor(v, s, plan.backend) for v, s in zip(values, plan.outs)]
    y = outs[0] if single else tuple(outs)
    if not isinstance(op.vjp, tuple):
        if not single:
            g = tuple([d if d is not None else o.zeros_like() for d, o in zip(g, outs)])
        found = op.vjp(g, y, *operands, **plan.attrs)
        return [_zero(op.vjp, x) if d is None and op.vjp is ZERO else d for d, x in zip(found, operands)]
    results: list[Tensor | None] = []
    for x, before, function in zip(operands, node.nodes, op.vjp):
        if before is None or x is None or function is None or not needed(before):
            results.append(None)
        elif function is ZERO:
            results.append(x.zeros_like())
        else:
            results.append(function(g, y, *operands, **plan.attrs))
    return results


def _zero(function: Any, x: Tensor | None) -> Tensor | None:
    return None if x is None else x.zeros_like()


def _play(
    roots: Sequence[Tensor],
    seeds: Sequence[Tensor],
    wanted: Sequence[Any] | None,
    tracked: bool,
    stop: bool = False,
    leaf: Callable[[Any, Tensor], None] | None = None,
    free: bool = False,
) -> list[Tensor | None]:
    """Gradients for the wanted nodes, or for every leaf through ``leaf``."""
    stops = frozenset(map(id, wanted or ())) if stop else frozenset()
    order = _order([r.node for r in roots if r.node is not None], stops)
    marks: dict[int, bool] = {}
    ids = {id(n) for n in wanted or ()}
    for n in order:  # parents first
        marks[id(n)] = wanted is None or id(n) in ids or any(marks.get(id(p), False) for p in n.nodes if p is not None)

    def needed(n: Any) -> bool:
        return marks.get(id(n), False)

    grads: dict[int, Any] = {}
    results: dict[int, Tensor] = {}
    with set_mode(tracked):
        for r, s in zip(roots, seeds):
            if r.node is not None:
                _deliver(grads, r.node, s)
        for node in reversed(order):
            g = grads.pop(id(node), None)
            if g is None or not needed(node):
                continue
            if _hooks and node in _hooks:
                g = _hooked(node, g)
            if id(node) in ids:
                results[id(node)] = g
                if stop:
                    continue
            if isinstance(node, Leaf):
                if leaf is not None:
                    leaf(node, g)
                    owner = node.owner() if _after and node in _after and node.owner is not None else None
                    if owner is not None:
                        for function in list(_after[node].values()):
                            function(owner)
                continue
            if isinstance(node, Pick):
                parts = grads.setdefault(id(node.nodes[0]), [None] * len(node.nodes[0].plan.outs))
                parts[node.at] = _sum(parts[node.at], g)
                continue
            if leaf is not None and node in _retained:
                owner = _retained[node]()
                if owner is not None:
                    owner.grad = _sum(owner.grad, g)
            pulled = _pull(node, g, tracked, needed)
            if _anomaly:
                _inspect(node, pulled)
            for before, d, spec in zip(node.nodes, pulled, node.plan.specs):
                if before is not None and d is not None and needed(before):
                    _deliver(grads, before, _fit(d, spec))
    if free:
        for node in order:
            if isinstance(node, Node):
                node.datas = _FREED
                node.outs = None
    return [results.get(id(n)) for n in wanted or ()]


class set_mode:
    """The tape on or off within."""

    def __init__(self, tracked: bool) -> None:
        self.context: Any = enable_grad() if tracked else no_grad()

    def __enter__(self) -> None:
        self.context.__enter__()

    def __exit__(self, *e: Any) -> None:
        self.context.__exit__(*e)


def _deliver(grads: dict[int, Any], node: Any, g: Tensor) -> None:
    grads[id(node)] = _sum(grads.get(id(node)), g)


def _seed(y: Tensor, g: Tensor | None) -> Tensor:
    if y.node is None:
        raise GradientError(
            f"this {y.spec} is not tracked: no operand behind it requires its gradient "
            "(call requires_grad_() on one, or leave no_grad)"
        )
    if g is None:
        if y.spec.size != 1:
            raise GradientError(
                f"the gradient of {y.spec} needs a seed of its shape, for it is no scalar; take .sum() or pass gradient="
            )
        return y.detach().ones_like()
    if g.shape != y.shape:
        raise ShapeError(f"the seed of a gradient has the shape of {y.spec} but was given {g.spec}")
    return g.to(dtype=y.dtype)


def backward(
    tensors: Tensor | Sequence[Tensor],
    gradients: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradient of some tensors to ``.grad`` of every leaf behind them, or only of ``inputs``."""
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    gradients = [gradients] if isinstance(gradients, Tensor) else gradients
    seeds = [_seed(y, g) for y, g in zip(tensors, gradients or [None] * len(tensors))]
    free = not (retain_graph or create_graph)

    def give(owner: Tensor, g: Tensor) -> None:
        before = owner.grad
        if before is None:
            owner.grad = g
        elif create_graph:
            owner.grad = before + g
        else:
            before._rebind(before.detach() + g)

    if inputs is not None:
        wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        for x, g in zip(wanted, _play(tensors, seeds, [x.node for x in wanted], create_graph, free=free)):
            if g is not None:
                give(x, g)
        return

    def leaf(node: Leaf, g: Tensor) -> None:
        owner = node.owner() if node.owner is not None else None
        if owner is not None:
            give(owner, g)

    _play(tensors, seeds, None, create_graph, leaf=leaf, free=free)


def _listed(xs: Any) -> tuple[list[Any], Callable[[list[Any]], Any]]:
    if isinstance(xs, Tensor):
        return [xs], lambda found: found[0]
    if isinstance(xs, dict):
        return list(xs.values()), lambda found: dict(zip(xs, found))
    if hasattr(xs, "parameters"):
        xs = dict(xs.named_parameters())
        return list(xs.values()), lambda found: dict(zip(xs, found))
    listed = list(xs)
    return listed, lambda found: type(xs)(found) if type(xs) in (list, tuple) else found


def grad(
    y: Any,
    xs: Any = None,
    gradient: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
    argnums: int | tuple[int, ...] = 0,
) -> Any:
    """The gradient of a tensor with respect to others, leaving no trace on them.

    ``xs`` is a tensor, a list, a dict or a module; the result has its form.  Of a function instead of a tensor,
    the function that gives its gradient with respect to the arguments ``argnums``.
    Raises GradientError for a tensor that ``y`` does not depend on, unless ``allow_unused``, which gives None there.
    """
    if callable(y) and not isinstance(y, Tensor):
        function = value_and_grad(y, argnums, create_graph)
        return functools.wraps(y)(lambda *args, **kwargs: function(*args, **kwargs)[1])
    if xs is None:
        raise TypeError("grad takes a tensor and those to differentiate with respect to, or a function")
    ys = [y] if isinstance(y, Tensor) else list(y)
    gs = [gradient] * len(ys) if gradient is None or isinstance(gradient, Tensor) else list(gradient)
    wanted, shaped = _listed(xs)
    for x in wanted:
        if x.node is None:
            raise GradientError(
                f"the gradient with respect to an untracked {x.spec} was asked for; call requires_grad_() before using it"
            )
    keep = create_graph if retain_graph is None else retain_graph
    found = _play(ys, [_seed(a, g) for a, g in zip(ys, gs)], [x.node for x in wanted], create_graph, free=not keep)
    for at, (x, g) in enumerate(zip(wanted, found)):
        if g is None and not allow_unused:
            raise GradientError(
                f"number {at} of the tensors to differentiate by, a {x.spec}, was not used; pass allow_unused=True to get None"
            )
    return shaped(found)


def value_and_grad(
    function: Callable[..., Any], argnums: int | tuple[int, ...] = 0, create_graph: bool = False
) -> Callable[..., Any]:
    """The function that gives a scalar function's value together with its gradient."""
    many = isinstance(argnums, tuple)
    numbers: tuple[int, ...] = argnums if isinstance(argnums, tuple) else (argnums,)

    @functools.wraps(function)
    def both(*args: Any, **kwargs: Any) -> Any:
        placed = list(args)
        flat: list[Tensor] = []
        shapes = []
        for n in numbers:
            listed, shaped = _listed(args[n])
            fresh = [_fresh(x) for x in listed]
            shapes.append((shaped, len(fresh)))
            flat += fresh
            if not hasattr(args[n], "parameters"):
                placed[n] = shaped(fresh)
            else:
                flat[-len(fresh) :] = listed
        with enable_grad():
            y = function(*placed, **kwargs)
        outputs = y if isinstance(y, tuple) else (y,)
        found = grad(outputs[0], flat, create_graph=create_graph, allow_unused=True)
        found = [g if g is not None else x.zeros_like() for g, x in zip(found, flat)]
        at, results = 0, []
        for shaped, n in shapes:
            results.append(shaped(found[at : at + n]))
            at += n
        value = y if create_graph else _map(lambda t: t.detach(), y)
        return value, tuple(results) if many else results[0]

    return both


def _map(f: Callable[[Tensor], Any], y: Any) -> Any:
    return tuple([_map(f, v) for v in y]) if isinstance(y, tuple) else f(y) if isinstance(y, Tensor) else y


def _fresh(x: Tensor) -> Tensor:
    """The same value at a new place of the tape, linked to the old one if it has one."""
    if x.node is not None:
        return run(OPS["alias"], (x,), {})
    made = Tensor(x.value, x.spec, x.backend)
    return made.requires_grad_() if x.dtype.kind in "fc" else made


def vjp(function: Callable[..., Any], *xs: Tensor) -> tuple[Any, Callable[..., tuple[Any, ...]]]:
    """A function's value, and the function that pulls a gradient of the value back to the arguments."""
    fresh = [_fresh(x) for x in xs]
    with enable_grad():
        y = function(*fresh)
    ys = y if isinstance(y, tuple) else (y,)

    def pull(*gs: Tensor, create_graph: bool = False) -> tuple[Any, ...]:
        found = grad(list(ys), fresh, list(gs), create_graph=create_graph, retain_graph=True, allow_unused=True)
        return tuple([g if g is not None else x.detach().zeros_like() for g, x in zip(found, fresh)])

    return _map(lambda t: t.detach(), y), pull


def jvp(function: Callable[..., Any], xs: Sequence[Tensor], tangents: Sequence[Tensor]) -> tuple[Any, Any]:
    """A function's value and its derivative along some tangents, by two backward passes."""
    fresh = [_fresh(x) for x in xs]
    with enable_grad():
        y = function(*fresh)
        ys = y if isinstance(y, tuple) else (y,)
        dummies = [t.detach().zeros_like().requires_grad_() for t in ys]
        pulled = grad(list(ys), fresh, dummies, create_graph=True, allow_unused=True)
        pairs = [(g, t) for g, t in zip(pulled, tangents) if g is not None and g.node is not None]
        if not pairs:
            return _map(lambda t: t.detach(), y), _map(lambda t: t.detach().zeros_like(), y)
        pushed = grad([g for g, _ in pairs], dummies, [t for _, t in pairs], allow_unused=True)
    pushed = [p if p is not None else t.detach().zeros_like() for p, t in zip(pushed, ys)]
    return _map(lambda t: t.detach(), y), tuple(pushed) if isinstance(y, tuple) else pushed[0]


def jacobian(function: Callable[[Tensor], Tensor], x: Tensor, create_graph: bool = False) -> Tensor:
    """All first derivatives, of shape ``(*y.shape, *x.shape)``."""
    fresh = _fresh(x)
    with enable_grad():
        y = function(fresh)
        rows = []
        flat = y.reshape((-1,))
        for at in range(y.spec.size):
            (row,) = grad(flat[at], [fresh], create_graph=create_graph, retain_graph=True, allow_unused=True)
            rows.append(row if row is not None else x.zeros_like())
    if not rows:
        return x.zeros_like().reshape((1, -1))[:0].reshape((*y.shape, *x.shape))
    return OPS["stack"](rows, 0).reshape((*y.shape, *x.shape))


def hessian(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """All second derivatives of a scalar function, of shape ``(*x.shape, *x.shape)``."""
    return jacobian(lambda t: grad(function(t), t, create_graph=True), x)


# -- ops made for one call -------------------------------------------------------------------------


def _call_op(name: str, pull: Callable[..., Any], outs: Sequence[Spec]) -> Op:
    """An op of given results around a function of tensors; not in the table."""

    def fn(*xs: Any) -> Any:
        raise GradientError(f"{name} is on the tape only; it is no op that can be run again")

    signature = f"X* -> {', '.join(['Y'] * len(outs))}"
    multiple = len(outs) > 1
    return Op(
        name, fn, signature, {"X": dt.EVERY}, composite=True, vjp=pull, method=False,
        shape=lambda *specs: [o.shape for o in outs] if multiple else outs[0].shape,
        result=lambda *specs: [o.dtype for o in outs] if multiple else outs[0].dtype,
    )  # fmt: skip


def call(name: str, xs: Sequence[Tensor], outs: Sequence[Tensor], pull: Callable[..., Any]) -> Any:
    """Put results on the tape as made from ``xs`` by a function whose gradient is ``pull(gs, *xs)``.

    ``pull`` returns one gradient per tensor of ``xs``, or None.
    """
    from .tensor import Plan

    multiple = len(outs) > 1

    def vjp(g: Any, _y: Any, *xs: Any) -> Any:
        return pull(g if multiple else (g,), *xs)

    op = _call_op(name, vjp, [o.spec for o in outs])
    plan = object.__new__(Plan)
    plan.op, plan.backend, plan.attrs, plan.casts, plan.kernel = op, outs[0].backend, {}, None, None
    plan.specs, plan.outs, plan.single = tuple([x.spec for x in xs]), tuple([o.spec for o in outs]), not multiple
    plan.out, plan.saves, plan.tracks = plan.outs if multiple else plan.outs[0], ((True,), (False,) * len(outs)), True
    node = Node(plan, tuple([x.value for x in xs]), tuple([x.node for x in xs]), None)
    made = [
        Tensor(o.value, o.spec, o.backend, (Pick(node, i) if multiple else node) if o.dtype.kind in "fc" else None)
        for i, o in enumerate(outs)
    ]
    return tuple(made) if multiple else made[0]


def moved(x: Tensor, target: Any) -> Tensor:
    """A tensor on another backend; its gradient comes back."""
    source = x.backend
    data = target.put(source.get(x.value))
    y = Tensor(data, x.spec, target)
    if x.node is None or not _tracking():
        return y
    return call("to", [x], [y], lambda gs, _x: (moved(gs[0], source),))


def _tracking() -> bool:
    from .tensor import is_grad_enabled

    return is_grad_enabled()


def checkpoint(function: Callable[..., Any], *args: Any, use_reentrant: bool | None = None, **kwargs: Any) -> Any:
    """Call a function without keeping what lies between its arguments and its result; the backward pass runs it again.

    ``use_reentrant`` is PyTorch's and has no say here.

    Tensors that the function reaches without being given them (a module's parameters) get their gradients too.
    https://arxiv.org/abs/1604.06174
    """
    from .tensor import is_grad_enabled

    tensors = [a for a in args if isinstance(a, Tensor)]
    if not is_grad_enabled():
        return function(*args, **kwargs)
    from .random import replaying

    replay = replaying([t.backend for t in tensors])
    found: dict[int, Any] = {}
    with enable_grad():
        probe = _map_args(args, lambda t: _fresh(t) if t.node is not None else t)
        made = function(*probe, **kwargs)
    outs = made if isinstance(made, tuple) else (made,)
    roots = [o.node for o in outs if isinstance(o, Tensor) and o.node is not None]
    if not roots:
        return made
    own = {id(p.node) for p in probe if isinstance(p, Tensor) and p.node is not None}
    for node in _order(roots, frozenset(own)):
        if isinstance(node, Leaf) and id(node) not in own and node.owner is not None:
            owner = node.owner()
            if owner is not None:
                found[id(node)] = owner
    hidden = list(found.values())
    inputs = [t for t in tensors if t.node is not None] + hidden
    results = [Tensor(o.value, o.spec, o.backend) for o in outs]
    del made, outs, roots, probe
    n = len(inputs) - len(hidden)

    def pull(gs: Any, *xs: Tensor) -> Any:
        given = iter(xs[:n])
        with replay, enable_grad():
            again = [(_fresh(next(given)) if a.node is not None else a) if isinstance(a, Tensor) else a for a in args]
            y = function(*again, **kwargs)
        ys = y if isinstance(y, tuple) else (y,)
        pairs = [(o, g) for o, g in zip(ys, gs) if o.node is not None]
        wanted = [a.node for a in again if isinstance(a, Tensor) and a.node is not None] + [h.node for h in hidden]
        return _play([o for o, _ in pairs], [g for _, g in pairs], wanted, is_grad_enabled(), stop=True)

    return call("checkpoint", inputs, results, pull)


def _map_args(args: Sequence[Any], f: Callable[[Tensor], Tensor]) -> list[Any]:
    return [f(a) if isinstance(a, Tensor) else a for a in args]
