"""Builders of selection, joining and padding, of constants, and of random bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from candle import dtype as dt
from candle.op import OPS, Spec

from ..dtypes import from_array
from .base import BUILDERS, builder, kernel

_ADDED = (*dt.INTEGERS, dt.float32, dt.float64)


@builder("index_select")
def index_select(out: Spec, x: Spec, index: Spec, *, dim: int) -> Any:
    return kernel("index_select", x.dtype, out, 2, [dim], work=out.size) if x.ndim else None


@builder("embedding")
def embedding(out: Spec, weight: Spec, ids: Spec) -> Any:
    return kernel("embedding", weight.dtype, out, 2, work=out.size)


@builder("gather")
def gather(out: Spec, x: Spec, index: Spec, *, dim: int) -> Any:
    return kernel("gather", x.dtype, out, 2, [dim], work=out.size * 4) if x.ndim and x.ndim == index.ndim else None


@builder("scatter_add")
def scatter_add(out: Spec, x: Spec, index: Spec, src: Spec, *, dim: int) -> Any:
    if not x.ndim or not x.ndim == index.ndim == src.ndim or x.dtype not in _ADDED:
        return None
    return kernel("scatter_add", x.dtype, out, 3, [dim], work=out.size + index.size * 4)


@builder("index_add")
def index_add(out: Spec, x: Spec, index: Spec, source: Spec, *, dim: int, alpha: Any) -> Any:
    if not x.ndim or x.dtype not in _ADDED or (alpha != 1 and x.dtype.kind != "f"):
        return None
    return kernel("index_add", x.dtype, out, 3, [dim], [alpha], work=out.size + source.size)


@builder("cat")
def cat(out: Spec, *xs: Spec, dim: int) -> Any:
    if any(x.ndim != out.ndim for x in xs):
        return None
    return kernel("cat", out.dtype, out, len(xs), [dim], work=out.size)


@builder("constant_pad")
def constant_pad(out: Spec, x: Spec, *, lo: Any, hi: Any, value: Any) -> Any:
    if x.dtype.itemsize > 16:
        return None
    with np.errstate(all="ignore"):
        element = np.asarray(value).astype(x.dtype.numpy).tobytes()
    return kernel("pad", x.dtype, out, 1, [*lo, *np.frombuffer(element.ljust(16, b"\0"), np.int64)], work=out.size)


@builder("slice_set")
def slice_set(out: Spec, x: Spec, v: Spec, *, starts: Any, stops: Any, steps: Any) -> Any:
    sizes = OPS["slice"].infer((x,), {"starts": starts, "stops": stops, "steps": steps})[0].shape
    ints = [n for part in zip(sizes, starts, steps) for n in part]
    return kernel("slice_set", x.dtype, out, 2, ints, work=out.size)


@builder("write")
def write(out: Spec, x: Spec, src: Spec, at: Spec, *, dim: int) -> Any:
    return kernel("write", x.dtype, out, 3, [dim], work=out.size)


@builder("random_bits")
def random_bits(out: Spec, state: Spec, *, shape: Any) -> Any:
    return kernel("random_bits", out.dtype, out, 1, work=out.size * 8)


_KEPT = 65536  # bytes of a constant that a plan keeps


def _constant(name: str) -> Any:
    """Ops without operands give the same value whenever they are called as planned: it is made once where it is small."""

    def build(out: Spec, **attrs: Any) -> Any:
        def made() -> Any:
            with np.errstate(all="ignore"):
                array = OPS[name].fn(**attrs)
            return from_array(np.asarray(array, out.dtype.numpy))

        if name != "full" and out.nbytes > _KEPT:
            return lambda out, **_: made()
        value = made()
        return lambda out, **_: value

    return build


for _name in ("full", "arange", "linspace", "eye"):
    BUILDERS[_name] = _constant(_name)
