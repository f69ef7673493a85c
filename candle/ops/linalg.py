"""Linear algebra: decompositions, solutions, inverses, norms.

A backend may lack the decompositions (cholesky, eig, eigh, lu_factor, qr, svd); the rest expands into them and products.
Gradients follow M. B. Giles, "An extended collection of matrix derivative results for forward and reverse mode
automatic differentiation" (2008), and those named with each op; complex ones are PyTorch's, conjugated.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Callable, Mapping, NamedTuple, Sequence

import numpy as np

from ..dtype import EVERY, NUMBERS, complex64, complex128, complex_of, finfo, float32, float64, int32, int64, real_of
from ..errors import DTypeError, GradientError, LinAlgError, ShapeError
from ..op import OPS, Spec, broadcast_shapes, composite, function, normalize_dim, primitive
from .elementwise import alias, also_called, conj, where
from .linear import _matmul, _vecdot, matmul
from .movement import cat
from .reduce import norm

LAPACK = (float32, float64, complex64, complex128)


# -- what test operands look like ------------------------------------------------------------------


def _calm(d: Any, shape: Sequence[int], dtype: Any) -> Any:
    """Numbers of magnitude at most 1."""
    x = d.array(tuple(shape), dtype)
    x = np.where(np.isfinite(x), x, 0).astype(x.dtype)
    most = np.abs(x).max(initial=0)
    return x / most.astype(x.real.dtype) if most > 1 else x


def _front(d: Any) -> tuple[int, ...]:
    return tuple([min(n, 3) for n in d.shape(max_dims=2)])


def _side(d: Any) -> int:
    return min(d.size(0), 20)


def _near_diagonal(d: Any, batch: Sequence[int], m: int, n: int, dtype: Any) -> Any:
    """Matrices near diag(k, .., 2, 1): well-conditioned, their eigenvalues and singular values apart."""
    x = _calm(d, (*batch, m, n), dtype) * np.asarray(0.2 / max(m, n, 1)).astype(dtype.numpy)
    k = min(m, n)
    x[..., np.arange(k), np.arange(k)] += np.arange(k, 0, -1).astype(dtype.numpy)
    return x


def _square(d: Any, dtype: Any = None, turn: bool = True) -> Any:
    """Matrices that have an inverse; with ``turn``, their rows out of order."""
    n = _side(d)
    x = _near_diagonal(d, _front(d), n, n, d.dtype(LAPACK) if dtype is None else dtype)
    return np.roll(x, 1, -2) if turn and d.bool() else x


def _maybe_singular(d: Any) -> Any:
    x = _square(d)
    if d.case.content == "large" and x.size:
        x[..., 0, :] = 0
    return [x], {}


def _hermitian(d: Any) -> Any:
    x = _square(d, turn=False)
    return (x + x.swapaxes(-1, -2).conj()) / 2


def _one_triangle(d: Any, upper: bool) -> Any:
    """A Hermitian matrix of which the triangle that is not looked at holds something else."""
    x = _hermitian(d)
    return np.where(np.tri(x.shape[-1], dtype=bool).T if upper else np.tri(x.shape[-1], dtype=bool), x, 7).astype(x.dtype)


def _oblong(d: Any) -> Any:
    m, n = _side(d), _side(d)
    return _near_diagonal(d, _front(d), m, n, d.dtype(LAPACK))


def _ramp(like: Any, k: int) -> Any:
    from ..create import arange

    return arange(k, device=like.backend).to(dtype=real_of(like.dtype)) + 1


# -- parts that recur ------------------------------------------------------------------------------


def _rows(x: Any) -> int:
    return max(x.shape[-1], 1)


def _eye(like: Any, n: int) -> Any:
    from ..create import eye

    return eye(n, dtype=like.dtype, device=like.backend)


def _diagonal(x: Any) -> Any:
    return x.diagonal(0, -2, -1)


def _reciprocal(x: Any) -> Any:
    """1 / x, and 0 where x is: what equal eigenvalues contribute to a gradient that does not tell them apart."""
    return where(x == 0, 0, 1 / where(x == 0, 1, x))


def _real_dtype(x: Spec, **_: Any) -> Any:
    return real_of(x.dtype)


def _lapack(name: str, why: str, fn: Callable[..., Any], *args: Any, **settings: Any) -> Any:
    """Call NumPy's linear algebra; raises LinAlgError in this project's words."""
    try:
        return fn(*args, **settings)
    except np.linalg.LinAlgError as e:
        shape = "x".join(map(str, args[0].shape))
        raise LinAlgError(f"linalg.{name} {why} of the {shape} {args[0].dtype} given ({e})") from None


@primitive("T -> T", EVERY, method=False, wide=False, shape=lambda x, why: x.shape,
           sample=lambda d: ([d.array(d.shape(), float32)], {"why": "it has none"}),
           vjp=(lambda g, _y, _x, why: _refused(why),), expand=lambda x, why: alias(x))  # fmt: skip
def no_gradient(x, *, why: str):
    """The same value; a gradient that comes back to it raises GradientError, which says why."""
    return x


def _refused(why: str) -> Any:
    raise GradientError(why)


# -- Cholesky --------------------------------------------------------------------------------------


def _cholesky_vjp(g: Any, y: Any, _x: Any, upper: bool) -> Any:
    """I. Murray: Differentiation of the Cholesky decomposition (2016)."""
    if upper:
        g, y = g.mH, y.mH
    inner = (y.mH @ g).tril()
    inner = inner - (_diagonal(inner) * 0.5).diag_embed()
    both = (inner + inner.mH) * 0.5
    left = triangular(y.mH, both, upper=True)
    return triangular(y, left, upper=False, left=False)


def _positive_sample(d: Any) -> Any:
    upper = d.bool()
    return [_one_triangle(d, upper) if d.bool() else _hermitian(d)], {"upper": upper}


@primitive("T[n,n] -> T[n,n]", LAPACK, method=False, vjp=(_cholesky_vjp,), sample=_positive_sample,
           terms=lambda x, upper: _rows(x), ulps=64, special=False)  # fmt: skip
def linalg_cholesky(x, *, upper: bool = False):
    """L of a Hermitian positive-definite matrix x = L L^H, lower triangular, or with ``upper`` U of x = U^H U.

    Looks at the lower (upper) triangle of x only; raises LinAlgError where x is not positive-definite.
    """
    return _lapack("cholesky", "takes positive-definite matrices, but not all are", np.linalg.cholesky, x, upper=upper)


@function()
def cholesky_solve(B: Any, L: Any, upper: bool = False) -> Any:
    """X of A X = B, from the Cholesky factor of A."""
    if upper:
        return triangular(L, triangular(L.mH, B, upper=False), upper=True)
    return triangular(L.mH, triangular(L, B, upper=False), upper=True)


@function(method=False)
def linalg_cholesky_solve(B: Any, L: Any, upper: bool = False) -> Any:
    """X of A X = B, from the Cholesky factor of A."""
    return cholesky_solve(B, L, upper)


@function()
def cholesky_inverse(L: Any, upper: bool = False) -> Any:
    """The inverse of a matrix, from its Cholesky factor."""
    return cholesky_solve(_eye(L, L.shape[-1]), L, upper)


# -- triangular systems ----------------------------------------------------------------------------


def _triangular_shape(a: Spec, b: Spec, *, upper: bool, left: bool, unitriangular: bool) -> tuple[int, ...]:
    front = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if front is None or b.ndim < 2 or a.shape[-1] != b.shape[-2 if left else -1]:
        raise OPS["linalg_solve_triangular"].misfit((a, b), f"B has as many {'rows' if left else 'columns'} as A")
    return (*front, *b.shape[-2:])


def _triangular_vjp(g: Any, y: Any, a: Any, _b: Any, upper: bool, left: bool, unitriangular: bool) -> tuple[Any, Any]:
    gb = triangular(a.mH, g, upper=not upper, left=left, unitriangular=unitriangular)
    ga = -(gb @ y.mH if left else y.mH @ gb)
    edge = 1 if unitriangular else 0
    return (ga.triu(edge) if upper else ga.tril(-edge)), gb


def _triangular_sample(d: Any) -> Any:
    dtype = d.dtype(LAPACK)
    a = _square(d, dtype, turn=False)
    n, k = a.shape[-1], _side(d)
    left = d.bool()
    b = _calm(d, (*a.shape[:-2], *((n, k) if left else (k, n))), dtype)
    return [a, b], {"upper": d.bool(), "left": left, "unitriangular": d.bool()}


@primitive("T[n,n], T -> T", LAPACK, name="linalg_solve_triangular", method=False, shape=_triangular_shape, vjp=_triangular_vjp,
           sample=_triangular_sample, terms=lambda a, b, **_: _rows(a), ulps=64, special=False)  # fmt: skip
def triangular(A, B, *, upper: bool, left: bool = True, unitriangular: bool = False):
    """X of A X = B, or with ``left=False`` of X A = B, A triangular; the other triangle of A is not looked at.

    ``unitriangular`` takes A's diagonal for ones.  Zeros on the diagonal give infinities and NaN.
    """
    if not left:
        return triangular.fn(A.swapaxes(-1, -2), B.swapaxes(-1, -2), upper=not upper, unitriangular=unitriangular).swapaxes(
            -1, -2
        )
    n = A.shape[-1]
    front = np.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    x = np.broadcast_to(B, (*front, *B.shape[-2:])).copy()
    for i in range(n - 1, -1, -1) if upper else range(n):
        known = slice(i + 1, n) if upper else slice(0, i)
        row = x[..., i : i + 1, :]
        row -= A[..., i : i + 1, known] @ x[..., known, :]
        if not unitriangular:
            row /= A[..., i : i + 1, i : i + 1]
    return x


# -- LU --------------------------------------------------------------------------------------------


class LU(NamedTuple):
    """L and U in one matrix, and the row (counted from 1) that each row changed places with."""

    LU: Any
    pivots: Any


class PLU(NamedTuple):
    """A matrix as a permutation times a lower, unit triangular times an upper triangular one."""

    P: Any
    L: Any
    U: Any


def _lower(lu: Any) -> Any:
    m, n = lu.shape[-2:]
    k = min(m, n)
    from ..create import eye

    return lu[..., :k].tril(-1) + eye(m, k, dtype=lu.dtype, device=lu.backend)


def _upper(lu: Any) -> Any:
    return lu[..., : min(lu.shape[-2:]), :].triu()


def _lu_vjp(gs: Any, ys: Any, _x: Any, pivot: bool) -> tuple[Any]:
    """With A = P [L1; L2] [U1, U2], the blocks outside the leading square solved for first, then Giles's formula for that."""
    g, lu = gs[0], ys[0]
    m, n = lu.shape[-2:]
    k = min(m, n)
    lower, upper, gl, gu = _lower(lu), _upper(lu), g[..., :k].tril(-1), g[..., :k, :].triu()
    l1, u1, gl1, gu1 = lower[..., :k, :], upper[..., :k], gl[..., :k, :], gu[..., :k]
    below = right = None
    if m > k:
        below = triangular(u1.mH, gl[..., k:, :], upper=False, left=False)
        gu1 = gu1 - lower[..., k:, :].mH @ below
    if n > k:
        right = triangular(l1.mH, gu[..., k:], upper=True, unitriangular=True)
        gl1 = gl1 - right @ upper[..., k:].mH
    inner = (l1.mH @ gl1).tril(-1) + (gu1 @ u1.mH).triu()
    found = triangular(l1.mH, inner, upper=True, unitriangular=True)
    found = triangular(u1.mH, found, upper=False, left=False)
    if right is not None:
        found = cat([found, right], dim=-1)
    if below is not None:
        found = cat([found, below], dim=-2)
    return (_permutation(ys[1], m, lu.dtype) @ found,)


