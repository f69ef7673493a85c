"""Kernels that move elements."""

from __future__ import annotations

import builtins
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from candle.ops.movement import _begin

from .table import Array, kernel


@kernel()
def reshape(out: Any, x: Array, *, shape: Any) -> Array:
    return jnp.reshape(x, shape)


@kernel()
def permute(out: Any, x: Array, *, dims: Any) -> Array:
    return jnp.transpose(x, dims)


@kernel()
def expand(out: Any, x: Array, *, shape: Any) -> Array:
    return jnp.broadcast_to(x, shape)


def _key(starts: Any, stops: Any, steps: Any) -> tuple[Any, ...]:
    return tuple([builtins.slice(a, b, c) for a, b, c in zip(starts, stops, steps)])


@kernel("slice")
def slice_(out: Any, x: Array, *, starts: Any, stops: Any, steps: Any) -> Array:
    return x[_key(starts, stops, steps)]


@kernel()
def slice_set(out: Any, x: Array, v: Array, *, starts: Any, stops: Any, steps: Any) -> Array:
    return x.at[_key(starts, stops, steps)].set(v)


@kernel()
def constant_pad(out: Any, x: Array, *, lo: Any, hi: Any, value: Any) -> Array:
    return jax.lax.pad(x, np.asarray(value).astype(x.dtype), [(a, b, 0) for a, b in zip(lo, hi)])


@kernel()
def cat(out: Any, *xs: Array, dim: int) -> Array:
    return jnp.concatenate(xs, dim)


def _position(name: str, length: Any) -> Any:
    """A check that a stretch of elements begins where it fits."""

    def check(out: Any, x: Array, *rest: Array, dim: int, **attrs: Any) -> None:
        n = attrs["length"] if length is None else rest[0].shape[dim]
        _begin(name, np.asarray(rest[-1]), n, x.shape[dim])

    return check


@kernel(before=_position("narrow_at", None))
def narrow_at(out: Any, x: Array, at: Array, *, dim: int, length: int) -> Array:
    return jax.lax.dynamic_slice_in_dim(x, at.astype(jnp.int64), length, dim)


@kernel(before=_position("write", 0))
def write(out: Any, x: Array, src: Array, at: Array, *, dim: int) -> Array:
    return jax.lax.dynamic_update_slice_in_dim(x, src, at.astype(jnp.int64), dim)


@kernel()
def bitcast(out: Any, x: Array, *, dtype: Any) -> Array:
    a, b = x.dtype.itemsize, dtype.itemsize
    if x.size == 0:
        return jnp.zeros(out.shape, dtype.numpy)
    x = _bytes(x) if a != b or jnp.iscomplexobj(x) or dtype.kind in "bc" or x.dtype == bool else x
    return _read(x, out) if x.ndim > len(out.shape) or x.dtype == jnp.uint8 else jax.lax.bitcast_convert_type(x, dtype.numpy)


def _bytes(x: Array) -> Array:
    """The bytes of each element as a further dimension, which is then part of the last."""
    if x.dtype == bool:
        y = x.astype(jnp.uint8)
    elif jnp.iscomplexobj(x):
        y = jax.lax.bitcast_convert_type(jnp.stack([x.real, x.imag], -1), jnp.uint8)
    else:
        y = jax.lax.bitcast_convert_type(x, jnp.uint8)
    return y.reshape((*x.shape, x.dtype.itemsize))


def _read(x: Array, out: Any) -> Array:
    """Elements from bytes."""
    dtype = out.dtype
    if dtype.kind == "b":
        return x.reshape(out.shape) != 0
    if dtype.kind == "c":
        half = np.dtype(np.float32 if dtype.itemsize == 8 else np.float64)
        parts = jax.lax.bitcast_convert_type(x.reshape((*out.shape, 2, half.itemsize)), half)
        return jax.lax.complex(parts[..., 0], parts[..., 1])
    x = x.reshape(out.shape if dtype.itemsize == 1 else (*out.shape, dtype.itemsize))
    return jax.lax.bitcast_convert_type(x, dtype.numpy)
