"""LFM2: short gated convolutions, and attention with normed queries and keys in some layers.  https://www.liquid.ai/blog/liquid-foundation-models-v2-our-second-series-of-generative-ai-models"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import Linear, Module, RMSNorm
from ..tensor import Tensor
from .caching import State
from .decoder import Block, CausalLM, DecoderConfig, GatedMLP, Names, SelfAttention, Step
from .recurrence import CausalConv

__all__ = ["Lfm2", "Lfm2Config"]


@dataclass
class Lfm2Config(DecoderConfig):
    rope_theta = 1_000_000.0
    aliases = {"tie_embedding": "tie_word_embeddings", "block_ff_dim": "intermediate_size"}

    vocab_size: int = 65536
    hidden_size: int = 2560
    intermediate_size: int = 12288
    num_key_value_heads: int | None = 8
    max_position_embeddings: int | None = 128000
    norm_eps: float = 1e-5
    tie_word_embeddings: bool = True
    conv_bias: bool = False
    conv_L_cache: int = 3
    block_multiple_of: int = 256
    block_ffn_dim_multiplier: float | None = 1.0
    block_auto_adjust_ff_dim: bool = True
    full_attn_idxs: Any = None
    layer_types: Any = None
    bos_token_id: Any = 1
    eos_token_id: Any = 2
    pad_token_id: Any = 0

    def kind(self, i: int) -> str:
        """Whether layer i is a "conv" or has "full_attention"."""
        full = range(self.num_hidden_layers) if self.full_attn_idxs is None else self.full_attn_idxs
        return self.kinds(self.layer_types, lambda j: "full_attention" if j in full else "conv", ("conv", "full_attention"))[i]

    @property
    def inner(self) -> int:
        n = self.intermediate_size
        if self.block_auto_adjust_ff_dim:
            n = int(2 * n / 3)
            if self.block_ffn_dim_multiplier is not None:
                n = int(self.block_ffn_dim_multiplier * n)
                n = self.block_multiple_of * -(-n // self.block_multiple_of)
        return n


class ShortConv(Module):
    """c conv(b x): three parts of one map, two of them gates."""

    def __init__(self, c: Any, i: int) -> None:
        super().__init__()
        d = c.hidden_size
        self.layer = i
        self.conv = CausalConv(d, c.conv_L_cache, c.conv_bias)
        self.in_proj = Linear(d, 3 * d, bias=c.conv_bias)
        self.out_proj = Linear(d, d, bias=c.conv_bias)

    def memory(self, batch: int, capacity: int, dtype: Any, device: Any) -> State:
        return State({"conv": self.conv.shape(batch)}, dtype, device)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        before, after, x = self.in_proj(step.zero_padding(x)).chunk(3, -1)
        return self.out_proj(after * self.conv(step.zero_padding(before * x), step.memory(self.layer)))


class Attention(SelfAttention):
    def __init__(self, c: Any, i: int, rope: Any) -> None:
        super().__init__(c, i, rope=rope, out="out_proj")
        self.q_layernorm = RMSNorm(self.width, eps=c.norm_eps)
        self.k_layernorm = RMSNorm(self.width, eps=c.norm_eps)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, *rest: Any) -> Tensor:
        return super().attend(self.q_layernorm(q), self.k_layernorm(k), v, *rest)


class Lfm2(CausalLM):
    Config = Lfm2Config
    names = Names(norm="embedding_norm")

    def norm(self, c: Any) -> Module:
        return RMSNorm(c.hidden_size, eps=c.norm_eps)

    def block(self, c: Any, i: int) -> Module:
        mixer = ("conv", ShortConv(c, i)) if c.kind(i) == "conv" else ("self_attn", Attention(c, i, self.rope))
        mlp = GatedMLP(c.hidden_size, c.inner, "silu", names=("w1", "w3", "w2"))
        return Block(("operator_norm", self.norm(c)), mixer, ("ffn_norm", self.norm(c)), ("feed_forward", mlp))
