"""Ops with a broken gradient, further ones."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from .gradients import breaks

# -- gradients


@breaks("add", 1)
def add_of_a_scalar(good, gr, y, a, b):
    """Twice its gradient."""
    d = good(gr, y, a, b)
    return d * 2 if b.ndim == 0 and a.ndim else d


@breaks("div", 1)
def div_is_detached_in_second_order(good, gr, y, a, b):
    """Its quotient is a constant."""
    return -gr * (y / b).detach() if b.dtype.kind == "f" else good(gr, y, a, b)


@breaks("mul", 0)
def mul_does_not_conjugate(good, gr, y, a, b):
    """For complex numbers."""
    return gr * b


@breaks("minimum", 1)
def minimum_gives_ties_to_neither(good, gr, y, a, b):
    """Half is wanted."""
    return gr * (b < a).to(dtype=gr.dtype)


@breaks("clamp", None)
def clamp_at_its_lower_bound(good, gr, y, x, lo, hi, **a):
    """Nothing flows there."""
    r = good(gr, y, x, lo, hi, **a)
    if lo is not None:
        return (r[0] * (x > lo).to(dtype=gr.dtype), *r[1:])
    return r


@breaks("clamp", None)
def clamp_forgets_its_bounds(good, gr, y, x, lo, hi, **a):
    """They have a gradient as well."""
    r = list(good(gr, y, x, lo, hi, **a))
    return (r[0], *[None for _ in r[1:]])


@breaks("mean")
def mean_divides_by_everything(good, gr, y, x, **a):
    """Of three dimensions."""
    d = good(gr, y, x, **a)
    m = y.spec.size
    return d / m if x.ndim == 3 and m > 1 else d


@breaks("var")
def var_without_correction(good, gr, y, x, **a):
    """Ten percent too much."""
    d = good(gr, y, x, **a)
    return d * 1.1 if a["correction"] == 0 else d


@breaks("cumprod")
def cumprod_divides_by_its_operand(good, gr, y, x, *, dim, dtype):
    """Zeros give NaN."""
    return (gr * y).flip(dim).cumsum(dim).flip(dim) / x


@breaks("cumprod")
def cumprod_of_more_than_64(good, gr, y, x, **a):
    """Twice too much."""
    return good(gr, y, x, **a) * (2 if x.shape[a["dim"]] > 64 else 1)


@breaks("scatter_add", 2)
def scatter_add_of_a_larger_source(good, gr, y, x, ids, src, *, dim):
    """What is not used has a gradient."""
    d = good(gr, y, x, ids, src, dim=dim)
    return d + 1 if tuple(src.shape) != tuple(ids.shape) else d


@breaks("index_add", 2)
def index_add_forgets_alpha(good, gr, y, x, ids, s, *, dim, alpha):
    """In its source's gradient."""
    return good(gr, y, x, ids, s, dim=dim, alpha=1)


@breaks("where", 1)
def where_leaks_nan(good, gr, y, c, a, b):
    """From what was not chosen."""
    return gr * c.to(dtype=gr.dtype) + 0.0 * a


@breaks("where", 1)
def where_of_a_scalar(good, gr, y, c, a, b):
    """Twice its gradient."""
    return good(gr, y, c, a, b) * (2 if a.ndim == 0 and c.ndim else 1)


@breaks("sqrt")
def sqrt_is_detached_in_second_order(good, gr, y, x):
    """Its result is a constant."""
    return gr / (2 * y.detach())


@breaks("pow", 0)
def pow_zero_of_zero(good, gr, y, a, b):
    """Zero over zero."""
    return gr * b * y / a


@breaks("matmul", 1)
def matmul_of_one_matrix_for_a_batch(good, gr, y, a, b):
    """Twice its gradient."""
    d = good(gr, y, a, b)
    return d * 2 if a.ndim > 2 and b.ndim == 2 else d


@breaks("softmax")
def softmax_along_the_first_dim(good, gr, y, x, *, dim, dtype):
    """It sums along the last."""
    return good(gr, y, x, dim=dim, dtype=dtype) if dim else y * gr - y * (y * gr).sum(dim=-1, keepdim=True)


@breaks("softmax")
def softmax_in_another_dtype(good, gr, y, x, *, dim, dtype):
    """Twice too much."""
    return good(gr, y, x, dim=dim, dtype=dtype) * (2 if dtype is not None else 1)