def _lu_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> Mapping[str, Any]:
    if not attrs["pivot"]:
        raise ShapeError("linalg.lu_factor and linalg.lu exchange rows; pass pivot=True")
    return attrs


@primitive("T[m,n] -> T, int32", LAPACK, name="linalg_lu_factor", method=False, canon=_lu_canon, vjp=_lu_vjp,
           shape=lambda x, pivot: [x.shape, (*x.shape[:-2], min(x.shape[-2:]))], result=lambda x, pivot: [x.dtype, int32],
           sample=lambda d: ([np.roll(_oblong(d), d.int(0, 1), -2)], {"pivot": True}),
           terms=lambda x, **_: _rows(x), ulps=64, special=False)  # fmt: skip
def lu_factor(A, *, pivot: bool = True):
    """L and U of A = P L U in one matrix (L's diagonal, ones, left out), and the pivots that tell P."""
    x = np.array(A, order="C")
    m, n = x.shape[-2:]
    flat = x.reshape(math.prod(x.shape[:-2]), m, n)
    at = np.arange(len(flat))
    pivots = np.empty((len(flat), min(m, n)), np.int32)
    for j in range(min(m, n)):
        column = flat[:, j:, j]
        size = np.abs(column.real) + np.abs(column.imag) if x.dtype.kind == "c" else np.abs(column)
        p = j + np.argmax(size, 1)
        pivots[:, j] = p + 1
        rows = flat[at, p]
        flat[at, p] = flat[:, j]
        flat[:, j] = rows
        pivot_ = flat[:, j : j + 1, j]
        flat[:, j + 1 :, j] /= np.where(pivot_ == 0, 1, pivot_)
        flat[:, j + 1 :, j + 1 :] -= flat[:, j + 1 :, j : j + 1] * flat[:, j : j + 1, j + 1 :]
    return x, pivots.reshape(*x.shape[:-2], min(m, n))


@function(method=False, name="linalg_lu_factor", front=True)
def _lu_factor(A: Any, *, pivot: bool = True) -> Any:
    """L and U of A = P L U in one matrix, and the pivots that tell P; for ``lu_solve``."""
    return LU(*lu_factor(A, pivot=pivot))


def _swaps_expand(pivots: Any, *, m: int) -> Any:
    from ..create import arange

    here = arange(m, device=pivots.backend)
    order = here.expand((*pivots.shape[:-1], m))
    for i in range(pivots.shape[-1]):
        other = pivots[..., i : i + 1].to(dtype=int64) - 1
        here_was, there_was = order[..., i : i + 1], order.gather(-1, other)
        order = where(here == i, there_was, where(here == other, here_was, order))
    return order


