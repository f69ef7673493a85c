"""The builders of kernels, by the families of ops."""

from . import elementwise, movement, reduce
from .base import BUILDERS

__all__ = ["BUILDERS", "elementwise", "movement", "reduce"]
