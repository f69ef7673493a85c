"""Text to ids and back: tokenizers from tokenizer.json, SentencePiece models and GGUF, chat templates, streams of text."""

from __future__ import annotations

from .chat import ChatTemplate
from .tokenizer import TextStream, Tokenizer, load

__all__ = ["ChatTemplate", "TextStream", "Tokenizer", "load"]
