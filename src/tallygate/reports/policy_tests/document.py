"""A run of a policy's tests, as JSON for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tallygate.application.policy_tests import PolicyTests


def run_document(run: PolicyTests) -> dict[str, Any]:
    """Give every test and case, passed ones too."""
    percent = run.covered_percent
    return {
        "ok": not run.is_finding and not run.not_run,
        "failed": run.failed,
        "engines": run.engines,
        "rego": [asdict(test) for test in run.rego],
        "cases": [{**asdict(case), "passed": case.passed} for case in run.cases],
        "coverage": None
        if run.coverage is None
        else {
            "percent": str(percent),
            "threshold": run.threshold,
            "files": [asdict(file) for file in run.coverage],
        },
        "problems": [asdict(problem) for problem in run.problems],
        "not_run": run.not_run,
        "left_out": run.left_out,
    }
