"""What a run of the suite found: per op and level, as JSON, as a badge, with code that reproduces each failure."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Mapping

import numpy as np

from ..errors import CandleError

PASS, FAIL, XFAIL, XPASS, SKIP = "pass", "fail", "xfail", "xpass", "skip"


@dataclass
class Result:
    """How one op fared at one level."""

    op: str
    level: str
    status: str
    seconds: float = 0.0
    cases: int = 0
    message: str = ""
    code: str = ""

    def __str__(self) -> str:
        text = f"{self.op} at the level of {self.level}: {self.message}"
        return f"{text}\nIt happens again with\n{self.code}" if self.code else text

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {"status": self.status, "seconds": round(self.seconds, 4), "cases": self.cases}
        return {**found, **({"message": self.message} if self.message else {}), **({"code": self.code} if self.code else {})}


@dataclass
class Report:
    """The results of a device."""

    device: str
    results: list[Result] = field(default_factory=list)
    expands: list[str] = field(default_factory=list)  # ops that have no kernel on the device and are made of others
    lacks: list[str] = field(default_factory=list)  # ops that have no kernel and do not expand
    seconds: float = 0.0
    examples: int = 0
    seed: int = 0

    @property
    def failures(self) -> list[Result]:
        return [r for r in self.results if r.status == FAIL]

    @property
    def unexpected(self) -> list[Result]:
        """Known gaps that have closed: their lines of the xfail file can go."""
        return [r for r in self.results if r.status == XPASS]

    @property
    def ok(self) -> bool:
        return not self.failures

    def count(self, status: str) -> int:
        return sum(r.status == status for r in self.results)

    def as_dict(self) -> dict[str, Any]:
        import candle

        ops: dict[str, dict[str, Any]] = {}
        for r in self.results:
            ops.setdefault(r.op, {})[r.level] = r.as_dict()
        levels: dict[str, dict[str, int]] = {}
        for r in self.results:
            row = levels.setdefault(r.level, dict.fromkeys((PASS, FAIL, XFAIL, XPASS, SKIP), 0))
            row[r.status] += 1
        return {
            "device": self.device,
            "versions": {"candle": candle.__version__, "numpy": np.__version__, "python": platform.python_version()},
            "machine": platform.machine(),
            "summary": {
                "passed": self.count(PASS), "failed": self.count(FAIL), "xfailed": self.count(XFAIL),
                "unexpectedly passed": self.count(XPASS), "skipped": self.count(SKIP), "ops": len(ops),
                "cases": sum(r.cases for r in self.results), "seconds": round(self.seconds, 1),
            },
            "levels": levels,
            "examples": self.examples,
            "seed": self.seed,
            "expands": self.expands,
            "lacks": self.lacks,
            "ops": ops,
            "failures": [{"op": r.op, "level": r.level, "message": r.message, "code": r.code} for r in self.failures],
        }  # fmt: skip

    def badge(self) -> str:
        """The share of what passed as an SVG image."""
        tried = self.count(PASS) + self.count(FAIL) + self.count(XFAIL) + self.count(XPASS)
        passed = self.count(PASS) + self.count(XPASS)
        share = 100 * passed / tried if tried else 0.0
        text = f"{int(share * 10) / 10:g}%" if tried else "nothing tried"
        colour = "#3c873a" if not self.failures and tried else "#b8860b" if share >= 90 else "#b03030"
        label = f"candle conformance: {self.device}"
        left, right = 7 * len(label) + 10, 7 * len(text) + 14
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{label}: {text}">'
            f'<rect width="{left}" height="20" fill="#444"/><rect x="{left}" width="{right}" height="20" fill="{colour}"/>'
            f'<g fill="#fff" font-family="Verdana,sans-serif" font-size="11" text-anchor="middle">'
            f'<text x="{left / 2:g}" y="14">{label}</text><text x="{left + right / 2:g}" y="14">{text}</text></g></svg>\n'
        )


class Gaps:
    """Known gaps: lines ``op level # reason`` or ``op: reason``; * and ? stand for any characters, a level may be left out."""

    def __init__(self, given: Any = None) -> None:
        self.lines: list[tuple[str, str, str]] = []
        if isinstance(given, Mapping):
            for key, reason in given.items():
                self._add(f"{key if isinstance(key, str) else ' '.join(key)} # {reason}", "xfail")
        elif given is not None:
            path = Path(given)
            if not path.is_file():
                raise CandleError(f"there is no xfail file {path}; it has a line `op level # reason` for each known gap")
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if line.strip() and not line.lstrip().startswith("#"):
                    self._add(line, f"{path}:{number}")

    def _add(self, line: str, where: str) -> None:
        names, mark, reason = line.partition("#")
        if not mark:
            names, mark, reason = line.partition(":")
        words = names.replace(":", " ").split()
        if not reason.strip() or not 1 <= len(words) <= 2:
            raise CandleError(
                f"{where}: a known gap is `op level # reason`, and the reason is needed; given was {line.strip()!r}"
            )
        self.lines.append((words[0], words[1] if len(words) > 1 else "*", reason.strip()))

    def reason(self, op: str, level: str) -> str | None:
        return next((why for o, lv, why in self.lines if fnmatchcase(op, o) and fnmatchcase(level, lv)), None)
