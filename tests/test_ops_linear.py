"""Products against PyTorch: matrices, vectors, einsum, at edge cases and in every dtype."""

from __future__ import annotations

import math

import numpy as np
import pytest
from torch_check import check, same, to_candle, torch

import candle
from candle.errors import DTypeError, ShapeError

FLOATS = ["float16", "bfloat16", "float32", "float64"]
COMPLEX = ["complex64", "complex128"]
INTS = ["int8", "uint8", "int16", "int32", "int64"]


def numbers(shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    kind = getattr(candle, dtype).numpy
    x = rng.uniform(-2, 2, shape)
    if kind.kind == "c":
        x = x + 1j * rng.uniform(-2, 2, shape)
    return np.asarray(np.round(np.abs(x)) if kind.kind == "u" else np.round(x) if kind.kind == "i" else x).astype(kind)


SHAPES = [
    ((2, 3), (3, 4)),
    ((1, 1), (1, 1)),
    ((2, 0), (0, 3)),
    ((0, 2), (2, 3)),
    ((2, 3), (3, 0)),
    ((0, 0), (0, 0)),
    ((3,), (3,)),
    ((0,), (0,)),
    ((3,), (3, 4)),
    ((2, 3), (3,)),
    ((3,), (5, 3, 4)),
    ((5, 2, 3), (3,)),
    ((2, 0), (0,)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (6, 3, 4)),
    ((1, 2, 3), (5, 3, 1)),
    ((0, 2, 3), (0, 3, 4)),
    ((0, 2, 3), (3, 4)),
    ((5, 2, 0), (5, 0, 4)),
    ((2, 1, 2, 2, 3), (3, 1, 3, 2)),
    ((33, 17), (17, 65)),
]


@pytest.mark.parametrize(("a", "b"), SHAPES, ids=str)
def test_matmul(a, b):
    second = 0 not in (*a, *b)
    for dtype in ("float64", "complex128"):
        check(lambda x, y: x @ y, None, numbers(a, dtype), numbers(b, dtype, 1), second=second)
    check(lambda x, y: x.matmul(y), None, numbers(a, "float32"), numbers(b, "float32", 1))


@pytest.mark.parametrize("dtype", [*FLOATS, *COMPLEX, *INTS])
@pytest.mark.parametrize(("a", "b"), [((4, 5), (5, 3)), ((5,), (5,)), ((2, 4, 5), (5,))], ids=str)
def test_matmul_in_every_dtype(dtype, a, b):
    check(lambda x, y: x @ y, None, numbers(a, dtype), numbers(b, dtype, 1))


def test_matmul_of_booleans_counts():
    x, y = numbers((3, 4)) > 0, numbers((4, 2), seed=1) > 0
    same(to_candle(x) @ to_candle(y), x.astype(np.int64) @ y.astype(np.int64))


def test_matmul_promotes():
    y = candle.ones(2, 2, dtype="int64") @ candle.ones(2, 2)
    assert y.dtype is candle.float32 and y.tolist() == [[2.0, 2.0], [2.0, 2.0]]


@pytest.mark.parametrize("k", [7, 1025])
def test_half_precision_is_summed_in_single(k):
    for dtype in ("float16", "bfloat16"):
        x, y = numbers((2, k), dtype), numbers((k, 2), dtype, 1)
        want = (x.astype(np.float32) @ y.astype(np.float32)).astype(x.dtype)
        np.testing.assert_array_equal((to_candle(x) @ to_candle(y)).numpy(), want)


def test_special_values():
    x = np.array([[math.nan, 1.0], [math.inf, 0.0], [0.0, -0.0]])
    y = np.array([[1.0, 0.0], [math.inf, 2.0]])
    check(lambda x, y: x @ y, None, x, y, grad=False)


VIEWS = {
    "transposed": lambda x: x.mT,
    "offset": lambda x: x[..., 1:, 2:],
    "strided": lambda x: x[..., ::2, ::3],
    "flipped": lambda x: x.flip(-1),
    "expanded": lambda x: x[..., :1, :].expand(x.shape),
    "narrowed": lambda x: x.narrow(-1, 1, 2),
    "moved": lambda x: x.movedim(0, 1),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_multiplied_as_their_copies(name):
    x, y = to_candle(numbers((3, 6, 6), "float32")), to_candle(numbers((3, 6, 6), "float32", 1))
    a, b = VIEWS[name](x), VIEWS[name](y).mT
    same(a @ b, np.ascontiguousarray(a.numpy()) @ np.ascontiguousarray(b.numpy()))
    same(a[0, 0] @ b[0], np.ascontiguousarray(a.numpy()[0, 0]) @ np.ascontiguousarray(b.numpy()[0]))


def test_the_operator_with_arrays_and_in_place():
    x, y = numbers((2, 2), "float32"), numbers((2, 2), "float32", 1)
    same(to_candle(x) @ y, x @ y)
    same(x @ to_candle(y), x @ y)
    t = to_candle(x)
    t @= to_candle(y)
    same(t, x @ y)


NAMED = {
    "mm": [(2, 3), (3, 4)],
    "bmm": [(5, 2, 3), (5, 3, 4)],
    "mv": [(2, 3), (3,)],
    "dot": [(3,), (3,)],
    "vdot": [(3,), (3,)],
    "inner": [(2, 3), (4, 3)],
    "outer": [(2,), (3,)],
    "ger": [(2,), (3,)],
    "kron": [(2, 3), (2, 2)],
    "matmul": [(2, 3), (3, 2)],
    "tensordot": [(2, 3, 4), (3, 4, 5)],
    "addmm": [(2, 4), (2, 3), (3, 4)],
    "addmv": [(2,), (2, 3), (3,)],
    "addr": [(2, 3), (2,), (3,)],
    "baddbmm": [(5, 2, 4), (5, 2, 3), (5, 3, 4)],
    "addbmm": [(2, 4), (5, 2, 3), (5, 3, 4)],
    "chain_matmul": [(2, 3), (3, 4), (4, 2)],
    "trace": [(3, 4)],
    "cross": [(2, 3), (2, 3)],
}


@pytest.mark.filterwarnings("ignore:torch.chain_matmul", "ignore:Using torch.cross")
@pytest.mark.parametrize("name", NAMED)
def test_by_name(name):
    for dtype in ("float64", "complex128"):
        xs = [numbers(s, dtype, i) for i, s in enumerate(NAMED[name])]
        check(getattr(candle, name), getattr(torch, name), *xs, second=True)
    if name not in ("chain_matmul", "tensordot"):
        check(lambda x, *rest: getattr(x, name)(*rest), None, *xs)
    if name not in ("trace",):
        whole = [numbers(s, "int64", i) for i, s in enumerate(NAMED[name])]
        check(getattr(candle, name), getattr(torch, name), *whole)


OTHERS = [
    ("inner", [(3,), (3,)]),
    ("inner", [(2, 1, 3), (4, 3)]),
    ("inner", [(), (2, 3)]),
    ("inner", [(0,), (0,)]),
    ("dot", [(0,), (0,)]),
    ("outer", [(0,), (3,)]),
    ("kron", [(2,), (3, 2)]),
    ("kron", [(2, 1, 3), (2, 2)]),
    ("kron", [(), (2,)]),
    ("kron", [(0, 2), (2, 2)]),
    ("trace", [(0, 3)]),
    ("mm", [(2, 0), (0, 3)]),
    ("bmm", [(0, 2, 3), (0, 3, 2)]),
    ("mv", [(2, 0), (0,)]),
    ("addmm", [(4,), (2, 3), (3, 4)]),
    ("addmm", [(1, 1), (2, 3), (3, 4)]),
    ("addmm", [(2, 3), (2, 0), (0, 3)]),
    ("addmv", [(1,), (2, 3), (3,)]),
    ("baddbmm", [(2, 1), (5, 2, 3), (5, 3, 4)]),
    ("addbmm", [(1, 4), (5, 2, 3), (5, 3, 4)]),
    ("addbmm", [(2, 4), (0, 2, 3), (0, 3, 4)]),
]


@pytest.mark.parametrize(("name", "shapes"), OTHERS, ids=str)
def test_edges_of_shapes(name, shapes):
    check(getattr(candle, name), getattr(torch, name), *[numbers(s, seed=i) for i, s in enumerate(shapes)])


@pytest.mark.parametrize("name", ["addmm", "addmv", "addr", "baddbmm", "addbmm"])
@pytest.mark.parametrize(("beta", "alpha"), [(0, 1), (1, 0), (0.5, 2), (2, -1), (1, 0.25)])
def test_scaled_sums(name, beta, alpha):
    xs = [numbers(s, "float64", i) for i, s in enumerate(NAMED[name])]
    if beta == 0:
        xs[0] = xs[0] * math.nan  # which is then not looked at
        check(
            lambda *xs: getattr(candle, name)(*xs, beta=beta, alpha=alpha),
            lambda *xs: getattr(torch, name)(*xs, beta=beta, alpha=alpha),
            *xs,
            grad=False,
        )
    else:
        check(
            lambda *xs: getattr(candle, name)(*xs, beta=beta, alpha=alpha),
            lambda *xs: getattr(torch, name)(*xs, beta=beta, alpha=alpha),
            *xs,
            second=True,
        )


@pytest.mark.parametrize("dims", [0, 1, 2, ([0], [0]), ([1, 2], [0, 1]), ([-1], [1]), ([2, 1], [1, 0])])
def test_tensordot(dims):
    shapes = {2: ((2, 3, 4), (3, 4, 5)), 1: ((2, 3, 4), (4, 3)), 0: ((2, 3), (4,))}
    a, b = shapes[dims] if isinstance(dims, int) else ((3, 3, 4), (3, 4, 2))
    check(
        lambda x, y: candle.tensordot(x, y, dims),
        lambda x, y: torch.tensordot(x, y, dims),
        numbers(a),
        numbers(b, seed=1),
        second=True,
    )


@pytest.mark.parametrize("dim", [None, 0, 1, -1])
def test_cross_along(dim):
    a = (3, 3) if dim is not None else (2, 3, 3)
    attrs = {} if dim is None else {"dim": dim}
    want = (lambda x, y: torch.linalg.cross(x, y, dim=1)) if dim is None else lambda x, y: torch.linalg.cross(x, y, dim=dim)
    check(lambda x, y: candle.cross(x, y, **attrs), want, numbers(a), numbers(a, seed=1), second=True)
    check(lambda x, y: candle.linalg.cross(x, y), torch.linalg.cross, numbers((2, 1, 3)), numbers((1, 4, 3), seed=1))


# -- linear ----------------------------------------------------------------------------------------

LINEAR = [
    ((2, 3), (4, 3), (4,)),
    ((3,), (4, 3), (4,)),
    ((2, 5, 3), (4, 3), None),
    ((0, 3), (4, 3), (4,)),
    ((2, 0), (4, 0), (4,)),
    ((2, 3), (0, 3), (0,)),
    ((2, 1, 2, 1, 3), (4, 3), (4,)),
    ((2, 3), (3,), None),
]


@pytest.mark.parametrize(("x", "w", "b"), LINEAR, ids=str)
def test_linear(x, w, b):
    xs = [numbers(s, seed=i) for i, s in enumerate((x, w, b)) if s is not None]
    check(candle.linear, torch.nn.functional.linear, *xs, second=0 not in (*x, *w))
    for dtype in FLOATS:
        xs = [numbers(s, dtype, i) for i, s in enumerate((x, w, b)) if s is not None]
        check(candle.linear, torch.nn.functional.linear, *xs, grad=dtype in ("float32", "float64"))


# -- einsum ----------------------------------------------------------------------------------------

EINSUM = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ij->ji", (2, 3)),
    ("ij", (2, 3)),
    ("ba", (2, 3)),
    ("ij->", (2, 3)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iii->i", (3, 3, 3)),
    ("iji->j", (3, 2, 3)),
    ("ijij->ij", (2, 3, 2, 3)),
    ("i,i->", (3,), (3,)),
    ("i,j->ij", (3,), (4,)),
    ("i,j->ji", (3,), (4,)),
    ("bij,bjk->bik", (5, 2, 3), (5, 3, 4)),
    ("bij,bjk->ki", (5, 2, 3), (5, 3, 4)),
    ("...ij,...jk->...ik", (5, 2, 3), (3, 4)),
    ("...ij,...jk", (2, 5, 2, 3), (5, 3, 4)),
    ("...ij->...", (2, 3, 4)),
    ("...,...", (2, 3), (3,)),
    ("...->", (2, 3)),
    ("i...->...i", (2, 3, 4)),
    ("a...b,b...c->a...c", (2, 5, 3), (3, 5, 4)),
    ("...ii->...i", (2, 3, 3)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    ("bn,anm,bm->ba", (2, 3), (4, 3, 5), (2, 5)),
    ("i,i,i->i", (3,), (3,), (3,)),
    ("ij,ij->ij", (2, 3), (1, 3)),
    ("ij,ij->i", (2, 1), (2, 3)),
    ("ij,jk->ik", (2, 1), (3, 4)),
    ("...i,...i->...", (2, 1, 3), (4, 3)),
    ("i,->i", (3,), ()),
    (",->", (), ()),
    ("ij,jk->ik", (2, 0), (0, 3)),
    ("bhid,bhjd->bhij", (2, 2, 3, 4), (2, 2, 5, 4)),
    ("aB,Bc", (2, 3), (3, 4)),
    (" i j , j k -> i k ", (2, 3), (3, 4)),
    ("abcde,edf->abcf", (1, 2, 2, 3, 2), (2, 3, 4)),
    ("ij,kl->ijkl", (2, 3), (2, 2)),
    ("ij,kl->", (2, 3), (2, 2)),
    ("ij,jj->i", (2, 3), (3, 3)),
]


@pytest.mark.parametrize("case", EINSUM, ids=lambda c: f"{c[0]} {c[1:]}")
def test_einsum(case):
    equation, *shapes = case
    second = all(0 not in s for s in shapes)
    for dtype in ("float64", "complex128"):
        xs = [numbers(s, dtype, i) for i, s in enumerate(shapes)]
        check(lambda *xs: candle.einsum(equation, *xs), lambda *xs: torch.einsum(equation, *xs), *xs, second=second)
    whole = [numbers(s, "int64", i) for i, s in enumerate(shapes)]
    check(lambda *xs: candle.einsum(equation, *xs), lambda *xs: torch.einsum(equation, *xs), *whole)


def test_einsum_of_numbered_dimensions():
    x, y = numbers((2, 3)), numbers((3, 4))
    for call in (
        lambda lib, x, y: lib.einsum(x, [0, 1], y, [1, 2], [0, 2]),
        lambda lib, x, y: lib.einsum(x, [0, 1], y, [1, 30]),
        lambda lib, x, y: lib.einsum(x, [..., 1], y, [1, 2], [..., 2]),
        lambda lib, x, y: lib.einsum("ij,jk->ik", [x, y]),
    ):
        check(lambda x, y: call(candle, x, y), lambda x, y: call(torch, x, y), x, y)


ERRORS = [
    (
        lambda x: x @ x,
        ShapeError,
        "matmul takes T[m,k], T[k,n] -> T[m,n] but was given float32[2,3], float32[2,3]: 3 and 2 differ",
    ),
    (lambda x: x @ candle.tensor(2.0), ShapeError, "multiply by numbers with *"),
    (lambda x: candle.ones(3, 2, 3) @ candle.ones(2, 3, 2), ShapeError, "do not broadcast"),
    (lambda x: x.mm(x[0]), ShapeError, "mm takes tensors of 2 and 2 dimensions"),
    (lambda x: candle.bmm(candle.ones(2, 2, 3), candle.ones(1, 3, 2)), ShapeError, "use matmul to broadcast"),
    (lambda x: candle.bmm(x, x), ShapeError, "bmm takes tensors of 3 and 3 dimensions"),
    (lambda x: x[0].dot(x[0, :2]), ShapeError, "3 and 2 differ"),
    (lambda x: x.inner(x[0, :2]), ShapeError, "equal last dimensions"),
    (lambda x: candle.addmm(candle.ones(5, 2, 2), x, x.T), ShapeError, "addmm adds what broadcasts to the product"),
    (lambda x: candle.linear(x, x.T), ShapeError, "linear takes"),
    (lambda x: candle.linear(x, x, x), ShapeError, "bias is [n]"),
    (lambda x: candle.tensordot(x, x, 3), ShapeError, "0 to 2 dims"),
    (lambda x: candle.tensordot(x, x, ([0], [1])), ShapeError, "their sizes differ"),
    (lambda x: candle.cross(x, x, 0), ShapeError, "has to be of size 3"),
    (lambda x: candle.cross(x[:, :2], x[:, :2]), ShapeError, "a dimension of size 3"),
    (lambda x: x[0].trace(), ShapeError, "trace takes a matrix"),
    (lambda x: candle.einsum("ij,jk", x), ShapeError, "names 2 operands but 1 were given"),
    (lambda x: candle.einsum("ijk", x), ShapeError, "names 3 dimensions but the operand has 2"),
    (lambda x: candle.einsum("ij,jk", x, x), ShapeError, "has 'j' of sizes 3 and 2"),
    (lambda x: candle.einsum("ij->k", x), ShapeError, "that no operand has"),
    (lambda x: candle.einsum("ij->ii", x), ShapeError, "names a dimension twice"),
    (lambda x: candle.einsum("i1", x), ShapeError, "made of letters"),
    (lambda x: candle.einsum(x, x), ShapeError, "numbered from 0 to 51"),
    (lambda x: candle.einsum(3, x), DTypeError, "takes an equation"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[e[2] for e in ERRORS])
def test_errors(call, error, text):
    with pytest.raises(error) as caught:
        call(candle.tensor(numbers((2, 3), "float32"), device="numpy"))
    assert text in str(caught.value)
