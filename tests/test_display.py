"""Tensors are printed as PyTorch prints them, and shown as escaped tables in notebooks."""

from __future__ import annotations

import html.parser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from torch_check import to_candle, to_torch, torch

import candle
from candle import display
from candle.backend import Reference
from candle.device import register_backend


def theirs(x):
    return repr(to_torch(x)).replace("torch.", "candle.")


DTYPES = ["float32", "float64", "float16", "int64", "int32", "uint8", "int8", "bool", "complex64", "complex128"]


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_any_array_prints_as_in_pytorch(data):
    dtype = np.dtype(data.draw(st.sampled_from(DTYPES)))
    shape = data.draw(npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9))
    elements = None
    if dtype.kind == "f":
        wide = (
            st.floats(width=dtype.itemsize * 8) if data.draw(st.booleans()) else st.floats(-2000, 2000, width=dtype.itemsize * 8)
        )
        elements = st.one_of(wide, st.integers(-2000, 2000).map(float))
    x = data.draw(npst.arrays(dtype, shape, elements=elements))
    assert repr(to_candle(x)) == theirs(x)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_large_arrays_are_summarised_as_in_pytorch(data):
    shape = data.draw(
        st.sampled_from(
            [(1001,), (1000,), (40, 40), (2, 600), (600, 2), (3, 20, 30), (7, 7, 7, 7), (1, 1, 1200), (2, 3, 4, 5, 10)]
        )
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = rng.standard_normal(shape) * data.draw(st.sampled_from([1, 1e-6, 1e4, 1e9]))
    x = x.astype(data.draw(st.sampled_from(["float32", "float64", "int64", "complex64"])))
    assert repr(to_candle(x)) == theirs(x)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_print_options_do_what_they_do_in_pytorch(data):
    options = data.draw(
        st.fixed_dictionaries(
            {
                "precision": st.integers(0, 8), "threshold": st.sampled_from([0, 5, 1000]), "edgeitems": st.integers(1, 4),
                "linewidth": st.sampled_from([20, 60, 120]), "sci_mode": st.sampled_from([None, True, False]),
            }
        )
    )  # fmt: skip
    x = data.draw(npst.arrays(np.float32, (3, 9), elements=st.floats(-1000, 1000, width=32)))
    with display.printoptions(**options):
        torch.set_printoptions(**options)
        try:
            assert repr(to_candle(x)) == theirs(x)
        finally:
            torch.set_printoptions(profile="default")


@pytest.mark.parametrize("profile", ["default", "short", "full"])
def test_profiles(profile):
    x = np.linspace(0, 1, 1200, dtype=np.float32)
    with display.printoptions(profile=profile):
        torch.set_printoptions(profile=profile)
        try:
            assert repr(to_candle(x)) == theirs(x)
        finally:
            torch.set_printoptions(profile="default")


def test_bad_profile_is_named():
    with pytest.raises(candle.CandleError, match="default, short, full but 'wide' was given"):
        display.set_printoptions(profile="wide")


def test_bfloat16_and_storage_dtypes_show_their_values():
    x = np.array([0.5, -2.25, 3.0], np.float32)
    assert repr(candle.tensor(x).to(dtype="bfloat16")) == repr(torch.tensor(x).bfloat16()).replace("torch.", "candle.")
    got = repr(candle.tensor(x).to(dtype="float8_e5m2"))
    assert got == repr(torch.tensor(x).to(torch.float8_e5m2)).replace("torch.", "candle.")
    assert repr(candle.tensor([1, -2]).to(dtype="int4")) == "tensor([ 1, -2], dtype=candle.int4)"


def test_gradient_remarks():
    x, z = candle.tensor([1.0, 2.0], requires_grad=True), torch.tensor([1.0, 2.0], requires_grad=True)
    assert repr(x) == repr(z)
    assert repr(x * 2.5) == repr(z * 2.5)
    assert repr((x * 2.5).detach()) == repr((z * 2.5).detach())


def test_long_remarks_go_to_the_next_line():
    x = np.full((2, 7), 0.123, np.float64)
    assert repr(to_candle(x)) == theirs(x)
    assert repr(to_candle(x).requires_grad_()) == repr(to_torch(x).requires_grad_()).replace("torch.", "candle.")


def test_the_device_is_shown_where_it_is_not_the_host():
    class Elsewhere(Reference):
        name = "elsewhere"

    register_backend("elsewhere", Elsewhere)
    assert repr(candle.zeros(2, device="elsewhere")) == "tensor([0., 0.], device='elsewhere')"


class _Reader(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data):
        if self.rows:
            self.rows[-1].append(data)


def read(x):
    reader = _Reader()
    reader.feed(x._repr_html_())
    return reader


def test_a_matrix_is_a_table_in_a_notebook():
    x = candle.tensor([[1.5, 2.0], [3.0, float("nan")]])
    assert read(x).rows == [["1.5000", "2.0000"], ["3.0000", "nan"]]
    assert "float32[2,2] on numpy" in x._repr_html_()
    assert read(candle.tensor([1, 2])).rows == [["1", "2"]]


def test_a_large_matrix_shows_its_edges_in_a_notebook():
    rows = read(candle.zeros(50, 50)).rows
    assert len(rows) == 7 and len(rows[0]) == 7 and rows[3] == ["…"]


def test_notebook_text_is_escaped():
    x = candle.tensor(2.0, requires_grad=True) * 3
    assert "&lt;MulBackward0&gt;" in x._repr_html_() and "<MulBackward0>" not in x._repr_html_()
    assert read(candle.zeros(2, 2, 2)).tags == ["pre", "small"]
