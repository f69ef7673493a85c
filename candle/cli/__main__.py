"""``python -m candle.cli`` is ``candle``."""

from __future__ import annotations

import sys

from . import main

sys.exit(main())
