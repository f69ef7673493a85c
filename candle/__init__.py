"""candle: a minimalist machine-learning framework, PyTorch-like, plugin-based, inference first."""

from __future__ import annotations

from . import ops as _ops_loaded  # noqa: F401  (declares the table)
from . import create as _create
from . import device as _device_module
from . import dtype as _dtype
from . import errors as _errors
from . import grad as _grad
from .backend import Backend, Device
from .op import FUNCTIONS, OPS, ZERO, Op, Spec, composite, primitive
from .tensor import Tensor, attach, attach_operators, enable_grad, in_place, inference_mode, is_grad_enabled, no_grad, set_grad_enabled

__version__ = "0.1.0"

for _op in OPS.values():
    attach(_op)
for _name, _function in FUNCTIONS.items():
    _form = _function.__dict__.get("method")
    if _form and (_name in OPS or not hasattr(Tensor, _name)):
        setattr(Tensor, _name, _form if callable(_form) else _function)
        if (_name in OPS or "alias" in _function.__dict__) and not hasattr(Tensor, _name + "_"):
            setattr(Tensor, _name + "_", in_place(_name))
attach_operators()

globals().update({_n: _o for _n, _o in {**OPS, **FUNCTIONS}.items() if _n.isidentifier()})
globals().update({_n: getattr(_create, _n) for _n in _create.__all__})
globals().update({_n: getattr(_grad, _n) for _n in _grad.__all__})
globals().update({_n: getattr(_errors, _n) for _n in _errors.__all__})
globals().update({_d.name: _d for _d in _dtype.EVERY})
