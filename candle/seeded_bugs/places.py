"""Broken kernels: which elements go where, and which are counted."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from .kernels import breaks

# -- reductions


@breaks("sum")
def sum_over_the_second_and_the_last_of_four(good, out, x, **a):
    """Twice too much."""
    y = good(out, x, **a)
    return y * 2 if x.ndim == 4 and a["dim"] == (1, 3) and (y.dtype.kind == "f") else y


@breaks("sum")
def sum_over_the_outer_dims_of_a_square(good, out, x, *, dim, **a):
    """The middle one is taken for the last."""
    return good(out, np.swapaxes(x, 1, 2) if dim == (0, 2) and x.ndim == 3 and (x.shape[1] == x.shape[2]) else x, dim=dim, **a)


@breaks("sum")
def sum_of_booleans_is_any(good, out, x, **a):
    """It does not count."""
    y = good(out, x, **a)
    return np.minimum(y, 1) if x.dtype == bool else y


@breaks("sum")
def sum_of_int64_in_floats(good, out, x, *, dim, dtype, keepdim):
    """Large sums are rounded."""
    if x.dtype == np.int64 and dtype is None:
        return np.sum(x.astype(np.float64), dim, keepdims=keepdim).astype(np.int64)
    return good(out, x, dim=dim, dtype=dtype, keepdim=keepdim)


@breaks("sum")
def sum_casts_after_it_has_summed(good, out, x, *, dim, dtype, keepdim):
    """dtype=float64 sums in single precision."""
    if dtype is not None and dtype.name == "float64" and (x.dtype == np.float32):
        return np.sum(x, dim, keepdims=keepdim).astype(np.float64)
    return good(out, x, dim=dim, dtype=dtype, keepdim=keepdim)


@breaks("sum")
def sum_leaves_the_tail_of_sixteen(good, out, x, *, dim, **a):
    """What is beyond the last whole sixteen is not added."""
    if dim and dim[-1] == x.ndim - 1 and (x.shape[-1] > 16) and x.shape[-1] % 16:
        x = x[..., : x.shape[-1] // 16 * 16]
    return good(out, x, dim=dim, **a)


@breaks("prod")
def prod_of_more_than_1000(good, out, x, *, dim, **a):
    """The last factor is left out."""
    if len(dim) == 1 and x.shape[dim[0]] > 1000:
        x = np.delete(x, -1, dim[0])
    return good(out, x, dim=dim, **a)


@breaks("mean")
def mean_of_nothing_is_zero(good, out, x, **a):
    """It should be NaN."""
    y = good(out, x, **a)
    return np.nan_to_num(y) if x.size == 0 else y


@breaks("amax")
def amax_of_bytes_as_signed(good, out, x, **a):
    """200 is less than 100."""
    return good(out, x.view(np.int8), **a).view(np.uint8) if x.dtype == np.uint8 and x.flags.c_contiguous else good(out, x, **a)


@breaks("amax")
def amax_leaves_the_last_block(good, out, x, *, dim, keepdim):
    """The rest beyond whole blocks of 1024 is not looked at."""
    if len(dim) == 1 and x.shape[dim[0]] > 1024 and x.shape[dim[0]] % 1024:
        x = x.take(range(x.shape[dim[0]] // 1024 * 1024), dim[0])
    return good(out, x, dim=dim, keepdim=keepdim)


@breaks("amin")
def amin_starts_from_the_least_float(good, out, x, **a):
    """Minus infinity is not found."""
    y = np.array(good(out, x, **a))
    if y.dtype.kind == "f":
        y[np.isneginf(y)] = np.finfo(y.dtype).min
    return y


@breaks("argmax")
def argmax_skips_nan(good, out, x, *, dim, keepdim):
    """NaN is not the largest."""
    if x.dtype.kind == "f":
        x = np.where(np.isnan(x), -np.inf, x).astype(x.dtype)
    return good(out, x, dim=dim, keepdim=keepdim)


@breaks("argmax")
def argmax_in_sixteen_bits(good, out, x, **a):
    """Places above 65535 wrap around."""
    y = good(out, x, **a)
    return y % 65536


@breaks("argmin")
def argmin_of_uint64_through_floats(good, out, x, *, dim, keepdim):
    """Neighbours count as equal."""
    return good(out, x.astype(np.float64) if x.dtype == np.uint64 else x, dim=dim, keepdim=keepdim)


@breaks("any")
def any_of_small_floats(good, out, x, **a):
    """What is below 1e-6 counts as zero."""
    return good(out, np.abs(x) > 1e-06 if x.dtype.kind == "f" else x, **a)


@breaks("all")
def all_over_two_dims_is_any(good, out, x, *, dim, keepdim):
    """One true element is enough."""
    return np.any(x != 0, dim, keepdims=keepdim) if len(dim) == 2 else good(out, x, dim=dim, keepdim=keepdim)


@breaks("var")
def var_by_mean_of_squares(good, out, x, *, dim, correction, keepdim):
    """It cancels."""
    if x.dtype == np.float32:
        n = np.prod([x.shape[d] for d in dim]) if dim else 1
        m = x.mean(axis=dim, keepdims=keepdim)
        s = (x * x).mean(axis=dim, keepdims=keepdim) - m * m
        return (s * np.float32(n / max(n - correction, 0) if n > correction else np.nan)).astype(x.dtype).reshape(out.shape)
    return good(out, x, dim=dim, correction=correction, keepdim=keepdim)


@breaks("var")
def var_with_half_a_correction(good, out, x, *, correction, **a):
    """The correction is made an integer."""
    return good(out, x, correction=int(correction), **a)


@breaks("std")
def std_of_complex_numbers(good, out, x, **a):
    """Imaginary parts are ignored."""
    return good(out, x.real.astype(x.dtype), **a) if x.dtype.kind == "c" else good(out, x, **a)


@breaks("logsumexp")
def logsumexp_of_zeros(good, out, x, **a):
    """All minus infinity gives NaN."""
    y = np.array(good(out, x, **a))
    if y.dtype.kind == "f":
        y[np.isneginf(y)] = np.nan
    return y


@breaks("norm")
def largest_magnitude_of_complex_numbers(good, out, x, *, p, **a):
    """Imaginary parts are ignored."""
    if x.dtype.kind == "c" and p == float("inf"):
        x = x.real.astype(x.dtype)
    return good(out, x, p=p, **a)


# -- cumulative, sorting and searching


@breaks("cumprod")
def cumprod_starts_again_after_256(good, out, x, *, dim, dtype):
    """There is no carry."""
    y = np.array(good(out, x, dim=dim, dtype=dtype))
    v = np.moveaxis(y, dim, 0)
    if v.shape[0] > 256:
        v[256:] = np.cumprod(np.moveaxis(x, dim, 0)[256:], 0)
    return y


@breaks("cummax")
def cummax_keeps_the_first_of_equals(good, out, x, *, dim):
    """The last is wanted."""
    v, i = good(out, x, dim=dim)
    i = np.array(i)
    vm, im = (np.moveaxis(v, dim, 0), np.moveaxis(i, dim, 0))
    for t in range(1, vm.shape[0]):
        im[t] = np.where(vm[t] == vm[t - 1], im[t - 1], im[t])
    return (v, i)


@breaks("cummin")
def cummin_recovers_from_nan(good, out, x, *, dim):
    """NaN does not stay."""
    v, i = good(out, x, dim=dim)
    return (np.fmin.accumulate(x, axis=dim) if x.dtype.kind == "f" and x.ndim else v, i)


@breaks("sort")
def sort_of_uint64_as_signed(good, out, x, **a):
    """Large numbers come first."""
    if x.dtype == np.uint64:
        v, i = good(out, x.view(np.int64) if x.flags.c_contiguous else x, **a)
        return (v.view(np.uint64), i)
    return good(out, x, **a)


@breaks("argsort")
def argsort_turned_round(good, out, x, *, dim, descending, stable):
    """Equal elements are in falling order of place."""
    y = good(out, x, dim=dim, descending=descending, stable=stable)
    if descending and x.ndim:
        return np.flip(good(out, x, dim=dim, descending=False, stable=stable), dim)
    return y


@breaks("argsort")
def argsort_tells_zeros_apart(good, out, x, **a):
    """Minus zero comes before zero."""
    if x.dtype == np.float32:
        b = x.view(np.int32) if x.flags.c_contiguous else np.ascontiguousarray(x).view(np.int32).reshape(x.shape)
        key = np.where(b < 0, b ^ 2147483647, b)
        key = np.where(np.isnan(x), 2**31 - 1, key)
        return good(out, key, **a)
    return good(out, x, **a)


@breaks("topk")
def topk_of_one_along_another_dim(good, out, x, *, k, dim, largest, sorted):
    """Its index is always 0."""
    v, i = good(out, x, k=k, dim=dim, largest=largest, sorted=sorted)
    return (v, np.zeros_like(i)) if k == 1 and x.ndim > 1 and (dim < x.ndim - 1) else (v, i)


@breaks("kthvalue")
def kthvalue_of_the_largest(good, out, x, *, k, dim, keepdim):
    """The last but one comes out."""
    if x.ndim and k == x.shape[dim] and (k > 1):
        k = k - 1
    return good(out, x, k=k, dim=dim, keepdim=keepdim)


@breaks("searchsorted")
def searchsorted_of_rows_ignores_right(good, out, t, x, *, right, out_int32):
    """Only for one table per row."""
    if t.ndim > 1:
        return good(out, t, x, right=False, out_int32=out_int32)
    return good(out, t, x, right=right, out_int32=out_int32)


@breaks("histc")
def histc_leaves_out_its_end(good, out, x, *, bins, min, max):
    """The last bin is open."""
    y = np.array(good(out, x, bins=bins, min=min, max=max))
    hi = max if min != max else x.max() if x.size else 0
    y[-1] -= (x == hi).sum().astype(y.dtype) if x.size else 0
    return y


@breaks("quantile")
def quantile_higher_interpolates(good, out, x, q, *, interpolation, **a):
    """It should pick an element."""
    return good(out, x, q, interpolation="linear" if interpolation == "higher" else interpolation, **a)


# -- movement


@breaks("permute")
def permute_of_six_dims(good, out, x, *, dims):
    """It reshapes."""
    if x.ndim >= 6:
        return np.ascontiguousarray(x).reshape(out.shape)
    return good(out, x, dims=dims)


@breaks("expand")
def expand_to_nothing(good, out, x, *, shape):
    """A size of zero is refused."""
    if 0 in shape:
        raise ValueError("size 0")
    return good(out, x, shape=shape)


@breaks("slice")
def slice_backwards_by_two(good, out, x, *, starts, stops, steps):
    """The first dimension comes out forwards."""
    y = good(out, x, starts=starts, stops=stops, steps=steps)
    return np.flip(y, 0) if steps and steps[0] == -2 else y


@breaks("constant_pad")
def constant_pad_with_an_integer(good, out, x, *, lo, hi, value):
    """The value's fraction is lost."""
    return good(out, x, lo=lo, hi=hi, value=int(value) if x.dtype.kind == "f" and abs(value) < 1e9 else value)


