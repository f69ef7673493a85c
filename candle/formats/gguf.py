"""GGUF versions 1 to 3, of either byte order: typed metadata, a table of tensors, then their blocks.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.  Strings and arrays of the metadata (a vocabulary) stay in the
mapped file until they are asked for.
"""

from __future__ import annotations

import re
import struct
from array import array
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping, Sequence, overload

import numpy as np

from .. import dtype as dt
from ..dtype import QUANTISED, DType
from ..errors import FormatError
from ..op import Spec
from . import Checkpoint, Entry, chunks, replacing
from .binary import Cursor, mapped, ordered, tensor_at

suffixes = (".gguf",)

# GGML's numbers of the types of tensors.
IDS: dict[str, int] = {
    "float32": 0, "float16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "q8_1": 9, "q2_k": 10, "q3_k": 11,
    "q4_k": 12, "q5_k": 13, "q6_k": 14, "q8_k": 15, "iq2_xxs": 16, "iq2_xs": 17, "iq3_xxs": 18, "iq1_s": 19, "iq4_nl": 20,
    "iq3_s": 21, "iq2_s": 22, "iq4_xs": 23, "int8": 24, "int16": 25, "int32": 26, "int64": 27, "float64": 28, "iq1_m": 29,
    "bfloat16": 30, "tq1_0": 34, "tq2_0": 35, "mxfp4": 39, "nvfp4": 40,
}  # fmt: skip
TYPES: dict[int, DType] = {n: dt.as_dtype(name) for name, n in IDS.items()}
_GONE = {
    4: "Q4_2",
    5: "Q4_3",
    31: "Q4_0_4_4",
    32: "Q4_0_4_8",
    33: "Q4_0_8_8",
    36: "IQ4_NL_4_4",
    37: "IQ4_NL_4_8",
    38: "IQ4_NL_8_8",
}

# The types of metadata: struct format by number; then strings and arrays.
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_ARRAYS = {0: "u1", 1: "i1", 2: "u2", 3: "i2", 4: "u4", 5: "i4", 6: "f4", 7: "u1", 10: "u8", 11: "i8", 12: "f8"}
_BOOL, _STRING, _ARRAY = 7, 8, 9
_NESTED = 8  # arrays within arrays
_DIMS = 4
ALIGNMENT = 32


class Strings(Sequence[str]):
    """Strings of a file by number, decoded when they are asked for; bytes that are no UTF-8 are kept as surrogates."""

    def __init__(self, data: Any, ends: array[int], wide: int) -> None:
        self._data, self._ends, self._wide = data, ends, wide  # each string stands behind its length, ``wide`` bytes

    def __len__(self) -> int:
        return len(self._ends) - 1

    def raw(self, i: int) -> bytes:
        """The bytes of a string."""
        return bytes(self._data[self._ends[i] + self._wide : self._ends[i + 1]])

    @overload
    def __getitem__(self, i: int) -> str: ...
    @overload
    def __getitem__(self, i: slice) -> list[str]: ...
    def __getitem__(self, i: int | slice) -> str | list[str]:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        if not -len(self) <= i < len(self):
            raise IndexError(f"there are {len(self)} strings but number {i} was asked for")
        return self.raw(i % len(self)).decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        data, wide, begin = self._data, self._wide, self._ends[0]
        for end in self._ends[1:]:
            yield data[begin + wide : end].decode("utf-8", "surrogateescape")
            begin = end

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Sequence) and not isinstance(other, str) and len(self) == len(other) and list(self) == list(other)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} strings: {', '.join(map(repr, self[:3]))}{', ...' if len(self) > 3 else ''}>"


class Metadata(dict[str, Any]):
    """What a file says beside its tensors; ``types`` keeps the numbers of GGUF's types, so that it is written as it was read."""

    types: dict[str, int | tuple[int, ...]]

    def __init__(self, *given: Any, types: Mapping[str, Any] | None = None) -> None:
        super().__init__(*given)
        self.types = dict(types if types is not None else getattr(given[0], "types", {}) if given else {})


def matches(head: bytes, path: Path) -> bool:
    return head.startswith(b"GGUF")


