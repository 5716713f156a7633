"""`policy check` as people's tools call it: formats, files, opa's own findings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner, Result

from fakes.policy_folders import (
    REGISTRY,
    REGO_PATH,
    compile_folder,
    path_without_opa,
    real_opa,
    small_policies,
)
from tallygate.adapters.files.starter import starter_policies
from tallygate.cli.policy import policy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write the small policies, compiled, in what looks like a repository."""
    (tmp_path / ".git").mkdir()
    folder = small_policies(tmp_path / "gate" / "policies")
    shutil.copytree(starter_policies() / "schemas", folder / "schemas")
    return compile_folder(folder)


def check(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(policy, ["check", "--policies", str(folder), *words])


def misname_a_team(folder: Path) -> int:
    text = REGISTRY.replace("owner_team: team-support", "owner_team: team-suport")
    (folder / "registry" / "data.yaml").write_text(text)
    return text[: text.index("owner_team: team-suport")].count("\n") + 1


def add_rego(folder: Path, text: str) -> int:
    """Append a rule and compile; returns the line where it begins."""
    rego = folder / REGO_PATH
    lines = rego.read_text().count("\n")
    rego.write_text(f"{rego.read_text()}\n{text}")
    compile_folder(folder)
    return lines + 2


def test_sarif_goes_to_a_file_and_text_to_the_log(folder: Path, tmp_path: Path) -> None:
    line = misname_a_team(folder)
    report = tmp_path / "reports" / "policies.sarif"

    result = check(folder, "--format", "sarif", "-o", str(report))

    (run,) = json.loads(report.read_text())["runs"]
    (found,) = run["results"]
    place = found["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {
        "uri": "gate/policies/registry/data.yaml",
        "uriBaseId": "SRCROOT",
    }
    assert place["region"] == {"startLine": line, "startColumn": 5}
    assert result.exit_code == 1
    assert f"{folder}/registry/data.yaml:{line}:5: services.support-assistant" in result.stdout


def test_github_gets_paths_from_the_top_of_the_repository_wherever_it_is_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = misname_a_team(folder)
    monkeypatch.chdir(folder.parent)

    first = check(Path("policies"), "--format", "github").stdout.splitlines()[0]

    assert first.startswith(
        f"::error file=gate/policies/registry/data.yaml,line={line},col=5,"
        "title=A name that does not exist (unknown_reference)::"
    )


def test_junit_is_whole_also_when_the_folder_cannot_be_read(folder: Path) -> None:
    (folder / "contract" / "data.yaml").write_text("fields: [\n")

    root = ET.fromstring(check(folder, "--format", "junit").stdout)

    assert root.attrib["failures"] == "1"


def test_a_price_list_is_named_from_where_the_folder_was_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "rates").mkdir()
    (folder / "rates" / "bad.yaml").write_text("rulebook: [\n")
    monkeypatch.chdir(folder)

    assert check(Path()).stdout.splitlines()[0].startswith("rates/bad.yaml:2:1: ")


def test_an_output_that_cannot_be_written_is_wrong_use(folder: Path) -> None:
    result = check(folder, "-o", str(folder / "registry" / "data.yaml" / "report"))

    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


def test_warnings_are_findings_where_that_is_asked(folder: Path) -> None:
    text = (folder / "overrides" / "data.yaml").read_text()
    (folder / "overrides" / "data.yaml").write_text(
        text.replace("2026-11-01T", "2020-11-01T").replace("2026-12-31T", "2020-12-31T")
    )

    assert check(folder).exit_code == 0
    assert check(folder, "--fail-on", "warning").exit_code == 1


