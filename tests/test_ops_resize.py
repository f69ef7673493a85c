"""Resizing against PyTorch and ONNX's reference, sampling at grids, shuffles of pixels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from torch_check import check, same, torch

import candle
from candle.errors import DTypeError, ShapeError

F = torch.nn.functional
RNG = np.random.default_rng(5)


def draw(*shape, dtype="float64"):
    return RNG.integers(0, 99, shape).astype(dtype) if np.dtype(dtype).kind in "iu" else RNG.standard_normal(shape).astype(dtype)


def squared(name, **attrs):
    """Of squares, so that what is linear has second derivatives too."""
    return lambda x: getattr(candle, name)(x * x, **attrs), lambda x: getattr(F, name)(x * x, **attrs)


SIZES = {1: [(3, 7), (8, 3), (5, 5), (1, 4), (6, 1)],
         2: [((4, 6), (7, 3)), ((5, 5), (10, 10)), ((1, 1), (3, 2)), ((7, 9), (1, 5)), ((4, 4), (4, 4))],
         3: [((2, 3, 4), (5, 3, 2)), ((3, 1, 2), (2, 2, 2))]}  # fmt: skip
MODES = [("nearest", 1), ("nearest", 2), ("nearest", 3), ("nearest-exact", 1), ("nearest-exact", 2), ("nearest-exact", 3),
         ("linear", 1), ("bilinear", 2), ("bicubic", 2), ("trilinear", 3), ("area", 1), ("area", 2), ("area", 3)]  # fmt: skip


@pytest.mark.parametrize("mode, n", MODES)
def test_interpolate_to_a_size(mode, n):
    for old, new in SIZES[n]:
        x = draw(2, 3, *(old if n > 1 else (old,)))
        for align in [False, True] if "linear" in mode or mode == "bicubic" else [None]:
            check(*squared("interpolate", size=new, mode=mode, align_corners=align), x, second=True)


@pytest.mark.parametrize("mode, n", MODES)
@pytest.mark.parametrize("scale", [2, 0.5, 1.7, 3.0, 0.37, 1.05])
def test_interpolate_by_a_factor(mode, n, scale):
    x = draw(1, 2, *[9, 6, 4][:n])
    for recompute in (None, False, True):
        # where sizes stay, PyTorch's gradients of nearest and bicubic ignore the factor although their values do not
        odd = scale == 1.05 and mode in ("nearest", "bicubic")
        check(*squared("interpolate", scale_factor=scale, mode=mode, recompute_scale_factor=recompute), x, grad=not odd)
    if n == 2:
        check(*squared("interpolate", scale_factor=(scale, 1.5), mode=mode), x)
    if "linear" in mode or mode == "bicubic":
        check(*squared("interpolate", scale_factor=scale, mode=mode, align_corners=True), x)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("align", [False, True])
def test_antialias(mode, align):
    for old, new in [
        ((9, 12), (4, 5)),
        ((5, 6), (8, 11)),
        ((12, 3), (2, 7)),
        ((4, 4), (4, 4)),
        ((3, 5), (1, 1)),
        ((20, 2), (3, 2)),
    ]:
        check(*squared("interpolate", size=new, mode=mode, align_corners=align, antialias=True), draw(1, 2, *old), second=True)
    check(*squared("interpolate", scale_factor=(0.4, 1.3), mode=mode, align_corners=align, antialias=True), draw(1, 2, 9, 7))


def test_nearest_at_many_sizes():
    """Whole numbers are met exactly: the same elements as PyTorch's for every pair of sizes."""
    for old, new in itertools.product(range(1, 30, 2), range(1, 45, 3)):
        x = np.arange(old, dtype="float32").reshape(1, 1, old)
        for mode in ("nearest", "nearest-exact"):
            check(lambda t: candle.interpolate(t, new, mode=mode), lambda t: F.interpolate(t, new, mode=mode), x, grad=False)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "uint8"])
