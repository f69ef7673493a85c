"""Activations, softmax, normalisation, rotary positions, attention and dropout."""

import math

import numpy as np
import pytest
from torch_check import check, same, to_candle, to_torch, torch

import candle
from candle import CandleError, ShapeError
from candle.nn import functional as F

TF = torch.nn.functional
rng = np.random.default_rng(0)


def draw(*shape, dtype=np.float64, scale=2.0):
    return (rng.standard_normal(shape) * scale).astype(dtype)


ACTIVATIONS = [
    ("relu", {}),
    ("relu6", {}),
    ("leaky_relu", {}),
    ("leaky_relu", {"negative_slope": 0.3}),
    ("elu", {}),
    ("elu", {"alpha": 2.0}),
    ("celu", {}),
    ("celu", {"alpha": 0.5}),
    ("selu", {}),
    ("gelu", {}),
    ("gelu", {"approximate": "tanh"}),
    ("silu", {}),
    ("mish", {}),
    ("softplus", {}),
    ("softplus", {"beta": 2.0, "threshold": 1.0}),
    ("softsign", {}),
    ("hardtanh", {}),
    ("hardtanh", {"min_val": -0.5, "max_val": 2.0}),
    ("hardsigmoid", {}),
    ("hardswish", {}),
    ("hardshrink", {}),
    ("softshrink", {"lambd": 1.0}),
    ("tanhshrink", {}),
    ("threshold", {"threshold": 0.5, "value": -1.0}),
    ("logsigmoid", {}),
    ("glu", {"dim": 1}),
    ("softmax", {"dim": -1}),
    ("log_softmax", {"dim": 1}),
    ("softmin", {"dim": 0}),
    ("normalize", {"dim": 1}),
    ("normalize", {"p": 1.0, "dim": -1}),
]


@pytest.mark.parametrize("name, settings", ACTIVATIONS)
def test_activations(name, settings):
    ours, theirs = (lambda x, f=f: f(x, **settings) for f in (getattr(F, name), getattr(TF, name)))
    exact = 1e-7 if name == "hardsigmoid" else None  # PyTorch's sixth is of single precision
    second = name != "hardsigmoid"  # whose second derivative PyTorch lacks
    check(ours, theirs, draw(3, 4), second=second, rtol=exact)
    check(ours, theirs, draw(2, 2, 1, 3, 2), second=second, rtol=exact)
    for dtype in (np.float32, np.float16, candle.bfloat16.numpy):
        # halves: a rounding of the result, beside one of each step of the gradient
        rtol = {2: 2e-2 if dtype == np.float16 else 8e-2}.get(np.dtype(dtype).itemsize)
        check(ours, theirs, draw(3, 4, dtype=dtype), rtol=rtol)
    check(ours, theirs, np.zeros((0, 4)))


@pytest.mark.parametrize("name, settings", [a for a in ACTIVATIONS if a[0] not in ("glu", "softmin", "normalize")])
def test_special_values(name, settings):
    x = np.array([[np.nan, np.inf, -np.inf, 0.0], [1e30, -1e30, 100.0, -100.0], [88.0, -88.0, 1e-30, -0.0]], np.float32)
    if name == "gelu":
        x[0, 1] = 1  # PyTorch's gelu of infinity is NaN on some processors
    ours, theirs = (getattr(F, name), getattr(TF, name))
    a, b = to_candle(x), to_torch(x)
    same(ours(a, **settings), theirs(b, **settings))
    finite = np.isfinite(x)
    if name in ("softmax", "log_softmax"):
        return
    a.requires_grad_()
    g = candle.grad(ours(a, **settings).sum(), a).numpy()
    assert np.isfinite(g[finite]).all()


def test_integers():
    x = np.array([-3, 0, 9])
    check(F.relu, TF.relu, x)
    check(F.relu6, TF.relu6, x)


@pytest.mark.parametrize("shape, n", [((5,), 1), ((3, 4), 4), ((3, 4), 1), ((2, 3, 2, 2), 3)])
def test_prelu(shape, n):
    check(F.prelu, TF.prelu, draw(*shape), draw(n), second=True)
    with pytest.raises(ShapeError, match="weight"):
        F.prelu(to_candle(draw(3, 4)), to_candle(draw(3)))


