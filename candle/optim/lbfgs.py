"""L-BFGS: steps along an estimate of Newton's direction, made from the last few steps and changes of the gradient."""

from __future__ import annotations

import math
from typing import Any, Callable, Iterable, NamedTuple

from ..errors import CandleError
from ..op import OPS
from ..tensor import Tensor, enable_grad, no_grad
from .optimizer import INF, Optimizer, bounded

__all__ = ["LBFGS"]


class _Point(NamedTuple):
    """What is known at a step length: the loss, the gradient, and the slope along the direction."""

    t: float
    loss: float
    grad: Tensor
    slope: float


def _cubic_minimum(a: _Point, b: _Point, bounds: tuple[float, float] | None = None) -> float:
    """Where the cubic through two points with their slopes is least, kept within bounds.

    Nocedal and Wright, Numerical Optimization, 2nd edition, equation 3.59.
    """
    low, high = bounds if bounds is not None else (min(a.t, b.t), max(a.t, b.t))
    left, right = (a, b) if a.t <= b.t else (b, a)
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    squared = d1 * d1 - a.slope * b.slope
    if squared < 0:
        return (low + high) / 2
    d2 = math.sqrt(squared)
    at = right.t - (right.t - left.t) * ((right.slope + d2 - d1) / (right.slope - left.slope + 2 * d2))
    return min(max(at, low), high)


class LBFGS(Optimizer):
    """Limited-memory BFGS, with PyTorch's settings; ``step`` needs a closure that computes the loss and its gradients.

    ``line_search_fn`` is None (a step of ``lr``) or "strong_wolfe".  Nocedal and Wright, Numerical Optimization, 2nd edition,
    algorithms 7.4, 3.5 and 3.6.  One group of parameters of one dtype.  It looks at values, so it cannot be captured.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1.0, max_iter: int = 20, max_eval: int | None = None,
                 tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
                 line_search_fn: str | None = None) -> None:  # fmt: skip
        bounded("LBFGS", lr=(lr, 0, INF), max_iter=(max_iter, 1, INF), history_size=(history_size, 1, INF))
        if line_search_fn not in (None, "strong_wolfe"):
            raise CandleError(f"LBFGS's line_search_fn is None or 'strong_wolfe' but {line_search_fn!r} was given")
        super().__init__(
            params, lr=lr, max_iter=max_iter, max_eval=max_iter * 5 // 4 if max_eval is None else max_eval,
            tolerance_grad=tolerance_grad, tolerance_change=tolerance_change, history_size=history_size,
            line_search_fn=line_search_fn,
        )  # fmt: skip
        if len(self.param_groups) > 1:
            raise CandleError("LBFGS takes one group of parameters: its direction is of all of them together")
        self.steps: list[Tensor] = []  # the last steps,
        self.changes: list[Tensor] = []  # and what they did to the gradient
        self.scale = 1.0
        self.direction: Tensor | None = None
        self.t = 0.0
        self.before: tuple[Tensor, float] | None = None  # the gradient and the loss of the last iteration
        self.iterations = 0

    # -- all parameters as one vector ---------------------------------------------------------------

    def _gradient(self) -> Tensor:
        parts = [(p.detach() * 0 if p.grad is None else p.grad).reshape(-1) for p in self._params()]
        return OPS["cat"](parts, dim=0)

    def _values(self) -> list[Tensor]:
        return [p.detach() for p in self._params()]

    def _place(self, start: list[Tensor], t: float, direction: Tensor) -> None:
        """Give the parameters the values at a step length."""
        at = 0
        for p, value in zip(self._params(), start):
            n = value.numel()
            p._rebind(value + direction[at : at + n].reshape(value.shape) * t, keep_node=True)
            at += n

    def _newton(self, grad: Tensor) -> Tensor:
        """The direction: two loops over the history."""
        inverse = [1.0 / _dot(y, s) for y, s in zip(self.changes, self.steps)]
        q, alphas = -grad, [0.0] * len(self.steps)
        for i in reversed(range(len(self.steps))):
            alphas[i] = _dot(self.steps[i], q) * inverse[i]
            q = q - self.changes[i] * alphas[i]
        r = q * self.scale
        for i, (s, y) in enumerate(zip(self.steps, self.changes)):
            r = r + s * (alphas[i] - _dot(y, r) * inverse[i])
        return r

    def _remember(self, change: Tensor, step: Tensor, most: int) -> None:
        curvature = _dot(change, step)
        if curvature > 1e-10:
            if len(self.steps) == most:
                del self.steps[0], self.changes[0]
            self.steps.append(step)
            self.changes.append(change)
            self.scale = curvature / _dot(change, change)

    # -- the step ------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to ``max_iter`` iterations; returns the first loss that the closure gave."""
        if closure is None:
            raise CandleError("LBFGS.step needs a closure that computes the loss and its gradients, and returns the loss")
        g = self.param_groups[0]
        evaluations = 0

        def evaluate() -> float:
            nonlocal evaluations
            evaluations += 1
            with enable_grad():
                return float(closure())

        with enable_grad():
            first = closure()
        evaluations += 1
        loss = float(first)
        with no_grad():
            grad = self._gradient()
            if _largest(grad) <= g["tolerance_grad"]:
                return first
            for n in range(1, g["max_iter"] + 1):
                self.iterations += 1
                if self.direction is None or self.before is None:
                    direction = -grad
                else:
                    self._remember(grad - self.before[0], self.direction * self.t, g["history_size"])
                    direction = self._newton(grad)
                self.before, self.direction = (grad, loss), direction
                opening = 1.0 if self.iterations > 1 else min(1.0, 1.0 / float(grad.abs().sum()))
                self.t = opening * g["lr"]
                slope = _dot(grad, direction)
                if slope > -g["tolerance_change"]:
                    break
                start, old = self._values(), loss
                if g["line_search_fn"] == "strong_wolfe":

                    def at(t: float, start: list[Tensor] = start, direction: Tensor = direction) -> _Point:
                        self._place(start, t, direction)
                        value = evaluate()
                        here = self._gradient()
                        return _Point(t, value, here, _dot(here, direction))

                    origin = _Point(0.0, loss, grad, slope)
                    found = _strong_wolfe(at, origin, self.t, _largest(direction), g["tolerance_change"])
                    self.t, loss, grad = found.t, found.loss, found.grad
                    self._place(start, self.t, direction)
                else:
                    self._place(start, self.t, direction)
                    if n != g["max_iter"]:
                        loss = evaluate()
                        grad = self._gradient()
                if n == g["max_iter"] or evaluations >= g["max_eval"] or _largest(grad) <= g["tolerance_grad"]:
                    break
                if _largest(direction) * abs(self.t) <= g["tolerance_change"] or abs(loss - old) < g["tolerance_change"]:
                    break
        return first


