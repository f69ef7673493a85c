"""Drawing test operands: which shapes, dtypes, contents and layouts an op is tried with."""

from __future__ import annotations

import builtins
import inspect
import math
import random
import zlib
from functools import lru_cache
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from .. import dtype as dt
from ..dtype import DType, as_dtype
from ..errors import ShapeError
from ..op import Op, Spec

SIZES = (7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257, 1023, 1024, 1025, 2049, 6, 5, 4097, 4, 0)
"""Sizes at which kernels change their ways: vectors, blocks and their neighbours."""

LONG = ("long", "row", "column", "line")
LAYOUTS = ("plain", "offset", "step", "transposed", "flipped", "narrowed", "expanded")
_MOST = 1 << 20  # elements of one operand


class Unsuitable(Exception):
    """These choices give no valid operands; others are tried."""


class Case(NamedTuple):
    """One way to try an op: what its shapes, its contents and its layouts shall look like."""

    number: int
    flavour: str = "plain"
    content: str = "normal"
    size: int = 0  # of the long axis
    kind: int = 0  # which of the op's dtypes
    layouts: str = "mixed"  # how operands lie on the device: "plain", "mixed", one layout's name, or that and which operand
    mixed: bool = False  # operands of one letter in different dtypes
    seed: int = 0
    dtype: str = ""  # the dtype of the first operand, where its letter admits it
    blocks: str = ""  # the quantised dtype whose blocks an op that moves elements shall move
    choices: tuple[int, ...] | None = None  # made by Hypothesis; without them they follow from the number

    def __str__(self) -> str:
        size = f" {self.size}" if self.size else ""
        return f"case {self.number}: {self.flavour}{size}, {self.content}{', mixed dtypes' if self.mixed else ''}"


@lru_cache(1 << 16)
def _shuffled(key: str, n: int) -> tuple[int, ...]:
    order = list(range(n))
    random.Random(zlib.crc32(key.encode())).shuffle(order)
    return tuple(order)


