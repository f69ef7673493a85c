"""Modules, layers with PyTorch's state, containers, initialisation."""

import copy
import pickle

import numpy as np
import pytest
from torch_check import same, to_candle, to_torch, torch

import candle
from candle import CandleError, GradientError, ShapeError, nn
from candle.nn import functional as F

rng = np.random.default_rng(0)


def draw(*shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


def ids(n, *shape):
    return rng.integers(0, n, shape)


X = draw(2, 4, 6)
LAYERS = [
    ("Linear", (4, 3), {}, [draw(2, 4)]),
    ("Linear", (4, 3), {"bias": False}, [draw(4)]),
    ("Bilinear", (3, 4, 5), {}, [draw(2, 3), draw(2, 4)]),
    ("Identity", (), {}, [X]),
    ("Embedding", (5, 3), {}, [ids(5, 2, 3)]),
    ("Embedding", (5, 3), {"padding_idx": 1}, [ids(5, 4, 3)]),
    ("LayerNorm", (6,), {}, [X]),
    ("LayerNorm", ([4, 6],), {"bias": False}, [X]),
    ("LayerNorm", (6,), {"elementwise_affine": False}, [X]),
    ("RMSNorm", (6,), {}, [X]),
    ("RMSNorm", (6,), {"eps": 1e-3}, [X]),
    ("GroupNorm", (2, 4), {}, [X]),
    ("BatchNorm1d", (4,), {}, [X]),
    ("BatchNorm1d", (6,), {"momentum": None}, [draw(3, 6)]),
    ("BatchNorm1d", (4,), {"affine": False}, [X]),
    ("BatchNorm1d", (4,), {"track_running_stats": False}, [X]),
    ("BatchNorm2d", (4,), {}, [draw(2, 4, 3, 3)]),
    ("BatchNorm3d", (4,), {}, [draw(2, 4, 2, 2, 2)]),
    ("InstanceNorm1d", (4,), {"affine": True}, [X]),
    ("InstanceNorm2d", (4,), {"track_running_stats": True}, [draw(2, 4, 3, 3)]),
    ("InstanceNorm1d", (4,), {}, [draw(4, 6)]),
    ("Conv1d", (4, 6, 3), {"padding": 1, "groups": 2}, [X]),
    ("Conv1d", (4, 2, 4), {"padding": "same"}, [X]),
    ("Conv1d", (4, 2, 3), {"padding": 2, "padding_mode": "circular"}, [X]),
    ("Conv1d", (4, 2, 4), {"padding": "same", "padding_mode": "reflect"}, [X]),
    ("Conv2d", (3, 4, (2, 3)), {"stride": 2, "dilation": (1, 2), "bias": False}, [draw(2, 3, 7, 8)]),
    ("Conv3d", (2, 3, 2), {}, [draw(1, 2, 3, 3, 4)]),
    ("ConvTranspose1d", (4, 2, 3), {"stride": 2, "output_padding": 1}, [X]),
    ("ConvTranspose2d", (4, 2, 3), {"groups": 2, "padding": 1}, [draw(1, 4, 3, 3)]),
    ("ConvTranspose3d", (2, 3, 2), {}, [draw(1, 2, 2, 2, 2)]),
    ("MaxPool1d", (2,), {}, [X]),
    ("MaxPool2d", (3,), {"stride": 2, "padding": 1}, [draw(1, 2, 6, 6)]),
    ("MaxPool3d", (2,), {}, [draw(1, 2, 4, 4, 4)]),
    ("AvgPool1d", (3,), {"count_include_pad": False, "padding": 1}, [X]),
    ("AvgPool2d", (2,), {"ceil_mode": True}, [draw(1, 2, 5, 5)]),
    ("AvgPool3d", (2,), {}, [draw(1, 2, 4, 4, 4)]),
    ("AdaptiveAvgPool1d", (4,), {}, [X]),
    ("AdaptiveAvgPool2d", ((2, 3),), {}, [draw(1, 2, 5, 6)]),
    ("AdaptiveMaxPool1d", (4,), {}, [X]),
    ("LPPool1d", (2, 3), {}, [np.abs(X)]),
    ("Upsample", (), {"scale_factor": 2}, [X]),
    ("Upsample", (), {"size": (4, 5), "mode": "bilinear", "align_corners": True}, [draw(1, 2, 3, 3)]),
    ("PixelShuffle", (2,), {}, [draw(1, 8, 2, 2)]),
    ("PixelUnshuffle", (2,), {}, [draw(1, 2, 4, 4)]),
    ("ChannelShuffle", (2,), {}, [draw(1, 4, 2, 2)]),
    ("Flatten", (), {}, [X]),
    ("Unflatten", (1, (2, 2)), {}, [X]),
    ("PReLU", (4,), {}, [X]),
    ("PReLU", (), {}, [X]),
    ("Softmax2d", (), {}, [draw(1, 2, 3, 3)]),
    ("ZeroPad1d", (2,), {}, [X]),
    ("ConstantPad2d", ((1, 2, 0, 1), 3.5), {}, [X]),
    ("ReflectionPad1d", (2,), {}, [X]),
    ("ReplicationPad2d", (1,), {}, [draw(1, 2, 3, 3)]),
    ("CircularPad1d", (2,), {}, [X]),
    ("Unfold", (2,), {}, [draw(1, 2, 4, 4)]),
    ("Fold", ((4, 4), 2), {}, [draw(1, 8, 9)]),
    ("CosineSimilarity", (), {}, [X, draw(2, 4, 6)]),
    ("PairwiseDistance", (), {}, [X, draw(2, 4, 6)]),
    ("LocalResponseNorm", (2,), {}, [X]),
    ("Threshold", (0.1, 2.0), {}, [X]),
    ("Softmax", (-1,), {}, [X]),
    ("LogSoftmax", (1,), {}, [X]),
    ("Softmin", (1,), {}, [X]),
    ("GLU", (), {}, [X]),
    ("GELU", ("tanh",), {}, [X]),
    *[
        (n, (), {}, [X])
        for n in (
            "ReLU",
            "ReLU6",
            "ELU",
            "CELU",
            "SELU",
            "GELU",
            "SiLU",
            "Mish",
            "Sigmoid",
            "LogSigmoid",
            "Tanh",
            "Softplus",
            "Softsign",
            "Hardsigmoid",
            "Hardswish",
            "Hardtanh",
            "Hardshrink",
            "Softshrink",
            "Tanhshrink",
            "LeakyReLU",
        )
    ],
    *[(n, (), {}, [X, draw(2, 4, 6)]) for n in ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss")],
    ("CrossEntropyLoss", (), {"label_smoothing": 0.1}, [draw(3, 4), ids(4, 3)]),
    ("NLLLoss", (), {}, [draw(3, 4), ids(4, 3)]),
    ("BCELoss", (), {}, [np.full((3,), 0.3, np.float32), np.ones(3, np.float32)]),
    ("BCEWithLogitsLoss", (), {}, [draw(3), np.ones(3, np.float32)]),
    ("KLDivLoss", (), {"reduction": "batchmean"}, [X, np.abs(X)]),
    ("TripletMarginLoss", (), {}, [draw(2, 3), draw(2, 3), draw(2, 3)]),
]


@pytest.mark.parametrize("name, args, kwargs, xs", LAYERS)
def test_layers(name, args, kwargs, xs):
    """The same state gives the same results, gradients and new state, in training and in inference."""
    if hasattr(candle, "manual_seed"):
        candle.manual_seed(0)
    theirs = getattr(torch.nn, name)(*args, **kwargs)
    ours = getattr(nn, name)(*args, **kwargs).to("numpy")
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: tuple(v.shape) for k, v in theirs.state_dict().items()}
    assert ours.load_state_dict(theirs.state_dict()) == ([], [])
    for mode in (True, False):
        ours.train(mode), theirs.train(mode)
        a, b = [to_candle(x) for x in xs], [to_torch(x) for x in xs]
        for x, y in zip(a, b):
            if y.is_floating_point():
                x.requires_grad_(), y.requires_grad_()
        y, z = ours(*a), theirs(*b)
        same(y.detach(), z)
        if not z.requires_grad:
            continue
        w = draw(*z.shape)
        leaves = [x for x in [*a, *ours.parameters()] if x.requires_grad]
        others = [x for x in [*b, *theirs.parameters()] if x.requires_grad]
        grads = candle.grad((y * to_candle(w)).sum(), leaves, allow_unused=True)
        for g, h in zip(grads, torch.autograd.grad((z * to_torch(w)).sum(), others, allow_unused=True)):
            same(g, h, rtol=2e-4)
    for key, value in theirs.state_dict().items():
        same(ours.state_dict()[key], value)


def test_every_layer_has_pytorchs_name():
    ours = {n for n in nn.__all__ if n[0].isupper()} - {"Buffer", "LoadResult"}
    assert not {n for n in ours if not hasattr(torch.nn, n)}


# -- the tree --------------------------------------------------------------------------------------


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.out = nn.Linear(3, 5, bias=False)
        self.out.weight = self.embed.weight
        self.register_buffer("scale", candle.tensor(2.0))
        self.register_buffer("cache", candle.zeros(2), persistent=False)
        self.register_parameter("nothing", None)

    def forward(self, x):
        return self.out(self.embed(x)) * self.scale


def test_tied_parameters():
    m = Tied()
    assert [n for n, _ in m.named_parameters()] == ["embed.weight"]
    assert [n for n, _ in m.named_parameters(remove_duplicate=False)] == ["embed.weight", "out.weight"]
    assert list(m.state_dict()) == ["scale", "embed.weight", "out.weight"]
    assert [n for n, _ in m.named_buffers()] == ["scale", "cache"]
    assert [n for n, _ in m.named_modules()] == ["", "embed", "out"]
    m.to("numpy").double()
    assert m.out.weight is m.embed.weight and m.embed.weight.dtype is candle.float64
    other = copy.deepcopy(m)
    assert other.out.weight is other.embed.weight and other.embed.weight is not m.embed.weight
    m(to_candle(ids(5, 4))).sum().backward()
    assert m.embed.weight.grad.shape == (5, 3)
    m.zero_grad()
    assert m.embed.weight.grad is None


def test_attributes():
    m = nn.Module()
    m.weight = nn.Parameter(candle.ones(2))
    m.weight = None
    assert list(m.parameters()) == [] and m.weight is None
    with pytest.raises(TypeError, match="Parameter or None"):
        m.weight = candle.ones(2)
    del m.weight
    with pytest.raises(AttributeError, match="no attribute 'weight'"):
        _ = m.weight
    m.part = nn.Linear(1, 1)
    m.part = nn.Identity()
    assert repr(m.part) == "Identity()" and len(list(m.children())) == 1
    with pytest.raises(CandleError, match="already"):
        m.register_buffer("forward", candle.ones(1))
    with pytest.raises(CandleError, match="without dots"):
        m.add_module("a.b", nn.Identity())

    class Early(nn.Module):
        def __init__(self):
            self.layer = nn.Identity()

    with pytest.raises(AttributeError, match=r"super\(\).__init__"):
        Early()
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()()
    with pytest.raises(GradientError):
        nn.Parameter(candle.tensor([1]))
    assert not nn.Parameter(candle.tensor([1]), requires_grad=False).requires_grad


def test_paths():
    m = nn.Sequential(nn.Linear(2, 3), nn.Sequential(nn.Linear(3, 1)))
    assert m.get_submodule("1.0") is m[1][0] and m.get_parameter("1.0.bias") is m[1][0].bias
    with pytest.raises(AttributeError, match="no submodule 'x'"):
        m.get_submodule("1.x")


def test_hooks():
    m = nn.Linear(2, 2).to("numpy")
    seen = []
    with (
        m.register_forward_hook(lambda mod, args, y: seen.append(args) or y * 0),
        m.register_forward_pre_hook(lambda mod, args: args[0] + 1),
    ):
        y = m(candle.zeros(1, 2, device="numpy"))
    assert not y.detach().numpy().any() and seen[0][0].tolist() == [[1, 1]]
    assert m(candle.zeros(1, 2, device="numpy")).detach().numpy().any()


def test_modes():
    m = nn.Sequential(nn.Dropout(0.9), nn.Sequential(nn.Dropout(0.9)))
    assert m.training and not m.eval()[1][0].training
    x = candle.ones(3, device="numpy")
    assert m(x) is x
    m.requires_grad_(False)
    count = []
    m.apply(lambda part: count.append(type(part).__name__))
    assert count == ["Dropout", "Dropout", "Sequential", "Sequential"]


def test_moves_keep_identities():
    m = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).to("numpy")
    before = list(m.parameters())
    m.half()
    assert all(a is b for a, b in zip(before, m.parameters())) and all(p.requires_grad and p.is_leaf for p in m.parameters())
    assert {str(p.dtype) for p in m.parameters()} == {"float16"}
    assert m[1].num_batches_tracked.dtype is candle.int64 and m[1].running_mean.dtype is candle.float16
    with pytest.raises(candle.DTypeError, match="floating"):
        m.to(candle.int64)


