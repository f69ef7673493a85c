"""The command ``candle``: every subcommand is offered through the hook ``candle_commands``, candle's own included.

A subcommand is a module or object with ``help`` (one line; a module's docstring serves), ``configure(parser)`` and
``run(args) -> int``.  It may have ``examples``, shown under its ``--help``.  Exit codes: 0 all well, 1 what was asked for
failed, 2 the question was wrong, 130 interrupted.
"""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from typing import Any, Sequence

from .output import add_json

__all__ = ["main"]


def _command(name: str) -> Any:
    from ..plugins import load

    return load("candle_commands", name)


def _help(command: Any) -> str:
    text = getattr(command, "help", None) or (command.__doc__ or "").strip().partition("\n")[0]
    return str(text)


def _overview() -> str:
    from ..errors import PluginError
    from ..plugins import offered

    names = sorted(offered("candle_commands"))
    lines = []
    for name in names:
        try:
            lines.append(f"  {name:<14}{_help(_command(name))}")
        except PluginError as e:
            lines.append(f"  {name:<14}(not available: {e})")
    about = "A minimalist machine-learning framework whose backends, ops, formats and models are plugins."
    usage = f"usage: candle COMMAND [OPTIONS]\n\n{about}\n"
    return (
        f"{usage}\ncommands:\n"
        + "\n".join(lines)
        + "\n\n`candle COMMAND --help` says more, with examples; `candle --version` the version."
    )


def _parser(name: str, command: Any) -> argparse.ArgumentParser:
    examples = getattr(command, "examples", "")
    parser = argparse.ArgumentParser(
        prog=f"candle {name}",
        description=_help(command),
        epilog="examples:\n" + "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines()) if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.configure(parser)
    if not any("--json" in a.option_strings for a in parser._actions):
        add_json(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand and return its exit code."""
    from ..errors import CandleError

    given = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(given)
    except SystemExit as e:  # argparse: 0 after --help, 2 after a usage error
        return e.code if isinstance(e.code, int) else 0 if e.code is None else 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (CandleError, OSError) as e:
        text = f"{e.strerror}: {e.filename}" if isinstance(e, OSError) and e.filename is not None else str(e)
        return _complain(text.replace("\n", " "))


def _complain(text: str) -> int:
    print(f"candle: {text}", file=sys.stderr)
    return 2


def _run(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0 if given else 2
    if given[0] in ("-V", "--version"):
        from .. import __version__

        print(f"candle {__version__}")
        return 0
    name, rest = given[0], given[1:]
    command = _command(name)
    if command is None:
        from ..plugins import offered

        known = sorted(offered("candle_commands"))
        near = difflib.get_close_matches(name, known, 1)
        return _complain(
            f"there is no command {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"the commands are {', '.join(known)}")
        )
    args = _parser(name, command).parse_args(rest)
    code = command.run(args)
    sys.stdout.flush()
    return int(code or 0)
