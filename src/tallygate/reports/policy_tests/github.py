"""A run of a policy's tests, as annotations on the lines of a pull request."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tallygate.application.policy_tests import Outcome, PolicyTests
from tallygate.reports.plain import one_line
from tallygate.reports.policy_tests.text import difference_lines
from tallygate.reports.workflow_commands import workflow_command


def run_annotations(run: PolicyTests, placed: Callable[[str], str]) -> str:
    """Write one annotation for each failure and each gap; `placed` names files as GitHub does."""
    sums = f"tests: {run.failed} failed, {len(run.rego)} Rego tests, {len(run.cases)} cases asked"
    return "\n".join([*_commands(run, placed), one_line(sums)])


def _commands(run: PolicyTests, placed: Callable[[str], str]) -> Iterator[str]:
    for problem in run.problems:
        place = {"file": placed(problem.file), "line": problem.line, "col": problem.column}
        yield workflow_command("error", {**place, "title": problem.code}, str(problem.message))
    for test in run.rego:
        if test.outcome in (Outcome.FAILED, Outcome.ERROR):
            place = {"file": placed(test.file), "line": test.line, "title": "Rego test failed"}
            yield workflow_command("error", place, f"{test.package}.{test.name} {test.message}")
    for case in run.cases:
        if not case.passed:
            told = "\n".join([f"{case.name} on {case.engine}", *difference_lines(case)])
            yield workflow_command(
                "error", {"file": placed(case.file), "line": 1, "title": "Case differs"}, told
            )
    for file in run.coverage or ():
        for start, end in file.uncovered:
            place = {"file": placed(file.file), "line": start, "endLine": end}
            command = "warning" if run.is_covered else "error"
            told = "No Rego test evaluates this."
            yield workflow_command(command, {**place, "title": "Not covered"}, told)
    for not_run in run.not_run:
        yield workflow_command("error", {"title": "Not run"}, not_run)
    for left_out in run.left_out:
        yield workflow_command("notice", {"title": "Left out"}, left_out)