@pytest.mark.parametrize(
    ("rule", "place", "said"),
    [
        pytest.param(
            "unused if {\n\tx := 1\n}\n", (1, 2), "assigned var x unused", id="strict mode"
        ),
        pytest.param(
            'ask := http.send({"method": "get", "url": "http://localhost"})\n',
            (0, 8),
            "undefined function http.send. Use a builtin",
            id="not portable",
        ),
        pytest.param("typed:=1\n", (0, None), "opa fmt -w", id="form"),
    ],
)
def test_what_opa_says_of_the_rego_stands_at_its_line(
    folder: Path, rule: str, place: tuple[int, int | None], said: str
) -> None:
    line = add_rego(folder, rule) + place[0]
    at = f"{line}:{place[1]}" if place[1] else f"{line}"

    result = check(folder)

    assert f"{folder / REGO_PATH}:{at}: " in result.stdout
    assert said in result.stdout


def test_a_rule_that_reads_what_the_schema_does_not_know_is_found(folder: Path) -> None:
    text = (
        "# METADATA\n# schemas:\n#   - data.contract: schema.contract\n"
        "misread := data.contract.mode\n"
    )
    line = add_rego(folder, text) + 3

    result = check(folder)

    assert result.exit_code == 1
    assert f"{folder / REGO_PATH}:{line}:12: rego_type_error: undefined ref" in result.stdout
    assert "expected one of: disclose, fail_open, fields" in result.stdout


def test_a_package_outside_the_manifest_is_found_at_the_manifest(folder: Path) -> None:
    (folder / ".manifest").write_text('{"roots": ["tallygate", "contract"]}')
    (folder / "other.rego").write_text("package other\n\nx := 1\n")

    result = check(folder)

    assert f"{folder / '.manifest'}: opa: " in result.stdout
    assert "do not permit 'package other'" in result.stdout


def test_without_opa_it_says_once_what_was_not_checked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_opa()
    monkeypatch.setenv("PATH", path_without_opa(folder.parent / "bin"))

    result = check(folder)

    assert result.exit_code == 0, result.output
    assert result.stdout.count("not checked: the Rego's form, types and portability") == 1


def test_references_are_checked_also_where_the_schema_objects(folder: Path) -> None:
    line = misname_a_team(folder)
    registry = (folder / "registry" / "data.yaml").read_text()
    (folder / "registry" / "data.yaml").write_text(
        registry.replace("prod: enforce", "prod: enforced")
    )

    result = check(folder)

    assert f"registry/data.yaml:{line}:5: services.support-assistant.owner_team" in result.stdout
    assert "enforced is not allowed here. Did you mean enforce?" in result.stdout
    assert result.stdout.count("enforced") == 1


def test_a_part_that_is_missing_is_one_error_and_not_one_for_each_reference(folder: Path) -> None:
    (folder / "registry" / "data.yaml").write_text(REGISTRY.replace("environments: {", "envs: {"))

    result = check(folder)

    assert "2 errors" in result.stdout
    assert "environments is missing" in result.stdout


def test_errors_in_the_data_are_not_echoed_by_the_cases(folder: Path) -> None:
    misname_a_team(folder)
    case = folder / "cases" / "any"
    case.mkdir(parents=True)
    (case / "input.json").write_text("{}")
    (case / "decision.json").write_text("{}")

    result = check(folder)

    assert "case_differs" not in result.stdout
    assert "not checked: 1 cases: the data has to be mended first." in result.stdout


def test_a_key_that_was_pasted_where_its_hash_belongs_is_not_repeated(folder: Path) -> None:
    secret = "sk-live-abcdefghijklmnopqrstuvwxyz"
    registry = REGISTRY.replace("keys: {}", f"keys: {{{secret}: {{team: team-support}}}}")
    (folder / "registry" / "data.yaml").write_text(registry)

    for style in ("text", "json", "sarif", "junit", "github"):
        result = check(folder, "--format", style)
        assert result.exit_code == 1
        assert secret not in result.output
    assert "sk-... does not match" in check(folder).output


def test_a_live_service_of_a_retired_team_is_an_error_of_the_pull_request(folder: Path) -> None:
    ended = REGISTRY.replace('contact: "#support"', 'retired_at: "2026-03-01T00:00:00Z"')
    (folder / "registry" / "data.yaml").write_text(ended)

    result = check(folder)

    assert result.exit_code == 1
    assert "[error: retired_owner]" in result.stdout
