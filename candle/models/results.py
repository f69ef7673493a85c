"""What a model returns: named results, as attributes and as keys."""

from __future__ import annotations

from typing import Any

from ..nn import functional as F
from ..tensor import Tensor

__all__ = ["Outputs", "labelled_loss", "next_token_loss"]


class Outputs(dict[str, Any]):
    """Results by name, in order: ``out.logits``, ``out["logits"]`` and, counted from the first, ``out[0]``.

    Names with nothing to show are left out; as attributes they are None.
    """

    NAMES = (
        "loss",
        "logits",
        "last_hidden_state",
        "pooler_output",
        "encoder_last_hidden_state",
        "hidden_states",
        "past_key_values",
    )

    def __init__(self, *given: Any, **results: Any) -> None:
        super().__init__({k: v for k, v in dict(*given, **results).items() if v is not None})

    def __getitem__(self, key: Any) -> Any:
        return list(self.values())[key] if isinstance(key, (int, slice)) else super().__getitem__(key)

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return super().__getitem__(name)
        if name in self.NAMES:
            return None
        raise AttributeError(f"these results have no {name!r}; there are {', '.join(self)}")


def next_token_loss(logits: Tensor, labels: Tensor, ignored: int = -100) -> Tensor:
    """Mean cross entropy of logits ``[b, n, v]`` with the labels int[b, n] one further on; ``ignored`` ones do not count."""
    v = logits.shape[-1]
    return F.cross_entropy(logits[:, :-1].reshape((-1, v)).float(), labels[:, 1:].reshape((-1,)), ignore_index=ignored)


def labelled_loss(logits: Tensor, labels: Tensor, problem: str | None = None) -> Tensor:
    """Mean cross entropy with labels int, -100 not counted; of real ones squared error or, of several, binary cross entropy."""
    if labels.dtype.kind in "iu" and problem != "regression":
        return F.cross_entropy(logits.reshape((-1, logits.shape[-1])).float(), labels.reshape((-1,)), ignore_index=-100)
    if problem == "regression" or (problem is None and logits.shape[-1] == 1):
        return F.mse_loss(logits.reshape(labels.shape), labels.to(dtype=logits.dtype))
    return F.binary_cross_entropy_with_logits(logits, labels.to(dtype=logits.dtype))
