"""Block-quantised tensors: making them, taking them apart, and products with weights that are quantised."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtype import FLOATS, INTEGERS, QUANTISED, as_dtype, float32
from ..errors import DTypeError, ShapeError
from ..op import OPS, DType, Spec, function, primitive
from .linear import grouped_shape, linear_shape
from .select import checked

_ROWS = 1 << 22  # elements of a weight that are dequantised at a time


# -- between quantised and floating ----------------------------------------------------------------


def _quantize_canon(specs: Any, attrs: Any) -> Any:
    from ..quant import ENCODABLE

    dtype, (x, importance) = attrs["dtype"], specs
    if dtype not in ENCODABLE:
        names = ", ".join(d.name for d in ENCODABLE)
        only = " is only decoded" if dtype.kind == "q" else " is no quantised dtype"
        raise DTypeError(f"quantize makes {names}, but {dtype}{only}")
    if importance is not None and importance.shape != x.shape[-1:]:
        raise ShapeError(f"quantize takes an importance for each column of {x} but was given {importance}")
    return attrs


def _quantize_sample(d: Any) -> Any:
    from ..quant import ENCODABLE

    dtype = d.one(ENCODABLE)
    k = dtype.block * d.int(1, 2)
    importance = np.abs(d.array((k,), float32)) if d.bool() else None
    rows = () if d.bool() else (d.int(0, 9),)  # a few: the search for scales takes its time
    return [d.array((*rows, k), d.dtype(FLOATS)), importance], {"dtype": dtype}


@primitive(
    "T, float32? -> dtype",
    FLOATS,
    name="quantize",
    shape=lambda x, importance, *, dtype: x.shape,
    canon=_quantize_canon,
    sample=_quantize_sample,
    special=False,
    same=lambda got, want, x, importance, *, dtype: _as_near(got, want, x),
)
def _quantize(x, importance, *, dtype: DType):
    """The blocks of a quantised dtype that come nearest to x [.., k]; k is a multiple of the dtype's block.

    ``importance`` [k] says how much errors matter in each column.  Raises DTypeError for NaN and infinities.
    """
    from ..quant import encode

    return encode(x, dtype, importance)


@function(front=True)
def quantize(x: Any, dtype: Any, importance: Any = None) -> Any:
    """x [.., k] in a quantised dtype such as ``candle.q4_k``; ``importance`` [k] says how much errors matter in each column."""
    return _quantize(x, importance, dtype=as_dtype(dtype))


def _as_near(got: Any, want: Any, x: Any) -> str | None:
    """Another encoder may round ties otherwise or find another scale, but no worse than by a twentieth."""
    from ..quant import decode

    x = x.astype(np.float64)
    with np.errstate(all="ignore"):
        ours, theirs = [np.sqrt(np.square(decode(b) - x).mean()) if x.size else 0.0 for b in (want, got)]
    if not np.isfinite(ours):  # values beyond what a scale in half precision reaches
        return None
    most = 1.05 * ours + 1e-6 * float(np.abs(x).max(initial=0.0))
    return None if theirs <= most else f"the blocks are off by {theirs:.4g} in the mean but those of the reference by {ours:.4g}"


def _blocks_sample(d: Any) -> Any:
    return [d.blocks(d.shape(max_dims=2), d.dtype(QUANTISED))], {"dtype": d.dtype(FLOATS)}


@primitive("Q -> dtype", Q=QUANTISED, shape=lambda x, *, dtype: x.shape, sample=_blocks_sample)
def dequantize(x, *, dtype: DType = float32):
    """The values of a quantised tensor, computed in float32."""
    from ..quant import decode

    return decode(x)


# -- products --------------------------------------------------------------------------------------


def _activation_bound(x: Any, weight: Any, bias: Any) -> Any:
    """How far a product may be off whose kernel quantises x to 8 bits, in blocks of the weight's size, as GGML does.

    Half a step of a 127th of the block's largest element, and the rounding of its scale to half precision, times the sum of
    the weight's magnitudes in the block: [.., n].
    """
    from ..quant import decode

    w = np.abs(decode(weight)).astype(np.float64)
    size = as_dtype(weight.dtype).block
    x = np.abs(x.astype(np.float64))
    steps = x.reshape(*x.shape[:-1], weight.shape[-1], size).max(-1) * (1 / 254 + 2.0**-10)
    sums = w.reshape(*weight.shape, size).sum(-1)
    return steps @ sums.T


def _linear_sample(d: Any) -> Any:
    kind = d.dtype(QUANTISED)
    dtype = d.one(FLOATS)
    n, k = d.size(0), kind.block * d.int(1, 3)
    bias = d.array((n,), dtype) if d.bool() else None
    return [d.array((*d.shape(max_dims=2), k), dtype), d.blocks((n,), kind, k // kind.block), bias], {}


def _linear_expand(x: Any, weight: Any, bias: Any) -> Any:
    return OPS["linear"](x, OPS["dequantize"](weight, dtype=x.dtype), bias)


def _linear_vjp(g: Any, _y: Any, _x: Any, weight: Any, _bias: Any) -> tuple[Any, ...]:
    n = weight.shape[0]
    gb = None if _bias is None else g.reshape((-1, n)).sum(0)
    return g @ OPS["dequantize"](weight, dtype=g.dtype), None, gb


@primitive("T, Q, T? -> T", FLOATS, Q=QUANTISED, shape=linear_shape("quantized_linear"), sample=_linear_sample, method=False,
           expand=_linear_expand, vjp=_linear_vjp, terms=lambda x, w, b: max(w.shape[-1], 1), special=False,
           bound=_activation_bound)  # fmt: skip
def quantized_linear(x, weight, bias):
    """x [.., k] times the transpose of a quantised weight [n, k], plus bias [n]; ``linear`` calls it.

    The reference dequantises to float32.  A kernel may quantise x to 8 bits, as GGML does: each block of x (of the weight's
    block size) is then off by at most a 254th of its largest element.
    """
    from ..quant import decode

    rows = max(_ROWS // max(x.shape[-1], 1), 1)
    y = np.empty((*x.shape[:-1], weight.shape[0]), x.dtype)
    for at in range(0, weight.shape[0], rows):
        np.matmul(x, decode(weight[at : at + rows]).T.astype(x.dtype), out=y[..., at : at + rows])
    return y if bias is None else y + bias


def _rows_shape(weight: Spec, ids: Spec) -> tuple[int, ...]:
    return (*ids.shape, *weight.shape[1:])


def _rows_sample(d: Any) -> Any:
    n = d.size(1)
    return [d.blocks((n,), d.dtype(QUANTISED)), d.ids(d.shape(0, 3), n)], {}


@primitive("Q, I -> float32", Q=QUANTISED, I=INTEGERS, shape=_rows_shape, sample=_rows_sample, method=False,
           expand=lambda weight, ids: OPS["dequantize"](
               weight.index_select(0, ids.reshape((-1,))).reshape((*ids.shape, *weight.shape[1:]))))  # fmt: skip
def quantized_embedding(weight, ids):
    """The values of the rows of a quantised table [n, k] at ids of any shape, in float32; ``embedding`` calls it."""
    from ..quant import decode

    return decode(np.take(weight, checked("embedding", ids, weight.shape[0]), 0))


def _grouped_sample(d: Any) -> Any:
    kind = d.dtype(QUANTISED)
    groups, n, rows, blocks = d.int(1, 4), d.size(0), d.size(0), d.int(1, 2)
    x = d.array((rows, kind.block * blocks), d.one(FLOATS))
    return [x, d.blocks((groups, n), kind, blocks), d.ids((rows,), groups)], {}


def _grouped_expand(x: Any, weight: Any, ids: Any) -> Any:
    y = x.new_zeros(x.shape[0], weight.shape[1])
    for e in range(weight.shape[0]):
        mine = ids.eq(e).unsqueeze(1)
        y = OPS["where"](mine, OPS["quantized_linear"](x, weight.select(0, e), None), y)
    return y


def _grouped_vjp(g: Any, _y: Any, _x: Any, weight: Any, ids: Any) -> tuple[Any, ...]:
    gx = None
    for e in range(weight.shape[0]):
        part = g @ OPS["dequantize"](weight.select(0, e), dtype=g.dtype)
        gx = part if gx is None else OPS["where"](ids.eq(e).unsqueeze(1), part, gx)
    return (_x.zeros_like() if gx is None else gx), None, None


def _grouped_bound(x: Any, weight: Any, ids: Any) -> Any:
    bounds = [_activation_bound(x, w, None) for w in weight]
    return np.stack(bounds)[ids, np.arange(len(ids))] if bounds else 0.0


@primitive("T, Q, I -> T", FLOATS, Q=QUANTISED, I=INTEGERS, shape=grouped_shape("quantized_grouped_linear"),
           sample=_grouped_sample, method=False, expand=_grouped_expand, vjp=_grouped_vjp,
           terms=lambda x, w, ids: max(w.shape[-1], 1), special=False, bound=_grouped_bound)  # fmt: skip
def quantized_grouped_linear(x, weight, ids):
    """Row t of x [t,k] times the transpose of weight[ids[t]], one of quantised [groups,n,k]: a mixture's experts.  [t, n]

    Kernels may quantise x as those of ``quantized_linear`` may.
    """
    from ..quant import decode

    y = np.zeros((x.shape[0], weight.shape[1]), x.dtype)
    at = checked("quantized_grouped_linear", ids, weight.shape[0])
    for e in np.unique(at):
        rows = at == e
        y[rows] = x[rows] @ decode(weight[e]).T.astype(x.dtype)
    return y
