"""Gemma: Llama with scaled embeddings, norms around 1, a wider head and a tied one.  https://arxiv.org/abs/2403.08295"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import Module
from ..tensor import Tensor
from .decoder import GemmaNorm, Step
from .llama import Llama, LlamaConfig

__all__ = ["Gemma", "GemmaConfig"]


@dataclass
class GemmaConfig(LlamaConfig):
    aliases = {"hidden_activation": "hidden_act"}
    fixed = {"use_bidirectional_attention": (None, False)}

    vocab_size: int = 256000
    hidden_size: int = 3072
    intermediate_size: int = 24576
    num_hidden_layers: int = 28
    num_attention_heads: int = 16
    num_key_value_heads: int | None = 16
    head_dim: int | None = 256
    hidden_act: str = "gelu_pytorch_tanh"
    max_position_embeddings: int | None = 8192
    tie_word_embeddings: bool = True
    eos_token_id: Any = 1
    bos_token_id: Any = 2
    pad_token_id: Any = 0

    @classmethod
    def from_dict(cls, values: Any) -> Any:
        # the first release's "gelu" stood for the approximation; hidden_activation, where given, says which
        if values.get("hidden_act") == "gelu" and not values.get("hidden_activation"):
            values = {**values, "hidden_act": "gelu_pytorch_tanh"}
        elif values.get("hidden_activation"):
            values = {k: v for k, v in values.items() if k != "hidden_act"}
        return super().from_dict(values)


class Gemma(Llama):
    Config = GemmaConfig

    @classmethod
    def from_gguf(cls, values: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        values, tensors = super().from_gguf(values, tensors)
        # GGUF keeps the scales of norms with their 1
        return values, {k: w - 1 if k.endswith("norm.weight") else w for k, w in tensors.items()}

    def norm(self, c: Any) -> Module:
        return GemmaNorm(c.hidden_size, eps=c.rms_norm_eps)

    def embed(self, ids: Tensor, step: Step) -> Tensor:
        x = super().embed(ids, step)
        return x * x.new_full((), self.config.hidden_size**0.5)
