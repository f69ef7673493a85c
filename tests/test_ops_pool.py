"""Pooling in all its forms: against PyTorch, at overlapping windows, margins, ceilings, ties, NaN."""

from __future__ import annotations

import numpy as np
import pytest
from torch_check import check, same, to_torch, torch

import candle
from candle.errors import ShapeError

F = torch.nn.functional
RNG = np.random.default_rng(11)


def draw(*shape, dtype="float64"):
    """Distinct numbers, so that the largest is one."""
    return (RNG.permutation(int(np.prod(shape))).reshape(shape) - 7).astype(dtype)


def both(name, **attrs):
    return lambda *a: getattr(candle, name)(*a, **attrs), lambda *a: getattr(F, name)(*a, **attrs)


def cubed(name, **attrs):
    """Of cubes, whose order is the same: so that a pooling that is linear has second derivatives too."""
    return lambda x: getattr(candle, name)(x * x * x, **attrs), lambda x: getattr(F, name)(x * x * x, **attrs)


# shape, kernel, attributes that all kinds of pooling take
WINDOWS = [
    ((2, 3, 8), 2, {}),
    ((2, 3, 9), 3, {"stride": 1, "padding": 1}),
    ((3, 8), 3, {"stride": 2}),  # without a batch, with a rest
    ((2, 3, 7), 2, {"stride": 5}),
    ((1, 1, 1), 1, {}),
    ((0, 2, 4), 2, {}),
    ((1, 2, 2500), 5, {"stride": 2, "padding": 2}),
    ((2, 2, 7), 3, {"stride": 3, "padding": 1, "ceil_mode": True}),
    ((2, 2, 6), 2, {"stride": 3, "padding": 1, "ceil_mode": True}),  # the last window would begin after the end
    ((2, 3, 6, 7), (2, 3), {"stride": (1, 2)}),
    ((4, 4, 4), 2, {"stride": 1}),
    ((2, 3, 7, 5), 3, {"stride": 2, "padding": 1, "ceil_mode": True}),
    ((1, 2, 8, 8), (3, 2), {"stride": 2, "padding": (1, 0), "ceil_mode": True}),
    ((1, 3, 3, 3), 3, {"stride": 1, "padding": 1}),
    ((2, 2, 5, 4, 6), 2, {}),
    ((1, 2, 5, 5, 5), (3, 2, 3), {"stride": (2, 1, 2), "padding": (1, 0, 1), "ceil_mode": True}),
]


@pytest.mark.parametrize("shape, kernel, attrs", WINDOWS)
def test_max_pool(shape, kernel, attrs):
    n = 1 if isinstance(kernel, int) and len(shape) < 4 and shape != (4, 4, 4) else 2 if len(shape) < 5 else 3
    name = f"max_pool{n}d"
    check(*cubed(name, kernel_size=kernel, **attrs), draw(*shape), second=True)
    check(*both(name, kernel_size=kernel, return_indices=True, **attrs), draw(*shape))


@pytest.mark.parametrize("shape, kernel, attrs", WINDOWS)
def test_avg_pool(shape, kernel, attrs):
    n = 1 if isinstance(kernel, int) and len(shape) < 4 and shape != (4, 4, 4) else 2 if len(shape) < 5 else 3
    for more in [{}, {"count_include_pad": False}, *([{"divisor_override": 3}] if n > 1 else [])]:
        check(*cubed(f"avg_pool{n}d", kernel_size=kernel, **attrs, **more), draw(*shape), second=True)


DILATED = [
    ((2, 2, 9), 3, {"dilation": 2}),
    ((2, 2, 9, 8), (2, 3), {"dilation": (3, 2), "stride": 1, "padding": (1, 1)}),
    ((1, 2, 8, 8), 3, {"dilation": 2, "padding": 1, "stride": 2, "ceil_mode": True}),
    ((1, 1, 5, 6, 5), 2, {"dilation": (1, 2, 3), "stride": 1}),
]


@pytest.mark.parametrize("shape, kernel, attrs", DILATED)
def test_dilated_max_pool(shape, kernel, attrs):
    check(*both(f"max_pool{len(shape) - 2}d", kernel_size=kernel, return_indices=True, **attrs), draw(*shape))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int64", "int32", "uint8"])
