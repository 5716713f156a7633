"""`policy check --base` in a real repository."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fakes.git_repositories import commit_all, git, new_repository
from fakes.policy_folders import CONTRACT, REGISTRY, compile_folder, small_policies
from tallygate.adapters.files.starter import starter_policies
from tallygate.cli.policy import policy

BOOK = "rates/cohere/cohere-pricing-2026-11-21.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Commit the small policies, compiled, with two price lists, and leave main on a branch."""
    repository = new_repository(tmp_path / "repository")
    folder = small_policies(repository / "policies")
    shutil.copytree(starter_policies() / "schemas", folder / "schemas")
    (folder / BOOK).parent.mkdir(parents=True)
    shutil.copy(starter_policies() / BOOK, folder / BOOK)
    pins = (starter_policies() / "rates" / "published.yaml").read_text().splitlines(keepends=True)
    pin = "".join(line for line in pins if line.startswith("cohere-pricing"))
    (folder / "rates" / "published.yaml").write_text(pin)
    compile_folder(folder)
    commit_all(repository, "The policies")
    git(repository, "switch", "--quiet", "--create", "change")
    return folder


def check(folder: Path, base: str = "main") -> Result:
    words = ["check", "--policies", str(folder), "--base", base]
    return CliRunner().invoke(policy, words)


def test_nothing_changed_is_in_order_and_says_with_what_it_was_compared(folder: Path) -> None:
    result = check(folder)

    assert result.exit_code == 0, result.output
    assert "compared with main (" in result.stdout


def test_a_deleted_team_and_a_silent_contract_are_findings(folder: Path) -> None:
    (folder / "registry" / "data.yaml").write_text(REGISTRY.replace("team-platform", "team-infra"))
    (folder / "contract" / "data.yaml").write_text(CONTRACT.replace("max_days: 90", "max_days: 60"))

    result = check(folder)

    assert result.exit_code == 1
    assert f"{folder}/registry/data.yaml:1:1: teams: team-platform was here" in result.stdout
    assert "[error: id_removed]" in result.stdout
    assert "the contract changed (overrides)" in result.stdout


def test_what_came_to_main_meanwhile_is_not_deleted_by_this_branch(folder: Path) -> None:
    repository = folder.parent
    git(repository, "switch", "--quiet", "main")
    more = REGISTRY.replace("features: {", "features: {reply-draft: {}, ")
    (folder / "registry" / "data.yaml").write_text(more)
    commit_all(repository, "A feature more")
    git(repository, "switch", "--quiet", "change")

    assert check(folder).exit_code == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param('input: "0.12"', 'input: "0.13"', id="a price"),
        pytest.param('from: "2026-01-01', 'from: "2026-02-01', id="its period"),
    ],
)
def test_an_edited_price_list_is_found_though_its_pin_was_moved_along(
    folder: Path, old: str, new: str
) -> None:
    book = folder / BOOK
    text = book.read_text()
    assert old in text
    book.write_text(text.replace(old, new, 1))

    result = check(folder)

    assert result.exit_code == 1
    assert "[error: rates_edited]" in result.stdout
    assert f"{book}:" in result.stdout


def test_a_comment_in_a_price_list_may_change(folder: Path) -> None:
    book = folder / BOOK
    book.write_text(f"# Looked at again.\n{book.read_text()}")

    assert check(folder).exit_code == 0


def test_a_deleted_price_list_is_found(folder: Path) -> None:
    (folder / BOOK).unlink()
    (folder / "rates" / "published.yaml").write_text("{}\n")

    result = check(folder)

    assert f"{folder / BOOK}: a price list that was in force is gone" in result.stdout
    assert "was taken out" in result.stdout


def test_a_price_list_that_is_still_to_come_may_be_edited(folder: Path) -> None:
    book = folder / BOOK
    book.write_text(book.read_text().replace('from: "2026-01-01', 'from: "2999-01-01'))
    commit_all(folder.parent, "A plan")
    git(folder.parent, "branch", "--quiet", "--force", "main")
    book.write_text(book.read_text().replace('from: "2999-01-01', 'from: "2999-02-01'))

    assert "rates_edited" not in check(folder).stdout


def test_a_base_from_before_the_folder_has_nothing_to_compare(tmp_path: Path) -> None:
    repository = new_repository(tmp_path / "fresh")
    (repository / "README.md").write_text("Nothing yet.\n")
    commit_all(repository, "Begin")
    folder = compile_folder(small_policies(repository / "policies"))
    shutil.copytree(starter_policies() / "schemas", folder / "schemas")

    result = check(folder, "HEAD")

    assert result.exit_code == 0, result.output
    assert "not checked: what changed since HEAD: there is no folder policies" in result.stdout


def test_a_base_that_nobody_knows_is_wrong_use(folder: Path) -> None:
    result = check(folder, "mian")

    assert result.exit_code == 2
    assert "Did you mean main?" in result.stderr


def test_a_folder_in_no_repository_cannot_be_compared(tmp_path: Path) -> None:
    result = check(small_policies(tmp_path / "policies"))

    assert result.exit_code == 3
    assert "is in no git repository" in result.stderr