def test_dtypes(dtype):
    x = draw(1, 2, 5, 4, dtype="uint8").astype(candle.dtype.as_dtype(dtype).numpy)
    check(*[lambda x, f=f: f(x, size=(8, 3)) for f in (candle.interpolate, F.interpolate)], x)
    if dtype != "uint8":
        for mode in ("bilinear", "bicubic", "area"):
            check(*[lambda x, f=f, mode=mode: f(x, size=(8, 3), mode=mode) for f in (candle.interpolate, F.interpolate)], x)
    else:
        y = candle.interpolate(candle.tensor(x), (8, 3), mode="bicubic")
        wide = candle.interpolate(candle.tensor(x).double(), (8, 3), mode="bicubic").numpy()
        np.testing.assert_array_equal(y.numpy(), np.clip(np.round(wide), 0, 255).astype("uint8"))
    assert candle.interpolate(candle.tensor(x > 50), (8, 3)).dtype is candle.bool
    with pytest.raises(DTypeError, match="between booleans"):
        candle.interpolate(candle.tensor(x > 50), (8, 3), mode="bilinear")


def test_infinities_stay_in_their_parts():
    x = draw(1, 1, 7, 9)
    x[0, 0, 3, 4] = np.inf
    check(*[lambda x, f=f: f(x, size=(3, 4), mode="area") for f in (candle.interpolate, F.interpolate)], x, grad=False)
    y = candle.interpolate(candle.tensor(x), (3, 4), mode="bilinear", antialias=True).numpy()
    assert not np.isnan(y).any() and np.isinf(y).any() and np.isfinite(y[..., 0]).all()


def test_empty_batch_and_views():
    assert candle.interpolate(draw(0, 3, 4), 9).shape == (0, 3, 9)
    x = draw(4, 5, 3, 2)
    for view in (x.transpose(3, 2, 1, 0), x[::-2, :, ::-1]):
        frozen = candle.Tensor(view, candle.Spec(view.shape, "float64"), candle.tensor(0.0, device="numpy").backend)
        same(
            candle.interpolate(frozen, (6, 7), mode="bicubic"),
            F.interpolate(torch.from_numpy(view.copy()), (6, 7), mode="bicubic"),
        )


def test_older_and_shorter_names():
    x = candle.tensor(draw(1, 2, 4, 5))
    t = torch.from_numpy(x.numpy().copy())
    same(candle.upsample_nearest2d(x, 8, 7), F.interpolate(t, (8, 7)))
    same(candle.interpolate2d(x, 8, 7), F.interpolate(t, (8, 7)))
    for name in ("interpolate1d", "upsample_nearest1d"):
        same(getattr(candle, name)(x[:, :, 0], 8), F.interpolate(t[:, :, 0], 8))
    same(x.upsample_bilinear2d(3, 9, True), F.interpolate(t, (3, 9), mode="bilinear", align_corners=True))
    same(x.upsample_bilinear2d_with_scale(1.5, 2.2), F.interpolate(t, scale_factor=(1.5, 2.2), mode="bilinear"))
    same(candle.upsample_bilinear(x, scale_factor=2), F.interpolate(t, scale_factor=2, mode="bilinear", align_corners=True))
    same(candle.upsample_nearest(x, (8, 8)), F.interpolate(t, (8, 8)))
    same(candle.upsample(x, scale_factor=2, mode="bicubic"), F.interpolate(t, scale_factor=2, mode="bicubic"))


# -- ONNX ------------------------------------------------------------------------------------------

TRANSFORMS = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize"]
ROUNDINGS = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
ONNX = [
    *[{"mode": m, "coordinate_transformation_mode": c} for m in ("nearest", "linear", "cubic") for c in TRANSFORMS],
    *[{"mode": "nearest", "nearest_mode": r} for r in ROUNDINGS],
    *[{"mode": "nearest", "nearest_mode": r, "coordinate_transformation_mode": "asymmetric"} for r in ROUNDINGS],
    {"mode": "cubic", "cubic_coeff_a": -0.5},
    {"mode": "cubic", "exclude_outside": 1},
    {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1, "coordinate_transformation_mode": "align_corners"},
    {"mode": "linear", "antialias": 1},
    {"mode": "cubic", "antialias": 1},
    {"mode": "cubic", "antialias": 1, "exclude_outside": 1},
    {"mode": "linear", "antialias": 1, "coordinate_transformation_mode": "align_corners"},
]  # fmt: skip
TARGETS = [
    ((4, 5), {"sizes": (7, 3)}),
    ((4, 5), {"scales": (0.6, 1.7)}),
    ((4, 4), {"scales": (2.0, 0.5)}),
    ((5, 6), {"sizes": (1, 8)}),
    ((7,), {"sizes": (3,)}),
    ((2, 1, 3, 4), {"scales": (1.0, 1.0, 0.8, 2.0)}),
]


