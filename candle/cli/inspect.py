"""Show what a file of tensors holds, without reading them."""

from __future__ import annotations

import argparse
import fnmatch
from typing import Any

from .output import columns, print_json, size

examples = """
candle inspect model.safetensors
candle inspect model.safetensors.index.json --tensors 'layers.0.*'
candle inspect model-q4_k.gguf
candle inspect weights.npz --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="a file of any format that an installed plugin reads")
    parser.add_argument("--tensors", metavar="PATTERN", default="*", help="only these, * and ? allowed")
    parser.add_argument("--format", help="take it for this format, whatever its content says")


def _short(value: object) -> str:
    """A value of the metadata in one line; of long lists how many there are and the first."""
    if not isinstance(value, (str, bytes, dict)) and hasattr(value, "__len__") and len(value) > 8:
        shown: Any = value
        text = f"[{', '.join(str(v) for v in shown[:4])}, ...] of {len(value)}"
    else:
        text = str(value)
    text = text.replace("\n", "\\n")
    return text[:100] + "..." if len(text) > 100 else text


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
        print(f"  {key}: {_short(value)}")
    kinds: dict[str, list[int]] = {}
    for s in found.tensors.values():
        count = kinds.setdefault(s.dtype.name, [0, 0])
        count[0], count[1] = count[0] + 1, count[1] + s.nbytes
    if len(kinds) > 1:
        print("  kinds: " + ", ".join(f"{n} {k} ({size(b)})" for k, (n, b) in sorted(kinds.items(), key=lambda i: -i[1][1])))
    if shown:
        print()
        print(
            columns(
                [[s.dtype, "x".join(map(str, s.shape)) or "scalar", size(s.nbytes), k] for k, s in shown.items()],
                ["dtype", "shape", "bytes", "name"],
            )
        )
    return 0
