"""Random numbers: Philox4x32-10 over a state that is an operand, and the distributions made of its bits.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw: Parallel random numbers: as easy as 1, 2, 3.  SC 2011.
"""

from __future__ import annotations

import math
from typing import Any, Mapping, Sequence

import numpy as np

from ..dtype import FLOATS, DType, float16, float32, float64, int64, uint32, uint64
from ..errors import DTypeError, ShapeError
from ..op import Shape, Spec, composite, primitive
from .elementwise import cast, where

ROUNDS = 10
_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_MASK = 0xFFFFFFFF


def _mul(m: int, x: Any) -> tuple[Any, Any]:
    """The high and the low word of a product, in uint64 arithmetic."""
    p = np.uint64(m) * x
    return p >> np.uint64(32), p & np.uint64(_MASK)


def philox(counter: Sequence[Any], key: Sequence[int]) -> list[Any]:
    """Philox4x32-10: four words for each counter of four words (arrays of uint64 below 2^32) under a key of two."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(ROUNDS):
        hi0, lo0 = _mul(_M0, c0)
        hi1, lo1 = _mul(_M1, c2)
        c0, c1, c2, c3 = hi1 ^ c1 ^ np.uint64(k0), lo1, hi0 ^ c3 ^ np.uint64(k1), lo0
        k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    return [c0, c1, c2, c3]


def blocks(shape: Sequence[int]) -> int:
    """How many counters a draw of a shape uses up: each gives four words."""
    return -(-math.prod(shape) // 4)


def _bits_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> Mapping[str, Any]:
    if specs[0].shape != (2,):
        raise ShapeError(f"a random state is int64[2] (seed, offset) but {specs[0]} was given; use a Generator's state")
    return attrs


def _state_sample(**attrs: Any) -> Any:
    def sample(d: Any) -> Any:
        state = np.array([d.int(-(2**40), 2**62), d.int(0, 2**34)], np.int64)
        given = {k: v(d) for k, v in attrs.items()}
        return [state], given

    return sample


def _shape_of(d: Any) -> tuple[int, ...]:
    return d.shape()


def _bits_expand(state: Any, *, shape: Shape) -> Any:
    """The same in operations on uint64 tensors."""
    from ..create import arange

    n = blocks(shape)
    seed, offset = cast(state[0], dtype=uint64), cast(state[1], dtype=uint64)
    at = cast(arange(n, dtype=int64, device=state.backend), dtype=uint64) + offset
    zero = at * 0
    c0, c1, c2, c3 = at & _MASK, at >> 32, zero, zero
    k0, k1 = seed & _MASK, seed >> 32
    for _ in range(ROUNDS):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & _MASK, (p0 >> 32) ^ c3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    words = _stacked([c0, c1, c2, c3])
    return cast(words.reshape((4 * n,))[: math.prod(shape)].reshape(shape), dtype=uint32)


def _stacked(xs: Sequence[Any]) -> Any:
    from ..op import OPS

    return OPS["cat"]([x.unsqueeze(1) for x in xs], dim=1)


@primitive("int64 -> uint32", method=False, wide=False, canon=_bits_canon, shape=lambda state, *, shape: shape,
           sample=_state_sample(shape=_shape_of), expand=_bits_expand)  # fmt: skip
def random_bits(state, *, shape: Shape):
    """Words of Philox4x32-10: element i is word i % 4 of the block numbered offset + i // 4, under the seed as key."""
    seed, offset = int(state[0]) & 0xFFFFFFFFFFFFFFFF, np.uint64(int(state[1]) & 0xFFFFFFFFFFFFFFFF)
    n = blocks(shape)
    at = np.arange(n, dtype=np.uint64) + offset
    zero = np.zeros(n, np.uint64)
    words = philox([at & np.uint64(_MASK), at >> np.uint64(32), zero, zero], [seed & _MASK, seed >> 32])
    return np.stack(words, 1).astype(np.uint32).reshape(-1)[: math.prod(shape)].reshape(shape)


def _floating(name: str) -> Any:
    def canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> Mapping[str, Any]:
        if attrs["dtype"] not in FLOATS:
            raise DTypeError(f"{name} gives float16, bfloat16, float32 or float64 but was asked for {attrs['dtype']}")
        return _bits_canon(specs, attrs)

    return canon


def _one_float(d: Any) -> DType:
    return d.dtype(FLOATS)


