"""Elementwise ops, reductions, softmax, norms and gelu on 1e5 to 1e7 elements, beside PyTorch eager at equal threads."""

from __future__ import annotations

import math
import statistics
from typing import Any, Callable

import numpy as np

import candle

from .harness import alternate, ratio, seconds

SIZES = (100_000, 1_000_000, 10_000_000)
COLUMNS = 1000

Work = Callable[[Any, Any, Any, Any], Any]  # (library, x, y, w) -> result; x and y are [rows, COLUMNS], w [COLUMNS]

# name -> (the work in candle, the work in torch, floats read and written per element)
WORK: dict[str, tuple[Work, Work, int]] = {
    "add": (lambda c, x, y, w: x + y, lambda t, x, y, w: x + y, 3),
    "mul by a number": (lambda c, x, y, w: x * 2.5, lambda t, x, y, w: x * 2.5, 2),
    "add a row": (lambda c, x, y, w: x + w, lambda t, x, y, w: x + w, 2),
    "exp": (lambda c, x, y, w: x.exp(), lambda t, x, y, w: x.exp(), 2),
    "tanh": (lambda c, x, y, w: x.tanh(), lambda t, x, y, w: x.tanh(), 2),
    "sigmoid": (lambda c, x, y, w: x.sigmoid(), lambda t, x, y, w: x.sigmoid(), 2),
    "gelu": (lambda c, x, y, w: candle.nn.functional.gelu(x), lambda t, x, y, w: t.nn.functional.gelu(x), 2),
    "less": (lambda c, x, y, w: x < y, lambda t, x, y, w: x < y, 3),
    "sum": (lambda c, x, y, w: x.sum(), lambda t, x, y, w: x.sum(), 1),
    "sum of rows": (lambda c, x, y, w: x.sum(-1), lambda t, x, y, w: x.sum(-1), 1),
    "sum of columns": (lambda c, x, y, w: x.sum(0), lambda t, x, y, w: x.sum(0), 1),
    "max of rows": (lambda c, x, y, w: x.amax(-1), lambda t, x, y, w: x.amax(-1), 1),
    "argmax of rows": (lambda c, x, y, w: x.argmax(-1), lambda t, x, y, w: x.argmax(-1), 1),
    "softmax": (lambda c, x, y, w: x.softmax(-1), lambda t, x, y, w: x.softmax(-1), 2),
    "layer norm": (
        lambda c, x, y, w: candle.nn.functional.layer_norm(x, (COLUMNS,), w, w),
        lambda t, x, y, w: t.nn.functional.layer_norm(x, (COLUMNS,), w, w),
        2,
    ),
}


def measured(name: str, size: int, threads: int, rounds: int = 9) -> tuple[float, list[float], list[float]]:
    """How many times torch's speed is reached, and both contestants' times."""
    import torch

    ours, theirs, _ = WORK[name]
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s, np.float32) for s in ((size // COLUMNS, COLUMNS),) * 2 + ((COLUMNS,),)]
    mine = [candle.tensor(a, device="cpu") for a in arrays]
    his = [torch.from_numpy(a.copy()) for a in arrays]
    candle.set_num_threads(threads)
    torch.set_num_threads(threads)
    with candle.no_grad(), torch.no_grad():
        found = alternate(
            {"candle": lambda: ours(candle, *mine), "torch": lambda: theirs(torch, *his)},
            rounds,
            lambda work: seconds(work, 0.01),
        )
    return 1 / ratio(found["candle"], found["torch"]), found["candle"], found["torch"]


def rows(threads: tuple[int, ...] = (1, 2)) -> list[dict[str, Any]]:
    """One row per work and number of threads: the geometric mean of the sizes' ratios, and the worst of them."""
    made = []
    for name, (_, _, floats) in WORK.items():
        for n in threads:
            ratios, amounts = [], []
            for size in SIZES:
                gain, ours, _ = measured(name, size, n)
                ratios.append(gain)
                amounts.append(floats * 4 * size / statistics.median(ours) / 1e9)
            mean, worst = math.exp(statistics.fmean(map(math.log, ratios))), min(ratios)
            made.append({
                "what": f"{name}, 1e5 to 1e7 float32, {n} thread{'s' * (n > 1)}",
                "candle": f"{amounts[-1]:.1f} GB/s",
                "peer": "torch",
                "figure": f"{mean:.2f}x its speed (worst {worst:.2f})",
                "goal": "1.0, no size below 0.9",
                "met": mean >= 1 and worst >= 0.9,
            })  # fmt: skip
    return made
