"""ELECTRA: BERT over embeddings of their own width, trained to tell replaced tokens.  https://arxiv.org/abs/2003.10555"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..nn import LayerNorm, Linear, Module, Parameter, init
from ..nn import functional as F
from ..tensor import Tensor
from .bert import Bert, BertConfig, Embeddings
from .bidirectional import Headed, QuestionAnswering, TokenClassification
from .results import Outputs
from .roberta import Classifier
from .roberta import SequenceClassification as _SequenceClassification
from .settings import activation

__all__ = ["Electra", "ElectraConfig"]


@dataclass
class ElectraConfig(BertConfig):
    embedding_size: int = 128
    hidden_size: int = 256
    num_attention_heads: int = 4
    intermediate_size: int = 1024


class Generator(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.LayerNorm = LayerNorm(c.embedding_size, eps=c.layer_norm_eps)
        self.dense = Linear(c.hidden_size, c.embedding_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.LayerNorm(F.gelu(self.dense(x)))


class TiedHead(Module):
    """A bias, and the table of embeddings or a map of its own."""

    def __init__(self, c: Any) -> None:
        super().__init__()
        self.bias = Parameter(init.blank(c.vocab_size))
        self.register_parameter(
            "weight", None if c.tie_word_embeddings else Parameter(init.blank(c.vocab_size, c.embedding_size))
        )

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        return F.linear(x, table if self.weight is None else self.weight, self.bias)


class MaskedLM(Headed):
    """Logits over the vocabulary, ``[b, n, vocab]``."""

    def extend(self, c: Any) -> None:
        self.generator_predictions = Generator(c)
        self.generator_lm_head = TiedHead(c)

    def logits(self, x: Tensor, out: Outputs, keep: Tensor | None) -> Tensor:
        return self.generator_lm_head(self.generator_predictions(x), self._modules[self.inner].vocabulary())  # type: ignore[union-attr, operator]

    @classmethod
    def sanitize(cls, weights: dict[str, Tensor], config: Any) -> dict[str, Tensor]:
        return {k: w for k, w in weights.items() if not (config.tie_word_embeddings and k == "generator_lm_head.weight")}


class Discriminator(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.dense = Linear(c.hidden_size, c.hidden_size)
        self.dense_prediction = Linear(c.hidden_size, 1)
        self.act = activation(c.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense_prediction(self.act(self.dense(x))).squeeze(-1)


class PreTraining(Headed):
    """A logit per token, ``[b, n]``: whether it was replaced."""

    def extend(self, c: Any) -> None:
        self.discriminator_predictions = Discriminator(c)

    def logits(self, x: Tensor, out: Outputs, keep: Tensor | None) -> Tensor:
        return self.discriminator_predictions(x)


class GeluClassifier(Classifier):
    act = staticmethod(lambda x: F.gelu(x))


class SequenceClassification(_SequenceClassification):
    def extend(self, c: Any) -> None:
        self.classifier = GeluClassifier(c)


class Electra(Bert):
    Config = ElectraConfig
    prefix = "electra"
    heads = {
        "ForMaskedLM": MaskedLM,
        "ForPreTraining": PreTraining,
        "ForSequenceClassification": SequenceClassification,
        "ForTokenClassification": TokenClassification,
        "ForQuestionAnswering": QuestionAnswering,
    }

    def __init__(self, config: Any, pooler: bool = False) -> None:
        super().__init__(config, pooler=False)
        self.embeddings = Embeddings(config, config.embedding_size)
        narrow = config.embedding_size != config.hidden_size
        self.embeddings_project = Linear(config.embedding_size, config.hidden_size) if narrow else None

    def hidden(self, ids: Tensor, keep: Tensor | None, types: Tensor | None, positions: Tensor | None) -> Tensor:
        x = self.embeddings(ids, types, positions)
        return self.encoder(x if self.embeddings_project is None else self.embeddings_project(x), keep)
