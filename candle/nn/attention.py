"""Multi-head attention and the encoder and decoder built of it, with PyTorch's state."""

from __future__ import annotations

import copy
from typing import Any, Callable

from .. import create
from ..errors import CandleError, ShapeError
from ..op import FUNCTIONS, OPS
from ..ops.neural import _weights
from ..tensor import Tensor
from . import functional as F
from . import init
from .containers import ModuleList
from .layers import Dropout, LayerNorm, Linear, _parameter
from .module import Module

__all__ = [
    "MultiheadAttention",
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]


def _added(mask: Tensor | None, like: Tensor) -> Tensor | None:
    """A mask as numbers to add: PyTorch's modules say True where a key does not count."""
    if mask is None or mask.dtype.kind != "b":
        return mask
    return OPS["where"](mask, like.detach().new_full((), float("-inf")), like.detach().new_full((), 0.0))


class MultiheadAttention(Module):
    """Queries, keys and values by linear maps, attention by heads, and a linear map of the result.

    query is ``[n, b, embed_dim]``, or ``[b, n, embed_dim]`` with ``batch_first``, or ``[n, embed_dim]``.  A boolean mask is True
    where a key does **not** count; ``key_padding_mask`` is ``[b, m]``, ``attn_mask`` ``[n, m]`` or ``[b * heads, n, m]``.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if num_heads < 1 or embed_dim % num_heads:
            raise ShapeError(f"MultiheadAttention's embed_dim {embed_dim} is divisible by num_heads {num_heads}")
        self.embed_dim, self.num_heads, self.head_dim = embed_dim, num_heads, embed_dim // num_heads
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        self.kdim, self.vdim = kdim or embed_dim, vdim or embed_dim
        where = {"dtype": dtype, "device": device}
        together = self.kdim == self.vdim == embed_dim
        shapes = {"q_proj_weight": embed_dim, "k_proj_weight": self.kdim, "v_proj_weight": self.vdim}
        self.register_parameter("in_proj_weight", _parameter(3 * embed_dim, embed_dim, **where) if together else None)
        for name, n in shapes.items():
            self.register_parameter(name, None if together else _parameter(embed_dim, n, **where))
        self.register_parameter("in_proj_bias", _parameter(3 * embed_dim, **where) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, **where)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, _parameter(1, 1, embed_dim, **where) if add_bias_kv else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for w in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if w is not None:
                init.xavier_uniform_(w)
        for b in (self.in_proj_bias, self.out_proj.bias):
            if b is not None:
                init.zeros_(b)
        for b in (self.bias_k, self.bias_v):
            if b is not None:
                init.xavier_normal_(b)

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        e = self.embed_dim
        if self.in_proj_weight is not None:
            weights = [self.in_proj_weight.narrow(0, i * e, e) for i in range(3)]
        else:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        biases = [None] * 3 if self.in_proj_bias is None else [self.in_proj_bias.narrow(0, i * e, e) for i in range(3)]
        return [FUNCTIONS["linear"](x, w, b) for x, w, b in zip((query, key, value), weights, biases)]

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """The result, and the weights ``[b, n, m]`` (``[b, heads, n, m]`` if not averaged), or None if they are not needed."""
        flat = query.ndim == 2
        if flat:
            query, key, value = (x.unsqueeze(0) for x in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif query.ndim != 3 or key.ndim != 3 or value.ndim != 3:
            raise ShapeError(f"MultiheadAttention takes [n, b, d] or [n, d] but was given {query.spec}, {key.spec}, {value.spec}")
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        if is_causal and attn_mask is None:
            raise CandleError("MultiheadAttention takes is_causal only beside attn_mask; pass the mask")
        q, k, v = self._projected(query, key, value)
        b, n, _ = q.shape
        extra = 0
        if self.bias_k is not None:
            k, v = (OPS["cat"](x, y.expand((b, 1, self.embed_dim)), dim=1) for x, y in ((k, self.bias_k), (v, self.bias_v)))
            extra += 1
        if self.add_zero_attn:
            k, v = (OPS["cat"](x, x.new_zeros(b, 1, self.embed_dim), dim=1) for x in (k, v))
            extra += 1
        mask = self._mask(key_padding_mask, attn_mask, q, b, k.shape[1], extra)
        q, k, v = (x.reshape((b, x.shape[1], self.num_heads, self.head_dim)).transpose(1, 2) for x in (q, k, v))
        p = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            weights, _ = _weights(q, k, mask, None, self.head_dim**-0.5, False, None, None, 0)
            weights = FUNCTIONS["dropout"](weights, p)
            y = weights @ v
        else:
            y = FUNCTIONS["scaled_dot_product_attention"](q, k, v, mask, dropout_p=p)
        y = self.out_proj(y.transpose(1, 2).reshape((b, n, self.embed_dim)))
        if weights is not None and average_attn_weights:
            weights = weights.mean(dim=1)
        if flat:
            return y.squeeze(0), None if weights is None else weights.squeeze(0)
        return y if self.batch_first else y.transpose(0, 1), weights

    def _mask(self, padding: Tensor | None, attn: Tensor | None, like: Tensor, b: int, m: int, extra: int) -> Tensor | None:
        padding, attn = _added(padding, like), _added(attn, like)
        if padding is not None:
            padding = padding.reshape((b, 1, 1, m - extra))
        if attn is not None and attn.ndim == 3:
            attn = attn.reshape((b, self.num_heads, *attn.shape[1:]))
        mask = padding if attn is None else attn if padding is None else attn + padding
        return OPS["pad"](mask, pad=(0, extra)) if mask is not None and extra else mask


def _activation(given: str | Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    if callable(given):
        return given
    if given not in ("relu", "gelu"):
        raise CandleError(f"a transformer's activation is 'relu', 'gelu' or a function but {given!r} was given")
    return getattr(F, given)


class _Layer(Module):
    """What encoder and decoder layers share: attention to itself, two linear maps, norms."""

    norms = 2

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **where)
        if self.norms == 3:
            self.multihead_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, **where)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **where)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **where)
        self.norm_first = norm_first
        for i in range(1, self.norms + 1):
            setattr(self, f"norm{i}", LayerNorm(d_model, layer_norm_eps, bias=bias, **where))
            setattr(self, f"dropout{i}", Dropout(dropout))
        self.activation = _activation(activation)

    def _added(self, i: int, x: Tensor, part: Callable[[Tensor], Tensor]) -> Tensor:
        """A part's result added to what it was given, normalised before or after."""
        norm, drop = getattr(self, f"norm{i}"), getattr(self, f"dropout{i}")
        return x + drop(part(norm(x))) if self.norm_first else norm(x + drop(part(x)))

    def _feed(self, x: Tensor) -> Tensor:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerEncoderLayer(_Layer):
    """Attention of a sequence to itself, then two linear maps, each added to what went before and normalised."""

    def forward(
        self, src: Tensor, src_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        def attend(x: Tensor) -> Tensor:
            return self.self_attn(x, x, x, src_key_padding_mask, False, src_mask)[0]

        return self._added(2, self._added(1, src, attend), self._feed)


class TransformerDecoderLayer(_Layer):
    """Attention to itself, then to a memory, then two linear maps."""

    norms = 3

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        def attend(x: Tensor) -> Tensor:
            return self.self_attn(x, x, x, tgt_key_padding_mask, False, tgt_mask)[0]

        def look(x: Tensor) -> Tensor:
            return self.multihead_attn(x, memory, memory, memory_key_padding_mask, False, memory_mask)[0]

        return self._added(3, self._added(2, self._added(1, tgt, attend), look), self._feed)


class _Stack(Module):
    def __init__(self, layer: Module, num_layers: int, norm: Module | None = None, **_: Any) -> None:
        super().__init__()
        self.layers = ModuleList([copy.deepcopy(layer) for _ in range(num_layers)])
        self.num_layers = num_layers
        self.add_module("norm", norm)

    def _run(self, x: Tensor, *args: Any) -> Tensor:
        for layer in self.layers:
            x = layer(x, *args)
        return x if self.norm is None else self.norm(x)


class TransformerEncoder(_Stack):
    """Copies of a layer, one after the other."""

    def forward(
        self, src: Tensor, mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None, is_causal: bool | None = None
    ) -> Tensor:
        return self._run(src, mask, src_key_padding_mask)


class TransformerDecoder(_Stack):
    """Copies of a decoder layer, one after the other."""

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        return self._run(tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)


class Transformer(Module):
    """An encoder and a decoder.  https://arxiv.org/abs/1706.03762"""

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        where = {"device": device, "dtype": dtype}
        rest = (dropout, activation, layer_norm_eps, batch_first, norm_first, bias)

        def norm() -> Module:
            return LayerNorm(d_model, layer_norm_eps, bias=bias, **where)

        encoder, decoder = (
            kind(d_model, nhead, dim_feedforward, *rest, **where) for kind in (TransformerEncoderLayer, TransformerDecoderLayer)
        )
        self.encoder = custom_encoder or TransformerEncoder(encoder, num_encoder_layers, norm())
        self.decoder = custom_decoder or TransformerDecoder(decoder, num_decoder_layers, norm())
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        for p in self.parameters():
            if p.ndim > 1:
                init.xavier_uniform_(p)

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """Minus infinity above the diagonal, else 0: each place sees itself and those before it."""
        return create.full((sz, sz), float("-inf"), dtype=dtype, device=device).triu(1)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        **_: Any,
    ) -> Tensor:
        memory = self.encoder(src, src_mask, src_key_padding_mask)
        return self.decoder(tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
