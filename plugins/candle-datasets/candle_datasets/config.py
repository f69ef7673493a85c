"""A training run described by a TOML file: model, data, optimiser, and what the Trainer is told."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tomllib
from pathlib import Path
from typing import Any, Callable, Mapping

from candle import CandleError, FormatError, Tensor, manual_seed, nn, optim, set_default_device
from candle.train import Trainer

from . import DataLoader, load

__all__ = ["accuracy", "from_config"]

_TRAINER = ("epochs", "steps", "every", "clip", "accumulate", "patience", "compile", "tensorboard", "progress")
_TOP = {*_TRAINER, "folder", "seed", "device", "metrics", "model", "loss", "optimizer", "scheduler", "ema", "data"}


def accuracy(model: Any, x: Tensor, y: Tensor) -> Tensor:
    """The share of samples whose largest logit is that of their class."""
    return (model(x).argmax(-1) == y).float().mean()


def from_config(path: str | Path) -> Trainer:
    """A Trainer as a TOML file says; paths in it, and modules of its own, are looked for beside it.

    ``[model] make = "module:name"`` names a function or class (of ``module.py`` beside the file, or of an installed module),
    which is called with ``options``: this runs that code.  ``[loss] name`` is a function of ``candle.nn.functional``, or
    "module:name" of one that gets (model, *batch).  ``[optimizer]``, ``[scheduler]`` and ``[ema]`` are classes of
    ``candle.optim`` with their settings, ``[data]`` the loader's settings, ``[data.train]`` and ``[data.valid]`` a dataset's name
    and options.  Raises CandleError and FormatError for what cannot be.
    """
    path = Path(path)
    try:
        config = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CandleError(f"there is no file {path}; candle train takes a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise FormatError(f"{path} is no right TOML file: {e}") from None
    _known(path, "the file", config, _TOP)
    for part in ("model", "optimizer", "data"):
        if part not in config:
            raise CandleError(f"{path} has no [{part}]; docs/training.md shows a whole file")
    set_default_device(config.get("device"))
    manual_seed(int(config.get("seed", 0)))
    here = path.parent
    model = _called(here, config["model"], "make", "[model]")(**config["model"].get("options", {}))
    opt = _made(optim, config["optimizer"], "[optimizer]", model.parameters())
    scheduler = _made(optim.lr_scheduler, config["scheduler"], "[scheduler]", opt) if "scheduler" in config else None
    ema = optim.EMA(model.parameters(), **config["ema"]) if "ema" in config else None
    train, valid = _loaders(here, config["data"], int(config.get("seed", 0)))
    own: dict[str, Callable[..., Any]] = {"accuracy": accuracy}
    asked = config.get("metrics", [])
    metrics = {m.rpartition(":")[2]: own[m] if m in own else _object(here, m, "metrics") for m in asked}
    return Trainer(
        model, _loss(here, config.get("loss", {"name": "cross_entropy"})), opt, train, valid, scheduler=scheduler, ema=ema,
        metrics=metrics, folder=here / config.get("folder", f"{path.stem}-run"),
        **{k: config[k] for k in _TRAINER if k in config},
    )  # fmt: skip


def _known(path: Any, where: str, given: Mapping[str, Any], names: set[str]) -> None:
    unknown = sorted(set(given) - names)
    if unknown:
        raise CandleError(f"{path}: {where} has no {', '.join(unknown)}; it has {', '.join(sorted(names))}")


def _object(here: Path, name: str, where: str) -> Any:
    """What "module:name" names."""
    module, colon, attribute = str(name).partition(":")
    if not colon:
        raise CandleError(f"{where} takes 'module:name' but {name!r} was given")
    file = here / f"{module.replace('.', '/')}.py"
    try:
        if file.is_file():
            spec = importlib.util.spec_from_file_location(module, file)
            assert spec is not None and spec.loader is not None
            found = sys.modules[module] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(found)
        else:
            found = importlib.import_module(module)
        return getattr(found, attribute)
    except ModuleNotFoundError as e:
        raise CandleError(f"{where}: {name!r} is neither in {file} nor installed: {e}") from e
    except AttributeError:
        raise CandleError(f"{where}: the module {module!r} has no {attribute!r}") from None


def _called(here: Path, part: Mapping[str, Any], key: str, where: str) -> Any:
    if key not in part:
        raise CandleError(f"{where} needs {key} = 'module:name'")
    return _object(here, part[key], f"{where} {key}")


def _made(module: Any, part: Mapping[str, Any], where: str, *args: Any) -> Any:
    settings = dict(part)
    name = settings.pop("name", None)
    if name is None or name not in module.__all__:
        raise CandleError(f"{where} needs name = one of {', '.join(module.__all__)}; {name!r} was given")
    try:
        return getattr(module, name)(*args, **settings)
    except TypeError as e:
        raise CandleError(f"{where} {name} does not take these settings: {e}") from e


def _loss(here: Path, part: Mapping[str, Any]) -> Callable[..., Tensor]:
    settings = dict(part)
    name = settings.pop("name", "cross_entropy")
    if ":" in name:
        return _object(here, name, "[loss] name")
    function = getattr(nn.functional, name)
    return lambda model, x, y: function(model(x), y, **settings)


def _loaders(here: Path, part: Mapping[str, Any], seed: int) -> tuple[Any, Any]:
    shared = {k: v for k, v in part.items() if k not in ("train", "valid", "transform")}
    transform = _object(here, part["transform"], "[data] transform") if "transform" in part else None

    def loader(which: str, shuffle: bool) -> Any:
        options = {k: v for k, v in part[which].items() if k not in ("name", "transform")}
        for key in ("root", "path"):
            if key in options:
                options[key] = here / options[key]
        given = part[which].get("transform")
        change = _object(here, given, f"[data.{which}] transform") if given else transform
        if change is not None:
            options["transform"] = change
        try:
            return DataLoader(load(part[which]["name"], **options), shuffle=shuffle, seed=seed, **shared)
        except KeyError:
            raise CandleError(f"[data.{which}] needs name = a dataset's; `candle datasets` lists them") from None
        except TypeError as e:
            raise CandleError(f"[data] or [data.{which}] has settings that are not taken: {e}") from e

    if "train" not in part:
        raise CandleError("[data] needs [data.train] with a dataset's name")
    return loader("train", True), loader("valid", False) if "valid" in part else None
