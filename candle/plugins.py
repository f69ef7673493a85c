"""Plugins: how separately installed packages offer backends, kernels, ops, formats, models, datasets and commands.

A plugin is a small module named by an entry point of the group ``candle``.  It defines some of the hooks below, each
decorated with ``hookimpl``.  A hook returns a dictionary from names to values; a value is the object itself or a string
``"module:name"`` (or ``"module"``), which is imported when that name is used.  Nothing is loaded by ``import candle``.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import os
import re
import sys
import threading
import traceback
from dataclasses import dataclass, field
from importlib import metadata
from importlib.machinery import PathFinder
from operator import attrgetter
from typing import Any, Callable, Mapping

import pluggy

from .errors import PluginError

__all__ = [
    "API_VERSION", "HOOKS", "Plugin", "extra_kernels", "hookimpl", "load", "load_ops", "offered", "plugins", "problems",
    "register", "reload", "unregister",
]  # fmt: skip

API_VERSION = (1, 0)
"""The plugin interface of this core, (major, minor).  It takes plugins made for its own major version, up to its minor
one, and for the major version before.  A plugin says which it is made for: ``candle_api_version = (1, 0)``, written as a
literal in its hook module, where it is read without running the module.  One that says nothing is taken for (1, 0)."""

hookspec = pluggy.HookspecMarker("candle")
hookimpl = pluggy.HookimplMarker("candle")

Lazy = Any  # a value, or "module:name"


# -- the hooks -------------------------------------------------------------------------------------


@hookspec
def candle_backends() -> Mapping[str, Lazy]:
    """Devices: name -> ``factory() -> Backend``, or ``factory(index)`` where there are several."""
    return {}


@hookspec
def candle_kernels(backend: str) -> Mapping[str, Lazy]:
    """Kernels for somebody else's backend: op name -> ``kernel(out, *data, **attrs)``.  They win over its own."""
    return {}


@hookspec
def candle_ops() -> Mapping[str, Lazy]:
    """Custom ops: name -> an ``Op`` made with ``candle.primitive`` or ``candle.composite``."""
    return {}


@hookspec
def candle_loaders() -> Mapping[str, Lazy]:
    """File formats: name -> a module or object with ``suffixes``, ``matches``, ``load`` and, if it can write, ``save``."""
    return {}


@hookspec
def candle_models() -> Mapping[str, Lazy]:
    """Model architectures: ``model_type`` of a config.json -> a module or object that builds the model."""
    return {}


@hookspec
def candle_datasets() -> Mapping[str, Lazy]:
    """Datasets: name -> ``factory(**options)``, which returns the dataset."""
    return {}


@hookspec
def candle_communicators() -> Mapping[str, Lazy]:
    """Ways for processes to exchange tensors: name -> ``factory(rank, size, **options)``."""
    return {}


@hookspec
def candle_commands() -> Mapping[str, Lazy]:
    """Subcommands of ``candle``: name -> a module or object with ``help``, ``configure(parser)`` and ``run(args) -> int``."""
    return {}


HOOKS: tuple[str, ...] = tuple(n for n in dir() if n.startswith("candle_"))


# -- what is installed -----------------------------------------------------------------------------


@dataclass(eq=False)
class Plugin:
    """A plugin as far as it is known: from its metadata first, and once it is needed, from what it offers."""

    name: str
    module: str
    package: str = ""
    version: str = ""
    builtin: bool = False
    status: str = "installed"  # then "loaded"; or "disabled", "refused" (made for another version), "failed"
    api: tuple[int, int] | None = None
    error: BaseException | None = None
    value: Any = None  # the hook module or object
    offers: dict[str, list[str]] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name} ({self.package} {self.version})" if self.package else self.name

    @property
    def traceback(self) -> str:
        return "".join(traceback.format_exception(self.error)) if self.error is not None else ""

    def as_dict(self) -> dict[str, Any]:
        """What ``candle plugins --json`` says of it."""
        return {
            "name": self.name, "package": self.package, "version": self.version, "module": self.module,
            "builtin": self.builtin, "status": self.status, "api_version": list(self.api) if self.api else None,
            "offers": self.offers, "error": None if self.error is None else f"{type(self.error).__name__}: {self.error}",
        }  # fmt: skip


