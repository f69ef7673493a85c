"""What bidirectional encoders share: settings, attention, heads for masked tokens, labels of texts and of tokens, spans."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Mapping

from ..errors import FormatError
from ..nn import Dropout, Linear
from ..nn import functional as F
from ..op import OPS
from ..tensor import Tensor
from .results import Outputs, labelled_loss
from .settings import Config
from .tokens import TokenModel

__all__ = ["Encoder", "EncoderConfig", "Headed", "QuestionAnswering", "TokenClassification", "look"]


@dataclass
class EncoderConfig(Config):
    """The settings that nearly every encoder has; ``num_labels`` are what its classifier tells apart."""

    fixed = {"is_decoder": (False, None), "add_cross_attention": (False, None), "position_embedding_type": ("absolute", None)}

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
    pad_token_id: int | None = 0
    tie_word_embeddings: bool = True
    num_labels: int = 2
    problem_type: str | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Any:
        if "id2label" in values and "num_labels" not in values:
            values = {**values, "num_labels": len(values["id2label"])}
        made = super().from_dict(values)
        if not made.num_attention_heads or made.hidden_size % made.num_attention_heads:
            raise FormatError(
                f"config.json gives {made.num_attention_heads} attention heads for a hidden size of {made.hidden_size}"
            )
        return made


def look(q: Tensor, k: Tensor, v: Tensor, keep: Tensor | None, p: float = 0.0, **settings: Any) -> Tensor:
    """Attention of ``[b, heads, n, d]`` to all keys that ``keep`` bool[b, m] does not leave out; ``[b, n, heads * d]``.

    ``p`` is the dropout of the weights; ``settings`` are those of ``attention`` (alibi, scale, window, mask).
    """
    mask = settings.pop("mask", None)
    if keep is not None:
        seen = keep.reshape((keep.shape[0], 1, 1, keep.shape[1]))
        mask = seen if mask is None else OPS["where"](seen, mask, float("-inf"))
    if p > 0 and not settings:
        y = F.scaled_dot_product_attention(q, k, v, mask, dropout_p=p)
    else:
        y = F.attention(q, k, v, mask, settings.pop("alibi", None), **settings)
    b, h, n, d = y.shape
    return y.transpose(1, 2).reshape((b, n, h * d))


class Encoder(TokenModel):
    """A bidirectional model of text; a subclass has ``hidden(ids, keep, types, positions)`` and says what heads there are.

    ``model(input_ids, attention_mask)`` gives ``last_hidden_state`` float[b, n, d] and, where there is a pooler,
    ``pooler_output`` float[b, d]; input_ids are int[b, n]; attention_mask int or bool[b, n] is 0 at padding.
    """

    Config: ClassVar[type[Config]] = EncoderConfig
    prefix: ClassVar[str] = "bert"
    heads: ClassVar[Mapping[str, Any]] = {}
    renamed: ClassVar[tuple[tuple[str, str], ...]] = (
        (r"LayerNorm\.gamma$", "LayerNorm.weight"),
        (r"LayerNorm\.beta$", "LayerNorm.bias"),
    )
    dropped: ClassVar[tuple[str, ...]] = (r"position_ids$", r"token_type_ids$", r"rotary_emb\.inv_freq$", r"seq_relationship\.")

    def hidden(self, ids: Tensor, keep: Tensor | None, types: Tensor | None, positions: Tensor | None) -> Tensor:
        """The last layer's states ``[b, n, d]``."""
        raise NotImplementedError

    def vocabulary(self) -> Tensor:
        """The table of token embeddings ``[vocab, d]``."""
        raise NotImplementedError

    def forward(
        self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None, position_ids: Any = None
    ) -> Outputs:
        ids = self.tokens(input_ids)
        keep = self.mask(attention_mask, ids.shape[0], ids.shape[1])
        types = None if token_type_ids is None else self.tokens(token_type_ids, "token_type_ids")
        positions = None if position_ids is None else self.tokens(position_ids, "position_ids")
        x = self.hidden(ids, keep, types, positions)
        pooler = self._modules.get("pooler")
        return Outputs(last_hidden_state=x, pooler_output=None if pooler is None else pooler(x))

    # -- loading ------------------------------------------------------------------------------------

    @classmethod
    def for_weights(cls, config: Any, weights: Mapping[str, Tensor], values: Mapping[str, Any]) -> Any:
        """The model of a checkpoint: bare, or with the head that its architecture names."""
        named = _head_of(values, cls.heads)
        if not named:
            made: Any = cls
            return made(config, pooler=any(k.startswith("pooler.") for k in weights))
        return cls.heads[named](config, cls, any(k.startswith(f"{cls.prefix}.pooler.") for k in weights))

    @classmethod
    def sanitize(cls, weights: Mapping[str, Tensor], config: Any, values: Mapping[str, Any]) -> dict[str, Tensor]:
        """Published names as this module has them: of a model without a head only the encoder's."""
        named = _head_of(values, cls.heads)
        if named and named not in cls.heads:
            raise FormatError(f"config.json asks for a model {named} but {cls.__name__} has {', '.join(cls.heads) or 'no heads'}")
        found = {}
        inner = any(k.startswith(cls.prefix + ".") for k in weights)
        for name, w in weights.items():
            if any(re.search(p, name) for p in cls.dropped):
                continue
            for old, new in cls.renamed:
                name = re.sub(old, new, name)
            if not named and inner:
                if not name.startswith(cls.prefix + "."):
                    continue
                name = name[len(cls.prefix) + 1 :]
            found[name] = w
        if named:
            return cls.heads[named].sanitize(found, config)
        return {k: w for k, w in found.items() if inner or not k.startswith(("cls.", "lm_head.", "classifier."))}


