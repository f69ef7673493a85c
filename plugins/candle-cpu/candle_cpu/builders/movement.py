"""Builders of movement: views of the operand's storage, and copies where there is no view."""

from __future__ import annotations

from typing import Any

from candle.op import Spec

from .. import _engine
from .base import builder


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
