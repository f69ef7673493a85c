"""safetensors: a JSON header, then all tensors' bytes.  https://github.com/huggingface/safetensors

Every statement of the header is checked against the file before anything is allocated or mapped.  Quantised tensors, for
which the format has no type, lie in it as the bytes of their blocks (U8), and ``candle.quantised`` in its metadata names
their kinds.
"""

from __future__ import annotations

import json
import mmap
import struct
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from .. import dtype as dt
from ..dtype import as_dtype
from ..errors import FormatError
from ..op import Spec
from . import Checkpoint, Entry, chunks, replacing

suffixes = (".safetensors",)

_TYPES = {
    "BOOL": dt.bool_, "U8": dt.uint8, "U16": dt.uint16, "U32": dt.uint32, "U64": dt.uint64, "I8": dt.int8, "I16": dt.int16,
    "I32": dt.int32, "I64": dt.int64, "F16": dt.float16, "BF16": dt.bfloat16, "F32": dt.float32, "F64": dt.float64,
    "C64": dt.complex64,
    "F8_E4M3": as_dtype("float8_e4m3fn"), "F8_E5M2": as_dtype("float8_e5m2"), "F8_E8M0": as_dtype("float8_e8m0fnu"),
    "F8_E4M3FNUZ": as_dtype("float8_e4m3fnuz"), "F8_E5M2FNUZ": as_dtype("float8_e5m2fnuz"),
    "F4": as_dtype("float4_e2m1fn"),
}  # fmt: skip
_NAMES = {d: n for n, d in _TYPES.items()}
_BITS = {"F4": 4}  # of those that are packed; the others take whole bytes

_QUANTISED = "candle.quantised"  # in the metadata: a JSON object from names to kinds
_LONGEST = 100_000_000  # bytes of header; the library has the same limit
_DIMS = 64  # NumPy has no more


def matches(head: bytes, path: Path) -> bool:
    return len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= _LONGEST


# -- reading ---------------------------------------------------------------------------------------


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [k for k, _ in pairs]
        raise FormatError(f"the header has {next(n for n in names if names.count(n) > 1)!r} twice")
    return found


def _no_constant(text: str) -> Any:
    raise FormatError(f"the header has {text}, which is no JSON")


def _header(path: Path, data: Any, size: int) -> tuple[dict[str, Any], int]:
    if size < 8:
        raise FormatError(f"{path} is truncated: a safetensors file begins with 8 bytes of header length but it has {size} bytes")
    length = struct.unpack("<Q", data[:8])[0]
    if length > _LONGEST:
        raise FormatError(f"{path} says that its header has {length} bytes; at most {_LONGEST} are taken")
    if length > size - 8:
        raise FormatError(f"{path} is truncated: its header has {length} bytes but only {size - 8} follow")
    raw = data[8 : 8 + length]
    if raw[:1] != b"{":
        raise FormatError(f"{path} is no safetensors file: its header begins with {raw[:1]!r} and not with '{{'")
    try:
        header = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except FormatError as e:
        raise FormatError(f"{path}: {e}") from None
    except (UnicodeDecodeError, RecursionError, ValueError) as e:
        raise FormatError(f"{path} has a header that is no JSON: {e}") from None
    return header, 8 + length


def _whole(values: Any) -> bool:
    return isinstance(values, list) and all(type(v) is int and v >= 0 for v in values)


