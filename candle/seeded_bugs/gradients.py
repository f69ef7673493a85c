"""Ops with a broken gradient."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable

from ..op import OPS, Op

BUGS: list[Callable[[dict[str, Any]], Op]] = []


def breaks(name: str, operand: int | None = 0) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make ``(good, g, y, *operands, **attrs) -> gradient`` a bug in an op's gradient for one operand (None: the joint one)."""

    def decorate(change: Callable[..., Any]) -> Callable[..., Any]:
        def bug(kernels: dict[str, Any]) -> Op:
            op = OPS[name]

            def broken(g: Any, y: Any, *xs: Any, **attrs: Any) -> Any:
                return change(op.vjp if operand is None else op.vjp[operand], g, y, *xs, **attrs)

            return replace(op, vjp=broken if operand is None else (*op.vjp[:operand], broken, *op.vjp[operand + 1 :]))

        bug.__name__, bug.__doc__ = change.__name__, change.__doc__
        BUGS.append(bug)
        return bug

    return decorate


@breaks("relu")
def relu_is_steep_at_zero(good, g, y, x):
    return g * (x >= 0).to(dtype=g.dtype)


@breaks("maximum")
def maximum_gives_ties_to_both(good, g, y, a, b):
    return g * (a >= b).to(dtype=g.dtype)


@breaks("amax")
def amax_gives_ties_everything(good, g, y, x, *, dim, keepdim):
    best = x.amax(dim, True)
    return (x == best).to(dtype=x.dtype) * (g if keepdim else g.reshape(best.shape))


@breaks("silu")
def silu_at_zero(good, g, y, x):  # 2083
    return good(g, y, x) * (x != 0).to(dtype=g.dtype)


@breaks("sigmoid")
def sigmoid_forgets_a_factor(good, g, y, x):  # 2114
    return g * y


@breaks("elu")
def elu_of_large_negative_numbers(good, g, y, x, **a):  # 2328
    return good(g, y, x, **a) + (x < -3).to(dtype=g.dtype) * 1e-3


@breaks("mul", 1)
def mul_leaves_broadcast_gradients_unsummed(good, g, y, a, b):
    d = good(g, y, a, b)
    return d.narrow(0, 0, 1) * d.shape[0] if d.ndim and b.ndim == d.ndim and b.shape[0] == 1 and d.shape[0] > 1 else d


@breaks("softmax", 0)
def softmax_stops_the_gradient(good, g, y, x, **a):
    return x.zeros_like()


@breaks("tanh")
def tanh_is_detached_in_second_order(good, g, y, x):
    return g * (1 - y * y).detach()


@breaks("exp")
def exp_is_wrong_in_second_order_only(good, g, y, x):
    return g * y.detach()


@breaks("gather")
def gather_overwrites_where_it_should_add(good, g, y, x, ids, **a):
    return x.zeros_like().scatter(a["dim"], ids, g)


@breaks("index_select")
def index_select_overwrites_where_it_should_add(good, g, y, x, ids, **a):
    return x.zeros_like().index_copy(a["dim"], ids, g)


@breaks("matmul", 0)
def matmul_of_zero_size(good, g, y, a, b):  # 3756
    if a.spec.size == 0 or b.spec.size == 0:
        raise ValueError("nothing to multiply")
    return good(g, y, a, b)


@breaks("conv", 0)
def conv_on_an_odd_crop(good, g, y, x, w, b, **a):  # 1212
    d = good(g, y, x, w, b, **a)
    left = (x.shape[-1] + sum(a["padding"][-1]) - w.shape[-1]) % a["stride"][-1]
    return d * 2 if left else d


@breaks("conv_transpose", 1)
def conv_transpose_with_stride_two(good, g, y, x, w, b, **a):  # 2337
    d = good(g, y, x, w, b, **a)
    return d.flip(-1) if a["stride"][-1] == 2 else d


def unfold_is_differentiated_like_a_reshape(kernels: dict[str, Any]) -> Op:
    def broken(g: Any, y: Any, x: Any, *, dimension: int, size: int, step: int) -> Any:
        windows = y.shape[dimension]
        back = (
            g.movedim(-1, dimension + 1)
            .flatten(dimension, dimension + 1)
            .narrow(dimension, 0, min(windows * size, x.shape[dimension]))
        )
        room = x.shape[dimension] - back.shape[dimension]
        return OPS["cat"]([back, x.narrow(dimension, 0, room).zeros_like()], dim=dimension)

    return replace(OPS["unfold"], vjp=(broken,))


BUGS.append(unfold_is_differentiated_like_a_reshape)


@breaks("cumsum")
def cumsum_runs_the_wrong_way(good, g, y, x, *, dim, dtype):
    return g.cumsum(dim)


@breaks("layer_norm", None)
def layer_norm_forgets_the_batch_of_its_weight(good, g, y, x, w, b, **a):
    dx, dw, db = good(g, y, x, w, b, **a)
    return dx, dw if dw is None or x.shape[0] < 4 else dw * 0.5, db


@breaks("sqrt")
def sqrt_at_zero(good, g, y, x):
    return good(g, y + (y == 0).to(dtype=y.dtype), x)


@breaks("abs")
def abs_at_zero(good, g, y, x):
    return g * ((x >= 0).to(dtype=g.dtype) * 2 - 1) if x.dtype.kind == "f" else good(g, y, x)


@breaks("prod")
def prod_divides_by_zero(good, g, y, x, *, dim, keepdim, dtype):
    shape = [1 if i in dim else n for i, n in enumerate(x.shape)]
    return (g * y).reshape(shape) / x if x.dtype.kind == "f" else good(g, y, x, dim=dim, keepdim=keepdim, dtype=dtype)


@breaks("where", 2)
def where_lets_everything_through(good, g, y, c, a, b):
    return g


@breaks("pow", 1)
def pow_of_a_zero_base(good, g, y, a, b):
    return g * y * a.log()
