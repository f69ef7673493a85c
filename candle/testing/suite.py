"""The suite as a function and as a class for pytest."""

from __future__ import annotations

import time
import zlib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Callable, ClassVar, Sequence

from ..backend import Backend
from ..device import resolve
from ..errors import CandleError, KernelError
from ..op import OPS, Op
from .checks import Subject, check_compiled, check_gradients, check_ops, differentiable, draw, gradient_cases
from .draw import Case, Unsuitable, cases
from .levels import check_quantised, models, quantised_cases, quantised_dtypes, quantised_ops, storage
from .report import FAIL, PASS, SKIP, XFAIL, XPASS, Gaps, Report, Result

LEVELS = ("storage", "ops", "gradients", "quantised", "compiled", "models")
EXAMPLES = 24

_CHECKS: dict[str, Callable[..., str | None]] = {
    "ops": check_ops, "gradients": check_gradients, "compiled": check_compiled, "quantised": check_quantised,
}  # fmt: skip


def level_cases(level: str, op: Op, examples: int = EXAMPLES, seed: int = 0) -> list[Case]:
    """The cases of an op at a level."""
    if level == "gradients":
        return gradient_cases(op, examples, seed) if differentiable(op) else []
    if level == "quantised":
        return quantised_cases(op, examples, seed)
    if level == "compiled":
        return cases(op, examples, seed)[:36:3] if op.inputs else []
    return cases(op, examples, seed)


def run_case(device: Any, op: str | Op, level: str, case: Case, pristine: Op | None = None) -> None:
    """Check one op in one case; raises AssertionError with what is wrong."""
    op = OPS[op] if isinstance(op, str) else op
    fault = _CHECKS[level](Subject(op, pristine or OPS.get(op.name, op), resolve(device)), case)
    if fault:
        raise AssertionError(f"{op.name}: {fault}")


def check_gradient(op: Op, pristine: Op, device: Any = "numpy", examples: int = EXAMPLES, seed: int = 0) -> str | None:
    """What is wrong with an op's gradient, compared with another declaration of the op and with finite differences."""
    for case in gradient_cases(pristine, examples, seed):
        try:
            fault = check_gradients(Subject(op, pristine, resolve(device)), case)
        except Unsuitable:
            continue
        if fault:
            return f"{case}: {fault}"
    return None


def chosen(found: Sequence[Case], most: int | None, op: Op) -> Sequence[Case]:
    """At most so many cases of an op, spread evenly over all; which they are differs from op to op."""
    if most is None or len(found) <= most:
        return found
    step = len(found) / most
    begin = zlib.crc32(op.name.encode()) % 97 / 97
    return [found[int((n + begin) * step)] for n in range(most)]


# -- one op at one level ---------------------------------------------------------------------------


def _code(device: str, op: str, level: str, case: Case) -> str:
    given = {k: v for k, v in case._asdict().items() if v != Case._field_defaults.get(k, object())}
    text = ", ".join(f"{k}={v!r}" for k, v in given.items())
    try:
        said = f"{op}({draw(OPS[op], case)})"
    except Exception as e:
        said = f"{op}: {e}"
    said = said.replace("\n", " ")
    said = said if len(said) < 200 else said[:197] + "..."
    return (
        f"import candle\nfrom candle.testing import Case, run_case\n# {said}\ncase = Case({text})\n"
        f"run_case({device!r}, {op!r}, {level!r}, case)  # raises AssertionError"
    )


def check_op(
    device: Any,
    op: Op,
    level: str,
    examples: int = EXAMPLES,
    seed: int = 0,
    shrink: bool = True,
    listed: Sequence[Case] | None = None,
    most: int | None = None,
) -> Result:
    """Try an op's cases at a level, up to the first that fails; that one is made as small as Hypothesis can.

    ``most`` is how many cases are tried where there are more.
    """
    backend = resolve(device)
    subject = Subject(op, OPS.get(op.name, op), backend)
    check = _CHECKS[level]
    began = time.perf_counter()
    tried = 0
    why = "not applicable"
    refused = 0
    found = chosen(level_cases(level, op, examples, seed) if listed is None else listed, most, op)
    for case in found:
        try:
            fault = check(subject, case)
        except Unsuitable as e:
            why = str(e)
            continue
        except KernelError as e:
            why = str(e)
            refused += 1
            if op.required:
                return Result(
                    op.name, level, FAIL, time.perf_counter() - began, tried, why, _code(str(device), op.name, level, case)
                )
            if refused > 2 and not tried:
                break
            continue
        tried += 1
        if fault:
            small, said = _shrunk(subject, check, case, fault) if shrink else (case, fault)
            return Result(
                op.name, level, FAIL, time.perf_counter() - began, tried, said, _code(str(device), op.name, level, small)
            )
    took = time.perf_counter() - began
    return Result(op.name, level, PASS, took, tried) if tried else Result(op.name, level, SKIP, took, 0, why)


