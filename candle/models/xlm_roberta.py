"""XLM-RoBERTa: RoBERTa over a vocabulary of a hundred languages.  https://arxiv.org/abs/1911.02116"""

from __future__ import annotations

from .roberta import Roberta

__all__ = ["XlmRoberta"]


class XlmRoberta(Roberta):
    """By its configuration alone."""
