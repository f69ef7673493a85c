"""Write the package of a new backend, which passes the first levels of conformance as it is."""

from __future__ import annotations

import argparse
import keyword
from pathlib import Path

from .output import print_json

examples = """
candle new-backend tally
candle new-backend tally --path ~/src
"""

# Template -> its place in the package; @name@ and @Name@ are filled in, in both.
_FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "xfail.txt": "xfail.txt",
    "__init__.py": "candle_@name@/__init__.py",
    "hooks.py": "candle_@name@/hooks.py",
    "backend.py": "candle_@name@/backend.py",
    "test_conformance.py": "tests/test_conformance.py",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the device's name: lower-case letters, digits and underscores")
    parser.add_argument("--path", default=".", help="the folder in which candle-NAME is made (default: here)")


def write(name: str, path: Path) -> list[Path]:
    """Write the package ``candle-NAME`` into a folder; raises CandleError where the name or the place is taken."""
    from ..device import names
    from ..errors import CandleError

    if not name.isidentifier() or name != name.lower() or keyword.iskeyword(name) or name == "auto":
        raise CandleError(
            f"a device's name is lower-case letters, digits and underscores, such as 'tally', but {name!r} was given"
        )
    if name in names():
        raise CandleError(f"there is already a device called {name!r}; `candle devices` lists them; give yours another name")
    root = path / f"candle-{name.replace('_', '-')}"
    if root.exists():
        raise CandleError(f"{root} is there already; give another name or --path")
    templates = Path(__file__).parent.parent / "scaffold"
    title = "".join(word.capitalize() for word in name.split("_"))
    written = []
    for template, place in _FILES.items():
        text = (templates / f"{template}.in").read_text(encoding="utf-8")
        at = root / place.replace("@name@", name)
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(text.replace("@name@", name).replace("@Name@", title), encoding="utf-8")
        written.append(at)
    return written


def run(args: argparse.Namespace) -> int:
    written = write(args.name, Path(args.path).expanduser())
    root = written[0].parent
    if args.json:
        print_json({"name": args.name, "path": str(root), "files": [str(p) for p in written]})
        return 0
    print("\n".join(f"wrote {p}" for p in written))
    print(f"\nnext:\n  pip install -e {root}\n  candle devices\n  candle check {args.name} --level storage --level ops")
    return 0
