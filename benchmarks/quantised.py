"""Products with block-quantised weights: decoding (few rows) as a share of reading's speed, prefill in operations a second."""

from __future__ import annotations

import contextlib
import importlib
import os
from typing import Any

import numpy as np

import candle
from candle.dtype import as_dtype

from .harness import alternate, ratio, seconds

KINDS = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs", "mxfp4")
N, K = 8192, 4096


def weight(kind: str, rng: Any) -> Any:
    """A weight of random blocks; their scales are small."""
    dtype = as_dtype(kind)
    blocks = rng.integers(0, 256, (N, K // dtype.block, dtype.itemsize), np.uint8)
    found = blocks.view(dtype.numpy).reshape(N, K // dtype.block)
    inner = found[dtype.name]
    for name in ("d", "m", "dmin"):
        if name in inner.dtype.names:
            inner[name] = 0.01
    if "e" in inner.dtype.names:
        inner["e"] = 120
    return candle.tensor(found, device="cpu")


def rows() -> list[dict[str, Any]]:
    from candle_cpu import measure

    rng = np.random.default_rng(0)
    made = []
    torch: Any = None
    with contextlib.suppress(ImportError):
        torch = importlib.import_module("torch")
    for threads in [1, 2] if (os.cpu_count() or 1) > 1 else [1]:
        x1, x512 = (candle.tensor(rng.standard_normal((m, K)).astype(np.float32), device="cpu") for m in (1, 512))
        x1.backend.threads = threads
        peak, reading = measure.operations_per_second(), measure.bytes_per_second()
        made.append(
            {"what": f"the machine, {threads} threads", "candle": f"{peak / 1e9:.0f} GFLOP/s f32, {reading / 1e9:.1f} GB/s"}
        )
        dense = candle.tensor(rng.standard_normal((N, K)).astype(np.float32), device="cpu")
        for kind in KINDS:
            w = weight(kind, rng)
            size = w.shape[0] * w.shape[1] // w.dtype.block * w.dtype.itemsize
            contestants: dict[str, Any] = {
                "decode": lambda w=w: candle.linear(x1, w), "prefill": lambda w=w: candle.linear(x512, w),
                "read": lambda: measure.bytes_per_second(1 << 26, 1), "dense": lambda: candle.linear(x512, dense),
            }  # fmt: skip
            if torch is not None:
                torch.set_num_threads(threads)
                p, q = torch.from_numpy(x512.numpy().copy()), torch.from_numpy(dense.numpy().copy())
                contestants["torch"] = lambda p=p, q=q: torch.nn.functional.linear(p, q)
            found = alternate(contestants, rounds=3, measure=lambda work: seconds(work, 0.005))
            speed, fast = size / min(found["decode"]), 2 * 512 * N * K / min(found["prefill"])
            row = {"what": f"{kind} {N}x{K}, {threads} threads: decode; prefill of 512", "goal": "decode 0.9 of reading",
                   "candle": f"{speed / 1e9:.1f} GB/s; {fast / 1e9:.0f} GOP/s", "peer": "reading; torch f32",
                   "figure": f"{speed / reading:.2f} of reading", "met": speed >= 0.9 * reading}  # fmt: skip
            if torch is not None:
                row["figure"] += f"; {1 / ratio(found['prefill'], found['torch']):.2f}x torch f32"
            made.append(row)
    return made
