"""Mixtral: Mistral with two of eight experts for each token.  https://arxiv.org/abs/2401.04088"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

from ..nn import Module
from ..tensor import Tensor
from .mistral import Mistral, MistralConfig
from .moe import Mixture, stack_experts

__all__ = ["Mixtral", "MixtralConfig"]


@dataclass
class MixtralConfig(MistralConfig):
    rope_theta = 1_000_000.0
    aliases = {"num_experts": "num_local_experts"}

    rms_norm_eps: float = 1e-5
    sliding_window: int | None = None
    num_experts_per_tok: int = 2
    num_local_experts: int = 8


class Mixtral(Mistral):
    Config = MixtralConfig
    gguf = {
        **Mistral.gguf,
        "blk.N.ffn_gate_inp": "model.layers.N.mlp.gate",
        "blk.N.ffn_gate_exps": "model.layers.N.mlp.experts.gate_proj.",
        "blk.N.ffn_up_exps": "model.layers.N.mlp.experts.up_proj.",
        "blk.N.ffn_down_exps": "model.layers.N.mlp.experts.down_proj.",
    }
    renamed = ((r"\.block_sparse_moe\.", ".mlp."),)

    def mlp(self, c: Any, i: int) -> Module:
        return Mixture(c.hidden_size, c.intermediate_size, c.hidden_act, c.num_local_experts, c.num_experts_per_tok, normed=True)

    @classmethod
    def sanitize(cls, weights: Mapping[str, Tensor], config: Any, values: Mapping[str, Any]) -> dict[str, Tensor]:
        return stack_experts(super().sanitize(weights, config, values))