class Draw:
    """What an op's ``sample`` draws with.

    Choices among few things are spread so that within as many cases as there are choices each is made once; the rest
    is random, from the case's number.  ``choose(lo, hi)`` may replace that: Hypothesis's integers, so that it can shrink.
    """

    def __init__(
        self,
        op: Op,
        case: Case,
        contents: builtins.int = 0,
        choose: Callable[[builtins.int, builtins.int], builtins.int] | None = None,
    ) -> None:
        if case.choices is not None and choose is None:
            kept = iter(case.choices)
            choose = lambda lo, hi: min(max(next(kept, lo), lo), hi)
        self.op, self.case, self.contents, self.choose = op, case, contents, choose
        self.asked = 0
        self.arrays = 0
        self.dtypes = 0
        self.sizes = 0
        self.spent = 1  # the largest axis so far: two long ones would be too many elements
        self.sized = False  # whether a shape or a size was asked for: the op's operands follow the flavour
        self.key = f"{op.name}/{case.seed}"
        self.random = random.Random(zlib.crc32(f"{self.key}/{case.number}".encode()))
        self.side = 2 + self._pick(3)
        self.which = self._pick(3)

    # -- choices

    def _pick(self, n: builtins.int) -> builtins.int:
        """One of n."""
        self.asked += 1
        if n <= 1:
            return 0
        if self.choose is not None:
            return self.choose(0, n - 1)
        if n > 40:
            return self.random.randrange(n)
        block, at = divmod(self.case.number, n)
        return _shuffled(f"{self.key}/{self.asked}/{block}", n)[at]

    def int(self, lo: builtins.int, hi: builtins.int) -> builtins.int:
        """An integer from lo to hi, both included; often one of the two where there are many."""
        if hi < lo:
            raise Unsuitable(f"no integer from {lo} to {hi}")
        if hi - lo < 40:
            return lo + self._pick(hi - lo + 1)
        edge = self._pick(4)
        if self.choose is not None:
            return self.choose(lo, hi)
        return lo if edge == 0 else hi if edge == 1 else self.random.randint(lo, hi)

    def bool(self) -> builtins.bool:
        return bool(self._pick(2))

    def one(self, choices: Sequence[Any]) -> Any:
        """One of some things."""
        return choices[self._pick(len(choices))]

    def float(self, lo: builtins.float, hi: builtins.float) -> builtins.float:
        return round(lo + (hi - lo) * self.int(0, 64) / 64, 6)

    def dtype(self, types: Sequence[DType]) -> DType:
        """One of some dtypes: the first that is asked for goes through them all."""
        self.dtypes += 1
        if self.case.dtype and (self.dtypes == 1 or self._pick(3) == 0):
            wanted = [t for t in types if t.name == self.case.dtype]
            if wanted:
                return wanted[0]
        if self.dtypes == 1:
            return types[self.case.kind % len(types)]
        return types[self._pick(len(types))]

    # -- shapes

    def size(self, lo: builtins.int = 1) -> builtins.int:
        """The size of one axis."""
        self.sized = True
        self.sizes += 1
        flavour = self.case.flavour
        if flavour == "zero" and lo == 0:
            return 0 if self._pick(2) else 1 + self._pick(3)
        if flavour in LONG and (self.sizes - 1) % 3 == self.which and self.case.size >= lo and self._room(self.case.size):
            return self.case.size
        if flavour == "huge" and self.sizes == 1 and self._room(300):
            return 300
        if flavour in LONG or flavour == "huge":
            return max(lo, 1 + self._pick(4))
        if flavour == "ones" and self._pick(2):
            return max(lo, 1)
        if flavour in ("equal", "cube"):
            return max(lo, self.side)
        if flavour == "odd":
            return max(lo, (3, 5, 7, 11, 13)[self._pick(5)])
        return max(lo, 1 + self._pick(5))

    def shape(self, min_dims: builtins.int = 0, max_dims: builtins.int = 4) -> tuple[builtins.int, ...]:
        """A shape of at least ``min_dims`` axes; more than ``max_dims`` of them come where rank is the point."""
        self.sized = True
        flavour = self.case.flavour
        if flavour == "scalar":
            n = min_dims
        elif flavour == "high":
            n = max(min_dims, 5 + self._pick(2)) if max_dims >= 3 else max_dims + self._pick(2)
        elif flavour == "equal":
            n = max(min_dims, min(2 + self._pick(3), max_dims))
        elif flavour == "long":
            n = max(min_dims, min(max_dims, 1 + self._pick(3)))
        elif flavour == "cube":
            n = max(min_dims, min(3, max_dims))
        elif flavour == "row":
            n = max(min_dims, min(max_dims, 2))
        elif flavour == "column":
            n = max(min_dims, min(max_dims, 2 + self._pick(2)))
        elif flavour == "line":
            n = max(min_dims, 1)
        elif flavour == "huge":
            n = max(min_dims, min(max_dims, (1, 2, 2, 3)[self.case.size % 4]))
        elif flavour == "zero":
            n = self.int(min(max(min_dims, 1), max_dims), max_dims)
        else:
            n = self.int(min_dims, max_dims)
        return self._axes(n)

    def _room(self, n: builtins.int) -> builtins.bool:
        if self.spent * n > 1 << 18:
            return False
        self.spent *= max(n, 1)
        return True

    def _axes(self, n: builtins.int) -> tuple[builtins.int, ...]:
        flavour = self.case.flavour
        if n == 0:
            return ()
        if flavour == "zero":
            sizes = [1 + self._pick(4) for _ in range(n)]
            if self._pick(4):  # else the emptiness is left to other operands
                sizes[self._pick(n)] = 0
            return tuple(sizes)
        if flavour == "ones":
            sizes = [1 if self._pick(2) else 2 + self._pick(4) for _ in range(n)]
            sizes[self._pick(n)] = 1
            return tuple(sizes)
        if flavour == "cube":
            return (self.side,) * n
        if flavour == "equal":
            sizes = [self.side] * n
            if n > 2 and self._pick(3) == 0:
                sizes[self._pick(n)] = 1
            return tuple(sizes)
        if flavour == "odd":
            return tuple([((3, 5, 7, 11, 13) if n < 4 else (3, 5, 7))[self._pick(5 if n < 4 else 3)] for _ in range(n)])
        if flavour == "high":
            return tuple([1 + self._pick(3) for _ in range(n)])
        if flavour in LONG:
            sizes = [1 + self._pick(3) + (flavour == "row") for _ in range(n)]
            at = {"row": n - 1, "column": 0, "line": n - 1}.get(flavour, self._pick(n))
            if flavour == "line":
                sizes = [1] * n
            if self._room(self.case.size):
                sizes[at] = self.case.size
            return tuple(sizes)
        if flavour == "huge":
            at = (0 if self.case.size % 4 == 1 else n - 1) if self._room(66_001) else -1
            return tuple([66_001 if i == at else 2 + self._pick(2) if n < 3 else 1 + self._pick(2) for i in range(n)])
        return tuple([1 + self._pick(5) for _ in range(n)])

    def shapes(self, trailing: Sequence[Sequence[str]]) -> list[tuple[builtins.int, ...]]:
        """One shape for each operand: axes that broadcast, then the named ones."""
        named: dict[str, int] = {}
        ends = []
        for names in trailing:
            ends.append(
                tuple(
                    [int(a) if a.isdigit() else named.setdefault(a, self.size(0)) if a not in named else named[a] for a in names]
                )
            )
        deepest = max([len(e) for e in ends], default=0)
        short = deepest and (self.case.flavour in (*LONG, "huge") or (self.case.flavour == "zero" and self._pick(3) < 2))
        front = self._lead() if short else self.shape(0, max(0, 4 - deepest))
        found = []
        some = len(trailing) > 1
        often = 2 if self.case.flavour in ("ones", "equal", "cube") else 4
        for end in ends:
            own = list(front)
            if some and own and self._pick(often) == 0:
                own = own[self._pick(len(own) + 1) :] if self._pick(2) else []
            if some and self._pick(often) == 0:
                own = [1 if self._pick(2) else n for n in own]
            found.append((*own, *end))
        return found

    def _lead(self) -> tuple[builtins.int, ...]:
        """Axes before named ones, where those are long."""
        return tuple([1 + self._pick(3) for _ in range(self._pick(3))])

    def dim(self, shape: Sequence[builtins.int]) -> builtins.int:
        """A dimension, from the front or from the back."""
        n = max(len(shape), 1)
        return self._pick(2 * n) - n

    def dims(self, shape: Sequence[builtins.int]) -> Any:
        """None, one dimension, or some in any order."""
        n = len(shape)
        kind = self._pick(4)
        if n == 0 or kind == 0:
            return None
        if kind == 1:
            return self.dim(shape)
        chosen = [i for i in range(n) if self._pick(2)] or [self._pick(n)]
        self.random.shuffle(chosen)
        return tuple([i - n if self._pick(3) == 0 else i for i in chosen])

    def permutation(self, n: builtins.int) -> tuple[builtins.int, ...]:
        order = list(range(n))
        for i in range(n - 1, 0, -1):
            j = self._pick(i + 1)
            order[i], order[j] = order[j], order[i]
        return tuple(order)

    # -- contents

    def _rng(self) -> np.random.Generator:
        self.arrays += 1
        return np.random.default_rng([zlib.crc32(self.key.encode()), self.case.number, self.contents, self.arrays])

    def array(
        self, shape: Sequence[builtins.int], dtype: Any, domain: tuple[builtins.float, builtins.float] | None = None
    ) -> np.ndarray[Any, Any]:
        """An array with contents of the case's kind, within the domain (by default the op's)."""
        dtype = as_dtype(dtype)
        shape = tuple(shape)
        if math.prod(shape) > _MOST:
            raise Unsuitable(f"{shape} is too large")
        return contents(self._rng(), shape, dtype, self.case, domain, self.op)

    def blocks(self, shape: Sequence[builtins.int], dtype: DType, count: builtins.int | None = None) -> np.ndarray[Any, Any]:
        """Rows of blocks of a quantised dtype; one to three in each unless a count is given."""
        count = self.int(0 if self.case.flavour == "zero" else 1, 3) if count is None else count
        if math.prod(shape) * count * dtype.block > _MOST:
            raise Unsuitable(f"{shape} rows of {count} blocks are too many")
        return random_blocks(self._rng(), (*shape, count), dtype)

    def ids(
        self, shape: Sequence[builtins.int], n: builtins.int, dtype: Any = None, negative: builtins.bool = False
    ) -> np.ndarray[Any, Any]:
        """Indices below n: spread, repeated, all the last one, sorted, or (where admitted) counted from the end."""
        shape = tuple(shape)
        if n <= 0 and 0 not in shape:
            raise Unsuitable("there is nothing to index")
        if dtype is None:
            types = [t for t in self.op.types.get("I", ()) if t.kind in "iu"] or [dt.int64]
            dtype = types[self.case.number % len(types)]
            if dt.iinfo(dtype).max < n:
                dtype = dt.int64 if dt.int64 in types else types[-1]
        rng = self._rng()
        if math.prod(shape) == 0:
            return np.zeros(shape, as_dtype(dtype).numpy)
        how = self._pick(5)
        found = rng.integers(0, n, shape)
        if how == 1:
            found = np.full(shape, n - 1)
        elif how == 2:
            found = np.sort(found.reshape(-1)).reshape(shape)
        elif how == 3:
            found = found // 2 + n - 1 - (n - 1) // 2
        if negative and as_dtype(dtype).kind == "i":
            found = np.where(rng.integers(0, 2, shape) == 1, found - n, found)
        return found.astype(as_dtype(dtype).numpy)


