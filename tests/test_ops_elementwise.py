"""Elementwise operations against PyTorch: values and gradients of both orders, at edge cases and in every dtype."""

from __future__ import annotations

import math

import numpy as np
import pytest
from torch_check import check, torch

import candle
from candle.backend import Reference
from candle.errors import DTypeError, ShapeError
from candle.op import OPS

INF, NAN = math.inf, math.nan
SPECIAL = np.array([NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1e-30, -1e-30, 1e30, -1e30])
FLOATS = ["float16", "bfloat16", "float32", "float64"]
INTS = ["int8", "int16", "int32", "int64", "uint8"]


def numbers(shape, dtype="float64", low=-3.0, high=3.0, seed=0):
    x = np.asarray(np.random.default_rng(seed).uniform(low, high, shape))
    return np.asarray(np.round(x) if np.dtype(_numpy(dtype)).kind in "iu" else x).astype(_numpy(dtype))


def _numpy(dtype):
    return getattr(candle, dtype).numpy if isinstance(dtype, str) else dtype


# name, the interval on which it is smooth, whether PyTorch takes complex numbers too
UNARY = [
    ("abs", -3, 3, True),
    ("sign", -3, 3, False),
    ("sgn", -3, 3, True),
    ("exp", -3, 3, True),
    ("exp2", -3, 3, True),
    ("expm1", -3, 3, True),
    ("log", 0.1, 5, True),
    ("log2", 0.1, 5, True),
    ("log10", 0.1, 5, True),
    ("log1p", -0.9, 5, True),
    ("sqrt", 0.1, 5, True),
    ("rsqrt", 0.1, 5, True),
    ("sin", -3, 3, True),
    ("cos", -3, 3, True),
    ("tan", -1.4, 1.4, True),
    ("asin", -0.9, 0.9, True),
    ("acos", -0.9, 0.9, True),
    ("atan", -3, 3, True),
    ("sinh", -3, 3, True),
    ("cosh", -3, 3, True),
    ("tanh", -3, 3, True),
    ("asinh", -3, 3, True),
    ("acosh", 1.1, 5, True),
    ("atanh", -0.9, 0.9, True),
    ("erf", -3, 3, False),
    ("erfc", -3, 3, False),
    ("erfinv", -0.95, 0.95, False),
    ("lgamma", 0.2, 6, False),
    ("digamma", 0.2, 6, False),
    ("sigmoid", -3, 3, True),
    ("logit", 0.1, 0.9, False),
    ("reciprocal", 0.2, 3, True),
    ("square", -3, 3, True),
    ("floor", -3, 3, False),
    ("ceil", -3, 3, False),
    ("round", -3, 3, False),
    ("trunc", -3, 3, False),
    ("frac", -3, 3, False),
    ("neg", -3, 3, True),
    ("positive", -3, 3, True),
    ("deg2rad", -3, 3, False),
    ("rad2deg", -3, 3, False),
    ("sinc", 0.1, 3, False),
    ("i0", -3, 3, False),
    ("nan_to_num", -3, 3, False),
    ("angle", -3, 3, True),
]
NAMES = [row[0] for row in UNARY]


def pair(name):
    return getattr(candle, name), getattr(torch, name)


