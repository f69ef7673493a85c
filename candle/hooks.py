"""What the core's own package plugs into itself, through the same hooks as anybody else's."""

from __future__ import annotations

from pathlib import Path

from .plugins import hookimpl

candle_api_version = (1, 0)

_COMMANDS = (
    "bench", "check", "convert", "dequantize", "devices", "doctor", "embed", "inspect", "new-backend", "ops", "plugins",
    "quantize", "run", "search",
)  # fmt: skip


@hookimpl
def candle_backends() -> dict[str, str]:
    return {"numpy": "candle.backend:Reference"}


@hookimpl
def candle_loaders() -> dict[str, str]:
    names = ("safetensors", "sharded", "gguf", "ggml", "torch", "npz", "npy", "llama2c", "imatrix")
    return {name: f"candle.formats.{name}" for name in names}


@hookimpl
def candle_models() -> dict[str, str]:
    """A file that defines the class of its own name is an architecture: ``bert.py`` has ``class Bert``."""
    found = {}
    for path in sorted((Path(__file__).parent / "models").glob("*.py")):
        name = "".join(word.capitalize() for word in path.stem.split("_"))
        if f"\nclass {name}(" in path.read_text(encoding="utf-8"):
            found[path.stem] = f"candle.models.{path.stem}:{name}"
    return found


@hookimpl
def candle_commands() -> dict[str, str]:
    return {name: f"candle.cli.{name.replace('-', '_')}" for name in _COMMANDS}
