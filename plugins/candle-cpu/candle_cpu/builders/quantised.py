"""Builders of what takes block-quantised weights: products, values, rows."""

from __future__ import annotations

from typing import Any

from candle.dtype import INTEGERS, DType
from candle.op import Spec

from .base import builder, kernel


@builder("quantized_linear")
def quantized_linear(out: Spec, x: Spec, weight: Spec, bias: Spec | None) -> Any:
    if weight.ndim != 2:
        return None
    return kernel(f"quantized_linear.{weight.dtype}", x.dtype, out, 3, work=out.size * x.shape[-1])


@builder("dequantize")
def dequantize(out: Spec, x: Spec, *, dtype: DType) -> Any:
    return kernel(f"dequantize.{x.dtype}", x.dtype, out, 1, work=out.size)


@builder("quantized_embedding")
def quantized_embedding(out: Spec, weight: Spec, ids: Spec) -> Any:
    if weight.ndim != 2 or ids.dtype not in INTEGERS:
        return None
    return kernel(f"quantized_embedding.{weight.dtype}", weight.dtype, out, 2, work=out.size)
