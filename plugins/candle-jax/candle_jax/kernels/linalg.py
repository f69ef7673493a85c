"""Kernels of linear algebra: LAPACK through XLA on the CPU, the vendors' libraries elsewhere."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from candle.errors import LinAlgError
from candle.ops.linalg import _PADE, _THETA

from .table import PRECISE, Array, Function, kernel


@kernel()
def no_gradient(out: Any, x: Array, *, why: str) -> Array:
    return x


def _refused(name: str, why: str) -> Function:
    """A check that finite operands gave finite results: XLA gives NaN where LAPACK reports a failure."""

    def check(result: Any, out: Any, *xs: Array, **attrs: Any) -> None:
        first = result[0] if isinstance(result, tuple) else result
        if not np.isfinite(np.asarray(first)).all() and all(np.isfinite(np.asarray(x)).all() for x in xs):
            shape = "x".join(map(str, xs[0].shape))
            raise LinAlgError(f"linalg.{name} {why} of the {shape} {xs[0].dtype} given")

    return check


@kernel(after=_refused("cholesky", "takes positive-definite matrices, but not all are"))
def linalg_cholesky(out: Any, x: Array, *, upper: bool) -> Array:
    return jnp.linalg.cholesky(x, upper=upper, symmetrize_input=False)


@kernel()
def linalg_solve_triangular(out: Any, a: Array, b: Array, *, upper: bool, left: bool, unitriangular: bool) -> Array:
    front = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (jnp.broadcast_to(v, (*front, *v.shape[-2:])) for v in (a, b))
    if not out.size:
        return jnp.zeros(out.shape, b.dtype)
    return jax.lax.linalg.triangular_solve(a, b, left_side=left, lower=not upper, unit_diagonal=unitriangular)


@kernel()
def linalg_lu_factor(out: Any, x: Array, *, pivot: bool) -> tuple[Array, Array]:
    lu, pivots, _ = jax.lax.linalg.lu(x)
    return lu, pivots + 1


@kernel()
def lu_permutation(out: Any, pivots: Array, *, m: int) -> Array:
    flat = pivots.reshape(math.prod(pivots.shape[:-1]), pivots.shape[-1]) - 1
    return jax.lax.linalg.lu_pivots_to_permutation(flat.astype(jnp.int32), m).reshape(out.shape)


_SINGULAR = "takes invertible matrices but at least one is singular"


@kernel(after=_refused("solve", f"{_SINGULAR} (use lstsq or pinv),"))
def linalg_solve(out: Any, a: Array, b: Array) -> Array:
    return jnp.linalg.solve(a, b) if out.size else jnp.zeros(out.shape, b.dtype)


@kernel(after=_refused("inv", f"{_SINGULAR} (use pinv),"))
def linalg_inv(out: Any, x: Array) -> Array:
    return jnp.linalg.inv(x) if out.size else x


@kernel()
def cofactor(out: Any, x: Array) -> Array:
    if not out.size:
        return x
    u, s, vh = jnp.linalg.svd(x, full_matrices=False)
    ones = jnp.ones_like(s[..., :1])
    before = jnp.cumprod(jnp.concatenate([ones, s[..., :-1]], -1), -1)
    after = jnp.cumprod(jnp.concatenate([ones, s[..., :0:-1]], -1), -1)[..., ::-1]
    turn = jnp.linalg.det(u) * jnp.linalg.det(vh)
    scaled = u.conj() * (before * after)[..., None, :].astype(u.dtype)
    return turn[..., None, None] * jnp.matmul(scaled, vh.conj(), precision=PRECISE)


@kernel()
def linalg_det(out: Any, x: Array) -> Array:
    return jnp.linalg.det(x) if x.size else jnp.ones(out.shape, x.dtype)


@kernel()
def linalg_slogdet(out: Any, x: Array) -> tuple[Array, Array]:
    if not x.size:
        return jnp.ones(out[0].shape, x.dtype), jnp.zeros(out[1].shape, x.real.dtype)
    return tuple(jnp.linalg.slogdet(x))  # type: ignore[return-value]


@kernel(after=_refused("eigh", "did not converge on one"))
def linalg_eigh(out: Any, x: Array, *, UPLO: str) -> tuple[Array, Array]:
    if not x.size:
        return jnp.zeros(out[0].shape, x.real.dtype), x
    return tuple(jnp.linalg.eigh(x, UPLO=UPLO, symmetrize_input=False))  # type: ignore[return-value]


@kernel(after=_refused("eigvalsh", "did not converge on one"))
def linalg_eigvalsh(out: Any, x: Array, *, UPLO: str) -> Array:
    return jnp.linalg.eigvalsh(x, UPLO=UPLO, symmetrize_input=False) if x.size else jnp.zeros(out.shape, x.real.dtype)


@kernel(after=_refused("eig", "did not converge, or found NaN or infinity, in one"))
def linalg_eig(out: Any, x: Array) -> tuple[Array, Array]:
    if not x.size:
        return tuple([jnp.zeros(o.shape, o.dtype.numpy) for o in out])  # type: ignore[return-value]
    return tuple(jnp.linalg.eig(x))  # type: ignore[return-value]


@kernel(after=_refused("eigvals", "did not converge, or found NaN or infinity, in one"))
def linalg_eigvals(out: Any, x: Array) -> Array:
    return jnp.linalg.eigvals(x) if x.size else jnp.zeros(out.shape, out.dtype.numpy)


@kernel(after=_refused("qr", "failed on one"))
def linalg_qr(out: Any, x: Array, *, mode: str) -> tuple[Array, Array]:
    return tuple(jnp.linalg.qr(x, mode=mode))


@kernel(after=_refused("svd", "did not converge on one"))
def linalg_svd(out: Any, x: Array, *, full_matrices: bool) -> tuple[Array, ...]:
    return tuple(jnp.linalg.svd(x, full_matrices=full_matrices))


@kernel(after=_refused("svdvals", "did not converge on one"))
def linalg_svdvals(out: Any, x: Array) -> Array:
    return jnp.linalg.svd(x, compute_uv=False)


@kernel()
def linalg_matrix_exp(out: Any, x: Array) -> Array:
    """By scaling and squaring in float64, as the reference."""
    a = x.astype(jnp.complex128 if jnp.iscomplexobj(x) else jnp.float64)
    if not x.size:
        return a
    size = jnp.max(jnp.sum(jnp.abs(a), -2), -1)
    finite = jnp.isfinite(size)
    times = jnp.where(finite & (size > _THETA), jnp.ceil(jnp.log2(jnp.maximum(size, _THETA) / _THETA)), 0)
    a = jnp.where(finite[..., None, None], a, jnp.nan) * jnp.exp2(-times)[..., None, None]
    b, eye = _PADE, jnp.eye(a.shape[-1])
    a2 = a @ a
    a4 = a2 @ a2
    a6 = a4 @ a2
    u = a @ (a6 @ (b[13] * a6 + b[11] * a4 + b[9] * a2) + b[7] * a6 + b[5] * a4 + b[3] * a2 + b[1] * eye)
    v = a6 @ (b[12] * a6 + b[10] * a4 + b[8] * a2) + b[6] * a6 + b[4] * a4 + b[2] * a2 + b[0] * eye
    y = jnp.linalg.solve(v - u, v + u)
    square = lambda i, y: jnp.where((times > i)[..., None, None], y @ y, y)
    return jax.lax.fori_loop(0, jnp.max(times).astype(jnp.int32), square, y)
