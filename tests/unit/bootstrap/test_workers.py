"""Workers compared with each other and with the folder, as doctor tells it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import orjson
import pytest

from fakes.policy_folders import small_policies
from tallygate.adapters.files.folder_content import read_content
from tallygate.bootstrap.doctor import Check, State, examine
from tallygate.bootstrap.workers import LAG_NS, differing_revisions, published_workers
from tallygate.settings import Settings

LOCKS: list[IO[bytes]] = []
"""What living writers hold, until the test is over."""


@pytest.fixture(autouse=True)
def _locks() -> Iterator[None]:
    yield
    while LOCKS:
        LOCKS.pop().close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return small_policies(tmp_path / "policies")


def a_worker(folder: Path, name: str, *, revision: str = "sha256:1", **policy: Any) -> None:
    state = folder.parent / ".tallygate"
    for part in ("spool", "gates"):
        (state / part).mkdir(parents=True, exist_ok=True)
    LOCKS.append((state / "spool" / f"{name}.lock").open("wb"))
    fcntl.flock(LOCKS[-1], fcntl.LOCK_EX)
    said = {
        "revision": revision,
        "content": read_content(folder).digest,
        "loaded_at_ns": time.time_ns() - 2 * LAG_NS,
        "is_last_good": False,
        "warnings": [],
        "refused": None,
        "failure": None,
        "watched": True,
        "watch_fault": None,
    }
    content = {
        "pid": os.getpid(),
        "writer_id": name,
        "litellm": "1.106.2",
        "policy_revision": revision,
        "uncounted_attempts": 0,
        "findings": [],
        "policy": {**said, **policy},
    }
    (state / "gates" / f"{name}.json").write_bytes(orjson.dumps(content))


def told(folder: Path) -> list[Check]:
    settings = Settings(policies=folder)
    checks = examine(settings, folder.parent, "2026-11-21T10:00:00Z")
    return [check for check in checks if check.name == "gate" and check.state is not State.OK]


def age(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let it be a minute later than it is."""
    later_ns = time.time_ns() + 2 * LAG_NS
    monkeypatch.setattr("tallygate.bootstrap.doctor.time.time_ns", lambda: later_ns)


def test_workers_that_decide_by_what_lies_in_the_folder_are_no_finding(folder: Path) -> None:
    a_worker(folder, "w1")
    a_worker(folder, "w2")

    assert told(folder) == []


def test_a_worker_that_lags_is_a_finding_only_after_a_while(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_worker(folder, "w1", content="sha256:older")

    (note,) = told(folder)
    age(folder, monkeypatch)
    (problem,) = told(folder)

    assert (note.state, problem.state) == (State.NOTE, State.PROBLEM)
    assert "not by what lies in the policies folder since 2026-" in problem.found
    assert "WATCHFILES_FORCE_POLLING=true" in problem.remedy


def test_where_nothing_is_watched_a_restart_is_the_remedy(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_worker(folder, "w1", content="sha256:older", watched=False)
    age(folder, monkeypatch)

    (problem,) = told(folder)

    assert "restart the proxy" in problem.remedy


def test_a_worker_that_refused_the_folders_content_tells_file_and_line(folder: Path) -> None:
    problem = {
        "code": "yaml_ambiguous",
        "message": "the key teams stands twice.",
        "remedy": "",
        "file": str(folder / "registry" / "data.yaml"),
        "line": 7,
        "column": 1,
        "where": "teams",
        "severity": "error",
    }
    refused = {
        "content": read_content(folder).digest,
        "at_ns": time.time_ns(),
        "problems": [problem],
        "problem_count": 1,
    }
    a_worker(folder, "w1", content="sha256:older", refused=refused)

    (check,) = told(folder)

    assert check.state is State.PROBLEM
    assert f"{folder / 'registry' / 'data.yaml'}:7:1: teams: the key teams" in check.found
    assert "decides by sha256:1" in check.found


def test_a_refusal_of_what_lies_there_no_more_is_not_told(folder: Path) -> None:
    refused = {"content": "sha256:gone", "at_ns": 1, "problems": [], "problem_count": 0}
    a_worker(folder, "w1", refused=refused)

    assert told(folder) == []


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        pytest.param({"failure": "no memory"}, "cannot read the policies folder", id="unread"),
        pytest.param({"watch_fault": "no watches"}, "cannot watch the policies", id="unwatched"),
        pytest.param({"warnings": ["compiled here"]}, "compiled here", id="warned"),
    ],
)
def test_what_a_worker_says_of_its_policy_is_passed_on(
    folder: Path, policy: dict[str, Any], words: str
) -> None:
    a_worker(folder, "w1", **policy)

    (check,) = told(folder)

    assert words in check.found


def test_revisions_that_differ_for_a_moment_are_a_reload_under_way(folder: Path) -> None:
    a_worker(folder, "w1")
    a_worker(folder, "w2", revision="sha256:2", loaded_at_ns=time.time_ns())

    checks = told(folder)

    assert [check.state for check in checks] == [State.NOTE]
    assert "2 different policy revisions" in checks[0].found


def test_what_a_worker_of_another_release_wrote_is_compared_as_far_as_it_goes(
    folder: Path,
) -> None:
    a_worker(folder, "w1")
    state = folder.parent / ".tallygate"
    file = state / "gates" / "w1.json"
    said = orjson.loads(file.read_bytes())
    del said["policy"]
    file.write_bytes(orjson.dumps(said))

    (worker,) = published_workers(state, state / "spool")

    assert worker.policy == {}
    assert told(folder) == []
    assert list(differing_revisions([worker], time.time_ns())) == []
