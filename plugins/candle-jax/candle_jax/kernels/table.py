"""The table of kernels, and what is common to all: half precision, dtypes of results, checks of what XLA does not check."""

from __future__ import annotations

from typing import Any, Callable

import jax
import jax.numpy as jnp
import numpy as np

from candle import OPS
from candle.dtype import HALVES
from candle.op import Op, Spec

Array = Any  # a jax.Array, or a tracer of one
Function = Callable[..., Any]  # (out, *operands, **attrs) -> an array, or a tuple of them

PRECISE = jax.lax.Precision.HIGHEST  # no TF32 or bfloat16 in place of float32 where an accelerator would take them
_HALVES = tuple(d.numpy for d in HALVES)
# XLA stores several of these in a byte, and on the CPU aborts the process where it joins or pads them
PACKED = {"int2": np.int8, "int4": np.int8, "uint2": np.uint8, "uint4": np.uint8, "float4_e2m1fn": np.float32}


class Kernel:
    """A kernel that JAX can trace: ``kernel(out, *operands, **attrs)``.

    ``before(out, *operands, **attrs)`` and ``after(results, out, *operands, **attrs)`` look at values and raise, where the
    reference would; they are called on the host and outside compiled functions only.
    """

    def __init__(self, op: Op, fn: Function, native: bool, before: Function | None, after: Function | None) -> None:
        self.op, self.fn, self.before, self.after = op, fn, before, after
        self.wide = op.wide and not native

    def __call__(self, out: Any, *xs: Any, **attrs: Any) -> Any:
        xs = tuple([x.astype(PACKED[x.dtype.name]) if x is not None and x.dtype.name in PACKED else x for x in xs])
        if self.wide:
            xs = tuple([x.astype(jnp.float32) if x is not None and x.dtype in _HALVES else x for x in xs])
        y = self.fn(out, *xs, **attrs)
        return tuple([_finish(v, o) for v, o in zip(y, out)]) if self.op.multiple else _finish(y, out)

    def __repr__(self) -> str:
        return f"<kernel of {self.op.name} on jax>"


def _finish(y: Array, out: Spec) -> Array:
    y = jnp.asarray(y)
    return y if y.dtype == out.dtype.numpy and not y.weak_type else jax.lax.convert_element_type(y, out.dtype.numpy)


_table: dict[str, Kernel] = {}


def kernels() -> dict[str, Kernel]:
    """The kernels by op."""
    return dict(_table)


def add(name: str, fn: Function, native: bool = False, before: Function | None = None, after: Function | None = None) -> None:
    """Enter a function as the kernel of an op.  ``native``: it takes half precision as it comes."""
    _table[name] = Kernel(OPS[name], fn, native, before, after)


def kernel(name: str = "", **settings: Any) -> Callable[[Function], Function]:
    """The same as a decorator; the op's name is the function's unless given."""

    def decorate(fn: Function) -> Function:
        add(name or fn.__name__.rstrip("_"), fn, **settings)
        return fn

    return decorate


def floating(x: Array) -> bool:
    return bool(jnp.issubdtype(x.dtype, jnp.floating))


def complex_(x: Array) -> bool:
    return bool(jnp.issubdtype(x.dtype, jnp.complexfloating))


def summed_in(out: Spec) -> Any:
    """The dtype that a sum is taken in whose result is ``out``: float32 for halves."""
    return jnp.float32 if out.dtype in HALVES else out.dtype.numpy
