"""StarCoder2: grouped keys, rotation and a window, with layer norms, biases and plain feed-forward blocks.  https://arxiv.org/abs/2402.19173"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import LayerNorm, Module
from .decoder import MLP, DecoderConfig, SelfAttention
from .llama import Llama

__all__ = ["Starcoder2", "Starcoder2Config"]


@dataclass
class Starcoder2Config(DecoderConfig):
    vocab_size: int = 49152
    hidden_size: int = 3072
    intermediate_size: int = 12288
    num_hidden_layers: int = 30
    num_attention_heads: int = 24
    num_key_value_heads: int | None = 2
    hidden_act: str = "gelu_pytorch_tanh"
    max_position_embeddings: int | None = 4096
    norm_epsilon: float = 1e-5
    sliding_window: int | None = None
    use_bias: bool = True
    tie_word_embeddings: bool = True
    eos_token_id: Any = 50256


class Starcoder2(Llama):
    Config = Starcoder2Config
    gguf = {**Llama.gguf, "blk.N.ffn_up": "model.layers.N.mlp.c_fc", "blk.N.ffn_down": "model.layers.N.mlp.c_proj"}

    def norm(self, c: Any) -> Module:
        return LayerNorm(c.hidden_size, eps=c.norm_epsilon)

    def attention(self, c: Any, i: int) -> Module:
        return SelfAttention(c, i, bias=c.use_bias, rope=self.rope, window=c.sliding_window)

    def mlp(self, c: Any, i: int) -> Module:
        return MLP(c.hidden_size, c.intermediate_size, c.hidden_act, ("c_fc", "c_proj"), bias=c.use_bias)
