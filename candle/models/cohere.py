"""Command R: attention and feed-forward side by side behind one norm, neighbours turned together.  https://docs.cohere.com/docs/command-r"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import LayerNorm, Module, Parameter, init
from ..nn import functional as F
from ..tensor import Tensor
from .decoder import Block, DecoderConfig, SelfAttention
from .llama import Llama
from .rotary import rope_of

__all__ = ["Cohere", "CohereConfig"]


@dataclass
class CohereConfig(DecoderConfig):
    rope_theta = 500000.0

    vocab_size: int = 256000
    hidden_size: int = 8192
    intermediate_size: int = 22528
    num_hidden_layers: int = 40
    num_attention_heads: int = 64
    max_position_embeddings: int | None = 8192
    logit_scale: float = 0.0625
    layer_norm_eps: float = 1e-5
    tie_word_embeddings: bool = True
    attention_bias: bool = False
    use_qk_norm: bool = False
    eos_token_id: Any = 255001
    pad_token_id: Any = 0


class HeadNorm(Module):
    """A layer norm over each head of ``[b, heads, n, d]`` with weights of its own, ``[heads, d]``."""

    def __init__(self, heads: int, width: int, eps: float) -> None:
        super().__init__()
        self.weight = Parameter(init.blank(heads, width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], eps=self.eps) * self.weight.unsqueeze(1)


class NormedAttention(SelfAttention):
    def __init__(self, c: Any, i: int, **settings: Any) -> None:
        super().__init__(c, i, **settings)
        self.q_norm = HeadNorm(self.heads, self.width, c.layer_norm_eps)
        self.k_norm = HeadNorm(self.groups, self.width, c.layer_norm_eps)
        self.norms = "head"


class Cohere(Llama):
    Config = CohereConfig
    gguf = {
        **Llama.gguf,
        "blk.N.attn_q_norm": "model.layers.N.self_attn.q_norm",
        "blk.N.attn_k_norm": "model.layers.N.self_attn.k_norm",
    }

    @classmethod
    def from_gguf(cls, values: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        values, tensors = super().from_gguf(values, tensors)
        return {
            **values,
            "logit_scale": values["gguf"].get("logit_scale", 0.0625),
            "use_qk_norm": "blk.0.attn_q_norm.weight" in tensors,
        }, tensors

    def make_rope(self, c: Any) -> Any:
        return rope_of(c.rope, c.width, interleaved=True)

    def norm(self, c: Any) -> Module:
        return LayerNorm(c.hidden_size, eps=c.layer_norm_eps, bias=False)

    def attention(self, c: Any, i: int) -> Module:
        return (NormedAttention if c.use_qk_norm else SelfAttention)(c, i, bias=c.attention_bias, rope=self.rope)

    def block(self, c: Any, i: int) -> Module:
        return Block(
            ("input_layernorm", self.norm(c)), ("self_attn", self.attention(c, i)), None, ("mlp", self.mlp(c, i)), parallel=True
        )

    def finish(self, logits: Tensor) -> Tensor:
        return logits * self.config.logit_scale
