"""The loop of generation: a prompt goes in at once, then a token at a time, by one captured step for all positions."""

from __future__ import annotations

import threading
from typing import Any, Iterator, Sequence

import numpy as np

from ..compile import compile as compile_function
from ..create import as_tensor, tensor
from ..errors import CandleError, ShapeError
from ..models.decoder import Step
from ..models.results import Outputs
from ..tensor import Tensor, no_grad
from .sampling import Picker, Sampling, seed_of

__all__ = ["Decoder", "Prefix", "generate", "stream"]

_LOCK = threading.Lock()
_ROUND = 64  # capacities are multiples of it, so that few shapes are captured


class Decoder:
    """A model with a memory for some rows: ``start`` takes their prompts, ``step`` a token for each; both give logits.

    Logits are NumPy float32[b, vocab].  ``step`` runs captured, if ``compiled``: one graph for every position.
    """

    def __init__(self, model: Any, batch: int, capacity: int, compiled: bool = True) -> None:
        self.model, self.compiled = model, compiled
        self.cache = model.new_cache(batch, capacity)
        self._step = compile_function(self._decode, limit=64) if compiled else self._decode
        self._all = compile_function(self._every, limit=64) if compiled else self._every

    def _decode(self, ids: Tensor) -> Tensor:
        return self.model.decode(ids, None, self.cache)

    def start(self, ids: Any, keep: Any = None) -> Any:
        """Prompts int64[b, n], padded on the left where ``keep`` bool[b, n] is False, after what is already remembered."""
        device = self.model.device
        with no_grad():
            self.cache.reserve(ids.shape[1])
            mask = None if keep is None or keep.all() else as_tensor(keep, device=device)
            logits = self.model.decode(as_tensor(ids, device=device), mask, self.cache)
            self.cache.longest += ids.shape[1]
        return _host(logits)

    def step(self, tokens: Any) -> Any:
        """One more token int64[b] for each row."""
        with no_grad():
            self.cache.reserve(1)
            run = self._decode if self.cache.fresh else self._step  # as in check
            logits = run(as_tensor(np.asarray(tokens, np.int64).reshape(-1, 1), device=self.model.device))
            self.cache.longest += 1
        return _host(logits)

    def _every(self, ids: Tensor) -> Tensor:
        hidden = self.model.hidden(ids, Step(ids, None, self.cache))
        self.model.advance(self.cache, None, ids.shape[1])
        return self.model.logits(hidden)

    def check(self, tokens: Any) -> Any:
        """Several more tokens int64[b, n]; the logits float32[b, n, vocab] behind each of them."""
        ids = np.asarray(tokens, np.int64)
        with no_grad():
            self.cache.reserve(ids.shape[1])
            # an empty memory is looked at otherwise than one that holds something, so that step is not captured
            run = self._every if self.cache.fresh else self._all
            logits = run(as_tensor(ids, device=self.model.device))
            self.cache.longest += ids.shape[1]
        return _host(logits)

    def back(self, lengths: Any) -> None:
        """Forget what lies beyond int[b] tokens of each row; raises CandleError where a layer's state cannot be undone."""
        from ..models.caching import KeyValues

        if not all(isinstance(layer, KeyValues) or not layer.tensors() for layer in self.cache.layers):
            raise CandleError(f"{type(self.model).__name__} has recurrent layers, whose state cannot go back to an earlier token")
        lengths = np.asarray(lengths, np.int64)
        with no_grad():
            self.cache.lengths.copy_(as_tensor(lengths, device=self.model.device))
        self.cache.longest = int(lengths.max(initial=0))

    def clear(self) -> None:
        """Forget all."""
        self.cache.clear()


def _host(logits: Tensor) -> Any:
    return logits.detach().float().numpy()


class Prefix:
    """A prompt cache of one row: what a new prompt has in common with what went in before is not computed again.

    ``candle.generate.stream(model, ids, prefix=prefix)`` uses and extends it; ``reused`` says how many tokens were spared.
    """

    def __init__(self, model: Any, capacity: int = 256, compiled: bool = True) -> None:
        self.decoder = Decoder(model, 1, capacity, compiled)
        self.ids: list[int] = []
        self.reused = 0

    def start(self, ids: Sequence[int]) -> Any:
        """Logits float32[1, v] behind a prompt."""
        common = 0
        while common < min(len(self.ids), len(ids) - 1) and self.ids[common] == ids[common]:
            common += 1
        if common < len(self.ids):
            try:
                self.decoder.back([common])
            except CandleError:
                common = 0
            if common == 0:
                self.decoder.clear()
        self.reused, self.ids = common, list(ids)
        return self.decoder.start(np.asarray([ids[common:]], np.int64))

    def step(self, tokens: Any) -> Any:
        self.ids.append(int(tokens[0]))
        return self.decoder.step(tokens)


