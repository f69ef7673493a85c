"""Losses against PyTorch."""

import numpy as np
import pytest
from torch_check import check, same, to_candle, to_torch, torch

import candle
from candle import CandleError, ShapeError
from candle.nn import functional as F

TF = torch.nn.functional
rng = np.random.default_rng(0)


def draw(*shape, dtype=np.float64):
    return (rng.standard_normal(shape) * 2).astype(dtype)


def unit(*shape):
    return rng.random(shape) * 0.8 + 0.1


def signs(*shape):
    return np.where(rng.random(shape) > 0.5, 1.0, -1.0)


def ids(n, *shape):
    return rng.integers(0, n, shape)


A, B = draw(3, 4), draw(3, 4)
LOSSES = [
    ("mse_loss", (A, B), {}),
    ("l1_loss", (A, B), {}),
    ("smooth_l1_loss", (A, B), {}),
    ("smooth_l1_loss", (A, B), {"beta": 0.3}),
    ("smooth_l1_loss", (A, B), {"beta": 0.0}),
    ("huber_loss", (A, B), {}),
    ("huber_loss", (A, B), {"delta": 2.0}),
    ("kl_div", (A, unit(3, 4)), {}),
    ("kl_div", (A, B), {"log_target": True}),
    ("poisson_nll_loss", (A, unit(3, 4) * 4), {}),
    ("poisson_nll_loss", (A, unit(3, 4) * 4), {"full": True}),
    ("poisson_nll_loss", (unit(3, 4), unit(3, 4)), {"log_input": False}),
    ("gaussian_nll_loss", (A, B, unit(3, 4)), {}),
    ("gaussian_nll_loss", (A, B, unit(3, 1)), {"full": True}),
    ("binary_cross_entropy", (unit(3, 4), unit(3, 4)), {}),
    ("binary_cross_entropy", (unit(3, 4), unit(3, 4)), {"weight": unit(3, 4)}),
    ("binary_cross_entropy_with_logits", (A, unit(3, 4)), {}),
    ("binary_cross_entropy_with_logits", (A, unit(3, 4)), {"weight": unit(4), "pos_weight": unit(4) * 3}),
    ("soft_margin_loss", (A, signs(3, 4)), {}),
    ("hinge_embedding_loss", (A, signs(3, 4)), {}),
    ("hinge_embedding_loss", (A, signs(3, 4)), {"margin": 0.2}),
    ("margin_ranking_loss", (A, B, signs(3, 4)), {"margin": 0.5}),
    ("cosine_embedding_loss", (A, B, signs(3)), {"margin": 0.1}),
    ("cosine_embedding_loss", (A[0], B[0], signs()), {}),
    ("triplet_margin_loss", (A, B, draw(3, 4)), {}),
    ("triplet_margin_loss", (A, B, draw(3, 4)), {"swap": True, "p": 1.0, "margin": 4.0}),
    ("multi_margin_loss", (A, ids(4, 3)), {}),
    ("multi_margin_loss", (A, ids(4, 3)), {"p": 2, "margin": 0.5, "weight": unit(4)}),
    ("multi_margin_loss", (A[0], ids(4, 1)), {}),
    ("multilabel_margin_loss", (A, np.array([[1, 0, -1, 2], [-1, 0, 1, 2], [0, 1, 2, 3]])), {}),
    ("multilabel_soft_margin_loss", (A, (unit(3, 4) > 0.5) * 1.0), {}),
    ("nll_loss", (A, ids(4, 3)), {}),
    ("nll_loss", (draw(2, 3, 4, 2), ids(3, 2, 4, 2)), {"weight": unit(3), "ignore_index": 1}),
    ("cross_entropy", (A, ids(4, 3)), {}),
    ("cross_entropy", (A[0], ids(4)), {}),
    ("cross_entropy", (A, unit(3, 4)), {}),
    ("cross_entropy", (A, unit(3, 4)), {"weight": unit(4), "label_smoothing": 0.2}),
    ("cross_entropy", (draw(2, 3, 4), ids(3, 2, 4)), {"weight": unit(3), "ignore_index": 2}),
    ("cross_entropy", (draw(2, 3, 4), ids(3, 2, 4)), {"weight": unit(3), "ignore_index": 2, "label_smoothing": 0.3}),
    ("cross_entropy", (draw(2, 3, 2, 2), unit(2, 3, 2, 2)), {"label_smoothing": 0.1}),
]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name, args, settings", LOSSES)
def test_losses(name, args, settings, reduction):
    def of(module, convert):
        given = {k: convert(v) for k, v in settings.items()}
        return lambda *xs: getattr(module, name)(xs[0], *xs[1:], *map(convert, fixed), **given, reduction=reduction)

    free = (
        1
        if name in ("kl_div", "binary_cross_entropy", "poisson_nll_loss", "soft_margin_loss", "hinge_embedding_loss")
        or "label" in name
        else 2
    )
    if name in ("cross_entropy", "binary_cross_entropy_with_logits", "multilabel_soft_margin_loss"):
        free = 1
    if name in ("gaussian_nll_loss", "triplet_margin_loss"):
        free = 3
    fixed = args[free:]
    single = reduction != "none" or name not in ("multi_margin_loss",) or args[0].ndim == 2
    if single:
        second = name not in ("multi_margin_loss", "multilabel_margin_loss")  # whose second derivatives PyTorch lacks
        check(of(F, to_candle), of(TF, to_torch), *args[:free], second=second)