def _entry(name: str, info: Any, size: int) -> tuple[str, Spec, int, int]:
    """One tensor's type, spec and place, checked against each other and the file."""
    if not isinstance(info, dict) or not {"dtype", "shape", "data_offsets"} <= set(info):
        raise FormatError(f"the tensor {name!r} is not described by dtype, shape and data_offsets but by {info!r:.80}")
    kind, shape, offsets = info["dtype"], info["shape"], info["data_offsets"]
    if not isinstance(kind, str) or kind not in _TYPES:
        raise FormatError(f"the tensor {name!r} has the dtype {kind!r:.40}; those known are {', '.join(_TYPES)}")
    if not _whole(shape) or len(shape) > _DIMS:
        raise FormatError(f"the tensor {name!r} has the shape {shape!r:.80}; a shape is at most {_DIMS} integers, at least 0")
    if not _whole(offsets) or len(offsets) != 2:
        raise FormatError(f"the tensor {name!r} has the data_offsets {offsets!r:.80}; they are two integers, at least 0")
    begin, end = offsets
    count = 1
    for n in shape:
        count *= n
        if count > 1 << 62:
            raise FormatError(f"the tensor {name!r} has the shape {shape!r:.80}, more elements than a file can hold")
    bits = count * _BITS.get(kind, 8 * _TYPES[kind].itemsize)
    if bits % 8:
        raise FormatError(f"the tensor {name!r} has {count} elements of {_BITS[kind]} bits, which do not fill whole bytes")
    if begin > end or end > size:
        raise FormatError(f"the tensor {name!r} lies at {begin} to {end} but the file has {size} bytes of data")
    if end - begin != bits // 8:
        raise FormatError(
            f"the tensor {name!r} is {kind}{shape!r:.80}, {bits // 8} bytes, but its data_offsets give it {end - begin}"
        )
    return kind, Spec(shape, _TYPES[kind]), begin, end


