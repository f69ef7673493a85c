"""The standard's elementwise functions, each over an op of the table."""

from __future__ import annotations

import builtins
import math
from typing import Any, Callable

import numpy as np

from .. import create
from .. import dtype as dt
from ..op import OPS
from ..tensor import Tensor, run
from .array import Array, binary, cast, promote, scalar_dtype, together, unwrap

_UNARY = {
    "abs": ("abs", "iufc"), "acos": ("acos", "fc"), "acosh": ("acosh", "fc"), "asin": ("asin", "fc"), "asinh": ("asinh", "fc"),
    "atan": ("atan", "fc"), "atanh": ("atanh", "fc"), "bitwise_invert": ("bitwise_not", "biu"), "ceil": ("ceil", "iuf"),
    "conj": ("conj_physical", "iufc"), "cos": ("cos", "fc"), "cosh": ("cosh", "fc"), "exp": ("exp", "fc"),
    "expm1": ("expm1", "fc"), "floor": ("floor", "iuf"), "imag": ("imag", "c"), "isfinite": ("isfinite", "iufc"),
    "isinf": ("isinf", "iufc"), "isnan": ("isnan", "iufc"), "log": ("log", "fc"), "log1p": ("log1p", "fc"),
    "log2": ("log2", "fc"), "log10": ("log10", "fc"), "logical_not": ("logical_not", "b"), "negative": ("neg", "iufc"),
    "positive": ("alias", "iufc"), "real": ("real", "iufc"), "reciprocal": ("reciprocal", "fc"), "round": ("round", "iufc"),
    "sign": ("sign", "iufc"), "signbit": ("signbit", "f"), "sin": ("sin", "fc"), "sinh": ("sinh", "fc"),
    "square": ("square", "iufc"), "sqrt": ("sqrt", "fc"), "tan": ("tan", "fc"), "tanh": ("tanh", "fc"),
    "trunc": ("trunc", "iuf"),
}  # fmt: skip
_BINARY = {
    "add": ("add", "iufc"), "atan2": ("atan2", "f"), "bitwise_and": ("bitwise_and", "biu"), "bitwise_or": ("bitwise_or", "biu"),
    "bitwise_xor": ("bitwise_xor", "biu"), "bitwise_left_shift": ("bitwise_left_shift", "iu"),
    "bitwise_right_shift": ("bitwise_right_shift", "iu"), "copysign": ("copysign", "f"), "divide": ("div", "fc"),
    "equal": ("eq", "biufc"), "floor_divide": ("floor_divide", "iuf"), "greater": ("gt", "iuf"), "greater_equal": ("ge", "iuf"),
    "hypot": ("hypot", "f"), "less": ("lt", "iuf"), "less_equal": ("le", "iuf"), "logaddexp": ("logaddexp", "f"),
    "logical_and": ("logical_and", "b"), "logical_or": ("logical_or", "b"), "logical_xor": ("logical_xor", "b"),
    "maximum": ("maximum", "iuf"), "minimum": ("minimum", "iuf"), "multiply": ("mul", "iufc"), "nextafter": ("nextafter", "f"),
    "not_equal": ("ne", "biufc"), "pow": ("pow", "iufc"), "remainder": ("remainder", "iuf"), "subtract": ("sub", "iufc"),
}  # fmt: skip
# Ops that the table declares for inexact numbers and that leave integers as they are.
_IDENTITY_ON_INTEGERS = {"ceil", "floor", "round", "trunc", "conj", "real"}


def _unary(name: str, op: str, kinds: str) -> Callable[[Array], Array]:
    def function(x: Any, /) -> Array:
        t = unwrap(x)
        if t.dtype.kind not in kinds:
            raise TypeError(f"{name} takes arrays of kind {kinds!r} but was given {t.spec}; use astype")
        if name in _STRICT:
            return Array(_STRICT[name](t))
        if (name in _IDENTITY_ON_INTEGERS and t.dtype.kind in "biu") or (name in ("conj", "real") and t.dtype.kind == "f"):
            return Array(t.clone())
        if name == "round" and t.dtype.kind == "c":
            return Array(OPS["complex"](OPS["round"](t.real), OPS["round"](t.imag)))
        if name in ("isnan", "isinf", "isfinite") and t.dtype.kind in "iu":
            return Array(create.full_like(t, name == "isfinite", dtype=dt.bool_))
        return Array(run(OPS[op], (t,), {}))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = OPS[op].doc
    return function


