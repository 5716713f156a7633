"""`tallygate override request`: the diff, the file, and what is refused."""

from __future__ import annotations

import difflib
import re
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fakes.policy_folders import OVERRIDES, small_policies
from tallygate.adapters.files.policies import read_policies
from tallygate.application.policy_check import check_policies
from tallygate.cli import main
from tallygate.domain.kernel.instants import NS_PER_SECOND, ns_from_text, text_from_ns

COMMENTED = f"# Who is excused.\n\n{OVERRIDES}    # until the release\n"
ASKED = (
    *("--service", "support-assistant", "--field", "workflow_id", "--expires", "14d"),
    *("--by", "support-lead", "--approver", "finops-lead"),
    *("--reason", "The console cannot send it yet.", "--ticket", "SUP-9"),
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = small_policies(tmp_path / "policies", overrides=COMMENTED)
    monkeypatch.setenv("TALLYGATE_POLICIES", str(folder))
    return folder


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["override", "request", *arguments])


def file_of(folder: Path) -> str:
    return (folder / "overrides" / "data.yaml").read_text()


def test_the_entry_is_written_and_everything_else_stays(folder: Path) -> None:
    done = run(*ASKED)

    assert done.exit_code == 0, done.output
    changes = list(difflib.ndiff(COMMENTED.splitlines(), file_of(folder).splitlines()))
    assert [line for line in changes if line.startswith("- ")] == []
    (entries,) = read_policies(folder).data["overrides"].values()
    old, new = entries
    assert old == "ovr-2026-0007"
    assert re.fullmatch(r"ovr-[0-9]{4}-[0-9]{4}", new)
    entry = entries[new]
    assert entry["fields"] == ["workflow_id"]
    assert entry["codes"] == ["ownership_missing"]
    assert entry["approved_by"] == "finops-lead"
    length_ns = ns_from_text(entry["expires_at"]) - ns_from_text(entry["starts_at"])
    assert abs(length_ns - 14 * 86_400 * NS_PER_SECOND) <= NS_PER_SECOND
    now = text_from_ns(time.time_ns())
    found = check_policies(read_policies(folder).documents, now)
    assert [problem for problem in found if problem.severity == "error"] == []


def test_the_diff_is_that_of_a_pull_request(folder: Path) -> None:
    done = run(*ASKED, "--dry-run")

    assert done.exit_code == 0
    assert done.stdout.startswith(f"--- a{folder}/overrides/data.yaml\n"), "git takes no a//"
    added = [line for line in done.stdout.splitlines() if line.startswith("+ ")]
    assert len(added) == 9
    assert not [line for line in done.stdout.splitlines() if line.startswith("- ")]
    assert "finops-lead approves it in the pull request" in done.stderr
    assert file_of(folder) == COMMENTED


def test_a_service_without_overrides_gets_a_place(folder: Path) -> None:
    registry = folder / "registry" / "data.yaml"
    registry.write_text(
        registry.read_text().replace(
            "environments: {prod: {}",
            "  search-api: {owner_team: team-support}\nenvironments: {prod: {}",
        )
    )

    done = run(*ASKED, "--service", "search-api", "--environment", "prod")

    assert done.exit_code == 0, done.output
    assert set(read_policies(folder).data["overrides"]) == {"support-assistant", "search-api"}


def test_the_first_override_makes_the_file(tmp_path: Path) -> None:
    folder = small_policies(tmp_path / "policies", overrides=None)

    done = run(*ASKED, "--policies", str(folder), "--id", "ovr-first")

    assert done.exit_code == 0, done.output
    assert list(read_policies(folder).data["overrides"]["support-assistant"]) == ["ovr-first"]


REFUSED = [
    pytest.param(("--service", "suport-assistant"), 1, "Did you mean support", id="service"),
    pytest.param(("--field", "featur"), 1, "Did you mean feature?", id="field"),
    pytest.param(("--environment", "live"), 1, "no environment live", id="environment"),
    pytest.param(("--expires", "91d"), 1, "the contract allows 90", id="too long"),
    pytest.param(("--expires", "2020-01-01"), 1, "before it starts", id="in the past"),
    pytest.param(("--approver", "support-lead"), 1, "the same person", id="approves itself"),
    pytest.param(("--approver", "eve"), 1, "may not approve overrides", id="no approver"),
    pytest.param(("--reason", "short"), 1, "reason", id="no sentence"),
    pytest.param(("--id", "ovr-2026-0007"), 1, "an override of this id already", id="a known id"),
    pytest.param(("--id", "mine"), 1, "mine", id="an id of another shape"),
    pytest.param(("--code", "ownership_conflict"), 2, "ownership_conflict", id="a conflict"),
    pytest.param(("--expires", "soon"), 2, "no time", id="no time"),
]


@pytest.mark.parametrize(("changed", "code", "part"), REFUSED)
def test_what_policy_check_would_refuse_is_not_written(
    folder: Path, changed: tuple[str, ...], code: int, part: str
) -> None:
    done = run(*ASKED, *changed)

    assert done.exit_code == code, done.output
    assert part in done.stderr
    assert file_of(folder) == COMMENTED


def test_what_was_wrong_before_holds_nobody_up(folder: Path) -> None:
    registry = folder / "registry" / "data.yaml"
    text = registry.read_text().replace("owner_team: team-support", "owner_team: team-x")
    registry.write_text(text)

    assert run(*ASKED).exit_code == 0


def test_the_approver_must_be_named(folder: Path) -> None:
    without = [each for each in ASKED if each not in ("--approver", "finops-lead")]

    done = run(*without)

    assert done.exit_code == 2
    assert "--approver" in done.stderr
