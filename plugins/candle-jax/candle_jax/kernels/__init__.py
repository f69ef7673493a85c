"""Kernels of the op table in jax.numpy and lax, by family as the ops are."""

from . import conv, create, elementwise, fft, linalg, movement, neural, pool, reduce, select, special  # noqa: F401
from .table import Kernel, kernels

__all__ = ["Kernel", "kernels"]
