"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any, Iterable, Mapping

from ..errors import CandleError
from ..tensor import Tensor
from .optimizer import INF, Group, Optimizer, bounded

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and weight decay (added to the gradient).

    https://proceedings.mlr.press/v28/sutskever13.html
    """

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, momentum: float = 0.0, dampening: float = 0.0,
                 weight_decay: float = 0.0, nesterov: bool = False, *, maximize: bool = False) -> None:  # fmt: skip
        bounded("SGD", lr=(lr, 0, INF), momentum=(momentum, 0, INF), weight_decay=(weight_decay, 0, INF))
        if nesterov and (momentum <= 0 or dampening != 0):
            raise CandleError("SGD's nesterov needs a momentum above 0 and no dampening")
        super().__init__(
            params, lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov, maximize=maximize
        )

    def wanted(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def rule(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], group: Group) -> Tensor:
        if group["weight_decay"]:
            grad = grad + p * group["weight_decay"]
        if "momentum_buffer" in state:
            momentum = group.number("momentum")
            new = state["momentum_buffer"] * momentum + grad * (1 - group["dampening"])
            if group["dampening"]:
                new = grad.where(state["step"] == 1, new)
            state["momentum_buffer"]._rebind(new)
            grad = grad + new * momentum if group["nesterov"] else new
        return p - grad * group.number("lr")