def test_softmax_of_nothing_seen():
    x = np.full((2, 3), -np.inf, np.float32)
    x[0, 1] = 2
    check(lambda t: t.softmax(-1), None, x, grad=False)
    check(lambda t: t.log_softmax(-1), None, x, grad=False)
    check(lambda t: t.softmax(1), None, np.zeros((2, 0)))
    assert F.softmax(to_candle(draw(2, 3, dtype=np.float16)), -1, dtype=candle.float64).dtype is candle.float64


@pytest.mark.parametrize("affine", [(), ("weight",), ("weight", "bias")])
@pytest.mark.parametrize("shape, over", [((3, 4), (4,)), ((2, 3, 4), (3, 4)), ((2, 1, 2, 2, 3), (3,)), ((0, 4), (4,))])
def test_layer_norm(shape, over, affine):
    x, weights = draw(*shape), [draw(*over) for _ in affine]
    check(lambda t, *w: F.layer_norm(t, over, *w), lambda t, *w: TF.layer_norm(t, over, *w), x, *weights, second=0 not in shape)
    if len(affine) < 2:
        f, g = F.rms_norm, TF.rms_norm
        check(lambda t, *w: f(t, over, *w, eps=1e-5), lambda t, *w: g(t, over, *w, eps=1e-5), x, *weights, second=0 not in shape)
        check(lambda t, *w: f(t, over, *w), lambda t, *w: g(t, over, *w), x, *weights)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, candle.bfloat16.numpy])
def test_norms_of_large_values(dtype):
    big = 7e9 if dtype != np.float16 else 6e4
    x = np.array([[big, -big, big / 2, 0.0]]).astype(dtype)
    for f in (lambda t: F.layer_norm(t, 4), lambda t: F.rms_norm(t, 4)):
        a = to_candle(x).requires_grad_()
        y = f(a)
        assert np.isfinite(y.numpy().astype(np.float64)).all()
        assert np.isfinite(candle.grad((y * y).sum(), a).numpy().astype(np.float64)).all()
        b = to_candle(x.astype(np.float64))
        np.testing.assert_allclose(y.numpy().astype(np.float64), f(b).numpy(), rtol=1e-2)


def test_candles_rms_norm():
    x, w = to_candle(draw(3, 4)), to_candle(draw(4))
    same(F.rms_norm(x, w, 1e-5), F.rms_norm(x, (4,), w, 1e-5).numpy())
    with pytest.raises(ShapeError, match="end of the shape"):
        F.layer_norm(x, 3)


@pytest.mark.parametrize("shape, groups", [((2, 4), 2), ((2, 6, 3), 3), ((2, 4, 2, 3), 1), ((0, 4, 3), 2)])
def test_group_norm(shape, groups):
    w, b = draw(shape[1]), draw(shape[1])
    check(
        lambda x, w, b: F.group_norm(x, groups, w, b),
        lambda x, w, b: TF.group_norm(x, groups, w, b),
        draw(*shape),
        w,
        b,
        second=0 not in shape,
    )
    with pytest.raises(ShapeError, match="divisible"):
        F.group_norm(to_candle(draw(2, 4)), 3)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 4), (2, 3, 2, 2)])
def test_batch_norm(shape, training):
    mean, var = draw(3), draw(3) ** 2 + 1

    def of(f, x, w, b):
        kind = candle.tensor if f is F.batch_norm else torch.tensor
        m, v = kind(mean), kind(var)
        y = f(x, m, v, w, b, training, 0.3)
        return y, m, v

    check(lambda *a: of(F.batch_norm, *a), lambda *a: of(TF.batch_norm, *a), draw(*shape), draw(3), draw(3), second=True)


def test_instance_norm():
    check(F.instance_norm, TF.instance_norm, draw(2, 3, 4), second=True)
    check(lambda x, w, b: F.instance_norm(x, None, None, w, b), lambda x, w, b: TF.instance_norm(x, None, None, w, b),
          draw(2, 3, 2, 2), draw(3), draw(3), second=True)  # fmt: skip
    with pytest.raises(ShapeError, match="more than one"):
        F.instance_norm(to_candle(draw(2, 3, 1)))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_local_response_norm(size):
    check(
        lambda x: F.local_response_norm(x, size, 0.5),
        lambda x: TF.local_response_norm(x, size, 0.5),
        draw(2, 4, 3, 2),
        second=True,
    )


