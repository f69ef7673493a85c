"""What the machine can do at most, measured by the engine's own loops: multiply-adds from registers, reading memory."""

from __future__ import annotations

import time
from typing import Any, Callable

import numpy as np

from candle.dtype import as_dtype

from . import _engine
from .dtypes import CODES, from_array


def _rate(work: Callable[[], float], rounds: int) -> float:
    best = 0.0
    for _ in range(rounds):
        start = time.perf_counter()
        done = work()
        best = max(best, done / (time.perf_counter() - start))
    return best


def _number(array: Any) -> float:
    return float(memoryview(array)[0])


def _kernel(name: str, operands: int, ints: list[int]) -> Any:
    wide = CODES[as_dtype("float64")]
    return _engine.kernel(name, wide, [((1,), wide)], operands, ints, [], True)


def operations_per_second(rounds: int = 7) -> float:
    """Single-precision operations from registers, two to a multiply-add, of all the engine's threads together."""
    kernel = _kernel("multiply_adds", 0, [2_000_000])
    return _rate(lambda: _number(kernel(None)), rounds)


def bytes_per_second(size: int = 1 << 28, rounds: int = 7) -> float:
    """Bytes read from memory by all the engine's threads together, out of a buffer of ``size`` bytes."""
    buffer = from_array(np.ones(size // 8))  # written to, so that there is memory behind it
    kernel = _kernel("reads", 1, [])
    return _rate(lambda: _number(kernel(None, buffer)), rounds)
