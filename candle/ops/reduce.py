"""Reductions along dimensions, cumulative operations, sorting and statistics."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Callable, Mapping, NamedTuple, Sequence

import numpy as np

from ..dtype import ALL, BOOL, FLOATS, INEXACT, REALS, bool_, float32, int32, int64, real_of
from ..errors import ShapeError
from ..op import OPS, Dim, Dims, DType, Op, Spec, broadcast_shapes, composite, function, normalize_dim, primitive
from .elementwise import also_called, conj, in_single, where

ORDERED = BOOL + REALS

# -- reductions ------------------------------------------------------------------------------------


def reduced(x: Spec, *, dim: Dims, keepdim: bool = False, **_: Any) -> tuple[int, ...]:
    """The shape that remains."""
    return tuple([1 if i in dim else n for i, n in enumerate(x.shape) if keepdim or i not in dim])


def unreduced(g: Any, x: Any, dim: Dims) -> Any:
    """A reduction's gradient, brought to the operand's shape."""
    return g.reshape(reduced(x.spec, dim=dim, keepdim=True)).expand(x.shape)


def _count(x: Any, dim: Dims) -> int:
    return math.prod([x.shape[d] for d in dim])


def _terms(x: Spec, *, dim: Dims, **_: Any) -> int:
    return _count(x, dim)


def _sample(types: Any, domain: Any = None, filled: bool = False) -> Any:
    def sample(d: Any) -> Any:
        shape = d.shape()
        if filled:
            shape = tuple([max(n, 1) for n in shape])
        return [d.array(shape, d.dtype(types), domain)], {"dim": d.dims(shape), "keepdim": d.bool()}

    return sample


reduction = partial(primitive, "T -> T", shape=reduced, terms=_terms)
reduction_composite = partial(composite, "T -> T", shape=reduced, terms=_terms)


def _sum_dtype(x: Spec, *, dtype: DType | None, **_: Any) -> DType:
    return dtype or (int64 if x.dtype.kind in "biu" else x.dtype)


def _summable(x: Any, dtype: DType | None) -> Any:
    """The array in the dtype that sums are taken in: int64 for integers, float32 for halves."""
    kind = dtype.numpy if dtype else np.dtype(np.int64) if x.dtype.kind in "biu" else x.dtype
    if kind.kind in "Vf" and kind.itemsize == 2:
        kind = np.dtype(np.float32)
    return x.astype(kind, copy=False)


@reduction(ALL, required=True, result=_sum_dtype, sample=_sample(ALL),
           vjp=(lambda g, _y, _x, dim, keepdim, dtype: unreduced(g, _x, dim),))  # fmt: skip
def sum_(x, *, dim: Dims = None, keepdim: bool = False, dtype: DType = None):
    """Sum; of integers and booleans in int64."""
    return np.sum(_summable(x, dtype), dim, keepdims=keepdim)


def _prod_vjp(g: Any, _y: Any, x: Any, dim: Dims, keepdim: bool, dtype: DType | None) -> Any:
    """Each element's gradient is the product of the others, found without division so that zeros do no harm."""
    if dtype is not None:
        x = x.to(dtype=dtype)
    rest = [d for d in range(x.ndim) if d not in dim]
    n = _count(x, dim)
    if x.spec.size == 0:
        return x.zeros_like()
    moved = x.permute((*rest, *dim))
    flat = moved.reshape((*[x.shape[d] for d in rest], n))
    last = len(rest)
    before = _exclusive(flat.cumprod(last), last)
    after = _exclusive(flat.flip(last).cumprod(last), last).flip(last)
    others = (before * after).reshape(moved.shape).permute(tuple([int(d) for d in np.argsort((*rest, *dim))]))
    return unreduced(g, x, dim) * conj(others)


def _exclusive(y: Any, dim: int) -> Any:
    """Cumulative products without the element itself."""
    n = y.shape[dim]
    one = y.narrow(dim, 0, 1).ones_like()
    return OPS["cat"](one, y.narrow(dim, 0, n - 1), dim=dim)


def _product_sample(d: Any) -> Any:
    """Factors whose product neither vanishes nor overflows however many they are, so that each of them counts."""
    (x,), attrs = _sample(ALL, (0.0, 1.5))(d)
    if x.size > 64 and x.dtype.kind not in "b":
        y = d.array(x.shape, int64, (0, 40))
        factors = np.array([1, -1, 3, 1, -3] if x.dtype.kind in "iu" else [1, -1, 1, 2, 0.5])
        x = factors[y % 5].astype(x.dtype) if x.dtype.kind != "u" else np.abs(factors[y % 5]).astype(x.dtype)
    return [x], attrs


@reduction(ALL, required=True, result=_sum_dtype, sample=_product_sample, vjp=(_prod_vjp,))
def prod(x, *, dim: Dims = None, keepdim: bool = False, dtype: DType = None):
    """Product; of integers and booleans in int64."""
    return np.prod(_summable(x, dtype), dim, keepdims=keepdim)


@reduction(
    INEXACT,
    sample=_sample(INEXACT),
    result=lambda x, *, dim, keepdim, dtype: dtype or x.dtype,
    vjp=(lambda g, _y, _x, dim, keepdim, dtype: unreduced(g / max(_count(_x, dim), 1), _x, dim),),
    expand=in_single(lambda x, *, dim, keepdim, dtype: _mean(x if dtype is None else x.to(dtype=dtype), dim, keepdim)),
)
def mean(x, *, dim: Dims = None, keepdim: bool = False, dtype: DType = None):
    """Mean; of nothing, NaN."""
    x = _summable(x, dtype)
    return np.divide(np.sum(x, dim, keepdims=keepdim), _count(x, dim), dtype=x.dtype)


def _mean(x: Any, dim: Dims, keepdim: bool = False) -> Any:
    n = _count(x, dim)
    return x.sum(dim=dim, keepdim=keepdim) / (n or math.nan)


