"""What `policy check` found, as JSON for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from tallygate.application.folder_check import FolderCheck


def check_document(found: FolderCheck) -> dict[str, Any]:
    """Give everything that the other formats show, and the revision."""
    return {
        "ok": not found.errors and not found.untold,
        "errors": found.errors,
        "warnings": found.warnings,
        "revision": found.revision,
        "base": found.base,
        "cases_run": found.cases_run,
        "could_not_tell": found.untold,
        "not_checked": found.unchecked,
        "files": found.files,
        "problems": [asdict(problem) for problem in found.problems],
    }
