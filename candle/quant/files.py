"""Quantising the tensors of files: which tensor becomes which kind, one tensor in memory at a time, with a report of errors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any, Callable, Iterable, Mapping

import numpy as np

from ..dtype import DType, as_dtype, float16, float32
from ..errors import DTypeError, FormatError
from ..formats import Entry
from ..op import Spec
from . import ENCODABLE, decode, encode

__all__ = ["Change", "changed", "dequantised", "kinds"]

# What a kind of 256 is replaced by where rows are no multiple of 256 but of 32: llama.cpp's choices.
_SMALLER = {
    "q2_k": "iq4_nl", "q3_k": "iq4_nl", "iq4_xs": "iq4_nl", "q4_k": "q5_0", "q5_k": "q5_1", "q6_k": "q8_0", "q8_k": "q8_0",
    "tq1_0": "q4_0", "tq2_0": "q4_0",
}  # fmt: skip
_PLAIN = (
    "*norm*",
    "*ln_*",
    "*bias",
    "*position*embd*",
    "*position_embeddings*",
    "*rope*",
    "*gate_inp*",
    "*ssm_conv1d*",
    "*time_mix*",
)
_HEADS = ("output.weight", "lm_head.weight")
_FINE = ("q8_0", "q8_1", "q8_k", "q6_k")  # kinds that are good enough for the head, which others give q6_k


@dataclass
class Change:
    """What became of a tensor; ``error`` is the root of the mean squared error over that of the values."""

    name: str
    shape: tuple[int, ...]
    before: str
    after: str
    bytes_before: int
    bytes_after: int
    error: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "shape": list(self.shape)}


def _fitting(kind: DType, row: int) -> DType:
    """The kind, or what is nearest to it among those whose blocks divide a row."""
    while kind.block > 1 and row % kind.block:
        smaller = as_dtype(_SMALLER.get(kind.name, "float16"))
        kind = smaller if smaller.block < kind.block else float16
    return kind


def kinds(specs: Mapping[str, Spec], kind: Any, overrides: Iterable[tuple[str, str]] = ()) -> dict[str, DType]:
    """The dtype each tensor is to have.

    Matrices (two dimensions or more) that are no norms, biases, positions or routers become ``kind``, the output's head q6_k
    where that is finer; others stay.  ``overrides`` are (pattern, dtype or "keep"), the last that matches counting.
    Raises DTypeError for kinds that cannot be made, FormatError for patterns that match nothing.
    """
    wanted = _encodable(kind)
    found: dict[str, DType] = {}
    for name, spec in specs.items():
        matrix = spec.ndim >= 2 and spec.dtype.kind in "fq" and not any(fnmatchcase(name, p) for p in _PLAIN)
        head = name in _HEADS and wanted.kind == "q" and wanted.name not in _FINE
        found[name] = (as_dtype("q6_k") if head else wanted) if matrix else spec.dtype
    for pattern, given in overrides:
        named = [n for n in specs if fnmatchcase(n, pattern)]
        if not named:
            raise FormatError(f"no tensor is called {pattern!r}; `candle inspect` lists them")
        for n in named:
            found[n] = specs[n].dtype if given == "keep" else _encodable(given)
    return {
        n: _fitting(d, specs[n].shape[-1] if specs[n].shape else 1) if d is not specs[n].dtype else d for n, d in found.items()
    }


def _encodable(kind: Any) -> DType:
    wanted = as_dtype(kind)
    if wanted.kind != "f" and wanted not in ENCODABLE:
        names = ", ".join(d.name for d in ENCODABLE)
        raise DTypeError(f"a file's tensors become {names} or a floating dtype, but {wanted} was given")
    return wanted


def _values(entry: Entry) -> np.ndarray[Any, Any]:
    array = entry.read()
    return decode(array) if entry.spec.dtype.kind == "q" else array


def _encoded(x: np.ndarray[Any, Any], kind: DType, importance: np.ndarray[Any, Any] | None) -> np.ndarray[Any, Any]:
    if importance is not None and importance.ndim == 2:  # a matrix for each expert
        if x.ndim != 3 or len(x) != len(importance):
            raise FormatError(f"the importance is of {len(importance)} experts but the tensor is {list(x.shape)}")
        return np.stack([encode(part, kind, row) for part, row in zip(x, importance)])
    return encode(x, kind, importance)


def changed(
    name: str, entry: Entry, kind: DType, importance: np.ndarray[Any, Any] | None, report: Callable[[Change], None]
) -> Entry:
    """A tensor of a file in another dtype, computed when it is read; then ``report`` is told."""
    spec = Spec(entry.spec.shape, kind)
    change = Change(name, spec.shape, entry.spec.dtype.name, kind.name, entry.nbytes, spec.nbytes)

    def read() -> np.ndarray[Any, Any]:
        if kind is entry.spec.dtype:
            report(change)
            return entry.read()
        x = _values(entry)
        try:
            made = _encoded(x, kind, importance) if kind.kind == "q" else x.astype(kind.numpy)
        except DTypeError as e:
            raise FormatError(f"{name!r}: {e}") from None
        change.error = _error(x, decode(made) if kind.kind == "q" else made.astype(np.float32))
        report(change)
        return made

    return Entry(spec, spec.nbytes, read)


def _error(want: np.ndarray[Any, Any], got: np.ndarray[Any, Any]) -> float:
    total = off = 0.0
    for a, b in zip(want.reshape(-1, want.shape[-1] if want.ndim else 1), got.reshape(-1, got.shape[-1] if got.ndim else 1)):
        x = a.astype(np.float32)
        total += float(np.dot(x, x))
        x = x - b
        off += float(np.dot(x, x))
    return float(np.sqrt(off / total)) if total else 0.0


def dequantised(entry: Entry, dtype: DType = float32) -> Entry:
    """A tensor of a file with quantised ones made a floating dtype when it is read; others stay."""
    if entry.spec.dtype.kind != "q":
        return entry
    spec = Spec(entry.spec.shape, dtype)
    return Entry(spec, spec.nbytes, lambda: _values(entry).astype(dtype.numpy))