def _shrunk(subject: Subject, check: Callable[..., str | None], case: Case, fault: str, most: int = 150) -> tuple[Case, str]:
    """The smallest failing case that Hypothesis finds among those of the same kind."""
    try:
        from hypothesis import HealthCheck, Phase, given, settings
        from hypothesis import strategies as st
    except ModuleNotFoundError:
        return case, fault
    best: list[tuple[Case, str]] = [(case, fault)]
    kinds = [case] if case.flavour in ("plain", "scalar") else [case._replace(flavour="plain"), case]
    for kind in kinds:

        @settings(
            max_examples=most, derandomize=True, deadline=None, database=None, phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
        )  # fmt: skip
        @given(st.data())
        def tries(data: Any, kind: Case = kind) -> None:
            made: list[int] = []

            def choose(lo: int, hi: int) -> int:
                made.append(data.draw(st.integers(lo, hi)))
                return made[-1]

            said = None
            try:
                said = check(subject, kind, choose=choose)
            except (Unsuitable, KernelError):
                return
            if said:
                best[0] = kind._replace(choices=tuple(made)), said
                raise AssertionError(said)

        before = best[0]
        try:
            tries()
        except AssertionError:
            if _repeats(subject, check, best[0][0]):
                return best[0]
            best[0] = before
        except Exception:
            best[0] = before
    return best[0]


def _repeats(subject: Subject, check: Callable[..., str | None], case: Case) -> bool:
    try:
        return check(subject, case) is not None
    except Exception:
        return False


# -- the suite as a function -----------------------------------------------------------------------


def _wanted(patterns: Any) -> Callable[[str], bool]:
    if patterns is None:
        return lambda name: True
    given: list[Any] = [patterns] if isinstance(patterns, (str, Op)) else list(patterns)
    listed: list[str] = [p.name if isinstance(p, Op) else p for p in given]
    unknown = [p for p in listed if not any(fnmatchcase(n, p) for n in OPS)]
    if unknown:
        raise CandleError(f"there is no op called {', '.join(unknown)}; `candle ops` lists them")
    return lambda name: any(fnmatchcase(name, p) for p in listed)


def _levels(levels: Any) -> tuple[str, ...]:
    listed = LEVELS if levels is None else (levels,) if isinstance(levels, str) else tuple(levels)
    unknown = [lv for lv in listed if lv not in LEVELS]
    if unknown:
        raise CandleError(f"there is no level called {', '.join(unknown)}; the levels are {', '.join(LEVELS)}")
    return listed


def _whole(backend: Backend, level: str, name: str) -> Result:
    """A check of the levels that are not about one op."""
    began = time.perf_counter()
    check = (storage if level == "storage" else models)(backend)[name]
    try:
        fault = check(backend)
    except KernelError as e:
        return Result(name, level, SKIP, time.perf_counter() - began, 0, str(e))
    except Exception as e:
        fault = f"it raised {type(e).__name__}: {e}"
    return Result(name, level, FAIL if fault else PASS, time.perf_counter() - began, 1, fault or "")


def _judged(result: Result, gaps: Gaps) -> Result:
    """A failure that is a known gap, or a gap that has closed."""
    reason = gaps.reason(result.op, result.level)
    if reason is not None:
        if result.status == PASS:
            result.status, result.message = XPASS, f"it passes, but is a known gap: {reason}"
        elif result.status in (FAIL, SKIP) and (result.status == FAIL or "no kernel" in result.message):
            result.status, result.message = XFAIL, f"{reason} ({result.message.splitlines()[0]})"
    return result


