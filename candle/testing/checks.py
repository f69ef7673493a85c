"""One op on one device in one case: what each level asks of it."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, NamedTuple, Sequence

import numpy as np

from .. import dtype as dt
from ..backend import Backend, Reference
from ..compile import compile as compile_function
from ..errors import CaptureError, GradientError, KernelError
from ..grad import grad
from ..op import Op, Spec, freeze
from ..tensor import Tensor, enable_grad, no_grad, run
from .compare import compared, differs, flushed
from .draw import Case, Draw, Unsuitable, sample
from .place import layout_for, place, put, spread

_reference: list[Reference] = []


def reference() -> Reference:
    """The pristine reference, apart from any device of that name."""
    if not _reference:
        _reference.append(Reference())
    return _reference[0]


class Subject(NamedTuple):
    """What is checked: an op on a device, against the same op of the table on the reference."""

    op: Op
    pristine: Op
    backend: Backend


class Drawn(NamedTuple):
    arrays: list[Any]
    attrs: dict[str, Any]
    layouts: list[str]
    draw: Draw

    def __str__(self) -> str:
        given = [
            f"{dt.as_dtype(x.dtype)}{list(x.shape)} {w}" if x is not None else "None" for x, w in zip(self.arrays, self.layouts)
        ]
        return ", ".join([*given, *[f"{k}={v!r}" for k, v in self.attrs.items()]])


_SPREADS = ("elementwise", "reduce", "linear", "neural", "conv", "pool", "loss", "movement", "resize")


def draw(op: Op, case: Case, contents: int = 0, choose: Callable[[int, int], int] | None = None) -> Drawn:
    """The operands of a case and how they lie."""
    d = Draw(op, case, contents, choose)
    arrays, attrs = sample(op, d)
    layouts = []
    for at, x in enumerate(arrays):
        if x is None:
            layouts.append("plain")
            continue
        layout = layout_for(d, at, x)
        if layout == "expanded":
            if op.group in _SPREADS and x.dtype.kind in "fcV" and x.size > 1 and dt.as_dtype(x.dtype).kind != "q":
                arrays[at] = spread(d, x)
            else:
                layout = "offset"
        layouts.append(layout)
    return Drawn(arrays, attrs, layouts, d)


def _drawn(s: Subject, case: Case, contents: int = 0, choose: Callable[[int, int], int] | None = None) -> Drawn:
    """The same for a device: without subnormal numbers where it counts them as zeros."""
    x = draw(s.pristine, case, contents, choose)
    if s.backend.subnormals or s.pristine.group == "movement":
        return x
    return x._replace(arrays=[None if v is None else flushed(v) for v in x.arrays])


def _results(s: Subject, got: Tensor, want: Tensor) -> tuple[Any, Any]:
    """The data of a result and of the reference's, as they are to be compared."""
    a, b = np.asarray(_got(got)), _got(want)
    return (a, b) if s.backend.subnormals or s.pristine.group == "movement" else (flushed(a), flushed(b))


def call(op: Op, operands: Sequence[Any], attrs: dict[str, Any], backend: Backend) -> tuple[Tensor, ...]:
    """Call an op as a user does, on a device; the results as a tuple, or what is determined of them."""
    bound, named = op.bind(list(operands), dict(attrs))
    made = run(op, bound, named, backend if not any(isinstance(x, Tensor) for x in bound) else None)
    made = tuple(made) if isinstance(made, (tuple, list)) else (made,)
    if op.unique is None:
        return made
    return tuple(op.unique(made, *bound, **_complete(op, [None if x is None else x.spec for x in bound], named)))


def _got(y: Tensor) -> Any:
    return y.backend.get(y.value)


def _stores(backend: Backend, arrays: Sequence[Any], outs: Sequence[Tensor]) -> bool:
    found = [dt.as_dtype(x.dtype) for x in arrays if x is not None] + [y.dtype for y in outs]
    return all(d in backend.dtypes for d in found)


