"""Arithmetic element by element, comparisons, logic, bits."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import candle
from candle import Tensor

from ..errors import OnnxError
from ..table import Host, operator
from ..values import is_string

# -- one operand -----------------------------------------------------------------------------------

_UNARY = {
    "Abs": "abs", "Acos": "acos", "Acosh": "acosh", "Asin": "asin", "Asinh": "asinh", "Atan": "atan", "Atanh": "atanh",
    "BitwiseNot": "bitwise_not", "Ceil": "ceil", "Cos": "cos", "Cosh": "cosh", "Erf": "erf", "Exp": "exp", "Floor": "floor",
    "IsNaN": "isnan", "Log": "log", "Neg": "neg", "Not": "logical_not", "Reciprocal": "reciprocal", "Relu": "relu",
    "Round": "round",
    "Sigmoid": "sigmoid", "Sign": "sign", "Sin": "sin", "Sinh": "sinh", "Softsign": "softsign", "Sqrt": "sqrt", "Tan": "tan",
    "Tanh": "tanh", "Mish": "mish", "HardSwish": "hardswish",
}  # fmt: skip


def _unary(name: str, op: str) -> None:
    @operator(name)
    def run(x: Tensor) -> Tensor:
        return getattr(candle, op)(x)


for _name, _op in _UNARY.items():
    _unary(_name, _op)


@operator("Identity")
def identity(x: Any) -> Any:
    return x


@operator("IsInf")
def is_inf(x: Tensor, *, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    infinite = candle.isinf(x)
    if not detect_negative:
        infinite = infinite & (x > 0)
    return infinite if detect_positive else infinite & (x < 0)


@operator("Softplus")
def softplus(x: Tensor) -> Tensor:
    return candle.logaddexp(x, candle.zeros_like(x))


@operator("LeakyRelu")
def leaky_relu(x: Tensor, *, alpha: float = 0.01) -> Tensor:
    return candle.where(x < 0, x * alpha, x)


@operator("Elu")
def elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return candle.where(x > 0, x, candle.expm1(x) * alpha)


@operator("Celu")
def celu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return x.clamp(min=0) + (candle.expm1(x / alpha) * alpha).clamp(max=0)


@operator("Selu")
def selu(x: Tensor, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875) -> Tensor:
    return candle.where(x > 0, x, candle.expm1(x) * alpha) * gamma


@operator("HardSigmoid")
def hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    return (x * alpha + beta).clamp(0, 1)


@operator("ThresholdedRelu")
def thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return candle.where(x > alpha, x, candle.zeros_like(x))


@operator("Shrink")
def shrink(x: Tensor, *, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    zero = candle.zeros_like(x)
    made = candle.where(x < -lambd, x + bias, candle.where(x > lambd, x - bias, zero))
    return made.to(dtype=x.dtype)


@operator("Gelu")
def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    return candle.gelu(x, approximate=approximate)


@operator("Swish")
def swish(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return x * candle.sigmoid(x * alpha)


@operator("PRelu")
def prelu_by_channel(x: Tensor, slope: Tensor) -> Tensor:
    along = slope.ndim == 1 and x.ndim > 1 and slope.shape[0] == x.shape[1]
    return prelu(x, slope.reshape((-1, *[1] * (x.ndim - 2))) if along else slope)


@operator("PRelu", since=7)
def prelu(x: Tensor, slope: Tensor) -> Tensor:
    return candle.where(x < 0, x * slope, x)


@operator("Affine")
def affine(x: Tensor, *, alpha: float = 1.0, beta: float = 0.0) -> Tensor:
    return x * alpha + beta


# -- two and more ----------------------------------------------------------------------------------


def _aligned(a: Tensor, b: Tensor, broadcast: int, axis: int | None) -> Tensor:
    """The second operand in the form of versions before 7, in which it was laid along the first's axes from ``axis`` on."""
    if not broadcast or axis is None or b.ndim == 0:
        return b
    start = axis % a.ndim
    return b.reshape((*b.shape, *[1] * (a.ndim - start - b.ndim)))


def _binary(name: str, fn: Callable[[Tensor, Tensor], Tensor]) -> None:
    @operator(name)
    def old(a: Tensor, b: Tensor, *, broadcast: int = 0, axis: int | None = None) -> Tensor:
        return fn(a, _aligned(a, b, broadcast, axis))

    @operator(name, since=7)
    def run(a: Tensor, b: Tensor) -> Tensor:
        return fn(a, b)


def _divided(a: Tensor, b: Tensor) -> Tensor:
    return candle.trunc_divide(a, b) if a.dtype.kind in "iu" else a / b


