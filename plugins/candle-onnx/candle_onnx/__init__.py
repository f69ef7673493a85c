"""ONNX models on every device of candle."""

from __future__ import annotations

from typing import Any

__all__ = ["OnnxError", "OnnxModel", "export", "load"]


def __getattr__(name: str) -> Any:
    if name in ("OnnxModel", "load"):
        from . import model

        return getattr(model, name)
    if name == "export":
        from .exporter import export

        return export
    if name == "OnnxError":
        from .errors import OnnxError

        return OnnxError
    raise AttributeError(f"candle_onnx has no {name!r}")
