"""Movement ops against PyTorch: values, gradients and second gradients, on the reference and on a backend that expands."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from torch_check import check, same, to_torch, torch

import candle
from candle.backend import Reference
from candle.op import OPS


class Bare(Reference):
    """A backend with the required kernels only: everything else must expand."""

    name = "bare"

    def kernel(self, op: Any, out: Any, specs: Any, attrs: Any) -> Any:
        return super().kernel(op, out, specs, attrs) if op.required or op.expand is None else None


candle.register_backend("bare", Bare)


def array(*shape: int, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    """Numbers with NaN, an infinity and a negative zero among them where there is room."""
    x = np.asarray(np.random.default_rng(seed).standard_normal(shape) * 4, dtype)
    if x.dtype.kind == "f" and x.size > 6:
        x.reshape(-1)[[1, 3, 5]] = np.nan, -np.inf, -0.0
    return x


def everywhere(ours: Any, theirs: Any, *arrays: Any, second: bool = True) -> None:
    """Compare with PyTorch on the reference, and on the bare backend with the reference."""
    check(ours, theirs, *arrays, second=second)
    results = []
    for device in ("bare", "numpy"):
        xs = [candle.tensor(a, device=device) for a in arrays]
        tracked = [x.requires_grad_() for x in xs if x.dtype.kind in "fc"]
        with candle.device(device):
            y = ours(*xs)
            ys = [y] if isinstance(y, candle.Tensor) else list(y)
            seeded = [(y, y.detach().ones_like()) for y in ys if y.requires_grad]
            gs = candle.grad([y for y, _ in seeded], tracked, [g for _, g in seeded], allow_unused=True) if seeded else []
        results.append([v.detach().numpy() for v in [*ys, *gs] if v is not None])
    same(*results)


A = array(2, 3, 4)
# (name, what is called on both, shape) where the call reads the same in PyTorch
SAME = [
    ("reshape", lambda x: x.reshape(4, -1), (2, 3, 4)),
    ("reshape tuple", lambda x: x.reshape((3, 8)), (2, 3, 4)),
    ("reshape empty", lambda x: x.reshape(0, 5), (0, 3)),
    ("reshape 0-d", lambda x: x.reshape(1, 1), ()),
    ("view", lambda x: x.view(-1), (2, 3)),
    ("permute", lambda x: x.permute(2, 0, -2), (2, 3, 4)),
    ("permute rank 6", lambda x: x.permute(5, 0, 3, 1, 4, 2), (2, 1, 3, 2, 2, 3)),
    ("expand", lambda x: x.expand(2, -1, 4), (3, 1)),
    ("expand to zero", lambda x: x.expand(0, 3), (1, 3)),
    ("squeeze", lambda x: x.squeeze(), (1, 3, 1)),
    ("squeeze dim", lambda x: x.squeeze(-1), (1, 3, 1)),
    ("squeeze not one", lambda x: x.squeeze(1), (1, 3, 1)),
    ("squeeze dims", lambda x: x.squeeze((0, -1)), (1, 3, 1)),
    ("squeeze 0-d", lambda x: x.squeeze(-1), ()),
    ("unsqueeze", lambda x: x.unsqueeze(-1), (2, 3)),
    ("unsqueeze front", lambda x: x.unsqueeze(0), ()),
    ("transpose", lambda x: x.transpose(0, -1), (2, 3, 4)),
    ("transpose 0-d", lambda x: x.transpose(0, -1), ()),
    ("swapaxes", lambda x: x.swapaxes(0, 1), (2, 3, 4)),
    ("swapdims", lambda x: x.swapdims(1, 2), (2, 3, 4)),
    ("t", lambda x: x.t(), (2, 3)),
    ("t vector", lambda x: x.t(), (3,)),
    ("T", lambda x: x.T, (2, 3)),
    ("mT", lambda x: x.mT, (2, 3, 4)),
    ("movedim", lambda x: x.movedim(0, -1), (2, 3, 4)),
    ("movedims", lambda x: x.movedim((0, 2), (2, 1)), (2, 3, 4)),
    ("moveaxis", lambda x: x.moveaxis((0, 1), (1, 0)), (2, 3, 4)),
    ("flatten", lambda x: x.flatten(), (2, 3, 4)),
    ("flatten part", lambda x: x.flatten(1, -1), (2, 3, 4)),
    ("flatten keyword", lambda x: x.flatten(start_dim=1, end_dim=2), (2, 3, 4, 2)),
    ("flatten 0-d", lambda x: x.flatten(), ()),
    ("flatten empty", lambda x: x.flatten(0, 1), (0, 3)),
    ("unflatten", lambda x: x.unflatten(-1, (2, -1)), (2, 6)),
    ("ravel", lambda x: x.ravel(), (2, 3)),
    ("narrow", lambda x: x.narrow(1, 1, 2), (2, 3, 4)),
    ("narrow negative", lambda x: x.narrow(-1, -3, 2), (2, 3, 4)),
    ("narrow nothing", lambda x: x.narrow(0, 2, 0), (2, 3)),
    ("select", lambda x: x.select(1, -1), (2, 3, 4)),
    ("select vector", lambda x: x.select(0, 2), (3,)),
    ("flip", lambda x: x.flip(0, -1), (2, 3, 4)),
    ("flip one", lambda x: x.flip([1]), (2, 3, 4)),
    ("flip none", lambda x: x.flip(()), (2, 3)),
    ("flip rank 5", lambda x: x.flip((0, 2, 4)), (2, 1, 3, 2, 3)),
    ("flip empty", lambda x: x.flip(0), (0, 3)),
    ("fliplr", lambda x: x.fliplr(), (2, 3)),
    ("flipud", lambda x: x.flipud(), (2, 3)),
    ("roll", lambda x: x.roll(1, 0), (3, 4)),
    ("roll all", lambda x: x.roll(-5), (3, 4)),
    ("roll more", lambda x: x.roll((7, -1), (0, -1)), (3, 4)),
    ("roll twice", lambda x: x.roll((1, 1), (0, 0)), (3, 4)),
    ("roll empty", lambda x: x.roll(2, 0), (0, 4)),
    ("roll 0-d", lambda x: x.roll(3), ()),
    *[(f"rot90 {k}", lambda x, k=k: x.rot90(k, (0, 1)), (2, 3)) for k in (-1, 0, 1, 2, 3, 6)],
    ("rot90 dims", lambda x: x.rot90(1, [2, 0]), (2, 3, 4)),
    ("repeat", lambda x: x.repeat(2, 3), (2, 3)),
    ("repeat front", lambda x: x.repeat((4, 1, 2)), (2, 3)),
    ("repeat zero", lambda x: x.repeat(0, 2), (2, 3)),
    ("repeat 0-d", lambda x: x.repeat(3), ()),
    ("tile", lambda x: x.tile((2,)), (2, 3)),
    ("tile front", lambda x: x.tile(2, 1, 2), (2, 3)),
    ("repeat_interleave", lambda x: x.repeat_interleave(2, 1), (2, 3)),
    ("repeat_interleave all", lambda x: x.repeat_interleave(3), (2, 3)),
    ("repeat_interleave none", lambda x: x.repeat_interleave(0, dim=0), (2, 3)),
    *[
        (f"{f} {k}", lambda x, f=f, k=k: getattr(x, f)(k), s)
        for f in ("tril", "triu")
        for k, s in ((0, (3, 4)), (1, (4, 3)), (-1, (2, 3, 3)), (9, (2, 2)), (-9, (2, 2)), (0, (0, 3)), (0, (2, 1, 2, 3, 2)))
    ],
    *[(f"diagonal {k}", lambda x, k=k: x.diagonal(k), (3, 4)) for k in (-4, -3, -1, 0, 2, 3, 4)],
    ("diagonal dims", lambda x: x.diagonal(1, -1, 0), (3, 2, 4)),
    ("diagonal rank 5", lambda x: x.diagonal(0, 3, 1), (2, 3, 2, 4, 2)),
    ("diagonal empty", lambda x: x.diagonal(), (0, 3)),
    ("diagonal empty columns", lambda x: x.diagonal(-1), (3, 0)),
    ("diag vector", lambda x: x.diag(1), (3,)),
    ("diag matrix", lambda x: x.diag(-1), (3, 2)),
    ("diagflat", lambda x: x.diagflat(-1), (2, 2)),
    *[(f"diag_embed {k}", lambda x, k=k: x.diag_embed(k), (2, 3)) for k in (-2, 0, 1)],
    ("diag_embed dims", lambda x: x.diag_embed(1, 0, -2), (2, 3)),
    ("diag_embed backwards", lambda x: x.diag_embed(1, 2, 0), (2, 3)),
    ("diag_embed empty", lambda x: x.diag_embed(), (2, 0)),
    ("unfold", lambda x: x.unfold(1, 2, 1), (2, 5)),
    ("unfold apart", lambda x: x.unfold(0, 2, 3), (8, 2)),
    ("unfold fits", lambda x: x.unfold(-1, 2, 2), (3, 6)),
    ("unfold middle", lambda x: x.unfold(1, 3, 2), (2, 7, 2)),
    ("unfold 0-d", lambda x: x.unfold(0, 1, 1), ()),
    *[(f"split {n}", lambda x, n=n: x.split(n, 1), (2, 5)) for n in (1, 2, 5, 7, [2, 0, 3])],
    ("split empty", lambda x: x.split(2), (0, 3)),
    ("split_with_sizes", lambda x: x.split_with_sizes([1, 4], -1), (2, 5)),
    *[(f"chunk {n}", lambda x, n=n: x.chunk(n, -1), (2, 5)) for n in (1, 2, 3, 4, 9)],
    ("chunk empty", lambda x: x.chunk(3), (0, 3)),
    *[(f"tensor_split {n}", lambda x, n=n: x.tensor_split(n, 1), (2, 7)) for n in (1, 3, 9, (2, 5), (-3, 20), (5, 2))],
    ("hsplit", lambda x: x.hsplit(2), (3, 4)),
    ("hsplit vector", lambda x: x.hsplit([1]), (3,)),
    ("vsplit", lambda x: x.vsplit((1, 2)), (3, 4)),
    ("dsplit", lambda x: x.dsplit(2), (2, 3, 4)),
    ("unbind", lambda x: x.unbind(1), (2, 3, 4)),
    ("unbind empty", lambda x: x.unbind(-1), (2, 3)),
]


@pytest.mark.parametrize(("call", "shape"), [c[1:] for c in SAME], ids=[c[0] for c in SAME])
def test_like_torch(call: Any, shape: tuple[int, ...]) -> None:
    everywhere(call, None, array(*shape))


F = torch.nn.functional
PADS = [
    ((1, 2), (2, 3)), ((1, 2, 0, 3), (2, 3)), ((-1, 2), (2, 3)), ((-1, -1, 2, -1), (2, 3)), ((0, 0), (2, 3)), ((2, 1), (0,)),
    ((0, 1, 2, 0, 1, 1), (1, 2, 1)),
]  # fmt: skip


@pytest.mark.parametrize("value", [0, 2.5, -float("inf")])
@pytest.mark.parametrize(("pads", "shape"), PADS)
def test_pad(pads: Any, shape: Any, value: float) -> None:
    everywhere(lambda x: candle.pad(x, pads, "constant", value), lambda x: F.pad(x, pads, "constant", value), array(*shape))


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize(("pads", "shape"), [((2, 1), (2, 3, 4)), ((1, 2, 2, 1), (2, 3, 4, 3)), ((-1, 2), (2, 3, 4)),
                                             ((0, 0), (1, 2, 3)),
                                            ((1, 1, 1, 1, 1, 1), (1, 2, 3, 4, 2)), ((1, 0), (0, 2, 3))])  # fmt: skip
def test_pad_modes(mode: str, pads: Any, shape: Any) -> None:
    if mode == "circular" and 0 in shape:
        shape = (1, 2, 3)
    everywhere(lambda x: candle.pad(x, pads, mode=mode), lambda x: F.pad(x, pads, mode=mode), array(*shape), second=False)


def test_pad_of_candle() -> None:
    x = candle.tensor([[0.0, 1.0, 2.0]])
    assert x.pad_with_same(1, 2, 1).tolist() == [[0, 0, 0, 1, 2, 2]]
    assert x.pad_with_zeros(0, 1, 0).tolist() == [[0, 0, 0], [0, 1, 2]]


JOINS = [
    ("cat", lambda m, *x: m.cat(x, 1), [(2, 3), (2, 0), (2, 2)]),
    ("cat negative", lambda m, *x: m.cat(x, dim=-2), [(2, 3), (1, 3)]),
    ("cat one", lambda m, *x: m.cat(x), [(2, 3)]),
    ("concat", lambda m, *x: m.concat(x, dim=0), [(2,), (1,)]),
    ("stack", lambda m, *x: m.stack(x), [(2, 3), (2, 3)]),
    ("stack last", lambda m, *x: m.stack(x, -1), [(2, 3), (2, 3)]),
    ("stack 0-d", lambda m, *x: m.stack(x, 0), [(), ()]),
    ("hstack", lambda m, *x: m.hstack(x), [(2, 3), (2, 1)]),
    ("hstack vectors", lambda m, *x: m.hstack(x), [(2,), (1,), ()]),
    ("vstack", lambda m, *x: m.vstack(x), [(2,), (3, 2)]),
    ("dstack", lambda m, *x: m.dstack(x), [(2,), (2,)]),
    ("dstack matrices", lambda m, *x: m.dstack(x), [(2, 3), (2, 3, 2)]),
    ("column_stack", lambda m, *x: m.column_stack(x), [(2,), (2, 3)]),
    ("block_diag", lambda m, *x: m.block_diag(*x), [(2, 3), (2,), (), (0, 2)]),
    ("broadcast", lambda m, *x: m.broadcast_tensors(*x), [(2, 1), (3,), ()]),
    ("meshgrid", lambda m, *x: m.meshgrid(*x, indexing="ij"), [(2,), (3,), (1,)]),
    ("meshgrid xy", lambda m, *x: m.meshgrid(*x, indexing="xy"), [(2,), (3,), (2,)]),
    ("meshgrid empty", lambda m, *x: m.meshgrid(*x, indexing="xy"), [(2,), (0,)]),
    ("cartesian_prod", lambda m, *x: m.cartesian_prod(*x), [(2,), (3,), (2,)]),
    ("cartesian_prod one", lambda m, *x: m.cartesian_prod(*x), [(2,)]),
    ("combinations", lambda m, x: m.combinations(x), [(4,)]),
    ("combinations again", lambda m, x: m.combinations(x, 3, with_replacement=True), [(3,)]),
    ("combinations none", lambda m, x: m.combinations(x, 3), [(2,)]),
    (
        "atleast",
        lambda m, *x: [f(v) for v in x for f in (m.atleast_1d, m.atleast_2d, m.atleast_3d)],
        [(), (2,), (2, 3), (1, 2, 3, 4)],
    ),
    ("diagonal_scatter", lambda m, x, s: m.diagonal_scatter(x, s, 1), [(3, 4), (3,)]),
    ("diagonal_scatter dims", lambda m, x, s: m.diagonal_scatter(x, s, -1, 2, 0), [(3, 2, 4), (2, 3)]),
    ("slice_scatter", lambda m, x, s: m.slice_scatter(x, s, 1, 1, -1), [(2, 4), (2, 2)]),
    ("slice_scatter steps", lambda m, x, s: m.slice_scatter(x, s, 0, 0, 9, 2), [(5, 2), (3, 2)]),
    ("slice_scatter nothing", lambda m, x, s: m.slice_scatter(x, s, 0, 3, 1), [(5, 2), (0, 2)]),
    ("select_scatter", lambda m, x, s: m.select_scatter(x, s, 1, -1), [(2, 3), (2,)]),
]


@pytest.mark.parametrize(("call", "shapes"), [c[1:] for c in JOINS], ids=[c[0] for c in JOINS])
def test_of_several(call: Any, shapes: Any) -> None:
    everywhere(lambda *x: call(candle, *x), lambda *x: call(torch, *x), *[array(*s, seed=i) for i, s in enumerate(shapes)])


STORED = [
    np.bool_,
    np.uint8,
    np.int64,
    np.float16,
    ml_dtypes.bfloat16,
    np.float64,
    np.complex64,
    ml_dtypes.float8_e4m3fn,
    ml_dtypes.int4,
]


@pytest.mark.parametrize("dtype", STORED)
@pytest.mark.parametrize(
    "name", ["reshape", "permute", "slice", "pad", "cat", "roll", "repeat", "tril", "diag", "flip", "set", "write", "unfold"]
)
def test_every_dtype(name: str, dtype: Any) -> None:
    """Movement looks at no value: on bytes it does what it does on numbers."""
    calls = {
        "reshape": lambda x: x.reshape(4, 3), "permute": lambda x: x.permute(1, 0), "slice": lambda x: x[::-2, 1:],
        "pad": lambda x: x.pad((1, 2)), "cat": lambda x: candle.cat([x, x], 1), "roll": lambda x: x.roll(1, 1),
        "repeat": lambda x: x.repeat(2, 2),
        "tril": lambda x: x.tril(), "diag": lambda x: x.diagonal(1).diag_embed(), "flip": lambda x: x.flip(0),
        "set": lambda x: OPS["slice_set"](x, x[:1], starts=(0, 0), stops=(2, 4)), "unfold": lambda x: x.unfold(1, 3, 1),
        "write": lambda x: x.write(x[:1], candle.tensor(2, device=x.device), dim=0),
    }  # fmt: skip
    bits = np.arange(1, 13).reshape(3, 4) % 2
    x = bits.astype(dtype)
    for device in ("numpy", "bare"):
        got = calls[name](candle.tensor(x, device=device)).numpy()
        want = calls[name](candle.tensor(bits, device="numpy")).numpy()
        assert got.dtype == x.dtype
        np.testing.assert_array_equal(got.astype(np.complex64 if x.dtype.kind == "c" else np.int64), want)


CUTS = [(None, None, None), (1, None, None), (-2, None, 2), (None, None, -1), (None, None, -2), (3, 0, -1), (-1, -9, -3),
        (9, 2, None), (2, 1, None), (4, 4, -1),
        (-9, 9, 3), (0, 1, 5), (1, 2, -1)]  # fmt: skip


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("n", [0, 1, 5])
def test_slice(cut: Any, n: int) -> None:
    """Slices, their gradients and assignments to them, as NumPy has them."""
    x, at = array(2, n, seed=1), np.s_[1:, slice(*cut)]
    attrs = dict(zip(("starts", "stops", "steps"), zip((1, None, 1), cut)))
    for device in ("numpy", "bare"):
        t = candle.tensor(x, device=device).requires_grad_()
        y = OPS["slice"](t, **attrs)
        np.testing.assert_array_equal(y.detach().numpy(), x[at])
        seed = candle.tensor(array(*y.shape, seed=2), device=device)
        want = np.zeros_like(x)
        want[at] = seed.numpy()
        np.testing.assert_array_equal(candle.grad(y, t, seed).numpy(), want)
        v = candle.tensor(array(*y.shape, seed=3), device=device).requires_grad_()
        z = OPS["slice_set"](t, v, **attrs)
        want = x.copy()
        want[at] = v.detach().numpy()
        np.testing.assert_array_equal(z.detach().numpy(), want)
        g = array(2, n, seed=4)
        gx, gv = candle.grad(z, [t, v], candle.tensor(g, device=device))
        np.testing.assert_array_equal(gv.numpy(), g[at])
        g[at] = 0
        np.testing.assert_array_equal(gx.numpy(), g)


def test_slice_has_one_form() -> None:
    """Completing attributes that are complete changes nothing, and a kernel's start lies inside."""
    op = OPS["slice"]
    for n in range(6):
        spec = candle.Spec((n,), "float32")
        for a in (None, *range(-7, 8)):
            for b in (None, *range(-7, 8)):
                for c in (1, 2, 3, -1, -2, -3):
                    once = op.complete((spec,), {"starts": (a,), "stops": (b,), "steps": (c,)})
                    assert op.complete((spec,), once) == once
                    (start,), (stop,), (step,) = once.values()
                    assert list(range(n))[start:stop:step] == list(range(n))[a:b:c]
                    assert start < n or not n


