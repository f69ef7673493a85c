"""How tensors are shown: as text, as PyTorch shows them, and as a table in a notebook."""

from __future__ import annotations

import contextlib
import html as _html
import math
from dataclasses import dataclass, fields, replace
from typing import Any, Callable, Iterator, Sequence

import numpy as np

from . import dtype as dt
from .errors import CandleError

__all__ = ["get_printoptions", "printoptions", "set_printoptions"]


@dataclass(frozen=True)
class _Options:
    precision: int = 4  # digits after the point
    threshold: float = 1000  # with more elements than this only the edges are shown
    edgeitems: int = 3  # how many at each edge
    linewidth: int = 80
    sci_mode: bool | None = None  # None: where the numbers call for it


_PROFILES = {"default": _Options(), "short": _Options(precision=2, edgeitems=2), "full": _Options(threshold=math.inf)}
_options = _Options()


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Say how tensors are printed; what is None stays as it is.  ``profile`` is "default", "short" or "full".

    ``sci_mode`` None returns to choosing by the numbers.
    """
    global _options
    made = _options
    if profile is not None:
        if profile not in _PROFILES:
            raise CandleError(f"a profile is one of {', '.join(_PROFILES)} but {profile!r} was given")
        made = _PROFILES[profile]
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    _options = replace(made, sci_mode=sci_mode, **{k: v for k, v in given.items() if v is not None})  # type: ignore[arg-type]


def get_printoptions() -> dict[str, Any]:
    """How tensors are printed now."""
    return {f.name: getattr(_options, f.name) for f in fields(_options)}


@contextlib.contextmanager
def printoptions(**options: Any) -> Iterator[None]:
    """Print tensors otherwise within; takes what ``set_printoptions`` takes."""
    global _options
    before = _options
    set_printoptions(**options)
    try:
        yield
    finally:
        _options = before


# -- numbers ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Numbers:
    """One way of writing numbers so that those of a tensor line up."""

    write: Callable[[Any], str]
    width: int
    pads: bool = True

    def __call__(self, value: Any) -> str:
        return self.write(value).rjust(self.width) if self.pads else self.write(value)


def _plain(values: Sequence[Any]) -> _Numbers:
    return _Numbers(str, max((len(str(v)) for v in values), default=0))


def _real(values: Sequence[float]) -> _Numbers:
    """Whole numbers as ``1.``, others to the precision, in powers of ten where they are far apart."""
    o = _options
    seen = [abs(v) for v in values if v != 0 and math.isfinite(v)]
    whole = all(v == math.floor(v) for v in seen)

    def power(v: float) -> str:
        return f"{v:.{o.precision}e}"

    def integer(v: float) -> str:
        return f"{v:.0f}." if math.isfinite(v) else str(v)

    def fixed(v: float) -> str:
        return f"{v:.{o.precision}f}"

    apart = bool(seen) and (max(seen) / min(seen) > 1000 or max(seen) > 1e8 or (not whole and min(seen) < 1e-4))
    if seen and o.sci_mode is not None:
        apart = o.sci_mode
    chosen = power if apart else integer if whole else fixed
    width = max((len(chosen(v)) for v in values if v != 0 and math.isfinite(v)), default=1)
    return _Numbers(chosen, width)


def _complex(values: Sequence[complex]) -> _Numbers:
    real, imag = _real([v.real for v in values]), _real([v.imag for v in values])

    def write(v: complex) -> str:
        part = imag(v.imag).strip()
        return real(v.real) + ("" if part.startswith("-") else "+") + part + "j"

    return _Numbers(write, real.width + imag.width + 1, pads=False)


def _edges(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The elements that are shown when only the edges are."""
    e = _options.edgeitems
    for axis, n in enumerate(array.shape):
        if n > 2 * e:
            array = np.take(array, [*range(e), *range(n - e, n)], axis)
    return array


def _numbers(array: np.ndarray[Any, Any]) -> _Numbers:
    values = array.ravel().tolist()
    if array.dtype.kind == "f":
        return _real(values)
    return _complex(values) if array.dtype.kind == "c" else _plain(values)


def _host(x: Any) -> np.ndarray[Any, Any]:
    """The values in a NumPy dtype whose elements Python knows."""
    array = x.numpy()
    if array.dtype.kind in "biufc":
        return array
    return array.astype(np.int64) if x.dtype.name.lstrip("u").startswith("int") else array.astype(np.float64)


# -- text ------------------------------------------------------------------------------------------


