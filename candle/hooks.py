"""What the core's own package plugs into itself, through the same hooks as anybody else's."""

from __future__ import annotations

from pathlib import Path

from .plugins import hookimpl

candle_api_version = (1, 0)

_COMMANDS = ("bench", "check", "devices", "doctor", "embed", "inspect", "new-backend", "ops", "plugins", "search")


@hookimpl
def candle_backends() -> dict[str, str]:
    return {"numpy": "candle.backend:Reference"}


@hookimpl
def candle_loaders() -> dict[str, str]:
    names = ("safetensors", "sharded", "npz", "npy")
    return {name: f"candle.formats.{name}" for name in names}


@hookimpl
def candle_models() -> dict[str, str]:
    """One file is one architecture; its name is the ``model_type`` of a config.json."""
    folder = Path(__file__).parent / "models"
    return {p.stem: f"candle.models.{p.stem}" for p in sorted(folder.glob("*.py")) if not p.stem.startswith("_")}


@hookimpl
def candle_commands() -> dict[str, str]:
    return {name: f"candle.cli.{name.replace('-', '_')}" for name in _COMMANDS}
