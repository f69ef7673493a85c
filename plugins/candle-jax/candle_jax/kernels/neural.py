"""Kernels of matrix products, activations, softmax and norms."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from candle.dtype import HALVES

from .reduce import average
from .table import PRECISE, Array, kernel


@kernel(native=True)
def matmul(out: Any, a: Array, b: Array) -> Array:
    wide = jnp.float32 if out.dtype in HALVES else None
    return jnp.matmul(a, b, precision=PRECISE, preferred_element_type=wide)


@kernel()
def relu(out: Any, x: Array) -> Array:
    return jnp.maximum(x, jnp.zeros((), x.dtype))


def _shifted(x: Array, out: Any, dim: int, dtype: Any) -> Array:
    if dtype is not None:
        x = x.astype(jnp.float32 if out.dtype in HALVES else out.dtype.numpy)
    return x - jnp.max(x, dim, keepdims=True, initial=-jnp.inf) if x.size else x


@kernel()
def softmax(out: Any, x: Array, *, dim: int, dtype: Any) -> Array:
    e = jnp.exp(_shifted(x, out, dim, dtype))
    return e / jnp.sum(e, dim, keepdims=True)


@kernel()
def log_softmax(out: Any, x: Array, *, dim: int, dtype: Any) -> Array:
    z = _shifted(x, out, dim, dtype)
    return z - jnp.log(jnp.sum(jnp.exp(z), dim, keepdims=True))


def _last(x: Array, normalized_shape: Any) -> tuple[int, ...]:
    return tuple(range(x.ndim - len(normalized_shape), x.ndim))


@kernel()
def layer_norm(out: Any, x: Array, weight: Array | None, bias: Array | None, *, normalized_shape: Any, eps: float) -> Array:
    dims = _last(x, normalized_shape)
    centred = x - average(x, dims)
    y = centred / jnp.sqrt(average(centred * centred, dims) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


@kernel()
def rms_norm(out: Any, x: Array, weight: Array | None, *, normalized_shape: Any, eps: float) -> Array:
    y = x / jnp.sqrt(average(x * x, _last(x, normalized_shape)) + eps)
    return y if weight is None else y * weight
