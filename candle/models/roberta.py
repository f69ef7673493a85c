"""RoBERTa: BERT whose positions begin behind the padding token's number, with a head of its own.  https://arxiv.org/abs/1907.11692"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..dtype import int64
from ..errors import ShapeError
from ..nn import Dropout, LayerNorm, Linear, Module, Parameter, init
from ..nn import functional as F
from ..tensor import Tensor
from .bert import Bert, BertConfig, Embeddings, without_tied
from .bidirectional import Headed, QuestionAnswering, TokenClassification
from .results import Outputs

__all__ = ["Roberta", "RobertaConfig"]


@dataclass
class RobertaConfig(BertConfig):
    vocab_size: int = 50265
    pad_token_id: int | None = 1


class OffsetEmbeddings(Embeddings):
    def __init__(self, c: Any, width: int) -> None:
        super().__init__(c, width)
        self.pad = c.pad_token_id
        self.position_embeddings.padding_idx = self.pad

    def positions(self, ids: Tensor) -> Tensor:
        if ids.shape[-1] > self.most - self.pad - 1:
            raise ShapeError(
                f"this model takes at most {self.most - self.pad - 1} tokens but was given {ids.shape[-1]}; truncate them"
            )
        own = (ids != self.pad).to(dtype=int64)
        return own.cumsum(1) * own + self.pad


class LMHead(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.dense = Linear(c.hidden_size, c.hidden_size)
        self.layer_norm = LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.bias = Parameter(init.blank(c.vocab_size))
        self.decoder = None if c.tie_word_embeddings else Linear(c.hidden_size, c.vocab_size, bias=False)

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        weight = table if self.decoder is None else self.decoder.weight
        return F.linear(self.layer_norm(F.gelu(self.dense(x))), weight, self.bias)


class MaskedLM(Headed):
    """Logits over the vocabulary, ``[b, n, vocab]``, under ``lm_head``."""

    def extend(self, c: Any) -> None:
        self.lm_head = LMHead(c)

    def logits(self, x: Tensor, out: Outputs, keep: Tensor | None) -> Tensor:
        return self.lm_head(x, self._modules[self.inner].vocabulary())  # type: ignore[union-attr, operator]

    @classmethod
    def sanitize(cls, weights: dict[str, Tensor], config: Any) -> dict[str, Tensor]:
        return without_tied(weights, config, "lm_head.decoder", "lm_head.bias")


class Classifier(Module):
    """Logits from the first token's state, by way of ``dense`` and an activation."""

    act: Any = staticmethod(lambda x: x.tanh())

    def __init__(self, c: Any) -> None:
        super().__init__()
        self.dense = Linear(c.hidden_size, c.hidden_size)
        self.dropout = Dropout(c.hidden_dropout_prob)
        self.out_proj = Linear(c.hidden_size, c.num_labels)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_proj(self.dropout(self.act(self.dense(self.dropout(x[:, 0])))))


class SequenceClassification(Headed):
    """Logits per text, ``[b, labels]``."""

    def extend(self, c: Any) -> None:
        self.classifier = Classifier(c)

    def logits(self, x: Tensor, out: Outputs, keep: Tensor | None) -> Tensor:
        return self.classifier(x)


class Roberta(Bert):
    Config = RobertaConfig
    prefix = "roberta"
    heads = {
        "ForMaskedLM": MaskedLM,
        "ForSequenceClassification": SequenceClassification,
        "ForTokenClassification": TokenClassification,
        "ForQuestionAnswering": QuestionAnswering,
    }
    embeddings_kind = OffsetEmbeddings
