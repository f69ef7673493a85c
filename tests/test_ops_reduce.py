"""Reductions, cumulative operations, sorting and statistics against PyTorch, at edge cases and in every dtype."""

from __future__ import annotations

import math

import numpy as np
import pytest
from torch_check import check, same, torch

import candle
from candle.backend import Reference
from candle.errors import DimError, ShapeError
from candle.op import OPS

INF, NAN = math.inf, math.nan
FLOATS = ["float16", "bfloat16", "float32", "float64"]
INTS = ["int8", "int16", "int32", "int64", "uint8"]


def numbers(shape, dtype="float64", seed=0, low=-2.0, high=2.0):
    x = np.asarray(np.random.default_rng(seed).uniform(low, high, shape))
    kind = getattr(candle, dtype).numpy
    return np.asarray(np.round(x * 2) if kind.kind in "iu" else x > 0 if kind.kind == "b" else x).astype(kind)


def both(name, *args, **attrs):
    """The same method call on either library's tensor."""
    return lambda x, *rest: getattr(x, name)(*rest, *args, **attrs)


REDUCTIONS = [
    "sum",
    "mean",
    "prod",
    "amax",
    "amin",
    "logsumexp",
    "var",
    "std",
    "any",
    "all",
    "nansum",
    "nanmean",
    "norm",
    "count_nonzero",
]
DIMS = [None, 0, -1, (0, 2), (-1, 1), (0, 1, 2)]


def reduce_attrs(name, dim, keepdim):
    if name == "count_nonzero":
        return {"dim": dim}
    if name == "logsumexp" and dim is None:
        dim = (0, 1, 2)
    if name == "norm":
        return {"p": 2, "dim": dim, "keepdim": keepdim}
    return {"keepdim": keepdim} if dim is None and name in ("amax", "amin") else {"dim": dim, "keepdim": keepdim}


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("dim", DIMS, ids=str)
def test_a_reduction_and_its_gradients_over_any_dimensions(name, dim):
    x = numbers((2, 3, 4))
    for keepdim in (False, True):
        attrs = reduce_attrs(name, dim, keepdim)
        if name == "prod" and not isinstance(dim, int):
            ours = candle.tensor(x).prod(dim=dim, keepdim=keepdim).numpy()
            np.testing.assert_allclose(ours, np.prod(x, dim, keepdims=keepdim))
            continue
        check(both(name, **attrs), None, x, second=True)


@pytest.mark.parametrize("name", REDUCTIONS)
def test_a_reduction_of_five_dimensions_of_none_and_of_nothing(name):
    one = 3 if name == "prod" else (1, 3)
    check(both(name, **reduce_attrs(name, one, False)), None, numbers((2, 3, 1, 2, 3)))
    check(both(name, **({"dim": ()} if name == "logsumexp" else {})), None, numbers(()))
    empty = name not in ("amax", "amin")
    for shape in [(0,), (2, 0, 3), (0, 3)]:
        x = numbers(shape)
        if empty:
            check(both(name, **({"dim": tuple(range(x.ndim))} if name == "logsumexp" else {})), None, x)
        check(both(name, **reduce_attrs(name, -1 if shape[-1] else 0, False)), None, x) if empty or shape[-1] else None
    if not empty:
        with pytest.raises(ShapeError, match="at least one element"):
            getattr(candle, name)(candle.zeros(2, 0), 1)


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("dtype", [*FLOATS, *INTS, "bool"])
def test_a_reduction_in_every_dtype(name, dtype):
    x = numbers((3, 4), dtype)
    attrs = {"dim": 1} if name in ("logsumexp", "prod") else {}
    try:
        getattr(torch.ones(1, 1, dtype=getattr(torch, dtype)), name)(**attrs)
    except (RuntimeError, NotImplementedError):
        pytest.skip("PyTorch does not take this dtype here")
    if name in ("any", "all") and dtype == "uint8":
        assert getattr(candle.tensor(x), name)().dtype is candle.bool
        return
    check(both(name, **attrs), None, x, grad=False)