def _kinds_in(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The kinds of the quantised tensors by name."""
    if _QUANTISED not in metadata:
        return {}
    try:
        found = json.loads(metadata[_QUANTISED])
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise FormatError(f"{_QUANTISED} in the metadata is no JSON object but {metadata[_QUANTISED]!r:.60}")
    return found


def _quantised(name: str, kind: Any, entry: Any) -> tuple[str, Spec, int, int]:
    """The entry of a tensor of bytes as one of blocks."""
    dtype = next((d for d in dt.QUANTISED if d.name == kind), None)
    if dtype is None or entry is None or entry[0] != "U8":
        raise FormatError(f"{_QUANTISED} says that {name!r:.60} is {kind!r:.40}; it names quantised kinds of tensors of U8")
    _, spec, begin, end = entry
    if not spec.shape or spec.shape[-1] % dtype.itemsize:
        raise FormatError(f"the tensor {name!r} is {spec}, which is no whole number of blocks of {dtype}")
    return "Q", Spec((*spec.shape[:-1], spec.shape[-1] // dtype.itemsize * dtype.block), dtype), begin, end


def _reader(name: str, data: Any, kind: str, spec: Spec, at: int, path: Path) -> Callable[[], np.ndarray[Any, Any]]:
    def read() -> np.ndarray[Any, Any]:
        if spec.size == 0:
            return np.zeros(spec.stored, spec.dtype.numpy)
        if kind == "Q":
            return np.frombuffer(data, spec.dtype.numpy, spec.size // spec.dtype.block, at).reshape(spec.stored)
        if kind in _BITS:
            packed = np.frombuffer(data, np.uint8, spec.size // 2, at)
            pairs = np.stack([packed & 15, packed >> 4], -1)
            return pairs.reshape(spec.shape).view(spec.dtype.numpy)
        if kind == "BOOL":
            stored = np.frombuffer(data, np.uint8, spec.size, at)
            if stored.max() > 1:
                raise FormatError(f"{path}: the tensor {name!r} is BOOL but has a byte of {stored.max()}; they are 0 or 1")
        stored_as = spec.dtype.numpy.newbyteorder("<") if spec.dtype.numpy.kind in "iufc" else spec.dtype.numpy
        return np.frombuffer(data, stored_as, spec.size, at).reshape(spec.shape)

    return read


def load(path: Path) -> Checkpoint:
    """The tensors of a file, mapped into memory: each lies where the file's pages lie."""
    with open(path, "rb") as f:
        size = f.seek(0, 2)
        if size < 8:
            _header(path, b"", size)
        data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
    header, start = _header(path, data, size)
    metadata = header.pop("__metadata__", None) or {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise FormatError(f"{path}: __metadata__ is a dictionary of strings but it is {metadata!r:.80}")
    try:
        found = {name: _entry(name, info, size - start) for name, info in header.items()}
        for name, kind in _kinds_in(metadata).items():
            found[name] = _quantised(name, kind, found.get(name))
    except FormatError as e:
        raise FormatError(f"{path}: {e}") from None
    metadata = {k: v for k, v in metadata.items() if k != _QUANTISED}
    last, before = 0, "the header"
    for name, (_, _, begin, end) in sorted(found.items(), key=lambda item: item[1][2:]):
        if begin != last:
            how = "overlap" if begin < last else f"leave {begin - last} bytes between them"
            raise FormatError(f"{path}: {before!r} and {name!r} {how}; tensors follow each other without gaps")
        last, before = end, name
    if last != size - start:
        raise FormatError(
            f"{path} has {size - start} bytes of data but its tensors take {last}: it is truncated or has something appended"
        )
    entries = {
        name: Entry(spec, end - begin, _reader(name, data, kind, spec, start + begin, path))
        for name, (kind, spec, begin, end) in found.items()
    }
    return Checkpoint(entries, metadata, str(path))


# -- writing ---------------------------------------------------------------------------------------


def save(path: Path, arrays: Mapping[str, Entry], metadata: Mapping[str, str]) -> None:
    """Write arrays, those of wide dtypes first so that all lie aligned."""
    if not all(isinstance(k, str) and isinstance(v, str) for k, v in metadata.items()):
        raise FormatError(
            f"safetensors metadata is a dictionary of strings but was given {dict(metadata)!r:.80}; write numbers as str(...)"
        )
    if "__metadata__" in arrays:
        raise FormatError("a tensor cannot be called '__metadata__' in safetensors; give it another name")
    quantised = {name: e.spec.dtype.name for name, e in arrays.items() if e.spec.dtype.kind == "q"}
    if quantised:
        metadata = {**metadata, _QUANTISED: json.dumps(quantised)}
    kinds = {name: _stored_as(name, entry.spec) for name, entry in arrays.items()}
    order = sorted(kinds, key=lambda name: (-_TYPES[kinds[name][0]].itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for name in order:
        kind, shape = kinds[name]
        count = 1
        for n in shape:
            count *= n
        bits = count * _BITS.get(kind, 8 * _TYPES[kind].itemsize)
        if bits % 8:
            raise FormatError(f"{name!r} has {count} elements of {_BITS[kind]} bits, which do not fill whole bytes")
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [at, at + bits // 8]}
        at += bits // 8
    raw = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    raw += b" " * (-len(raw) % 8)

    def write(f: Any) -> None:
        f.write(struct.pack("<Q", len(raw)) + raw)
        for name in order:
            array = arrays[name].read()
            if kinds[name][0] in _BITS:
                pairs = np.ascontiguousarray(array).view(np.uint8).reshape(-1, 2)
                array = pairs[:, 0] | pairs[:, 1] << 4
            elif array.dtype.byteorder == ">":
                array = array.astype(array.dtype.newbyteorder("<"))
            for part in chunks(array):
                f.write(part)

    replacing(path, write)


def _stored_as(name: str, spec: Spec) -> tuple[str, tuple[int, ...]]:
    """The format's name of a dtype, and the shape of what is stored."""
    dtype = spec.dtype
    if dtype.kind == "q":
        return "U8", (*spec.stored[:-1], spec.stored[-1] * dtype.itemsize)
    if dtype not in _NAMES:
        known = ", ".join(d.name for d in _NAMES)
        raise FormatError(f"{name!r} is {dtype}, which safetensors has no name for; cast it to one of {known}")
    return _NAMES[dtype], spec.shape
