"""Conversions between types: numbers, the small floats with and without saturation, text."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

import candle
from candle import Tensor
from candle.tensor import current_trace

from ..values import dtype_of, float_info, is_string


def converted(x: Any, to: int, saturate: bool = True, round_mode: str = "up") -> Any:
    """A value in another type, as the operator Cast says."""
    if to == TensorProto.STRING:
        return _text(x)
    wanted = dtype_of(to)
    if is_string(x):
        return candle.tensor(_parsed(x, wanted), device="numpy")
    if x.dtype is wanted:
        return x
    small = wanted.name.startswith("float8") or wanted.name.startswith("float4")
    if (small and x.dtype.kind == "f") or (small and x.dtype.name.startswith(("float8", "float4"))):
        return _to_small(x, wanted, saturate, round_mode)
    if wanted.name in ("int4", "uint4", "int2", "uint2") and x.dtype.kind in "fiu" and x.dtype.itemsize > 0:
        whole = x.to(dtype=candle.int32) if x.dtype.kind in "fiu" else x
        bits = 4 if "4" in wanted.name else 2
        kept = whole & ((1 << bits) - 1)
        signed = kept - ((kept >> (bits - 1)) << bits) if not wanted.name.startswith("u") else kept
        return signed.to(dtype=wanted)
    return x.to(dtype=wanted)


def _to_small(x: Tensor, wanted: Any, saturate: bool, round_mode: str) -> Tensor:
    """Rounded to the nearest, ties to even; beyond the range the largest number where ``saturate``, else infinity or NaN."""
    if current_trace() is not None and x.backend is current_trace():
        wide = x.to(dtype=candle.float32)
        top = float(float_info(wanted).max)
        if saturate:
            wide = candle.where(candle.isnan(wide), wide, wide.clamp(-top, top))
        return wide.to(dtype=wanted)
    return candle.tensor(small(np.asarray(x.numpy()).astype(np.float32), wanted, saturate, round_mode), device=x.device)


def small(array: Any, wanted: Any, saturate: bool = True, round_mode: str = "up") -> Any:
    """float32 numbers in one of the small types."""
    info = float_info(wanted)
    top = np.float32(info.max)
    name = wanted.name
    if name == "float8_e8m0fnu":
        return _powers_of_two(array, wanted, saturate, round_mode)
    with np.errstate(all="ignore"):
        if saturate or name == "float4_e2m1fn":
            clipped = np.clip(array, -top, top)
            keep = np.isnan(array)
            return np.where(keep, array, clipped).astype(wanted.numpy)
        made = array.astype(wanted.numpy)
        if "fnuz" in name or name.endswith("fn"):  # no infinities: NaN beyond the range
            beyond = np.isinf(array)
            made = np.where(beyond, np.float32("nan").astype(wanted.numpy), made)
    return made


def _powers_of_two(array: Any, wanted: Any, saturate: bool, round_mode: str) -> Any:
    with np.errstate(all="ignore"):
        mantissa, exponent = np.frexp(np.abs(array.astype(np.float64)))
    power = exponent - 1  # |x| = (2 * mantissa) * 2**power, the first between 1 and 2
    excess = 2 * mantissa
    if round_mode == "up":
        power = power + (excess > 1)
    elif round_mode == "nearest":
        power = power + (excess >= 1.5)
    low, high = -127, 127
    made = np.clip(power, low, high) + 127
    made = np.where(array == 0, 0, made)
    if not saturate:
        made = np.where((power > high) | np.isinf(array), 255, made)
    made = np.where(np.isinf(array) & saturate, 254, made)
    made = np.where(np.isnan(array), 255, made)
    return made.astype(np.uint8).view(wanted.numpy)


def _text(x: Any) -> Any:
    if is_string(x):
        return x
    array = np.asarray(x.numpy())
    if array.dtype.kind in "f" or array.dtype.kind == "V":
        words = [_number(v) for v in array.astype(np.float64 if array.dtype.itemsize == 8 else np.float32).reshape(-1)]
    else:
        words = [str(v) for v in array.reshape(-1).tolist()]
    return np.array(words, object).reshape(array.shape)


def _number(v: Any) -> str:
    if np.isnan(v):
        return "NaN"
    if np.isinf(v):
        return "INF" if v > 0 else "-INF"
    return str(v)


def _parsed(x: Any, wanted: Any) -> Any:
    if wanted.kind in "biu":
        numbers = np.array([int(float(s)) for s in x.reshape(-1)], np.int64)
    else:
        numbers = np.array([float(s) for s in x.reshape(-1)], np.float64)
    return (
        numbers.astype(np.float32 if wanted.kind == "V" or wanted.itemsize < 4 else numbers.dtype)
        .astype(wanted.numpy)
        .reshape(x.shape)
    )