@pytest.mark.parametrize("at", [0, 2, 3])
@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_write_and_narrow_at(at: int, kind: Any) -> None:
    x, s, where = array(2, 5, 3), array(2, 2, 3, seed=1), np.array(at, kind)

    def ours(x: Any, s: Any) -> Any:
        p = candle.tensor(where, device=x.device)
        return [candle.write(x, s, p, dim=1), x.narrow_at(p, -2, 2)]

    def theirs(x: Any, s: Any) -> Any:
        return [torch.slice_scatter(x, s, 1, at, at + 2), x.narrow(1, at, 2)]

    everywhere(ours, theirs, x, s)


def test_write_in_place_gives_the_same() -> None:
    for name, rest in (("write", {"dim": 0}), ("slice_set", {"starts": (1, 0), "stops": (3, 2), "steps": (1, 1)})):
        x, v = array(4, 2), array(2, 2, seed=1)
        more = (np.array(1),) if name == "write" else ()
        want = OPS[name].fn(x, v, *more, **rest)
        assert want is not x
        got = OPS[name].into(x, v, *more, **rest)
        assert got is x
        np.testing.assert_array_equal(got, want)


def test_joined_dtypes_are_promoted() -> None:
    mixed = [np.ones(2, np.int32), np.ones(3, np.float16), np.ones(1, np.bool_)]
    assert candle.cat([candle.tensor(m) for m in mixed]).dtype is candle.float16
    same(candle.stack([candle.tensor(1, dtype="int32"), candle.tensor(2.5)]), torch.stack([torch.tensor(1.0), torch.tensor(2.5)]))