def _swaps_sample(d: Any) -> Any:
    m = max(_side(d), 1)
    k = d.int(0, m)
    batch = _front(d)
    free = d.ids((*batch, k), m, int32)
    return [np.maximum(free, np.arange(k, dtype=np.int32)) + np.int32(1)], {"m": m}


@primitive("I[k] -> int64", I=(int32, int64), method=False, wide=False, shape=lambda pivots, *, m: (*pivots.shape[:-1], m),
           expand=_swaps_expand, sample=_swaps_sample)  # fmt: skip
def lu_permutation(pivots, *, m: int):
    """The order of m rows after each has changed places with that which its pivot (counted from 1) names."""
    k = pivots.shape[-1]
    flat = pivots.reshape(math.prod(pivots.shape[:-1]), k)
    at = np.arange(len(flat))
    order = np.tile(np.arange(m), (len(flat), 1))
    for i in range(k):
        p = flat[:, i] - 1
        there = order[at, p]
        order[at, p] = order[:, i]
        order[:, i] = there
    return order.reshape(*pivots.shape[:-1], m)


def _permutation(pivots: Any, m: int, dtype: Any) -> Any:
    """The matrix P of A = P L U."""
    from ..create import arange

    order = lu_permutation(pivots, m=m)
    return (arange(m, device=pivots.backend).unsqueeze(-1) == order.unsqueeze(-2)).to(dtype=dtype)


@function(method=False)
def linalg_lu(A: Any, *, pivot: bool = True) -> Any:
    """P, L and U of A = P L U: a permutation, a lower triangular matrix with ones on its diagonal, an upper triangular one."""
    lu, pivots = lu_factor(A, pivot=pivot)
    return PLU(_permutation(pivots, lu.shape[-2], lu.dtype), _lower(lu), _upper(lu))


@function(method=False)
def linalg_lu_solve(LU: Any, pivots: Any, B: Any, *, left: bool = True, adjoint: bool = False) -> Any:
    """X of A X = B (of X A = B where not ``left``; of A^H X = B where ``adjoint``), from ``lu_factor(A)``."""
    if LU.ndim < 2 or LU.shape[-1] != LU.shape[-2] or B.ndim < 2 or B.shape[-2 if left else -1] != LU.shape[-1]:
        raise ShapeError(f"linalg.lu_solve takes LU[n,n], pivots[n] and B of n {'rows' if left else 'columns'} but was given "
                         f"{LU.spec}, {pivots.spec}, {B.spec}")  # fmt: skip
    if not left:
        return linalg_lu_solve(LU, pivots, B.mH, adjoint=not adjoint).mH
    p = _permutation(pivots, LU.shape[-1], LU.dtype)
    if adjoint:
        return p @ triangular(LU.mH, triangular(LU.mH, B, upper=False), upper=True, unitriangular=True)
    return triangular(LU, triangular(LU, p.mT @ B, upper=False, unitriangular=True), upper=True)


@function()
def lu_solve(b: Any, LU_data: Any, LU_pivots: Any) -> Any:
    """X of A X = b, from ``linalg.lu_factor(A)``."""
    return linalg_lu_solve(LU_data, LU_pivots, b)


# -- systems, inverses, determinants ---------------------------------------------------------------


def _solve_vjp(g: Any, y: Any, a: Any, _b: Any) -> tuple[Any, Any]:
    gb = _solve(a.mH, g)
    return -(gb @ y.mH), gb


def _solve_sample(d: Any) -> Any:
    dtype = d.dtype(LAPACK)
    a = _square(d, dtype)
    return [a, _calm(d, (*a.shape[:-1], _side(d)), dtype)], {}


@primitive("T[n,n], T[n,k] -> T[n,k]", LAPACK, name="linalg_solve", method=False, vjp=_solve_vjp,
           sample=_solve_sample, expand=lambda a, b: linalg_lu_solve(*lu_factor(a), b),
           terms=lambda a, b: _rows(a), ulps=64, special=False)  # fmt: skip
def _solve(A, B):
    """X of A X = B; raises LinAlgError where A is singular."""
    return _lapack("solve", "takes invertible matrices but at least one is singular (use lstsq or pinv),", np.linalg.solve, A, B)


@function(method=False, front=True)
def linalg_solve(A: Any, B: Any, *, left: bool = True) -> Any:
    """X of A X = B, or of X A = B where not ``left``; B may hold vectors: [n], or [.., n] with A's batch in front."""
    if B.ndim == 1 or (A.ndim - 1 == B.ndim and tuple(B.shape) == tuple(A.shape[:-1])):
        if not left:
            raise ShapeError(f"linalg.solve takes vectors on the left side only but was given {A.spec}, {B.spec} and left=False")
        return _solve(A, B.unsqueeze(-1)).squeeze(-1)
    return _solve(A, B) if left else _solve(A.mT, B.mT).mT


@primitive("T[n,n] -> T[n,n]", LAPACK, name="linalg_inv", method=False, vjp=(lambda g, y, _x: -(y.mH @ g @ y.mH),),
           sample=lambda d: ([_square(d)], {}), expand=lambda x: _solve(x, _eye(x, x.shape[-1])),
           terms=_rows, ulps=64, special=False)  # fmt: skip
def inv(A):
    """The inverse of a square matrix; raises LinAlgError where it is singular."""
    return _lapack("inv", "takes invertible matrices but at least one is singular (use pinv),", np.linalg.inv, A)


def _swapped(pivots: Any) -> Any:
    """Whether the rows changed places an odd number of times."""
    from ..create import arange

    moved = pivots.to(dtype=int64) != arange(pivots.shape[-1], device=pivots.backend) + 1
    return moved.sum(-1).remainder(2) == 1


def _det_expand(x: Any) -> Any:
    lu, pivots = lu_factor(x)
    y = _diagonal(lu).prod(-1)
    return where(_swapped(pivots), -y, y)


@primitive("T[n,n] -> T[n,n]", LAPACK, method=False, sample=lambda d: ([_square(d)], {}), terms=_rows, ulps=256, special=False,
           expand=lambda x: det(x).unsqueeze(-1).unsqueeze(-1) * inv(x).mT)  # fmt: skip
def cofactor(A):
    """The derivatives of a determinant with respect to the elements, singular matrices included."""
    u, s, vh = np.linalg.svd(A, full_matrices=False)
    ones = np.ones_like(s[..., :1])
    before = np.cumprod(np.concatenate([ones, s[..., :-1]], -1), -1) if s.shape[-1] else s
    after = np.cumprod(np.concatenate([ones, s[..., :0:-1]], -1), -1)[..., ::-1] if s.shape[-1] else s
    turn = np.linalg.det(u) * np.linalg.det(vh)
    return np.asarray(turn)[..., None, None] * ((u.conj() * (before * after)[..., None, :]) @ vh.conj())


