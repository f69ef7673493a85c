"""Shapes, parts and places: movement, selection and what is made from nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

import candle
from candle import Spec

from ..emit import Emitter, symbolic, writes

_LAST = (1 << 63) - 1  # the end of a dimension, whatever its size
_SMALL = 1024  # elements up to which numbers made from nothing are written out


@writes("reshape")
def reshape(e: Emitter, x: str, *, shape: Any) -> str:
    return e.shaped(x, e.out.shape, e.specs[x].shape)


@writes("flatten")
def flatten(e: Emitter, x: str, **_: Any) -> str:
    return e.shaped(x, e.out.shape, e.specs[x].shape)


@writes("unsqueeze")
def unsqueeze(e: Emitter, x: str, *, dim: int) -> Any:
    return e.Unsqueeze(x, e.ints([dim]))


@writes("squeeze")
def squeeze(e: Emitter, x: str, *, dim: Any) -> Any:
    shape = e.specs[x].shape
    named = range(len(shape)) if dim is None else [dim] if isinstance(dim, int) else dim
    gone = [d % len(shape) for d in named if shape[d] == 1]
    return e.Squeeze(x, e.ints(gone)) if gone else x


@writes("permute")
def permute(e: Emitter, x: str, *, dims: Any) -> Any:
    return e.Transpose(x, perm=list(dims)) if dims else x


@writes("transpose")
def transpose(e: Emitter, x: str, *, dim0: int, dim1: int) -> Any:
    order = list(range(e.specs[x].ndim))
    if not order:
        return x
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return e.Transpose(x, perm=order)


@writes("expand")
def expand(e: Emitter, x: str, *, shape: Any) -> Any:
    before = (1,) * (e.out.ndim - e.specs[x].ndim) + e.specs[x].shape
    return e.Expand(x, e.ints([1 if a == b else b for a, b in zip(before, e.out.shape)]))


@writes("slice")
def slice_(e: Emitter, x: str, *, starts: Any, stops: Any, steps: Any) -> Any:
    rows = []
    for d, (n, a, b, c) in enumerate(zip(e.specs[x].shape, starts, stops, steps or (1,) * len(starts))):
        if (a, b, c) != (0, n, 1):
            rows.append((d, a, _LAST if b == n else b, c))
    if not rows:
        return x
    dims, first, last, by = zip(*rows)
    return e.Slice(x, e.ints(first), e.ints(last), e.ints(dims), e.ints(by) if set(by) != {1} else None)


@writes("constant_pad")
def constant_pad(e: Emitter, x: str, *, lo: Any, hi: Any, value: Any) -> Any:
    return e.Pad(x, e.ints([*lo, *hi]), e.like(x, value)) if lo else x


@writes("cat")
def cat(e: Emitter, *xs: str, dim: int) -> Any:
    return e.Concat(*xs, axis=dim) if len(xs) > 1 else xs[0]


@writes("tril")
def tril(e: Emitter, x: str, *, diagonal: Any) -> Any:
    return e.Trilu(x, e.Squeeze(e.ints([diagonal])), upper=0)


@writes("triu")
def triu(e: Emitter, x: str, *, diagonal: Any) -> Any:
    return e.Trilu(x, e.Squeeze(e.ints([diagonal])), upper=1)


@writes("pixel_shuffle", when=lambda x, **_: x.ndim == 4 and x.dtype.kind == "f")
def pixel_shuffle(e: Emitter, x: str, *, upscale_factor: int) -> Any:
    return e.DepthToSpace(x, blocksize=upscale_factor, mode="CRD")


# -- selection -------------------------------------------------------------------------------------


def _ids(e: Emitter, x: str) -> str:
    return x if e.kinds[x] in (candle.int32, candle.int64) else e.cast(x, candle.int64)


@writes("index_select")
def index_select(e: Emitter, x: str, index: str, *, dim: int) -> Any:
    if not e.specs[x].ndim:
        return x
    index = index if e.specs[index].ndim else e.Reshape(index, e.ints([1]))
    return e.Gather(x, _ids(e, index), axis=dim)


@writes("embedding")
def embedding(e: Emitter, weight: str, ids: str) -> Any:
    return e.Gather(weight, _ids(e, ids), axis=0)


@writes("index", when=lambda x, *ids, dims: len(dims) == 1)
def index(e: Emitter, x: str, *ids: str, dims: Any) -> Any:
    return e.Gather(x, _ids(e, ids[0]), axis=dims[0])


@writes("select", when=lambda x, *, dim, index: True)
def select(e: Emitter, x: str, *, dim: int, index: Any) -> Any:
    return e.Gather(x, e.Squeeze(e.ints([index])), axis=dim)


def _placed(x: Spec, *rest: Spec, **attrs: Any) -> bool:
    return x.ndim > 0


@writes("gather", when=_placed)
def gather(e: Emitter, x: str, index: str, *, dim: int) -> Any:
    return e.GatherElements(x, _ids(e, index), axis=dim)


def _part(e: Emitter, src: str, index: str) -> str:
    """Of a source, what an index has a place for."""
    have, wanted = e.specs[src].shape, e.specs[index].shape
    dims = [d for d, (n, m) in enumerate(zip(have, wanted)) if n != m]
    return str(e.Slice(src, e.ints([0] * len(dims)), e.ints([wanted[d] for d in dims]), e.ints(dims))) if dims else src


@writes("scatter_set", when=_placed)
def scatter_set(e: Emitter, x: str, index: str, src: str, *, dim: int) -> Any:
    return e.ScatterElements(x, _ids(e, index), _part(e, src, index), axis=dim)


@writes("scatter_add", when=_placed)
def scatter_add(e: Emitter, x: str, index: str, src: str, *, dim: int) -> Any:
    """In half precision summed in single."""
    kind = e.kinds[x]
    wide = candle.float32 if kind.kind == "f" and kind.itemsize < 4 else candle.int32 if kind is candle.bool else kind
    part = e.cast(_part(e, src, index), wide)
    return e.cast(e.ScatterElements(e.cast(x, wide), _ids(e, index), part, axis=dim, reduction="add"), kind)


# -- made from nothing -----------------------------------------------------------------------------


@writes("full")
def full(e: Emitter, *, shape: Any, value: Any, dtype: Any) -> Any:
    if not symbolic(shape) and int(np.prod(shape)) <= 16:
        return e.constant(np.full(shape, np.asarray(value).astype(dtype.numpy)))
    return e.Expand(e.constant(value, dtype), e.ints(shape))


@writes("arange")
def arange(e: Emitter, *, start: Any, step: Any, length: Any, dtype: Any) -> Any:
    fixed = not symbolic((start, step, length))
    if fixed and length <= _SMALL:
        return e.constant((start + step * np.arange(length)), dtype)
    counted = e.Range(e.constant(0), e.Squeeze(e.ints([length])), e.constant(1))
    if any(isinstance(v, float) for v in (start, step)):
        counted = e.cast(counted, candle.float64)
    for op_type, v, neutral in (("Mul", step, 1), ("Add", start, 0)):
        if v != neutral:
            counted = e.node(op_type, counted, e.Squeeze(e.size(v)) if isinstance(v, str) else e.like(counted, v))
    return e.cast(counted, dtype)
