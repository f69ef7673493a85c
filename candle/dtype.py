"""The element types of tensors, and PyTorch's promotion rules for them."""

from __future__ import annotations

from typing import Any, Iterable

import ml_dtypes
import numpy as np

from .errors import DTypeError

__all__ = ["DType", "as_dtype", "finfo", "iinfo", "promote_types", "result_type"]


class DType:
    """An element type.  There is one object per type: compare with ``is`` or ``==``.

    ``kind`` is one of "b" bool, "i" signed, "u" unsigned, "f" floating, "c" complex, "s" storage only
    (casts and movement) and "q" block-quantised.  ``numpy`` is the NumPy dtype of what is stored: an element, or for
    "q" kinds a block of ``block`` elements that follow each other along the last dimension.  ``itemsize`` is its bytes.
    """

    __slots__ = ("block", "itemsize", "kind", "name", "numpy")

    def __init__(self, name: str, numpy: Any, kind: str, block: int = 1) -> None:
        self.name = name
        self.numpy = np.dtype(numpy)
        self.kind = kind
        self.itemsize = self.numpy.itemsize
        self.block = block

    @property
    def bits(self) -> float:
        """The bits that an element takes."""
        return self.itemsize * 8 / self.block

    @property
    def is_floating_point(self) -> bool:
        return self.kind == "f"

    @property
    def is_complex(self) -> bool:
        return self.kind == "c"

    @property
    def is_signed(self) -> bool:
        return self.kind in "ifc"

    @property
    def is_integer(self) -> bool:
        return self.kind in "iu"

    def __repr__(self) -> str:
        return f"candle.{self.name}"

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return as_dtype, (self.name,)

    def __copy__(self) -> DType:
        return self

    def __deepcopy__(self, memo: Any) -> DType:
        return self


_BY_NAME: dict[str, DType] = {}
_BY_NUMPY: dict[np.dtype[Any], DType] = {}


def _declare(name: str, numpy: Any, kind: str) -> DType:
    dtype = DType(name, numpy, kind)
    _BY_NAME[name] = dtype
    _BY_NUMPY[dtype.numpy] = dtype
    return dtype


def register_dtype(dtype: DType) -> DType:
    """Add a dtype to those that ``as_dtype`` knows by name, and by the NumPy dtype of what it stores."""
    if _BY_NAME.setdefault(dtype.name, dtype) is not dtype:
        raise DTypeError(f"there is already a dtype called {dtype.name}")
    _BY_NUMPY.setdefault(dtype.numpy, dtype)
    return dtype


bool_ = _declare("bool", np.bool_, "b")
uint8 = _declare("uint8", np.uint8, "u")
uint16 = _declare("uint16", np.uint16, "u")
uint32 = _declare("uint32", np.uint32, "u")
uint64 = _declare("uint64", np.uint64, "u")
int8 = _declare("int8", np.int8, "i")
int16 = _declare("int16", np.int16, "i")
int32 = _declare("int32", np.int32, "i")
int64 = _declare("int64", np.int64, "i")
float16 = _declare("float16", np.float16, "f")
bfloat16 = _declare("bfloat16", ml_dtypes.bfloat16, "f")
float32 = _declare("float32", np.float32, "f")
float64 = _declare("float64", np.float64, "f")
complex64 = _declare("complex64", np.complex64, "c")
complex128 = _declare("complex128", np.complex128, "c")

_STORAGE_NAMES = (
    "float8_e3m4", "float8_e4m3", "float8_e4m3b11fnuz", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2",
    "float8_e5m2fnuz", "float8_e8m0fnu", "float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn", "int4", "uint4",
    "int2", "uint2",
)  # fmt: skip

BOOL = (bool_,)
SIGNED = (int8, int16, int32, int64)
UNSIGNED = (uint8, uint16, uint32, uint64)
INTEGERS = SIGNED + UNSIGNED
HALVES = (float16, bfloat16)
FLOATS = (float16, bfloat16, float32, float64)
COMPLEX = (complex64, complex128)
REALS = INTEGERS + FLOATS
NUMBERS = REALS + COMPLEX
ALL = BOOL + NUMBERS
INEXACT = FLOATS + COMPLEX
STORAGE = tuple(_declare(n, getattr(ml_dtypes, n), "s") for n in _STORAGE_NAMES if hasattr(ml_dtypes, n))
EVERY = ALL + STORAGE

# -- block-quantised kinds ---------------------------------------------------------------------------

