"""Writing ONNX: the table of candle's ops with their form in ONNX's operators, and the graph that they are written into."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import helper

import candle
from candle import DType, Spec
from candle.backend import Reference
from candle.op import Op
from candle.symbolic import Polynomial
from candle.tensor import no_grad, untraced

from .errors import OnnxError
from .values import number_of

__all__ = ["ROWS", "Emitter", "Writable", "writable", "writes"]


class Row(NamedTuple):
    """How an op is written: ``fn(e, *names, **attrs)`` gives the name of its result; ``when`` says from specs whether it can.

    ``single``: runtimes have no kernel of the operator for float64, which is written by the expansion.
    """

    fn: Callable[..., Any]
    when: Callable[..., bool] | None
    single: bool


ROWS: dict[str, Row] = {}


def writes(name: str, when: Callable[..., bool] | None = None, single: bool = False) -> Callable[[Any], Any]:
    """Enter the form of an op; ``when(*specs, **attrs)`` may restrict it, and else the op is written by its expansion."""

    def enter(fn: Any) -> Any:
        ROWS[name] = Row(fn, when, single)
        return fn

    return enter


@functools.cache
def load_rows() -> Mapping[str, Row]:
    import importlib
    import pkgutil

    from . import writers

    for module in pkgutil.iter_modules(writers.__path__):
        importlib.import_module(f"{writers.__name__}.{module.name}")
    return ROWS


class Writable(Reference):
    """What a graph is lowered to: the ops that have a form in ONNX.  Constants are folded by the reference."""

    name = "onnx"

    def __init__(self) -> None:
        super().__init__()
        self.rows = load_rows()

    def kernel(self, op: Op, out: Any, specs: Sequence[Spec | None], attrs: Mapping[str, Any]) -> Any:
        row = self.rows.get(op.name)
        if row is None or (row.when is not None and not row.when(*specs, **attrs)):
            return None
        if row.single and any(s is not None and s.dtype is candle.float64 for s in specs):
            return None
        return super().kernel(op, out, specs, attrs) or functools.partial(_composite, op)


@functools.cache
def writable() -> Writable:
    """The one target; what it decided about calls is kept with it."""
    return Writable()


def _composite(op: Op, out: Any, *xs: Any, **attrs: Any) -> Any:
    with untraced(), no_grad():
        made = op.fn(*[None if x is None else candle.tensor(x, device="numpy") for x in xs], **attrs)
    return tuple([m.value for m in made]) if op.multiple else made.value


# -- types -----------------------------------------------------------------------------------------


def spelled(dtype: DType) -> str:
    """A type as ONNX's schemas spell it."""
    name = {"float32": "float", "float64": "double", "float4_e2m1fn": "float4e2m1"}.get(dtype.name, dtype.name)
    return f"tensor({name.replace('_', '')})"


_BY_SPELLING = {spelled(d): d for d in map(candle.as_dtype, (
    "bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64",
))}  # fmt: skip
# Where an operator does not take a type: what its operands are cast to, and the result back from.
_WIDER = {
    "bool": ("int32", "uint8", "int64", "float32"), "uint8": ("int32", "int64", "float32"), "int8": ("int32", "int64", "float32"),
    "uint16": ("int32", "int64", "float32"), "int16": ("int32", "int64", "float32"), "int32": ("int64", "float64"),
    "uint32": ("int64", "float64"), "uint64": ("int64", "float64"), "int64": ("float64",),
    "float16": ("float32",), "bfloat16": ("float32",), "float64": ("float32",),
}  # fmt: skip
# Schemas admit more types than runtimes have kernels for: what those of onnxruntime take.
_FLOATS = {"float16", "bfloat16", "float32", "float64"}
_NUMBERS = {"int32", "int64"} | _FLOATS
_NARROW = {
    **dict.fromkeys(
        ("Abs Add Clip CumSum Div Einsum MatMul Mul Neg Pow Range ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
         "ScatterElements Sub TopK").split(), _NUMBERS,
    ),
    **dict.fromkeys("Max Min Mod".split(), {"uint32", "uint64"} | _NUMBERS),
    **dict.fromkeys("Greater GreaterOrEqual Less LessOrEqual".split(), {"uint64"} | _NUMBERS),
    **dict.fromkeys("ArgMax ArgMin".split(), {"int32"} | _FLOATS),
    "Equal": {"bool", "uint64"} | _NUMBERS,
    "Where": {"uint8"} | _NUMBERS,
    "Pad": {"bool", "int8", "uint8", "uint32", "uint64"} | _NUMBERS,
}  # fmt: skip


