"""OLMo 2: norms behind each part instead of before it, and over all queries and keys.  https://arxiv.org/abs/2501.00656"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import Module, RMSNorm
from .decoder import Block, SelfAttention
from .llama import Llama, LlamaConfig

__all__ = ["Olmo2", "Olmo2Config"]


@dataclass
class Olmo2Config(LlamaConfig):
    vocab_size: int = 50304
    rms_norm_eps: float = 1e-5
    eos_token_id: Any = 50279
    pad_token_id: Any = 1


class Olmo2(Llama):
    Config = Olmo2Config
    gguf = {
        **Llama.gguf,
        "blk.N.attn_q_norm": "model.layers.N.self_attn.q_norm",
        "blk.N.attn_k_norm": "model.layers.N.self_attn.k_norm",
        "blk.N.post_attention_norm": "model.layers.N.post_attention_layernorm",
        "blk.N.post_ffw_norm": "model.layers.N.post_feedforward_layernorm",
    }

    def attention(self, c: Any, i: int) -> Module:
        def norm(width: int) -> Module:
            return RMSNorm(width, eps=c.rms_norm_eps)

        return SelfAttention(c, i, bias=c.attention_bias, rope=self.rope, whole_norm=norm)

    def block(self, c: Any, i: int) -> Module:
        return Block(
            None,
            ("self_attn", self.attention(c, i)),
            None,
            ("mlp", self.mlp(c, i)),
            after=(("post_attention_layernorm", self.norm(c)), ("post_feedforward_layernorm", self.norm(c))),
        )
