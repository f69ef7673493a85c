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
from . import fft, functions, linalg
from .array import Array
from .functions import *  # noqa: F403

VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12")
__array_api_version__ = VERSIONS[-1]
newaxis = None

__all__ = [
    "Array", "VERSIONS", "__array_api_version__", "bool", "complex64", "complex128", "e", "fft", "float32", "float64", "inf",
    "int8", "int16", "int32", "int64", "linalg", "nan", "newaxis", "pi", "uint8", "uint16", "uint32", "uint64",
    *functions.__all__,
]  # fmt: skip
