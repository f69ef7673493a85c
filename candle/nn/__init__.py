"""Modules, layers, losses and their functions, as in PyTorch."""

from . import attention as _attention
from . import containers as _containers
from . import functional, init
from . import layers as _layers
from . import recurrent as _recurrent
from . import vectors as utils
from .attention import *  # noqa: F403
from .containers import *  # noqa: F403
from .init import no_init
from .layers import *  # noqa: F403
from .module import Buffer, LoadResult, Module, Parameter
from .recurrent import *  # noqa: F403

__all__ = [
    "Buffer",
    "LoadResult",
    "Module",
    "Parameter",
    "functional",
    "init",
    "no_init",
    "utils",
    *_containers.__all__,
    *_layers.__all__,
]
__all__ += [*_attention.__all__, *_recurrent.__all__]
