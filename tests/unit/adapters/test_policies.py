# ruff: noqa: E501 - the table of faults reads in rows
from __future__ import annotations

import json
from pathlib import Path

import pytest

from fakes.policy_folders import CONTRACT, OVERRIDES, REGISTRY, REGO_PATH, ROLES, small_policies
from tallygate.adapters.files.policies import read_cases, read_policies, revision_of
from tallygate.adapters.files.starter import starter_policies
from tallygate.errors import PoliciesInvalid, Problem


def problems_of(folder: Path) -> tuple[Problem, ...]:
    with pytest.raises(PoliciesInvalid) as caught:
        read_policies(folder)
    return caught.value.problems


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_a_good_folder_becomes_one_data_document(tmp_path: Path) -> None:
    policies = read_policies(small_policies(tmp_path))

    assert sorted(policies.data) == ["break_glass", "contract", "overrides", "registry", "roles"]
    assert policies.data["contract"]["modes"] == {"default": "report_only"}
    assert list(policies.rego) == [REGO_PATH]
    assert policies.wasm is None


def test_overrides_roles_and_break_glass_may_be_absent_or_empty(tmp_path: Path) -> None:
    policies = read_policies(small_policies(tmp_path, overrides=None, roles=None, break_glass=None))
    empty = read_policies(small_policies(tmp_path / "empty", overrides="# none yet\n", roles=None))

    assert policies.data["overrides"] == policies.data["roles"] == {}
    assert policies.data["break_glass"] == {}
    assert empty.data["overrides"] == {}


def test_the_shipped_policies_can_be_read() -> None:
    assert read_policies(starter_policies()).revision.startswith("sha256:")


def test_a_folder_that_is_not_there_says_how_to_get_one(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path / "policies")

    assert "tallygate init" in str(problem)
    assert problem.file == str(tmp_path / "policies")


@pytest.mark.parametrize("name", ["contract", "registry"])
def test_a_missing_contract_or_registry_is_named(tmp_path: Path, name: str) -> None:
    (problem,) = problems_of(small_policies(tmp_path, **{name: None}))

    assert problem.file == str(tmp_path / name / "data.yaml")
    assert f"the {name} is missing" in problem.message


BROKEN = [
    pytest.param(
        "contract", CONTRACT, "one_of: []", "one_of: [", "unbound:", "", id="syntax error"
    ),
    pytest.param(
        "registry", REGISTRY, "  team-platform:", "  team-support:", "  team-support:\n    name: Platform",
         "stands twice", id="duplicate key",
    ),
    pytest.param(
        "contract", CONTRACT, "modes: {default: report_only}", "modes: {default: enfroce}", "modes:",
         "Did you mean enforce?", id="unknown mode",
    ),
    pytest.param(
        "registry", REGISTRY, "prod: enforce", "prod: on", "prod: on",  'Quote it: "on"',
        id="ambiguous scalar",
    ),
    pytest.param(
        "overrides", OVERRIDES, '    expires_at: "2026-12-31T00:00:00Z"\n', "", "  ovr-2026-0007:",
         "expires_at is missing", id="override without expiry",
    ),
    pytest.param(
        "overrides", OVERRIDES, '"2026-12-31T00:00:00Z"', "2026-12-31", "    expires_at:",
         'Quote it: "2026-12-31"', id="bare date",
    ),
    pytest.param(
        "overrides", OVERRIDES, '"2026-12-31T00:00:00Z"', "tomorrow", "    expires_at:",
         "tomorrow is not an instant", id="no instant",
    ),
    pytest.param(
        "overrides", OVERRIDES, "    ticket: SUP-7", "    tickte: SUP-7", "    tickte:",
         "Did you mean ticket?", id="misspelt key",
    ),
    pytest.param(
        "contract", CONTRACT, "max_days: 90", "max_days: ninety", "overrides:",
        "ninety stands here", id="text for a number",
    ),
    pytest.param(
        "contract", CONTRACT, "fields:\n  owner_team: {kind: vocabulary}", "fields:\n  owner_team: vocabulary",
        "  owner_team:",  "expected a mapping", id="text for a mapping",
    ),
    pytest.param(
        "contract", CONTRACT, "^[a-z0-9-]{1,64}$", "^(?=[a-z])x$", "  workflow_id:",
        "RE2 does not have", id="pattern that engines lack",
    ),
    pytest.param(
        "registry", REGISTRY, "  team-support:\n", "  Team Support:\n", "  Team Support:",
        "Team Support does not match", id="an id that is a label",
    ),
    pytest.param(
        "roles", ROLES, "approvers:", "approver:", "approver:",  "approvers", id="no approvers"
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "old", "new", "at", "part"), BROKEN)
def test_what_cannot_be_taken_is_named_with_file_and_line(
    tmp_path: Path, name: str, text: str, old: str, new: str, at: str, part: str
) -> None:
    assert old in text
    broken = text.replace(old, new, 1)

    found = problems_of(small_policies(tmp_path, **{name: broken}))

    problem = next(p for p in found if part in str(p))
    assert problem.file == str(tmp_path / name / "data.yaml")
    assert problem.line == line_of(broken, at)
    assert str(problem).startswith(f"{problem.file}:{problem.line}:")


