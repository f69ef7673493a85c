"""MPT: ALiBi, norms and linear maps without biases.  https://www.databricks.com/blog/mpt-7b"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..errors import FormatError
from ..nn import LayerNorm, Module
from .decoder import MLP, Block, CausalLM, DecoderConfig, FusedAttention, Names, alibi_slopes

__all__ = ["Mpt", "MptConfig"]


@dataclass
class MptConfig(DecoderConfig):
    aliases = {
        "d_model": "hidden_size",
        "n_heads": "num_attention_heads",
        "n_layers": "num_hidden_layers",
        "max_seq_len": "max_position_embeddings",
    }
    fixed = {"no_bias": (True,), "logit_scale": (None,)}

    shared_keys = False

    vocab_size: int = 50368
    hidden_size: int = 2048
    num_attention_heads: int = 16
    num_hidden_layers: int = 24
    layer_norm_epsilon: float = 1e-5
    tie_word_embeddings: bool = True
    clip_qkv: float | None = None
    softmax_scale: float | None = None
    alibi_bias_max: float = 8

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Any:
        inner = values.get("attn_config") or {}
        wanted = {"attn_type": "multihead_attention", "prefix_lm": False, "qk_ln": False, "alibi": True}
        for name, only in wanted.items():
            if inner.get(name, only) != only:
                raise FormatError(f"config.json asks for attn_config.{name} = {inner[name]!r} but Mpt has {only!r} only")
        return super().from_dict({**values, **{k: inner.get(k) for k in ("clip_qkv", "softmax_scale")},
                                  "alibi_bias_max": inner.get("alibi_bias_max", 8)})  # fmt: skip


class Mpt(CausalLM):
    Config = MptConfig
    names = Names("transformer", "wte", "blocks", "norm_f")

    def make_rope(self, c: Any) -> Any:
        return None

    def norm(self, c: Any) -> Module:
        return LayerNorm(c.hidden_size, eps=c.layer_norm_epsilon, bias=False)

    def block(self, c: Any, i: int) -> Module:
        slopes = alibi_slopes(c.num_attention_heads, c.alibi_bias_max)
        attention = FusedAttention(
            c, i, ("Wqkv", "out_proj"), False, False, clip=c.clip_qkv or None, scale=c.softmax_scale, slopes=slopes
        )
        mlp = MLP(c.hidden_size, 4 * c.hidden_size, "gelu", ("up_proj", "down_proj"), bias=False)
        return Block(("norm_1", self.norm(c)), ("attn", attention), ("norm_2", self.norm(c)), ("ffn", mlp))