# -- state -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["candle", "numpy", "torch"])
@pytest.mark.parametrize("assign", [False, True])
def test_state_round_trip(kind, assign):
    source, target = (nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).to("numpy") for _ in range(2))
    state = {k: v.double() if v.is_floating_point() else v for k, v in source.state_dict().items()}
    if kind != "candle":
        state = {k: v.numpy() if kind == "numpy" else torch.tensor(v.numpy()) for k, v in state.items()}
    before = list(target.parameters())
    target.load_state_dict(state, assign=assign)
    assert all(a is b for a, b in zip(before, target.parameters())) and all(p.requires_grad for p in before)
    assert target[0].weight.dtype is (candle.float64 if assign else candle.float32)
    for k, v in source.state_dict().items():
        np.testing.assert_array_equal(v.numpy(), target.state_dict()[k].numpy())


def test_state_errors():
    m = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1)).to("numpy")
    state = m.state_dict()
    first = m[0].weight.detach().numpy().copy()
    bad = {"0.weight": state["0.weight"] * 0, "0.bias": np.zeros(3), "1.weight": np.zeros((1, 3)), "other": np.zeros(1)}
    with pytest.raises(ShapeError) as e:
        m.load_state_dict(bad)
    for part in ("missing: 1.bias", "unexpected: other", "0.bias is float32[2]", "1.weight is float32[1,2]"):
        assert part in str(e.value)
    np.testing.assert_array_equal(m[0].weight.detach().numpy(), first)
    del bad["0.bias"], bad["1.weight"]
    with pytest.raises(CandleError, match="strict=False"):
        m.load_state_dict(bad)
    found = m.load_state_dict(bad, strict=False)
    assert found.missing_keys == ["0.bias", "1.weight", "1.bias"] and found.unexpected_keys == ["other"]
    assert not m[0].weight.detach().numpy().any()


