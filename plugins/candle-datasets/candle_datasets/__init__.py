"""Datasets for candle: samples by number, batches of them, and well-known collections."""

from __future__ import annotations

from typing import Any

from . import transforms
from .dataset import ArrayDataset, Concatenated, Dataset, Mapped, Subset
from .loader import DataLoader, collate

__all__ = ["ArrayDataset", "Concatenated", "DataLoader", "Dataset", "Mapped", "Subset", "collate", "load", "transforms"]


def load(name: str, **options: Any) -> Any:
    """A dataset by the name under which a plugin offers it; raises CandleError, which names those there are."""
    from candle import CandleError, plugins

    factory = plugins.load("candle_datasets", name)
    if factory is None:
        known = ", ".join(sorted(plugins.offered("candle_datasets")))
        raise CandleError(f"no installed plugin offers a dataset called {name!r}; there are {known}")
    return factory(**options)