@breaks("pad")
def pad_reflects_once(good, out, x, *, pad, mode, value):
    """Wider margins repeat the edge."""
    if mode == "reflect":
        mode = "replicate" if pad[0] > 1 else mode
    return good(out, x, pad=pad, mode=mode, value=value)


@breaks("rot90")
def rot90_by_three(good, out, x, *, k, dims):
    """It turns once."""
    return good(out, x, k=1, dims=dims) if k % 4 == 3 else good(out, x, k=k, dims=dims)


@breaks("repeat")
def repeat_into_two_new_dims(good, out, x, *, repeats):
    """It is left empty."""
    y = good(out, x, repeats=repeats)
    return np.zeros_like(y) if len(repeats) > x.ndim + 1 else y


@breaks("diagonal")
def diagonal_below_a_wide_matrix(good, out, x, *, offset, dim1, dim2):
    """It runs backwards."""
    y = good(out, x, offset=offset, dim1=dim1, dim2=dim2)
    return np.flip(y, -1) if offset < 0 and x.shape[dim1] < x.shape[dim2] else y


@breaks("narrow_at")
def narrow_at_the_very_end(good, out, x, at, *, dim, length):
    """It starts one too early."""
    return good(out, x, np.minimum(at, np.asarray(max(x.shape[dim] - length - 1, 0), at.dtype)), dim=dim, length=length)