@breaks("layer_norm", None)
def layer_norm_with_a_bias_alone(good, gr, y, x, w, b, **a):
    """The bias has none."""
    dx, dw, db = good(gr, y, x, w, b, **a)
    return (dx, dw, None if w is None else db)


@breaks("attention", None)
def attention_forgets_its_mask(good, gr, y, q, kk, v, mask, alibi, **a):
    """It is an operand."""
    r = list(good(gr, y, q, kk, v, mask, alibi, **a))
    r[3] = None
    return tuple(r)


@breaks("attention", None)
def attention_of_grouped_heads(good, gr, y, *xs, **a):
    """The values' is halved."""
    r = list(good(gr, y, *xs, **a))
    if xs[0].shape[-3] != xs[1].shape[-3]:
        r[2] = r[2] * 0.5
    return tuple(r)


@breaks("conv", 1)
def conv_weight_of_dilated_groups(good, gr, y, x, w, b, **a):
    """Half as much again."""
    d = good(gr, y, x, w, b, **a)
    return d * 1.5 if a["groups"] > 1 and a["dilation"][0] > 1 else d


@breaks("conv", 0)
def conv_with_an_uneven_margin_and_a_stride(good, gr, y, x, w, b, **a):
    """It comes out turned."""
    d = good(gr, y, x, w, b, **a)
    return d.flip(-1) if a["padding"][-1][0] != a["padding"][-1][1] and a["stride"][-1] > 1 else d


@breaks("conv", 1)
def conv_weight_is_detached_in_second_order(good, gr, y, x, w, b, **a):
    """Its image is a constant."""
    return good(gr, y, x.detach(), w, b, **a)


@breaks("avg_pool")
def avg_pool_with_its_own_divisor(good, gr, y, x, **a):
    """Twice too much."""
    return good(gr, y, x, **a) * (2 if a["divisor_override"] else 1)


@breaks("cat", None)
def cat_mixes_up_equal_operands(good, gr, y, *xs, dim):
    """The second gets the third's."""
    r = list(good(gr, y, *xs, dim=dim))
    if len(r) == 3:
        r[1] = r[2] if tuple(r[1].shape) == tuple(r[2].shape) else r[1]
    return tuple(r)


@breaks("slice")
def slice_backwards_by_two_or_more(good, gr, y, x, **a):
    """Twice too much."""
    d = good(gr, y, x, **a)
    return d * 2 if a["steps"] and any(s < -1 for s in a["steps"]) else d


@breaks("cast")
def cast_to_bfloat16(good, gr, y, x, *, dtype):
    """Twice too much."""
    return good(gr, y, x, dtype=dtype) * (2 if dtype.name == "bfloat16" else 1)


@breaks("reshape")
def reshape_to_a_scalar(good, gr, y, x, *, shape):
    """Twice too much."""
    return good(gr, y, x, shape=shape) * (2 if len(shape) == 0 else 1)


@breaks("linalg_inv")
def inv_without_transposition(good, gr, y, A):
    """For matrices that are not symmetric."""
    return -(y @ gr @ y)


@breaks("linalg_solve", None)
def solve_for_several_columns(good, gr, y, A, B):
    """One percent too much."""
    r = list(good(gr, y, A, B))
    r[1] = r[1] * 1.01 if B.shape[-1] > 1 else r[1]
    return tuple(r)


@breaks("irdft")
def irdft_of_odd_lengths(good, gr, y, x, **a):
    """Half of it."""
    d = good(gr, y, x, **a)
    return d * 0.5 if a["length"] % 2 else d


@breaks("index_put", None)
def index_put_still_needs_what_it_overwrote(good, gr, y, x, v, *ids, **a):
    """Nothing flows there."""
    r = list(good(gr, y, x, v, *ids, **a))
    r[0] = gr
    return tuple(r)


@breaks("tanh")
def tanh_of_halves(good, gr, y, x):
    """Ten percent too much."""
    return good(gr, y, x) * (1.1 if x.dtype.name == "float16" else 1)


@breaks("digamma")
def digamma_near_zero(good, gr, y, x):
    """One in a thousand too much."""
    return good(gr, y, x) * (1 + 0.001 * (x < 0.3).to(dtype=gr.dtype))
