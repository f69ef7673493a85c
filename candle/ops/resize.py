"""Resizing and resampling: interpolation in all modes of PyTorch and ONNX, sampling at a grid, shuffles of pixels."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from math import floor, prod
from typing import Any, Mapping, Sequence

import numpy as np

from ..dtype import ALL, EVERY, FLOATS
from ..errors import DTypeError, ShapeError
from ..op import OPS, Ints, Shape, Spec, composite, function, normalize_dim
from .pool import _adaptive_average

# Resizing is separable: each dimension has a table of which elements to take, [new size, terms], and with what weights.
# An index of -1 takes nothing.

Table = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any] | None]
_FILTERS = {"linear": 1, "cubic": 2}  # how far each reaches


# -- tables ----------------------------------------------------------------------------------------


def _triangle(x: np.ndarray[Any, Any], a: float) -> np.ndarray[Any, Any]:
    return np.maximum(0.0, 1 - np.abs(x))


def _cubic(x: np.ndarray[Any, Any], a: float) -> np.ndarray[Any, Any]:
    """Keys' cubic kernel.  https://doi.org/10.1109/TASSP.1981.1163711"""
    x = np.abs(x)
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _filtered(at: np.ndarray[Any, Any], size: int, mode: str, a: float, shrink: float | None, exclude: bool) -> Table:
    """Weights of a filter centred at fractional places; ``shrink`` (at most 1) widens it against aliasing."""
    scale = 1.0 if shrink is None else min(shrink, 1.0)
    start = floor(-_FILTERS[mode] / scale) + 1
    index = np.floor(at).astype(np.int64)[:, None] + np.arange(start, 2 - start)
    weight = {"linear": _triangle, "cubic": _cubic}[mode]((index - at[:, None]) * scale, a)
    if exclude:
        weight = np.where((index >= 0) & (index < size), weight, 0.0)
    if exclude or shrink is not None:
        total = weight.sum(1, keepdims=True)
        weight = np.divide(weight, total, out=np.full_like(weight, np.nan), where=total != 0)
    taken = weight != 0 if exclude or shrink is not None else True
    index = np.where(taken, np.clip(index, 0, max(0, size - 1)), -1)
    used = (weight != 0).any(0)
    return (index, weight) if used.all() or not used.any() else (index[:, used], weight[:, used])


def _coordinates(mode: str, new: int, size: int, scale: float, roi: tuple[float, float]) -> np.ndarray[Any, Any]:
    """Where the elements of a resized dimension lie in the old one, as ONNX's coordinate_transformation_mode says."""
    i, length = np.arange(new, dtype=np.float64), scale * size
    if mode == "align_corners":
        return i * 0 if length == 1 else i * (size - 1) / (length - 1)
    if mode == "asymmetric":
        return i / scale
    if mode == "tf_crop_and_resize":
        first, last = roi
        if length == 1:
            return i * 0 + (first + last) * (size - 1) / 2
        return i * (last - first) * (size - 1) / (length - 1) + first * (size - 1)
    if mode == "pytorch_half_pixel" and length == 1:
        return i - 0.5
    shift = size / 2 * (1 - new / length) if mode == "half_pixel_symmetric" else 0.0
    return (i + 0.5) / scale - 0.5 + shift