def test_repeat_interleave_with_counts() -> None:
    x, n = array(3, 2), np.array([2, 0, 3])
    check(lambda x, n: x.repeat_interleave(n, 0), lambda x, n: x.repeat_interleave(n, 0), x, n)
    same(candle.repeat_interleave(candle.tensor(n)), torch.repeat_interleave(to_torch(n)))
    check(lambda x: x.repeat_interleave(candle.tensor([2]), 1), lambda x: x.repeat_interleave(torch.tensor([2]), 1), x)


@pytest.mark.parametrize("name", ["tril_indices", "triu_indices"])
@pytest.mark.parametrize("sizes", [(3, 4, 0), (4, 2, 1), (3, 3, -1), (0, 3, 0), (2, 2, 9)])
def test_triangle_indices(name: str, sizes: Any) -> None:
    same(getattr(candle, name)(*sizes), getattr(torch, name)(*sizes))


def test_view_of_another_dtype() -> None:
    x = np.arange(6, dtype=np.float32).reshape(1, 6)
    for to in ("int32", "uint8", "float64", "int16"):
        same(candle.tensor(x).view(getattr(candle, to)), to_torch(x).view(getattr(torch, to)))
    assert candle.zeros(3, 0).view(candle.uint8).shape == (3, 0)
    assert candle.tensor(1.0).view(candle.int32).item() == 0x3F800000


