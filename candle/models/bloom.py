"""BLOOM: ALiBi in place of positions, a norm behind the embedding.  https://arxiv.org/abs/2211.05100"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import LayerNorm, Module
from ..tensor import Tensor
from .decoder import MLP, Block, CausalLM, DecoderConfig, FusedAttention, Names, Step, alibi_slopes

__all__ = ["Bloom", "BloomConfig"]


@dataclass
class BloomConfig(DecoderConfig):
    aliases = {"n_layer": "num_hidden_layers", "n_head": "num_attention_heads", "n_embed": "hidden_size"}

    shared_keys = False

    vocab_size: int = 250880
    hidden_size: int = 64
    num_hidden_layers: int = 2
    num_attention_heads: int = 8
    layer_norm_epsilon: float = 1e-5
    apply_residual_connection_post_layernorm: bool = False
    tie_word_embeddings: bool = True
    eos_token_id: Any = 2


class NormedResidual(Block):
    """A block whose parts are added to what they were given, normed, in place of what came in."""

    def forward(self, x: Tensor, step: Step) -> Tensor:
        x = self._on(0, x)
        x = x + self._on(1, x, step)
        x = self._on(2, x)
        return x + self._on(3, x)


class Bloom(CausalLM):
    Config = BloomConfig
    names = Names("transformer", "word_embeddings", "h", "ln_f")

    def make_rope(self, c: Any) -> Any:
        return None

    def norm(self, c: Any) -> Module:
        return LayerNorm(c.hidden_size, eps=c.layer_norm_epsilon)

    def block(self, c: Any, i: int) -> Module:
        slopes = alibi_slopes(c.num_attention_heads)
        kind = NormedResidual if c.apply_residual_connection_post_layernorm else Block
        return kind(
            ("input_layernorm", self.norm(c)),
            ("self_attention", FusedAttention(c, i, ("query_key_value", "dense"), True, True, slopes=slopes)),
            ("post_attention_layernorm", self.norm(c)),
            ("mlp", MLP(c.hidden_size, 4 * c.hidden_size, "gelu_pytorch_tanh", ("dense_h_to_4h", "dense_4h_to_h"))),
        )

    def extend(self, body: Any) -> None:
        body.word_embeddings_layernorm = self.norm(self.config)

    def embed(self, ids: Tensor, step: Step) -> Tensor:
        return self.body.word_embeddings_layernorm(super().embed(ids, step))
