"""Builders of what works on whole rows: softmax, its logarithm, and the norms."""

from __future__ import annotations

from typing import Any

from candle import dtype as dt
from candle.op import Spec

from .base import builder, kernel, wide

_SOFTMAX, _LOG_SOFTMAX, _LAYER_NORM, _RMS_NORM = range(4)


def _soft(op: int, out: Spec, x: Spec, dim: int) -> Any:
    if not x.ndim or (x.dtype is not out.dtype and wide(x.dtype) is not wide(out.dtype)):
        return None
    return kernel("rows", wide(x.dtype), out, 1, [op, -1, dim], work=x.size * 8)


@builder("softmax")
def softmax(out: Spec, x: Spec, *, dim: int, dtype: dt.DType | None) -> Any:
    return _soft(_SOFTMAX, out, x, dim)


@builder("log_softmax")
def log_softmax(out: Spec, x: Spec, *, dim: int, dtype: dt.DType | None) -> Any:
    return _soft(_LOG_SOFTMAX, out, x, dim)


@builder("layer_norm")
def layer_norm(
    out: Spec, x: Spec, weight: Spec | None, bias: Spec | None, *, normalized_shape: tuple[int, ...], eps: float
) -> Any:
    return kernel("rows", wide(x.dtype), out, 3, [_LAYER_NORM, x.ndim - len(normalized_shape), 0], [eps], work=x.size * 4)


@builder("rms_norm")
def rms_norm(out: Spec, x: Spec, weight: Spec | None, *, normalized_shape: tuple[int, ...], eps: float) -> Any:
    return kernel("rows", wide(x.dtype), out, 2, [_RMS_NORM, x.ndim - len(normalized_shape), 0], [eps], work=x.size * 4)
