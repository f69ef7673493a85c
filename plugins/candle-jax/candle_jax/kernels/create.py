"""Kernels that make tensors from nothing, and Philox."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from candle import OPS
from candle.ops.random import blocks

from .table import Array, add, kernel


@kernel()
def full(out: Any, *, shape: Any, value: Any, dtype: Any) -> Array:
    return jnp.full(shape, np.asarray(value).astype(dtype.numpy))


def _host(name: str) -> None:
    """What depends on attributes alone is computed once, by the reference, and is a constant."""
    add(name, lambda out, **attrs: jnp.asarray(OPS[name].fn(**attrs)))


_host("linspace")


@kernel()
def arange(out: Any, *, start: Any, step: Any, length: int, dtype: Any) -> Array:
    whole = all(isinstance(v, int) for v in (start, step))
    n = jnp.arange(length, dtype=jnp.int64 if whole else jnp.float64)
    return (start + step * n).astype(dtype.numpy)


@kernel()
def eye(out: Any, *, n: int, m: int, k: int, dtype: Any) -> Array:
    return jnp.eye(n, m, k, dtype=jnp.int8).astype(dtype.numpy)


_ROUNDS, _MULTIPLIERS, _STEPS = 10, (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)


def _product(m: int, x: Array) -> tuple[Array, Array]:
    """The high and the low word of a product of two 32-bit words."""
    p = jnp.uint64(m) * x.astype(jnp.uint64)
    return (p >> jnp.uint64(32)).astype(jnp.uint32), p.astype(jnp.uint32)


@kernel()
def random_bits(out: Any, state: Array, *, shape: Any) -> Array:
    """Philox4x32-10 of J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011)."""
    seed, offset = state[0].astype(jnp.uint64), state[1].astype(jnp.uint64)
    n = blocks(shape)
    at = jnp.arange(n, dtype=jnp.uint64) + offset
    c0, c1 = at.astype(jnp.uint32), (at >> jnp.uint64(32)).astype(jnp.uint32)
    c2 = c3 = jnp.zeros(n, jnp.uint32)
    k0, k1 = seed.astype(jnp.uint32), (seed >> jnp.uint64(32)).astype(jnp.uint32)
    for _ in range(_ROUNDS):
        hi0, lo0 = _product(_MULTIPLIERS[0], c0)
        hi1, lo1 = _product(_MULTIPLIERS[1], c2)
        c0, c1, c2, c3 = hi1 ^ c1 ^ k0, lo1, hi0 ^ c3 ^ k1, lo0
        k0, k1 = k0 + jnp.uint32(_STEPS[0]), k1 + jnp.uint32(_STEPS[1])
    return jnp.stack([c0, c1, c2, c3], 1).reshape(-1)[: math.prod(shape)].reshape(shape)
