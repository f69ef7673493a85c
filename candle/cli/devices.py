"""List the devices that can be asked for, and whether they start."""

from __future__ import annotations

import argparse
from typing import Any

from .output import columns, print_json, size

examples = """
candle devices
candle devices --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    pass


def survey() -> list[dict[str, Any]]:
    """Each device's state: whether its backend starts, and if so what it has."""
    from ..device import get_default_device, names, resolve
    from ..errors import CandleError
    from ..op import OPS
    from ..plugins import offered

    try:
        default = str(get_default_device())
    except CandleError:
        default = ""
    found = []
    for name in names():
        plugin = offered("candle_backends").get(name, (None, None))[1]
        row: dict[str, Any] = {"device": name, "default": name == default, "plugin": plugin.name if plugin else "this process"}
        try:
            backend = resolve(name)
        except CandleError as e:
            found.append({**row, "works": False, "error": str(e)})
            continue
        kernels = sum(1 for op in OPS if op in backend.kernels)
        dtypes = [d.name for d in backend.dtypes]
        found.append({**row, "works": True, "ops": len(OPS), "kernels": kernels, "dtypes": dtypes, "memory": backend.memory()})
    return found


def run(args: argparse.Namespace) -> int:
    found = survey()
    if args.json:
        print_json(found)
        return 0
    rows = []
    for d in found:
        if d["works"]:
            memory = ", ".join(f"{k} {size(v)}" for k, v in d["memory"].items())
            text = f"{d['kernels']} kernels, {d['ops'] - d['kernels']} ops expand or are refused" + (
                f"; {memory}" if memory else ""
            )
        else:
            text = d["error"]
        rows.append([d["device"] + (" *" if d["default"] else ""), d["plugin"], "works" if d["works"] else "fails", text])
    print(columns(rows, ["device", "plugin", "state", ""]))
    print("\n* the default; CANDLE_DEVICE chooses another")
    return 0
