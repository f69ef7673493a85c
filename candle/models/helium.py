"""Helium: Llama whose heads are turned by neighbours.  https://kyutai.org/helium"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import Module
from .decoder import SelfAttention
from .llama import Llama, LlamaConfig
from .rotary import rope_of

__all__ = ["Helium", "HeliumConfig"]


@dataclass
class HeliumConfig(LlamaConfig):
    rope_theta = 100000.0

    vocab_size: int = 48000
    hidden_size: int = 2560
    intermediate_size: int = 7040
    num_hidden_layers: int = 24
    num_attention_heads: int = 20
    num_key_value_heads: int | None = 20
    head_dim: int | None = 128
    max_position_embeddings: int | None = 4096
    rms_norm_eps: float = 1e-8
    eos_token_id: Any = 2
    pad_token_id: Any = 3


class Helium(Llama):
    Config = HeliumConfig

    def make_rope(self, c: Any) -> Any:
        return rope_of(c.rope, c.width, interleaved=True)

    def attention(self, c: Any, i: int) -> Module:
        return SelfAttention(c, i, bias=c.attention_bias, out_bias=False, rope=self.rope)