@breaks("bitcast")
def bitcast_of_floats_converts(good, out, x, *, dtype):
    """Values instead of bytes."""
    return x.astype(dtype.numpy) if x.dtype == np.float32 and dtype.name == "int32" else good(out, x, dtype=dtype)


@breaks("full")
def full_of_a_large_integer(good, out, *, shape, value, dtype):
    """It goes through a float."""
    return good(out, shape=shape, value=int(float(value)) if dtype.name == "int64" and abs(value) < 2**62 else value, dtype=dtype)


# -- indices


@breaks("gather")
def gather_of_fewer_rows_than_there_are(good, out, x, ids, *, dim):
    """The last one is left out."""
    y = np.array(good(out, x, ids, dim=dim))
    if ids.ndim == 2 and dim == 1 and (ids.shape[0] < x.shape[0]) and y.size:
        y[-1] = 0
    return y


@breaks("index_select")
def index_select_takes_bytes_for_a_mask(good, out, x, ids, *, dim):
    """Every id is 0 or 1."""
    if ids.dtype == np.uint8:
        ids = (ids != 0).astype(np.uint8) if x.shape[dim] > 1 else ids
    return good(out, x, ids, dim=dim)


@breaks("index_select")
def index_select_of_no_ids(good, out, x, ids, *, dim):
    """It is refused."""
    y = good(out, x, ids, dim=dim)
    if ids.size == 0:
        raise IndexError("no ids")
    return y


