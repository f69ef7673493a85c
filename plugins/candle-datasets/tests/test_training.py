"""Training from a file, on real digits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from candle.cli import main

ROOT = Path(__file__).parents[3]
DATA = ROOT.parent / "shared" / "data" / "mnist"

CONFIG = """
folder = "run"
steps = 60
every = 30
seed = 2
metrics = ["accuracy"]
progress = false

[model]
make = "mnist:mlp"
options = {{ hidden = 32 }}

[optimizer]
name = "AdamW"
lr = 4e-3

[data]
batch_size = 64
transform = "mnist:picture"

[data.train]
name = "mnist"
split = "train"
root = "{root}"

[data.valid]
name = "mnist"
split = "test"
root = "{root}"
"""


@pytest.fixture
def config(tmp_path):
    shutil.copy(ROOT / "examples" / "mnist.py", tmp_path)
    (tmp_path / "c.toml").write_text(CONFIG.format(root=DATA))
    return tmp_path / "c.toml"


def test_a_network_learns_digits_and_goes_on(config, capsys):
    if not DATA.exists():
        pytest.skip("the digits (shared/data/mnist) are not at hand")
    assert main(["train", str(config), "--steps", "30", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(["train", str(config), "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    assert first["step"] == 30 and second["step"] == 60 and second["valid_accuracy"] > max(0.8, first["valid_accuracy"])
    assert main(["train", str(config), "--fresh", "--json"]) == 0
    third = json.loads(capsys.readouterr().out)
    assert third["valid_loss"] == second["valid_loss"]  # in one go or in two


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('name = "AdamW"', 'name = "AdamX"'), "needs name = one of"),
        (("lr = 4e-3", "rate = 4e-3"), "does not take these settings"),
        (("steps = 60", "stepz = 60"), "the file has no stepz"),
        (("mnist:mlp", "mnist:mpl"), "has no 'mpl'"),
        (("mnist:mlp", "minst:mlp"), "neither in"),
        (("[model]", "[model"), "no right TOML"),
        (('name = "mnist"', 'name = "minst"'), "called 'minst'"),
    ],
)
def test_mistakes_in_the_file_are_said(config, change, said, capsys):
    config.write_text(config.read_text().replace(*change))
    assert main(["train", str(config)]) != 0
    assert said in capsys.readouterr().err