@dataclass(eq=False)
class _State:
    found: list[Plugin] | None = None
    added: list[Plugin] = field(default_factory=list)  # in this process, without packaging
    offers: dict[str, dict[str, tuple[Any, Plugin]]] = field(default_factory=dict)
    own: dict[str, dict[str, tuple[Any, Plugin]]] = field(default_factory=dict)  # of candle's own plugin alone
    problems: list[tuple[Plugin, str, BaseException | None]] = field(default_factory=list)
    manager: Any = None
    ops_done: bool = False


_state = _State()
_lock = threading.RLock()  # never held while a plugin's code runs: its imports take locks of their own
_local = threading.local()  # what this thread is in the midst of loading


def _spelled(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _listed(variable: str) -> set[str] | None:
    text = os.environ.get(variable)
    return None if text is None else {_spelled(n.strip()) for n in text.split(",") if n.strip()}


def _installed() -> list[Plugin]:
    """The built-in plugin, then the others by name; entry points are read, nothing is imported."""
    builtin = Plugin("builtin", "candle.hooks", builtin=True)
    found = [builtin]
    for point in sorted(metadata.entry_points(group="candle"), key=lambda p: (p.name, p.value)):
        dist = point.dist
        package, version = (str(dist.name), str(dist.version)) if dist is not None else ("", "")
        if point.value == builtin.module:
            builtin.package, builtin.version = package, version
        elif not any(p.name == point.name and p.module == point.value for p in found):
            found.append(Plugin(point.name, point.value, package, version))
    only, without = _listed("CANDLE_PLUGINS"), _listed("CANDLE_DISABLE_PLUGINS") or set()
    for p in found[1:]:
        names = {_spelled(p.name), _spelled(p.package)}
        if (only is not None and not names & only) or names & without:
            p.status = "disabled"
    known = {_spelled(n) for p in found for n in (p.name, p.package)}
    for name in sorted((only or set()) - known):
        _problem(builtin, f"CANDLE_PLUGINS names {name!r}, but no such plugin is installed; `candle plugins` lists them")
    return found


def plugins() -> list[Plugin]:
    """All installed plugins, those switched off included.  Reads metadata and loads nothing."""
    with _lock:
        if _state.found is None:
            _state.found = []
            _state.found = _installed()
        for p in _state.found:
            if p.api is None and p.value is None:
                p.api = _declared_api(p.module)
        return [*_state.found, *_state.added]


def problems() -> list[tuple[Plugin, str, BaseException | None]]:
    """What has gone wrong with plugins so far: which, what, and the exception if there was one."""
    return list(_state.problems)


def _problem(plugin: Plugin, text: str, error: BaseException | None = None) -> None:
    with _lock:
        if not any(p is plugin and t == text for p, t, _ in _state.problems):
            _state.problems.append((plugin, text, error))


def reload() -> None:
    """Forget what was found, so that plugins installed meanwhile, or other settings in the environment, count."""
    global _state
    with _lock:
        _state = _State(added=_state.added)
        for p in _state.added:
            p.status, p.error, p.offers = "installed", None, {}


def register(value: Any, name: str | None = None) -> Plugin:
    """Add a plugin in this process without packaging: a module or object that has hooks."""
    label = name or str(getattr(value, "__name__", type(value).__name__))
    plugin = Plugin(label, f"<{label}>", value=value)
    with _lock:
        added = [*_state.added, plugin]
    reload()
    _state.added = added
    return plugin


def unregister(plugin: Plugin) -> None:
    """Take a plugin out that was added with ``register``."""
    with _lock:
        added = [p for p in _state.added if p is not plugin]
    reload()
    _state.added = added


# -- loading ---------------------------------------------------------------------------------------


def _declared_api(module: str) -> tuple[int, int] | None:
    """``candle_api_version`` as the source of a hook module states it; the module and its package are not run."""
    parts = module.partition(":")[0].split(".")
    try:
        spec = importlib.util.find_spec(parts[0])
        for at in range(1, len(parts)):
            if spec is None or spec.submodule_search_locations is None:
                return None
            spec = PathFinder.find_spec(".".join(parts[: at + 1]), list(spec.submodule_search_locations))
        if spec is None or not (spec.origin or "").endswith(".py"):
            return None
        with open(str(spec.origin), encoding="utf-8") as f:
            tree = ast.parse(f.read())
        for line in tree.body:
            targets = line.targets if isinstance(line, ast.Assign) else [line.target] if isinstance(line, ast.AnnAssign) else []
            if any(isinstance(t, ast.Name) and t.id == "candle_api_version" for t in targets):
                return _version(ast.literal_eval(line.value))  # type: ignore[attr-defined]
    except (ImportError, OSError, SyntaxError, ValueError):
        pass  # loading the module will say what is wrong with it
    return None


def _version(value: Any) -> tuple[int, int] | None:
    fits = isinstance(value, (tuple, list)) and len(value) == 2 and all(isinstance(v, int) for v in value)
    return (value[0], value[1]) if fits else None


def _refusal(plugin: Plugin) -> str | None:
    """Why a plugin's version is not taken, or None."""
    made, (major, minor) = plugin.api or (1, 0), API_VERSION
    if (made[0] == major and made[1] <= minor) or made[0] == major - 1:
        return None
    wanted = f"it is made for version {made[0]}.{made[1]} of the plugin interface and this candle has {major}.{minor}"
    other = "candle" if made > API_VERSION else plugin.package or plugin.name
    return f"the plugin {plugin} was not loaded: {wanted}; install a newer {other}"


def _fail(plugin: Plugin, status: str, text: str, error: BaseException) -> None:
    with _lock:
        plugin.status, plugin.error = status, error
    _problem(plugin, text, error)


def _ready(plugin: Plugin) -> bool | None:
    """Whether a plugin is loaded, after trying to; None if that is under way in this thread."""
    if plugin.status != "installed":
        return plugin.status == "loaded"
    loading = _local.__dict__.setdefault("loading", [])
    if plugin in loading:
        return None
    loading.append(plugin)
    try:
        refusal = _refusal(plugin)
        if refusal is not None:
            _fail(plugin, "refused", refusal, PluginError(refusal))
            return False
        if plugin.value is None:
            name = plugin.module.partition(":")[0]
            module = importlib.import_module(name)
            if getattr(getattr(module, "__spec__", None), "_initializing", False):
                return None
            value = _resolve(plugin.module)
            if plugin.api is None:
                plugin.api = _version(getattr(value, "candle_api_version", None)) or (1, 0)
                refusal = _refusal(plugin)
                if refusal is not None:
                    _fail(plugin, "refused", refusal, PluginError(refusal))
                    return False
            plugin.value = value
        _check(plugin.value)
        with _lock:
            if plugin.status == "installed":
                _manager().register(plugin.value, f"{plugin.name} {plugin.module}")
                plugin.status = "loaded"
        return True
    except (Exception, SystemExit) as e:
        _fail(plugin, "failed", f"the plugin {plugin} failed to load: {type(e).__name__}: {e}", e)
        return False
    finally:
        loading.remove(plugin)


def _check(value: Any) -> None:
    """Raise PluginError for hooks that nobody would call: of an unknown name, or not marked as hooks."""
    names = [n for n in dir(value) if n.startswith("candle_") and n != "candle_api_version" and callable(getattr(value, n))]
    for name in names:
        if name not in HOOKS:
            near = difflib.get_close_matches(name, HOOKS, 1)
            hint = f"did you mean {near[0]}?" if near else f"the hooks are {', '.join(HOOKS)}"
            raise PluginError(f"there is no hook {name}; {hint}")
        if not hasattr(getattr(value, name), "candle_impl"):
            raise PluginError(f"{name} is not marked as a hook: decorate it with candle.plugins.hookimpl")


def _manager() -> Any:
    if _state.manager is None:
        _state.manager = pluggy.PluginManager("candle")
        _state.manager.add_hookspecs(sys.modules[__name__])
    return _state.manager


def _collect(hook: str, own: bool = False, **arguments: Any) -> tuple[dict[str, tuple[Any, Plugin]], bool]:
    """What all plugins (or candle's own only) offer through one hook, and whether every plugin could be asked."""
    if hook not in HOOKS:
        raise PluginError(f"there is no hook {hook!r}; the hooks are {', '.join(HOOKS)}")
    found: dict[str, tuple[Any, Plugin]] = {}
    complete = True
    for plugin in plugins()[:1] if own else plugins():
        ready = _ready(plugin)
        complete &= ready is not None
        function = getattr(plugin.value, hook, None) if ready else None
        if function is None:
            continue
        try:
            offer = function(**arguments)
            if not isinstance(offer, Mapping) or not all(isinstance(k, str) for k in offer):
                raise PluginError(f"{hook} returns a dictionary from names to values but returned {offer!r:.80}")
        except (Exception, SystemExit) as e:
            _fail(plugin, "failed", f"{hook} of the plugin {plugin} failed: {type(e).__name__}: {e}", e)
            continue
        plugin.offers[hook] = sorted({*plugin.offers.get(hook, ()), *offer})
        for name, value in offer.items():
            if name not in found:
                found[name] = value, plugin
            elif found[name][1] is not plugin:
                first = found[name][1]
                _problem(plugin, f"{hook}: {name!r} of the plugin {plugin} is not used, for {first} offers it too and came first")
    return found, complete


def offered(hook: str) -> Mapping[str, tuple[Any, Plugin]]:
    """What is offered through a hook: name -> (value, plugin).  Hook modules are loaded at the first such question."""
    state = _state
    found = state.offers.get(hook)
    if found is None:
        found, complete = _collect(hook)
        if complete:
            with _lock:
                found = state.offers.setdefault(hook, found)
    return found


def _own(hook: str) -> Mapping[str, tuple[Any, Plugin]]:
    state = _state
    found = state.offers.get(hook) or state.own.get(hook)
    if found is None:
        found, complete = _collect(hook, own=True)
        if complete:
            state.own[hook] = found
    return found


def _resolve(value: Any) -> Any:
    """What ``"module:name"`` or ``"module"`` means; anything but a string is meant itself."""
    if not isinstance(value, str):
        return value
    module, _, name = value.partition(":")
    found = importlib.import_module(module)
    return attrgetter(name)(found) if name else found


def load(hook: str, name: str) -> Any:
    """What is offered under a name, imported if need be, or None where no plugin offers it.

    Raises PluginError, from its cause, where the plugin that would offer it is broken, refused or switched off.
    """
    entry = _own(hook).get(name) or offered(hook).get(name)  # candle's own come first, so others need not be loaded for them
    if entry is None:
        for p in plugins():
            likely = _spelled(name) in (_spelled(p.name), _spelled(p.package).removeprefix("candle-"))
            if likely and p.status not in ("installed", "loaded"):
                raise PluginError(_why(p, name)) from p.error
        return None
    value, plugin = entry
    try:
        return _resolve(value)
    except (Exception, SystemExit) as e:
        text = f"{name!r} of the plugin {plugin} cannot be loaded from {value!r}: {type(e).__name__}: {e}"
        _problem(plugin, text, e)
        raise PluginError(f"{text}; `candle doctor` shows the traceback") from e


def _why(plugin: Plugin, name: str) -> str:
    if plugin.status == "disabled":
        variable = "CANDLE_DISABLE_PLUGINS" if _listed("CANDLE_DISABLE_PLUGINS") else "CANDLE_PLUGINS"
        return f"{name!r} is offered by the plugin {plugin}, which {variable}={os.environ.get(variable, '')!r} switches off"
    if plugin.status == "refused":
        return str(plugin.error)
    cause = f"{type(plugin.error).__name__}: {plugin.error}"
    return f"{name!r} would be offered by the plugin {plugin}, which failed: {cause}; `candle doctor` shows the traceback"


# -- kernels and ops -------------------------------------------------------------------------------


def extra_kernels(backend: str) -> dict[str, Callable[..., Any]]:
    """The kernels that plugins add to a backend.  Custom ops are declared before, for kernels belong to ops."""
    load_ops()
    found, _ = _collect("candle_kernels", backend=backend)
    kernels = {}
    for name, (value, plugin) in found.items():
        try:
            kernels[name] = _resolve(value)
        except (Exception, SystemExit) as e:
            _problem(
                plugin, f"the kernel of {name} for {backend} of the plugin {plugin} cannot be loaded: {type(e).__name__}: {e}", e
            )
    return kernels


def load_ops() -> None:
    """Declare the ops that plugins offer, and make them functions of ``candle`` and methods of Tensor."""
    state = _state
    if state.ops_done or _local.__dict__.get("ops"):
        return
    _local.ops = True
    try:
        import candle

        from .op import OPS, Op
        from .tensor import attach

        for name, (value, plugin) in offered("candle_ops").items():
            try:
                op = _resolve(value)
                if not isinstance(op, Op) or op.name != name or OPS.get(name) is not op:
                    raise PluginError(f"candle_ops maps the op's name {name!r} to an op of that name but the value is {op!r}")
                attach(op)
                candle.__dict__.setdefault(name, op)
            except (Exception, SystemExit) as e:
                _problem(plugin, f"the op {name} of the plugin {plugin} cannot be declared: {type(e).__name__}: {e}", e)
        state.ops_done = True
    finally:
        _local.ops = False
