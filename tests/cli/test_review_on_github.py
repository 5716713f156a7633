"""What a code host gets: the action, the script that it runs, the hooks, and who has to approve."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from fakes.git_repositories import commit_all, git, new_repository
from fakes.policy_folders import CONTRACT, compile_folder, small_policies
from tallygate.adapters.files.starter import starter_policies

ROOT: Final = Path(__file__).parents[2]
TESTS: Final = """\
package tallygate.admission_test

import data.tallygate.admission

test_nothing_said_is_refused if admission.decision.action == "reject" with input as {}

test_all_said_is_admitted if {
	said := {field: "x" | some field in data.contract.required.default}
	admission.decision.action == "admit" with input as {"ownership": said}
}
"""
# Answers as `gh api` does: the id of a comment that is there, and otherwise notes what it was told.
GH: Final = """\
#!/usr/bin/env bash
printf '%s\\n' "$*" >>"$GH_LOG"
case "$*" in
  *--jq*) cat "$GH_COMMENT" ;;
  *) exit "$GH_STATUS" ;;
esac
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = new_repository(tmp_path_factory.mktemp("made") / "repository")
    policies = small_policies(repository / "policies")
    shutil.copytree(starter_policies() / "schemas", policies / "schemas")
    (policies / "tallygate/admission/admission_test.rego").write_text(TESTS)
    compile_folder(policies)
    commit_all(repository, "The policies in force")
    return repository


@pytest.fixture
def repository(made: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "repository"
    shutil.copytree(made, copy)
    return copy


@pytest.fixture
def runner(tmp_path: Path) -> dict[str, str]:
    """Make the environment of a step: commands on the PATH, files that a runner reads after it."""
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "gh").write_text(GH)
    (commands / "tallygate").write_text(f'#!/bin/sh\nexec {sys.executable} -m tallygate "$@"\n')
    for command in commands.iterdir():
        command.chmod(0o755)
    for name in ("output", "summary", "gh.log", "gh.comment"):
        (tmp_path / name).touch()
    return {
        **os.environ,
        "PATH": f"{commands}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GITHUB_REPOSITORY": "example/policies",
        "GH_LOG": str(tmp_path / "gh.log"),
        "GH_COMMENT": str(tmp_path / "gh.comment"),
        "GH_STATUS": "0",
        "REVIEW_POLICIES": "policies",
        "REVIEW_BASE": "main",
        "REVIEW_RECORDED": "",
        "REVIEW_LEDGER": "",
        "REVIEW_SINCE": "",
        "REVIEW_FAIL_ON": "error",
        "REVIEW_FAIL_ON_IMPACT": "refused",
        "REVIEW_COVERAGE": "100",
        "REVIEW_SARIF": "",
        "REVIEW_COMMENT": "true",
        "REVIEW_NUMBER": "7",
    }


def run(repository: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts" / "review-on-github"],
        cwd=repository,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def break_the_contract(repository: Path) -> None:
    contract = repository / "policies" / "contract" / "data.yaml"
    contract.write_text(CONTRACT.replace("max_days: 90", "max_days: 60"))


def test_a_pull_request_gets_a_summary_and_a_comment(
    repository: Path, runner: dict[str, str], tmp_path: Path
) -> None:
    result = run(repository, runner)

    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / "summary").read_text().startswith("<!-- tallygate policy review -->")
    assert "exit-code=0\n" in (tmp_path / "output").read_text()
    told = (tmp_path / "gh.log").read_text().splitlines()
    assert "--method POST repos/example/policies/issues/7/comments" in told[-1]
    assert f"body=@{tmp_path}/tallygate-review.md" in told[-1]


def test_the_comment_of_an_earlier_run_is_replaced(
    repository: Path, runner: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "gh.comment").write_text("4711\n")

    run(repository, runner)

    last = (tmp_path / "gh.log").read_text().splitlines()[-1]
    assert "--method PATCH repos/example/policies/issues/comments/4711" in last


def test_a_finding_fails_the_step_after_all_is_written(
    repository: Path, runner: dict[str, str], tmp_path: Path
) -> None:
    break_the_contract(repository)

    result = run(repository, runner | {"REVIEW_SARIF": str(tmp_path / "out.sarif")})

    assert result.returncode == 1
    assert result.stdout.startswith("::error file=policies/contract/data.yaml,line=1,col=1,")
    assert "exit-code=1\n" in (tmp_path / "output").read_text()
    assert "contract_changed_silently" in (tmp_path / "summary").read_text()
    (sarif,) = json.loads((tmp_path / "out.sarif").read_text())["runs"]
    assert [found["ruleId"] for found in sarif["results"]] == ["contract_changed_silently"]