@pytest.mark.parametrize(("name", "low", "high", "complexes"), UNARY, ids=NAMES)
def test_a_function_of_one_number_and_its_gradients(name, low, high, complexes):
    ours, theirs = pair(name)
    smooth = name not in ("sinc",)
    check(ours, theirs, numbers((2, 3), low=low, high=high), second=smooth, rtol=1e-8)
    check(ours, theirs, numbers((1, 2, 1, 3, 2), "float32", low, high), rtol=1e-4)
    for shape in [(), (0,), (2, 0, 3)]:
        check(ours, theirs, numbers(shape, low=low, high=high), second=smooth, rtol=1e-8)
    if complexes:
        z = numbers((2, 3), low=0.2, high=0.8) + 1j * numbers((2, 3), low=-0.7, high=0.7, seed=1)
        check(ours, theirs, z, second=name not in ("sgn", "angle"), rtol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_a_function_of_one_number_at_special_values(name):
    ours, theirs = pair(name)
    for dtype in ("float32", "float64"):
        x = SPECIAL.astype(dtype)
        if name == "i0":  # PyTorch gives NaN at infinity
            x = x[np.isfinite(x)]
        check(ours, theirs, x, grad=False, rtol=1e-4 if dtype == "float32" else 1e-10)
        zeros = [(f(c) == 0) for f, c in ((ours, candle.tensor(x)), (theirs, torch.tensor(x)))]
        signs = [candle.signbit(ours(candle.tensor(x))).numpy(), torch.signbit(theirs(torch.tensor(x))).numpy()]
        mask = zeros[1].numpy()
        np.testing.assert_array_equal(signs[0][mask], signs[1][mask], err_msg=f"signs of the zeros of {name}")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", *INTS])
def test_a_function_of_one_number_in_other_dtypes(name, dtype):
    low, high = next(row[1:3] for row in UNARY if row[0] == name)
    x = numbers((3, 4), dtype, max(low, 0) if dtype == "uint8" else low, high)
    if dtype in INTS and name in (
        "log",
        "reciprocal",
        "rsqrt",
        "log2",
        "log10",
        "frac",
        "acosh",
        "erfinv",
        "lgamma",
        "digamma",
        "atanh",
    ):
        x = np.maximum(x, 1)
    theirs = getattr(torch, name)
    try:
        theirs(torch.zeros(1, dtype=getattr(torch, dtype)))
    except (RuntimeError, NotImplementedError):
        pytest.skip("PyTorch does not take this dtype here")
    check(getattr(candle, name), theirs, x, grad=False)


BINARY = [
    ("add", -3, 3, True), ("sub", -3, 3, True), ("mul", -3, 3, True), ("div", 0.5, 3, True), ("pow", 0.3, 2, True),
    ("atan2", -3, 3, False), ("maximum", -3, 3, False), ("minimum", -3, 3, False), ("fmax", -3, 3, False), ("fmin", -3, 3, False),
    ("hypot", -3, 3, False), ("copysign", -3, 3, False), ("logaddexp", -3, 3, False), ("logaddexp2", -3, 3, False),
    ("xlogy", 0.2, 3, False), ("remainder", 0.5, 3, False), ("fmod", 0.5, 3, False), ("floor_divide", 0.5, 3, False),
    ("nextafter", -3, 3, False), ("float_power", 0.3, 2, True), ("ldexp", -3, 3, False),
]  # fmt: skip
TESTS = ["eq", "ne", "lt", "le", "gt", "ge", "isclose", "logical_and", "logical_or", "logical_xor"]
SHAPES = [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1, 3), (4, 1)), ((), (3,)), ((), ()), ((0, 3), (3,)), ((1, 0), (2, 1)),
          ((2, 1, 2, 1, 2), (3, 1, 2, 1))]  # fmt: skip


@pytest.mark.parametrize(("name", "low", "high", "complexes"), BINARY, ids=[row[0] for row in BINARY])
def test_a_function_of_two_numbers_broadcasts_as_do_its_gradients(name, low, high, complexes):
    ours, theirs = pair(name)
    graded = name not in ("nextafter", "floor_divide")
    for a, b in SHAPES:
        x, y = numbers(a, low=low, high=high), numbers(b, low=low, high=high, seed=1)
        check(ours, theirs, x, y, grad=graded, second=graded, rtol=1e-8)
    check(ours, theirs, numbers((2, 3), "float32", low, high), numbers((3,), "float32", low, high, 1), grad=graded, rtol=1e-4)
    if complexes:
        z = [numbers((2, 3), low=0.5, high=2, seed=s) + 1j * numbers((2, 3), seed=s + 1) for s in (0, 2)]
        check(ours, theirs, *z, second=True, rtol=1e-8)


