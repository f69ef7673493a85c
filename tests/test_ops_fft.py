"""Fourier transforms, short-time transforms and windows against PyTorch and by property."""

from __future__ import annotations

import math

import numpy as np
import pytest
from torch_check import check, same, to_candle, to_torch, torch

import candle
from candle.backend import Backend
from candle.errors import DTypeError, ShapeError
from candle.op import OPS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torch", "ignore:The length of signal")


def numbers(shape, dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, shape)
    if np.dtype(dtype).kind == "c":
        x = x + 1j * rng.uniform(-2, 2, shape)
    return np.asarray(x).astype(dtype)


ONE = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
REAL_ONLY = ("rfft", "ihfft")


def dtypes(name):
    return ["float32", "float64"] if name.startswith(REAL_ONLY) else ["float32", "float64", "complex64", "complex128"]


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("norm", [None, "backward", "ortho", "forward"])
@pytest.mark.parametrize(("n", "dim"), [(None, -1), (3, 0), (4, 1), (8, -2), (1, 2), (7, 2)])
def test_along_one_dimension(name, norm, n, dim):
    for dtype in dtypes(name):
        check(
            lambda x: getattr(candle.fft, name)(x, n, dim, norm),
            lambda x: getattr(torch.fft, name)(x, n, dim, norm),
            numbers((3, 5, 4), dtype),
            second=True,
        )


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("kind", ["2", "n"])
@pytest.mark.parametrize(
    "attrs",
    [
        {},
        {"s": (3, 6)},
        {"s": (5, -1), "dim": (1, 0)},
        {"dim": (0, -1), "norm": "ortho"},
        {"dim": (1,)},
        {"s": (4,), "dim": (0,), "norm": "forward"},
    ],
)
def test_along_many_dimensions(name, kind, attrs):
    ours, theirs = getattr(candle.fft, name + kind), getattr(torch.fft, name + kind)
    for dtype in dtypes(name)[1::2]:
        check(lambda x: ours(x, **attrs), lambda x: theirs(x, **attrs), numbers((3, 5, 4), dtype), second=True)


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("shape", [(1,), (2,), (2, 1, 2, 3, 2, 5)])
def test_edges_of_shapes(name, shape):
    dtype = dtypes(name)[-1]
    n = 4 if shape == (1,) and name in ("irfft", "hfft") else None
    check(lambda x: getattr(candle.fft, name)(x, n), lambda x: getattr(torch.fft, name)(x, n), numbers(shape, dtype))


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("shape", [(0, 4), (2, 0, 3)])
def test_batches_of_none(name, shape):
    x = candle.tensor(numbers(shape, dtypes(name)[-1]), requires_grad=True)
    y = getattr(candle.fft, name)(x)  # PyTorch's library refuses these
    full = getattr(candle.fft, name)(candle.ones(shape[-1], dtype=x.dtype))
    assert y.shape == (*shape[:-1], *full.shape) and y.dtype is full.dtype
    y.abs().sum().backward()
    assert x.grad.shape == shape


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_integers_become_the_default_float(dtype):
    x = (numbers((2, 5)) > 0).astype(dtype)
    for name in ("fft", "rfft", "ihfft"):
        check(getattr(candle.fft, name), getattr(torch.fft, name), x)


def test_views_are_transformed_as_their_copies():
    x = candle.tensor(numbers((6, 8), "float32"), device="numpy")
    for view in (x.T, x[1:5:2], x.flip(1), x[:, None].expand(6, 3, 8)):
        same(candle.fft.fft(view), candle.fft.fft(view.numpy().copy()).numpy())


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9])
def test_frequencies_and_shifts(n):
    for name in ("fftfreq", "rfftfreq"):
        for d in (1.0, 0.25):
            check(lambda: getattr(candle.fft, name)(n, d), lambda: getattr(torch.fft, name)(n, d))
        check(lambda: getattr(candle.fft, name)(n, dtype="float64"), lambda: getattr(torch.fft, name)(n, dtype=torch.float64))
    for name in ("fftshift", "ifftshift"):
        for dim in (None, 0, (1, 0), -1):
            check(lambda x: getattr(candle.fft, name)(x, dim), lambda x: getattr(torch.fft, name)(x, dim), numbers((n, 3)))


