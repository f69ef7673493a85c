"""Writing a captured graph as an ONNX model: ``export(model, inputs, "model.onnx")``."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

import candle
from candle import Graph, KernelError, Spec, Tensor
from candle.graph import LEAF, Input, capture
from candle.symbolic import SymbolicGraph
from candle.tensor import no_grad

from .emit import Emitter, writable
from .errors import OnnxError
from .values import number_of

__all__ = ["export"]

OPSETS = (21, onnx.defs.onnx_opset_version())
_IR = 10  # the version of the format that opset 21 came with
INLINE = 1 << 30  # bytes of weights up to which they are kept in the file itself; protobuf ends at 2 GB
_OUTSIDE = 1024  # bytes from which a tensor is kept in the file of external data, where there is one
_ALIGN = 4096


def export(
    fn: Callable[..., Any] | Graph | SymbolicGraph,
    inputs: Any = (),
    path: str | os.PathLike[str] | None = None,
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_axes: Mapping[str, Mapping[int, str] | Sequence[int]] | None = None,
    opset: int = 21,
    external: bool | None = None,
    metadata: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Write a function, a module or a captured graph as ONNX, and give the model.

    ``inputs`` is a tensor, array or ``Spec``, or a tuple of such (and of plain values, which stay fixed), or a dict by name.
    Sizes that shall stay open are named, in a Spec (``Spec(("batch", 3), float32)``) or in
    ``dynamic_axes={"x": {0: "batch"}}``.  Weights become initializers under their own names.  ``external`` puts them into the
    file ``path`` + ".data"; left out, that is done beyond 1 GB.
    Raises OnnxError for what ONNX cannot say: complex numbers, state that is written back, sizes it wants fixed.
    """
    if not OPSETS[0] <= opset <= OPSETS[1]:
        raise OnnxError(f"models are written in opset {OPSETS[0]} to {OPSETS[1]} but {opset} was asked for")
    graph, sizes, names = _captured(fn, inputs, input_names, dynamic_axes or {})
    model, tensors = _written(graph, sizes, input_names or names, output_names, opset)
    for k, v in (metadata or {}).items():
        model.metadata_props.add(key=str(k), value=str(v))
    total = sum([a.nbytes for a in tensors.values()])
    outside = external if external is not None else total > INLINE
    if outside and path is None:
        raise OnnxError(f"the weights take {total} bytes and are kept in a file beside the model: export takes a path then")
    if path is None:
        _fill(model, tensors, None)
        _check(model)
    else:
        _save(model, tensors, Path(path), outside)
    return model


# -- the graph -------------------------------------------------------------------------------------


def _captured(
    fn: Any, inputs: Any, names: Sequence[str] | None, dynamic: Mapping[str, Any]
) -> tuple[Graph, dict[str, Any], list[str] | None]:
    """The graph in ops that have a form in ONNX, sizes with names as strings; what polynomial each stands for; inputs' names."""
    known: list[str] | None = None
    try:
        with no_grad():
            if isinstance(fn, (Graph, SymbolicGraph)):
                found: Any = fn
            else:
                found, known = _capture(fn, inputs, names, dynamic)
            lowered = found.lower(writable())
    except KernelError as e:
        said = str(e).partition(";")[0].replace("trace has no kernel for", "ONNX has no operator for")
        raise OnnxError(f"{said}, so it cannot be exported") from e
    if isinstance(lowered, SymbolicGraph):
        return lowered.shown, {str(p): p for p in lowered.places.values()}, known
    return lowered.pruned(), {}, known


def _capture(fn: Any, inputs: Any, names: Sequence[str] | None, dynamic: Mapping[str, Any]) -> tuple[Any, list[str]]:
    kwargs = dict(inputs) if isinstance(inputs, Mapping) else {}
    args = [] if isinstance(inputs, Mapping) else list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    given = iter(names) if names is not None else iter(_parameters(fn, len(args)) + list(kwargs))
    known: list[str] = []

    def spec(a: Any, name: str) -> Any:
        if isinstance(a, (tuple, list)):
            return type(a)([spec(v, f"{name}.{n}") for n, v in enumerate(a)])
        if isinstance(a, np.ndarray):
            a = Spec(a.shape, candle.as_dtype(a.dtype))
        if not isinstance(a, (Spec, Tensor)):
            return a
        known.append(name)
        axes = dynamic.get(name, {})
        axes = axes if isinstance(axes, Mapping) else {d: f"{name}_{d}" for d in axes}
        shape: list[Any] = [*a.shape]
        for d, size in axes.items():
            if not -len(shape) <= d < len(shape):
                raise OnnxError(f"dynamic_axes names the dimension {d} of {name!r}, which has {len(shape)}")
            shape[d] = str(size)
        return Spec(shape, a.dtype)

    args = [spec(a, next(given, f"input{n}")) for n, a in enumerate(args)]
    kwargs = {k: spec(v, next(given, k) if names is not None else k) for k, v in kwargs.items()}
    unknown = sorted(set(dynamic) - set(known))
    if unknown:
        raise OnnxError(f"dynamic_axes names {', '.join(unknown)}, but the inputs are {', '.join(known) or 'none'}")
    return capture(fn, *args, **kwargs), known


