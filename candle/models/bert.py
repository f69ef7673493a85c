"""BERT: a bidirectional encoder of post-normalised attention blocks.  https://arxiv.org/abs/1810.04805"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..create import arange
from ..errors import ShapeError
from ..nn import Dropout, Embedding, LayerNorm, Linear, Module, ModuleList, Parameter, init
from ..nn import functional as F
from ..tensor import Tensor
from .bidirectional import Encoder, EncoderConfig, Headed, QuestionAnswering, TokenClassification, look
from .decoder import split_heads
from .results import Outputs
from .settings import activation

__all__ = ["Bert", "BertConfig"]


@dataclass
class BertConfig(EncoderConfig):
    """What config.json says of a BERT."""


class Embeddings(Module):
    def __init__(self, c: Any, width: int) -> None:
        super().__init__()
        self.word_embeddings = Embedding(c.vocab_size, width, padding_idx=c.pad_token_id)
        self.position_embeddings = Embedding(c.max_position_embeddings, width)
        self.token_type_embeddings = Embedding(c.type_vocab_size, width)
        self.LayerNorm = LayerNorm(width, eps=c.layer_norm_eps)
        self.dropout = Dropout(c.hidden_dropout_prob)
        self.most = c.max_position_embeddings

    def positions(self, ids: Tensor) -> Tensor:
        """Where tokens stand, int[n] or int[b, n]."""
        n = ids.shape[-1]
        if n > self.most:
            raise ShapeError(f"this model takes at most {self.most} tokens but was given {n}; truncate them")
        return arange(n, device=ids.backend)

    def forward(self, ids: Tensor, types: Tensor | None, positions: Tensor | None) -> Tensor:
        x = self.word_embeddings(ids)
        x = x + (self.token_type_embeddings.weight[0] if types is None else self.token_type_embeddings(types))
        x = x + self.position_embeddings(self.positions(ids) if positions is None else positions)
        return self.dropout(self.LayerNorm(x))


class SelfAttention(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.heads, self.p = c.num_attention_heads, c.attention_probs_dropout_prob
        self.query = Linear(c.hidden_size, c.hidden_size)
        self.key = Linear(c.hidden_size, c.hidden_size)
        self.value = Linear(c.hidden_size, c.hidden_size)

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        q, k, v = (split_heads(f(x), self.heads) for f in (self.query, self.key, self.value))
        return look(q, k, v, keep, self.p if self.training else 0.0)


class Projection(Module):
    """A linear layer whose result is added to what went before and normalised."""

    def __init__(self, inputs: int, c: Any) -> None:
        super().__init__()
        self.dense = Linear(inputs, c.hidden_size)
        self.LayerNorm = LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.dropout = Dropout(c.hidden_dropout_prob)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(x)) + before)


class Attention(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.self = self.make(c)
        self.output = Projection(c.hidden_size, c)

    def make(self, c: Any) -> Module:
        return SelfAttention(c)

    def forward(self, x: Tensor, *rest: Any) -> Tensor:
        return self.output(self.self(x, *rest), x)


class Intermediate(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.dense = Linear(c.hidden_size, c.intermediate_size)
        self.act = activation(c.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.dense(x))


class Layer(Module):
    attention_kind: Any = Attention

    def __init__(self, c: Any) -> None:
        super().__init__()
        self.attention = self.attention_kind(c)
        self.intermediate = Intermediate(c)
        self.output = Projection(c.intermediate_size, c)

    def forward(self, x: Tensor, *rest: Any) -> Tensor:
        x = self.attention(x, *rest)
        return self.output(self.intermediate(x), x)


class Layers(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.layer = ModuleList([Layer(c) for _ in range(c.num_hidden_layers)])

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        for layer in self.layer:
            x = layer(x, keep)
        return x


class Pooler(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.dense = Linear(c.hidden_size, c.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x[:, 0]).tanh()


class Predictions(Module):
    """BERT's head for masked tokens: ``transform`` and a bias, with the table of embeddings."""

    def __init__(self, c: Any, width: int | None = None) -> None:
        super().__init__()
        self.predictions = LMHead(c, c.hidden_size if width is None else width)

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        return self.predictions(x, table)


class Transform(Module):
    """A linear map, an activation and a norm."""

    def __init__(self, c: Any, width: int) -> None:
        super().__init__()
        self.dense = Linear(c.hidden_size, width)
        self.LayerNorm = LayerNorm(width, eps=c.layer_norm_eps)
        self.act = activation(c.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        return self.LayerNorm(self.act(self.dense(x)))


class LMHead(Module):
    def __init__(self, c: Any, width: int) -> None:
        super().__init__()
        self.transform = Transform(c, width)
        self.bias = Parameter(init.blank(c.vocab_size))
        self.decoder = None if c.tie_word_embeddings else Linear(width, c.vocab_size, bias=False)

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        weight = table if self.decoder is None else self.decoder.weight
        return F.linear(self.transform(x), weight, self.bias)


class MaskedLM(Headed):
    """Logits over the vocabulary, ``[b, n, vocab]``, under ``cls``."""

    def extend(self, c: Any) -> None:
        self.cls = Predictions(c)

    def logits(self, x: Tensor, out: Outputs, keep: Tensor | None) -> Tensor:
        return self.cls(x, self._modules[self.inner].vocabulary())  # type: ignore[union-attr, operator]

    @classmethod
    def sanitize(cls, weights: dict[str, Tensor], config: Any) -> dict[str, Tensor]:
        return without_tied(weights, config, "cls.predictions.decoder", "cls.predictions.bias")


def without_tied(weights: dict[str, Tensor], config: Any, decoder: str, bias: str) -> dict[str, Tensor]:
    """The weights of a head, its bias under one name, the map that is the table of embeddings left out."""
    found = {
        k: w
        for k, w in weights.items()
        if k != decoder + ".bias" and not (config.tie_word_embeddings and k == decoder + ".weight")
    }
    if decoder + ".bias" in weights and (bias not in found or not config.tie_word_embeddings):
        found[bias] = weights[decoder + ".bias"]
    return found


class SequenceClassification(Headed):
    """Logits per text, ``[b, labels]``, of the pooled first token."""

    def __init__(self, config: Any, kind: Any, pooler: bool = True) -> None:
        super().__init__(config, kind, True)

    def extend(self, c: Any) -> None:
        self.dropout = Dropout(c.hidden_dropout_prob)
        self.classifier = Linear(c.hidden_size, c.num_labels)

    def logits(self, x: Tensor, out: Outputs, keep: Tensor | None) -> Tensor:
        return self.classifier(self.dropout(out.pooler_output))


class Bert(Encoder):
    """The encoder with its pooler.  Attributes are named as in the published checkpoints."""

    Config = BertConfig
    heads = {
        "ForMaskedLM": MaskedLM,
        "ForSequenceClassification": SequenceClassification,
        "ForTokenClassification": TokenClassification,
        "ForQuestionAnswering": QuestionAnswering,
    }
    embeddings_kind: Any = Embeddings

    def __init__(self, config: Any, pooler: bool = True) -> None:
        super().__init__()
        self.config = config
        self.embeddings = self.embeddings_kind(config, config.hidden_size)
        self.encoder = self.layers(config)
        self.pooler = Pooler(config) if pooler else None

    def layers(self, c: Any) -> Module:
        return Layers(c)

    def vocabulary(self) -> Tensor:
        return self.embeddings.word_embeddings.weight

    def hidden(self, ids: Tensor, keep: Tensor | None, types: Tensor | None, positions: Tensor | None) -> Tensor:
        return self.encoder(self.embeddings(ids, types, positions), keep)
