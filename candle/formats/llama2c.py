"""llama2.c's model files: a header of sizes, then float32 weights in a fixed order.  https://github.com/karpathy/llama2.c

The first version has no magic: it is told by its size, which the header determines.  Names are those of Hugging Face's llama,
as ``candle.models`` has them; the layout of rotary positions is llama2.c's, neighbours in pairs, which the metadata says.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from ..dtype import float32
from ..op import Spec
from . import Checkpoint, Entry
from .binary import Cursor, mapped, tensor_at

suffixes: tuple[str, ...] = ()  # .bin, as others have
_NAMES = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len")
_MAGIC = 0x616B3432


def _layers(c: dict[str, int]) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of what each layer has, in the order of the parts of the file."""
    d, h, kv = c["dim"], c["hidden_dim"], c["dim"] // c["n_heads"] * c["n_kv_heads"]
    return [
        ("input_layernorm", (d,)), ("self_attn.q_proj", (d, d)), ("self_attn.k_proj", (kv, d)), ("self_attn.v_proj", (kv, d)),
        ("self_attn.o_proj", (d, d)), ("post_attention_layernorm", (d,)), ("mlp.gate_proj", (h, d)), ("mlp.down_proj", (d, h)),
        ("mlp.up_proj", (h, d)),
    ]  # fmt: skip


def _plan(c: dict[str, int], first: bool, shared: bool) -> list[tuple[str, tuple[int, ...]]]:
    """All tensors in the order of the file; those without a name are not weights."""
    d, v = c["dim"], c["vocab_size"]
    each, layers = _layers(c), range(c["n_layers"])

    def of(part: str) -> list[tuple[str, tuple[int, ...]]]:
        return [(f"model.layers.{i}.{name}.weight", shape) for name, shape in each if name == part for i in layers]

    table = [("model.embed_tokens.weight", (v, d))]
    norms = of("input_layernorm"), of("post_attention_layernorm"), [("model.norm.weight", (d,))]
    attention = [x for name, _ in each[1:5] for x in of(name)]
    mlp = [x for name, _ in each[6:] for x in of(name)]
    head = [] if shared else [("lm_head.weight", (v, d))]
    if not first:
        return [*norms[0], *norms[1], *norms[2], *table, *attention, *mlp, *head]
    half = d // c["n_heads"] // 2
    rotations = [("", (c["max_seq_len"], half)), ("", (c["max_seq_len"], half))]
    return [*table, *norms[0], *attention, *norms[1], *mlp, *norms[2], *rotations, *head]


def _header(head: bytes, size: int) -> tuple[dict[str, int], bool, bool, int] | None:
    """Settings, whether it is of the first version, whether the head is the table, and where the weights begin; or None."""
    if len(head) < 37:
        return None
    first = struct.unpack_from("<I", head)[0] != _MAGIC
    if not first and struct.unpack_from("<i", head, 4)[0] != 1:
        return None
    c = dict(zip(_NAMES, struct.unpack_from("<7i", head, 0 if first else 8)))
    shared = c["vocab_size"] > 0 if first else head[36] == 1
    c["vocab_size"] = abs(c["vocab_size"])
    if not all(0 < n < 1 << 24 for n in c.values()) or c["dim"] % c["n_heads"] or c["n_heads"] % c["n_kv_heads"]:
        return None
    if c["n_layers"] > 1 << 12:
        return None
    begin = 28 if first else 256
    total = sum(_product(shape) for _, shape in _plan({**c, "n_layers": 1}, first, shared))
    each = sum(_product(shape) for _, shape in _layers(c))
    return (c, first, shared, begin) if begin + 4 * (total + each * (c["n_layers"] - 1)) == size else None


def _product(shape: tuple[int, ...]) -> int:
    n = 1
    for s in shape:
        n *= s
    return n


def matches(head: bytes, path: Path) -> bool:
    return _header(head, path.stat().st_size) is not None


def load(path: Path) -> Checkpoint:
    """The tensors of a file, mapped into memory."""
    data = mapped(path)
    r = Cursor(path, data)
    found = _header(bytes(data[:64]), r.size)
    if found is None:
        raise r.wrong(
            "its size is not what its first seven numbers say, so it is no model of llama2.c; quantised ones are not read"
        )
    c, first, shared, at = found
    entries: dict[str, Entry] = {}
    for name, shape in _plan(c, first, shared):
        spec = Spec(shape, float32)
        if name:
            entries[name] = Entry(spec, spec.nbytes, _reader(data, spec, at))
        at += spec.nbytes
    return Checkpoint(entries, {"format": "llama2.c", **c, "tied": shared, "rope": "neighbours"}, str(path))


def _reader(data: Any, spec: Spec, at: int) -> Any:
    return lambda: tensor_at(data, spec, at)
