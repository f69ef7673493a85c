"""ONNX's own suite of backend tests, counted: what passes, and why the rest does not."""

from __future__ import annotations

import collections
import fnmatch
import json
import sys
import unittest
import warnings
from typing import Any

__all__ = ["run_suite"]


def cases(pattern: str = "*") -> Any:
    """The suite's test cases as a unittest suite, those whose name fits."""
    import onnx.backend.test

    from . import backend

    runner = onnx.backend.test.BackendTest(backend.CandleBackend, __name__)
    found = unittest.TestSuite()
    for case in runner.test_cases.values():
        for test in unittest.defaultTestLoader.loadTestsFromTestCase(case):
            assert isinstance(test, unittest.TestCase)
            name = test.id().rpartition(".")[2]
            if not name.endswith("_cuda") and fnmatch.fnmatchcase(name, pattern):
                found.addTest(test)
    return found


def run_suite(pattern: str = "*") -> dict[str, Any]:
    """Run it: counts, and the message of each test that does not pass."""

    class Quiet(unittest.TestResult):
        def addSuccess(self, test: Any) -> None:
            passed.append(test.id().rpartition(".")[2])

    passed: list[str] = []
    result = Quiet()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases(pattern).run(result)
    failed = {t.id().rpartition(".")[2]: e.strip().splitlines()[-1] for t, e in [*result.failures, *result.errors]}
    skipped = {t.id().rpartition(".")[2]: why for t, why in result.skipped}
    return {"passed": len(passed), "failed": failed, "skipped": skipped}


if __name__ == "__main__":
    said = run_suite(*sys.argv[1:2])
    reasons = collections.Counter(v[:150] for v in said["failed"].values())
    print(json.dumps(said["failed"], indent=1))
    for why, n in reasons.most_common(60):
        print(n, why)
    print(said["passed"], "passed", len(said["failed"]), "failed", len(said["skipped"]), "skipped")