_NEAREST = {
    "round_prefer_floor": lambda at: np.ceil(at - 0.5),
    "round_prefer_ceil": lambda at: np.floor(at + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


@lru_cache(512)
def _resize_table(new: int, size: int, scale: float, mode: str, coordinates: str, nearest: str, a: float, exclude: bool,
                  antialias: bool, roi: tuple[float, float]) -> tuple[Table, np.ndarray[Any, Any]]:  # fmt: skip
    """The table of ONNX's Resize along one dimension, and which places lie outside of it."""
    at = _coordinates(coordinates, new, size, scale, roi)
    outside = (at < 0) | (at > size - 1)
    if mode == "nearest":
        return (np.clip(_NEAREST[nearest](at), 0, max(0, size - 1)).astype(np.int64)[:, None], None), outside
    return _filtered(at, size, mode, a, scale if antialias else None, exclude), outside


@lru_cache(512)
def _torch_table(
    new: int, size: int, scale: float | None, mode: str, align: bool, antialias: bool, double: bool, copies: bool
) -> Table:
    """The table of PyTorch's interpolate along one dimension; nearest places are found in PyTorch's precision.

    ``copies``: a dimension that keeps its size keeps its elements, whatever the factor.
    """
    step = 1 / scale if scale else size / max(1, new)
    if align:
        step = (size - 1) / (new - 1) if new > 1 else 0.0
    i = np.arange(new)
    if new == size and copies:
        return i[:, None], None
    if mode.startswith("nearest"):
        kind = np.float64 if double else np.float32
        step = kind(1) / kind(scale) if scale else kind(size) / kind(max(1, new))
        at = (i.astype(kind) + kind(0.5 if mode == "nearest-exact" else 0)) * step
        return np.minimum(np.floor(at.astype(np.float32)), size - 1).astype(np.int64)[:, None], None
    at = i * step if align and not antialias else (i + 0.5) * step - 0.5
    if antialias:
        return _filtered(at, size, mode, -0.5, 1 / step if step else 1.0, True)
    return _filtered(at, size, mode, -0.75, None, False)


def _taken(x: Any, axis: int, table: Table) -> Any:
    """Weighted sums of elements along one dimension."""
    index, weight = table
    if weight is None:
        places = index[:, 0]
        same = np.array_equal(places, np.arange(x.shape[axis]))
        return x if same else x.index_select(axis, x.new_tensor(places, dtype="int64"))
    if index.shape[1] <= 4:
        terms = [_term(x, axis, index[:, k], weight[:, k]) for k in range(index.shape[1])]
        return sum(terms[1:], terms[0])
    front, back = x.shape[:axis], x.shape[axis + 1 :]
    flat = _term(x, axis, index.reshape(-1), weight.reshape(-1))
    return flat.reshape((*front, *index.shape, *back)).sum(axis + 1)


def _term(x: Any, axis: int, index: np.ndarray[Any, Any], weight: np.ndarray[Any, Any]) -> Any:
    part = x.index_select(axis, x.new_tensor(np.maximum(index, 0), dtype="int64"))
    tail = (1,) * (x.ndim - 1 - axis)
    if (index < 0).any():  # not zero times what is there, which may be infinite
        part = OPS["where"](x.new_tensor(index >= 0, dtype="bool").reshape((-1, *tail)), part, 0)
    return part * x.new_tensor(weight).reshape((-1, *tail))


def _resampled(x: Any, what: str, smooth: bool, apply: Any) -> Any:
    """Apply a function to x in a dtype that can hold weighted sums, and come back to x's own."""
    kind = x.dtype
    if not smooth or kind.kind == "c" or (kind.kind == "f" and kind.itemsize >= 4):
        return apply(x)
    if kind.kind == "b":
        raise DTypeError(f"{what} between booleans has no meaning; cast to a number first or use the nearest")
    y = apply(x.to(dtype="float32" if kind.itemsize < 4 else "float64"))
    if kind.kind in "iu":
        limits = np.iinfo(kind.numpy)
        y = y.round().clamp(float(limits.min), float(limits.max))
    return y.to(dtype=kind)


# -- interpolate -----------------------------------------------------------------------------------

_MODES = {"nearest": (1, 2, 3), "nearest-exact": (1, 2, 3), "area": (1, 2, 3), "linear": (1,), "bilinear": (2,), "bicubic": (2,),
          "trilinear": (3,)}  # fmt: skip


def _interpolate_canon(specs: Sequence[Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), mode, n = specs, attrs["mode"], specs[0].ndim - 2
    if mode not in _MODES:
        raise DTypeError(f"interpolate's mode is one of {', '.join(_MODES)} but {mode!r} was given")
    if n not in _MODES[mode]:
        wanted = " or ".join(str(m + 2) for m in _MODES[mode])
        raise ShapeError(
            f"interpolate in mode {mode!r} takes x[batch, channels, *sizes] of {wanted} dimensions but was given {x}"
        )
    size, scale = [None if attrs[k] in (None, ()) else attrs[k] for k in ("size", "scale_factor")]
    if size is None and scale is None:
        raise ShapeError("interpolate takes a size or a scale_factor but neither was given")
    sizes = None if size is None else size if isinstance(size, tuple) else (size,) * n
    scales = None if scale is None else tuple(map(float, scale if isinstance(scale, tuple) else (scale,) * n))
    if any(v is not None and len(v) != n for v in (sizes, scales)):
        raise ShapeError(
            f"interpolate takes one number or {n}, one per dimension of {x} after its channels, but {size or scale} was given"
        )
    if scales is not None and any(not 0 < s < float("inf") for s in scales):
        raise ShapeError(f"interpolate's scale_factor is above 0 but {scale} was given")
    scaled = sizes if scales is None else tuple([floor(m * s) for m, s in zip(x.shape[2:], scales)])
    if sizes is not None and scaled != sizes:
        raise ShapeError(
            f"interpolate takes a size or a scale_factor but both {size} and {scale} were given, and they differ for {x}"
        )
    if any(not isinstance(m, int) or m < 1 for m in scaled) or 0 in x.shape[2:]:
        raise ShapeError(f"interpolate takes sizes of at least 1 but would make {scaled} of {x}")
    if attrs["align_corners"] is not None and (mode.startswith("nearest") or mode == "area"):
        raise DTypeError(
            f"interpolate's align_corners has no meaning in mode {mode!r}; it is for linear, bilinear, bicubic and trilinear"
        )
    if attrs["antialias"] and mode not in ("bilinear", "bicubic"):
        raise DTypeError(f"interpolate's antialias is for the modes bilinear and bicubic but {mode!r} was given")
    if attrs["recompute_scale_factor"]:
        if scales is None:
            raise ShapeError("interpolate's recompute_scale_factor needs a scale_factor but a size was given")
        scales = None
    return {**attrs, "size": scaled, "scale_factor": scales, "recompute_scale_factor": None}


def _interpolate_sample(d: Any) -> Any:
    mode = d.one(tuple(_MODES))
    n = d.one(_MODES[mode])
    smooth = mode in ("linear", "bilinear", "bicubic", "trilinear")
    x = d.array(
        (d.one((0, 1, 2, 4, 5)), d.int(1, 3), *[d.int(1, 6) for _ in range(n)]),
        d.dtype(FLOATS if smooth or mode == "area" else ALL),
    )
    attrs: dict[str, Any] = {"mode": mode, "size": [d.int(1, 9) for _ in range(n)]}
    if d.bool():
        attrs = {
            "mode": mode,
            "scale_factor": [d.one((1.0, 1.5, 2.0, 3.3)) for _ in range(n)],
            "recompute_scale_factor": d.bool(),
        }
    if smooth:
        attrs["align_corners"] = d.bool()
    if mode in ("bilinear", "bicubic"):
        attrs["antialias"] = d.bool()
    return [x], attrs


def _interpolate_terms(x: Spec, **a: Any) -> int:
    return prod([4 * max(1, -(-m // k)) for m, k in zip(x.shape[2:], a["size"])])


@composite("T -> T", ALL, canon=_interpolate_canon, sample=_interpolate_sample, terms=_interpolate_terms,
           shape=lambda x, *, size, **_: (*x.shape[:2], *size))  # fmt: skip
def interpolate(x, *, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool = None,
                recompute_scale_factor: bool = None, antialias: bool = False):  # fmt: skip
    """x[batch, channels, *sizes] in another size: nearest, nearest-exact, linear, bilinear, bicubic, trilinear or area.

    ``F.interpolate`` of PyTorch.  Integers are interpolated in floating point and rounded.
    """
    filtering = {"linear": "linear", "bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}.get(mode, mode)

    def resized(x: Any) -> Any:
        if mode == "area":
            return _adaptive_average(x, size)
        scales = scale_factor or (None,) * len(size)
        double = x.dtype.name == "float64"
        copies = not antialias and (filtering == "linear" or (mode == "nearest" and len(size) == 2))
        for axis, (new, scale) in enumerate(zip(size, scales), 2):
            x = _taken(
                x, axis, _torch_table(new, x.shape[axis], scale, filtering, bool(align_corners), antialias, double, copies)
            )
        return x

    return _resampled(x, "interpolation", not mode.startswith("nearest"), resized)


@function(method=False)
def upsample(x: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None) -> Any:
    """``interpolate`` under its older name."""
    return interpolate(x, size, scale_factor, mode, align_corners)


@function()
def upsample_nearest(x: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """``interpolate`` to the nearest element."""
    return interpolate(x, size, scale_factor)


@function()
def upsample_bilinear(x: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """``interpolate`` bilinearly, corners aligned."""
    return interpolate(x, size, scale_factor, "bilinear", True)


@function()
def upsample_nearest1d(x: Any, size: int) -> Any:
    """x[batch, channels, l] in another length, by the nearest element."""
    return interpolate(x, (size,))


@function()
def upsample_nearest2d(x: Any, height: int, width: int) -> Any:
    """x[batch, channels, h, w] in another size, by the nearest element."""
    return interpolate(x, (height, width))


@function()
def upsample_bilinear2d(x: Any, height: int, width: int, align_corners: bool = False) -> Any:
    """x[batch, channels, h, w] in another size, bilinearly."""
    return interpolate(x, (height, width), None, "bilinear", align_corners)


@function()
def upsample_bilinear2d_with_scale(x: Any, scale_h: float, scale_w: float, align_corners: bool = False) -> Any:
    """x[batch, channels, h, w] in a multiple of its size, bilinearly."""
    return interpolate(x, None, (scale_h, scale_w), "bilinear", align_corners)


@function()
def interpolate1d(x: Any, size: int) -> Any:
    """``upsample_nearest1d``."""
    return interpolate(x, (size,))


@function()
def interpolate2d(x: Any, height: int, width: int) -> Any:
    """``upsample_nearest2d``."""
    return interpolate(x, (height, width))


# -- resize, as ONNX has it ------------------------------------------------------------------------

_CHOICES = {
    "mode": ("nearest", "linear", "cubic"),
    "coordinate_transformation_mode": (
        "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize"
    ),
    "nearest_mode": tuple(_NEAREST),
    "keep_aspect_ratio_policy": ("stretch", "not_larger", "not_smaller"),
}  # fmt: skip


def _resize_canon(specs: Sequence[Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), sizes, scales = specs, attrs["sizes"], attrs["scales"]
    for k, choices in _CHOICES.items():
        if attrs[k] not in choices:
            raise DTypeError(f"resize's {k} is one of {', '.join(choices)} but {attrs[k]!r} was given")
    dims = (
        tuple(range(x.ndim))
        if attrs["dims"] is None
        else tuple([normalize_dim(d, x.ndim, "resize's dims") for d in attrs["dims"]])
    )
    roi = attrs["roi"] if attrs["roi"] is not None else (0.0,) * len(dims) + (1.0,) * len(dims)
    for what, given, n in (("sizes", sizes, len(dims)), ("scales", scales, len(dims)), ("roi", roi, 2 * len(dims))):
        if given is not None and (not isinstance(given, tuple) or len(given) != n):
            raise ShapeError(f"resize's {what} holds {n} numbers for the dimensions {dims} of {x} but {given} was given")
    if sizes is None and scales is None:
        raise ShapeError("resize takes sizes or scales but neither was given")
    if scales is None:
        if any(x.shape[d] == 0 and m for m, d in zip(sizes, dims)):
            raise ShapeError(f"resize cannot make {sizes} of {x}, which is empty")
        scales = tuple([m / x.shape[d] if x.shape[d] else 1.0 for m, d in zip(sizes, dims)])
        if attrs["keep_aspect_ratio_policy"] != "stretch" and dims:
            scale = (min if attrs["keep_aspect_ratio_policy"] == "not_larger" else max)(scales)
            scales, sizes = (scale,) * len(dims), tuple([floor(scale * x.shape[d] + 0.5) for d in dims])
    elif sizes is None:
        sizes = tuple([floor(x.shape[d] * s) for d, s in zip(dims, scales)])
    scales = tuple(map(float, scales))
    if any(not s > 0 for m, s in zip(sizes, scales) if m) or any(m < 0 for m in sizes):
        raise ShapeError(f"resize's scales are above 0 but sizes {sizes} and scales {scales} were given")
    first, last = roi[: len(dims)], roi[len(dims) :]
    whole_sizes, whole_scales, whole_first, whole_last = list(x.shape), [1.0] * x.ndim, [0.0] * x.ndim, [1.0] * x.ndim
    for d, m, s, a, b in zip(dims, sizes, scales, first, last):
        whole_sizes[d], whole_scales[d], whole_first[d], whole_last[d] = m, s, float(a), float(b)
    return {**attrs, "sizes": tuple(whole_sizes), "scales": tuple(whole_scales), "roi": (*whole_first, *whole_last), "dims": None,
            "keep_aspect_ratio_policy": "stretch"}  # fmt: skip


def _resize_sample(d: Any) -> Any:
    shape = [d.int(1, 5) for _ in range(d.int(1, 4))]
    mode = d.one(_CHOICES["mode"])
    attrs: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": d.one(_CHOICES["coordinate_transformation_mode"])}
    attrs |= {
        "nearest_mode": d.one(_CHOICES["nearest_mode"]),
        "exclude_outside": d.bool(),
        "antialias": d.bool(),
        "extrapolation_value": 2.5,
    }
    attrs |= {"sizes": [d.int(1, 7) for _ in shape]} if d.bool() else {"scales": [d.one((0.6, 1.0, 1.5, 2.0)) for _ in shape]}
    attrs["roi"] = [d.one((0.0, 0.25, -0.25)) for _ in shape] + [d.one((1.0, 0.75, 1.25)) for _ in shape]
    return [d.array(shape, d.dtype(ALL if mode == "nearest" else FLOATS))], attrs


@composite("T -> T", ALL, canon=_resize_canon, shape=lambda x, *, sizes, **_: sizes, sample=_resize_sample, method=False,
           terms=lambda x, *, sizes, **_: prod([4 * max(1, -(-m // max(1, k))) for m, k in zip(x.shape, sizes)]))  # fmt: skip
def resize(x, *, sizes: Shape = None, scales: Any = None, dims: Ints = None, mode: str = "nearest",
           coordinate_transformation_mode: str = "half_pixel", nearest_mode: str = "round_prefer_floor",
           cubic_coeff_a: float = -0.75, exclude_outside: bool = False, extrapolation_value: float = 0.0, antialias: bool = False,
           roi: Any = None, keep_aspect_ratio_policy: str = "stretch"):  # fmt: skip
    """x in other sizes along any of its dimensions, as ONNX's Resize (opset 19) defines it for its attributes.

    ``sizes`` or ``scales`` hold one number for each of ``dims`` (all unless given); ``roi`` their starts, then their ends.
    https://onnx.ai/onnx/operators/onnx__Resize.html
    """
    n = x.ndim

    def resized(x: Any) -> Any:
        for axis in range(n):
            size, new, scale = x.shape[axis], sizes[axis], scales[axis]
            if size == new and scale == 1 and coordinate_transformation_mode != "tf_crop_and_resize":
                continue
            table, outside = _resize_table(new, size, scale, mode, coordinate_transformation_mode, nearest_mode, cubic_coeff_a,
                                           exclude_outside, antialias, (roi[axis], roi[n + axis]))  # fmt: skip
            x = _taken(x, axis, table)
            if coordinate_transformation_mode == "tf_crop_and_resize" and outside.any():
                mask = x.new_tensor(outside, dtype="bool").reshape((new, *[1] * (n - 1 - axis)))
                x = OPS["where"](mask, x.new_full((1,) * n, extrapolation_value), x)
        return x

    return _resampled(x, "interpolation", mode != "nearest", resized)


# -- sampling at a grid ----------------------------------------------------------------------------


def _grid_canon(specs: Sequence[Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    x, grid = specs
    n = x.ndim - 2
    if n not in (2, 3) or grid.ndim != x.ndim or grid.shape[-1] != n or grid.shape[0] != x.shape[0] or 0 in x.shape[2:]:
        raise ShapeError(
            "grid_sample takes x[batch, channels, h, w] and grid[batch, h', w', 2], or x[batch, channels, d, h, w] and "
            f"grid[batch, d', h', w', 3], but was given {x} and {grid}"
        )
    for k, choices in {"mode": ("bilinear", "nearest", "bicubic"), "padding_mode": ("zeros", "border", "reflection")}.items():
        if attrs[k] not in choices:
            raise DTypeError(f"grid_sample's {k} is one of {', '.join(choices)} but {attrs[k]!r} was given")
    if attrs["mode"] == "bicubic" and n != 2:
        raise ShapeError(f"grid_sample in mode 'bicubic' takes x[batch, channels, h, w] but was given {x}")
    return dict(attrs)


def _reflected(at: Any, low: float, high: float) -> Any:
    """Places folded back into [low, high] as by mirrors at both ends."""
    span = high - low
    if span <= 0:
        return at * 0
    far = (at - low).abs()
    turns = (far.detach() / span).floor()
    odd = turns - 2 * (turns / 2).floor()
    rest = far - turns * span
    return OPS["where"](odd > 0, span - rest, rest) + low


def _held(at: Any, size: int) -> Any:
    """Places kept within a dimension; at and beyond its ends they have no gradient."""
    at = OPS["where"](at <= 0, at * 0, at)
    return OPS["where"](at >= size - 1, at.new_full((1,) * at.ndim, size - 1), at)


def _brought_in(at: Any, size: int, padding_mode: str, align_corners: bool) -> Any:
    if padding_mode == "zeros":
        return at
    if padding_mode == "reflection":
        at = _reflected(at, 0.0, size - 1.0) if align_corners else _reflected(at, -0.5, size - 0.5)
    return _held(at, size)


def _picked(x: Any, places: Sequence[Any]) -> Any:
    """The elements of x[batch, channels, *sizes] at integral places [batch, *new], zero outside: [batch, channels, *new]."""
    flat, inside = None, None
    for at, size in zip(places, x.shape[2:]):
        valid = OPS["logical_and"](at >= 0, at <= size - 1)
        inside = valid if inside is None else OPS["logical_and"](inside, valid)
        at = OPS["where"](valid, at, 0).to(dtype="int64")
        flat = at if flat is None else flat * size + at
    new = flat.shape[1:]
    batch, channels = x.shape[:2]
    index = flat.reshape((batch, 1, prod(new))).expand((batch, channels, prod(new)))
    found = x.reshape((batch, channels, prod(x.shape[2:]))).gather(2, index).reshape((batch, channels, *new))
    return OPS["where"](inside.reshape((batch, 1, *new)), found, 0)


def _cubic_weights(t: Any) -> list[Any]:
    """Keys' cubic weights of the four elements around a place at fraction t after the second."""
    a = -0.75
    near = [((a + 2) * u - (a + 3)) * u * u + 1 for u in (t, 1 - t)]
    far = [((a * u - 5 * a) * u + 8 * a) * u - 4 * a for u in (t + 1, 2 - t)]
    return [far[0], near[0], near[1], far[1]]


def _grid_sample_sample(d: Any) -> Any:
    n, dtype = d.int(2, 3), d.dtype(FLOATS)
    batch = d.one((0, 1, 2, 4))
    x = d.array((batch, d.int(1, 3), *[d.int(1, 5) for _ in range(n)]), dtype)
    grid = d.array((batch, *[d.int(1, 4) for _ in range(n)], n), dtype, (-1.4, 1.4))
    mode = d.one(("bilinear", "bicubic", "nearest") if n == 2 else ("bilinear", "nearest"))
    return [x, grid], {"mode": mode, "padding_mode": d.one(("zeros", "border", "reflection")), "align_corners": d.bool()}


@composite("T, T -> T", FLOATS, canon=_grid_canon, sample=_grid_sample_sample, special=False, method=False,
           terms=lambda x, _g, **_: 4 ** (x.ndim - 2), shape=lambda x, grid, **_: (*x.shape[:2], *grid.shape[1:-1]))  # fmt: skip
def grid_sample(x, grid, *, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool = False):
    """x[batch, channels, *sizes] at the places of grid[batch, *new, n], which run from -1 to 1, the last dimension's first.

    Spatial transformer networks, https://arxiv.org/abs/1506.02025.
    """
    kind = x.dtype
    if kind.itemsize < 4:
        x, grid = x.to(dtype="float32"), grid.to(dtype="float32")
    sizes = x.shape[2:]
    n = len(sizes)
    places = []
    for i, size in enumerate(sizes):
        at = grid.select(grid.ndim - 1, n - 1 - i)
        at = (at + 1) * ((size - 1) / 2) if align_corners else ((at + 1) * size - 1) / 2
        places.append(at if mode == "bicubic" else _brought_in(at, size, padding_mode, align_corners))
    if mode == "nearest":
        y = _picked(x, [at.detach().round() for at in places])
    else:
        floors = [at.detach().floor() for at in places]
        if mode == "bilinear":
            offsets, weights = range(2), [[low + 1 - at, at - low] for at, low in zip(places, floors)]
        else:
            offsets, weights = range(-1, 3), [_cubic_weights(at - low) for at, low in zip(places, floors)]
        taps: list[Any] = [[low + o for o in offsets] for low in floors]
        if mode == "bicubic":
            taps = [[_brought_in(at, size, padding_mode, align_corners) for at in ats] for ats, size in zip(taps, sizes)]
        y = None
        for k in product(range(len(offsets)), repeat=n):
            weight = weights[0][k[0]]
            for w, j in zip(weights[1:], k[1:]):
                weight = weight * w[j]
            term = _picked(x, [ats[j] for ats, j in zip(taps, k)]) * weight.reshape((x.shape[0], 1, *weight.shape[1:]))
            y = term if y is None else y + term
    return y.to(dtype=kind)


def _affine_canon(specs: Sequence[Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (theta,), size = specs, attrs["size"]
    n = len(size) - 2
    if n not in (2, 3) or theta.shape != (size[0], n, n + 1):
        raise ShapeError(
            "affine_grid takes theta[batch, n, n + 1] and a size (batch, channels, *n sizes) for n 2 or 3 "
            f"but was given {theta} and {size}"
        )
    return dict(attrs)


def _affine_sample(d: Any) -> Any:
    n, batch = d.int(2, 3), d.one((0, 1, 2, 4))
    return [d.array((batch, n, n + 1), d.dtype(FLOATS))], {
        "size": [batch, 1, *[d.int(1, 4) for _ in range(n)]],
        "align_corners": d.bool(),
    }


@composite("T -> T", FLOATS, canon=_affine_canon, sample=_affine_sample, method=False, terms=lambda theta, **_: 4,
           shape=lambda theta, *, size, **_: (size[0], *size[2:], len(size) - 2))  # fmt: skip
def affine_grid(theta, *, size: Shape, align_corners: bool = False):
    """The grid for ``grid_sample`` that maps an image of ``size`` by the matrices theta[batch, n, n + 1]."""
    sizes = size[2:]
    lines = [np.linspace(-1, 1, m) * (1 if align_corners else (m - 1) / m) if m > 1 else np.zeros(m) for m in sizes]
    mesh = np.meshgrid(*lines, indexing="ij")
    base = theta.new_tensor(np.stack([*[a.reshape(-1) for a in reversed(mesh)], np.ones(prod(sizes))], 1))
    return OPS["matmul"](base, theta.permute((0, 2, 1))).reshape((size[0], *sizes, len(sizes)))


# -- shuffles --------------------------------------------------------------------------------------


def _factor(what: str, x: Spec, r: int, fits: bool, wanted: str) -> None:
    if x.ndim < 3 or r < 1 or not fits:
        raise ShapeError(f"{what} by {r} takes x[.., {wanted} but was given {x}")


def _shuffle_shape(x: Spec, *, upscale_factor: int) -> tuple[int, ...]:
    *lead, c, h, w = x.shape
    return (*lead, c // upscale_factor**2, h * upscale_factor, w * upscale_factor)


def _shuffle_sample(d: Any) -> Any:
    r = d.int(1, 3)
    return [d.array((*d.shape(0, 2), r * r * d.int(0, 2), d.int(0, 3), d.int(0, 3)), d.dtype(EVERY))], {"upscale_factor": r}


def _shuffle_canon(specs: Sequence[Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), r = specs, attrs["upscale_factor"]
    _factor(
        "pixel_shuffle",
        x,
        r,
        x.ndim >= 3 and r > 0 and x.shape[-3] % (r * r) == 0,
        f"channels, h, w] with channels a multiple of {r * r}",
    )
    return dict(attrs)


@composite("S -> S", S=EVERY, canon=_shuffle_canon, wide=False,
           shape=_shuffle_shape, sample=_shuffle_sample)  # fmt: skip
def pixel_shuffle(x, *, upscale_factor: int):
    """x[.., channels * r * r, h, w] as [.., channels, h * r, w * r].  https://arxiv.org/abs/1609.05158"""
    r = upscale_factor
    *lead, c, h, w = x.shape
    n = len(lead)
    y = x.reshape((*lead, c // (r * r), r, r, h, w)).permute((*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return y.reshape((*lead, c // (r * r), h * r, w * r))


def _unshuffle_shape(x: Spec, *, downscale_factor: int) -> tuple[int, ...]:
    *lead, c, h, w = x.shape
    return (*lead, c * downscale_factor**2, h // downscale_factor, w // downscale_factor)


def _unshuffle_sample(d: Any) -> Any:
    r = d.int(1, 3)
    return [d.array((*d.shape(0, 2), d.int(0, 3), r * d.int(0, 2), r * d.int(0, 2)), d.dtype(EVERY))], {"downscale_factor": r}


def _unshuffle_canon(specs: Sequence[Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), r = specs, attrs["downscale_factor"]
    fits = x.ndim >= 3 and r > 0 and x.shape[-1] % r == 0 and x.shape[-2] % r == 0
    _factor("pixel_unshuffle", x, r, fits, f"channels, h, w] with h and w multiples of {r}")
    return dict(attrs)


@composite("S -> S", S=EVERY, canon=_unshuffle_canon, wide=False,
           shape=_unshuffle_shape, sample=_unshuffle_sample)  # fmt: skip
def pixel_unshuffle(x, *, downscale_factor: int):
    """x[.., channels, h * r, w * r] as [.., channels * r * r, h, w]: undoes ``pixel_shuffle``."""
    r = downscale_factor
    *lead, c, h, w = x.shape
    n = len(lead)
    y = x.reshape((*lead, c, h // r, r, w // r, r)).permute((*range(n), n, n + 2, n + 4, n + 1, n + 3))
    return y.reshape((*lead, c * r * r, h // r, w // r))


def _channel_sample(d: Any) -> Any:
    groups = d.int(1, 3)
    return [d.array((d.int(0, 2), groups * d.int(0, 2), *d.shape(0, 3)), d.dtype(EVERY))], {"groups": groups}


def _channel_canon(specs: Sequence[Any], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), groups = specs, attrs["groups"]
    if x.ndim < 2 or groups < 1 or x.shape[1] % groups:
        raise ShapeError(
            "channel_shuffle takes x[batch, channels, ..] with channels a multiple of the groups "
            f"but was given {x} and {groups} groups"
        )
    return dict(attrs)


@composite("S -> S", S=EVERY, canon=_channel_canon, wide=False, shape=lambda x, *, groups: x.shape,
           sample=_channel_sample)  # fmt: skip
def channel_shuffle(x, *, groups: int):
    """x[batch, groups * n, ..] with its channels in the order that takes one of each group in turn."""
    batch, channels, *sizes = x.shape
    y = x.reshape((batch, groups, channels // groups, *sizes)).permute((0, 2, 1, *range(3, 3 + len(sizes))))
    return y.reshape(x.shape)
