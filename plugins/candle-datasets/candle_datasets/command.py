"""List the datasets that plugins offer, or look into one."""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

examples = """
candle datasets
candle datasets mnist --option split=test
candle datasets table --option path=iris.csv
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="a dataset to look into")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="passed on to it; may be repeated")


def run(args: argparse.Namespace) -> int:
    from candle import CandleError, plugins

    if args.name is None:
        rows = {k: plugin.name for k, (_, plugin) in sorted(plugins.offered("candle_datasets").items())}
        print(json.dumps(rows, indent=2) if args.json else "\n".join(f"{k:20} {v}" for k, v in rows.items()))
        return 0
    options = {}
    for option in args.option:
        key, equals, value = option.partition("=")
        if not equals:
            raise CandleError(f"--option takes KEY=VALUE but {option!r} was given")
        options[key] = value
    from . import load

    try:
        dataset = load(args.name, **options)
    except TypeError as e:
        raise CandleError(f"the dataset {args.name!r} does not take these options: {e}") from e
    first = _said(dataset[0]) if len(dataset) and not isinstance(dataset, str) else None
    said = {"name": args.name, "length": len(dataset), "kind": type(dataset).__name__, "first": first}
    print(json.dumps(said, indent=2) if args.json else "\n".join(f"{k}: {v}" for k, v in said.items()))
    return 0


def _said(x: Any) -> Any:
    if isinstance(x, tuple):
        return [_said(v) for v in x]
    if isinstance(x, dict):
        return {k: _said(v) for k, v in x.items()}
    if isinstance(x, np.ndarray):
        return f"{x.dtype}{list(x.shape)}"
    return x.item() if isinstance(x, np.generic) else x if isinstance(x, (int, float, str)) else str(x)
