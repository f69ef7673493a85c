"""Jina BERT (embeddings v2): BERT with ALiBi to both sides and gated feed-forward blocks.  https://arxiv.org/abs/2310.19923

Its checkpoints say ``model_type`` bert; the architecture's name tells it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..create import as_tensor
from ..nn import Dropout, Embedding, LayerNorm, Linear, Module, ModuleList
from ..nn import functional as F
from ..tensor import Tensor
from .bert import Bert, BertConfig, Projection
from .bidirectional import look
from .decoder import alibi_slopes, split_heads

__all__ = ["JinaBert", "JinaBertConfig"]


@dataclass
class JinaBertConfig(BertConfig):
    fixed = {
        **{k: v for k, v in BertConfig.fixed.items() if k != "position_embedding_type"},
        "position_embedding_type": ("alibi",),
        "feed_forward_type": ("geglu", "reglu"),
    }

    vocab_size: int = 30528
    feed_forward_type: str = "geglu"
    max_position_embeddings: int = 8192


class Embeddings(Module):
    def __init__(self, c: Any, width: int) -> None:
        super().__init__()
        self.word_embeddings = Embedding(c.vocab_size, width, padding_idx=c.pad_token_id)
        self.token_type_embeddings = Embedding(c.type_vocab_size, width)
        self.LayerNorm = LayerNorm(width, eps=c.layer_norm_eps)
        self.dropout = Dropout(c.hidden_dropout_prob)

    def forward(self, ids: Tensor, types: Tensor | None, positions: Tensor | None) -> Tensor:
        x = self.word_embeddings(ids)
        x = x + (self.token_type_embeddings.weight[0] if types is None else self.token_type_embeddings(types))
        return self.dropout(self.LayerNorm(x))


class SlopedAttention(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.heads = c.num_attention_heads
        self.slopes = alibi_slopes(self.heads)
        self.query = Linear(c.hidden_size, c.hidden_size)
        self.key = Linear(c.hidden_size, c.hidden_size)
        self.value = Linear(c.hidden_size, c.hidden_size)

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        q, k, v = (split_heads(f(x), self.heads) for f in (self.query, self.key, self.value))
        return look(q, k, v, keep, alibi=as_tensor(self.slopes, device=x.backend).to(dtype=x.dtype))


class SlopedBlock(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.self = SlopedAttention(c)
        self.output = Projection(c.hidden_size, c)

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        return self.output(self.self(x, keep), x)


class GLU(Module):
    """wo(act(gate) up), added to what came in and normed; gate's rows come first in ``gated_layers``."""

    def __init__(self, c: Any) -> None:
        super().__init__()
        self.inner = c.intermediate_size
        self.act: Any = F.relu if c.feed_forward_type == "reglu" else F.gelu
        self.gated_layers = Linear(c.hidden_size, 2 * c.intermediate_size, bias=False)
        self.wo = Linear(c.intermediate_size, c.hidden_size)
        self.layernorm = LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.dropout = Dropout(c.hidden_dropout_prob)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gated_layers(x).chunk(2, -1)
        return self.layernorm(x + self.wo(self.dropout(self.act(gate) * up)))


class Layer(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.attention = SlopedBlock(c)
        self.mlp = GLU(c)

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        return self.mlp(self.attention(x, keep))


class Layers(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.layer = ModuleList([Layer(c) for _ in range(c.num_hidden_layers)])

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        for layer in self.layer:
            x = layer(x, keep)
        return x


class JinaBert(Bert):
    Config = JinaBertConfig
    embeddings_kind = Embeddings

    def layers(self, c: Any) -> Module:
        return Layers(c)
