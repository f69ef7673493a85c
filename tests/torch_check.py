"""Compare a candle function with a PyTorch one: values, shapes, dtypes and gradients."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np
import pytest

import candle

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests: pip install torch==2.13.0")

_TOLERANCE = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 3e-5, "float64": 1e-10, "complex64": 3e-5, "complex128": 1e-10}


def to_torch(x: Any) -> Any:
    """A NumPy array as a torch tensor (bfloat16 included); lists of them too; anything else as it is."""
    if isinstance(x, (list, tuple)) and x and all(isinstance(v, np.ndarray) for v in x):
        return [to_torch(v) for v in x]
    if not isinstance(x, np.ndarray):
        return x
    if x.dtype == candle.bfloat16.numpy:
        return torch.from_numpy(x.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.ascontiguousarray(x).reshape(x.shape).copy())


def to_candle(x: Any) -> Any:
    if isinstance(x, (list, tuple)) and x and all(isinstance(v, np.ndarray) for v in x):
        return [candle.tensor(v, device="numpy") for v in x]
    return candle.tensor(x, device="numpy") if isinstance(x, np.ndarray) else x


def to_numpy(x: Any) -> np.ndarray:
    if isinstance(x, candle.Tensor):
        return x.numpy()
    if isinstance(x, torch.Tensor):
        x = x.detach().resolve_conj().resolve_neg()
        x = torch.zeros_like(x) if x._is_zerotensor() else x
        return x.view(torch.int16).numpy().view(candle.bfloat16.numpy) if x.dtype == torch.bfloat16 else x.numpy(force=True)
    return np.asarray(x)


def same(got: Any, want: Any, rtol: float | None = None, what: str = "") -> None:
    """Equal in shape and dtype, and in values to within the dtype's tolerance; NaN equals NaN."""
    if isinstance(want, (tuple, list)) and not isinstance(want, torch.Tensor):
        assert len(got) == len(want), f"{what}: {len(got)} results, not {len(want)}"
        for i, (g, w) in enumerate(zip(got, want)):
            same(g, w, rtol, f"{what}[{i}]")
        return
    a, b = to_numpy(got), to_numpy(want)
    assert a.dtype == b.dtype, f"{what}: dtype {a.dtype}, not {b.dtype}"
    assert a.shape == b.shape, f"{what}: shape {a.shape}, not {b.shape}"
    tol = rtol if rtol is not None else _TOLERANCE.get(str(a.dtype), 0)
    wide = np.complex128 if a.dtype.kind == "c" else np.float64
    if a.dtype.kind in "biu":
        np.testing.assert_array_equal(a, b, err_msg=what)
    else:
        finite = np.abs(b.astype(wide)[np.isfinite(b.astype(wide))])
        np.testing.assert_allclose(
            a.astype(wide), b.astype(wide), rtol=tol, atol=tol * max(1.0, float(finite.max(initial=0))), err_msg=what
        )


def _flat(xs: Any) -> list[Any]:
    return [v for x in xs for v in (_flat(x) if isinstance(x, (list, tuple)) else [x])]


def check(
    ours: Callable[..., Any],
    theirs: Callable[..., Any] | None,
    *args: Any,
    grad: bool = True,
    second: bool = False,
    rtol: float | None = None,
) -> None:
    """Call both functions on the same arguments (arrays become tensors, other things pass) and compare values and gradients.

    ``theirs`` None uses ``ours`` for both.  Gradients are taken of a weighted sum of the floating results with respect to
    every floating argument; with ``second`` also those of the squared gradients' sum.
    """
    theirs = theirs or ours
    mine, other = [to_candle(a) for a in args], [to_torch(a) for a in args]
    for m, o in zip(_flat(mine), _flat(other)):
        if grad and isinstance(m, candle.Tensor) and m.dtype.kind in "fc":
            m.requires_grad_()
            o.requires_grad_()
    y, z = ours(*mine), theirs(*other)
    if not isinstance(y, (tuple, list)):
        y, z = [y], [z]
    y, z = list(y), list(z)
    same([v.detach() if isinstance(v, candle.Tensor) else v for v in y], z, rtol, "value")
    if not grad:
        return
    xs = [m for m in _flat(mine) if isinstance(m, candle.Tensor) and m.requires_grad]
    ts = [o for o in _flat(other) if isinstance(o, torch.Tensor) and o.requires_grad]
    pairs = [(a, b) for a, b in zip(y, z) if isinstance(b, torch.Tensor) and b.requires_grad]
    if not xs or not pairs:
        return
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(b.shape) for _, b in pairs]

    def seed(w: Any, like: Any) -> Any:
        return np.asarray(w).astype(to_numpy(like).dtype)

    gs = candle.grad(
        [a for a, _ in pairs],
        xs,
        [candle.tensor(seed(w, b), device="numpy") for w, (_, b) in zip(weights, pairs)],
        create_graph=second,
        allow_unused=True,
    )
    ws = torch.autograd.grad(
        [b for _, b in pairs],
        ts,
        [to_torch(seed(w, b)) for w, (_, b) in zip(weights, pairs)],
        create_graph=second,
        allow_unused=True,
    )
    for i, (g, w) in enumerate(zip(gs, ws)):
        if g is None or w is None:
            other_one = w if g is None else g
            assert other_one is None or not np.any(to_numpy(other_one)), (
                f"gradient {i}: {'ours' if g is None else 'theirs'} is None"
            )
            continue
        same(g.detach(), w, None if rtol is None else rtol * 4, f"gradient {i}")
    if second:
        use = [i for i, (g, w) in enumerate(zip(gs, ws)) if w is not None and w.requires_grad]
        if not use:
            return
        total = sum(((gs[i] * gs[i].conj()).real if gs[i].is_complex() else gs[i] * gs[i]).sum() for i in use)
        ototal = sum((ws[i] * ws[i].conj()).real.sum() if ws[i].is_complex() else (ws[i] * ws[i]).sum() for i in use)
        hs = candle.grad(total, xs, allow_unused=True) if total.requires_grad else [None] * len(xs)
        vs = torch.autograd.grad(ototal, ts, allow_unused=True)
        for i, (h, v) in enumerate(zip(hs, vs)):
            if h is None or v is None:
                other_one = v if h is None else h
                assert other_one is None or not np.any(to_numpy(other_one)), (
                    f"second gradient {i}: {'ours' if h is None else 'theirs'} is None"
                )
                continue
            same(h.detach(), v, 10 * (rtol or _TOLERANCE[str(to_numpy(v).dtype)]), f"second gradient {i}")
