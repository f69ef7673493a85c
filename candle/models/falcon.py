"""Falcon: attention and feed-forward side by side, one or few shared keys; the first releases turned or sloped.  https://arxiv.org/abs/2311.16867"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..create import arange, as_tensor
from ..dtype import bfloat16, float32
from ..nn import LayerNorm, Module
from ..tensor import Tensor
from .decoder import MLP, Block, CausalLM, DecoderConfig, FusedAttention, Names, Step, alibi_slopes

__all__ = ["Falcon", "FalconConfig"]


@dataclass
class FalconConfig(DecoderConfig):
    aliases = {
        "activation": "hidden_act",
        "n_embed": "hidden_size",
        "n_head": "num_attention_heads",
        "n_head_kv": "num_kv_heads",
        "n_layer": "num_hidden_layers",
    }

    vocab_size: int = 65024
    hidden_size: int = 4544
    num_attention_heads: int = 71
    num_kv_heads: int | None = None
    num_ln_in_parallel_attn: int | None = None
    layer_norm_epsilon: float = 1e-5
    alibi: bool = False
    new_decoder_architecture: bool = False
    multi_query: bool = True
    parallel_attn: bool = True
    bias: bool = False
    ffn_hidden_size: int | None = None
    hidden_act: str = "gelu"
    tie_word_embeddings: bool = True
    eos_token_id: Any = 11
    grouped: bool = True  # whether each key follows its queries in the fused map; GGUF has all queries first

    @property
    def kv_heads(self) -> int:
        if self.multi_query and not self.new_decoder_architecture:
            return 1
        return self.num_attention_heads if self.num_kv_heads is None else self.num_kv_heads


class SlopedAttention(FusedAttention):
    """Scores that fall with distance; the slopes and their products are rounded to bfloat16, as the model was trained."""

    def bias(self, step: Step, places: int | None = None) -> Tensor:
        keys = step.at if places is None else arange(places, device=step.at.backend).unsqueeze(0)
        slopes = as_tensor(alibi_slopes(self.heads), device=keys.backend).to(dtype=bfloat16).float()
        keys = keys.to(dtype=bfloat16).float()
        sloped = (keys.reshape((keys.shape[0], 1, 1, keys.shape[1])) * slopes.reshape((1, self.heads, 1, 1))).to(dtype=bfloat16)
        return sloped.to(dtype=float32) * float(np.float32(self.scale))


class Falcon(CausalLM):
    Config = FalconConfig
    names = Names("transformer", "word_embeddings", "h", "ln_f")
    gguf = {
        "token_embd": "transformer.word_embeddings",
        "output_norm": "transformer.ln_f",
        "output": "lm_head",
        "blk.N.attn_norm": "transformer.h.N.input_layernorm",
        "blk.N.ln_attn": "transformer.h.N.ln_attn",
        "blk.N.ln_mlp": "transformer.h.N.ln_mlp",
        "blk.N.attn_qkv": "transformer.h.N.self_attention.query_key_value",
        "blk.N.attn_output": "transformer.h.N.self_attention.dense",
        "blk.N.ffn_up": "transformer.h.N.mlp.dense_h_to_4h",
        "blk.N.ffn_down": "transformer.h.N.mlp.dense_4h_to_h",
    }

    @classmethod
    def from_gguf(cls, values: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        new = "blk.0.attn_norm_2.weight" in tensors
        if new:
            names = {"attn_norm_2": "ln_attn", "attn_norm": "ln_mlp"}
            tensors = {re.sub(r"(?<=\.)attn_norm(_2)?(?=\.)", lambda m: names[m[0]], k): w for k, w in tensors.items()}
        return {
            **values,
            "grouped": False,
            "new_decoder_architecture": new,
            "num_kv_heads": values.get("num_key_value_heads", 1),
            "multi_query": values.get("num_key_value_heads", 1) == 1,
            "ffn_hidden_size": values["intermediate_size"],
        }, tensors

    def norm(self, c: Any) -> Module:
        return LayerNorm(c.hidden_size, eps=c.layer_norm_epsilon)

    def make_rope(self, c: Any) -> Any:
        return None if c.alibi else super().make_rope(c)

    def block(self, c: Any, i: int) -> Module:
        kind = SlopedAttention if c.alibi else FusedAttention
        attention = kind(c, i, ("query_key_value", "dense"), c.grouped, c.bias, rope=self.rope)
        inner = 4 * c.hidden_size if c.ffn_hidden_size is None else c.ffn_hidden_size
        mlp = MLP(c.hidden_size, inner, c.hidden_act, ("dense_h_to_4h", "dense_4h_to_h"), bias=c.bias)
        count = c.num_ln_in_parallel_attn or (2 if c.new_decoder_architecture else 1)
        if c.new_decoder_architecture and count == 2:
            norms = ("ln_attn", self.norm(c)), ("ln_mlp", self.norm(c))
        else:
            after = not c.new_decoder_architecture and not c.parallel_attn
            norms = ("input_layernorm", self.norm(c)), ("post_attention_layernorm", self.norm(c)) if after else None  # type: ignore[assignment]
        parallel = c.new_decoder_architecture or c.parallel_attn
        return Block(norms[0], ("self_attention", attention), norms[1], ("mlp", mlp), parallel=parallel)
