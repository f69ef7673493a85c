"""What a training run leaves to be looked at: a CSV file, TensorBoard's events if wanted, a picture of the curves."""

from __future__ import annotations

import csv
import io
import math
import os
from pathlib import Path
from typing import Any, Mapping, Sequence

from ..errors import CandleError

__all__ = ["Log", "draw_curves"]


class Log:
    """Rows of numbers in ``log.csv``, one for each time it is told; a row is on the disk when ``write`` returns.

    A run that is taken up at a step drops the rows after it: they will be written again.
    """

    def __init__(self, folder: Path, tensorboard: bool = False) -> None:
        self.path = folder / "log.csv"
        self.rows: list[dict[str, float]] = []
        if self.path.exists():
            with open(self.path, newline="") as f:
                self.rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(f) if None not in row.values()]
        self._events = _event_writer(folder) if tensorboard else None

    def drop_after(self, step: int) -> None:
        """Forget the rows of later steps."""
        kept = [r for r in self.rows if r["step"] <= step]
        if len(kept) < len(self.rows):
            self.rows = kept
            self._rewrite()

    def write(self, row: Mapping[str, float]) -> None:
        """Add a row; "step" is among its numbers."""
        self.rows.append(dict(row))
        known = list(dict.fromkeys(k for r in self.rows[:-1] for k in r))
        if set(row) - set(known) or not self.path.exists():
            self._rewrite()
        else:
            with open(self.path, "a", newline="") as f:
                csv.DictWriter(f, known).writerow(row)
                f.flush()
                os.fsync(f.fileno())
        if self._events is not None:
            for k, v in row.items():
                if k != "step":
                    self._events.add_scalar(k, v, int(row["step"]))
            self._events.flush()

    def _rewrite(self) -> None:
        from ..formats import replacing

        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(dict.fromkeys(k for r in self.rows for k in r)))
        writer.writeheader()
        writer.writerows(self.rows)
        replacing(self.path, lambda f: f.write(text.getvalue().encode()))


def _event_writer(folder: Path) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError as e:
        raise CandleError("TensorBoard's events are written by tensorboardX: pip install 'candle[train]' tensorboardX") from e
    return SummaryWriter(str(folder / "events"))


_COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#8250df", "#bf8700", "#57606a")


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from low to high."""
    if high <= low:
        return [low]
    raw = (high - low) / count
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= raw)
    first = math.ceil(low / step)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def draw_curves(
    path: Path, rows: Sequence[Mapping[str, float]], names: Sequence[str], title: str = "", size: tuple[int, int] = (900, 540)
) -> None:
    """A PNG of columns over the steps.  Raises CandleError where Pillow is not installed."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ModuleNotFoundError as e:
        raise CandleError("curves are drawn by Pillow: pip install 'candle[train]'") from e
    lines = {n: [(r["step"], r[n]) for r in rows if math.isfinite(r.get(n, math.nan))] for n in names}
    lines = {n: points for n, points in lines.items() if points}
    if not lines:
        return
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    x0, x1, y0, y1 = min(xs), max(xs), min(ys), max(ys)
    x1, y1 = (x1 if x1 > x0 else x0 + 1), (y1 if y1 > y0 else y0 + 1)
    w, h = size
    left, top, right, bottom = 80, 40, w - 20, h - 50
    image = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(14)

    def place(x: float, y: float) -> tuple[float, float]:
        return left + (x - x0) / (x1 - x0) * (right - left), bottom - (y - y0) / (y1 - y0) * (bottom - top)

    for y in _ticks(y0, y1):
        at = place(x0, y)[1]
        pen.line([(left, at), (right, at)], "#e6e6e6")
        pen.text((left - 8, at), f"{y:g}", "#444444", font, anchor="rm")
    for x in _ticks(x0, x1):
        at = place(x, y0)[0]
        pen.text((at, bottom + 8), f"{x:g}", "#444444", font, anchor="mt")
    pen.rectangle([left, top, right, bottom], outline="#444444")
    pen.text(((left + right) / 2, bottom + 28), "step", "#444444", font, anchor="mt")
    pen.text((left, top - 26), title, "black", font)
    for n, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[n % len(_COLOURS)]
        places = [place(x, y) for x, y in points]
        if len(places) > 1:
            pen.line(places, colour, 2)
        else:
            pen.ellipse([places[0][0] - 3, places[0][1] - 3, places[0][0] + 3, places[0][1] + 3], colour)
        pen.text((right - 12, top + 10 + 20 * n), f"{name}  {points[-1][1]:.4g}", colour, font, anchor="rt")
    part = path.with_name(f".{path.name}.part")
    image.save(part, "PNG")
    os.replace(part, path)
