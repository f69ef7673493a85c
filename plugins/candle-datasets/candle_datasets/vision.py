"""Pictures with labels: MNIST and its kin, CIFAR, folders and archives of image files."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from candle import CandleError, FormatError

from .dataset import ArrayDataset, Dataset, _within
from .files import Remote, find, gunzipped

__all__ = ["ImageFolder", "cifar10", "cifar100", "fashion_mnist", "mnist"]

_IDX = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_MOST = 1 << 30  # no file of these datasets unpacks to more


def read_idx(path: Path) -> np.ndarray[Any, Any]:
    """The array of an IDX file, gzipped or not.  http://yann.lecun.com/exdb/mnist/ says what is in one.

    Raises FormatError where the header and the content do not fit.
    """
    content = gunzipped(path, _MOST)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX:
        raise FormatError(f"{path} is no IDX file: it begins with {content[:4].hex() or 'nothing'}")
    dtype, ndim = np.dtype(str(_IDX[content[2]])), content[3]
    start = 4 + 4 * ndim
    shape = tuple([int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)])
    wanted = start + dtype.itemsize * int(np.prod(shape, dtype=object))
    if len(content) != wanted:
        raise FormatError(f"{path} says that it holds {shape}, which takes {wanted} bytes, but it has {len(content)}")
    found = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return found.astype(dtype.newbyteorder("="), copy=False)


_MNIST = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
_FASHION = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
_MD5 = {
    "mnist": {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
}


def _train(split: str) -> bool:
    if split not in ("train", "test"):
        raise CandleError(f"the split is 'train' or 'test' but {split!r} was given")
    return split == "train"


def _idx(name: str, urls: tuple[str, ...], split: str, root: Any, transform: Any) -> ArrayDataset:
    stem = "train" if _train(split) else "t10k"
    arrays = []
    for kind in ("images-idx3", "labels-idx1"):
        file = f"{stem}-{kind}-ubyte.gz"
        arrays.append(read_idx(find(Remote(file, tuple([u + file for u in urls]), _MD5[name][file]), name, root)))
    images, labels = arrays
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise FormatError(f"{name} has images [n, h, w] and labels [n] but the files hold {images.shape} and {labels.shape}")
    return ArrayDataset(images[:, None], labels.astype(np.int64), transform=transform)


def mnist(
    split: str = "train", root: str | os.PathLike[str] | None = None, transform: Callable[[Any], Any] | None = None
) -> ArrayDataset:
    """Handwritten digits: uint8[1,28,28] and a class from 0 to 9; 60,000 to train, 10,000 to test.

    ``root`` is a folder with the four files, else they are downloaded.  http://yann.lecun.com/exdb/mnist/
    """
    return _idx("mnist", _MNIST, split, root, transform)


def fashion_mnist(
    split: str = "train", root: str | os.PathLike[str] | None = None, transform: Callable[[Any], Any] | None = None
) -> ArrayDataset:
    """Pictures of clothes in MNIST's form.  https://arxiv.org/abs/1708.07747"""
    return _idx("fashion-mnist", _FASHION, split, root, transform)


_CIFAR = {
    "cifar10": ("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", 1),
    "cifar100": ("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8", 2),
}


def _cifar(name: str, split: str, root: Any, transform: Any) -> ArrayDataset:
    archive, md5, labels = _CIFAR[name]
    train = _train(split)
    wanted = [f"data_batch_{n}.bin" for n in range(1, 6)] if train else ["test_batch.bin"]
    if name == "cifar100":
        wanted = ["train.bin"] if train else ["test.bin"]
    loose = [] if root is None else [p for w in wanted for p in sorted(Path(root).rglob(w))]
    if len(loose) == len(wanted):
        contents = [gunzipped(p, _MOST) for p in loose]
    else:
        url = f"https://www.cs.toronto.edu/~kriz/{archive}"
        contents = _members(find(Remote(archive, (url,), md5), name, root), wanted)
    row = labels + 3072
    for file, content in zip(wanted, contents):
        if not content or len(content) % row:
            raise FormatError(f"{name}'s {file} has rows of {row} bytes but {len(content)} bytes in all")
    rows = np.concatenate([np.frombuffer(c, np.uint8).reshape(-1, row) for c in contents])
    return ArrayDataset(rows[:, labels:].reshape(-1, 3, 32, 32), rows[:, labels - 1].astype(np.int64), transform=transform)


