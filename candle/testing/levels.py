"""The levels that are not about one op: storage, models, quantised dtypes."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator

import numpy as np

from .. import dtype as dt
from ..backend import Backend
from ..dtype import DType
from ..op import Spec
from ..tensor import Tensor, enable_grad
from .checks import Subject, check_ops, reference
from .compare import compared
from .draw import Case, cases
from .place import put

Check = Callable[[Backend], "str | None"]

# -- storage ---------------------------------------------------------------------------------------

_SHAPES: tuple[tuple[int, ...], ...] = ((), (0,), (1,), (5,), (2, 0, 3), (3, 4), (2, 3, 4, 5), (1, 2, 1, 3, 1, 2), (70001,))


def _array(shape: tuple[int, ...], dtype: DType) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(5)
    if dtype.kind == "c":
        return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(dtype.numpy)
    if dtype.kind in "biu" or "int" in dtype.name:
        low, high = (0, 1) if dtype.kind == "b" else (dt.iinfo(dtype).min, dt.iinfo(dtype).max)
        return rng.integers(max(low, -(2**62)), min(high, 2**62), shape, endpoint=True).astype(dtype.numpy)
    return np.abs(np.asarray(rng.standard_normal(shape))).astype(np.float32).astype(dtype.numpy)


def _round_trip(dtype: DType) -> Check:
    def check(backend: Backend) -> str | None:
        for shape in _SHAPES:
            x = _array(shape, dtype)
            fault = compared(np.asarray(backend.get(backend.put(x.copy()))), x, 0.0, 0.0)
            if fault:
                return f"{dtype}{list(shape)} does not come back as it was put: {fault}"
        return None

    return check


def _strided(backend: Backend) -> str | None:
    whole = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)
    views = {
        "transposed": whole.transpose(3, 1, 0, 2),
        "every other": whole[:, ::2, 1:, ::-1],
        "expanded": np.broadcast_to(whole[:1], whole.shape),
    }
    for name, x in views.items():
        fault = compared(np.asarray(backend.get(backend.put(x))), np.ascontiguousarray(x), 0.0, 0.0)
        if fault:
            return f"a view ({name}) does not come back as it was put: {fault}"
    swapped = whole.astype(whole.dtype.newbyteorder(">"))
    back = np.asarray(backend.get(backend.put(swapped)))
    return None if np.array_equal(back, whole) else "an array of the other byte order does not come back as it was put"


def _apart(backend: Backend) -> str | None:
    x = np.arange(6, dtype=np.float32)
    data = backend.put(x)
    x[:] = -1
    if not np.array_equal(np.asarray(backend.get(data)), np.arange(6)):
        return "the data changed when the array it was put from did"
    back = np.asarray(backend.get(data))
    if back.flags.writeable:
        t = Tensor(data, Spec((6,), dt.float32), backend)
        outside = np.asarray(t.numpy())
        if outside.flags.writeable:
            outside[:] = -2
        if not np.array_equal(np.asarray(backend.get(data)), np.arange(6)):
            return "the data changed when the array that numpy() gave did"
    return None


def _between(backend: Backend) -> str | None:
    base = reference()
    x = _array((3, 4), dt.float32)
    there = put(base, x).to(device=backend)
    fault = compared(np.asarray(backend.get(there.value)), x, 0.0, 0.0)
    return f"a tensor that moved here from the host arrives changed: {fault}" if fault else None


def _waits(backend: Backend) -> str | None:
    x = put(backend, np.full((257, 65), 2.0, np.float32))
    y = x
    for _ in range(5):
        y = y * x + x
    backend.synchronize()
    return (
        None
        if np.array_equal(np.asarray(backend.get(y.value)), np.full((257, 65), 126.0))
        else "a chain of ops gives something else"
    )


def _named(backend: Backend) -> str | None:
    if not backend.name or not isinstance(backend.name, str):
        return "the backend has no name"
    missing = [d for d in (dt.float32, dt.int64, dt.bool_) if d not in backend.dtypes]
    return f"it does not store {', '.join(map(str, missing))}" if missing else None


def storage(backend: Backend) -> dict[str, Check]:
    """The checks of the level of storage, by name."""
    kept = [d for d in dt.EVERY if d in backend.dtypes]
    return {
        "name": _named, "views": _strided, "copies": _apart, "devices": _between, "synchronize": _waits,
        **{f"round trip of {d}": _round_trip(d) for d in kept},
    }  # fmt: skip


# -- models ----------------------------------------------------------------------------------------


def _transformer() -> tuple[Any, Any]:
    from .. import nn as layers

    nn: Any = layers

    class Small(layers.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(19, 12)
            self.layer = nn.TransformerEncoderLayer(12, 3, 24, 0.0, batch_first=True)
            self.head = nn.Linear(12, 5)

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(self.layer(self.embedding(ids)).mean(1))

    return Small(), np.random.default_rng(1).integers(0, 19, (3, 7))


def _mlp() -> tuple[Any, Any]:
    from .. import nn as layers

    nn: Any = layers
    model = nn.Sequential(nn.Linear(9, 17), nn.GELU(), nn.LayerNorm(17), nn.Linear(17, 5))
    return model, np.random.default_rng(2).standard_normal((6, 9)).astype(np.float32)


def _cnn() -> tuple[Any, Any]:
    from .. import nn as layers

    nn: Any = layers
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 6, 3, stride=2, bias=False),
        nn.SiLU(),
        nn.Flatten(), nn.Linear(54, 5),
    )  # fmt: skip
    return model, np.random.default_rng(3).standard_normal((4, 3, 14, 14)).astype(np.float32)


def _train(model: Any, x: Tensor, target: Tensor) -> list[np.ndarray[Any, Any]]:
    """The logits, the loss, the gradients and what two steps make of the parameters."""
    from .. import optim
    from ..op import OPS

    opt = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)  # Adam would enlarge gradients near 0
    found = []
    for _ in range(2):
        with enable_grad():
            logits = model(x)
            loss = OPS["cross_entropy"](logits, target)
            loss.backward()
        found += [logits, loss, *[p.grad for p in model.parameters()]]
        opt.step()
        opt.zero_grad()
    found += list(model.parameters())
    return [np.asarray(t.backend.get(t.value)) if t is not None else np.zeros(0) for t in found]


def _trains(make: Callable[[], tuple[Any, Any]]) -> Check:
    def check(backend: Backend) -> str | None:
        from ..device import placed, resolve
        from ..random import fork_rng, manual_seed

        base = resolve("numpy")
        with contextlib.ExitStack() as kept:
            kept.enter_context(fork_rng())
            kept.enter_context(placed(base))
            manual_seed(11)
            model, x = make()
            state = {k: np.asarray(v.backend.get(v.value)).copy() for k, v in model.state_dict().items()}
            target = np.arange(len(x)) % 5
            want = _train(model, put(base, x), put(base, target))
        with contextlib.ExitStack() as kept:
            kept.enter_context(fork_rng())
            kept.enter_context(placed(backend))
            model, _ = make()
            model.load_state_dict({k: put(backend, v) for k, v in state.items()})
            got = _train(model, put(backend, x), put(backend, target))
        for n, (a, b) in enumerate(zip(got, want)):
            fault = compared(a, b, 2e-3, 2e-4 * float(np.abs(b).max(initial=1e-2)) if b.size else 0.0)
            if fault:
                return f"training: value {n} of {len(want)}: {fault}"
        return None

    return check


def models(backend: Backend) -> dict[str, Check]:
    """The checks of the level of models, by name."""
    return {"multi-layer perceptron": _trains(_mlp), "convolutions": _trains(_cnn), "transformer": _trains(_transformer)}


# -- quantised dtypes ------------------------------------------------------------------------------


def quantised_dtypes() -> list[DType]:
    """The block-quantised dtypes that are registered."""
    return [d for d in dt._BY_NAME.values() if d.kind == "q"]


def quantised_ops() -> Iterator[tuple[Any, list[DType]]]:
    """The ops that take quantised operands, and which."""
    from ..op import OPS

    for op in OPS.values():
        found = list(dt.QUANTISED) if callable(op.blocks) else [d for t in op.types.values() for d in t if d.kind == "q"]
        if found or op.name == "quantize":
            yield op, found


def check_quantised(s: Subject, case: Case, choose: Callable[[int, int], int] | None = None) -> str | None:
    """An op's results from quantised operands: drawn by the op's own sample, or blocks that a movement takes for elements."""
    return check_ops(s, case, choose)


def quantised_cases(op: Any, examples: int, seed: int) -> list[Case]:
    """The cases of an op at this level: each quantised dtype in its turn."""
    found = cases(op, examples, seed)
    if callable(op.blocks):
        kinds = [d.name for d in dt.QUANTISED]
        few = [c for c in found if not c.mixed and c.flavour not in ("huge", "scalar") and c.size < 130]
        return [c._replace(dtype="uint8", blocks=kinds[n % len(kinds)]) for n, c in enumerate(few[::2])]
    kinds = sorted({d.name for t in op.types.values() for d in t if d.kind == "q"})
    return [c._replace(dtype=kinds[c.number % len(kinds)]) for c in found[::2]] if kinds else found[::4]
