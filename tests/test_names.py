"""The names and call forms that a PyTorch user tries: methods, functions, forms in place, special functions, small layers."""

from __future__ import annotations

import numpy as np
import pytest
from torch_check import check, same, torch

import candle

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4))
IDS = np.array([[0, 2, 1], [2, 2, 0]])


def both(text, **names):
    """An expression, or statements that end in ``x``, in both libraries."""
    found = []
    for library, made in ((candle, candle.tensor), (torch, torch.tensor)):
        scope = {"c": library, "F": library.nn.functional, "nn": library.nn, **{k: made(v) for k, v in names.items()}}
        if "; " in text or "=" in text.split("(")[0]:
            exec(text, scope)
            found.append(scope["x"])
        else:
            found.append(eval(text, scope))
    ours, theirs = found
    if isinstance(theirs, (torch.Tensor, list, tuple)):
        same(ours, theirs, what=text)
    else:
        assert ours == theirs, text


@pytest.mark.parametrize("text", [
    "x.nelement()", "x.ndimension()", "x.is_signed()", "x.byte().is_signed()", "x.is_same_size(x.T)", "x[0, 0].is_nonzero()",
    "x.stride()", "x[None].stride(0)", "x.byte()", "x.char()", "x.cfloat()", "x.cdouble()", "x.get_device()", "x.is_cuda",
    "x.sum_to_size(1, 4)", "x.sum_to_size((4,))", "x.renorm(2, 0, 1.0)", "x.renorm(1, -1, 0.5)", "x.resolve_conj()",
    "x.contiguous(memory_format=c.contiguous_format) if False else x", "x.new_full((2,), 3.0, requires_grad=True).requires_grad",
    "x.new_zeros(2, 3)", "x.new_empty((2, 0))", "x.new_ones((2,), dtype=c.int32)", "x.new_tensor([1, 2])",
    "c.is_tensor(x)", "c.is_floating_point(x)", "c.is_complex(x)", "c.is_nonzero(x[0, 0])", "c.numel(x)", "c.clone(x)",
    "c.detach(x)", "c.pi", "c.inf", "c.e", "x[c.newaxis].shape == (1, 3, 4)", "list(c.broadcast_shapes((3, 1), (1, 4), 4))",
    "c.pdist(x)", "c.pdist(x, 1.0)", "F.pdist(x)", "c.unravel_index((x > 0).long().flatten() * 7, (3, 4))",
    "c.frombuffer(bytes(range(16)), dtype=c.int32, offset=4)", "c.rsqrt_(x.abs())", "c.relu_(x.clone())", "F.elu_(x.clone())",
    "F.leaky_relu_(x.clone(), 0.2)", "F.threshold_(x.clone(), 0.1, 20.0)", "c.clamp_(x.clone(), 0, 1)", "F.rrelu(x)",
    "nn.RReLU(0.1, 0.2).eval()(x)", "nn.ReLU(True)(x)", "nn.ELU(0.5, True)(x)",
    "nn.TripletMarginWithDistanceLoss(margin=0.5)(x, x + 1, x - 0.1)",
    "nn.TripletMarginWithDistanceLoss(distance_function=lambda a, b: (a - b).abs().sum(-1))(x, x + 1, x - 0.1)",
])  # fmt: skip
def test_what_pytorch_says_of_it(text):
    both(text, x=X)


@pytest.mark.parametrize("text", [
    "x.unsqueeze_(1).squeeze_(); x", "x.unsqueeze_(0); x", "x.transpose_(0, 1); x", "x.t_(); x", "x.swapaxes_(0, 1); x",
    "x.clamp_min_(0.1); x", "x.clamp_max_(0.1); x", "x = x[:, :3].clone(); x.addmm_(x + 0, x + 0, beta=0.5, alpha=2)",
    "x = x[0].clone(); x.addmv_(c.eye(4, dtype=x.dtype), x)", "x.fill_diagonal_(7.0); x",
    "x = x.T.clone(); x.fill_diagonal_(7.0)",
    "x = c.zeros(7, 3); x.fill_diagonal_(5, wrap=True)", "x = c.zeros(3, 3, 3); x.fill_diagonal_(5)", "x.renorm_(2, 1, 0.5); x",
    "x.masked_fill_(x > 0, -1); x", "x.index_add_(0, c.tensor([0, 0]), c.ones(2, 4, dtype=x.dtype)); x",
    "x.index_fill_(1, c.tensor([0]), 9); x",
    "x.index_copy_(0, c.tensor([1]), c.ones(1, 4, dtype=x.dtype)); x", "x.scatter_(1, c.tensor([[0], [1]]), 5.0); x",
    "x.scatter_add_(1, c.tensor([[0], [1]]), c.ones(2, 1, dtype=x.dtype)); x", "x.lerp_(x * 0, 0.5); x", "x.pow_(2); x",
    "x.copy_(c.arange(4)); x", "x.cumsum_(0); x", "x.tril_(); x", "x.put_(c.tensor([0, 5]), c.ones(2, dtype=x.dtype)); x",
    "x.index_put_((c.tensor([0, 1]),), c.ones(4, dtype=x.dtype)); x", "x.exp_().log_().neg_().abs_().sqrt_(); x",
    "x.data = x.data * 2; x", "x.zero_(); x",
])  # fmt: skip
def test_forms_in_place(text):
    both(text, x=X)


