"""Convolutions with the shapes of ResNet-50 and YOLOv8n, beside PyTorch's and ONNX Runtime's: batch 1 and 8, equal threads."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

import candle

from .harness import alternate, ratio, seconds

# channels, out, kernel, stride, size, groups
RESNET50 = [
    (3, 64, 7, 2, 224, 1), (64, 64, 1, 1, 56, 1), (64, 64, 3, 1, 56, 1), (64, 256, 1, 1, 56, 1), (256, 64, 1, 1, 56, 1),
    (256, 128, 1, 1, 56, 1), (128, 128, 3, 2, 56, 1), (128, 512, 1, 1, 28, 1), (512, 128, 1, 1, 28, 1), (128, 128, 3, 1, 28, 1),
    (256, 256, 3, 1, 14, 1), (1024, 256, 1, 1, 14, 1), (256, 1024, 1, 1, 14, 1), (512, 512, 3, 1, 7, 1), (2048, 512, 1, 1, 7, 1),
]  # fmt: skip
YOLOV8N = [
    (3, 16, 3, 2, 640, 1), (16, 32, 3, 2, 320, 1), (32, 32, 1, 1, 160, 1), (16, 16, 3, 1, 160, 1), (32, 64, 3, 2, 160, 1),
    (32, 32, 3, 1, 80, 1), (64, 64, 3, 1, 80, 1), (128, 128, 3, 2, 40, 1), (64, 64, 3, 1, 40, 1), (256, 256, 1, 1, 20, 1),
]  # fmt: skip
DEPTHWISE = [(96, 96, 3, 1, 56, 96), (192, 192, 3, 2, 56, 192)]


def session(weight: Any, bias: Any, attrs: dict[str, Any], shape: tuple[int, ...], threads: int) -> Any:
    """An ONNX Runtime session that convolves."""
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper

    k = weight.shape[2]
    pad = attrs["padding"]
    node = helper.make_node(
        "Conv", ["x", "w", "b"], ["y"], kernel_shape=[k, k], pads=[pad] * 4, strides=[attrs["stride"]] * 2, group=attrs["groups"]
    )
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)]
    outputs = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)]
    constants = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")]
    model = helper.make_model(
        helper.make_graph([node], "conv", inputs, outputs, constants), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def row(shape: tuple[int, ...], batch: int, threads: int, rounds: int = 7) -> dict[str, Any]:
    channels, out, k, stride, size, groups = shape
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, channels, size, size), np.float32)
    w = rng.standard_normal((out, channels // groups, k, k), np.float32) * 0.1
    b = rng.standard_normal(out, np.float32)
    attrs: dict[str, Any] = {"stride": stride, "padding": k // 2, "groups": groups}
    ours: Any = [candle.tensor(v, device="cpu") for v in (x, w, b)]
    ours[0].backend.threads = threads
    contestants: dict[str, Any] = {"candle": lambda: candle.conv2d(ours[0], ours[1], ours[2], **attrs)}
    try:
        import torch

        torch.set_num_threads(threads)
        theirs: Any = [torch.from_numpy(v) for v in (x, w, b)]
        contestants["torch"] = lambda: torch.nn.functional.conv2d(theirs[0], theirs[1], theirs[2], **attrs)
    except ImportError:
        pass
    try:
        run = session(w, b, attrs, x.shape, threads)
        contestants["onnxruntime"] = lambda: run.run(None, {"x": x})
    except ImportError:
        pass
    found = alternate(contestants, rounds=rounds, measure=lambda work: seconds(work, 0.02))
    y = contestants["candle"]()
    operations = 2.0 * float(np.prod(y.shape)) * (channels // groups) * k * k
    mid = {name: sorted(times)[len(times) // 2] for name, times in found.items()}
    peers = [name for name in mid if name != "candle"]
    best = min(peers, key=lambda name: mid[name]) if peers else None
    what = f"conv {channels}->{out} {k}x{k}/{stride} of {size}" + (f" in {groups} groups" if groups > 1 else "")
    what += f", batch {batch}, {threads} threads"
    r: dict[str, Any] = {"what": what, "candle": f"{operations / mid['candle'] / 1e9:.0f} GFLOP/s", "goal": "at least 0.95"}
    if best is not None:
        speed = 1 / ratio(found["candle"], found[best])
        r |= {
            "peer": f"{best} {operations / mid[best] / 1e9:.0f}",
            "figure": f"{speed:.2f}x",
            "met": speed >= 0.95,
            "ratio": speed,
        }
    return r


def rows() -> list[dict[str, Any]]:
    made = []
    threads = [1, 2] if (os.cpu_count() or 1) > 1 else [1]
    for t in threads:
        for name, shapes in (("ResNet-50", RESNET50), ("YOLOv8n", YOLOV8N), ("depthwise", DEPTHWISE)):
            for batch in (1, 8):
                part = [row(s, batch, t) for s in shapes]
                made += part
                ratios = [r["ratio"] for r in part if "ratio" in r]
                if ratios:
                    mean = float(np.exp(np.mean(np.log(ratios))))
                    made.append({"what": f"{name}, batch {batch}, {t} threads: geometric mean", "figure": f"{mean:.2f}x",
                                 "goal": "at least 0.95", "met": mean >= 0.95})  # fmt: skip
    return made
