"""Tensors made from nothing against PyTorch: constants, ranges, identities, on the reference and on expansions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from torch_check import check, same, torch

import candle
from candle.backend import Backend
from candle.errors import DTypeError, ShapeError
from candle.op import OPS

DTYPES = [
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]
FLOATS = ["float16", "bfloat16", "float32", "float64"]


def both(call, rtol=None):
    """The same call on either library; ``d`` gives its dtypes by name."""
    check(
        lambda: call(candle, lambda name: getattr(candle, name if name != "bool" else "bool_")),
        lambda: call(torch, lambda name: getattr(torch, name)),
        grad=False,
        rtol=rtol,
    )


@pytest.mark.parametrize("name", ["zeros", "ones"])
@pytest.mark.parametrize("size", [(), (0,), (3,), (2, 0, 3), (2, 3, 1, 2, 2)], ids=str)
def test_constants(name, size):
    both(lambda lib, d: getattr(lib, name)(size))
    both(lambda lib, d: getattr(lib, name)(*size) if size else getattr(lib, name)(()))
    for dtype in DTYPES:
        both(lambda lib, d: getattr(lib, name)(size, dtype=d(dtype)))
    both(lambda lib, d: getattr(lib, name + "_like")(lib.zeros(size, dtype=d("int32"))))
    both(lambda lib, d: getattr(lib, name + "_like")(lib.zeros(size, dtype=d("int32")), dtype=d("float64")))
    both(lambda lib, d: getattr(lib.zeros(2, dtype=d("float64")), "new_" + name)(size))


@pytest.mark.parametrize("value", [0, 3, -1, True, 2.5, math.inf, -math.inf, math.nan, -0.0, 1 + 2j])
def test_full(value):
    both(lambda lib, d: lib.full((2, 3), value))
    both(lambda lib, d: lib.full((), value))
    both(lambda lib, d: lib.full((0, 2), value))
    for dtype in ("float16", "float64", "complex64"):
        if dtype == "complex64" or not isinstance(value, complex):
            both(lambda lib, d: lib.full((2,), value, dtype=d(dtype)))
    if isinstance(value, (bool, int)):
        for dtype in DTYPES:
            if not (value < 0 and dtype == "uint8"):
                both(lambda lib, d: lib.full((2,), value, dtype=d(dtype)))
    assert math.copysign(1, candle.full((1,), -0.0).item()) == -1


def test_full_in_the_form_of_another():
    both(lambda lib, d: lib.full_like(lib.zeros(2, 3, dtype=d("float64")), 7))
    both(lambda lib, d: lib.zeros(2, dtype=d("float16")).new_full((3, 1), 2.0))
    same(candle.full((2,), candle.tensor(3.0)), np.full(2, 3, np.float32))


RANGES = [
    (0,),
    (1,),
    (5,),
    (5.0,),
    (2.5,),
    (1, 4),
    (4, 4),
    (1, 10, 3),
    (1, 11, 3),
    (10, 1, -3),
    (10, 1, -4),
    (0, 1, 0.1),
    (0.0, 1.0, 0.25),
    (1, 0, -0.3),
    (-5, 5, 2),
    (0, 3, 0.7),
    (2**40, 2**40 + 3),
    (0.1, 0.75, 0.05),
]


@pytest.mark.parametrize("args", RANGES, ids=str)
def test_arange(args):
    both(lambda lib, d: lib.arange(*args))
    for dtype in ("int32", "float32", "float64", "float16"):
        if args[0] < 2**20 and (dtype != "int32" or float(args[-1]).is_integer()):
            both(lambda lib, d: lib.arange(*args, dtype=d(dtype)))


def test_ranges_of_large_integers_are_exact():
    assert candle.arange(2**60, 2**60 + 3).tolist() == [2**60, 2**60 + 1, 2**60 + 2]
    assert candle.arange(0, -6, -2).tolist() == [0, -2, -4]
    assert candle.arange(candle.tensor(3)).tolist() == [0, 1, 2]
    assert candle.arange(3, requires_grad=False).dtype is candle.int64
    assert candle.arange(0, 1, 0.5, requires_grad=True).requires_grad


@pytest.mark.parametrize(("start", "end"), [(0, 1), (-1, 1), (3, -3), (2, 2), (0.1, 0.7), (-1e8, 1e8), (1, 1e-3)])
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 101])
def test_linspace(start, end, steps):
    both(lambda lib, d: lib.linspace(start, end, steps))
    for dtype in FLOATS:
        if abs(end) < 6e4:
            both(lambda lib, d: lib.linspace(start, end, steps, dtype=d(dtype)))
    x = candle.linspace(start, end, steps, dtype="float64").numpy()
    if steps > 1:
        assert x[0] == start and x[-1] == end
    np.testing.assert_array_equal(
        x[1:-1] if steps > 1 else x, -candle.linspace(-start, -end, steps, dtype="float64").numpy()[1:-1] if steps > 1 else x
    )


def test_linspace_of_integers():
    for steps in (1, 2, 4, 7):
        both(lambda lib, d: lib.linspace(0, 9, steps, dtype=d("int64")))
        both(lambda lib, d: lib.linspace(-5, 5, steps, dtype=d("int32")))


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
@pytest.mark.parametrize("base", [10.0, 2.0, 0.5])
def test_logspace(steps, base):
    both(lambda lib, d: lib.logspace(-2, 3, steps, base))
    both(lambda lib, d: lib.logspace(0, 3, steps, base, dtype=d("float64")))
    if base >= 1:
        both(lambda lib, d: lib.logspace(0, 3, 4, base, dtype=d("int64")))


@pytest.mark.parametrize("size", [(0,), (1,), (3,), (2, 4), (4, 2), (0, 3), (3, 0)], ids=str)
def test_eye(size):
    both(lambda lib, d: lib.eye(*size))
    for dtype in DTYPES:
        both(lambda lib, d: lib.eye(*size, dtype=d(dtype)))


class Required(Backend):
    """The reference with no more than the required kernels."""

    name = "required"

    def __init__(self):
        base = candle.tensor(0, device="numpy").backend.kernels
        self.kernels = {k: v for k, v in base.items() if OPS[k].required}


@pytest.mark.parametrize("dtype", ["int64", *FLOATS])
def test_expansions(dtype):
    device = Required()
    for steps in (0, 1, 2, 5, 8):
        for start, end in ((0, 1), (-3, 4), (0.1, 0.7)):
            a, b = (candle.linspace(start, end, steps, dtype=dtype, device=d) for d in (device, "numpy"))
            np.testing.assert_array_equal(a.numpy(), b.numpy())
            assert a.device.type == "required"
    for n, m in ((0, 2), (1, 1), (3, 2), (2, 4)):
        for k in (-2, 0, 1):
            attrs = {"n": n, "m": m, "k": k, "dtype": dtype}
            a, b = (candle.tensor(OPS["eye"](**attrs)).numpy(), np.eye(n, m, k))
            np.testing.assert_array_equal(a.astype(float), b)
            np.testing.assert_array_equal(candle.eye(n, m, dtype=dtype, device=device).numpy().astype(float), np.eye(n, m))


def test_made_where_asked_and_within_captures():
    device = Required()
    for made in (
        candle.zeros(2, device=device),
        candle.arange(3, device=device),
        candle.eye(2, device=device),
        candle.full((1,), 2, device=device),
    ):
        assert made.backend is device and made.zeros_like().backend is device

    @candle.compile
    def fn(x):
        return x + candle.arange(3) + candle.eye(3).sum(0) + candle.linspace(0, 1, 3)

    same(fn(candle.zeros(3)), np.array([1.0, 2.5, 4.0], np.float32))


ERRORS = [
    (lambda: candle.zeros(-1), ShapeError, "sizes are at least 0"),
    (lambda: candle.zeros(2.5), ShapeError, "a shape is integers"),
    (lambda: candle.arange(0, 3, 0), ShapeError, "step is not 0"),
    (lambda: candle.linspace(0, 1, -1), ShapeError, "steps is at least 0"),
    (lambda: candle.eye(-1), ShapeError, "sizes are at least 0"),
    (lambda: candle.zeros(2, dtype="float33"), DTypeError, "there is no dtype called 'float33'"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[e[2] for e in ERRORS])
def test_errors(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)


@pytest.mark.parametrize("copy", [True, None])
@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_the_standards_copies_do_not_follow_what_they_copy(shape, copy):
    from candle import array_api

    for of in (candle.ones(shape), array_api.ones(shape)):
        made = array_api.asarray(of, copy=copy, dtype=None if copy else array_api.float64)
        of[...] = 5
        assert array_api.all(made == 1)
