"""Optimisers, step by step against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest
from torch_check import torch

import candle
from candle import CandleError, optim
from candle.optim.muon import orthogonalized

rng = np.random.default_rng(0)
START = rng.standard_normal((3, 4)).astype("f")
BIAS = rng.standard_normal(4).astype("f")
TARGET = rng.standard_normal((5, 4)).astype("f")
X = rng.standard_normal((5, 3)).astype("f")

ADAMS = {"betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.2}
CASES = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("SGD", {"maximize": True}),
    ("Adam", {}),
    ("Adam", {"weight_decay": 0.1, "amsgrad": True}),
    ("AdamW", {}),
    ("AdamW", ADAMS),
    ("AdamW", {"amsgrad": True, "maximize": True}),
    ("Adamax", {}),
    ("Adamax", ADAMS),
    ("NAdam", {}),
    ("NAdam", {**ADAMS, "momentum_decay": 0.01}),
    ("NAdam", {**ADAMS, "decoupled_weight_decay": True}),
    ("RAdam", {}),
    ("RAdam", {**ADAMS, "decoupled_weight_decay": True}),
    ("RAdam", {**ADAMS, "maximize": True}),
    ("Adagrad", {"lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5}),
    ("Adagrad", {}),
    ("Adadelta", {}),
    ("Adadelta", {"rho": 0.8, "weight_decay": 0.1, "eps": 1e-5}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True, "weight_decay": 0.1, "alpha": 0.9}),
    ("RMSprop", {"momentum": 0.5}),
    ("Adafactor", {}),
    ("Adafactor", {"beta2_decay": -0.5, "eps": (1e-5, 1e-2), "d": 2.0, "weight_decay": 0.1}),
]


def problem(lib, dtype):
    make = (
        (lambda a: candle.tensor(a.astype(dtype), device="numpy")) if lib is candle else (lambda a: torch.tensor(a.astype(dtype)))
    )
    w, b = make(START).requires_grad_(), make(BIAS).requires_grad_()
    x, y = make(X), make(TARGET)
    return [w, b], lambda: ((x @ w + b - y) ** 2).mean()


@pytest.fixture(autouse=True)
def doubles(request):
    """PyTorch keeps NAdam's product of momenta in the default dtype."""
    before = torch.get_default_dtype()
    if "-d]" in request.node.name:
        torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def run(lib, name, settings, dtype, steps=50, schedule=None):
    params, loss = problem(lib, dtype)
    opt = getattr(lib.optim, name)(params, **{"lr": 0.05, **settings})
    timetable = schedule(lib.optim.lr_scheduler, opt) if schedule else None
    rates = []
    for n in range(steps):
        opt.zero_grad()
        loss().backward()
        opt.step()
        if timetable is not None:
            timetable.step()
        elif n == 5:
            opt.param_groups[0]["lr"] = 0.01
        rates.append(opt.param_groups[0]["lr"])
    return [p.detach().numpy() for p in params], rates


def agree(got, want, dtype):
    for a, b in zip(got, want):
        np.testing.assert_allclose(a, b, rtol=2e-4 if dtype == "f" else 1e-10, atol=2e-5 if dtype == "f" else 1e-10)


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_trajectories_are_those_of_torch(name, settings, dtype):
    agree(run(candle, name, settings, dtype)[0], run(torch, name, settings, dtype)[0], dtype)


@pytest.mark.parametrize("adjust", [None, "match_rms_adamw"])
def test_muon_is_torchs_but_for_the_precision_of_its_iteration(adjust):
    """PyTorch iterates in bfloat16, whose roundings are one part in 256; the polynomial keeps them from growing."""
    settings = {"lr": 0.01, "adjust_lr_fn": adjust, "weight_decay": 0.1}
    found = []
    for lib in (candle, torch):
        params, loss = problem(lib, "f")
        opt = lib.optim.Muon(params[:1], **settings)
        for _ in range(10):
            opt.zero_grad()
            loss().backward()
            opt.step()
        found.append(params[0].detach().numpy())
    moved = np.abs(found[1] - START).max()
    assert np.abs(found[0] - found[1]).max() < 0.05 * moved


