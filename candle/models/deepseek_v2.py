"""DeepSeek-V2: keys and values from one small latent, which is what is remembered, and shared experts.  https://arxiv.org/abs/2405.04434"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..nn import Linear, Module, RMSNorm
from ..nn import functional as F
from ..op import OPS
from ..tensor import Tensor
from .caching import KeyValues
from .decoder import Attention, Step, split_heads
from .llama import Llama, LlamaConfig
from .moe import Mixture, stack_experts
from .rotary import magnitude, rope_of

__all__ = ["DeepseekV2", "DeepseekV2Config", "LatentAttention"]


@dataclass
class DeepseekV2Config(LlamaConfig):
    fixed = {"norm_topk_prob": (False, None), "topk_method": ("greedy", "group_limited_greedy"), "scoring_func": ("softmax",),
             "moe_layer_freq": (1,)}  # fmt: skip

    vocab_size: int = 102400
    first_k_dense_replace: int = 0
    kv_lora_rank: int = 512
    q_lora_rank: int | None = 1536
    n_group: int | None = None
    n_routed_experts: int = 64
    n_shared_experts: int = 2
    qk_nope_head_dim: int = 128
    qk_rope_head_dim: int = 64
    routed_scaling_factor: float = 1.0
    topk_group: int | None = None
    topk_method: str = "greedy"
    v_head_dim: int = 128
    num_experts_per_tok: int = 6
    moe_intermediate_size: int = 1407

    @property
    def scale(self) -> float:
        """What scores are multiplied with; stretched rotation makes them larger."""
        found = (self.qk_nope_head_dim + self.qk_rope_head_dim) ** -0.5
        by = self.rope.get("mscale_all_dim") if self.rope["rope_type"] != "default" else None
        if by:
            found *= magnitude(self.rope["factor"], by) ** 2
        return found


class LatentAttention(Attention):
    """Attention whose keys and values are linear in a latent of each token; for all heads one part of the key is turned.

    What is remembered is the latent and the turned part.  Against those the queries are brought into the latent's space, so
    that all heads share one key and one value and none is ever written out.
    """

    def __init__(self, c: Any, i: int, rope: Any) -> None:
        h, plain, turned = c.num_attention_heads, c.qk_nope_head_dim, c.qk_rope_head_dim
        super().__init__(i, h, h, plain + turned, rope, scale=c.scale, v_width=c.v_head_dim)
        self.plain, self.turning, self.rank = plain, turned, c.kv_lora_rank
        if c.q_lora_rank is None:
            self.q_proj = Linear(c.hidden_size, h * self.width, bias=False)
        else:
            self.q_a_proj = Linear(c.hidden_size, c.q_lora_rank, bias=c.attention_bias)
            self.q_a_layernorm = RMSNorm(c.q_lora_rank, eps=1e-6)
            self.q_b_proj = Linear(c.q_lora_rank, h * self.width, bias=False)
        self.low = c.q_lora_rank is not None
        self.kv_a_proj_with_mqa = Linear(c.hidden_size, c.kv_lora_rank + turned, bias=c.attention_bias)
        self.kv_a_layernorm = RMSNorm(c.kv_lora_rank, eps=1e-6)
        self.kv_b_proj = Linear(c.kv_lora_rank, h * (plain + c.v_head_dim), bias=False)
        self.o_proj = Linear(h * c.v_head_dim, c.hidden_size, bias=c.attention_bias)

    def memory(self, batch: int, capacity: int, dtype: Any, device: Any) -> KeyValues:
        return KeyValues(batch, 1, capacity, self.turning, self.rank, dtype, device)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        q = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x))) if self.low else self.q_proj(x)
        q_plain, q_turned = split_heads(q, self.heads).split([self.plain, self.turning], -1)
        latent, k_turned = self.kv_a_proj_with_mqa(x).split([self.rank, self.turning], -1)
        latent = self.kv_a_layernorm(latent)
        q_turned, k_turned = self.turned(q_turned, step), self.turned(k_turned.unsqueeze(1), step)
        memory = step.memory(self.layer)
        if memory is not None:
            memory.write(k_turned, latent.unsqueeze(1), step.slots)
        if step.alone:
            k_plain, v = split_heads(self.kv_b_proj(latent), self.heads).split([self.plain, self.v_width], -1)
            k = OPS["cat"](k_plain, k_turned.expand((step.batch, self.heads, step.n, self.turning)), dim=-1)
            q = OPS["cat"](q_plain, q_turned, dim=-1)
            y = F.attention(q, k, v, step.padding(), None, scale=self.scale, causal=True)
        else:
            weight = self.kv_b_proj.weight.reshape((self.heads, self.plain + self.v_width, self.rank))
            to_key, to_value = weight.split([self.plain, self.v_width], 1)
            q = OPS["cat"](q_plain @ to_key, q_turned, dim=-1)
            kept, turned = memory.v.to(dtype=q.dtype), memory.k.to(dtype=q.dtype)
            mask = step.seen(kept.shape[2], None)
            y = F.attention(q, OPS["cat"](kept, turned, dim=-1), kept, mask, scale=self.scale) @ to_value.mT
        return self.o_proj(y.transpose(1, 2).reshape((step.batch, step.n, self.heads * self.v_width)))


class DeepseekV2(Llama):
    Config = DeepseekV2Config

    def make_rope(self, c: Any) -> Any:
        return rope_of(c.rope, c.qk_rope_head_dim, interleaved=True)

    def attention(self, c: Any, i: int) -> Module:
        return LatentAttention(c, i, self.rope)

    def mlp(self, c: Any, i: int) -> Module:
        if i < c.first_k_dense_replace:
            return super().mlp(c, i)
        groups = (c.n_group, c.topk_group) if c.topk_method == "group_limited_greedy" else None
        return Mixture(
            c.hidden_size,
            c.moe_intermediate_size,
            c.hidden_act,
            c.n_routed_experts,
            c.num_experts_per_tok,
            normed=False,
            factor=c.routed_scaling_factor,
            groups=groups,
            shared=("shared_experts", c.moe_intermediate_size * c.n_shared_experts, False),
        )

    @classmethod
    def sanitize(cls, weights: Mapping[str, Tensor], config: Any, values: Mapping[str, Any]) -> dict[str, Tensor]:
        return stack_experts(super().sanitize(weights, config, values))