def check(
    device: Any,
    levels: Sequence[str] | str | None = None,
    ops: Sequence[str] | str | None = None,
    examples: int | None = None,
    seed: int = 0,
    xfail: Any = None,
    most: int | None = None,
) -> Report:
    """Check a device.

    ``levels`` are some of LEVELS; ``ops`` patterns such as ``"conv*"``; ``examples`` how many cases of each op are drawn beside
    those that every op is tried with; ``most`` how many cases of each are tried at all, where there are more (for backends that
    compile each anew); ``xfail`` a file (or a dict) of known gaps.  Raises CandleError for unknown names.
    """
    backend, gaps, wanted = resolve(device), Gaps(xfail), _wanted(ops)
    n = EXAMPLES if examples is None else examples
    began = time.perf_counter()
    report = Report(str(device), examples=n, seed=seed)
    for level in _levels(levels):
        if level in ("storage", "models"):
            if level == "storage" or ops is None:
                for name in (storage if level == "storage" else models)(backend):
                    report.results.append(_judged(_whole(backend, level, name), gaps))
            continue
        if level == "quantised":
            report.results += [_judged(r, gaps) for r in _quantised(device, wanted, n, seed)]
            continue
        for op in list(OPS.values()):
            if wanted(op.name) and (level != "gradients" or differentiable(op)):
                report.results.append(_judged(check_op(device, op, level, n, seed, most=most), gaps))
    kernels = backend.kernels
    report.expands = [o.name for o in OPS.values() if o.name not in kernels and (o.composite or o.expand is not None)]
    report.lacks = [o.name for o in OPS.values() if o.name not in kernels and not o.composite and o.expand is None]
    report.seconds = time.perf_counter() - began
    return report


def _quantised(device: Any, wanted: Callable[[str], bool], examples: int, seed: int) -> list[Result]:
    if not quantised_dtypes():
        return [Result("quantised", "quantised", SKIP, message="not applicable: no quantised dtype is registered")]
    return [check_op(device, op, "quantised", examples, seed) for op, _ in quantised_ops() if wanted(op.name)]


# -- the suite as a class --------------------------------------------------------------------------


class Conformance:
    """Derive a class from it, name the device, and pytest runs one test per op and level.

    ``xfail`` is a file of known gaps beside the test, ``levels``, ``ops``, ``examples`` and ``most`` are those of ``check``.
    """

    device: ClassVar[Any] = None
    levels: ClassVar[Sequence[str]] = LEVELS
    ops: ClassVar[Any] = None
    examples: ClassVar[int] = EXAMPLES
    seed: ClassVar[int] = 0
    most: ClassVar[int | None] = None
    xfail: ClassVar[Any] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.device is None:
            return
        import pytest

        pairs: list[tuple[str, str]] = []
        wanted = _wanted(cls.ops)
        for level in _levels(cls.levels):
            if level in ("storage", "models"):
                pairs.append((level, "*"))
            elif level == "quantised":
                pairs += [(level, op.name) for op, _ in quantised_ops() if wanted(op.name)] or [(level, "*")]
            else:
                pairs += [(level, o.name) for o in OPS.values() if wanted(o.name) and (level != "gradients" or differentiable(o))]

        def test(self: Conformance, level: str, op: str) -> None:
            self._run(level, op)

        test.__name__ = test.__qualname__ = "test"
        test.__module__ = cls.__module__
        cls.test = pytest.mark.parametrize(("level", "op"), pairs, ids=[f"{lv}-{o}" for lv, o in pairs])(test)  # type: ignore[attr-defined]

    def _gaps(self) -> Gaps:
        given = type(self).xfail
        if isinstance(given, (str, Path)) and not Path(given).is_absolute():
            import sys

            home = getattr(sys.modules.get(type(self).__module__), "__file__", None)
            beside = Path(home).parent / given if home else Path(given)
            given = beside if beside.is_file() else given
        return Gaps(given)

    def _run(self, level: str, name: str) -> None:
        import pytest

        backend, gaps = resolve(self.device), self._gaps()
        if level == "quantised" and name == "*":
            pytest.skip("not applicable: no quantised dtype is registered")
        if name == "*":
            results = [_whole(backend, level, n) for n in (storage if level == "storage" else models)(backend)]
        else:
            results = [check_op(self.device, OPS[name], level, self.examples, self.seed, most=self.most)]
        results = [_judged(r, gaps) for r in results]
        wrong = [r for r in results if r.status == FAIL]
        if wrong:
            pytest.fail("\n\n".join(map(str, wrong)), pytrace=False)
        closed = [r for r in results if r.status == XPASS]
        if closed:
            pytest.fail("\n".join(f"{r.op} {r.level}: {r.message}" for r in closed), pytrace=False)
        if any(r.status == XFAIL for r in results):
            pytest.xfail("; ".join(r.message for r in results if r.status == XFAIL))
        if all(r.status == SKIP for r in results):
            pytest.skip(results[0].message)
