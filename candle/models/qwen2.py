"""Qwen2: Llama with biases on queries, keys and values, and windows in its upper layers.  https://arxiv.org/abs/2407.10671"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..nn import Module
from .decoder import SelfAttention
from .llama import Llama, LlamaConfig
from .settings import Config

__all__ = ["Qwen2", "Qwen2Config"]


@dataclass
class Qwen2Config(LlamaConfig):
    vocab_size: int = 151936
    intermediate_size: int = 22016
    num_key_value_heads: int | None = 32
    max_position_embeddings: int | None = 32768
    use_sliding_window: bool = False
    sliding_window: int | None = 4096
    max_window_layers: int = 28
    layer_types: Any = None

    def window(self, i: int) -> int | None:
        """How far layer i looks back, or None."""
        kinds = self.kinds(self.layer_types, lambda j: "sliding_attention" if j >= self.max_window_layers else "full_attention")
        return self.sliding_window if self.use_sliding_window and kinds[i] == "sliding_attention" else None


class Qwen2(Llama):
    Config: ClassVar[type[Config]] = Qwen2Config

    def attention(self, c: Any, i: int) -> Module:
        return SelfAttention(c, i, bias=True, out_bias=False, rope=self.rope, window=c.window(i))