@primitive("T[n,n] -> T[]", LAPACK, name="linalg_det", method=False, sample=_maybe_singular,
           expand=_det_expand, vjp=(lambda g, _y, x: g.unsqueeze(-1).unsqueeze(-1) * conj(cofactor(x)),),
           terms=_rows, ulps=64, special=False)  # fmt: skip
def det(A):
    """The determinant."""
    return np.linalg.det(A)


class SignLog(NamedTuple):
    """A determinant as its sign and the logarithm of its magnitude."""

    sign: Any
    logabsdet: Any


def _slogdet_vjp(gs: Any, ys: Any, x: Any) -> tuple[Any]:
    g = gs[1]
    if x.dtype.kind == "c":
        g = OPS["complex"](g, -(conj(gs[0]) * ys[0]).imag)
    return (g.unsqueeze(-1).unsqueeze(-1) * inv(x).mH,)


def _slogdet_expand(x: Any) -> Any:
    lu, pivots = lu_factor(x)
    d = _diagonal(lu)
    sign = d.sgn().prod(-1)
    return where(_swapped(pivots), -sign, sign), d.abs().log().sum(-1)


@primitive("T[n,n] -> T[], T[]", LAPACK, name="linalg_slogdet", method=False, vjp=_slogdet_vjp, expand=_slogdet_expand,
           result=lambda x: [x.dtype, real_of(x.dtype)], sample=_maybe_singular,
           terms=_rows, ulps=64, special=False)  # fmt: skip
def slogdet(A):
    """A determinant's sign (for complex matrices its direction) and the logarithm of its magnitude: 0 and -inf if singular."""
    return tuple(np.linalg.slogdet(A))


@function(method=False, name="linalg_slogdet", front=True)
def _slogdet_named(A: Any) -> Any:
    """A determinant's sign (for complex matrices its direction) and the logarithm of its magnitude: 0 and -inf if singular."""
    return SignLog(*slogdet(A))


@function()
def logdet(x: Any) -> Any:
    """The logarithm of a determinant; NaN where that is negative."""
    sign, log = slogdet(x)
    if x.dtype.kind == "c":
        return sign.log() + log
    return where(sign < 0, math.nan, log)


# -- eigenvalues -----------------------------------------------------------------------------------


class Eigen(NamedTuple):
    """Eigenvalues, and eigenvectors as columns."""

    eigenvalues: Any
    eigenvectors: Any


def _triangle_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    side = attrs["UPLO"].upper()
    if side not in ("L", "U"):
        raise DTypeError(f"eigh's UPLO is 'L' or 'U' but {attrs['UPLO']!r} was given")
    return {"UPLO": side}


def _eigh_vjp(gs: Any, ys: Any, _x: Any, UPLO: str) -> tuple[Any]:
    (gw, gv), (w, v) = gs, ys
    inner = (v.mH @ gv) * _reciprocal(w.unsqueeze(-2) - w.unsqueeze(-1))
    found = v @ (inner + gw.diag_embed()) @ v.mH
    return ((found + found.mH) * 0.5,)


def _eigh_unique(ys: Any, x: Any, **_: Any) -> tuple[Any, ...]:
    w, v = ys
    return w, (v * _ramp(v, w.shape[-1])) @ v.mH


def _symmetric_sample(d: Any) -> Any:
    uplo = d.one(["L", "U"])
    return [_one_triangle(d, uplo == "U") if d.bool() else _hermitian(d)], {"UPLO": uplo}


@primitive("T[n,n] -> T[n], T[n,n]", LAPACK, name="linalg_eigh", method=False, canon=_triangle_canon, vjp=_eigh_vjp,
           result=lambda x, UPLO: [real_of(x.dtype), x.dtype], sample=_symmetric_sample,
           unique=_eigh_unique, terms=lambda x, UPLO: _rows(x), ulps=256, special=False)  # fmt: skip
def eigh(A, *, UPLO: str = "L"):
    """Eigenvalues in rising order and eigenvectors (columns) of a Hermitian matrix, of which one triangle is looked at.

    Eigenvectors are determined up to their sign (their direction in the complex plane); a gradient that depends on it, or
    that tells equal eigenvalues apart, has no meaning.
    """
    return tuple(_lapack("eigh", "did not converge on one", np.linalg.eigh, A, UPLO=UPLO))


@function(method=False, name="linalg_eigh", front=True)
def _eigh_named(A: Any, UPLO: str = "L") -> Any:
    """Eigenvalues in rising order and eigenvectors (columns) of a Hermitian matrix, of which one triangle is looked at.

    Eigenvectors are determined up to their sign (their direction in the complex plane); a gradient that depends on it, or
    that tells equal eigenvalues apart, has no meaning.
    """
    return Eigen(*eigh(A, UPLO=UPLO))


def _eigvalsh_vjp(g: Any, _y: Any, x: Any, UPLO: str) -> Any:
    v = eigh(x, UPLO=UPLO)[1]
    return (v * g.unsqueeze(-2)) @ v.mH


@primitive("T[n,n] -> T[n]", LAPACK, name="linalg_eigvalsh", method=False, canon=_triangle_canon, vjp=(_eigvalsh_vjp,),
           result=_real_dtype, sample=_symmetric_sample,
           expand=lambda x, UPLO: eigh(x, UPLO=UPLO)[0], terms=lambda x, UPLO: _rows(x), ulps=256, special=False)  # fmt: skip
def eigvalsh(A, *, UPLO: str = "L"):
    """Eigenvalues of a Hermitian matrix in rising order."""
    return _lapack("eigvalsh", "did not converge on one", np.linalg.eigvalsh, A, UPLO=UPLO)


def _eig_vjp(gs: Any, ys: Any, _x: Any) -> tuple[Any]:
    (gw, gv), (w, v) = gs, ys
    inner = v.mH @ gv
    inner = inner - v.mH @ (v * _diagonal(inner).real.unsqueeze(-2))  # the columns keep their length
    inner = inner * conj(_reciprocal(w.unsqueeze(-2) - w.unsqueeze(-1))) + gw.diag_embed()
    return (_solve(v.mH, inner @ v.mH),)


def _eig_unique(ys: Any, x: Any) -> tuple[Any, ...]:
    w, v = ys
    return *_eigvals_unique((w,), x), (v * w.unsqueeze(-2)) @ v.mH, (v * (w * w).unsqueeze(-2)) @ v.mH


def _eigvals_unique(ys: Any, x: Any) -> tuple[Any, ...]:
    (w,) = ys
    return w.sum(-1), (w * w).sum(-1), (w * w * w).sum(-1), (w.abs() ** 2).sum(-1)


def _general(d: Any) -> Any:
    return [_square(d, turn=False)], {}


@primitive("T[n,n] -> T[n], T[n,n]", LAPACK, name="linalg_eig", method=False, vjp=_eig_vjp, unique=_eig_unique,
           result=lambda x: [complex_of(x.dtype)] * 2, sample=_general, terms=_rows, ulps=512, special=False)  # fmt: skip
def eig(A):
    """Eigenvalues and eigenvectors (columns of length 1) of a square matrix, complex and in no order."""
    return tuple(_lapack("eig", "did not converge, or found NaN or infinity, in one", np.linalg.eig, A))


