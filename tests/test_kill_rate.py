"""The suite finds every seeded bug, candle's own and those of a file in whatever form they are written."""

from __future__ import annotations

import json

import pytest

from candle import CandleError
from candle.cli import main
from candle.seeded_bugs import BUGS
from candle.testing import kill_rate
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
    assert found["seeded"] == len(BUGS) >= 60
    assert found["survivors"] == [] and found["killed"] == found["seeded"]


def test_bugs_of_a_file_in_many_forms(tmp_path):
    file = tmp_path / "bugs.py"
    file.write_text(FILE)
    found = kill_rate(only=file)
    assert found["seeded"] == found["killed"] == 6, found
    assert list(found["no bugs"]) == ["twice", "strided"]


def test_nothing_survives_that_is_no_bug():
    name, bug = "unchanged", lambda table: {**table, "relu": lambda out, x, f=table["relu"]: f(out, x)}
    assert kill(name, bug)[0] is None
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


@pytest.mark.slow
def test_the_command_prints_json(tmp_path, capsys):
    file = tmp_path / "bugs.py"
    file.write_text(FILE)
    assert main(["check", "--kill-rate", "--bugs", str(file), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["seeded"] == said["killed"] == len(BUGS) + 6 and said["survivors"] == []
