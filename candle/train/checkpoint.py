"""The state of a training run in one file: tensors and what goes with them, replaced as a whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Mapping

from ..errors import FormatError
from ..formats import load, save
from ..tensor import Tensor

__all__ = ["load_checkpoint", "save_checkpoint"]

_KEY = "candle.training"


def save_checkpoint(path: Path, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
    """Write groups of named tensors, and a state that JSON can hold, as safetensors.

    What was at ``path`` before stays until the new file is complete and on the disk.
    """
    flat = {f"{group}:{name}": t for group, members in tensors.items() for name, t in members.items()}
    save(path, flat, {_KEY: json.dumps(state)}, format="safetensors")


def load_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """What ``save_checkpoint`` wrote.  Raises FormatError where the file is something else."""
    found = load(path)
    try:
        state = json.loads(found.metadata[_KEY])
    except (KeyError, TypeError, ValueError):
        raise FormatError(f"{path} is no checkpoint of a training run; remove it, or train in another folder") from None
    groups: dict[str, dict[str, Tensor]] = {}
    for key in found:
        group, _, name = key.partition(":")
        groups.setdefault(group, {})[name] = found[key]
    return groups, state
