"""GLM-4-0414: GLM with a norm behind each part as well.  https://arxiv.org/abs/2406.12793"""

from __future__ import annotations

from typing import Any

from ..nn import Module
from .decoder import Block
from .glm import Glm

__all__ = ["Glm4"]


class Glm4(Glm):
    gguf = {
        **Glm.gguf,
        "blk.N.ffn_up": "model.layers.N.mlp.gate_up_proj",
        "blk.N.post_attention_norm": "model.layers.N.post_self_attn_layernorm",
        "blk.N.post_ffw_norm": "model.layers.N.post_mlp_layernorm",
    }

    def block(self, c: Any, i: int) -> Module:
        return Block(
            ("input_layernorm", self.norm(c)),
            ("self_attn", self.attention(c, i)),
            ("post_attention_layernorm", self.norm(c)),
            ("mlp", self.mlp(c, i)),
            after=(("post_self_attn_layernorm", self.norm(c)), ("post_mlp_layernorm", self.norm(c))),
        )
