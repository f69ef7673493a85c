"""Graphs whose shapes have named sizes: one capture for every batch and length.

A function is captured at several sizes; each integer of the graphs that changes with them is fitted by a polynomial in the
named sizes, and the fit is checked at sizes that were not used for it.  Whatever does not fit is refused, never baked in.
"""

from __future__ import annotations

import itertools
import json
import os
from fractions import Fraction
from typing import Any, Callable, Iterator, Mapping, NamedTuple, Sequence

from .errors import CaptureError, FormatError, ShapeError
from .graph import Call, Graph, Input, Output, capture
from .op import Spec
from .tensor import Tensor

__all__ = ["Polynomial", "SymbolicGraph", "capture_symbolic"]

_MOST = 3  # named sizes: each multiplies the number of captures
_SIZES = ((5, 8, 13), (7, 11, 17), (9, 14, 19))  # where they are probed
_CHECKS = ((6, 10, 15), (16, 9, 11), (3, 4, 23), (131, 97, 211))


class Polynomial(NamedTuple):
    """A sum of ``coefficient * a**i * b**j ...`` over named sizes."""

    symbols: tuple[str, ...]
    terms: tuple[tuple[Fraction, tuple[int, ...]], ...]

    def __call__(self, sizes: Mapping[str, int]) -> int:
        total = Fraction(0)
        for c, powers in self.terms:
            for s, p in zip(self.symbols, powers):
                c = c * sizes[s] ** p
            total += c
        if total.denominator != 1:
            raise ShapeError(f"{self} is no integer for {dict(sizes)}")
        return int(total)

    def __str__(self) -> str:
        parts = []
        for c, powers in self.terms:
            names = [s if p == 1 else f"{s}^{p}" for s, p in zip(self.symbols, powers) if p]
            parts.append("*".join([*([str(c)] if c != 1 or not names else []), *names]))
        return " + ".join(parts) or "0"


def _walk(value: Any, ints: list[int]) -> Any:
    """A nest with its integers taken out (and listed), as a comparable skeleton."""
    if isinstance(value, int) and not isinstance(value, bool):
        ints.append(value)
        return "#"
    if isinstance(value, (tuple, list)):
        return tuple([_walk(v, ints) for v in value])
    if isinstance(value, dict):
        return tuple([(k, _walk(v, ints)) for k, v in value.items()])
    return value.__class__, str(value)


def _skeleton(graph: Graph) -> tuple[Any, list[int]]:
    ints: list[int] = []
    rows: list[Any] = []
    for i in graph.inputs:
        rows.append((i.name, i.value, i.state, str(i.spec.dtype), _walk(i.spec.shape, ints)))
    for v, t in graph.constants.items():
        rows.append((v, str(t.spec), t.numpy().tobytes()))
    for c in graph.calls:
        rows.append(
            (c.op.name, c.inputs, c.results, _walk(c.attrs, ints), [(str(o.dtype), _walk(o.shape, ints)) for o in c.outs])
        )
    for o in graph.outputs:
        rows.append((o.name, o.value, o.target, str(o.spec.dtype), _walk(o.spec.shape, ints)))
    return rows, ints


def _replace(value: Any, ints: Iterator[Any]) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return next(ints)
    if isinstance(value, tuple):
        return tuple([_replace(v, ints) for v in value])
    if isinstance(value, dict):
        return {k: _replace(v, ints) for k, v in value.items()}
    return value


def _rebuilt(graph: Graph, ints: Iterator[Any]) -> Graph:
    """The graph with other integers in the places that ``_skeleton`` lists."""

    def spec(s: Spec) -> Spec:
        return Spec(_replace(s.shape, ints), s.dtype)

    inputs = [Input(i.name, i.value, spec(i.spec), i.state) for i in graph.inputs]
    calls = []
    for c in graph.calls:
        attrs = _replace(c.attrs, ints)
        calls.append(Call(c.op, c.inputs, attrs, tuple([spec(o) for o in c.outs]), c.results))
    outputs = [Output(o.name, o.value, spec(o.spec), o.target) for o in graph.outputs]
    return Graph(graph.name, inputs, graph.constants, calls, outputs, graph.states, graph.tree)


def _solve(matrix: list[list[Fraction]], values: Sequence[int]) -> list[Fraction] | None:
    """The solution of a square system, exactly."""
    rows = [[*row, Fraction(v)] for row, v in zip(matrix, values)]
    n = len(rows)
    for k in range(n):
        pivot = next((r for r in range(k, n) if rows[r][k]), None)
        if pivot is None:
            return None
        rows[k], rows[pivot] = rows[pivot], rows[k]
        rows[k] = [v / rows[k][k] for v in rows[k]]
        for r in range(n):
            if r != k and rows[r][k]:
                rows[r] = [a - rows[r][k] * b for a, b in zip(rows[r], rows[k])]
    return [row[-1] for row in rows]


