"""Lion: steps of one size in the direction of a momentum's sign."""

from __future__ import annotations

from typing import Any, Iterable

from ..tensor import Tensor
from .optimizer import INF, Group, Optimizer, bounded

__all__ = ["Lion"]


class Lion(Optimizer):
    """The sign of an interpolated momentum, with weight decay apart from the gradient.  https://arxiv.org/abs/2302.06675"""

    buffers = ("exp_avg",)

    def __init__(self, params: Iterable[Any], lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99),
                 weight_decay: float = 0.0, *, maximize: bool = False) -> None:  # fmt: skip
        bounded("Lion", lr=(lr, 0, INF), beta1=(betas[0], 0, 1), beta2=(betas[1], 0, 1), weight_decay=(weight_decay, 0, INF))
        super().__init__(params, lr=lr, betas=tuple(betas), weight_decay=weight_decay, maximize=maximize)

    def rule(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], group: Group) -> Tensor:
        (beta1, beta2), mean, lr = group.betas, state["exp_avg"], group.number("lr")
        direction = (mean * beta1 + grad * (1 - beta1)).sign()
        state["exp_avg"]._rebind(mean * beta2 + grad * (1 - beta2))
        return p * (1 - lr * group["weight_decay"]) - direction * lr
