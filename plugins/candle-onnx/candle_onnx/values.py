"""ONNX's values as candle's: tensors of every type, strings, files of external data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, external_data_helper, numpy_helper

import candle
from candle import DType

from .errors import OnnxError

__all__ = ["attribute", "dtype_of", "is_string", "number_of", "to_array", "to_tensor"]

# ONNX's numbers of types -> candle's; strings are kept as NumPy's arrays of objects.
_TYPES: dict[int, str] = {
    TensorProto.FLOAT: "float32", TensorProto.UINT8: "uint8", TensorProto.INT8: "int8", TensorProto.UINT16: "uint16",
    TensorProto.INT16: "int16", TensorProto.INT32: "int32", TensorProto.INT64: "int64", TensorProto.BOOL: "bool",
    TensorProto.FLOAT16: "float16", TensorProto.DOUBLE: "float64", TensorProto.UINT32: "uint32", TensorProto.UINT64: "uint64",
    TensorProto.COMPLEX64: "complex64", TensorProto.COMPLEX128: "complex128", TensorProto.BFLOAT16: "bfloat16",
    TensorProto.FLOAT8E4M3FN: "float8_e4m3fn", TensorProto.FLOAT8E4M3FNUZ: "float8_e4m3fnuz",
    TensorProto.FLOAT8E5M2: "float8_e5m2", TensorProto.FLOAT8E5M2FNUZ: "float8_e5m2fnuz", TensorProto.UINT4: "uint4",
    TensorProto.INT4: "int4", TensorProto.FLOAT4E2M1: "float4_e2m1fn",
}  # fmt: skip
for _name in ("FLOAT8E8M0", "UINT2", "INT2"):
    if hasattr(TensorProto, _name):
        _TYPES[getattr(TensorProto, _name)] = {"FLOAT8E8M0": "float8_e8m0fnu", "UINT2": "uint2", "INT2": "int2"}[_name]
_NUMBERS = {name: number for number, name in _TYPES.items()}
MOST = 1 << 34  # elements that a constant may be asked to have: far beyond what fits a machine of today


def dtype_of(number: int) -> DType:
    """candle's dtype of an ONNX type; raises OnnxError for strings and types it has not."""
    name = _TYPES.get(number)
    if name is None:
        raise OnnxError(f"the element type {number} ({_spelled(number)}) has no tensors in candle")
    return candle.as_dtype(name)


def number_of(dtype: DType) -> int:
    """ONNX's number of a dtype."""
    return _NUMBERS[dtype.name]


def _spelled(number: int) -> str:
    try:
        return str(TensorProto.DataType.Name(number))  # type: ignore[arg-type]
    except ValueError:
        return "unknown"


def is_string(x: Any) -> bool:
    return isinstance(x, np.ndarray)


def to_array(x: Any) -> Any:
    """NumPy's array of a value, as the rest of the world has it."""
    if isinstance(x, candle.Tensor):
        return x.detach().numpy()
    if isinstance(x, list):
        return [to_array(v) for v in x]
    return x


def from_array(x: Any, device: Any) -> Any:
    """A value given from outside: an array, a number, strings, a list of such, or a tensor."""
    if x is None or isinstance(x, candle.Tensor):
        return x
    if isinstance(x, (list, tuple)) and (not x or not isinstance(x[0], (int, float, bool, complex))):
        return [from_array(v, device) for v in x]
    if isinstance(x, dict):
        return x
    array = np.asarray(x)
    if array.dtype.kind in "OSU":
        return array.astype(object)
    return candle.tensor(array, device=device)


def to_tensor(proto: TensorProto, folder: Path | None, device: Any, what: str) -> Any:
    """The value of a TensorProto: a tensor, or an array of strings.  Raises OnnxError where content and shape do not fit."""
    shape = tuple(proto.dims)
    if any(n < 0 for n in shape):
        raise OnnxError(f"{what} has the shape {list(shape)}; sizes are at least 0")
    if proto.data_type != TensorProto.STRING:
        dtype_of(proto.data_type)
    try:
        if proto.data_location == TensorProto.EXTERNAL:
            array = _external(proto, folder, what)
        else:
            _check_size(proto, shape, what)
            array = numpy_helper.to_array(proto)
    except OnnxError:
        raise
    except Exception as e:
        raise OnnxError(f"{what} cannot be read: {type(e).__name__}: {e}") from e
    if proto.data_type == TensorProto.STRING:
        strings = np.array([s.decode("utf-8", "replace") if isinstance(s, bytes) else s for s in array.reshape(-1)], object)
        return strings.reshape(shape)
    wanted = dtype_of(proto.data_type)
    return candle.tensor(np.asarray(array).astype(wanted.numpy, copy=False), device=device)


def _bits(number: int) -> int:
    name = _TYPES.get(number, "float32")
    if name in ("uint4", "int4", "float4_e2m1fn"):
        return 4
    if name in ("uint2", "int2"):
        return 2
    return candle.as_dtype(name).itemsize * 8


