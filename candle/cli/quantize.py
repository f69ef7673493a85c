"""Write a file's weights quantised, as GGUF or safetensors, and say how far off they are."""

from __future__ import annotations

import argparse
from typing import Any

from .convert import metadata_for, write
from .output import columns, print_json, size

examples = """
candle quantize model.safetensors model-q4.gguf --kind q4_k
candle quantize model-f16.gguf model-q3.gguf --kind q3_k --imatrix imatrix.gguf
candle quantize model.gguf small.gguf --kind q4_0 --kind-of 'output.weight=q8_0' --kind-of 'token_embd.*=keep'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="a file of any format that an installed plugin reads")
    parser.add_argument("target", help="the file to write: .gguf, or .safetensors, which others read as bytes")
    parser.add_argument("--kind", default="q4_k", help="what matrices become, such as q4_0, q8_0 or q4_k, the default")
    parser.add_argument("--imatrix", metavar="FILE", help="an importance matrix: how much each column of a weight matters")
    parser.add_argument("--kind-of", metavar="PATTERN=KIND", action="append", default=[],
                        help="another kind, a dtype, or 'keep', for these tensors; may be repeated")  # fmt: skip


def _overrides(given: list[str]) -> list[tuple[str, str]]:
    from ..errors import CandleError

    found = []
    for text in given:
        pattern, equals, kind = text.rpartition("=")
        if not equals or not pattern:
            raise CandleError(f"--kind-of takes PATTERN=KIND, such as 'output.*=q8_0', but was given {text!r}")
        found.append((pattern, kind))
    return found


def run(args: argparse.Namespace) -> int:
    from ..errors import CandleError
    from ..formats import load
    from ..formats.imatrix import importances
    from ..quant.files import Change, changed, kinds

    if not args.target.endswith((".gguf", ".safetensors")):
        raise CandleError(
            f"quantised weights are written as .gguf or, for candle alone, .safetensors, but {args.target} was given"
        )
    found = load(args.source)
    plan = kinds(found.specs, args.kind, _overrides(args.kind_of))
    importance = importances(args.imatrix) if args.imatrix else {}
    unused = [k for k in importance if k not in plan]
    if importance and len(unused) == len(importance):
        raise CandleError(f"{args.imatrix} has no entry for any tensor of {args.source}: it is of another model, or names differ")
    done: list[Change] = []
    entries: dict[str, Any] = {k: changed(k, e, plan[k], importance.get(k), done.append) for k, e in found.entries.items()}
    written = write(args.target, entries, metadata_for(args.target, found.metadata))
    before, after = sum(c.bytes_before for c in done), sum(c.bytes_after for c in done)
    elements = sum(s.size for s in found.specs.values())
    bits = after * 8 / max(elements, 1)
    if args.json:
        print_json({
            "source": args.source, "target": args.target, "bytes": written, "bytes_before": before, "bytes_after": after,
            "bits_per_weight": bits, "unused_importances": unused, "tensors": [c.as_dict() for c in done],
        })  # fmt: skip
        return 0
    rows = [
        [c.before, c.after, size(c.bytes_before), size(c.bytes_after), "" if c.error is None else f"{c.error:.5f}", c.name]
        for c in done
    ]
    print(columns(rows, ["from", "to", "bytes", "now", "error", "name"]))
    ratio = f", {before / after:.2f} times smaller" if after and before > after else ""
    print(f"\n{args.target}: {len(done)} tensors, {size(before)} became {size(after)}{ratio}, {bits:.2f} bits per weight")
    print("error: root of the mean squared error over that of the weights")
    return 0