def test_dtypes(dtype):
    x = draw(2, 3, 6, 6, dtype="float32").astype(candle.dtype.as_dtype(dtype).numpy)
    check(*both("max_pool2d", kernel_size=3, stride=2, padding=1, return_indices=True), x)
    if dtype in ("float16", "bfloat16", "float32"):
        for name in ("avg_pool2d", "max_pool2d"):
            check(*both(name, kernel_size=3, stride=2, padding=1), x)
        check(*both("adaptive_avg_pool2d", output_size=(4, 1)), x)


def test_ties_go_to_the_first():
    x = np.zeros((1, 2, 5, 5))
    x[0, 1, ::2] = 1
    attrs = {"kernel_size": 3, "stride": 1, "padding": 1}
    check(*both("max_pool2d", return_indices=True, **attrs), x)
    check(*both("max_pool2d", **attrs), x)
    check(*both("adaptive_max_pool2d", output_size=2, return_indices=True), x)


def test_nan_and_infinities():
    """A window with a NaN gives NaN; one of minus infinities gives that, at its first element, not at the margin."""
    x = draw(1, 1, 6, 6)
    x[0, 0, 2, 2] = np.nan
    x[0, 0, 4:, 4:] = -np.inf
    x[0, 0, 0, 5] = np.inf
    check(*both("max_pool2d", kernel_size=2, return_indices=True), x, grad=False)
    check(*both("max_pool2d", kernel_size=2, padding=1, return_indices=True), np.full((1, 1, 3, 3), -np.inf), grad=False)
    check(*both("avg_pool2d", kernel_size=2), x, grad=False)
    check(*both("adaptive_avg_pool2d", output_size=4), x, grad=False)
    check(*both("adaptive_max_pool2d", output_size=4), x, grad=False)


def test_views():
    x = draw(6, 4, 3, 5)
    for view in (x.transpose(1, 0, 3, 2), x[::-1, :, ::-1, ::2], np.broadcast_to(x[:1], (3, 4, 3, 5))):
        frozen = candle.Tensor(view, candle.Spec(view.shape, "float64"), candle.tensor(0.0, device="numpy").backend)
        for name in ("max_pool2d", "avg_pool2d"):
            fn = getattr(candle, name)
            np.testing.assert_array_equal(fn(frozen, 2, 1, 1).numpy(), fn(candle.tensor(view, device="numpy"), 2, 1, 1).numpy())


ADAPTIVE = [
    ((2, 3, 8), 3), ((3, 8), 8), ((2, 3, 5), 7), ((1, 1, 1), 1), ((0, 3, 5), 2), ((2, 3, 6, 7), (2, 3)), ((3, 6, 7), (None, 4)),
    ((2, 4, 4, 4), 4), ((2, 3, 5, 6), 1), ((1, 2, 4, 5, 6), (3, 2, 4)), ((2, 4, 5, 6), (2, 2, 2)),
]  # fmt: skip


@pytest.mark.parametrize("shape, size", ADAPTIVE)
def test_adaptive(shape, size):
    n = len(size) if isinstance(size, tuple) else 1 if len(shape) < 4 else 2
    check(*cubed(f"adaptive_avg_pool{n}d", output_size=size), draw(*shape), second=True)
    check(*cubed(f"adaptive_max_pool{n}d", output_size=size), draw(*shape), second=True)
    check(*both(f"adaptive_max_pool{n}d", output_size=size, return_indices=True), draw(*shape))


@pytest.mark.parametrize("p", [1, 2, 3.0])
def test_lp_pool(p):
    for n in (1, 2, 3):
        x = RNG.uniform(0.5, 2, (2, 3, *[5, 6, 4][:n]))
        check(*cubed(f"lp_pool{n}d", norm_type=p, kernel_size=2), x, second=True)
        check(*both(f"lp_pool{n}d", norm_type=p, kernel_size=3, stride=2, ceil_mode=True), x)


UNPOOL = [
    ((2, 3, 8), 2, {}),
    ((2, 3, 6, 8), 2, {}),
    ((3, 6, 8), (3, 2), {}),
    ((1, 2, 7, 7), 3, {"stride": 2}),
    ((1, 2, 4, 4, 4), 2, {}),
]


