"""Pooling: the largest, the mean or the norm of the elements in each window."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any, Mapping, Sequence

import numpy as np

from ..dtype import FLOATS, INTEGERS, REALS
from ..errors import DTypeError, ShapeError
from ..op import OPS, Ints, Op, Spec, composite, function, primitive
from .conv import Pairs, batched, columns, conv_transpose, margined, margins, one_batch, padded, per_axis, tap

# -- windows ---------------------------------------------------------------------------------------


def _count(size: int, k: int, s: int, lo: int, hi: int, d: int, ceil: bool) -> int:
    """How many windows; rounded up, a last one may hang over the end, but begins in x or in the margin before it."""
    free = size + lo + hi - d * (k - 1) - 1
    count = (free + s - 1 if ceil else free) // s + 1
    return count - 1 if ceil and (count - 1) * s >= size + lo else count


def _counts(sizes: Sequence[int], a: Mapping[str, Any]) -> tuple[int, ...]:
    each = zip(sizes, a["kernel_size"], a["stride"], a["padding"], a["dilation"])
    return tuple([_count(m, k, s, lo, hi, d, a["ceil_mode"]) for m, k, s, (lo, hi), d in each])


def _canon(
    specs: Sequence[Any], attrs: Mapping[str, Any], what: str = "pooling", n: int = 0, full: bool = True
) -> dict[str, Any]:
    """The attributes with one number, or pair, per spatial dimension.  ``full``: each window must meet x."""
    x = batched(what, specs[0], n) if n else specs[0]
    n = x.ndim - 2
    if n < 1:
        raise ShapeError(f"{what} takes x[batch, channels, *sizes] but was given {x}")
    kernel = per_axis(attrs["kernel_size"], n, f"{what}'s kernel_size")
    stride = kernel if attrs.get("stride") in (None, ()) else per_axis(attrs["stride"], n, f"{what}'s stride")
    dilation = per_axis(attrs.get("dilation", 1), n, f"{what}'s dilation")
    padding = margins(attrs["padding"], n, f"{what}'s padding", kernel, dilation, stride)
    found = {**attrs, "kernel_size": kernel, "stride": stride, "padding": padding}
    if "dilation" in attrs:
        found["dilation"] = dilation
    each = {**found, "dilation": dilation}
    counts = _counts(x.shape[2:], each)
    if any(c < 1 for c in counts):
        raise ShapeError(f"{what} with windows of {kernel}, padding {padding} and dilation {dilation} has no place in {x}")
    if full:
        for axis, valid in enumerate(_inside(x.shape[2:], counts, each)):
            if not valid.any(1).all():
                raise ShapeError(
                    f"{what}: the padding {padding} leaves windows of {kernel} that hold nothing of dimension {axis + 2} of {x}; "
                    "it is at most half a window"
                )
    return found


def _places(counts: Sequence[int], a: Mapping[str, Any]) -> list[np.ndarray[Any, Any]]:
    """For each spatial dimension, where in x the elements of each window lie: [positions, kernel]."""
    each = zip(counts, a["kernel_size"], a["stride"], a["padding"], a["dilation"])
    return [np.arange(m)[:, None] * s - lo + np.arange(k) * d for m, k, s, (lo, _), d in each]


def _inside(sizes: Sequence[int], counts: Sequence[int], a: Mapping[str, Any]) -> list[np.ndarray[Any, Any]]:
    return [(at >= 0) & (at < m) for at, m in zip(_places(counts, a), sizes)]


def _reach(sizes: Sequence[int], counts: Sequence[int], a: Mapping[str, Any]) -> Pairs:
    """The margins that the windows really need; after x they may be negative."""
    each = zip(sizes, counts, a["kernel_size"], a["stride"], a["padding"], a["dilation"])
    return tuple([(lo, (m - 1) * s + d * (k - 1) + 1 - lo - size) for size, m, k, s, (lo, _), d in each])


def _pooled(x: Spec, **attrs: Any) -> tuple[int, ...]:
    return (*x.shape[:2], *_counts(x.shape[2:], {"dilation": (1,) * len(attrs["kernel_size"]), **attrs}))


def _lowest(dtype: Any) -> Any:
    """What no element is less than."""
    dtype = np.dtype(dtype)
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


def _pads(d: Any, kernel: Sequence[int], n: int) -> list[Any]:
    """Paddings of at most half a window; where an op takes them, other ones behind than before."""
    before = [d.int(0, k // 2) for k in kernel]
    return before if n or d.bool() else [(lo, d.int(0, k // 2)) for lo, k in zip(before, kernel)]


def _draw(types: Any, n: int = 0, dilated: bool = False, domain: Any = None, **choices: Any) -> Any:
    def sample(d: Any) -> Any:
        m = n or d.int(1, 3)
        kernel, stride = [d.int(1, 3) for _ in range(m)], [d.int(1, 3) for _ in range(m)]
        dilation = [d.int(1, 2) if dilated and d.bool() else 1 for _ in range(m)]
        spans = [e * (k - 1) + 1 for k, e in zip(kernel, dilation)]
        equal = max(spans) + d.int(0, 2) if d.bool() else 0
        shape = (d.one((0, 1, 2, 4)), equal or d.int(1, 3), *[equal or s + d.int(0, 4) for s in spans])
        attrs = {"kernel_size": kernel, "stride": stride if d.bool() else None, "padding": _pads(d, kernel, n)}
        attrs |= {"dilation": dilation} if dilated else {}
        attrs |= {k: d.bool() if choice is None else d.one(choice) for k, choice in choices.items()}
        return [d.array(shape, d.dtype(types), domain)], {**attrs, "ceil_mode": d.bool()}

    return sample


# -- the largest -----------------------------------------------------------------------------------


def _max_scan(x: np.ndarray[Any, Any], a: Mapping[str, Any], indices: bool) -> tuple[Any, Any]:
    """The largest element of each window and, if wanted, its place among the spatial dimensions of x, flattened."""
    sizes = x.shape[2:]
    counts = _counts(sizes, a)
    whole = padded(x, tuple([(lo, max(0, hi)) for lo, hi in _reach(sizes, counts, a)]), _lowest(x.dtype))
    steps = [prod(sizes[i + 1 :]) for i in range(len(sizes))]
    best = at = None
    if indices:  # the first element that is no margin, should none be greater than the margin
        places = _first_places(sizes, counts, a)
        at = np.broadcast_to(_flat_places(places, steps), (*x.shape[:2], *counts)).copy()
        best = np.full(at.shape, _lowest(x.dtype), x.dtype)
    for k in np.ndindex(*a["kernel_size"]):
        v = whole[tap(k, counts, a["stride"], a["dilation"])]
        if at is None:
            best = v if best is None else np.maximum(best, v)
            continue
        better = (v > best) | (v != v)
        best = np.where(better, v, best)
        here = [p[:, j] for p, j in zip(_places(counts, a), k)]
        at = np.where(better, _flat_places(here, steps), at)
    return best, at


def _first_places(sizes: Sequence[int], counts: Sequence[int], a: Mapping[str, Any]) -> list[np.ndarray[Any, Any]]:
    found = zip(_places(counts, a), _inside(sizes, counts, a))
    return [np.take_along_axis(p, valid.argmax(1)[:, None], 1)[:, 0] for p, valid in found]


def _flat_places(places: Sequence[np.ndarray[Any, Any]], steps: Sequence[int]) -> np.ndarray[Any, Any]:
    n = len(places)
    flat = [p.reshape((-1,) + (1,) * (n - 1 - i)) * step for i, (p, step) in enumerate(zip(places, steps))]
    return np.asarray(sum(flat[1:], flat[0]))


def _scattered(g: Any, x: Any, index: Any) -> Any:
    """g, added up in zeros of x's shape at the places that ``index`` names among the spatial dimensions."""
    shape = (*x.shape[:2], prod(x.shape[2:]))
    lead = (*x.shape[:2], prod(g.shape[2:]))
    return g.new_zeros(shape).scatter_add(2, index.reshape(lead), g.reshape(lead)).reshape(x.shape)