def _parameters(fn: Any, n: int) -> list[str]:
    """Names for the inputs: those of the function's parameters."""
    try:
        found = list(inspect.signature(fn.forward if hasattr(fn, "forward") else fn).parameters.values())
    except (TypeError, ValueError):
        found = []
    names = [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][:n]
    return names + [f"input{i}" if n > 1 else "input" for i in range(len(names), n)]


def _leaves(tree: Any, name: str = "") -> list[str]:
    """Names for results by where they stand: keys, and numbers in tuples."""
    if tree is LEAF:
        return [name or "result"]
    if isinstance(tree, Mapping):
        return [x for k, v in tree.items() for x in _leaves(v, f"{name}.{k}" if name else str(k))]
    if hasattr(tree, "_fields"):
        return [x for k, v in zip(tree._fields, tree) for x in _leaves(v, f"{name}.{k}" if name else k)]
    if isinstance(tree, (tuple, list)):
        return [x for n, v in enumerate(tree) for x in _leaves(v, f"{name}.{n}" if name else f"result{n}")]
    return []


# -- the model -------------------------------------------------------------------------------------


def _written(graph: Graph, sizes: Mapping[str, Any], input_names: Sequence[str] | None, output_names: Sequence[str] | None,
             opset: int) -> tuple[onnx.ModelProto, dict[str, Any]]:  # fmt: skip
    """The model without its tensors' contents, and these by name."""
    kept = [o.target for o in graph.outputs if o.target is not None]
    if kept:
        raise OnnxError(
            f"ONNX keeps no state, but this writes {', '.join(kept[:4])} back; call eval() first, or return what is written"
        )
    e = Emitter(opset, sizes)
    args = graph.args
    names = list(input_names) if input_names is not None else [i.name for i in args]
    results = list(output_names) if output_names is not None else _result_names(graph)
    for what, given, wanted in (("input", names, len(args)), ("output", results, len(graph.results))):
        if len(given) != wanted or len(set(given)) != wanted:
            raise OnnxError(f"{what}_names are {wanted} different names but {', '.join(given) or 'none'} were given")
    env: dict[int, str] = {}
    e.reserve([*names, *results])
    for i, name in zip(args, names):
        env[i.value] = e.value(name, i.spec)
    weights: dict[str, Any] = {}
    for i in graph.inputs:
        if i.state:
            name = env[i.value] = e.value(e.name(i.name), i.spec)
            weights[name] = _array(graph.states[i.name], i.name)
    for v, t in graph.constants.items():
        env[v] = e.constant(t.numpy())
        e.specs[env[v]] = t.spec
    _named_sizes(e, args, names, sizes)
    for c in graph.calls:
        e.outs, e.label = c.outs, c.op.name
        try:
            made = e.rows[c.op.name].fn(e, *[None if v is None else env[v] for v in c.inputs], **c.attrs)
        except OnnxError as error:
            operands = ", ".join([str(e.specs[env[v]]) for v in c.inputs if v is not None])
            raise OnnxError(f"{c.op.name} of {operands} has no form in ONNX: {error}") from None
        for r, spec, result in zip(c.results, c.outs, made if isinstance(made, tuple) else (made,)):
            env[r] = e.cast(result, spec.dtype)
            e.specs.setdefault(env[r], spec)
    e.label = ""
    outputs = []
    for o, name in zip(graph.results, results):
        e.nodes.append(helper.make_node("Identity", [e.cast(env[o.value], o.spec.dtype)], [name]))
        outputs.append(_info(name, o.spec))
    _shortened(e, set(results), {*names, *weights, *e.constants})
    used = {x for n in e.nodes for x in n.input}
    tensors = {k: a for k, a in {**weights, **e.constants}.items() if k in used}
    proto = helper.make_graph(e.nodes, graph.name or "graph", [_info(n, i.spec) for i, n in zip(args, names)], outputs)
    for k, a in tensors.items():
        proto.initializer.add(name=k, dims=a.shape, data_type=number_of(candle.as_dtype(a.dtype)))
    made = {"producer_name": "candle", "producer_version": candle.__version__, "ir_version": _ir(opset)}
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", opset)], **made)
    return model, tensors


def _ir(opset: int) -> int:
    return max(_IR, int(helper.find_min_ir_version_for([helper.make_opsetid("", opset)])))


def _result_names(graph: Graph) -> list[str]:
    found = _leaves(graph.tree)
    return found if len(found) == len(graph.results) == len(set(found)) else [o.name for o in graph.results]


