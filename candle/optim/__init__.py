"""Optimisers: each a rule that gives parameters new values from their gradients."""

from .optimizer import Optimizer
from .rules import SGD, Adam, AdamW

__all__ = ["SGD", "Adam", "AdamW", "Optimizer"]