def _some(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Refuse to reduce over nothing, where no result would be right."""
    (x, *_), dim = specs, attrs["dim"]
    over = range(x.ndim) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    if any(x.shape[d] == 0 for d in over):
        raise ShapeError(f"this reduction takes at least one element but was given {x}, dim={dim}; an empty one has no result")
    return dict(attrs)


def _ties(g: Any, y: Any, x: Any, dim: Dims, keepdim: bool) -> Any:
    """The gradient in equal shares to all elements equal to the result."""
    chosen = (x == unreduced(y, x, dim)).to(dtype=g.dtype)
    shares = chosen.sum(dim=dim, keepdim=True)
    return chosen * (g.reshape(shares.shape) / shares)


def _reversed(op: str) -> Any:
    """The expansion of a minimum by a maximum; inverting the bits turns the order of integers round."""

    def expand(x: Any, **attrs: Any) -> Any:
        if x.dtype.kind == "f":
            found = OPS[op](-x, **attrs)
            return -found if found.dtype.kind == "f" else found
        found = OPS[op](x.bitwise_not(), **attrs)
        return found.bitwise_not() if op == "amax" else found

    return expand


@reduction(ORDERED, required=True, canon=_some, wide=False, vjp=(_ties,), sample=_sample(ORDERED, filled=True))
def amax(x, *, dim: Dims = None, keepdim: bool = False):
    """Maximum; NaN where there is one.  The gradient is divided evenly among ties."""
    return np.max(x, dim, keepdims=keepdim)


@reduction(ORDERED, canon=_some, wide=False, vjp=(_ties,), expand=_reversed("amax"), sample=_sample(ORDERED, filled=True))
def amin(x, *, dim: Dims = None, keepdim: bool = False):
    """Minimum; NaN where there is one.  The gradient is divided evenly among ties."""
    return np.min(x, dim, keepdims=keepdim)


def _along(x: Spec, *, dim: int | None, keepdim: bool = False, **_: Any) -> tuple[int, ...]:
    return reduced(x, dim=tuple(range(x.ndim)) if dim is None else (dim,), keepdim=keepdim)


def _along_sample(types: Any, optional: bool = False) -> Any:
    def sample(d: Any) -> Any:
        shape = tuple([max(n, 1) for n in d.shape(min_dims=1)])
        dim = None if optional and d.bool() else d.dim(shape)
        return [d.array(shape, d.dtype(types))], {"dim": dim, "keepdim": d.bool()}

    return sample


def _comparable(x: Any) -> Any:
    """bfloat16 as float32, where NumPy knows that NaN comes last."""
    return x.astype(np.float32) if x.dtype.kind == "V" else x


place = partial(primitive, "T -> int64", ORDERED, shape=_along, canon=_some, sample=_along_sample(ORDERED, optional=True))


@place(required=True)
def argmax(x, *, dim: Dim = None, keepdim: bool = False):
    """Where the first maximum is, NaN counting as one; without dim, in the flattened tensor."""
    return np.argmax(x, dim, keepdims=keepdim)


@place(expand=_reversed("argmax"))
def argmin(x, *, dim: Dim = None, keepdim: bool = False):
    """Where the first minimum is, NaN counting as one; without dim, in the flattened tensor."""
    return np.argmin(x, dim, keepdims=keepdim)


@primitive("T -> bool", ALL, shape=reduced, sample=_sample(ALL), wide=False,
           expand=lambda x, *, dim, keepdim: (x != 0).sum(dim=dim, keepdim=keepdim) > 0)  # fmt: skip
def any_(x, *, dim: Dims = None, keepdim: bool = False):
    """Whether some element is not zero; a bool for every dtype (PyTorch answers in uint8 for uint8)."""
    return np.any(x != 0, dim, keepdims=keepdim)


@primitive("T -> bool", ALL, shape=reduced, sample=_sample(ALL), wide=False,
           expand=lambda x, *, dim, keepdim: (x == 0).sum(dim=dim, keepdim=keepdim) == 0)  # fmt: skip
def all_(x, *, dim: Dims = None, keepdim: bool = False):
    """Whether no element is zero; a bool for every dtype (PyTorch answers in uint8 for uint8)."""
    return np.all(x != 0, dim, keepdims=keepdim)


@composite(
    "T -> int64", ALL, shape=reduced, sample=lambda d: (lambda s: ([d.array(s, d.dtype(ALL))], {"dim": d.dims(s)}))(d.shape())
)
def count_nonzero(x, *, dim: Dims = None):
    """How many elements are not zero."""
    return (x != 0).sum(dim=dim)


# -- sums of exponentials, norms -------------------------------------------------------------------


def _shift(top: Any) -> Any:
    return where(top.isfinite(), top, 0)


@in_single
def _logsumexp(x: Any, *, dim: Dims, keepdim: bool) -> Any:
    if _count(x, dim) == 0:
        return x.sum(dim=dim, keepdim=keepdim) - math.inf
    top = _shift(x.amax(dim=dim, keepdim=True).detach())
    total = (x - top).exp().sum(dim=dim, keepdim=True).log() + top
    return total if keepdim else total.reshape(reduced(x.spec, dim=dim))


@reduction(
    FLOATS,
    expand=_logsumexp,
    sample=_sample(FLOATS),
    ulps=16,
    vjp=(lambda g, y, x, dim, keepdim: unreduced(g, x, dim) * (x - unreduced(where(y == -math.inf, 0, y), x, dim)).exp(),),
)
def logsumexp(x, *, dim: Dims = None, keepdim: bool = False):
    """log of the sum of exp, without overflow; of nothing, minus infinity."""
    top = np.max(x, dim, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0).astype(x.dtype)
    total = np.log(np.sum(np.exp(x - top), dim, keepdims=True)) + top
    return total if keepdim else np.squeeze(total, dim)


def _order(p: Any) -> float:
    if p is None or p == "fro":
        return 2.0
    if isinstance(p, str):
        raise ShapeError(f"norm's p is a number or 'fro' but {p!r} was given; for 'nuc' use linalg.matrix_norm")
    return float(p)


def _norm_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    p = _order(attrs["p"])
    return {**(_some(specs, attrs) if math.isinf(p) else attrs), "p": p}


def _norm_vjp(g: Any, y: Any, x: Any, p: float, dim: Dims, keepdim: bool, dtype: DType | None) -> Any:
    if dtype is not None:
        x = x.to(dtype=dtype)
    if p == 0:
        return x.zeros_like()
    g, y = unreduced(g, x, dim), unreduced(y, x, dim)
    if p == 1:
        return g * x.sgn()
    if p == 2:
        return where(y == 0, 0, x * (g / where(y == 0, 1, y)))
    if math.isinf(p):
        chosen = (x.abs() == y).to(dtype=y.dtype)
        return x.sgn() * (chosen * g / chosen.sum(dim=dim, keepdim=True))
    size = where(x == 0, 1, x.abs())
    return where((x == 0) | (y == 0), 0, x.sgn() * (size / where(y == 0, 1, y)) ** (p - 1) * g)


def _norm_sample(d: Any) -> Any:
    operands, attrs = _sample(INEXACT, filled=True)(d)
    return operands, {**attrs, "p": d.one([0, 1, 2, 3, 0.5, "fro", math.inf, -math.inf])}


@reduction_composite(INEXACT, canon=_norm_canon, vjp=(_norm_vjp,), sample=_norm_sample, ulps=32,
                     result=lambda x, *, p, dim, keepdim, dtype: real_of(dtype or x.dtype))  # fmt: skip
def norm(x, *, p: Any = "fro", dim: Dims = None, keepdim: bool = False, dtype: DType = None):
    """The p-norm of the elements along dim: (sum |x|^p)^(1/p); p may be 0, infinite, or "fro", which is 2."""
    x = x if dtype is None else x.to(dtype=dtype)
    half = x.dtype if x.dtype.kind == "f" and x.dtype.itemsize == 2 else None
    a = (x.to(dtype=float32) if half else x).abs()
    over = {"dim": dim, "keepdim": keepdim}
    if math.isinf(p):
        y = a.amax(**over) if p > 0 else a.amin(**over)
    elif p == 0:
        y = (a != 0).sum(**over).to(dtype=a.dtype)
    elif p == 1:
        y = a.sum(**over)
    elif p == 2:
        y = (a * a).sum(**over).sqrt()
    else:
        y = (a**p).sum(**over) ** (1 / p)
    return y.to(dtype=half) if half else y


@function()
def dist(x: Any, other: Any, p: Any = 2) -> Any:
    """The p-norm of a difference."""
    return norm(x - other, p=p)


@function(in_place=True)
def renorm(x: Any, p: Any, dim: int, maxnorm: Any) -> Any:
    """Parts along a dimension scaled down to a p-norm of at most ``maxnorm``."""
    dim = normalize_dim(dim, x.ndim)
    size = norm(x, p=p, dim=tuple([d for d in range(x.ndim) if d != dim]), keepdim=True)
    return where(size > maxnorm, x * (maxnorm / (size + 1e-7)), x)


@function()
def sum_to_size(x: Any, *size: Any) -> Any:
    """Summed over what broadcasting from a shape to x's own repeats."""
    shape = tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else size
    if broadcast_shapes(x.shape, shape) != x.shape:
        raise ShapeError(f"sum_to_size takes a shape that broadcasts to x's but was given {x.spec} and {shape}")
    front = x.ndim - len(shape)
    dims = [d for d in range(x.ndim) if d < front or (shape[d - front] == 1 and x.shape[d] != 1)]
    return (x.sum(tuple(dims)) if dims else x).reshape(shape)


# -- moments ---------------------------------------------------------------------------------------


def _freedom(x: Any, dim: Dims, correction: float) -> float:
    return max(0.0, _count(x, dim) - correction)


def _over(x: Any, n: float) -> Any:
    """A division by the degrees of freedom, of which there may be none."""
    return x / n if n else x * math.inf


def _var_vjp(g: Any, _y: Any, x: Any, dim: Dims, correction: float, keepdim: bool) -> Any:
    return unreduced(_over(2 * g, _freedom(x, dim, correction)), x, dim) * (x - x.mean(dim=dim, keepdim=True))


@in_single
def _var(x: Any, *, dim: Dims, correction: float, keepdim: bool) -> Any:
    rest = x - _mean(x, dim, True)
    size = rest * rest if x.dtype.kind == "f" else (rest * rest.conj()).real
    total = size.sum(dim=dim, keepdim=keepdim)
    return total / (_freedom(x, dim, correction) or total.zeros_like())


def _var_sample(d: Any) -> Any:
    operands, attrs = _sample(INEXACT)(d)
    return operands, {**attrs, "correction": d.one([0, 1, 2, 0.5])}


variance = partial(primitive, "T -> T", INEXACT, shape=reduced, sample=_var_sample, ulps=64, terms=_terms,
                   result=lambda x, **_: real_of(x.dtype))  # fmt: skip


@variance(vjp=(_var_vjp,), expand=_var)
def var(x, *, dim: Dims = None, correction: float = 1.0, keepdim: bool = False):
    """Variance: the squared distances from the mean, summed and divided by n - correction."""
    rest = x - np.divide(np.sum(x, dim, keepdims=True), _count(x, dim), dtype=x.dtype)
    total = np.sum((rest * rest.conj()).real, dim, keepdims=keepdim)
    return np.divide(total, _freedom(x, dim, correction), dtype=total.dtype)


def _std_vjp(g: Any, y: Any, x: Any, dim: Dims, correction: float, keepdim: bool) -> Any:
    return _var_vjp(where(y == 0, 0, g / (2 * y)), y, x, dim, correction, keepdim)


@variance(
    vjp=(_std_vjp,),
    expand=in_single(lambda x, *, dim, correction, keepdim: var(x, dim=dim, correction=correction, keepdim=keepdim).sqrt()),
)
def std(x, *, dim: Dims = None, correction: float = 1.0, keepdim: bool = False):
    """Standard deviation: the root of the variance."""
    return np.sqrt(var.fn(x, dim=dim, correction=correction, keepdim=keepdim))


def _moment_attrs(dim: Any, unbiased: Any, keepdim: bool, correction: Any, named: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of var and std out of PyTorch's two call forms."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    return {"dim": named.get("axis", dim), "correction": correction, "keepdim": named.get("keepdims", keepdim)}


def _moment(op: Op, doc: str, with_mean: bool = False) -> Callable[..., Any]:
    def found(
        x: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None, **named: Any
    ) -> Any:
        unknown = set(named) - {"axis", "keepdims"}
        if unknown:
            raise TypeError(f"{op.name} has no argument {sorted(unknown)[0]!r}: it is {op.torchlike}")
        attrs = _moment_attrs(dim, unbiased, keepdim, correction, named)
        if with_mean:
            return op(x, **attrs), mean(x, dim=attrs["dim"], keepdim=attrs["keepdim"])
        return op(x, **attrs)

    found.__doc__ = doc
    return found


function(name="var", front=True)(_moment(var, "Variance; correction=1, or unbiased=True, divides by n - 1."))
function(name="std", front=True)(_moment(std, "Standard deviation; correction=1, or unbiased=True, divides by n - 1."))
function(name="var_mean")(_moment(var, "Variance and mean.", with_mean=True))
function(name="std_mean")(_moment(std, "Standard deviation and mean.", with_mean=True))


def _nan_sample(d: Any) -> Any:
    operands, attrs = _sample(FLOATS)(d)
    x = operands[0]
    if x.size:
        x = x.copy()
        x.reshape(-1)[:: d.int(2, 5)] = np.nan
    return [x], attrs


@reduction_composite(ALL, result=_sum_dtype, sample=_nan_sample)
def nansum(x, *, dim: Dims = None, keepdim: bool = False, dtype: DType = None):
    """Sum of what is not NaN."""
    return where(x != x, 0, x).sum(dim=dim, keepdim=keepdim, dtype=dtype)


@reduction_composite(INEXACT, sample=_nan_sample)
def nanmean(x, *, dim: Dims = None, keepdim: bool = False):
    """Mean of what is not NaN; NaN where nothing else is."""
    n = (x == x).sum(dim=dim, keepdim=keepdim)
    return nansum(x, dim=dim, keepdim=keepdim) / n.to(dtype=real_of(x.dtype))


# -- cumulative operations -------------------------------------------------------------------------


def _same(x: Spec, **_: Any) -> tuple[int, ...]:
    return x.shape


def _cumulative_sample(types: Any, domain: Any = None) -> Any:
    def sample(d: Any) -> Any:
        shape = d.shape(min_dims=1)
        return [d.array(shape, d.dtype(types), domain)], {"dim": d.dim(shape)}

    return sample


def _scan(fn: Callable[[Any, Any], Any], x: Any, dim: int) -> Any:
    """Cumulative fn along dim, in as many steps as the size has binary digits."""
    n, step = x.shape[dim], 1
    while step < n:
        x = OPS["cat"](x.narrow(dim, 0, step), fn(x.narrow(dim, 0, n - step), x.narrow(dim, step, n - step)), dim=dim)
        step *= 2
    return x


def _from_behind(a: Any, b: Any, dim: int) -> Any:
    """The s with s[k] = b[k] + a[k] s[k + 1], by doubling: products only, so that zeros do no harm."""
    n, step = b.shape[dim], 1
    while step < n:
        near = n - step
        front = a.narrow(dim, 0, near)
        b = OPS["cat"](b.narrow(dim, 0, near) + front * b.narrow(dim, step, near), b.narrow(dim, near, step), dim=dim)
        a = OPS["cat"](front * a.narrow(dim, step, near), a.narrow(dim, near, step), dim=dim)
        step *= 2
    return b


def _length(x: Spec, *, dim: int, **_: Any) -> int:
    return x.shape[dim]


@primitive("T -> T", ALL, required=True, shape=_same, result=_sum_dtype, sample=_cumulative_sample(ALL), terms=_length,
           vjp=(lambda g, _y, _x, dim, dtype: g.flip(dim).cumsum(dim).flip(dim),))  # fmt: skip
def cumsum(x, *, dim: Dim, dtype: DType = None):
    """Sums of the elements up to each; of integers and booleans in int64."""
    return np.cumsum(_summable(x, dtype), dim)


def _cumprod_vjp(g: Any, y: Any, x: Any, dim: int, dtype: DType | None) -> Any:
    n = x.shape[dim]
    if x.spec.size == 0:
        return x.zeros_like()
    if dtype is not None:
        x = x.to(dtype=dtype)
    following = conj(OPS["cat"](x.narrow(dim, 1, n - 1), x.narrow(dim, 0, 1).zeros_like(), dim=dim))
    return conj(_exclusive(y, dim)) * _from_behind(following, g, dim)


def _cumprod(x: Any, *, dim: int, dtype: DType | None) -> Any:
    x = x.to(dtype=dtype or (int64 if x.dtype.kind in "biu" else x.dtype))
    return in_single(lambda z: _scan(lambda a, b: a * b, z, dim))(x)


@primitive("T -> T", ALL, shape=_same, result=_sum_dtype, sample=_cumulative_sample(ALL, (0.0, 1.5)), terms=_length,
           vjp=(_cumprod_vjp,), expand=_cumprod)  # fmt: skip
def cumprod(x, *, dim: Dim, dtype: DType = None):
    """Products of the elements up to each; of integers and booleans in int64."""
    return np.cumprod(_summable(x, dtype), dim)


def _scattered(gs: Any, ys: Any, _x: Any, dim: int, **_: Any) -> tuple[Any]:
    """The gradient of chosen elements, back where they came from."""
    return (OPS["scatter_add"](_x.zeros_like(), dim=dim, index=ys[1], src=gs[0]),)


def _cumulative_extreme(x: Any, dim: int, largest: bool) -> Any:
    wide = _comparable(x)
    best = (np.maximum if largest else np.minimum).accumulate(wide, dim)
    shape = [1] * x.ndim
    shape[dim] = -1
    here = np.arange(x.shape[dim]).reshape(shape)
    found = (wide == best) | (wide != wide)
    return best, np.maximum.accumulate(np.where(found, here, 0), dim)


def _extreme_scan(largest: bool) -> Any:
    def expand(x: Any, *, dim: int) -> Any:
        n, step = x.shape[dim], 1
        at = (x.zeros_like().to(dtype=int64) + 1).cumsum(dim) - 1
        while step < n:
            a, b = x.narrow(dim, 0, n - step), x.narrow(dim, step, n - step)
            i, j = at.narrow(dim, 0, n - step), at.narrow(dim, step, n - step)
            later = (b != b) | ((b >= a) if largest else (b <= a))
            x = OPS["cat"](x.narrow(dim, 0, step), where(later, b, a), dim=dim)
            at = OPS["cat"](at.narrow(dim, 0, step), where(later, j, i), dim=dim)
            step *= 2
        return x, at

    return expand


def _two_same(x: Spec, **_: Any) -> list[tuple[int, ...]]:
    return [x.shape, x.shape]


running = partial(
    primitive, "T -> T, int64", ORDERED, shape=_two_same, wide=False, vjp=_scattered, sample=_cumulative_sample(ORDERED)
)


@running(expand=_extreme_scan(True))
def cummax(x, *, dim: Dim):
    """The largest element so far and where it is, the last of equal ones; NaN from the first NaN on."""
    return _cumulative_extreme(x, dim, True)


@running(expand=_extreme_scan(False))
def cummin(x, *, dim: Dim):
    """The smallest element so far and where it is, the last of equal ones; NaN from the first NaN on."""
    return _cumulative_extreme(x, dim, False)


def _logcumsumexp_vjp(g: Any, y: Any, x: Any, dim: int) -> Any:
    """x[k] has its gradient from all y[i] behind, in the share exp(x[k] - y[i]); y never falls, so no exponential exceeds 1."""
    n = x.shape[dim]
    if x.spec.size == 0:
        return x.zeros_like()
    base = where(y == -math.inf, 0, y)
    following = OPS["cat"](base.narrow(dim, 1, n - 1), base.narrow(dim, n - 1, 1), dim=dim)
    return (x - base).exp() * _from_behind((y - following).exp(), g, dim)


@primitive("T -> T", FLOATS, shape=_same, sample=_cumulative_sample(FLOATS), vjp=(_logcumsumexp_vjp,), terms=_length, ulps=16,
           expand=in_single(lambda x, *, dim: _scan(lambda a, b: a.logaddexp(b), x, dim)))  # fmt: skip
def logcumsumexp(x, *, dim: Dim):
    """log of the cumulative sums of exp, without overflow."""
    return np.logaddexp.accumulate(x, dim)


# -- sorting ---------------------------------------------------------------------------------------


class ValuesIndices(NamedTuple):
    """Chosen elements and where they were along the dimension."""

    values: Any
    indices: Any


def _sort_sample(d: Any) -> Any:
    shape = d.shape(min_dims=1)
    return [d.array(shape, d.dtype(ORDERED))], {"dim": d.dim(shape), "descending": d.bool(), "stable": True}


@primitive("T -> T, int64", ORDERED, shape=_two_same, wide=False, vjp=_scattered, sample=_sort_sample)
def sort(x, *, dim: Dim = -1, descending: bool = False, stable: bool = False):
    """The elements in order along dim and where each was; NaN counts as largest, equal ones keep their order."""
    key = _comparable(x)
    if descending:
        at = np.argsort(np.flip(key, dim), dim, kind="stable")
        at = x.shape[dim] - 1 - np.flip(at, dim)
    else:
        at = np.argsort(key, dim, kind="stable")
    return np.take_along_axis(x, at, dim), at


@composite("T -> int64", ORDERED, shape=_same, sample=_sort_sample)
def argsort(x, *, dim: Dim = -1, descending: bool = False, stable: bool = False):
    """Where each element of the sorted tensor was; NaN counts as largest."""
    return sort(x, dim=dim, descending=descending, stable=stable)[1]


@composite("T -> T", ORDERED, shape=_same, sample=lambda d: ([d.array(d.shape(min_dims=1), d.dtype(ORDERED))], {}), ulps=0)
def msort(x):
    """Sorted along the first dimension."""
    return sort(x, dim=0)[0]


def _topk_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), k, dim = specs, attrs["k"], attrs["dim"]
    if not 0 <= k <= x.shape[dim]:
        raise ShapeError(f"topk's k is from 0 to the size {x.shape[dim]} of dimension {dim} of {x} but {k} was given")
    return dict(attrs)


def _topk_shape(x: Spec, *, k: int, dim: int, **_: Any) -> list[tuple[int, ...]]:
    shape = tuple([k if i == dim else n for i, n in enumerate(x.shape)])
    return [shape, shape]


def _topk_sample(d: Any) -> Any:
    shape = d.shape(min_dims=1)
    dim = d.dim(shape)
    return [d.array(shape, d.dtype(REALS))], {"k": d.int(0, shape[dim]), "dim": dim, "largest": d.bool(), "sorted": True}


@composite("T -> T, int64", ORDERED, shape=_topk_shape, canon=_topk_canon, sample=_topk_sample, ulps=0)
def topk(x, *, k: int, dim: Dim = -1, largest: bool = True, sorted: bool = True):
    """The k largest or smallest elements along dim, in order, and where each was; NaN counts as largest."""
    values, at = sort(x, dim=dim, descending=largest, stable=True)
    return values.narrow(dim, 0, k), at.narrow(dim, 0, k)


def _two_along(x: Spec, **attrs: Any) -> list[tuple[int, ...]]:
    return [_along(x, **attrs)] * 2


def _kth_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), k, dim = specs, attrs["k"], attrs["dim"]
    if not 1 <= k <= x.shape[dim]:
        raise ShapeError(f"kthvalue's k is from 1 to the size {x.shape[dim]} of dimension {dim} of {x} but {k} was given")
    return dict(attrs)