class SymbolicGraph:
    """A graph with named sizes.  Calling it takes them from the arguments' shapes; ``bind`` gives the graph for some."""

    def __init__(self, graph: Graph, symbols: Sequence[str], places: Mapping[int, Polynomial], ints: Sequence[int]) -> None:
        self.template, self.symbols = graph, tuple(symbols)
        self.places, self.ints = dict(places), list(ints)
        self._bound: dict[tuple[int, ...], Graph] = {}
        self.shown = _rebuilt(graph, iter([str(self.places[n]) if n in self.places else v for n, v in enumerate(self.ints)]))

    @property
    def name(self) -> str:
        return self.template.name

    @property
    def inputs(self) -> list[Input]:
        """The inputs, with names where sizes are symbolic."""
        return self.shown.inputs

    @property
    def states(self) -> dict[str, Tensor]:
        return self.template.states

    def bind(self, **sizes: int) -> Graph:
        """The graph for some sizes; raises ShapeError where they do not fit it."""
        if set(sizes) != set(self.symbols):
            raise ShapeError(
                f"{self.name} has the named sizes {', '.join(self.symbols)} but was given {', '.join(sizes) or 'none'}"
            )
        key = tuple([int(sizes[s]) for s in self.symbols])
        found = self._bound.get(key)
        if found is None:
            ints = [self.places[n](sizes) if n in self.places else v for n, v in enumerate(self.ints)]
            if any(n in self.places and ints[n] < 0 <= self.ints[n] for n in range(len(ints))):
                raise ShapeError(f"{self.name} does not admit {dict(sizes)}: a size would be negative")
            found = _rebuilt(self.template, iter(ints))
            specs = found._specs()
            for c in found.calls:
                made = c.op.infer(
                    [None if v is None else specs[v] for v in c.inputs],
                    c.op.complete([None if v is None else specs[v] for v in c.inputs], c.attrs),
                )
                if made != c.outs:
                    raise ShapeError(
                        f"{self.name} does not hold for {dict(sizes)}: {c.op.name} would give {made[0]}, not {c.outs[0]}"
                    )
            if len(self._bound) > 256:
                self._bound.clear()
            self._bound[key] = found
        return found

    def sizes(self, specs: Sequence[Spec]) -> dict[str, int]:
        """The named sizes of some arguments."""
        found: dict[str, int] = {}
        wanted = [i for i in self.inputs if not i.state]
        if len(specs) != len(wanted):
            raise CaptureError(
                f"{self.name} takes {len(wanted)} arguments ({', '.join(i.name for i in wanted)}) but was given {len(specs)}"
            )
        for i, s in zip(wanted, specs):
            if len(s.shape) != len(i.spec.shape):
                raise ShapeError(f"{self.name} takes {i.name}: {i.spec} but was given {s}")
            for have, want in zip(s.shape, i.spec.shape):
                if isinstance(want, str):
                    if found.setdefault(want, have) != have:
                        raise ShapeError(f"{self.name} takes one size as {want} but was given {found[want]} and {have}")
                elif want != have:
                    raise ShapeError(f"{self.name} takes {i.name}: {i.spec} but was given {s}")
        return found

    def __call__(self, *args: Any, **states: Any) -> Any:
        from .create import as_tensor

        tensors = [as_tensor(a) for a in args]
        return self.bind(**self.sizes([t.spec for t in tensors]))(*tensors, **states)

    def lower(self, target: Any) -> SymbolicGraph:
        """The same graph in ops that a backend has kernels for; see ``Graph.lower``."""
        return _fitted(lambda sizes: self.bind(**sizes).lower(target, fold=False), self.symbols)

    def __str__(self) -> str:
        return str(self.shown)

    def __repr__(self) -> str:
        return f"<graph {self.name} with sizes {', '.join(self.symbols)}: {len(self.template.calls)} calls>"

    def save(self, path: str | os.PathLike[str], states: bool = True) -> None:
        """Write ``path.json``, ``path.safetensors`` and ``path.sizes.json``."""
        self.template.save(path, states)
        stem = os.fspath(path).removesuffix(".json")
        places = {str(n): [[str(c), list(p)] for c, p in poly.terms] for n, poly in self.places.items()}
        with open(stem + ".sizes.json", "w", encoding="utf-8") as f:
            json.dump({"format": "candle-sizes", "version": 1, "symbols": list(self.symbols), "places": places}, f)

    @staticmethod
    def load(path: str | os.PathLike[str], device: Any = None) -> SymbolicGraph:
        """Read what ``save`` wrote; raises FormatError where it is not that."""
        graph = Graph.load(path, device)
        stem = os.fspath(path).removesuffix(".json")
        try:
            with open(stem + ".sizes.json", encoding="utf-8") as f:
                d = json.load(f)
            symbols = tuple([str(s) for s in d["symbols"]])
            places = {
                int(n): Polynomial(symbols, tuple([(Fraction(c), tuple([int(x) for x in p])) for c, p in terms]))
                for n, terms in d["places"].items()
            }
        except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as e:
            raise FormatError(f"{stem}.sizes.json does not say the sizes of a graph: {e}") from None
        _, ints = _skeleton(graph)
        if any(n >= len(ints) for n in places) or any(len(p) != len(symbols) for poly in places.values() for _, p in poly.terms):
            raise FormatError(f"{stem}.sizes.json does not belong to {stem}.json")
        return SymbolicGraph(graph, symbols, places, ints)


