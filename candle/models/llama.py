"""Llama: RMS norms, rotary positions, grouped keys and gated feed-forward blocks.  https://arxiv.org/abs/2302.13971

Llama 1 to 3.2, Yi, Solar, SmolLM, TinyLlama and others are this by their configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import Module
from .decoder import Block, CausalLM, DecoderConfig, GatedMLP, SelfAttention

__all__ = ["Llama", "LlamaConfig"]


@dataclass
class LlamaConfig(DecoderConfig):
    rms_norm_eps: float = 1e-6
    attention_bias: bool = False
    mlp_bias: bool = False


class Llama(CausalLM):
    Config = LlamaConfig

    def attention(self, c: Any, i: int) -> Module:
        return SelfAttention(c, i, bias=c.attention_bias, rope=self.rope)

    def mlp(self, c: Any, i: int) -> Module:
        return GatedMLP(c.hidden_size, c.intermediate_size, c.hidden_act, getattr(c, "mlp_bias", False))

    def block(self, c: Any, i: int) -> Module:
        return Block(
            ("input_layernorm", self.norm(c)),
            ("self_attn", self.attention(c, i)),
            ("post_attention_layernorm", self.norm(c)),
            ("mlp", self.mlp(c, i)),
        )
