"""Recurrent layers, with PyTorch's state."""

from __future__ import annotations

import math
from typing import Any

from ..errors import CandleError, ShapeError
from ..op import FUNCTIONS, OPS
from ..tensor import Tensor
from . import init
from .layers import _parameter
from .module import Module

__all__ = ["GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNCell"]

_GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def _parts(x: Tensor, n: int) -> list[Tensor]:
    size = x.shape[-1] // n
    return [x.narrow(-1, i * size, size) for i in range(n)]


def _rnn(given: Tensor, state: tuple[Tensor, ...], weight: Tensor, bias: Tensor | None, nonlinearity: str) -> tuple[Tensor, ...]:
    y = given + FUNCTIONS["linear"](state[0], weight, bias)
    return (y.tanh() if nonlinearity == "tanh" else y.relu(),)


def _lstm(given: Tensor, state: tuple[Tensor, ...], weight: Tensor, bias: Tensor | None, _: str) -> tuple[Tensor, ...]:
    let_in, keep, new, out = _parts(given + FUNCTIONS["linear"](state[0], weight, bias), 4)
    cell = keep.sigmoid() * state[1] + let_in.sigmoid() * new.tanh()
    return out.sigmoid() * cell.tanh(), cell


def _gru(given: Tensor, state: tuple[Tensor, ...], weight: Tensor, bias: Tensor | None, _: str) -> tuple[Tensor, ...]:
    reset, keep, new = zip(_parts(given, 3), _parts(FUNCTIONS["linear"](state[0], weight, bias), 3))
    fresh = (new[0] + (reset[0] + reset[1]).sigmoid() * new[1]).tanh()
    return (fresh + (keep[0] + keep[1]).sigmoid() * (state[0] - fresh),)


_STEPS = {"RNN": _rnn, "LSTM": _lstm, "GRU": _gru}


def _checked(nonlinearity: str) -> str:
    if nonlinearity not in ("tanh", "relu"):
        raise CandleError(f"a recurrent layer's nonlinearity is 'tanh' or 'relu' but {nonlinearity!r} was given")
    return nonlinearity


def _evenly(m: Module, hidden_size: int) -> None:
    bound = 1 / math.sqrt(hidden_size) if hidden_size else 0.0
    for p in m.parameters():
        init.uniform_(p, -bound, bound)


