"""
From the spool to the ledger: match what was opened with what was settled, price it, book it.

A batch is acknowledged after the ledger has it, so it may come twice and counts once. Nothing
here depends on a clock or on chance: the same batch makes the same entries again.

Shapes  An attempt that is still open when its writer is gone becomes `unknown`. A settlement of
        an attempt that was booked as `unknown` becomes the correction of it.
Errors  LedgerUnavailable and SpoolFull leave `drain_once`; `Drain` waits and tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from tallygate.application.initiators import Lines, with_initiators
from tallygate.application.ports import (
    Appended,
    EventFilter,
    Ledger,
    RuleBooks,
    SpoolBatch,
    SpoolReader,
)
from tallygate.application.pricing import price_of
from tallygate.domain.kernel.ids import uuid7_named
from tallygate.domain.ledger.events import (
    Entry,
    Event,
    EventKind,
    Outcome,
    PriceStatus,
    SpoolRecord,
    Stage,
    Status,
)
from tallygate.errors import LedgerUnavailable, RecordInvalid, SpoolFull, TallygateError

BATCH_RECORDS: Final = 4000
"""As many as 2,000 attempts, opened and settled."""
POLL_MS: Final = 200
FIRST_WAIT_MS: Final = 500
LONGEST_WAIT_MS: Final = 30_000
IDLE_PASSES: Final = 5
"""A proxy that is only just starting holds no spool yet; one quiet look proves nothing."""


@dataclass(frozen=True, slots=True)
class DrainReport:
    """
    What a drain did.

    `unknown` are attempts whose writer went away before they settled. `conflicts` and `rejected`
    are event ids; the ledger keeps what they hold in tables of its own.
    """

    records: int = 0
    inserted: int = 0
    duplicates: int = 0
    unknown: int = 0
    unpriced: int = 0
    conflicts: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()

    def plus(self, other: DrainReport) -> DrainReport:
        return DrainReport(
            records=self.records + other.records,
            inserted=self.inserted + other.inserted,
            duplicates=self.duplicates + other.duplicates,
            unknown=self.unknown + other.unknown,
            unpriced=self.unpriced + other.unpriced,
            conflicts=(*self.conflicts, *other.conflicts),
            rejected=(*self.rejected, *other.rejected),
        )


def drain_once(
    reader: SpoolReader, ledger: Ledger, books: RuleBooks, *, limit: int = BATCH_RECORDS
) -> DrainReport:
    """Book all that the spool holds now."""
    report = DrainReport()
    for done in drain_batches(reader, ledger, books, limit=limit):
        report = report.plus(done)
    return report


def drain_batches(
    reader: SpoolReader, ledger: Ledger, books: RuleBooks, *, limit: int = BATCH_RECORDS
) -> Iterator[DrainReport]:
    """
    Book batch by batch; whoever stops asking stops between two batches.

    While the ledger takes one batch, the next is read and priced. A batch is acknowledged when
    it is booked, so one that is under way when somebody stops comes again.
    """
    under_way: _UnderWay | None = None
    for batch in reader.batches(limit):
        if under_way is not None and under_way.batch.writer_id == batch.writer_id:
            open_before = under_way.still_open
        else:
            open_before = reader.open_records(batch.writer_id)
        try:
            prepared = _prepared(batch, open_before, _BookedLines(ledger, under_way), books)
        except LedgerUnavailable:
            if under_way is not None:  # what it took before it went away is booked all the same
                yield under_way.acknowledged(reader)
            raise
        if under_way is not None:
            yield under_way.acknowledged(reader)
        under_way = _UnderWay(prepared, ledger.append_soon(prepared.entries))
    if under_way is not None:
        yield under_way.acknowledged(reader)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A batch, and what is to become of it."""

    batch: SpoolBatch
    entries: Sequence[Entry]
    still_open: Sequence[SpoolRecord]
    unknown: int