@pytest.mark.parametrize("name", [row[0] for row in BINARY if row[0] != "float_power"] + TESTS)
def test_a_function_of_two_numbers_at_special_values(name):
    ours, theirs = pair(name)
    for dtype in ("float32", "float64"):
        a, b = (v.ravel() for v in np.meshgrid(SPECIAL.astype(dtype), SPECIAL.astype(dtype)))
        if name in ("remainder", "fmod"):  # PyTorch gives NaN where the quotient overflows; the remainder exists all the same
            a, b = (v[~((np.abs(a) > 1e20) & (np.abs(b) < 1e-20) & np.isfinite(a) & (b != 0))] for v in (a, b))
        check(ours, theirs, a, b, grad=False, rtol=1e-4 if dtype == "float32" else 1e-10)


@pytest.mark.parametrize("name", [row[0] for row in BINARY] + TESTS)
@pytest.mark.parametrize(
    "dtypes",
    [
        ("float16",) * 2,
        ("bfloat16",) * 2,
        ("int8",) * 2,
        ("int64", "int32"),
        ("uint8", "int16"),
        ("bool", "int64"),
        ("int64", "float32"),
        ("float16", "float32"),
        ("bool",) * 2,
        ("bfloat16", "float16"),
    ],
    ids="-".join,
)
def test_a_function_of_two_numbers_in_other_dtypes(name, dtypes):
    a, b = numbers((3, 4), dtypes[0], 1, 4), numbers((4,), dtypes[1], 1, 4, 1)
    theirs = getattr(torch, name)
    if name == "ldexp" and "16" in dtypes[0]:
        pytest.skip("PyTorch's ldexp of halves and integers gives float32")
    try:
        theirs(*[torch.ones(1, dtype=getattr(torch, d)) for d in dtypes])
    except (RuntimeError, NotImplementedError):
        pytest.skip("PyTorch does not take these dtypes here")
    check(getattr(candle, name), theirs, a, b, grad=False)


@pytest.mark.parametrize("name", ["maximum", "minimum", "fmax", "fmin"])
def test_ties_and_nan_share_the_gradient_as_in_pytorch(name):
    a = np.array([1.0, 2.0, NAN, 1.0, -0.0, INF, 3.0])
    b = np.array([1.0, 1.0, 1.0, NAN, 0.0, INF, 4.0])
    check(*pair(name), a, b)


@pytest.mark.parametrize(
    "name",
    [
        "floor_divide",
        "remainder",
        "fmod",
        "gcd",
        "lcm",
        "bitwise_and",
        "bitwise_or",
        "bitwise_xor",
        "pow",
        "bitwise_left_shift",
        "bitwise_right_shift",
        "maximum",
        "minimum",
    ],
)
@pytest.mark.parametrize("dtype", INTS)
def test_integers_of_either_sign(name, dtype):
    a = np.array([7, -7, 7, -7, 0, 1, -1, 100, 127, 3]).astype(dtype)
    b = np.array([3, 3, -3, -3, 5, 2, 3, 7, 1, 2])
    b = (np.abs(b) if "shift" in name or name == "pow" else b).astype(dtype)
    check(*pair(name), a, b)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_halves_with_nan_infinities_and_signed_zeros(dtype):
    special = SPECIAL[:12].astype(_numpy(dtype))
    a, b = (v.ravel() for v in np.meshgrid(special, special))
    for name in ("maximum", "minimum", "fmax", "fmin", *TESTS, "copysign", "atan2", "add", "mul", "pow", "remainder"):
        check(*pair(name), a, b, grad=False)
    for name in ("isnan", "isinf", "isfinite", "signbit", "exp", "log", "tanh", "sigmoid", "round", "floor", "erf", "sign"):
        check(*pair(name), special, grad=False)


def test_in_place_operations_keep_shape_and_dtype():
    x = candle.tensor([1.0, 2.0])
    x.add_(x, alpha=2).sub_(1).mul_(2).div_(4, rounding_mode="floor").clamp_(0, 2).pow_(2)
    assert x.tolist() == [1.0, 4.0]
    x += 1
    x *= 3
    x -= 2
    x /= 2
    x //= 2
    x %= 2
    x **= 2
    assert x.tolist() == [1.0, 1.0]
    n = candle.tensor([1, 2])
    with pytest.raises(DTypeError, match="keeps the dtype"):
        n.div_(2)
    with pytest.raises(ShapeError, match="keeps the shape"):
        n.add_(candle.zeros(2, 2, dtype=candle.int64))


