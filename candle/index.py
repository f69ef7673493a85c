"""Indexing: ``x[key]`` and ``x[key] = v``, brought down to slices and one op that takes positions as operands."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .errors import DimError, DTypeError, ShapeError
from .op import OPS, broadcast_shapes
from .tensor import Tensor, run

__all__ = ["getitem", "setitem"]

_FULL = slice(None)


class _Key:
    """An index taken apart.

    First ``slices``, one for each dimension of x, where an integer is a slice of length one; then ``shape``, without
    the integers' dimensions and with the new ones; then ``ids``, (dimension, tensor) pairs that pick positions: integers
    for one dimension, or a mask (a tensor, or an array) over several.
    """

    __slots__ = ("ids", "shape", "slices")

    def __init__(self, slices: tuple[slice, ...], shape: tuple[int, ...], ids: list[tuple[int, Any]]) -> None:
        self.slices, self.shape, self.ids = slices, shape, ids

    @property
    def whole(self) -> bool:
        """Whether the slices take every element in its order."""
        return all(s == _FULL or s == slice(None, None, 1) for s in self.slices)

    def lengths(self, x: Tensor) -> tuple[int, ...]:
        """How much of each dimension of x the slices take."""
        return tuple([len(range(*s.indices(n))) for s, n in zip(self.slices, x.shape)])

    def attrs(self) -> dict[str, Any]:
        """The slices as the op ``slice`` has them."""
        return {k + "s": tuple([getattr(s, k) for s in self.slices]) for k in ("start", "stop", "step")}


def _part(x: Tensor, part: Any) -> Any:
    """One entry of a key: an int, a slice, None, a tensor of integers or booleans, or an array of booleans."""
    if part is None or part is Ellipsis or isinstance(part, (bool, np.bool_)):
        return bool(part) if isinstance(part, np.bool_) else part
    if isinstance(part, slice):
        ends = []
        for v in (part.start, part.stop, part.step):
            try:
                ends.append(None if v is None else operator.index(v))
            except TypeError:
                raise DTypeError(f"a slice is made of integers but {v!r} was given") from None
        return slice(*ends)
    if isinstance(part, (int, np.integer)):
        return int(part)
    if isinstance(part, Tensor):
        found = part
    elif isinstance(part, (list, tuple, range, np.ndarray)) or hasattr(part, "__array__"):
        from .create import as_tensor

        listed = list(part) if isinstance(part, (tuple, range)) else part
        array = np.asarray(listed) if not isinstance(listed, list) or listed else np.zeros(0, np.int64)
        if isinstance(listed, list) and array.dtype.kind == "f" and not array.size:
            array = array.astype(np.int64)
        if array.dtype == np.bool_:  # a mask that is known, also while a function is captured
            return array if array.ndim else bool(array)
        found = as_tensor(array if array.dtype.kind != "O" else listed, device=x.backend)
    else:
        raise DTypeError(
            "an index is an integer, a slice, None, Ellipsis, or a list, an array or a tensor of integers or booleans "
            f"but {part!r:.60} was given"
        )
    if found.dtype.kind not in "biu":
        raise DTypeError(f"a tensor used as an index holds integers or booleans but {found.spec} was given; cast it with .long()")
    if found.backend is not x.backend and not found.backend.name == "trace" and x.backend.name != "trace":
        if not found.ndim and found.dtype.kind != "b":
            return int(found)
        found = found.to(x.device)
    return found


def _takes(part: Any) -> int:
    """How many dimensions of x an entry of a key uses up."""
    if part is None or isinstance(part, bool):
        return 0
    return part.ndim if isinstance(part, (Tensor, np.ndarray)) and part.dtype.kind == "b" else 1


def _parsed(x: Tensor, key: Any) -> _Key:
    parts = [_part(x, p) for p in (key if isinstance(key, tuple) else (key,))]
    if sum(p is Ellipsis for p in parts) > 1:
        raise DimError("an index holds one Ellipsis at most")
    used = sum(_takes(p) for p in parts if p is not Ellipsis)
    if used > x.ndim:
        raise DimError(f"{used} dimensions were indexed but {x.spec} has {x.ndim}")
    rest = [_FULL] * (x.ndim - used)
    at = next((i for i, p in enumerate(parts) if p is Ellipsis), len(parts))
    parts[at : at + 1] = rest
    slices: list[slice] = []
    shape: list[int] = []
    ids: list[tuple[int, Any]] = []
    for part in parts:
        dim = len(slices)
        if part is None:
            shape.append(1)
        elif isinstance(part, bool) or (isinstance(part, Tensor) and part.dtype.kind == "b" and not part.ndim):
            # the truth of one number: a new dimension, kept once or not at all
            chosen = np.zeros(1 if bool(part) else 0, np.int64)
            ids.append((len(shape), _ids(x, chosen)))
            shape.append(1)
        elif isinstance(part, int):
            n = x.shape[dim]
            if not -n <= part < n:
                raise DimError(
                    f"the index {part} is outside dimension {dim} of {x.spec}, which has {n}: it is from {-n} to {n - 1}"
                )
            at = part % n
            slices.append(slice(at, at + 1, 1))
        elif isinstance(part, slice):
            n = x.shape[dim]
            if part.step == 0:
                raise DimError("a slice's step is not 0")
            slices.append(part)
            shape.append(len(range(*part.indices(n))))
        elif part.dtype.kind == "b":
            if part.shape != x.shape[dim : dim + part.ndim]:
                raise DimError(
                    f"a mask has the shape of the dimensions it indexes, {x.shape[dim : dim + part.ndim]}, "
                    f"but was given one of shape {part.shape}"
                )
            for n in part.shape:
                slices.append(_FULL)
                shape.append(n)
            ids.append((len(shape) - part.ndim, part))
        else:
            slices.append(_FULL)
            ids.append((len(shape), part))
            shape.append(x.shape[dim])
    return _Key(tuple(slices), tuple(shape), ids)


def _ids(x: Tensor, array: np.ndarray[Any, Any]) -> Tensor:
    from .create import as_tensor

    return as_tensor(array, device=x.backend)


def _cut(x: Tensor, key: _Key) -> Tensor:
    """The slices and new dimensions of a key."""
    y = x
    if not key.whole:
        y = run(OPS["slice"], (x,), key.attrs())
    return y if y.spec.shape == key.shape else run(OPS["reshape"], (y,), {"shape": key.shape})


def _positions(x: Tensor, key: _Key) -> list[tuple[int, Tensor]]:
    """A key's ids, with masks made ids."""
    from .ops.select import nonzero_arrays

    found: list[tuple[int, Tensor]] = []
    for dim, t in key.ids:
        if isinstance(t, np.ndarray):
            found += [(dim + i, _ids(x, a)) for i, a in enumerate(np.nonzero(t))]
        elif t.dtype.kind == "b":
            found += [(dim + i, _ids(x, a)) for i, a in enumerate(nonzero_arrays(t, "a boolean mask as an index"))]
        else:
            found.append((dim, t))
    if broadcast_shapes(*[t.shape for _, t in found]) is None:
        raise ShapeError(f"the tensors of an index broadcast together but {', '.join(str(t.spec) for _, t in found)} were given")
    return found


