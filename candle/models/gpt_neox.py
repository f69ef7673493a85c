"""GPT-NeoX and Pythia: attention and feed-forward side by side, a quarter of each head turned.  https://arxiv.org/abs/2204.06745"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import LayerNorm, Module
from .decoder import MLP, Block, CausalLM, DecoderConfig, FusedAttention, Names

__all__ = ["GptNeox", "GptNeoxConfig"]


@dataclass
class GptNeoxConfig(DecoderConfig):
    shared_keys = False
    partial_rotary = 0.25

    vocab_size: int = 50432
    hidden_size: int = 6144
    num_hidden_layers: int = 44
    num_attention_heads: int = 64
    intermediate_size: int = 24576
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-5
    use_parallel_residual: bool = True
    attention_bias: bool = True
    eos_token_id: Any = 2


class GptNeox(CausalLM):
    Config = GptNeoxConfig
    names = Names("gpt_neox", "embed_in", "layers", "final_layer_norm", "embed_out")

    def norm(self, c: Any) -> Module:
        return LayerNorm(c.hidden_size, eps=c.layer_norm_eps)

    def block(self, c: Any, i: int) -> Module:
        attention = FusedAttention(c, i, ("query_key_value", "dense"), True, c.attention_bias, rope=self.rope)
        mlp = MLP(c.hidden_size, c.intermediate_size, c.hidden_act, ("dense_h_to_4h", "dense_4h_to_h"))
        return Block(
            ("input_layernorm", self.norm(c)),
            ("attention", attention),
            ("post_attention_layernorm", self.norm(c)),
            ("mlp", mlp),
            parallel=c.use_parallel_residual,
        )