@pytest.mark.parametrize("shape, kernel, attrs", UNPOOL)
def test_max_unpool(shape, kernel, attrs):
    n = 1 if shape == (2, 3, 8) else min(3, len(shape) - 2) if len(shape) > 3 else 2
    y, at = getattr(F, f"max_pool{n}d")(to_torch(draw(*shape)), kernel, return_indices=True, **attrs)
    ours, theirs = getattr(candle, f"max_unpool{n}d"), getattr(F, f"max_unpool{n}d")
    size = shape[-n:]
    distinct = len(np.unique(at.numpy().reshape(-1, int(np.prod(at.shape[-n:])))[0])) == int(np.prod(at.shape[-n:]))
    check(lambda x: ours(x * x, at.numpy(), kernel, output_size=size, **attrs),
          lambda x: theirs(x * x, at, kernel, output_size=size, **attrs), y.numpy(), second=distinct, grad=distinct)  # fmt: skip
    if not attrs:
        check(lambda x: ours(x, at.numpy(), kernel), lambda x: theirs(x, at, kernel), y.numpy())


ATTRS = [
    {"kernel_size": (2, 3)},
    {"kernel_size": 3, "stride": (1, 2), "padding": 1, "ceil_mode": True},
    {"kernel_size": (2, 2), "stride": 3, "dilation": (2, 1)},
    {"kernel_size": 2, "padding": ((1, 0), (0, 1)), "stride": 1},
]


@pytest.mark.parametrize("attrs", ATTRS)
@pytest.mark.parametrize("name", ["max_pool", "max_pool_with_indices", "avg_pool"])
@pytest.mark.parametrize("dtype", ["float64", "int32"])
def test_expansions(name, attrs, dtype):
    """Each primitive said in other ops gives what its reference gives."""
    op = candle.OPS[name]
    if dtype == "int32" and name == "avg_pool":
        return
    for data in (draw(2, 3, 6, 7), draw(0, 3, 6, 7), np.round(draw(1, 2, 6, 7) / 20)):
        x = candle.tensor(data.astype(dtype), device="numpy")
        got, want = op.expand(x, **op.complete([x.spec], attrs)), op(x, **attrs)
        same(got, [y.numpy() for y in want] if op.multiple else want.numpy(), 1e-12, name)


def test_pooling_over_one_and_four_dimensions():
    """Any number of dimensions: over four, it is pooling over three of them, then over the fourth."""
    x = candle.tensor(draw(1, 2, 4, 4, 4, 4), device="numpy")
    y = candle.max_pool(x, 2)
    z = candle.max_pool3d(x.reshape((8, 4, 4, 4)), 2).reshape((2, 4, 8))
    np.testing.assert_array_equal(
        y.numpy().reshape(2, 2, 8), candle.max_pool1d(z.permute((0, 2, 1)), 2).permute((0, 2, 1)).numpy()
    )


def test_asymmetric_margins():
    x = draw(1, 2, 5, 6)
    whole = F.pad(torch.from_numpy(x), (1, 2, 0, 1))
    attrs = {"kernel_size": 3, "stride": 2}
    y = candle.avg_pool2d(candle.tensor(x), padding=((0, 1), (1, 2)), **attrs)
    np.testing.assert_allclose(y.numpy(), F.avg_pool2d(whole, **attrs).numpy(), rtol=1e-12)


WRONG = [
    (lambda x: candle.max_pool2d(x, 9), "has no place in"),
    (lambda x: candle.max_pool2d(x, 2, padding=2), "at most half a window"),
    (lambda x: candle.max_pool2d(x, (2, 2, 2)), "max_pool's kernel_size is an integer of at least 1, or 2 of them"),
    (lambda x: candle.max_pool2d(x, 0), "kernel_size is an integer of at least 1"),
    (lambda x: candle.max_pool3d(x[0], 2), "max_pool3d takes x\\[batch, channels, d, h, w\\]"),
    (lambda x: candle.avg_pool2d(x, 2, divisor_override=0), "divisor_override is not 0"),
    (lambda x: candle.adaptive_avg_pool2d(x, (1, 2, 3)), "output_size is an integer, or 2 of them"),
    (lambda x: candle.max_unpool2d(x, candle.zeros(1, dtype="int64"), 2), "one index per element"),
    (lambda x: candle.max_unpool2d(x, x.long(), 2, output_size=(90, 90)), "within a stride"),
]


@pytest.mark.parametrize("call, text", WRONG)
def test_errors(call, text):
    with pytest.raises(ShapeError, match=text):
        call(candle.tensor(draw(2, 3, 5, 5, dtype="float32")))
