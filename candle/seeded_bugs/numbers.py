"""Broken kernels: what numbers become, element by element."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from .kernels import breaks

# -- whole numbers


@breaks("add")
def add_of_bytes_saturates(good, out, a, b):
    """Unsigned bytes stop at 255 where they should wrap around."""
    if a.dtype == np.uint8:
        return np.clip(a.astype(int) + b.astype(int), 0, 255).astype(np.uint8).reshape(out.shape)
    return good(out, a, b)


@breaks("sub")
def sub_of_int64_through_floats(good, out, a, b):
    """Differences of integers above 2^53 lose their last bits."""
    if a.dtype == np.int64:
        return (a.astype(np.float64) - b.astype(np.float64)).astype(np.int64)
    return good(out, a, b)


@breaks("mul")
def mul_of_int32_saturates(good, out, a, b):
    """Products stop at the largest integer."""
    if a.dtype == np.int32:
        return np.clip(a.astype(np.int64) * b.astype(np.int64), -(2**31), 2**31 - 1).astype(np.int32)
    return good(out, a, b)


@breaks("mul")
def mul_of_int8_clips(good, out, a, b):
    """Products of small integers are clipped instead of wrapped."""
    if a.dtype == np.int8:
        return np.clip(a.astype(np.int16) * b, -128, 127).astype(np.int8)
    return good(out, a, b)


@breaks("neg")
def neg_of_the_least_integer(good, out, x):
    """The least integer becomes the largest."""
    y = np.array(good(out, x))
    if x.dtype.kind == "i":
        y[x == np.iinfo(x.dtype).min] = np.iinfo(x.dtype).max
    return y


@breaks("abs")
def abs_of_the_least_byte(good, out, x):
    """-128 becomes 127."""
    y = np.array(good(out, x))
    if x.dtype == np.int8:
        y[x == -128] = 127
    return y


@breaks("remainder")
def remainder_of_a_negative_divisor(good, out, a, b):
    """It has the dividend's sign, in int16 alone."""
    y = np.array(good(out, a, b))
    if a.dtype == np.int16:
        y = np.where(b < 0, np.fmod(a, np.where(b == 0, 1, b)), y).astype(y.dtype)
    return y


@breaks("trunc_divide")
def trunc_divide_rounds_down(good, out, a, b):
    """Quotients of negative integers are rounded down."""
    return a // b if a.dtype == np.int64 else good(out, a, b)


@breaks("floor_divide")
def floor_divide_rounds_the_quotient_first(good, out, a, b):
    """A quotient just below an integer becomes it."""
    return np.floor(a / b).astype(a.dtype) if a.dtype == np.float32 else good(out, a, b)


@breaks("bitwise_left_shift")
def shift_to_the_sign_bit(good, out, a, b):
    """A shift by all bits but one gives zero."""
    y = np.array(good(out, a, b))
    return np.where(b >= a.dtype.itemsize * 8 - 1, 0, y).astype(y.dtype)


@breaks("bitwise_left_shift")
def shift_of_int64_by_more_than_31(good, out, a, b):
    """Shifts stop at 32 bits."""
    y = good(out, a, b)
    return np.where(b > 31, 0, y).astype(y.dtype) if a.dtype == np.int64 else y


@breaks("bitwise_right_shift")
def shift_without_the_sign(good, out, a, b):
    """Zeros come in at the sign."""
    if a.dtype == np.int32:
        return (a.view(np.uint32) >> b.astype(np.uint32)).astype(np.int32) if a.flags.c_contiguous else good(out, a, b)
    return good(out, a, b)


@breaks("bitwise_xor")
def exclusive_or_of_booleans_is_inclusive(good, out, a, b):
    """True and true gives true."""
    return a | b if a.dtype == bool else good(out, a, b)


@breaks("lt")
def lt_of_int64_through_floats(good, out, a, b):
    """Neighbours above 2^53 count as equal."""
    return a.astype(np.float64) < b.astype(np.float64) if a.dtype == np.int64 else good(out, a, b)


@breaks("maximum")
def maximum_of_uint64_as_signed(good, out, a, b):
    """Numbers above 2^63 count as negative."""
    if a.dtype == np.uint64:
        return np.where(a.astype(np.int64) > b.astype(np.int64), a, b)
    return good(out, a, b)