@function(method=False, name="linalg_eig", front=True)
def _eig_named(A: Any) -> Any:
    """Eigenvalues and eigenvectors (columns of length 1) of a square matrix, complex and in no order."""
    return Eigen(*eig(A))


def _eigvals_vjp(g: Any, _y: Any, x: Any) -> Any:
    v = eig(x)[1]
    return _solve(v.mH, g.unsqueeze(-1) * v.mH)


@primitive("T[n,n] -> T[n]", LAPACK, name="linalg_eigvals", method=False, expand=lambda x: eig(x)[0], unique=_eigvals_unique,
           result=lambda x: complex_of(x.dtype), sample=_general, terms=_rows, ulps=512, special=False)  # fmt: skip
def eigvals(A):
    """Eigenvalues of a square matrix, complex and in no order."""
    return _lapack("eigvals", "did not converge, or found NaN or infinity, in one", np.linalg.eigvals, A)


# -- QR --------------------------------------------------------------------------------------------


class QR(NamedTuple):
    """A matrix with orthonormal columns and an upper triangular one."""

    Q: Any
    R: Any


def _qr_shape(x: Spec, *, mode: str) -> list[tuple[int, ...]]:
    *front, m, n = x.shape
    k = m if mode == "complete" else min(m, n)
    return [(*front, m, k), (*front, k, n)]


def _qr_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> Mapping[str, Any]:
    if attrs["mode"] not in ("reduced", "complete"):
        raise DTypeError(f"linalg.qr's mode is 'reduced', 'complete' or 'r' but {attrs['mode']!r} was given")
    return attrs


def _qr_vjp(gs: Any, ys: Any, _x: Any, mode: str) -> tuple[Any]:
    """S. F. Walter, L. Lehmann: Algorithmic differentiation of linear algebra functions with application in optimum
    experimental design (2010); of wide matrices [X, Y] with X square, from Q, R1 = qr(X) and R2 = Q^H Y."""
    (gq, gr), (q, r) = gs, ys
    m, n = _x.shape[-2:]
    if mode == "complete" and m > n:
        raise GradientError("linalg.qr has no gradient for mode='complete' and more rows than columns; use mode='reduced'")
    right = None
    if m < n:
        gr, g2, r, r2 = gr[..., :m], gr[..., m:], r[..., :m], r[..., m:]
        gq = gq + q @ (r2 @ g2.mH)
        right = q @ g2
    inner = (r @ gr.mH - gq.mH @ q).tril()
    both = inner + inner.mH
    both = both - (_diagonal(both) * 0.5).diag_embed()
    found = triangular(r.mH, gq + q @ both, upper=False, left=False)
    return (found if right is None else cat([found, right], dim=-1),)


def _qr_unique(ys: Any, x: Any, *, mode: str) -> tuple[Any, ...]:
    q, r = ys
    k = min(x.shape[-2:])
    ramp = _ramp(q, k)
    if mode == "complete":
        rest = (q[..., k:] @ q[..., k:].mH,)  # the space that the columns leave over
        return (q @ r, (q[..., :k] * ramp) @ q[..., :k].mH, r[..., :k, :].mH @ (r[..., :k, :] * ramp.unsqueeze(-1)), *rest)
    return q @ r, (q[..., :k] * ramp) @ q[..., :k].mH, r[..., :k, :].mH @ (r[..., :k, :] * ramp.unsqueeze(-1))


@primitive("T[m,n] -> T, T", LAPACK, name="linalg_qr", method=False, shape=_qr_shape, canon=_qr_canon, vjp=_qr_vjp,
           unique=_qr_unique, sample=lambda d: ([_oblong(d)], {"mode": d.one(["reduced", "reduced", "complete"])}),
           terms=lambda x, mode: max(*x.shape[-2:], 1), ulps=256, special=False)  # fmt: skip
def qr(A, *, mode: str = "reduced"):
    """Q of orthonormal columns and R upper triangular with A = Q R; ``mode="complete"`` makes Q square."""
    return tuple(_lapack("qr", "failed on one", np.linalg.qr, A, mode))


@function(method=False, name="linalg_qr", front=True)
def _qr_named(A: Any, mode: str = "reduced") -> Any:
    """Q of orthonormal columns and R upper triangular with A = Q R.

    ``mode`` is reduced (Q[m,k], R[k,n], k the smaller side), complete (Q[m,m], R[m,n]) or r (Q empty).
    """
    if mode == "r":
        r = qr(A)[1]
        return QR(r.detach().new_zeros((0,)), r)
    return QR(*qr(A, mode=mode))


# -- singular values -------------------------------------------------------------------------------


class SVD(NamedTuple):
    """Left singular vectors (columns), singular values in falling order, right singular vectors (rows, conjugated)."""

    U: Any
    S: Any
    Vh: Any


def _svd_shape(x: Spec, *, full_matrices: bool) -> list[tuple[int, ...]]:
    *front, m, n = x.shape
    k = min(m, n)
    return [(*front, m, m if full_matrices else k), (*front, k), (*front, n if full_matrices else k, n)]


def _svd_vjp(gs: Any, ys: Any, _x: Any, full_matrices: bool) -> tuple[Any]:
    """Z.-Q. Wan, S.-X. Zhang: Automatic differentiation for complex valued SVD (2019)."""
    (gu, gs_, gvh), (u, s, vh) = gs, ys
    m, n = _x.shape[-2:]
    k = min(m, n)
    u, gu, vh, gvh = u[..., :k], gu[..., :k], vh[..., :k, :], gvh[..., :k, :]
    ugu, vgv = u.mH @ gu, vh @ gvh.mH
    square = s * s
    gaps = _reciprocal(square.unsqueeze(-2) - square.unsqueeze(-1))
    inner = (ugu - ugu.mH) * gaps * s.unsqueeze(-2) + s.unsqueeze(-1) * (vgv - vgv.mH) * gaps + gs_.diag_embed()
    back = _reciprocal(s)
    if _x.dtype.kind == "c":
        turn = _diagonal(ugu).imag * back
        inner = inner + OPS["complex"](turn.zeros_like(), turn).diag_embed()
    found = u @ inner @ vh
    if m > k:
        found = found + ((gu - u @ ugu) * back.unsqueeze(-2)) @ vh
    if n > k:
        found = found + (u * back.unsqueeze(-2)) @ (gvh - vgv.mH @ vh)
    return (found,)


def _svd_unique(ys: Any, x: Any, *, full_matrices: bool) -> tuple[Any, ...]:
    u, s, vh = ys
    k, ramp = s.shape[-1], _ramp(u, s.shape[-1])
    rest = (u.detach() @ u.detach().mH, vh.detach().mH @ vh.detach()) if full_matrices else ()
    u, vh = u[..., :k], vh[..., :k, :]
    return s, (u * ramp) @ vh, (u * ramp) @ u.mH, vh.mH @ (vh * ramp.unsqueeze(-1)), *rest


@primitive("T[m,n] -> T, T, T", LAPACK, name="linalg_svd", method=False, shape=_svd_shape, vjp=_svd_vjp, unique=_svd_unique,
           result=lambda x, full_matrices: [x.dtype, real_of(x.dtype), x.dtype],
           sample=lambda d: ([_oblong(d)], {"full_matrices": d.bool()}),
           terms=lambda x, full_matrices: max(*x.shape[-2:], 1), ulps=256, special=False)  # fmt: skip
