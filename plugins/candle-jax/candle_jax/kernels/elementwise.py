"""Elementwise kernels."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from candle import OPS

from .table import Array, add, complex_, floating, kernel

_NAMES = {
    "neg": "negative", "sub": "subtract", "mul": "multiply", "div": "true_divide", "asin": "arcsin", "acos": "arccos",
    "atan": "arctan", "atan2": "arctan2", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh",
    "conj_physical": "conjugate", "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
    "ge": "greater_equal", "bitwise_left_shift": "left_shift", "bitwise_right_shift": "right_shift",
}  # fmt: skip

for _op in OPS.values():
    # where jax.numpy has a function of that name, it is the kernel, unless one below takes its place
    _found = getattr(jnp, _NAMES.get(_op.name, _op.name), None)
    if _op.group == "elementwise" and not _op.composite and not _op.attrs and _found is not None:
        add(_op.name, lambda out, *xs, _found=_found: _found(*xs))


@kernel()
def cast(out: Any, x: Array, *, dtype: Any) -> Array:
    if dtype.kind == "b":
        return x != 0
    if complex_(x) and dtype.kind != "c":
        x = x.real
    return x.astype(dtype.numpy)


@kernel()
def alias(out: Any, x: Array) -> Array:
    return x


@kernel()
def pow_(out: Any, a: Array, b: Array) -> Array:
    if floating(a) or complex_(a) or jnp.issubdtype(a.dtype, jnp.unsignedinteger):
        return jnp.power(a, b)
    y = jnp.power(a, jnp.maximum(b, 0))
    odd = jnp.where(b & 1 == 1, a, 1)
    return jnp.where(b < 0, jnp.where((a == 1) | (a == -1), odd, 0), y)


@kernel()
def sign(out: Any, x: Array) -> Array:
    if x.dtype == jnp.bool_:
        return x
    return (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)


@kernel()
def sgn(out: Any, x: Array) -> Array:
    if not complex_(x):
        return sign(out, x)
    size = jnp.abs(x)
    return jnp.where(size == 0, 0, x / jnp.where(size == 0, 1, size))


@kernel()
def reciprocal(out: Any, x: Array) -> Array:
    return 1 / x


@kernel()
def rsqrt(out: Any, x: Array) -> Array:
    return 1 / jnp.sqrt(x)


@kernel()
def sigmoid(out: Any, x: Array) -> Array:
    return 1 / (1 + jnp.exp(-x))


@kernel()
def log1p(out: Any, x: Array) -> Array:
    """By W. Kahan's correction of log(1 + x) for what the sum rounds away: XLA's own is 50 roundings off in float64."""
    if complex_(x):
        return jnp.log1p(x)
    u = 1 + x
    return jnp.where(u == 1, x, jnp.where(u == x, jnp.log(u), jnp.log(u) * (x / (u - 1))))


@kernel()
def atanh(out: Any, x: Array) -> Array:
    return jnp.arctanh(x) if complex_(x) else 0.5 * (log1p(out, x) - log1p(out, -x))


@kernel()
def logaddexp(out: Any, a: Array, b: Array) -> Array:
    gap = jnp.where(a == b, 0, jnp.abs(a - b))
    return jnp.maximum(a, b) + log1p(out, jnp.exp(-gap))


@kernel()
def logaddexp2(out: Any, a: Array, b: Array) -> Array:
    gap = jnp.where(a == b, 0, jnp.abs(a - b))
    return jnp.maximum(a, b) + jnp.where(gap == 0, 1, log1p(out, jnp.exp2(-gap)) * (1 / math.log(2.0)))


def _kept(function: Any) -> Any:
    """Rounding leaves integers and booleans as they are."""
    return lambda out, x: function(x) if floating(x) else x


for _name in ("floor", "ceil", "trunc"):
    add(_name, _kept(getattr(jnp, _name)))


@kernel("round")
def round_(out: Any, x: Array, *, decimals: int) -> Array:
    if not floating(x) or decimals == 0:
        return jnp.rint(x) if floating(x) else x
    scale = jnp.asarray(10.0 ** abs(decimals), x.dtype)
    return jnp.rint(x * scale) / scale if decimals > 0 else jnp.rint(x / scale) * scale


def _by_nonzero(b: Array) -> Array:
    return jnp.where(b == 0, 1, b)


@kernel()
def floor_divide(out: Any, a: Array, b: Array) -> Array:
    if floating(a):
        return jnp.floor_divide(a, b)
    return jnp.where(b == 0, 0, jnp.floor_divide(a, _by_nonzero(b)))


@kernel()
def trunc_divide(out: Any, a: Array, b: Array) -> Array:
    a, b = jnp.broadcast_arrays(a, b)
    if floating(a):
        # XLA multiplies by the reciprocal of what is broadcast, and that may be just below an integer
        return jnp.trunc(jnp.divide(*jax.lax.optimization_barrier((a, b))))
    return jnp.where(b == 0, 0, jax.lax.div(a, _by_nonzero(b)))


@kernel()
def remainder(out: Any, a: Array, b: Array) -> Array:
    return jnp.remainder(a, b) if floating(a) else jnp.where(b == 0, 0, jnp.remainder(a, _by_nonzero(b)))


@kernel()
def fmod(out: Any, a: Array, b: Array) -> Array:
    return jnp.fmod(a, b) if floating(a) else jnp.where(b == 0, 0, jnp.fmod(a, _by_nonzero(b)))


def _magnitudes(a: Array, b: Array) -> tuple[Array, Array]:
    """Absolute values in the unsigned dtype, which holds that of the least integer too."""
    wide = jnp.dtype(f"uint{8 * a.dtype.itemsize}")
    return tuple([jnp.where(x < 0, -x.astype(wide), x.astype(wide)) for x in jnp.broadcast_arrays(a, b)])  # type: ignore[return-value]


def _euclid(a: Array, b: Array) -> Array:
    step = lambda ab: (jnp.where(ab[1] != 0, ab[1], ab[0]), jnp.where(ab[1] != 0, ab[0] % _by_nonzero(ab[1]), 0))
    return jax.lax.while_loop(lambda ab: jnp.any(ab[1] != 0), step, (a, b))[0]


@kernel()
def gcd(out: Any, a: Array, b: Array) -> Array:
    return _euclid(*_magnitudes(a, b))


@kernel()
def lcm(out: Any, a: Array, b: Array) -> Array:
    a, b = _magnitudes(a, b)
    return a // _by_nonzero(_euclid(a, b)) * b


@kernel()
def clamp(out: Any, x: Array, low: Array | None, high: Array | None) -> Array:
    y = x if low is None else jnp.maximum(x, low)
    return y if high is None else jnp.minimum(y, high)


@kernel()
def signbit(out: Any, x: Array) -> Array:
    return jnp.signbit(x) if floating(x) else x < 0 if x.dtype != jnp.bool_ else jnp.zeros(x.shape, bool)


@kernel("complex")
def complex_of(out: Any, real: Array, imag: Array) -> Array:
    return jax.lax.complex(*jnp.broadcast_arrays(real, imag))


@kernel()
def view_as_real(out: Any, x: Array) -> Array:
    return jnp.stack([x.real, x.imag], -1)


@kernel()
def view_as_complex(out: Any, x: Array) -> Array:
    return jax.lax.complex(x[..., 0], x[..., 1])


@kernel()
def logical_and(out: Any, a: Array, b: Array) -> Array:
    return (a != 0) & (b != 0)


@kernel()
def logical_or(out: Any, a: Array, b: Array) -> Array:
    return (a != 0) | (b != 0)


@kernel()
def logical_xor(out: Any, a: Array, b: Array) -> Array:
    return (a != 0) ^ (b != 0)
