"""PyTorch's files, .pt, .pth and .bin, zip archives and the older streams: tensors where they lie, and nothing executed.

https://pytorch.org/docs/stable/notes/serialization.html
"""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping

import numpy as np

from ..dtype import DType, as_dtype
from ..errors import DTypeError, FormatError
from ..op import Spec
from . import Checkpoint, Entry, chunks, replacing
from .archive import members, names
from .binary import mapped, tensor_at
from .pickled import Class, read

suffixes = (".pt", ".pth", ".bin", ".ckpt")

_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the pickle of 0x1950a86a20f9469cfc6c, with which the streams begin
_STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
    "BoolStorage": "bool", "ComplexDoubleStorage": "complex128", "ComplexFloatStorage": "complex64", "UntypedStorage": "uint8",
}  # fmt: skip
_DTYPES = (
    "float64", "double", "float32", "float", "float16", "half", "bfloat16", "int64", "long", "int32", "int", "int16", "short",
    "int8", "uint8", "uint16", "uint32", "uint64", "bool", "complex64", "cfloat", "complex128", "cdouble", "float8_e4m3fn",
    "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu",
)  # fmt: skip
_REFUSED = {
    **{f"torch.{k}Storage": "quantised" for k in ("QInt8", "QUInt8", "QInt32", "QUInt4x2", "QUInt2x4")},
    **{f"torch.{k}": "quantised" for k in ("qint8", "quint8", "qint32", "quint4x2", "quint2x4")},
    "torch._utils._rebuild_qtensor": "quantised",
    "torch._utils._rebuild_sparse_tensor": "sparse",
    "torch._utils._rebuild_nested_tensor": "nested",
    "torch._utils._rebuild_meta_tensor_no_storage": "meta",
}
NAME = "tensor"  # of a file that holds one tensor and no dictionary


@dataclass
class _Storage:
    """Where a storage's elements lie in the file; ``at`` is -1 until that is known."""

    key: str
    dtype: DType
    count: int
    at: int = -1
    order: str = "<"


@dataclass(frozen=True)
class _View:
    """A tensor: part of a storage, with strides in elements."""

    storage: _Storage
    dtype: DType
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


# -- the names that pickles of tensors use -----------------------------------------------------------


def _whole(values: Any, what: str) -> tuple[int, ...]:
    if not isinstance(values, (tuple, list)) or not all(type(v) is int and 0 <= v < 1 << 62 for v in values) or len(values) > 64:
        raise FormatError(f"{what} is {values!r:.80}; it is at most 64 integers, at least 0")
    return tuple(values)


def _view(storage: Any, offset: Any, size: Any, stride: Any, dtype: Any = None) -> _View:
    if not isinstance(storage, _Storage):
        raise FormatError(f"a tensor is made of {type(storage).__name__} instead of a storage")
    kind = storage.dtype if dtype is None else dtype
    if not isinstance(kind, DType):
        raise FormatError(f"a tensor has the dtype {kind!r:.60}")
    shape, strides = _whole(size, "a tensor's size"), _whole(stride, "a tensor's stride")
    (start,) = _whole((offset,), "a tensor's offset")
    if len(shape) != len(strides):
        raise FormatError(f"a tensor has the size {shape} but the strides {strides}")
    there = storage.count * storage.dtype.itemsize // kind.itemsize
    count, last = 1, start
    for n, s in zip(shape, strides):
        count *= n
        last += (n - 1) * s
    if count and last >= there:
        raise FormatError(f"a tensor of size {shape}, strides {strides} at {start} goes beyond its storage of {there} elements")
    if count > max(16 * there, 1 << 24):
        raise FormatError(
            f"a tensor of size {shape} has more elements than its storage of {there} could ever have been expanded to"
        )
    return _View(storage, kind, start, shape, strides)


class _Array:
    """A NumPy array that a pickle makes in two steps."""

    def __init__(self, *_: Any) -> None:
        self.value: np.ndarray[Any, Any] = np.zeros(0, np.float32)

    def restore(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Kind):
            raise FormatError("an array of NumPy has a state that does not fit")
        _, shape, kind, fortran, raw = state
        shape = _whole(shape, "an array's shape")
        raw = raw.encode("latin1") if isinstance(raw, str) else raw
        count = 1
        for n in shape:
            count *= n
        if not isinstance(raw, (bytes, bytearray)) or len(raw) != count * kind.value.itemsize:
            raise FormatError(f"an array of shape {shape} and dtype {kind.value} has not as many bytes")
        self.value = np.frombuffer(bytes(raw), kind.value).reshape(shape, order="F" if fortran else "C")