class _Recurrent(Module):
    """What the layers share.  x is ``[n, b, in]``, ``[b, n, in]`` with ``batch_first``, or ``[n, in]``."""

    kind = "RNN"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.nonlinearity, self.bias, self.batch_first = _checked(nonlinearity), bias, batch_first
        self.dropout, self.bidirectional = dropout, bidirectional
        gates = _GATES[self.kind] * hidden_size
        for layer in range(num_layers):
            size = input_size if layer == 0 else hidden_size * (1 + bidirectional)
            for end in self._ends(layer):
                shapes: dict[str, tuple[int, ...]] = {"weight_ih": (gates, size), "weight_hh": (gates, hidden_size)}
                shapes |= {"bias_ih": (gates,), "bias_hh": (gates,)} if bias else {}
                for name, shape in shapes.items():
                    self.register_parameter(name + end, _parameter(*shape, dtype=dtype, device=device))
        self.reset_parameters()

    def _ends(self, layer: int) -> list[str]:
        return [f"_l{layer}", f"_l{layer}_reverse"][: 1 + self.bidirectional]

    def reset_parameters(self) -> None:
        _evenly(self, self.hidden_size)

    def _direction(self, x: Tensor, state: tuple[Tensor, ...], end: str) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """One layer in one direction over x [n, b, in]: its results in the order of time, and its last state."""
        weights = [self._parameters.get(name + end) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        given = FUNCTIONS["linear"](x, weights[0], weights[2])
        step, ys = _STEPS[self.kind], []
        times = range(x.shape[0])
        backwards = end.endswith("reverse")
        for t in reversed(times) if backwards else times:
            state = step(given.select(0, t), state, weights[1], weights[3], self.nonlinearity)  # type: ignore[arg-type]
            ys.append(state[0])
        return ys[::-1] if backwards else ys, state

    def forward(self, x: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        """The last layer's results at each time, and every layer's state after the last."""
        flat = x.ndim == 2
        if x.ndim not in (2, 3) or x.shape[-1] != self.input_size or not x.shape[0 if flat or not self.batch_first else 1]:
            raise ShapeError(
                f"{type(self).__name__} takes [n, b, {self.input_size}] or [n, {self.input_size}], n > 0, but was given {x.spec}"
            )
        x = x.unsqueeze(1) if flat else x.transpose(0, 1) if self.batch_first else x
        states = self._states(x, hx, flat)
        last: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                x = FUNCTIONS["dropout"](x, self.dropout)
            sides = []
            for end in self._ends(layer):
                at = len(last)
                ys, state = self._direction(x, tuple([s.select(0, at) for s in states]), end)
                sides.append(OPS["stack"](*ys, dim=0))
                last.append(state)
            x = OPS["cat"](*sides, dim=-1) if len(sides) > 1 else sides[0]
        found = [OPS["stack"](*parts, dim=0) for parts in zip(*last)]
        if flat:
            x, found = x.squeeze(1), [s.squeeze(1) for s in found]
        elif self.batch_first:
            x = x.transpose(0, 1)
        return x, tuple(found) if self.kind == "LSTM" else found[0]

    def _states(self, x: Tensor, hx: Any, flat: bool) -> list[Tensor]:
        shape = (self.num_layers * (1 + self.bidirectional), x.shape[1], self.hidden_size)
        count = 2 if self.kind == "LSTM" else 1
        if hx is None:
            return [x.detach().new_zeros(shape)] * count
        given = list(hx) if self.kind == "LSTM" else [hx]
        given = [s.unsqueeze(1) if flat else s for s in given]
        if len(given) != count or any(s.shape != shape for s in given):
            raise ShapeError(
                f"{type(self).__name__}'s state is [layers, b, hidden] = {shape} "
                f"but was given {', '.join(str(s.spec) for s in given)}"
            )
        return given

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        parts += [f"num_layers={self.num_layers}"] if self.num_layers != 1 else []
        parts += [f"{k}={getattr(self, k)}" for k in ("batch_first", "bidirectional", "dropout") if getattr(self, k)]
        return ", ".join(parts)


class RNN(_Recurrent):
    """Elman's: h' = tanh(W x + b + U h + c)."""


class _Gated(_Recurrent):
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, "tanh", bias, batch_first, dropout, bidirectional, device, dtype)


class LSTM(_Gated):
    """Long short-term memory; the state is a pair of result and cell.  https://doi.org/10.1162/neco.1997.9.8.1735"""

    kind = "LSTM"


class GRU(_Gated):
    """Gated recurrent units.  https://arxiv.org/abs/1406.1078"""

    kind = "GRU"


class _Cell(Module):
    """One step of a recurrent layer."""

    kind = "RNN"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias, self.nonlinearity = input_size, hidden_size, bias, _checked(nonlinearity)
        gates = _GATES[self.kind] * hidden_size
        self.weight_ih = _parameter(gates, input_size, dtype=dtype, device=device)
        self.weight_hh = _parameter(gates, hidden_size, dtype=dtype, device=device)
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, _parameter(gates, dtype=dtype, device=device) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        _evenly(self, self.hidden_size)

    def forward(self, x: Tensor, hx: Any = None) -> Any:
        """The state after one step."""
        shape = (*x.shape[:-1], self.hidden_size)
        count = 2 if self.kind == "LSTM" else 1
        state = [x.detach().new_zeros(shape)] * count if hx is None else list(hx) if self.kind == "LSTM" else [hx]
        given = FUNCTIONS["linear"](x, self.weight_ih, self.bias_ih)
        found = _STEPS[self.kind](given, tuple(state), self.weight_hh, self.bias_hh, self.nonlinearity)
        return found if self.kind == "LSTM" else found[0]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


class RNNCell(_Cell):
    """One step of RNN."""


class LSTMCell(_Cell):
    """One step of LSTM."""

    kind = "LSTM"

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(input_size, hidden_size, bias, "tanh", device, dtype)


class GRUCell(LSTMCell):
    """One step of GRU."""

    kind = "GRU"
