"""First values of parameters, as PyTorch gives them; each function changes the tensor given and returns it."""

from __future__ import annotations

import contextlib
import math
import threading
from typing import Any, Iterator

from .. import create
from ..errors import CandleError, ShapeError
from ..tensor import Tensor, no_grad

__all__ = [
    "calculate_gain", "constant_", "dirac_", "eye_", "kaiming_normal_", "kaiming_uniform_", "no_init", "normal_", "ones_",
    "orthogonal_", "skip", "sparse_", "trunc_normal_", "uniform_", "xavier_normal_", "xavier_uniform_", "zeros_",
]  # fmt: skip


class _State(threading.local):
    skipped = False


_state = _State()


@contextlib.contextmanager
def no_init() -> Iterator[None]:
    """Within it (and this thread) initialisation does nothing and new parameters are zeros that take no memory."""
    before, _state.skipped = _state.skipped, True
    try:
        yield
    finally:
        _state.skipped = before


skip = no_init


def blank(*shape: int, dtype: Any = None, device: Any = None) -> Tensor:
    """Zeros to be given other values: one zero, broadcast."""
    return create.zeros((), dtype=dtype, device=device).expand(create._shape(shape))


def _set(x: Tensor, make: Any) -> Tensor:
    """Give a tensor the values of ``make()``, unless initialisation is skipped."""
    if not _state.skipped:
        with no_grad():
            x._rebind(make().to(x.device, x.dtype), keep_node=True)
    return x


def _random(kind: str, x: Tensor) -> Tensor:
    from .. import random

    return getattr(random, kind)(tuple(x.shape), device=x.device)


def uniform_(x: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Evenly from [a, b)."""
    return _set(x, lambda: _random("rand", x) * (b - a) + a)


def normal_(x: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Normally distributed."""
    return _set(x, lambda: _random("randn", x) * std + mean)


def trunc_normal_(x: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0) -> Tensor:
    """Normally distributed, within [a, b]."""

    def make() -> Tensor:
        low, high = (0.5 * (1 + math.erf((bound - mean) / (std * math.sqrt(2)))) for bound in (a, b))
        u = _random("rand", x) * (2 * (high - low)) + (2 * low - 1)
        return (u.clamp(-1 + 1e-7, 1 - 1e-7).erfinv() * (std * math.sqrt(2)) + mean).clamp(a, b)

    return _set(x, make)


def constant_(x: Tensor, val: float) -> Tensor:
    """One number everywhere."""
    return _set(x, lambda: create.full_like(x.detach(), val))


def zeros_(x: Tensor) -> Tensor:
    return constant_(x, 0.0)


def ones_(x: Tensor) -> Tensor:
    return constant_(x, 1.0)


def eye_(x: Tensor) -> Tensor:
    """The identity, of a matrix."""
    if x.ndim != 2:
        raise ShapeError(f"eye_ takes a matrix but was given {x.spec}")
    return _set(x, lambda: create.eye(x.shape[0], x.shape[1], device=x.device))


def dirac_(x: Tensor, groups: int = 1) -> Tensor:
    """Convolution weights ``[out, in, sizes...]`` that pass as many channels through as they can."""
    if x.ndim not in (3, 4, 5) or x.shape[0] % groups:
        raise ShapeError(f"dirac_ takes [out, in, 1 to 3 sizes] with out divisible by groups {groups} but was given {x.spec}")

    def make() -> Tensor:
        import numpy as np

        weights = np.zeros(x.shape)
        out = x.shape[0] // groups
        centre = tuple([n // 2 for n in x.shape[2:]])
        for g in range(groups):
            for i in range(min(out, x.shape[1])):
                weights[(g * out + i, i, *centre)] = 1
        return create.tensor(weights, dtype=x.dtype, device=x.device)

    return _set(x, make)


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """By what the deviation is to be multiplied so that a nonlinearity keeps the variance."""
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    gains = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75}
    gains.update({f"conv{t}{n}d": 1.0 for n in (1, 2, 3) for t in ("", "_transpose")})
    if nonlinearity not in gains:
        raise CandleError(f"calculate_gain knows {', '.join([*gains, 'leaky_relu'])} but was given {nonlinearity!r}")
    return gains[nonlinearity]


def fans(x: Tensor) -> tuple[int, int]:
    """How many inputs each output sums, and how many outputs each input reaches."""
    if x.ndim < 2:
        raise ShapeError(f"this initialisation takes a tensor of at least 2 dimensions but was given {x.spec}")
    field = math.prod(x.shape[2:])
    return x.shape[1] * field, x.shape[0] * field


def xavier_uniform_(x: Tensor, gain: float = 1.0) -> Tensor:
    """Evenly, of variance 2 / (fan in + fan out).  https://proceedings.mlr.press/v9/glorot10a.html"""
    bound = gain * math.sqrt(6 / max(sum(fans(x)), 1))
    return uniform_(x, -bound, bound)


def xavier_normal_(x: Tensor, gain: float = 1.0) -> Tensor:
    """Normally, of variance 2 / (fan in + fan out)."""
    return normal_(x, 0.0, gain * math.sqrt(2 / max(sum(fans(x)), 1)))


def _kaiming(x: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise CandleError(f"mode is 'fan_in' or 'fan_out' but {mode!r} was given")
    fan = fans(x)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def kaiming_uniform_(x: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """Evenly, of variance gain² / fan.  https://arxiv.org/abs/1502.01852"""
    bound = math.sqrt(3) * _kaiming(x, a, mode, nonlinearity)
    return uniform_(x, -bound, bound)


def kaiming_normal_(x: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu") -> Tensor:
    """Normally, of variance gain² / fan."""
    return normal_(x, 0.0, _kaiming(x, a, mode, nonlinearity))


def orthogonal_(x: Tensor, gain: float = 1.0) -> Tensor:
    """Rows (or columns, if they are fewer) that are orthogonal and of length gain.  https://arxiv.org/abs/1312.6120"""
    if x.ndim < 2:
        raise ShapeError(f"orthogonal_ takes a tensor of at least 2 dimensions but was given {x.spec}")

    def make() -> Tensor:
        import numpy as np

        rows, columns = x.shape[0], math.prod(x.shape[1:])
        noise = _random("randn", x).to(dtype="float64").numpy().reshape(rows, columns)
        q, r = np.linalg.qr(noise.T if rows < columns else noise)
        q = q * np.sign(np.diag(r))
        return create.tensor(gain * (q.T if rows < columns else q).reshape(x.shape), dtype=x.dtype, device=x.device)

    return _set(x, make)


def sparse_(x: Tensor, sparsity: float, std: float = 0.01) -> Tensor:
    """Normally, with a share of each column's elements zero."""
    if x.ndim != 2:
        raise ShapeError(f"sparse_ takes a matrix but was given {x.spec}")
    zeros = math.ceil(sparsity * x.shape[0])

    def make() -> Tensor:
        ranks = _random("rand", x).argsort(0).argsort(0)
        return _random("randn", x) * std * (ranks >= zeros).to(dtype=x.dtype)

    return _set(x, make)