def test_copies():
    m = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.GELU(), nn.Dropout(0.1)).to("numpy").eval()
    x = to_candle(draw(4, 3))
    for other in (copy.deepcopy(m), pickle.loads(pickle.dumps(m))):
        np.testing.assert_array_equal(other(x).detach().numpy(), m(x).detach().numpy())
        assert isinstance(other[0].weight, nn.Parameter) and other[0].weight.requires_grad and not other.training
        with candle.no_grad():
            other[0].weight.zero_()
    assert m[0].weight.detach().numpy().any()


def test_text():
    m = nn.Sequential(nn.Linear(2, 3), nn.ModuleList([nn.GELU("tanh")]))
    assert repr(m).splitlines() == [
        "Sequential(",
        "  (0): Linear(in_features=2, out_features=3, bias=True)", "  (1): ModuleList(", "    (0): GELU(approximate='tanh')",
        "  )", ")",
    ]  # fmt: skip


# -- containers ------------------------------------------------------------------------------------


def test_lists():
    m = nn.ModuleList([nn.Linear(1, 1), nn.GELU()])
    m.append(nn.Tanh()).extend([nn.ReLU()])
    m.insert(1, nn.Identity())
    assert [type(x).__name__ for x in m] == ["Linear", "Identity", "GELU", "Tanh", "ReLU"] and len(m[1:3]) == 2
    assert type(m.pop()).__name__ == "ReLU" and type(m[-1]).__name__ == "Tanh"
    del m[0]
    m[0] = nn.Linear(2, 2)
    assert list(m.state_dict()) == ["0.weight", "0.bias"]
    with pytest.raises(IndexError, match="index 7"):
        _ = m[7]
    p = nn.ParameterList([candle.ones(2), nn.Parameter(candle.ones(1))])
    assert len(list(p.parameters())) == 2 and p[0].requires_grad
    s = nn.Sequential({"a": nn.Linear(1, 2), "b": nn.GELU()})
    assert list(s.state_dict()) == ["a.weight", "a.bias"] and type(s[1]).__name__ == "GELU" and len(s[:1]) == 1


