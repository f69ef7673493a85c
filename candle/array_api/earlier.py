"""The namespaces of the standard's versions: those before 2025.12 give lists where it gives tuples."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any, Callable

VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12", "2025.12")


def namespace(version: str | None = None) -> Any:
    """The namespace of a version, by default of the newest; raises ValueError for a version that is not here."""
    from .. import array_api

    if version in (None, VERSIONS[-1]):
        return array_api
    if version not in VERSIONS:
        raise ValueError(f"the versions of the standard here are {', '.join(VERSIONS)} but {version!r} was asked for")
    return _earlier(version)


@functools.cache
def _earlier(version: str) -> ModuleType:
    from .. import array_api

    made = ModuleType(f"{array_api.__name__} ({version})", f"The standard's version {version} over candle.")
    vars(made).update({name: getattr(array_api, name) for name in array_api.__all__})
    made.__array_api_version__ = version  # type: ignore[attr-defined]
    for name in ("broadcast_arrays", "meshgrid"):
        setattr(made, name, _listed(getattr(array_api, name)))

    def __array_namespace_info__() -> Any:
        info = array_api.__array_namespace_info__()
        info.devices = _listed(info.devices)
        return info

    made.__array_namespace_info__ = __array_namespace_info__  # type: ignore[attr-defined]
    return made


def _listed(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def listed(*args: Any, **kwargs: Any) -> list[Any]:
        return list(function(*args, **kwargs))

    return listed
