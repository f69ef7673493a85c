"""Well-known collections: read from real files where they are at hand, downloaded from a server that plays their publisher."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import json
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from candle_datasets import files, load, text, transforms, vision
from candle_datasets.random import seeded
from hypothesis import given, settings
from hypothesis import strategies as st

from candle import CandleError, FormatError
from candle.cli import main

DATA = Path(__file__).parents[4] / "shared" / "data"


def needs(*path):
    found = DATA.joinpath(*path)
    if not found.exists():
        pytest.skip(f"the data {'/'.join(path)} is not at hand")
    return found


def idx(array):
    code = {np.dtype(np.uint8): 8, np.dtype(np.float32): 13}[array.dtype]
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, code, array.ndim]) + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def digits(tmp_path):
    rng = np.random.default_rng(0)
    for stem, n in (("train", 12), ("t10k", 5)):
        (tmp_path / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(rng.integers(0, 256, (n, 28, 28), np.uint8))))
        (tmp_path / f"{stem}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(rng.integers(0, 10, n, np.uint8))))
    return tmp_path


def test_mnist_as_it_is():
    train, test = (vision.mnist(split, needs("mnist")) for split in ("train", "test"))
    assert (len(train), len(test)) == (60000, 10000)
    image, label = train[0]
    assert image.shape == (1, 28, 28) and image.dtype == np.uint8 and label == 5
    assert np.bincount(test.arrays[1]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert (
        hashlib.sha256(idx(train.arrays[0][:, 0])).hexdigest()
        == "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    )


def test_pictures_in_an_archive():
    folder = vision.ImageFolder(needs("cifar10", "cifar10_jpeg_subset.tar"), under="train")
    assert len(folder.classes) == 10 and len(folder) == 2000
    image, label = folder[0]
    assert image.shape == (3, 32, 32) and image.dtype == np.uint8 and folder.classes[label] == "airplane"
    assert len(vision.ImageFolder(needs("cifar10", "cifar10_jpeg_subset.tar"), under="test")) == 500


def test_tiny_shakespeare_as_it_is():
    found = text.tiny_shakespeare(needs("text"))
    letters = text.Characters(found)
    assert len(found) == 1115394 and len(letters) == 65
    ids = letters.encode(found[:1000])
    assert letters.decode(ids) == found[:1000]


@given(n=st.integers(2, 60), length=st.integers(1, 12), stride=st.integers(1, 9))
@settings(max_examples=80, deadline=None)
def test_windows_are_the_text_and_what_comes_next(n, length, stride):
    tokens = np.arange(n) * 3
    if n <= length:
        with pytest.raises(CandleError, match="longer text"):
            text.Windows(tokens, length, stride)
        return
    windows = text.Windows(tokens, length, stride)
    xs, ys = windows.batch(np.arange(len(windows)))
    for at, (x, y) in enumerate(windows):
        start = at * stride
        assert (
            x.tolist() == tokens[start : start + length].tolist()
            and y.tolist() == tokens[start + 1 : start + length + 1].tolist()
        )
        assert xs[at].tolist() == x.tolist() and ys[at].tolist() == y.tolist()
    assert (len(windows) - 1) * stride + length + 1 <= n < len(windows) * stride + length + 1


def test_token_files_and_stories(tmp_path):
    text.save_tokens(tmp_path / "a.bin", [1, 2, 65535])
    found = text.token_file(tmp_path / "a.bin")
    assert isinstance(found, np.memmap) and found.tolist() == [1, 2, 65535]
    with pytest.raises(CandleError, match="uint16 holds ids up to 65535"):
        text.save_tokens(tmp_path / "b.bin", [70000])
    (tmp_path / "c.bin").write_bytes(b"abc")
    with pytest.raises(FormatError, match="3 bytes, which are no whole number"):
        text.token_file(tmp_path / "c.bin")
    (tmp_path / "s.txt").write_text("One day\nit rained.\n<|endoftext|>\nThe end — é.\n<|endoftext|>\n", encoding="utf-8")
    stories = text.Stories(tmp_path / "s.txt")
    assert list(stories) == ["One day\nit rained.", "The end — é."]
    assert stories.tokens(lambda s: [len(s)], end=0).tolist() == [18, 0, 12, 0]


# -- files that are not what they should be --------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no IDX file"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "says that it holds"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\x05abc"), "takes 13 bytes, but it has 11"),
        (gzip.compress(b"x" * 5000)[:30], "cannot be unpacked|no IDX"),
        (b"\x89PNG\r\n", "no IDX file"),
    ],
)
def test_broken_idx_files(tmp_path, content, said):
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(FormatError, match=said):
        vision.read_idx(tmp_path / "x.gz")


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("idx") / "x"
    path.write_bytes(b"\0\0\x08" + content)
    try:
        found = vision.read_idx(path)
    except FormatError:
        return
    assert idx(found) == path.read_bytes()


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"\0" * 100000))
    with pytest.raises(FormatError, match="more than the 1000 bytes"):
        files.gunzipped(tmp_path / "x.gz", 1000)


def cifar(tmp_path, rows):
    raw = b"".join([bytes([label]) + bytes([label * 3 % 256]) * 3072 for label in rows])
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz") as tar:
        for name in [f"data_batch_{n}.bin" for n in range(1, 6)] + ["test_batch.bin"]:
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))


def test_cifar_in_its_binary_form(tmp_path):
    cifar(tmp_path, [3, 9])
    train, test = (vision.cifar10(split, tmp_path) for split in ("train", "test"))
    assert len(train) == 10 and len(test) == 2 and train[1][1] == 9 and (train[1][0] == 27).all()
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz"):
        pass
    with pytest.raises(FormatError, match="has no test_batch.bin"):
        vision.cifar10("test", tmp_path)


def test_folders_of_pictures(tmp_path):
    from PIL import Image

    for kind, colour in (("cat", 10), ("dog", 200)):
        (tmp_path / "train" / kind).mkdir(parents=True)
        Image.new("RGB", (6, 4), (colour, 0, 0)).save(tmp_path / "train" / kind / "a.png")
    folder = vision.ImageFolder(tmp_path, under="train")
    assert folder.classes == ["cat", "dog"] and folder[1][0].shape == (3, 4, 6) and folder[1][0][0, 0, 0] == 200
    assert vision.ImageFolder(tmp_path, mode="L")[0][0].shape == (1, 4, 6)
    (tmp_path / "train" / "dog" / "a.png").write_bytes(b"no picture")
    with pytest.raises(FormatError, match="dog/a.png .* cannot be decoded"):
        folder[1]
    with pytest.raises(CandleError, match="no pictures"):
        vision.ImageFolder(tmp_path, under="test")


# -- downloads -------------------------------------------------------------------------------------


class Publisher(http.server.BaseHTTPRequestHandler):
    """Sends files, in part where it is asked to; breaks off once if it is told to."""

    files: dict[str, bytes] = {}
    break_after: int | None = None
    ranges: list[str] = []

    def do_GET(self):
        content = self.files.get(self.path.rsplit("/", 1)[-1])
        if content is None:
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        start = int(asked[6:-1]) if asked else 0
        type(self).ranges.append(asked or "")
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = type(self).break_after
        type(self).break_after = None
        self.wfile.write(content[start:] if stop is None else content[start:stop])

    def log_message(self, *args):
        pass


@pytest.fixture
def publisher():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Publisher)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Publisher.files, Publisher.break_after, Publisher.ranges = {}, None, []
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def test_a_download_goes_on_where_it_broke_off(publisher, tmp_path, monkeypatch):
    content = np.random.default_rng(0).bytes(300000)
    Publisher.files, Publisher.break_after = {"a.bin": content}, 100000
    monkeypatch.setenv("CANDLE_DATASETS", str(tmp_path))
    remote = files.Remote("a.bin", (publisher + "a.bin",), hashlib.md5(content).hexdigest())
    with pytest.raises(CandleError, match=r"could not be downloaded.*100000|broke off|IncompleteRead"):
        files.find(remote, "set")
    assert not (tmp_path / "set/a.bin").exists()
    assert files.find(remote, "set").read_bytes() == content
    assert Publisher.ranges == ["", "bytes=100000-"]
    assert files.find(remote, "set") and len(Publisher.ranges) == 2  # from the cache


def test_other_content_is_refused_and_removed(publisher, tmp_path, monkeypatch):
    Publisher.files = {"a.bin": b"something else"}
    monkeypatch.setenv("CANDLE_DATASETS", str(tmp_path))
    with pytest.raises(CandleError, match="not what was published"):
        files.find(files.Remote("a.bin", (publisher + "a.bin",), "0" * 32), "set")
    assert not list((tmp_path / "set").iterdir())
    with pytest.raises(CandleError, match="404"):
        files.find(files.Remote("b.bin", (publisher + "b.bin",)), "set")


def test_mnist_from_its_publisher(publisher, digits, tmp_path, monkeypatch):
    names = [p.name for p in digits.iterdir() if p.suffix == ".gz"]
    Publisher.files = {n: (digits / n).read_bytes() for n in names}
    monkeypatch.setattr(vision, "_MNIST", (publisher + "missing/x/", publisher))
    monkeypatch.setitem(vision._MD5, "mnist", {n: hashlib.md5(Publisher.files[n]).hexdigest() for n in names})
    monkeypatch.setenv("CANDLE_DATASETS", str(tmp_path / "cache"))
    assert len(load("mnist", split="test")) == 5
    monkeypatch.setenv("CANDLE_OFFLINE", "1")
    assert len(load("mnist", split="test")) == 5
    with pytest.raises(CandleError, match="downloads are off"):
        load("mnist", split="train")


def test_a_folder_is_only_read(digits, tmp_path):
    assert len(vision.mnist("train", digits)) == 12
    with pytest.raises(CandleError, match="is not in .*; leave out root to download it"):
        vision.mnist("train", tmp_path / "none")
    with pytest.raises(CandleError, match="'train' or 'test'"):
        vision.mnist("valid", digits)


# -- tables ----------------------------------------------------------------------------------------


def test_tables(tmp_path):
    pytest.importorskip("pyarrow", reason="tables need pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "a.csv").write_text("x,y,kind\n1,2.5,cat\n3,4.5,dog\n5,6.5,cat\n")
    rows = load("table", path=tmp_path / "a.csv")
    assert len(rows) == 3 and rows[1] == {"x": 3, "y": 4.5, "kind": "dog"}
    wanted = load("table", path=tmp_path / "a.csv", target="kind")
    assert wanted.classes == ["cat", "dog"] and wanted[2][0].tolist() == [5.0, 6.5] and wanted[1][1] == 1
    pq.write_table(pa.table({"x": [1, 2], "kind": ["a", "b"]}), tmp_path / "b.parquet")
    assert len(load("table", path=[tmp_path / "b.parquet"] * 2, columns=["x"])) == 4
    with pytest.raises(CandleError, match="no column 'z'; it has x, y, kind"):
        load("table", path=tmp_path / "a.csv", target="z")
    (tmp_path / "c.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(FormatError, match="cannot be read as Parquet"):
        load("table", path=tmp_path / "c.parquet")


# -- transforms ------------------------------------------------------------------------------------


def test_transforms_draw_from_the_batchs_generator():
    x = np.random.default_rng(0).integers(0, 256, (3, 20, 24), np.uint8)
    change = transforms.Compose(
        transforms.RandomResizedCrop(16), transforms.RandomHorizontalFlip(), transforms.RandomRotation(20),
        transforms.ColorJitter(0.4, 0.4, 0.4), transforms.RandomCrop(14, padding=2), transforms.RandomErasing(1.0),
        transforms.ToArray(), transforms.Normalize([0.5, 0.4, 0.3], [0.2, 0.2, 0.2]),
    )  # fmt: skip
    made = []
    for key in (1, 1, 2):
        with seeded(key):
            made.append(change(x))
    np.testing.assert_array_equal(made[0], made[1])
    assert made[0].shape == (3, 14, 14) and made[0].dtype == np.float32 and not np.array_equal(made[0], made[2])


def test_transforms_of_arrays_and_pictures_agree():
    from PIL import Image

    x = np.random.default_rng(1).integers(0, 256, (3, 17, 23), np.uint8)
    picture = Image.fromarray(x.transpose(1, 2, 0))
    for change in (
        transforms.Resize(9),
        transforms.Resize((8, 30)),
        transforms.CenterCrop(11),
        transforms.RandomCrop(13, padding=3),
    ):
        with seeded(4):
            one = np.asarray(change(x))
        with seeded(4):
            two = np.asarray(change(picture)).transpose(2, 0, 1)
        np.testing.assert_array_equal(one, two)
    flipped = transforms.RandomHorizontalFlip(1.0)
    np.testing.assert_array_equal(flipped(x), x[..., ::-1])
    np.testing.assert_array_equal(transforms.ToArray()(picture), x.astype(np.float32) / 255)
    with pytest.raises(CandleError, match="resize it first"):
        transforms.CenterCrop(50)(x)


# -- the command -----------------------------------------------------------------------------------


def test_the_command_lists_and_looks(digits, capsys):
    assert main(["datasets", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mnist"]
    assert main(["datasets", "mnist", "--option", f"root={digits}", "--option", "split=test", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["length"] == 5 and said["first"][0] == "uint8[1, 28, 28]"
    assert main(["datasets", "mnist", "--option", "color=red"]) != 0
    assert "does not take these options" in capsys.readouterr().err