# -- reading ---------------------------------------------------------------------------------------


class _Reader(Cursor):
    """A cursor that knows how long the counts of its version are."""

    def __init__(self, path: Path, data: Any) -> None:
        super().__init__(path, data, 4)
        version = self.u32("the version")
        if version & 0xFFFF == 0 and version:
            self.order, self.at = ">", 4
            version = self.u32("the version")
        if version not in (1, 2, 3):
            raise self.wrong(f"it is of GGUF version {version}; 1, 2 and 3 are read")
        self.version = version

    def length(self, what: str) -> int:
        return self.u32(what) if self.version == 1 else self.u64(what)

    @property
    def wide(self) -> int:
        return 4 if self.version == 1 else 8

    def string(self, what: str) -> str:
        return self.text(self.length(what), what)

    def value(self, kind: int, what: str, depth: int = 0) -> tuple[Any, Any]:
        """A value and its type; that of an array is (9, the type of its elements)."""
        if kind in _NUMBERS:
            if kind == _BOOL and self.left and self.data[self.at] > 1:
                raise self.wrong(f"{what} is a boolean but has a byte of {self.data[self.at]}")
            return self.read(_NUMBERS[kind], what), kind
        if kind == _STRING:
            return self.string(what), kind
        if kind != _ARRAY:
            raise self.wrong(f"{what} is of type {kind}; the types are 0 to 12")
        inner, n = self.u32(f"the element type of {what}"), self.length(f"the length of {what}")
        if inner in _ARRAYS:
            found: Any = self.array(_ARRAYS[inner], n, what)
            if inner == _BOOL:
                if n and found.max() > 1:
                    raise self.wrong(f"{what} is of booleans but has a byte of {found.max()}")
                found = found.view(np.bool_)
            return found, (_ARRAY, inner)
        if inner == _STRING:
            return self.strings(self.count(n, self.wide, what), what), (_ARRAY, inner)
        if inner != _ARRAY:
            raise self.wrong(f"{what} has elements of type {inner}; the types are 0 to 12")
        if depth >= _NESTED:
            raise self.wrong(f"{what} has more than {_NESTED} arrays within each other")
        rows = [self.value(_ARRAY, what, depth + 1) for _ in range(self.count(n, self.wide + 4, what))]
        return [v for v, _ in rows], (_ARRAY, rows[0][1] if rows else _ARRAY)

    def strings(self, n: int, what: str) -> Strings:
        ends, data, at, wide = array("q", [self.at]), self.data, self.at, self.wide
        unpack, append = struct.Struct(self.order + ("I" if wide == 4 else "Q")).unpack_from, ends.append
        try:
            for _ in range(n):
                at += wide + unpack(data, at)[0]
                append(at)
        except (struct.error, OverflowError):
            at = self.size + 1
        if at > self.size:
            raise self.wrong(f"{what} has strings that go beyond the end: the file is truncated or damaged")
        self.at = at
        return Strings(data, ends, wide)


def _tensor(r: _Reader, base: int, alignment: int) -> tuple[str, Spec, int, int]:
    """A tensor's name, spec, offset and bytes."""
    name = r.string("a tensor's name")
    dims = r.u32(f"the number of dimensions of {name!r}")
    if dims > _DIMS:
        raise r.wrong(f"the tensor {name!r} has {dims} dimensions; there are at most {_DIMS}")
    sizes = [r.length(f"a size of {name!r}") for _ in range(dims)]
    kind, offset = r.u32(f"the type of {name!r}"), r.u64(f"the offset of {name!r}")
    if kind not in TYPES:
        known = _GONE.get(kind)
        raise r.wrong(
            f"the tensor {name!r} is of type {kind}" + (f", {known}, which GGML has dropped" if known else ", which is unknown")
        )
    dtype, count = TYPES[kind], 1
    for n in sizes:
        count *= n
        if count > 1 << 62:
            raise r.wrong(f"the tensor {name!r} has the sizes {sizes}, more elements than a file can hold")
    if (sizes and sizes[0] % dtype.block) or (not sizes and dtype.block > 1):
        raise r.wrong(f"the tensor {name!r} has rows of {sizes[:1]} elements, but {dtype} keeps blocks of {dtype.block}")
    if offset % alignment:
        raise r.wrong(f"the tensor {name!r} has the offset {offset}, which is no multiple of {alignment}")
    return name, Spec(sizes[::-1], dtype), offset, count // dtype.block * dtype.itemsize


