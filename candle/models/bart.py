"""BART: an encoder-decoder of post-normalised blocks with learned positions.  https://arxiv.org/abs/1910.13461"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Mapping

from ..create import arange
from ..errors import ShapeError
from ..nn import Buffer, Dropout, Embedding, LayerNorm, Linear, Module, ModuleList, init
from ..nn import functional as F
from ..tensor import Tensor
from .bidirectional import look
from .decoder import Attention, Step, split_heads
from .seq2seq import CrossAttention, Seq2Seq, Source
from .settings import Config, activation

__all__ = ["Bart", "BartConfig"]


@dataclass
class BartConfig(Config):
    vocab_size: int = 50265
    decoder_vocab_size: int | None = None
    max_position_embeddings: int = 1024
    encoder_layers: int = 12
    encoder_ffn_dim: int = 4096
    encoder_attention_heads: int = 16
    decoder_layers: int = 12
    decoder_ffn_dim: int = 4096
    decoder_attention_heads: int = 16
    activation_function: str = "gelu"
    d_model: int = 1024
    dropout: float = 0.1
    scale_embedding: bool = False
    tie_word_embeddings: bool = True
    share_encoder_decoder_embeddings: bool = True
    pad_token_id: Any = 1
    bos_token_id: Any = 0
    eos_token_id: Any = 2
    decoder_start_token_id: Any = 2
    forced_bos_token_id: Any = None
    forced_eos_token_id: Any = 2

    @property
    def hidden_size(self) -> int:
        return self.d_model

    @property
    def scale(self) -> float:
        """What embeddings are multiplied with."""
        return math.sqrt(self.d_model) if self.scale_embedding else 1.0


def _projections(module: Any, d: int) -> None:
    for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
        setattr(module, name, Linear(d, d))


class BartAttention(Attention):
    def __init__(self, d: int, i: int, heads: int) -> None:
        super().__init__(i, heads, heads, d // heads)
        _projections(self, d)

    def forward(self, x: Tensor, step: Step | None = None, keep: Tensor | None = None) -> Tensor:
        q, k, v = (split_heads(f(x), self.heads) for f in (self.q_proj, self.k_proj, self.v_proj))
        if step is None:
            return self.out_proj(look(q, k, v, keep, scale=self.scale))
        return self.out_proj(self.attend(q, k, v, step, None if step.cache is None else step.memory(self.layer).own))


class BartCross(CrossAttention):
    def __init__(self, d: int, i: int, heads: int) -> None:
        super().__init__()
        self.layer, self.heads, self.width, self.scale = i, heads, d // heads, (d // heads) ** -0.5
        _projections(self, d)

    def queries(self, x: Tensor) -> Tensor:
        return self.q_proj(x)

    def pair(self, states: Tensor) -> tuple[Tensor, Tensor]:
        return split_heads(self.k_proj(states), self.heads), split_heads(self.v_proj(states), self.heads)

    def out(self, y: Tensor) -> Tensor:
        return self.out_proj(y)


class Layer(Module):
    def __init__(self, c: Any, i: int, decoder: bool) -> None:
        super().__init__()
        d = c.d_model
        heads, inner = (
            (c.decoder_attention_heads, c.decoder_ffn_dim) if decoder else (c.encoder_attention_heads, c.encoder_ffn_dim)
        )
        self.act, self.dropout = activation(c.activation_function), Dropout(c.dropout)
        self.self_attn = BartAttention(d, i, heads)
        self.self_attn_layer_norm = LayerNorm(d)
        if decoder:
            self.encoder_attn = BartCross(d, i, heads)
            self.encoder_attn_layer_norm = LayerNorm(d)
        self.fc1, self.fc2 = Linear(d, inner), Linear(inner, d)
        self.final_layer_norm = LayerNorm(d)

    def forward(self, x: Tensor, keep: Tensor | None, step: Step | None = None, source: Source | None = None) -> Tensor:
        x = self.self_attn_layer_norm(x + self.dropout(self.self_attn(x, step, keep)))
        if source is not None:
            x = self.encoder_attn_layer_norm(x + self.dropout(self.encoder_attn(x, step, source)))
        return self.final_layer_norm(x + self.dropout(self.fc2(self.act(self.fc1(x)))))


class Stack(Module):
    """One side's embeddings and layers; ``offset`` is where its table of positions begins."""

    offset = 2

    def __init__(self, c: Any, decoder: bool) -> None:
        super().__init__()
        self.scale, self.most, self.dropout = c.scale, c.max_position_embeddings, Dropout(c.dropout)
        if not c.share_encoder_decoder_embeddings:
            words = c.decoder_vocab_size if decoder and c.decoder_vocab_size else c.vocab_size
            self.embed_tokens = Embedding(words, c.d_model, padding_idx=c.pad_token_id)
        self.layers = ModuleList([Layer(c, i, decoder) for i in range(c.decoder_layers if decoder else c.encoder_layers)])
        self.extend(c)

    def extend(self, c: Any) -> None:
        self.embed_positions = Embedding(c.max_position_embeddings + self.offset, c.d_model)
        self.layernorm_embedding = LayerNorm(c.d_model)

    def embedded(self, x: Tensor, at: Tensor) -> Tensor:
        return self.layernorm_embedding(x + self.embed_positions(at + self.offset))

    def enter(self, ids: Tensor, table: Any, at: Tensor, longest: int) -> Tensor:
        """The first layer's input; raises ShapeError beyond the last position."""
        if longest > self.most:
            raise ShapeError(f"this model has {self.most} positions but was given {longest} tokens; truncate them")
        return self.dropout(self.embedded((self.embed_tokens if table is None else table)(ids) * self.scale, at))


