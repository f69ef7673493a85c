"""RWKV-5 (Eagle): a state matrix per head that decays by channel.  https://arxiv.org/abs/2404.05892"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import FormatError
from ..nn import GroupNorm, LayerNorm, Linear, Module, Parameter, init
from ..nn import functional as F
from ..op import OPS
from ..tensor import Tensor
from .caching import State
from .decoder import CausalLM, Names, Step
from .rwkv import ChannelMixing, Mixing, RwkvConfig, shifted

__all__ = ["Rwkv5", "Rwkv5Config"]


@dataclass
class Rwkv5Config(RwkvConfig):
    vocab_size: int = 65536
    head_size: int = 64
    head_size_divisor: int = 8

    @classmethod
    def from_dict(cls, values: Any) -> Any:
        made = super().from_dict(values)
        if not made.head_size or made.inner % made.head_size:
            raise FormatError(f"config.json gives heads of {made.head_size} for a width of {made.inner}, which do not divide")
        return made

    @property
    def inner(self) -> int:
        return self.attention_hidden_size or self.hidden_size

    @property
    def channels(self) -> int:
        """The inner width of the channel mixing, by default three and a half widths in multiples of 32."""
        return self.intermediate_size or int(self.hidden_size * 3.5 // 32 * 32)


def states(r: Tensor, k: Tensor, v: Tensor, decay: Tensor, bonus: Tensor, memory: State | None) -> Tensor:
    """y[t] = r[t] (S[t] + bonus k[t] v[t]ᵀ), where S[t + 1] = decay[t] S[t] + k[t] v[t]ᵀ row by row; ``[b, n, h, d]``.

    r, k and decay are ``[b, n, h, d]``, v too, bonus ``[h, d]``, the state ``[b, h, d, d]``.
    """
    b, n, h, d = k.shape
    held = k.new_zeros(b, h, d, d) if memory is None else memory["state"].to(dtype=k.dtype)
    found = []
    for t in range(n):
        now = k[:, t].unsqueeze(-1) * v[:, t].unsqueeze(-2)
        found.append((r[:, t].unsqueeze(-2) @ (held + bonus.unsqueeze(-1) * now)).squeeze(-2))
        held = held * decay[:, t].unsqueeze(-1) + now
    if memory is not None:
        memory["state"] = held
    return OPS["stack"](*found, dim=1)


class TimeMixing(Mixing):
    parts = ("key", "value", "receptance", "gate")

    def __init__(self, c: Any, i: int) -> None:
        super().__init__()
        d, inner = c.hidden_size, c.inner
        self.layer, self.heads, self.width, self.inner = i, inner // c.head_size, c.head_size, inner
        self.mixers(c)
        for name in self.parts:
            setattr(self, name, Linear(d, inner, bias=False))
        self.output = Linear(inner, d, bias=False)
        self.ln_x = GroupNorm(self.heads, inner, eps=1e-5 * c.head_size_divisor**2)

    def mixers(self, c: Any) -> None:
        """The parameters of what is mixed."""
        for name in self.parts:
            setattr(self, "time_mix_" + name, Parameter(init.blank(1, 1, c.hidden_size)))
        self.time_decay = Parameter(init.blank(self.heads, self.width))
        self.time_faaaa = Parameter(init.blank(self.heads, self.width))

    def mixes(self, x: Tensor, before: Tensor) -> tuple[Any, Tensor]:
        """The inputs of key, value, receptance and gate, and the decays ``[b, n, h, d]``."""
        b, n, _ = x.shape
        decay = (-self.time_decay.exp()).exp().expand((b, n, self.heads, self.width))
        return [self.mixed(x, before, name) for name in self.parts], decay

    def forward(self, x: Tensor, step: Step) -> Tensor:
        memory = step.memory(self.layer)
        b, n, _ = x.shape
        (k, v, r, g), decay = self.mixes(x, shifted(x, memory, "attention"))
        shape = (b, n, self.heads, self.width)
        k, v, r = (f(y).reshape(shape) for f, y in ((self.key, k), (self.value, v), (self.receptance, r)))
        if step.keep is not None:
            keep = step.keep.reshape((b, n, 1, 1))
            k, decay = OPS["where"](keep, k, 0), OPS["where"](keep, decay, 1)
        y = states(r, k, v, decay, self.time_faaaa, memory)
        y = self.ln_x(y.reshape((b * n, self.inner))).reshape((b, n, self.inner))
        return self.output(y * F.silu(self.gate(g)))


class Layer(Module):
    attention_kind: Any = TimeMixing
    channels_kind: Any = ChannelMixing

    def __init__(self, c: Any, i: int) -> None:
        super().__init__()
        d, eps = c.hidden_size, c.layer_norm_epsilon
        self.d = d
        self.pre_ln = LayerNorm(d, eps=eps) if i == 0 else None
        self.ln1, self.ln2 = LayerNorm(d, eps=eps), LayerNorm(d, eps=eps)
        self.attention, self.feed_forward = self.attention_kind(c, i), self.channels_kind(c, i)

    def memory(self, batch: int, capacity: int, dtype: Any, device: Any) -> State:
        a = self.attention
        state = (batch, a.heads, a.width, a.width)
        return State({"attention": (batch, self.d), "channels": (batch, self.d), "state": state}, dtype, device)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        if self.pre_ln is not None:
            x = self.pre_ln(x)
        x = x + self.attention(step.zero_padding(self.ln1(x)), step)
        return x + self.feed_forward(step.zero_padding(self.ln2(x)), step)


class Rwkv5(CausalLM):
    Config = Rwkv5Config
    names = Names("rwkv", "embeddings", "blocks", "ln_out", "head")
    layer: Any = Layer

    def make_rope(self, c: Any) -> Any:
        return None

    def norm(self, c: Any) -> Module:
        return LayerNorm(c.hidden_size)

    def block(self, c: Any, i: int) -> Module:
        return self.layer(c, i)
