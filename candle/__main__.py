"""``python -m candle`` is the command ``candle``."""

import sys

from .cli import main

sys.exit(main())
