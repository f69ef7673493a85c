"""Neural networks: activations, normalisations, rotary positions, attention, dropout."""

from __future__ import annotations

import functools
import math
from functools import partial
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from ..dtype import BOOL, FLOATS, REALS, finfo, float32
from ..errors import CandleError, ShapeError
from ..op import OPS, Dim, DType, Ints, Spec, composite, function, primitive
from .elementwise import in_single, where

_SQRT2PI, _SQRT1_2 = math.sqrt(2 / math.pi), math.sqrt(0.5)


def single(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A composite's body that computes in float32 where its operands are halves, and rounds once."""
    return functools.wraps(fn)(in_single(fn))


def _widened(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The gradient of an op of one operand, computed in float32 for halves; both g and x are used."""

    @functools.wraps(fn)
    def vjp(g: Any, _y: Any, x: Any, **attrs: Any) -> Any:
        if x.dtype.itemsize == 2:
            return fn(g.to(dtype=float32), _y, x.to(dtype=float32), **attrs)
        return fn(g, _y, x, **attrs)

    return vjp


def activation(types: Sequence[Any] = FLOATS, **fields: Any) -> Callable[..., Any]:
    """Declare a function of each element, said in other ops."""
    return lambda fn: composite("T[] -> T[]", types, **fields)(single(fn))


def _below(x: Any) -> Any:
    """Negative elements as they are, 0 for the others: what the negative branch may safely compute with."""
    return where(x > 0, 0, x)


# -- activations -----------------------------------------------------------------------------------


@primitive("T[] -> T[]", REALS, wide=False, vjp=(lambda g, y, _x: where(y <= 0, 0, g),), expand=lambda x: x.maximum(0))
def relu(x):
    """max(x, 0)."""
    return np.maximum(x, np.zeros((), x.dtype))


def _inside(g: Any, _y: Any, x: Any, low: float, high: float) -> Any:
    return where((x <= low) | (x >= high), 0, g)


@composite("T[] -> T[]", REALS, vjp=(lambda g, _y, x: _inside(g, _y, x, 0, 6),))
def relu6(x):
    """x within [0, 6]."""
    return x.clamp(0, 6)


def _of_kind(x: Any, number: float) -> Any:
    """A number as x's elements are: for integers the part before the point, as in PyTorch."""
    return number if x.dtype.kind == "f" else int(number)


@composite("T[] -> T[]", REALS, vjp=(lambda g, _y, x, min_val, max_val: _inside(g, _y, x, min_val, max_val),))
def hardtanh(x, *, min_val: float = -1.0, max_val: float = 1.0):
    """x within [min_val, max_val]; the gradient is 0 at the bounds."""
    return x.clamp(_of_kind(x, min_val), _of_kind(x, max_val))


@activation(vjp=(lambda g, _y, x, negative_slope: where(x > 0, g, g * negative_slope),))
def leaky_relu(x, *, negative_slope: float = 0.01):
    """x, times negative_slope below 0."""
    return where(x > 0, x, x * negative_slope)


def _prelu_shape(x: Spec, weight: Spec, **_: Any) -> tuple[int, ...]:
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.size != 1 and weight.shape != (channels,):
        raise ShapeError(f"prelu's weight has 1 or {channels} elements for {x} but {weight} was given")
    return x.shape


def _prelu_sample(d: Any) -> Any:
    shape = d.shape(min_dims=2)
    dtype = d.dtype(FLOATS)
    return [d.array(shape, dtype), d.array(d.one([(1,), (shape[1],)]), dtype)], {}


@composite("T, T -> T", FLOATS, shape=_prelu_shape, sample=_prelu_sample)
@single
def prelu(x, weight):
    """x, times a weight below 0: one weight, or one per channel (dimension 1)."""
    n = weight.spec.size
    w = weight.reshape((1, n, *[1] * (x.ndim - 2))) if x.ndim > 1 else weight.reshape(())
    return where(x > 0, x, w * _below(x))


@activation(vjp=(lambda g, _y, x, alpha: where(x > 0, g, g * alpha * _below(x).exp()),))
def elu(x, *, alpha: float = 1.0):
    """x, but alpha (exp(x) - 1) below 0."""
    return where(x > 0, x, alpha * _below(x).expm1())


@activation(vjp=(lambda g, _y, x, alpha: where(x > 0, g, g * (_below(x) / alpha).exp()),))
def celu(x, *, alpha: float = 1.0):
    """x, but alpha (exp(x / alpha) - 1) below 0."""
    return where(x > 0, x, alpha * (_below(x) / alpha).expm1())


_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


@activation(vjp=(lambda g, _y, x: where(x > 0, g * _SELU_SCALE, g * (_SELU_SCALE * _SELU_ALPHA) * _below(x).exp()),))
def selu(x):
    """The self-normalising elu.  https://arxiv.org/abs/1706.02515"""
    return where(x > 0, x * _SELU_SCALE, (_SELU_SCALE * _SELU_ALPHA) * _below(x).expm1())


def _gelu_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    if attrs["approximate"] not in ("none", "tanh"):
        raise CandleError(f"gelu's approximate is 'none' or 'tanh' but {attrs['approximate']!r} was given")
    return dict(attrs)


def _gelu_inner(x: Any) -> Any:
    return (_SQRT2PI * (x + 0.044715 * (x * x * x))).tanh()


@_widened
def _gelu_vjp(g: Any, _y: Any, x: Any, approximate: str) -> Any:
    if approximate == "tanh":
        x = x.clamp(-30, 30)  # beyond, the slope is 0 or 1, and x cubed may overflow
        t = _gelu_inner(x)
        return g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * (_SQRT2PI * (1 + 3 * 0.044715 * x * x)))
    x = x.clamp(-30, 30)
    return g * (0.5 * (-x * _SQRT1_2).erfc() + x * (-0.5 * x * x).exp() * (0.5 * _SQRT2PI))


@activation(canon=_gelu_canon, vjp=(_gelu_vjp,), ulps=32)
def gelu(x, *, approximate: str = "none"):
    """x times the normal distribution function of x, or its "tanh" approximation.  https://arxiv.org/abs/1606.08415"""
    if approximate == "tanh":
        return 0.5 * x * (1 + _gelu_inner(x))
    return 0.5 * x * (-x * _SQRT1_2).erfc()


@_widened
def _silu_vjp(g: Any, _y: Any, x: Any) -> Any:
    s = x.sigmoid()
    return g * (s + x.clamp(-1e4, 1e4) * (s * (1 - s)))


@activation(vjp=(_silu_vjp,), ulps=16)
def silu(x):
    """x sigmoid(x)."""
    return x * x.sigmoid()


@activation(ulps=32)
def mish(x):
    """x tanh(softplus(x)).  https://arxiv.org/abs/1908.08681"""
    return x * softplus(x).tanh()


def _softplus_vjp(g: Any, _y: Any, x: Any, beta: float, threshold: float) -> Any:
    return where(x * beta > threshold, g, g * (x * beta).sigmoid())


@activation(vjp=(_softplus_vjp,), ulps=16)
def softplus(x, *, beta: float = 1.0, threshold: float = 20.0):
    """log(1 + exp(beta x)) / beta; x itself where beta x exceeds the threshold."""
    z = x * beta
    return where(z > threshold, x, (z.maximum(0) + (-z.abs()).exp().log1p()) / beta)


@activation(vjp=(lambda g, _y, x: g * (-x).sigmoid(),), ulps=16)
def logsigmoid(x):
    """log(sigmoid(x)), without overflow."""
    return x.minimum(0) - (-x.abs()).exp().log1p()


@activation(vjp=(lambda g, _y, x: g / (1 + x.abs()).square(),))
def softsign(x):
    """x / (1 + |x|)."""
    return x / (1 + x.abs())


@activation(vjp=(lambda g, _y, x: where((x <= -3) | (x >= 3), 0, g * (1 / 6)),))
def hardsigmoid(x):
    """x / 6 + 1/2 within [0, 1]."""
    return (x + 3).clamp(0, 6) / 6


@activation(vjp=(lambda g, _y, x: where(x <= -3, 0, where(x >= 3, g, g * (x / 3 + 0.5))),))
def hardswish(x):
    """x hardsigmoid(x)."""
    return x * ((x + 3).clamp(0, 6) / 6)


@activation(vjp=(lambda g, _y, x, lambd: where((x >= -lambd) & (x <= lambd), 0, g),))
def hardshrink(x, *, lambd: float = 0.5):
    """x, but 0 within [-lambd, lambd]."""
    return where((x >= -lambd) & (x <= lambd), 0, x)


@activation(vjp=(lambda g, _y, x, lambd: where((x >= -lambd) & (x <= lambd), 0, g),))
def softshrink(x, *, lambd: float = 0.5):
    """x brought nearer to 0 by lambd, and 0 within it."""
    return where(x > lambd, x - lambd, where(x < -lambd, x + lambd, x * 0))


@activation(vjp=(lambda g, _y, x: g * x.tanh().square(),))
def tanhshrink(x):
    """x - tanh(x)."""
    return x - x.tanh()


@composite("T[] -> T[]", REALS, vjp=(lambda g, _y, x, threshold, value: where(x <= threshold, 0, g),))
def threshold(x, *, threshold: float, value: float):
    """x where it exceeds the threshold, else value."""
    return where(x <= _of_kind(x, threshold), _of_kind(x, value), x)


def _glu_shape(x: Spec, *, dim: int) -> tuple[int, ...]:
    if x.shape[dim] % 2:
        raise ShapeError(f"glu halves dimension {dim} but was given {x}, where it is odd")
    return (*x.shape[:dim], x.shape[dim] // 2, *x.shape[dim + 1 :])


def _even_sample(d: Any) -> Any:
    shape = list(d.shape(min_dims=1))
    dim = d.dim(tuple(shape))
    shape[dim] *= 2
    return [d.array(tuple(shape), d.dtype(FLOATS))], {"dim": dim}


@composite("T -> T", FLOATS, shape=_glu_shape, sample=_even_sample)
@single
def glu(x, *, dim: Dim = -1):
    """The first half of a dimension times the sigmoid of the second."""
    n = x.shape[dim] // 2
    return x.narrow(dim, 0, n) * x.narrow(dim, n, n).sigmoid()


# -- softmax ---------------------------------------------------------------------------------------


def _softmax_dtype(x: Spec, *, dim: int, dtype: DType | None) -> DType:
    return dtype or x.dtype


def _softmax_sample(d: Any) -> Any:
    shape = d.shape(min_dims=1)
    return [d.array(shape, d.dtype(FLOATS))], {"dim": d.dim(shape)}


soft = partial(primitive, "T -> T", FLOATS, result=_softmax_dtype, sample=_softmax_sample, ulps=16,
               shape=lambda x, **_: x.shape, terms=lambda x, *, dim, dtype: x.shape[dim])  # fmt: skip


def _shifted(x: Any, dim: int, dtype: DType | None) -> Any:
    x = x if dtype is None else x.to(dtype=dtype)
    return x - x.amax(dim=dim, keepdim=True) if x.spec.size else x


def _softmax(x: Any, *, dim: int, dtype: DType | None) -> Any:
    e = _shifted(x, dim, dtype).exp()
    return e / e.sum(dim=dim, keepdim=True)


def _log_softmax(x: Any, *, dim: int, dtype: DType | None) -> Any:
    z = _shifted(x, dim, dtype)
    return z - z.exp().sum(dim=dim, keepdim=True).log()


def _shifted_array(x: Any, dim: int, dtype: DType | None) -> Any:
    if dtype is not None:
        kind = dtype.numpy
        x = x.astype(np.float32 if kind.itemsize == 2 else kind, copy=False)
    return x - np.max(x, dim, keepdims=True, initial=-np.inf) if x.size else x


def _softmax_vjp(g: Any, y: Any, _x: Any, dim: int, dtype: DType | None) -> Any:
    h = g * y
    return h - y * h.sum(dim=dim, keepdim=True)


def _log_softmax_vjp(g: Any, y: Any, _x: Any, dim: int, dtype: DType | None) -> Any:
    return g - y.exp() * g.sum(dim=dim, keepdim=True)


def _cast_first(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The expansion in the wanted dtype, which the result keeps."""
    single = in_single(fn)
    return lambda x, *, dim, dtype: single(x if dtype is None else x.to(dtype=dtype), dim=dim, dtype=None)


@soft(vjp=(_softmax_vjp,), expand=_cast_first(_softmax))
def softmax(x, *, dim: Dim, dtype: DType = None):
    """exp(x) over its sum along a dimension; NaN where all are minus infinity."""
    e = np.exp(_shifted_array(x, dim, dtype))
    return e / np.sum(e, dim, keepdims=True)


@soft(vjp=(_log_softmax_vjp,), expand=_cast_first(_log_softmax))
def log_softmax(x, *, dim: Dim, dtype: DType = None):
    """The logarithm of softmax."""
    z = _shifted_array(x, dim, dtype)
    return z - np.log(np.sum(np.exp(z), dim, keepdims=True))


@composite("T -> T", FLOATS, result=_softmax_dtype, sample=_softmax_sample, shape=lambda x, **_: x.shape, ulps=16)
def softmin(x, *, dim: Dim, dtype: DType = None):
    """softmax(-x)."""
    return softmax(-x, dim=dim, dtype=dtype)


@function(method=False)
def gumbel_softmax(logits: Any, tau: float = 1.0, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Any:
    """A sample of softmax with Gumbel noise; ``hard`` gives one-hot rows that pass gradients as the soft ones would."""
    noise = -(-uniform_like(logits).clamp(1e-20, 1).log()).clamp(1e-20).log()
    y = softmax((logits + noise) / tau, dim=dim)
    if not hard:
        return y
    dim = dim % y.ndim
    picked = (y.detach().argmax(dim=dim, keepdim=True) == _counted(y.shape, dim, y)).to(dtype=y.dtype)
    return picked + (y - y.detach())


def _counted(shape: Sequence[int], dim: int, like: Any) -> Any:
    from ..create import arange

    return arange(shape[dim], device=like.backend).reshape(tuple([n if i == dim else 1 for i, n in enumerate(shape)]))


# -- normalisation ---------------------------------------------------------------------------------


def _wide(x: Any) -> Any:
    return x if x is None or x.dtype.itemsize > 2 else x.to(dtype=float32)


def _standard(x: Any, dims: tuple[int, ...], eps: float) -> tuple[Any, Any]:
    """x shifted and scaled to mean 0 and variance 1 over some dimensions, and the scale."""
    centred = x - x.mean(dim=dims, keepdim=True)
    scale = 1 / (centred.square().mean(dim=dims, keepdim=True) + eps).sqrt()
    return centred * scale, scale


def _standard_vjp(g: Any, y: Any, scale: Any, dims: tuple[int, ...]) -> Any:
    return scale * (g - g.mean(dim=dims, keepdim=True) - y * (g * y).mean(dim=dims, keepdim=True))


def _last(x: Any, normalized_shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(x.ndim - len(normalized_shape), x.ndim))


def _norm_shape(x: Spec, *weights: Spec | None, normalized_shape: tuple[int, ...], eps: float) -> tuple[int, ...]:
    n = len(normalized_shape)
    if n == 0 or x.ndim < n or x.shape[x.ndim - n :] != normalized_shape:
        raise ShapeError(f"normalized_shape {normalized_shape} is not the end of the shape of {x}")
    for w in weights:
        if w is not None and w.shape != normalized_shape:
            raise ShapeError(f"the weight and the bias have the shape {normalized_shape} but {w} was given")
    return x.shape


def _norm_sample(count: int) -> Callable[[Any], Any]:
    def sample(d: Any) -> Any:
        shape = d.shape(min_dims=1)
        at = d.int(0, len(shape) - 1)
        dtype = d.dtype(FLOATS)
        weights = [d.array(shape[at:], dtype) if d.bool() else None for _ in range(count)]
        return [d.array(shape, dtype), *weights], {"normalized_shape": shape[at:], "eps": d.one([1e-5, 1e-5, 0.25])}

    return sample


def _over_batch(g: Any, weight: Any) -> Any:
    return g.sum(dim=tuple(range(g.ndim - weight.ndim))) if g.ndim > weight.ndim else g


def _average(x: Any, dims: tuple[int, ...]) -> Any:
    n = max(math.prod([x.shape[d] for d in dims]), 1)
    return np.divide(np.sum(x, dims, keepdims=True), n, dtype=x.dtype)


def _layer_norm_vjp(g: Any, _y: Any, x: Any, weight: Any, _bias: Any, normalized_shape: tuple[int, ...], eps: float) -> Any:
    g, wide = _wide(g), _wide(x)
    dims = _last(x, normalized_shape)
    y, scale = _standard(wide, dims, eps)
    gx = _standard_vjp(g if weight is None else g * weight, y, scale, dims)
    return gx, None if weight is None else _over_batch(g * y, weight), None if _bias is None else _over_batch(g, _bias)


def _terms(x: Spec, *_: Any, normalized_shape: tuple[int, ...], eps: float) -> int:
    return math.prod(normalized_shape)


def _layer_norm(x: Any, weight: Any, bias: Any, *, normalized_shape: tuple[int, ...], eps: float) -> Any:
    dims = _last(x, normalized_shape)
    y = _standard(x - x.mean(dim=dims, keepdim=True), dims, eps)[0]  # twice from its mean, as the reference
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


@primitive("T, T?, T? -> T", FLOATS, name="layer_norm", shape=_norm_shape, vjp=_layer_norm_vjp, expand=in_single(_layer_norm),
           sample=_norm_sample(2), terms=_terms, ulps=64, special=False, method=False)  # fmt: skip
def _layer_norm_op(x, weight, bias, *, normalized_shape: Ints, eps: float = 1e-5):
    """Mean 0 and variance 1 over the last dimensions, then scaled and shifted.  https://arxiv.org/abs/1607.06450"""
    dims = _last(x, normalized_shape)
    centred = x - _average(x, dims)
    centred -= _average(centred, dims)  # what the mean's rounding has left, which the division would magnify
    y = centred / np.sqrt(_average(centred * centred, dims) + np.asarray(eps, x.dtype))
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def _sizes(normalized_shape: Any) -> tuple[int, ...]:
    return (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)


@function(method=False, front=True)
def layer_norm(x: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Mean 0 and variance 1 over the last dimensions, then scaled and shifted.  https://arxiv.org/abs/1607.06450"""
    return _layer_norm_op(x, weight, bias, normalized_shape=_sizes(normalized_shape), eps=eps)


def _rms_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {**attrs, "eps": finfo(specs[0].dtype).eps if attrs["eps"] is None else attrs["eps"]}


def _rms_vjp(g: Any, _y: Any, x: Any, weight: Any, normalized_shape: tuple[int, ...], eps: float) -> Any:
    g, x = _wide(g), _wide(x)
    dims = _last(x, normalized_shape)
    scale = 1 / (x.square().mean(dim=dims, keepdim=True) + eps).sqrt()
    y = x * scale
    gw = g if weight is None else g * weight
    gx = scale * (gw - y * (gw * y).mean(dim=dims, keepdim=True))
    return gx, None if weight is None else _over_batch(g * y, weight)


def _rms_norm(x: Any, weight: Any, *, normalized_shape: tuple[int, ...], eps: float) -> Any:
    y = x / (x.square().mean(dim=_last(x, normalized_shape), keepdim=True) + eps).sqrt()
    return y if weight is None else y * weight


@primitive("T, T? -> T", FLOATS, name="rms_norm", shape=_norm_shape, canon=_rms_canon, vjp=_rms_vjp, expand=in_single(_rms_norm),
           sample=_norm_sample(1), terms=_terms, ulps=64, special=False, method=False)  # fmt: skip
def _rms_norm_op(x, weight, *, normalized_shape: Ints, eps: float = None):
    """Root mean square 1 over the last dimensions, then scaled.  https://arxiv.org/abs/1910.07467"""
    y = x / np.sqrt(_average(x * x, _last(x, normalized_shape)) + np.asarray(eps, x.dtype))
    return y if weight is None else y * weight


@function(method=False, front=True)
def rms_norm(x: Any, normalized_shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    """Root mean square 1 over the last dimensions, then scaled; eps None is the dtype's own.  https://arxiv.org/abs/1910.07467

    candle's form ``rms_norm(x, weight, eps)`` is taken too.
    """
    if hasattr(normalized_shape, "spec"):
        normalized_shape, weight, eps = normalized_shape.shape, normalized_shape, weight if eps is None else eps
    return _rms_norm_op(x, weight, normalized_shape=_sizes(normalized_shape), eps=eps)


def _channels(weight: Any, x: Any) -> Any:
    """A value per channel, shaped to meet x."""
    return weight.reshape((1, weight.shape[0], *[1] * (x.ndim - 2)))


def _group_shape(x: Spec, weight: Spec | None, bias: Spec | None, *, num_groups: int, eps: float) -> tuple[int, ...]:
    if x.ndim < 2 or num_groups < 1 or x.shape[1] % num_groups:
        raise ShapeError(
            f"group_norm takes [n, channels, ...] with channels divisible by num_groups {num_groups} but was given {x}"
        )
    for w in (weight, bias):
        if w is not None and w.shape != (x.shape[1],):
            raise ShapeError(f"group_norm's weight and bias have shape ({x.shape[1]},) but {w} was given")
    return x.shape


def _group_sample(d: Any) -> Any:
    shape = list(d.shape(min_dims=2))
    groups = d.int(1, 3)
    shape[1] *= groups
    dtype = d.dtype(FLOATS)
    weights = [d.array((shape[1],), dtype) if d.bool() else None for _ in range(2)]
    return [d.array(tuple(shape), dtype), *weights], {"num_groups": groups}


@composite("T, T?, T? -> T", FLOATS, shape=_group_shape, sample=_group_sample, method=False, ulps=64, special=False,
         order=("x", "num_groups", "weight", "bias", "eps"),
           terms=lambda x, *_, num_groups, eps: x.size // max(x.shape[0] * num_groups, 1))  # fmt: skip
@single
def group_norm(x, weight, bias, *, num_groups: int, eps: float = 1e-5):
    """Mean 0 and variance 1 over each group of channels, then scaled and shifted by channel.  https://arxiv.org/abs/1803.08494"""
    rows = (x.shape[0], num_groups, x.spec.size // max(x.shape[0] * num_groups, 1))
    y = _layer_norm_op(x.reshape(rows), None, None, normalized_shape=rows[2:], eps=eps).reshape(x.shape)
    y = y if weight is None else y * _channels(weight, x)
    return y if bias is None else y + _channels(bias, x)


def _track(running: Any, now: Any, momentum: float) -> None:
    """Move a running statistic towards this batch's."""
    if running is not None:
        kept = running.detach()
        running._rebind(kept + (now.detach().to(dtype=kept.dtype) - kept) * momentum, keep_node=True)


def _pointwise(x: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Any:
    scale = 1 / (var + eps).sqrt()
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    return x * _channels(scale, x) + _channels(shift, x)


@function(method=False)
def batch_norm(
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Mean 0 and variance 1 per channel of ``[n, channels, ...]``, by the batch's statistics when training, else running ones.

    When training, the running statistics given are moved towards the batch's in place.  https://arxiv.org/abs/1502.03167
    """
    if x.ndim < 2:
        raise ShapeError(f"batch_norm takes [n, channels, ...] but was given {x.spec}")
    for s in (running_mean, running_var, weight, bias):
        if s is not None and s.shape != (x.shape[1],):
            raise ShapeError(f"batch_norm's statistics, weight and bias have shape ({x.shape[1]},) but {s.spec} was given")
    half, x = x.dtype, _wide(x)
    if not training:
        if running_mean is None or running_var is None:
            raise CandleError("batch_norm without training takes running_mean and running_var; pass them or training=True")
        mean, var, weight, bias = _wide(running_mean), _wide(running_var), _wide(weight), _wide(bias)
        return _pointwise(x, mean, var, weight, bias, eps).to(dtype=half)
    dims = (0, *range(2, x.ndim))
    n = math.prod([x.shape[d] for d in dims])
    if n < 2:
        raise ShapeError(f"batch_norm needs more than one value per channel when training but was given {x.spec}; call .eval()")
    by_channel = (1, 0, *range(2, x.ndim))
    rows = x.permute(by_channel).reshape((x.shape[1], n))
    _update(running_mean, running_var, rows, momentum, n)
    y = _layer_norm_op(rows, None, None, normalized_shape=(n,), eps=eps)
    y = y.reshape(tuple([x.shape[d] for d in by_channel])).permute(by_channel)
    y = y if weight is None else y * _channels(weight, x)
    return (y if bias is None else y + _channels(bias, x)).to(dtype=half)


def _update(running_mean: Any, running_var: Any, rows: Any, momentum: float, n: int) -> None:
    rows = rows.detach()
    mean = rows.mean(dim=-1, keepdim=True)
    _track(running_mean, mean.reshape(mean.shape[:-1]), momentum)
    _track(running_var, (rows - mean).square().sum(dim=-1) / max(n - 1, 1), momentum)


@function(method=False)
def instance_norm(
    x: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """Mean 0 and variance 1 per channel of each element of ``[n, channels, ...]``.  https://arxiv.org/abs/1607.08022"""
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    if x.ndim < 3:
        raise ShapeError(f"instance_norm takes [n, channels, sizes...] but was given {x.spec}")
    n = math.prod(x.shape[2:])
    if n < 2:
        raise ShapeError(f"instance_norm needs more than one value per channel but was given {x.spec}")
    if running_mean is not None or running_var is not None:
        rows = _wide(x.detach()).reshape((x.shape[0], x.shape[1], n))
        mean = rows.mean(dim=-1, keepdim=True)
        _track(running_mean, mean.mean(dim=(0, 2)), momentum)
        _track(running_var, ((rows - mean).square().sum(dim=-1) / (n - 1)).mean(dim=0), momentum)
    return group_norm(x, weight, bias, num_groups=x.shape[1], eps=eps)


@function(method=False)
def local_response_norm(x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    """Each channel over a power of the mean square of its ``size`` neighbours."""
    if x.ndim < 3:
        raise ShapeError(f"local_response_norm takes [n, channels, sizes...] but was given {x.spec}")
    before = size // 2
    squares = OPS["pad"](x.square(), pad=(*[0, 0] * (x.ndim - 2), before, size - 1 - before))
    n = x.shape[1]
    total = squares.narrow(1, 0, n)
    for at in range(1, size):
        total = total + squares.narrow(1, at, n)
    return x / (total * (alpha / size) + k).pow(beta)


def _unit_sample(d: Any) -> Any:
    shape = d.shape(min_dims=1)
    return [d.array(shape, d.dtype(FLOATS))], {"dim": d.dim(shape)}


@composite("T -> T", FLOATS, shape=lambda x, **_: x.shape, sample=_unit_sample, ulps=32, special=False,
         terms=lambda x, *, p, dim, eps: x.shape[dim])  # fmt: skip
@single
def normalize(x, *, p: float = 2.0, dim: Dim = 1, eps: float = 1e-12):
    """x over its p-norm along a dimension; norms below eps count as eps."""
    return x / x.norm(p, dim, True).clamp(eps)


def _pair_sample(d: Any) -> Any:
    shape = d.shape(min_dims=1)
    dtype = d.dtype(FLOATS)
    return [d.array(shape, dtype), d.array(shape, dtype)], {}


def _pair_shape(a: Spec, b: Spec, *, dim: int, eps: float) -> tuple[int, ...]:
    from ..op import broadcast_shapes

    shape = broadcast_shapes(a.shape, b.shape)
    if shape is None:
        raise ShapeError(f"cosine_similarity takes tensors that broadcast but was given {a}, {b}")
    dim = dim if dim >= 0 else dim + len(shape)
    return shape[:dim] + shape[dim + 1 :]


@composite("T, T -> T", FLOATS, shape=_pair_shape, ulps=64, special=False, terms=lambda a, b, *, dim, eps: max(a.size, 1),
         sample=lambda d: (lambda s: (s[0], {"dim": -1}))(_pair_sample(d)))  # fmt: skip
@single
def cosine_similarity(a, b, *, dim: int = 1, eps: float = 1e-8):
    """The cosine of the angle between vectors along a dimension; norms below eps count as eps."""
    a, b = OPS["expand"](a, shape=_common(a, b)), OPS["expand"](b, shape=_common(a, b))
    return (a / a.norm(2.0, dim, True).clamp(eps) * (b / b.norm(2.0, dim, True).clamp(eps))).sum(dim=dim)


def _common(a: Any, b: Any) -> tuple[int, ...]:
    from ..op import broadcast_shapes

    shape = broadcast_shapes(a.shape, b.shape)
    assert shape is not None
    return shape


@function(method=False)
def pairwise_distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    """The p-norm of ``x1 - x2 + eps`` along the last dimension."""
    return (x1 - x2 + eps).norm(p, -1, keepdim)


# -- rotary positions ------------------------------------------------------------------------------


def _rope_shape(x: Spec, cos: Spec, sin: Spec) -> tuple[int, ...]:
    n, d = x.shape[-2:] if x.ndim > 1 else (0, 1)
    if d % 2 or cos.shape != sin.shape or cos.shape[-2:] not in ((n, d // 2), (1, d // 2)) or cos.ndim > x.ndim:
        raise ShapeError(
            f"rope takes x[..., n, d] with d even and cos, sin [n, d/2] or [b, n, d/2] but was given {x}, {cos}, {sin}"
        )
    return x.shape


def _rope_sample(d: Any) -> Any:
    front = d.shape(max_dims=2)
    n, half = d.size(), d.size()
    dtype = d.dtype(FLOATS)
    each = front[:1] if len(front) == 2 and d.bool() else ()  # angles per token, or per sequence and token
    table = (*each, n, half)
    return [d.array((*front, n, 2 * half), dtype), d.array(table, dtype), d.array(table, dtype)], {}


rotation = composite("T, T, T -> T", FLOATS, shape=_rope_shape, sample=_rope_sample)


def _per_token(table: Any, x: Any) -> Any:
    """A table of angles per token, [n, d/2], or per sequence and token, [b, n, d/2], shaped to meet x."""
    if table.ndim == 3 and x.ndim > 3:
        return table.reshape((table.shape[0], *[1] * (x.ndim - 3), *table.shape[1:]))
    return table


@rotation
@single
def rope(x, cos, sin):
    """Turn each pair (i, i + d/2) of the last dimension by its token's angle.  https://arxiv.org/abs/2104.09864

    x is ``[..., n, d]``, cos and sin ``[n, d/2]`` or ``[b, n, d/2]``.
    """
    cos, sin = _per_token(cos, x), _per_token(sin, x)
    half = x.shape[-1] // 2
    a, b = x.narrow(-1, 0, half), x.narrow(-1, half, half)
    return OPS["cat"](a * cos - b * sin, b * cos + a * sin, dim=-1)


@rotation
@single
def rope_interleaved(x, cos, sin):
    """The same for the pairs (2i, 2i + 1)."""
    cos, sin = _per_token(cos, x), _per_token(sin, x)
    pairs = x.reshape((*x.shape[:-1], x.shape[-1] // 2, 2))
    a, b = pairs.select(-1, 0), pairs.select(-1, 1)
    return OPS["stack"](a * cos - b * sin, b * cos + a * sin, dim=-1).reshape(x.shape)


@function(method=False)
def rope_i(x: Any, cos: Any, sin: Any) -> Any:
    """candle's name of rope_interleaved."""
    return rope_interleaved(x, cos, sin)


# -- attention -------------------------------------------------------------------------------------


def _attention_shape(q: Spec, k: Spec, v: Spec, mask: Spec | None, alibi: Spec | None, **_: Any) -> tuple[int, ...]:
    fits = (
        q.ndim == k.ndim == v.ndim >= 3
        and q.shape[-1] == k.shape[-1]
        and k.shape[-2] == v.shape[-2]
        and k.shape[-3] == v.shape[-3]
    )
    if not fits or q.shape[:-3] != k.shape[:-3] or k.shape[:-3] != v.shape[:-3] or (k.shape[-3] and q.shape[-3] % k.shape[-3]):
        raise ShapeError(
            f"attention takes q[..., h, n, d], k[..., g, m, d] and v[..., g, m, e] with h a multiple of g "
            f"but was given {q}, {k}, {v}"
        )
    from ..op import broadcast_shapes

    scores = (*q.shape[:-1], k.shape[-2])
    if mask is not None and broadcast_shapes(mask.shape, scores) != scores:
        raise ShapeError(f"attention's mask broadcasts to [..., h, n, m] = {scores} but {mask} was given")
    if alibi is not None and alibi.shape != (q.shape[-3],):
        raise ShapeError(f"attention's alibi has one slope per head, ({q.shape[-3]},), but {alibi} was given")
    return (*q.shape[:-1], v.shape[-1])


def _attention_sample(d: Any) -> Any:
    front = d.shape(max_dims=1)
    groups, times, n, m, width, out = d.int(1, 2), d.int(1, 2), d.size(), d.size(), d.size(), d.size()
    dtype = d.dtype(FLOATS)
    q, k, v = ((*front, groups * times, n, width), (*front, groups, m, width), (*front, groups, m, out))
    heads = (1,) if d._pick(3) == 0 else (groups * times,)
    lead = d.one([(), (*front, *heads), heads, ()])
    mask = d.array((*lead, n, m), d.one([*BOOL, dtype])) if d._pick(3) else None
    slopes = d.array((groups * times,), dtype) if d.bool() else None
    attrs = {"causal": d.bool(), "softcap": d.one([None, 5.0]), "window": d.one([None, 2, None, 1])}
    return [d.array(q, dtype), d.array(k, dtype), d.array(v, dtype), mask, slopes], attrs


def _attention_canon(specs: Sequence[Spec | None], attrs: Mapping[str, Any]) -> dict[str, Any]:
    q, k = specs[0], specs[1]
    assert q is not None and k is not None
    scale = attrs["scale"]
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1]) if q.ndim and q.shape[-1] else 1.0
    if attrs["window"] is not None and attrs["window"] < 1:
        raise ShapeError(f"attention's window is at least 1 but {attrs['window']} was given")
    offset = attrs["offset"]
    if offset is None and q.ndim > 1 and k.ndim > 1:
        offset = k.shape[-2] - q.shape[-2]
    return {**attrs, "scale": scale, "offset": offset}


def _grouped(x: Any, groups: int) -> Any:
    """[..., h, n, d] as [..., groups, h/groups * n, d]: the heads that share keys, one after the other."""
    *front, h, n, d = x.shape
    return x.reshape((*front, groups, h // max(groups, 1) * n, d))


def _distances(n: int, m: int, offset: int, like: Any) -> Any:
    """How far each key lies behind each query, int64[n, m]."""
    from ..create import arange

    rows = arange(n, device=like.backend).reshape((n, 1)) + offset
    return rows - arange(m, device=like.backend)


def _weights(
    q: Any, k: Any, mask: Any, alibi: Any, scale: float, causal: bool, window: Any, softcap: Any, offset: int
) -> tuple[Any, Any]:
    """What each key counts for each query, [..., h, n, m], and the scores before their cap."""
    n, m = q.shape[-2], k.shape[-2]
    raw = (_grouped(q * scale, k.shape[-3]) @ k.mT).reshape((*q.shape[:-1], m))
    scores = raw if softcap is None else (raw / softcap).tanh() * softcap
    far = _distances(n, m, offset, q) if causal or window is not None or alibi is not None else None
    if alibi is not None:
        scores = scores - alibi.reshape((alibi.shape[0], 1, 1)) * far.abs().to(dtype=scores.dtype)
    seen = None
    if causal:
        seen = far >= 0
    if window is not None:
        near = far.abs() < window
        seen = near if seen is None else seen & near
    if mask is not None:
        if mask.dtype.kind == "b":
            seen = mask if seen is None else seen & mask
        else:
            scores = scores + mask
    if seen is not None:
        scores = where(seen, scores, -math.inf)
    return _masked_softmax(scores), raw


def _masked_softmax(scores: Any) -> Any:
    """Softmax along the last dimension, zeros where all are minus infinity."""
    if scores.spec.size == 0:
        return scores
    top = scores.detach().amax(dim=-1, keepdim=True)
    e = (scores - where(top == -math.inf, 0, top)).exp()
    total = e.sum(dim=-1, keepdim=True)
    return e / where(total == 0, 1, total)


def _attention_vjp(g, y, q, k, v, mask, alibi, scale, causal, window, softcap, offset):
    groups = k.shape[-3]
    gw, qw, kw, vw = _wide(g), _wide(q), _wide(k), _wide(v)
    p, raw = _weights(qw, kw, mask, _wide(alibi), scale, causal, window, softcap, offset)
    pg, gg = _grouped(p, groups), _grouped(gw, groups)
    gv = pg.mT @ gg
    ds = p * ((gg @ vw.mT).reshape(p.shape) - (gw * _wide(y)).sum(dim=-1, keepdim=True))
    gm = None if mask is None or mask.dtype.kind == "b" else ds
    ga = None
    if alibi is not None:
        far = _distances(q.shape[-2], k.shape[-2], offset, q).abs().to(dtype=ds.dtype)
        ga = -(ds * far).sum(dim=tuple([i for i in range(ds.ndim) if i != ds.ndim - 3]))
    if softcap is not None:
        ds = ds * (1 - (raw / softcap).tanh().square())
    dg = _grouped(ds * scale, groups)
    gq = (dg @ kw).reshape(q.shape)
    gk = dg.mT @ _grouped(qw, groups)
    return gq, gk, gv, gm, ga


@composite("T, T, T, M?, T? -> T", FLOATS, M=BOOL + FLOATS, shape=_attention_shape, canon=_attention_canon,
           sample=_attention_sample, vjp=_attention_vjp, method=False, ulps=64, special=False,
           terms=lambda q, k, *_, **__: k.shape[-1] * k.shape[-2])  # fmt: skip
@single
def attention(
    q,
    k,
    v,
    mask,
    alibi,
    *,
    scale: float = None,
    causal: bool = False,
    window: int = None,
    softcap: float = None,
    offset: int = None,
):
    """softmax(q k^T scale + mask) v, where h heads of q share g heads of k and v.  https://arxiv.org/abs/1706.03762

    q is ``[..., h, n, d]``, k ``[..., g, m, d]``, v ``[..., g, m, e]``; the result ``[..., h, n, e]``.  A boolean mask is True
    where a key counts, another is added; ``alibi`` is a slope per head (https://arxiv.org/abs/2108.12409).  Query i stands at
    ``i + offset`` among the keys, by default so that the last query meets the last key: ``causal`` hides later keys,
    ``window`` those ``window`` or more away; ``softcap`` bounds the scores.  A query that sees no key gives zeros.
    """
    p, _ = _weights(q, k, mask, alibi, scale, causal, window, softcap, offset)
    return (_grouped(p, k.shape[-3]) @ v).reshape((*q.shape[:-1], v.shape[-1]))


@function(method=False)
def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """PyTorch's form of ``attention``: heads are any batch dimensions, and causality counts from the first key."""
    if is_causal and attn_mask is not None:
        raise CandleError("scaled_dot_product_attention takes attn_mask or is_causal, not both")
    if query.ndim < 2 or key.ndim < 2 or value.ndim < 2:
        raise ShapeError(f"scaled_dot_product_attention takes [..., n, d] but was given {query.spec}, {key.spec}, {value.spec}")
    if not enable_gqa:
        front = _fronts(query, key, value)
        query, key, value = (x if x.shape[:-2] == front else x.expand((*front, *x.shape[-2:])) for x in (query, key, value))
    flat = query.ndim == 2
    if flat:
        query, key, value = query.unsqueeze(0), key.unsqueeze(0), value.unsqueeze(0)
    if dropout_p == 0:
        y = attention(query, key, value, attn_mask, scale=scale, causal=is_causal, offset=0)
    else:
        attrs = _attention_canon((query.spec, key.spec), {"scale": scale, "window": None, "offset": 0})
        p, _ = _weights(query, key, attn_mask, None, attrs["scale"], is_causal, None, None, 0)
        p = dropout(p, dropout_p)
        y = (_grouped(p, key.shape[-3]) @ value).reshape((*query.shape[:-1], value.shape[-1]))
    return y.squeeze(0) if flat else y


def _fronts(*xs: Any) -> tuple[int, ...]:
    from ..op import broadcast_shapes

    shape = broadcast_shapes(*[x.shape[:-2] for x in xs])
    if shape is None:
        given = ", ".join(str(x.spec) for x in xs)
        raise ShapeError(
            f"query, key and value have the same batch dimensions but were given {given}; for grouped heads pass enable_gqa=True"
        )
    return shape


# -- dropout ---------------------------------------------------------------------------------------


def uniform_like(x: Any, shape: Sequence[int] | None = None) -> Any:
    """Random numbers from [0, 1) on a tensor's device, by candle's default generator."""
    from .. import random

    return random.rand(tuple(x.shape if shape is None else shape), dtype=float32, device=x.device)


def _probability(p: float, what: str) -> float:
    if not 0 <= p <= 1:
        raise CandleError(f"{what}'s p is a probability from 0 to 1 but {p} was given")
    return p


def _dropped(x: Any, p: float, shape: Sequence[int] | None = None) -> Any:
    if p == 0:
        return x
    if p == 1:
        return x * 0
    return where(uniform_like(x, shape) >= p, x * (1 / (1 - p)), 0)


@function(method=False)
def dropout(x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """Zero for each element with probability p, the others over 1 - p; x itself when not training.

    The random numbers are of candle's default generator.  https://arxiv.org/abs/1207.0580
    """
    _probability(p, "dropout")
    y = _dropped(x, p) if training else x
    return x._assign(y, "dropout_") if inplace else y


def _channel_dropout(dims: int) -> Callable[..., Any]:
    def fn(x: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        _probability(p, f"dropout{dims}d")
        if x.ndim not in (dims + 1, dims + 2):
            raise ShapeError(
                f"dropout{dims}d takes [n, channels, {dims} sizes] or [channels, {dims} sizes] but was given {x.spec}"
            )
        y = _dropped(x, p, (*x.shape[: x.ndim - dims], *[1] * dims)) if training else x
        return x._assign(y, "dropout_") if inplace else y

    fn.__name__ = fn.__qualname__ = f"dropout{dims}d"
    fn.__doc__ = "Dropout of whole channels."
    return function(method=False)(fn)


dropout1d, dropout2d, dropout3d = map(_channel_dropout, (1, 2, 3))


def _alpha(x: Any, p: float, shape: Sequence[int] | None = None) -> Any:
    if p == 1:
        return x * 0
    low = -_SELU_ALPHA * _SELU_SCALE
    a = 1 / math.sqrt((1 - p) * (1 + p * low * low))
    return where(uniform_like(x, shape) >= p, x, low) * a + (-a * p * low)


@function(method=False)
def alpha_dropout(x: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """Dropout that keeps mean 0 and variance 1, for networks of selu.  https://arxiv.org/abs/1706.02515"""
    _probability(p, "alpha_dropout")
    return _alpha(x, p) if training and p else x


@function(method=False)
def feature_alpha_dropout(x: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
    """alpha_dropout of whole channels."""
    _probability(p, "feature_alpha_dropout")
    return _alpha(x, p, (*x.shape[:2], *[1] * (x.ndim - 2))) if training and p else x


@function(method=False)
def bilinear(x1: Any, x2: Any, weight: Any, bias: Any = None) -> Any:
    """x1 weight[o] x2 + bias[o] for each o: x1 ``[..., i]``, x2 ``[..., j]``, weight ``[o, i, j]``."""
    if (
        weight.ndim != 3
        or x1.shape[-1:] != weight.shape[1:2]
        or x2.shape[-1:] != weight.shape[2:]
        or x1.shape[:-1] != x2.shape[:-1]
    ):
        raise ShapeError(
            f"bilinear takes x1[..., i], x2[..., j], weight[o, i, j] but was given {x1.spec}, {x2.spec}, {weight.spec}"
        )
    o, i, j = weight.shape
    products = x1.unsqueeze(-1) * x2.unsqueeze(-2)
    rows = math.prod(x1.shape[:-1])
    y = (products.reshape((rows, i * j)) @ weight.reshape((o, i * j)).mT).reshape((*x1.shape[:-1], o))
    return y if bias is None else y + bias


for _short, _fn in {"swish": silu, "hard_sigmoid": hardsigmoid, "log_sigmoid": logsigmoid}.items():
    function(method=True, name=_short)(lambda x, _op=_fn: _op(x))