class _Kind:
    """A dtype of NumPy, of numbers only."""

    def __init__(self, name: Any, *_: Any) -> None:
        if not isinstance(name, str) or name[:1] not in "biufc" or not name[1:].isdigit():
            raise FormatError(f"an array has NumPy's dtype {name!r:.40}; only numbers are read")
        self.value = np.dtype(name)

    def restore(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">"):
            self.value = self.value.newbyteorder(state[1])


def _scalar(kind: Any, raw: Any = b"") -> Any:
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    if not isinstance(kind, _Kind) or not isinstance(raw, bytes) or len(raw) != kind.value.itemsize:
        raise FormatError("a scalar of NumPy has bytes that do not fit")
    return np.frombuffer(raw, kind.value)[0].item()


def _refuse(name: str, what: str) -> Callable[..., Any]:
    def call(*_: Any) -> Any:
        raise FormatError(f"it holds a {what} tensor ({name}), which is not read; save it dense, or dequantized, instead")

    return call


def _names() -> dict[str, Any]:
    parameter = lambda data, *_: data
    first = lambda storage, offset, size, stride, *_: _view(storage, offset, size, stride)
    typed = lambda storage, offset, size, stride, grad, hooks, dtype, *_: _view(storage, offset, size, stride, dtype)
    found: dict[str, Any] = {
        "collections.OrderedDict": lambda items=(): dict(items),
        "collections.defaultdict": lambda *_: {},
        "collections.Counter": lambda items=(): dict(items),
        "torch._utils._rebuild_tensor": first,
        "torch._utils._rebuild_tensor_v2": first,
        "torch._utils._rebuild_tensor_v3": typed,
        "torch._utils._rebuild_parameter": parameter,
        "torch._utils._rebuild_parameter_with_state": parameter,
        "torch.nn.parameter.Parameter": parameter,
        "torch._tensor._rebuild_from_type_v2": lambda function, kind, args, state: _again(function, args),
        "torch.Size": lambda sizes=(): tuple(sizes),
        "torch.device": lambda *parts: ":".join(map(str, parts)),
        "torch.Tensor": _refuse("torch.Tensor", "whole"),
        "torch.serialization._get_layout": lambda name: str(name),
        "_codecs.encode": lambda text, coding="latin1": text.encode("latin1") if coding in ("latin1", "latin-1") else text,
        "numpy.dtype": _Kind,
        "numpy.ndarray": _Array,
        "builtins.set": lambda items=(): set(items),
        "__builtin__.set": lambda items=(): set(items),
        "builtins.complex": complex,
        "__builtin__.complex": complex,
        "builtins.bytearray": lambda raw=b"", *_: raw,
    }
    for home in ("numpy.core.multiarray", "numpy._core.multiarray"):
        found[f"{home}._reconstruct"], found[f"{home}.scalar"] = _Array, _scalar
    for home in ("torch", "torch.storage", "torch.cuda"):
        found.update({f"{home}.{name}": as_dtype(kind) for name, kind in _STORAGES.items()})
    found.update({f"torch.{name}": as_dtype(name) for name in _DTYPES})
    found.update({name: _refuse(name, what) for name, what in _REFUSED.items()})
    return found


def _again(function: Any, args: Any) -> Any:
    if not isinstance(function, Class) or not isinstance(args, tuple):
        raise FormatError("a tensor of another type is made by something that is no function")
    return function.call(*args)


# -- reading ---------------------------------------------------------------------------------------


def matches(head: bytes, path: Path) -> bool:
    if head.startswith(_MAGIC):
        return True
    if not head.startswith(b"PK\x03\x04"):
        return False
    return any(n == "data.pkl" or n.endswith("/data.pkl") for n in names(path))


