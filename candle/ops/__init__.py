"""The op table: every operation, each declared once, by family."""

from . import elementwise, reduce, movement, select, linear, create, random, neural, conv, pool, resize, fft, linalg, loss, scan
from . import quantised
