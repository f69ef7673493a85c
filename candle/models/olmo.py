"""OLMo: Llama with norms that have no weights and, if asked, bounded queries, keys and values.  https://arxiv.org/abs/2402.00838"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import LayerNorm, Module
from .decoder import SelfAttention
from .llama import Llama, LlamaConfig

__all__ = ["Olmo", "OlmoConfig"]


@dataclass
class OlmoConfig(LlamaConfig):
    vocab_size: int = 50304
    clip_qkv: float | None = None
    eos_token_id: Any = 50279
    pad_token_id: Any = 1


class Olmo(Llama):
    Config = OlmoConfig

    def norm(self, c: Any) -> Module:
        return LayerNorm(c.hidden_size, eps=1e-5, elementwise_affine=False)

    def attention(self, c: Any, i: int) -> Module:
        return SelfAttention(c, i, bias=c.attention_bias, rope=self.rope, clip=c.clip_qkv)
