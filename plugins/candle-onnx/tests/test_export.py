"""What is written as ONNX: onnxruntime computes what candle does, and it can be read again."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from candle_onnx import OnnxError, export, load

import candle
from candle import Spec, nn
from candle.op import OPS, freeze
from candle.tensor import no_grad
from candle.testing.checks import call, draw, reference
from candle.testing.compare import differs
from candle.testing.draw import Unsuitable, cases

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime", reason="the peer, onnxruntime, is not installed")
rng = np.random.default_rng(0)
F32 = candle.float32

# What ONNX has no operator for and candle no expansion.
CANNOT = frozenset(
    "lgamma digamma polygamma i0 i1 gcd lcm nextafter real imag complex polar view_as_real view_as_complex mode bitcast "
    "dft rdft irdft conj_physical linalg_cholesky linalg_solve_triangular linalg_lu_factor linalg_solve linalg_inv cofactor "
    "linalg_det linalg_slogdet "
    "linalg_eigh linalg_eigvalsh linalg_eig linalg_eigvals linalg_qr linalg_svd linalg_svdvals linalg_pinv linalg_matrix_exp "
    "linalg_matrix_power".split()
)
KINDS = ("float32", "float64", "int64", "int32", "bool", "uint8")


def run(model, *arrays):
    options = runtime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    content = model if isinstance(model, str) else model.SerializeToString()
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {i.name: a for i, a in zip(session.get_inputs(), arrays)})


def drawn(op, most):
    """A few cases of an op in types that both know."""
    for case in cases(op, 48)[::5]:
        if most and case.size <= 100 and case.content == "normal":
            try:
                x = draw(op, case)
            except Unsuitable:
                continue
            types = [a.dtype for a in x.arrays if a is not None] + [v for v in x.attrs.values() if isinstance(v, candle.DType)]
            if all(t.name in KINDS for t in types):
                most -= 1
                yield x.arrays, {k: freeze(v) for k, v in x.attrs.items()}


# No random numbers, which differ, and no groups of which CANNOT has all.
@pytest.mark.parametrize("group", sorted({op.group for op in OPS.values()} - {"random", "quantised", "fft", "linalg"}))
def test_every_op(group):
    wrong, right = {}, set()
    for op in [o for o in OPS.values() if o.group == group and o.name not in CANNOT and not o.dynamic]:
        for arrays, attrs in drawn(op, 4):
            given = [np.asarray(a) for a in arrays if a is not None]

            def called(*xs, op=op, arrays=arrays, attrs=attrs):
                rest = iter(xs)
                return call(op, [None if a is None else next(rest) for a in arrays], attrs, None)

            try:
                with no_grad():
                    want = call(op, [a if a is None else candle.tensor(a, device="numpy") for a in arrays], attrs, reference())
            except (candle.CandleError, Unsuitable):
                continue
            if any(w.dtype.name not in KINDS for w in want):
                continue
            found = run(export(called, tuple(given)), *given)
            specs = [None if a is None else Spec(a.shape, candle.as_dtype(a.dtype)) for a in arrays]
            for w, g in zip(want, found, strict=True):
                # onnxruntime's Where loses the sign of zero
                fault = differs(op, specs, op.complete(specs, attrs), w.spec, np.asarray(g), w.numpy(), given)
                if fault and "a zero has the wrong sign" not in fault:
                    wrong[op.name] = fault
            right.add(op.name)
    assert wrong == {} and right


def cnn():
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)), (3, 8, 8)


def encoder():
    return nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), (7, 16)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(5, 6, batch_first=True)

    def forward(self, x):
        return self.lstm(x)[0]


def lstm():
    return Recurrent(), (4, 5)


@pytest.mark.parametrize("make", [cnn, encoder, lstm])
@pytest.mark.parametrize("batch", [3, "n"])
def test_modules(make, batch, tmp_path):
    model, shape = make()
    model = model.to("numpy").eval()
    path = str(tmp_path / "m.onnx")
    proto = export(model, Spec((batch, *shape), F32), path)
    assert {t.name for t in proto.graph.initializer} >= {k for k, _ in model.named_parameters()} - {"lstm.bias_hh_l0"}
    for n in (3,) if batch == 3 else (1, 3, 6):
        x = rng.standard_normal((n, *shape)).astype("f")
        want = model(candle.tensor(x, device="numpy")).detach().numpy()
        np.testing.assert_allclose(run(path, x)[0], want, atol=2e-5)
        np.testing.assert_allclose(load(path, device="numpy")(x)[0].numpy(), want, atol=2e-5)


def test_named_sizes_names_and_nests():
    def fn(a, b):
        n = a.shape[0]
        return {"flat": a.reshape(n * 4), "both": (candle.cat([a, b], dim=0), a.sum(dim=0))}

    a, b = rng.standard_normal((3, 4)).astype("f"), rng.standard_normal((5, 4)).astype("f")
    model = export(fn, (a, b), dynamic_axes={"a": {0: "n"}, "b": {0: "m"}})
    assert [o.name for o in model.graph.output] == ["flat", "both.0", "both.1"]
    flat, both, total = run(model, a[:2], b)
    np.testing.assert_array_equal(flat, a[:2].reshape(-1))
    np.testing.assert_array_equal(both, np.concatenate([a[:2], b]))
    np.testing.assert_allclose(total, a[:2].sum(0), rtol=1e-6)
    assert [i.name for i in export(fn, (a, b), input_names=["p", "q"]).graph.input] == ["p", "q"]


def test_infinities_and_no_elements():
    x = np.array([-np.inf, -1, 2, np.inf, np.nan], "f")
    low, high = run(export(lambda a: (a.clamp(min=0.0), a.clamp(max=1.0)), x), x)
    np.testing.assert_array_equal(low, np.maximum(x, 0))
    np.testing.assert_array_equal(high, np.minimum(x, 1))
    none = np.ones((2, 0), "f")
    for fn in (lambda a: a.mean(dim=1), lambda a: a.mean(), lambda a: (a > 0).any(dim=1), lambda a: (a > 0).all()):
        want = fn(candle.tensor(none, device="numpy")).numpy()
        np.testing.assert_array_equal(run(export(fn, none), none)[0], want)


def test_weights_beside_the_model(tmp_path):
    model = nn.Linear(40, 30).to("numpy")
    path = tmp_path / "m.onnx"
    export(model, Spec((2, 40), F32), path, external=True)
    assert (tmp_path / "m.onnx.data").stat().st_size >= 4800 and path.stat().st_size < 4800
    x = rng.standard_normal((2, 40)).astype("f")
    want = model(candle.tensor(x, device="numpy")).detach().numpy()
    np.testing.assert_allclose(run(str(path), x)[0], want, atol=1e-5)
    np.testing.assert_allclose(load(path, device="numpy")(x)[0].numpy(), want, atol=1e-5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "m.onnx.data"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_comes_back(dtype):
    model = nn.Linear(8, 4).to("numpy").to(dtype=candle.as_dtype(dtype))
    x = candle.tensor(rng.standard_normal((2, 8)), dtype=candle.as_dtype(dtype), device="numpy")
    found = load(export(model, x), device="numpy")(x)[0]
    np.testing.assert_allclose(found.float().numpy(), model(x).detach().float().numpy(), atol=0.05)


def test_what_onnx_cannot_say():
    x = Spec((3, 3), F32)
    drop = nn.BatchNorm1d(3).to("numpy").train()
    quantised = candle.quantize(candle.ones(4, 32, device="numpy"), "q8_0")
    for made, said in (
        (lambda: export(candle.lgamma, x), "no operator for lgamma"),
        (lambda: export(functools.partial(candle.add, 1), Spec((3,), candle.complex64)), "does not take complex64"),
        (lambda: export(drop, x), "ONNX keeps no state"),
        (lambda: export(lambda a: nn.functional.dropout(a, 0.5, True), x), "ONNX keeps no state"),
        (lambda: export(lambda a: candle.quantized_linear(a, quantised), Spec((2, 32), F32)), "no operator for dequantize"),
        (lambda: export(lambda a: a, x, opset=9), "opset 21 to"),
        (lambda: export(lambda a: a, x, dynamic_axes={"z": {0: "n"}}), "dynamic_axes names z"),
        (lambda: export(lambda a: a, x, output_names=["p", "q"]), "output_names are 1"),
        (lambda: export(lambda a: a, x, external=True), "takes a path"),
    ):
        with pytest.raises(OnnxError, match=said):
            made()
