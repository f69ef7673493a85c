"""The device ``cpu`` does what candle's reference does, under each instruction set that this machine has."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from candle_cpu import _engine

from candle.testing import Conformance

HAS = [name for name, has in _engine.instruction_sets().items() if has]


class TestCpu(Conformance):
    """A few examples of every op."""

    device = "cpu"
    levels = ("storage", "ops", "quantised")
    examples = 4


@pytest.mark.slow
class TestCpuWholly(Conformance):
    """Every level, as many examples as ``candle check cpu`` draws."""

    device = "cpu"


def _checked(isa: str, *arguments: str) -> None:
    command = [sys.executable, "-m", "candle.cli", "check", "cpu", *arguments]
    ran = subprocess.run(command, env={**os.environ, "CANDLE_CPU_ISA": isa}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]


SHORT = (
    "add exp tanh erf sin pow cast where sum amax softmax layer_norm attention matmul conv2d index_add".split()
)  # an op of each family


@pytest.mark.parametrize("isa", HAS[:-1])
def test_a_short_conformance_under_each_instruction_set(isa):
    _checked(isa, "--level", "ops", "--examples", "2", *[part for op in SHORT for part in ("--op", op)])


@pytest.mark.slow
@pytest.mark.parametrize("isa", HAS)
def test_conformance_under_each_instruction_set(isa):
    _checked(isa)