def borrow(model: Any, batch: int, capacity: int, compiled: bool) -> Decoder:
    """A decoder that is free, or a new one; those of a model are kept, so that its step is captured once a shape."""
    with _LOCK:
        free = model.__dict__.setdefault("_decoders", [])
        found = next((d for d in free if _serves(d, model, batch, capacity, compiled)), None)
        if found is not None:
            free.remove(found)
    if found is not None:
        found.clear()
        return found
    return Decoder(model, batch, -(-capacity // _ROUND) * _ROUND, compiled)


def _serves(d: Decoder, model: Any, batch: int, capacity: int, compiled: bool) -> bool:
    fits = d.cache.batch == batch and d.compiled == compiled and capacity <= d.cache.capacity <= 4 * max(capacity, _ROUND)
    if not fits or d.cache.lengths.device != model.device:
        return False
    floating = [x.dtype for x in d.cache.tensors() if x.dtype.is_floating_point]
    return not floating or floating[0] is model.dtype


def give_back(model: Any, d: Decoder) -> None:
    with _LOCK:
        free = model.__dict__.setdefault("_decoders", [])
        free.append(d)
        del free[:-2]


def rows_of(model: Any, input_ids: Any, attention_mask: Any) -> tuple[Any, Any]:
    """Prompts as int64[b, n] and bool[b, n], padding moved to the left."""
    if isinstance(input_ids, (list, tuple)) and input_ids and isinstance(input_ids[0], (list, tuple)):
        lengths = [len(r) for r in input_ids]
        if len(set(lengths)) > 1:
            if attention_mask is not None:
                raise ShapeError("prompts of different lengths are lists without an attention_mask, or one padded array with it")
            ids = np.zeros((len(lengths), max(lengths)), np.int64)
            keep = np.zeros(ids.shape, bool)
            for i, row in enumerate(input_ids):
                ids[i, len(ids[i]) - len(row) :] = row
                keep[i, len(ids[i]) - len(row) :] = True
            return ids, keep
    ids = np.array(model.tokens(input_ids).detach().numpy(), np.int64)
    if attention_mask is None:
        return ids, np.ones(ids.shape, bool)
    given = attention_mask.detach().numpy() if isinstance(attention_mask, Tensor) else np.asarray(attention_mask)
    keep = np.atleast_2d(given) != 0
    if keep.shape != ids.shape:
        raise ShapeError(f"attention_mask has the shape of input_ids, {ids.shape}, but {keep.shape} was given")
    order = np.argsort(keep, axis=1, kind="stable")
    return np.take_along_axis(ids, order, 1), np.take_along_axis(keep, order, 1)


def ends_of(model: Any, eos_token_id: Any) -> set[int]:
    found = getattr(model, "generation", {}).get("eos_token_id") if eos_token_id is None else eos_token_id
    if found is None:
        found = getattr(model.config, "eos_token_id", None)
    return set() if found is None else {int(e) for e in (found if isinstance(found, (list, tuple, set, frozenset)) else [found])}


class _Run:
    """One generation: rows, what they wrote, which of them are done."""

    def __init__(self, model: Any, ids: Any, keep: Any, new: int, sampling: Sampling, ends: set[int], stop: Any) -> None:
        said = {**vars(model.config), **getattr(model, "generation", {})}
        self.banned = {int(t) for t in said.get("suppress_tokens") or ()}
        self.banned |= {int(words[0]) for words in said.get("bad_words_ids") or () if len(words) == 1}
        first, last = said.get("forced_bos_token_id"), said.get("forced_eos_token_id")
        self.forced = {} if first is None or not model.writes_apart else {0: int(first)}
        if last is not None and ends and model.writes_apart:
            self.forced[new - 1] = int(last[0] if isinstance(last, list) else last)
        if new < 0:
            raise CandleError(f"max_new_tokens is at least 0 but {new} was given")
        if not ids.shape[0] or not keep.any(axis=1).all():
            raise ShapeError("generation wants at least one token in each of at least one prompt")
        self.ends, self.new = ends, new
        self.stop = [tuple(int(t) for t in s) for s in stop or ()]
        if not all(self.stop):
            raise CandleError("stop sequences are lists of token ids; one is empty")
        seed = seed_of(sampling.seed) if sampling.temperature > 0 else 0
        self.pickers = [Picker(sampling, seed + i) for i in range(ids.shape[0])]
        self.history = [[int(t) for t in ids[i][keep[i]]] for i in range(ids.shape[0])]
        self.prompt = [len(h) for h in self.history]
        self.done = [False] * ids.shape[0]

    def _allowed(self, logits: Any) -> Any:
        """The logits, minus infinity at tokens that the checkpoint rules out."""
        if self.banned:
            logits = np.array(logits)
            logits[[t for t in self.banned if t < len(logits)]] = -np.inf
        return logits

    def take(self, logits: Any) -> list[int | None]:
        """The next token of each row, None where it was done."""
        found: list[int | None] = []
        for i, picker in enumerate(self.pickers):
            if self.done[i]:
                found.append(None)
                continue
            h = self.history[i]
            token = self.forced.get(len(h) - self.prompt[i])
            if token is None and picker.sampling.plain:
                token = int(np.argmax(self._allowed(logits[i])))
            elif token is None:
                token = picker.pick(self._allowed(logits[i]), np.asarray(h, np.int64), np.asarray(h[self.prompt[i] :], np.int64))
            h.append(token)
            found.append(token)
            self.done[i] = token in self.ends or any(tuple(h[self.prompt[i] :][-len(s) :]) == s for s in self.stop)
        return found


def sampling_of(settings: dict[str, Any]) -> Sampling:
    unknown = sorted(set(settings) - set(Sampling.__dataclass_fields__))
    if unknown:
        known = ", ".join(Sampling.__dataclass_fields__)
        raise TypeError(f"generation has no setting {', '.join(unknown)}; sampling has {known}")
    return Sampling(**settings)


def _steps(
    model: Any, ids: Any, keep: Any, run: _Run, compiled: bool, prefix: Prefix | None
) -> Iterator[tuple[list[int | None], Any]]:
    """Tokens of each row, None where it is done, and the logits they were picked from."""
    b, n = ids.shape
    if run.new == 0:
        return
    decoder: Any = prefix
    if prefix is not None:
        if b != 1:
            raise CandleError(f"a Prefix keeps one row but {b} were given")
        logits = prefix.start(run.history[0])
    else:
        decoder = borrow(model, b, n + run.new, compiled)
        logits = decoder.start(ids, keep)
    try:
        for count in range(run.new):
            found = run.take(logits)
            yield found, logits
            if all(run.done) or count + 1 == run.new:
                return
            logits = decoder.step([0 if t is None else t for t in found])
    finally:
        if prefix is None:
            give_back(model, decoder)


def generate(
    model: Any,
    input_ids: Any,
    max_new_tokens: int = 20,
    *,
    attention_mask: Any = None,
    ignore_eos: bool = False,
    eos_token_id: Any = None,
    pad_token_id: int | None = None,
    stop: Sequence[Sequence[int]] | None = None,
    compiled: bool = True,
    prefix: Prefix | None = None,
    output_logits: bool = False,
    **sampling: Any,
) -> Any:
    """Prompts and what the model writes after them, int64[b, n + new], on the model's device; an encoder-decoder's own ids.

    ``input_ids`` are int[b, n] (padding anywhere, by ``attention_mask``) or lists of different lengths.  A row ends with one
    of the model's end tokens (unless ``ignore_eos``) or a ``stop`` sequence of ids, and is padded from there.  The other
    settings are ``Sampling``'s; without them the likeliest token is taken.  With ``output_logits`` the result is named:
    ``sequences`` and ``logits`` float32[b, new, vocab], what each token was picked from.
    """
    if model.is_encoder_decoder:
        from .encoded import begin

        model, input_ids, attention_mask = begin(model, input_ids, attention_mask)
    ids, keep = rows_of(model, input_ids, attention_mask)
    ends = set() if ignore_eos else ends_of(model, eos_token_id)
    run = _Run(model, ids, keep, max_new_tokens, sampling_of(sampling), ends, stop)
    pad = pad_token_id if pad_token_id is not None else getattr(model.config, "pad_token_id", None)
    pad = int(pad) if pad is not None else min(ends, default=0)
    columns, kept = [], []
    for tokens, logits in _steps(model, ids, keep, run, compiled, prefix):
        columns.append([pad if t is None else t for t in tokens])
        if output_logits:
            kept.append(np.array(logits))
    given = np.where(keep, ids, pad)
    new = np.asarray(columns, np.int64).reshape(len(columns), ids.shape[0]).T
    sequences = tensor(np.concatenate([given, new], 1), device=model.device)
    if not output_logits:
        return sequences
    return Outputs(sequences=sequences, logits=tensor(np.stack(kept, 1), device=model.device) if kept else None)


def stream(
    model: Any,
    input_ids: Any,
    max_new_tokens: int = 20,
    *,
    attention_mask: Any = None,
    ignore_eos: bool = False,
    eos_token_id: Any = None,
    stop: Sequence[Sequence[int]] | None = None,
    compiled: bool = True,
    prefix: Prefix | None = None,
    **sampling: Any,
) -> Iterator[Any]:
    """The tokens one by one, as they are written: an int for one prompt, else a list with None for rows that are done.

    The arguments are those of ``generate``; closing the iterator ends the work.
    """
    if model.is_encoder_decoder:
        from .encoded import begin

        model, input_ids, attention_mask = begin(model, input_ids, attention_mask)
    ids, keep = rows_of(model, input_ids, attention_mask)
    ends = set() if ignore_eos else ends_of(model, eos_token_id)
    run = _Run(model, ids, keep, max_new_tokens, sampling_of(sampling), ends, stop)

    def tokens() -> Iterator[Any]:
        for found, _ in _steps(model, ids, keep, run, compiled, prefix):
            yield found[0] if len(found) == 1 else found

    return tokens()
