"""Selection: reading and writing elements at positions that are tensors themselves."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence

import numpy as np

from ..dtype import ALL, EVERY, FLOATS, INTEGERS, NUMBERS, QUANTISED, as_dtype, bool_, iinfo, int64
from ..errors import CaptureError, DimError, DTypeError, ShapeError
from ..op import OPS, Ints, Spec, broadcast_shapes, composite, function, primitive
from .movement import as_operand, axis, filled, iota, whole_rows


def checked(name: str, ids: Any, n: int, negative: bool = False) -> np.ndarray[Any, Any]:
    """Ids as positions from 0 to n - 1; raises DimError for any other."""
    low = -n if negative else 0
    if ids.size:
        for bad in (ids.min(), ids.max()):
            if not low <= int(bad) < n:
                raise DimError(
                    f"{name} was given the index {int(bad)} for a dimension of size {n}; indices are from {low} to {n - 1}"
                )
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


@primitive(
    "S, I -> S",
    S=EVERY,
    I=INTEGERS,
    wide=False,
    required=True,
    canon=_dim_canon("gather"),
    shape=_gather_shape,
    sample=_gather_sample,
    order=("x", "dim", "index"),
    vjp=(lambda g, _y, _x, index, dim: scatter_add(_x.zeros_like(), index, g, dim=dim), None),
)
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
    y, index, src = np.array(np.atleast_1d(x), order="C"), np.atleast_1d(index), np.atleast_1d(src)
    ids = checked(name, index, y.shape[dim])
    return y, _open(ids, dim), src[tuple([slice(n) for n in ids.shape])]


@primitive(
    "T, I, T -> T",
    ALL,
    I=INTEGERS,
    required=True,
    canon=_dim_canon("scatter_add"),
    shape=_scatter_shape("scatter_add"),
    order=("x", "dim", "index", "src"),
    sample=_scatter_sample(ALL),
    terms=lambda x, index, src, *, dim: (index.shape or (1,))[dim] + 1,
    vjp=(lambda g, _y, _x, _i, _s, dim: g, None, lambda g, _y, _x, index, _s, dim: _unfront(g.gather(dim, index), _s.shape)),
)
def scatter_add(x, index, src, *, dim: int):
    """x with ``src[i, j, k]`` added at ``[i, index[i, j, k], k]`` for dim 1; repeated positions add up."""
    y, at, values = _place("scatter_add", x, index, src, dim)
    # one dimension of ids is what NumPy adds at fast
    np.add.at(y.reshape(-1), np.ravel_multi_index(np.broadcast_arrays(*at), y.shape).reshape(-1), values.reshape(-1))
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
           blocks=whole_rows("index_select"),
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


@primitive(
    "T, I, T -> T",
    ALL,
    I=INTEGERS,
    canon=_dim_canon("index_add"),
    shape=_index_add_shape("index_add"),
    order=("x", "dim", "index", "source"),
    sample=_index_add_sample(ALL, alpha=(1, 2, 3)),
    expand=_index_add_expand,
    terms=lambda x, index, source, *, dim, alpha: index.size + 1,
    vjp=(
        lambda g, _y, _x, _i, _s, dim, alpha: g,
        None,
        lambda g, _y, _x, index, _s, dim, alpha: (g if alpha == 1 else g * alpha).index_select(dim, index).reshape(_s.shape),
    ),
)
def index_add(x, index, source, *, dim: int, alpha: Any = 1):
    """x with each slice of the source, times alpha, added to the slice of x at its id; repeated ids add up."""
    y, source = np.array(np.atleast_1d(x)), np.atleast_1d(source)
    ids = checked("index_add", index.reshape(-1), y.shape[dim])
    accumulate(np.moveaxis(y, dim, 0), ids, np.moveaxis(source if alpha == 1 else (source * alpha).astype(y.dtype), dim, 0))
    return y.reshape(x.shape)


def _embedding_shape(weight: Spec, ids: Spec) -> tuple[int, ...]:
    if not weight.ndim:
        raise ShapeError(f"embedding takes a table of rows but was given {weight}")
    return (*ids.shape, *weight.shape[1:])


def _embedding_sample(d: Any) -> Any:
    n = d.size(1)
    return [d.array([n, d.size(0)], d.dtype(EVERY)), d.ids(d.shape(0, 3), n)], {}


def _embedding_expand(weight: Any, ids: Any) -> Any:
    return weight.index_select(0, ids.reshape((-1,))).reshape((*ids.shape, *weight.shape[1:]))


def _embedding_grad(g: Any, _y: Any, _weight: Any, ids: Any) -> Any:
    rows = g.reshape((ids.numel(), *_weight.shape[1:]))
    return index_add(_weight.zeros_like(), ids.reshape((-1,)), rows, dim=0)


@primitive(
    "S, I -> S",
    S=EVERY,
    I=INTEGERS,
    wide=False,
    name="embedding",
    shape=_embedding_shape,
    expand=_embedding_expand,
    sample=_embedding_sample,
    vjp=(_embedding_grad, None),
)
def _embedding(weight, ids):
    """The rows of a table at ids of any shape."""
    return np.take(weight, checked("embedding", ids, weight.shape[0]), 0)


@function(front=True)
def embedding(weight: Any, ids: Any) -> Any:
    """The rows of a table at ids of any shape; of a quantised table their values, in float32."""
    return OPS["quantized_embedding"](weight, ids) if weight.dtype in QUANTISED else _embedding(weight, ids)


# -- masks -----------------------------------------------------------------------------------------


@composite("S[], bool[], S[] -> S[]", S=EVERY, wide=False, ulps=0)
def masked_fill(x, mask, value):
    """The value where the mask holds, else x."""
    return OPS["where"](mask, value, x)


# -- positions in several dimensions ---------------------------------------------------------------


def _index_canon(name: str) -> Callable[[Sequence[Spec], Mapping[str, Any]], dict[str, Any]]:
    def canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
        x, ids = specs[0], specs[1 if name == "index" else 2 :]
        dims = tuple([axis(d, x.ndim, f"{name}'s dims") for d in attrs["dims"]])
        if len(dims) != len(ids) or not dims or sorted(set(dims)) != list(dims):
            raise DimError(
                f"{name} takes one dimension for each tensor of ids, in rising order, "
                f"but was given {attrs['dims']} for {len(ids)}"
            )
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


def _index_blocks(specs: Sequence[Spec], attrs: Mapping[str, Any], size: Any) -> Mapping[str, Any]:
    if attrs["dims"][-1] == specs[0].ndim - 1:
        raise OPS["index"].torn(specs, "the last dimension, which is kept in blocks, stays as it is")
    return attrs


def _index_sample(put: bool) -> Callable[[Any], Any]:
    def sample(d: Any) -> Any:
        dtype = d.dtype(EVERY if not put else ALL)
        shape = [max(n, 1) for n in d.shape(1)]
        dims = sorted({d.int(0, len(shape) - 1) for _ in range(d.int(1, 3))})
        common = list(d.shape(0, 2))
        kind = d.dtype(INTEGERS)
        ids = [
            d.ids([1 if d.bool() and d.bool() else n for n in common], shape[i], kind, negative=kind.kind == "i") for i in dims
        ]
        if not put:
            return [d.array(shape, dtype), *ids], {"dims": tuple(dims)}
        full = _index_shape(Spec(shape, bool_), *[Spec(i.shape, int64) for i in ids], dims=tuple(dims))
        v = d.array([1 if d.bool() and d.bool() else n for n in full], dtype)
        # which of several writers wins is only settled where they add up
        unique = all(n <= 1 for n in np.broadcast_shapes(*[i.shape for i in ids]))
        return [d.array(shape, dtype), v, *ids], {"dims": tuple(dims), "accumulate": not unique or d.bool()}

    return sample


@primitive(
    "S, I* -> S",
    S=EVERY,
    I=INTEGERS,
    wide=False,
    method=False,
    blocks=_index_blocks,
    canon=_index_canon("index"),
    shape=_index_shape,
    expand=_index_expand,
    sample=_index_sample(False),
    vjp=lambda g, _y, _x, *ids, dims: (index_put(_x.zeros_like(), g, *ids, dims=dims, accumulate=True), *[None] * len(ids)),
)
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


@primitive(
    "S, S, I* -> S",
    S=EVERY,
    I=INTEGERS,
    wide=False,
    method=False,
    canon=_index_canon("index_put"),
    shape=_index_put_shape,
    expand=_index_put_expand,
    into=_index_put_into,
    sample=_index_sample(True),
    vjp=_index_put_vjp,
    terms=lambda x, v, *ids, dims, accumulate: Spec(broadcast_shapes(*[i.shape for i in ids]) or (), bool_).size + 1,
    ulps=8,
)
def index_put(x, values, *ids, dims: Ints, accumulate: bool = False):
    """x with the values, broadcast, at positions that tensors give as in ``index``; the last of several wins, or all add up."""
    return _index_put_into(x.copy(), values, *ids, dims=dims, accumulate=accumulate)


@function(name="index_put", front=True)
def _put_at_key(x: Any, indices: Any, values: Any, accumulate: bool = False) -> Any:
    """x with the values at ``x[indices]``, a tuple of tensors of ids or masks; ``accumulate`` adds them up."""
    from ..index import put_at

    if not isinstance(indices, (tuple, list)):
        raise DTypeError(f"index_put takes a tuple of tensors of ids but was given {type(indices).__name__}")
    return put_at(x, tuple(indices), values, accumulate)


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


@function(method=False)
def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """Places in a flattened tensor as places along each dimension of a shape."""
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"unravel_index takes integers but was given {indices.spec}")
    found = []
    for n in reversed([int(n) for n in ((shape,) if isinstance(shape, int) else shape)]):
        found.append(indices % n)
        indices = indices.floor_divide(n)
    return tuple(reversed(found))


@function()
def masked_select(x: Any, mask: Any) -> Any:
    """The elements at which a mask holds, in a row; x and the mask broadcast together."""
    x, mask = _masked_pair("masked_select", x, mask)
    ids = nonzero_arrays(mask, "masked_select")
    if not x.ndim:
        return x.reshape((1,)).index_select(0, placed(mask, ids[0]))
    return OPS["index"](x, *[placed(mask, i) for i in ids], dims=tuple(range(x.ndim)))


def _masked_pair(name: str, x: Any, mask: Any) -> tuple[Any, Any]:
    x, mask = as_operand(x, name), as_operand(mask, name)
    if mask.dtype.kind != "b":
        raise DTypeError(f"{name} takes a boolean mask but was given {mask.spec}; compare it, as in mask != 0")
    shape = broadcast_shapes(x.shape, mask.shape)
    if shape is None:
        raise ShapeError(f"{name}'s mask broadcasts with {x.spec} but was given {mask.spec}")
    return tuple([t if t.shape == shape else t.expand(shape) for t in (x, mask)])  # type: ignore[return-value]


def _masked_scatter_shape(x: Spec, mask: Spec, source: Spec) -> tuple[int, ...]:
    shape = broadcast_shapes(x.shape, mask.shape)
    if shape is None:
        raise ShapeError(f"masked_scatter's mask broadcasts with {x} but was given {mask}")
    return shape


def _masked_scatter_sample(d: Any) -> Any:
    shape, dtype = d.shape(), d.dtype(ALL)
    mask = d.array(shape, bool_)
    return [d.array(shape, dtype), mask, d.array([int(np.sum(mask)) + d.int(0, 2)], dtype)], {}


@composite("S, bool, S -> S", S=ALL, shape=_masked_scatter_shape, sample=_masked_scatter_sample)
def masked_scatter(x, mask, source):
    """x with the elements at which the mask holds replaced by the source's first, in their order."""
    shape = _masked_scatter_shape(x.spec, mask.spec, source.spec)
    x, mask = x.expand(shape), mask.expand(shape)
    if source.numel() < x.numel() and mask.backend.name != "trace":
        count = int(np.count_nonzero(mask.numpy()))
        if count > source.numel():
            raise ShapeError(f"masked_scatter was given {source.numel()} elements for the {count} at which its mask holds")
    if not source.numel() or not x.numel():
        return OPS["alias"](x)
    at = mask.reshape((-1,)).to(dtype=int64).cumsum(0) - 1
    last = filled(at, (), source.numel() - 1)
    at = OPS["where"](at.lt(filled(at, (), 0)), filled(at, (), 0), OPS["where"](last.lt(at), last, at))
    return OPS["where"](mask, source.reshape((-1,)).index_select(0, at).reshape(shape), x)


