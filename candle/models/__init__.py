"""Models: one file per architecture, named after the ``model_type`` of its checkpoints' config.json."""

from .loading import load, locate
from .sentence import SentenceEncoder
from .settings import Config

__all__ = ["Config", "SentenceEncoder", "load", "locate"]
