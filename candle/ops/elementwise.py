"""Elementwise operations: arithmetic, functions of one number, comparisons, logic, bits."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..dtype import ALL, BOOL, COMPLEX, EVERY, FLOATS, INEXACT, INTEGERS, NUMBERS, REALS
from ..op import OPS, ZERO, DType, composite, primitive

unary = partial(primitive, "T[] -> T[]")
binary = partial(primitive, "T[], T[] -> T[]")
compare = partial(primitive, "T[], T[] -> bool[]", ALL, wide=False)

# -- casts and copies ------------------------------------------------------------------------------


def _cast_sample(d: Any) -> Any:
    return [d.array(d.shape(), d.dtype(ALL))], {"dtype": d.dtype(ALL)}


@primitive("S -> dtype", S=EVERY, required=True, wide=False, method=False, shape=lambda x, *, dtype: x.shape,
           vjp=(lambda g, _y, _x, dtype: cast(g, dtype=_x.dtype),), sample=_cast_sample)  # fmt: skip
def cast(x, *, dtype: DType):
    """The same values in another dtype: floats to integers towards zero, complex to real without the imaginary part."""
    if x.dtype.kind == "c" and dtype.kind not in "cb":
        x = x.real
    return x.astype(dtype.numpy)


@primitive("S -> S", S=EVERY, required=True, wide=False, method=False, shape=lambda x: x.shape, vjp=(lambda g, _y, _x: g,))
def alias(x):
    """The same value under another name."""
    return x


# -- arithmetic ------------------------------------------------------------------------------------


@unary(NUMBERS, required=True, wide=False, vjp=(lambda g, _y, _x: -g,))
def neg(x):
    """Negation."""
    return np.negative(x)


@binary(ALL, required=True, vjp=(lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: g))
def add(a, b):
    """Sum; of booleans, their disjunction."""
    return np.add(a, b)


@binary(NUMBERS, required=True, vjp=(lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: -g))
def sub(a, b):
    """Difference."""
    return np.subtract(a, b)


@binary(ALL, required=True, vjp=(lambda g, _y, _a, b: g * conj(b), lambda g, _y, a, _b: g * conj(a)))
def mul(a, b):
    """Product; of booleans, their conjunction."""
    return np.multiply(a, b)


@binary(INEXACT, required=True, domain=(0.5, 8), vjp=(lambda g, _y, _a, b: g / conj(b), lambda g, y, _a, b: -g * conj(y / b)))
def div(a, b):
    """Quotient; integers are divided as floats."""
    return np.true_divide(a, b)


@unary(INEXACT, required=True, vjp=(lambda g, y, _x: g * conj(y),))
def exp(x):
    """e raised to x."""
    return np.exp(x)


@unary(INEXACT, required=True, domain=(0.125, 8), vjp=(lambda g, _y, x: g / conj(x),))
def log(x):
    """Natural logarithm."""
    return np.log(x)


@unary(INEXACT, required=True, domain=(0.125, 8), vjp=(lambda g, y, _x: g / conj(2 * y),))
def sqrt(x):
    """Square root."""
    return np.sqrt(x)


# -- complex parts ---------------------------------------------------------------------------------


@unary(COMPLEX, name="conj_physical", wide=False, vjp=(lambda g, _y, _x: conj(g),))
def _conj(x):
    """The complex conjugate."""
    return np.conjugate(x)


def conj(x: Any) -> Any:
    """The complex conjugate; a real tensor is its own."""
    return OPS["conj_physical"](x) if x.dtype.kind == "c" else x


# -- comparisons -----------------------------------------------------------------------------------


@compare(required=True)
def eq(a, b):
    """Whether a equals b."""
    return np.equal(a, b)


@primitive("T[], T[] -> bool[]", ALL[:-2], required=True, wide=False)
def lt(a, b):
    """Whether a is less than b."""
    return np.less(a, b)


@primitive("bool[], T[], T[] -> T[]", EVERY, required=True, wide=False, vjp=(
    None, lambda g, _y, c, _a, _b: where(c, g, 0), lambda g, _y, c, _a, _b: where(c, 0, g)))  # fmt: skip
def where(condition, a, b):
    """a where the condition holds, else b."""
    return np.where(condition, a, b)


_ = BOOL, FLOATS, INTEGERS, REALS, ZERO, composite
