"""GGML's files before GGUF: ggjt 1 to 3, ggmf, unversioned; of LLaMA, Whisper and Silero VAD.

A header of settings and a vocabulary, which depend on the model and say nothing of it, then one tensor after the other up to
the end; so each model's header is tried, and it is the one after which the tensors fit the file.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np

from ..dtype import as_dtype, float32
from ..errors import FormatError
from ..op import Spec
from . import Checkpoint, Entry
from .binary import Cursor, mapped, tensor_at
from .gguf import TYPES

suffixes = (".ggml",)

_MAGIC = {b"lmgg": "ggml", b"fmgg": "ggmf", b"tjgg": "ggjt"}
_OTHER = {b"algg": "ggla, a LoRA adapter", b"nsgg": "ggsn, a session"}
_LLAMA = ("n_vocab", "n_embd", "n_mult", "n_head", "n_layer", "n_rot", "ftype")
_WHISPER = (
    "n_vocab", "n_audio_ctx", "n_audio_state", "n_audio_head", "n_audio_layer", "n_text_ctx", "n_text_state", "n_text_head",
    "n_text_layer", "n_mels", "ftype",
)  # fmt: skip

# Blocks as they were before ggjt 3: scales in single precision.  https://github.com/ggml-org/llama.cpp/pull/1508
_OLD: dict[str, Any] = {
    "q4_0": np.dtype([("d", "<f4"), ("qs", "u1", 16)]),
    "q4_1": np.dtype([("d", "<f4"), ("m", "<f4"), ("qs", "u1", 16)]),
    "q8_0": np.dtype([("d", "<f4"), ("qs", "i1", 32)]),
    "q5_0": as_dtype("q5_0").numpy["q5_0"],
    "q5_1": as_dtype("q5_1").numpy["q5_1"],
}


def matches(head: bytes, path: Path) -> bool:
    return head[:4] in _MAGIC or head[:4] in _OTHER


# -- headers ---------------------------------------------------------------------------------------


def _settings(r: Cursor, names: tuple[str, ...]) -> dict[str, Any]:
    found = {name: r.i32(f"the setting {name}") for name in names}
    for name, n in found.items():
        if not 0 <= n < 1 << 28:
            raise r.wrong(f"the setting {name} is {n}")
    return found


def _vocabulary(r: Cursor, n: int, scores: bool) -> dict[str, Any]:
    """Words as bytes, each behind its length, and their scores behind them."""
    r.count(n, 8 if scores else 4, "the vocabulary")
    words: list[bytes] = []
    found: list[float] = []
    data, at, length, score = r.data, r.at, struct.Struct("<I").unpack_from, struct.Struct("<f").unpack_from
    try:
        for _ in range(n):
            begin, at = at + 4, at + 4 + length(data, at)[0]
            words.append(data[begin:at])
            if scores:
                found.append(score(data, at)[0])
                at += 4
    except struct.error:
        at = r.size + 1
    r.skip(at - r.at, "the vocabulary")
    return {"vocabulary": words, **({"scores": np.array(found, np.float32)} if scores else {})}


def _llama(r: Cursor, magic: str) -> dict[str, Any]:
    settings = _settings(r, _LLAMA)
    return {"model": "llama", **settings, **_vocabulary(r, settings["n_vocab"], magic != "ggml")}


def _whisper(r: Cursor, magic: str) -> dict[str, Any]:
    settings = _settings(r, _WHISPER)
    mels, bins = r.i32("the number of mel bands"), r.i32("the number of frequencies")
    if mels != settings["n_mels"] or not 0 < bins < 1 << 16:
        raise r.wrong(f"the mel filters are {mels} x {bins} but n_mels is {settings['n_mels']}")
    filters = r.array("f4", mels * bins, "the mel filters").reshape(mels, bins)
    return {"model": "whisper", **settings, "mel_filters": filters, **_vocabulary(r, r.i32("the vocabulary's size"), False)}


def _silero(r: Cursor, magic: str) -> dict[str, Any]:
    name = r.text(r.count(r.u32("the length of the name"), 1, "the name"), "the name")
    if not name.startswith("silero"):
        raise r.wrong(f"the model is called {name!r:.40}")
    version = [r.i32("the version") for _ in range(3)]
    settings = _settings(r, ("n_window", "n_context", "n_encoder_layers"))
    layers = [_settings(r, ("in", "out", "kernel")) for _ in range(r.count(settings["n_encoder_layers"], 12, "the layers"))]
    rest = _settings(r, ("lstm_input", "lstm_hidden", "final_conv_in", "final_conv_out"))
    return {"model": name, "version": ".".join(map(str, version)), **settings, "encoder_layers": layers, **rest}


_HEADERS: tuple[Callable[[Cursor, str], dict[str, Any]], ...] = (_llama, _whisper, _silero)


# -- tensors ---------------------------------------------------------------------------------------


def _tensors(r: Cursor, aligned: bool, old: bool) -> Iterator[tuple[str, Spec, int, int]]:
    """Each tensor's name, spec, place and bytes, up to the end of the file."""
    while r.left:
        dims, length, kind = [r.i32(f"the {what} of a tensor") for what in ("dimensions", "length of the name", "type")]
        if not 0 <= dims <= 4 or not 0 < length < 256:
            raise r.wrong(f"at {r.at - 12} there is no tensor: it would have {dims} dimensions and a name of {length} bytes")
        if kind not in TYPES:
            raise r.wrong(f"at {r.at - 12} there is a tensor of type {kind}, which is unknown")
        sizes = [r.u32("a size") for _ in range(dims)]
        name = r.text(length, "a tensor's name")
        dtype, count = TYPES[kind], 1
        for n in sizes:
            count *= n
        if (sizes[0] if sizes else 1) % dtype.block:
            raise r.wrong(f"the tensor {name!r} has rows of {sizes[:1]} elements, but {dtype} keeps blocks of {dtype.block}")
        if aligned:
            r.skip(-r.at % 32, f"the padding before {name!r}")
        item = _OLD[dtype.name].itemsize if old and dtype.name in _OLD else dtype.itemsize
        nbytes = count // dtype.block * item
        yield name, Spec(sizes[::-1], dtype), r.skip(nbytes, f"the tensor {name!r}"), nbytes


