"""Tables: CSV and Parquet files, on disk or on the hub, through pyarrow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from candle import CandleError, FormatError

from .dataset import Dataset, _within

__all__ = ["Table", "hub", "table"]


def _arrow(part: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"pyarrow.{part}")
    except ModuleNotFoundError as e:
        raise CandleError("tables are read through pyarrow, which is not installed: pip install 'candle-datasets[tables]'") from e


class Table(Dataset):
    """The rows of a table, each a dictionary; where ``target`` is named, the other columns' numbers and the target's.

    With a target, a sample is (float32[columns], the target), and texts in the target are numbered as ``classes``.
    """

    def __init__(self, columns: dict[str, Any], target: str | None = None) -> None:
        self.columns, self.target = columns, target
        self.classes: list[str] = []
        if target is None:
            return
        if target not in columns:
            raise CandleError(f"the table has no column {target!r}; it has {', '.join(columns)}")
        others = {k: v for k, v in columns.items() if k != target}
        words = [k for k, v in others.items() if v.dtype.kind not in "biuf"]
        if words:
            raise CandleError(f"the columns {', '.join(words)} are not numbers; name those to be used with columns=[...]")
        self.inputs = np.stack([v.astype(np.float32) for v in others.values()], 1)
        self.wanted = columns[target]
        if self.wanted.dtype.kind not in "biuf":
            names, numbers = np.unique(self.wanted.astype(str), return_inverse=True)
            self.classes, self.wanted = names.tolist(), numbers.astype(np.int64)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __getitem__(self, index: int) -> Any:
        at = _within(index, len(self))
        if self.target is not None:
            return self.inputs[at], self.wanted[at]
        return {k: v[at] for k, v in self.columns.items()}

    def batch(self, indices: np.ndarray[Any, Any]) -> Any:
        """The rows of these numbers, stacked; None where samples are dictionaries."""
        return None if self.target is None else (self.inputs[indices], self.wanted[indices])


def _column(values: Any) -> np.ndarray[Any, Any]:
    return np.asarray(values.combine_chunks().to_numpy(zero_copy_only=False))


def table(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    columns: Sequence[str] | None = None,
    target: str | None = None,
) -> Table:
    """A CSV or Parquet file (told by its content), or several of the same columns.

    ``columns`` are those to read.  Raises FormatError for a file that is neither.
    """
    paths = [Path(p) for p in ([path] if isinstance(path, (str, os.PathLike)) else path)]
    wanted = None if columns is None else [*columns, *([target] if target is not None and target not in columns else [])]
    read = []
    for p in paths:
        if not p.is_file():
            raise CandleError(f"there is no file {p}")
        with open(p, "rb") as f:
            parquet = f.read(4) == b"PAR1"
        lib = _arrow("parquet") if parquet else _arrow("csv")
        import pyarrow

        try:
            if parquet:
                found = lib.read_table(p, columns=wanted)
            else:
                found = lib.read_csv(p, convert_options=lib.ConvertOptions(include_columns=wanted))
        except (pyarrow.ArrowException, KeyError, OSError) as e:
            raise FormatError(f"{p} cannot be read as {'Parquet' if parquet else 'CSV'}: {e}") from e
        read.append({k: _column(found.column(k)) for k in found.column_names})
    if not read:
        raise CandleError("table was given no file")
    if any(list(r) != list(read[0]) for r in read):
        raise FormatError(f"the files have different columns: {' and '.join(', '.join(r) for r in read)}")
    return Table({k: np.concatenate([r[k] for r in read]) for k in read[0]}, target)


def hub(
    name: str, split: str = "train", columns: Sequence[str] | None = None, target: str | None = None, revision: str | None = None
) -> Table:
    """A dataset of the Hugging Face hub that is kept as Parquet or CSV files, in the cache shared with huggingface_hub.

    Files belong to ``split`` where their name or folder says so.  HF_HUB_OFFLINE and HF_ENDPOINT hold.
    """
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError as e:
        raise CandleError("the hub is reached through huggingface_hub: pip install 'candle-datasets[hub]'") from e
    patterns = [f"*{split}*.parquet", f"*{split}*/*.parquet", f"*{split}*.csv", f"*{split}*/*.csv"]
    try:
        folder = Path(snapshot_download(name, repo_type="dataset", revision=revision, allow_patterns=patterns))
    except Exception as e:
        raise CandleError(f"the dataset {name!r} could not be had from the hub: {type(e).__name__}: {e}") from e
    found = sorted([*folder.rglob("*.parquet")]) or sorted(folder.rglob("*.csv"))
    found = [p for p in found if split in str(p.relative_to(folder))]
    if not found:
        raise CandleError(f"the dataset {name!r} has no Parquet or CSV files of the split {split!r}")
    return table(found, columns, target)