@dataclass(slots=True)
class _UnderWay:
    """A batch that the ledger is taking."""

    prepared: _Prepared
    wait: Callable[[], Appended]

    @property
    def batch(self) -> SpoolBatch:
        return self.prepared.batch

    @property
    def still_open(self) -> Sequence[SpoolRecord]:
        return self.prepared.still_open

    def acknowledged(self, reader: SpoolReader) -> DrainReport:
        appended = self.wait()
        reader.acknowledge(self.batch, self.still_open)
        return DrainReport(
            records=len(self.batch.records),
            inserted=appended.inserted,
            duplicates=appended.duplicates,
            unknown=self.prepared.unknown,
            unpriced=sum(e.price.status is PriceStatus.UNPRICED for e in self.prepared.entries),
            conflicts=appended.conflicts,
            rejected=appended.rejected,
        )


@dataclass(frozen=True, slots=True)
class _BookedLines:
    """The ledger's lines, those included that it is taking."""

    ledger: Ledger
    under_way: _UnderWay | None

    def rows(self, wanted: EventFilter) -> Iterator[Mapping[str, Any]]:
        if self.under_way is not None:
            self.under_way.wait()
        return self.ledger.rows(wanted)


def _prepared(
    batch: SpoolBatch, open_before: Sequence[SpoolRecord], lines: Lines, books: RuleBooks
) -> _Prepared:
    settlements, still_open = _match(batch, open_before)
    abandoned: list[Event] = []
    if batch.writer_gone:
        abandoned, still_open = _abandoned(still_open)
    events = with_initiators([*_with_corrections(settlements, lines), *abandoned], lines)
    entries = [Entry(event, price_of(event, books)) for event in events]
    return _Prepared(batch, entries, still_open, unknown=len(abandoned))


@dataclass(frozen=True, slots=True)
class _Settlement:
    event: Event
    was_open: bool
    """Whether its opening is at hand; if not, the attempt may have been booked already."""


def _match(
    batch: SpoolBatch, open_before: Sequence[SpoolRecord]
) -> tuple[list[_Settlement], list[SpoolRecord]]:
    still_open = {record.event_id: record for record in open_before}
    settlements = []
    for record in batch.records:
        if record.stage is Stage.OPENED:
            still_open[record.event_id] = record
        else:
            event = record.event
            was_open = still_open.pop(event.event_id, None) is not None
            settlements.append(_Settlement(_complete(event), was_open))
    return settlements, list(still_open.values())


def _with_corrections(settlements: Sequence[_Settlement], lines: Lines) -> Iterator[Event]:
    booked_here: dict[str, Event] = {}
    for settlement in settlements:
        event = settlement.event
        before = booked_here.get(event.event_id)
        if before is None:
            booked_here[event.event_id] = event
        if event.kind is not EventKind.ATTEMPT or event == before:
            yield event
        elif before is not None:
            late = _is_unknown(before) and not _is_unknown(event)
            yield _correction_of(event) if late else event
        elif settlement.was_open or not _is_booked_as_unknown(event, lines):
            yield event
        else:
            yield _correction_of(event)


def _is_unknown(event: Event) -> bool:
    return event.outcome is not None and event.outcome.status is Status.UNKNOWN


def _is_booked_as_unknown(event: Event, lines: Lines) -> bool:
    if _is_unknown(event):
        return False  # that would be the same line again
    wanted = EventFilter(
        equals={
            "event_id": event.event_id,
            "status": Status.UNKNOWN.value,
            "kind": EventKind.ATTEMPT.value,
        }
    )
    return any(True for _ in lines.rows(wanted))


def _correction_of(event: Event) -> Event:
    assert event.outcome is not None, event.event_id
    # From the id that it corrects, so that the same settlement is the same correction again.
    return replace(
        event,
        event_id=uuid7_named(event.outcome.settled_at_ns, event.event_id),
        kind=EventKind.CORRECTION,
        corrects_event_id=event.event_id,
    )