def _symbols(args: Any) -> list[str]:
    found: list[str] = []

    def visit(a: Any) -> None:
        if isinstance(a, Spec):
            found.extend([str(n) for n in a.shape if isinstance(n, str) and n not in found])
        elif isinstance(a, (tuple, list)):
            for v in a:
                visit(v)
        elif isinstance(a, dict):
            for v in a.values():
                visit(v)

    visit(args)
    return found


def _concrete(a: Any, sizes: Mapping[str, int]) -> Any:
    if isinstance(a, Spec):
        return Spec([sizes[n] if isinstance(n, str) else n for n in a.shape], a.dtype)
    if isinstance(a, (tuple, list)):
        return type(a)([_concrete(v, sizes) for v in a])
    if isinstance(a, dict):
        return {k: _concrete(v, sizes) for k, v in a.items()}
    return a


def capture_symbolic(fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> SymbolicGraph:
    """Capture a function whose Specs have names among their sizes; see ``capture``.

    Raises CaptureError where the program itself depends on a named size, or an integer of it by no polynomial of degree 2.
    """
    symbols = _symbols([list(args), dict(kwargs)])
    if len(symbols) > _MOST:
        raise CaptureError(f"at most {_MOST} sizes can be named but {', '.join(symbols)} were given")
    return _fitted(
        lambda sizes: capture(fn, *_concrete(list(args), sizes), fold=False, **_concrete(dict(kwargs), sizes)), symbols
    )


def _fitted(at_sizes: Callable[[Mapping[str, int]], Graph], symbols: Sequence[str]) -> SymbolicGraph:
    """One graph out of those for particular sizes."""

    def probe(point: Sequence[int]) -> tuple[Graph, Any, list[int]]:
        graph = at_sizes(dict(zip(symbols, point)))
        return (graph, *_skeleton(graph))

    base = [s[0] for s in _SIZES[: len(symbols)]]
    graph, skeleton, ints = probe(base)

    def same(point: Sequence[int]) -> list[int]:
        _, other, found = probe(point)
        if other != skeleton:
            at = next((n for n, (a, b) in enumerate(zip(skeleton, other)) if a != b), min(len(skeleton), len(other)))
            what = skeleton[at][0] if at < len(skeleton) else "the end"
            raise CaptureError(
                f"{graph.name} does something else for {dict(zip(symbols, point))} than for {dict(zip(symbols, base))} "
                f"(at {what}), so these sizes cannot stay named; capture it for each size"
            )
        return found

    checks = [(p, same(p)) for p in (c[: len(symbols)] for c in _CHECKS)]
    for degree in (1, 2):
        points = list(itertools.product(*[_SIZES[k][: degree + 1] for k in range(len(symbols))]))
        powers = list(itertools.product(range(degree + 1), repeat=len(symbols)))
        samples = [ints if list(p) == base else same(p) for p in points]
        matrix = [[_power(p, e) for e in powers] for p in points]
        places: dict[int, Polynomial] = {}
        fits = True
        for n, first in enumerate(ints):
            values = [s[n] for s in samples]
            if all(v == first for v in values) and all(found[n] == first for _, found in checks):
                continue
            solved = _solve(matrix, values)
            if solved is None:
                fits = False
                break
            poly = Polynomial(tuple(symbols), tuple([(c, e) for c, e in zip(solved, powers) if c]))
            if any(_value(poly, symbols, p) != found[n] for p, found in checks):
                fits = False
                break
            places[n] = poly
        if fits:
            return SymbolicGraph(graph, symbols, places, ints)
    raise CaptureError(f"{graph.name} has a size that is no polynomial of {', '.join(symbols)}; capture it for each size")


def _power(point: Sequence[int], powers: Sequence[int]) -> Fraction:
    total = Fraction(1)
    for v, e in zip(point, powers):
        total *= v**e
    return total


def _value(poly: Polynomial, symbols: Sequence[str], point: Sequence[int]) -> int | None:
    try:
        return poly(dict(zip(symbols, point)))
    except ShapeError:
        return None
