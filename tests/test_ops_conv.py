"""Convolutions and their transposes, windows as columns: against PyTorch, by adjoints, at the edges."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from torch_check import check, same, torch

import candle
from candle.errors import ShapeError

F = torch.nn.functional
RNG = np.random.default_rng(7)


def draw(*shape, dtype="float64"):
    if np.dtype(dtype).kind in "iu":
        return RNG.integers(0, 9, shape).astype(dtype)
    x = RNG.standard_normal(shape)
    return (x + 1j * RNG.standard_normal(shape)).astype(dtype) if np.dtype(dtype).kind == "c" else x.astype(dtype)


# x, weight, attributes; the bias is there in every second case
CONV = [
    ((2, 3, 8), (4, 3, 3), {}),
    ((2, 3, 8), (4, 3, 1), {"stride": 2}),
    ((1, 1, 1), (1, 1, 1), {}),
    ((2, 4, 9), (6, 2, 3), {"groups": 2, "padding": 1, "dilation": 2}),
    ((2, 3, 10), (3, 1, 4), {"groups": 3, "stride": 3, "padding": 2}),  # depthwise
    ((2, 3, 10), (6, 1, 2), {"groups": 3, "stride": 5}),  # a stride beyond the kernel
    ((3, 8), (4, 3, 3), {"padding": 1}),  # without a batch
    ((0, 3, 8), (4, 3, 3), {"padding": 1}),
    ((1, 2, 3000), (3, 2, 5), {"stride": 2}),
    ((1, 1030, 4), (2, 1030, 3), {}),
    ((2, 1030, 3), (1030, 1, 2), {"groups": 1030}),
    ((2, 3, 6, 7), (4, 3, 3, 2), {"padding": (1, 0), "stride": (2, 1), "dilation": (1, 2)}),
    ((1, 4, 4, 4), (4, 4, 3, 3), {"padding": 1}),  # channels == height == width
    ((4, 4, 4, 4), (4, 4, 4, 4), {}),
    ((2, 3, 5, 5), (4, 3, 3, 3), {"padding": "same"}),
    ((2, 3, 5, 5), (4, 3, 2, 4), {"padding": "same", "dilation": (3, 1)}),
    ((2, 3, 5, 5), (4, 3, 3, 3), {"padding": "valid"}),
    ((2, 3, 8, 8), (4, 3, 3, 3), {"stride": 2}),  # an odd crop: the last row and column take no part
    ((1, 2, 9, 10), (2, 2, 2, 3), {"stride": 4}),
    ((3, 5, 5), (2, 3, 3, 3), {"padding": (2, 1)}),
    ((1, 6, 5, 4), (9, 2, 3, 3), {"groups": 3, "padding": 1}),
    ((2, 2, 4, 5, 3), (4, 2, 2, 3, 2), {"stride": (1, 2, 1), "padding": (1, 1, 0)}),
    ((1, 4, 3, 3, 3), (4, 2, 2, 2, 2), {"groups": 2, "dilation": 2, "padding": 1}),
    ((2, 3, 3, 3), (2, 2, 1, 2, 2), {"padding": 1}),
]


@pytest.mark.parametrize("x, w, attrs", CONV)
def test_conv(x, w, attrs):
    name = f"conv{len(w) - 2}d"
    ours, theirs = getattr(candle, name), getattr(F, name)
    check(lambda *a: ours(*a, **attrs), lambda *a: theirs(*a, **attrs), draw(*x), draw(*w), draw(w[0]), second=True)
    check(lambda *a: ours(*a, **attrs), lambda *a: theirs(*a, **attrs), draw(*x, dtype="float32"), draw(*w, dtype="float32"))


TRANSPOSE = [
    ((2, 3, 4), (3, 4, 3), {}),
    ((2, 3, 4), (3, 4, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    ((1, 1, 1), (1, 1, 1), {}),
    ((3, 4), (3, 4, 2), {"stride": 3}),
    ((2, 4, 5), (4, 3, 3), {"groups": 2, "stride": 2, "dilation": 2}),
    ((2, 3, 5), (3, 1, 3), {"groups": 3, "padding": 2}),
    ((2, 3, 4), (3, 2, 2), {"dilation": 3, "output_padding": 2}),  # more output padding than stride
    ((0, 3, 4), (3, 4, 3), {"stride": 2}),
    ((2, 3, 4, 4), (3, 4, 3, 3), {"stride": 2, "padding": 1}),
    ((2, 4, 4, 4), (4, 4, 4, 4), {"padding": (1, 3)}),
    ((1, 2, 3, 5), (2, 3, 2, 3), {"stride": (2, 3), "padding": (0, 1), "output_padding": (1, 2), "dilation": (2, 1)}),
    ((4, 3, 3), (4, 2, 3, 3), {"groups": 2, "stride": 2}),
    ((2, 2, 3, 2, 3), (2, 2, 2, 3, 2), {"stride": (2, 1, 2), "padding": 1, "output_padding": (1, 0, 0)}),
    ((1, 4, 2, 2, 2), (4, 1, 3, 3, 3), {"groups": 4, "stride": 2, "padding": 1}),
]


@pytest.mark.parametrize("x, w, attrs", TRANSPOSE)
def test_conv_transpose(x, w, attrs):
    name = f"conv_transpose{len(w) - 2}d"
    ours, theirs = getattr(candle, name), getattr(F, name)
    bias = draw(w[1] * attrs.get("groups", 1))
    check(lambda *a: ours(*a, **attrs), lambda *a: theirs(*a, **attrs), draw(*x), draw(*w), bias, second=True)
    check(lambda *a: ours(*a, **attrs), lambda *a: theirs(*a, **attrs), draw(*x, dtype="float32"), draw(*w, dtype="float32"))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "complex64", "complex128", "int64", "int32", "uint8"])
@pytest.mark.parametrize("name", ["conv2d", "conv_transpose2d"])
def test_dtypes(name, dtype):
    kind = candle.dtype.as_dtype(dtype).numpy if dtype == "bfloat16" else dtype
    x, w = (
        draw(2, 3, 5, 5, dtype="float32" if dtype == "bfloat16" else dtype),
        draw(3, 3, 2, 2, dtype="float32" if dtype == "bfloat16" else dtype),
    )
    x, w = x.astype(kind), w.astype(kind)
    if dtype in ("int32", "uint8"):  # PyTorch has no transposed convolution of these
        same(getattr(candle, name)(x, w), getattr(candle, name)(x.astype("int64"), w.astype("int64")).numpy().astype(dtype))
        return
    second = np.dtype(kind).kind == "c"
    ours = getattr(candle, name)
    if dtype in ("float16", "bfloat16"):  # rounded once: the nearest to the result in single precision
        y = ours(x, w, stride=2, padding=1)
        wide = ours(x.astype("float32"), w.astype("float32"), stride=2, padding=1)
        np.testing.assert_array_equal(y.numpy(), wide.numpy().astype(kind))
    check(lambda *a: ours(*a, stride=2, padding=1), lambda *a: getattr(F, name)(*a, stride=2, padding=1), x, w, second=second)


@pytest.mark.parametrize("pads", [((1, 2), (0, 3)), ((0, 1), (4, 0)), ((2, 2), (1, 1))])
def test_asymmetric_padding(pads):
    flat = [p for pair in reversed(pads) for p in pair]
    x, w = draw(2, 3, 5, 6), draw(4, 3, 3, 2)
    check(
        lambda x, w: candle.conv2d(x, w, padding=pads, stride=2),
        lambda x, w: F.conv2d(F.pad(x, flat), w, stride=2),
        x,
        w,
        second=True,
    )
    full = F.conv_transpose2d(torch.from_numpy(x), torch.from_numpy(w).transpose(0, 1).contiguous(), stride=2).numpy()
    (a, b), (c, d) = pads
    ours = candle.conv_transpose2d(x, w.swapaxes(0, 1), stride=2, padding=pads)
    np.testing.assert_allclose(ours.numpy(), full[:, :, a : full.shape[2] - b, c : full.shape[3] - d], rtol=1e-12)


def test_views():
    """Strided, reversed and broadcast inputs and kernels give what contiguous ones give."""
    x, w = draw(6, 5, 4, 4), draw(3, 2, 8, 8)
    views = [
        (x.transpose(2, 3, 0, 1), w.transpose(0, 1, 3, 2)[:1, :, ::3, ::3].repeat(2, 0)[:, [0, 1, 0, 1]]),
        (x[::-2, ::-1, :, ::-1], np.broadcast_to(w[:, :1, :2, 1:4], (3, 5, 2, 3))),
        (x[:, :4].transpose(0, 2, 1, 3), w.transpose(3, 2, 0, 1)[::2, 3:7]),
    ]
    for a, b in views:
        for fn, c in ((candle.conv2d, b), (candle.conv_transpose2d, b.swapaxes(0, 1))):
            for ours, copy in ((a, np.ascontiguousarray(a)),):
                other = np.ascontiguousarray(c)
                frozen = [
                    candle.Tensor(v, candle.Spec(v.shape, "float64"), candle.tensor(0.0, device="numpy").backend)
                    for v in (ours, c)
                ]
                y = fn(*frozen, padding=1)
                np.testing.assert_allclose(y.numpy(), fn(copy, other, padding=1).numpy(), rtol=1e-12)


def test_nan_and_infinities_stay_in_their_windows():
    x = draw(1, 1, 6, 6)
    x[0, 0, 2, 3], x[0, 0, 5, 0] = np.nan, np.inf
    check(candle.conv2d, F.conv2d, x, np.abs(draw(2, 1, 2, 2)), grad=False)


def test_adjoints():
    """<conv(x, w), g> equals <x, its transpose> and <w, conv_weight>, in any number of dimensions."""
    for n, groups in itertools.product((1, 2, 3, 4), (1, 2)):
        x, w = candle.tensor(draw(2, 4, *range(4, 4 + n))), candle.tensor(draw(6, 4 // groups, *[2, 3, 1, 2][:n]))
        attrs = {
            "stride": tuple([2, 1, 3, 2][:n]),
            "padding": ((1, 0), (2, 1), (0, 0), (0, 2))[:n],
            "dilation": tuple([1, 2, 1, 2][:n]),
        }
        y = candle.conv(x, w, groups=groups, **attrs)
        g = candle.tensor(draw(*y.shape))
        want = float((y * g).sum())
        dw = candle.conv_weight(x, g, w.shape[2:], groups=groups, **attrs)
        assert float((dw * w).sum()) == pytest.approx(want)
        x.requires_grad_()
        dx = candle.grad(candle.conv(x, w, groups=groups, **attrs), x, g)
        assert float((dx * x).sum()) == pytest.approx(want)


FOLD = [
    ((2, 3, 6, 7), {"kernel_size": (2, 3)}),
    ((2, 3, 6, 7), {"kernel_size": 3, "dilation": (2, 1), "padding": (1, 2), "stride": (2, 3)}),
    ((3, 5, 5), {"kernel_size": 2, "stride": 3}),
    ((1, 1, 1, 1), {"kernel_size": 1}),
    ((2, 4, 4, 4), {"kernel_size": 4, "padding": 2}),
]


@pytest.mark.parametrize("shape, attrs", FOLD)
def test_unfold_and_fold(shape, attrs):
    check(lambda x: candle.unfold2d(x, **attrs), lambda x: F.unfold(x, **attrs), draw(*shape), second=True)
    cols = candle.unfold2d(draw(*shape), **attrs).numpy()
    check(lambda x: candle.fold(x, shape[-2:], **attrs), lambda x: F.fold(x, shape[-2:], **attrs), cols, second=True)


EXPANDED = [
    ("conv", lambda: (draw(2, 4, 7, 6), draw(6, 2, 3, 2), draw(6)),
     {"groups": 2, "stride": (2, 3), "padding": ((1, 2), (0, 1)), "dilation": (2, 1)}),
    ("conv", lambda: (draw(0, 2, 5), draw(3, 2, 3), None), {}),
    ("conv", lambda: (draw(1, 2, 3, 3, 3), draw(3, 2, 2, 2, 2), None), {"padding": 1}),
    ("conv_transpose", lambda: (draw(2, 4, 3, 2), draw(4, 3, 3, 2), draw(6)),
     {"groups": 2, "stride": (2, 3), "padding": ((1, 2), (0, 1)), "output_padding": (1, 2), "dilation": (2, 1)}),
    ("conv_transpose", lambda: (draw(2, 2, 3), draw(2, 3, 1), None), {"padding": 1}),
    ("conv_transpose", lambda: (draw(2, 2, 1), draw(2, 3, 2), draw(3)), {"padding": 1}),
    ("conv_weight", lambda: (draw(2, 4, 7, 6), draw(2, 6, 3, 2)),
     {"kernel_size": (3, 2), "groups": 2, "stride": (2, 3), "padding": ((1, 2), (0, 1)), "dilation": (2, 1)}),
    ("unfold2d", lambda: (draw(2, 3, 5, 6),),
     {"kernel_size": (2, 3), "padding": ((1, 0), (2, 1)), "stride": (1, 2), "dilation": (2, 1)}),
    ("fold", lambda: (draw(2, 12, 20),), {"output_size": (5, 6), "kernel_size": 2}),
    ("fold", lambda: (draw(12, 4),), {"output_size": (3, 4), "kernel_size": (2, 2), "padding": 1, "stride": 3}),
]  # fmt: skip


@pytest.mark.parametrize("name, operands, attrs", EXPANDED)
def test_expansions(name, operands, attrs):
    """Each primitive said in other ops gives what its reference gives."""
    op = candle.OPS[name]
    xs = [None if v is None else candle.tensor(v, device="numpy") for v in operands()]
    full = op.complete([None if x is None else x.spec for x in xs], attrs)
    same(op.expand(*xs, **full), op(*xs, **attrs).numpy(), 1e-12, name)


def test_large_batches_are_cut(monkeypatch):
    from candle.ops import conv

    x, w = draw(5, 3, 6, 6), draw(4, 3, 3, 3)
    whole = [
        candle.conv2d(x, w).numpy(),
        candle.conv_transpose2d(x, w[:3]).numpy(),
        candle.conv_weight(x, x[:, :, :4, :4], (3, 3)).numpy(),
    ]
    monkeypatch.setattr(conv, "_AT_ONCE", 1)
    parts = [
        candle.conv2d(x, w).numpy(),
        candle.conv_transpose2d(x, w[:3]).numpy(),
        candle.conv_weight(x, x[:, :, :4, :4], (3, 3)).numpy(),
    ]
    for a, b in zip(whole, parts):
        np.testing.assert_allclose(a, b, rtol=1e-12)


WRONG = [
    (lambda x: candle.conv2d(x, candle.zeros(2, 4, 2, 2)), "takes 4 channels with the weight"),
    (lambda x: candle.conv2d(x[0, 0], x), "conv2d takes x\\[batch, channels, h, w\\] or the same without a batch"),
    (lambda x: candle.conv2d(x, candle.zeros(2, 3, 9, 1)), "spans 9 elements but a dimension of size 5"),
    (lambda x: candle.conv2d(x, candle.zeros(2, 3, 0, 1)), "at least one element"),
    (lambda x: candle.conv2d(x, candle.zeros(2, 3, 2, 2), candle.zeros(3)), "takes a bias\\[2\\]"),
    (lambda x: candle.conv2d(x, candle.zeros(2, 3, 2, 2), stride=0), "conv2d's stride is an integer of at least 1, or 2 of them"),
    (lambda x: candle.conv2d(x, candle.zeros(2, 3, 2, 2), padding=(1, 2, 3)), "conv2d's padding is an integer of at least 0"),
    (lambda x: candle.conv2d(x, candle.zeros(2, 3, 2, 2), padding=-1), "conv2d's padding is an integer of at least 0"),
    (lambda x: candle.conv2d(x, candle.zeros(2, 3, 2, 2), padding="same", stride=2), "'same' takes a stride of 1"),
    (lambda x: candle.conv2d(x, candle.zeros(2, 3, 2, 2), groups=2), "groups divide the channels"),
    (lambda x: candle.conv_transpose2d(x, candle.zeros(3, 2, 1, 1), padding=3), "takes away too much"),
    (lambda x: candle.conv_transpose2d(x, candle.zeros(2, 2, 1, 1)), "takes 2 channels"),
    (lambda x: candle.fold(x[0], 3, 2), "fold takes x\\[batch, channels \\* 4, 4\\]"),
]


@pytest.mark.parametrize("call, text", WRONG)
def test_errors(call, text):
    with pytest.raises(ShapeError, match=text):
        call(candle.tensor(draw(2, 3, 5, 5, dtype="float32")))


def test_without_channels_there_is_only_the_bias():
    y = candle.conv1d(draw(2, 0, 8), draw(4, 0, 3), draw(4))
    assert y.shape == (2, 4, 6) and not np.ptp(y.numpy(), axis=2).any()
    assert candle.conv1d(draw(2, 3, 8), draw(0, 3, 3)).shape == (2, 0, 6)