_WHOLE = (-4.0, 4.0)
_PLAIN_COMPLEX = {
    "add", "sub", "neg", "mul", "eq", "ne", "real", "imag", "conj_physical", "isnan", "isinf", "isfinite", "isreal",
    "cast", "alias",
    "where", "abs", "nan_to_num", "logical_not", "logical_and", "logical_or", "logical_xor", "view_as_real",
    "view_as_complex", "positive",
}  # fmt: skip
_PICKS = {
    "amax",
    "amin",
    "argmax",
    "argmin",
    "sort",
    "argsort",
    "msort",
    "topk",
    "cummax",
    "cummin",
    "max_pool",
    "searchsorted",
    "any",
    "all",
}


def _crown(rng: np.random.Generator, x: np.ndarray[Any, Any], case: Case, lo: float, hi: float) -> None:
    """Let the largest or the smallest stand at the end of long axes, where kernels that stop early do not see it."""
    if x.size and x.ndim and max(x.shape) >= 7 and (case.flavour in LONG or case.flavour == "huge") and rng.random() < 0.6:
        x[(-1,) * x.ndim] = hi if rng.random() < 0.5 else lo
        if rng.random() < 0.5:
            x[..., -1] = hi if rng.random() < 0.5 else lo


def kind_of_test(op: Op) -> bool:
    """Whether the op asks something of each element, such as ``isnan``: among ordinary numbers the answer is always the same."""
    return len(op.inputs) == 1 and op.outputs[0].letter == "bool" and op.group == "elementwise"


