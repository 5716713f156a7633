from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from fakes.policy_folders import (
    CONTRACT,
    OVERRIDES,
    REGISTRY,
    REGO_PATH,
    compile_folder,
    path_without_opa,
    real_opa,
    small_policies,
)
from tallygate.adapters.files.starter import starter_policies
from tallygate.cli.policy import policy

GOOD = {"ownership": {"owner_team": "team-support", "service": "s", "environment": "prod"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write the small policies, compiled, with the shipped price lists and one case."""
    folder = small_policies(tmp_path / "policies")
    shutil.copytree(starter_policies() / "rates", folder / "rates")
    shutil.copytree(starter_policies() / "schemas", folder / "schemas")
    add_case(folder, "admit")
    return compile_folder(folder)


def add_case(folder: Path, action: str) -> None:
    place = folder / "cases" / "owned"
    place.mkdir(parents=True, exist_ok=True)
    (place / "input.json").write_text(json.dumps(GOOD))
    decision = {
        "action": action,
        "would_action": "admit",
        "mode": "enforce",
        "mode_source": "service",
        "violations": [],
        "waived": [],
        "notices": [],
        "ownership": {},
        "valid_until": "9999-12-31T23:59:59Z",
    }
    (place / "decision.json").write_text(json.dumps(decision))


def run(*words: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(policy, [str(word) for word in words], input=stdin)


def check(folder: Path) -> Result:
    return run("check", "--policies", folder)


def break_file(folder: Path, name: str, text: str, old: str, new: str) -> int:
    """Change one thing; returns the line where it stood."""
    assert old in text
    (folder / name / "data.yaml").write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


def test_check_is_content_with_a_good_folder(folder: Path) -> None:
    result = check(folder)

    assert result.exit_code == 0, result.output
    assert "0 errors" in result.stdout
    assert "1 cases run" in result.stdout
    assert "revision sha256:" in result.stdout


def test_a_plan_under_a_name_that_nobody_reads_is_a_problem(folder: Path) -> None:
    (folder / "rollout").mkdir()
    (folder / "rollout" / "plan.yml").write_text("stages: {}\n")

    result = check(folder)

    assert result.exit_code == 1
    assert f"{folder}/rollout/plan.yml: nothing reads this file" in result.stdout


def test_check_prints_every_problem_with_file_and_line(folder: Path) -> None:
    mode = break_file(folder, "contract", CONTRACT, "default: report_only", "default: enfroce")
    expiry = break_file(
        folder, "overrides", OVERRIDES, '    expires_at: "2026-12-31T00:00:00Z"\n', ""
    )

    result = check(folder)

    assert result.exit_code == 1
    assert f"{folder}/contract/data.yaml:{mode}:" in result.stdout
    assert "Did you mean enforce?" in result.stdout
    assert f"{folder}/overrides/data.yaml:{expiry - 5}:" in result.stdout
    assert "expires_at is missing" in result.stdout


def test_check_finds_references_that_lead_nowhere(folder: Path) -> None:
    line = break_file(folder, "registry", REGISTRY, "team-support, services", "team-x, services")

    result = check(folder)

    assert result.exit_code == 1
    assert f"{folder}/registry/data.yaml:{line}:" in result.stdout


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("fields: [\n", 2, id="syntax error"),
        pytest.param("a: 1\na: 2\n", 2, id="duplicate key"),
    ],
)
def test_check_names_the_line_of_broken_yaml(folder: Path, text: str, line: int) -> None:
    (folder / "contract" / "data.yaml").write_text(text)

    result = check(folder)

    assert result.exit_code == 1
    assert f"{folder}/contract/data.yaml:{line}:" in result.stdout


def test_check_says_that_the_contract_is_missing(folder: Path) -> None:
    (folder / "contract" / "data.yaml").unlink()

    result = check(folder)

    assert result.exit_code == 1
    assert f"{folder}/contract/data.yaml: the contract is missing" in result.stdout


def test_check_finds_a_case_that_is_decided_otherwise(folder: Path) -> None:
    add_case(folder, "reject")

    result = check(folder)

    assert result.exit_code == 1
    assert "cases/owned/decision.json:1: action: expected reject, the policy says admit" in (
        result.stdout
    )


def test_check_says_that_the_compiled_policy_is_stale(folder: Path) -> None:
    (folder / REGO_PATH).write_text((folder / REGO_PATH).read_text() + "\nextra := 1\n")

    result = check(folder)

    assert result.exit_code == 1
    assert f"changed since: {REGO_PATH}" in result.stdout
    assert "tallygate policy build" in result.stdout
    assert "1 cases run" in result.stdout


def test_check_names_the_line_of_broken_rego_beside_a_stale_wasm(folder: Path) -> None:
    text = (folder / REGO_PATH).read_text()
    (folder / REGO_PATH).write_text(text.replace("default action", "defualt action"))
    line = text[: text.index("default action")].count("\n") + 1

    result = check(folder)

    assert result.exit_code == 1
    assert f"{folder / REGO_PATH}:{line}:1: rego_parse_error" in result.stdout


def test_check_cannot_tell_about_cases_without_a_compiled_policy(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "policy.wasm").unlink()
    monkeypatch.setenv("PATH", path_without_opa(folder.parent / "bin"))

    result = check(folder)

    assert result.exit_code == 1
    assert "policy.wasm is missing" in result.stdout
    assert "could not tell: the cases were not run" in result.stdout


def test_check_leaves_with_three_when_all_it_lacks_is_an_answer(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallygate.bootstrap.policies.verify_compiled", lambda *_: b"not wasm")

    result = check(folder)

    assert result.exit_code == 3
    assert "could not tell" in result.stdout


def test_a_warning_is_no_finding(folder: Path) -> None:
    break_file(folder, "overrides", OVERRIDES, "2026-11-01T", "2020-11-01T")
    text = (folder / "overrides" / "data.yaml").read_text()
    (folder / "overrides" / "data.yaml").write_text(text.replace("2026-12-31T", "2020-12-31T"))

    result = check(folder)

    assert result.exit_code == 0, result.output
    assert "[warning: override_expired]" in result.stdout


def test_check_speaks_json(folder: Path) -> None:
    line = break_file(folder, "contract", CONTRACT, "default: report_only", "default: enfroce")

    result = run("check", "--policies", folder, "--format", "json")

    document: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == 1
    assert document["ok"] is False
    assert document["problems"][0]["line"] == line
    assert document["problems"][0]["file"].endswith("contract/data.yaml")


def test_a_folder_that_is_not_there_is_a_finding(tmp_path: Path) -> None:
    result = check(tmp_path / "nowhere")

    assert result.exit_code == 1
    assert "tallygate init" in result.stdout


def test_the_folder_comes_from_the_environment_or_from_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    here = run("check")
    monkeypatch.setenv("TALLYGATE_POLICIES", str(folder))
    monkeypatch.chdir("/")
    environment = run("check")

    assert here.exit_code == environment.exit_code == 0


def test_build_writes_wasm_and_lock(folder: Path) -> None:
    version = real_opa().version
    (folder / "policy.lock").unlink()

    result = run("build", "--policies", folder)

    assert result.exit_code == 0, result.output
    assert f"with OPA {version}" in result.stdout
    assert check(folder).exit_code == 0


def test_build_without_opa_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", path_without_opa(folder.parent / "bin"))

    result = run("build", "--policies", folder)

    assert result.exit_code == 3
    assert "install OPA 1.21.3 or newer" in result.stderr


def test_build_of_broken_rego_leaves_the_old_policy(folder: Path) -> None:
    before = (folder / "policy.wasm").read_bytes()
    (folder / REGO_PATH).write_text("package tallygate.admission\n\ndecision := := 1\n")

    result = run("build", "--policies", folder)

    assert result.exit_code == 1
    assert f"{folder / REGO_PATH}:3: rego_parse_error" in result.stderr
    assert (folder / "policy.wasm").read_bytes() == before


def test_eval_shows_a_decision(folder: Path) -> None:
    result = run("eval", "--policies", folder, "--input", "-", stdin=json.dumps(GOOD))

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("action        admit")


def test_eval_shows_what_is_missing(folder: Path, tmp_path: Path) -> None:
    question = tmp_path / "input.json"
    question.write_text("{}")

    result = run("eval", "--policies", folder, "--input", question)

    assert "violation     ownership_missing  owner_team" in result.stdout


def test_eval_speaks_json_as_of_an_instant(folder: Path) -> None:
    words = ("eval", "--policies", starter_policies(), "--format", "json", "--input", "-")

    result = run(*words, "--now", "2026-11-21T10:00:00Z", stdin="{}")

    assert json.loads(result.stdout)["action"] in {"admit", "reject"}


@pytest.mark.parametrize(
    ("stdin", "words", "message"),
    [
        pytest.param("{", (), ":1:2: is not JSON", id="not JSON"),
        pytest.param("[]", (), "expected a JSON object", id="not an object"),
        pytest.param("{}", ("--now", "tomorrow"), "tomorrow is not an instant", id="no instant"),
    ],
)
def test_eval_refuses_what_is_no_question(
    folder: Path, stdin: str, words: tuple[str, ...], message: str
) -> None:
    result = run("eval", "--policies", folder, "--input", "-", *words, stdin=stdin)

    assert result.exit_code == 2
    assert message in result.stderr


def test_eval_says_when_it_compiled_for_itself(folder: Path) -> None:
    (folder / REGO_PATH).write_text((folder / REGO_PATH).read_text() + "\nextra := 1\n")

    result = run("eval", "--policies", folder, "--input", "-", stdin="{}")

    assert result.exit_code == 0
    assert "warning: policy.wasm was compiled from other Rego" in result.stderr


def test_eval_of_broken_policies_names_file_and_line(folder: Path) -> None:
    (folder / "contract" / "data.yaml").write_text("fields: [\n")

    result = run("eval", "--policies", folder, "--input", "-", stdin="{}")

    assert result.exit_code == 1
    assert f"{folder}/contract/data.yaml:2:" in result.stderr
