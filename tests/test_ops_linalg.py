"""Linear algebra against PyTorch, by property, and on a backend that has the decompositions alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from torch_check import check, same, to_candle, torch

import candle
from candle import linalg
from candle.backend import Backend
from candle.errors import DTypeError, GradientError, LinAlgError, ShapeError
from candle.op import OPS

INF = math.inf
DTYPES = ["float64", "complex128"]
SINGLES = ["float32", "complex64"]


def numbers(shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.uniform(-1, 1, shape)
    return np.asarray(x).astype(dtype)


def square(shape=(3, 3), dtype="float64", seed=0):
    """Invertible, with rows to be exchanged."""
    x = numbers(shape, dtype, seed)
    x[..., np.arange(shape[-1]), np.arange(shape[-1])] += np.arange(1, shape[-1] + 1)
    return np.ascontiguousarray(np.roll(x, 1, -2))


def hermitian(shape=(3, 3), dtype="float64", seed=0):
    """Positive-definite, with eigenvalues apart."""
    x = numbers(shape, dtype, seed) * 0.2
    x[..., np.arange(shape[-1]), np.arange(shape[-1])] += np.arange(1, shape[-1] + 1)
    return x @ x.swapaxes(-1, -2).conj()


SHAPES = [(3, 3), (1, 1), (0, 0), (2, 0, 0), (0, 3, 3), (2, 1, 2, 4, 4)]
UNARY = {
    "inv": square,
    "det": square,
    "slogdet": square,
    "matrix_exp": square,
    "cholesky": hermitian,
    "eigvalsh": hermitian,
    "svdvals": square,
    "pinv": square,
}


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_of_one_matrix(name, shape):
    def of(library):
        if name != "cholesky":
            return getattr(library, name)
        return lambda x: library.cholesky((x + x.mH) / 2)  # PyTorch's gradient keeps what is not Hermitian in a complex seed

    for dtype in DTYPES:
        check(of(linalg), of(torch.linalg), UNARY[name](shape, dtype), second=0 not in shape)
    for dtype in SINGLES:
        check(of(linalg), of(torch.linalg), UNARY[name](shape, dtype), rtol=2e-4)


@pytest.mark.parametrize("name", ["cholesky", "eigh", "eigvalsh"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_one_triangle_is_looked_at(name, dtype):
    for upper in (False, True):
        x = hermitian((2, 4, 4), dtype)
        x += np.tril(np.full((4, 4), 7.0), -1) if upper else np.triu(np.full((4, 4), 7.0), 1)
        attrs = {"upper": upper} if name == "cholesky" else {"UPLO": "u" if upper else "L"}
        pick = (lambda y: y) if name != "eigh" else lambda y: [y[0], y[1].abs()]
        check(
            lambda x: pick(getattr(linalg, name)(x, **attrs)),
            lambda x: pick(getattr(torch.linalg, name)(x, **attrs)),
            x,
            grad=name == "eigvalsh" or dtype == "float64",
        )


def weighted(v, w):
    """A function of vectors that their signs do not change."""
    return (v * w) @ v.mH


@pytest.mark.parametrize("shape", [*SHAPES, (5, 5)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_eigenvectors_of_hermitian_matrices(shape, dtype):
    w = np.arange(1.0, shape[-1] + 1)

    def of(library):
        def fn(x, w):
            values, vectors = library.linalg.eigh(x)
            return values, weighted(vectors, w), (vectors.abs() ** 2).cumsum(-1)

        return fn

    check(of(candle), of(torch), hermitian(shape, dtype), w, second=True)


@pytest.mark.parametrize("shape", [*SHAPES, (5, 5)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_eigenvectors_of_any_matrix(shape, dtype):
    def of(library):
        def fn(x):
            values, vectors = library.linalg.eig(x)
            return values.sum(-1), (values * values * values).sum(-1), weighted(vectors, (values * values).unsqueeze(-2))

        return fn

    x = square(shape, dtype)
    check(of(candle), of(torch), x, second=True, rtol=1e-9)
    check(lambda x: (linalg.eigvals(x) ** 2).sum(-1), lambda x: (torch.linalg.eigvals(x) ** 2).sum(-1), x, second=True, rtol=1e-9)
    values, vectors = linalg.eig(candle.tensor(x, device="numpy"))
    same(to_candle(x).to(dtype="complex128") @ vectors, (vectors * values.unsqueeze(-2)).numpy(), 1e-9)


OBLONG = [(4, 2), (2, 4), (3, 3), (3, 5, 1), (0, 3), (3, 0), (0, 2, 3), (2, 1, 5, 3)]


@pytest.mark.parametrize("shape", OBLONG, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_qr(shape, dtype):
    x = numbers(shape, dtype)
    check(linalg.qr, torch.linalg.qr, x, second=0 not in shape)
    check(lambda x: linalg.qr(x, "complete"), lambda x: torch.linalg.qr(x, "complete"), x, grad=shape[-2] <= shape[-1])
    check(lambda x: linalg.qr(x, "r"), lambda x: torch.linalg.qr(x, "r"), x, grad=False)
    q, r = linalg.qr(to_candle(x))
    same(q @ r, x)
    same(q.mH @ q, np.broadcast_to(np.eye(q.shape[-1]), (*shape[:-2], q.shape[-1], q.shape[-1])).astype(dtype))


@pytest.mark.parametrize("shape", OBLONG, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_svd(shape, dtype):
    k = min(shape[-2:])
    w = np.arange(1.0, k + 1)

    def of(library):
        def fn(x, w):
            u, s, vh = library.linalg.svd(x, full_matrices=False)
            return s, weighted(u, w), (u * w) @ vh, weighted(vh.mH, w)

        return fn

    x = numbers(shape, dtype)
    check(of(candle), of(torch), x, w, second=0 not in shape, rtol=1e-8)
    u, s, vh = linalg.svd(to_candle(x))
    assert u.shape == (*shape[:-1], shape[-2]) and vh.shape == (*shape[:-2], shape[-1], shape[-1])
    same((u[..., :k] * s.unsqueeze(-2)) @ vh[..., :k, :], x)
    for v in (u, vh):
        same(v @ v.mH, np.broadcast_to(np.eye(v.shape[-1]), v.shape).astype(dtype))
    check(lambda x: linalg.svd(x).S, lambda x: torch.linalg.svd(x).S if shape[-1] == shape[-2] else torch.linalg.svdvals(x), x)
    check(linalg.svdvals, torch.linalg.svdvals, x, second=True)


def test_singular_vectors_beyond_the_values_have_no_gradient():
    x = to_candle(numbers((4, 2))).requires_grad_()
    u, s, _ = linalg.svd(x)
    candle.grad(s.sum(), x)
    with pytest.raises(GradientError, match="full_matrices=False"):
        (linalg.svd(x).U.sum() + s.sum()).backward()
    with pytest.raises(GradientError, match="mode='reduced'"):
        linalg.qr(x, "complete").R.sum().backward()
    assert u.shape == (4, 4)


def test_equal_eigenvalues_and_zeros_give_finite_gradients():
    """Of functions that do not tell apart what is equal, the gradients are right."""
    x = to_candle(np.eye(3)).requires_grad_()
    w, v = linalg.eigh(x)
    same(candle.grad((v * w) @ v.mH, x, to_candle(np.eye(3))), np.eye(3))
    same(candle.grad(linalg.svdvals(x).sum(), x), np.eye(3))
    flat = to_candle(np.ones((3, 2))).requires_grad_()
    u, s, vh = linalg.svd(flat, full_matrices=False)
    assert np.isfinite(candle.grad((u * s) @ vh, flat, to_candle(np.ones((3, 2)))).numpy()).all()


@pytest.mark.parametrize("shape", [*OBLONG, *SHAPES], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_lu(shape, dtype):
    x = numbers(shape, dtype)
    check(linalg.lu_factor, torch.linalg.lu_factor, x, second=0 not in shape, rtol=1e-8)
    check(linalg.lu, torch.linalg.lu, x, second=0 not in shape, rtol=1e-8)
    p, lower, upper = linalg.lu(to_candle(x))
    same(p @ lower @ upper, x)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_lu_solve(left, adjoint, dtype):
    a, b = square((2, 3, 3), dtype), numbers((2, 3, 4) if left else (2, 4, 3), dtype)

    def of(library):
        def fn(a, b):
            lu, pivots = library.linalg.lu_factor(a)
            return library.linalg.lu_solve(lu, pivots, b, left=left, adjoint=adjoint)

        return fn

    check(of(candle), of(torch), a, b, second=True)


BATCHES = [
    ((3, 3), (3, 2)),
    ((2, 3, 3), (3, 1)),
    ((3, 3), (4, 3, 2)),
    ((2, 1, 3, 3), (4, 3, 2)),
    ((0, 3, 3), (0, 3, 2)),
    ((0, 0), (0, 2)),
    ((3, 3), (3, 0)),
    ((1, 1), (1, 1)),
]


@pytest.mark.parametrize(("a", "b"), BATCHES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_solve(a, b, dtype):
    x, y = square(a, dtype), numbers(b, dtype, 1)
    second = 0 not in (*a, *b)
    check(linalg.solve, torch.linalg.solve, x, y, second=second)
    flat = np.ascontiguousarray(y.swapaxes(-1, -2))
    check(lambda a, b: linalg.solve(a, b, left=False), lambda a, b: torch.linalg.solve(a, b, left=False), x, flat, second=second)
    for upper in (False, True):
        for unit in (False, True):
            for left in (False, True):
                attrs = {"upper": upper, "left": left, "unitriangular": unit}
                check(
                    lambda a, b: linalg.solve_triangular(a, b, **attrs),
                    lambda a, b: torch.linalg.solve_triangular(a, b, **attrs),
                    x + 2 * np.eye(a[-1]),
                    y if left else flat,
                    second=second,
                )


@pytest.mark.parametrize(("a", "b"), [((3, 3), (3,)), ((2, 3, 3), (2, 3)), ((2, 3, 3), (3,)), ((4, 2, 3, 3), (4, 2, 3))], ids=str)
def test_solve_for_vectors(a, b):
    check(linalg.solve, torch.linalg.solve, square(a), numbers(b), second=True)


def test_zeros_on_the_diagonal_of_a_triangle_are_divided_by():
    a, b = np.array([[0.0, 1.0], [0.0, 2.0]]), np.array([[1.0], [2.0]])
    check(
        lambda a, b: linalg.solve_triangular(a, b, upper=True),
        lambda a, b: torch.linalg.solve_triangular(a, b, upper=True),
        a,
        b,
        grad=False,
    )


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_with_cholesky_factors(upper, dtype):
    x, b = hermitian((2, 3, 3), dtype), numbers((2, 3, 2), dtype)

    def of(library):
        def fn(x, b):
            factor = library.linalg.cholesky(x, upper=upper)
            return library.cholesky_solve(b, factor, upper), library.cholesky_inverse(factor, upper)

        return fn

    check(of(candle), of(torch), x, b, second=True)
    same(linalg.cholesky_solve(to_candle(b), linalg.cholesky(to_candle(x))), np.linalg.solve(x, b))


@pytest.mark.parametrize("name", ["det", "slogdet", "logdet"])
@pytest.mark.parametrize("kind", ["singular", "negative", "zero"])
def test_determinants(name, kind):
    x = square((3, 3))
    x = np.stack([x, x[[1, 0, 2]]]) if kind == "negative" else x * 0 if kind == "zero" else x
    if kind == "singular":
        x[2] = 0  # so that rounding cannot make it regular
    # Of singular matrices PyTorch gives the determinant gradients of zero even where they are not: see the minors below.
    check(getattr(candle, name), getattr(torch, name), x, grad=kind == "negative")


def test_the_gradient_of_a_determinant_near_singular_matrices():
    x = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 0.0, 1.0]])
    minors = [[(-1) ** (i + j) * np.linalg.det(np.delete(np.delete(x, i, 0), j, 1)) for j in range(3)] for i in range(3)]
    t = to_candle(x).requires_grad_()
    same(candle.grad(linalg.det(t), t), np.array(minors), 1e-12)


@pytest.mark.parametrize("shape", OBLONG, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_pseudo_inverses(shape, dtype):
    x = numbers(shape, dtype)
    check(linalg.pinv, torch.linalg.pinv, x, second=0 not in shape, rtol=1e-8)
    check(lambda x: linalg.pinv(x, rtol=0.5), lambda x: torch.linalg.pinv(x, rtol=0.5), x, grad=False)
    check(lambda x: linalg.pinv(x, atol=0.5), lambda x: torch.linalg.pinv(x, atol=0.5), x, grad=False)
    n = shape[-2]
    if 0 not in shape:
        h = hermitian((*shape[:-2], n, n), dtype) - 3 * np.eye(n)
        check(lambda x: linalg.pinv(x, hermitian=True), lambda x: torch.linalg.pinv(x, hermitian=True), h)


def test_pseudo_inverses_of_deficient_matrices():
    x = numbers((5, 2)) @ numbers((2, 4), seed=1)
    check(linalg.pinv, torch.linalg.pinv, x, rtol=1e-8)
    check(candle.pinverse, torch.pinverse, x, rtol=1e-8)


@pytest.mark.parametrize("attrs", [{}, {"tol": 0.5}, {"atol": 0.5}, {"rtol": 0.3}, {"atol": 0.1, "rtol": 0.3}], ids=str)
def test_rank(attrs):
    for x in (
        numbers((2, 5, 3)),
        numbers((5, 2)) @ numbers((2, 4), seed=1),
        np.zeros((3, 2)),
        np.zeros((2, 0, 3)),
        numbers((4, 3), "complex128"),
    ):
        check(lambda x: linalg.matrix_rank(x, **attrs), lambda x: torch.linalg.matrix_rank(x, **attrs), x, grad=False)
    h = hermitian((2, 4, 4)) - 2 * np.eye(4)
    check(
        lambda x: linalg.matrix_rank(x, hermitian=True, **attrs),
        lambda x: torch.linalg.matrix_rank(x, hermitian=True, **attrs),
        h,
        grad=False,
    )


@pytest.mark.parametrize("driver", [None, "gels", "gelsy", "gelsd", "gelss"])
@pytest.mark.parametrize(("a", "b"), [((5, 3), (5, 2)), ((2, 3, 5), (2, 3, 2)), ((3, 3), (3, 1)), ((2, 4, 2), (2, 4))], ids=str)
def test_least_squares(driver, a, b):
    attrs = {"driver": driver}

    def of(library):
        return lambda a, b: list(library.linalg.lstsq(a, b, **attrs))

    if len(b) == len(a):
        check(of(candle), of(torch), numbers(a), numbers(b, seed=1), grad=False)
    check(
        lambda a, b: linalg.lstsq(a, b).solution,
        lambda a, b: torch.linalg.lstsq(
            a, b if len(b.shape) == len(a.shape) else b.unsqueeze(-1), driver="gelsd"
        ).solution.reshape(*a.shape[:-2], a.shape[-1], *b.shape[len(a.shape) - 1 :]),
        numbers(a),
        numbers(b, seed=1),
        rtol=1e-9,
    )


def test_least_squares_of_deficient_matrices():
    a = numbers((5, 2)) @ numbers((2, 3), seed=1)
    found = linalg.lstsq(to_candle(a), to_candle(numbers((5, 1))), driver="gelsd")
    want = np.linalg.lstsq(a, numbers((5, 1)))
    same(found.solution, want[0], 1e-9)
    assert int(found.rank) == 2 and found.residuals.shape == (0,)


@pytest.mark.parametrize("n", [-3, -1, 0, 1, 2, 7])
@pytest.mark.parametrize("dtype", DTYPES)
def test_powers(n, dtype):
    for shape in ((3, 3), (2, 2, 2), (0, 0)):
        check(
            lambda x: linalg.matrix_power(x, n),
            lambda x: torch.linalg.matrix_power(x, n),
            square(shape, dtype),
            grad=n != 0,
            second=True,
        )
    if n >= 0:
        check(lambda x: x.matrix_power(n), None, (numbers((3, 3)) * 4).astype(np.int64))


@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 20.0, 300.0])
def test_exponentials(scale):
    x = numbers((2, 4, 4)) * scale
    x[1] *= 0.01
    check(linalg.matrix_exp, torch.linalg.matrix_exp, x - scale * np.eye(4), rtol=1e-9)
    check(candle.matrix_exp, torch.matrix_exp, np.array([[math.nan]]), grad=False)


# -- norms -----------------------------------------------------------------------------------------

ORDS = ["fro", "nuc", 1, -1, 2, -2, INF, -INF]


@pytest.mark.parametrize("ord_", ORDS)
@pytest.mark.parametrize("keepdim", [False, True])
def test_matrix_norms(ord_, keepdim):
    for shape, dim in (
        ((3, 4), (-2, -1)),
        ((2, 3, 4), (0, 2)),
        ((2, 3, 4), (2, 1)),
        ((0, 3, 2), (-2, -1)),
        ((2, 1, 3, 2, 2), (-1, 1)),
    ):
        for dtype in DTYPES:
            check(
                lambda x: linalg.matrix_norm(x, ord_, dim, keepdim),
                lambda x: torch.linalg.matrix_norm(x, ord_, dim, keepdim),
                numbers(shape, dtype),
                rtol=1e-9,
            )
            check(
                lambda x: linalg.norm(x, ord_, dim, keepdim),
                lambda x: torch.linalg.norm(x, ord_, dim, keepdim),
                numbers(shape, dtype),
                grad=False,
            )
    check(
        lambda x: linalg.matrix_norm(x, ord_, dtype="float64"),
        lambda x: torch.linalg.matrix_norm(x, ord_, dtype=torch.float64),
        numbers((3, 2), "float32"),
    )


@pytest.mark.parametrize("ord_", [0, 1, 2, 3, 0.5, -1, -2, INF, -INF])
def test_vector_norms(ord_):
    for dim, keepdim in ((None, False), (0, True), (-1, False), ((0, 1), False), ((1, 2), True)):
        for dtype in DTYPES:
            check(
                lambda x: linalg.vector_norm(x, ord_, dim, keepdim),
                lambda x: torch.linalg.vector_norm(x, ord_, dim, keepdim),
                numbers((2, 3, 4), dtype),
            )
    check(lambda x: linalg.norm(x, ord_), lambda x: torch.linalg.norm(x, ord_), numbers(5))
    check(lambda x: linalg.norm(x, ord_, 1), lambda x: torch.linalg.norm(x, ord_, 1), numbers((2, 5)))


def test_norms_without_an_order():
    for dim in (None, 0, (0, 1), (-1, 0)):
        check(
            lambda x: linalg.norm(x, dim=dim, keepdim=True),
            lambda x: torch.linalg.norm(x, dim=dim, keepdim=True),
            numbers((2, 3, 4)),
        )


@pytest.mark.parametrize("p", [None, *ORDS])
def test_condition_numbers(p):
    def theirs(x):
        if p in (None, 2, -2):
            return torch.linalg.cond(x, p)
        return torch.linalg.matrix_norm(x, p) * torch.linalg.matrix_norm(torch.linalg.inv(x), p)  # cond itself breaks its tape

    for dtype in DTYPES:
        check(lambda x: linalg.cond(x, p), theirs, square((2, 3, 3), dtype), rtol=1e-9)
    if p not in (None, 2, -2):
        found = linalg.cond(to_candle(np.stack([np.zeros((3, 3)), np.eye(3)])), p)
        same(found, np.array([INF, {"fro": 3.0, "nuc": 9.0}.get(p, 1.0)]))
    else:
        check(lambda x: linalg.cond(x, p), lambda x: torch.linalg.cond(x, p), numbers((4, 2)), rtol=1e-9)


# -- products and others ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shapes",
    [
        [(3, 4), (4, 2)],
        [(3,), (3, 4), (4, 2)],
        [(2, 3), (3, 4), (4,)],
        [(3,), (3, 2), (2,)],
        [(3,), (3,)],
        [(10, 2), (2, 9), (9, 1), (1, 7), (7, 3)],
        [(2, 0), (0, 3), (3, 2)],
    ],
    ids=str,
)
def test_chains(shapes):
    xs = [numbers(s, seed=i) for i, s in enumerate(shapes)]
    check(lambda *xs: linalg.multi_dot(xs), lambda *xs: torch.linalg.multi_dot(xs), *xs, second=all(0 not in s for s in shapes))


def test_chains_take_the_cheapest_order():
    counted = []

    class Counting(Backend):
        name = "counting"

        def __init__(self):
            base = candle.tensor(0, device="numpy").backend.kernels
            product = base["matmul"]

            def matmul(out, a, b):
                counted.append(a.shape[-2] * a.shape[-1] * b.shape[-1])
                return product(out, a, b)

            self.kernels = {**base, "matmul": matmul}

    device = Counting()
    linalg.multi_dot([candle.ones(*s, device=device) for s in ((10, 100), (100, 5), (5, 50))])
    assert sum(counted) == 10 * 100 * 5 + 10 * 5 * 50


PRODUCTS = {
    "cross": ((2, 3), (2, 3)),
    "vecdot": ((2, 3), (4, 1, 3)),
    "matmul": ((2, 3), (3, 4)),
    "tensorsolve": ((2, 3, 6), (2, 3)),
}


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_products(name, dtype):
    a, b = PRODUCTS[name]
    check(getattr(linalg, name), getattr(torch.linalg, name), numbers(a, dtype), numbers(b, dtype, 1), second=True)


def test_products_along_other_dimensions():
    check(
        lambda a, b: linalg.vecdot(a, b, dim=0),
        lambda a, b: torch.linalg.vecdot(a, b, dim=0),
        numbers((3, 2)),
        numbers((3, 2), seed=1),
    )
    check(
        lambda a, b: linalg.cross(a, b, dim=0),
        lambda a, b: torch.linalg.cross(a, b, dim=0),
        numbers((3, 2)),
        numbers((3, 1), seed=1),
    )
    check(
        lambda a, b: linalg.tensorsolve(a, b, (0, 2)),
        lambda a, b: torch.linalg.tensorsolve(a, b, (0, 2)),
        numbers((3, 6, 2)),
        numbers(6),
    )
    check(lambda a: linalg.tensorinv(a, ind=2), lambda a: torch.linalg.tensorinv(a, ind=2), numbers((2, 3, 6)), second=True)
    check(lambda a: linalg.diagonal(a, offset=1), lambda a: torch.linalg.diagonal(a, offset=1), numbers((2, 3, 4)))


@pytest.mark.parametrize("n", [None, 1, 2, 5])
def test_vandermonde(n):
    if n != 1:
        check(lambda x: linalg.vander(x, N=n), lambda x: torch.linalg.vander(x, N=n), numbers((2, 3)), second=True)
    for increasing in (False, True):  # whose gradient PyTorch has not
        check(lambda x: candle.vander(x, n, increasing), lambda x: torch.vander(x, n, increasing), numbers(4), grad=False)
    check(lambda x: candle.vander(x, n), lambda x: torch.vander(x, n), np.arange(3))


@pytest.mark.parametrize("p", [0.0, 1.0, 1.5, 2.0, 3.0, INF])
def test_distances(p):
    for a, b in (((4, 3), (5, 3)), ((2, 1, 4, 3), (3, 2, 3)), ((0, 3), (2, 3)), ((2, 0), (3, 0)), ((30, 2), (30, 2))):
        check(
            lambda x, y: candle.cdist(x, y, p),
            lambda x, y: torch.cdist(x, y, p, "donot_use_mm_for_euclid_dist"),
            numbers(a),
            numbers(b, seed=1),
        )
    x = to_candle(numbers((3, 2))).requires_grad_()
    assert np.isfinite(candle.grad(candle.cdist(x, x.detach(), p).sum(), x).numpy()).all()


# -- other dtypes, backends, errors ----------------------------------------------------------------


def test_integers_become_the_default_float():
    x = np.array([[2, 1], [1, 3]])
    same(linalg.inv(to_candle(x)), np.linalg.inv(x).astype(np.float32))
    same(linalg.det(to_candle(x)), np.float32(5))


def test_views_are_taken_as_their_copies():
    x = candle.tensor(square((6, 6), "float32"), device="numpy")
    for view in (x.T, x[1:4, 2:5], x.flip(0), x[None].expand(2, 6, 6)):
        same(linalg.inv(view), linalg.inv(candle.tensor(view.numpy().copy())).numpy())


class Decompositions(Backend):
    """A backend with the required kernels and the decompositions."""

    name = "decompositions"

    def __init__(self):
        base = candle.tensor(0, device="numpy").backend.kernels
        own = (
            "linalg_cholesky",
            "linalg_eig",
            "linalg_eigh",
            "linalg_lu_factor",
            "linalg_qr",
            "linalg_solve_triangular",
            "linalg_svd",
        )
        self.kernels = {k: v for k, v in base.items() if OPS[k].required or k in own}


@pytest.mark.parametrize("dtype", DTYPES)
def test_expansions(dtype):
    device = Decompositions()
    a, b, h = square((2, 4, 4), dtype), numbers((2, 4, 3), dtype), hermitian((2, 4, 4), dtype)
    for name, *xs in (
        ("inv", a),
        ("det", a),
        ("slogdet", a),
        ("solve", a, b),
        ("eigvalsh", h),
        ("svdvals", b),
        ("pinv", b),
        ("lu", b),
        ("eigvals", h),
    ):
        fn = getattr(linalg, name)
        got, want = fn(*[candle.tensor(x, device=device) for x in xs]), fn(*map(to_candle, xs))
        got, want = ([v] if isinstance(v, candle.Tensor) else list(v) for v in (got, want))
        same([g.numpy() for g in got], [w.numpy() for w in want], 1e-9)
    x = candle.tensor(a, device=device, requires_grad=True)
    same(
        candle.grad(linalg.det(x).abs().sum(), x),
        candle.grad(linalg.det(y := to_candle(a).requires_grad_()).abs().sum(), y).numpy(),
        1e-9,
    )


def test_captured():
    def total(a):
        return linalg.matrix_exp(a).sum() + linalg.cond(a, 1)

    x = to_candle(square((4, 4)))
    for part in (lambda a: linalg.slogdet(a), lambda a: linalg.lstsq(a, a), lambda a: linalg.qr(a), candle.grad(total)):
        got, want = candle.compile(part)(x), part(x)
        assert type(got) is type(want)
        same(
            [v.numpy() for v in (got if isinstance(got, tuple) else (got,))],
            [v.numpy() for v in (want if isinstance(want, tuple) else (want,))],
        )


@pytest.mark.parametrize("name", ["eigh", "eig", "svd", "qr", "eigvals"])
def test_what_is_unique_is_what_signs_do_not_change(name):
    op = OPS["linalg_" + name]
    x = to_candle(hermitian((2, 4, 4)))
    ys = op(x)
    ys = ys if op.multiple else (ys,)
    turned = {
        "eigh": lambda w, v: (w, v * -1),
        "eig": lambda w, v: (w.flip(-1), (v * -1j).flip(-1)),
        "qr": lambda q, r: (-q, -r),
        "svd": lambda u, s, vh: (-u, s, -vh),
        "eigvals": lambda w: (w.flip(-1),),
    }[name](*ys)
    attrs = op.complete([x.spec], {})
    same(list(op.unique(turned, x, **attrs)), [v.numpy() for v in op.unique(ys, x, **attrs)], 1e-9)


ERRORS = [
    (lambda x: linalg.inv(x[:, :2]), ShapeError, "linalg_inv takes T[n,n] -> T[n,n] but was given float32[3,2]: 3 and 2 differ"),
    (lambda x: linalg.det(x[0]), ShapeError, "fewer than 2 dimensions"),
    (lambda x: linalg.inv(x.half()), DTypeError, "cast with .to(dtype)"),
    (
        lambda x: linalg.inv(x * 0),
        LinAlgError,
        "linalg.inv takes invertible matrices but at least one is singular (use pinv), of the 3x3",
    ),
    (lambda x: linalg.solve(x * 0, x), LinAlgError, "linalg.solve takes invertible matrices"),
    (lambda x: linalg.cholesky(-x @ x.T), LinAlgError, "positive-definite"),
    (lambda x: linalg.eig(x * math.nan), LinAlgError, "linalg.eig did not converge, or found NaN or infinity"),
    (lambda x: linalg.solve(x, x[:2]), ShapeError, "3 and 2 differ"),
    (lambda x: linalg.solve(x, x[0], left=False), ShapeError, "vectors on the left side only"),
    (lambda x: linalg.solve_triangular(x, x[:2], upper=True), ShapeError, "B has as many rows as A"),
    (lambda x: linalg.eigh(x, "X"), DTypeError, "UPLO is 'L' or 'U'"),
    (lambda x: linalg.qr(x, "other"), DTypeError, "mode is 'reduced', 'complete' or 'r'"),
    (lambda x: linalg.lu(x, pivot=False), ShapeError, "pivot=True"),
    (lambda x: linalg.lu_solve(*linalg.lu_factor(x), x[:2]), ShapeError, "B of n rows"),
    (lambda x: linalg.lstsq(x, x, driver="other"), DTypeError, "'gels', 'gelsy'"),
    (lambda x: linalg.lstsq(x, x[:2]), ShapeError, "A[m,n] and B[m,k]"),
    (lambda x: linalg.matrix_norm(x, 3), DTypeError, "linalg.matrix_norm's ord is one of fro, nuc"),
    (lambda x: linalg.matrix_norm(x, dim=(0, -2)), ShapeError, "two different dimensions"),
    (lambda x: linalg.norm(x[None], 2), ShapeError, "takes a vector, a matrix, or dim"),
    (lambda x: linalg.norm(x, "fro", 0), ShapeError, "'fro' is a matrix norm"),
    (lambda x: linalg.cond(x[:0, :0]), ShapeError, "matrices with elements"),
    (lambda x: linalg.multi_dot([x]), ShapeError, "at least two"),
    (lambda x: linalg.multi_dot([x, x[:2]]), ShapeError, "that fit"),
    (lambda x: linalg.tensorsolve(x, x), ShapeError, "as many elements in X as in B"),
    (lambda x: linalg.tensorinv(x[None], 1), ShapeError, "as many elements before dimension 1"),
    (lambda x: linalg.vander(x, N=-1), ShapeError, "N of at least 0"),
    (lambda x: candle.cdist(x, x, -1.0), DTypeError, "cdist's p is at least 0"),
    (lambda x: candle.cdist(x, x[:, :2]), ShapeError, "3 and 2 differ"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[e[2] for e in ERRORS])
def test_errors(call, error, text):
    with pytest.raises(error) as caught:
        call(candle.tensor(square((3, 3), "float32"), device="numpy"))
    assert text in str(caught.value)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 5), (0, 3, 2), (3, 0)])
def test_the_older_svd_and_qr(shape, dtype):
    x = numbers(shape, dtype)
    k, front = min(shape[-2:]), shape[:-2]
    for some in (True, False):
        u, s, v = candle.svd(to_candle(x), some=some)
        want = torch.svd(torch.from_numpy(x), some=some)
        assert [tuple(y.shape) for y in (u, s, v)] == [tuple(y.shape) for y in want]
        np.testing.assert_allclose(s.numpy(), want.S.numpy(), atol=1e-12)
        made = (u[..., :k] * s.unsqueeze(-2)) @ v[..., :k].mH
        np.testing.assert_allclose(made.detach().numpy(), x, atol=1e-12)
        q, r = to_candle(x).qr(some)
        assert q.shape == (*front, shape[-2], k if some else shape[-2])
        np.testing.assert_allclose((q @ r).detach().numpy(), x, atol=1e-12)
    bare = candle.svd(to_candle(x), compute_uv=False)
    theirs = torch.svd(torch.from_numpy(x), compute_uv=False)
    assert [tuple(y.shape) for y in bare] == [tuple(y.shape) for y in theirs] and not bare.U.any() and not bare.V.any()
    np.testing.assert_allclose(bare.S.numpy(), theirs.S.numpy(), atol=1e-12)


@pytest.mark.filterwarnings("ignore:torch.(qr|svd) is deprecated")
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_the_older_svd_and_qr(dtype):
    def product(library):
        def call(x):
            (u, s, v), (q, r) = library.svd(x), library.qr(x)
            return s, (u * s.unsqueeze(-2) ** 2) @ v.mH, q @ r.triu(1)

        return call

    check(product(candle), product(torch), square((2, 3, 3), dtype), rtol=1e-7)


def test_an_unknown_name_says_what_is_near():
    with pytest.raises(AttributeError, match="did you mean 'svdvals'"):
        _ = linalg.svdval
    assert {"svd", "lu", "multi_dot"} <= set(dir(linalg))


# -- the array API's extension ---------------------------------------------------------------------


def standard(x):
    from candle import array_api

    return array_api.asarray(x)


VALUES = {
    "cholesky": [{}, {"upper": True}], "det": [{}], "diagonal": [{}, {"offset": 1}, {"offset": -2}, {"offset": 9}], "inv": [{}],
    "eigvalsh": [{}], "matrix_norm": [{"ord": o} for o in ("fro", "nuc", 1, -1, 2, -2, INF, -INF)] + [{"keepdims": True}],
    "matrix_rank": [{}, {"rtol": 0.5}], "pinv": [{}, {"rtol": 0.4}], "svdvals": [{}],
    "trace": [{}, {"offset": -1}, {"offset": 7}],
    "vector_norm": [
        {}, {"ord": 0}, {"ord": 1, "axis": -1}, {"ord": 3.5, "axis": 1}, {"ord": INF, "axis": (0, 2), "keepdims": True},
    ],
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "given"), [(n, g) for n, gs in VALUES.items() for g in gs])
def test_the_standards_values_are_numpys(name, given, dtype):
    from candle import array_api

    x = hermitian((2, 3, 3), dtype)
    got = getattr(array_api.linalg, name)(standard(x), **given)
    np.testing.assert_allclose(np.asarray(got), getattr(np.linalg, name)(x, **given), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_standards_factors_make_the_matrix(dtype):
    from candle.array_api import linalg as ours

    x = numbers((2, 4, 3), dtype)
    for full in (True, False):
        u, s, vh = map(np.asarray, ours.svd(standard(x), full_matrices=full))
        assert u.shape == ((2, 4, 4) if full else (2, 4, 3))
        np.testing.assert_allclose((u[..., :3] * s[:, None]) @ vh, x, atol=1e-12)
        q, r = map(np.asarray, ours.qr(standard(x), mode="complete" if full else "reduced"))
        assert q.shape == u.shape and np.array_equal(r, np.triu(r))
        np.testing.assert_allclose(q @ r, x, atol=1e-12)
    h = hermitian((2, 3, 3), dtype)
    found = ours.eigh(standard(h))
    v = np.asarray(found.eigenvectors)
    np.testing.assert_allclose((v * np.asarray(found.eigenvalues)[:, None]) @ v.conj().mT, h, atol=1e-12)
    found = ours.slogdet(standard(square((2, 3, 3), dtype)))
    whole = np.asarray(found.sign) * np.exp(np.asarray(found.logabsdet))
    np.testing.assert_allclose(whole, np.linalg.det(square((2, 3, 3), dtype)), rtol=1e-12)


def test_the_standards_solve_takes_matrices_where_not_one_vector():
    from candle.array_api import linalg as ours

    a = square((3, 2, 2))
    for b in (numbers((2,)), numbers((2, 4)), numbers((3, 2, 1)), numbers((5, 1, 2, 3))):
        np.testing.assert_allclose(np.asarray(ours.solve(standard(a), standard(b))), np.linalg.solve(a, b), rtol=1e-11)


def test_the_standards_cross_products_and_tolerances_broadcast():
    from candle.array_api import linalg as ours

    a, b = numbers((4, 1, 3)), numbers((2, 3), seed=1)
    np.testing.assert_allclose(np.asarray(ours.cross(standard(a), standard(b))), np.cross(a, b), rtol=1e-12)
    x, limits = hermitian((2, 3, 3)), np.array([0.0, 0.5])
    for name in ("matrix_rank", "pinv"):
        got = np.asarray(getattr(ours, name)(standard(x), rtol=standard(limits)))
        for i, limit in enumerate(limits):
            np.testing.assert_allclose(got[i], getattr(np.linalg, name)(x[i], rtol=limit), atol=1e-12)
    assert np.array_equal(ours.outer(standard([1, 2]), standard([3, 4])), [[3, 4], [6, 8]])


def test_the_standards_sums_of_integers_are_wide():
    from candle.array_api import int8, int64, uint8, uint64
    from candle.array_api import linalg as ours

    for given, wide in ((int8, int64), (uint8, uint64)):
        x = standard(candle.full((3, 3), 100, dtype=given))
        assert ours.trace(x).dtype is wide and int(ours.trace(x)) == 300


@pytest.mark.parametrize("shape", [(2, 0, 0), (2, 0, 3), (3, 0), (0, 2, 2)])
def test_the_standards_norms_of_nothing(shape):
    from candle.array_api import linalg as ours

    x = standard(np.zeros(shape))
    for ord in ("fro", "nuc", 1, 2, INF):
        assert np.array_equal(ours.matrix_norm(x, ord=ord), np.zeros(shape[:-2]))
    if 0 in shape[-2:]:
        with pytest.raises(ValueError, match="with elements"):
            ours.matrix_norm(x, ord=-2)


def test_what_the_standards_linear_algebra_refuses():
    from candle.array_api import linalg as ours

    x, whole, truth = standard(square()), standard(np.arange(3)), standard([True])
    for call, error, text in (
        (lambda: ours.inv(standard(np.eye(2, dtype=int))), TypeError, "takes floats"),
        (lambda: ours.inv(standard(np.ones((2, 2)))), LinAlgError, "singular"),
        (lambda: ours.cross(x, whole), TypeError, "different kinds"),
        (lambda: ours.cross(x, standard(np.ones(3)), axis=0), ValueError, "negative unless"),
        (lambda: ours.cross(standard(np.ones(2)), standard(np.ones(2))), ValueError, "axes of size 3"),
        (lambda: ours.outer(x, x), ValueError, "two vectors"),
        (lambda: ours.outer(truth, truth), TypeError, "bool was given"),
        (lambda: ours.trace(whole), ValueError, "takes matrices"),
        (lambda: ours.pinv(x, rtol=whole), TypeError, "rtol holds real floats"),
        (lambda: ours.det(square()), TypeError, "use asarray"),
    ):
        with pytest.raises(error, match=text):
            call()
