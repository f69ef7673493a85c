"""A checkpoint in several files, of safetensors or PyTorch, held together by an index of which tensor lies in which."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import FormatError
from . import Checkpoint, Entry
from . import load as load_file

suffixes = (".safetensors.index.json", ".bin.index.json")


def matches(head: bytes, path: Path) -> bool:
    return head.lstrip()[:1] == b"{" and path.suffix == ".json" and (b'"weight_map"' in head or path.name.endswith(suffixes))


def load(path: Path) -> Checkpoint:
    """The tensors of all the files that an index names, which lie beside it."""
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, RecursionError, ValueError) as e:
        raise FormatError(f"{path} is no JSON: {e}") from None
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not all(isinstance(v, str) for v in places.values()):
        raise FormatError(f"{path} has no weight_map from tensors to files")
    shards: dict[str, Checkpoint] = {}
    for file in sorted(set(places.values())):
        if Path(file).name != file or file in ("", ".", ".."):
            raise FormatError(f"{path} names the file {file!r}; the files of an index lie beside it")
        at = path.parent / file
        if not at.is_file():
            raise FormatError(f"{path} names the file {file!r}, which is missing; fetch it beside the index")
        if at.suffix == ".json":
            raise FormatError(f"{path} names the file {file!r}, an index itself; the files of an index hold tensors")
        shards[file] = load_file(at)
    entries: dict[str, Entry] = {}
    for name, file in places.items():
        if name not in shards[file]:
            raise FormatError(f"{path} says that {name!r} lies in {file!r}, which has no such tensor")
        entries[name] = shards[file].entries[name]
    metadata = index.get("metadata")
    return Checkpoint(entries, metadata if isinstance(metadata, dict) else {}, str(path))
