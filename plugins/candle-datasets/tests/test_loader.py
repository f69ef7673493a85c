"""Datasets and loaders: every sample once, the same whoever prepares it, and on from where one was."""

from __future__ import annotations

import numpy as np
import pytest
from candle_datasets import ArrayDataset, Concatenated, DataLoader, Dataset, collate, load
from candle_datasets.random import generator
from hypothesis import given, settings
from hypothesis import strategies as st

import candle
from candle import CandleError

N = 23
NUMBERS = ArrayDataset(np.arange(N), np.arange(N) * 10)


class Noisy(Dataset):
    """Numbers with noise, at module level so that another process can be given it."""

    def __len__(self):
        return N

    def __getitem__(self, index):
        return index, generator().random()


class Broken(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == 2:
            raise ValueError("the third is broken")
        return index


def numbers(loader):
    return [int(x) for batch in loader for x in np.asarray(batch[0])]


@given(n=st.integers(0, 40), size=st.integers(1, 9), shuffle=st.booleans(), drop=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_every_sample_comes_once_an_epoch(n, size, shuffle, drop, seed):
    loader = DataLoader(ArrayDataset(np.arange(n)), size, shuffle, drop_last=drop, seed=seed, device=False)
    batches = list(loader)
    assert len(batches) == len(loader) and all(len(b) == size for b in batches[:-1])
    found = np.concatenate(batches).tolist() if batches else []
    assert sorted(found) == sorted(set(found)) and len(found) == (n // size * size if drop else n)
    assert shuffle or found == list(range(len(found)))


def test_epochs_differ_and_seeds_repeat():
    a, b = (DataLoader(NUMBERS, 4, shuffle=True, seed=7, device="numpy") for _ in range(2))
    first, second = numbers(a), numbers(a)
    assert first != second and sorted(first) == sorted(second) == list(range(N))
    assert (numbers(b), numbers(b)) == (first, second)
    assert numbers(DataLoader(NUMBERS, 4, shuffle=True, seed=8, device="numpy")) != first


def test_a_loop_that_was_left_begins_another_epoch():
    a = DataLoader(NUMBERS, 4, shuffle=True, device="numpy")
    for _ in a:
        break
    assert sorted(numbers(a)) == list(range(N))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers):
    here, there = (DataLoader(Noisy(), 3, shuffle=True, seed=3, num_workers=w, device=False) for w in (0, workers))
    for _ in range(2):
        for (a, x), (b, y) in zip(here, there, strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("workers", [0, 2])
def test_going_on_in_the_midst_of_an_epoch(workers):
    whole = DataLoader(Noisy(), 3, shuffle=True, seed=5, num_workers=workers, device=False)
    batches = [[np.asarray(v).tolist() for v in b] for _ in range(2) for b in whole]
    begun = DataLoader(Noisy(), 3, shuffle=True, seed=5, num_workers=workers, device=False)
    got = []
    for batch in begun:
        got.append([np.asarray(v).tolist() for v in batch])
        if len(got) == 3:
            state = begun.state_dict()
            break
    again = DataLoader(Noisy(), 3, shuffle=True, num_workers=workers, device=False)
    again.load_state_dict(state)
    got += [[np.asarray(v).tolist() for v in b] for _ in range(2) for b in again]
    assert got == batches


def test_an_error_of_a_sample_arrives():
    for workers in (0, 1):
        with pytest.raises(ValueError, match="the third is broken"):
            list(DataLoader(Broken(), 1, num_workers=workers, device=False))


def test_batches_are_tensors_on_the_device_asked_for():
    x, y = next(iter(DataLoader(ArrayDataset(np.zeros((5, 2), np.float32), np.arange(5)), 2, device="numpy")))
    assert isinstance(x, candle.Tensor) and x.shape == (2, 2) and y.dtype is candle.int64 and str(x.device) == "numpy"


def test_collation_by_structure():
    from typing import NamedTuple

    class Pair(NamedTuple):
        a: float
        b: str

    made = collate([{"x": np.ones(2), "y": (1, Pair(0.5, "one"))}, {"x": np.zeros(2), "y": (2, Pair(1.5, "two"))}])
    assert made["x"].shape == (2, 2) and made["y"][0].tolist() == [1, 2]
    assert made["y"][1].a.tolist() == [0.5, 1.5] and made["y"][1].b == ["one", "two"]
    with pytest.raises(CandleError, match=r"one shape but there are \(2,\), \(3,\)"):
        collate([np.ones(2), np.ones(3)])


def test_parts_maps_and_sums():
    a, b = NUMBERS.split(0.75, 0.25, seed=1)
    assert len(a) + len(b) == N and sorted([int(x) for x, _ in a] + [int(x) for x, _ in b]) == list(range(N))
    assert [int(x) for x, _ in NUMBERS.split(5, 3, seed=None)[1]] == [5, 6, 7]
    both = NUMBERS.map(lambda x, y: (x + 1, y)) + a
    assert isinstance(both, Concatenated) and len(both) == N + len(a) and both[N] == a[0] and both[0] == (1, 0)
    assert numbers(DataLoader(a, 4, device="numpy")) == [int(x) for x, _ in a]
    assert int(both[-1][0]) == int(a[-1][0])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: NUMBERS.split(0.9, 0.2), "add up to at most"),
        (lambda: NUMBERS.subset([N]), "from 0 to 22"),
        (lambda: ArrayDataset(np.ones(2), np.ones(3)), "one length but 2, 3"),
        (lambda: DataLoader(NUMBERS, 0), "at least 1"),
        (lambda: DataLoader(NUMBERS, shuffle=True, sampler=[1]), "one of shuffle"),
        (lambda: load("minst"), "called 'minst'; there are .*mnist"),
    ],
)
def test_bad_requests(make, text):
    with pytest.raises(CandleError, match=text):
        make()
    with pytest.raises(IndexError, match="from -23 to 22"):
        NUMBERS[N]
