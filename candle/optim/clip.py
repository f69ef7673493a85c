"""Limits on gradients: of all parameters together by their norm, or number by number."""

from __future__ import annotations

from typing import Iterable

from ..create import tensor
from ..errors import CandleError, GradientError
from ..op import FUNCTIONS, OPS
from ..tensor import Tensor, no_grad

__all__ = ["clip_grad_norm_", "clip_grad_value_", "get_total_norm"]


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[tuple[Tensor, Tensor]]:
    each = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [(p, p.grad) for p in each if p.grad is not None]


def _norm(x: Tensor, norm_type: float) -> Tensor:
    return FUNCTIONS["linalg_vector_norm"](x, norm_type)


def get_total_norm(tensors: Iterable[Tensor], norm_type: float = 2.0) -> Tensor:
    """The norm of all numbers of several tensors together, without dimensions."""
    norms = [_norm(t, norm_type) for t in tensors]
    if not norms:
        return tensor(0.0)
    return _norm(OPS["stack"](norms, dim=0), norm_type)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale the parameters' gradients so that their norm together is at most ``max_norm``; returns the norm they had.

    Raises GradientError where the norm is not finite, if asked to (which looks at the value: not while capturing).
    """
    if max_norm < 0:
        raise CandleError(f"clip_grad_norm_'s max_norm is at least 0 but {max_norm} was given")
    with no_grad():
        pairs = _gradients(parameters)
        total = get_total_norm([g for _, g in pairs], norm_type)
        if error_if_nonfinite and not bool(OPS["isfinite"](total)):
            raise GradientError(f"the gradients' norm is {total.item()}, which cannot be clipped")
        scale = (max_norm / (total + 1e-6)).clamp(max=1.0)
        for p, g in pairs:
            p.grad = (g * scale).to(dtype=g.dtype)
    return total


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Bring every number of the parameters' gradients within ``[-clip_value, clip_value]``."""
    if clip_value < 0:
        raise CandleError(f"clip_grad_value_'s clip_value is at least 0 but {clip_value} was given")
    with no_grad():
        for p, g in _gradients(parameters):
            p.grad = g.clamp(-clip_value, clip_value)
