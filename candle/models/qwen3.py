"""Qwen3: Qwen2 with normed queries and keys in place of their biases.  https://arxiv.org/abs/2505.09388"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..nn import Module, RMSNorm
from .decoder import SelfAttention
from .qwen2 import Qwen2, Qwen2Config
from .settings import Config

__all__ = ["Qwen3", "Qwen3Config"]


@dataclass
class Qwen3Config(Qwen2Config):
    head_dim: int | None = 128


class Qwen3(Qwen2):
    Config: ClassVar[type[Config]] = Qwen3Config
    gguf = {
        **Qwen2.gguf,
        "blk.N.attn_q_norm": "model.layers.N.self_attn.q_norm",
        "blk.N.attn_k_norm": "model.layers.N.self_attn.k_norm",
    }

    def attention(self, c: Any, i: int) -> Module:
        def norm(width: int) -> Module:
            return RMSNorm(width, eps=c.rms_norm_eps)

        return SelfAttention(c, i, bias=c.attention_bias, rope=self.rope, window=c.window(i), norm=norm)
