"""The device ``jax`` does what the reference does: a few cases of each op at each level, or with CANDLE_FULL_CONFORMANCE all.

XLA compiles a program for every shape, which takes some 20 ms; all cases of the suite are some 100,000.
"""

from __future__ import annotations

import os

import pytest

from candle import OPS
from candle.testing import Conformance

pytest.importorskip("jax", reason="the device jax needs JAX")


PRIMITIVES = [op.name for op in OPS.values() if not op.composite]


class TestPrimitives(Conformance):
    device = "jax"
    levels = ("storage", "ops", "models")
    ops = PRIMITIVES
    xfail = "xfail.txt"
    most = 2


class TestComposites(Conformance):
    device = "jax"
    levels = ("ops",)
    ops = [op.name for op in OPS.values() if op.composite]
    xfail = "xfail.txt"
    most = 1


class TestGradients(Conformance):
    device = "jax"
    levels = ("gradients",)
    ops = PRIMITIVES  # what the others are made of
    xfail = "xfail.txt"
    most = 1


class TestCompiled(Conformance):
    device = "jax"
    levels = ("compiled", "quantised")
    xfail = "xfail.txt"
    most = 1


@pytest.mark.slow
@pytest.mark.skipif(
    "CANDLE_FULL_CONFORMANCE" not in os.environ, reason="all cases take hours; CANDLE_FULL_CONFORMANCE=1 runs them"
)
class TestEverything(Conformance):
    device = "jax"
    xfail = "xfail.txt"
