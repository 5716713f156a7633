"""`tallygate policy test`, with the real opa and without any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from fakes.policy_folders import (
    REGO_PATH,
    compile_folder,
    path_without_opa,
    real_opa,
    small_policies,
)
from tallygate.cli.policy import policy

OWNED: Final = {"owner_team": "team-support", "service": "s", "environment": "prod"}
TESTS: Final = """\
package tallygate.admission_test

import data.tallygate.admission

test_owned_is_admitted if {
	admission.decision.action == "admit" with input as {"ownership": {
		"owner_team": "a",
		"service": "b",
		"environment": "c",
	}}
}

test_each_missing_field_is_named[field] if {
	some field in ["owner_team", "service"]
	{"code": "ownership_missing", "field": field} in admission.decision.violations with input as {}
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write the small policies, compiled, with a Rego test and one case."""
    folder = small_policies(tmp_path / "policies")
    (folder / "tallygate/admission/admission_test.rego").write_text(TESTS)
    put_case(folder)
    return compile_folder(folder)


def put_case(folder: Path, **changed: object) -> None:
    place = folder / "cases" / "owned"
    place.mkdir(parents=True, exist_ok=True)
    decision = {
        "action": "admit",
        "would_action": "admit",
        "mode": "enforce",
        "mode_source": "service",
        "violations": [],
        "waived": [],
        "notices": [],
        "ownership": {},
        "valid_until": "9999-12-31T23:59:59Z",
    }
    (place / "input.json").write_text(json.dumps({"ownership": OWNED}))
    (place / "decision.json").write_text(json.dumps({**decision, **changed}))


def add_rego(folder: Path, text: str) -> int:
    """Append a rule; returns the line where it begins. The wasm is stale then."""
    rego = folder / REGO_PATH
    lines = rego.read_text().count("\n")
    rego.write_text(f"{rego.read_text()}\n{text}")
    return lines + 2


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(policy, ["test", "--policies", str(folder), *words])


@pytest.fixture
def no_opa(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", path_without_opa(folder.parent / "bin"))


def test_everything_is_run_on_everything(folder: Path) -> None:
    result = run(folder)

    assert result.exit_code == 0, result.output
    assert "Rego tests     3 passed" in result.stdout
    assert "1 passed, 0 failed, on embedded" in result.stdout
    assert f"1 passed, 0 failed, on opa {real_opa().version}" in result.stdout
    assert "coverage       100.0 % of lines" in result.stdout


def test_a_case_that_differs_is_shown_on_each_engine(folder: Path) -> None:
    put_case(folder, action="reject", violations=[{"code": "ownership_missing", "field": "x"}])

    result = run(folder)

    assert result.exit_code == 1
    assert result.stdout.count(f"FAILED  {folder}/cases/owned/decision.json: on ") == 2
    assert '  - "reject"\n      + "admit"' in result.stdout
    assert '      - {"code":"ownership_missing","field":"x"}' in result.stdout


def test_a_failing_test_is_named_with_file_and_line(folder: Path) -> None:
    tests = folder / "tallygate/admission/admission_test.rego"
    tests.write_text(TESTS.replace('["owner_team", "service"]', '["owner_team", "nobody"]'))

    result = run(folder)

    assert result.exit_code == 1
    assert f"FAILED  {tests}:13: tallygate.admission_test.test_each_missing_field_is_named[" in (
        result.stdout
    )
    assert "Rego tests     1 failed, 2 passed" in result.stdout
    assert "left out       coverage" in result.stdout


def test_lines_that_no_test_evaluates_are_named(folder: Path) -> None:
    line = add_rego(folder, "untested if input.never == 1\n\nuntested if {\n\tinput.x\n}\n")
    compile_folder(folder)

    below, enough = run(folder), run(folder, "--coverage-threshold", "50")

    assert below.exit_code == 1
    assert f"{folder / REGO_PATH}: not evaluated: {line}, {line + 2}-{line + 3}" in below.stdout
    assert "too little is covered" in below.stdout
    assert enough.exit_code == 0


def test_without_opa_the_cases_run_and_what_did_not_is_said(folder: Path, no_opa: None) -> None:
    result = run(folder)

    assert result.exit_code == 3
    assert "1 passed, 0 failed, on embedded" in result.stdout
    assert "NOT RUN        the Rego tests (1 files) and their coverage" in result.stdout


def test_without_opa_the_cases_alone_are_in_order(folder: Path, no_opa: None) -> None:
    result = run(folder, "--cases-only")

    assert result.exit_code == 0, result.output
    assert "left out       the Rego tests (1 files)" in result.stdout


def test_a_failing_case_goes_before_what_was_not_run(folder: Path, no_opa: None) -> None:
    put_case(folder, action="reject")

    assert run(folder).exit_code == 1


def test_without_opa_and_with_a_stale_wasm_nothing_can_be_told(folder: Path, no_opa: None) -> None:
    add_rego(folder, "extra := 1\n")

    result = run(folder, "--cases-only")

    assert result.exit_code == 3
    assert "NOT RUN        1 cases on the engine embedded: policy.wasm was compiled from" in (
        result.stdout
    )


def test_a_stale_wasm_is_compiled_for_the_run_and_left_alone(folder: Path) -> None:
    before = (folder / "policy.wasm").read_bytes()
    add_rego(folder, "extra := 1\n")

    result = run(folder, "--coverage-threshold", "0")

    assert result.exit_code == 0, result.output
    assert "It was compiled for this run" in result.stdout
    assert (folder / "policy.wasm").read_bytes() == before


def test_a_folder_without_tests_and_cases_proves_nothing(tmp_path: Path) -> None:
    folder = compile_folder(small_policies(tmp_path / "policies"))

    result = run(folder, "--coverage-threshold", "0")

    assert result.exit_code == 3
    assert "there is nothing to run" in result.stdout


def test_rego_that_does_not_load_is_a_finding(folder: Path) -> None:
    (folder / "tallygate/admission/admission_test.rego").write_text("package x\n\ny := := 1\n")

    result = run(folder)

    assert result.exit_code == 1
    assert "rego_parse_error" in result.stdout
    assert "not tested, for it cannot be read" in result.stdout


def test_broken_data_is_a_finding_with_its_line(folder: Path) -> None:
    (folder / "contract" / "data.yaml").write_text("fields: [\n")

    result = run(folder)

    assert result.exit_code == 1
    assert f"{folder}/contract/data.yaml:2:" in result.stdout


def test_opa_gets_the_data_as_tallygate_read_it_and_nothing_that_lies_around(folder: Path) -> None:
    """`opa -b` would read this file as data, and the cases would be decided otherwise."""
    (folder / "cases" / "owned" / "notes.yaml").write_text("contract: {required: {}}\n")

    assert run(folder).exit_code == 0


def test_json_holds_every_test_and_case(folder: Path) -> None:
    document = json.loads(run(folder, "--format", "json").stdout)

    assert document["ok"] is True
    assert {test["outcome"] for test in document["rego"]} == {"passed"}
    assert [case["name"] for case in document["cases"]] == ["owned", "owned"]
    assert document["coverage"]["percent"] == "100.0"


def test_junit_counts_tests_cases_and_coverage(folder: Path, tmp_path: Path) -> None:
    put_case(folder, action="reject")
    add_rego(folder, "untested if input.never == 1\n")
    compile_folder(folder)
    report = tmp_path / "reports" / "tests.xml"

    result = run(folder, "--format", "junit", "-o", str(report))

    root = ET.parse(report).getroot()
    assert (root.attrib["tests"], root.attrib["failures"]) == ("6", "3")
    assert "1 passed" not in result.stdout
    assert "FAILED" in result.stdout
    failures = [
        case.attrib["name"] for case in root.iter("testcase") if case.find("failure") is not None
    ]
    assert failures == ["owned", "owned", "coverage of the rules"]


def test_github_gets_annotations_relative_to_the_repository(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.parent / ".git").mkdir()
    put_case(folder, action="reject")
    line = add_rego(folder, "untested if input.never == 1\n")
    compile_folder(folder)

    lines = run(folder, "--format", "github").stdout.splitlines()

    assert lines[0].startswith("::error file=policies/cases/owned/decision.json,line=1,title=Case")
    assert (
        f"::error file=policies/{REGO_PATH},line={line},endLine={line},title=Not covered::"
        in (lines[2])
    )
    assert lines[-1].startswith("tests: 2 failed")