@pytest.mark.parametrize(
    "name",
    [
        "sum",
        "mean",
        "prod",
        "amax",
        "amin",
        "logsumexp",
        "any",
        "all",
        "max",
        "min",
        "argmax",
        "argmin",
        "nansum",
        "nanmean",
        "var",
        "norm",
        "median",
        "nanmedian",
        "cumsum",
        "cumprod",
        "logcumsumexp",
        "cummax",
        "cummin",
    ],
)
def test_special_values_along_a_dimension(name):
    x = np.array(
        [[NAN, 1, 2], [INF, 1, 2], [-INF, -INF, -INF], [INF, -INF, 0], [-0.0, 0.0, -0.0], [1, NAN, NAN], [-INF, 1, -INF]]
    )
    attrs = {"p": 2, "dim": 1} if name == "norm" else {"dim": 1}
    check(both(name, **attrs), None, x, grad=False)
    for dtype in FLOATS[:3]:
        check(both(name, **attrs), None, x.astype(getattr(candle, dtype).numpy), grad=False)


@pytest.mark.parametrize("name", ["amax", "amin", "max", "min", "median", "nanmedian"])
def test_ties_share_the_gradient_of_a_reduction_over_all(name):
    x = np.array([[1.0, 3.0, 3.0], [3.0, 1.0, 1.0]])
    check(both(name), None, x)
    if name in ("amax", "amin"):
        check(both(name, dim=1), None, x, second=True)


@pytest.mark.parametrize("name", ["max", "min", "median", "nanmedian", "cummax", "cummin", "mode", "sort", "kthvalue"])
def test_ties_along_a_dimension_give_the_gradient_to_one_element(name):
    x = np.array([[1.0, 3.0, 3.0, 1.0], [2.0, 2.0, 2.0, 2.0], [4.0, 5.0, 5.0, 4.0]])
    args = {"kthvalue": (2, 1), "sort": ()}.get(name, (1,))
    if name in ("max", "min", "cummax", "cummin"):
        check(both(name, *args), None, x, second=True)
    else:
        found, wanted = (getattr(t, name)(*args) for t in (candle.tensor(x), torch.tensor(x)))
        same(found[0], wanted[0])
        same(
            candle.tensor(x).gather(1, found[1] if name == "sort" else found[1].unsqueeze(1)),
            wanted[0] if name == "sort" else wanted[0].unsqueeze(1),
        )


def test_the_gradient_of_products_with_zeros():
    for x in ([[1.0, 0.0, 2.0], [0.0, 0.0, 3.0], [2.0, 3.0, 4.0]], [[0.0, 0.0, 0.0]]):
        x = np.array(x)
        check(both("prod"), None, x, second=True)
        check(both("prod", 1), None, x, second=True)
        check(both("cumprod", 1), None, x, second=True)
        check(both("cumprod", 0), None, x, second=True)
    z = numbers((2, 3)) + 1j * numbers((2, 3), seed=1)
    check(both("prod", 1), None, z)
    check(both("cumprod", 1), None, z)


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "logcumsumexp", "cummax", "cummin"])
def test_cumulative_operations(name):
    for shape, dim in [
        ((3, 4), 0),
        ((3, 4), -1),
        ((2, 3, 1, 2, 2), 1),
        ((0, 3), 1),
        ((0, 3), 0),
        ((2, 0), -1),
        ((), 0),
        ((1,), 0),
        ((7,), 0),
    ]:
        check(both(name, dim), None, numbers(shape), second=True)
    for dtype in [*FLOATS, *INTS, "bool"]:
        if not (name == "logcumsumexp" and dtype in (*INTS, "bool")):
            check(both(name, 1), None, numbers((3, 4), dtype), grad=False)
    if name.startswith("cum") and name[3:] in ("sum", "prod"):
        check(both(name, 1, dtype=None), None, numbers((2, 3), "int8"))
        check(
            lambda x: getattr(x, name)(1, dtype=(torch if isinstance(x, torch.Tensor) else candle).float64),
            None,
            numbers((2, 3), "float32"),
        )


