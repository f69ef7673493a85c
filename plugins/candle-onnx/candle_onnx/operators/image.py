"""Pictures: other sizes, grids of places, regions, files."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

import candle
from candle import OPS, Tensor

from ..errors import OnnxError
from ..table import Host, operator
from .shape import _ints


def _floats(x: Any) -> tuple[float, ...] | None:
    return None if x is None or not np.asarray(x).size else tuple(float(v) for v in np.asarray(x).reshape(-1))


@operator("Resize", since=10)
def resize_by_scales(x: Tensor, scales: Host, *, mode: str = "nearest") -> Tensor:
    kind = "linear" if mode in ("linear", "bilinear") else "nearest"
    return OPS["resize"](x, scales=_floats(scales), mode=kind, coordinate_transformation_mode="asymmetric", nearest_mode="floor")


@operator("Resize", since=11)
def resize(
    x: Tensor,
    roi: Host = None,
    scales: Host = None,
    sizes: Host = None,
    *,
    antialias: int = 0,
    axes: list[int] | None = None,
    coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: int = 0,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch",
    mode: str = "nearest",
    nearest_mode: str = "round_prefer_floor",
) -> Tensor:
    wanted = None if sizes is None or not np.asarray(sizes).size else tuple(_ints(sizes))
    crop = coordinate_transformation_mode == "tf_crop_and_resize"
    return OPS["resize"](
        x, sizes=wanted, scales=None if wanted is not None else _floats(scales), dims=tuple(axes) if axes else None, mode=mode,
        coordinate_transformation_mode=coordinate_transformation_mode, nearest_mode=nearest_mode, cubic_coeff_a=cubic_coeff_a,
        exclude_outside=bool(exclude_outside), extrapolation_value=extrapolation_value, antialias=bool(antialias),
        roi=_floats(roi) if crop else None, keep_aspect_ratio_policy=keep_aspect_ratio_policy,
    )  # fmt: skip


@operator("GridSample")
def grid_sample(x: Tensor, grid: Tensor, *, align_corners: int = 0, mode: str = "linear", padding_mode: str = "zeros") -> Tensor:
    kind = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    return candle.grid_sample(x, grid.to(dtype=x.dtype), kind, padding_mode, bool(align_corners))


@operator("AffineGrid")
def affine_grid(theta: Tensor, size: Host, *, align_corners: int = 0) -> Tensor:
    return candle.affine_grid(theta, _ints(size), bool(align_corners))


def _bilinear(x: Tensor, batch: Tensor, ys: Tensor, xs: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The four points around places (of pictures by number), and their weights; [regions, c, ...] each."""
    n, c, h, w = x.shape
    outside = (ys < -1) | (ys > h) | (xs < -1) | (xs > w)
    ys, xs = ys.clamp(min=0), xs.clamp(min=0)
    y0, x0 = ys.floor().clamp(max=h - 1), xs.floor().clamp(max=w - 1)
    y1, x1 = (y0 + 1).clamp(max=h - 1), (x0 + 1).clamp(max=w - 1)
    fy = candle.where(y0 >= h - 1, candle.zeros_like(ys), ys - y0)
    fx = candle.where(x0 >= w - 1, candle.zeros_like(xs), xs - x0)
    flat = x.permute((0, 2, 3, 1)).reshape((n * h * w, c))
    base = batch.to(dtype=candle.int64) * (h * w)
    points, weights = [], []
    for py, wy in ((y0, 1 - fy), (y1, fy)):
        for px, wx in ((x0, 1 - fx), (x1, fx)):
            at = base + py.to(dtype=candle.int64) * w + px.to(dtype=candle.int64)
            points.append(OPS["embedding"](flat, at))
            weights.append(candle.where(outside, candle.zeros_like(ys), wy * wx).unsqueeze(-1))
    return points, weights


