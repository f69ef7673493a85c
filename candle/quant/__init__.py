"""GGML's block-quantised kinds: blocks to float32 and back.  Layouts: ``candle.dtype``; source: GGML, ggml-quants.c.

Decoding and the encoding of the simple, ternary and microscaled kinds agree bit for bit with GGML's reference; the K kinds
and IQ4 search for scales as GGML does and stay within its error bounds.  Everything is vectorised over blocks.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Callable

import numpy as np

from ..dtype import QUANTISED, DType, as_dtype
from ..errors import DTypeError, ShapeError
from .bits import in_order

__all__ = ["ENCODABLE", "decode", "encode"]

_MODULES = {
    "simple": ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q8_1"),
    "k": ("q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "q8_k"),
    "codebook": ("iq2_xxs", "iq2_xs", "iq2_s", "iq3_xxs", "iq3_s", "iq1_s", "iq1_m"),
    "nonlinear": ("iq4_nl", "iq4_xs", "mxfp4", "nvfp4"),
    "ternary": ("tq1_0", "tq2_0"),
}  # fmt: skip
_HOME = {name: module for module, names in _MODULES.items() for name in names}
ENCODABLE = tuple(d for d in QUANTISED if _HOME[d.name] != "codebook" and d.name != "nvfp4")
"""The kinds that ``encode`` makes."""
_CHUNK = 1 << 18  # elements at a time: what is worked on stays in the cache


def _table(name: str, what: str) -> Any:
    module = importlib.import_module(f".{_HOME[name]}", __name__)
    return getattr(module, what).get(name)


def decode(blocks: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The values of an array of blocks [.., n] as float32 [.., n * elements of a block]."""
    dtype = as_dtype(blocks.dtype)
    function: Callable[[Any], Any] = _table(dtype.name, "DECODERS")
    flat = np.ascontiguousarray(blocks).reshape(-1)[dtype.name]
    found = np.empty((flat.size, dtype.block), np.float32)
    step = max(_CHUNK // dtype.block, 1)
    with np.errstate(all="ignore"):
        for at in range(0, flat.size, step):
            found[at : at + step] = function(flat[at : at + step])
    return found.reshape((*blocks.shape[:-1], blocks.shape[-1] * dtype.block))


def encode(x: np.ndarray[Any, Any], dtype: Any, importance: np.ndarray[Any, Any] | None = None) -> np.ndarray[Any, Any]:
    """The blocks nearest to the values x [.., k].

    ``importance`` [k] says how much an error in each column matters (an importance matrix); GGML uses it for the K kinds to
    6 bits, Q4_0 to Q5_1 and IQ4, and so is it here.  Raises DTypeError for kinds that are only decoded and for NaN and
    infinities, ShapeError where k is no multiple of the block.
    """
    kind: DType = as_dtype(dtype)
    function: Callable[..., Any] | None = _table(kind.name, "ENCODERS") if kind.name in _HOME else None
    if function is None:
        names = ", ".join(d.name for d in ENCODABLE)
        raise DTypeError(f"quantize makes {names}; {kind} is only decoded" if kind.kind == "q" else f"quantize makes {names}")
    if x.ndim < 1 or x.shape[-1] % kind.block:
        raise ShapeError(f"{kind} packs {kind.block} elements of the last dimension together but the shape {x.shape} was given")
    k = x.shape[-1]
    if importance is not None:
        importance = np.asarray(importance, np.float32)
        if importance.shape != (k,) or not np.isfinite(importance).all() or (importance < 0).any():
            raise ShapeError(f"the importance is [{k}], finite and at least 0, but was given as {importance.shape}")
    rows = x.reshape(-1, k)
    per_row = k // kind.block
    found = np.empty((rows.shape[0], per_row), kind.numpy)
    step = max(_CHUNK // max(k, 1), 1)

    def some(at: int) -> None:
        part = np.ascontiguousarray(rows[at : at + step], np.float32)
        if not np.isfinite(part).all():
            raise DTypeError(f"{kind} holds finite values but was given NaN or infinities")
        out = np.zeros(part.size // kind.block, kind.numpy)
        with np.errstate(all="ignore"):
            given = None if importance is None else Importance(importance, part, kind.block)
            function(part.reshape(-1, kind.block), out[kind.name], given)
        found[at : at + step] = out.reshape(-1, per_row)

    if rows.size:
        _each(some, range(0, rows.shape[0], step))
    return found.reshape((*x.shape[:-1], per_row))


def _each(function: Callable[[int], None], places: range) -> None:
    """Call a function for each place, in as many threads as there are processors: NumPy computes without the lock."""
    threads = min(len(places), os.cpu_count() or 1)
    if threads < 2:
        for at in places:
            function(at)
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(function, places):
            pass


class Importance:
    """An importance matrix beside the rows that are encoded: per block, and with the mean square of each row."""

    def __init__(self, columns: np.ndarray[Any, Any], rows: np.ndarray[Any, Any], block: int) -> None:
        n, k = rows.shape
        self.blocks = np.broadcast_to(columns, (n, k)).reshape(-1, block)
        mean = in_order(rows * rows) / np.float32(k)
        self.row_square = np.repeat(mean, k // block)[:, None]  # of the row that each block is in
