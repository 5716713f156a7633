"""
What the workers on a state folder publish of themselves, and where they disagree.

Each worker of a proxy reloads by itself, so for a moment two may decide by different revisions.
That is a finding only when it lasts.

Errors  A file that no worker of this release wrote is passed over.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from tallygate.adapters.files.folder_content import FolderContent
from tallygate.adapters.spool.folder import lock_path, taken_lock
from tallygate.application.reloading import told_of_problems
from tallygate.domain.kernel.instants import NS_PER_SECOND, text_from_ns
from tallygate.errors import Problem

LAG_NS: Final = 30 * NS_PER_SECOND
"""How long a reload may take before a worker that has not done it lags."""
_KEYS: Final = frozenset(
    {"pid", "writer_id", "litellm", "policy_revision", "uncounted_attempts", "findings"}
)


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker, by its own words."""

    said: Mapping[str, Any]
    is_alive: bool

    @property
    def pid(self) -> int:
        return int(self.said["pid"])

    @property
    def revision(self) -> str:
        return str(self.said["policy_revision"])

    @property
    def policy(self) -> Mapping[str, Any]:
        """What it says of its policy beside the revision; empty of an older release."""
        return self.said.get("policy") or {}


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Workers that do not decide by what lies in the folder, or by one revision."""

    found: str
    remedy: str = ""
    is_passing: bool = False
    """It may just be a reload under way."""


def published_workers(state_folder: Path, spool_folder: Path) -> tuple[Worker, ...]:
    """Read what every worker on this state folder wrote, the dead ones too."""
    folder = state_folder / "gates"
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    said = [content for file in files if (content := _said_in(file)) is not None]
    # Not by its pid, which another process may have got since: a writer holds its lock.
    return tuple(
        Worker(content, not is_free(lock_path(spool_folder, content["writer_id"])))
        for content in said
    )


def is_free(path: Path) -> bool:
    """Whether nobody holds this lock."""
    try:
        handle = taken_lock(path)
    except OSError:
        return True
    if handle is None:
        return False
    os.close(handle)
    return True


def differing_revisions(workers: Sequence[Worker], now_ns: int) -> Iterator[Disagreement]:
    """Compare living workers with each other."""
    living = [worker for worker in workers if worker.is_alive]
    revisions = {worker.revision for worker in living}
    if len(revisions) > 1:
        latest_ns = max(int(worker.policy.get("loaded_at_ns", 0)) for worker in living)
        yield Disagreement(
            f"workers decide by {len(revisions)} different policy revisions",
            "Look at what each says of its reload; a restart of the proxy brings them together.",
            is_passing=now_ns - latest_ns < LAG_NS,
        )


def behind_the_folder(
    worker: Worker, content: FolderContent | None, now_ns: int
) -> Iterator[Disagreement]:
    """Compare a living worker with the folder, as far as that could be read."""
    if not worker.policy:
        return
    policy, refused = worker.policy, worker.policy.get("refused")
    if refused is not None and (content is None or refused["content"] == content.digest):
        problems = [Problem(**problem) for problem in refused["problems"]]
        yield Disagreement(
            f"worker {worker.pid} refuses what lies in the policies folder since"
            f" {text_from_ns(refused['at_ns'])}, and decides by {worker.revision}:"
            f" {told_of_problems(problems)}",
            "Mend the files, which are then taken up by themselves.",
        )
        return
    if policy["failure"]:
        yield Disagreement(
            f"worker {worker.pid} cannot read the policies folder: {policy['failure']}"
        )
    if policy["watch_fault"]:
        yield Disagreement(
            f"worker {worker.pid} cannot watch the policies folder: {policy['watch_fault']}",
            "Raise fs.inotify.max_user_watches, or set WATCHFILES_FORCE_POLLING=true.",
        )
    if content is not None and policy["content"] != content.digest:
        yield Disagreement(
            f"worker {worker.pid} decides by {worker.revision}, and not by what lies in the"
            f" policies folder since {text_from_ns(content.changed_at_ns)}",
            "Is its file system one that tells of changes? If not: WATCHFILES_FORCE_POLLING=true."
            if policy["watched"]
            else "TALLYGATE_RELOAD is off: restart the proxy.",
            is_passing=now_ns - content.changed_at_ns < LAG_NS,
        )


def _said_in(file: Path) -> dict[str, Any] | None:
    try:
        said = orjson.loads(file.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    if not isinstance(said, dict) or not said.keys() >= _KEYS:
        return None
    return said
