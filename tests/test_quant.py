"""Quantised kinds: decoding and encoding against the gguf package, bounds on errors, and tensors of quantised dtypes."""

from __future__ import annotations

import copy
import ctypes
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import candle as c
from candle import nn
from candle.dtype import QUANTISED, DType
from candle.errors import DTypeError, ShapeError
from candle.op import Spec
from candle.quant import ENCODABLE, decode, encode
from candle.testing.draw import random_blocks

BITWISE = ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "tq1_0", "tq2_0", "mxfp4")
# What GGML's own test admits as the root of the sum of squared errors over the size (tests/test-quantize-fns.cpp).
_BOUND, _BOUND_3, _BOUND_2, _BOUND_TERNARY = 0.002, 0.0040, 0.0075, 0.01
names = [d.name for d in QUANTISED]


def ggml_data(n: int, offset: float) -> np.ndarray:
    return (0.1 + 2 * np.cos(np.arange(n) + offset)).astype(np.float32)


def values(seed: int, rows: int, k: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, k)) * np.exp(rng.standard_normal((rows, 1)) * 3)
    x[rng.random((rows, k)) < 0.02] *= 20
    x[0, : k // 2] = 0
    return x.astype(np.float32)


def gguf_type(kind: DType):
    gguf = pytest.importorskip("gguf", reason="the peer that these bits are compared with")
    return gguf.quants, gguf.GGMLQuantizationType[kind.name.upper()]


@pytest.mark.parametrize("kind", QUANTISED, ids=names)
def test_decoding_is_that_of_the_gguf_package_bit_for_bit(kind):
    quants, theirs = gguf_type(kind)
    raw = np.random.default_rng(1).integers(0, 256, (2000, 2 * kind.itemsize), dtype=np.uint8)
    with np.errstate(all="ignore"):
        try:
            want = quants.dequantize(raw, theirs)
        except NotImplementedError:
            pytest.skip(f"the gguf package does not decode {kind}")
    got = decode(raw.view(kind.numpy))
    same = got.view(np.uint32) == want.astype(np.float32).view(np.uint32)
    assert (same | (np.isnan(got) & np.isnan(want))).all()


@pytest.mark.parametrize("name", BITWISE)
def test_encoding_is_that_of_the_gguf_package_bit_for_bit(name):
    kind = c.as_dtype(name)
    quants, theirs = gguf_type(kind)
    x = values(3, 2000, 512)
    want = quants.quantize(x, theirs)
    assert np.array_equal(encode(x, kind).view(np.uint8).reshape(want.shape), want)


@pytest.mark.parametrize("kind", ENCODABLE, ids=[d.name for d in ENCODABLE])
def test_errors_are_within_the_bounds_of_ggml(kind):
    x = ggml_data(32 * 128, 0.0)
    off = decode(encode(x, kind)) - x
    bound = {"q2_k": _BOUND_2, "q3_k": _BOUND_3, "tq1_0": _BOUND_TERNARY, "tq2_0": _BOUND_TERNARY}.get(kind.name, _BOUND)
    if kind.name != "mxfp4":  # for which GGML has no bound of its own
        assert np.sqrt(np.square(off.astype(np.float64)).sum()) / x.size < bound


@pytest.mark.parametrize(("name", "most"), [
    ("q2_k", 0.1), ("q3_k", 0.03), ("q4_k", 0.017), ("q5_k", 0.009), ("q6_k", 0.008), ("q8_k", 0.008),
])  # fmt: skip
def test_a_ramp_comes_back_within_the_bounds_that_candle_publishes(name, most):
    ramp = (np.arange(1024, dtype=np.float32) - 512) / 1024
    assert np.abs(decode(encode(ramp, name)) - ramp).max() <= most


@pytest.mark.parametrize("kind", ENCODABLE, ids=[d.name for d in ENCODABLE])
def test_what_was_decoded_is_encoded_again_as_it_was(kind):
    if kind.name in ("q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_xs", "iq4_nl", "mxfp4"):
        pytest.skip("its search for scales need not find the same one again")
    once = decode(encode(values(5, 50, 512), kind))
    again = decode(encode(once, kind))
    assert np.abs(again - once).max() <= 2.0**-9 * np.abs(once).max()


@pytest.mark.parametrize("name", ["q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs"])
def test_an_importance_matrix_lessens_the_errors_that_matter(name):
    x = np.random.default_rng(7).standard_normal((64, 1024)).astype(np.float32)
    importance = np.random.default_rng(8).random(1024).astype(np.float32) ** 4

    def error(**given):
        return (importance * np.square(decode(encode(x, name, **given)) - x)).mean()

    assert error(importance=importance) < error()


@given(st.integers(0, 2**32), st.sampled_from(ENCODABLE), st.floats(-6, 4))
@settings(max_examples=60, deadline=None)
def test_no_value_is_off_by_more_than_its_block_is_large(seed, kind, scale):
    x = (np.random.default_rng(seed).standard_normal((3, 2 * kind.block)) * 2.0**scale).astype(np.float32)
    off = np.abs(decode(encode(x, kind)) - x).reshape(-1, kind.block).max(-1)
    assert (off <= 0.71 * np.abs(x).reshape(-1, kind.block).max(-1)).all()


@pytest.mark.parametrize("kind", ENCODABLE, ids=[d.name for d in ENCODABLE])
def test_zeros_stay_zeros(kind):
    assert not decode(encode(np.zeros((2, kind.block), np.float32), kind)).any()


def test_what_cannot_be_encoded_is_refused_by_name():
    with pytest.raises(DTypeError, match="iq2_xxs is only decoded"):
        encode(np.zeros((1, 256), np.float32), "iq2_xxs")
    with pytest.raises(DTypeError, match="NaN or infinities"):
        encode(np.full((1, 32), np.nan, np.float32), "q4_0")
    with pytest.raises(ShapeError, match="packs 32 elements"):
        encode(np.zeros((1, 33), np.float32), "q4_0")
    with pytest.raises(ShapeError, match="importance"):
        encode(np.zeros((1, 32), np.float32), "q4_0", np.ones(31))


# -- tensors of quantised dtypes -------------------------------------------------------------------


def quantised(shape, kind="q4_k", seed=0):
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return c.tensor(x, device="numpy").to(kind)


def floats(x):
    return x.float().numpy()


def test_a_spec_counts_elements_and_stores_blocks():
    spec = Spec((3, 512), c.q4_k)
    assert (spec.shape, spec.stored, spec.nbytes, spec.size) == ((3, 512), (3, 2), 3 * 2 * 144, 1536)
    assert Spec.of(np.zeros((3, 2), c.q4_k.numpy)) is spec
    with pytest.raises(ShapeError, match="multiple of 256"):
        Spec((3, 500), c.q4_k)


@pytest.mark.parametrize("kind", QUANTISED, ids=names)
def test_kinds_have_the_sizes_of_ggml(kind):
    gguf = pytest.importorskip("gguf", reason="the peer that sizes are compared with")
    if kind.name != "q8_1":  # there the package has a layout that GGML left
        assert gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind.name.upper()]] == (kind.block, kind.itemsize)
    assert c.as_dtype(kind.numpy) is kind


