"""The builder of attention: one pass over blocks of keys, in float32 for halves."""

from __future__ import annotations

from typing import Any

from candle import dtype as dt
from candle.op import Spec

from .base import builder, kernel


@builder("attention")
def attention(
    out: Spec,
    q: Spec,
    k: Spec,
    v: Spec,
    mask: Spec | None,
    alibi: Spec | None,
    *,
    scale: float,
    causal: bool,
    window: int | None,
    softcap: float | None,
    offset: int,
) -> Any:
    if q.ndim < 3 or not q.shape[:-3] == k.shape[:-3] == v.shape[:-3] or out.ndim != q.ndim:
        return None
    if q.dtype is dt.float64 or not k.shape[-3] or 0 in k.shape or (softcap is not None and softcap <= 0):
        return None
    work = q.size * k.shape[-2] * 2
    return kernel("attention", q.dtype, out, 5, [causal, window or 0, offset], [scale, softcap or 0.0], work=work)
