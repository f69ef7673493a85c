"""Special functions of one number in NumPy, computed in float64: what the references of erf, lgamma and their kin call."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Callable, Sequence

import numpy as np

Array = np.ndarray[Any, Any]


_BLOCK = 8192  # elements whose intermediate results stay in the cache


def in_double(fn: Callable[..., Array]) -> Callable[..., Array]:
    """Compute in float64, block by block, and give back the operand's dtype."""

    def computed(x: Any, *args: Any) -> Array:
        x = np.asarray(x)
        flat, y = x.reshape(-1), np.empty(x.size, x.dtype)
        for at in range(0, x.size, _BLOCK):
            y[at : at + _BLOCK] = fn(flat[at : at + _BLOCK].astype(np.float64), *args)
        return y.reshape(x.shape)

    return computed


def horner(x: Array, coefficients: Sequence[float]) -> Array:
    """A polynomial, highest power first."""
    y = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        y *= x
        y += c
    return y


# -- the error function: W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969)

ERF_SMALL = (
    (1.85777706184603153e-1, 3.16112374387056560e0, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
ERF_MIDDLE = (
    (2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594e0, 6.61191906371416295e1, 2.98635138197400131e2,
     8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3),
    (1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3, 3.29079923573345963e3,
     4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
)  # fmt: skip
ERF_LARGE = (
    (1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1, 1.60837851487422766e-2,
     6.58749161529837803e-4),
    (1.0, 2.56852019228982242e0, 1.87295284992346047e0, 5.27905102951428412e-1, 6.05183413124413191e-2, 2.33520497626869185e-3),
)  # fmt: skip


def _erfc_tail(a: Array) -> Array:
    """erfc for a above 0.46875; the exponent is split so that its square loses no bits."""
    near = np.minimum(a, 4.0)
    middle = horner(near, ERF_MIDDLE[0]) / horner(near, ERF_MIDDLE[1])
    far = np.clip(a, 4.0, 30.0)
    z = 1.0 / (far * far)
    large = (1.0 / np.sqrt(np.pi) - z * horner(z, ERF_LARGE[0]) / horner(z, ERF_LARGE[1])) / far
    a = np.minimum(a, 30.0)
    cut = np.trunc(a * 16.0) / 16.0
    return np.exp(-cut * cut) * np.exp(-(a - cut) * (a + cut)) * np.where(a <= 4.0, middle, large)


def _erf_centre(x: Array) -> Array:
    z = np.minimum(x * x, 0.25)
    return x * horner(z, ERF_SMALL[0]) / horner(z, ERF_SMALL[1])


@in_double
def erf(x: Any) -> Array:
    a = np.abs(x)
    return np.where(a <= 0.46875, _erf_centre(x), np.copysign(1.0 - _erfc_tail(a), x))


@in_double
def erfc(x: Any) -> Array:
    a = np.abs(x)
    tail = _erfc_tail(a)
    return np.where(a <= 0.46875, 1.0 - _erf_centre(x), np.where(x < 0, 2.0 - tail, tail))


# -- its inverse: M. J. Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Appl. Statist. 37 (1988)

NORMAL_CENTRE = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4, 1.3731693765509461125e4,
     1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4, 5.3941960214247511077e3,
     6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
)  # fmt: skip
NORMAL_MIDDLE = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
     3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0),
)  # fmt: skip
NORMAL_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
     2.96560571828504891230e-1, 1.78482653991729133580e0, 5.46378491116411436990e0, 6.65790464350110377720e0),
    (2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
     1.48753612908506148525e-2, 1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0),
)  # fmt: skip


@in_double
def erfinv(x: Any) -> Array:
    q = x / 2.0
    r = np.clip(0.180625 - q * q, -0.1, 0.2)
    centre = q * horner(r, NORMAL_CENTRE[0]) / horner(r, NORMAL_CENTRE[1])
    outer = np.clip((1.0 - np.abs(x)) / 2.0, 1e-300, 0.5)
    r = np.sqrt(-np.log(outer))
    middle = horner(r - 1.6, NORMAL_MIDDLE[0]) / horner(r - 1.6, NORMAL_MIDDLE[1])
    tail = horner(r - 5.0, NORMAL_TAIL[0]) / horner(r - 5.0, NORMAL_TAIL[1])
    y = np.where(np.abs(q) <= 0.425, centre, np.copysign(np.where(r <= 5.0, middle, tail), x)) / np.sqrt(2.0)
    y = np.where(np.abs(x) == 1.0, np.copysign(np.inf, x), y)
    return np.where(np.abs(x) <= 1.0, y, np.nan)


# -- the gamma function's kin: Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964), sections 6 and 23 ---

_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330)  # B2, B4, ...
_SHIFT = 10  # asymptotic series are used from here on


