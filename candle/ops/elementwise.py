"""Elementwise operations: arithmetic, functions of one number, comparisons, logic, bits."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from ..dtype import (
    ALL,
    BOOL,
    COMPLEX,
    EVERY,
    FLOATS,
    INEXACT,
    INTEGERS,
    NUMBERS,
    REALS,
    bool_,
    complex128,
    complex_of,
    finfo,
    float32,
    float64,
    iinfo,
    int64,
    real_of,
    result_type,
)  # fmt: skip
from ..errors import DTypeError, ShapeError
from ..op import FUNCTIONS, OPS, ZERO, DType, Spec, composite, function, primitive
from . import special

unary = partial(primitive, "T[] -> T[]")
binary = partial(primitive, "T[], T[] -> T[]")
test = partial(primitive, "T[] -> bool[]", ALL)
compare = partial(primitive, "T[], T[] -> bool[]", ALL, wide=False)
unary_composite = partial(composite, "T[] -> T[]")
binary_composite = partial(composite, "T[], T[] -> T[]")

ORDERED = BOOL + REALS
LOGICAL = BOOL + INTEGERS
_LN2, _LN10 = math.log(2.0), math.log(10.0)


def in_single(fn: Callable[..., Any]) -> Callable[..., Any]:
    """An expansion that computes in float32 where its operands are halves, and rounds once."""

    def computed(*xs: Any, **attrs: Any) -> Any:
        half = next((x.dtype for x in xs if x is not None and x.dtype.kind == "f" and x.dtype.itemsize == 2), None)
        if half is None:
            return fn(*xs, **attrs)
        y = fn(*[x.to(dtype=float32) if x is not None and x.dtype is half else x for x in xs], **attrs)
        return y.to(dtype=half) if y.dtype is float32 else y

    return computed


def _identity_on_integers(fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: fn(x) if x.dtype.kind == "f" else x


def _real(x: Spec, *_: Any, **__: Any) -> DType:
    return real_of(x.dtype)


# -- casts and copies ------------------------------------------------------------------------------


def _cast_sample(d: Any) -> Any:
    x, to = d.array(d.shape(), d.dtype(EVERY)), d.dtype(EVERY)
    if to.kind in "iu" or "int" in to.name:
        x = _held(x, to)
    elif to.kind == "f" and x.dtype in (np.float32, np.float64) and to.itemsize < x.dtype.itemsize and d._pick(3) == 0:
        x = _between(d, x, to)
    return [x], {"dtype": to}


def _held(x: Any, to: DType) -> Any:
    """x with what an integer dtype does not hold replaced: what becomes of that is left open."""
    if x.dtype.kind in "biu" or not x.size:
        return x
    limits = iinfo(to)
    with np.errstate(all="ignore"):
        real = x.real.astype(np.float64)
        good = (real > float(limits.min) - 1) & (real < float(limits.max))
        return np.where(good, x.astype(x.dtype), np.ones((), x.dtype))


def _between(d: Any, x: Any, to: DType) -> Any:
    """Numbers half way between two of a narrower dtype, or next to that: there rounding twice shows."""
    with np.errstate(all="ignore"):
        low = x.astype(to.numpy)
        high = (low.view(f"u{to.itemsize}") + 1).view(to.numpy)
        half = (low.astype(np.float64) + high.astype(np.float64)) / 2
        half = half * (1 + (d.array(x.shape, int64, (-1, 1)) * (2.0**-22 if x.dtype == np.float32 else 2.0**-48)))
        return np.where(np.isfinite(half), half, x).astype(x.dtype)


@primitive("S -> dtype", S=EVERY, required=True, wide=False, method=False, shape=lambda x, *, dtype: x.shape,
           vjp=(lambda g, _y, _x, dtype: cast(g, dtype=_x.dtype),), sample=_cast_sample)  # fmt: skip
def cast(x, *, dtype: DType):
    """The same values in another dtype: floats to integers towards zero, complex to real without the imaginary part."""
    if x.dtype.kind == "c" and dtype.kind not in "cb":
        x = x.real
    if not np.can_cast(x.dtype, dtype.numpy, "unsafe"):  # between two small floats, both of them float32's
        x = x.astype(np.float32)
    return x.astype(dtype.numpy)


@primitive("S -> S", S=EVERY, required=True, wide=False, method=False, shape=lambda x: x.shape, vjp=(lambda g, _y, _x: g,),
           blocks=lambda specs, attrs, size: attrs)  # fmt: skip
def alias(x):
    """The same value under another name."""
    return x


@unary_composite(NUMBERS, bools=False, vjp=(lambda g, _y, _x: g,))
def positive(x):
    """The number itself."""
    return alias(x)


# -- arithmetic ------------------------------------------------------------------------------------


@unary(NUMBERS, required=True, wide=False, bools=False, vjp=(lambda g, _y, _x: -g,))
def neg(x):
    """Negation; unsigned integers wrap around."""
    return np.negative(x)


@binary(ALL, required=True, vjp=(lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: g), ulps=1)
def add(a, b):
    """Sum; of booleans, their disjunction."""
    return np.add(a, b)


@binary(NUMBERS, required=True, bools=False, vjp=(lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: -g), ulps=1)
def sub(a, b):
    """Difference; booleans are refused (use logical_xor)."""
    return np.subtract(a, b)


@binary(ALL, required=True, vjp=(lambda g, _y, _a, b: g * conj(b), lambda g, _y, a, _b: g * conj(a)), ulps=1)
def mul(a, b):
    """Product; of booleans, their conjunction."""
    return np.multiply(a, b)


@binary(
    INEXACT, required=True, domain=(0.5, 8), vjp=(lambda g, _y, _a, b: g / conj(b), lambda g, y, _a, b: -g * conj(y / b)), ulps=1
)
def div(a, b):
    """Quotient; integers are divided as floats."""
    return np.true_divide(a, b)


def _pow_base(g: Any, _y: Any, a: Any, b: Any) -> Any:
    return where(b == 0, 0, g * conj(b * a ** (b - 1)))


def _pow_exponent(g: Any, y: Any, a: Any, b: Any) -> Any:
    still = (a == 0) & ((b.real if b.dtype.kind == "c" else b) >= 0)
    return where(still, 0, g * conj(y * where(still, 1, a).log()))


def _pow_sample(d: Any) -> Any:
    a, b = d.shapes([[], []])
    dtype = d.dtype(NUMBERS)
    base, exponent = d.one([((0, 3), (0, 3)), ((-3, 3), (-3, 3)), ((0.25, 3), (-3, 3))])
    if dtype.kind in "iu":
        base, exponent = d.one([(base, (0, 3)), ((-9, 9), (0, 20))])  # a negative power of an integer is none
    power = d.array(b, dtype, exponent)
    if base[0] < 0 and dtype.kind == "f":
        power = np.rint(power.astype(np.float64)).astype(dtype.numpy)
    elif dtype.kind == "f" and d.bool():
        often = np.array([0.5, -0.5, 2.0, 3.0, 0.0, 1.0, -1.0, 1.5])[d.array(b, int64, (0, 7))]
        power = np.where(d.array(b, bool_), often, power).astype(dtype.numpy)
    return [d.array(a, dtype, base), power], {}


@binary(NUMBERS, required=True, vjp=(_pow_base, _pow_exponent), sample=_pow_sample)
def pow(a, b):
    """a raised to b; an integer to a negative one is 0 unless the base is 1 or -1."""
    if a.dtype.kind in "fcu":
        return np.power(a, b)
    y = np.power(a, np.maximum(b, 0))
    odd = np.where(b & 1, a, 1)
    return np.where(b < 0, np.where((a == 1) | (a == -1), odd, 0), y).astype(a.dtype)


@composite(
    "T[], S[] -> T[]", NUMBERS, S=NUMBERS, result=lambda a, b: complex128 if "c" in a.dtype.kind + b.dtype.kind else float64
)
def float_power(a, b):
    """a raised to b in float64, or complex128."""
    wide = complex128 if "c" in a.dtype.kind + b.dtype.kind else float64
    return a.to(dtype=wide) ** b.to(dtype=wide)


@unary(NUMBERS, required=True, bools=False, result=_real, vjp=(lambda g, _y, x: g * sgn(x),))
def abs_(x):
    """Absolute value; of complex numbers, the magnitude."""
    return np.abs(x)


@unary(
    ORDERED,
    wide=False,
    vjp=(ZERO,),
    expand=lambda x: x if x.dtype.kind == "b" else (x > 0).to(dtype=x.dtype) - (x < 0).to(dtype=x.dtype),
)
def sign(x):
    """1, 0 or -1 as the number is above, at or below zero; 0 for NaN."""
    if x.dtype.kind == "b":
        return x
    return np.greater(x, 0).astype(x.dtype) - np.less(x, 0).astype(x.dtype)


def _sgn_vjp(g: Any, y: Any, x: Any) -> Any:
    if x.dtype.kind != "c":
        return x.zeros_like()
    size = x.abs()
    along = (g * y.conj()).real
    return where(size == 0, 0, (g - y * along) / size)


@unary(ALL, vjp=(_sgn_vjp,), expand=lambda x: where(x == 0, 0, x / x.abs()) if x.dtype.kind == "c" else sign(x))
def sgn(x):
    """The sign; of complex numbers, the number divided by its magnitude."""
    if x.dtype.kind != "c":
        return sign.fn(x)
    size = np.abs(x)
    return np.where(size == 0, 0, x / np.where(size == 0, 1, size))


@unary_composite(NUMBERS)
def square(x):
    """The product with itself."""
    return x * x


@unary(INEXACT, domain=(0.125, 8), vjp=(lambda g, y, _x: -g * conj(y * y),), expand=lambda x: 1 / x)
def reciprocal(x):
    """1 / x."""
    return np.true_divide(x.dtype.type(1), x)


@unary(INEXACT, required=True, domain=(0.125, 8), vjp=(lambda g, y, _x: g / conj(2 * y),), ulps=1)
def sqrt(x):
    """Square root."""
    return np.sqrt(x)


@unary(INEXACT, domain=(0.125, 8), vjp=(lambda g, y, _x: g * conj(-0.5 * y * y * y),), expand=in_single(lambda x: 1 / x.sqrt()))
def rsqrt(x):
    """1 / sqrt(x)."""
    return 1 / np.sqrt(x)


# -- exponentials and logarithms -------------------------------------------------------------------


@unary(INEXACT, required=True, vjp=(lambda g, y, _x: g * conj(y),))
def exp(x):
    """e raised to x."""
    return np.exp(x)


def _exp2(x: Any) -> Any:
    """A real power: e^(x ln 2) would multiply the rounding of x ln 2 by x."""
    return (x * _LN2).exp() if x.dtype.kind == "c" else x.full_like(2) ** x


@unary(INEXACT, vjp=(lambda g, y, _x: g * conj(y * _LN2),), expand=in_single(_exp2), ulps=16)
def exp2(x):
    """2 raised to x."""
    return np.exp(x * _LN2) if x.dtype.kind == "c" else np.exp2(x)


@unary(INEXACT, vjp=(lambda g, y, _x: g * conj(y + 1),), expand=in_single(lambda x: (x * 0.5).tanh() * (x.exp() + 1)), ulps=16)
def expm1(x):
    """exp(x) - 1, exact near zero."""
    return np.expm1(x)


@unary(INEXACT, required=True, domain=(0.125, 8), vjp=(lambda g, _y, x: g / conj(x),))
def log(x):
    """Natural logarithm."""
    return np.log(x)


@unary(INEXACT, domain=(0.125, 8), vjp=(lambda g, _y, x: g / conj(x * _LN2),), expand=in_single(lambda x: x.log() / _LN2))
def log2(x):
    """Logarithm to base 2."""
    return np.log2(x)


@unary(INEXACT, domain=(0.125, 8), vjp=(lambda g, _y, x: g / conj(x * _LN10),), expand=in_single(lambda x: x.log() / _LN10))
def log10(x):
    """Logarithm to base 10."""
    return np.log10(x)


def _log1p(x: Any) -> Any:
    """By W. Kahan's correction of log(1 + x) for what the sum rounds away."""
    u = 1 + x
    return where(u == 1, x, where(u == x, u.log(), u.log() * (x / (u - 1))))


