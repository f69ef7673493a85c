"""Linear algebra under PyTorch's names: those of the op table whose names begin with ``linalg_``."""

from __future__ import annotations

from typing import Any

from .op import FUNCTIONS, OPS

_PREFIX = "linalg_"


def __getattr__(name: str) -> Any:
    found = FUNCTIONS.get(_PREFIX + name, OPS.get(_PREFIX + name))
    if found is None:
        import difflib

        near = difflib.get_close_matches(name, __dir__(), 1)
        raise AttributeError(f"candle.linalg has no {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return found


def __dir__() -> list[str]:
    return sorted({n.removeprefix(_PREFIX) for n in (*OPS, *FUNCTIONS) if n.startswith(_PREFIX)})
