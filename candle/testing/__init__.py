"""Conformance: whether a device does what the reference does.

    from candle.testing import Conformance
    class TestMine(Conformance):
        device = "mine"

runs under pytest, one test per op and level; ``check("mine")`` gives a Report, ``kill_rate()`` checks the suite itself.
"""

from __future__ import annotations

from .draw import Case, Draw
from .kill import kill_rate
from .report import Report, Result
from .suite import EXAMPLES, LEVELS, Conformance, check, check_gradient, run_case

__all__ = [
    "EXAMPLES",
    "LEVELS",
    "Case",
    "Conformance",
    "Draw",
    "Report",
    "Result",
    "check",
    "check_gradient",
    "kill_rate",
    "run_case",
]
