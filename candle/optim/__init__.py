"""Optimisers, each a rule that gives parameters new values from their gradients; learning-rate schedules; gradient clipping."""

from . import lr_scheduler
from .adam import Adam, Adamax, AdamW, NAdam, RAdam
from .adaptive import Adadelta, Adafactor, Adagrad, RMSprop
from .average import EMA
from .clip import clip_grad_norm_, clip_grad_value_, get_total_norm
from .lbfgs import LBFGS
from .lion import Lion
from .muon import Muon
from .optimizer import Optimizer
from .scaler import GradScaler
from .sgd import SGD

__all__ = [
    "EMA", "LBFGS", "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "GradScaler", "Lion", "Muon", "NAdam",
    "Optimizer", "RAdam", "RMSprop", "clip_grad_norm_", "clip_grad_value_", "get_total_norm", "lr_scheduler",
]  # fmt: skip