def test_similarities():
    a, b = draw(3, 4), draw(3, 4)
    check(F.cosine_similarity, TF.cosine_similarity, a, b, second=True)
    check(
        lambda x, y: F.cosine_similarity(x, y, dim=-1),
        lambda x, y: TF.cosine_similarity(x, y, dim=-1),
        draw(2, 1, 4),
        draw(3, 4),
        second=True,
    )
    check(F.pairwise_distance, TF.pairwise_distance, a, b, second=True)
    check(lambda x, y: F.pairwise_distance(x, y, 1.0, 1e-3, True), lambda x, y: TF.pairwise_distance(x, y, 1.0, 1e-3, True), a, b)


# -- rotary positions ------------------------------------------------------------------------------


def turned(x, cos, sin, interleaved):
    """Each pair as a complex number, times its token's."""
    half = x.shape[-1] // 2
    first, second = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])
    y = (first + 1j * second) * (cos + 1j * sin)
    return np.stack([y.real, y.imag], -1).reshape(x.shape) if interleaved else np.concatenate([y.real, y.imag], -1)


@pytest.mark.parametrize("interleaved", [False, True])
def test_rope(interleaved):
    f = F.rope_interleaved if interleaved else F.rope
    angle = draw(5, 3)
    x, cos, sin = draw(2, 2, 5, 6), np.cos(angle), np.sin(angle)
    same(f(*map(to_candle, (x, cos, sin))), turned(x, cos, sin, interleaved))
    many = draw(2, 5, 3)
    cos, sin = np.cos(many), np.sin(many)
    same(f(*map(to_candle, (x, cos, sin))), turned(x, cos[:, None], sin[:, None], interleaved))
    a = to_candle(x).requires_grad_()
    w = draw(*x.shape)
    got = candle.grad((f(a, to_candle(cos), to_candle(sin)) * to_candle(w)).sum(), a)
    same(got, turned(w, cos[:, None], -sin[:, None], interleaved))
    with pytest.raises(ShapeError, match="rope"):
        f(to_candle(x[..., :5]), to_candle(cos), to_candle(sin))


# -- attention -------------------------------------------------------------------------------------


def masks(n, m):
    some = rng.random((n, m)) > 0.4
    some[0] = False  # the first query sees nothing
    added = np.where(some, draw(n, m), -np.inf)
    added[0, 0] = 0
    return {"none": None, "bool": some, "added": added}


@pytest.mark.parametrize("mask", ["none", "bool", "added"])
@pytest.mark.parametrize("front", [(), (2,), (2, 3)])
def test_scaled_dot_product_attention(front, mask):
    m = masks(4, 5)[mask]
    q, k, v = draw(*front, 4, 3), draw(*front, 5, 3), draw(*front, 5, 2)
    attn = [None, None] if m is None else [to_candle(m), to_torch(m)]
    check(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn[0]),
          lambda q, k, v: TF.scaled_dot_product_attention(q, k, v, attn[1]), q, k, v, second=True)  # fmt: skip
    if mask == "bool":
        y = F.scaled_dot_product_attention(*map(to_candle, (q, k, v)), attn[0]).numpy()
        assert not y[..., 0, :].any()


@pytest.mark.parametrize("dtype, rtol", [(np.float32, None), (np.float16, 1e-2), (candle.bfloat16.numpy, 6e-2)])
def test_causal_and_grouped(dtype, rtol):
    q, k, v = draw(2, 6, 4, 8, dtype=dtype), draw(2, 2, 4, 8, dtype=dtype), draw(2, 2, 4, 8, dtype=dtype)
    attrs = {"is_causal": True, "scale": 0.2, "enable_gqa": True}
    check(
        lambda *x: F.scaled_dot_product_attention(*x, **attrs),
        lambda *x: TF.scaled_dot_product_attention(*x, **attrs),
        q,
        k,
        v,
        rtol=rtol,
    )


