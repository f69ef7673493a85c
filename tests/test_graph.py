"""Capturing and compiling: graphs say what functions do, states are found and written back, and refusals are clear."""

from __future__ import annotations

import json

import numpy as np
import pytest
from torch_check import same

import candle
from candle import CaptureError, FormatError, Spec, nn, optim

rng = np.random.default_rng(0)
X = rng.standard_normal((2, 3)).astype("f")


def tensor(array):
    return candle.tensor(array, device="numpy")


def network():
    candle.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 2)).to("numpy")


def test_a_graph_says_what_the_function_does():
    w = tensor(rng.standard_normal((3, 4)).astype("f"))
    g = candle.capture(lambda x: (x @ w).exp().sum(-1), Spec((2, 3), candle.float32))
    assert [i.name for i in g.inputs] == ["x", "w"] and [i.state for i in g.inputs] == [False, True]
    assert "exp" in str(g) and "float32[2,4]" in str(g) and str(g).count("\n") < 8
    same(g(tensor(X)), (tensor(X) @ w).exp().sum(-1).numpy())


def test_weights_are_named_inputs_and_tied_ones_appear_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(5, 4)

        def forward(self, ids):
            return self.embed(ids) @ self.embed.weight.T

    m = Tied().to("numpy")
    g = candle.capture(m, Spec((3,), candle.int64))
    assert [i.name for i in g.inputs if i.state] == ["embed.weight"]


def test_composites_stay_whole_without_a_target_and_expand_with_one():
    f = nn.functional.mish
    whole = candle.capture(f, Spec((2, 3), candle.float32))
    parts = candle.capture(f, Spec((2, 3), candle.float32), target="numpy")
    assert [c.op.name for c in whole.calls] == ["mish"]
    assert all(not c.op.composite for c in parts.calls) and len(parts.calls) > 1
    assert [c.op.name for c in whole.lower("numpy").calls] == [c.op.name for c in parts.calls]
    backend = candle.device_module.resolve("numpy")
    same(parts.interpreter(backend)(X)[0], f(tensor(X)).numpy())


def test_what_depends_on_constants_only_is_folded_and_weights_are_not():
    w = tensor(np.ones(3, "f"))
    g = candle.capture(lambda x: x + candle.arange(3).float().exp() + w.exp(), Spec((3,), candle.float32))
    assert [c.op.name for c in g.calls].count("exp") == 1 and len(g.constants) == 1


def test_equal_calls_are_written_once_and_unused_ones_not_at_all():
    def f(x):
        x.sin()
        return x.exp() + x.exp()

    assert [c.op.name for c in candle.capture(f, Spec((2,), candle.float32)).calls] == ["exp", "add"]


def test_a_captured_graph_can_be_captured_and_differentiated():
    g = candle.capture(lambda x: (x * x).sum(), Spec((3,), candle.float32))

    def slope(x):
        x = x.detach().requires_grad_()
        return candle.grad(g(x), x)

    again = candle.capture(slope, Spec((3,), candle.float32), target="numpy")
    same(again(tensor(X[0])), 2 * X[0])
    x = tensor(X[0]).requires_grad_()
    same(candle.grad(g(x), x), 2 * X[0])


@pytest.mark.parametrize("make", [lambda p: optim.SGD(p, lr=0.05, momentum=0.9), lambda p: optim.AdamW(p, lr=0.05)])
def test_a_training_step_is_one_graph_and_does_what_eager_does(make):
    runs = []
    for compiled in (False, True):
        m = network()
        opt = make(m.parameters())

        def step(x, y, m=m, opt=opt):
            opt.zero_grad()
            loss = nn.functional.mse_loss(m(x), y)
            loss.backward()
            opt.step()
            return loss

        run = candle.compile(step) if compiled else step
        losses = [run(tensor(X), tensor(X[:, :2])).item() for _ in range(5)]
        opt.param_groups[0]["lr"] = 0.01
        losses += [run(tensor(X), tensor(X[:, :2])).item() for _ in range(3)]
        runs.append((losses, m.state_dict(), m))
        if compiled:
            assert sum(map(len, run.entries.values())) == 1
            names = [i.name for i in run.graph(tensor(X), tensor(X[:, :2])).inputs]
            assert "m.0.weight" in names and any(n.startswith("opt.") for n in names)
    np.testing.assert_allclose(runs[0][0], runs[1][0], rtol=1e-5)
    for k, v in runs[0][1].items():
        np.testing.assert_allclose(runs[1][1][k].numpy(), v.numpy(), rtol=2e-4, atol=1e-6, err_msg=k)
        grad = dict(runs[1][2].named_parameters())[k].grad
        np.testing.assert_allclose(grad.numpy(), dict(runs[0][2].named_parameters())[k].grad.numpy(), rtol=2e-3, atol=1e-5)