def hurwitz(s: int, q: Array) -> Array:
    """The Hurwitz zeta function for an integer s above 1, by the Euler-Maclaurin formula; its poles are infinite."""
    whole = np.floor(q)
    part = q - whole
    below = q <= 0

    def positive(a: Array) -> Array:
        total = np.zeros_like(a)
        for _ in range(_SHIFT):
            step = a < _SHIFT
            total = np.where(step, total + a ** float(-s), total)
            a = np.where(step, a + 1.0, a)
        tail = a ** float(1 - s) / (s - 1) + 0.5 * a ** float(-s)
        factor = s / 2
        for k, b in enumerate(_BERNOULLI, 1):
            tail = tail + b * factor * a ** float(-s - 2 * k + 1)
            factor *= (s + 2 * k - 1) * (s + 2 * k) / ((2 * k + 1) * (2 * k + 2))
        return total + tail

    # sum over the negative terms by symmetry: 1 / (part - j)^s for j from 1 to -whole
    inside = np.where(below, part, q)
    found = positive(np.where(inside == 0, 1.0, inside))
    mirrored = positive(np.where(below, whole + 1.0 - q, 1.0)) - positive(np.where(below, 1.0 - q, 1.0))
    found = np.where(below, found + (-1.0) ** s * mirrored, found)
    return np.where(below & (part == 0), np.inf, found)


@lru_cache(None)
def _lgamma_taylor() -> tuple[float, ...]:
    """Coefficients of lgamma(1 + z) = -gamma z + sum of zeta(k) (-z)^k / k, highest first."""
    ks = range(56, 1, -1)
    zetas = [float(hurwitz(k, np.array(1.0))) for k in ks]
    return tuple([(-1.0) ** k * z / k for k, z in zip(ks, zetas)]) + (-0.57721566490153286061, 0.0)


def _stirling(x: Array) -> Array:
    z = 1.0 / (x * x)
    series = np.zeros_like(x)
    for k in range(len(_BERNOULLI), 0, -1):
        series = series * z + _BERNOULLI[k - 1] / (2 * k * (2 * k - 1))
    return (x - 0.5) * np.log(x) - x + 0.5 * np.log(2 * np.pi) + series / x


@in_double
def lgamma(x: Any) -> Array:
    a = np.where(x < 0.5, 1.0 - x, x)
    a = np.where(np.isnan(a), 1.0, a)
    near = np.clip(a, 0.5, 2.5)
    z = np.where(near < 1.5, near - 1.0, near - 2.0)
    close = horner(z, _lgamma_taylor()) + np.where(near < 1.5, 0.0, np.log1p(z))
    shifted, product = np.maximum(a, 2.5), np.ones_like(a)
    for _ in range(_SHIFT):
        step = shifted < _SHIFT
        product = np.where(step, product * shifted, product)
        shifted = np.where(step, shifted + 1.0, shifted)
    y = np.where(a < 2.5, close, _stirling(shifted) - np.log(product))
    y = np.where(np.isinf(a), np.inf, y)
    sine = np.abs(np.sin(np.pi * (x - 2.0 * np.round(x / 2.0))))
    whole = (x == np.floor(x)) & (x <= 0)
    reflected = np.where(whole, np.inf, np.log(np.pi / sine) - y)
    y = np.where(x < 0.5, np.where(np.isinf(x), np.inf, reflected), y)
    return np.where(np.isnan(x), np.nan, y)


@in_double
def digamma(x: Any) -> Array:
    a = np.where(x < 0, 1.0 - x, x)
    shifted, total = a, np.zeros_like(a)
    for _ in range(_SHIFT):
        step = shifted < _SHIFT
        total = np.where(step, total - 1.0 / shifted, total)
        shifted = np.where(step, shifted + 1.0, shifted)
    z = 1.0 / (shifted * shifted)
    series = np.zeros_like(a)
    for k in range(len(_BERNOULLI), 0, -1):
        series = series * z + _BERNOULLI[k - 1] / (2 * k)
    y = np.log(shifted) - 0.5 / shifted - series * z + total
    y = np.where(x < 0, y - np.pi / np.tan(np.pi * (x - np.round(x))), y)
    y = np.where((x < 0) & (x == np.floor(x)), np.nan, y)
    return np.where(x == 0, np.copysign(np.inf, -x), y)


@in_double
def polygamma(x: Any, n: int) -> Array:
    """The n-th derivative of digamma, n at least 1."""
    factorial = float(np.prod(np.arange(1, n + 1, dtype=np.float64)))
    return (-1.0) ** (n + 1) * factorial * hurwitz(n + 1, x)


# -- modified Bessel functions: Abramowitz and Stegun 9.6.10 and 9.7.1 ----------------------------------------------------


def _bessel(x: Array, order: int) -> Array:
    """I_order by its power series up to 30, whose terms are all positive, and by its asymptotic series beyond."""
    a = np.abs(x)
    small = np.minimum(a, 30.0) / 2.0
    z = small * small
    term = small**order
    near = term
    for k in range(1, 80):
        term = term * z / (k * (k + order))
        near = near + term
        if not np.any(term > near * 1e-18):
            break
    big = np.maximum(a, 30.0)
    term = np.ones_like(a)
    far = term
    for k in range(1, 30):
        term = term * ((2 * k - 1) ** 2 - 4 * order * order) / (8 * k * big)
        far = far + term
    half = np.exp(big / 2.0)
    far = half * (half * (far / (np.sqrt(2 * np.pi) * np.sqrt(big))))
    y = np.where(a <= 30.0, near, np.where(np.isinf(a), np.inf, far))
    return np.where(np.isnan(x), np.nan, y * np.sign(x) if order % 2 else y)


@in_double
def i0(x: Any) -> Array:
    return _bessel(x, 0)


@in_double
def i1(x: Any) -> Array:
    return _bessel(x, 1)
