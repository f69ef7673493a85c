"""Muon: momentum made orthogonal, for the matrices inside a network."""

from __future__ import annotations

from typing import Any, Iterable

from ..errors import CandleError
from ..tensor import Tensor
from .optimizer import INF, Group, Optimizer, bounded

__all__ = ["Muon"]


def orthogonalized(x: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """A matrix near the orthogonal factor of x[n,m]: its singular values are brought near 1 by an odd polynomial, repeated.

    Newton-Schulz iteration; https://kellerjordan.github.io/posts/muon/
    """
    a, b, c = coefficients
    tall = x.shape[0] > x.shape[1]
    y = x.T if tall else x
    y = y / (y * y).sum().sqrt().clamp(min=eps)
    for _ in range(steps):
        gram = y @ y.T
        y = y * a + (gram * b + (gram @ gram) * c) @ y
    return y.T if tall else y


class Muon(Optimizer):
    """Nesterov momentum whose update is made orthogonal, with weight decay apart; for matrices only.

    https://kellerjordan.github.io/posts/muon/ and, for ``adjust_lr_fn="match_rms_adamw"``, https://arxiv.org/abs/2502.16982.
    Computes in the parameters' dtype (float32 for halves).  Give embeddings, heads, biases and norms to AdamW.
    """

    buffers = ("momentum_buffer",)

    def __init__(self, params: Iterable[Any], lr: float = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95,
                 nesterov: bool = True, ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
                 eps: float = 1e-7, ns_steps: int = 5, adjust_lr_fn: str | None = None) -> None:  # fmt: skip
        bounded(
            "Muon", lr=(lr, 0, INF), weight_decay=(weight_decay, 0, INF), momentum=(momentum, 0, INF), ns_steps=(ns_steps, 0, 100)
        )
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise CandleError(f"Muon's adjust_lr_fn is 'original' or 'match_rms_adamw' but {adjust_lr_fn!r} was given")
        super().__init__(
            params, lr=lr, weight_decay=weight_decay, momentum=momentum, nesterov=nesterov, eps=eps, ns_steps=ns_steps,
            ns_coefficients=tuple(ns_coefficients), adjust_lr_fn=adjust_lr_fn or "original",
        )  # fmt: skip
        for p in self._params():
            if p.ndim != 2:
                raise CandleError(f"Muon takes matrices but was given {p.spec}; give it to another optimiser, such as AdamW")

    def rule(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], group: Group) -> Tensor:
        momentum, lr = group.number("momentum"), group.number("lr")
        buffer = state["momentum_buffer"] * momentum + grad * (1 - momentum)
        state["momentum_buffer"]._rebind(buffer)
        update = grad + (buffer - grad) * momentum if group["nesterov"] else buffer
        update = orthogonalized(
            update.float() if p.itemsize < 4 else update, group["ns_coefficients"], group["ns_steps"], group["eps"]
        )
        n, m = p.shape
        scale = 0.2 * max(n, m) ** 0.5 if group["adjust_lr_fn"] == "match_rms_adamw" else max(1.0, n / max(m, 1)) ** 0.5
        return p * (1 - lr * group["weight_decay"]) - update * (lr * scale)
