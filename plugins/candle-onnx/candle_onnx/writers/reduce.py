"""Reductions, running sums, sorting, and products."""

from __future__ import annotations

import math
from typing import Any

import candle
from candle import Spec

from ..emit import Emitter, writes


def _reduced(e: Emitter, op_type: str, x: str, dim: Any, keepdim: bool) -> str:
    if not dim:
        return x
    return str(e.node(op_type, x, e.ints(dim), keepdims=int(keepdim)))


for _name, _type in {"sum": "ReduceSum", "prod": "ReduceProd"}.items():

    def _total(e: Emitter, x: str, *, dim: Any, keepdim: bool, dtype: Any, op_type: str = _type) -> str:
        return _reduced(e, op_type, e.cast(x, e.out.dtype), dim, keepdim)

    writes(_name)(_total)

for _name, _type in {"amax": "ReduceMax", "amin": "ReduceMin", "logsumexp": "ReduceLogSumExp"}.items():

    def _extreme(e: Emitter, x: str, *, dim: Any, keepdim: bool, op_type: str = _type) -> str:
        return _reduced(e, op_type, x, dim, keepdim)

    writes(_name, when=(lambda x, **_: x.dtype.kind == "f" and x.ndim > 0) if _name == "logsumexp" else None)(_extreme)


@writes("mean")
def mean(e: Emitter, x: str, *, dim: Any, keepdim: bool, dtype: Any) -> str:
    """That of no elements is NaN, for which ONNX leaves ReduceMean open."""
    shape, x = e.specs[x].shape, e.cast(x, e.out.dtype)
    if 0 not in shape:
        return _reduced(e, "ReduceMean", x, dim, keepdim)
    count = math.prod([shape[d] for d in dim]) if dim else 1
    return str(e.Div(_reduced(e, "ReduceSum", x, dim, keepdim), e.like(x, count)))


@writes("any")
def any_(e: Emitter, x: str, *, dim: Any, keepdim: bool) -> str:
    """A count, which is 0 for no elements, where ReduceMax of bool has the lowest number."""
    bits = e.cast(e.cast(x, candle.bool), candle.int32)
    return e.cast(_reduced(e, "ReduceSum", bits, dim, keepdim), candle.bool)


@writes("all")
def all_(e: Emitter, x: str, *, dim: Any, keepdim: bool) -> str:
    return str(e.Not(any_(e, e.Not(e.cast(x, candle.bool)), dim=dim, keepdim=keepdim)))


for _name, _type in {"argmax": "ArgMax", "argmin": "ArgMin"}.items():

    def _place(e: Emitter, x: str, *, dim: Any, keepdim: bool, op_type: str = _type) -> str:
        if dim is not None and e.specs[x].ndim:
            return str(e.node(op_type, x, axis=dim, keepdims=int(keepdim)))
        found = e.node(op_type, e.Reshape(x, e.ints([-1])), axis=0, keepdims=0)
        return str(e.Reshape(found, e.ints([1] * e.out.ndim)))

    writes(_name)(_place)


@writes("cumsum", when=lambda x, **_: x.ndim > 0)
def cumsum(e: Emitter, x: str, *, dim: int, dtype: Any) -> Any:
    return e.CumSum(e.cast(x, e.out.dtype), e.constant(dim))


@writes("sort")
def sort(e: Emitter, x: str, *, dim: int, descending: bool, stable: bool) -> Any:
    if not e.specs[x].ndim:
        return x, e.constant(0)
    return e.TopK(x, e.ints([e.specs[x].shape[dim]]), outputs=2, axis=dim, largest=int(descending), sorted=1)


@writes("topk", when=lambda x, **_: x.ndim > 0)
def topk(e: Emitter, x: str, *, k: Any, dim: int, largest: bool, sorted: bool) -> Any:
    return e.TopK(x, e.ints([k]), outputs=2, axis=dim, largest=int(largest), sorted=int(sorted))


# -- products --------------------------------------------------------------------------------------


@writes("matmul")
def matmul(e: Emitter, a: str, b: str) -> Any:
    return e.MatMul(a, b)


def _rows(x: Spec, weight: Spec, bias: Spec | None) -> bool:
    return x.ndim == 2 and weight.ndim == 2 and x.dtype.kind == "f"


@writes("linear", when=_rows)
def linear(e: Emitter, x: str, weight: str, bias: str | None) -> Any:
    return e.Gemm(x, weight, bias, transB=1)
