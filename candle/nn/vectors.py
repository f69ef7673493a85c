"""All parameters as one vector and back, and gradients within limits: what PyTorch has as ``nn.utils``."""

from __future__ import annotations

from typing import Any, Iterable

from ..errors import ShapeError
from ..op import OPS
from ..tensor import Tensor, no_grad

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters, one after the other."""
    return OPS["cat"](*[p.reshape((-1,)) for p in parameters], dim=0)


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Give the parameters the elements of a vector, one after the other; raises ShapeError where it has another length."""
    wanted = list(parameters)
    total = sum([p.numel() for p in wanted])
    if vec.shape != (total,):
        raise ShapeError(f"vector_to_parameters takes the {total} elements of the parameters but was given {vec.spec}")
    at = 0
    with no_grad():
        for p in wanted:
            p.copy_(vec[at : at + p.numel()].reshape(p.shape))
            at += p.numel()


def __getattr__(name: str) -> Any:
    from ..optim import clip  # above this layer, and met only when it is asked for

    return getattr(clip, name)
