"""What a dataset is: samples by number; and those made of others."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from candle import CandleError

__all__ = ["ArrayDataset", "Concatenated", "Dataset", "Mapped", "Subset"]


class Dataset:
    """Samples by number.  A subclass defines ``__len__`` and ``__getitem__``.

    Where many samples can be had at once more cheaply, it also defines ``batch(indices)``, which gives them stacked.
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not say how many samples it has; define __len__")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no samples; define __getitem__")

    def __iter__(self) -> Iterator[Any]:
        for at in range(len(self)):
            yield self[at]

    def __add__(self, other: Dataset) -> Concatenated:
        return Concatenated([self, other])

    def map(self, function: Callable[..., Any]) -> Mapped:
        """The dataset whose samples are ``function(*sample)``, or ``function(sample)`` where samples are not tuples."""
        return Mapped(self, function)

    def subset(self, indices: Sequence[int] | np.ndarray[Any, Any]) -> Subset:
        """The samples of these numbers, in this order."""
        return Subset(self, indices)

    def split(self, *parts: float, seed: int | None = 0) -> list[Subset]:
        """Cut into parts, each a number of samples or a fraction; shuffled by ``seed``, or in order where that is None.

        Fractions that add up to 1 leave nothing out.  Raises CandleError where the parts are more than there is.
        """
        n = len(self)
        ends = np.cumsum([p * n if isinstance(p, float) else p for p in parts])
        if not parts or min(parts) < 0 or ends[-1] > n + 1e-6:
            raise CandleError(f"parts of {n} samples add up to at most that (fractions: to 1) but {parts} were asked for")
        order = np.arange(n) if seed is None else np.random.default_rng(seed).permutation(n)
        cuts = [0, *np.rint(ends).astype(int).tolist()]
        return [Subset(self, order[a:b]) for a, b in itertools.pairwise(cuts)]


def _within(index: int, n: int) -> int:
    at = int(index)
    if not -n <= at < n:
        raise IndexError(f"a sample's number is from {-n} to {n - 1} but {at} was given")
    return at % n


class ArrayDataset(Dataset):
    """Arrays (or tensors) of equal length: sample i is their rows i, a tuple where there are several.

    ``transform(row)`` changes the first of a sample's rows.
    """

    def __init__(self, *arrays: Any, transform: Callable[[Any], Any] | None = None) -> None:
        if not arrays:
            raise CandleError("ArrayDataset takes at least one array")
        self.arrays = tuple([np.asarray(a) for a in arrays])
        lengths = {len(a) for a in self.arrays}
        if len(lengths) > 1:
            raise CandleError(
                f"ArrayDataset's arrays have one length but {', '.join(str(len(a)) for a in self.arrays)} were given"
            )
        self.transform = transform

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: int) -> Any:
        at = _within(index, len(self))
        first, *rest = [a[at] for a in self.arrays]
        first = first if self.transform is None else self.transform(first)
        return (first, *rest) if rest else first

    def batch(self, indices: np.ndarray[Any, Any]) -> Any:
        """The rows of these numbers, stacked."""
        first, *rest = [a[indices] for a in self.arrays]
        if self.transform is not None:
            first = np.stack([np.asarray(self.transform(x)) for x in first])
        return (first, *rest) if rest else first


class Mapped(Dataset):
    """A dataset seen through a function."""

    def __init__(self, dataset: Dataset, function: Callable[..., Any]) -> None:
        self.dataset, self.function = dataset, function

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        sample = self.dataset[index]
        return self.function(*sample) if isinstance(sample, tuple) else self.function(sample)


class Subset(Dataset):
    """Some samples of a dataset."""

    def __init__(self, dataset: Dataset, indices: Sequence[int] | np.ndarray[Any, Any]) -> None:
        self.dataset, self.indices = dataset, np.asarray(indices, np.int64).reshape(-1)
        if self.indices.size and not 0 <= self.indices.min() <= self.indices.max() < len(dataset):
            raise CandleError(
                f"a subset's indices are from 0 to {len(dataset) - 1} but lie between {self.indices.min()} and "
                f"{self.indices.max()}"
            )

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[_within(index, len(self))])]

    def batch(self, indices: np.ndarray[Any, Any]) -> Any:
        """The samples of these numbers, stacked; None where the dataset beneath gives them one by one only."""
        beneath = getattr(self.dataset, "batch", None)
        return None if beneath is None else beneath(self.indices[indices])


class Concatenated(Dataset):
    """Datasets one after another."""

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self.datasets = list(datasets)
        self.ends = np.cumsum([len(d) for d in self.datasets]).tolist()

    def __len__(self) -> int:
        return int(self.ends[-1]) if self.ends else 0

    def __getitem__(self, index: int) -> Any:
        at = _within(index, len(self))
        which = bisect.bisect_right(self.ends, at)
        return self.datasets[which][at - (self.ends[which - 1] if which else 0)]
