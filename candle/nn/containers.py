"""Modules that hold modules or parameters."""

from __future__ import annotations

import operator
from typing import Any, Iterable, Iterator, Mapping

from ..errors import DimError
from ..tensor import Tensor
from .module import Module, Parameter

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]


class _Listed(Module):
    """Submodules (or parameters) under the names "0", "1", ..."""

    _held = "_modules"

    def _items(self) -> dict[str, Any]:
        return getattr(self, self._held)

    def _wrapped(self, x: Any) -> Any:
        return x

    def _at(self, at: Any) -> str:
        n, i = len(self), operator.index(at)
        if not -n <= i < n:
            raise DimError(f"{type(self).__name__} has {n} elements but index {i} was given")
        return list(self._items())[i]

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._items().values()))

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return self._of(list(self._items().values())[at])
        return self._items()[self._at(at)]

    def _of(self, xs: list[Any]) -> Any:
        made: Any = type(self)
        return made(xs)

    def __setitem__(self, at: Any, x: Any) -> None:
        setattr(self, self._at(at), self._wrapped(x))

    def __delitem__(self, at: Any) -> None:
        names = list(self._items())[at] if isinstance(at, slice) else [self._at(at)]
        kept = [x for name, x in self._items().items() if name not in names]
        self._replace(kept)

    def _replace(self, xs: Iterable[Any]) -> None:
        self._items().clear()
        self._items().update({str(i): x for i, x in enumerate(xs)})

    def append(self, x: Any) -> Any:
        """Add one at the end."""
        setattr(self, str(len(self)), self._wrapped(x))
        return self

    def extend(self, xs: Iterable[Any]) -> Any:
        """Add several at the end."""
        for x in list(xs):
            self.append(x)
        return self

    def insert(self, at: int, x: Any) -> Any:
        """Put one before another."""
        kept = list(self)
        kept.insert(at, self._wrapped(x))
        self._replace(kept)
        return self

    def pop(self, at: int = -1) -> Any:
        """Take one out."""
        x = self[at]
        del self[at]
        return x

    def __iadd__(self, xs: Iterable[Any]) -> Any:
        return self.extend(xs)

    def __add__(self, xs: Iterable[Any]) -> Any:
        return self._of([*self, *xs])


class Sequential(_Listed):
    """Modules called one after the other, given one by one or as a dict of names."""

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], dict):
            for name, m in modules[0].items():
                self.add_module(name, m)
        else:
            for i, m in enumerate(modules):
                self.add_module(str(i), m)

    def _of(self, xs: list[Any]) -> Any:
        return type(self)(*xs)

    def forward(self, x: Any) -> Any:
        for m in self._modules.values():
            x = m(x)  # type: ignore[misc]
        return x


class ModuleList(_Listed):
    """A list of modules."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)


class ParameterList(_Listed):
    """A list of parameters; tensors become parameters."""

    _held = "_parameters"

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__()
        self.extend(values)

    def _wrapped(self, x: Any) -> Any:
        return x if isinstance(x, Parameter) else Parameter(x)

    def extra_repr(self) -> str:
        return ", ".join(str(p.spec) for p in self)


class _Keyed(Module):
    _held = "_modules"

    def _items(self) -> dict[str, Any]:
        return getattr(self, self._held)

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._items()))

    def __contains__(self, key: str) -> bool:
        return key in self._items()

    def __getitem__(self, key: str) -> Any:
        return self._items()[key]

    def __delitem__(self, key: str) -> None:
        del self._items()[key]

    def keys(self) -> Any:
        return self._items().keys()

    def values(self) -> Any:
        return self._items().values()

    def items(self) -> Any:
        return self._items().items()

    def get(self, key: str, default: Any = None) -> Any:
        return self._items().get(key, default)

    def pop(self, key: str) -> Any:
        """Take one out."""
        return self._items().pop(key)

    def clear(self) -> None:
        self._items().clear()

    def update(self, given: Any) -> None:
        """Take in the pairs of a mapping."""
        for key, x in given.items() if isinstance(given, (Mapping, _Keyed)) else given:
            self[key] = x

    def __setitem__(self, key: str, x: Any) -> None:
        self.add_module(key, x)


class ModuleDict(_Keyed):
    """A dict of modules."""

    def __init__(self, modules: Any = ()) -> None:
        super().__init__()
        self.update(modules)


class ParameterDict(_Keyed):
    """A dict of parameters; tensors become parameters."""

    _held = "_parameters"

    def __init__(self, values: Any = ()) -> None:
        super().__init__()
        self.update(values)

    def __setitem__(self, key: str, x: Tensor) -> None:
        self.register_parameter(key, x if isinstance(x, Parameter) else Parameter(x))

    def extra_repr(self) -> str:
        return ", ".join(f"{k}: {p.spec}" for k, p in self.items())
