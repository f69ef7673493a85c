"""Elementwise ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import candle
from candle import Spec

from ..emit import Emitter, writes

_SINGLE = frozenset("acos acosh asin asinh atan atanh cosh erf mish sinh softsign tan".split())

_WHEN: dict[str, Callable[..., bool]] = {
    "round": lambda x, *, decimals: decimals == 0,
    "relu": lambda x: x.dtype.kind == "f",
}

# Ops that ONNX has under the same name.
for _name in (
    "abs acos acosh asin asinh atan atanh ceil cos cosh erf exp floor log mish neg reciprocal relu round sigmoid sin sinh "
    "softsign sqrt tan tanh"
).split():

    def _same(e: Emitter, x: str, *, op_type: str = _name.capitalize(), **_: Any) -> str:
        kind = e.kinds[x].kind
        if (kind in "biu" and op_type in ("Ceil", "Floor", "Round")) or (kind == "u" and op_type == "Abs"):
            return x
        return str(e.node(op_type, x))

    writes(_name, _WHEN.get(_name), single=_name in _SINGLE)(_same)

# Ops of two operands: their operator, and that for booleans where it is another.
_BINARY = {
    "add": ("Add", "Or"), "sub": ("Sub", "Xor"), "mul": ("Mul", "And"), "div": ("Div", ""), "pow": ("Pow", ""),
    "maximum": ("Max", "Or"), "minimum": ("Min", "And"), "eq": ("Equal", "Equal"), "lt": ("Less", ""),
    "le": ("LessOrEqual", ""), "gt": ("Greater", ""), "ge": ("GreaterOrEqual", ""), "bitwise_and": ("BitwiseAnd", "And"),
    "bitwise_or": ("BitwiseOr", "Or"), "bitwise_xor": ("BitwiseXor", "Xor"), "logical_and": ("", "And"),
    "logical_or": ("", "Or"), "logical_xor": ("", "Xor"),
}  # fmt: skip
for _name, (_numbers, _bools) in _BINARY.items():

    def _two(e: Emitter, a: str, b: str, *, numbers: str = _numbers, bools: str = _bools) -> str:
        return str(e.node(bools if bools and e.kinds[a] is candle.bool else numbers, a, b))

    def _bool(a: Spec, b: Spec) -> bool:
        return a.dtype is b.dtype is candle.bool

    writes(_name, None if _numbers else _bool)(_two)


@writes("sign")
def sign(e: Emitter, x: str) -> Any:
    """ONNX's own gives NaN for NaN."""
    zero = e.like(x, 0)
    return e.Sub(e.cast(e.Greater(x, zero), e.kinds[x]), e.cast(e.Less(x, zero), e.kinds[x]))


@writes("ne")
def ne(e: Emitter, a: str, b: str) -> Any:
    return e.Xor(a, b) if e.kinds[a] is candle.bool else e.Not(e.Equal(a, b))


@writes("logical_not")
def logical_not(e: Emitter, x: str) -> Any:
    return e.Not(x) if e.kinds[x] is candle.bool else e.Equal(x, e.like(x, 0))


@writes("bitwise_not")
def bitwise_not(e: Emitter, x: str) -> Any:
    return e.Not(x) if e.kinds[x] is candle.bool else e.BitwiseNot(x)


def _shift(e: Emitter, a: str, b: str, direction: str) -> str:
    """Bits moved, which ONNX has for unsigned numbers; b is compared first, for what lies outside is left open there."""
    kind = e.kinds[a]
    bits = kind.itemsize * 8
    wide, counts = e.cast(a, candle.as_dtype(f"uint{bits}")), e.cast(b, candle.int64)
    fits = e.And(e.GreaterOrEqual(counts, e.like(counts, 0)), e.Less(counts, e.like(counts, bits)))
    counts = e.cast(e.Where(fits, counts, e.like(counts, 0)), e.kinds[wide])
    if direction == "LEFT" or kind.kind == "u":
        moved = e.BitShift(wide, counts, direction=direction)
        return str(e.cast(e.Where(fits, moved, e.like(wide, 0)), kind))
    below = e.Less(a, e.like(a, 0))
    wide = e.Where(below, e.BitwiseNot(wide), wide)
    moved = e.Where(fits, e.BitShift(wide, counts, direction=direction), e.like(wide, 0))
    return str(e.cast(e.Where(below, e.BitwiseNot(moved), moved), kind))


@writes("bitwise_left_shift")
def bitwise_left_shift(e: Emitter, a: str, b: str) -> str:
    return _shift(e, a, b, "LEFT")


@writes("bitwise_right_shift")
def bitwise_right_shift(e: Emitter, a: str, b: str) -> str:
    return _shift(e, a, b, "RIGHT")


# -- division --------------------------------------------------------------------------------------


def _truncated(e: Emitter, x: str) -> str:
    """Towards zero; the sign of zero stays."""
    return str(e.Where(e.Less(x, e.like(x, 0)), e.Ceil(x), e.Floor(x)))


