"""List the installed plugins, from their metadata: nothing is loaded."""

from __future__ import annotations

import argparse

from .output import columns, print_json

examples = """
candle plugins
candle plugins --load --json
CANDLE_PLUGINS=jax candle plugins
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--load", action="store_true", help="load them, to list what each offers")


def run(args: argparse.Namespace) -> int:
    from .. import plugins

    if args.load:
        for hook in plugins.HOOKS:
            if hook != "candle_kernels":
                plugins.offered(hook)
    found = plugins.plugins()
    if args.json:
        print_json([p.as_dict() for p in found])
        return 0
    rows = []
    for p in found:
        api = ".".join(map(str, p.api)) if p.api else "?"
        offers = (
            "; ".join(f"{hook.removeprefix('candle_')}: {', '.join(names)}" for hook, names in p.offers.items())
            if args.load
            else p.module
        )
        rows.append([p.name, p.package or "-", p.version or "-", api, p.status, offers])
    print(columns(rows, ["name", "package", "version", "api", "status", "offers" if args.load else "module"]))
    failed = [p for p in found if p.error is not None]
    if failed:
        print(f"\n{len(failed)} not loaded; `candle doctor` says why")
    return 0
