"""When two results agree: spec, dtype of the data, places of NaN and infinities, and values within a derived tolerance."""

from __future__ import annotations

import math
from typing import Any, Sequence

import numpy as np

from .. import dtype as dt
from ..op import Op, Spec

_SIGNED_ZEROS = {
    "neg",
    "abs",
    "sqrt",
    "floor",
    "ceil",
    "trunc",
    "round",
    "where",
    "mul",
    "div",
    "copysign",
    "positive",
    "alias",
    "real",
    "imag",
}
_GROWS = {"exp", "exp2", "expm1", "sinh", "cosh", "pow", "float_power", "ldexp"}  # an error in the operand grows with the result
_EXACT = {"add", "sub", "neg", "conj_physical", "real", "imag", "alias", "positive", "where", "cast", "complex"}
_MOVES = {"movement"}
_REDUCES = {"reduce", "linear", "conv", "pool", "linalg", "fft", "loss", "neural", "resize", "select"}


def _largest(x: np.ndarray[Any, Any]) -> float:
    """The largest finite magnitude."""
    if not x.size or x.dtype.kind not in "fciuV":
        return 0.0
    with np.errstate(all="ignore"):
        size = np.abs(x.astype(np.complex128 if x.dtype.kind == "c" else np.float64))
    size = size[np.isfinite(size)]
    return float(size.max()) if size.size else 0.0


def _values(x: Any) -> Any:
    """The values of blocks; other arrays are their own."""
    if x is None or dt.as_dtype(x.dtype).kind != "q":
        return x
    from ..quant import decode

    return decode(x)