@unary(INEXACT, domain=(-0.5, 8), vjp=(lambda g, _y, x: g / conj(x + 1),), expand=in_single(_log1p), ulps=16)
def log1p(x):
    """log(1 + x), exact near zero."""
    return np.log1p(x)


def _logaddexp(a: Any, b: Any) -> Any:
    return where(a == b, a + _LN2, a.maximum(b) + (-(a - b).abs()).exp().log1p())


@binary(FLOATS, expand=in_single(_logaddexp), ulps=16,
        vjp=(lambda g, _y, a, b: g / ((b - a).exp() + 1), lambda g, _y, a, b: g / ((a - b).exp() + 1)))  # fmt: skip
def logaddexp(a, b):
    """log(exp(a) + exp(b)) without overflow."""
    return np.logaddexp(a, b)


@binary(FLOATS, expand=in_single(lambda a, b: _logaddexp(a * _LN2, b * _LN2) / _LN2), ulps=16,
        vjp=(lambda g, _y, a, b: g / ((b - a).exp2() + 1), lambda g, _y, a, b: g / ((a - b).exp2() + 1)))  # fmt: skip
def logaddexp2(a, b):
    """log2(2^a + 2^b) without overflow."""
    return np.logaddexp2(a, b)


@binary_composite(FLOATS, domain=(0.125, 8), vjp=(
    lambda g, _y, a, b: g * where((a == 0) & (b <= 0), 0, b.log()), lambda g, _y, a, b: g * a / b))  # fmt: skip