def test_muons_update_has_singular_values_near_one():
    x = candle.tensor(rng.standard_normal((6, 9)), device="numpy")
    values = np.linalg.svd(orthogonalized(x, (3.4445, -4.775, 2.0315), 5, 1e-7).numpy(), compute_uv=False)
    assert values.min() > 0.5 and values.max() < 1.3
    gram = orthogonalized(x, (1.5, -0.5, 0.0), 40, 1e-7)  # Newton's own iteration converges
    np.testing.assert_allclose((gram @ gram.T).numpy(), np.eye(6), atol=1e-9)


def test_lion_follows_its_paper():
    params, loss = problem(candle, "d")
    opt = optim.Lion(params, lr=0.01, betas=(0.8, 0.95), weight_decay=0.1)
    w, mean = START.astype("d"), np.zeros_like(START, "d")
    b, mean_b = BIAS.astype("d"), np.zeros_like(BIAS, "d")
    for _ in range(50):
        opt.zero_grad()
        loss().backward()
        opt.step()
        slope = 2 * (X.astype("d") @ w + b - TARGET) / TARGET.size
        grads = X.astype("d").T @ slope, slope.sum(0)
        w = w * (1 - 0.01 * 0.1) - 0.01 * np.sign(0.8 * mean + 0.2 * grads[0])
        b = b * (1 - 0.01 * 0.1) - 0.01 * np.sign(0.8 * mean_b + 0.2 * grads[1])
        mean, mean_b = 0.95 * mean + 0.05 * grads[0], 0.95 * mean_b + 0.05 * grads[1]
    agree([p.detach().numpy() for p in params], [w, b], "d")


def rosenbrock(x, y):
    return (1 - x) ** 2 + 100 * (y - x * x) ** 2


@pytest.mark.parametrize("settings", [
    {"line_search_fn": "strong_wolfe"}, {"line_search_fn": "strong_wolfe", "history_size": 3, "max_iter": 7}, {"lr": 0.001},
    {"lr": 0.1, "max_iter": 4, "history_size": 2}, {"line_search_fn": "strong_wolfe", "max_iter": 4, "lr": 0.5},
])  # fmt: skip
def test_lbfgs_is_torchs(settings):
    found = []
    for lib in (candle, torch):
        params, loss = problem(lib, "d")
        if "line_search_fn" in settings:
            params = [(lib.tensor(v, dtype=lib.float64)).requires_grad_() for v in (-1.2, 1.0)]
        opt = lib.optim.LBFGS(params, **settings)

        def closure(params=params, loss=loss, opt=opt):
            opt.zero_grad()
            value = rosenbrock(*params) if params[0].ndim == 0 else loss()
            value.backward()
            return value

        losses = [float(opt.step(closure).detach()) for _ in range(6)]
        found.append([np.array(losses), *[p.detach().numpy() for p in params]])
    agree(found[0], found[1], "d")
    if "line_search_fn" in settings and settings.get("max_iter", 20) == 20:
        assert abs(found[0][1] - 1) < 1e-3  # the valley's floor


SCHEDULES = [
    lambda s, o: s.StepLR(o, 7, 0.5),
    lambda s, o: s.MultiStepLR(o, [3, 10, 10, 30], 0.3),
    lambda s, o: s.ConstantLR(o, 0.25, 8),
    lambda s, o: s.LinearLR(o, 0.1, 0.8, 9),
    lambda s, o: s.ExponentialLR(o, 0.93),
    lambda s, o: s.PolynomialLR(o, 20, 1.7),
    lambda s, o: s.CosineAnnealingLR(o, 12, 0.001),
    lambda s, o: s.CosineAnnealingWarmRestarts(o, 5, 2, 0.002),
    lambda s, o: s.CosineAnnealingWarmRestarts(o, 6),
    lambda s, o: s.LambdaLR(o, lambda n: 0.95**n),
    lambda s, o: s.MultiplicativeLR(o, lambda n: 0.9 if n % 2 else 1.02),
    lambda s, o: s.OneCycleLR(o, 0.1, total_steps=60),
    lambda s, o: s.OneCycleLR(o, 0.1, epochs=6, steps_per_epoch=10, anneal_strategy="linear", three_phase=True, pct_start=0.4),
    lambda s, o: s.CyclicLR(o, 0.01, 0.1, 4, 7, mode="triangular2"),
    lambda s, o: s.CyclicLR(o, 0.01, 0.1, 5, mode="exp_range", gamma=0.97),
    lambda s, o: s.CyclicLR(o, 0.01, 0.1, 5, scale_fn=lambda n: 1 / (1 + n), scale_mode="iterations"),
    lambda s, o: s.SequentialLR(o, [s.LinearLR(o, 0.1, total_iters=5), s.CosineAnnealingLR(o, 40)], [5]),
    lambda s, o: s.SequentialLR(o, [s.ConstantLR(o, 0.1, 4), s.StepLR(o, 3), s.ExponentialLR(o, 0.9)], [4, 20]),
    lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 6), s.ExponentialLR(o, 0.95)]),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=range(len(SCHEDULES)))