class _Storages:
    """The storages that a pickle's persistent ids name, one for each key."""

    def __init__(self, path: Path) -> None:
        self.path, self.found = path, dict[str, _Storage]()

    def __call__(self, given: Any) -> _Storage:
        if not isinstance(given, tuple) or len(given) < 5 or given[0] != "storage" or not isinstance(given[2], str):
            raise FormatError(f"{self.path}: the pickle refers to {given!r:.80}, which is no storage")
        _, kind, key, _, count = given[:5]
        if isinstance(kind, Class):  # a storage that is refused by name
            kind.call()
        if not isinstance(kind, DType) or type(count) is not int or not 0 <= count < 1 << 62:
            raise FormatError(f"{self.path}: the storage {key!r:.40} is of {kind!s:.40} and has {count!r:.40} elements")
        if len(given) > 5 and given[5] is not None:
            raise FormatError(f"{self.path}: the storage {key!r:.40} is a part of another, as files before PyTorch 0.4 have it")
        before = self.found.get(key)
        if before is None:
            before = self.found[key] = _Storage(key, kind, count)
        if before.dtype is not kind or before.count != count:
            raise FormatError(f"{self.path}: the storage {key!r:.40} is described in two ways")
        return before


def load(path: Path) -> Checkpoint:
    """The tensors of a file, mapped into memory.

    Nested dictionaries and lists are flattened with dots; leaves that are no tensors are in the metadata.
    """
    data = mapped(path)
    head = bytes(data[: len(_MAGIC)])
    if head == _MAGIC:
        root = _stream(path, data)
    elif head.startswith(b"PK"):
        root = _archive(path, data)
    elif head[:1] == b"\x80":
        raise FormatError(f"{path} is a pickle but not one of PyTorch's; it is not read, for it could run any code")
    else:
        raise FormatError(f"{path} is no file of PyTorch's: it begins with {head[:8]!r}")
    tensors: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    for name, leaf in _leaves(path, root, len(data)):
        kept = tensors if isinstance(leaf, (_View, _Array)) else metadata
        name = name or (NAME if kept is tensors else "value")
        if name in tensors or name in metadata:
            raise FormatError(f"{path} has two values that are called {name!r} once its dictionaries are flattened")
        kept[name] = leaf
    return Checkpoint({k: _entry(path, k, data, v) for k, v in tensors.items()}, metadata, str(path))


def _archive(path: Path, data: Any) -> Any:
    """The value of a zip archive, with all storages located."""
    found = {i.filename: i for i in members(path)}
    programs = [n for n in found if n == "data.pkl" or n.endswith("/data.pkl")]
    if len(programs) != 1:
        raise FormatError(f"{path} is a zip archive with {len(programs)} members that are called data.pkl; PyTorch's have one")
    home = programs[0].removesuffix("data.pkl")
    if f"{home}constants.pkl" in found:
        raise FormatError(f"{path} is TorchScript, a program with its weights, which is not read; save the state_dict")

    def place(name: str) -> tuple[int, int]:
        info = found.get(home + name)
        if info is None:
            raise FormatError(f"{path} has no member {home + name!r}: it is truncated or damaged")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.file_size != info.compress_size:
            raise FormatError(f"{path}: {info.filename!r} is compressed or encrypted, which PyTorch's files never are")
        at = info.header_offset
        if at < 0 or at + 30 > len(data) or data[at : at + 4] != b"PK\x03\x04":
            raise FormatError(f"{path}: {info.filename!r} has no header at {at}")
        begin = at + 30 + sum(struct.unpack_from("<HH", data, at + 26))
        if begin + info.file_size > len(data):
            raise FormatError(f"{path}: {info.filename!r} goes beyond the end: the file is truncated")
        return begin, info.file_size

    order = "<"
    if home + "byteorder" in found:
        begin, size = place("byteorder")
        said = bytes(data[begin : begin + min(size, 16)])
        if said not in (b"little", b"big"):
            raise FormatError(f"{path} has the byte order {said!r}")
        order = "<" if said == b"little" else ">"
    begin, size = place("data.pkl")
    storages = _Storages(path)
    root = read(io.BytesIO(data[begin : begin + size]), f"{path}: data.pkl", _table(), storages)
    for s in storages.found.values():
        s.at, there = place(f"data/{s.key}")
        s.order = order
        if there < s.count * s.dtype.itemsize:
            raise FormatError(
                f"{path}: the storage {s.key!r:.40} has {there} bytes but {s.count} of {s.dtype} are {s.count * s.dtype.itemsize}"
            )
    return root


