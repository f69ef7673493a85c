"""What decides of a call's kernel: one builder for each op, from specs and attributes to a function of the engine."""

from __future__ import annotations

from typing import Any, Callable, Sequence

from candle import dtype as dt
from candle.dtype import DType
from candle.op import Spec

from .. import _engine
from ..dtypes import code

Builder = Callable[..., Any]
BUILDERS: dict[str, Builder] = {}

UNLOCK = 16384  # from so many elementary steps on a kernel releases the interpreter's lock


def builder(*names: str) -> Callable[[Builder], Builder]:
    """Enter a function ``(out, *specs, **attrs) -> kernel or None`` for some ops."""

    def enter(fn: Builder) -> Builder:
        for name in names:
            BUILDERS[name] = fn
        return fn

    return enter


def results(out: Any) -> list[tuple[tuple[int, ...], int]]:
    """The results' shapes and the engine's numbers of their dtypes."""
    return [(o.shape, code(o.dtype)) for o in (out if isinstance(out, tuple) else (out,))]


def kernel(
    name: str, dtype: DType, out: Spec | Sequence[Spec], operands: int, ints: Any = (), floats: Any = (), work: int = 0
) -> Any:
    """The engine's kernel of a name for a dtype, or None.  ``work`` is about how many elementary steps it does."""
    return _engine.kernel(name, code(dtype), results(out), operands, list(ints), list(floats), work >= UNLOCK)


def wide(dtype: DType) -> DType:
    """What a dtype is computed in: halves in single precision."""
    return dt.float32 if dtype in dt.HALVES else dtype
