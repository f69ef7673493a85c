"""How far the engine's own functions of float32 are off, in units of the last place: the bounds that src/vmath.h states."""

from __future__ import annotations

import math

import numpy as np
import pytest

import candle

BOUNDS = {"exp": 1.1, "log": 1.5, "tanh": 2.5, "sigmoid": 2.7, "erf": 1.6, "log1p": 2.9, "expm1": 4.0, "sin": 2.0, "cos": 2.0}
EXACT = {
    "exp": np.exp, "log": np.log, "tanh": np.tanh, "log1p": np.log1p, "expm1": np.expm1, "sin": np.sin, "cos": np.cos,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "erf": np.vectorize(math.erf, otypes=[np.float64]),
}  # fmt: skip
RANGES = {"exp": (-87, 88), "log": (1e-6, 1e6), "log1p": (-0.99, 1e4), "sin": (-100, 100), "cos": (-100, 100)}


@pytest.mark.parametrize("name", BOUNDS)
def test_functions_are_within_their_bounds(name):
    rng = np.random.default_rng(0)
    low, high = RANGES.get(name, (-20, 20))
    wide = rng.uniform(low, high, 100_000)
    near = rng.uniform(max(low, -1), min(high, 1), 100_000) if low < 1 else wide
    x = np.concatenate([wide, near]).astype(np.float32)
    got = getattr(candle.tensor(x, device="cpu"), name)().numpy().astype(np.float64)
    want = EXACT[name](x.astype(np.float64))
    ulps = np.abs(got - want) / np.spacing(np.maximum(np.abs(want), 2.0**-126).astype(np.float32)).astype(np.float64)
    if name in ("sin", "cos"):  # near a zero of the function the error is that of reducing the argument
        ulps = np.minimum(ulps, np.abs(got - want) / 2.0**-24)
    assert ulps.max() <= BOUNDS[name], (name, ulps.max(), x[ulps.argmax()])


def test_special_values():
    x = candle.tensor([math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-42, 200.0, -200.0], device="cpu")
    a = x.numpy()
    with np.errstate(all="ignore"):
        for name in ("exp", "log", "tanh", "sin", "cos", "log1p", "expm1"):
            np.testing.assert_allclose(getattr(x, name)().numpy(), EXACT[name](a), rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize(
    "name", "relu relu6 elu selu silu gelu mish softplus logsigmoid sigmoid hardsigmoid hardswish exp tanh".split()
)
def test_nan_passes_through(name, dtype):
    x = candle.full((37,), math.nan, dtype=getattr(candle, dtype), device="cpu")
    assert np.isnan(getattr(x, name)().numpy().astype(np.float64)).all()
