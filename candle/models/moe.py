"""Mixtures of experts: a router that picks a few feed-forward blocks for each token.  https://arxiv.org/abs/1701.06538"""

from __future__ import annotations

import re
from typing import Mapping

from ..nn import Linear, Module, Parameter, init
from ..nn import functional as F
from ..op import OPS
from ..tensor import Tensor
from .decoder import GatedMLP
from .settings import activation

__all__ = ["Experts", "Mixture", "route", "stack_experts"]


class Experts(Module):
    """Gated feed-forward blocks whose weights are stacked, ``[experts, out, in]``."""

    def __init__(self, experts: int, width: int, inner: int, act: str) -> None:
        super().__init__()
        self.act = activation(act)
        self.gate_proj = Parameter(init.blank(experts, inner, width))
        self.up_proj = Parameter(init.blank(experts, inner, width))
        self.down_proj = Parameter(init.blank(experts, width, inner))

    def forward(self, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """x ``[t, d]`` through the experts int[t, k] of each row, summed by weights T[t, k]."""
        t, k = chosen.shape
        linear = F.grouped_linear
        rows = x.unsqueeze(1).expand((t, k, x.shape[1])).reshape((t * k, x.shape[1]))
        ids = chosen.reshape((t * k,))
        y = linear(self.act(linear(rows, self.gate_proj, ids)) * linear(rows, self.up_proj, ids), self.down_proj, ids)
        return (y.reshape((t, k, x.shape[1])) * weights.unsqueeze(-1)).sum(1)


def route(
    logits: Tensor, k: int, normed: bool, factor: float = 1.0, groups: tuple[int, int] | None = None
) -> tuple[Tensor, Tensor]:
    """Weights float[t, k] and numbers int[t, k] of the k likeliest experts, by a softmax of logits ``[t, experts]``.

    ``normed`` weights sum to one; ``groups`` (of how many, how many) first picks the groups with the likeliest expert.
    """
    p = logits.float().softmax(-1)
    scores = p
    if groups is not None:
        t, n = p.shape
        best = p.reshape((t, groups[0], n // groups[0])).amax(dim=-1)
        least = best.topk(groups[1], -1)[0].amin(dim=-1, keepdim=True)
        kept = (best >= least).unsqueeze(-1).expand((t, groups[0], n // groups[0])).reshape((t, n))
        scores = OPS["where"](kept, p, 0)
    weights, chosen = scores.topk(k, -1)
    if normed:
        weights = weights / weights.sum(-1, keepdim=True)
    return weights if factor == 1.0 else weights * factor, chosen


class Mixture(Module):
    """A router ``gate`` and its ``experts``.

    ``shared`` (name, inner width, whether it is gated) is one more, which every token goes through.
    """

    def __init__(
        self,
        width: int,
        inner: int,
        act: str,
        experts: int,
        k: int,
        normed: bool,
        factor: float = 1.0,
        groups: tuple[int, int] | None = None,
        shared: tuple[str, int, bool] | None = None,
    ) -> None:
        super().__init__()
        self.k, self.normed, self.factor, self.groups = k, normed, factor, groups
        self.gate = Linear(width, experts, bias=False)
        self.experts = Experts(experts, width, inner, act)
        self.shared = shared
        if shared is not None:
            setattr(self, shared[0], GatedMLP(width, shared[1], act))
            if shared[2]:
                self.shared_expert_gate = Linear(width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape((-1, x.shape[-1]))
        weights, chosen = route(self.gate(rows), self.k, self.normed, self.factor, self.groups)
        y = self.experts(rows, chosen, weights.to(dtype=x.dtype))
        if self.shared is not None:
            common = getattr(self, self.shared[0])(rows)
            y = y + (common * self.shared_expert_gate(rows).sigmoid() if self.shared[2] else common)
        return y.reshape(x.shape)


_PARTS = {"w1": "gate_proj", "w3": "up_proj", "w2": "down_proj"}


def stack_experts(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's experts, one by one or gate and up in one, as ``Experts`` has them."""
    found: dict[str, Tensor] = {}
    parts: dict[str, dict[int, Tensor]] = {}
    for name, w in weights.items():
        one = re.fullmatch(r"(.*\.experts)\.(\d+)\.(gate_proj|up_proj|down_proj|w1|w2|w3)\.weight", name)
        if one:
            key = f"{one[1]}.{_PARTS.get(one[3], one[3])}"
            parts.setdefault(key, {})[int(one[2])] = w
        elif name.endswith(".experts.gate_up_proj"):
            base = name.removesuffix("gate_up_proj")
            found[base + "gate_proj"], found[base + "up_proj"] = w.chunk(2, 1)
        else:
            found[name] = w
    for key, numbered in parts.items():
        found[key] = OPS["stack"](*[numbered[i] for i in sorted(numbered)], dim=0)
    return found
