"""Batches of a dataset, in order or shuffled, prepared here or by other processes."""

from __future__ import annotations

import collections
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np

import candle
from candle import CandleError

from .random import seeded

__all__ = ["DataLoader", "collate"]


def collate(samples: Sequence[Any]) -> Any:
    """Samples as one batch: arrays, tensors and numbers are stacked, tuples and dictionaries by member, the rest listed.

    Raises CandleError where arrays differ in shape.
    """
    first = samples[0]
    if isinstance(first, candle.Tensor) or hasattr(first, "__array__") or isinstance(first, (bool, int, float, np.generic)):
        arrays = [np.asarray(s) for s in samples]
        shapes = {a.shape for a in arrays}
        if len(shapes) > 1:
            raise CandleError(
                f"samples of a batch have one shape but there are {', '.join(map(str, sorted(shapes)))}; "
                "bring them to one in a transform, or pass collate_fn"
            )
        return np.stack(arrays)
    if isinstance(first, Mapping):
        return {k: collate([s[k] for s in samples]) for k in first}
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*[collate(list(column)) for column in zip(*samples)])
    if isinstance(first, (tuple, list)):
        return tuple([collate(list(column)) for column in zip(*samples)])
    return list(samples)


def _batch(dataset: Any, indices: np.ndarray[Any, Any], key: tuple[int, ...], collate_fn: Callable[..., Any] | None) -> Any:
    with seeded(*key):
        whole = getattr(dataset, "batch", None)
        if whole is not None and collate_fn is None:
            made = whole(indices)
            if made is not None:
                return made
        return (collate_fn or collate)([dataset[int(i)] for i in indices])


_theirs: dict[str, Any] = {}  # in a worker: what it was given at its start


def _begin(dataset: Any, collate_fn: Any) -> None:
    _theirs.update(dataset=dataset, collate_fn=collate_fn)


def _work(indices: np.ndarray[Any, Any], key: tuple[int, ...]) -> Any:
    return _batch(_theirs["dataset"], indices, key, _theirs["collate_fn"])


class DataLoader:
    """Batches of a dataset as candle tensors, in PyTorch's manner.

    ``shuffle`` draws another order in every epoch from ``seed``; the order, and what random transforms draw, depend on ``seed``,
    epoch and batch only, not on ``num_workers``, the number of processes that prepare batches (0: this one).  ``sampler`` gives
    the numbers of the samples instead.  ``state_dict`` says where one is, in the midst of an epoch too, and
    ``load_state_dict`` goes on from there.  Batches are on ``device`` (the default one where None); ``device=False`` leaves
    NumPy's arrays as they are.  ``collate_fn(samples)`` replaces ``collate``.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Iterable[int] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        drop_last: bool = False,
        seed: int = 0,
        prefetch_factor: int = 2,
        device: Any = None,
    ) -> None:
        if batch_size < 1 or num_workers < 0 or prefetch_factor < 1:
            raise CandleError(
                f"a DataLoader's batch_size and prefetch_factor are at least 1 and its num_workers at least 0 but {batch_size}, "
                f"{prefetch_factor} and {num_workers} were given"
            )
        if shuffle and sampler is not None:
            raise CandleError("a DataLoader shuffles or follows a sampler; pass one of shuffle=True and sampler=...")
        self.dataset, self.batch_size, self.shuffle, self.sampler = dataset, batch_size, shuffle, sampler
        self.num_workers, self.collate_fn, self.drop_last, self.seed = num_workers, collate_fn, drop_last, seed
        self.prefetch_factor, self.device = prefetch_factor, device
        self.epoch = 0
        self._done = 0  # batches of this epoch that were handed out
        self._afresh = True  # the next iteration goes on from there; else the last one was left, and another epoch begins

    def __len__(self) -> int:
        n = len(self.dataset) if self.sampler is None else len(self.sampler)  # type: ignore[arg-type]
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def _order(self) -> np.ndarray[Any, Any]:
        if self.sampler is not None:
            return np.fromiter(self.sampler, np.int64)
        n = len(self.dataset)
        if not self.shuffle:
            return np.arange(n)
        with seeded(self.seed, self.epoch) as rng:
            return rng.permutation(n)

    def __iter__(self) -> Iterator[Any]:
        if not self._afresh:
            self.epoch, self._done = self.epoch + 1, 0
        self._afresh = False
        order = self._order()
        count = len(order) // self.batch_size if self.drop_last else -(-len(order) // self.batch_size)
        jobs = [
            (order[at * self.batch_size : (at + 1) * self.batch_size], (self.seed, self.epoch, at + 1))
            for at in range(self._done, count)
        ]
        made = self._here(jobs) if self.num_workers == 0 else self._elsewhere(jobs)
        for batch in made:
            self._done += 1
            yield batch if self.device is False else self._placed(batch)
        self.epoch, self._done, self._afresh = self.epoch + 1, 0, True

    def _here(self, jobs: list[Any]) -> Iterator[Any]:
        for indices, key in jobs:
            yield _batch(self.dataset, indices, key, self.collate_fn)

    def _elsewhere(self, jobs: list[Any]) -> Iterator[Any]:
        """Batches in order, a few of them under way in other processes."""
        method = "fork" if "fork" in multiprocessing.get_all_start_methods() else None
        pool = ProcessPoolExecutor(
            self.num_workers, multiprocessing.get_context(method), initializer=_begin, initargs=(self.dataset, self.collate_fn)
        )
        waiting: collections.deque[Future[Any]] = collections.deque()
        rest = iter(jobs)
        try:
            for indices, key in rest:
                waiting.append(pool.submit(_work, indices, key))
                if len(waiting) == self.num_workers * self.prefetch_factor:
                    break
            while waiting:
                yield waiting.popleft().result()
                for indices, key in rest:
                    waiting.append(pool.submit(_work, indices, key))
                    break
        except BrokenProcessPool as e:
            raise CandleError(
                "a worker of the DataLoader died (out of memory, or killed); try fewer workers, or num_workers=0 to see the error"
            ) from e
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _placed(self, batch: Any) -> Any:
        if isinstance(batch, np.ndarray) and batch.dtype.kind not in "OSU":
            return candle.tensor(batch, device=self.device)
        if isinstance(batch, Mapping):
            return {k: self._placed(v) for k, v in batch.items()}
        if isinstance(batch, tuple):
            members = [self._placed(v) for v in batch]
            return type(batch)(*members) if hasattr(batch, "_fields") else tuple(members)
        return batch

    def state_dict(self) -> dict[str, int]:
        """Where one is: the epoch, the batches of it that were handed out, and the seed."""
        return {"seed": self.seed, "epoch": self.epoch, "batch": self._done}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on where ``state_dict`` was called: the next iteration begins with the batch after."""
        self.seed, self.epoch, self._done = int(state["seed"]), int(state["epoch"]), int(state["batch"])
        self._afresh = True
