"""The device ``cpu`` does what the reference does, under each instruction set that this machine has: a few cases of each op, or
with CANDLE_FULL_CONFORMANCE all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from candle.testing import Conformance

_engine = pytest.importorskip("candle_cpu._engine", reason="candle-cpu is not built")

HAS = [name for name, has in _engine.instruction_sets().items() if has]
FULL = pytest.mark.skipif(
    "CANDLE_FULL_CONFORMANCE" not in os.environ, reason="all cases take many minutes; CANDLE_FULL_CONFORMANCE=1 runs them"
)
GAPS = Path(__file__).with_name("xfail.txt")  # shown by a few of an op's many cases
BF16 = "with AVX512-BF16 the processor's bfloat16 product takes subnormal operands for 0, so that one times infinity is NaN"


class TestCpu(Conformance):
    device = "cpu"
    levels = ("storage", "ops", "quantised")
    most = 4


class TestDerived(Conformance):
    device = "cpu"
    levels = ("gradients", "compiled", "models")
    most = 1


@pytest.mark.slow
@FULL
class TestEverything(Conformance):
    device = "cpu"
    xfail = dict(line.split(" # ") for line in GAPS.read_text().splitlines() if not line.startswith("#")) | (
        {"matmul ops": BF16} if HAS[-1] == "avx512vnni" else {}
    )


def _checked(isa: str, *arguments: str) -> None:
    command = [sys.executable, "-m", "candle.cli", "check", "cpu", *arguments]
    ran = subprocess.run(command, env={**os.environ, "CANDLE_CPU_ISA": isa}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]


SHORT = (
    "add mul floor_divide exp log tanh erf sin pow sigmoid elu hardsigmoid cast where lt sum amax argmin cumsum softmax "
    "layer_norm rms_norm attention matmul conv2d max_pool gather index_add cat pad embedding"
).split()  # some of each family


@pytest.mark.parametrize("isa", HAS[:-1])
def test_a_short_conformance_under_each_instruction_set(isa):
    _checked(isa, "--level", "storage", "--level", "ops", "--most", "3", *[part for op in SHORT for part in ("--op", op)])


@pytest.mark.slow
@FULL
@pytest.mark.parametrize("isa", HAS[:-1])
def test_conformance_under_each_instruction_set(isa):
    _checked(isa, "--xfail", str(GAPS))
