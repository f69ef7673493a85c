"""Losses: how far predictions are from what was wanted."""

from __future__ import annotations

import math
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from ..dtype import FLOATS, INTEGERS, as_dtype, bool_
from ..errors import CandleError, ShapeError
from ..op import Op, Spec, broadcast_shapes, composite, function
from .elementwise import where
from .neural import _wide, log_softmax, logsigmoid, single, softmax

_REDUCTIONS = ("mean", "sum", "none")


def _reduced(rows: Any, reduction: str) -> Any:
    return rows.mean() if reduction == "mean" else rows.sum() if reduction == "sum" else rows


def _reduction(specs: Sequence[Spec | None], attrs: Mapping[str, Any]) -> dict[str, Any]:
    if attrs["reduction"] not in _REDUCTIONS:
        raise CandleError(f"a loss's reduction is 'mean', 'sum' or 'none' but {attrs['reduction']!r} was given")
    return dict(attrs)


def _elementwise_shape(*specs: Spec | None, reduction: str, **_: Any) -> tuple[int, ...]:
    shape = broadcast_shapes(*[s.shape for s in specs if s is not None])
    if shape is None:
        raise ShapeError(f"a loss takes tensors that broadcast together but was given {', '.join(map(str, specs))}")
    return shape if reduction == "none" else ()


def _divergence_sample(d: Any) -> Any:
    (x, target), attrs = _loss_sample(2, (-3.0, 0.0), (0.1, 1.0))(d)
    if d.bool():
        target = np.where(d.array(x.shape, bool_), target, 0).astype(x.dtype)
    return [x, target], attrs


def _size(*specs: Spec | None, **_: Any) -> int:
    return math.prod(broadcast_shapes(*[s.shape for s in specs if s is not None]) or ())


def _loss_sample(count: int, domain: Any = (-3.0, 3.0), second: Any = None) -> Callable[[Any], Any]:
    def sample(d: Any) -> Any:
        shape = d.shape()
        dtype = d.dtype(FLOATS)
        domains = [domain, *[second or domain] * (count - 1)]
        return [d.array(shape, dtype, where_) for where_ in domains], {"reduction": d.one(_REDUCTIONS)}

    return sample


def _with_weights(sample: Callable[[Any], Any], *domains: Any) -> Callable[[Any], Any]:
    """With weights, or without: one of the first operand's shape or of its last dimension for each domain."""

    def weighted(d: Any) -> Any:
        operands, attrs = sample(d)
        x = operands[0]
        for domain in domains or ((0.25, 2.0),):
            operands.append(d.array(x.shape[d.int(0, 1) :], as_dtype(x.dtype), domain) if d.bool() else None)
        return operands, attrs

    return weighted


def elementwise_loss(count: int = 2, optional: int = 0, sample: Any = None, **fields: Any) -> Callable[..., Op]:
    """Declare a loss that is a number per element, then their mean or sum."""
    signature = ", ".join(["T"] * count + ["T?"] * optional) + " -> T"

    def decorate(fn: Callable[..., Any]) -> Op:
        fields.setdefault("canon", _reduction)
        made = composite(signature, FLOATS, method=False, shape=_elementwise_shape, ulps=64, special=False, terms=_size,
                         sample=sample or _loss_sample(count), **fields)  # fmt: skip
        return made(single(fn))

    return decorate


# -- of numbers ------------------------------------------------------------------------------------


@elementwise_loss(2, 1, sample=_with_weights(_loss_sample(2)))
def mse_loss(x, target, weight, *, reduction: str = "mean"):
    """The squared difference; with a weight, the weighted mean."""
    return _weighted((x - target).square(), weight, reduction)


@elementwise_loss(2, 1, sample=_with_weights(_loss_sample(2)))
def l1_loss(x, target, weight, *, reduction: str = "mean"):
    """The absolute difference; with a weight, the weighted mean."""
    return _weighted((x - target).abs(), weight, reduction)


def _weighted(rows: Any, weight: Any, reduction: str) -> Any:
    if weight is None:
        return _reduced(rows, reduction)
    rows = rows * weight
    return rows.sum() / (rows.zeros_like() + weight).sum() if reduction == "mean" else _reduced(rows, reduction)


