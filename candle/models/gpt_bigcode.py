"""StarCoder (GPT-BigCode): GPT-2 whose heads share one key and value.  https://arxiv.org/abs/2305.06161"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import Linear, Module
from .decoder import FusedAttention
from .gpt2 import Gpt2, Gpt2Config

__all__ = ["GptBigcode", "GptBigcodeConfig"]


@dataclass
class GptBigcodeConfig(Gpt2Config):
    hidden_act: str = "gelu_pytorch_tanh"
    multi_query: bool = True


class GptBigcode(Gpt2):
    Config = GptBigcodeConfig
    linear = Linear

    def attention(self, c: Any, i: int) -> Module:
        groups = 1 if c.multi_query else c.num_attention_heads
        return FusedAttention(c, i, ("c_attn", "c_proj"), not c.multi_query, True, groups=groups, scale=c.scale(i))