def test_a_reversed_tensor():
    x = candle.tensor(X)
    assert (reversed(x) == x.flip(0)).all()


SPECIAL = np.array([-60.0, -40.0, -12.0, -3.0, -1.0, -0.1, 0.0, 0.1, 0.5, 1.0, 2.0, 7.0, 40.0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["ndtr", "log_ndtr", "entr", "expit", "psi", "gammaln"])
def test_special_functions(name, dtype):
    x = (SPECIAL if name in ("ndtr", "log_ndtr", "expit") else np.abs(SPECIAL) + 0.1).astype(dtype)
    check(getattr(candle.special, name), getattr(torch.special, name), x, rtol=1e-5 if dtype == "float32" else 1e-9)


def test_special_functions_of_two_arguments_and_their_edges():
    check(candle.special.entr, torch.special.entr, SPECIAL, grad=False)
    p = np.array([0.0, 1e-10, 0.2, 0.5, 0.9, 1.0, 1.5, np.nan])
    check(candle.special.ndtri, torch.special.ndtri, p, grad=False, rtol=1e-7)
    x, y = np.array([0.0, 0.0, 2.0, -1.0, np.nan]), np.array([np.inf, np.nan, 0.5, 3.0, 1.0])
    check(candle.special.xlog1py, torch.special.xlog1py, x, y, grad=False)
    check(candle.special.xlog1py, torch.special.xlog1py, x[2:4], y[2:4])
    for d in (1, 3):
        check(
            lambda t, d=d: candle.special.multigammaln(t, d),
            lambda t, d=d: torch.special.multigammaln(t, d),
            np.array([2.5, 7.0]),
        )
    assert candle.special.ndtr(candle.tensor([0])).tolist() == [0.5]
    with pytest.raises(AttributeError, match="did you mean 'gammaln'"):
        candle.special.gamaln  # noqa: B018


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 2])
def test_bags_of_embeddings(mode, padding):
    weight = RNG.standard_normal((5, 4))
    flat, offsets = np.array([0, 2, 2, 1, 4, 2, 3]), np.array([0, 3, 3, 6])

    def run(library):
        def bag(w):
            F, made = library.nn.functional, library.tensor
            return (
                F.embedding_bag(made(IDS), w, mode=mode, padding_idx=padding),
                F.embedding_bag(made(flat), w, made(offsets), mode=mode, padding_idx=padding),
                F.embedding_bag(made(flat), w, made(np.append(offsets, 7)), mode=mode, include_last_offset=True),
            )

        return bag

    check(run(candle), run(torch), weight, second=True)
    both = [library.nn.EmbeddingBag(5, 4, mode=mode, padding_idx=padding) for library in (candle, torch)]
    both[0].load_state_dict(both[1].state_dict())
    same(both[0](candle.tensor(IDS)).detach(), both[1](torch.tensor(IDS)))


def test_bags_with_weights_and_their_mistakes():
    weight, w = RNG.standard_normal((5, 4)), RNG.standard_normal((2, 3))

    def run(library):
        return lambda a, b: library.nn.functional.embedding_bag(library.tensor(IDS), a, mode="sum", per_sample_weights=b)

    check(run(candle), run(torch), weight, w)
    F = candle.nn.functional
    with pytest.raises(ValueError, match=r"takes indices \[bags, per bag\], or \[n\] with offsets"):
        F.embedding_bag(candle.tensor([1]), candle.tensor(weight))
    with pytest.raises(candle.CandleError, match="mode is 'sum', 'mean' or 'max' but 'avg'"):
        F.embedding_bag(candle.tensor(IDS), candle.tensor(weight), mode="avg")