def test_all_files_are_read_before_anything_is_said(tmp_path: Path) -> None:
    folder = small_policies(
        tmp_path, contract="modes: [\n", registry="teams: {a: 1, a: 2}\n", roles="x: 010\n"
    )
    (folder / "tallygate" / "bad.rego").write_bytes(b"\xff")

    files = {Path(problem.file).parent.name for problem in problems_of(folder)}

    assert files == {"contract", "registry", "roles", "tallygate"}


def test_data_that_only_an_opa_server_would_read_is_refused(tmp_path: Path) -> None:
    folder = small_policies(tmp_path)
    (folder / "registry" / "data.json").write_text("{}")
    (folder / "extra").mkdir()
    (folder / "extra" / "data.yaml").write_text("a: 1")

    found = problems_of(folder)

    assert [p.code for p in found] == ["stray_data", "stray_data"]
    assert found[0].file == str(folder / "extra" / "data.yaml")


def test_a_folder_without_rego_decides_nothing(tmp_path: Path) -> None:
    folder = small_policies(tmp_path)
    (folder / REGO_PATH).unlink()

    (problem,) = problems_of(folder)

    assert "no .rego file" in problem.message


def test_tests_are_no_part_of_the_policy(tmp_path: Path) -> None:
    folder = small_policies(tmp_path)
    before = read_policies(folder).revision
    (folder / "tallygate/admission/admission_test.rego").write_text("package x_test\n")

    assert read_policies(folder).revision == before


def test_the_revision_changes_with_rego_and_with_data_and_not_with_layout(tmp_path: Path) -> None:
    folder = small_policies(tmp_path)
    first = read_policies(folder)
    (folder / "roles" / "data.yaml").write_text(f"# a remark\n{ROLES}")

    assert read_policies(folder).revision == first.revision
    assert revision_of({REGO_PATH: "package x"}, first.data) != first.revision
    assert revision_of(first.rego, {**first.data, "roles": {}}) != first.revision


def test_a_folder_may_bring_schemas_of_its_own(tmp_path: Path) -> None:
    folder = small_policies(tmp_path)
    (folder / "schemas").mkdir()
    (folder / "schemas" / "roles.json").write_text('{"type": "array"}')

    (problem,) = problems_of(folder)

    assert problem.message == "a mapping stands here; expected a list."


@pytest.mark.parametrize("text", ["{", '{"type": 7}'])
def test_a_schema_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    folder = small_policies(tmp_path)
    (folder / "schemas").mkdir()
    (folder / "schemas" / "roles.json").write_text(text)

    (problem,) = problems_of(folder)

    assert problem.code == "schema_invalid"
    assert problem.file == str(folder / "schemas" / "roles.json")


def test_cases_are_read_by_name(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / "cases" / name).mkdir(parents=True)
        (tmp_path / "cases" / name / "input.json").write_text(json.dumps({"bucket": 1}))
        (tmp_path / "cases" / name / "decision.json").write_text(json.dumps({"action": name}))

    assert [(c.name, c.decision["action"]) for c in read_cases(tmp_path)] == [
        ("a", "a"),
        ("b", "b"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [("{\n,", "is not JSON"), ("[]", "is not a JSON object"), (None, "cannot be read")],
)
def test_a_case_that_cannot_be_read_is_named(
    tmp_path: Path, text: str | None, message: str
) -> None:
    (tmp_path / "cases" / "a").mkdir(parents=True)
    (tmp_path / "cases" / "a" / "decision.json").write_text("{}")
    if text is not None:
        (tmp_path / "cases" / "a" / "input.json").write_text(text)

    with pytest.raises(PoliciesInvalid, match=message) as caught:
        read_cases(tmp_path)

    assert caught.value.problems[0].file == str(tmp_path / "cases" / "a" / "input.json")
