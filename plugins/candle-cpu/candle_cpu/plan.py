"""Graphs as plans: runs of steps that the engine does in one call, their memory laid out ahead by lifetimes."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

from candle.op import Spec

from . import _engine
from .dtypes import code

INPUT, CONSTANT, OWN, RESULT, VIEW = range(5)  # what a slot is, as in src/plan.c
RUN, MOVE, RESHAPE, SAME = range(4)  # what a step does
LINE = 64


class Step(NamedTuple):
    """One call of a graph: what to do and with which values."""

    kind: int  # -1: a function of Python's
    kernel: Callable[..., Any]
    out: Any
    inputs: tuple[int | None, ...]
    attrs: dict[str, Any]
    results: tuple[int, ...]


class _Arena:
    """Offsets in a block of memory, the first gap that is large enough."""

    def __init__(self) -> None:
        self.size = 0
        self.gaps: list[tuple[int, int]] = []  # (offset, bytes), by offset

    def take(self, nbytes: int) -> tuple[int, int]:
        nbytes = (nbytes + LINE - 1) // LINE * LINE
        for at, (offset, room) in enumerate(self.gaps):
            if room >= nbytes:
                self.gaps[at : at + 1] = [(offset + nbytes, room - nbytes)] if room > nbytes else []
                return offset, nbytes
        if self.gaps and sum(self.gaps[-1]) == self.size:  # the last gap grows
            offset, _ = self.gaps.pop()
        else:
            offset = self.size
        self.size = offset + nbytes
        return offset, nbytes

    def give(self, offset: int, nbytes: int) -> None:
        gaps = sorted([*self.gaps, (offset, nbytes)])
        merged: list[tuple[int, int]] = []
        for begin, room in gaps:
            if merged and sum(merged[-1]) == begin:
                merged[-1] = merged[-1][0], merged[-1][1] + room
            elif room:
                merged.append((begin, room))
        self.gaps = merged


def segment(
    steps: Sequence[Step], specs: dict[int, Spec], constants: dict[int, Any], wanted: Sequence[int]
) -> tuple[Any, list[int]]:
    """The engine's function for steps that are all its own, and the values that it takes; it gives those wanted."""
    source = {s.results[0]: s.inputs[0] for s in steps if s.kind != RUN}
    made = {r: s for s in steps for r in s.results}
    order = [v for s in steps for v in s.inputs if v is not None and v not in made]
    inputs = [v for v in dict.fromkeys(order) if v not in constants]
    used = [v for v in dict.fromkeys(order) if v in constants]

    # What lies in order and without gaps for sure, and what a reshape may have to copy.
    plain = {v for v in used if constants[v].contiguous}
    copies = set()
    for s in steps:
        if s.kind == RUN or (s.kind in (RESHAPE, SAME) and s.inputs[0] in plain):
            plain.update(s.results)
        elif s.kind == RESHAPE:
            copies.add(s.results[0])
            # a copy is plain and a view may not be: nothing is known

    # Values whose storage leaves the plan get storage of their own.
    leaves = set(wanted)
    for s in reversed(steps):
        if s.kind != RUN and s.results[0] in leaves and s.results[0] not in copies:
            leaves.add(s.inputs[0])  # type: ignore[arg-type]
    kinds: dict[int, int] = dict.fromkeys(inputs, INPUT) | dict.fromkeys(used, CONSTANT)
    for v, s in made.items():
        kinds[v] = (RESULT if v in leaves else OWN) if s.kind == RUN else RESULT if v in copies and v in leaves else VIEW

    # Which memory a value keeps alive, and until which step.
    holds: dict[int, frozenset[int]] = {v: frozenset() for v in (*inputs, *used)}
    root: dict[int, int] = {v: v for v in (*inputs, *used)}
    last: dict[int, int] = {}
    for at, s in enumerate(steps):
        for v in s.results:
            before = source.get(v)
            mine = frozenset([v]) if kinds[v] == OWN or (v in copies and kinds[v] == VIEW) else frozenset()
            holds[v] = mine if before is None or kinds[v] == RESULT else mine | holds[before]
            root[v] = v if kinds[v] != VIEW else -1 if v in copies or before is None else root[before]
        for used_here in (*s.inputs, *s.results):
            for m in holds[used_here] if used_here is not None else ():
                last[m] = at
    arena = _Arena()
    place: dict[int, tuple[int, int]] = {}
    ends: dict[int, list[int]] = {}
    for m, at in last.items():
        ends.setdefault(at, []).append(m)
    for at, s in enumerate(steps):
        for v in s.results:
            if v in holds[v]:
                place[v] = arena.take(max(specs[v].nbytes, 1))
        for m in ends.get(at, ()):
            arena.give(*place[m])

    slot = {v: n for n, v in enumerate(kinds)}
    slots = [
        (kind, code(specs[v].dtype), specs[v].shape, place.get(v, (-1, 0))[0], slot.get(root[v], -1), constants.get(v))
        for v, kind in kinds.items()
    ]
    listed = [(s.kind, s.kernel, [-1 if v is None else slot[v] for v in s.inputs], [slot[r] for r in s.results]) for s in steps]
    return _engine.plan(slots, listed, [slot[v] for v in wanted], arena.size), inputs


