"""What an operation is: one declaration, from which all else derives."""

from __future__ import annotations

import difflib
import functools
import inspect
import operator
import re
import weakref
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Sequence

import numpy as np

from . import dtype as dt
from .dtype import DType, as_dtype, result_type
from .errors import DimError, DTypeError, ShapeError

__all__ = ["OPS", "ZERO", "Op", "Spec", "composite", "primitive"]


class Spec:
    """The shape and dtype of a tensor: all that is known of it before it is computed.

    Specs are interned, so that equal ones are one object and a dictionary keyed by them is fast.
    ``capture`` takes specs with named sizes, ``Spec(("batch", 128), float32)``; nothing else does.
    """

    __slots__ = ("__weakref__", "dtype", "shape")
    shape: tuple[int, ...]
    dtype: DType
    _interned: weakref.WeakValueDictionary[Any, Spec] = weakref.WeakValueDictionary()

    def __new__(cls, shape: Iterable[int], dtype: Any) -> Spec:
        shape = tuple(shape)
        key = shape, dtype, tuple(map(type, shape))
        found = cls._interned.get(key)
        if found is None:
            sizes = tuple([n if isinstance(n, (int, str)) else operator.index(n) for n in shape])
            if any(n < 0 for n in sizes if not isinstance(n, str)):
                raise ShapeError(f"sizes are at least 0 but the shape {sizes} was given")
            dtype = as_dtype(dtype)
            if dtype.block > 1 and (not sizes or isinstance(sizes[-1], str) or sizes[-1] % dtype.block):
                raise ShapeError(
                    f"{dtype} keeps blocks of {dtype.block} elements along the last dimension, so that is a multiple of "
                    f"{dtype.block}, but the shape {sizes} was given; dequantize() first to take blocks apart"
                )
            key = sizes, dtype, tuple(map(type, sizes))
            found = cls._interned.get(key)
        if found is None:
            found = object.__new__(cls)
            object.__setattr__(found, "shape", key[0])
            object.__setattr__(found, "dtype", key[1])
            found = cls._interned.setdefault(key, found)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a Spec does not change; make another")

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        n = 1
        for s in self.shape:
            n *= s
        return n

    @property
    def stored(self) -> tuple[int, ...]:
        """The shape of what is stored: with as many blocks as the last dimension has, where the dtype is quantised."""
        block = self.dtype.block
        return self.shape if block == 1 else (*self.shape[:-1], self.shape[-1] // block)

    @property
    def nbytes(self) -> int:
        return self.size // self.dtype.block * self.dtype.itemsize

    @classmethod
    def of(cls, array: np.ndarray[Any, Any]) -> Spec:
        """The spec of what a NumPy array stores."""
        dtype = as_dtype(array.dtype)
        shape = array.shape
        return cls(shape if dtype.block == 1 else (*shape[:-1], shape[-1] * dtype.block), dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        return Spec, (self.shape, self.dtype)

    def __repr__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


# -- signatures ------------------------------------------------------------------------------------


class Operand(NamedTuple):
    """One operand or result of a signature: ``T[m,k]``, ``T[o]?`` (optional), ``T*`` (any number)."""

    letter: str
    dims: tuple[str, ...] | None  # None: any shape, and no part in broadcasting
    optional: bool = False
    variadic: bool = False


_TOKEN = re.compile(r"\s*(\w+)(?:\[([^\]]*)\])?([?*]?)\s*(?:,|$)")


@lru_cache(None)
def parse_signature(text: str) -> tuple[tuple[Operand, ...], tuple[Operand, ...]]:
    """Take ``T[m,k], T[k,n] -> T[m,n]`` apart into its operands and its results."""

    def side(part: str) -> tuple[Operand, ...]:
        found, at = [], 0
        while at < len(part):
            m = _TOKEN.match(part, at)
            if m is None:
                raise ValueError(f"the signature {text!r} cannot be read at {part[at:]!r}")
            letter, dims, mark = m.groups()
            axes = None if dims is None else tuple(a.strip() for a in dims.split(",") if a.strip() and a.strip() != "..")
            found.append(Operand(letter, axes, mark == "?", mark == "*"))
            at = m.end()
        return tuple(found)

    left, arrow, right = text.partition("->")
    if not arrow:
        raise ValueError(f"the signature {text!r} has no '->'")
    return side(left.strip()), side(right.strip())


# -- attributes ------------------------------------------------------------------------------------


def normalize_dim(dim: Any, ndim: int, what: str = "dim") -> int:
    """A dimension counted from the front; raises DimError outside [-ndim, ndim)."""
    try:
        d = operator.index(dim)
    except TypeError:
        raise DTypeError(f"{what} takes an integer but was given {dim!r}") from None
    if not -ndim <= d < ndim:
        wanted = (
            f"{what} is from {-ndim} to {ndim - 1} for {ndim} dimensions"
            if ndim
            else f"{what} is not taken by a tensor without dimensions"
        )
        raise DimError(f"{wanted} but {d} was given")
    return d + ndim if d < 0 else d


def _dims(value: Any, ndim: int, what: str) -> tuple[int, ...]:
    if value is None:
        return tuple(range(ndim))
    given = value if isinstance(value, tuple) else (value,)
    if ndim == 0:
        for v in given:
            normalize_dim(v, 1, what)
        return ()
    found = [normalize_dim(v, ndim, what) for v in given]
    if len(set(found)) < len(found):
        raise DimError(f"{what} names each dimension once but {value} names one twice")
    return tuple(sorted(found))


def _integer(value: Any, what: str) -> int:
    if isinstance(value, bool):
        return int(value)
    try:
        return value if isinstance(value, int) else operator.index(value)
    except TypeError:
        raise DTypeError(f"{what} takes an integer but was given {value!r}") from None


def _integers(value: Any, what: str) -> tuple[int, ...]:
    return tuple([_integer(v, what) for v in value]) if isinstance(value, tuple) else (_integer(value, what),)


def _number(value: Any, what: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DTypeError(f"{what} takes a number but was given {value!r}") from None


_CANONICAL: dict[str, Callable[[Any, int, str], Any]] = {
    "int": lambda v, n, what: _integer(v, what),
    "float": lambda v, n, what: _number(v, what),
    "bool": lambda v, n, what: bool(v),
    "str": lambda v, n, what: str(v),
    "Dim": lambda v, n, what: normalize_dim(v, n, what),
    "NewDim": lambda v, n, what: normalize_dim(v, n + 1, what),
    "Dims": _dims,
    "Ints": lambda v, n, what: _integers(v, what),
    "Shape": lambda v, n, what: _integers(v, what),
    "DType": lambda v, n, what: as_dtype(v),
    "Any": lambda v, n, what: v,
}
_ATTR_ALIASES = {"axis": "dim", "keepdims": "keepdim", "axes": "dims"}

# PyTorch's names for operands, by their place; "last" is the last one that must be given.
_PLACES: dict[str, Any] = {
    "input": 0, "self": 0, "tensor": 0, "input1": 0, "x1": 0, "other": 1, "exponent": 1, "input2": 1, "x2": 1, "tensor1": 1,
    "tensor2": 2, "batch1": 1, "mat1": 1, "mat": 1, "vec1": 1, "batch2": "last", "mat2": "last", "vec": "last", "vec2": "last",
    "tensors": 0,
}  # fmt: skip


def operand_name(keyword: str, names: Sequence[str]) -> str:
    """The operand, out of some, that PyTorch gives another name; the keyword itself where it has no such meaning."""
    at = _PLACES.get(keyword)
    if at is None or not names:
        return keyword
    return names[-1] if at == "last" else names[at] if at < len(names) else keyword


# How attributes are annotated in a declaration; the annotation says how the engine checks and
# normalises the attribute before a kernel sees it.
Dim = int  # counted from the front when it arrives
NewDim = int  # a place for one more dimension
Dims = tuple[int, ...]  # sorted, counted from the front; None means all
Ints = tuple[int, ...]
Shape = tuple[int, ...]


def freeze(value: Any) -> Any:
    """A hashable form of an attribute: lists become tuples, NumPy scalars Python ones."""
    if value is None or value.__class__ in (int, float, bool, str, DType):
        return value
    if isinstance(value, (tuple, list)):
        return tuple([freeze(v) for v in value])
    if isinstance(value, np.ndarray):
        return freeze(value.tolist())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, range):
        return tuple(value)
    if isinstance(value, (np.dtype, type)):
        return as_dtype(value)
    if hasattr(value, "spec") and hasattr(value, "item"):
        return value.item()
    try:
        hash(value)
    except TypeError:
        raise DTypeError(f"an attribute is a number, a string, a dtype or a tuple of them but {value!r} was given") from None
    return value


# -- ops -------------------------------------------------------------------------------------------


def _positional(fn: Callable[..., Any]) -> list[str]:
    """The names of a function's positional parameters; read off its code, for ``inspect.signature`` is slow to start with."""
    code = getattr(inspect.unwrap(fn), "__code__", None)
    if code is None:
        return [p.name for p in inspect.signature(fn).parameters.values() if p.kind <= p.VAR_POSITIONAL]
    names = list(code.co_varnames[: code.co_argcount])
    if code.co_flags & inspect.CO_VARARGS:
        names.append(code.co_varnames[code.co_argcount + code.co_kwonlyargcount])
    return names


def ZERO(*args: Any, **attrs: Any) -> None:
    """The gradient of what is constant almost everywhere: zeros."""


@dataclass(frozen=True, eq=False)
class Op:
    """One operation.

    The positional parameters of ``fn`` are operands, tensors all (``None`` for an optional one left out);
    its keyword-only parameters are attributes, fixed when a graph is captured and annotated with how they are
    checked (``Dim``, ``Dims``, ``Ints``, ``Shape``, ``DType``, ``int``, ``float``, ``bool``, ``str``).
    A primitive's ``fn`` is the NumPy reference; ``expand`` may say it in other ops as well.  A composite's ``fn``
    is written with other ops, and is what runs on a backend that has no kernel of its own for it.

    A signature such as ``T[m,k], T[k,n] -> T[m,n]`` says how dtypes and trailing axes of the operands agree; the
    axes before them broadcast.  An operand without brackets may have any shape; then ``shape`` gives the result's.
    A result's dtype is a letter, a dtype's name or an attribute's name.

    ``vjp`` is one function per operand, ``(g, y, *operands, **attrs) -> gradient`` written with ops, or one for all
    of them that returns a tuple; an entry may be None (no gradient) or ZERO.  A parameter whose name begins with an
    underscore is given shape and dtype only, so its values need not be kept for the backward pass.
    """

    name: str
    fn: Callable[..., Any]
    signature: str
    types: Mapping[str, tuple[DType, ...]]
    composite: bool = False
    vjp: Any = None
    shape: Callable[..., Any] | None = None  # (*specs, **attrs) -> shape, or shapes where there are several results
    result: Callable[..., Any] | None = None  # (*specs, **attrs) -> dtype, or dtypes
    canon: Callable[..., Any] | None = None  # (specs, attrs) -> attrs, brought to one form and checked
    expand: Callable[..., Any] | None = None  # a primitive said in other ops
    required: bool = False  # every backend has a kernel for it
    dynamic: bool = False  # the result's shape depends on values: it cannot be captured
    bools: bool = True  # booleans become int64 where T does not admit them; else they are refused
    wide: bool = True  # in float16 and bfloat16 the reference computes in float32 and rounds once
    star: str | None = None  # the attribute that takes all further positional arguments
    order: tuple[str, ...] | None = None  # PyTorch's order of arguments where an attribute comes second: gather(x, dim, index)
    method: bool = True  # also a method of Tensor
    into: Callable[..., Any] | None = None  # the reference when it may overwrite its first operand
    domain: tuple[float, float] = (-4.0, 4.0)  # where the elements of test operands lie
    sample: Callable[..., Any] | None = None  # draws operands and attributes, where the signature cannot
    terms: Callable[..., int] | None = None  # how many terms each element of the result sums
    ulps: float | None = None  # how many roundings a kernel may be off, per root of terms; see ``roundings``
    special: bool = True  # NaN and infinities are among the test operands
    unique: Callable[..., Any] | None = None  # (results, *operands, **attrs) -> what signs and order do not change
    blocks: Callable[..., Any] | bool = False  # how it moves quantised operands: see ``in_blocks``; True where its expansion does
    bound: Callable[..., Any] | None = None  # (*operands, **attrs) -> how far off each element may be beyond rounding
    same: Callable[..., Any] | None = None  # (got, want, *operands, **attrs) -> what is wrong, where results may differ otherwise
    group: str = ""

    def __call__(self, *args: Any, **attrs: Any) -> Any:
        return _applied(self, args, attrs)

    def __repr__(self) -> str:
        return f"<op {self.name}: {self.signature}>"

    def __reduce__(self) -> Any:
        return _find, (self.name,)

    @property
    def roundings(self) -> float:
        """``ulps``, or by default 8, or none of an op that only moves, picks or casts (``wide=False``)."""
        return self.ulps if self.ulps is not None else 8.0 if self.wide or self.composite else 0.0

    @property
    def doc(self) -> str:
        return inspect.getdoc(self.fn) or ""

    @property
    def body(self) -> Callable[..., Any]:
        """Its form in other ops: of a composite its declaration, of a primitive its expansion."""
        return self.fn if self.composite or self.expand is None else self.expand

    @cached_property
    def operands(self) -> tuple[str, ...]:
        """The operands' names."""
        return tuple([n.rstrip("_") for n in _positional(self.fn)])

    @cached_property
    def attrs(self) -> dict[str, Any]:
        """Each attribute's name and default (``inspect.Parameter.empty`` where it must be given)."""
        written = inspect.unwrap(self.fn)
        code, defaults = written.__code__, written.__kwdefaults__ or {}
        names = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
        return {n: defaults.get(n, inspect.Parameter.empty) for n in names}

    @cached_property
    def _annotations(self) -> dict[str, str]:
        found = {}
        for name in self.attrs:
            note = inspect.unwrap(self.fn).__annotations__.get(name, "Any")
            text = note if isinstance(note, str) else getattr(note, "__name__", "Any")
            found[name] = text.split("|")[0].strip()
        return found

    @cached_property
    def inputs(self) -> tuple[Operand, ...]:
        return parse_signature(self.signature)[0]

    @cached_property
    def outputs(self) -> tuple[Operand, ...]:
        return parse_signature(self.signature)[1]

    @cached_property
    def variadic(self) -> bool:
        return bool(self.inputs) and self.inputs[-1].variadic

    @cached_property
    def multiple(self) -> bool:
        """Whether it gives several results."""
        return len(self.outputs) > 1

    @cached_property
    def torchlike(self) -> str:
        """The call as a user writes it: ``sum(x, dim=None, keepdim=False)``."""
        names = [*self.operands]
        if self.variadic:
            names[-1] = "*" + names[-1]
        rest = [k if v is inspect.Parameter.empty else f"{k}={v!r}" for k, v in self.attrs.items()]
        return f"{self.name}({', '.join(names + rest)})"

    # -- calls --------------------------------------------------------------------------------------

    def bind(self, args: Sequence[Any], attrs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Sort a call's arguments into operands and attributes, as a user may give them."""
        names, known = self.operands, self.attrs
        attrs = {_ATTR_ALIASES[k] if k in _ATTR_ALIASES and k not in known else k: v for k, v in attrs.items()}
        for k in [k for k in attrs if k in _PLACES and k not in known and k not in names]:
            attrs[operand_name(k, names)] = attrs.pop(k)
        if self.variadic and not args and names[-1] in attrs and len(names) == 1:
            args = (attrs.pop(names[-1]),)
        if self.order is not None and len(args) > 1 and isinstance(args[1], (int, np.integer)):
            if len(args) > len(self.order):
                raise TypeError(
                    f"{self.name} was given {len(args)} arguments by position; it is {self.name}({', '.join(self.order)})"
                )
            args, attrs = (), {**dict(zip(self.order, args)), **attrs}
        args = list(args)
        fixed = len(names) - self.variadic
        if self.variadic and len(args) > fixed and isinstance(args[fixed], (list, tuple)):
            operands, rest = args[:fixed] + list(args[fixed]), args[fixed + 1 :]
        elif self.variadic:
            cut = len(args)
            while cut > fixed and not hasattr(args[cut - 1], "spec") and args[cut - 1] is not None:
                cut -= 1
            operands, rest = args[:cut], args[cut:]
        else:
            operands, rest = args[: len(names)], args[len(names) :]
        for at in range(len(operands), fixed):
            name = names[at]
            if name in attrs:
                operands.append(attrs.pop(name))
            elif self.inputs[at].optional:
                operands.append(None)
            else:
                raise TypeError(f"{self.name} needs {name!r}: it is {self.torchlike}")
        if self.star is not None and rest and not isinstance(rest[0], (tuple, list)):
            rest = [tuple(rest)]
        free = [k for k in known if k not in attrs]
        if len(rest) > len(free):
            raise TypeError(f"{self.name} was given {len(args)} arguments by position; it is {self.torchlike}")
        attrs.update(zip(free, rest))
        for k in attrs:
            if k not in known:
                near = difflib.get_close_matches(k, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise TypeError(f"{self.name} has no argument {k!r}: it is {self.torchlike}{hint}")
        return operands, {k: freeze(v) for k, v in attrs.items()}

    def complete(self, specs: Sequence[Spec | None], attrs: Mapping[str, Any]) -> dict[str, Any]:
        """All attributes, defaults filled in, checked and brought to the one form that kernels see."""
        first = next((s for s in specs if s is not None), None)
        ndim = first.ndim if first is not None else 0
        full: dict[str, Any] = {}
        for k, default in self.attrs.items():
            v = attrs.get(k, default)
            if v is inspect.Parameter.empty:
                raise TypeError(f"{self.name} needs {k!r}: it is {self.torchlike}")
            note = self._annotations[k]
            if v is not None or note == "Dims":
                v = _CANONICAL.get(note, _CANONICAL["Any"])(v, ndim, f"{self.name}'s {k}")
            full[k] = v
        return dict(self.canon(specs, full)) if self.canon else full

    def promote(self, operands: Sequence[Any]) -> list[DType | None]:
        """The dtype each operand (a spec, a Python number or None) is to be cast to: PyTorch's rules within a letter."""
        groups: dict[str, list[Any]] = {}
        letters = [i.letter for i in self.inputs]
        if self.variadic:
            letters = letters[:-1] + [letters[-1]] * (len(operands) - len(letters) + 1)
        for letter, x in zip(letters, operands):
            if x is not None:
                groups.setdefault(letter, []).append(x)
        found: dict[str, DType] = {}
        for letter, xs in groups.items():
            allowed = self.types.get(letter) or (as_dtype(letter),)
            dtypes = {x.dtype for x in xs if isinstance(x, Spec)}
            dtype = dtypes.pop() if len(dtypes) == 1 and all(isinstance(x, Spec) for x in xs) else result_type(*xs)
            if dtype not in allowed and not (dtype.kind == "q" and self.blocks):
                dtype = self._nearest(dtype, allowed, letter, operands)
            found[letter] = dtype
        return [None if x is None else found[letter] for letter, x in zip(letters, operands)]

    def _nearest(self, dtype: DType, allowed: tuple[DType, ...], letter: str, operands: Sequence[Any]) -> DType:
        """Integers become the default floating dtype where only floats are taken; bool becomes int64."""
        taken = dtype.kind != "b" or self.bools
        if dtype.kind == "b" and dt.int64 in allowed and taken:
            return dt.int64
        if dtype.kind in "biu" and dt.get_default_dtype() in allowed and taken:
            return dt.get_default_dtype()
        if dtype.kind in "b" and allowed == (dt.bool_,):
            return dt.bool_
        given = ", ".join(map(str, operands))
        names = dt._names(allowed)
        raise DTypeError(
            f"{self.name} takes {self.signature} with {letter} one of {names} but was given {given}; cast with .to(dtype)"
        )

    def infer(self, specs: Sequence[Spec | None], attrs: Mapping[str, Any]) -> tuple[Spec, ...]:
        """What the op returns, from what is known of its (promoted) operands and its (complete) attributes."""
        found: dict[str, DType] = {}
        sizes: dict[str, int] = {}
        batch: list[tuple[int, ...]] = []
        inputs = list(self.inputs)
        if self.variadic:
            inputs[-1:] = [inputs[-1]] * (len(specs) - len(inputs) + 1)
        if len(specs) != len(inputs):
            raise TypeError(f"{self.name} takes {len(inputs)} operands but was given {len(specs)}: it is {self.torchlike}")
        for x, i in zip(specs, inputs):
            if x is None:
                continue
            found.setdefault(i.letter, x.dtype)
            if i.dims is None:
                continue
            cut = len(x.shape) - len(i.dims)
            if cut < 0:
                raise self.misfit(specs, f"{x} has fewer than {len(i.dims)} dimensions")
            batch.append(x.shape[:cut])
            for axis, n in zip(i.dims, x.shape[cut:]):
                if axis.isdigit():
                    if int(axis) != n:
                        raise self.misfit(specs, f"{n} is not {axis}")
                elif sizes.setdefault(axis, n) != n:
                    raise self.misfit(specs, f"{sizes[axis]} and {n} differ")
        if self.shape is not None:
            shapes = self.shape(*specs, **attrs)
            shapes = list(shapes) if self.multiple else [shapes]
        else:
            front = broadcast_shapes(*batch)
            if front is None:
                raise self.misfit(specs, "their shapes do not broadcast")
            shapes = [front + tuple([sizes[a] if a in sizes else int(a) for a in o.dims or ()]) for o in self.outputs]
        if self.result is not None:
            dtypes = self.result(*specs, **attrs)
            dtypes = list(dtypes) if self.multiple else [dtypes]
        else:
            dtypes = [found.get(o.letter) or attrs.get(o.letter) or as_dtype(o.letter) for o in self.outputs]
        return tuple([Spec(s, d) for s, d in zip(shapes, dtypes)])

    def in_blocks(self, specs: Sequence[Spec | None], attrs: Mapping[str, Any]) -> dict[str, Any]:
        """The attributes for a kernel that takes each block of quantised operands for one item.

        An op that only moves elements says how with ``blocks(specs, attrs, size) -> attrs``, where ``size`` makes a
        number of elements of the last dimension one of blocks.  Raises ShapeError where the call would take a block apart.
        """
        block = max([s.dtype.block for s in specs if s is not None])

        def size(n: int) -> int:
            if n % block:
                raise self.torn(specs, f"{n} is no multiple of {block}")
            return n // block

        return dict(self.blocks(specs, attrs, size)) if callable(self.blocks) else dict(attrs)

    def torn(self, specs: Sequence[Any], why: str) -> ShapeError:
        """The error where a call would take blocks of quantised operands apart."""
        given = ", ".join("nothing" if s is None else str(s) for s in specs)
        return ShapeError(f"{self.name} moves whole blocks but was given {given}: {why}; dequantize() first")

    def misfit(self, specs: Sequence[Any], why: str = "") -> ShapeError:
        given = ", ".join("nothing" if s is None else str(s) for s in specs)
        return ShapeError(f"{self.name} takes {self.signature} but was given {given}" + (f": {why}" if why else ""))

    @cached_property
    def saves(self) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
        """Whether the gradients need the values of each operand, and of each result (by the names they give them)."""
        functions = [f for f in (self.vjp if isinstance(self.vjp, tuple) else (self.vjp,)) if f is not None and f is not ZERO]
        n = len(self.operands)
        ins, outs = [False] * n, False
        for f in functions:
            names = _positional(f)
            names += [names[-1]] * (n + 2 - len(names))
            outs |= not names[1].startswith("_")
            for at in range(n):
                ins[at] |= not names[at + 2].startswith("_")
        return tuple(ins), tuple([outs] * len(self.outputs))


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...] | None:
    """The common shape of several by NumPy's rule, or None where they have none."""
    if not shapes:
        return ()
    longest = max(shapes, key=len)
    if all(s == longest for s in shapes):
        return longest
    found = list(longest)
    for s in shapes:
        for at, n in enumerate(s, len(found) - len(s)):
            if found[at] == 1:
                found[at] = n
            elif n not in (1, found[at]):
                return None
    return tuple(found)


OPS: dict[str, Op] = {}


def _find(name: str) -> Op:
    return OPS[name]


def _unbound(op: Op, args: Any, attrs: Any) -> Any:
    raise RuntimeError("candle.tensor has not been imported")


_applied: Callable[[Op, Any, Any], Any] = _unbound


def set_apply(function: Callable[[Op, Any, Any], Any]) -> None:
    """Say through which function every call of an op passes."""
    global _applied
    _applied = function


def declare(op: Op) -> Op:
    """Enter an op into the table; raises ValueError where the name is taken."""
    if OPS.setdefault(op.name, op) is not op:
        raise ValueError(f"there is already an op called {op.name}; give yours another name")
    return op


def _declarer(signature: str, types: Any, fields: dict[str, Any]) -> Callable[[Callable[..., Any]], Op]:
    letters = {k: tuple(v) for k, v in fields.items() if len(k) == 1 and k.isupper()}
    rest = {k: v for k, v in fields.items() if k not in letters}
    if types is not None:
        letters["T"] = tuple(types)

    def decorate(fn: Callable[..., Any]) -> Op:
        rest.setdefault("group", fn.__module__.rpartition(".")[2])
        name = rest.pop("name", fn.__name__.rstrip("_"))
        return declare(Op(name, fn, signature, letters, **rest))

    return decorate


def primitive(signature: str, types: Iterable[DType] | None = None, **fields: Any) -> Callable[[Callable[..., Any]], Op]:
    """Declare an op by its NumPy reference.  ``types`` are those T may be; other letters are given as keywords."""
    return _declarer(signature, types, fields)


def composite(signature: str, types: Iterable[DType] | None = None, **fields: Any) -> Callable[[Callable[..., Any]], Op]:
    """Declare an op by its expansion into others."""
    return _declarer(signature, types, {**fields, "composite": True})


FUNCTIONS: dict[str, Callable[..., Any]] = {}


def _with_names(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function that takes its tensors under PyTorch's names too."""
    code = fn.__code__
    known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    given = code.co_varnames[: code.co_argcount - len(fn.__defaults__ or ())]
    if not given:
        return fn

    @functools.wraps(fn)
    def called(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            kwargs = {k if k in known else operand_name(k, given): v for k, v in kwargs.items()}
        return fn(*args, **kwargs)

    return called


def function(
    method: bool | Callable[..., Any] = True, name: str | None = None, front: bool = False, in_place: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Offer a function that is no single op (it returns a list, or looks at values) in ``candle`` and as a Tensor method.

    ``method`` may be another function, where the method's arguments differ.  A ``front`` stands before the op of its
    name, for call forms that an op's signature cannot say.  With ``in_place`` there is a method ``name_`` too.
    """

    def decorate(fn: Callable[..., Any]) -> Callable[..., Any]:
        key = name or fn.__name__.rstrip("_")
        if (key in OPS) is not front or key in FUNCTIONS:
            raise ValueError(f"there is no op called {key}" if front else f"there is already an op or a function called {key}")
        fn.__dict__["method"], fn.__dict__["in_place"] = method, in_place
        FUNCTIONS[key] = _with_names(fn)
        return fn

    return decorate