def _expected(s: Subject, x: Drawn) -> tuple[Tensor, ...]:
    """What the reference gives; Unsuitable where it refuses the operands."""
    base = reference()
    try:
        specs = [v if v is None else Spec.of(v) for v in x.arrays]
        if sum([o.size for o in _inferred(s.pristine, specs, x.attrs)]) > 1 << 20:
            raise Unsuitable("the result is too large")
        with no_grad():
            return call(s.pristine, [v if v is None else put(base, v) for v in x.arrays], x.attrs, base)
    except Unsuitable:
        raise
    except Exception as e:
        raise Unsuitable(f"{type(e).__name__}: {e}") from e


def _unbroken(op: Op, x: Drawn) -> bool:
    """A NaN or infinity made an integer is whatever the machine makes of it."""
    return (
        op.name != "cast"
        or (dt.as_dtype(x.attrs["dtype"]).kind not in "iu" and "int" not in dt.as_dtype(x.attrs["dtype"]).name)
        or _fits(x.arrays[0], dt.as_dtype(x.attrs["dtype"]))
    )


def _fits(x: Any, to: Any) -> bool:
    if x.dtype.kind in "biu":
        return True
    limits = dt.iinfo(to)
    with np.errstate(all="ignore"):
        real = x.real.astype(np.float64)
        return bool(np.isfinite(real).all() and (real > float(limits.min) - 1).all() and (real < float(limits.max)).all())


# -- the level of ops ------------------------------------------------------------------------------


def check_ops(s: Subject, case: Case, choose: Callable[[int, int], int] | None = None) -> str | None:
    """The op's results against the reference's: values, spec and data; operands left alone, no memory of earlier calls."""
    x = _drawn(s, case, choose=choose)
    if not _unbroken(s.pristine, x):
        raise Unsuitable("numbers that the integer dtype does not hold")
    want = _expected(s, x)
    if not _stores(s.backend, x.arrays, want):
        raise Unsuitable("a dtype that the device does not store")
    kept: list[tuple[Any, Any]] = []
    fault = _once(s, x, want, kept)
    if fault is None and case.number % 4 == 3 and case.flavour != "huge" and case.choices is None:
        other = _drawn(s, case, contents=1)
        if _unbroken(s.pristine, other) and [v is not None and v.shape for v in other.arrays] == [
            v is not None and v.shape for v in x.arrays
        ]:
            try:
                wanted = _expected(s, other)
            except Unsuitable:
                return None
            fault = _once(s, other, wanted)
            if fault is None and any(compared(np.asarray(_got(y)), data, 0.0, 0.0) for y, data in kept):
                fault = "an earlier call's result changed"
            fault = fault and f"{fault} (after a call with other contents of the same shapes)"
    return fault and f"{fault}\n  given {_shown(x)}"


def _shown(x: Drawn) -> str:
    text = str(x)
    if sum([v.size for v in x.arrays if v is not None]) <= 48:
        for v in x.arrays:
            if v is not None:
                text += "\n  " + np.array2string(v, threshold=64, max_line_width=110).replace("\n", "\n  ")
    return text


