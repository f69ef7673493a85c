"""ONNX's Backend API: what its official test runner drives.  https://github.com/onnx/onnx/blob/main/docs/ImplementingAnOnnxBackend.md

The device "CPU" is candle's ``cpu`` (or what CANDLE_DEVICE says, or ``numpy`` where nothing else is), "NUMPY" the reference.
"""

from __future__ import annotations

import os
from typing import Any

import onnx
from onnx.backend.base import Backend, BackendRep

from candle import CandleError
from candle.device import host, resolve

from .model import OnnxModel, numpy_outputs

__all__ = ["CandleBackend", "CandleRep", "prepare", "run_model", "run_node", "supports_device"]


def _device(name: str) -> str:
    kind = name.partition(":")[0].upper()
    return os.environ.get("CANDLE_DEVICE") or host() if kind == "CPU" else name.lower()


class CandleRep(BackendRep):
    """A model that is ready to run."""

    def __init__(self, model: OnnxModel) -> None:
        super().__init__()
        self.model = model

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs, as arrays, of inputs by position or by name."""
        if isinstance(inputs, dict):
            return tuple(numpy_outputs(self.model(**inputs)))
        names = [i.name for i in self.model.inputs] + sorted(self.model.optional)
        return tuple(numpy_outputs(self.model(**dict(zip(names, inputs)))))


class CandleBackend(Backend):
    """candle as a backend of ONNX."""

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> bool:
        try:
            OnnxModel(model, device=_device(device), compile=False)
        except CandleError:
            return False
        return True

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> CandleRep:
        onnx.checker.check_model(model)
        return CandleRep(OnnxModel(model, device=_device(device), compile=bool(kwargs.get("compile", False))))

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(cls, node: onnx.NodeProto, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any) -> Any:
        """One node's outputs; the newest version of its domain unless ``opset_version`` says another."""
        version = kwargs.get("opset_version") or onnx.defs.onnx_opset_version()
        graph = onnx.helper.make_graph(
            [node], "node", [onnx.ValueInfoProto(name=x) for x in dict.fromkeys(node.input) if x],
            [onnx.ValueInfoProto(name=x) for x in node.output if x],
        )  # fmt: skip
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(node.domain, version)])
        found = OnnxModel(model, device=_device(device), compile=False)
        names = [x for x in dict.fromkeys(node.input) if x]
        return tuple(numpy_outputs(found(**dict(zip(names, inputs)))))

    @classmethod
    def supports_device(cls, device: str) -> bool:
        try:
            resolve(_device(device))
        except CandleError:
            return False
        return True


prepare, run_model, run_node = CandleBackend.prepare, CandleBackend.run_model, CandleBackend.run_node
supports_device, is_compatible = CandleBackend.supports_device, CandleBackend.is_compatible