def _check_size(proto: TensorProto, shape: tuple[int, ...], what: str) -> None:
    """Content that is shorter than the shape says is refused before anything is made of it."""
    count = int(np.prod(shape, dtype=object)) if shape else 1
    if proto.HasField("raw_data"):
        wanted = -(-count * _bits(proto.data_type) // 8)
        if len(proto.raw_data) != wanted:
            raise OnnxError(
                f"{what} has the shape {list(shape)}, which takes {wanted} bytes, but {len(proto.raw_data)} are there"
            )
        return
    fields = (proto.float_data, proto.int32_data, proto.int64_data, proto.double_data, proto.uint64_data, proto.string_data)
    held = max(len(f) for f in fields)
    packed = 8 // _bits(proto.data_type) if _bits(proto.data_type) < 8 else 1
    pairs = 2 if proto.data_type in (TensorProto.COMPLEX64, TensorProto.COMPLEX128) else 1
    if held * packed < count * pairs:
        raise OnnxError(f"{what} has the shape {list(shape)}, of {count} elements, but {held} are there")


def _external(proto: TensorProto, folder: Path | None, what: str) -> Any:
    info = external_data_helper.ExternalDataInfo(proto)
    if folder is None:
        raise OnnxError(f"{what} is kept in the file {info.location!r}; load the model from its path, not from bytes")
    base = folder.resolve()
    path = (base / str(info.location)).resolve()
    if not path.is_relative_to(base) or Path(str(info.location)).is_absolute():
        raise OnnxError(f"{what} is kept in {info.location!r}, which is outside the model's folder; that is refused")
    if not path.is_file():
        raise OnnxError(f"{what} is kept in the file {info.location!r}, which is not beside the model")
    shape, bits = tuple(proto.dims), _bits(proto.data_type)
    count = int(np.prod(shape, dtype=object)) if shape else 1
    length, offset = -(-count * bits // 8), int(info.offset or 0)
    if offset < 0 or offset + length > os.path.getsize(path) or (info.length and int(info.length) != length):
        raise OnnxError(f"{what} takes {length} bytes from {offset} of {info.location!r}, which has {os.path.getsize(path)}")
    dtype = dtype_of(proto.data_type)
    if bits >= 8:
        return np.memmap(path, dtype.numpy, "r", offset, shape) if count else np.zeros(shape, dtype.numpy)
    with open(path, "rb") as f:
        f.seek(offset)
        inside = TensorProto(data_type=proto.data_type, dims=proto.dims, raw_data=f.read(length))
    return numpy_helper.to_array(inside)


def attribute(a: onnx.AttributeProto, folder: Path | None, node: str) -> Any:
    """An attribute's value; a tensor as ``to_tensor`` has it on the host, a graph as its proto."""
    kind = a.type
    if kind == onnx.AttributeProto.TENSOR:
        return to_tensor(a.t, folder, "numpy", f"the attribute {a.name} of {node}")
    if kind == onnx.AttributeProto.SPARSE_TENSOR:
        return dense(a.sparse_tensor, folder, f"the attribute {a.name} of {node}")
    if kind == onnx.AttributeProto.GRAPH:
        return a.g
    if kind == onnx.AttributeProto.TENSORS:
        return [to_tensor(t, folder, "numpy", f"the attribute {a.name} of {node}") for t in a.tensors]
    if kind == onnx.AttributeProto.TYPE_PROTO:
        return a.tp
    value = onnx.helper.get_attribute_value(a)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if kind == onnx.AttributeProto.STRINGS:
        return [v.decode("utf-8", "replace") for v in value]
    return list(value) if kind in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS, onnx.AttributeProto.GRAPHS) else value


def dense(sparse: onnx.SparseTensorProto, folder: Path | None, what: str) -> Any:
    """A sparse tensor, filled up with zeros."""
    values = to_array(to_tensor(sparse.values, folder, "numpy", what))
    at = to_array(to_tensor(sparse.indices, folder, "numpy", what)).astype(np.int64)
    shape = tuple(sparse.dims)
    size = int(np.prod(shape, dtype=object))
    if size > max(MOST >> 6, 1) or (at.size and (at.min() < 0 or (at.ndim == 1 and int(at.max()) >= size))):
        raise OnnxError(f"{what} is sparse, of the shape {list(shape)}, and its indices do not lie in it or it is too large")
    full = np.zeros(shape, values.dtype)
    full[tuple(at.T) if at.ndim == 2 else np.unravel_index(at, shape)] = values
    return candle.tensor(full, device="numpy")


def float_info(dtype: DType) -> Any:
    """The limits of a float type, also of those that NumPy has not."""
    return ml_dtypes.finfo(dtype.numpy)  # type: ignore[no-untyped-call]
