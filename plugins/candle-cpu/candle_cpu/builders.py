"""What decides of a call's kernel: one builder for each op, from specs and attributes to a function of the engine."""

from __future__ import annotations

from typing import Any, Callable

from candle.op import Spec

from . import _engine
from .dtypes import code

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
    return [(o.shape, code(o.dtype)) for o in (out if isinstance(out, tuple) else (out,))]


def kernel(name: str, dtype: Any, out: Any, operands: int, ints: Any = (), floats: Any = (), work: int = 0) -> Any:
    """The engine's kernel of a name for a dtype, or None.  ``work`` is about how many elementary steps it does."""
    return _engine.kernel(name, code(dtype), results(out), operands, list(ints), list(floats), work >= UNLOCK)


@builder("alias")
def alias(out: Spec, x: Spec) -> Any:
    return _engine.same


@builder("reshape")
def reshape(out: Spec, x: Spec, *, shape: tuple[int, ...]) -> Any:
    return _engine.reshaper(out.shape)


@builder("permute")
def permute(out: Spec, x: Spec, *, dims: tuple[int, ...]) -> Any:
    return _engine.strided(out.shape, [v for d in dims for v in (d, 1, -1, 0)], [0] * x.ndim)


@builder("expand")
def expand(out: Spec, x: Spec, *, shape: tuple[int, ...]) -> Any:
    new = out.ndim - x.ndim
    along = [v for i in range(out.ndim) for v in ((i - new, 1) if i >= new and x.shape[i - new] != 1 else (-1, 0)) + (-1, 0)]
    return _engine.strided(out.shape, along, [0] * x.ndim)


@builder("slice")
def slice_(out: Spec, x: Spec, *, starts: Any, stops: Any, steps: Any) -> Any:
    empty = 0 in out.shape
    return _engine.strided(
        out.shape, [v for d, s in enumerate(steps) for v in (d, s, -1, 0)], [0] * x.ndim if empty else list(starts)
    )
