"""Attention beside PyTorch's scaled_dot_product_attention: heads of 64 and 128, 128 to 4096 keys, and decoding."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np

import candle

from .harness import alternate, ratio, seconds

# batch, heads, queries, keys, size of a head, causal
SHAPES = [
    (1, 12, 128, 128, 64, False), (8, 12, 128, 128, 64, False), (1, 12, 512, 512, 64, True), (1, 8, 1024, 1024, 128, True),
    (1, 4, 4096, 4096, 64, False), (1, 32, 1, 1024, 128, False), (1, 32, 1, 4096, 64, False),
]  # fmt: skip


def rows(threads: tuple[int, ...] = (1, 2)) -> list[dict[str, Any]]:
    import torch

    made = []
    for batch, heads, n, m, d, causal in SHAPES:
        rng = np.random.default_rng(0)
        arrays = [rng.standard_normal((batch, heads, size, d), np.float32) for size in (n, m, m)]
        mine = [candle.tensor(a, device="cpu") for a in arrays]
        his = [torch.from_numpy(a.copy()) for a in arrays]
        for t in threads:
            candle.set_num_threads(t)
            torch.set_num_threads(t)
            with candle.no_grad(), torch.no_grad():
                found = alternate(
                    {
                        "candle": lambda: candle.attention(*mine, causal=causal),
                        "torch": lambda: torch.nn.functional.scaled_dot_product_attention(*his, is_causal=causal),
                    },
                    9,
                    lambda work: seconds(work, 0.01),
                )
            gain, took = 1 / ratio(found["candle"], found["torch"]), statistics.median(found["candle"])
            flops = 4 * batch * heads * n * m * d * (0.5 if causal else 1.0)
            speed = f"{flops / took / 1e9:.0f} GFLOP/s" if n > 1 else f"{8 * batch * heads * m * d / took / 1e9:.1f} GB/s"
            made.append({
                "what": f"attention {batch}x{heads} heads of {d}, {n} by {m}{', causal' * causal}, {t} thread{'s' * (t > 1)}",
                "candle": speed, "peer": "torch", "figure": f"{gain:.2f}x its speed", "goal": "2.0", "met": gain >= 2,
            })  # fmt: skip
    return made
