"""``python -m candle_cpu``: the instruction set, the threads, the memory, and how each op is run."""

from __future__ import annotations

import candle

from . import _engine
from .backend import coverage


def main() -> None:
    backend = candle.zeros(1, device="cpu").backend
    sets = [name if has else f"{name} (not on this machine)" for name, has in _engine.instruction_sets().items()]
    print(f"instruction set  {_engine.current()}")
    print(f"compiled in      {', '.join(sets)}")
    print(f"threads          {backend.threads}")
    print(f"memory           {backend.memory()}")
    found = coverage()
    for kind, what in (("C", "kernels in C"), ("reference", "NumPy's reference over the same memory"), ("expands", "other ops")):
        names = [name for name, k in found.items() if k == kind]
        print(f"\n{len(names)} ops by {what}:\n  " + " ".join(names))


if __name__ == "__main__":
    main()
