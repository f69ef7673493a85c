"""Mistral: Llama whose tokens see a window of those before them.  https://arxiv.org/abs/2310.06825"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import Module
from .decoder import SelfAttention
from .llama import Llama, LlamaConfig

__all__ = ["Mistral", "MistralConfig"]


@dataclass
class MistralConfig(LlamaConfig):
    intermediate_size: int = 14336
    num_key_value_heads: int | None = 8
    max_position_embeddings: int | None = 131072
    sliding_window: int | None = 4096


class Mistral(Llama):
    Config = MistralConfig

    def attention(self, c: Any, i: int) -> Module:
        return SelfAttention(c, i, rope=self.rope, window=c.sliding_window)
