"""candle.array_api against NumPy, array-api-strict and the standard's words; `make array-api` runs the official suite."""

from __future__ import annotations

import array
import cmath
import inspect
import itertools
import json
import math
import operator
import subprocess
import sys

import array_api_suite
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import candle
from candle import array_api as xp
from candle.array_api import earlier
from candle.array_api.array import DTYPES, KINDS

BY_KIND = {kind: [d for d in DTYPES if d.kind in letters] for kind, letters in KINDS.items()}
SPECIAL = (0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0, math.inf, -math.inf, math.nan)


def shapes(**limits):
    return hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4, **limits)


def same(ours, theirs):
    ours = np.asarray(ours)
    assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
    np.testing.assert_array_equal(ours, theirs)


# -- the namespace and its versions ----------------------------------------------------------------


def test_every_name_and_parameter_of_the_standard_is_here():
    strict = pytest.importorskip("array_api_strict", reason="array-api-strict has the standard's names and signatures")
    for ours, theirs in ((xp, strict), (xp.linalg, strict.linalg), (xp.fft, strict.fft)):
        names = [n for n in theirs.__all__ if inspect.isfunction(getattr(theirs, n)) and not n.endswith("_flags")]
        assert len(names) > 13
        for name in names:
            found = inspect.signature(getattr(ours, name)).parameters
            for p in inspect.signature(getattr(theirs, name)).parameters.values():
                if p.kind is p.KEYWORD_ONLY:
                    assert p.name in found, f"{ours.__name__}.{name} lacks {p.name}"
                    if type(p.default).__module__ == "builtins":  # array-api-strict has marks of its own for what is not given
                        assert found[p.name].default == p.default, f"{ours.__name__}.{name} has another default for {p.name}"


def test_the_versions_before_2025_give_lists():
    x = xp.arange(3)
    assert x.__array_namespace__() is xp is x.__array_namespace__(api_version="2025.12") and xp.__array_api_version__ == "2025.12"
    old = x.__array_namespace__(api_version="2024.12")
    assert old is earlier.namespace("2024.12") and old.__array_api_version__ == "2024.12" and old.linalg is xp.linalg
    for space, kind in ((xp, tuple), (old, list)):
        assert type(space.meshgrid(x, x)) is type(space.broadcast_arrays(x, x)) is kind
        assert type(space.__array_namespace_info__().devices()) is kind
    with pytest.raises(ValueError, match=r"versions of the standard here are 2021\.12, .* but '2019\.01' was asked for"):
        x.__array_namespace__(api_version="2019.01")


def test_the_devices_start_and_the_dtypes_are_stored():
    info = xp.__array_namespace_info__()
    devices = info.devices()
    assert info.default_device() == devices[0] and len(set(devices)) == len(devices)
    for device in devices:
        for name, dtype in info.dtypes(device=device).items():
            made = xp.zeros(2, dtype=dtype, device=device)
            assert made.device == device and made.dtype is getattr(xp, name) is dtype
    assert info.default_dtypes()["real floating"] is candle.get_default_dtype()


def test_a_device_that_does_not_start_is_not_among_the_devices(monkeypatch):
    def broken():
        raise RuntimeError("no such card")

    registered = sys.modules["candle.device"]._registered
    monkeypatch.setitem(registered, "broken_card", broken)
    assert "broken_card" in sys.modules["candle.device"].names()
    assert "broken_card" not in xp.__array_namespace_info__().devices()


@pytest.mark.parametrize("kind", KINDS)
def test_the_kinds_of_dtypes(kind):
    names = [d.name for d in BY_KIND[kind]]
    info = xp.__array_namespace_info__()
    assert list(info.dtypes(kind=kind)) == list(info.dtypes(kind=(kind,))) == names
    assert [d.name for d in DTYPES if xp.isdtype(d, kind)] == [d.name for d in DTYPES if np.isdtype(d.numpy, kind)] == names
    with pytest.raises(ValueError, match="a kind is one of"):
        info.dtypes(kind="floating")


# -- promotion -------------------------------------------------------------------------------------


# The standard leaves uint64 with signed integers open.
PAIRS = [(a, b) for a, b in itertools.product(DTYPES, DTYPES) if not (xp.uint64 in (a, b) and {a.kind, b.kind} == {"i", "u"})]


