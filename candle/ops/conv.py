"""Convolutions over any number of dimensions, their transposes, and windows as columns."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any, Iterator, Mapping, Sequence

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..dtype import ALL, NUMBERS
from ..errors import ShapeError
from ..op import OPS, Ints, Op, Spec, composite, primitive
from .elementwise import conj

# Shapes: x[batch, channels, *sizes]; kernel, stride and dilation hold one number per spatial dimension, padding holds
# one pair (before, after).  A window's element k at position y lies at y * stride - before + k * dilation.

Pairs = tuple[tuple[int, int], ...]
_AT_ONCE = 1 << 24  # elements of the columns that a reference kernel holds at a time


# -- attributes ------------------------------------------------------------------------------------


def per_axis(value: Any, n: int, what: str, least: int = 1) -> tuple[int, ...]:
    """One integer per spatial dimension, from one for all of them or one for each."""
    given = value if isinstance(value, tuple) else (value,)
    found = given * n if len(given) == 1 else given
    if len(found) != n or any(not isinstance(v, int) or v < least for v in found):
        raise ShapeError(f"{what} is an integer of at least {least}, or {n} of them, but {value!r} was given")
    return tuple([int(v) for v in found])


def margins(value: Any, n: int, what: str, kernel: Ints = (), dilation: Ints = (), stride: Ints = ()) -> Pairs:
    """One pair (before, after) per spatial dimension, from an integer, integers, pairs, 'same' or 'valid'."""
    if value == "valid":
        return ((0, 0),) * n
    if value == "same":
        if any(s != 1 for s in stride):
            raise ShapeError(f"{what}='same' takes a stride of 1 but the stride {stride} was given; pass the padding as pairs")
        spans = [d * (k - 1) for k, d in zip(kernel, dilation)]
        return tuple([(s // 2, s - s // 2) for s in spans])
    given = value if isinstance(value, tuple) else (value,)
    given = given * n if len(given) == 1 else given
    found = tuple([v if isinstance(v, tuple) else (v, v) for v in given])
    if len(found) != n or any(len(p) != 2 or not all(isinstance(v, int) and v >= 0 for v in p) for p in found):
        raise ShapeError(
            f"{what} is an integer of at least 0, {n} of them, {n} pairs (before, after), 'same' or 'valid'; {value!r} was given"
        )
    return tuple([(int(a), int(b)) for a, b in found])


def positions(sizes: Sequence[int], kernel: Ints, stride: Ints, padding: Pairs, dilation: Ints, what: str) -> tuple[int, ...]:
    """How many windows fit along each dimension; raises ShapeError where none does."""
    found = []
    for size, k, s, (lo, hi), d in zip(sizes, kernel, stride, padding, dilation):
        span = d * (k - 1) + 1
        if size + lo + hi < span:
            raise ShapeError(
                f"{what}'s window spans {span} elements but a dimension of size {size}, "
                f"padded by {lo} and {hi}, has {size + lo + hi}"
            )
        found.append((size + lo + hi - span) // s + 1)
    return tuple(found)


def _checked(what: str, x: Spec, weight: Spec, groups: int, axis: int) -> tuple[int, tuple[int, ...]]:
    """The number of spatial dimensions and the kernel's sizes; ``axis`` of the weight is the one that groups divide."""
    n = x.ndim - 2
    if n < 1 or weight.ndim != x.ndim:
        raise ShapeError(
            f"{what} takes x[batch, channels, *sizes] and a weight with as many dimensions, at least 3, "
            f"but was given {x} and {weight}"
        )
    kernel = weight.shape[2:]
    if 0 in kernel:
        raise ShapeError(f"{what} takes a kernel of at least one element but was given the weight {weight}")
    if groups < 1 or x.shape[1] % groups or weight.shape[0] % groups:
        raise ShapeError(
            f"{what}'s groups divide the channels of x and of the weight but {groups} groups were given for {x} and {weight}"
        )
    if axis == 1 and weight.shape[1] * groups != x.shape[1]:
        raise ShapeError(
            f"{what} in {groups} groups takes {weight.shape[1] * groups} channels with the weight {weight} but was given {x}"
        )
    if axis == 0 and weight.shape[0] != x.shape[1]:
        raise ShapeError(f"{what} takes {weight.shape[0]} channels with the weight {weight} but was given {x}")
    return n, kernel


def _bias_fits(what: str, bias: Spec | None, channels: int) -> None:
    if bias is not None and bias.shape != (channels,):
        raise ShapeError(f"{what} takes a bias[{channels}], one number per channel of its result, but was given {bias}")


