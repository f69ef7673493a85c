"""Phi-3 and Phi-4-mini: Llama with fused projections and, for long texts, stretched rotation.  https://arxiv.org/abs/2404.14219"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import Module
from .decoder import FusedAttention, FusedGatedMLP
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


class Phi3(Llama):
    Config = Phi3Config

    def attention(self, c: Any, i: int) -> Module:
        return FusedAttention(c, i, ("qkv_proj", "o_proj"), False, False, rope=self.rope, window=c.sliding_window)

    def mlp(self, c: Any, i: int) -> Module:
        return FusedGatedMLP(c.hidden_size, c.intermediate_size, c.hidden_act)