@pytest.mark.parametrize("a, b", PAIRS)
def test_promotion_is_numpys_within_a_kind_and_refused_between_kinds(a, b):
    x, y = xp.ones(1, dtype=a), xp.ones(1, dtype=b)
    if a.kind == b.kind or {a.kind, b.kind} in ({"i", "u"}, {"f", "c"}):
        wanted = np.result_type(a.numpy, b.numpy)
        assert xp.result_type(x, b).numpy == wanted
        if a.kind != "b":
            assert (x + y).dtype.numpy == (x * y[0]).dtype.numpy == xp.where(x != x, x, y).dtype.numpy == wanted
        assert xp.can_cast(a, b) is (wanted == b.numpy)
    else:
        assert not xp.can_cast(a, b)
        for mixed in (lambda: x + y, lambda: xp.result_type(a, b), lambda: xp.where(x != x, x, y), lambda: xp.concat([x, y])):
            with pytest.raises(TypeError, match="different kinds"):
                mixed()


@pytest.mark.parametrize("dtype", DTYPES)
def test_python_numbers_take_the_arrays_dtype_or_are_refused(dtype):
    x = xp.ones(2, dtype=dtype)
    admitted = {"b": (True,), "i": (2,), "u": (2,), "f": (2, 2.5), "c": (2, 2.5, 2j)}[dtype.kind]
    for number in (True, 2, 2.5, 2j):
        if number in admitted and type(number) in map(type, admitted):
            assert (x == number).shape == (2,) and xp.result_type(x, number) is dtype
        elif isinstance(number, complex) and dtype.kind == "f":
            assert xp.result_type(x, number) is (x * number).dtype and (x * number).dtype.kind == "c"
        else:
            with pytest.raises(TypeError, match="does not mix"):
                _ = x == number
    if dtype.kind in "iu":
        for outside in (int(xp.iinfo(dtype).max) + 1, int(xp.iinfo(dtype).min) - 1):
            for refused in (operator.add, xp.full_like, lambda x, number: xp.asarray(number, dtype=x.dtype)):
                with pytest.raises(OverflowError, match="outside of"):
                    refused(x, outside)


# -- creation --------------------------------------------------------------------------------------


@given(st.integers(0, 5), st.none() | st.integers(0, 5), st.integers(-8, 8) | st.sampled_from([2**70, -(2**70)]))
def test_eye_has_any_diagonal(n, m, k):
    same(xp.eye(n, m, k=k, dtype=xp.int8), np.eye(n, m, k=max(-9, min(k, 9)), dtype=np.int8))


@given(st.integers(-(2**62), 2**62), st.integers(-20, 20), st.integers(-7, 7).filter(bool))
def test_aranges_of_large_integers_are_exact(start, length, step):
    assert np.asarray(xp.arange(start, start + length, step)).tolist() == list(range(start, start + length, step))


def test_creation_refuses_what_it_cannot_make():
    for call, error, text in (
        (lambda: xp.arange(1, 5, 0), ValueError, "a step other than 0"),
        (lambda: xp.arange(3, dtype=xp.bool), ValueError, "a dtype of numbers"),
        (lambda: xp.zeros(2.5), TypeError, "integer"),
        (lambda: xp.zeros(2, dtype="float16"), TypeError, "the standard has no dtype float16"),
        (lambda: xp.full(2, 1j, dtype=xp.float32), TypeError, "1j is complex, which float32 is not"),
        (lambda: xp.asarray(math.inf, dtype=xp.int8), OverflowError, "inf is outside of int8"),
        (lambda: xp.asarray(2**63), OverflowError, "outside of int64"),
        (lambda: xp.asarray("abc"), TypeError, "made of numbers"),
        (lambda: xp.asarray([1, 2], copy=False), ValueError, "without a copy"),
        (lambda: xp.asarray(np.ones(2), dtype=xp.int8, copy=False), ValueError, "without a copy"),
    ):
        with pytest.raises(error, match=text):
            call()


@pytest.mark.parametrize("make", [bytes, bytearray, lambda v: memoryview(bytes(v)), lambda v: array.array("B", v), np.uint8])
def test_asarray_reads_buffers(make):
    same(xp.asarray(make([1, 2, 255])), np.array([1, 2, 255], np.uint8))


