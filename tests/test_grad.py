"""The tape: against PyTorch's autograd, in its own semantics, and where it refuses."""

from __future__ import annotations

import dataclasses
import gc
import threading
import weakref

import numpy as np
import pytest
from torch_check import check, same, to_torch, torch

import candle
from candle import GradientError

rng = np.random.default_rng(0)
A, B = rng.standard_normal((3, 4)).astype("f"), rng.standard_normal((4, 2)).astype("f")


def leaf(array):
    return candle.tensor(array, device="numpy").requires_grad_()


FUNCTIONS = {
    "shared": lambda x, y: ((x @ y).exp() + x.sum()) * (x @ y),
    "broadcast": lambda x, y: (x[:, :1] * y[0] + y.sum(0)).sum(0),
    "reused": lambda x, y: (x * x * x - x).sum() * y,
    "promoted": lambda x, y: x * 2 + y.sum().double(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_and_second_gradients_agree_with_torch(name):
    check(FUNCTIONS[name], None, A, B, second=True)


def test_backward_accumulates_and_zeroing_forgets():
    x = leaf(A)
    (x * 2).sum().backward()
    (x * 3).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.full_like(A, 5))
    x.grad = None
    (x * 3).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.full_like(A, 3))


def test_grad_is_pure_and_follows_the_form_of_its_arguments():
    x, y = leaf(A), leaf(B)
    found = candle.grad((x @ y).sum(), {"x": x, "y": y})
    assert set(found) == {"x", "y"} and found["x"].shape == x.shape and x.grad is None
    assert isinstance(candle.grad((x @ y).sum(), (x, y)), tuple)


def test_grad_of_a_function():
    f = lambda x: (x * x).sum()
    g = candle.grad(f)(candle.tensor([1.0, 2.0]))
    np.testing.assert_array_equal(g.numpy(), [2, 4])
    h = candle.grad(lambda x: candle.grad(f, create_graph=True)(x).sum())(candle.tensor([1.0, 2.0]))
    np.testing.assert_array_equal(h.numpy(), [2, 2])
    value, (a, b) = candle.value_and_grad(lambda a, b: (a * b).sum(), argnums=(0, 1))(candle.tensor([3.0]), candle.tensor([4.0]))
    assert (value.item(), a.item(), b.item()) == (12, 4, 3)


def test_jvp_vjp_jacobian_and_hessian_agree_with_torch():
    f = lambda x: (x @ x.T).exp() * x.sum()
    x = A[:, :2].astype("d") / 4
    v, u = rng.standard_normal(x.shape), rng.standard_normal((3, 3))
    same(candle.jvp(f, [candle.tensor(x)], [candle.tensor(v)]), torch.autograd.functional.jvp(f, to_torch(x), to_torch(v)))
    y, pull = candle.vjp(f, candle.tensor(x))
    want = torch.autograd.functional.vjp(f, to_torch(x), to_torch(u))
    same((y, pull(candle.tensor(u))[0]), want)
    same(candle.jacobian(f, candle.tensor(x)), torch.autograd.functional.jacobian(f, to_torch(x)))
    s = lambda x: (x * x * x).sum() + (x @ x.T).sum()
    same(candle.hessian(s, candle.tensor(x)), torch.autograd.functional.hessian(s, to_torch(x)))


def test_the_tape_holds_values_not_names():
    """Rebinding a name after use changes nothing that was computed with it."""
    x, w = leaf(A), candle.tensor(B)
    y = x @ w
    w[:] = 0.0
    w += 1
    (g,) = candle.grad(y.sum(), [x])
    np.testing.assert_allclose(g.numpy(), np.broadcast_to(B.sum(1), A.shape), rtol=1e-6)


def test_assignment_into_a_tracked_tensor_is_differentiable():
    def f(lib, x, v):
        y = x * 2
        y[1:, ::2] = v
        y[0] += 1
        return y.exp()

    v = rng.standard_normal((2, 2)).astype("f")
    check(lambda x, v: f(candle, x, v), lambda x, v: f(torch, x, v), A, v)


def test_leaves_refuse_to_change_unless_untracked():
    x = leaf(A)
    for change in (lambda: x.add_(1), lambda: x.__setitem__(0, 1), lambda: x.__iadd__(1), lambda: x.zero_()):
        with pytest.raises(GradientError, match="no_grad"):
            change()
    with candle.no_grad():
        x += 1
        x[0] = 0
    assert x.requires_grad and x.is_leaf
    (x * 1).sum().backward()
    assert x.grad is not None


def test_a_tensor_from_an_index_refuses_assignment_and_says_how():
    x = candle.zeros(3, 4)
    with pytest.raises(candle.ShapeError, match=r"x\[0, 1\] = v"):
        x[0][1] = 5.0
    with pytest.raises(candle.ShapeError, match=r"x\[0\] = "):
        x[0].fill_(1)
    x[0] += 1
    np.testing.assert_array_equal(x.numpy()[0], np.ones(4))


