"""Zip archives as far as formats share them: their members, and what damage to one raises."""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

from ..errors import FormatError

DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)
"""What Python's zipfile raises where an archive is damaged; of OSError not that the file is missing or must not be read."""
UNREADABLE = (FileNotFoundError, PermissionError)


def members(path: Path) -> list[zipfile.ZipInfo]:
    """The members of an archive; raises FormatError where it is no right one."""
    try:
        with zipfile.ZipFile(path) as z:
            return z.infolist()
    except UNREADABLE:
        raise
    except DAMAGE as e:
        raise FormatError(f"{path} is no right zip archive: {e}") from None


def names(path: Path) -> list[str]:
    """The names of its members; none where it is no right archive."""
    try:
        return [i.filename for i in members(path)]
    except FormatError:
        return []
