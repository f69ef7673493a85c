"""Running a graph: nodes in order over candle's tensors, on a device or in a capture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from candle import CandleError, CaptureError, Tensor
from candle.device import placed, resolve
from candle.tensor import current_trace, untraced

from .errors import OnnxError
from .graph import Graph, Node, resolved

__all__ = ["Context", "run_graph"]


class Context:
    """What an operator may ask of the run it is part of."""

    def __init__(self, device: Any, scope: Mapping[str, Any], node: Node, limits: Limits) -> None:
        self.device, self.scope, self.node, self.limits = device, scope, node, limits

    @property
    def version(self) -> int:
        return self.node.version

    @property
    def outputs(self) -> int:
        """How many results the node's outputs name."""
        return len(self.node.outputs)

    def wants(self, at: int) -> bool:
        """Whether anybody asks for a result."""
        return at < len(self.node.outputs) and bool(self.node.outputs[at])

    def run(self, graph: Graph, *values: Any) -> list[Any]:
        """Run a subgraph, which sees the values around the node."""
        return run_graph(graph, dict(zip([i.name for i in graph.inputs], values)), self.device, self.limits, self.scope)

    def tick(self) -> None:
        """Count a turn of a loop; raises OnnxError beyond the limit."""
        self.limits.turns += 1
        if self.limits.turns > self.limits.most_turns:
            raise OnnxError(f"more than {self.limits.most_turns} turns of loops; raise the limit with max_iterations")


class Limits:
    """Bounds on what a model may ask for."""

    def __init__(self, most_turns: int = 1_000_000) -> None:
        self.turns, self.most_turns = 0, most_turns


class Scope(dict[str, Any]):
    """Values by name, and those of the graphs around."""

    def __init__(self, outer: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.outer = outer

    def __missing__(self, name: str) -> Any:
        if self.outer is None:
            raise KeyError(name)
        return self.outer[name]


def run_graph(
    graph: Graph,
    inputs: Mapping[str, Any],
    device: Any,
    limits: Limits,
    outer: Mapping[str, Any] | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> list[Any]:
    """A graph's results, in order.  ``attributes`` are those a function was called with."""
    scope = Scope(outer)
    scope.update(graph.constants)
    scope.update(inputs)
    given = {**graph.defaults, **(attributes or {})}
    for node in graph.nodes:
        try:
            made = _run_node(node, scope, device, limits, given)
        except (OnnxError, CaptureError, MemoryError):
            raise
        except Exception as e:
            raise OnnxError(f"{node}: {_described(e)}") from e
        for name, value in zip(node.outputs, made):
            if name:
                scope[name] = value
        for name in node.last:
            scope.pop(name, None)
    return [scope[o.name] for o in graph.outputs]


def _described(e: Exception) -> str:
    return str(e) if isinstance(e, CandleError) else f"{type(e).__name__}: {e}"


def _run_node(node: Node, scope: Scope, device: Any, limits: Limits, given: Mapping[str, Any]) -> list[Any]:
    values = [scope[x] if x else None for x in node.inputs]
    attributes = resolved(node.attributes, given)
    if node.body is not None:
        names = [i.name for i in node.body.inputs]
        values += [None] * (len(names) - len(values))
        return run_graph(node.body, dict(zip(names, values)), device, limits, None, attributes)
    operator = node.operator
    assert operator is not None
    while values and values[-1] is None and len(values) > operator.required:
        values.pop()
    context = Context(device, scope, node, limits)
    trace = current_trace()
    if trace is not None and not operator.takes_context and not any(_traced(v, trace) for v in values):
        with untraced():  # all is known: it becomes a constant
            return _called(operator, context, _together(values, operator.host, device), attributes)
    return _called(operator, context, _together(values, operator.host, device), attributes)


def _called(operator: Any, context: Context, values: list[Any], attributes: dict[str, Any]) -> list[Any]:
    with placed(resolve(context.device)):
        made = operator.fn(context, *values, **attributes) if operator.takes_context else operator.fn(*values, **attributes)
    return list(made) if isinstance(made, tuple) else [made]


def _traced(x: Any, trace: Any) -> bool:
    if isinstance(x, list):
        return any(_traced(v, trace) for v in x)
    return isinstance(x, Tensor) and x.backend is trace


def _together(values: list[Any], host: tuple[bool, ...], device: Any) -> list[Any]:
    """Operands on one device; those that decide shapes as NumPy's arrays."""
    made = []
    for at, x in enumerate(values):
        if x is not None and (host[at] if at < len(host) else bool(host) and host[-1]) and isinstance(x, Tensor):
            made.append(known(x))
        else:
            made.append(x)
    tensors = [x for x in made if isinstance(x, Tensor)]
    if len({id(x.backend) for x in tensors}) > 1:
        trace = current_trace()
        target = resolve(device)
        moved = [_moved(x, target, trace) if isinstance(x, Tensor) else x for x in made]
        return moved
    return made


def _moved(x: Tensor, target: Any, trace: Any) -> Tensor:
    if trace is not None and x.backend is trace:
        return x
    if x.backend is target:
        return x
    if trace is not None:
        with untraced():
            return x.to(target)
    return x.to(target)


def known(x: Any) -> Any:
    """NumPy's array of a value; raises CaptureError where a capture does not know it yet."""
    if not isinstance(x, Tensor):
        return x
    trace = current_trace()
    if trace is not None and x.backend is trace:
        raise CaptureError("the model decides shapes by values that are computed; it cannot be captured as one graph")
    with untraced():
        return np.asarray(x.numpy())


def truth(x: Any) -> bool:
    """A condition's value."""
    array = np.asarray(known(x)).reshape(-1)
    if array.size != 1:
        raise OnnxError(f"a condition is one truth value but {array.size} were given")
    return bool(array[0])
