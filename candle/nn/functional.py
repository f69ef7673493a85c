"""Functions of neural networks under PyTorch's names: those of the op table, and a few that only join them."""

from __future__ import annotations

from typing import Any

from ..create import arange
from ..errors import CandleError, ShapeError
from ..op import FUNCTIONS, OPS
from ..random import rand_like
from ..tensor import Tensor, is_grad_enabled


def __getattr__(name: str) -> Any:
    found = FUNCTIONS.get(name, OPS.get(name))
    if found is None and name.endswith("_") and name[:-1] in OPS:
        found = getattr(Tensor, name, None)
    if found is None:
        import difflib

        near = difflib.get_close_matches(name, [*OPS, *FUNCTIONS], 1)
        raise AttributeError(f"candle.nn.functional has no {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *OPS, *FUNCTIONS})


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """The rows of ``weight[n, d]`` at the indices ``input``; the row ``padding_idx`` gets no gradient."""
    y = FUNCTIONS["embedding"](weight, input)
    if padding_idx is None or not weight.requires_grad or not is_grad_enabled():
        return y
    return OPS["where"]((input == padding_idx % weight.shape[0]).unsqueeze(-1), y.detach(), y)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    mode: str = "mean",
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sums, means or maxima over bags of rows of ``weight[n, d]``: ``input`` is ``[bags, per bag]``, or flat with offsets.

    An empty bag gives zeros; rows ``padding_idx`` do not count.
    """
    if mode not in ("sum", "mean", "max"):
        raise CandleError(f"embedding_bag's mode is 'sum', 'mean' or 'max' but {mode!r} was given")
    if per_sample_weights is not None and (mode != "sum" or per_sample_weights.shape != input.shape):
        raise CandleError("embedding_bag takes per_sample_weights of the shape of the indices, and in mode 'sum' only")
    if (input.ndim == 1) is (offsets is None) or input.ndim not in (1, 2):
        given = None if offsets is None else offsets.spec
        raise ShapeError(
            f"embedding_bag takes indices [bags, per bag], or [n] with offsets, but was given {input.spec} and {given}"
        )
    dtype = weight.dtype
    where = OPS["where"]
    if offsets is None:
        count = input.shape[0]
        bags = arange(count, device=weight.backend).repeat_interleave(input.shape[1])
    else:
        count = offsets.shape[0] - include_last_offset
        place = arange(input.shape[0], device=weight.backend)
        bags = OPS["searchsorted"](offsets[:count].contiguous(), place, right=True) - 1
    ids = input.reshape((-1,)).long()
    rows = embedding(ids, weight, padding_idx)
    counted = ids == ids if padding_idx is None else ids != padding_idx % weight.shape[0]
    at = bags.unsqueeze(1).expand(rows.shape)
    empty = weight.new_zeros(count, weight.shape[1])
    if mode == "max":
        low = where(counted.unsqueeze(1), rows, float("-inf"))
        best = OPS["scatter_reduce"](empty, at, low, dim=0, reduce="amax", include_self=False)
        return where(best == float("-inf"), 0, best)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.reshape((-1, 1))
    total = OPS["scatter_add"](empty, at, where(counted.unsqueeze(1), rows, 0), dim=0)
    if mode == "sum":
        return total
    number = OPS["scatter_add"](weight.new_zeros(count), bags, counted.to(dtype=dtype), dim=0)
    return total / number.clamp(min=1).unsqueeze(1)


def rrelu(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False) -> Tensor:
    """The input, times a slope below 0: drawn for each element from [lower, upper) while training, else their mean."""
    if not 0 <= lower <= upper:
        raise CandleError(f"rrelu's bounds are 0 <= lower <= upper but {lower} and {upper} were given")
    slope: Any = (lower + upper) / 2
    if training:
        slope = rand_like(input.detach()) * (upper - lower) + lower
    y = OPS["where"](input >= 0, input, input * slope)
    return input._assign(y, "rrelu_") if inplace else y


def unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """The windows of ``input[n, c, h, w]`` as columns: ``[n, c * kernel, positions]``."""
    return OPS["unfold2d"](input, kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride)


def _in_place(name: str) -> Any:
    """An activation under PyTorch's signature with ``inplace``."""

    def fn(*args: Any, inplace: bool = False, **kwargs: Any) -> Tensor:
        y = __getattr__(name)(*args, **kwargs)
        return (args[0] if args else kwargs["input"])._assign(y, name + "_") if inplace else y

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = OPS[name].doc
    return fn


for _name in ("relu", "relu6", "leaky_relu", "elu", "celu", "selu", "silu", "mish", "hardtanh", "hardsigmoid", "hardswish",
              "threshold"):  # fmt: skip
    globals()[_name] = _in_place(_name)
