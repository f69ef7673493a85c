"""Gemma 3 (its text model): Gemma 2 with normed queries and keys and slower rotation outside its windows.  https://arxiv.org/abs/2503.19786"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from ..nn import Module
from ..tensor import Tensor
from .decoder import GemmaNorm, SelfAttention
from .gemma2 import Gemma2, Gemma2Config
from .rotary import rope_of

__all__ = ["Gemma3", "Gemma3Config"]


@dataclass
class Gemma3Config(Gemma2Config):
    rope_theta = 1_000_000.0

    vocab_size: int = 262208
    max_position_embeddings: int | None = 131072
    final_logit_softcapping: float | None = None
    attn_logit_softcapping: float | None = None
    sliding_window_pattern: int = 6
    local_rope: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Any:
        if "text_config" in values:  # the multimodal model's file: its language model
            values = {**values["text_config"], "tie_word_embeddings": values.get("tie_word_embeddings", True)}
        values = dict(values)
        values.pop("local_rope", None)
        made = super().from_dict(values)
        said = values.get("rope_parameters") or {}
        if isinstance(said.get("sliding_attention"), dict):
            made.local_rope = cls.rotary(values, "sliding_attention")
        else:
            made.local_rope = cls.rotary({"rope_theta": values.get("rope_local_base_freq", 10000.0)})
        if isinstance(said.get("full_attention"), dict):
            made.rope = cls.rotary({**values, "max_position_embeddings": made.max_position_embeddings}, "full_attention")
        return made

    def window(self, i: int) -> int | None:
        def kind(j: int) -> str:
            return "sliding_attention" if (j + 1) % self.sliding_window_pattern else "full_attention"

        return self.sliding_window if self.kinds(self.layer_types, kind)[i] == "sliding_attention" else None


class Gemma3(Gemma2):
    large = (62, 5376)
    Config = Gemma3Config
    gguf = {
        **Gemma2.gguf,
        "blk.N.attn_q_norm": "model.layers.N.self_attn.q_norm",
        "blk.N.attn_k_norm": "model.layers.N.self_attn.k_norm",
    }
    dropped = (*Gemma2.dropped, r"^(model\.)?(vision_tower|multi_modal_projector)\.")
    renamed = ((r"^(language_model\.model|model\.language_model)\.", "model."), (r"^language_model\.lm_head\.", "lm_head."))

    def make_rope(self, c: Any) -> Any:
        return {True: rope_of(c.local_rope, c.width), False: rope_of(c.rope, c.width)}

    def attention(self, c: Any, i: int) -> Module:
        def norm(width: int) -> Module:
            return GemmaNorm(width, eps=c.rms_norm_eps)

        return SelfAttention(
            c,
            i,
            bias=c.attention_bias,
            rope=self.rope[c.window(i) is not None],
            scale=c.query_pre_attn_scalar**-0.5,
            window=c.window(i),
            softcap=c.attn_logit_softcapping,
            norm=norm,
        )

    @classmethod
    def for_weights(cls, config: Any, weights: Mapping[str, Tensor], values: Mapping[str, Any]) -> Any:
        if (values.get("architectures") or [""])[0] == "Gemma3ForConditionalGeneration":
            return cls(config)
        return super().for_weights(config, weights, values)
