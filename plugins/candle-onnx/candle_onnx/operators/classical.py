"""The domain ai.onnx.ml: trees, linear models, support vectors, encoders and scalers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

import candle
from candle import Tensor

from ..errors import OnnxError
from ..run import known
from ..table import operator
from ..values import is_string

_ML = "ai.onnx.ml"


def _array(x: Any) -> Any:
    return np.asarray(known(x))


# -- encoders and scalers --------------------------------------------------------------------------


@operator("ArrayFeatureExtractor", domain=_ML)
def array_feature_extractor(ctx: Any, x: Any, at: Tensor) -> Any:
    found = np.take(_array(x), _array(at).reshape(-1), -1)
    found = found.reshape(1, -1) if found.ndim == 1 else found
    return found if is_string(x) else candle.tensor(found)


@operator("Binarizer", domain=_ML)
def binarizer(x: Tensor, *, threshold: float = 0.0) -> Tensor:
    return (x > threshold).to(dtype=x.dtype)


@operator("Scaler", domain=_ML)
def scaler(x: Tensor, *, offset: list[float] | None = None, scale: list[float] | None = None) -> Tensor:
    y = x.float()
    y = y - candle.tensor(np.asarray(offset or [0.0], np.float32))
    return y * candle.tensor(np.asarray(scale or [1.0], np.float32))


@operator("Imputer", domain=_ML)
def imputer(
    x: Tensor,
    *,
    imputed_value_floats: list[float] | None = None,
    imputed_value_int64s: list[int] | None = None,
    replaced_value_float: float = 0.0,
    replaced_value_int64: int = 0,
) -> Tensor:
    floats = x.dtype.kind == "f"
    values = np.asarray(imputed_value_floats if floats else imputed_value_int64s)
    missing = replaced_value_float if floats else replaced_value_int64
    gone = candle.isnan(x) if floats and math.isnan(missing) else x == missing
    return candle.where(gone, candle.tensor(values.astype(x.dtype.numpy)), x)


@operator("Normalizer", domain=_ML)
def normalizer(x: Tensor, *, norm: str = "MAX") -> Tensor:
    y = x.float()
    size = {"MAX": lambda: candle.amax(y.abs(), dim=-1, keepdim=True), "L1": lambda: y.abs().sum(dim=-1, keepdim=True),
            "L2": lambda: (y * y).sum(dim=-1, keepdim=True).sqrt()}[norm]()  # fmt: skip
    return candle.where(size == 0, y, y / size)


@operator("FeatureVectorizer", domain=_ML)
def feature_vectorizer(*xs: Tensor, inputdimensions: list[int] | None = None) -> Tensor:
    rows = [x.reshape((1, -1)) if x.ndim == 1 else x.reshape((x.shape[0], -1)) for x in xs]
    sizes = inputdimensions or [r.shape[1] for r in rows]
    made = []
    for r, n in zip(rows, sizes):
        have = r.shape[1]
        made.append(r[:, :n] if have >= n else candle.constant_pad(r, [0, 0], [0, n - have], 0))
    return candle.cat(made, dim=1).float()


def _mapped(x: Any, table: dict[Any, Any], default: Any) -> list[Any]:
    array = _array(x)
    words = array.reshape(-1).tolist()
    return [table.get("NaN" if isinstance(v, float) and math.isnan(v) else v, default) for v in words]


@operator("LabelEncoder", domain=_ML)
def label_encoder_1(
    ctx: Any, x: Any, *, classes_strings: list[str], default_int64: int = -1, default_string: str = "_Unused"
) -> Any:
    if is_string(x):
        table = {s: i for i, s in enumerate(classes_strings)}
        return candle.tensor(np.array(_mapped(x, table, default_int64), np.int64).reshape(x.shape))
    found = _mapped(x, dict(enumerate(classes_strings)), default_string)
    return np.array(found, object).reshape(x.shape)


@operator("LabelEncoder", since=2, domain=_ML)
def label_encoder(
    ctx: Any,
    x: Any,
    *,
    default_float: float = -0.0,
    default_int64: int = -1,
    default_string: str = "_Unused",
    default_tensor: Any = None,
    keys_floats: Any = None,
    keys_int64s: Any = None,
    keys_strings: Any = None,
    keys_tensor: Any = None,
    values_floats: Any = None,
    values_int64s: Any = None,
    values_strings: Any = None,
    values_tensor: Any = None,
) -> Any:
    def listed(*given: Any) -> Any:
        found = next((g for g in given if g is not None), None)
        return found if found is None or isinstance(found, list) else np.asarray(known(found)).reshape(-1).tolist()

    keys, values = (
        listed(keys_floats, keys_int64s, keys_strings, keys_tensor),
        listed(values_floats, values_int64s, values_strings, values_tensor),
    )
    if keys is None or values is None or len(keys) != len(values):
        raise OnnxError("LabelEncoder needs keys and as many values")
    table = {("NaN" if isinstance(k, float) and math.isnan(k) else k): v for k, v in zip(keys, values)}
    if keys_floats is not None:
        table = {(k if k == "NaN" else float(np.float32(k))): v for k, v in table.items()}
    if values_tensor is not None:
        kind = _array(values_tensor).dtype
        usual: Any = "_Unused" if kind.kind == "O" else -1 if kind.kind in "iu" else -0.0
        default = _array(default_tensor).reshape(-1)[0].item() if default_tensor is not None and kind.kind != "O" else usual
        default = _array(default_tensor).reshape(-1)[0] if default_tensor is not None and kind.kind == "O" else default
    else:
        choices = {"s": (default_string, object), "i": (default_int64, np.int64), "f": (default_float, np.float32)}
        default, form = choices["s" if values_strings is not None else "i" if values_int64s is not None else "f"]
        kind = np.dtype(form)
    found = np.array(_mapped(x, table, default), kind).reshape(np.shape(_array(x)))
    return found if kind.kind == "O" else candle.tensor(found)


@operator("CategoryMapper", domain=_ML)
def category_mapper(ctx: Any, x: Any, *, cats_int64s: list[int], cats_strings: list[str], default_int64: int = -1,
                    default_string: str = "_Unused") -> Any:  # fmt: skip
    if is_string(x):
        return candle.tensor(np.array(_mapped(x, dict(zip(cats_strings, cats_int64s)), default_int64), np.int64).reshape(x.shape))
    return np.array(_mapped(x, dict(zip(cats_int64s, cats_strings)), default_string), object).reshape(x.shape)


@operator("OneHotEncoder", domain=_ML)
def one_hot_encoder(
    ctx: Any, x: Any, *, cats_int64s: list[int] | None = None, cats_strings: list[str] | None = None, zeros: int = 1
) -> Tensor:
    cats: list[Any] = list(cats_strings if cats_strings is not None else cats_int64s or ())
    array = _array(x)
    found = np.array([[v == c for c in cats] for v in array.reshape(-1).tolist()], np.float32)
    if not zeros and not found.any(1).all():
        raise OnnxError("OneHotEncoder was given a category that it does not know, and zeros=0 forbids it")
    return candle.tensor(found.reshape((*array.shape, len(cats))))


@operator("CastMap", domain=_ML)
def cast_map(ctx: Any, x: dict[Any, Any], *, cast_to: str = "TO_FLOAT", map_form: str = "DENSE", max_map: int = 1) -> Any:
    row = [x[k] for k in sorted(x)] if map_form == "DENSE" else [x.get(k, 0) for k in range(max_map)]
    if cast_to == "TO_STRING":
        return np.array([[str(v) for v in row]], object)
    return candle.tensor(np.array([row], np.float32 if cast_to == "TO_FLOAT" else np.int64))


@operator("DictVectorizer", domain=_ML)
def dict_vectorizer(
    ctx: Any, x: dict[Any, Any], *, int64_vocabulary: list[int] | None = None, string_vocabulary: list[str] | None = None
) -> Any:
    words: list[Any] = list(string_vocabulary if string_vocabulary is not None else int64_vocabulary or ())
    row = [x.get(w, 0) for w in words]
    if any(isinstance(v, str) for v in row):
        return np.array([[str(v) if v else "" for v in row]], object)
    return candle.tensor(np.array([row]))


@operator("ZipMap", domain=_ML)
def zip_map(
    ctx: Any, x: Tensor, *, classlabels_int64s: list[int] | None = None, classlabels_strings: list[str] | None = None
) -> Any:
    labels: list[Any] = list(classlabels_strings if classlabels_strings is not None else classlabels_int64s or ())
    return [dict(zip(labels, row)) for row in _array(x).tolist()]


# -- scores and labels -----------------------------------------------------------------------------


def _transformed(scores: Any, how: str) -> Any:
    if how == "SOFTMAX":
        powers = np.exp(scores - scores.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)
    if how == "LOGISTIC":
        return 1 / (1 + np.exp(-scores))
    if how == "SOFTMAX_ZERO":
        shown = scores != 0
        powers = np.where(shown, np.exp(scores - scores.max(-1, keepdims=True)), 0)
        return powers / powers.sum(-1, keepdims=True)
    if how == "PROBIT":
        return math.sqrt(2) * candle.erfinv(candle.tensor(2 * scores - 1)).numpy()
    return scores


def _labels(best: Any, ints: list[int] | None, strings: list[str] | None) -> Any:
    if strings:
        return np.array(strings, object)[best]
    return candle.tensor(np.asarray(ints if ints else np.arange(int(best.max(initial=0)) + 1), np.int64)[best])


@operator("LinearRegressor", domain=_ML)
def linear_regressor(
    ctx: Any,
    x: Tensor,
    *,
    coefficients: list[float],
    intercepts: list[float] | None = None,
    post_transform: str = "NONE",
    targets: int = 1,
) -> Tensor:
    w = np.asarray(coefficients, np.float32).reshape(targets, -1)
    y = _array(x).astype(np.float32) @ w.T + (0 if not intercepts else np.asarray(intercepts, np.float32))
    return candle.tensor(_transformed(y, post_transform).astype(np.float32))


@operator("LinearClassifier", domain=_ML)
def linear_classifier(
    ctx: Any,
    x: Tensor,
    *,
    classlabels_ints: list[int] | None = None,
    classlabels_strings: list[str] | None = None,
    coefficients: list[float],
    intercepts: list[float] | None = None,
    multi_class: int = 0,
    post_transform: str = "NONE",
) -> Any:
    array = _array(x).astype(np.float32)
    w = np.asarray(coefficients, np.float32).reshape(-1, array.shape[-1])
    scores = array.reshape(-1, array.shape[-1]) @ w.T + (0 if not intercepts else np.asarray(intercepts, np.float32))
    count = len(classlabels_ints or classlabels_strings or ())
    if scores.shape[1] == 1 and count == 2:
        best = (scores[:, 0] > 0).astype(int)
        scores = _transformed(scores, "LOGISTIC") if post_transform == "LOGISTIC" else scores
        scores = np.concatenate([1 - scores if post_transform == "LOGISTIC" else -scores, scores], 1)
    else:
        best = scores.argmax(1)
        scores = _transformed(scores, post_transform)
    return _labels(best, classlabels_ints, classlabels_strings), candle.tensor(scores.astype(np.float32))


# -- trees -----------------------------------------------------------------------------------------

_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER", "LEAF")


def _walk(x: Any, roots: Any, feature: Any, mode: Any, split: Any, yes: Any, no: Any, missing: Any, members: Any = None) -> Any:
    """For each row and tree the leaf that is reached; a node whose mode is LEAF ends the walk."""
    n, leaf = len(x), len(_MODES) - 1
    at = np.tile(np.asarray(roots), (n, 1))
    for _ in range(len(mode) + 1):
        kinds = mode[at]
        live = kinds != leaf
        if not live.any():
            return at
        value = np.take_along_axis(x, feature[at], 1)
        threshold = split[at]
        with np.errstate(invalid="ignore"):
            tests = [
                value <= threshold,
                value < threshold,
                value >= threshold,
                value > threshold,
                value == threshold,
                value != threshold,
            ]
        if members is None:
            tests.append(np.zeros_like(live))
        else:
            tests.append(
                np.array([[v in members.get(int(a), ()) for v, a in zip(vs, aa)] for vs, aa in zip(value, at)], bool).reshape(
                    live.shape
                )
            )
        taken = np.select([kinds == k for k in range(7)], tests, False) | (np.isnan(value) & missing[at])
        at = np.where(live, np.where(taken, yes[at], no[at]), at)
    raise OnnxError("a tree of the ensemble goes in a circle")


def _ensemble(x: Any, trees: dict[str, Any], targets: int, aggregate: str, base: Any) -> Any:
    """Scores [rows, targets] of an ensemble in the older form, in which nodes are named by tree and number."""
    key = {(t, i): k for k, (t, i) in enumerate(zip(trees["nodes_treeids"], trees["nodes_nodeids"]))}

    def child(name: str) -> Any:
        ids = zip(trees["nodes_treeids"], trees[name])
        return np.array([key.get((t, i), 0) for t, i in ids], int)

    first: dict[int, int] = {}
    children = {
        (t, i)
        for name in ("nodes_truenodeids", "nodes_falsenodeids")
        for t, i, m in zip(trees["nodes_treeids"], trees[name], trees["nodes_modes"])
        if m != "LEAF"
    }
    for k, pair in enumerate(zip(trees["nodes_treeids"], trees["nodes_nodeids"])):
        if pair not in children:
            first.setdefault(pair[0], k)
    unknown = sorted(set(trees["nodes_modes"]) - set(_MODES))
    if unknown:
        raise OnnxError(f"the nodes' modes {', '.join(unknown)} are not known")
    mode = np.array([_MODES.index(m) for m in trees["nodes_modes"]])
    missing = np.asarray(trees.get("nodes_missing_value_tracks_true") or np.zeros(len(mode)), bool)
    reached = _walk(
        x, list(first.values()), np.asarray(trees["nodes_featureids"], int), mode, np.asarray(trees["nodes_values"], x.dtype),
        child("nodes_truenodeids"), child("nodes_falsenodeids"), missing,
    )  # fmt: skip
    leaves: dict[int, list[tuple[int, float]]] = {}
    for t, i, target, weight in zip(trees["treeids"], trees["nodeids"], trees["ids"], trees["weights"]):
        leaves.setdefault(key[(t, i)], []).append((int(target), float(weight)))
    return _collected(reached, leaves, targets, aggregate, base, len(first))


def _collected(
    reached: Any, leaves: dict[int, list[tuple[int, float]]], targets: int, aggregate: str, base: Any, count: int
) -> Any:
    start = {"MIN": math.inf, "MAX": -math.inf}.get(aggregate, 0.0)
    scores = np.full((len(reached), targets), start)
    for n, row in enumerate(reached):
        for at in row:
            for target, weight in leaves.get(int(at), ()):
                old = scores[n, target]
                scores[n, target] = (
                    min(old, weight) if aggregate == "MIN" else max(old, weight) if aggregate == "MAX" else old + weight
                )
    scores[np.isinf(scores)] = 0
    if aggregate == "AVERAGE":
        scores /= max(count, 1)
    return scores if base is None or not len(base) else scores + np.asarray(base)


_NODES = [
    f"nodes_{name}"
    for name in ("falsenodeids featureids missing_value_tracks_true modes nodeids treeids truenodeids values").split()
]


def _tensors(values: dict[str, Any]) -> dict[str, Any]:
    """Attributes ``*_as_tensor`` under their plain names."""
    found = {k: v for k, v in values.items() if not k.endswith("_as_tensor")}
    for k, v in values.items():
        if k.endswith("_as_tensor") and v is not None:
            found[k.removesuffix("_as_tensor")] = _array(v)
    return found


@operator("TreeEnsembleRegressor", domain=_ML)
def tree_ensemble_regressor(
    ctx: Any,
    x: Tensor,
    *,
    aggregate_function: str = "SUM",
    base_values: Any = None,
    base_values_as_tensor: Any = None,
    n_targets: int = 1,
    nodes_falsenodeids: Any = None,
    nodes_featureids: Any = None,
    nodes_hitrates: Any = None,
    nodes_hitrates_as_tensor: Any = None,
    nodes_missing_value_tracks_true: Any = None,
    nodes_modes: Any = None,
    nodes_nodeids: Any = None,
    nodes_treeids: Any = None,
    nodes_truenodeids: Any = None,
    nodes_values: Any = None,
    nodes_values_as_tensor: Any = None,
    post_transform: str = "NONE",
    target_ids: Any = None,
    target_nodeids: Any = None,
    target_treeids: Any = None,
    target_weights: Any = None,
    target_weights_as_tensor: Any = None,
) -> Tensor:
    given = _tensors(dict(locals()))
    trees = {k: given[k] for k in _NODES} | {k: given[f"target_{k}"] for k in ("ids", "nodeids", "treeids", "weights")}
    array = _array(x)
    scores = _ensemble(array, trees, n_targets, aggregate_function, given.get("base_values"))
    return candle.tensor(_transformed(scores, post_transform).astype(array.dtype if array.dtype.kind == "f" else np.float32))


@operator("TreeEnsembleClassifier", domain=_ML)
def tree_ensemble_classifier(
    ctx: Any,
    x: Tensor,
    *,
    base_values: Any = None,
    base_values_as_tensor: Any = None,
    class_ids: Any = None,
    class_nodeids: Any = None,
    class_treeids: Any = None,
    class_weights: Any = None,
    class_weights_as_tensor: Any = None,
    classlabels_int64s: Any = None,
    classlabels_strings: Any = None,
    nodes_falsenodeids: Any = None,
    nodes_featureids: Any = None,
    nodes_hitrates: Any = None,
    nodes_hitrates_as_tensor: Any = None,
    nodes_missing_value_tracks_true: Any = None,
    nodes_modes: Any = None,
    nodes_nodeids: Any = None,
    nodes_treeids: Any = None,
    nodes_truenodeids: Any = None,
    nodes_values: Any = None,
    nodes_values_as_tensor: Any = None,
    post_transform: str = "NONE",
) -> Any:
    given = _tensors(dict(locals()))
    trees = {k: given[k] for k in _NODES} | {k: given[f"class_{k}"] for k in ("ids", "nodeids", "treeids", "weights")}
    count = len(classlabels_int64s or classlabels_strings or ())
    binary = count == 2 and len(set(np.asarray(given["class_ids"]).tolist())) == 1
    scores = _ensemble(_array(x), trees, max(count, 1), "SUM", None if binary else given.get("base_values"))
    if binary:
        one = scores[:, :1] + scores[:, 1:] + (0 if given.get("base_values") is None else np.asarray(given["base_values"])[:1])
        signed = post_transform in ("LOGISTIC", "NONE") and np.asarray(given["class_weights"]).min() < 0
        best = (one[:, 0] > (0.0 if signed else 0.5)).astype(int)
        if post_transform == "LOGISTIC":
            one = _transformed(one, "LOGISTIC")
            scores = np.concatenate([1 - one, one], 1)
        else:
            scores = np.concatenate([-one if signed else 1 - one, one], 1)
    else:
        best = scores.argmax(1)
        scores = _transformed(scores, post_transform)
    return _labels(best, classlabels_int64s, classlabels_strings), candle.tensor(scores.astype(np.float32))


@operator("TreeEnsemble", since=5, domain=_ML)
def tree_ensemble(
    ctx: Any,
    x: Tensor,
    *,
    aggregate_function: int = 1,
    leaf_targetids: Any,
    leaf_weights: Any,
    membership_values: Any = None,
    n_targets: int = 1,
    nodes_falseleafs: Any,
    nodes_falsenodeids: Any,
    nodes_featureids: Any,
    nodes_hitrates: Any = None,
    nodes_missing_value_tracks_true: Any = None,
    nodes_modes: Any,
    nodes_splits: Any,
    nodes_trueleafs: Any,
    nodes_truenodeids: Any,
    post_transform: int = 0,
    tree_roots: Any,
) -> Tensor:
    n, weights = len(nodes_featureids), _array(leaf_weights)
    leaf = len(_MODES) - 1
    modes = np.concatenate([_array(nodes_modes).astype(int), np.full(len(weights), leaf)])
    blank = np.zeros(len(weights), int)

    def children(ids: Any, leafs: Any) -> Any:
        return np.concatenate([np.asarray(ids, int) + n * np.asarray(leafs, int), blank])

    members: dict[int, list[float]] | None = None
    if membership_values is not None:
        members, rest = {}, _array(membership_values).tolist()
        for k in np.flatnonzero(modes == 6).tolist():
            members[k] = []
            while rest and not math.isnan(rest[0]):
                members[k].append(rest.pop(0))
            rest = rest[1:]
    array = _array(x)
    missing = np.zeros(len(modes), bool)
    if nodes_missing_value_tracks_true:
        missing[:n] = np.asarray(nodes_missing_value_tracks_true, bool)
    reached = _walk(
        array, tree_roots, np.concatenate([np.asarray(nodes_featureids, int), blank]), modes,
        np.concatenate([_array(nodes_splits), np.zeros(len(weights), array.dtype)]), children(nodes_truenodeids, nodes_trueleafs),
        children(nodes_falsenodeids, nodes_falseleafs), missing, members,
    )  # fmt: skip
    leaves = {n + k: [(int(t), float(w))] for k, (t, w) in enumerate(zip(leaf_targetids, weights.tolist()))}
    how = ("AVERAGE", "SUM", "MIN", "MAX")[aggregate_function]
    scores = _collected(reached, leaves, n_targets, how, None, len(tree_roots))
    kind = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")[post_transform]
    return candle.tensor(_transformed(scores, kind).astype(array.dtype))


# -- support vectors -------------------------------------------------------------------------------


def _kernel(a: Any, b: Any, kind: str, parameters: Any) -> Any:
    gamma, coef0, degree = (parameters or [0.0, 0.0, 0.0])[:3]
    if kind == "RBF":
        return np.exp(-gamma * ((a[:, None] - b[None]) ** 2).sum(-1))
    product = a @ b.T
    if kind == "POLY":
        return (gamma * product + coef0) ** degree
    return np.tanh(gamma * product + coef0) if kind == "SIGMOID" else product


@operator("SVMRegressor", domain=_ML)
def svm_regressor(
    ctx: Any,
    x: Tensor,
    *,
    coefficients: list[float],
    kernel_params: Any = None,
    kernel_type: str = "LINEAR",
    n_supports: int = 0,
    one_class: int = 0,
    post_transform: str = "NONE",
    rho: list[float],
    support_vectors: Any = None,
) -> Tensor:
    array = _array(x).astype(np.float32)
    w = np.asarray(coefficients, np.float32)
    if n_supports:
        scores = _kernel(array, np.asarray(support_vectors, np.float32).reshape(n_supports, -1), kernel_type, kernel_params) @ w
    else:
        scores = _kernel(array, w.reshape(1, -1), kernel_type, kernel_params)[:, 0]
    scores = (scores + np.float32(rho[0])).reshape(-1, 1)
    scores = np.where(scores > 0, 1.0, -1.0) if one_class else scores
    return candle.tensor(_transformed(scores, post_transform).astype(np.float32))


@operator("SVMClassifier", domain=_ML)
def svm_classifier(
    ctx: Any,
    x: Tensor,
    *,
    classlabels_ints: Any = None,
    classlabels_strings: Any = None,
    coefficients: Any,
    kernel_params: Any = None,
    kernel_type: str = "LINEAR",
    post_transform: str = "NONE",
    prob_a: Any = None,
    prob_b: Any = None,
    rho: Any,
    support_vectors: Any = None,
    vectors_per_class: Any = None,
) -> Any:
    array = _array(x).astype(np.float32)
    count = len(classlabels_ints or classlabels_strings or ())
    if not vectors_per_class:  # one linear function per class
        w = np.asarray(coefficients, np.float32).reshape(count, -1)
        scores = _kernel(array, w, kernel_type, kernel_params) + np.float32(rho[0])
        return _labels(scores.argmax(1), classlabels_ints, classlabels_strings), candle.tensor(
            _transformed(scores, post_transform).astype(np.float32)
        )
    total = int(sum(vectors_per_class))
    k = _kernel(array, np.asarray(support_vectors, np.float32).reshape(total, -1), kernel_type, kernel_params)
    w = np.asarray(coefficients, np.float32).reshape(-1, total)
    starts = np.concatenate([[0], np.cumsum(vectors_per_class)]).astype(int)
    votes = np.zeros((len(array), count))
    pairs: list[Any] = []
    for i in range(count):
        for j in range(i + 1, count):
            a, b = slice(starts[i], starts[i + 1]), slice(starts[j], starts[j + 1])
            score = k[:, a] @ w[j - 1, a] + k[:, b] @ w[i, b] + rho[len(pairs)]
            votes[:, i] += score > 0
            votes[:, j] += score <= 0
            pairs.append(score)
    decisions = np.stack(pairs, 1)
    if prob_a:
        scores = _coupled(decisions, np.asarray(prob_a), np.asarray(prob_b), count)
        best = scores.argmax(1)
    else:
        best = votes.argmax(1)
        scores = decisions
        if count == 2:
            scores = np.concatenate([decisions, -decisions], 1)
    return _labels(best, classlabels_ints, classlabels_strings), candle.tensor(
        _transformed(scores, post_transform).astype(np.float32)
    )


def _coupled(decisions: Any, a: Any, b: Any, count: int) -> Any:
    """Probabilities of classes from those of pairs.  https://www.jmlr.org/papers/v5/wu04a.html, method 2"""
    found = np.zeros((len(decisions), count))
    for n, row in enumerate(decisions):
        r = np.zeros((count, count))
        for at, (i, j) in enumerate(itertools.combinations(range(count), 2)):
            p = float(np.clip(1 / (1 + np.exp(row[at] * a[at] + b[at])), 1e-7, 1 - 1e-7))
            r[i, j], r[j, i] = p, 1 - p
        q = -r * r.T
        np.fill_diagonal(q, (r**2).sum(0))
        system = np.block([[q, np.ones((count, 1))], [np.ones((1, count)), np.zeros((1, 1))]])
        found[n] = np.linalg.solve(system, np.r_[np.zeros(count), 1])[:count]
    return found
