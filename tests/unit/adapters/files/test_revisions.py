from __future__ import annotations

from pathlib import Path

import pytest

from fakes.git_repositories import commit_all, git, new_repository
from fakes.policy_folders import OVERRIDES, REGISTRY, path_without_opa, small_policies
from tallygate.adapters.files.policies import read_policies
from tallygate.adapters.files.revisions import (
    branched_at,
    commit_of,
    commits_missing,
    copied_at,
    read_policies_at,
)
from tallygate.errors import (
    PoliciesInvalid,
    RevisionUnknown,
    RevisionUnreadable,
    RevisionWithoutPolicies,
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Make a repository with the small policies in `gate/policies`, committed on main."""
    repository = new_repository(tmp_path / "repository")
    small_policies(repository / "gate" / "policies")
    commit_all(repository, "The policies")
    return repository


@pytest.fixture
def folder(repository: Path) -> Path:
    return repository / "gate" / "policies"


def test_a_revision_holds_what_was_committed_and_the_worktree_what_lies_on_disk(
    folder: Path,
) -> None:
    committed = read_policies(folder)
    registry = folder / "registry" / "data.yaml"
    registry.write_text(REGISTRY.replace("prod: enforce", "prod: report_only"))

    before, now = read_policies_at(folder, "HEAD"), read_policies_at(folder, "worktree")

    assert before.data == committed.data
    assert before.revision == committed.revision
    assert now.data["registry"]["services"]["support-assistant"]["modes"]["prod"] == "report_only"
    assert now.revision == read_policies(folder).revision != before.revision


def test_the_working_tree_and_its_index_are_left_alone(folder: Path, repository: Path) -> None:
    (folder / "overrides" / "data.yaml").write_text("# none\n")
    git(repository, "add", "--all")
    (folder / "overrides" / "data.yaml").write_text("# none yet\n")
    before = git(repository, "status", "--porcelain=v2")

    read_policies_at(folder, "main")

    assert git(repository, "status", "--porcelain=v2") == before
    assert git(repository, "stash", "list") == ""


def test_places_are_named_as_git_show_takes_them(folder: Path, repository: Path) -> None:
    document = read_policies_at(folder, "main").documents["registry"]

    assert document.file == "main:gate/policies/registry/data.yaml"
    assert git(repository, "show", document.file) + "\n" == REGISTRY
    line, _ = document.place(("services", "support-assistant"))
    assert REGISTRY.splitlines()[line - 1].strip() == "support-assistant:"


def test_what_is_wrong_in_a_revision_is_named_with_its_revision(
    folder: Path, repository: Path
) -> None:
    (folder / "overrides" / "data.yaml").write_text(
        OVERRIDES.replace('"2026-11-01T', "2026-11-01T")
    )
    (folder / "roles" / "data.yaml").write_text("approvers: 7\n")
    commit_all(repository, "Two mistakes")
    (folder / "overrides" / "data.yaml").write_text(OVERRIDES)

    with pytest.raises(PoliciesInvalid) as caught:
        read_policies_at(folder, "HEAD")

    files = {problem.file for problem in caught.value.problems}
    assert files == {
        "HEAD:gate/policies/overrides/data.yaml",
        "HEAD:gate/policies/roles/data.yaml",
    }
    assert all(problem.line for problem in caught.value.problems)
    assert "/tmp" not in str(caught.value)


def test_a_folder_that_is_the_whole_repository_is_read(tmp_path: Path) -> None:
    folder = small_policies(new_repository(tmp_path / "policies"))
    commit_all(folder, "The policies")

    assert read_policies_at(folder, "main").documents["roles"].file == "main:roles/data.yaml"


def test_a_folder_that_is_gone_from_disk_is_still_read_at_its_revision(folder: Path) -> None:
    folder.rename(folder.with_name("moved"))

    assert read_policies_at(folder, "main").documents["roles"].value["approvers"]


def test_bytes_are_those_of_the_commit_whatever_attributes_say(
    folder: Path, repository: Path
) -> None:
    wasm = bytes(range(256)) + b"\r\n$Id$\n"
    (folder / "policy.wasm").write_bytes(wasm)
    (repository / ".gitattributes").write_text(
        "*.wasm -text\n*.yaml export-ignore\n*.rego eol=crlf ident\n"
    )
    rego = read_policies(folder).rego
    commit_all(repository, "Compiled")

    read = read_policies_at(folder, "HEAD")

    assert read.wasm == wasm
    assert read.rego == rego


def test_a_hook_of_another_repository_does_not_lead_astray(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = new_repository(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))

    assert read_policies_at(folder, "main").data["registry"]["teams"]


def test_an_unknown_revision_names_those_that_are_close(folder: Path, repository: Path) -> None:
    git(repository, "branch", "release-2026-11")

    with pytest.raises(RevisionUnknown, match=r"'release-2026-12'.*Did you mean release-2026-11"):
        read_policies_at(folder, "release-2026-12")


@pytest.mark.parametrize("revision", ["", "--help", "main..HEAD", "HEAD:gate", "\udcff"])
def test_what_is_no_commit_is_unknown(folder: Path, revision: str) -> None:
    with pytest.raises(RevisionUnknown, match="no commit that git knows"):
        read_policies_at(folder, revision)


def test_a_shallow_clone_is_said_to_be_one(repository: Path, tmp_path: Path) -> None:
    commit_all(repository, "Another")
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{repository}", "shallow")

    with pytest.raises(RevisionUnknown, match=r"shallow.*fetch-depth: 0"):
        read_policies_at(tmp_path / "shallow" / "gate" / "policies", "HEAD~1")


def test_a_revision_without_the_folder_says_so(folder: Path, repository: Path) -> None:
    folder.rename(repository / "policies")

    commit_all(repository, "Moved")

    with pytest.raises(
        RevisionWithoutPolicies, match=r"no folder policies in HEAD~1 \([0-9a-f]{12}\)"
    ):
        read_policies_at(repository / "policies", "HEAD~1")


def test_a_folder_outside_git_says_so(tmp_path: Path) -> None:
    with pytest.raises(RevisionUnreadable, match=r"policies is in no git repository"):
        read_policies_at(small_policies(tmp_path / "policies"), "main")


def test_without_git_it_says_so(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", path_without_opa(tmp_path / "bin"))

    with pytest.raises(RevisionUnreadable, match="no git on the PATH"):
        read_policies_at(folder, "main")


def test_a_link_in_place_of_a_file_is_refused(folder: Path, repository: Path) -> None:
    (folder / "roles" / "data.yaml").unlink()
    (folder / "roles" / "data.yaml").symlink_to("../../../elsewhere.yaml")
    (folder / "README.md").symlink_to("../../README.md")
    commit_all(repository, "Linked")

    with pytest.raises(PoliciesInvalid) as caught:
        read_policies_at(folder, "main")

    assert str(caught.value) == (
        "main:gate/policies/roles/data.yaml: is a symbolic link, which cannot be followed in a"
        " revision. Put the file itself there."
    )


def test_a_revision_tells_its_commit_and_what_it_lacks(folder: Path, repository: Path) -> None:
    git(repository, "checkout", "--quiet", "-b", "change")
    change = commit_all(repository, "A change")
    git(repository, "checkout", "--quiet", "main")
    commit_all(repository, "Main has moved on")

    assert commit_of(folder, "change") == change
    assert commit_of(folder, "worktree") is None
    assert commits_missing(folder, "main", "change") == 1
    assert commits_missing(folder, "main", "worktree") == 0


def test_a_branch_begins_where_it_left_the_revision(folder: Path, repository: Path) -> None:
    left = git(repository, "rev-parse", "HEAD")
    git(repository, "switch", "--quiet", "--create", "change")
    commit_all(repository, "On the branch")
    git(repository, "switch", "--quiet", "main")
    commit_all(repository, "On main meanwhile")
    git(repository, "switch", "--quiet", "change")

    assert branched_at(folder, "main") == left


def test_without_a_common_commit_the_revision_itself_is_compared(
    folder: Path, repository: Path
) -> None:
    git(repository, "switch", "--quiet", "--orphan", "other")
    alone = commit_all(repository, "Another beginning")
    git(repository, "switch", "--quiet", "main")

    assert branched_at(folder, "other") == alone


def test_a_copy_lasts_as_long_as_it_is_looked_at(folder: Path) -> None:
    registry = folder / "registry" / "data.yaml"
    committed = registry.read_text()
    registry.write_text("changed: since\n")

    with copied_at(folder, "HEAD") as copy:
        assert (copy / "registry" / "data.yaml").read_text() == committed

    assert not copy.exists()