def test_batchmean():
    check(
        lambda x, y: F.kl_div(x, y, reduction="batchmean"),
        lambda x, y: TF.kl_div(x, y, reduction="batchmean"),
        draw(3, 4),
        unit(3, 4),
    )


@pytest.mark.parametrize("name", ["binary_cross_entropy_with_logits", "soft_margin_loss", "cross_entropy"])
def test_large_values(name):
    x = np.array([[1e4, -1e4, 88.0, -88.0, 0.0]], np.float32)
    target = np.array([2]) if name == "cross_entropy" else np.array([[1.0, 1.0, 0.0, 0.0, 1.0]], np.float32)
    for dtype in (np.float32, np.float16, candle.bfloat16.numpy):
        t = target if name == "cross_entropy" else target.astype(dtype)
        a = to_candle(x.astype(dtype)).requires_grad_()
        y = getattr(F, name)(a, to_candle(t))
        assert np.isfinite(float(y)) and np.isfinite(candle.grad(y, a).numpy().astype(np.float64)).all()
    if name == "soft_margin_loss":
        x = np.clip(x, -80, 80)  # PyTorch's overflows
    check(lambda t: getattr(F, name)(t, to_candle(target)), lambda t: getattr(TF, name)(t, to_torch(target)), x)


def test_probabilities_of_0_and_1():
    x, t = np.array([0.0, 1.0, 0.0, 1.0], np.float32), np.array([0.0, 1.0, 1.0, 0.0], np.float32)
    check(F.binary_cross_entropy, TF.binary_cross_entropy, x, t, grad=False)


def test_all_ignored():
    x, t = draw(3, 4), np.full(3, -100)
    check(
        lambda v: F.cross_entropy(v, to_candle(t), reduction="sum"),
        lambda v: TF.cross_entropy(v, to_torch(t), reduction="sum"),
        x,
    )
    assert np.isnan(F.cross_entropy(to_candle(x), to_candle(t)).item())


def test_weighted_differences():
    w = unit(3, 4)
    same(F.mse_loss(to_candle(A), to_candle(B), to_candle(w)).item(), np.float64(((A - B) ** 2 * w).sum() / w.sum()))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_ctc(reduction):
    logits, targets = draw(7, 3, 5), rng.integers(1, 5, (3, 3))
    targets[0] = [2, 2, 1]  # a repetition needs a blank between
    long_in, long_out = np.array([7, 5, 6]), np.array([3, 2, 1])

    def of(f, convert, wanted):
        return lambda x: f(x.log_softmax(-1), convert(wanted), convert(long_in), convert(long_out), reduction=reduction)

    check(of(F.ctc_loss, to_candle, targets), of(TF.ctc_loss, to_torch, targets), logits)
    row = np.concatenate([t[:n] for t, n in zip(targets, long_out)])
    check(of(F.ctc_loss, to_candle, row), of(TF.ctc_loss, to_torch, row), logits)


def test_ctc_that_cannot_be():
    logits, target, one = draw(2, 1, 4), np.array([[1, 1, 2]]), (np.array([2]), np.array([3]))
    for zero in (False, True):

        def of(f, convert, zero=zero):
            return lambda x: f(x.log_softmax(-1), convert(target), *map(convert, one), zero_infinity=zero)

        check(of(F.ctc_loss, to_candle), of(TF.ctc_loss, to_torch), logits, grad=zero)


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda: F.mse_loss(to_candle(A), to_candle(B), reduction="average"), CandleError, "'mean', 'sum' or 'none'"),
        (lambda: F.mse_loss(to_candle(A), to_candle(draw(2, 4))), ShapeError, "broadcast"),
        (lambda: F.cross_entropy(to_candle(A), to_candle(ids(4, 2))), ShapeError, "class numbers"),
        (lambda: F.cross_entropy(to_candle(A), to_candle(ids(4, 3)), to_candle(unit(3))), ShapeError, "one number per class"),
        (lambda: F.cross_entropy(to_candle(A), to_candle(ids(4, 3)), label_smoothing=2), CandleError, "label_smoothing"),
        (lambda: F.cross_entropy(to_candle(A), to_candle(np.array([0, 4, 1]))), Exception, "4"),
        (lambda: F.huber_loss(to_candle(A), to_candle(B), delta=0), CandleError, "greater than 0"),
    ],
)
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()