def test_asarray_shares_or_copies_as_it_is_told():
    theirs = np.arange(4.0)
    shared, copied = xp.asarray(theirs, copy=False), xp.asarray(theirs, copy=True)
    assert np.shares_memory(theirs, np.asarray(shared)) and not np.shares_memory(theirs, np.asarray(copied))
    shared[0] = 9.0  # arrays are values: what is shared is never written to
    assert theirs[0] == 0 and float(shared[0]) == 9
    x = xp.arange(3)
    assert xp.asarray(x) is xp.asarray(x, copy=False) is xp.from_dlpack(x) is x and xp.asarray(x, copy=True) is not x


def test_what_is_one_array_changes_as_one():
    x = xp.asarray([1.0, 2.0])
    y, z = xp.asarray(x, copy=False), xp.asarray(x, copy=True)
    y += 1
    y[0] = 7.0
    assert np.asarray(x).tolist() == [7.0, 3.0] and np.asarray(z).tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="keeps the shape"):
        y += xp.ones((3, 2))
    with pytest.raises(TypeError, match="keeps float32"):
        y *= 1j


# -- indexing --------------------------------------------------------------------------------------


@given(st.data())
def test_a_masks_empty_dimensions_pick_nothing(data):
    shape = data.draw(shapes())
    rank = data.draw(st.integers(0, len(shape)))
    mask_shape = tuple([data.draw(st.sampled_from([n, 0])) for n in shape[:rank]])
    mask = data.draw(hnp.arrays(np.bool_, mask_shape))
    x = np.arange(math.prod(shape)).reshape(shape)
    found = xp.asarray(x)[xp.asarray(mask)]
    if mask_shape == shape[:rank]:
        same(found, x[mask])
    else:
        assert found.shape == (0, *shape[rank:])


def test_masks_of_other_sizes_are_refused():
    x = xp.zeros((2, 3))
    for shape in ((3,), (2, 2), (2, 3, 1), (0, 4)):
        with pytest.raises(IndexError):
            x[xp.zeros(shape, dtype=xp.bool)]
    with pytest.raises(TypeError, match="cannot be written into"):
        x[0, :] = xp.ones(3, dtype=xp.float64)


# -- manipulation ----------------------------------------------------------------------------------


@given(st.lists(shapes(), max_size=4))
def test_broadcast_shapes(given_shapes):
    try:
        wanted = np.broadcast_shapes(*given_shapes)
    except ValueError:
        with pytest.raises(ValueError, match="do not broadcast"):
            xp.broadcast_shapes(*given_shapes)
    else:
        assert xp.broadcast_shapes(*given_shapes) == wanted


@given(shapes(), st.lists(st.integers(-7, 7), max_size=3))
def test_expand_dims_takes_several_places(shape, places):
    x = np.zeros(shape, np.int8)
    try:
        wanted = np.expand_dims(x, tuple(places))
    except ValueError as e:  # AxisError is one
        with pytest.raises(IndexError if isinstance(e, IndexError) else ValueError):
            xp.expand_dims(xp.asarray(x), axis=tuple(places))
    else:
        same(xp.expand_dims(xp.asarray(x), axis=tuple(places)), wanted)


@given(st.data())
def test_roll_flip_and_moveaxis(data):
    x = np.arange(24).reshape(2, 3, 4)
    axes = tuple(data.draw(st.permutations(range(3)))[: data.draw(st.integers(1, 3))])
    shifts = tuple([data.draw(st.integers(-9, 9)) for _ in axes])
    ours = xp.asarray(x)
    same(xp.roll(ours, shifts, axis=axes), np.roll(x, shifts, axes))
    same(xp.roll(ours, shifts[0], axis=axes), np.roll(x, shifts[0], axes))
    same(xp.flip(ours, axis=axes), np.flip(x, axes))
    back = tuple([a - 3 for a in reversed(axes)])
    same(xp.moveaxis(ours, axes, back), np.moveaxis(x, axes, back))


