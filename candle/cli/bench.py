"""Time things.  `candle bench ops DEVICE` times every operation of the table on a device."""

from __future__ import annotations

import argparse
import fnmatch
import inspect
import sys
import time
from typing import Any, Callable, Sequence

import numpy as np

from .output import columns, print_json

examples = """
candle bench ops numpy
candle bench ops jax --op 'conv*' --size 64 --json
candle bench ops numpy --against jax
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=["ops"], help="what to time")
    parser.add_argument("device", nargs="?", help="where (default: the default device)")
    parser.add_argument("--op", action="append", metavar="PATTERN", help="only these, * and ? allowed; may be repeated")
    parser.add_argument("--size", type=int, default=64, help="the length of each dimension (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.02, help="how long to time each op (default: %(default)s)")
    parser.add_argument("--against", metavar="DEVICE", help="time these ops on another device too")


class Even:
    """Draws what conformance draws, but always the same even, ordinary sizes: what a timing should be of."""

    def __init__(self, size: int) -> None:
        self.n, self.rng = size, np.random.default_rng(0)

    def shape(self, min_dims: int = 0, max_dims: int = 4, **_: Any) -> tuple[int, ...]:
        return (self.n,) * max(min_dims, min(2, max_dims))

    def shapes(self, ends: Sequence[Sequence[Any]]) -> list[tuple[int, ...]]:
        front = (self.n,) * (2 - min(2, max(map(len, ends), default=0)))
        return [(*front, *(int(d) if str(d).isdigit() else self.n for d in end)) for end in ends]

    def size(self, lo: int = 1) -> int:
        return max(lo, self.n)

    def int(self, lo: int, hi: int) -> Any:
        return min(max(lo, 1), hi)

    def bool(self) -> Any:
        return False

    def one(self, choices: Sequence[Any]) -> Any:
        return next(iter(choices))

    def float(self, lo: Any, hi: Any) -> Any:
        return (lo + hi) / 2

    def dim(self, shape: Sequence[Any]) -> Any:
        return len(shape) - 1

    def dims(self, shape: Sequence[Any]) -> Any:
        return len(shape) - 1 if shape else None

    def permutation(self, n: Any) -> tuple[Any, ...]:
        return tuple(reversed(range(n)))

    def dtype(self, types: Sequence[Any]) -> Any:
        from .. import dtype as dt

        return next((d for d in (dt.float32, dt.int64, dt.bool_) if d in types), next(iter(types)))

    def array(self, shape: Sequence[Any], dtype: Any, domain: Any = None, **_: Any) -> np.ndarray[Any, Any]:
        lo, hi = domain or (-4.0, 4.0)
        if dtype.kind == "b":
            return self.rng.random(tuple(shape)) < 0.5
        if dtype.kind in "iu":
            lo, hi = (max(lo, 0) if dtype.kind == "u" else lo), max(hi, lo + 1)
            return self.rng.integers(np.ceil(lo), np.floor(hi), tuple(shape), endpoint=True).astype(dtype.numpy)
        made = self.rng.uniform(lo, hi, tuple(shape))
        return made.astype(dtype.numpy) if dtype.kind != "c" else (made + 1j * made).astype(dtype.numpy)

    def blocks(self, shape: Sequence[Any], dtype: Any, count: Any = None) -> np.ndarray[Any, Any]:
        from ..quant import ENCODABLE, encode

        kind = dtype if dtype in ENCODABLE else ENCODABLE[0]
        return encode(self.rng.uniform(-4, 4, (*shape, kind.block * (count or 4))), kind)

    def ids(self, shape: Sequence[Any], n: Any, dtype: Any = None, **_: Any) -> np.ndarray[Any, Any]:
        return self.rng.integers(0, max(n, 1), tuple(shape)).astype(dtype.numpy if dtype else np.int64)


def operands(op: Any, d: Even) -> tuple[list[Any], dict[str, Any]]:
    """Operands and attributes for an op: from its sample, or from its signature."""
    from ..dtype import as_dtype

    if op.sample is not None:
        arrays, attrs = op.sample(d)
        return list(arrays), dict(attrs)
    if any(v is inspect.Parameter.empty for v in op.attrs.values()):
        raise ValueError("it has attributes without defaults, and no sample")
    inputs = [i for i in op.inputs if not i.optional]
    shapes = d.shapes([list(i.dims or ()) for i in inputs])
    letters = {i.letter: d.dtype(op.types.get(i.letter) or (as_dtype(i.letter),)) for i in inputs}
    return [d.array(s, letters[i.letter], op.domain) for s, i in zip(shapes, inputs)], {}


def clock(call: Callable[[], Any], seconds: float, settle: Callable[[], None]) -> float:
    """The best time of one call, in seconds."""
    call()
    settle()
    best, end = float("inf"), time.perf_counter() + seconds
    while True:
        begun = time.perf_counter()
        call()
        settle()
        now = time.perf_counter()
        best = min(best, now - begun)
        if now >= end:
            return best


def measure(device: str | None, patterns: Sequence[str], size: int, seconds: float) -> list[dict[str, Any]]:
    """One row per op: its time on a device in microseconds, or why it has none."""
    from ..create import tensor
    from ..device import resolve
    from ..op import OPS
    from ..plugins import load_ops
    from ..tensor import apply, no_grad

    load_ops()
    backend = resolve(device)
    rows = []
    for op in sorted(OPS.values(), key=lambda op: op.name):
        if not any(fnmatch.fnmatchcase(op.name, p) for p in patterns):
            continue
        row: dict[str, Any] = {"op": op.name, "device": str(backend.device), "kernel": op.name in backend.kernels}
        try:
            arrays, attrs = operands(op, Even(size))
            xs = [None if a is None else tensor(a, device=backend) for a in arrays]
            if not xs:
                raise ValueError("it has no operands")
            with no_grad():
                took = clock(lambda op=op, xs=xs, attrs=attrs: apply(op, xs, dict(attrs)), seconds, backend.synchronize)  # type: ignore[misc]
            rows.append({**row, "microseconds": round(took * 1e6, 2), "operands": [str(x.spec) for x in xs if x is not None]})
        except Exception as e:  # one op that cannot be timed is a row of its own and does not end the rest
            rows.append({**row, "microseconds": None, "error": f"{type(e).__name__}: {e}"})
    return rows


def run(args: argparse.Namespace) -> int:
    from ..errors import CandleError

    if args.size < 1 or args.seconds < 0:
        raise CandleError(f"--size is at least 1 and --seconds at least 0 but {args.size} and {args.seconds} were given")
    patterns = args.op or ["*"]
    rows = measure(args.device, patterns, args.size, args.seconds)
    other = {r["op"]: r for r in measure(args.against, patterns, args.size, args.seconds)} if args.against else {}
    if not rows:
        print(f"candle: no op is called {' or '.join(patterns)}; `candle ops` lists them", file=sys.stderr)
        return 2
    if args.json:
        print_json({"size": args.size, "ops": [*rows, *other.values()]})
        return 0
    table = []
    for r in rows:
        shown = f"{r['microseconds']:.1f}" if r["microseconds"] is not None else "-"
        line = [r["op"], "kernel" if r["kernel"] else "expands", shown]
        if other:
            theirs = other[r["op"]]["microseconds"]
            line.append("-" if theirs is None else f"{theirs:.1f}")
        table.append([*line, ", ".join(r["operands"]) if "operands" in r else r["error"][:90]])
    head = ["op", "", f"{rows[0]['device']}, us"] + ([f"{args.against}, us"] if other else [])
    print(columns(table, [*head, "operands"]))
    return 0
