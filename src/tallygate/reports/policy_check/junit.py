"""
What `policy check` found, as JUnit's XML.

Shapes  One suite a file that was looked at; each error is a failed case, each warning a passed one
        that says something, and a file without either one passed case.
"""

from __future__ import annotations

from tallygate.application.folder_check import FolderCheck
from tallygate.errors import Problem
from tallygate.reports.junit_xml import JunitCase, Suite, junit_xml


def check_junit(found: FolderCheck) -> str:
    """Write the report."""
    suites = {file: Suite(file) for file in found.files}
    for problem in found.problems:
        suite = suites.setdefault(problem.file, Suite(problem.file or "policies"))
        suite.cases.append(_case(problem))
    for file, suite in suites.items():
        if not suite.cases:
            suite.cases.append(JunitCase("nothing is wrong", "policy check", file))
    apart = Suite("policy check")
    if found.untold:
        told = ("could_not_tell", found.untold)
        apart.cases.append(JunitCase("could not tell", "policy check", error=told))
    apart.cases.extend(
        JunitCase("not checked", "policy check", skipped=left_out) for left_out in found.unchecked
    )
    return junit_xml(
        "tallygate policy check", [*suites.values(), *([apart] if apart.cases else [])]
    )


def _case(problem: Problem) -> JunitCase:
    place = ":".join(str(part) for part in (problem.line, problem.column) if part)
    is_error = problem.severity == "error"
    return JunitCase(
        name=f"{problem.code} {place}".rstrip(),
        classname=f"policy check.{problem.code}",
        file=problem.file,
        line=problem.line,
        failure=(problem.code, str(problem)) if is_error else None,
        note="" if is_error else f"warning: {problem}",
    )
