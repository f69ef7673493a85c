"""``python -m benchmarks [--json] [NAME ...]``: every benchmark, one table.  A module here that has ``rows()`` is one."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from pathlib import Path

from .harness import report

NAMES = sorted({m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)])} - {"__main__", "harness"})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], help="which of them (all)")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    given = parser.parse_args()
    modules = [importlib.import_module(f"benchmarks.{name}") for name in given.names or NAMES]
    print(report([row for m in modules if hasattr(m, "rows") for row in m.rows()], given.json))


if __name__ == "__main__":
    main()
