"""Write the tensors of a file in another format."""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import os
from typing import Any, Mapping

from .output import print_json, progress, size

examples = """
candle convert pytorch_model.bin model.safetensors
candle convert model.safetensors model.gguf --dtype float16
candle convert checkpoint.pt encoder.npz --tensors 'encoder.*'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="a file of any format that an installed plugin reads")
    parser.add_argument("target", help="the file to write; its suffix says the format")
    parser.add_argument("--tensors", metavar="PATTERN", default="*", help="only these, * and ? allowed")
    parser.add_argument("--dtype", help="make floating tensors this dtype; quantised ones stay")


def metadata_for(target: str, found: Mapping[str, Any]) -> Any:
    """What of a file's metadata another format holds: text in safetensors, all that GGUF has a type for, nothing elsewhere."""
    from ..formats.gguf import Metadata

    if target.endswith(".gguf"):
        kept = {k: v for k, v in found.items() if not isinstance(v, (dict, bytes, tuple, type(None)))}
        kept = {k: v for k, v in kept.items() if not (isinstance(v, list) and any(isinstance(w, (bytes, dict)) for w in v))}
        return Metadata(kept, types=getattr(found, "types", {}))
    if target.endswith(".safetensors"):
        return {k: str(v) for k, v in found.items() if isinstance(v, (str, int, float, bool))}
    return {}


def write(target: str, entries: Mapping[str, Any], metadata: Any) -> int:
    """Write entries under a progress bar; the bytes of the file."""
    from ..formats import save

    total = sum(e.spec.nbytes for e in entries.values())
    with progress(total, f"writing {os.path.basename(target)}") as advance:

        def told(entry: Any) -> Any:
            def read() -> Any:
                found = entry.read()
                advance(entry.spec.nbytes)
                return found

            return dataclasses.replace(entry, read=read)

        save(target, {k: told(e) for k, e in entries.items()}, metadata)
    return os.path.getsize(target)


def run(args: argparse.Namespace) -> int:
    from ..dtype import as_dtype
    from ..formats import load
    from ..quant.files import changed

    found = load(args.source)
    entries = {k: e for k, e in found.entries.items() if fnmatch.fnmatchcase(k, args.tensors)}
    if args.dtype is not None:
        dtype = as_dtype(args.dtype)
        entries = {
            k: changed(k, e, dtype, None, lambda _: None) if e.spec.dtype.kind == "f" and e.spec.dtype is not dtype else e
            for k, e in entries.items()
        }
    written = write(args.target, entries, metadata_for(args.target, found.metadata))
    if args.json:
        print_json({"source": args.source, "target": args.target, "tensors": len(entries), "bytes": written})
    else:
        print(f"{args.target}: {len(entries)} tensors, {size(written)}")
    return 0