def test_a_shift_past_the_width_leaves_zero_or_the_sign():
    for dtype in ("int8", "int32", "int64", "uint8"):
        a, b = np.array([1, 5, 100, 3]).astype(dtype), np.array([8, 31, 63, 64]).astype(dtype)
        check(candle.bitwise_left_shift, torch.bitwise_left_shift, a, b)
        check(candle.bitwise_right_shift, torch.bitwise_right_shift, -a.astype(dtype) if dtype != "uint8" else a, b)


def test_an_integer_to_a_negative_power_is_zero_unless_the_base_is_a_unit():
    a, b = np.array([2, 1, -1, -1, 3, -2]), np.array([-1, -5, -3, -2, -2, -1])
    check(candle.pow, torch.pow, a, b)


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 0.5, -1, -2.0, 2.5, 0.0])
def test_powers_with_a_python_number_and_their_gradients_at_zero(exponent):
    check(lambda x: x**exponent, None, np.array([0.0, 1.0, 2.0, 0.3]), second=exponent in (0, 1, 2, 3))
    check(lambda x: x**exponent, None, np.array([-0.5, -2.0]), second=float(exponent).is_integer())
    check(lambda x: exponent**x, None, np.array([0.0, 1.0, 2.0, 0.3]))


def test_the_exponents_gradient_is_zero_where_the_base_is():
    check(candle.pow, torch.pow, np.array([0.0, 0.0, 2.0]), np.array([0.0, 2.0, 3.0]))


@pytest.mark.parametrize("low, high", [(-1.0, 1.0), (None, 1.0), (-1.0, None), (1.0, -1.0), (NAN, 1.0), (-1.0, NAN)])
def test_clamp_between_numbers(low, high):
    x = np.array([-1.0, 1.0, 0.0, -2.0, 2.0, NAN, INF, -INF])
    check(
        lambda v: v.clamp(low, high),
        None,
        x,
        grad=not (low is not None and math.isnan(low)) and not (high is not None and math.isnan(high)),
    )
    check(lambda v: v.clamp(min=low, max=high), None, np.array(0.5))


def test_clamp_between_tensors():
    x, low, high = numbers((4, 3)), numbers((3,), seed=1), numbers((4, 1), seed=2)
    check(candle.clamp, torch.clamp, x, low, high, second=True)
    check(lambda a, b: candle.clamp(a, min=b), lambda a, b: torch.clamp(a, min=b), x, low)
    check(lambda a, b: candle.clamp(a, max=b), lambda a, b: torch.clamp(a, max=b), x, low)
    ties = np.array([1.0, 2.0, 3.0])
    check(candle.clamp, torch.clamp, ties, ties.copy(), ties + [0, 1, -1])
    check(lambda v: v.clamp(1, 2), None, np.array([0, 1, 2, 3], np.int32))
    check(lambda v: v.clamp(0.5, 1.5), None, np.array([0, 1, 2, 3], np.int32))
    check(lambda v: v.clip(0, 1), None, numbers((3,)))
    with pytest.raises(TypeError, match="at least one bound"):
        candle.tensor([1.0]).clamp()


@pytest.mark.parametrize("mode", [None, "floor", "trunc"])
def test_division_in_its_rounding_modes(mode):
    a, b = np.array([7.0, -7.0, 7.0, -7.0, 0.0, INF, 1.0, -1.0]), np.array([2.0, 2.0, -2.0, -2.0, 3.0, 2.0, INF, INF])
    check(
        lambda x, y: candle.div(x, y, rounding_mode=mode),
        lambda x, y: torch.div(x, y, rounding_mode=mode),
        a,
        b,
        grad=mode is None,
    )
    ints = np.array([7, -7, 7, -7, 0]), np.array([2, 2, -2, -2, 3])
    check(lambda x, y: candle.div(x, y, rounding_mode=mode), lambda x, y: torch.div(x, y, rounding_mode=mode), *ints)
    with pytest.raises(ShapeError, match="rounding_mode is None, 'floor' or 'trunc' but 'up'"):
        candle.div(candle.tensor(1), 2, rounding_mode="up")


