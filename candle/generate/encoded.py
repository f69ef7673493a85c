"""Generation by encoder-decoders: the text is read, and what is written begins with the model's own token."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..create import as_tensor
from ..models.seq2seq import Continuation
from ..op import OPS
from ..tensor import no_grad

__all__ = ["begin"]

_ROUND = 16  # lengths of texts that are read are multiples of it, so that few shapes are captured


def begin(model: Any, input_ids: Any, attention_mask: Any) -> tuple[Any, Any, Any]:
    """The model as one that goes on writing, the first token int64[b, 1] of each row, and no mask."""
    with no_grad():
        ids = model.tokens(input_ids)
        keep = model.mask(attention_mask, *ids.shape)
        states = model.encode(ids, keep)
        b, m = ids.shape
        length = -(-m // _ROUND) * _ROUND
        seen = np.zeros((b, length), bool)
        seen[:, :m] = True if keep is None else keep.numpy()
        kept = model.__dict__.setdefault("_continuations", {})
        found = kept.pop((b, length), None)
        if found is None or found.dtype is not model.dtype or found.device != model.device:
            found = Continuation(model, b, length)
        kept[b, length] = found
        while len(kept) > 4:
            kept.pop(next(iter(kept)))
        found.read(OPS["pad"](states, pad=(0, 0, 0, length - m)), as_tensor(seen, device=model.device))
    return found, np.full((b, 1), model.start_token(), np.int64), None
