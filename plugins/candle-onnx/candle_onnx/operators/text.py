"""Strings, and counts of what they hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

import candle
from candle import Tensor

from ..errors import OnnxError
from ..run import known
from ..table import operator


@operator("StringConcat")
def string_concat(a: Any, b: Any) -> Any:
    return (
        np.frompyfunc(lambda x, y: x + y, 2, 1)(a, b).astype(object)
        if np.ndim(a) or np.ndim(b)
        else np.array(a.item() + b.item(), object)
    )


@operator("StringSplit")
def string_split(x: Any, *, delimiter: str = "", maxsplit: int | None = None) -> tuple[Any, Tensor]:
    most = -1 if maxsplit is None else maxsplit
    parts = [str(s).split(delimiter or None, most) for s in np.asarray(x, object).reshape(-1)]
    width = max((len(p) for p in parts), default=0)
    rows = np.full((len(parts), width), "", object)
    for row, found in zip(rows, parts):
        row[: len(found)] = found
    counts = np.array([len(p) for p in parts], np.int64).reshape(np.shape(x))
    return rows.reshape((*np.shape(x), width)), candle.tensor(counts, device="numpy")


@operator("StringNormalizer")
def string_normalizer(
    x: Any, *, case_change_action: str = "NONE", is_case_sensitive: int = 0, locale: str = "", stopwords: list[str] | None = None
) -> Any:
    if np.ndim(x) not in (1, 2) or (np.ndim(x) == 2 and x.shape[0] != 1):
        raise OnnxError(f"StringNormalizer takes strings of shape [n] or [1, n] but was given {list(np.shape(x))}")
    stop = set(stopwords or ()) if is_case_sensitive else {s.lower() for s in stopwords or ()}
    kept = [s for s in x.reshape(-1) if (s if is_case_sensitive else s.lower()) not in stop]
    changes: dict[str, Callable[[str], str]] = {"LOWER": str.lower, "UPPER": str.upper, "NONE": str}
    found = np.array([changes[case_change_action](s) for s in kept] or [""], object)
    return found if np.ndim(x) == 1 else found[None]


@operator("RegexFullMatch")
def regex_full_match(x: Any, *, pattern: str = "") -> Tensor:
    try:
        rule = re.compile(pattern)
    except re.error as e:
        raise OnnxError(f"the pattern {pattern!r} is not taken by Python's re: {e}") from e
    found = [rule.fullmatch(s) is not None for s in np.asarray(x, object).reshape(-1)]
    return candle.tensor(np.array(found, bool).reshape(np.shape(x)), device="numpy")


@operator("TfIdfVectorizer")
def tf_idf_vectorizer(
    ctx: Any,
    x: Any,
    *,
    max_gram_length: int,
    max_skip_count: int,
    min_gram_length: int,
    mode: str,
    ngram_counts: list[int],
    ngram_indexes: list[int],
    pool_int64s: list[int] | None = None,
    pool_strings: list[str] | None = None,
    weights: list[float] | None = None,
) -> Tensor:
    pool: list[Any] = list(pool_strings if pool_strings is not None else pool_int64s or ())
    grams: dict[tuple[Any, ...], int] = {}
    number = 0
    for length, start in enumerate(ngram_counts, 1):
        end = ngram_counts[length] if length < len(ngram_counts) else len(pool)
        for at in range(start, end - length + 1, length):
            if min_gram_length <= length <= max_gram_length:
                grams[tuple(pool[at : at + length])] = number
            number += 1
    array = np.asarray(known(x))
    rows = array[None] if array.ndim == 1 else array
    counts = np.zeros((len(rows), max(ngram_indexes, default=-1) + 1), np.float32)
    for n, row in enumerate(rows.tolist()):
        for length in range(min_gram_length, max_gram_length + 1):
            for skip in range(max_skip_count + 1 if length > 1 else 1):
                span = (length - 1) * (skip + 1)
                for start in range(len(row) - span):
                    found = grams.get(tuple(row[start : start + span + 1 : skip + 1]))
                    if found is not None:
                        counts[n, ngram_indexes[found]] += 1
    if mode == "IDF":
        counts = (counts > 0).astype(np.float32)
    if mode != "TF" and weights is not None:
        scale = np.ones(counts.shape[1], np.float32)
        scale[np.asarray(ngram_indexes)] = weights
        counts = counts * scale
    return candle.tensor(counts[0] if array.ndim == 1 else counts)