def _head_of(values: Mapping[str, Any], heads: Mapping[str, Any]) -> str:
    """The head that a checkpoint's architecture names, or ""; of one made in pre-training that for masked tokens."""
    found = re.search(r"For[A-Z]\w+$", str((values.get("architectures") or [""])[0]))
    name = found[0] if found else ""
    return "ForMaskedLM" if name == "ForPreTraining" and name not in heads else name


class Headed(TokenModel):
    """An encoder under the name its checkpoints give it, and a head; a subclass says what logits it makes."""

    pooled = False

    def __init__(self, config: Any, kind: type[Encoder], pooler: bool = False) -> None:
        super().__init__()
        made: Any = kind
        self.config, self.inner = config, kind.prefix
        setattr(self, kind.prefix, made(config, pooler=pooler))
        self.extend(config)

    def extend(self, c: Any) -> None:
        """Add the head's modules."""

    def logits(self, x: Tensor, out: Outputs, keep: Tensor | None) -> Tensor:
        """What the head makes of states ``[b, n, d]``."""
        raise NotImplementedError

    @classmethod
    def sanitize(cls, weights: dict[str, Tensor], config: Any) -> dict[str, Tensor]:
        return weights

    def forward(self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None, position_ids: Any = None,
                labels: Any = None) -> Outputs:  # fmt: skip
        """``logits``; with ``labels`` also ``loss``."""
        ids = self.tokens(input_ids)
        out = self._modules[self.inner](ids, attention_mask, token_type_ids, position_ids)  # type: ignore[misc]
        logits = self.logits(out.last_hidden_state, out, self.mask(attention_mask, ids.shape[0], ids.shape[1]))
        loss = None
        if labels is not None:
            from ..create import as_tensor

            loss = labelled_loss(logits, as_tensor(labels, device=self.device), getattr(self.config, "problem_type", None))
        return Outputs(loss=loss, logits=logits, last_hidden_state=out.last_hidden_state)


class TokenClassification(Headed):
    """Logits per token, ``[b, n, labels]``."""

    def extend(self, c: Any) -> None:
        self.dropout = Dropout(c.hidden_dropout_prob)
        self.classifier = Linear(c.hidden_size, c.num_labels)

    def logits(self, x: Tensor, out: Outputs, keep: Tensor | None) -> Tensor:
        return self.classifier(self.dropout(x))


class QuestionAnswering(Headed):
    """``start_logits`` and ``end_logits`` float[b, n] of an answer's first and last token."""

    def extend(self, c: Any) -> None:
        self.qa_outputs = Linear(c.hidden_size, 2)

    def forward(self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None, position_ids: Any = None,
                labels: Any = None) -> Outputs:  # fmt: skip
        if labels is not None:
            raise TypeError(
                "a model of answers takes no labels; its loss is the mean cross entropy of start_logits and end_logits"
            )
        out = self._modules[self.inner](self.tokens(input_ids), attention_mask, token_type_ids, position_ids)  # type: ignore[misc]
        start, end = self.qa_outputs(out.last_hidden_state).split([1, 1], -1)
        return Outputs(start_logits=start.squeeze(-1), end_logits=end.squeeze(-1), last_hidden_state=out.last_hidden_state)
