"""Random numbers: the generator's published vectors, what every draw promises, distributions, and states."""

from __future__ import annotations

import math

import numpy as np
import pytest

import candle
from candle.backend import Backend
from candle.errors import DTypeError, ShapeError
from candle.graph import capture
from candle.op import OPS
from candle.ops.random import philox

FLOATS = ["float16", "bfloat16", "float32", "float64"]

# The known answers of the paper's own implementation (Random123), for 10 rounds.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text):
    return [int(w, 16) for w in text.split()]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(counter, key, answer):
    found = philox([np.array([w], np.uint64) for w in words(counter)], words(key))
    assert [int(w[0]) for w in found] == words(answer)


class Required(Backend):
    """The reference with no more than the required kernels, so that all else expands."""

    name = "required"

    def __init__(self):
        base = candle.tensor(0, device="numpy").backend.kernels
        self.kernels = {k: v for k, v in base.items() if OPS[k].required or k == "sort"}


def state(seed, offset=0, device="numpy"):
    return candle.tensor(np.array([seed, offset], np.int64), device=device)


def bits(seed, offset, shape, device="numpy"):
    return OPS["random_bits"](state(seed, offset, device), shape=shape)


@pytest.mark.parametrize("device", ["numpy", Required()], ids=["numpy", "required"])
def test_bits_are_words_of_numbered_blocks(device):
    seed, offset = 0x299F31D0A4093822, 5
    got = bits(seed, offset, (7,), device)
    assert got.dtype is candle.uint32
    blocks = [philox([np.array([w], np.uint64) for w in (at, 0, 0, 0)], [seed & 0xFFFFFFFF, seed >> 32]) for at in (5, 6)]
    assert got.tolist() == [int(w[0]) for b in blocks for w in b][:7]
    assert bits(0, 0, (4,), device).tolist() == words(KNOWN[0][2])
    high = bits(seed, 2**32 + 1, (4,), device)  # the counter's second word
    want = philox([np.array([w], np.uint64) for w in (1, 1, 0, 0)], [seed & 0xFFFFFFFF, seed >> 32])
    assert high.tolist() == [int(w[0]) for w in want]


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (4,), (5,), (2, 3), (3, 0, 2), (1, 2, 1, 3, 2), (1025,)])
def test_expansions_give_the_same_bits(shape):
    device = Required()
    for seed, offset in ((0, 0), (-1, 3), (2**62 + 12345, 2**33)):
        np.testing.assert_array_equal(bits(seed, offset, shape, device).numpy(), bits(seed, offset, shape).numpy())
        for name in ("random_uniform", "random_normal", "random_exponential", "random_gumbel"):
            for dtype in FLOATS:
                a, b = (OPS[name](state(seed, offset, d), shape=shape, dtype=dtype) for d in (device, "numpy"))
                np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=f"{name} {dtype}")
        a, b = (OPS["random_integers"](state(seed, offset, d), low=-3, high=2**40, shape=shape) for d in (device, "numpy"))
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_draw_does_not_depend_on_its_shape():
    flat = bits(7, 0, (24,)).numpy()
    np.testing.assert_array_equal(bits(7, 0, (2, 3, 4)).numpy(), flat.reshape(2, 3, 4))
    np.testing.assert_array_equal(bits(7, 0, (5,)).numpy(), flat[:5])
    np.testing.assert_array_equal(bits(7, 2, (16,)).numpy(), flat[8:])


# -- distributions ---------------------------------------------------------------------------------

N = 60_000


