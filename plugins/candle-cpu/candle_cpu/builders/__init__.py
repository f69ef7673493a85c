"""The builders of kernels, by the families of ops."""

from . import convolution, elementwise, movement, products
from .base import BUILDERS

__all__ = ["BUILDERS", "convolution", "elementwise", "movement", "products"]