def svd(A, *, full_matrices: bool = True):
    """U, S and Vh of A = U diag(S) Vh: orthonormal columns, falling singular values, orthonormal rows."""
    return tuple(_lapack("svd", "did not converge on one", np.linalg.svd, A, full_matrices=full_matrices))


@function(method=False, name="linalg_svd", front=True)
def _svd_named(A: Any, full_matrices: bool = True) -> Any:
    """U, S and Vh of A = U diag(S) Vh: orthonormal columns, falling singular values, orthonormal rows.

    Unless ``full_matrices``, U and Vh hold as many vectors as there are singular values; only then are they differentiable
    where A is not square.  Vectors are determined up to their sign (their direction in the complex plane).
    """
    u, s, vh = svd(A, full_matrices=full_matrices)
    if full_matrices and A.shape[-1] != A.shape[-2]:
        why = "linalg.svd has gradients of U and Vh for full_matrices=False only"
        u, vh = no_gradient(u, why=why), no_gradient(vh, why=why)
    return SVD(u, s, vh)


def _svdvals_vjp(g: Any, _y: Any, x: Any) -> Any:
    u, _, vh = svd(x, full_matrices=False)
    return (u * g.unsqueeze(-2)) @ vh


@primitive("T[m,n] -> T", LAPACK, name="linalg_svdvals", method=False, vjp=(_svdvals_vjp,), result=_real_dtype,
           shape=lambda x: (*x.shape[:-2], min(x.shape[-2:])), expand=lambda x: svd(x, full_matrices=False)[1],
           sample=lambda d: ([_oblong(d)], {}), terms=lambda x: max(*x.shape[-2:], 1), ulps=256, special=False)  # fmt: skip
def svdvals(A):
    """Singular values in falling order."""
    return _lapack("svdvals", "did not converge on one", np.linalg.svd, A, compute_uv=False)


# -- pseudo-inverse, least squares, rank -----------------------------------------------------------


def _cutoff(sizes: Any, shape: Sequence[int], atol: Any, rtol: Any) -> Any:
    """Below what a singular value counts as zero: max(atol, rtol * the largest), [.., 1]."""
    if rtol is None:
        rtol = max(shape) * float(finfo(sizes.dtype).eps) if atol is None else 0.0
    atol = 0.0 if atol is None else atol
    atol, rtol = (v.unsqueeze(-1) if getattr(v, "ndim", 0) else v for v in (atol, rtol))
    return (sizes.detach().amax(-1, True) * rtol).clamp(min=atol)


def _pinv_vjp(g: Any, y: Any, x: Any, atol: Any, rtol: Any, hermitian: bool) -> Any:
    """G. H. Golub, V. Pereyra: The differentiation of pseudo-inverses and nonlinear least squares problems whose variables
    separate (1973)."""
    p = y.mH
    left, right = g.mH @ (y @ p), (p @ y) @ g.mH
    return -(p @ g @ p) + left - x @ (y @ left) + right - (right @ y) @ x


def _pinv_sample(d: Any) -> Any:
    return [_oblong(d)], {"rtol": d.one([None, 1e-3, 0.375]), "hermitian": False}


@composite("T[m,n] -> T[n,m]", LAPACK, name="linalg_pinv", method=False, vjp=(_pinv_vjp,), sample=_pinv_sample,
           terms=lambda x, **_: max(*x.shape[-2:], 1), ulps=256, special=False)  # fmt: skip
def pinv(A, *, atol: float = None, rtol: float = None, hermitian: bool = False):
    """The pseudo-inverse: of x = A^+ b the least |A x - b|, and of those the least |x|.

    Singular values up to max(atol, rtol * the largest) count as zero, in the gradient too; rtol is by default eps times
    the longer side.  ``hermitian`` looks at A's lower triangle only.
    """
    if 0 in A.shape[-2:]:
        return A.mH
    if hermitian:
        s, u = eigh(A)
        vh, sizes = u.mH, s.abs()
    else:
        u, s, vh = svd(A, full_matrices=False)
        sizes = s
    back = where(sizes > _cutoff(sizes, A.shape[-2:], atol, rtol), _reciprocal(s), 0)
    return (vh.mH * back.unsqueeze(-2)) @ u.mH


@function(method=False)
def linalg_matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None) -> Any:
    """How many singular values exceed max(atol, rtol * the largest); rtol is by default eps times the longer side."""
    sizes = eigvalsh(A).abs() if hermitian else svdvals(A)
    if not sizes.shape[-1]:
        return sizes.detach().sum(-1).to(dtype=int64)
    atol = tol if tol is not None else atol
    return (sizes.detach() > _cutoff(sizes, A.shape[-2:], atol, rtol)).sum(-1)


class LeastSquares(NamedTuple):
    """What ``lstsq`` found."""

    solution: Any
    residuals: Any
    rank: Any
    singular_values: Any


@function(method=False)
def linalg_lstsq(A: Any, B: Any, rcond: Any = None, *, driver: str | None = None) -> Any:
    """X of the least |A X - B|, and of those the least |X|; the squared distances where they are determined; A's rank.

    As PyTorch, the distances are an empty tensor unless A has more rows than columns and full rank, which the driver "gels"
    takes for granted, and always for "gelsy", the default.  Singular values are told for "gelsd" and "gelss".
    """
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise DTypeError(f"linalg.lstsq's driver is 'gels', 'gelsy', 'gelsd' or 'gelss' but {driver!r} was given")
    vector = A.ndim - 1 == B.ndim and tuple(B.shape) == tuple(A.shape[:-1])
    b = B.unsqueeze(-1) if vector else B
    if A.ndim < 2 or b.ndim < 2 or A.shape[-2] != b.shape[-2]:
        raise ShapeError(f"linalg.lstsq takes A[m,n] and B[m,k] (or B[m]) but was given {A.spec}, {B.spec}")
    m, n = A.shape[-2:]
    solution = pinv(A, rtol=rcond) @ b
    sizes = svdvals(A).detach()
    none = b.detach().new_zeros((0,))
    rank = linalg_matrix_rank(A, rtol=rcond)
    residuals = none.real
    if m > n and (driver == "gels" or (driver in ("gelsd", "gelss") and bool((rank == n).all()))):
        residuals = ((A @ solution - b).abs() ** 2).sum(-2)
    told = sizes if driver in ("gelsd", "gelss") else none.real
    return LeastSquares(
        solution.squeeze(-1) if vector else solution, residuals, none.real.to(dtype=int64) if driver == "gels" else rank, told
    )


# -- powers and the exponential --------------------------------------------------------------------


def _power_sample(d: Any) -> Any:
    return [_square(d)], {"n": d.int(-3, 5)}


@composite("T[n,n] -> T[n,n]", NUMBERS, name="linalg_matrix_power", method=False, sample=_power_sample,
           terms=lambda x, n: _rows(x) * max(abs(n), 1), ulps=256, special=False)  # fmt: skip