def _positive(name: str, what: str, or_zero: bool = False) -> Callable[..., Any]:
    def canon(specs: Sequence[Spec | None], attrs: Mapping[str, Any]) -> dict[str, Any]:
        if attrs[name] < 0 or (attrs[name] == 0 and not or_zero):
            raise CandleError(f"{what}'s {name} is {'at least' if or_zero else 'greater than'} 0 but {attrs[name]} was given")
        return _reduction(specs, attrs)

    return canon


@elementwise_loss(canon=_positive("beta", "smooth_l1_loss", or_zero=True))
def smooth_l1_loss(x, target, *, reduction: str = "mean", beta: float = 1.0):
    """Half the squared difference over beta, and the absolute difference less half of beta where that exceeds beta."""
    d = (x - target).abs()
    if beta == 0:
        return _reduced(d, reduction)
    near = where(d < beta, d, 0)
    return _reduced(where(d < beta, near.square() * (0.5 / beta), d - 0.5 * beta), reduction)


@elementwise_loss(canon=_positive("delta", "huber_loss"))
def huber_loss(x, target, *, reduction: str = "mean", delta: float = 1.0):
    """Half the squared difference, and delta (the absolute difference - delta / 2) where that exceeds delta."""
    d = (x - target).abs()
    near = where(d <= delta, d, 0)
    return _reduced(where(d <= delta, near.square() * 0.5, delta * (d - 0.5 * delta)), reduction)


@elementwise_loss(sample=_divergence_sample)
def kl_div(x, target, *, reduction: str = "mean", log_target: bool = False):
    """target (log target - x): the divergence, x being the logarithm of the prediction; "batchmean" is done by ``F.kl_div``."""
    if log_target:
        return _reduced(target.exp() * (target - x), reduction)
    return _reduced(target.xlogy(target) - target * x, reduction)


