"""The update rules."""

from __future__ import annotations

from typing import Any, Iterable, Mapping

from ..errors import CandleError
from ..tensor import Tensor
from .optimizer import Group, Optimizer

__all__ = ["SGD", "Adam", "AdamW"]


def _check(name: str, **values: tuple[float, float, float]) -> None:
    for what, (value, low, high) in values.items():
        if not low <= value < high:
            raise CandleError(f"{name}'s {what} is from {low} to below {high} but {value} was given")


_INF = float("inf")


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and weight decay (added to the gradient).

    https://proceedings.mlr.press/v28/sutskever13.html
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0.0, dampening: float = 0.0,
                 weight_decay: float = 0.0, nesterov: bool = False, *, maximize: bool = False) -> None:  # fmt: skip
        _check("SGD", lr=(lr, 0, _INF), momentum=(momentum, 0, _INF), weight_decay=(weight_decay, 0, _INF))
        if nesterov and (momentum <= 0 or dampening != 0):
            raise CandleError("SGD's nesterov needs a momentum above 0 and no dampening")
        super().__init__(
            params, lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov, maximize=maximize
        )

    def wanted(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def rule(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], group: Group, lr: Tensor) -> Tensor:
        if group["weight_decay"]:
            grad = grad + p * group["weight_decay"]
        if group["momentum"]:
            buffer = state["momentum_buffer"]
            new = buffer * group["momentum"] + grad * (1 - group["dampening"])
            if group["dampening"]:
                new = grad.where(state["step"] == 1, new)
            buffer._rebind(new)
            grad = grad + new * group["momentum"] if group["nesterov"] else new
        return p - grad * lr


class Adam(Optimizer):
    """Adam, with weight decay added to the gradient.  https://arxiv.org/abs/1412.6980"""

    decoupled = False

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0, amsgrad: bool = False, *, maximize: bool = False) -> None:  # fmt: skip
        name = type(self).__name__
        _check(
            name,
            lr=(lr, 0, _INF),
            beta1=(betas[0], 0, 1),
            beta2=(betas[1], 0, 1),
            eps=(eps, 0, _INF),
            weight_decay=(weight_decay, 0, _INF),
        )
        super().__init__(
            params, lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay, amsgrad=amsgrad, maximize=maximize
        )

    def wanted(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")

    def rule(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], group: Group, lr: Tensor) -> Tensor:
        beta1, beta2 = group["betas"]
        if group["weight_decay"]:
            if self.decoupled:
                p = p * (1 - lr * group["weight_decay"])
            else:
                grad = grad + p * group["weight_decay"]
        step = state["step"].double()
        mean = state["exp_avg"] * beta1 + grad * (1 - beta1)
        square = state["exp_avg_sq"] * beta2 + grad * grad * (1 - beta2)
        state["exp_avg"]._rebind(mean)
        state["exp_avg_sq"]._rebind(square)
        if group["amsgrad"]:
            square = state["max_exp_avg_sq"].maximum(square)
            state["max_exp_avg_sq"]._rebind(square)
        scale = (1 - beta2**step).sqrt()
        return p - (lr / (1 - beta1**step)) * (mean / (square.sqrt() / scale + group["eps"]))


class AdamW(Adam):
    """Adam with weight decay apart from the gradient.  https://arxiv.org/abs/1711.05101"""

    decoupled = True

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.01, amsgrad: bool = False, *, maximize: bool = False) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)
