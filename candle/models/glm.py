"""GLM-4: Llama with fused gates, biases on queries, keys and values, and half of each head turned.  https://arxiv.org/abs/2406.12793"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import Module
from .decoder import FusedGatedMLP, SelfAttention
from .llama import Llama, LlamaConfig
from .rotary import rope_of

__all__ = ["Glm", "GlmConfig"]


@dataclass
class GlmConfig(LlamaConfig):
    partial_rotary = 0.5

    vocab_size: int = 151552
    intermediate_size: int = 13696
    num_hidden_layers: int = 40
    num_key_value_heads: int | None = 2
    head_dim: int | None = 128
    max_position_embeddings: int | None = 131072
    rms_norm_eps: float = 1.5625e-07
    attention_bias: bool = True
    pad_token_id: Any = 151329


class Glm(Llama):
    Config = GlmConfig

    def make_rope(self, c: Any) -> Any:
        return rope_of(c.rope, c.width, interleaved=True)

    def attention(self, c: Any, i: int) -> Module:
        return SelfAttention(c, i, bias=c.attention_bias, out_bias=False, rope=self.rope)

    def mlp(self, c: Any, i: int) -> Module:
        return FusedGatedMLP(c.hidden_size, c.intermediate_size, c.hidden_act)
