"""Show what a file of tensors holds, without reading them."""

from __future__ import annotations

import argparse
import fnmatch

from .output import columns, print_json, size

examples = """
candle inspect model.safetensors
candle inspect model.safetensors.index.json --tensors 'layers.0.*'
candle inspect weights.npz --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="a file of any format that an installed plugin reads")
    parser.add_argument("--tensors", metavar="PATTERN", default="*", help="only these, * and ? allowed")
    parser.add_argument("--format", help="take it for this format, whatever its content says")


def run(args: argparse.Namespace) -> int:
    from ..formats import inspect

    found = inspect(args.file, args.format)
    shown = {k: v for k, v in found.tensors.items() if fnmatch.fnmatchcase(k, args.tensors)}
    said = found.as_dict()
    if args.json:
        print_json({**said, "tensors": {k: v for k, v in said["tensors"].items() if k in shown}})
        return 0
    print(f"{found.path}: {found.format}, {size(found.size)}, {len(found.tensors)} tensors, {said['parameters']:,} elements")
    for key, value in found.metadata.items():
        text = str(value).replace("\n", "\\n")
        print(f"  {key}: {text[:100]}{'...' if len(text) > 100 else ''}")
    if shown:
        print()
        print(
            columns(
                [[s.dtype, "x".join(map(str, s.shape)) or "scalar", size(s.nbytes), k] for k, s in shown.items()],
                ["dtype", "shape", "bytes", "name"],
            )
        )
    return 0
