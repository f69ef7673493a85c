"""Every op of the table against PyTorch's function of that name, on the operands that conformance draws: values and gradients.

Derived from the table: an op that is declared is tried here without a word more, where PyTorch has its name and its
arguments.  ``THEIRS`` says what stands for it in PyTorch otherwise, or why nothing does.
"""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Any, Callable

import numpy as np
import pytest
from torch_check import to_numpy, to_torch, torch

import candle
from candle import dtype as dt
from candle.errors import CandleError
from candle.op import OPS, Op, Spec
from candle.tensor import enable_grad
from candle.testing.checks import call, differentiable, gradient_cases
from candle.testing.compare import compared, tolerance
from candle.testing.draw import Case, Draw, Unsuitable, cases, sample

F = torch.nn.functional
warnings.filterwarnings("ignore", module="torch")
torch.set_num_threads(1)  # the operands are small


class Refused(Exception):
    """PyTorch does not take these operands."""


# -- what stands for an op in PyTorch ---------------------------------------------------------------


def _dims(x: Any, dim: Any) -> Any:
    return tuple(range(x.ndim)) if dim is None else dim


def _several(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Over several dimensions what PyTorch has for one: the others moved to the end and made one."""

    def over(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        if dim is None or isinstance(dim, int):
            return fn(x) if dim is None and not keepdim else fn(_joined(x, dim), -1).reshape(_reduced(x, dim, keepdim))
        return fn(_joined(x, dim), -1).reshape(_reduced(x, dim, keepdim))

    return over


def _joined(x: Any, dim: Any) -> Any:
    gone = sorted({d % max(x.ndim, 1) for d in (range(x.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim)})
    kept = [d for d in range(x.ndim) if d not in gone]
    return x.permute(kept + [d for d in gone if d < x.ndim]).reshape(
        [x.shape[d] for d in kept] + [-1 if x.numel() else math.prod(x.shape[d] for d in gone)]
    )


def _reduced(x: Any, dim: Any, keepdim: bool) -> list[int]:
    gone = {d % max(x.ndim, 1) for d in (range(x.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim)}
    return [1 if d in gone else n for d, n in enumerate(x.shape) if keepdim or d not in gone]


def _slices(x: Any, starts: Any, stops: Any, steps: Any) -> tuple[slice, ...]:
    if steps is not None and any(s is not None and s < 0 for s in steps):
        raise Refused("a negative step")
    return tuple(slice(*ends) for ends in zip(starts, stops, steps or [None] * len(starts)))


def _slice_set(x: Any, v: Any, starts: Any, stops: Any, steps: Any = None) -> Any:
    y = x.clone()
    y[_slices(x, starts, stops, steps)] = v
    return y


def _index(x: Any, *ids: Any, dims: Any) -> Any:
    key: list[Any] = [slice(None)] * x.ndim
    for d, i in zip(dims if isinstance(dims, tuple) else (dims,), ids):
        key[d] = i
    return x[tuple(key)]


def _index_put(x: Any, values: Any, *ids: Any, dims: Any, accumulate: bool = False) -> Any:
    dims = [d % x.ndim for d in (dims if isinstance(dims, tuple) else (dims,))]
    key = [None] * x.ndim
    for d, i in zip(dims, ids):
        key[d] = i.long()
    while key and key[-1] is None:
        key.pop()
    return torch.ops.aten.index_put(x, key, values, accumulate)


def _nd(name: str, at: int = 0) -> Callable[..., Any]:
    """The function for as many spatial dimensions as there are: conv -> conv2d."""

    def fn(x: Any, *args: Any, **attrs: Any) -> Any:
        return getattr(F, name.format(x.ndim - 2))(x, *args, **attrs)

    return fn


def _after(fn: Any, *names: str) -> Callable[..., Any]:
    """A function whose later operands PyTorch takes by name."""
    return lambda x, *rest, **attrs: fn(x, **{n: r for n, r in zip(names, rest) if r is not None}, **attrs)


def _pads(padding: Any) -> tuple[list[int], list[tuple[int, int]]]:
    pairs = [p if isinstance(p, (tuple, list)) else (p, p) for p in padding]
    return [v for p in reversed(pairs) for v in p], pairs


def _conv(x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    fn = getattr(F, f"conv{x.ndim - 2}d")
    return fn(F.pad(x, _pads(padding)[0]), weight, bias, tuple(stride), 0, tuple(dilation), groups)


def _conv_weight(x: Any, g: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    fn = {1: torch.nn.grad.conv1d_weight, 2: torch.nn.grad.conv2d_weight, 3: torch.nn.grad.conv3d_weight}[x.ndim - 2]
    shape = (g.shape[1], x.shape[1] // groups, *kernel_size)
    return fn(F.pad(x, _pads(padding)[0]), shape, g, tuple(stride), 0, tuple(dilation), groups)


def _conv_transpose(
    x: Any, weight: Any, bias: Any, stride: Any, padding: Any, output_padding: Any, groups: int, dilation: Any
) -> Any:
    _, pairs = _pads(padding)
    if any(a != b for a, b in pairs):
        raise Refused("padding that differs at the two ends")
    fn = getattr(F, f"conv_transpose{x.ndim - 2}d")
    return fn(x, weight, bias, tuple(stride), tuple(a for a, _ in pairs), tuple(output_padding), groups, tuple(dilation))


def _plain(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Pooling with padding that is the same at both ends."""

    def pool(x: Any, **attrs: Any) -> Any:
        given = attrs["padding"]
        pairs = [p if isinstance(p, (tuple, list)) else (p, p) for p in (given if isinstance(given, (tuple, list)) else [given])]
        if any(a != b for a, b in pairs):
            raise Refused("padding that differs at the two ends")
        return fn(x, **{**attrs, "padding": [a for a, _ in pairs]})

    return pool


def _avg(x: Any, **attrs: Any) -> Any:
    if x.ndim == 3 and attrs.pop("divisor_override", None):
        raise Refused("a divisor in one dimension is not PyTorch's")
    return getattr(F, f"avg_pool{x.ndim - 2}d")(x, **attrs)


def _avg_pool(x: Any, dilation: Any, **attrs: Any) -> Any:
    """PyTorch's average, or the convolution that it is where windows have gaps or margins differ at the two ends."""
    n = x.ndim - 2
    widths, pairs = _pads(attrs["padding"])
    gaps = [dilation] * n if isinstance(dilation, int) else list(dilation)
    if max(gaps) == 1 and all(a == b for a, b in pairs) and not (n == 1 and attrs["divisor_override"]):
        return _plain(_avg)(x, **attrs)
    if attrs["ceil_mode"]:
        raise Refused("PyTorch has no windows that hang over with gaps, margins that differ or a divisor in one dimension")
    if x.requires_grad and bool(~x.isfinite().all()):
        raise Refused("in a convolution each weight of 1 has a gradient")
    conv = getattr(F, f"conv{n}d")
    ones = x.new_ones(1, 1, *attrs["kernel_size"])
    flat = x.reshape(-1, 1, *x.shape[2:])
    stride = tuple(attrs["stride"] or attrs["kernel_size"])
    made = conv(F.pad(flat, widths), ones, None, stride, 0, tuple(gaps))
    whole = F.pad(torch.ones_like(flat[:1]), widths, value=1.0 if attrs["count_include_pad"] else 0.0)
    counts = attrs["divisor_override"] or conv(whole, ones, None, stride, 0, tuple(gaps))
    return (made / counts).reshape(*x.shape[:2], *made.shape[2:])


def _unfold2d(x: Any, padding: Any, **attrs: Any) -> Any:
    return F.unfold(F.pad(x, _pads(padding)[0]), **attrs)


def _fold(x: Any, output_size: Any, padding: Any, **attrs: Any) -> Any:
    """Folded with its margins, which differ at the two ends, and these cut off."""
    _, pairs = _pads(padding)
    whole = F.fold(x, [m + a + b for m, (a, b) in zip(output_size, pairs)], **attrs)
    return whole[(..., *[slice(a, a + m) for m, (a, _) in zip(output_size, pairs)])]


def _scatter(x: Any, index: Any, src: Any, dim: int, value: Any = None, reduce: Any = None) -> Any:
    more = {} if reduce is None else {"reduce": reduce}
    return x.scatter(dim, index, src, **more) if value is None else x.scatter(dim, index, value, **more)


def _gather_nd(x: Any, indices: Any, batch_dims: int = 0) -> Any:
    if batch_dims:
        return torch.stack([_gather_nd(a, i, batch_dims - 1) for a, i in zip(x, indices)])
    return x[tuple(indices.movedim(-1, 0))]


def _scatter_nd(x: Any, indices: Any, updates: Any, reduction: str = "none") -> Any:
    if reduction not in ("none", "add"):
        raise Refused("PyTorch's index_put adds or replaces")
    return x.index_put(tuple(indices.movedim(-1, 0)), updates, accumulate=reduction == "add")


def _window(at: Any, dim: int, length: int, x: Any) -> tuple[slice, ...]:
    first = min(max(int(at), 0), x.shape[dim] - length)
    return (slice(None),) * (dim % x.ndim) + (slice(first, first + length),)


def _write(x: Any, src: Any, at: Any, dim: int) -> Any:
    y = x.clone()
    y[_window(at, dim, src.shape[dim], x)] = src
    return y


def _per_token(table: Any, x: Any) -> Any:
    """Angles per sequence and token, [b, n, d/2], with a dimension for each that x has between these."""
    return table.reshape(table.shape[0], *[1] * (x.ndim - 3), *table.shape[1:]) if table.ndim == 3 else table


def _rope(x: Any, cos: Any, sin: Any) -> Any:
    cos, sin = _per_token(cos, x), _per_token(sin, x)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def _rope_interleaved(x: Any, cos: Any, sin: Any) -> Any:
    cos, sin = _per_token(cos, x), _per_token(sin, x)
    a, b = x[..., ::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)


def _attention(q: Any, k: Any, v: Any, mask: Any, alibi: Any, **attrs: Any) -> Any:
    """Attention by its definition, for PyTorch's own has no windows and no caps."""
    if q.ndim < 3 or alibi is not None or attrs.get("offset") is not None:
        raise Refused("slopes and offsets are not PyTorch's")
    if q.shape[-3] != k.shape[-3]:
        k, v = [t.repeat_interleave(q.shape[-3] // t.shape[-3], -3) for t in (k, v)]
    scale = attrs.get("scale")
    s = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    if attrs.get("softcap"):
        s = attrs["softcap"] * torch.tanh(s / attrs["softcap"])
    rows = torch.arange(q.shape[-2])[:, None] + (k.shape[-2] - q.shape[-2])
    columns = torch.arange(k.shape[-2])[None]
    seen = columns <= rows if attrs.get("causal") else torch.ones(1, 1, dtype=torch.bool)
    if attrs.get("window"):
        seen = seen & (columns > rows - attrs["window"])
        if not attrs.get("causal"):
            seen = seen & (columns < rows + attrs["window"])
    if mask is not None and mask.dtype == torch.bool:
        seen = seen & mask
    elif mask is not None:
        s = s + mask
    s = s.masked_fill(~seen, -torch.inf)
    p = torch.softmax(s, -1)
    return torch.where((s == -torch.inf).all(-1, keepdim=True), 0.0, p) @ v


def _trunc_divide(a: Any, b: Any) -> Any:
    if torch.promote_types(a.dtype, b.dtype) in (torch.float16, torch.bfloat16):
        raise Refused("PyTorch rounds the quotient before it cuts it off")
    return torch.div(a, b, rounding_mode="trunc")


def _divisor(name: str) -> Callable[..., Any]:
    def fn(a: Any, b: Any) -> Any:
        if any(
            not x.dtype.is_floating_point and x.numel() and int(x.min()) == torch.iinfo(x.dtype).min
            for x in (a.byte() if a.dtype == torch.bool else a, b)
        ):
            raise Refused("the smallest integer, whose magnitude overflows, ends the process in PyTorch")
        return getattr(torch, name)(a, b)

    return fn


def _nanmean(x: Any, dim: Any, keepdim: bool) -> Any:
    if bool(x.isnan().all(dim=_dims(x, dim), keepdim=True).any()) or not x.numel():
        raise Refused("the gradient of the mean of no number is NaN in PyTorch and 0 here")
    return torch.nanmean(x, dim, keepdim)


def _polar(r: Any, angle: Any) -> Any:
    if bool((r <= 0).any()) and r.requires_grad:
        # by its definition: the gradient with respect to a radius that is not positive has the wrong sign in torch.polar, or none
        return torch.complex(r * angle.cos(), r * angle.sin())
    return torch.polar(r, angle)


def _ldexp(x: Any, other: Any) -> Any:
    if (other.is_floating_point() and other.dtype != x.dtype) or (not other.is_floating_point() and bool((other < 0).any())):
        raise Refused("the power is rounded to the exponent's dtype in PyTorch, and its gradient 0 where that is negative")
    return torch.ldexp(x, other)


def _median(x: Any) -> Any:
    if not x.numel() and not x.is_floating_point():
        raise Refused("there is no median of no integers")
    return torch.median(x)


def _spread(name: str) -> Callable[..., Any]:
    def fn(x: Any, dim: Any, correction: float, keepdim: bool) -> Any:
        if math.prod(x.shape[d] for d in (_dims(x, dim) if not isinstance(dim, int) else (dim,)) if x.ndim) <= correction:
            raise Refused("with no degree of freedom the gradient of NaN is NaN here, and 0 in PyTorch")
        return getattr(torch, name)(x, dim, correction=correction, keepdim=keepdim)

    return fn


def _scatter_reduce(x: Any, index: Any, src: Any, dim: int, reduce: str, include_self: bool) -> Any:
    if src.requires_grad and not include_self:
        raise Refused("PyTorch counts the elements left out, in the gradients")
    src = src[tuple(slice(n) for n in index.shape)]  # PyTorch has a gradient for what the index does not reach
    return x.scatter_reduce(dim, index, src, reduce, include_self=include_self)


def _pixel_unshuffle(x: Any, downscale_factor: int) -> Any:
    if not x.numel():
        raise Refused("PyTorch leaves an empty image as it is")
    return F.pixel_unshuffle(x, downscale_factor)


def _group_norm(x: Any, weight: Any, bias: Any, num_groups: int, eps: float) -> Any:
    if not x.numel():
        raise Refused("the gradient of the weight of an empty image is NaN in PyTorch and 0 here")
    return F.group_norm(x, num_groups, weight, bias, eps)


def _cholesky(x: Any, upper: bool) -> Any:
    if x.is_complex() and x.requires_grad:
        raise Refused("gradients on the diagonal, which is real, have an imaginary part in PyTorch")
    return torch.linalg.cholesky(x, upper=upper)


def _slogdet(x: Any) -> Any:
    made = torch.linalg.slogdet(x)
    if x.requires_grad and bool(made.logabsdet.isinf().any()):
        raise Refused("the logarithm of 0 has no gradient: we raise, PyTorch has infinities and NaN")
    return made


def _fft(name: str) -> Callable[..., Any]:
    def fn(x: Any, dim: Any = None, inverse: bool = False, scale: float = 1.0) -> Any:
        n = math.prod(x.shape[d] for d in _dims(x, dim)) if inverse else 1
        return (torch.fft.ifftn if inverse else torch.fft.fftn)(x, dim=_dims(x, dim)) * (scale * n)

    return fn


def _quantile(name: str) -> Callable[..., Any]:
    return lambda x, q, **attrs: getattr(torch, name)(x, q, **attrs)


_SLOPE = "its result depends on the state of a generator; tests/test_ops_random.py has its distribution"
_OWN = "an inner step of another op, tested with that"
_GGML = "of GGML's block formats; tests of quantisation compare with gguf"
_ONNX = "ONNX's; tests/test_ops_resize.py compares with ONNX's reference"

THEIRS: dict[str, Any] = {
    # under another name, or with arguments in another order
    "cast": lambda x, dtype: x.to(dtype),
    "alias": torch.clone,
    "bitcast": lambda x, dtype: x.view(dtype),
    "trunc_divide": _trunc_divide, "gcd": _divisor("gcd"), "lcm": _divisor("lcm"),
    "affine": lambda x, mul, add: x * mul + add,
    "polygamma": lambda x, n: torch.polygamma(n, x),
    "nanmedian_all": torch.nanmedian,
    "clamp": lambda x, lo, hi: torch.clamp(x, lo, hi),
    "any": lambda x, dim, keepdim: _several(torch.any)(x.bool(), dim, keepdim),  # PyTorch has uint8 of uint8
    "all": lambda x, dim, keepdim: _several(torch.all)(x.bool(), dim, keepdim),
    "prod": lambda x, dim, keepdim, dtype: _several(partial(torch.prod, dtype=dtype))(x, dim, keepdim),
    "norm": lambda x, p, dim, keepdim, dtype: torch.linalg.vector_norm(x, 2 if p == "fro" else p, dim, keepdim, dtype=dtype),
    "var": _spread("var"), "std": _spread("std"),
    "nanmean": _nanmean,
    "polar": _polar, "ldexp": _ldexp, "median_all": _median,
    "logsumexp": lambda x, dim, keepdim: torch.logsumexp(x, _dims(x, dim), keepdim),
    "amax": lambda x, dim, keepdim: torch.amax(x, _dims(x, dim), keepdim),
    "amin": lambda x, dim, keepdim: torch.amin(x, _dims(x, dim), keepdim),
    "addcmul": lambda x, a, b, value: torch.addcmul(x, a, b, value=value),
    "addcdiv": lambda x, a, b, value: torch.addcdiv(x, a, b, value=value),
    "histc": lambda x, bins, min, max: torch.histc(x, bins, min, max),
    # movement
    "slice": lambda x, starts, stops, steps: x[_slices(x, starts, stops, steps)],
    "slice_set": _slice_set,
    "constant_pad": lambda x, lo, hi, value: F.pad(x, [v for p in zip(reversed(lo), reversed(hi)) for v in p], value=value),
    "expand": lambda x, shape: x.expand(shape),
    "reshape": lambda x, shape: x.reshape(shape),
    "repeat": lambda x, repeats: x.repeat(repeats),
    "unfold": lambda x, dimension, size, step: x.unfold(dimension, size, step),
    "squeeze": lambda x, dim: torch.squeeze(x) if dim is None else torch.squeeze(x, dim),
    "cat": lambda *xs, dim: torch.cat(xs, dim),
    "stack": lambda *xs, dim: torch.stack(xs, dim),
    "narrow_at": lambda x, at, dim, length: x[_window(at, dim, length, x)],
    "write": _write,
    # indices
    "gather": lambda x, index, dim: torch.gather(x, dim, index),
    "scatter_add": lambda x, index, src, dim: x.scatter_add(dim, index, src),
    "scatter_set": lambda x, index, src, dim: x.scatter(dim, index, src),
    "scatter": _scatter,
    "scatter_reduce": _scatter_reduce,
    "pixel_unshuffle": _pixel_unshuffle,
    "index_select": lambda x, index, dim: x.index_select(dim, index),
    "index_add": lambda x, index, source, dim, alpha: x.index_add(dim, index, source, alpha=alpha),
    "index_copy": lambda x, index, source, dim: x.index_copy(dim, index, source),
    "index_fill": lambda x, index, value, dim: x.index_fill(dim, index, value),
    "put": lambda x, index, source, accumulate: x.put(index, source, accumulate),
    "embedding": lambda weight, ids: F.embedding(ids, weight),
    "index": _index,
    "index_put": _index_put,
    "gather_nd": _gather_nd,
    "scatter_nd": _scatter_nd,
    "one_hot": lambda x, num_classes: F.one_hot(x, num_classes),
    "masked_fill": lambda x, mask, value: torch.where(mask, value.to(x.dtype), x),
    # products
    "vecdot_last": lambda a, b: (a.conj() * b).sum(-1, dtype=torch.promote_types(a.dtype, b.dtype)),
    "outer": lambda a, b: a[..., :, None] * b[..., None, :],
    "einsum_of": lambda *xs, equation: torch.einsum(equation, *xs),
    "linalg_cross": lambda a, b, dim: torch.linalg.cross(a, b, dim=dim),
    # constants
    "full": lambda shape, value, dtype: torch.full(shape, value, dtype=dtype),
    "arange": lambda start, step, length, dtype: (torch.arange(length) * step + start).to(dtype),
    "eye": lambda n, m, k, dtype: torch.ones(n, m, dtype=dtype).triu(k).tril(k),
    "linspace": lambda start, end, steps, dtype: torch.linspace(start, end, steps, dtype=dtype),
    # layers
    "layer_norm": lambda x, weight, bias, normalized_shape, eps: F.layer_norm(x, normalized_shape, weight, bias, eps),
    "rms_norm": lambda x, weight, normalized_shape, eps: F.rms_norm(x, normalized_shape, weight, eps),
    "group_norm": _group_norm,
    "prelu": F.prelu,
    "rope": _rope, "rope_interleaved": _rope_interleaved, "attention": _attention,
    "softmax": lambda x, dim, dtype: F.softmax(x, dim, dtype=dtype),
    "log_softmax": lambda x, dim, dtype: F.log_softmax(x, dim, dtype=dtype),
    "softmin": lambda x, dim, dtype: F.softmin(x, dim, dtype=dtype),
    "conv": _conv, "conv1d": _conv, "conv2d": _conv, "conv3d": _conv, "conv_weight": _conv_weight,
    "conv_transpose": _conv_transpose, "conv_transpose1d": _conv_transpose, "conv_transpose2d": _conv_transpose,
    "conv_transpose3d": _conv_transpose,
    "unfold2d": _unfold2d, "fold": _fold,
    "lp_pool1d": lambda x, norm_type, kernel_size, stride, ceil_mode: F.lp_pool1d(
        x, norm_type, *kernel_size, stride and stride[0], ceil_mode
    ),
    "max_pool": _plain(_nd("max_pool{}d")),
    "max_pool_with_indices": _plain(lambda x, **attrs: _nd("max_pool{}d")(x, return_indices=True, **attrs)),
    "avg_pool": _avg_pool, "avg_pool1d": _plain(_avg), "avg_pool2d": _plain(_avg), "avg_pool3d": _plain(_avg),
    "interpolate": F.interpolate,
    "grid_sample": F.grid_sample,
    "affine_grid": F.affine_grid,
    # Fourier transforms
    "dft": _fft("dft"),
    "rdft": lambda x, dim, scale: torch.fft.rfft(x, dim=dim) * scale,
    "irdft": lambda x, dim, length, scale: torch.fft.irfft(x, length, dim=dim) * (scale * length),
    # linear algebra
    "linalg_cholesky": _cholesky,
    "lu_permutation": _OWN,
    "cofactor": _OWN,
    "cdist": lambda x1, x2, p, compute_mode: torch.cdist(x1, x2, p, compute_mode="donot_use_mm_for_euclid_dist"),
    "linalg_inv": torch.linalg.inv,
    "linalg_slogdet": _slogdet,
    # losses
    "cross_entropy": lambda x, t, w, **attrs: F.cross_entropy(x, t, w, **attrs),
    "nll_loss": lambda x, t, w, **attrs: F.nll_loss(x, t, w, **attrs),
    "negative_log_softmax": lambda x, target: F.cross_entropy(x, target, reduction="none"),
    "mse_loss": lambda x, target, weight, reduction: F.mse_loss(x, target, reduction=reduction, weight=weight),
    "l1_loss": lambda x, target, weight, reduction: F.l1_loss(x, target, reduction=reduction, weight=weight),
    "kl_div": lambda x, target, reduction, log_target: F.kl_div(x, target, reduction=reduction, log_target=log_target),
    "gaussian_nll_loss": F.gaussian_nll_loss,
    "poisson_nll_loss": F.poisson_nll_loss,
    "binary_cross_entropy": lambda x, t, w, reduction: F.binary_cross_entropy(x, t, w, reduction=reduction),
    "binary_cross_entropy_with_logits": lambda x, t, w, p, reduction: F.binary_cross_entropy_with_logits(
        x, t, w, reduction=reduction, pos_weight=p
    ),
    # what PyTorch has not
    "resize": _ONNX,
    "no_gradient": _OWN, "linear_scan": "a recurrence that PyTorch has no function for",
    **{n: _GGML for n in ("grouped_linear", "quantize", "dequantize", "quantized_linear", "quantized_embedding",
                          "quantized_grouped_linear") if n in OPS},
    **{n: _SLOPE for n in OPS if n.startswith("random_")},
}  # fmt: skip


def theirs(op: Op) -> Any:
    """PyTorch's function for an op, or a sentence that says why there is none."""
    if op.name in THEIRS:
        return THEIRS[op.name]
    layers = op.group in ("neural", "loss", "conv", "pool", "resize")
    places = [(F, op.name), (torch, op.name)] if layers else [(torch, op.name), (F, op.name)]
    places += [(torch.special, op.name), (torch.Tensor, op.name), (torch.linalg, op.name.removeprefix("linalg_"))]
    for place, name in places:
        found = getattr(place, name, None)
        if callable(found):
            return found
    return "PyTorch has no function of this name"


# What is left open: (op, "value", "place" of several results, "gradient" or "second", contents of the operands or "any"): why.
_KINK = "at a kink any slope between its two sides is right"
_TIE = "which of several equal elements is meant is open"
_ROUNDS = "PyTorch rounds a constant to float32, or adds 1e-12"
_NAN = "PyTorch gives NaN where the limit is finite"
_CANCELS = "PyTorch's formula, or its terms, cancel near zero"
_FAR = "beyond the largest number, what intermediate results overflow is open"
OPEN: dict[tuple[str, str, str], str] = {
    ("logaddexp2", "value", "special"): _ROUNDS, ("logaddexp2", "value", "ties"): _ROUNDS,
    ("i0", "value", "special"): "I0 and I1 of infinity are infinite; PyTorch says NaN",
    ("i1", "value", "special"): "I0 and I1 of infinity are infinite; PyTorch says NaN",
    ("polygamma", "value", "any"): "PyTorch's trigamma is right to 9 digits only; tests/test_ops_elementwise.py has ours",
    ("digamma", "gradient", "any"): "PyTorch's trigamma is right to 9 digits only",
    ("polygamma", "gradient", "any"): "PyTorch's trigamma is right to 9 digits only",
    ("lgamma", "second", "any"): "PyTorch's trigamma is right to 9 digits only",
    ("hardsigmoid", "gradient", "any"): _ROUNDS,
    ("binary_cross_entropy", "second", "any"): _ROUNDS,
    ("binary_cross_entropy", "gradient", "ties"): "at 0 and at 1 PyTorch has 1e-12 for the denominator, and so 0 or 1e12",
    ("linalg_det", "gradient", "large"): "PyTorch takes the cofactors of a singular matrix for 0",
    ("lerp", "value", "special"): _FAR, ("addcdiv", "gradient", "special"): _FAR,
    ("addcdiv", "gradient", "ties"): _NAN, ("float_power", "gradient", "ties"): _NAN, ("lcm", "value", "large"): _FAR,
    ("lcm", "value", "special"): _FAR, ("float_power", "value", "ties"): "what 0 to the power of a complex 0 is, is open",
    ("addcmul", "value", "special"): _FAR, ("square", "gradient", "special"): _FAR,
    ("interpolate", "value", "special"): "an element of weight zero is not looked at; PyTorch takes infinity times zero",
    ("topk", "place", "any"): _TIE, ("gelu", "value", "special"): _NAN, ("topk", "gradient", "ties"): _TIE,
    ("kthvalue", "place", "any"): _TIE, ("kthvalue", "gradient", "ties"): _TIE, ("kthvalue", "gradient", "special"): _TIE,
    ("mode", "place", "ties"): _TIE, ("mode", "gradient", "ties"): _TIE, ("msort", "gradient", "ties"): _TIE,
    ("quantile", "gradient", "ties"): _TIE, ("nanquantile", "gradient", "ties"): _TIE, ("cdist", "gradient", "ties"): _TIE,
    **{(f"adaptive_max_pool{n}d_with_indices", "place", "special"): "which of several NaN is meant is open" for n in (1, 2, 3)},
    ("adaptive_max_pool1d_with_indices", "gradient", "special"): "which of several NaN is meant is open",
    ("adaptive_max_pool2d_with_indices", "gradient", "special"): "which of several NaN is meant is open",
    ("adaptive_max_pool3d_with_indices", "gradient", "special"): "which of several NaN is meant is open",
    **{(n, "second", "ties"): _KINK for n in ("prelu", "elu", "celu", "selu", "smooth_l1_loss", "huber_loss")},
    **{(n, "second", "ties"): _NAN for n in ("pow", "float_power", "atan2", "sinc", "copysign", "addcdiv", "norm", "normalize",
                                             "cosine_similarity")},
    **{(n, "gradient", "special"): _NAN for n in ("logsumexp", "cumprod", "gelu", "silu", "softsign")},
    **{(n, "gradient", "special"): "the gradient at NaN is NaN; PyTorch has a number" for n in ("elu", "celu", "selu")},
    ("acosh", "gradient", "special"): "outside of the domain PyTorch gives a number",
    ("logcumsumexp", "gradient", "special"): "PyTorch takes the logarithm of the gradient, which large operands absorb",
    ("logcumsumexp", "gradient", "large"): "PyTorch takes the logarithm of the gradient, which large operands absorb",
    ("hardshrink", "gradient", "special"): "PyTorch's vectorised and plain loops differ at NaN",
    ("softshrink", "gradient", "special"): "PyTorch's vectorised and plain loops differ at NaN",
    **{(n, "gradient", "tiny"): _CANCELS for n in ("sinc", "normalize", "cosine_similarity")}, ("i1", "second", "tiny"): _CANCELS,
    ("layer_norm", "gradient", "large"): "a normalised dimension of one element is 0, and PyTorch's its rounding error",
}  # fmt: skip


# Between its poles this is a sum of terms about 1 that cancel where it crosses 0: right to so many parts of 1, not of itself.
CROSSES = {"lgamma"}


def _open(op: Op, what: str, case: Case, *dtypes: dt.DType) -> bool:
    if any(d.itemsize == 2 and d.kind == "f" for d in dtypes) and case.content in ("special", "large"):
        return True  # which intermediate results overflow in half precision is open
    return (op.name, what, case.content) in OPEN or (op.name, what, "any") in OPEN


# -- one comparison ---------------------------------------------------------------------------------


def _attribute(v: Any) -> Any:
    if isinstance(v, dt.DType):
        if v.kind not in "biufc":
            raise Refused("dtypes for storage")
        found = getattr(torch, v.name, None)
        if found is None:
            raise Refused(f"no dtype {v}")
        return found
    return v


def _operands(op: Op, arrays: list[Any], track: list[bool]) -> list[Any]:
    inputs = [*op.inputs, *[op.inputs[-1]] * len(arrays)] if op.inputs else []
    made = []
    for x, i, t in zip(arrays, inputs, track):
        if x is not None and (dt.as_dtype(x.dtype).kind not in "biufc"):
            raise Refused("dtypes for storage")
        x = None if x is None else to_torch(x)
        if x is not None and i.letter == "I" and not x.is_floating_point():
            x = x.long()
        made.append(x.requires_grad_() if t else x)
    return made


def _called(op: Op, operands: list[Any], attrs: dict[str, Any]) -> list[Any]:
    """PyTorch's results; Refused where it has no function, or not for these dtypes and arguments."""
    fn = theirs(op)
    if isinstance(fn, str):
        raise Refused(fn)
    named = {**op.attrs, **attrs} if getattr(fn, "__module__", "") == __name__ else attrs
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = fn(*operands, **{k: _attribute(v) for k, v in named.items()})
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError) as e:
        raise Refused(f"{type(e).__name__}: {e}") from None
    return list(made) if isinstance(made, (tuple, list)) else [made]


def _unique(op: Op, results: list[Any], arrays: list[Any], attrs: dict[str, Any]) -> list[Any]:
    """Of PyTorch's results what signs and order do not change, by the op's own word on it."""
    if op.unique is None:
        return [to_numpy(y) for y in results]
    own = [None if x is None else candle.tensor(x, device="numpy") for x in arrays]
    bound, named = op.bind(own, dict(attrs))
    specs = [None if x is None else x.spec for x in bound]
    made = tuple([candle.tensor(to_numpy(y), device="numpy") for y in results])
    return [y.numpy() for y in op.unique(made, *bound, **op.complete(specs, named))]


def compare(op: Op, case: Case, seen: dict[str, int]) -> str | None:
    """What tells our values and gradients from PyTorch's in one case, or None; counts what was compared."""
    try:
        arrays, attrs = sample(op, Draw(op, case))
    except Unsuitable:
        return None
    arrays = [None if x is None else np.asarray(x) for x in arrays]
    able = [x is not None and dt.as_dtype(x.dtype).kind in "fc" for x in arrays]
    track = able if case.kind == GRADIENT and any(able) and op.unique is None else [False] * len(arrays)
    if op.name in FIRST_ONLY:
        track = [t and not at for at, t in enumerate(track)]
    mine = [None if x is None else candle.tensor(x, device="numpy", requires_grad=t) for x, t in zip(arrays, track)]
    try:
        with enable_grad():
            ys = call(op, mine, attrs, _numpy())
    except CandleError as e:
        ys = e
    try:
        other = _operands(op, arrays, track)
        zs = _called(op, other, attrs)
    except Refused as e:
        seen["refused"] = seen.get("refused", 0) + 1
        seen[f"why {str(e)[:150]}"] = seen.get(f"why {str(e)[:150]}", 0) + 1
        return None
    given = f"\n  given {[None if x is None else (str(dt.as_dtype(x.dtype)), x.shape) for x in arrays]} {attrs} ({case})"
    if isinstance(ys, Exception):
        return f"we raise {type(ys).__name__}: {ys}{given}"
    specs = [None if x is None else Spec(x.shape, dt.as_dtype(x.dtype)) for x in arrays]
    want = _unique(op, zs, arrays, attrs)
    _, named = op.bind(list(mine), dict(attrs))
    promoted = [None if s is None else Spec(s.shape, t) for s, t in zip(specs, op.promote(specs))]
    full = op.complete(promoted, named)
    for n, (y, w) in enumerate(zip(ys, want)):
        if dt.as_dtype(w.dtype) is not y.dtype:
            return f"result {n} is {y.spec} but PyTorch's {dt.as_dtype(w.dtype)}{list(w.shape)}{given}"
        part, amount = tolerance(op, specs, full, y.spec, w, arrays)
        amount = max(amount, part) if op.name in CROSSES else amount
        loose = 4 if y.dtype.itemsize > 2 else 8
        if _open(op, "place" if n and y.dtype.kind == "i" else "value", case, y.dtype):
            continue
        fault = compared(y.numpy(), w, part * loose, amount * loose)
        if fault:
            small = sum(x.size for x in arrays if x is not None) < 40
            return f"result {n}: {fault}{given}" + (f"\n{arrays}" if small else "")
    seen["values"] = seen.get("values", 0) + 1
    if any(track):
        fault = _gradients(op, case, ys, zs, mine, other, seen)
        if fault:
            small = sum(x.size for x in arrays if x is not None) < 40
            return f"{fault}{given}" + (f"\n{arrays}" if small else "")
    return None


def _numpy() -> Any:
    from candle.device import resolve

    return resolve("numpy")


GRADIENT = -1
FIRST_ONLY = {"soft_margin_loss"}  # PyTorch has no gradient for the target


def _gradients(op: Op, case: Case, ys: Any, zs: Any, mine: Any, other: Any, seen: dict[str, int]) -> str | None:
    pairs = [(y, z) for y, z in zip(ys, zs) if z.requires_grad]
    xs = [m for m in mine if m is not None and m.requires_grad]
    ts = [o for o in other if o is not None and o.requires_grad]
    if not pairs:
        return None
    if not all(y.requires_grad for y, _ in pairs):
        return "PyTorch has a gradient here, we have none"
    second = case.content not in ("special", "large") and all(z.element_size() > 2 for _, z in pairs)
    rng = np.random.default_rng(case.number)
    seeds = [_seed(rng, to_numpy(z)) for _, z in pairs]
    us = [candle.tensor(s, device="numpy", requires_grad=second) for s in seeds]
    vs = [to_torch(s).requires_grad_(second) for s in seeds]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ws = torch.autograd.grad([z for _, z in pairs], ts, vs, create_graph=second, allow_unused=True)
    except (RuntimeError, NotImplementedError) as e:
        seen[f"why gradient {str(e)[:150]}"] = 1
        return None
    gs = candle.grad([y for y, _ in pairs], xs, us, create_graph=second, retain_graph=True, allow_unused=True)
    fault = None if _open(op, "gradient", case, *[x.dtype for x in xs]) else _all("gradient", gs, ws, 1.0)
    if fault:
        return fault
    seen["gradients"] = seen.get("gradients", 0) + 1
    if not second:
        return None
    total, theirs_ = _total(gs, candle), _total(ws, torch)
    if theirs_ is None or not theirs_.requires_grad:
        return None
    try:
        wanted = torch.autograd.grad(theirs_, [*ts, *vs], allow_unused=True)
    except (RuntimeError, NotImplementedError) as e:
        seen[f"why second {str(e)[:150]}"] = 1
        return None
    if total is None or not total.requires_grad:
        got = [None] * len(wanted)
    else:
        got = candle.grad(total, [*xs, *us], allow_unused=True)
    fault = None if _open(op, "second", case) or _open(op, "gradient", case) else _all("second gradient", got, wanted, 256.0, ws)
    if not fault:
        seen["second"] = seen.get("second", 0) + 1
    return fault


def _seed(rng: np.random.Generator, like: np.ndarray) -> np.ndarray:
    g = rng.random(like.shape) * 2 - 1
    if like.dtype.kind == "c":
        g = g + 1j * (rng.random(like.shape) * 2 - 1)
    return np.asarray(g).astype(like.dtype)


def _total(gs: Any, library: Any) -> Any:
    """A sum over gradients in which each element has a weight of its own."""
    total = None
    for n, g in enumerate(gs):
        if g is None or not g.requires_grad:
            continue
        weight = np.random.default_rng([n, 77]).random(tuple(g.shape)) + 0.5
        weight = np.asarray(weight).astype(to_numpy(g).dtype if library is torch else g.dtype.numpy)
        part = (g * (to_torch(weight) if library is torch else candle.tensor(weight, device="numpy"))).sum()
        part = part.real if weight.dtype.kind == "c" else part
        total = part if total is None else total + part
    return total


def _all(what: str, gs: Any, ws: Any, loose: float, through: Any = ()) -> str | None:
    """What tells gradients apart; ``through`` are those that they are the gradients of, whose rounding they have too."""
    passed = max([float(torch.finfo(t.dtype).eps) for t in through if t is not None], default=0.0)
    for n, (g, w) in enumerate(zip(gs, ws)):
        if g is None and w is None:
            continue
        if g is None or w is None:
            some = np.nan_to_num(to_numpy(w if g is None else g))
            if np.any(np.abs(some) > 1e-12):
                return f"{what} {n}: {'we have' if g is None else 'PyTorch has'} none"
            continue
        a, b = to_numpy(g), to_numpy(w)
        if a.dtype != b.dtype:
            return f"{what} {n} is {a.dtype} but PyTorch's {b.dtype}"
        finite = np.abs(b[np.isfinite(b)].astype(np.complex128))
        eps = max(float(dt.finfo(dt.real_of(dt.as_dtype(b.dtype))).eps), passed) * 4000 * loose
        fault = compared(a, b, eps, eps * max(1.0, float(finite.max(initial=0.0))))
        if fault:
            return f"{what} {n}: {fault}"
    return None


# -- the tests --------------------------------------------------------------------------------------


def _tried(name: str, tries: list[Case]) -> dict[str, int]:
    seen: dict[str, int] = {}
    for case in tries:
        fault = compare(OPS[name], case, seen)
        assert fault is None, f"{name}: {fault}"
    return seen


COMPARED = [n for n, op in OPS.items() if not isinstance(theirs(op), str)]


@pytest.mark.parametrize("name", COMPARED)
def test_values_are_those_of_pytorch(name: str) -> None:
    seen = _tried(name, cases(OPS[name], examples=0)[:40])
    assert seen.get("values", 0) >= 8, seen


@pytest.mark.parametrize("name", [n for n in COMPARED if differentiable(OPS[n])])
def test_gradients_of_both_orders_are_those_of_pytorch(name: str) -> None:
    tries = [c._replace(kind=GRADIENT) for c in gradient_cases(OPS[name], examples=0)[:30]]
    seen = _tried(name, tries)
    assert seen.get("values", 0) >= 4, seen


@pytest.mark.slow
@pytest.mark.parametrize("name", COMPARED)
def test_values_and_gradients_at_random(name: str) -> None:
    op = OPS[name]
    _tried(name, cases(op, examples=32, seed=1)[-32:])
    if differentiable(op):
        _tried(name, [c._replace(kind=GRADIENT) for c in gradient_cases(op, examples=24, seed=1)[-24:]])


def test_what_is_compared_is_nearly_all_of_the_table() -> None:
    """An op without a counterpart has a reason, and they are few."""
    left = {n: theirs(op) for n, op in OPS.items() if isinstance(theirs(op), str)}
    assert set(THEIRS) <= set(OPS)
    assert all(n in THEIRS for n in left), [n for n in left if n not in THEIRS]
    assert len(left) < len(OPS) / 16, left
    assert {n for n, _, _ in OPEN} <= set(OPS)


def _of_floats(op: Op) -> bool:
    """Whether floats go in and floats may come out."""
    letters = {i.letter for i in op.inputs if any(d.kind in "fc" for d in op.types.get(i.letter, ()))}
    return bool(letters) and any(o.letter in letters or o.letter == "dtype" for o in op.outputs)


def test_every_op_of_floats_has_a_gradient() -> None:
    """Its own, zeros by declaration, or that of its expansion; the neighbour of a number has none in PyTorch either."""
    without = {n for n, op in OPS.items() if _of_floats(op) and op.vjp is None and not op.composite and op.expand is None}
    assert without == {"nextafter", "quantize"}
