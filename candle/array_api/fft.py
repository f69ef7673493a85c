"""The standard's fft extension: https://data-apis.org/array-api/latest/extensions/fourier_transform_functions.html"""

from __future__ import annotations

from typing import Any, Callable, Sequence

from ..device import resolve
from ..op import FUNCTIONS
from .array import Array, axes_of, standard_dtype, unwrap

# The kinds of numbers each transform takes.
_ALONG = {"fft": "fc", "ifft": "fc", "rfft": "f", "irfft": "fc", "hfft": "fc", "ihfft": "f"}
_OVER = {"fftn": "fc", "ifftn": "fc", "rfftn": "f", "irfftn": "fc"}


def _operand(name: str, x: Any, kinds: str) -> Any:
    t = unwrap(x)
    if t.dtype.kind not in kinds:
        wanted = "real floats" if kinds == "f" else "floats"
        raise TypeError(f"fft.{name} takes {wanted} but was given {t.spec}; use astype")
    return t


def _along(name: str, kinds: str) -> Callable[..., Array]:
    transform = FUNCTIONS[f"fft_{name}"]

    def function(x: Array, /, *, n: int | None = None, axis: int = -1, norm: str = "backward") -> Array:
        return Array(transform(_operand(name, x, kinds), n, axis, norm))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = transform.__doc__
    return function


def _over(name: str, kinds: str) -> Callable[..., Array]:
    transform = FUNCTIONS[f"fft_{name}"]

    def function(
        x: Array, /, *, s: Sequence[int] | None = None, axes: Sequence[int] | None = None, norm: str = "backward"
    ) -> Array:
        if s is not None and axes is None:
            raise ValueError(f"fft.{name} takes axes wherever it takes s; pass the axes that the sizes {tuple(s)} are of")
        return Array(transform(_operand(name, x, kinds), s, axes, norm))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = transform.__doc__
    return function


for _name, _kinds in _ALONG.items():
    globals()[_name] = _along(_name, _kinds)
for _name, _kinds in _OVER.items():
    globals()[_name] = _over(_name, _kinds)


def _frequencies(name: str, n: int, d: float, dtype: Any, device: Any) -> Array:
    wanted = standard_dtype(dtype)
    if wanted is not None and wanted.kind != "f":
        raise TypeError(f"fft.{name} gives float32 or float64 but {wanted} was asked for")
    return Array(FUNCTIONS[f"fft_{name}"](n, d, dtype=wanted, device=resolve(device)))


def fftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Array:
    """The frequency of each element of a transform of n samples, ``d`` apart."""
    return _frequencies("fftfreq", n, d, dtype, device)


def rfftfreq(n: int, /, *, d: float = 1.0, dtype: Any = None, device: Any = None) -> Array:
    """The frequency of each element of half a transform of n real samples, ``d`` apart."""
    return _frequencies("rfftfreq", n, d, dtype, device)


def _shift(name: str, x: Array, axes: int | tuple[int, ...] | None) -> Array:
    t = _operand(name, x, "fc")
    return Array(FUNCTIONS[f"fft_{name}"](t, axes_of(axes, t.ndim, f"fft.{name}'s axes")))


def fftshift(x: Array, /, *, axes: int | tuple[int, ...] | None = None) -> Array:
    """The elements moved so that frequency zero stands in the middle."""
    return _shift("fftshift", x, axes)


def ifftshift(x: Array, /, *, axes: int | tuple[int, ...] | None = None) -> Array:
    """What ``fftshift`` moved, moved back."""
    return _shift("ifftshift", x, axes)


__all__ = [*_ALONG, *_OVER, "fftfreq", "fftshift", "ifftshift", "rfftfreq"]
