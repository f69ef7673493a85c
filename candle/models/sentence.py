"""Sentence encoders: tokens in, one vector a sentence out.  https://arxiv.org/abs/1908.10084"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Sequence

import numpy as np

from ..compile import compile as compile_function
from ..create import as_tensor, tensor
from ..errors import BackendError, FormatError
from ..nn import Module
from ..op import OPS
from ..tensor import Tensor, no_grad
from .loading import load_module, locate

__all__ = ["SentenceEncoder"]


def _json(path: Path, default: Any = None) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if default is not None:
            return default
        raise FormatError(f"{path} is missing") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as e:
        raise FormatError(f"{path} is not JSON: {e}") from None


class SentenceEncoder:
    """A sentence-transformers folder: a transformer, a pooling over its tokens and, where it says so, normalisation."""

    def __init__(self, model: Module, tokenizer: Any, pooling: Sequence[str], normalize: bool, most: int, pad: int) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.pooling, self.normalize = tuple(pooling), normalize
        self.most, self.pad = most, pad
        self.compiled = compile_function(self.forward, limit=4096)

    @classmethod
    def load(cls, name: Any, device: Any = None, dtype: Any = None) -> SentenceEncoder:
        folder = locate(name)
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise BackendError(
                "sentence encoders tokenise with tokenizers, which is not installed: pip install 'candle[models]'"
            ) from None
        steps = _json(folder / "modules.json")
        kinds = [str(s.get("type", "")).rpartition(".")[2] for s in steps]
        known = {"Transformer", "Pooling", "Normalize"}
        if not kinds or kinds[0] != "Transformer" or set(kinds) - known:
            raise FormatError(
                f"{folder}/modules.json has the steps {', '.join(kinds)}; "
                f"those known are {', '.join(sorted(known))}, the transformer first"
            )
        model = load_module(folder / steps[0].get("path", ""), device, dtype, bare=True)
        pooling = ["mean"]
        if "Pooling" in kinds:
            said = _json(folder / steps[kinds.index("Pooling")]["path"] / "config.json")
            names = {"pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max", "pooling_mode_mean_tokens": "mean",
                     "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len"}  # fmt: skip
            pooling = [n for k, n in names.items() if said.get(k)]
            others = [k for k, v in said.items() if k.startswith("pooling_mode") and v and k not in names]
            if others or not pooling:
                raise FormatError(
                    f"{folder} pools by {', '.join(others) or 'nothing'}; the poolings known are {', '.join(names.values())}"
                )
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise FormatError(f"{folder} has no tokenizer.json")
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as e:
            raise FormatError(f"{path} is not a tokenizer: {e}") from None
        settings = _json(folder / "sentence_bert_config.json", {"max_seq_length": None})
        limit = getattr(model.config, "max_position_embeddings", 512)
        most = min(settings.get("max_seq_length") or limit, limit)
        tokenizer.no_padding()
        tokenizer.enable_truncation(most)
        return cls(model, tokenizer, pooling, "Normalize" in kinds, most, getattr(model.config, "pad_token_id", 0) or 0)

    @property
    def device(self) -> Any:
        return next(iter(self.model.parameters())).device

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Vectors float[b, d] of int[b, n] token ids and their mask."""
        x = self.model(input_ids, attention_mask).last_hidden_state
        weights = attention_mask[:, :, None].to(dtype=x.dtype)
        count = weights.sum(1).clamp(1e-9)
        parts = []
        for kind in self.pooling:
            if kind == "cls":
                parts.append(x[:, 0])
            elif kind == "max":
                parts.append(x.masked_fill(attention_mask[:, :, None] == 0, -1e9).amax(1))
            else:
                parts.append((x * weights).sum(1) / (count if kind == "mean" else count.sqrt()))
        y = parts[0] if len(parts) == 1 else OPS["cat"](parts, -1)
        if self.normalize:
            y = y / (y * y).sum(-1, True).sqrt().clamp(1e-12)
        return y

    def encode(self, sentences: str | Sequence[str], batch_size: int = 32, compiled: bool = True) -> Tensor:
        """Vectors float[n, d] of n sentences (float[d] of one); longer ones are cut at the model's limit.

        Sentences are sorted by length and batched, so that little is padded.
        """
        if isinstance(sentences, str):
            return self.encode([sentences], batch_size, compiled)[0]
        texts = list(sentences)
        for t in texts:
            if not isinstance(t, str):
                raise TypeError(f"encode takes sentences but was given {t!r:.60}")
        if batch_size < 1:
            raise ValueError(f"batch_size is at least 1 but {batch_size} was given")
        if not texts:
            width = self.model.config.hidden_size * len(self.pooling)
            return tensor(np.zeros((0, width), np.float32), device=self.device)
        ids = [e.ids for e in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        run = self.compiled if compiled else self.forward
        found, places = [], []
        with no_grad():
            for at in range(0, len(order), batch_size):
                chosen = order[at : at + batch_size]
                width = max(len(ids[i]) for i in chosen)
                tokens = np.full((len(chosen), width), self.pad, np.int64)
                mask = np.zeros((len(chosen), width), np.int64)
                for row, i in enumerate(chosen):
                    tokens[row, : len(ids[i])] = ids[i]
                    mask[row, : len(ids[i])] = 1
                found.append(run(as_tensor(tokens, device=self.device), as_tensor(mask, device=self.device)))
                places += chosen
            rows = found[0] if len(found) == 1 else OPS["cat"](found, 0)
            back = np.empty(len(places), np.int64)
            back[places] = np.arange(len(places))
            return rows.index_select(0, as_tensor(back, device=self.device))
