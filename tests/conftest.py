"""The core's own tests run on the reference, whichever devices are installed; CANDLE_DEVICE names another."""

import os

os.environ.setdefault("CANDLE_DEVICE", "numpy")
