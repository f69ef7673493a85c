"""A model: called with arrays or tensors, it gives its outputs by name; captured and compiled where it can be."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import candle
from candle import CaptureError, FormatError
from candle.device import resolve

from .errors import OnnxError
from .graph import Graph, Port, Reader, read_graph
from .run import Limits, run_graph
from .values import dtype_of, from_array

__all__ = ["OnnxModel", "Outputs", "load"]

SMALL = 256  # integer constants up to this many elements decide shapes, as a rule, and are kept on the host


class Outputs(Mapping[str, Any]):
    """Results by name, as keys, by position, and as attributes where names allow it."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def __getitem__(self, key: str | int) -> Any:
        return list(self._values.values())[key] if isinstance(key, int) else self._values[key]

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"the model has no output {name!r}; it has {', '.join(self._values)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        said = [f"{k}={getattr(v, 'spec', type(v).__name__)}" for k, v in self._values.items()]
        return f"Outputs({', '.join(said)})"


class OnnxModel:
    """An ONNX model on a device: ``model(x=...)`` or ``model(x)`` gives ``Outputs``.

    ``inputs`` and ``outputs`` say names, types and shapes; ``weights`` are the initializers by name.  With ``compile`` the model
    is captured once per shapes of its inputs; where it decides shapes by computed values it runs node by node instead, and
    ``why`` says so.  ``max_iterations`` bounds its loops.
    """

    def __init__(self, proto: onnx.ModelProto, folder: Path | None = None, device: Any = None, compile: bool = True,
                 max_iterations: int = 1_000_000) -> None:  # fmt: skip
        self.device = resolve(device)
        reader = Reader(proto, folder)
        self.graph: Graph = read_graph(reader, proto.graph, self.device)
        self.versions = reader.versions
        self.producer = f"{proto.producer_name} {proto.producer_version}".strip()
        self.metadata = {p.key: p.value for p in proto.metadata_props}
        self.weights: dict[str, Any] = self.graph.constants
        for name, x in self.weights.items():
            if isinstance(x, candle.Tensor) and x.dtype.kind in "iu" and x.numel() <= SMALL:
                self.weights[name] = x.to("numpy")
        self.inputs: list[Port] = [i for i in self.graph.inputs if i.name not in self.weights]
        self.optional = {i.name for i in self.graph.inputs} & set(self.weights)
        self.outputs: list[Port] = self.graph.outputs
        self.max_iterations, self.why = max_iterations, "" if compile else "compile=False"
        self._compiled = candle.compile(self._tensors) if compile else None

    def __repr__(self) -> str:
        def said(p: Port) -> str:
            kind = str(dtype_of(p.dtype)) if p.dtype is not None and p.dtype != onnx.TensorProto.STRING else p.kind
            sizes = "" if p.shape is None else f"[{','.join('?' if n is None else str(n) for n in p.shape)}]"
            return f"{p.name}: {kind}{sizes}"

        takes, gives = (", ".join(map(said, ports)) for ports in (self.inputs, self.outputs))
        return f"OnnxModel({takes} -> {gives}; {len(self.graph.nodes)} nodes)"

    def __call__(self, *args: Any, **kwargs: Any) -> Outputs:
        """Run it.  Raises OnnxError for inputs that are missing, unknown or of another type or shape than the model says."""
        names = [i.name for i in self.inputs]
        if len(args) > len(names):
            raise OnnxError(f"the model takes {len(names)} inputs ({', '.join(names)}) but was given {len(args)}")
        given = {**dict(zip(names, args)), **kwargs}
        unknown = sorted(set(given) - set(names) - self.optional)
        missing = [i.name for i in self.inputs if i.name not in given and i.kind != "optional"]
        if unknown or missing:
            what = f"has no input {', '.join(unknown)}" if unknown else f"needs {', '.join(missing)}"
            raise OnnxError(f"the model {what}; its inputs are {', '.join(names)}")
        values = {k: self._checked(k, v) for k, v in given.items()}
        found = self._run(values)
        return Outputs(dict(zip([o.name for o in self.outputs], found)))

    def _checked(self, name: str, value: Any) -> Any:
        x = from_array(value, self.device)
        said = next((p for p in self.graph.inputs if p.name == name), None)
        if isinstance(x, candle.Tensor) and said is not None:
            if said.dtype is not None and said.kind == "tensor" and x.dtype is not dtype_of(said.dtype):
                wanted = dtype_of(said.dtype)
                same = wanted.kind == x.dtype.kind or not hasattr(value, "dtype")
                if not same:
                    raise OnnxError(f"the input {name!r} is {wanted} but {x.spec} was given; cast it first")
                x = x.to(dtype=wanted)
            fits = said.shape is None or (
                len(said.shape) == x.ndim and all(not isinstance(n, int) or n == m or n == 0 for n, m in zip(said.shape, x.shape))
            )
            if not fits:
                raise OnnxError(f"the input {name!r} has the shape {list(said.shape or ())} but {x.spec} was given")
            if x.backend is not self.device:
                x = x.to(self.device)
        return x

    def _run(self, values: dict[str, Any]) -> list[Any]:
        if self._compiled is not None and all(isinstance(v, candle.Tensor) for v in values.values()):
            try:
                return list(self._compiled(values))
            except CaptureError as e:
                self.why, self._compiled = str(e), None
        return self._tensors(values)

    def _tensors(self, values: dict[str, Any]) -> list[Any]:
        return run_graph(self.graph, values, self.device, Limits(self.max_iterations))


def load(source: str | os.PathLike[str] | bytes | onnx.ModelProto, device: Any = None, compile: bool = True,
         max_iterations: int = 1_000_000) -> OnnxModel:  # fmt: skip
    """A model from a file, from bytes, or from a protobuf.  External data lie beside the file, never elsewhere.

    Raises FormatError for what is no ONNX file, OnnxError for a model that cannot be right.
    """
    folder: Path | None = None
    if isinstance(source, onnx.ModelProto):
        proto = source
    else:
        if isinstance(source, (bytes, bytearray)):
            content, said = bytes(source), "the bytes"
        else:
            path = Path(source)
            if not path.is_file():
                raise FormatError(f"there is no file {path}")
            content, said, folder = path.read_bytes(), str(path), path.parent
        try:
            proto = onnx.ModelProto.FromString(content)
        except Exception as e:
            raise FormatError(f"{said} is no ONNX model: {type(e).__name__}; it may be truncated") from None
        if not proto.HasField("graph") or not (proto.graph.node or proto.graph.output):
            raise FormatError(f"{said} is no ONNX model: it has no graph")
    return OnnxModel(proto, folder, device, compile, max_iterations)


def numpy_outputs(found: Outputs) -> list[Any]:
    """The outputs as NumPy's arrays, in order."""
    from .values import to_array

    return [to_array(v) if not isinstance(v, np.ndarray) else v for v in found.values()]
