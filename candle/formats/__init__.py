"""Files of named tensors: which format a file is in, by its content, and who reads and writes it.

A format is a module or object that a plugin offers through ``candle_loaders``.  It has

    suffixes: tuple[str, ...]                   the file names it goes by, such as (".safetensors",)
    matches(head: bytes, path: Path) -> bool    whether a file that begins so is one
    load(path: Path) -> Checkpoint              its tensors, read when asked for
    save(path: Path, entries, metadata) -> None  optional: ``entries`` maps names to ``Entry``, read one after the other
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Mapping

import numpy as np

from ..errors import FormatError
from ..op import Spec
from ..plugins import load as load_plugin
from ..plugins import offered
from ..tensor import Tensor

__all__ = ["Checkpoint", "Description", "Entry", "inspect", "load", "replacing", "save"]

_HEAD = 4096  # how much of a file its format is told by


@dataclass(frozen=True)
class Entry:
    """One tensor of a file: its spec, how many bytes it takes there, and how it is read (quantised ones as arrays of blocks)."""

    spec: Spec
    nbytes: int
    read: Callable[[], np.ndarray[Any, Any]]

    @classmethod
    def of(cls, name: str, value: Any) -> Entry:
        """What is to be saved under a name: a tensor, an array, or an entry of another file."""
        if isinstance(value, Entry):
            return value
        if isinstance(value, Tensor):
            return cls(value.spec, value.spec.nbytes, value.numpy)
        if not hasattr(value, "__array__"):
            raise FormatError(f"{name!r} is saved as a tensor but it is {type(value).__name__}")
        array = np.asarray(value)
        spec = Spec.of(array)
        return cls(spec, spec.nbytes, lambda: array)


class Checkpoint(Mapping[str, Tensor]):
    """The tensors of a file by name, each read (or mapped) when it is asked for.  ``metadata`` is what else the file says."""

    def __init__(self, entries: Mapping[str, Entry], metadata: Mapping[str, Any] | None = None, source: str = "") -> None:
        self.entries = dict(entries)
        self.metadata: dict[str, Any] = metadata if isinstance(metadata, dict) else dict(metadata or {})
        self.source = source
        self.device: Any = None

    def __getitem__(self, name: str) -> Tensor:
        from ..device import resolve

        entry = self.entries.get(name)
        if entry is None:
            import difflib

            near = difflib.get_close_matches(str(name), self.entries, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {len(self.entries)} others; `candle inspect` lists them"
            raise KeyError(f"{self.source or 'the file'} has no tensor called {name!r}; {hint}")
        backend = resolve(self.device)
        return Tensor(backend.put(entry.read()), entry.spec, backend)

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    @property
    def specs(self) -> dict[str, Spec]:
        """Shapes and dtypes; nothing is read for them."""
        return {k: e.spec for k, e in self.entries.items()}

    def __repr__(self) -> str:
        return f"<{len(self)} tensors of {self.source}>"


@dataclass(frozen=True)
class Description:
    """What ``candle inspect`` shows of a file."""

    path: str
    format: str
    size: int
    metadata: dict[str, Any]
    tensors: dict[str, Spec] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        tensors = {k: {"dtype": s.dtype.name, "shape": list(s.shape), "nbytes": s.nbytes} for k, s in self.tensors.items()}
        total = sum(s.size for s in self.tensors.values())
        return {
            "path": self.path,
            "format": self.format,
            "size": self.size,
            "parameters": total,
            "metadata": self.metadata,
            "tensors": tensors,
        }


# -- which format ----------------------------------------------------------------------------------

# What files of formats without a loader begin with.
_FOREIGN = {
    b"\x89HDF": "HDF5", b"\x80\x02": "a pickle", b"\x80\x04": "a pickle", b"PK\x03\x04": "a zip archive",
}  # fmt: skip


def _format(path: Path, given: str | None) -> tuple[str, Any]:
    names = sorted(offered("candle_loaders"))
    if given is not None:
        found = load_plugin("candle_loaders", given)
        if found is None:
            raise FormatError(f"no installed plugin reads the format {given!r}; the formats are {', '.join(names)}")
        return given, found
    with open(path, "rb") as f:
        head = f.read(_HEAD)
    for name in offered("candle_loaders"):
        loader = load_plugin("candle_loaders", name)
        if loader.matches(head, path):
            return name, loader
    looks = next((text for magic, text in _FOREIGN.items() if head.startswith(magic)), None)
    named = _by_suffix(path)
    if named is not None and looks != "HDF5" and path.suffix != ".bin":  # it is not what it is called; that loader says why
        return named
    what = (
        f"looks like {looks}, which no installed plugin reads"
        if looks
        else f"is in no format known here (it begins with {head[:8]!r})"
    )
    raise FormatError(f"{path} {what}; the formats are {', '.join(names)}")


def _by_suffix(path: Path, writable: bool = False) -> tuple[str, Any] | None:
    for name in offered("candle_loaders"):
        loader = load_plugin("candle_loaders", name)
        if path.name.lower().endswith(tuple(loader.suffixes)) and (not writable or hasattr(loader, "save")):
            return name, loader
    return None


def _opened(path: str | os.PathLike[str], format: str | None) -> tuple[Path, str, Checkpoint]:
    at = Path(path)
    if at.is_dir():
        found = [n for n in ("model.safetensors", "model.safetensors.index.json") if (at / n).is_file()]
        hint = f"did you mean {at / found[0]}?" if found else "give one of the files in it"
        raise FormatError(f"{at} is a folder; {hint}")
    name, loader = _format(at, format)
    try:
        return at, name, loader.load(at)
    except FormatError:
        raise
    except (ValueError, KeyError, EOFError, RecursionError, OverflowError, MemoryError) as e:
        raise FormatError(f"{at} is not a right {name} file: {type(e).__name__}: {e}") from e


def load(path: str | os.PathLike[str], device: Any = None, format: str | None = None) -> Checkpoint:
    """The tensors of a file, by name and lazily: ``candle.load("model.safetensors")["weight"]``.

    The format is told by the content; ``format`` names it.  On the ``numpy`` device the tensors of safetensors, GGUF,
    GGML and PyTorch's files are used where the file is mapped, without a copy.  Raises FormatError where the file is of no
    known format, or not right.
    """
    _, _, found = _opened(path, format)
    found.device = device
    return found


def inspect(path: str | os.PathLike[str], format: str | None = None) -> Description:
    """What a file holds, without reading its tensors."""
    at, name, found = _opened(path, format)
    return Description(str(at), name, at.stat().st_size, found.metadata, found.specs)


# -- writing ---------------------------------------------------------------------------------------


def save(path: Any, tensors: Any, metadata: Mapping[str, Any] | None = None, format: str | None = None) -> None:
    """Write named tensors to a file whose name says the format: ``candle.save("model.safetensors", model.state_dict())``.

    PyTorch's order, tensors first, is taken as well, and a loaded file's tensors without holding them all.  An existing file
    is replaced only once the new one is complete.
    """
    if isinstance(path, Mapping) and not isinstance(tensors, Mapping):
        path, tensors = tensors, path
    if not isinstance(tensors, Mapping) or not all(isinstance(k, str) for k in tensors):
        raise FormatError(
            f"save takes a dictionary from names to tensors but was given {type(tensors).__name__}; write {{'name': tensor}}"
        )
    at = Path(path)
    named = (format, load_plugin("candle_loaders", format)) if format is not None else _by_suffix(at, writable=True)
    if named is None or not hasattr(named[1], "save"):
        able = [
            s
            for n in offered("candle_loaders")
            for m in [load_plugin("candle_loaders", n)]
            if hasattr(m, "save")
            for s in m.suffixes
        ]
        raise FormatError(f"{at}: files are written with the names {', '.join(able)}; give one of them")
    sources = tensors.entries if isinstance(tensors, Checkpoint) else tensors
    given = metadata if isinstance(metadata, dict) else dict(metadata or {})
    named[1].save(at, {k: Entry.of(k, v) for k, v in sources.items()}, given)


def replacing(path: Path, write: Callable[[Any], None]) -> None:
    """Write a file beside its place and move it there when it is complete; a failure leaves what was there before."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as f:
            write(f)
            f.flush()
            os.fsync(f.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def chunks(array: np.ndarray[Any, Any], size: int = 1 << 24) -> Iterable[memoryview]:
    """An array's bytes in C order, some at a time."""
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    for at in range(0, flat.size, size):
        yield flat[at : at + size].data