def getitem(x: Tensor, key: Any) -> Tensor:
    """``x[key]`` as PyTorch has it: integers, slices (negative steps too), None, Ellipsis, tensors, masks, lists, arrays.

    Several tensors in one key broadcast; their dimensions stand where the first did if they are neighbours, else in front.
    Raises DimError for an integer outside its dimension.
    """
    parsed = _parsed(x, key)
    y = _cut(x, parsed)
    if not parsed.ids:
        return y if y is not x else run(OPS["alias"], (x,), {})
    ids = _positions(x, parsed)
    single = [(d, t) for d, t in ids if not t.ndim]
    if single and len(single) < len(ids):  # numbers select their dimension first, as in PyTorch
        y = run(OPS["index"], (y, *[t for _, t in single]), {"dims": tuple([d for d, _ in single])})
        gone = [d for d, _ in single]
        ids = [(d - sum(g < d for g in gone), t) for d, t in ids if t.ndim]
    return run(OPS["index"], (y, *[t for _, t in ids]), {"dims": tuple([d for d, _ in ids])})


def setitem(x: Tensor, key: Any, value: Any) -> Tensor:
    """x with ``x[key]`` replaced by a value, which is broadcast and cast to x's dtype: a new tensor."""
    value = _value(x, value)
    parsed = _parsed(x, key)
    if parsed.ids:
        return _put(x, parsed, value)
    v = _fitted(value, parsed.shape, x)
    lengths = parsed.lengths(x)
    if lengths == x.shape and x.node is None and all(s.step in (None, 1) for s in parsed.slices):
        v = v if v.shape == parsed.shape else v.expand(parsed.shape)
        return v if v.shape == x.shape else v.reshape(x.shape)
    if v.ndim:  # the same places, said in x's own dimensions
        v = (v if v.shape == parsed.shape else v.expand(parsed.shape)).reshape(lengths)
    return run(OPS["slice_set"], (x, v), parsed.attrs())