_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.\w+)")


def load(path: Path) -> Checkpoint:
    """The tensors of a file, mapped into memory; of a model split into several (-00001-of-00003.gguf) those of all its parts."""
    found = _one(path)
    parts = found.metadata.get("split.count", 1)
    name = _PART.fullmatch(path.name)
    if not isinstance(parts, int) or parts < 2 or name is None or int(name[3]) != parts:
        return found
    entries: dict[str, Entry] = {}
    metadata = found.metadata
    for number in range(1, parts + 1):
        at = path.with_name(f"{name[1]}-{number:05d}-of-{name[3]}{name[4]}")
        if not at.is_file():
            raise FormatError(f"{path} is one of {parts} parts, of which {at.name!r} is missing; fetch it beside the others")
        part = found if at == path else _one(at)
        if number == 1:
            metadata = part.metadata
        twice = entries.keys() & part.entries.keys()
        if twice:
            raise FormatError(f"{at} has the tensor {min(twice)!r} that another part has too")
        entries.update(part.entries)
    kept = Metadata({k: v for k, v in metadata.items() if not k.startswith("split.")}, types=getattr(metadata, "types", {}))
    return Checkpoint(entries, kept, str(path))


def _one(path: Path) -> Checkpoint:
    data = mapped(path)
    r = _Reader(path, data)
    # a tensor takes at least two lengths, a type and an offset, a value a length, a type and a byte
    tensors = r.length("the number of tensors")
    keys = r.length("the number of metadata entries")
    r.count(tensors, r.wide + 16, "the number of tensors")
    r.count(keys, r.wide + 5, "the number of metadata entries")
    metadata = Metadata()
    for _ in range(keys):
        key = r.string("a metadata key")
        if key in metadata:
            raise r.wrong(f"the metadata has {key!r} twice")
        metadata[key], metadata.types[key] = r.value(r.u32(f"the type of {key!r}"), f"the metadata {key!r}")
    alignment = metadata.get("general.alignment", ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1) or alignment > 1 << 30:
        raise r.wrong(f"general.alignment is a power of two but it is {alignment!r:.40}")
    found: dict[str, tuple[Spec, int, int]] = {}
    for _ in range(tensors):
        name, spec, offset, nbytes = _tensor(r, 0, alignment)
        if name in found:
            raise r.wrong(f"it has the tensor {name!r} twice")
        found[name] = spec, offset, nbytes
    base = -(-r.at // alignment) * alignment
    ordered(path, {k: (base + at, base + at + n) for k, (_, at, n) in found.items()}, r.size)
    entries = {k: Entry(spec, n, _reader(data, spec, base + at, r.order)) for k, (spec, at, n) in found.items()}
    return Checkpoint(entries, metadata, str(path))


def _reader(data: Any, spec: Spec, at: int, order: str) -> Any:
    return lambda: tensor_at(data, spec, at, order)


# -- writing ---------------------------------------------------------------------------------------


def _string(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return struct.pack("<Q", len(raw)) + raw


def _type_of(key: str, value: Any) -> Any:
    """The type that a Python value is written as."""
    if isinstance(value, (bool, np.bool_)):
        return _BOOL
    if isinstance(value, (int, np.integer)):
        fits = [n for n, kind in ((4, "u4"), (5, "i4"), (10, "u8"), (11, "i8"))
                if np.iinfo(kind).min <= value <= np.iinfo(kind).max]  # fmt: skip
        if not fits:
            raise FormatError(f"the metadata {key!r} is {value}, which no integer of GGUF holds")
        return fits[0]
    if isinstance(value, (float, np.floating)):
        return 6
    if isinstance(value, str):
        return _STRING
    if isinstance(value, np.ndarray):
        kind = "?" if value.dtype == np.bool_ else value.dtype.kind + str(value.dtype.itemsize)
        inner = _BOOL if kind == "?" else next((n for n, k in _ARRAYS.items() if k == kind and n != _BOOL), None)
        if inner is None or value.ndim != 1:
            raise FormatError(
                f"the metadata {key!r} is {value.dtype}{list(value.shape)}; arrays are of numbers, in one dimension"
            )
        return (_ARRAY, inner)
    if isinstance(value, Sequence):
        if isinstance(value, Strings):
            return (_ARRAY, _STRING)
        kinds: set[Any] = {_type_of(key, v) for v in value} or {_STRING}
        if kinds <= {4, 5, 10, 11} and len(kinds) > 1:
            kinds = {11 if min(value) < 0 else 10}
        elif kinds <= {4, 5, 6, 10, 11} and len(kinds) > 1:
            kinds = {6}
        if len(kinds) > 1:
            raise FormatError(f"the metadata {key!r} mixes types; the elements of an array are of one")
        return (_ARRAY, kinds.pop())
    raise FormatError(f"the metadata {key!r} is {type(value).__name__}; GGUF has numbers, booleans, strings and arrays of them")


def _fits(kind: Any, value: Any) -> bool:
    """Whether a value that may have been changed is still of the type it was read as."""
    if isinstance(kind, tuple):
        return isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str)
    if kind == _BOOL:
        return isinstance(value, (bool, np.bool_))
    if kind == _STRING:
        return isinstance(value, str)
    if kind in (6, 12):
        return isinstance(value, (float, np.floating))
    limits = np.iinfo(_ARRAYS[kind])
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    return whole and int(limits.min) <= int(value) <= int(limits.max)


def _encoded(kind: Any, value: Any) -> Iterable[bytes]:
    if kind == _STRING:
        yield _string(value)
    elif not isinstance(kind, tuple):
        yield struct.pack("<" + _NUMBERS[kind], value)
    else:
        inner = kind[1]
        yield struct.pack("<IQ", inner[0] if isinstance(inner, tuple) else inner, len(value))
        if inner in _ARRAYS:
            yield np.asarray(value).astype("?" if inner == _BOOL else "<" + _ARRAYS[inner]).tobytes()
        else:
            for v in value:
                yield from _encoded(inner, v)


def save(path: Path, arrays: Mapping[str, Entry], metadata: Mapping[str, Any]) -> None:
    """Write version 3, little-endian.  Integers of the metadata become uint32 where they fit, floats float32, unless they were
    read as something else."""
    types = getattr(metadata, "types", {})
    alignment = metadata.get("general.alignment", ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise FormatError(f"general.alignment is a power of two but {alignment!r} was given")
    head = [b"GGUF", struct.pack("<IQQ", 3, len(arrays), len(metadata))]
    for key, value in metadata.items():
        kind = types[key] if key in types and _fits(types[key], value) else _type_of(key, value)
        head += [_string(key), struct.pack("<I", kind[0] if isinstance(kind, tuple) else kind), *_encoded(kind, value)]
    at = 0
    for name, entry in arrays.items():
        spec = entry.spec
        if spec.dtype.name not in IDS or spec.ndim > _DIMS:
            known = ", ".join(d.name for d in TYPES.values() if d not in QUANTISED)
            raise FormatError(
                f"{name!r} is {spec}; GGUF holds tensors of at most {_DIMS} dimensions in {known} and quantised kinds: cast it"
            )
        head += [_string(name), struct.pack("<I", spec.ndim), struct.pack(f"<{spec.ndim}Q", *spec.shape[::-1])]
        head += [struct.pack("<IQ", IDS[spec.dtype.name], at)]
        at += -(-spec.nbytes // alignment) * alignment

    def write(f: Any) -> None:
        raw = b"".join(head)
        f.write(raw + bytes(-len(raw) % alignment))
        for entry in arrays.values():
            array = entry.read()
            if array.dtype.byteorder == ">":
                array = array.astype(array.dtype.newbyteorder("<"))
            for part in chunks(array):
                f.write(part)
            f.write(bytes(-entry.spec.nbytes % alignment))

    replacing(path, write)
