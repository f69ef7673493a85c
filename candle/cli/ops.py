"""List the operations: signature, kind, what each does."""

from __future__ import annotations

import argparse
import fnmatch

from .output import columns, print_json

examples = """
candle ops
candle ops 'scatter*'
candle ops --group conv --json
candle ops --kind required
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="?", default="*", help="a name, * and ? allowed")
    parser.add_argument("--group", help="only those of one family, such as reduce")
    parser.add_argument("--kind", choices=["required", "primitive", "composite"], help="only those of one kind")


def run(args: argparse.Namespace) -> int:
    import difflib
    import sys

    from ..op import OPS
    from ..plugins import load_ops
    from .docs import kind

    load_ops()
    found = [
        op
        for op in sorted(OPS.values(), key=lambda op: (op.group, op.name))
        if fnmatch.fnmatchcase(op.name, args.pattern) and args.group in (None, op.group) and args.kind in (None, kind(op))
    ]
    if not found:
        near = difflib.get_close_matches(args.pattern, OPS, 1)
        hint = (
            f"; did you mean {near[0]!r}?" if near else f"; the groups are {', '.join(sorted({op.group for op in OPS.values()}))}"
        )
        print(f"candle: no op is called {args.pattern!r} here{hint}", file=sys.stderr)
        return 2
    if args.json:
        print_json(
            [
                {
                    "name": op.name, "group": op.group, "kind": kind(op), "signature": op.signature, "call": op.torchlike,
                    "types": {k: [d.name for d in v] for k, v in op.types.items()},
                    "gradient": op.vjp is not None or op.composite,
                    "expands": op.composite or op.expand is not None, "dynamic": op.dynamic, "doc": op.doc.partition("\n")[0],
                }
                for op in found
            ]
        )  # fmt: skip
        return 0
    print(
        columns(
            [[op.name, op.group, kind(op), op.signature, op.doc.partition("\n")[0]] for op in found],
            ["op", "group", "kind", "signature", ""],
        )
    )
    print(f"\n{len(found)} ops")
    return 0
