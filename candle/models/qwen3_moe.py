"""Qwen3-MoE: Qwen3 with many small experts.  https://arxiv.org/abs/2505.09388"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..nn import Module
from ..tensor import Tensor
from .mixtral import Mixtral
from .moe import Mixture, stack_experts
from .qwen2_moe import Qwen2MoeConfig
from .qwen3 import Qwen3

__all__ = ["Qwen3Moe", "Qwen3MoeConfig"]


@dataclass
class Qwen3MoeConfig(Qwen2MoeConfig):
    aliases = {"num_local_experts": "num_experts"}

    intermediate_size: int = 6144
    num_attention_heads: int = 32
    num_key_value_heads: int | None = 4
    moe_intermediate_size: int = 768
    num_experts_per_tok: int = 8
    num_experts: int = 128

    def window(self, i: int) -> int | None:
        return self.sliding_window if self.use_sliding_window else None


class Qwen3Moe(Qwen3):
    Config = Qwen3MoeConfig
    gguf = {**Mixtral.gguf, **Qwen3.gguf}

    @classmethod
    def from_gguf(cls, values: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return super().from_gguf({**values, "norm_topk_prob": True}, tensors)

    def mlp(self, c: Any, i: int) -> Module:
        if not c.sparse(i):
            return super().mlp(c, i)
        inner, k = c.moe_intermediate_size, c.num_experts_per_tok
        return Mixture(c.hidden_size, inner, c.hidden_act, c.num_experts, k, c.norm_topk_prob)

    @classmethod
    def sanitize(cls, weights: Mapping[str, Tensor], config: Any, values: Mapping[str, Any]) -> dict[str, Tensor]:
        return stack_experts(super().sanitize(weights, config, values))
