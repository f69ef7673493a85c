"""Products: matrices, vectors, outer products, einsum."""

from __future__ import annotations

import math
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from ..dtype import FLOATS, INEXACT, INTEGERS, NUMBERS, QUANTISED
from ..errors import DTypeError, ShapeError
from ..op import OPS, Spec, broadcast_shapes, composite, function, normalize_dim, primitive
from .elementwise import conj, where

# -- matrices and vectors --------------------------------------------------------------------------


@primitive(
    "T[m,k], T[k,n] -> T[m,n]", NUMBERS, name="matmul", required=True, terms=lambda a, b: max(a.shape[-1], 1),
    vjp=(lambda g, _y, _a, b: g @ b.mH, lambda g, _y, a, _b: a.mH @ g),
)  # fmt: skip
def _matmul(a, b):
    """Matrix product over the last two dimensions; the dimensions before them broadcast."""
    return np.matmul(a, b)


@function(front=True)
def matmul(a: Any, b: Any) -> Any:
    """Matrix product as PyTorch has it: of vectors their dot product, of a matrix and a vector a vector."""
    left, right = getattr(a, "ndim", 2), getattr(b, "ndim", 2)
    if left >= 2 and right >= 2:
        return _matmul(a, b)
    if left == 0 or right == 0:
        raise ShapeError(f"matmul takes tensors with dimensions but was given {a.spec}, {b.spec}; multiply by numbers with *")
    x = a[None, :] if left == 1 else a
    y = b[:, None] if right == 1 else b
    z = _matmul(x, y)
    if right == 1:
        z = z.squeeze(-1)
    if left == 1:
        z = z.squeeze(-1 if right == 1 else -2)
    return z


def _exactly(name: str, a: Any, b: Any, left: int, right: int) -> Any:
    if a.ndim != left or b.ndim != right:
        raise ShapeError(f"{name} takes tensors of {left} and {right} dimensions but was given {a.spec}, {b.spec}; use matmul")
    return matmul(a, b)


@function()
def mm(a: Any, b: Any) -> Any:
    """The product of two matrices [m,k], [k,n]."""
    return _exactly("mm", a, b, 2, 2)


@function()
def bmm(a: Any, b: Any) -> Any:
    """The products of two stacks of matrices [b,m,k], [b,k,n]."""
    if a.ndim == b.ndim == 3 and a.shape[0] != b.shape[0]:
        raise ShapeError(f"bmm takes as many matrices on both sides but was given {a.spec}, {b.spec}; use matmul to broadcast")
    return _exactly("bmm", a, b, 3, 3)


@function()
def mv(a: Any, b: Any) -> Any:
    """The product of a matrix [m,k] and a vector [k]."""
    return _exactly("mv", a, b, 2, 1)


@function()
def dot(a: Any, b: Any) -> Any:
    """The sum of the products of two vectors' elements."""
    return _exactly("dot", a, b, 1, 1)


@function()
def vdot(a: Any, b: Any) -> Any:
    """The same with the first vector conjugated."""
    return _exactly("vdot", conj(a), b, 1, 1)


@composite("T[k], T[k] -> T[]", NUMBERS, name="vecdot_last", method=False, terms=lambda a, b: max(a.shape[-1], 1))
def _vecdot(a, b):
    """The sum of the products of vectors along the last dimension, the first conjugated."""
    return (conj(a) * b).sum(-1, dtype=a.dtype)


@function()
def inner(a: Any, b: Any) -> Any:
    """Products summed over the last dimension of both."""
    if not a.ndim or not b.ndim:
        return a * b
    if a.shape[-1] != b.shape[-1]:
        raise ShapeError(f"inner takes equal last dimensions but was given {a.spec}, {b.spec}")
    return tensordot(a, b, ([-1], [-1]))


@composite("T[m], T[n] -> T[m,n]", NUMBERS)
def outer(a, b):
    """Every product of an element of one vector with one of the other."""
    return a[..., :, None] * b[..., None, :]


@function()
def ger(a: Any, b: Any) -> Any:
    """The same as outer."""
    return outer(a, b)


def _scaled(x: Any, factor: Any) -> Any:
    return x if factor == 1 else x * factor


def _added(name: str, x: Any, product: Any, beta: Any, alpha: Any) -> Any:
    if broadcast_shapes(x.shape, product.shape) != product.shape:
        raise ShapeError(f"{name} adds what broadcasts to the product, {product.spec}, but was given {x.spec}")
    y = _scaled(product, alpha)
    if beta == 0:  # as BLAS: then x is not looked at, not even for NaN
        return y + x.detach().zeros_like()
    return _scaled(x, beta) + y


