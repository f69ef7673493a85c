"""T5 (1.0, 1.1, Flan, mT5): scores by learned buckets of relative distance, RMS norms, no biases.  https://arxiv.org/abs/1910.10683"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Mapping

from ..create import arange
from ..dtype import int64
from ..errors import FormatError
from ..nn import Dropout, Embedding, Linear, Module, ModuleList, RMSNorm
from ..nn import functional as F
from ..op import OPS
from ..tensor import Tensor
from .bidirectional import look
from .decoder import MLP, Attention, GatedMLP, Step, split_heads
from .results import Outputs
from .seq2seq import CrossAttention, Seq2Seq, Source
from .settings import Config

__all__ = ["T5", "T5Config"]


@dataclass
class T5Config(Config):
    vocab_size: int = 32128
    d_model: int = 512
    d_kv: int = 64
    d_ff: int = 2048
    num_layers: int = 6
    num_decoder_layers: int | None = None
    num_heads: int = 8
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    dropout_rate: float = 0.1
    layer_norm_epsilon: float = 1e-6
    feed_forward_proj: str = "relu"
    pad_token_id: Any = 0
    eos_token_id: Any = 1
    decoder_start_token_id: Any = 0
    scale_decoder_outputs: bool = True

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Any:
        # version 1.1 says that it ties nothing; whether logits are scaled follows from it, the weights tell the rest
        scaled = values.get("scale_decoder_outputs")
        said = values.get("tie_word_embeddings") is not False if scaled is None else scaled
        made = super().from_dict({**values, "scale_decoder_outputs": said})
        gated, _, act = made.feed_forward_proj.rpartition("-")
        if gated not in ("", "gated"):
            raise FormatError(
                f"config.json asks for feed_forward_proj = {made.feed_forward_proj!r}; it is an activation or gated-<activation>"
            )
        made.gated, made.act = bool(gated), "gelu_new" if made.feed_forward_proj == "gated-gelu" else act
        return made

    @property
    def hidden_size(self) -> int:
        return self.d_model


def bucket(far: Tensor, both: bool, buckets: int, most: int) -> Tensor:
    """The bucket int64[...] of each distance key minus query: near ones each have their own, far ones share by logarithm."""
    found: Tensor | int = 0
    if both:
        buckets //= 2
        found = (far > 0).to(dtype=int64) * buckets
        far = far.abs()
    else:
        far = (-far).clamp(0)
    exact = buckets // 2
    log = (far.clamp(1).float() / exact).log() / math.log(most / exact) * (buckets - exact)
    large = (log.trunc().to(dtype=int64) + exact).clamp(None, buckets - 1)
    return found + OPS["where"](far < exact, far, large)


class T5Attention(Attention):
    """Attention to itself; ``first`` is the layer that holds the table of distances."""

    def __init__(self, c: Any, i: int, first: Any, causal: bool) -> None:
        super().__init__(i, c.num_heads, c.num_heads, c.d_kv, scale=1.0)
        self.c, self.causal = c, causal
        for name in ("q", "k", "v"):
            setattr(self, name, Linear(c.d_model, c.num_heads * c.d_kv, bias=False))
        self.o = Linear(c.num_heads * c.d_kv, c.d_model, bias=False)
        self.__dict__["first"] = first
        if first is None:
            self.relative_attention_bias = Embedding(c.relative_attention_num_buckets, c.num_heads)

    def far(self, at: Tensor, keys: Tensor) -> Tensor:
        """What distances add, ``[b, h, n, m]``, from positions int[b, n] to keys int[b, m]."""
        c, first = self.c, self.__dict__["first"]
        table = (self if first is None else first).relative_attention_bias
        far = keys.unsqueeze(1) - at.unsqueeze(2)
        ids = bucket(far, not self.causal, c.relative_attention_num_buckets, c.relative_attention_max_distance)
        return table(ids).permute((0, 3, 1, 2))

    def bias(self, step: Step, places: int | None = None) -> Tensor:
        key = "bias", places
        if key not in step._masks:
            keys = step.at if places is None else arange(places, device=step.at.backend).unsqueeze(0)
            step._masks[key] = self.far(step.at, keys)
        return step._masks[key]

    def forward(self, x: Tensor, step: Step | None = None, keep: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        q, k, v = (split_heads(f(x), self.heads) for f in (self.q, self.k, self.v))
        if step is None:
            return self.o(look(q, k, v, keep, scale=1.0, mask=bias))
        return self.o(self.attend(q, k, v, step, None if step.cache is None else step.memory(self.layer).own))


class T5Cross(CrossAttention):
    def __init__(self, c: Any, i: int) -> None:
        super().__init__()
        self.layer, self.heads, self.width, self.scale = i, c.num_heads, c.d_kv, 1.0
        for name in ("q", "k", "v"):
            setattr(self, name, Linear(c.d_model, c.num_heads * c.d_kv, bias=False))
        self.o = Linear(c.num_heads * c.d_kv, c.d_model, bias=False)

    def queries(self, x: Tensor) -> Tensor:
        return self.q(x)

    def pair(self, states: Tensor) -> tuple[Tensor, Tensor]:
        return split_heads(self.k(states), self.heads), split_heads(self.v(states), self.heads)

    def out(self, y: Tensor) -> Tensor:
        return self.o(y)


class Part(Module):
    """A norm, what comes behind it under its name, and the sum."""

    def __init__(self, c: Any, name: str, inner: Module) -> None:
        super().__init__()
        self.add_module(name, inner)
        self.name = name
        self.layer_norm = RMSNorm(c.d_model, eps=c.layer_norm_epsilon)
        self.dropout = Dropout(c.dropout_rate)

    def forward(self, x: Tensor, *args: Any) -> Tensor:
        return x + self.dropout(self._modules[self.name](self.layer_norm(x), *args))  # type: ignore[misc]


class Layer(Module):
    def __init__(self, c: Any, i: int, first: Any, decoder: bool) -> None:
        super().__init__()
        inner: Module = MLP(c.d_model, c.d_ff, c.act, ("wi", "wo"), bias=False)
        if c.gated:
            inner = GatedMLP(c.d_model, c.d_ff, c.act, names=("wi_0", "wi_1", "wo"))
        parts = [Part(c, "SelfAttention", T5Attention(c, i, first, decoder))]
        parts += [Part(c, "EncDecAttention", T5Cross(c, i))] if decoder else []
        self.layer = ModuleList([*parts, Part(c, "DenseReluDense", inner)])

    @property
    def attention(self) -> Any:
        return self.layer[0].SelfAttention


class Stack(Module):
    def __init__(self, c: Any, layers: int, decoder: bool) -> None:
        super().__init__()
        made: list[Any] = []
        for i in range(layers):
            made.append(Layer(c, i, made[0].attention if made else None, decoder))
        self.block = ModuleList(made)
        self.final_layer_norm = RMSNorm(c.d_model, eps=c.layer_norm_epsilon)
        self.dropout = Dropout(c.dropout_rate)


class T5(Seq2Seq):
    Config = T5Config
    dropped = (r"^(encoder|decoder)\.embed_tokens\.", r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.")

    def __init__(self, config: Any, decoder: bool = True, tied: bool = True) -> None:
        super().__init__()
        self.config, self.tied = config, tied
        self.shared = Embedding(config.vocab_size, config.d_model)
        self.encoder = Stack(config, config.num_layers, False)
        layers = config.num_layers if config.num_decoder_layers is None else config.num_decoder_layers
        self.decoder = Stack(config, layers, True) if decoder else None
        if decoder and not tied:
            self.lm_head = Linear(config.d_model, config.vocab_size, bias=False)

    def encode(self, ids: Tensor, keep: Tensor | None) -> Tensor:
        stack = self.encoder
        x = stack.dropout(self.shared(ids))
        at = arange(ids.shape[1], device=ids.backend).unsqueeze(0)
        bias = stack.block[0].attention.far(at, at)
        for block in stack.block:
            attention, inner = block.layer
            x = inner(attention(x, None, keep, bias))
        return stack.dropout(stack.final_layer_norm(x))

    def write(self, ids: Tensor, step: Step, source: Source) -> Tensor:
        stack: Any = self.decoder
        x = stack.dropout(self.shared(ids))
        for block in stack.block:
            attention, cross, inner = block.layer
            x = inner(cross(attention(x, step), step, source))
        return stack.dropout(stack.final_layer_norm(x))

    def logits(self, hidden: Tensor) -> Tensor:
        if self.config.scale_decoder_outputs:
            hidden = hidden * self.config.d_model**-0.5
        return F.linear(hidden, self.shared.weight if self.tied else self.lm_head.weight, None)

    def parts(self) -> list[Any]:
        assert self.decoder is not None
        return [(block.attention, block.layer[1].EncDecAttention) for block in self.decoder.block]

    def forward(self, input_ids: Any = None, attention_mask: Any = None, *args: Any, **kwargs: Any) -> Outputs:
        if self.decoder is not None:
            return super().forward(input_ids, attention_mask, *args, **kwargs)
        ids = self.tokens(input_ids)
        return Outputs(last_hidden_state=self.encode(ids, self.mask(attention_mask, ids.shape[0], ids.shape[1])))

    @classmethod
    def for_weights(cls, config: Any, weights: Mapping[str, Tensor], values: Mapping[str, Any]) -> Any:
        return cls(config, any(k.startswith("decoder.") for k in weights), "lm_head.weight" not in weights)

    @classmethod
    def sanitize(cls, weights: Mapping[str, Tensor], config: Any, values: Mapping[str, Any]) -> dict[str, Tensor]:
        found = cls.kept(weights)
        if "shared.weight" not in found:
            found["shared.weight"] = weights["encoder.embed_tokens.weight"]
        if str((values.get("architectures") or [""])[0]).endswith("EncoderModel"):
            found = {k: w for k, w in found.items() if k.startswith(("shared.", "encoder."))}
        return found