def test_parameters_as_a_vector():
    m, t = candle.nn.Linear(3, 4), torch.nn.Linear(3, 4)
    m.load_state_dict(t.state_dict())
    v = candle.nn.utils.parameters_to_vector(m.parameters())
    same(v.detach(), torch.nn.utils.parameters_to_vector(t.parameters()))
    candle.nn.utils.vector_to_parameters(v.detach() * 2, m.parameters())
    same(m.weight.detach(), t.weight * 2)
    with pytest.raises(ValueError, match="takes the 16 elements"):
        candle.nn.utils.vector_to_parameters(v[:-1], m.parameters())
    (m(candle.ones(2, 3)) ** 2).sum().backward()
    assert candle.nn.utils.clip_grad_norm_(m.parameters(), 1.0) > 0


def test_shapes_that_do_not_broadcast_are_named():
    with pytest.raises(ValueError, match=r"the shapes \(2, 3\), \(4,\) do not broadcast"):
        candle.broadcast_shapes((2, 3), (4,))
    with pytest.raises(ValueError, match="no whole number of float64"):
        candle.frombuffer(b"123", dtype=candle.float64)


@pytest.mark.parametrize("text", [
    "c.add(input=x, other=x)", "c.mul(input=x, other=2.0)", "x.mul(other=x)", "x.add(other=x, alpha=2)", "x.pow(exponent=2)",
    "c.pow(input=x, exponent=3)", "c.sub(x, other=x)", "c.sum(input=x, dim=1)", "c.matmul(input=x, other=x.T)",
    "c.mm(input=x, mat2=x.T)", "c.bmm(x[None], mat2=x.T[None])", "c.addmm(input=x @ x.T, mat1=x, mat2=x.T)",
    "c.addmv(x[:, 0], mat=x, vec=x[0])", "c.addr(x, vec1=x[:, 0], vec2=x[0])", "c.outer(x[0], vec2=x[1])", "c.mv(x, vec=x[0])",
    "c.addcmul(input=x, tensor1=x, tensor2=x, value=0.5)", "c.baddbmm(x[None] @ x.T, batch1=x[None], batch2=x.T[None])",
    "c.where(condition=x > 0, input=x, other=-x)", "c.cat(tensors=[x, x], dim=1)", "c.stack(tensors=(x, x))", "c.eq(x, other=x)",
    "c.clamp(input=x, min=0.0, max=1.0)", "c.softmax(input=x, dim=1)", "c.exp(input=x)", "c.maximum(x, other=-x)",
    "c.gather(input=x, dim=1, index=(x[:, :2] > 0).long())", "c.atan2(input=x, other=x)", "c.remainder(x, other=0.7)",
    "c.transpose(input=x, dim0=0, dim1=1)", "c.max(input=x, dim=1)", "c.sort(input=x, dim=0)", "c.topk(input=x, k=2)",
    "c.split(tensor=x, split_size_or_sections=2, dim=1)[0]", "c.flatten(input=x)", "c.reshape(input=x, shape=(4, 3))",
    "c.inner(x, other=x)", "c.kron(x, other=x)", "c.einsum('ij,kj->ik', x, x)", "c.isclose(x, other=x)",
    "c.roll(input=x, shifts=1)",
    "F.linear(input=x, weight=x)", "F.relu(input=x)", "F.gelu(input=x)", "F.layer_norm(input=x, normalized_shape=(4,))",
    "F.mse_loss(input=x, target=-x)", "F.cross_entropy(input=x, target=x[:, 0].long() * 0)", "F.dropout(input=x, p=0.0)",
    "F.cosine_similarity(x1=x, x2=x.flip(0))", "F.margin_ranking_loss(input1=x, input2=-x, target=x.sign())",
    "F.pad(input=x, pad=(1, 2))", "F.normalize(input=x)", "F.conv1d(input=x[None], weight=x[None, :, :2])",
    "F.avg_pool1d(input=x[None], kernel_size=2)", "F.max_pool1d(input=x[None], kernel_size=2)", "F.one_hot(input=(x > 0).long())",
    "F.interpolate(input=x[None], size=8)", "F.embedding(input=(x[0] > 0).long(), weight=x)",
    "F.batch_norm(input=x, running_mean=x[0] * 0, running_var=x[0] * 0 + 1)",
    "F.scaled_dot_product_attention(query=x[None], key=x[None], value=x[None])",
    "c.linalg.norm(x, ord=2)", "c.fft.fft(input=x, dim=0).real",
    "c.linalg.solve(A=x[:, :3], B=x)", "c.tril(input=x, diagonal=1)", "c.unsqueeze(input=x, dim=0)", "c.nonzero(input=x > 0)",
])  # fmt: skip
def test_operands_under_pytorchs_names(text):
    both(text, x=X)