@function(in_place=True)
def addmm(x: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * x + alpha * (a @ b), of matrices."""
    return _added("addmm", x, mm(a, b), beta, alpha)


@function(in_place=True)
def addmv(x: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * x + alpha * (a @ b), of a matrix and a vector."""
    return _added("addmv", x, mv(a, b), beta, alpha)


@function(in_place=True)
def addr(x: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * x + alpha * outer(a, b)."""
    return _added("addr", x, outer(a, b), beta, alpha)


@function(in_place=True)
def baddbmm(x: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * x + alpha * (a @ b), of stacks of matrices."""
    return _added("baddbmm", x, bmm(a, b), beta, alpha)


@function(in_place=True)
def addbmm(x: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    """beta * x + alpha times the sum of the products of stacks of matrices."""
    return _added("addbmm", x, bmm(a, b).sum(0), beta, alpha)


def _linear_sample(d: Any) -> Any:
    dtype = d.dtype(FLOATS)
    k, n = d.size(0), d.size(0)
    bias = d.array((n,), dtype) if d.bool() else None
    return [d.array((*d.shape(max_dims=3), k), dtype), d.array((n, k), dtype), bias], {}


def linear_shape(name: str) -> Callable[[Spec, Spec, Spec | None], tuple[int, ...]]:
    """The shape of ``x[..,k]`` times the transpose of ``weight[n,k]``."""

    def shape(x: Spec, w: Spec, bias: Spec | None) -> tuple[int, ...]:
        if (
            x.ndim < 1
            or w.ndim not in ((1, 2) if w.dtype.block == 1 else (2,))
            or x.shape[-1] != w.shape[-1]
            or (bias is not None and bias.shape not in (w.shape[:-1], ()))
        ):
            raise OPS[name].misfit((x, w, bias), "x[..,k] and weight[n,k] share k, bias is [n]")
        return (*x.shape[:-1], *w.shape[:-1])

    return shape


@composite("T, T, T? -> T", NUMBERS, name="linear", shape=linear_shape("linear"), sample=_linear_sample, method=False,
           terms=lambda x, w, b: max(w.shape[-1], 1))  # fmt: skip
def _linear(x, weight, bias):
    """x [.., k] times the transpose of weight [n, k], plus bias [n]."""
    y = matmul(x, weight if weight.ndim == 1 else weight.mT)
    return y if bias is None else y + bias


@function(method=False, front=True)
def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    """x [.., k] times the transpose of weight [n, k], which may be quantised, plus bias [n]."""
    if getattr(weight, "dtype", None) in QUANTISED:
        return OPS["quantized_linear"](x, weight, bias)
    return _linear(x, weight, bias)


def _grouped_sample(d: Any) -> Any:
    dtype = d.dtype(FLOATS)
    groups, n, k, rows = d.size(), d.size(0), d.size(0), d.size(0)
    return [d.array((rows, k), dtype), d.array((groups, n, k), dtype), d.ids((rows,), groups)], {}


def grouped_shape(name: str) -> Callable[..., tuple[int, ...]]:
    """The shape rule of products grouped by expert, for errors under the op's name."""

    def shape(x: Spec, w: Spec, ids: Spec) -> tuple[int, ...]:
        if x.ndim != 2 or w.ndim != 3 or x.shape[1] != w.shape[2] or ids.shape != x.shape[:1]:
            raise OPS[name].misfit((x, w, ids), "x is [t,k], weight [groups,n,k] and ids [t]")
        return x.shape[0], w.shape[1]

    return shape


def _grouped_vjp(g: Any, _y: Any, x: Any, w: Any, ids: Any) -> Any:
    groups = w.shape[0]
    mine = _rows_of(ids, groups)
    gw = OPS["stack"](*[where(mine[e].unsqueeze(1), g, 0).mT @ x for e in range(groups)], dim=0) if groups else w
    return _grouped_linear(g, w.mT, ids), gw, None


def _rows_of(ids: Any, groups: int) -> list[Any]:
    return [ids == e for e in range(groups)]


def _grouped_expand(x: Any, w: Any, ids: Any) -> Any:
    y = None
    for e, mine in enumerate(_rows_of(ids, w.shape[0])):
        part = where(mine.unsqueeze(1), x @ w.select(0, e).mT, 0)
        y = part if y is None else y + part
    return y if y is not None else x.new_zeros(x.shape[0], w.shape[1])


@primitive("T, T, I -> T", FLOATS, I=INTEGERS, shape=grouped_shape("grouped_linear"), sample=_grouped_sample, vjp=_grouped_vjp,
           expand=_grouped_expand, method=False, special=False, name="grouped_linear",
           terms=lambda x, w, ids: max(w.shape[-1], 1))  # fmt: skip
def _grouped_linear(x, weight, ids):
    """Row t of x [t,k] times the transpose of weight[ids[t]], one of [groups, n, k]: a mixture's experts.  [t, n]"""
    y = np.zeros((x.shape[0], weight.shape[1]), x.dtype)
    for e in np.unique(ids):
        rows = ids == e
        y[rows] = x[rows] @ weight[e].T
    return y


@function(method=False, front=True)
def grouped_linear(x: Any, weight: Any, ids: Any) -> Any:
    """Row t of x [t,k] times the transpose of weight[ids[t]], one of [groups, n, k], which may be quantised.  [t, n]"""
    return OPS["quantized_grouped_linear" if weight.dtype in QUANTISED else "grouped_linear"](x, weight, ids)


# -- sums of products over named dimensions --------------------------------------------------------


@function()
def tensordot(a: Any, b: Any, dims: Any = 2) -> Any:
    """Products summed over some dimensions: the last ``dims`` of a with the first of b, or two lists of them."""
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise ShapeError(f"tensordot takes 0 to {min(a.ndim, b.ndim)} dims of {a.spec}, {b.spec} but was given {dims}")
        left, right = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    else:
        sides = [[s] if isinstance(s, int) else list(s) for s in dims]
        left = [normalize_dim(d, a.ndim, "tensordot's dims") for d in sides[0]]
        right = [normalize_dim(d, b.ndim, "tensordot's dims") for d in sides[1]]
    if [a.shape[d] for d in left] != [b.shape[d] for d in right] or len(set(left)) < len(left) or len(set(right)) < len(right):
        raise ShapeError(f"tensordot cannot sum dims {left} of {a.spec} with dims {right} of {b.spec}: their sizes differ")
    keep_a = [d for d in range(a.ndim) if d not in left]
    keep_b = [d for d in range(b.ndim) if d not in right]
    k = math.prod(a.shape[d] for d in left)
    x = a.permute((*keep_a, *left)).reshape((math.prod(a.shape[d] for d in keep_a), k))
    y = b.permute((*right, *keep_b)).reshape((k, math.prod(b.shape[d] for d in keep_b)))
    return matmul(x, y).reshape((*[a.shape[d] for d in keep_a], *[b.shape[d] for d in keep_b]))


def _parse(equation: str, shapes: Sequence[tuple[int, ...]]) -> tuple[list[list[str]], list[str]]:
    """Labels of each operand's dimensions and of the result's; those of an ellipsis are ..., "...1", "...0"."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    if len(parts) != len(shapes):
        raise ShapeError(f"einsum's {equation!r} names {len(parts)} operands but {len(shapes)} were given")
    width = 0
    labelled: list[list[str]] = []

    def expanded(part: str, dots: int) -> list[str]:
        before, dot, after = part.partition("...")
        letters = [*before, *[f"...{n}" for n in range(dots - 1, -1, -1)], *after] if dot else list(part)
        if not all(c.isalpha() or c.startswith("...") for c in letters):
            raise ShapeError(f"einsum's {equation!r} is made of letters, commas, '...' and '->'")
        return letters

    for part, shape in zip(parts, shapes):
        dots = len(shape) - len(part.replace("...", "")) if "..." in part else 0
        letters = expanded(part, dots)
        if dots < 0 or len(letters) != len(shape):
            raise ShapeError(f"einsum's {part!r} names {len(letters)} dimensions but the operand has {len(shape)}: {shape}")
        width = max(width, dots)
        labelled.append(letters)
    if arrow:
        result = expanded(right, width)
        known = {c for part in labelled for c in part}
        if set(result) - known - {f"...{n}" for n in range(width)} or len(set(result)) < len(result):
            raise ShapeError(f"einsum's {equation!r} has a result that names a dimension twice or one that no operand has")
    else:
        flat = [c for part in labelled for c in part if not c.startswith("...")]
        result = [f"...{n}" for n in range(width - 1, -1, -1)] + sorted(c for c in set(flat) if flat.count(c) == 1)
    return labelled, result


def _sizes(equation: str, labelled: Sequence[Sequence[str]], shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for letters, shape in zip(labelled, shapes):
        for c, n in zip(letters, shape):
            have = sizes.setdefault(c, n)
            if have == 1:
                sizes[c] = n
            elif n not in (1, have):
                raise ShapeError(f"einsum's {equation!r} has {c!r} of sizes {have} and {n}")
    return sizes


def _einsum_shape(*xs: Spec, equation: str) -> list[int]:
    shapes = [x.shape for x in xs]
    labelled, result = _parse(equation, shapes)
    sizes = _sizes(equation, labelled, shapes)
    return [sizes.get(c, 1) for c in result]


def _diagonals(x: Any, letters: list[str]) -> tuple[Any, list[str]]:
    """A letter that comes twice in one operand is its diagonal."""
    at = next((i for i, c in enumerate(letters) if c in letters[:i]), None)
    while at is not None:
        first = letters.index(letters[at])
        c = letters[at]
        letters = [*letters[:first], *letters[first + 1 : at], *letters[at + 1 :], c]
        x = x.diagonal(0, first, at)
        at = next((i for i, c in enumerate(letters) if c in letters[:i]), None)
    return x, letters


def _contract(a: Any, la: list[str], b: Any, lb: list[str], keep: set[str]) -> tuple[Any, list[str]]:
    """The product of two operands, summed over what neither the result nor another operand names: one matrix product."""
    a, la = _summed(a, la, keep | set(lb))
    b, lb = _summed(b, lb, keep | set(la))
    sa, sb = dict(zip(la, a.shape)), dict(zip(lb, b.shape))
    both = [c for c in la if c in lb]
    if any(sa[c] != sb[c] for c in both if c not in keep):
        a = a.expand([sb[c] if n == 1 and c in sb else n for c, n in sa.items()])
        b = b.expand([sa[c] if n == 1 and c in sa else n for c, n in sb.items()])
        sa, sb = dict(zip(la, a.shape)), dict(zip(lb, b.shape))
    batch = [c for c in both if c in keep]
    inner_ = [c for c in both if c not in keep]
    rows = [c for c in la if c not in both]
    columns = [c for c in lb if c not in both]
    x = a.permute([la.index(c) for c in (*batch, *rows, *inner_)])
    y = b.permute([lb.index(c) for c in (*batch, *inner_, *columns)])
    nb = len(batch)
    k = math.prod(sa[c] for c in inner_)
    x = x.reshape((*x.shape[:nb], math.prod(sa[c] for c in rows), k))
    y = y.reshape((*y.shape[:nb], k, math.prod(sb[c] for c in columns)))
    z = matmul(x, y)
    return z.reshape((*z.shape[:nb], *[sa[c] for c in rows], *[sb[c] for c in columns])), [*batch, *rows, *columns]


def _summed(x: Any, letters: list[str], keep: set[str]) -> tuple[Any, list[str]]:
    gone = tuple([i for i, c in enumerate(letters) if c not in keep])
    return (x.sum(gone, dtype=x.dtype) if gone else x), [c for c in letters if c in keep]


def _einsum_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> Mapping[str, Any]:
    if not specs:
        raise ShapeError("einsum takes at least one operand")
    return attrs


def _einsum_sample(d: Any) -> Any:
    equation = d.one(
        [
            "ij,jk->ik",
            "bij,bjk->bik",
            "ii->i",
            "ij->ji",
            "i,j->ij",
            "ij,ij->",
            "...ij,...jk->...ik",
            "ij,jk,kl->il",
            "iji->j",
            "bhid,bhjd->bhij",
        ]
    )
    dtype = d.dtype(FLOATS)
    letters: dict[str, int] = {}
    shapes = []
    for part in equation.partition("->")[0].split(","):
        shapes.append(tuple([letters.setdefault(c, d.size(0)) for c in part.replace("...", "z")]))
    return [d.array(s, dtype) for s in shapes], {"equation": equation}


@composite("T* -> T", NUMBERS, name="einsum_of", method=False, shape=_einsum_shape, canon=_einsum_canon, sample=_einsum_sample,
           terms=lambda *xs, equation: max([1, *[n for x in xs for n in x.shape]]) ** 2)  # fmt: skip
def _einsum(*xs, equation: str):
    """Products of the operands, summed over the letters that the result does not name."""
    shapes = [x.shape for x in xs]
    labelled, result = _parse(equation, shapes)
    sizes = _sizes(equation, labelled, shapes)
    terms = [_diagonals(x, list(letters)) for x, letters in zip(xs, labelled)]
    while len(terms) > 1:
        (a, la), (b, lb), *rest = terms
        keep = set(result).union(*[letters for _, letters in rest])
        terms = [_contract(a, la, b, lb, keep), *rest]
    y, letters = _summed(*terms[0], set(result))
    missing = [c for c in result if c not in letters]
    if missing:
        y = y.reshape((*y.shape, *[1 for _ in missing]))
        letters = [*letters, *missing]
    y = y.permute([letters.index(c) for c in result])
    shape = [sizes.get(c, 1) for c in result]
    return y if list(y.shape) == shape else y.expand(shape)


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _lettered(args: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """An equation from tensors and lists of numbers in turn, the result's list last."""

    def part(numbers: Any) -> str:
        if not all(n is Ellipsis or (isinstance(n, int) and 0 <= n < len(_LETTERS)) for n in numbers):
            raise ShapeError(f"einsum's dimensions are numbered from 0 to {len(_LETTERS) - 1} but {list(numbers)} was given")
        return "".join(["..." if n is Ellipsis else _LETTERS[n] for n in numbers])

    pairs = len(args) // 2
    equation = ",".join([part(args[2 * i + 1]) for i in range(pairs)])
    return equation + ("->" + part(args[-1]) if len(args) % 2 else ""), tuple(args[: 2 * pairs : 2])


@function(method=False)
def einsum(equation: str, *operands: Any) -> Any:
    """Einstein's summation: ``einsum("bij,bjk->bik", x, y)``; ``...`` stands for dimensions that broadcast.

    Also ``einsum(x, [0, 1], y, [1, 2], [0, 2])``, numbers below 52 in place of letters.
    """
    if hasattr(equation, "spec") and operands:
        equation, operands = _lettered((equation, *operands))
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    if not isinstance(equation, str):
        raise DTypeError(f"einsum takes an equation such as 'ij,jk->ik' first but was given {type(equation).__name__}")
    return _einsum(*operands, equation=equation)


# -- others ----------------------------------------------------------------------------------------


@function()
def chain_matmul(*matrices: Any) -> Any:
    """The product of matrices in turn; see ``linalg.multi_dot`` for the cheapest order."""
    if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)):
        matrices = tuple(matrices[0])
    y = matrices[0]
    for m in matrices[1:]:
        y = y @ m
    return y


@function()
def kron(a: Any, b: Any) -> Any:
    """The Kronecker product."""
    n = max(a.ndim, b.ndim)
    x = a.reshape((1,) * (n - a.ndim) + a.shape)
    y = b.reshape((1,) * (n - b.ndim) + b.shape)
    shape = [p * q for p, q in zip(x.shape, y.shape)]
    x = x.reshape([m for p in x.shape for m in (p, 1)])
    y = y.reshape([m for q in y.shape for m in (1, q)])
    return (x * y).reshape(shape)


def _cross_shape(a: Spec, b: Spec, *, dim: int) -> tuple[int, ...]:
    shape = broadcast_shapes(a.shape, b.shape)
    if shape is None or a.shape[dim] != 3 or b.shape[dim] != 3:
        raise OPS["linalg_cross"].misfit((a, b), f"dimension {dim} has to be of size 3 in both")
    return shape


def _cross_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    a, b = specs
    if a.ndim != b.ndim:
        raise ShapeError(f"cross takes tensors of equal rank but was given {a}, {b}")
    return {"dim": normalize_dim(attrs["dim"], a.ndim, "cross's dim")}


def _cross_sample(d: Any) -> Any:
    dtype = d.dtype(INEXACT)
    shape = [*d.shape(max_dims=3)]
    dim = d.int(0, len(shape))
    shape.insert(dim, 3)
    other = [1 if at != dim and d._pick(5) == 0 else n for at, n in enumerate(shape)]
    return [d.array(shape, dtype), d.array(other, dtype)], {"dim": dim - len(shape) if d.bool() else dim}


@composite(
    "T, T -> T", NUMBERS, method=False, shape=_cross_shape, canon=_cross_canon, sample=_cross_sample, terms=lambda a, b, dim: 2
)
def linalg_cross(a, b, *, dim: int = -1):
    """The cross product of vectors of three along a dimension."""
    shape = broadcast_shapes(a.shape, b.shape)
    a, b = a.expand(shape), b.expand(shape)
    x, y = a.roll(-1, dim), a.roll(-2, dim)
    return x * b.roll(-2, dim) - y * b.roll(-1, dim)


@function()
def cross(a: Any, b: Any, dim: Any = None) -> Any:
    """The cross product along a dimension, by default the first of size three."""
    if dim is None:
        dim = next((i for i, n in enumerate(a.shape) if n == 3), None)
        if dim is None:
            raise ShapeError(f"cross takes a dimension of size 3 but was given {a.spec}")
    return linalg_cross(a, b, dim=dim)


@function()
def trace(x: Any) -> Any:
    """The sum of a matrix' diagonal."""
    if x.ndim != 2:
        raise ShapeError(f"trace takes a matrix but was given {x.spec}")
    return x.diagonal().sum()