def _sorted_unique(values: np.ndarray[Any, Any], dim: int | None, consecutive: bool) -> tuple[np.ndarray[Any, Any], ...]:
    """The ids of the first of each distinct element or slice, the number of each one's group, and the groups' sizes."""
    rows = values.reshape(-1) if dim is None else np.moveaxis(values, dim, 0)
    n = rows.shape[0]
    flat = rows.reshape(n, -1) if dim is not None and rows.size else rows.reshape(n, 1) if dim is None else np.zeros((n, 1), bool)
    if consecutive:
        order = np.arange(n)
    elif flat.shape[1] == 1:
        order = np.argsort(flat[:, 0], kind="stable")
    else:
        order = np.lexsort(flat.T[::-1])
    ranked = flat[order]
    fresh = np.ones(n, bool)
    fresh[1:] = (ranked[1:] != ranked[:-1]).any(1)
    group = np.empty(n, np.int64)
    group[order] = np.cumsum(fresh) - 1
    starts = np.flatnonzero(fresh)
    return order[starts], group, np.diff(np.append(starts, n)).astype(np.int64)


def _unique(name: str, x: Any, dim: Any, inverse: bool, counts: bool, consecutive: bool) -> Any:
    x = as_operand(x, name)
    values = known(x, name)
    d = None if dim is None else axis(dim, x.ndim, f"{name}'s dim")
    if values.dtype.kind not in "biufc":
        values = values.astype(np.float32)
    first, group, sizes = _sorted_unique(values.reshape(values.shape or (1,)), d, consecutive)
    where = placed(x, first)
    y = x.reshape((-1,)).index_select(0, where) if d is None else (x if x.ndim else x.reshape((1,))).index_select(d, where)
    found = [y.detach()]
    if inverse:
        found.append(placed(x, group.reshape(x.shape) if d is None else group))
    if counts:
        found.append(placed(x, sizes))
    return found[0] if len(found) == 1 else tuple(found)