@pytest.mark.parametrize("decimals", [0, 1, 2, -1])
def test_rounding_to_even_with_decimals(decimals):
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 0.25, 0.125, 15.0, 25.0, -35.0, 1.005, NAN, INF])
    for dtype in ("float32", "float64"):
        check(lambda v: v.round(decimals=decimals), None, x.astype(dtype))
    with pytest.raises(DTypeError, match="decimals for floats only"):
        candle.tensor([1]).round(decimals=1)


@pytest.mark.parametrize("name", ["isnan", "isinf", "isfinite", "signbit", "isposinf", "isneginf", "logical_not", "isreal"])
def test_questions_about_one_number(name):
    ours, theirs = pair(name)
    for dtype in (*FLOATS, *INTS, "bool"):
        check(ours, theirs, SPECIAL[:10].astype(_numpy(dtype)))
    check(ours, theirs, np.array(NAN))
    if name in ("isnan", "isinf", "isfinite", "logical_not", "isreal"):
        check(ours, theirs, np.array([complex(NAN, 1), complex(1, INF), 0, 1j, 1]))


def test_comparisons_of_mixed_dtypes_and_with_python_numbers():
    ints, floats = np.array([1, 2, 3, 2**24 + 1]), np.array([1.5, 2.0, 2.5, 2.0**24], np.float32)
    for name in TESTS[:6]:
        check(*pair(name), ints, floats)
        for number in (2, 2.5, True, NAN, -INF):
            check(lambda x: getattr(torch if isinstance(x, torch.Tensor) else candle, name)(x, number), None, ints)
    check(lambda x: (x == 1 + 2j) | (x != 3j), None, np.array([1 + 2j, 3j]))


@pytest.mark.parametrize("name", ["lt", "le", "gt", "ge", "maximum", "floor", "clamp_min"])
def test_complex_numbers_have_no_order(name):
    z = candle.tensor([1j])
    with pytest.raises(DTypeError, match=r"complex64\[1\]"):
        getattr(candle, name)(z, z) if name != "floor" else candle.floor(z)


def test_booleans_add_as_or_multiply_as_and_and_do_not_subtract():
    a, b = np.array([True, True, False, False]), np.array([True, False, True, False])
    for op in (
        lambda x, y: x + y,
        lambda x, y: x * y,
        lambda x, y: x & y,
        lambda x, y: x | y,
        lambda x, y: x ^ y,
        lambda x, y: x == y,
    ):
        check(op, None, a, b)
    check(lambda x: ~x, None, a)
    for refused in (lambda x, y: x - y, lambda x, y: -x):
        with pytest.raises(DTypeError, match=r"bool\[4\]"):
            refused(candle.tensor(a), candle.tensor(b))


@pytest.mark.parametrize("dtype", INTS)
def test_bits(dtype):
    a, b = np.array([0b1100, 5, 127, 0]).astype(dtype), np.array([0b1010, 3, 1, 7]).astype(dtype)
    for op in (
        lambda x, y: x & y,
        lambda x, y: x | y,
        lambda x, y: x ^ y,
        lambda x, y: ~x,
        lambda x, y: x << 1,
        lambda x, y: x >> 1,
    ):
        check(op, None, a, b)


