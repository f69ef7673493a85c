"""Type stubs made from the op table: the namespace ``candle`` and the methods of Tensor that are attached to it."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import keyword
import re
from pathlib import Path
from typing import Any, Callable, Iterator

from ..op import FUNCTIONS, OPS, Op
from ..tensor import Tensor

_HEAD = '"""Made by `make docs` from the op table; do not edit."""\n'
_IMPORTS = ("import builtins as _b", "from typing import Any, Callable, Sequence", "")
_KINDS = {
    "int": "_b.int", "float": "_b.float", "bool": "_b.bool", "str": "_b.str", "Dim": "_b.int", "NewDim": "_b.int",
    "Dims": "_b.int | Sequence[_b.int] | None", "Ints": "_b.int | Sequence[_b.int]", "Shape": "Sequence[_b.int]",
}  # fmt: skip
_SPELLED = {"axis": "dim", "keepdims": "keepdim", "axes": "dims"}
_WORDS = {"Any": "Any", "None": "None", "int": "_b.int", "float": "_b.float", "bool": "_b.bool", "str": "_b.str",
          "list": "_b.list",
          "tuple": "_b.tuple", "dict": "_b.dict", "Tensor": "Tensor", "Sequence": "Sequence", "Callable": "Callable"}  # fmt: skip


def _type(note: Any) -> str:
    """An annotation in words that a stub knows; Any where it has others."""
    if note is inspect.Parameter.empty or note is None:
        return "Any" if note is not None else "None"
    text = note if isinstance(note, str) else getattr(note, "__name__", "Any")
    names = set(re.findall(r"[A-Za-z_][\w.]*", text))
    if not names <= set(_WORDS) or "'" in text:
        return "Any"
    return re.sub(r"[A-Za-z_]\w*", lambda m: _WORDS[m.group()], text)


def _name(name: str) -> str:
    return name + "_" if keyword.iskeyword(name) else name


def _op_parameters(op: Op, method: bool) -> Iterator[str]:
    """The parameters of a call of an op, as a user may give them."""
    operands = list(op.operands)
    inputs = dict(zip(operands, op.inputs))
    if method:
        yield "self"
        operands = operands[1:]
    optional = False
    if op.order is not None:
        names = [n for n in op.order if not method or n != op.operands[0]]
        for n in names:
            yield f"{_name(n)}: Any = ..."
        yield from (f"{_name(k)}: Any = ..." for k in [*operands, *op.attrs] if k not in op.order)
        return
    for n in operands:
        if inputs[n].variadic:
            yield f"*{_name(n)}: Any"
            continue
        optional |= inputs[n].optional
        yield f"{_name(n)}: Any" + (" = ..." if optional else "")
    starred = op.variadic and not (method and len(op.operands) == 1)
    for k, default in op.attrs.items():
        kind = _KINDS.get(op._annotations[k], "Any")
        if default is None and "None" not in kind and kind != "Any":
            kind += " | None"
        if k == op.star and not starred:
            starred = True
            yield f"*{_name(k)}: Any"
            continue
        needed = default is inspect.Parameter.empty and (not optional or starred)
        optional |= not needed
        yield f"{_name(k)}: {kind}" + ("" if needed else " = ...")
    others = [a for a, k in _SPELLED.items() if k in op.attrs and a not in op.attrs and k != op.star]
    if others and not starred:
        yield "*"
    yield from (f"{a}: Any = ..." for a in others)


def _results(op: Op) -> str:
    return f"_b.tuple[{', '.join(['Tensor'] * len(op.outputs))}]" if op.multiple else "Tensor"


def _function_parameters(fn: Callable[..., Any], method: bool) -> Iterator[str]:
    starred = False
    for at, p in enumerate(inspect.signature(fn).parameters.values()):
        if method and at == 0:
            yield "self"
            if p.kind is p.VAR_POSITIONAL:
                yield f"*{p.name}: Any"
                starred = True
            continue
        if p.kind is p.VAR_POSITIONAL:
            starred = True
        if p.kind is p.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        mark = "*" if p.kind is p.VAR_POSITIONAL else "**" if p.kind is p.VAR_KEYWORD else ""
        yield f"{mark}{_name(p.name)}: {_type(p.annotation)}" + ("" if p.default is p.empty else " = ...")


def _definition(name: str, value: Any, method: bool, indent: str = "") -> str:
    value = getattr(value, "__dict__", {}).get("alias", value)
    if isinstance(value, Op):
        parameters, result = _op_parameters(value, method), _results(value)
    else:
        parameters, result = _function_parameters(value, method), _type(inspect.signature(value).return_annotation)
    return f"{indent}def {name}({', '.join(parameters)}) -> {result}: ..."


# -- Tensor's methods ------------------------------------------------------------------------------


def _own_methods() -> set[str]:
    """What the class body of Tensor defines itself."""
    tree = ast.parse((Path(__file__).parent.parent / "tensor.py").read_text(encoding="utf-8"))
    body = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Tensor").body
    return {n.name for n in body if isinstance(n, ast.FunctionDef)} | {"__slots__", "__array_priority__"}


def methods() -> str:
    """The stub of the class that Tensor is, to a type checker, a subclass of."""
    lines = [_HEAD, *_IMPORTS, "from .tensor import Tensor", "", "class TensorMethods:"]
    own = _own_methods()
    for name in sorted(vars(Tensor)):
        value = vars(Tensor)[name]
        if (
            name in own
            or not callable(value)
            or not name.isidentifier()
            or name in ("__init__", "__new__", "__doc__", "__module__")
        ):
            continue
        if name.startswith("__"):
            unary = name in ("__neg__", "__pos__", "__invert__", "__abs__")
            ignored = "  # type: ignore[override]" if name in ("__eq__", "__ne__") else ""
            lines.append(f"    def {name}(self{'' if unary else ', other: Any'}) -> Tensor: ...{ignored}")
        elif name.endswith("_") and name[:-1] in vars(Tensor):
            lines.append(f"    def {name}(self, *args: Any, **attrs: Any) -> Tensor: ...")
        elif getattr(value, "__qualname__", "").startswith("Tensor.") and name in OPS:
            lines.append(_definition(name, OPS[name], True, "    "))
        else:
            lines.append(_definition(name, value, True, "    "))
    return "\n".join(lines) + "\n"


# -- candle's namespace ----------------------------------------------------------------------------


def _import(module: str, attribute: str, name: str) -> str:
    return f"from .{module} import {attribute} as {name}"


def namespace() -> str:
    """The stub of the package ``candle``."""
    package: Any = importlib.import_module("candle")
    imports: set[str] = {_import("dtype", "DType", "DType")}
    defined: list[str] = []
    for name, where in package._LAZY.items():
        module, _, attribute = where.partition(":")
        if importlib.util.find_spec(f"candle.{module}") is not None:
            imports.add(_import(module, attribute, name) if attribute else f"from . import {name} as {name}")
    # Which submodules happen to be loaded must not matter: only what the package itself names.
    public = {**OPS, **FUNCTIONS, **package._public}
    public.update({k: v for k, v in vars(package).items() if k not in public and not inspect.ismodule(v)})
    for name, value in sorted(public.items()):
        if (
            name.startswith("_")
            or not name.isidentifier()
            or keyword.iskeyword(name)
            or name in {*package._LAZY, "annotations", "dtype"}
        ):
            continue
        if isinstance(value, Op) and not value.fn.__module__.startswith("candle."):
            continue
        shadow = value.__name__ if inspect.isclass(value) or inspect.isfunction(value) else ""
        if isinstance(value, Op) or (FUNCTIONS.get(name) is value and callable(value)):
            defined.append(_definition(name, value, False))
        elif getattr(value, "__qualname__", "").startswith("Tensor."):
            defined.append(_definition(name, value, False).replace("(self", "(x", 1))
        elif isinstance(value, float) or name == "newaxis":
            defined.append(f"{name}: {'_b.float' if isinstance(value, float) else 'None'}")
        elif type(value).__name__ == "DType":
            defined.append(f"{name}: DType")
        elif shadow and value.__module__.startswith("candle."):
            imports.add(_import(value.__module__.removeprefix("candle."), value.__qualname__, name))
        elif name in ("OPS", "FUNCTIONS"):
            imports.add(_import("op", name, name))
    lines = [_HEAD, *_IMPORTS, "from . import device as device_module", "from . import dtype as dtype"]
    return "\n".join([*lines, *sorted(imports), "", "__version__: _b.str", *defined]) + "\n"
