"""Putting operands on a device so that they lie there as views do: with offsets, steps, other orders of axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..dtype import as_dtype
from ..op import OPS, Spec
from ..tensor import Tensor
from .draw import LAYOUTS, Draw


def put(backend: Any, array: np.ndarray[Any, Any]) -> Tensor:
    """An array as a tensor on a device."""
    spec = Spec.of(array)
    return Tensor(backend.put(array.copy()), spec, backend)


def layout_for(d: Draw, at: int, array: np.ndarray[Any, Any]) -> str:
    """How one operand of a case shall lie."""
    wanted = d.case.layouts
    if wanted != "mixed":
        name, _, which = wanted.partition(" ")
        return name if not which or int(which) == at else "plain"
    if d._pick(3) == 0 or array.size > 1 << 17:
        return "plain"
    return LAYOUTS[d._pick(len(LAYOUTS))]


def spread(d: Draw, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Contents that an expanded operand can have: the same along one axis."""
    if array.ndim == 0 or array.size == 0:
        return array
    at = d._pick(array.ndim)
    return np.ascontiguousarray(np.broadcast_to(array.take([0], at), array.shape))


def _filled(shape: tuple[int, ...], array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array of a shape with elements that are not those of the operand's place: a kernel that reads them is found out."""
    flat = array.reshape(-1)
    n = math.prod(shape)
    if not flat.size:
        return np.zeros(shape, array.dtype)
    return np.resize(np.roll(flat[::-1], 1), n).reshape(shape).astype(array.dtype)


def place(backend: Any, array: np.ndarray[Any, Any], layout: str) -> Tensor:
    """The array as a tensor of the same values that movement ops of the device itself have made."""
    n = array.ndim
    if layout == "plain" or (n == 0 and layout != "offset"):
        return put(backend, array)
    if as_dtype(array.dtype).kind == "q":
        return _place_blocks(backend, array, layout)
    if n == 0:
        whole = _filled((5,), array)
        whole[3] = array
        return OPS["select"](put(backend, whole), dim=0, index=3)
    if layout == "transposed":
        order = tuple(range(n))[::-1]
        return OPS["permute"](put(backend, np.ascontiguousarray(array.transpose(order))), dims=order)
    if layout == "flipped":
        turned = np.ascontiguousarray(np.flip(array))
        return OPS["slice"](put(backend, turned), starts=(None,) * n, stops=(None,) * n, steps=(-1,) * n)
    if layout == "expanded":
        for at in range(n):
            if array.shape[at] > 1 and array.size and _constant(array, at):
                return OPS["expand"](put(backend, np.ascontiguousarray(array.take([0], at))), shape=array.shape)
        return put(backend, array)
    if layout == "offset":
        lo, hi, step = (2,) + (0,) * (n - 1), (1,) + (0,) * (n - 1), (1,) * n
    elif layout == "step":
        lo, hi, step = (0,) * (n - 1) + (1,), (0,) * n, (1,) * (n - 1) + (2,)
    else:
        lo, hi, step = (1,) * n, (2,) * n, (1,) * n
    shape = tuple([a + m * s + b for a, m, s, b in zip(lo, array.shape, step, hi)])
    whole = _filled(shape, array)
    stops = tuple([a + m * s for a, m, s in zip(lo, array.shape, step)])
    whole[tuple([slice(a, b, s) for a, b, s in zip(lo, stops, step)])] = array
    return OPS["slice"](put(backend, whole), starts=lo, stops=stops, steps=step)


def _place_blocks(backend: Any, array: np.ndarray[Any, Any], layout: str) -> Tensor:
    """The same for blocks, whose dimension stays the last and is moved along in whole blocks."""
    n, block = array.ndim, as_dtype(array.dtype).block
    if layout == "transposed":
        order = (*range(n - 1)[::-1], n - 1)
        return OPS["permute"](put(backend, np.ascontiguousarray(array.transpose(order))), dims=order)
    if layout == "flipped":
        steps = (-1,) * (n - 1) + (1,)
        turned = np.ascontiguousarray(np.flip(array, tuple(range(n - 1))))
        return OPS["slice"](put(backend, turned), starts=(None,) * n, stops=(None,) * n, steps=steps)
    if layout == "step" and n == 1:
        return put(backend, array)
    lo = (2,) + (0,) * (n - 1) if layout == "offset" else (0,) * n if layout == "step" else (1,) * n
    hi = (1,) * n
    step = (2,) * (n - 1) + (1,) if layout == "step" else (1,) * n
    shape = tuple([a + m * s + b for a, m, s, b in zip(lo, array.shape, step, hi)])
    whole = _filled(shape, array)
    stops = [a + m * s for a, m, s in zip(lo, array.shape, step)]
    whole[tuple([slice(a, b, s) for a, b, s in zip(lo, stops, step)])] = array
    ends = [(*v[:-1], v[-1] * block) for v in (lo, stops)]
    return OPS["slice"](put(backend, whole), starts=ends[0], stops=ends[1], steps=step)


def _constant(array: np.ndarray[Any, Any], at: int) -> bool:
    first = np.broadcast_to(array.take([0], at), array.shape)
    return np.ascontiguousarray(first).tobytes() == np.ascontiguousarray(array).tobytes()
