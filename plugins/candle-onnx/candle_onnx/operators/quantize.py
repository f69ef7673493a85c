"""Numbers of few bits: to and from them, and products of them."""

from __future__ import annotations

from typing import Any

import candle
from candle import OPS, Tensor

from ..errors import OnnxError
from ..table import operator
from ..values import dtype_of
from .neural import windows
from .types import _to_small

_RANGES = {
    "uint2": (0, 3), "int2": (-2, 1), "uint4": (0, 15), "int4": (-8, 7), "uint8": (0, 255), "int8": (-128, 127),
    "uint16": (0, 65535), "int16": (-32768, 32767), "int32": (-(2**31), 2**31 - 1),
}  # fmt: skip


def _along(v: Tensor, x: Tensor, axis: int, block: int) -> Tensor:
    """A scale (or zero point) laid out against x: for all, per axis, or per block along an axis."""
    if v.ndim == 0 or (v.numel() == 1 and v.ndim <= 1):
        return v.reshape(())
    axis %= x.ndim
    if block and v.ndim == x.ndim:
        return v.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])
    if v.ndim == 1:
        return v.reshape(tuple([-1 if i == axis else 1 for i in range(x.ndim)]))
    return v


def _whole(x: Tensor) -> Tensor:
    """Numbers of few bits in a type that one can count with."""
    return x.to(dtype=candle.int32) if x.dtype.name in _RANGES else x.float()


@operator("QuantizeLinear")
def quantize_linear(
    x: Tensor,
    scale: Tensor,
    zero: Tensor | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
) -> Tensor:
    wanted = zero.dtype if zero is not None else dtype_of(output_dtype) if output_dtype else candle.uint8
    kind = dtype_of(precision) if precision else scale.dtype
    kind = candle.float32 if kind.kind != "f" else kind
    laid = _along(scale.to(dtype=kind), x, axis, block_size)
    y = x.to(dtype=kind) / laid
    if wanted.name not in _RANGES:
        if zero is not None:
            y = y + _along(zero.to(dtype=kind), x, axis, block_size)
        return _to_small(y, wanted, bool(saturate), "up")
    low, high = _RANGES[wanted.name]
    whole = candle.round(y).float()
    if zero is not None:
        whole = whole + _along(_whole(zero), x, axis, block_size).float()
    return whole.clamp(low, high).to(dtype=candle.int32).to(dtype=wanted)


@operator("DequantizeLinear")
def dequantize_linear(
    x: Tensor, scale: Tensor, zero: Tensor | None = None, *, axis: int = 1, block_size: int = 0, output_dtype: int = 0
) -> Tensor:
    kind = dtype_of(output_dtype) if output_dtype else scale.dtype
    y = _whole(x)
    if zero is not None:
        y = y - _along(_whole(zero), x, axis, block_size)
    work = kind if kind.kind == "f" and kind.itemsize >= 4 else candle.float32
    return (y.to(dtype=work) * _along(scale.to(dtype=work), x, axis, block_size)).to(dtype=kind)


@operator("DynamicQuantizeLinear")
def dynamic_quantize_linear(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    low, high = candle.amin(x).clamp(max=0.0), candle.amax(x).clamp(min=0.0)
    scale = (high - low) / 255
    zero = candle.round((-low / scale).clamp(0, 255)).to(dtype=candle.uint8)
    return quantize_linear(x, scale, zero), scale, zero


def _rows(zero: Tensor | None, x: Tensor, last: bool) -> Any:
    """A zero point per row of a first factor, per column of a second, or for all."""
    if zero is None:
        return 0
    wide = _whole(zero)
    if wide.ndim == 1 and wide.numel() > 1:
        return wide.reshape((1, -1)) if last else wide.reshape((-1, 1))
    return wide.reshape(()) if wide.numel() == 1 else wide


@operator("MatMulInteger")
def mat_mul_integer(a: Tensor, b: Tensor, a_zero: Tensor | None = None, b_zero: Tensor | None = None) -> Tensor:
    return candle.matmul(_whole(a) - _rows(a_zero, a, False), _whole(b) - _rows(b_zero, b, True))


def _factor(scale: Tensor, last: bool) -> Tensor:
    if scale.ndim == 1 and scale.numel() > 1:
        return scale.reshape((1, -1)) if last else scale.reshape((-1, 1))
    return scale.reshape(()) if scale.numel() == 1 else scale


def _requantized(total: Tensor, factor: Tensor, y_scale: Tensor, y_zero: Tensor) -> Tensor:
    low, high = _RANGES[y_zero.dtype.name] if y_zero.dtype.name in _RANGES else (0, 0)
    real = total.double() * factor.double() / _factor(y_scale, True).double()
    if low == high:
        return _to_small(real.float(), y_zero.dtype, True, "up")
    whole = candle.round(real) + _whole(y_zero).double().reshape(() if y_zero.numel() == 1 else y_zero.shape)
    return whole.clamp(low, high).to(dtype=candle.int32).to(dtype=y_zero.dtype)


@operator("QLinearMatMul")
def q_linear_mat_mul(
    a: Tensor, a_scale: Tensor, a_zero: Tensor, b: Tensor, b_scale: Tensor, b_zero: Tensor, y_scale: Tensor, y_zero: Tensor
) -> Tensor:
    total = candle.matmul(_whole(a) - _rows(a_zero, a, False), _whole(b) - _rows(b_zero, b, True))
    return _requantized(total, _factor(a_scale.float(), False) * _factor(b_scale.float(), True), y_scale.float(), y_zero)


def _conv_total(x: Tensor, w: Tensor, x_zero: Tensor | None, w_zero: Tensor | None, attrs: dict[str, Any]) -> Tensor:
    stride, dilation, margins = windows(
        x.shape[2:], w.shape[2:], attrs["auto_pad"], attrs["pads"], attrs["strides"], attrs["dilations"]
    )
    left = _whole(x) - (0 if x_zero is None else _whole(x_zero).reshape(()))
    zero: Any = 0 if w_zero is None else _whole(w_zero)
    if w_zero is not None:
        zero = zero.reshape(()) if zero.numel() == 1 else zero.reshape((-1, *[1] * (w.ndim - 1)))
    return OPS["conv"](
        left,
        _whole(w) - zero,
        None,
        stride=tuple(stride),
        padding=tuple(margins),
        dilation=tuple(dilation),
        groups=attrs["group"],
    )


@operator("ConvInteger")
def conv_integer(
    x: Tensor,
    w: Tensor,
    x_zero: Tensor | None = None,
    w_zero: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    attrs = {"auto_pad": auto_pad, "pads": pads, "strides": strides, "dilations": dilations, "group": group}
    return _conv_total(x, w, x_zero, w_zero, attrs)


@operator("QLinearConv")
def q_linear_conv(
    x: Tensor,
    x_scale: Tensor,
    x_zero: Tensor,
    w: Tensor,
    w_scale: Tensor,
    w_zero: Tensor,
    y_scale: Tensor,
    y_zero: Tensor,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    attrs = {"auto_pad": auto_pad, "pads": pads, "strides": strides, "dilations": dilations, "group": group}
    total = _conv_total(x, w, x_zero, w_zero, attrs)
    channels = (1, -1, *[1] * (x.ndim - 2))
    if b is not None:
        total = total + b.reshape(channels)
    per = w_scale.reshape(()) if w_scale.numel() == 1 else w_scale.reshape(channels)
    if y_zero.dtype.name not in _RANGES:
        raise OnnxError(f"QLinearConv gives whole numbers but its zero point is {y_zero.dtype}")
    return _requantized(total, x_scale.reshape(()) * per, y_scale.reshape(()), y_zero)
