"""Layers, with PyTorch's names, arguments, state and first values."""

from __future__ import annotations

import math
from typing import Any, Callable

from .. import create
from ..dtype import int64
from ..errors import CandleError, ShapeError
from ..op import FUNCTIONS, OPS, Op
from ..tensor import Tensor, no_grad
from . import functional as F
from . import init
from .module import Module, Parameter

Shape = Any

__all__ = [
    "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d", "AlphaDropout", "AvgPool1d", "AvgPool2d", "AvgPool3d", "BCELoss", "BCEWithLogitsLoss",
    "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "Bilinear", "CELU", "CTCLoss", "ChannelShuffle", "CircularPad1d",
    "CircularPad2d", "CircularPad3d", "ConstantPad1d", "ConstantPad2d", "ConstantPad3d", "Conv1d", "Conv2d", "Conv3d",
    "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "CosineEmbeddingLoss", "CosineSimilarity",
    "CrossEntropyLoss", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "ELU", "Embedding", "EmbeddingBag",
    "FeatureAlphaDropout", "Flatten", "Fold", "GELU", "GLU", "GaussianNLLLoss", "GroupNorm", "Hardshrink",
    "Hardsigmoid", "Hardswish", "Hardtanh", "HingeEmbeddingLoss", "HuberLoss", "Identity", "InstanceNorm1d",
    "InstanceNorm2d", "InstanceNorm3d", "KLDivLoss", "L1Loss", "LPPool1d", "LPPool2d", "LPPool3d", "LayerNorm",
    "LeakyReLU", "Linear", "LocalResponseNorm", "LogSigmoid", "LogSoftmax", "MSELoss", "MarginRankingLoss",
    "MaxPool1d", "MaxPool2d", "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d", "Mish",
    "MultiLabelMarginLoss", "MultiLabelSoftMarginLoss", "MultiMarginLoss", "NLLLoss", "PReLU", "PairwiseDistance",
    "PixelShuffle", "PixelUnshuffle", "PoissonNLLLoss", "RMSNorm", "RReLU", "ReLU", "ReLU6", "ReflectionPad1d",
    "ReflectionPad2d", "ReflectionPad3d", "ReplicationPad1d", "ReplicationPad2d", "ReplicationPad3d", "SELU", "SiLU",
    "Sigmoid", "SmoothL1Loss", "SoftMarginLoss", "Softmax", "Softmax2d", "Softmin", "Softplus", "Softshrink",
    "Softsign", "Tanh", "Tanhshrink", "Threshold", "TripletMarginLoss", "TripletMarginWithDistanceLoss", "Unflatten",
    "Unfold", "Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d",
]  # fmt: skip


def _table(name: str) -> Callable[..., Any]:
    return FUNCTIONS.get(name, OPS.get(name))  # type: ignore[return-value]


def _parameter(*shape: int, dtype: Any = None, device: Any = None) -> Parameter:
    return Parameter(init.blank(*shape, dtype=dtype, device=device))


def _uniform_bias(weight: Tensor, bias: Tensor | None) -> None:
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan = init.fans(weight)[0]
        bound = 1 / math.sqrt(fan) if fan > 0 else 0
        init.uniform_(bias, -bound, bound)


