"""Random tensors, and the generators they come from: the same numbers for a seed on every device."""

from __future__ import annotations

import math
import secrets
from typing import Any, Sequence

from . import dtype as dt
from .create import _floating, _shape, tensor
from .device import resolve
from .dtype import as_dtype
from .errors import DTypeError, ShapeError
from .op import OPS
from .ops.random import words_of
from .tensor import Tensor, current_trace, run, untraced

__all__ = [
    "Generator", "bernoulli", "default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "multinomial",
    "normal", "rand", "rand_like", "randint", "randint_like", "randn", "randn_like", "randperm", "seed", "set_rng_state",
]  # fmt: skip


class Generator:
    """A source of random numbers: a seed, and how far it has got.

    ``state`` is an int64[2] tensor (seed, offset) that every draw rebinds; a captured function carries it on.
    """

    def __init__(self, device: Any = None, seed: int = 0) -> None:
        self.backend = resolve(device)
        self.state = tensor([0, 0], dtype=dt.int64, device=self.backend)
        self.manual_seed(seed)

    @property
    def device(self) -> Any:
        return self.backend.device

    def manual_seed(self, seed: int) -> Generator:
        """Begin again from a seed of up to 64 bits."""
        seed = int(seed)
        if not -(2**63) <= seed < 2**64:
            raise DTypeError(f"a seed has 64 bits but {seed} was given")
        self._seed = seed & (2**64 - 1)
        signed = self._seed - 2**64 if self._seed >= 2**63 else self._seed
        self.state._rebind(tensor([signed, 0], dtype=dt.int64, device=self.backend))
        return self

    def seed(self) -> int:
        """Begin from a seed of the system's; returns it."""
        self.manual_seed(secrets.randbits(63))
        return self._seed

    def initial_seed(self) -> int:
        return self._seed

    def get_state(self) -> Tensor:
        """Where it stands, for ``set_state``."""
        return self.state.detach()

    def set_state(self, state: Tensor) -> None:
        """Go on from where another or an earlier one stood."""
        if state.shape != (2,):
            raise ShapeError(f"a generator's state is int64[2] but {state.spec} was given")
        self.state._rebind(state.detach().to(self.device, dt.int64))

    def take(self, blocks: int) -> Tensor:
        """The state for a draw of so many counters, which are then used up."""
        now = self.state.clone()
        self.state._rebind(now + _step(self.backend, blocks))
        return now


def _step(backend: Any, blocks: int) -> Tensor:
    trace = current_trace()
    return tensor([0, blocks], dtype=dt.int64, device=None if trace is not None else backend)


_generators: dict[str, Generator] = {}
_seed = secrets.randbits(63)


def default_generator(device: Any = None) -> Generator:
    """The generator that is used where none is named; one a device, all begun from one seed."""
    backend = resolve(device)
    found = _generators.get(str(backend.device))
    if found is None or found.backend is not backend:
        with untraced():  # it outlives a capture that draws first
            found = _generators[str(backend.device)] = Generator(backend, _seed)
    return found


def manual_seed(seed: int) -> Generator:
    """Begin all default generators again from a seed; returns that of the default device."""
    global _seed
    _seed = int(seed)
    for g in _generators.values():
        g.manual_seed(_seed)
    return default_generator()


def seed() -> int:
    """Begin all default generators from a seed of the system's; returns it."""
    new = secrets.randbits(63)
    manual_seed(new)
    return new


def initial_seed() -> int:
    """The seed the default generators began from."""
    return _seed & (2**64 - 1)


def get_rng_state(device: Any = None) -> Tensor:
    """Where a default generator stands."""
    return default_generator(device).get_state()


def set_rng_state(state: Tensor, device: Any = None) -> None:
    """Have a default generator go on from there."""
    default_generator(device).set_state(state)


class fork_rng:
    """Within it draws do not count: the default generators stand afterwards where they stood before."""

    def __enter__(self) -> None:
        self.before = {k: g.get_state() for k, g in _generators.items()}

    def __exit__(self, *_: Any) -> None:
        for k, g in _generators.items():
            if k in self.before:
                g.set_state(self.before[k])
            else:
                g.manual_seed(_seed)


class replaying:
    """Made where something is about to draw; within it, later, the same is drawn again, which leaves no trace."""

    def __init__(self, backends: Sequence[Any]) -> None:
        for b in backends:
            default_generator(b.target if b.name == "trace" else b)
        self.before = {k: g.get_state() for k, g in _generators.items()}

    def __enter__(self) -> None:
        self.now = {k: _generators[k].get_state() for k in self.before}
        for k, state in self.before.items():
            _generators[k].set_state(state)

    def __exit__(self, *_: Any) -> None:
        for k, state in self.now.items():
            _generators[k].set_state(state)


