"""The loop: batches, a compiled step, validation, checkpoints."""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Mapping, Sized

import numpy as np

from ..compile import compile as compiled
from ..create import full_like
from ..errors import CandleError
from ..optim import clip_grad_norm_
from ..random import get_rng_state, set_rng_state
from ..tensor import Tensor, no_grad
from .checkpoint import load_checkpoint, save_checkpoint
from .log import Log, draw_curves

__all__ = ["Trainer"]


class Trainer:
    """Trains a model and keeps what matters in ``folder``; ``fit`` goes on where the last run ended, however it did.

    ``loss(model, *batch)`` gives the loss, ``metrics`` further numbers for validation in the same form (averaged over the
    samples).  ``train`` and ``valid`` are iterables of batches (tuples of tensors), best a ``candle_datasets.DataLoader``, whose
    place in an epoch is kept.  The run ends after ``epochs`` or ``steps``, or when the validation loss has not fallen for
    ``patience`` validations.  Every ``every`` steps (None: an epoch) it validates, logs and writes a checkpoint.

    In ``folder``: ``last.safetensors`` (all that a run needs to go on exactly), ``best.safetensors`` (the weights when the
    validation loss was least), ``log.csv``, ``curves.png``, and ``events`` with ``tensorboard=True``.
    """

    def __init__(
        self,
        model: Any,
        loss: Callable[..., Tensor],
        optimizer: Any,
        train: Iterable[Any],
        valid: Iterable[Any] | None = None,
        *,
        folder: str | Path,
        epochs: int | None = None,
        steps: int | None = None,
        every: int | None = None,
        scheduler: Any = None,
        metrics: Mapping[str, Callable[..., Any]] | None = None,
        clip: float | None = None,
        accumulate: int = 1,
        ema: Any = None,
        patience: int | None = None,
        compile: bool = True,
        tensorboard: bool = False,
        progress: bool | None = None,
    ) -> None:
        if (epochs is None) == (steps is None):
            raise CandleError("a Trainer is told when to end by one of epochs and steps")
        if accumulate < 1:
            raise CandleError(f"accumulate is at least 1 batch per step but {accumulate} was given")
        self.model, self.loss, self.optimizer, self.train, self.valid = model, loss, optimizer, train, valid
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        per_epoch = max(1, len(train) // accumulate) if isinstance(train, Sized) else None
        if steps is None:
            if per_epoch is None or epochs is None:
                raise CandleError("a Trainer cannot count the epochs of batches without a length; say steps=")
            steps = epochs * per_epoch
        self.steps, self.every = steps, every or per_epoch or steps
        self.scheduler, self.metrics, self.clip, self.accumulate = scheduler, dict(metrics or {}), clip, accumulate
        self.ema, self.patience, self.progress = ema, patience, progress
        self.step, self.seconds = 0, 0.0
        self.best, self.rounds_without = math.inf, 0
        self._skip = 0  # batches of the epoch that were used already, where the iterable does not know itself
        self.log = Log(self.folder, tensorboard)
        wrap: Callable[[Any], Any] = compiled if compile else lambda f: f
        self._parameters = [p for g in optimizer.param_groups for p in g["params"]]
        self._sums = [full_like(p.detach(), 0) for p in self._parameters] if accumulate > 1 else []
        self._forward = wrap(self._add_gradients if accumulate > 1 else self._whole_step)
        self._finish, self._evaluate = wrap(self._step_by_sums), wrap(self._measure)

    # -- one step ------------------------------------------------------------------------------------

    def _whole_step(self, *batch: Any) -> Tensor:
        self.optimizer.zero_grad()
        loss = self.loss(self.model, *batch)
        loss.backward()
        if self.clip is not None:
            clip_grad_norm_(self._parameters, self.clip)
        self.optimizer.step()
        return loss.detach()

    def _add_gradients(self, *batch: Any) -> Tensor:
        self.optimizer.zero_grad()
        loss = self.loss(self.model, *batch)
        (loss / self.accumulate).backward()
        with no_grad():
            for total, p in zip(self._sums, self._parameters):
                if p.grad is not None:
                    total.add_(p.grad)
        return loss.detach()

    def _step_by_sums(self) -> None:
        with no_grad():
            for total, p in zip(self._sums, self._parameters):
                p.grad = total.detach()
            if self.clip is not None:
                clip_grad_norm_(self._parameters, self.clip)
            self.optimizer.step()
            for total in self._sums:
                total.zero_()

    def _measure(self, *batch: Any) -> list[Any]:
        return [self.loss(self.model, *batch), *[m(self.model, *batch) for m in self.metrics.values()]]

    # -- the loop ------------------------------------------------------------------------------------

    def fit(self) -> dict[str, float]:
        """Train to the end; returns the last row of the log."""
        self.resume()
        self.model.train()
        losses: list[float] = []
        began = time.perf_counter()
        with self._bar() as bar:
            count, empty = 0, 0
            while self.step < self.steps and not self._hopeless():
                before = count
                for batch in self._batches():
                    value = float(self._forward(*batch))
                    if not math.isfinite(value):
                        raise CandleError(
                            f"the loss is {value} after {self.step} steps; lower the learning rate, clip gradients, or look at "
                            f"the batch; {self.folder / 'last.safetensors'} is as of the last checkpoint"
                        )
                    losses.append(value)
                    count += 1
                    if count % self.accumulate:
                        continue
                    if self.accumulate > 1:
                        self._finish()
                    self.step += 1
                    if self.scheduler is not None:
                        self.scheduler.step()
                    if self.ema is not None:
                        self.ema.update()
                    bar.update(1)
                    if self.step % self.every == 0 or self.step == self.steps:
                        self.seconds += time.perf_counter() - began
                        self._round(float(np.mean(losses)), bar)
                        losses, began = [], time.perf_counter()
                        if self.step == self.steps or self._hopeless():
                            break
                empty = empty + 1 if count == before else 0
                if empty > 1:  # once is no more than the end of an epoch that was taken up
                    raise CandleError("the training data gave no batch in a whole epoch; is the data set empty?")
        return dict(self.log.rows[-1]) if self.log.rows else {}

    def _hopeless(self) -> bool:
        return self.patience is not None and self.rounds_without > self.patience

    def _batches(self) -> Iterator[tuple[Any, ...]]:
        for n, batch in enumerate(self.train):
            if n < self._skip:
                continue
            if not hasattr(self.train, "state_dict"):
                self._skip = n + 1
            yield batch if isinstance(batch, tuple) else (batch,)
        self._skip = 0

    def _round(self, loss: float, bar: Any) -> None:
        """Validate, log, keep."""
        row = {"step": self.step, "loss": loss, "lr": self.optimizer.param_groups[0]["lr"], "seconds": round(self.seconds, 3)}
        if self.valid is not None:
            found = self.validate()
            row |= {f"valid_{k}": v for k, v in found.items()}
            better = found["loss"] < self.best
            self.best, self.rounds_without = (found["loss"], 0) if better else (self.best, self.rounds_without + 1)
            if better:
                with self._averages():
                    save_checkpoint(self.folder / "best.safetensors", {"model": self.model.state_dict()}, {"step": self.step})
        self.log.write(row)
        self.save()
        with contextlib.suppress(CandleError):  # without Pillow there is no picture
            draw_curves(self.folder / "curves.png", self.log.rows, ["loss", "valid_loss"], self.folder.name)
        bar.set_postfix({k: f"{v:.4g}" for k, v in row.items() if k not in ("step", "seconds")})

    def validate(self) -> dict[str, float]:
        """The loss and the metrics over ``valid``, by the averaged parameters where there is an EMA."""
        if self.valid is None:
            raise CandleError("this Trainer was given nothing to validate on; pass valid=")
        names, sums, count = ["loss", *self.metrics], np.zeros(1 + len(self.metrics)), 0
        self.model.eval()
        try:
            with no_grad(), self._averages():
                for batch in self.valid:
                    batch = batch if isinstance(batch, tuple) else (batch,)
                    n = len(batch[0])
                    sums += n * np.array([float(v) for v in self._evaluate(*batch)])
                    count += n
        finally:
            self.model.train()
        return dict(zip(names, (sums / max(count, 1)).tolist()))

    def _averages(self) -> Any:
        return self.ema.applied() if self.ema is not None else contextlib.nullcontext()

    def _bar(self) -> Any:
        from tqdm import tqdm

        hidden = None if self.progress is None else not self.progress
        return tqdm(total=self.steps, initial=self.step, desc=self.folder.name, unit="step", disable=hidden)

    # -- what is kept --------------------------------------------------------------------------------

    def save(self) -> None:
        """Write ``last.safetensors``."""
        tensors = {
            "model": self.model.state_dict(),
            "optimizer": dict(self.optimizer.named_state()),
            "random": {"state": get_rng_state()},
        }
        if self.ema is not None:
            tensors["ema"] = {str(n): a for n, a in enumerate(self.ema.averages)}
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "rounds_without": self.rounds_without,
            "skip": self._skip,
            "train": self.train.state_dict() if hasattr(self.train, "state_dict") else None,
            "scheduler": self.scheduler.state_dict() if self.scheduler is not None else None,
            "ema": self.ema.updates if self.ema is not None else None,
            "settings": [{k: v for k, v in g.items() if k != "params"} for g in self.optimizer.param_groups],
        }
        save_checkpoint(self.folder / "last.safetensors", tensors, state)

    def resume(self) -> bool:
        """Take up ``last.safetensors``, if there is one; says whether.  Raises CandleError where it is of another model."""
        path = self.folder / "last.safetensors"
        if not path.exists():
            self.log.drop_after(-1)
            return False
        groups, state = load_checkpoint(path)
        self.model.load_state_dict(groups["model"])
        own = dict(self.optimizer.named_state())
        saved = groups.get("optimizer", {})
        if {k: t.spec for k, t in own.items()} != {k: t.spec for k, t in saved.items()}:
            raise CandleError(f"{path} was written with another optimiser or model; train in another folder, or remove it")
        for group, settings in zip(self.optimizer.param_groups, state["settings"]):
            for k, v in settings.items():
                group[k] = tuple(v) if isinstance(v, list) else v
        with no_grad():
            for k, t in own.items():
                t.copy_(saved[k])
            set_rng_state(groups["random"]["state"])
            if self.ema is not None:
                for n, average in enumerate(self.ema.averages):
                    average.copy_(groups["ema"][str(n)])
                self.ema.updates = state["ema"]
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        if state["train"] is not None:
            self.train.load_state_dict(state["train"])  # type: ignore[attr-defined]
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]
        self.rounds_without, self._skip = state["rounds_without"], state["skip"]
        self.log.drop_after(self.step)
        return True
