"""Special functions under the names of ``torch.special``: ops of the table, and the normal distribution's, made of them."""

from __future__ import annotations

import math
from typing import Any

from .errors import DTypeError
from .op import FUNCTIONS, OPS
from .tensor import Tensor

_NAMES = {
    "digamma": "digamma", "erf": "erf", "erfc": "erfc", "erfinv": "erfinv", "exp2": "exp2", "expit": "sigmoid", "expm1": "expm1",
    "gammaln": "lgamma", "i0": "i0", "i1": "i1", "log1p": "log1p", "log_softmax": "log_softmax", "logit": "logit",
    "logsumexp": "logsumexp", "polygamma": "polygamma", "psi": "digamma", "round": "round", "sinc": "sinc",
    "softmax": "softmax", "xlogy": "xlogy",
}  # fmt: skip
_OWN = ("entr", "log_ndtr", "multigammaln", "ndtr", "ndtri", "xlog1py")


def __getattr__(name: str) -> Any:
    found = _NAMES.get(name)
    if found is None:
        import difflib

        near = difflib.get_close_matches(name, __dir__(), 1)
        raise AttributeError(f"candle.special has no {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return FUNCTIONS.get(found, OPS.get(found))


def __dir__() -> list[str]:
    return sorted([*_NAMES, *_OWN])


def _floating(x: Tensor, name: str) -> Tensor:
    if not isinstance(x, Tensor) or x.is_complex():
        given = x.spec if isinstance(x, Tensor) else type(x).__name__
        raise DTypeError(f"special.{name} takes real tensors but was given {given}")
    return x if x.is_floating_point() else x.float()


def ndtr(x: Tensor) -> Tensor:
    """The standard normal distribution's area below x."""
    return OPS["erfc"](_floating(x, "ndtr") * -math.sqrt(0.5)) * 0.5


def ndtri(p: Tensor) -> Tensor:
    """Where the standard normal distribution has the area p below it; infinite at 0 and 1, NaN outside."""
    return OPS["erfinv"](_floating(p, "ndtri") * 2 - 1) * math.sqrt(2)


def log_ndtr(x: Tensor) -> Tensor:
    """The logarithm of ``ndtr``, also far below 0: Abramowitz and Stegun 26.2.12."""
    x = _floating(x, "log_ndtr")
    far = -25.0 if x.dtype.itemsize == 8 else -10.0
    where = OPS["where"]
    low = where(x < far, x, far)
    z = (low * low).reciprocal()
    series = z * 0 + 1
    for k in range(10, 0, -1):
        series = 1 - z * (2 * k - 1) * series
    tail = low * low * -0.5 - (low * -math.sqrt(2 * math.pi)).log() + series.log()
    near = where(x < far, far, x)
    middle = where(near > 0, near, 0)
    above = (ndtr(-middle) * -1).log1p()
    below = ndtr(where(near > 0, 0, near)).log()
    return where(x < far, tail, where(near > 0, above, below))


def entr(x: Tensor) -> Tensor:
    """-x log(x), 0 at 0, minus infinity below."""
    x = _floating(x, "entr")
    return OPS["where"](x < 0, -math.inf, -FUNCTIONS.get("xlogy", OPS["xlogy"])(x, x))


def xlog1py(x: Tensor, other: Tensor) -> Tensor:
    """x log(1 + other), 0 where x is 0 and ``other`` no NaN."""
    where = OPS["where"]
    zero = (x == 0) & (other == other)
    return where(zero, 0, x * where(zero, 0, other).log1p())


def multigammaln(x: Tensor, p: int) -> Tensor:
    """The logarithm of the multivariate gamma function of dimension p, for x above (p - 1) / 2."""
    x = _floating(x, "multigammaln")
    total = x * 0 + p * (p - 1) / 4 * math.log(math.pi)
    for at in range(p):
        total = total + OPS["lgamma"](x - at / 2)
    return total
