"""The device ``jax`` for candle."""

__version__ = "0.1.0"
