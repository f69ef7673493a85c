"""Kernels of the special functions."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import jax.scipy.special as scipy

from .table import Array, add, kernel

for _name, _function in {
    "erf": scipy.erf, "erfc": scipy.erfc, "erfinv": scipy.erfinv, "lgamma": scipy.gammaln, "digamma": scipy.digamma,
}.items():  # fmt: skip
    add(_name, lambda out, x, _function=_function: _function(x))


@kernel()
def polygamma(out: Any, x: Array, *, n: int) -> Array:
    return scipy.polygamma(n, x) if n else scipy.digamma(x)


def _grown(scaled: Array, x: Array) -> Array:
    """A Bessel function from itself times exp(-|x|), without overflow before the function does."""
    half = jnp.exp(jnp.abs(x) / 2)
    return half * (half * scaled)


@kernel()
def i0(out: Any, x: Array) -> Array:
    return jnp.where(jnp.isinf(x), jnp.inf, _grown(scipy.i0e(x), x))


@kernel()
def i1(out: Any, x: Array) -> Array:
    return jnp.where(jnp.isinf(x), x, _grown(scipy.i1e(x), x))
