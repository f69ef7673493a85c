"""Kernels of Fourier transforms."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from .table import Array, kernel

_AT_ONCE = 3  # dimensions that XLA transforms together


@kernel()
def dft(out: Any, x: Array, *, dim: Any, inverse: bool, scale: float) -> Array:
    if not x.size:
        return x
    for at in range(0, len(dim), _AT_ONCE):
        axes = dim[at : at + _AT_ONCE]
        x = jnp.fft.ifftn(x, axes=axes, norm="forward") if inverse else jnp.fft.fftn(x, axes=axes)
    return x if scale == 1 else x * jnp.asarray(scale, x.real.dtype)


@kernel()
def rdft(out: Any, x: Array, *, dim: int, scale: float) -> Array:
    return jnp.fft.rfft(x, axis=dim) * jnp.asarray(scale, x.dtype) if out.size else jnp.zeros(out.shape, out.dtype.numpy)


@kernel()
def irdft(out: Any, x: Array, *, dim: int, length: int, scale: float) -> Array:
    if not out.size:
        return jnp.zeros(out.shape, out.dtype.numpy)
    return jnp.fft.irfft(x, n=length, axis=dim, norm="forward") * jnp.asarray(scale, x.real.dtype)