@functools.cache
def schema_of(op_type: str, opset: int) -> Any:
    return onnx.defs.get_schema(op_type, opset, "")


@functools.cache
def admitted(op_type: str, variable: str, opset: int) -> frozenset[str]:
    """The names of the types that a type variable of an operator may be."""
    schema = schema_of(op_type, opset)
    found: Sequence[str] = next((c.allowed_type_strs for c in schema.type_constraints if c.type_param_str == variable), [])
    return frozenset(_BY_SPELLING[t].name for t in found if t in _BY_SPELLING)


# -- the graph -------------------------------------------------------------------------------------


class Emitter:
    """A graph being written.  ``e.Relu(x)`` writes a node and gives the name of its result, or names with ``outputs=2``.

    Operands of a type that the operator does not take are cast to one that it does, and the result back.
    """

    def __init__(self, opset: int, sizes: Mapping[str, Polynomial] | None = None) -> None:
        self.opset, self.sizes = opset, dict(sizes or {})
        self.rows = load_rows()
        self.nodes: list[Any] = []
        self.constants: dict[str, Any] = {}
        self.kinds: dict[str, DType] = {}  # of every value
        self.specs: dict[str, Spec] = {}  # of the graph's values
        self.outs: tuple[Spec, ...] = ()  # of the call being written
        self.symbols: dict[str, str] = {}  # each named size as a tensor of one number
        self.label = ""
        self._taken: set[str] = set()
        self._small: dict[Any, str] = {}
        self._sizes: dict[str, str] = {}

    def __getattr__(self, op_type: str) -> Callable[..., Any]:
        if not op_type[:1].isupper():
            raise AttributeError(op_type)
        return functools.partial(self.node, op_type)

    @property
    def out(self) -> Spec:
        """The spec of the call's first result."""
        return self.outs[0]

    def name(self, wanted: str) -> str:
        """A name that is not taken, like this one."""
        found, n = wanted, 0
        while found in self._taken:
            n += 1
            found = f"{wanted}_{n}"
        self._taken.add(found)
        return found

    def reserve(self, names: Sequence[str]) -> None:
        """Keep names for inputs and results."""
        self._taken.update(names)

    def value(self, name: str, spec: Spec) -> str:
        """Enter an input or a weight."""
        self.kinds[name], self.specs[name] = spec.dtype, spec
        return name

    def node(self, op_type: str, *inputs: str | None, outputs: int = 1, dtype: DType | None = None, **attributes: Any) -> Any:
        schema = schema_of(op_type, self.opset)
        formals = [schema.inputs[min(i, len(schema.inputs) - 1)].type_str for i in range(len(inputs))]
        have: dict[str, DType] = {}
        for x, variable in zip(inputs, formals):
            if x is not None:
                have.setdefault(variable, self.kinds[x])
        use = {v: self._taken_type(op_type, v, d) for v, d in have.items()}
        given = [x if x is None else self.cast(x, use[v]) for x, v in zip(inputs, formals)]
        while given and given[-1] is None:
            given.pop()
        names = [self.name(self.label or op_type.lower()) for _ in range(outputs)]
        said = {k: v for k, v in attributes.items() if v is not None}
        self.nodes.append(helper.make_node(op_type, [x or "" for x in given], names, self.name(f"node_{names[0]}"), **said))
        results = []
        for at, name in enumerate(names):
            variable = schema.outputs[min(at, len(schema.outputs) - 1)].type_str
            made = use.get(variable) or _BY_SPELLING.get(variable) or dtype
            if made is None:
                (only,) = admitted(op_type, variable, self.opset)
                made = candle.as_dtype(only)
            self.kinds[name] = made
            results.append(self.cast(name, have[variable]) if variable in have else name)
        return results[0] if outputs == 1 else tuple(results)

    def _taken_type(self, op_type: str, variable: str, dtype: DType) -> DType:
        if variable in _BY_SPELLING:
            return _BY_SPELLING[variable]
        able = admitted(op_type, variable, self.opset)
        if op_type in _NARROW and not able.isdisjoint(_NARROW[op_type]):
            able = able & _NARROW[op_type]
        if dtype.name in able:
            return dtype
        for wider in _WIDER.get(dtype.name, ()):
            if wider in able:
                return candle.as_dtype(wider)
        raise OnnxError(f"ONNX's {op_type} does not take {dtype}")

    def cast(self, x: str, dtype: DType) -> str:
        """A value in another type; itself where it is of that type."""
        if self.kinds[x] is dtype:
            return x
        if self.kinds[x].kind == "c" or dtype.kind == "c":
            raise OnnxError(f"ONNX's Cast does not take {self.kinds[x]} to {dtype}: it has no complex numbers")
        made = self.name(self.label or "cast")
        self.nodes.append(helper.make_node("Cast", [x], [made], self.name(f"node_{made}"), to=number_of(dtype)))
        self.kinds[made] = dtype
        return made

    # -- constants ----------------------------------------------------------------------------------

    def constant(self, value: Any, dtype: Any = None, name: str = "") -> str:
        """An initializer: an array, or what NumPy makes one of."""
        array = np.asarray(value) if dtype is None else np.asarray(value).astype(candle.as_dtype(dtype).numpy)
        key = (array.dtype.name, array.shape, array.tobytes()) if array.size <= 16 and not name else None
        if key is not None and key in self._small:
            return self._small[key]
        made = self.name(name or "constant")
        self.constants[made], self.kinds[made] = array, candle.as_dtype(array.dtype)
        if key is not None:
            self._small[key] = made
        return made

    def like(self, x: str, value: Any) -> str:
        """One number in the type of a value."""
        return self.constant(value, self.kinds[x])

    def ints(self, values: Sequence[Any]) -> str:
        """Integers as a tensor of one dimension; named sizes among them are computed."""
        if not any(isinstance(v, str) for v in values):
            return self.constant(np.array(list(values), np.int64))
        parts, fixed = [], []
        for v in [*values, None]:
            if isinstance(v, int):
                fixed.append(v)
                continue
            if fixed:
                parts.append(self.constant(np.array(fixed, np.int64)))
                fixed = []
            if v is not None:
                parts.append(self.size(v))
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=0)

    def size(self, text: str) -> str:
        """A size said with names, as a tensor of one number."""
        if text in self._sizes:
            return self._sizes[text]
        poly = self.sizes[text]
        scale = math.lcm(*[c.denominator for c, _ in poly.terms])
        total = None
        for c, powers in poly.terms:
            factor = int(c * scale)
            term = None
            for s, p in zip(poly.symbols, powers):
                for _ in range(p):
                    term = self.symbols[s] if term is None else self.node("Mul", term, self.symbols[s])
            if term is None:
                term = self.constant(np.array([factor], np.int64))
            elif factor != 1:
                term = self.node("Mul", term, self.constant(np.array([factor], np.int64)))
            total = term if total is None else self.node("Add", total, term)
        assert total is not None
        if scale != 1:
            total = self.node("Div", total, self.constant(np.array([scale], np.int64)))
        self._sizes[text] = total
        return total

    def static(self, values: Any, what: str) -> Any:
        """Integers that ONNX takes as an attribute, and so cannot depend on named sizes."""
        found = [values] if isinstance(values, (int, str)) else list(values)
        if any(isinstance(v, str) for v in found):
            raise OnnxError(f"ONNX takes {what} as fixed numbers, but here they are {', '.join(map(str, found))}; fix that size")
        return values if isinstance(values, int) else [int(v) for v in found]

    def shaped(self, x: str, shape: Sequence[Any], before: Sequence[Any]) -> str:
        """A value in another shape, its own being ``before``; named sizes are taken from there where they can be."""
        unknown = [i for i, n in enumerate(shape) if isinstance(n, str)]
        if not unknown:
            return str(self.node("Reshape", x, self.ints(shape), allowzero=1 if 0 in shape else None))
        kept = [i for i in unknown if i < len(before) and before[i] == shape[i]]
        rest = [i for i in unknown if i not in kept]
        if 0 in shape or len(rest) > 1:
            return str(self.node("Reshape", x, self.ints(shape)))
        to = [0 if i in kept else -1 if i in rest else n for i, n in enumerate(shape)]
        return str(self.node("Reshape", x, self.ints(to)))


def symbolic(values: Any) -> bool:
    """Whether a named size is among (nested) attributes."""
    if isinstance(values, (tuple, list)):
        return any(symbolic(v) for v in values)
    return isinstance(values, str)
