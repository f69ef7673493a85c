"""Nomic BERT: BERT with rotary positions and gated feed-forward blocks, without most biases.  https://arxiv.org/abs/2402.01613"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from ..create import arange
from ..dtype import float32
from ..errors import FormatError
from ..nn import Dropout, Embedding, LayerNorm, Linear, Module, ModuleList
from ..tensor import Tensor
from .bert import MaskedLM, Pooler
from .bidirectional import Encoder, EncoderConfig, look
from .decoder import GatedMLP, split_heads
from .rotary import rope_of, settings_of

__all__ = ["NomicBert", "NomicBertConfig"]


@dataclass
class NomicBertConfig(EncoderConfig):
    aliases = {
        "n_embd": "hidden_size",
        "n_layer": "num_hidden_layers",
        "n_head": "num_attention_heads",
        "n_inner": "intermediate_size",
        "n_positions": "max_position_embeddings",
        "layer_norm_epsilon": "layer_norm_eps",
    }
    fixed = {
        **EncoderConfig.fixed,
        "qkv_proj_bias": (False,),
        "mlp_fc1_bias": (False,),
        "mlp_fc2_bias": (False,),
        "prenorm": (False,),
        "rotary_emb_interleaved": (False,),
        "rotary_emb_scale_base": (None,),
        "activation_function": ("swiglu",),
    }

    vocab_size: int = 30528
    hidden_act: str = "silu"
    hidden_dropout_prob: float = 0.0
    attention_probs_dropout_prob: float = 0.0
    max_position_embeddings: int = 2048
    head_dim: int | None = None
    rope: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Any:
        made = super().from_dict({k: v for k, v in values.items() if k != "rope"})
        share = values.get("rotary_emb_fraction", 1.0)
        if not share:
            raise FormatError("config.json asks for rotary_emb_fraction = 0 but NomicBert has rotary positions only")
        said = {**values, "max_position_embeddings": made.max_position_embeddings}
        made.rope = settings_of(said, 1000.0, 1.0 if share == 1.0 else share)
        return made


class Embeddings(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.word_embeddings = Embedding(c.vocab_size, c.hidden_size, padding_idx=c.pad_token_id)
        self.token_type_embeddings = Embedding(c.type_vocab_size, c.hidden_size)
        self.LayerNorm = LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.dropout = Dropout(c.hidden_dropout_prob)

    def forward(self, ids: Tensor, types: Tensor | None) -> Tensor:
        x = self.word_embeddings(ids)
        x = x + (self.token_type_embeddings.weight[0] if types is None else self.token_type_embeddings(types))
        return self.dropout(self.LayerNorm(x))


class TurnedAttention(Module):
    def __init__(self, c: Any, rope: Any) -> None:
        super().__init__()
        self.heads, self.rope, self.p = c.num_attention_heads, rope, c.attention_probs_dropout_prob
        inner = self.heads * (c.head_dim or c.hidden_size // self.heads)
        for name in ("q_proj", "k_proj", "v_proj"):
            setattr(self, name, Linear(c.hidden_size, inner, bias=False))
        self.o_proj = Linear(inner, c.hidden_size, bias=False)

    def forward(self, x: Tensor, keep: Tensor | None, tables: tuple[Tensor, Tensor]) -> Tensor:
        q, k, v = (split_heads(f(x), self.heads) for f in (self.q_proj, self.k_proj, self.v_proj))
        q, k = self.rope.turn(q, tables), self.rope.turn(k, tables)
        return self.o_proj(look(q, k, v, keep, self.p if self.training else 0.0))


class Layer(Module):
    def __init__(self, c: Any, rope: Any) -> None:
        super().__init__()
        self.self_attn = TurnedAttention(c, rope)
        self.post_attention_layernorm = LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.mlp = GatedMLP(c.hidden_size, c.intermediate_size, c.hidden_act)
        self.post_mlp_layernorm = LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.drop = Dropout(c.hidden_dropout_prob)

    def forward(self, x: Tensor, keep: Tensor | None, tables: tuple[Tensor, Tensor]) -> Tensor:
        x = self.post_attention_layernorm(x + self.drop(self.self_attn(x, keep, tables)))
        return self.post_mlp_layernorm(x + self.drop(self.mlp(x)))


class NomicBert(Encoder):
    Config = NomicBertConfig
    prefix = "nomic_bert"
    heads = {"ForMaskedLM": MaskedLM}
    renamed = (
        (r"^bert\.", "nomic_bert."),
        (r"encoder\.layers\.", "layers."),
        (r"emb_ln\.", "embeddings.LayerNorm."),
        (r"\.attn\.out_proj\.", ".self_attn.o_proj."),
        (r"\.attn\.Wqkv\.", ".self_attn.Wqkv."),
        (r"\.fc11\.", ".up_proj."),
        (r"\.fc12\.", ".gate_proj."),
        (r"\.fc2\.", ".down_proj."),
        (r"\.norm1\.", ".post_attention_layernorm."),
        (r"\.norm2\.", ".post_mlp_layernorm."),
        (r"\.transform\.layer_norm\.", ".transform.LayerNorm."),
    )

    def __init__(self, config: Any, pooler: bool = False) -> None:
        super().__init__()
        self.config = config
        self.rope = rope_of(config.rope, config.head_dim or config.hidden_size // config.num_attention_heads)
        self.embeddings = Embeddings(config)
        self.layers = ModuleList([Layer(config, self.rope) for _ in range(config.num_hidden_layers)])
        self.pooler = Pooler(config) if pooler else None

    def vocabulary(self) -> Tensor:
        return self.embeddings.word_embeddings.weight

    def hidden(self, ids: Tensor, keep: Tensor | None, types: Tensor | None, positions: Tensor | None) -> Tensor:
        x = self.embeddings(ids, types)
        at = arange(ids.shape[1], device=ids.backend).unsqueeze(0) if positions is None else positions
        tables = self.rope.tables(at, x.dtype if x.dtype.is_floating_point else float32)
        for layer in self.layers:
            x = layer(x, keep, tables)
        return x

    @classmethod
    def sanitize(cls, weights: Mapping[str, Tensor], config: Any, values: Mapping[str, Any]) -> dict[str, Tensor]:
        found = super().sanitize(weights, config, values)
        for name in [k for k in found if k.endswith(".Wqkv.weight")]:
            base = name.removesuffix("Wqkv.weight")
            parts = found.pop(name).chunk(3, 0)
            found.update({f"{base}{p}_proj.weight": w for p, w in zip("qkv", parts)})
        return found
