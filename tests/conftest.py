"""The core's tests are of the core: tensors are made on its own device unless CANDLE_DEVICE says another."""

import os

os.environ.setdefault("CANDLE_DEVICE", "numpy")