@pytest.mark.parametrize(("name", "settings"), [("SGD", {"momentum": 0.9}), ("AdamW", {})])
@pytest.mark.filterwarnings("ignore")
def test_schedules_are_those_of_torch(schedule, name, settings):
    got, rates = run(candle, name, settings, "d", schedule=schedule)
    want, wanted = run(torch, name, settings, "d", schedule=schedule)
    np.testing.assert_allclose(rates, wanted, rtol=1e-12, atol=1e-15)
    agree(got, want, "d")


@pytest.mark.parametrize("settings", [
    {}, {"mode": "max", "factor": 0.5, "patience": 2}, {"patience": 1, "cooldown": 2, "threshold_mode": "abs", "threshold": 0.05},
    {"patience": 0, "min_lr": 0.01, "factor": 0.3},
])  # fmt: skip
def test_plateaus_are_those_of_torch(settings):
    measures = np.abs(np.cos(np.arange(40) / 3)) + 1 / (1 + np.arange(40))
    found = []
    for lib in (candle, torch):
        opt = lib.optim.SGD(problem(lib, "d")[0], lr=0.5)
        plateau = lib.optim.lr_scheduler.ReduceLROnPlateau(opt, **settings)
        rates = []
        for m in measures:
            plateau.step(m)
            rates.append(opt.param_groups[0]["lr"])
        found.append(rates)
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "name", ["SGD", "Adam", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta", "Adamax", "Adafactor", "Lion"]
)
def test_a_captured_step_is_the_eager_one_and_follows_schedules(name):
    found = []
    for wrap in (lambda f: f, candle.compile):
        params, loss = problem(candle, "d")
        more = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
        opt = getattr(optim, name)(params, lr=0.01, **more)
        cycles = more or "betas" in opt.defaults
        timetable = optim.lr_scheduler.OneCycleLR(opt, 0.02, total_steps=12, cycle_momentum=bool(cycles))

        def step(loss=loss, opt=opt):
            opt.zero_grad()
            value = loss()
            value.backward()
            optim.clip_grad_norm_(opt.param_groups[0]["params"], 0.5)
            opt.step()
            return value

        run_once = wrap(step)
        for n in range(10):
            run_once()
            timetable.step()
            if wrap is candle.compile and n == 0:
                (first,) = next(iter(run_once.entries.values()))
        if wrap is candle.compile:
            (entry,) = next(iter(run_once.entries.values()))  # captured once, though rates and momenta changed
            assert entry is first
        opt.param_groups[0]["weight_decay"] = 0.5  # captured again
        run_once()
        found.append([p.detach().numpy() for p in params])
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("order", [2.0, 1.0, float("inf"), 3.0])
def test_clipping_is_torchs(order):
    found = []
    for lib in (candle, torch):
        params, loss = problem(lib, "d")
        loss().backward()
        utils = optim if lib is candle else torch.nn.utils
        total = utils.clip_grad_norm_(params, 0.3, norm_type=order)
        norms = [p.grad.numpy().copy() for p in params]
        utils.clip_grad_value_(params, 0.01)
        found.append([np.asarray(total.item()), *norms, *[p.grad.numpy() for p in params]])
    agree(found[0], found[1], "d")


