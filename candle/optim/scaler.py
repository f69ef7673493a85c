"""Loss scaling: gradients in half precision are kept from vanishing by a large factor, adjusted as training goes."""

from __future__ import annotations

from typing import Any, Mapping

from ..create import tensor
from ..errors import CandleError
from ..op import OPS
from ..tensor import Tensor, no_grad
from .optimizer import Optimizer

__all__ = ["GradScaler"]


class GradScaler:
    """Scales a loss, and its gradients back; steps whose gradients overflowed are left out, and the scale is halved.

    ``scaler.scale(loss).backward(); scaler.step(opt); scaler.update()``.  https://arxiv.org/abs/1710.03740, section 3.2
    """

    def __init__(self, init_scale: float = 2.0**16, growth_factor: float = 2.0, backoff_factor: float = 0.5,
                 growth_interval: int = 2000, enabled: bool = True) -> None:  # fmt: skip
        if growth_factor <= 1 or not 0 < backoff_factor < 1:
            raise CandleError(
                f"GradScaler's growth_factor is above 1 and its backoff_factor between 0 and 1 but {growth_factor} and "
                f"{backoff_factor} were given"
            )
        self._scale, self.enabled = float(init_scale), enabled
        self.growth_factor, self.backoff_factor, self.growth_interval = growth_factor, backoff_factor, growth_interval
        self._good_steps = 0
        self._found: dict[int, bool] = {}  # whether an optimiser's gradients are finite, since they were unscaled

    def get_scale(self) -> float:
        return self._scale if self.enabled else 1.0

    def scale(self, loss: Tensor) -> Tensor:
        """The loss times the scale."""
        return loss * self._scale if self.enabled else loss

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the scale, so that they can be clipped; ``step`` does it otherwise."""
        if not self.enabled:
            return
        if id(optimizer) in self._found:
            raise CandleError("the gradients were unscaled already since the last update(); unscale_ them once a step")
        finite = True
        with no_grad():
            for p in optimizer._params():
                if p.grad is not None:
                    p.grad = (p.grad.float() / self._scale).to(dtype=p.grad.dtype)
                    finite = finite and bool(OPS["isfinite"](p.grad).all())
        self._found[id(optimizer)] = finite

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """Step the optimiser, unless its gradients are not finite."""
        if not self.enabled:
            return optimizer.step(*args, **kwargs)
        if id(optimizer) not in self._found:
            self.unscale_(optimizer)
        return optimizer.step(*args, **kwargs) if self._found[id(optimizer)] else None

    def update(self, new_scale: float | None = None) -> None:
        """Adjust the scale, after the step."""
        if self.enabled:
            if new_scale is not None:
                self._scale, self._good_steps = float(new_scale), 0
            elif not all(self._found.values()):
                self._scale, self._good_steps = self._scale * self.backoff_factor, 0
            else:
                self._good_steps += 1
                if self._good_steps == self.growth_interval:
                    self._scale, self._good_steps = self._scale * self.growth_factor, 0
        self._found.clear()

    def state_dict(self) -> dict[str, Any]:
        return {"scale": self._scale, "good_steps": self._good_steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._scale, self._good_steps = float(tensor(state["scale"]).item()), int(state["good_steps"])
