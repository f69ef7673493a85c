"""The trainer: it learns, ends when it should, and goes on after being killed as if it had not been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import candle
from candle import CandleError, FormatError, nn, optim
from candle.train import Trainer, draw_curves, load_checkpoint

rng = np.random.default_rng(0)
X = rng.standard_normal((60, 5)).astype("f")
Y = np.tanh(X @ rng.standard_normal((5, 2)).astype("f"))


class Batches:
    """Batches in an order of the epoch's own, which knows where it is."""

    def __init__(self, size=10, x=X, y=Y):
        self.size, self.x, self.y, self.epoch, self.at = size, x, y, 0, 0

    def __len__(self):
        return len(self.x) // self.size

    def __iter__(self):
        order = np.random.default_rng(self.epoch).permutation(len(self.x))
        while self.at < len(self):
            rows = order[self.at * self.size : (self.at + 1) * self.size]
            self.at += 1
            yield candle.tensor(self.x[rows], device="numpy"), candle.tensor(self.y[rows], device="numpy")
        self.epoch, self.at = self.epoch + 1, 0

    def state_dict(self):
        return {"epoch": self.epoch, "at": self.at}

    def load_state_dict(self, state):
        self.epoch, self.at = state["epoch"], state["at"]


def mse(model, x, y):
    return nn.functional.mse_loss(model(x), y)


def trainer(folder, **settings):
    candle.manual_seed(3)
    with candle.device("numpy"):
        model = nn.Sequential(nn.Linear(5, 16), nn.Dropout(0.1), nn.Tanh(), nn.Linear(16, 2))
    opt = optim.AdamW(model.parameters(), lr=0.01)
    given = {
        "train": Batches(), "valid": [(candle.tensor(X, device="numpy"), candle.tensor(Y, device="numpy"))], "steps": 30,
        "every": 7, "scheduler": optim.lr_scheduler.CosineAnnealingLR(opt, 30), "ema": optim.EMA(model.parameters(), 0.9),
        "metrics": {"worst": lambda m, x, y: (m(x) - y).abs().amax()}, "progress": False, "clip": 1.0, **settings,
    }  # fmt: skip
    with candle.device("numpy"):
        return Trainer(model, mse, opt, folder=folder, **given)


def numbers(t):
    """A log without what depends on the clock."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in t.log.rows]


def test_it_learns_and_leaves_its_files(tmp_path):
    t = trainer(tmp_path, steps=200, every=50)
    last = t.fit()
    assert last["step"] == 200 and last["valid_loss"] < 0.3 * t.log.rows[0]["loss"] and "valid_worst" in last
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 5
    best, state = load_checkpoint(tmp_path / "best.safetensors")
    fresh = trainer(tmp_path / "b").model
    fresh.load_state_dict(best["model"])
    fresh.eval()
    found = float(mse(fresh, candle.tensor(X, device="numpy"), candle.tensor(Y, device="numpy")))
    assert found == pytest.approx(min(r["valid_loss"] for r in t.log.rows), rel=1e-6) and state["step"] % 50 == 0


def test_the_compiled_loop_is_the_eager_one(tmp_path):
    a = trainer(tmp_path / "a", compile=True)
    a.fit()
    b = trainer(tmp_path / "b", compile=False)
    b.fit()
    for one, two in zip(numbers(a), numbers(b), strict=True):
        assert one == pytest.approx(two, rel=1e-4)


def test_accumulated_batches_are_one_batch(tmp_path):
    whole = trainer(tmp_path / "a", train=Batches(20), steps=6, every=3, compile=False, ema=None)
    parts = trainer(tmp_path / "b", train=Batches(10), accumulate=2, steps=6, every=3, ema=None)
    for t in (whole, parts):
        t.model[1].p = 0.0
        t.fit()
    for p, q in zip(whole.model.parameters(), parts.model.parameters()):
        np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol=1e-4, atol=1e-6)


def test_a_run_in_parts_is_the_run_in_one(tmp_path):
    whole = trainer(tmp_path / "whole")
    whole.fit()
    for steps in (7, 14, 30):
        part = trainer(tmp_path / "parts", steps=steps)
        part.fit()
    assert numbers(part) == numbers(whole)
    for p, q in zip(whole.model.parameters(), part.model.parameters()):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
    assert trainer(tmp_path / "whole").fit() == whole.log.rows[-1]  # nothing is left to do


PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
from test_train import trainer
from pathlib import Path
trainer(Path(sys.argv[1]), steps=60, every=3).fit()
"""