@pytest.mark.parametrize("attrs", ONNX, ids=lambda a: "-".join(map(str, a.values())))
def test_resize_as_onnx(attrs):
    helper = pytest.importorskip("onnx.helper", reason="ONNX's reference is the oracle: pip install onnx")
    from onnx.reference import ReferenceEvaluator

    crop = attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    for shape, target in TARGETS:
        x = draw(*shape)
        ((kind, numbers),) = target.items()
        roi = [0.0, 0.25, -0.2, 0.1][: len(shape)] + [1.0, 0.8, 1.3, 0.7][: len(shape)]
        more = {"extrapolation_value": 2.5} if crop else {}
        feeds = {"x": x, kind: np.asarray(numbers, "int64" if kind == "sizes" else "float32")} | (
            {"roi": np.asarray(roi)} if crop else {}
        )
        names = ["x", "roi" if crop else "", "scales" if kind == "scales" else "", "sizes" if kind == "sizes" else ""]
        node = helper.make_node("Resize", names, ["y"], **attrs, **more)
        inputs = [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for k, v in feeds.items()]
        graph = helper.make_graph([node], "g", inputs, [helper.make_tensor_value_info("y", 11, None)])
        want = ReferenceEvaluator(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])).run(None, feeds)[0]
        if kind == "scales":  # as the reference sees them
            numbers = tuple(float(s) for s in np.asarray(numbers, "float32"))
        got = candle.resize(x, **{kind: numbers}, **attrs, **more, **({"roi": roi} if crop else {}))
        same(got, want.astype("float64"), 1e-5, f"{shape} {target}")


def test_resize_of_some_dimensions():
    x = draw(2, 3, 4, 5)
    whole = candle.resize(x, sizes=(2, 3, 8, 3), mode="cubic")
    same(candle.resize(x, (3, 8), dims=(-1, 2), mode="cubic"), whole.numpy())
    for policy, sizes in (("not_larger", (8, 10)), ("not_smaller", (10, 13))):
        assert candle.resize(x, (10, 10), axes=(2, 3), keep_aspect_ratio_policy=policy).shape[2:] == sizes
    check(lambda x: candle.resize(x * x, scales=(1, 1, 1.5, 0.7), mode="linear"),
          lambda x: F.interpolate(x * x, scale_factor=(1.5, 0.7), mode="bilinear"), x, second=True)  # fmt: skip


# -- grids -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("mode, n", [("bilinear", 2), ("nearest", 2), ("bicubic", 2), ("bilinear", 3), ("nearest", 3)])
def test_grid_sample(mode, n, padding, align):
    attrs = {"mode": mode, "padding_mode": padding, "align_corners": align}
    for shape in [(2, 3, 4, 5, 3), (1, 1, 1, 1, 1), (1, 2, 2, 1, 3)]:
        x, grid = draw(*shape[: n + 2]), RNG.uniform(-1.7, 1.7, (shape[0], *[3, 4, 2][:n], n))
        ours, theirs = (lambda *a, f=f: f(*a, **attrs) for f in (candle.grid_sample, F.grid_sample))
        check(ours, theirs, x, grid, second=mode == "bilinear" and n == 2)
        check(ours, theirs, x.astype("float32"), grid.astype("float32"))
    far = RNG.uniform(-9, 9, (2, 5, 5, 2))
    if n == 2:
        check(ours, theirs, draw(2, 2, 4, 3), far)


def test_grid_sample_at_the_elements():
    """Where places meet elements the elements come back, also at the borders."""
    theta = candle.tensor([[[1.0, 0, 0], [0, 1, 0]]], dtype="float64").expand((2, 2, 3))
    x = candle.tensor(draw(2, 3, 4, 5))
    for align, mode in itertools.product((False, True), ("bilinear", "nearest", "bicubic")):
        grid = candle.affine_grid(theta, (2, 3, 4, 5), align)
        np.testing.assert_allclose(candle.grid_sample(x, grid, mode, "border", align).numpy(), x.numpy(), atol=1e-12)


