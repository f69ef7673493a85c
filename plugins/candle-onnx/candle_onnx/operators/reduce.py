"""Reductions, extremes and their places, orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import candle
from candle import Tensor

from ..table import Host, operator


def _dims(x: Tensor, axes: Any, noop: int = 0) -> tuple[int, ...] | None:
    """The axes to reduce; None where nothing is to be done."""
    found = [] if axes is None else [int(a) for a in np.asarray(axes).reshape(-1)]
    if not found:
        return None if noop else tuple(range(x.ndim))
    return tuple([a % x.ndim for a in found])


def _wide(x: Tensor) -> Tensor:
    """Halves are summed in single precision."""
    return x.float() if x.dtype in (candle.float16, candle.bfloat16) else x


def _sum(x: Tensor, d: Any, keep: bool) -> Tensor:
    return x.sum(dim=d, keepdim=keep, dtype=x.dtype)


_REDUCTIONS: dict[str, Callable[[Tensor, Any, bool], Tensor]] = {
    "ReduceSum": _sum,
    "ReduceMean": lambda x, d, k: _wide(x).mean(dim=d, keepdim=k) if x.dtype.kind in "fc" else x.double().mean(dim=d, keepdim=k),
    "ReduceProd": lambda x, d, k: x.prod(dim=d, keepdim=k, dtype=x.dtype),
    "ReduceMax": lambda x, d, k: candle.amax(x, dim=d, keepdim=k) if _some(x, d) else _limit(x, d, k, largest=False),
    "ReduceMin": lambda x, d, k: candle.amin(x, dim=d, keepdim=k) if _some(x, d) else _limit(x, d, k, largest=True),
    "ReduceL1": lambda x, d, k: _sum(x.abs(), d, k),
    "ReduceL2": lambda x, d, k: (_sum(x * x, d, k) if x.dtype.kind == "f" else _sum((x * x).double(), d, k)).sqrt(),
    "ReduceLogSum": lambda x, d, k: _sum(x, d, k).log(),
    "ReduceLogSumExp": lambda x, d, k: candle.logsumexp(x if x.dtype.kind == "f" else x.double(), dim=d, keepdim=k),
    "ReduceSumSquare": lambda x, d, k: _sum(x * x, d, k),
}


def _some(x: Tensor, dims: Sequence[int]) -> bool:
    return all(x.shape[d] for d in dims)


def _limit(x: Tensor, dims: Sequence[int], keep: bool, largest: bool) -> Tensor:
    """What the extreme of nothing is: the other end of the type's numbers."""
    shape = [1 if i in dims else n for i, n in enumerate(x.shape) if keep or i not in dims]
    if x.dtype.kind == "f":
        value: Any = float("inf") if largest else float("-inf")
    elif x.dtype.kind == "b":
        value = largest
    else:
        value = candle.iinfo(x.dtype).max if largest else candle.iinfo(x.dtype).min
    return candle.full(shape, value, dtype=x.dtype, device=x.device)


def _reduction(name: str, fn: Callable[[Tensor, Any, bool], Tensor], by_input: int) -> None:
    @operator(name)
    def by_attribute(x: Tensor, *, axes: list[int] | None = None, keepdims: int = 1) -> Tensor:
        return fn(x, _dims(x, axes), bool(keepdims)).to(dtype=x.dtype)

    @operator(name, since=by_input)
    def run(x: Tensor, axes: Host = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Tensor:
        dims = _dims(x, axes, noop_with_empty_axes)
        if dims is None:  # no axis: each number alone
            dims = ()
            one = x.unsqueeze(0)
            return (
                fn(one, (0,), False).to(dtype=x.dtype)
                if name not in ("ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax", "ReduceMin")
                else x
            )
        return fn(x, dims, bool(keepdims)).to(dtype=x.dtype)


for _name, _fn in _REDUCTIONS.items():
    _reduction(_name, _fn, 13 if _name == "ReduceSum" else 18)


def _extreme(name: str, fn: Callable[..., Tensor]) -> None:
    @operator(name)
    def run(x: Tensor, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
        axis %= x.ndim
        if select_last_index:
            return (x.shape[axis] - 1) - fn(x.flip((axis,)), axis, bool(keepdims))
        return fn(x, axis, bool(keepdims))


_extreme("ArgMax", candle.argmax)
_extreme("ArgMin", candle.argmin)


@operator("TopK")
def top_k_by_attribute(x: Tensor, *, k: int, axis: int = -1) -> tuple[Tensor, Tensor]:
    return _top(x, k, axis, True)


@operator("TopK", since=10)
def top_k(x: Tensor, k: Host, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> tuple[Tensor, Tensor]:
    return _top(x, int(np.asarray(k).reshape(-1)[0]), axis, bool(largest))


def _top(x: Tensor, k: int, axis: int, largest: bool) -> tuple[Tensor, Tensor]:
    """Of equal numbers the first comes first, as a stable order has them."""
    values, at = candle.sort(x, axis, largest, True)
    return values.narrow(axis % x.ndim, 0, k), at.narrow(axis % x.ndim, 0, k)


@operator("Hardmax")
def hardmax_flat(x: Tensor, *, axis: int = 1) -> Tensor:
    axis %= max(x.ndim, 1)
    flat = x.reshape((int(np.prod(x.shape[:axis], dtype=int)), -1))
    return hardmax(flat, axis=-1).reshape(x.shape)


@operator("Hardmax", since=13)
def hardmax(x: Tensor, *, axis: int = -1) -> Tensor:
    axis %= x.ndim
    places = candle.arange(x.shape[axis], device=x.device).reshape((-1, *[1] * (x.ndim - axis - 1)))
    return (places == candle.argmax(x, axis, True)).to(dtype=x.dtype)
