"""Control flow, sequences and optional values."""

from __future__ import annotations

from typing import Any

import numpy as np

import candle
from candle import Tensor

from ..errors import OnnxError
from ..run import known, truth
from ..table import operator
from .shape import _ints, _on_host


@operator("If")
def if_(ctx: Any, condition: Tensor, *, then_branch: Any, else_branch: Any) -> tuple[Any, ...]:
    return tuple(ctx.run(then_branch if truth(condition) else else_branch))


@operator("Loop")
def loop(ctx: Any, most: Any = None, condition: Any = None, *states: Any, body: Any) -> tuple[Any, ...]:
    count = None if most is None else int(np.asarray(known(most)).reshape(-1)[0])
    going = True if condition is None else truth(condition)
    kept, n = list(states), len(states)
    collected: list[list[Any]] = [[] for _ in body.outputs[1 + n :]]
    turn = 0
    while going and (count is None or turn < count):
        ctx.tick()
        made = ctx.run(body, _on_host(np.array(turn, np.int64)), _on_host(np.array(going)), *kept)
        going = truth(made[0])
        kept = made[1 : 1 + n]
        for column, value in zip(collected, made[1 + n :]):
            column.append(value)
        turn += 1
    return (*kept, *[_stacked(column, port) for column, port in zip(collected, body.outputs[1 + n :])])


def _stacked(column: list[Any], port: Any) -> Any:
    if column:
        return candle.stack(column, dim=0)
    from ..values import dtype_of

    sizes = [n if isinstance(n, int) else 0 for n in port.shape or ()]
    return candle.zeros((0, *sizes), dtype=dtype_of(port.dtype) if port.dtype else candle.float32)


@operator("Scan")
def scan_batched(
    ctx: Any, lengths: Any, *values: Any, body: Any, num_scan_inputs: int, directions: list[int] | None = None
) -> tuple[Any, ...]:
    states = len(values) - num_scan_inputs
    rows = []
    for b in range(values[-1].shape[0]):
        length = None if lengths is None else int(np.asarray(known(lengths)).reshape(-1)[b])
        inputs = [v[b] if length is None or n < states else v[b].narrow(0, 0, length) for n, v in enumerate(values)]
        rows.append(_scan(ctx, inputs, body, num_scan_inputs, directions))
    return tuple([candle.stack(list(column), dim=0) for column in zip(*rows)])


@operator("Scan", since=9)
def scan(
    ctx: Any,
    *values: Any,
    body: Any,
    num_scan_inputs: int,
    scan_input_axes: list[int] | None = None,
    scan_input_directions: list[int] | None = None,
    scan_output_axes: list[int] | None = None,
    scan_output_directions: list[int] | None = None,
) -> tuple[Any, ...]:
    return tuple(
        _scan(
            ctx,
            list(values),
            body,
            num_scan_inputs,
            scan_input_directions,
            scan_input_axes,
            scan_output_directions,
            scan_output_axes,
        )
    )


def _scan(ctx: Any, values: list[Any], body: Any, count: int, in_ways: Any = None, in_axes: Any = None, out_ways: Any = None,
          out_axes: Any = None) -> list[Any]:  # fmt: skip
    n = len(values) - count
    states, inputs = values[:n], values[n:]
    axes, ways = in_axes or [0] * count, in_ways or [0] * count
    length = inputs[0].shape[axes[0]]
    outs = len(body.outputs) - n
    columns: list[list[Any]] = [[] for _ in range(outs)]
    for turn in range(length):
        ctx.tick()
        row = [x.select(a % x.ndim, length - 1 - turn if w else turn) for x, a, w in zip(inputs, axes, ways)]
        made = ctx.run(body, *states, *row)
        states = made[:n]
        for column, v in zip(columns, made[n:]):
            column.append(v)
    found = []
    for k, column in enumerate(columns):
        column = column[::-1] if out_ways and out_ways[k] else column
        axis = out_axes[k] if out_axes else 0
        found.append(candle.stack(column, dim=axis) if column else _stacked(column, body.outputs[n + k]))
    return [*states, *found]


# -- sequences -------------------------------------------------------------------------------------


@operator("SequenceConstruct")
def sequence_construct(ctx: Any, *xs: Any) -> list[Any]:
    return list(xs)


@operator("SequenceEmpty")
def sequence_empty(ctx: Any, *, dtype: int = 1) -> list[Any]:
    return []


def _place_in(sequence: list[Any], at: Any, extra: int = 0) -> int:
    n = len(sequence) + extra
    place = int(np.asarray(known(at)).reshape(-1)[0])
    if not -len(sequence) <= place < n:
        raise OnnxError(f"a place in a sequence of {len(sequence)} was asked for that is not there: {place}")
    return place + len(sequence) if place < 0 else place


@operator("SequenceAt")
def sequence_at(ctx: Any, sequence: list[Any], at: Any) -> Any:
    return sequence[_place_in(sequence, at)]


@operator("SequenceInsert")
def sequence_insert(ctx: Any, sequence: list[Any], x: Any, at: Any = None) -> list[Any]:
    place = len(sequence) if at is None else _place_in(sequence, at, 1)
    return [*sequence[:place], x, *sequence[place:]]


@operator("SequenceErase")
def sequence_erase(ctx: Any, sequence: list[Any], at: Any = None) -> list[Any]:
    place = len(sequence) - 1 if at is None else _place_in(sequence, at)
    return [*sequence[:place], *sequence[place + 1 :]]


@operator("SequenceLength")
def sequence_length(ctx: Any, sequence: list[Any]) -> Tensor:
    return _on_host(np.array(len(sequence), np.int64))


@operator("ConcatFromSequence")
def concat_from_sequence(ctx: Any, sequence: list[Any], *, axis: int, new_axis: int = 0) -> Tensor:
    return candle.stack(sequence, dim=axis) if new_axis else candle.cat(sequence, dim=axis)


@operator("SplitToSequence")
def split_to_sequence(ctx: Any, x: Tensor, split: Any = None, *, axis: int = 0, keepdims: int = 1) -> list[Any]:
    axis %= x.ndim
    n = x.shape[axis]
    if split is None:
        parts = [x.narrow(axis, i, 1) for i in range(n)]
        return parts if keepdims else [p.squeeze(axis) for p in parts]
    sizes = known(split)
    if np.asarray(sizes).ndim == 0:
        each = int(sizes)
        found = [min(each, n - i) for i in range(0, n, each)]
    else:
        found = _ints(sizes)
    return list(x.split(found, axis))


@operator("SequenceMap")
def sequence_map(ctx: Any, sequence: list[Any], *others: Any, body: Any) -> tuple[Any, ...]:
    rows = [ctx.run(body, x, *[o[i] if isinstance(o, list) else o for o in others]) for i, x in enumerate(sequence)]
    return tuple([list(column) for column in zip(*rows)]) if rows else tuple([[] for _ in body.outputs])


# -- optional values -------------------------------------------------------------------------------


@operator("Optional")
def optional(ctx: Any, x: Any = None, *, type: Any = None) -> Any:
    return x


@operator("OptionalHasElement")
def optional_has_element(ctx: Any, x: Any = None) -> Tensor:
    return _on_host(np.array(x is not None))


@operator("OptionalGetElement")
def optional_get_element(ctx: Any, x: Any) -> Any:
    if x is None:
        raise OnnxError("the optional value is empty")
    return x