def _kth_sample(d: Any) -> Any:
    operands, attrs = _along_sample(REALS)(d)
    return operands, {**attrs, "k": d.int(1, operands[0].shape[attrs["dim"]])}


@composite("T -> T, int64", ORDERED, shape=_two_along, canon=_kth_canon, sample=_kth_sample, ulps=0)
def kthvalue(x, *, k: int, dim: Dim = -1, keepdim: bool = False):
    """The k-th smallest element along dim and where it is; NaN counts as largest."""
    found = [v.narrow(dim, k - 1, 1) for v in sort(x, dim=dim, stable=True)]
    return tuple([v if keepdim else v.squeeze(dim) for v in found])


@primitive("T -> T, int64", ORDERED, shape=_two_along, canon=_some, wide=False, sample=_along_sample(ORDERED), special=False,
           vjp=lambda gs, ys, _x, dim, keepdim: _back(gs, ys, _x, dim, keepdim))  # fmt: skip
def mode(x, *, dim: Dim = -1, keepdim: bool = False):
    """The most frequent element along dim, the smallest of several, and where it is last."""
    moved = np.moveaxis(x, dim, -1)
    at = np.argsort(_comparable(moved), -1, kind="stable")
    ordered = np.take_along_axis(moved, at, -1)
    here = np.arange(x.shape[dim])
    fresh = np.ones(ordered.shape, bool)
    fresh[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    begun = np.maximum.accumulate(np.where(fresh, here, 0), -1)
    best = np.argmax(here - begun, -1)[..., None]
    found = [np.take_along_axis(v, best, -1) for v in (ordered, at)]
    return tuple([np.moveaxis(v, -1, dim) if keepdim else v[..., 0] for v in found])


def _back(gs: Any, ys: Any, _x: Any, dim: int, keepdim: bool) -> tuple[Any]:
    """The gradient of one chosen element per row, back where it came from."""
    g, at = (v if keepdim else v.unsqueeze(dim) for v in (gs[0], ys[1]))
    return (OPS["scatter_add"](_x.zeros_like(), dim=dim, index=at, src=g),)


# -- medians and quantiles -------------------------------------------------------------------------


def _middle(x: Any, dim: int, keepdim: bool, skip: bool) -> ValuesIndices:
    """The lower median; NaN where there is one, or leaving those out."""
    _some([x.spec], {"dim": dim})
    values, at = sort(x, dim=dim, stable=True)
    n = x.shape[dim]
    nans = (x != x).sum(dim=dim, keepdim=True)
    place = ((n - 1 - nans) >> 1).clamp(0) if skip else where(nans > 0, n - nans, (n - 1) >> 1)
    found = [OPS["gather"](v, dim=dim, index=place) for v in (values, at)]
    return ValuesIndices(*[v if keepdim else v.squeeze(dim) for v in found])


def _median_of_all(skip: bool) -> Callable[[Any], Any]:
    def found(x: Any) -> Any:
        flat = x.reshape((x.spec.size,))
        return _middle(flat, 0, False, skip).values if x.spec.size else flat.sum() / 0

    return found


def _median_vjp(g: Any, y: Any, x: Any) -> Any:
    chosen = ((x == y) | ((x != x) & (y != y))).to(dtype=g.dtype)
    return chosen * (g / chosen.sum())


def _median_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    return dict(attrs) if specs[0].dtype.kind == "f" else _some(specs, {**attrs, "dim": None}) and dict(attrs)


of_all = partial(composite, "T -> T", REALS, shape=lambda x: (), canon=_median_canon, method=False, vjp=(_median_vjp,))


@of_all()
def median_all(x):
    """The lower median of all elements; NaN where there is one."""
    return _median_of_all(False)(x)


@of_all()
def nanmedian_all(x):
    """The lower median of all elements that are not NaN."""
    return _median_of_all(True)(x)


def _lifted(x: Any) -> Any:
    """A tensor without dimensions as one of size one."""
    return x.reshape((1,)) if x.ndim == 0 else x


def _median(x: Any, dim: Any, keepdim: bool, skip: bool) -> Any:
    if dim is None:
        return (nanmedian_all if skip else median_all)(x)
    whole = _lifted(x)
    found = _middle(whole, _normal(dim, whole), keepdim, skip)
    return ValuesIndices(*[v.reshape(()) for v in found]) if x.ndim == 0 else found


def _normal(dim: int, x: Any) -> int:
    return normalize_dim(dim, x.ndim)


@function()
def median(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower median of all elements; along dim, the values and where they are.  NaN where there is one."""
    return _median(x, dim, keepdim, False)


@function()
def nanmedian(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower median of what is not NaN; along dim, the values and where they are."""
    return _median(x, dim, keepdim, True)


_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _quantile_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    if attrs["interpolation"] not in _INTERPOLATIONS:
        raise ShapeError(
            f"quantile's interpolation is one of {', '.join(_INTERPOLATIONS)} but {attrs['interpolation']!r} was given"
        )
    if specs[1].ndim > 1:
        raise ShapeError(f"quantile's q is a number or has one dimension but {specs[1]} was given")
    return _some(specs, attrs)


def _quantile_shape(x: Spec, q: Spec, *, dim: int | None, keepdim: bool, **_: Any) -> tuple[int, ...]:
    return (*q.shape, *_along(x, dim=dim, keepdim=keepdim))


def _quantile(x: Any, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip: bool) -> Any:
    shape = _along(x.spec, dim=dim, keepdim=keepdim)
    rows = x.reshape((x.spec.size,)) if dim is None else x.movedim(dim, -1)
    values = sort(rows, dim=-1)[0]
    q1 = q.reshape((q.spec.size,))
    n = rows.shape[-1]
    nans = (rows != rows).sum(dim=-1, keepdim=True)
    last = (n - 1 - nans).clamp(0).to(dtype=x.dtype)
    rank = q1 * last if skip else where(nans > 0, n - 1, q1 * (n - 1))
    low, high = rank.floor(), rank.ceil()
    if interpolation == "nearest":
        low = rank.round()
    elif interpolation == "higher":
        low = high

    def at(place: Any) -> Any:
        return OPS["gather"](values, dim=rows.ndim - 1, index=place.to(dtype=int64))

    y = at(low)
    if interpolation in ("linear", "midpoint"):
        weight = rank - low if interpolation == "linear" else rank.full_like(0.5)
        y = y.lerp(at(high), weight)
    return y.movedim(-1, 0).reshape((*q.shape, *shape))


def _quantile_sample(d: Any) -> Any:
    shape = tuple([max(n, 1) for n in d.shape(min_dims=1)])
    dtype = d.dtype(FLOATS[2:])
    attrs = {"dim": None if d.bool() else d.dim(shape), "keepdim": d.bool(), "interpolation": d.one(list(_INTERPOLATIONS))}
    return [d.array(shape, dtype), d.array((d.int(1, 3),) if d.bool() else (), dtype, (0, 1))], attrs


fraction = partial(
    composite, "T, T -> T", FLOATS, shape=_quantile_shape, canon=_quantile_canon, sample=_quantile_sample, special=False
)


@fraction()
def quantile(x, q, *, dim: Dim = None, keepdim: bool = False, interpolation: str = "linear"):
    """What the fraction q of the elements does not exceed; NaN where there is one.  Several q come first in the result."""
    return _quantile(x, q, dim, keepdim, interpolation, False)


@fraction()
def nanquantile(x, q, *, dim: Dim = None, keepdim: bool = False, interpolation: str = "linear"):
    """What the fraction q of the elements that are not NaN does not exceed."""
    return _quantile(x, q, dim, keepdim, interpolation, True)


# -- PyTorch's call forms --------------------------------------------------------------------------


def _extreme(both: str, over: Op, where_: Op) -> Callable[..., Any]:
    def found(x: Any, *args: Any, **named: Any) -> Any:
        if "axis" in named:
            named["dim"] = named.pop("axis")
        if "keepdims" in named:
            named["keepdim"] = named.pop("keepdims")
        other = args[0] if args and not isinstance(args[0], (int, np.integer)) else named.pop("other", None)
        if other is not None:
            return OPS[both](x, other)
        names = ("dim", "keepdim")
        given = {**dict(zip(names, args)), **named}
        if len(args) > 2 or set(given) - set(names):
            raise TypeError(f"{over.name[1:]} takes (x), (x, dim, keepdim=False) or (x, other) but was given {args} {named}")
        if given.get("dim") is None:
            return over(x, keepdim=given.get("keepdim", False))
        whole = _lifted(x)
        dim = _normal(given["dim"], whole)
        at = where_(whole, dim=dim, keepdim=True)
        pair = [OPS["gather"](whole, dim=dim, index=at), at]
        if x.ndim == 0:
            pair = [v.reshape(()) for v in pair]
        elif not given.get("keepdim", False):
            pair = [v.squeeze(dim) for v in pair]
        return ValuesIndices(*pair)

    found.__doc__ = f"The {both} of all elements, of two tensors, or along dim: then the values and where the first of each is."
    return found


function(name="max")(_extreme("maximum", amax, argmax))
function(name="min")(_extreme("minimum", amin, argmin))


class MinMax(NamedTuple):
    """The smallest and the largest elements."""

    min: Any
    max: Any


@function()
def aminmax(x: Any, *, dim: Any = None, keepdim: bool = False) -> MinMax:
    """Minimum and maximum."""
    return MinMax(amin(x, dim=dim, keepdim=keepdim), amax(x, dim=dim, keepdim=keepdim))


def _front(op: Op, fields: Any = None) -> None:
    """Have an op along a dimension take tensors without any, and name its results."""

    def called(x: Any, *args: Any, **attrs: Any) -> Any:
        scalar = hasattr(x, "spec") and x.ndim == 0
        y = op(x.reshape((1,)) if scalar else x, *args, **attrs)
        if fields is None:
            return y.reshape(()) if scalar else y
        return fields(*[v.reshape(()) if scalar else v for v in y])

    called.__name__, called.__doc__ = op.name, op.doc
    function(name=op.name, front=True)(called)


for _op in (argmax, argmin, cumsum, cumprod, logcumsumexp, argsort, msort):
    _front(_op)
for _op in (cummax, cummin, sort, topk, kthvalue, mode):
    _front(_op, ValuesIndices)


# -- differences and areas -------------------------------------------------------------------------


@function()
def diff(x: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours along dim, n times; of booleans, whether they differ."""
    if n < 0 or x.ndim == 0:
        raise ShapeError(f"diff takes a tensor with dimensions and n of at least 0 but was given {x.spec}, n={n}")
    dim = _normal(dim, x)
    ends = [v for v in (prepend, x, append) if v is not None]
    if len(ends) > 1:
        x = OPS["cat"](*ends, dim=dim)
    for _ in range(min(n, x.shape[dim])):
        size = x.shape[dim]
        a, b = x.narrow(dim, 1, max(size - 1, 0)), x.narrow(dim, 0, max(size - 1, 0))
        x = OPS["logical_xor"](a, b) if x.dtype.kind == "b" else a - b
    return x


def _slices(y: Any, x: Any, dx: Any, dim: int) -> Any:
    """The areas of the trapezoids between neighbours."""
    n = y.shape[dim]
    heights = y.narrow(dim, 1, max(n - 1, 0)) + y.narrow(dim, 0, max(n - 1, 0))
    if x is None:
        return heights * ((1 if dx is None else dx) / 2)
    if dx is not None:
        raise TypeError("trapezoid takes the places x or their distance dx but was given both")
    along = dim if x.ndim == y.ndim else x.ndim - 1
    widths = diff(x, dim=along)
    if x.ndim == 1:
        widths = widths.reshape([-1 if i == dim else 1 for i in range(y.ndim)])
    return heights * widths / 2


@function()
def trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Any:
    """The integral along dim by the trapezoidal rule, at places x or at the distance dx (1)."""
    dim = _normal(dim, y)
    return _slices(y, x, dx, dim).sum(dim=dim)


also_called("trapz", trapezoid)


@function()
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Any:
    """The integral up to each place after the first."""
    dim = _normal(dim, y)
    return _slices(y, x, dx, dim).cumsum(dim)


# -- searching and counting ------------------------------------------------------------------------


def _search_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    table, x = specs
    if table.ndim == 0 or (table.ndim > 1 and table.shape[:-1] != x.shape[:-1]):
        raise ShapeError(
            f"searchsorted takes a sorted sequence of one dimension, or of the other's leading ones, but was given {table}, {x}"
        )
    return dict(attrs)


def _search_sample(d: Any) -> Any:
    shape, dtype = d.shape(min_dims=1), d.dtype(REALS)
    front = () if d.bool() else tuple(shape[:-1])  # one row for all, or one for each row of x
    table = np.sort(d.array((*front, d.size(0)), dtype, (-4, 4)))
    x = d.array(shape, dtype)
    if table.size and d.bool():
        x = np.where(d.array(shape, bool_), table.reshape(-1)[d.int(0, table.size - 1)], x).astype(x.dtype)
    return [table, x], {"right": d.bool(), "out_int32": d.bool()}


def _search_expand(table: Any, x: Any, *, right: bool, out_int32: bool) -> Any:
    n = table.shape[-1]
    rows = table.reshape((*table.shape[:-1], 1, n)) if table.ndim > 1 else table
    places = x.reshape((*x.shape, 1))
    before = (rows <= places) if right else (rows < places)
    return where(x != x, n, before.sum(dim=-1)).to(dtype=int32 if out_int32 else int64)


@primitive(
    "T, T -> int64",
    REALS,
    name="searchsorted",
    method=False,
    canon=_search_canon,
    sample=_search_sample,
    special=False,
    wide=True,
    shape=lambda table, x, **_: x.shape,
    result=lambda table, x, *, right, out_int32: int32 if out_int32 else int64,
    expand=_search_expand,
)
def _searchsorted(table, x, *, right: bool = False, out_int32: bool = False):
    """Where in a sorted sequence each value belongs: before equal elements, or after them (right)."""
    if table.ndim == 1:
        return np.asarray(np.searchsorted(table, x, "right" if right else "left"))
    n = table.shape[-1]
    low, high = np.zeros(x.shape, np.int64), np.full(x.shape, n, np.int64)
    for _ in range(n.bit_length()):
        middle = (low + high) // 2
        found = np.take_along_axis(table, np.minimum(middle, n - 1), -1)
        beyond = (low < high) & ~(found > x if right else found >= x)
        low, high = np.where(beyond, middle + 1, low), np.where(beyond, high, middle)
    return low


@function(method=False, front=True)
def searchsorted(
    sorted_sequence: Any, input: Any, *, out_int32: bool = False, right: bool = False, side: str | None = None, sorter: Any = None
) -> Any:
    """Where in a sorted sequence each value belongs: before equal elements, or after them (right)."""
    if side not in (None, "left", "right") or (side == "left" and right):
        raise ShapeError(
            f"searchsorted's side is 'left' or 'right', in agreement with right, but was given side={side!r}, right={right}"
        )
    if sorter is not None:
        sorted_sequence = OPS["gather"](sorted_sequence, dim=sorted_sequence.ndim - 1, index=sorter)
    return _searchsorted(sorted_sequence, input, right=right or side == "right", out_int32=out_int32)


@function()
def bucketize(input: Any, boundaries: Any, *, out_int32: bool = False, right: bool = False) -> Any:
    """Between which boundaries each value lies."""
    return _searchsorted(boundaries, input, right=right, out_int32=out_int32)


def _histc_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    if attrs["bins"] < 1 or attrs["max"] < attrs["min"]:
        raise ShapeError(f"histc takes at least one bin and max of at least min but was given {dict(attrs)}")
    return dict(attrs)


def _histc_sample(d: Any) -> Any:
    x = d.array(d.shape(), d.dtype(FLOATS[2:]))
    lo, hi = d.one([(-2.0, 2.0), (-1.0, 1.0), (0.0, 3.0), (0.0, 0.0)])
    if x.size and hi and d.bool():
        x.reshape(-1)[0], x.reshape(-1)[-1] = hi, lo  # what lies on an edge
    return [x], {"bins": d.int(1, 6), "min": lo, "max": hi}


@composite(
    "T -> T",
    FLOATS,
    shape=lambda x, *, bins, min, max: (bins,),
    canon=_histc_canon,
    special=False,
    sample=_histc_sample,
)
def histc(x, *, bins: int = 100, min: float = 0.0, max: float = 0.0):
    """How many elements fall into each of some equal bins from min to max; into the data's range where those are equal."""
    flat = x.reshape((x.spec.size,)).detach()
    low, high = flat.new_zeros() + min, flat.new_zeros() + max
    if min == max and x.spec.size:
        low, high = flat.amin(), flat.amax()
    low, high = where(low == high, low - 1, low), where(low == high, high + 1, high)
    inside = (flat >= low) & (flat <= high)
    place = where(inside, (flat - low) * bins / (high - low), 0).floor().clamp(0, bins - 1).to(dtype=int64)
    return OPS["scatter_add"](flat.new_zeros(bins), dim=0, index=place, src=inside.to(dtype=x.dtype))


def _isin_sample(d: Any) -> Any:
    shape, dtype = d.shape(), d.dtype(ALL)
    x, others = d.array(shape, dtype), d.array((d.int(0, 5),), dtype)
    if x.size and others.size:
        others[0] = x.reshape(-1)[-1]
    return [x, others], {"invert": d.bool()}


@composite("T, T -> bool", ALL, shape=lambda x, _t, **_: x.shape, sample=_isin_sample)
def isin(elements, test_elements, *, assume_unique: bool = False, invert: bool = False):
    """Whether each element is among others."""
    found = (elements.reshape((*elements.shape, 1)) == test_elements.reshape((test_elements.spec.size,))).any(dim=-1)
    return ~found if invert else found


# -- covariance ------------------------------------------------------------------------------------


@function()
def cov(x: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """The covariances of variables (rows) over observations (columns), which may have frequencies and weights."""
    if x.ndim > 2:
        raise ShapeError(f"cov takes at most two dimensions but was given {x.spec}")
    rows = x.reshape((1, x.spec.size)) if x.ndim < 2 else x
    if rows.dtype.kind not in "fc":
        rows = rows.to(dtype=float32)
    weights = None
    for given in (fweights, aweights):
        if given is not None:
            given = given.to(dtype=real_of(rows.dtype))
            weights = given if weights is None else weights * given
    n = rows.shape[1]
    if weights is None:
        rest = rows - rows.mean(dim=1, keepdim=True)
        total = rest @ conj(rest.t())
        y = total / max(n - correction, 0) if n > correction else total / total.real.zeros_like()
    else:
        whole = weights.sum()
        rest = rows - (rows * weights).sum(dim=1, keepdim=True) / whole
        scale = whole - correction if aweights is None else whole - correction * (weights * aweights).sum() / whole
        y = (rest * weights) @ conj(rest.t()) / scale.clamp(0)
    return y.reshape(()) if x.ndim < 2 else y


@function()
def corrcoef(x: Any) -> Any:
    """The correlations of variables (rows) over observations (columns)."""
    c = cov(x)
    if c.ndim == 0:
        return c / c
    d = c.diagonal().real.sqrt()
    y = c / d.reshape((-1, 1)) / d
    return y.clamp(-1, 1) if y.dtype.kind == "f" else y
