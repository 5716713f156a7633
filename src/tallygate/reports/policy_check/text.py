"""What `policy check` found, for people: one line each, as compilers write them."""

from __future__ import annotations

from tallygate.application.folder_check import FolderCheck
from tallygate.reports.plain import one_line


def check_text(found: FolderCheck, folder: str) -> str:
    """Write the problems, what was not told, and the sum."""
    lines = [f"{problem}  [{problem.severity}: {problem.code}]" for problem in found.problems]
    if found.untold:
        lines.append(f"could not tell: {found.untold}")
    lines.extend(f"not checked: {left_out}" for left_out in found.unchecked)
    compared = f", compared with {found.base}" if found.base else ""
    lines.append(
        f"{folder}: {found.errors} errors, {found.warnings} warnings,"
        f" {found.cases_run} cases run{compared}"
    )
    if found.revision:
        lines.append(f"revision {found.revision}")
    return "\n".join(one_line(line) for line in lines)
