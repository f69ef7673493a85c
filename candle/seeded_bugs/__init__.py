"""Bugs to seed into a backend, one at a time: what the conformance suite must find.

A bug is a function that takes a table of kernels (``kernel(out, *data, **attrs)``) and returns it with one broken, or
returns an op of the table with one broken gradient.  Most are modelled on bugs that huggingface/candle had; the numbers
are those of its issues.
"""

from __future__ import annotations

from . import derivatives, gradients, kernels, layers, numbers, places, quantised  # noqa: F401  # some add to the lists of others

BUGS = [*kernels.BUGS, *gradients.BUGS, *quantised.BUGS]
