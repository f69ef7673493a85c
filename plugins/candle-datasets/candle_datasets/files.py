"""Files of datasets: found in a folder, or downloaded into the cache, checked, and taken up where a download broke off."""

from __future__ import annotations

import gzip
import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from candle import CandleError, FormatError

__all__ = ["Remote", "cache", "find", "gunzipped"]

_CHUNK = 1 << 20


class Remote(NamedTuple):
    """A file as its publisher has it: its name, addresses to try in turn, and its MD5 as published."""

    name: str
    urls: tuple[str, ...]
    md5: str | None = None


def cache() -> Path:
    """The folder for downloads: CANDLE_DATASETS, or ``candle/datasets`` in the user's cache."""
    given = os.environ.get("CANDLE_DATASETS")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "candle" / "datasets"


def _offline() -> bool:
    return any(os.environ.get(v, "").lower() in ("1", "true", "yes", "on") for v in ("CANDLE_OFFLINE", "HF_HUB_OFFLINE"))


def find(remote: Remote, dataset: str, root: str | os.PathLike[str] | None = None) -> Path:
    """The file, from the folder ``root`` (which is only read) or from the cache, where it is downloaded to if need be.

    A file of its name without ``.gz`` serves as well.  Raises CandleError where it is not to be had.
    """
    folder = cache() / dataset if root is None else Path(root)
    for name in (remote.name, remote.name.removesuffix(".gz")):
        if (folder / name).is_file():
            return folder / name
    if root is not None:
        raise CandleError(f"{dataset} needs the file {remote.name}, which is not in {folder}; leave out root to download it")
    if _offline():
        raise CandleError(
            f"{dataset} needs the file {remote.name}, which is not in {folder}, and downloads are off "
            "(CANDLE_OFFLINE or HF_HUB_OFFLINE is set)"
        )
    folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for url in remote.urls:
        try:
            return download(url, folder / remote.name, remote.md5)
        except (OSError, FormatError) as e:
            failed.append(f"{url}: {e}")
    raise CandleError(f"{dataset}'s file {remote.name} could not be downloaded; " + "; ".join(failed))


def download(url: str, target: Path, md5: str | None = None) -> Path:
    """Fetch a file beside its place and move it there when it is whole and its MD5 is right.

    What an earlier attempt left is gone on from, where the server can.  Raises OSError, or FormatError for wrong content.
    """
    part = target.with_name(target.name + ".part")
    have = part.stat().st_size if part.exists() else 0
    rest = {"Range": f"bytes={have}-"} if have else {}
    request = urllib.request.Request(url, headers={"User-Agent": "candle-datasets", **rest})
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as e:
        if e.code != 416 or not have:  # 416: nothing is left to send
            raise
        response = None
    if response is not None:
        with response:
            going_on = response.status == 206
            length = response.headers.get("Content-Length")
            total = int(length) + (have if going_on else 0) if length else None
            _store(response, part, have if going_on else 0, total)
    if md5 is not None and _md5(part) != md5:
        part.unlink()
        raise FormatError(f"what was downloaded is not what was published (its MD5 is not {md5}); it was removed, try again")
    os.replace(part, target)
    return target


def _store(response: object, part: Path, have: int, total: int | None) -> None:
    from tqdm import tqdm

    with (
        open(part, "ab" if have else "wb") as out,
        tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=None, leave=False) as bar,
    ):
        while chunk := response.read(_CHUNK):  # type: ignore[attr-defined]
            out.write(chunk)
            bar.update(len(chunk))
            have += len(chunk)
    if total is not None and have < total:
        raise OSError(f"the connection broke off after {have} of {total} bytes; try again to go on from there")


def _md5(path: Path) -> str:
    found = hashlib.md5(usedforsecurity=False)
    with open(path, "rb") as f:
        while chunk := f.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def gunzipped(path: Path, most: int) -> bytes:
    """What a file holds, unpacked if it is gzip's; raises FormatError where that is more than ``most`` bytes or broken."""
    try:
        with open(path, "rb") as f:
            packed = f.read(2) == b"\x1f\x8b"
            f.seek(0)
            if packed:
                with gzip.open(f) as unpacked:
                    found = unpacked.read(most + 1)
            else:
                found = f.read(most + 1)
    except (EOFError, gzip.BadGzipFile, OSError) as e:
        raise FormatError(f"{path} cannot be unpacked: {e}; it may be truncated, so fetch it again") from e
    if len(found) > most:
        raise FormatError(f"{path} holds more than the {most} bytes that such a file may have")
    return found
