"""GGUF and its forebears: read and written as the gguf package does, every version, kind and byte order."""

from __future__ import annotations

import gzip
import struct
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import candle as c
from candle import FormatError
from candle.dtype import QUANTISED
from candle.formats.gguf import IDS, Metadata
from candle.formats.imatrix import importances
from candle.quant import decode
from candle.testing.draw import random_blocks

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def shared(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} of the shared data is not here")
    return path


def blocks(kind, shape=(3, 512), seed=0):
    rng = np.random.default_rng(seed)
    return c.from_numpy(random_blocks(rng, (*shape[:-1], shape[-1] // kind.block), kind)).to("numpy")


DENSE = ("float32", "float16", "bfloat16", "float64", "int8", "int16", "int32", "int64")
METADATA = {
    "general.architecture": "llama", "a.count": 3, "a.big": 1 << 40, "a.negative": -2, "a.eps": 0.5, "a.flag": True,
    "a.numbers": np.arange(5, dtype=np.int16), "a.words": ["a", "ü", ""], "a.nested": [[1, 2], [3]], "a.empty": [],
    "a.flags": np.array([True, False]),
}  # fmt: skip


def tensors():
    found = {name: c.tensor(np.arange(24).reshape(2, 3, 4), device="numpy").to(name) for name in DENSE}
    found.update({k.name: blocks(k) for k in QUANTISED})
    return {**found, "scalar": c.tensor(2.5, device="numpy"), "none": c.zeros(0, 4, device="numpy")}


def same(a, b):
    assert a.spec is b.spec and a.numpy().tobytes() == b.numpy().tobytes()


def plain(value):
    """A value of the metadata in lists."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [plain(v) for v in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


# -- GGUF ------------------------------------------------------------------------------------------


def test_gguf_keeps_every_kind_and_all_metadata(tmp_path):
    given = tensors()
    c.save(tmp_path / "x.gguf", given, METADATA)
    found = c.load(tmp_path / "x.gguf", device="numpy")
    assert list(found) == list(given) and list(found.metadata) == list(METADATA)
    for name, x in given.items():
        same(found[name], x)
    for key, value in METADATA.items():
        assert plain(found.metadata[key] if not hasattr(found.metadata[key], "raw") else list(found.metadata[key])) == plain(
            value
        )
    c.save(tmp_path / "y.gguf", found, found.metadata)
    assert (tmp_path / "x.gguf").read_bytes() == (tmp_path / "y.gguf").read_bytes()


def test_the_gguf_package_reads_what_candle_writes(tmp_path):
    gguf = pytest.importorskip("gguf", reason="the peer")
    given = {k: v for k, v in tensors().items() if k not in ("q8_1", "none", "scalar")}
    c.save(tmp_path / "x.gguf", given, {k: v for k, v in METADATA.items() if k != "a.empty"})
    reader = gguf.GGUFReader(tmp_path / "x.gguf")
    assert {t.name for t in reader.tensors} == set(given)
    for t in reader.tensors:
        x = given[t.name]
        assert t.tensor_type == IDS[x.dtype.name] and tuple(map(int, t.shape)) == x.shape[::-1]
        assert t.data.tobytes() == x.numpy().tobytes()
    assert reader.fields["a.count"].contents() == 3 and reader.fields["a.words"].contents() == ["a", "ü", ""]
    assert reader.fields["a.flag"].contents() is True and reader.fields["a.eps"].contents() == 0.5


@pytest.mark.parametrize("order", ["little", "big"])
def test_candle_reads_what_the_gguf_package_writes(tmp_path, order):
    gguf = pytest.importorskip("gguf", reason="the peer")
    endian = gguf.GGUFEndian.BIG if order == "big" else gguf.GGUFEndian.LITTLE
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama", endianess=endian)
    writer.add_uint32("a.count", 7)
    writer.add_array("a.words", ["one", "two"])
    writer.add_array("a.numbers", [1.5, 2.5])
    dense = np.arange(12, dtype=np.float32).reshape(3, 4)
    writer.add_tensor("dense", dense.copy())
    x = np.random.default_rng(0).standard_normal((2, 64)).astype(np.float32)
    packed = gguf.quants.quantize(x, gguf.GGMLQuantizationType.Q8_0)
    if order == "big":  # the package swaps whole elements only: scales are swapped here, as its converter does
        packed.reshape(-1, 34)[:, :2] = packed.reshape(-1, 34)[:, 1::-1]
    writer.add_tensor("packed", packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = c.load(tmp_path / "x.gguf", device="numpy")
    assert found.metadata["a.count"] == 7 and found.metadata["a.words"] == ["one", "two"]
    assert found.metadata["a.numbers"].tolist() == [1.5, 2.5]
    assert np.array_equal(found["dense"].numpy(), dense)
    want = gguf.quants.dequantize(gguf.quants.quantize(x, gguf.GGMLQuantizationType.Q8_0), gguf.GGMLQuantizationType.Q8_0)
    assert np.array_equal(found["packed"].float().numpy(), want)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_version_is_read(tmp_path, version):
    size = "<I" if version == 1 else "<Q"
    text = lambda s: struct.pack(size, len(s)) + s
    raw = b"GGUF" + struct.pack("<I", version) + struct.pack(size, 1) + struct.pack(size, 1)
    raw += text(b"k") + struct.pack("<I", 9) + struct.pack("<I", 8) + struct.pack(size, 2) + text(b"x") + text(b"yz")
    raw += text(b"w") + struct.pack("<I", 2) + struct.pack(size, 3) + struct.pack(size, 2) + struct.pack("<IQ", 0, 0)
    raw += bytes(-len(raw) % 32) + np.arange(6, dtype="<f4").tobytes()
    (tmp_path / "x").write_bytes(raw)
    found = c.load(tmp_path / "x", device="numpy")
    assert found["w"].tolist() == [[0, 1, 2], [3, 4, 5]] and found.metadata["k"] == ["x", "yz"]


def test_types_of_metadata_are_kept_and_may_be_said(tmp_path):
    given = Metadata({"n": 3, "f": 2.0}, types={"n": 10, "f": 12})
    c.save(tmp_path / "x.gguf", {}, given)
    found = c.load(tmp_path / "x.gguf").metadata
    assert found == {"n": 3, "f": 2.0} and found.types == {"n": 10, "f": 12}
    for bad, text in (({"n": 1 << 70}, "no integer"), ({"x": [1, "a"]}, "mixes types"), ({"x": {}}, "GGUF has numbers")):
        with pytest.raises(FormatError, match=text):
            c.save(tmp_path / "y.gguf", {}, bad)
    with pytest.raises(FormatError, match="GGUF holds tensors of at most 4"):
        c.save(tmp_path / "y.gguf", {"b": c.ones(3, dtype=bool)})


def test_a_vocabulary_opens_in_milliseconds_and_a_large_file_takes_no_memory(tmp_path):
    words = [f"word {i}" for i in range(150_000)]
    c.save(tmp_path / "x.gguf", {}, {"tokens": words})
    raw = (tmp_path / "x.gguf").read_bytes()
    head = bytearray(raw[: len(raw) // 32 * 32 + 32])
    with open(tmp_path / "big.gguf", "wb") as f:  # sparse: 4 GiB that take no room on the disk
        info = struct.pack("<Q", 1) + b"w" + struct.pack("<IQQIQ", 2, 1 << 15, 1 << 15, 0, 0)
        body = bytes(head[:8]) + struct.pack("<Q", 1) + raw[16:].rstrip(b"\0") + info
        f.write(body + bytes(-len(body) % 32))
        f.truncate(f.tell() + (1 << 32))
    c.load(tmp_path / "x.gguf")
    times = []
    for _ in range(3):
        began = time.perf_counter()
        found = c.load(tmp_path / "big.gguf", device="numpy")
        times.append(time.perf_counter() - began)
    assert min(times) < 0.25, "150,000 strings and 4 GiB"
    assert found["w"].shape == (1 << 15, 1 << 15) and found.metadata["tokens"][149_999] == "word 149999"
    assert found["w"][5, :3].tolist() == [0, 0, 0]


def test_real_vocabularies_are_read_as_the_gguf_package_reads_them(tmp_path):
    gguf = pytest.importorskip("gguf", reason="the peer")
    path = tmp_path / "x.gguf"
    path.write_bytes(gzip.decompress(shared("tokenizers/gguf/ggml-vocab-phi-3.gguf.gz").read_bytes()))
    found, reader = c.load(path), gguf.GGUFReader(path)
    for key, value in found.metadata.items():
        want = reader.fields[key].contents()
        assert (value.tolist() if isinstance(value, np.ndarray) else value) == want, key


# -- GGML ------------------------------------------------------------------------------------------

OLD_Q4_0 = np.dtype([("d", "<f4"), ("qs", "u1", 16)])


def ggml_file(path, magic, version, items, vocabulary=(b"a", b"bc")):
    """A file of LLaMA as llama.cpp wrote it: ``items`` are (name, type, sizes, bytes)."""
    raw = magic + (struct.pack("<I", version) if version else b"")
    raw += struct.pack("<7i", len(vocabulary), 64, 256, 4, 1, 16, 0)
    for word in vocabulary:
        raw += struct.pack("<I", len(word)) + word + (struct.pack("<f", 0.5) if version else b"")
    for name, kind, sizes, data in items:
        raw += struct.pack("<3i", len(sizes), len(name), kind) + struct.pack(f"<{len(sizes)}i", *sizes[::-1]) + name
        if magic == b"tjgg":
            raw += bytes(-len(raw) % 32)
        raw += data
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize(("magic", "version"), [(b"lmgg", 0), (b"fmgg", 1), (b"tjgg", 1), (b"tjgg", 2), (b"tjgg", 3)])
def test_every_version_of_ggml_is_read(tmp_path, magic, version):
    x, h = np.arange(8, dtype="<f4").reshape(2, 4), np.arange(6, dtype="<f2")
    path = ggml_file(tmp_path / "x.bin", magic, version, [(b"w", 0, (2, 4), x.tobytes()), (b"h", 1, (6,), h.tobytes())])
    found = c.load(path, device="numpy")
    assert np.array_equal(found["w"].numpy(), x) and np.array_equal(found["h"].numpy(), h)
    assert found.metadata["vocabulary"] == [b"a", b"bc"] and found.metadata["n_embd"] == 64
    assert c.formats.inspect(path).format == "ggml"


def test_quantised_tensors_of_ggjt_3_are_those_of_gguf(tmp_path):
    q = blocks(c.q4_k)
    path = ggml_file(tmp_path / "x.bin", b"tjgg", 3, [(b"w", IDS["q4_k"], (3, 512), q.numpy().tobytes())])
    same(c.load(path, device="numpy")["w"], q)


@pytest.mark.parametrize("version", [1, 2])
def test_quantised_tensors_from_before_ggjt_3_are_given_as_values(tmp_path, version):
    rng = np.random.default_rng(0)
    b = np.frombuffer(rng.bytes(40), OLD_Q4_0).copy()
    b["d"] = 0.25, -3.0
    path = ggml_file(tmp_path / "x.bin", b"tjgg", version, [(b"w", 2, (1, 64), b.tobytes()), (b"v", 0, (1,), bytes(4))])
    low, high = b["qs"] & 15, b["qs"] >> 4
    order = np.stack([low, high], -1 if version == 1 else 1).reshape(2, 32)
    want = b["d"][:, None] * (order.astype(np.float32) - 8)
    assert np.array_equal(c.load(path, device="numpy")["w"].numpy().reshape(2, 32), want)


def test_whisper_and_silero_files_are_read():
    found = c.load(shared("models/whisper_cpp/for-tests-silero-v6.2.0-ggml.bin"), device="numpy")
    assert len(found) == 15 and found.metadata["n_encoder_layers"] == 4
    peer = c.load(shared("models/silero/silero_vad_16k.safetensors"), device="numpy")
    ours, theirs = found["_model.decoder.rnn.bias_ih"], peer.get("lstm_cell.bias_ih", peer.get("decoder.rnn.bias_ih"))
    assert ours.shape == (512,) and (theirs is None or theirs.shape == ours.shape)
    tiny = c.load(shared("models/whisper_cpp/for-tests-ggml-tiny.en.bin"))
    assert tiny.metadata["mel_filters"].shape == (80, 201) and len(tiny.metadata["vocabulary"]) == 50257


# -- llama2.c --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared_head", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_llama2c_files_are_read(tmp_path, shared_head, first):
    d, h, n, heads, kv, v, s = 8, 12, 2, 4, 2, 10, 16
    head = struct.pack("<7i", d, h, n, heads, kv, v if shared_head or not first else -v, s)
    if not first:
        head = (struct.pack("<Ii", 0x616B3432, 1) + head + bytes([shared_head])).ljust(256, b"\0")
    norms, att, mlp = (n, d), [(n, d, d), (n, 4, d), (n, 4, d), (n, d, d)], [(n, h, d), (n, d, h), (n, h, d)]
    table, rope, last = (v, d), [(s, 1), (s, 1)], [] if shared_head else [(v, d)]
    shapes = [table, norms, *att, norms, *mlp, (d,), *rope, *last] if first else [norms, norms, (d,), table, *att, *mlp, *last]
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal(shape).astype("<f4") for shape in shapes]
    (tmp_path / "stories.bin").write_bytes(head + b"".join(p.tobytes() for p in parts))
    found = c.load(tmp_path / "stories.bin", device="numpy")
    assert c.formats.inspect(tmp_path / "stories.bin").format == "llama2c"
    assert np.array_equal(found["model.embed_tokens.weight"].numpy(), parts[0 if first else 3])
    assert np.array_equal(found["model.layers.1.self_attn.k_proj.weight"].numpy(), parts[3 if first else 5][1])
    assert np.array_equal(found["model.layers.0.mlp.down_proj.weight"].numpy(), parts[8 if first else 9][0])
    assert ("lm_head.weight" in found) is not shared_head and found.metadata["n_kv_heads"] == 2
    if not shared_head:
        assert np.array_equal(found["lm_head.weight"].numpy(), parts[-1])


# -- importance matrices ---------------------------------------------------------------------------


def test_both_forms_of_importance_matrices_are_read(tmp_path):
    sums = np.array([2, 4, 6], np.float32)
    name = b"blk.0.ffn_up.weight"
    raw = struct.pack("<ii", 1, len(name)) + name + struct.pack("<ii", 4, 3) + sums.tobytes()
    (tmp_path / "a.dat").write_bytes(raw + struct.pack("<ii", 9, 4) + b"text")
    c.save(tmp_path / "b.gguf", {
        f"{name.decode()}.in_sum2": c.tensor(sums[None]), f"{name.decode()}.counts": c.tensor(np.array([[4]], np.float32)),
    }, {"general.type": "imatrix"})  # fmt: skip
    for file in ("a.dat", "b.gguf"):
        found = importances(tmp_path / file)
        assert list(found) == [name.decode()] and np.array_equal(found[name.decode()], sums / 4)
    assert c.load(tmp_path / "a.dat").metadata["dataset"] == "text"
    with pytest.raises(FormatError, match="no importance matrix"):
        c.save(tmp_path / "c.gguf", {"w": c.ones(3)})
        importances(tmp_path / "c.gguf")


def test_decoded_values_do_not_depend_on_the_file(tmp_path):
    q = blocks(c.q6_k)
    c.save(tmp_path / "x.gguf", {"w": q})
    assert np.array_equal(c.load(tmp_path / "x.gguf", device="numpy")["w"].float().numpy(), decode(q.numpy()))


def test_a_model_split_into_parts_is_one(tmp_path):
    given = tensors()
    names = list(given)
    for n in range(3):
        part = {k: given[k] for k in names[n::3]}
        metadata = {
            "split.no": n,
            "split.count": 3,
            "split.tensors.count": len(given),
            **({"general.name": "x"} if n == 0 else {}),
        }
        c.save(tmp_path / f"m-{n + 1:05d}-of-00003.gguf", part, metadata)
    found = c.load(tmp_path / "m-00002-of-00003.gguf", device="numpy")
    assert set(found) == set(given) and found.metadata == {"general.name": "x"}
    for name, x in given.items():
        same(found[name], x)
    (tmp_path / "m-00003-of-00003.gguf").unlink()
    with pytest.raises(FormatError, match=r"'m-00003-of-00003.gguf' is missing"):
        c.load(tmp_path / "m-00001-of-00003.gguf")