@pytest.mark.parametrize("move", [
    lambda x: x[1], lambda x: x[1:3], lambda x: x[:, 256:512], lambda x: x[::2], lambda x: x[None],
    lambda x: x.reshape(2, 3, 768), lambda x: x.reshape(3, 1536), lambda x: x.unsqueeze(0).expand(4, -1, -1),
    lambda x: x.reshape(2, 3, 768).permute(1, 0, 2), lambda x: x.reshape(2, 3, 768).transpose(0, 1), lambda x: x.flatten(),
    lambda x: x[[2, 0]], lambda x: x.index_select(0, c.tensor([5, 5, 0], device="numpy")), lambda x: c.cat([x, x[:2]]),
    lambda x: c.cat([x, x], 1), lambda x: c.stack([x, x]), lambda x: x.chunk(3)[1], lambda x: x.flip(0), lambda x: x.clone(),
    lambda x: x.narrow(0, 1, 2), lambda x: x.select(0, 3), lambda x: x.split(2)[2], lambda x: x.roll(1, 0),
    lambda x: x.repeat(2, 1),
])  # fmt: skip
def test_movement_of_whole_blocks_is_that_of_the_values(move):
    x = quantised((6, 768))
    y = move(x)
    assert y.dtype is c.q4_k
    assert np.array_equal(floats(y), move(x.float()).numpy())


