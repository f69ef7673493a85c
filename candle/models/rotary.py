"""Rotary positions: the angles of every published way to stretch them.  https://arxiv.org/abs/2104.09864"""

from __future__ import annotations

import math
from typing import Any, Mapping

import numpy as np

from ..create import as_tensor
from ..errors import FormatError
from ..nn import functional as F
from ..op import OPS
from ..tensor import Tensor

__all__ = ["Rope", "magnitude", "rope_of", "settings_of"]


class Rope:
    """Angles per position: ``frequencies`` are radians a token, float32[d/2], and ``scale`` a factor on cosine and sine.

    ``long`` are the frequencies of sequences beyond ``original`` tokens (longrope); ``ntk`` is (base, factor, limit) where
    the base grows with the sequence (dynamic NTK).  Turned are the first ``2 * len(frequencies)`` elements of a head:
    element i with i + d/2, or with its neighbour where ``interleaved``.
    """

    def __init__(
        self,
        frequencies: Any,
        scale: float = 1.0,
        interleaved: bool = False,
        long: Any = None,
        original: int = 0,
        ntk: tuple[float, float, int] | None = None,
    ) -> None:
        self.frequencies = np.asarray(frequencies, np.float32)
        self.scale, self.interleaved, self.original, self.ntk = scale, interleaved, original, ntk
        self.long = None if long is None else np.asarray(long, np.float32)
        self.width = 2 * len(self.frequencies)

    def tables(self, positions: Tensor, dtype: Any) -> tuple[Tensor, Tensor]:
        """Cosines and sines, each T[b, n, d/2], at positions int[b, n]; the positions may be values of a captured step."""
        like = positions.backend
        at = positions.float().unsqueeze(-1)
        rate = as_tensor(self.frequencies, device=like)
        if self.long is not None or self.ntk is not None:
            length = (positions.amax(dim=-1, keepdim=True) + 1).float().unsqueeze(-1)
            if self.long is not None:
                rate = OPS["where"](length > self.original, as_tensor(self.long, device=like), rate)
            else:
                assert self.ntk is not None
                base, factor, limit = self.ntk
                d = self.width
                grown = (length.clamp(limit) * (factor / limit) - (factor - 1)) ** (d / (d - 2)) * base
                rate = (grown.log() * as_tensor(-np.arange(0, d, 2, dtype=np.float32) / d, device=like)).exp()
        angles = at * rate
        cos, sin = angles.cos(), angles.sin()
        if self.scale != 1.0:
            cos, sin = cos * self.scale, sin * self.scale
        return cos.to(dtype=dtype), sin.to(dtype=dtype)

    def turn(self, x: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
        """x ``[b, h, n, d]`` turned; what lies beyond the rotary width stays."""
        turn = F.rope_interleaved if self.interleaved else F.rope
        cos, sin = tables
        if cos.shape[0] == 1:
            cos, sin = cos.squeeze(0), sin.squeeze(0)
        if self.width == x.shape[-1]:
            return turn(x, cos, sin)
        rest = x.shape[-1] - self.width
        return OPS["cat"](turn(x.narrow(-1, 0, self.width), cos, sin), x.narrow(-1, self.width, rest), dim=-1)


def settings_of(
    values: Mapping[str, Any], theta: float = 10000.0, partial: float = 1.0, layer: str | None = None
) -> dict[str, Any]:
    """The rotary settings of a config.json, from ``rope_parameters`` or the older ``rope_theta`` and ``rope_scaling``."""
    said = values.get("rope_parameters") or {}
    if layer is not None and isinstance(said.get(layer), dict):
        said = said[layer]
    older = values.get("rope_scaling") or {}
    if not isinstance(said, dict) or not isinstance(older, dict):
        raise FormatError(f"config.json gives rope_parameters or rope_scaling as {said or older!r} but an object is wanted")
    base = values.get("rope_theta", values.get("rotary_emb_base"))
    share = values.get("partial_rotary_factor", values.get("rotary_pct", values.get("rope_pct")))
    found = {"rope_theta": theta if base is None else base, "partial_rotary_factor": partial if share is None else share}
    found |= {k: v for k, v in {**older, **said}.items() if v is not None}
    kind = found.get("rope_type", found.get("type", "default"))
    found["rope_type"] = {"su": "longrope", "mrope": "default"}.get(str(kind), kind)
    limit = values.get("max_position_embeddings")
    found["max_position_embeddings"] = limit
    if "original_max_position_embeddings" not in found:
        found["original_max_position_embeddings"] = values.get("original_max_position_embeddings") or limit
    return found


def rope_of(said: Mapping[str, Any], head_dim: int, interleaved: bool = False) -> Rope:
    """The angles for heads of ``head_dim`` by the settings that ``settings_of`` found.

    The kinds are default, linear, dynamic, yarn (https://arxiv.org/abs/2309.00071), longrope
    (https://arxiv.org/abs/2402.13753), llama3 and proportional; FormatError names another one.
    """
    kind = said["rope_type"]
    if kind not in _KINDS:
        raise FormatError(f"config.json asks for rotary positions of type {kind!r}; those known are {', '.join(_KINDS)}")
    width = head_dim if kind == "proportional" else int(head_dim * said["partial_rotary_factor"])
    try:
        return _KINDS[kind](said, width, interleaved)
    except (KeyError, TypeError) as e:
        raise FormatError(f"config.json's rotary settings of type {kind!r} lack {e}") from None


def _rates(base: float, width: int) -> Any:
    return np.float32(1) / np.float32(base) ** (np.arange(0, width, 2, dtype=np.float32) / np.float32(width))


def _default(said: Mapping[str, Any], width: int, interleaved: bool) -> Rope:
    return Rope(_rates(said["rope_theta"], width), interleaved=interleaved)


def _linear(said: Mapping[str, Any], width: int, interleaved: bool) -> Rope:
    return Rope(_rates(said["rope_theta"], width) / np.float32(said["factor"]), interleaved=interleaved)


def _dynamic(said: Mapping[str, Any], width: int, interleaved: bool) -> Rope:
    ntk = (float(said["rope_theta"]), float(said["factor"]), int(said["max_position_embeddings"]))
    return Rope(_rates(said["rope_theta"], width), interleaved=interleaved, ntk=ntk)


def _proportional(said: Mapping[str, Any], width: int, interleaved: bool) -> Rope:
    turned = int(said["partial_rotary_factor"] * width // 2)
    rates = _rates(said["rope_theta"], width)
    rates[turned:] = 0
    return Rope(rates / np.float32(said.get("factor", 1.0)), interleaved=interleaved)


def magnitude(factor: float, by: float = 1.0) -> float:
    """YaRN's factor for texts that are ``factor`` times as long."""
    return 1.0 if factor <= 1 else 0.1 * by * math.log(factor) + 1.0


def _yarn(said: Mapping[str, Any], width: int, interleaved: bool) -> Rope:
    base, original = said["rope_theta"], said["original_max_position_embeddings"]
    factor = said.get("factor") or said["max_position_embeddings"] / original
    scale = said.get("attention_factor")
    if scale is None:
        one, all_ = said.get("mscale"), said.get("mscale_all_dim")
        scale = magnitude(factor, one) / magnitude(factor, all_) if one and all_ else magnitude(factor)

    def dim_of(turns: float) -> float:
        return width * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = dim_of(said.get("beta_fast") or 32), dim_of(said.get("beta_slow") or 1)
    if said.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    if low == high:
        high += 0.001
    ramp = np.clip((np.arange(width // 2, dtype=np.float32) - low) / (high - low), 0, 1).astype(np.float32)
    rates = _rates(base, width)
    return Rope(rates / np.float32(factor) * ramp + rates * (1 - ramp), scale, interleaved)


def _longrope(said: Mapping[str, Any], width: int, interleaved: bool) -> Rope:
    original = said["original_max_position_embeddings"]
    factor = said.get("factor") or said["max_position_embeddings"] / original
    scale = said.get("attention_factor")
    if scale is None:
        scale = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(original))
    rates = _rates(said["rope_theta"], width)
    for name in ("short_factor", "long_factor"):
        if len(said[name]) != width // 2:
            raise FormatError(f"config.json's {name} has {len(said[name])} entries but the rotary width asks for {width // 2}")
    short, long = (rates / np.asarray(said[name], np.float32) for name in ("short_factor", "long_factor"))
    return Rope(short, scale, interleaved, long, original)


def _llama3(said: Mapping[str, Any], width: int, interleaved: bool) -> Rope:
    factor, low, high = said["factor"], said["low_freq_factor"], said["high_freq_factor"]
    original = said["original_max_position_embeddings"]
    rates = _rates(said["rope_theta"], width)
    wave = 2 * math.pi / rates
    smooth = (original / wave - low) / (high - low)
    between = (1 - smooth) * rates / factor + smooth * rates
    found = np.where(wave > original / low, rates / factor, rates)
    return Rope(np.where((wave <= original / low) & (wave >= original / high), between, found), interleaved=interleaved)


def _divided(said: Mapping[str, Any], width: int, interleaved: bool) -> Rope:
    """Each frequency divided by a factor of its own, as GGUF files keep it."""
    return Rope(_rates(said["rope_theta"], width) / np.asarray(said["factors"], np.float32), interleaved=interleaved)


_KINDS = {
    "divided": _divided,
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "yarn": _yarn,
    "longrope": _longrope,
    "llama3": _llama3,
    "proportional": _proportional,
}