def test_dicts():
    m = nn.ModuleDict({"a": nn.Linear(1, 1)})
    m["b"] = nn.GELU()
    assert list(m) == ["a", "b"] and "a" in m and list(m.state_dict()) == ["a.weight", "a.bias"]
    m.pop("a")
    assert list(m.keys()) == ["b"]
    p = nn.ParameterDict({"w": candle.ones(2)})
    assert p["w"].requires_grad and list(p.state_dict()) == ["w"]


# -- initialisation --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, kwargs",
    [
        ("uniform_", {"a": -1.0, "b": 3.0}),
        ("normal_", {"mean": 1.0, "std": 2.0}),
        ("trunc_normal_", {"std": 1.0, "a": -1.0, "b": 2.0}),
        ("xavier_uniform_", {"gain": 2.0}),
        ("xavier_normal_", {}),
        ("kaiming_uniform_", {"a": 0.2}),
        ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "relu"}),
    ],
)
def test_distributions(name, kwargs):
    """The mean, the deviation and the bounds are those of PyTorch's."""
    candle.manual_seed(0)
    torch.manual_seed(0)
    x, y = candle.zeros(300, 20, 5, device="numpy"), torch.zeros(300, 20, 5)
    assert getattr(nn.init, name)(x, **kwargs) is x
    getattr(torch.nn.init, name)(y, **kwargs)
    a, b = x.numpy(), y.numpy()
    assert abs(a.mean() - b.mean()) < 0.04 * b.std() and abs(a.std() / b.std() - 1) < 0.03
    if "normal_" not in name or "trunc" in name:
        assert abs(a.min() - b.min()) < 0.02 * b.std() and abs(a.max() - b.max()) < 0.02 * b.std()


