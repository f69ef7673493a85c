"""StableLM: Llama with layer norms and a quarter of each head turned.  https://arxiv.org/abs/2402.17834"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import FormatError
from ..nn import LayerNorm, Module, ModuleList
from ..op import OPS
from ..tensor import Tensor
from .decoder import Block, DecoderConfig, SelfAttention
from .llama import Llama

__all__ = ["Stablelm", "StablelmConfig"]


@dataclass
class StablelmConfig(DecoderConfig):
    partial_rotary = 0.25

    vocab_size: int = 50304
    intermediate_size: int = 6912
    hidden_size: int = 2560
    num_key_value_heads: int | None = 32
    max_position_embeddings: int | None = 4096
    layer_norm_eps: float = 1e-5
    use_qkv_bias: bool = False
    qk_layernorm: bool = False
    use_parallel_residual: bool = False
    eos_token_id: Any = 0


class NormPerHead(Module):
    """A norm of its own for each head of ``[b, heads, n, d]``."""

    def __init__(self, heads: int, width: int, eps: float) -> None:
        super().__init__()
        self.norms = ModuleList([LayerNorm(width, eps=eps, bias=False) for _ in range(heads)])

    def forward(self, x: Tensor) -> Tensor:
        return OPS["stack"](*[norm(x[:, i]) for i, norm in enumerate(self.norms)], dim=1)


class NormedAttention(SelfAttention):
    def __init__(self, c: Any, i: int, **settings: Any) -> None:
        super().__init__(c, i, **settings)
        self.q_layernorm = NormPerHead(self.heads, self.width, c.layer_norm_eps)
        self.k_layernorm = NormPerHead(self.groups, self.width, c.layer_norm_eps)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, *rest: Any) -> Tensor:
        return super().attend(self.q_layernorm(q), self.k_layernorm(k), v, *rest)


class Stablelm(Llama):
    Config = StablelmConfig

    @classmethod
    def from_gguf(cls, values: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        values, tensors = super().from_gguf(values, tensors)
        if "blk.0.attn_q_norm.weight" in tensors:
            raise FormatError("StableLM with normed heads is read from safetensors only")
        return {
            **values,
            "use_qkv_bias": values["attention_bias"],
            "use_parallel_residual": "blk.0.ffn_norm.weight" not in tensors,
        }, tensors

    def norm(self, c: Any) -> Module:
        return LayerNorm(c.hidden_size, eps=c.layer_norm_eps)

    def attention(self, c: Any, i: int) -> Module:
        kind = NormedAttention if c.qk_layernorm else SelfAttention
        return kind(c, i, bias=c.use_qkv_bias, out_bias=False, rope=self.rope)

    def block(self, c: Any, i: int) -> Module:
        return Block(
            ("input_layernorm", self.norm(c)),
            ("self_attn", self.attention(c, i)),
            None if c.use_parallel_residual else ("post_attention_layernorm", self.norm(c)),
            ("mlp", self.mlp(c, i)),
            parallel=c.use_parallel_residual,
        )
