"""The random numbers of transforms: one generator per batch, so that they do not depend on who prepares it."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import numpy as np

__all__ = ["generator", "seeded"]

_current: contextvars.ContextVar[np.random.Generator | None] = contextvars.ContextVar("generator", default=None)


def generator() -> np.random.Generator:
    """The generator that transforms draw from: the batch's within a DataLoader, else one of this context's own."""
    found = _current.get()
    if found is None:
        found = np.random.default_rng()
        _current.set(found)
    return found


@contextlib.contextmanager
def seeded(*key: int) -> Iterator[np.random.Generator]:
    """Within it ``generator()`` is one made from these numbers."""
    made = np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
    token = _current.set(made)
    try:
        yield made
    finally:
        _current.reset(token)