def test_sums_of_small_integers_do_not_overflow():
    x = np.full((300,), 100, np.int8)
    check(both("sum"), None, x)
    check(both("cumsum", 0), None, x)
    check(both("sum"), None, np.full((70000,), 1.0, np.float16), rtol=0)
    assert candle.tensor(np.full((70000,), 1.0, np.float16)).mean().item() == 1
    check(
        lambda v: v.sum(dtype=(torch if isinstance(v, torch.Tensor) else candle).float64),
        None,
        numbers((5,), "float32"),
        rtol=1e-12,
    )


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_the_first_extreme_and_nan_as_one(name):
    x = np.array([[1.0, 3.0, 3.0, 1.0], [NAN, 5.0, NAN, -INF], [2.0, 2.0, 2.0, 2.0]])
    for dtype in (*FLOATS, "int32"):
        y = np.nan_to_num(x).astype(getattr(candle, dtype).numpy) if dtype == "int32" else x.astype(getattr(candle, dtype).numpy)
        for attrs in ({}, {"dim": 0}, {"dim": -1}, {"dim": 1, "keepdim": True}):
            check(both(name, **attrs), None, y)
    check(both(name), None, numbers(()))
    check(both(name, 0), None, numbers(()))
    check(both(name, dim=0), None, np.array([[0, 255], [255, 0]], np.uint8))
    with pytest.raises(ShapeError, match="at least one element"):
        getattr(candle.zeros(0, 3), name)(0)
    with pytest.raises(DimError):
        getattr(candle.zeros(2, 3), name)(2)


@pytest.mark.parametrize("name", ["max", "min"])
def test_max_and_min_in_three_forms(name):
    x, y = numbers((2, 3)), numbers((3,), seed=1)
    check(both(name), None, x)
    check(both(name, 1), None, x, second=True)
    check(both(name, dim=0, keepdim=True), None, x)
    check(both(name), None, x, y)
    check(both(name, 0), None, numbers(()))
    found = getattr(candle.tensor(x), name)(dim=1)
    same(found.values, getattr(torch.tensor(x), name)(dim=1).values)
    same(found.indices, getattr(torch.tensor(x), name)(dim=1).indices)
    assert getattr(candle, name)(candle.tensor(x), axis=1, keepdims=True).values.shape == (2, 1)
    with pytest.raises(TypeError, match="takes"):
        getattr(candle.tensor(x), name)(dims=3)


@pytest.mark.parametrize(
    "attrs",
    [
        {},
        {"dim": 1},
        {"unbiased": False},
        {"dim": 1, "unbiased": True},
        {"dim": (0, 2), "correction": 0},
        {"dim": 1, "correction": 2, "keepdim": True},
        {"dim": 1, "correction": 3},
        {"dim": 1, "correction": 5},
    ],
    ids=str,
)
def test_variance_in_pytorchs_forms(attrs):
    x = numbers((2, 3, 4))
    for name in ("var", "std", "var_mean", "std_mean"):
        check(
            lambda v: getattr(torch if isinstance(v, torch.Tensor) else candle, name)(v, **attrs),
            None,
            x,
            second=attrs.get("correction", 1) < 3,
            grad=attrs.get("correction", 1) < 3,
        )
    check(both("var", False), None, x)
    check(both("std", 1, False, True), None, x)


def test_deviations_of_equal_numbers_have_no_gradient():
    check(both("std", 1), None, np.ones((2, 3)))
    check(both("var"), None, np.ones((1,)), grad=False)
    check(both("std"), None, numbers((2, 3)) + 1j * numbers((2, 3), seed=1), rtol=1e-9)


@pytest.mark.parametrize("p", [0, 1, 2, 3, 0.5, 1.5, INF, -INF, "fro"])
def test_norms_and_their_gradients_at_zero(p):
    x = numbers((3, 4))
    x[0] = 0
    x[1, :2] = 0
    for attrs in ({}, {"dim": 1}, {"dim": (0, 1), "keepdim": True}, {"dim": 0}):
        check(both("norm", p, **attrs), None, x, grad=p != 0, second=p == 2 and attrs == {})
    check(both("norm", p), None, np.array(3.0), grad=p != 0)
    if p not in (INF, -INF):
        check(both("norm", p, 1), None, numbers((2, 0)), grad=p != 0)
    check(both("norm", p), None, numbers((3, 2)) + 1j * numbers((3, 2), seed=1), grad=p != 0, rtol=1e-9)
    if p != "fro":
        check(
            lambda a, b: (torch if isinstance(a, torch.Tensor) else candle).dist(a, b, p),
            None,
            x,
            numbers((4,), seed=2),
            grad=p != 0,
        )
    with pytest.raises(ShapeError, match="'fro'"):
        candle.tensor([1.0]).norm("nuc")


