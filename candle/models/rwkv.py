"""RWKV-4: a recurrence of decaying averages in place of attention.  https://arxiv.org/abs/2305.13048"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..create import arange
from ..nn import LayerNorm, Linear, Module, Parameter, init
from ..nn import functional as F
from ..op import OPS
from ..tensor import Tensor
from .caching import State
from .decoder import CausalLM, Names, Step
from .settings import Config

__all__ = ["Rwkv", "RwkvConfig"]


@dataclass
class RwkvConfig(Config):
    vocab_size: int = 50277
    hidden_size: int = 4096
    num_hidden_layers: int = 32
    attention_hidden_size: int | None = None
    intermediate_size: int | None = None
    layer_norm_epsilon: float = 1e-5
    tie_word_embeddings: bool = False
    bos_token_id: Any = 0
    eos_token_id: Any = 0
    pad_token_id: Any = None

    @property
    def channels(self) -> int:
        """The inner width of the channel mixing."""
        return self.intermediate_size or 4 * self.hidden_size


def shifted(x: Tensor, memory: State | None, name: str) -> Tensor:
    """x ``[b, n, d]`` one token later: the last one remembered, or zeros, comes first."""
    b, n, d = x.shape
    before = x.new_zeros(b, d) if memory is None else memory[name].to(dtype=x.dtype)
    if memory is not None:
        memory[name] = x[:, -1]
    return before.unsqueeze(1) if n == 1 else OPS["cat"](before.unsqueeze(1), x[:, :-1], dim=1)


class Mixing(Module):
    """Parts of a token and of the one before it."""

    def mixed(self, x: Tensor, before: Tensor, name: str) -> Tensor:
        share = getattr(self, "time_mix_" + name)
        return x * share + before * (1 - share)


class TimeMixing(Mixing):
    def __init__(self, c: Any, i: int) -> None:
        super().__init__()
        d, inner = c.hidden_size, c.attention_hidden_size or c.hidden_size
        self.layer, self.inner = i, inner
        self.time_decay, self.time_first = Parameter(init.blank(inner)), Parameter(init.blank(inner))
        for name in ("key", "value", "receptance"):
            setattr(self, "time_mix_" + name, Parameter(init.blank(1, 1, d)))
            setattr(self, name, Linear(d, inner, bias=False))
        self.output = Linear(inner, d, bias=False)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        memory = step.memory(self.layer)
        before = shifted(x, memory, "attention")
        k, v = self.key(self.mixed(x, before, "key")), self.value(self.mixed(x, before, "value"))
        r = self.receptance(self.mixed(x, before, "receptance")).sigmoid()
        if step.keep is not None:
            k = OPS["where"](step.keep.unsqueeze(-1), k, -1e30)
        return self.output(r * self.average(k, v, memory))

    def average(self, k: Tensor, v: Tensor, memory: State | None) -> Tensor:
        """The averages of values ``[b, n, d]`` with weights exp(key), older ones decayed.

        Numerator and denominator are kept divided by exp(top), the largest exponent so far, so that none overflows.
        """
        b, n, d = k.shape
        decay = -self.time_decay.exp()
        if memory is None:
            top0, sums = k.new_full((b, d), -1e30), (k.new_zeros(b, d), k.new_zeros(b, d))
        else:
            sums = memory["num"], memory["den"]
            # a memory that is empty, all zeros, has no weight at all
            top0 = OPS["where"](memory["den"] > 0, memory["top"], -1e30)
        at = arange(1, n + 1, device=k.backend).to(dtype=k.dtype).unsqueeze(1)
        rising = OPS["cat"](top0.unsqueeze(1), k - decay * at, dim=1).cummax(1)[0]
        tops = rising + decay * OPS["cat"](at[:1] * 0, at, dim=0)
        old, new = tops[:, :-1], tops[:, 1:]
        keep, weight = (old + decay - new).exp(), (k - new).exp()
        found = []
        for start, x in zip(sums, (weight * v, weight)):
            first = x[:, :1] + keep[:, :1] * start.unsqueeze(1)
            x = first if n == 1 else OPS["cat"](first, x[:, 1:], dim=1)
            found.append(x if n == 1 else OPS["linear_scan"](keep, x, dim=1))
        if memory is not None:
            memory["top"], memory["num"], memory["den"] = new[:, -1], found[0][:, -1], found[1][:, -1]
        num, den = (_before(start, x) for start, x in zip(sums, found))
        most = old.maximum(k + self.time_first)
        past, now = (old - most).exp(), (k + self.time_first - most).exp()
        return (past * num + now * v) / (past * den + now)


def _before(start: Tensor, x: Tensor) -> Tensor:
    return start.unsqueeze(1) if x.shape[1] == 1 else OPS["cat"](start.unsqueeze(1), x[:, :-1], dim=1)


class ChannelMixing(Mixing):
    mixers: tuple[str, ...] = ("time_mix_key", "time_mix_receptance")

    def __init__(self, c: Any, i: int) -> None:
        super().__init__()
        d, inner = c.hidden_size, c.channels
        self.layer = i
        for name in self.mixers:
            setattr(self, name, Parameter(init.blank(1, 1, d)))
        self.key, self.receptance, self.value = (
            Linear(d, inner, bias=False),
            Linear(d, d, bias=False),
            Linear(inner, d, bias=False),
        )

    def forward(self, x: Tensor, step: Step) -> Tensor:
        before = shifted(x, step.memory(self.layer), "channels")
        k = F.relu(self.key(self.mixed(x, before, "key"))).square()
        return self.receptance(self.mixed(x, before, "receptance")).sigmoid() * self.value(k)


class Layer(Module):
    def __init__(self, c: Any, i: int) -> None:
        super().__init__()
        d, eps = c.hidden_size, c.layer_norm_epsilon
        self.d = d
        self.pre_ln = LayerNorm(d, eps=eps) if i == 0 else None
        self.ln1, self.ln2 = LayerNorm(d, eps=eps), LayerNorm(d, eps=eps)
        self.attention, self.feed_forward = TimeMixing(c, i), ChannelMixing(c, i)

    def memory(self, batch: int, capacity: int, dtype: Any, device: Any) -> State:
        inner = (batch, self.attention.inner)
        return State(
            {"attention": (batch, self.d), "channels": (batch, self.d), "num": inner, "den": inner, "top": inner}, dtype, device
        )

    def forward(self, x: Tensor, step: Step) -> Tensor:
        if self.pre_ln is not None:
            x = self.pre_ln(x)
        x = x + self.attention(step.zero_padding(self.ln1(x)), step)
        return x + self.feed_forward(step.zero_padding(self.ln2(x)), step)


class Rwkv(CausalLM):
    Config = RwkvConfig
    names = Names("rwkv", "embeddings", "blocks", "ln_out", "head")

    def make_rope(self, c: Any) -> Any:
        return None

    def norm(self, c: Any) -> Module:
        return LayerNorm(c.hidden_size)

    def block(self, c: Any, i: int) -> Module:
        return Layer(c, i)
