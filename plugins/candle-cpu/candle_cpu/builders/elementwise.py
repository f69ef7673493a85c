"""Builders of elementwise ops: mostly the kernel of the op's own name, computed in float32 for halves."""

from __future__ import annotations

from functools import partial
from typing import Any

from candle import dtype as dt
from candle.op import Spec

from .. import _engine
from ..dtypes import code
from .base import BUILDERS, builder, kernel, wide

PLAIN = (
    "abs", "acos", "acosh", "add", "asin", "asinh", "atan", "atan2", "atanh", "bitwise_and", "bitwise_left_shift", "bitwise_not",
    "bitwise_or", "bitwise_right_shift", "bitwise_xor", "ceil", "complex", "conj_physical", "copysign", "cos", "cosh", "div",
    "eq", "erf", "erfc", "exp", "exp2", "expm1", "floor", "floor_divide", "fmax", "fmin", "fmod", "gcd", "ge", "gt",
    "hardsigmoid", "hardswish", "hypot", "imag", "isfinite", "isinf", "isnan", "lcm", "le", "log", "log10", "log1p", "log2",
    "logaddexp", "logaddexp2", "logsigmoid", "lt", "maximum", "minimum", "mish", "mul", "ne", "neg", "pow", "real", "reciprocal",
    "relu", "remainder", "rsqrt", "sigmoid", "sign", "signbit", "silu", "sin", "sinh", "sqrt", "square", "sub", "tan", "tanh",
    "trunc", "trunc_divide",
)  # fmt: skip
_WHOLE = {"ceil", "floor", "round", "trunc"}  # which leave whole numbers as they are


def _plain(name: str, out: Spec, *specs: Spec, **attrs: Any) -> Any:
    dtype = specs[0].dtype
    if (name in _WHOLE and dtype.kind in "iu") or (name == "abs" and dtype.kind == "u") or (name == "real" and dtype.kind != "c"):
        return _engine.same
    return kernel(name, wide(dtype), out, len(specs), work=out.size * 4)


for _name in PLAIN:
    BUILDERS[_name] = partial(_plain, _name)


@builder("nextafter")
def nextafter(out: Spec, a: Spec, b: Spec) -> Any:
    return None if a.dtype in dt.HALVES else _plain("nextafter", out, a, b)


@builder("round")
def round_(out: Spec, x: Spec, *, decimals: int) -> Any:
    return _plain("round", out, x) if decimals == 0 else None


for _name in ("logical_and", "logical_or", "logical_xor", "logical_not"):
    BUILDERS[_name] = lambda out, *specs, _name=_name: kernel(_name, dt.bool_, out, len(specs), work=out.size * 4)


@builder("cast")
def cast(out: Spec, x: Spec, *, dtype: dt.DType) -> Any:
    if x.dtype is dtype:
        return _engine.same
    if not _engine.can_convert(code(x.dtype), code(dtype)):
        return None
    return kernel("cast", x.dtype, out, 1, work=out.size * 4)


_BY_SIZE = {1: dt.uint8, 2: dt.uint16, 4: dt.uint32, 8: dt.uint64, 16: dt.complex128}


@builder("where")
def where(out: Spec, condition: Spec, a: Spec, b: Spec) -> Any:
    return kernel("where", _BY_SIZE[a.dtype.itemsize], out, 3, work=out.size * 4)


@builder("clamp")
def clamp(out: Spec, x: Spec, low: Spec | None, high: Spec | None) -> Any:
    if low is not None and high is not None:
        return kernel("clamp", wide(x.dtype), out, 3, work=out.size * 4)
    return kernel("minimum" if low is None else "maximum", wide(x.dtype), out, 3, work=out.size * 4)


def _with(name: str, *numbers: str, halves: bool = True) -> None:
    """An op whose kernel takes some of its attributes as numbers."""

    def build(out: Spec, *specs: Spec, **attrs: Any) -> Any:
        if specs[0].dtype in dt.HALVES and not halves:
            return None
        return kernel(name, wide(specs[0].dtype), out, len(specs), floats=[attrs[n] for n in numbers], work=out.size * 8)

    BUILDERS[name] = build


_with("leaky_relu", "negative_slope")
_with("elu", "alpha")
_with("softplus", "beta", "threshold")
_with("affine", "mul", "add")
_with("addcmul", "value", halves=False)  # the expansion of these two rounds halves at each step, as PyTorch does
_with("addcdiv", "value", halves=False)


@builder("gelu")
def gelu(out: Spec, x: Spec, *, approximate: str) -> Any:
    return kernel("gelu_tanh" if approximate == "tanh" else "gelu", wide(x.dtype), out, 1, work=out.size * 8)
