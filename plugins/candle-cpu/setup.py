"""Builds the engine: what is compiled once, and the kernels once per instruction set, side by side."""

from __future__ import annotations

import os
import platform
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Compiled once; every other file of src/ holds kernels and is compiled once per instruction set.
ONCE = {"array.c", "copy.c", "elementwise.c", "isa.c", "kernel.c", "memory.c", "module.c", "movement.c", "plan.c", "pool.c"}

# Their loops are unrolled and in vectors as they are written: more from the compiler only costs time.
UNROLLED = {"gemm.c", "quant.c"}

_X86 = {
    "v2": ["-march=x86-64-v2"],
    "avx2": ["-march=x86-64-v3"],
    "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    "avx512vnni": ["-march=x86-64-v4", "-mavx512vnni", "-mavx512bf16", "-mprefer-vector-width=512"],
}
_ARM = {"neon": [] if sys.platform == "darwin" else ["-march=armv8.2-a+dotprod+fp16"]}
COMMON = [
    "-std=gnu11",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=off",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
]
COMMON += ["-Wno-unused-function", "-Wno-psabi", "-Wno-type-limits", "-Wno-unused-parameter", "-g0"]


def instruction_sets() -> dict[str, list[str]]:
    """Name -> compiler flags, for the machine that is built for."""
    machine = os.environ.get("CANDLE_CPU_TARGET") or platform.machine().lower()
    if machine in ("x86_64", "amd64"):
        return _X86
    return _ARM if machine in ("aarch64", "arm64") else {"generic": []}


def _changed(source: str) -> float:
    """When a source, what it includes, or this file was last changed."""
    seen: set[Path] = set()
    ahead = [Path(source)]
    while ahead:
        path = ahead.pop()
        if path not in seen and path.exists():
            seen.add(path)
            ahead += [path.parent / name for name in re.findall(r'^\s*#\s*include "([^"]+)"', path.read_text(), re.M)]
    return max(os.path.getmtime(p) for p in [*seen, Path("setup.py")])


class Build(build_ext):
    """Compiles the sources in parallel, each with its own flags, and links them to one module."""

    def build_extension(self, ext: Extension) -> None:
        extra = os.environ.get("CANDLE_CPU_CFLAGS", "").split()
        sources = sorted(Path("src").glob("*.c"))
        jobs = [(str(s), "once", []) for s in sources if s.name in ONCE]
        jobs += [
            (str(s), isa, [f"-DISA={isa}", *flags])
            for s in sources
            if s.name not in ONCE
            for isa, flags in instruction_sets().items()
        ]
        jobs.sort(key=lambda job: -Path(job[0]).stat().st_size)  # the longest first

        def compiled(job: tuple[str, str, list[str]]) -> list[str]:
            source, where, flags = job
            folder = os.path.join(self.build_temp, where)
            made = self.compiler.object_filenames([source], output_dir=folder)
            if all(os.path.exists(m) and os.path.getmtime(m) > _changed(source) for m in made):
                return made
            return self.compiler.compile(
                [source],
                output_dir=folder,
                include_dirs=[*ext.include_dirs, *self.include_dirs],
                extra_postargs=["-O2" if Path(source).name in UNROLLED else "-O3", *COMMON, *flags, *extra],
            )

        with ThreadPoolExecutor(int(os.environ.get("CANDLE_CPU_JOBS", os.cpu_count() or 1))) as pool:
            objects = [o for found in pool.map(compiled, jobs) for o in found]
        path = self.get_ext_fullpath(ext.name)
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        self.compiler.link_shared_object(
            objects,
            path,
            libraries=["m"],
            extra_postargs=["-pthread", *([] if sys.platform == "darwin" else ["-Wl,--strip-debug"]), *extra],
            target_lang="c",
        )

    def get_outputs(self) -> list[str]:
        return [self.get_ext_fullpath(ext.name) for ext in self.extensions]


setup(
    ext_modules=[Extension("candle_cpu._engine", sources=[], py_limited_api=True)],
    cmdclass={"build_ext": Build},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
