"""StarCoder (GPT-BigCode): GPT-2 whose heads share one key and value.  https://arxiv.org/abs/2305.06161"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import Module
from ..tensor import Tensor
from .decoder import FusedAttention
from .gpt2 import Gpt2, Gpt2Config

__all__ = ["GptBigcode", "GptBigcodeConfig"]


@dataclass
class GptBigcodeConfig(Gpt2Config):
    hidden_act: str = "gelu_pytorch_tanh"
    multi_query: bool = True
    transposed: bool = False


class GptBigcode(Gpt2):
    Config = GptBigcodeConfig

    @classmethod
    def from_gguf(cls, values: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        values, tensors = super().from_gguf(values, tensors)
        return {**values, "multi_query": tensors["blk.0.attn_qkv.weight"].shape[0] < 3 * values["hidden_size"]}, tensors

    def attention(self, c: Any, i: int) -> Module:
        groups = 1 if c.multi_query else c.num_attention_heads
        return FusedAttention(c, i, ("c_attn", "c_proj"), not c.multi_query, True, groups=groups, scale=c.scale(i))
