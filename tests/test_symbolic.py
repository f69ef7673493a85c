"""Graphs with named sizes: one capture holds for every size, and programs that depend on a size are refused."""

from __future__ import annotations

import numpy as np
import pytest
from torch_check import same

import candle
from candle import CaptureError, ShapeError, Spec, nn
from candle.symbolic import SymbolicGraph

rng = np.random.default_rng(0)


def model():
    candle.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 2)).to("numpy")


@pytest.mark.parametrize("batch", [0, 1, 2, 7, 33])
def test_one_capture_holds_for_every_batch(batch):
    m = model()
    g = candle.capture(m, Spec(("batch", 3), candle.float32))
    assert "float32[batch,3]" in str(g) and "0.weight" in g.states
    x = candle.tensor(rng.standard_normal((batch, 3)).astype("f"), device="numpy")
    same(g(x), m(x).detach().numpy())


def test_sizes_are_computed_with():
    def f(x, y):
        b, n, d = x.shape
        z = x.reshape(b * n, d) @ y.T
        return z.reshape(b, n, -1).sum(0), candle.arange(2 * n + 1, device="numpy"), candle.ones(n, n, device="numpy")

    g = candle.capture(f, Spec(("b", "n", 4), candle.float32), Spec((5, 4), candle.float32))
    assert "b*n" in str(g) and "2*n" in str(g)
    for b, n in [(1, 1), (2, 3), (4, 9)]:
        x, y = (candle.tensor(rng.standard_normal(s).astype("f"), device="numpy") for s in [(b, n, 4), (5, 4)])
        for got, want in zip(g(x, y), f(x, y)):
            same(got, want.numpy())


def test_a_bound_graph_is_an_ordinary_one_and_lowers():
    g = candle.capture(lambda x: x.softmax(-1).sum(0), Spec(("n", 4), candle.float32)).bind(n=6)
    x = candle.tensor(rng.standard_normal((6, 4)).astype("f"), device="numpy")
    same(g.lower("numpy").interpreter(x.backend)(x.value)[0], g(x).numpy())


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x if x.shape[0] > 6 else x * 2,
        lambda x: x * float(x.shape[0]),
        lambda x: x[: min(x.shape[0], 20)],
        lambda x: sum(x[i] for i in range(x.shape[0])),
    ],
)
def test_programs_that_depend_on_a_size_are_refused(fn):
    with pytest.raises(CaptureError, match="size"):
        candle.capture(fn, Spec(("n", 3), candle.float32))


def test_wrong_arguments_are_refused():
    g = candle.capture(lambda x, y: x + y, Spec(("n", 3), candle.float32), Spec(("n", 3), candle.float32))
    z = candle.zeros(2, 3, device="numpy")
    with pytest.raises(ShapeError, match="one size as n but was given 2 and 4"):
        g(z, candle.zeros(4, 3, device="numpy"))
    with pytest.raises(ShapeError, match=r"takes x: float32\[n,3\]"):
        g(candle.zeros(2, 5, device="numpy"), z)
    with pytest.raises(ShapeError, match="named sizes n"):
        g.bind(m=3)
    with pytest.raises(CaptureError, match="at most 3"):
        candle.capture(lambda x: x, Spec(("a", "b", "c", "d"), candle.float32))


def test_saving_keeps_the_names(tmp_path):
    m = model()
    candle.capture(m, Spec(("batch", 3), candle.float32)).save(tmp_path / "net")
    g = SymbolicGraph.load(tmp_path / "net", device="numpy")
    x = candle.tensor(rng.standard_normal((5, 3)).astype("f"), device="numpy")
    same(g(x), m(x).detach().numpy())
