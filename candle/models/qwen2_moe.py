"""Qwen2-MoE: Qwen2 with many small experts and a shared one behind a gate.  https://arxiv.org/abs/2407.10671"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..nn import Module
from ..tensor import Tensor
from .decoder import SelfAttention
from .mixtral import Mixtral
from .moe import Mixture, stack_experts
from .qwen2 import Qwen2, Qwen2Config

__all__ = ["Qwen2Moe", "Qwen2MoeConfig"]


@dataclass
class Qwen2MoeConfig(Qwen2Config):
    hidden_size: int = 2048
    intermediate_size: int = 5632
    num_hidden_layers: int = 24
    num_attention_heads: int = 16
    num_key_value_heads: int | None = 16
    decoder_sparse_step: int = 1
    moe_intermediate_size: int = 1408
    shared_expert_intermediate_size: int = 5632
    num_experts_per_tok: int = 4
    num_experts: int = 60
    norm_topk_prob: bool = False
    mlp_only_layers: Any = None
    qkv_bias: bool = True

    def sparse(self, i: int) -> bool:
        """Whether layer i has experts."""
        return i not in (self.mlp_only_layers or ()) and self.num_experts > 0 and (i + 1) % self.decoder_sparse_step == 0


class Qwen2Moe(Qwen2):
    Config = Qwen2MoeConfig
    gguf = {
        **Mixtral.gguf,
        "blk.N.ffn_gate_inp_shexp": "model.layers.N.mlp.shared_expert_gate",
        "blk.N.ffn_gate_shexp": "model.layers.N.mlp.shared_expert.gate_proj",
        "blk.N.ffn_up_shexp": "model.layers.N.mlp.shared_expert.up_proj",
        "blk.N.ffn_down_shexp": "model.layers.N.mlp.shared_expert.down_proj",
    }

    @classmethod
    def from_gguf(cls, values: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        values, tensors = super().from_gguf(values, tensors)
        for name in [k for k in tensors if k.endswith("ffn_gate_inp_shexp.weight") and tensors[k].ndim == 1]:
            tensors[name] = tensors[name].unsqueeze(0)
        return values, tensors

    def attention(self, c: Any, i: int) -> Module:
        return SelfAttention(c, i, bias=c.qkv_bias, out_bias=False, rope=self.rope, window=c.window(i))

    def mlp(self, c: Any, i: int) -> Module:
        if not c.sparse(i):
            return super().mlp(c, i)
        inner, k = c.moe_intermediate_size, c.num_experts_per_tok
        shared = ("shared_expert", c.shared_expert_intermediate_size, True)
        return Mixture(c.hidden_size, inner, c.hidden_act, c.num_experts, k, c.norm_topk_prob, shared=shared)

    @classmethod
    def sanitize(cls, weights: Mapping[str, Tensor], config: Any, values: Mapping[str, Any]) -> dict[str, Tensor]:
        return stack_experts(super().sanitize(weights, config, values))