@pytest.mark.parametrize("n", [1, 2, 5, 16, 33])
def test_there_and_back(n):
    z = candle.tensor(numbers((3, n), "complex128"), device="numpy")
    for norm in ("backward", "ortho", "forward"):
        same(candle.fft.ifft(candle.fft.fft(z, norm=norm), norm=norm), z.numpy())
        same(candle.fft.irfft(candle.fft.rfft(z.real, norm=norm), n, norm=norm), z.real.numpy())
        same(candle.fft.hfft(candle.fft.ihfft(z.real, norm=norm), n, norm=norm), z.real.numpy())
    power = (candle.fft.fft(z, norm="ortho").abs() ** 2).sum()
    same(power, (z.abs() ** 2).sum().numpy(), 1e-12)


class NoTransforms(Backend):
    """The reference without kernels for transforms: they expand into matrix products."""

    name = "no-transforms"

    def __init__(self):
        base = candle.tensor(0, device="numpy").backend
        self.kernels = {k: v for k, v in base.kernels.items() if k not in ("dft", "rdft", "irdft")}


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_expansions(n):
    bare = NoTransforms()
    for dtype in ("complex64", "complex128"):
        z = numbers((3, n, 2), dtype)
        real = z.real.copy()
        cases = [
            ("dft", z, {"dim": (0, 1), "inverse": False, "scale": 0.5}),
            ("dft", z, {"dim": 1, "inverse": True}),
            ("rdft", real, {"dim": 1, "scale": 2.0}),
            ("irdft", z, {"dim": 1, "length": 2 * n - 1}),
            *([("irdft", z, {"dim": -2, "length": 2 * n - 2})] if n > 1 else []),
        ]
        for name, x, attrs in cases:
            got = OPS[name](candle.tensor(x, device=bare), **attrs)
            same(got, OPS[name](to_candle(x), **attrs).numpy())


# -- short-time ------------------------------------------------------------------------------------

STFT = [
    {"n_fft": 8},
    {"n_fft": 8, "hop_length": 3, "normalized": True},
    {"n_fft": 8, "hop_length": 2, "center": False},
    {"n_fft": 9, "hop_length": 4, "win_length": 6},
    {"n_fft": 8, "hop_length": 2, "win_length": 5, "windowed": True},
    {"n_fft": 8, "hop_length": 4, "onesided": False, "windowed": True},
    {"n_fft": 8, "pad_mode": "constant"},
    {"n_fft": 7, "hop_length": 1, "pad_mode": "replicate"},
    {"n_fft": 1, "hop_length": 1},
]


def window_of(attrs):
    attrs = dict(attrs)
    length = attrs.get("win_length", attrs["n_fft"])
    return attrs, (np.random.default_rng(1).uniform(0.5, 1, length) if attrs.pop("windowed", False) else None)


@pytest.mark.parametrize("attrs", STFT, ids=str)
@pytest.mark.parametrize("shape", [(32,), (3, 25)])
def test_short_time_transforms(attrs, shape):
    attrs, window = window_of(attrs)
    attrs["return_complex"] = True
    if window is None:
        check(lambda x: candle.stft(x, **attrs), lambda x: torch.stft(x, **attrs), numbers(shape), second=True)
    else:
        check(
            lambda x, w: candle.stft(x, window=w, **attrs),
            lambda x, w: torch.stft(x, window=w, **attrs),
            numbers(shape),
            window,
            second=True,
        )


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_short_time_transforms_of_complex_signals(dtype):
    attrs = {"n_fft": 8, "hop_length": 2, "onesided": False, "return_complex": True}
    check(lambda x: x.stft(**attrs), None, numbers((2, 20), dtype))


def test_short_time_transforms_as_pairs_of_real_numbers():
    attrs = {"n_fft": 8, "return_complex": False}
    check(lambda x: candle.stft(x, **attrs), lambda x: torch.view_as_real(torch.stft(x, 8, return_complex=True)), numbers(20))