@function()
def unique(x: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    """The distinct elements, or slices of a dimension, in rising order; on request where each went, and how many there were.

    Each NaN is distinct from all others, as in PyTorch.
    """
    return _unique("unique", x, dim, return_inverse, return_counts, False)


@function()
def unique_consecutive(x: Any, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
    """The first of each run of equal elements, or slices of a dimension; on request where each went, and how many there were."""
    return _unique("unique_consecutive", x, dim, return_inverse, return_counts, True)


@function()
def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each integer from 0 to the largest comes in a vector, or the sum of its weights."""
    x = as_operand(x, "bincount")
    values = known(x, "bincount", "use one_hot with a number of classes and sum")
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise DTypeError(f"bincount takes a vector of integers but was given {x.spec}")
    if minlength < 0:
        raise ShapeError(f"bincount's minlength is at least 0 but {minlength} was given")
    if values.size and values.min() < 0:
        raise DimError(f"bincount takes integers of at least 0 but was given {values.min()}")
    n = max(int(values.max(initial=-1)) + 1, minlength)
    if weights is None:
        return placed(x, np.bincount(values.astype(np.int64), minlength=n).astype(np.int64))
    weights = as_operand(weights, "bincount")
    if weights.shape != x.shape:
        raise ShapeError(f"bincount takes a weight for each element of {x.spec} but was given {weights.spec}")
    w = weights if weights.dtype.name == "float32" else weights.double()
    return index_add(filled(w, (n,), 0), x.to(dtype=int64), w, dim=0)


# -- writing one id per element --------------------------------------------------------------------


def _hot(index: Any, n: int, dim: int) -> Any:
    """Whether each element of an index, moved to the end but one, names each of n positions, in the last dimension."""
    return index.to(dtype=int64).unsqueeze(dim + 1).eq(iota(index, n).reshape((n,) + (1,) * (index.ndim - dim - 1)))


def _scattered(x: Any, index: Any, src: Any, dim: int, combine: Callable[[Any, Any, Any], Any]) -> Any:
    """x with its part that an index reaches replaced by ``combine(part, hot, values)``.

    ``hot`` and ``values`` have the writers at ``dim`` and the positions at ``dim + 1``.
    """
    if not x.ndim:
        return _scattered(x.reshape((1,)), index.reshape((1,)), src.reshape((1,)), 0, combine).reshape(())
    if not index.numel():
        return OPS["alias"](x)
    src = _front(src, index.shape)
    sizes = tuple([n if i == dim else m for i, (n, m) in enumerate(zip(x.shape, index.shape))])
    part = _front(x, sizes)
    new = combine(part, _hot(index, x.shape[dim], dim), src.unsqueeze(dim + 1))
    if sizes == x.shape:
        return new
    return OPS["slice_set"](x, new, starts=(0,) * x.ndim, stops=sizes)


def _scatter_set_expand(x: Any, index: Any, src: Any, *, dim: int) -> Any:
    def combine(part: Any, hot: Any, values: Any) -> Any:
        n = values.shape[dim]
        order = iota(part, n, 1).reshape((n,) + (1,) * (hot.ndim - dim - 1))
        none = filled(part, (), 0, int64)
        last = OPS["where"](hot, order, none).amax((dim,))
        hit = none.lt(last)
        return OPS["where"](hit, gather(values.squeeze((dim + 1,)), OPS["where"](hit, last - 1, none), dim=dim), part)

    return _scattered(x, index, src, dim, combine)


def _scatter_set_sample(d: Any) -> Any:
    operands, attrs = _scatter_sample(EVERY)(d)
    x, index, _ = operands
    dim = attrs["dim"] % max(x.ndim, 1)
    n = min(index.shape[dim], x.shape[dim])  # each position once: which of several writers wins is not for a kernel to settle
    order = np.stack([d.permutation(x.shape[dim])[:n]]).reshape(-1) if n else np.zeros(0, np.int64)
    shape = [n if i == dim else m for i, m in enumerate(index.shape)]
    operands[1] = np.broadcast_to(
        np.asarray(order, index.dtype).reshape([-1 if i == dim else 1 for i in range(x.ndim)]), shape
    ).copy()
    return operands, attrs


@primitive(
    "S, I, S -> S",
    S=EVERY,
    I=INTEGERS,
    wide=False,
    method=False,
    canon=_dim_canon("scatter"),
    shape=_scatter_shape("scatter"),
    order=("x", "dim", "index", "src"),
    expand=_scatter_set_expand,
    sample=_scatter_set_sample,
    vjp=(
        lambda g, _y, _x, index, _s, dim: scatter_set(g, index, filled(g, index.shape, 0), dim=dim),
        None,
        lambda g, _y, _x, index, _s, dim: _unfront(g.gather(dim, index), _s.shape),
    ),
)
def scatter_set(x, index, src, *, dim: int):
    """x with ``src[i, j, k]`` written to ``[i, index[i, j, k], k]`` for dim 1; the last of several writers wins."""
    y, at, values = _place("scatter", x, index, src, dim)
    y[at] = values
    return y.reshape(x.shape)


_REDUCE = {"sum": np.add, "mean": np.add, "prod": np.multiply, "amax": np.maximum, "amin": np.minimum}


def _reduce_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    if attrs["reduce"] not in _REDUCE:
        raise DTypeError(f"scatter_reduce's reduce is one of {', '.join(_REDUCE)} but {attrs['reduce']!r} was given")
    if specs[0].dtype.kind == "c" and attrs["reduce"] in ("amax", "amin"):
        raise DTypeError(f"scatter_reduce's {attrs['reduce']} takes ordered numbers but was given {specs[0]}")
    return {**attrs, "dim": axis(attrs["dim"], specs[0].ndim, "scatter_reduce's dim")}


def _bottom(dtype: Any, reduce: str) -> Any:
    """What a reduction begins with."""
    if reduce in ("sum", "mean", "prod"):
        return int(reduce == "prod")
    low = reduce == "amax"
    if dtype.kind == "b":
        return not low
    if dtype.kind == "f":
        return -np.inf if low else np.inf
    return int(np.iinfo(dtype.numpy).min if low else np.iinfo(dtype.numpy).max)


def _counts(x: Any, index: Any, dim: int, include_self: bool, dtype: Any = None) -> Any:
    """How many numbers meet at each position; at least one."""
    start, one = filled(x, x.shape, int(include_self), dtype), filled(x, index.shape, 1, dtype)
    n = scatter_add(start, index, one, dim=dim)
    return OPS["maximum"](n, filled(n, (), 1))


def _scatter_reduce_expand(x: Any, index: Any, src: Any, *, dim: int, reduce: str, include_self: bool) -> Any:
    start = x if include_self else scatter_set(x, index, filled(x, index.shape, _bottom(x.dtype, reduce)), dim=dim)
    if reduce == "sum":
        return scatter_add(start, index, src, dim=dim)
    if reduce == "mean":
        total = scatter_add(start, index, src, dim=dim)
        n = _counts(x, index, dim, include_self)
        return total / n if x.dtype.kind in "fc" else total.floor_divide(n)
    neutral = filled(x, (), _bottom(x.dtype, reduce))

    def combine(part: Any, hot: Any, values: Any) -> Any:
        spread = OPS["where"](hot, values, neutral)
        if reduce == "prod":
            return part * spread.prod(dim).to(dtype=part.dtype)
        return OPS["maximum"](part, spread.amax((dim,))) if reduce == "amax" else OPS["minimum"](part, spread.amin((dim,)))

    return _scattered(start, index, src, dim, combine)


def _others(v: Any, product: Any, zeros: Any) -> Any:
    """The product of all members of a group but one, from that one, the product of those not zero, and the count of zeros."""
    none, zero = filled(v, (), 0), v.eq(filled(v, (), 0))
    one = filled(zeros, (), 1)
    divided = product / OPS["where"](zero, filled(v, (), 1), v)
    return OPS["where"](zero, OPS["where"](zeros.eq(one), product, none), OPS["where"](zeros.lt(one), divided, none))


def _prod_vjp(g: Any, x: Any, index: Any, src: Any, dim: int, include_self: bool) -> tuple[Any, Any]:
    one, none = filled(x, (), 1), filled(x, (), 0)
    src_zero, x_zero = src.eq(none), x.eq(none)
    product = scatter_reduce(
        OPS["where"](x_zero, one, x), index, OPS["where"](src_zero, one, src), dim=dim, reduce="prod", include_self=include_self
    )
    begin = x_zero.to(dtype=int64)
    if not include_self:
        begin = scatter_set(begin, index, filled(begin, index.shape, 0), dim=dim)
    zeros = scatter_add(begin, index, src_zero.to(dtype=int64), dim=dim)
    gx = g * _others(x, product, zeros).conj()
    front = _front(src, index.shape)
    gs = g.gather(dim, index) * _others(front, product.gather(dim, index), zeros.gather(dim, index)).conj()
    return gx, _unfront(gs, src.shape)


def _scatter_reduce_vjp(
    g: Any, y: Any, x: Any, index: Any, src: Any, dim: int, reduce: str, include_self: bool
) -> tuple[Any, ...]:
    if reduce == "prod":
        gx, gs = _prod_vjp(g, x, index, src, dim, include_self)
    elif reduce in ("sum", "mean"):
        g = g if reduce == "sum" else g / _counts(x, index, dim, include_self)
        gx, gs = g, _unfront(g.gather(dim, index), src.shape)
    else:  # those that tie share alike
        mine = x.eq(y).to(dtype=x.dtype)
        if not include_self:
            mine = scatter_set(mine, index, filled(x, index.shape, 0), dim=dim)
        theirs = _front(src, index.shape).eq(y.gather(dim, index)).to(dtype=x.dtype)
        n = scatter_add(mine, index, theirs, dim=dim)
        share = g / OPS["where"](n.eq(filled(n, (), 0)), filled(n, (), 1), n)
        gx, gs = share * mine, _unfront(share.gather(dim, index) * theirs, src.shape)
        gx = gx if include_self else gx + OPS["where"](n.eq(filled(n, (), 0)), g, filled(g, (), 0))
    if not include_self and reduce in ("sum", "mean", "prod"):
        gx = scatter_set(gx, index, filled(x, index.shape, 0), dim=dim)
    return gx, None, gs


@primitive(
    "T, I, T -> T",
    NUMBERS,
    I=INTEGERS,
    canon=_reduce_canon,
    shape=_scatter_shape("scatter_reduce"),
    expand=_scatter_reduce_expand,
    order=("x", "dim", "index", "src", "reduce"),
    vjp=_scatter_reduce_vjp,
    sample=_scatter_sample(INTEGERS + FLOATS, reduce=tuple(_REDUCE), include_self=(True, False)),
    terms=lambda x, index, src, *, dim, **_: (index.shape or (1,))[dim] + 1,
)
def scatter_reduce(x, index, src, *, dim: int, reduce: str, include_self: bool = True):
    """x with all ``src[i, j, k]`` that go to one ``[i, index[i, j, k], k]`` (for dim 1) reduced together.

    ``reduce`` is sum, mean, prod, amax or amin.  With ``include_self`` the element of x there takes part.
    The mean of integers is rounded down.
    """
    y, at, values = _place("scatter_reduce", x, index, src, dim)
    begin = {"sum": 0, "mean": 0, "prod": 1}.get(reduce)
    if begin is None and y.dtype.kind == "f":
        begin = -np.inf if reduce == "amax" else np.inf
    elif begin is None:
        begin = np.iinfo(y.dtype).min if reduce == "amax" else np.iinfo(y.dtype).max
    if not include_self:
        y[at] = begin
    _REDUCE[reduce].at(y, at, values)
    if reduce == "mean":
        n = np.full(y.shape, int(include_self), np.int64)
        np.add.at(n, at, 1)
        n = np.maximum(n, 1)
        y = y / n.astype(y.real.dtype) if y.dtype.kind in "fc" else y // n
    return y.reshape(x.shape)


def _scatter_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    if (specs[2] is None) == (attrs["value"] is None):
        raise TypeError(
            "scatter takes a source, or a value, and not both: "
            "it is scatter(x, dim, index, src) or scatter(x, dim, index, value=v)"
        )
    if attrs["reduce"] not in (None, "add", "multiply"):
        raise DTypeError(f"scatter's reduce is 'add' or 'multiply' but {attrs['reduce']!r} was given; scatter_reduce has more")
    return {**attrs, "dim": axis(attrs["dim"], specs[0].ndim, "scatter's dim")}


def _scatter_all_shape(x: Spec, index: Spec, src: Spec | None, *, dim: int, **_: Any) -> tuple[int, ...]:
    _fits("scatter", x, index, dim, src if src is not None and (src.shape or not index.shape) else None)
    return x.shape


@composite(
    "S, I, S? -> S",
    S=EVERY,
    I=INTEGERS,
    canon=_scatter_canon,
    shape=_scatter_all_shape,
    order=("x", "dim", "index", "src"),
    sample=_scatter_set_sample,
)
def scatter(x, index, src, *, dim: int, value: Any = None, reduce: str | None = None):
    """x with ``src[i, j, k]``, or one value, written to ``[i, index[i, j, k], k]`` for dim 1.

    ``reduce`` is None (the last of several writers wins), add or multiply.
    """
    if src is None:
        src = filled(x, index.shape, value)
    elif not src.ndim and index.ndim:
        src = src.expand(index.shape)
    if reduce is None:
        return scatter_set(x, index, src, dim=dim)
    return scatter_reduce(x, index, src, dim=dim, reduce="sum" if reduce == "add" else "prod")


# -- writing one id per slice ----------------------------------------------------------------------


def _unique_ids_sample(types: Any, source: bool) -> Callable[[Any], Any]:
    def sample(d: Any) -> Any:
        shape, dtype = [*d.shape(0, 3)], d.dtype(types)
        dim = d.int(0, len(shape))
        shape.insert(dim, d.size(1))
        kind = d.one([t for t in d.op.types["I"] if iinfo(t).max >= shape[dim]])
        ids = np.asarray(d.permutation(shape[dim])[: d.int(0, shape[dim])], kind.numpy)
        rest = d.array([*shape[:dim], ids.size, *shape[dim + 1 :]] if source else [], dtype)
        return [d.array(shape, dtype), ids, rest], {"dim": dim - len(shape) if d.bool() else dim}

    return sample


def _index_copy_expand(x: Any, index: Any, source: Any, *, dim: int) -> Any:
    if not x.ndim:
        return scatter_set(x.reshape((1,)), index.reshape((1,)), source.reshape((1,)), dim=0).reshape(())
    return index_put(x, source, index.reshape((-1,)), dims=(dim,))


@primitive("S, I, S -> S", S=EVERY, I=INTEGERS, wide=False, canon=_dim_canon("index_copy"), shape=_index_add_shape("index_copy"),
           blocks=whole_rows("index_copy"),
           order=("x", "dim", "index", "source"), sample=_unique_ids_sample(EVERY, True), expand=_index_copy_expand)  # fmt: skip
def index_copy(x, index, source, *, dim: int):
    """x with the slices of one dimension at the given ids replaced by the source's; the last of several wins."""
    y = np.array(np.atleast_1d(x))
    ids = checked("index_copy", index.reshape(-1), y.shape[dim])
    np.moveaxis(y, dim, 0)[ids] = np.moveaxis(np.atleast_1d(source), dim, 0)
    return y.reshape(x.shape)


def _index_fill_shape(x: Spec, index: Spec, value: Spec, *, dim: int) -> tuple[int, ...]:
    _one_dim("index_fill", index)
    if value.ndim:
        raise ShapeError(f"index_fill takes a value without dimensions but was given {value}; use index_copy")
    return x.shape


def _index_fill_expand(x: Any, index: Any, value: Any, *, dim: int) -> Any:
    if not x.ndim:
        return index_put(x.reshape((1,)), value, index.reshape((-1,)), dims=(0,)).reshape(())
    return index_put(x, value, index.reshape((-1,)), dims=(dim,))


@primitive("S, I, S -> S", S=EVERY, I=INTEGERS, wide=False, canon=_dim_canon("index_fill"), shape=_index_fill_shape,
           order=("x", "dim", "index", "value"), sample=_unique_ids_sample(EVERY, False), expand=_index_fill_expand)  # fmt: skip
def index_fill(x, index, value, *, dim: int):
    """x with the slices of one dimension at the given ids filled with one value."""
    y = np.array(np.atleast_1d(x))
    np.moveaxis(y, dim, 0)[checked("index_fill", index.reshape(-1), y.shape[dim], negative=True)] = value
    return y.reshape(x.shape)


# -- x as one row ----------------------------------------------------------------------------------


def _flat_sample(types: Any, put: bool) -> Callable[[Any], Any]:
    def sample(d: Any) -> Any:
        shape, dtype = [max(n, 1) for n in d.shape(0, 3)], d.dtype(types)
        ids = d.ids(d.shape(0, 2), int(np.prod(shape)), negative=True)
        if not put:
            return [d.array(shape, dtype), ids], {}
        accumulate = d.bool()
        if not accumulate:  # each place once: which of several writers wins is not for a kernel to settle
            order = np.asarray(d.permutation(min(int(np.prod(shape)), 40)), ids.dtype)
            ids = order[: d.int(0, order.size)]
            if ids.dtype.kind == "i" and d.bool():
                ids = ids - ids.dtype.type(int(np.prod(shape)))
        return [d.array(shape, dtype), ids, d.array(ids.shape, dtype)], {"accumulate": accumulate}

    return sample


def _take_grad(g: Any, _y: Any, _x: Any, index: Any) -> Any:
    flat = filled(g, (_x.spec.size,), 0)
    return index_put(flat, g, index, dims=(0,), accumulate=True).reshape(_x.shape)


@primitive(
    "S, I -> S",
    S=EVERY,
    I=INTEGERS,
    wide=False,
    shape=lambda x, index: index.shape,
    expand=lambda x, index: OPS["index"](x.reshape((-1,)), index, dims=(0,)),
    sample=_flat_sample(EVERY, False),
    vjp=(_take_grad, None),
)
def take(x, index):
    """The elements of x, seen as one row, at ids of any shape; negative ones count from the end."""
    return x.reshape(-1)[checked("take", index, x.size, negative=True)]


def _put_shape(x: Spec, index: Spec, source: Spec, *, accumulate: bool) -> tuple[int, ...]:
    if index.size != source.size:
        raise ShapeError(f"put takes as many values as ids but was given {source} and {index}")
    return x.shape


@composite("S, I, S -> S", S=EVERY, I=INTEGERS, shape=_put_shape, sample=_flat_sample(ALL, True))
def put(x, index, source, *, accumulate: bool = False):
    """x with the source's elements at ids into x seen as one row."""
    flat = index_put(x.reshape((-1,)), source.reshape((-1,)), index.reshape((-1,)), dims=(0,), accumulate=accumulate)
    return flat.reshape(x.shape)


@function()
def take_along_dim(x: Any, indices: Any, dim: int | None = None) -> Any:
    """``gather`` with x and the ids broadcast together outside ``dim``; without it, both as rows."""
    x, indices = as_operand(x, "take_along_dim"), as_operand(indices, "take_along_dim")
    if dim is None:
        return x.reshape((-1,)).gather(0, indices.reshape((-1,)))
    if x.ndim != indices.ndim:
        raise ShapeError(f"take_along_dim takes ids of as many dimensions as {x.spec} but was given {indices.spec}")
    d = axis(dim, x.ndim, "take_along_dim's dim")
    lead = [(1 if i == d else n, 1 if i == d else m) for i, (n, m) in enumerate(zip(x.shape, indices.shape))]
    common = broadcast_shapes(tuple([a for a, _ in lead]), tuple([b for _, b in lead]))
    if common is None:
        raise ShapeError(
            f"take_along_dim takes ids that broadcast with {x.spec} but along dimension {d} and was given {indices.spec}"
        )
    sizes = [tuple([t.shape[d] if i == d else n for i, n in enumerate(common)]) for t in (x, indices)]
    return x.expand(sizes[0]).gather(d, indices.expand(sizes[1]))


# -- ONNX's own ------------------------------------------------------------------------------------


def _gather_nd_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    x, ids, b = specs[0], specs[1], attrs["batch_dims"]
    if not 0 <= b < max(min(x.ndim, ids.ndim), 1) or x.shape[:b] != ids.shape[:b]:
        raise ShapeError(f"gather_nd takes operands that agree in their first {b} dimensions but was given {x}, {ids}")
    if not ids.ndim or not 1 <= ids.shape[-1] <= x.ndim - b:
        raise ShapeError(f"gather_nd takes from 1 to {x.ndim - b} ids in the last dimension for {x} but was given {ids}")
    return dict(attrs)


def _gather_nd_sample(d: Any, types: Any = EVERY, put: bool = False) -> Any:
    shape = [max(n, 1) for n in d.shape(1)]
    batch = d.int(0, 1) if len(shape) > 1 and not put else 0
    depth = d.int(1, len(shape) - batch)
    lead = (*shape[:batch], *d.shape(0, 2))
    ids = np.stack([d.ids(lead, n, int64, negative=True) for n in shape[batch : batch + depth]], -1)
    return [d.array(shape, d.dtype(types)), ids], {"batch_dims": batch}


@composite("S, I -> S", S=EVERY, I=INTEGERS, canon=_gather_nd_canon, sample=_gather_nd_sample, ulps=0,
           shape=lambda x, indices, *, batch_dims: (*indices.shape[:-1], *x.shape[batch_dims + indices.shape[-1] :]))  # fmt: skip
def gather_nd(x, indices, *, batch_dims: int = 0):
    """The slices of x at points whose coordinates are the last dimension of the ids (ONNX's GatherND)."""
    b, depth = batch_dims, indices.shape[-1]
    ids = [indices.select(-1, i).to(dtype=int64) for i in range(depth)]
    for i in range(b):
        n = x.shape[i]
        ids.insert(i, iota(x, n).reshape(tuple([n if j == i else 1 for j in range(indices.ndim - 1)])))
    return OPS["index"](x, *ids, dims=tuple(range(b + depth)))


_ND = {"none": None, "add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def _scatter_nd_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    x, ids, updates = specs
    if attrs["reduction"] not in _ND:
        raise DTypeError(f"scatter_nd's reduction is one of {', '.join(_ND)} but {attrs['reduction']!r} was given")
    if not ids.ndim or not 1 <= ids.shape[-1] <= x.ndim:
        raise ShapeError(f"scatter_nd takes from 1 to {x.ndim} ids in the last dimension for {x} but was given {ids}")
    wanted = ids.shape[:-1] + x.shape[ids.shape[-1] :]
    if updates.shape != wanted:
        raise ShapeError(f"scatter_nd takes updates of shape {wanted} for {x} at {ids} but was given {updates}")
    return dict(attrs)


def _scatter_nd_sample(d: Any) -> Any:
    (x, ids), _ = _gather_nd_sample(d, ALL, put=True)
    hows = ["add", "mul", "max", "min", "none"] if x.dtype.kind not in "bc" else ["add", "none"]
    if as_dtype(x.dtype).kind == "f" and (x.dtype.itemsize == 2 or d.case.content in ("special", "large")):
        hows.remove("mul")  # whether it overflows on the way is a matter of order
    how = d.one(hows)
    if how == "none":  # each place once
        ids = np.arange(d.int(1, x.shape[0]), dtype=ids.dtype)[::-1, None].copy()
    return [x, ids, d.array([*ids.shape[:-1], *x.shape[ids.shape[-1] :]], as_dtype(x.dtype))], {"reduction": how}


@composite(
    "S, I, S -> S", S=EVERY, I=INTEGERS, canon=_scatter_nd_canon, shape=lambda x, i, u, **_: x.shape, sample=_scatter_nd_sample
)
def scatter_nd(x, indices, updates, *, reduction: str = "none"):
    """x with slices at points, whose coordinates are the last dimension of the ids, replaced by updates (ONNX's ScatterND).

    ``reduction`` is none, add, mul, max or min.
    """
    depth = indices.shape[-1]
    ids, dims = [indices.select(-1, i) for i in range(depth)], tuple(range(depth))
    if reduction in ("none", "add"):
        return index_put(x, updates, *ids, dims=dims, accumulate=reduction == "add")
    rows, at, _, _ = _rows(x, ids, dims)
    flat = rows.reshape((rows.shape[0], -1)) if rows.numel() else rows
    if not at.numel() or not rows.numel():
        return OPS["alias"](x)
    values = updates.reshape((at.numel(), flat.shape[1]))
    made = scatter_reduce(flat, at.reshape((-1, 1)).expand(values.shape), values, dim=0, reduce=_ND[reduction])
    return made.reshape(x.shape)


# -- classes ---------------------------------------------------------------------------------------


def _one_hot_shape(x: Spec, *, num_classes: int) -> tuple[int, ...]:
    return (*x.shape, num_classes)


@composite("I -> int64", I=INTEGERS, method=False, name="one_hot", shape=_one_hot_shape,
           sample=lambda d: (lambda n: ([d.ids(d.shape(0, 3), n)], {"num_classes": n}))(d.size(1)))  # fmt: skip
def _one_hot_of(x, *, num_classes: int):
    """One where the class is named along a new last dimension, else zero; ids outside the classes give zeros only."""
    return x.to(dtype=int64).unsqueeze(-1).eq(iota(x, num_classes)).to(dtype=int64)


@function(method=False, front=True)
def one_hot(x: Any, num_classes: int = -1) -> Any:
    """One where the class is named along a new last dimension, else zero, in int64.

    Without ``num_classes`` there are as many as the largest id needs, whose value must then be known.
    Raises DimError for ids outside the classes (which in a captured function give zeros only).
    """
    x = as_operand(x, "one_hot")
    traced = x.backend.name == "trace"
    if num_classes < 0 or not traced:
        values = known(x, "one_hot without num_classes", "pass num_classes")
        if num_classes < 0 and not values.size:
            raise ShapeError(f"one_hot needs num_classes where there is no id, as in {x.spec}")
        num_classes = int(values.max()) + 1 if num_classes < 0 else num_classes
        if values.size and (values.min() < 0 or values.max() >= num_classes):
            bad = values.min() if values.min() < 0 else values.max()
            raise DimError(
                f"one_hot was given the id {bad}; ids are {f'from 0 to {num_classes - 1}' if num_classes else 'at least 0'}"
            )
    return OPS["one_hot"](x, num_classes=num_classes)
