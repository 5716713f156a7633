"""What `policy check` found, as annotations on the lines of a pull request."""

from __future__ import annotations

from tallygate.application.folder_check import FolderCheck
from tallygate.application.problem_codes import explained
from tallygate.reports.plain import one_line
from tallygate.reports.workflow_commands import workflow_command


def check_annotations(found: FolderCheck, folder: str) -> str:
    """Write one annotation for each problem, and a last line that is none."""
    lines = [
        workflow_command(
            "error" if problem.severity == "error" else "warning",
            {
                "file": problem.file,
                "line": problem.line,
                "col": problem.column,
                "title": f"{explained(problem.code).title} ({problem.code})",
            },
            _sentences(problem.where, problem.message, problem.remedy),
        )
        for problem in found.problems
    ]
    if found.untold:
        lines.append(workflow_command("error", {"title": "Could not tell"}, found.untold))
    lines.extend(
        workflow_command("notice", {"title": "Not checked"}, left_out)
        for left_out in found.unchecked
    )
    summary = f"checked {folder}: {found.errors} errors, {found.warnings} warnings"
    return "\n".join([*lines, one_line(summary)])


def _sentences(where: str, message: str, remedy: str) -> str:
    return f"{where}: {message} {remedy}".removeprefix(": ").rstrip()