def xlogy(a, b):
    """a * log(b), 0 where a is 0 and b is no NaN."""
    return where(b != b, b, where(a == 0, 0, a * b.log()))


@unary(INEXACT, vjp=(lambda g, y, _x: g * conj((1 - y) * y),), expand=in_single(lambda x: 1 / (1 + (-x).exp())), ulps=16)
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def _logit_vjp(g: Any, _y: Any, x: Any, eps: float | None) -> Any:
    if eps is None:
        return where((x < 0) | (x > 1), math.nan, g / (x * (1 - x)))
    return where((x < eps) | (x > 1 - eps), 0, g / (x * (1 - x)))


@unary_composite(FLOATS, domain=(0.125, 0.875), vjp=(_logit_vjp,))
def logit(x, *, eps: float = None):
    """log(x / (1 - x)); with eps the operand is first clamped to [eps, 1 - eps]."""
    z = x if eps is None else x.clamp(eps, 1 - eps)
    return (z / (1 - z)).log()


# -- circular and hyperbolic functions -------------------------------------------------------------


@unary(INEXACT, required=True, vjp=(lambda g, _y, x: g * conj(x.cos()),))
def sin(x):
    """Sine."""
    return np.sin(x)


@unary(INEXACT, required=True, vjp=(lambda g, _y, x: -g * conj(x.sin()),))
def cos(x):
    """Cosine."""
    return np.cos(x)


@unary(
    INEXACT,
    domain=(-1.25, 1.25),
    vjp=(lambda g, y, _x: g * conj(y * y + 1),),
    expand=in_single(lambda x: x.sin() / x.cos()),
    ulps=16,
)
def tan(x):
    """Tangent."""
    return np.tan(x)


def _asin(x: Any) -> Any:
    return x.atan2(((1 - x) * (1 + x)).sqrt()) if x.dtype.kind == "f" else _times_i((_times_i(x) + (1 - x * x).sqrt()).log(), -1)


def _acos(x: Any) -> Any:
    return ((1 - x) * (1 + x)).sqrt().atan2(x) if x.dtype.kind == "f" else math.pi / 2 - _asin(x)


def _times_i(x: Any, sign: int = 1) -> Any:
    return x * (1j * sign)


@unary(INEXACT, domain=(-0.875, 0.875), vjp=(lambda g, _y, x: g * conj((1 - x * x).rsqrt()),), expand=in_single(_asin), ulps=16)
def asin(x):
    """Inverse sine."""
    return np.arcsin(x)


@unary(INEXACT, domain=(-0.875, 0.875), vjp=(lambda g, _y, x: -g * conj((1 - x * x).rsqrt()),), expand=in_single(_acos), ulps=16)
def acos(x):
    """Inverse cosine."""
    return np.arccos(x)


def _atan(x: Any) -> Any:
    """By Newton's method on the tangent, from an approximation within 0.004 on [-1, 1]."""
    if x.dtype.kind == "c":
        return _times_i((1 - _times_i(x)).log() - (1 + _times_i(x)).log(), 1) * 0.5
    far = x.abs() > 1
    z = where(far, 1 / x, x)
    y = z * (math.pi / 4 + 0.273 * (1 - z.abs()))
    for _ in range(3):
        y = y - y.cos() * (y.sin() - z * y.cos())
    return where(far, where(x < 0, -math.pi / 2 - y, math.pi / 2 - y), y)


@unary(INEXACT, vjp=(lambda g, _y, x: g / conj(x * x + 1),), expand=in_single(_atan), ulps=16)
def atan(x):
    """Inverse tangent."""
    return np.arctan(x)


def _atan2(a: Any, b: Any) -> Any:
    turned = a.full_like(math.pi).copysign(a)
    ratio = where((a == 0) & (b == 0), 0, where(a.isinf() & b.isinf(), sign(a) * sign(b), a / b))
    angle = where(signbit(b), ratio.atan() + turned, ratio.atan())
    angle = where((a == 0) & ~signbit(b), a, where((a == 0) & signbit(b), turned, angle))
    return where((a != a) | (b != b), math.nan, angle)


def _over_square(g: Any, a: Any, b: Any) -> Any:
    """g over the squared distance of (b, a) from the origin; 0 there, as in PyTorch."""
    square = a * a + b * b
    return where(square == 0, 0, g / where(square == 0, 1, square))


@binary(FLOATS, expand=in_single(_atan2), ulps=16,
        vjp=(lambda g, _y, a, b: _over_square(g * b, a, b), lambda g, _y, a, b: -_over_square(g * a, a, b)))  # fmt: skip
def atan2(a, b):
    """The angle of the point (b, a), from -pi to pi."""
    return np.arctan2(a, b)


def _sinh(x: Any) -> Any:
    e = x.abs().expm1() if x.dtype.kind == "f" else x.expm1()
    y = 0.5 * (e + where(e.isinf(), 1, e / (e + 1)))
    if x.dtype.kind == "c":
        return y
    half = (x.abs() * 0.5).exp()
    return where(x.abs() > 32, (0.5 * half) * half, y).copysign(x)


@unary(INEXACT, vjp=(lambda g, _y, x: g * conj(x.cosh()),), expand=in_single(_sinh), ulps=16)
def sinh(x):
    """Hyperbolic sine."""
    return np.sinh(x)


def _cosh(x: Any) -> Any:
    """By the exponential of half of x, which does not overflow before the result does."""
    if x.dtype.kind == "c":
        return 0.5 * (x.exp() + (-x).exp())
    half = (x.abs() * 0.5).exp()
    return (0.5 * half) * half + 0.5 / half / half


@unary(INEXACT, vjp=(lambda g, _y, x: g * conj(x.sinh()),), expand=in_single(_cosh), ulps=16)
def cosh(x):
    """Hyperbolic cosine."""
    return np.cosh(x)


@unary(INEXACT, required=True, vjp=(lambda g, y, _x: g * conj(1 - y * y),))
def tanh(x):
    """Hyperbolic tangent."""
    return np.tanh(x)


def _asinh(x: Any) -> Any:
    if x.dtype.kind == "c":
        return (x + (x * x + 1).sqrt()).log()
    a = x.abs()
    large = a > 1e8
    z = where(large, 1, a)
    return where(large, a.log() + _LN2, (z + z * z / (1 + (z * z + 1).sqrt())).log1p()).copysign(x)