@operator("RoiAlign", since=10)
def roi_align_10(
    ctx: Any,
    x: Tensor,
    rois: Tensor,
    batch: Tensor,
    *,
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Tensor:
    return _roi_align(x, rois, batch, mode, output_height, output_width, sampling_ratio, spatial_scale, 0.0)


@operator("RoiAlign", since=16)
def roi_align(
    ctx: Any,
    x: Tensor,
    rois: Tensor,
    batch: Tensor,
    *,
    coordinate_transformation_mode: str = "half_pixel",
    mode: str = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Tensor:
    shift = 0.5 if coordinate_transformation_mode == "half_pixel" else 0.0
    return _roi_align(x, rois, batch, mode, output_height, output_width, sampling_ratio, spatial_scale, shift)


def _roi_align(
    x: Tensor, rois: Tensor, batch: Tensor, mode: str, oh: int, ow: int, ratio: int, scale: float, shift: float
) -> Tensor:
    """Regions cut out at points between pixels.  https://arxiv.org/abs/1703.06870, section 3"""
    from ..run import known

    boxes, numbers = np.asarray(known(rois), np.float64), np.asarray(known(batch))
    made = []
    for box, number in zip(boxes, numbers):
        x0, y0, x1, y1 = box * scale - shift
        w, h = x1 - x0, y1 - y0
        if not shift:
            w, h = max(w, 1.0), max(h, 1.0)
        bh, bw = h / oh, w / ow
        ny, nx = (ratio, ratio) if ratio > 0 else (max(int(np.ceil(bh)), 1), max(int(np.ceil(bw)), 1))
        ys = y0 + bh * (np.arange(oh)[:, None] + (np.arange(ny) + 0.5) / ny)
        xs = x0 + bw * (np.arange(ow)[:, None] + (np.arange(nx) + 0.5) / nx)
        grid_y = np.broadcast_to(ys[:, None, :, None], (oh, ow, ny, nx)).astype(np.float32)
        grid_x = np.broadcast_to(xs[None, :, None, :], (oh, ow, ny, nx)).astype(np.float32)
        at = candle.full((oh, ow, ny, nx), int(number), dtype=candle.int64)
        points, weights = _bilinear(
            x, at, candle.tensor(grid_y.copy()).to(dtype=x.dtype), candle.tensor(grid_x.copy()).to(dtype=x.dtype)
        )
        if mode == "max":
            parts = candle.stack([p * q for p, q in zip(points, weights)], dim=0)
            values = candle.amax(candle.amax(parts, dim=0), dim=(2, 3))
        else:
            total = points[0] * weights[0]
            for p, q in zip(points[1:], weights[1:]):
                total = total + p * q
            values = total.mean(dim=(2, 3))
        made.append(values.permute((2, 0, 1)))
    if not made:
        return candle.zeros((0, x.shape[1], oh, ow), dtype=x.dtype)
    return candle.stack(made, dim=0)


@operator("MaxRoiPool")
def max_roi_pool(ctx: Any, x: Tensor, rois: Tensor, *, pooled_shape: list[int], spatial_scale: float = 1.0) -> Tensor:
    """https://arxiv.org/abs/1504.08083, section 2.1"""
    from ..run import known

    (ph, pw), (h, w) = pooled_shape, x.shape[2:]
    made = []
    for number, *box in np.asarray(known(rois), np.float64):
        x0, y0, x1, y1 = (int(np.floor(v * spatial_scale + 0.5)) for v in box)
        height, width = max(y1 - y0 + 1, 1), max(x1 - x0 + 1, 1)
        rows = []
        for i in range(ph):
            for j in range(pw):
                a, b = (
                    min(max(int(f(k * s / p)) + o, 0), n)
                    for f, k, s, p, o, n in ((np.floor, i, height, ph, y0, h), (np.ceil, i + 1, height, ph, y0, h))
                )
                c, d = (
                    min(max(int(f(k * s / p)) + o, 0), n)
                    for f, k, s, p, o, n in ((np.floor, j, width, pw, x0, w), (np.ceil, j + 1, width, pw, x0, w))
                )
                part = x[int(number), :, a:b, c:d]
                rows.append(candle.amax(part, dim=(1, 2)) if b > a and d > c else candle.zeros(x.shape[1], dtype=x.dtype))
        made.append(candle.stack(rows, dim=1).reshape((x.shape[1], ph, pw)))
    return candle.stack(made, dim=0) if made else candle.zeros((0, x.shape[1], ph, pw), dtype=x.dtype)


@operator("ImageDecoder")
def image_decoder(ctx: Any, stream: Tensor, *, pixel_format: str = "RGB") -> Tensor:
    """A picture's file as uint8[h, w, channels]."""
    try:
        from PIL import Image
    except ModuleNotFoundError as e:
        raise OnnxError("ImageDecoder needs Pillow: pip install 'candle-onnx[images]'") from e
    from ..run import known

    picture = Image.open(io.BytesIO(np.asarray(known(stream)).astype(np.uint8).tobytes()))
    if pixel_format == "Grayscale":
        return candle.tensor(np.asarray(picture.convert("L"))[..., None].copy())
    array = np.asarray(picture.convert("RGB"))
    return candle.tensor((array[..., ::-1] if pixel_format == "BGR" else array).copy())