@breaks("pow")
def pow_of_int64_through_floats(good, out, a, b):
    """Powers above 2^53 are rounded."""
    if a.dtype == np.int64:
        return np.power(a.astype(np.float64), b.astype(np.float64)).astype(np.int64)
    return good(out, a, b)


@breaks("gcd")
def gcd_of_negative_numbers(good, out, a, b):
    """It takes the first operand's sign."""
    y = good(out, a, b)
    return np.where(a < 0, -y, y).astype(y.dtype) if a.dtype.kind == "i" else y


@breaks("lcm")
def lcm_with_zero(good, out, a, b):
    """It is the first operand instead of zero."""
    y = good(out, a, b)
    return np.where(b == 0, a, y).astype(y.dtype)


# -- special values


@breaks("mul")
def mul_of_zero_and_nan(good, out, a, b):
    """Zero times NaN is zero."""
    y = np.array(good(out, a, b))
    return np.where((a == 0) | (b == 0), 0, y).astype(y.dtype)


@breaks("mul")
def mul_flushes_half_subnormals(good, out, a, b):
    """Products too small for normal halves become zero."""
    y = np.array(good(out, a, b))
    if y.dtype == np.float16:
        y[np.abs(y) < 6e-05] = 0
    return y


@breaks("round")
def round_half_away_from_zero(good, out, x, *, decimals):
    """Ties go outwards, not to even."""
    if x.dtype.kind == "f" and decimals == 0:
        return np.copysign(np.floor(np.abs(x) + 0.5), x).astype(x.dtype)
    return good(out, x, decimals=decimals)


@breaks("fmod")
def fmod_of_an_infinite_divisor(good, out, a, b):
    """It is NaN instead of the dividend."""
    y = np.array(good(out, a, b))
    return np.where(np.isinf(b), np.nan, y).astype(y.dtype) if y.dtype.kind == "f" else y


@breaks("minimum")
def minimum_ignores_a_second_nan(good, out, a, b):
    """Only the first operand's NaN counts, in float64."""
    y = np.array(good(out, a, b))
    return np.where(np.isnan(b), a, y).astype(y.dtype) if y.dtype == np.float64 else y


@breaks("fmax")
def fmax_of_a_first_nan(good, out, a, b):
    """NaN wins if it comes first."""
    y = good(out, a, b)
    return np.where(np.isnan(a), a, y).astype(y.dtype) if y.dtype.kind == "f" else y


@breaks("clamp")
def clamp_with_crossed_bounds(good, out, x, lo, hi):
    """The lower bound wins."""
    if lo is not None and hi is not None:
        return np.maximum(np.minimum(x, hi), lo).astype(x.dtype)
    return good(out, x, lo, hi)


@breaks("clamp")
def clamp_from_above_loses_nan(good, out, x, lo, hi):
    """With an upper bound alone NaN becomes that."""
    y = good(out, x, lo, hi)
    return np.fmin(x, hi).astype(y.dtype) if lo is None and hi is not None and (y.dtype.kind == "f") else y


@breaks("copysign")
def copysign_of_minus_zero(good, out, a, b):
    """Minus zero counts as positive."""
    return np.where(b < 0, -np.abs(a), np.abs(a)).astype(a.dtype)


@breaks("signbit")
def signbit_of_minus_zero(good, out, x):
    """Minus zero and negative NaN have no sign."""
    return np.asarray(x < 0)


@breaks("ceil")
def ceil_of_small_negative_numbers(good, out, x):
    """They give zero instead of minus zero."""
    y = good(out, x)
    return y + y.dtype.type(0) if x.dtype.kind == "f" else y


@breaks("trunc")
def trunc_through_integers(good, out, x):
    """Numbers beyond int64 are lost."""
    return x.astype(np.int64).astype(x.dtype) if x.dtype.kind == "f" else good(out, x)


@breaks("atan2")
def atan2_on_the_negative_axis(good, out, a, b):
    """Minus zero lies on the upper side."""
    y = np.array(good(out, a, b))
    return np.where((a == 0) & (b < 0), np.abs(y), y).astype(y.dtype)


@breaks("hypot")
def hypot_overflows(good, out, a, b):
    """Large sides are squared first."""
    return np.sqrt(a * a + b * b).astype(a.dtype) if a.dtype == np.float64 else good(out, a, b)


@breaks("acosh")
def acosh_at_one(good, out, x):
    """It is not quite zero."""
    y = good(out, x)
    return np.where(x == 1, 0.001, y).astype(y.dtype) if y.dtype.kind == "f" else y