def test_where_in_all_its_forms():
    c, a, b = np.array([[True], [False]]), numbers((2, 3)), numbers((3,), seed=1)
    check(candle.where, torch.where, c, a, b, second=True)
    check(lambda m, x: x.where(m, 0.5), None, c, a)
    for values in ((1.0, 0.0), (1, 2), (1, 2.5)):
        check(lambda m: (torch if isinstance(m, torch.Tensor) else candle).where(m, *values), None, c)
    check(candle.where, torch.where, c, np.array([1, 2]), np.array([0.5, NAN], np.float32), grad=False)
    found = candle.where(candle.tensor(c))
    assert [v.tolist() for v in found] == [v.tolist() for v in torch.where(torch.tensor(c))]
    with pytest.raises(DTypeError):
        candle.where(candle.tensor([1.0]), 1, 2)


def test_a_python_number_takes_the_dtype_of_the_values_not_of_the_condition():
    made = candle.where(candle.tensor([True, False]), candle.tensor([1.0, 2.0]), -1e30)
    assert made.dtype is candle.float32 and made.tolist()[1] == pytest.approx(-1e30)


def test_three_numbers():
    x, a, b = numbers((2, 3)), numbers((3,), low=0.5, seed=1), numbers((2, 1), low=0.5, seed=2)
    for name in ("lerp", "addcmul", "addcdiv"):
        check(*pair(name), x, a, b, second=True)
    check(lambda u, v: u.lerp(v, 0.25), None, x, a, second=True)
    check(lambda u, v: u.lerp(v, 0.75), None, x, a)
    for name in ("addcmul", "addcdiv"):
        check(lambda u, v, w: getattr(u, name)(v, w, value=-0.5), None, x, a, b)
    check(lambda u, v: u.add(v, alpha=2), None, x, a)
    check(lambda u, v: u.sub(v, alpha=0.5), None, x, a)
    check(*pair("rsub"), x, a)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_polygamma(n):
    check(
        lambda x: candle.polygamma(n, x), lambda x: torch.polygamma(n, x), numbers((3,), low=0.3, high=5), second=True, rtol=1e-7
    )
    check(lambda x: x.polygamma(n), None, numbers((2, 0)))
    x = np.array([-0.5, -1.5, -2.3, 1e-5, 20.0])
    check(lambda v: v.polygamma(n), None, x, grad=False, rtol=1e-7)
    with pytest.raises(ShapeError, match="at least 0"):
        candle.polygamma(-1, candle.tensor(1.0))


@pytest.mark.parametrize(
    "name, low, high, worst",
    [
        ("erf", -7, 7, 5e-16),
        ("erfc", -5, 25, 1e-14),
        ("erfinv", -1, 1, 2e-15),
        ("lgamma", 2.5, 170, 1e-14),
        ("lgamma", 0.01, 3, 1e-14),
        ("lgamma", -9.9, 0, 1e-12),
        ("digamma", 0.01, 1.4, 1e-13),
        ("digamma", 1.5, 100, 1e-13),
        ("i0", -60, 60, 1e-14),
    ],
)
def test_special_functions_are_accurate_in_float64(name, low, high, worst):
    x = np.random.default_rng(0).uniform(low, high, 4000)
    ours = getattr(candle, name)(candle.tensor(x)).numpy()
    theirs = getattr(torch, name)(torch.tensor(x)).numpy()
    scale = np.maximum(np.abs(theirs), 1.0) if name in ("lgamma", "digamma") else np.abs(theirs)
    assert np.max(np.abs(ours - theirs) / scale) < worst


def test_lgamma_keeps_its_relative_accuracy_at_its_roots():
    step = 10.0 ** -np.arange(1, 12)
    for root in (1.0, 2.0):
        for x in (root + step, root - step):
            want = torch.lgamma(torch.tensor(x)).numpy()
            np.testing.assert_allclose(candle.lgamma(candle.tensor(x)).numpy(), want, rtol=1e-14)