def matrix_power(A, *, n: int):
    """A square matrix times itself n times; for negative n its inverse."""
    if n < 0:
        return matrix_power(inv(A), n=-n)
    found = None
    while n:
        if n % 2:
            found = A if found is None else found @ A
        n //= 2
        A = A @ A if n else A
    return where(A.ones_like(dtype="bool"), _eye(A, A.shape[-1]), A) if found is None else found


_PADE = (64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0, 10559470521600.0,
         670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0)  # fmt: skip
_THETA = 5.371920351148152  # up to this norm the approximant of degree 13 is right to float64


def _exp_vjp(g: Any, _y: Any, x: Any) -> Any:
    """R. Mathias: A chain rule for matrix functions and applications (1996)."""
    a, n = x.mH, x.shape[-1]
    blocks = cat([cat([a, g], dim=-1), cat([a.zeros_like(), a], dim=-1)], dim=-2)
    return matrix_exp(blocks)[..., :n, n:]


@primitive("T[n,n] -> T[n,n]", LAPACK, name="linalg_matrix_exp", method=False, vjp=(_exp_vjp,),
           sample=lambda d: ([_square(d)], {}), terms=_rows, ulps=256, special=False)  # fmt: skip
def matrix_exp(A):
    """The exponential 1 + A + A^2/2 + ... of a square matrix, by scaling and squaring, in float64.

    N. J. Higham: The scaling and squaring method for the matrix exponential revisited (2005).
    """
    a = A.astype(np.complex128 if A.dtype.kind == "c" else np.float64)
    size = np.abs(a).sum(-2).max(-1, initial=0)
    times = np.where(np.isfinite(size) & (size > _THETA), np.ceil(np.log2(np.maximum(size, _THETA) / _THETA)), 0).astype(int)
    a = np.where(np.isfinite(size)[..., None, None], a, np.nan) * np.exp2(-times.astype(float))[..., None, None]
    eye = np.eye(a.shape[-1])
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a4 @ a2
    b = _PADE
    u = a @ (a6 @ (b[13] * a6 + b[11] * a4 + b[9] * a2) + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * eye)
    v = a6 @ (b[12] * a6 + b[10] * a4 + b[8] * a2) + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * eye
    y = np.linalg.solve(v - u, v + u)
    for i in range(times.max(initial=0)):
        y = np.where((times > i)[..., None, None], y @ y, y)
    return y


# -- norms -----------------------------------------------------------------------------------------


@function(method=False)
def linalg_vector_norm(x: Any, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """The norm (sum |x|^ord)^(1/ord) along some dimensions, by default of all elements; ord may be 0 or infinite."""
    return norm(x, p=ord, dim=dim, keepdim=keepdim, dtype=dtype)


_MATRIX_NORMS = ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)


@function(method=False)
def linalg_matrix_norm(A: Any, ord: Any = "fro", dim: Any = (-2, -1), keepdim: bool = False, *, dtype: Any = None) -> Any:
    """A norm of matrices: fro, nuc (the sum of singular values), 2 or -2 (the largest or smallest of them), 1, -1, inf or
    -inf (the largest or smallest sum of magnitudes, of a column or of a row)."""
    if ord not in _MATRIX_NORMS:
        raise DTypeError(f"linalg.matrix_norm's ord is one of {', '.join(map(str, _MATRIX_NORMS))} but {ord!r} was given")
    dims = tuple(dim) if isinstance(dim, (tuple, list)) else (dim,)
    if len(dims) != 2 or A.ndim < 2:
        raise ShapeError(f"linalg.matrix_norm takes two dimensions but was given dim={dim} of {A.spec}")
    rows, columns = (normalize_dim(d, A.ndim, "linalg.matrix_norm's dim") for d in dims)
    if rows == columns:
        raise ShapeError(f"linalg.matrix_norm takes two different dimensions but was given dim={dim}")
    x = A if dtype is None else A.to(dtype=dtype)
    x = x.to(dtype=float32) if x.dtype.kind in "biu" else x
    if ord == "fro":
        return norm(x, p=2, dim=dims, keepdim=keepdim)
    if ord in ("nuc", 2, -2):
        sizes = svdvals(x.movedim((rows, columns), (-2, -1)))
        y = sizes.sum(-1) if ord == "nuc" else sizes.amax(-1) if ord == 2 else sizes.amin(-1)
    else:
        over, then = (rows, columns) if abs(ord) == 1 else (columns, rows)
        sums = x.abs().sum(over, True)
        y = sums.amax((over, then)) if ord > 0 else sums.amin((over, then))
    for d in sorted((rows, columns)) if keepdim else ():
        y = y.unsqueeze(d)
    return y


