"""The exceptions candle raises: one per kind, each saying what was wanted, what was given and what to do."""

from __future__ import annotations

__all__ = [
    "BackendError",
    "CandleError",
    "CaptureError",
    "DTypeError",
    "DeviceError",
    "DimError",
    "FormatError",
    "GradientError",
    "KernelError",
    "LinAlgError",
    "PluginError",
    "ShapeError",
]


class CandleError(Exception):
    """Whatever candle itself raises."""


class ShapeError(CandleError, ValueError):
    """Operands whose shapes do not fit the op or each other."""


class DimError(ShapeError, IndexError):
    """A dimension or an index outside its range."""


class DTypeError(CandleError, TypeError):
    """A dtype that an op does not take, or dtypes that have no common one."""


class DeviceError(CandleError, ValueError):
    """Operands on different devices, or a malformed device name."""


class BackendError(CandleError, LookupError):
    """A device, format, command or model that no installed plugin offers, or whose plugin failed to load."""


class KernelError(CandleError, NotImplementedError):
    """An op that a backend has no kernel for and that has no expansion."""


class LinAlgError(CandleError, RuntimeError):
    """A matrix that an operation can do nothing with: singular, not positive-definite, without convergence."""


class GradientError(CandleError, RuntimeError):
    """A gradient that cannot be had: an untracked tensor, a freed tape, an op without one."""


class CaptureError(CandleError, RuntimeError):
    """A function that cannot be written down as one graph, or a graph that cannot be run."""


class FormatError(CandleError, ValueError):
    """A file that is not what it claims to be: truncated, malformed, hostile."""


class PluginError(CandleError, RuntimeError):
    """A plugin that is broken or was made for another version of candle."""
