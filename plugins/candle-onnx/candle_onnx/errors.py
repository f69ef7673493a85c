"""What can go wrong with an ONNX model."""

from __future__ import annotations

from candle import CandleError

__all__ = ["OnnxError"]


class OnnxError(CandleError):
    """A model cannot be read or run; the message names the node, the operator and its version."""
