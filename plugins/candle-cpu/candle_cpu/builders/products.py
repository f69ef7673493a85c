"""Builders of matrix products: matmul and linear."""

from __future__ import annotations

from typing import Any

from candle.op import Spec

from .base import builder, kernel


@builder("matmul")
def matmul(out: Spec, a: Spec, b: Spec) -> Any:
    return kernel("matmul", a.dtype, out, 2, work=out.size * a.shape[-1])


@builder("linear")
def linear(out: Spec, x: Spec, weight: Spec, bias: Spec | None) -> Any:
    if weight.ndim != 2:
        return None
    return kernel("linear", x.dtype, out, 3, work=out.size * x.shape[-1])
