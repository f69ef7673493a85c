"""The standard's functions that move, join and pick elements."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from .. import create, op
from ..op import FUNCTIONS, OPS
from ..tensor import Tensor
from .array import Array, axes_of, together, unwrap


def broadcast_to(x: Array, /, shape: Sequence[int]) -> Array:
    """An array repeated to a shape."""
    t = unwrap(x)
    if min(shape, default=0) < 0:
        raise ValueError(f"broadcast_to takes sizes of at least 0 but {tuple(shape)} was given for {t.spec}")
    return Array(t.expand(tuple(shape)))


def broadcast_arrays(*arrays: Array) -> tuple[Array, ...]:
    """Arrays repeated to their common shape."""
    shape = broadcast_shapes(*[unwrap(a).shape for a in arrays])
    return tuple([broadcast_to(a, shape) for a in arrays])


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that shapes have in common once sizes of one are repeated; raises ValueError where there is none."""
    found = op.broadcast_shapes(*[tuple(s) for s in shapes]) if shapes else ()
    if found is None:
        raise ValueError(f"the shapes {', '.join(str(tuple(s)) for s in shapes)} do not broadcast")
    return found


def concat(arrays: Sequence[Array], /, *, axis: int | None = 0) -> Array:
    """Arrays joined along an axis; flattened first where it is None."""
    tensors = together(*arrays)
    if axis is None:
        tensors, axis = [t.reshape((-1,)) for t in tensors], 0
    return Array(OPS["cat"](tensors, dim=axis))


def expand_dims(x: Array, /, axis: int | tuple[int, ...]) -> Array:
    """With axes of size one more, at places counted in the result."""
    t = unwrap(x)
    rank = t.ndim + (1 if isinstance(axis, int) else len(axis))
    at = axes_of(axis, rank, "expand_dims")
    sizes = iter(t.shape)
    return Array(t.reshape(tuple([1 if i in at else next(sizes) for i in range(rank)])))


def flip(x: Array, /, *, axis: Any = None) -> Array:
    """In reverse order along axes."""
    t = unwrap(x)
    dims = axes_of(axis, t.ndim, "flip")
    return Array(t.flip(dims) if dims else t.clone())


def moveaxis(x: Array, source: Any, destination: Any, /) -> Array:
    """With axes moved to other places."""
    t = unwrap(x)
    return Array(FUNCTIONS["movedim"](t, axes_of(source, t.ndim, "moveaxis"), axes_of(destination, t.ndim, "moveaxis")))


def permute_dims(x: Array, /, axes: Sequence[int]) -> Array:
    """With the axes in another order."""
    return Array(unwrap(x).permute(tuple(axes)))


def repeat(x: Array, repeats: Any, /, *, axis: int | None = None) -> Array:
    """Each element several times."""
    t = unwrap(x)
    counts = unwrap(repeats) if isinstance(repeats, Array) else repeats
    return Array(t.repeat_interleave(counts, dim=axis))


def reshape(x: Array, /, shape: Sequence[int], *, copy: bool | None = None) -> Array:
    """The elements in another shape.

    An array has its values for itself whatever ``copy`` says, which only tells whether memory may be shared until one of
    the two is written to; raises ValueError for ``copy=False`` where it cannot be.
    """
    t = unwrap(x)
    y = t.reshape(tuple(shape))
    if copy is not None and t.spec.size:
        shared = np.shares_memory(t.numpy(), y.numpy())
        if copy is False and not shared:
            raise ValueError(f"{t.spec} cannot be reshaped to {y.shape} without a copy; pass copy=None")
        if copy and shared:
            y = create.tensor(y.numpy(), device=y.backend)
    return Array(y)


def roll(x: Array, /, shift: Any, *, axis: Any = None) -> Array:
    """Elements moved along axes, those that leave coming in at the other end."""
    t = unwrap(x)
    if axis is None:
        return Array(t.reshape((-1,)).roll(shift if isinstance(shift, int) else sum(shift), 0).reshape(t.shape))
    axes = axis if isinstance(axis, tuple) else (axis,)
    shifts = shift if isinstance(shift, tuple) else (shift,) * len(axes)
    if len(shifts) != len(axes):
        raise ValueError(f"roll takes as many axes as shifts but shift={shift} and axis={axis} were given")
    for s, a in zip(shifts, axes):
        t = t.roll(s, a)
    return Array(t)


def squeeze(x: Array, /, axis: Any = None) -> Array:
    """Without some axes of size one."""
    t = unwrap(x)
    dims = tuple([i for i, n in enumerate(t.shape) if n == 1]) if axis is None else axes_of(axis, t.ndim, "squeeze")
    if any(t.shape[d] != 1 for d in dims):
        raise ValueError(f"squeeze takes axes of size one but was given {axis} for {t.spec}")
    return Array(t.reshape([n for i, n in enumerate(t.shape) if i not in dims]))


def stack(arrays: Sequence[Array], /, *, axis: int = 0) -> Array:
    """Arrays joined along a new axis."""
    return Array(OPS["stack"](together(*arrays), dim=axis))


def tile(x: Array, repetitions: Sequence[int], /) -> Array:
    """The whole array several times along each axis."""
    t = unwrap(x)
    counts = (1,) * (t.ndim - len(repetitions)) + tuple(repetitions)
    return Array(t.repeat(counts))


def unstack(x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    """The parts along an axis."""
    return tuple([Array(p) for p in unwrap(x).unbind(axis)])


def take(x: Array, indices: Array, /, *, axis: int | None = None) -> Array:
    """The elements at some indices along an axis."""
    t = unwrap(x)
    if axis is None:
        if t.ndim != 1:
            raise ValueError(f"take needs an axis for {t.spec}")
        axis = 0
    (axis,) = axes_of(axis, t.ndim, "take")
    ids = _indices(indices, "take")
    found = t.index_select(axis, _from_front(ids.reshape((-1,)), t.shape[axis]))
    return Array(found.reshape((*t.shape[:axis], *ids.shape, *t.shape[axis + 1 :])))


def _indices(x: Any, what: str) -> Tensor:
    t = unwrap(x)
    if t.dtype.kind not in "iu":
        raise TypeError(f"{what} takes indices of integers but was given {t.spec}; use astype")
    return t


def _from_front(ids: Tensor, n: int) -> Tensor:
    return ids if ids.dtype.kind == "u" else OPS["where"](ids < 0, ids + n, ids)


def take_along_axis(x: Array, indices: Array, /, *, axis: int = -1) -> Array:
    """For each line along an axis the elements at its own indices."""
    t, ids = unwrap(x), _indices(indices, "take_along_axis")
    if ids.ndim != t.ndim:
        raise ValueError(f"take_along_axis takes as many dimensions of indices as of x but was given {ids.spec} and {t.spec}")
    (axis,) = axes_of(axis, t.ndim, "take_along_axis")
    shape = broadcast_shapes(t.shape[:axis] + (1,) + t.shape[axis + 1 :], ids.shape[:axis] + (1,) + ids.shape[axis + 1 :])
    t = t.expand(shape[:axis] + (t.shape[axis],) + shape[axis + 1 :])
    ids = ids.expand(shape[:axis] + (ids.shape[axis],) + shape[axis + 1 :])
    return Array(t.gather(axis, _from_front(ids.long(), t.shape[axis])))


__all__ = [
    "broadcast_arrays", "broadcast_shapes", "broadcast_to", "concat", "expand_dims", "flip", "moveaxis", "permute_dims",
    "repeat", "reshape", "roll", "squeeze", "stack", "take", "take_along_axis", "tile", "unstack",
]  # fmt: skip
