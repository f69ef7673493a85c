"""Schedules of the learning rate, under PyTorch's names: each sets ``group["lr"]`` of an optimiser at every ``step``.

Most are written as PyTorch writes them, as the factor from one step to the next, so that several can be chained.
"""

from __future__ import annotations

import bisect
import math
from typing import Any, Callable, Iterable, Mapping, Sequence

from ..errors import CandleError
from .optimizer import Group, Optimizer

__all__ = [
    "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "ExponentialLR",
    "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "OneCycleLR", "PolynomialLR", "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]  # fmt: skip


class LRScheduler:
    """Sets the learning rates.  A subclass defines ``rate(group, base)`` from ``self.last_epoch``; ``step`` counts it up.

    ``last_epoch`` is -1 at the start, or the step at which a run is taken up again.
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = optimizer
        for g in optimizer.param_groups:
            if last_epoch == -1:
                g.setdefault("initial_lr", g["lr"])
            elif "initial_lr" not in g:
                raise CandleError(
                    f"a schedule that begins at step {last_epoch} needs 'initial_lr' in every group of the optimiser"
                )
        self.base_lrs = [float(g["initial_lr"]) for g in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.step()

    def rate(self, group: Group, base: float) -> float:
        """A group's learning rate at step ``self.last_epoch``; ``group["lr"]`` is that of the step before."""
        raise NotImplementedError

    def jump(self, group: Group, base: float) -> float:
        """The same when the step before was another than ``self.last_epoch - 1``: where there is a closed form, that."""
        return self.rate(group, base)

    def step(self, epoch: int | None = None) -> None:
        """Go on by one step, or to step ``epoch``."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        found = self.rate if epoch is None else self.jump
        self._set([found(g, b) for g, b in zip(self.optimizer.param_groups, self.base_lrs)])

    def _set(self, rates: Iterable[float]) -> None:
        for g, lr in zip(self.optimizer.param_groups, rates):
            g["lr"] = lr

    def get_last_lr(self) -> list[float]:
        """The groups' learning rates."""
        return [g["lr"] for g in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """All but the optimiser and functions."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer" and not k.startswith("_fn")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)


def _per_group(value: Any, optimizer: Optimizer, what: str) -> list[Any]:
    n = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * n
    if len(value) != n:
        raise CandleError(f"{what} is one value, or one for each of the optimiser's {n} groups, but {len(value)} were given")
    return list(value)


class _ByFunction(LRScheduler):
    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1) -> None:
        self._fns: list[Callable[[int], float]] = _per_group(lr_lambda, optimizer, "lr_lambda")
        super().__init__(optimizer, last_epoch)

    def _factor(self, group: Group) -> float:
        at = next(n for n, g in enumerate(self.optimizer.param_groups) if g is group)
        return self._fns[at](self.last_epoch)


class LambdaLR(_ByFunction):
    """The first rate times ``lr_lambda(step)``."""

    def rate(self, group: Group, base: float) -> float:
        return base * self._factor(group)


class MultiplicativeLR(_ByFunction):
    """The last rate times ``lr_lambda(step)``."""

    def rate(self, group: Group, base: float) -> float:
        return group["lr"] * self._factor(group) if self.last_epoch > 0 else group["lr"]


class StepLR(LRScheduler):
    """Times ``gamma`` every ``step_size`` steps."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, group: Group, base: float) -> float:
        due = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return group["lr"] * self.gamma if due else group["lr"]

    def jump(self, group: Group, base: float) -> float:
        return base * self.gamma ** (self.last_epoch // self.step_size)


class MultiStepLR(LRScheduler):
    """Times ``gamma`` at each of the steps ``milestones``."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, group: Group, base: float) -> float:
        return group["lr"] * self.gamma ** self.milestones.count(self.last_epoch)

    def jump(self, group: Group, base: float) -> float:
        return base * self.gamma ** bisect.bisect_right(self.milestones, self.last_epoch)


class ConstantLR(LRScheduler):
    """Times ``factor`` for the first ``total_iters`` steps."""

    def __init__(self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        if not 0 <= factor <= 1:
            raise CandleError(f"ConstantLR's factor is from 0 to 1 but {factor} was given")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, group: Group, base: float) -> float:
        if self.last_epoch == 0:
            return group["lr"] * self.factor
        return group["lr"] / self.factor if self.last_epoch == self.total_iters else group["lr"]

    def jump(self, group: Group, base: float) -> float:
        return base * (self.factor if self.last_epoch < self.total_iters else 1.0)


class LinearLR(LRScheduler):
    """The factor goes from ``start_factor`` to ``end_factor`` in a line, within ``total_iters`` steps: the usual warm-up."""

    def __init__(self, optimizer: Optimizer, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5,
                 last_epoch: int = -1) -> None:  # fmt: skip
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise CandleError(
                f"LinearLR's factors are at most 1, the first above 0, the last at least 0, but {start_factor} and "
                f"{end_factor} were given"
            )
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self, step: int) -> float:
        return self.start_factor + (self.end_factor - self.start_factor) * min(step, self.total_iters) / self.total_iters

    def rate(self, group: Group, base: float) -> float:
        if self.last_epoch == 0:
            return group["lr"] * self.start_factor
        if self.last_epoch > self.total_iters:
            return group["lr"]
        return group["lr"] * self._factor(self.last_epoch) / self._factor(self.last_epoch - 1)

    def jump(self, group: Group, base: float) -> float:
        return base * self._factor(self.last_epoch)


class ExponentialLR(LRScheduler):
    """Times ``gamma`` at every step."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, group: Group, base: float) -> float:
        return group["lr"] * self.gamma if self.last_epoch > 0 else group["lr"]

    def jump(self, group: Group, base: float) -> float:
        return base * self.gamma**self.last_epoch


class PolynomialLR(LRScheduler):
    """The first rate times ``(1 - step / total_iters) ** power``."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def rate(self, group: Group, base: float) -> float:
        t, n = self.last_epoch, self.total_iters
        return group["lr"] if t == 0 or t > n else group["lr"] * ((1 - t / n) / (1 - (t - 1) / n)) ** self.power

    def jump(self, group: Group, base: float) -> float:
        return base * (1 - min(self.last_epoch, self.total_iters) / self.total_iters) ** self.power


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the first rate down to ``eta_min``, in ``T_max`` steps.  https://arxiv.org/abs/1608.03983"""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, group: Group, base: float) -> float:
        t, n, least = self.last_epoch, self.T_max, self.eta_min
        if t == 0:
            return group["lr"]
        if (t - 1 - n) % (2 * n) == 0:  # the cosine before was at its end, where a factor says nothing
            return group["lr"] + (base - least) * (1 - math.cos(math.pi / n)) / 2
        return (1 + math.cos(math.pi * t / n)) / (1 + math.cos(math.pi * (t - 1) / n)) * (group["lr"] - least) + least

    def jump(self, group: Group, base: float) -> float:
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine over ``T_0`` steps, then again over ``T_mult`` times as many.  https://arxiv.org/abs/1608.03983

    ``step(epoch)`` takes fractions of an epoch.
    """

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        if T_0 < 1 or T_mult < 1:
            raise CandleError(f"CosineAnnealingWarmRestarts' T_0 and T_mult are at least 1 but {T_0} and {T_mult} were given")
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, group: Group, base: float) -> float:
        within, length = float(self.last_epoch), self.T_0
        if self.T_mult == 1:
            within %= length
        else:
            while within >= length:
                within -= length
                length *= self.T_mult
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * within / length)) / 2


class _WithMomentum(LRScheduler):
    """Schedules that move the momentum (SGD's, or Adam's first coefficient) against the rate."""

    def _momentum(self, group: Group, value: float) -> None:
        if "betas" in group:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value

    def _needs_momentum(self, name: str) -> None:
        for g in self.optimizer.param_groups:
            if "betas" not in g and not g.get("momentum"):
                raise CandleError(f"{name}'s cycle_momentum needs an optimiser with momentum; pass cycle_momentum=False")


class CyclicLR(_WithMomentum):
    """Up from ``base_lr`` to ``max_lr`` and down again, over and over.  https://arxiv.org/abs/1506.01186"""

    def __init__(self, optimizer: Optimizer, base_lr: Any, max_lr: Any, step_size_up: int = 2000,
                 step_size_down: int | None = None, mode: str = "triangular", gamma: float = 1.0,
                 scale_fn: Callable[[float], float] | None = None,
                 scale_mode: str = "cycle", cycle_momentum: bool = True, base_momentum: Any = 0.8, max_momentum: Any = 0.9,
                 last_epoch: int = -1) -> None:  # fmt: skip
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise CandleError(f"CyclicLR's mode is 'triangular', 'triangular2' or 'exp_range' but {mode!r} was given")
        self.optimizer = optimizer
        self.max_lrs = _per_group(max_lr, optimizer, "max_lr")
        self.up = float(step_size_up)
        self.length = self.up + float(step_size_up if step_size_down is None else step_size_down)
        self.mode, self.gamma, self._fn = mode, gamma, scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._needs_momentum("CyclicLR")
            self.base_momentums = _per_group(base_momentum, optimizer, "base_momentum")
            self.max_momentums = _per_group(max_momentum, optimizer, "max_momentum")
        if last_epoch == -1:
            self._set(_per_group(base_lr, optimizer, "base_lr"))
        super().__init__(optimizer, last_epoch)

    def _scale(self, x: float) -> float:
        if self._fn is not None:
            return self._fn(x)
        return {"triangular": 1.0, "triangular2": 1 / 2.0 ** (x - 1), "exp_range": self.gamma**x}[self.mode]

    def rate(self, group: Group, base: float) -> float:
        at = next(n for n, g in enumerate(self.optimizer.param_groups) if g is group)
        cycle = math.floor(1 + self.last_epoch / self.length)
        x = 1.0 + self.last_epoch / self.length - cycle
        ratio = self.up / self.length
        height = x / ratio if x <= ratio else (x - 1) / (ratio - 1)
        scale = self._scale(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            low, high = self.base_momentums[at], self.max_momentums[at]
            self._momentum(group, high - (high - low) * height * scale)
        return base + (self.max_lrs[at] - base) * height * scale


class OneCycleLR(_WithMomentum):
    """Up from ``max_lr / div_factor`` to ``max_lr``, then down to a ``final_div_factor``-th of the first rate.

    https://arxiv.org/abs/1708.07120
    """

    def __init__(self, optimizer: Optimizer, max_lr: Any, total_steps: int | None = None, epochs: int | None = None,
                 steps_per_epoch: int | None = None, pct_start: float = 0.3, anneal_strategy: str = "cos",
                 cycle_momentum: bool = True, base_momentum: Any = 0.85, max_momentum: Any = 0.95, div_factor: float = 25.0,
                 final_div_factor: float = 1e4, three_phase: bool = False, last_epoch: int = -1) -> None:  # fmt: skip
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise CandleError("OneCycleLR needs total_steps, or epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        if total_steps < 1 or not 0 <= pct_start <= 1:
            raise CandleError(
                f"OneCycleLR's total_steps is at least 1 and its pct_start from 0 to 1 but {total_steps} and {pct_start} "
                "were given"
            )
        if anneal_strategy not in ("cos", "linear"):
            raise CandleError(f"OneCycleLR's anneal_strategy is 'cos' or 'linear' but {anneal_strategy!r} was given")
        self.optimizer, self.total_steps, self.anneal_strategy = optimizer, total_steps, anneal_strategy
        top = float(pct_start * total_steps) - 1
        # (the step at which a phase ends, how it begins and ends: in rates and in momentum)
        self.phases: list[tuple[float, str, str, str, str]] = [(top, "first", "max", "high", "low")]
        if three_phase:
            self.phases.append((2 * top, "max", "first", "low", "high"))
            self.phases.append((total_steps - 1, "first", "min", "high", "high"))
        else:
            self.phases.append((total_steps - 1, "max", "min", "low", "high"))
        self.rates: list[dict[str, float]] = []
        for g, peak in zip(optimizer.param_groups, _per_group(max_lr, optimizer, "max_lr")):
            first = peak / div_factor
            self.rates.append({"first": first, "max": peak, "min": first / final_div_factor})
            if last_epoch == -1:
                g["lr"] = first
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._needs_momentum("OneCycleLR")
            pairs = zip(
                _per_group(base_momentum, optimizer, "base_momentum"), _per_group(max_momentum, optimizer, "max_momentum")
            )
            self.momentums = [{"low": low, "high": high} for low, high in pairs]
        super().__init__(optimizer, last_epoch)

    def _between(self, start: float, end: float, part: float) -> float:
        return start + (end - start) * (part if self.anneal_strategy == "linear" else (1 - math.cos(math.pi * part)) / 2)

    def rate(self, group: Group, base: float) -> float:
        step = self.last_epoch
        if step > self.total_steps:
            raise CandleError(f"OneCycleLR was made for {self.total_steps} steps but is asked for step {step}")
        at = next(n for n, g in enumerate(self.optimizer.param_groups) if g is group)
        begin = 0.0
        for end, a, b, c, d in self.phases:
            if step <= end or end == self.phases[-1][0]:
                part = (step - begin) / (end - begin)
                if self.cycle_momentum:
                    self._momentum(group, self._between(self.momentums[at][c], self.momentums[at][d], part))
                return self._between(self.rates[at][a], self.rates[at][b], part)
            begin = end
        raise AssertionError("the last phase holds every step")


class SequentialLR(LRScheduler):
    """One schedule after another: the next begins at each of the steps ``milestones``."""

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        if len(milestones) != len(schedulers) - 1:
            raise CandleError(
                f"SequentialLR takes one milestone fewer than schedules but was given {len(milestones)} and {len(schedulers)}"
            )
        if any(s.optimizer is not optimizer for s in schedulers):
            raise CandleError("SequentialLR's schedules must be of the optimiser it is given")
        self.optimizer, self._fns, self.milestones = optimizer, list(schedulers), list(milestones)
        self.last_epoch = last_epoch + 1
        for g in optimizer.param_groups:
            g["lr"] = g["initial_lr"]
        for s in self._fns:  # as if none of them had begun
            s.last_epoch -= 1
        self._fns[0].step()

    def step(self, epoch: int | None = None) -> None:
        self.last_epoch += 1
        at = bisect.bisect_right(self.milestones, self.last_epoch)
        if at > 0 and self.milestones[at - 1] == self.last_epoch:
            self._fns[at].step(0)
        else:
            self._fns[at].step()

    def state_dict(self) -> dict[str, Any]:
        return {"last_epoch": self.last_epoch, "schedulers": [s.state_dict() for s in self._fns]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.last_epoch = state["last_epoch"]
        for s, saved in zip(self._fns, state["schedulers"]):
            s.load_state_dict(saved)


class ChainedScheduler(LRScheduler):
    """Several schedules at once: their factors are multiplied."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise CandleError("ChainedScheduler takes at least one schedule")
        self.optimizer = schedulers[0].optimizer if optimizer is None else optimizer
        if any(s.optimizer is not self.optimizer for s in schedulers):
            raise CandleError("ChainedScheduler's schedules must be of one optimiser")
        self._fns, self.last_epoch = list(schedulers), schedulers[0].last_epoch

    def step(self, epoch: int | None = None) -> None:
        for s in self._fns:
            s.step()

    def state_dict(self) -> dict[str, Any]:
        return {"schedulers": [s.state_dict() for s in self._fns]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for s, saved in zip(self._fns, state["schedulers"]):
            s.load_state_dict(saved)


class ReduceLROnPlateau(LRScheduler):
    """Times ``factor`` when a measure has not got better for more than ``patience`` steps; ``step(measure)``."""

    def __init__(self, optimizer: Optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10, threshold: float = 1e-4,
                 threshold_mode: str = "rel", cooldown: int = 0, min_lr: Any = 0, eps: float = 1e-8) -> None:  # fmt: skip
        if factor >= 1:
            raise CandleError(f"ReduceLROnPlateau's factor is below 1 but {factor} was given")
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise CandleError(
                f"ReduceLROnPlateau's mode is 'min' or 'max' and its threshold_mode 'rel' or 'abs' but {mode!r} and "
                f"{threshold_mode!r} were given"
            )
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown, self.eps = threshold, threshold_mode, cooldown, eps
        self.min_lrs = _per_group(min_lr, optimizer, "min_lr")
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0

    def _better(self, measure: float) -> bool:
        sign = 1 if self.mode == "min" else -1
        margin = abs(self.best) * self.threshold if self.threshold_mode == "rel" else self.threshold
        return math.isinf(self.best) or sign * measure < sign * self.best - margin

    def step(self, metrics: Any = None, epoch: int | None = None) -> None:  # type: ignore[override]
        if metrics is None:
            raise CandleError("ReduceLROnPlateau.step takes the measure, such as the validation loss")
        measure = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._better(measure):
            self.best, self.num_bad_epochs = measure, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for g, least in zip(self.optimizer.param_groups, self.min_lrs):
                lr = max(g["lr"] * self.factor, least)
                if g["lr"] - lr > self.eps:
                    g["lr"] = lr
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
