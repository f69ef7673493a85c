"""Granite 3: Llama with factors on embeddings, scores, what is added and logits.  https://arxiv.org/abs/2408.13359"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import Module
from ..tensor import Tensor
from .decoder import SelfAttention, Step
from .llama import Llama, LlamaConfig

__all__ = ["Granite", "GraniteConfig"]


@dataclass
class GraniteConfig(LlamaConfig):
    embedding_multiplier: float = 1.0
    logits_scaling: float = 1.0
    residual_multiplier: float = 1.0
    attention_multiplier: float = 1.0


class Granite(Llama):
    Config = GraniteConfig

    @classmethod
    def from_gguf(cls, values: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        values, tensors = super().from_gguf(values, tensors)
        said = values["gguf"]
        names = {"embedding_scale": "embedding_multiplier", "residual_scale": "residual_multiplier",
                 "attention.scale": "attention_multiplier", "logit_scale": "logits_scaling"}  # fmt: skip
        return {**values, **{new: said[old] for old, new in names.items() if old in said}}, tensors

    def attention(self, c: Any, i: int) -> Module:
        return SelfAttention(c, i, bias=c.attention_bias, rope=self.rope, scale=c.attention_multiplier)

    def block(self, c: Any, i: int) -> Module:
        made: Any = super().block(c, i)
        made.factor = c.residual_multiplier
        return made

    def embed(self, ids: Tensor, step: Step) -> Tensor:
        return super().embed(ids, step) * self.config.embedding_multiplier

    def finish(self, logits: Tensor) -> Tensor:
        return logits / self.config.logits_scaling
