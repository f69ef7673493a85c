"""Modules: functions with parameters, in a tree."""

from __future__ import annotations

import itertools
from typing import Any, Callable, Iterator, Mapping, NamedTuple

import numpy as np

from ..create import as_tensor
from ..dtype import DType, as_dtype, bfloat16, float16, float32, float64
from ..errors import CandleError, DTypeError, ShapeError
from ..tensor import Tensor, current_trace, no_grad

__all__ = ["Buffer", "LoadResult", "Module", "Parameter"]


class Parameter(Tensor):
    """A tensor that a module is trained by: assigned to a module's attribute, it is among ``parameters()``.

    A quantised one has no gradient.
    """

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        x = data.detach() if isinstance(data, Tensor) else as_tensor(data)
        super().__init__(x.value, x.spec, x.backend)
        if requires_grad and x.dtype.kind != "q":
            self.requires_grad_()


class Buffer(Tensor):
    """A tensor that is kept with a module but not trained: assigned to an attribute, it is among ``buffers()``."""

    def __init__(self, data: Any, *, persistent: bool = True) -> None:
        x = data.detach() if isinstance(data, Tensor) else as_tensor(data)
        super().__init__(x.value, x.spec, x.backend)
        self.persistent = persistent


class LoadResult(NamedTuple):
    """What ``load_state_dict`` did not find in the given dict, and what it had no use for."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Hook:
    """What registering a hook returns: ``remove()`` takes it off again."""

    _ids = itertools.count()

    def __init__(self, hooks: dict[int, Any]) -> None:
        self.hooks, self.id = hooks, next(self._ids)

    def remove(self) -> None:
        self.hooks.pop(self.id, None)

    def __enter__(self) -> Hook:
        return self

    def __exit__(self, *_: Any) -> None:
        self.remove()


_GROUPS = ("_parameters", "_buffers", "_modules")


class Module:
    """A function with parameters, buffers and submodules: those of its attributes that are Parameters, buffers and Modules.

    Subclasses set them in ``__init__`` after ``super().__init__()``, and define ``forward``.
    """

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]

    def __init__(self) -> None:
        state = self.__dict__
        state["_parameters"], state["_buffers"], state["_modules"] = {}, {}, {}
        state["_transient"] = set()
        state["_forward_hooks"], state["_forward_pre_hooks"], state["_with_kwargs"] = {}, {}, set()
        state["_training"] = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward(); define it")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._forward_hooks and not self._forward_pre_hooks:
            return self.forward(*args, **kwargs)
        for key, hook in list(self._forward_pre_hooks.items()):
            if key in self._with_kwargs:
                changed = hook(self, args, kwargs)
                if changed is not None:
                    args, kwargs = changed
            else:
                changed = hook(self, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        y = self.forward(*args, **kwargs)
        for key, hook in list(self._forward_hooks.items()):
            changed = hook(self, args, kwargs, y) if key in self._with_kwargs else hook(self, args, y)
            y = y if changed is None else changed
        return y

    def register_forward_pre_hook(self, hook: Callable[..., Any], *, with_kwargs: bool = False) -> Hook:
        """Call ``hook(module, args)`` before each forward; what it returns, if anything, replaces the arguments."""
        return self._hooked(self._forward_pre_hooks, hook, with_kwargs)

    def register_forward_hook(self, hook: Callable[..., Any], *, with_kwargs: bool = False) -> Hook:
        """Call ``hook(module, args, result)`` after each forward; what it returns, if anything, replaces the result."""
        return self._hooked(self._forward_hooks, hook, with_kwargs)

    def _hooked(self, hooks: dict[int, Any], hook: Callable[..., Any], with_kwargs: bool) -> Hook:
        handle = Hook(hooks)
        hooks[handle.id] = hook
        if with_kwargs:
            self._with_kwargs.add(handle.id)
        return handle

    # -- attributes ---------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        for group in _GROUPS:
            found = self.__dict__.get(group)
            if found is not None and name in found:
                return found[name]
        if "_parameters" not in self.__dict__ and not name.startswith("__"):
            raise AttributeError(f"{type(self).__name__} has no {name!r}; call super().__init__() first in its __init__")
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, (Parameter, Module, Buffer)):
            if "_parameters" not in self.__dict__:
                raise AttributeError(f"{type(self).__name__} is not made yet; call super().__init__() before assigning {name!r}")
            self._forget(name)
            if isinstance(value, Buffer):
                self.register_buffer(name, value, value.persistent)
            else:
                self._group_of(value)[name] = value
            return
        for group in _GROUPS:
            found = self.__dict__.get(group)
            if found is not None and name in found:
                if value is not None and not (group == "_buffers" and isinstance(value, Tensor)):
                    kind = {"_parameters": "a Parameter", "_buffers": "a tensor", "_modules": "a Module"}[group]
                    raise TypeError(
                        f"{type(self).__name__}.{name} is {kind} or None but {type(value).__name__} was given; del it first"
                    )
                found[name] = value
                return
        object.__setattr__(self, name, value)

    def _group_of(self, value: Any) -> dict[str, Any]:
        return self._modules if isinstance(value, Module) else self._parameters

    def _forget(self, name: str) -> None:
        self.__dict__.pop(name, None)
        for group in _GROUPS:
            self.__dict__[group].pop(name, None)
        self._transient.discard(name)

    def __delattr__(self, name: str) -> None:
        if any(name in self.__dict__.get(group, ()) for group in _GROUPS):
            self._forget(name)
        else:
            object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def _free(self, name: str, kind: str) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise CandleError(f"a {kind}'s name is a string without dots but {name!r} was given")
        if hasattr(self, name) and not any(name in getattr(self, g) for g in _GROUPS):
            raise CandleError(f"{type(self).__name__} has an attribute {name!r} already; give the {kind} another name")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Make a parameter (or None, for one that is left out) an attribute."""
        self._free(name, "parameter")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"register_parameter takes a Parameter or None but was given {type(param).__name__}; wrap it in nn.Parameter"
            )
        self._forget(name)
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Make a tensor an attribute that moves with the module; one that is not persistent is not in ``state_dict``."""
        self._free(name, "buffer")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"register_buffer takes a tensor or None but was given {type(tensor).__name__}")
        self._forget(name)
        self._buffers[name] = tensor
        if not persistent:
            self._transient.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Make a module an attribute."""
        self._free(name, "module")
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"add_module takes a Module or None but was given {type(module).__name__}")
        self._forget(name)
        self._modules[name] = module

    register_module = add_module

    # -- the tree -----------------------------------------------------------------------------------

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct submodules, each once."""
        seen: set[int] = set()
        for name, m in self._modules.items():
            if m is not None and id(m) not in seen:
                seen.add(id(m))
                yield name, m

    def children(self) -> Iterator[Module]:
        return (m for _, m in self.named_children())

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module, as "", and all below it, each once."""
        memo = set() if memo is None else memo
        if id(self) in memo:
            return
        if remove_duplicate:
            memo.add(id(self))
        yield prefix, self
        for name, m in self._modules.items():
            if m is not None:
                yield from m.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        return (m for _, m in self.named_modules())

    def _named(self, group: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, m in self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]:
            for name, x in getattr(m, group).items():
                if x is None or (remove_duplicate and id(x) in seen):
                    continue
                seen.add(id(x))
                yield f"{path}.{name}" if path else name, x

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Name and parameter, of this module and those below it; one that is shared comes once, by its first name."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Name and buffer, of this module and those below it."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as "encoder.layers.0"."""
        at: Module = self
        for name in target.split(".") if target else []:
            found = at._modules.get(name)
            if found is None:
                known = ", ".join(at._modules) or "none"
                raise AttributeError(f"{target!r} was not found: {type(at).__name__} has no submodule {name!r} (it has {known})")
            at = found
        return at

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a path such as "encoder.layers.0.weight"."""
        return self._leaf(target, "_parameters")

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a path."""
        return self._leaf(target, "_buffers")

    def _leaf(self, target: str, group: str) -> Any:
        path, _, name = target.rpartition(".")
        found = getattr(self.get_submodule(path), group).get(name)
        if found is None:
            raise AttributeError(f"{target!r} is not among the {group[1:]} of {type(self).__name__}")
        return found

    def apply(self, fn: Callable[[Module], Any]) -> Any:
        """Call ``fn`` on every module, children first."""
        for m in self.children():
            m.apply(fn)
        fn(self)
        return self

    # -- training and gradients ---------------------------------------------------------------------

    @property
    def training(self) -> bool:
        """Whether it behaves as in training (dropout, batch statistics); ``train()`` and ``eval()`` set it."""
        trace = current_trace()
        value: bool = self.__dict__["_training"]
        if trace is not None:
            trace.guard(self, "training", value)
        return value

    @training.setter
    def training(self, mode: bool) -> None:
        self.__dict__["_training"] = bool(mode)

    def train(self, mode: bool = True) -> Any:
        """Behave as in training, with all below."""
        for m in self.modules():
            m.training = mode
        return self

    def eval(self) -> Any:
        """Behave as in inference, with all below."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Have gradients of all parameters taken, or none."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for p in self.parameters():
            if p.grad is not None:
                p.grad = None if set_to_none else p.grad.detach().zeros_like()

    # -- devices and dtypes -------------------------------------------------------------------------

    def _apply(self, fn: Callable[[Tensor], Tensor]) -> Any:
        """Give every parameter and buffer the value ``fn`` makes of it; identities stay, so optimisers and ties do."""
        with no_grad():
            for x in [*self.parameters(), *self.buffers()]:
                new = fn(x.detach())
                x._rebind(new, keep_node=True)
                if x.grad is not None:
                    g = x.grad
                    x.grad = None
                    x.grad = fn(g.detach())
        return self

    def to(self, *args: Any, device: Any = None, dtype: Any = None, non_blocking: bool = False) -> Any:
        """Move parameters and buffers in place: ``to(device)``, ``to(dtype)``, ``to(device, dtype)``, ``to(tensor)``.

        Only floating and complex ones change dtype.
        """
        for a in args:
            if isinstance(a, Tensor):
                device, dtype = a.device, a.dtype
            elif isinstance(a, bool) or a is None:
                continue
            elif isinstance(a, (DType, type, np.dtype)) or (isinstance(a, str) and _names_dtype(a)):
                dtype = a
            else:
                device = a
        dtype = None if dtype is None else as_dtype(dtype)
        if dtype is not None and dtype.kind not in "fc":
            raise DTypeError(f"a module's parameters are floating but .to({dtype}) was called")
        return self._apply(lambda x: x.to(device=device, dtype=dtype if x.dtype.kind in "fc" and dtype is not None else None))

    def float(self) -> Any:
        return self.to(float32)

    def double(self) -> Any:
        return self.to(float64)

    def half(self) -> Any:
        return self.to(float16)

    def bfloat16(self) -> Any:
        return self.to(bfloat16)

    def type(self, dtype: Any) -> Any:
        return self.to(as_dtype(dtype))

    def cpu(self) -> Any:
        """On the default device of this process's memory."""
        return self._apply(lambda x: x.cpu())

    def cuda(self, device: int = 0) -> Any:
        return self.to(device=f"cuda:{device}")

    # -- state --------------------------------------------------------------------------------------

    def _state(self) -> Iterator[tuple[str, Module, str, Tensor]]:
        for path, m in self.named_modules(remove_duplicate=False):
            for group in ("_parameters", "_buffers"):
                for name, x in getattr(m, group).items():
                    if x is not None and not (group == "_buffers" and name in m._transient):
                        yield f"{path}.{name}" if path else name, m, name, x

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """Name to value of every parameter and persistent buffer; shared ones under all their names."""
        return {prefix + key: x.detach() for key, _, _, x in self._state()}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> LoadResult:
        """Take over values by name, from candle tensors, NumPy arrays or torch tensors.

        Each is moved and cast to the parameter it replaces; with ``assign`` it is taken as it is, on its device and in its
        dtype.  Raises ShapeError, naming each, where shapes differ, and CandleError where names are missing or unexpected
        (unless not ``strict``); then nothing was changed.
        """
        mine = {key: x for key, _, _, x in self._state()}
        missing = [k for k in mine if k not in state_dict]
        unexpected = [k for k in state_dict if k not in mine]
        found: list[tuple[Tensor, Tensor]] = []
        misfits = []
        for key, x in mine.items():
            if key not in state_dict:
                continue
            given = state_dict[key]
            new = given.detach() if isinstance(given, Tensor) else as_tensor(given)
            if new.shape != x.shape:
                misfits.append(f"{key} is {x.spec} but {new.spec} was given")
            found.append((x, new))
        wrong = [f"missing: {', '.join(missing)}"] if strict and missing else []
        wrong += [f"unexpected: {', '.join(unexpected)}"] if strict and unexpected else []
        wrong += misfits
        if wrong:
            kind = ShapeError if misfits else CandleError
            hint = "" if misfits else "; pass strict=False to load the others"
            raise kind(f"load_state_dict on {type(self).__name__}: {'; '.join(wrong)}{hint}")
        with no_grad():
            for x, new in found:
                if not assign:
                    new = new.to(device=x.device, dtype=x.dtype)
                elif x.node is not None and new.dtype.kind not in "fc":
                    x.requires_grad_(False)
                x._rebind(new, keep_node=True)
        return LoadResult(missing, unexpected)

    # -- copies and text ----------------------------------------------------------------------------

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def extra_repr(self) -> str:
        """What of its settings ``repr`` shows."""
        return ""

    def __repr__(self) -> str:
        lines = []
        for name, m in self._modules.items():
            lines.append(f"({name}): " + repr(m).replace("\n", "\n  "))
        extra = self.extra_repr()
        if not lines:
            return f"{type(self).__name__}({extra})"
        head = [extra] if extra else []
        return f"{type(self).__name__}(\n  " + "\n  ".join(head + lines) + "\n)"


def _names_dtype(text: str) -> bool:
    try:
        as_dtype(text)
    except (CandleError, TypeError, ValueError):
        return False
    return True
