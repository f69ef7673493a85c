"""Phi-3 and Phi-4-mini: Llama with fused projections and, for long texts, stretched rotation.  https://arxiv.org/abs/2404.14219"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import Linear, Module
from ..tensor import Tensor
from .decoder import Attention, FusedGatedMLP, Step, split_heads
from .llama import Llama, LlamaConfig

__all__ = ["Phi3", "Phi3Config"]


@dataclass
class Phi3Config(LlamaConfig):
    vocab_size: int = 32064
    hidden_size: int = 3072
    intermediate_size: int = 8192
    max_position_embeddings: int | None = 4096
    rms_norm_eps: float = 1e-5
    sliding_window: int | None = None
    eos_token_id: Any = 32000
    pad_token_id: Any = 32000

    @classmethod
    def from_dict(cls, values: Any) -> Any:
        return super().from_dict({"original_max_position_embeddings": 4096, **values})


class FusedAttention(Attention):
    def __init__(self, c: Any, i: int, rope: Any) -> None:
        super().__init__(i, c.num_attention_heads, c.kv_heads, c.width, rope, window=c.sliding_window)
        self.qkv_proj = Linear(c.hidden_size, (self.heads + 2 * self.groups) * self.width, bias=False)
        self.o_proj = Linear(self.heads * self.width, c.hidden_size, bias=False)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        q, k, v = self.qkv_proj(x).split([self.heads * self.width, *[self.groups * self.width] * 2], -1)
        y = self.attend(split_heads(q, self.heads), split_heads(k, self.groups), split_heads(v, self.groups), step)
        return self.o_proj(y)


class Phi3(Llama):
    Config = Phi3Config

    def attention(self, c: Any, i: int) -> Module:
        return FusedAttention(c, i, self.rope)

    def mlp(self, c: Any, i: int) -> Module:
        return FusedGatedMLP(c.hidden_size, c.intermediate_size, c.hidden_act)
