"""Elements picked by indices, and put in their place."""

from __future__ import annotations

from typing import Any

import numpy as np

import candle
from candle import OPS, Tensor

from ..errors import OnnxError
from ..table import Host, operator
from ..values import is_string


def _from_front(at: Tensor, n: int) -> Tensor:
    at = at.to(dtype=candle.int64)
    return candle.where(at < 0, at + n, at)


@operator("Gather")
def gather(x: Any, at: Tensor, *, axis: int = 0) -> Any:
    if is_string(x):
        return np.take(x, at.numpy(), axis)
    axis %= x.ndim
    found = x.index_select(axis, _from_front(at, x.shape[axis]).reshape((-1,)))
    return found.reshape((*x.shape[:axis], *at.shape, *x.shape[axis + 1 :]))


@operator("GatherElements")
def gather_elements(x: Tensor, at: Tensor, *, axis: int = 0) -> Tensor:
    return candle.gather(x, axis, _from_front(at, x.shape[axis]))


@operator("GatherND")
def gather_nd(x: Tensor, at: Tensor, *, batch_dims: int = 0) -> Tensor:
    return OPS["gather_nd"](x, at, batch_dims=batch_dims)


@operator("ScatterElements")
def scatter_elements(x: Tensor, at: Tensor, updates: Tensor, *, axis: int = 0, reduction: str = "none") -> Tensor:
    places = _from_front(at, x.shape[axis])
    if reduction == "none":
        return candle.scatter(x, axis, places, updates)
    kinds = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}
    if reduction not in kinds:
        raise OnnxError(f"ScatterElements' reduction is none, add, mul, max or min but {reduction!r} was given")
    return candle.scatter_reduce(x, axis, places, updates, kinds[reduction], include_self=True)


@operator("Scatter")
def scatter(x: Tensor, at: Tensor, updates: Tensor, *, axis: int = 0) -> Tensor:
    return scatter_elements(x, at, updates, axis=axis)


@operator("ScatterND")
def scatter_nd(x: Tensor, at: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    return OPS["scatter_nd"](x, at, updates, reduction=reduction)


@operator("TensorScatter")
def tensor_scatter(
    past: Tensor, update: Tensor, write_indices: Tensor | None = None, *, axis: int = -2, mode: str = "linear"
) -> Tensor:
    """A batch's updates written at a place of its own along an axis, the place counted around in mode "circular"."""
    axis %= past.ndim
    n, most = update.shape[axis], past.shape[axis]
    start = candle.zeros(past.shape[0], dtype=candle.int64) if write_indices is None else write_indices.to(dtype=candle.int64)
    places = start.reshape((-1, 1)) + candle.arange(n)
    places = places % most if mode == "circular" else places
    shape = [1] * past.ndim
    shape[0], shape[axis] = past.shape[0], n
    return candle.scatter(past, axis, places.reshape(tuple(shape)).expand(update.shape), update)


@operator("Compress")
def compress(x: Tensor, condition: Host, *, axis: int | None = None) -> Tensor:
    keep = np.flatnonzero(np.asarray(condition))
    x = x.reshape((-1,)) if axis is None else x
    return x.index_select(0 if axis is None else axis % x.ndim, candle.tensor(keep.astype(np.int64)))


@operator("NonZero")
def non_zero(ctx: Any, x: Tensor) -> Tensor:
    return candle.nonzero(x).T


@operator("Unique")
def unique(ctx: Any, x: Tensor, *, axis: int | None = None, sorted: int = 1) -> tuple[Any, ...]:
    from ..run import known

    array = np.asarray(known(x))
    _, first, inverse, counts = np.unique(array, True, True, True, axis=axis)
    inverse = inverse.reshape(-1)
    if not sorted:  # in the order in which they first come
        order = np.argsort(first, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        first, counts, inverse = first[order], counts[order], rank[inverse]
    values = np.take(array.reshape(-1) if axis is None else array, first, 0 if axis is None else axis)
    return tuple([candle.tensor(v if n == 0 else v.astype(np.int64)) for n, v in enumerate((values, first, inverse, counts))])


@operator("NonMaxSuppression")
def non_max_suppression(
    ctx: Any,
    boxes: Tensor,
    scores: Tensor,
    max_output_boxes_per_class: Tensor | None = None,
    iou_threshold: Tensor | None = None,
    score_threshold: Tensor | None = None,
    *,
    center_point_box: int = 0,
) -> Tensor:
    from ..run import known

    def one(v: Any, default: float) -> float:
        return default if v is None else float(np.asarray(known(v)).reshape(-1)[0])

    most, overlap = int(one(max_output_boxes_per_class, 0)), one(iou_threshold, 0.0)
    b, s = (np.asarray(known(v)) for v in (boxes, scores))
    if center_point_box:
        half = b[..., 2:] / 2
        corners = np.concatenate([b[..., :2] - half, b[..., :2] + half], -1)
    else:
        low, high = np.minimum(b[..., :2], b[..., 2:]), np.maximum(b[..., :2], b[..., 2:])
        corners = np.concatenate([low, high], -1)
    found = []
    for n in range(b.shape[0]):
        for kind in range(s.shape[1]):
            order = np.argsort(-s[n, kind], kind="stable")
            if score_threshold is not None:
                order = order[s[n, kind][order] > one(score_threshold, 0.0)]
            kept: list[int] = []
            while len(order) and len(kept) < most:
                best, order = order[0], order[1:]
                kept.append(int(best))
                order = order[_overlap(corners[n, best], corners[n, order]) <= overlap]
            found += [[n, kind, k] for k in kept]
    return candle.tensor(np.array(found, np.int64).reshape(-1, 3))


def _overlap(box: Any, others: Any) -> Any:
    """The share that a box and others have in common of what they cover together."""
    shared = np.clip(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0, None).prod(1)
    areas = (others[:, 2:] - others[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num(shared / (areas - shared))
