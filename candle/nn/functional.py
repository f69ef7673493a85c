"""Functions of neural networks under PyTorch's names: those of the op table, and a few that only join them."""

from __future__ import annotations

from typing import Any

from ..create import arange
from ..op import FUNCTIONS, OPS
from ..tensor import Tensor


def __getattr__(name: str) -> Any:
    found = FUNCTIONS.get(name, OPS.get(name))
    if found is None:
        import difflib

        near = difflib.get_close_matches(name, [*OPS, *FUNCTIONS], 1)
        raise AttributeError(f"candle.nn.functional has no {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *OPS, *FUNCTIONS})


def embedding(x: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """The rows of ``weight[n, d]`` at the indices x; the row ``padding_idx`` gets no gradient."""
    if padding_idx is not None and weight.requires_grad:
        rows = arange(weight.shape[0], device=weight.backend) == padding_idx % weight.shape[0]
        weight = OPS["where"](rows.unsqueeze(1), weight.detach(), weight)
    return FUNCTIONS["embedding"](weight, x)


def unfold(x: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """The windows of ``x[n, c, h, w]`` as columns: ``[n, c * kernel, positions]``."""
    return OPS["unfold2d"](x, kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride)


def _in_place(name: str) -> Any:
    """An activation under PyTorch's signature with ``inplace``."""

    def fn(x: Tensor, *args: Any, inplace: bool = False, **kwargs: Any) -> Tensor:
        y = __getattr__(name)(x, *args, **kwargs)
        return x._assign(y, name + "_") if inplace else y

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = OPS[name].doc
    return fn


for _name in ("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "silu", "mish", "hardtanh", "hardsigmoid", "hardswish",
              "threshold"):  # fmt: skip
    globals()[_name] = _in_place(_name)
