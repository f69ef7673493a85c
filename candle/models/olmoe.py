"""OLMoE: OLMo with experts, and norms over all queries and keys.  https://arxiv.org/abs/2409.02060"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..nn import Module, RMSNorm
from ..tensor import Tensor
from .decoder import SelfAttention
from .llama import Llama, LlamaConfig
from .moe import Mixture, stack_experts

__all__ = ["Olmoe", "OlmoeConfig"]


@dataclass
class OlmoeConfig(LlamaConfig):
    aliases = {"num_local_experts": "num_experts"}

    vocab_size: int = 50304
    hidden_size: int = 2048
    intermediate_size: int = 2048
    num_hidden_layers: int = 16
    num_attention_heads: int = 16
    max_position_embeddings: int | None = 4096
    rms_norm_eps: float = 1e-5
    clip_qkv: float | None = None
    num_experts_per_tok: int = 8
    num_experts: int = 64
    norm_topk_prob: bool = False
    eos_token_id: Any = 50279
    pad_token_id: Any = 1


class Olmoe(Llama):
    Config = OlmoeConfig

    def attention(self, c: Any, i: int) -> Module:
        def norm(width: int) -> Module:
            return RMSNorm(width, eps=c.rms_norm_eps)

        return SelfAttention(c, i, bias=c.attention_bias, rope=self.rope, whole_norm=norm, clip=c.clip_qkv)

    def mlp(self, c: Any, i: int) -> Module:
        return Mixture(c.hidden_size, c.intermediate_size, c.hidden_act, c.num_experts, c.num_experts_per_tok, c.norm_topk_prob)

    @classmethod
    def sanitize(cls, weights: Mapping[str, Tensor], config: Any, values: Mapping[str, Any]) -> dict[str, Tensor]:
        return stack_experts(super().sanitize(weights, config, values))