def test_reshape_minds_copy():
    x = xp.reshape(xp.arange(6), (2, 3))
    assert np.shares_memory(np.asarray(x), np.asarray(xp.reshape(x, (6,), copy=False)))
    assert not np.shares_memory(np.asarray(x), np.asarray(xp.reshape(x, (6,), copy=True)))
    with pytest.raises(ValueError, match="cannot be reshaped to .* without a copy"):
        xp.reshape(xp.asarray(np.broadcast_to(np.arange(3), (2, 3)), copy=False), (6,), copy=False)


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda x: xp.roll(x, (1, 2), axis=0), ValueError, "as many axes as shifts"),
        (lambda x: xp.broadcast_to(x, (2, -1)), ValueError, "sizes of at least 0"),
        (lambda x: xp.take(x, xp.asarray([0.5]), axis=0), TypeError, "take takes indices of integers"),
        (lambda x: xp.take_along_axis(x, xp.zeros((1, 1))), TypeError, "take_along_axis takes indices of integers"),
        (lambda x: xp.take_along_axis(x, xp.zeros(1, dtype=xp.int64)), ValueError, "as many dimensions"),
        (lambda x: xp.diff(x, n=-1), ValueError, "n=-1"),
        (lambda x: xp.sum(x, axis=(0, -2)), ValueError, "named once"),
        (lambda x: xp.mean(x[0, 0], axis=0), IndexError, "mean"),
        (lambda x: xp.sort(x[0, 0], axis=0), IndexError, "sort"),
        (lambda x: xp.squeeze(x, axis=0), ValueError, "axes of size one"),
        (lambda x: xp.searchsorted(x, 1.0), TypeError, "a vector"),
        (lambda x: xp.searchsorted(x[0, :], 1.0, side="middle"), ValueError, "'left' or 'right'"),
        (lambda x: xp.clip(xp.ones(1, dtype=xp.int8), xp.ones(1, dtype=xp.int64)), TypeError, "int8"),
        (lambda x: xp.astype(xp.ones(1, dtype=xp.complex64), xp.float32), TypeError, "imaginary part"),
        (lambda x: x @ [[1.0], [1.0]], TypeError, "unsupported operand"),
        (lambda x: x[0, :].T, ValueError, "T takes two dimensions"),
        (lambda x: bool(x), TypeError, "without dimensions"),
        (lambda x: list(x[0, 0]), TypeError, "iteration"),
    ],
)
def test_errors_say_what_is_wrong(call, error, text):
    with pytest.raises(error, match=text):
        call(xp.asarray([[1.0, 2.0], [3.0, 4.0]]))


# -- reductions, sets and searches -----------------------------------------------------------------


@given(hnp.arrays(np.float64, shapes(), elements=st.sampled_from([0.0, -0.0, 1.0, 2.0, np.nan])))
def test_sets_hold_each_nan_and_one_zero(x):
    values, first, inverse, counts = xp.unique_all(xp.asarray(x))
    assert counts.shape == values.shape == first.shape and int(xp.sum(counts)) == x.size and inverse.shape == x.shape
    np.testing.assert_array_equal(np.asarray(values)[np.asarray(inverse)], x)
    np.testing.assert_array_equal(x.reshape(-1)[np.asarray(first)], np.asarray(values))
    assert np.count_nonzero(np.isnan(np.asarray(values))) == np.count_nonzero(np.isnan(x))


@given(hnp.arrays(np.int16, shapes(), elements=st.integers(-4, 4)), hnp.arrays(np.int16, shapes(), elements=st.integers(-4, 4)))
def test_isin(x, among):
    for invert in (False, True):
        same(xp.isin(xp.asarray(x), xp.asarray(among), invert=invert), np.asarray(np.isin(x, among, invert=invert)))
    same(xp.isin(xp.asarray(x), 2), np.asarray(np.isin(x, 2)))
    assert bool(xp.isin(2, xp.asarray(among))) == (2 in among)


@given(hnp.arrays(np.int8, st.just((3, 5)), elements=st.integers(0, 3)), st.booleans(), st.integers(-2, 1))
def test_sorts_are_stable_in_both_directions(x, descending, axis):
    order = np.asarray(xp.argsort(xp.asarray(x), axis=axis, descending=descending))
    key = -x.astype(int) if descending else x.astype(int)
    same(order, np.argsort(key, axis=axis, kind="stable"))
    same(xp.sort(xp.asarray(x), axis=axis, descending=descending), np.take_along_axis(x, order, axis))


@pytest.mark.parametrize("dtype", BY_KIND["numeric"])
def test_sums_of_integers_are_wide(dtype):
    x = np.full((3, 100), 100).astype(dtype.numpy)
    wanted = {"i": np.int64, "u": np.uint64}.get(dtype.kind, dtype.numpy)
    for ours, theirs in ((xp.sum, np.sum), (xp.cumulative_sum, np.cumsum)):
        same(ours(xp.asarray(x), axis=1), theirs(x, axis=1, dtype=wanted))
    same(xp.cumulative_sum(xp.asarray(x), axis=0, include_initial=True), np.concatenate([x[:1] * 0, x]).cumsum(0, dtype=wanted))


