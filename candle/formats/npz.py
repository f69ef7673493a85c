"""npz: a zip archive of NumPy arrays."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any, Callable, Mapping

import numpy as np
from numpy.lib import format as npformat

from ..errors import FormatError
from . import Checkpoint, Entry, replacing
from .archive import DAMAGE, UNREADABLE, names
from .npy import header, plain

suffixes = (".npz",)
_EXPANDS, _LARGE = 200, 1 << 24  # what grows by more, beyond so many bytes, is taken for a bomb


def matches(head: bytes, path: Path) -> bool:
    if not head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return False
    found = names(path)
    return all(n.endswith(".npy") for n in found) and (bool(found) or path.suffix == ".npz")


def load(path: Path) -> Checkpoint:
    """The arrays of an archive; each is read when it is asked for, and its check sum with it."""
    entries: dict[str, Entry] = {}
    try:
        with zipfile.ZipFile(path) as z:
            for info in z.infolist():
                name = info.filename.removesuffix(".npy")
                if name in entries:
                    raise FormatError(f"{path} has {name!r} twice")
                if info.flag_bits & 1:
                    raise FormatError(f"{path} is encrypted, which is not read")
                if info.file_size > max(_EXPANDS * info.compress_size, _LARGE):
                    raise FormatError(
                        f"{path}: {name!r} expands from {info.compress_size} to {info.file_size} bytes, as a zip bomb does; "
                        "save it uncompressed"
                    )
                with z.open(info) as f:
                    spec, _, _ = header(f, info.file_size, f"{path}: {name!r}")
                entries[name] = Entry(spec, spec.nbytes, _reader(path, info.filename))
    except (*UNREADABLE, FormatError):
        raise
    except DAMAGE as e:
        raise FormatError(f"{path} is no right zip archive: {e}") from None
    return Checkpoint(entries, {}, str(path))


def _reader(path: Path, member: str) -> Callable[[], np.ndarray[Any, Any]]:
    def read() -> np.ndarray[Any, Any]:
        try:
            with zipfile.ZipFile(path) as z, z.open(member) as f:
                array = np.asarray(npformat.read_array(f, allow_pickle=False))
                array.flags.writeable = False  # nobody else has it, so a backend need not copy it
                return array
        except UNREADABLE:
            raise
        except DAMAGE as e:
            raise FormatError(f"{path}: {member!r} cannot be read: {e}") from None

    return read


def save(path: Path, arrays: Mapping[str, Entry], metadata: Mapping[str, str]) -> None:
    """Write arrays, uncompressed as ``numpy.savez`` does."""
    if metadata:
        raise FormatError("npz files have no metadata; save as .safetensors to keep it")

    def write(f: Any) -> None:
        with zipfile.ZipFile(f, "w", zipfile.ZIP_STORED, allowZip64=True) as z:
            for name, entry in arrays.items():
                with z.open(f"{name}.npy", "w", force_zip64=True) as member:
                    npformat.write_array(member, plain(name, entry.read(), "npz"), allow_pickle=False)

    replacing(path, write)