def test_complex_parts():
    z = numbers((2, 3)) + 1j * numbers((2, 3), seed=1)
    a, b = numbers((2, 3)), numbers((3,), seed=1)
    for ours, theirs in [
        (lambda x: x.real, None), (lambda x: x.imag, None), (lambda x: x.conj(), None), (candle.angle, torch.angle),
        (candle.view_as_real, torch.view_as_real), (candle.conj_physical, torch.conj_physical), (candle.real, torch.real),
        (candle.imag, torch.imag), (candle.abs, torch.abs), (candle.sgn, torch.sgn),
    ]:  # fmt: skip
        check(ours, theirs, z, rtol=1e-9)
    check(candle.complex, torch.complex, a, numbers((2, 3), seed=1), second=True)
    check(candle.polar, torch.polar, np.abs(a), numbers((2, 3), seed=1), second=True)
    check(lambda x, y: candle.complex(x, y), lambda x, y: torch.complex(*torch.broadcast_tensors(x, y)), a, b)
    check(candle.view_as_complex, torch.view_as_complex, numbers((3, 2)), second=True)
    check(candle.angle, torch.angle, np.array([1.0, -1.0, 0.0, -0.0, NAN]))
    check(candle.sgn, torch.sgn, np.array([0j, 3 + 4j, -2]))
    check(candle.abs, torch.abs, np.array([0j, 3 + 4j]))
    with pytest.raises(DTypeError):
        candle.tensor([1.0]).imag  # noqa: B018
    with pytest.raises(ShapeError):
        candle.view_as_complex(candle.zeros(3))


def test_nan_to_num():
    x = np.array([NAN, INF, -INF, 1.0, -0.0])
    for dtype in FLOATS:
        check(candle.nan_to_num, torch.nan_to_num, x.astype(_numpy(dtype)))
    check(lambda v: v.nan_to_num(1.0, posinf=2.0, neginf=-2.0), None, x)
    check(candle.nan_to_num, torch.nan_to_num, np.array([1, 2]))
    check(candle.nan_to_num, torch.nan_to_num, np.array([complex(NAN, INF), 1j]), grad=False)


def test_logit_with_and_without_bounds():
    x = np.array([-0.5, 0.0, 0.2, 0.5, 1.0, 1.5])
    for eps in (None, 0.1, 0.0):
        check(lambda v: v.logit(eps), None, x)


def test_heaviside_and_closeness():
    x = np.array([-1.0, 0.0, -0.0, 2.0, NAN, INF])
    check(candle.heaviside, torch.heaviside, x, np.array(0.5), grad=False)
    check(candle.heaviside, torch.heaviside, np.array([-1, 0, 2]), np.array([5, 6, 7]))
    y = np.array([-1.0, 1e-9, 0.0, 2.00001, NAN, INF])
    for attrs in ({}, {"equal_nan": True}, {"rtol": 0.0}, {"atol": 1.0}):
        check(lambda a, b: a.isclose(b, **attrs), None, x, y, grad=False)
        a, b = candle.tensor(x), candle.tensor(y)
        assert candle.allclose(a, b, **attrs) is torch.allclose(torch.tensor(x), torch.tensor(y), **attrs)
    check(lambda a, b: a.isclose(b), None, np.array([100000, 2]), np.array([100001, 3]))
    assert candle.equal(a, a) is False and candle.equal(a[:4], a[:4]) is True and candle.equal(a, a[:4]) is False


def test_casts_between_all_dtypes():
    x = np.array([0.0, 1.0, 2.7, -1.2, 100.0])
    for source in (*FLOATS, *INTS, "bool"):
        values = np.abs(x) if source == "uint8" else x
        for target in (*FLOATS, *INTS, "bool"):
            if target == "uint8":
                values = np.abs(values)
            check(
                lambda v: v.to(getattr(torch if isinstance(v, torch.Tensor) else candle, target)),
                None,
                values.astype(_numpy(source)),
            )
    z = np.array([1 + 2j, 0, 3])
    assert candle.tensor(z).to(candle.float32).tolist() == [1, 0, 3]
    assert candle.tensor(z).to(candle.bool).tolist() == [True, False, True]