def _powered(a: Tensor, b: Tensor) -> Tensor:
    if a.dtype.kind in "iu" and b.dtype.kind == "f":
        return (a.to(dtype=candle.float64) ** b.to(dtype=candle.float64)).to(dtype=a.dtype)
    return (a ** b.to(dtype=a.dtype)) if a.dtype is not b.dtype else a**b


def _equal(a: Any, b: Any) -> Any:
    if is_string(a):
        return candle.tensor(np.asarray(a == b, bool), device="numpy")
    return a == b


for _name, _fn in {
    "Add": lambda a, b: a + b, "Sub": lambda a, b: a - b, "Mul": lambda a, b: a * b, "Div": _divided, "Pow": _powered,
    "And": candle.logical_and, "Or": candle.logical_or, "Xor": candle.logical_xor, "Equal": _equal,
    "Greater": lambda a, b: a > b, "Less": lambda a, b: a < b, "GreaterOrEqual": lambda a, b: a >= b,
    "LessOrEqual": lambda a, b: a <= b, "BitwiseAnd": candle.bitwise_and, "BitwiseOr": candle.bitwise_or,
    "BitwiseXor": candle.bitwise_xor,
}.items():  # fmt: skip
    _binary(_name, _fn)


@operator("BitShift")
def bit_shift(a: Tensor, b: Tensor, *, direction: str) -> Tensor:
    return candle.bitwise_left_shift(a, b) if direction == "LEFT" else candle.bitwise_right_shift(a, b)


@operator("Mod")
def mod(ctx: Any, a: Tensor, b: Tensor, *, fmod: int = 0) -> Tensor:
    if not fmod and a.dtype.kind == "f" and ctx.version < 28:
        raise OnnxError("Mod of floating-point numbers needs fmod=1 before version 28")
    return candle.fmod(a, b) if fmod else candle.remainder(a, b)


def _folded(name: str, fn: Callable[[Tensor, Tensor], Tensor]) -> None:
    @operator(name)
    def run(*xs: Tensor) -> Tensor:
        return functools.reduce(fn, xs)


_folded("Sum", lambda a, b: a + b)
_folded("Max", candle.maximum)
_folded("Min", candle.minimum)


@operator("Mean")
def mean(*xs: Tensor) -> Tensor:
    return functools.reduce(lambda a, b: a + b, xs) / len(xs)


@operator("Clip")
def clip_by_attributes(x: Tensor, *, min: float = -math.inf, max: float = math.inf) -> Tensor:
    return x.clamp(min, max)


@operator("Clip", since=11)
def clip(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    x = x if low is None else candle.maximum(x, low)
    return x if high is None else candle.minimum(x, high)


@operator("Where")
def where(condition: Tensor, a: Any, b: Any) -> Any:
    if is_string(a):
        return np.where(condition.numpy(), a, b)
    return candle.where(condition, a, b)


# -- products --------------------------------------------------------------------------------------


@operator("MatMul")
def mat_mul(a: Tensor, b: Tensor) -> Tensor:
    return candle.matmul(a, b)


@operator("Gemm")
def gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    broadcast: int = 0,
) -> Tensor:
    y = (a.T if transA else a) @ (b.T if transB else b)
    y = y if alpha == 1.0 else (y * alpha).to(dtype=a.dtype)
    if c is None or beta == 0.0:
        return y
    return y + (c if beta == 1.0 else (c * beta).to(dtype=a.dtype))


@operator("Einsum")
def einsum(*xs: Tensor, equation: str) -> Tensor:
    return candle.einsum(equation.replace(" ", ""), *xs)


@operator("Det")
def det(x: Tensor) -> Tensor:
    return candle.linalg.det(x)


@operator("CumSum")
def cum_sum(x: Tensor, axis: Host, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    return _cumulative(candle.cumsum, x, int(np.asarray(axis).reshape(-1)[0]), exclusive, reverse, 0)


@operator("CumProd")
def cum_prod(x: Tensor, axis: Host, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    return _cumulative(candle.cumprod, x, int(np.asarray(axis).reshape(-1)[0]), exclusive, reverse, 1)


def _cumulative(fn: Any, x: Tensor, axis: int, exclusive: int, reverse: int, first: int) -> Tensor:
    axis %= x.ndim
    x = x.flip((axis,)) if reverse else x
    if exclusive and x.shape[axis]:
        head = candle.full_like(x.narrow(axis, 0, 1), first)
        x = candle.cat([head, x.narrow(axis, 0, x.shape[axis] - 1)], dim=axis)
    y = fn(x, axis).to(dtype=x.dtype)
    return y.flip((axis,)) if reverse else y
