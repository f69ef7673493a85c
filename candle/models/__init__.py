"""Models: one file per architecture, named after the ``model_type`` of its checkpoints' config.json."""

from .loading import Config, load, locate
from .sentence import SentenceEncoder

__all__ = ["Config", "SentenceEncoder", "load", "locate"]