def _once(s: Subject, x: Drawn, want: Sequence[Tensor], kept: list[tuple[Any, Any]] | None = None) -> str | None:
    """What is wrong with the results of two calls with the same operands; the first ones are kept for later."""
    operands = [None if v is None else place(s.backend, v, w) for v, w in zip(x.arrays, x.layouts)]
    for at, (t, v) in enumerate(zip(operands, x.arrays)):
        if t is not None and (fault := compared(np.asarray(_got(t)), v, 0.0, 0.0)):
            return f"operand {at} does not arrive as it was put there ({x.layouts[at]}): {fault}"
    specs = [None if t is None else t.spec for t in operands]
    first: list[Any] = []
    for again in (False, True):
        try:
            with no_grad():
                got = call(s.op, operands, x.attrs, s.backend)
        except KernelError:
            raise
        except Exception as e:
            return f"it raised {type(e).__name__}: {e}{' when called again' if again else ''}"
        if len(got) != len(want):
            return f"it gave {len(got)} results but should give {len(want)}"
        for n, (y, w) in enumerate(zip(got, want)):
            which = f"result {n}: " if len(want) > 1 else ""
            if y.spec is not w.spec:
                return f"{which}it is {y.spec} but should be {w.spec}"
            data = np.asarray(_got(y))
            if again:
                fault = compared(data, first[n], 0.0, 0.0) if w.dtype.kind in "biu" or s.pristine.group == "movement" else None
                if fault:
                    return f"{which}a second call gives something else: {fault}"
            else:
                first.append(data.copy())
                if kept is not None:
                    kept.append((y, first[-1]))
            with contextlib.suppress(TypeError):
                if data.flags.writeable and y.spec.size and _aliases(data, operands):
                    return f"{which}it is a writable view of an operand"
            ours, theirs = _results(s, y, w)
            fault = differs(s.pristine, specs, _complete(s.pristine, specs, x.attrs), w.spec, ours, theirs, x.arrays)
            if fault:
                return f"{which}{fault}{' (when called a second time)' if again else ''}"
        for n, (t, v) in enumerate(zip(operands, x.arrays)):
            if t is not None and compared(np.asarray(_got(t)), v, 0.0, 0.0):
                return f"operand {n} was written over"
        if x.draw.case.flavour == "huge":
            break
    return None


def _aliases(data: np.ndarray[Any, Any], operands: Sequence[Any]) -> bool:
    """Whether a result that can be written to shares memory with an operand that cannot."""
    for t in operands:
        held = None if t is None else np.asarray(_got(t))
        if held is not None and not held.flags.writeable and np.may_share_memory(data, held):
            return True
    return False


def _promoted(op: Op, specs: Sequence[Spec | None]) -> list[Spec | None]:
    return [s if s is None or t is None else Spec(s.shape, t) for s, t in zip(specs, op.promote(specs))]


def _complete(op: Op, specs: Sequence[Spec | None], attrs: dict[str, Any]) -> dict[str, Any]:
    return op.complete(_promoted(op, specs), {k: freeze(v) for k, v in attrs.items()})


def _inferred(op: Op, specs: Sequence[Spec | None], attrs: dict[str, Any]) -> tuple[Spec, ...]:
    if op.dynamic:
        return ()
    return op.infer(_promoted(op, specs), _complete(op, specs, attrs))


# -- the level of gradients ------------------------------------------------------------------------


def differentiable(op: Op) -> bool:
    """Whether the op may have a gradient: some operand and some result are floats."""
    if op.dynamic or not op.inputs:
        return False
    if op.vjp is None and not op.composite and op.expand is None:
        return False
    return any(d.kind in "fc" for i in op.inputs for d in op.types.get(i.letter, ()))


def gradient_cases(op: Op, examples: int = 24, seed: int = 0) -> list[Case]:
    """The cases in which gradients are tried: mostly in float64, and with ties, for it is there that gradients go wrong."""
    admitted = {d.name for t in op.types.values() for d in t}
    rows: list[tuple[str, str, str, int]] = []
    shapes = ("plain", "ones", "odd", "equal", "plain", "high", "ones", "zero", "scalar", "plain", "equal", "odd")
    for n, flavour in enumerate(shapes):
        rows.append((flavour, ("normal", "normal", "ties", "normal", "ties", "normal")[n % 6], "float64", 0))
    rows += [
        ("cube", "normal", "float64", 0),
        ("cube", "ties", "float64", 0),
        ("high", "ties", "float64", 0),
        ("high", "normal", "float64", 0),
    ]
    rows += [("plain", "special", "float64", 0), ("odd", "special", "float64", 0), ("equal", "ties", "float64", 0)]
    rows += [(f, "normal", "float32", 0) for f in ("plain", "odd", "ones", "zero")]
    rows += [("odd", "ties", "float32", 0), ("ones", "ties", "float64", 0), ("plain", "large", "float64", 0)]
    rows += [("plain", "normal", d, 0) for d in ("float16", "bfloat16", "complex64", "complex128") if d in admitted]
    rows += [("odd", "ties", d, 0) for d in ("float16", "bfloat16", "complex128") if d in admitted]
    rows += [
        ("long", "normal" if n % 2 else "ties", "float64", z) for n, z in enumerate((8, 9, 17, 32, 33, 64, 65, 129, 257, 1025))
    ]
    rows += [("row", c, "float64", 65) for c in ("special", "ties", "special", "large")]
    rows += [(shapes[n % 12], ("normal", "ties", "tiny")[n % 3], "float64", 0) for n in range(examples)]
    return [Case(n, flavour=f, content=c, dtype=d, kind=n, size=z, seed=seed + 1) for n, (f, c, d, z) in enumerate(rows)]