@pytest.mark.parametrize(
    "name, shape, args",
    [
        ("constant_", (2, 3), (1.5,)),
        ("zeros_", (2,), ()),
        ("ones_", (2,), ()),
        ("eye_", (2, 3), ()),
        ("dirac_", (4, 3, 3), ()),
        ("dirac_", (4, 2, 3, 2), (2,)),
    ],
)
def test_fixed_values(name, shape, args):
    same(
        getattr(nn.init, name)(candle.zeros(shape, device="numpy"), *args),
        getattr(torch.nn.init, name)(torch.zeros(shape), *args),
    )


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 2, 2)])
def test_orthogonal(shape):
    x = nn.init.orthogonal_(candle.zeros(shape, device="numpy"), gain=2.0).numpy().reshape(shape[0], -1)
    x = x if x.shape[0] <= x.shape[1] else x.T
    np.testing.assert_allclose(x @ x.T, 4 * np.eye(len(x)), atol=1e-5)


def test_default_values():
    candle.manual_seed(0)
    m = nn.Linear(100, 200).to("numpy")
    w = m.weight.detach().numpy()
    assert 0.099 < w.max() <= 0.1 and -0.1 <= w.min() < -0.099 and np.abs(m.bias.detach().numpy()).max() <= 0.1
    assert not nn.Embedding(4, 3, padding_idx=-1).weight.detach().numpy()[3].any()


def test_embedding_with_a_padding_row_makes_no_copy_of_its_table():
    layer = nn.Embedding(1000, 3, padding_idx=0)
    ids = to_candle(np.array([[0, 7], [7, 2]]))
    graphs = [candle.compile(lambda x: layer(x)).graph(ids)]
    with candle.no_grad():
        graphs.append(candle.compile(lambda x: layer(x)).graph(ids))
    assert all(spec.size < 1000 for g in graphs for call in g.calls for spec in call.outs)
    layer(ids).sum().backward()
    assert layer.weight.grad[0].tolist() == [0.0] * 3 and layer.weight.grad[7].tolist() == [2.0] * 3


def test_no_init():
    with nn.no_init():
        m = nn.Linear(10000, 10000)
    assert m.weight.numpy().strides == (0, 0) or not m.weight.numpy().any()
    assert nn.Linear(2, 2).weight.detach().numpy().any()


# -- captures --------------------------------------------------------------------------------------


def test_capture_heeds_the_mode():
    m = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).to("numpy")
    f = candle.compile(lambda x: m(x))
    x = to_candle(draw(5, 3))
    mirror = copy.deepcopy(m)
    for mode in (True, False, True):
        m.train(mode), mirror.train(mode)
        np.testing.assert_allclose(f(x).detach().numpy(), mirror(x).detach().numpy(), rtol=1e-5, atol=1e-6)
        for key, value in mirror.state_dict().items():
            np.testing.assert_allclose(m.state_dict()[key].numpy(), value.numpy(), rtol=1e-5, atol=1e-6)


def test_functional():
    assert F.relu.__doc__ and "softmax" in dir(F)
    with pytest.raises(AttributeError, match="did you mean 'softmax'"):
        _ = F.softmx
    x = to_candle(np.array([-1.0, 2.0]))
    assert F.relu(x, inplace=True) is x and x.tolist() == [0, 2]
    table = to_candle(draw(4, 2)).requires_grad_()
    g = candle.grad(F.embedding(to_candle(np.array([1, 3])), table, padding_idx=-1).sum(), table)
    assert g.numpy()[1].all() and not g.numpy()[3].any()