def compiled(graph: Any, backend: Any) -> Callable[..., tuple[Any, ...]]:
    """A lowered graph as a function of this backend's data: all its inputs in, all its outputs out."""
    specs: dict[int, Spec] = {i.value: i.spec for i in graph.inputs} | {v: t.spec for v, t in graph.constants.items()}
    constants = {v: t.value if t.backend is backend else backend.put(t.numpy()) for v, t in graph.constants.items()}
    steps: list[Step] = []
    for c in graph.calls:
        specs.update(zip(c.results, c.outs))
        out = c.outs if c.op.multiple else c.outs[0]
        kernel = backend.kernel(c.op, out, [None if v is None else specs[v] for v in c.inputs], c.attrs)
        if kernel is None:
            from candle.errors import CaptureError

            raise CaptureError(f"cpu has no kernel for {c.op.name}; capture the graph again with target='cpu'")
        if not c.inputs and not c.op.multiple:  # a constant
            constants[c.results[0]] = kernel(out, **c.attrs)
            continue
        quantised = any(v is not None and specs[v].dtype.kind == "q" for v in (*c.inputs, *c.results))
        kind = -1 if quantised else _engine.kind(kernel)
        steps.append(Step(kind, kernel, out, tuple(c.inputs), dict(c.attrs), tuple(c.results)))

    parts: list[list[Step]] = []
    for s in steps:
        if parts and s.kind >= 0 and parts[-1][-1].kind >= 0:
            parts[-1].append(s)
        else:
            parts.append([s])
    ends = [o.value for o in graph.outputs]
    later: set[int] = set(ends)
    needed: list[set[int]] = []  # by what comes after each part
    for part in reversed(parts):
        needed.append(set(later))
        later |= {v for s in part for v in s.inputs if v is not None}
    needed.reverse()

    program: list[tuple[Any, Any, Any, Any, Any]] = []
    for part, after in zip(parts, needed):
        if part[0].kind < 0:
            (s,) = part
            program.append((s.kernel, s.out, s.inputs, s.attrs, s.results))
        else:
            wanted = [r for s in part for r in s.results if r in after]
            function, inputs = segment(part, specs, constants, wanted)
            program.append((function, None, inputs, None, wanted))
    names = [i.value for i in graph.inputs]
    if len(program) == 1 and program[0][3] is None and not set(ends) - set(program[0][4]):
        function, _, inputs, _, wanted = program[0]
        takes = [names.index(v) for v in inputs]
        gives = [wanted.index(v) for v in ends]
        straight = takes == list(range(len(names))) and gives == list(range(len(wanted)))

        def whole(*args: Any) -> tuple[Any, ...]:
            made = function(*[args[i] for i in takes])
            return tuple([made[i] for i in gives])

        return function if straight else whole

    uses: dict[int, int] = {}
    for at, (_, _, inputs, _, _) in enumerate(program):
        uses.update({v: at for v in inputs if v is not None})
    keep = {*ends, *constants}
    frees = [[v for v, at in uses.items() if at == n and v not in keep] for n in range(len(program))]

    def run(*args: Any) -> tuple[Any, ...]:
        env: dict[Any, Any] = dict(constants)
        env.update(zip(names, args))
        env[None] = None
        for (function, out, inputs, attrs, results), dead in zip(program, frees):
            if attrs is None:
                env.update(zip(results, function(*[env[v] for v in inputs])))
            else:
                made = function(out, *[env[v] for v in inputs], **attrs)
                env.update(zip(results, made) if len(results) > 1 else [(results[0], made)])
            for v in dead:
                env.pop(v, None)
        return tuple([env[e] for e in ends])

    return run
