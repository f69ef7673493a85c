"""Shapes and movement: what is known of a tensor, and its elements in other places."""

from __future__ import annotations

from typing import Any

import numpy as np

import candle
from candle import Tensor
from candle.tensor import untraced

from ..errors import OnnxError
from ..table import Host, operator
from ..values import MOST, dtype_of, is_string

Strings = np.ndarray


def _ints(x: Any) -> list[int]:
    return [int(v) for v in np.asarray(x).reshape(-1)]


def _on_host(x: Any) -> Tensor:
    """A number that is known, whether or not a capture is under way."""
    with untraced():
        return candle.tensor(np.asarray(x), device="numpy")


def _shape_of(x: Any) -> tuple[int, ...]:
    return tuple(x.shape)


@operator("Shape")
def shape(ctx: Any, x: Any, *, start: int = 0, end: int | None = None) -> Tensor:
    return _on_host(np.array(_shape_of(x)[slice(start, end)], np.int64))


@operator("Size")
def size(ctx: Any, x: Any) -> Tensor:
    return _on_host(np.array(int(np.prod(_shape_of(x), dtype=np.int64)), np.int64))


def _reshaped(x: Any, wanted: list[int], zero: bool) -> Any:
    sizes = [x.shape[i] if n == 0 and not zero else n for i, n in enumerate(wanted)]
    return x.reshape(tuple(sizes))


@operator("Reshape")
def reshape_by_attribute(x: Tensor, *, shape: list[int]) -> Tensor:
    return _reshaped(x, shape, False)


@operator("Reshape", since=5)
def reshape(x: Any, shape: Host, *, allowzero: int = 0) -> Any:
    return _reshaped(x, _ints(shape), bool(allowzero))


@operator("Flatten")
def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape((int(np.prod(x.shape[:axis], dtype=int)), int(np.prod(x.shape[axis:], dtype=int))))


@operator("Transpose")
def transpose(x: Any, *, perm: list[int] | None = None) -> Any:
    order = tuple(perm) if perm is not None else tuple(range(x.ndim))[::-1]
    return x.transpose(order) if is_string(x) else x.permute(order)


@operator("Squeeze")
def squeeze_by_attribute(x: Tensor, *, axes: list[int] | None = None) -> Tensor:
    return squeeze(x, axes)


@operator("Squeeze", since=13)
def squeeze(x: Any, axes: Host = None) -> Any:
    dims = [i for i, n in enumerate(x.shape) if n == 1] if axes is None else [a % x.ndim for a in _ints(axes)]
    wrong = [d for d in dims if x.shape[d] != 1]
    if wrong:
        raise OnnxError(f"Squeeze takes away axes of size 1 but axis {wrong[0]} of {list(x.shape)} has {x.shape[wrong[0]]}")
    return x.reshape(tuple([n for i, n in enumerate(x.shape) if i not in dims]))


@operator("Unsqueeze")
def unsqueeze_by_attribute(x: Tensor, *, axes: list[int]) -> Tensor:
    return unsqueeze(x, axes)


@operator("Unsqueeze", since=13)
def unsqueeze(x: Any, axes: Host) -> Any:
    ndim = x.ndim + len(_ints(axes))
    places = {a % ndim for a in _ints(axes)}
    if len(places) != len(_ints(axes)):
        raise OnnxError(f"Unsqueeze's axes {_ints(axes)} name one twice")
    sizes = iter(x.shape)
    return x.reshape(tuple([1 if i in places else next(sizes) for i in range(ndim)]))


@operator("Concat")
def concat(*xs: Any, axis: int = 1) -> Any:
    return np.concatenate(xs, axis) if is_string(xs[0]) else candle.cat(list(xs), dim=axis)


@operator("Expand")
def expand(x: Tensor, shape: Host) -> Tensor:
    wanted = np.broadcast_shapes(tuple(x.shape), tuple(_ints(shape)))
    return x.expand(wanted)


@operator("Tile", since=6)
def tile(x: Tensor, repeats: Host) -> Tensor:
    return x.repeat(tuple(_ints(repeats)))


@operator("Tile")
def tile_one_axis(x: Tensor, tiles: Host, axis: Host) -> Tensor:
    repeats = [1] * x.ndim
    repeats[_ints(axis)[0]] = _ints(tiles)[0]
    return x.repeat(tuple(repeats))


@operator("Slice")
def slice_by_attributes(x: Tensor, *, starts: list[int], ends: list[int], axes: list[int] | None = None) -> Tensor:
    return slice_(x, starts, ends, axes)


