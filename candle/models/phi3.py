"""Phi-3 and Phi-4-mini: Llama with fused projections and, for long texts, stretched rotation.  https://arxiv.org/abs/2404.14219"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import Module
from ..tensor import Tensor
from .decoder import FusedAttention, FusedGatedMLP
from .llama import Llama, LlamaConfig

__all__ = ["Phi3", "Phi3Config"]


@dataclass
class Phi3Config(LlamaConfig):
    vocab_size: int = 32064
    hidden_size: int = 3072
    intermediate_size: int = 8192
    max_position_embeddings: int | None = 4096
    rms_norm_eps: float = 1e-5
    sliding_window: int | None = None
    eos_token_id: Any = 32000
    pad_token_id: Any = 32000

    @classmethod
    def from_dict(cls, values: Any) -> Any:
        return super().from_dict({"original_max_position_embeddings": 4096, **values})


class Phi3(Llama):
    Config = Phi3Config
    gguf = {
        **Llama.gguf,
        "blk.N.attn_qkv": "model.layers.N.self_attn.qkv_proj",
        "blk.N.ffn_up": "model.layers.N.mlp.gate_up_proj",
    }

    @classmethod
    def from_gguf(cls, values: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        values, tensors = super().from_gguf(values, tensors)
        long, short = (tensors.pop(f"rope_factors_{kind}.weight", None) for kind in ("long", "short"))
        if long is not None and short is not None:
            said = values["gguf"]
            values["rope_scaling"] = {
                "rope_type": "longrope",
                "long_factor": long.numpy().tolist(),
                "short_factor": short.numpy().tolist(),
                "attention_factor": said.get("rope.scaling.attn_factor"),
                "original_max_position_embeddings": said.get("rope.scaling.original_context_length", 4096),
            }
        values["sliding_window"] = values.get("sliding_window") or None
        return values, tensors

    def attention(self, c: Any, i: int) -> Module:
        return FusedAttention(c, i, ("qkv_proj", "o_proj"), False, False, rope=self.rope, window=c.sliding_window)

    def mlp(self, c: Any, i: int) -> Module:
        return FusedGatedMLP(c.hidden_size, c.intermediate_size, c.hidden_act)