# -- attention and recurrence ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{}, {"batch_first": True, "bias": False}, {"kdim": 5, "vdim": 3}, {"add_bias_kv": True, "add_zero_attn": True}]
)
def test_multihead_attention(settings):
    theirs = torch.nn.MultiheadAttention(8, 2, **settings)
    ours = nn.MultiheadAttention(8, 2, **settings).to("numpy")
    ours.load_state_dict(theirs.state_dict())
    xs = [draw(4, 3, 8), draw(5, 3, settings.get("kdim", 8)), draw(5, 3, settings.get("vdim", 8))]
    b, n, m = (4, 3, 3) if "batch_first" in settings else (3, 4, 5)
    if "batch_first" in settings:
        xs[1:] = [draw(4, 3, 8), draw(4, 3, 8)]
    padding = np.zeros((b, m), bool)
    padding[0, 1] = True
    later = np.triu(np.ones((n, m), bool), 1)
    for masks in ({}, {"key_padding_mask": padding}, {"key_padding_mask": padding, "attn_mask": later}):
        for need in ({"need_weights": False}, {}, {"average_attn_weights": False}):
            y, w = ours(*map(to_candle, xs), **{k: to_candle(v) for k, v in masks.items()}, **need)
            z, v = theirs(*map(to_torch, xs), **{k: to_torch(v) for k, v in masks.items()}, **need)
            same(y.detach(), z)
            assert (w is None) == (v is None)
            if w is not None:
                same(w.detach(), v)


@pytest.mark.parametrize("norm_first", [False, True])
def test_transformer(norm_first):
    sizes = {"dim_feedforward": 16, "activation": "gelu", "batch_first": True, "norm_first": norm_first}
    theirs = torch.nn.Transformer(8, 2, 2, 1, **sizes).eval()
    ours = nn.Transformer(8, 2, 2, 1, **sizes).to("numpy").eval()
    ours.load_state_dict(theirs.state_dict())
    source, target = draw(2, 5, 8), draw(2, 4, 8)
    mask = nn.Transformer.generate_square_subsequent_mask(4, device="numpy")
    same(mask, torch.nn.Transformer.generate_square_subsequent_mask(4))
    same(ours(to_candle(source), to_candle(target), tgt_mask=mask).detach(),
         theirs(to_torch(source), to_torch(target), tgt_mask=to_torch(mask.numpy())))  # fmt: skip


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("settings", [{}, {"num_layers": 2, "bidirectional": True}, {"batch_first": True, "bias": False}])
def test_recurrent(kind, settings):
    theirs = getattr(torch.nn, kind)(3, 4, **settings)
    ours = getattr(nn, kind)(3, 4, **settings).to("numpy")
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    layers = 4 if "num_layers" in settings else 1
    for shape in ((5, 2, 3), (5, 3)):
        batch = () if len(shape) == 2 else (5,) if "batch_first" in settings else (2,)
        x, states = draw(*shape), [draw(layers, *batch, 4) for _ in range(2 if kind == "LSTM" else 1)]
        for given in (False, True):
            a, b = to_candle(x).requires_grad_(), to_torch(x).requires_grad_()
            hs, ts = [to_candle(s) for s in states], [to_torch(s) for s in states]
            y, h = ours(a, (tuple(hs) if kind == "LSTM" else hs[0]) if given else None)
            z, t = theirs(b, (tuple(ts) if kind == "LSTM" else ts[0]) if given else None)
            same(y.detach(), z)
            for one, other in zip(h if kind == "LSTM" else [h], t if kind == "LSTM" else [t]):
                same(one.detach(), other)
            same(candle.grad(y.square().sum(), a), torch.autograd.grad(z.square().sum(), b)[0])
    with pytest.raises(ShapeError, match=kind):
        ours(to_candle(draw(2, 2, 4)))


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cells(kind):
    theirs = getattr(torch.nn, kind)(3, 4)
    ours = getattr(nn, kind)(3, 4).to("numpy")
    ours.load_state_dict(theirs.state_dict())
    x = draw(2, 3)
    y, z = ours(to_candle(x)), theirs(to_torch(x))
    y, z = ours(to_candle(x), y), theirs(to_torch(x), z)
    for one, other in zip(y if kind == "LSTMCell" else [y], z if kind == "LSTMCell" else [z]):
        same(one.detach(), other)
