"""Layers of networks: convolutions, pools, norms, softmax, dropout, losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import candle
from candle import OPS, Tensor

from ..errors import OnnxError
from ..table import Host, operator
from .shape import _ints, _place

# -- softmax and its kin ---------------------------------------------------------------------------


def _flat(x: Tensor, axis: int) -> Tensor:
    axis = axis % x.ndim if x.ndim else 0
    return x.reshape((int(np.prod(x.shape[:axis], dtype=int)), int(np.prod(x.shape[axis:], dtype=int))))


@operator("Softmax")
def softmax_flat(x: Tensor, *, axis: int = 1) -> Tensor:
    return candle.softmax(_flat(x, axis), -1).reshape(x.shape)


@operator("Softmax", since=13)
def softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    return candle.softmax(x, axis)


@operator("LogSoftmax")
def log_softmax_flat(x: Tensor, *, axis: int = 1) -> Tensor:
    return candle.log_softmax(_flat(x, axis), -1).reshape(x.shape)


@operator("LogSoftmax", since=13)
def log_softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    return candle.log_softmax(x, axis)


# -- windows: convolutions and pools ---------------------------------------------------------------


def windows(
    sizes: Sequence[int],
    kernel: Sequence[int],
    auto_pad: str,
    pads: Sequence[int] | None,
    strides: Sequence[int] | None,
    dilations: Sequence[int] | None,
) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """Strides, dilations and margins per axis, as the attributes of a convolution or pool say."""
    n = len(kernel)
    stride, dilation = list(strides or [1] * n), list(dilations or [1] * n)
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        margins = []
        for size, k, s, d in zip(sizes, kernel, stride, dilation):
            total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
            less = total // 2
            margins.append((less, total - less) if auto_pad == "SAME_UPPER" else (total - less, less))
    elif auto_pad in ("NOTSET", "VALID", ""):
        given = [0] * 2 * n if auto_pad == "VALID" or not pads else list(pads)
        margins = list(zip(given[:n], given[n:]))
    else:
        raise OnnxError(f"auto_pad is NOTSET, SAME_UPPER, SAME_LOWER or VALID but {auto_pad!r} was given")
    return stride, dilation, margins


@operator("Conv")
def conv(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    stride, dilation, margins = windows(x.shape[2:], w.shape[2:], auto_pad, pads, strides, dilations)
    return OPS["conv"](x, w, b, stride=tuple(stride), padding=tuple(margins), dilation=tuple(dilation), groups=group)


@operator("ConvTranspose")
def conv_transpose(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    output_padding: list[int] | None = None,
    output_shape: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    n = x.ndim - 2
    kernel, stride, dilation = w.shape[2:], list(strides or [1] * n), list(dilations or [1] * n)
    extra = list(output_padding or [0] * n)
    full = [s * (i - 1) + e + (k - 1) * d + 1 for i, k, s, d, e in zip(x.shape[2:], kernel, stride, dilation, extra)]
    if output_shape or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        wanted = list(output_shape[-n:]) if output_shape else [i * s for i, s in zip(x.shape[2:], stride)]
        totals = [max(f - o, 0) for f, o in zip(full, wanted)]
        extra = [e + max(o - f, 0) for e, f, o in zip(extra, full, wanted)]
        margins = [(t // 2, t - t // 2) if auto_pad == "SAME_UPPER" else (t - t // 2, t // 2) for t in totals]
    else:
        given = list(pads or [0] * 2 * n) if auto_pad == "NOTSET" else [0] * 2 * n
        margins = list(zip(given[:n], given[n:]))
    y = OPS["conv_transpose"](x, w, b, stride=tuple(stride), groups=group, dilation=tuple(dilation))
    for axis, ((lo, hi), e) in enumerate(zip(margins, extra), 2):
        if e:
            edge = [0] * y.ndim
            edge[axis] = e
            filled = candle.constant_pad(y, [0] * y.ndim, edge, 0)
            if b is not None:  # what lies beyond the last window holds the bias alone
                shape = [1, -1] + [1] * n
                tail = filled.narrow(axis, y.shape[axis], e) + b.reshape(tuple(shape))
                filled = candle.cat([y, tail], dim=axis)
            y = filled
        if lo or hi:
            y = y.narrow(axis, lo, y.shape[axis] - lo - hi)
    return y


@operator("DeformConv")
def deform_conv(
    x: Tensor,
    w: Tensor,
    offset: Tensor,
    b: Tensor | None = None,
    mask: Tensor | None = None,
    *,
    dilations: list[int] | None = None,
    group: int = 1,
    kernel_shape: list[int] | None = None,
    offset_group: int = 1,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    """Each tap is read between four points, at its place plus an offset.  https://arxiv.org/abs/1811.11168"""
    if x.ndim != 4:
        raise OnnxError(f"DeformConv takes pictures [n, c, h, w] but was given {x.spec}")
    stride, dilation, margins = windows(x.shape[2:], w.shape[2:], "NOTSET", pads, strides, dilations)
    (n, c, h, width), (kh, kw) = x.shape, w.shape[2:]
    oh, ow = offset.shape[2:]
    g = offset_group
    offsets = offset.reshape((n, g, kh * kw, 2, oh, ow))
    made = []
    for axis, (size, taps) in enumerate(((oh, kh), (ow, kw))):
        base = candle.arange(size, device=_place(x)).to(dtype=x.dtype) * stride[axis] - margins[axis][0]
        tap = candle.arange(taps, device=_place(x)).to(dtype=x.dtype) * dilation[axis]
        tap = tap.reshape((kh, 1) if axis == 0 else (1, kw)).expand((kh, kw)).reshape((kh * kw, 1, 1))
        base = base.reshape((1, oh, 1) if axis == 0 else (1, 1, ow))
        made.append(offsets[:, :, :, axis] + (tap + base))  # [n, g, taps, oh, ow]
    ys, xs = made
    flat = x.reshape((n, g, c // g, h * width))
    sampled: Any = 0.0
    top, left = ys.floor(), xs.floor()
    for py, wy in ((top, 1 - (ys - top)), (top + 1, ys - top)):
        for px, wx in ((left, 1 - (xs - left)), (left + 1, xs - left)):
            inside = (py >= 0) & (py < h) & (px >= 0) & (px < width)
            at = (py.clamp(0, h - 1) * width + px.clamp(0, width - 1)).to(dtype=candle.int64).reshape((n, g, 1, -1))
            weight = candle.where(inside, wy * wx, candle.zeros_like(wy)).reshape((n, g, 1, -1))
            sampled = candle.gather(flat, 3, at.expand((n, g, c // g, at.shape[-1]))) * weight + sampled
    sampled = sampled.reshape((n, g, c // g, kh * kw, oh, ow))
    if mask is not None:
        sampled = sampled * mask.reshape((n, g, 1, kh * kw, oh, ow))
    columns = sampled.reshape((n, group, c // group * kh * kw, oh * ow))
    y = w.reshape((1, group, w.shape[0] // group, -1)) @ columns
    y = y.reshape((n, w.shape[0], oh, ow))
    return y if b is None else y + b.reshape((1, -1, 1, 1))


def _ceiled(sizes: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int],
            margins: Sequence[tuple[int, int]]) -> list[int]:  # fmt: skip
    """How much further each axis goes when the number of windows is rounded up; none begins beyond the margin."""
    more = []
    for size, k, s, d, (lo, hi) in zip(sizes, kernel, stride, dilation, margins):
        span = (k - 1) * d + 1
        room = size + lo + hi - span
        count = -(-room // s) + 1
        if (count - 1) * s >= size + lo:
            count -= 1
        more.append(max((count - 1) * s + span - (size + lo + hi), 0))
    return more


@operator("MaxPool")
def max_pool(
    ctx: Any,
    x: Tensor,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: list[int] | None = None,
    kernel_shape: list[int],
    pads: list[int] | None = None,
    storage_order: int = 0,
    strides: list[int] | None = None,
) -> Any:
    stride, dilation, margins = windows(x.shape[2:], kernel_shape, auto_pad, pads, strides, dilations)
    more = _ceiled(x.shape[2:], kernel_shape, stride, dilation, margins) if ceil_mode else [0] * len(stride)
    lowest = -math.inf if x.dtype.kind == "f" else candle.iinfo(x.dtype).min
    lo, hi = [0, 0] + [a for a, _ in margins], [0, 0] + [b + m for (_, b), m in zip(margins, more)]
    padded = candle.constant_pad(x, lo, hi, lowest) if any(lo) or any(hi) else x
    given = {"kernel_size": tuple(kernel_shape), "stride": tuple(stride), "dilation": tuple(dilation)}
    if not ctx.wants(1):
        return OPS["max_pool"](padded, **given)
    values, at = OPS["max_pool_with_indices"](padded, **given)
    return values, _unpadded(at, x.shape, padded.shape[2:], lo[2:], storage_order)


def _unpadded(at: Tensor, shape: Sequence[int], padded: Sequence[int], lo: Sequence[int], by_columns: int) -> Tensor:
    """Places in the padded picture as places in the whole tensor, counted by rows or by columns."""
    coordinates, rest = [], at
    for n in reversed(padded):
        coordinates.append(rest % n)
        rest = candle.floor_divide(rest, n)
    coordinates = [c - m for c, m in zip(reversed(coordinates), lo)]
    sizes = list(shape[2:])
    order = range(len(sizes))[::-1] if by_columns else range(len(sizes))
    flat: Any = 0
    for axis in order:
        flat = flat * sizes[axis] + coordinates[axis]
    whole = int(np.prod(sizes, dtype=int))
    planes = candle.arange(shape[0] * shape[1], device=_place(at)).reshape((shape[0], shape[1], *[1] * len(sizes)))
    return flat + planes * whole


@operator("AveragePool")
def average_pool(
    x: Tensor,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    count_include_pad: int = 0,
    dilations: list[int] | None = None,
    kernel_shape: list[int],
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    stride, dilation, margins = windows(x.shape[2:], kernel_shape, auto_pad, pads, strides, dilations)
    more = _ceiled(x.shape[2:], kernel_shape, stride, dilation, margins) if ceil_mode else [0] * len(stride)
    lo, hi = [0, 0] + [a for a, _ in margins], [0, 0] + [b for _, b in margins]
    beyond = [0, 0, *more]
    total = float(np.prod(kernel_shape))
    given = {"kernel_size": tuple(kernel_shape), "stride": tuple(stride), "dilation": tuple(dilation)}

    def summed(v: Tensor) -> Tensor:
        return OPS["avg_pool"](v, **given) * total

    counted = candle.ones((1, 1, *x.shape[2:]), dtype=x.dtype, device=_place(x))
    counted = candle.constant_pad(counted, lo, hi, 1 if count_include_pad else 0)
    counted = candle.constant_pad(counted, [0] * x.ndim, beyond, 0)
    padded = candle.constant_pad(x, lo, [a + b for a, b in zip(hi, beyond)], 0)
    return summed(padded) / summed(counted).round()


@operator("LpPool")
def lp_pool(
    x: Tensor,
    *,
    auto_pad: str = "NOTSET",
    ceil_mode: int = 0,
    dilations: list[int] | None = None,
    kernel_shape: list[int],
    p: int = 2,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    stride, dilation, margins = windows(x.shape[2:], kernel_shape, auto_pad, pads, strides, dilations)
    more = _ceiled(x.shape[2:], kernel_shape, stride, dilation, margins) if ceil_mode else [0] * len(stride)
    lo, hi = [0, 0] + [a for a, _ in margins], [0, 0] + [b + m for (_, b), m in zip(margins, more)]
    powers = candle.constant_pad(x.abs() ** p, lo, hi, 0)
    mean = OPS["avg_pool"](powers, kernel_size=tuple(kernel_shape), stride=tuple(stride), dilation=tuple(dilation))
    return (mean * float(np.prod(kernel_shape))) ** (1.0 / p)


@operator("GlobalAveragePool")
def global_average_pool(x: Tensor) -> Tensor:
    return x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)


@operator("GlobalMaxPool")
def global_max_pool(x: Tensor) -> Tensor:
    return candle.amax(x, dim=tuple(range(2, x.ndim)), keepdim=True)


@operator("GlobalLpPool")
def global_lp_pool(x: Tensor, *, p: float = 2) -> Tensor:
    return (x.abs() ** p).sum(dim=tuple(range(2, x.ndim)), keepdim=True) ** (1.0 / p)


@operator("MaxUnpool")
def max_unpool(
    x: Tensor,
    at: Tensor,
    output_shape: Host = None,
    *,
    kernel_shape: list[int],
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    n = len(kernel_shape)
    stride, margin = strides or [1] * n, pads or [0] * 2 * n
    usual = [(s - 1) * st - margin[i] - margin[n + i] + k for i, (s, st, k) in enumerate(zip(x.shape[2:], stride, kernel_shape))]
    shape = _ints(output_shape) if output_shape is not None else [*x.shape[:2], *usual]
    flat = at.reshape((-1,))
    if output_shape is not None:  # the indices are of the usual shape, which lies in the corner of the wanted one
        places, rest = [], flat
        for size in reversed([*x.shape[:2], *usual]):
            places.append(rest % size)
            rest = candle.floor_divide(rest, size)
        flat = places[-1] * 0
        for place, size in zip(reversed(places), shape):
            flat = flat * size + place
    empty = candle.zeros(int(np.prod(shape)), dtype=x.dtype, device=_place(x))
    return candle.scatter(empty, 0, flat, x.reshape((-1,))).reshape(tuple(shape))


@operator("Col2Im")
def col2im(
    x: Tensor,
    image_shape: Host,
    block_shape: Host,
    *,
    dilations: list[int] | None = None,
    pads: list[int] | None = None,
    strides: list[int] | None = None,
) -> Tensor:
    sizes, block = _ints(image_shape), _ints(block_shape)
    n, channels = len(sizes), x.shape[1] // int(np.prod(block))
    stride, dilation, margins = windows(sizes, block, "NOTSET", pads, strides, dilations)
    counts = [(s + lo + hi - (k - 1) * d - 1) // st + 1 for s, k, st, d, (lo, hi) in zip(sizes, block, stride, dilation, margins)]
    columns = x.reshape((x.shape[0] * channels, int(np.prod(block)), *counts))
    taps = candle.eye(int(np.prod(block)), dtype=x.dtype, device=_place(x)).reshape((int(np.prod(block)), 1, *block))
    full = OPS["conv_transpose"](columns, taps, None, stride=tuple(stride), dilation=tuple(dilation))
    for axis, (size, (lo, _)) in enumerate(zip(sizes, margins), 2):
        have = full.shape[axis]
        if lo + size > have:
            edge = [0] * full.ndim
            edge[axis] = lo + size - have
            full = candle.constant_pad(full, [0] * full.ndim, edge, 0)
        full = full.narrow(axis, lo, size)
    return full.reshape((x.shape[0], channels, *sizes)) if n else full


# -- norms -----------------------------------------------------------------------------------------


def _per_channel(v: Tensor, x: Tensor) -> Tensor:
    return v.reshape((1, -1, *[1] * (x.ndim - 2)))


@operator("BatchNormalization")
def batch_norm(
    ctx: Any,
    x: Tensor,
    scale: Tensor,
    b: Tensor,
    mean: Tensor,
    var: Tensor,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    spatial: int = 1,
    is_test: int = 0,
    training_mode: int = 0,
) -> Any:
    if ctx.version < 7 and not is_test and ctx.outputs > 1:
        training_mode = 1
    if not training_mode:
        factor = scale / (var + epsilon).sqrt()
        shift = b - mean * factor
        return (x * _per_channel(factor, x) + _per_channel(shift, x)).to(dtype=x.dtype)
    dims = (0, *range(2, x.ndim))
    own_mean, own_var = x.mean(dim=dims), x.var(dim=dims, correction=0)
    y = (x - _per_channel(own_mean, x)) / (_per_channel(own_var, x) + epsilon).sqrt() * _per_channel(scale, x) + _per_channel(
        b, x
    )
    return y, mean * momentum + own_mean * (1 - momentum), var * momentum + own_var * (1 - momentum)


@operator("InstanceNormalization")
def instance_norm(x: Tensor, scale: Tensor, b: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    dims = tuple(range(2, x.ndim))
    centred = x - x.mean(dim=dims, keepdim=True)
    y = centred / ((centred * centred).mean(dim=dims, keepdim=True) + epsilon).sqrt()
    return y * _per_channel(scale, x) + _per_channel(b, x)


@operator("GroupNormalization")
def group_norm_by_group(x: Tensor, scale: Tensor, b: Tensor, *, epsilon: float = 1e-5, num_groups: int) -> Tensor:
    each = x.shape[1] // num_groups
    wide = [v.repeat_interleave(each) for v in (scale, b)]
    return candle.group_norm(x, num_groups, wide[0], wide[1], epsilon)


@operator("GroupNormalization", since=21)
def group_norm(x: Tensor, scale: Tensor, b: Tensor, *, epsilon: float = 1e-5, num_groups: int, stash_type: int = 1) -> Tensor:
    return candle.group_norm(x, num_groups, scale, b, epsilon)


@operator("LayerNormalization")
def layer_norm(
    ctx: Any, x: Tensor, scale: Tensor, b: Tensor | None = None, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Any:
    shape = x.shape[axis % x.ndim :]
    weight = scale.expand(shape) if scale.shape != shape else scale
    bias = b if b is None or b.shape == shape else b.expand(shape)
    y = candle.layer_norm(x, shape, weight, bias, epsilon)
    if ctx.outputs == 1:
        return y
    dims = tuple(range(axis % x.ndim, x.ndim))
    wide = x.float() if x.itemsize < 4 else x
    mean = wide.mean(dim=dims, keepdim=True)
    var = ((wide - mean) * (wide - mean)).mean(dim=dims, keepdim=True)
    return y, mean, 1 / (var + epsilon).sqrt()


@operator("RMSNormalization")
def rms_norm(x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Tensor:
    dims = tuple(range(axis % x.ndim, x.ndim))
    wide = x.float() if x.itemsize < 4 else x
    y = wide / ((wide * wide).mean(dim=dims, keepdim=True) + epsilon).sqrt()
    return y.to(dtype=x.dtype) * scale


@operator("LpNormalization")
def lp_normalization(x: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    norm = x.abs().sum(dim=axis, keepdim=True) if p == 1 else (x * x).sum(dim=axis, keepdim=True).sqrt()
    return candle.where(norm == 0, candle.zeros_like(x), x / norm)


@operator("MeanVarianceNormalization")
def mean_variance_normalization(x: Tensor, *, axes: list[int] | None = None) -> Tensor:
    dims = tuple(axes or (0, 2, 3))
    centred = x - x.mean(dim=dims, keepdim=True)
    return centred / ((centred * centred).mean(dim=dims, keepdim=True).sqrt() + 1e-9)


@operator("LRN")
def lrn(x: Tensor, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, size: int) -> Tensor:
    lo, hi = (size - 1) // 2, size - 1 - (size - 1) // 2
    edge = [0] * x.ndim
    left, right = list(edge), list(edge)
    left[1], right[1] = lo, hi
    squares = candle.constant_pad(x * x, left, right, 0)
    total = squares.narrow(1, 0, x.shape[1])
    for at in range(1, size):
        total = total + squares.narrow(1, at, x.shape[1])
    return x / (total * (alpha / size) + bias) ** beta


# -- dropout and losses ----------------------------------------------------------------------------


@operator("Dropout")
def dropout_old(ctx: Any, x: Tensor, *, ratio: float = 0.5, is_test: int = 0, consumed_inputs: Any = None) -> Any:
    return (x, candle.ones_like(x).to(dtype=candle.bool_)) if ctx.wants(1) else x


@operator("Dropout", since=12)
def dropout(ctx: Any, x: Tensor, ratio: Tensor | None = None, training_mode: Tensor | None = None, *, seed: int = 0) -> Any:
    from ..run import known, truth

    share = 0.5 if ratio is None else float(np.asarray(known(ratio)))
    if training_mode is None or not truth(training_mode) or share == 0:
        return (x, candle.ones_like(x).to(dtype=candle.bool_)) if ctx.wants(1) else x
    generator = candle.Generator(device=_place(x)).manual_seed(int(seed)) if seed else None
    keep = candle.rand(*x.shape, generator=generator, device=_place(x)) >= share
    y = candle.where(keep, x / (1 - share), candle.zeros_like(x))
    return (y, keep) if ctx.wants(1) else y


def _loss(likelihood: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int | None, reduction: str) -> Tensor:
    """Minus the likelihood at the target, weighted by class: x [n, c, ...], target [n, ...]."""
    ignored = None if ignore_index is None else target == ignore_index
    safe = target if ignored is None else candle.where(ignored, candle.zeros_like(target), target)
    picked = -candle.gather(likelihood, 1, safe.unsqueeze(1).to(dtype=candle.int64)).squeeze(1)
    each = candle.ones_like(picked) if weight is None else weight[safe.to(dtype=candle.int64)]
    each = each if ignored is None else candle.where(ignored, candle.zeros_like(each), each)
    if reduction == "none":
        return picked * each
    total = (picked * each).sum()
    if reduction == "sum":
        return total
    return total / each.sum()


@operator("NegativeLogLikelihoodLoss")
def nll_loss(
    x: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int | None = None, reduction: str = "mean"
) -> Tensor:
    return _loss(x, target, weight, ignore_index, reduction)


@operator("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy_loss(
    ctx: Any, x: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int | None = None, reduction: str = "mean"
) -> Any:
    logs = candle.log_softmax(x, 1)
    loss = _loss(logs, target, weight, ignore_index, reduction)
    return (loss, logs) if ctx.wants(1) else loss
