# ruff: noqa: E501 - the table of mistakes reads in rows
"""Mistakes that people make in YAML: each has its place and a way out of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fakes.policy_folders import DOCUMENTS, small_policies
from tallygate.adapters.files.policies import read_documents
from tallygate.adapters.files.strict_yaml import read_yaml
from tallygate.errors import PoliciesInvalid, Problem

MISTAKES = [
    # document, what stands there, what is put in its place, line and column of it, part of the message
    ("registry", "    owner_team: team-support", "\towner_team: team-support", "\towner_team", "YAML is indented with spaces only"),
    ("registry", "name: Support", "name: Support: chat", ": chat", "Quote a value that has a colon"),
    ("registry", "name: Support", "name: @support", "@support", "Quote a value that begins with @"),
    ("registry", "name: Support", "name: #support", "name: #", "one that begins with # is a comment"),
    ("registry", "environments: {prod: {}, ", "environments: {prod: , ", "prod: ,", "Write {} for an empty one"),
    ("registry", "{prod: {}, staging: {}}", "{prod: {}, prod: {}}", "prod: {}}", "stands twice, first in line"),
    ("registry", "support-assistant:\n", "Support_Assistant:\n", "Support_Assistant:\n", "Did you mean support-assistant?"),
    ("registry", "prod: enforce", "prod: ENFORCE", "prod: ENFORCE", "Did you mean enforce?"),
    ("registry", "report_only, prod", "report-only, prod", "default: report-only", "Did you mean report_only?"),
    ("registry", "services: [support-assistant]", "services: support-assistant", "services: support-assistant", "Write it as a list: [support-assistant]."),
    ("registry", 'from: "2026-01-01T00:00:00Z"', 'from: "2026-01-01"', 'from: "2026-01-01"', "Expected quoted UTC text to the second"),
    ("registry", 'from: "2026-01-01T00:00:00Z"', "from: 2026-01-01", "2026-01-01,", 'Quote it: "2026-01-01". An instant is written to the second'),
    ("registry", "on_violation: reject", "schedule: [{from: x, mode: enforce, percent: 0.25}]", "0.25", "a share of a quarter is 25"),
    ("registry", "on_violation: reject", 'schedule: [{from: x, mode: enforce, percent: "25"}]', 'percent: "25"', "expected a whole number. Write it without quotes and signs: 25."),
    ("registry", "on_violation: reject", "schedule: [{from: x, mode: enforce, percent: 250}]", "percent: 250", "250 is more than 100"),
    ("registry", "on_violation: reject", "<<: {on_violation: reject}", "<<", "Write out what it would merge in"),
    ("contract", '"^[a-z0-9-]{1,64}$"', '"^\\d+$"', '"^\\d', "use single quotes"),
    ("contract", "max_days: 90", "max_days: 0", "max_days: 0", "0 is less than 1"),
    ("overrides", "reason: The old client cannot send it yet.", "reason: tbd", "reason: tbd", "tbd is shorter than 10 characters"),
    ("overrides", "codes: [ownership_missing]", "codes: []", "codes: []", "a list has fewer than 1 entries"),
    ("overrides", "  ovr-2026-0007:\n", "", "    codes:", "codes does not match ^ovr-"),
    ("roles", "holders:\n", "---\nholders:\n", "---", "A file holds one document"),
    ("roles", "rates: [finops-lead]", "rates: [finops-lead, finops-lead]", "rates:", "a list has an entry twice"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "old", "new", "at", "said"), MISTAKES, ids=[case[4][:40] for case in MISTAKES]
)
def test_each_mistake_is_told_where_it_stands_and_how_to_mend_it(
    tmp_path: Path, document: str, old: str, new: str, at: str, said: str
) -> None:
    assert old in DOCUMENTS[document]
    text = DOCUMENTS[document].replace(old, new, 1)
    folder = small_policies(tmp_path / "policies", **{document: text})

    _, problems = read_documents(folder)

    found = [problem for problem in problems if said in str(problem)]
    assert found, "\n".join(str(problem) for problem in problems)
    before = text[: text.index(at)]
    assert found[0].line == before.count("\n") + 1
    assert found[0].column


def test_an_override_without_its_id_is_told_of_once_a_line(tmp_path: Path) -> None:
    text = DOCUMENTS["overrides"].replace("  ovr-2026-0007:\n", "")
    folder = small_policies(tmp_path / "policies", overrides=text)

    _, problems = read_documents(folder)

    assert len({problem.line for problem in problems}) == len(problems) == 9


def test_where_the_fault_lies_above_the_message_leads_there(tmp_path: Path) -> None:
    text = DOCUMENTS["registry"].replace("name: Support", 'name: "Support', 1)
    folder = small_policies(tmp_path / "policies", registry=text)

    _, (problem,) = read_documents(folder)

    assert "begins in line" in problem.message
    assert "look for indentation, an open quote or a bracket" in problem.remedy


def problem_of(path: Path) -> Problem:
    with pytest.raises(PoliciesInvalid) as caught:
        read_yaml(path)
    (problem,) = caught.value.problems
    return problem


def test_bytes_that_are_no_text_are_told_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_bytes(b"a: 1\nb: caf\xe9\n")

    problem = problem_of(path)

    assert (problem.line, problem.column) == (2, 7)
    assert problem.remedy == "Save the file as UTF-8."


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "data.yaml")

    assert "it is not a file" in problem_of(tmp_path / "data.yaml").message


def test_a_link_that_leads_nowhere_is_not_an_absent_file(tmp_path: Path) -> None:
    folder = small_policies(tmp_path / "policies", roles=None)
    (folder / "roles").mkdir()
    (folder / "roles" / "data.yaml").symlink_to("nowhere.yaml")

    _, (problem,) = read_documents(folder)

    assert problem.file == str(folder / "roles" / "data.yaml")
    assert "cannot be read" in problem.message
