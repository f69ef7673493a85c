"""What optimisers share: groups of parameters, state made eagerly, a step that can be captured."""

from __future__ import annotations

from typing import Any, Iterable, Iterator, Mapping

from .. import dtype as dt
from ..create import full_like, tensor
from ..errors import CandleError
from ..tensor import Tensor, enable_grad, no_grad

__all__ = ["Group", "Optimizer"]


class Group(dict):  # type: ignore[type-arg]
    """Parameters and the settings they are updated by.

    The learning rate is kept as a tensor too, so that a captured step follows it: ``group["lr"] = 1e-4`` is all it takes.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        params = self["params"]
        device = params[0].backend if params else None
        self.rate = tensor(float(self["lr"]), dtype=dt.float64, device=device)

    def __setitem__(self, key: str, value: Any) -> None:
        if key == "lr":
            value = float(value)
            self.rate._rebind(tensor(value, dtype=dt.float64, device=self.rate.backend))
        super().__setitem__(key, value)


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
                self.state[p] = {"step": step, **{b: full_like(p.detach(), 0) for b in self.wanted(made)}}

    def wanted(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """Which buffers the settings call for."""
        return self.buffers

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
                    new = self.rule(p.detach(), -grad if g.get("maximize") else grad, state, g, g.rate)
                    p._rebind(new.to(dtype=p.dtype), keep_node=True)
        return loss

    def rule(self, p: Tensor, grad: Tensor, state: dict[str, Tensor], group: Group, lr: Tensor) -> Tensor:
        """The parameter's new value; state is rebound."""
        raise NotImplementedError

    def named_state(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor the optimiser keeps, with a name."""
        for n, g in enumerate(self.param_groups):
            yield f"group{n}.lr", g.rate
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
        rows = [f"  {k}: {v}" for g in self.param_groups for k, v in g.items() if k != "params"]
        return "\n".join([f"{type(self).__name__} (", *rows, ")"])