def test_gradients_flow_through_a_compiled_model():
    m = network()
    f = candle.compile(m)
    x = tensor(X).requires_grad_()
    (f(x) ** 2).sum().backward()
    found = {k: p.grad.numpy() for k, p in m.named_parameters()} | {"x": x.grad.numpy()}
    m.zero_grad()
    x.grad = None
    (m(x) ** 2).sum().backward()
    for k, p in [*m.named_parameters(), ("x", x)]:
        np.testing.assert_allclose(found[k], p.grad.numpy(), rtol=1e-4, atol=1e-6, err_msg=k)


def test_a_cache_is_read_and_written_back():
    cache = candle.zeros(4, 3, device="numpy")

    @candle.compile
    def append(x, at):
        cache._rebind(cache.write(x[None], at, 0))
        return cache.sum()

    for i in range(3):
        append(tensor(np.full(3, i + 1, "f")), candle.tensor(i, device="numpy"))
    assert len(append.entries) == 1
    same(cache, np.array([[1] * 3, [2] * 3, [3] * 3, [0] * 3], "f"))


def test_assignment_inside_a_compiled_function_is_written_back():
    state = candle.zeros(3, device="numpy")

    @candle.compile
    def f(x):
        state[1:] = x
        return state * 2

    same(f(tensor(np.ones(2, "f"))), np.array([0, 2, 2], "f"))
    same(state, np.array([0, 1, 1], "f"))


def test_random_numbers_go_on_inside_a_compiled_function():
    candle.manual_seed(7)
    f = candle.compile(lambda x: x + candle.rand(3, device="numpy"))
    zero = candle.zeros(3, device="numpy")
    got = [f(zero).numpy() for _ in range(3)]
    candle.manual_seed(7)
    for g in got:
        np.testing.assert_array_equal(g, candle.rand(3, device="numpy").numpy())
    assert not np.array_equal(got[0], got[1])


def test_modes_shapes_and_values_each_get_a_capture_of_their_own():
    m = nn.Sequential(nn.Dropout(0.5)).to("numpy")
    f = candle.compile(lambda x, k: m(x) * k)
    ones = candle.ones(100, device="numpy")
    m.eval()
    same(f(ones, 2), np.full(100, 2, "f"))
    m.train()
    assert set(np.unique(f(ones, 2).numpy())) <= {0.0, 4.0}
    m.eval()
    same(f(ones, 3), np.full(100, 3, "f"))
    same(f(ones[:5], 3), np.full(5, 3, "f"))
    same(f(ones, 3.5), np.full(100, 3.5, "f"))


@pytest.mark.parametrize(
    ("fn", "text"),
    [
        (lambda x: x if x.sum() > 0 else -x, "has no values yet"),
        (lambda x: x * x.sum().item(), "has no values yet"),
        (lambda x: x[x > 0], "shape"),
        (lambda x: x.nonzero(), "nonzero"),
    ],
)
def test_functions_that_look_at_values_are_refused(fn, text):
    with pytest.raises(CaptureError, match=text):
        candle.capture(fn, Spec((3,), candle.float32))


def test_a_tensor_that_escapes_a_capture_says_so_when_used():
    kept = []
    candle.capture(lambda x: kept.append(x * 2) or x, Spec((3,), candle.float32))
    with pytest.raises(CaptureError, match="ended"):
        kept[0] + 1
    with pytest.raises(CaptureError, match="ended"):
        kept[0] + tensor(X[0])


