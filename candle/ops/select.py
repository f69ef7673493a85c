"""Selection: reading and writing elements at positions that are tensors themselves."""

from __future__ import annotations

from functools import partial
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from ..dtype import ALL, EVERY, INTEGERS, bool_, int64
from ..errors import CaptureError, DimError, DTypeError, ShapeError
from ..op import OPS, Dim, Ints, Spec, broadcast_shapes, composite, function, primitive
from .movement import along, as_operand, axis, filled, iota

_HALF = "e", "V"  # float16, and ml_dtypes' own


def checked(name: str, ids: Any, n: int, negative: bool = False) -> np.ndarray[Any, Any]:
    """Ids as positions from 0 to n - 1; raises DimError for any other."""
    low = -n if negative else 0
    if ids.size:
        for bad in (ids.min(), ids.max()):
            if not low <= int(bad) < n:
                raise DimError(f"{name} was given the index {int(bad)} for a dimension of size {n}; indices are from {low} to {n - 1}")
    ids = ids.astype(np.intp)
    return np.where(ids < 0, ids + n, ids) if negative else ids


def accumulate(rows: np.ndarray[Any, Any], at: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> None:
    """``rows[at[i]] += values[i]`` for every i, repeated positions included."""
    if not at.size:
        return
    if rows[0].size == 1:
        np.add.at(rows.reshape(-1), at, values.reshape(-1))
        return
    order = np.argsort(at, kind="stable")
    at = at[order]
    first = np.flatnonzero(np.concatenate(([True], at[1:] != at[:-1])))
    rows[at[first]] += np.add.reduceat(values[order], first, axis=0, dtype=rows.dtype)


def _dim_canon(name: str) -> Callable[[Sequence[Spec], Mapping[str, Any]], dict[str, Any]]:
    def canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
        return {**attrs, "dim": axis(attrs["dim"], specs[0].ndim, f"{name}'s dim")}

    return canon


# -- one id per element ----------------------------------------------------------------------------


def _fits(name: str, x: Spec, ids: Spec, dim: int, src: Spec | None = None) -> None:
    others = [s for s in (ids, src) if s is not None]
    if any(s.ndim != x.ndim and max(s.ndim, 1) != max(x.ndim, 1) for s in others):
        raise ShapeError(f"{name} takes operands of as many dimensions as {x} but was given {', '.join(map(str, others))}")
    sizes, given = x.shape or (1,), ids.shape or (1,)
    if ids.size == 0:
        return
    if any(i != dim and m > n for i, (n, m) in enumerate(zip(sizes, given))):
        raise ShapeError(f"{name} takes an index no larger than {x} but along dimension {dim} and was given {ids}")
    if src is not None and any(m > n for n, m in zip(src.shape or (1,), given)):
        raise ShapeError(f"{name} takes an index no larger than its source {src} but was given {ids}")


def _gather_shape(x: Spec, index: Spec, *, dim: int) -> tuple[int, ...]:
    _fits("gather", x, index, dim)
    return index.shape


def _open(ids: np.ndarray[Any, Any], dim: int) -> tuple[Any, ...]:
    """Indices of every element of ids, with ids itself along dim."""
    grid = np.ogrid[tuple([slice(n) for n in ids.shape])] if ids.ndim else []
    return tuple([ids if i == dim else g for i, g in enumerate(grid)])


def _gather_sample(d: Any) -> Any:
    shape = [*d.shape(0, 3)]
    dim = d.int(0, len(shape))
    shape.insert(dim, d.size(1))
    picked = [d.size(0) if i == dim else d.int(0, n) for i, n in enumerate(shape)]
    return [d.array(shape, d.dtype(EVERY)), d.ids(picked, shape[dim])], {"dim": dim - len(shape) if d.bool() else dim}


@primitive("S, I -> S", S=EVERY, I=INTEGERS, wide=False, required=True, canon=_dim_canon("gather"), shape=_gather_shape, sample=_gather_sample,
           order=("x", "dim", "index"), vjp=(lambda g, _y, _x, index, dim: scatter_add(_x.zeros_like(), index, g, dim=dim), None))  # fmt: skip
def gather(x, index, *, dim: int):
    """``y[i, j, k] = x[i, index[i, j, k], k]`` for dim 1: one element of x for every element of index.

    The index has as many dimensions as x and is no larger along any but ``dim``.
    """
    shape, x = index.shape, np.atleast_1d(x)
    ids = checked("gather", np.atleast_1d(index), x.shape[dim])
    return x[_open(ids, dim)].reshape(shape)


def _scatter_shape(name: str) -> Callable[..., tuple[int, ...]]:
    def shape(x: Spec, index: Spec, src: Spec, *, dim: int, **_: Any) -> tuple[int, ...]:
        _fits(name, x, index, dim, src)
        return x.shape

    return shape


def _scatter_sample(types: Any, **choices: Sequence[Any]) -> Callable[[Any], Any]:
    def sample(d: Any) -> Any:
        shape, dtype = [*d.shape(0, 3)], d.dtype(types)
        dim = d.int(0, len(shape))
        shape.insert(dim, d.size(1))
        given = [d.size(0) if i == dim else d.int(0, n) for i, n in enumerate(shape)]
        source = [n + (1 if d.bool() else 0) for n in given]
        attrs = {"dim": dim - len(shape) if d.bool() else dim, **{k: d.one(v) for k, v in choices.items()}}
        return [d.array(shape, dtype), d.ids(given, shape[dim]), d.array(source, dtype)], attrs

    return sample


def _front(src: Any, shape: Sequence[int]) -> Any:
    """The part of a source that an index of some shape reads."""
    return src if src.shape == tuple(shape) else OPS["slice"](src, starts=(0,) * src.ndim, stops=tuple(shape))


def _place(name: str, x: Any, index: Any, src: Any, dim: int) -> tuple[Any, Any, Any]:
    """A copy of x, where in it each element of the source goes, and those elements."""
    y, index, src = np.array(np.atleast_1d(x)), np.atleast_1d(index), np.atleast_1d(src)
    ids = checked(name, index, y.shape[dim])
    return y, _open(ids, dim), src[tuple([slice(n) for n in ids.shape])]


@primitive("T, I, T -> T", ALL, I=INTEGERS, required=True, canon=_dim_canon("scatter_add"), shape=_scatter_shape("scatter_add"),
           order=("x", "dim", "index", "src"), sample=_scatter_sample(ALL),
           terms=lambda x, index, src, *, dim: (index.shape or (1,))[dim] + 1,
           vjp=(lambda g, _y, _x, _i, _s, dim: g, None, lambda g, _y, _x, index, _s, dim: _unfront(g.gather(dim, index), _s.shape)))  # fmt: skip
def scatter_add(x, index, src, *, dim: int):
    """x with ``src[i, j, k]`` added at ``[i, index[i, j, k], k]`` for dim 1; repeated positions add up."""
    y, at, values = _place("scatter_add", x, index, src, dim)
    np.add.at(y, at, values)
    return y.reshape(x.shape)


def _unfront(g: Any, shape: Sequence[int]) -> Any:
    if g.shape == tuple(shape):
        return g
    return OPS["constant_pad"](g, lo=(0,) * g.ndim, hi=tuple([n - m for n, m in zip(shape, g.shape)]))


# -- one id per slice ------------------------------------------------------------------------------


def _one_dim(name: str, ids: Spec) -> int:
    if ids.ndim > 1:
        raise ShapeError(f"{name} takes an index of one dimension but was given {ids}; use x[..., ids] or take for more")
    return ids.size


def _index_select_shape(x: Spec, index: Spec, *, dim: int) -> tuple[int, ...]:
    n = _one_dim("index_select", index)
    if not x.shape:
        if n != 1:
            raise ShapeError(f"index_select takes one index for a tensor without dimensions but was given {index}")
        return ()
    return (*x.shape[:dim], n, *x.shape[dim + 1 :])


def _spread(index: Any, shape: Sequence[int], dim: int) -> Any:
    """Ids of one dimension, said for every element of a shape."""
    return index.reshape(tuple([index.numel() if i == dim else 1 for i in range(len(shape))])).expand(tuple(shape))


def _index_select_expand(x: Any, index: Any, *, dim: int) -> Any:
    shape = _index_select_shape(x.spec, index.spec, dim=dim)
    if not shape:
        return gather(x.reshape((1,)), index.reshape((1,)), dim=0).reshape(())
    return gather(x, _spread(index, shape, dim), dim=dim)


def _index_select_sample(d: Any) -> Any:
    shape = [*d.shape(0, 3)]
    dim = d.int(0, len(shape))
    shape.insert(dim, d.size(1))
    return [d.array(shape, d.dtype(EVERY)), d.ids([d.size(0)], shape[dim])], {"dim": dim - len(shape) if d.bool() else dim}


@primitive("S, I -> S", S=EVERY, I=INTEGERS, wide=False, canon=_dim_canon("index_select"), shape=_index_select_shape,
           order=("x", "dim", "index"), sample=_index_select_sample, expand=_index_select_expand,
           vjp=(lambda g, _y, _x, index, dim: index_add(_x.zeros_like(), index, g, dim=dim), None))  # fmt: skip
def index_select(x, index, *, dim: int):
    """The slices of one dimension at the given ids, in their order; ids may repeat."""
    if not x.ndim:
        checked("index_select", index, 1)
        return x
    return np.take(x, checked("index_select", index.reshape(-1), x.shape[dim]), dim)


def _index_add_shape(name: str) -> Callable[..., tuple[int, ...]]:
    def shape(x: Spec, index: Spec, source: Spec, *, dim: int, **_: Any) -> tuple[int, ...]:
        n = _one_dim(name, index)
        wanted = (*x.shape[:dim], n, *x.shape[dim + 1 :]) if x.shape else source.shape
        if source.shape != wanted or source.size != n * Spec((*x.shape[:dim], *x.shape[dim + 1 :]), bool_).size:
            raise ShapeError(f"{name} takes a source of shape {wanted} for {x} and {n} ids but was given {source}")
        return x.shape

    return shape


def _index_add_sample(types: Any, **choices: Sequence[Any]) -> Callable[[Any], Any]:
    def sample(d: Any) -> Any:
        shape, dtype = [*d.shape(0, 3)], d.dtype(types)
        dim = d.int(0, len(shape))
        shape.insert(dim, d.size(1))
        n = d.size(0)
        attrs = {"dim": dim - len(shape) if d.bool() else dim, **{k: d.one(v) for k, v in choices.items()}}
        return [d.array(shape, dtype), d.ids([n], shape[dim]), d.array([*shape[:dim], n, *shape[dim + 1 :]], dtype)], attrs

    return sample


def _index_add_expand(x: Any, index: Any, source: Any, *, dim: int, alpha: Any) -> Any:
    source = source if alpha == 1 else (source * alpha).to(dtype=x.dtype)
    if not x.ndim:
        return scatter_add(x.reshape((1,)), index.reshape((1,)), source.reshape((1,)), dim=0).reshape(())
    return scatter_add(x, _spread(index, source.shape, dim), source, dim=dim)


@primitive("T, I, T -> T", ALL, I=INTEGERS, canon=_dim_canon("index_add"), shape=_index_add_shape("index_add"),
           order=("x", "dim", "index", "source"), sample=_index_add_sample(ALL, alpha=(1, 2)), expand=_index_add_expand,
           terms=lambda x, index, source, *, dim, alpha: index.size + 1,
           vjp=(lambda g, _y, _x, _i, _s, dim, alpha: g, None,
                lambda g, _y, _x, index, _s, dim, alpha: (g if alpha == 1 else g * alpha).index_select(dim, index).reshape(_s.shape)))  # fmt: skip
def index_add(x, index, source, *, dim: int, alpha: Any = 1):
    """x with each slice of the source, times alpha, added to the slice of x at its id; repeated ids add up."""
    y, source = np.array(np.atleast_1d(x)), np.atleast_1d(source)
    ids = checked("index_add", index.reshape(-1), y.shape[dim])
    accumulate(np.moveaxis(y, dim, 0), ids, np.moveaxis(source if alpha == 1 else (source * alpha).astype(y.dtype), dim, 0))
    return y.reshape(x.shape)


@composite("T, I -> T", T=EVERY, I=INTEGERS, shape=lambda weight, ids, **_: (*ids.shape, *weight.shape[1:]),
           sample=lambda d: (lambda n: ([d.array([n, d.size(0)], d.dtype(ALL)), d.ids(d.shape(0, 3), n)], {}))(d.size(1)))  # fmt: skip
def embedding(weight, ids):
    """The rows of a table at ids of any shape."""
    return weight.index_select(0, ids.reshape((-1,))).reshape((*ids.shape, *weight.shape[1:]))


# -- masks -----------------------------------------------------------------------------------------


@composite("S[], bool[], S[] -> S[]", S=EVERY, wide=False)
def masked_fill(x, mask, value):
    """The value where the mask holds, else x."""
    return OPS["where"](mask, value, x)


# -- positions in several dimensions ---------------------------------------------------------------


def _index_canon(name: str) -> Callable[[Sequence[Spec], Mapping[str, Any]], dict[str, Any]]:
    def canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
        x, ids = specs[0], specs[1 if name == "index" else 2 :]
        dims = tuple([axis(d, x.ndim, f"{name}'s dims") for d in attrs["dims"]])
        if len(dims) != len(ids) or not dims or any(a >= b for a, b in zip(dims, dims[1:])):
            raise DimError(f"{name} takes one dimension for each tensor of ids, in rising order, but was given {attrs['dims']} for {len(ids)}")
        if broadcast_shapes(*[i.shape for i in ids]) is None:
            raise ShapeError(f"{name} takes ids that broadcast together but was given {', '.join(map(str, ids))}")
        return {**attrs, "dims": dims}

    return canon


def _index_place(dims: Ints) -> int:
    """Where the dimensions of the ids stand in the result."""
    return dims[0] if dims[-1] - dims[0] == len(dims) - 1 else 0


def _index_shape(x: Spec, *ids: Spec, dims: Ints) -> tuple[int, ...]:
    rest = [n for i, n in enumerate(x.shape) if i not in dims]
    at = _index_place(dims)
    return (*rest[:at], *(broadcast_shapes(*[i.shape for i in ids]) or ()), *rest[at:])


def _index_key(name: str, x: Any, ids: Sequence[Any], dims: Ints) -> tuple[Any, ...]:
    key: list[Any] = [slice(None)] * x.ndim
    broadcast = broadcast_shapes(*[i.shape for i in ids]) or ()
    for i, d in zip(ids, dims):
        key[d] = checked(name, i, x.shape[d], negative=True) if 0 not in broadcast else np.zeros(i.shape, np.intp)
    return tuple(key)


def _rows(x: Any, ids: Sequence[Any], dims: Ints) -> tuple[Any, Any, tuple[int, ...], tuple[int, ...]]:
    """x as rows, one per position of the indexed dimensions; the ids as row numbers; their shape; and a row's shape."""
    rest = [i for i in range(x.ndim) if i not in dims]
    row = tuple([x.shape[i] for i in rest])
    rows = x.permute((*dims, *rest)).reshape((Spec([x.shape[d] for d in dims], bool_).size, *row))
    shape = broadcast_shapes(*[i.shape for i in ids]) or ()
    at = None
    for i, d in zip(ids, dims):
        n = x.shape[d]
        i = i.to(dtype=int64)
        i = OPS["where"](i.lt(filled(i, (), 0)), i + n, i)
        at = i if at is None else at * n + i
    return rows, at.expand(shape).reshape((-1,)), shape, row


def _index_expand(x: Any, *ids: Any, dims: Ints) -> Any:
    rows, at, shape, row = _rows(x, ids, dims)
    y = rows.index_select(0, at).reshape(shape + row)
    place, m = _index_place(dims), len(shape)
    return y.permute((*range(m, m + place), *range(m), *range(m + place, m + len(row)))) if place else y


def _values_in_front(v: Any, x: Any, ids: Sequence[Any], dims: Ints) -> Any:
    """The values of index_put with the ids' dimensions in front of a row's."""
    v = v.expand(_index_shape(x.spec, *[i.spec for i in ids], dims=dims))
    m, place = len(broadcast_shapes(*[i.shape for i in ids]) or ()), _index_place(dims)
    return v.permute((*range(place, place + m), *range(place), *range(place + m, v.ndim))) if place else v


def _last_writers(at: Any, n: int) -> tuple[Any, Any]:
    """For each of n rows the number of the last that writes it, and whether any does."""
    writers = at.shape[-1]
    hot = at.reshape((writers, 1)).eq(iota(at, n, dtype=at.dtype).reshape((1, n)))
    found = OPS["where"](hot, iota(at, writers, 1).reshape((writers, 1)), filled(at, (), 0, int64)).amax((0,))
    hit = filled(found, (), 0).lt(found)
    return OPS["where"](hit, found - 1, filled(found, (), 0)), hit


def _index_put_expand(x: Any, values: Any, *ids: Any, dims: Ints, accumulate: bool) -> Any:
    rows, at, _, row = _rows(x, ids, dims)
    if not at.numel() or not x.numel():
        return OPS["alias"](x)
    v = _values_in_front(values, x, ids, dims).reshape((at.numel(), *row))
    if accumulate:
        rows = index_add(rows, at, v, dim=0)
    else:
        last, hit = _last_writers(at, rows.shape[0])
        rows = OPS["where"](hit.reshape((-1,) + (1,) * len(row)), v.index_select(0, last), rows)
    order = (*dims, *[i for i in range(x.ndim) if i not in dims])
    back = tuple([order.index(i) for i in range(x.ndim)])
    return rows.reshape(tuple([x.shape[i] for i in order])).permute(back)


def _index_sample(put: bool) -> Callable[[Any], Any]:
    def sample(d: Any) -> Any:
        dtype = d.dtype(EVERY if not put else ALL)
        shape = [max(n, 1) for n in d.shape(1)]
        dims = sorted({d.int(0, len(shape) - 1) for _ in range(d.int(1, 3))})
        common = list(d.shape(0, 2))
        kind = d.dtype(INTEGERS)
        ids = [d.ids([1 if d.bool() and d.bool() else n for n in common], shape[i], kind, negative=kind.kind == "i") for i in dims]
        if not put:
            return [d.array(shape, dtype), *ids], {"dims": tuple(dims)}
        full = _index_shape(Spec(shape, bool_), *[Spec(i.shape, int64) for i in ids], dims=tuple(dims))
        v = d.array([1 if d.bool() and d.bool() else n for n in full], dtype)
        # which of several writers wins is only settled where they add up
        unique = all(n <= 1 for n in np.broadcast_shapes(*[i.shape for i in ids]))
        return [d.array(shape, dtype), v, *ids], {"dims": tuple(dims), "accumulate": not unique or d.bool()}

    return sample


@primitive("S, I* -> S", S=EVERY, I=INTEGERS, wide=False, method=False, canon=_index_canon("index"), shape=_index_shape,
           expand=_index_expand, sample=_index_sample(False),
           vjp=lambda g, _y, _x, *ids, dims: (index_put(_x.zeros_like(), g, *ids, dims=dims, accumulate=True), *[None] * len(ids)))  # fmt: skip
def index(x, *ids, dims: Ints):
    """x at positions that tensors give for some of its dimensions, in rising order; negative ids count from the end.

    The ids broadcast together; their dimensions stand where ``dims`` stood if those are neighbours, else in front.
    """
    return x[_index_key("index", x, ids, dims)]


def _index_put_shape(x: Spec, values: Spec, *ids: Spec, dims: Ints, accumulate: bool) -> tuple[int, ...]:
    hole = _index_shape(x, *ids, dims=dims)
    if broadcast_shapes(values.shape, hole) != hole:
        raise ShapeError(f"index_put cannot broadcast {values} to {hole}, the part of {x} that {', '.join(map(str, ids))} name")
    if accumulate and x.dtype.kind == "s":
        raise DTypeError(f"index_put cannot accumulate in {x.dtype}, which takes part in casts and movement only; cast it first")
    return x.shape


def _index_put_vjp(g: Any, _y: Any, _x: Any, _v: Any, *ids: Any, dims: Ints, accumulate: bool) -> tuple[Any, ...]:
    gx = g if accumulate else index_put(g, filled(g, (), 0), *ids, dims=dims)
    return (gx, index(g, *ids, dims=dims), *[None] * len(ids))


def _index_put_into(x: Any, values: Any, *ids: Any, dims: Ints, accumulate: bool = False) -> Any:
    key = _index_key("index_put", x, ids, dims)
    if not accumulate:
        x[key] = values
    elif x.dtype.kind in "V" or x.dtype.char == "e":
        wide = x.astype(np.float32)
        _add_at(wide, key, values.astype(np.float32))
        x[...] = wide.astype(x.dtype)
    else:
        _add_at(x, key, values)
    return x


def _add_at(x: Any, key: tuple[Any, ...], values: Any) -> None:
    taken = [i for i, k in enumerate(key) if not isinstance(k, slice)]
    if len(taken) == 1 and key[taken[0]].ndim == 1 and values.ndim == x.ndim:
        (d,) = taken
        full = (*x.shape[:d], key[d].size, *x.shape[d + 1 :])
        accumulate(np.moveaxis(x, d, 0), key[d], np.moveaxis(np.broadcast_to(values, full), d, 0))
    else:
        np.add.at(x, key, values)


@primitive("S, S, I* -> S", S=EVERY, I=INTEGERS, wide=False, method=False, canon=_index_canon("index_put"), shape=_index_put_shape,
           expand=_index_put_expand, into=_index_put_into, sample=_index_sample(True), vjp=_index_put_vjp,
           terms=lambda x, v, *ids, dims, accumulate: Spec(broadcast_shapes(*[i.shape for i in ids]) or (), bool_).size + 1)  # fmt: skip
def index_put(x, values, *ids, dims: Ints, accumulate: bool = False):
    """x with the values, broadcast, at positions that tensors give as in ``index``; the last of several wins, or all add up."""
    return _index_put_into(x.copy(), values, *ids, dims=dims, accumulate=accumulate)


# -- shapes that depend on values ------------------------------------------------------------------


def known(x: Any, what: str, instead: str = "keep it out of the captured function") -> np.ndarray[Any, Any]:
    """A tensor's values, for what has a shape that depends on them; raises CaptureError while a function is captured."""
    x = as_operand(x, what)
    if x.backend.name == "trace":
        raise CaptureError(f"{what} has a shape that depends on the values of {x.spec}, so it cannot be captured; {instead}")
    return x.numpy()


def placed(x: Any, array: np.ndarray[Any, Any]) -> Any:
    """An array as a tensor where x is."""
    from ..create import as_tensor

    return as_tensor(np.ascontiguousarray(array).reshape(array.shape), device=x.backend)


def nonzero_arrays(x: Any, what: str) -> tuple[np.ndarray[Any, Any], ...]:
    """The positions of the elements that are not zero, one array of ids per dimension."""
    values = known(x, what, "use where, or masked_fill, which keep the shape")
    return np.nonzero(values.reshape(values.shape or (1,)).astype(bool))


@function()
def nonzero(x: Any, as_tuple: bool = False) -> Any:
    """The positions of the elements that are not zero, a row each; or, ``as_tuple``, one tensor of ids per dimension."""
    x = as_operand(x, "nonzero")
    found = nonzero_arrays(x, "nonzero")
    if as_tuple:
        return tuple([placed(x, a) for a in found])
    return placed(x, np.stack(found, 1) if x.ndim else np.zeros((found[0].size, 0), np.int64))


@function()
def argwhere(x: Any) -> Any:
    """The positions of the elements that are not zero, a row each."""
    return nonzero(x)
