"""The table of operators: by domain, name and the version from which a definition holds."""

from __future__ import annotations

import bisect
import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

__all__ = ["TABLE", "Operator", "find", "operator"]

Fn = TypeVar("Fn", bound=Callable[..., Any])


class Operator(NamedTuple):
    """A definition: ``fn(*inputs, **attributes)``, inputs by position (None where left out), attributes by keyword.

    A first parameter called ``ctx`` is given the ``Context`` of the run.  A parameter annotated ``Host`` gets NumPy's array of an
    input that decides shapes; ``Many`` (a ``*`` parameter) takes any number.
    """

    name: str
    domain: str
    since: int
    fn: Callable[..., Any]
    takes_context: bool
    host: tuple[bool, ...]  # by input
    many: bool
    attributes: frozenset[str]
    required: int


TABLE: dict[tuple[str, str], list[Operator]] = {}

Host = Any  # an input whose values must be known: NumPy's array of it


def operator(name: str, since: int = 1, domain: str = "") -> Callable[[Fn], Fn]:
    """Enter a definition into the table: it holds from version ``since`` of the domain on, until a later one does."""

    def enter(fn: Fn) -> Fn:
        parameters = list(inspect.signature(fn).parameters.values())
        context = bool(parameters) and parameters[0].name == "ctx"
        places = [p for p in parameters[int(context) :] if p.kind is not p.KEYWORD_ONLY]
        many = any(p.kind is p.VAR_POSITIONAL for p in places)
        fixed = [p for p in places if p.kind is not p.VAR_POSITIONAL]
        made = Operator(
            name, domain, since, fn, context, tuple([p.annotation == "Host" for p in places]), many,
            frozenset([p.name for p in parameters if p.kind is p.KEYWORD_ONLY]),
            sum(p.default is p.empty for p in fixed),
        )  # fmt: skip
        rows = TABLE.setdefault((domain, name), [])
        bisect.insort(rows, made, key=lambda o: o.since)
        return fn

    return enter


@functools.cache
def _load() -> None:
    import importlib
    import pkgutil

    from . import operators

    for module in pkgutil.iter_modules(operators.__path__):
        importlib.import_module(f"{operators.__name__}.{module.name}")


def find(domain: str, name: str, version: int) -> Operator | None:
    """The definition of an operator that holds in a version of its domain."""
    _load()
    rows = [o for o in TABLE.get((domain, name), ()) if o.since <= version]
    return rows[-1] if rows else None