def test_logsumexp_of_large_and_infinite_numbers():
    x = np.array([[1000.0, 1000.0], [-1000.0, -INF], [0.5, 2.0]])
    check(both("logsumexp", 1), None, x, second=False)
    check(both("logsumexp", (0, 1)), None, x)
    check(both("logcumsumexp", 1), None, x)


@pytest.mark.parametrize("descending", [False, True])
def test_sorting_is_stable_with_nan_as_the_largest(descending):
    x = np.array([[3.0, NAN, 1.0, 3.0, -0.0, 0.0, INF, NAN], [1.0, 1.0, 1.0, 2.0, 2.0, -INF, 0.0, 0.0]])
    check(
        lambda v: v.sort(dim=1, descending=descending, stable=True),
        lambda v: torch.sort(v, dim=1, descending=descending, stable=True),
        x,
    )
    for dtype in FLOATS[:3]:
        check(lambda v: v.sort(dim=1, descending=descending), lambda v: torch.sort(v, dim=1, descending=descending, stable=True),
              x.astype(getattr(candle, dtype).numpy), grad=False)  # fmt: skip
    for dtype in (*FLOATS, *INTS, "bool"):
        y = numbers((4, 9), dtype)
        for dim in (0, -1):
            check(
                lambda v: v.sort(dim=dim, descending=descending, stable=True),
                lambda v: torch.sort(v, dim=dim, descending=descending, stable=True),
                y,
            )
            check(
                lambda v: v.argsort(dim, descending, True),
                lambda v: torch.argsort(v, dim=dim, descending=descending, stable=True),
                y,
            )
    for shape in [(), (0,), (0, 3), (3, 0), (1,), (2, 1, 3, 1, 2)]:
        check(
            lambda v: v.sort(descending=descending, stable=True),
            lambda v: torch.sort(v, descending=descending, stable=True),
            numbers(shape),
            second=True,
        )
    check(both("msort"), None, numbers((3, 4)))
    assert candle.tensor(x).sort(descending=descending).values.shape == (2, 8)


def test_sorting_more_than_a_thousand():
    x = np.random.default_rng(0).permutation(3000).astype(np.float32)
    assert candle.tensor(x).sort().values.tolist() == list(range(3000))


@pytest.mark.parametrize("largest", [True, False])
def test_topk_and_kthvalue(largest):
    x = np.random.default_rng(0).permutation(24).reshape(2, 3, 4).astype(np.float64)
    for k, dim in [(0, 0), (1, -1), (3, 1), (4, 2)]:
        check(both("topk", k, dim, largest), None, x, second=True)
    check(both("topk", 1), None, numbers(()))
    check(both("topk", 2, largest=largest), None, np.array([NAN, 1.0, INF, -INF]), grad=False)
    for k, dim in [(1, 0), (2, 1), (4, -1)]:
        check(both("kthvalue", k, dim), None, x, second=True)
        check(both("kthvalue", k, dim, keepdim=True), None, x)
    with pytest.raises(ShapeError, match="topk's k is from 0 to the size 4"):
        candle.tensor(x).topk(5)
    with pytest.raises(ShapeError, match="kthvalue's k is from 1"):
        candle.tensor(x).kthvalue(0)


def test_mode_is_the_most_frequent_and_the_smallest_of_several():
    x = np.array([[2, 1, 2, 1, 3], [5, 5, 4, 4, 4], [1, 2, 3, 4, 5]])
    for y in (x, x.astype(np.float64)):
        check(both("mode"), None, y)
        check(both("mode", 0), None, y)
        check(both("mode", 1, True), None, y)


