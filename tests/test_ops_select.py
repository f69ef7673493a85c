"""Selection ops against PyTorch: values, gradients and second gradients, on the reference and on a backend that expands."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from test_ops_movement import Bare, array, everywhere
from torch_check import check, same, to_torch, torch

import candle
from candle.op import OPS

IDS = [np.int64, np.int32, np.uint8]  # those of PyTorch; the others are compared with int64


def ids(shape: Any, n: int, dtype: Any = np.int64, seed: int = 0) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).integers(0, n, shape), dtype)


# (x, ids, dim)
ELEMENTS = [
    ((3, 4), (3, 4), 1), ((3, 4), (2, 7), 1), ((3, 4), (9, 2), 0), ((3, 4), (9, 2), -2), ((5,), (12,), 0),
    ((2, 3, 4), (1, 8, 2), 1),
    ((2, 1, 3, 2, 3), (2, 1, 2, 2, 5), -1), ((3, 4), (0, 4), 0), ((3, 0), (2, 0), 0), ((0, 3), (0, 3), 0), ((), (), 0),
]  # fmt: skip


def clean(*shape: int, seed: int = 0) -> np.ndarray:
    """Distinct numbers, none of them NaN."""
    return np.asarray(np.random.default_rng(seed).permutation(int(np.prod(shape))).reshape(shape) - 3.5, np.float64)


@pytest.mark.parametrize(("shape", "at", "dim"), ELEMENTS, ids=str)
def test_gather(shape: Any, at: Any, dim: int) -> None:
    i = ids(at, max((shape or (1,))[dim], 1))
    everywhere(lambda x, i: x.gather(dim, i), None, array(*shape), i)


def front(s: Any, i: Any) -> Any:
    """The part of a source that an index reads; PyTorch has a gradient for no other."""
    return s[tuple([slice(n) for n in i.shape])]


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize(("shape", "at", "dim"), ELEMENTS, ids=str)
def test_scatter_add(shape: Any, at: Any, dim: int, extra: int) -> None:
    src = array(*[n + extra for n in at], seed=1)
    everywhere(
        lambda x, s, i: x.scatter_add(dim, i, s),
        lambda x, s, i: x.scatter_add(dim, i, front(s, i)),
        clean(*shape).astype(np.float32),
        src,
        ids(at, max((shape or (1,))[dim], 1)),
    )


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("reduce", ["sum", "mean", "prod", "amax", "amin"])
@pytest.mark.parametrize(("shape", "at", "dim"), ELEMENTS[:10], ids=str)
def test_scatter_reduce(shape: Any, at: Any, dim: int, reduce: str, own: bool) -> None:
    x, src, i = clean(*shape), clean(*[n + 1 for n in at], seed=1) + 0.25, ids(at, max(shape[dim], 1))

    def theirs(x: Any, s: Any, i: Any) -> Any:
        return x.scatter_reduce(dim, i, front(s, i), reduce=reduce, include_self=own)

    everywhere(lambda x, s, i: x.scatter_reduce(dim, i, s, reduce=reduce, include_self=own), theirs, x, src, i)


@pytest.mark.parametrize("reduce", ["sum", "mean", "prod", "amax", "amin"])
def test_scatter_reduce_of_integers(reduce: str) -> None:
    x, src, i = np.array([7, -8, 9, 3]), np.array([-3, 4, 2, 2]), np.array([0, 1, 1, 0])
    for own in (True, False):
        everywhere(lambda x, s, i: x.scatter_reduce(0, i, s, reduce=reduce, include_self=own), None, x, src, i)


def test_scatter_reduce_ties_and_zeros() -> None:
    """Those that tie share the gradient; a product with zeros has the gradient of the other factors."""
    x, i = np.array([2.0, 0.0, 3.0]), np.array([0, 0, 1, 1, 2, 2, 0])
    src = np.array([2.0, 1.0, 5.0, 0.0, 0.0, 4.0, 2.0])
    for reduce in ("amax", "amin", "prod"):
        everywhere(lambda x, s, i: x.scatter_reduce(0, i, s, reduce=reduce), None, x, src, i, second=False)
        # PyTorch counts an x that ties among those that share, although it took no part
        everywhere(
            lambda x, s, i: x.scatter_reduce(0, i, s, reduce=reduce, include_self=False), None, x - 0.5, src, i, second=False
        )


def test_scatter_reduce_of_nan() -> None:
    x, src, i = np.array([1.0, np.nan, 2.0]), np.array([np.nan, 3.0, np.inf]), np.array([0, 1, 2])
    for reduce in ("amax", "amin", "sum"):
        check(lambda x, s, i: x.scatter_reduce(0, i, s, reduce=reduce), None, x, src, i, grad=False)


@pytest.mark.parametrize(
    ("shape", "at", "dim"), [((3, 4), (2, 3), 1), ((5,), (3,), 0), ((2, 4, 3), (1, 3, 2), -2), ((), (), 0), ((3, 4), (0, 4), 0)]
)
@pytest.mark.filterwarnings("ignore:The reduce argument")  # PyTorch's own
def test_scatter(shape: Any, at: Any, dim: int) -> None:
    n = (at or (1,))[dim]
    order = np.random.default_rng(0).permutation((shape or (1,))[dim])[:n]
    i = (
        np.broadcast_to(order.reshape([-1 if d == dim % max(len(at), 1) else 1 for d in range(len(at))]), at).copy()
        if at
        else np.array(0)
    )
    x, src = array(*shape), array(*[m + 1 for m in at], seed=2)
    everywhere(lambda x, s, i: x.scatter(dim, i, s), lambda x, s, i: x.scatter(dim, i, front(s, i)), x, src, i)
    everywhere(lambda x, i: x.scatter(dim, i, 2.5), None, x, i)
    everywhere(lambda x, i: x.scatter(dim, i, value=-1), None, x, i)
    if not at:
        return
    x = clean(*shape)
    for reduce in ("add", "multiply"):
        check(lambda x, s, i: x.scatter(dim, i, s, reduce=reduce), None, x, clean(*at), i, grad=False)


def test_scatter_of_the_last_writer() -> None:
    """Of several writers the last in order wins, on every way to compute it."""
    x, i, s = np.zeros((2, 3)), np.array([[0, 0, 2, 0], [1, 1, 1, 2]]), np.arange(8.0).reshape(2, 4)
    for device in ("numpy", "bare"):
        t = [candle.tensor(v, device=device) for v in (x, i, s)]
        assert t[0].scatter(1, t[1], t[2]).tolist() == [[3, 0, 2], [0, 6, 7]]
        at = candle.tensor([1, 0, 1], device=device)
        assert OPS["index_put"](t[0], candle.tensor([[1.0], [2.0], [3.0]], device=device), at, dims=(0,)).tolist() == [
            [2] * 3,
            [3] * 3,
        ]


SLICES = [
    ((4, 3), 7, 0),
    ((4, 3), 2, 1),
    ((2, 5, 3), 4, -2),
    ((5,), 9, 0),
    ((2, 1, 3, 2, 4), 3, 4),
    ((4, 3), 0, 0),
    ((0, 3), 2, 1),
    ((4, 0), 2, 0),
    ((), 1, 0),
]


@pytest.mark.parametrize("kind", IDS[:2])
@pytest.mark.parametrize(("shape", "n", "dim"), SLICES, ids=str)
def test_ids_of_slices(shape: Any, n: int, dim: int, kind: Any) -> None:
    m = (shape or (1,))[dim]
    i = ids((n,), m, kind)
    source = array(*[n if d == dim % max(len(shape), 1) else k for d, k in enumerate(shape)], seed=1)
    everywhere(lambda x, i: x.index_select(dim, i), None, array(*shape), i)
    x = clean(*shape).astype(np.float32)
    everywhere(lambda x, s, i: x.index_add(dim, i, s), None, x, source, i)
    everywhere(lambda x, s, i: x.index_add(dim, i, s, alpha=-2), None, x, source, i)
    once = np.unique(i).astype(np.int64)
    everywhere(lambda x, i: x.index_fill(dim, i, 2.5), None, x, once)
    part = np.take(source.reshape(source.shape or (1,)), np.arange(once.size), dim)
    everywhere(lambda x, s, i: x.index_copy(dim, i, s), None, x, part if shape else part.reshape(()), once)


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.uint8, np.uint16, np.uint32, np.uint64, np.int32])
def test_every_kind_of_id(kind: Any) -> None:
    x, i = candle.tensor(clean(4, 3)), ids((6,), 3)
    for call in (lambda i: x.index_select(1, i), lambda i: x.gather(1, i.expand(4, 6)), lambda i: x[:, i], lambda i: x.take(i),
                 lambda i: x.scatter_add(1, i.expand(4, 6), candle.ones(4, 6, dtype=candle.float64)),
                 lambda i: x.index_add(1, i, candle.ones(4, 6, dtype=candle.float64)),
                 lambda i: candle.embedding(x, i)):  # fmt: skip
        same(call(candle.tensor(i.astype(kind))), call(candle.tensor(i)).numpy())


@pytest.mark.parametrize("at", [(5,), (2, 3), (), (0,), (2, 0, 3)])
@pytest.mark.parametrize("kind", IDS[:2])
def test_embedding(at: Any, kind: Any) -> None:
    i = ids(at, 4, kind)
    everywhere(lambda w, i: candle.embedding(w, i), lambda w, i: torch.nn.functional.embedding(i, w), array(4, 3), i)


def test_ids_that_are_views() -> None:
    """Ids with strides, offsets and in reverse are read where they lie."""
    x, wide = array(5, 4), ids((6, 8), 4)
    for view in (
        wide[::2, 1::2][:, ::-1],
        wide[1:4, 2:].T[:5],
        np.broadcast_to(wide[0, :1], (5, 3)),
        np.asfortranarray(wide[:3]),
    ):
        t, i = candle.from_numpy(x).to("numpy"), candle.from_numpy(view).to("numpy")
        n = min(len(view), 5)
        same(t[:n].gather(1, i[:n]), torch.gather(to_torch(x[:n]), 1, to_torch(view[:n])))
        same(t.index_select(1, i[0]), torch.index_select(to_torch(x), 1, to_torch(view[0])))
        same(t[:, i], to_torch(x)[:, to_torch(view)])
        s = np.ones(view.shape, np.float32)
        same(
            candle.zeros(6, 4).scatter_add(1, i, candle.tensor(s)), torch.zeros(6, 4).scatter_add(1, to_torch(view), to_torch(s))
        )


STORED = [np.bool_, np.uint16, np.int64, np.float16, ml_dtypes.bfloat16, np.complex128, ml_dtypes.float8_e5m2, ml_dtypes.uint4]


@pytest.mark.parametrize("dtype", STORED)
def test_every_dtype(dtype: Any) -> None:
    bits = (np.arange(12).reshape(3, 4) % 2).astype(np.int64)
    i = np.array([[2, 0, 1, 1]])
    calls = [
        lambda x, i: x.gather(0, i), lambda x, i: x.index_select(1, i[0]), lambda x, i: x[i[0, :3], 1:], lambda x,
        i: x.take(i + 3),
        lambda x, i: x.scatter(0, i, x[1:2]), lambda x, i: x.index_fill(1, i[0, :2], x[0, 1]), lambda x,
        i: x.masked_fill(i.eq(1), x[0, 1]),
        lambda x, i: candle.embedding(x, i), lambda x, i: x.index_copy(0, i[0, :2], x[1:]), lambda x, i: x.gather_nd(i[:, :2]),
    ]  # fmt: skip
    for device in ("numpy", "bare"):
        for call in calls:
            got = call(candle.tensor(bits.astype(dtype), device=device), candle.tensor(i, device=device)).numpy()
            assert got.dtype == dtype
            want = call(candle.tensor(bits, device="numpy"), candle.tensor(i, device="numpy")).numpy()
            np.testing.assert_array_equal(got.astype(np.complex128 if got.dtype.kind == "c" else np.int64), want)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_adds_up_in_single(dtype: Any) -> None:
    """A thousand small terms are not lost one by one."""
    n = 1000
    x, s, i = np.zeros(2, dtype), np.full(n, 0.01, dtype), np.zeros(n, np.int64)
    want = float(s.astype(np.float64).sum())
    for y in (
        candle.tensor(x).scatter_add(0, candle.tensor(i), candle.tensor(s)),
        candle.tensor(x).index_add(0, candle.tensor(i), candle.tensor(s)),
        OPS["index_put"](candle.tensor(x), candle.tensor(s), candle.tensor(i), dims=(0,), accumulate=True),
    ):  # fmt: skip
        assert abs(float(y[0]) - want) < 0.01 * want


MASKS = [
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((3, 4), (3, 1)),
    ((4,), (3, 4)),
    ((), ()),
    ((0, 3), (0, 3)),
    ((2, 1, 2, 3, 2), (2, 1, 2, 3, 2)),
]


@pytest.mark.parametrize(("shape", "at"), MASKS, ids=str)
def test_masks(shape: Any, at: Any) -> None:
    x, m = array(*shape), ids(at, 2).astype(bool)
    everywhere(lambda x, m: x.masked_fill(m, 2.5), None, x, m)
    check(lambda x, m: x.masked_select(m), None, x, m, second=True)
    full = np.broadcast_shapes(shape, at)
    if shape == full:
        everywhere(lambda x, s, m: x.masked_scatter(m, s), None, x, array(int(np.prod(full)) + 2, seed=3), m)


def test_masked_fill_takes_tensors() -> None:
    everywhere(lambda x, v, m: x.masked_fill(m, v), None, array(2, 3), np.array(1.5, np.float32), ids((2, 3), 2).astype(bool))


@pytest.mark.parametrize("shape", [(3, 4), (5,), (), (0, 3), (2, 2, 1, 2, 2)], ids=str)
def test_nonzero(shape: Any) -> None:
    for x in (ids(shape, 2), ids(shape, 2).astype(bool), np.asarray(ids(shape, 3) - 1.0)):
        check(lambda x: x.nonzero(), None, x, grad=False)
        check(lambda x: x.argwhere(), None, x, grad=False)
        if shape:
            check(lambda x: x.nonzero(as_tuple=True), None, x, grad=False)


@pytest.mark.parametrize("dim", [None, 0, -1])
@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.bool_, np.uint8])
def test_unique(dim: Any, dtype: Any) -> None:
    x = np.array([[1, 0, 1, 1], [1, 0, 1, 1], [0, 0, 0, 1]]).astype(dtype)
    check(lambda x: x.unique(return_inverse=True, return_counts=True, dim=dim), None, x, grad=False)
    check(lambda x: x.unique_consecutive(return_inverse=True, return_counts=True, dim=dim), None, x, grad=False)
    check(lambda x: x.unique(dim=dim), None, x, grad=False)


def test_unique_at_the_edges() -> None:
    for x in (np.array([3.0, np.nan, -np.inf, 3.0, np.nan, 0.0, -0.0]), np.zeros((0,)), np.array(2)):
        check(lambda x: x.unique(return_counts=True), None, x, grad=False)
    check(lambda x: x.unique_consecutive(return_inverse=True), None, np.zeros(0, np.int64), grad=False)
    assert candle.unique(candle.tensor([2, 1, 2])).tolist() == [1, 2]
    assert candle.unique(candle.tensor(np.array([1.5, 0.5, 1.5], ml_dtypes.bfloat16))).tolist() == [0.5, 1.5]


def test_bincount_and_one_hot() -> None:
    i, w = np.array([1, 0, 4, 1]), np.array([0.5, 1.0, -2.0, 0.25])
    check(lambda i: candle.bincount(i), torch.bincount, i)
    check(lambda i: candle.bincount(i, minlength=9), lambda i: torch.bincount(i, minlength=9), i)
    check(lambda i, w: candle.bincount(i, w), torch.bincount, i, w, grad=False)
    check(lambda i: candle.bincount(i), torch.bincount, np.zeros(0, np.int64))
    for at, n in ((i, -1), (i, 7), (i.reshape(2, 2), 5), (np.array(2), -1), (np.zeros((0, 2), np.int64), 3)):
        check(lambda i: candle.one_hot(i, n), lambda i: torch.nn.functional.one_hot(i, n), at)


def test_x_as_one_row() -> None:
    x, i = array(3, 4), np.array([[0, -1], [11, 5]])
    everywhere(lambda x, i: x.take(i), None, x, i)
    everywhere(lambda x, i: x.take(i), None, array(), np.zeros((2, 0), np.int64))
    everywhere(lambda x, s, i: x.put(i, s), None, x, array(2, 2, seed=1), i)
    i = np.array([[0, -1], [11, 0]])
    everywhere(lambda x, s, i: x.put(i, s, accumulate=True), None, clean(3, 4), clean(2, 2), i)


@pytest.mark.parametrize(
    ("shape", "at", "dim"),
    [((3, 4), (3, 2), 1), ((3, 4), (1, 6), 1), ((1, 4), (5, 2), -1), ((2, 3), (7,), None), ((2, 1, 3), (1, 4, 5), 2)],
)
def test_take_along_dim(shape: Any, at: Any, dim: Any) -> None:
    n = shape[dim] if dim is not None else int(np.prod(shape))
    everywhere(lambda x, i: x.take_along_dim(i, dim), None, array(*shape), ids(at, n))


@pytest.mark.parametrize(
    ("shape", "at", "dims"),
    [((3, 4), [(5,)], (0,)), ((3, 4), [(2, 3)], (1,)), ((3, 4), [(2, 1), (3,)], (0, 1)),
     ((2, 3, 4), [(5,), (5,)], (0, 2)), ((2, 3, 4), [(5,), (1,)], (1, 2)),
     ((2, 3, 2, 3, 2), [(2, 2), (2,)], (1, 4)), ((3, 4), [()], (1,)), ((3, 4), [(0,)], (0,)), ((3,), [(8,)], (0,)),
     ((2, 3, 4), [(), ()], (0, 2)), ((0, 3), [(2,)], (1,))],
    ids=str,
)  # fmt: skip
def test_index_and_index_put(shape: Any, at: Any, dims: Any) -> None:
    given = [np.asarray(ids(s, shape[d], seed=d) - shape[d] * (d % 2)) for s, d in zip(at, dims)]
    whole = [slice(None)] * len(shape)

    def theirs(x: Any, *i: Any) -> Any:
        key = list(whole)
        for t, d in zip(i, dims):
            key[d] = t if t.ndim or len(i) > 1 else int(t)
        return x[tuple(key)]

    x = clean(*shape)
    everywhere(lambda x, *i: OPS["index"](x, *i, dims=dims), theirs, x, *given)
    y = np.asarray(theirs(x, *given))
    v = clean(*y.shape, seed=1)

    def added(x: Any, v: Any, *i: Any) -> Any:
        flat = torch.arange(x.numel()).reshape(x.shape)
        return x.flatten().index_add(0, theirs(flat, *i).flatten(), v.expand(y.shape).flatten()).reshape(x.shape)

    for values in (v, v[..., :1] if v.ndim and v.shape[-1] else v, np.array(2.0)):
        everywhere(lambda x, v, *i: OPS["index_put"](x, v, *i, dims=dims, accumulate=True), added, x, values, *given)
    key = list(whole)
    for g, d in zip(given, dims):
        key[d] = g
    want = x.copy()
    want[tuple(key)] = v
    for device in ("numpy", "bare"):  # of several writers the last wins, in NumPy too
        t = [candle.tensor(a, device=device) for a in (x, v, *given)]
        np.testing.assert_array_equal(OPS["index_put"](*t, dims=dims).numpy(), want)


def test_index_put_in_place_gives_the_same() -> None:
    for dtype in (np.float32, ml_dtypes.bfloat16, np.int32):
        for add in (False, True):
            x, v, i = np.arange(6).reshape(3, 2).astype(dtype), np.ones((2, 2), dtype), np.array([2, 0])
            want = OPS["index_put"].fn(x, v, i, dims=(0,), accumulate=add)
            assert OPS["index_put"].into(x, v, i, dims=(0,), accumulate=add) is x
            np.testing.assert_array_equal(x, want)


def test_index_put_as_torch_has_it() -> None:
    x, v, i, j = clean(3, 4), clean(2), np.array([0, 0]), np.array([3, 3])
    for add in (True, False):
        value = v if add else v[:1]
        check(
            lambda x, v, i, j: x.index_put((i, j), v, accumulate=add),
            lambda x, v, i, j: x.index_put((i, j), v, accumulate=add),
            x,
            value,
            i,
            j,
        )
        check(lambda x, v, m: x.index_put((m,), v, add), None, x, v[:1], x > 0)
    y = candle.tensor(x)
    y.index_put_((candle.tensor(i),), candle.tensor(1.0, dtype=candle.float64), accumulate=True)
    same(y, to_torch(x).index_put((to_torch(i),), torch.tensor(1.0, dtype=torch.float64), accumulate=True))


def test_onnx_points() -> None:
    """GatherND and ScatterND by NumPy's own indexing."""
    x, points = clean(3, 4, 2), np.array([[[2, 1], [0, -1]], [[1, 1], [2, 3]]])
    for device in ("numpy", "bare"):
        t, p = candle.tensor(x, device=device), candle.tensor(points, device=device)
        np.testing.assert_array_equal(candle.gather_nd(t, p).numpy(), x[points[..., 0], points[..., 1]])
        batched = candle.tensor([[1], [0], [3]], device=device)
        np.testing.assert_array_equal(candle.gather_nd(t, batched, batch_dims=1).numpy(), x[np.arange(3), [1, 0, 3]])
        v = clean(2, 2, 2, seed=1)
        for name, combine in (("none", None), ("add", np.add), ("mul", np.multiply), ("max", np.maximum), ("min", np.minimum)):
            want, key = x.copy(), (points[..., 0], points[..., 1])
            if combine is None:
                want[key] = v
            else:
                combine.at(want, key, v)
            np.testing.assert_array_equal(candle.scatter_nd(t, p, candle.tensor(v, device=device), reduction=name).numpy(), want)
    data = candle.tensor(np.arange(1.0, 9.0))
    assert candle.scatter_nd(data, candle.tensor([[4], [3], [1], [7]]), candle.tensor(np.arange(9.0, 13.0))).tolist() == [
        1,
        11,
        3,
        10,
        9,
        6,
        7,
        12,
    ]


