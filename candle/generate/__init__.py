"""Writing on: tokens from a language model, one after the other, for one prompt or many."""

from .decoding import Decoder, Prefix, generate, stream
from .sampling import Sampling
from .speculative import speculate

__all__ = ["Decoder", "Prefix", "Sampling", "generate", "speculate", "stream"]
