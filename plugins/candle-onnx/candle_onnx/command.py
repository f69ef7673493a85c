"""Run an ONNX model, or see which operators there are."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

examples = """
candle onnx run model.onnx --input x=x.npy --save out.npz
candle onnx run model.onnx --random --repeat 20
candle onnx operators
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("run", "operators"))
    parser.add_argument("file", nargs="?", help="the model, for run")
    parser.add_argument("--input", action="append", default=[], metavar="NAME=FILE.npy", help="an input's value; may be repeated")
    parser.add_argument("--random", action="store_true", help="random numbers for inputs that are not given; named sizes are 1")
    parser.add_argument("--save", metavar="FILE.npz", help="write the outputs to this file")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="run it so many times and say how long it takes")
    parser.add_argument("--device", help="where to compute")


def run(args: argparse.Namespace) -> int:
    if args.what == "operators":
        return _operators(args)
    from candle import CandleError

    from .model import load, numpy_outputs

    if args.file is None:
        raise CandleError("candle onnx run takes a file, such as: candle onnx run model.onnx --random")
    began = time.perf_counter()
    model = load(args.file, device=args.device)
    loaded = time.perf_counter() - began
    inputs: dict[str, Any] = {}
    for text in args.input:
        name, equals, path = text.partition("=")
        if not equals or not Path(path).is_file():
            raise CandleError(f"--input takes NAME=FILE.npy but {text!r} was given")
        inputs[name] = np.load(path, allow_pickle=False)
    if args.random:
        inputs = {**{p.name: _random(p) for p in model.inputs if p.name not in inputs}, **inputs}
    times = []
    for _ in range(max(args.repeat, 1)):
        began = time.perf_counter()
        found = model(**inputs)
        arrays = numpy_outputs(found)
        times.append(time.perf_counter() - began)
    said = {
        "model": repr(model),
        "compiled": not model.why,
        "why not": model.why,
        "load seconds": round(loaded, 4),
        "run seconds": round(sorted(times)[len(times) // 2], 6),
        "outputs": {k: f"{a.dtype}{list(a.shape)}" if hasattr(a, "shape") else f"{len(a)} values" for k, a in zip(found, arrays)},
    }
    if args.save:
        np.savez(args.save, **{k: a for k, a in zip(found, arrays) if hasattr(a, "shape")})
    print(json.dumps(said, indent=2) if args.json else "\n".join(f"{k}: {v}" for k, v in said.items()))
    return 0


def _random(port: Any) -> Any:
    from .values import dtype_of

    shape = [n if isinstance(n, int) and n > 0 else 1 for n in port.shape or ()]
    rng = np.random.default_rng(0)
    dtype = dtype_of(port.dtype) if port.dtype is not None else None
    if dtype is not None and dtype.kind in "biu":
        return np.zeros(shape, dtype.numpy)
    return rng.standard_normal(shape).astype(np.float32 if dtype is None else dtype.numpy)


def _operators(args: argparse.Namespace) -> int:
    from . import table

    table._load()
    rows = {f"{d or 'ai.onnx'}.{n}": [o.since for o in found] for (d, n), found in sorted(table.TABLE.items())}
    print(json.dumps(rows, indent=2) if args.json else "\n".join(f"{k:50} {', '.join(map(str, v))}" for k, v in rows.items()))
    return 0
