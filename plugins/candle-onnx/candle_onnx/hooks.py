"""What this package offers to candle."""

from __future__ import annotations

from candle.plugins import hookimpl

candle_api_version = (1, 0)


@hookimpl
def candle_commands() -> dict[str, str]:
    return {"onnx": "candle_onnx.command"}


@hookimpl
def candle_loaders() -> dict[str, str]:
    return {"onnx": "candle_onnx.loader"}
