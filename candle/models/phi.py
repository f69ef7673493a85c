"""Phi-1, 1.5 and 2: attention and feed-forward side by side behind one norm, half of each head turned.  https://arxiv.org/abs/2306.11644"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import LayerNorm, Module
from ..tensor import Tensor
from .decoder import MLP, Block, CausalLM, DecoderConfig, Names, SelfAttention

__all__ = ["Phi", "PhiConfig"]


@dataclass
class PhiConfig(DecoderConfig):
    partial_rotary = 0.5

    vocab_size: int = 51200
    hidden_size: int = 2048
    intermediate_size: int = 8192
    num_hidden_layers: int = 24
    hidden_act: str = "gelu_new"
    layer_norm_eps: float = 1e-5
    qk_layernorm: bool = False


class PhiAttention(SelfAttention):
    def __init__(self, c: Any, i: int, rope: Any) -> None:
        super().__init__(c, i, bias=True, rope=rope, out="dense")
        self.normed = c.qk_layernorm
        if c.qk_layernorm:
            self.q_layernorm = LayerNorm(self.width, eps=c.layer_norm_eps)
            self.k_layernorm = LayerNorm(self.width, eps=c.layer_norm_eps)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, *rest: Any) -> Tensor:
        if self.normed:
            q, k = self.q_layernorm(q), self.k_layernorm(k)
        return super().attend(q, k, v, *rest)


class Phi(CausalLM):
    Config = PhiConfig
    names = Names(norm="final_layernorm")
    gguf = {
        "token_embd": "model.embed_tokens",
        "output_norm": "model.final_layernorm",
        "output": "lm_head",
        "blk.N.attn_norm": "model.layers.N.input_layernorm",
        "blk.N.attn_q": "model.layers.N.self_attn.q_proj",
        "blk.N.attn_k": "model.layers.N.self_attn.k_proj",
        "blk.N.attn_v": "model.layers.N.self_attn.v_proj",
        "blk.N.attn_output": "model.layers.N.self_attn.dense",
        "blk.N.ffn_up": "model.layers.N.mlp.fc1",
        "blk.N.ffn_down": "model.layers.N.mlp.fc2",
    }

    @classmethod
    def from_gguf(cls, values: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        for name in [k for k in tensors if ".attn_qkv." in k]:
            for part, w in zip("qkv", tensors.pop(name).chunk(3, 0)):
                tensors[name.replace("attn_qkv", f"attn_{part}")] = w
        return values, tensors

    head_bias = True

    def norm(self, c: Any) -> Module:
        return LayerNorm(c.hidden_size, eps=c.layer_norm_eps)

    def block(self, c: Any, i: int) -> Module:
        mlp = MLP(c.hidden_size, c.intermediate_size, c.hidden_act, ("fc1", "fc2"))
        return Block(
            ("input_layernorm", self.norm(c)), ("self_attn", PhiAttention(c, i, self.rope)), None, ("mlp", mlp), parallel=True
        )