# Name, elements to a block, and GGML's struct of one block (ggml-common.h), little-endian and packed.  The struct is
# wrapped in a field of the kind's name, so that arrays of blocks say what they are although two kinds share a layout.
_H = "<f2"
_BLOCKS: tuple[tuple[str, int, tuple[tuple[Any, ...], ...]], ...] = (
    ("q4_0", 32, (("d", _H), ("qs", "u1", 16))),
    ("q4_1", 32, (("d", _H), ("m", _H), ("qs", "u1", 16))),
    ("q5_0", 32, (("d", _H), ("qh", "u1", 4), ("qs", "u1", 16))),
    ("q5_1", 32, (("d", _H), ("m", _H), ("qh", "u1", 4), ("qs", "u1", 16))),
    ("q8_0", 32, (("d", _H), ("qs", "i1", 32))),
    ("q8_1", 32, (("d", _H), ("s", _H), ("qs", "i1", 32))),
    ("q2_k", 256, (("scales", "u1", 16), ("qs", "u1", 64), ("d", _H), ("dmin", _H))),
    ("q3_k", 256, (("hmask", "u1", 32), ("qs", "u1", 64), ("scales", "u1", 12), ("d", _H))),
    ("q4_k", 256, (("d", _H), ("dmin", _H), ("scales", "u1", 12), ("qs", "u1", 128))),
    ("q5_k", 256, (("d", _H), ("dmin", _H), ("scales", "u1", 12), ("qh", "u1", 32), ("qs", "u1", 128))),
    ("q6_k", 256, (("ql", "u1", 128), ("qh", "u1", 64), ("scales", "i1", 16), ("d", _H))),
    ("q8_k", 256, (("d", "<f4"), ("qs", "i1", 256), ("bsums", "<i2", 16))),
    ("iq2_xxs", 256, (("d", _H), ("qs", "<u2", 32))),
    ("iq2_xs", 256, (("d", _H), ("qs", "<u2", 32), ("scales", "u1", 8))),
    ("iq2_s", 256, (("d", _H), ("qs", "u1", 32), ("signs", "u1", 32), ("qh", "u1", 8), ("scales", "u1", 8))),
    ("iq3_xxs", 256, (("d", _H), ("qs", "u1", 64), ("scales", "u1", 32))),
    ("iq3_s", 256, (("d", _H), ("qs", "u1", 64), ("qh", "u1", 8), ("signs", "u1", 32), ("scales", "u1", 4))),
    ("iq1_s", 256, (("d", _H), ("qs", "u1", 32), ("qh", "<u2", 8))),
    ("iq1_m", 256, (("qs", "u1", 32), ("qh", "u1", 16), ("scales", "u1", 8))),
    ("iq4_nl", 32, (("d", _H), ("qs", "u1", 16))),
    ("iq4_xs", 256, (("d", _H), ("scales_h", "<u2"), ("scales_l", "u1", 4), ("qs", "u1", 128))),
    ("tq1_0", 256, (("qs", "u1", 48), ("qh", "u1", 4), ("d", _H))),
    ("tq2_0", 256, (("qs", "u1", 64), ("d", _H))),
    ("mxfp4", 32, (("e", "u1"), ("qs", "u1", 16))),
    ("nvfp4", 64, (("d", "u1", 4), ("qs", "u1", 32))),
)  # fmt: skip


def _quantised(name: str, block: int, struct: Any) -> DType:
    return register_dtype(DType(name, [(name, list(struct))], "q", block))


QUANTISED = tuple(_quantised(*row) for row in _BLOCKS)


_ALIASES = {
    "bool_": bool_, "half": float16, "float": float32, "double": float64, "short": int16, "int": int32,
    "long": int64, "cfloat": complex64, "cdouble": complex128, "f16": float16, "bf16": bfloat16, "f32": float32,
    "f64": float64, "i8": int8, "i16": int16, "i32": int32, "i64": int64, "u8": uint8, "u16": uint16, "u32": uint32,
    "u64": uint64,
}  # fmt: skip
_PYTHON = {bool: bool_, int: int64, float: float32, complex: complex64}

_default = float32


def get_default_dtype() -> DType:
    """The dtype that Python floats, and integers in floating-point ops, become."""
    return _default


def set_default_dtype(dtype: Any) -> None:
    """Make another floating dtype the default; raises DTypeError for any other kind."""
    global _default
    wanted = as_dtype(dtype)
    if wanted.kind != "f":
        raise DTypeError(f"the default dtype must be a floating one but was given {wanted}; use one of {_names(FLOATS)}")
    _default = wanted


def _names(dtypes: Iterable[DType]) -> str:
    return ", ".join(d.name for d in dtypes)


def as_dtype(dtype: Any) -> DType:
    """The DType meant by a DType, a name, a NumPy dtype, a Python type, or another library's dtype."""
    if isinstance(dtype, DType):
        return dtype
    if isinstance(dtype, str):
        found = _BY_NAME.get(dtype) or _ALIASES.get(dtype)
        if found is not None:
            return found
        import difflib

        near = difflib.get_close_matches(dtype, [*_BY_NAME, *_ALIASES], 1)
        hint = f"did you mean {near[0]!r}?" if near else f"the dtypes are {_names(_BY_NAME.values())}"
        raise DTypeError(f"there is no dtype called {dtype!r}; {hint}")
    if isinstance(dtype, type) and dtype in _PYTHON:
        return _default if dtype is float else complex_of(_default) if dtype is complex else _PYTHON[dtype]
    text = str(dtype)
    if text.startswith("torch."):
        return as_dtype(text.removeprefix("torch."))
    try:
        numpy = np.dtype(dtype)
    except TypeError:
        raise DTypeError(f"a dtype was wanted but {dtype!r} was given; use candle.float32 or a name such as 'float32'") from None
    found = _BY_NUMPY.get(numpy) or _BY_NUMPY.get(numpy.newbyteorder("="))
    if found is None:
        raise DTypeError(f"candle has no dtype for NumPy's {numpy}; the dtypes are {_names(_BY_NUMPY.values())}")
    return found