def _tuple(value: Any, n: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * n


# -- linear ----------------------------------------------------------------------------------------


class Identity(Module):
    """What it is given; any arguments are taken and dropped."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        return x


class Linear(Module):
    """x weightᵀ + bias over the last dimension; weight ``[out, in]``."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = _parameter(out_features, in_features, dtype=dtype, device=device)
        self.register_parameter("bias", _parameter(out_features, dtype=dtype, device=device) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        _uniform_bias(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return FUNCTIONS["linear"](x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """x1 weight[o] x2 + bias[o] for each o; weight ``[out, in1, in2]``."""

    def __init__(
        self, in1_features: int, in2_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = _parameter(out_features, in1_features, in2_features, dtype=dtype, device=device)
        self.register_parameter("bias", _parameter(out_features, dtype=dtype, device=device) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(max(self.in1_features, 1))
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return FUNCTIONS["bilinear"](x1, x2, self.weight, self.bias)

    def extra_repr(self) -> str:
        sizes = f"in1_features={self.in1_features}, in2_features={self.in2_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"


class Embedding(Module):
    """The rows of weight ``[num_embeddings, embedding_dim]`` at given indices; row ``padding_idx`` is zero and stays so."""

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise CandleError(f"Embedding's padding_idx is within its {num_embeddings} rows but {padding_idx} was given")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = _parameter(num_embeddings, embedding_dim, dtype=dtype, device=device)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.normal_(self.weight)
        if self.padding_idx is not None and not init._state.skipped:
            with no_grad():
                self.weight[self.padding_idx] = 0

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None) -> Embedding:
        """An Embedding of given rows."""
        with init.no_init():
            made = cls(embeddings.shape[0], embeddings.shape[1], padding_idx)
        made.weight = Parameter(embeddings, requires_grad=not freeze)
        return made

    def forward(self, ids: Tensor) -> Tensor:
        return F.embedding(ids, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


class EmbeddingBag(Module):
    """Sums, means or maxima of bags of an Embedding's rows; indices are ``[bags, per bag]``, or flat with ``offsets``."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        mode: str = "mean",
        padding_idx: int | None = None,
        include_last_offset: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim, self.mode = num_embeddings, embedding_dim, mode
        self.padding_idx, self.include_last_offset = padding_idx, include_last_offset
        self.weight = _parameter(num_embeddings, embedding_dim, dtype=dtype, device=device)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.normal_(self.weight)
        if self.padding_idx is not None and not init._state.skipped:
            with no_grad():
                self.weight[self.padding_idx] = 0

    def forward(self, ids: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        return F.embedding_bag(
            ids, self.weight, offsets, self.mode, per_sample_weights, self.include_last_offset, self.padding_idx
        )

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}, mode={self.mode!r}"


class RReLU(Module):
    """x, times a slope below 0 that is drawn from [lower, upper) while training, and is their mean otherwise."""

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower, self.upper = lower, upper

    def forward(self, x: Tensor) -> Tensor:
        return F.rrelu(x, self.lower, self.upper, self.training)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}"


# -- activations and other functions without parameters --------------------------------------------


def _of(name: str, function: Callable[..., Any] | str, **settings: Any) -> Any:
    """A module around a function: its settings become attributes and are passed on."""
    fn = function if callable(function) else None
    keys = tuple(settings)

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        Module.__init__(self)
        if len(args) == len(keys) + 1 and isinstance(args[-1], bool):
            args = args[:-1]  # PyTorch's ``inplace``: values do not change here, so it has no say
        if len(args) > len(keys):
            raise TypeError(f"{name} takes {', '.join(keys) or 'nothing'} but was given {len(args)} arguments")
        given = {**dict(zip(keys, args)), **kwargs}
        given.pop("inplace", None)
        for k in given:
            if k not in settings:
                raise TypeError(f"{name} has no argument {k!r}; it has {', '.join(keys) or 'none'}")
        for k, default in settings.items():
            value = given.get(k, default)
            if value is ...:
                raise TypeError(f"{name} needs {k!r}")
            setattr(self, k, value)

    def forward(self: Any, *xs: Any) -> Any:
        return (fn or _table(str(function)))(*xs, **{k: getattr(self, k) for k in keys})

    def extra_repr(self: Any) -> str:
        return ", ".join(f"{k}={getattr(self, k)!r}" for k in keys)

    def described() -> str:
        found = None if fn is not None else OPS.get(str(function)) or FUNCTIONS.get(str(function))
        return (found.doc if isinstance(found, Op) else getattr(found, "__doc__", None)) or f"``{function}`` as a module."

    body = {"__init__": __init__, "forward": forward, "extra_repr": extra_repr, "__module__": __name__, "__doc__": described()}
    return type(name, (Module,), body)


ReLU = _of("ReLU", "relu")
ReLU6 = _of("ReLU6", "relu6")
ELU = _of("ELU", "elu", alpha=1.0)
CELU = _of("CELU", "celu", alpha=1.0)
SELU = _of("SELU", "selu")
GELU = _of("GELU", "gelu", approximate="none")
SiLU = _of("SiLU", "silu")
Mish = _of("Mish", "mish")
Sigmoid = _of("Sigmoid", "sigmoid")
LogSigmoid = _of("LogSigmoid", "logsigmoid")
Tanh = _of("Tanh", "tanh")
Softplus = _of("Softplus", "softplus", beta=1.0, threshold=20.0)
Softsign = _of("Softsign", "softsign")
Hardsigmoid = _of("Hardsigmoid", "hardsigmoid")
Hardswish = _of("Hardswish", "hardswish")
Hardtanh = _of("Hardtanh", "hardtanh", min_val=-1.0, max_val=1.0)
Hardshrink = _of("Hardshrink", "hardshrink", lambd=0.5)
Softshrink = _of("Softshrink", "softshrink", lambd=0.5)
Tanhshrink = _of("Tanhshrink", "tanhshrink")
Threshold = _of("Threshold", "threshold", threshold=..., value=...)
LeakyReLU = _of("LeakyReLU", "leaky_relu", negative_slope=0.01)
GLU = _of("GLU", "glu", dim=-1)
Softmax = _of("Softmax", "softmax", dim=...)
LogSoftmax = _of("LogSoftmax", "log_softmax", dim=...)
Softmin = _of("Softmin", "softmin", dim=...)
Softmax2d = type("Softmax2d", (Module,), {
    "forward": lambda self, x: x.softmax(-3), "__module__": __name__,
    "__doc__": "Softmax over the channels of ``[..., c, h, w]``."
})  # fmt: skip
CosineSimilarity = _of("CosineSimilarity", "cosine_similarity", dim=1, eps=1e-8)
PairwiseDistance = _of("PairwiseDistance", "pairwise_distance", p=2.0, eps=1e-6, keepdim=False)
LocalResponseNorm = _of("LocalResponseNorm", "local_response_norm", size=..., alpha=1e-4, beta=0.75, k=1.0)
PixelShuffle = _of("PixelShuffle", "pixel_shuffle", upscale_factor=...)
PixelUnshuffle = _of("PixelUnshuffle", "pixel_unshuffle", downscale_factor=...)
ChannelShuffle = _of("ChannelShuffle", "channel_shuffle", groups=...)
Flatten = _of("Flatten", "flatten", start_dim=1, end_dim=-1)
Unflatten = _of("Unflatten", lambda x, dim, unflattened_size: x.unflatten(dim, unflattened_size), dim=..., unflattened_size=...)
Upsample = _of("Upsample", "interpolate", size=None, scale_factor=None, mode="nearest", align_corners=None)
UpsamplingNearest2d = _of(
    "UpsamplingNearest2d", lambda x, **a: _table("interpolate")(x, mode="nearest", **a), size=None, scale_factor=None
)
UpsamplingBilinear2d = _of(
    "UpsamplingBilinear2d",
    lambda x, **a: _table("interpolate")(x, mode="bilinear", align_corners=True, **a),
    size=None,
    scale_factor=None,
)
Unfold = _of("Unfold", F.unfold, kernel_size=..., dilation=1, padding=0, stride=1)
Fold = _of("Fold", "fold", output_size=..., kernel_size=..., dilation=1, padding=0, stride=1)


def _each_rank(name: str, function: str, **settings: Any) -> tuple[Any, Any, Any]:
    """The modules of a function that comes for 1, 2 and 3 dimensions."""
    one, two, three = (_of(f"{name}{n}d", f"{function}{n}d", **settings) for n in (1, 2, 3))
    return one, two, three


MaxPool1d, MaxPool2d, MaxPool3d = _each_rank(
    "MaxPool", "max_pool", kernel_size=..., stride=None, padding=0, dilation=1, return_indices=False, ceil_mode=False
)
_averaging: dict[str, Any] = {"kernel_size": ..., "stride": None, "padding": 0, "ceil_mode": False, "count_include_pad": True}
AvgPool1d = _of("AvgPool1d", "avg_pool1d", **_averaging)
AvgPool2d = _of("AvgPool2d", "avg_pool2d", **_averaging, divisor_override=None)
AvgPool3d = _of("AvgPool3d", "avg_pool3d", **_averaging, divisor_override=None)
LPPool1d, LPPool2d, LPPool3d = _each_rank("LPPool", "lp_pool", norm_type=..., kernel_size=..., stride=None, ceil_mode=False)
AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d = _each_rank("AdaptiveAvgPool", "adaptive_avg_pool", output_size=...)
AdaptiveMaxPool1d, AdaptiveMaxPool2d, AdaptiveMaxPool3d = _each_rank(
    "AdaptiveMaxPool", "adaptive_max_pool", output_size=..., return_indices=False
)
MaxUnpool1d, MaxUnpool2d, MaxUnpool3d = _each_rank("MaxUnpool", "max_unpool", kernel_size=..., stride=None, padding=0)


def _padding(kind: str, mode: str, n: int) -> Any:
    name = f"{kind}Pad{n}d"

    def __init__(self: Any, padding: Any, value: float = 0.0) -> None:
        Module.__init__(self)
        self.padding, self.value = _tuple(padding, 2 * n), value

    def forward(self: Any, x: Tensor) -> Tensor:
        return OPS["pad"](x, pad=self.padding, mode=mode, value=self.value if mode == "constant" else None)

    doc = f"Margins over the last {n} dimensions, counted from the last; mode {mode!r}."
    return type(name, (Module,), {"__init__": __init__, "forward": forward, "__module__": __name__, "__doc__": doc,
                                  "extra_repr": lambda self: f"padding={self.padding}"})  # fmt: skip


ConstantPad1d, ConstantPad2d, ConstantPad3d = (_padding("Constant", "constant", n) for n in (1, 2, 3))
ZeroPad1d, ZeroPad2d, ZeroPad3d = (_padding("Zero", "constant", n) for n in (1, 2, 3))
ReflectionPad1d, ReflectionPad2d, ReflectionPad3d = (_padding("Reflection", "reflect", n) for n in (1, 2, 3))
ReplicationPad1d, ReplicationPad2d, ReplicationPad3d = (_padding("Replication", "replicate", n) for n in (1, 2, 3))
CircularPad1d, CircularPad2d, CircularPad3d = (_padding("Circular", "circular", n) for n in (1, 2, 3))


class PReLU(Module):
    """x, times a trained weight below 0: one, or one per channel."""

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.weight = Parameter(create.full((num_parameters,), float(init), dtype=dtype or create._floating(None), device=device))

    def forward(self, x: Tensor) -> Tensor:
        return OPS["prelu"](x, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


def _dropping(name: str, function: str) -> Any:
    def __init__(self: Any, p: float = 0.5, inplace: bool = False) -> None:
        Module.__init__(self)
        if not 0 <= p <= 1:
            raise CandleError(f"{name}'s p is a probability from 0 to 1 but {p} was given")
        self.p, self.inplace = p, inplace

    def forward(self: Any, x: Tensor) -> Tensor:
        return FUNCTIONS[function](x, self.p, self.training, self.inplace)

    return type(name, (Module,), {"__init__": __init__, "forward": forward, "__module__": __name__,
                                  "__doc__": FUNCTIONS[function].__doc__,
                                  "extra_repr": lambda self: f"p={self.p}"})  # fmt: skip


Dropout = _dropping("Dropout", "dropout")
Dropout1d = _dropping("Dropout1d", "dropout1d")
Dropout2d = _dropping("Dropout2d", "dropout2d")
Dropout3d = _dropping("Dropout3d", "dropout3d")
AlphaDropout = _dropping("AlphaDropout", "alpha_dropout")
FeatureAlphaDropout = _dropping("FeatureAlphaDropout", "feature_alpha_dropout")


# -- normalisation ---------------------------------------------------------------------------------


class LayerNorm(Module):
    """Mean 0 and variance 1 over the last dimensions, then scaled by weight and shifted by bias."""

    def __init__(
        self,
        normalized_shape: Shape,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _tuple(normalized_shape, 1)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        made = elementwise_affine, elementwise_affine and bias
        for name, wanted in zip(("weight", "bias"), made):
            self.register_parameter(name, _parameter(*self.normalized_shape, dtype=dtype, device=device) if wanted else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        _ones_zeros(self)

    def forward(self, x: Tensor) -> Tensor:
        return OPS["layer_norm"](x, self.weight, self.bias, normalized_shape=self.normalized_shape, eps=self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


def _ones_zeros(m: Any) -> None:
    if m.weight is not None:
        init.ones_(m.weight)
    if m._parameters.get("bias") is not None:
        init.zeros_(m.bias)


class RMSNorm(Module):
    """Root mean square 1 over the last dimensions, then scaled by weight."""

    def __init__(
        self,
        normalized_shape: Shape,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _tuple(normalized_shape, 1)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.register_parameter(
            "weight", _parameter(*self.normalized_shape, dtype=dtype, device=device) if elementwise_affine else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        _ones_zeros(self)

    def forward(self, x: Tensor) -> Tensor:
        return OPS["rms_norm"](x, self.weight, normalized_shape=self.normalized_shape, eps=self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Mean 0 and variance 1 over each group of channels of ``[n, channels, ...]``."""

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        if num_channels % num_groups:
            raise ShapeError(f"GroupNorm's num_channels {num_channels} is divisible by num_groups {num_groups}")
        self.num_groups, self.num_channels, self.eps, self.affine = num_groups, num_channels, eps, affine
        for name in ("weight", "bias"):
            self.register_parameter(name, _parameter(num_channels, dtype=dtype, device=device) if affine else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        _ones_zeros(self)

    def forward(self, x: Tensor) -> Tensor:
        return OPS["group_norm"](x, self.weight, self.bias, num_groups=self.num_groups, eps=self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class _ChannelNorm(Module):
    """What batch and instance normalisation share: weight, bias and running statistics per channel."""

    ranks: tuple[int, ...] = ()

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        for name in ("weight", "bias"):
            self.register_parameter(name, _parameter(num_features, dtype=dtype, device=device) if affine else None)
        tracked = track_running_stats
        self.register_buffer("running_mean", create.zeros(num_features, dtype=dtype, device=device) if tracked else None)
        self.register_buffer("running_var", create.ones(num_features, dtype=dtype, device=device) if tracked else None)
        self.register_buffer("num_batches_tracked", create.zeros((), dtype=int64, device=device) if tracked else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        if self.track_running_stats:
            with no_grad():
                self.running_mean.zero_()
                self.running_var.fill_(1)
                self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        self.reset_running_stats()
        _ones_zeros(self)

    def _checked(self, x: Tensor) -> None:
        if x.ndim not in self.ranks:
            wanted = " or ".join(map(str, self.ranks))
            raise ShapeError(f"{type(self).__name__} takes {wanted} dimensions but was given {x.spec}")

    def extra_repr(self) -> str:
        names = ("eps", "momentum", "affine", "track_running_stats")
        return ", ".join([str(self.num_features), *[f"{k}={getattr(self, k)}" for k in names]])


class _BatchNorm(_ChannelNorm):
    def forward(self, x: Tensor) -> Tensor:
        self._checked(x)
        batch = self.training or self.running_mean is None
        momentum = 0.0 if self.momentum is None else self.momentum
        if self.training and self.num_batches_tracked is not None:
            count = self.num_batches_tracked
            count._rebind(count.detach() + 1, keep_node=True)
            if self.momentum is None:
                momentum = 1 / count.to(dtype=self.running_mean.dtype)
        update = self.training and self.track_running_stats
        mean, var = (self.running_mean, self.running_var) if update or not batch else (None, None)
        return FUNCTIONS["batch_norm"](x, mean, var, self.weight, self.bias, batch, momentum, self.eps)


class _InstanceNorm(_ChannelNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        self._checked(x)
        flat = x.ndim == self.ranks[0]
        own = self.training or not self.track_running_stats
        momentum = 0.0 if self.momentum is None else self.momentum
        y = FUNCTIONS["instance_norm"](
            x.unsqueeze(0) if flat else x, self.running_mean, self.running_var, self.weight, self.bias, own, momentum, self.eps
        )
        return y.squeeze(0) if flat else y


def _channel_norm(kind: str, base: Any, ranks: tuple[int, ...], n: int) -> Any:
    what = "over the batch" if kind == "Batch" else "of each element"
    doc = f"Mean 0 and variance 1 per channel {what}; the running statistics are used in inference."
    return type(f"{kind}Norm{n}d", (base,), {"ranks": ranks, "__module__": __name__, "__doc__": doc})


BatchNorm1d, BatchNorm2d, BatchNorm3d = (
    _channel_norm("Batch", _BatchNorm, ranks, n) for n, ranks in ((1, (2, 3)), (2, (4,)), (3, (5,)))
)
InstanceNorm1d, InstanceNorm2d, InstanceNorm3d = (_channel_norm("Instance", _InstanceNorm, (n + 1, n + 2), n) for n in (1, 2, 3))


# -- convolution -----------------------------------------------------------------------------------


class _Conv(Module):
    """What convolutions share; weight ``[out, in / groups, sizes...]``."""

    n = 0
    transposed = False
    padding: Any

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ShapeError(
                f"{type(self).__name__}'s channels {in_channels} and {out_channels} are divisible by groups {groups}"
            )
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise CandleError(f"padding_mode is 'zeros', 'reflect', 'replicate' or 'circular' but {padding_mode!r} was given")
        self.in_channels, self.out_channels, self.groups, self.padding_mode = in_channels, out_channels, groups, padding_mode
        self.kernel_size, self.stride, self.dilation = (_tuple(v, self.n) for v in (kernel_size, stride, dilation))
        self.padding = padding if isinstance(padding, str) else _tuple(padding, self.n)
        channels = (in_channels, out_channels // groups) if self.transposed else (out_channels, in_channels // groups)
        self.weight = _parameter(*channels, *self.kernel_size, dtype=dtype, device=device)
        self.register_parameter("bias", _parameter(out_channels, dtype=dtype, device=device) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        _uniform_bias(self.weight, self.bias)

    def _margins(self) -> tuple[int, ...]:
        """The padding in the order of ``F.pad``."""
        if self.padding == "valid":
            return (0,) * (2 * self.n)
        if self.padding == "same":
            totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size)]
            return tuple([v for t in reversed(totals) for v in (t // 2, t - t // 2)])
        return tuple([p for p in reversed(self.padding) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            x, padding = OPS["pad"](x, pad=self._margins(), mode=self.padding_mode), 0
        conv = _table(f"conv{self.n}d")
        return conv(x, self.weight, self.bias, stride=self.stride, padding=padding, dilation=self.dilation, groups=self.groups)

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        parts += [f"padding={self.padding}"] if self.padding not in ((0,) * self.n, "valid") else []
        parts += [f"dilation={self.dilation}"] if self.dilation != (1,) * self.n else []
        parts += [f"groups={self.groups}"] if self.groups != 1 else []
        parts += ["bias=False"] if self.bias is None else []
        return ", ".join(parts)


class _ConvTranspose(_Conv):
    """What transposed convolutions share; weight ``[in, out / groups, sizes...]``."""

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if padding_mode != "zeros":
            raise CandleError(f"a transposed convolution's padding_mode is 'zeros' but {padding_mode!r} was given")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self.output_padding = _tuple(output_padding, self.n)

    def forward(self, x: Tensor, output_size: Any = None) -> Tensor:
        extra = self.output_padding
        if output_size is not None:
            wanted = tuple(output_size)[-self.n :]
            least = [
                (size - 1) * s - 2 * p + d * (k - 1) + 1
                for size, s, p, d, k in zip(x.shape[-self.n :], self.stride, self.padding, self.dilation, self.kernel_size)
            ]
            extra = tuple([w - m for w, m in zip(wanted, least)])
            if any(not 0 <= e < max(s, d) for e, s, d in zip(extra, self.stride, self.dilation)):
                raise ShapeError(
                    f"output_size {wanted} cannot be had: the sizes start at {tuple(least)} and end before a stride more"
                )
        conv = _table(f"conv_transpose{self.n}d")
        return conv(x, self.weight, self.bias, stride=self.stride, padding=self.padding, output_padding=extra, groups=self.groups,
                    dilation=self.dilation)  # fmt: skip


def _convolution(kind: str, base: Any, n: int) -> Any:
    what = "Transposed convolution" if base.transposed else "Convolution"
    doc = f"{what} over {n} dimension{'s' * (n > 1)}."
    return type(f"{kind}{n}d", (base,), {"n": n, "__module__": __name__, "__doc__": doc})


Conv1d, Conv2d, Conv3d = (_convolution("Conv", _Conv, n) for n in (1, 2, 3))
ConvTranspose1d, ConvTranspose2d, ConvTranspose3d = (_convolution("ConvTranspose", _ConvTranspose, n) for n in (1, 2, 3))


# -- losses ----------------------------------------------------------------------------------------


def _loss(name: str, function: str, buffers: tuple[str, ...] = (), **settings: Any) -> type[Module]:
    """A loss as a module; ``buffers`` are tensors among its settings."""
    keys = (*buffers, *settings)
    defaults = {**dict.fromkeys(buffers), **settings}

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        Module.__init__(self)
        for k in kwargs:
            if k not in defaults:
                raise TypeError(f"{name} has no argument {k!r}; it has {', '.join(keys)}")
        given = {**defaults, **dict(zip(keys, args)), **kwargs}
        for k in buffers:
            self.register_buffer(k, given.pop(k))
        for k, v in given.items():
            setattr(self, k, v)

    def forward(self: Any, *xs: Any) -> Any:
        return _table(function)(*xs, **{k: getattr(self, k) for k in keys})

    found = _table(function)
    doc = found.doc if isinstance(found, Op) else found.__doc__
    shown = lambda self: ", ".join(f"{k}={getattr(self, k)!r}" for k in settings)
    return type(
        name, (Module,), {"__init__": __init__, "forward": forward, "extra_repr": shown, "__module__": __name__, "__doc__": doc}
    )


MSELoss = _loss("MSELoss", "mse_loss", reduction="mean")
L1Loss = _loss("L1Loss", "l1_loss", reduction="mean")
SmoothL1Loss = _loss("SmoothL1Loss", "smooth_l1_loss", reduction="mean", beta=1.0)
HuberLoss = _loss("HuberLoss", "huber_loss", reduction="mean", delta=1.0)
CrossEntropyLoss = _loss(
    "CrossEntropyLoss", "cross_entropy", ("weight",), ignore_index=-100, reduction="mean", label_smoothing=0.0
)
NLLLoss = _loss("NLLLoss", "nll_loss", ("weight",), ignore_index=-100, reduction="mean")
BCELoss = _loss("BCELoss", "binary_cross_entropy", ("weight",), reduction="mean")
BCEWithLogitsLoss = _loss("BCEWithLogitsLoss", "binary_cross_entropy_with_logits", ("weight", "pos_weight"), reduction="mean")
KLDivLoss = _loss("KLDivLoss", "kl_div", reduction="mean", log_target=False)
PoissonNLLLoss = _loss("PoissonNLLLoss", "poisson_nll_loss", log_input=True, full=False, eps=1e-8, reduction="mean")
GaussianNLLLoss = _loss("GaussianNLLLoss", "gaussian_nll_loss", full=False, eps=1e-6, reduction="mean")
HingeEmbeddingLoss = _loss("HingeEmbeddingLoss", "hinge_embedding_loss", margin=1.0, reduction="mean")
MarginRankingLoss = _loss("MarginRankingLoss", "margin_ranking_loss", margin=0.0, reduction="mean")
CosineEmbeddingLoss = _loss("CosineEmbeddingLoss", "cosine_embedding_loss", margin=0.0, reduction="mean")
TripletMarginLoss = _loss("TripletMarginLoss", "triplet_margin_loss", margin=1.0, p=2.0, eps=1e-6, swap=False, reduction="mean")
TripletMarginWithDistanceLoss = _loss(
    "TripletMarginWithDistanceLoss", "triplet_margin_with_distance_loss", distance_function=None, margin=1.0, swap=False,
    reduction="mean",
)  # fmt: skip
MultiMarginLoss = _loss("MultiMarginLoss", "multi_margin_loss", p=1, margin=1.0, weight=None, reduction="mean")
MultiLabelMarginLoss = _loss("MultiLabelMarginLoss", "multilabel_margin_loss", reduction="mean")
MultiLabelSoftMarginLoss = _loss("MultiLabelSoftMarginLoss", "multilabel_soft_margin_loss", ("weight",), reduction="mean")
SoftMarginLoss = _loss("SoftMarginLoss", "soft_margin_loss", reduction="mean")
CTCLoss = _loss("CTCLoss", "ctc_loss", blank=0, reduction="mean", zero_infinity=False)
