"""Recurrent networks over time: RNN, LSTM, GRU, in both directions, with lengths per row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import candle
from candle import Tensor

from ..errors import OnnxError
from ..table import operator
from .shape import _place

_FUNCTIONS: dict[str, Callable[[Tensor, float, float], Tensor]] = {
    "Relu": lambda x, a, b: candle.relu(x),
    "Tanh": lambda x, a, b: candle.tanh(x),
    "Sigmoid": lambda x, a, b: candle.sigmoid(x),
    "Affine": lambda x, a, b: x * a + b,
    "LeakyRelu": lambda x, a, b: candle.where(x < 0, x * a, x),
    "ThresholdedRelu": lambda x, a, b: candle.where(x > a, x, candle.zeros_like(x)),
    "ScaledTanh": lambda x, a, b: candle.tanh(x * b) * a,
    "HardSigmoid": lambda x, a, b: (x * a + b).clamp(0, 1),
    "Elu": lambda x, a, b: candle.where(x > 0, x, candle.expm1(x) * a),
    "Softsign": lambda x, a, b: candle.softsign(x),
    "Softplus": lambda x, a, b: candle.softplus(x),
}
_DEFAULTS = {"LeakyRelu": (0.01, 0.0), "ThresholdedRelu": (1.0, 0.0), "HardSigmoid": (0.2, 0.5), "Elu": (1.0, 0.0)}


def _functions(names: list[str], alpha: list[float] | None, beta: list[float] | None) -> list[Callable[[Tensor], Tensor]]:
    alphas, betas = iter(alpha or ()), iter(beta or ())
    found: list[Callable[[Tensor], Tensor]] = []
    for name in names:
        key = next((k for k in _FUNCTIONS if k.lower() == name.lower()), None)
        if key is None:
            raise OnnxError(f"the activation {name!r} is not known; there are {', '.join(_FUNCTIONS)}")
        a, b = _DEFAULTS.get(key, (1.0, 0.0))
        if key in ("Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu"):
            a = next(alphas, a)
        if key in ("Affine", "ScaledTanh", "HardSigmoid"):
            b = next(betas, b)
        found.append(lambda x, f=_FUNCTIONS[key], a=a, b=b: f(x, a, b))  # type: ignore[misc]
    return found


Step = Callable[[Tensor, tuple[Tensor, ...], int], tuple[Tensor, ...]]


def _run(
    x: Tensor, lengths: Tensor | None, states: tuple[Tensor, ...], direction: str, layout: int, step: Step
) -> tuple[Tensor, list[Tensor]]:
    """Every step in every direction: y [n, directions, b, h], and the last states [directions, b, h]."""
    x = x.transpose(0, 1) if layout else x
    n, b = x.shape[:2]
    ways = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}.get(direction.lower())
    if ways is None:
        raise OnnxError(f"the direction is forward, reverse or bidirectional but {direction!r} was given")
    rows: list[list[Tensor]] = []
    last: list[list[Tensor]] = []
    for d, backwards in enumerate(ways):
        state = tuple([s[d] for s in states])
        column: list[Any] = [None] * n
        for t in range(n - 1, -1, -1) if backwards else range(n):
            new = step(x[t], state, d)
            y = new[0]
            if lengths is not None:
                live = (lengths.to(dtype=candle.int64) > t).reshape((b, 1))
                y = candle.where(live, y, candle.zeros_like(y))
                new = tuple([candle.where(live, a, o) for a, o in zip(new, state)])
            state = new
            column[t] = y
        rows.append(column)
        last.append(list(state))
    y = candle.stack([candle.stack(list(pair), dim=0) for pair in zip(*rows)], dim=0)
    ends = [candle.stack([s[k] for s in last], dim=0) for k in range(len(states))]
    if layout:
        return y.permute((2, 0, 1, 3)), [e.transpose(0, 1) for e in ends]
    return y, ends


def _start(given: Tensor | None, x: Tensor, directions: int, hidden: int, layout: int) -> Tensor:
    b = x.shape[0] if layout else x.shape[1]
    if given is None:
        return candle.zeros((directions, b, hidden), dtype=x.dtype, device=_place(x))
    return given.transpose(0, 1) if layout else given


def _clipped(x: Tensor, clip: float | None) -> Tensor:
    return x if not clip else x.clamp(-clip, clip)


@operator("RNN")
def rnn(
    ctx: Any,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | None = None,
    initial_h: Tensor | None = None,
    *,
    activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None,
    activations: list[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    output_sequence: int = 0,
) -> Any:
    directions, hidden = w.shape[0], r.shape[-1]
    fs = _functions(activations or ["Tanh"] * directions, activation_alpha, activation_beta)

    def step(xt: Tensor, state: tuple[Tensor, ...], d: int) -> tuple[Tensor, ...]:
        z = xt @ w[d].T + state[0] @ r[d].T
        z = z if b is None else z + b[d][:hidden] + b[d][hidden:]
        return (fs[d](_clipped(z, clip)),)

    y, (h,) = _run(x, lengths, (_start(initial_h, x, directions, hidden, layout),), direction, layout, step)
    return y, h


@operator("GRU")
def gru(
    ctx: Any,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | None = None,
    initial_h: Tensor | None = None,
    *,
    activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None,
    activations: list[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    layout: int = 0,
    linear_before_reset: int = 0,
    output_sequence: int = 0,
) -> Any:
    directions, hidden = w.shape[0], r.shape[-1]
    fs = _functions(activations or ["Sigmoid", "Tanh"] * directions, activation_alpha, activation_beta)

    def step(xt: Tensor, state: tuple[Tensor, ...], d: int) -> tuple[Tensor, ...]:
        f, g = fs[2 * d], fs[2 * d + 1]
        h = state[0]
        a = xt @ w[d].T
        bias = None if b is None else b[d]
        a = a if bias is None else a + bias[: 3 * hidden]
        own = None if bias is None else bias[3 * hidden :]
        rz = h @ r[d][: 2 * hidden].T
        rz = rz if own is None else rz + own[: 2 * hidden]
        z = f(_clipped(a[:, :hidden] + rz[:, :hidden], clip))
        reset = f(_clipped(a[:, hidden : 2 * hidden] + rz[:, hidden:], clip))
        last = None if own is None else own[2 * hidden :]
        if linear_before_reset:
            inner = h @ r[d][2 * hidden :].T
            new = a[:, 2 * hidden :] + reset * (inner if last is None else inner + last)
        else:
            new = a[:, 2 * hidden :] + (reset * h) @ r[d][2 * hidden :].T
            new = new if last is None else new + last
        return ((1 - z) * g(_clipped(new, clip)) + z * h,)

    y, (h,) = _run(x, lengths, (_start(initial_h, x, directions, hidden, layout),), direction, layout, step)
    return y, h


@operator("LSTM")
def lstm(
    ctx: Any,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | None = None,
    initial_h: Tensor | None = None,
    initial_c: Tensor | None = None,
    peepholes: Tensor | None = None,
    *,
    activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None,
    activations: list[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int | None = None,
    input_forget: int = 0,
    layout: int = 0,
    output_sequence: int = 0,
) -> Any:
    directions, n = w.shape[0], r.shape[-1]
    fs = _functions(activations or ["Sigmoid", "Tanh", "Tanh"] * directions, activation_alpha, activation_beta)

    def step(xt: Tensor, state: tuple[Tensor, ...], d: int) -> tuple[Tensor, ...]:
        f, g, out = fs[3 * d : 3 * d + 3]
        h, c = state
        z = xt @ w[d].T + h @ r[d].T
        z = z if b is None else z + b[d][: 4 * n] + b[d][4 * n :]
        i, o, forget, new = (z[:, k * n : (k + 1) * n] for k in range(4))
        peep = None if peepholes is None else [peepholes[d][k * n : (k + 1) * n] for k in range(3)]  # i, o, f
        i = f(_clipped(i if peep is None else i + peep[0] * c, clip))
        keep = 1 - i if input_forget else f(_clipped(forget if peep is None else forget + peep[2] * c, clip))
        c = keep * c + i * g(_clipped(new, clip))
        o = f(_clipped(o if peep is None else o + peep[1] * c, clip))
        return o * out(c), c

    states = tuple([_start(s, x, directions, n, layout) for s in (initial_h, initial_c)])
    y, (h, c) = _run(x, lengths, states, direction, layout, step)
    return y, h, c
