"""Check that a device does what the reference does: conformance, level by level."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .output import columns, print_json

examples = """
candle check numpy --level ops --op 'conv*'
candle check jax --report report.json --badge badge.svg --xfail xfail.txt
candle check --kill-rate --json
candle check --kill-rate --bugs my_bugs.py
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("device", nargs="?", help="the device to check; not needed with --kill-rate")
    parser.add_argument("--level", action="append", metavar="LEVEL", help="only this level (storage, ops, ...); may be repeated")
    parser.add_argument("--op", action="append", metavar="PATTERN", help="only these ops, * and ? allowed; may be repeated")
    parser.add_argument("--examples", type=int, metavar="N", help="how many examples to draw of each op")
    parser.add_argument("--most", type=int, metavar="N", help="try at most this many cases of each op, spread over all")
    parser.add_argument("--xfail", metavar="FILE", help="known gaps: one op a line, a colon, the reason")
    parser.add_argument("--report", metavar="FILE.json", help="write the report to this file")
    parser.add_argument("--badge", metavar="FILE.svg", help="write a badge to this file")
    parser.add_argument("--kill-rate", action="store_true", help="check the suite itself: how many seeded bugs does it find?")
    parser.add_argument("--bugs", action="append", metavar="FILE.py", help="with --kill-rate: seed the bugs of this file as well")


def run(args: argparse.Namespace) -> int:
    try:
        from .. import testing
    except ModuleNotFoundError as e:
        from ..errors import CandleError

        raise CandleError(f"checking needs {e.name}, which is not installed: pip install 'candle[testing]'") from e
    if args.device is None and not args.kill_rate:
        from ..errors import CandleError

        raise CandleError("candle check takes a device, such as: candle check numpy; `candle devices` lists them")
    if args.kill_rate:
        found = testing.kill_rate(bugs=args.bugs or [], examples=args.examples)
        if args.json:
            print_json(found)
        else:
            print(f"{found['killed']} of {found['seeded']} seeded bugs were found")
            print("\n".join(f"survived: {name}" for name in found["survivors"]))
            print("\n".join(f"no bug: {name}: {why}" for name, why in found["no bugs"].items()))
        return 0 if found["killed"] == found["seeded"] else 1
    report = testing.check(args.device, levels=args.level, ops=args.op, examples=args.examples, xfail=args.xfail, most=args.most)
    said = report.as_dict()
    if args.report:
        Path(args.report).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
    if args.badge:
        Path(args.badge).write_text(report.badge(), encoding="utf-8")
    if args.json:
        print_json(said)
    else:
        print(columns([[k, v] for k, v in said["summary"].items()], [said["device"], ""]))
        for failure in report.failures:
            print(f"\n{failure}")
    return 1 if report.failures else 0
