"""Kernels that read and write at positions that are tensors."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from candle.op import broadcast_shapes
from candle.ops.select import checked

from .table import Array, Function, complex_, floating, kernel


def _along(name: str, negative: bool = False) -> Function:
    """A check that ids lie within the dimension they stand for; XLA would read and write elsewhere, or nowhere."""

    def check(out: Any, x: Array, ids: Array, *rest: Any, dim: int, **attrs: Any) -> None:
        checked(name, np.asarray(ids), x.shape[dim] if x.ndim else 1, negative)

    return check


def _several(name: str, first: int) -> Function:
    """The same for ids of several dimensions."""

    def check(out: Any, x: Array, *rest: Array, dims: Any, **attrs: Any) -> None:
        ids = rest[first:]
        if 0 not in (broadcast_shapes(*[i.shape for i in ids]) or ()):
            for i, d in zip(ids, dims):
                checked(name, np.asarray(i), x.shape[d], negative=True)

    return check


def _open(ids: Array, dim: int) -> tuple[Array, ...]:
    """Indices of every element of ids, with ids itself along dim."""
    grid = jnp.ogrid[tuple([slice(n) for n in ids.shape])] if ids.ndim > 1 else [jnp.arange(ids.shape[0])]
    return tuple([ids.astype(jnp.int64) if i == dim else g for i, g in enumerate(grid)])


def _read(x: Array, key: Any) -> Array:
    """Elements at positions; where no check comes first, NaN (the least integer) for those outside."""
    return x.at[key].get(mode="fill")


@kernel(before=_along("gather"))
def gather(out: Any, x: Array, index: Array, *, dim: int) -> Array:
    if not index.size:
        return jnp.zeros(out.shape, x.dtype)
    x = jnp.atleast_1d(x)
    return _read(x, _open(jnp.atleast_1d(index), dim)).reshape(index.shape)


def _place(x: Array, index: Array, src: Array, dim: int) -> tuple[Array, Any, Array]:
    """x, where in it each element of the source goes, and those elements."""
    x, index, src = jnp.atleast_1d(x), jnp.atleast_1d(index), jnp.atleast_1d(src)
    return x, _open(index, dim), src[tuple([slice(n) for n in index.shape])]


def _added(at: Any, values: Array) -> Array:
    """Sums; of booleans, disjunctions."""
    return at.max(values) if values.dtype == bool else at.add(values)


@kernel(before=_along("scatter_add"))
def scatter_add(out: Any, x: Array, index: Array, src: Array, *, dim: int) -> Array:
    if not index.size:
        return x
    y, at, values = _place(x, index, src, dim)
    return _added(y.at[at], values).reshape(x.shape)


@kernel(before=_along("scatter"))
def scatter_set(out: Any, x: Array, index: Array, src: Array, *, dim: int) -> Array:
    if not index.size:
        return x
    y, at, values = _place(x, index, src, dim)
    return y.at[at].set(values).reshape(x.shape)


def _neutral(dtype: Any, reduce: str) -> Any:
    if reduce in ("sum", "mean", "prod"):
        return jnp.asarray(int(reduce == "prod"), dtype)
    if jnp.issubdtype(dtype, jnp.floating):
        return jnp.asarray(-jnp.inf if reduce == "amax" else jnp.inf, dtype)
    limits = np.iinfo(dtype)
    return jnp.asarray(limits.min if reduce == "amax" else limits.max, dtype)


@kernel(before=_along("scatter_reduce"))
def scatter_reduce(out: Any, x: Array, index: Array, src: Array, *, dim: int, reduce: str, include_self: bool) -> Array:
    if not index.size:
        return x
    y, at, values = _place(x, index, src, dim)
    if not include_self:
        y = y.at[at].set(_neutral(y.dtype, reduce))
    name = {"sum": "add", "mean": "add", "prod": "multiply", "amax": "max", "amin": "min"}[reduce]
    y = getattr(y.at[at], name)(values)
    if reduce == "mean":
        n = jnp.full(y.shape, int(include_self), jnp.int64).at[at].add(1)
        n = jnp.maximum(n, 1)
        y = y / n.astype(y.real.dtype) if floating(y) or complex_(y) else y // n.astype(y.dtype)
    return y.reshape(x.shape)


def _ids(index: Array) -> Array:
    return index.reshape(-1).astype(jnp.int64)


@kernel(before=_along("index_select"))
def index_select(out: Any, x: Array, index: Array, *, dim: int) -> Array:
    if not x.ndim:
        return x
    return jnp.take(x, _ids(index), dim) if out.size else jnp.zeros(out.shape, x.dtype)


def _rows(x: Array, index: Array, dim: int) -> tuple[Array, Any]:
    """x of one dimension at least, and the key of its slices at the ids."""
    return jnp.atleast_1d(x), (slice(None),) * dim + (_ids(index),)


@kernel(before=_along("index_add"))
def index_add(out: Any, x: Array, index: Array, source: Array, *, dim: int, alpha: Any) -> Array:
    y, at = _rows(x, index, dim)
    source = jnp.atleast_1d(source)
    if not source.size:
        return x
    source = source if alpha == 1 else (source * alpha).astype(y.dtype)
    return _added(y.at[at], source).reshape(x.shape)


@kernel(before=_along("index_copy"))
def index_copy(out: Any, x: Array, index: Array, source: Array, *, dim: int) -> Array:
    y, at = _rows(x, index, dim)
    return y.at[at].set(jnp.atleast_1d(source)).reshape(x.shape) if source.size else x


@kernel(before=_along("index_fill", negative=True))
def index_fill(out: Any, x: Array, index: Array, value: Array, *, dim: int) -> Array:
    y, at = _rows(x, index, dim)
    return y.at[at].set(value).reshape(x.shape) if x.size and index.size else x


@kernel(before=lambda out, x, ids: checked("embedding", np.asarray(ids), x.shape[0]))
def embedding(out: Any, weight: Array, ids: Array) -> Array:
    return jnp.take(weight, ids.astype(jnp.int64), 0) if out.size else jnp.zeros(out.shape, weight.dtype)


@kernel(before=lambda out, x, ids: checked("take", np.asarray(ids), x.size, negative=True))
def take(out: Any, x: Array, index: Array) -> Array:
    return _read(x.reshape(-1), index.astype(jnp.int64)) if index.size else jnp.zeros(out.shape, x.dtype)


def _key(x: Array, ids: Any, dims: Any) -> tuple[Any, ...]:
    key: list[Any] = [slice(None)] * x.ndim
    for i, d in zip(ids, dims):
        key[d] = i.astype(jnp.int64)
    return tuple(key)


@kernel(before=_several("index", 0))
def index(out: Any, x: Array, *ids: Array, dims: Any) -> Array:
    return _read(x, _key(x, ids, dims)) if out.size else jnp.zeros(out.shape, x.dtype)


@kernel(before=_several("index_put", 1))
def index_put(out: Any, x: Array, values: Array, *ids: Array, dims: Any, accumulate: bool) -> Array:
    if not x.size or 0 in (broadcast_shapes(*[i.shape for i in ids]) or ()):
        return x
    at = x.at[_key(x, ids, dims)]
    if not accumulate:
        return at.set(values)
    if x.dtype in (jnp.float16, jnp.bfloat16):
        return x.astype(jnp.float32).at[_key(x, ids, dims)].add(values.astype(jnp.float32))
    return _added(at, values)
