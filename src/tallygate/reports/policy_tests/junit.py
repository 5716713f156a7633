"""
A run of a policy's tests, as JUnit's XML.

Shapes  A suite for each Rego package, one for the cases on each engine, one for coverage.
"""

from __future__ import annotations

from collections.abc import Callable

from tallygate.application.policy_tests import CaseRun, Outcome, PolicyTests, RegoTest
from tallygate.reports.junit_xml import JunitCase, Suite, junit_xml
from tallygate.reports.policy_tests.text import difference_lines, lines_of


def run_junit(run: PolicyTests, placed: Callable[[str], str]) -> str:
    """Write the report; `placed` names files relative to the repository."""
    suites: dict[str, Suite] = {}
    for test in run.rego:
        suite = suites.setdefault(test.package, Suite(test.package))
        suite.cases.append(_rego(test, placed))
    for case in run.cases:
        name = f"cases on {case.engine}"
        suites.setdefault(name, Suite(name)).cases.append(_case(case, placed))
    if run.coverage is not None:
        suites["coverage"] = Suite("coverage", [_coverage(run)])
    apart = [
        JunitCase(
            problem.code, "policies", problem.file, problem.line, error=(problem.code, str(problem))
        )
        for problem in run.problems
    ]
    apart += [JunitCase("not run", "policies", error=("not_run", said)) for said in run.not_run]
    apart += [JunitCase("left out", "policies", skipped=said) for said in run.left_out]
    if apart:
        suites["policies"] = Suite("policies", apart)
    return junit_xml("tallygate policy test", list(suites.values()))


def _rego(test: RegoTest, placed: Callable[[str], str]) -> JunitCase:
    told = test.message or f"{test.name} is not true"
    return JunitCase(
        name=test.name,
        classname=test.package,
        file=placed(test.file),
        line=test.line,
        duration_us=test.duration_us,
        failure=("failed", told) if test.outcome is Outcome.FAILED else None,
        error=("error", told) if test.outcome is Outcome.ERROR else None,
        skipped="todo" if test.outcome is Outcome.SKIPPED else "",
    )


def _case(case: CaseRun, placed: Callable[[str], str]) -> JunitCase:
    told = "\n".join(["the decision differs", *difference_lines(case)])
    return JunitCase(
        name=case.name,
        classname=f"cases.{case.engine}",
        file=placed(case.file),
        failure=None if case.passed or case.error else ("case_differs", told),
        error=("no_decision", case.error) if case.error else None,
    )


def _coverage(run: PolicyTests) -> JunitCase:
    lines = [f"{run.covered_percent} % of lines, at least {run.threshold} wanted"]
    lines += [f"{file.file}: {lines_of(file)}" for file in run.coverage or () if file.uncovered]
    told = "\n".join(lines)
    return JunitCase(
        name="coverage of the rules",
        classname="coverage",
        failure=None if run.is_covered else ("coverage", told),
        note=told if run.is_covered else "",
    )