@pytest.mark.parametrize("size", [(2, 1, 3, 4), (1, 2, 1, 1), (2, 1, 2, 3, 4)])
@pytest.mark.parametrize("align", [False, True])
def test_affine_grid(size, align):
    n = len(size) - 2
    check(
        lambda t: candle.affine_grid(t * t, size, align),
        lambda t: F.affine_grid(t * t, size, align),
        draw(size[0], n, n + 1),
        second=True,
    )


# -- shuffles --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "int64", "bool", "float16"])
def test_shuffles(dtype):
    for shape, r in [((2, 8, 3, 4), 2), ((9, 2, 1), 3), ((1, 2, 4, 2, 2), 2), ((3, 5, 5), 1)]:
        x = (draw(*shape) * 9).astype(dtype)
        y = candle.pixel_shuffle(x, r)
        check(*[lambda x, f=f: f(x, r) for f in (candle.pixel_shuffle, F.pixel_shuffle)], x)
        np.testing.assert_array_equal(candle.pixel_unshuffle(y, r).numpy(), x)
        check(*[lambda x, f=f: f(x, r) for f in (candle.pixel_unshuffle, F.pixel_unshuffle)], y.numpy())
    for shape, groups in [((2, 6, 3), 3), ((1, 4, 2, 2), 2), ((2, 6), 6), ((1, 3, 2, 2, 2), 1)]:
        x = (draw(*shape) * 9).astype(dtype)
        want = x.reshape(shape[0], groups, shape[1] // groups, *shape[2:]).swapaxes(1, 2).reshape(shape)
        np.testing.assert_array_equal(candle.channel_shuffle(x, groups).numpy(), want)


def test_shuffles_of_an_empty_batch():
    x = candle.zeros(0, 8, 2, 4).requires_grad_()
    y = x.pixel_shuffle(2)
    assert y.shape == (0, 2, 4, 8) and y.pixel_unshuffle(2).shape == x.shape and candle.grad(y.sum(), x).shape == x.shape


WRONG = [
    (lambda x: candle.interpolate(x, 4, mode="lanczos"), DTypeError, "mode is one of nearest"),
    (lambda x: candle.interpolate(x, 4, mode="trilinear"), ShapeError, "takes x\\[batch, channels, \\*sizes\\] of 5 dimensions"),
    (lambda x: candle.interpolate(x), ShapeError, "a size or a scale_factor but neither"),
    (lambda x: candle.interpolate(x, 4, 2), ShapeError, "both 4 and 2"),
    (lambda x: candle.interpolate(x, (4, 5, 6)), ShapeError, "one number or 2"),
    (lambda x: candle.interpolate(x, 0), ShapeError, "sizes of at least 1"),
    (lambda x: candle.interpolate(x, scale_factor=-1.0), ShapeError, "above 0"),
    (lambda x: candle.interpolate(x, 4, align_corners=True), DTypeError, "no meaning in mode 'nearest'"),
    (lambda x: candle.interpolate(x, 4, antialias=True), DTypeError, "antialias is for"),
    (lambda x: candle.interpolate(x, 4, recompute_scale_factor=True), ShapeError, "needs a scale_factor"),
    (lambda x: candle.resize(x), ShapeError, "sizes or scales"),
    (lambda x: candle.resize(x, (3, 3)), ShapeError, "sizes holds 4 numbers"),
    (lambda x: candle.resize(x, (1, 1, 1, 1), nearest_mode="up"), DTypeError, "nearest_mode is one of"),
    (lambda x: candle.grid_sample(x, x), ShapeError, "grid\\[batch, h', w', 2\\]"),
    (lambda x: candle.grid_sample(x, candle.zeros(2, 1, 1, 2), padding_mode="wrap"), DTypeError, "padding_mode is one of"),
    (lambda x: candle.affine_grid(x, (1, 2, 3, 4)), ShapeError, "affine_grid takes theta"),
    (lambda x: candle.pixel_shuffle(x, 2), ShapeError, "channels a multiple of 4"),
    (lambda x: candle.pixel_unshuffle(x, 2), ShapeError, "multiples of 2"),
    (lambda x: candle.channel_shuffle(x, 2), ShapeError, "a multiple of the groups"),
]


@pytest.mark.parametrize("call, error, text", WRONG)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call(candle.tensor(draw(2, 3, 5, 5, dtype="float32")))
