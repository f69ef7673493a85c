"""Training: a loop that can be read in five minutes, whose checkpoints survive whatever happens."""

from .checkpoint import load_checkpoint, save_checkpoint
from .log import Log, draw_curves
from .trainer import Trainer

__all__ = ["Log", "Trainer", "draw_curves", "load_checkpoint", "save_checkpoint"]