def _stream(path: Path, data: Any) -> Any:
    """The value of a file of PyTorch before 1.6: pickles, then every storage behind its length."""
    storages = _Storages(path)
    data.seek(len(_MAGIC))
    version = read(data, f"{path}: the version", {}, storages)
    if version != 1001:
        raise FormatError(f"{path} is of version {version!r:.40} of PyTorch's streams; 1001 is read")
    info = read(data, f"{path}: the description of the system", {}, storages)
    order = "<" if not isinstance(info, dict) or info.get("little_endian", True) else ">"
    root = read(data, str(path), _table(), storages)
    keys = read(data, f"{path}: the list of storages", {}, storages)
    if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages.found):
        raise FormatError(f"{path} lists other storages than its tensors are made of")
    at = data.tell()
    for key in keys:
        s = storages.found[key]
        if at + 8 > len(data):
            raise FormatError(f"{path} ends before the storage {key!r:.40}: it is truncated")
        (count,) = struct.unpack_from(order + "q", data, at)
        nbytes = s.count * s.dtype.itemsize
        if count != s.count:
            raise FormatError(f"{path}: the storage {key!r:.40} has {count} elements but {s.count} were announced")
        if at + 8 + nbytes > len(data):
            raise FormatError(f"{path}: the storage {key!r:.40} goes beyond the end: the file is truncated")
        s.at, s.order = at + 8, order
        at += 8 + nbytes
    return root


_cached: dict[str, Any] = {}


def _table() -> Mapping[str, Any]:
    if not _cached:
        _cached.update(_names())
    return _cached


