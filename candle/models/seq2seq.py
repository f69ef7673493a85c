"""What encoder-decoders share: a text is read at once, another is written token by token with both in sight."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Mapping

from ..create import full
from ..dtype import int64
from ..errors import FormatError
from ..nn import Module
from ..op import OPS
from ..tensor import Tensor, no_grad
from .bidirectional import look
from .caching import Cache, Sided, State
from .decoder import Attention, Step, split_heads
from .results import Outputs, labelled_loss
from .settings import Config
from .tokens import TokenModel

__all__ = ["Continuation", "CrossAttention", "Seq2Seq", "Source"]


class Source:
    """What a decoder sees of the text that was read: states ``[b, m, d]``, and ``keep`` bool[b, m], False at padding."""

    def __init__(self, states: Tensor | None, keep: Tensor | None) -> None:
        self.states, self.keep = states, keep


class CrossAttention(Module):
    """Attention of what is written to what was read; a subclass has ``queries(x)``, ``pair(states)`` and ``out(y)``.

    Keys and values are the same at every token: a memory keeps them.
    """

    layer: int
    heads: int
    width: int
    scale: float

    def queries(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def pair(self, states: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def out(self, y: Tensor) -> Tensor:
        raise NotImplementedError

    def memory(self, batch: int, length: int, dtype: Any, device: Any) -> State:
        shape = (batch, self.heads, length, self.width)
        return State({"k": shape, "v": shape}, dtype, device)

    def forward(self, x: Tensor, step: Step, source: Source) -> Tensor:
        memory = step.memory(self.layer)
        k, v = self.pair(source.states) if memory is None else (memory.cross["k"], memory.cross["v"])  # type: ignore[arg-type]
        q = split_heads(self.queries(x), self.heads)
        return self.out(look(q, k.to(dtype=q.dtype), v.to(dtype=q.dtype), source.keep, scale=self.scale))


class Seq2Seq(TokenModel):
    """An encoder-decoder; a subclass reads (``encode``) and writes (``write``), and names the parts of its layers.

    ``model(input_ids, attention_mask, decoder_input_ids=...)`` gives ``logits`` float[b, n, vocab] and
    ``encoder_last_hidden_state`` float[b, m, d]; with ``labels`` int[b, n] in place of decoder_input_ids also ``loss``.
    """

    Config: ClassVar[type[Config]]
    is_encoder_decoder = True
    dropped: ClassVar[tuple[str, ...]] = ()

    def encode(self, ids: Tensor, keep: Tensor | None) -> Tensor:
        """States ``[b, m, d]`` of the text that is read."""
        raise NotImplementedError

    def write(self, ids: Tensor, step: Step, source: Source) -> Tensor:
        """States ``[b, n, d]`` of the text that is written."""
        raise NotImplementedError

    def logits(self, hidden: Tensor) -> Tensor:
        """What the head makes of them."""
        raise NotImplementedError

    def parts(self) -> list[tuple[Attention, CrossAttention]]:
        """The decoder's attentions, layer by layer: to what was written, and to what was read."""
        raise NotImplementedError

    def start_token(self) -> int:
        """The token that every text that is written begins with."""
        found = self.config.decoder_start_token_id
        if found is None:
            raise FormatError("config.json names no decoder_start_token_id; pass decoder_input_ids")
        return int(found)

    def forward(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        decoder_input_ids: Any = None,
        decoder_attention_mask: Any = None,
        labels: Any = None,
        encoder_outputs: Any = None,
    ) -> Outputs:
        if encoder_outputs is None:
            ids = self.tokens(input_ids)
            keep = self.mask(attention_mask, ids.shape[0], ids.shape[1])
            states = self.encode(ids, keep)
        else:
            states = encoder_outputs["last_hidden_state"] if isinstance(encoder_outputs, dict) else encoder_outputs
            keep = self.mask(attention_mask, states.shape[0], states.shape[1], 0)
        wanted = None if labels is None else self.tokens(labels, "labels")
        if decoder_input_ids is None:
            if wanted is None:
                raise TypeError("an encoder-decoder wants decoder_input_ids (or labels, which it shifts); generate() writes them")
            first = full((wanted.shape[0], 1), self.start_token(), dtype=int64, device=wanted.backend)
            shifted = OPS["cat"](first, wanted[:, :-1].to(dtype=int64), dim=1)
            given = OPS["where"](shifted == -100, self.config.pad_token_id or 0, shifted)
        else:
            given = self.tokens(decoder_input_ids, "decoder_input_ids")
        step = Step(given, self.mask(decoder_attention_mask, given.shape[0], given.shape[1]), None)
        logits = self.logits(self.write(given, step, Source(states, keep)))
        loss = None if wanted is None else labelled_loss(logits, wanted)
        return Outputs(loss=loss, logits=logits, encoder_last_hidden_state=states)

    def generate(self, input_ids: Any, *args: Any, **settings: Any) -> Tensor:
        """What it writes about texts int[b, m], int64[b, 1 + new]; ``candle.generate.generate`` says what can be set."""
        from ..generate import generate

        return generate(self, input_ids, *args, **settings)

    @classmethod
    def for_weights(cls, config: Any, weights: Mapping[str, Tensor], values: Mapping[str, Any]) -> Any:
        made: Any = cls
        return made(config)

    @classmethod
    def kept(cls, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights that are not dropped."""
        return {k: w for k, w in weights.items() if not any(re.search(p, k) for p in cls.dropped)}


class Continuation(TokenModel):
    """An encoder-decoder that has read texts, as a model that goes on writing: what generation works with."""

    writes_apart = True

    def __init__(self, model: Seq2Seq, batch: int, length: int) -> None:
        super().__init__()
        self.__dict__["model"] = model
        self.batch, self.length = batch, length
        self.source = State({"keep": (batch, length)}, dtype="bool", device=model.device)
        self.cross = [cross.memory(batch, length, model.dtype, model.device) for _, cross in model.parts()]

    @property
    def config(self) -> Any:
        return self.__dict__["model"].config

    @property
    def generation(self) -> Any:
        return getattr(self.__dict__["model"], "generation", {})

    @property
    def device(self) -> Any:
        return self.__dict__["model"].device

    @property
    def dtype(self) -> Any:
        return self.__dict__["model"].dtype

    def read(self, states: Tensor, keep: Tensor) -> None:
        """Take in states ``[b, m, d]`` and their mask."""
        with no_grad():
            self.source["keep"] = keep
            for (_, cross), memory in zip(self.__dict__["model"].parts(), self.cross):
                memory["k"], memory["v"] = cross.pair(states)

    def new_cache(self, batch: int, capacity: int) -> Cache:
        model = self.__dict__["model"]
        layers = [
            Sided(attention.memory(batch, capacity, model.dtype, model.device), cross)
            for (attention, _), cross in zip(model.parts(), self.cross)
        ]
        return Cache(layers, batch, capacity, model.device)

    def decode(self, ids: Tensor, keep: Tensor | None, cache: Cache) -> Tensor:
        """The logits ``[b, vocab]`` behind the last of int[b, n] tokens, which go into the cache."""
        model = self.__dict__["model"]
        x = model.write(ids, Step(ids, keep, cache), Source(None, self.source["keep"]))
        cache.lengths.copy_(cache.lengths + (ids.shape[1] if keep is None else keep.to(dtype=int64).sum(1)))
        return model.logits(x[:, -1])
