"""Finding the backend that a device's name means."""

from __future__ import annotations

import os
import threading
from typing import Any, Callable

from .backend import Backend, Device
from .errors import BackendError, DeviceError

__all__ = [
    "device", "get_default_device", "get_num_threads", "register_backend", "resolve", "set_default_device", "set_num_threads",
    "synchronize",
]  # fmt: skip

_made: dict[str, Backend] = {}
_registered: dict[str, Callable[..., Backend]] = {}
_default: Backend | None = None
_lock = threading.RLock()
_local = threading.local()


def register_backend(name: str, factory: Callable[..., Backend]) -> None:
    """Offer a backend in this process without packaging: ``factory()`` or ``factory(index)`` makes it when first asked for."""
    if not name.isidentifier():
        raise DeviceError(f"a backend's name is an identifier such as 'mine' but {name!r} was given")
    with _lock:
        _registered[name] = factory
        for made in [k for k in _made if k.partition(":")[0] == name]:
            del _made[made]


def names() -> list[str]:
    """The names of all backends that can be asked for, whether or not they will load."""
    from .plugins import offered

    return sorted({*_registered, *offered("candle_backends")})


def resolve(device: Any = None) -> Backend:
    """The backend of a device: a name such as ``"numpy"`` or ``"cuda:1"``, a Device, a Backend, or None for the default.

    Raises DeviceError for a malformed name, BackendError (naming those installed, and what to install) for an unknown one.
    """
    if isinstance(device, Backend):
        return device
    if device is None:
        return _current()
    name = str(device)
    found = _made.get(name)
    if found is not None:
        return found
    if name == "auto":
        return _current()
    kind, colon, index = name.partition(":")
    if not kind.isidentifier() or (colon and not index.isdigit()):
        raise DeviceError(f"a device is a name such as 'numpy' or 'cuda:0' but {device!r} was given")
    with _lock:
        if name not in _made:
            _made[name] = _make(kind, int(index) if colon else None)
        made = _made[name]
        canonical = str(made.device)
        made = _made[name] = _made.setdefault(canonical, made)
        return made


def _make(kind: str, index: int | None) -> Backend:
    from .plugins import load

    factory = _registered.get(kind) or load("candle_backends", kind)
    if factory is None:
        raise BackendError(_unknown(kind))
    try:
        made = factory(index) if index is not None else factory()
    except (BackendError, DeviceError):
        raise
    except TypeError as e:
        if index is not None:
            raise DeviceError(f"{kind} has no numbered devices; use device={kind!r} ({e})") from e
        raise BackendError(f"the backend {kind!r} could not be started: {e}; run `candle doctor`") from e
    except Exception as e:
        raise BackendError(f"the backend {kind!r} could not be started: {type(e).__name__}: {e}; run `candle doctor`") from e
    from .plugins import extra_kernels

    extra = extra_kernels(kind)
    if extra:
        made.kernels = {**made.kernels, **extra}
    return made


_PACKAGES = {"cpu": "candle-cpu", "cuda": "candle-cuda", "wasm": "candle-wasm", "jax": "candle-jax"}


def _unknown(kind: str) -> str:
    import difflib

    known = names()
    from .plugins import plugins

    text = f"no installed backend is called {kind!r}; installed are {', '.join(known)}"
    failed = [p.name for p in plugins() if p.error is not None]
    if failed:
        text += f" (not loaded: {', '.join(failed)}; `candle doctor` says why)"
    if kind in _PACKAGES:
        return f"{text}; install it with: pip install {_PACKAGES[kind]}"
    near = difflib.get_close_matches(kind, known, 1)
    return text + (f"; did you mean {near[0]!r}?" if near else "; `candle plugins` lists what is installed")


def _current() -> Backend:
    stack = getattr(_local, "stack", None)
    if stack:
        return stack[-1]
    global _default
    if _default is None:
        _default = resolve(os.environ.get("CANDLE_DEVICE") or host())
    return _default


def host() -> str:
    """The best backend for this process's own memory: ``cpu`` where candle-cpu is installed, else ``numpy``."""
    from .plugins import offered

    return "cpu" if "cpu" in _registered or "cpu" in offered("candle_backends") else "numpy"


def set_default_device(device: Any) -> None:
    """Have tensors made on this device where none is named; None returns to CANDLE_DEVICE or the host's."""
    global _default
    _default = None if device is None else resolve(device)


def get_default_device() -> Device:
    return _current().device


class placed:
    """Within it tensors are made on a backend where none is named, in this thread."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def __enter__(self) -> None:
        if not hasattr(_local, "stack"):
            _local.stack = []
        _local.stack.append(self.backend)

    def __exit__(self, *_: Any) -> None:
        _local.stack.pop()


class device:
    """A device by name.  As a context manager it is where tensors are made within, in this thread."""

    def __init__(self, name: Any, index: int | None = None) -> None:
        self._device = Device(*_parse(name, index))
        self.type, self.index = self._device

    def __str__(self) -> str:
        return str(self._device)

    def __repr__(self) -> str:
        return repr(self._device)

    def __eq__(self, other: Any) -> bool:
        return str(self) == str(other)

    def __hash__(self) -> int:
        return hash(self._device)

    def __enter__(self) -> device:
        self._placed = placed(resolve(str(self)))
        self._placed.__enter__()
        return self

    def __exit__(self, *e: Any) -> None:
        self._placed.__exit__(*e)


def _parse(name: Any, index: int | None) -> tuple[str, int | None]:
    kind, colon, digits = str(name).partition(":")
    if not kind.isidentifier() or (colon and not digits.isdigit()):
        raise DeviceError(f"a device is a name such as 'numpy' or 'cuda:0' but {name!r} was given")
    return kind, int(digits) if colon else index


def get_num_threads() -> int:
    """How many threads the host's device shares a kernel's work between; 1 where it does not say."""
    return int(getattr(resolve(host()), "threads", 1))


def set_num_threads(n: int) -> None:
    """Have the devices of this process's memory share a kernel's work between ``n`` threads, those made later too.

    Before the first tensor is made, the variable CANDLE_NUM_THREADS says the same.  Raises DeviceError for less than one.
    """
    if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= 256:
        raise DeviceError(f"the number of threads is from 1 to 256 but {n!r} was given")
    os.environ["CANDLE_NUM_THREADS"] = str(n)
    with _lock:
        for made in {id(b): b for b in _made.values()}.values():
            if hasattr(type(made), "threads"):
                made.threads = n  # type: ignore[attr-defined]


def synchronize(device: Any = None) -> None:
    """Wait until a device has done all it was given."""
    resolve(device).synchronize()
