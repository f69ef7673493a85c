"""DeBERTa v2 and v3: attention from content to position and back, by relative distance.  https://arxiv.org/abs/2111.09543"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..create import arange, as_tensor
from ..errors import FormatError, ShapeError
from ..nn import Conv1d, Dropout, Embedding, LayerNorm, Linear, Module, ModuleList, Parameter, init
from ..nn import functional as F
from ..op import OPS
from ..tensor import Tensor
from .bert import Attention, Layer, Predictions, without_tied
from .bidirectional import Encoder, EncoderConfig, Headed, QuestionAnswering, TokenClassification, look
from .decoder import split_heads
from .results import Outputs
from .settings import activation

__all__ = ["DebertaV2", "DebertaV2Config"]


@dataclass
class DebertaV2Config(EncoderConfig):
    fixed = {**EncoderConfig.fixed, "attention_head_size": (None,)}

    vocab_size: int = 128100
    hidden_size: int = 1536
    num_hidden_layers: int = 24
    num_attention_heads: int = 24
    intermediate_size: int = 6144
    type_vocab_size: int = 0
    layer_norm_eps: float = 1e-7
    embedding_size: int | None = None
    relative_attention: bool = False
    max_relative_positions: Any = -1
    position_buckets: Any = -1
    position_biased_input: bool = True
    pos_att_type: Any = None
    share_att_key: bool = False
    norm_rel_ebd: str = "none"
    conv_kernel_size: int = 0
    conv_groups: int = 1
    conv_act: str = "tanh"
    pooler_hidden_act: str = "gelu"
    pooler_hidden_size: int | None = None
    legacy: bool = True

    @classmethod
    def from_dict(cls, values: Any) -> Any:
        made = super().from_dict(values)
        kinds = made.pos_att_type or []
        kinds = [k.strip() for k in kinds.lower().split("|")] if isinstance(kinds, str) else list(kinds)
        if set(kinds) - {"c2p", "p2c"}:
            raise FormatError(f"config.json asks for pos_att_type {kinds}; those known are 'c2p' and 'p2c'")
        made.pos_att_type = kinds
        return made

    @property
    def most(self) -> int:
        """The largest relative distance told apart."""
        return self.max_relative_positions if self.max_relative_positions > 0 else self.max_position_embeddings

    @property
    def span(self) -> int:
        """How many distances to each side have an embedding."""
        return self.position_buckets if self.position_buckets > 0 else self.most

    @property
    def embedded(self) -> int:
        return self.embedding_size or self.hidden_size

    def distances(self, n: int) -> Any:
        """The number of each distance between two of n tokens, int64[n, n]; far ones share logarithmic buckets."""
        far = np.arange(n)[:, None] - np.arange(n)
        if self.position_buckets > 0:
            mid = self.position_buckets // 2
            size = np.where((far < mid) & (far > -mid), mid - 1, np.abs(far)).astype(np.float32)
            step = np.float32(math.log((self.most - 1) / mid))
            with np.errstate(divide="ignore"):
                log = np.ceil(np.log(size / np.float32(mid)) / step * np.float32(mid - 1)) + mid
            far = np.where(size <= mid, far, log * np.sign(far))
        return far.astype(np.int64)


class Disentangled(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.c, self.heads = c, c.num_attention_heads
        self.query_proj = Linear(c.hidden_size, c.hidden_size)
        self.key_proj = Linear(c.hidden_size, c.hidden_size)
        self.value_proj = Linear(c.hidden_size, c.hidden_size)
        self.kinds = c.pos_att_type
        if c.relative_attention and not c.share_att_key:
            if "c2p" in self.kinds:
                self.pos_key_proj = Linear(c.hidden_size, c.hidden_size)
            if "p2c" in self.kinds:
                self.pos_query_proj = Linear(c.hidden_size, c.hidden_size)

    def forward(self, x: Tensor, keep: Tensor | None, far: Any, table: Tensor | None) -> Tensor:
        q, k, v = (split_heads(f(x), self.heads) for f in (self.query_proj, self.key_proj, self.value_proj))
        scale = (q.shape[-1] * (1 + len(self.kinds))) ** -0.5
        bias = None if table is None else self.bias(q, k, far, table)
        return look(q, k, v, keep, scale=scale, mask=None if bias is None else bias * scale)

    def bias(self, q: Tensor, k: Tensor, far: Any, table: Tensor) -> Tensor | None:
        """What distances add to the scores, ``[b, h, n, n]``, before they are scaled."""
        shared, span = self.c.share_att_key, self.c.span
        b, h, n, _ = q.shape
        table = table[: 2 * span].unsqueeze(0)
        found = None
        for kind, by, place in (("c2p", q, far + span), ("p2c", k, span - far)):
            if kind not in self.kinds:
                continue
            if kind == "c2p":
                other = (self.key_proj if shared else self.pos_key_proj)(table)
            else:
                other = (self.query_proj if shared else self.pos_query_proj)(table)
            scores = by @ split_heads(other, self.heads).mT
            ids = as_tensor(np.clip(place, 0, 2 * span - 1), device=q.backend).reshape((1, 1, n, n)).expand((b, h, n, n))
            part = OPS["gather"](scores, ids, dim=-1)
            part = part if kind == "c2p" else part.mT
            found = part if found is None else found + part
        return found


class DebertaAttention(Attention):
    def make(self, c: Any) -> Module:
        return Disentangled(c)


class DebertaLayer(Layer):
    attention_kind = DebertaAttention


class ConvLayer(Module):
    """What neighbours add to the first layer's result."""

    def __init__(self, c: Any) -> None:
        super().__init__()
        self.act = activation(c.conv_act)
        self.conv = Conv1d(
            c.hidden_size, c.hidden_size, c.conv_kernel_size, padding=(c.conv_kernel_size - 1) // 2, groups=c.conv_groups
        )
        self.LayerNorm = LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.dropout = Dropout(c.hidden_dropout_prob)

    def forward(self, x: Tensor, y: Tensor, keep: Tensor | None) -> Tensor:
        near = self.conv(x.transpose(1, 2)).transpose(1, 2)
        near = _only(near, keep)
        return _only(self.LayerNorm(y + self.act(self.dropout(near))), keep)


