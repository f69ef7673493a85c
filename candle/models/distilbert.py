"""DistilBERT: a BERT of half the layers, without token types and pooler.  https://arxiv.org/abs/1910.01108"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..create import arange
from ..errors import ShapeError
from ..nn import Dropout, Embedding, LayerNorm, Linear, Module, ModuleList
from ..nn import functional as F
from ..tensor import Tensor
from .bidirectional import Encoder, EncoderConfig, Headed, QuestionAnswering, TokenClassification, look
from .decoder import MLP, split_heads
from .results import Outputs
from .settings import activation

__all__ = ["Distilbert", "DistilbertConfig"]


@dataclass
class DistilbertConfig(EncoderConfig):
    aliases = {
        "dim": "hidden_size",
        "n_heads": "num_attention_heads",
        "n_layers": "num_hidden_layers",
        "hidden_dim": "intermediate_size",
        "activation": "hidden_act",
        "dropout": "hidden_dropout_prob",
        "attention_dropout": "attention_probs_dropout_prob",
    }

    num_hidden_layers: int = 6


class Embeddings(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.word_embeddings = Embedding(c.vocab_size, c.hidden_size, padding_idx=c.pad_token_id)
        self.position_embeddings = Embedding(c.max_position_embeddings, c.hidden_size)
        self.LayerNorm = LayerNorm(c.hidden_size, eps=1e-12)
        self.dropout = Dropout(c.hidden_dropout_prob)
        self.most = c.max_position_embeddings

    def forward(self, ids: Tensor, positions: Tensor | None) -> Tensor:
        n = ids.shape[1]
        if n > self.most:
            raise ShapeError(f"this model takes at most {self.most} tokens but was given {n}; truncate them")
        at = arange(n, device=ids.backend) if positions is None else positions
        return self.dropout(self.LayerNorm(self.word_embeddings(ids) + self.position_embeddings(at)))


class Attention(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.heads, self.p = c.num_attention_heads, c.attention_probs_dropout_prob
        for name in ("q_lin", "k_lin", "v_lin", "out_lin"):
            setattr(self, name, Linear(c.hidden_size, c.hidden_size))

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        q, k, v = (split_heads(f(x), self.heads) for f in (self.q_lin, self.k_lin, self.v_lin))
        return self.out_lin(look(q, k, v, keep, self.p if self.training else 0.0))


class Layer(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.attention = Attention(c)
        self.sa_layer_norm = LayerNorm(c.hidden_size, eps=1e-12)
        self.ffn = MLP(c.hidden_size, c.intermediate_size, c.hidden_act, ("lin1", "lin2"))
        self.output_layer_norm = LayerNorm(c.hidden_size, eps=1e-12)
        self.drop = Dropout(c.hidden_dropout_prob)

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        x = self.sa_layer_norm(self.attention(x, keep) + x)
        return self.output_layer_norm(self.drop(self.ffn(x)) + x)


class Layers(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.layer = ModuleList([Layer(c) for _ in range(c.num_hidden_layers)])


class MaskedLM(Headed):
    """Logits over the vocabulary, ``[b, n, vocab]``."""

    def extend(self, c: Any) -> None:
        self.vocab_transform = Linear(c.hidden_size, c.hidden_size)
        self.vocab_layer_norm = LayerNorm(c.hidden_size, eps=1e-12)
        self.vocab_projector = Linear(c.hidden_size, c.vocab_size)
        self.act = activation(c.hidden_act)
        if c.tie_word_embeddings:
            self.vocab_projector.weight = self._modules[self.inner].vocabulary()  # type: ignore[union-attr, operator]

    def logits(self, x: Tensor, out: Outputs, keep: Tensor | None) -> Tensor:
        table = self._modules[self.inner].vocabulary() if self.config.tie_word_embeddings else self.vocab_projector.weight  # type: ignore[union-attr, operator]
        return F.linear(self.vocab_layer_norm(self.act(self.vocab_transform(x))), table, self.vocab_projector.bias)

    @classmethod
    def sanitize(cls, weights: dict[str, Tensor], config: Any) -> dict[str, Tensor]:
        found = dict(weights)
        if config.tie_word_embeddings:
            found["vocab_projector.weight"] = found["distilbert.embeddings.word_embeddings.weight"]
        return found


class SequenceClassification(Headed):
    """Logits per text, ``[b, labels]``, from the first token's state."""

    def extend(self, c: Any) -> None:
        self.pre_classifier = Linear(c.hidden_size, c.hidden_size)
        self.classifier = Linear(c.hidden_size, c.num_labels)

    def logits(self, x: Tensor, out: Outputs, keep: Tensor | None) -> Tensor:
        return self.classifier(F.relu(self.pre_classifier(x[:, 0])))


class Distilbert(Encoder):
    Config = DistilbertConfig
    prefix = "distilbert"
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
        self.transformer = Layers(config)

    def vocabulary(self) -> Tensor:
        return self.embeddings.word_embeddings.weight

    def hidden(self, ids: Tensor, keep: Tensor | None, types: Tensor | None, positions: Tensor | None) -> Tensor:
        x = self.embeddings(ids, positions)
        for layer in self.transformer.layer:
            x = layer(x, keep)
        return x
