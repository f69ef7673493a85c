"""Imports run one way and cost little."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "candle"

# The layers from the bottom up.  A module may import, at its top, from its own layer and those before it.
LAYERS = [
    {"errors"},
    {"dtype"},
    {"op"},
    {"ops"},
    {"tensor"},
    {"backend"},
    {"device"},
    {"create", "random", "grad", "autograd", "func", "index", "fft", "linalg", "special", "display"},
    {"graph"},
    {"compile", "symbolic"},
    {"plugins", "hooks", "formats"},
    {"nn"},
    {"optim"},
    {"models", "text", "generate", "quant", "array_api", "testing", "seeded_bugs", "train"},
    {"cli", "__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# The ops' own functions are written in terms of tensors, which are made above them.
BESIDE = {"plugins", "hooks", "formats"}  # plugins need errors only; formats stand on tensors


def modules():
    return sorted(p for p in ROOT.rglob("*.py") if "scaffold" not in p.parts)


def layer(path):
    first = path.relative_to(ROOT).parts[0].removesuffix(".py")
    return "candle" if first == "__init__" else first


def imported(path):
    """The layers that a module imports at its top, not within functions and not for type checkers only."""
    package = ("candle", *path.relative_to(ROOT).parts[:-1])

    def visit(body):
        for node in body:
            if isinstance(node, ast.ImportFrom):
                base = list(package[: len(package) - node.level + 1]) if node.level else []
                full = [*base, *(node.module or "").split(".")] if node.module else base
                if full[:1] == ["candle"]:
                    yield from ([full[1]] if len(full) > 1 else [a.name for a in node.names])
            elif isinstance(node, ast.Import):
                yield from (
                    a.name.split(".")[1] if "." in a.name else "candle" for a in node.names if a.name.split(".")[0] == "candle"
                )
            elif isinstance(node, (ast.If, ast.Try)):
                if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)):
                    yield from visit([*node.body, *node.orelse])

    return set(visit(ast.parse(path.read_text(encoding="utf-8")).body))


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    own = layer(path)
    if own == "candle":
        return
    assert own in RANK, f"{own} has no layer: give it one in tests/test_imports.py"
    wrong = {name for name in imported(path) if RANK.get(name, -1) > RANK[own]}
    assert not wrong, f"{path.relative_to(ROOT)} imports from {', '.join(sorted(wrong))}, which stand above it"


def test_the_core_imports_no_plugin_package():
    text = "\n".join(p.read_text(encoding="utf-8") for p in modules())
    assert "import candle_" not in text and "from candle_" not in text


def python(code):
    env = {**os.environ, "PYTHONPATH": str(ROOT.parent)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # a user's second import finds compiled files
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=ROOT.parent)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_candle_costs_at_most_twice_numpy():
    def best(module):
        code = f"import time; t = time.process_time(); import {module}; print(time.process_time() - t)"
        return min(float(python(code)) for _ in range(7))

    numpy, candle = best("numpy"), best("candle")
    assert candle <= 2 * numpy, f"import candle takes {candle * 1e3:.0f} ms, import numpy {numpy * 1e3:.0f} ms"


def test_importing_candle_brings_in_nothing_it_does_not_need():
    code = "import sys, candle; print(sorted({m.partition('.')[0] for m in sys.modules} - set(sys.stdlib_module_names)))"
    found = [m for m in ast.literal_eval(python(code)) if not m.startswith(("_", "sitecustomize", "distutils"))]
    assert found == ["candle", "ml_dtypes", "numpy"]


def test_submodules_are_loaded_when_they_are_first_used():
    loaded = ast.literal_eval(python("import sys, candle; print(list(sys.modules))"))
    late = ("nn", "optim", "formats", "cli", "plugins", "testing", "models", "display", "array_api")
    assert [name for name in late if f"candle.{name}" in loaded] == []
