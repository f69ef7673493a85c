"""What candle-cpu offers candle: the device ``cpu``."""

from candle.plugins import hookimpl

candle_api_version = (1, 0)


@hookimpl
def candle_backends() -> dict[str, str]:
    return {"cpu": "candle_cpu.backend:Cpu"}