@writes("trunc")
def trunc(e: Emitter, x: str) -> Any:
    return x if e.kinds[x].kind in "biu" else _truncated(e, x)


@writes("trunc_divide")
def trunc_divide(e: Emitter, a: str, b: str) -> Any:
    return e.Div(a, b) if e.kinds[a].kind in "iu" else _truncated(e, e.Div(a, b))


@writes("fmod")
def fmod(e: Emitter, a: str, b: str) -> Any:
    return e.Mod(a, b, fmod=1)


@writes("remainder")
def remainder(e: Emitter, a: str, b: str) -> Any:
    if e.kinds[a].kind in "iu":
        return e.Mod(a, b)
    left, zero = e.Mod(a, b, fmod=1), e.like(a, 0)
    apart = e.And(e.Not(e.Equal(left, zero)), e.Xor(e.Less(left, zero), e.Less(b, zero)))
    return e.Where(apart, e.Add(left, b), left)


@writes("floor_divide")
def floor_divide(e: Emitter, a: str, b: str) -> Any:
    if e.kinds[a].kind == "u":
        return e.Div(a, b)
    if e.kinds[a].kind == "i":
        return e.Div(e.Sub(a, e.Mod(a, b)), b)
    quotient = e.Div(e.Sub(a, remainder(e, a, b)), b)
    near = e.Floor(e.Add(quotient, e.like(a, 0.5)))
    finite = e.Not(e.Or(e.IsNaN(quotient), e.Equal(b, e.like(b, 0))))
    return e.Where(finite, near, e.Div(a, b))


# -- others ----------------------------------------------------------------------------------------


@writes("cast")
def cast(e: Emitter, x: str, *, dtype: Any) -> str:
    return e.cast(x, dtype)


@writes("alias")
def alias(e: Emitter, x: str) -> Any:
    return x


@writes("where")
def where(e: Emitter, condition: str, a: str, b: str) -> Any:
    return e.Where(condition, a, b)


def _scalars(x: Spec, low: Spec | None, high: Spec | None) -> bool:
    return x.dtype.kind == "f" and all(b is None or not b.ndim for b in (low, high))


@writes("clamp", when=_scalars)
def clamp(e: Emitter, x: str, low: str | None, high: str | None) -> Any:
    """With one bound no Clip, whose other one is the type's largest number and so takes infinity away."""
    if low is not None and high is not None:
        return e.Clip(x, low, high)
    return e.Max(x, low) if low is not None else e.Min(x, high)


@writes("isnan", when=lambda x: x.dtype.kind == "f")
def isnan(e: Emitter, x: str) -> Any:
    return e.IsNaN(x)


@writes("isinf", when=lambda x: x.dtype.kind == "f")
def isinf(e: Emitter, x: str) -> Any:
    return e.IsInf(x)


# -- activations -----------------------------------------------------------------------------------


@writes("gelu", single=True)
def gelu(e: Emitter, x: str, *, approximate: str) -> Any:
    return e.Gelu(x, approximate=approximate)


@writes("elu", single=True)
def elu(e: Emitter, x: str, *, alpha: float) -> Any:
    return e.Elu(x, alpha=alpha)


@writes("selu", single=True)
def selu(e: Emitter, x: str) -> Any:
    return e.Selu(x, alpha=1.6732632423543772, gamma=1.0507009873554805)


@writes("leaky_relu", single=True)
def leaky_relu(e: Emitter, x: str, *, negative_slope: float) -> Any:
    return e.LeakyRelu(x, alpha=negative_slope)


@writes("hardsigmoid", single=True)
def hardsigmoid(e: Emitter, x: str) -> Any:
    return e.HardSigmoid(x, alpha=1 / 6, beta=0.5)


@writes("hardswish", single=True)
def hardswish(e: Emitter, x: str) -> Any:
    return e.HardSwish(x)


@writes("softplus", when=lambda x, *, beta, threshold: beta == 1 and threshold >= 20, single=True)
def softplus(e: Emitter, x: str, *, beta: float, threshold: float) -> Any:
    return e.Softplus(x)


def _channels(x: Spec, weight: Spec) -> bool:
    return weight.size == 1 or x.ndim >= 2


@writes("prelu", when=_channels, single=True)
def prelu(e: Emitter, x: str, weight: str) -> Any:
    ndim = e.specs[x].ndim
    n = e.specs[weight].shape[0] if e.specs[weight].ndim else 1
    shape = [1, n, *[1] * (ndim - 2)] if n != 1 else [1] * max(ndim, 1)
    return e.PRelu(x, e.Reshape(weight, e.ints(shape))) if ndim else e.Where(
        e.Less(x, e.like(x, 0)), e.Mul(x, e.Reshape(weight, e.ints([]))), x
    )  # fmt: skip


_ = np
