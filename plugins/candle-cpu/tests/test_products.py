"""Matrix products, convolutions, pooling and quantised products under every instruction set that this machine has."""

from __future__ import annotations

import itertools
from typing import Any, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import candle
from candle.device import resolve
from candle.dtype import as_dtype
from candle.quant import decode, encode

_engine = pytest.importorskip("candle_cpu._engine", reason="candle-cpu is not built")

SETS = [name for name, there in _engine.instruction_sets().items() if there]
SIZES = st.sampled_from([0, 1, 2, 3, 5, 13, 14, 15, 16, 17, 31, 33, 64, 65, 130, 389])
TOLERANCE = {"float32": 2e-6, "float64": 4e-15, "float16": 2e-3, "bfloat16": 1.6e-2}


@pytest.fixture(params=SETS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """The engine with one instruction set forced; plans made under another are forgotten."""
    backend = resolve("cpu")
    _engine.choose(request.param)
    backend.plans.clear()
    yield request.param
    _engine.choose(SETS[-1])
    backend.plans.clear()


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = _engine.get_threads()
    _engine.set_threads(request.param)
    yield request.param
    _engine.set_threads(before)


def matrix(rng: Any, rows: int, columns: int, dtype: str, layout: str) -> tuple[Any, Any]:
    """A tensor on the device in some layout, and its values."""

    def values(*shape: int) -> Any:
        if np.dtype(as_dtype(dtype).numpy).kind in "iu":
            info = np.iinfo(dtype)
            return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
        x = rng.standard_normal(shape)
        return (x + 1j * rng.standard_normal(shape) if dtype.startswith("complex") else x).astype(as_dtype(dtype).numpy)

    if layout == "plain":
        x = candle.tensor(values(rows, columns), device="cpu")
    elif layout == "transposed":
        x = candle.tensor(values(columns, rows), device="cpu").mT
    elif layout == "step":
        x = candle.tensor(values(rows + 2, 2 * columns + 3), device="cpu")[1 : rows + 1, 1 : 1 + 2 * columns : 2]
    elif layout == "offset":
        x = candle.tensor(values(rows + 2, columns + 5), device="cpu")[1 : rows + 1, 3 : columns + 3]
    else:
        x = candle.tensor(values(rows, columns), device="cpu").flip((0, 1))
    return x, x.numpy()


LAYOUTS = st.sampled_from(["plain", "transposed", "step", "offset", "flipped"])


@pytest.mark.parametrize("dtype", TOLERANCE)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(SIZES, SIZES, SIZES, LAYOUTS, LAYOUTS)
def test_floating_products_are_numpys(dtype: str, m: int, n: int, k: int, left: str, right: str) -> None:
    rng = np.random.default_rng(m * 1000 + n * 31 + k)
    a, x = matrix(rng, m, k, dtype, left)
    b, y = matrix(rng, k, n, dtype, right)
    want = x.astype(np.float64) @ y.astype(np.float64)
    amount = TOLERANCE[dtype] * (np.abs(x).astype(np.float64) @ np.abs(y).astype(np.float64)) + 1e-6
    assert (np.abs((a @ b).numpy().astype(np.float64) - want) <= amount).all()


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int8", "uint16", "int32", "uint64", "complex64"])
def test_products_under_each_instruction_set(isa: str, threads: int, dtype: str) -> None:
    rng = np.random.default_rng(7)
    for (m, n, k), left, right in zip(
        [(1, 70, 130), (3, 65, 40), (9, 33, 200), (40, 1, 33), (61, 67, 401), (150, 97, 17), (2, 300, 1)],
        itertools.cycle(["plain", "transposed", "step"]),
        itertools.cycle(["transposed", "offset", "flipped", "plain"]),
    ):
        a, x = matrix(rng, m, k, dtype, left)
        b, y = matrix(rng, k, n, dtype, right)
        got = (a @ b).numpy()
        if got.dtype.kind in "iu":
            with np.errstate(all="ignore"):
                assert (got == x @ y).all()
            continue
        wide = np.complex128 if got.dtype.kind == "c" else np.float64
        amount = TOLERANCE.get(dtype, 4e-6) * (np.abs(x).astype(float) @ np.abs(y).astype(float)) + 1e-6
        assert (np.abs(got.astype(wide) - x.astype(wide) @ y.astype(wide)) <= amount).all()


def test_batches_broadcast_and_rows_join(threads: int) -> None:
    rng = np.random.default_rng(3)
    shapes = [
        ((5, 1, 7, 9), (1, 4, 9, 3)),
        ((6, 4, 9), (9, 5)),
        ((1, 9), (3, 2, 9, 40)),
        ((2, 3, 0, 4), (4, 5)),
        ((3, 4, 0), (0, 2)),
    ]
    for left, right in shapes:
        x, y = rng.standard_normal(left, np.float32), rng.standard_normal(right, np.float32)
        got = candle.tensor(x, device="cpu") @ candle.tensor(y, device="cpu")
        assert np.allclose(got.numpy(), x @ y, rtol=1e-5, atol=1e-5)


def test_linear_adds_its_bias(isa: str) -> None:
    rng = np.random.default_rng(5)
    for shape, n in [((40,), 9), ((3, 40), 70), ((2, 5, 40), 33), ((30, 40), 64), ((0, 40), 3)]:
        x, w, b = (rng.standard_normal(s, np.float32) for s in (shape, (n, 40), (n,)))
        got = candle.linear(*[candle.tensor(v, device="cpu") for v in (x, w, b)])
        assert np.allclose(got.numpy(), x @ w.T + b, rtol=1e-5, atol=1e-5)


# -- convolution -----------------------------------------------------------------------------------

CONVOLUTIONS = [  # channels, out, groups, sizes, kernel, stride, padding, dilation
    (3, 8, 1, (17, 19), (3, 3), (2, 1), (1, 1), (1, 1)),
    (16, 40, 1, (9, 9), (1, 1), (1, 1), (0, 0), (1, 1)),
    (6, 6, 6, (11, 40), (3, 3), (1, 2), (1, 1), (1, 1)),
    (4, 12, 4, (8, 70), (3, 5), (1, 1), (2, 2), (2, 2)),
    (8, 6, 2, (7,), (3,), (2,), (1,), (1,)),
    (50, 20, 1, (6, 5, 4), (2, 3, 3), (1, 2, 1), (1, 0, 1), (1, 1, 1)),
]


@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_convolutions_are_torchs(isa: str, case: Any, dtype: str) -> None:
    torch = pytest.importorskip("torch", reason="the peer")
    channels, out, groups, sizes, kernel, stride, padding, dilation = case
    rng = np.random.default_rng(1)
    n = len(sizes)
    kind = as_dtype(dtype).numpy
    x, w, b = (rng.standard_normal(s).astype(kind) for s in ((3, channels, *sizes), (out, channels // groups, *kernel), (out,)))
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    p, q, r = (torch.from_numpy(v.astype(np.float64)) for v in (x, w, b))
    want = getattr(torch.nn.functional, f"conv{n}d")(p, q, r, **attrs)
    a, c, d = (candle.tensor(v, device="cpu") for v in (x, w, b))
    got = getattr(candle, f"conv{n}d")(a, c, d, **attrs).numpy().astype(np.float64)
    part = {"float32": 2e-6, "float16": 1e-3, "bfloat16": 8e-3}[dtype]  # of the largest, which is rounded once
    assert got.shape == tuple(want.shape)
    assert np.abs(got - want.numpy()).max() <= part * np.abs(want.numpy()).max()
    y = rng.standard_normal(want.shape).astype(kind)
    back = getattr(candle, f"conv_transpose{n}d")(
        candle.tensor(y, device="cpu"), c, None, stride=stride, padding=padding, dilation=dilation, groups=groups
    ).numpy()
    theirs = getattr(torch.nn.functional, f"conv_transpose{n}d")(
        torch.from_numpy(y.astype(np.float64)), q, None, stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    assert np.abs(back.astype(np.float64) - theirs.numpy()).max() <= part * np.abs(theirs.numpy()).max()


def test_gradients_of_convolutions_are_torchs(isa: str, threads: int) -> None:
    torch = pytest.importorskip("torch", reason="the peer")
    rng = np.random.default_rng(2)
    x, w, b = (rng.standard_normal(s, np.float32) for s in ((9, 6, 21, 23), (34, 3, 3, 3), (34,)))
    ours = [candle.tensor(v, device="cpu", requires_grad=True) for v in (x, w, b)]
    theirs = [torch.from_numpy(v).requires_grad_() for v in (x, w, b)]
    attrs = {"stride": 2, "padding": 1, "groups": 2}
    (candle.conv2d(*ours, **attrs) ** 2).sum().backward()
    (torch.nn.functional.conv2d(*theirs, **attrs) ** 2).sum().backward()
    for mine, other in zip(ours, theirs):
        want = other.grad.numpy()
        assert np.abs(mine.grad.numpy() - want).max() <= 2e-5 * np.abs(want).max() + 1e-4


@pytest.mark.parametrize("ceil", [False, True])
def test_pooling_is_torchs(isa: str, ceil: bool) -> None:
    torch = pytest.importorskip("torch", reason="the peer")
    x = np.random.default_rng(4).standard_normal((3, 5, 22, 35), np.float32)
    x[0, 0, 3, 3] = np.nan
    a, p = candle.tensor(x, device="cpu"), torch.from_numpy(x)
    for kernel, stride, padding in [((3, 3), (2, 2), (1, 1)), ((2, 3), (2, 1), (0, 1)), ((5, 5), (1, 1), (2, 2))]:
        attrs: Any = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil}
        values, places = torch.nn.functional.max_pool2d(p, return_indices=True, **attrs)
        assert np.array_equal(candle.max_pool(a, **attrs).numpy(), values.numpy(), equal_nan=True)
        found, at = candle.max_pool_with_indices(a, **attrs)
        assert np.array_equal(found.numpy(), values.numpy(), equal_nan=True)
        assert np.array_equal(at.numpy(), places.numpy())
        for counted in (False, True):
            want = torch.nn.functional.avg_pool2d(p, count_include_pad=counted, **attrs).numpy()
            assert np.allclose(candle.avg_pool(a, count_include_pad=counted, **attrs).numpy(), want, atol=1e-5, equal_nan=True)


# -- quantised weights -------------------------------------------------------------------------------

KINDS = ["q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "q8_k", "iq4_nl", "iq4_xs", "mxfp4"]


@pytest.mark.parametrize("kind", KINDS)
def test_quantised_products_and_values(isa: str, kind: str) -> None:
    rng = np.random.default_rng(6)
    dtype = as_dtype(kind)
    for n, k in ((37, 512), (16, 768 if dtype.block == 256 else 96)):
        blocks = encode(rng.standard_normal((n, k), np.float32), kind)
        w = candle.tensor(blocks, device="cpu")
        values = decode(blocks)
        assert np.array_equal(w.dequantize().numpy().view(np.uint32), values.view(np.uint32))
        ids = rng.integers(0, n, (3, 4))
        assert np.array_equal(candle.embedding(w, candle.tensor(ids, device="cpu")).numpy(), values[ids])
        bias = rng.standard_normal(n, np.float32)
        for m in (1, 2, 3, 4, 7, 21):
            x = rng.standard_normal((m, k), np.float32)
            got = candle.linear(candle.tensor(x, device="cpu"), w, candle.tensor(bias, device="cpu")).numpy()
            steps = np.abs(x).reshape(m, -1, dtype.block).max(-1) / 254
            bound = steps @ np.abs(values).reshape(n, -1, dtype.block).sum(-1).T
            assert (np.abs(got - (x @ values.T + bias)) <= bound + 1e-3).all()


def test_quantised_rows_agree_with_gguf(isa: str) -> None:
    gguf = pytest.importorskip("gguf", reason="the peer")
    rng = np.random.default_rng(8)
    for kind in KINDS:
        if kind == "q8_k":  # for activations only: gguf has no decoder
            continue
        dtype = as_dtype(kind)
        raw = rng.integers(0, 256, (64, dtype.itemsize), np.uint8)
        blocks = raw.view(dtype.numpy)
        for name in ("d", "m", "dmin"):
            if name in blocks[dtype.name].dtype.names:
                blocks[dtype.name][name] = rng.standard_normal((64, 1)).astype(np.float16)
        want = gguf.dequantize(raw, getattr(gguf.GGMLQuantizationType, kind.upper()))
        got = candle.tensor(blocks, device="cpu").dequantize().numpy()
        assert np.array_equal(got, want, equal_nan=True), kind


def test_an_id_beyond_the_table_is_named() -> None:
    w = candle.tensor(encode(np.zeros((4, 32), np.float32), "q4_0"), device="cpu")
    with pytest.raises(IndexError, match="0 to 3 but was given 4"):
        candle.embedding(w, candle.tensor(np.array([1, 4]), device="cpu"))