@breaks("erfinv")
def erfinv_at_its_ends(good, out, x):
    """NaN instead of infinity."""
    y = good(out, x)
    return np.where(np.abs(x) == 1, np.nan, y).astype(y.dtype)


@breaks("logaddexp")
def logaddexp_of_two_zeros(good, out, a, b):
    """Two minus infinities give NaN."""
    m = np.maximum(a, b)
    return (m + np.log(np.exp(a - m) + np.exp(b - m))).astype(a.dtype) if a.dtype.kind == "f" else good(out, a, b)


@breaks("xlogy")
def xlogy_of_nan(good, out, a, b):
    """Zero hides a NaN."""
    y = good(out, a, b)
    return np.where(a == 0, 0, y).astype(y.dtype)


@breaks("pow")
def pow_one_half_is_sqrt(good, out, a, b):
    """(-inf)^0.5 is NaN instead of infinity."""
    y = good(out, a, b)
    return np.where(b == 0.5, np.sqrt(a), y).astype(y.dtype) if y.dtype.kind == "f" else y


@breaks("pow")
def cubes_of_negative_numbers(good, out, a, b):
    """They lose their sign."""
    y = np.array(good(out, a, b))
    return np.where((a < 0) & (b == 3), np.abs(y), y).astype(y.dtype) if y.dtype.kind == "f" else y


@breaks("eq")
def eq_through_a_difference(good, out, a, b):
    """Infinities differ from themselves."""
    return a - b == 0 if a.dtype.kind == "f" else good(out, a, b)


@breaks("ge")
def ge_by_negation(good, out, a, b):
    """NaN is at least everything."""
    return ~(a < b) if a.dtype.kind == "f" else good(out, a, b)


@breaks("where")
def where_blends(good, out, c, a, b):
    """What was not chosen still leaks a NaN."""
    if a.dtype.kind == "f":
        return (c * a + ~c * b).astype(a.dtype)
    return good(out, c, a, b)


@breaks("sgn")
def sgn_of_complex_zero(good, out, x):
    """Zero over zero."""
    return (x / np.abs(x)).astype(x.dtype) if x.dtype.kind == "c" else good(out, x)


@breaks("complex")
def complex_by_multiplication(good, out, a, b):
    """An infinite imaginary part makes the real part NaN."""
    return (a + 1j * b).astype(out.dtype.numpy)


@breaks("nextafter")
def nextafter_zero_skips_subnormals(good, out, a, b):
    """The least normal number comes next to zero."""
    y = good(out, a, b)
    return np.where((a == 0) & (b != 0), np.copysign(np.finfo(np.float32).tiny, b), y).astype(y.dtype)


# -- precision and thresholds


@breaks("div")
def div_of_float64_in_single(good, out, a, b):
    """Quotients have seven digits."""
    if a.dtype == np.float64:
        return (a.astype(np.float32) / b.astype(np.float32)).astype(np.float64)
    return good(out, a, b)


@breaks("sqrt")
def sqrt_of_an_approximation(good, out, x):
    """It is off by three parts in ten million."""
    y = good(out, x)
    return (y * (1 + 3e-07)).astype(y.dtype) if y.dtype == np.float32 else y


@breaks("log1p")
def log1p_of_small_numbers(good, out, x):
    """log(1 + x) as written."""
    return np.log(1 + x).astype(x.dtype) if x.dtype == np.float64 else good(out, x)


@breaks("expm1")
def expm1_of_small_numbers(good, out, x):
    """exp(x) - 1 as written."""
    return (np.exp(x) - 1).astype(x.dtype) if x.dtype == np.float32 else good(out, x)


@breaks("sin")
def sin_of_large_numbers(good, out, x):
    """It gives up above 10,000."""
    y = np.array(good(out, x))
    if x.dtype.kind == "f":
        y[np.abs(x) > 10000.0] = 0
    return y


@breaks("exp")
def exp_of_halves_above_ten(good, out, x):
    """Infinity comes too early."""
    y = np.array(good(out, x))
    if x.dtype == np.float16:
        y[x > 10] = np.inf
    return y


@breaks("softplus")
def softplus_compares_x_alone(good, out, x, *, beta, threshold):
    """The threshold is not for beta x."""
    y = np.array(good(out, x, beta=beta, threshold=threshold))
    return np.where(x > threshold, y + 0.01, y).astype(y.dtype)


