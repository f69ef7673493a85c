"""``python -m benchmarks [--json] [NAME ...]``: every benchmark, one table."""

from __future__ import annotations

import argparse

from . import dispatch, embedding, jax_device, startup
from .harness import report

_ALL = {"startup": startup.rows, "dispatch": dispatch.rows, "embedding": embedding.rows, "jax": jax_device.rows}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*_ALL, []], help="which of them (all)")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    given = parser.parse_args()
    rows = [row for name, make in _ALL.items() if not given.names or name in given.names for row in make()]
    print(report(rows, given.json))


if __name__ == "__main__":
    main()
