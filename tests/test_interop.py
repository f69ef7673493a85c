"""NumPy, DLPack, torch and jax: values go in and out, without a copy where they can, and nobody changes another's."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from torch_check import torch

import candle
from candle import DTypeError, nn

X = np.arange(12, dtype="f").reshape(3, 4)


def t(array=X):
    return candle.tensor(array, device="numpy")


def test_tensor_copies_and_from_numpy_shares():
    x = X.copy()
    a, b = t(x), candle.from_numpy(x)
    assert not np.shares_memory(a.numpy(), x)
    assert np.shares_memory(b.numpy(), x)
    x[0, 0] = 99
    assert a[0, 0].item() == 0


def test_what_goes_out_cannot_be_written_to():
    x = t()
    out = x.numpy()
    with pytest.raises(ValueError, match="read-only"):
        out[0] = 1
    kept = out.copy()
    x[0] = 7
    x += 1
    np.testing.assert_array_equal(out, kept)


def test_numpys_functions_take_tensors_and_operators_give_tensors():
    assert isinstance(np.sin(t()), np.ndarray)
    np.testing.assert_array_equal(np.asarray(t()), X)
    np.testing.assert_array_equal(np.asarray(t(), dtype=np.float64), X)
    np.testing.assert_array_equal(np.concatenate([t(), t()]), np.concatenate([X, X]))
    for made in (X + t(), t() + X, X * t(), X @ t().T, np.float32(2) * t()):
        assert isinstance(made, candle.Tensor)
    np.testing.assert_array_equal((X - t() * 2).numpy(), X - X * 2)
    assert isinstance(X < t(), candle.Tensor)


def test_python_numbers_lists_and_containers():
    assert float(t([2.5])) == 2.5 and int(t([2.5])) == 2 and complex(t([1j])) == 1j and [10, 20, 30][candle.tensor(1)] == 20
    assert t().tolist() == X.tolist() and len(t()) == 3 and [r.tolist() for r in t()] == X.tolist()
    assert 5.0 in t() and 50.0 not in t()
    assert candle.tensor([t([1.0, 2.0]), t([3.0, 4.0])]).shape == (2, 2)
    assert f"{t([2.5])[0]:.2f}" == "2.50"


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8", "bool", "complex64", "float16"])
def test_dlpack_with_torch_shares_memory_both_ways(dtype):
    source = torch.arange(6).to(getattr(torch, dtype)).reshape(2, 3)
    x = candle.from_dlpack(source, device="numpy")
    assert x.numpy().ctypes.data == source.data_ptr() and x.dtype.name == dtype
    back = torch.from_dlpack(x)
    assert back.data_ptr() == source.data_ptr() and torch.equal(back, source)


def test_bfloat16_goes_both_ways():
    source = torch.tensor([1.5, -2.25], dtype=torch.bfloat16)
    x = candle.tensor(source, device="numpy")
    assert x.dtype is candle.bfloat16 and x.float().tolist() == [1.5, -2.25]


def test_dlpack_with_jax():
    jax = pytest.importorskip("jax", reason="pip install candle-jax")
    np.testing.assert_array_equal(np.asarray(jax.numpy.from_dlpack(t())), X)
    np.testing.assert_array_equal(candle.from_dlpack(jax.numpy.asarray(X), device="numpy").numpy(), X)


def test_exported_storage_is_never_written_over():
    x = t()
    other = torch.from_dlpack(x)
    for _ in range(3):
        x[0] = 5.0
    assert torch.equal(other, torch.from_numpy(X))


def test_writes_reuse_storage_that_nothing_else_holds():
    cache = t(np.zeros((64, 8), "f"))
    cache[0] = 1.0
    place = cache.numpy().ctypes.data
    for n in range(1, 8):
        cache[n] = float(n)
        cache.write_(candle.ones(1, 8, device="numpy"), candle.tensor(n + 8, device="numpy"), 0)
    assert cache.numpy().ctypes.data == place
    before = cache.detach()
    cache[0] = -1.0
    assert before[0, 0].item() == 1.0 and cache[0, 0].item() == -1.0


def test_a_torch_state_dict_is_taken_over_in_memory():
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.LayerNorm(8), torch.nn.GELU(), torch.nn.Linear(8, 2))
    ours = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 2)).to("numpy")
    ours.load_state_dict(theirs.state_dict())
    np.testing.assert_allclose(ours(t()).detach().numpy(), theirs(torch.from_numpy(X)).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_pickle_and_copies():
    for x in (t(), t().to(dtype=candle.bfloat16), t([1 + 2j]), candle.zeros(0, 3, device="numpy"), t(X > 3)):
        for y in (pickle.loads(pickle.dumps(x)), copy.copy(x), copy.deepcopy(x)):
            assert y.dtype is x.dtype and y.shape == x.shape and y.device == x.device
            assert y.numpy().tobytes() == x.numpy().tobytes()
    x = t()
    y = copy.deepcopy(x)
    y[0] = 5
    np.testing.assert_array_equal(x.numpy(), X)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: candle.tensor([[1, 2], [3]]), candle.ShapeError, "same number"),
        (lambda: candle.tensor("abc"), DTypeError, "made of numbers"),
        (lambda: candle.tensor([None]), DTypeError, "made of numbers"),
        (lambda: candle.tensor(np.array(["2020-01-01"], "M8[D]")), DTypeError, "made of numbers"),
        (lambda: candle.from_numpy([1]), DTypeError, "candle.tensor"),
        (lambda: candle.from_dlpack([1]), DTypeError, "__dlpack__"),
        (lambda: bool(candle.ones(2)), candle.ShapeError, "any"),
        (lambda: candle.ones(2).item(), candle.ShapeError, "tolist"),
        (lambda: len(candle.tensor(1)), TypeError, "without dimensions"),
        (lambda: iter(candle.tensor(1)), TypeError, "without dimensions"),
        (lambda: [1, 2][candle.tensor(1.0)], DTypeError, "long"),
    ],
)
def test_what_cannot_be_says_so(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize("function", [
    lambda x: np.sum(x), lambda x: np.mean(x, axis=0), lambda x: np.concatenate([x, x]), lambda x: np.stack((x, np.ones((2, 3)))),
    lambda x: np.linalg.norm(x), lambda x: np.where(x > 0, x, 0), lambda x: np.allclose(x, x), lambda x: np.transpose(x),
])  # fmt: skip
def test_numpys_functions_take_tensors_and_give_arrays(function):
    array = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    x = candle.tensor(array, requires_grad=True)
    got, want = function(x), function(array)
    assert type(got) is type(want)
    np.testing.assert_array_equal(got, want)


def test_bfloat16_of_another_library_is_copied():
    torch = pytest.importorskip("torch")
    t = torch.arange(4, dtype=torch.bfloat16).reshape(2, 2)
    for take in (candle.as_tensor, candle.from_dlpack, candle.tensor):
        assert take(t).dtype is candle.bfloat16 and take(t).tolist() == t.tolist()
