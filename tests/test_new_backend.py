"""``candle new-backend``, and docs/your-first-backend.md run as it stands, in a clean environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

from candle import CandleError
from candle.cli import main, new_backend

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/your-first-backend.md"
BLOCKS = re.findall(r"^```(sh|python)(?: append=(\S+))?\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A new virtual environment that sees candle and what it needs, and nothing that is installed later."""
    folder = tmp_path_factory.mktemp("stranger")
    venv.create(folder / "venv", with_pip=True, symlinks=True)
    site = next((folder / "venv").glob("lib/python*/site-packages"))
    for old in [*site.glob("setuptools*"), *site.glob("pkg_resources")]:  # what comes with Python 3.11 cannot build without wheel
        shutil.rmtree(old)
    (site / "borrowed.pth").write_text(f"{ROOT}\n{sysconfig.get_paths()['purelib']}\n")
    command = folder / "venv/bin/candle"
    command.write_text(f"#!{folder}/venv/bin/python\nimport sys\nfrom candle.cli import main\nsys.exit(main())\n")
    command.chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CANDLE_", "PYTHON"))}
    # The page says `pip install -e`; here it must do without the network.
    quiet = {"PIP_NO_BUILD_ISOLATION": "0", "PIP_NO_DEPS": "1", "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return folder, {**kept, **quiet, "PATH": f"{folder}/venv/bin:{os.environ['PATH']}"}


def run(environment, kind, text):
    folder, env = environment
    command = ["bash", "-euc", text] if kind == "sh" else [str(folder / "venv/bin/python"), "-c", text]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


@pytest.mark.slow
def test_the_ten_steps_work_as_they_are_written(environment):
    for number, (kind, place, text) in enumerate(BLOCKS, 1):
        if place:
            path = environment[0] / place
            path.write_text(path.read_text() + text)
            continue
        done = run(environment, kind, text)
        assert done.returncode == 0, f"block {number}:\n{text}\n{done.stdout}\n{done.stderr}"
        if "candle devices" in text:
            assert re.search(r"^tally +tally +works", done.stdout, re.M), done.stdout
        if "candle plugins" in text:
            assert "candle-tally" in done.stdout
    assert (environment[0] / "candle-tally/report.json").exists() and (environment[0] / "candle-tally/badge.svg").exists()


@pytest.mark.slow
def test_the_package_passes_the_first_levels_of_its_own_test_on_day_one(environment):
    folder, _ = environment
    assert main(["new-backend", "fresh", "--path", str(folder)]) == 0
    assert run(environment, "sh", "pip install -e candle-fresh").returncode == 0
    done = run(environment, "sh", "cd candle-fresh && python -m pytest -q -x -p no:cacheprovider -k 'storage or ops'")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout


def test_there_are_ten_steps():
    assert re.findall(r"^## (\d+)\. ", PAGE.read_text(encoding="utf-8"), re.M) == [str(n) for n in range(1, 11)]


def test_the_package_is_small(tmp_path):
    files = new_backend.write("tally", tmp_path)
    assert sum(len(p.read_text().splitlines()) for p in files) < 200
    assert all("@" not in p.read_text().replace("@hookimpl", "") for p in files)
    for p in files:
        if p.suffix == ".py":
            compile(p.read_text(), str(p), "exec")


@pytest.mark.parametrize(
    "name, text",
    [
        ("Tally", "a device's name is lower-case letters, digits and underscores, such as 'tally', but 'Tally' was given"),
        ("my-backend", "but 'my-backend' was given"),
        ("../up", "but '../up' was given"),
        ("class", "but 'class' was given"),
        ("auto", "but 'auto' was given"),
        ("numpy", "there is already a device called 'numpy'"),
    ],
)
def test_names_that_will_not_do_are_refused(tmp_path, name, text):
    with pytest.raises(CandleError, match=re.escape(text)):
        new_backend.write(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path):
    new_backend.write("tally", tmp_path)
    with pytest.raises(CandleError, match="candle-tally is there already"):
        new_backend.write("tally", tmp_path)
