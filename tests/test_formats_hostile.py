"""Damaged and hostile files of every format: the reason is given, and no more memory is taken than the file has bytes."""

from __future__ import annotations

import io
import json
import struct
import tempfile
import tracemalloc
import zipfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_formats_ggml import ggml_file

import candle as c
from candle import FormatError

SLACK = 3 << 20  # what Python itself takes while a file is read: modules, tables, texts of errors


def _made(suffix):
    x = {"a.b": c.tensor(np.arange(6, dtype=np.float32).reshape(2, 3), device="numpy"), "h": c.zeros(4, device="numpy").half(),
         "n": c.tensor(np.arange(3), device="numpy")}  # fmt: skip
    if suffix in (".gguf", ".safetensors"):
        x["q"] = c.ones(2, 256, device="numpy").to(c.q4_k)
    if suffix == ".gguf":
        return x, {
            "general.architecture": "llama",
            "tokens": ["a", "bc", ""],
            "scores": [0.5, 1.5],
            "n": [[1, 2], [3]],
            "t": True,
        }
    return x, {"k": "v"} if suffix == ".safetensors" else None


@lru_cache(None)
def good():
    """A right file of each format, by name."""
    with tempfile.TemporaryDirectory() as folder:
        return _good(Path(folder))


def _good(folder):
    found = {}
    for suffix in (".gguf", ".safetensors", ".npz", ".pt"):
        tensors, metadata = _made(suffix)
        c.save(folder / f"x{suffix}", tensors, metadata)
        found[suffix] = (folder / f"x{suffix}").read_bytes()
    c.save(folder / "x.npy", {"a": c.ones(3, 4)})
    found[".npy"] = (folder / "x.npy").read_bytes()
    items = [(b"w", 0, (2, 4), bytes(32)), (b"q", 2, (1, 32), bytes(18))]
    found[".ggjt"] = ggml_file(folder / "x.bin", b"tjgg", 3, items).read_bytes()
    found[".ggml"] = ggml_file(folder / "x.bin", b"lmgg", 0, items[:1]).read_bytes()
    name = b"blk.0.attn_q.weight"
    found[".dat"] = struct.pack("<ii", 1, len(name)) + name + struct.pack("<ii", 4, 3) + bytes(12)
    torch = pytest.importorskip("torch", reason="it writes the older files")
    raw = io.BytesIO()
    torch.save({"a": torch.ones(2, 3), "b": {"c": torch.zeros(2).half()}}, raw, _use_new_zipfile_serialization=False)
    found[".pth"] = raw.getvalue()
    return found


def read_whole(path):
    """Load a file and read all of it; FormatError is the only failure there may be, and memory is bounded by the file."""
    size = path.stat().st_size
    tracemalloc.start()
    try:
        found = c.load(path, device="numpy")
        for name, spec in found.specs.items():
            x = found[name]
            assert x.spec is spec and x.numpy().shape == spec.stored
            del x
        str(found.metadata)
    except FormatError as e:
        assert path.name in str(e), f"{e} does not name the file"
    except FileNotFoundError:
        raise
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 40 * size + SLACK