def test_not_being_allowed_to_comment_is_a_warning(
    repository: Path, runner: dict[str, str]
) -> None:
    result = run(repository, runner | {"GH_STATUS": "1"})

    assert result.returncode == 0
    assert "::warning title=No comment::" in result.stdout


def test_without_a_pull_request_nobody_is_told(
    repository: Path, runner: dict[str, str], tmp_path: Path
) -> None:
    assert run(repository, runner | {"REVIEW_NUMBER": ""}).returncode == 0
    assert (tmp_path / "gh.log").read_text() == ""


def test_words_of_a_stranger_are_only_words(
    repository: Path, runner: dict[str, str], tmp_path: Path
) -> None:
    strange = f"x; touch {tmp_path}/owned $(touch {tmp_path}/owned)"

    result = run(repository, runner | {"REVIEW_BASE": strange, "REVIEW_SINCE": strange})

    assert result.returncode == 2
    assert not (tmp_path / "owned").exists()


def test_a_shallow_checkout_fetches_its_base(
    repository: Path, runner: dict[str, str], tmp_path: Path
) -> None:
    base = git(repository, "rev-parse", "HEAD")
    git(repository, "config", "uploadpack.allowAnySHA1InWant", "true")
    break_the_contract(repository)
    commit_all(repository, "Shorter overrides")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{repository}", str(shallow))

    result = run(shallow, runner | {"REVIEW_BASE": base})

    assert result.returncode == 1, result.stdout + result.stderr
    assert "contract_changed_silently" in result.stdout


def action() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    return document


def test_the_action_is_a_composite_one_with_a_shell_in_every_step() -> None:
    made = action()

    assert made["runs"]["using"] == "composite"
    assert {step["shell"] for step in made["runs"]["steps"]} == {"bash"}
    assert all(
        each["description"] for each in [*made["inputs"].values(), *made["outputs"].values()]
    )
    assert all("default" in each for each in made["inputs"].values())


def test_the_action_pastes_no_expression_into_a_script() -> None:
    for step in action()["runs"]["steps"]:
        assert "${{" not in step["run"]


def test_every_input_of_the_action_is_used_and_every_variable_reaches_the_script() -> None:
    made = action()
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    script = (ROOT / "scripts" / "review-on-github").read_text(encoding="utf-8")

    used = set(re.findall(r"\$\{\{ inputs\.([\w-]+) \}\}", text))
    given = set(made["runs"]["steps"][-1]["env"]) - {"GH_TOKEN"}

    assert used == set(made["inputs"])
    assert given == set(re.findall(r"\bREVIEW_[A-Z_]+\b", script)) - {"REVIEW_"}


def test_the_sample_workflow_gives_the_action_what_it_takes() -> None:
    text = (ROOT / "deploy" / "github" / "policy-review.yml").read_text(encoding="utf-8")
    (job,) = yaml.safe_load(text)["jobs"].values()
    (ours,) = [step for step in job["steps"] if "/tallygate@" in step.get("uses", "")]

    assert set(ours["with"]) <= set(action()["inputs"])
    assert all("${{" not in step.get("run", "") for step in job["steps"])


def test_the_hooks_run_commands_that_there_are() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))

    assert [hook["id"] for hook in hooks] == ["tallygate-policy-check", "tallygate-policy-test"]
    for hook in hooks:
        words = [sys.executable, "-m", *hook["entry"].split(), "--help"]
        assert subprocess.run(words, capture_output=True, check=False).returncode == 0
        assert hook["pass_filenames"] is False


def owners_of(path: str) -> set[str]:
    """Read CODEOWNERS as a code host does: the last line that matches counts, alone."""
    found: set[str] = set()
    text = (ROOT / "deploy" / "github" / "CODEOWNERS").read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        pattern, *owners = line.split()
        if pattern == "*" or fnmatch.fnmatchcase(f"/{path}", pattern + "*" * pattern.endswith("/")):
            found = {owner.removeprefix("@example/") for owner in owners}
    return found


@pytest.mark.parametrize(
    ("path", "owners"),
    [
        ("policies/tallygate/admission/admission.rego", {"ai-platform"}),
        ("policies/policy.wasm", {"ai-platform"}),
        ("policies/contract/data.yaml", {"ai-platform", "finops"}),
        ("policies/rates/openai/openai-pricing-2026-11-01.yaml", {"finops", "procurement"}),
        ("policies/overrides/data.yaml", {"finops", "ai-platform-leads"}),
        ("policies/roles/data.yaml", {"finance-controllers", "ai-platform-leads"}),
        (".github/CODEOWNERS", {"ai-platform-leads"}),
        ("docs/notes.md", {"ai-platform"}),
    ],
)
def test_each_file_has_the_approvers_that_the_page_promises(path: str, owners: set[str]) -> None:
    assert owners_of(path) == owners