def test_averages_stand_in_for_parameters():
    params, _ = problem(candle, "d")
    ema = optim.EMA(params, decay=0.9)
    want, own = START.astype("d"), START.astype("d")
    for n in range(5):
        with candle.no_grad():
            params[0].add_(float(n))
        own = own + n
        ema.update()
        want = 0.9 * want + 0.1 * own
    with ema.applied():
        np.testing.assert_allclose(params[0].detach().numpy(), want, rtol=1e-12)
    np.testing.assert_allclose(params[0].detach().numpy(), own, rtol=1e-12)
    again = optim.EMA(problem(candle, "d")[0])
    again.load_state_dict(ema.state_dict())
    np.testing.assert_array_equal(again.averages[0].numpy(), ema.averages[0].numpy())


def test_loss_scaling_leaves_overflows_out():
    w = candle.tensor([1.0, 2.0], dtype=candle.float16, device="numpy").requires_grad_()
    opt, scaler = optim.SGD([w], lr=0.5), optim.GradScaler(init_scale=2.0**10, growth_interval=2)
    scales = []
    for factor in (1e-6, 1e-6, 1e4, 1.0):  # the first two vanish in float16 without a scale, the third overflows with it
        before = w.detach().numpy().copy()
        opt.zero_grad()
        scaler.scale((w * w).float().sum() * factor).backward()
        scaler.step(opt)
        scaler.update()
        scales.append(scaler.get_scale())
        assert np.array_equal(before, w.detach().numpy()) == (factor != 1.0)
    assert scales == [2.0**10, 2.0**11, 2.0**10, 2.0**10]
    assert optim.GradScaler(enabled=False).get_scale() == 1.0


def test_state_can_be_saved_and_taken_up_again():
    def make():
        w = candle.tensor(START, device="numpy").requires_grad_()
        return w, optim.AdamW([w], lr=0.1)

    def step(w, opt):
        opt.zero_grad()
        (w * w).sum().backward()
        opt.step()

    w, opt = make()
    for _ in range(3):
        step(w, opt)
    v, again = make()
    with candle.no_grad():
        v.copy_(w)
    again.load_state_dict(opt.state_dict())
    step(w, opt)
    step(v, again)
    np.testing.assert_array_equal(v.numpy(), w.numpy())


def test_groups_have_settings_of_their_own():
    a, b = (candle.ones(2, device="numpy").requires_grad_() for _ in range(2))
    opt = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    (a + b).sum().backward()
    opt.step()
    np.testing.assert_allclose([a.numpy()[0], b.numpy()[0]], [0.9, 0.5], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: optim.SGD([], lr=0.1), "model.parameters"),
        (lambda: optim.SGD([candle.ones(2)], lr=-1), "lr is from 0"),
        (lambda: optim.AdamW([candle.ones(2)], betas=(1.0, 0.9)), "beta1 is from 0 to below 1"),
        (lambda: optim.SGD([candle.ones(2)], nesterov=True), "nesterov needs"),
        (lambda: optim.SGD([{"params": [candle.ones(2)], "lrr": 1}]), "no setting lrr"),
        (lambda: optim.SGD([candle.ones(2).requires_grad_() * 2]), "leaf"),
        (lambda: optim.SGD([(p := candle.ones(2)), p]), "twice"),
        (lambda: optim.Muon([candle.ones(2)]), "takes matrices"),
        (lambda: optim.LBFGS([candle.ones(2)]).step(), "needs a closure"),
        (lambda: optim.lr_scheduler.OneCycleLR(optim.SGD([candle.ones(2)]), 0.1, total_steps=3), "cycle_momentum"),
        (lambda: optim.lr_scheduler.SequentialLR(optim.SGD([candle.ones(2)]), [], [1]), "one milestone fewer"),
        (lambda: optim.clip_grad_norm_([], -1.0), "max_norm is at least 0"),
    ],
)
def test_bad_settings_are_refused(make, text):
    with pytest.raises(CandleError, match=text):
        make()
