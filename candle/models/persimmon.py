"""Persimmon: squared ReLUs, normed queries and keys, half of each head turned.  https://www.adept.ai/blog/persimmon-8b"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import LayerNorm, Module
from ..tensor import Tensor
from .decoder import MLP, Block, CausalLM, DecoderConfig, FusedAttention, Names

__all__ = ["Persimmon", "PersimmonConfig"]


@dataclass
class PersimmonConfig(DecoderConfig):
    shared_keys = False
    partial_rotary = 0.5

    vocab_size: int = 262144
    intermediate_size: int = 16384
    num_hidden_layers: int = 36
    num_attention_heads: int = 64
    hidden_act: str = "relu2"
    max_position_embeddings: int | None = 16384
    layer_norm_eps: float = 1e-5
    qk_layernorm: bool = True
    eos_token_id: Any = 2


class NormedAttention(FusedAttention):
    def __init__(self, c: Any, i: int, rope: Any) -> None:
        super().__init__(c, i, ("query_key_value", "dense"), True, True, rope=rope)
        self.q_layernorm = LayerNorm(self.width, eps=c.layer_norm_eps) if c.qk_layernorm else None
        self.k_layernorm = LayerNorm(self.width, eps=c.layer_norm_eps) if c.qk_layernorm else None

    def normed(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        if self.q_layernorm is None or self.k_layernorm is None:
            return q, k
        return self.q_layernorm(q), self.k_layernorm(k)


class Persimmon(CausalLM):
    Config = PersimmonConfig
    names = Names(norm="final_layernorm")

    def norm(self, c: Any) -> Module:
        return LayerNorm(c.hidden_size, eps=c.layer_norm_eps)

    def block(self, c: Any, i: int) -> Module:
        return Block(
            ("input_layernorm", self.norm(c)),
            ("self_attn", NormedAttention(c, i, self.rope)),
            ("post_attention_layernorm", self.norm(c)),
            ("mlp", MLP(c.hidden_size, c.intermediate_size, c.hidden_act, ("dense_h_to_4h", "dense_4h_to_h"))),
        )