def _row(array: np.ndarray[Any, Any], indent: int, short: bool, write: _Numbers) -> str:
    e = _options.edgeitems
    values = array.tolist()
    if short and len(values) > 2 * e:
        shown = [*map(write, values[:e]), " ...", *map(write, values[-e:] if e else [])]
    else:
        shown = [*map(write, values)]
    per_line = max(1, (_options.linewidth - indent) // (write.width + 2))
    lines = [", ".join(shown[at : at + per_line]) for at in range(0, len(shown), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _body(array: np.ndarray[Any, Any], indent: int, short: bool, write: _Numbers) -> str:
    if array.ndim == 0:
        return write(array.item())
    if array.ndim == 1:
        return _row(array, indent, short, write)
    e = _options.edgeitems
    if short and len(array) > 2 * e:
        rows = [*array[:e], None, *(array[-e:] if e else [])]
    else:
        rows = [*array]
    parts = ["..." if r is None else _body(r, indent + 1, short, write) for r in rows]
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def _node_name(node: Any) -> str:
    from .tensor import Pick

    made = node.nodes[0] if isinstance(node, Pick) else node
    words = made.plan.op.name.strip("_").split("_")
    return "".join(w[:1].upper() + w[1:] for w in words) + "Backward0"


def _remarks(x: Any) -> list[str]:
    """What the values do not show: device, size, dtype, gradient."""
    from .device import get_default_device
    from .tensor import Leaf

    remarks = []
    if x.device != get_default_device():
        remarks.append(f"device='{x.device}'")
    if x.numel() == 0 and x.ndim != 1:
        remarks.append(f"size={x.shape}")
    usual = (
        {dt.get_default_dtype()}
        if x.numel() == 0
        else {dt.get_default_dtype(), dt.complex_of(dt.get_default_dtype()), dt.int64, dt.bool_}
    )
    if x.dtype not in usual:
        remarks.append(f"dtype={x.dtype!r}")
    if x.node is not None:
        remarks.append("requires_grad=True" if isinstance(x.node, Leaf) else f"grad_fn=<{_node_name(x.node)}>")
    return remarks


def text(x: Any, prefix: str = "tensor(") -> str:
    """A tensor as PyTorch prints it; one that is being captured has no values yet and shows its spec."""
    if x.backend.name == "trace" or x.dtype.kind == "q":
        return f"{prefix}<{x.spec}>)"
    indent = len(prefix)
    if x.numel() == 0:
        shown = prefix + "[]"
    else:
        array = _host(x)
        short = array.size > _options.threshold
        shown = prefix + _body(array, indent, short, _numbers(_edges(array) if short else array))
    length = len(shown) - shown.rfind("\n") + 1
    for remark in _remarks(x):
        if length + len(remark) + 2 > _options.linewidth:
            shown += ",\n" + " " * indent + remark
            length = indent + len(remark)
        else:
            shown += ", " + remark
            length += len(remark) + 2
    return shown + ")"


# -- notebooks -------------------------------------------------------------------------------------


def _cells(values: Sequence[Any], write: _Numbers, cut: bool) -> str:
    e = _options.edgeitems
    shown = [write.write(v) for v in values]
    if cut and len(shown) > 2 * e:
        shown = [*shown[:e], "…", *shown[-e:]]
    return "<tr>" + "".join(f"<td>{_html.escape(s)}</td>" for s in shown) + "</tr>"


def html(x: Any) -> str:
    """A tensor for a notebook: one or two dimensions as a table, others as text, under a line that says what it is."""
    notes = [str(x.spec), f"on {x.device}"] + [r for r in _remarks(x) if "grad" in r]
    caption = _html.escape(" ".join(notes))
    if x.backend.name == "trace" or x.dtype.kind == "q" or x.ndim not in (1, 2) or x.numel() == 0:
        return f"<pre>{_html.escape(text(x))}</pre><small>{caption}</small>"
    array = _host(x)
    array = array[None] if array.ndim == 1 else array
    short, e = array.size > _options.threshold, _options.edgeitems
    write = _numbers(_edges(array) if short else array)
    rows = array.tolist()
    if short and len(rows) > 2 * e:
        lines = (
            [_cells(r, write, short) for r in rows[:e]] + ["<tr><td>…</td></tr>"] + [_cells(r, write, short) for r in rows[-e:]]
        )
    else:
        lines = [_cells(r, write, short) for r in rows]
    return f"<table><caption>{caption}</caption>{''.join(lines)}</table>"
