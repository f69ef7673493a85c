"""Look for what is wrong: versions, settings, plugins with their tracebacks, devices that do not start."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib import metadata
from typing import Any

from .output import columns, print_json

examples = """
candle doctor
candle doctor --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    pass


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name in (
        "candle",
        "numpy",
        "ml_dtypes",
        "pluggy",
        "safetensors",
        "tokenizers",
        "huggingface_hub",
        "hypothesis",
        "pytest",
    ):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def _works(name: str) -> str | None:
    """Why a device does not add two and two, or None if it does."""
    from .. import tensor

    try:
        four = (tensor([2.0], device=name) + tensor([2.0], device=name)).item()
        return None if four == 4 else f"2 + 2 is {four} there"
    except Exception as e:
        return f"{type(e).__name__}: {e}"


def examine() -> dict[str, Any]:
    """All that a bug report should say."""
    from .. import plugins
    from .devices import survey

    for hook in plugins.HOOKS:
        if hook != "candle_kernels":
            plugins.offered(hook)
    devices = survey()
    for d in devices:
        if d["works"]:
            d["error"] = _works(d["device"])
            d["works"] = d["error"] is None
    import traceback

    troubles = [
        {"plugin": p.name, "what": text, "traceback": "" if e is None else "".join(traceback.format_exception(e))}
        for p, text, e in plugins.problems()
    ]
    return {
        "python": sys.version.partition(" ")[0],
        "platform": platform.platform(),
        "versions": _versions(),
        "environment": {k: v for k, v in sorted(os.environ.items()) if k.startswith("CANDLE_")},
        "plugins": [p.as_dict() for p in plugins.plugins()],
        "devices": devices,
        "problems": troubles,
    }


def run(args: argparse.Namespace) -> int:
    found = examine()
    sick = found["problems"] or [d for d in found["devices"] if not d["works"]]
    if args.json:
        print_json({"ok": not sick, **found})
        return 1 if sick else 0
    print(f"python {found['python']} on {found['platform']}")
    print(", ".join(f"{k} {v or '(not installed)'}" for k, v in found["versions"].items()))
    for k, v in found["environment"].items():
        print(f"{k}={v}")
    print()
    print(
        columns(
            [[p["name"], p["package"] or "-", p["version"] or "-", p["status"]] for p in found["plugins"]],
            ["plugin", "package", "version", "status"],
        )
    )
    print()
    print(
        columns(
            [[d["device"], "works" if d["works"] else "fails", d.get("error") or ""] for d in found["devices"]],
            ["device", "state", ""],
        )
    )
    for t in found["problems"]:
        print(f"\nproblem: {t['what']}")
        if t["traceback"]:
            print("    " + t["traceback"].rstrip().replace("\n", "\n    "))
    print("\n" + (f"{len(found['problems'])} problems" if sick else "all well"))
    return 1 if sick else 0