def _acosh(x: Any) -> Any:
    if x.dtype.kind == "c":
        return (x + (x - 1).sqrt() * (x + 1).sqrt()).log()
    large = x > 1e8
    t = where(large, 1, x - 1)
    return where(x < 1, math.nan, where(large, x.log() + _LN2, (t + (t * (t + 2)).sqrt()).log1p()))


@unary(INEXACT, vjp=(lambda g, _y, x: g * conj((x * x + 1).rsqrt()),), expand=in_single(_asinh), ulps=16)
def asinh(x):
    """Inverse hyperbolic sine."""
    return np.arcsinh(x)


@unary(
    INEXACT,
    domain=(1.125, 8),
    vjp=(lambda g, _y, x: g * conj((x - 1).rsqrt() * (x + 1).rsqrt()),),
    expand=in_single(_acosh),
    ulps=16,
)
def acosh(x):
    """Inverse hyperbolic cosine."""
    return np.arccosh(x)


@unary(INEXACT, domain=(-0.875, 0.875), vjp=(lambda g, _y, x: g / conj(1 - x * x),), ulps=16,
       expand=in_single(lambda x: 0.5 * (x.log1p() - (-x).log1p())))  # fmt: skip
def atanh(x):
    """Inverse hyperbolic tangent."""
    return np.arctanh(x)


def _hypot(a: Any, b: Any) -> Any:
    a, b = a.abs(), b.abs()
    large, small = a.maximum(b), a.minimum(b)
    safe = where((large == 0) | large.isinf(), 1, large)
    y = where((large == 0) | large.isinf(), large, safe * ((small / safe).square() + 1).sqrt())
    return where(a.isinf() | b.isinf(), math.inf, y)


@binary(FLOATS, expand=in_single(_hypot), vjp=(lambda g, y, a, _b: g * (a / y), lambda g, y, _a, b: g * (b / y)))
def hypot(a, b):
    """sqrt(a^2 + b^2) without overflow."""
    return np.hypot(a, b)


@unary_composite(FLOATS, vjp=(lambda g, _y, _x: g * (math.pi / 180),))
def deg2rad(x):
    """Degrees as radians."""
    return x * (math.pi / 180)


@unary_composite(FLOATS, vjp=(lambda g, _y, _x: g * (180 / math.pi),))
def rad2deg(x):
    """Radians as degrees."""
    return x * (180 / math.pi)


_SINC = [(-1.0) ** k * 2 * k * math.pi ** (2 * k) / math.factorial(2 * k + 1) for k in range(9, 0, -1)]


def _sinc_vjp(g: Any, _y: Any, x: Any) -> Any:
    """(cos(pi x) - sinc(x)) / x, by its series where that would cancel."""
    near = OPS["abs"](x) < 0.25
    small, large = where(near, x, 0), where(near, 1, x)
    series = small * 0 + _SINC[0]
    for c in _SINC[1:]:
        series = series * (small * small) + c
    slope = where(near, series * small, ((large * math.pi).cos() - sinc(large)) / large)
    return g * conj(slope)


@unary_composite(INEXACT, vjp=(_sinc_vjp,))
def sinc(x):
    """sin(pi x) / (pi x), 1 at zero."""
    z = where(x == 0, 1, x) * math.pi
    return where(x == 0, 1, z.sin() / z)


# -- special functions -----------------------------------------------------------------------------


def _ratio(x: Any, coefficients: Any) -> Any:
    """A rational function, as in special.py."""
    above, below = coefficients
    return _polynomial(x, above) / _polynomial(x, below)


def _polynomial(x: Any, coefficients: Sequence[float]) -> Any:
    y = x * coefficients[0] + coefficients[1]
    for c in coefficients[2:]:
        y = y * x + c
    return y


def _erf_centre(x: Any) -> Any:
    return x * _ratio((x * x).clamp(max=0.25), special.ERF_SMALL)


def _erfc_tail(a: Any) -> Any:
    near, far = a.clamp(max=4.0), a.clamp(4.0, 30.0)
    z = 1 / (far * far)
    large = (1 / math.sqrt(math.pi) - z * _ratio(z, special.ERF_LARGE)) / far
    a = a.clamp(max=30.0)
    cut = (a * 16.0).floor() * 0.0625
    return (-cut * cut).exp() * (-(a - cut) * (a + cut)).exp() * where(a <= 4.0, _ratio(near, special.ERF_MIDDLE), large)


def _erf(x: Any) -> Any:
    a = x.abs()
    return where(a <= 0.46875, _erf_centre(x), (1 - _erfc_tail(a)).copysign(x))


def _erfc(x: Any) -> Any:
    a = x.abs()
    tail = _erfc_tail(a)
    return where(a <= 0.46875, 1 - _erf_centre(x), where(x < 0, 2 - tail, tail))


def _erfinv(x: Any) -> Any:
    q = x * 0.5
    centre = q * _ratio((0.180625 - q * q).clamp(-0.1, 0.2), special.NORMAL_CENTRE)
    outer = ((1 - x.abs()) * 0.5).clamp(1e-300 if x.dtype is float64 else 1e-37, 0.5)
    r = (-outer.log()).sqrt()
    outside = where(r <= 5.0, _ratio(r - 1.6, special.NORMAL_MIDDLE), _ratio(r - 5.0, special.NORMAL_TAIL)).copysign(x)
    y = where(q.abs() <= 0.425, centre, outside) * (1 / math.sqrt(2.0))
    y = where(x.abs() == 1.0, x * math.inf, y)
    return where(x.abs() <= 1.0, y, math.nan)


@unary(FLOATS, vjp=(lambda g, _y, x: g * (2 / math.sqrt(math.pi)) * (-x * x).exp(),), expand=in_single(_erf))
def erf(x):
    """The error function."""
    return special.erf(x)


@unary(FLOATS, vjp=(lambda g, _y, x: g * (-2 / math.sqrt(math.pi)) * (-x * x).exp(),), expand=in_single(_erfc), ulps=32)
def erfc(x):
    """1 - erf(x), exact where that is small."""
    return special.erfc(x)


@unary(
    FLOATS,
    domain=(-0.875, 0.875),
    vjp=(lambda g, y, _x: g * (math.sqrt(math.pi) / 2) * (y * y).exp(),),
    expand=in_single(_erfinv),
    ulps=32,
)
def erfinv(x):
    """The inverse of erf."""
    return special.erfinv(x)


def _gamma_sample(d: Any) -> Any:
    dtype = d.dtype(FLOATS)
    x = d.array(d.shape(), dtype, d.one([(0.125, 8), (0.125, 40), (-0.875, -0.125), (-2.75, -2.25)]))
    if d._pick(4) == 0:
        x = np.where(d.array(x.shape, bool_), np.floor(x.astype(np.float64)), x).astype(x.dtype)  # poles among them
    return [x], {}


