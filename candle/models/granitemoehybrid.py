"""Granite 4: Mamba-2 layers with attention in a few, experts beside a shared block, Granite's factors.  https://huggingface.co/ibm-granite"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Mapping

from ..nn import Linear, Module
from ..tensor import Tensor
from .decoder import Block, SelfAttention
from .granite import Granite, GraniteConfig
from .mamba2 import Mamba2Mixer
from .moe import Experts
from .settings import activation

__all__ = ["Granitemoehybrid", "GranitemoehybridConfig"]


@dataclass
class GranitemoehybridConfig(GraniteConfig):
    aliases = {"layers_block_type": "layer_types"}
    fixed = {"position_embedding_type": (None, "rope", "nope")}

    num_local_experts: int = 8
    num_experts_per_tok: int = 2
    shared_intermediate_size: int = 1024
    position_embedding_type: str | None = None
    layer_types: Any = None
    mamba_n_heads: int = 128
    mamba_n_groups: int = 1
    mamba_d_state: int = 256
    mamba_d_head: Any = "auto"
    mamba_d_conv: int = 4
    mamba_expand: int = 2
    mamba_conv_bias: bool = True
    mamba_proj_bias: bool = False
    time_step_limit: Any = (0.0, math.inf)

    def recurrent(self, i: int) -> bool:
        """Whether layer i is a recurrence; else it has attention."""
        known = {"mamba": True, "linear_attention": True, "attention": False, "full_attention": False}
        return known[self.kinds(self.layer_types, lambda _: "mamba", tuple(known))[i]]

    @property
    def mamba_width(self) -> int:
        inner = self.mamba_expand * self.hidden_size
        return inner // self.mamba_n_heads if self.mamba_d_head == "auto" else int(self.mamba_d_head)


class SharedMLP(Module):
    def __init__(self, width: int, inner: int, act: str) -> None:
        super().__init__()
        self.act = activation(act)
        self.input_linear = Linear(width, 2 * inner, bias=False)
        self.output_linear = Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.input_linear(x).chunk(2, -1)
        return self.output_linear(self.act(gate) * up)


class Router(Module):
    def __init__(self, width: int, experts: int) -> None:
        super().__init__()
        self.layer = Linear(width, experts, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Mixture(Module):
    """The k likeliest experts, weighed by a softmax over them alone."""

    def __init__(self, c: Any) -> None:
        super().__init__()
        self.k = c.num_experts_per_tok
        self.router = Router(c.hidden_size, c.num_local_experts)
        self.experts = Experts(c.num_local_experts, c.hidden_size, c.intermediate_size, c.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape((-1, x.shape[-1]))
        best, chosen = self.router(rows).float().topk(self.k, -1)
        return self.experts(rows, chosen, best.softmax(-1).to(dtype=x.dtype)).reshape(x.shape)


class Hybrid(Block):
    """A block whose second part is a shared block and, where there are experts, those too."""

    def __init__(self, c: Any, mixer: tuple[str, Module], norms: tuple[Module, Module]) -> None:
        shared = SharedMLP(c.hidden_size, c.shared_intermediate_size, c.hidden_act)
        super().__init__(
            ("input_layernorm", norms[0]), mixer, ("post_attention_layernorm", norms[1]), ("shared_mlp", shared),
            factor=c.residual_multiplier,
        )  # fmt: skip
        self.block_sparse_moe = Mixture(c) if c.num_local_experts > 0 else None

    def _on(self, part: int, x: Tensor, *args: Any) -> Tensor:
        y = super()._on(part, x, *args)
        return y + self.block_sparse_moe(x) if part == 3 and self.block_sparse_moe is not None else y


class Granitemoehybrid(Granite):
    Config = GranitemoehybridConfig

    def make_rope(self, c: Any) -> Any:
        return super().make_rope(c) if c.position_embedding_type == "rope" else None

    def block(self, c: Any, i: int) -> Module:
        mixer: tuple[str, Module]
        if c.recurrent(i):
            mixer = "mamba", Mamba2Mixer(
                i, c.hidden_size, c.mamba_n_heads, c.mamba_width, c.mamba_n_groups, c.mamba_d_state, c.mamba_d_conv,
                c.mamba_proj_bias, c.mamba_conv_bias, c.hidden_act, c.rms_norm_eps, c.time_step_limit,
            )  # fmt: skip
        else:
            mixer = "self_attn", SelfAttention(c, i, bias=c.attention_bias, rope=self.rope, scale=c.attention_multiplier)
        return Hybrid(c, mixer, (self.norm(c), self.norm(c)))

    @classmethod
    def sanitize(cls, weights: Mapping[str, Tensor], config: Any, values: Mapping[str, Any]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for name, w in super().sanitize(weights, config, values).items():
            base = name.rpartition(".block_sparse_moe.")[0] + ".block_sparse_moe."
            if name.endswith((".block_sparse_moe.input_linear.weight", ".experts.gate_up_proj")):
                found[base + "experts.gate_proj"], found[base + "experts.up_proj"] = w.chunk(2, 1)
            elif name.endswith(".block_sparse_moe.output_linear.weight"):
                found[base + "experts.down_proj"] = w
            else:
                found[name.replace(".router.weight", ".router.layer.weight")] = w
        return found
