"""The suite finds every seeded bug, candle's own and those of a file in whatever form they are written."""

from __future__ import annotations

import json

import pytest

from candle import OPS, CandleError
from candle.cli import main
from candle.seeded_bugs import BUGS
from candle.testing import check_gradient, kill_rate
from candle.testing.kill import kill

FILE = '''
"""Bugs of somebody else."""
import functools
from dataclasses import replace
import numpy as np
from candle.op import OPS

def twice(f):
    @functools.wraps(f)
    def wrapped(table):
        return f(table)
    return wrapped

def strided(x):
    return not x.flags.c_contiguous

doubled = lambda table: {**table, "floor": lambda out, x: x + x}

def _private(table):
    return table

@twice
def exp_of_columns_of_nine(table):
    good = table["exp"]
    def exp(out, x):
        y = np.array(good(out, x))
        if x.ndim > 1 and x.shape[1] == 9:
            y[:, -1] = 0
        return y
    return {**table, "exp": exp}

def in_place(table):
    good = table["softmax"]
    table["softmax"] = lambda out, x, **a: good(out, x, **a) * 0

def in_place_and_returns_nothing(table: dict) -> None:
    """It changes the table that it is given."""
    good = table["ceil"]
    table["ceil"] = lambda out, *xs, **attrs: np.flip(good(out, *xs, **attrs))

def crashes_on_some_operands(table):
    good = table["sub"]
    def sub(out, a, b):
        if a.size > 1000:
            raise RuntimeError("too large")
        return good(out, a, b)
    return dict(table, sub=sub)

def leaves(table):
    def mul(out, a, b):
        raise SystemExit(3)
    return dict(table, mul=mul)

def lost(table):
    return {name: kernel for name, kernel in table.items() if name != "cos"}

def an_op_among_kernels(table):
    return {**table, "tan": replace(OPS["tan"], vjp=(lambda g, y, x: g,))}

def an_op_put_into_the_table_of_ops(table):
    OPS["sqrt"] = replace(OPS["sqrt"], vjp=(lambda g, y, x: g,))
    return table

def an_op(table):
    return replace(OPS["sin"], vjp=(lambda g, y, x: g * x.sin(),))

def one_of_a_pair(table):
    return "neg", lambda out, x: x

def a_part_of_the_table(table):
    return {"abs": lambda out, x: x}

def changed_by_type(table):
    return [replace(OPS["log"], vjp=(lambda g, y, x: g / (x + 1e-3),))]
'''


def test_the_suite_finds_every_seeded_bug():
    found = kill_rate()
    assert found["seeded"] == len(BUGS) >= 290
    assert found["survivors"] == [] and found["killed"] == found["seeded"]


def test_bugs_of_a_file_in_many_forms(tmp_path):
    file = tmp_path / "bugs.py"
    file.write_text(FILE)
    found = kill_rate(only=file)
    assert found["seeded"] == found["killed"] == 13, found
    assert list(found["no bugs"]) == ["twice", "strided"]
    assert OPS["sqrt"].vjp[0] is not None and check_gradient(OPS["sqrt"], OPS["sqrt"], examples=0) is None


def test_kernels_that_do_not_return_are_interrupted():
    def hangs(table):
        def kernel(out, x):
            while True:
                pass

        return {**table, "neg": kernel}

    found, seconds = kill("hangs", hangs, limit=0.2)
    assert "had not ended" in found.what and seconds < 10


def test_nothing_survives_that_is_no_bug():
    name, bug = "unchanged", lambda table: {**table, "relu": lambda out, x, f=table["relu"]: f(out, x)}
    assert kill(name, bug, seconds=1.0)[0] is None
    assert kill("nothing", lambda table: table)[0] is None


def test_a_bad_file_is_refused(tmp_path):
    with pytest.raises(CandleError, match="there is no file"):
        kill_rate(only=tmp_path / "none.py")
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(CandleError, match="no public function"):
        kill_rate(only=tmp_path / "empty.py")
    (tmp_path / "raises.py").write_text("def bug(table):\n    return table['no such op']\n")
    with pytest.raises(CandleError, match="could not be made"):
        kill_rate(only=tmp_path / "raises.py")
    (tmp_path / "unknown.py").write_text("def bug(table):\n    return {**table, 'no_such_op': None}\n")
    with pytest.raises(CandleError, match="no op of that name"):
        kill_rate(only=tmp_path / "unknown.py")
    (tmp_path / "syntax.py").write_text("def bug(:\n")
    with pytest.raises(CandleError, match="could not be imported: SyntaxError"):
        kill_rate(only=tmp_path / "syntax.py")
    assert main(["check", "numpy", "--kill-rate", "--bugs", str(tmp_path / "syntax.py"), "--json"]) != 0


@pytest.mark.slow
def test_the_command_prints_json(tmp_path, capsys):
    file = tmp_path / "bugs.py"
    file.write_text(FILE)
    assert main(["check", "--kill-rate", "--bugs", str(file), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["seeded"] == said["killed"] == len(BUGS) + 13 and said["survivors"] == []
