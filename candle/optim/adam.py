"""Adam and its kin: rules with running means of gradients and of their squares."""

from __future__ import annotations

from typing import Any, Iterable, Mapping

from .. import dtype as dt
from ..create import tensor
from ..tensor import Tensor
from .optimizer import INF, Group, Optimizer, bounded

__all__ = ["Adam", "AdamW", "Adamax", "NAdam", "RAdam"]


class _Moments(Optimizer):
    """What they share: settings, weight decay (added to the gradient, or apart from it), running means."""

    buffers = ("exp_avg", "exp_avg_sq")

    def __init__(self, params: Iterable[Any], lr: float, betas: tuple[float, float], eps: float, weight_decay: float,
                 **more: Any) -> None:  # fmt: skip
        beta1, beta2 = betas
        bounded(
            type(self).__name__, lr=(lr, 0, INF), beta1=(beta1, 0, 1), beta2=(beta2, 0, 1), eps=(eps, 0, INF),
            weight_decay=(weight_decay, 0, INF),
        )  # fmt: skip
        super().__init__(params, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, **more)

    def decoupled(self, group: Group) -> bool:
        """Whether weight decay shrinks the parameter instead of joining the gradient."""
        return bool(group["decoupled_weight_decay"]) if "decoupled_weight_decay" in group else False

    def decayed(self, p: Tensor, grad: Tensor, group: Group) -> tuple[Tensor, Tensor]:
        """The parameter and its gradient after weight decay."""
        decay = group["weight_decay"]
        if not decay:
            return p, grad
        if self.decoupled(group):
            return p * (1 - group.number("lr") * decay), grad
        return p, grad + p * decay

    def averaged(self, grad: Tensor, state: dict[str, Tensor], group: Group) -> tuple[Tensor, Tensor]:
        """The running means with this gradient taken in."""
        beta1, beta2 = group.betas
        mean = state["exp_avg"] * beta1 + grad * (1 - beta1)
        square = state["exp_avg_sq"] * beta2 + grad * grad * (1 - beta2)
        state["exp_avg"]._rebind(mean)
        state["exp_avg_sq"]._rebind(square)
        return mean, square


class Adam(_Moments):
    """Adam, with weight decay added to the gradient.  https://arxiv.org/abs/1412.6980"""

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0, amsgrad: bool = False, *, maximize: bool = False) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad=amsgrad, maximize=maximize)

    def wanted(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        return (*self.buffers, "max_exp_avg_sq") if group["amsgrad"] else self.buffers

    def rule(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], group: Group) -> Tensor:
        p, grad = self.decayed(p, grad, group)
        (beta1, beta2), step = group.betas, state["step"].double()
        mean, square = self.averaged(grad, state, group)
        if group["amsgrad"]:
            square = state["max_exp_avg_sq"].maximum(square)
            state["max_exp_avg_sq"]._rebind(square)
        scale = (1 - beta2**step).sqrt()
        return p - (group.number("lr") / (1 - beta1**step)) * (mean / (square.sqrt() / scale + group["eps"]))


class AdamW(Adam):
    """Adam with weight decay apart from the gradient.  https://arxiv.org/abs/1711.05101"""

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.01, amsgrad: bool = False, *, maximize: bool = False) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)

    def decoupled(self, group: Group) -> bool:
        return True


class Adamax(_Moments):
    """Adam by the largest gradient instead of the mean square.  https://arxiv.org/abs/1412.6980, section 7.1"""

    buffers = ("exp_avg", "exp_inf")

    def __init__(self, params: Iterable[Any], lr: float = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0, *, maximize: bool = False) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, maximize=maximize)

    def rule(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], group: Group) -> Tensor:
        p, grad = self.decayed(p, grad, group)
        beta1, beta2 = group.betas
        mean = state["exp_avg"] * beta1 + grad * (1 - beta1)
        largest = (state["exp_inf"] * beta2).maximum(grad.abs() + group["eps"])
        state["exp_avg"]._rebind(mean)
        state["exp_inf"]._rebind(largest)
        return p - (group.number("lr") / (1 - beta1 ** state["step"].double())) * (mean / largest)


class NAdam(_Moments):
    """Adam with Nesterov's momentum.  https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ"""

    def __init__(self, params: Iterable[Any], lr: float = 2e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0, momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, *,
                 maximize: bool = False) -> None:  # fmt: skip
        bounded("NAdam", momentum_decay=(momentum_decay, 0, INF))
        super().__init__(
            params, lr, betas, eps, weight_decay, momentum_decay=momentum_decay, decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
        )  # fmt: skip

    def fresh(self, p: Tensor, group: Mapping[str, Any]) -> dict[str, Tensor]:
        return {**super().fresh(p, group), "mu_product": tensor(1.0, dtype=dt.float64, device=p.backend)}

    def rule(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], group: Group) -> Tensor:
        p, grad = self.decayed(p, grad, group)
        (beta1, beta2), step = group.betas, state["step"].double()
        now, then = (beta1 * (1 - 0.5 * 0.96 ** (n * group["momentum_decay"])) for n in (step, step + 1))
        product = state["mu_product"] * now
        state["mu_product"]._rebind(product)
        mean, square = self.averaged(grad, state, group)
        root = (square / (1 - beta2**step)).sqrt() + group["eps"]
        lr = group.number("lr")
        return p - (lr * (1 - now) / (1 - product)) * (grad / root) - (lr * then / (1 - product * then)) * (mean / root)


class RAdam(_Moments):
    """Adam that warms up by the variance of its own step size.  https://arxiv.org/abs/1908.03265"""

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.0, decoupled_weight_decay: bool = False, *, maximize: bool = False) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, decoupled_weight_decay=decoupled_weight_decay, maximize=maximize)

    def rule(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], group: Group) -> Tensor:
        p, grad = self.decayed(p, grad, group)
        (beta1, beta2), step = group.betas, state["step"].double()
        mean, square = self.averaged(grad, state, group)
        left = 1 - beta2**step
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * step * beta2**step / left  # of the average that the mean square amounts to
        known = length > 5
        shrunk = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
        rectified = shrunk.where(known, 1.0).sqrt() * left.sqrt() / (square.sqrt() + group["eps"])
        return p - (mean / (1 - beta1**step)) * group.number("lr") * rectified.where(known, 1.0)