@pytest.mark.slow
def test_killing_it_at_any_moment_loses_nothing(tmp_path):
    program = PROGRAM.format(tests=str(Path(__file__).parent))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), *sys.path])}

    def start(folder):
        return subprocess.Popen([sys.executable, "-c", program, str(folder)], env=env, stderr=subprocess.PIPE)

    whole = start(tmp_path / "whole")
    assert whole.wait() == 0, whole.stderr.read().decode()
    moments = np.random.default_rng(int(time.time())).uniform(0.0, 0.6, 4)
    for moment in moments:
        run = start(tmp_path / "killed")
        log = tmp_path / "killed" / "log.csv"
        before = log.stat().st_mtime_ns if log.exists() else 0
        while run.poll() is None and (log.stat().st_mtime_ns if log.exists() else 0) == before:
            time.sleep(0.01)  # until it has got on by a checkpoint or so
        time.sleep(moment)
        run.send_signal(signal.SIGKILL)
        run.wait()
    last = start(tmp_path / "killed")
    assert last.wait() == 0, last.stderr.read().decode()
    found = [load_checkpoint(tmp_path / kind / "last.safetensors")[0] for kind in ("whole", "killed")]
    for group in found[0]:
        for name, t in found[0][group].items():
            np.testing.assert_array_equal(
                t.numpy(), found[1][group][name].numpy(), err_msg=f"{group} {name}, killed at {moments}"
            )
    rows = [
        [line.rsplit(",", 1) for line in (tmp_path / kind / "log.csv").read_text().splitlines()] for kind in ("whole", "killed")
    ]
    assert len(rows[0]) == len(rows[1]) == 21


def test_it_stops_when_nothing_gets_better(tmp_path):
    t = trainer(tmp_path, steps=500, every=5, patience=2, scheduler=None, ema=None)
    for g in t.optimizer.param_groups:
        g["lr"] = 0.0
    last = t.fit()
    assert last["step"] == 20  # the first validation is the best, and three more are not better


def test_batches_without_a_memory_are_skipped_over(tmp_path):
    batches = list(Batches())
    whole = trainer(tmp_path / "a", train=batches, steps=14, every=4, ema=None)
    whole.fit()
    for steps in (4, 14):
        part = trainer(tmp_path / "b", train=list(batches), steps=steps, every=4, ema=None)
        part.fit()
    assert numbers(part)[-1] == numbers(whole)[-1]


def test_what_cannot_be_is_said(tmp_path):
    with pytest.raises(CandleError, match="one of epochs and steps"):
        trainer(tmp_path, epochs=1)
    with pytest.raises(CandleError, match="nothing to validate"):
        trainer(tmp_path, valid=None).validate()
    (tmp_path / "last.safetensors").write_bytes(b"")
    with pytest.raises(FormatError):
        trainer(tmp_path).fit()
    candle.save(tmp_path / "last.safetensors", {"a": candle.ones(2)})
    with pytest.raises(FormatError, match="no checkpoint of a training run"):
        trainer(tmp_path).fit()
    (tmp_path / "last.safetensors").unlink()
    t = trainer(tmp_path, clip=None, ema=None)
    with candle.no_grad():
        t.model[0].weight.fill_(float("nan"))
    with pytest.raises(CandleError, match="the loss is nan after 0 steps"):
        t.fit()


def test_curves_of_one_point_and_of_none(tmp_path):
    draw_curves(tmp_path / "a.png", [{"step": 1, "loss": 2.0}], ["loss"])
    assert (tmp_path / "a.png").exists()
    draw_curves(tmp_path / "b.png", [{"step": 1, "loss": float("nan")}], ["loss"])
    assert not (tmp_path / "b.png").exists()


def test_no_data_is_said(tmp_path):
    with pytest.raises(CandleError, match="gave no batch in a whole epoch"):
        trainer(tmp_path, train=[], ema=None).fit()
