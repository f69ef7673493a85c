"""Mamba-2: one decay per head, so that the recurrence is a product of matrices within a chunk.  https://arxiv.org/abs/2405.21060"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..errors import FormatError
from ..nn import Linear, Module, Parameter, init
from ..nn import functional as F
from ..op import OPS
from ..tensor import Tensor
from .caching import State
from .decoder import Step
from .mamba import Layer, Mamba, MambaConfig
from .recurrence import CausalConv, flat, state_space
from .settings import activation

__all__ = ["Mamba2", "Mamba2Config", "Mamba2Mixer"]


@dataclass
class Mamba2Config(MambaConfig):
    num_heads: int = 128
    head_dim: int = 64
    vocab_size: int = 32768
    hidden_size: int = 4096
    state_size: int = 128
    num_hidden_layers: int = 64
    n_groups: int = 8
    time_step_limit: Any = (0.0, math.inf)
    tie_word_embeddings: bool = False
    eos_token_id: Any = 2
    pad_token_id: Any = 1

    @classmethod
    def from_dict(cls, values: Any) -> Any:
        made = super().from_dict(values)
        if made.num_heads * made.head_dim != made.inner or not made.n_groups or made.num_heads % made.n_groups:
            raise FormatError(
                f"config.json: {made.num_heads} heads of {made.head_dim}, {made.n_groups} groups, for a width of {made.inner}"
            )
        return made


class GatedNorm(Module):
    """An RMS norm of x silu(gate), group by group."""

    def __init__(self, width: int, groups: int, eps: float) -> None:
        super().__init__()
        self.groups, self.eps = groups, eps
        self.weight = Parameter(init.blank(width))

    def forward(self, x: Tensor, gate: Tensor) -> Tensor:
        x = x * F.silu(gate)
        parts = x.reshape((*x.shape[:-1], self.groups, x.shape[-1] // self.groups))
        return flat(OPS["rms_norm"](parts, None, normalized_shape=parts.shape[-1:], eps=self.eps)) * self.weight


class Mamba2Mixer(Module):
    """The mixer for ``heads`` of ``width`` whose keys and queries are shared by groups of heads."""

    def __init__(
        self, i: int, d: int, heads: int, width: int, groups: int, size: int, kernel: int, bias: bool, conv_bias: bool, act: str,
        eps: float, limit: Any,
    ) -> None:  # fmt: skip
        super().__init__()
        self.layer, self.heads, self.width, self.groups, self.size, self.act = i, heads, width, groups, size, activation(act)
        self.limit = tuple(float(v) for v in limit)
        inner = heads * width
        self.sizes = [inner, inner + 2 * groups * size, heads]
        self.conv1d = CausalConv(self.sizes[1], kernel, conv_bias)
        self.in_proj = Linear(d, sum(self.sizes), bias=bias)
        self.dt_bias = Parameter(init.blank(heads))
        self.A_log = Parameter(init.blank(heads))
        self.D = Parameter(init.blank(heads))
        self.norm = GatedNorm(inner, groups, eps)
        self.out_proj = Linear(inner, d, bias=bias)

    def memory(self, batch: int, capacity: int, dtype: Any, device: Any) -> State:
        shapes = {"conv": self.conv1d.shape(batch), "state": (batch, self.heads, self.width, self.size)}
        return State(shapes, dtype, device)

    def shared(self, x: Tensor) -> Tensor:
        """``[b, n, groups * size]`` for every head, ``[b, n, heads, size]``."""
        b, n, _ = x.shape
        times = self.heads // self.groups
        x = x.reshape((b, n, self.groups, 1, self.size)).expand((b, n, self.groups, times, self.size))
        return x.reshape((b, n, self.heads, self.size))

    def forward(self, x: Tensor, step: Step) -> Tensor:
        memory = step.memory(self.layer)
        gate, x, dt = self.in_proj(step.zero_padding(x)).split(self.sizes, -1)
        x = step.zero_padding(self.act(self.conv1d(step.zero_padding(x), memory)))
        x, key, query = x.split([self.sizes[0], self.groups * self.size, self.groups * self.size], -1)
        x = x.reshape((step.batch, step.n, self.heads, self.width))
        dt = F.softplus(dt + self.dt_bias)
        low, high = self.limit
        if low > 0 or high < math.inf:
            dt = dt.clamp(low, None if high == math.inf else high)
        y = state_space(x * dt.unsqueeze(-1), dt * -self.A_log.exp(), self.shared(key), self.shared(query), memory)
        y = y + x * self.D.unsqueeze(-1)
        return self.out_proj(self.norm(flat(y), gate))


class Mamba2(Mamba):
    Config = Mamba2Config

    def block(self, c: Any, i: int) -> Module:
        mixer = Mamba2Mixer(
            i, c.hidden_size, c.num_heads, c.head_dim, c.n_groups, c.state_size, c.conv_kernel, c.use_bias, c.use_conv_bias,
            c.hidden_act, c.layer_norm_epsilon, c.time_step_limit,
        )  # fmt: skip
        return Layer(self.norm(c), mixer)
