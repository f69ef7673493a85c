"""What language models share: the loop over layers, who sees whom, attention with its memory, feed-forward blocks."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, Mapping

import numpy as np

from ..create import arange, as_tensor
from ..dtype import int64
from ..errors import FormatError
from ..nn import Embedding, Linear, Module, ModuleList, Parameter, RMSNorm, init
from ..nn import functional as F
from ..op import OPS
from ..tensor import Tensor
from .caching import Cache, KeyValues
from .results import Outputs, next_token_loss
from .rotary import Rope, rope_of, settings_of
from .settings import Config, activation
from .tokens import TokenModel

__all__ = [
    "Attention",
    "Block",
    "CausalLM",
    "Conv1D",
    "DecoderConfig",
    "FusedAttention",
    "FusedGatedMLP",
    "GatedMLP",
    "GemmaNorm",
    "MLP",
    "Names",
    "SelfAttention",
    "Step",
    "alibi_slopes",
    "split_heads",
]


@dataclass
class DecoderConfig(Config):
    """The settings that nearly every decoder has, under their usual names."""

    shared_keys: ClassVar[bool] = True  # whether there may be fewer heads of keys than of queries
    rope_theta: ClassVar[float] = 10000.0
    partial_rotary: ClassVar[float] = 1.0

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int | None = 2048
    tie_word_embeddings: bool = False
    bos_token_id: Any = None
    eos_token_id: Any = None
    pad_token_id: Any = None
    rope: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Any:
        made = super().from_dict({k: v for k, v in values.items() if k != "rope"})
        made.rope = cls.rotary({**values, "max_position_embeddings": made.max_position_embeddings})
        made.check()
        return made

    @classmethod
    def rotary(cls, values: Mapping[str, Any], layer: str | None = None) -> dict[str, Any]:
        """The rotary settings, with this architecture's defaults."""
        return settings_of(values, cls.rope_theta, cls.partial_rotary, layer)

    def check(self) -> None:
        """Raise FormatError where sizes do not fit together."""
        heads, groups = self.num_attention_heads, self.kv_heads
        if not heads or (self.head_dim is None and self.hidden_size % heads) or not groups or heads % groups:
            raise FormatError(
                f"config.json gives {heads} attention heads for a hidden size of {self.hidden_size} and {groups} heads of keys, "
                "which do not divide"
            )

    @property
    def kv_heads(self) -> int:
        shared = self.shared_keys and self.num_key_value_heads is not None
        return self.num_key_value_heads if shared else self.num_attention_heads  # type: ignore[return-value]

    @property
    def width(self) -> int:
        """The width of a head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    def kinds(self, layers: Any, otherwise: Any, known: tuple[Any, ...] = ("full_attention", "sliding_attention")) -> list[Any]:
        """Each layer's kind of attention: as config.json lists them, else by a rule of the layer's number.

        Raises FormatError where there are too many or too few, or one that is not known.
        """
        found = list(layers) if layers is not None else [otherwise(i) for i in range(self.num_hidden_layers)]
        if len(found) != self.num_hidden_layers:
            raise FormatError(f"config.json lists {len(found)} layer types but has {self.num_hidden_layers} layers")
        strange = [k for k in found if k not in known]
        if strange:
            raise FormatError(f"config.json has a layer of type {strange[0]!r}; those known are {', '.join(map(repr, known))}")
        return found


# -- one pass over the tokens ----------------------------------------------------------------------


class Step:
    """What all layers of one pass share: where its tokens stand, who sees whom, and the rotary tables.

    ``positions`` int[b or 1, n] are each token's place among its row's own tokens; ``keep`` bool[b, n] is False at padding, or
    None.  Lengths and positions are operands, so that one captured step serves every position.
    """

    def __init__(self, ids: Tensor, keep: Tensor | None, cache: Cache | None, positions: Tensor | None = None) -> None:
        b, n = ids.shape[:2]
        self.batch, self.n, self.keep, self.cache = b, n, keep, cache
        counted = arange(n, device=ids.backend).unsqueeze(0) if keep is None else keep.to(dtype=int64).cumsum(1) - 1
        self.slots = counted
        if cache is not None:
            self.slots = counted + cache.lengths.unsqueeze(1)
        at = self.slots if keep is None else self.slots.clamp(0)
        if cache is not None and keep is not None:
            self.slots = OPS["where"](keep, self.slots, cache.capacity)
        self.positions = at if positions is None else positions
        self.at = at
        self.alone = cache is None or cache.fresh
        self._tables: dict[Any, Any] = {}
        self._masks: dict[Any, Any] = {}
        self.shared: dict[Any, Any] = {}  # what one layer leaves for others

    def memory(self, layer: int) -> Any:
        return None if self.cache is None else self.cache[layer]

    def tables(self, rope: Rope, dtype: Any) -> tuple[Tensor, Tensor]:
        """A rotation's cosines and sines, made once a pass."""
        key = id(rope), dtype
        if key not in self._tables:
            self._tables[key] = rope, rope.tables(self.positions, dtype)
        return self._tables[key][1]

    def seen(self, places: int, window: int | None) -> Tensor:
        """Which of the remembered places each token sees, bool[b, 1, n, places]."""
        key = places, window
        if key not in self._masks:
            keys = arange(places, device=self.at.backend).reshape((1, 1, 1, places))
            at = self.at.reshape((self.at.shape[0], 1, self.n, 1))
            mask = keys <= at
            self._masks[key] = mask if window is None else mask & (keys > at - window)
        return self._masks[key]

    def causal(self, window: int | None) -> Tensor:
        """Which of this pass's own tokens each sees, bool[1 or b, 1, n, n]."""
        key = None, window
        if key not in self._masks:
            at = arange(self.n, device=self.at.backend)
            far = at.unsqueeze(1) - at
            mask = far >= 0 if window is None else (far >= 0) & (far < window)
            padding = self.padding()
            self._masks[key] = mask.reshape((1, 1, self.n, self.n)) if padding is None else mask & padding
        return self._masks[key]

    def padding(self) -> Tensor | None:
        """Which of this pass's tokens count as keys, bool[b, 1, 1, n], or None where all do."""
        return None if self.keep is None else self.keep.reshape((self.batch, 1, 1, self.n))

    def zero_padding(self, x: Tensor) -> Tensor:
        """x ``[b, n, d]`` with zeros at padding: what recurrences are given there."""
        return x if self.keep is None else OPS["where"](self.keep.unsqueeze(-1), x, 0)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """x ``[b, n, heads * d]`` as ``[b, heads, n, d]``."""
    b, n, d = x.shape
    return x.reshape((b, n, heads, d // max(heads, 1))).transpose(1, 2)


def alibi_slopes(heads: int, most: float = 8.0) -> Any:
    """A slope per head, float32[heads], in the order of the heads.  https://arxiv.org/abs/2108.12409"""
    near = 2 ** math.floor(math.log2(heads))
    base = 2.0 ** (-most / near)
    found = [base**i for i in range(1, near + 1)]
    if near < heads:
        half = 2.0 ** (-most / (2 * near))
        found += [half**i for i in range(1, 2 * (heads - near), 2)]
    return np.asarray(found, np.float32)


class Attention(Module):
    """Attention of a sequence to itself and what it remembers; subclasses make queries, keys and values of their input.

    ``heads`` query heads share ``groups`` heads of keys; ``window`` hides keys so many tokens back; ``softcap`` bounds the
    scores; ``slopes`` float[heads] are ALiBi's.
    """

    def __init__(
        self,
        layer: int,
        heads: int,
        groups: int,
        width: int,
        rope: Rope | None = None,
        scale: float | None = None,
        window: int | None = None,
        softcap: float | None = None,
        slopes: Any = None,
        v_width: int | None = None,
    ) -> None:
        super().__init__()
        self.layer, self.heads, self.groups, self.width = layer, heads, groups, width
        self.v_width = width if v_width is None else v_width
        self.rope, self.window, self.softcap, self.slopes = rope, window, softcap, slopes
        self.scale = width**-0.5 if scale is None else scale

    def memory(self, batch: int, capacity: int, dtype: Any, device: Any) -> KeyValues:
        return KeyValues(batch, self.groups, capacity, self.width, self.v_width, dtype, device)

    def turned(self, x: Tensor, step: Step) -> Tensor:
        """x ``[b, h, n, d]`` turned to its positions."""
        return x if self.rope is None else self.rope.turn(x, step.tables(self.rope, x.dtype))

    def bias(self, step: Step, places: int | None = None) -> Tensor | None:
        """What is added to scores, ``[b, h, n, m]`` or what broadcasts to it: m the pass's own keys, or ``places`` remembered."""
        return None

    def attend(self, q: Tensor, k: Tensor, v: Tensor, step: Step, memory: Any = None) -> Tensor:
        """What queries ``[b, heads, n, d]`` find at keys and values ``[b, groups, n, d]`` and at those remembered.

        The result is ``[b, n, heads * d]``.
        """
        q, k = self.turned(q, step), self.turned(k, step)
        memory = step.memory(self.layer) if memory is None else memory
        if memory is not None:
            memory.write(k, v, step.slots)
        return self.seen(q, k, v, step, memory)

    def seen(self, q: Tensor, k: Tensor, v: Tensor, step: Step, memory: Any) -> Tensor:
        """The same of queries and keys that are turned already, and without entering them into the memory."""
        slopes = None if self.slopes is None else as_tensor(self.slopes, device=q.backend).to(dtype=q.dtype)
        bias = self.bias(step) if step.alone else None
        if bias is not None:
            mask = OPS["where"](step.causal(self.window), bias.to(dtype=q.dtype), -math.inf)
            y = F.attention(q, k, v, mask, scale=self.scale, softcap=self.softcap)
        elif step.alone:
            y = F.attention(
                q, k, v, step.padding(), slopes, scale=self.scale, causal=True, window=self.window, softcap=self.softcap
            )
        else:
            assert memory is not None
            places = memory.k.shape[2]
            mask = step.seen(places, self.window)
            if slopes is not None:
                keys = arange(places, device=q.backend).reshape((1, 1, 1, places))
                far = (keys - step.at.reshape((step.at.shape[0], 1, step.n, 1))).to(dtype=q.dtype)
                mask = OPS["where"](mask, far * slopes.reshape((1, self.heads, 1, 1)), -math.inf)
            bias = self.bias(step, places)
            if bias is not None:
                mask = OPS["where"](mask, bias.to(dtype=q.dtype), -math.inf)
            k, v = memory.k.to(dtype=q.dtype), memory.v.to(dtype=q.dtype)
            y = F.attention(q, k, v, mask, scale=self.scale, softcap=self.softcap)
        return y.transpose(1, 2).reshape((step.batch, step.n, self.heads * self.v_width))


class SelfAttention(Attention):
    """The usual one: ``q_proj``, ``k_proj``, ``v_proj`` and ``o_proj``, and norms of queries and keys where there are some.

    ``norm`` makes the norm of one head's width, ``whole_norm`` that of all heads together.
    """

    def __init__(
        self,
        c: DecoderConfig,
        layer: int,
        *,
        bias: bool = False,
        out_bias: bool | None = None,
        rope: Rope | None = None,
        norm: Any = None,
        whole_norm: Any = None,
        clip: float | None = None,
        out: str = "o_proj",
        **settings: Any,
    ) -> None:
        super().__init__(layer, c.num_attention_heads, c.kv_heads, c.width, rope, **settings)
        d, h, g, w = c.hidden_size, c.num_attention_heads, c.kv_heads, c.width
        self.q_proj = Linear(d, h * w, bias=bias)
        self.k_proj = Linear(d, g * w, bias=bias)
        self.v_proj = Linear(d, g * w, bias=bias)
        self.out, self.clip = out, clip
        setattr(self, out, Linear(h * w, d, bias=bias if out_bias is None else out_bias))
        self.norms = "head" if norm else "whole" if whole_norm else None
        if norm:
            self.q_norm, self.k_norm = norm(w), norm(w)
        elif whole_norm:
            self.q_norm, self.k_norm = whole_norm(h * w), whole_norm(g * w)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        if self.norms == "whole":
            q, k = self.q_norm(q), self.k_norm(k)
        if self.clip is not None:
            q, k, v = (y.clamp(-self.clip, self.clip) for y in (q, k, v))
        q, k, v = split_heads(q, self.heads), split_heads(k, self.groups), split_heads(v, self.groups)
        if self.norms == "head":
            q, k = self.q_norm(q), self.k_norm(k)
        return getattr(self, self.out)(self.attend(q, k, v, step))


class FusedAttention(Attention):
    """Queries, keys and values by one linear map, its rows grouped or one part after the other.

    Grouped, each of the heads of keys has its query heads, its key and its value, in this order; else come all queries, all
    keys, all values.  ``names`` are those of the map and of the one behind the attention.
    """

    def __init__(
        self,
        c: DecoderConfig,
        layer: int,
        names: tuple[str, str],
        grouped: bool,
        bias: bool,
        groups: int | None = None,
        rope: Rope | None = None,
        linear: Any = Linear,
        clip: float | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(layer, c.num_attention_heads, c.kv_heads if groups is None else groups, c.width, rope, **settings)
        self.names, self.grouped, self.clip = names, grouped, clip
        setattr(self, names[0], linear(c.hidden_size, (self.heads + 2 * self.groups) * self.width, bias=bias))
        setattr(self, names[1], linear(self.heads * self.width, c.hidden_size, bias=bias))

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries ``[b, h, n, d]``, keys and values ``[b, g, n, d]`` of ``[b, n, (h + 2 g) d]``."""
        b, n, _ = x.shape
        h, g, d = self.heads, self.groups, self.width
        if not self.grouped:
            q, k, v = x.split([h * d, g * d, g * d], -1)
            return split_heads(q, h), split_heads(k, g), split_heads(v, g)
        x = x.reshape((b, n, g, h // g + 2, d))
        q = x[:, :, :, : h // g].reshape((b, n, h, d)).transpose(1, 2)
        return q, x[:, :, :, -2].transpose(1, 2), x[:, :, :, -1].transpose(1, 2)

    def normed(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys before they are turned."""
        return q, k

    def forward(self, x: Tensor, step: Step) -> Tensor:
        x = getattr(self, self.names[0])(x)
        if self.clip is not None:
            x = x.clamp(-self.clip, self.clip)
        q, k, v = self.split(x)
        q, k = self.normed(q, k)
        return getattr(self, self.names[1])(self.attend(q, k, v, step))


# -- feed-forward blocks and norms -----------------------------------------------------------------


class GatedMLP(Module):
    """down(act(gate(x)) up(x)).  https://arxiv.org/abs/2002.05202"""

    def __init__(
        self,
        width: int,
        inner: int,
        act: str,
        bias: bool = False,
        names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj"),
    ) -> None:
        super().__init__()
        self.names, self.act = names, activation(act)
        gate, up, down = names
        setattr(self, gate, Linear(width, inner, bias=bias))
        setattr(self, up, Linear(width, inner, bias=bias))
        setattr(self, down, Linear(inner, width, bias=bias))

    def forward(self, x: Tensor) -> Tensor:
        gate, up, down = (getattr(self, name) for name in self.names)
        return down(self.act(gate(x)) * up(x))


class FusedGatedMLP(Module):
    """The same with gate and up in one weight, the gate's rows first."""

    def __init__(self, width: int, inner: int, act: str, bias: bool = False) -> None:
        super().__init__()
        self.act = activation(act)
        self.gate_up_proj = Linear(width, 2 * inner, bias=bias)
        self.down_proj = Linear(inner, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(x).chunk(2, -1)
        return self.down_proj(self.act(gate) * up)


class MLP(Module):
    """down(act(up(x))), under the names that an architecture gives the two."""

    def __init__(self, width: int, inner: int, act: str, names: tuple[str, str], bias: bool = True, linear: Any = Linear) -> None:
        super().__init__()
        self.names, self.act = names, activation(act)
        setattr(self, names[0], linear(width, inner, bias=bias))
        setattr(self, names[1], linear(inner, width, bias=bias))

    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, self.names[1])(self.act(getattr(self, self.names[0])(x)))


class Conv1D(Module):
    """A linear map whose weight is kept as ``[in, out]``, as GPT-2's is."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = Parameter(init.blank(inputs, outputs))
        self.bias = Parameter(init.blank(outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        y = x @ self.weight
        return y if self.bias is None else y + self.bias


class GemmaNorm(RMSNorm):
    """An RMS norm whose scale is 1 + weight."""

    def forward(self, x: Tensor) -> Tensor:
        return OPS["rms_norm"](x, self.weight + 1, normalized_shape=self.normalized_shape, eps=self.eps)


class Block(Module):
    """A layer in the usual order: attention of the normed input, added; feed-forward of the normed sum, added.

    ``parts`` are (name, module) of the norm and the attention, then the norm and the feed-forward block; with ``after`` a
    norm follows each before it is added, and ``factor`` scales what is added.
    """

    def __init__(
        self,
        norm: tuple[str, Module] | None,
        attention: tuple[str, Module],
        mlp_norm: tuple[str, Module] | None,
        mlp: tuple[str, Module],
        after: tuple[tuple[str, Module], tuple[str, Module]] | None = None,
        factor: float = 1.0,
        parallel: bool = False,
    ) -> None:
        super().__init__()
        held = [norm, attention, mlp_norm, mlp, *(after or (None, None))]
        for part in held:
            if part is not None:
                self.add_module(*part)
        self.parts = [None if part is None else part[0] for part in held]
        self.factor, self.parallel = factor, parallel

    def _on(self, part: int, x: Tensor, *args: Any) -> Tensor:
        name = self.parts[part]
        return x if name is None else self._modules[name](x, *args)  # type: ignore[misc]

    def forward(self, x: Tensor, step: Step) -> Tensor:
        found = self._on(4, self._on(1, self._on(0, x), step))
        if self.parallel:
            inner = self._on(2, x) if self.parts[2] is not None else self._on(0, x)
            return x + found * self.factor + self._on(5, self._on(3, inner)) * self.factor
        x = x + (found if self.factor == 1.0 else found * self.factor)
        found = self._on(5, self._on(3, self._on(2, x)))
        return x + (found if self.factor == 1.0 else found * self.factor)

    def memory(self, *args: Any) -> Any:
        return self._modules[self.parts[1] or ""].memory(*args)  # type: ignore[union-attr]


# -- the model -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Names:
    """Where a checkpoint keeps the parts of a decoder."""

    body: str = "model"
    embed: str = "embed_tokens"
    layers: str = "layers"
    norm: str = "norm"
    head: str = "lm_head"


class Body(Module):
    """The decoder below its head: it holds what the checkpoint keeps under one prefix."""


class CausalLM(TokenModel):
    """A decoder with a head over its vocabulary; a subclass says what its layers, norms and embeddings are.

    ``model(input_ids, attention_mask)`` gives ``logits`` float[b, n, vocab] (``last_hidden_state`` for a checkpoint without a
    head), with ``labels`` also ``loss``; ``model.generate(...)`` goes on writing.  input_ids are int[b, n]; attention_mask
    int or bool[b, n] is 0 at padding, on either side.
    """

    Config: ClassVar[type[Config]] = DecoderConfig
    names: ClassVar[Names] = Names()
    dropped: ClassVar[tuple[str, ...]] = (r"rotary_emb\.inv_freq$", r"\.attn\.(masked_)?bias$", r"\.attention\.(masked_)?bias$")
    renamed: ClassVar[tuple[tuple[str, str], ...]] = ()
    head_bias: ClassVar[bool] = False
    gguf: ClassVar[Mapping[str, str]] = {}  # llama.cpp's names of the tensors, N for a layer's number, and the names here

    def __init__(self, config: Any, headless: bool = False) -> None:
        super().__init__()
        self.config = config
        names, c = self.names, config
        body = Body()
        setattr(self, names.body, body)
        setattr(body, names.embed, Embedding(c.vocab_size, self.embedding_width(c)))
        self.rope = self.make_rope(c)
        setattr(body, names.layers, ModuleList([self.block(c, i) for i in range(c.num_hidden_layers)]))
        setattr(body, names.norm, self.norm(c))
        self.headless = headless
        self.tied = not headless and c.tie_word_embeddings
        if not headless and not self.tied:
            setattr(self, names.head, Linear(self.embedding_width(c), c.vocab_size, bias=self.head_bias))
        self.extend(body)

    # -- what an architecture says ------------------------------------------------------------------

    def block(self, c: Any, i: int) -> Module:
        """Layer i."""
        raise NotImplementedError

    def norm(self, c: Any) -> Module:
        """The norm behind the last layer; other norms are often the same."""
        return RMSNorm(c.hidden_size, eps=c.rms_norm_eps)

    def make_rope(self, c: Any) -> Any:
        """The rotary positions that layers share, or None."""
        return rope_of(c.rope, c.width) if c.rope else None

    def embedding_width(self, c: Any) -> int:
        return c.hidden_size

    def extend(self, body: Module) -> None:
        """Add to the body what only this architecture has."""

    def embed(self, ids: Tensor, step: Step) -> Tensor:
        """The first layer's input, ``[b, n, d]``."""
        return getattr(self.body, self.names.embed)(ids)

    def finish(self, logits: Tensor) -> Tensor:
        """Logits from the head's products."""
        return logits

    # -- the loop -----------------------------------------------------------------------------------

    @property
    def body(self) -> Any:
        return self._modules[self.names.body]

    @property
    def layers(self) -> Any:
        return getattr(self.body, self.names.layers)

    def hidden(self, ids: Tensor, step: Step) -> Tensor:
        """The last hidden states, normed, ``[b, n, d]``."""
        x = self.embed(ids, step)
        for layer in self.layers:
            x = layer(x, step)
        return getattr(self.body, self.names.norm)(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """What the head makes of hidden states."""
        if self.tied:
            return self.finish(F.linear(hidden, getattr(self.body, self.names.embed).weight, None))
        return self.finish(getattr(self, self.names.head)(hidden))

    def forward(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        labels: Any = None,
        position_ids: Any = None,
        cache: Cache | None = None,
    ) -> Outputs:
        """Logits of int[b, n] token ids; those that ``cache`` holds are seen too, and these are added to it.

        ``labels`` int[b, n], where -100 does not count, give the mean next-token cross entropy as ``loss``.
        """
        ids = self.tokens(input_ids)
        n = ids.shape[1]
        keep = self.mask(attention_mask, ids.shape[0], n, 0 if cache is None else cache.longest)
        if cache is not None:
            cache.reserve(n)
        step = Step(ids, keep, cache, None if position_ids is None else self.tokens(position_ids, "position_ids"))
        hidden = self.hidden(ids, step)
        if cache is not None:
            self.advance(cache, keep, n)
            cache.longest += n
        if self.headless:
            return Outputs(last_hidden_state=hidden)
        logits = self.logits(hidden)
        loss = None if labels is None else next_token_loss(logits, self.tokens(labels, "labels"))
        return Outputs(loss=loss, logits=logits)

    # -- what generation asks -----------------------------------------------------------------------

    def new_cache(self, batch: int, capacity: int) -> Cache:
        """An empty memory for ``batch`` rows of up to ``capacity`` tokens; it grows when asked for more."""
        dtype, device = self.dtype, self.device
        return Cache([layer.memory(batch, capacity, dtype, device) for layer in self.layers], batch, capacity, device)

    def advance(self, cache: Cache, keep: Tensor | None, n: int) -> None:
        """Count the tokens that went in."""
        cache.lengths.copy_(cache.lengths + (n if keep is None else keep.to(dtype=int64).sum(1)))

    def decode(self, ids: Tensor, keep: Tensor | None, cache: Cache) -> Tensor:
        """The logits ``[b, vocab]`` behind the last of int[b, n] tokens, padded on the left, which go into the cache.

        The cache has room for them; its ``longest`` is the caller's to count.
        """
        hidden = self.hidden(ids, Step(ids, keep, cache))
        self.advance(cache, keep, ids.shape[1])
        return self.logits(hidden[:, -1])

    def generate(self, input_ids: Any, *args: Any, **settings: Any) -> Tensor:
        """Prompt and new tokens, int64[b, n + new]; ``candle.generate.generate`` says what can be set."""
        from ..generate import generate

        return generate(self, input_ids, *args, **settings)

    # -- loading ------------------------------------------------------------------------------------

    @classmethod
    def for_weights(cls, config: Any, weights: Mapping[str, Tensor], values: Mapping[str, Any]) -> Any:
        """The model of a checkpoint: without a head where its architecture has none."""
        named = str((values.get("architectures") or [""])[0])
        if re.search(r"For(?!CausalLM|ConditionalGeneration)\w+$", named):
            raise FormatError(f"config.json asks for {named}; a decoder is a ...ForCausalLM, ...LMHeadModel or a bare ...Model")
        return cls(config, headless=bool(named.endswith("Model") and not named.endswith("LMHeadModel")))

    @classmethod
    def from_gguf(cls, values: dict[str, Any], tensors: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Settings and tensors of a GGUF file as this architecture wants them."""
        return values, tensors

    @classmethod
    def sanitize(cls, weights: Mapping[str, Tensor], config: Any, values: Mapping[str, Any]) -> dict[str, Tensor]:
        """Published names as this module has them."""
        prefix = cls.names.body + "."
        bare = not any(k.startswith(prefix) for k in weights)
        found: dict[str, Tensor] = {}
        for name, w in weights.items():
            if any(re.search(p, name) for p in cls.dropped):
                continue
            for old, new in cls.renamed:
                name = re.sub(old, new, name)
            if bare and not name.startswith(cls.names.head + "."):
                name = prefix + name
            if name.startswith(cls.names.head + ".") and config.tie_word_embeddings:
                continue
            found[name] = w
        return found
