"""How many threads to use: what the machine, its container and CANDLE_NUM_THREADS allow."""

from __future__ import annotations

import os
from pathlib import Path


def _quota() -> float | None:
    """The processors a Linux control group grants, version 2 or 1, or None where it sets no limit."""
    try:
        groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return None
    least: float | None = None
    for number, controllers, path in groups:
        roots = [Path("/sys/fs/cgroup")] if number == "0" else [Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/cpu,cpuacct")]
        if number != "0" and "cpu" not in controllers.split(","):
            continue
        for root in roots:
            folder = root / path.lstrip("/")
            for place in (folder, *folder.parents):
                found = _limit(place)
                if found is not None:
                    least = found if least is None else min(least, found)
                if place == root:
                    break
    return least


def _limit(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        return int(quota) / int(period) if int(quota) > 0 else None
    except (ValueError, ZeroDivisionError):
        return None  # "max"


def _cores() -> int:
    """The processors this process may run on, those that share a core counted once."""
    try:
        allowed = os.sched_getaffinity(0)
    except AttributeError:
        return os.cpu_count() or 1
    cores = set()
    for cpu in allowed:
        try:
            cores.add(Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text().strip())
        except OSError:
            cores.add(str(cpu))
    return len(cores) or 1


def default_threads() -> int:
    """CANDLE_NUM_THREADS, else one for each core within the limit of the control group.

    Raises ValueError where the variable is no number of threads.
    """
    asked = os.environ.get("CANDLE_NUM_THREADS", "").strip()
    if asked:
        if not asked.isdigit() or not 1 <= int(asked) <= 256:
            raise ValueError(f"CANDLE_NUM_THREADS is a number from 1 to 256 but {asked!r} was given; unset it for one a core")
        return int(asked)
    quota = _quota()
    threads = _cores()
    return max(1, min(threads, 256) if quota is None else min(threads, 256, round(quota + 0.25)))
