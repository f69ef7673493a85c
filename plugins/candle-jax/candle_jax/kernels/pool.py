"""Kernels of pooling."""

from __future__ import annotations

from math import prod
from typing import Any, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from candle.ops.pool import _divisors

from .conv import windows
from .table import Array, floating, kernel


def _margins(x: Array, out: Any, a: Mapping[str, Any]) -> list[tuple[int, int]]:
    """The margins that the windows really need; behind x they may be negative."""
    each = zip(x.shape[2:], out.shape[2:], a["kernel_size"], a["stride"], a["padding"], a["dilation"])
    return [(lo, (m - 1) * s + d * (k - 1) + 1 - lo - size) for size, m, k, s, (lo, _), d in each]


def _reduced(x: Array, out: Any, start: Any, best: Any, a: Mapping[str, Any]) -> Array:
    if not out.size:
        return jnp.zeros(out.shape, x.dtype)
    x = jax.lax.pad(x, start, [(0, 0, 0), (0, 0, 0), *[(lo, hi, 0) for lo, hi in _margins(x, out, a)]])
    return jax.lax.reduce_window(
        x, start, best, (1, 1, *a["kernel_size"]), (1, 1, *a["stride"]), "VALID", window_dilation=(1, 1, *a["dilation"])
    )


def _lowest(x: Array) -> Any:
    return jnp.asarray(-jnp.inf if floating(x) else np.iinfo(x.dtype).min, x.dtype)


@kernel()
def max_pool(out: Any, x: Array, **a: Any) -> Array:
    top = _reduced(x, out, _lowest(x), jax.lax.max, a)
    if not floating(x) or not out.size:
        return top
    nan = _reduced((x != x).astype(jnp.int8), out, jnp.zeros((), jnp.int8), jax.lax.max, a)  # which a vectorised maximum may lose
    return jnp.where(nan != 0, jnp.nan, top)


@kernel()
def avg_pool(out: Any, x: Array, **a: Any) -> Array:
    total = _reduced(x, out, jnp.zeros((), x.dtype), jax.lax.add, a)
    return total / jnp.asarray(_divisors(x.shape[2:], out.shape[2:], a), x.dtype)


def _shaped(places: Sequence[Any], n: int) -> list[Array]:
    """[kernel, positions] of each dimension, to broadcast as [*kernel, *positions]."""
    found = []
    for i, at in enumerate(places):
        shape = [1] * (2 * n)
        shape[i], shape[n + i] = at.shape
        found.append(at.reshape(shape))
    return found


@kernel()
def max_pool_with_indices(out: Any, x: Array, **a: Any) -> tuple[Array, Array]:
    """The last NaN of a window or else the first of its largest elements; the margin never counts."""
    spec, n, sizes = out[0], x.ndim - 2, x.shape[2:]
    counts, kernel_size = spec.shape[2:], a["kernel_size"]
    if not spec.size:
        return jnp.zeros(spec.shape, x.dtype), jnp.zeros(spec.shape, jnp.int64)
    pads = [(0, 0, 0), (0, 0, 0), *[(lo, hi, 0) for lo, hi in _margins(x, spec, a)]]
    seen = windows(jax.lax.pad(x, _lowest(x), pads), counts, kernel_size, a["stride"], a["dilation"])
    each = zip(counts, kernel_size, a["stride"], a["dilation"], a["padding"])
    places = [np.arange(k)[:, None] * d + np.arange(m) * s - lo for m, k, s, d, (lo, _) in each]
    inside = _shaped([(p >= 0) & (p < size) for p, size in zip(places, sizes)], n)
    valid = np.broadcast_to(np.logical_and.reduce(np.broadcast_arrays(*inside)), (*kernel_size, *counts))
    flat = _shaped([p * prod(sizes[i + 1 :]) for i, p in enumerate(places)], n)
    at = np.broadcast_to(sum(flat[1:], flat[0]), (*kernel_size, *counts)).reshape(-1, *counts)
    k = prod(kernel_size)
    seen, valid = seen.reshape(*x.shape[:2], k, *counts), valid.reshape(k, *counts)
    top = jnp.max(seen, 2, keepdims=True)
    nan = valid & (seen != seen)
    last = k - 1 - jnp.argmax(jnp.flip(nan, 2), 2)
    first = jnp.argmax(valid & (seen == top), 2)
    chosen = jnp.where(jnp.any(nan, 2), last, first)[:, :, None]
    where = jnp.take_along_axis(jnp.broadcast_to(jnp.asarray(at, jnp.int64), seen.shape), chosen, 2)
    return jnp.take_along_axis(seen, chosen, 2)[:, :, 0], where[:, :, 0]
