"""BERT: a bidirectional encoder of post-normalised attention blocks.  https://arxiv.org/abs/1810.04805"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, NamedTuple

from .. import dtype as dt
from ..create import arange
from ..errors import ShapeError
from ..nn import Dropout, Embedding, LayerNorm, Linear, Module, ModuleList
from ..nn import functional as F
from ..tensor import Tensor
from .loading import Config

__all__ = ["Bert", "BertConfig", "BertOutput"]


@dataclass
class BertConfig(Config):
    """What config.json says of a BERT."""

    vocab_size: int = 30522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0


class BertOutput(NamedTuple):
    """``last_hidden_state`` is float[b, n, hidden]; ``pooler_output`` float[b, hidden], or None without a pooler."""

    last_hidden_state: Tensor
    pooler_output: Tensor | None


_ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "tanh": lambda x: x.tanh(),
}


class Embeddings(Module):
    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.word_embeddings = Embedding(c.vocab_size, c.hidden_size, padding_idx=c.pad_token_id)
        self.position_embeddings = Embedding(c.max_position_embeddings, c.hidden_size)
        self.token_type_embeddings = Embedding(c.type_vocab_size, c.hidden_size)
        self.LayerNorm = LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.dropout = Dropout(c.hidden_dropout_prob)
        self.most = c.max_position_embeddings

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None) -> Tensor:
        n = input_ids.shape[-1]
        if n > self.most:
            raise ShapeError(f"this model takes at most {self.most} tokens but was given {n}; truncate them")
        x = self.word_embeddings(input_ids)
        if token_type_ids is None:
            x = x + self.token_type_embeddings.weight[0]
        else:
            x = x + self.token_type_embeddings(token_type_ids)
        x = x + self.position_embeddings(arange(n, device=input_ids.device))
        return self.dropout(self.LayerNorm(x))


class SelfAttention(Module):
    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.heads = c.num_attention_heads
        self.query = Linear(c.hidden_size, c.hidden_size)
        self.key = Linear(c.hidden_size, c.hidden_size)
        self.value = Linear(c.hidden_size, c.hidden_size)
        self.p = c.attention_probs_dropout_prob

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        b, n, d = x.shape
        q, k, v = (f(x).reshape((b, n, self.heads, d // self.heads)).transpose(1, 2) for f in (self.query, self.key, self.value))
        y = F.scaled_dot_product_attention(q, k, v, mask, dropout_p=self.p if self.training else 0.0)
        return y.transpose(1, 2).reshape((b, n, d))


class Projection(Module):
    """A linear layer whose result is added to what went before and normalised."""

    def __init__(self, inputs: int, c: BertConfig) -> None:
        super().__init__()
        self.dense = Linear(inputs, c.hidden_size)
        self.LayerNorm = LayerNorm(c.hidden_size, eps=c.layer_norm_eps)
        self.dropout = Dropout(c.hidden_dropout_prob)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(x)) + before)


class Attention(Module):
    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.self = SelfAttention(c)
        self.output = Projection(c.hidden_size, c)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return self.output(self.self(x, mask), x)


class Intermediate(Module):
    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.dense = Linear(c.hidden_size, c.intermediate_size)
        if c.hidden_act not in _ACTIVATIONS:
            raise ValueError(f"hidden_act is one of {', '.join(_ACTIVATIONS)} but the config says {c.hidden_act!r}")
        self.act = _ACTIVATIONS[c.hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.dense(x))


class Layer(Module):
    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.attention = Attention(c)
        self.intermediate = Intermediate(c)
        self.output = Projection(c.intermediate_size, c)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.attention(x, mask)
        return self.output(self.intermediate(x), x)


class Encoder(Module):
    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.layer = ModuleList([Layer(c) for _ in range(c.num_hidden_layers)])

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for layer in self.layer:
            x = layer(x, mask)
        return x


class Pooler(Module):
    def __init__(self, c: BertConfig) -> None:
        super().__init__()
        self.dense = Linear(c.hidden_size, c.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(x[:, 0]).tanh()


class Bert(Module):
    """The encoder with its pooler.  Attributes are named as in the published checkpoints."""

    Config = BertConfig

    def __init__(self, config: BertConfig, pooler: bool = True) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.pooler = Pooler(config) if pooler else None

    @classmethod
    def for_weights(cls, config: BertConfig, weights: Mapping[str, Tensor]) -> Bert:
        return cls(config, pooler="pooler.dense.weight" in weights)

    @staticmethod
    def sanitize(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Published names as this module has them: without a ``bert.`` prefix, heads and position buffers."""
        found = {}
        for name, w in weights.items():
            name = (
                name.removeprefix("bert.")
                .replace("LayerNorm.gamma", "LayerNorm.weight")
                .replace("LayerNorm.beta", "LayerNorm.bias")
            )
            if name.startswith(("embeddings.", "encoder.", "pooler.")) and not name.endswith("position_ids"):
                found[name] = w
        return found

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> BertOutput:
        """Hidden states of int[b, n] token ids; ``attention_mask`` int or bool[b, n] is 0 at padding."""
        mask = None
        if attention_mask is not None:
            mask = attention_mask.to(dtype=dt.bool_)[:, None, None, :]
        x = self.encoder(self.embeddings(input_ids, token_type_ids), mask)
        return BertOutput(x, self.pooler(x) if self.pooler is not None else None)