@pytest.mark.parametrize("name", ["median", "nanmedian"])
def test_medians(name):
    x = np.random.default_rng(0).permutation(24).reshape(2, 3, 4).astype(np.float64)
    check(both(name), None, x)
    for dim in (0, 1, -1):
        check(both(name, dim), None, x)
        check(both(name, dim, True), None, x)
    x[0, 1, 2] = NAN
    x[1, :, 1] = NAN
    check(both(name), None, x)
    check(both(name, -1), None, x, grad=False)
    check(both(name), None, np.array([3, 1, 2, 5]))
    check(both(name, 0), None, np.array(5.0))
    check(both(name), None, numbers((0,)))


@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "midpoint", "nearest"])
def test_quantiles(interpolation):
    x = numbers((3, 4, 5))
    q = np.array([0.0, 0.3, 0.5, 1.0])
    for name in ("quantile", "nanquantile"):
        for attrs in ({}, {"dim": 1}, {"dim": -1, "keepdim": True}, {"keepdim": True}):
            check(lambda v: getattr(v, name)(0.4, **attrs, interpolation=interpolation), None, x, second=True)
            check(lambda v, w: getattr(v, name)(w.detach(), **attrs, interpolation=interpolation), None, x, q, grad=False)
        y = x.copy()
        y[0, 1], y[2, 3, 4] = NAN, NAN
        check(lambda v: getattr(v, name)(0.4, dim=-1, interpolation=interpolation), None, y, grad=False)
    with pytest.raises(ShapeError, match="interpolation is one of"):
        candle.tensor(x).quantile(0.5, interpolation="cubic")


def test_any_and_all_of_nan_and_of_nothing():
    check(both("any"), None, np.array([NAN, 0.0]))
    check(both("all"), None, np.array([NAN, -0.0]))
    check(both("any"), None, np.zeros((0,)))
    check(both("all"), None, np.zeros((0,)))
    check(both("any", 0), None, np.zeros((0, 2), bool))


def test_aminmax():
    x = numbers((3, 4))
    for attrs in ({}, {"dim": 0}, {"dim": 1, "keepdim": True}):
        check(both("aminmax", **attrs), None, x)
    assert candle.aminmax(candle.tensor([1, 2])).max.item() == 2


def test_differences():
    x, ends = numbers((3, 4)), numbers((3, 2), seed=1)
    for attrs in ({}, {"dim": 0}, {"n": 2}, {"n": 0}, {"n": 5}):
        check(both("diff", **attrs), None, x, second=True)
    check(lambda v, e: v.diff(prepend=e), None, x, ends)
    check(lambda v, e: v.diff(append=e, prepend=e), None, x, ends)
    check(both("diff"), None, np.array([True, False, False]))
    check(both("diff"), None, np.array([3, 1, 2], np.uint8))
    with pytest.raises(ShapeError, match="takes a tensor with dimensions"):
        candle.diff(candle.tensor(1.0))


@pytest.mark.parametrize("name", ["trapezoid", "cumulative_trapezoid"])
def test_trapezoids(name):
    y, x = numbers((3, 4)), np.sort(numbers((4,), seed=1))
    ours, theirs = getattr(candle, name), getattr(torch, name)
    for dim in (0, 1):
        check(lambda v: ours(v, dim=dim), lambda v: theirs(v, dim=dim), y, second=True)
        check(lambda v: ours(v, dx=0.5, dim=dim), lambda v: theirs(v, dx=0.5, dim=dim), y)
    check(ours, theirs, y, x, second=True)
    check(lambda v, w: ours(v, w, dim=0), lambda v, w: theirs(v, w, dim=0), y, x[:3])
    check(ours, theirs, y, np.sort(numbers((3, 4), seed=2)))
    check(candle.trapz, torch.trapz, y)