def _members(path: Path, wanted: list[str]) -> list[bytes]:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                name = Path(member.name).name
                if member.isfile() and name in wanted and member.size <= _MOST:
                    stream = tar.extractfile(member)
                    found[name] = stream.read() if stream is not None else b""
    except (tarfile.TarError, EOFError, OSError) as e:
        raise FormatError(f"{path} cannot be read as an archive: {e}") from e
    missing = [w for w in wanted if w not in found]
    if missing:
        raise FormatError(f"{path} has no {', '.join(missing)}")
    return [found[w] for w in wanted]


def cifar10(
    split: str = "train", root: str | os.PathLike[str] | None = None, transform: Callable[[Any], Any] | None = None
) -> ArrayDataset:
    """Pictures of ten kinds of things: uint8[3,32,32] and a class; 50,000 to train, 10,000 to test.

    A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
    """
    return _cifar("cifar10", split, root, transform)


def cifar100(
    split: str = "train", root: str | os.PathLike[str] | None = None, transform: Callable[[Any], Any] | None = None
) -> ArrayDataset:
    """The same of a hundred kinds (the fine labels)."""
    return _cifar("cifar100", split, root, transform)


_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".tif", ".tiff")


class ImageFolder(Dataset):
    """Image files in folders named after their classes, in a folder or in an uncompressed tar archive.

    A sample is uint8[3,h,w] (``mode="L"``: [1,h,w]) and the number of its class in ``classes``; ``transform`` is given the
    Pillow image, and what it returns takes the picture's place.  ``under`` picks a subfolder, such as "train".
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        under: str = "",
        transform: Callable[[Any], Any] | None = None,
        mode: str = "RGB",
    ) -> None:
        self.root, self.transform, self.mode = Path(root), transform, mode
        if self.root.is_dir():
            base = self.root / under
            names = [str(p.relative_to(self.root)) for p in sorted(base.rglob("*")) if p.is_file()]
            self._at: dict[str, tuple[int, int]] = {}
        elif self.root.is_file():
            try:
                with tarfile.open(self.root, "r:") as tar:
                    self._at = {m.name: (m.offset_data, m.size) for m in tar if m.isfile()}
            except tarfile.TarError as e:
                raise FormatError(f"{self.root} cannot be read as an uncompressed tar archive: {e}") from e
            names = sorted(self._at)
        else:
            raise CandleError(f"there is no folder or archive {self.root}")
        parts = Path(under).parts
        names = [n for n in names if n.lower().endswith(_PICTURES)]
        names = [n for n in names if not parts or _contains(Path(n).parts[:-2], parts)]
        self.classes = sorted({Path(n).parent.name for n in names})
        number = {c: i for i, c in enumerate(self.classes)}
        self.files = [(n, number[Path(n).parent.name]) for n in names]
        if not self.files:
            raise CandleError(f"{self.root} has no pictures in folders of classes{f' under {under!r}' if under else ''}")

    def __len__(self) -> int:
        return len(self.files)

    def image(self, index: int) -> Any:
        """A sample's picture, as Pillow has it.  Raises FormatError where it cannot be decoded."""
        from PIL import Image, UnidentifiedImageError

        name, _ = self.files[_within(index, len(self))]
        try:
            if not self._at:
                with Image.open(self.root / name) as picture:
                    return picture.convert(self.mode)
            start, size = self._at[name]
            with open(self.root, "rb") as f:
                f.seek(start)
                return Image.open(io.BytesIO(f.read(size))).convert(self.mode)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as e:
            raise FormatError(f"the picture {name} of {self.root} cannot be decoded: {e}") from e

    def __getitem__(self, index: int) -> Any:
        picture = self.image(index)
        label = self.files[_within(index, len(self))][1]
        if self.transform is not None:
            return self.transform(picture), label
        array = np.asarray(picture)
        return (array[None] if array.ndim == 2 else array.transpose(2, 0, 1)), label


def _contains(parts: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    return any(parts[i : i + len(wanted)] == wanted for i in range(len(parts) - len(wanted) + 1))