@operator("Slice", since=10)
def slice_(x: Any, starts: Host, ends: Host, axes: Host = None, steps: Host = None) -> Any:
    begin, stop = _ints(starts), _ints(ends)
    along = list(range(len(begin))) if axes is None else _ints(axes)
    stride = [1] * len(begin) if steps is None else _ints(steps)
    key: list[Any] = [slice(None)] * x.ndim
    for a, b, e, s in zip(along, begin, stop, stride):
        n = x.shape[a % x.ndim]
        if s == 0:
            raise OnnxError("Slice's steps are not 0")
        first, last, _ = slice(b, e, s).indices(n)
        key[a % x.ndim] = slice(first, last if s > 0 or last >= 0 else None, s)
    return x[tuple(key)]


@operator("Split")
def split_by_attribute(ctx: Any, x: Tensor, *, axis: int = 0, split: list[int] | None = None) -> tuple[Any, ...]:
    return _split(ctx, x, split, axis, None)


@operator("Split", since=2)
def split_two(ctx: Any, x: Tensor, *, axis: int = 0, split: list[int] | None = None) -> tuple[Any, ...]:
    return _split(ctx, x, split, axis, None)


@operator("Split", since=13)
def split_by_input(ctx: Any, x: Tensor, split: Any = None, *, axis: int = 0, num_outputs: int | None = None) -> tuple[Any, ...]:
    from ..run import known

    return _split(ctx, x, None if split is None else _ints(known(split)), axis, num_outputs)


