"""The Python array API standard over candle: https://data-apis.org/array-api/latest

Arrays here are ``Array`` objects, apart from ``Tensor``, because the standard differs from PyTorch in names, promotion
(arrays without dimensions count like others; kinds do not mix) and results.  ``Array.__array__`` and DLPack lead out of it.
"""

from __future__ import annotations

from math import e, inf, nan, pi

from ..dtype import (
    bool_ as bool,
)
from ..dtype import (
    complex64,
    complex128,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    uint8,
    uint16,
    uint32,
    uint64,
)
from . import creation, data_types, elementwise, fft, inspection, linalg, manipulation, products, reductions, searching
from .array import Array
from .creation import *  # noqa: F403
from .data_types import *  # noqa: F403
from .earlier import VERSIONS
from .elementwise import *  # noqa: F403
from .inspection import *  # noqa: F403
from .manipulation import *  # noqa: F403
from .products import *  # noqa: F403
from .reductions import *  # noqa: F403
from .searching import *  # noqa: F403

__array_api_version__ = VERSIONS[-1]
newaxis = None

__all__ = [
    "Array", "VERSIONS", "__array_api_version__", "bool", "complex64", "complex128", "e", "fft", "float32", "float64", "inf",
    "int8", "int16", "int32", "int64", "linalg", "nan", "newaxis", "pi", "uint8", "uint16", "uint32", "uint64",
    *creation.__all__, *data_types.__all__, *elementwise.__all__, *inspection.__all__, *manipulation.__all__,
    *products.__all__, *reductions.__all__, *searching.__all__,
]  # fmt: skip
