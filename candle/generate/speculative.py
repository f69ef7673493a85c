"""Speculative decoding: a small model drafts, the large one checks several tokens at once.  https://arxiv.org/abs/2211.17192"""

from __future__ import annotations

from typing import Any, Iterator

import numpy as np

from ..errors import CandleError, ShapeError
from .decoding import borrow, ends_of, give_back, rows_of, sampling_of
from .sampling import Picker, probabilities, seed_of

__all__ = ["speculate"]


def speculate(
    model: Any,
    draft: Any,
    input_ids: Any,
    max_new_tokens: int = 20,
    *,
    ahead: int = 4,
    ignore_eos: bool = False,
    eos_token_id: Any = None,
    compiled: bool = True,
    **sampling: Any,
) -> Iterator[int]:
    """The tokens that ``model`` writes after one prompt, drafted ``ahead`` at a time by ``draft`` (of the same vocabulary).

    Their distribution is the model's own: at temperature 0 the very tokens that ``stream`` gives.  Raises CandleError where
    vocabularies differ or a model cannot go back (recurrent layers).
    """
    if model.config.vocab_size != draft.config.vocab_size:
        raise CandleError(
            f"the draft model has a vocabulary of {draft.config.vocab_size} but the model one of {model.config.vocab_size}"
        )
    if ahead < 1:
        raise CandleError(f"ahead is at least 1 but {ahead} was given")
    ids, keep = rows_of(model, input_ids, None)
    if ids.shape[0] != 1 or not keep.all():
        raise ShapeError(f"speculative decoding takes one prompt but {ids.shape[0]} were given")
    s = sampling_of(sampling)
    picker = Picker(s, seed_of(s.seed) if s.temperature > 0 else 0)
    ends = set() if ignore_eos else ends_of(model, eos_token_id)
    capacity = ids.shape[1] + max_new_tokens + ahead + 1
    large, small = borrow(model, 1, capacity, compiled), borrow(draft, 1, capacity, compiled)
    for d in (large, small):
        d.back([0])

    def distribution(logits: Any, history: list[int]) -> Any:
        h = np.asarray(history, np.int64)
        return probabilities(s.adjusted(logits, h, h[ids.shape[1] :]), s)

    def tokens() -> Iterator[int]:
        try:
            yield from written()
        finally:
            give_back(model, large)
            give_back(draft, small)

    def written() -> Iterator[int]:
        history = [int(t) for t in ids[0]]
        if len(history) > 1:
            large.start(np.asarray([history[:-1]], np.int64))
        known = 0  # how many tokens the draft model has taken in
        count = 0
        while count < max_new_tokens:
            drafted: list[int] = []
            guesses: list[Any] = []
            for _ in range(ahead):
                line = history + drafted
                if known + 1 < len(line):
                    logits = small.start(np.asarray([line[known:]], np.int64))
                else:
                    logits = small.step([line[-1]])
                known = len(line)
                p = distribution(logits[0], line)
                guesses.append(p)
                drafted.append(picker.draw(p) if s.temperature > 0 else int(p.argmax()))
            found = large.check([[history[-1], *drafted]])[0]
            taken: list[int] = []
            for at in range(ahead + 1):
                q = distribution(found[at], history + taken)
                if at < ahead and _accepted(picker, q, guesses[at], drafted[at], s.temperature):
                    taken.append(drafted[at])
                    continue
                if s.temperature == 0:
                    taken.append(int(q.argmax()))
                else:
                    rest = q if at == ahead else np.maximum(q - guesses[at], 0)
                    taken.append(picker.draw(rest if rest.sum() > 0 else q))
                break
            history += taken
            large.back([len(history) - 1])
            known = min(known, len(history) - 1)
            small.back([known])
            for t in taken:
                yield t
                count += 1
                if t in ends or count == max_new_tokens:
                    return

    return tokens()


def _accepted(picker: Picker, q: Any, p: Any, token: int, temperature: float) -> bool:
    if temperature == 0:
        return int(q.argmax()) == token
    return picker.uniform() * p[token] < q[token]