@pytest.mark.parametrize("tear", [
    lambda x: x.T, lambda x: x[:, 3:259], lambda x: x[:, ::2], lambda x: x[..., 0], lambda x: x.reshape(-1, 32),
    lambda x: x.index_select(1, c.tensor([0], device="numpy")), lambda x: x.permute(1, 0), lambda x: x.unsqueeze(-1),
])  # fmt: skip
def test_what_would_take_blocks_apart_is_refused(tear):
    with pytest.raises(ShapeError, match="block"):
        tear(quantised((4, 512)))


def test_arithmetic_refuses_quantised_tensors():
    with pytest.raises(DTypeError):
        quantised((2, 256)) + 1
    with pytest.raises(DTypeError):
        quantised((2, 256)).sum()


def test_rows_are_written_in_place():
    x, y = quantised((8, 256), "q8_0"), quantised((3, 256), "q8_0", 1)
    x[2:5] = y
    assert np.array_equal(floats(x[2:5]), floats(y))
    z = x.write(y, c.tensor(5, device="numpy"), dim=0)
    assert np.array_equal(floats(z[5:]), floats(y))


def test_casts_go_through_the_values():
    x = c.tensor(np.random.default_rng(2).standard_normal((4, 256)).astype(np.float32), device="numpy")
    q = c.quantize(x, "q8_0")
    assert q.to(c.q4_k).dtype is c.q4_k and q.half().dtype is c.float16
    assert np.array_equal(q.dequantize(c.float64).numpy(), q.float().numpy().astype(np.float64))
    assert q.tolist() == q.float().tolist()
    assert np.array_equal(c.quantize(x, c.q4_k, np.ones(256, np.float32)).numpy(), encode(x.numpy(), "q4_k", np.ones(256)))


def test_copies_and_pickles():
    x = quantised((2, 256))
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert y.spec is x.spec and np.array_equal(y.numpy(), x.numpy())