def _binary(name: str, op: str, kinds: str) -> Callable[[Array, Array], Array]:
    def function(x1: Any, x2: Any, /) -> Array:
        a, b = together(x1, x2)
        if a.dtype.kind not in kinds:
            raise TypeError(f"{name} takes arrays of kind {kinds!r} but was given {a.dtype}; use astype")
        return Array(binary(op, a, b))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = OPS[op].doc
    return function


def _sign(t: Tensor) -> Tensor:
    """NaN stays NaN, where PyTorch's sign gives 0; of a complex number its direction, of zero zero."""
    if t.dtype.kind == "f":
        return OPS["where"](t.isnan(), t, t.sign())
    if t.dtype.kind == "c":
        size = t.abs()
        return OPS["where"](size == 0, 0, t / OPS["where"](size == 0, 1, size))
    return t.sign()


def _expm1(t: Tensor) -> Tensor:
    """Of complex numbers with the standard's values at infinities and NaN, and without cancellation near zero."""
    if t.dtype.kind != "c":
        return t.expm1()
    x, y = t.real, t.imag
    half = (y / 2).sin()
    grown = x.exp()
    real = x.expm1() * y.cos() - half * half * 2
    imag = grown * y.sin()
    flat = y == 0
    low = (x == -math.inf) & ~y.isfinite()
    high = (x == math.inf) & ~y.isfinite()
    where_ = OPS["where"]
    real = where_(flat, x.expm1() + 0.0, where_(low, -1, where_(high, math.inf, real)))  # a zero without its sign
    imag = where_(flat, y, where_(low, 0, where_(high, math.nan, imag)))
    return OPS["complex"](real, imag)


def _tanh(t: Tensor) -> Tensor:
    """Of infinite complex numbers 1 or -1 and a zero of the imaginary part's sign, where C's ctanh looks at sin(2 imag)."""
    y = t.tanh()
    if t.dtype.kind != "c":
        return y
    x, at = t.real, t.imag
    zero = OPS["copysign"](at.zeros_like(), at)
    return OPS["where"](x.isinf() & at.isfinite(), OPS["complex"](x.sign(), zero), y)


def _tan(t: Tensor) -> Tensor:
    """Of complex numbers -i tanh(i x), as the standard has it."""
    if t.dtype.kind != "c":
        return t.tan()
    turned = _tanh(OPS["complex"](-t.imag, t.real))
    return OPS["complex"](turned.imag, -turned.real)


# Functions whose values at special points differ from the op's, which are PyTorch's.
_STRICT: dict[str, Callable[[Tensor], Tensor]] = {"sign": _sign, "expm1": _expm1, "tan": _tan, "tanh": _tanh}

for _name, (_op, _kinds) in _UNARY.items():
    globals()[_name] = _unary(_name, _op, _kinds)
for _name, (_op, _kinds) in _BINARY.items():
    globals()[_name] = _binary(_name, _op, _kinds)


def clip(x: Array, /, min: Any = None, max: Any = None) -> Array:
    """x limited to [min, max]; NaN where any of the three is."""
    t = unwrap(x)
    for bound, which in ((min, "maximum"), (max, "minimum")):
        if bound is None:
            continue
        b = unwrap(bound) if isinstance(bound, Array) else None
        if b is not None and promote(t.dtype, b.dtype) is not t.dtype and t.dtype.kind != "f":
            raise TypeError(f"clip limits {t.dtype} to numbers that it holds but was given {b.dtype}; use astype")
        if b is None:
            scalar_dtype(bound, t.dtype)
            if t.dtype.kind in "iu":
                limits = np.iinfo(t.dtype.numpy)
                bound = builtins.min(builtins.max(int(bound), limits.min), limits.max)
            b = create.tensor(np.asarray(bound, t.dtype.numpy), device=t.backend)
        t = run(OPS[which], (t, cast(b, t.dtype)), {})
    return Array(t)


__all__ = [*_UNARY, *_BINARY, "clip"]
