"""Functions of functions in PyTorch's words (``torch.func``): gradients, Jacobians, modules called with other parameters."""

from __future__ import annotations

import functools
from typing import Any, Callable, Iterator, Mapping

from .errors import CandleError
from .grad import hessian, jacobian, jvp, value_and_grad, vjp
from .tensor import Tensor, is_grad_enabled

__all__ = ["functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "vjp"]


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from _tensors(v)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def grad_and_value(
    func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """The function that gives a scalar function's gradient and its value (and what else it returns, with ``has_aux``).

    Applied to a function of tracked tensors, or within another ``grad``, it can be differentiated again.
    """

    @functools.wraps(func)
    def both(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        numbers = argnums if isinstance(argnums, tuple) else (argnums,)
        again = is_grad_enabled() and any(t.node is not None for n in numbers for t in _tensors(args[n]))
        value, found = value_and_grad(func, argnums, again)(*args, **kwargs)
        if has_aux and not (isinstance(value, tuple) and len(value) == 2):
            raise CandleError(f"with has_aux the function returns (value, more) but gave {type(value).__name__}")
        return found, value

    return both


def grad(func: Callable[..., Any], argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The function that gives a scalar function's gradient: with ``has_aux``, and what else that returns."""
    both = grad_and_value(func, argnums, has_aux)

    @functools.wraps(func)
    def only(*args: Any, **kwargs: Any) -> Any:
        found, value = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return only


def jacrev(func: Callable[..., Any], argnums: int = 0) -> Callable[..., Tensor]:
    """The function that gives all first derivatives with respect to one argument, of shape ``(*y.shape, *x.shape)``."""

    @functools.wraps(func)
    def derivatives(*args: Any, **kwargs: Any) -> Tensor:
        x = args[argnums]
        one = lambda t: func(*args[:argnums], t, *args[argnums + 1 :], **kwargs)
        return jacobian(one, x, create_graph=is_grad_enabled() and x.node is not None)

    return derivatives


jacfwd = jacrev


def functional_call(module: Any, parameters_and_buffers: Mapping[str, Any] | tuple[Mapping[str, Any], ...], args: Any = (),
                    kwargs: Mapping[str, Any] | None = None) -> Any:  # fmt: skip
    """Call a module with other tensors in the place of some of its parameters and buffers; afterwards it has its own again.

    Raises CandleError for a name that the module has not.
    """
    given = parameters_and_buffers if isinstance(parameters_and_buffers, tuple) else (parameters_and_buffers,)
    places = {k: (m, n) for k, m, n, _ in _places(module)}
    before: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for name, value in [pair for d in given for pair in d.items()]:
            if name not in places:
                raise CandleError(f"{type(module).__name__} has no parameter or buffer {name!r}; it has {', '.join(places)}")
            owner, attribute = places[name]
            group = owner._parameters if attribute in owner._parameters else owner._buffers
            before.append((group, attribute, group[attribute]))
            group[attribute] = value
        return module(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {}))
    finally:
        for group, attribute, value in reversed(before):
            group[attribute] = value


def _places(module: Any) -> Iterator[tuple[str, Any, str, Any]]:
    for prefix, m in module.named_modules(remove_duplicate=False):
        for group in (m._parameters, m._buffers):
            for n, t in group.items():
                if t is not None:
                    yield (f"{prefix}.{n}" if prefix else n), m, n, t