@pytest.mark.parametrize("right", [False, True])
def test_searching_sorted_sequences(right):
    table = np.array([1.0, 2.0, 2.0, 3.0, 5.0])
    x = np.array([[0.0, 1.0, 2.0], [3.0, 5.0, 6.0], [NAN, INF, -INF]])
    check(lambda t, v: candle.searchsorted(t, v, right=right), lambda t, v: torch.searchsorted(t, v, right=right), table, x)
    check(lambda t, v: candle.bucketize(v, t, right=right), lambda t, v: torch.bucketize(v, t, right=right), table, x)
    rows = np.sort(numbers((3, 6)))
    check(
        lambda t, v: candle.searchsorted(t, v, right=right, out_int32=True),
        lambda t, v: torch.searchsorted(t, v, right=right, out_int32=True),
        rows,
        x,
    )
    check(lambda t, v: candle.searchsorted(t, v, right=right), lambda t, v: torch.searchsorted(t, v, right=right), rows[:, :0], x)
    check(lambda t: candle.searchsorted(t, 2.0, right=right), lambda t: torch.searchsorted(t, 2.0, right=right), table)
    order = np.array([4, 1, 2, 0, 3])
    shuffled = np.empty(5)
    shuffled[order] = table
    check(lambda t, v, s: candle.searchsorted(t, v, side="right" if right else "left", sorter=s),
          lambda t, v, s: torch.searchsorted(t, v, side="right" if right else "left", sorter=s), shuffled, x, order)  # fmt: skip
    with pytest.raises(ShapeError, match="sorted sequence of one dimension"):
        candle.searchsorted(candle.zeros(2, 3), candle.zeros(3, 3))


def test_histograms():
    x = np.random.default_rng(0).normal(size=200)
    for attrs in ({}, {"bins": 7}, {"bins": 5, "min": -1.0, "max": 2.0}, {"bins": 3, "min": 1, "max": 1}):
        check(both("histc", **attrs), None, x, grad=False)
    check(both("histc", 4), None, np.ones(5), grad=False)
    check(both("histc", 4, 0.0, 1.0), None, np.array([0.0, 0.25, 0.5, 1.0]), grad=False)


def test_membership():
    x, t = np.array([[1, 2], [3, 4]]), np.array([2, 4, 6])
    ours, theirs = candle.isin, torch.isin
    check(ours, theirs, x, t)
    check(lambda a, b: ours(a, b, invert=True), lambda a, b: theirs(a, b, invert=True), x, t[:0])


def test_covariances_and_correlations():
    x = numbers((3, 6))
    check(candle.cov, torch.cov, x, second=True)
    check(candle.cov, torch.cov, x[0])
    check(lambda v: candle.cov(v, correction=0), lambda v: torch.cov(v, correction=0), x)
    f, a = np.array([1, 2, 1, 3, 1, 1]), np.abs(numbers((6,), seed=3))
    check(lambda v, w: candle.cov(v, fweights=w), lambda v, w: torch.cov(v, fweights=w), x, f)
    check(
        lambda v, w, u: candle.cov(v, fweights=w, aweights=u.detach()),
        lambda v, w, u: torch.cov(v, fweights=w, aweights=u.detach()),
        x,
        f,
        a,
    )
    check(candle.corrcoef, torch.corrcoef, x)
    check(candle.corrcoef, torch.corrcoef, x[0], grad=False)
    z = x + 1j * numbers((3, 6), seed=1)
    check(candle.cov, torch.cov, z, rtol=1e-9)


def test_dimensions_out_of_range_are_refused():
    x = candle.zeros(2, 3)
    for name in ("sum", "amax", "any", "cumsum", "sort", "max", "median", "logsumexp", "var"):
        with pytest.raises(DimError, match="from -2 to 1"):
            getattr(x, name)(dim=2)
    with pytest.raises(DimError, match="names one twice"):
        x.sum((0, -2))


class Required(Reference):
    """A backend with the required kernels only: everything else must expand."""

    name = "required_reduce"

    def kernel(self, op, out, specs, attrs):
        return super().kernel(op, out, specs, attrs) if op.required or op.expand is None else None


candle.register_backend("required_reduce", Required)

EXPANDED = [
    ("mean", {"dim": 1}),
    ("amin", {"dim": (0, 2)}),
    ("argmin", {"dim": 1}),
    ("argmin", {}),
    ("any", {"dim": 0}),
    ("all", {"dim": 0}),
    ("logsumexp", {"dim": 1}),
    ("logsumexp", {"dim": (0, 2), "keepdim": True}),
    ("var", {"dim": 1}),
    ("std", {"dim": (0, 1), "keepdim": True}),
    ("cumprod", {"dim": 1}),
    ("cummax", {"dim": 1}),
    ("cummin", {"dim": 2}),
    ("logcumsumexp", {"dim": 1}),
    ("norm", {"p": 3, "dim": 1}),
    ("nanmean", {"dim": 0}),
    ("count_nonzero", {"dim": 1}),
]


