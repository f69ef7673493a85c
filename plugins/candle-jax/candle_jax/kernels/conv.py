"""Kernels of convolutions, their adjoints, and windows as columns."""

from __future__ import annotations

from math import prod
from typing import Any, Sequence

import jax
import jax.numpy as jnp

from candle.dtype import HALVES

from .table import PRECISE, Array, kernel

Pairs = Sequence[tuple[int, int]]


def _convolved(
    out: Any,
    x: Array,
    w: Array,
    stride: Any,
    padding: Pairs,
    dilation: Any,
    groups: int = 1,
    spread: Any = None,
    batches: int = 1,
) -> Array:
    """XLA's convolution; half precision is summed in single.  Of nothing, zeros."""
    if not x.size or not w.size:
        n = w.shape[0] // batches if batches > 1 else w.shape[0]
        sizes = [(m - 1) * s + 1 if m else 0 for m, s in zip(x.shape[2:], spread or [1] * (x.ndim - 2))]
        reach = [m + a + b - d * (k - 1) - 1 for m, (a, b), d, k in zip(sizes, padding, dilation, w.shape[2:])]
        return jnp.zeros((x.shape[0] // batches, n * batches, *[r // s + 1 for r, s in zip(reach, stride)]), x.dtype)
    return jax.lax.conv_general_dilated(
        x, w, window_strides=stride, padding=padding, lhs_dilation=spread, rhs_dilation=dilation, feature_group_count=groups,
        batch_group_count=batches, precision=PRECISE, preferred_element_type=jnp.float32 if x.dtype in _HALVES else None,
    )  # fmt: skip


_HALVES = tuple(d.numpy for d in HALVES)


def _biased(y: Array, bias: Array | None) -> Array:
    return y if bias is None else y + bias.astype(y.dtype).reshape(-1, *[1] * (y.ndim - 2))


@kernel(native=True)
def conv(
    out: Any, x: Array, weight: Array, bias: Array | None, *, stride: Any, padding: Pairs, dilation: Any, groups: int
) -> Array:
    return _biased(_convolved(out, x, weight, stride, padding, dilation, groups), bias)


@kernel(native=True)
def conv_transpose(
    out: Any, x: Array, weight: Array, bias: Array | None, *, stride: Any, padding: Pairs, output_padding: Any, groups: int,
    dilation: Any,
) -> Array:  # fmt: skip
    """The convolution of x, its elements set apart by the stride, with the turned kernel."""
    kernel_ = weight.shape[2:]
    n = len(kernel_)
    w = jnp.flip(weight, tuple(range(2, 2 + n)))
    w = w.reshape(groups, weight.shape[0] // groups, *weight.shape[1:]).swapaxes(1, 2)
    w = w.reshape(groups * weight.shape[1], weight.shape[0] // groups, *kernel_)
    reach = [d * (k - 1) for d, k in zip(dilation, kernel_)]
    pads = [(r - lo, r - hi + e) for r, (lo, hi), e in zip(reach, padding, output_padding)]
    if not x.size or not w.size:
        y = jnp.zeros(out.shape, x.dtype)
    else:
        y = _convolved(out, x, w, (1,) * n, pads, dilation, groups, spread=stride)
    return _biased(y, bias)


@kernel(native=True)
def conv_weight(
    out: Any, x: Array, g: Array, *, kernel_size: Any, stride: Any, padding: Pairs, dilation: Any, groups: int
) -> Array:
    """The convolution of x with g in which the batch is summed over: batch and channels exchanged, stride and dilation too."""
    if not x.size or not g.size:
        return jnp.zeros(out.shape, x.dtype)
    # what of x no window reaches is left out, so that as many positions come out as the kernel has
    counts = g.shape[2:]
    ends = [d * (k - 1) + (m - 1) * s + 1 for k, d, m, s in zip(kernel_size, dilation, counts, stride)]
    pads = [(lo, e - size - lo) for (lo, _), e, size in zip(padding, ends, x.shape[2:])]
    y = _convolved(out, x.swapaxes(0, 1), g.swapaxes(0, 1), dilation, pads, stride, batches=groups)
    return y.swapaxes(0, 1)


def places(counts: Sequence[int], kernel_size: Any, stride: Any, dilation: Any) -> list[Array]:
    """For each spatial dimension, where in the padded input the elements of each window lie: [kernel, positions]."""
    each = zip(counts, kernel_size, stride, dilation)
    return [jnp.arange(k)[:, None] * d + jnp.arange(m) * s for m, k, s, d in each]


def counted(sizes: Sequence[int], padding: Pairs, kernel_size: Any, stride: Any, dilation: Any) -> list[int]:
    each = zip(sizes, padding, kernel_size, stride, dilation)
    return [(m + a + b - d * (k - 1) - 1) // s + 1 for m, (a, b), k, s, d in each]


def windows(x: Array, counts: Sequence[int], kernel_size: Any, stride: Any, dilation: Any) -> Array:
    """``[batch, channels, *kernel, *positions]`` of x, which is padded already."""
    n = len(kernel_size)
    for axis, at in enumerate(places(counts, kernel_size, stride, dilation)):
        x = jnp.take(x, at, 2 + 2 * axis)
    return x.transpose(0, 1, *range(2, 2 + 2 * n, 2), *range(3, 2 + 2 * n, 2))


@kernel()
def unfold2d(out: Any, x: Array, *, kernel_size: Any, dilation: Any, padding: Pairs, stride: Any) -> Array:
    if not out.size:
        return jnp.zeros(out.shape, x.dtype)
    flat = x.reshape(prod(x.shape[:-3]), *x.shape[-3:])
    counts = counted(x.shape[-2:], padding, kernel_size, stride, dilation)
    flat = jnp.pad(flat, ((0, 0), (0, 0), *padding))
    return windows(flat, counts, kernel_size, stride, dilation).reshape(out.shape)


@kernel()
def fold(out: Any, x: Array, *, output_size: Any, kernel_size: Any, dilation: Any, padding: Pairs, stride: Any) -> Array:
    batch, channels = prod(x.shape[:-2]), x.shape[-2] // prod(kernel_size)
    full = [m + lo + hi for m, (lo, hi) in zip(output_size, padding)]
    counts = counted(output_size, padding, kernel_size, stride, dilation)
    if not x.size:
        return jnp.zeros(out.shape, x.dtype)
    cols = x.reshape(batch, channels, *kernel_size, *counts)
    rows, columns = places(counts, kernel_size, stride, dilation)
    y = jnp.zeros((batch, channels, *full), x.dtype)
    y = y.at[:, :, rows[:, None, :, None], columns[None, :, None, :]].add(cols)
    y = y[(..., *[slice(lo, m - hi) for m, (lo, hi) in zip(full, padding)])]
    return y.reshape(out.shape)
