"""Steps of training, as the preview domain has them: optimisers as operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import candle
from candle import Tensor

from ..errors import OnnxError
from ..table import operator

_DOMAIN = "ai.onnx.preview.training"


def _groups(xs: tuple[Tensor, ...], parts: int) -> list[tuple[Tensor, ...]]:
    """The parameters with their gradients and states, which are listed kind by kind."""
    if not xs or len(xs) % parts:
        raise OnnxError(f"the operator takes {parts} tensors for each parameter but {len(xs)} were given")
    n = len(xs) // parts
    return [tuple(xs[k * n + i] for k in range(parts)) for i in range(n)]


def _by_kind(rows: Sequence[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return tuple([x for column in zip(*rows) for x in column])


@operator("Adagrad", domain=_DOMAIN)
def adagrad(
    r: Tensor, t: Tensor, *xs: Tensor, decay_factor: float = 0.0, epsilon: float = 1e-6, norm_coefficient: float = 0.0
) -> Any:
    rate = r / (t.to(dtype=r.dtype) * decay_factor + 1)
    rows = []
    for x, g, h in _groups(xs, 3):
        slope = x * norm_coefficient + g
        squares = h + slope * slope
        rows.append((x - rate * slope / (squares.sqrt() + epsilon), squares))
    return _by_kind(rows)


@operator("Adam", domain=_DOMAIN)
def adam(
    r: Tensor,
    t: Tensor,
    *xs: Tensor,
    alpha: float = 0.9,
    beta: float = 0.999,
    epsilon: float = 1e-6,
    norm_coefficient: float = 0.0,
    norm_coefficient_post: float = 0.0,
) -> Any:
    step = t.to(dtype=r.dtype)
    rate = candle.where(step > 0, r * (1 - beta**step).sqrt() / (1 - alpha**step), r)
    rows = []
    for x, g, v, h in _groups(xs, 4):
        slope = x * norm_coefficient + g
        mean, square = v * alpha + slope * (1 - alpha), h * beta + slope * slope * (1 - beta)
        new = x - rate * mean / (square.sqrt() + epsilon)
        rows.append((new * (1 - norm_coefficient_post), mean, square))
    return _by_kind(rows)


@operator("Momentum", domain=_DOMAIN)
def momentum(r: Tensor, t: Tensor, *xs: Tensor, alpha: float, beta: float, mode: str, norm_coefficient: float) -> Any:
    scale = candle.where(t > 0, beta, 1.0).to(dtype=r.dtype)
    rows = []
    for x, g, v in _groups(xs, 3):
        slope = x * norm_coefficient + g
        new = v * alpha + slope * scale
        step = slope + new * alpha if mode == "nesterov" else new
        rows.append((x - step * r, new))
    return _by_kind(rows)