@unary(FLOATS, domain=(0.125, 8), special=False, vjp=(lambda g, _y, x: g * digamma(x),), sample=_gamma_sample, ulps=64)
def lgamma(x):
    """The logarithm of the gamma function's magnitude."""
    return special.lgamma(x)


@unary(FLOATS, domain=(0.125, 8), special=False, vjp=(lambda g, _y, x: g * _polygamma(x, n=1),), sample=_gamma_sample, ulps=64)
def digamma(x):
    """The derivative of lgamma."""
    return special.digamma(x)


def _polygamma_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    if attrs["n"] < 0:
        raise ShapeError(f"polygamma's n is at least 0 but {attrs['n']} was given")
    return dict(attrs)


def _polygamma_sample(d: Any) -> Any:
    return [d.array(d.shape(), d.dtype(FLOATS), (0.5, 8))], {"n": d.int(0, 4)}


@unary(FLOATS, name="polygamma", method=False, special=False, canon=_polygamma_canon, sample=_polygamma_sample, ulps=256,
       vjp=(lambda g, _y, x, n: g * _polygamma(x, n=n + 1),))  # fmt: skip
def _polygamma(x, *, n: int):
    """The n-th derivative of digamma."""
    return special.digamma(x) if n == 0 else special.polygamma(x, n)


@function(method=lambda x, n: _polygamma(x, n=n), front=True)
def polygamma(n: int, x: Any) -> Any:
    """The n-th derivative of digamma; n comes first, as in PyTorch."""
    return _polygamma(n, n=x) if hasattr(n, "spec") else _polygamma(x, n=n)


@unary(FLOATS, vjp=(lambda g, _y, x: g * i1(x),), ulps=32)
def i0(x):
    """The modified Bessel function of the first kind, of order 0."""
    return special.i0(x)


def _i1_vjp(g: Any, y: Any, x: Any) -> Any:
    return g * where(x == 0, 0.5, i0(x) - y / where(x == 0, 1, x))


@unary(FLOATS, vjp=(_i1_vjp,), ulps=32)
def i1(x):
    """The modified Bessel function of the first kind, of order 1."""
    return special.i1(x)


# -- rounding --------------------------------------------------------------------------------------


@unary(ORDERED, required=True, vjp=(ZERO,), ulps=0)
def floor(x):
    """The largest integer not above x; integers stay."""
    return np.floor(x)


@unary(ORDERED, vjp=(ZERO,), expand=_identity_on_integers(lambda x: -floor(-x)), ulps=0)
def ceil(x):
    """The smallest integer not below x; integers stay."""
    return np.ceil(x)


@unary(ORDERED, vjp=(ZERO,), expand=_identity_on_integers(lambda x: where(x < 0, -floor(-x), floor(x))), ulps=0)
def trunc(x):
    """The integer towards zero; integers stay."""
    return np.trunc(x)


@unary_composite(FLOATS, vjp=(lambda g, _y, _x: g,))
def frac(x):
    """What truncation leaves over."""
    return x - x.trunc()


def _round_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    if attrs["decimals"] and specs[0].dtype.kind != "f":
        raise DTypeError(f"round takes decimals for floats only but was given {specs[0]}, decimals={attrs['decimals']}")
    return dict(attrs)


@in_single
def _round(x: Any, *, decimals: int) -> Any:
    if x.dtype.kind != "f":
        return x
    scale = 10.0 ** abs(decimals)
    z = x if not decimals else x * scale if decimals > 0 else x / scale
    low = floor(z)
    rest, odd = z - low, low - 2 * floor(low * 0.5)
    y = where(rest < 0.5, low, where(rest > 0.5, low + 1, low + odd))
    y = where(z.isfinite(), where(y == 0, z * 0, y), z)
    return y if not decimals else y / scale if decimals > 0 else y * scale


def _round_sample(d: Any) -> Any:
    dtype = d.dtype(FLOATS)
    return [d.array(d.shape(), dtype)], {"decimals": d.int(-1, 2)}


@unary(ORDERED, vjp=(ZERO,), canon=_round_canon, expand=_round, sample=_round_sample)
def round_(x, *, decimals: int = 0):
    """The nearest integer, halves to the even one; with decimals, that many places after the point."""
    if x.dtype.kind != "f":
        return x
    scale = x.dtype.type(10.0 ** abs(decimals))
    if decimals == 0:
        return np.rint(x)
    return np.rint(x * scale) / scale if decimals > 0 else np.rint(x / scale) * scale


# -- division with remainders ----------------------------------------------------------------------


def _division_sample(d: Any) -> Any:
    a, b = d.shapes([[], []])
    dtype = d.dtype(REALS)
    divisor = d.array(b, dtype, d.one([(1, 4), (-4, 4)]))
    if dtype.kind == "f":
        if d.bool():
            return [d.array(a, dtype), divisor], {}
        return [np.rint(d.array(a, dtype, (-9, 9)).astype(np.float64)).astype(dtype.numpy), divisor], {}
    x = d.array(a, dtype)  # integers divided by zero, and the least by -1, are left open
    if dtype.kind == "i":
        x = np.where(x == np.iinfo(x.dtype).min, 1, x).astype(x.dtype)
    return [x, np.where(divisor == 0, 3, divisor).astype(divisor.dtype)], {}


division = partial(binary, REALS, required=True, sample=_division_sample)


@division(vjp=(ZERO, ZERO))
def floor_divide(a, b):
    """The quotient rounded down; an integer divided by 0 gives 0 here and may give anything elsewhere."""
    return np.floor_divide(a, b)


