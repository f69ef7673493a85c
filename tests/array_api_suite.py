"""Run the official suite of the Python array API standard, from a checkout of it, and count what passes.

    python tests/array_api_suite.py SUITE [--module candle.array_api] [--version 2025.12] [--max-examples 100]

SUITE is a checkout of data-apis/array-api-tests with its submodule array-api.  The suite runs as it is, but for what
Hypothesis does once an example has failed: it is not made smaller, which takes most of the time of a run with failures
and changes no result.  --unskip also runs the tests that the suite itself marks as flaky and leaves out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve()
VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12", "2025.12")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: Any) -> None:
    """This file is also the plugin that keeps Hypothesis from shrinking; it is loaded after the suite's own."""
    from hypothesis import Phase, settings

    config.pluginmanager.register(_Late())
    phases = (Phase.explicit, Phase.reuse, Phase.generate)
    settings.register_profile("quick", settings.get_profile("array-api-tests"), phases=phases, database=None)
    settings.load_profile("quick")


class _Late:
    """The suite's marks of flaky tests taken away, where that is asked for."""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if os.environ.get("ARRAY_API_UNSKIP"):
            for item in items:
                item.own_markers = [m for m in item.own_markers if m.kwargs.get("reason") != "flaky"]


def environment(module: str, version: str, unskip: bool) -> dict[str, str]:
    """The suite's settings; candle's older versions are namespaces of their own."""
    if module == "candle.array_api" and version != VERSIONS[-1]:
        module = f"exec('from candle.array_api.earlier import namespace; xp = namespace(\"{version}\")')"
    env = {**os.environ, "ARRAY_API_TESTS_MODULE": module, "ARRAY_API_TESTS_VERSION": version}
    env["PYTHONPATH"] = os.pathsep.join([str(HERE.parents[1]), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    if unskip:
        env["ARRAY_API_UNSKIP"] = "1"
    for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # arrays are small, and workers share the cores
        env.setdefault(threads, "1")
    return env


def run(args: argparse.Namespace, extra: list[str]) -> dict[str, Any]:
    """The outcome of each test, by its id."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [
            sys.executable, "-m", "pytest", "array_api_tests", "-q", "-n", str(args.workers), "-p", "array_api_suite",
            "-p", "no:cacheprovider", "--max-examples", str(args.max_examples), "--disable-deadline", "--tb=short",
            "--json-report", f"--json-report-file={report}", "--json-report-omit=keywords,streams,log,warnings,collectors",
            *(["--derandomize"] if args.derandomize else []), *extra,
        ]  # fmt: skip
        done = subprocess.run(command, cwd=args.suite, env=environment(args.module, args.version, args.unskip))
        if not report.is_file():
            raise SystemExit(f"the suite did not run (pytest ended with {done.returncode})")
        tests = json.loads(report.read_text(encoding="utf-8"))["tests"]
    return {t["nodeid"]: t["outcome"] for t in tests}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("suite", type=Path, help="a checkout of data-apis/array-api-tests, with its submodule")
    parser.add_argument("--module", default="candle.array_api", help="candle.array_api, numpy, array_api_compat.torch")
    parser.add_argument("--version", default=VERSIONS[-1], choices=VERSIONS, help="of the standard")
    parser.add_argument("--max-examples", type=int, default=100, help="examples a test (the suite's default is 100)")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--derandomize", action="store_true", help="the same examples in each run")
    parser.add_argument("--unskip", action="store_true", help="run what the suite leaves out as flaky, too")
    parser.add_argument("--json", type=Path, help="write the outcomes to this file")
    args, extra = parser.parse_known_args()
    if not (args.suite / "array_api_tests").is_dir() or not (args.suite / "array-api/spec").is_dir():
        parser.error(f"{args.suite} is no checkout of data-apis/array-api-tests with its submodule array-api")
    outcomes = run(args, extra)
    counts = {o: sum(v == o for v in outcomes.values()) for o in ("passed", "failed", "error", "skipped")}
    failed = sorted(k for k, v in outcomes.items() if v in ("failed", "error"))
    for name in failed:
        print(f"fails: {name}")
    share = 100 * counts["passed"] / max(len(outcomes), 1)
    print(f"{args.module} {args.version}: {counts['passed']} of {len(outcomes)} pass ({share:.1f} percent); {counts}")
    if args.json:
        found = {"module": args.module, "version": args.version, "counts": counts, "failed": failed}
        args.json.write_text(json.dumps(found, indent=1))
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
