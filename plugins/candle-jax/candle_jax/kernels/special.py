"""Kernels of the special functions."""

from __future__ import annotations

from typing import Any

import jax.scipy.special as scipy

from .table import Array, add, kernel

for _name, _function in {
    "erf": scipy.erf, "erfc": scipy.erfc, "erfinv": scipy.erfinv, "lgamma": scipy.gammaln, "digamma": scipy.digamma,
    "i0": scipy.i0, "i1": scipy.i1,
}.items():  # fmt: skip
    add(_name, lambda out, x, _function=_function: _function(x))


@kernel()
def polygamma(out: Any, x: Array, *, n: int) -> Array:
    return scipy.polygamma(n, x) if n else scipy.digamma(x)
