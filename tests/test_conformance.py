"""Conformance of the reference, and of a backend that has the required kernels only."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import candle
from candle import OPS, Backend
from candle.backend import reference_kernel
from candle.testing import Case, Conformance, Draw, check, check_gradient, run_case
from candle.testing.compare import flushed
from candle.testing.draw import cases, sample
from candle.testing.suite import chosen


class TestReference(Conformance):
    device = "numpy"


class Minimal(Backend):
    """Only the kernels that every backend has: all else is made of them."""

    name = "minimal"

    def __init__(self):
        self.kernels = {op.name: reference_kernel(op) for op in OPS.values() if op.required}

    def put(self, array):
        return np.array(array, order="C")


class Wrong(Minimal):
    """One that takes the cosine for the sine, and has no kernel for the order of elements."""

    name = "wrong"

    def __init__(self):
        super().__init__()
        self.kernels["sin"] = self.kernels["cos"]


candle.register_backend("minimal", Minimal)
candle.register_backend("wrong", Wrong)


class TestMinimal(Conformance):
    device = "minimal"
    levels = ("storage", "ops", "models")
    examples = 0


def test_a_report_says_what_passed_and_how_to_repeat_what_did_not(tmp_path):
    report = check("wrong", levels=["ops", "gradients"], ops=["sin", "add", "sort"], examples=0)
    said = report.as_dict()
    assert said["ops"]["add"]["ops"]["status"] == "pass" and said["ops"]["sort"]["ops"]["status"] == "skip"
    assert {(f.op, f.level) for f in report.failures} == {("sin", "ops"), ("sin", "gradients")}
    assert "sort" in said["lacks"] and "softmax" in said["expands"] and json.loads(json.dumps(said)) == said
    assert report.badge().startswith("<svg") and "wrong" in report.badge() and not report.ok
    code = report.failures[0].code
    assert len(code.splitlines()) == 5 and "sin(" in str(report.failures[0])
    with pytest.raises(AssertionError, match="sin"):
        exec(code, {})


def test_reproducers_run_by_themselves(tmp_path):
    report = check("wrong", levels="ops", ops="sin", examples=0)
    file = tmp_path / "again.py"
    before = "import candle\nfrom candle.backend import Backend, reference_kernel\nclass Wrong(Backend):\n    name = 'wrong'\n"
    before += "    kernels = {**{o.name: reference_kernel(o) for o in candle.OPS.values() if o.required}, "
    before += "'sin': reference_kernel(candle.OPS['cos'])}\ncandle.register_backend('wrong', Wrong)\n"
    file.write_text(before + report.failures[0].code)
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True)
    assert done.returncode and "AssertionError: sin: " in done.stderr


def test_known_gaps_have_reasons_and_are_told_when_they_close(tmp_path):
    file = tmp_path / "xfail.txt"
    file.write_text("# gaps\nsin ops # takes the cosine\nsort: no kernel yet\nadd * # slow\n")
    report = check("wrong", levels="ops", ops=["sin", "sort", "add"], examples=0, xfail=file)
    assert {r.op: r.status for r in report.results} == {"sin": "xfail", "sort": "xfail", "add": "xpass"}
    assert report.ok and [r.op for r in report.unexpected] == ["add"]
    file.write_text("sin ops\n")
    with pytest.raises(candle.CandleError, match="the reason is needed"):
        check("wrong", ops="sin", xfail=file)


@pytest.mark.parametrize(
    ("given", "text"), [({"ops": "xyzzy"}, "no op called xyzzy"), ({"levels": "speed"}, "no level called speed")]
)
def test_unknown_names_are_refused(given, text):
    with pytest.raises(candle.CandleError, match=text):
        check("numpy", **given)


def test_one_case_by_hand_and_one_gradient():
    run_case("numpy", "softmax", "gradients", Case(3, flavour="long", size=129, dtype="float64"))
    assert check_gradient(OPS["tanh"], OPS["tanh"]) is None
    from dataclasses import replace

    broken = replace(OPS["tanh"], vjp=(lambda g, y, _x: g * (1 - y),))
    assert "gradient 0" in check_gradient(broken, OPS["tanh"])


@pytest.mark.parametrize("op", ["softmax", "log_softmax"])
@pytest.mark.parametrize("given", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("wanted", ["float16", "float32", "float64"])
def test_a_softmax_of_another_dtype_is_that_where_it_expands(op, given, wanted):
    x = candle.tensor([[1.0, 2.0, 3.5]], dtype=given)
    there = OPS[op](x.to(device="minimal"), dim=-1, dtype=wanted)
    here = OPS[op](x, dim=-1, dtype=wanted)
    assert there.dtype is here.dtype is candle.as_dtype(wanted)
    np.testing.assert_allclose(there.to(device="numpy").numpy(), here.numpy(), rtol=2e-3)


@pytest.mark.parametrize("op", ["add", "sum", "sort", "index_select", "cast", "conv2d", "matmul"])
def test_every_dtype_flavour_and_size_is_drawn(op):
    op = OPS[op]
    dtypes, ranks, sizes, drawn = set(), set(), set(), 0
    for case in cases(op):
        try:
            arrays, _ = sample(op, Draw(op, case))
        except Exception:
            continue
        drawn += 1
        first = arrays[0]
        dtypes.add(candle.as_dtype(first.dtype))
        ranks.add(first.ndim)
        sizes |= set(first.shape)
        again, _ = sample(op, Draw(op, case))
        assert all(a is None or (a.dtype == b.dtype and a.tobytes() == b.tobytes()) for a, b in zip(arrays, again))
    assert drawn > 0.9 * len(cases(op)) and 0 in sizes
    assert op.name == "cast" or dtypes == set(next(t for t in op.types.values() if len(t) == max(map(len, op.types.values()))))
    if op.name not in ("conv2d", "matmul"):
        assert {5, 6} <= ranks or op.name == "index_select"
        assert {32, 33, 255, 1024, 1025, 2049} <= sizes and max(sizes) > 65535


class Flushing(Minimal):
    """Hardware without subnormal numbers."""

    name = "flushing"
    subnormals = False

    def __init__(self):
        super().__init__()
        for name in ("log", "mul"):
            exact = self.kernels[name]
            self.kernels[name] = lambda out, *xs, _exact=exact, **attrs: flushed(_exact(out, *map(flushed, xs), **attrs))


class Strict(Flushing):
    name = "strict"
    subnormals = True


def test_a_backend_may_have_no_subnormal_numbers():
    candle.register_backend("flushing", Flushing)
    candle.register_backend("strict", Strict)
    ops = ["log", "mul", "flip"]
    assert not check("flushing", levels=["ops"], ops=ops, examples=0).failures
    assert {f.op for f in check("strict", levels=["ops"], ops=ops, examples=0).failures} == {"log", "mul"}


def test_flushing_keeps_signs_and_half_precision():
    x = np.array([1e-45, -1e-45, 1.0, np.nan, -np.inf, 0.0], np.float32)
    np.testing.assert_array_equal(flushed(x), [0.0, 0.0, 1.0, np.nan, -np.inf, 0.0])
    assert np.signbit(flushed(x)).tolist() == [False, True, False, False, True, False]
    assert flushed(np.array([6e-8], np.float16))[0] != 0
    assert flushed(np.array([1e-310 + 1j])) == 1j


def test_fewer_cases_are_spread_over_all():
    report = check("numpy", levels=["ops"], ops=["add", "sort", "embedding"], most=3)
    assert [r.cases for r in report.results if r.status == "pass"] == [3, 3, 3]
    found = cases(OPS["add"], 24, 0)
    some = chosen(found, 5, OPS["add"])
    steps = np.diff([c.number for c in some])
    assert len(some) == 5 and steps.min() >= len(found) // 5 and chosen(found, None, OPS["add"]) is found