def test_a_failed_capture_leaves_states_as_they_were():
    w = tensor(np.ones(3, "f"))

    def f(x):
        w.add_(1)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        candle.compile(f)(tensor(X[0]))
    same(w, np.ones(3, "f"))
    same(w + 1, np.full(3, 2, "f"))


def test_graphs_survive_saving(tmp_path):
    m = network()
    g = candle.capture(m, Spec((2, 3), candle.float32))
    g.save(tmp_path / "net")
    h = candle.Graph.load(tmp_path / "net", device="numpy")
    assert str(h) == str(g)
    same(h(tensor(X)), m(tensor(X)).detach().numpy())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d["calls"][0].__setitem__(0, "no_such_op"),
        lambda d: d["calls"][0][1].__setitem__(0, 999),
        lambda d: d["calls"][0].__setitem__(3, [["float32", [9, 9]]]),
        lambda d: d.__setitem__("version", 99),
        lambda d: d.pop("inputs"),
        lambda d: d["outputs"][0].__setitem__(1, 12345),
    ],
)
def test_a_spoilt_graph_is_refused(tmp_path, spoil):
    g = candle.capture(network(), Spec((2, 3), candle.float32))
    g.save(tmp_path / "net")
    d = json.loads((tmp_path / "net.json").read_text())
    spoil(d)
    (tmp_path / "net.json").write_text(json.dumps(d))
    with pytest.raises(FormatError):
        candle.Graph.load(tmp_path / "net")


def test_too_many_captures_are_an_error_not_a_leak():
    f = candle.compile(lambda x, k: x + k, limit=3)
    for k in range(3):
        f(tensor(X), k)
    with pytest.raises(CaptureError, match="as tensors"):
        f(tensor(X), 4)


def test_wrong_shapes_and_missing_arguments_are_refused():
    g = candle.capture(lambda x: x + 1, Spec((3,), candle.float32))
    with pytest.raises(candle.ShapeError, match="capture it again"):
        g(candle.zeros(4))
    with pytest.raises(CaptureError, match="takes 1 arguments"):
        g()


class Donating(candle.backend.Reference):
    """A backend whose compiled graphs say that they write over states, and keep what they are told of them."""

    name = "donating"

    def compile(self, graph):
        flat = graph.interpreter(self)
        targets = {o.target for o in graph.outputs}
        names = {n: i.name for n, i in enumerate(graph.inputs) if i.name in targets}
        told = self.told = []

        def call(*xs, sole=()):
            told.append(dict(zip(names.values(), sole)))
            return flat(*xs)

        call.donates = list(names)
        return call


def test_a_backend_that_writes_over_states_is_told_which_nobody_else_holds():
    candle.register_backend("donating", Donating)
    a, b, c = (candle.zeros(3, device="donating") + n for n in range(3))
    d = c.detach()

    @candle.compile
    def step(x):
        a.add_(x)
        b.add_(x * c)
        c.mul_(d)
        return x

    x = candle.ones(3, device="donating")
    step(x)
    step(x)
    held = b.detach()
    step(x)
    alone = {"a": True, "b": True, "c": True}
    assert a.backend.told == [{**alone, "c": False}, alone, {**alone, "b": False}]
    assert (a.tolist(), b.tolist(), held.tolist()) == ([3.0] * 3, [15.0] * 3, [7.0] * 3)


def test_named_results_keep_their_kind():
    from collections import OrderedDict, defaultdict

    from candle.models.results import Outputs

    for kind in (Outputs(a=1), OrderedDict(), defaultdict(list)):

        def f(x, kind=kind):
            made = kind.copy() if not isinstance(kind, Outputs) else Outputs()
            made["logits"] = x + 1
            return made

        got = candle.compile(f)(candle.ones(2))
        assert type(got) is type(kind) and got["logits"].tolist() == [2.0, 2.0]
    assert candle.compile(lambda x: Outputs(logits=x))(candle.ones(2)).logits.tolist() == [1.0, 1.0]
