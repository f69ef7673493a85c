"""What state-space models share: causal convolutions that remember their last inputs, and scans that go on from a state."""

from __future__ import annotations

from typing import Any

from ..nn import Module, Parameter, init
from ..op import OPS
from ..tensor import Tensor
from .caching import State

__all__ = ["CausalConv", "flat", "scanned", "state_space"]


class CausalConv(Module):
    """A convolution over time for each channel alone, ``[b, n, c]``, that sees the past only; weight ``[c, 1, k]``."""

    def __init__(self, channels: int, kernel: int, bias: bool) -> None:
        super().__init__()
        self.kernel = kernel
        self.weight = Parameter(init.blank(channels, 1, kernel))
        self.register_parameter("bias", Parameter(init.blank(channels)) if bias else None)

    def shape(self, batch: int) -> tuple[int, ...]:
        """The shape of what is remembered: the last inputs."""
        return batch, self.kernel - 1, self.weight.shape[0]

    def forward(self, x: Tensor, memory: State | None, name: str = "conv") -> Tensor:
        b, n, c = x.shape
        past = x.new_zeros(b, self.kernel - 1, c) if memory is None else memory[name].to(dtype=x.dtype)
        whole = OPS["cat"](past, x, dim=1)
        if memory is not None:
            memory[name] = whole[:, n:]
        y = self.bias
        for i in range(self.kernel):
            part = whole[:, i : i + n] * self.weight[:, 0, i]
            y = part if y is None else y + part
        assert y is not None
        return y


def scanned(a: Tensor, x: Tensor, memory: State | None, name: str = "state") -> Tensor:
    """The h with h[t] = a[t] h[t - 1] + x[t] along dimension 1, from the state that is remembered, which it replaces."""
    if memory is not None:
        first = x[:, :1] + a[:, :1] * memory[name].to(dtype=x.dtype).unsqueeze(1)
        x = first if x.shape[1] == 1 else OPS["cat"](first, x[:, 1:], dim=1)
    h = x if x.shape[1] == 1 else OPS["linear_scan"](a, x, dim=1)
    if memory is not None:
        memory[name] = h[:, -1]
    return h


def state_space(
    x: Tensor, log_decay: Tensor, key: Tensor, query: Tensor, memory: State | None, name: str = "state", chunk: int = 64
) -> Tensor:
    """y[t] = S[t] query[t] with S[t] = exp(log_decay[t]) S[t - 1] + x[t] key[t]ᵀ for each head, ``[b, n, h, p]``.

    x is ``[b, n, h, p]``, log_decay ``[b, n, h]``, key and query ``[b, n, h, s]``, the state ``[b, h, p, s]``.  Within a chunk
    it is a masked product of matrices, as in https://arxiv.org/abs/2405.21060; chunks follow one another.
    """
    b, n, h, p = x.shape
    held = x.new_zeros(b, h, p, key.shape[-1]) if memory is None else memory[name].to(dtype=x.dtype)
    x, key, query = (t.transpose(1, 2) for t in (x, key, query))
    decay = log_decay.transpose(1, 2)
    found = []
    for at in range(0, n, chunk):
        length = min(chunk, n - at)
        xs, ks, qs = (t.narrow(2, at, length) for t in (x, key, query))
        total = decay.narrow(2, at, length).cumsum(2)
        y = (qs @ held.mT) * total.exp().unsqueeze(-1)
        if length == 1:
            found.append(y + (qs * ks).sum(-1, keepdim=True) * xs)
            held = held * total.exp().unsqueeze(-1) + xs.mT @ ks
            continue
        far = total.unsqueeze(-1) - total.unsqueeze(-2)
        seen = far.new_ones(length, length).tril() > 0
        weights = (qs @ ks.mT) * OPS["where"](seen, far, float("-inf")).exp()
        found.append(y + weights @ xs)
        last = total.narrow(2, length - 1, 1)
        held = held * last.exp().unsqueeze(-1) + (xs * (last - total).exp().unsqueeze(-1)).mT @ ks
    if memory is not None:
        memory[name] = held
    y = found[0] if len(found) == 1 else OPS["cat"](*found, dim=2)
    return y.transpose(1, 2)


def flat(x: Any) -> Any:
    """The last two dimensions as one."""
    return x.reshape((*x.shape[:-2], x.shape[-2] * x.shape[-1]))