def _unit(state: Any, shape: Sequence[int], dtype: DType) -> Any:
    """Numbers in [0, 1) of as many bits as the dtype's mantissa holds, so that none rounds to 1."""
    if dtype is float64:
        words = cast(random_bits(state, shape=(*shape, 2)), dtype=uint64)
        high, low = words[..., 0] >> 5, words[..., 1] >> 6
        return (cast(high, dtype=float64) * 67108864.0 + cast(low, dtype=float64)) * 2.0**-53
    bits = random_bits(state, shape=tuple(shape))
    if dtype is float32:
        return cast(bits >> 8, dtype=float32) * 2.0**-24
    kept = 11 if dtype is float16 else 8
    return cast(cast(bits >> (32 - kept), dtype=float32) * 2.0**-kept, dtype=dtype)


def _above_zero(u: Any, dtype: DType) -> Any:
    """-log(1 - u) of uniform numbers, where u is 0 as if it lay in the middle of its step: never 0, nor infinite."""
    half_step = 2.0**-54 if dtype is float64 else 2.0**-25
    return where(u == 0, half_step, -(1 - u).log())


def words_of(shape: Sequence[int], dtype: DType, normal: bool = False) -> int:
    """How many counters ``uniform`` or ``normal`` of a shape use up."""
    n = math.prod(shape)
    n = n + n % 2 if normal else n
    return -(-n * (2 if dtype is float64 else 1) // 4)


@composite("int64 -> dtype", method=False, canon=_floating("uniform"), shape=lambda state, *, shape, dtype: shape, special=False,
           sample=_state_sample(shape=_shape_of, dtype=_one_float))  # fmt: skip
def random_uniform(state, *, shape: Shape, dtype: DType = float32):
    """Uniform numbers in [0, 1)."""
    return _unit(state, shape, dtype)


@composite("int64 -> dtype", method=False, canon=_floating("exponential"), special=False, ulps=64.0,
           shape=lambda state, *, shape, dtype: shape, sample=_state_sample(shape=_shape_of, dtype=_one_float))  # fmt: skip
def random_exponential(state, *, shape: Shape, dtype: DType = float32):
    """Exponential numbers of rate 1, above 0; half precision from float32."""
    wide = float64 if dtype is float64 else float32
    y = _above_zero(_unit(state, shape, wide), wide)
    return y if dtype is wide else cast(y, dtype=dtype)


@composite("int64 -> dtype", method=False, canon=_floating("gumbel"), shape=lambda state, *, shape, dtype: shape, special=False,
           ulps=256.0, sample=_state_sample(shape=_shape_of, dtype=_one_float))  # fmt: skip
def random_gumbel(state, *, shape: Shape, dtype: DType = float32):
    """Numbers of Gumbel's distribution: the logarithms of weights plus these are largest as often as the weights say."""
    wide = float64 if dtype is float64 else float32
    y = -_above_zero(_unit(state, shape, wide), wide).log()
    return y if dtype is wide else cast(y, dtype=dtype)


@composite("int64 -> dtype", method=False, canon=_floating("normal"), shape=lambda state, *, shape, dtype: shape, special=False,
           ulps=64.0, sample=_state_sample(shape=_shape_of, dtype=_one_float))  # fmt: skip
def random_normal(state, *, shape: Shape, dtype: DType = float32):
    """Normal numbers of mean 0 and deviation 1, by Box and Muller's transform of pairs; half precision from float32."""
    n = math.prod(shape)
    half = (n + 1) // 2
    wide = float64 if dtype is float64 else float32
    u = _unit(state, (2, half), wide)
    radius = ((1 - u[0]).log() * -2).sqrt()
    angle = u[1] * (2 * math.pi)
    from ..op import OPS

    pairs = OPS["cat"]([radius * angle.cos(), radius * angle.sin()], dim=0)
    y = pairs[:n].reshape(tuple(shape))
    return y if dtype is wide else cast(y, dtype=dtype)


def _integers_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> Mapping[str, Any]:
    if not attrs["high"] > attrs["low"]:
        raise ShapeError(f"randint draws from [low, high) but was given [{attrs['low']}, {attrs['high']})")
    return _bits_canon(specs, attrs)


def _integers_sample(d: Any) -> Any:
    (state,), attrs = _state_sample(shape=_shape_of)(d)
    low = d.int(-100, 100)
    return [state], {**attrs, "low": low, "high": low + d.one([1, 2, 3, 7, 100, 2**31, 2**40]), "dtype": int64}


@composite("int64 -> dtype", method=False, canon=_integers_canon, sample=_integers_sample,
           shape=lambda state, *, low, high, shape, dtype: shape)  # fmt: skip
def random_integers(state, *, low: int, high: int, shape: Shape, dtype: DType = int64):
    """Integers of [low, high): 64 random bits modulo the range, whose bias is below range / 2^64."""
    words = cast(random_bits(state, shape=(*shape, 2)), dtype=uint64)
    wide = (words[..., 0] << 32) | words[..., 1]
    found = cast(wide.remainder(high - low), dtype=int64) + low
    return found if dtype is int64 else cast(found, dtype=dtype)
