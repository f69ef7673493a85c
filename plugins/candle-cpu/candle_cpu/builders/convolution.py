"""Builders of convolutions, their transposes, the gradients of their weights, and pooling."""

from __future__ import annotations

from math import prod
from typing import Any, Sequence

from candle.op import Spec

from .base import builder, kernel

_AXES = 3  # spatial dimensions that the kernels take
_TAPS = 64  # elements of a transposed convolution's kernel along one dimension


def _window(sizes: Sequence[int], attrs: Any) -> list[int]:
    """Groups, then size, stride, margin before and dilation of each dimension, as the kernels read them."""
    each = zip(sizes, attrs["stride"], attrs["padding"], attrs["dilation"])
    return [attrs["groups"], *[v for k, s, (lo, _), d in each for v in (k, s, lo, d)]]


@builder("conv", "conv1d", "conv2d", "conv3d")
def conv(out: Spec, x: Spec, weight: Spec, bias: Spec | None, **attrs: Any) -> Any:
    if x.ndim != weight.ndim or x.ndim - 2 > _AXES:
        return None
    return kernel("conv", x.dtype, out, 3, _window(weight.shape[2:], attrs), work=out.size * prod(weight.shape[1:]))


@builder("conv_transpose", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(out: Spec, x: Spec, weight: Spec, bias: Spec | None, **attrs: Any) -> Any:
    if x.ndim != weight.ndim or x.ndim - 2 > _AXES or max(weight.shape[2:]) > _TAPS:
        return None
    return kernel("conv_transpose", x.dtype, out, 3, _window(weight.shape[2:], attrs), work=x.size * prod(weight.shape[1:]))


@builder("conv_weight")
def conv_weight(out: Spec, x: Spec, g: Spec, **attrs: Any) -> Any:
    if x.ndim - 2 > _AXES:
        return None
    return kernel("conv_weight", x.dtype, out, 2, _window(out.shape[2:], attrs), work=g.size * prod(out.shape[1:]))


# -- pooling ---------------------------------------------------------------------------------------


def _pool(attrs: Any) -> list[int]:
    dilation = attrs.get("dilation") or (1,) * len(attrs["kernel_size"])
    window = _window(attrs["kernel_size"], {**attrs, "groups": 1, "dilation": dilation})
    return [*window, *[v for pair in attrs["padding"] for v in pair]]


@builder("max_pool", "max_pool_with_indices")
def max_pool(out: Any, x: Spec, **attrs: Any) -> Any:
    if x.ndim - 2 > _AXES:
        return None
    name = "max_pool_with_indices" if isinstance(out, tuple) else "max_pool"
    return kernel(name, x.dtype, out, 1, _pool(attrs), work=x.size * prod(attrs["kernel_size"]))


@builder("avg_pool")
def avg_pool(out: Spec, x: Spec, **attrs: Any) -> Any:
    if x.ndim - 2 > _AXES:
        return None
    means = [int(attrs["count_include_pad"]), attrs["divisor_override"] or 0]
    return kernel("avg_pool", x.dtype, out, 1, [*_pool(attrs), *means], work=x.size * prod(attrs["kernel_size"]))
