"""candle: a minimalist machine-learning framework, PyTorch-like, plugin-based, inference first."""

from __future__ import annotations

import importlib as _importlib
import math as _math
from typing import Any as _Any

from . import ops as _table  # declares the table
from . import create as _create
from . import device as device_module
from . import dtype as _dtype
from . import errors as _errors
from . import grad as _grad
from . import random as _random
from . import compile as _compile
from .backend import Backend, Device
from .graph import Graph, capture
from .op import FUNCTIONS, OPS, ZERO, Op, Spec, composite, function, primitive
from .tensor import (
    Tensor,
    attach,
    attach_functions,
    attach_operators,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)

__version__ = "0.1.0"

for _op in OPS.values():
    attach(_op)
attach_functions(FUNCTIONS)
attach_operators()

_public: dict[str, _Any] = {**OPS, **FUNCTIONS}
for _module in (_create, _random, _grad, _errors, device_module, _compile):
    _public.update({_name: getattr(_module, _name) for _name in _module.__all__})
for _d in _dtype.EVERY + _dtype.QUANTISED:
    _public[_d.name] = _d
for _alias, _d in _dtype._ALIASES.items():
    _public.setdefault(_alias, _d)
for _name in (
    "DType",
    "as_dtype",
    "can_cast",
    "finfo",
    "get_default_dtype",
    "iinfo",
    "promote_types",
    "result_type",
    "set_default_dtype",
):
    _public[_name] = getattr(_dtype, _name)
for _name in ("clone", "detach", "is_complex", "is_floating_point", "is_nonzero", "is_same_size", "is_signed", "numel"):
    _public[_name] = getattr(Tensor, _name)
_public.update(e=_math.e, inf=_math.inf, nan=_math.nan, newaxis=None, pi=_math.pi)
globals().update({_name: _value for _name, _value in _public.items() if _name.isidentifier() and not _name.startswith("_")})
dtype = _dtype

# What is imported when it is first used: a submodule, or "module:name".
_LAZY = {
    "array_api": "array_api",
    "autograd": "autograd",
    "fft": "fft",
    "formats": "formats",
    "func": "func",
    "hookimpl": "plugins:hookimpl",
    "inspect": "formats:inspect",
    "linalg": "linalg",
    "special": "special",
    "load": "formats:load",
    "models": "models",
    "nn": "nn",
    "optim": "optim",
    "plugins": "plugins",
    "save": "formats:save",
    "set_printoptions": "display:set_printoptions",
    "testing": "testing",
    "text": "text",
}


def __getattr__(name: str) -> _Any:
    where = _LAZY.get(name)
    if where is None:
        from .plugins import load_ops

        load_ops()
        if name in OPS:
            return OPS[name]
        if name.endswith("_") and not name.startswith("_") and callable(getattr(Tensor, name, None)):
            return getattr(Tensor, name)
        import difflib

        near = difflib.get_close_matches(name, [*_public, *_LAZY], 1)
        raise AttributeError(f"candle has no {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    module, _, attribute = where.partition(":")
    found = _importlib.import_module(f".{module}", __name__)
    if attribute:
        found = getattr(found, attribute)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
