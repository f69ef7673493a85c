"""Whole models against onnxruntime: real ones where they are at hand, exported ones, and what is wrong with a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from candle_onnx import OnnxError, load
from hypothesis import given, settings
from hypothesis import strategies as st

import candle
from candle import FormatError
from candle.cli import main

onnx = pytest.importorskip("onnx")
helper, TensorProto = onnx.helper, onnx.TensorProto
DATA = Path(__file__).parents[4] / "shared" / "data" / "models"
rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def drawn_alike():
    """Each test draws the same numbers, whichever tests ran before it."""
    global rng
    rng = np.random.default_rng(0)


def peer(path, inputs):
    runtime = pytest.importorskip("onnxruntime", reason="the peer, onnxruntime, is not installed")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def agree(model, path, inputs):
    found = list(model(**inputs).values())
    for got, want in zip(found, peer(path, inputs), strict=True):
        scale = max(float(np.abs(want).max(initial=0)), 1e-3)
        np.testing.assert_allclose(got.numpy(), want, atol=1e-5 * scale, rtol=0)


def at(*parts):
    path = DATA.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"the model {'/'.join(parts)} is not at hand")
    return path


def picture(shape):
    return rng.uniform(-1, 1, shape).astype("f")


@pytest.mark.parametrize("name", ["version-RFB-320.onnx", "version-slim-320.onnx", "version-RFB-320_simplified.onnx"])
def test_faces(name):
    path = at("ultraface", name)
    model = load(path, device="numpy")
    agree(model, path, {model.inputs[0].name: picture((1, 3, 240, 320))})
    assert not model.why or "simplified" not in name


def test_pitch():
    path = at("basic_pitch_nmp.onnx")
    model = load(path, device="numpy")
    # Its logarithm of near silence magnifies float32 noise: other draws than this one differ by up to 2.5e-5 of the largest.
    noise = np.random.default_rng(2).uniform(-1, 1, (1, 43844, 1)).astype("f")
    agree(model, path, {model.inputs[0].name: noise})


@pytest.mark.parametrize("name", ["silero_vad.onnx", "silero_vad_16k_op15.onnx"])
def test_speech_with_branches_and_loops(name):
    path = at("silero", name)
    model = load(path, device="numpy")
    names = {p.name: p for p in model.inputs}
    state = np.zeros((2, 1, 128), "f")
    given_ = {"input": picture((1, 576)), "state": state, "sr": np.array(16000)}
    agree(model, path, {k: v for k, v in given_.items() if k in names})


def test_kinds_of_files():
    path = at("magika_standard_v3_3.onnx")
    model = load(path, device="numpy")
    ids = rng.integers(0, 257, (2, 2048)).astype(np.int32)
    agree(model, path, {model.inputs[0].name: ids})


# -- small graphs ----------------------------------------------------------------------------------


def graph(nodes, inputs, outputs, initializers=(), version=21, **more):
    made = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", version)], ir_version=10, **more)


def value(name, shape=(None, 3), kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def linear():
    w = onnx.numpy_helper.from_array(np.arange(12, dtype="f").reshape(3, 4), "w")
    return graph([helper.make_node("MatMul", ["x", "w"], ["y"])], [value("x", ("n", 3))], [value("y", ("n", 4))], [w])


@pytest.mark.parametrize("compile", [True, False])
def test_called_by_name_and_by_position(compile):
    model = load(linear().SerializeToString(), device="numpy", compile=compile)
    x = picture((2, 3))
    want = x @ np.arange(12, dtype="f").reshape(3, 4)
    for found in (model(x), model(x=candle.tensor(x, device="numpy"))):
        np.testing.assert_allclose(found.y.numpy(), want, rtol=1e-6)
        assert found["y"] is found.y and found[0] is found.y and list(found) == ["y"]
    assert repr(model) == "OnnxModel(x: float32[n,3] -> y: float32[n,4]; 1 nodes)"
    assert list(model.weights) == ["w"]


def test_a_capture_is_kept_per_shape_and_left_where_values_decide():
    model = load(linear(), device="numpy")
    for n in (1, 2, 1):
        model(picture((n, 3)))
    assert not model.why and model._compiled is not None
    chosen = graph([helper.make_node("NonZero", ["x"], ["y"])], [value("x")], [value("y", (2, None), TensorProto.INT64)])
    model = load(chosen, device="numpy")
    assert model(np.eye(3, dtype="f")).y.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert "capture" in model.why


def test_shapes_that_are_computed_fold_in_a_capture():
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"], axis=0),
        helper.make_node("Concat", ["n", "minus"], ["to"], axis=0),
        helper.make_node("Reshape", ["x", "to"], ["y"]),
    ]
    constants = [onnx.numpy_helper.from_array(np.array([v]), k) for k, v in (("zero", 0), ("minus", -1))]
    model = load(graph(nodes, [value("x", (None, 3, 2))], [value("y", (None, None))], constants), device="numpy")
    assert model(picture((4, 3, 2))).y.shape == (4, 6) and not model.why


def test_external_data_lies_beside_the_model(tmp_path):
    onnx.save(linear(), tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0, location="w.bin")
    x = picture((2, 3))
    np.testing.assert_allclose(load(tmp_path / "m.onnx", device="numpy")(x).y.numpy(), x @ np.arange(12, dtype="f").reshape(3, 4))
    with pytest.raises(OnnxError, match="load the model from its path"):
        load((tmp_path / "m.onnx").read_bytes())
    moved = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    for place in ("../w.bin", str(tmp_path / "w.bin")):
        moved.graph.initializer[0].external_data[0].value = place
        (tmp_path / "sub").mkdir(exist_ok=True)
        (tmp_path / "sub/m.onnx").write_bytes(moved.SerializeToString())
        with pytest.raises(OnnxError, match="outside the model's folder"):
            load(tmp_path / "sub/m.onnx")
    (tmp_path / "w.bin").write_bytes(b"short")
    with pytest.raises(OnnxError, match="takes 48 bytes from 0 of 'w.bin', which has 5"):
        load(tmp_path / "m.onnx")


def broken(change):
    model = linear()
    change(model)
    return model


def _add(model, node):
    model.graph.node.append(node)


WRONG = [
    (
        lambda m: _add(m, helper.make_node("Wobble", ["x"], ["z"])),
        "a node Wobble of the domain 'ai.onnx', version 21, is not known",
    ),
    (lambda m: _add(m, helper.make_node("Relu", ["nothing"], ["z"])), "takes 'nothing', which nothing makes"),
    (lambda m: _add(m, helper.make_node("Relu", ["y"], ["y"])), "makes 'y' twice"),
    (
        lambda m: m.graph.node.extend([helper.make_node("Relu", ["b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]),
        "in a circle",
    ),
    (lambda m: m.graph.output.append(value("gone")), "gives 'gone', which nothing makes"),
    (lambda m: m.graph.initializer[0].dims.__setitem__(0, 9), "which takes 144 bytes, but 48 are there"),
    (lambda m: m.graph.initializer[0].dims.__setitem__(0, 1 << 60), "bytes, but 48 are there"),
    (lambda m: m.graph.initializer[0].dims.__setitem__(0, -3), "sizes are at least 0"),
    (lambda m: setattr(m.graph.initializer[0], "data_type", 99), "element type 99"),
    (lambda m: m.graph.node[0].attribute.append(helper.make_attribute("speed", 3)), "has no attribute 'speed'"),
    (lambda m: m.graph.node[0].input.pop(), "at least 2 inputs but has 1"),
    (lambda m: setattr(m.graph.node[0], "domain", "com.example"), "whose version the model does not say"),
]


@pytest.mark.parametrize(("change", "said"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_with_a_model_is_said(change, said):
    with pytest.raises(OnnxError, match=said):
        load(broken(change))


def test_what_is_wrong_with_a_call_is_said():
    model = load(linear(), device="numpy")
    for call, said in (
        (lambda: model(), "needs x"), (lambda: model(z=1), "has no input z"), (lambda: model(1, 2), "takes 1 inputs"),
        (lambda: model(picture((2, 5))), r"has the shape \['n', 3\] but float32\[2,5\]"),
        (lambda: model(np.zeros((2, 3), np.int64)), "is float32 but int64"),
    ):  # fmt: skip
        with pytest.raises(OnnxError, match=said):
            call()
    bad = graph([helper.make_node("MatMul", ["x", "x"], ["y"], name="square")], [value("x", None)], [value("y", None)])
    with pytest.raises(OnnxError, match=r"the node 'square' \(MatMul, version 21\): matmul takes .*3 and 2 differ"):
        load(bad, device="numpy")(picture((2, 3)))


def test_absurd_requests_are_refused():
    shape = onnx.numpy_helper.from_array(np.array([1 << 40, 1 << 20]), "s")
    big = graph([helper.make_node("ConstantOfShape", ["s"], ["y"])], [], [value("y", None)], [shape])
    with pytest.raises(OnnxError, match="is refused"):
        load(big, device="numpy")()
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"])], "body",
        [value("i", (), TensorProto.INT64), value("c", (), TensorProto.BOOL)], [value("d", (), TensorProto.BOOL)],
    )  # fmt: skip
    going = onnx.numpy_helper.from_array(np.array(True), "t")
    endless = graph([helper.make_node("Loop", ["", "t"], [], body=body)], [], [], [going])
    with pytest.raises(OnnxError, match="more than 50 turns of loops"):
        load(endless, device="numpy", max_iterations=50)()


def test_files_that_are_no_models(tmp_path):
    for content in (b"", b"\x08", b"no protobuf at all", linear().SerializeToString()[:40]):
        (tmp_path / "x.onnx").write_bytes(content)
        with pytest.raises((FormatError, OnnxError)):
            load(tmp_path / "x.onnx")
    with pytest.raises(FormatError, match="there is no file"):
        load(tmp_path / "y.onnx")


@given(st.integers(0, 400), st.integers(0, 255))
@settings(max_examples=120, deadline=None)
def test_any_changed_byte_is_an_error_or_a_model(place, byte):
    content = bytearray(linear().SerializeToString())
    content[place % len(content)] = byte
    try:
        load(bytes(content), device="numpy")(picture((2, 3)))
    except candle.CandleError:
        pass


def test_functions_of_a_model():
    f = helper.make_function(
        "mine", "Scaled", ["a"], ["c"],
        [helper.make_node("Constant", [], ["k"]), helper.make_node("Mul", ["a", "k"], ["c"])],
        [helper.make_opsetid("", 21)], ["factor"],
    )  # fmt: skip
    f.node[0].attribute.append(onnx.AttributeProto(name="value_float", ref_attr_name="factor", type=onnx.AttributeProto.FLOAT))
    model = graph(
        [helper.make_node("Scaled", ["x"], ["y"], domain="mine", factor=2.5)], [value("x")], [value("y")], functions=[f]
    )
    model.opset_import.append(helper.make_opsetid("mine", 1))
    x = picture((2, 3))
    np.testing.assert_allclose(load(model, device="numpy")(x).y.numpy(), x * 2.5)


def test_from_the_command_line(tmp_path, capsys):
    onnx.save(linear(), tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", picture((2, 3)))
    files = ["--input", f"x={tmp_path / 'x.npy'}", "--save", str(tmp_path / "o.npz")]
    assert main(["onnx", "run", str(tmp_path / "m.onnx"), *files, "--json"]) == 0
    assert '"y": "float32[2, 4]"' in capsys.readouterr().out and np.load(tmp_path / "o.npz")["y"].shape == (2, 4)
    assert main(["onnx", "run", str(tmp_path / "m.onnx"), "--random"]) == 0
    assert main(["onnx", "operators"]) == 0 and "ai.onnx.MatMul" in capsys.readouterr().out
    assert main(["onnx", "run"]) != 0 and "takes a file" in capsys.readouterr().err
    assert main(["inspect", str(tmp_path / "m.onnx"), "--json"]) == 0 and '"MatMul": 1' in capsys.readouterr().out
