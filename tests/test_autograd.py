"""Gradients in PyTorch's words: hooks, functions with a gradient of their own, checks by differences, anomalies."""

from __future__ import annotations

import numpy as np
import pytest
from torch_check import torch

import candle
from candle.errors import GradientError


def pair(shape=(3, 4), seed=0):
    x = np.random.default_rng(seed).standard_normal(shape)
    return candle.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)


def cube(library):
    class Cube(library.autograd.Function):
        @staticmethod
        def forward(ctx, x, n):
            y = x**n
            ctx.save_for_backward(x, y)
            ctx.n = n
            return y, x.sum()

        @staticmethod
        def backward(ctx, g, s):
            x, y = ctx.saved_tensors
            assert ctx.needs_input_grad == (True, False)
            return g * ctx.n * y / x + s, None

    return Cube


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_function_with_a_gradient_of_its_own_is_differentiated_as_often_as_one_likes(order):
    found = []
    for library, x in zip((candle, torch), pair()):
        y, s = cube(library).apply(x, 3)
        total = (y * 2).sum() + s * s
        for _ in range(order):
            (g,) = library.autograd.grad(total, x, create_graph=True)
            total = (g * g).sum()
        found.append(g.detach().numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-10)


def test_a_function_with_setup_context_and_a_result_without_gradient():
    class Split(candle.autograd.Function):
        @staticmethod
        def forward(x):
            return x * 2, x.sign()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.mark_non_differentiable(output[1])

        @staticmethod
        def backward(ctx, g, _):
            return g * 2

    x, _ = pair()
    y, s = Split.apply(x)
    assert y.requires_grad and not s.requires_grad
    (g,) = candle.autograd.grad(y.sum(), x)
    assert (g == 2).all()


def test_a_functions_mistakes_are_named():
    class Short(candle.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            return g

    x, _ = pair()
    with pytest.raises(GradientError, match=r"one gradient per argument of forward \(2\) but gave 1"):
        Short.apply(x, x).sum().backward()


@pytest.mark.parametrize("library", [candle, torch])
def test_hooks_see_and_change_gradients(library):
    x = library.ones(3).requires_grad_()
    y = x * 2
    seen = []
    handle = y.register_hook(lambda g: seen.append(g.tolist()))
    y.register_hook(lambda g: g * 10)
    x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.tolist()))
    y.sum().backward(retain_graph=True)
    assert seen == [[1.0] * 3, [20.0] * 3] and x.grad.tolist() == [20.0] * 3
    handle.remove()
    y.sum().backward()
    assert seen == [[1.0] * 3, [20.0] * 3, [40.0] * 3]
    with pytest.raises(RuntimeError, match="require"):
        library.ones(3).register_hook(print)


@pytest.mark.parametrize("library", [candle, torch])
def test_grad_and_backward_have_pytorchs_forms(library):
    x, y, z = (library.ones(3).requires_grad_() for _ in range(3))
    total = (x * y).sum()
    first, unused = library.autograd.grad(total, [x, z], retain_graph=True, allow_unused=True)
    assert first.tolist() == [1.0] * 3 and unused is None
    assert library.autograd.grad(total, [x, z], retain_graph=True, materialize_grads=True)[1].tolist() == [0.0] * 3
    with pytest.raises(RuntimeError, match="used"):
        library.autograd.grad(total, [x, z], retain_graph=True)
    total.backward(inputs=[y])
    assert x.grad is None and y.grad.tolist() == [1.0] * 3
    library.autograd.backward([x.sum(), (2 * x).sum()])
    assert x.grad.tolist() == [3.0] * 3
    with library.no_grad():
        assert not library.is_grad_enabled()
        with library.enable_grad():
            assert library.is_grad_enabled()
    w = (x * 2).requires_grad_()
    w.retain_grad()
    assert w.retains_grad and not x.retains_grad


def test_gradcheck_accepts_right_gradients_and_refuses_wrong_ones():
    x, _ = pair((2, 3))
    z = (x.detach() + 1j).requires_grad_()
    assert candle.autograd.gradcheck(lambda a, b: (a.sin() * b, a.exp()), (x, x.detach()))
    assert candle.autograd.gradcheck(lambda a: a * a.conj() + a.exp(), (z,))
    assert candle.autograd.gradgradcheck(lambda a: a.tanh() ** 2, (x,))

    class Wrong(candle.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.sin()

        @staticmethod
        def backward(ctx, g):
            return g

    assert not candle.autograd.gradcheck(Wrong.apply, (x,), raise_exception=False)
    with pytest.raises(GradientError, match="with respect to input 0"):
        candle.autograd.gradcheck(Wrong.apply, (x,))
    with pytest.raises(GradientError, match="should be float64"):
        candle.autograd.gradcheck(Wrong.apply, (x.detach().float().requires_grad_(),))


def test_an_anomaly_names_the_op():
    x = candle.tensor([0.0, 1.0], requires_grad=True)
    with candle.autograd.detect_anomaly(), pytest.raises(GradientError, match=r"gradient of sqrt\(float32\[2\]\).*NaN"):
        (x.sqrt() * 0).sum().backward()
    x.grad = None
    (x.sqrt() * 0).sum().backward()
    assert np.isnan(x.grad.numpy()[0])


def test_functions_of_functions_nest():
    x = np.random.default_rng(1).standard_normal(3)
    found = []
    for library in (candle, torch):
        t = library.tensor(x)
        f = library.func
        third = f.grad(lambda a: (f.grad(lambda b: (f.grad(lambda d: (d**4).sum())(b) ** 2).sum())(a)).sum())(t)
        g, (value, aux) = f.grad_and_value(lambda a, b: ((a * b).sum(), a), argnums=(0, 1), has_aux=True)(t, t * 2)
        rows = f.jacrev(lambda a, b: a.sin() * b, argnums=1)(t, t)
        inner = f.jacfwd(f.jacrev(lambda a: (a**3).sum()))(t)
        found.append([v.detach().numpy() for v in (third, *g, value, aux, rows, inner)])
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_a_module_is_called_with_other_parameters():
    weight, x = np.random.default_rng(2).standard_normal((2, 4, 3)).astype(np.float32)
    found = []
    for library in (candle, torch):
        m = library.nn.Sequential(library.nn.Linear(3, 4, bias=False), library.nn.Tanh())
        before = m[0].weight
        w = library.tensor(weight)
        loss = lambda p, m=m, t=library.tensor(x), f=library.func: (f.functional_call(m, p, (t,)) ** 2).sum()
        found.append(library.func.grad(loss)({"0.weight": w})["0.weight"].numpy())
        assert m[0].weight is before and before.grad is None
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    with pytest.raises(candle.CandleError, match="has no parameter or buffer 'weight'; it has 0.weight"):
        candle.func.functional_call(candle.nn.Sequential(candle.nn.Linear(2, 2, bias=False)), {"weight": 1}, candle.ones(2))
