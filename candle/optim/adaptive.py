"""Rules that scale each parameter's step by its past gradients, without bias correction."""

from __future__ import annotations

from typing import Any, Iterable, Mapping

from ..create import full_like
from ..dtype import finfo
from ..errors import CandleError
from ..tensor import Tensor
from .optimizer import INF, Group, Optimizer, bounded

__all__ = ["Adadelta", "Adafactor", "Adagrad", "RMSprop"]


def _decayed(p: Tensor, grad: Tensor, group: Group) -> Tensor:
    return grad + p * group["weight_decay"] if group["weight_decay"] else grad


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of squared gradients.  https://jmlr.org/papers/v12/duchi11a.html"""

    def __init__(self, params: Iterable[Any], lr: float = 1e-2, lr_decay: float = 0.0, weight_decay: float = 0.0,
                 initial_accumulator_value: float = 0.0, eps: float = 1e-10, *, maximize: bool = False) -> None:  # fmt: skip
        bounded(
            "Adagrad", lr=(lr, 0, INF), lr_decay=(lr_decay, 0, INF), weight_decay=(weight_decay, 0, INF), eps=(eps, 0, INF),
            initial_accumulator_value=(initial_accumulator_value, 0, INF),
        )  # fmt: skip
        super().__init__(
            params, lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, eps=eps, maximize=maximize,
            initial_accumulator_value=initial_accumulator_value,
        )  # fmt: skip

    def fresh(self, p: Tensor, group: Mapping[str, Any]) -> dict[str, Tensor]:
        return {"sum": full_like(p, group["initial_accumulator_value"])}

    def rule(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], group: Group) -> Tensor:
        grad = _decayed(p, grad, group)
        total = state["sum"] + grad * grad
        state["sum"]._rebind(total)
        lr = group.number("lr") / (1 + (state["step"].double() - 1) * group["lr_decay"])
        return p - lr * (grad / (total.sqrt() + group["eps"]))


class Adadelta(Optimizer):
    """Steps in the units of past steps.  https://arxiv.org/abs/1212.5701"""

    buffers = ("square_avg", "acc_delta")

    def __init__(self, params: Iterable[Any], lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0.0, *,
                 maximize: bool = False) -> None:  # fmt: skip
        bounded("Adadelta", lr=(lr, 0, INF), rho=(rho, 0, 1), eps=(eps, 0, INF), weight_decay=(weight_decay, 0, INF))
        super().__init__(params, lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize)

    def rule(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], group: Group) -> Tensor:
        grad = _decayed(p, grad, group)
        rho, eps = group["rho"], group["eps"]
        square = state["square_avg"] * rho + grad * grad * (1 - rho)
        delta = (state["acc_delta"] + eps).sqrt() / (square + eps).sqrt() * grad
        state["square_avg"]._rebind(square)
        state["acc_delta"]._rebind(state["acc_delta"] * rho + delta * delta * (1 - rho))
        return p - delta * group.number("lr")


class RMSprop(Optimizer):
    """Steps divided by the root of the mean squared gradient.  G. Hinton, Neural Networks for Machine Learning, lecture 6e"""

    def __init__(self, params: Iterable[Any], lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0,
                 momentum: float = 0.0, centered: bool = False, *, maximize: bool = False) -> None:  # fmt: skip
        bounded(
            "RMSprop", lr=(lr, 0, INF), alpha=(alpha, 0, INF), eps=(eps, 0, INF), weight_decay=(weight_decay, 0, INF),
            momentum=(momentum, 0, INF),
        )  # fmt: skip
        super().__init__(
            params, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum, centered=centered,
            maximize=maximize,
        )  # fmt: skip

    def wanted(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        more = ("momentum_buffer", "grad_avg")
        return ("square_avg", *[b for b, asked in zip(more, (group["momentum"], group["centered"])) if asked])

    def rule(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], group: Group) -> Tensor:
        grad = _decayed(p, grad, group)
        alpha, lr = group["alpha"], group.number("lr")
        square = state["square_avg"] * alpha + grad * grad * (1 - alpha)
        state["square_avg"]._rebind(square)
        if group["centered"]:
            mean = state["grad_avg"] + (grad - state["grad_avg"]) * (1 - alpha)
            state["grad_avg"]._rebind(mean)
            square = square - mean * mean
        step = grad / (square.sqrt() + group["eps"])
        if "momentum_buffer" in state:
            step = state["momentum_buffer"] * group.number("momentum") + step
            state["momentum_buffer"]._rebind(step)
        return p - step * lr


class Adafactor(Optimizer):
    """Mean squares of matrices kept as one row and one column, steps relative to the parameter's own size.

    https://arxiv.org/abs/1804.04235; without momentum, as in PyTorch.  ``eps`` is (of the squares, of the parameter's size); the
    first is the dtype's own where it is None.  ``d`` is the largest root mean square of an update.
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-2, beta2_decay: float = -0.8,
                 eps: tuple[float | None, float] = (None, 1e-3), d: float = 1.0, weight_decay: float = 0.0, *,
                 maximize: bool = False) -> None:  # fmt: skip
        bounded("Adafactor", lr=(lr, 0, INF), d=(d, 1, INF), weight_decay=(weight_decay, 0, INF))
        bounded("Adafactor", eps1=(eps[0] or 0.0, 0, INF), eps2=(eps[1], 0, INF))
        if beta2_decay > 0:
            raise CandleError(f"Adafactor's beta2_decay is at most 0 but {beta2_decay} was given")
        super().__init__(
            params, lr=lr, beta2_decay=beta2_decay, eps=tuple(eps), d=d, weight_decay=weight_decay, maximize=maximize
        )

    def fresh(self, p: Tensor, group: Mapping[str, Any]) -> dict[str, Tensor]:
        if p.ndim < 2:
            return {"variance": full_like(p, 0)}
        column = p.new_zeros((*p.shape[:-2], 1, p.shape[-1]))
        return {"row_var": p.new_zeros((*p.shape[:-1], 1)), "col_var": column}

    def rule(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], group: Group) -> Tensor:
        step = state["step"].double()
        fresh = step ** group["beta2_decay"]
        least, size = group["eps"]
        least = finfo(p.dtype).eps if least is None else least
        rate = (step**-0.5).minimum(group.number("lr")) * ((p * p).mean().sqrt()).clamp(min=size)
        if group["weight_decay"]:
            p = p * (1 - group.number("lr") * group["weight_decay"])

        def moved(name: str, new: Tensor) -> Tensor:
            state[name]._rebind(state[name] + (new - state[name]) * fresh)
            return state[name]

        if p.ndim < 2:
            variance = moved("variance", grad * grad)
        else:
            squares = grad * grad
            rows, columns = moved("row_var", squares.mean(-1, True)), moved("col_var", squares.mean(-2, True))
            variance = (rows * columns) / rows.mean(-2, True).clamp(min=least)
        update = grad * variance.clamp(min=least * least).rsqrt()
        excess = ((update * update).mean().sqrt() / group["d"]).clamp(min=1.0)
        return p - update * (rate / excess)
