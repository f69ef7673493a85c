"""Attention in its forms, rotary positions, recurrences that stand in for attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import candle
from candle import OPS, Tensor

from ..errors import OnnxError
from ..table import Host, operator
from ..values import dtype_of
from .shape import _place


def _heads(x: Tensor, count: int | None) -> Tensor:
    """x [b, n, heads * d] as [b, heads, n, d]; what has four dimensions stays."""
    if x.ndim == 4:
        return x
    if not count:
        raise OnnxError("Attention of three-dimensional inputs needs q_num_heads and kv_num_heads")
    b, n, d = x.shape
    return x.reshape((b, n, count, d // count)).transpose(1, 2)


def _repeated(x: Tensor, heads: int) -> Tensor:
    """Heads of keys as many times as there are heads of queries to each."""
    b, g, n, d = x.shape
    return x if g == heads else x.unsqueeze(2).expand((b, g, heads // g, n, d)).reshape((b, heads, n, d))


@operator("Attention", since=23)
def attention(
    ctx: Any,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    attn_mask: Tensor | None = None,
    past_key: Tensor | None = None,
    past_value: Tensor | None = None,
    nonpad_kv_seqlen: Tensor | None = None,
    *,
    is_causal: int = 0,
    kv_num_heads: int | None = None,
    q_num_heads: int | None = None,
    qk_matmul_output_mode: int = 0,
    scale: float | None = None,
    softcap: float = 0.0,
    softmax_precision: int | None = None,
    left_window_size: int = -1,
    right_window_size: int = -1,
) -> Any:
    flat = q.ndim == 3
    q, k, v = _heads(q, q_num_heads), _heads(k, kv_num_heads), _heads(v, kv_num_heads)
    if past_key is not None and past_value is not None:
        k, v = candle.cat([past_key, k], dim=2), candle.cat([past_value, v], dim=2)
    (b, heads, n, d), m = q.shape, k.shape[2]
    root = math.sqrt(scale if scale is not None else 1 / math.sqrt(d))
    raw = (q * root).to(dtype=q.dtype) @ (_repeated(k, heads) * root).to(dtype=k.dtype).transpose(2, 3)
    scores = (raw / softcap).tanh() * softcap if softcap else raw
    seen = [raw, scores]
    bias, allowed = _bias(ctx, q, m, attn_mask, past_key, nonpad_kv_seqlen, bool(is_causal), left_window_size, right_window_size)
    if bias is not None:
        scores = scores + bias.to(dtype=scores.dtype)
    if allowed is not None:
        scores = candle.where(allowed, scores, float("-inf"))
    seen.append(scores)
    precise = scores.to(dtype=dtype_of(softmax_precision)) if softmax_precision else scores
    weights = _softmax(precise).to(dtype=q.dtype)
    seen.append(weights)
    y = weights @ _repeated(v, heads)
    if flat:
        y = y.transpose(1, 2).reshape((b, n, heads * v.shape[-1]))
    return (y, k, v, seen[(0, 1, 2, 3)[qk_matmul_output_mode]])[: max(ctx.outputs, 1)] if ctx.outputs > 1 else y


def _softmax(scores: Tensor) -> Tensor:
    """Softmax over the last dimension; a row that sees nothing is zero."""
    top = candle.amax(scores, dim=-1, keepdim=True)
    top = candle.where(candle.isinf(top), candle.zeros_like(top), top)
    powers = (scores - top).exp()
    total = powers.sum(dim=-1, keepdim=True)
    return powers / candle.where(total == 0, candle.ones_like(total), total)


def _bias(ctx: Any, q: Tensor, m: int, mask: Tensor | None, past: Tensor | None, lengths: Tensor | None, causal: bool, left: int,
          right: int) -> tuple[Tensor | None, Tensor | None]:  # fmt: skip
    """What is added to the scores, and which of them count at all."""
    b, _, n, _ = q.shape
    bias: Tensor | None = None
    allowed: Tensor | None = None

    def restrict(more: Tensor) -> None:
        nonlocal allowed
        allowed = more if allowed is None else allowed & more

    if mask is not None:
        short = m - mask.shape[-1]
        if mask.dtype is candle.bool_:
            if short > 0:
                mask = candle.constant_pad(mask, [0] * mask.ndim, [0] * (mask.ndim - 1) + [short], False)
            restrict(mask)
        else:
            if short > 0:
                mask = candle.constant_pad(mask, [0] * mask.ndim, [0] * (mask.ndim - 1) + [short], float("-inf"))
            bias = mask
    keys = candle.arange(m, device=_place(q)).reshape((1, 1, 1, m))
    queries = candle.arange(n, device=_place(q)).reshape((1, 1, n, 1))
    if past is not None:
        queries = queries + past.shape[2]
    elif lengths is not None and ctx.version >= 24:
        counts = lengths.to(dtype=candle.int64).reshape((b, 1, 1, 1))
        restrict(keys < counts)
        queries = queries + (counts - n)
    if causal:
        restrict(keys <= queries)
    if left >= 0:
        restrict(keys >= queries - left)
    if right >= 0:
        restrict(keys <= queries + right)
    return bias, allowed


@operator("FlexAttention", domain="ai.onnx.preview")
def flex_attention(
    ctx: Any,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    softmax_precision: int | None = None,
    score_mod: Any = None,
    prob_mod: Any = None,
) -> Tensor:
    kind = dtype_of(softmax_precision) if softmax_precision else candle.float64 if q.dtype is candle.float64 else candle.float32
    heads = q.shape[1]
    factor = scale if scale is not None else 1 / math.sqrt(q.shape[-1])
    scores = (q.to(dtype=kind) @ _repeated(k, heads).to(dtype=kind).transpose(2, 3)) * factor
    if score_mod is not None:
        scores = ctx.run(score_mod, scores)[0]
    weights = candle.softmax(scores, -1)
    if prob_mod is not None:
        weights = ctx.run(prob_mod, weights)[0]
    return (weights @ _repeated(v, heads).to(dtype=kind)).to(dtype=q.dtype)


@operator("RotaryEmbedding", since=23)
def rotary_embedding(
    x: Tensor,
    cos: Tensor,
    sin: Tensor,
    position_ids: Tensor | None = None,
    *,
    interleaved: int = 0,
    num_heads: int = 0,
    rotary_embedding_dim: int = 0,
) -> Tensor:
    y = _heads(x, num_heads) if x.ndim == 3 else x
    if position_ids is not None:
        cos, sin = (OPS["embedding"](t, position_ids) for t in (cos, sin))
    width = rotary_embedding_dim or y.shape[-1]
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)  # over the heads
    part, rest = y[..., :width], y[..., width:]
    a, b = (part[..., 0::2], part[..., 1::2]) if interleaved else (part[..., : width // 2], part[..., width // 2 :])
    real, imaginary = a * cos - b * sin, a * sin + b * cos
    if interleaved:
        turned = candle.stack([real, imaginary], dim=-1).reshape(part.shape)
    else:
        turned = candle.cat([real, imaginary], dim=-1)
    y = candle.cat([turned, rest], dim=-1) if width < y.shape[-1] else turned
    return y.transpose(1, 2).reshape(x.shape) if x.ndim == 3 else y


@operator("SwiGLU")
def swiglu(a: Tensor, b: Tensor, *, alpha: float = 1.0) -> Tensor:
    return a * candle.sigmoid(a * alpha) * b


@operator("LinearAttention")
def linear_attention(
    ctx: Any,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    past_state: Tensor | None = None,
    decay: Tensor | None = None,
    beta: Tensor | None = None,
    *,
    q_num_heads: int,
    kv_num_heads: int,
    scale: float = 0.0,
    update_rule: str = "gated_delta",
    chunk_size: int = 64,
) -> Any:
    """A state [d_k, d_v] per head, read by queries and updated by keys and values, token by token."""
    kind = q.dtype
    q, k, v = (_heads(t, h).float() for t, h in ((q, q_num_heads), (k, kv_num_heads), (v, kv_num_heads)))
    b, g, n, dk = k.shape
    dv, each = v.shape[-1], q_num_heads // kv_num_heads
    factor = scale or 1 / math.sqrt(q.shape[-1])
    state = candle.zeros((b, g, dk, dv), device=_place(q)) if past_state is None else past_state.float()
    gates = None if decay is None else decay.float().reshape((b, n, g, -1)).transpose(1, 2)  # [b, g, n, 1 or dk]
    rates = None if beta is None else beta.float().reshape((b, n, -1)).transpose(1, 2)  # [b, g or 1, n]
    if update_rule not in ("linear", "gated", "delta", "gated_delta"):
        raise OnnxError(f"LinearAttention's update_rule is linear, gated, delta or gated_delta but {update_rule!r} was given")
    rows = []
    for t in range(n):
        ctx.tick()
        key, value = k[:, :, t].unsqueeze(-1), v[:, :, t].unsqueeze(-2)  # [b, g, dk, 1], [b, g, 1, dv]
        if "gated" in update_rule and gates is not None:
            state = state * gates[:, :, t].exp().unsqueeze(-1)
        if "delta" in update_rule and rates is not None:
            value = (value - key.transpose(-1, -2) @ state) * rates[:, :, t].reshape((b, -1, 1, 1))
        state = state + key * value
        query = q[:, :, t].reshape((b, g, each, -1))
        rows.append((query @ state).reshape((b, q_num_heads, dv)) * factor)
    y = candle.stack(rows, dim=1).reshape((b, n, q_num_heads * dv)).to(dtype=kind)
    return y, (state if past_state is None else state.to(dtype=past_state.dtype)).to(
        dtype=kind if past_state is None else past_state.dtype
    )


@operator("CausalConvWithState")
def causal_conv_with_state(
    x: Tensor, w: Tensor, b: Tensor | None = None, past_state: Tensor | None = None, *, activation: str = "none"
) -> Any:
    k = w.shape[-1]
    before = candle.zeros((*x.shape[:2], k - 1), dtype=x.dtype, device=_place(x)) if past_state is None else past_state
    whole = candle.cat([before, x], dim=2)
    y = OPS["conv"](whole, w, b, groups=x.shape[1])
    y = y * candle.sigmoid(y) if activation in ("silu", "swish") else y
    return y, whole.narrow(2, whole.shape[2] - (k - 1), k - 1)


@operator("Upsample", since=7)
def upsample_by_attribute(x: Tensor, *, scales: list[float], mode: str = "nearest") -> Tensor:
    return upsample(x, np.asarray(scales), mode=mode)


@operator("Upsample", since=9)
def upsample(x: Tensor, scales: Host, *, mode: str = "nearest") -> Tensor:
    kind = "linear" if mode in ("linear", "bilinear") else "nearest"
    return OPS["resize"](
        x, scales=tuple(float(s) for s in np.asarray(scales).reshape(-1)), mode=kind, coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )  # fmt: skip
