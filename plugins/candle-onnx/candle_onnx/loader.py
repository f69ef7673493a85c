"""ONNX files among candle's formats: their weights by name, and, for ``candle.models.load``, the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from candle import Spec, Tensor
from candle.formats import Checkpoint, Entry

__all__ = ["load", "matches", "model", "suffixes"]

suffixes = (".onnx",)


def matches(head: bytes, path: Path) -> bool:
    """ONNX has no magic number: the file begins with the version of its format, and is called .onnx."""
    return path.suffix.lower() == ".onnx" and head[:1] == b"\x08"


def load(path: Path) -> Checkpoint:
    """The initializers; the metadata say what the graph takes and gives, its operators, and which are not known."""
    from .model import load as read

    found = read(path, device="numpy", compile=False)
    entries = {}
    for name, x in found.weights.items():
        if isinstance(x, Tensor):
            array = np.asarray(x.numpy())
            entries[name] = Entry(Spec(array.shape, x.dtype), array.nbytes, lambda array=array: array)  # type: ignore[misc]
    operators: dict[str, int] = {}
    for node in found.graph.nodes:
        key = f"{node.domain}.{node.op}" if node.domain else node.op
        operators[key] = operators.get(key, 0) + 1
    metadata: dict[str, Any] = {
        "producer": found.producer,
        "opsets": {k or "ai.onnx": v for k, v in found.versions.items()},
        "model": repr(found),
        "operators": dict(sorted(operators.items(), key=lambda kv: -kv[1])),
        **found.metadata,
    }
    return Checkpoint(entries, metadata, str(path))


def model(path: Path, device: Any = None, dtype: Any = None) -> Any:
    """The model of a file, for ``candle.models.load``."""
    from .model import load as read

    return read(path, device=device)