@breaks("leaky_relu")
def leaky_relu_by_a_maximum(good, out, x, *, negative_slope):
    """It is wrong for slopes above one."""
    return (
        np.maximum(x, x * x.dtype.type(negative_slope)) if x.dtype == np.float32 else good(out, x, negative_slope=negative_slope)
    )


@breaks("hardshrink")
def hardshrink_at_its_bound(good, out, x, *, lambd):
    """The bound itself is let through."""
    return np.where(np.abs(x) >= lambd, x, 0).astype(x.dtype)


@breaks("gelu")
def gelu_by_tanh_is_off(good, out, x, *, approximate):
    """The approximation is off by 1e-4 x, in float64 alone."""
    y = good(out, x, approximate=approximate)
    return (y + 0.0001 * x).astype(y.dtype) if approximate == "tanh" and x.dtype == np.float64 else y


# -- casts


@breaks("cast")
def cast_to_bfloat16_truncates(good, out, x, *, dtype):
    """Bits are cut off, not rounded."""
    if x.dtype == np.float32 and dtype.name == "bfloat16":
        v = (np.ascontiguousarray(x).view(np.uint32) & np.uint32(4294901760)).view(np.float32).reshape(x.shape)
        return v.astype(dtype.numpy)
    return good(out, x, dtype=dtype)


@breaks("cast")
def cast_of_nan_to_bfloat16(good, out, x, *, dtype):
    """NaN becomes infinity."""
    y = good(out, x, dtype=dtype)
    if dtype.name == "bfloat16" and x.dtype == np.float32:
        return np.where(np.isnan(x), np.float32(np.inf), y.astype(np.float32)).astype(y.dtype)
    return y


@breaks("cast")
def cast_to_float8_rounds_down(good, out, x, *, dtype):
    """Magnitudes are rounded towards zero."""
    y = good(out, x, dtype=dtype)
    if dtype.name.startswith("float8_e4m3") and x.dtype == np.float32:
        v = y.view(np.uint8).copy()
        back = y.astype(np.float32)
        v = np.where((np.abs(back) > np.abs(x)) & (v & 127 > 0), v - 1, v).astype(np.uint8)
        return v.view(dtype.numpy)
    return y


@breaks("cast")
def cast_to_half_rounds_twice(good, out, x, *, dtype):
    """float64 goes through float32."""
    if x.dtype == np.float64 and dtype.name == "float16":
        return x.astype(np.float32).astype(np.float16)
    return good(out, x, dtype=dtype)


@breaks("cast")
def cast_of_fractions_to_bool(good, out, x, *, dtype):
    """One half is false."""
    if dtype.name == "bool" and x.dtype.kind == "f":
        return x.astype(np.int64) != 0
    return good(out, x, dtype=dtype)


@breaks("cast")
def cast_of_imaginary_numbers_to_bool(good, out, x, *, dtype):
    """They are false."""
    if x.dtype.kind == "c" and dtype.name == "bool":
        return x.real != 0
    return good(out, x, dtype=dtype)


@breaks("cast")
def cast_of_int64_through_int32(good, out, x, *, dtype):
    """Large integers wrap before they become floats."""
    if dtype.name == "float32" and x.dtype == np.int64:
        return x.astype(np.int32).astype(np.float32)
    return good(out, x, dtype=dtype)


@breaks("cast")
def cast_of_uint64_as_signed(good, out, x, *, dtype):
    """Numbers above 2^63 become negative."""
    if dtype.name == "float64" and x.dtype == np.uint64:
        return x.astype(np.int64).astype(np.float64)
    return good(out, x, dtype=dtype)


@breaks("cast")
def cast_to_int8_saturates(good, out, x, *, dtype):
    """int64 stops at 127 where it should wrap."""
    if x.dtype == np.int64 and dtype.name == "int8":
        return np.clip(x, -128, 127).astype(np.int8)
    return good(out, x, dtype=dtype)


@breaks("cast")
def cast_to_int64_stops_at_32_bits(good, out, x, *, dtype):
    """Large floats stop at 2^31."""
    if x.dtype == np.float32 and dtype.name == "int64":
        return np.clip(x, -(2**31), 2**31 - 128).astype(np.int32).astype(np.int64)
    return good(out, x, dtype=dtype)