_BOUND = {f"linalg_{n}" for n in ("cholesky", "eigh", "eigvalsh", "pinv")}


class _Pulled(NamedTuple):
    outs: list[Any]
    first: list[Any]  # gradients of the operands
    second: list[Any]  # gradients of a sum over the first ones


def _pull(
    op: Op, x: Drawn, seeds: list[Any], backend: Backend, wants: Sequence[bool], second: bool, how: Sequence[str]
) -> _Pulled:
    operands = [None if v is None else place(backend, v, w) for v, w in zip(x.arrays, how)]
    tracked = []
    for t, w in zip(operands, wants):
        if t is not None and w:
            t = Tensor(t.value, t.spec, t.backend).requires_grad_()
            tracked.append(t)
    at = iter(tracked)
    operands = [next(at) if t is not None and w else t for t, w in zip(operands, wants)]
    with enable_grad():
        ys = call(op, operands, x.attrs, backend)
        kept = [(y, g) for y, g in zip(ys, seeds) if y.node is not None and g is not None]
        if not kept:
            return _Pulled([], [None] * len(tracked), [])
        gs = [put(backend, g).requires_grad_() for _, g in kept]
        found = grad([y for y, _ in kept], tracked, gs, create_graph=second, retain_graph=True, allow_unused=True)
        more: list[Any] = []
        if second:
            total = None
            for n, d in enumerate(found):
                if d is not None and d.node is not None and d.dtype.kind in "fc":
                    weight = put(backend, _weights(d.shape, d.dtype, n))
                    part = (d * weight).sum()
                    part = part.real if part.dtype.kind == "c" else part
                    part = part.to(dtype="float64")
                    total = part if total is None else total + part
            if total is not None and total.node is not None:
                more = list(grad(total, [*tracked, *gs], allow_unused=True))
    return _Pulled([y for y, _ in kept], list(found), more)


