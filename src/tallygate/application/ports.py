"""
What the use cases need from the world.

Each port has one contract suite in tests/contract, which every adapter and its fake must pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol

from tallygate.domain.ledger.events import Entry, SpoolRecord
from tallygate.domain.policy.break_glass import Activation
from tallygate.domain.pricing.rule_book import RuleBook


class Clock(Protocol):
    """UTC now."""

    def now_ns(self) -> int: ...


class PolicyEngine(Protocol):
    """Answers the entrypoint `tallygate/admission/decision` over one loaded bundle."""

    @property
    def revision(self) -> str:
        """Digest of the Rego and the data that answer."""
        ...

    def decide(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer one input document; raises EngineFailed when there is no answer to read."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What an OPA server answered, and by which policy."""

    decision: Mapping[str, Any]
    revision: str | None
    """Of the bundle that decided; None where the server does not say."""
    decision_id: str | None
    """Under which it logs this decision; None where it logs none."""


class PolicyServer(Protocol):
    """Answers the same entrypoint in a process of its own, over the bundle that it activated."""

    @property
    def url(self) -> str: ...

    @property
    def revision(self) -> str | None:
        """Of the newest answer; None before the first."""
        ...

    @property
    def failure(self) -> str | None:
        """Why the newest question got no answer, as EngineFailed said it; None where it got one."""
        ...

    async def ask(self, question: Mapping[str, Any], call_id: str) -> Answer:
        """Answer one input document; raises EngineFailed when there is no answer to read."""
        ...

    async def close(self) -> None:
        """Let the connections go; a question after this is EngineFailed. Idempotent."""
        ...


class Spool(Protocol):
    """The gate's side of the local durable queue. Thread-safe; never waits for the network."""

    @property
    def writer_id(self) -> str: ...

    def has_room(self) -> bool:
        """Whether a new call may be admitted; what is owed a record gets it all the same."""
        ...

    def append(self, record: SpoolRecord, *, owed: bool | None = None) -> None:
        """
        Write one record; SpoolFull when it finds no room and is owed none.

        What is owed may take what is reserved: a settlement, unless the caller says otherwise.
        """
        ...

    def close(self) -> None:
        """Sync, release the lock. Idempotent."""
        ...


class Activations(Protocol):
    """What was activated on this machine, seen by all of its proxy's workers. Thread-safe."""

    def current(self) -> Sequence[Activation]:
        """Return what is kept, at most a second old; asked for each call, so it costs little."""
        ...

    def one_at_a_time(self) -> AbstractContextManager[None]:
        """Hold off every other process that is about to change something."""
        ...

    def read(self) -> Sequence[Activation]:
        """Return what is kept now, ended ones included; ActivationsUnusable when that fails."""
        ...

    def keep(self, activation: Activation) -> None:
        """Keep it durably, in place of an earlier one of its entry; one that fails is not kept."""
        ...

    def let_go(self, override_id: str) -> None:
        """Keep nothing of this entry any more."""
        ...


@dataclass(frozen=True, slots=True)
class SpoolBatch:
    """Records in the order in which one writer wrote them, and how far they reach."""

    writer_id: str
    records: tuple[SpoolRecord, ...]
    position: object
    """Handed back to `acknowledge`; opaque to everybody else."""
    writer_gone: bool
    """True on the last batch of a writer whose process has ended: nothing more will come."""


class SpoolReader(Protocol):
    """The drain's side. One reader per folder, by lock."""

    def batches(self, limit: int) -> Iterator[SpoolBatch]:
        """
        Make one pass over all writers, with at most `limit` records a batch.

        It starts where the last acknowledged batch ended, so one that was not comes again.
        """
        ...

    def acknowledge(self, batch: SpoolBatch, still_open: Sequence[SpoolRecord]) -> None:
        """
        Keep the position durably, and free what is no longer needed.

        `still_open` are the opened records without a settlement; `open_records` gives them back.
        """
        ...

    def open_records(self, writer_id: str) -> Sequence[SpoolRecord]:
        """Return the opened records that the last acknowledgement kept for this writer."""
        ...

    def is_idle(self) -> bool:
        """Whether no writer lives and nothing is left to read."""
        ...


class RuleBooks(Protocol):
    """The price lists under policies/rates."""

    def in_force(self, provider: str, at_ns: int) -> RuleBook:
        """Find the one book for the provider at that instant; NoRuleBook when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Appended:
    """
    What an append did.

    `conflicts` are ids that exist with another payload: the ledger keeps the first, stores the
    other in its table of conflicts, and says so. Usage that comes again under its id counts as a
    duplicate whatever it says. `rejected` are ids of entries that break a rule of the store
    itself: they are kept aside, and the rest is booked.
    """

    inserted: int
    duplicates: int
    conflicts: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events; every field that is set must match. Times are half open, UTC ns."""

    since_ns: int | None = None
    until_ns: int | None = None
    call_id: str | None = None
    trace_id: str | None = None
    equals: Mapping[str, str] = field(default_factory=dict)
    """Column name to value: owner_team, service, environment, status, provider, …"""
    limit: int | None = None
    newest_first: bool = False


@dataclass(frozen=True, slots=True)
class Total:
    """A sum over entries that cannot overflow; unpriced ones are counted, never summed as 0."""

    cost: Decimal
    events: int
    unpriced: int


class Ledger(Protocol):
    """The append-only store of entries."""

    def append(self, entries: Sequence[Entry]) -> Appended:
        """All or nothing; LedgerUnavailable when it could not be done and may be later."""
        ...

    def append_soon(self, entries: Sequence[Entry]) -> Callable[[], Appended]:
        """
        Begin to append, if need be on a thread of its own, and return what waits for it.

        One at a time: nothing else is asked of the ledger before that was called.
        """
        ...

    def rows(self, wanted: EventFilter) -> Iterator[Mapping[str, Any]]:
        """Read entries as flat rows, oldest first unless asked otherwise."""
        ...

    def total(self, wanted: EventFilter) -> Total: ...

    def count_attempts(self) -> int:
        """Count the attempts that went to a provider: no cache hits, nothing that was not sent."""
        ...

    def close(self) -> None: ...
