"""The documents say what is so: rows of the cheat-sheet are run, hooks and tables compared with the code, links followed."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import candle
from candle import plugins
from candle.cli import docs
from candle.device import resolve

ROOT = Path(__file__).parent.parent
SHEET = (ROOT / "docs/pytorch.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(.+?)` \| `(.+?)` \|$", SHEET, re.M)


def operands():
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    a = normal(4, 4)
    return {
        "x": normal(3, 4), "y": normal(3, 4), "v": normal(4), "w": normal(5, 4), "b": normal(5), "ids": np.array([1, 0, 2, 1]),
        "where": rng.integers(0, 3, (3, 4)), "mask": normal(3, 4) > 0, "target": np.array([3, 0, 1]), "img": normal(2, 3, 8, 8),
        "kernel": normal(6, 3, 3, 3), "q": normal(2, 2, 5, 4), "spd": a @ a.T + 4 * np.eye(4, dtype=np.float32),
    }  # fmt: skip


def evaluate(text, names):
    """Run all statements but the last, an expression, whose value it is."""
    names = dict(names)
    body = text.replace("; ", "\n") if not text.startswith("with ") else text.replace("; ", "\n", 1)
    tree = ast.parse(body)
    last = tree.body.pop()
    assert isinstance(last, ast.Expr), f"{text} does not end in an expression"
    exec(compile(tree, text, "exec"), names)
    return eval(compile(ast.Expression(last.value), text, "eval"), names)


def plain(value):
    """A result as NumPy arrays, numbers and lists of them, so that two libraries' can be compared."""
    if hasattr(value, "detach"):
        value = value.detach()
    if type(value).__module__.partition(".")[0] in ("torch", "candle") and hasattr(value, "tolist") and hasattr(value, "dtype"):
        return np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    return value


def same(ours, theirs, row):
    if isinstance(theirs, list):
        assert isinstance(ours, list) and len(ours) == len(theirs), row
        for a, b in zip(ours, theirs):
            same(a, b, row)
    elif isinstance(theirs, np.ndarray):
        assert isinstance(ours, np.ndarray) and ours.dtype == theirs.dtype and ours.shape == theirs.shape, (
            f"{row}: {ours!r} {theirs!r}"
        )
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5, err_msg=row)
    else:
        assert ours == theirs, row


@pytest.mark.parametrize("theirs, ours", ROWS, ids=[row[0].replace("::", ":") for row in ROWS])
def test_both_sides_of_the_cheat_sheet_give_the_same(theirs, ours):
    torch = pytest.importorskip("torch")
    import candle.nn.functional as F

    values = operands()
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    torch_names = {k: torch.from_numpy(v.copy()) for k, v in values.items()}
    candle_names = {k: candle.tensor(v, device="numpy") for k, v in values.items()}
    want = evaluate(theirs, {**torch_names, "torch": torch, "F": torch.nn.functional, "nn": torch.nn, "array": array})
    got = evaluate(ours, {**candle_names, "candle": candle, "F": F, "nn": candle.nn, "array": array})
    same(plain(got), plain(want), f"{theirs} | {ours}")


def test_the_cheat_sheet_has_at_least_120_rows_and_no_row_twice():
    assert len(ROWS) >= 120 and len(set(ROWS)) == len(ROWS)
    assert len(ROWS) == len([line for line in SHEET.splitlines() if line.startswith("| `")])


def test_every_hook_is_a_heading_with_its_exact_signature_and_an_example():
    text = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### `(.+)`$", text, re.M)
    spelled = []
    for hook in plugins.HOOKS:
        signature = str(inspect.signature(getattr(plugins, hook))).replace("'", "")
        spelled.append(f"{hook}{signature}")
        assert f"\ndef {hook}(" in text
    assert sorted(headings) == sorted(spelled)


@pytest.mark.parametrize("path", docs.documents(), ids=lambda p: p.name)
def test_generated_files_are_current(path):
    assert path.read_text(encoding="utf-8") == docs.documents()[path], f"{path} is stale; run `make docs`"


def test_ops_md_lists_every_op_of_the_table():
    text = (ROOT / "docs/ops.md").read_text(encoding="utf-8")
    assert all(f"| `{op.name}(" in text for op in candle.OPS.values() if op.fn.__module__.startswith("candle."))


PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted((ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), f"{page.name} links to {target}"


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.M | re.S)


@pytest.mark.parametrize("at", range(len(blocks("README.md", "python"))))
def test_the_readmes_programs_run(at, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = set(candle.OPS)
    exec(compile(blocks("README.md", "python")[at], f"README.md, program {at + 1}", "exec"), {"__name__": "readme"})
    numpy = resolve("numpy")
    for name in set(candle.OPS) - known:
        del candle.OPS[name]
        numpy.kernels = {k: v for k, v in numpy.kernels.items() if k != name}


SENTENCES = (
    "1. **An op is a declared function",
    "2. **A backend is a name, a table of kernels, and a way in and out",
    "3. **Every operation passes through one function",
    "4. **Everything that is not those three registers through plugin hooks",
)


@pytest.mark.parametrize("page", ["README.md", "docs/design.md"])
def test_the_four_sentences_come_first(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    places = [text.index(s) for s in SENTENCES]
    assert places == sorted(places) and places[0] < 600


PROGRAM = """
import candle
from candle import Tensor

x = candle.tensor([1.0, 2.0])
y: Tensor = x.sum(dim=0, keepdim=True) + candle.arange(3).exp()
z: Tensor = candle.softmax(x @ x, dim=-1)
v, i = x.topk(1)
x.summ()
candle.softmaxx(x)
x.sum(dmi=0)
"""


@pytest.mark.slow
def test_a_type_checker_knows_every_op_and_finds_misspelt_ones(tmp_path):
    api = pytest.importorskip("mypy.api")
    (tmp_path / "program.py").write_text(PROGRAM)
    out, _, _ = api.run(["--config-file", str(ROOT / "pyproject.toml"), "--follow-imports=silent", str(tmp_path / "program.py")])
    found = [int(line.split(":")[1]) for line in out.splitlines() if ": error:" in line]
    assert found == [9, 10, 11], out


def test_models_md_lists_every_model():
    assert (ROOT / "docs/models.md").read_text(encoding="utf-8") == docs.models_markdown()
    listed = {p.stem for p in (ROOT / "candle/models").glob("*.py") if f"`{p.stem}`" in docs.models_markdown()}
    assert {"llama", "qwen3", "gemma3", "mamba2", "t5", "bert", "deberta_v2"} <= listed
