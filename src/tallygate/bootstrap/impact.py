"""
What `policy impact` is wired from: two revisions of the policies, and recorded calls.

Errors  RevisionUnreadable, PoliciesInvalid and EngineError say which revision they are about.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tallygate.adapters.engines.loading import load_engine
from tallygate.adapters.files.policies import PolicySet
from tallygate.adapters.files.recorded_inputs import RecordedInputsFile
from tallygate.adapters.files.revisions import (
    WORKTREE,
    commit_of,
    commits_missing,
    read_policies_at,
)
from tallygate.adapters.stores.decision_lines import SqlDecisionLines
from tallygate.application.replay import PolicyAt
from tallygate.application.replay_ports import DecisionLines
from tallygate.bootstrap.books import open_ledger
from tallygate.domain.attribution.contract import contract_from_data, registry_from_data
from tallygate.domain.kernel.instants import NS_PER_SECOND
from tallygate.errors import PolicyNotCompiled
from tallygate.settings import Settings

DEFAULT_NS: Final = 30 * 86_400 * NS_PER_SECOND
_MEND_A_COMMIT: Final = (
    " Where opa 1.21.3 or newer is on the PATH, a commit is compiled for the comparison instead."
)


@dataclass(frozen=True, slots=True)
class Compared:
    """Two revisions, ready to be asked, and what they were read from."""

    base: PolicyAt
    head: PolicyAt
    read: tuple[PolicySet, PolicySet]
    warnings: tuple[str, ...]


def policies_at(folder: Path, base_name: str, head_name: str) -> Compared:
    """Read two revisions and load them."""
    read = (read_policies_at(folder, base_name), read_policies_at(folder, head_name))
    base, head, warnings = load_both(*read)
    return Compared(
        base=replace(base, name=base_name, commit=commit_of(folder, base_name)),
        head=replace(head, name=head_name, commit=commit_of(folder, head_name)),
        read=read,
        warnings=warnings,
    )


def load_both(base: PolicySet, head: PolicySet) -> tuple[PolicyAt, PolicyAt, tuple[str, ...]]:
    """Load two readings; also returns what people must hear about them."""
    first, warnings = _load(base)
    if head.revision == base.revision:  # the same policies answer alike: one engine is enough
        return first, replace(first, documents=head.documents), warnings
    second, more = _load(head)
    return first, second, (*warnings, *more)


def commits_between(folder: Path, base_name: str, head_name: str) -> int:
    """Count what base has and head has not; 0 for a folder that is compared with itself."""
    if base_name == head_name == WORKTREE:
        return 0
    return commits_missing(folder, base_name, head_name)


@dataclass(frozen=True, slots=True)
class Recorded:
    """Recorded calls, and which of them there are to be had."""

    lines: DecisionLines
    since_ns: int = 0
    until_ns: int | None = None
    grain_ns: int = 0
    """How exactly the times of calls are known."""

    def window(self, since_ns: int | None, until_ns: int | None, now_ns: int) -> tuple[int, int]:
        """Choose the calls of a time, as far as they are there; by default all, or 30 days."""
        last = now_ns if self.until_ns is None else self.until_ns
        if until_ns is not None:
            last = until_ns if self.until_ns is None else min(last, until_ns)
        first = last - DEFAULT_NS if self.until_ns is None else self.since_ns
        if since_ns is not None:
            first = max(self.since_ns, since_ns)
        return first, max(first, last)


@contextmanager
def open_recorded(
    settings: Settings, ledger: str | None, inputs: Path | None
) -> Iterator[Recorded]:
    """Open what holds the recorded calls: the ledger, or a file that was exported from one."""
    if inputs is not None:
        file = RecordedInputsFile(inputs)
        yield Recorded(file, file.since_ns, file.until_ns, file.grain_ns)
        return
    with open_ledger(settings, ledger, unhurried=True) as opened:
        yield Recorded(SqlDecisionLines(opened))


def _load(policies: PolicySet) -> tuple[PolicyAt, tuple[str, ...]]:
    try:
        loaded = load_engine(lambda: policies, last_good=None)
    except PolicyNotCompiled as error:
        mend = "" if policies.folder.exists() else _MEND_A_COMMIT
        raise PolicyNotCompiled(f"{policies.folder}: {error}{mend}") from error
    policy = PolicyAt(
        name=str(policies.folder),
        commit=None,
        engine=loaded.engine,
        contract=contract_from_data(policies.data["contract"]),
        registry=registry_from_data(policies.data["registry"]),
        data=policies.data,
        documents=policies.documents,
    )
    return policy, tuple(f"{policies.folder}: {warning}" for warning in loaded.warnings)
