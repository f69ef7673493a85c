"""What a config.json says: the settings of an architecture, with the defaults of its public implementation."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any, Callable, ClassVar, Mapping

from ..errors import FormatError
from ..nn import functional
from ..tensor import Tensor

__all__ = ["Config", "activation", "read_config"]

F: Any = functional
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": lambda x: F.gelu(x),
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_fast": lambda x: F.gelu(x, approximate="tanh"),
    "gelu_pytorch_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * (x * 1.702).sigmoid(),
    "relu": lambda x: F.relu(x),
    "relu2": lambda x: F.relu(x).square(),
    "relu6": lambda x: F.relu6(x),
    "silu": lambda x: F.silu(x),
    "swish": lambda x: F.silu(x),
    "mish": lambda x: F.mish(x),
    "sigmoid": lambda x: x.sigmoid(),
    "softplus": lambda x: F.softplus(x),
    "tanh": lambda x: x.tanh(),
    "linear": lambda x: x,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The function that a config.json names; raises FormatError where it is not known."""
    if name not in _ACTIVATIONS:
        raise FormatError(f"config.json names the activation {name!r}; those known are {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]


@dataclasses.dataclass
class Config:
    """A model's settings: a subclass lists those it knows; a config.json's others are dropped.

    ``aliases`` are names under which a checkpoint may give a setting; ``fixed`` are settings of the public implementation
    of which only the given values are there: another one is refused, never passed over.
    """

    aliases: ClassVar[Mapping[str, str]] = {}
    fixed: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Any:
        """The settings of a config.json; raises FormatError where one has the wrong type or a value that is not there."""
        for name, allowed in cls.fixed.items():
            if name in values and values[name] not in allowed:
                raise FormatError(
                    f"config.json asks for {name} = {values[name]!r}; {cls.__name__} has {' or '.join(map(repr, allowed))} only"
                )
        known = {f.name: f for f in dataclasses.fields(cls)}
        given = {cls.aliases[k]: v for k, v in values.items() if k in cls.aliases and v is not None}
        optional = {k for k, f in known.items() if str(f.type).endswith("| None") or str(f.type) == "Any"}
        given |= {k: v for k, v in values.items() if k in known and (v is not None or k in optional)}
        for k, v in given.items():
            if v is not None:
                _check(cls.__name__, k, v, str(known[k].type))
        return cls(**given)


def _check(name: str, key: str, value: Any, kind: str) -> None:
    kind = kind.removesuffix(" | None")
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind in ("int", "float") and (not number or (kind == "int" and value != int(value)) or not math.isfinite(value)):
        raise FormatError(f"config.json gives {key} as {value!r} but {name} wants a number")
    if kind == "int" and value < 0 and not key.endswith("_id"):
        raise FormatError(f"config.json gives {key} as {value} but a size is at least 0")
    if kind == "bool" and not isinstance(value, bool):
        raise FormatError(f"config.json gives {key} as {value!r} but {name} wants true or false")
    if kind == "str" and not isinstance(value, str):
        raise FormatError(f"config.json gives {key} as {value!r} but {name} wants a string")


def _real(value: dict[str, Any]) -> Any:
    """Infinities and NaN as newer files have them."""
    return float(value["__float__"]) if set(value) == {"__float__"} else value


def read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """A model folder's config.json; raises FormatError where it is missing or no JSON object."""
    path = folder / name
    try:
        values = json.loads(path.read_text(encoding="utf-8"), object_hook=_real)
    except FileNotFoundError:
        raise FormatError(f"{folder} has no {name}, which says what model it is") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as e:
        raise FormatError(f"{path} is not JSON: {e}") from None
    if not isinstance(values, dict) or not isinstance(values.get("model_type"), str):
        raise FormatError(f"{path} does not name a model_type")
    return values