# -- special values --------------------------------------------------------------------------------

# C's Annex G, which Python's cmath follows, and the standard agree but for: the sign of zeros and infinities where an operand
# is infinite or NaN; acosh and tanh of NaN beside a zero, and tan, which is -i tanh(i x).
OPEN = {"acosh": lambda z: z.real == 0, "tanh": lambda z: z.real == 0, "tan": lambda z: z.imag == 0}


@pytest.mark.parametrize("dtype", [xp.complex64, xp.complex128])
@pytest.mark.parametrize("name", "acos acosh asin asinh atan atanh cos cosh exp log log10 sin sinh sqrt tan tanh".split())
def test_complex_functions_at_special_points_are_cs(name, dtype):
    points = [complex(a, b) for a, b in itertools.product(SPECIAL, SPECIAL)]
    found = np.asarray(getattr(xp, name)(xp.asarray(points, dtype=dtype))).tolist()
    close = {"rel_tol": 1e-13 if dtype is xp.complex128 else 2e-6}
    checked = 0
    for z, ours in zip(points, found):
        try:
            theirs = getattr(cmath, name)(z)
        except (ValueError, OverflowError):
            continue  # Python raises where C gives an infinity or NaN
        if cmath.isnan(z) and name in OPEN and OPEN[name](z):
            continue
        for a, b in ((ours.real, theirs.real), (ours.imag, theirs.imag)):
            if cmath.isnan(z):
                a, b = abs(a), abs(b)  # signs beside a NaN are left open
            assert (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, **close), f"{name}({z}) is {ours}, not {theirs}"
            if cmath.isfinite(z):
                assert math.copysign(1, a) == math.copysign(1, b), f"{name}({z}) is {ours}, not {theirs}"
        checked += 1
    assert checked > 60


@pytest.mark.parametrize("imag", [0.0, 0.5, 1.0, 3.0, 1e30])
def test_tanh_of_infinities_is_one_and_a_zero_of_the_operands_sign(imag):
    for real, sign in itertools.product((math.inf, -math.inf), (1, -1)):
        y = complex(xp.tanh(xp.asarray(complex(real, sign * imag))))
        assert y.real == math.copysign(1, real) and y.imag == 0 and math.copysign(1, y.imag) == sign
        turned = complex(xp.tan(xp.asarray(complex(sign * imag, real))))
        assert turned.imag == math.copysign(1, real) and turned.real == 0 and math.copysign(1, turned.real) == sign


def test_expm1_of_complex_zeros_is_zero():
    for z in (complex(0.0, 0.0), complex(-0.0, 0.0)):
        y = complex(xp.expm1(xp.asarray(z)))
        assert y == 0 and math.copysign(1, y.real) == math.copysign(1, y.imag) == 1


@given(st.complex_numbers(max_magnitude=1e3))
def test_expm1_of_complex_numbers_near_zero_keeps_its_digits(z):
    z = z * 1e-8
    y = complex(xp.expm1(xp.asarray(z, dtype=xp.complex128)))
    series = sum(z**k / math.factorial(k) for k in range(1, 12))
    assert cmath.isclose(y, series, rel_tol=1e-12, abs_tol=1e-300)


