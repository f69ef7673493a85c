"""Running averages of a model's parameters, for evaluation."""

from __future__ import annotations

import contextlib
from typing import Any, Iterable, Iterator, Mapping

from ..errors import CandleError
from ..tensor import Tensor, no_grad

__all__ = ["EMA"]


class EMA:
    """Exponential moving averages of parameters: ``average += (1 - decay) * (parameter - average)`` at every ``update``.

    ``with ema.applied(): ...`` puts the averages in the parameters' place for the time of the block.  With ``warmup`` the decay
    begins at 0.1 and rises with the number of updates n as (1 + n) / (10 + n).
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float = 0.999, warmup: bool = False) -> None:
        if not 0 <= decay <= 1:
            raise CandleError(f"EMA's decay is from 0 to 1 but {decay} was given")
        self.parameters = list(parameters)
        if not self.parameters:
            raise CandleError("EMA was given no parameters; pass model.parameters()")
        self.decay, self.warmup, self.updates = decay, warmup, 0
        self.averages = [p.detach() * 1 for p in self.parameters]

    def update(self) -> None:
        """Take in the parameters as they are now."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay
        self.updates += 1
        with no_grad():
            for average, p in zip(self.averages, self.parameters):
                average._rebind(average + (p.detach() - average) * (1 - decay))

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """The parameters have the averages' values within, and their own again afterwards."""
        own = [p.detach() for p in self.parameters]
        self._set(self.averages)
        try:
            yield
        finally:
            self._set(own)

    def _set(self, values: Iterable[Tensor]) -> None:
        with no_grad():
            for p, value in zip(self.parameters, values):
                p._rebind(value.detach(), keep_node=True)

    def state_dict(self) -> dict[str, Any]:
        return {"decay": self.decay, "updates": self.updates, "averages": [a.detach() for a in self.averages]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` gave; raises CandleError where it is of other parameters."""
        found = [tuple(a.shape) for a in state["averages"]]
        if found != [a.shape for a in self.averages]:
            raise CandleError("the saved averages are of other parameters than this EMA's")
        self.decay, self.updates = state["decay"], state["updates"]
        for mine, theirs in zip(self.averages, state["averages"]):
            mine.copy_(theirs)