SUFFIXES = [".gguf", ".safetensors", ".npz", ".pt", ".npy", ".ggjt", ".ggml", ".dat", ".pth"]
_INTERESTING = [0, 1, 2, 127, 255, 256, 1 << 15, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, (1 << 64) - 1]


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_mutations_of_good_files_are_read_or_refused(tmp_path_factory, suffix, data):
    raw = bytearray(good()[suffix])
    kind = data.draw(st.sampled_from(["cut", "bytes", "number", "number", "repeat", "drop"]))
    at = data.draw(st.integers(0, len(raw) - 1))
    if kind == "cut":
        raw = raw[:at]
    elif kind == "bytes":
        for _ in range(data.draw(st.integers(1, 6))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    elif kind == "number":
        width = data.draw(st.sampled_from([4, 8]))
        raw[at : at + width] = (data.draw(st.sampled_from(_INTERESTING)) % (1 << 8 * width)).to_bytes(width, "little")
    elif kind == "repeat":
        raw[at:at] = raw[at : at + data.draw(st.integers(1, 64))]
    else:
        del raw[at : at + data.draw(st.integers(1, 64))]
    path = tmp_path_factory.mktemp("mutant") / f"mutant{suffix}"
    path.write_bytes(bytes(raw))
    read_whole(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_truncation_is_read_or_refused(tmp_path, suffix):
    raw = good()[suffix]
    path = tmp_path / f"cut{suffix}"
    for at in sorted({*range(0, min(len(raw), 80)), *range(0, len(raw), max(len(raw) // 60, 1))}):
        path.write_bytes(raw[:at])
        read_whole(path)


def gguf(tensors=0, keys=0, body=b"", version=3):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, keys) + body


def text(s):
    return struct.pack("<Q", len(s)) + s


def info(name=b"w", sizes=(4,), kind=0, offset=0):
    return text(name) + struct.pack("<I", len(sizes)) + struct.pack(f"<{len(sizes)}Q", *sizes) + struct.pack("<IQ", kind, offset)


def aligned(raw, data=bytes(64)):
    return raw + bytes(-len(raw) % 32) + data


NEST = text(b"k") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 255 + struct.pack("<IQ", 0, 0)
HOSTILE = {
    "tensor count": (gguf(tensors=1 << 31), "number of tensors says"),
    "metadata count": (gguf(keys=1 << 31), "number of metadata entries says"),
    "count beyond all": (gguf(tensors=(1 << 64) - 1), "number of tensors says"),
    "long string": (gguf(keys=1, body=struct.pack("<Q", 1 << 31) + bytes(30)), "takes 2147483648 bytes"),
    "long array": (gguf(keys=1, body=text(b"k") + struct.pack("<IIQ", 9, 4, 1 << 31) + bytes(8)), "says 2147483648"),
    "array of strings": (gguf(keys=1, body=text(b"k") + struct.pack("<IIQ", 9, 8, 1 << 60) + bytes(8)), "says"),
    "string within an array": (gguf(keys=1, body=text(b"k") + struct.pack("<IIQQ", 9, 8, 1, 1 << 62)), "beyond the end"),
    "dimensions": (gguf(tensors=1, body=text(b"w") + struct.pack("<I", (1 << 32) - 1) + bytes(64)), "dimensions"),
    "nested arrays": (gguf(keys=1, body=NEST), "within each other"),
    "unknown version": (gguf(version=9) + bytes(8), "version 9"),
    "unknown type": (aligned(gguf(tensors=1, body=info(kind=99))), "type 99, which is unknown"),
    "dropped type": (aligned(gguf(tensors=1, body=info(kind=4))), "Q4_2, which GGML has dropped"),
    "value type": (gguf(keys=1, body=text(b"k") + struct.pack("<I", 77) + bytes(8)), "of type 77"),
    "elements": (aligned(gguf(tensors=1, body=info(sizes=(1 << 40, 1 << 40)))), "more elements than"),
    "block": (aligned(gguf(tensors=1, body=info(sizes=(33,), kind=2))), "blocks of 32"),
    "offset": (aligned(gguf(tensors=1, body=info(offset=1 << 40))), "truncated"),
    "unaligned": (aligned(gguf(tensors=1, body=info(offset=3))), "no multiple of 32"),
    "beyond the end": (aligned(gguf(tensors=1, body=info(sizes=(17,)))), "truncated"),
    "overlap": (aligned(gguf(tensors=2, body=info(sizes=(9,)) + info(b"v", offset=32))), "overlap"),
    "twice": (aligned(gguf(tensors=2, body=info() + info(offset=32))), "'w' twice"),
    "key twice": (gguf(keys=2, body=2 * (text(b"k") + struct.pack("<II", 4, 1))), "'k' twice"),
    "alignment": (gguf(keys=1, body=text(b"general.alignment") + struct.pack("<II", 4, 12)), "power of two"),
    "boolean": (gguf(keys=1, body=text(b"k") + struct.pack("<IB", 7, 9) + bytes(8)), "is a boolean"),
    "no text": (gguf(keys=1, body=text(b"\xff\xfe") + struct.pack("<II", 4, 1)), "no UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_gguf_is_refused_with_the_reason(tmp_path, name):
    raw, reason = HOSTILE[name]
    path = tmp_path / "x.gguf"
    path.write_bytes(raw)
    tracemalloc.start()
    with pytest.raises(FormatError, match=reason) as e:
        c.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "x.gguf" in str(e.value) and peak < SLACK


@pytest.mark.parametrize(("magic", "version", "reason"), [
    (b"tjgg", 9, "version 9"), (b"fmgg", 2, "version 2"), (b"algg", 1, "LoRA"), (b"nsgg", 1, "session"),
])  # fmt: skip
def test_other_files_with_ggmls_magic_are_refused_by_name(tmp_path, magic, version, reason):
    (tmp_path / "x.bin").write_bytes(magic + struct.pack("<I", version) + bytes(100))
    with pytest.raises(FormatError, match=reason):
        c.load(tmp_path / "x.bin")


def test_a_zip_bomb_is_refused_before_it_goes_off(tmp_path):
    path = tmp_path / "bomb.npz"
    header = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (67108864,), }".ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z, z.open("a.npy", "w") as f:
        f.write(header)
        for _ in range(128):
            f.write(bytes(1 << 22))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(FormatError, match="bomb.npz.*as a zip bomb does"):
        c.load(path)


@pytest.mark.parametrize("suffix", [".npz", ".pt"])
def test_an_archive_of_a_later_version_of_zip_is_refused(tmp_path, suffix):
    raw = bytearray(good()[suffix])
    raw[raw.index(b"PK\x01\x02") + 6] = 255  # the version needed to read the first member
    path = tmp_path / f"x{suffix}"
    path.write_bytes(bytes(raw))
    with pytest.raises(FormatError, match="no right zip archive"):
        c.load(path)


def test_metadata_of_any_file_can_be_shown(tmp_path):
    from candle.cli.output import jsonable

    for suffix, raw in good().items():
        (tmp_path / f"x{suffix}").write_bytes(raw)
        json.dumps(jsonable(c.formats.inspect(tmp_path / f"x{suffix}").as_dict()))
