"""Optimisers, step by step against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
from torch_check import torch

import candle
from candle import CandleError, optim

rng = np.random.default_rng(0)
START = rng.standard_normal((3, 4)).astype("f")
TARGET = rng.standard_normal((5, 4)).astype("f")
X = rng.standard_normal((5, 3)).astype("f")

CASES = [
    ("SGD", {"lr": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.05, "maximize": True}),
    ("Adam", {"lr": 0.05}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.1, "amsgrad": True}),
    ("AdamW", {"lr": 0.05}),
    ("AdamW", {"lr": 0.05, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.2}),
    ("AdamW", {"lr": 0.05, "amsgrad": True, "maximize": True}),
]


def run(lib, name, settings, dtype, steps=10):
    make = (
        (lambda a: candle.tensor(a.astype(dtype), device="numpy")) if lib is candle else (lambda a: torch.tensor(a.astype(dtype)))
    )
    w = make(START).requires_grad_()
    opt = getattr(lib.optim, name)([w], **settings)
    for n in range(steps):
        opt.zero_grad()
        ((make(X) @ w - make(TARGET)) ** 2).mean().backward()
        opt.step()
        if n == 5:
            opt.param_groups[0]["lr"] = 0.01
    return w.detach().numpy()


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_rules_agree_with_torch(name, settings, dtype):
    np.testing.assert_allclose(
        run(candle, name, settings, dtype), run(torch, name, settings, dtype), rtol=2e-5 if dtype == "f" else 1e-11, atol=1e-7
    )


def test_state_can_be_saved_and_taken_up_again():
    def make():
        w = candle.tensor(START, device="numpy").requires_grad_()
        return w, optim.AdamW([w], lr=0.1)

    def step(w, opt):
        opt.zero_grad()
        (w * w).sum().backward()
        opt.step()

    w, opt = make()
    for _ in range(3):
        step(w, opt)
    v, again = make()
    with candle.no_grad():
        v.copy_(w)
    again.load_state_dict(opt.state_dict())
    step(w, opt)
    step(v, again)
    np.testing.assert_array_equal(v.numpy(), w.numpy())


def test_groups_have_settings_of_their_own():
    a, b = (candle.ones(2, device="numpy").requires_grad_() for _ in range(2))
    opt = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    (a + b).sum().backward()
    opt.step()
    np.testing.assert_allclose([a.numpy()[0], b.numpy()[0]], [0.9, 0.5], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: optim.SGD([], lr=0.1), "model.parameters"),
        (lambda: optim.SGD([candle.ones(2)], lr=-1), "lr is from 0"),
        (lambda: optim.AdamW([candle.ones(2)], betas=(1.0, 0.9)), "beta1 is from 0 to below 1"),
        (lambda: optim.SGD([candle.ones(2)], nesterov=True), "nesterov needs"),
        (lambda: optim.SGD([{"params": [candle.ones(2)], "lrr": 1}]), "no setting lrr"),
        (lambda: optim.SGD([candle.ones(2).requires_grad_() * 2]), "leaf"),
        (lambda: optim.SGD([(p := candle.ones(2)), p]), "twice"),
    ],
)
def test_bad_settings_are_refused(make, text):
    with pytest.raises(CandleError, match=text):
        make()