def _leaves(path: Path, root: Any, most: int) -> Iterator[tuple[str, Any]]:
    """Every leaf by its dotted name.  A list is a leaf unless it holds tensors.  No more are given than the file has bytes."""
    budget = [max(most, 1000)]

    def holds(x: Any) -> bool:
        return any(isinstance(v, (_View, _Array, dict)) or (isinstance(v, (list, tuple)) and v and holds_one(v)) for v in x)

    def holds_one(x: Any) -> bool:
        budget[0] -= len(x)
        if budget[0] < 0:
            raise FormatError(f"{path} refers to its own parts so often that it has more values than bytes")
        return any(isinstance(v, (_View, _Array, dict)) for v in x)

    def walk(prefix: str, x: Any, above: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
        budget[0] -= 1
        if budget[0] < 0:
            raise FormatError(f"{path} refers to its own parts so often that it has more values than bytes")
        if isinstance(x, (dict, list, tuple)):
            if id(x) in above:
                raise FormatError(f"{path} has a dictionary or list that contains itself, at {prefix[:100]!r}")
            if len(above) > 64:
                raise FormatError(f"{path} has more than 64 dictionaries or lists within each other")
        if isinstance(x, dict):
            for key, value in x.items():
                name = key if isinstance(key, str) else repr(key) if isinstance(key, (int, float, bool)) else str(key)
                yield from walk(f"{prefix}.{name}" if prefix else name, value, (*above, id(x)))
        elif isinstance(x, (list, tuple)) and holds(x):
            for i, value in enumerate(x):
                yield from walk(f"{prefix}.{i}" if prefix else str(i), value, (*above, id(x)))
        else:
            yield prefix, _plain(path, x, budget)

    return walk("", root, ())


def _plain(path: Path, x: Any, budget: list[int], depth: int = 0) -> Any:
    """A leaf as metadata: dtypes by name, lists within bounds."""
    if isinstance(x, (list, tuple, set, frozenset)):
        budget[0] -= len(x)
        if budget[0] < 0 or depth > 16:
            raise FormatError(f"{path} refers to its own parts so often that it has more values than bytes")
        made = [_plain(path, v, budget, depth + 1) for v in x]
        return tuple(made) if isinstance(x, tuple) else made if isinstance(x, list) else sorted(made, key=str)
    if isinstance(x, DType):
        return x.name
    if isinstance(x, int) and x.bit_length() > 4096:  # Python does not print such
        return hex(x)
    if isinstance(x, (Class, _Kind, _Storage)):
        return x.name if isinstance(x, Class) else str(x)
    return x


def _entry(path: Path, name: str, data: Any, x: Any) -> Entry:
    if isinstance(x, _Array):
        array = x.value
        try:
            spec = Spec(array.shape, as_dtype(array.dtype))
        except DTypeError as e:
            raise FormatError(f"{path}: {name!r} is an array of NumPy's {array.dtype}: {e}") from None
        return Entry(spec, spec.nbytes, lambda: array)
    spec = Spec(x.shape, x.dtype)
    return Entry(spec, spec.nbytes, lambda: _strided(data, x, spec))


def _strided(data: Any, x: _View, spec: Spec) -> np.ndarray[Any, Any]:
    s = x.storage
    if spec.size == 0:
        return np.zeros(spec.shape, spec.dtype.numpy)
    count = s.count * s.dtype.itemsize // spec.dtype.itemsize
    flat = tensor_at(data, Spec((count,), spec.dtype), s.at, s.order)
    size = spec.dtype.itemsize
    strides = tuple([n * size for n in x.strides])
    return np.ndarray(x.shape, spec.dtype.numpy, flat.view(np.uint8), x.offset * size, strides)


# -- writing ---------------------------------------------------------------------------------------


_STORAGE_OF = {as_dtype(v): k for k, v in _STORAGES.items() if k != "UntypedStorage"}


def _text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def _number(n: int) -> bytes:
    if 0 <= n < 256:
        return b"K" + bytes([n])
    if -(1 << 31) <= n < 1 << 31:
        return b"J" + struct.pack("<i", n)
    raw = n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def _tuple(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def _pickle(entries: Mapping[str, Entry]) -> bytes:
    """The pickle (protocol 2) of a dictionary of tensors, each the whole of the storage that has its number."""
    out = [b"\x80\x02}("]
    strides: list[int]
    for at, (name, entry) in enumerate(entries.items()):
        spec = entry.spec
        kind = _STORAGE_OF.get(spec.dtype)
        if kind is None and spec.dtype.name not in _DTYPES:
            raise FormatError(f"{name!r} is {spec.dtype}, which PyTorch's files have no type for; cast it, or dequantize it")
        strides, step = [], 1
        for n in reversed(spec.shape):
            strides.insert(0, step)
            step *= max(n, 1)
        home = b"ctorch\n" + kind.encode() + b"\n" if kind else b"ctorch.storage\nUntypedStorage\n"
        count = spec.size if kind else spec.nbytes
        storage = _tuple(_text("storage"), home, _text(str(at)), _text("cpu"), _number(count)) + b"Q"
        hooks = b"ccollections\nOrderedDict\n)R"
        sizes = [_tuple(*map(_number, v)) for v in (spec.shape, strides)]
        args = [storage, _number(0), *sizes, b"\x89", hooks]
        if kind is None:
            args.append(b"ctorch\n" + spec.dtype.name.encode() + b"\n")
        function = b"ctorch._utils\n_rebuild_tensor_v" + (b"2" if kind else b"3") + b"\n"
        out += [_text(name), function, _tuple(*args), b"R"]
    return b"".join([*out, b"u."])


def save(path: Path, arrays: Mapping[str, Entry], metadata: Mapping[str, Any]) -> None:
    """Write a zip archive that ``torch.load`` reads with ``weights_only``: a dictionary of tensors."""
    if metadata:
        raise FormatError("PyTorch's files have no metadata; save as .safetensors or .gguf to keep it")
    program = _pickle(arrays)

    def write(f: Any) -> None:
        with zipfile.ZipFile(f, "w", zipfile.ZIP_STORED, allowZip64=True) as z:

            def member(name: str) -> zipfile.ZipInfo:
                info = zipfile.ZipInfo(f"archive/{name}")
                room = 30 + len(info.filename) + 20 + 4  # the 64-bit sizes' field, and this one's own head
                pad = -(f.tell() + room) % 64  # so that the elements lie aligned
                info.extra = struct.pack("<HH", 0x4246, pad) + bytes(pad)
                return info

            z.writestr(member("data.pkl"), program)
            z.writestr(member("byteorder"), b"little")
            for at, entry in enumerate(arrays.values()):
                array = entry.read()
                if array.dtype.byteorder == ">":
                    array = array.astype(array.dtype.newbyteorder("<"))
                with z.open(member(f"data/{at}"), "w", force_zip64=True) as out:
                    for part in chunks(array):
                        out.write(part)
            z.writestr(member("version"), b"3\n")

    replacing(path, write)
