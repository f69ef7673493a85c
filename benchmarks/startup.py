"""What ``import candle`` costs beside ``import numpy``: whole processes in turn, and what they hold in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from .harness import alternate, difference, ratio

_CLOCK = "import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
_MEMORY = "import {module}, resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"


def _ask(program: str) -> float:
    env = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONDONTWRITEBYTECODE")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env)
    return float(done.stdout)


def rows() -> list[dict[str, Any]]:
    found = alternate({m: _CLOCK.format(module=m) for m in ("numpy", "candle")}, rounds=11, measure=_ask)
    memory = {m: _ask(_MEMORY.format(module=m)) for m in ("numpy", "candle")}
    r = ratio(found["candle"], found["numpy"])
    over = difference(found["candle"], found["numpy"]) * 1e3
    mid = sorted(found["candle"])[len(found["candle"]) // 2] * 1e3
    return [
        {"what": "import candle, beside import numpy", "candle": f"{mid:.0f} ms", "peer": "numpy",
         "figure": f"{r:.2f}x (+{over:.0f} ms)", "goal": "at most 2x", "met": r <= 2},
        {"what": "resident memory after the import", "candle": f"{memory['candle']:.0f} MB", "peer": "numpy",
         "figure": f"+{memory['candle'] - memory['numpy']:.0f} MB", "goal": "under 60 MB", "met": memory["candle"] < 60},
    ]  # fmt: skip
