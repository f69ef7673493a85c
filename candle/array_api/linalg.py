"""The standard's linalg extension: https://data-apis.org/array-api/latest/extensions/linear_algebra_functions.html"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .. import dtype as dt
from ..op import FUNCTIONS, OPS
from ..tensor import Tensor
from .array import Array, axes_of, cast, together, unwrap
from .products import matmul, matrix_transpose, tensordot, vecdot
from .reductions import accumulated


class EigResult(NamedTuple):
    """Eigenvalues, and eigenvectors as columns; both complex."""

    eigenvalues: Array
    eigenvectors: Array


class EighResult(NamedTuple):
    """Eigenvalues, and eigenvectors as columns."""

    eigenvalues: Array
    eigenvectors: Array


class QRResult(NamedTuple):
    """A factor of orthonormal columns, and an upper triangular one."""

    Q: Array
    R: Array


class SlogdetResult(NamedTuple):
    """A determinant as its sign and the logarithm of its magnitude."""

    sign: Array
    logabsdet: Array


class SVDResult(NamedTuple):
    """Left singular vectors (columns), singular values in falling order, right singular vectors (rows, conjugated)."""

    U: Array
    S: Array
    Vh: Array


def _inexact(name: str, x: Any) -> Tensor:
    t = unwrap(x)
    if t.dtype.kind not in "fc":
        raise TypeError(f"linalg.{name} takes floats but was given {t.spec}; use astype")
    return t


def _numbers(name: str, *arrays: Any) -> list[Tensor]:
    tensors = together(*arrays)
    if tensors[0].dtype.kind == "b":
        raise TypeError(f"linalg.{name} takes numbers but bool was given")
    return tensors


def _checked(name: str, x: Array) -> Array:
    _inexact(name, x)
    return x


def _matrices(name: str, t: Tensor) -> Tensor:
    if t.ndim < 2:
        raise ValueError(f"linalg.{name} takes matrices but was given {t.spec}")
    return t


def cholesky(x: Array, /, *, upper: bool = False) -> Array:
    """The lower (or upper) triangular factor L of x = L L^H; raises LinAlgError unless x is positive-definite."""
    return Array(OPS["linalg_cholesky"](_inexact("cholesky", x), upper=upper))


def cross(x1: Array, x2: Array, /, *, axis: int = -1) -> Array:
    """The cross product of vectors of three along an axis; the other axes are broadcast."""
    a, b = _numbers("cross", x1, x2)
    least = min(a.ndim, b.ndim)
    if not -least <= axis < (least if a.ndim == b.ndim else 0):
        wanted = "within both arrays, and negative unless they have equally many"
        raise ValueError(f"linalg.cross's axis is {wanted}, but {axis} was given for {a.spec} and {b.spec}")
    if a.shape[axis] != 3 or b.shape[axis] != 3:
        raise ValueError(f"linalg.cross takes axes of size 3 but was given {a.spec} and {b.spec} along {axis}")
    rank = max(a.ndim, b.ndim)
    a, b = (t.reshape((1,) * (rank - t.ndim) + tuple(t.shape)) for t in (a, b))
    return Array(OPS["linalg_cross"](a, b, dim=axis))


def det(x: Array, /) -> Array:
    """The determinant."""
    return Array(OPS["linalg_det"](_inexact("det", x)))


def diagonal(x: Array, /, *, offset: int = 0) -> Array:
    """A diagonal of each matrix, above the main one by ``offset``; empty where there is none."""
    t = _matrices("diagonal", unwrap(x))
    m, n = t.shape[-2:]
    if -m <= offset <= n:
        return Array(FUNCTIONS["linalg_diagonal"](t, offset=offset))
    return Array(t.new_zeros((*t.shape[:-2], 0)))


def eig(x: Array, /) -> EigResult:
    """Eigenvalues, in no order, and eigenvectors (columns of length one) of a square matrix, both complex."""
    return EigResult(*map(Array, OPS["linalg_eig"](_inexact("eig", x))))


def eigvals(x: Array, /) -> Array:
    """Eigenvalues of a square matrix, complex and in no order."""
    return Array(OPS["linalg_eigvals"](_inexact("eigvals", x)))


def eigh(x: Array, /) -> EighResult:
    """Eigenvalues in rising order and eigenvectors of a Hermitian matrix, of which the lower triangle is looked at."""
    return EighResult(*map(Array, OPS["linalg_eigh"](_inexact("eigh", x))))


def eigvalsh(x: Array, /) -> Array:
    """Eigenvalues in rising order of a Hermitian matrix, of which the lower triangle is looked at."""
    return Array(OPS["linalg_eigvalsh"](_inexact("eigvalsh", x)))


def inv(x: Array, /) -> Array:
    """The inverse; raises LinAlgError where a matrix is singular."""
    return Array(OPS["linalg_inv"](_inexact("inv", x)))


def matrix_norm(x: Array, /, *, keepdims: bool = False, ord: Any = "fro") -> Array:
    """A norm of each matrix: fro, nuc, or 1, 2, infinity and their negatives."""
    t = _matrices("matrix_norm", _inexact("matrix_norm", x))
    wanted = "fro" if ord is None else ord
    m, n = t.shape[-2:]
    if m * n == 0 and wanted in (1, -1, 2, -2, math.inf, -math.inf):
        # All that is summed is zero, and so is the largest of no sums; the smallest of none is not defined.
        sums = {1: n, 2: 0, math.inf: m}[abs(wanted)]
        if wanted < 0 and not sums:
            raise ValueError(f"linalg.matrix_norm with ord={ord} takes matrices with elements but was given {t.spec}")
        return Array(t.abs().sum((-2, -1), keepdims))
    return Array(FUNCTIONS["linalg_matrix_norm"](t, wanted, (-2, -1), keepdims))


def matrix_power(x: Array, n: int, /) -> Array:
    """A square matrix times itself n times; for negative n its inverse."""
    return Array(OPS["linalg_matrix_power"](_inexact("matrix_power", x), n=n))


def _rtol(name: str, t: Tensor, rtol: Any) -> Any:
    """A number, or a tensor for each matrix of a stack."""
    if not isinstance(rtol, Array):
        return rtol
    if rtol._tensor.dtype.kind != "f":
        raise TypeError(f"linalg.{name}'s rtol holds real floats but was given {rtol._tensor.spec}")
    return cast(rtol._tensor, dt.real_of(t.dtype))


def matrix_rank(x: Array, /, *, rtol: Any = None) -> Array:
    """How many singular values exceed ``rtol`` times the largest; rtol is by default eps times the longer side."""
    t = _matrices("matrix_rank", _inexact("matrix_rank", x))
    return Array(FUNCTIONS["linalg_matrix_rank"](t, rtol=_rtol("matrix_rank", t, rtol)))


def outer(x1: Array, x2: Array, /) -> Array:
    """The products of each element of one vector with each of another."""
    a, b = _numbers("outer", x1, x2)
    if a.ndim != 1 or b.ndim != 1:
        raise ValueError(f"linalg.outer takes two vectors but was given {a.spec} and {b.spec}")
    return Array(a.unsqueeze(1) * b)


def pinv(x: Array, /, *, rtol: Any = None) -> Array:
    """The pseudo-inverse; singular values up to ``rtol`` times the largest count as zero."""
    t = _matrices("pinv", _inexact("pinv", x))
    limit = _rtol("pinv", t, rtol)
    if not isinstance(limit, Tensor):
        return Array(OPS["linalg_pinv"](t, rtol=limit))
    if 0 in t.shape[-2:]:
        return Array(t.mH)
    u, s, vh = OPS["linalg_svd"](t, full_matrices=False)
    kept = s > limit.unsqueeze(-1) * s.amax(-1, True)
    back = OPS["where"](kept, 1 / OPS["where"](kept, s, 1), 0)
    return Array((vh.mH * back.unsqueeze(-2)) @ u.mH)


def qr(x: Array, /, *, mode: str = "reduced") -> QRResult:
    """Q of orthonormal columns and R upper triangular with x = Q R; ``mode="complete"`` makes Q square."""
    return QRResult(*map(Array, OPS["linalg_qr"](_inexact("qr", x), mode=mode)))


def slogdet(x: Array, /) -> SlogdetResult:
    """A determinant's sign (for complex matrices its direction) and the logarithm of its magnitude."""
    return SlogdetResult(*map(Array, OPS["linalg_slogdet"](_inexact("slogdet", x))))