def contents(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: DType, case: Case, domain: tuple[float, float] | None, op: Op
) -> np.ndarray[Any, Any]:
    """Elements of the case's kind."""
    if kind_of_test(op) and case.content in ("normal", "tiny"):
        case = case._replace(content="special")
    bounded = domain is not None or op.domain != _WHOLE
    lo, hi = domain or op.domain
    kind = case.content
    if dtype.kind == "b":
        share = (0.5, 0.5, 0.9, 0.1, 0.0, 1.0)[int(rng.integers(6))]
        return rng.random(shape) < share
    if dtype.kind == "c":
        if op.group == "elementwise" and op.name not in _PLAIN_COMPLEX and kind in ("special", "large"):
            case = case._replace(content="normal")  # at infinities and on branch cuts libraries differ
        part = dt.real_of(dtype)
        x = np.empty(shape, dtype.numpy)
        x.real = contents(rng, shape, part, case, domain, op)
        x.imag = contents(rng, shape, part, case, domain, op)
        return x
    if dtype.kind in "iu":
        limits = dt.iinfo(dtype)
        low, high = max(math.ceil(lo), limits.min), min(math.floor(hi), limits.max)
        x = rng.integers(low, high + 1, shape, dtype.numpy if kind != "ties" else np.int64) if high >= low else np.zeros(shape)
        if kind == "ties":
            x = np.clip(x, low, min(high, low + 2))
        x = x.astype(dtype.numpy)
        _crown(rng, x, case, low, high)
        if kind in ("special", "large") and not bounded and x.size:
            wide = rng.integers(limits.min, limits.max, shape, dtype.numpy, endpoint=True)
            ends = np.array([limits.min, limits.max, limits.max - 1, limits.max // 2 + 1, 0, 1], dtype.numpy)
            extreme = ends[rng.integers(0, len(ends), shape)]
            x = np.where(rng.random(shape) < 0.4, wide, np.where(rng.random(shape) < 0.4, extreme, x))
            if rng.random() < 0.25:  # all next to the largest or the least, where floats cannot tell them apart
                near = rng.integers(0, 4, shape).astype(dtype.numpy)
                x = limits.max - near if limits.min == 0 or rng.random() < 0.5 else limits.min + near
                x = x.astype(dtype.numpy)
        return x
    if dtype.kind == "s" and "float" not in dtype.name:
        limits = dt.iinfo(dtype)
        return rng.integers(limits.min, limits.max, shape, np.int64, endpoint=True).astype(dtype.numpy)
    x = rng.random(shape) * (hi - lo) + lo
    if dtype.kind == "s":
        with np.errstate(all="ignore"):
            return (
                np.abs(x).astype(np.float32).astype(dtype.numpy)
                if "e8m0" in dtype.name
                else x.astype(np.float32).astype(dtype.numpy)
            )
    limits = dt.finfo(dtype)
    if kind == "ties":
        steps = rng.integers(0, 3, shape)
        base = math.ceil(lo) if not (lo <= 0 <= hi) else -1 if lo <= -1 else 0
        x = np.clip(base + steps, lo, hi).astype(np.float64)
    elif kind == "large" and not bounded:
        scale = float({2: 400.0, 4: 1e9, 8: 1e60}[dtype.itemsize]) if dtype is not dt.bfloat16 else 1e9
        how = rng.integers(3, size=shape if op.group == "elementwise" else ())
        most = math.log10({2: 4e4, 4: 1e6, 8: 1e12}[dtype.itemsize])
        every = np.copysign(10.0 ** (rng.random(shape) * (most + 3) - 3), x)  # magnitudes between which every threshold lies
        x = np.where(how == 0, x * scale, np.where(how == 1, x * 100.0, every))
    elif kind == "tiny" and lo <= 0 <= hi:
        x = x * 1e-3
    elif kind == "positive":
        x = np.abs(x)
    x = x.astype(dtype.numpy)
    _crown(rng, x, case, lo, hi)
    if kind == "special" and x.size:
        top, small = float(limits.max), float(limits.smallest_normal)
        adds = op.group == "select" and ("add" in op.name or "reduce" in op.name or "put" in op.name or "scatter" in op.name)
        if adds or (op.group not in ("elementwise", "movement", "select") and op.name not in _PICKS):
            top **= 0.4  # where numbers are multiplied and added, whether they overflow is a matter of order
        if op.special:
            pool = [np.inf, -np.inf, 0.0, -0.0, top, -top, small, -small / 4, float(limits.eps), 1.0, -1.0, 0.5, 1.5]
            if rng.random() < 0.6:
                pool += [np.nan] * 4
            if bounded and domain is not None:
                pool = [np.nan, np.inf, -np.inf] if math.isinf(top * 2) else pool
                pool = [v for v in pool if v != v or math.isinf(v)] + [lo, hi]
        else:
            pool = [v for v in (0.0, -0.0, 1.0, -1.0, small, -small, lo, hi) if lo <= v <= hi] or [lo, hi]
        with np.errstate(all="ignore"):
            picked = np.array(pool, np.float64).astype(dtype.numpy)[rng.integers(0, len(pool), shape)]
        x = np.where(rng.random(shape) < 0.3, picked, x)
    return x


def random_blocks(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> np.ndarray[Any, Any]:
    """Blocks with scales that are finite, some of them 0, and quants of any bits; sums that a kind carries are right."""
    found = np.frombuffer(rng.bytes(math.prod(shape) * dtype.itemsize), dtype.numpy).reshape(shape).copy()
    inner = found[dtype.name]
    fields: Any = inner.dtype.fields
    for name, (kind, _) in fields.items():
        if kind.base.kind == "f":
            inner[name] = rng.standard_normal(shape) * 0.02 * (rng.random(shape) < 0.95)
    if dtype.name == "mxfp4":
        inner["e"] = rng.integers(118, 128, shape)
    elif dtype.name == "nvfp4":
        inner["d"] = rng.integers(0, 0x50, inner["d"].shape)
    elif dtype.name == "iq1_m":  # its scale lies in the highest four bits of four words
        bits = (rng.standard_normal(shape) * 0.02).astype("<f2").view("<u2")
        words = np.ascontiguousarray(inner["scales"]).view("<u2")
        for at in range(4):
            words[..., at] = (words[..., at] & 0x0FFF) | ((bits >> (4 * at) & 15) << 12)
        inner["scales"] = words.view(np.uint8)
    elif dtype.name == "q8_1":
        inner["s"] = inner["d"].astype(np.float32) * inner["qs"].sum(-1, dtype=np.float32)
    elif dtype.name == "q8_k":
        inner["bsums"] = inner["qs"].reshape(*shape, 16, 16).sum(-1, dtype=np.int16)
    return found


def as_blocks(op: Op, arrays: Sequence[Any], attrs: dict[str, Any], d: Draw) -> tuple[list[Any], dict[str, Any]]:
    """Operands that an op moves made blocks of a quantised dtype, each element one, and its attributes said in elements."""
    dtype = as_dtype(d.case.blocks)
    inputs = list(op.inputs) + [op.inputs[-1]] * max(0, len(arrays) - len(op.inputs))
    made = []
    for i, x in zip(inputs, arrays):
        if i.letter == "S" and x is not None:
            if not x.ndim:
                raise Unsuitable("a tensor without dimensions has no blocks")
            x = random_blocks(d._rng(), x.shape, dtype)
        made.append(x)
    moves: Any = op.blocks
    try:
        return made, dict(moves([Spec.of(x) for x in made if x is not None], attrs, lambda n: n * dtype.block))
    except (ShapeError, IndexError) as e:
        raise Unsuitable(str(e)) from e


# -- operands of an op -----------------------------------------------------------------------------

_KEEP = {"assume_unique", "stable", "sorted"}  # promises about the operands, or an order that is nobody's


def sample(op: Op, d: Draw) -> tuple[list[Any], dict[str, Any]]:
    """Operands (arrays, None for one left out) and attributes for a call of the op."""
    if op.sample is not None:
        arrays, attrs = op.sample(d)
        arrays = [x if x is None else np.asarray(x) for x in arrays]
        attrs = dict(attrs)
    else:
        arrays, attrs = _from_signature(op, d), {}
    _more_attributes(op, d, attrs, arrays)
    if d.case.mixed:
        _mix(op, d, arrays)
    return as_blocks(op, arrays, attrs, d) if d.case.blocks else (list(arrays), attrs)


def _from_signature(op: Op, d: Draw) -> list[Any]:
    inputs = list(op.inputs)
    if op.variadic:
        inputs = inputs[:-1] + [inputs[-1]] * d.int(1, 3)
    letters: dict[str, DType] = {}
    for i in inputs:
        if i.letter not in letters:
            types = op.types.get(i.letter)
            letters[i.letter] = d.dtype(types) if types else as_dtype(i.letter)
    shapes = d.shapes([i.dims or () for i in inputs])
    made = [None if i.optional and not d.bool() else d.array(s, letters[i.letter]) for i, s in zip(inputs, shapes)]
    if d.case.content in ("special", "ties") and op.group == "elementwise":
        _meet(d, made)
    return made


def _meet(d: Draw, arrays: list[Any]) -> None:
    """Let elements of the later operands be those of the first, or the next to them: comparisons go wrong there."""
    first = next((x for x in arrays if x is not None and x.dtype.kind != "b"), None)
    for at, x in enumerate(arrays):
        if x is None or x is first or first is None or x.dtype != first.dtype or x.shape != first.shape:
            continue
        rng = d._rng()
        near = first
        if x.dtype.kind in "iu":
            near = np.where(rng.random(x.shape) < 0.5, first, first ^ x.dtype.type(1)).astype(x.dtype)
        arrays[at] = np.where(rng.random(x.shape) < 0.4, near, x).astype(x.dtype)


def _more_attributes(op: Op, d: Draw, attrs: dict[str, Any], arrays: Sequence[Any] = ()) -> None:
    """Attributes that the sample leaves at their defaults take other values now and then."""
    for name, default in op.attrs.items():
        if name in attrs or name in _KEEP:
            continue
        note = op._annotations.get(name, "Any")
        if default is inspect.Parameter.empty:
            if note in ("float", "int"):
                attrs[name] = d.float(-2, 2) if note == "float" else d.int(0, 3)
            elif note == "bool":
                attrs[name] = d.bool()
            continue
        if note == "bool" and default is not None:
            if op.sample is None or d.bool():
                attrs[name] = d.bool()
        elif note == "float" and isinstance(default, (int, float)) and math.isfinite(default) and d._pick(3) == 0:
            attrs[name] = (
                d.one([default * 0.5, default * 2.0, default * 3.0, *([] if name == "eps" else [1.25])])
                if default
                else d.one([0.25, 1.5])
            )
        elif note == "float" and default is None and d._pick(3) == 0:
            attrs[name] = d.one([0.25, 1.5])
        elif note == "Any" and default == 1 and default is not True and d._pick(3) == 0:
            broken = bool(arrays) and arrays[0] is not None and arrays[0].dtype.kind == "f"
            attrs[name] = d.one([2, 0.5, -1.5] if broken else [2, 3])
        elif note == "DType" and default is None and d._pick(3) == 0:
            first = as_dtype(arrays[0].dtype)
            wider = [t for t in op.types.get("T", ()) if t is first or t.itemsize > first.itemsize or first.kind in "biu"]
            known = [t for t in wider if t.kind in "fciu" and (t.kind == "c") >= (first.kind == "c")]
            known = [t for t in known if t.kind in "fc"] if first.kind in "fc" or op.group == "neural" else known
            attrs[name] = d.one(known) if known else None
        elif name == "approximate" and d.bool():
            attrs[name] = "tanh"


def _mix(op: Op, d: Draw, arrays: list[Any]) -> None:
    """Give an operand another dtype than the one before it of the same letter."""
    inputs = list(op.inputs) + [op.inputs[-1]] * max(0, len(arrays) - len(op.inputs)) if op.inputs else []
    seen: set[str] = set()
    for at, (i, x) in enumerate(zip(inputs, arrays)):
        if x is None:
            continue
        types = [t for t in op.types.get(i.letter, ()) if t.kind in "biufc"]
        if i.letter in seen and len(types) > 1:
            other = types[d._pick(len(types))]
            with np.errstate(all="ignore"):
                real = x.real if x.dtype.kind == "c" and other.kind != "c" else x
                arrays[at] = np.abs(real).astype(other.numpy) if other.kind == "u" else real.astype(other.numpy)
        seen.add(i.letter)


# -- the cases of an op ----------------------------------------------------------------------------

_FIRST = (
    ("plain", "normal"), ("plain", "ties"), ("odd", "normal"), ("zero", "normal"), ("ones", "normal"), ("equal", "normal"),
    ("plain", "special"), ("high", "normal"), ("scalar", "normal"), ("plain", "tiny"), ("plain", "large"), ("zero", "normal"),
    ("equal", "ties"), ("odd", "ties"), ("ones", "ties"), ("high", "normal"), ("zero", "normal"), ("plain", "normal"),
    ("equal", "normal"), ("ones", "normal"), ("odd", "normal"), ("plain", "special"), ("odd", "special"), ("scalar", "special"),
    ("cube", "normal"), ("cube", "ties"), ("zero", "ties"), ("high", "ties"), ("zero", "normal"), ("equal",
    "normal"), ("scalar", "ties"), ("high", "special"),
)  # fmt: skip
_SHAPES = ("plain", "odd", "equal", "ones", "high", "zero", "plain")


def count_of_dtypes(op: Op) -> int:
    """How many cases it takes to see all dtypes of the op."""
    return max([len(t) for t in op.types.values()], default=1)


def cases(op: Op, examples: int = 24, seed: int = 0) -> list[Case]:
    """The cases an op is tried with: every flavour, dtype, content, layout and size in its turn, then some at random."""
    found: list[Case] = []

    def add(**fields: Any) -> None:
        found.append(Case(len(found), seed=seed, **fields))

    n = count_of_dtypes(op)
    types = next((t for t in op.types.values() if len(t) == n), (dt.float32,))
    if not op.types and "dtype" in op.attrs:
        types, n = dt.EVERY, len(dt.EVERY)
    floats = [d.name for d in types if d.kind in "f"]
    wide = [d.name for d in types if d in (dt.float32, dt.float64) and op.types] or [d.name for d in types]
    turn = _shuffled(f"{op.name}/dtypes", n)
    for at, (flavour, content) in enumerate(_FIRST):
        add(flavour=flavour, content=content, kind=at, dtype=wide[at % len(wide)])
    for content in ("normal", "special", "ties"):
        for at, kind in enumerate(turn):
            flavour = _SHAPES[(at + len(content)) % len(_SHAPES)]
            add(flavour="odd" if flavour == "zero" and content == "special" else flavour, content=content, kind=kind)
    pairs: list[Case] = []
    wide_row = 1025 if op.group == "elementwise" and len(op.inputs) > 1 else 65  # so that pairs of odd numbers meet
    for at, d in enumerate(types):
        for content in ("large", "tiny", "special") if d.kind in "fc" else ("large", "special") if d.kind in "iu" else ():
            add(flavour=("plain", "odd")[at % 2], content=content, dtype=d.name, kind=at)
            if content != "tiny":
                add(flavour="row", content=content, size=wide_row, dtype=d.name, kind=at)
    if any(op._annotations.get(k) == "DType" and v is inspect.Parameter.empty for k, v in op.attrs.items()) and op.inputs:
        for at in range(2 * n * n):  # from each dtype to each: as many cases in a row as there are choices make each once
            d, content = types[at // n % n], ("special", "large")[at // n // n]
            case = Case((len(found) // n + 1) * n + at, "row", content, 33, at, dtype=d.name, seed=seed, layouts="plain")
            pairs.append(case)
        found += pairs
    count = max(1, min(len(op.inputs), 4))
    for which in range(count if op.inputs else 0):
        for at, layout in enumerate(LAYOUTS[1:]):
            add(flavour=("plain", "odd", "high", "equal")[(at + which) % 4], kind=at + which,
                dtype=wide[(at + which) % len(wide)],
                layouts=f"{layout} {which}" if count > 1 and not op.variadic else layout)  # fmt: skip
    for at, layout in enumerate(LAYOUTS[1:]):
        add(flavour=("odd", "plain")[at % 2], kind=turn[at % n], layouts=layout)
    for turned, flavour in enumerate(("row", "line", "column", "row") if op.inputs else ("row",)):
        for at, size in enumerate(SIZES):
            content = ("normal", "ties", "normal", "special")[(at + turned) % 4] if turned < 3 else "normal"
            if (at + turned) % 3:
                add(flavour=flavour, content=content, size=size, kind=at, dtype=wide[at // 3 % len(wide)])
            else:
                add(flavour=flavour, content=content, size=size, kind=turn[(at + 9 * turned) // 3 % n])
    for at, name in enumerate(d for d in floats if d in ("float16", "bfloat16", "float32")):
        for size in (257, 1025, 4097):
            add(flavour=("row", "column")[at % 2], content="positive", size=size, dtype=name, kind=at)
    for at, content in enumerate(("normal", "ties", "normal", "ties", "normal")):
        dtype = wide[at % len(wide)] if at < 4 else types[turn[0]].name
        add(flavour="huge", content=content, size=at, kind=at, dtype=dtype)
    if any(sum(i.letter == j.letter for j in op.inputs) > 1 or op.variadic for i in op.inputs):
        for at in range(6):
            add(flavour=("plain", "ones")[at % 2], kind=turn[at % n], mixed=True)
    for at in range(examples):
        flavour = ("plain", "odd", "equal", "plain", "high", "ones", "long", "zero")[at % 8]
        content = ("normal", "ties", "normal", "special", "normal", "tiny", "large")[at % 7]
        size = SIZES[at * 7 % len(SIZES)] if flavour == "long" else 0
        add(flavour=flavour, content=content, size=size, kind=turn[at * 5 % n], dtype=wide[at // 2 % len(wide)] if at % 2 else "")
    return found