@function(method=False, front=True, name="kl_div")
def _kl_div(x: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    """target (log target - x): the divergence, x being the logarithm of the prediction.

    ``reduction="batchmean"`` is the sum over the length of the first dimension, which is what the mathematics asks for.
    """
    if reduction == "batchmean":
        total = kl_div(x, target, reduction="sum", log_target=log_target)
        return total / x.shape[0] if x.ndim else total
    return kl_div(x, target, reduction=reduction, log_target=log_target)


@elementwise_loss(sample=_loss_sample(2, (0.1, 3.0)))
def poisson_nll_loss(x, target, *, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"):
    """The negative log likelihood of counts, x being the (logarithm of the) rate; ``full`` adds Stirling's term."""
    rows = x.exp() - target * x if log_input else x - target * (x + eps).log()
    if full:
        safe = where(target > 1, target, 1)
        rows = rows + where(target > 1, target * safe.log() - target + 0.5 * (2 * math.pi * safe).log(), 0)
    return _reduced(rows, reduction)


@elementwise_loss(3, sample=_loss_sample(3, (0.1, 3.0)))
def gaussian_nll_loss(x, target, var, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean"):
    """The negative log likelihood of a normal distribution of mean x and variance var (at least eps)."""
    if var.ndim == x.ndim - 1 and var.shape == x.shape[:-1]:
        var = var.unsqueeze(-1)
    var = where(var.detach() < eps, var - var.detach() + eps, var)  # the gradient passes the bound
    rows = 0.5 * (var.log() + (x - target).square() / var)
    return _reduced(rows + 0.5 * math.log(2 * math.pi) if full else rows, reduction)


# -- of two classes --------------------------------------------------------------------------------


def _binary_sample(d: Any) -> Any:
    (x, target), attrs = _loss_sample(2, (0.1, 0.9))(d)
    if d.case.content == "ties":  # certain, rightly or wrongly
        x = np.where(d.array(x.shape, bool_), x > 0.5, x).astype(x.dtype)
        target = (target > 0.5).astype(x.dtype)
    return [x, target], attrs


@elementwise_loss(2, 1, sample=_with_weights(_binary_sample))
def binary_cross_entropy(x, target, weight, *, reduction: str = "mean"):
    """-(target log x + (1 - target) log(1 - x)), the logarithms at least -100; prefer the form with logits."""
    rows = -(target * _log_bounded(x) + (1 - target) * _log_bounded(1 - x))
    return _reduced(rows if weight is None else rows * weight, reduction)


def _log_bounded(x: Any) -> Any:
    return where(x > 3.7835e-44, where(x > 3.7835e-44, x, 1).log(), where(x != x, x, -100.0))


@elementwise_loss(2, 2, sample=_with_weights(_loss_sample(2, (-8.0, 8.0), (0.0, 1.0)), (0.25, 2.0), (0.25, 4.0)))
def binary_cross_entropy_with_logits(x, target, weight, pos_weight, *, reduction: str = "mean"):
    """binary_cross_entropy of sigmoid(x), without overflow; ``pos_weight`` multiplies the part of the positive class."""
    positive = -logsigmoid(x)
    rows = (1 - target) * x + (positive if pos_weight is None else positive * (1 + (pos_weight - 1) * target))
    return _reduced(rows if weight is None else rows * weight, reduction)


def _sign_sample(d: Any) -> Any:
    (x, target), attrs = _loss_sample(2)(d)
    return [x, (target > 0) * target.dtype.type(2) - target.dtype.type(1)], attrs


@elementwise_loss()
def soft_margin_loss(x, target, *, reduction: str = "mean"):
    """log(1 + exp(-target x)) for targets 1 and -1."""
    return _reduced(-logsigmoid(target * x), reduction)


@elementwise_loss()
def hinge_embedding_loss(x, target, *, margin: float = 1.0, reduction: str = "mean"):
    """x where the target is 1, max(0, margin - x) where it is -1."""
    rows = where(target == 1, 0, _hinge(margin - x)) + where(target == -1, 0, x)
    return _reduced(rows, reduction)


def _hinge(x: Any) -> Any:
    """max(0, x), whose gradient at 0 is that of x, as clamp's is."""
    return where(x < 0, 0, x)


@elementwise_loss(3)
def margin_ranking_loss(x1, x2, target, *, margin: float = 0.0, reduction: str = "mean"):
    """max(0, margin - target (x1 - x2)): target 1 wants x1 larger, -1 wants x2 larger."""
    return _reduced(_clamped(margin - target * (x1 - x2)), reduction)


def _clamped(x: Any) -> Any:
    """max(x, 0), with the gradient passed on at 0 too."""
    return where(x < 0, 0, x)


@function(method=False)
def cosine_embedding_loss(x1: Any, x2: Any, target: Any, margin: float = 0.0, reduction: str = "mean") -> Any:
    """1 - cos(x1, x2) where the target is 1, max(0, cos(x1, x2) - margin) where it is -1; x1, x2 ``[n, d]`` or ``[d]``."""
    if x1.shape != x2.shape or x1.ndim not in (1, 2) or target.shape != x1.shape[:-1]:
        raise ShapeError(
            f"cosine_embedding_loss takes x1, x2 [n, d] and target [n] but was given {x1.spec}, {x2.spec}, {target.spec}"
        )
    eps = 1e-12
    cos = (x1 * x2).sum(-1) / ((x1.square().sum(-1) + eps) * (x2.square().sum(-1) + eps)).sqrt()
    rows = where(target == 1, 1 - cos, 0) + where(target == -1, _clamped(cos - margin), 0)
    return _reduced(rows, _checked(reduction))


def _checked(reduction: str) -> str:
    _reduction((), {"reduction": reduction})
    return reduction


@function(method=False)
def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """max(0, margin + |anchor - positive| - |anchor - negative|), by the p-norm of the last dimension."""
    from .neural import pairwise_distance

    return triplet_margin_with_distance_loss(
        anchor, positive, negative, lambda a, b: pairwise_distance(a, b, p, eps), margin, swap, reduction
    )


@function(method=False)
def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    distance_function: Any = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """The same with any distance."""
    from .neural import pairwise_distance

    distance = distance_function or pairwise_distance
    if margin <= 0:
        raise CandleError(f"a triplet loss's margin is greater than 0 but {margin} was given")
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = far.minimum(distance(positive, negative))
    return _reduced(_clamped(margin + near - far), _checked(reduction))


# -- of many classes -------------------------------------------------------------------------------


def _class_dim(x: Any) -> int:
    return 1 if x.ndim > 1 else 0


def _target_shape(x: Spec) -> tuple[int, ...]:
    return (x.shape[0], *x.shape[2:]) if x.ndim > 1 else ()


def _rows_shape(x: Spec, target: Spec) -> tuple[int, ...]:
    return target.shape


def _picked_vjp(g: Any, _y: Any, x: Any, target: Any) -> Any:
    dim = _class_dim(x)
    wide = _wide(x)
    gd = g.unsqueeze(dim).to(dtype=wide.dtype)
    return (softmax(wide, dim=dim) * gd).scatter_add(dim, target.unsqueeze(dim), -gd), None


def _picked_sample(d: Any) -> Any:
    n, c = d.size(), d.size()
    rest = tuple([d.int(1, 3) for _ in range(d.one([0, 0, 1, 2]))])
    return [d.array((n, c, *rest), d.dtype(FLOATS)), d.ids((n, *rest), c)], {}


@composite("T, I -> T", FLOATS, I=INTEGERS, shape=_rows_shape, vjp=_picked_vjp, method=False, sample=_picked_sample, ulps=64,
           special=False, terms=lambda x, _: x.shape[_class_dim(x)])  # fmt: skip
@single
def negative_log_softmax(x, target):
    """-log softmax(x)[target] along dimension 1 (0 of a vector): a number per target, keeping only x for the gradient."""
    dim = _class_dim(x)
    return -log_softmax(x, dim=dim).gather(dim, target.unsqueeze(dim)).squeeze(dim)


def _class_shape(x: Spec, target: Spec, weight: Spec | None, *, reduction: str, **_: Any) -> tuple[int, ...]:
    wanted = _target_shape(x)
    likelihoods = target.dtype.kind == "f"
    if x.ndim == 0 or target.shape != (x.shape if likelihoods else wanted):
        raise ShapeError(
            f"cross entropy takes x[n, classes, ...] and target[n, ...] of class numbers (or as x, of likelihoods) "
            f"but was given {x}, {target}"
        )
    if weight is not None and weight.shape != (x.shape[_class_dim(x)],):
        raise ShapeError(f"cross entropy's weight has one number per class, ({x.shape[_class_dim(x)]},), but {weight} was given")
    return wanted if reduction == "none" else ()


def _smoothing(specs: Sequence[Spec | None], attrs: Mapping[str, Any]) -> dict[str, Any]:
    if not 0 <= attrs["label_smoothing"] <= 1:
        raise CandleError(f"cross_entropy's label_smoothing is from 0 to 1 but {attrs['label_smoothing']} was given")
    return _reduction(specs, attrs)


def _class_sample(d: Any) -> Any:
    n, c = d.size(), d.size()
    rest = tuple([d.int(1, 3) for _ in range(d.one([0, 0, 1, 2]))])
    if not rest and d._pick(4) == 0:
        n = 0  # one row alone
    dtype = d.dtype(FLOATS)
    weight = d.array((c,), dtype, (0.5, 2.0)) if d.bool() else None
    target = d.ids((n, *rest) if n else (), c)
    attrs = {"reduction": d.one(_REDUCTIONS), "ignore_index": d.one([-100, 0, c - 1])}
    return [d.array((n, c, *rest) if n else (c,), dtype), target, weight], attrs


def _by_class(rows: Any, target: Any, weight: Any, seen: Any, reduction: str, like: Any) -> Any:
    """Rows of numbers per target, those not seen left out and the others weighted by their class."""
    shares = seen.to(dtype=rows.dtype)
    if weight is not None:
        shares = shares * weight.index_select(0, target.reshape((-1,))).reshape(target.shape)
    rows = where(seen, rows, 0) * shares
    return rows.sum() / shares.sum() if reduction == "mean" else _reduced(rows, reduction)


def _per_class(weight: Any, x: Any) -> Any:
    return weight.reshape((weight.shape[0], *[1] * (x.ndim - 2))) if x.ndim > 1 else weight


@composite("T, I, T? -> T", FLOATS, I=INTEGERS + FLOATS, shape=_class_shape, canon=_smoothing, sample=_class_sample, method=False,
           ulps=64, special=False, terms=lambda x, *_, **__: max(x.size, 1))  # fmt: skip
@single
def cross_entropy(x, target, weight, *, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0):
    """-log softmax(x) of the wanted class: x ``[n, classes, ...]``, target ``[n, ...]`` class numbers, or likelihoods as x.

    Targets equal to ``ignore_index`` count for nothing; the mean is weighted.
    """
    dim = _class_dim(x)
    if target.dtype.kind == "f":
        classes = x.shape[dim]
        target = target.to(dtype=x.dtype)
        if label_smoothing:
            target = target * (1 - label_smoothing) + label_smoothing / classes
        parts = log_softmax(x, dim=dim) * target
        rows = -(parts if weight is None else parts * _per_class(weight, x)).sum(dim=dim)
        return rows.sum() / max(rows.spec.size, 1) if reduction == "mean" and rows.spec.size else _reduced(rows, reduction)
    seen = target != ignore_index
    safe = where(seen, target, 0)
    loss = _by_class(negative_log_softmax(x, safe), safe, weight, seen, reduction, x)
    if not label_smoothing:
        return loss
    logs = log_softmax(x, dim=dim)
    spread = where(seen, -(logs if weight is None else logs * _per_class(weight, x)).sum(dim=dim), 0)
    if reduction == "mean":
        ones = seen.to(dtype=spread.dtype)
        shares = ones if weight is None else ones * weight.index_select(0, safe.reshape((-1,))).reshape(safe.shape)
        spread = spread.sum() / shares.sum()
    else:
        spread = _reduced(spread, reduction)
    return loss * (1 - label_smoothing) + spread * (label_smoothing / x.shape[dim])


@composite("T, I, T? -> T", FLOATS, I=INTEGERS, shape=_class_shape, canon=_reduction, sample=_class_sample, method=False, ulps=64,
           special=False, terms=lambda x, *_, **__: max(x.size, 1))  # fmt: skip
@single
def nll_loss(x, target, weight, *, ignore_index: int = -100, reduction: str = "mean"):
    """-x of the wanted class, x being logarithms of likelihoods ``[n, classes, ...]``."""
    dim = _class_dim(x)
    seen = target != ignore_index
    safe = where(seen, target, 0)
    return _by_class(-x.gather(dim, safe.unsqueeze(dim)).squeeze(dim), safe, weight, seen, reduction, x)


def _matrix(x: Any) -> Any:
    return x if x.ndim == 2 else x.unsqueeze(0)


@function(method=False)
def multi_margin_loss(x: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean") -> Any:
    """The mean over other classes of max(0, margin - x[target] + x[i]) ** p: x ``[n, classes]``, target ``[n]``."""
    if p not in (1, 2):
        raise CandleError(f"multi_margin_loss's p is 1 or 2 but {p} was given")
    rows, ids = _matrix(x), target.reshape((-1, 1))
    wanted = rows.gather(1, ids)
    gaps = _hinge(margin - wanted + rows)
    gaps = gaps.square() if p == 2 else gaps
    if weight is not None:
        gaps = gaps * weight.index_select(0, ids.reshape((-1,))).unsqueeze(1)
    others = _counting(rows.shape[1], rows) != ids
    losses = where(others, gaps, 0).sum(1) / rows.shape[1]
    return _reduced(losses if x.ndim == 2 else losses.squeeze(0), _checked(reduction))


def _counting(n: int, like: Any) -> Any:
    from ..create import arange

    return arange(n, device=like.backend)


@function(method=False)
def multilabel_margin_loss(x: Any, target: Any, reduction: str = "mean") -> Any:
    """max(0, 1 - x[wanted] + x[other]) for each wanted class (those before the first -1) and each other, over the classes."""
    if x.shape != target.shape:
        raise ShapeError(f"multilabel_margin_loss takes x and target of one shape but was given {x.spec}, {target.spec}")
    rows, ids = _matrix(x), _matrix(target)
    c = rows.shape[1]
    listed = (ids < 0).to(dtype=ids.dtype).cumsum(1) == 0
    safe = where(listed, ids, 0)
    wanted = ids.zeros_like().scatter_add(1, safe, listed.to(dtype=ids.dtype)) > 0
    gaps = _hinge(1 - rows.gather(1, safe).unsqueeze(2) + rows.unsqueeze(1))
    counted = listed.unsqueeze(2) & wanted.logical_not().unsqueeze(1)
    losses = where(counted, gaps, 0).sum((1, 2)) / c
    return _reduced(losses if x.ndim == 2 else losses.squeeze(0), _checked(reduction))


@function(method=False)
def multilabel_soft_margin_loss(x: Any, target: Any, weight: Any = None, reduction: str = "mean") -> Any:
    """The mean over classes of binary_cross_entropy_with_logits."""
    rows = -(target * logsigmoid(x) + (1 - target) * logsigmoid(-x))
    return _reduced((rows if weight is None else rows * weight).mean(-1), _checked(reduction))


# -- of sequences ----------------------------------------------------------------------------------


@function(method=False)
def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """-log of the likelihood that a sequence, blanks and repetitions dropped, is the target.

    log_probs is ``[steps, n, classes]`` (or without n), targets ``[n, most]`` or all in one row; the lengths are per sequence.
    The mean is over sequences, each divided by its target's length.  https://www.cs.toronto.edu/~graves/icml_2006.pdf
    """
    from ..create import as_tensor

    flat = log_probs.ndim == 2
    if flat:
        log_probs = log_probs.unsqueeze(1)
    if log_probs.ndim != 3 or not 0 <= blank < log_probs.shape[2]:
        raise ShapeError(
            f"ctc_loss takes log_probs[steps, n, classes] and blank below classes but was given {log_probs.spec}, blank={blank}"
        )
    steps, n, _ = log_probs.shape
    given = [as_tensor(v, device=log_probs.backend).reshape((-1,)) for v in (input_lengths, target_lengths)]
    if any(v.shape != (n,) for v in given):
        raise ShapeError(
            f"ctc_loss takes {n} input_lengths and {n} target_lengths but was given {given[0].spec}, {given[1].spec}"
        )
    long_in, long_out = given
    if targets.ndim == 1 and not flat:
        targets = _padded(targets, long_out)
    targets = targets.reshape((n, -1))
    most = targets.shape[1]
    within = _counting(most, log_probs) < long_out.unsqueeze(1)
    safe = where(within, targets, blank)
    labels = _with_blanks(safe, blank)  # [n, 2 most + 1]
    width = 2 * most + 1
    place = _counting(width, log_probs)
    before = labels.narrow(1, 0, max(width - 2, 0))
    skips = _fill_front((labels.narrow(1, min(2, width), max(width - 2, 0)) != before), min(2, width), n)
    skips = skips & (labels != blank)
    score = log_probs.gather(2, labels.unsqueeze(0).expand((steps, n, width))) if steps else None
    least = -math.inf
    alpha = (
        where(place < 2, score[0], least)
        if steps
        else where(place < 1, log_probs.sum() + labels.to(dtype=log_probs.dtype) * 0, least)
    )
    for t in range(1, steps):
        parts = [alpha, _later(alpha, 1), where(skips, _later(alpha, 2), least)]
        moved = _stack(parts).logsumexp(0) + score[t]
        alpha = where((long_in > t).unsqueeze(1), moved, alpha)
    ends = where((place == (2 * long_out).unsqueeze(1)) | (place == (2 * long_out - 1).unsqueeze(1)), alpha, least)
    losses = -ends.logsumexp(1)
    if zero_infinity:
        losses = where(losses == math.inf, 0, losses)
    reduction = _checked(reduction)
    if reduction == "mean":
        return (losses / long_out.clamp(1).to(dtype=losses.dtype)).mean()
    return losses.sum() if reduction == "sum" else losses.squeeze(0) if flat else losses


def _stack(parts: Any) -> Any:
    from ..op import OPS

    return OPS["stack"](*parts, dim=0)


def _later(alpha: Any, by: int) -> Any:
    """Shifted towards higher places, minus infinity coming in."""
    from ..op import OPS

    by = min(by, alpha.shape[1])
    room = alpha.narrow(1, 0, by).detach().full_like(-math.inf)
    return OPS["cat"](room, alpha.narrow(1, 0, alpha.shape[1] - by), dim=1)


def _fill_front(mask: Any, by: int, n: int) -> Any:
    from ..create import full
    from ..op import OPS

    return OPS["cat"](full((n, by), False, device=mask.backend), mask, dim=1)


def _with_blanks(targets: Any, blank: int) -> Any:
    from ..op import OPS

    n, most = targets.shape
    blanks = targets.full_like(blank)
    pairs = OPS["stack"](blanks, targets, dim=2).reshape((n, 2 * most))
    last = targets.new_full((n, 1), blank)
    return OPS["cat"](pairs, last, dim=1)


def _padded(targets: Any, lengths: Any) -> Any:
    """Targets written one after the other, as rows."""
    sizes = lengths.tolist()
    most = max(sizes, default=0)
    starts = lengths.cumsum(0) - lengths
    at = starts.unsqueeze(1) + _counting(most, targets)
    return targets.index_select(0, at.clamp(0, max(targets.shape[0] - 1, 0)).reshape((-1,))).reshape((len(sizes), most))