def solve(x1: Array, x2: Array, /) -> Array:
    """X of x1 X = x2; x2 is one vector if it has one dimension, and otherwise holds matrices.

    Raises LinAlgError where x1 is singular.
    """
    a, b = together(_checked("solve", x1), _checked("solve", x2))
    if b.ndim == 1:
        return Array(OPS["linalg_solve"](a, b.unsqueeze(-1)).squeeze(-1))
    return Array(OPS["linalg_solve"](a, b))


def svd(x: Array, /, *, full_matrices: bool = True) -> SVDResult:
    """U, S and Vh of x = U diag(S) Vh."""
    return SVDResult(*map(Array, OPS["linalg_svd"](_inexact("svd", x), full_matrices=full_matrices)))


def svdvals(x: Array, /) -> Array:
    """Singular values in falling order."""
    return Array(OPS["linalg_svdvals"](_inexact("svdvals", x)))


def trace(x: Array, /, *, offset: int = 0, dtype: Any = None) -> Array:
    """The sum of a diagonal of each matrix."""
    t = _matrices("trace", unwrap(x))
    if t.dtype.kind == "b":
        raise TypeError(f"linalg.trace takes numbers but was given {t.spec}")
    wanted = accumulated(t, dtype)
    return Array(cast(diagonal(x, offset=offset)._tensor, wanted).sum(-1, dtype=wanted))


def vector_norm(x: Array, /, *, axis: int | tuple[int, ...] | None = None, keepdims: bool = False, ord: Any = 2) -> Array:
    """The norm (sum |x|^ord)^(1/ord) along some axes, by default of all elements; ord may be 0 or infinite."""
    t = _inexact("vector_norm", x)
    dims = None if axis is None else axes_of(axis, t.ndim, "linalg.vector_norm's axis")
    if dims == ():
        # No axes: each element is a vector of its own.
        return Array(FUNCTIONS["linalg_vector_norm"](t.unsqueeze(-1), ord, [t.ndim], False))
    return Array(FUNCTIONS["linalg_vector_norm"](t, ord, dims, keepdims))


__all__ = [
    "cholesky", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh", "inv", "matmul", "matrix_norm", "matrix_power",
    "matrix_rank",
    "matrix_transpose", "outer", "pinv", "qr", "slogdet", "solve", "svd", "svdvals", "tensordot", "trace", "vecdot",
    "vector_norm",
]  # fmt: skip
