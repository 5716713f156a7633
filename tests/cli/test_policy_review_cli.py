"""`tallygate policy review` on a pull request in a real repository, with recorded calls."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fakes.entries import NOON_NS
from fakes.git_repositories import commit_all, new_repository
from fakes.policy_folders import CONTRACT, REGISTRY, compile_folder, small_policies
from fakes.traffic import traffic_into
from tallygate.adapters.files.starter import starter_policies
from tallygate.cli import main

CLAIMS = {"owner_team": "team-support", "service": "support-assistant", "environment": "prod"}
TESTS = """\
package tallygate.admission_test

import data.tallygate.admission

test_nothing_said_is_refused if admission.decision.action == "reject" with input as {}

test_all_said_is_admitted if {
	said := {field: "x" | some field in data.contract.required.default}
	admission.decision.action == "admit" with input as {"ownership": said}
}
"""
ASKS_FOR_MORE = CONTRACT.replace(
    "default: [owner_team, service, environment]",
    "default: [owner_team, service, environment, workflow_id]",
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a repository with the small policies on main, and beside it a ledger of calls."""
    folder = tmp_path_factory.mktemp("recorded")
    repository = new_repository(folder / "repository")
    policies = small_policies(repository / "policies")
    shutil.copytree(starter_policies() / "schemas", policies / "schemas")
    (policies / "tallygate/admission/admission_test.rego").write_text(TESTS)
    compile_folder(policies)
    commit_all(repository, "The policies in force")
    ledger = f"sqlite:///{folder / 'ledger.db'}"
    with traffic_into(ledger, policies, folder / "spool", NOON_NS) as traffic:
        for _ in range(4):
            traffic.call(CLAIMS | {"workflow_id": "nightly"}, "llm-team-1")
        for _ in range(3):
            traffic.call(CLAIMS | {"environment": "staging"}, "llm-team-1")
    return folder


@pytest.fixture
def policies(recorded: Path, tmp_path: Path) -> Path:
    """Copy the repository, for a change of its own."""
    shutil.copytree(recorded / "repository", tmp_path / "repository")
    return tmp_path / "repository" / "policies"


@pytest.fixture
def run(recorded: Path, policies: Path) -> Callable[..., Result]:
    def run(*words: str, since: str = "2026-01-01") -> Result:
        asked = ["--ledger", f"sqlite:///{recorded / 'ledger.db'}", "--since", since]
        fixed = ["policy", "review", "--policies", str(policies), "--base", "main"]
        return CliRunner().invoke(main, [*fixed, *(asked if since else []), *words])

    return run


def write(policies: Path, document: str, text: str) -> None:
    (policies / document / "data.yaml").write_text(text)


def test_nothing_changed_is_in_order(run: Callable[..., Result], tmp_path: Path) -> None:
    comment = tmp_path / "out" / "comment.md"

    result = run("--comment", str(comment))

    assert result.exit_code == 0, result.output
    assert "review: ✅ in order" in result.stdout
    written = comment.read_text()
    assert written.startswith("<!-- tallygate policy review -->\n### Policy review: ✅ in order")
    assert "2 Rego tests" in written
    assert "### Policy impact: ✅" in written


def test_a_change_that_refuses_recorded_calls_is_a_finding_and_shown(
    run: Callable[..., Result], policies: Path, tmp_path: Path
) -> None:
    write(policies, "contract", f"version: 1\n{ASKS_FOR_MORE}")
    comment = tmp_path / "comment.md"

    result = run("--comment", str(comment))

    assert result.exit_code == 1
    assert "review: 🛑 look at the impact" in result.stdout
    assert "**Newly refused: 3 calls**" in comment.read_text()
    assert run("--fail-on-impact", "never").exit_code == 0


def test_each_part_with_a_finding_is_named(
    run: Callable[..., Result], policies: Path, tmp_path: Path
) -> None:
    write(policies, "contract", ASKS_FOR_MORE)
    write(policies, "registry", REGISTRY.replace("name: Support", "name: '@everyone |<b>'"))
    (policies / "tallygate/admission/admission_test.rego").write_text(
        TESTS.replace('"admit"', '"reject"')
    )
    comment = tmp_path / "comment.md"

    result = run("--comment", str(comment))

    assert result.exit_code == 1
    assert "review: 🛑 look at the check and the tests and the impact" in result.stdout
    written = comment.read_text()
    assert "`contract_changed_silently`" in written
    assert "🛑 `policies/contract/data.yaml:1`" in written
    assert "`tallygate.admission_test.test_all_said_is_admitted`" in written


def test_without_recorded_calls_the_rest_is_reviewed(run: Callable[..., Result]) -> None:
    result = run("--format", "markdown", since="")

    assert result.exit_code == 0, result.output
    assert "| impact | not asked for" in result.stdout


def test_recorded_calls_that_cannot_be_had_leave_the_question_open(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    gone = run("--ledger", f"sqlite:///{tmp_path / 'nowhere' / 'ledger.db'}")
    empty = run(since="2200-01-01")

    assert gone.exit_code == empty.exit_code == 3
    assert "there was no recorded call to replay" in empty.stdout
    assert "could not tell: " in gone.stdout


def test_policies_that_cannot_be_read_are_told_of_by_the_check(
    run: Callable[..., Result], policies: Path
) -> None:
    write(policies, "registry", "teams: [\n")

    result = run("--format", "markdown")

    assert result.exit_code == 1
    assert "look at the check and the tests" in result.stdout
    assert "**could not be told**: the policies cannot be read as they are" in result.stdout


def test_github_gets_annotations_and_no_terminal_art(
    run: Callable[..., Result], policies: Path
) -> None:
    write(policies, "contract", f"version: 1\n{ASKS_FOR_MORE.replace('[]', '[nobody]', 1)}")

    result = run("--format", "github")

    assert result.stdout.startswith("::error file=policies/contract/data.yaml,line=")
    assert "review: 🛑" in result.stdout.splitlines()[-1]


def test_recorded_calls_come_from_one_place(run: Callable[..., Result], policies: Path) -> None:
    assert run("--inputs", str(policies / "policy.lock")).exit_code == 2
