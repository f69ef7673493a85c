"""Gemma 2: norms before and after each part, windows in every other layer, bounded scores and logits.  https://arxiv.org/abs/2408.00118"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import Module
from ..tensor import Tensor
from .decoder import Block, SelfAttention
from .gemma import Gemma, GemmaConfig

__all__ = ["Gemma2", "Gemma2Config"]


@dataclass
class Gemma2Config(GemmaConfig):
    hidden_size: int = 2304
    intermediate_size: int = 9216
    num_hidden_layers: int = 26
    num_attention_heads: int = 8
    num_key_value_heads: int | None = 4
    query_pre_attn_scalar: float = 256
    sliding_window: int | None = 4096
    layer_types: Any = None
    final_logit_softcapping: float | None = 30.0
    attn_logit_softcapping: float | None = 50.0

    def window(self, i: int) -> int | None:
        kinds = self.kinds(self.layer_types, lambda j: "full_attention" if j % 2 else "sliding_attention")
        return self.sliding_window if kinds[i] == "sliding_attention" else None


class Gemma2(Gemma):
    large = (46, 4608)
    Config = Gemma2Config
    gguf = {
        **Gemma.gguf,
        "blk.N.post_attention_norm": "model.layers.N.post_attention_layernorm",
        "blk.N.ffn_norm": "model.layers.N.pre_feedforward_layernorm",
        "blk.N.post_ffw_norm": "model.layers.N.post_feedforward_layernorm",
    }

    @classmethod
    def from_gguf(cls, values: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        values, tensors = super().from_gguf(values, tensors)
        # the 27B models scale by the width per head, the others by a head's; the file does not say it
        width = values.get("head_dim") or values["hidden_size"] // values["num_attention_heads"]
        large = cls.large == (values["num_hidden_layers"], values["hidden_size"])
        values["query_pre_attn_scalar"] = values["hidden_size"] // values["num_attention_heads"] if large else width
        return values, tensors

    def attention(self, c: Any, i: int) -> Module:
        return SelfAttention(
            c,
            i,
            bias=c.attention_bias,
            rope=self.rope,
            scale=c.query_pre_attn_scalar**-0.5,
            window=c.window(i),
            softcap=c.attn_logit_softcapping,
        )

    def block(self, c: Any, i: int) -> Module:
        return Block(
            ("input_layernorm", self.norm(c)),
            ("self_attn", self.attention(c, i)),
            ("pre_feedforward_layernorm", self.norm(c)),
            ("mlp", self.mlp(c, i)),
            after=(("post_attention_layernorm", self.norm(c)), ("post_feedforward_layernorm", self.norm(c))),
        )

    def finish(self, logits: Tensor) -> Tensor:
        cap = self.config.final_logit_softcapping
        return logits if cap is None else (logits / cap).tanh() * cap
