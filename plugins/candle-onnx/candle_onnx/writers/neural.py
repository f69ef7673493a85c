"""Convolutions, pooling, norms, softmax, resizing."""

from __future__ import annotations

from typing import Any

import numpy as np

import candle
from candle import Spec

from ..emit import Emitter, writes


@writes("softmax")
def softmax(e: Emitter, x: str, *, dim: int, dtype: Any) -> Any:
    return e.Softmax(e.cast(x, e.out.dtype), axis=dim)


@writes("log_softmax", when=lambda x, **_: x.ndim > 0)
def log_softmax(e: Emitter, x: str, *, dim: int, dtype: Any) -> Any:
    return e.LogSoftmax(e.cast(x, e.out.dtype), axis=dim)


@writes("layer_norm", when=lambda x, weight, bias, **_: weight is not None, single=True)
def layer_norm(e: Emitter, x: str, weight: str, bias: str | None, *, normalized_shape: Any, eps: float) -> Any:
    """Its statistics are those of float32, so float64 is written by the expansion."""
    return e.LayerNormalization(x, weight, bias, axis=-len(normalized_shape), epsilon=eps)


# -- windows ---------------------------------------------------------------------------------------


def _pairs(padding: Any) -> list[int]:
    """Margins as ONNX has them: all before, then all after."""
    return [lo for lo, _ in padding] + [hi for _, hi in padding]


def _floats(x: Spec, *rest: Any, **_: Any) -> bool:
    return x.dtype.kind == "f" and x.ndim >= 3


@writes("conv", when=_floats, single=True)
def conv(e: Emitter, x: str, weight: str, bias: str | None, *, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    return e.Conv(
        x, weight, bias, strides=e.static(stride, "strides"), pads=e.static(_pairs(padding), "margins"),
        dilations=e.static(dilation, "dilations"), group=groups, kernel_shape=e.static(e.specs[weight].shape[2:], "kernels"),
    )  # fmt: skip


def _inside(x: Spec, *rest: Any, stride: Any, output_padding: Any, **_: Any) -> bool:
    """Runtimes refuse what is added beyond a stride."""
    return _floats(x) and all(p < s for p, s in zip(output_padding, stride))


@writes("conv_transpose", when=_inside, single=True)
def conv_transpose(e: Emitter, x: str, weight: str, bias: str | None, *, stride: Any, padding: Any, output_padding: Any,
                   groups: int, dilation: Any) -> Any:  # fmt: skip
    return e.ConvTranspose(
        x, weight, bias, strides=e.static(stride, "strides"), pads=e.static(_pairs(padding), "margins"),
        dilations=e.static(dilation, "dilations"), group=groups, output_padding=e.static(output_padding, "output paddings"),
        kernel_shape=e.static(e.specs[weight].shape[2:], "kernels"),
    )  # fmt: skip


def _window(e: Emitter, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> dict[str, Any]:
    return {
        "kernel_shape": e.static(kernel_size, "kernels"),
        "strides": e.static(stride, "strides"),
        "pads": e.static(_pairs(padding), "margins"),
        "dilations": e.static(dilation, "dilations"),
        "ceil_mode": int(ceil_mode),
    }


def _pools(x: Spec, *, padding: Any, kernel_size: Any, dilation: Any, ceil_mode: bool, **attrs: Any) -> bool:
    """Windows that hang over, and margins of half a window or more, are treated in several ways; those are written out."""
    if ceil_mode or x.dtype.kind != "f" or x.ndim < 3 or x.ndim > 5 or attrs.get("divisor_override") is not None:
        return False
    return all(2 * max(p) <= k for p, k in zip(padding, kernel_size))


@writes("max_pool", when=_pools)
def max_pool(e: Emitter, x: str, *, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool) -> Any:
    return e.MaxPool(x, **_window(e, kernel_size, stride, padding, dilation, ceil_mode))


@writes("max_pool_with_indices", when=_pools)
def max_pool_with_indices(e: Emitter, x: str, *, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
                          ceil_mode: bool) -> Any:  # fmt: skip
    y, at = e.MaxPool(x, outputs=2, **_window(e, kernel_size, stride, padding, dilation, ceil_mode))
    plane = e.ReduceProd(e.Shape(x, start=2), keepdims=0)
    return y, e.Mod(at, plane)


@writes("avg_pool", when=_pools, single=True)
def avg_pool(e: Emitter, x: str, *, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool, count_include_pad: bool,
             divisor_override: Any, dilation: Any) -> Any:  # fmt: skip
    return e.AveragePool(
        x, count_include_pad=int(count_include_pad), **_window(e, kernel_size, stride, padding, dilation, ceil_mode)
    )


for _n in (1, 2, 3):

    def _whole(e: Emitter, x: str, *, output_size: Any) -> Any:
        return e.GlobalAveragePool(x)

    def _one(x: Spec, *, output_size: Any, n: int = _n) -> bool:
        sizes = output_size if isinstance(output_size, tuple) else (output_size,)
        return x.ndim == n + 2 and x.dtype.kind == "f" and set(sizes) == {1}

    writes(f"adaptive_avg_pool{_n}d", when=_one, single=True)(_whole)


# -- other sizes -----------------------------------------------------------------------------------


def _resizes(x: Spec, *, size: Any, scale_factor: Any, mode: str, align_corners: Any, antialias: bool, **_: Any) -> bool:
    if x.dtype.kind != "f" or antialias or mode not in ("nearest", "linear", "bilinear", "trilinear"):
        return False
    return scale_factor is None and (mode == "nearest" or x.ndim == 4)


@writes("interpolate", when=_resizes, single=True)
def interpolate(e: Emitter, x: str, *, size: Any, mode: str, align_corners: Any, **_: Any) -> Any:
    how = (
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        if mode == "nearest"
        else {"mode": "linear", "coordinate_transformation_mode": "align_corners" if align_corners else "half_pixel"}
    )
    whole = e.Concat(e.Shape(x, end=2), e.ints(e.out.shape[2:]), axis=0)
    return e.Resize(x, None, None, whole, **how)


@writes("grid_sample", when=lambda x, grid, *, mode, **_: x.ndim == 4 and x.dtype is candle.float32)
def grid_sample(e: Emitter, x: str, grid: str, *, mode: str, padding_mode: str, align_corners: bool) -> Any:
    names = {"bilinear": "linear", "nearest": "nearest", "bicubic": "cubic"}
    return e.GridSample(x, grid, mode=names[mode], padding_mode=padding_mode, align_corners=int(align_corners))


_ = np
