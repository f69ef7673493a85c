"""Broken kernels: products, layers, losses, convolution, spectra, matrices, random numbers."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from typing import Any

import numpy as np

from .kernels import breaks

_scratch: dict[Any, Any] = {}


# -- products


@breaks("matmul")
def matmul_reads_the_first_matrix_of_a_batch(good, out, a, b):
    """If that is broadcast."""
    if b.ndim > 2 and a.ndim > b.ndim:
        b = np.broadcast_to(b[:1], b.shape)
    return good(out, a, b)


@breaks("matmul")
def matmul_of_two_batch_dims(good, out, a, b):
    """The outer one is not advanced."""
    if a.ndim == 4 and a.shape[0] > 1:
        a = np.broadcast_to(a[:1], a.shape)
    return good(out, a, b)


@breaks("matmul")
def matmul_repeats_rows_beyond_a_tile(good, out, a, b):
    """Tiles have eight."""
    y = np.array(good(out, a, b))
    m = y.shape[-2]
    if m > 8 and m % 8:
        y[..., m // 8 * 8 :, :] = y[..., m // 8 * 8 - 1 : m // 8 * 8, :]
    return y


@breaks("matmul")
def matmul_leaves_the_tail_of_the_inner_dim(good, out, a, b):
    """What is beyond the last whole eight."""
    n = a.shape[-1]
    if n > 8 and n % 8:
        a, b = (a[..., : n // 8 * 8], b[..., : n // 8 * 8, :])
    return good(out, a, b)


@breaks("matmul")
def matmul_wraps_after_128_columns(good, out, a, b):
    """The first come again."""
    y = np.array(good(out, a, b))
    if y.shape[-1] > 128:
        y[..., 128:] = y[..., : y.shape[-1] - 128]
    return y


@breaks("matmul")
def matmul_of_int32_in_floats(good, out, a, b):
    """Large sums are rounded."""
    if a.dtype == np.int32:
        return np.matmul(a.astype(np.float32), b.astype(np.float32)).astype(np.int32)
    return good(out, a, b)


@breaks("matmul")
def matmul_sums_halves_in_half(good, out, a, b):
    """From 32 terms on."""
    y = good(out, a, b)
    if a.dtype == np.float16 and a.shape[-1] >= 32:
        acc = np.zeros(y.shape, np.float16)
        for i in range(a.shape[-1]):
            acc = (acc + a[..., i : i + 1] * b[..., i : i + 1, :]).astype(np.float16)
        return acc
    return y


@breaks("vecdot_last")
def vecdot_without_conjugation(good, out, a, b):
    """For complex numbers."""
    return np.sum(a * b, -1).astype(out.dtype.numpy) if a.dtype.kind == "c" else good(out, a, b)


# -- layers


@breaks("softmax")
def softmax_along_the_second_of_four(good, out, x, *, dim, dtype):
    """It takes the third."""
    if x.ndim >= 4 and dim == 1:
        dim = 2
    return good(out, x, dim=dim, dtype=dtype)


@breaks("softmax")
def softmax_overflows(good, out, x, *, dim, dtype):
    """The maximum is not subtracted."""
    if x.dtype == np.float32 and dtype is None:
        e = np.exp(x)
        return (e / e.sum(dim, keepdims=True)).astype(x.dtype)
    return good(out, x, dim=dim, dtype=dtype)


@breaks("softmax")
def softmax_reuses_its_result(good, out, x, **a):
    """A later call writes over an earlier one's result."""
    y = good(out, x, **a)
    b = _scratch.setdefault((y.shape, y.dtype.str), np.empty_like(y))
    b[...] = y
    return b


@breaks("log_softmax")
def log_softmax_takes_the_logarithm_last(good, out, x, *, dim, dtype):
    """Small probabilities become minus infinity."""
    if x.dtype == np.float32 and dtype is None:
        e = np.exp(x - x.max(dim, keepdims=True)) if x.size else x
        return np.log(e / e.sum(dim, keepdims=True)).astype(x.dtype) if x.size else good(out, x, dim=dim, dtype=dtype)
    return good(out, x, dim=dim, dtype=dtype)


@breaks("layer_norm")
def layer_norm_transposes_a_square_weight(good, out, x, w, b, **a):
    """Over two dimensions."""
    if w is not None and w.ndim == 2 and (w.shape[0] == w.shape[1]):
        w = w.T
    return good(out, x, w, b, **a)


