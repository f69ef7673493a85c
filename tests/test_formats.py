"""Files of tensors: right ones are read without a copy, wrong and hostile ones are refused with the reason."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import candle
from candle import FormatError

KINDS = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32",
         "float64", "complex64", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "float8_e4m3fnuz", "float8_e5m2fnuz",
         "float4_e2m1fn"]  # fmt: skip


def values(kind, shape=(3, 4)):
    n = int(np.prod(shape))
    return candle.tensor((np.arange(n) % 2 if kind == "bool" else np.arange(n) % 4).reshape(shape)).to(dtype=kind)


def same(a, b):
    assert a.spec is b.spec
    assert a.numpy().tobytes() == b.numpy().tobytes()


def file(tmp_path, header, data=b"", length=None, name="x.safetensors"):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = tmp_path / name
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    return path


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


# -- safetensors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_safetensors_keeps_every_dtype(tmp_path, kind):
    path = tmp_path / "x.safetensors"
    tensors = {"a": values(kind), "none": values(kind, (0, 3)), "deep": values(kind, (1, 2, 1, 3, 1, 2))}
    candle.save(path, tensors, {"who": "us"})
    found = candle.load(path)
    assert found.metadata == {"who": "us"} and set(found) == set(tensors) and len(found) == 3
    for name, x in tensors.items():
        same(found[name], x)
        assert found.specs[name] is x.spec


def test_the_library_reads_what_candle_writes_and_the_reverse(tmp_path):
    tensors = {"w": values("float32"), "h": values("float16", (5,)), "i": values("int64", ()), "b": values("bool", (7,))}
    candle.save(tmp_path / "a.safetensors", tensors)
    theirs = safetensors.numpy.load_file(tmp_path / "a.safetensors")
    assert {k: v.dtype for k, v in theirs.items()} == {k: t.dtype.numpy for k, t in tensors.items()}
    for k, t in tensors.items():
        np.testing.assert_array_equal(theirs[k], t.numpy())
    safetensors.numpy.save_file(
        {k: np.array(t.numpy()) for k, t in tensors.items()}, tmp_path / "b.safetensors", {"format": "np"}
    )
    found = candle.load(tmp_path / "b.safetensors")
    assert found.metadata == {"format": "np"}
    for k, t in tensors.items():
        same(found[k], t)


def test_torch_reads_bfloat16_and_float8_written_by_candle(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    tensors = {"b": values("bfloat16"), "e": values("float8_e4m3fn"), "c": values("complex64")}
    candle.save(tmp_path / "x.safetensors", tensors)
    found = load_file(tmp_path / "x.safetensors")
    assert [str(found[k].dtype) for k in tensors] == ["torch.bfloat16", "torch.float8_e4m3fn", "torch.complex64"]
    for k, t in tensors.items():
        assert found[k].to(torch.complex64).tolist() == t.to(dtype="complex64").tolist()


def test_values_are_mapped_and_not_copied(tmp_path):
    path = tmp_path / "x.safetensors"
    candle.save(path, {"a": values("float32"), "b": values("int8")})
    x = candle.load(path, device="numpy")["a"].numpy()
    base = x
    while getattr(base, "base", None) is not None:
        base = base.base
    assert type(base.obj if isinstance(base, memoryview) else base).__name__ == "mmap"
    assert not x.flags.writeable


def test_a_loaded_file_may_be_replaced_while_in_use(tmp_path):
    path = tmp_path / "x.safetensors"
    candle.save(path, {"a": values("float32")})
    found = candle.load(path)
    candle.save(path, {"a": found["a"] + 1})
    same(found["a"], values("float32"))
    same(candle.load(path)["a"], values("float32") + 1)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=8).filter(lambda n: n != "__metadata__"),
        st.tuples(st.sampled_from(KINDS[:-1]), st.lists(st.integers(0, 4), max_size=4)),
    )
)
def test_any_names_and_shapes_survive(tmp_path_factory, tensors):
    path = tmp_path_factory.mktemp("any") / "x.safetensors"
    made = {name: values(kind, tuple(shape)) for name, (kind, shape) in tensors.items()}
    candle.save(path, made)
    found = candle.load(path)
    assert set(found) == set(made)
    for name, x in made.items():
        same(found[name], x)


HOSTILE = {
    "empty file": (lambda t: (t / "x.safetensors").write_bytes(b"") or t / "x.safetensors", "begins with 8 bytes"),
    "short file": (lambda t: (t / "x.safetensors").write_bytes(b"abc") and t / "x.safetensors", "it has 3 bytes"),
    "header beyond the file": (lambda t: file(t, {}, length=1000), "its header has 1000 bytes but only 2 follow"),
    "header of exabytes": (lambda t: file(t, {}, length=1 << 63), "at most 100000000 are taken"),
    "no object": (lambda t: file(t, b"[1]"), "begins with"),
    "no JSON": (lambda t: file(t, b"{'a': 1}"), "no JSON"),
    "no UTF-8": (lambda t: file(t, b'{"\xff": 1}'), "no JSON"),
    "deep nesting": (lambda t: file(t, b'{"a":' * 100_000), "no JSON"),
    "NaN": (lambda t: file(t, b'{"a": NaN}'), "NaN"),
    "long integers": (lambda t: file(t, b'{"a": ' + b"9" * 10_000 + b"}"), "no JSON"),
    "a name twice": (lambda t: file(t, b'{"a": 1, "a": 2}'), "'a' twice"),
    "a key twice": (lambda t: file(t, b'{"a": {"dtype": "F32", "dtype": "U8", "shape": []}}'), "'dtype' twice"),
    "no description": (lambda t: file(t, {"a": 3}), "not described by dtype, shape and data_offsets"),
    "part of it": (lambda t: file(t, {"a": {"dtype": "F32"}}), "not described by dtype"),
    "unknown dtype": (lambda t: file(t, {"a": entry("F77")}, b"1234"), "has the dtype 'F77'; those known are BOOL, U8"),
    "dtype no name": (lambda t: file(t, {"a": entry(["F32"])}, b"1234"), "has the dtype"),
    "negative size": (lambda t: file(t, {"a": entry(shape=(-1,))}, b"1234"), r"has the shape \[-1\]"),
    "size no integer": (lambda t: file(t, {"a": entry(shape=(1.0,))}, b"1234"), "integers"),
    "size true": (lambda t: file(t, {"a": entry(shape=(True,))}, b"1234"), "integers"),
    "huge sizes": (lambda t: file(t, {"a": entry(shape=(1 << 40, 1 << 40))}, b"1234"), "more elements than a file can hold"),
    "huge sizes, one zero": (lambda t: file(t, {"a": entry(shape=(1 << 60, 1 << 60, 0), offsets=(0, 0))}), "more elements"),
    "many dimensions": (lambda t: file(t, {"a": entry(shape=(1,) * 65)}, b"1234"), "at most 64 integers"),
    "offsets beyond": (lambda t: file(t, {"a": entry(offsets=(0, 8), shape=(2,))}, b"1234"), "0 to 8 but the file has 4"),
    "offsets reversed": (lambda t: file(t, {"a": entry(offsets=(4, 0))}, b"1234"), "lies at 4 to 0"),
    "offsets negative": (lambda t: file(t, {"a": entry(offsets=(-4, 0))}, b"1234"), "two integers, at least 0"),
    "three offsets": (lambda t: file(t, {"a": entry(offsets=(0, 2, 4))}, b"1234"), "two integers"),
    "wrong length": (lambda t: file(t, {"a": entry(shape=(2,))}, b"1234"), r"F32\[2\], 8 bytes, but its data_offsets"),
    "overlap": (lambda t: file(t, {"a": entry(), "b": entry(offsets=(2, 6))}, b"123456"), "'a' and 'b' overlap"),
    "gap": (lambda t: file(t, {"a": entry(), "b": entry(offsets=(6, 10))}, b"1234567890"), "'a' and 'b' leave 2 bytes"),
    "gap at the front": (lambda t: file(t, {"a": entry(offsets=(4, 8))}, b"12345678"), "'the header' and 'a' leave 4"),
    "something appended": (lambda t: file(t, {"a": entry()}, b"12345678"), "has 8 bytes of data but its tensors take 4"),
    "metadata no object": (lambda t: file(t, {"__metadata__": [1]}), "__metadata__ is a dictionary of strings"),
    "metadata of numbers": (lambda t: file(t, {"__metadata__": {"a": 1}}), "__metadata__ is a dictionary of strings"),
    "half a byte": (lambda t: file(t, {"a": entry("F4", (3,), (0, 1))}, b"1"), "do not fill whole bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_safetensors_are_refused_with_the_reason(tmp_path, name):
    make, text = HOSTILE[name]
    with pytest.raises(FormatError, match=text):
        candle.load(make(tmp_path))


def test_booleans_that_are_neither_are_refused_when_read(tmp_path):
    found = candle.load(file(tmp_path, {"a": entry("BOOL", (2,), (0, 2))}, b"\x01\x02"))
    with pytest.raises(FormatError, match="'a' is BOOL but has a byte of 2"):
        found["a"]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_file_cut_or_changed_anywhere_is_refused_or_read_whole(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "x.safetensors"
    candle.save(path, {"a": values("float32"), "b": values("int16", (5,))}, {"k": "v"})
    raw = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
    else:
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(raw)
    try:
        found = candle.load(path)
        assert all(found[k].spec is found.specs[k] for k in found)
    except (FormatError, IndexError):
        pass


def test_saving_says_what_it_cannot_write(tmp_path):
    path = tmp_path / "x.safetensors"
    with pytest.raises(FormatError, match="'a' is complex128, which safetensors has no name for; cast it"):
        candle.save(path, {"a": values("float64").to(dtype="complex128")})
    with pytest.raises(FormatError, match="metadata is a dictionary of strings"):
        candle.save(path, {"a": values("int8")}, {"n": 1})
    with pytest.raises(FormatError, match="cannot be called '__metadata__'"):
        candle.save(path, {"__metadata__": values("int8")})
    with pytest.raises(FormatError, match="'a' is saved as a tensor but it is str"):
        candle.save(path, {"a": "text"})
    with pytest.raises(FormatError, match="from names to tensors but was given list"):
        candle.save(path, [values("int8")])
    with pytest.raises(FormatError, match="written with the names .safetensors"):
        candle.save(tmp_path / "x.onnx", {"a": values("int8")})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "x.safetensors"
    candle.save(path, {"a": values("float32")})
    before = path.read_bytes()
    code = (
        "import candle, resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "big = candle.zeros(100_000)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try: candle.save(sys.argv[1], {'a': big})\n"
        "except OSError: sys.exit(7)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], env={**os.environ, "PYTHONPATH": "."}).returncode == 7
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


def test_pytorchs_order_of_arguments_is_taken(tmp_path):
    candle.save({"a": values("int8")}, tmp_path / "x.safetensors")
    same(candle.load(tmp_path / "x.safetensors")["a"], values("int8"))


def test_tensors_load_onto_a_device_and_unknown_names_are_met_with_near_ones(tmp_path):
    candle.save(tmp_path / "x.safetensors", {"weight": values("float32")})
    found = candle.load(tmp_path / "x.safetensors", device="numpy")
    assert str(found["weight"].device) == "numpy" and "weight" in found
    with pytest.raises(KeyError, match="no tensor called 'wieght'; did you mean 'weight'"):
        found["wieght"]


# -- sharded ---------------------------------------------------------------------------------------


def sharded(tmp_path, places):
    candle.save(tmp_path / "one.safetensors", {"a": values("float32")})
    candle.save(tmp_path / "two.safetensors", {"b": values("int8"), "c": values("bool")})
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 72}, "weight_map": places}))
    return path


def test_sharded_checkpoints_are_one_mapping(tmp_path):
    found = candle.load(sharded(tmp_path, {"a": "one.safetensors", "b": "two.safetensors", "c": "two.safetensors"}))
    assert list(found) == ["a", "b", "c"] and found.metadata == {"total_size": 72}
    same(found["c"], values("bool"))


@pytest.mark.parametrize(
    "places, text",
    [
        ({"a": "three.safetensors"}, "'three.safetensors', which is missing"),
        ({"z": "one.safetensors"}, "'z' lies in 'one.safetensors', which has no such tensor"),
        ({"a": "../one.safetensors"}, "the files of an index lie beside it"),
        ({"a": "/etc/passwd"}, "the files of an index lie beside it"),
        ({"a": ".."}, "the files of an index lie beside it"),
        ({"a": 3}, "has no weight_map"),
        ([], "has no weight_map"),
    ],
)
def test_bad_indices_are_refused(tmp_path, places, text):
    with pytest.raises(FormatError, match=text):
        candle.load(sharded(tmp_path, places))


# -- npz, npy --------------------------------------------------------------------------------------


def test_npz_and_npy_of_numpy_are_read(tmp_path):
    a, b = np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3))
    np.savez(tmp_path / "x.npz", a=a, b=b, scalar=np.float32(3), big=a.astype(">f4"))
    np.savez_compressed(tmp_path / "y.npz", a=a)
    np.save(tmp_path / "z.npy", b)
    found = candle.load(tmp_path / "x.npz")
    np.testing.assert_array_equal(found["b"].numpy(), b)
    assert found["scalar"].item() == 3 and found["big"].dtype == candle.float32 and found["big"].tolist() == a.tolist()
    np.testing.assert_array_equal(candle.load(tmp_path / "y.npz")["a"].numpy(), a)
    np.testing.assert_array_equal(candle.load(tmp_path / "z.npy")["arr_0"].numpy(), b)


def test_numpy_reads_npz_and_npy_of_candle(tmp_path):
    candle.save(tmp_path / "x.npz", {"a": values("float32"), "b": values("bool")})
    candle.save(tmp_path / "x.npy", {"a": values("complex64")})
    with np.load(tmp_path / "x.npz") as found:
        np.testing.assert_array_equal(found["a"], values("float32").numpy())
        assert found["b"].dtype == bool
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), values("complex64").numpy())
    with pytest.raises(FormatError, match="'a' is bfloat16, which npz has no name for; save it as .safetensors"):
        candle.save(tmp_path / "y.npz", {"a": values("bfloat16")})


def lying_npy(tmp_path, shape):
    raw = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    path = tmp_path / "x.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw + b"1234")
    return path


def objects(tmp_path, save, name):
    save(tmp_path / name, np.array([{}], dtype=object))
    return tmp_path / name


BAD_NUMPY = {
    "lies of its size": (lambda t: lying_npy(t, (1 << 40,)), "4398046511104 bytes, but 4 follow"),
    "overflows": (lambda t: lying_npy(t, (1 << 62, 1 << 62)), "but 4 follow its header"),
    "negative": (lambda t: lying_npy(t, (-1,)), "at least 0"),
    "objects": (lambda t: objects(t, np.save, "x.npy"), "would run code when read"),
    "objects in npz": (lambda t: objects(t, np.savez, "x.npz"), "would run code when read"),
    "strings": (lambda t: np.save(t / "x.npy", np.array(["a"])) or t / "x.npy", "holds NumPy's <U1"),
    "records": (lambda t: np.save(t / "x.npy", np.zeros(2, "f4,i4")) or t / "x.npy", "holds NumPy's"),
    "no zip": (lambda t: (t / "x.npz").write_bytes(b"PK\x03\x04 but no more") and t / "x.npz", "no right zip archive"),
}


@pytest.mark.parametrize("name", BAD_NUMPY)
def test_bad_npz_and_npy_are_refused_with_the_reason(tmp_path, name):
    make, text = BAD_NUMPY[name]
    with pytest.raises(FormatError, match=text):
        candle.load(make(tmp_path))


def test_damage_within_an_npz_is_found_when_it_is_read(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(1000.0))
    raw = bytearray(path.read_bytes())
    raw[500] ^= 1
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="cannot be read"):
        candle.load(path)["a"]


# -- which format ----------------------------------------------------------------------------------


def test_the_content_tells_the_format_and_not_the_name(tmp_path):
    candle.save(tmp_path / "x.safetensors", {"a": values("float32")})
    np.savez(tmp_path / "y.npz", a=values("float32").numpy())
    (tmp_path / "x.safetensors").rename(tmp_path / "weights.bin")
    (tmp_path / "y.npz").rename(tmp_path / "y.safetensors")
    for name in ("weights.bin", "y.safetensors"):
        same(candle.load(tmp_path / name)["a"], values("float32"))


def test_unknown_formats_are_met_with_those_there_are(tmp_path):
    (tmp_path / "x.h5").write_bytes(b"\x89HDF" + bytes(20))
    with pytest.raises(FormatError, match="looks like HDF5, which no installed plugin reads; the formats are ggml, gguf, "):
        candle.load(tmp_path / "x.h5")
    (tmp_path / "x.txt").write_text("hello, world")
    with pytest.raises(FormatError, match=r"in no format known here \(it begins with b'hello, w'\); the formats are ggml"):
        candle.load(tmp_path / "x.txt")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as z:
        z.writestr("archive/data.txt", b"")
    with pytest.raises(FormatError, match="looks like a zip archive"):
        candle.load(tmp_path / "x.zip")
    with pytest.raises(FormatError, match="reads the format 'h5'; the formats are ggml"):
        candle.load(tmp_path / "x.h5", format="h5")
    with pytest.raises(FormatError, match="is a folder; give one of the files in it"):
        candle.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        candle.load(tmp_path / "nothing.safetensors")


def test_inspect_says_what_a_file_holds(tmp_path):
    candle.save(tmp_path / "x.safetensors", {"a": values("float32")}, {"k": "v"})
    found = candle.formats.inspect(tmp_path / "x.safetensors").as_dict()
    assert found["format"] == "safetensors" and found["metadata"] == {"k": "v"} and found["parameters"] == 12
    assert found["tensors"] == {"a": {"dtype": "float32", "shape": [3, 4], "nbytes": 48}}


# -- quantised tensors -----------------------------------------------------------------------------


def test_quantised_tensors_are_kept_as_the_bytes_of_their_blocks(tmp_path):
    x = np.random.default_rng(0).standard_normal((3, 512)).astype(np.float32)
    given_ = {k: candle.tensor(x, device="numpy").to(k) for k in ("q4_0", "q6_k", "q8_0")} | {"plain": candle.tensor(x)}
    candle.save(tmp_path / "x.safetensors", given_, {"who": "us"})
    found = candle.load(tmp_path / "x.safetensors", device="numpy")
    assert found.metadata == {"who": "us"}
    for name, t in given_.items():
        assert found[name].spec is t.spec and found[name].numpy().tobytes() == t.numpy().tobytes()
    theirs = safetensors.numpy.load_file(tmp_path / "x.safetensors")
    assert theirs["q4_0"].dtype == np.uint8 and theirs["q4_0"].shape == (3, 512 // 32 * 18)


@pytest.mark.parametrize(("said", "reason"), [
    ("{", "no JSON object"), ('{"b": "q4_0"}', "names quantised kinds"), ('{"a": "q9"}', "names quantised kinds"),
    ('{"a": "q8_0"}', "no whole number of blocks"),
])  # fmt: skip
def test_wrong_kinds_of_quantised_tensors_are_refused(tmp_path, said, reason):
    header = {"__metadata__": {"candle.quantised": said}, "a": entry("U8", (18,), (0, 18))}
    with pytest.raises(FormatError, match=reason):
        candle.load(file(tmp_path, header, bytes(18)))


def test_a_captured_graph_keeps_quantised_states(tmp_path):
    layer = candle.nn.Linear(256, 4, device="numpy")
    layer.load_state_dict({"weight": layer.weight.to(candle.q4_k), "bias": layer.bias}, assign=True)
    x = candle.ones(2, 256, device="numpy")
    graph = candle.capture(lambda x: layer(x), x.spec)
    graph.save(tmp_path / "g")
    again = candle.Graph.load(tmp_path / "g", device="numpy")
    assert np.array_equal(again(x).numpy(), layer(x).detach().numpy())