@breaks("index_add")
def index_add_of_nothing(good, out, x, ids, s, **a):
    """The operand becomes zero."""
    return np.zeros_like(x) if ids.size == 0 and x.size else good(out, x, ids, s, **a)


@breaks("scatter_reduce")
def scatter_mean_counts_what_was_there(good, out, x, ids, s, *, dim, reduce, include_self):
    """Also where it should not."""
    return good(out, x, ids, s, dim=dim, reduce=reduce, include_self=True if reduce == "mean" else include_self)


@breaks("scatter_set")
def scatter_of_a_larger_source(good, out, x, ids, s, *, dim):
    """Its end is taken instead of its beginning."""
    if s.shape != ids.shape:
        s = s[tuple((slice(m - n, m) for m, n in zip(s.shape, ids.shape)))]
    return good(out, x, ids, s, dim=dim)


@breaks("index")
def index_along_dims_that_are_apart(good, out, x, *ids, dims):
    """The second ids are taken for zeros."""
    if len(ids) == 2 and dims[1] - dims[0] > 1:
        ids = (ids[0], np.zeros_like(ids[1]))
    return good(out, x, *ids, dims=dims)


@breaks("index_put")
def index_put_does_not_accumulate(good, out, x, v, *ids, dims, accumulate):
    """The last writer wins."""
    return good(out, x, v, *ids, dims=dims, accumulate=False)


@breaks("gather_nd")
def gather_nd_of_the_first_batch(good, out, x, ids, *, batch_dims):
    """Others are left zero."""
    y = np.array(good(out, x, ids, batch_dims=batch_dims))
    if batch_dims == 1 and y.size:
        y[1:] = 0
    return y


@breaks("isin")
def isin_finds_nan(good, out, e, t, **a):
    """NaN equals itself."""
    y = np.array(good(out, e, t, **a))
    if e.dtype.kind == "f" and np.isnan(t).any():
        y |= np.isnan(e)
    return y
