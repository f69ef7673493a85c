"""A model's graph, read from its protobuf and checked: nodes in order, each with the definition that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx

from .errors import OnnxError
from .table import Operator, find
from .values import attribute, dense, to_tensor

__all__ = ["Graph", "Node", "Port", "read_graph"]

_STANDARD = {"ai.onnx": "", "": ""}


@dataclass
class Port:
    """An input or output of a graph: its name, type and shape as the model says them (None: not said)."""

    name: str
    kind: str
    dtype: int | None
    shape: tuple[int | str | None, ...] | None


@dataclass
class Node:
    """One call: what it takes and gives, by name, and how it is run."""

    op: str
    domain: str
    version: int
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    operator: Operator | None
    body: Graph | None = None  # of a function of the model
    last: list[str] = field(default_factory=list)  # values that nobody needs after it

    def __str__(self) -> str:
        domain = f"{self.domain}." if self.domain else ""
        where = f" {self.name!r}" if self.name else ""
        return f"the node{where} ({domain}{self.op}, version {self.version})"


@dataclass
class Graph:
    """Nodes in an order in which they can be run."""

    name: str
    inputs: list[Port]
    outputs: list[Port]
    constants: dict[str, Any]
    nodes: list[Node]
    outer: set[str]  # names that it takes from the graphs around it
    defaults: dict[str, Any] = field(default_factory=dict)  # of a function's attributes


class Reader:
    """What is needed to read graphs of one model: versions of domains, functions, the folder of external data."""

    def __init__(self, model: onnx.ModelProto, folder: Path | None) -> None:
        self.folder = folder
        self.versions = {_STANDARD.get(o.domain, o.domain): o.version for o in model.opset_import}
        if "" not in self.versions and not self.versions:
            self.versions[""] = 1
        self.functions: dict[tuple[str, str], Any] = {(_STANDARD.get(f.domain, f.domain), f.name): f for f in model.functions}
        self.bodies: dict[tuple[str, str], Graph] = {}
        self.reading: list[tuple[str, str]] = []

    def version(self, domain: str, node: str) -> int:
        if domain not in self.versions:
            known = ", ".join(f"{d or 'ai.onnx'} {v}" for d, v in self.versions.items())
            raise OnnxError(
                f"{node} is of the domain {domain or 'ai.onnx'!r}, whose version the model does not say; it has {known}"
            )
        return self.versions[domain]


def port(info: onnx.ValueInfoProto) -> Port:
    """What is said of an input or output."""
    kind = info.type.WhichOneof("value") or "tensor_type"
    if kind not in ("tensor_type", "sparse_tensor_type"):
        return Port(info.name, kind.removesuffix("_type"), None, None)
    tensor = getattr(info.type, kind)
    shape = None
    if tensor.HasField("shape"):
        shape = tuple([d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim])
    return Port(info.name, "tensor", tensor.elem_type or None, shape)


def read_graph(reader: Reader, proto: onnx.GraphProto, device: Any, around: frozenset[str] = frozenset()) -> Graph:
    """A graph from its protobuf.  Raises OnnxError for operators that are not known, names that nobody makes, and cycles."""
    constants: dict[str, Any] = {}
    for t in proto.initializer:
        constants[t.name] = to_tensor(t, reader.folder, device, f"the initializer {t.name!r}")
    for s in proto.sparse_initializer:
        constants[s.values.name] = dense(s, reader.folder, f"the initializer {s.values.name!r}")
    inputs = [port(i) for i in proto.input]
    known = around | set(constants) | {i.name for i in inputs}
    nodes, outer = _ordered(reader, list(proto.node), known, f"the graph {proto.name!r}")
    graph = Graph(proto.name, inputs, [port(o) for o in proto.output], constants, nodes, outer & around)
    made = known | {o for n in nodes for o in n.outputs}
    for o in graph.outputs:
        if o.name not in made:
            raise OnnxError(f"the graph {proto.name!r} gives {o.name!r}, which nothing makes")
        if o.name in around and o.name not in {x for n in nodes for x in n.outputs} | set(constants):
            graph.outer.add(o.name)
    _lifetimes(graph)
    return graph


def _ordered(reader: Reader, protos: list[Any], known: frozenset[str] | set[str], where: str) -> tuple[list[Node], set[str]]:
    """The nodes in an order in which each finds what it takes, and all names that they take from elsewhere."""
    makers: dict[str, int] = {}
    for at, p in enumerate(protos):
        for o in p.output:
            if not o:
                continue
            if o in makers:
                raise OnnxError(f"{where} makes {o!r} twice")
            makers[o] = at
    takes = [[x for x in p.input if x] + [x for x in _inner_names(p) if x in makers or x in known] for p in protos]
    order: list[int] = []
    state = [0] * len(protos)  # 1: under way, 2: done
    for root in range(len(protos)):
        stack = [(root, iter(takes[root]))] if not state[root] else []
        if stack:
            state[root] = 1
        while stack:
            at, rest = stack[-1]
            for name in rest:
                if name in makers:
                    maker = makers[name]
                    if state[maker] == 1:
                        raise OnnxError(
                            f"{where} goes in a circle: {_called(protos[at])} takes {name!r}, which is made of its result"
                        )
                    if state[maker] == 0:
                        state[maker] = 1
                        stack.append((maker, iter(takes[maker])))
                        break
                elif name not in known:
                    raise OnnxError(f"{_called(protos[at])} of {where} takes {name!r}, which nothing makes")
            else:
                state[at] = 2
                order.append(at)
                stack.pop()
    scope = frozenset(known) | frozenset(makers)
    nodes = [_node(reader, protos[at], scope) for at in order]
    return nodes, {x for names in takes for x in names if x not in makers}


def _called(p: Any) -> str:
    return f"the node {p.name!r} ({p.op_type})" if p.name else f"a node {p.op_type}"


def _inner_names(p: Any) -> list[str]:
    """What the subgraphs of a node take from around them."""
    found: list[str] = []
    for a in p.attribute:
        for g in [a.g] if a.type == onnx.AttributeProto.GRAPH else a.graphs:
            own = {i.name for i in g.input} | {t.name for t in g.initializer} | {o for n in g.node for o in n.output}
            found += [x for n in g.node for x in [*n.input, *_inner_names(n)] if x and x not in own]
            found += [o.name for o in g.output if o.name not in own]
    return found


def _node(reader: Reader, p: Any, scope: frozenset[str]) -> Node:
    domain = _STANDARD.get(p.domain, p.domain)
    function = (domain, p.op_type)
    overload = next((k for k in reader.functions if k == function), None)
    if overload is not None:
        return _call(reader, p, function)
    version = reader.version(domain, _called(p))
    found = find(domain, p.op_type, version)
    if found is None:
        raise OnnxError(
            f"{_called(p)} of the domain {domain or 'ai.onnx'!r}, version {version}, is not known; see `candle onnx operators`"
        )
    attributes: dict[str, Any] = {}
    for a in p.attribute:
        if a.ref_attr_name:
            attributes[a.name] = Reference(a.ref_attr_name)
            continue
        value = attribute(a, reader.folder, _called(p))
        if isinstance(value, onnx.GraphProto):
            value = read_graph(reader, value, "numpy", scope)
        attributes[a.name] = value
    for name in attributes:
        if name not in found.attributes and name not in ("consumed_inputs",):
            raise OnnxError(
                f"{_called(p)}, version {version}, has no attribute {name!r}; "
                f"it has {', '.join(sorted(found.attributes)) or 'none'}"
            )
    given = len(p.input)
    if given < found.required and not found.many:
        raise OnnxError(f"{_called(p)} takes at least {found.required} inputs but has {given}")
    return Node(p.op_type, domain, version, p.name, list(p.input), list(p.output), attributes, found)


class Reference(str):
    """An attribute of a function's node that is the function's own, by name."""


def _call(reader: Reader, p: Any, key: tuple[str, str]) -> Node:
    proto = reader.functions[key]
    if key in reader.reading:
        raise OnnxError(f"the function {key[1]!r} calls itself")
    if key not in reader.bodies:
        reader.reading.append(key)
        inside = Reader.__new__(Reader)
        inside.__dict__.update(reader.__dict__)
        inside.versions = {**reader.versions, **{_STANDARD.get(o.domain, o.domain): o.version for o in proto.opset_import}}
        nodes, _ = _ordered(inside, list(proto.node), frozenset(proto.input), f"the function {key[1]!r}")
        body = Graph(
            proto.name, [Port(i, "tensor", None, None) for i in proto.input],
            [Port(o, "tensor", None, None) for o in proto.output],
            {}, nodes, set(), {a.name: attribute(a, reader.folder, proto.name) for a in proto.attribute_proto},
        )  # fmt: skip
        _lifetimes(body)
        reader.bodies[key] = body
        reader.reading.pop()
    values: dict[str, Any] = {}
    for a in p.attribute:
        values[a.name] = Reference(a.ref_attr_name) if a.ref_attr_name else attribute(a, reader.folder, _called(p))
    version = reader.versions.get(key[0], 1)
    return Node(p.op_type, key[0], version, p.name, list(p.input), list(p.output), values, None, reader.bodies[key])


def _lifetimes(graph: Graph) -> None:
    """Note at each node which values it is the last to use, so that they can be let go."""
    kept = {o.name for o in graph.outputs} | graph.outer
    own = {o for n in graph.nodes for o in n.outputs}
    seen: set[str] = set()
    for node in reversed(graph.nodes):
        inner = [x for v in node.attributes.values() if isinstance(v, Graph) for x in v.outer]
        names = {x for x in [*node.inputs, *node.outputs, *inner] if x in own}
        node.last = sorted(names - seen - kept)
        seen |= names


def resolved(attributes: Mapping[str, Any], outer: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes with those filled in that are a function's own; left out where it was not given one."""
    found = {}
    for name, value in attributes.items():
        if isinstance(value, Reference):
            if str(value) in outer:
                found[name] = outer[str(value)]
        else:
            found[name] = value
    return found
