"""
The policies folder as it was at a git revision, read without touching the working tree.

Shapes  A revision is whatever git takes for a commit, or `worktree`: the folder as it lies on
        disk. Files are named `REV:policies/registry/data.yaml`, as `git show` takes them.
Exact   What is read is what the commit holds, byte for byte: no attribute, filter or line ending
        of this machine changes it.
Errors  RevisionUnknown for a name that git does not know, RevisionUnreadable for everything else
        between here and the commit, PoliciesInvalid as `read_policies` raises it.
"""

from __future__ import annotations

import difflib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Final

from tallygate.adapters.files.policies import PolicySet, read_policies
from tallygate.errors import (
    PoliciesInvalid,
    Problem,
    RevisionUnknown,
    RevisionUnreadable,
    RevisionWithoutPolicies,
)

WORKTREE: Final = "worktree"

_DEADLINE_S: Final = 120
_CLOSE_NAMES: Final = 3
_LINK: Final = b"120000"
_READ_ENDINGS: Final = (".yaml", ".yml", ".json", ".rego", ".wasm", ".lock")
# A hook of git runs with these set, and they go before the folder that we name.
_OF_A_HOOK: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder inside a repository."""

    root: Path
    """Some existing folder in the repository, to run git in."""
    path: str
    """The policies folder relative to the top of the repository; empty when it is the top."""

    def shown(self, revision: str, name: str = "") -> str:
        return f"{revision}:{'/'.join(part for part in (self.path, name) if part)}"


def read_policies_at(folder: Path, revision: str) -> PolicySet:
    """Read the policies folder as it was at a revision; `worktree` reads it from disk."""
    if revision == WORKTREE:
        return read_policies(folder)
    place = _place_of(folder)
    with copied_at(folder, revision) as copy:
        try:
            policies = read_policies(copy)
        except PoliciesInvalid as error:
            raise PoliciesInvalid(
                [
                    replace(problem, file=_as_shown(problem.file, copy, place, revision))
                    for problem in error.problems
                ]
            ) from error
    documents = {
        name: replace(document, file=_as_shown(document.file, copy, place, revision))
        for name, document in policies.documents.items()
    }
    return replace(policies, folder=Path(place.shown(revision)), documents=documents)


@contextmanager
def copied_at(folder: Path, revision: str) -> Iterator[Path]:
    """Copy the policies folder as it was at a revision, for as long as the block lasts."""
    place = _place_of(folder)
    commit = _commit_of(place, revision)
    with tempfile.TemporaryDirectory(prefix="tallygate-revision-") as name:
        copy = Path(name) / "policies"
        copy.mkdir()
        _write_tree(place, commit, revision, copy)
        yield copy


def branched_at(folder: Path, revision: str) -> str:
    """Return the commit where HEAD left `revision`: what came there since is not undone here."""
    place = _place_of(folder)
    commit = _commit_of(place, revision)
    answer = _run_git(place.root, "merge-base", commit, "HEAD")
    # A shallow clone may not hold it, and then the revision itself is the nearest that there is.
    return answer.stdout.decode().strip() if answer.returncode == 0 else commit


def commit_of(folder: Path, revision: str) -> str | None:
    """Return the commit that a revision names; None for `worktree`."""
    return None if revision == WORKTREE else _commit_of(_place_of(folder), revision)


def commits_missing(folder: Path, base: str, head: str) -> int:
    """Count the commits of `base` that `head` has not; a comparison shows those reversed."""
    place = _place_of(folder)
    names = [
        "HEAD" if revision == WORKTREE else _commit_of(place, revision) for revision in (base, head)
    ]
    return int(_git(place.root, "rev-list", "--count", f"{names[1]}..{names[0]}", "--").strip())


def _place_of(folder: Path) -> _Place:
    whole = folder.resolve()
    root = next(each for each in (whole, *whole.parents) if each.is_dir())
    answer = _run_git(root, "rev-parse", "--show-prefix")
    if answer.returncode != 0:
        said = _said(answer.stderr)
        if "not a git repository" in said:
            raise RevisionUnreadable(
                f"{folder} is in no git repository, so there is no revision of it to read."
                " Name another folder with --policies."
            )
        raise RevisionUnreadable(f"git cannot read the repository of {folder}: {said}")
    prefix = PurePosixPath(answer.stdout.decode().rstrip("\n")) / whole.relative_to(root)
    return _Place(root, "" if str(prefix) == "." else prefix.as_posix())


def _commit_of(place: _Place, revision: str) -> str:
    if revision and not revision.startswith("-"):
        answer = _run_git(place.root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        if answer.returncode == 0:
            return answer.stdout.decode().strip()
    raise RevisionUnknown(f"{revision!r} is no commit that git knows here.{_hint(place, revision)}")


def _hint(place: _Place, revision: str) -> str:
    names = _git(
        place.root, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags",
        "refs/remotes",
    ).split()  # fmt: skip
    close = difflib.get_close_matches(revision, [*names, "HEAD", WORKTREE], n=_CLOSE_NAMES)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    if _git(place.root, "rev-parse", "--is-shallow-repository").strip() == "true":
        hint += (
            " This clone is shallow, so older commits and other branches are not in it: fetch"
            " them first (`git fetch --unshallow`; with actions/checkout, `fetch-depth: 0`)."
        )
    return hint


def _write_tree(place: _Place, commit: str, revision: str, target: Path) -> None:
    answer = _run_git(place.root, "ls-tree", "-r", "-z", "--full-tree", f"{commit}:{place.path}")
    if answer.returncode != 0:
        raise RevisionWithoutPolicies(
            f"there is no folder {place.path} in {revision} ({commit[:12]}). Name a revision that"
            " has it; a folder that was moved since cannot be compared with itself."
        )
    entries = [_entry_of(line) for line in answer.stdout.split(b"\0") if line]
    refused = [name for name, mode, _ in entries if mode == _LINK and name.endswith(_READ_ENDINGS)]
    if refused:
        raise PoliciesInvalid(
            [
                Problem(
                    code="file_unreadable",
                    message="is a symbolic link, which cannot be followed in a revision.",
                    remedy="Put the file itself there.",
                    file=place.shown(revision, name),
                )
                for name in refused
            ]
        )
    files = [(name, blob) for name, mode, blob in entries if mode.startswith(b"100")]
    assert not any(".." in PurePosixPath(name).parts for name, _ in files), revision
    blobs = _blobs(place.root, [blob for _, blob in files])
    for (name, _), content in zip(files, blobs, strict=True):
        path = target / PurePosixPath(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _entry_of(line: bytes) -> tuple[str, bytes, bytes]:
    """Read one line: mode, type and object, then behind a tab the name."""
    head, _, name = line.partition(b"\t")
    mode, _, blob = head.split(b" ")
    return os.fsdecode(name), mode, blob


def _blobs(root: Path, wanted: Sequence[bytes]) -> Iterator[bytes]:
    asked = b"".join(blob + b"\n" for blob in wanted)
    rest = memoryview(_git_bytes(root, asked, "cat-file", "--batch"))
    for blob in wanted:
        line = bytes(rest[:256]).partition(b"\n")[0]
        said = line.split(b" ")
        if len(said) != 3 or said[1] != b"blob":
            raise RevisionUnreadable(
                f"git has the name of the object {blob.decode()} and not its content (a partial"
                " clone?); fetch it, then try again."
            )
        start = len(line) + 1
        end = start + int(said[2])
        yield bytes(rest[start:end])
        rest = rest[end + 1 :]


def _as_shown(file: str, copy: Path, place: _Place, revision: str) -> str:
    path = Path(file)
    if not path.is_relative_to(copy):
        return file
    inside = path.relative_to(copy).as_posix()
    return place.shown(revision, "" if inside == "." else inside)


def _git(root: Path, *words: str) -> str:
    return _git_bytes(root, b"", *words).decode(errors="replace")


def _git_bytes(root: Path, asked: bytes, *words: str) -> bytes:
    answer = _run_git(root, *words, asked=asked)
    if answer.returncode != 0:
        raise RevisionUnreadable(f"`git {words[0]}` failed in {root}: {_said(answer.stderr)}")
    return answer.stdout


def _run_git(root: Path, *words: str, asked: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    own = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
    try:
        return subprocess.run(  # noqa: S603 - git itself; a revision never begins with a dash
            ("git", "-C", str(root), *words),  # noqa: S607 - the git that PATH names is the user's
            env=own | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"},
            input=asked,
            capture_output=True,
            check=False,
            timeout=_DEADLINE_S,
        )
    except FileNotFoundError as error:
        raise RevisionUnreadable(
            "there is no git on the PATH, so no revision can be read; install git."
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RevisionUnreadable(f"git could not be run ({type(error).__name__}).") from error


def _said(stderr: bytes) -> str:
    return " ".join(stderr.decode(errors="replace").split())[:500] or "it said nothing"
