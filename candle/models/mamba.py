"""Mamba: a linear recurrence whose steps depend on the input.  https://arxiv.org/abs/2312.00752"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..nn import Linear, Module, Parameter, RMSNorm, init
from ..nn import functional as F
from ..tensor import Tensor
from .caching import State
from .decoder import CausalLM, Names, Step
from .recurrence import CausalConv, scanned
from .settings import Config, activation

__all__ = ["Mamba", "MambaConfig"]


@dataclass
class MambaConfig(Config):
    aliases = {"d_model": "hidden_size", "n_layer": "num_hidden_layers"}

    vocab_size: int = 50280
    hidden_size: int = 768
    state_size: int = 16
    num_hidden_layers: int = 32
    layer_norm_epsilon: float = 1e-5
    expand: int = 2
    conv_kernel: int = 4
    use_bias: bool = False
    use_conv_bias: bool = True
    hidden_act: str = "silu"
    time_step_rank: Any = "auto"
    intermediate_size: int | None = None
    tie_word_embeddings: bool = True
    bos_token_id: Any = 0
    eos_token_id: Any = 0
    pad_token_id: Any = 0

    @property
    def inner(self) -> int:
        return self.expand * self.hidden_size if self.intermediate_size is None else self.intermediate_size

    @property
    def rank(self) -> int:
        return math.ceil(self.hidden_size / 16) if self.time_step_rank == "auto" else int(self.time_step_rank)


class Mixer(Module):
    def __init__(self, c: Any, i: int) -> None:
        super().__init__()
        d, inner = c.hidden_size, c.inner
        self.layer, self.inner, self.rank, self.size, self.act = i, inner, c.rank, c.state_size, activation(c.hidden_act)
        self.conv1d = CausalConv(inner, c.conv_kernel, c.use_conv_bias)
        self.in_proj = Linear(d, 2 * inner, bias=c.use_bias)
        self.x_proj = Linear(inner, c.rank + 2 * c.state_size, bias=False)
        self.dt_proj = Linear(c.rank, inner)
        self.A_log = Parameter(init.blank(inner, c.state_size))
        self.D = Parameter(init.blank(inner))
        self.out_proj = Linear(inner, d, bias=c.use_bias)

    def memory(self, batch: int, capacity: int, dtype: Any, device: Any) -> State:
        return State({"conv": self.conv1d.shape(batch), "state": (batch, self.inner, self.size)}, dtype, device)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        memory = step.memory(self.layer)
        x, gate = self.in_proj(step.zero_padding(x)).chunk(2, -1)
        x = step.zero_padding(self.act(self.conv1d(step.zero_padding(x), memory)))
        dt, key, query = self.x_proj(x).split([self.rank, self.size, self.size], -1)
        dt = F.softplus(self.dt_proj(dt)).unsqueeze(-1)
        decay = (dt * -self.A_log.exp()).exp()
        h = scanned(decay, dt * key.unsqueeze(2) * x.unsqueeze(-1), memory)
        y = (h @ query.unsqueeze(-1)).squeeze(-1) + x * self.D
        return self.out_proj(y * F.silu(gate))


class Layer(Module):
    """A norm and a mixer, added to what came in."""

    def __init__(self, norm: Module, mixer: Module) -> None:
        super().__init__()
        self.norm, self.mixer = norm, mixer

    def memory(self, *args: Any) -> Any:
        return self.mixer.memory(*args)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        return x + self.mixer(self.norm(x), step)


class Mamba(CausalLM):
    Config = MambaConfig
    names = Names("backbone", "embeddings", "layers", "norm_f")
    renamed = ((r"^backbone\.embedding\.", "backbone.embeddings."),)

    def make_rope(self, c: Any) -> Any:
        return None

    def norm(self, c: Any) -> Module:
        return RMSNorm(c.hidden_size, eps=c.layer_norm_epsilon)

    def block(self, c: Any, i: int) -> Module:
        return Layer(self.norm(c), Mixer(c, i))
