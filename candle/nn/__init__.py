"""Modules, layers, losses and their functions, as in PyTorch."""

from . import containers as _containers
from . import functional, init
from . import layers as _layers
from .containers import *  # noqa: F403
from .init import no_init
from .layers import *  # noqa: F403
from .module import Buffer, LoadResult, Module, Parameter

__all__ = ["Buffer", "LoadResult", "Module", "Parameter", "functional", "init", "no_init", *_containers.__all__, *_layers.__all__]
