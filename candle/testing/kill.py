"""The suite's own test: seeded bugs, one at a time, and which check finds each."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import signal
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple

from ..backend import Backend, Reference, blockwise, holds_blocks, reference_kernel
from ..errors import CandleError
from ..op import OPS, Op
from ..tensor import Tensor, no_grad
from .checks import Subject, check_compiled, check_gradients, check_ops, differentiable, gradient_cases, reference
from .draw import Case, Unsuitable, cases


class Seeded(Backend):
    """The reference with some of its kernels exchanged."""

    name = "seeded"
    dtypes = Reference.dtypes

    def __init__(self, kernels: Mapping[str, Any]) -> None:
        self.kernels = kernels

    def kernel(self, op: Op, out: Any, specs: Any, attrs: Mapping[str, Any]) -> Any:
        found = super().kernel(op, out, specs, attrs)
        return blockwise(op, found, specs, attrs) if found is not None and holds_blocks(op, specs) else found

    def put(self, array: Any) -> Any:
        return reference().put(array)

    def get(self, data: Any) -> Any:
        return data


def composite_kernel(op: Op) -> Callable[..., Any]:
    """A composite as one kernel: its expansion, run on the reference."""

    def kernel(out: Any, *datas: Any, **attrs: Any) -> Any:
        from ..op import Spec

        base = reference()
        xs = [None if x is None else Tensor(base.put(x), Spec.of(x), base) for x in datas]
        with no_grad():
            made = op.fn(*xs, **attrs)
        return tuple([m.value for m in made]) if op.multiple else made.value

    kernel.__name__ = op.name
    return kernel


def table() -> dict[str, Any]:
    """A kernel for every op: what a seeded bug is given."""
    return {op.name: composite_kernel(op) if op.composite else reference_kernel(op) for op in OPS.values()}


# -- reading bugs ----------------------------------------------------------------------------------


def load(path: Any) -> list[tuple[str, Any]]:
    """The bugs of a file: its list or dict ``BUGS``, or else its public functions."""
    path = Path(path)
    if not path.is_file():
        raise CandleError(f"there is no file {path}; --bugs takes a Python file whose functions seed one bug each")
    name = f"_seeded_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise CandleError(f"{path} cannot be imported as Python; --bugs takes a .py file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        with _as_they_were():
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as e:
        raise CandleError(f"{path} could not be imported: {type(e).__name__}: {e}") from e
    finally:
        sys.path.remove(str(path.parent))
    listed = next(
        (getattr(module, n) for n in ("BUGS", "bugs", "ALL") if isinstance(getattr(module, n, None), (list, tuple, dict))), None
    )
    if isinstance(listed, dict):
        return [(str(k), v) for k, v in listed.items()]
    if listed is not None:
        return [_titled(b, n) for n, b in enumerate(listed)]
    found = []
    for key, value in vars(module).items():
        if key.startswith("_") or not callable(value) or inspect.isclass(value) or inspect.ismodule(value):
            continue
        if isinstance(value, Op):
            if OPS.get(value.name) is not value:
                found.append((key, value))
        elif _own(value, name) and _takes_one(value):
            found.append((key, value))
    if not found:
        raise CandleError(f"{path} defines no public function; a seeded bug is a function of a table of kernels")
    return found


def _titled(bug: Any, at: int) -> tuple[str, Any]:
    if isinstance(bug, (tuple, list)) and len(bug) == 2 and isinstance(bug[0], str):
        return bug[0], bug[1]
    return getattr(bug, "__name__", None) or getattr(bug, "name", None) or f"bug {at}", bug


def _own(value: Any, module: str) -> bool:
    """Whether a function was made in that file, decorated or not."""
    if getattr(value, "__module__", module) == module or getattr(inspect.unwrap(value), "__module__", None) == module:
        return True
    return getattr(getattr(value, "func", None), "__module__", None) == module


def _takes_one(value: Any) -> bool:
    """Whether it can be called with the table of kernels alone; helpers that make bugs cannot, or say no kernels."""
    try:
        signature = inspect.signature(value)
        signature.bind({})
    except (TypeError, ValueError):
        return False
    return True


@contextlib.contextmanager
def _as_they_were() -> Iterator[None]:
    """Leave the table of ops as it was, whatever a bug does to it."""
    before = dict(OPS)
    try:
        yield
    finally:
        if list(OPS.items()) != list(before.items()):
            OPS.clear()
            OPS.update(before)


class Bug:
    """What a seeded bug makes of the table: a backend, and the ops that are not as they were.

    Raises CandleError where it makes no such thing, or breaks what no op has.
    """

    def __init__(self, name: str, bug: Any) -> None:
        self.name = name
        whole = table()
        given = dict(whole)
        with _as_they_were():
            before = dict(OPS)
            try:
                made = bug(given) if callable(bug) and not isinstance(bug, Op) else bug
            except (Exception, SystemExit) as e:
                raise CandleError(f"{type(e).__name__}: {e}") from e
            exchanged = [op for k, op in OPS.items() if before.get(k) is not op]
        self.ops: dict[str, Op] = {op.name: op for op in exchanged}
        kernels: Mapping[str, Any] = given
        self.helper = callable(made) and not isinstance(made, Op) and all(given.get(k) is v for k, v in whole.items())
        for part in self._parts(made):
            if isinstance(part, Op):
                self.ops[part.name] = part
            else:
                self.ops.update({v.name: v for v in part.values() if isinstance(v, Op)})
                broken = {k: v for k, v in part.items() if not isinstance(v, Op)}
                kernels = broken if len(broken) > len(whole) // 2 else {**kernels, **broken}
        unknown = sorted({*kernels, *self.ops} - {*OPS})
        self.changed = [k for k in OPS if k in kernels and kernels[k] is not whole[k]]
        lost = [k for k in whole if k not in kernels and k not in self.ops]
        if unknown and not self.changed and not self.ops:
            raise CandleError(f"it changes {', '.join(unknown)}, but there is no op of that name; `candle ops` lists them")
        self.kernels = {
            k: v for k, v in kernels.items() if k in OPS and v is not None and (not OPS[k].composite or k in self.changed)
        }
        for name_, op in self.ops.items():
            if op.fn is not OPS[name_].fn and name_ not in self.changed and not op.composite:
                self.kernels[name_] = reference_kernel(op)
        self.changed += [k for k in self.ops if k not in self.changed] + lost

    @staticmethod
    def _parts(made: Any) -> Iterator[Any]:
        if isinstance(made, (Op, Mapping)):
            yield made
        elif isinstance(made, Iterable) and not isinstance(made, str):
            values = list(made)
            if len(values) == 2 and isinstance(values[0], str) and callable(values[1]) and not isinstance(values[1], Op):
                yield {values[0]: values[1]}
            else:
                for part in values:
                    yield from Bug._parts(part)

    def subject(self, name: str) -> Subject:
        return Subject(self.ops.get(name, OPS[name]), OPS[name], Seeded(dict(self.kernels)))


# -- running ---------------------------------------------------------------------------------------

_users: dict[str, list[str]] = {}


def users(name: str) -> list[str]:
    """The composites whose expansion uses an op."""
    if not _users:
        for op in OPS.values():
            if op.composite:
                seen: set[str] = set()
                for case in cases(op, 0)[:3]:
                    _record(op, case, seen)
                for used in seen:
                    _users.setdefault(used, []).append(op.name)
        _users.setdefault("", [])
    return _users.get(name, [])


class _Recorder(Reference):
    seen: set[str]

    def kernel(self, op: Op, out: Any, specs: Any, attrs: Any) -> Any:
        self.seen.add(op.name)
        return super().kernel(op, out, specs, attrs)


def _record(op: Op, case: Case, seen: set[str]) -> None:
    from .checks import call, draw
    from .place import put

    backend = _Recorder()
    backend.seen = seen
    with contextlib.suppress(Exception), no_grad():
        x = draw(op, case)
        call(op, [v if v is None else put(backend, v) for v in x.arrays], x.attrs, backend)


def _own_checks(bug: Bug, name: str, examples: int, seed: int) -> Iterator[tuple[Callable[..., str | None], str, list[Case]]]:
    op = OPS[name]
    graded = [(check_gradients, "gradients", gradient_cases(op, examples, seed))] if differentiable(op) else []
    if name in bug.ops:
        yield from graded
    yield check_ops, "ops", cases(op, examples, seed)
    if name not in bug.ops:
        yield from graded


def _plan(bug: Bug, examples: int, seed: int) -> Iterator[tuple[int, str, str, Callable[..., str | None], list[Case]]]:
    """Which checks a bug is given to, the likeliest first: its op as every device is checked, then as a wider check does
    (other seeds, more examples), then the composites that use the op.  Each with which of these three it is."""
    for name in bug.changed:
        for check, level, listed in _own_checks(bug, name, examples, seed):
            yield 0, name, level, check, listed
        yield 0, name, "compiled", check_compiled, cases(OPS[name], examples, seed)[:36:3]
    for more in range(1, 4):
        for name in bug.changed:
            for check, level, listed in _own_checks(bug, name, 4 * examples, seed + more):
                yield 1, name, level, check, listed
    for name in bug.changed:
        if name not in bug.ops:
            for user in users(name):
                yield 2, user, "ops", check_ops, cases(OPS[user], 0, seed)


class Kill(NamedTuple):
    """What found a bug."""

    what: str
    late: bool  # only in a wider check than devices are given by default
    seconds: float


def kill(
    name: str, bug: Any, examples: int = 24, seed: int = 0, seconds: float = 40.0, limit: float = 30.0
) -> tuple[Kill | None, float]:
    """What found the bug (made by a function, or a Bug), or None; and how many seconds it took.

    The check of its own ops is always finished; ``seconds`` limit what comes after, ``limit`` each case.
    """
    began = time.perf_counter()
    seeded = bug if isinstance(bug, Bug) else Bug(name, bug)
    for stage, op, level, check, listed in _plan(seeded, examples, seed):
        subject = seeded.subject(op)
        for case in listed:
            try:
                with _limited(limit):
                    fault = check(subject, case)
            except Unsuitable:
                continue
            except (Exception, SystemExit, _TooLong) as e:
                fault = f"{type(e).__name__}: {e}"
            took = time.perf_counter() - began
            if fault:
                return Kill(f"{op} {level} {case}: {fault.splitlines()[0]}", stage > 0, took), took
            if took > seconds and stage:
                return None, took
    return None, time.perf_counter() - began


class _TooLong(BaseException):
    """A kernel that does not return; not an Exception, so that no check takes it for the kernel's own."""


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Interrupt what takes too long, where signals can do that: in the main thread of a POSIX system."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(*_: Any) -> None:
        raise _TooLong(f"it had not ended after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _made(path: Any) -> tuple[list[tuple[str, Bug]], dict[str, str]]:
    """The bugs of a file, and what in it makes none: helpers, or functions that fail."""
    found: list[tuple[str, Bug]] = []
    refused: dict[str, str] = {}
    for name, bug in load(path):
        try:
            made = Bug(name, bug)
        except CandleError as e:
            refused[name] = str(e)
            continue
        if made.helper:
            refused[name] = "it gives a function, not a table of kernels or an op"
        else:
            found.append((name, made))
    if not found:
        name, why = next(iter(refused.items()))
        raise CandleError(
            f"the seeded bug {name} of {path} could not be made: {why}; it is a function that takes a table of kernels and "
            f"returns it with one broken, or returns an op with one broken gradient"
        )
    return found, refused


def kill_rate(bugs: Any = None, examples: int | None = None, seed: int = 0, only: Any = None) -> dict[str, Any]:
    """Seed each bug in turn and see whether the suite finds it.

    ``bugs`` is a file, or several, of bugs to seed beside candle's own; ``only`` such files instead of them.
    """
    seeded: list[tuple[str, Any]] = []
    refused: dict[str, str] = {}
    if only is None:
        from ..seeded_bugs import BUGS

        seeded = [_titled(b, n) for n, b in enumerate(BUGS)]
    more = only if only is not None else bugs
    for path in [more] if isinstance(more, (str, Path)) else more or []:
        made, not_made = _made(path)
        seeded += made
        refused |= not_made
    kills: dict[str, str] = {}
    survivors: list[str] = []
    late: list[str] = []
    slow: dict[str, float] = {}
    began = time.perf_counter()
    for name, bug in seeded:
        title = name if name not in kills and name not in survivors else f"{name} ({len(kills) + len(survivors)})"
        found, took = kill(name, bug, 24 if examples is None else examples, seed)
        slow[title] = round(took, 2)
        if found is None:
            survivors.append(title)
        else:
            kills[title] = found.what
            if found.late:
                late.append(title)
    return {
        "seeded": len(seeded), "killed": len(kills), "survivors": survivors, "late": late, "kills": kills, "no bugs": refused,
        "seconds": round(time.perf_counter() - began, 1), "slowest": dict(sorted(slow.items(), key=lambda kv: -kv[1])[:5]),
    }  # fmt: skip