ERRORS = [
    (lambda x: x.reshape(5, 2), candle.ShapeError, "reshape cannot make float32[2,3,4], of 24 elements, into (5, 2)"),
    (lambda x: x.reshape(-1, -1), candle.ShapeError, "into (-1, -1)"),
    (lambda x: x.permute(0, 0, 1), candle.ShapeError, "each of the 3 dimensions"),
    (lambda x: x.expand(3, 3, 4), candle.ShapeError, "cannot broadcast float32[2,3,4] to (3, 3, 4)"),
    (lambda x: x.squeeze(3), candle.DimError, "squeeze's dim is from -3 to 2"),
    (lambda x: x.unsqueeze(4), candle.DimError, "unsqueeze's dim is from -4 to 3"),
    (lambda x: x.transpose(0, 3), candle.DimError, "transpose's dim1"),
    (lambda x: x.t(), candle.ShapeError, "use .mT"),
    (lambda x: x.flatten(2, 1), candle.DimError, "before its end_dim"),
    (lambda x: x.unflatten(1, (2, 2)), candle.ShapeError, "into (2, 2)"),
    (lambda x: x.narrow(1, 2, 2), candle.DimError, "narrow cannot take 2 from 2 of dimension 1"),
    (lambda x: x.select(1, 3), candle.DimError, "the index 3 for dimension 1"),
    (lambda x: x.flip(0, 0), candle.DimError, "names one twice"),
    (lambda x: x.pad((1, 2, 3)), candle.ShapeError, "two amounts"),
    (
        lambda x: x.pad((4, 0), "reflect"),
        candle.ShapeError,
        "cannot reflect 4 elements of dimension 2 of float32[2,3,4]; at most 3",
    ),
    (lambda x: x.pad((-3, -2)), candle.ShapeError, "cannot take"),
    (lambda x: x.pad((1, 1), "mirror"), candle.DTypeError, "'mirror'"),
    (lambda x: candle.cat([x, x[0]]), candle.ShapeError, "differ only along dimension 0"),
    (lambda x: candle.cat([]), (candle.ShapeError, TypeError), "cat"),
    (lambda x: candle.stack([x, x[:1]]), candle.ShapeError, "tensors of one shape"),
    (lambda x: x.split([1, 1], 1), candle.ShapeError, "sum to 3"),
    (lambda x: x.split(0), candle.ShapeError, "at least 1"),
    (lambda x: x.chunk(0), candle.ShapeError, "at least 1 chunk"),
    (lambda x: x.hsplit(2), candle.ShapeError, "equal pieces"),
    (lambda x: x.diagonal(0, 1, -2), candle.DimError, "two different dimensions"),
    (lambda x: x[0, 0].tril(), candle.ShapeError, "tril takes"),
    (lambda x: x.roll((1, 2), 0), candle.ShapeError, "one shift for each dimension"),
    (lambda x: x.repeat(2), candle.ShapeError, "repeat takes a count"),
    (lambda x: x.unfold(1, 4, 1), candle.ShapeError, "unfold takes a size from 0 to 3"),
    (lambda x: x.diagonal_scatter(x), candle.ShapeError, "diagonal_scatter takes a source of shape (4, 2)"),
    (
        lambda x: x.write(x, candle.tensor(1), dim=0),
        candle.DimError,
        "write was given the position 1 for 2 elements in a dimension of size 2",
    ),
    (lambda x: x.narrow_at(candle.tensor(-1), 0, 1), candle.DimError, "narrow_at was given the position -1"),
    (lambda x: x.narrow_at(candle.tensor([1]), 0, 1), candle.ShapeError, "without dimensions"),
    (lambda x: candle.as_strided(x, (2,), (1,)), candle.DTypeError, "without strides"),
    (lambda x: candle.meshgrid(x), candle.ShapeError, "takes vectors"),
    (lambda x: OPS["slice"](x, (0,), (1,), (0,)), candle.DimError, "step is not 0"),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[e[2] for e in ERRORS])
def test_errors(call: Any, error: Any, text: str) -> None:
    with pytest.raises(error) as caught:
        call(candle.tensor(A, device="numpy"))
    assert text in str(caught.value)