class Body(Module):
    def __init__(self, c: Any, kind: type[Stack]) -> None:
        super().__init__()
        if c.share_encoder_decoder_embeddings:
            self.shared = Embedding(c.vocab_size, c.d_model, padding_idx=c.pad_token_id)
        self.encoder, self.decoder = kind(c, False), kind(c, True)


class Bart(Seq2Seq):
    Config = BartConfig
    dropped: ClassVar[tuple[str, ...]] = (r"^(model\.)?(encoder|decoder)\.version$",)
    stack: Any = Stack

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.model = Body(config, self.stack)
        words = config.decoder_vocab_size or config.vocab_size
        self.final_logits_bias = Buffer(init.blank(1, words))
        if not config.tie_word_embeddings:
            self.lm_head = Linear(config.d_model, words, bias=False)

    @property
    def table(self) -> Any:
        """The embeddings that both sides share, or None."""
        return self.model._modules.get("shared")

    def encode(self, ids: Tensor, keep: Tensor | None) -> Tensor:
        x = self.model.encoder.enter(ids, self.table, arange(ids.shape[1], device=ids.backend), ids.shape[1])
        for layer in self.model.encoder.layers:
            x = layer(x, keep)
        return x

    def write(self, ids: Tensor, step: Step, source: Source) -> Tensor:
        longest = step.n + (0 if step.cache is None else step.cache.longest)
        x = self.model.decoder.enter(ids, self.table, step.positions, longest)
        for layer in self.model.decoder.layers:
            x = layer(x, None, step, source)
        return x

    def logits(self, hidden: Tensor) -> Tensor:
        if self.config.tie_word_embeddings:
            table = self.model.decoder.embed_tokens if self.table is None else self.table
            weight = table.weight
        else:
            weight = self.lm_head.weight
        return F.linear(hidden, weight, None) + self.final_logits_bias

    def parts(self) -> list[Any]:
        return [(layer.self_attn, layer.encoder_attn) for layer in self.model.decoder.layers]

    @classmethod
    def sanitize(cls, weights: Mapping[str, Tensor], config: Any, values: Mapping[str, Any]) -> dict[str, Tensor]:
        found = cls.kept(weights)
        if not any(k.startswith("model.") for k in found):
            found = {f"model.{k}": w for k, w in found.items()}
        shared = config.share_encoder_decoder_embeddings
        if shared and "model.shared.weight" not in found:
            found["model.shared.weight"] = found["model.encoder.embed_tokens.weight"]
        elif not shared:
            found.pop("model.shared.weight", None)
        for side in ("encoder", "decoder"):
            if shared:
                found.pop(f"model.{side}.embed_tokens.weight", None)
        if config.tie_word_embeddings:
            found.pop("lm_head.weight", None)
        if "final_logits_bias" not in found:
            like = next(w for k, w in found.items() if k.endswith(("shared.weight", "decoder.embed_tokens.weight")))
            found["final_logits_bias"] = like.new_zeros(1, config.decoder_vocab_size or config.vocab_size)
        return found
