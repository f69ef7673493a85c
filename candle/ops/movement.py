"""Movement: operations that rearrange elements and compute nothing."""

from __future__ import annotations

from functools import partial
from typing import Any, Mapping, Sequence

import numpy as np

from ..dtype import EVERY
from ..errors import ShapeError
from ..op import Dim, Ints, Shape, Spec, composite, function, normalize_dim, primitive

movement = partial(primitive, "S -> S", S=EVERY, wide=False)


def _reshape_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), shape = specs, attrs["shape"]
    holes = [i for i, n in enumerate(shape) if n == -1]
    known = int(np.prod([n for n in shape if n != -1], dtype=np.int64))
    if len(holes) == 1 and known and x.size % known == 0:
        shape = tuple([x.size // known if n == -1 else n for n in shape])
    if len(holes) > 1 or any(n < 0 for n in shape) or int(np.prod(shape, dtype=np.int64)) != x.size:
        raise ShapeError(f"reshape cannot make {x}, of {x.size} elements, into {attrs['shape']}")
    return {"shape": shape}


@movement(required=True, star="shape", canon=_reshape_canon, shape=lambda x, *, shape: shape,
          vjp=(lambda g, _y, _x, shape: g.reshape(_x.shape),))  # fmt: skip
def reshape(x, *, shape: Shape):
    """The same elements, in row-major order, in another shape; one size may be -1."""
    return np.reshape(x, shape)


def _permute_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), dims = specs, attrs["dims"]
    found = tuple([normalize_dim(d, x.ndim, "permute's dims") for d in dims])
    if sorted(found) != list(range(x.ndim)):
        raise ShapeError(f"permute takes each of the {x.ndim} dimensions of {x} once but was given {dims}")
    return {"dims": found}


@movement(required=True, star="dims", canon=_permute_canon, shape=lambda x, *, dims: [x.shape[d] for d in dims],
          vjp=(lambda g, _y, _x, dims: g.permute(tuple(int(d) for d in np.argsort(dims))),),
          sample=lambda d: (lambda s: ([d.array(s, d.dtype(EVERY))], {"dims": d.permutation(len(s))}))(d.shape()))  # fmt: skip
def permute(x, *, dims: Ints):
    """The dimensions in another order."""
    return np.transpose(x, dims)


def _expand_canon(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> dict[str, Any]:
    (x,), shape = specs, attrs["shape"]
    extra = len(shape) - x.ndim
    found = tuple([x.shape[i - extra] if n == -1 and i >= extra else n for i, n in enumerate(shape)])
    if extra < 0 or any(n not in (1, m) for n, m in zip(x.shape, found[max(extra, 0) :])) or any(n < 0 for n in found):
        raise ShapeError(f"expand cannot broadcast {x} to {shape}")
    return {"shape": found}


@movement(required=True, star="shape", canon=_expand_canon, shape=lambda x, *, shape: shape, vjp=(lambda g, _y, _x, shape: g,))
def expand(x, *, shape: Shape):
    """Repeated along dimensions of size one to reach a shape; -1 keeps a size."""
    return np.broadcast_to(x, shape)


_ = Dim, composite, function
