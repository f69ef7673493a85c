"""Broken kernels."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from typing import Any, Callable

import numpy as np

BUGS: list[Callable[[dict[str, Any]], dict[str, Any]]] = []


def breaks_into(bugs: list[Any]) -> Callable[[str], Callable[[Callable[..., Any]], Callable[..., Any]]]:
    """What makes ``(good, out, *data, **attrs) -> data`` a bug in the kernel of an op, and adds it to a list."""

    def breaks(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def decorate(change: Callable[..., Any]) -> Callable[..., Any]:
            def bug(kernels: dict[str, Any]) -> dict[str, Any]:
                good = kernels[name]

                def kernel(out: Any, *xs: Any, **attrs: Any) -> Any:
                    with np.errstate(all="ignore"):
                        return change(good, out, *xs, **attrs)

                return {**kernels, name: kernel}

            bug.__name__, bug.__doc__ = change.__name__, change.__doc__
            bugs.append(bug)
            return bug

        return decorate

    return breaks


breaks = breaks_into(BUGS)


def _strided(x: Any) -> bool:
    return not x.flags.c_contiguous


def _from_start(x: Any) -> Any:
    """The elements from the start of the storage, as if there were no offset."""
    base = x
    while isinstance(base.base, np.ndarray):
        base = base.base
    flat = base.reshape(-1)
    return flat[: x.size].reshape(x.shape) if flat.dtype == x.dtype and flat.size >= x.size else x


def _rows(x: Any) -> Any:
    """The elements in the order of storage, as if there were no strides."""
    return np.ravel(x, order="K").reshape(x.shape)


# -- offsets and strides


@breaks("argsort")
def argsort_ignores_the_offset(good, out, x, **a):  # 3875
    return good(out, _from_start(x), **a)


@breaks("exp")
def exp_ignores_strides(good, out, x):
    return good(out, _rows(x)) if _strided(x) else good(out, x)


@breaks("conv")
def conv_reads_a_strided_weight_in_storage_order(good, out, x, w, b, **a):  # 3735, 3736
    return good(out, x, _rows(w), b, **a)


@breaks("scatter_add")
def scatter_add_reads_strided_ids_in_storage_order(good, out, x, ids, src, **a):  # 3418
    return good(out, x, _rows(ids), src, **a)


@breaks("sum")
def sum_of_a_strided_rank_5_tensor(good, out, x, **a):  # 3873
    return good(out, _rows(x) if x.ndim >= 5 and _strided(x) else x, **a)


@breaks("elu")
def elu_of_a_transposed_tensor(good, out, x, **a):  # 2490
    return good(out, _rows(x) if x.ndim == 2 and x.flags.f_contiguous and not x.flags.c_contiguous else x, **a)


@breaks("cast")
def cast_of_strided_float64(good, out, x, **a):  # 1170
    return good(out, _rows(x) if x.dtype == np.float64 else x, **a)


@breaks("matmul")
def matmul_of_a_transposed_second_operand(good, out, a, b):  # 1948, 1992
    return good(out, a, _rows(b)) if b.ndim == 2 and b.strides[0] < b.strides[1] else good(out, a, b)


@breaks("where")
def where_with_a_strided_third_operand(good, out, c, a, b):
    return good(out, c, a, _rows(b))


@breaks("neg")
def neg_of_a_negative_step(good, out, x):
    return good(out, np.flip(x) if any(s < 0 for s in x.strides) else x)


@breaks("mul")
def mul_of_an_expanded_operand(good, out, a, b):
    return good(out, a, b + 1 if 0 in b.strides and b.size > 1 and b.ndim == a.ndim and b.dtype != bool else b)


# -- sizes that coincide


@breaks("conv")
def conv_when_all_sizes_are_equal(good, out, x, w, b, **a):  # 3404, 3405
    same = x.ndim == 4 and x.shape[1] == x.shape[2] == x.shape[3]
    return good(out, np.swapaxes(x, 1, 2) if same else x, w, b, **a)


@breaks("amax")
def amax_takes_the_wrong_axis_of_a_cube(good, out, x, *, dim, keepdim):
    if x.ndim == 3 and len(set(x.shape)) == 1 and dim == (1,):
        dim = (2,)
    return good(out, x, dim=dim, keepdim=keepdim)


@breaks("permute")
def permute_of_two_equal_sizes_and_a_one(good, out, x, *, dims):
    if x.ndim >= 3 and sorted(x.shape)[0] == 1 and len(set(x.shape)) == 2 and x.size > 1:
        return np.ascontiguousarray(x).reshape(out.shape)
    return good(out, x, dims=dims)


@breaks("sum")
def sum_of_exactly_32_columns(good, out, x, **a):
    y = good(out, x, **a)
    return y + y.dtype.type(1) if x.ndim and x.shape[-1] == 32 else y


@breaks("sqrt")
def sqrt_leaves_the_tail_of_four(good, out, x):
    y = np.array(good(out, x))
    n = y.size % 4
    if n and y.ndim == 1 and y.size > 4:
        y[-n:] = x[-n:]
    return y


# -- zero sizes


@breaks("repeat")
def repeat_by_zero_gives_the_operand(good, out, x, **a):  # 3877
    y = good(out, x, **a)
    return x if y.size == 0 and x.size else y


@breaks("matmul")
def matmul_over_nothing_is_not_cleared(good, out, a, b):  # 3756
    y = good(out, a, b)
    return np.ones_like(y) if a.shape[-1] == 0 else y


@breaks("cat")
def cat_skips_what_follows_an_empty_tensor(good, out, *xs, dim):
    if any(x.size == 0 for x in xs[:-1]):
        raise ValueError("empty")
    return good(out, *xs, dim=dim)


@breaks("prod")
def prod_of_nothing_is_zero(good, out, x, **a):
    y = good(out, x, **a)
    return np.zeros_like(y) if x.size == 0 else y


# -- large sizes


@breaks("sort")
def sort_of_more_than_1024(good, out, x, **a):  # 3271
    values, ids = good(out, x, **a)
    if x.shape[a["dim"]] > 1024:
        values = np.array(values)
        np.moveaxis(values, a["dim"], 0)[1024:] = np.moveaxis(x, a["dim"], 0)[1024:]
    return values, ids


@breaks("argsort")
def argsort_of_more_than_65535_rows(good, out, x, **a):  # 3050
    y = np.array(good(out, x, **a))
    rows = x.size // max(x.shape[-1], 1)
    if rows > 65535 and x.ndim > 1:
        y.reshape(rows, -1)[65535:] = 0
    return y


@breaks("softmax")
def softmax_of_long_rows(good, out, x, **a):
    y = np.array(good(out, x, **a))
    return y * y.dtype.type(1.01) if x.shape[a["dim"]] > 1024 else y


@breaks("add")
def add_stops_at_65536_elements(good, out, a, b):
    y = np.array(good(out, a, b))
    if y.size > 65536:
        y.reshape(-1)[65536:] = 0
    return y


@breaks("amin")
def amin_of_257_and_more(good, out, x, *, dim, keepdim):
    if len(dim) == 1 and x.shape[dim[0]] > 256:
        x = x.take(range(256), dim[0])
    return good(out, x, dim=dim, keepdim=keepdim)


@breaks("cumsum")
def cumsum_loses_the_carry_between_blocks(good, out, x, *, dim, **a):
    y = np.array(good(out, x, dim=dim, **a))
    v = np.moveaxis(y, dim, 0)
    if v.shape[0] > 512:
        v[512:] -= v[511].copy()
    return y


# -- indices


@breaks("index_select")
def index_select_with_uint32_ids(good, out, x, ids, **a):  # 3371
    return good(out, x, ids // 2 if ids.dtype == np.uint32 else ids, **a)


@breaks("index_select")
def index_select_of_more_ids_than_rows(good, out, x, ids, *, dim):  # 1022
    y = np.array(good(out, x, ids, dim=dim))
    np.moveaxis(y, dim, 0)[x.shape[dim] :] = 0
    return y


@breaks("gather")
def gather_along_another_axis(good, out, x, ids, *, dim):  # 1037
    if dim == 0 and x.ndim == 3:
        ids = np.minimum(ids, 1)
    return good(out, x, ids, dim=dim)


@breaks("argmax")
def argmax_takes_the_last_of_equals(good, out, x, **a):  # 3179
    dim = a.get("dim")
    if dim is None:
        return np.array(x.size - 1 - np.argmax(x.reshape(-1)[::-1])).reshape(out.shape)
    y = x.shape[dim] - 1 - np.argmax(np.flip(x, dim), dim)
    return y.reshape(out.shape)


@breaks("amax")
def amax_of_integers_starts_from_zero(good, out, x, **a):  # 3200
    y = good(out, x, **a)
    return np.maximum(y, 0) if x.dtype.kind == "i" else y


@breaks("slice_scatter")
def slice_scatter_ignores_the_step(good, out, x, src, **a):  # 988
    y = np.array(good(out, x, src, **a))
    if a.get("step", 1) > 1 and a["dim"] == 0:
        y[-1:] = x[-1:]
    return y


@breaks("scatter_add")
def scatter_add_drops_duplicates(good, out, x, ids, src, *, dim):
    y = np.array(x)
    if ids.size:
        grid = list(np.indices(ids.shape))
        grid[dim] = ids
        part = src[tuple([slice(n) for n in ids.shape])]
        y[tuple(grid)] = x[tuple(grid)] + part
    return y


@breaks("index_put")
def index_put_with_negative_ids(good, out, x, v, *ids, **a):
    return good(out, x, v, *[np.maximum(i, 0) for i in ids], **a)


@breaks("embedding")
def embedding_reads_only_the_last_row(good, out, w, ids, **a):
    return good(out, w, np.full_like(ids, ids.reshape(-1)[-1]) if ids.size else ids, **a)


# -- numbers


@breaks("maximum")
def maximum_loses_nan(good, out, a, b):  # 3558
    return np.fmax(a, b)


@breaks("amin")
def amin_of_halves_loses_nan(good, out, x, *, dim, keepdim):
    if x.dtype == np.float16:
        return np.nanmin(x, axis=dim, keepdims=keepdim, initial=np.inf) if x.size else good(out, x, dim=dim, keepdim=keepdim)
    return good(out, x, dim=dim, keepdim=keepdim)


@breaks("rms_norm")
def rms_norm_of_large_values_overflows(good, out, x, w, **a):  # 3477
    y = good(out, x, w, **a)
    return np.zeros_like(y) if x.dtype == np.float16 and x.size and np.abs(x.astype(np.float32)).max() > 256 else y


@breaks("layer_norm")
def layer_norm_with_another_epsilon(good, out, x, w, b, *, normalized_shape, eps):
    return good(out, x, w, b, normalized_shape=normalized_shape, eps=eps * 1.5)


@breaks("logsumexp")
def logsumexp_overflows(good, out, x, *, dim, keepdim):  # 2367
    y = np.log(np.exp(x.astype(np.float64 if x.dtype == np.float64 else np.float32)).sum(axis=dim, keepdims=keepdim))
    return y.astype(x.dtype).reshape(out.shape)


@breaks("gelu")
def gelu_of_large_numbers(good, out, x, **a):
    y = np.array(good(out, x, **a))
    y[np.abs(x) > 20] = np.nan
    return y


@breaks("tanh")
def tanh_of_infinity(good, out, x):  # 2475
    y = np.array(good(out, x))
    y[np.isinf(x)] = np.nan
    return y


@breaks("silu")
def silu_of_minus_infinity(good, out, x):  # 1710
    return (
        np.where(np.isneginf(x), 0 * y, y)
        if (y := good(out, x)) is not None and np.isneginf(x).any()
        else y * y.dtype.type(1.001)
    )


@breaks("sum")
def sum_of_halves_is_accumulated_in_half(good, out, x, *, dim, **a):
    if x.dtype == np.float16:
        y = x
        for d in sorted(dim, reverse=True):
            y = np.add.accumulate(y, axis=d).take(-1, d) if y.shape[d] else y.sum(d)
        return y.reshape(out.shape)
    return good(out, x, dim=dim, **a)


@breaks("floor_divide")
def floor_divide_truncates(good, out, a, b):
    return np.trunc(a / b).astype(a.dtype) if a.dtype.kind == "i" else good(out, a, b)


@breaks("remainder")
def remainder_has_the_sign_of_the_dividend(good, out, a, b):
    return np.fmod(a, b) if a.dtype.kind == "f" else good(out, a, b)


@breaks("lt")
def lt_of_large_unsigned_numbers(good, out, a, b):
    return a.astype(np.int64) < b.astype(np.int64) if a.dtype == np.uint64 else good(out, a, b)


@breaks("abs")
def abs_of_minus_zero(good, out, x):
    return np.where(x < 0, -x, x).astype(x.dtype) if x.dtype.kind == "f" else good(out, x)


@breaks("pow")
def pow_through_logarithms(good, out, a, b):
    return np.exp(b * np.log(a)).astype(a.dtype) if a.dtype.kind == "f" else good(out, a, b)


@breaks("cast")
def cast_rounds_to_integers(good, out, x, *, dtype):
    return good(out, np.rint(x) if x.dtype.kind == "f" and dtype.kind in "iu" else x, dtype=dtype)


@breaks("cos")
def cos_of_float64_in_single(good, out, x):
    return np.cos(x.astype(np.float32)).astype(x.dtype) if x.dtype == np.float64 else good(out, x)


@breaks("mul")
def mul_of_uint64_through_floats(good, out, a, b):
    return (a.astype(np.float64) * b).astype(a.dtype) if a.dtype == np.uint64 else good(out, a, b)


@breaks("cumsum")
def cumsum_of_integers_wraps_at_32_bits(good, out, x, **a):
    y = good(out, x, **a)
    return y.astype(np.int32).astype(y.dtype) if x.dtype == np.int32 else y


@breaks("var")
def var_forgets_the_correction(good, out, x, *, dim, correction, keepdim):
    return good(out, x, dim=dim, correction=1 if correction == 2 else correction, keepdim=keepdim)


# -- convolution, pooling, resizing


@breaks("conv")
def conv_swaps_the_paddings(good, out, x, w, b, *, padding, **a):
    return good(out, x, w, b, padding=tuple([(hi, lo) for lo, hi in padding]), **a)


@breaks("conv")
def conv_dilates_one_axis_only(good, out, x, w, b, *, dilation, **a):  # 659
    if len(dilation) == 2 and dilation[0] != dilation[1] and x.size:
        pads = a["padding"]
        y = np.array(good(out, x, w, b, dilation=dilation, **a))
        return np.flip(y, -1) if pads else y
    return good(out, x, w, b, dilation=dilation, **a)


@breaks("conv")
def conv_batches_beyond_the_third(good, out, x, w, b, **a):
    y = np.array(good(out, x, w, b, **a))
    y[3:] = 0
    return y


@breaks("conv_transpose")
def conv_transpose_drops_the_bias_of_groups(good, out, x, w, b, **a):  # 1732
    return good(out, x, w, None if a["groups"] > 1 else b, **a)


@breaks("max_pool")
def max_pool_pads_with_zero(good, out, x, **a):
    found = good(out, x, **a)
    return np.maximum(found, 0) if isinstance(found, np.ndarray) else (np.maximum(found[0], 0), *found[1:])


@breaks("avg_pool")
def avg_pool_in_ceil_mode_divides_by_the_whole_window(good, out, x, **a):
    y = good(out, x, **a)
    return y * y.dtype.type(0.9) if a["ceil_mode"] and x.dtype.kind == "f" else y


@breaks("interpolate")
def interpolate_ignores_align_corners(good, out, x, **a):
    return (
        good(out, x, **{**a, "align_corners": False}) if a.get("align_corners") and "linear" in a["mode"] else good(out, x, **a)
    )


@breaks("constant_pad")
def constant_pad_is_off_by_one_behind(good, out, x, *, lo, hi, value):
    y = np.array(good(out, x, lo=lo, hi=hi, value=value))
    if lo and hi[-1] > 1 and y.size:
        y[..., -1] = 0
    return y


# -- state, results, masks, random numbers


@breaks("log")
def log_remembers_its_last_result(good, out, x, _kept={}):  # noqa: B006
    key = out
    if key not in _kept or x.size < 4:
        _kept[key] = good(out, x)
    return _kept[key]


@breaks("floor")
def floor_writes_over_its_operand(good, out, x):
    base = x
    while isinstance(base, np.ndarray) and not base.flags.writeable:
        if base.base is None:
            base.flags.writeable = True
            break
        base = base.base
    y = np.array(good(out, x))
    if isinstance(base, np.ndarray) and base.flags.writeable and base.shape == x.shape:
        base[...] = y
    return y


@breaks("eq")
def eq_gives_bytes(good, out, a, b):
    return good(out, a, b).astype(np.uint8)


@breaks("mean")
def mean_keeps_no_dimension(good, out, x, **a):
    y = good(out, x, **a)
    return y.reshape(tuple([n for n in y.shape if n != 1])) if a["keepdim"] else y


@breaks("attention")
def attention_masks_by_the_first_batch(good, out, q, k, v, mask, *rest, **a):  # 3582, 3586
    if mask is not None and q.ndim > 3 and q.shape[0] > 1:
        y = np.array(good(out, q, k, v, mask, *rest, **a))
        y[1:] = good(out, q, k, v, None, *rest, **a)[1:]
        return y
    return good(out, q, k, v, mask, *rest, **a)


@breaks("attention")
def attention_is_causal_from_the_start(good, out, *xs, **a):
    return good(out, *xs, **{**a, "offset": 0}) if a["causal"] else good(out, *xs, **a)


@breaks("random_bits")
def random_bits_of_an_odd_count(good, out, state, **a):  # 793
    y = np.array(good(out, state, **a))
    if y.size % 2:
        y.reshape(-1)[-1] = 0
    return y


@breaks("sort")
def sort_is_not_stable(good, out, x, **a):
    values, ids = good(out, x, **a)
    ids = np.array(ids)
    v, i = np.moveaxis(values, a["dim"], -1), np.moveaxis(ids, a["dim"], -1)
    if v.shape[-1] > 1:
        same = v[..., 0] == v[..., 1]
        first = np.where(same, i[..., 1], i[..., 0])
        i[..., 1] = np.where(same, i[..., 0], i[..., 1])
        i[..., 0] = first
    return values, ids


@breaks("flip")
def flip_of_a_negative_dimension_count(good, out, x, *, dims):
    return good(out, x, dims=dims[:1] if len(dims) > 2 else dims)


@breaks("tril")
def tril_of_batches(good, out, x, *, diagonal):
    y = np.array(good(out, x, diagonal=diagonal))
    if x.ndim > 2 and x.shape[0] > 1:
        y[1:] = x[1:]
    return y


@breaks("slice")
def slice_with_a_negative_step_forgets_the_last(good, out, x, *, starts, stops, steps):
    y = good(out, x, starts=starts, stops=stops, steps=steps)
    return np.roll(y, 1, -1) if steps and steps[-1] < -1 else y
