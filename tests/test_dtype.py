"""Dtypes and promotion: PyTorch's table, pair by pair, and storage kinds as ml_dtypes has them."""

from __future__ import annotations

import copy
import pickle

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch_check import torch

import candle
from candle import DTypeError
from candle import dtype as dt

NAMES = [
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]


@pytest.mark.parametrize("a", NAMES)
@pytest.mark.parametrize("b", NAMES)
def test_promotion_is_pytorchs(a, b):
    want = str(torch.promote_types(getattr(torch, a), getattr(torch, b))).removeprefix("torch.")
    assert candle.promote_types(dt.as_dtype(a), dt.as_dtype(b)).name == want


operand = st.tuples(st.sampled_from(NAMES), st.booleans()) | st.sampled_from([True, 3, 2.5, 1j])


@given(operand, operand)
def test_numbers_and_tensors_without_dimensions_count_less(a, b):
    def make(lib, x):
        if not isinstance(x, tuple):
            return x
        return lib.ones((2,) if x[1] else (), dtype=getattr(lib, x[0]))

    if not isinstance(a, tuple) and not isinstance(b, tuple):
        return
    want = (
        str(torch.result_type(make(torch, a), make(torch, b))).removeprefix("torch.").replace("complex32", "complex64")
    )  # which we have not
    assert candle.result_type(make(candle, a), make(candle, b)).name == want


def test_uint64_with_signed_integers_is_refused():
    with pytest.raises(DTypeError, match="cast one"):
        candle.promote_types(candle.uint64, candle.int8)
    assert candle.promote_types(candle.uint32, candle.int32) is candle.int64


@pytest.mark.parametrize("d", dt.STORAGE, ids=str)
def test_storage_dtypes_are_cast_and_moved_but_not_computed_with(d):
    x = np.array([0, 1, 1, 0, 1, 0], np.float32)
    t = candle.tensor(x, device="numpy").to(dtype=d)
    assert t.dtype is d and t.numpy().dtype == d.numpy
    np.testing.assert_array_equal(t.reshape(2, 3).T.float().numpy(), x.astype(d.numpy).astype("f").reshape(2, 3).T)
    np.testing.assert_array_equal(candle.cat([t, t])[1:].float().numpy(), np.concatenate([x, x]).astype(d.numpy).astype("f")[1:])
    with pytest.raises(DTypeError, match=d.name):
        t + t


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=20))
def test_casts_to_float8_round_as_ml_dtypes_does(values):
    x = np.array(values, np.float32)
    with np.errstate(all="ignore"):
        want = x.astype(ml_dtypes.float8_e4m3fn)
    got = candle.tensor(x, device="numpy").to(dtype=candle.float8_e4m3fn).numpy()
    assert got.tobytes() == want.tobytes()


def test_names_aliases_and_foreign_dtypes():
    assert (
        candle.as_dtype("f32")
        is candle.as_dtype(np.float32)
        is candle.as_dtype(torch.float32)
        is candle.as_dtype(float)
        is candle.float32
    )
    assert candle.as_dtype(ml_dtypes.bfloat16) is candle.as_dtype(torch.bfloat16) is candle.bfloat16
    assert candle.long is candle.int64 and candle.half is candle.float16 and candle.double is candle.float64
    with pytest.raises(DTypeError, match="did you mean 'float32'"):
        candle.zeros(2, dtype="flaot32")
    with pytest.raises(DTypeError, match="dtype was wanted"):
        candle.as_dtype(3.5)


def test_one_object_per_dtype_survives_copies():
    for d in dt.EVERY:
        assert pickle.loads(pickle.dumps(d)) is copy.deepcopy(d) is d
        assert repr(d) == f"candle.{d.name}"


def test_limits_are_numpys():
    for name in ("float16", "float32", "float64"):
        assert float(candle.finfo(name).eps) == float(np.finfo(name).eps)
    assert candle.iinfo("int16").max == 32767 and float(candle.finfo("bfloat16").eps) == 2**-7
    with pytest.raises(DTypeError, match="use iinfo"):
        candle.finfo("int8")
    with pytest.raises(DTypeError, match="use finfo"):
        candle.iinfo("float32")


def test_the_default_dtype_can_be_changed():
    try:
        candle.set_default_dtype("float64")
        assert (
            candle.tensor(1.5).dtype is candle.zeros(2).dtype is (candle.ones(2, dtype=candle.int32) / 2).dtype is candle.float64
        )
        with pytest.raises(DTypeError, match="floating"):
            candle.set_default_dtype("int32")
    finally:
        candle.set_default_dtype("float32")


def test_specs_are_one_object_and_print_short():
    assert candle.Spec((2, 3), "float32") is candle.Spec([2, 3], candle.float32)
    assert str(candle.Spec((2, 3), "float32")) == "float32[2,3]"
    with pytest.raises(AttributeError):
        candle.Spec((2,), "float32").shape = (3,)
    assert pickle.loads(pickle.dumps(candle.Spec((2,), "int8"))) is candle.Spec((2,), "int8")