def _max_vjp(g, _y, x, **a):
    return _scattered(g, x, max_pool_with_indices(x.detach(), **a)[1])


def _max_expand(x, **a):
    return OPS["amax"](_windows_of(x, a), tuple(range(2, x.ndim)))


def _windows_of(x: Any, a: Mapping[str, Any]) -> Any:
    """[batch, channels, *kernel, *positions] of x, the margin lower than every element."""
    reach = _reach(x.shape[2:], _counts(x.shape[2:], a), a)
    whole = margined(x, reach, _lowest(x.dtype.numpy))
    return columns(whole, a["kernel_size"], a["stride"], ((0, 0),) * len(reach), a["dilation"])


_max = partial(
    primitive, canon=partial(_canon, what="max_pool"),
    sample=_draw(REALS, dilated=True),
)  # fmt: skip


@_max("T -> T", REALS, shape=_pooled, expand=_max_expand, wide=False, vjp=(_max_vjp,))
def max_pool(x, *, kernel_size: Ints, stride: Ints = None, padding: Any = 0, dilation: Ints = 1, ceil_mode: bool = False):
    """The largest element of each window of x[batch, channels, *sizes]; NaN where a window holds one.

    The gradient goes to the first of equal elements.  The stride is the window's size unless given.
    """
    a = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    return _max_scan(x, a, False)[0]


