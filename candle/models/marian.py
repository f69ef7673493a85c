"""Marian (OPUS-MT): BART's blocks with sines for positions and no norm behind the embedding.  https://arxiv.org/abs/1804.00344"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..create import as_tensor
from ..tensor import Tensor
from .bart import Bart, BartConfig, Stack

__all__ = ["Marian", "MarianConfig"]


@dataclass
class MarianConfig(BartConfig):
    fixed = {"normalize_before": (False,), "normalize_embedding": (False,), "add_final_layer_norm": (False,)}

    vocab_size: int = 58101
    pad_token_id: Any = 58100
    eos_token_id: Any = 0
    decoder_start_token_id: Any = 58100
    forced_eos_token_id: Any = 0


def sines(positions: int, width: int) -> Any:
    """Sines in the first half, cosines in the second, float32[positions, width]."""
    angles = np.arange(positions)[:, None] / np.power(10000, 2 * (np.arange(width) // 2) / width)
    return np.concatenate([np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])], 1).astype(np.float32)


class SineStack(Stack):
    def extend(self, c: Any) -> None:
        self.sines = sines(c.max_position_embeddings, c.d_model)

    def embedded(self, x: Tensor, at: Tensor) -> Tensor:
        return x + as_tensor(self.sines, device=x.backend)[at].to(dtype=x.dtype)


class Marian(Bart):
    Config = MarianConfig
    dropped = (*Bart.dropped, r"embed_positions\.weight$")
    stack = SineStack