@pytest.mark.parametrize("dtype", BY_KIND["real floating"])
def test_floor_division_of_infinities_is_the_floor_of_the_quotient(dtype):
    for a, b in itertools.product(SPECIAL, SPECIAL):
        y = float(xp.floor_divide(xp.asarray(a, dtype=dtype), xp.asarray(b, dtype=dtype)))
        np.testing.assert_equal(y, float(xp.asarray(a, dtype=dtype) // b))
        if math.isnan(a) or math.isnan(b) or (math.isinf(a) and math.isinf(b)) or a == b == 0:
            assert math.isnan(y)
        elif b != 0:
            assert y == (a / b if math.isinf(a) else math.floor(a / b))


def test_signs_of_nan_are_nan():
    assert math.isnan(float(xp.sign(xp.asarray(math.nan)))) and cmath.isnan(complex(xp.sign(xp.asarray(complex(math.nan, 1)))))
    z = complex(xp.sign(xp.asarray(3 + 4j, dtype=xp.complex128)))
    assert cmath.isclose(z, 0.6 + 0.8j)


# -- linear algebra --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [*BY_KIND["real floating"], *BY_KIND["complex floating"]])
def test_eigenvectors_are_only_scaled(dtype):
    x = xp.astype(xp.reshape(xp.sin(xp.arange(32, dtype=xp.float64) ** 2), (2, 4, 4)), dtype)
    values, vectors = found = xp.linalg.eig(x)
    assert found._fields == ("eigenvalues", "eigenvectors") and values.dtype.kind == vectors.dtype.kind == "c"
    left, right = xp.astype(x, vectors.dtype) @ vectors, vectors * xp.expand_dims(values, axis=-2)
    np.testing.assert_allclose(np.asarray(left), np.asarray(right), atol=1e3 * xp.finfo(x.dtype).eps)
    again = np.asarray(xp.linalg.eigvals(x))
    np.testing.assert_allclose(np.sort_complex(again), np.sort_complex(np.asarray(values)), atol=1e3 * xp.finfo(x.dtype).eps)


# -- those who use it ------------------------------------------------------------------------------

CONSUMERS = """
import json, warnings
import numpy as np, scipy.special as special, scipy.stats as stats, sklearn
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.preprocessing import MinMaxScaler, StandardScaler
import candle.array_api as xp

warnings.simplefilter("ignore")
a = np.random.default_rng(0).standard_normal((40, 5))
y = a @ np.arange(5.0)
calls = {
    "PCA": lambda x, y: PCA(3, svd_solver="full").fit(x).transform(x),
    "Ridge": lambda x, y: Ridge(solver="svd").fit(x, y).coef_,
    "StandardScaler": lambda x, y: StandardScaler().fit_transform(x),
    "MinMaxScaler": lambda x, y: MinMaxScaler().fit_transform(x),
    "logsumexp": lambda x, y: special.logsumexp(x, axis=1),
    "softmax": lambda x, y: special.softmax(x, axis=0),
    "zscore": lambda x, y: stats.zscore(x),
    "kurtosis": lambda x, y: stats.kurtosis(x),
    "ttest": lambda x, y: stats.ttest_1samp(x, 0.0).statistic,
    "pearsonr": lambda x, y: stats.pearsonr(x[:, 0], y).statistic,
}
found = {}
for name, call in calls.items():
    with sklearn.config_context(array_api_dispatch=True):
        ours = call(xp.asarray(a), xp.asarray(y))
    found[name] = [type(ours).__name__, float(np.abs(np.asarray(ours) - call(a, y)).max())]
print(json.dumps(found))
"""


def test_scikit_learn_and_scipy_run_over_its_arrays(monkeypatch):
    for peer in ("sklearn", "scipy"):
        pytest.importorskip(peer, reason=f"{peer} takes arrays of the standard")
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    done = subprocess.run([sys.executable, "-c", CONSUMERS], capture_output=True, text=True, check=True)
    for name, (kind, error) in json.loads(done.stdout).items():
        assert kind == "Array" and error < 1e-12, name


def test_gradients_go_through_arrays():
    t = candle.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = xp.asarray(t)
    xp.sum(xp.exp(x) * x)._tensor.backward()
    np.testing.assert_allclose(t.grad.numpy(), np.exp([1.0, 2, 3]) * [2.0, 3, 4], rtol=1e-6)


# -- the official suite's runner -------------------------------------------------------------------


def test_the_runner_wants_a_checkout(tmp_path):
    done = subprocess.run([sys.executable, array_api_suite.__file__, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 2 and "is no checkout of data-apis/array-api-tests" in done.stderr


def test_the_runner_runs_each_version_in_its_namespace():
    for version in earlier.VERSIONS:
        env = array_api_suite.environment("candle.array_api", version, False)
        scope: dict[str, object] = {}
        module = env["ARRAY_API_TESTS_MODULE"]
        space = xp
        if module != "candle.array_api":
            exec(module.removeprefix("exec('").removesuffix("')"), scope)
            space = scope["xp"]
        assert space.__array_api_version__ == version == env["ARRAY_API_TESTS_VERSION"]
    assert earlier.VERSIONS == array_api_suite.VERSIONS