def terms_of(op: Op, specs: Sequence[Spec | None], attrs: dict[str, Any], out: Spec) -> int:
    """How many terms each element of the result sums."""
    if op.terms is not None:
        return max(1, int(op.terms(*specs, **attrs)))
    if op.group == "elementwise":
        return 1
    largest = max([s.size for s in specs if s is not None], default=1)
    return max(1, largest // max(out.size, 1))


def tolerance(
    op: Op, specs: Sequence[Spec | None], attrs: dict[str, Any], out: Spec, want: np.ndarray[Any, Any], operands: Sequence[Any]
) -> tuple[float, float]:
    """How far an element may be off: a part of itself, and an amount."""
    real = dt.real_of(out.dtype)
    if real.kind != "f" or op.group in _MOVES:
        return 0.0, 0.0
    if op.roundings == 0:
        return 0.0, 0.0
    terms = terms_of(op, specs, attrs, out)
    eps = float(dt.finfo(real).eps)
    off = op.roundings * (8 if out.dtype.kind == "c" else 4 if op.composite else 1)
    if op.name in _GROWS and want.size:
        off *= 1 + max(math.log(max(_largest(want), 1.0)), 0.0) / 8
    largest = _largest(want)
    for x in operands if terms > 1 or op.group in _REDUCES else ():
        if x is not None and x.dtype.kind in "fcV":
            largest = max(largest, _largest(x))
    if op.group in ("linear", "conv") and terms > 1:
        product = math.prod([max(_largest(x), 1e-300) for x in operands if x is not None])
        largest = max(largest, min(product, largest * 1e6))
    if real.itemsize == 2 and op.wide:
        # computed in single precision and rounded once; a composite rounds after each of its steps
        part = eps * (4 if op.composite else 2 if op.expand is not None else 1)
        single = 2.0**-23 * off * math.sqrt(terms)
        rounded = 8 * eps if op.composite else 2 * eps if op.expand is not None else 0.0
        return part, (single + rounded) * largest + float(dt.finfo(real).smallest_subnormal)
    part = eps * off * math.sqrt(terms)
    amount = part * largest if terms > 1 or op.group in _REDUCES else part * (1.0 if out.dtype.kind == "c" else min(1.0, largest))
    return part, amount + float(dt.finfo(real).smallest_subnormal)


def compared(got: Any, want: np.ndarray[Any, Any], part: float, amount: Any, zeros: bool = False) -> str | None:
    """What tells two arrays of one shape and dtype apart, or None; ``amount`` may be an array of one per element."""
    if got.shape != want.shape:
        return f"the data's shape is {got.shape} but should be {want.shape}"
    if got.dtype != want.dtype:
        return f"the data's dtype is {got.dtype} but should be {want.dtype}"
    if not want.size:
        return None
    if _same_bits(got, want):
        return None
    if dt.as_dtype(want.dtype).kind == "q":
        rows = [np.ascontiguousarray(x).view(np.uint8).reshape(*x.shape, -1) for x in (got, want)]
        return _where((rows[0] != rows[1]).any(-1), got, want)
    if want.dtype.kind in "biu":
        wrong = got != want
        return _where(wrong, got, want) if wrong.any() else None
    if want.dtype.kind == "V" or want.dtype.itemsize < 2 or want.dtype.kind not in "fc":
        if dt.as_dtype(want.dtype).kind == "s":
            a, b = got.astype(np.float64), want.astype(np.float64)
            wrong = (a != b) & ~(np.isnan(a) & np.isnan(b))
            return _where(wrong, got, want) if wrong.any() else None
    kind = np.complex128 if want.dtype.kind == "c" else np.float64
    with np.errstate(all="ignore"):
        a, b = got.astype(kind), want.astype(kind)
        if (a == b).all() and not zeros:
            return None
        odd = np.isnan(a) != np.isnan(b) if want.dtype.kind != "c" else np.isfinite(a) != np.isfinite(b)
        if odd.any():
            return "NaN where it should not be, or not where it should: " + _where(odd, got, want)
        limit = part * np.abs(b) + amount
        away = np.abs(a - b)
        finite = np.isfinite(a) & np.isfinite(b)
        wrong = finite & (away > limit)
        if want.dtype.kind != "c":
            top = float(dt.finfo(dt.as_dtype(want.dtype)).max)
            edge = np.where(np.isfinite(a), a, np.sign(a) * top), np.where(np.isfinite(b), b, np.sign(b) * top)
            wrong |= ~finite & ~np.isnan(b) & (a != b) & ~((np.abs(edge[0] - edge[1]) <= 4 * part * top) & (part > 0))
        else:
            wrong |= np.isfinite(a) != np.isfinite(b)
        if wrong.any():
            return _where(wrong, got, want)
        if zeros and want.dtype.kind != "c":
            signs = (a == 0) & (b == 0) & (np.signbit(a) != np.signbit(b))
            if signs.any():
                return "a zero has the wrong sign: " + _where(signs, got, want)
    return None


def flushed(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Zeros, with their signs, in place of subnormal numbers; float16 keeps them, for it is computed with in single precision."""
    dtype = dt.as_dtype(x.dtype)
    if dtype.kind not in "fc" or dtype is dt.float16 or not x.size:
        return x
    if dtype.kind == "c":
        y = np.empty_like(x)
        y.real, y.imag = flushed(x.real), flushed(x.imag)
        return y
    with np.errstate(all="ignore"):
        return np.where(np.abs(x) < dt.finfo(dtype).smallest_normal, np.copysign(np.zeros((), x.dtype), x), x)


def _same_bits(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    a, b = np.ascontiguousarray(a).reshape(-1), np.ascontiguousarray(b).reshape(-1)
    return bool((a.view(np.uint8) == b.view(np.uint8)).all())


def _where(wrong: np.ndarray[Any, Any], got: np.ndarray[Any, Any], want: np.ndarray[Any, Any]) -> str:
    at = tuple([int(i[0]) for i in np.nonzero(wrong)]) if wrong.ndim else ()
    return f"{int(wrong.sum())} of {wrong.size} elements differ, the first at {at}: {got[at]!s} but should be {want[at]!s}"


def differs(
    op: Op, specs: Sequence[Spec | None], attrs: dict[str, Any], out: Spec, got: Any, want: Any, operands: Sequence[Any]
) -> str | None:
    """What tells a device's result from the reference's, or None."""
    if op.same is not None and got.shape == want.shape and got.dtype == want.dtype:
        return op.same(got, want, *operands, **attrs)
    amount: Any
    part, amount = tolerance(op, specs, attrs, out, want, [_values(x) for x in operands])
    if op.bound is not None:
        amount = amount + op.bound(*operands, **attrs)
    exact = out.dtype.kind == "f" and (op.group in _MOVES or op.name in _SIGNED_ZEROS)
    if out.dtype.kind == "c" and op.group == "elementwise" and op.name not in _EXACT and got.shape == want.shape:
        # what complex functions make of infinities and overflow is left open
        with np.errstate(all="ignore"):
            known = np.isfinite(want) & (np.isfinite(got) | (np.abs(want) < 1e9))
        if got.dtype == want.dtype and not known.all():
            got, want = got[known], want[known]
    if out.dtype.kind == "c" and part == amount == 0.0 and got.dtype == want.dtype:
        return compared(got.real, want.real, 0.0, 0.0) or compared(got.imag, want.imag, 0.0, 0.0)
    return compared(got, want, part, amount, zeros=exact)
