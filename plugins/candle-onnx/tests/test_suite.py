"""ONNX's own suite: how much of it passes, and that nothing but what is listed does not."""

from __future__ import annotations

import pytest

pytest.importorskip("onnx", reason="the suite is part of the package onnx")

import onnx
from candle_onnx.suite import run_suite

# What does not pass, and why.
MISSES = {
    **dict.fromkeys(
        [f"test_bernoulli{k}_cpu" for k in ("", "_double", "_double_expanded", "_expanded", "_seed", "_seed_expanded")],
        "random numbers of NumPy's old generator are expected",
    ),
    **dict.fromkeys(
        [f"test_training_dropout{k}_cpu" for k in ("", "_default", "_default_mask", "_mask")],
        "random numbers of NumPy's old generator are expected",
    ),
    "test_dft_inverse_cpu": "where the result is 0 the rounding noise of one FFT, 2e-7, is expected to a thousandth",
    "test_dft_inverse_opset19_cpu": "the same",
    "test_attention_4d_causal_fp16_expanded_cpu": "half precision rounded once per node, in another order than expected",
    "test_loop16_seq_none_cpu": "the runner takes the length of an array without dimensions",
}


@pytest.mark.slow
def test_all_but_the_listed_cases_pass(monkeypatch):
    if not onnx.__version__.startswith("1.23"):
        pytest.skip(f"the count is of onnx 1.23, and {onnx.__version__} is installed")
    monkeypatch.setenv("CANDLE_DEVICE", "numpy")
    found = run_suite()
    assert {k: v for k, v in found["failed"].items() if k not in MISSES} == {}
    assert found["passed"] >= 2017
