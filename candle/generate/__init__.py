"""Writing on: tokens from a language model, one after the other, for one prompt or many; text with its tokenizer."""

from .decoding import Decoder, Prefix, generate, stream
from .sampling import Sampling
from .speculative import speculate
from .writer import Count, Writer, chat, load

__all__ = ["Count", "Decoder", "Prefix", "Sampling", "Writer", "chat", "generate", "load", "speculate", "stream"]