def _generator(generator: Generator | None, device: Any) -> Generator:
    if generator is None:
        trace = current_trace()
        if trace is not None and (device is None or str(device) == str(trace.device)):
            device = trace.target
        return default_generator(device)
    return generator


def _draw(name: str, shape: Sequence[int], dtype: Any, device: Any, generator: Generator | None) -> Tensor:
    g = _generator(generator, device)
    wanted = _floating(dtype)
    if wanted.kind == "c":
        parts = OPS["view_as_complex"](_draw(name, (*shape, 2), dt.real_of(wanted), device, generator))
        return parts * 0.5**0.5 if name == "random_normal" else parts
    state = g.take(words_of(shape, wanted, name == "random_normal"))
    made = run(OPS[name], (state,), {"shape": tuple(shape), "dtype": wanted})
    return made if device is None or generator is None else made.to(device)


def rand(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Uniform numbers in [0, 1); complex ones have both parts there."""
    made = _draw("random_uniform", _shape(size), dtype, device, generator)
    return made.requires_grad_() if requires_grad else made


def randn(
    *size: Any, generator: Generator | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Normal numbers of mean 0 and variance 1; that of complex ones is half and half in both parts."""
    made = _draw("random_normal", _shape(size), dtype, device, generator)
    return made.requires_grad_() if requires_grad else made


def randint(
    low: int, high: Any = None, size: Any = None, *, generator: Generator | None = None, dtype: Any = None, device: Any = None
) -> Tensor:
    """Integers of [low, high); with one bound, of [0, bound)."""
    if size is None:
        low, high, size = 0, low, high
    shape = _shape((tuple(size) if isinstance(size, (tuple, list)) else size,))
    g = _generator(generator, device)
    state = g.take(-(-2 * _count(shape) // 4))
    attrs = {"low": int(low), "high": int(high), "shape": shape, "dtype": dt.int64 if dtype is None else as_dtype(dtype)}
    return run(OPS["random_integers"], (state,), attrs)


def _count(shape: Sequence[int]) -> int:
    n = 1
    for s in shape:
        n *= s
    return n


def rand_like(x: Tensor, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Uniform numbers in the shape, dtype and device of a tensor."""
    return rand(x.shape, dtype=dtype or x.dtype, device=device or _of(x), requires_grad=requires_grad)


def randn_like(x: Tensor, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    """Normal numbers in the shape, dtype and device of a tensor."""
    return randn(x.shape, dtype=dtype or x.dtype, device=device or _of(x), requires_grad=requires_grad)


def randint_like(x: Tensor, low: int, high: int | None = None, dtype: Any = None, device: Any = None) -> Tensor:
    """Integers in the shape, dtype and device of a tensor."""
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, x.shape, dtype=dtype or x.dtype, device=device or _of(x))


def _of(x: Tensor) -> Any:
    return x.backend.target if x.backend.name == "trace" else x.backend


def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """Normal numbers of some mean and deviation, which may be tensors."""
    tensors = [v for v in (mean, std) if isinstance(v, Tensor)]
    if size is None:
        if not tensors:
            raise ShapeError("normal takes a size where mean and std are numbers")
        size = (mean + std).shape
    like = tensors[0] if tensors else None
    z = randn(
        size,
        generator=generator,
        dtype=dtype or (like.dtype if like is not None else None),
        device=device or (_of(like) if like is not None else None),
    )
    return z * std + mean


def bernoulli(p: Any, *, generator: Generator | None = None) -> Tensor:
    """1 with a probability of p for each element, else 0, in p's dtype."""
    if not isinstance(p, Tensor):
        raise DTypeError(f"bernoulli takes a tensor of probabilities but was given {type(p).__name__}; use x.bernoulli_(p)")
    wide = p if p.dtype in (dt.float32, dt.float64) else p.float()
    if current_trace() is None and not bool(((wide >= 0) & (wide <= 1)).all()):
        raise DTypeError(f"bernoulli takes probabilities from 0 to 1 but {p.spec} holds others")
    return (rand(p.shape, generator=generator, dtype=wide.dtype, device=_of(p)) < wide).to(dtype=p.dtype)


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None) -> Tensor:
    """The numbers below n in random order."""
    keys = rand(n, generator=generator, dtype=dt.float64, device=device)
    return keys.argsort().to(dtype=dt.int64 if dtype is None else dtype)


def multinomial(
    probabilities: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Indices drawn by weights, which need not sum to one, from each row of [.., n].

    Raises ShapeError where rows have fewer weights above zero than are drawn without replacement, or weights below zero.
    """
    p = probabilities.detach().double()
    n = p.shape[-1] if p.ndim else 0
    if p.ndim not in (1, 2) or n == 0 or num_samples < 1:
        given = f"{probabilities.spec} and num_samples={num_samples}"
        raise ShapeError(f"multinomial takes weights [n] or [rows, n] and at least one sample but was given {given}")
    if not replacement and num_samples > n:
        raise ShapeError(f"multinomial cannot draw {num_samples} of {n} without replacement")
    if p.backend.name != "trace":
        _check_weights(p, 1 if replacement else num_samples)
    if replacement:
        total = p.cumsum(-1)
        u = rand((*p.shape[:-1], num_samples), generator=generator, dtype=dt.float64, device=_of(p)) * total[..., -1:]
        return (total.unsqueeze(-2) <= u.unsqueeze(-1)).sum(-1).clamp(max=n - 1)
    keys = p.log() + _draw("random_gumbel", p.shape, dt.float64, _of(p), generator)
    return keys.topk(num_samples, -1)[1]


def _check_weights(p: Tensor, least: int) -> None:
    if not bool(((p >= 0) & p.isfinite()).all()):
        raise ShapeError("multinomial takes weights that are at least 0 and finite but some are not")
    if bool(((p > 0).sum(-1) < least).any()):
        raise ShapeError(f"multinomial draws {least} of each row but some row has fewer weights above 0")


def _in_place(draw: Any) -> Any:
    def method(self: Tensor, *args: Any, generator: Generator | None = None, **settings: Any) -> Tensor:
        return self._assign(draw(self, generator, *args, **settings).to(dtype=self.dtype), draw.__name__)

    method.__name__, method.__doc__ = draw.__name__, draw.__doc__
    setattr(Tensor, draw.__name__, method)
    return method


def _real(x: Tensor) -> dt.DType:
    return x.dtype if x.dtype.kind == "f" else dt.float32


@_in_place
def uniform_(x: Tensor, generator: Generator | None, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Give it uniform numbers in [a, b)."""
    return rand(x.shape, generator=generator, dtype=_real(x), device=_of(x)) * (b - a) + a


@_in_place
def normal_(x: Tensor, generator: Generator | None, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Give it normal numbers."""
    return randn(x.shape, generator=generator, dtype=_real(x), device=_of(x)) * std + mean


@_in_place
def bernoulli_(x: Tensor, generator: Generator | None, p: Any = 0.5) -> Tensor:
    """Give it 1 with a probability of p, else 0."""
    return (rand(x.shape, generator=generator, device=_of(x)) < p).float()


@_in_place
def exponential_(x: Tensor, generator: Generator | None, lambd: float = 1.0) -> Tensor:
    """Give it exponential numbers of a rate."""
    return _draw("random_exponential", x.shape, _real(x), _of(x), generator) / lambd


@_in_place
def geometric_(x: Tensor, generator: Generator | None, p: float = 0.5) -> Tensor:
    """Give it how many trials of probability p it takes until one succeeds."""
    if not 0 < p < 1:
        raise ShapeError(f"geometric_'s p lies between 0 and 1 but {p} was given")
    wide = dt.float64 if x.dtype is dt.float64 else dt.float32
    return (_draw("random_exponential", x.shape, wide, _of(x), generator) / -math.log1p(-p)).ceil().to(dtype=x.dtype)


@_in_place
def log_normal_(x: Tensor, generator: Generator | None, mean: float = 1.0, std: float = 2.0) -> Tensor:
    """Give it numbers whose logarithms are normal."""
    return (randn(x.shape, generator=generator, dtype=_real(x), device=_of(x)) * std + mean).exp()


@_in_place
def cauchy_(x: Tensor, generator: Generator | None, median: float = 0.0, sigma: float = 1.0) -> Tensor:
    """Give it numbers of Cauchy's distribution."""
    u = rand(x.shape, generator=generator, dtype=_real(x), device=_of(x))
    return ((u - 0.5) * math.pi).tan() * sigma + median


@_in_place
def random_(x: Tensor, generator: Generator | None, low: int = 0, high: int | None = None) -> Tensor:
    """Give it integers of [low, high); by default all that the dtype holds exactly."""
    if high is None:
        exact = {dt.bool_: 1, dt.float16: 2**11, dt.bfloat16: 2**8, dt.float32: 2**24, dt.float64: 2**53}
        low, high = 0, low or 1 + (exact[x.dtype] if x.dtype in exact else min(int(dt.iinfo(x.dtype).max), 2**63 - 1))
    return randint(low, high, x.shape, generator=generator, device=_of(x))


def _bernoulli(self: Tensor, p: Any = None, *, generator: Generator | None = None) -> Tensor:
    return bernoulli(self, generator=generator) if p is None else bernoulli(self.full_like(p), generator=generator)


Tensor.bernoulli = _bernoulli  # type: ignore[assignment, attr-defined]
Tensor.multinomial = multinomial  # type: ignore[assignment, attr-defined]
