"""SmolLM3: Llama where every fourth layer turns nothing.  https://huggingface.co/blog/smollm3"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import Module
from .decoder import SelfAttention
from .llama import Llama, LlamaConfig

__all__ = ["Smollm3", "Smollm3Config"]


@dataclass
class Smollm3Config(LlamaConfig):
    rope_theta = 2_000_000.0

    vocab_size: int = 128256
    hidden_size: int = 2048
    num_hidden_layers: int = 36
    num_attention_heads: int = 16
    num_key_value_heads: int | None = 4
    max_position_embeddings: int | None = 32768
    tie_word_embeddings: bool = True
    use_sliding_window: bool = False
    sliding_window: int | None = None
    layer_types: Any = None
    no_rope_layers: Any = None
    no_rope_layer_interval: int = 4
    eos_token_id: Any = 128001
    pad_token_id: Any = 128004

    def turned(self, i: int) -> bool:
        """Whether layer i turns its heads."""
        listed = self.kinds(self.no_rope_layers, lambda j: int((j + 1) % self.no_rope_layer_interval != 0), (0, 1))
        return bool(listed[i])

    def window(self, i: int) -> int | None:
        windowed = self.use_sliding_window and self.sliding_window is not None

        def kind(j: int) -> str:
            return "sliding_attention" if windowed and not self.turned(j) else "full_attention"

        return self.sliding_window if self.kinds(self.layer_types, kind)[i] == "sliding_attention" else None


class Smollm3(Llama):
    Config = Smollm3Config

    def attention(self, c: Any, i: int) -> Module:
        return SelfAttention(c, i, bias=c.attention_bias, rope=self.rope if c.turned(i) else None, window=c.window(i))