def _abandoned(still_open: Sequence[SpoolRecord]) -> tuple[list[Event], list[SpoolRecord]]:
    """Make the open attempts unknown; what turns out to be no event is the reader's to keep."""
    events, unreadable = [], []
    for record in still_open:
        try:
            event = record.event
        except RecordInvalid:
            unreadable.append(record)
        else:
            events.append(replace(event, outcome=_unknown_outcome(event, "writer_gone")))
    return events, unreadable


def _complete(event: Event) -> Event:
    if event.outcome is not None:
        return event
    if event.kind is EventKind.REFUSAL:
        refused = Outcome(status=Status.REFUSED, settled_at_ns=event.occurred_at_ns)
        return replace(event, outcome=refused)
    return replace(event, outcome=_unknown_outcome(event, "outcome_missing"))


def _unknown_outcome(event: Event, detail: str) -> Outcome:
    # When it ended nobody knows; the instant of its opening is the only one that stays the same.
    return Outcome(status=Status.UNKNOWN, settled_at_ns=event.occurred_at_ns, detail=detail)


class Notice(StrEnum):
    """What began or ended to hold the drain up, to be logged once."""

    LEDGER_UNAVAILABLE = "ledger_unavailable"
    LEDGER_BACK = "ledger_back"
    SPOOL_FULL = "spool_full"
    """How far the spool was read cannot be kept, so what was booked comes again."""
    SPOOL_WRITABLE = "spool_writable"


_ENDS: Final = {
    Notice.LEDGER_UNAVAILABLE: Notice.LEDGER_BACK,
    Notice.SPOOL_FULL: Notice.SPOOL_WRITABLE,
}


@dataclass(frozen=True, slots=True)
class Step:
    """What one pass did, and when to make the next."""

    report: DrainReport
    wait_ms: int
    """0 where more may be waiting already."""
    notice: Notice | None = None
    reason: str = ""
    """What it was held up by, in words; empty when it was not."""
    finished: bool = False
    """No writer has lived, and nothing was left, for `IDLE_PASSES` passes."""


class Drain:
    """A drain that goes on: keeps what it must remember between two passes."""

    def __init__(
        self,
        reader: SpoolReader,
        ledger: Ledger,
        books: RuleBooks,
        *,
        limit: int = BATCH_RECORDS,
    ) -> None:
        self._reader = reader
        self._ledger = ledger
        self._books = books
        self._limit = limit
        self._held_up_by: Notice | None = None
        self._wait_ms = FIRST_WAIT_MS
        self._idle_passes = 0

    def step(self, stop: Callable[[], bool] = lambda: False) -> Step:
        """Make one pass; `stop` is asked after each batch."""
        report = DrainReport()
        try:
            for done in drain_batches(self._reader, self._ledger, self._books, limit=self._limit):
                report = report.plus(done)
                if stop():
                    break
        except LedgerUnavailable as error:
            return self._held_up(report, Notice.LEDGER_UNAVAILABLE, error)
        except SpoolFull as error:
            return self._held_up(report, Notice.SPOOL_FULL, error)
        notice = None if self._held_up_by is None else _ENDS[self._held_up_by]
        self._held_up_by = None
        self._wait_ms = FIRST_WAIT_MS
        idle = not report.records and self._reader.is_idle()
        self._idle_passes = self._idle_passes + 1 if idle else 0
        return Step(
            report,
            wait_ms=0 if report.records else POLL_MS,
            notice=notice,
            finished=self._idle_passes >= IDLE_PASSES,
        )

    def _held_up(self, report: DrainReport, by: Notice, error: TallygateError) -> Step:
        notice = None if self._held_up_by is by else by
        wait_ms = FIRST_WAIT_MS if report.records else self._wait_ms
        self._held_up_by = by
        self._idle_passes = 0
        self._wait_ms = min(wait_ms * 2, LONGEST_WAIT_MS)
        return Step(report, wait_ms=wait_ms, notice=notice, reason=str(error))
