"""Kernels of reductions, running reductions and order."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from .table import Array, Function, add, floating, kernel, summed_in


@kernel("sum")
def sum_(out: Any, x: Array, *, dim: Any, keepdim: bool, dtype: Any) -> Array:
    return jnp.sum(x.astype(summed_in(out)), dim, keepdims=keepdim)


@kernel()
def prod(out: Any, x: Array, *, dim: Any, keepdim: bool, dtype: Any) -> Array:
    return jnp.prod(x.astype(summed_in(out)), dim, keepdims=keepdim)


def _count(x: Array, dim: Any) -> int:
    return math.prod([x.shape[d] for d in dim])


def average(x: Array, dim: Any, keepdim: bool = True) -> Array:
    """The mean over some dimensions; of nothing, NaN."""
    return jnp.sum(x, dim, keepdims=keepdim) / jnp.asarray(_count(x, dim), x.dtype)


@kernel()
def mean(out: Any, x: Array, *, dim: Any, keepdim: bool, dtype: Any) -> Array:
    return average(x.astype(summed_in(out)), dim, keepdim)


def _along(function: Any, test: bool = False) -> Function:
    return lambda out, x, *, dim, keepdim: function(x != 0 if test else x, dim, keepdims=keepdim)


def _extreme(function: Any) -> Function:
    """XLA's vectorised reductions lose NaN on the CPU, so it is looked for."""

    def reduced(out: Any, x: Array, *, dim: Any, keepdim: bool) -> Array:
        y = function(x, dim, keepdims=keepdim)
        return jnp.where(jnp.any(x != x, dim, keepdims=keepdim), jnp.nan, y) if floating(x) else y

    return reduced


add("amax", _extreme(jnp.max))
add("amin", _extreme(jnp.min))
add("argmax", _along(jnp.argmax))
add("argmin", _along(jnp.argmin))
add("any", _along(jnp.any, test=True))
add("all", _along(jnp.all, test=True))


@kernel()
def logsumexp(out: Any, x: Array, *, dim: Any, keepdim: bool) -> Array:
    top = jnp.max(x, dim, keepdims=True, initial=-jnp.inf)
    top = jnp.where(jnp.isfinite(top), top, 0)
    total = jnp.log(jnp.sum(jnp.exp(x - top), dim, keepdims=True)) + top
    return total if keepdim else jnp.squeeze(total, dim)


@kernel()
def var(out: Any, x: Array, *, dim: Any, correction: float, keepdim: bool) -> Array:
    rest = x - average(x, dim)
    total = jnp.sum((rest * rest.conj()).real, dim, keepdims=keepdim)
    return total / jnp.asarray(max(0.0, _count(x, dim) - correction), total.dtype)


@kernel()
def std(out: Any, x: Array, **attrs: Any) -> Array:
    return jnp.sqrt(var(out, x, **attrs))


@kernel()
def cumsum(out: Any, x: Array, *, dim: int, dtype: Any) -> Array:
    return jnp.cumsum(x.astype(summed_in(out)), dim)


@kernel()
def cumprod(out: Any, x: Array, *, dim: int, dtype: Any) -> Array:
    return jnp.cumprod(x.astype(summed_in(out)), dim)


@kernel()
def logcumsumexp(out: Any, x: Array, *, dim: int) -> Array:
    return jax.lax.associative_scan(jnp.logaddexp, x, axis=dim)


def _running(out: Any, x: Array, dim: int, best: Any) -> tuple[Array, Array]:
    top = jax.lax.associative_scan(best, x, axis=dim)
    here = jax.lax.broadcasted_iota(jnp.int64, x.shape, dim)
    found = (x == top) | (x != x)
    return top, jax.lax.cummax(jnp.where(found, here, 0), axis=dim)


@kernel()
def cummax(out: Any, x: Array, *, dim: int) -> tuple[Array, Array]:
    return _running(out, x, dim, jnp.maximum)


@kernel()
def cummin(out: Any, x: Array, *, dim: int) -> tuple[Array, Array]:
    return _running(out, x, dim, jnp.minimum)


def ordered(x: Array, dim: int) -> tuple[Array, Array]:
    """The elements in rising order and where each was; NaN last, equal ones in their order."""
    here = jax.lax.broadcasted_iota(jnp.int64, x.shape, dim)
    y, at = jax.lax.sort((x, here), dimension=dim, is_stable=True, num_keys=1)
    return y, at


@kernel()
def sort(out: Any, x: Array, *, dim: int, descending: bool, stable: bool) -> tuple[Array, Array]:
    if not descending:
        return ordered(x, dim)
    y, at = ordered(jnp.flip(x, dim), dim)
    return jnp.flip(y, dim), x.shape[dim] - 1 - jnp.flip(at, dim)


@kernel()
def mode(out: Any, x: Array, *, dim: int, keepdim: bool) -> tuple[Array, ...]:
    y, at = ordered(jnp.moveaxis(x, dim, -1), x.ndim - 1)
    here = jnp.arange(x.shape[dim])
    fresh = jnp.concatenate([jnp.ones_like(y[..., :1], bool), y[..., 1:] != y[..., :-1]], -1)
    begun = jax.lax.cummax(jnp.where(fresh, here, 0), axis=x.ndim - 1)
    best = jnp.argmax(here - begun, -1)[..., None]
    found = [jnp.take_along_axis(v, best, -1) for v in (y, at)]
    return tuple([jnp.moveaxis(v, -1, dim) if keepdim else v[..., 0] for v in found])


@kernel()
def searchsorted(out: Any, table: Array, x: Array, *, right: bool, out_int32: bool) -> Array:
    if table.ndim == 1:
        return jnp.searchsorted(table, x, side="right" if right else "left")
    n = table.shape[-1]
    low, high = jnp.zeros(x.shape, jnp.int64), jnp.full(x.shape, n, jnp.int64)
    for _ in range(n.bit_length()):
        middle = (low + high) // 2
        found = jnp.take_along_axis(table, jnp.minimum(middle, n - 1), -1)
        beyond = (low < high) & ~(found > x if right else found >= x)
        low, high = jnp.where(beyond, middle + 1, low), jnp.where(beyond, high, middle)
    return low