def _array(x: Tensor, name: str) -> Any:
    try:
        number_of(x.dtype)
    except KeyError:
        raise OnnxError(f"the weight {name} is {x.spec}, a type that ONNX has not; dequantize or cast it first") from None
    return np.asarray(x.detach().numpy())


def _info(name: str, spec: Spec) -> Any:
    return helper.make_tensor_value_info(name, number_of(spec.dtype), [*spec.shape])


def _named_sizes(e: Emitter, args: Sequence[Input], names: Sequence[str], sizes: Mapping[str, Any]) -> None:
    """Read each named size off the first input that has it."""
    wanted = {s for p in sizes.values() for s in p.symbols}
    for i, name in zip(args, names):
        for d, n in enumerate(i.spec.shape):
            if isinstance(n, str) and n in wanted and n not in e.symbols:
                e.label = f"size_{n}"
                e.symbols[n] = e.node("Shape", name, start=d, end=d + 1)
    e.label = ""


def _shortened(e: Emitter, results: set[str], fixed: set[str]) -> None:
    """Give the nodes that make results their names, in place of Identity nodes after them."""
    maker = {o: n for n in e.nodes for o in n.output}
    takers: dict[str, int] = {}
    for n in e.nodes:
        for x in n.input:
            takers[x] = takers.get(x, 0) + 1
    kept = []
    renamed: dict[str, str] = {}
    for n in e.nodes:
        if n.op_type == "Identity" and n.output[0] in results and n.input[0] not in fixed and n.input[0] not in renamed:
            made = maker.get(n.input[0])
            if made is not None and n.input[0] not in results:
                renamed[n.input[0]] = n.output[0]
                continue
        kept.append(n)
    for n in kept:
        for names in (n.input, n.output):
            for at, x in enumerate(names):
                if x in renamed:
                    names[at] = renamed[x]
    need = set(results)
    alive = []
    for n in reversed(kept):
        if any(o in need for o in n.output):
            alive.append(n)
            need.update(n.input)
    e.nodes = alive[::-1]


# -- on disk ---------------------------------------------------------------------------------------


def _fill(model: onnx.ModelProto, tensors: Mapping[str, Any], most: int | None) -> None:
    """Put the tensors' contents into the model: all, or those of fewer bytes than ``most``."""
    for t in model.graph.initializer:
        array = tensors[t.name]
        if most is None or array.nbytes < most:
            t.raw_data = _bytes(array)


def _bytes(array: Any) -> bytes:
    """An array as ONNX has it: little-endian, two numbers of 4 bits in a byte, the first one lower."""
    name = candle.as_dtype(array.dtype).name
    flat = np.ascontiguousarray(array).reshape(-1)
    if name in ("int4", "uint4", "float4_e2m1fn"):
        nibbles = (flat.view(np.uint8) & 15) if name == "float4_e2m1fn" else (flat.astype(np.int8).view(np.uint8) & 15)
        nibbles = np.concatenate([nibbles, np.zeros(len(nibbles) % 2, np.uint8)])
        return (nibbles[::2] | nibbles[1::2] << 4).astype(np.uint8).tobytes()
    return flat.astype(flat.dtype.newbyteorder("<"), copy=False).tobytes() if flat.dtype.kind in "iufc" else flat.tobytes()


def _check(model: Any) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as e:
        raise OnnxError(f"what was written is not right, which is a fault of candle-onnx: {e}") from e


def _save(model: onnx.ModelProto, tensors: Mapping[str, Any], path: Path, outside: bool) -> None:
    """Write the model, and the file of external data before it; neither is left half written."""
    parts = [path.with_name(path.name + ".part")]
    try:
        if outside:
            parts.append(path.with_name(path.name + ".data.part"))
            _save_outside(model, tensors, parts[1], path.name + ".data")
            _fill(model, tensors, _OUTSIDE)
        else:
            _fill(model, tensors, None)
            _check(model)
        parts[0].write_bytes(model.SerializeToString())
        if outside:
            os.replace(parts[1], path.with_name(path.name + ".data"))
        os.replace(parts[0], path)
        if outside:
            _check(str(path))
    finally:
        for p in parts:
            p.unlink(missing_ok=True)


def _save_outside(model: onnx.ModelProto, tensors: Mapping[str, Any], part: Path, location: str) -> None:
    with open(part, "wb") as f:
        for t in model.graph.initializer:
            array = tensors[t.name]
            if array.nbytes < _OUTSIDE:
                continue
            f.write(b"\0" * (-f.tell() % _ALIGN))
            begin = f.tell()
            f.write(_bytes(array))
            t.data_location = TensorProto.EXTERNAL
            for k, v in (("location", location), ("offset", begin), ("length", f.tell() - begin)):
                t.external_data.add(key=k, value=str(v))