@division(name="trunc_divide", method=False, vjp=(ZERO, ZERO))
def _trunc_divide(a, b):
    """The quotient rounded towards zero: div with rounding_mode="trunc"."""
    if a.dtype.kind == "f":
        return np.trunc(a / b)
    return np.where(b == 0, 0, (a - np.fmod(a, b)) // np.where(b == 0, 1, b)).astype(a.dtype)


@division(vjp=(lambda g, _y, _a, _b: g, lambda g, _y, a, b: -g * floor_divide(a, b)))
def remainder(a, b):
    """What floor division leaves over: it has the divisor's sign."""
    return np.remainder(a, b)


@division(vjp=(lambda g, _y, _a, _b: g, lambda g, _y, a, b: -g * _trunc_divide(a, b)))
def fmod(a, b):
    """What division towards zero leaves over: it has the dividend's sign."""
    return np.fmod(a, b)


@binary(INTEGERS)
def gcd(a, b):
    """The greatest common divisor, at least 0."""
    return np.gcd(a, b)


@binary(INTEGERS)
def lcm(a, b):
    """The least common multiple, at least 0."""
    return np.lcm(a, b)


# -- the larger and the smaller --------------------------------------------------------------------


def _larger(g: Any, _y: Any, a: Any, b: Any) -> Any:
    """The share of the operand that a maximum takes: ties are halved."""
    return where(a == b, g / 2, where(a < b, 0, g))


@binary(ORDERED, required=True, wide=False, vjp=(_larger, lambda g, y, a, b: _larger(g, y, b, a)))
def maximum(a, b):
    """The larger of two numbers; NaN where one is NaN.  The gradient of ties is halved."""
    return np.maximum(a, b)


def _smaller(g: Any, _y: Any, a: Any, b: Any) -> Any:
    return where(a == b, g / 2, where(a > b, 0, g))


@binary(ORDERED, required=True, wide=False, vjp=(_smaller, lambda g, y, a, b: _smaller(g, y, b, a)))
def minimum(a, b):
    """The smaller of two numbers; NaN where one is NaN.  The gradient of ties is halved."""
    return np.minimum(a, b)


@binary(ORDERED, ulps=0, expand=lambda a, b: where(a != a, b, where(b != b, a, a.maximum(b))), vjp=(
    lambda g, _y, a, b: where((a >= b) | (b != b), g, 0), lambda g, _y, a, b: where((a >= b) | (b != b), 0, g)))  # fmt: skip
def fmax(a, b):
    """The larger of two numbers; where one is NaN, the other."""
    return np.fmax(a, b)


@binary(ORDERED, ulps=0, expand=lambda a, b: where(a != a, b, where(b != b, a, a.minimum(b))), vjp=(
    lambda g, _y, a, b: where((a <= b) | (b != b), g, 0), lambda g, _y, a, b: where((a <= b) | (b != b), 0, g)))  # fmt: skip
def fmin(a, b):
    """The smaller of two numbers; where one is NaN, the other."""
    return np.fmin(a, b)


def _clamp_canon(specs: Sequence[Spec | None], attrs: Mapping[str, Any]) -> dict[str, Any]:
    if specs[1] is None and specs[2] is None:
        raise TypeError("clamp takes at least one bound; give min, max or both")
    return dict(attrs)


def _clamp_vjp(g: Any, _y: Any, x: Any, low: Any, high: Any) -> Any:
    inside = None if low is None else x >= low
    if high is not None:
        inside = x <= high if inside is None else inside & (x <= high)
    to_low = to_high = None
    if low is not None:
        below = x < low
        to_low = where(below if high is None else below & (low < high), g, 0)
    if high is not None:
        above = x > high
        to_high = where(above if low is None else above | (high < low), g, 0)
    return where(inside, g, 0), to_low, to_high


def _clamp_expand(x: Any, low: Any, high: Any) -> Any:
    y = x if low is None else x.maximum(low)
    return y if high is None else y.minimum(high)


def _clamp_sample(d: Any) -> Any:
    x, low, high = d.shapes([[], [], []])
    dtype, which = d.dtype(REALS), d.int(0, 2)
    return [
        d.array(x, dtype),
        d.array(low, dtype, (-2, 1)) if which != 1 else None,
        d.array(high, dtype, (0, 2)) if which != 0 else None,
    ], {}


@primitive(
    "T[], T[]?, T[]? -> T[]", ORDERED, wide=False, canon=_clamp_canon, vjp=_clamp_vjp, expand=_clamp_expand, sample=_clamp_sample
)
def clamp(x, min_, max_):
    """Bounded from below and above; where the bounds cross, the upper one.  NaN stays, and bounds of NaN give NaN."""
    y = x if min_ is None else np.maximum(x, min_)
    return y if max_ is None else np.minimum(y, max_)


@function(in_place=True)
def clamp_min(x: Any, min: Any) -> Any:
    """Bounded from below."""
    return clamp(x, min, None)


@function(in_place=True)
def clamp_max(x: Any, max: Any) -> Any:
    """Bounded from above."""
    return clamp(x, None, max)


# -- signs and neighbours --------------------------------------------------------------------------


def _signbit(x: Any) -> Any:
    return x < 0 if x.dtype.kind != "f" else (x < 0) | ((x == 0) & (1 / x < 0))


@primitive("T[] -> bool[]", ORDERED, wide=False, expand=_signbit)
def signbit(x):
    """Whether the sign is minus, that of -0.0 too."""
    return np.signbit(x) if x.dtype.kind not in "bu" else np.zeros(x.shape, bool)


def _copysign_vjp(g: Any, y: Any, x: Any, _b: Any) -> Any:
    return g * where(x == 0, 0, y / where(x == 0, 1, x))


@binary(FLOATS, vjp=(_copysign_vjp, ZERO), expand=lambda a, b: where(signbit(b), -a.abs(), a.abs()), ulps=0)
def copysign(a, b):
    """The magnitude of a with the sign of b."""
    return np.copysign(a, b)


@binary(FLOATS, wide=False)
def nextafter(a, b):
    """The next number from a towards b."""
    return np.nextafter(a, b)


# -- complex numbers -------------------------------------------------------------------------------


@unary(COMPLEX, name="conj_physical", wide=False, vjp=(lambda g, _y, _x: conj(g),), expand=lambda x: complex_(x.real, -x.imag))
def _conj(x):
    """The complex conjugate."""
    return np.conjugate(x)


@function()
def conj(x: Any) -> Any:
    """The complex conjugate; a real tensor is its own."""
    return _conj(x) if x.dtype.kind == "c" else x


@unary(ALL, required=True, result=_real, method=False, wide=False, vjp=(lambda g, _y, _x: g,))
def real(x):
    """The real part."""
    return np.real(x)


@unary(COMPLEX, required=True, result=_real, method=False, vjp=(lambda g, _y, _x: complex_(g.zeros_like(), g),), ulps=0)
def imag(x):
    """The imaginary part."""
    return np.imag(x)


@primitive("T[], T[] -> T[]", (float32, float64), required=True, result=lambda a, b: complex_of(a.dtype), method=False,
           vjp=(lambda g, _y, _a, _b: real(g), lambda g, _y, _a, _b: imag(g)), ulps=0)  # fmt: skip
def complex_(real, imag):
    """Complex numbers of given real and imaginary parts."""
    y = np.empty(np.broadcast_shapes(real.shape, imag.shape), np.result_type(real.dtype, np.complex64))
    y.real, y.imag = real, imag
    return y


@composite("T[], T[] -> T[]", (float32, float64), result=lambda a, b: complex_of(a.dtype), method=False)
def polar(abs_, angle):
    """Complex numbers of given magnitudes and angles."""
    return complex_(abs_ * angle.cos(), abs_ * angle.sin())


def _angle_vjp(g: Any, _y: Any, x: Any) -> Any:
    if x.dtype.kind != "c":
        return x.zeros_like()
    size = x.abs()
    return where(size == 0, 0, _times_i(x / (size * size)) * g)


@composite("T[] -> T[]", ALL, result=lambda x: real_of(x.dtype) if x.dtype.kind in "fc" else float32, vjp=(_angle_vjp,))
def angle(x):
    """The angle of a complex number; of a real one, 0 or pi."""
    if x.dtype.kind == "c":
        return x.imag.atan2(x.real)
    z = x if x.dtype.kind == "f" else x.to(dtype=float32)
    return where(z < 0, math.pi, where(z != z, z, 0))


def _as_real_expand(x: Any) -> Any:
    parts = [p.reshape((*p.shape, 1)) for p in (x.real, x.imag)]
    return OPS["cat"](*parts, dim=-1)


@primitive("T -> T", COMPLEX, method=False, wide=False, shape=lambda x: (*x.shape, 2), result=_real, expand=_as_real_expand,
           vjp=(lambda g, _y, _x: view_as_complex(g),))  # fmt: skip
def view_as_real(x):
    """Complex numbers as pairs: one more dimension, of size two."""
    return np.stack([x.real, x.imag], -1)


@primitive("T[2] -> T[]", (float32, float64), method=False, wide=False, result=lambda x: complex_of(x.dtype),
           expand=lambda x: complex_(x[..., 0], x[..., 1]), vjp=(lambda g, _y, _x: view_as_real(g),))  # fmt: skip
def view_as_complex(x):
    """Pairs along the last dimension as complex numbers."""
    return complex_.fn(x[..., 0], x[..., 1])


# -- what is not a number --------------------------------------------------------------------------


@test(wide=False, expand=lambda x: x != x)
def isnan(x):
    """Whether it is NaN, or has a part that is."""
    return np.isnan(x)


def _parts(fn: Callable[[Any], Any], join: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    return lambda x: join(fn(x.real), fn(x.imag)) if x.dtype.kind == "c" else fn(x)


def _isinf(x: Any) -> Any:
    return x != x if x.dtype.kind != "f" else x.abs() == math.inf


@test(wide=False, expand=_parts(_isinf, lambda a, b: a | b))
def isinf(x):
    """Whether it is infinite, or has a part that is."""
    return np.isinf(x)


@test(wide=False, expand=_parts(lambda x: x == x if x.dtype.kind != "f" else x.abs() < math.inf, lambda a, b: a & b))
def isfinite(x):
    """Whether it is neither infinite nor NaN."""
    return np.isfinite(x)


@composite("T[] -> bool[]", ORDERED)
def isposinf(x):
    """Whether it is plus infinity."""
    return x == math.inf if x.dtype.kind == "f" else x != x


@composite("T[] -> bool[]", ORDERED)
def isneginf(x):
    """Whether it is minus infinity."""
    return x == -math.inf if x.dtype.kind == "f" else x != x


@composite("T[] -> bool[]", ALL)
def isreal(x):
    """Whether the imaginary part is zero."""
    return x.imag == 0 if x.dtype.kind == "c" else (x == x) | (x != x)


@unary_composite(ALL)
def nan_to_num(x, *, nan: float = 0.0, posinf: float = None, neginf: float = None):
    """NaN and the infinities replaced: by zero and the dtype's largest numbers where nothing else is given."""
    if x.dtype.kind == "c":
        attrs = {"nan": nan, "posinf": posinf, "neginf": neginf}
        return complex_(nan_to_num(x.real, **attrs), nan_to_num(x.imag, **attrs))
    if x.dtype.kind != "f":
        return alias(x)
    limits = finfo(x.dtype)
    high = float(limits.max) if posinf is None else posinf
    low = float(limits.min) if neginf is None else neginf
    return where(x != x, nan or 0.0, where(x == math.inf, high, where(x == -math.inf, low, x)))


# -- comparisons -----------------------------------------------------------------------------------


@compare(required=True)
def eq(a, b):
    """Whether a equals b."""
    return np.equal(a, b)


@compare(expand=lambda a, b: logical_not(eq(a, b)))
def ne(a, b):
    """Whether a differs from b; NaN differs from all."""
    return np.not_equal(a, b)


ordered = partial(primitive, "T[], T[] -> bool[]", ORDERED, wide=False)


@ordered(required=True)
def lt(a, b):
    """Whether a is less than b."""
    return np.less(a, b)


@ordered(expand=lambda a, b: bitwise_or(lt(a, b), eq(a, b)))
def le(a, b):
    """Whether a is at most b."""
    return np.less_equal(a, b)


@ordered(expand=lambda a, b: lt(b, a))
def gt(a, b):
    """Whether a is greater than b."""
    return np.greater(a, b)


@ordered(expand=lambda a, b: bitwise_or(lt(b, a), eq(a, b)))
def ge(a, b):
    """Whether a is at least b."""
    return np.greater_equal(a, b)


@composite("T[], T[] -> bool[]", ALL)
def isclose(a, b, *, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False):
    """Whether |a - b| is at most atol + rtol |b|; infinities are close to themselves."""
    same = eq(a, b)
    if equal_nan and a.dtype.kind in "fc":
        same = same | (ne(a, a) & ne(b, b))
    if a.dtype.kind in "biu":
        a, b = a.to(dtype=float64), b.to(dtype=float64)
    gap = (a - b).abs()
    return same | (gap.isfinite() & (gap <= atol + (rtol * b).abs()))


@function()
def allclose(x: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether all elements are close, as a Python bool."""
    return bool(isclose(x, other, rtol=rtol, atol=atol, equal_nan=equal_nan).all())


@function()
def equal(x: Any, other: Any) -> bool:
    """Whether two tensors have the same shape and elements, as a Python bool."""
    return x.shape == other.shape and bool(eq(x, other).all())


# -- logic and bits --------------------------------------------------------------------------------


@test(required=True, wide=False)
def logical_not(x):
    """Whether it is zero."""
    return np.logical_not(x)


def _truth(x: Any) -> Any:
    return x if x.dtype.kind == "b" else x != 0


logical = partial(primitive, "A[], B[] -> bool[]", A=ALL, B=ALL, wide=False)


@logical(expand=lambda a, b: bitwise_and(_truth(a), _truth(b)))
def logical_and(a, b):
    """Whether neither is zero."""
    return np.logical_and(a != 0, b != 0)


@logical(expand=lambda a, b: bitwise_or(_truth(a), _truth(b)))
def logical_or(a, b):
    """Whether one is not zero."""
    return np.logical_or(a != 0, b != 0)


@logical(expand=lambda a, b: bitwise_xor(_truth(a), _truth(b)))
def logical_xor(a, b):
    """Whether exactly one is not zero."""
    return np.logical_xor(a != 0, b != 0)


@unary(
    LOGICAL,
    expand=lambda x: (
        logical_not(x) if x.dtype.kind == "b" else bitwise_xor(x, -1 if x.dtype.kind == "i" else 2 ** (8 * x.dtype.itemsize) - 1)
    ),
)
def bitwise_not(x):
    """Each bit inverted; of booleans, the negation."""
    return np.invert(x)


@binary(LOGICAL, required=True)
def bitwise_and(a, b):
    """The bits set in both."""
    return np.bitwise_and(a, b)


@binary(LOGICAL, required=True)
def bitwise_or(a, b):
    """The bits set in either."""
    return np.bitwise_or(a, b)


@binary(LOGICAL, required=True)
def bitwise_xor(a, b):
    """The bits set in exactly one."""
    return np.bitwise_xor(a, b)


def _shift_sample(d: Any) -> Any:
    a, b = d.shapes([[], []])
    dtype = d.dtype(INTEGERS)
    return [d.array(a, dtype), d.array(b, dtype, (0, d.one([7, 8 * dtype.itemsize - 1])))], {}


@binary(INTEGERS, required=True, sample=_shift_sample)
def bitwise_left_shift(a, b):
    """The bits of a moved up by b; 0 where b is not from 0 to the number of bits."""
    return np.left_shift(a, b)


@binary(INTEGERS, required=True, sample=_shift_sample)
def bitwise_right_shift(a, b):
    """The bits of a moved down by b, with the sign kept; all of them where b is not from 0 to the number of bits."""
    return np.right_shift(a, b)


# -- choices and mixtures --------------------------------------------------------------------------


@primitive("bool[], T[], T[] -> T[]", EVERY, required=True, wide=False, method=False, vjp=(
    None, lambda g, _y, c, _a, _b: where(c, g, 0), lambda g, _y, c, _a, _b: where(c, 0, g)))  # fmt: skip
def where(condition, a, b):
    """a where the condition holds, else b."""
    return np.where(condition, a, b)


@function(method=lambda self, condition, other: where(condition, self, other), name="where", front=True)
def _where(condition: Any, *values: Any, input: Any = None, other: Any = None, **named: Any) -> Any:
    """a where the condition holds, else b; of a condition alone, the places where it holds, one tensor per dimension."""
    named.update({k: v for k, v in (("a", input), ("b", other)) if v is not None})
    if values or named:
        named = {{"self": "a", "x": "a", "y": "b"}.get(k, k): v for k, v in named.items()}
        return where(condition, *values, **named)
    return FUNCTIONS["nonzero"](condition, as_tuple=True)


@composite(
    "T[], T[], T[] -> T[]",
    INEXACT,
    vjp=(lambda g, _y, _a, _b, w: g * conj(1 - w), lambda g, _y, _a, _b, w: g * conj(w), lambda g, _y, a, b, _w: g * conj(b - a)),
)
def lerp(start, end, weight):
    """start + weight (end - start), exact at both ends."""
    gap = end - start
    return where(weight.abs() < 0.5, start + weight * gap, end - gap * (1 - weight))


@composite("T[], T[], T[] -> T[]", NUMBERS)
def addcmul(x, a, b, *, value: Any = 1):
    """x + value a b."""
    return x + a * b if value == 1 else x + (a * b) * value


@composite("T[], T[], T[] -> T[]", INEXACT)
def addcdiv(x, a, b, *, value: Any = 1):
    """x + value a / b."""
    return x + a / b if value == 1 else x + (a / b) * value


@composite(
    "T[], S[] -> T[]", INEXACT, S=REALS, result=lambda a, b: result_type(a, b) if result_type(a, b).kind in "fc" else a.dtype
)
def ldexp(x, other):
    """x 2^other."""
    return x * OPS["exp2"](other if other.dtype.kind == "f" else other.to(dtype=real_of(x.dtype)))


@binary_composite(ORDERED)
def heaviside(x, values):
    """0 below zero, 1 above, and the given values at zero."""
    return where(x == 0, values, (x > 0).to(dtype=x.dtype))


@unary_composite(
    INEXACT, sample=lambda d: ([d.array(d.shape(), d.dtype(INEXACT))], {"mul": d.float(-2, 2), "add": d.float(-2, 2)})
)
def affine(x, *, mul: float, add: float):
    """x mul + add."""
    return x * mul + add


# -- PyTorch's other call forms and other names ----------------------------------------------------


def _scaled(a: Any, b: Any, alpha: Any, op: Any) -> Any:
    return op(a, b if alpha == 1 else b * alpha)


@function(name="pow", front=True)
def _pow(a: Any, b: Any) -> Any:
    """a raised to b."""
    return pow(a, b)


@function(method=True, name="add", front=True)
def _add(x: Any, other: Any, *, alpha: Any = 1) -> Any:
    """x + alpha other; of booleans, their disjunction."""
    return _scaled(x, other, alpha, add)


@function(method=True, name="sub", front=True)
def _sub(x: Any, other: Any, *, alpha: Any = 1) -> Any:
    """x - alpha other; booleans are refused."""
    return _scaled(x, other, alpha, sub)


@function()
def rsub(x: Any, other: Any, *, alpha: Any = 1) -> Any:
    """other - alpha x."""
    return _scaled(other, x, alpha, sub)


@function(method=True, name="div", front=True)
def _div(x: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    """The quotient; rounding_mode "floor" or "trunc" rounds it down or towards zero, and keeps integers."""
    if rounding_mode is None:
        return div(x, other)
    if rounding_mode not in ("floor", "trunc"):
        raise ShapeError(f"div's rounding_mode is None, 'floor' or 'trunc' but {rounding_mode!r} was given")
    return (floor_divide if rounding_mode == "floor" else _trunc_divide)(x, other)


@function()
def round_to(x: Any, decimals: int) -> Any:
    """Rounded to some places after the point."""
    return round_(x, decimals=decimals)


ALIASES = {
    "absolute": "abs", "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh", "arctan": "atan",
    "arctan2": "atan2", "arctanh": "atanh", "clip": "clamp", "divide": "div", "fix": "trunc", "greater": "gt",
    "greater_equal": "ge", "less": "lt", "less_equal": "le", "multiply": "mul", "negative": "neg", "not_equal": "ne",
    "recip": "reciprocal", "sqr": "square", "subtract": "sub", "true_divide": "div",
}  # fmt: skip


def also_called(name: str, op: Any) -> None:
    """Offer an op or a function under another name."""

    def called(*args: Any, **attrs: Any) -> Any:
        return op(*args, **attrs)

    called.__name__, called.__doc__ = name, getattr(op, "doc", op.__doc__)
    called.__dict__["alias"] = op
    function(name=name)(called)


for _name, _op in ALIASES.items():
    also_called(_name, FUNCTIONS.get(_op) or OPS[_op])