@pytest.mark.parametrize("n, m", [(4, 4), (2, 5), (1, 6), (5, 3)])
def test_attention_settings(n, m):
    """Window, soft cap, slopes and position against the formula in PyTorch."""
    attrs = {"scale": 0.7, "causal": True, "window": 3, "softcap": 2.0}

    def formula(q, k, v, slopes):
        k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
        far = torch.arange(n)[:, None] + m - n - torch.arange(m)
        s = torch.tanh(q @ k.mT * 0.7 / 2) * 2 - slopes[:, None, None] * far.abs()
        p = s.masked_fill(~((far >= 0) & (far < 3)), -math.inf)
        seen = ((far >= 0) & (far < 3)).any(-1, keepdim=True)
        p = torch.where(seen, torch.where(seen, p, 0.0).softmax(-1), 0.0)
        return p @ v

    args = draw(2, 4, n, 3), draw(2, 2, m, 3), draw(2, 2, m, 2), draw(4) ** 2
    check(lambda q, k, v, s: F.attention(q, k, v, None, s, **attrs), formula, *args, second=True)


def test_attention_mask_gradient_and_edges():
    q, k, v, bias = draw(2, 3, 4), draw(2, 5, 4), draw(2, 5, 4), draw(2, 1, 5)
    check(
        lambda *a: F.scaled_dot_product_attention(*a), lambda *a: TF.scaled_dot_product_attention(*a), q, k, v, bias, second=True
    )
    none = F.attention(*map(to_candle, (q, draw(2, 0, 4), draw(2, 0, 4))))
    assert none.shape == (2, 3, 4) and not none.numpy().any()
    with pytest.raises(ShapeError, match="multiple"):
        F.attention(*map(to_candle, (draw(3, 4, 2), draw(2, 4, 2), draw(2, 4, 2))))
    with pytest.raises(ShapeError, match="mask"):
        F.attention(*map(to_candle, (q, k, v, draw(4, 5))))
    with pytest.raises(CandleError, match="not both"):
        F.scaled_dot_product_attention(*map(to_candle, (q, k, v, bias)), is_causal=True)


# -- dropout ---------------------------------------------------------------------------------------


def test_dropout():
    candle.manual_seed(0)
    x = candle.ones(200, 50, device="numpy").requires_grad_()
    y = F.dropout(x, 0.25)
    values = np.unique(y.detach().numpy())
    np.testing.assert_allclose(values, [0, 1 / 0.75], rtol=1e-6)
    assert abs((y.detach().numpy() == 0).mean() - 0.25) < 0.02
    np.testing.assert_array_equal(candle.grad(y.sum(), x).numpy(), y.detach().numpy())
    assert (F.dropout(x, 0.25).detach().numpy() != y.detach().numpy()).any()
    candle.manual_seed(0)
    np.testing.assert_array_equal(F.dropout(x, 0.25).detach().numpy(), y.detach().numpy())
    assert F.dropout(x, 0.5, training=False) is x
    assert not F.dropout(x, 1.0).detach().numpy().any()
    with pytest.raises(CandleError, match="probability"):
        F.dropout(x, 1.5)


def test_channel_and_alpha_dropout():
    candle.manual_seed(1)
    x = candle.ones(8, 16, 3, 3, device="numpy")
    y = F.dropout2d(x, 0.5).numpy()
    assert all(len(np.unique(c)) == 1 for row in y for c in row) and len(np.unique(y)) == 2
    with pytest.raises(ShapeError, match="dropout2d"):
        F.dropout2d(candle.ones(2, 2, device="numpy"))
    z = F.alpha_dropout(candle.randn(400, 100, device="numpy"), 0.3, training=True).numpy()
    assert abs(z.mean()) < 0.02 and abs(z.std() - 1) < 0.02


def test_bilinear():
    check(F.bilinear, TF.bilinear, draw(2, 3, 4), draw(2, 3, 5), draw(6, 4, 5), draw(6), second=True)
    with pytest.raises(ShapeError, match="bilinear"):
        F.bilinear(*map(to_candle, (draw(2, 3), draw(2, 4), draw(6, 4, 3))))
