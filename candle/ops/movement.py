"""Movement: operations that rearrange elements and compute nothing."""

from __future__ import annotations

import builtins
import itertools
import math
from functools import partial
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from ..dtype import EVERY, INTEGERS, REALS, as_dtype, bool_, int64
from ..errors import DimError, DTypeError, ShapeError
from ..op import (
    OPS,
    Dim,
    Dims,
    DType,
    Ints,
    NewDim,
    Op,
    Shape,
    Spec,
    broadcast_shapes,
    composite,
    function,
    normalize_dim,
    primitive,
)

movement = partial(primitive, "S -> S", S=EVERY, wide=False)
moved = partial(composite, "S -> S", S=EVERY, wide=False, blocks=True)


# -- blocks of quantised dtypes --------------------------------------------------------------------


def whole_rows(name: str) -> Callable[..., Any]:
    """``blocks`` of an op that moves along ``dim``, which then is not the last: rows stay whole."""

    def blocks(specs: Sequence[Spec], attrs: Mapping[str, Any], size: Any) -> Mapping[str, Any]:
        if attrs["dim"] == specs[0].ndim - 1:
            raise OPS[name].torn(specs, "the last dimension, which is kept in blocks, stays as it is")
        return attrs

    return blocks


def as_they_are(specs: Sequence[Spec], attrs: Mapping[str, Any], size: Any) -> Mapping[str, Any]:
    return attrs


def _last_size(specs: Sequence[Spec], attrs: Mapping[str, Any], size: Any) -> Mapping[str, Any]:
    shape = attrs["shape"]
    return {"shape": (*shape[:-1], shape[-1] if shape[-1] == -1 else size(shape[-1]))}


def _last_stays(specs: Sequence[Spec], attrs: Mapping[str, Any], size: Any) -> Mapping[str, Any]:
    if attrs["dims"][-1] % len(attrs["dims"]) != len(attrs["dims"]) - 1:
        raise OPS["permute"].torn(specs, "the last dimension, which is kept in blocks, stays the last")
    return attrs


def _last_slice(specs: Sequence[Spec], attrs: Mapping[str, Any], size: Any) -> Mapping[str, Any]:
    steps = attrs.get("steps")
    if steps and steps[-1] not in (1, None):
        raise OPS["slice"].torn(specs, "the last dimension, which is kept in blocks, is taken in steps of 1")
    ends = {k: attrs[k] for k in ("starts", "stops")}
    return {**attrs, **{k: (*v[:-1], v[-1] if v[-1] is None else size(v[-1])) for k, v in ends.items()}}


def another_name(op: Op, *names: str) -> None:
    """Offer an op under further names."""
    for name in names:

        def call(*args: Any, **attrs: Any) -> Any:
            return op(*args, **attrs)

        call.__name__, call.__doc__ = name, f"Another name of ``{op.name}``: {op.doc}"
        function(name=name, in_place=True)(call)


def axis(dim: Any, ndim: int, what: str) -> int:
    """A dimension counted from the front; a tensor without dimensions counts as having one, as in PyTorch."""
    return normalize_dim(dim, max(ndim, 1), what)


def iota(x: Any, n: int, start: int = 0, dtype: Any = int64) -> Any:
    """start, start + 1, ...: n integers where x is."""
    from ..tensor import run

    return run(OPS["arange"], (), {"start": start, "step": 1, "length": n, "dtype": dtype}, x.backend)


def filled(x: Any, shape: Sequence[int], value: Any, dtype: Any = None) -> Any:
    """One number everywhere, where x is and in its dtype unless another is given."""
    from ..tensor import run

    return run(OPS["full"], (), {"shape": tuple(shape), "value": value, "dtype": dtype or x.dtype}, x.backend)


def as_operand(x: Any, what: str) -> Any:
    """A tensor as it is; an array or nested lists made one."""
    from ..create import as_tensor

    if isinstance(x, (str, bytes)) or x is None:
        raise DTypeError(f"{what} takes a tensor but was given {x!r:.60}")
    return x if hasattr(x, "spec") else as_tensor(x)


def operands(xs: Sequence[Any], what: str) -> list[Any]:
    """The tensors of ``f(a, b)`` or ``f([a, b])``."""
    if len(xs) == 1 and isinstance(xs[0], (tuple, list)):
        xs = xs[0]
    return [as_operand(x, what) for x in xs]


# -- shape -----------------------------------------------------------------------------------------


