"""Conformance: whether a device does what the reference does."""

from __future__ import annotations

from .draw import Case, Draw
from .kill import kill_rate

__all__ = ["Case", "Draw", "kill_rate"]