def _split(ctx: Any, x: Tensor, sizes: list[int] | None, axis: int, count: int | None) -> tuple[Any, ...]:
    n = x.shape[axis]
    if sizes is None:
        parts = count or ctx.outputs
        each = -(-n // parts)
        sizes = [each] * (n // each if each else parts)
        sizes += [n - sum(sizes)] if sum(sizes) < n else []
        sizes += [0] * (parts - len(sizes))
    if sum(sizes) != n or min(sizes, default=0) < 0:
        raise OnnxError(f"Split's sizes {sizes} do not add up to the {n} elements of axis {axis}")
    return tuple(x.split(sizes, axis))


@operator("Pad", since=2)
def pad_by_attributes(x: Tensor, *, pads: list[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    return _padded(x, pads, mode, value, None)


@operator("Pad", since=11)
def pad(x: Tensor, pads: Host, value: Tensor | None = None, axes: Host = None, *, mode: str = "constant") -> Tensor:
    from ..run import known

    fill = 0 if value is None else np.asarray(known(value)).reshape(-1)[0].item()
    return _padded(x, _ints(pads), mode, fill, None if axes is None else _ints(axes))


def _padded(x: Tensor, pads: list[int], mode: str, value: Any, axes: list[int] | None) -> Tensor:
    along = list(range(x.ndim)) if axes is None else [a % x.ndim for a in axes]
    if len(pads) != 2 * len(along):
        raise OnnxError(f"Pad's pads are two per axis, {2 * len(along)} here, but {len(pads)} were given")
    pairs = {a: (pads[i], pads[i + len(along)]) for i, a in enumerate(along)}
    for a, (lo, hi) in pairs.items():  # negative ones cut off
        if lo < 0 or hi < 0:
            x = x.narrow(a, max(0, -lo), x.shape[a] + min(0, lo) + min(0, hi))
    around = [(max(0, lo), max(0, hi)) for lo, hi in (pairs.get(a, (0, 0)) for a in range(x.ndim))]
    if mode == "constant":
        return candle.constant_pad(x, [p[0] for p in around], [p[1] for p in around], value)
    for a, (lo, hi) in enumerate(around):
        if lo or hi:
            n = x.shape[a]
            places = np.arange(-lo, n + hi)
            if mode == "edge":
                places = places.clip(0, n - 1)
            elif mode == "wrap":
                places = places % n
            elif mode == "reflect":
                period = max(2 * (n - 1), 1)
                places = np.abs((places + n - 1) % period - (n - 1)) if n > 1 else places * 0
            else:
                raise OnnxError(f"Pad's mode is constant, reflect, edge or wrap but {mode!r} was given")
            x = x.index_select(a, candle.tensor(places.astype(np.int64), device=_place(x)))
    return x


def _place(x: Tensor) -> Any:
    """Where constants beside a tensor are made; in a capture they are made in it."""
    from candle.tensor import current_trace

    return None if current_trace() is not None else x.device


@operator("DepthToSpace")
def depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    b, c, h, w = x.shape
    s = blocksize
    if mode == "DCR":
        y = x.reshape((b, s, s, c // (s * s), h, w)).permute((0, 3, 4, 1, 5, 2))
    else:
        y = x.reshape((b, c // (s * s), s, s, h, w)).permute((0, 1, 4, 2, 5, 3))
    return y.reshape((b, c // (s * s), h * s, w * s))


@operator("SpaceToDepth")
def space_to_depth(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    b, c, h, w = x.shape
    s = blocksize
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return x.reshape((b, c, h // s, s, w // s, s)).permute(order).reshape((b, c * s * s, h // s, w // s))


@operator("Trilu")
def trilu(x: Tensor, k: Host = None, *, upper: int = 1) -> Tensor:
    diagonal = 0 if k is None else _ints(k)[0]
    return candle.triu(x, diagonal) if upper else candle.tril(x, diagonal)


@operator("CenterCropPad")
def center_crop_pad(x: Tensor, shape: Host, *, axes: list[int] | None = None) -> Tensor:
    along = list(range(x.ndim)) if axes is None else [a % x.ndim for a in axes]
    for a, n in zip(along, _ints(shape)):
        have = x.shape[a]
        if n <= have:
            x = x.narrow(a, (have - n) // 2, n)
        else:
            lo = (n - have) // 2
            x = _padded(x, [lo, n - have - lo], "constant", 0, [a])
    return x


@operator("ReverseSequence")
def reverse_sequence(x: Tensor, lengths: Tensor, *, batch_axis: int = 1, time_axis: int = 0) -> Tensor:
    n = x.shape[time_axis]
    at = candle.arange(n, device=_place(x)).reshape((1, n))
    ends = lengths.to(dtype=candle.int64).reshape((-1, 1))
    places = candle.where(at < ends, ends - 1 - at, at)  # [batch, time]
    places = places if batch_axis < time_axis else places.T
    return candle.gather(x, time_axis, places.reshape((*places.shape, *[1] * (x.ndim - 2))).expand(x.shape))


# -- made from nothing -----------------------------------------------------------------------------


@operator("Constant")
def constant(
    ctx: Any,
    *,
    value: Any = None,
    sparse_value: Any = None,
    value_float: Any = None,
    value_floats: Any = None,
    value_int: Any = None,
    value_ints: Any = None,
    value_string: Any = None,
    value_strings: Any = None,
) -> Any:
    if value is not None or sparse_value is not None:
        return value if value is not None else sparse_value
    if value_string is not None or value_strings is not None:
        return np.array(value_string if value_string is not None else value_strings, object)
    if value_int is not None or value_ints is not None:
        return _on_host(np.array(value_int if value_int is not None else value_ints, np.int64))
    return _on_host(np.array(value_float if value_float is not None else value_floats, np.float32))


@operator("ConstantOfShape")
def constant_of_shape(shape: Host, *, value: Any = None) -> Tensor:
    sizes = _ints(shape)
    if int(np.prod(sizes, dtype=object)) > MOST or min(sizes, default=0) < 0:
        raise OnnxError(f"ConstantOfShape is asked for the shape {sizes}, which is refused")
    dtype, number = (candle.float32, 0.0) if value is None else (value.dtype, value.numpy().reshape(-1)[0].item())
    return candle.full(sizes, number, dtype=dtype)


@operator("EyeLike")
def eye_like(x: Tensor, *, dtype: int | None = None, k: int = 0) -> Tensor:
    n, m = x.shape
    kind = x.dtype if dtype is None else dtype_of(dtype)
    rows, columns = candle.arange(n, device=_place(x)).unsqueeze(1), candle.arange(m, device=_place(x))
    return (columns - rows == k).to(dtype=kind)


@operator("Range")
def range_(start: Host, limit: Host, delta: Host) -> Tensor:
    a, b, d = (np.asarray(v).reshape(-1)[0] for v in (start, limit, delta))
    count = max(int(np.ceil((b - a) / d)), 0) if d else 0
    if d == 0 or count > MOST:
        raise OnnxError(f"Range from {a} to {b} by {d} is refused")
    return candle.tensor((np.arange(count) * d + a).astype(np.asarray(start).dtype))


@operator("OneHot")
def one_hot(x: Tensor, depth: Host, values: Tensor, *, axis: int = -1) -> Tensor:
    n = int(np.asarray(depth).reshape(-1)[0])
    at = x.to(dtype=candle.int64)
    at = candle.where(at < 0, at + n, at).unsqueeze(axis if axis >= 0 else axis + x.ndim + 1)
    axis = axis if axis >= 0 else axis + x.ndim + 1
    places = candle.arange(n, device=_place(x)).reshape((n, *[1] * (x.ndim - axis)))
    return candle.where(at == places, values[1], values[0])


# -- types -----------------------------------------------------------------------------------------


@operator("Cast")
def cast(x: Any, *, to: int, saturate: int = 1, round_mode: str = "up") -> Any:
    from .types import converted

    return converted(x, to, bool(saturate), round_mode)


@operator("CastLike")
def cast_like(x: Any, like: Any, *, saturate: int = 1, round_mode: str = "up") -> Any:
    from onnx import TensorProto

    from ..values import number_of
    from .types import converted

    return converted(x, TensorProto.STRING if is_string(like) else number_of(like.dtype), bool(saturate), round_mode)


@operator("BitCast")
def bit_cast(x: Tensor, *, to: int) -> Tensor:
    wanted = dtype_of(to)
    x = x.to(dtype=candle.uint8) if x.dtype is candle.bool_ else x
    return (x if wanted is candle.bool_ or x.dtype is wanted else x.view(wanted)).to(dtype=wanted)