def test_means_and_variances():
    candle.manual_seed(1)
    drawn = {
        "uniform": (candle.rand(N), 0.5, 1 / 12),
        "normal": (candle.randn(N), 0.0, 1.0),
        "normal of odd size": (candle.randn(N + 1), 0.0, 1.0),
        "normal in double": (candle.randn(N, dtype="float64"), 0.0, 1.0),
        "normal of half": (candle.randn(N, dtype="float16").float(), 0.0, 1.0),
        "uniform of half": (candle.rand(N, dtype="float16").float(), 0.5, 1 / 12),
        "integers": (candle.randint(-3, 5, (N,)).float(), 0.5, (8**2 - 1) / 12),
        "bernoulli": (candle.bernoulli(candle.full((N,), 0.3)), 0.3, 0.21),
        "normal of": (candle.normal(2.0, 3.0, (N,)), 2.0, 9.0),
        "uniform_": (candle.zeros(N).uniform_(-1, 3), 1.0, 16 / 12),
        "normal_": (candle.zeros(N).normal_(1, 2), 1.0, 4.0),
        "bernoulli_": (candle.zeros(N).bernoulli_(0.25), 0.25, 0.1875),
        "exponential_": (candle.zeros(N).exponential_(2.0), 0.5, 0.25),
        "geometric_": (candle.zeros(N).geometric_(0.4), 2.5, 0.6 / 0.16),
        "log_normal_": (candle.zeros(N, dtype="float64").log_normal_(0.0, 0.5).log(), 0.0, 0.25),
        "cauchy_": ((candle.zeros(N).cauchy_(1.0, 2.0) > 3.0).float(), 0.25, 0.1875),
        "gumbel": (OPS["random_gumbel"](state(5), shape=(N,)), 0.5772156649, math.pi**2 / 6),
    }
    for name, (x, mean, variance) in drawn.items():
        values = x.numpy().astype(np.float64)
        assert abs(values.mean() - mean) < 5 * math.sqrt(variance / N), name
        assert abs(values.var() / variance - 1) < 0.06, name


