"""Sentences per second of all-MiniLM-L6-v2, beside transformers on PyTorch: the same sentences, batches and threads."""

from __future__ import annotations

from typing import Any

import candle

from .harness import alternate, ratio, seconds

SENTENCES = [f"This is sentence number {n}, of a moderate length, about candles and the light they give." for n in range(64)]


def rows(device: str = "numpy") -> list[dict[str, Any]]:
    try:
        model = candle.models.load("all-MiniLM-L6-v2", device=device)
    except candle.BackendError as e:
        return [{"what": "MiniLM sentences per second", "figure": f"not run: {e}"}]
    contestants: dict[str, Any] = {"candle": lambda: model.encode(SENTENCES)}
    try:
        import torch
        from sentence_transformers import SentenceTransformer
    except ImportError:
        torch = None
    if torch is not None:
        torch.set_num_threads(2)
        peer = SentenceTransformer(str(candle.models.locate("all-MiniLM-L6-v2")), device="cpu")
        contestants["torch"] = lambda: peer.encode(SENTENCES)
    found = alternate(contestants, rounds=5, measure=lambda work: seconds(work, 0.1))
    mid = sorted(found["candle"])[len(found["candle"]) // 2]
    row = {
        "what": f"MiniLM, 64 sentences, batches of 32 ({device}; 2 threads in BLAS and torch)",
        "candle": f"{len(SENTENCES) / mid:.0f} a second",
    }
    if torch is not None:
        row |= {
            "peer": "sentence-transformers",
            "figure": f"{1 / ratio(found['candle'], found['torch']):.2f}x its speed",
            "goal": "the C engine's",
        }
    return [row]