@pytest.mark.parametrize("length", [None, 20, 30])
@pytest.mark.parametrize(
    "attrs",
    [
        {"n_fft": 8, "hop_length": 2},
        {"n_fft": 8, "hop_length": 3, "normalized": True, "windowed": True},
        {"n_fft": 9, "hop_length": 2, "win_length": 7, "windowed": True},
        {"n_fft": 8, "hop_length": 2, "onesided": False, "windowed": True},
        {"n_fft": 8, "hop_length": 4, "onesided": False, "return_complex": True},
        {"n_fft": 8, "hop_length": 4, "center": False},
    ],
    ids=str,
)
def test_short_time_transforms_back(attrs, length):
    attrs, window = window_of(attrs)
    n = attrs["n_fft"]
    shape = (2, n if attrs.get("onesided") is False else n // 2 + 1, 9)
    z = numbers(shape, "complex128")
    args = (z,) if window is None else (z, window)

    def call(library, x, w=None):
        return library.istft(
            x, window=torch.ones(n, dtype=torch.float64) if w is None and library is torch else w, length=length, **attrs
        )

    if length == 30 and attrs.get("win_length") == 7:  # the last element is under no window
        for library, error, tensors in ((candle, ShapeError, map(to_candle, args)), (torch, RuntimeError, map(to_torch, args))):
            with pytest.raises(error):
                call(library, *tensors)
    else:
        check(lambda *a: call(candle, *a), lambda *a: call(torch, *a), *args, second=True)


def test_a_signal_comes_back():
    x = candle.tensor(numbers((2, 50)), device="numpy")
    w = candle.hann_window(16, dtype="float64")
    z = candle.stft(x, 16, 4, window=w)
    same(candle.istft(z, 16, 4, window=w, length=50), x.numpy())
    same(candle.istft(z[0], 16, 4, window=w, length=50), x[0].numpy())
    same(candle.compile(lambda z, w: candle.istft(z, 16, 4, window=w, length=50))(z, w), x.numpy())


# -- windows ---------------------------------------------------------------------------------------

WINDOWS = ["hann_window", "hamming_window", "blackman_window", "bartlett_window", "kaiser_window"]


@pytest.mark.parametrize("name", WINDOWS)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 8, 101])
@pytest.mark.parametrize("periodic", [True, False])
def test_windows(name, n, periodic):
    for dtype in ("float32", "float64"):
        check(
            lambda: getattr(candle, name)(n, periodic, dtype=dtype),
            lambda: getattr(torch, name)(n, periodic, dtype=getattr(torch, dtype)),
            rtol=1e-6,
        )


def test_windows_with_parameters():
    check(lambda: candle.hamming_window(9, True, 0.6, 0.4), lambda: torch.hamming_window(9, True, 0.6, 0.4))
    check(lambda: candle.kaiser_window(9, False, 5.0), lambda: torch.kaiser_window(9, False, 5.0))
    assert candle.hann_window(4, dtype="float16").dtype is candle.float16


