"""Products: matrices, vectors, einsum."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtype import NUMBERS
from ..op import composite, function, primitive


@primitive("T[m,k], T[k,n] -> T[m,n]", NUMBERS, name="matmul_2d", required=True, method=False, terms=lambda a, b: a.shape[-1],
           vjp=(lambda g, _y, _a, b: g @ b.mH, lambda g, _y, a, _b: a.mH @ g))  # fmt: skip
def _matmul(a, b):
    """Matrix product over the last two dimensions."""
    return np.matmul(a, b)


_ = Any, composite, function