# -- NumPy -----------------------------------------------------------------------------------------


def padded(x: np.ndarray[Any, Any], pads: Pairs, value: Any = 0) -> np.ndarray[Any, Any]:
    """x with margins at its last dimensions."""
    if not any(a or b for a, b in pads):
        return x
    lead = x.ndim - len(pads)
    y = np.full((*x.shape[:lead], *[a + m + b for m, (a, b) in zip(x.shape[lead:], pads)]), value, x.dtype)
    y[(..., *[slice(a, a + m) for m, (a, _) in zip(x.shape[lead:], pads)])] = x
    return y


def windows(x: np.ndarray[Any, Any], kernel: Ints, stride: Ints, dilation: Ints) -> np.ndarray[Any, Any]:
    """A view ``[batch, channels, *kernel, *positions]`` of x, which is padded already."""
    steps = x.strides[2:]
    counts = [(m - d * (k - 1) - 1) // s + 1 for m, k, s, d in zip(x.shape[2:], kernel, stride, dilation)]
    shape = (*x.shape[:2], *kernel, *counts)
    strides = (*x.strides[:2], *[b * d for b, d in zip(steps, dilation)], *[b * s for b, s in zip(steps, stride)])
    return as_strided(x, shape, strides, writeable=False)


def tap(index: Ints, counts: Sequence[int], stride: Ints, dilation: Ints) -> tuple[Any, ...]:
    """The slices where one element of the kernel meets the (padded) input at all positions."""
    return (..., *[slice(k * d, k * d + (m - 1) * s + 1, s) for k, m, s, d in zip(index, counts, stride, dilation)])


def _batches(n: int, elements: int) -> Iterator[slice]:
    """Parts of a batch of n whose columns, ``elements`` for each, are not too large."""
    step = max(1, _AT_ONCE // max(1, elements))
    return (slice(at, min(n, at + step)) for at in range(0, n, step))


# -- windows in terms of ops -----------------------------------------------------------------------


def _part(x: Any, axis: int, start: int, count: int, step: int) -> Any:
    starts, stops, steps = [0] * x.ndim, list(x.shape), [1] * x.ndim
    starts[axis], stops[axis], steps[axis] = start, start + (count - 1) * step + 1, step
    return x.slice(tuple(starts), tuple(stops), tuple(steps))


def margined(x: Any, pads: Sequence[tuple[int, int]], value: Any = 0) -> Any:
    """x with margins at its last dimensions, cropped where they are negative, in terms of ops."""
    pads = [(0, 0)] * (x.ndim - len(pads)) + list(pads)
    if any(a > 0 or b > 0 for a, b in pads):
        lo, hi = tuple([max(0, a) for a, _ in pads]), tuple([max(0, b) for _, b in pads])
        x = OPS["constant_pad"](x, lo=lo, hi=hi, value=value)
    if any(a < 0 or b < 0 for a, b in pads):
        starts, stops = [max(0, -a) for a, _ in pads], [m + min(0, b) for m, (_, b) in zip(x.shape, pads)]
        x = x.slice(tuple(starts), tuple(stops))
    return x


def columns(x: Any, kernel: Ints, stride: Ints, padding: Pairs, dilation: Ints, value: Any = 0) -> Any:
    """``[batch, channels, *kernel, *positions]`` of x, in terms of ops."""
    n = len(kernel)
    counts = positions(x.shape[2:], kernel, stride, padding, dilation, "columns")
    x = margined(x, padding, value)
    for i, (k, m, s, d) in enumerate(zip(kernel, counts, stride, dilation)):
        axis = 2 + 2 * i
        parts = [_part(x, axis, j * d, m, s) for j in range(k)]
        front, back = x.shape[:axis], x.shape[axis + 1 :]
        x = OPS["cat"]([p.reshape((*front, 1, m, *back)) for p in parts], axis)
    return x.permute((0, 1, *range(2, 2 + 2 * n, 2), *range(3, 3 + 2 * n, 2)))


# -- convolution -----------------------------------------------------------------------------------


def _conv_canon(specs: Sequence[Any], attrs: Mapping[str, Any], what: str = "conv") -> dict[str, Any]:
    x, weight, bias = specs
    n, kernel = _checked(what, x, weight, attrs["groups"], 1)
    _bias_fits(what, bias, weight.shape[0])
    stride, dilation = per_axis(attrs["stride"], n, f"{what}'s stride"), per_axis(attrs["dilation"], n, f"{what}'s dilation")
    padding = margins(attrs["padding"], n, f"{what}'s padding", kernel, dilation, stride)
    positions(x.shape[2:], kernel, stride, padding, dilation, what)
    return {**attrs, "stride": stride, "padding": padding, "dilation": dilation}


def _conv_shape(
    x: Spec, weight: Spec, bias: Spec | None, *, stride: Ints, padding: Pairs, dilation: Ints, groups: int
) -> tuple[int, ...]:
    return (x.shape[0], weight.shape[0], *positions(x.shape[2:], weight.shape[2:], stride, padding, dilation, "conv"))


def _conv_dx(g, _y, _x, weight, _bias, stride, padding, dilation, groups):
    return _input_gradient(g, _x.shape, weight, stride, padding, dilation, groups)


def _input_gradient(g: Any, shape: Sequence[int], weight: Any, stride: Ints, padding: Pairs, dilation: Ints, groups: int) -> Any:
    """What reaches a convolution's input: all that its strides skip at the end (an odd crop) gets zeros."""
    sizes = zip(shape[2:], g.shape[2:], weight.shape[2:], stride, padding, dilation)
    rest = tuple([m + lo + hi - (p - 1) * s - d * (k - 1) - 1 for m, p, k, s, (lo, hi), d in sizes])
    return conv_transpose(g, conj(weight), None, stride, padding, rest, groups, dilation)


def _conv_dw(g, _y, x, _weight, _bias, stride, padding, dilation, groups):
    return conv_weight(conj(x), g, _weight.shape[2:], stride, padding, dilation, groups)


def _bias_gradient(g, _y, _x, _weight, _bias, **_):
    return g.sum((0, *range(2, g.ndim)))


def _biased(y: Any, bias: Any) -> Any:
    return y if bias is None else y + bias.reshape((1, -1, *[1] * (y.ndim - 2)))


def _conv_expand(x, weight, bias, stride, padding, dilation, groups):
    batch, channels, (out, _, *kernel) = x.shape[0], x.shape[1], weight.shape
    cols = columns(x, tuple(kernel), stride, padding, dilation)
    counts = cols.shape[2 + len(kernel) :]
    terms = channels // groups * prod(kernel)
    cols = cols.reshape((batch, groups, terms, prod(counts)))
    y = OPS["matmul"](weight.reshape((1, groups, out // groups, terms)), cols)
    return _biased(y.reshape((batch, out, *counts)), bias)


def _conv_sizes(d: Any, n: int = 0) -> Any:
    """Operands that test what convolutions get wrong: equal sizes, leftovers of a stride, one group per channel."""
    n, groups = n or d.int(1, 3), d.one((1, 1, 2, 3))
    kernel = [d.int(1, 3) + 2 * (n < 3 and d._pick(6) == 0) for _ in range(n)]
    stride, dilation = [d.int(1, 3) for _ in range(n)], [d.int(1, 2) for _ in range(n)]
    inner, outer = d.one(((1, 1), None, (4, 5), None, (17, 2), (3, 9))) or (d.int(1, 3), d.int(1, 3))
    spans = [(k - 1) * e + 1 for k, e in zip(kernel, dilation)]
    equal = d.bool()
    sizes = [max(spans) + 1 if equal else s + d.int(0, 4) for s in spans]
    batch = d.one((0, 1, 2, 3, 5))
    return n, groups, batch, groups * inner, groups * outer, kernel, stride, dilation, sizes


def _conv_sample(d: Any, n: int = 0) -> Any:
    n, groups, batch, channels, out, kernel, stride, dilation, sizes = _conv_sizes(d, n)
    dtype = d.dtype(NUMBERS)
    pads = [(d.int(0, 2), d.int(0, 2)) for _ in range(n)]
    bias = d.array((out,), dtype) if d.bool() else None
    operands = [d.array((batch, channels, *sizes), dtype), d.array((out, channels // groups, *kernel), dtype), bias]
    return operands, {"stride": stride, "padding": pads, "dilation": dilation, "groups": groups}


@primitive("T, T, T? -> T", NUMBERS, canon=_conv_canon, shape=_conv_shape, expand=_conv_expand, sample=_conv_sample,
           terms=lambda x, w, b, **_: 1 + prod(w.shape[1:]), special=False, vjp=(_conv_dx, _conv_dw, _bias_gradient))  # fmt: skip
def conv(x, weight, bias, *, stride: Ints = 1, padding: Any = 0, dilation: Ints = 1, groups: int = 1):
    """Convolution (correlation) of x[batch, channels, *sizes] with weight[out, channels/groups, *kernel], plus bias[out].

    Any number of spatial dimensions; ``padding`` is an integer, one per dimension, pairs (before, after), 'same' or 'valid'.
    """
    x = padded(x, padding)
    batch, out, kernel = x.shape[0], weight.shape[0], weight.shape[2:]
    view = windows(x, kernel, stride, dilation)
    counts = view.shape[2 + len(kernel) :]
    terms = prod(weight.shape[1:])
    w = weight.reshape(groups, out // groups, terms)
    y = np.empty((batch, out, *counts), x.dtype)
    for at in _batches(batch, x.shape[1] * prod(kernel) * prod(counts)):
        part = view[at]
        cols = part.reshape(len(part), groups, terms, prod(counts))
        y[at] = np.matmul(w, cols).reshape(len(part), out, *counts)
    if bias is not None:
        y += bias.reshape(-1, *[1] * len(counts))
    return y


# -- transposed convolution ------------------------------------------------------------------------


def _transpose_sizes(
    sizes: Sequence[int], kernel: Ints, stride: Ints, padding: Pairs, extra: Ints, dilation: Ints
) -> tuple[int, ...]:
    each = zip(sizes, kernel, stride, padding, extra, dilation)
    return tuple([(m - 1) * s - lo - hi + d * (k - 1) + 1 + e for m, k, s, (lo, hi), e, d in each])


def _transpose_canon(specs: Sequence[Any], attrs: Mapping[str, Any], what: str = "conv_transpose") -> dict[str, Any]:
    x, weight, bias = specs
    n, kernel = _checked(what, x, weight, attrs["groups"], 0)
    _bias_fits(what, bias, weight.shape[1] * attrs["groups"])
    stride, dilation = per_axis(attrs["stride"], n, f"{what}'s stride"), per_axis(attrs["dilation"], n, f"{what}'s dilation")
    padding = margins(attrs["padding"], n, f"{what}'s padding", kernel, dilation, stride)
    extra = per_axis(attrs["output_padding"], n, f"{what}'s output_padding", 0)
    if 0 in x.shape[2:]:
        raise ShapeError(f"{what} takes at least one element along each spatial dimension but was given {x}")
    found = _transpose_sizes(x.shape[2:], kernel, stride, padding, extra, dilation)
    if any(m < 0 for m in found):
        raise ShapeError(
            f"{what} of {x} with a kernel of {kernel} would give the sizes {found}: the padding {padding} takes away too much"
        )
    return {**attrs, "stride": stride, "padding": padding, "output_padding": extra, "dilation": dilation}


def _transpose_shape(x: Spec, weight: Spec, bias: Spec | None, *, stride: Ints, padding: Pairs, output_padding: Ints, groups: int,
                     dilation: Ints) -> tuple[int, ...]:  # fmt: skip
    sizes = _transpose_sizes(x.shape[2:], weight.shape[2:], stride, padding, output_padding, dilation)
    return (x.shape[0], weight.shape[1] * groups, *sizes)


def _uncropped(g: Any, padding: Pairs, sizes: Sequence[int], kernel: Ints, stride: Ints, dilation: Ints) -> tuple[Any, Pairs]:
    """A gradient of a transposed convolution, and the padding with which a convolution gives just ``sizes`` of it."""
    pads, crops = [], []
    for m, p, k, s, d, (lo, _) in zip(g.shape[2:], sizes, kernel, stride, dilation, padding):
        after = (p - 1) * s + d * (k - 1) + 1 - lo - m
        pads.append((lo, max(0, after)))
        crops.append((0, min(0, after)))
    return margined(g, crops), tuple(pads)


def _transpose_dx(g, _y, _x, weight, _bias, stride, padding, output_padding, groups, dilation):
    g, pads = _uncropped(g, padding, _x.shape[2:], weight.shape[2:], stride, dilation)
    return conv(g, conj(weight), None, stride, pads, dilation, groups)


def _transpose_dw(g, _y, x, _weight, _bias, stride, padding, output_padding, groups, dilation):
    kernel = _weight.shape[2:]
    g, pads = _uncropped(g, padding, x.shape[2:], kernel, stride, dilation)
    return conv_weight(g, conj(x), kernel, stride, pads, dilation, groups)


def _transpose_expand(x, weight, bias, stride, padding, output_padding, groups, dilation):
    batch, channels, *sizes = x.shape
    kernel, each = weight.shape[2:], weight.shape[1]
    n = len(kernel)
    if any(s > 1 for s in stride):  # zeros between the elements
        x = margined(x.reshape((batch, channels, *[v for m in sizes for v in (m, 1)])),
                     [p for s in stride for p in ((0, 0), (0, s - 1))])  # fmt: skip
        x = x.reshape((batch, channels, *[m * s for m, s in zip(sizes, stride)]))
    spans = [d * (k - 1) for k, d in zip(kernel, dilation)]
    x = margined(x, [(c - lo, c - hi + e - (s - 1)) for c, (lo, hi), e, s in zip(spans, padding, output_padding, stride)])
    w = weight.reshape((groups, channels // groups, each, *kernel)).permute((0, 2, 1, *range(3, 3 + n)))
    w = w.reshape((groups * each, channels // groups, *kernel)).flip(tuple(range(2, 2 + n)))
    found = [m - c for m, c in zip(x.shape[2:], spans)]
    if 0 in found:
        return x.new_zeros((batch, groups * each, *found))
    return conv(x, w, bias, 1, 0, dilation, groups)


def _transpose_sample(d: Any, n: int = 0) -> Any:
    n, groups, batch, channels, out, kernel, stride, dilation, sizes = _conv_sizes(d, n)
    dtype = d.dtype(NUMBERS)
    pads = [(d.int(0, (k - 1) * e // 2), d.int(0, (k - 1) * e // 2)) for k, e in zip(kernel, dilation)]
    extra = [d.int(0, max(s, e) - 1) for s, e in zip(stride, dilation)]
    bias = d.array((out,), dtype) if d.bool() else None
    operands = [d.array((batch, channels, *sizes), dtype), d.array((channels, out // groups, *kernel), dtype), bias]
    return operands, {"stride": stride, "padding": pads, "output_padding": extra, "groups": groups, "dilation": dilation}


@primitive("T, T, T? -> T", NUMBERS, canon=_transpose_canon, shape=_transpose_shape, expand=_transpose_expand,
           sample=_transpose_sample, terms=lambda x, w, b, **_: 1 + w.shape[0] * prod(w.shape[2:]), special=False,
           vjp=(_transpose_dx, _transpose_dw, _bias_gradient))  # fmt: skip
def conv_transpose(
    x, weight, bias, *, stride: Ints = 1, padding: Any = 0, output_padding: Ints = 0, groups: int = 1, dilation: Ints = 1
):
    """Transposed convolution of x[batch, channels, *sizes] with weight[channels, out/groups, *kernel], plus bias[out].

    The adjoint of ``conv`` with respect to its input; ``padding`` crops, ``output_padding`` adds elements at the end.
    """
    batch, channels, kernel, counts = x.shape[0], x.shape[1], weight.shape[2:], x.shape[2:]
    out = weight.shape[1] * groups
    rows = weight.shape[1] * prod(kernel)
    w = weight.reshape(groups, channels // groups, rows).swapaxes(1, 2)
    full = [(m - 1) * s + d * (k - 1) + 1 + e for m, k, s, d, e in zip(counts, kernel, stride, dilation, output_padding)]
    y = np.zeros((batch, out, *full), x.dtype)
    for at in _batches(batch, out * prod(kernel) * prod(counts)):
        part = x[at]
        cols = np.matmul(w, part.reshape(len(part), groups, channels // groups, prod(counts)))
        cols = cols.reshape(len(part), out, *kernel, *counts)
        for k in np.ndindex(*kernel):
            y[at][tap(k, counts, stride, dilation)] += cols[(slice(None), slice(None), *k)]
    y = y[(..., *[slice(lo, m - hi) for m, (lo, hi) in zip(full, padding)])]
    return y if bias is None else y + bias.reshape(-1, *[1] * len(counts))


# -- the gradient with respect to a kernel ---------------------------------------------------------


def _weight_canon(specs: Sequence[Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    x, g = specs
    n = x.ndim - 2
    if n < 1 or g.ndim != x.ndim or x.shape[0] != g.shape[0]:
        raise ShapeError(f"conv_weight takes x[batch, channels, *sizes] and g[batch, out, *positions] but was given {x} and {g}")
    groups = attrs["groups"]
    if groups < 1 or x.shape[1] % groups or g.shape[1] % groups:
        raise ShapeError(
            f"conv_weight's groups divide the channels of both operands but {groups} groups were given for {x} and {g}"
        )
    kernel = per_axis(attrs["kernel_size"], n, "conv_weight's kernel_size")
    stride, dilation = (
        per_axis(attrs["stride"], n, "conv_weight's stride"),
        per_axis(attrs["dilation"], n, "conv_weight's dilation"),
    )
    padding = margins(attrs["padding"], n, "conv_weight's padding", kernel, dilation, stride)
    counts = positions(x.shape[2:], kernel, stride, padding, dilation, "conv_weight")
    if counts != g.shape[2:]:
        raise ShapeError(f"conv_weight of {x} with a kernel of {kernel} takes g[batch, out, *{counts}] but was given {g}")
    return {**attrs, "kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}


def _weight_shape(
    x: Spec, g: Spec, *, kernel_size: Ints, stride: Ints, padding: Pairs, dilation: Ints, groups: int
) -> tuple[int, ...]:
    return (g.shape[1], x.shape[1] // groups, *kernel_size)


def _weight_dx(v, _y, _x, g, kernel_size, stride, padding, dilation, groups):
    return _input_gradient(conj(g), _x.shape, conj(v), stride, padding, dilation, groups)


def _weight_dg(v, _y, x, _g, kernel_size, stride, padding, dilation, groups):
    return conv(conj(x), v, None, stride, padding, dilation, groups)


def _weight_expand(x, g, kernel_size, stride, padding, dilation, groups):
    batch, channels, out = x.shape[0], x.shape[1], g.shape[1]
    length, terms = prod(g.shape[2:]), channels // groups * prod(kernel_size)
    cols = columns(x, kernel_size, stride, padding, dilation).reshape((batch, groups, terms, length))
    cols = cols.permute((1, 0, 3, 2)).reshape((groups, batch * length, terms))
    g = g.reshape((batch, groups, out // groups, length)).permute((1, 2, 0, 3)).reshape((groups, out // groups, batch * length))
    return OPS["matmul"](g, cols).reshape((out, channels // groups, *kernel_size))


def _weight_sample(d: Any) -> Any:
    n, groups, batch, channels, out, kernel, stride, dilation, sizes = _conv_sizes(d)
    dtype = d.dtype(NUMBERS)
    pads = tuple([(d.int(0, 2), d.int(0, 2)) for _ in range(n)])
    counts = positions(sizes, tuple(kernel), tuple(stride), pads, tuple(dilation), "conv_weight")
    operands = [d.array((batch, channels, *sizes), dtype), d.array((batch, out, *counts), dtype)]
    return operands, {"kernel_size": kernel, "stride": stride, "padding": pads, "dilation": dilation, "groups": groups}


@primitive("T, T -> T", NUMBERS, canon=_weight_canon, shape=_weight_shape, expand=_weight_expand, sample=_weight_sample,
           method=False, terms=lambda x, g, **_: g.shape[0] * prod(g.shape[2:]), special=False,
           vjp=(_weight_dx, _weight_dg))  # fmt: skip
def conv_weight(x, g, *, kernel_size: Ints, stride: Ints = 1, padding: Any = 0, dilation: Ints = 1, groups: int = 1):
    """The adjoint of ``conv`` with respect to its weight: [out, channels/groups, *kernel_size].

    It correlates x[batch, channels, *sizes] with g[batch, out, *positions].
    """
    x = padded(x, padding)
    batch, channels, out = x.shape[0], x.shape[1], g.shape[1]
    counts = g.shape[2:]
    terms, length = channels // groups * prod(kernel_size), prod(counts)
    view = windows(x, kernel_size, stride, dilation)
    y = np.zeros((groups, out // groups, terms), x.dtype)
    for at in _batches(batch, channels * prod(kernel_size) * length):
        part = view[at]
        cols = part.reshape(len(part), groups, terms, length).transpose(1, 0, 3, 2).reshape(groups, len(part) * length, terms)
        gs = (
            g[at]
            .reshape(len(part), groups, out // groups, length)
            .transpose(1, 2, 0, 3)
            .reshape(groups, out // groups, len(part) * length)
        )
        y += np.matmul(gs, cols)
    return y.reshape(out, channels // groups, *kernel_size)


# -- as PyTorch has them ---------------------------------------------------------------------------


def batched(what: str, x: Spec, n: int) -> Spec:
    """The spec of x[batch, channels, *sizes] for n spatial dimensions, where x may lack the batch; raises ShapeError."""
    if x.ndim == n + 2:
        return x
    if x.ndim == n + 1:
        return Spec((1, *x.shape), x.dtype)
    raise ShapeError(f"{what} takes x[batch, channels, {', '.join('dhw'[-n:])}] or the same without a batch but was given {x}")


def one_batch(function: Any, x: Any, n: int) -> Any:
    """Apply a function of x[batch, channels, *sizes] to x, which may lack the batch."""
    if x.ndim == n + 2:
        return function(x)
    y = function(x.reshape((1, *x.shape)))
    return y.reshape(y.shape[1:])


def _convolutions(n: int) -> tuple[Op, Op]:
    sizes = ", ".join("dhw"[-n:])

    def canon(check: Any, what: str) -> Any:
        return lambda specs, attrs: check([batched(what, specs[0], n), *specs[1:]], attrs, what)

    def shape(of: Any) -> Any:
        def found(x: Spec, weight: Spec, bias: Spec | None, **attrs: Any) -> tuple[int, ...]:
            return tuple(of(batched("conv", x, n), weight, bias, **attrs)[n + 2 - x.ndim :])

        return found

    def forward(x, weight, bias, *, stride: Ints = 1, padding: Any = 0, dilation: Ints = 1, groups: int = 1):
        return one_batch(lambda x: conv(x, weight, bias, stride, padding, dilation, groups), x, n)

    def transposed(x, weight, bias, *, stride: Ints = 1, padding: Any = 0, output_padding: Ints = 0, groups: int = 1,
                   dilation: Ints = 1):  # fmt: skip
        return one_batch(lambda x: conv_transpose(x, weight, bias, stride, padding, output_padding, groups, dilation), x, n)

    given = f"of x[batch, channels, {sizes}], or of one without a batch,"
    forward.__doc__ = f"Convolution {given} with weight[out, channels/groups, {sizes}]."
    transposed.__doc__ = f"Transposed convolution {given} with weight[channels, out/groups, {sizes}]."
    a, b = f"conv{n}d", f"conv_transpose{n}d"
    return (
        composite("T, T, T? -> T", NUMBERS, name=a, group="conv", canon=canon(_conv_canon, a), shape=shape(_conv_shape),
                  terms=conv.terms, special=False, sample=partial(_conv_sample, n=n))(forward),
        composite("T, T, T? -> T", NUMBERS, name=b, group="conv", canon=canon(_transpose_canon, b), shape=shape(_transpose_shape),
                  terms=conv_transpose.terms, special=False, sample=partial(_transpose_sample, n=n))(transposed),
    )  # fmt: skip


conv1d, conv_transpose1d = _convolutions(1)
conv2d, conv_transpose2d = _convolutions(2)
conv3d, conv_transpose3d = _convolutions(3)

# -- windows of images as columns ------------------------------------------------------------------


def _unfold_canon(specs: Sequence[Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    x = batched("unfold2d", specs[0], 2)
    found = _window_attrs("unfold2d", attrs)
    positions(x.shape[2:], found["kernel_size"], found["stride"], found["padding"], found["dilation"], "unfold2d")
    return found


def _window_attrs(what: str, attrs: Mapping[str, Any]) -> dict[str, Any]:
    found = {k: per_axis(attrs[k], 2, f"{what}'s {k}") for k in ("kernel_size", "dilation", "stride")}
    pads = margins(attrs["padding"], 2, f"{what}'s padding", found["kernel_size"], found["dilation"], found["stride"])
    return {**attrs, **found, "padding": pads}


def _unfold_shape(x: Spec, *, kernel_size: Ints, dilation: Ints, padding: Pairs, stride: Ints) -> tuple[int, ...]:
    counts = positions(x.shape[-2:], kernel_size, stride, padding, dilation, "unfold2d")
    return (*x.shape[:-3], x.shape[-3] * prod(kernel_size), prod(counts))


def _unfold_expand(x, kernel_size, dilation, padding, stride):
    def flat(x: Any) -> Any:
        cols = columns(x, kernel_size, stride, padding, dilation)
        return cols.reshape((x.shape[0], x.shape[1] * prod(kernel_size), prod(cols.shape[4:])))

    return one_batch(flat, x, 2)


def _unfold_sample(d: Any) -> Any:
    _, _, batch, channels, _, kernel, stride, dilation, sizes = _conv_sizes(d, 2)
    attrs = {
        "kernel_size": kernel,
        "dilation": dilation,
        "padding": [(d.int(0, 2), d.int(0, 2)) for _ in range(2)],
        "stride": stride,
    }
    shape = (channels, *sizes) if d.bool() else (batch, channels, *sizes)
    return [d.array(shape, d.dtype(ALL))], attrs


@primitive("T -> T", ALL, wide=False, canon=_unfold_canon, shape=_unfold_shape, expand=_unfold_expand, sample=_unfold_sample,
           vjp=(lambda g, _y, _x, **attrs: fold(g, _x.shape[-2:], **attrs),))  # fmt: skip
def unfold2d(x, *, kernel_size: Ints, dilation: Ints = 1, padding: Any = 0, stride: Ints = 1):
    """The windows of x[batch, channels, h, w] as columns, [batch, channels * kernel, positions]: ``F.unfold`` of PyTorch."""
    flat = x.reshape(prod(x.shape[:-3]), *x.shape[-3:])
    view = windows(padded(flat, padding), kernel_size, stride, dilation)
    return view.reshape(*x.shape[:-3], x.shape[-3] * prod(kernel_size), prod(view.shape[4:]))


def _fold_canon(specs: Sequence[Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), found = specs, _window_attrs("fold", attrs)
    size, kernel = per_axis(attrs["output_size"], 2, "fold's output_size", 0), found["kernel_size"]
    counts = positions(size, kernel, found["stride"], found["padding"], found["dilation"], "fold")
    if x.ndim not in (2, 3) or x.shape[-2] % prod(kernel) or x.shape[-1] != prod(counts):
        raise ShapeError(
            f"fold takes x[batch, channels * {prod(kernel)}, {prod(counts)}], or the same without a batch, "
            f"to make images of {size} but was given {x}"
        )
    return {**found, "output_size": size}


def _fold_shape(x: Spec, *, output_size: Ints, kernel_size: Ints, **_: Any) -> tuple[int, ...]:
    return (*x.shape[:-2], x.shape[-2] // prod(kernel_size), *output_size)


def _fold_expand(x, output_size, kernel_size, dilation, padding, stride):
    batch, channels = prod(x.shape[:-2]), x.shape[-2] // prod(kernel_size)
    full = [m + lo + hi for m, (lo, hi) in zip(output_size, padding)]
    at = windows(np.arange(prod(full)).reshape(1, 1, *full), kernel_size, stride, dilation).reshape(1, 1, -1)
    index = x.new_tensor(at, dtype="int64").expand((batch, channels, at.size))
    y = x.new_zeros((batch, channels, prod(full))).scatter_add(2, index, x.reshape((batch, channels, at.size)))
    y = margined(y.reshape((batch, channels, *full)), [(-lo, -hi) for lo, hi in padding])
    return y.reshape((*x.shape[:-2], channels, *output_size))


def _fold_sample(d: Any) -> Any:
    _, _, batch, channels, _, kernel, stride, dilation, sizes = _conv_sizes(d, 2)
    pads = tuple([(d.int(0, 2), d.int(0, 2)) for _ in range(2)])
    counts = positions(sizes, tuple(kernel), tuple(stride), pads, tuple(dilation), "fold")
    x = d.array((batch, channels * prod(kernel), prod(counts)), d.dtype(NUMBERS))
    return [x], {"output_size": sizes, "kernel_size": kernel, "dilation": dilation, "padding": pads, "stride": stride}


@primitive("T -> T", NUMBERS, canon=_fold_canon, shape=_fold_shape, expand=_fold_expand, sample=_fold_sample,
           terms=lambda x, *, kernel_size, **_: prod(kernel_size),
           vjp=(lambda g, _y, _x, output_size, **attrs: unfold2d(g, **attrs),))  # fmt: skip
def fold(x, *, output_size: Ints, kernel_size: Ints, dilation: Ints = 1, padding: Any = 0, stride: Ints = 1):
    """Images [batch, channels, *output_size], the sums of the windows x[batch, channels * kernel, positions]."""
    batch, channels = prod(x.shape[:-2]), x.shape[-2] // prod(kernel_size)
    full = [m + lo + hi for m, (lo, hi) in zip(output_size, padding)]
    counts = positions(full, kernel_size, stride, ((0, 0), (0, 0)), dilation, "fold")
    cols = x.reshape(batch, channels, *kernel_size, *counts)
    y = np.zeros((batch, channels, *full), x.dtype)
    for k in np.ndindex(*kernel_size):
        y[tap(k, counts, stride, dilation)] += cols[(slice(None), slice(None), *k)]
    y = y[(..., *[slice(lo, m - hi) for m, (lo, hi) in zip(full, padding)])]
    return y.reshape(*x.shape[:-2], channels, *output_size)
