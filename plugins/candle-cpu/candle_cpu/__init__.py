"""The device ``cpu`` for candle: a C engine."""
