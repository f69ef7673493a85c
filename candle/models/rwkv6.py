"""RWKV-6 (Finch): RWKV-5 whose mixing and decays depend on the token, by maps of low rank.  https://arxiv.org/abs/2404.05892"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import Parameter, init
from ..tensor import Tensor
from .rwkv import ChannelMixing
from .rwkv5 import Layer, Rwkv5, Rwkv5Config
from .rwkv5 import TimeMixing as _TimeMixing

__all__ = ["Rwkv6", "Rwkv6Config"]


@dataclass
class Rwkv6Config(Rwkv5Config):
    time_mix_extra_dim: int | None = None
    time_decay_extra_dim: int | None = None

    def extra(self) -> tuple[int, int]:
        """The ranks of the maps for mixing and for decays; by default as the published models have them."""
        large = self.hidden_size == 4096
        return self.time_mix_extra_dim or (64 if large else 32), self.time_decay_extra_dim or (128 if large else 64)


class TimeMixing(_TimeMixing):
    """Each of the five inputs is a token and the one before it, in a share that a small map of both moves."""

    inputs = ("w", "k", "v", "r", "g")

    def mixers(self, c: Any) -> None:
        d, (rank, decay_rank) = c.hidden_size, c.extra()
        self.rank = rank
        for name in ("x", *self.inputs):
            setattr(self, "time_maa_" + name, Parameter(init.blank(1, 1, d)))
        self.time_maa_w1 = Parameter(init.blank(d, 5 * rank))
        self.time_maa_w2 = Parameter(init.blank(5, rank, d))
        self.time_decay = Parameter(init.blank(1, 1, self.inner))
        self.time_decay_w1 = Parameter(init.blank(d, decay_rank))
        self.time_decay_w2 = Parameter(init.blank(decay_rank, self.inner))
        self.time_faaaa = Parameter(init.blank(self.heads, self.width))

    def mixes(self, x: Tensor, before: Tensor) -> tuple[Any, Tensor]:
        b, n, _ = x.shape
        far = before - x
        moved = ((x + far * self.time_maa_x) @ self.time_maa_w1).tanh().reshape((b * n, 5, self.rank)).transpose(0, 1)
        shares = (moved @ self.time_maa_w2).reshape((5, b, n, x.shape[-1]))
        w, k, v, r, g = (x + far * (getattr(self, "time_maa_" + name) + shares[i]) for i, name in enumerate(self.inputs))
        decay = self.time_decay + (w @ self.time_decay_w1).tanh() @ self.time_decay_w2
        return [k, v, r, g], (-decay.exp()).exp().reshape((b, n, self.heads, self.width))


class Channels(ChannelMixing):
    mixers = ("time_maa_k", "time_maa_r")

    def mixed(self, x: Tensor, before: Tensor, name: str) -> Tensor:
        return x + (before - x) * getattr(self, "time_maa_" + {"key": "k", "receptance": "r"}[name])


class FinchLayer(Layer):
    attention_kind = TimeMixing
    channels_kind = Channels


class Rwkv6(Rwkv5):
    Config = Rwkv6Config
    layer = FinchLayer
