"""What an eager operation costs above its kernel: the sum of two 4x4 tensors, tracked or not, beside PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np

import candle

from .harness import alternate, difference, ratio, seconds


def rows() -> list[dict[str, Any]]:
    """On the reference, and on the C engine where it is installed."""
    from candle.device import names

    return [row for device in ("numpy", "cpu") if device in names() for row in _rows(device)]


def _rows(device: str) -> list[dict[str, Any]]:
    a, b = (candle.tensor(np.random.default_rng(n).random((4, 4), np.float32), device=device) for n in range(2))
    tracked = a.clone().requires_grad_()
    _ = a + b
    plan = a.backend.plans[candle.OPS["add"], a.spec, b.spec]
    kernel, out, x, y = plan.kernel, plan.out, a.value, b.value
    contestants = {
        "kernel": lambda: kernel(out, x, y),
        "eager": lambda: a + b,
        "tracked": lambda: tracked + b,
        "scalar": lambda: a * 2.0,
    }
    try:
        import torch
    except ImportError:
        torch = None
    if torch is not None:
        torch.set_num_threads(1)
        p, q = (torch.from_numpy(t.numpy().copy()) for t in (a, b))
        r = p.clone().requires_grad_()
        contestants |= {"torch eager": lambda: p + q, "torch tracked": lambda: r + q}
    found = alternate(contestants, measure=lambda work: seconds(work, 0.01))
    made = []
    for name in ("eager", "tracked"):
        over = difference(found[name], found["kernel"]) * 1e6
        mid = sorted(found[name])[len(found[name]) // 2] * 1e6
        made.append({"what": f"add 4x4, {name}, above the kernel ({device})", "candle": f"{mid:.2f} us", "peer": "kernel",
                     "figure": f"+{over:.2f} us", "goal": "at most +2 us", "met": over <= 2})  # fmt: skip
        if torch is not None:
            r_ = ratio(found[name], found[f"torch {name}"])
            made.append({"what": f"add 4x4, {name}, beside torch, 1 thread ({device})", "candle": f"{mid:.2f} us",
                         "peer": "torch", "figure": f"{r_:.2f}x its time", "goal": "at most 2.0x", "met": r_ <= 2})  # fmt: skip
    over = difference(found["scalar"], found["kernel"]) * 1e6
    made.append(
        {
            "what": f"mul 4x4 by a Python number, above the kernel ({device})",
            "peer": "kernel",
            "figure": f"+{over:.2f} us",
            "goal": "none yet",
        }
    )
    return made