def _reshape_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), shape = specs, attrs["shape"]
    holes = shape.count(-1)
    known = math.prod([n for n in shape if n != -1])
    if holes == 1 and known and x.size % known == 0:
        shape = tuple([x.size // known if n == -1 else n for n in shape])
    if any(n < 0 for n in shape) or math.prod(shape) != x.size:
        raise ShapeError(f"reshape cannot make {x}, of {x.size} elements, into {attrs['shape']}")
    return {"shape": shape}


def _factored(d: Any) -> Any:
    shape = d.shape()
    size = math.prod(shape)
    cut = next((n for n in (2, 3, 5, 7) if size and size % n == 0), 1)
    return [d.array(shape, d.dtype(EVERY))], {
        "shape": ()
        if size == 1 and d.bool()
        else d.one([(size,), (cut, -1), (1, cut, size // cut), tuple(shape) + (1,)])
        if size
        else (0, 3)
    }


@movement(
    required=True,
    star="shape",
    blocks=_last_size,
    canon=_reshape_canon,
    shape=lambda x, *, shape: shape,
    sample=_factored,
    vjp=(lambda g, _y, _x, shape: g.reshape(_x.shape),),
)
def reshape(x, *, shape: Shape):
    """The same elements, in row-major order, in another shape; one size may be -1."""
    return np.reshape(x, shape)


@function()
def view(x: Any, *shape: Any) -> Any:
    """The same elements in another shape, as ``reshape`` does; or, given a dtype, the same bytes read as that."""
    if len(shape) == 1 and not isinstance(shape[0], (int, tuple, list, np.integer)):
        return OPS["bitcast"](x, dtype=as_dtype(shape[0]))
    return OPS["reshape"](x, *shape)


@function()
def view_as(x: Any, other: Any) -> Any:
    """The same elements in the shape of another tensor."""
    return OPS["reshape"](x, other.shape)


@function()
def reshape_as(x: Any, other: Any) -> Any:
    """The same elements in the shape of another tensor."""
    return OPS["reshape"](x, other.shape)


def _permute_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), dims = specs, attrs["dims"]
    found = tuple([normalize_dim(d, x.ndim, "permute's dims") for d in dims])
    if sorted(found) != list(range(x.ndim)):
        raise ShapeError(f"permute takes each of the {x.ndim} dimensions of {x} once but was given {dims}")
    return {"dims": found}


def _permute_sample(d: Any) -> Any:
    shape = d.shape()
    return [d.array(shape, d.dtype(EVERY))], {"dims": d.permutation(len(shape))}


@movement(
    required=True,
    star="dims",
    blocks=_last_stays,
    canon=_permute_canon,
    shape=lambda x, *, dims: [x.shape[d] for d in dims],
    sample=_permute_sample,
    vjp=(lambda g, _y, _x, dims: g.permute(tuple([dims.index(i) for i in range(len(dims))])),),
)
def permute(x, *, dims: Ints):
    """The dimensions in another order."""
    return np.transpose(x, dims)


def _expand_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), shape = specs, attrs["shape"]
    extra = len(shape) - x.ndim
    found = tuple([x.shape[i - extra] if n == -1 and i >= extra else n for i, n in enumerate(shape)])
    if extra < 0 or any(n not in (1, m) for n, m in zip(x.shape, found[max(extra, 0) :])) or any(n < 0 for n in found):
        raise ShapeError(f"expand cannot broadcast {x} to {shape}")
    return {"shape": found}


def _expand_sample(d: Any) -> Any:
    shape = d.shape()
    kept = [1 if d.bool() else n for n in shape]
    return [d.array(kept[d.int(0, len(shape)) :] if d.bool() else kept, d.dtype(EVERY))], {"shape": tuple(shape)}


@movement(required=True, star="shape", canon=_expand_canon, shape=lambda x, *, shape: shape, vjp=(lambda g, _y, _x, shape: g,),
          sample=_expand_sample, blocks=_last_size)  # fmt: skip
def expand(x, *, shape: Shape):
    """Repeated along dimensions of size one to reach a shape; -1 keeps a size."""
    return np.broadcast_to(x, shape)


@function()
def expand_as(x: Any, other: Any) -> Any:
    """Broadcast to the shape of another tensor."""
    return OPS["expand"](x, other.shape)


@function()
def broadcast_to(x: Any, *shape: Any, size: Any = None) -> Any:
    """Broadcast to a shape."""
    return OPS["expand"](x, *(shape or (size,)))


@function()
def broadcast_as(x: Any, *shape: Any) -> Any:
    """Broadcast to a shape (candle's name)."""
    return OPS["expand"](x, *shape)


@function()
def broadcast_left(x: Any, *shape: Any) -> Any:
    """Repeated over new dimensions in front."""
    front = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    return x.expand((*front, *x.shape))


@function(method=False)
def broadcast_tensors(*tensors: Any) -> tuple[Any, ...]:
    """Several tensors, each broadcast to their common shape."""
    xs = operands(tensors, "broadcast_tensors")
    shape = broadcast_shapes(*[x.shape for x in xs])
    if shape is None:
        raise ShapeError(f"broadcast_tensors was given {', '.join(str(x.spec) for x in xs)}, which do not broadcast")
    return tuple([x if x.shape == shape else x.expand(shape) for x in xs])


def _squeezed(x: Spec, *, dim: Dims) -> tuple[int, ...]:
    return tuple([n for i, n in enumerate(x.shape) if n != 1 or i not in dim])


def _dims_sample(types: Any = EVERY) -> Callable[[Any], Any]:
    def sample(d: Any) -> Any:
        shape = d.shape()
        return [d.array(shape, d.dtype(types))], {"dim": d.dims(shape)}

    return sample


@moved(shape=_squeezed, sample=_dims_sample())
def squeeze(x, *, dim: Dims = None):
    """Without the dimensions of size one, or without those named that are."""
    return x.reshape(_squeezed(x.spec, dim=dim))


def _unsqueezed(x: Spec, *, dim: int) -> tuple[int, ...]:
    return (*x.shape[:dim], 1, *x.shape[dim:])


def _new_dim_sample(d: Any) -> Any:
    shape = d.shape()
    return [d.array(shape, d.dtype(EVERY))], {"dim": d.int(-len(shape) - 1, len(shape))}


@moved(shape=_unsqueezed, sample=_new_dim_sample)
def unsqueeze(x, *, dim: NewDim):
    """With one more dimension, of size one, before ``dim``."""
    return x.reshape(_unsqueezed(x.spec, dim=dim))


def _order(x: Spec, dim0: int, dim1: int) -> list[int]:
    order = list(range(x.ndim))
    if order:
        order[dim0], order[dim1] = dim1, dim0
    return order


def _transpose_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {k: axis(v, specs[0].ndim, f"transpose's {k}") for k, v in attrs.items()}


def _two_dims_sample(d: Any) -> Any:
    shape = d.shape(1)
    return [d.array(shape, d.dtype(EVERY))], {"dim0": d.dim(shape), "dim1": d.dim(shape)}


@moved(
    canon=_transpose_canon, shape=lambda x, *, dim0, dim1: [x.shape[i] for i in _order(x, dim0, dim1)], sample=_two_dims_sample
)
def transpose(x, *, dim0: int, dim1: int):
    """Two dimensions exchanged."""
    return x.permute(tuple(_order(x.spec, dim0, dim1))) if x.ndim else OPS["alias"](x)


another_name(transpose, "swapaxes", "swapdims")


@function(in_place=True)
def t(x: Any) -> Any:
    """The transpose of a matrix; a vector or a scalar as it is.  Raises ShapeError for more dimensions."""
    if x.ndim > 2:
        raise ShapeError(f"t takes at most two dimensions but was given {x.spec}; use .mT or .permute")
    return x.permute((1, 0)) if x.ndim == 2 else x


@function()
def adjoint(x: Any) -> Any:
    """The conjugate transpose over the last two dimensions."""
    return x.mH


@function()
def movedim(x: Any, source: Any, destination: Any) -> Any:
    """Some dimensions at other places, the rest in their order."""
    sources = [normalize_dim(d, x.ndim, "movedim's source") for d in (source if isinstance(source, (tuple, list)) else [source])]
    places = [
        normalize_dim(d, x.ndim, "movedim's destination")
        for d in (destination if isinstance(destination, (tuple, list)) else [destination])
    ]
    if len(sources) != len(places) or len(set(sources)) < len(sources) or len(set(places)) < len(places):
        raise DimError(f"movedim takes as many sources as destinations, each once, but was given {source} and {destination}")
    rest = iter([d for d in range(x.ndim) if d not in sources])
    found = dict(zip(places, sources))
    return x.permute(tuple([found[i] if i in found else next(rest) for i in range(x.ndim)]))


@function()
def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """Another name of ``movedim``."""
    return movedim(x, source, destination)


def _flatten_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,) = specs
    start, end = [axis(attrs[k], x.ndim, f"flatten's {k}") for k in ("start_dim", "end_dim")]
    if start > end:
        raise DimError(
            f"flatten's start_dim comes before its end_dim but {attrs['start_dim']} and {attrs['end_dim']} were given for {x}"
        )
    return {"start_dim": start, "end_dim": end}


def _flattened(x: Spec, *, start_dim: int, end_dim: int) -> tuple[int, ...]:
    return (*x.shape[:start_dim], math.prod(x.shape[start_dim : end_dim + 1]), *x.shape[end_dim + 1 :])


def _flatten_sample(d: Any) -> Any:
    shape = d.shape(1)
    start = d.int(0, len(shape) - 1)
    return [d.array(shape, d.dtype(EVERY))], {
        "start_dim": start,
        "end_dim": d.int(start, len(shape) - 1) - (len(shape) if d.bool() else 0),
    }


@moved(canon=_flatten_canon, shape=_flattened, sample=_flatten_sample)
def flatten(x, *, start_dim: int = 0, end_dim: int = -1):
    """The dimensions from start_dim to end_dim, both included, made one."""
    return x.reshape(_flattened(x.spec, start_dim=start_dim, end_dim=end_dim))


@function()
def ravel(x: Any) -> Any:
    """All elements in one dimension."""
    return x.reshape((-1,))


@function()
def flatten_all(x: Any) -> Any:
    """All elements in one dimension (candle's name)."""
    return x.flatten()


@function()
def flatten_to(x: Any, end_dim: int) -> Any:
    """The dimensions up to end_dim, included, made one."""
    return x.flatten(0, end_dim)


@function()
def flatten_from(x: Any, start_dim: int) -> Any:
    """The dimensions from start_dim made one."""
    return x.flatten(start_dim, -1)


@function()
def unflatten(x: Any, dim: int, sizes: Any) -> Any:
    """One dimension taken apart into several; one size may be -1."""
    d = normalize_dim(dim, x.ndim, "unflatten's dim")
    sizes = tuple(sizes) if isinstance(sizes, (tuple, list)) else (sizes,)
    known = math.prod([n for n in sizes if n != -1])
    if -1 in sizes and known:
        sizes = tuple([x.shape[d] // known if n == -1 else n for n in sizes])
    if math.prod(sizes) != x.shape[d] or any(n < 0 for n in sizes):
        raise ShapeError(f"unflatten cannot make dimension {d} of {x.spec} into {sizes}")
    return x.reshape((*x.shape[:d], *sizes, *x.shape[d + 1 :]))


@function()
def as_strided(*_: Any, **__: Any) -> Any:
    """Refused: a tensor is a value without strides."""
    raise DTypeError(
        "candle's tensors are values without strides, so as_strided has no meaning; use unfold, diagonal, slice or expand"
    )


another_name(unsqueeze, "expand_dims")


# -- slices ----------------------------------------------------------------------------------------


def bounds(n: int, start: Any, stop: Any, step: Any) -> tuple[int, int, int, int]:
    """One dimension of a slice in its one form: start, stop, step and the length of the result."""
    low, high, stride = builtins.slice(start, stop, step).indices(n)
    length = len(range(low, high, stride))
    if length <= 1:
        return (low, low + 1, 1, 1) if length else (0, 0, 1, 0)
    last = low + (length - 1) * stride
    end = last + 1 if stride > 0 else last - 1 if last > 0 else -n - 1
    return low, end, stride, length


def _slice_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    x = specs[0]
    given = []
    for name in ("starts", "stops", "steps"):
        v = attrs[name]
        v = () if v is None else v if isinstance(v, tuple) else (v,)
        if len(v) > x.ndim:
            raise DimError(f"slice takes at most {x.ndim} {name} for {x} but was given {v}")
        given.append(v + (None,) * (x.ndim - len(v)))
    if 0 in given[2]:
        raise DimError(f"a slice's step is not 0 but the steps {given[2]} were given")
    found = [bounds(n, *abc) for n, *abc in zip(x.shape, *given)]
    return {k: tuple([f[i] for f in found]) for i, k in enumerate(("starts", "stops", "steps"))}


def _slice_lengths(x: Spec, starts: Ints, stops: Ints, steps: Ints) -> tuple[int, ...]:
    return tuple([bounds(n, a, b, c)[3] for n, a, b, c in zip(x.shape, starts, stops, steps)])


def unsliced(g: Any, shape: Sequence[int], starts: Ints, steps: Ints, value: Any = 0) -> Any:
    """One number in the given shape, with g written where a slice would have taken it from."""
    starts = tuple([a + (n - 1) * s if s < 0 else a for a, s, n in zip(starts, steps, g.shape)])
    back = tuple([i for i, s in enumerate(steps) if s < 0])
    if back:
        g = g.flip(back)
    steps = tuple(map(abs, steps))
    if any(s > 1 for s in steps):  # each element followed by step - 1 others
        sizes = g.shape
        spread = g.reshape(tuple([m for n in sizes for m in (n, 1)]))
        after = tuple([m for s in steps for m in (0, s - 1)])
        g = constant_pad(spread, lo=(0,) * len(after), hi=after, value=value)
        g = g.reshape(tuple([n * s for n, s in zip(sizes, steps)]))
        g = slice_(g, starts=(0,) * g.ndim, stops=tuple([max((n - 1) * s + 1, 0) if n else 0 for n, s in zip(sizes, steps)]))
    after = tuple([n - a - m for n, a, m in zip(shape, starts, g.shape)])
    if g.shape == tuple(shape):
        return g
    return constant_pad(g, lo=starts, hi=after, value=value)


def _slice_attrs(d: Any, shape: Sequence[int]) -> dict[str, Any]:
    ends = [[None if d.bool() else d.int(-n - 1, n + 1) for n in shape] for _ in range(2)]
    steps = [d.one([1, 1, 1, 2, 3, -1, -2]) for _ in shape]
    return {"starts": tuple(ends[0]), "stops": tuple(ends[1]), "steps": tuple(steps)}


def _slice_sample(d: Any) -> Any:
    shape = d.shape()
    return [d.array(shape, d.dtype(EVERY))], _slice_attrs(d, shape)


@movement(name="slice", required=True, canon=_slice_canon, sample=_slice_sample, blocks=_last_slice,
          shape=lambda x, *, starts, stops, steps: _slice_lengths(x, starts, stops, steps),
          vjp=(lambda g, _y, _x, starts, stops, steps: unsliced(g, _x.shape, starts, steps),))  # fmt: skip
def slice_(x, *, starts: Any, stops: Any, steps: Any = None):
    """``x[a:b:c, ...]``: start, stop and step of each dimension as Python has them, negative ones included.

    A kernel is given one start, stop and step for each dimension, the start inside it; where the step is negative and the
    first element is reached, the stop is ``-size - 1``.
    """
    return x[tuple([builtins.slice(a, b, c) for a, b, c in zip(starts, stops, steps)])]


def _set_shape(x: Spec, v: Spec, *, starts: Ints, stops: Ints, steps: Ints) -> tuple[int, ...]:
    hole = _slice_lengths(x, starts, stops, steps)
    if broadcast_shapes(hole, v.shape) != hole:
        raise ShapeError(f"slice_set cannot broadcast {v} to {hole}, the part of {x} to be replaced")
    return x.shape


def _slice_set_expand(x: Any, v: Any, *, starts: Ints, stops: Ints, steps: Ints) -> Any:
    hole = _slice_lengths(x.spec, starts, stops, steps)
    v = v if v.shape == hole else v.expand(hole)
    moved_dims = [i for i, (n, m) in enumerate(zip(x.shape, hole)) if n != m]
    if len(moved_dims) == 1 and all(s == 1 for s in steps):
        (d,) = moved_dims
        return cat([x.narrow(d, 0, starts[d]), v, x.narrow(d, stops[d], x.shape[d] - stops[d])], dim=d)
    mask = unsliced(filled(x, hole, True, bool_), x.shape, starts, steps)
    return OPS["where"](mask, unsliced(v, x.shape, starts, steps), x)


def _slice_set_into(x: Any, v: Any, *, starts: Ints, stops: Ints, steps: Ints) -> Any:
    x[tuple([builtins.slice(a, b, c) for a, b, c in zip(starts, stops, steps)])] = v
    return x


def _slice_set_sample(d: Any) -> Any:
    shape, dtype = d.shape(), d.dtype(EVERY)
    attrs = _slice_attrs(d, shape)
    hole = [bounds(n, *abc)[3] for n, *abc in zip(shape, *attrs.values())]
    return [d.array(shape, dtype), d.array([1 if d.bool() and d.bool() else n for n in hole], dtype)], attrs


@primitive(
    "S, S -> S",
    S=EVERY,
    wide=False,
    blocks=_last_slice,
    canon=_slice_canon,
    shape=_set_shape,
    expand=_slice_set_expand,
    into=_slice_set_into,
    sample=_slice_set_sample,
    method=False,
    vjp=(lambda g, _y, _x, _v, **at: slice_set(g, filled(g, (), 0), **at), lambda g, _y, _x, _v, **at: slice_(g, **at)),
)
def slice_set(x, v, *, starts: Any, stops: Any, steps: Any = None):
    """x with the part that ``slice`` would take replaced by v, broadcast to it."""
    return _slice_set_into(x.copy(), v, starts=starts, stops=stops, steps=steps)


def along(ndim: int, dim: int, value: Any, rest: Any = None) -> tuple[Any, ...]:
    """One value at one dimension and another elsewhere."""
    return tuple([value if i == dim else rest for i in range(ndim)])


def _narrow_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), d, start, length = specs, attrs["dim"], attrs["start"], attrs["length"]
    n = x.shape[d]
    begin = start + n if start < 0 else start
    if not 0 <= begin <= n or length < 0 or begin + length > n:
        raise DimError(f"narrow cannot take {length} from {start} of dimension {d} of {x}, which has {n}")
    return {"dim": d, "start": begin, "length": length}


def _narrow_sample(d: Any) -> Any:
    shape = d.shape(1)
    dim = d.dim(shape)
    start = d.int(0, shape[dim])
    return [d.array(shape, d.dtype(EVERY))], {"dim": dim, "start": start, "length": d.int(0, shape[dim] - start)}


@moved(
    canon=_narrow_canon,
    shape=lambda x, *, dim, start, length: (*x.shape[:dim], length, *x.shape[dim + 1 :]),
    sample=_narrow_sample,
)
def narrow(x, *, dim: Dim, start: int, length: int):
    """``length`` elements of one dimension from ``start``.  Where the start is a tensor, see ``narrow_at``."""
    n = x.ndim
    return slice_(x, starts=along(n, dim, start), stops=along(n, dim, start + length), steps=None)


def _select_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), d, at = specs, attrs["dim"], attrs["index"]
    n = x.shape[d]
    if not -n <= at < n:
        raise DimError(f"select was given the index {at} for dimension {d} of {x}, which has {n}")
    return {"dim": d, "index": at + n if at < 0 else at}


def _select_sample(d: Any) -> Any:
    shape = [*d.shape(0, 3)]
    dim = d.int(0, len(shape))
    shape.insert(dim, d.size(1))
    return [d.array(shape, d.dtype(EVERY))], {"dim": dim, "index": d.int(-shape[dim], shape[dim] - 1)}


@moved(canon=_select_canon, shape=lambda x, *, dim, index: x.shape[:dim] + x.shape[dim + 1 :], sample=_select_sample)
def select(x, *, dim: Dim, index: int):
    """What lies at one index of a dimension, without that dimension."""
    n = x.ndim
    return slice_(x, starts=along(n, dim, index), stops=along(n, dim, index + 1), steps=None).reshape(
        x.shape[:dim] + x.shape[dim + 1 :]
    )


@function()
def get(x: Any, index: int) -> Any:
    """What lies at one index of the first dimension."""
    return x.select(0, index)


@function()
def get_on_dim(x: Any, dim: int, index: int) -> Any:
    """What lies at one index of a dimension."""
    return x.select(dim, index)


@moved(shape=lambda x, *, dims: x.shape, star="dims",
       sample=lambda d: (lambda s: ([d.array(s, d.dtype(EVERY))], {"dims": d.dims(s)}))(d.shape()))  # fmt: skip
def flip(x, *, dims: Dims):
    """Some dimensions in reverse."""
    n = x.ndim
    return slice_(x, starts=(None,) * n, stops=(None,) * n, steps=tuple([-1 if i in dims else 1 for i in range(n)]))


@function()
def fliplr(x: Any) -> Any:
    """The second dimension in reverse."""
    return x.flip((1,))


@function()
def flipud(x: Any) -> Any:
    """The first dimension in reverse."""
    return x.flip((0,))


# -- padding ---------------------------------------------------------------------------------------


def _constant_pad_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), lo, hi = specs, attrs["lo"], attrs["hi"]
    if len(lo) != x.ndim or len(hi) != x.ndim or any(n < 0 for n in lo + hi):
        raise ShapeError(f"constant_pad takes two amounts, at least 0, for each dimension of {x} but was given {lo} and {hi}")
    return {"lo": lo, "hi": hi, "value": attrs["value"]}


def _constant_pad_sample(d: Any) -> Any:
    shape = d.shape()
    lo, hi = [tuple([d.int(0, 3) for _ in shape]) for _ in range(2)]
    dtype = d.dtype(EVERY)
    return [d.array(shape, dtype)], {"lo": lo, "hi": hi, "value": _filler(d, dtype)}


def _filler(d: Any, dtype: Any) -> Any:
    """A number to fill with: whole, or where the dtype has them broken, negative, infinite."""
    return d.one([0, 1, 0.375, -1.5, -math.inf, 3, 2.0]) if dtype.kind in "fc" else d.int(0, 3)


@movement(
    required=True,
    method=False,
    canon=_constant_pad_canon,
    sample=_constant_pad_sample,
    shape=lambda x, *, lo, hi, value: [a + n + b for a, n, b in zip(lo, x.shape, hi)],
    vjp=(lambda g, _y, _x, lo, hi, value: slice_(g, starts=lo, stops=tuple([a + n for a, n in zip(lo, _x.shape)])),),
)
def constant_pad(x, *, lo: Ints, hi: Ints, value: Any = 0):
    """One number written around x: ``lo`` elements before and ``hi`` after, for each dimension from the first."""
    y = np.empty([a + n + b for a, n, b in zip(lo, x.shape, hi)], x.dtype)
    y[...] = np.asarray(value).astype(x.dtype)
    y[tuple([builtins.slice(a, a + n) for a, n in zip(lo, x.shape)])] = x
    return y


def _pad_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), pads, mode, value = specs, attrs["pad"], attrs["mode"], attrs["value"]
    if len(pads) % 2 or len(pads) > 2 * x.ndim:
        raise ShapeError(
            f"pad takes two amounts for each of at most {x.ndim} dimensions of {x}, the last first, but was given {pads}"
        )
    if mode not in ("constant", "reflect", "replicate", "circular"):
        raise DTypeError(f"pad's mode is constant, reflect, replicate or circular but {mode!r} was given")
    for i in range(len(pads) // 2):
        d = x.ndim - 1 - i
        n, lo, hi = x.shape[d], pads[2 * i], pads[2 * i + 1]
        limit = {"constant": None, "reflect": n - 1, "replicate": None if n else 0, "circular": n + min(lo, 0) + min(hi, 0)}[mode]
        if limit is not None and max(lo, hi) > max(limit, 0):
            raise ShapeError(f"pad cannot {mode} {max(lo, hi)} elements of dimension {d} of {x}; at most {max(limit, 0)}")
        if n + lo + hi < 0 or -lo > n or -hi > n:
            raise ShapeError(f"pad cannot take {-lo} and {-hi} elements from dimension {d} of {x}, which has {n}")
    return {"pad": pads, "mode": mode, "value": (value or 0) if mode == "constant" else None}


def _padded(x: Spec, *, pad: Ints, **_: Any) -> list[int]:
    lo, hi = _pad_sides(x.ndim, pad)
    return [n + a + b for n, a, b in zip(x.shape, lo, hi)]


def _pad_sides(ndim: int, pad: Ints) -> tuple[tuple[int, ...], tuple[int, ...]]:
    full = tuple(pad) + (0,) * (2 * ndim - len(pad))
    return full[::2][::-1], full[1::2][::-1]


def _pad_sample(d: Any) -> Any:
    shape = d.shape(1)
    mode = d.one(["constant", "reflect", "replicate", "circular"])
    limits = [
        {"constant": 3, "reflect": n - 1, "replicate": 3 if n else 0, "circular": n - n // 2 * 2}[mode] for n in reversed(shape)
    ]
    pads = [d.int(-(n // 2), max(0, min(3, m))) for n, m in zip(reversed(shape), limits) for _ in range(2)]
    dtype = d.dtype(EVERY)
    return [d.array(shape, dtype)], {
        "pad": tuple(pads),
        "mode": mode,
        "value": _filler(d, dtype) if mode == "constant" else None,
    }


@moved(canon=_pad_canon, shape=_padded, sample=_pad_sample)
def pad(x, *, pad: Ints, mode: str = "constant", value: Any = None):
    """Elements written around x: two amounts for each dimension, the last first; negative ones take away.

    ``mode`` is constant (then ``value``), reflect (the edge not repeated), replicate (the edge repeated) or circular.
    """
    lo, hi = _pad_sides(x.ndim, pad)
    if mode == "constant":
        if any(a < 0 for a in lo + hi):
            starts, stops = [max(-a, 0) for a in lo], [n - max(-b, 0) for n, b in zip(x.shape, hi)]
            x = slice_(x, starts=tuple(starts), stops=tuple(stops))
            lo, hi = [tuple([max(a, 0) for a in side]) for side in (lo, hi)]
        return constant_pad(x, lo=lo, hi=hi, value=value) if any(lo + hi) else x
    for d, (a, b) in enumerate(zip(lo, hi)):
        x = _wrapped(x, d, a, b, mode)
    return x


def _wrapped(x: Any, d: int, before: int, after: int, mode: str) -> Any:
    """x with elements of its own before and after along one dimension."""
    if mode == "circular" and min(before, after) < 0:
        x = x.narrow(d, max(-before, 0), x.shape[d] + min(before, 0) + min(after, 0))
        before, after = max(before, 0), max(after, 0)
    n = x.shape[d]
    parts = [x]
    if mode == "reflect":
        fronts, backs = (1, before + 1), (n - 1 - after, n - 1)
    elif mode == "circular":
        fronts, backs = (n - before, n), (0, after)
    else:
        fronts, backs = (0, 1), (n - 1, n)
    for at, (amount, (a, b)) in enumerate(((before, fronts), (after, backs))):
        if amount > 0:
            part = x.narrow(d, a, b - a)
            if mode == "reflect":
                part = part.flip((d,))
            elif mode == "replicate":
                part = part.expand((*x.shape[:d], amount, *x.shape[d + 1 :]))
            parts.insert(0 if at == 0 else len(parts), part)
    y = cat(parts, dim=d) if len(parts) > 1 else x
    start = max(-before, 0)
    length = n + before + after
    return y if y.shape[d] == length else y.narrow(d, start, length)


@function()
def pad_with_same(x: Any, dim: int, left: int, right: int) -> Any:
    """The first and the last element of one dimension repeated before and after."""
    d = normalize_dim(dim, x.ndim, "pad_with_same's dim")
    return x.pad((0, 0) * (x.ndim - 1 - d) + (left, right), "replicate")


@function()
def pad_with_zeros(x: Any, dim: int, left: int, right: int) -> Any:
    """Zeros before and after along one dimension."""
    d = normalize_dim(dim, x.ndim, "pad_with_zeros's dim")
    return x.pad((0, 0) * (x.ndim - 1 - d) + (left, right))


# -- joining ---------------------------------------------------------------------------------------


def _cat_shape(*xs: Spec, dim: int) -> tuple[int, ...]:
    if not xs:
        raise ShapeError("cat takes at least one tensor but was given none")
    first = xs[0].shape
    for x in xs[1:]:
        if x.ndim != len(first) or any(n != m for i, (n, m) in enumerate(zip(first, x.shape)) if i != dim):
            raise ShapeError(f"cat takes tensors that differ only along dimension {dim} but was given {', '.join(map(str, xs))}")
    return (*first[:dim], sum(x.shape[dim] for x in xs), *first[dim + 1 :])


def _cat_vjp(g: Any, _y: Any, *_xs: Any, dim: int) -> tuple[Any, ...]:
    found, at = [], 0
    for x in _xs:
        found.append(g.narrow(dim, at, x.shape[dim]))
        at += x.shape[dim]
    return tuple(found)


def _cat_sample(d: Any) -> Any:
    shape, dtype = d.shape(1), d.dtype(EVERY)
    dim = d.dim(shape)
    xs = []
    for _ in range(d.int(1, 3)):
        sizes = list(shape)
        sizes[dim] = d.size(0)
        xs.append(d.array(sizes, dtype))
    return xs, {"dim": dim}


@primitive("S* -> S", S=EVERY, wide=False, required=True, method=False, shape=_cat_shape, vjp=_cat_vjp, sample=_cat_sample,
           blocks=as_they_are)  # fmt: skip
def cat(*tensors, dim: Dim = 0):
    """Tensors joined along a dimension."""
    return np.concatenate(tensors, dim)


another_name(cat, "concat", "concatenate")


def _stack_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    if not specs:
        raise ShapeError("stack takes at least one tensor but was given none")
    if any(x.shape != specs[0].shape for x in specs):
        raise ShapeError(f"stack takes tensors of one shape but was given {', '.join(map(str, specs))}")
    return dict(attrs)


def _stack_sample(d: Any) -> Any:
    shape, dtype = d.shape(), d.dtype(EVERY)
    return [d.array(shape, dtype) for _ in range(d.int(1, 3))], {"dim": d.int(-len(shape) - 1, len(shape))}


@composite("S* -> S", S=EVERY, method=False, blocks=True, canon=_stack_canon, sample=_stack_sample,
           shape=lambda *xs, dim: (*xs[0].shape[:dim], len(xs), *xs[0].shape[dim:]))  # fmt: skip
def stack(*tensors, dim: NewDim = 0):
    """Tensors of one shape joined along a new dimension."""
    return cat([x.unsqueeze(dim) for x in tensors], dim=dim)


def _atleast(x: Any, n: int) -> Any:
    if n == 1:
        return x if x.ndim else x.reshape((1,))
    if n == 2:
        return x if x.ndim >= 2 else x.reshape((1, -1) if x.ndim else (1, 1))
    return x if x.ndim >= 3 else x.unsqueeze(-1) if x.ndim == 2 else x.reshape((1, x.numel(), 1))


def _each_atleast(tensors: Sequence[Any], n: int) -> Any:
    alone = len(tensors) == 1 and not isinstance(tensors[0], (tuple, list))
    found = tuple([_atleast(x, n) for x in operands(tensors, f"atleast_{n}d")])
    return found[0] if alone else found


@function(method=False)
def atleast_1d(*tensors: Any) -> Any:
    """Tensors with at least one dimension."""
    return _each_atleast(tensors, 1)


@function(method=False)
def atleast_2d(*tensors: Any) -> Any:
    """Tensors with at least two dimensions, new ones in front."""
    return _each_atleast(tensors, 2)


@function(method=False)
def atleast_3d(*tensors: Any) -> Any:
    """Tensors with at least three dimensions; a matrix gets the new one behind."""
    return _each_atleast(tensors, 3)


@function(method=False)
def hstack(tensors: Any) -> Any:
    """Joined along the second dimension; vectors along their only one."""
    xs = [_atleast(x, 1) for x in operands([tensors], "hstack")]
    return cat(xs, dim=0 if xs and xs[0].ndim == 1 else 1)


@function(method=False)
def vstack(tensors: Any) -> Any:
    """Joined along the first dimension; vectors as rows."""
    return cat([_atleast(x, 2) for x in operands([tensors], "vstack")], dim=0)


@function(method=False)
def row_stack(tensors: Any) -> Any:
    """Another name of ``vstack``."""
    return vstack(tensors)


@function(method=False)
def dstack(tensors: Any) -> Any:
    """Joined along the third dimension."""
    return cat([_atleast(x, 3) for x in operands([tensors], "dstack")], dim=2)


@function(method=False)
def column_stack(tensors: Any) -> Any:
    """Joined along the second dimension; vectors as columns."""
    return cat([x if x.ndim > 1 else x.reshape((-1, 1)) for x in operands([tensors], "column_stack")], dim=1)


# -- taking apart ----------------------------------------------------------------------------------


def _parts(x: Any, d: int, sizes: Sequence[int]) -> tuple[Any, ...]:
    ends = list(itertools.accumulate(sizes))
    return tuple([x.narrow(d, e - n, n) for e, n in zip(ends, sizes)])


@function()
def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """Pieces of one size along a dimension (the last may be smaller), or of the given sizes."""
    x, given = as_operand(tensor, "split"), split_size_or_sections
    d = normalize_dim(dim, x.ndim, "split's dim")
    n = x.shape[d]
    if isinstance(given, (tuple, list)):
        sizes = [int(s) for s in given]
        if sum(sizes) != n or any(s < 0 for s in sizes):
            raise ShapeError(f"split takes sizes that sum to {n}, the length of dimension {d} of {x.spec}, but was given {given}")
        return _parts(x, d, sizes)
    step = int(given)
    if step < 0 or (step == 0 and n):
        raise ShapeError(f"split takes a size of at least 1 but was given {given} for {x.spec}")
    return _parts(x, d, [min(step, n - at) for at in range(0, n, step)] if n else [0])


@function()
def split_with_sizes(x: Any, split_sizes: Any, dim: int = 0) -> tuple[Any, ...]:
    """Pieces of the given sizes along a dimension."""
    return split(x, list(split_sizes), dim)


@function()
def chunk(x: Any, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """At most ``chunks`` pieces of equal size along a dimension; the last may be smaller."""
    x = as_operand(x, "chunk")
    d = normalize_dim(dim, x.ndim, "chunk's dim")
    if chunks < 1:
        raise ShapeError(f"chunk takes at least 1 chunk but was given {chunks}")
    n = x.shape[d]
    if n == 0:
        return _parts(x, d, [0] * chunks)
    return split(x, -(-n // chunks), d)


@function()
def tensor_split(x: Any, indices_or_sections: Any, dim: int = 0) -> tuple[Any, ...]:
    """A number of pieces whose sizes differ by one at most, or pieces cut at the given indices."""
    x, given = as_operand(x, "tensor_split"), indices_or_sections
    d = normalize_dim(dim, x.ndim, "tensor_split's dim")
    n = x.shape[d]
    given = given.tolist() if hasattr(given, "tolist") else given
    if isinstance(given, (tuple, list)):
        cuts = [bounds_at(n, int(c)) for c in given]
        pairs = zip([0, *cuts], [*cuts, n])
        return tuple([x.narrow(d, min(a, n), max(b - a, 0)) for a, b in pairs])
    if given < 1:
        raise ShapeError(f"tensor_split takes at least 1 section but was given {given}")
    return _parts(x, d, [n // given + (i < n % given) for i in range(given)])


def bounds_at(n: int, at: int) -> int:
    """A cut between elements, as a slice has it: counted from the end where negative, and within [0, n]."""
    return builtins.slice(at, None).indices(n)[0]


@function()
def hsplit(x: Any, indices_or_sections: Any) -> tuple[Any, ...]:
    """``tensor_split`` along the second dimension, or the only one."""
    return _even_split("hsplit", x, indices_or_sections, 0 if x.ndim == 1 else 1, 1)


@function()
def vsplit(x: Any, indices_or_sections: Any) -> tuple[Any, ...]:
    """``tensor_split`` along the first of at least two dimensions."""
    return _even_split("vsplit", x, indices_or_sections, 0, 2)


@function()
def dsplit(x: Any, indices_or_sections: Any) -> tuple[Any, ...]:
    """``tensor_split`` along the third dimension."""
    return _even_split("dsplit", x, indices_or_sections, 2, 3)


def _even_split(name: str, x: Any, given: Any, dim: int, least: int) -> tuple[Any, ...]:
    if x.ndim < least:
        raise ShapeError(f"{name} takes at least {least} dimensions but was given {x.spec}")
    if isinstance(given, int) and (given < 1 or x.shape[dim] % given):
        raise ShapeError(f"{name} cannot cut dimension {dim} of {x.spec} into {given} equal pieces; use tensor_split")
    return tensor_split(x, given, dim)


@function()
def unbind(x: Any, dim: int = 0) -> tuple[Any, ...]:
    """What lies at each index of a dimension."""
    x = as_operand(x, "unbind")
    d = normalize_dim(dim, x.ndim, "unbind's dim")
    return tuple([x.select(d, i) for i in range(x.shape[d])])


# -- triangles and diagonals -----------------------------------------------------------------------


def _band(x: Any, diagonal: int, lower: bool) -> Any:
    if x.ndim < 2:
        raise ShapeError(f"{'tril' if lower else 'triu'} takes at least two dimensions but was given {x.spec}")
    m, n = x.shape[-2:]
    rows, columns = iota(x, m).reshape((m, 1)), iota(x, n, -diagonal)
    below = columns.lt(rows + 1) if lower else rows.lt(columns + 1)
    return OPS["where"](below, x, filled(x, (), 0))


def _matrix_sample(types: Any = EVERY) -> Callable[[Any], Any]:
    def sample(d: Any) -> Any:
        return [d.array(d.shape(2), d.dtype(types))], {"diagonal": d.int(-3, 3)}

    return sample


_triangle = partial(composite, "S[m,n] -> S[m,n]", S=EVERY, wide=False, sample=_matrix_sample())


@_triangle(vjp=(lambda g, _y, _x, diagonal: g.tril(diagonal),))
def tril(x, *, diagonal: int = 0):
    """The elements on and below a diagonal of the last two dimensions, the others zero."""
    return _band(x, diagonal, True)


@_triangle(vjp=(lambda g, _y, _x, diagonal: g.triu(diagonal),))
def triu(x, *, diagonal: int = 0):
    """The elements on and above a diagonal of the last two dimensions, the others zero."""
    return _band(x, diagonal, False)


def _diagonal_length(m: int, n: int, offset: int) -> int:
    return max(min(m, n - offset) if offset >= 0 else min(m + offset, n), 0)


def _diagonal_canon(name: str, more: int = 0) -> Callable[[Sequence[Spec], Mapping[str, Any]], dict[str, Any]]:
    def canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
        ndim = specs[0].ndim + more
        found = {k: normalize_dim(attrs[k], ndim, f"{name}'s {k}") for k in ("dim1", "dim2")}
        if found["dim1"] == found["dim2"]:
            raise DimError(f"{name} takes two different dimensions but was given {attrs['dim1']} and {attrs['dim2']}")
        return {**attrs, **found}

    return canon


def _diagonal_shape(x: Spec, *, offset: int, dim1: int, dim2: int) -> tuple[int, ...]:
    rest = [n for i, n in enumerate(x.shape) if i not in (dim1, dim2)]
    return (*rest, _diagonal_length(x.shape[dim1], x.shape[dim2], offset))


def _diagonal_sample(d: Any) -> Any:
    shape = d.shape(2)
    a = d.dim(shape)
    b = (a + d.int(1, len(shape) - 1)) % len(shape)
    return [d.array(shape, d.dtype(EVERY))], {"offset": d.int(-3, 3), "dim1": a, "dim2": b - len(shape) if d.bool() else b}


@moved(
    canon=_diagonal_canon("diagonal"),
    shape=_diagonal_shape,
    sample=_diagonal_sample,
    vjp=(lambda g, _y, _x, offset, dim1, dim2: _on_diagonal(g, _x.shape[dim1], _x.shape[dim2], offset, dim1, dim2),),
)
def diagonal(x, *, offset: int = 0, dim1: int = 0, dim2: int = 1):
    """The elements on a diagonal of two dimensions, as the last dimension."""
    m, n = x.shape[dim1], x.shape[dim2]
    length = _diagonal_length(m, n, offset)
    rest = tuple([i for i in range(x.ndim) if i not in (dim1, dim2)])
    y = x.permute((*rest, dim1, dim2))
    y = y.reshape((*y.shape[:-2], m * n))
    start = offset if offset >= 0 else -offset * n
    at = len(rest)
    stop = start + (length - 1) * (n + 1) + 1 if length else start
    return slice_(y, starts=along(at + 1, at, start), stops=along(at + 1, at, stop), steps=along(at + 1, at, n + 1))


def _on_diagonal(x: Any, m: int, n: int, offset: int, dim1: int, dim2: int) -> Any:
    """Zeros with the last dimension of x on the diagonal of two new dimensions, m by n, at dim1 and dim2."""
    lead, length = x.shape[:-1], x.shape[-1]
    keep, zero = (0,) * len(lead), 0
    start = offset if offset >= 0 else -offset * n
    if length and n:
        y = constant_pad(x.reshape((*lead, length, 1)), lo=(*keep, 0, 0), hi=(*keep, 0, n)).reshape((*lead, length * (n + 1)))
        used = (length - 1) * (n + 1) + 1
        y = slice_(y, starts=(0,) * y.ndim, stops=along(y.ndim, y.ndim - 1, used))
        y = constant_pad(y, lo=(*keep, start), hi=(*keep, m * n - start - used)).reshape((*lead, m, n))
    else:
        y = filled(x, (*lead, m, n), zero)
    rest = iter(range(len(lead)))
    order = {dim1: len(lead), dim2: len(lead) + 1}
    return y.permute(tuple([order[i] if i in order else next(rest) for i in range(len(lead) + 2)]))


def _diag_embed_shape(x: Spec, *, offset: int, dim1: int, dim2: int) -> tuple[int, ...]:
    n = x.shape[-1] + abs(offset)
    rest = iter(x.shape[:-1])
    return tuple([n if i in (dim1, dim2) else next(rest) for i in range(x.ndim + 1)])


def _diag_embed_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    if not specs[0].ndim:
        raise ShapeError(f"diag_embed takes at least one dimension but was given {specs[0]}")
    return _diagonal_canon("diag_embed", 1)(specs, attrs)


def _diag_embed_sample(d: Any) -> Any:
    shape = d.shape(1)
    a = d.int(0, len(shape))
    b = (a + d.int(1, len(shape))) % (len(shape) + 1)
    return [d.array(shape, d.dtype(EVERY))], {"offset": d.int(-3, 3), "dim1": a, "dim2": b - len(shape) - 1 if d.bool() else b}


@moved(canon=_diag_embed_canon, shape=_diag_embed_shape, sample=_diag_embed_sample,
       vjp=(lambda g, _y, _x, offset, dim1, dim2: g.diagonal(offset, dim1, dim2),))  # fmt: skip
def diag_embed(x, *, offset: int = 0, dim1: int = -2, dim2: int = -1):
    """Matrices with the last dimension of x on a diagonal and zeros elsewhere."""
    n = x.shape[-1] + abs(offset)
    return _on_diagonal(x, n, n, offset, dim1, dim2)


@function()
def diag(x: Any, diagonal: int = 0) -> Any:
    """A matrix with a vector on its diagonal, or the diagonal of a matrix."""
    if x.ndim not in (1, 2):
        raise ShapeError(f"diag takes a vector or a matrix but was given {x.spec}; use diagonal or diag_embed")
    return x.diag_embed(diagonal) if x.ndim == 1 else OPS["diagonal"](x, diagonal)


@function()
def diagflat(x: Any, offset: int = 0) -> Any:
    """A matrix with all elements of x on its diagonal."""
    return x.reshape((-1,)).diag_embed(offset)


def _diagonal_scatter_shape(x: Spec, src: Spec, **attrs: Any) -> tuple[int, ...]:
    wanted = _diagonal_shape(x, **attrs)
    if src.shape != wanted:
        raise ShapeError(f"diagonal_scatter takes a source of shape {wanted} for {x} but was given {src}")
    return x.shape


def _diagonal_scatter_sample(d: Any) -> Any:
    (x,), attrs = _diagonal_sample(d)
    spec = Spec(x.shape, bool_)
    wanted = _diagonal_shape(spec, **_diagonal_canon("diagonal")([spec], attrs))
    return [x, d.array(wanted, as_dtype(x.dtype))], attrs


@composite(
    "S, S -> S",
    S=EVERY,
    canon=_diagonal_canon("diagonal_scatter"),
    shape=_diagonal_scatter_shape,
    sample=_diagonal_scatter_sample,
)
def diagonal_scatter(x, src, *, offset: int = 0, dim1: int = 0, dim2: int = 1):
    """x with a diagonal of two dimensions replaced."""
    m, n = x.shape[dim1], x.shape[dim2]
    length = _diagonal_length(m, n, offset)
    mask = _on_diagonal(filled(x, (length,), True, bool_), m, n, offset, 0, 1)
    if dim1 > dim2:
        mask = mask.permute((1, 0))
    low, high = sorted((dim1, dim2))
    mask = mask.reshape(tuple([k if i in (low, high) else 1 for i, k in enumerate(x.shape)]))
    return OPS["where"](mask, _on_diagonal(src, m, n, offset, dim1, dim2), x)


def _slice_scatter_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    x, d = specs[0], axis(attrs["dim"], specs[0].ndim, "slice_scatter's dim")
    if attrs["step"] < 1:
        raise DimError(f"slice_scatter's step is at least 1 but {attrs['step']} was given")
    start, stop, step = builtins.slice(attrs["start"], attrs["end"], attrs["step"]).indices(x.shape[d])
    return {"dim": d, "start": start, "end": max(stop, start), "step": step}


def _slice_scatter_shape(x: Spec, src: Spec, *, dim: int, start: int, end: int, step: int) -> tuple[int, ...]:
    wanted = (*x.shape[:dim], len(range(start, end, step)), *x.shape[dim + 1 :])
    if src.shape != wanted:
        raise ShapeError(f"slice_scatter takes a source of shape {wanted} for {x} but was given {src}")
    return x.shape


def _slice_scatter_sample(d: Any) -> Any:
    shape, dtype = d.shape(1), d.dtype(EVERY)
    dim = d.int(0, len(shape) - 1)
    n = shape[dim]
    a, b, s = d.int(-n, n), d.int(-n, n), d.int(1, 3)
    size = len(range(*builtins.slice(a, b, s).indices(n)))
    src = d.array([*shape[:dim], size, *shape[dim + 1 :]], dtype)
    return [d.array(shape, dtype), src], {"dim": dim, "start": a, "end": b, "step": s}


@composite("S, S -> S", S=EVERY, canon=_slice_scatter_canon, shape=_slice_scatter_shape, sample=_slice_scatter_sample)
def slice_scatter(x, src, *, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1):
    """x with ``start:end:step`` of one dimension replaced."""
    n = x.ndim
    return slice_set(x, src, starts=along(n, dim, start), stops=along(n, dim, end), steps=along(n, dim, step))


def _select_scatter_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    return _select_canon(specs[:1], attrs)


def _select_scatter_shape(x: Spec, src: Spec, *, dim: int, index: int) -> tuple[int, ...]:
    wanted = x.shape[:dim] + x.shape[dim + 1 :]
    if src.shape != wanted:
        raise ShapeError(f"select_scatter takes a source of shape {wanted} for {x} but was given {src}")
    return x.shape


def _select_scatter_sample(d: Any) -> Any:
    (x,), attrs = _select_sample(d)
    dim = attrs["dim"]
    return [x, d.array([*x.shape[:dim], *x.shape[dim + 1 :]], as_dtype(x.dtype))], attrs


@composite("S, S -> S", S=EVERY, canon=_select_scatter_canon, shape=_select_scatter_shape, sample=_select_scatter_sample)
def select_scatter(x, src, *, dim: Dim, index: int):
    """x with what lies at one index of a dimension replaced."""
    n = x.ndim
    return slice_set(x, src.unsqueeze(dim), starts=along(n, dim, index), stops=along(n, dim, index + 1))


# -- repetition ------------------------------------------------------------------------------------


def _roll_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), shifts, dims = specs, attrs["shifts"], attrs["dims"]
    if dims is None:
        if len(shifts) != 1:
            raise ShapeError(f"roll takes one shift where no dimensions are given but was given {shifts}")
        return {"shifts": (shifts[0] % x.size if x.size else 0,), "dims": None}
    dims = dims if isinstance(dims, tuple) else (dims,)
    if len(dims) != len(shifts):
        raise ShapeError(f"roll takes one shift for each dimension but was given {shifts} and {dims}")
    total: dict[int, int] = {}
    for s, d in zip(shifts, dims):
        d = normalize_dim(d, x.ndim, "roll's dims")
        total[d] = total.get(d, 0) + s
    return {"shifts": tuple([total[d] % max(x.shape[d], 1) for d in sorted(total)]), "dims": tuple(sorted(total))}


def _roll_sample(d: Any) -> Any:
    shape = d.shape()
    dims = [d.dim(shape) for _ in range(d.int(1, 3))] if shape and d.bool() else None
    shifts = tuple([d.int(-5, 5) for _ in dims or [0]])
    return [d.array(shape, d.dtype(EVERY))], {"shifts": shifts, "dims": None if dims is None else tuple(dims)}


@moved(canon=_roll_canon, shape=lambda x, *, shifts, dims: x.shape, sample=_roll_sample)
def roll(x, *, shifts: Ints, dims: Any = None):
    """Elements moved along dimensions, those that leave at the end coming back at the front; all in a row without ``dims``."""
    if dims is None:
        return x.reshape((-1,)).roll(shifts, (0,)).reshape(x.shape)
    for s, d in zip(shifts, dims):
        n = x.shape[d]
        if s:
            x = cat([x.narrow(d, n - s, s), x.narrow(d, 0, n - s)], dim=d)
    return x


def _rot90_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,) = specs
    dims = tuple([normalize_dim(d, x.ndim, "rot90's dims") for d in attrs["dims"]])
    if len(dims) != 2 or dims[0] == dims[1]:
        raise DimError(f"rot90 takes two different dimensions but was given {attrs['dims']}")
    return {"k": attrs["k"] % 4, "dims": dims}


def _rot90_shape(x: Spec, *, k: int, dims: Ints) -> list[int]:
    shape = list(x.shape)
    if k % 2:
        shape[dims[0]], shape[dims[1]] = x.shape[dims[1]], x.shape[dims[0]]
    return shape


def _rot90_sample(d: Any) -> Any:
    shape = d.shape(2)
    a = d.dim(shape)
    return [d.array(shape, d.dtype(EVERY))], {"k": d.int(-5, 5), "dims": (a, (a + d.int(1, len(shape) - 1)) % len(shape))}


@moved(canon=_rot90_canon, shape=_rot90_shape, sample=_rot90_sample)
def rot90(x, *, k: int = 1, dims: Ints = (0, 1)):
    """Turned by k quarters from the first of two dimensions towards the second."""
    a, b = dims
    if k == 0:
        return OPS["alias"](x)
    if k == 2:
        return x.flip(dims)
    return x.flip((b,)).transpose(a, b) if k == 1 else x.transpose(a, b).flip((b,))


def _repeat_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), repeats = specs, attrs["repeats"]
    if len(repeats) < x.ndim or any(r < 0 for r in repeats):
        raise ShapeError(f"repeat takes a count, at least 0, for each dimension of {x} and any in front but was given {repeats}")
    return {"repeats": repeats}


def _repeat_shape(x: Spec, *, repeats: Ints) -> list[int]:
    return [n * r for n, r in zip((1,) * (len(repeats) - x.ndim) + x.shape, repeats)]


def _repeat_sample(d: Any) -> Any:
    shape = d.shape(0, 3)
    return [d.array(shape, d.dtype(EVERY))], {"repeats": tuple([d.int(0, 3) for _ in range(len(shape) + d.int(0, 2))])}


@moved(canon=_repeat_canon, shape=_repeat_shape, star="repeats", sample=_repeat_sample)
def repeat(x, *, repeats: Ints):
    """Copies of x side by side, a count for each dimension and for new ones in front."""
    sizes = (1,) * (len(repeats) - x.ndim) + x.shape
    spread = x.reshape(tuple([m for n in sizes for m in (1, n)])).expand(
        tuple([m for r, n in zip(repeats, sizes) for m in (r, n)])
    )
    return spread.reshape(tuple([n * r for n, r in zip(sizes, repeats)]))


@function()
def tile(x: Any, *dims: Any) -> Any:
    """Copies of x side by side; counts are filled up with ones in front."""
    counts = tuple(dims[0]) if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    return x.repeat((1,) * (x.ndim - len(counts)) + tuple(counts))


@function()
def repeat_interleave(x: Any, repeats: Any = None, dim: int | None = None, output_size: int | None = None) -> Any:
    """Each element of a dimension (of all elements in a row without ``dim``) several times over.

    ``repeats`` is one count, or one for each element: a tensor of integers, whose values must then be known.  Given nothing
    but a tensor of counts, the position of each is repeated that often.
    """
    from .select import known, placed

    if repeats is None:
        counts = known(x, "repeat_interleave")
        return placed(x, np.repeat(np.arange(counts.size), counts))
    if dim is None:
        x, dim = x.reshape((-1,)), 0
    d = axis(dim, x.ndim, "repeat_interleave's dim")
    if not x.ndim:
        x = x.reshape((1,))
    n = x.shape[d]
    if isinstance(repeats, (int, np.integer)):
        if repeats < 0:
            raise ShapeError(f"repeat_interleave takes counts of at least 0 but was given {repeats}")
        spread = x.unsqueeze(d + 1).expand((*x.shape[: d + 1], int(repeats), *x.shape[d + 1 :]))
        return spread.reshape((*x.shape[:d], n * int(repeats), *x.shape[d + 1 :]))
    counts = known(repeats, "repeat_interleave with counts for each element", "give one count as an integer")
    if counts.dtype.kind not in "iu" or counts.ndim > 1 or counts.size not in (1, n) or (counts < 0).any():
        raise ShapeError(
            f"repeat_interleave takes {n} counts, integers of at least 0, for dimension {d} of {x.spec} but was given {repeats}"
        )
    ids = np.repeat(np.arange(n), np.broadcast_to(counts, (n,)))
    if output_size is not None and output_size != ids.size:
        raise ShapeError(f"repeat_interleave's counts sum to {ids.size} but output_size={output_size} was given")
    return x.index_select(d, placed(x, ids))


# -- windows ---------------------------------------------------------------------------------------


def _unfold_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), size, step = specs, attrs["size"], attrs["step"]
    d = axis(attrs["dimension"], x.ndim, "unfold's dimension")
    n = x.shape[d] if x.ndim else 1
    if not 0 <= size <= n or step < 1:
        raise ShapeError(
            f"unfold takes a size from 0 to {n} and a step of at least 1 for dimension {d} of {x} but was given {size} and {step}"
        )
    return {"dimension": d, "size": size, "step": step}


def _unfold_shape(x: Spec, *, dimension: int, size: int, step: int) -> tuple[int, ...]:
    if not x.ndim:
        return (size,)
    return (*x.shape[:dimension], (x.shape[dimension] - size) // step + 1, *x.shape[dimension + 1 :], size)


def _unfold_sample(d: Any) -> Any:
    shape = d.shape(1)
    dim = d.dim(shape)
    return [d.array(shape, d.dtype(EVERY))], {"dimension": dim, "size": d.int(0, shape[dim]), "step": d.int(1, 3)}


@moved(canon=_unfold_canon, shape=_unfold_shape, sample=_unfold_sample)
def unfold(x, *, dimension: int, size: int, step: int):
    """Windows of ``size`` elements along a dimension, ``step`` apart, the windows' elements in a new last dimension."""
    if not x.ndim:
        return x.reshape((1,)).narrow(0, 0, size)
    d, count = dimension, (x.shape[dimension] - size) // step + 1
    if size <= step and count * step <= x.shape[d]:  # windows that do not overlap are a reshape
        y = x.narrow(d, 0, count * step).reshape((*x.shape[:d], count, step, *x.shape[d + 1 :])).narrow(d + 1, 0, size)
    else:
        ids = (iota(x, count) * step).reshape((count, 1)) + iota(x, size)
        y = x.index_select(d, ids.reshape((-1,))).reshape((*x.shape[:d], count, size, *x.shape[d + 1 :]))
    order = [i for i in range(y.ndim) if i != d + 1]
    return y.permute((*order, d + 1))


# -- grids -----------------------------------------------------------------------------------------


@function(method=False)
def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Any, ...]:
    """Each vector repeated over the dimensions of all others; ``xy`` exchanges the first two dimensions."""
    xs = operands(tensors, "meshgrid")
    if indexing not in ("ij", "xy"):
        raise DTypeError(f"meshgrid's indexing is 'ij' or 'xy' but {indexing!r} was given")
    if any(x.ndim > 1 for x in xs):
        raise ShapeError(f"meshgrid takes vectors but was given {', '.join(str(x.spec) for x in xs)}")
    shape = tuple([x.numel() for x in xs])
    grids = [x.reshape(tuple([n if i == j else 1 for j, n in enumerate(shape)])).expand(shape) for i, x in enumerate(xs)]
    return tuple([g.transpose(0, 1) if indexing == "xy" and len(xs) > 1 else g for g in grids])


@function(method=False)
def cartesian_prod(*tensors: Any) -> Any:
    """Every choice of one element of each vector, a row each."""
    xs = operands(tensors, "cartesian_prod")
    if any(x.ndim != 1 for x in xs):
        raise ShapeError(f"cartesian_prod takes vectors but was given {', '.join(str(x.spec) for x in xs)}")
    return xs[0] if len(xs) == 1 else stack([g.reshape((-1,)) for g in meshgrid(*xs)], dim=1)


@function(method=False)
def combinations(x: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """Every choice of r elements of a vector, in their order, a row each."""
    from .select import placed

    if x.ndim != 1 or r < 0:
        raise ShapeError(f"combinations takes a vector and a count of at least 0 but was given {x.spec} and {r}")
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    if r == 0:
        return filled(x, (0,), 0)
    rows = np.array(list(choose(range(x.shape[0]), r)), np.int64).reshape(-1, r)
    return x.index_select(0, placed(x, rows.reshape(-1))).reshape(rows.shape)


@function(method=False)
def block_diag(*tensors: Any) -> Any:
    """Matrices along the diagonal of one, zeros elsewhere; vectors count as rows."""
    xs = [_atleast(x, 2) for x in operands(tensors, "block_diag")]
    if any(x.ndim != 2 for x in xs):
        raise ShapeError(f"block_diag takes at most two dimensions but was given {', '.join(str(x.spec) for x in xs)}")
    columns, rows, before = sum(x.shape[1] for x in xs), [], 0
    for x in xs:
        n = x.shape[1]
        rows.append(constant_pad(x, lo=(0, before), hi=(0, columns - before - n)))
        before += n
    return cat(rows, dim=0)


def _triangle_indices(name: str, row: int, col: int, offset: int, dtype: Any, device: Any) -> Any:
    from ..create import as_tensor

    if row < 0 or col < 0:
        raise ShapeError(f"{name} takes sizes of at least 0 but was given {row} and {col}")
    found = np.tril_indices(row, offset, col) if name == "tril_indices" else np.triu_indices(row, offset, col)
    return as_tensor(np.stack(found), dtype=dtype or int64, device=device)


@function(method=False)
def tril_indices(row: int, col: int, offset: int = 0, dtype: Any = None, device: Any = None) -> Any:
    """The positions of the elements on and below a diagonal: their rows, and their columns."""
    return _triangle_indices("tril_indices", row, col, offset, dtype, device)


@function(method=False)
def triu_indices(row: int, col: int, offset: int = 0, dtype: Any = None, device: Any = None) -> Any:
    """The positions of the elements on and above a diagonal: their rows, and their columns."""
    return _triangle_indices("triu_indices", row, col, offset, dtype, device)


# -- at a position that is an operand --------------------------------------------------------------


def _at_shape(name: str, x: Spec, at: Spec, dim: int, length: int) -> None:
    if at.ndim:
        raise ShapeError(f"{name} takes a position without dimensions but was given {at}")
    if length < 0 or length > x.shape[dim]:
        raise DimError(f"{name} was given {length} elements of dimension {dim} of {x}, which has {x.shape[dim]}")


def _begin(name: str, at: Any, length: int, n: int) -> int:
    begin = int(at)
    if not 0 <= begin <= n - length:
        raise DimError(
            f"{name} was given the position {begin} for {length} elements in a dimension of size {n}; "
            f"it is from 0 to {n - length}"
        )
    return begin


def _narrow_at_shape(x: Spec, at: Spec, *, dim: int, length: int) -> tuple[int, ...]:
    _at_shape("narrow_at", x, at, dim, length)
    return (*x.shape[:dim], length, *x.shape[dim + 1 :])


def _at_operands(d: Any) -> Any:
    shape, dtype = d.shape(1), d.dtype(EVERY)
    dim = d.dim(shape)
    length = d.int(0, shape[dim])
    return shape, dtype, dim, length, d.ids([], shape[dim] - length + 1)


def _narrow_at_sample(d: Any) -> Any:
    shape, dtype, dim, length, at = _at_operands(d)
    return [d.array(shape, dtype), at], {"dim": dim, "length": length}


@primitive("S, I -> S", S=EVERY, I=INTEGERS, wide=False, shape=_narrow_at_shape, sample=_narrow_at_sample,
           blocks=whole_rows("narrow_at"),
           expand=lambda x, at, *, dim, length: x.index_select(dim, at.to(dtype=int64) + iota(at, length)),
           vjp=(lambda g, _y, _x, at, dim, length: write(_x.zeros_like(), g, at, dim=dim), None))  # fmt: skip
def narrow_at(x, at, *, dim: Dim, length: int):
    """``length`` elements of one dimension from a position that is a tensor, so that one captured graph serves all positions."""
    begin = _begin("narrow_at", at, length, x.shape[dim])
    return x[(builtins.slice(None),) * dim + (builtins.slice(begin, begin + length),)]


def _write_shape(x: Spec, src: Spec, at: Spec, *, dim: int) -> tuple[int, ...]:
    if src.ndim != x.ndim or any(n != m for i, (n, m) in enumerate(zip(x.shape, src.shape)) if i != dim):
        raise ShapeError(f"write takes a source that differs from {x} only along dimension {dim} but was given {src}")
    _at_shape("write", x, at, dim, src.shape[dim])
    return x.shape


def _write_expand(x: Any, src: Any, at: Any, *, dim: int) -> Any:
    n, length = x.shape[dim], src.shape[dim]
    if not length or not n:
        return OPS["alias"](x)
    offset = iota(at, n) - at.to(dtype=int64)  # of each position within the source
    first, last = filled(offset, (), 0), filled(offset, (), length - 1)
    within = OPS["bitwise_and"](OPS["logical_not"](offset.lt(first)), OPS["logical_not"](last.lt(offset)))
    values = src.index_select(dim, OPS["where"](within, offset, first))
    return OPS["where"](within.reshape(tuple([n if i == dim else 1 for i in range(x.ndim)])), values, x)


def _write_into(x: Any, src: Any, at: Any, *, dim: int) -> Any:
    begin = _begin("write", at, src.shape[dim], x.shape[dim])
    x[(builtins.slice(None),) * dim + (builtins.slice(begin, begin + src.shape[dim]),)] = src
    return x


def _write_sample(d: Any) -> Any:
    shape, dtype, dim, length, at = _at_operands(d)
    sizes = list(shape)
    sizes[dim] = length
    return [d.array(shape, dtype), d.array(sizes, dtype), at], {"dim": dim}


@primitive(
    "S, S, I -> S",
    S=EVERY,
    I=INTEGERS,
    wide=False,
    blocks=whole_rows("write"),
    shape=_write_shape,
    sample=_write_sample,
    expand=_write_expand,
    into=_write_into,
    vjp=(
        lambda g, _y, _x, _s, at, dim: write(g, filled(g, _s.shape, 0), at, dim=dim),
        lambda g, _y, _x, _s, at, dim: narrow_at(g, at, dim=dim, length=_s.shape[dim]),
        None,
    ),
)
def write(x, src, at, *, dim: Dim):
    """x with the source written along one dimension from a position that is a tensor: how a cache takes in new entries."""
    return _write_into(x.copy(), src, at, dim=dim)


# -- bytes -----------------------------------------------------------------------------------------


def _bitcast_shape(x: Spec, *, dtype: Any) -> tuple[int, ...]:
    a, b = x.dtype.itemsize, dtype.itemsize
    if a == b:
        return x.shape
    n = x.shape[-1] * a if x.ndim else 0
    if not x.ndim or n % b:
        raise ShapeError(f"view cannot read {x} as {dtype}: its last dimension is not whole in elements of {b} bytes")
    return (*x.shape[:-1], n // b)


_WHOLE = tuple(
    [d for d in EVERY if d.kind != "b" and not d.name.startswith(("int4", "uint4", "int2", "uint2", "float4_", "float6_"))]
)


def _bitcast_sample(d: Any) -> Any:
    x, to = d.dtype(REALS), d.dtype(REALS)
    return [d.array([*d.shape(0, 3), 8 * d.size(0)], x)], {"dtype": to}


def _bitcast_vjp(g: Any, _y: Any, _x: Any, dtype: DType) -> Any:
    return g if dtype is _x.dtype else None


@primitive("S -> dtype", S=_WHOLE, wide=False, method=False, shape=_bitcast_shape, sample=_bitcast_sample, vjp=(_bitcast_vjp,))
def bitcast(x, *, dtype: DType):
    """The same bytes, in the machine's order, read as another dtype; the last dimension grows or shrinks to fit."""
    if dtype not in _WHOLE:
        raise DTypeError(f"view reads bytes as a dtype of whole bytes but {dtype} was given")
    if not x.size:
        return np.zeros(_bitcast_shape(Spec(x.shape, as_dtype(x.dtype)), dtype=dtype), dtype.numpy)
    return np.ascontiguousarray(x).reshape(x.shape).view(dtype.numpy)
