"""Indexing: ``x[key]`` and ``x[key] = v`` against PyTorch and NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ops_movement import Bare, array
from torch_check import check, same, to_torch, torch

import candle

L = np.array  # ids and masks in the tables below: made tensors of either library


def lifted(key: Any, make: Any) -> Any:
    """A key with its arrays made tensors."""
    if isinstance(key, tuple):
        return tuple([lifted(k, make) for k in key])
    return make(key) if isinstance(key, np.ndarray) else key


M = np.array([[True, False, True], [False, False, True]])
KEYS = [
    0, -1, np.s_[:], np.s_[1:], np.s_[...], None, np.s_[0, 1], np.s_[0, 1, 2], np.s_[..., 0], np.s_[1, ..., -1],
    np.s_[:, None, 1:, ::2], np.s_[None, ..., None],
    np.s_[:, 5:], np.s_[2:1], np.s_[-9:9], (), np.s_[:, :, :, ...], np.s_[1, None, 2],
    L([0, 1, 1]), L([[1, 0], [-1, -2]]), np.s_[:, L([2, 0])], np.s_[..., L([3, -4])], np.s_[L([0, 1]), L([2, 1])],
    np.s_[:, L([[0], [1]]), L([0, 3])],
    np.s_[L([0, 1]), :, L([2, 3])], np.s_[0, :, L([1, 2])], np.s_[L([1, 0]), 1], np.s_[1, L([1, 0])], np.s_[:, 1, L([1, 0])],
    np.s_[L([0]), ..., L([[1], [2]])],
    np.s_[1:, L([0, 2]), ::2], np.s_[None, L([0, 1]), None], np.s_[L([0, 1]), None, L([1, 2])], np.s_[:, None, L([0, 2]), 0],
    L([], np.int64), np.s_[:, L([], np.int64)],
    np.s_[L(1)], np.s_[..., L(-1)], np.s_[L(0), :, L(2)], np.s_[L(1), L([0, 2])], np.s_[:, L(1), L([0, 2])],
    np.s_[L([0, 1]), :, L(3)],
    M, np.s_[M, 1], np.s_[M, None], np.s_[M, ::2], L([True, False]), L([False, False]), np.s_[:, L([True, False, True])],
    np.s_[..., L([True, False, True, True])],
    np.s_[L([True, False]), :, 1:], np.s_[0, L([True, False, True])], np.s_[L([True, True]), L([0, 2])], np.s_[None, M],
    True, False, np.s_[True, 0], np.s_[L(True)], np.s_[L(False)], np.s_[:, True], [0, 1], np.s_[[0, 1], [1, 2]],
    np.s_[:, [True, False, True]], np.s_[:, [0, -1], 1:3], [True, False],
    np.s_[L([1, 0], np.int32)], np.s_[:, L([1, 0], np.int32)],
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_getitem(key: Any) -> None:
    check(lambda x: x[lifted(key, candle.tensor)], lambda x: x[lifted(key, torch.tensor)], array(2, 3, 4), second=True)
    x = array(2, 3, 4)
    same(
        candle.tensor(x, device="bare")[lifted(key, lambda a: candle.tensor(a, device="bare"))],
        to_torch(x)[lifted(key, torch.tensor)],
    )


def assigned(library: Any) -> Any:
    make = candle.tensor if library is candle else torch.tensor

    def call(x: Any, v: Any, key: Any) -> Any:
        x = x * 1
        x[lifted(key, make)] = v
        return x

    return call


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_setitem(key: Any) -> None:
    """Values of every shape that broadcasts, with gradients to both; where ids repeat, one value."""
    x = array(2, 3, 4)
    part = to_torch(x)[lifted(key, torch.tensor)]
    ours, theirs = assigned(candle), assigned(torch)
    distinct = (
        len(np.unique(np.arange(24).reshape(2, 3, 4)[lifted(key, np.asarray)]))
        == np.arange(24).reshape(2, 3, 4)[lifted(key, np.asarray)].size
    )
    for shape in {(), (1,), tuple(part.shape[-1:]), tuple(part.shape)}:
        if not distinct and np.prod(shape) > 1:
            continue
        v = array(*shape, seed=1)
        check(lambda x, v: ours(x, v, key), lambda x, v: theirs(x, v, key), x, v, second=True)
        with candle.device("bare"):
            same(
                ours(candle.tensor(x, device="bare"), candle.tensor(v, device="bare"), key), theirs(to_torch(x), to_torch(v), key)
            )
    same(ours(candle.tensor(x), 2, key), theirs(to_torch(x), 2, key))


@pytest.mark.parametrize(
    "key",
    [np.s_[::-1], np.s_[:, ::-2], np.s_[1, 2:0:-1, ::-1], np.s_[..., -1:-9:-3], np.s_[::-1, L([0, 2])], np.s_[None, ::-1, 1]],
    ids=str,
)
def test_negative_steps(key: Any) -> None:
    """Slices that run backwards, which PyTorch has not: as NumPy has them."""
    x = array(2, 3, 4)
    t = candle.tensor(x).requires_grad_()
    y = t[key]
    np.testing.assert_array_equal(y.detach().numpy(), x[key])
    g = array(*y.shape, seed=1)
    want = np.zeros_like(x)
    want[key] = g
    np.testing.assert_array_equal(candle.grad(y, t, candle.tensor(g)).numpy(), want)
    u, want = candle.tensor(x), x.copy()
    u[key] = candle.tensor(g)
    want[key] = g
    np.testing.assert_array_equal(u.numpy(), want)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0), (1,), (2, 1, 3, 1, 2, 2)], ids=str)
def test_shapes_at_the_edges(shape: Any) -> None:
    x = array(*shape)
    keys: list[Any] = [..., None, True, False, (..., None), (None, ...), ()]
    if shape:
        keys += [
            np.s_[:],
            np.s_[1:],
            np.s_[..., :1],
            np.s_[:0],
            np.zeros(0, np.int64),
            np.zeros(shape, bool),
            np.ones(shape[:1], bool),
            np.s_[..., None, :],
        ]
    if shape == (2, 1, 3, 1, 2, 2):
        keys += [
            np.s_[1, :, L([0, 2]), ..., L([1, 0])],
            np.s_[..., 0, 1],
            np.s_[:, :, :, :, 1:, L([0, 0, 1])],
            np.ones((2, 1, 3), bool),
        ]
    for key in keys:
        check(lambda x: x[lifted(key, candle.tensor)], lambda x: x[lifted(key, torch.tensor)], x)
        check(lambda x: assigned(candle)(x, 3, key), lambda x: assigned(torch)(x, 3, key), x)


@st.composite
def cases(draw: Any) -> Any:
    """A shape and a key of integers, slices, None, Ellipsis, ids and masks in any order."""
    shape = tuple(draw(st.lists(st.integers(0, 3), max_size=4)))
    common = draw(st.sampled_from([(2,), (2, 1), (1,), (0,)]))
    key: list[Any] = []
    at = 0
    masks = 0
    while at < len(shape) and draw(st.integers(0, 5)):
        n = shape[at]
        kind = draw(st.sampled_from(["int", "slice", "none", "ids", "mask", "step"]))
        if kind == "none":
            key.append(None)
            continue
        if kind == "int" and n:
            key.append(draw(st.integers(-n, n - 1)))
        elif kind == "ids" and (n or 0 in common):
            size = int(np.prod(common))
            key.append(
                np.array(draw(st.lists(st.integers(-n, max(n - 1, 0)), min_size=size, max_size=size)), np.int64).reshape(common)
            )
        elif kind == "mask" and not masks and not any(isinstance(k, np.ndarray) for k in key):
            masks += 1
            key.append(np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool))
        else:
            ends = st.one_of(st.none(), st.integers(-4, 4))
            key.append(slice(draw(ends), draw(ends), draw(st.sampled_from([None, 1, 2]))))
        at += 1
    if masks:
        key = [k for k in key if not (isinstance(k, np.ndarray) and k.dtype != bool)]
    if draw(st.booleans()):
        key.insert(draw(st.integers(0, len(key))), Ellipsis)
    return shape, tuple(key)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(cases())
def test_any_key(case: Any) -> None:
    shape, key = case
    x = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)
    try:
        want = to_torch(x)[lifted(key, torch.tensor)]
    except IndexError:  # PyTorch counts a mask's dimensions against what an Ellipsis leaves
        with pytest.raises(candle.CandleError):
            candle.tensor(x)[lifted(key, candle.tensor)]
        return
    t = candle.tensor(x).requires_grad_()
    y = t[lifted(key, candle.tensor)]
    same(y.detach(), want)
    z = to_torch(x).requires_grad_()
    (g,) = torch.autograd.grad(z[lifted(key, torch.tensor)].sum(), z, allow_unused=True)
    mine = candle.grad(y.sum(), t)
    same(mine, g)
    u, w = candle.tensor(x), to_torch(x)
    u[lifted(key, candle.tensor)] = -1.0
    w[lifted(key, torch.tensor)] = -1.0
    same(u, w)


def test_numpy_keys() -> None:
    """Arrays and NumPy numbers are keys as tensors are."""
    x = array(4, 5)
    t = candle.tensor(x)
    for key in (
        np.int64(2),
        np.array([0, 3]),
        (np.array([0, 3]), np.int32(1)),
        np.array([True, False, True, False]),
        np.bool_(True),
        x > 0,
        range(2),
        [[0, 1], [3, 0]],
        (slice(None), (0, 2)),
    ):
        np.testing.assert_array_equal(t[key].numpy(), x[list(key) if isinstance(key, range) else key])


def test_values_not_aliases() -> None:
    """Assignment gives a name another value: nothing else changes, and what was cut out refuses."""
    x = candle.zeros(2, 3)
    y, row, array_before = x, x[0], x.numpy()
    z = x.clone()
    x[0, 1] = 5
    assert x.tolist() == [[0, 5, 0], [0, 0, 0]] == y.tolist()
    assert not z.numpy().any() and not row.numpy().any() and not array_before.any()
    with pytest.raises(candle.ShapeError, match=r"write x\[0, 1\] = v"):
        x[0][1] = 2
    w = candle.zeros(3, requires_grad=True)
    with pytest.raises(candle.GradientError, match="under candle.no_grad"):
        w[0] = 1
    with candle.no_grad():
        w[0] = 1
    assert w.tolist() == [1, 0, 0] and w.is_leaf and w.requires_grad


def test_values_are_cast_to_the_tensor() -> None:
    for dtype in ("int32", "bfloat16", "float64", "bool", "complex64"):
        x = candle.zeros(3, dtype=dtype)
        x[1:] = candle.tensor([2.75, 0.0])
        x[0] = 1
        assert x.dtype.name == dtype
        want = torch.zeros(3, dtype=getattr(torch, dtype))
        want[1:], want[0] = torch.tensor([2.75, 0.0]), 1
        same(x, want)
    x = candle.zeros(2, 2)
    x[0] = [1, 2]
    x[1] = np.array([3.0, 4.0])
    assert x.tolist() == [[1, 2], [3, 4]]


def test_augmented_assignment_to_a_part() -> None:
    x = candle.tensor([1.0, 2.0, 3.0])
    x[1:] += 10
    x[[0, 0]] *= 2
    assert x.tolist() == [2, 12, 13]


def test_masks_that_fill_are_captured() -> None:
    """An assignment of one value through a mask needs no positions."""
    x = candle.tensor(array(3, 4))

    def relu(x: Any) -> Any:
        x = x * 1
        x[x.lt(0)] = 0
        return x

    np.testing.assert_array_equal(candle.compile(relu)(x).numpy(), relu(x).numpy())
    with pytest.raises(candle.CaptureError, match="boolean mask"):
        candle.compile(lambda x: x[x.lt(0)])(x)
    np.testing.assert_array_equal(candle.compile(lambda x, i: x[i, :, None])(x, candle.tensor(1)).numpy(), x.numpy()[1, :, None])
    known = np.array([True, False, True])
    np.testing.assert_array_equal(candle.compile(lambda x: x[known])(x).numpy(), x.numpy()[known])
    np.testing.assert_array_equal(candle.compile(lambda x: x[[True, False, True], 1:])(x).numpy(), x.numpy()[known, 1:])


ERRORS = [
    (lambda x: x[2], candle.DimError, "the index 2 is outside dimension 0 of float32[2,3], which has 2: it is from -2 to 1"),
    (lambda x: x[0, -4], candle.DimError, "the index -4 is outside dimension 1"),
    (lambda x: x[0, 0, 0], candle.DimError, "3 dimensions were indexed but float32[2,3] has 2"),
    (lambda x: x[..., ...], candle.DimError, "one Ellipsis"),
    (lambda x: x[[0, 2]], candle.DimError, "index was given the index 2 for a dimension of size 2; indices are from -2 to 1"),
    (lambda x: x[candle.tensor(-3)], candle.DimError, "the index -3 for a dimension of size 2"),
    (lambda x: x[0.5], candle.DTypeError, "but 0.5 was given"),
    (lambda x: x["a"], candle.DTypeError, "'a'"),
    (lambda x: x[candle.tensor([0.5])], candle.DTypeError, "cast it with .long()"),
    (lambda x: x[0.5:], candle.DTypeError, "a slice is made of integers but 0.5"),
    (lambda x: x[::0], candle.DimError, "step is not 0"),
    (
        lambda x: x[[True, False, True]],
        candle.DimError,
        "a mask has the shape of the dimensions it indexes, (2,), but was given one of shape (3,)",
    ),
    (lambda x: x[[0, 1], [0, 1, 2]], candle.ShapeError, "broadcast together"),
    (lambda x: x.__setitem__(0, candle.ones(2)), candle.ShapeError, "float32[2] does not broadcast to (3,)"),
    (lambda x: x.__setitem__([0, 1], candle.ones(3, 3)), candle.ShapeError, "does not broadcast to (2, 3)"),
    (lambda x: x.__setitem__(5, 1), candle.DimError, "the index 5 is outside"),
    (lambda x: x.__setitem__([5], 1), candle.DimError, "index_put was given the index 5 for a dimension of size 2"),
    (lambda x: x.__setitem__(x.eq(x), candle.ones(4)), candle.ShapeError, "does not broadcast to (6,)"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[e[2] for e in ERRORS])
def test_errors(call: Any, error: Any, text: str) -> None:
    with pytest.raises(error) as caught:
        call(candle.zeros(2, 3))
    assert text in str(caught.value)
    assert not issubclass(error, candle.DimError) or isinstance(caught.value, IndexError)


_ = Bare
