"""The engine beneath the device: views, memory, threads, instruction sets, errors, data in and out."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from candle_cpu import _engine
from candle_cpu.backend import coverage
from hypothesis import given, settings
from hypothesis import strategies as st

import candle


def on_cpu(array):
    return candle.tensor(array, device="cpu")


def run(code: str, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], env={**os.environ, **env}, capture_output=True, text=True)


def test_movement_is_free():
    x = on_cpu(np.arange(60.0, dtype=np.float32).reshape(3, 4, 5))
    begin, bytes_ = x.value.address, x.nbytes
    for y in (x.permute(2, 0, 1), x[1:, ::2], x[:, :, -1], x.unsqueeze(0).expand(7, 3, 4, 5), x.reshape(12, 5), x.flip(0), x.mT):
        assert begin <= y.value.address < begin + bytes_
    assert np.array_equal(x.permute(2, 0, 1)[::2].numpy(), x.numpy().transpose(2, 0, 1)[::2])


def test_a_reshape_without_a_view_copies():
    x = on_cpu(np.arange(6).reshape(2, 3))
    y = x.T.reshape(6)
    assert y.value.offset == 0 and y.value.address != x.value.address
    assert y.tolist() == [0, 3, 1, 4, 2, 5]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_elementwise_over_any_layout_agrees_with_numpy(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 9), min_size=0, max_size=4)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))

    def operand():
        array = rng.standard_normal(shape).astype(np.float32)
        x, a = on_cpu(array), array
        order = data.draw(st.permutations(range(len(shape))))
        x, a = x.permute(*order) if shape else x, a.transpose(order)
        back = tuple(int(i) for i in np.argsort(order))
        x, a = x.permute(*back) if shape else x, a.transpose(back)
        for d, n in enumerate(shape):
            kind = data.draw(st.sampled_from(["whole", "one", "flip"]))
            if kind == "one":
                x, a = x.narrow(d, n - 1, 1), a.take([n - 1], d)
            elif kind == "flip":
                x, a = x.flip(d), np.flip(a, d)
        return x, a

    (x, a), (y, b) = operand(), operand()
    assert np.array_equal((x * y).numpy(), a * b)
    assert np.array_equal((x < y).numpy(), a < b)


@pytest.mark.parametrize("shape", [(100_003,), (7, 20_011), (20_011, 7), (3, 5, 4001)])
def test_large_operands_are_shared_between_threads(shape):
    a = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    x = on_cpu(a)
    before = candle.get_num_threads()
    try:
        for threads in (1, 3):
            candle.set_num_threads(threads)
            assert candle.get_num_threads() == threads
            assert np.array_equal((x + x).numpy(), a + a)
            np.testing.assert_allclose(x.sum().item(), a.sum(dtype=np.float64), rtol=1e-6, atol=1e-3)
            for d in range(len(shape)):
                np.testing.assert_allclose(x.sum(d).numpy(), a.sum(d, dtype=np.float64), rtol=1e-5, atol=1e-3)
                assert np.array_equal(x.amax(d).numpy(), a.max(d))
                assert np.array_equal(x.argmin(d).numpy(), a.argmin(d))
    finally:
        candle.set_num_threads(before)


def test_a_sum_of_ten_million_tenths_is_right_to_the_last_place():
    x = on_cpu(np.full(10_000_000, 0.1, np.float32))
    assert x.sum().item() == pytest.approx(10_000_000 * float(np.float32(0.1)), rel=2e-7)


def test_several_python_threads_compute_at_once():
    a = np.random.default_rng(1).standard_normal((300, 300)).astype(np.float32)
    want = np.tanh(a) @ a
    wrong = []

    def work():
        x = on_cpu(a)
        for _ in range(10):
            if not np.allclose((x.tanh() @ x).numpy(), want, rtol=1e-4, atol=1e-4):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    [t.start() for t in threads]
    [t.join(60) for t in threads]
    assert not wrong and not any(t.is_alive() for t in threads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_computes():
    code = """
import os, candle
candle.set_num_threads(2)
x = candle.ones(1 << 20, device="cpu")
assert (x + x).sum().item() == 2 << 20
child = os.fork()
if child == 0:
    os._exit(0 if (x + x).sum().item() == 2 << 20 else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    ran = run(code)
    assert ran.returncode == 0, ran.stderr


def test_out_of_memory_says_what_was_wanted():
    x = candle.ones(1, device="cpu").expand(1 << 30, 1 << 30)
    with pytest.raises(MemoryError, match=r"float32\[1073741824,1073741824\].*GB.*in use"):
        x + x


def test_freed_memory_is_used_again_and_can_be_given_back():
    x = candle.ones(3 << 20, device="cpu") + 1
    where = x.value.address
    del x
    y = candle.ones(3 << 20, device="cpu") + 2
    assert y.value.address == where
    del y
    _engine.trim()
    assert _engine.memory()["cached"] == 0


def test_data_are_aligned_to_64_bytes():
    for n in (1, 3, 1000, 100_000, 3_000_000):
        assert (candle.ones(n, device="cpu") + 1).value.address % 64 == 0


def test_an_instruction_set_can_be_forced():
    for name, has in _engine.instruction_sets().items():
        code = "import candle; candle.ones(2, device='cpu'); from candle_cpu import _engine; print(_engine.current())"
        ran = run(code, CANDLE_CPU_ISA=name)
        if has:
            assert ran.stdout.strip() == name, ran.stderr
        else:
            assert "this processor has only" in ran.stderr
    ran = run("import candle; candle.ones(2, device='cpu')", CANDLE_CPU_ISA="mmx")
    assert "CANDLE_CPU_ISA is one of" in ran.stderr and "'mmx'" in ran.stderr


def test_the_number_of_threads_comes_from_the_environment():
    code = "import candle; candle.ones(1, device='cpu'); print(candle.get_num_threads())"
    assert run(code, CANDLE_NUM_THREADS="3").stdout.strip() == "3"
    assert "CANDLE_NUM_THREADS is a number" in run(code, CANDLE_NUM_THREADS="many").stderr


def test_numpy_and_dlpack_share_memory():
    a = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    a.flags.writeable = False
    x = candle.from_dlpack(a, device="cpu") if "cpu" != str(candle.get_default_device()) else candle.from_dlpack(a)
    assert x.value.address == a.ctypes.data
    y = (x + 1)[:, 1:]
    array = np.asarray(y.value)
    assert array.ctypes.data == y.value.address and array.strides == y.value.strides and not array.flags.writeable
    assert memoryview(y.value).shape == (3, 3)
    assert np.from_dlpack(y).ctypes.data == y.value.address


def test_a_write_reuses_storage_that_nothing_else_holds():
    cache = candle.zeros(4, 1000, device="cpu") + 0
    where = cache.value.address
    cache[1] = candle.ones(1000, device="cpu")
    assert cache.value.address == where and cache.sum().item() == 1000
    held = cache.detach()
    cache[2] = candle.ones(1000, device="cpu")
    assert cache.value.address != where and held.sum().item() == 1000 and cache.sum().item() == 2000


def test_an_index_out_of_range_is_named():
    x = candle.ones(3, 2, device="cpu")
    with pytest.raises(candle.DimError, match="index_select was given the index 3 for a dimension of size 3"):
        x.index_select(0, candle.tensor([0, 3], device="cpu"))


def test_every_op_is_accounted_for():
    found = coverage()
    assert set(found) >= set(candle.op.OPS)
    assert {"add", "sum", "softmax", "matmul", "attention", "gather", "cat"} <= {n for n, k in found.items() if k == "C"}
