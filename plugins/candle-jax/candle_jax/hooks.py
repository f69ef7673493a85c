"""What this package offers candle: one backend, imported (and JAX with it) when a tensor is first made there."""

from __future__ import annotations

from candle.plugins import hookimpl

candle_api_version = (1, 0)


@hookimpl
def candle_backends() -> dict[str, str]:
    return {"jax": "candle_jax.backend:Jax"}
