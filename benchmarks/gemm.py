"""Matrix products beside NumPy (OpenBLAS), PyTorch and ONNX Runtime: squares and few rows, with shares of the peak."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

import candle

from .harness import alternate, ratio, seconds

SQUARES = [(s, s, s) for s in (256, 512, 1024, 2048, 4096)]
FEW = [(1, 4096, 4096), (4, 4096, 4096), (8, 4096, 4096), (16, 4096, 4096), (4096, 16, 4096), (128, 384, 1536)]
_PINS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def _session(k: int, n: int, weight: Any, threads: int) -> Any:
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper

    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, (None, k))]
    outputs = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (None, n))]
    graph = helper.make_graph([node], "matmul", inputs, outputs, [numpy_helper.from_array(weight, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def row(m: int, n: int, k: int, threads: int, peak: float, dtype: str = "float32", rounds: int = 7) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((m, k), np.float32), rng.standard_normal((k, n), np.float32)
    a, b = (candle.tensor(v, device="cpu").to(dtype=dtype) for v in (x, y))
    a.backend.threads = threads
    contestants: dict[str, Any] = {"candle": lambda: a @ b}
    if dtype == "float32":
        contestants["numpy"] = lambda: x @ y
    try:
        import torch

        torch.set_num_threads(threads)
        p, q = (torch.from_numpy(v).to(getattr(torch, dtype)) for v in (x, y))
        contestants["torch"] = lambda: p @ q
    except ImportError:
        pass
    if dtype == "float32" and k * n <= 1 << 24:
        try:
            run = _session(k, n, y, threads)
            contestants["onnxruntime"] = lambda: run.run(None, {"x": x})
        except ImportError:
            pass
    found = alternate(contestants, rounds=rounds, measure=lambda work: seconds(work, 0.02))
    mid = {name: sorted(times)[len(times) // 2] for name, times in found.items()}
    operations = 2.0 * m * n * k
    best = min((name for name in mid if name != "candle"), key=lambda name: mid[name])
    speed = 1 / ratio(found["candle"], found[best])
    moved = (m * k + k * n + m * n) * a.dtype.itemsize
    return {
        "what": f"{dtype} [{m},{k}] @ [{k},{n}], {threads} threads",
        "candle": f"{operations / mid['candle'] / 1e9:.0f} GFLOP/s ({operations / mid['candle'] / peak:.2f} of f32's peak), "
        f"{moved / mid['candle'] / 1e9:.1f} GB/s",
        "peer": f"{best} {operations / mid[best] / 1e9:.0f}",
        "figure": f"{speed:.2f}x",
        "goal": "at least 0.9 each, 1.0 in the mean",
        "met": speed >= 0.9,
        "ratio": speed,
    }


def rows() -> list[dict[str, Any]]:
    from candle_cpu import measure

    made: list[dict[str, Any]] = []
    if any(name in os.environ for name in _PINS):
        made.append({"what": f"unset {' and '.join(_PINS)}: they make NumPy slower than it is"})
    blas: Any = None
    try:
        import threadpoolctl

        blas = threadpoolctl.threadpool_limits
    except ImportError:
        made.append({"what": "NumPy's threads are what they are by default: threadpoolctl is not installed"})
    for threads in [1, 2] if (os.cpu_count() or 1) > 1 else [1]:
        limit = blas(threads) if blas is not None else None
        candle.tensor([0.0], device="cpu").backend.threads = threads
        peak, reading = measure.operations_per_second(), measure.bytes_per_second()
        made.append(
            {"what": f"the machine, {threads} threads", "candle": f"{peak / 1e9:.0f} GFLOP/s f32, {reading / 1e9:.1f} GB/s"}
        )
        for dtype, shapes in (("float32", SQUARES + FEW), ("bfloat16", SQUARES[:4])):
            part = [row(m, n, k, threads, peak, dtype) for m, n, k in shapes]
            mean = float(np.exp(np.mean(np.log([r["ratio"] for r in part]))))
            made += part
            made.append({"what": f"{dtype}, {threads} threads: geometric mean", "figure": f"{mean:.2f}x", "goal": "at least 1.0",
                         "met": mean >= 1})  # fmt: skip
        if limit is not None:
            limit.restore_original_limits()
    return made
