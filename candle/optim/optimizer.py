"""What optimisers share: groups of parameters, state made eagerly, a step that can be captured."""

from __future__ import annotations

from typing import Any, Iterable, Iterator, Mapping

from .. import dtype as dt
from ..create import full_like, tensor
from ..errors import CandleError
from ..tensor import Tensor, current_trace, enable_grad, no_grad

__all__ = ["Group", "Optimizer", "bounded"]

INF = float("inf")


def bounded(name: str, **values: tuple[float, float, float]) -> None:
    """Refuse settings out of bounds: each is (value, least, less than)."""
    for what, (value, low, high) in values.items():
        if not low <= value < high:
            raise CandleError(f"{name}'s {what} is from {low} to below {high} but {value} was given")


class Group(dict):  # type: ignore[type-arg]
    """Parameters and the settings they are updated by.

    What schedules change (``scheduled``) is kept as tensors too, so that a captured step follows it: ``group["lr"] = 1e-4`` is
    all it takes.  A captured step that read another setting is captured again when that changes.
    """

    scheduled = ("lr", "momentum", "betas")

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        params = self["params"]
        device = params[0].backend if params else None
        self.settings = object()  # another one after each change: what a captured step is checked against
        self.numbers: dict[str, list[Tensor]] = {}
        for key in self.scheduled:
            if key in self:
                self.numbers[key] = [tensor(v, dtype=dt.float64, device=device) for v in _floats(super().__getitem__(key))]

    def number(self, key: str) -> Tensor:
        """A scheduled setting as a float64 tensor without dimensions."""
        return self.numbers[key][0]

    @property
    def betas(self) -> tuple[Tensor, Tensor]:
        """The two coefficients of Adam and its kin."""
        first, second = self.numbers["betas"]
        return first, second

    def __getitem__(self, key: str) -> Any:
        trace = current_trace()
        if trace is not None and key not in self.scheduled and key != "params":
            trace.guard(self, "settings", self.settings)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self else default

    def __setitem__(self, key: str, value: Any) -> None:
        if key in self.numbers:
            for number, v in zip(self.numbers[key], _floats(value)):
                number._rebind(tensor(v, dtype=dt.float64, device=number.backend))
        else:
            self.settings = object()
        super().__setitem__(key, value)


def _floats(value: Any) -> list[float]:
    return [float(v) for v in value] if isinstance(value, (tuple, list)) else [float(value)]


class Optimizer:
    """Gives parameters new values from their gradients.  A subclass names its per-parameter state and its rule.

    ``params`` are tensors, or dicts with "params" and settings of their own.  The state (moments, step count) is made
    here and now, so that a captured step finds it.
    """

    buffers: tuple[str, ...] = ()  # state of each parameter's shape, zero at first

    def __init__(self, params: Iterable[Any], **defaults: Any) -> None:
        groups = list(params)
        if not groups:
            raise CandleError(f"{type(self).__name__} was given no parameters; pass model.parameters()")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        for g in groups:
            self.add_param_group(g)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Take in more parameters, with settings of their own where given."""
        params = group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        for p in params:
            if not isinstance(p, Tensor) or not p.is_leaf:
                raise CandleError(f"{type(self).__name__} takes leaf tensors but was given {p!r:.60}")
            if p in self.state or sum(q is p for q in params) > 1:
                raise CandleError(f"{type(self).__name__} was given a {p.spec} twice; each parameter is in one group")
        unknown = set(group) - set(self.defaults) - {"params"}
        if unknown:
            raise CandleError(
                f"{type(self).__name__} has no setting {', '.join(sorted(unknown))}; it has {', '.join(self.defaults)}"
            )
        made = Group({**self.defaults, **group, "params": params})
        self.param_groups.append(made)
        with no_grad():
            for p in params:
                step = tensor(0, dtype=dt.int64, device=p.backend)
                self.state[p] = {"step": step, **self.fresh(p.detach(), made)}

    def wanted(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """Which buffers of a parameter's shape the settings call for."""
        return self.buffers

    def fresh(self, p: Tensor, group: Mapping[str, Any]) -> dict[str, Tensor]:
        """A parameter's state before the first step."""
        return {b: full_like(p, 0) for b in self.wanted(group)}

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for p in self._params():
            p.grad = None if set_to_none else full_like(p.detach(), 0)

    def _params(self) -> Iterator[Tensor]:
        for g in self.param_groups:
            yield from g["params"]

    def step(self, closure: Any = None) -> Any:
        """Update every parameter that has a gradient; ``closure`` may compute the loss again, which is returned."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for g in self.param_groups:
                for p in g["params"]:
                    grad = p.grad
                    if grad is None:
                        continue
                    state = self.state[p]
                    state["step"]._rebind(state["step"] + 1)
                    new = self.rule(p.detach(), -grad if g.get("maximize") else grad, state, g)
                    p._rebind(new.to(dtype=p.dtype), keep_node=True)
        return loss

    def rule(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], group: Group) -> Tensor:
        """The parameter's new value; state is rebound."""
        raise NotImplementedError

    def named_state(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor the optimiser keeps, with a name."""
        for n, g in enumerate(self.param_groups):
            for k, numbers in g.numbers.items():
                yield from ((f"group{n}.{k}" + (f".{i}" if len(numbers) > 1 else ""), v) for i, v in enumerate(numbers))
        for n, p in enumerate(self._params()):
            for k, v in self.state[p].items():
                yield f"{n}.{k}", v

    def state_dict(self) -> dict[str, Any]:
        """State and settings, parameters by number, as PyTorch has it."""
        order = {p: n for n, p in enumerate(self._params())}
        groups = [
            {**{k: v for k, v in g.items() if k != "params"}, "params": [order[p] for p in g["params"]]}
            for g in self.param_groups
        ]
        return {"state": {order[p]: {k: v.detach() for k, v in s.items()} for p, s in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what ``state_dict`` gave; raises CandleError where it is of other parameters."""
        groups = state["param_groups"]
        if [len(g["params"]) for g in groups] != [len(g["params"]) for g in self.param_groups]:
            raise CandleError("the optimiser's saved state has groups of other sizes than this optimiser's")
        with no_grad():
            for mine, theirs in zip(self.param_groups, groups):
                for k, v in theirs.items():
                    if k != "params":
                        mine[k] = v
                for p, n in zip(mine["params"], theirs["params"]):
                    for k, v in state["state"].get(n, {}).items():
                        if k not in self.state[p]:
                            continue
                        own = self.state[p][k]
                        new = tensor(v, dtype=own.dtype, device=own.backend)
                        if new.shape != own.shape:
                            raise CandleError(f"the saved {k} of parameter {n} is {new.spec} but the parameter's is {own.spec}")
                        own._rebind(new)

    def __repr__(self) -> str:
        rows = [f"    {k}: {v}" for g in self.param_groups for k, v in g.items() if k != "params"]
        return "\n".join([f"{type(self).__name__} (", *rows, ")"])
