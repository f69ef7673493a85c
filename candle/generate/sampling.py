"""From logits to a token: penalties, temperature, what is cut off, and the draw, the same for a seed on every device."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from ..errors import CandleError
from ..random import Generator, default_generator, rand, randint

__all__ = ["Picker", "Sampling", "probabilities"]

Processor = Callable[[Any, Any], Any]


@dataclass
class Sampling:
    """How tokens are drawn.  ``temperature`` 0 takes the likeliest; else, in this order, logits go through

    ``logit_bias`` (added by token id), ``repetition_penalty`` (https://arxiv.org/abs/1909.05858; 1 is none),
    ``frequency_penalty`` and ``presence_penalty`` (subtracted for each time, and once, for tokens already written),
    ``processors`` (callables of the row's ids so far int64[n] and its logits float64[v]), ``temperature``, ``top_k``,
    ``top_p`` (https://arxiv.org/abs/1904.09751), ``min_p`` (a share of the likeliest's probability),
    ``typical_p`` (https://arxiv.org/abs/2202.00666), or ``mirostat_tau`` with ``mirostat_eta`` in their place
    (https://arxiv.org/abs/2007.14966, version 2).
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float = 0.1
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    processors: Sequence[Processor] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        wanted = {
            "temperature": (self.temperature >= 0, "at least 0"),
            "top_k": (self.top_k is None or self.top_k >= 0, "at least 0 (0 is all)"),
            "top_p": (self.top_p is None or 0 < self.top_p <= 1, "above 0 and at most 1"),
            "min_p": (self.min_p is None or 0 <= self.min_p <= 1, "from 0 to 1"),
            "typical_p": (self.typical_p is None or 0 < self.typical_p <= 1, "above 0 and at most 1"),
            "repetition_penalty": (self.repetition_penalty > 0, "above 0"),
            "mirostat_tau": (self.mirostat_tau is None or self.mirostat_tau > 0, "above 0"),
        }
        for name, (good, text) in wanted.items():
            if not good:
                raise CandleError(f"{name} is {text} but {getattr(self, name)} was given")

    @property
    def plain(self) -> bool:
        """Whether the likeliest token is taken as it is."""
        return (
            self.temperature == 0
            and self.repetition_penalty == 1
            and not self.frequency_penalty
            and not self.presence_penalty
            and not self.logit_bias
            and not self.processors
        )

    def adjusted(self, logits: Any, ids: Any, new: Any) -> Any:
        """Logits float64[v] after bias, penalties and processors; ``ids`` are the row's tokens, ``new`` those it wrote itself."""
        z = np.array(logits, np.float64)
        for token, bias in self.logit_bias.items():
            if not 0 <= int(token) < len(z):
                raise CandleError(f"logit_bias names the token {token} but the vocabulary has {len(z)}")
            z[int(token)] += bias
        if self.repetition_penalty != 1:
            seen = np.unique(ids)
            z[seen] = np.where(z[seen] > 0, z[seen] / self.repetition_penalty, z[seen] * self.repetition_penalty)
        if (self.frequency_penalty or self.presence_penalty) and len(new):
            seen, counts = np.unique(new, return_counts=True)
            z[seen] -= counts * self.frequency_penalty + self.presence_penalty
        for processor in self.processors:
            z = np.asarray(processor(ids, z), np.float64)
        return z


def _softmax(z: Any) -> Any:
    e = np.exp(z - z.max())
    return e / e.sum()


def probabilities(z: Any, s: Sampling) -> Any:
    """What each token may be drawn with, float64[v], of adjusted logits."""
    if s.temperature == 0:
        p = np.zeros(len(z))
        p[int(z.argmax())] = 1
        return p
    z = z / s.temperature
    if s.top_k and s.top_k < len(z):
        least = np.partition(z, -s.top_k)[-s.top_k]
        z = np.where(z >= least, z, -np.inf)
    p = _softmax(z)
    if s.top_p is not None and s.top_p < 1:
        order = np.argsort(-p, kind="stable")
        before = np.cumsum(p[order]) - p[order]
        p[order[before >= s.top_p]] = 0
    if s.min_p:
        p[p < s.min_p * p.max()] = 0
    if s.typical_p is not None and s.typical_p < 1:
        q = p / p.sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            surprise = -np.log(q)
            entropy = np.nansum(np.where(q > 0, q * surprise, 0))
        order = np.argsort(np.where(q > 0, np.abs(surprise - entropy), np.inf), kind="stable")
        before = np.cumsum(q[order]) - q[order]
        p[order[before >= s.typical_p]] = 0
    return p / p.sum()


def seed_of(seed: int | None) -> int:
    """The seed given, or one drawn from the default generator, so that ``manual_seed`` settles it."""
    return int(randint(2**62, (1,), generator=default_generator("numpy"))[0]) if seed is None else int(seed)


class Picker:
    """Draws for one row: it has a generator of its own, so that a row of a batch draws what it would alone."""

    def __init__(self, sampling: Sampling, seed: int) -> None:
        self.sampling = sampling
        self.generator = Generator("numpy", seed & (2**63 - 1))
        self.mu = 2 * (sampling.mirostat_tau or 0.0)

    def uniform(self) -> float:
        """A number of [0, 1)."""
        return float(rand(1, generator=self.generator, dtype="float64", device="numpy")[0])

    def draw(self, p: Any) -> int:
        """A token with the probabilities float64[v]."""
        cumulative = np.cumsum(p)
        at = int(np.searchsorted(cumulative, self.uniform() * cumulative[-1], side="right"))
        return min(at, int(np.flatnonzero(p)[-1]))

    def pick(self, logits: Any, ids: Any, new: Any) -> int:
        """The next token of a row, given its logits [v]."""
        s = self.sampling
        if s.plain:
            return int(np.argmax(logits))
        z = s.adjusted(logits, ids, new)
        if s.temperature == 0:
            return int(z.argmax())
        if s.mirostat_tau is None:
            return self.draw(probabilities(z, s))
        p = _softmax(z / s.temperature)
        with np.errstate(divide="ignore"):
            surprise = -np.log2(p)
        p = np.where((surprise <= self.mu) | (surprise == surprise.min()), p, 0)
        p /= p.sum()
        token = self.draw(p)
        self.mu -= s.mirostat_eta * (-np.log2(p[token]) - s.mirostat_tau)
        return token