def _dot(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum())


def _largest(x: Tensor) -> float:
    return float(x.abs().amax()) if x.numel() else 0.0


def _strong_wolfe(at: Callable[[float], _Point], origin: _Point, t: float, longest: float, tolerance: float, c1: float = 1e-4,
                  c2: float = 0.9, most: int = 25) -> _Point:  # fmt: skip
    """A step length with enough descent (c1) and a slope flat enough (c2): first a bracket, then within it."""

    def descends(p: _Point) -> bool:
        return p.loss <= origin.loss + c1 * p.t * origin.slope

    def flat(p: _Point) -> bool:
        return abs(p.slope) <= -c2 * origin.slope

    before, here = origin, at(t)
    bracket: list[_Point] = []
    tries = 0
    while tries < most:
        if not descends(here) or (tries > 1 and here.loss >= before.loss):
            bracket = [before, here]
            break
        if flat(here):
            return here
        if here.slope >= 0:
            bracket = [before, here]
            break
        least, greatest = here.t + 0.01 * (here.t - before.t), here.t * 10
        further = _cubic_minimum(before, here, (least, greatest))
        before, here = here, at(further)
        tries += 1
    if not bracket:
        bracket = [origin, here]
    stuck = False
    low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
    while tries < most:
        width = abs(bracket[1].t - bracket[0].t)
        if width * longest < tolerance:
            break
        inner = _cubic_minimum(bracket[0], bracket[1])
        left, right = min(b.t for b in bracket), max(b.t for b in bracket)
        if min(right - inner, inner - left) / (right - left) < 0.1:  # too near an end: a tenth away from it, the second time
            if stuck or inner >= right or inner <= left:
                inner = right - 0.1 * (right - left) if abs(inner - right) < abs(inner - left) else left + 0.1 * (right - left)
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        new = at(inner)
        tries += 1
        if not descends(new) or new.loss >= bracket[low].loss:
            bracket[high] = new
            low, high = (0, 1) if bracket[0].loss <= bracket[1].loss else (1, 0)
            continue
        if flat(new):
            bracket[low] = new
            break
        if new.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = new
    return bracket[low]
