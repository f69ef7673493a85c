"""Qwen3-Next: a gated delta rule in three of four layers, gated attention in the fourth, many experts.  https://arxiv.org/abs/2412.06464"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..nn import Linear, Module, Parameter, init
from ..nn import functional as F
from ..op import OPS
from ..tensor import Tensor
from .caching import State
from .decoder import Attention, Block, GemmaNorm, Step, split_heads
from .llama import Llama
from .moe import Mixture, stack_experts
from .qwen3_moe import Qwen3MoeConfig
from .recurrence import CausalConv, flat
from .settings import activation

__all__ = ["Qwen3Next", "Qwen3NextConfig"]


@dataclass
class Qwen3NextConfig(Qwen3MoeConfig):
    partial_rotary = 0.25

    intermediate_size: int = 5632
    num_hidden_layers: int = 48
    num_attention_heads: int = 16
    num_key_value_heads: int | None = 2
    head_dim: int | None = 256
    linear_conv_kernel_dim: int = 4
    linear_key_head_dim: int = 128
    linear_value_head_dim: int = 128
    linear_num_key_heads: int = 16
    linear_num_value_heads: int = 32
    moe_intermediate_size: int = 512
    shared_expert_intermediate_size: int = 512
    num_experts_per_tok: int = 10
    num_experts: int = 512
    norm_topk_prob: bool = True
    full_attention_interval: int = 4

    def recurrent(self, i: int) -> bool:
        """Whether layer i has the delta rule; else it has attention."""

        def kind(j: int) -> str:
            return "linear_attention" if (j + 1) % self.full_attention_interval else "full_attention"

        return self.kinds(self.layer_types, kind, ("full_attention", "linear_attention"))[i] == "linear_attention"


def delta_rule(q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, memory: State | None) -> Tensor:
    """y[t] = S[t]ᵀ q[t], where S decays by exp(decay[t]) and then learns that k[t] stands for v[t], by a share of beta[t].

    q and k are ``[b, n, h, d]``, v ``[b, n, h, e]``, decay and beta ``[b, n, h]``, the state ``[b, h, d, e]``.
    """
    b, n, h, d = q.shape
    state = q.new_zeros(b, h, d, v.shape[-1]) if memory is None else memory["state"].to(dtype=q.dtype)
    found = []
    for t in range(n):
        key = k[:, t].unsqueeze(-1)
        state = state * decay[:, t].exp().reshape((b, h, 1, 1))
        known = (key.mT @ state).squeeze(-2)
        learnt = (v[:, t] - known) * beta[:, t].unsqueeze(-1)
        state = state + key * learnt.unsqueeze(-2)
        found.append((q[:, t].unsqueeze(-2) @ state).squeeze(-2))
    if memory is not None:
        memory["state"] = state
    return OPS["stack"](*found, dim=1)


def _unit(x: Tensor) -> Tensor:
    return x * ((x * x).sum(-1, keepdim=True) + 1e-6).rsqrt()


class NormThenGate(Module):
    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps, self.weight = eps, Parameter(init.blank(width))

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        return OPS["rms_norm"](x, self.weight, normalized_shape=x.shape[-1:], eps=self.eps) * F.silu(gate)


class DeltaNet(Module):
    """The gated delta rule behind a short convolution; value heads share the keys of their group."""

    def __init__(self, c: Any, i: int) -> None:
        super().__init__()
        self.layer, self.act = i, activation(c.hidden_act)
        self.groups, self.heads = c.linear_num_key_heads, c.linear_num_value_heads
        self.times = self.heads // self.groups
        self.d, self.e = c.linear_key_head_dim, c.linear_value_head_dim
        keys, values = self.groups * self.d, self.heads * self.e
        self.sizes = [keys, keys, values]
        self.conv1d = CausalConv(2 * keys + values, c.linear_conv_kernel_dim, False)
        self.in_proj_qkvz = Linear(c.hidden_size, 2 * keys + 2 * values, bias=False)
        self.in_proj_ba = Linear(c.hidden_size, 2 * self.heads, bias=False)
        self.dt_bias, self.A_log = Parameter(init.blank(self.heads)), Parameter(init.blank(self.heads))
        self.norm = NormThenGate(self.e, c.rms_norm_eps)
        self.out_proj = Linear(values, c.hidden_size, bias=False)

    def memory(self, batch: int, capacity: int, dtype: Any, device: Any) -> State:
        return State({"conv": self.conv1d.shape(batch), "state": (batch, self.heads, self.d, self.e)}, dtype, device)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        b, n, memory = step.batch, step.n, step.memory(self.layer)
        x = step.zero_padding(x)
        inner = self.times * self.e
        parts = self.in_proj_qkvz(x).reshape((b, n, self.groups, 2 * self.d + 2 * inner))
        q, k, v, z = parts.split([self.d, self.d, inner, inner], -1)
        beta, dt = self.in_proj_ba(x).reshape((b, n, self.groups, 2 * self.times)).chunk(2, -1)
        mixed = OPS["cat"](flat(q), flat(k), flat(v), dim=-1)
        q, k, v = step.zero_padding(self.act(self.conv1d(mixed, memory))).split(self.sizes, -1)
        q, k = (
            self.shared(_unit(q.reshape((b, n, self.groups, self.d)))),
            self.shared(_unit(k.reshape((b, n, self.groups, self.d)))),
        )
        decay = F.softplus(flat(dt) + self.dt_bias) * -self.A_log.exp()
        v = v.reshape((b, n, self.heads, self.e))
        y = delta_rule(q * self.d**-0.5, k, v, decay, flat(beta).sigmoid(), memory)
        return self.out_proj(flat(self.norm(y, z.reshape((b, n, self.heads, self.e)))))

    def shared(self, x: Tensor) -> Tensor:
        """``[b, n, groups, d]`` for every head."""
        b, n, g, d = x.shape
        return x.unsqueeze(3).expand((b, n, g, self.times, d)).reshape((b, n, self.heads, d))


class GatedAttention(Attention):
    """Attention whose result each head's gate, made beside its query, lets through."""

    def __init__(self, c: Any, i: int, rope: Any) -> None:
        super().__init__(i, c.num_attention_heads, c.kv_heads, c.width, rope)
        d, h, g, w = c.hidden_size, self.heads, self.groups, self.width
        self.q_proj = Linear(d, 2 * h * w, bias=c.attention_bias)
        self.k_proj = Linear(d, g * w, bias=c.attention_bias)
        self.v_proj = Linear(d, g * w, bias=c.attention_bias)
        self.o_proj = Linear(h * w, d, bias=c.attention_bias)
        self.q_norm, self.k_norm = GemmaNorm(w, eps=c.rms_norm_eps), GemmaNorm(w, eps=c.rms_norm_eps)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        q, gate = self.q_proj(x).reshape((step.batch, step.n, self.heads, 2 * self.width)).chunk(2, -1)
        k, v = split_heads(self.k_proj(x), self.groups), split_heads(self.v_proj(x), self.groups)
        y = self.attend(self.q_norm(q).transpose(1, 2), self.k_norm(k), v, step)
        return self.o_proj(y * flat(gate).sigmoid())


class Qwen3Next(Llama):
    Config = Qwen3NextConfig
    dropped = (*Llama.dropped, r"^mtp\.")

    def norm(self, c: Any) -> Module:
        return GemmaNorm(c.hidden_size, eps=c.rms_norm_eps)

    def block(self, c: Any, i: int) -> Module:
        mixer = ("linear_attn", DeltaNet(c, i)) if c.recurrent(i) else ("self_attn", GatedAttention(c, i, self.rope))
        return Block(
            ("input_layernorm", self.norm(c)), mixer, ("post_attention_layernorm", self.norm(c)), ("mlp", self.mlp(c, i))
        )

    def mlp(self, c: Any, i: int) -> Module:
        if not c.sparse(i):
            return super().mlp(c, i)
        inner, k = c.moe_intermediate_size, c.num_experts_per_tok
        shared = ("shared_expert", c.shared_expert_intermediate_size, True)
        return Mixture(c.hidden_size, inner, c.hidden_act, c.num_experts, k, c.norm_topk_prob, shared=shared)

    @classmethod
    def sanitize(cls, weights: Mapping[str, Tensor], config: Any, values: Mapping[str, Any]) -> dict[str, Tensor]:
        return stack_experts(super().sanitize(weights, config, values))
