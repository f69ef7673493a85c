"""RWKV-7 (Goose): a state matrix that forgets what a key stood for before it learns anew.  https://arxiv.org/abs/2503.14456

Parts are named as in the authors' own checkpoints; the ranks of the small maps are those of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..nn import GroupNorm, LayerNorm, Linear, Module, Parameter, init
from ..nn import functional as F
from ..op import OPS
from ..tensor import Tensor
from .caching import State
from .decoder import CausalLM, Names, Step
from .rwkv import shifted
from .rwkv5 import Rwkv5Config

__all__ = ["Rwkv7", "Rwkv7Config"]


@dataclass
class Rwkv7Config(Rwkv5Config):
    ranks: Any = None  # of the maps for decay, rate, value and gate; by default those of the published models

    @property
    def channels(self) -> int:
        return self.intermediate_size or 4 * self.hidden_size

    def rank(self, name: str) -> int:
        """The rank of one of the small maps: "w", "a", "v" or "g"."""
        if self.ranks and name in self.ranks:
            return int(self.ranks[name])
        factor, power = {"w": (1.8, 0.5), "a": (1.8, 0.5), "v": (1.3, 0.5), "g": (0.6, 0.8)}[name]
        return max(32, round(factor * self.hidden_size**power / 32) * 32)


class Attention(Module):
    def __init__(self, c: Any, i: int) -> None:
        super().__init__()
        d = c.hidden_size
        self.layer, self.heads, self.width = i, d // c.head_size, c.head_size
        for name in "rwkvag":
            setattr(self, "x_" + name, Parameter(init.blank(1, 1, d)))
        for name in ("w", "a", "v", "g") if i else ("w", "a", "g"):
            rank = c.rank(name)
            setattr(self, name + "1", Parameter(init.blank(d, rank)))
            setattr(self, name + "2", Parameter(init.blank(rank, d)))
            if name != "g":
                setattr(self, name + "0", Parameter(init.blank(1, 1, d)))
        self.k_k, self.k_a = Parameter(init.blank(1, 1, d)), Parameter(init.blank(1, 1, d))
        self.r_k = Parameter(init.blank(self.heads, self.width))
        for name in ("receptance", "key", "value", "output"):
            setattr(self, name, Linear(d, d, bias=False))
        self.ln_x = GroupNorm(self.heads, d, eps=self.width * 1e-5)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        memory = step.memory(self.layer)
        b, n, d = x.shape
        shape = (b, n, self.heads, self.width)
        far = shifted(x, memory, "attention") - x
        r, w, k, v, a, g = (x + far * getattr(self, "x_" + name) for name in "rwkvag")
        decay = -F.softplus(-(self.w0 + (w @ self.w1).tanh() @ self.w2)) - 0.5
        r, k, inner = self.receptance(r), self.key(k), self.value(v)
        if self.layer == 0:
            step.shared["first value"] = inner
        else:
            share = (self.v0 + (v @ self.v1) @ self.v2).sigmoid()
            inner = inner + (step.shared["first value"] - inner) * share
        rate = (self.a0 + (a @ self.a1) @ self.a2).sigmoid()
        gate = (g @ self.g1).sigmoid() @ self.g2
        old = F.normalize((k * self.k_k).reshape(shape), dim=-1)
        k = (k * (1 + (rate - 1) * self.k_a)).reshape(shape)
        r, v, rate = r.reshape(shape), inner.reshape(shape), rate.reshape(shape)
        decay = (-decay.exp()).exp().reshape(shape)
        if step.keep is not None:
            keep = step.keep.reshape((b, n, 1, 1))
            k, old, decay = OPS["where"](keep, k, 0), OPS["where"](keep, old, 0), OPS["where"](keep, decay, 1)
        y = self.ln_x(self.states(r, k, v, decay, old, rate, memory).reshape((b * n, d))).reshape((b, n, d))
        bonus = (r * k * self.r_k).sum(-1, keepdim=True) * v
        return self.output((y + bonus.reshape((b, n, d))) * gate)

    def states(self, r: Tensor, k: Tensor, v: Tensor, decay: Tensor, old: Tensor, rate: Tensor, memory: State | None) -> Tensor:
        """y[t] = S[t] r[t] with S[t] = S[t - 1] (diag(decay) - old (rate old)ᵀ) + v kᵀ; all ``[b, n, h, d]``."""
        b, n, h, d = k.shape
        held = k.new_zeros(b, h, d, d) if memory is None else memory["state"].to(dtype=k.dtype)
        found = []
        for t in range(n):
            gone = held @ old[:, t].unsqueeze(-1)
            held = held * decay[:, t].unsqueeze(-2) - gone @ (old[:, t] * rate[:, t]).unsqueeze(-2)
            held = held + v[:, t].unsqueeze(-1) @ k[:, t].unsqueeze(-2)
            found.append((held @ r[:, t].unsqueeze(-1)).squeeze(-1))
        if memory is not None:
            memory["state"] = held
        return OPS["stack"](*found, dim=1)


class Channels(Module):
    def __init__(self, c: Any, i: int) -> None:
        super().__init__()
        self.layer = i
        self.x_k = Parameter(init.blank(1, 1, c.hidden_size))
        self.key = Linear(c.hidden_size, c.channels, bias=False)
        self.value = Linear(c.channels, c.hidden_size, bias=False)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        far = shifted(x, step.memory(self.layer), "channels") - x
        return self.value(F.relu(self.key(x + far * self.x_k)).square())


class Layer(Module):
    def __init__(self, c: Any, i: int) -> None:
        super().__init__()
        d = c.hidden_size
        self.d = d
        self.ln0 = LayerNorm(d) if i == 0 else None
        self.ln1, self.ln2 = LayerNorm(d), LayerNorm(d)
        self.att, self.ffn = Attention(c, i), Channels(c, i)

    def memory(self, batch: int, capacity: int, dtype: Any, device: Any) -> State:
        state = (batch, self.att.heads, self.att.width, self.att.width)
        return State({"attention": (batch, self.d), "channels": (batch, self.d), "state": state}, dtype, device)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        if self.ln0 is not None:
            x = self.ln0(x)
        x = x + self.att(step.zero_padding(self.ln1(x)), step)
        return x + self.ffn(step.zero_padding(self.ln2(x)), step)


class Rwkv7(CausalLM):
    Config = Rwkv7Config
    names = Names("rwkv", "emb", "blocks", "ln_out", "head")
    dropped = (*CausalLM.dropped, r"blocks\.0\.att\.v[012]$")

    def make_rope(self, c: Any) -> Any:
        return None

    def norm(self, c: Any) -> Module:
        return LayerNorm(c.hidden_size)

    def block(self, c: Any, i: int) -> Module:
        return Layer(c, i)

    @classmethod
    def sanitize(cls, weights: Mapping[str, Tensor], config: Any, values: Mapping[str, Any]) -> dict[str, Tensor]:
        found = super().sanitize(weights, config, values)
        maps = {name: found.get(f"rwkv.blocks.1.att.{name}1") for name in "wavg"}
        config.ranks = config.ranks or {name: w.shape[1] for name, w in maps.items() if w is not None}
        return found
