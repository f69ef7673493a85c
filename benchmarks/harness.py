"""Fair timings: contestants in turn, medians of several rounds, and the ratios between them."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from typing import Any, Callable, Mapping


def seconds(work: Callable[[], Any], least: float = 0.02) -> float:
    """The time of one call, from as many calls as take ``least`` seconds."""
    n = 1
    while True:
        start = time.perf_counter()
        for _ in range(n):
            work()
        taken = time.perf_counter() - start
        if taken >= least:
            return taken / n
        n = max(n * 2, int(n * least / max(taken, 1e-9)))


def alternate(
    contestants: Mapping[str, Callable[[], Any]], rounds: int = 15, measure: Callable[[Any], float] = seconds
) -> dict[str, list[float]]:
    """Measure each contestant in turn, round after round, so that a slow spell of the machine meets all of them."""
    for work in contestants.values():
        measure(work)
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, work in contestants.items():
            found[name].append(measure(work))
    return found


def ratio(a: list[float], b: list[float]) -> float:
    """The median of a's rounds over b's, pair by pair."""
    return statistics.median(x / y for x, y in zip(a, b))


def difference(a: list[float], b: list[float]) -> float:
    """The median of what a takes longer than b in the same round."""
    return statistics.median(x - y for x, y in zip(a, b))


def machine() -> dict[str, Any]:
    """What was measured on."""
    model = platform.processor()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            model = next((line.partition(":")[2].strip() for line in f if line.startswith("model name")), model)
    except OSError:
        pass
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version(), "system": platform.system()}


def table(rows: list[dict[str, Any]]) -> str:
    """Rows as aligned text: the goal met or not stands last."""
    columns = ["what", "candle", "peer", "figure", "goal", "met"]
    cells = [[str(r.get(c, "")) for c in columns] for r in rows]
    widths = [max(len(c), *(len(row[i]) for row in cells)) for i, c in enumerate(columns)]
    lines = [columns, ["-" * w for w in widths], *cells]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip() for line in lines)


def report(rows: list[dict[str, Any]], as_json: bool) -> str:
    return json.dumps({"machine": machine(), "rows": rows}, indent=1) if as_json else f"{machine()}\n{table(rows)}"
