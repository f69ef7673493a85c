"""CodeGen: attention and feed-forward side by side behind one norm, neighbours turned together.  https://arxiv.org/abs/2203.13474"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import LayerNorm, Linear, Module
from ..tensor import Tensor
from .decoder import MLP, Attention, Block, CausalLM, Names, Step, split_heads
from .gpt2 import Gpt2Config
from .rotary import rope_of

__all__ = ["Codegen", "CodegenConfig"]

_SHARDS = 4  # the fused map's rows are those of four parts that were trained apart


@dataclass
class CodegenConfig(Gpt2Config):
    vocab_size: int = 50400
    hidden_size: int = 4096
    num_hidden_layers: int = 28
    num_attention_heads: int = 16
    max_position_embeddings: int | None = 2048
    rotary_dim: int | None = 64
    tie_word_embeddings: bool = False


class ShardedAttention(Attention):
    def __init__(self, c: Any, i: int, rope: Any) -> None:
        super().__init__(i, c.num_attention_heads, c.num_attention_heads, c.width, rope)
        self.qkv_proj = Linear(c.hidden_size, 3 * c.hidden_size, bias=False)
        self.out_proj = Linear(c.hidden_size, c.hidden_size, bias=False)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        b, n, d = x.shape
        parts = self.qkv_proj(x).reshape((b, n, _SHARDS, 3, d // _SHARDS))
        q, v, k = (split_heads(parts[:, :, :, i].reshape((b, n, d)), self.heads) for i in range(3))
        return self.out_proj(self.attend(q, k, v, step))


class Codegen(CausalLM):
    Config = CodegenConfig
    names = Names("transformer", "wte", "h", "ln_f")
    head_bias = True

    def make_rope(self, c: Any) -> Any:
        return rope_of(c.rope, c.rotary_dim or c.width, interleaved=True)

    def norm(self, c: Any) -> Module:
        return LayerNorm(c.hidden_size, eps=c.layer_norm_epsilon)

    def block(self, c: Any, i: int) -> Module:
        inner = 4 * c.hidden_size if c.n_inner is None else c.n_inner
        mlp = MLP(c.hidden_size, inner, c.hidden_act, ("fc_in", "fc_out"))
        return Block(("ln_1", self.norm(c)), ("attn", ShardedAttention(c, i, self.rope)), None, ("mlp", mlp), parallel=True)
