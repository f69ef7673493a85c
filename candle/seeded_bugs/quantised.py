"""Broken kernels over blocks of quantised dtypes."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from typing import Any

import numpy as np

from ..dtype import as_dtype
from .kernels import breaks_into

BUGS: list[Any] = []
breaks = breaks_into(BUGS)


def _kind(x: Any) -> str:
    return as_dtype(x.dtype).name


def _changed(x: Any, field: str, change: Any) -> Any:
    """Blocks with a field as a function makes it."""
    made = np.ascontiguousarray(x).copy()
    inner = made[_kind(x)]
    inner[field] = change(inner[field])
    return made


@breaks("dequantize")
def q4_0_takes_nibbles_in_pairs(good, out, x, **a):
    y = good(out, x, **a)
    return y.reshape(-1, 2, 16).swapaxes(1, 2).reshape(y.shape) if _kind(x) == "q4_0" else y


@breaks("dequantize")
def q5_1_forgets_the_fifth_bit(good, out, x, **a):
    return good(out, _changed(x, "qh", lambda v: v * 0) if _kind(x) == "q5_1" else x, **a)


@breaks("dequantize")
def q4_k_reads_the_scales_of_the_second_half_as_those_of_the_first(good, out, x, **a):
    return good(out, _changed(x, "scales", lambda v: v & 63) if _kind(x) == "q4_k" else x, **a)


@breaks("dequantize")
def q6_k_takes_scales_for_unsigned(good, out, x, **a):
    return good(out, _changed(x, "scales", np.abs) if _kind(x) == "q6_k" else x, **a)


@breaks("dequantize")
def iq4_nl_is_decoded_as_q4_0(good, out, x, **a):
    return good(out, x.view(as_dtype("q4_0").numpy) if _kind(x) == "iq4_nl" else x, **a)


@breaks("quantized_linear")
def the_bias_is_forgotten(good, out, x, w, bias):
    return good(out, x, w, None)


@breaks("quantized_linear")
def activations_have_one_scale_for_the_whole_row(good, out, x, w, bias):
    step = np.abs(x).max(-1, keepdims=True) / 15 if x.size else np.ones_like(x)
    return good(out, (np.round(x / np.where(step == 0, 1, step)) * step).astype(x.dtype), w, bias)


@breaks("quantized_linear")
def only_the_first_block_of_a_row_is_summed(good, out, x, w, bias):
    size = as_dtype(w.dtype).block
    return good(out, np.where(np.arange(x.shape[-1]) < size, x, 0).astype(x.dtype), w, bias)


@breaks("quantized_embedding")
def rows_are_counted_in_blocks(good, out, w, ids):
    flat = w.reshape(-1, 1)
    return good(out, w, ids) if w.shape[1] < 2 else good(out, np.repeat(flat[: w.shape[0]], w.shape[1], 1), ids)


@breaks("quantized_grouped_linear")
def every_row_goes_to_the_first_expert(good, out, x, w, ids):
    return good(out, x, w, ids * 0)


@breaks("quantize")
def q8_0_rounds_towards_zero(good, out, x, importance, *, dtype):
    y = good(out, x, importance, dtype=dtype)
    return _changed(y, "qs", lambda v: np.trunc(v * 0.97)) if dtype.name == "q8_0" else y