@pytest.mark.parametrize(
    ("name", "attrs"), EXPANDED, ids=lambda v: v if isinstance(v, str) else ",".join(f"{k}={w}" for k, w in v.items())
)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "int32", "uint8", "bool"])
def test_what_a_reduction_expands_into_is_the_same(name, attrs, dtype):
    for shape in [(2, 3, 4), (2, 7, 3), (2, 1, 2), (1, 3, 0)]:
        x = numbers(shape, dtype)
        if shape[2] == 0 and name in ("amin", "argmin", "cummin"):
            continue
        found, wanted = (getattr(candle.tensor(x, device=d), name)(**attrs) for d in ("required_reduce", "numpy"))
        several = isinstance(found, tuple)
        same(list(found) if several else found, [w.numpy() for w in wanted] if several else wanted.numpy())
    if dtype.startswith("float"):
        x = np.array([[[NAN], [1], [2]], [[INF], [-INF], [1]], [[-INF], [-INF], [-INF]], [[0.0], [-0.0], [INF]]]).astype(dtype)
        if name not in ("var", "std", "norm"):
            found, wanted = (getattr(candle.tensor(x, device=d), name)(**attrs) for d in ("required_reduce", "numpy"))
            several = isinstance(found, tuple)
            same(list(found) if several else found, [w.numpy() for w in wanted] if several else wanted.numpy())


@pytest.mark.parametrize("right", [False, True])
def test_what_a_search_expands_into_is_the_same(right):
    table, x = np.sort(numbers((3, 6))), numbers((3, 4), seed=1)
    table[:, 2:4] = x[:, :1]
    table.sort()
    x[0, 0] = NAN
    for t in (table, np.sort(table[1])):
        found, wanted = (
            candle.searchsorted(candle.tensor(t, device=d), candle.tensor(x, device=d), right=right)
            for d in ("required_reduce", "numpy")
        )
        same(found, wanted.numpy())


VIEWED = [
    ("sum", {"dim": (0,), "keepdim": False, "dtype": None}),
    ("prod", {"dim": (1,), "keepdim": True, "dtype": None}),
    ("amax", {"dim": (0, 1)}),
    ("argmin", {"dim": 1}),
    ("var", {"dim": (0,)}),
    ("logsumexp", {"dim": (1,)}),
    ("cumsum", {"dim": 0}),
    ("cumprod", {"dim": 1}),
    ("cummax", {"dim": 1}),
    ("sort", {"dim": 0, "descending": True}),
    ("mode", {"dim": 1}),
    ("any", {"dim": (1,)}),
]


@pytest.mark.parametrize(("name", "attrs"), VIEWED, ids=[v[0] for v in VIEWED])
def test_kernels_take_views_with_negative_and_zero_strides(name, attrs):
    base = np.round(numbers((6, 5), low=0.2))
    for view in (base[::-2, ::-1], base.T, np.broadcast_to(base[:1], (4, 5)), base[1:, 2:]):
        found, wanted = (OPS[name].fn(v, **attrs) for v in (view, np.ascontiguousarray(view)))
        for f, w in zip(found, wanted) if isinstance(found, tuple) else [(found, wanted)]:
            np.testing.assert_allclose(f, w, rtol=1e-12)


@pytest.mark.parametrize("size", [1, 1023, 1025, 5000])
def test_long_rows(size):
    x = numbers((2, size), "float32")
    for name in ("sum", "amax", "argmax", "logsumexp", "cumsum", "cummax", "median", "var", "any"):
        attrs = {"dim": 1} if name != "var" else {"dim": 1, "correction": 0}
        check(both(name, **attrs), None, x, grad=False)


def test_the_gradients_of_long_products_are_those_of_logarithms():
    x = candle.tensor(numbers((300,), low=0.9, high=1.1), requires_grad=True)
    y = x.cumprod(0).sum()
    got = candle.grad(y, x)
    wanted = candle.grad(x.log().cumsum(0).exp().sum(), x)
    same(got.detach(), wanted.detach().numpy(), 1e-9)
