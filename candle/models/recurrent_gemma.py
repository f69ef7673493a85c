"""RecurrentGemma (Griffin): gated linear recurrences, and windows of attention in every third layer.  https://arxiv.org/abs/2402.19427"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..dtype import bfloat16
from ..nn import Linear, Module, Parameter, init
from ..nn import functional as F
from ..op import OPS
from ..tensor import Tensor
from .caching import State
from .decoder import Block, CausalLM, DecoderConfig, GatedMLP, GemmaNorm, Names, SelfAttention, Step
from .recurrence import CausalConv, flat, scanned
from .settings import activation

__all__ = ["RecurrentGemma", "RecurrentGemmaConfig"]


@dataclass
class RecurrentGemmaConfig(DecoderConfig):
    partial_rotary = 0.5
    aliases = {"hidden_activation": "hidden_act", "layers_block_type": "layer_types"}

    vocab_size: int = 256000
    hidden_size: int = 2560
    intermediate_size: int = 7680
    num_hidden_layers: int = 26
    num_attention_heads: int = 10
    lru_width: int | None = None
    attention_window_size: int = 2048
    conv1d_width: int = 4
    logits_soft_cap: float = 30.0
    rms_norm_eps: float = 1e-6
    hidden_act: str = "gelu_pytorch_tanh"
    block_types: Any = ("recurrent", "recurrent", "attention")
    layer_types: Any = None
    attention_bias: bool = False
    tie_word_embeddings: bool = True
    max_position_embeddings: int | None = None
    eos_token_id: Any = 1
    bos_token_id: Any = 2
    pad_token_id: Any = 0

    def recurrent(self, i: int) -> bool:
        """Whether layer i is a recurrence; else it has attention."""
        known = {"recurrent": True, "linear_attention": True, "attention": False, "sliding_attention": False}
        return known[self.kinds(self.layer_types, lambda j: self.block_types[j % len(self.block_types)], tuple(known))[i]]


class Gate(Module):
    """The real-gated linear recurrent unit: h[t] = a[t] h[t - 1] + sqrt(1 - a[t]²) gate[t] x[t], gates by blocks."""

    def __init__(self, c: Any, width: int) -> None:
        super().__init__()
        blocks = c.num_attention_heads
        side = width // blocks
        self.blocks = blocks
        self.recurrent_param = Parameter(init.blank(width))
        for name in ("input_gate", "recurrent_gate"):
            setattr(self, name + "_weight", Parameter(init.blank(blocks, side, side)))
            setattr(self, name + "_bias", Parameter(init.blank(blocks, side)))

    def opened(self, x: Tensor, name: str) -> Tensor:
        b, n, d = x.shape
        parts = x.reshape((b, n, self.blocks, 1, d // self.blocks)) @ getattr(self, name + "_weight")
        return flat(parts.squeeze(3) + getattr(self, name + "_bias")).sigmoid()

    def forward(self, x: Tensor, step: Step, memory: State | None) -> Tensor:
        decay = self.opened(x, "recurrent_gate") * F.softplus(self.recurrent_param) * -8.0
        first = (step.at == 0).unsqueeze(-1)
        size = OPS["where"](first, 1.0, (1 - (decay * 2).exp()).clamp(1e-30).sqrt())
        x = step.zero_padding(x * self.opened(x, "input_gate") * size)
        return scanned(OPS["where"](first, 0.0, decay.exp()), x, memory)


class RecurrentBlock(Module):
    def __init__(self, c: Any, i: int) -> None:
        super().__init__()
        self.layer, self.lru = i, c.lru_width or c.hidden_size
        self.linear_y = Linear(c.hidden_size, self.lru)
        self.linear_x = Linear(c.hidden_size, self.lru)
        self.linear_out = Linear(self.lru, c.hidden_size)
        self.conv_1d = CausalConv(self.lru, c.conv1d_width, True)
        self.rg_lru = Gate(c, self.lru)
        self.act = activation(c.hidden_act)

    def memory(self, batch: int, capacity: int, dtype: Any, device: Any) -> State:
        return State({"conv": self.conv_1d.shape(batch), "state": (batch, self.lru)}, dtype, device)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        memory = step.memory(self.layer)
        inner = self.conv_1d(step.zero_padding(self.linear_x(x)), memory)
        return self.linear_out(self.rg_lru(inner, step, memory) * self.act(self.linear_y(x)))


class RecurrentGemma(CausalLM):
    Config = RecurrentGemmaConfig
    names = Names(norm="final_norm")

    def norm(self, c: Any) -> Module:
        return GemmaNorm(c.hidden_size, eps=c.rms_norm_eps)

    def block(self, c: Any, i: int) -> Module:
        mixer: Module
        if c.recurrent(i):
            mixer = RecurrentBlock(c, i)
        else:
            mixer = SelfAttention(c, i, bias=c.attention_bias, out_bias=True, rope=self.rope, window=c.attention_window_size)
        mlp = GatedMLP(c.hidden_size, c.intermediate_size // 2, c.hidden_act, bias=True)
        return Block(
            ("temporal_pre_norm", self.norm(c)), ("temporal_block", mixer), ("channel_pre_norm", self.norm(c)), ("mlp_block", mlp)
        )

    def embed(self, ids: Tensor, step: Step) -> Tensor:
        x = super().embed(ids, step)
        return x * x.new_full((), self.config.hidden_size**0.5).to(dtype=bfloat16).to(dtype=x.dtype)

    def finish(self, logits: Tensor) -> Tensor:
        cap = self.config.logits_soft_cap
        return (logits / cap).tanh() * cap if cap else logits
