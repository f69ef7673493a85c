"""The builders of kernels: each module here enters those of one family of ops."""

from importlib import import_module
from pkgutil import iter_modules

from .base import BUILDERS

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["BUILDERS"]
