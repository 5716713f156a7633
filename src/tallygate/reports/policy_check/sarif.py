"""
What `policy check` found, as SARIF 2.1.0, for code scanning and editors.

Shapes  One run. Files are relative to the top of the repository, percent-encoded.
Exact   A fingerprint is made of code, file and place inside the document, not of the line, so
        that a finding stays the same one when lines above it move.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote

from tallygate.application.folder_check import FolderCheck
from tallygate.application.problem_codes import explained
from tallygate.domain.kernel.digests import digest_of_value
from tallygate.errors import Problem

_SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_ROOT: Final = "SRCROOT"


def check_sarif(found: FolderCheck, version: str) -> dict[str, Any]:
    """Build the log; `version` is tallygate's own."""
    codes = sorted({problem.code for problem in found.problems})
    notes = [_notification("error", found.untold)] if found.untold else []
    notes.extend(_notification("note", left_out) for left_out in found.unchecked)
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "tallygate policy check",
                        "version": version,
                        "rules": [_rule(code, found.problems) for code in codes],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {
                    _ROOT: {"description": {"text": "The top of the repository."}}
                },
                "invocations": [
                    {
                        "executionSuccessful": not found.untold,
                        "toolExecutionNotifications": notes,
                    }
                ],
                "artifacts": [{"location": _artifact(file)} for file in found.files],
                "results": [
                    _result(problem, codes, fingerprint)
                    for problem, fingerprint in zip(
                        found.problems, _fingerprints(found.problems), strict=True
                    )
                ],
            }
        ],
    }


def _rule(code: str, problems: Iterable[Problem]) -> dict[str, Any]:
    known = explained(code)
    severities = {problem.severity for problem in problems if problem.code == code}
    return {
        "id": code,
        "name": "".join(word.capitalize() for word in code.split("_")),
        "shortDescription": {"text": f"{known.title}."},
        "fullDescription": {"text": known.help},
        "help": {"text": known.help, "markdown": f"**{known.title}.** {known.help}"},
        "defaultConfiguration": {"level": "error" if "error" in severities else "warning"},
        "properties": {"tags": ["policy"]},
    }


def _fingerprints(problems: Iterable[Problem]) -> Iterator[str]:
    seen: Counter[str] = Counter()
    for problem in problems:
        place = [problem.code, problem.file, problem.where or problem.message]
        digest = digest_of_value(place).removeprefix("sha256:")
        seen[digest] += 1
        yield f"{digest}:{seen[digest]}"


def _result(problem: Problem, codes: list[str], fingerprint: str) -> dict[str, Any]:
    location: dict[str, Any] = {}
    if problem.file:
        physical: dict[str, Any] = {"artifactLocation": _artifact(problem.file)}
        if problem.line:
            physical["region"] = {"startLine": problem.line}
            if problem.column:
                physical["region"]["startColumn"] = problem.column
        location["physicalLocation"] = physical
    if problem.where:
        location["logicalLocations"] = [{"fullyQualifiedName": problem.where}]
    return {
        "ruleId": problem.code,
        "ruleIndex": codes.index(problem.code),
        "level": "error" if problem.severity == "error" else "warning",
        "message": {"text": f"{problem.message} {problem.remedy}".rstrip()},
        "locations": [location] if location else [],
        "partialFingerprints": {"place/v1": fingerprint},
    }


def _artifact(file: str) -> dict[str, str]:
    encoded = quote(file, safe="/~-._")
    # An absolute path has no place under the root; it is what is left outside the repository.
    return (
        {"uri": f"file://{encoded}"}
        if file.startswith("/")
        else {"uri": encoded, "uriBaseId": _ROOT}
    )


def _notification(level: str, text: str) -> dict[str, Any]:
    return {"level": level, "message": {"text": text}}