ERRORS = [
    (lambda x: candle.fft.fft(x, norm="other"), DTypeError, "fft.fft's norm"),
    (lambda x: candle.fft.fft(x, n=0), ShapeError, "sizes of at least 1"),
    (lambda x: candle.fft.fft(x.half()), DTypeError, "cast it with .float()"),
    (lambda x: candle.fft.rfft(candle.fft.fft(x)), DTypeError, "fft.rfft takes real tensors"),
    (lambda x: candle.fft.fft(x, dim=2), ShapeError, "fft.fft's dim is from -2 to 1"),
    (lambda x: candle.fft.fftn(x, dim=(0, -2)), ShapeError, "each dimension once"),
    (lambda x: candle.fft.fftn(x, s=(2, 2, 2)), ShapeError, "3 sizes"),
    (lambda x: candle.fft.fftn(x, s=(2,), dim=(0, 1)), ShapeError, "a size for each of 2"),
    (lambda x: candle.fft.irfft(x[:, :1]), ShapeError, "pass n"),
    (lambda x: candle.fft.fft(x[:, :0]), ShapeError, "at least one element"),
    (lambda x: candle.stft(x, 100, center=False), ShapeError, "at least as many elements"),
    (lambda x: candle.stft(x[0], 4, window=candle.ones(3)), ShapeError, "a window of 4 elements"),
    (lambda x: candle.stft(x[0], 4, win_length=5), ShapeError, "win_length is from 1 to n_fft = 4"),
    (lambda x: candle.istft(x, 4), DTypeError, "complex tensor"),
    (lambda x: candle.istft(candle.stft(x, 4), 8), ShapeError, "5 frequencies"),
    (lambda x: candle.istft(candle.stft(x, 4, window=candle.zeros(4)), 4, window=candle.zeros(4)), ShapeError, "leave gaps"),
    (lambda x: candle.hann_window(-1), ShapeError, "at least 0"),
    (lambda x: candle.hann_window(3, dtype="int64"), DTypeError, "gives floats"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[e[2] for e in ERRORS])
def test_errors(call, error, text):
    with pytest.raises(error) as caught:
        call(candle.tensor(numbers((2, 12), "float32"), device="numpy"))
    assert text in str(caught.value)


def test_an_unknown_name_says_what_is_near():
    with pytest.raises(AttributeError, match="did you mean 'rfft'"):
        _ = candle.fft.rftt
    assert {"fft", "rfftn", "ihfft2"} <= set(dir(candle.fft))
    assert math.isclose(float(candle.fft.fft(candle.ones(3))[0].real), 3.0)


# -- the array API's extension ---------------------------------------------------------------------


def standard(x):
    from candle import array_api

    return array_api.asarray(x)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
@pytest.mark.parametrize("name", [*ONE, "fftn", "ifftn", "rfftn", "irfftn"])
def test_the_standards_transforms_are_numpys(name, dtype):
    from candle import array_api

    ours, theirs = getattr(array_api.fft, name), getattr(np.fft, name)
    x = numbers((4, 5), dtype)
    if name in (*REAL_ONLY, "rfftn") and x.dtype.kind == "c":
        with pytest.raises(TypeError, match="takes real floats"):
            ours(standard(x))
        return
    wide = x.astype("complex128" if x.dtype.kind == "c" else "float64")
    along = {"n": 6, "axis": 0} if name in ONE else {"s": (3, 6), "axes": (1, 0)}
    for given in ({}, {"norm": "ortho"}, {**along, "norm": "forward"}):
        got, want = np.asarray(ours(standard(x), **given)), theirs(wide, **given)
        single = dtype in ("float32", "complex64")
        assert got.dtype == (want.dtype if not single else "complex64" if want.dtype.kind == "c" else "float32")
        np.testing.assert_allclose(got, want, rtol=1e-5 if single else 1e-12, atol=1e-5 if single else 1e-12)


def test_the_standards_frequencies_and_shifts_are_numpys():
    from candle import array_api

    for n in (1, 4, 5):
        for name in ("fftfreq", "rfftfreq"):
            got = getattr(array_api.fft, name)(n, d=0.5, dtype=array_api.float64)
            np.testing.assert_allclose(np.asarray(got), getattr(np.fft, name)(n, 0.5), rtol=1e-15)
            assert getattr(array_api.fft, name)(n).dtype is array_api.float32
    x = numbers((3, 4))
    for name in ("fftshift", "ifftshift"):
        for axes in (None, 0, (1, 0), -1):
            assert np.array_equal(getattr(array_api.fft, name)(standard(x), axes=axes), getattr(np.fft, name)(x, axes))


def test_what_the_standards_transforms_refuse():
    from candle.array_api import fft, int64

    x = standard(numbers((3, 4)))
    for call, error, text in (
        (lambda: fft.fft(standard(np.arange(3))), TypeError, "takes floats"),
        (lambda: fft.fftn(x, s=(2, 2)), ValueError, "pass the axes"),
        (lambda: fft.fftshift(x, axes=(0, -2)), ValueError, "an axis may be named once"),
        (lambda: fft.fftfreq(3, dtype=int64), TypeError, "gives float32 or float64"),
        (lambda: fft.fft(numbers((3,))), TypeError, "use asarray"),
    ):
        with pytest.raises(error, match=text):
            call()
