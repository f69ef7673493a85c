"""Discrete Fourier transforms, short-time transforms, and windows for them.

Three ops do the work, and are all that a backend may have kernels for: ``dft`` of complex numbers, ``rdft`` of real ones
into half a spectrum, and ``irdft`` back.  The functions of ``candle.fft`` pad, trim and scale around them.
"""

from __future__ import annotations

import math
from typing import Any, Mapping, Sequence

import numpy as np

from ..dtype import COMPLEX, FLOATS, as_dtype, complex_of, float32, float64, get_default_dtype, int64, real_of
from ..errors import DTypeError, ShapeError
from ..op import OPS, Dim, Dims, Spec, function, normalize_dim, primitive
from .elementwise import cast, complex_

_SINGLES = (float32, float64)


# -- the transforms --------------------------------------------------------------------------------


def _filled(x: Spec, dims: Sequence[int], name: str) -> None:
    for d in dims:
        if x.shape[d] == 0:
            raise ShapeError(f"{name} takes at least one element along the dimension it transforms but was given {x}, dim {d}")


def _dft_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> Mapping[str, Any]:
    _filled(specs[0], attrs["dim"], "a Fourier transform")
    return attrs


def _turns(x: Any, n: int, inverse: bool) -> Any:
    """The matrix of a transform, [n,n]: exp(-2 pi i j k / n), each angle from jk mod n so that it is small."""
    from ..create import arange

    k = arange(n, device=x.backend)
    real = real_of(x.dtype)
    angle = cast((k.unsqueeze(1) * k).remainder(n), dtype=real) * ((2 if inverse else -2) * math.pi / n)
    return complex_(angle.cos(), angle.sin())


def _dft_expand(x: Any, *, dim: Dims, inverse: bool, scale: float) -> Any:
    for d in dim:
        x = (x.movedim(d, -1).unsqueeze(-2) @ _turns(x, x.shape[d], inverse)).squeeze(-2).movedim(-1, d)
    return x * scale if scale != 1 else x


def _transformed(x: Any, attrs: Mapping[str, Any]) -> int:
    return math.prod(x.shape[d] for d in attrs["dim"])


def _spectrum_shape(d: Any) -> tuple[int, ...]:
    return tuple([max(1, min(n, 129)) for n in d.shape(min_dims=1)])


def _dft_sample(d: Any) -> Any:
    shape = _spectrum_shape(d)
    attrs = {"dim": d.dims(shape), "inverse": d.bool(), "scale": d.one([1.0, 0.5])}
    return [d.array(shape, d.dtype(COMPLEX))], attrs


@primitive("T -> T", COMPLEX, method=False, shape=lambda x, **_: x.shape, canon=_dft_canon,
           expand=_dft_expand, sample=_dft_sample,
           vjp=(lambda g, _y, _x, dim, inverse, scale: dft(g, dim=dim, inverse=not inverse, scale=scale),),
           terms=lambda x, **attrs: _transformed(x, attrs), special=False, ulps=16)  # fmt: skip
def dft(x, *, dim: Dims = None, inverse: bool = False, scale: float = 1.0):
    """The Fourier transform along some dimensions, times ``scale``; ``inverse`` turns the other way, and divides by nothing."""
    if not dim:
        return x * x.real.dtype.type(scale)
    y = np.fft.ifftn(x, axes=dim, norm="forward") if inverse else np.fft.fftn(x, axes=dim)
    return y if scale == 1 else y * y.real.dtype.type(scale)


