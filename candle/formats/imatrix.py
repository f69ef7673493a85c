"""Importance matrices: how much each column of a weight was used, for ``candle quantize``.

llama.cpp writes them as GGUF (``name.in_sum2`` and ``name.counts``) and wrote them as bare counted records, which are read here.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ..dtype import float32
from ..errors import FormatError
from ..op import Spec
from . import Checkpoint, Entry
from . import load as load_file
from .binary import Cursor, mapped, tensor_at

suffixes = (".imatrix", ".dat")


def _records(r: Cursor) -> dict[str, tuple[int, int, int]]:
    """Name: calls, where its values begin, and how many there are."""
    found: dict[str, tuple[int, int, int]] = {}
    n = r.i32("the number of entries")
    if n < 1:
        raise r.wrong(f"it says that it has {n} entries")
    r.count(n, 13, "the number of entries")
    for _ in range(n):
        length = r.i32("the length of a name")
        if not 0 < length < 4096:
            raise r.wrong(f"an entry's name has {length} bytes")
        name = r.text(length, "an entry's name")
        if not name.isprintable():
            raise r.wrong(f"an entry is called {name!r:.60}")
        if name in found:
            raise r.wrong(f"it has the entry {name!r} twice")
        calls, count = r.i32(f"the calls of {name!r}"), r.i32(f"the size of {name!r}")
        if calls < 0 or count < 1:
            raise r.wrong(f"the entry {name!r} has {calls} calls and {count} values")
        found[name] = calls, r.skip(4 * r.count(count, 4, f"the size of {name!r}"), f"the values of {name!r}"), count
    return found


def matches(head: bytes, path: Path) -> bool:
    if len(head) < 12:
        return False
    r = Cursor(path, head)
    n, length = r.i32(""), r.i32("")
    if not 0 < n < 1 << 20 or not 0 < length < min(4096, len(head) - 8):
        return False
    try:
        if not r.text(length, "").isprintable():
            return False
    except FormatError:
        return False
    return True


def load(path: Path) -> Checkpoint:
    """The sums as they were written: the metadata has how many calls each was summed over."""
    data = mapped(path)
    r = Cursor(path, data)
    records = _records(r)
    metadata: dict[str, Any] = {"format": "imatrix", "calls": {k: n for k, (n, _, _) in records.items()}}
    if r.left >= 8:  # later writers say how many chunks of which file they have seen
        metadata["chunks"] = r.i32("the number of chunks")
        metadata["dataset"] = r.text(
            r.count(r.i32("the length of the data set's name"), 1, "the data set's name"), "the data set"
        )
    entries = {k: Entry(Spec((n,), float32), 4 * n, _reader(data, Spec((n,), float32), at)) for k, (_, at, n) in records.items()}
    return Checkpoint(entries, metadata, str(path))


def _reader(data: Any, spec: Spec, at: int) -> Any:
    return lambda: tensor_at(data, spec, at)


def importances(path: str | os.PathLike[str]) -> dict[str, np.ndarray[Any, Any]]:
    """The mean square of what each column of each weight was multiplied with: name of the weight -> float32 [k], or
    [experts, k].  Raises FormatError for a file that is no importance matrix."""
    found = load_file(path, device="numpy")
    if "calls" in found.metadata:
        return {k: x.numpy() / np.float32(max(found.metadata["calls"][k], 1)) for k, x in found.items()}
    names = [k.removesuffix(".in_sum2") for k in found if k.endswith(".in_sum2")]
    if not names:
        raise FormatError(f"{path} is no importance matrix: it has no tensors that are called ....in_sum2")
    made = {}
    for name in names:
        if f"{name}.counts" not in found:
            raise FormatError(f"{path} has {name}.in_sum2 but no {name}.counts")
        sums, counts = found[f"{name}.in_sum2"].numpy(), found[f"{name}.counts"].numpy()
        sums, counts = sums.reshape(-1, sums.shape[-1]), counts.reshape(-1, 1)
        if len(sums) != len(counts) or (counts < 0).any():
            raise FormatError(f"{path} has {len(sums)} sums for {name!r} but {len(counts)} counts")
        mean = np.where(counts > 0, sums / np.maximum(counts, 1), np.float32(1))
        made[name] = mean[0] if len(mean) == 1 else mean
    return made
