"""Gradients in PyTorch's words: ``candle.autograd.grad``, ``Function``, ``gradcheck`` and what goes with them."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import numpy as np

from .errors import GradientError
from .grad import backward, call, detect_anomaly, hessian, jacobian, jvp, set_detect_anomaly, vjp
from .grad import grad as _grad
from .tensor import Tensor, enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled

__all__ = [
    "Function", "backward", "detect_anomaly", "enable_grad", "grad", "gradcheck", "gradgradcheck", "hessian", "inference_mode",
    "is_grad_enabled", "jacobian", "jvp", "no_grad", "set_detect_anomaly", "set_grad_enabled", "vjp",
]  # fmt: skip


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool | None = None,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of some tensors' sum with respect to others: always a tuple.  ``candle.grad`` has the inputs' own form.

    Raises GradientError for an input that was not used, unless ``allow_unused`` (None there) or ``materialize_grads`` (zeros).
    """
    wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    unused = bool(allow_unused) or materialize_grads
    found = _grad(outputs, wanted, grad_outputs, create_graph=create_graph, retain_graph=retain_graph, allow_unused=unused)
    return tuple([x.detach().zeros_like() if g is None and materialize_grads else g for x, g in zip(wanted, found)])


class _Context:
    """What ``forward`` leaves for ``backward``."""

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] = ()
        self._constant: set[int] = set()
        self.needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors for the backward pass, which finds them as ``saved_tensors``."""
        self._saved = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        return self._saved

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Say that some results have no gradient."""
        self._constant |= set(map(id, tensors))


class Function:
    """A function with a gradient of its own.  A subclass has static ``forward`` and ``backward``; call it by ``apply``.

    ``forward(ctx, *args)`` gives a tensor or a tuple of them; ``backward(ctx, *gradients)`` one gradient per argument,
    None for what is no tensor.  Or ``forward(*args)`` and ``setup_context(ctx, inputs, output)``.  What ``backward`` does
    with tensors can be differentiated again.  An op (``candle.composite``, ``candle.primitive``) is the better choice where
    a backend may have a kernel for it, or where it shall be captured as one step.
    """

    @staticmethod
    def forward(*args: Any) -> Any:
        raise NotImplementedError("a Function needs a static forward(ctx, *args)")

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        raise GradientError("this Function has no backward; give it a static backward(ctx, *gradients)")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call it; on the tape where an argument is."""
        ctx = _Context()
        places = [n for n, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]
        ctx.needs_input_grad = tuple([n in places for n in range(len(args))])
        with no_grad():
            if hasattr(cls, "setup_context"):
                made = cls.forward(*args)
                cls.setup_context(ctx, args, made)
            else:
                made = cls.forward(ctx, *args)
        outs = list(made) if isinstance(made, tuple) else [made]
        if any(not isinstance(y, Tensor) for y in outs):
            raise TypeError(f"{cls.__name__}.forward returns a tensor or a tuple of tensors but gave {made!r:.80}")
        if not places or not is_grad_enabled():
            return made

        def pull(gradients: Sequence[Any], *_: Tensor) -> tuple[Any, ...]:
            found = cls.backward(ctx, *gradients)
            found = found if isinstance(found, tuple) else (found,)
            if len(found) != len(args):
                raise GradientError(
                    f"{cls.__name__}.backward returns one gradient per argument of forward ({len(args)}) but gave {len(found)}"
                )
            for n in places:
                if found[n] is not None and found[n].shape != args[n].shape:
                    raise GradientError(
                        f"{cls.__name__}.backward's gradient {n} has the shape of the argument, {args[n].spec}, "
                        f"but is {found[n].spec}"
                    )
            return tuple([found[n] for n in places])

        tracked = call(cls.__name__, [args[n] for n in places], outs, pull)
        tracked = list(tracked) if isinstance(tracked, tuple) else [tracked]
        known = {id(y): t for y, t in zip(outs, tracked)}
        ctx._saved = tuple([known.get(id(s), s) for s in ctx._saved])
        results = [y.detach() if id(y) in ctx._constant else t for y, t in zip(outs, tracked)]
        return tuple(results) if isinstance(made, tuple) else results[0]


def _numbers(ys: Any) -> list[Tensor]:
    return [y for y in (ys if isinstance(ys, (tuple, list)) else [ys]) if isinstance(y, Tensor) and y.dtype.kind in "fc"]


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Compare a function's gradients with central differences: raises GradientError, or returns False, where they differ.

    ``inputs`` that require their gradient should be float64 or complex128.
    """
    args = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    tracked = [n for n, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]
    if not tracked:
        raise GradientError("gradcheck takes inputs of which at least one requires its gradient")
    for n in tracked:
        if args[n].dtype.name not in ("float64", "complex128"):
            raise GradientError(f"gradcheck takes differences: input {n} should be float64 but is {args[n].spec}")
    rng = np.random.default_rng(0)
    values = [a.detach().numpy().copy() if n in tracked else None for n, a in enumerate(args)]

    def given(arrays: list[Any]) -> list[Any]:
        return [a if v is None else a.detach().new_tensor(v).requires_grad_() for a, v in zip(args, arrays)]

    def value_of(xs: list[Any], which: int) -> Tensor:
        with enable_grad():
            return _numbers(func(*xs))[which]

    for which in range(len(_numbers(func(*args)))):
        xs = given(values)
        y = value_of(xs, which)
        seed = rng.standard_normal(y.shape) + (1j * rng.standard_normal(y.shape) if y.is_complex() else 0)
        told = grad(y, [xs[n] for n in tracked], y.detach().new_tensor(seed), allow_unused=True)
        for n, g in zip(tracked, told):
            value: Any = values[n]
            mine = np.zeros(value.shape, value.dtype) if g is None else g.detach().numpy()
            found = np.zeros(value.shape, value.dtype)
            for at in np.ndindex(value.shape):
                for unit in (1.0, 1j) if value.dtype.kind == "c" else (1.0,):
                    slopes = []
                    for sign in (1, -1):
                        moved = value.copy()
                        moved[at] += sign * eps * unit
                        changed = value_of(given([*values[:n], moved, *values[n + 1 :]]), which).detach().numpy()
                        slopes.append((changed * np.conj(seed)).real.sum())
                    found[at] += unit * (slopes[0] - slopes[1]) / (2 * eps)
            if not np.allclose(mine, found, rtol=rtol, atol=atol):
                if not raise_exception:
                    return False
                raise GradientError(
                    f"the gradient of result {which} with respect to input {n} is\n{mine}\nbut differences give\n{found}"
                )
    return True


def gradgradcheck(func: Callable[..., Any], inputs: Any, **settings: Any) -> bool:
    """``gradcheck`` of the gradients themselves."""
    args = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    tracked = [n for n, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]

    def first(*given: Any) -> Any:
        ys = _numbers(func(*given))
        seeds = [y.detach().new_tensor(np.linspace(0.5, 1.5, y.numel()).reshape(y.shape)) for y in ys]
        return grad(ys, [given[n] for n in tracked], seeds, create_graph=True, materialize_grads=True)

    return gradcheck(first, args, **settings)
