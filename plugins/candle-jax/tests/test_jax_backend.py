"""The device ``jax``: how it is found, what it shares, what it donates, and models on it."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import candle
from candle import nn, optim

jax = pytest.importorskip("jax", reason="the device jax needs JAX")


def run(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    import os

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def t(array, **kwargs):
    return candle.tensor(array, device="jax", **kwargs)


# -- found and loaded ------------------------------------------------------------------------------


def test_hooks_and_candle_import_no_jax():
    code = """
        import sys, candle, candle_jax.hooks
        candle.plugins.load("candle_backends", "numpy")
        candle.plugins.offered("candle_backends")
        print("jax" in sys.modules, "jaxlib" in sys.modules)
    """
    assert run(code) == "False False"


def test_devices_lists_it():
    out = run("import candle.cli; raise SystemExit(candle.cli.main(['devices', '--json']))")
    import json

    (row,) = [d for d in json.loads(out) if d["device"] == "jax"]
    assert row["works"] and row["plugin"] == "jax"
    assert {"bfloat16", "float8_e4m3fn", "int4", "complex128"} <= set(row["dtypes"])


def test_every_primitive_has_a_kernel_or_expands_but_those_of_quantised_dtypes():
    kernels = candle.ones(1, device="jax").backend.kernels
    lacking = [op for op in candle.OPS.values() if not op.composite and op.expand is None and op.name not in kernels]
    assert {op.group for op in lacking} <= {"quantised"} and len(kernels) > 170


def test_without_jax_the_error_says_what_to_install():
    code = """
        import sys
        sys.modules["jax"] = None
        import candle
        try:
            candle.ones(2, device="jax")
        except candle.PluginError as e:
            print(e)
    """
    said = run(code)
    assert "needs JAX, which is not installed" in said and "pip install jax" in said


def test_a_device_that_is_not_there_is_refused():
    n = len(jax.devices())
    with pytest.raises(candle.DeviceError, match=f"jax:{n} was asked for"):
        candle.ones(1, device=f"jax:{n}")


def test_the_first_device_has_two_names_and_is_one():
    assert candle.ones(2, device="jax").backend is candle.ones(2, device="jax:0").backend
    assert str(candle.ones(2, device="jax").device) == "jax:0"
    assert (candle.ones(2, device="jax") + candle.ones(2, device="jax:0")).tolist() == [2, 2]


def test_jaxs_own_settings_stay_as_they_are():
    code = """
        import candle, jax, jax.numpy as jnp
        x = candle.tensor([1.0, 2.0], dtype="float64", device="jax") * 2
        print(x.dtype, x.sum().dtype, candle.arange(3, device="jax").dtype, jax.config.jax_enable_x64, jnp.arange(3).dtype)
    """
    assert run(code) == "float64 float64 int64 False int32"


def test_kernels_of_other_plugins_are_traced_and_compiled_as_its_own():
    code = """
        import candle
        from candle.plugins import hookimpl, register

        class More:
            @hookimpl
            def candle_kernels(self, backend):
                return {"gelu": lambda out, x, approximate: x + 1} if backend == "jax" else {}

        register(More())
        x = candle.ones(2, device="jax")
        print(x.gelu().tolist(), candle.compile(lambda x: x.gelu() * 2)(x).tolist())
    """
    assert run(code) == "[2.0, 2.0] [4.0, 4.0]"


def test_two_devices_are_strangers():
    code = """
        import candle
        a, b = candle.ones(2, device="jax:0"), candle.ones(2, device="jax:1")
        print(b.device, (b + b).device, b.to("jax:0").device, candle.ones(2, device="jax:1").value.devices())
        try:
            a + b
        except candle.DeviceError as e:
            print(e)
    """
    said = run(code, XLA_FLAGS="--xla_force_host_platform_device_count=2", JAX_PLATFORMS="cpu")
    first, second = said.splitlines()
    assert first.startswith("jax:1 jax:1 jax:0") and "id=1" in first
    assert "jax:0 and jax:1" in second


# -- memory shared with others ---------------------------------------------------------------------


def aligned(n: int, offset: int = 0) -> np.ndarray:
    whole = np.zeros(n * 4 + 128, np.uint8)
    skip = -whole.ctypes.data % 64 + offset
    return whole[skip : skip + n * 4].view(np.float32)


def test_numpy_memory_is_shared_where_it_is_aligned_and_not_writable():
    x = aligned(64)
    x[:] = np.arange(64)
    view = x.view()
    view.flags.writeable = False
    shared = candle.as_tensor(view, device="jax")
    assert np.shares_memory(shared.numpy(), x)
    copied = candle.as_tensor(x, device="jax")
    x[0] = 9
    assert copied[0].item() == 0
    odd = aligned(64, 4)
    odd.flags.writeable = False
    np.testing.assert_array_equal(candle.as_tensor(odd, device="jax").numpy(), odd)


def test_what_goes_out_is_a_view_that_cannot_be_written_to():
    x = t(np.arange(6.0, dtype=np.float32).reshape(2, 3))
    out = x.numpy()
    assert not out.flags.writeable and np.shares_memory(out, x.numpy())
    kept = out.copy()
    x[0] = 7
    x += 1
    np.testing.assert_array_equal(out, kept)


def test_dlpack_shares_with_those_that_can_be_told_not_to_write():
    x = t(np.arange(64, dtype=np.float32))
    a = np.from_dlpack(x)
    assert np.shares_memory(a, x.numpy()) and not a.flags.writeable
    torch = pytest.importorskip("torch", reason="one of those that share memory")
    assert torch.from_dlpack(x).data_ptr() == x.value.unsafe_buffer_pointer()
    e = torch.arange(64.0)
    shared = candle.from_dlpack(e, device="jax")
    assert shared.value.unsafe_buffer_pointer() == e.data_ptr() or e.data_ptr() % 64
    np.testing.assert_array_equal(shared.numpy(), e.numpy())


def test_jax_shares_too():
    x = t(np.arange(64, dtype=np.float32))
    assert isinstance(x.value, jax.Array)  # the way out without a copy, for what asks without saying what it understands gets one
    b = jax.numpy.from_dlpack(x)
    assert b.unsafe_buffer_pointer() != x.value.unsafe_buffer_pointer()
    c = candle.from_dlpack(x.value, device="jax")
    assert c.value.unsafe_buffer_pointer() == x.value.unsafe_buffer_pointer() and c.tolist() == x.tolist()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "bool", "complex64", "int8", "uint64"])
def test_dlpack_round_trips(dtype):
    x = t([0, 1, 1, 0]).to(dtype=dtype)
    with jax.enable_x64(True):
        y = candle.from_dlpack(jax.numpy.from_dlpack(x), device="jax")
    assert y.dtype is x.dtype and (x == y).all()


# -- donation --------------------------------------------------------------------------------------


class Counter(nn.Module):
    def __init__(self, n: int = 1000) -> None:
        super().__init__()
        self.register_buffer("total", candle.zeros(n, device="jax"))

    def forward(self, x):
        self.total += x
        return self.total.sum()


def test_state_that_nobody_else_holds_is_written_over():
    model = Counter()
    step = candle.compile(model)
    x = t(np.ones(1000, np.float32))
    step(x)
    for _ in range(3):
        before = model.total.value
        where = before.unsafe_buffer_pointer()
        del before
        step(x)
        assert model.total.value.unsafe_buffer_pointer() == where
    assert model.total.tolist() == [4.0] * 1000


@pytest.mark.parametrize("how", ["numpy", "dlpack", "jax", "detach", "value", "memoryview"])
def test_state_that_somebody_holds_is_left_alone(how):
    model = Counter()
    step = candle.compile(model)
    x = t(np.ones(1000, np.float32))
    for n in range(1, 4):
        step(x)
        if how == "numpy":
            held = model.total.numpy()
        elif how == "dlpack":
            held = np.from_dlpack(model.total)
        elif how == "jax":
            held = jax.numpy.from_dlpack(model.total)
        elif how == "detach":
            held = model.total.detach()
        elif how == "value":
            held = model.total.value
        else:
            held = memoryview(model.total.numpy())
        for _ in range(2):
            step(x)
        gc.collect()
        np.testing.assert_array_equal(np.asarray(held), np.full(1000, 3 * n - 2))
    assert model.total.tolist() == [9.0] * 1000


def test_what_the_backward_pass_needs_of_a_donated_state_is_kept():
    b = t(np.full(1000, 2.0, np.float32))
    w = t(np.ones(1000, np.float32)).requires_grad_()

    @candle.compile
    def forward(x):
        y = (w * b * x).sum()
        b.mul_(3)
        return y

    for n in range(3):
        y = forward(t(np.ones(1000, np.float32)))
        forward(t(np.ones(1000, np.float32)))
        w.grad = None
        y.backward()
        assert w.grad.tolist() == [2.0 * 9**n] * 1000


def test_imported_storage_is_not_written_over():
    array = aligned(1000)
    array.flags.writeable = False
    model = Counter()
    model.total = candle.as_tensor(array, device="jax")
    step = candle.compile(model)
    step(t(np.ones(1000, np.float32)))
    assert model.total.tolist() == [1.0] * 1000 and not array.any()


def test_one_array_under_two_names_is_two_states():
    a = t(np.zeros(8, np.float32))
    b = a.detach()

    @candle.compile
    def step(x):
        a.add_(x)
        b.sub_(x)

    for _ in range(3):
        step(t(np.ones(8, np.float32)))
    assert a.tolist() == [3.0] * 8 and b.tolist() == [-3.0] * 8


def test_eager_writes_in_place_spare_what_is_held():
    x = t(np.zeros(1000, np.float32))
    x[0] = 1  # gives x storage of its own
    held, out = x.detach(), x.numpy()
    x[1] = 2
    assert held[1].item() == 0 and out[1] == 0 and x[1].item() == 2
    where = x.value.unsafe_buffer_pointer()
    x[2] = 3
    assert x.value.unsafe_buffer_pointer() == where and x[:4].tolist() == [1, 2, 3, 0]


# -- where XLA or JAX would go wrong ---------------------------------------------------------------


def test_extremes_of_many_find_nan():
    x = np.random.default_rng(0).standard_normal((4, 1024)).astype(np.float32)
    x[2, 100], x[1, 5] = np.nan, -np.inf
    for name in ("amax", "amin"):
        for dim in (0, 1, (0, 1)):
            np.testing.assert_array_equal(getattr(t(x), name)(dim).numpy(), getattr(candle.tensor(x), name)(dim).numpy())
    assert np.isnan(nn.functional.max_pool1d(t(x), 64).numpy()).sum() == 1


def test_divisors_of_the_least_integer():
    low = np.iinfo(np.int64).min
    a, b = np.array([low, low, 0, 12]), np.array([0, 6, low, 18])
    np.testing.assert_array_equal(t(a).gcd(t(b)).numpy(), np.gcd(a, b))
    np.testing.assert_array_equal(t(a[3:]).lcm(t(b[3:])).numpy(), [36])


def test_four_bits_are_joined_and_padded():
    x = t([1, 2, 3]).to(dtype="int4")
    assert candle.cat([x, x]).to(dtype="int8").tolist() == [1, 2, 3, 1, 2, 3]
    assert nn.functional.pad(x, (1, 2)).to(dtype="int8").tolist() == [0, 1, 2, 3, 0, 0]


# -- errors ----------------------------------------------------------------------------------------


def test_ids_outside_are_refused_as_elsewhere():
    x = t(np.arange(6.0).reshape(2, 3))
    with pytest.raises(candle.DimError, match="index 3 for a dimension of size 3"):
        x.gather(1, t([[3], [0]]))
    with pytest.raises(candle.DimError, match="index 2"):
        nn.functional.embedding(t([0, 2]), x)
    with pytest.raises(candle.DimError):
        x.narrow_at(t(2), dim=1, length=2)


def test_matrices_that_do_not_decompose_are_refused():
    with pytest.raises(candle.errors.LinAlgError, match="positive-definite"):
        candle.linalg.cholesky(t([[1.0, 0.0], [0.0, -1.0]]))
    with pytest.raises(candle.errors.LinAlgError, match="singular"):
        candle.linalg.inv(t([[1.0, 2.0], [2.0, 4.0]]))


def test_dtypes_that_xla_lacks_are_refused():
    with pytest.raises(candle.CandleError, match="does not store float6"):
        candle.tensor([1.0], dtype="float32").to("numpy").to(dtype="float6_e2m3fn").to("jax")


# -- values ----------------------------------------------------------------------------------------


def test_shapes_that_depend_on_values():
    x = t([[0.0, 2.0, 0.0], [3.0, 0.0, 2.0]])
    assert x.nonzero().tolist() == [[0, 1], [1, 0], [1, 2]]
    assert candle.unique(x).tolist() == [0.0, 2.0, 3.0]
    assert x[x > 1].tolist() == [2.0, 3.0, 2.0] and str(x[x > 1].device) == "jax:0"


def test_random_numbers_are_the_references():
    for make in (candle.randn, candle.rand):
        candle.manual_seed(3)
        a = make(3, 5, device="jax")
        candle.manual_seed(3)
        b = make(3, 5, device="numpy")
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)
    state = np.array([-5, 2**33 + 1])
    bits = [candle.OPS["random_bits"](candle.tensor(state, device=d), shape=(7, 3)).numpy() for d in ("jax", "numpy")]
    np.testing.assert_array_equal(*bits)


def _model():
    candle.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.LayerNorm(16), nn.Dropout(0.25), nn.Linear(16, 3))


@pytest.mark.parametrize("rule", ["SGD", "AdamW"])
def test_a_compiled_training_step_is_the_eager_one(rule):
    rng = np.random.default_rng(0)
    xs, ys = rng.standard_normal((4, 6, 8)).astype(np.float32), rng.integers(0, 3, (4, 6))
    found = {}
    for how in ("eager", "compiled", "numpy"):
        model = _model().to("numpy" if how == "numpy" else "jax")
        opt = getattr(optim, rule)(model.parameters(), lr=0.05)
        candle.manual_seed(7)

        def step(x, y, model=model, opt=opt):
            opt.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
            return loss

        run = candle.compile(step) if how == "compiled" else step
        device = "numpy" if how == "numpy" else "jax"
        losses = [run(candle.tensor(x, device=device), candle.tensor(y, device=device)).item() for x, y in zip(xs, ys)]
        found[how] = losses + [p.numpy().copy() for p in model.parameters()]
    for a, b, c in zip(*found.values()):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(a, c, rtol=1e-4, atol=1e-5)


def test_gradients_through_a_compiled_function():
    w = t(np.arange(6.0).reshape(2, 3)).requires_grad_()
    f = candle.compile(lambda x: (x @ w).tanh().sum())
    x = t(np.ones((1, 2)) / 8)
    f(x).backward()
    y = (x @ w).tanh()
    np.testing.assert_allclose(w.grad.numpy(), (x.mT @ (1 - y * y)).numpy(), rtol=1e-6)


def test_bert_runs_here_as_on_numpy():
    from candle.models.bert import Bert, BertConfig

    config = BertConfig(vocab_size=50, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=48,
                        max_position_embeddings=32)  # fmt: skip
    candle.manual_seed(1)
    model = Bert(config).eval()
    ids = np.random.default_rng(0).integers(0, 50, (2, 9))
    mask = np.ones((2, 9), np.int64)
    mask[1, 5:] = 0
    outs = []
    for device in ("numpy", "jax"):
        model = model.to(device)
        for run in (model, candle.compile(model)):
            with candle.no_grad():
                out = run(candle.tensor(ids, device=device), candle.tensor(mask, device=device))
            outs.append(out["last_hidden_state"].numpy())
    for out in outs[1:]:
        np.testing.assert_allclose(out, outs[0], rtol=1e-4, atol=1e-5)


def test_minilm_embeds_here_as_on_numpy():
    sentences = ["A candle gives light.", "How do I keep bread fresh?"]
    try:
        models = [candle.models.load("all-MiniLM-L6-v2", device=d) for d in ("numpy", "jax")]
    except candle.CandleError as e:
        pytest.skip(f"the weights of MiniLM are not installed: {e}")
    a, b = (np.asarray(m.encode(sentences)) for m in models)
    np.testing.assert_allclose(a, b, atol=1e-5)