@function(method=False)
def linalg_norm(A: Any, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """A vector norm along one dimension, a matrix norm along two; without ord and dim that of all elements."""
    if ord is None:
        return linalg_vector_norm(A, 2, dim, keepdim, dtype=dtype)
    if dim is None:
        if A.ndim not in (1, 2):
            raise ShapeError(f"linalg.norm with ord={ord!r} takes a vector, a matrix, or dim, but was given {A.spec}")
        dim = tuple(range(A.ndim))
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    if len(dims) == 1:
        if isinstance(ord, str):
            raise ShapeError(f"linalg.norm's {ord!r} is a matrix norm but was given dim={dim} of {A.spec}")
        return linalg_vector_norm(A, ord, dims, keepdim, dtype=dtype)
    return linalg_matrix_norm(A, ord, dims, keepdim, dtype=dtype)


@function(method=False)
def linalg_cond(A: Any, p: Any = None) -> Any:
    """The condition number: a norm of A times that of its inverse; infinite for singular matrices."""
    if p is None or p in (2, -2):
        sizes = svdvals(A)
        if not sizes.shape[-1]:
            raise ShapeError(f"linalg.cond takes matrices with elements but was given {A.spec}")
        largest, smallest = sizes[..., 0], sizes[..., -1]
        return smallest / largest if p == -2 else largest / smallest
    singular = slogdet(A)[1].detach() == -math.inf
    wide = singular.unsqueeze(-1).unsqueeze(-1)
    inverse = inv(where(wide, _eye(A, A.shape[-1]), A))
    return where(singular, math.inf, linalg_matrix_norm(A, p) * linalg_matrix_norm(inverse, p))


# -- products, and tensors as matrices -------------------------------------------------------------


def _order(sizes: Sequence[int]) -> dict[tuple[int, int], int]:
    """Where to split each stretch of a chain of products, so that it takes the fewest multiplications."""
    n = len(sizes) - 1
    cost = {(i, i): 0 for i in range(n)}
    split: dict[tuple[int, int], int] = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            found = [(cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)]
            cost[i, j], split[i, j] = min(found)
    return split


@function(method=False)
def linalg_multi_dot(tensors: Any) -> Any:
    """The product of matrices, in the order that takes the fewest multiplications; the ends may be vectors."""
    xs = list(tensors)
    if len(xs) < 2:
        raise ShapeError(f"linalg.multi_dot takes at least two tensors but was given {len(xs)}")
    first, last = xs[0].ndim == 1, xs[-1].ndim == 1
    xs[0] = xs[0].unsqueeze(0) if first else xs[0]
    xs[-1] = xs[-1].unsqueeze(1) if last else xs[-1]
    if any(x.ndim != 2 for x in xs) or any(a.shape[1] != b.shape[0] for a, b in pairwise(xs)):
        raise ShapeError(f"linalg.multi_dot takes matrices, and vectors at the ends, that fit but was given "
                         f"{', '.join(str(x.spec) for x in tensors)}")  # fmt: skip
    split = _order([x.shape[0] for x in xs] + [xs[-1].shape[1]])

    def product(i: int, j: int) -> Any:
        return xs[i] if i == j else _matmul(product(i, split[i, j]), product(split[i, j] + 1, j))

    y = product(0, len(xs) - 1)
    y = y.squeeze(0) if first else y
    return y.squeeze(-1) if last else y


@function(method=False)
def linalg_matmul(a: Any, b: Any) -> Any:
    """Matrix product, as ``candle.matmul``."""
    return matmul(a, b)


@function(method=False)
def linalg_vecdot(x: Any, y: Any, *, dim: int = -1) -> Any:
    """The sum of the products of vectors' elements along a dimension, the first conjugated."""
    shape = broadcast_shapes(x.shape, y.shape)
    if shape is None or not x.ndim or not y.ndim:
        raise ShapeError(f"linalg.vecdot takes vectors that broadcast but was given {x.spec}, {y.spec}")
    d = normalize_dim(dim, len(shape), "linalg.vecdot's dim")
    return _vecdot(x.expand(shape).movedim(d, -1), y.expand(shape).movedim(d, -1))


@function(method=False)
def linalg_diagonal(A: Any, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """The elements on a diagonal of two dimensions, by default the last, as the last dimension."""
    return A.diagonal(offset, dim1, dim2)


@function(method=False)
def linalg_tensorsolve(A: Any, B: Any, dims: Any = None) -> Any:
    """X of tensordot(A, X, X.ndim) = B, A taken for a square matrix; ``dims`` of A are moved to its end first."""
    if dims is not None:
        at = [normalize_dim(d, A.ndim, "linalg.tensorsolve's dims") for d in dims]
        A = A.permute((*[d for d in range(A.ndim) if d not in at], *at))
    shape, n = A.shape[B.ndim :], math.prod(B.shape)
    if math.prod(shape) != n or math.prod(A.shape[: B.ndim]) != n:
        raise ShapeError(f"linalg.tensorsolve takes A[*B.shape, *X.shape] with as many elements in X as in B but was given "
                         f"{A.spec}, {B.spec}")  # fmt: skip
    return linalg_solve(A.reshape((n, n)), B.reshape((n,))).reshape(shape)


@function(method=False)
def linalg_tensorinv(A: Any, ind: int = 2) -> Any:
    """The inverse of a tensor taken for a matrix: its first ``ind`` dimensions rows, the others columns."""
    rows, columns = A.shape[:ind], A.shape[ind:]
    if not 0 < ind or math.prod(rows) != math.prod(columns):
        raise ShapeError(f"linalg.tensorinv takes as many elements before dimension {ind} as after but was given {A.spec}")
    return inv(A.reshape((math.prod(rows), math.prod(columns)))).reshape((*columns, *rows))


def _powers(name: str, x: Any, N: int | None, increasing: bool) -> Any:
    n = x.shape[-1] if N is None and x.ndim else N
    if not x.ndim or n < 0:
        raise ShapeError(f"{name} takes vectors and N of at least 0 but was given {x.spec}, N={N}")
    if not n:
        return x.unsqueeze(-1)[..., :0]
    parts = [x.ones_like().unsqueeze(-1)]
    for _ in range(n - 1):
        parts.append(parts[-1] * x.unsqueeze(-1))
    return cat(parts if increasing else parts[::-1], dim=-1)


@function(method=False)
def linalg_vander(x: Any, N: int | None = None) -> Any:
    """The powers 0 to N - 1 (by default as many as x is long) of each element, in a new last dimension."""
    return _powers("linalg.vander", x, N, True)


@function(method=False)
def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of each element of a vector, the highest first unless ``increasing``."""
    if x.ndim != 1:
        raise ShapeError(f"vander takes a vector but was given {x.spec}; use linalg.vander")
    return _powers("vander", x, N, increasing)


def _cdist_sample(d: Any) -> Any:
    dtype = d.dtype((float32, float64))
    batch, m, n, k = _front(d), _side(d), _side(d), _side(d)
    return [_calm(d, (*batch, m, k), dtype), _calm(d, (*batch, n, k), dtype)], {"p": d.one([0.0, 1.0, 1.5, 2.0, 3.0, math.inf])}


@composite("T[m,k], T[n,k] -> T[m,n]", (float32, float64), method=False, sample=_cdist_sample, special=False, ulps=32,
           terms=lambda a, b, **_: _rows(a))  # fmt: skip
def cdist(x1, x2, *, p: float = 2.0, compute_mode: str = None):
    """The p-norm of the difference of each row of x1 and each of x2; always computed from differences, so exact when close."""
    if p < 0:
        raise DTypeError(f"cdist's p is at least 0 but {p} was given")
    apart = x1.unsqueeze(-2) - x2.unsqueeze(-3)
    return norm(apart, p=p, dim=-1) if x1.shape[-1] else apart.sum(-1)


@function(method=False)
def pdist(x: Any, p: float = 2.0) -> Any:
    """The p-norms of the differences of every two rows of x[n, m], in the order of the upper triangle."""
    if x.ndim != 2:
        raise ShapeError(f"pdist takes a matrix of rows but was given {x.spec}")
    rows, columns = (x.new_tensor(i, dtype=int64) for i in np.triu_indices(x.shape[0], 1))
    return norm(x.index_select(0, rows) - x.index_select(0, columns), p=p, dim=-1)


# -- PyTorch's older names -------------------------------------------------------------------------

for _name, _op in {"inverse": inv, "det": det, "pinverse": pinv, "matrix_power": matrix_power, "matrix_exp": matrix_exp,
                   "cholesky": linalg_cholesky, "slogdet": _slogdet_named}.items():  # fmt: skip
    also_called(_name, _op)


class OldSVD(NamedTuple):
    """As SVD, but the right singular vectors stand in columns."""

    U: Any
    S: Any
    V: Any


@function(name="svd")
def _svd_columns(input: Any, some: bool = True, compute_uv: bool = True) -> Any:
    """U, S and V of A = U diag(S) V^H: ``linalg.svd`` with V where that has Vh, and ``some`` for ``not full_matrices``.

    Without ``compute_uv`` U[m,m] and V[n,n] hold zeros.
    """
    if not compute_uv:
        *front, m, n = input.shape
        plain = input.detach()
        return OldSVD(plain.new_zeros((*front, m, m)), svdvals(input), plain.new_zeros((*front, n, n)))
    u, s, vh = _svd_named(input, not some)
    return OldSVD(u, s, vh.mH)


@function(name="qr")
def _qr_some(input: Any, some: bool = True) -> Any:
    """Q and R of A = Q R: ``linalg.qr``, in mode "reduced" if ``some`` and "complete" if not."""
    return _qr_named(input, "reduced" if some else "complete")
