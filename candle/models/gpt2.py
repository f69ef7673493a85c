"""GPT-2: learned positions, layer norms, plain feed-forward blocks.  https://openai.com/index/better-language-models"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import ShapeError
from ..nn import Embedding, LayerNorm, Linear, Module
from ..tensor import Tensor
from .decoder import MLP, Block, CausalLM, Conv1D, DecoderConfig, FusedAttention, Names, Step

__all__ = ["Gpt2", "Gpt2Config"]


@dataclass
class Gpt2Config(DecoderConfig):
    aliases = {
        "n_embd": "hidden_size",
        "n_layer": "num_hidden_layers",
        "n_head": "num_attention_heads",
        "n_positions": "max_position_embeddings",
        "activation_function": "hidden_act",
    }
    fixed = {"add_cross_attention": (False, None)}

    shared_keys = False

    vocab_size: int = 50257
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    n_inner: int | None = None
    hidden_act: str = "gelu_new"
    max_position_embeddings: int | None = 1024
    layer_norm_epsilon: float = 1e-5
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False
    tie_word_embeddings: bool = True
    transposed: bool = True  # whether weights are kept as [in, out]
    eos_token_id: Any = 50256
    bos_token_id: Any = 50256

    def scale(self, i: int) -> float:
        """What scores are multiplied with in layer i."""
        return (self.width**-0.5 if self.scale_attn_weights else 1.0) / (i + 1 if self.scale_attn_by_inverse_layer_idx else 1)


def _linear(c: Any) -> Any:
    return Conv1D if c.transposed else Linear


class Gpt2(CausalLM):
    Config = Gpt2Config
    names = Names("transformer", "wte", "h", "ln_f")
    gguf = {
        "token_embd": "transformer.wte",
        "position_embd": "transformer.wpe",
        "output_norm": "transformer.ln_f",
        "output": "lm_head",
        "blk.N.attn_norm": "transformer.h.N.ln_1",
        "blk.N.attn_qkv": "transformer.h.N.attn.c_attn",
        "blk.N.attn_output": "transformer.h.N.attn.c_proj",
        "blk.N.ffn_norm": "transformer.h.N.ln_2",
        "blk.N.ffn_up": "transformer.h.N.mlp.c_fc",
        "blk.N.ffn_down": "transformer.h.N.mlp.c_proj",
    }

    @classmethod
    def from_gguf(cls, values: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return {**values, "transposed": False, "n_inner": values["intermediate_size"]}, tensors

    def make_rope(self, c: Any) -> Any:
        return None

    def norm(self, c: Any) -> Module:
        return LayerNorm(c.hidden_size, eps=c.layer_norm_epsilon)

    def attention(self, c: Any, i: int) -> Module:
        return FusedAttention(c, i, ("c_attn", "c_proj"), False, True, linear=_linear(c), scale=c.scale(i))

    def block(self, c: Any, i: int) -> Module:
        inner = 4 * c.hidden_size if c.n_inner is None else c.n_inner
        mlp = MLP(c.hidden_size, inner, c.hidden_act, ("c_fc", "c_proj"), linear=_linear(c))
        return Block(("ln_1", self.norm(c)), ("attn", self.attention(c, i)), ("ln_2", self.norm(c)), ("mlp", mlp))

    def extend(self, body: Any) -> None:
        body.wpe = Embedding(self.config.max_position_embeddings, self.config.hidden_size)

    def embed(self, ids: Tensor, step: Step) -> Tensor:
        most = self.config.max_position_embeddings
        if step.n + (0 if step.cache is None else step.cache.longest) > most:
            raise ShapeError(f"this model has {most} positions but was given more tokens; truncate them")
        return super().embed(ids, step) + self.body.wpe(step.positions)
