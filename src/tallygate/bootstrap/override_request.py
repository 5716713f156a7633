"""
Writing an override into its file for a pull request: checked before a byte of it is written.

Errors  PoliciesInvalid with what the file would break, or where it cannot be edited.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tallygate.adapters.files.policies import PolicySet, problems_of_document, read_policies
from tallygate.adapters.files.strict_yaml import Document, parse_yaml
from tallygate.adapters.files.yaml_edits import (
    Put,
    diff_of,
    edited,
    read_text,
    replace_file,
    shown_as,
)
from tallygate.application.override_request import OverrideRequest, entry_of, next_id
from tallygate.application.policy_check import check_policies
from tallygate.application.policy_review import mapping_of
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.errors import PoliciesInvalid, Problem


@dataclass(frozen=True, slots=True)
class DraftedOverride:
    """The file as it will be, and what changes in it."""

    override_id: str
    path: Path
    text: str
    diff: str

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self.path, self.text)


def draft_override(folder: Path, request: OverrideRequest, now_ns: int) -> DraftedOverride:
    """Draft the change; raises PoliciesInvalid where the checks would not pass with it."""
    policies = read_policies(folder)
    path = folder / "overrides" / "data.yaml"
    before = read_text(path) if path.exists() else ""
    overrides = mapping_of(policies.data["overrides"])
    override_id = request.override_id or next_id(overrides, now_ns)
    taken = next((name for name, held in overrides.items() if override_id in held), None)
    if taken is not None:
        raise PoliciesInvalid([_taken(policies, (taken, override_id))])
    entry = Put((request.service, override_id), entry_of(request, now_ns))
    after = edited(before, [entry], str(path))
    _require_sound(policies, parse_yaml(after, str(path)), text_from_ns(now_ns))
    return DraftedOverride(override_id, path, after, diff_of(before, after, shown_as(path)))


def _require_sound(policies: PolicySet, changed: Document, now: str) -> None:
    """Refuse what the new entry breaks; what was wrong before is not its fault."""
    if faults := problems_of_document(policies.folder, "overrides", changed):
        raise PoliciesInvalid(faults)
    before = {_identity(problem) for problem in check_policies(policies.documents, now)}
    after = check_policies({**policies.documents, "overrides": changed}, now)
    new = [
        problem
        for problem in after
        if problem.severity == "error" and _identity(problem) not in before
    ]
    if new:
        raise PoliciesInvalid(new)


def _identity(problem: Problem) -> tuple[str, str, str, str]:
    """Tell a problem from others, wherever its line has moved to."""
    return (problem.file, problem.code, problem.where, problem.message)


def _taken(policies: PolicySet, path: tuple[str, str]) -> Problem:
    return policies.documents["overrides"].problem(
        path, "id_taken", "there is an override of this id already.", "Leave --id out."
    )
