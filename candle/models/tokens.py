"""Models that take token ids: from tensors, arrays or lists."""

from __future__ import annotations

from typing import Any

from ..create import as_tensor
from ..dtype import bool_, float32
from ..errors import ShapeError
from ..nn import Module
from ..tensor import Tensor

__all__ = ["TokenModel"]


class TokenModel(Module):
    """What all models over tokens share: how their arguments are taken."""

    is_encoder_decoder = False
    writes_apart = False  # whether what it writes is not what it was given

    @property
    def dtype(self) -> Any:
        """What it computes in: the dtype of its first floating parameter that is not quantised."""
        for p in self.parameters():
            if p.dtype.is_floating_point:
                return p.dtype
        return float32

    @property
    def device(self) -> Any:
        return next(self.parameters()).device

    def tokens(self, given: Any, what: str = "input_ids") -> Tensor:
        """Ids int[b, n] on the model's device, from a tensor, an array or lists; one row may come without its brackets."""
        ids = given if isinstance(given, Tensor) and given.backend.name == "trace" else as_tensor(given, device=self.device)
        if ids.ndim == 1:
            ids = ids.unsqueeze(0)
        if ids.ndim != 2 or ids.dtype.kind not in "iu":
            raise ShapeError(f"{what} is int[b, n] but {ids.spec} was given")
        return ids

    def mask(self, given: Any, batch: int, n: int, before: int = 0) -> Tensor | None:
        """A mask as bool[b, n]; one that also covers what is remembered is cut to the new tokens."""
        if given is None:
            return None
        keep = given if isinstance(given, Tensor) and given.backend.name == "trace" else as_tensor(given, device=self.device)
        if keep.ndim == 1:
            keep = keep.unsqueeze(0)
        if keep.ndim == 2 and keep.shape == (batch, before + n):
            keep = keep[:, before:]
        if keep.shape != (batch, n):
            raise ShapeError(f"attention_mask is [b, n] = ({batch}, {n}) but {keep.spec} was given")
        return keep if keep.dtype is bool_ else keep != 0