def _rdft_shape(x: Spec, *, dim: int, **_: Any) -> tuple[int, ...]:
    return (*x.shape[:dim], x.shape[dim] // 2 + 1, *x.shape[dim + 1 :])


def _rdft_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> Mapping[str, Any]:
    _filled(specs[0], (attrs["dim"],), "a Fourier transform")
    return attrs


def _rdft_sample(d: Any) -> Any:
    shape = _spectrum_shape(d)
    return [d.array(shape, d.dtype(_SINGLES))], {"dim": d.dim(shape), "scale": d.one([1.0, 0.5])}


def _counts(x: Any, dim: int, length: int) -> Any:
    """How often each element of half a spectrum stands in the whole one: twice but for the ends."""
    from ..create import arange

    k = arange(length // 2 + 1, device=x.backend)
    once = (k == 0) | (k * 2 == length)
    return (2 - cast(once, dtype=real_of(x.dtype))).reshape((-1,) + (1,) * (x.ndim - 1 - dim))


def _rdft_vjp(g: Any, _y: Any, _x: Any, dim: int, scale: float) -> Any:
    n = _x.shape[dim]
    return irdft(g / _counts(g, dim, n), dim=dim, length=n, scale=scale)


def _rdft_expand(x: Any, *, dim: Dim, scale: float) -> Any:
    y = dft(cast(x, dtype=complex_of(x.dtype)), dim=(dim,), scale=scale)
    return y.narrow(dim, 0, x.shape[dim] // 2 + 1)


@primitive("T -> T", _SINGLES, method=False, shape=_rdft_shape, result=lambda x, **_: complex_of(x.dtype), canon=_rdft_canon,
           expand=_rdft_expand, sample=_rdft_sample, vjp=(_rdft_vjp,),
           terms=lambda x, dim, scale: x.shape[dim], special=False, ulps=16)  # fmt: skip
def rdft(x, *, dim: Dim = -1, scale: float = 1.0):
    """The Fourier transform of real numbers along a dimension, times ``scale``: the first n // 2 + 1 elements."""
    return np.fft.rfft(x, axis=dim) * x.dtype.type(scale)


def _irdft_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> Mapping[str, Any]:
    (x,), dim, length = specs, attrs["dim"], attrs["length"]
    if length < 1 or x.shape[dim] != length // 2 + 1:
        raise ShapeError(f"irdft to {length} elements takes {length // 2 + 1} along dim {dim} but was given {x}")
    return attrs


def _irdft_expand(x: Any, *, dim: Dim, length: int, scale: float) -> Any:
    x = x * _counts(x, dim, length)
    pads = (0, 0) * (x.ndim - 1 - dim) + (0, length - x.shape[dim])
    return dft(x.pad(pads), dim=(dim,), inverse=True, scale=scale).real


def _irdft_sample(d: Any) -> Any:
    shape = list(_spectrum_shape(d))
    dim = d.dim(shape)
    length = 2 * shape[dim] - d.int(1, 2) if shape[dim] > 1 else 1
    return [d.array(tuple(shape), d.dtype(COMPLEX))], {"dim": dim, "length": length, "scale": d.one([1.0, 0.5])}


@primitive("T -> T", COMPLEX, method=False, shape=lambda x, *, dim, length, scale: (*x.shape[:dim], length, *x.shape[dim + 1 :]),
           result=lambda x, **_: real_of(x.dtype), canon=_irdft_canon, expand=_irdft_expand, sample=_irdft_sample,
           vjp=(lambda g, _y, _x, dim, length, scale: rdft(g, dim=dim, scale=scale) * _counts(_x, dim, length),),
           terms=lambda x, **attrs: attrs["length"], special=False, ulps=16)  # fmt: skip
def irdft(x, *, dim: Dim = -1, length: int, scale: float = 1.0):
    """Real numbers from half a spectrum, turned back and divided by nothing, times ``scale``."""
    return np.fft.irfft(x, n=length, axis=dim, norm="forward") * x.real.dtype.type(scale)


# -- PyTorch's functions ---------------------------------------------------------------------------


def _norm(name: str, norm: Any, count: int, inverse: bool) -> float:
    if norm not in (None, "backward", "ortho", "forward"):
        raise DTypeError(f"fft.{name}'s norm is 'backward', 'ortho' or 'forward' but {norm!r} was given")
    if norm == "ortho":
        return 1 / math.sqrt(count)
    return 1 / count if (norm == "forward") != inverse else 1.0


def _sized(x: Any, dims: Sequence[int], sizes: Sequence[int]) -> Any:
    """x padded with zeros, or cut, to some sizes."""
    for d, n in zip(dims, sizes):
        if n < x.shape[d]:
            x = x.narrow(d, 0, n)
        elif n > x.shape[d]:
            x = x.pad((0, 0) * (x.ndim - 1 - d) + (0, n - x.shape[d]))
    return x


def _plan(name: str, x: Any, s: Any, dim: Any) -> tuple[list[int], list[int | None]]:
    """The dimensions of an n-d transform in the order given, and the wanted size of each (None: as it is)."""
    sizes = None if s is None else [s] if isinstance(s, int) else list(s)
    if dim is None:
        count = x.ndim if sizes is None else len(sizes)
        if count > x.ndim:
            raise ShapeError(f"fft.{name} was given {count} sizes for {x.spec}")
        dims = list(range(x.ndim - count, x.ndim))
    else:
        given = [dim] if isinstance(dim, int) else dim
        dims = [normalize_dim(d, x.ndim, f"fft.{name}'s dim") for d in given]
    if len(set(dims)) < len(dims):
        raise ShapeError(f"fft.{name} transforms each dimension once but was given dim={dim}")
    if sizes is not None and len(sizes) != len(dims):
        raise ShapeError(f"fft.{name} takes a size for each of {len(dims)} dimensions but was given {s}")
    wanted = [None if n is None or n == -1 else int(n) for n in sizes or [None] * len(dims)]
    if any(n is not None and n < 1 for n in wanted):
        raise ShapeError(f"fft.{name} takes sizes of at least 1 but was given {s}")
    return dims, wanted


def _inexact(name: str, x: Any) -> Any:
    if not hasattr(x, "spec"):
        from ..create import as_tensor

        x = as_tensor(x)
    if x.dtype.kind in "biu":
        return x.to(dtype=get_default_dtype())
    if x.dtype not in (*_SINGLES, *COMPLEX):
        raise DTypeError(f"fft.{name} takes float32, float64 and complex tensors but was given {x.spec}; cast it with .float()")
    return x


def _whole(name: str, x: Any, s: Any, dim: Any, norm: Any, inverse: bool) -> Any:
    x = _inexact(name, x)
    dims, wanted = _plan(name, x, s, dim)
    sizes = [x.shape[d] if n is None else n for d, n in zip(dims, wanted)]
    x = _sized(x, dims, sizes)
    scale = _norm(name, norm, math.prod(sizes), inverse)
    return dft(cast(x, dtype=complex_of(x.dtype)) if x.dtype.kind != "c" else x, dim=tuple(dims), inverse=inverse, scale=scale)


def _to_half(name: str, x: Any, s: Any, dim: Any, norm: Any, inverse: bool) -> Any:
    """Real numbers into half a spectrum along the last of the dimensions, then along the others."""
    x = _inexact(name, x)
    if x.dtype.kind == "c":
        raise DTypeError(f"fft.{name} takes real tensors but was given {x.spec}; use fft.{'i' if inverse else ''}fftn or .real")
    dims, wanted = _plan(name, x, s, dim)
    if not dims:
        raise ShapeError(f"fft.{name} transforms at least one dimension but was given {x.spec}, dim={dim}")
    sizes = [x.shape[d] if n is None else n for d, n in zip(dims, wanted)]
    scale = _norm(name, norm, math.prod(sizes), inverse)
    y = rdft(_sized(x, dims, sizes), dim=dims[-1], scale=scale)
    if inverse:
        y = y.conj()
    return dft(y, dim=tuple(dims[:-1]), inverse=inverse) if dims[:-1] else y


def _from_half(name: str, x: Any, s: Any, dim: Any, norm: Any, inverse: bool) -> Any:
    """Half a spectrum along the last of the dimensions into real numbers, after the others."""
    x = _inexact(name, x)
    x = x if x.dtype.kind == "c" else cast(x, dtype=complex_of(x.dtype))
    dims, wanted = _plan(name, x, s, dim)
    if not dims:
        raise ShapeError(f"fft.{name} transforms at least one dimension but was given {x.spec}, dim={dim}")
    length = 2 * (x.shape[dims[-1]] - 1) if wanted[-1] is None else wanted[-1]
    if length < 1:
        raise ShapeError(f"fft.{name} gives at least one element but would give {length} of {x.spec}; pass n (or s)")
    sizes = [x.shape[d] if n is None else n for d, n in zip(dims, wanted)]
    x = _sized(x, dims, [*sizes[:-1], length // 2 + 1])
    if dims[:-1]:
        x = dft(x, dim=tuple(dims[:-1]), inverse=inverse)
    scale = _norm(name, norm, math.prod(sizes[:-1]) * length, inverse)
    return irdft(x if inverse else x.conj(), dim=dims[-1], length=length, scale=scale)


_KINDS = {
    "fft": (_whole, False, "The Fourier transform"),
    "ifft": (_whole, True, "The inverse Fourier transform"),
    "rfft": (_to_half, False, "Half the Fourier transform of real numbers"),
    "irfft": (_from_half, True, "The real numbers that half a spectrum is the Fourier transform of"),
    "hfft": (_from_half, False, "The real Fourier transform of half a signal whose other half mirrors its conjugate"),
    "ihfft": (_to_half, True, "Half the inverse Fourier transform of real numbers"),
}


def _declare(kind: str) -> None:
    work, inverse, what = _KINDS[kind]

    def one(input: Any, n: Any = None, dim: int = -1, norm: Any = None) -> Any:
        return work(kind, input, None if n is None else (n,), (dim,), norm, inverse)

    def two(input: Any, s: Any = None, dim: Any = (-2, -1), norm: Any = None) -> Any:
        return work(kind + "2", input, s, dim, norm, inverse)

    def many(input: Any, s: Any = None, dim: Any = None, norm: Any = None) -> Any:
        return work(kind + "n", input, s, dim, norm, inverse)

    over = (
        (one, "", "along one dimension, padded or cut to ``n`` elements"),
        (two, "2", "along two dimensions, padded or cut to the sizes ``s``"),
        (many, "n", "along some dimensions (by default all), padded or cut to the sizes ``s``"),
    )
    for fn, suffix, how in over:
        fn.__name__ = fn.__qualname__ = f"fft_{kind}{suffix}"
        fn.__doc__ = f"{what} {how}; ``norm`` is backward, ortho or forward."
        function(method=False)(fn)


for _kind in _KINDS:
    _declare(_kind)


@function(method=False)
def fft_fftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """The frequency of each element of a transform of n samples, ``d`` apart: 0, 1, ..., -2, -1 over n d."""
    from ..create import arange

    k = arange(n, device=device)
    k = k - (k >= (n + 1) // 2).to(dtype=int64) * n
    return k.to(dtype=as_dtype(dtype) if dtype is not None else get_default_dtype()) * (1 / (n * d))


@function(method=False)
def fft_rfftfreq(n: int, d: float = 1.0, *, dtype: Any = None, device: Any = None) -> Any:
    """The frequency of each element of half a transform of n real samples, ``d`` apart."""
    from ..create import arange

    k = arange(n // 2 + 1, device=device)
    return k.to(dtype=as_dtype(dtype) if dtype is not None else get_default_dtype()) * (1 / (n * d))


def _shifted(x: Any, dim: Any, inverse: bool) -> Any:
    dims = range(x.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    at = [normalize_dim(d, x.ndim, "fftshift's dim") for d in dims]
    return x.roll(tuple([-(x.shape[d] // 2) if inverse else x.shape[d] // 2 for d in at]), tuple(at)) if at else x


@function(method=False)
def fft_fftshift(input: Any, dim: Any = None) -> Any:
    """The elements moved so that frequency zero stands in the middle."""
    return _shifted(input, dim, False)


@function(method=False)
def fft_ifftshift(input: Any, dim: Any = None) -> Any:
    """What ``fftshift`` moved, moved back."""
    return _shifted(input, dim, True)


# -- short-time transforms -------------------------------------------------------------------------


def _window(name: str, window: Any, n_fft: int, win_length: Any) -> Any:
    """The window in the middle of n_fft elements, or None for one of ones."""
    length = n_fft if win_length is None else win_length
    if not 0 < length <= n_fft:
        raise ShapeError(f"{name}'s win_length is from 1 to n_fft = {n_fft} but {length} was given")
    if window is not None and window.shape != (length,):
        raise ShapeError(f"{name} takes a window of {length} elements but was given {window.spec}")
    left = (n_fft - length) // 2
    if window is None:
        return None if length == n_fft else (left, length)
    return window if length == n_fft else window.pad((left, n_fft - length - left))


def _windowed(frames: Any, window: Any, n_fft: int) -> Any:
    if window is None:
        return frames
    return frames * (_box(frames, window, n_fft) if isinstance(window, tuple) else window)


def _box(like: Any, span: tuple[int, int], n_fft: int) -> Any:
    left, length = span
    return like.new_ones((length,), dtype=real_of(like.dtype)).pad((left, n_fft - length - left))


def _hop(name: str, n_fft: int, hop_length: Any) -> int:
    hop = n_fft // 4 if hop_length is None else hop_length
    if n_fft < 1 or hop < 1:
        raise ShapeError(f"{name} takes n_fft and hop_length of at least 1 but was given {n_fft} and {hop}")
    return int(hop)


@function()
def stft(
    input: Any,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Any = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
) -> Any:
    """The Fourier transforms of windows of a signal [n] or [batch, n], ``hop_length`` apart: [.., frequencies, windows].

    ``center`` pads the signal so that the first window's middle lies on the first element; ``normalized`` divides by the
    root of n_fft; ``onesided`` (for real signals the default) leaves out the frequencies that mirror others.
    ``return_complex=False`` gives real and imaginary parts in a last dimension of two.
    """
    x = _inexact("stft", input)
    hop = _hop("stft", n_fft, hop_length)
    if x.ndim not in (1, 2):
        raise ShapeError(f"stft takes a signal [n] or [batch, n] but was given {x.spec}")
    window = _window("stft", window, n_fft, win_length)
    real = x.dtype.kind != "c" and not (hasattr(window, "dtype") and window.dtype.kind == "c")
    onesided = real if onesided is None else onesided
    if onesided and not real:
        raise DTypeError("stft's onesided is for real signals and windows but a complex one was given; pass onesided=False")
    batch = x.reshape((1, -1)) if x.ndim == 1 else x
    if center:
        batch = batch.pad((n_fft // 2, n_fft // 2), pad_mode)
    if batch.shape[1] < n_fft:
        raise ShapeError(f"stft with n_fft={n_fft} takes at least as many elements but was given {x.spec}")
    frames = _windowed(batch.unfold(1, n_fft, hop), window, n_fft)
    scale = 1 / math.sqrt(n_fft) if normalized else 1.0
    if onesided:
        y = rdft(frames, dim=-1, scale=scale)
    else:
        y = dft(frames if frames.dtype.kind == "c" else cast(frames, dtype=complex_of(frames.dtype)), dim=(2,), scale=scale)
    y = y.transpose(1, 2)
    y = y[0] if x.ndim == 1 else y
    return OPS["view_as_real"](y) if return_complex is False else y


def _overlapped(frames: Any, hop: int) -> Any:
    """The sum [batch, n] of windows [batch, windows, size], each ``hop`` after the one before."""
    if frames.dtype.kind == "c":
        return complex_(_overlapped(frames.real, hop), _overlapped(frames.imag, hop))
    b, t, n = frames.shape
    length = n + hop * (t - 1)
    images = OPS["fold"](frames.transpose(1, 2), output_size=(1, length), kernel_size=(1, n), stride=(1, hop))
    return images.reshape((b, length))


@function()
def istft(
    input: Any,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Any = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Any:
    """The signal whose short-time transform is nearest to a given one, [.., frequencies, windows]; see ``stft``.

    D. W. Griffin, J. S. Lim: Signal estimation from modified short-time Fourier transform.  IEEE Trans. ASSP 32 (1984).
    Raises ShapeError where windows leave gaps, so that part of the signal is not told.
    """
    if input.dtype.kind != "c":
        raise DTypeError(f"istft takes a complex tensor but was given {input.spec}; use view_as_complex")
    if input.ndim not in (2, 3) or not input.shape[-1]:
        raise ShapeError(f"istft takes [frequencies, windows] or [batch, frequencies, windows] but was given {input.spec}")
    hop = _hop("istft", n_fft, hop_length)
    window = _window("istft", window, n_fft, win_length)
    x = input if input.ndim == 3 else input.unsqueeze(0)
    onesided = (x.shape[1] != n_fft) if onesided is None else onesided
    if x.shape[1] != (n_fft // 2 + 1 if onesided else n_fft):
        raise ShapeError(
            f"istft with n_fft={n_fft} takes {n_fft // 2 + 1 if onesided else n_fft} frequencies but was given {input.spec}"
        )
    if return_complex and onesided:
        raise DTypeError("istft gives a complex signal of whole spectra only; pass onesided=False")
    scale = 1 / math.sqrt(n_fft) if normalized else 1 / n_fft
    frames = x.transpose(1, 2)
    if return_complex:
        frames = dft(frames, dim=(2,), inverse=True, scale=scale)
    else:  # the other half of a whole spectrum is not looked at
        frames = irdft(frames[..., : n_fft // 2 + 1], dim=-1, length=n_fft, scale=scale)
    t = frames.shape[1]
    y = _overlapped(_windowed(frames, window, n_fft), hop)
    if window is None:
        window = (0, n_fft)
    weight = _box(frames, window, n_fft) if isinstance(window, tuple) else window
    energy = _overlapped((weight * weight).expand((1, t, n_fft)), hop)
    start = n_fft // 2 if center else 0
    whole = y.shape[1]
    stop = start + length if length is not None else whole - start
    stop = max(start, min(stop, whole))
    y, energy = y[:, start:stop], energy[:, start:stop]
    if energy.backend.name != "trace" and stop > start and float(energy.detach().abs().amin()) < 1e-11:
        raise ShapeError("istft's windows leave gaps in the signal; take a smaller hop_length or a window without zeros")
    y = y / energy
    if length is not None and y.shape[1] < length:
        y = y.pad((0, length - y.shape[1]))
    return y if input.ndim == 3 else y[0]


# -- windows ---------------------------------------------------------------------------------------


def _phase(name: str, window_length: int, periodic: bool, dtype: Any, device: Any) -> tuple[Any, Any, int]:
    """0, 1, ... in a dtype good enough to compute in, the dtype wanted, and the window's period."""
    from ..create import arange

    if window_length < 0:
        raise ShapeError(f"{name}'s window_length is at least 0 but {window_length} was given")
    wanted = get_default_dtype() if dtype is None else as_dtype(dtype)
    if wanted not in FLOATS:
        raise DTypeError(f"{name} gives floats but was asked for {wanted}")
    n = arange(window_length, dtype=float64 if wanted is float64 else float32, device=device)
    return n, wanted, window_length if periodic else window_length - 1


def _cosines(name: str, weights: Sequence[float], window_length: int, periodic: bool, dtype: Any, device: Any) -> Any:
    """The sum of cosines of whole periods over the window, with alternating signs."""
    n, wanted, period = _phase(name, window_length, periodic, dtype, device)
    if window_length == 1:
        y = n + 1
    else:
        angle = n * (2 * math.pi / max(period, 1))
        y = n * 0 + weights[0]
        for k, w in enumerate(weights[1:], 1):
            y = y + (angle * k).cos() * (-w if k % 2 else w)
    return y.to(dtype=wanted)


@function(method=False)
def hann_window(window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None) -> Any:
    """sin(pi n / N)^2, N the length, or one less where not ``periodic``."""
    return _cosines("hann_window", (0.5, 0.5), window_length, periodic, dtype, device)


@function(method=False)
def hamming_window(
    window_length: int, periodic: bool = True, alpha: float = 0.54, beta: float = 0.46, *, dtype: Any = None, device: Any = None
) -> Any:
    """alpha - beta cos(2 pi n / N)."""
    return _cosines("hamming_window", (alpha, beta), window_length, periodic, dtype, device)


@function(method=False)
def blackman_window(window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None) -> Any:
    """0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N)."""
    return _cosines("blackman_window", (0.42, 0.5, 0.08), window_length, periodic, dtype, device)


@function(method=False)
def bartlett_window(window_length: int, periodic: bool = True, *, dtype: Any = None, device: Any = None) -> Any:
    """A triangle: 1 - |2 n / N - 1|."""
    n, wanted, period = _phase("bartlett_window", window_length, periodic, dtype, device)
    y = n + 1 if window_length == 1 else 1 - (n * (2 / max(period, 1)) - 1).abs()
    return y.to(dtype=wanted)


@function(method=False)
def kaiser_window(window_length: int, periodic: bool = True, beta: float = 12.0, *, dtype: Any = None, device: Any = None) -> Any:
    """I0(beta sqrt(1 - (2 n / N - 1)^2)) / I0(beta): the most energy in its main lobe, nearly."""
    n, wanted, period = _phase("kaiser_window", window_length, periodic, dtype, device)
    if window_length == 1:
        return (n + 1).to(dtype=wanted)
    r = n * (2 / max(period, 1)) - 1
    y = OPS["i0"]((1 - r * r).clamp(0).sqrt() * beta) / OPS["i0"](n * 0 + beta)
    return y.to(dtype=wanted)