@pytest.mark.parametrize(
    ("act", "text"),
    [
        (lambda: candle.ones(2).sum().backward(), "not tracked"),
        (lambda: (leaf(A) * 1).backward(), "needs a seed"),
        (lambda: (leaf(A) * 1).backward(candle.ones(3)), "shape"),
        (lambda: candle.ones(2, dtype=candle.int64).requires_grad_(), r"\.float\(\)"),
        (lambda: candle.grad(leaf(A).sum(), leaf(A)), "allow_unused"),
        (lambda: candle.grad(leaf(A).sum(), candle.ones(2)), "untracked"),
        (lambda: (leaf(A) * 1).requires_grad_(False), "detach"),
    ],
)
def test_errors_say_what_to_do(act, text):
    with pytest.raises((GradientError, candle.ShapeError), match=text):
        act()


def test_a_freed_tape_says_so_and_retained_ones_can_be_used_again():
    x = leaf(A)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(GradientError, match="retain_graph=True"):
        y.backward()
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), 6 * A, rtol=1e-6)


def test_no_grad_enable_grad_and_decorators():
    x = leaf(A)
    with candle.no_grad():
        assert not (x * 2).requires_grad and not candle.is_grad_enabled()
        with candle.enable_grad():
            assert (x * 2).requires_grad
    assert candle.is_grad_enabled()
    assert not candle.no_grad()(lambda: x * 2)().requires_grad

    @candle.no_grad
    def f():
        return x * 2

    assert not f().requires_grad
    with candle.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert candle.is_grad_enabled()


def test_grad_mode_belongs_to_the_thread():
    seen = []
    with candle.no_grad():
        t = threading.Thread(target=lambda: seen.append(candle.is_grad_enabled()))
        t.start()
        t.join()
    assert seen == [True]


def test_retain_grad_leaves_the_gradient_of_a_result():
    x = leaf(A)
    y = x * 2
    y.retain_grad()
    (y * 3).sum().backward()
    np.testing.assert_array_equal(y.grad.numpy(), np.full_like(A, 3))


def test_values_a_gradient_does_not_need_are_not_kept():
    """add's gradient needs neither operand: the tape must not keep them alive."""
    x = leaf(A)
    big = candle.tensor(np.ones((3, 4), "f"), device="numpy")
    kept = weakref.ref(big.value.base if big.value.base is not None else big.value)
    y = x + big
    del big
    gc.collect()
    assert kept() is None
    y.sum().backward()


def test_long_chains_do_not_recurse():
    x = leaf(np.ones(2, "f"))
    y = x
    for _ in range(5000):
        y = y + 1
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1, 1])


def test_checkpoint_gives_the_same_gradients_and_runs_again():
    w, calls = leaf(B), []

    def block(x):
        calls.append(1)
        return ((x @ w).exp() @ w.T).sin()

    x = leaf(A)
    block(x).sum().backward()
    want = x.grad.numpy().copy(), w.grad.numpy().copy()
    x.grad = w.grad = None
    y = candle.checkpoint(block, x * 1)
    n = len(calls)
    y.sum().backward()
    assert len(calls) == n + 1
    np.testing.assert_allclose(x.grad.numpy(), want[0], rtol=1e-6)
    np.testing.assert_allclose(w.grad.numpy(), want[1], rtol=1e-6)


def test_checkpoint_with_a_seed_drops_the_same_elements_again():
    candle.manual_seed(3)
    x = leaf(np.ones((64,), "f"))
    y = candle.checkpoint(lambda t: candle.nn.functional.dropout(t, 0.5) * 2, x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


@pytest.fixture(autouse=True)
def kernels():
    """The reference takes in the kernels of ops that a test declares; they go again with those."""
    numpy = candle.tensor(0, device="numpy").backend
    before = numpy.kernels
    yield
    numpy.kernels = before


def test_a_custom_op_is_one_function_with_its_gradient():
    @candle.composite("T[] -> T[]", candle.dtype.FLOATS, name="test_cube", vjp=(lambda g, _y, x: g * 3 * x * x,), method=False)
    def cube(x):
        """x times x times x."""
        return x * x * x

    try:
        check(cube, lambda x: x * x * x, A, second=True)
        with pytest.raises(ValueError, match="already an op"):
            candle.composite("T[] -> T[]", candle.dtype.FLOATS, name="test_cube")(lambda x: x)
    finally:
        del candle.OPS["test_cube"]


def test_a_primitive_of_ones_own_runs_and_has_a_gradient():
    @candle.primitive("T[] -> T[]", candle.dtype.FLOATS, name="test_cbrt", vjp=(lambda g, y, _x: g / (3 * y * y),), method=False)
    def cbrt(x):
        """Cube root."""
        return np.cbrt(x)

    try:
        check(cbrt, lambda x: x ** (1 / 3), np.abs(A) + 1, second=True)
    finally:
        del candle.OPS["test_cbrt"]


def test_an_op_without_gradient_says_so():
    op = dataclasses.replace(candle.OPS["exp"], name="test_exp", vjp=None)
    with pytest.raises(GradientError, match="test_exp has no gradient"):
        op(leaf(A)).sum().backward()


def test_deepcopy_and_pickle_keep_leaves_and_refuse_tapes():
    import copy
    import pickle

    x = leaf(A)
    for y in (copy.deepcopy(x), pickle.loads(pickle.dumps(x)), copy.copy(x)):
        assert y.requires_grad and y.is_leaf and y is not x
        np.testing.assert_array_equal(y.numpy(), A)
    for act in (copy.deepcopy, pickle.dumps):
        with pytest.raises(GradientError, match="detach"):
            act(x * 2)