def _old_values(data: Any, spec: Spec, at: int, paired: bool) -> np.ndarray[Any, Any]:
    """Blocks of before ggjt 3 as float32; in the oldest two elements that follow each other share a byte."""
    kind = spec.dtype.name
    b = np.frombuffer(data, _OLD[kind], spec.size // 32, at)
    d = b["d"].astype(np.float32)[:, None]
    if kind == "q8_0":
        return (d * b["qs"].astype(np.float32)).reshape(spec.shape)
    q = np.stack([b["qs"] & 15, b["qs"] >> 4], -1 if paired else -2).reshape(-1, 32)
    if kind in ("q5_0", "q5_1"):
        q = q | (np.unpackbits(b["qh"], axis=-1, bitorder="little") << np.uint8(4))
    if kind in ("q4_1", "q5_1"):
        return (d * q.astype(np.float32) + b["m"].astype(np.float32)[:, None]).reshape(spec.shape)
    return (d * (q.astype(np.float32) - np.float32(8 if kind == "q4_0" else 16))).reshape(spec.shape)


def _entry(data: Any, spec: Spec, at: int, nbytes: int, old: bool, paired: bool) -> Entry:
    if old and spec.dtype.name in _OLD:
        values = Spec(spec.shape, float32)
        return Entry(values, nbytes, lambda: _frozen(_old_values(data, spec, at, paired)))
    return Entry(spec, nbytes, lambda: tensor_at(data, spec, at))


def _frozen(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    x.flags.writeable = False
    return x


def load(path: Path) -> Checkpoint:
    """The tensors of a file, mapped into memory.

    Quantised tensors of before ggjt 3, whose blocks GGML has given up, are float32.  Raises FormatError where no model's
    header and tensors fit the file, with what was wrong under the one that went furthest.
    """
    data = mapped(path)
    head = bytes(data[:4])
    if head in _OTHER:
        raise FormatError(f"{path} is {_OTHER[head]}, which holds no model and is not read")
    magic = _MAGIC[head]
    version = 0
    if magic != "ggml":
        version = Cursor(path, data, 4).u32("the version")
        known = (1,) if magic == "ggmf" else (1, 2, 3)
        if version not in known:
            raise FormatError(f"{path} is of {magic} version {version}; {', '.join(map(str, known))} are read")
    modern = magic == "ggjt" and version == 3
    furthest, wrong = -1, FormatError("")
    for header in _HEADERS:
        for old in (False,) if modern or header is not _llama else (True, False):
            r = Cursor(path, data, 4 if magic == "ggml" else 8)
            try:
                metadata = header(r, magic)
                found: dict[str, Entry] = {}
                for name, spec, at, nbytes in _tensors(r, magic == "ggjt", old):
                    if name in found:
                        raise r.wrong(f"it has the tensor {name!r} twice")
                    found[name] = _entry(data, spec, at, nbytes, old, version < 2)
                return Checkpoint(found, {"format": f"{magic} {version}" if version else magic, **metadata}, str(path))
            except FormatError as e:
                if r.at > furthest:
                    furthest, wrong = r.at, e
    raise wrong