def complex_of(dtype: DType) -> DType:
    """The complex dtype whose parts hold a real dtype."""
    return complex128 if dtype in (float64, complex128) else complex64


def real_of(dtype: DType) -> DType:
    """The dtype of a complex dtype's parts; a real dtype is its own."""
    return {complex64: float32, complex128: float64}.get(dtype, dtype)


_RANK = {"b": 0, "u": 1, "i": 1, "f": 2, "c": 3}


def promote_types(a: DType, b: DType) -> DType:
    """The smallest dtype both convert to, by PyTorch's table; raises DTypeError where there is none."""
    if a is b:
        return a
    if a.kind not in _RANK or b.kind not in _RANK:
        raise DTypeError(
            f"{a} and {b} do not mix: storage and quantised dtypes take part in casts and movement only; cast one first"
        )
    low, high = sorted((a, b), key=lambda d: _RANK[d.kind])
    if _RANK[low.kind] < _RANK[high.kind]:
        if low.kind == "f":
            return complex_of(low) if low.itemsize * 2 > high.itemsize else high
        return high
    if a.kind == "f":
        return a if a.itemsize > b.itemsize else b if b.itemsize > a.itemsize else float32
    if a.kind == "c":
        return complex128
    if a.kind == b.kind:
        return a if a.itemsize > b.itemsize else b
    signed, unsigned = (a, b) if a.kind == "i" else (b, a)
    if signed.itemsize > unsigned.itemsize:
        return signed
    if unsigned is uint64:
        raise DTypeError(f"{signed} and uint64 have no common integer dtype; cast one of them first")
    return {1: int16, 2: int32, 4: int64}[unsigned.itemsize]


def _combine(higher: DType | None, lower: DType | None) -> DType | None:
    """A category of operands takes another dtype from a weaker category only if that one is of a higher kind."""
    if higher is None or lower is None:
        return higher or lower
    if higher.kind in "sq" or lower.kind in "sq":
        return promote_types(higher, lower)
    if higher.kind == "c":
        return higher
    if higher.kind == "f":
        return complex_of(higher) if lower.kind == "c" else higher
    if higher.kind == "b" or lower.kind in "fc":
        return promote_types(higher, lower)
    return higher


def result_type(*operands: Any) -> DType:
    """The dtype of an operation on tensors, specs, dtypes and Python numbers, by PyTorch's rules.

    Tensors with dimensions decide first, then tensors without, then Python numbers; a weaker class counts
    only where its kind (bool, integer, floating, complex) is higher.
    """
    full: DType | None = None
    zero: DType | None = None
    weak: DType | None = None
    for x in operands:
        if isinstance(x, (bool, int, float, complex)) and not isinstance(x, np.generic):
            d = as_dtype(type(x))
            weak = d if weak is None else promote_types(weak, d)
        elif isinstance(x, DType):
            full = x if full is None else promote_types(full, x)
        elif x.shape:
            full = x.dtype if full is None else promote_types(full, x.dtype)
        else:
            zero = x.dtype if zero is None else promote_types(zero, x.dtype)
    found = _combine(full, _combine(zero, weak))
    if found is None:
        raise DTypeError("result_type was given no operand; give it at least one")
    return found


def can_cast(source: Any, target: Any) -> bool:
    """Whether a cast keeps to PyTorch's order of kinds (bool, integer, floating, complex)."""
    order = "b", "u", "i", "f", "c"
    a, b = as_dtype(source).kind, as_dtype(target).kind
    if a not in order or b not in order:
        return a == b
    return _RANK[a] <= _RANK[b] and not (a == "i" and b == "u")


def finfo(dtype: Any) -> Any:
    """The limits of a floating or complex dtype, as ``numpy.finfo`` gives them."""
    found = as_dtype(dtype)
    if found.kind not in "fcs":
        raise DTypeError(f"finfo takes a floating dtype but was given {found}; use iinfo")
    return ml_dtypes.finfo(real_of(found).numpy)  # type: ignore[no-untyped-call]


def iinfo(dtype: Any) -> Any:
    """The limits of an integer dtype, as ``numpy.iinfo`` gives them."""
    found = as_dtype(dtype)
    if found.kind not in "iu" and "int" not in found.name:
        raise DTypeError(f"iinfo takes an integer dtype but was given {found}; use finfo")
    return ml_dtypes.iinfo(found.numpy)  # type: ignore[no-untyped-call]
