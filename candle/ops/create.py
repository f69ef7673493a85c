"""Tensors made from nothing: constants, ranges, identities."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..op import DType, Shape, primitive


@primitive("-> dtype", required=True, method=False, shape=lambda *, shape, value, dtype: shape)
def full(*, shape: Shape, value: Any, dtype: DType):
    """One number everywhere."""
    return np.broadcast_to(np.asarray(value).astype(dtype.numpy), shape)


@primitive("-> dtype", required=True, method=False, shape=lambda *, start, step, length, dtype: (length,))
def arange(*, start: Any, step: Any, length: int, dtype: DType):
    """start, start + step, ..."""
    return (start + step * np.arange(length)).astype(dtype.numpy)
