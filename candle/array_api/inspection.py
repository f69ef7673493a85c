"""The standard's inspection of a namespace: what it can do, its devices and dtypes."""

from __future__ import annotations

from typing import Any

from .. import dtype as dt
from ..device import get_default_device, names, resolve
from ..dtype import DType
from ..errors import CandleError
from .array import DTYPES, KINDS


class _Info:
    """What ``__array_namespace_info__`` gives."""

    def capabilities(self) -> dict[str, Any]:
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        return str(get_default_device())

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        resolve(device)
        real = dt.get_default_dtype()
        return {"real floating": real, "complex floating": dt.complex_of(real), "integral": dt.int64, "indexing": dt.int64}

    def dtypes(self, *, device: Any = None, kind: str | tuple[str, ...] | None = None) -> dict[str, DType]:
        """The standard's dtypes that a device stores, by name; only those of a kind, or of one of several."""
        wanted = tuple(KINDS) if kind is None else kind if isinstance(kind, tuple) else (kind,)
        unknown = [k for k in wanted if k not in KINDS]
        if unknown:
            raise ValueError(f"a kind is one of {', '.join(KINDS)} but {unknown[0]!r} was given")
        kinds = "".join([KINDS[k] for k in wanted])
        stored = resolve(device).dtypes
        return {d.name: d for d in DTYPES if d.kind in kinds and d in stored}

    def devices(self) -> tuple[str, ...]:
        """The devices that start here, the default one first."""
        found = [self.default_device()]
        for name in names():
            try:
                found.append(str(resolve(name).device))
            except CandleError:
                continue  # offered, but what it needs is not here; `candle devices` says what that is
        return tuple(dict.fromkeys(found))


def __array_namespace_info__() -> _Info:
    """What this namespace can do."""
    return _Info()


__all__ = ["__array_namespace_info__"]