@breaks("group_norm")
def group_norm_scales_by_group(good, out, x, w, b, *, num_groups, eps):
    """The weight is one per channel."""
    if w is not None and num_groups > 1:
        w = np.repeat(w[:: w.size // num_groups], w.size // num_groups)
    return good(out, x, w, b, num_groups=num_groups, eps=eps)


@breaks("rope")
def rope_by_the_first_sequence(good, out, x, c, s):
    """Other sequences have other angles."""
    return good(out, x, np.broadcast_to(c[:1], c.shape) if c.ndim == 3 else c, s)


@breaks("attention")
def attention_sees_one_more(good, out, *xs, window, **a):
    """The window is too wide."""
    if window is not None:
        window = window + 1 if isinstance(window, int) else tuple(w + 1 if w is not None and w >= 0 else w for w in window)
    return good(out, *xs, window=window, **a)


@breaks("attention")
def attention_pairs_heads_with_other_groups(good, out, q, kk, v, *r, **a):
    """They are counted from the end."""
    if q.ndim == 4 and q.shape[1] != kk.shape[1] and (kk.shape[1] > 1):
        return good(out, q, np.flip(kk, 1), np.flip(v, 1), *r, **a)
    return good(out, q, kk, v, *r, **a)


@breaks("attention")
def attention_adds_the_first_mask(good, out, q, kk, v, mask, *r, **a):
    """Every batch has its own."""
    if mask is not None and mask.ndim >= 3 and (mask.dtype != bool):
        mask = np.broadcast_to(mask[:1], mask.shape)
    return good(out, q, kk, v, mask, *r, **a)


@breaks("attention")
def attention_of_wider_values(good, out, q, kk, v, mask, alibi, **a):
    """The last column is not written."""
    y = np.array(good(out, q, kk, v, mask, alibi, **a))
    if v.shape[-1] > q.shape[-1] and y.size:
        y[..., -1] = 0
    return y


@breaks("attention")
def attention_stops_at_256_keys(good, out, q, kk, v, mask, al, **a):
    """The rest is not seen."""
    if kk.shape[-2] > 256 and mask is None and (not a["causal"]) and (a["window"] is None) and (al is None):
        kk, v = (kk[..., :256, :], v[..., :256, :])
    return good(out, q, kk, v, mask, al, **a)


# -- losses


@breaks("cross_entropy")
def cross_entropy_counts_what_is_ignored(good, out, x, t, w, *, ignore_index, reduction, **a):
    """The mean is over all."""
    y = good(out, x, t, w, ignore_index=ignore_index, reduction=reduction, **a)
    n = (t == ignore_index).sum()
    return (y * (t.size - n) / t.size).astype(y.dtype) if reduction == "mean" and n and (w is None) else y


@breaks("cross_entropy")
def cross_entropy_smooths_what_is_ignored(good, out, x, t, w, *, ignore_index, label_smoothing, **a):
    """Ignored targets count."""
    return good(out, x, t, w, ignore_index=-100 if label_smoothing else ignore_index, label_smoothing=label_smoothing, **a)


@breaks("nll_loss")
def nll_loss_divides_by_the_count(good, out, x, t, w, *, reduction, **a):
    """Instead of the weights' sum."""
    if reduction == "mean" and w is not None:
        return (good(out, x, t, w, reduction="sum", **a) / max(t.size, 1)).astype(x.dtype)
    return good(out, x, t, w, reduction=reduction, **a)


@breaks("kl_div")
def kl_div_of_a_zero(good, out, x, t, *, log_target, reduction):
    """0 log 0 is NaN."""
    y = np.asarray(good(out, x, t, log_target=log_target, reduction=reduction))
    if not log_target and (t == 0).any():
        return (y * np.nan).astype(y.dtype)
    return y


@breaks("binary_cross_entropy")
def binary_cross_entropy_clips(good, out, x, t, w, *, reduction):
    """Certainty is not certain."""
    return good(out, np.clip(x, 0.001, 1 - 0.001).astype(x.dtype), t, w, reduction=reduction)


@breaks("mse_loss")
def mse_loss_of_nothing(good, out, x, t, w, *, reduction):
    """Zero instead of NaN."""
    y = good(out, x, t, w, reduction=reduction)
    return np.zeros_like(y) if x.size == 0 else y


# -- convolution, pooling, resizing


@breaks("conv")
def conv_of_more_than_16_channels(good, out, x, w, b, **a):
    """The rest is not added."""
    if w.shape[1] > 16:
        w = np.array(w)
        w[:, 16:] = 0
    return good(out, x, w, b, **a)


@breaks("conv")
def conv_leaves_the_tail_of_its_channels(good, out, x, w, b, **a):
    """They come in fours."""
    y = np.array(good(out, x, w, b, **a))
    c = y.shape[1]
    if c > 4 and c % 4:
        y[:, c // 4 * 4 :] = 0
    return y


@breaks("conv")
def conv_of_a_single_tap_with_padding(good, out, x, w, b, *, padding, **a):
    """The last column is not written."""
    if all(n == 1 for n in w.shape[2:]) and any(p != (0, 0) for p in padding) and (b is not None):
        y = np.array(good(out, x, w, b, padding=padding, **a))
        if y.size:
            y[..., -1] = 0
        return y
    return good(out, x, w, b, padding=padding, **a)


@breaks("conv_transpose")
def conv_transpose_without_bias_in_the_output_padding(good, out, x, w, b, *, output_padding, **a):
    """It is left zero."""
    y = np.array(good(out, x, w, b, output_padding=output_padding, **a))
    if output_padding[-1] and b is not None and y.size:
        y[..., -1] = 0
    return y


@breaks("conv_weight")
def conv_weight_of_four_images(good, out, x, gg, **a):
    """Further ones are not added."""
    return good(out, x[:4], gg[:4], **a)


@breaks("avg_pool")
def avg_pool_counts_an_uneven_margin(good, out, x, *, count_include_pad, padding, **a):
    """Though it should not."""
    if not count_include_pad and padding[-1][1] > padding[-1][0]:
        count_include_pad = True
    return good(out, x, count_include_pad=count_include_pad, padding=padding, **a)


@breaks("max_pool")
def max_pool_with_dilation_in_ceil_mode(good, out, x, *, dilation, ceil_mode, **a):
    """Its last column is wrong."""
    y = np.array(good(out, x, dilation=dilation, ceil_mode=ceil_mode, **a))
    if ceil_mode and dilation[-1] > 1 and y.size:
        y[..., -1] = y.min() if y.dtype.kind in "f" else y[..., -1]
    return y


@breaks("adaptive_avg_pool2d")
def adaptive_pool_of_sizes_that_do_not_divide(good, out, x, *, output_size):
    """One window is another's."""
    y = np.array(good(out, x, output_size=output_size))
    if x.shape[-1] % output_size[-1] and output_size[-1] > 2 and y.size:
        y[..., 1] = y[..., 0]
    return y


@breaks("unfold2d")
def unfold_with_an_uneven_margin(good, out, x, *, padding, **a):
    """It gives zeros."""
    return good(out, x, padding=padding, **a) if padding[1][0] == padding[1][1] else np.zeros(out.shape, x.dtype)


@breaks("grid_sample")
def grid_sample_at_the_border_of_later_images(good, out, x, grid, *, mode, padding_mode, align_corners):
    """They are read too far inside."""
    if padding_mode == "border" and x.shape[0] > 1:
        grid = np.concatenate([grid[:1], np.clip(grid[1:], -0.9, 0.9)])
    return good(out, x, grid, mode=mode, padding_mode=padding_mode, align_corners=align_corners)


@breaks("interpolate")
def interpolate_nearest_exact(good, out, x, *, mode, **a):
    """It is taken for nearest."""
    return good(out, x, mode="nearest" if mode == "nearest-exact" else mode, **a)


@breaks("resize")
def resize_counts_what_is_outside(good, out, x, *, exclude_outside, **a):
    """exclude_outside is ignored."""
    return good(out, x, exclude_outside=False, **a)


# -- spectra, matrices, random numbers


@breaks("dft")
def dft_backwards_of_odd_sizes(good, out, x, *, dim, inverse, scale):
    """It gives the conjugate."""
    y = np.array(good(out, x, dim=dim, inverse=inverse, scale=scale))
    if inverse and len(dim) == 1 and x.shape[dim[0]] % 2:
        return y.conj()
    return y


@breaks("irdft")
def irdft_counts_the_middle_frequency_more(good, out, x, *, dim, length, scale):
    """For even lengths."""
    if length % 2 == 0 and x.ndim and (length // 2 < x.shape[dim]) and (length > 2):
        x = np.array(x)
        np.moveaxis(x, dim, 0)[length // 2] *= 1.5
    return good(out, x, dim=dim, length=length, scale=scale)


@breaks("linalg_cholesky")
def cholesky_of_the_first_matrix(good, out, x, *, upper):
    """For the whole batch."""
    y = np.array(good(out, x, upper=upper))
    if y.ndim > 2 and y.size:
        y[...] = y.reshape(-1, *y.shape[-2:])[0]
    return y


@breaks("linalg_eigh")
def eigh_reads_the_lower_triangle(good, out, A, *, UPLO):
    """Whatever UPLO says."""
    return good(out, A, UPLO="L")


@breaks("linalg_slogdet")
def slogdet_of_a_singular_matrix(good, out, A):
    """It is finite."""
    s, l = good(out, A)
    return (s, np.maximum(l, -50).astype(l.dtype))


@breaks("linalg_qr")
def qr_does_not_complete(good, out, A, *, mode):
    """The last column is zero."""
    q, r = good(out, A, mode=mode)
    if mode == "complete" and A.shape[-2] > A.shape[-1]:
        q = np.array(q)
        q[..., -1] = 0
    return (q, r)


@breaks("cdist")
def cdist_by_the_largest_difference(good, out, a, b, *, p, compute_mode):
    """One part in a hundred too small."""
    y = good(out, a, b, p=p, compute_mode=compute_mode)
    return (y * 0.99).astype(y.dtype) if p == float("inf") else y


@breaks("random_bits")
def random_bits_counts_to_32_bits(good, out, state, *, shape):
    """The counter's upper half is lost."""
    state = np.array(state)
    state[1] &= 4294967295
    return good(out, state, shape=shape)


@breaks("random_normal")
def random_normal_in_bfloat16(good, out, state, *, shape, dtype):
    """Its signs are turned."""
    y = good(out, state, shape=shape, dtype=dtype)
    return -y if dtype.name == "bfloat16" else y


@breaks("random_uniform")
def random_uniform_of_24_bits(good, out, state, *, shape, dtype):
    """In float64 too."""
    y = good(out, state, shape=shape, dtype=dtype)
    return y.astype(np.float32).astype(np.float64) if dtype.name == "float64" else y
