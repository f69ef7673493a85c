"""Random numbers.  ONNX does not say which: these are candle's, the same on every device for a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

import candle
from candle import Tensor

from ..run import known
from ..table import operator
from ..values import dtype_of
from .shape import _place


def _generator(seed: float | None) -> Any:
    return None if seed is None else candle.Generator().manual_seed(int(np.float32(seed).view(np.uint32)))


def _kind(dtype: int | None, like: Tensor | None) -> Any:
    if dtype is not None:
        return dtype_of(dtype)
    return like.dtype if like is not None and like.dtype.kind == "f" else candle.float32


@operator("RandomNormal")
def random_normal(
    ctx: Any, *, dtype: int = 1, mean: float = 0.0, scale: float = 1.0, seed: float | None = None, shape: list[int]
) -> Tensor:
    return (candle.randn(*shape, generator=_generator(seed)) * scale + mean).to(dtype=_kind(dtype, None))


@operator("RandomNormalLike")
def random_normal_like(
    ctx: Any, x: Tensor, *, dtype: int | None = None, mean: float = 0.0, scale: float = 1.0, seed: float | None = None
) -> Tensor:
    drawn = candle.randn(*x.shape, generator=_generator(seed), device=_place(x))
    return (drawn * scale + mean).to(dtype=_kind(dtype, x))


@operator("RandomUniform")
def random_uniform(
    ctx: Any, *, dtype: int = 1, high: float = 1.0, low: float = 0.0, seed: float | None = None, shape: list[int]
) -> Tensor:
    return (candle.rand(*shape, generator=_generator(seed)) * (high - low) + low).to(dtype=_kind(dtype, None))


@operator("RandomUniformLike")
def random_uniform_like(
    ctx: Any, x: Tensor, *, dtype: int | None = None, high: float = 1.0, low: float = 0.0, seed: float | None = None
) -> Tensor:
    drawn = candle.rand(*x.shape, generator=_generator(seed), device=_place(x))
    return (drawn * (high - low) + low).to(dtype=_kind(dtype, x))


@operator("Bernoulli")
def bernoulli(ctx: Any, x: Tensor, *, dtype: int | None = None, seed: float | None = None) -> Tensor:
    drawn = candle.rand(*x.shape, generator=_generator(seed), device=_place(x)) < x.float()
    return drawn.to(dtype=x.dtype if dtype is None else dtype_of(dtype))


@operator("Multinomial")
def multinomial(ctx: Any, x: Tensor, *, dtype: int = 6, sample_size: int = 1, seed: float | None = None) -> Tensor:
    weights = candle.softmax(candle.tensor(np.asarray(known(x), np.float32)), -1)
    return candle.multinomial(weights, sample_size, True, generator=_generator(seed)).to(dtype=dtype_of(dtype))