def put_at(x: Tensor, key: tuple[Any, ...], value: Any, accumulate: bool) -> Tensor:
    """``setitem``; or, with ``accumulate``, x with the value added at ``x[key]`` as often as that names a place."""
    if not accumulate:
        return setitem(x, key, value)
    value, parsed = _value(x, value), _parsed(x, key)
    if not parsed.ids or not parsed.whole or parsed.shape != x.shape:
        raise DTypeError("index_put takes a tuple of tensors of integers or booleans")
    ids = _positions(x, parsed)
    return _index_put(x, value, [t for _, t in ids], tuple([d for d, _ in ids]), True)


def _value(x: Tensor, value: Any) -> Tensor:
    """What is assigned, as a tensor of x's dtype where x is."""
    from .create import as_tensor

    if not isinstance(value, Tensor):
        value = as_tensor(value, dtype=x.dtype if not hasattr(value, "dtype") else None, device=x.backend)
    elif value.backend is not x.backend and not value.ndim and "trace" not in (value.backend.name, x.backend.name):
        value = value.to(x.device)
    return value if value.dtype is x.dtype else value.to(dtype=x.dtype)


def _fitted(v: Tensor, shape: tuple[int, ...], x: Tensor) -> Tensor:
    """A value without the leading dimensions of size one that its place lacks; ShapeError where it does not broadcast."""
    given = v.spec
    extra = v.ndim - len(shape)
    if extra > 0 and all(n == 1 for n in v.shape[:extra]):
        v = v.reshape(v.shape[extra:])
    if broadcast_shapes(v.shape, shape) != shape:
        raise ShapeError(f"{given} does not broadcast to {shape}, the shape of the part of {x.spec} that it was assigned to")
    return v


def _put(x: Tensor, parsed: _Key, v: Tensor) -> Tensor:
    y = _cut(x, parsed)
    filled = _masked(y, parsed, v)
    if filled is None:
        ids = _positions(x, parsed)
        single = [(d, t) for d, t in ids if not t.ndim]
        if single and len(single) < len(ids):
            gone = tuple([d for d, _ in single])
            rest = tuple([d - sum(g < d for g in gone) for d, t in ids if t.ndim])
            inner = run(OPS["index"], (y, *[t for _, t in single]), {"dims": gone})
            v = _index_put(inner, v, [t for _, t in ids if t.ndim], rest)
            filled = _index_put(y, v, [t for _, t in single], gone)
        else:
            filled = _index_put(y, v, [t for _, t in ids], tuple([d for d, _ in ids]))
    if y is x:
        return filled
    lengths = parsed.lengths(x)
    filled = filled if filled.shape == lengths else filled.reshape(lengths)
    return filled if parsed.whole else run(OPS["slice_set"], (x, filled), parsed.attrs())


def _index_put(x: Tensor, v: Tensor, ids: list[Tensor], dims: tuple[int, ...], accumulate: bool = False) -> Tensor:
    from .ops.select import _index_shape

    shape = _index_shape(x.spec, *[t.spec for t in ids], dims=dims)
    return run(OPS["index_put"], (x, _fitted(v, shape, x), *ids), {"dims": dims, "accumulate": accumulate})


def _masked(y: Tensor, parsed: _Key, v: Tensor) -> Tensor | None:
    """The assignment of one value to all that a mask holds, which needs no positions; None where it is something else."""
    if len(parsed.ids) != 1 or parsed.ids[0][1].dtype.kind != "b":
        return None
    dim, mask = parsed.ids[0]
    mask = _ids(y, mask) if isinstance(mask, np.ndarray) else mask
    after = y.ndim - dim - mask.ndim
    if v.ndim > after:
        if v.shape[v.ndim - after - 1] != 1:
            return None
        cut = v.ndim - after
        v = v.reshape((*v.shape[: cut - 1], *(1,) * mask.ndim, *v.shape[cut:]))
    if broadcast_shapes(v.shape, y.shape) != y.shape:
        return None
    return run(OPS["where"], (mask.reshape(mask.shape + (1,) * after), v, y), {})
