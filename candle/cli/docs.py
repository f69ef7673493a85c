"""Write what is derived: docs/ops.md, docs/models.md and the type stubs.  ``python -m candle.cli.docs [--check]``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..op import OPS, Op

ROOT = Path(__file__).parent.parent.parent


def kind(op: Op) -> str:
    """Whether an op is required of every backend, another primitive, or a composite."""
    return "composite" if op.composite else "required" if op.required else "primitive"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _gradient(op: Op) -> str:
    from ..op import ZERO

    if op.vjp is not None:
        given = op.vjp if isinstance(op.vjp, tuple) else (op.vjp,)
        return "zero" if all(v is ZERO or v is None for v in given) and any(v is ZERO for v in given) else "own"
    return "by expansion" if op.composite else "-"


def _on(backend: Any, op: Op) -> str:
    if op.name in backend.kernels:
        return "kernel"
    return "expands" if op.composite or op.expand is not None else "-"


def ops_markdown(devices: list[str]) -> str:
    """The table of all ops, with a column for each device."""
    from ..device import resolve
    from ..plugins import load_ops

    load_ops()
    backends = [resolve(d) for d in devices]
    own = [op for op in OPS.values() if op.fn.__module__.startswith("candle.")]
    count = {k: sum(1 for op in own if kind(op) == k) for k in ("required", "primitive", "composite")}
    lines = [
        "# The operations", "",
        "Made by `make docs` from the op table; do not edit. An op is *required* of every backend, another *primitive*",
        "(a backend may lack a kernel: then it expands, where it can), or a *composite* of other ops (a backend may have a fused",
        "kernel for it).", "",
        f"{len(own)} ops: {count['required']} required, {count['primitive']} other primitives, {count['composite']} composites. "
        f"Columns: {', '.join(f'`{d}`' for d in devices)}.", "",
    ]  # fmt: skip
    for group in sorted({op.group for op in own}):
        head = ["op", "signature", "kind", "gradient", *devices, ""]
        lines += [f"## {group}", "", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
        for op in sorted((op for op in own if op.group == group), key=lambda op: op.name):
            cells = [f"`{op.torchlike}`", f"`{op.signature}`", kind(op), _gradient(op), *(_on(b, op) for b in backends)]
            lines.append("| " + " | ".join(map(_cell, [*cells, op.doc.partition("\n")[0]])) + " |")
        lines.append("")
    return "\n".join(lines)


def models_markdown() -> str:
    """The table of the models that come with candle, from their files."""
    import re

    from .. import hooks
    from ..models.bidirectional import Encoder
    from ..models.gguf import KINDS
    from ..models.loading import ALIASES, architecture

    kinds: dict[str, list[str]] = {}
    for theirs, own in KINDS.items():
        kinds.setdefault(own, []).append(f"`{theirs}`")
    lines = [
        "# The models", "",
        "Made by `make docs` from `candle/models/`; do not edit. `candle.models.load` reads a folder in Hugging Face's layout,",
        "a hub name, or a GGUF file of the architectures in the third column. Each model is one file, named after the",
        "`model_type` of its config.json; what each computes is compared with its public implementation in",
        "`tests/test_models_parity.py`, `tests/test_models_peers.py` and `tests/test_models_gguf.py`.", "",
        "| model_type | what it is | GGUF | heads |", "| --- | --- | --- | --- |",
    ]  # fmt: skip
    for name in sorted(hooks.candle_models()):
        cls = architecture(name)
        doc = (sys.modules[cls.__module__].__doc__ or "").strip().partition("\n")[0]
        what, _, link = doc.partition("  http")
        others = [f"`{k}`" for k, v in ALIASES.items() if v == name]
        heads = [h.removeprefix("For") for h in cls.heads] if issubclass(cls, Encoder) else []
        heads = ["bare", *heads] if heads else ["generation" if cls.is_encoder_decoder else "CausalLM, bare"]
        cells = [
            ", ".join([f"`{name}`", *others]),
            f"{what} [source](http{link})" if link else what,
            ", ".join(kinds.get(name, [])),
        ]
        lines.append("| " + " | ".join([*(re.sub(r"\s+", " ", c) for c in cells), ", ".join(heads)]) + " |")
    return "\n".join([*lines, ""])


def devices() -> list[str]:
    """The devices of this repository: the core's, and those of the packages under plugins/ that offer one."""
    from ..plugins import offered

    here = sorted(p.parent.name.removeprefix("candle-") for p in (ROOT / "plugins").glob("candle-*/pyproject.toml"))
    return ["numpy", *(name for name in here if name in offered("candle_backends"))]


def documents() -> dict[Path, str]:
    """Every generated file and what should be in it."""
    from . import stubs

    return {
        ROOT / "docs/ops.md": ops_markdown(devices()),
        ROOT / "docs/models.md": models_markdown(),
        ROOT / "candle/__init__.pyi": stubs.namespace(),
        ROOT / "candle/_methods.pyi": stubs.methods(),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m candle.cli.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is not as it should be")
    args = parser.parse_args(argv)
    stale = [p for p, text in documents().items() if not p.exists() or p.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{'stale' if args.check else 'wrote'} {path.relative_to(ROOT)}")
        if not args.check:
            path.write_text(documents()[path], encoding="utf-8")
    return 1 if stale and args.check else 0


if __name__ == "__main__":
    sys.exit(main())
