"""Llama: RMS norms, rotary positions, grouped keys and gated feed-forward blocks.  https://arxiv.org/abs/2302.13971

Llama 1 to 3.2, Yi, Solar, SmolLM, TinyLlama and others are this by their configuration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ..nn import Module
from ..tensor import Tensor
from .decoder import Block, CausalLM, DecoderConfig, GatedMLP, SelfAttention
from .rotary import rope_of
from .settings import Config

__all__ = ["Llama", "LlamaConfig"]


@dataclass
class LlamaConfig(DecoderConfig):
    rms_norm_eps: float = 1e-6
    attention_bias: bool = False
    mlp_bias: bool = False
    rope_interleaved: bool = False  # GGUF's queries and keys are kept so that neighbours are turned together


class Llama(CausalLM):
    Config: ClassVar[type[Config]] = LlamaConfig
    gguf = {
        "token_embd": "model.embed_tokens",
        "output_norm": "model.norm",
        "output": "lm_head",
        "blk.N.attn_norm": "model.layers.N.input_layernorm",
        "blk.N.attn_q": "model.layers.N.self_attn.q_proj",
        "blk.N.attn_k": "model.layers.N.self_attn.k_proj",
        "blk.N.attn_v": "model.layers.N.self_attn.v_proj",
        "blk.N.attn_output": "model.layers.N.self_attn.o_proj",
        "blk.N.ffn_norm": "model.layers.N.post_attention_layernorm",
        "blk.N.ffn_gate": "model.layers.N.mlp.gate_proj",
        "blk.N.ffn_up": "model.layers.N.mlp.up_proj",
        "blk.N.ffn_down": "model.layers.N.mlp.down_proj",
    }

    def make_rope(self, c: Any) -> Any:
        return rope_of(c.rope, c.width, getattr(c, "rope_interleaved", False))

    @classmethod
    def from_gguf(cls, values: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        values["rope_interleaved"] = values["model_type"] in ("llama", "mixtral", "granite")
        values["attention_bias"] = "blk.0.attn_q.bias" in tensors
        values["mlp_bias"] = "blk.0.ffn_up.bias" in tensors
        factors = tensors.pop("rope_freqs.weight", None)
        if factors is not None:
            values["rope_scaling"] = {"rope_type": "divided", "factors": factors.numpy().tolist()}
        return values, tensors

    def attention(self, c: Any, i: int) -> Module:
        return SelfAttention(c, i, bias=c.attention_bias, rope=self.rope)

    def mlp(self, c: Any, i: int) -> Module:
        return GatedMLP(c.hidden_size, c.intermediate_size, c.hidden_act, getattr(c, "mlp_bias", False))

    def block(self, c: Any, i: int) -> Module:
        return Block(
            ("input_layernorm", self.norm(c)),
            ("self_attn", self.attention(c, i)),
            ("post_attention_layernorm", self.norm(c)),
            ("mlp", self.mlp(c, i)),
        )
