"""Fourier transforms, windows, mel filters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import candle
from candle import Tensor

from ..errors import OnnxError
from ..table import Host, operator
from ..values import dtype_of


@operator("DFT", since=17)
def dft_by_attribute(x: Tensor, length: Host = None, *, axis: int = 1, inverse: int = 0, onesided: int = 0) -> Tensor:
    return _dft(x, length, axis, inverse, onesided)


@operator("DFT", since=20)
def dft(x: Tensor, length: Host = None, axis: Host = None, *, inverse: int = 0, onesided: int = 0) -> Tensor:
    return _dft(x, length, -2 if axis is None else int(np.asarray(axis).reshape(-1)[0]), inverse, onesided)


def _sized(x: Tensor, axis: int, n: int) -> Tensor:
    have = x.shape[axis]
    if n <= have:
        return x.narrow(axis, 0, n)
    edge = [0] * x.ndim
    edge[axis] = n - have
    return candle.constant_pad(x, [0] * x.ndim, edge, 0)


def _dft(x: Tensor, length: Any, axis: int, inverse: int, onesided: int) -> Tensor:
    """The last dimension holds real and imaginary parts, or the real part alone."""
    axis %= x.ndim
    kind = x.dtype
    wide = x if kind.itemsize >= 4 else x.float()
    n = x.shape[axis] if length is None else int(np.asarray(length).reshape(-1)[0])
    if inverse and onesided:  # half a spectrum, whose other half is its mirror image
        n = 2 * (x.shape[axis] - 1) if length is None else n
        spectrum = candle.complex(wide[..., 0], wide[..., 1])
        return candle.fft.irfft(spectrum, n, axis).unsqueeze(-1).to(dtype=kind)
    wide = _sized(wide, axis, n)
    z = candle.complex(wide[..., 0], wide[..., 1] if x.shape[-1] == 2 else candle.zeros_like(wide[..., 0]))
    z = candle.fft.ifft(z, dim=axis) if inverse else candle.fft.fft(z, dim=axis)
    if onesided:
        z = z.narrow(axis, 0, n // 2 + 1)
    return candle.stack([candle.real(z), candle.imag(z)], dim=-1).to(dtype=kind)


@operator("STFT", since=17)
def stft(x: Tensor, step: Host, window: Tensor | None = None, length: Host = None, *, onesided: int = 1) -> Tensor:
    hop = int(np.asarray(step).reshape(-1)[0])
    if length is not None:
        n = int(np.asarray(length).reshape(-1)[0])
    else:
        n = window.shape[0] if window is not None else x.shape[1]
    frames = (x.shape[1] - n) // hop + 1
    if frames < 1 or hop < 1:
        raise OnnxError(f"STFT takes frames of {n} every {hop} but the signal has {x.shape[1]} samples")
    cut = candle.stack([x.narrow(1, i * hop, n) for i in range(frames)], dim=1)  # [b, frames, n, 1 or 2]
    if window is not None:
        cut = cut * window.reshape((1, 1, n, 1))
    return _dft(cut, None, 2, 0, onesided)


def _window(name: str, terms: tuple[float, ...]) -> None:
    @operator(name)
    def run(size: Host, *, output_datatype: int = 1, periodic: int = 1) -> Tensor:
        n = int(np.asarray(size).reshape(-1)[0])
        over = n if periodic else n - 1
        angle = 2 * math.pi * np.arange(n) / max(over, 1)
        y = sum((-1) ** k * a * np.cos(k * angle) for k, a in enumerate(terms))
        return candle.tensor(np.asarray(y)).to(dtype=dtype_of(output_datatype))


_window("HannWindow", (0.5, 0.5))
_window("HammingWindow", (25 / 46, 21 / 46))
_window("BlackmanWindow", (0.42, 0.5, 0.08))


@operator("MelWeightMatrix")
def mel_weight_matrix(bins: Host, length: Host, rate: Host, low: Host, high: Host, *, output_datatype: int = 1) -> Tensor:
    """Triangles between equal steps of the mel scale, each peaking at 1."""
    count, n, hertz, first, last = (float(np.asarray(v).reshape(-1)[0]) for v in (bins, length, rate, low, high))
    lowest, highest = (2595 * math.log10(1 + f / 700) for f in (first, last))
    edges = lowest + np.arange(int(count) + 2) * (highest - lowest) / (int(count) + 2)  # so that none lies at the upper end
    places = np.floor((int(n) + 1) * (700 * (10 ** (edges / 2595) - 1)) / hertz).astype(int)
    made = np.zeros((int(n) // 2 + 1, int(count)))
    for i in range(int(count)):
        a, b, c = places[i : i + 3]
        if a == b:
            made[b, i] = 1
        else:
            up = np.arange(a, b + 1)
            made[up, i] = (up - a) / (b - a)
        if c > b:
            down = np.arange(b, c)
            made[down, i] = (c - down) / (c - b)
    return candle.tensor(made).to(dtype=dtype_of(output_datatype))