def test_other_names_are_the_same_functions():
    from candle.ops.elementwise import ALIASES

    x = candle.tensor([0.5, 0.25])
    for name, op in ALIASES.items():
        args = (x,) if len(OPS[op].operands) == 1 else (x, x)
        wanted = getattr(candle, op)(*args).numpy()
        for found in (getattr(candle, name)(*args), getattr(x, name)(*args[1:])):
            np.testing.assert_array_equal(found.numpy(), wanted)
    y = candle.tensor([2.0, -2.0])
    y.clip_(0, 1).multiply_(3)
    assert y.tolist() == [3.0, 0.0]
    assert candle.affine(x, 2, 1).tolist() == [2.0, 1.5] and x.round_to(1).tolist() == pytest.approx([0.5, 0.2])


def test_kernels_take_views_with_negative_and_zero_strides():
    base = numbers((6, 5), low=0.2, high=2)
    for view in (base[::-2, ::-1], base.T, np.broadcast_to(base[:1], (4, 5)), base[1:, 2:]):
        for name in ("erf", "lgamma", "erfinv", "digamma", "i0", "round", "sigmoid", "sgn", "pow", "clamp"):
            op = OPS[name]
            operands = [view] * len(op.operands)
            attrs = {"decimals": 0} if name == "round" else {}
            np.testing.assert_array_equal(op.fn(*operands, **attrs), op.fn(*[np.ascontiguousarray(v) for v in operands], **attrs))


class Required(Reference):
    """A backend with the required kernels only: everything else must expand."""

    name = "required_elementwise"

    def kernel(self, op, out, specs, attrs):
        return super().kernel(op, out, specs, attrs) if op.required or op.expand is None else None


candle.register_backend("required_elementwise", Required)
EXPANDED = [op for op in OPS.values() if op.group == "elementwise" and op.expand is not None]


@pytest.mark.parametrize("op", EXPANDED, ids=[op.name for op in EXPANDED])
def test_what_an_op_expands_into_is_the_same(op):
    first = op.inputs[0].letter
    for dtype in op.types[first]:
        if dtype.kind == "s":
            continue
        low, high = op.domain
        low = max(low, 0) if dtype.kind == "u" else low
        shape = (4, 2) if op.inputs[0].dims == ("2",) else (3, 5)
        operands = [
            numbers(shape, dtype.name if dtype.kind != "c" else "float64", low, high, seed=s) for s in range(len(op.operands))
        ]
        if dtype.kind == "c":
            operands = [(v + 1j * numbers(shape, low=-0.7, high=0.7, seed=7)).astype(dtype.numpy) for v in operands]
        _same_expanded(op, operands, dtype)
        if dtype.kind == "f" and op.inputs[0].dims != ("2",):
            grid = [v.ravel().astype(dtype.numpy) for v in np.meshgrid(*[SPECIAL] * len(op.operands))]
            _same_expanded(op, grid, dtype)


def _same_expanded(op, operands, dtype):
    rtol = {"float64": 1e-12, "complex128": 1e-12, "float32": 1e-5, "complex64": 1e-5, "float16": 2e-3, "bfloat16": 1.6e-2}.get(
        dtype.name, 0
    )
    found, wanted = (op(*[candle.tensor(v, device=d) for v in operands]).numpy() for d in ("required_elementwise", "numpy"))
    assert found.dtype == wanted.dtype
    if wanted.dtype.kind in "biu":
        np.testing.assert_array_equal(found, wanted)
    else:
        wide = np.complex128 if wanted.dtype.kind == "c" else np.float64
        tiny = float(np.finfo(np.float32).tiny) if rtol else 0
        np.testing.assert_allclose(found.astype(wide), wanted.astype(wide), rtol=rtol, atol=max(tiny, rtol * 1e-3))
    if wanted.dtype.kind == "f" and op.name not in ("fmax", "fmin"):  # which of two zeros they choose is left open
        zero = (wanted == 0) & (found == 0)
        np.testing.assert_array_equal(np.signbit(found)[zero], np.signbit(wanted)[zero])


def test_bessel_functions_of_the_largest_numbers_are_infinite():
    x = candle.tensor([-1e308, 1e308, 1.7e308], dtype="float64")
    assert x.i0().tolist() == [math.inf] * 3
    assert x.i1().tolist() == [-math.inf, math.inf, math.inf]