@pytest.mark.parametrize("kind", QUANTISED, ids=names)
@pytest.mark.parametrize("dtype", [c.float32, c.float16, c.float64])
def test_linear_and_embedding_take_every_kind(kind, dtype):
    rng = np.random.default_rng(4)
    w = c.from_numpy(random_blocks(rng, (5, 512 // kind.block), kind)).to("numpy")
    x = c.tensor(rng.standard_normal((2, 3, 512)), dtype=dtype, device="numpy")
    layer = nn.Linear(512, 5, device="numpy")
    layer.load_state_dict({"weight": w, "bias": c.zeros(5, dtype=dtype, device="numpy")}, assign=True)
    assert layer.weight.dtype is kind and not layer.weight.requires_grad
    want = x.double().numpy() @ w.dequantize(c.float64).numpy().T
    tolerance = {2: 2e-2, 4: 1e-5, 8: 1e-6}[dtype.itemsize] * np.abs(want).max()
    assert layer(x).dtype is dtype
    assert np.abs(layer(x).double().numpy() - want).max() <= tolerance
    table = nn.Embedding.from_pretrained(w)
    ids = c.tensor([[3, 1], [3, 0]], device="numpy")
    assert np.array_equal(table(ids).numpy(), w.float().numpy()[ids.numpy()])


def test_the_gradient_of_a_quantised_product_reaches_what_is_not_quantised():
    w, x = quantised((4, 256)), c.randn(3, 256, device="numpy").requires_grad_()
    bias = c.zeros(4, device="numpy").requires_grad_()
    nn.functional.linear(x, w, bias).square().sum().backward()
    z = c.tensor(x.numpy(), device="numpy").requires_grad_()
    b = c.zeros(4, device="numpy").requires_grad_()
    nn.functional.linear(z, w.float(), b).square().sum().backward()
    assert np.allclose(x.grad.numpy(), z.grad.numpy(), rtol=1e-5) and np.allclose(bias.grad.numpy(), b.grad.numpy(), rtol=1e-5)


def test_a_quantised_model_compiles_with_its_weights_as_inputs():
    layer = nn.Linear(256, 4, device="numpy")
    layer.load_state_dict({"weight": quantised((4, 256)), "bias": layer.bias}, assign=True)
    compiled = c.compile(lambda x: layer(x).tanh())
    x = c.randn(3, 256, device="numpy")
    assert np.allclose(compiled(x).numpy(), layer(x).tanh().numpy())
    graph = c.capture(lambda x: layer(x), x.spec)
    assert any(i.spec.dtype is c.q4_k for i in graph.inputs)


def test_a_module_in_half_precision_leaves_quantised_weights_alone():
    layer = nn.Linear(256, 4, device="numpy")
    layer.load_state_dict({"weight": quantised((4, 256)), "bias": layer.bias}, assign=True)
    assert layer.half().weight.dtype is c.q4_k and layer.bias.dtype is c.float16


def test_loading_into_a_dense_module_dequantises_and_into_a_quantised_one_quantises():
    dense, packed = nn.Linear(256, 4, bias=False, device="numpy"), nn.Linear(256, 4, bias=False, device="numpy")
    packed.load_state_dict({"weight": quantised((4, 256))}, assign=True)
    dense.load_state_dict(packed.state_dict())
    assert dense.weight.dtype is c.float32 and np.array_equal(dense.weight.detach().numpy(), floats(packed.weight))
    packed.load_state_dict({"weight": c.ones(4, 256, device="numpy")})
    assert packed.weight.dtype is c.q4_k and np.allclose(floats(packed.weight), 1, atol=0.01)


def test_grouped_products_are_those_of_each_group_and_have_its_gradient():
    rng = np.random.default_rng(0)
    w = c.tensor(rng.standard_normal((3, 5, 256)).astype(np.float32), device="numpy").to(c.q6_k)
    x = c.tensor(rng.standard_normal((4, 256)).astype(np.float32), device="numpy").requires_grad_()
    ids = c.tensor([2, 0, 2, 1], device="numpy")
    y = c.quantized_grouped_linear(x, w, ids)
    want = np.stack([x.detach().numpy()[t] @ floats(w)[e].T for t, e in enumerate(ids.tolist())])
    assert np.allclose(y.detach().numpy(), want, rtol=1e-4, atol=1e-4)
    y.sum().backward()
    assert np.allclose(x.grad.numpy(), floats(w)[ids.numpy()].sum(1), rtol=1e-4, atol=1e-4)


# -- against GGML's own encoders -------------------------------------------------------------------


def ggml():
    """GGML's library, out of llama-cpp-python."""
    package = pytest.importorskip("llama_cpp", reason="the package that carries GGML's own encoders")
    found = sorted((Path(package.__file__).parent / "lib").glob("libggml-base*"))
    if not found:
        pytest.skip("this build of llama-cpp-python has no libggml-base")
    return ctypes.CDLL(str(found[0]))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["q4_0", "q5_1", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_nl", "iq4_xs"])
def test_searches_find_what_ggml_finds(name, weighted):
    kind, library = c.as_dtype(name), ggml()
    x = np.random.default_rng(0).standard_normal((200, 1024)).astype(np.float32)
    importance = np.random.default_rng(1).random(1024).astype(np.float32) ** 2 if weighted else None
    found = np.zeros((200, 1024 // kind.block), kind.numpy)
    floats = ctypes.POINTER(ctypes.c_float)
    at, out = x.ctypes.data_as(floats), ctypes.c_void_p(found.ctypes.data)
    ggml_name = name.replace("_k", "_K")
    if weighted or name.startswith("iq4"):
        function = library[f"quantize_{ggml_name}"]
        function.argtypes = [floats, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, floats]
        function.restype = ctypes.c_size_t
        function(at, out, 200, 1024, None if importance is None else importance.ctypes.data_as(floats))
    else:
        function = library[f"quantize_row_{ggml_name}_ref"]
        function.argtypes, function.restype = [floats, ctypes.c_void_p, ctypes.c_int64], None
        function(at, out, x.size)
    ours = encode(x, kind, importance)
    same = np.mean([a.tobytes() == b.tobytes() for a, b in zip(ours.reshape(-1), found.reshape(-1))])
    errors = [float(np.square(decode(b) - x).mean()) for b in (ours, found)]
    assert same > 0.9  # all of them where its compiler fuses no multiplications with additions
    assert abs(errors[0] - errors[1]) < 1e-3 * errors[1]