def test_normal_numbers_are_normal():
    x = np.sort(OPS["random_normal"](state(3), shape=(N,), dtype="float64").numpy())
    want = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x[::100]])
    assert np.abs(want - np.arange(0, N, 100) / N).max() < 1.9 / math.sqrt(N)  # Kolmogorov and Smirnov's statistic
    y = OPS["random_normal"](state(3), shape=(2, N // 2), dtype="float64").numpy()
    assert abs(np.corrcoef(y)[0, 1]) < 5 / math.sqrt(N)  # the two of a pair


@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform_numbers_never_reach_one(dtype):
    x = OPS["random_uniform"](state(11), shape=(N,), dtype=dtype)
    assert x.dtype is getattr(candle, dtype)
    values = x.numpy().astype(np.float64)
    assert values.min() >= 0 and values.max() < 1
    if dtype in ("float16", "bfloat16"):  # of so few, the largest number below one was among them
        assert values.max() == 1 - 2.0 ** -(11 if dtype == "float16" else 8)


def test_uniforms_are_bits():
    words_ = bits(9, 0, (6,)).numpy()
    np.testing.assert_array_equal(OPS["random_uniform"](state(9), shape=(6,), dtype="float32").numpy() * 2**24, words_ >> 8)
    double = OPS["random_uniform"](state(9), shape=(3,), dtype="float64").numpy() * 2**53
    np.testing.assert_array_equal(double, (words_[::2] >> 5).astype(np.float64) * 2**26 + (words_[1::2] >> 6))


def test_integers_fill_their_range():
    x = candle.randint(-3, 4, (5000,)).numpy()
    assert sorted(set(x.tolist())) == list(range(-3, 4)) and x.dtype == np.int64
    assert np.abs(np.bincount(x + 3) / 5000 - 1 / 7).max() < 0.03
    assert candle.randint(5, (3,), dtype="int32").dtype is candle.int32
    assert candle.randint(3, 4, (4,)).tolist() == [3] * 4
    wide = candle.randint(-(2**63), 2**63 - 1, (1000,)).numpy()
    assert wide.min() < -(2**62) and wide.max() > 2**62
    assert candle.randint(0, 10, (0, 3)).shape == (0, 3)
    same = candle.randint_like(candle.zeros(2, 3), 7)
    assert same.shape == (2, 3) and same.dtype is candle.float32


@pytest.mark.parametrize("n", [0, 1, 2, 5, 1000])
def test_permutations(n):
    x = candle.randperm(n)
    assert x.dtype is candle.int64 and sorted(x.tolist()) == list(range(n))
    if n == 1000:
        assert x.tolist() != list(range(n)) and candle.randperm(n).tolist() != x.tolist()
    assert candle.randperm(n, dtype="int32").dtype is candle.int32


def test_permutations_are_equally_likely():
    candle.manual_seed(5)
    found = [tuple(candle.randperm(3).tolist()) for _ in range(1200)]
    counts = [found.count(p) for p in set(found)]
    assert len(counts) == 6 and max(abs(c - 200) for c in counts) < 60


@pytest.mark.parametrize("replacement", [True, False])
def test_samples_by_weight(replacement):
    candle.manual_seed(2)
    weights = candle.tensor([0.0, 1.0, 3.0, 0.0, 4.0])
    if replacement:
        x = candle.multinomial(weights, 8000, True).numpy()
        assert np.abs(np.bincount(x, minlength=5) / 8000 - np.array([0, 1, 3, 0, 4]) / 8).max() < 0.03
    else:
        rows = candle.multinomial(weights.expand(4000, 5), 2).numpy()
        assert rows.shape == (4000, 2) and (rows[:, 0] != rows[:, 1]).all() and not np.isin(rows, [0, 3]).any()
        assert np.abs(np.bincount(rows[:, 0], minlength=5) / 4000 - np.array([0, 1, 3, 0, 4]) / 8).max() < 0.04
        second = np.bincount(rows[rows[:, 0] == 4, 1], minlength=5)
        assert abs(second[2] / second.sum() - 0.75) < 0.05
    assert weights.multinomial(3, replacement).shape == (3,)


# -- generators ------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_numbers_again():
    draws = {
        "rand": lambda g: candle.rand(3, 2, generator=g),
        "randn": lambda g: candle.randn(5, generator=g),
        "randint": lambda g: candle.randint(0, 99, (7,), generator=g),
        "randperm": lambda g: candle.randperm(9, generator=g),
        "bernoulli": lambda g: candle.bernoulli(candle.full((9,), 0.5), generator=g),
        "normal": lambda g: candle.normal(0.0, 1.0, (3,), generator=g),
        "multinomial": lambda g: candle.multinomial(candle.ones(9), 4, generator=g),
        "normal_": lambda g: candle.zeros(3).normal_(generator=g),
        "double": lambda g: candle.randn(3, dtype="float64", generator=g),
        "complex": lambda g: candle.randn(3, dtype="complex64", generator=g),
    }
    for name, draw in draws.items():
        g = candle.Generator()
        first = [draw(g.manual_seed(4)).tolist(), draw(g).tolist()]
        again = candle.Generator(seed=4)
        assert [draw(again).tolist(), draw(again).tolist()] == first and first[0] != first[1], name
        candle.manual_seed(4)
        assert draw(None).tolist() == first[0], name


@pytest.mark.parametrize("shape", [(1,), (3,), (4,), (5,), (0,), (2, 3)])
def test_draws_do_not_overlap(shape):
    """Each draw begins at a block of its own: what two draws give is what is made of different words."""
    for dtype in ("float32", "float64"):
        g = candle.Generator(seed=1)
        for draw in (candle.rand, candle.randn):
            before = int(g.state[1])
            draw(shape, generator=g, dtype=dtype)
            used = int(g.state[1]) - before
            n = math.prod(shape)
            n = n + n % 2 if draw is candle.randn else n
            assert used * 4 >= n * (2 if dtype == "float64" else 1) > (used - 1) * 4 or (n == 0 and used == 0)


def test_states_are_kept_and_set():
    g = candle.Generator(seed=3)
    candle.rand(5, generator=g)
    kept = g.get_state()
    a = candle.rand(4, generator=g).tolist()
    g.set_state(kept)
    assert candle.rand(4, generator=g).tolist() == a
    assert kept.dtype is candle.int64 and kept.shape == (2,)
    kept = candle.get_rng_state()
    a = candle.randn(4).tolist()
    candle.set_rng_state(kept)
    assert candle.randn(4).tolist() == a
    with candle.fork_rng():
        b = candle.rand(3).tolist()
    assert candle.rand(3).tolist() == b
    assert candle.initial_seed() == candle.manual_seed(candle.initial_seed()).initial_seed()
    assert isinstance(candle.seed(), int) and isinstance(g.seed(), int)
    assert candle.Generator(seed=2**64 - 1).initial_seed() == 2**64 - 1


def test_compiled_functions_draw_on():
    @candle.compile
    def noisy(x):
        return x + candle.randn(4)

    x = candle.zeros(4)
    candle.manual_seed(8)
    compiled = [noisy(x).tolist() for _ in range(3)]
    candle.manual_seed(8)
    eager = [candle.randn(4).tolist() for _ in range(3)]
    assert compiled == eager and compiled[0] != compiled[1]


def test_in_the_form_of_another():
    x = candle.zeros(2, 3, dtype="float64")
    for made in (candle.rand_like(x), candle.randn_like(x)):
        assert made.shape == (2, 3) and made.dtype is candle.float64 and made.device == x.device
    assert candle.rand_like(x, dtype="float32", requires_grad=True).requires_grad
    assert candle.randn(2, 3, requires_grad=True).is_leaf
    mean = candle.tensor([0.0, 1000.0])
    got = candle.normal(mean, candle.ones(3, 2))
    assert got.shape == (3, 2) and (got[:, 1] > 500).all()
    z = candle.randn(2000, dtype="complex128")
    assert abs(float((z.abs() ** 2).mean()) - 1) < 0.15


def test_in_place_draws_keep_shape_and_dtype():
    for dtype in ("int64", "uint8", "float16", "float64", "bool"):
        x = candle.zeros(50, dtype=dtype)
        assert x.random_().dtype is x.dtype and x.shape == (50,)
        assert x.bernoulli_(0.5).numpy().astype(float).max() == 1
    x = candle.zeros(1000, dtype="int32").random_(2, 5)
    assert sorted(set(x.tolist())) == [2, 3, 4]
    assert int(candle.zeros(1000, dtype="int32").random_(5).amax()) == 4
    leaf = candle.zeros(3, requires_grad=True)
    with candle.no_grad():
        leaf.normal_()
    assert leaf.requires_grad and leaf.is_leaf and leaf.abs().sum() > 0


ERRORS = [
    (lambda: candle.randint(5, 5, (2,)), ShapeError, "[5, 5)"),
    (
        lambda: candle.rand(2, dtype="int64"),
        DTypeError,
        "uniform gives float16, bfloat16, float32 or float64 but was asked for int64",
    ),
    (lambda: candle.Generator(seed=2**64), DTypeError, "a seed has 64 bits"),
    (lambda: candle.Generator().set_state(candle.zeros(3)), ShapeError, "a generator's state is int64[2]"),
    (lambda: OPS["random_bits"](candle.zeros(3, dtype="int64"), shape=(2,)), ShapeError, "use a Generator's state"),
    (lambda: candle.normal(0.0, 1.0), ShapeError, "takes a size"),
    (lambda: candle.bernoulli(0.5), DTypeError, "a tensor of probabilities"),
    (lambda: candle.multinomial(candle.ones(3), 4), ShapeError, "4 of 3 without replacement"),
    (lambda: candle.multinomial(candle.ones(2, 2, 2), 1), ShapeError, "weights [n] or [rows, n]"),
    (lambda: candle.multinomial(candle.tensor([1.0, -1.0]), 1), ShapeError, "at least 0 and finite"),
    (lambda: candle.multinomial(candle.tensor([1.0, 0.0]), 2), ShapeError, "fewer weights above 0"),
    (lambda: candle.multinomial(candle.zeros(2), 1, True), ShapeError, "fewer weights above 0"),
    (lambda: candle.zeros(2).geometric_(1.5), ShapeError, "between 0 and 1"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[e[2] for e in ERRORS])
def test_errors(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)


def test_a_generator_made_while_capturing_outlives_the_capture(monkeypatch):
    monkeypatch.setattr(candle.random, "_generators", {})
    for fn in (lambda a: a + candle.rand(3), lambda a: candle.nn.functional.dropout(a, 0.5, True)):
        graph = capture(fn, candle.Spec((3,), candle.float32))
        assert [i.state for i in graph.inputs] == [False, True] or [i.state for i in graph.inputs] == [True, False]
        assert [o.target is None for o in graph.outputs] == [True, False]
    assert candle.rand(3).shape == (3,)
