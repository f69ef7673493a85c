"""What a model remembers of the tokens so far: keys and values, or the state of a recurrence, explicit and per layer."""

from __future__ import annotations

from typing import Any

from ..create import arange, zeros
from ..dtype import int64
from ..errors import ShapeError
from ..op import OPS
from ..tensor import Tensor, no_grad

__all__ = ["Cache", "KeyValues", "Sided", "State"]


class KeyValues:
    """Keys ``[b, heads, capacity + 1, d]`` and values of one layer, each token's at its position.

    The last place takes what is to be forgotten (padding): nobody looks there.
    """

    def __init__(self, batch: int, heads: int, capacity: int, width: int, v_width: int, dtype: Any, device: Any) -> None:
        self.k = zeros(batch, heads, capacity + 1, width, dtype=dtype, device=device)
        self.v = zeros(batch, heads, capacity + 1, v_width, dtype=dtype, device=device)

    def write(self, k: Tensor, v: Tensor, slots: Tensor) -> None:
        """Enter keys and values ``[b, heads, n, d]`` at the positions int[b, n]."""
        rows = arange(k.shape[0], device=k.backend).unsqueeze(1)
        self.k[rows, :, slots] = k.transpose(1, 2).to(dtype=self.k.dtype)
        self.v[rows, :, slots] = v.transpose(1, 2).to(dtype=self.v.dtype)

    def grow(self, capacity: int) -> None:
        for x in (self.k, self.v):
            b, h, m, d = x.shape
            more = zeros(b, h, capacity + 1 - m, d, dtype=x.dtype, device=x.device)
            x._rebind(OPS["cat"](x, more, dim=2))

    def clear(self) -> None:
        """Nothing to do: what lies beyond a row's length is never seen."""

    def tensors(self) -> list[Tensor]:
        return [self.k, self.v]


class State:
    """Named tensors of one layer that each token replaces: a recurrence's state, the last inputs of a convolution."""

    def __init__(self, shapes: dict[str, tuple[int, ...]], dtype: Any, device: Any) -> None:
        self.held = {name: zeros(shape, dtype=dtype, device=device) for name, shape in shapes.items()}

    def __getitem__(self, name: str) -> Tensor:
        """What is remembered now; it does not change when another value is."""
        return self.held[name].detach()

    def __setitem__(self, name: str, value: Tensor) -> None:
        held = self.held[name]
        if value.shape != held.shape:
            raise ShapeError(f"the state {name!r} is {held.spec} but {value.spec} was given")
        held.copy_(value)

    def grow(self, capacity: int) -> None:
        """Nothing to do: a state has one size."""

    def clear(self) -> None:
        for x in self.held.values():
            x.zero_()

    def tensors(self) -> list[Tensor]:
        return list(self.held.values())


class Sided:
    """What a decoder's layer remembers of what it writes (``own``), and of what was read (``cross``)."""

    def __init__(self, own: KeyValues, cross: State) -> None:
        self.own, self.cross = own, cross

    def grow(self, capacity: int) -> None:
        self.own.grow(capacity)

    def clear(self) -> None:
        """Forget what was written; what was read stays."""

    def tensors(self) -> list[Tensor]:
        return [*self.own.tensors(), *self.cross.tensors()]


class Cache:
    """One memory per layer, and ``lengths`` int64[b]: how many tokens each row has, which is where its next one goes.

    ``longest`` is what is known of the lengths without looking: no row has more.  Rows that are padded keep only their own
    tokens, so that each stands as it would alone.
    """

    def __init__(self, layers: list[Any], batch: int, capacity: int, device: Any) -> None:
        self.layers, self.batch, self.capacity = layers, batch, capacity
        self.lengths = zeros(batch, dtype=int64, device=device)
        self.longest = 0

    def __getitem__(self, layer: int) -> Any:
        return self.layers[layer]

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def fresh(self) -> bool:
        """Whether no token has gone in yet."""
        return self.longest == 0

    def reserve(self, more: int) -> None:
        """Room for so many more tokens; what must grow doubles."""
        wanted = self.longest + more
        if wanted > self.capacity:
            self.capacity = max(wanted, 2 * self.capacity)
            with no_grad():
                for layer in self.layers:
                    layer.grow(self.capacity)

    def clear(self) -> None:
        """Forget all tokens."""
        with no_grad():
            self.lengths.zero_()
            for layer in self.layers:
                layer.clear()
        self.longest = 0

    def tensors(self) -> list[Tensor]:
        """All it holds."""
        return [self.lengths, *[x for layer in self.layers for x in layer.tensors()]]