def _with_indices_vjp(gs, ys, _x, **a):
    return (_scattered(gs[0], _x, ys[1]),)


def _with_indices_expand(x, **a):
    sizes, counts = x.shape[2:], _counts(x.shape[2:], a)
    steps = [prod(sizes[i + 1 :]) for i in range(len(sizes))]
    view = _windows_of(x, a)
    full = (*x.shape[:2], *counts)
    at = x.new_tensor(_flat_places(_first_places(sizes, counts, a), steps), dtype="int64").expand(full)
    best = x.new_full(full, _lowest(x.dtype.numpy))
    places = _places(counts, a)
    for k in np.ndindex(*a["kernel_size"]):
        starts, stops = (0, 0, *k), (*x.shape[:2], *[j + 1 for j in k])
        v = view.slice(starts, stops).reshape(full)
        better = (v > best) | (v != v)
        here = _flat_places([p[:, j] for p, j in zip(places, k)], steps)
        best, at = OPS["where"](better, v, best), OPS["where"](better, x.new_tensor(here, dtype="int64"), at)
    return best, at


@_max(
    "T -> T, int64",
    REALS,
    shape=lambda x, **a: [_pooled(x, **a)] * 2,
    expand=_with_indices_expand,
    wide=False,
    vjp=_with_indices_vjp,
)
def max_pool_with_indices(
    x, *, kernel_size: Ints, stride: Ints = None, padding: Any = 0, dilation: Ints = 1, ceil_mode: bool = False
):
    """``max_pool`` and where each largest element was found, counted through the spatial dimensions of x."""
    a = {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": ceil_mode}
    return _max_scan(x, a, True)


# -- the mean --------------------------------------------------------------------------------------


def _divisors(sizes: Sequence[int], counts: Sequence[int], a: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """By what each window's sum is divided: [*positions]."""
    if a["divisor_override"]:
        return np.full(counts, float(a["divisor_override"]))
    found = np.ones((1,) * len(sizes))
    for i, (places, m, (_, hi)) in enumerate(zip(_places(counts, a), sizes, a["padding"])):
        within = (places < m + hi) if a["count_include_pad"] else (places >= 0) & (places < m)
        found = found * within.sum(1).reshape((-1,) + (1,) * (len(sizes) - 1 - i))
    return found


def _reciprocals(like: Any, sizes: Sequence[int], counts: Sequence[int], a: Mapping[str, Any]) -> Any:
    with np.errstate(divide="ignore"):
        return like.new_tensor(1 / _divisors(sizes, counts, a))


def _avg_attrs(kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation):
    return {"kernel_size": kernel_size, "stride": stride, "padding": padding, "ceil_mode": ceil_mode,
            "count_include_pad": count_include_pad, "divisor_override": divisor_override, "dilation": dilation}  # fmt: skip


def _avg_vjp(g, _y, _x, **a):
    sizes, counts = _x.shape[2:], g.shape[2:]
    reach = _reach(sizes, counts, a)
    g = (g * _reciprocals(g, sizes, counts, a)).reshape((prod(g.shape[:2]), 1, *counts))
    pads, rest = tuple([(lo, max(0, hi)) for lo, hi in reach]), tuple([max(0, -hi) for _, hi in reach])
    ones = g.new_ones((1, 1, *a["kernel_size"]))
    return conv_transpose(g, ones, None, a["stride"], pads, rest, 1, a["dilation"]).reshape(_x.shape)


def _avg_expand(x, **a):
    sizes, counts = x.shape[2:], _counts(x.shape[2:], a)
    reach = _reach(sizes, counts, a)
    view = columns(margined(x, reach), a["kernel_size"], a["stride"], ((0, 0),) * len(reach), a["dilation"])
    return view.sum(tuple(range(2, x.ndim))) / x.new_tensor(_divisors(sizes, counts, a))


def _avg_canon(specs: Sequence[Any], attrs: Mapping[str, Any], what: str = "avg_pool", n: int = 0) -> dict[str, Any]:
    found = _canon(specs, attrs, what, n, full=False)
    if attrs.get("divisor_override") == 0:
        raise ShapeError(f"{what}'s divisor_override is not 0")
    return found


_AVG = {"count_include_pad": None, "divisor_override": (None, None, 1, 5)}


@primitive("T -> T", FLOATS, canon=_avg_canon, shape=_pooled, expand=_avg_expand, vjp=(_avg_vjp,),
           terms=lambda x, **a: prod(a["kernel_size"]),
           sample=_draw(FLOATS, dilated=True, **_AVG))  # fmt: skip
def avg_pool(x, *, kernel_size: Ints, stride: Ints = None, padding: Any = 0, ceil_mode: bool = False,
             count_include_pad: bool = True, divisor_override: int = None, dilation: Ints = 1):  # fmt: skip
    """The mean of each window of x[batch, channels, *sizes].

    The margin counts as zeros, or not at all without ``count_include_pad``; what hangs over it (``ceil_mode``) never counts.
    """
    a = _avg_attrs(kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override, dilation)
    sizes = x.shape[2:]
    counts = _counts(sizes, a)
    whole = padded(x, tuple([(lo, max(0, hi)) for lo, hi in _reach(sizes, counts, a)]))
    y = np.zeros((*x.shape[:2], *counts), x.dtype)
    for k in np.ndindex(*kernel_size):
        y += whole[tap(k, counts, stride, dilation)]
    return y / _divisors(sizes, counts, a).astype(x.dtype)


# -- as PyTorch has them ---------------------------------------------------------------------------


def _pooled_nd(x: Spec, n: int, **attrs: Any) -> tuple[int, ...]:
    return _pooled(batched("pooling", x, n), **attrs)[n + 2 - x.ndim :]


def _averages(n: int) -> Op:
    name = f"avg_pool{n}d"
    doc = f"The mean of each window of x[batch, channels, {', '.join('dhw'[-n:])}], or of one without a batch."
    declared = partial(
        composite, "T -> T", FLOATS, name=name, group="pool", canon=partial(_avg_canon, what=name, n=n), terms=avg_pool.terms
    )
    if n == 1:

        def average(x, *, kernel_size: Ints, stride: Ints = None, padding: Any = 0, ceil_mode: bool = False,
                    count_include_pad: bool = True):  # fmt: skip
            return one_batch(lambda x: avg_pool(x, kernel_size, stride, padding, ceil_mode, count_include_pad), x, 1)

        average.__doc__ = doc
        return declared(shape=partial(_pooled_nd, n=1), sample=_draw(FLOATS, 1, count_include_pad=None))(average)

    def average_over(x, *, kernel_size: Ints, stride: Ints = None, padding: Any = 0, ceil_mode: bool = False,
                     count_include_pad: bool = True, divisor_override: int = None):  # fmt: skip
        return one_batch(
            lambda x: avg_pool(x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override), x, n
        )

    average_over.__doc__ = doc
    return declared(shape=partial(_pooled_nd, n=n), sample=_draw(FLOATS, n, **_AVG))(average_over)


avg_pool1d, avg_pool2d, avg_pool3d = _averages(1), _averages(2), _averages(3)


def _maxima(n: int) -> Any:
    sizes = ", ".join("dhw"[-n:])

    def pool(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
             return_indices: bool = False) -> Any:  # fmt: skip
        batched(f"max_pool{n}d", x.spec, n)
        if return_indices:
            return with_indices(x, kernel_size, stride, padding, dilation, ceil_mode)
        return one_batch(lambda x: max_pool(x, kernel_size, stride, padding, dilation, ceil_mode), x, n)

    def with_indices(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
                     return_indices: bool = True) -> Any:  # fmt: skip
        whole = x.reshape((1, *x.shape)) if x.ndim == n + 1 else x
        found = max_pool_with_indices(whole, kernel_size, stride, padding, dilation, ceil_mode)
        return tuple([y.reshape(y.shape[n + 2 - x.ndim :]) for y in found])

    pool.__doc__ = f"The largest of each window of x[batch, channels, {sizes}]; with ``return_indices`` its place too."
    with_indices.__doc__ = f"``max_pool{n}d`` and where each largest element was found, counted through {sizes}."
    function(name=f"max_pool{n}d_with_indices")(with_indices)
    return function(name=f"max_pool{n}d")(pool)


max_pool1d, max_pool2d, max_pool3d = _maxima(1), _maxima(2), _maxima(3)


@function()
def max_pool2d_with_stride(x: Any, kernel_size: Any, stride: Any) -> Any:
    """``max_pool2d`` with a stride that is no default."""
    return max_pool2d(x, kernel_size, stride)


@function()
def avg_pool2d_with_stride(x: Any, kernel_size: Any, stride: Any) -> Any:
    """``avg_pool2d`` with a stride that is no default."""
    return avg_pool2d(x, kernel_size, stride)


# -- adaptive --------------------------------------------------------------------------------------


def _adaptive_canon(specs: Sequence[Any], attrs: Mapping[str, Any], what: str, n: int) -> dict[str, Any]:
    x = batched(what, specs[0], n)
    given = attrs["output_size"] if isinstance(attrs["output_size"], tuple) else (attrs["output_size"],)
    given = given * n if len(given) == 1 else given
    found = tuple([m if size is None else size for m, size in zip(x.shape[2:], given)])
    if len(given) != n or any(not isinstance(v, int) or v < 0 for v in found):
        raise ShapeError(
            f"{what}'s output_size is an integer, or {n} of them (None keeps a size), but {attrs['output_size']!r} was given"
        )
    if 0 in x.shape[2:] and 0 not in found:
        raise ShapeError(f"{what} takes at least one element along each spatial dimension but was given {x}")
    return {**attrs, "output_size": found}


def _parts(size: int, count: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Which elements belong to each of ``count`` parts of a dimension, [count, most], and which are no repetition of the last."""
    i = np.arange(count)
    start, stop = i * size // max(1, count), -(-(i + 1) * size // max(1, count))
    most = int((stop - start).max(initial=1))
    at = start[:, None] + np.arange(most)
    return np.minimum(at, np.maximum(stop[:, None] - 1, 0)), at < stop[:, None]


def _adaptive_average(x: Any, output_size: Ints) -> Any:
    """Means of parts, one dimension after the other, which may overlap by one element."""
    kind = x.dtype
    if kind.itemsize < 4:
        x = x.to(dtype="float32")
    for axis, count in enumerate(output_size, x.ndim - len(output_size)):
        at, real = _parts(x.shape[axis], count)
        front, back = x.shape[:axis], x.shape[axis + 1 :]
        if x.shape[axis] == count:
            continue
        part = x.index_select(axis, x.new_tensor(at.reshape(-1), dtype="int64")).reshape((*front, *at.shape, *back))
        tail = (1,) * len(back)
        if not real.all():
            part = OPS["where"](x.new_tensor(real, dtype="bool").reshape((*real.shape, *tail)), part, 0)
        x = part.sum(axis + 1) / x.new_tensor(real.sum(1)).reshape((count, *tail))
    return x.to(dtype=kind)


def _adaptive_maximum(x: Any, output_size: Ints) -> tuple[Any, Any]:
    """The largest of each part and its place: parts padded by repeating an element have the same largest."""
    n = len(output_size)
    tables = [_parts(m, count)[0] for m, count in zip(x.shape[2:], output_size)]
    steps = [prod(x.shape[3 + i :]) for i in range(n)]
    view = x
    for i, at in enumerate(tables):
        axis = 2 + 2 * i
        front, back = view.shape[:axis], view.shape[axis + 1 :]
        view = view.index_select(axis, x.new_tensor(at.reshape(-1), dtype="int64")).reshape((*front, *at.shape, *back))
    view = view.permute((0, 1, *range(2, 2 + 2 * n, 2), *range(3, 3 + 2 * n, 2)))
    most = prod([at.shape[1] for at in tables])
    view = view.reshape((*x.shape[:2], prod(output_size), most))
    grid = np.zeros((1,) * (2 * n), np.int64)
    for i, (at, step) in enumerate(zip(tables, steps)):
        shape = [1] * (2 * n)
        shape[i], shape[n + i] = at.shape
        grid = grid + at.reshape(shape) * step
    places = x.new_tensor(grid.reshape(prod(output_size), most), dtype="int64")
    best = view.detach().argmax(3, True)
    at = places.expand(view.shape).gather(3, best).reshape((*x.shape[:2], prod(output_size)))
    values = x.reshape((*x.shape[:2], prod(x.shape[2:]))).gather(2, at)
    return values.reshape((*x.shape[:2], *output_size)), at.reshape((*x.shape[:2], *output_size))


def _adaptive(n: int) -> tuple[Op, Any]:
    sizes = ", ".join("dhw"[-n:])
    a, b = f"adaptive_avg_pool{n}d", f"adaptive_max_pool{n}d"

    def sample(types: Any) -> Any:
        def drawn(d: Any) -> Any:
            shape = (d.one((0, 1, 2, 4, 5)), d.int(1, 3), *[d.int(1, 7) for _ in range(n)])
            return [d.array(shape, d.dtype(types))], {"output_size": [d.int(1, 7) for _ in range(n)]}

        return drawn

    def shape(x: Spec, output_size: Ints) -> tuple[int, ...]:
        return (*x.shape[:-n], *output_size)

    def average(x, *, output_size: Any):
        return _adaptive_average(x, output_size)

    def largest(x, *, output_size: Any):
        whole = x.reshape((1, *x.shape)) if x.ndim == n + 1 else x
        return tuple([y.reshape(y.shape[n + 2 - x.ndim :]) for y in _adaptive_maximum(whole, output_size)])

    def maximum(x: Any, output_size: Any, return_indices: bool = False) -> Any:
        found = pair(x, output_size)
        return found if return_indices else found[0]

    average.__doc__ = (
        f"The means of output_size parts, as equal as can be, of x[batch, channels, {sizes}], or of one without a batch."
    )
    largest.__doc__ = f"``{b}`` and where each largest element was found, counted through {sizes}."
    maximum.__doc__ = (
        f"The largest of each of output_size parts of x[batch, channels, {sizes}]; with ``return_indices`` its place too."
    )
    means = composite("T -> T", FLOATS, name=a, group="pool", canon=partial(_adaptive_canon, what=a, n=n), shape=shape,
                      sample=sample(FLOATS), terms=lambda x, output_size: prod(x.shape[-n:]))(average)  # fmt: skip
    pair = composite("T -> T, int64", REALS, name=f"{b}_with_indices", group="pool", canon=partial(_adaptive_canon, what=b, n=n),
                     shape=lambda x, output_size: [shape(x, output_size)] * 2, sample=sample(REALS))(largest)  # fmt: skip
    return means, function(name=b)(maximum)


adaptive_avg_pool1d, adaptive_max_pool1d = _adaptive(1)
adaptive_avg_pool2d, adaptive_max_pool2d = _adaptive(2)
adaptive_avg_pool3d, adaptive_max_pool3d = _adaptive(3)

# -- norms -----------------------------------------------------------------------------------------


def _norms(n: int) -> Op:
    name = f"lp_pool{n}d"

    def canon(specs: Sequence[Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
        found = _canon(specs, {**attrs, "padding": 0}, name, n, full=False)
        if found["norm_type"] == 0:
            raise DTypeError(f"{name}'s norm_type is not 0")
        return {k: v for k, v in found.items() if k != "padding"}

    def shape(x: Spec, **attrs: Any) -> tuple[int, ...]:
        return _pooled_nd(x, n, padding=((0, 0),) * n, **attrs)

    def sample(d: Any) -> Any:
        (x,), attrs = draw(d)
        return [x], {"norm_type": d.one((1, 2, 3)), **{k: v for k, v in attrs.items() if k != "padding"}}

    def norm(x, *, norm_type: float, kernel_size: Ints, stride: Ints = None, ceil_mode: bool = False):
        mean = one_batch(lambda x: avg_pool(x.pow(norm_type), kernel_size, stride, 0, ceil_mode), x, n)
        return (mean * prod(kernel_size)).pow(1 / norm_type)

    draw = _draw(FLOATS, n, domain=(0.125, 4))
    norm.__doc__ = f"The norm of each window of x[batch, channels, {', '.join('dhw'[-n:])}]: its sum of powers, to 1/norm_type."
    return composite("T -> T", FLOATS, name=name, group="pool", canon=canon, shape=shape, sample=sample, domain=(0.125, 4),
                     special=False, terms=avg_pool.terms)(norm)  # fmt: skip


lp_pool1d, lp_pool2d, lp_pool3d = _norms(1), _norms(2), _norms(3)

# -- back from indices -----------------------------------------------------------------------------


def _unpooling(n: int) -> Op:
    name = f"max_unpool{n}d"

    def canon(specs: Sequence[Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
        x, indices = specs
        whole = batched(name, x, n)
        if indices.shape != x.shape:
            raise ShapeError(f"{name} takes one index per element but was given {x} and {indices}")
        kernel = per_axis(attrs["kernel_size"], n, f"{name}'s kernel_size")
        stride = kernel if attrs["stride"] in (None, ()) else per_axis(attrs["stride"], n, f"{name}'s stride")
        padding = per_axis(attrs["padding"], n, f"{name}'s padding", 0)
        least = tuple([(m - 1) * s - 2 * p + k for m, k, s, p in zip(whole.shape[2:], kernel, stride, padding)])
        size = attrs["output_size"] or least
        size = size[-n:]
        if len(size) != n or any(not m - s < v < m + s for v, m, s in zip(size, least, stride)):
            raise ShapeError(f"{name}'s output_size is within a stride {stride} of {least} but {attrs['output_size']} was given")
        return {"kernel_size": kernel, "stride": stride, "padding": padding, "output_size": tuple(size)}

    def shape(x: Spec, indices: Spec, *, output_size: Ints, **_: Any) -> tuple[int, ...]:
        return (*x.shape[:-n], *output_size)

    def sample(d: Any) -> Any:
        shape = (d.one((0, 1, 2, 4, 5)), d.int(1, 3), *[d.int(1, 3) for _ in range(n)])
        places = [2 * np.arange(m) + d.int(0, 1) for m in shape[2:]]
        index = _flat_places(places, [prod([2 * m for m in shape[3 + i :]]) for i in range(n)])
        return [d.array(shape, d.dtype(REALS)), np.broadcast_to(index, shape).astype(np.int64)], {"kernel_size": 2}

    def unpool(x, indices, *, kernel_size: Ints, stride: Ints = None, padding: Ints = 0, output_size: Ints = None):
        lead = x.shape[:-n]
        flat = (*lead, prod(x.shape[-n:]))
        zeros = x.new_zeros((*lead, prod(output_size)))
        return zeros.scatter(len(lead), indices.reshape(flat), x.reshape(flat)).reshape((*lead, *output_size))

    unpool.__doc__ = (
        f"Undo max_pool{n}d: each element of x at the place in {', '.join('dhw'[-n:])} that its index names, zeros elsewhere."
    )
    return composite("T, I -> T", REALS, I=INTEGERS, name=name, group="pool", canon=canon, shape=shape, sample=sample)(unpool)


max_unpool1d, max_unpool2d, max_unpool3d = _unpooling(1), _unpooling(2), _unpooling(3)