def test_large_index_add() -> None:
    """More ids than rows and more than 1024 of each."""
    x, s, i = np.zeros((1500, 2), np.float64), clean(4000, 2), ids((4000,), 1500)
    same(candle.tensor(x).index_add(0, candle.tensor(i), candle.tensor(s)), to_torch(x).index_add(0, to_torch(i), to_torch(s)))


X = clean(3, 4)
I4, I9 = np.array([4]), np.array([[9, 9, 9, 9]])
ERRORS = [
    (
        lambda x: x.gather(1, candle.tensor([[4]])),
        candle.DimError,
        "gather was given the index 4 for a dimension of size 4; indices are from 0 to 3",
    ),
    (lambda x: x.gather(1, candle.tensor([[-1]])), candle.DimError, "gather was given the index -1"),
    (lambda x: x.gather(0, candle.tensor([[0] * 5])), candle.ShapeError, "no larger than float64[3,4] but along dimension 0"),
    (lambda x: x.gather(0, candle.tensor([0])), candle.ShapeError, "as many dimensions"),
    (lambda x: x.gather(2, candle.tensor([[0]])), candle.DimError, "gather's dim is from -2 to 1"),
    (lambda x: x.gather(0, candle.tensor([[0.5]])), candle.DTypeError, "gather takes"),
    (
        lambda x: x.index_select(0, candle.tensor([3])),
        candle.DimError,
        "index_select was given the index 3 for a dimension of size 3",
    ),
    (lambda x: x.index_select(0, candle.tensor([[1]])), candle.ShapeError, "an index of one dimension"),
    (lambda x: x.index_add(1, candle.tensor([4]), x[:, :1]), candle.DimError, "index_add was given the index 4"),
    (lambda x: x.index_add(1, candle.tensor([1]), x), candle.ShapeError, "index_add takes a source of shape (3, 1)"),
    (
        lambda x: x.scatter_add(0, candle.tensor([[3]]), x),
        candle.DimError,
        "scatter_add was given the index 3 for a dimension of size 3",
    ),
    (lambda x: x.scatter(0, candle.tensor([[7]]), x), candle.DimError, "scatter was given the index 7"),
    (lambda x: x.scatter(0, candle.tensor([[0]])), TypeError, "scatter takes a source, or a value"),
    (lambda x: x.scatter(0, candle.tensor([[0]]), x, reduce="min"), candle.DTypeError, "'add' or 'multiply'"),
    (lambda x: x.scatter_reduce(0, candle.tensor([[0]]), x, "max"), candle.DTypeError, "'max'"),
    (lambda x: x.scatter_add(0, candle.tensor([[0, 0]]), x[:, :1]), candle.ShapeError, "no larger than its source"),
    (
        lambda x: x.take(candle.tensor([12])),
        candle.DimError,
        "take was given the index 12 for a dimension of size 12; indices are from -12 to 11",
    ),
    (
        lambda x: candle.embedding(x, candle.tensor([3])),
        candle.DimError,
        "embedding was given the index 3 for a dimension of size 3",
    ),
    (lambda x: x.masked_select(candle.tensor([1, 0, 1, 0])), candle.DTypeError, "a boolean mask"),
    (lambda x: x.masked_select(candle.tensor([True])[:, None].expand(1, 3)), candle.ShapeError, "broadcasts with"),
    (lambda x: x.masked_scatter(x.eq(x), x[0]), candle.ShapeError, "4 elements for the 12"),
    (lambda x: candle.one_hot(candle.tensor([3]), 3), candle.DimError, "ids are from 0 to 2"),
    (lambda x: candle.one_hot(candle.tensor([-1])), candle.DimError, "the id -1"),
    (lambda x: candle.bincount(candle.tensor([-1])), candle.DimError, "at least 0"),
    (lambda x: candle.bincount(x), candle.DTypeError, "a vector of integers"),
    (lambda x: OPS["index"](x, candle.tensor([0]), candle.tensor([0]), dims=(1, 0)), candle.DimError, "rising order"),
    (lambda x: OPS["index_put"](x, x, candle.tensor([0]), dims=(0,)), candle.ShapeError, "index_put cannot broadcast"),
    (
        lambda x: x.index_fill(0, candle.tensor([3]), 1.0),
        candle.DimError,
        "index_fill was given the index 3 for a dimension of size 3",
    ),
    (lambda x: x.index_copy(0, candle.tensor([-1]), x[:1]), candle.DimError, "index_copy was given the index -1"),
    (lambda x: x.index_fill(0, candle.tensor([0]), x), candle.ShapeError, "a value without dimensions"),
    (lambda x: candle.gather_nd(x, candle.tensor([[0, 0, 0]])), candle.ShapeError, "from 1 to 2 ids"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[e[2] for e in ERRORS])
def test_errors(call: Any, error: Any, text: str) -> None:
    with pytest.raises(error) as caught:
        call(candle.tensor(X, device="numpy"))
    assert text in str(caught.value)


DYNAMIC = {
    "nonzero": lambda x: x.nonzero(), "masked_select": lambda x: x.masked_select(x.eq(x)), "unique": lambda x: x.unique(),
    "unique_consecutive": lambda x: x.unique_consecutive(), "argwhere": lambda x: x.argwhere(),
    "bincount": lambda x: x.long().flatten().bincount(),
    "one_hot without num_classes": lambda x: candle.one_hot(x.long()), "a boolean mask as an index": lambda x: x[x.eq(x)],
}  # fmt: skip


@pytest.mark.parametrize("name", DYNAMIC)
def test_shapes_that_depend_on_values_are_not_captured(name: str) -> None:
    x = candle.ones(2, 2)
    DYNAMIC[name](x)
    with pytest.raises(candle.CaptureError) as caught:
        candle.compile(DYNAMIC[name])(x)
    assert "cannot be captured" in str(caught.value)
    assert name.split()[0] in str(caught.value) or "nonzero" in str(caught.value)


_ = Bare
