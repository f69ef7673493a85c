"""ModernBERT: pre-normed, rotary, gated, and in two of three layers windowed.  https://arxiv.org/abs/2412.13663"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping

from ..create import arange
from ..errors import FormatError
from ..nn import Dropout, Embedding, Identity, LayerNorm, Linear, Module, ModuleList, Parameter, init
from ..nn import functional as F
from ..tensor import Tensor
from .bidirectional import Encoder, EncoderConfig, Headed, look
from .decoder import split_heads
from .results import Outputs
from .rotary import rope_of, settings_of
from .settings import activation

__all__ = ["Modernbert", "ModernbertConfig"]


@dataclass
class ModernbertConfig(EncoderConfig):
    aliases = {"hidden_activation": "hidden_act"}

    vocab_size: int = 50368
    intermediate_size: int = 1152
    num_hidden_layers: int = 22
    max_position_embeddings: int = 8192
    norm_eps: float = 1e-5
    norm_bias: bool = False
    pad_token_id: int | None = 50283
    attention_bias: bool = False
    attention_dropout: float = 0.0
    layer_types: Any = None
    global_attn_every_n_layers: int = 3
    local_attention: int = 128
    embedding_dropout: float = 0.0
    mlp_bias: bool = False
    mlp_dropout: float = 0.0
    decoder_bias: bool = True
    classifier_pooling: str = "cls"
    classifier_bias: bool = False
    classifier_activation: str = "gelu"
    classifier_dropout: float = 0.0
    rope: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Any:
        made = super().from_dict({k: v for k, v in values.items() if k != "rope"})
        if made.classifier_pooling not in ("cls", "mean"):
            raise FormatError(
                f"config.json asks for classifier_pooling = {made.classifier_pooling!r}; there are 'cls' and 'mean'"
            )
        older = {"full_attention": ("global_rope_theta", 160000.0), "sliding_attention": ("local_rope_theta", 10000.0)}
        for kind, (name, base) in older.items():
            made.rope[kind] = settings_of(values, values.get(name) or base, layer=kind)
        if made.layer_types is None:
            made.layer_types = [
                "sliding_attention" if i % made.global_attn_every_n_layers else "full_attention"
                for i in range(made.num_hidden_layers)
            ]
        if set(made.layer_types) - set(older):
            raise FormatError(f"config.json has layers of type {', '.join(made.layer_types)}; those known are {', '.join(older)}")
        if len(made.layer_types) != made.num_hidden_layers:
            raise FormatError(f"config.json lists {len(made.layer_types)} layer types but has {made.num_hidden_layers} layers")
        return made


def _norm(c: Any) -> Module:
    return LayerNorm(c.hidden_size, eps=c.norm_eps, bias=c.norm_bias)


class Embeddings(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.tok_embeddings = Embedding(c.vocab_size, c.hidden_size, padding_idx=c.pad_token_id)
        self.norm = _norm(c)
        self.drop = Dropout(c.embedding_dropout)

    def forward(self, ids: Tensor) -> Tensor:
        return self.drop(self.norm(self.tok_embeddings(ids)))


class Attention(Module):
    def __init__(self, c: Any, kind: str, rope: Any) -> None:
        super().__init__()
        self.heads, self.rope, self.kind, self.p = c.num_attention_heads, rope, kind, c.attention_dropout
        self.settings = {"window": c.local_attention // 2 + 1} if kind == "sliding_attention" else {}
        self.Wqkv = Linear(c.hidden_size, 3 * c.hidden_size, bias=c.attention_bias)
        self.Wo = Linear(c.hidden_size, c.hidden_size, bias=c.attention_bias)

    def forward(self, x: Tensor, keep: Tensor | None, tables: Mapping[str, Any]) -> Tensor:
        q, k, v = (split_heads(y, self.heads) for y in self.Wqkv(x).chunk(3, -1))
        q, k = (self.rope.turn(y, tables[self.kind]) for y in (q, k))
        return self.Wo(look(q, k, v, keep, self.p if self.training else 0.0, **self.settings))


class GLU(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.Wi = Linear(c.hidden_size, 2 * c.intermediate_size, bias=c.mlp_bias)
        self.Wo = Linear(c.intermediate_size, c.hidden_size, bias=c.mlp_bias)
        self.act, self.drop = activation(c.hidden_act), Dropout(c.mlp_dropout)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.Wi(x).chunk(2, -1)
        return self.Wo(self.drop(self.act(x) * gate))


class Layer(Module):
    def __init__(self, c: Any, i: int, rope: Any) -> None:
        super().__init__()
        self.attn_norm = _norm(c) if i else Identity()
        self.attn = Attention(c, c.layer_types[i], rope)
        self.mlp_norm = _norm(c)
        self.mlp = GLU(c)

    def forward(self, x: Tensor, *rest: Any) -> Tensor:
        x = x + self.attn(self.attn_norm(x), *rest)
        return x + self.mlp(self.mlp_norm(x))


class PredictionHead(Module):
    def __init__(self, c: Any) -> None:
        super().__init__()
        self.dense = Linear(c.hidden_size, c.hidden_size, bias=c.classifier_bias)
        self.act, self.norm = activation(c.classifier_activation), _norm(c)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.act(self.dense(x)))


class TiedDecoder(Module):
    """A bias, and the table of embeddings or a map of its own."""

    def __init__(self, c: Any) -> None:
        super().__init__()
        self.register_parameter("bias", Parameter(init.blank(c.vocab_size)) if c.decoder_bias else None)
        self.register_parameter("weight", None if c.tie_word_embeddings else Parameter(init.blank(c.vocab_size, c.hidden_size)))

    def forward(self, x: Tensor, table: Tensor) -> Tensor:
        return F.linear(x, table if self.weight is None else self.weight, self.bias)


class MaskedLM(Headed):
    """Logits over the vocabulary, ``[b, n, vocab]``."""

    def extend(self, c: Any) -> None:
        self.head = PredictionHead(c)
        self.decoder = TiedDecoder(c)

    def logits(self, x: Tensor, out: Outputs, keep: Tensor | None) -> Tensor:
        return self.decoder(self.head(x), self._modules[self.inner].vocabulary())  # type: ignore[union-attr, operator]

    @classmethod
    def sanitize(cls, weights: dict[str, Tensor], config: Any) -> dict[str, Tensor]:
        return {k: w for k, w in weights.items() if not (config.tie_word_embeddings and k == "decoder.weight")}


class SequenceClassification(Headed):
    """Logits per text, ``[b, labels]``, of the first token or the mean of all."""

    def extend(self, c: Any) -> None:
        self.head = PredictionHead(c)
        self.drop = Dropout(c.classifier_dropout)
        self.classifier = Linear(c.hidden_size, c.num_labels)

    def logits(self, x: Tensor, out: Outputs, keep: Tensor | None) -> Tensor:
        if self.config.classifier_pooling == "cls":
            x = x[:, 0]
        elif keep is None:
            x = x.mean(1)
        else:
            weights = keep.to(dtype=x.dtype)
            x = (x * weights.unsqueeze(-1)).sum(1) / weights.sum(1, keepdim=True)
        return self.classifier(self.drop(self.head(x)))


class TokenClassification(Headed):
    """Logits per token, ``[b, n, labels]``."""

    def extend(self, c: Any) -> None:
        self.head = PredictionHead(c)
        self.classifier = Linear(c.hidden_size, c.num_labels)

    def logits(self, x: Tensor, out: Outputs, keep: Tensor | None) -> Tensor:
        return self.classifier(self.head(x))


class Modernbert(Encoder):
    Config = ModernbertConfig
    prefix = "model"
    heads = {
        "ForMaskedLM": MaskedLM,
        "ForSequenceClassification": SequenceClassification,
        "ForTokenClassification": TokenClassification,
    }

    def __init__(self, config: Any, pooler: bool = False) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        width = config.hidden_size // config.num_attention_heads
        self.ropes = {kind: rope_of(config.rope[kind], width) for kind in config.rope}
        self.layers = ModuleList([Layer(config, i, self.ropes[config.layer_types[i]]) for i in range(config.num_hidden_layers)])
        self.final_norm = _norm(config)

    def vocabulary(self) -> Tensor:
        return self.embeddings.tok_embeddings.weight

    def hidden(self, ids: Tensor, keep: Tensor | None, types: Tensor | None, positions: Tensor | None) -> Tensor:
        x = self.embeddings(ids)
        at = arange(ids.shape[1], device=ids.backend).unsqueeze(0) if positions is None else positions
        tables = {kind: rope.tables(at, x.dtype) for kind, rope in self.ropes.items()}
        for layer in self.layers:
            x = layer(x, keep, tables)
        return self.final_norm(x)