def _weights(shape: Sequence[int], dtype: Any, seed: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng([seed, 77])
    return (rng.random(tuple(shape)) + 0.5).astype(dtype.numpy)


def check_gradients(s: Subject, case: Case, choose: Callable[[int, int], int] | None = None) -> str | None:
    """The device's gradients, first and second, against the reference's and against finite differences."""
    x = _drawn(s, case, choose=choose)
    able = [v is not None and v.dtype.kind in "fcV" and dt.as_dtype(v.dtype).kind in "fc" for v in x.arrays]
    if not any(able):
        raise Unsuitable("no operand is a float")
    wants = list(able)
    if sum(able) > 1 and case.number % 5 == 4:
        only = [n for n, a in enumerate(able) if a][case.number // 5 % sum(able)]
        wants = [n == only for n in range(len(able))]
    ys = _expected(s, x)
    if not _stores(s.backend, x.arrays, ys):
        raise Unsuitable("a dtype that the device does not store")
    rng = np.random.default_rng([case.number, 5])
    seeds = [_seed(rng, y, case) for y in ys]
    second = case.content not in ("special", "large") and case.size < 200
    plain = ["plain"] * len(x.layouts)
    try:
        want = _pull(s.pristine, x, seeds, reference(), wants, second, plain)
    except Exception as e:
        second = False
        try:
            want = _pull(s.pristine, x, seeds, reference(), wants, second, plain)
        except Exception:
            raise Unsuitable(f"the reference has no gradient here: {e}") from e
    if not want.outs:
        raise Unsuitable("no result is tracked")
    try:
        got = _pull(s.op, x, seeds, s.backend, wants, second, x.layouts)
    except KernelError:
        raise
    except GradientError as e:
        return f"the gradient raised GradientError: {e}\n  given {_shown(x)}"
    except Exception as e:
        return f"the gradient raised {type(e).__name__}: {e}\n  given {_shown(x)}"
    values = [v for v in x.arrays if v is not None]
    for what, ours, theirs in (("gradient", got.first, want.first), ("second gradient", got.second, want.second)):
        loose = 1.0 if what == "gradient" else 16.0
        if len(ours) != len(theirs):
            return f"the {what} of no operand is tracked, but it should be\n  given {_shown(x)}"
        for n, (a, b) in enumerate(zip(ours, theirs)):
            fault = _gradient_differs(s.pristine, a, b, values, loose)
            if fault:
                return f"{what} {n}: {fault}\n  given {_shown(x)}"
    # where elements are equal there may be a kink; a symmetric operand must stay symmetric; a basis is not unique
    smooth = case.content == "normal" and "expanded" not in x.layouts and s.pristine.name not in _BOUND
    if smooth and all(v.dtype == np.float64 for v, w in zip(x.arrays, wants) if w):
        fault = _finite_difference(s, x, seeds, wants, got)
        if fault:
            return f"{fault}\n  given {_shown(x)}"
    return None


def _seed(rng: np.random.Generator, y: Tensor, case: Case) -> Any:
    if y.dtype.kind not in "fc":
        return None
    g = rng.random(y.shape) * 2 - 1 if case.number % 7 != 6 else np.ones(y.shape)
    if y.dtype.kind == "c":
        g = g + 1j * (rng.random(y.shape) * 2 - 1)
    return np.asarray(g).astype(y.dtype.numpy)


def _gradient_differs(op: Op, got: Any, want: Any, operands: Sequence[Any], loose: float) -> str | None:
    if want is None or got is None:
        some, none = (want, got) if got is None else (got, want)
        if some is none or not np.any(np.nan_to_num(np.asarray(_got(some)).astype(np.complex128))):
            return None
        return "there is none, but there should be" if got is None else "there is one, but there should be none"
    if got.spec is not want.spec:
        return f"it is {got.spec} but should be {want.spec}"
    a, b = np.asarray(_got(got)), np.asarray(_got(want))
    if b.dtype.kind not in "fc" and dt.as_dtype(b.dtype).kind not in "fc":
        return compared(a, b, 0.0, 0.0)
    kind = dt.real_of(want.dtype)
    eps = float(dt.finfo(kind).eps)
    alone = op.group == "elementwise" and len({v.shape for v in operands}) == 1  # each element has its own gradient
    terms = 1 if alone else max([1, *[v.size for v in operands]])
    part = eps * loose * max(op.roundings, 8.0) * (4 if kind.itemsize == 2 else 8) * min(terms, 4096) ** 0.5
    finite = np.abs(b.astype(np.complex128 if b.dtype.kind == "c" else np.float64))
    finite = finite[np.isfinite(finite)]
    return compared(a, b, part, part * float(finite.max(initial=0.0)) + eps * 16 * loose)


def _finite_difference(s: Subject, x: Drawn, seeds: Sequence[Any], wants: Sequence[bool], got: _Pulled) -> str | None:
    """The change along a direction against the gradient's word on it, where the function is smooth there."""
    if sum([v.size for v in x.arrays if v is not None]) > 4000 or any(g is not None and g.dtype.itemsize < 8 for g in seeds):
        return None
    rng = np.random.default_rng(3)
    directions = [rng.random(v.shape) * 2 - 1 if w else None for v, w in zip(x.arrays, wants)]

    def along(h: float) -> float:
        moved = [v if d is None else v + h * d for v, d in zip(x.arrays, directions)]
        ys = _expected(s, x._replace(arrays=moved))
        return float(sum([np.sum((np.asarray(_got(y)) * np.conj(g)).real) for y, g in zip(ys, seeds) if g is not None]))

    try:
        steps = (2e-5, 1e-5, 5e-6)
        slopes = [(along(h) - along(-h)) / (2 * h) for h in steps]
        sides = [(along(steps[2]) - along(0.0)) / steps[2], (along(0.0) - along(-steps[2])) / steps[2]]
    except Unsuitable:
        return None
    told = 0.0
    largest = 1.0
    for g, d in zip(got.first, [d for d in directions if d is not None]):
        if g is not None:
            part = (np.conj(np.asarray(_got(g))) * d).real
            told += float(part.sum())
            largest = max(largest, float(np.abs(part).sum()))
    spread_ = max(slopes) - min(slopes) + abs(sides[0] - sides[1])
    if not np.isfinite([told, *slopes, *sides]).all() or spread_ > 1e-3 * largest:
        return None  # a kink, or a pole, near by
    if abs(told - slopes[1]) > 2e-4 * largest + 4 * spread_:
        return f"gradient: along a direction it says {told:.9g} but finite differences give {slopes[1]:.9g}"
    return None


# -- the level of compiled functions ---------------------------------------------------------------


def check_compiled(s: Subject, case: Case, choose: Callable[[int, int], int] | None = None) -> str | None:
    """The op captured and compiled for the device gives what it gives eagerly, for other contents too."""
    x = _drawn(s, case, choose=choose)
    if not _unbroken(s.pristine, x):
        raise Unsuitable("numbers that the integer dtype does not hold")
    want = _expected(s, x)
    if not _stores(s.backend, x.arrays, want):
        raise Unsuitable("a dtype that the device does not store")
    places = [n for n, v in enumerate(x.arrays) if v is not None]

    def body(*tensors: Any) -> Any:
        given: list[Any] = [None] * len(x.arrays)
        for n, t in zip(places, tensors):
            given[n] = t
        return call(s.op, given, x.attrs, s.backend)

    if not places:
        raise Unsuitable("there is no operand to compile for")
    compiled = compile_function(body)
    given = [x]
    other = _drawn(s, case, contents=1) if case.choices is None and choose is None else x
    if [v is not None and v.shape for v in other.arrays] == [v is not None and v.shape for v in x.arrays] and _unbroken(
        s.pristine, other
    ):
        given.append(other)
    for one in given:
        operands = [place(s.backend, v, w) for v, w in zip(one.arrays, one.layouts) if v is not None]
        try:
            with no_grad():
                got = compiled(*operands)
        except CaptureError as e:
            if s.pristine.dynamic:
                return None
            raise Unsuitable(f"it cannot be captured: {e}") from e
        except KernelError:
            raise
        except Exception as e:
            return f"compiled, it raised {type(e).__name__}: {e}\n  given {_shown(one)}"
        if s.pristine.dynamic:
            return "its shape depends on values, yet it was captured without an error"
        try:
            wanted = _expected(s, one)
        except Unsuitable:
            continue
        specs = [None if v is None else Spec.of(v) for v in one.arrays]
        for n, (y, w) in enumerate(zip(got, wanted)):
            if y.spec is not w.spec:
                return f"compiled, result {n} is {y.spec} but should be {w.spec}"
            ours, theirs = _results(s, y, w)
            fault = differs(s.pristine, specs, _complete(s.pristine, specs, one.attrs), w.spec, ours, theirs, one.arrays)
            if fault:
                return f"compiled, result {n}: {fault}\n  given {_shown(one)}"
    return None