def _only(x: Tensor, keep: Tensor | None) -> Tensor:
    return x if keep is None else OPS["where"](keep.unsqueeze(-1), x, 0)


class Embeddings(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.most, self.width = c.max_position_embeddings, c.embedded
        self.word_embeddings = Embedding(c.vocab_size, c.embedded, padding_idx=c.pad_token_id)
        self.position_embeddings = Embedding(c.max_position_embeddings, c.embedded) if c.position_biased_input else None
        self.token_type_embeddings = Embedding(c.type_vocab_size, c.embedded) if c.type_vocab_size else None
        self.embed_proj = Linear(c.embedded, c.hidden_size, bias=False) if c.embedded != c.hidden_size else None
        self.LayerNorm = LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.dropout = Dropout(c.hidden_dropout_prob)

    def forward(self, ids: Tensor, keep: Tensor | None, types: Tensor | None, positions: Tensor | None) -> Tensor:
        n = ids.shape[1]
        x = self.word_embeddings(ids)
        if self.position_embeddings is not None:
            if n > self.most:
                raise ShapeError(f"this model takes at most {self.most} tokens but was given {n}; truncate them")
            x = x + self.position_embeddings(arange(n, device=ids.backend) if positions is None else positions)
        if self.token_type_embeddings is not None:
            x = x + (self.token_type_embeddings.weight[0] if types is None else self.token_type_embeddings(types))
        if self.embed_proj is not None:
            x = self.embed_proj(x)
        return self.dropout(_only(self.LayerNorm(x), keep))


class Layers(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.c = c
        self.layer = ModuleList([DebertaLayer(c) for _ in range(c.num_hidden_layers)])
        self.rel_embeddings = Embedding(2 * c.span, c.hidden_size) if c.relative_attention else None
        normed = "layer_norm" in [part.strip() for part in c.norm_rel_ebd.lower().split("|")]
        self.LayerNorm = LayerNorm(c.hidden_size, eps=c.layer_norm_eps) if normed else None
        self.conv = ConvLayer(c) if c.conv_kernel_size > 0 else None

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        far, table = None, None
        if self.rel_embeddings is not None:
            far, table = self.c.distances(x.shape[1]), self.rel_embeddings.weight
            table = table if self.LayerNorm is None else self.LayerNorm(table)
        before = x
        for i, layer in enumerate(self.layer):
            x = layer(x, keep, far, table)
            if i == 0 and self.conv is not None:
                x = self.conv(before, x, keep)
        return x


class MaskedLM(Headed):
    """Logits over the vocabulary, ``[b, n, vocab]``: under ``cls``, or as the authors' own checkpoints have it."""

    def extend(self, c: Any) -> None:
        if c.legacy:
            self.cls = Predictions(c, c.embedded)
        else:
            self.lm_predictions = OwnPredictions(c)

    def logits(self, x: Tensor, out: Outputs, keep: Tensor | None) -> Tensor:
        return (self.cls if self.config.legacy else self.lm_predictions)(x, self._modules[self.inner].vocabulary())  # type: ignore[union-attr, operator]

    @classmethod
    def sanitize(cls, weights: dict[str, Tensor], config: Any) -> dict[str, Tensor]:
        if not config.legacy:
            return weights
        return without_tied(weights, config, "cls.predictions.decoder", "cls.predictions.bias")


class OwnPredictions(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.lm_head = OwnHead(c)

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        return self.lm_head(x, table)


class OwnHead(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.dense = Linear(c.hidden_size, c.hidden_size)
        self.LayerNorm = LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.bias = Parameter(init.blank(c.vocab_size))
        self.act = activation(c.hidden_act)

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        return F.linear(self.LayerNorm(self.act(self.dense(x))), table, self.bias)


class ContextPooler(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        width = c.pooler_hidden_size or c.hidden_size
        self.dense = Linear(width, width)
        self.act = activation(c.pooler_hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.dense(x[:, 0]))


class SequenceClassification(Headed):
    """Logits per text, ``[b, labels]``."""

    def extend(self, c: Any) -> None:
        self.pooler = ContextPooler(c)
        self.classifier = Linear(c.hidden_size, c.num_labels)

    def logits(self, x: Tensor, out: Outputs, keep: Tensor | None) -> Tensor:
        return self.classifier(self.pooler(x))


class DebertaV2(Encoder):
    Config = DebertaV2Config
    prefix = "deberta"
    dropped = (*Encoder.dropped, r"^mask_predictions\.")
    heads = {
        "ForMaskedLM": MaskedLM,
        "ForSequenceClassification": SequenceClassification,
        "ForTokenClassification": TokenClassification,
        "ForQuestionAnswering": QuestionAnswering,
    }

    def __init__(self, config: Any, pooler: bool = False) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = Layers(config)

    def vocabulary(self) -> Tensor:
        return self.embeddings.word_embeddings.weight

    def hidden(self, ids: Tensor, keep: Tensor | None, types: Tensor | None, positions: Tensor | None) -> Tensor:
        return self.encoder(self.embeddings(ids, keep, types, positions), keep)
