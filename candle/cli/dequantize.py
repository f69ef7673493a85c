"""Write a file's quantised weights as floating ones."""

from __future__ import annotations

import argparse

from .convert import metadata_for, write
from .output import print_json, size

examples = """
candle dequantize model-q4.gguf model.safetensors
candle dequantize model-q4.gguf model.safetensors --dtype float16
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="a file with quantised weights, such as GGUF")
    parser.add_argument("target", help="the file to write; its suffix says the format")
    parser.add_argument("--dtype", default="float32", help="a floating dtype (float32)")


def run(args: argparse.Namespace) -> int:
    from ..dtype import as_dtype
    from ..errors import CandleError
    from ..formats import load
    from ..quant.files import dequantised

    dtype = as_dtype(args.dtype)
    if dtype.kind != "f":
        raise CandleError(f"dequantize writes a floating dtype but {dtype} was given; `candle quantize` makes quantised ones")
    found = load(args.source)
    entries = {k: dequantised(e, dtype) for k, e in found.entries.items()}
    count = sum(e.spec.dtype.kind == "q" for e in found.entries.values())
    written = write(args.target, entries, metadata_for(args.target, found.metadata))
    if args.json:
        print_json(
            {"source": args.source, "target": args.target, "tensors": len(entries), "dequantized": count, "bytes": written}
        )
    else:
        print(f"{args.target}: {len(entries)} tensors, {count} of them dequantized to {dtype}, {size(written)}")
    return 0
