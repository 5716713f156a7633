from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from fakes.entries import (
    NOON_NS,
    a_refusal,
    an_event,
    an_outcome,
    an_unknown,
    event_id,
    opened,
    settled,
)
from fakes.ledger import FakeLedger
from fakes.spool_reader import FakeSpoolReader
from tallygate.application.drain import (
    FIRST_WAIT_MS,
    IDLE_PASSES,
    LONGEST_WAIT_MS,
    POLL_MS,
    Drain,
    DrainReport,
    Notice,
    drain_batches,
    drain_once,
)
from tallygate.application.ports import Appended, EventFilter, SpoolBatch
from tallygate.domain.ledger.events import Entry, EventKind, SpoolRecord, Status
from tallygate.domain.pricing.rule_book import RuleBook
from tallygate.errors import LedgerUnavailable, NoRuleBook, SpoolFull

EVERYTHING = EventFilter()


class NoBooks:
    """No price list at all: drains book, whatever an entry costs."""

    def in_force(self, provider: str, at_ns: int) -> RuleBook:
        raise NoRuleBook(f"no rule book for {provider} at {at_ns}")


@pytest.fixture
def reader() -> FakeSpoolReader:
    return FakeSpoolReader()


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


def drained(reader: FakeSpoolReader, ledger: FakeLedger, limit: int = 500) -> DrainReport:
    return drain_once(reader, ledger, NoBooks(), limit=limit)


def statuses(ledger: FakeLedger) -> dict[str, str]:
    return {row["event_id"]: row["status"] for row in ledger.rows(EVERYTHING)}


def test_an_empty_spool_books_nothing(reader: FakeSpoolReader, ledger: FakeLedger) -> None:
    assert drained(reader, ledger) == DrainReport()


def test_what_is_settled_is_booked_once_and_what_is_open_waits(
    reader: FakeSpoolReader, ledger: FakeLedger
) -> None:
    reader.write(opened(an_event(1)), opened(an_event(2)), settled(an_event(1)))

    report = drained(reader, ledger)

    assert report == DrainReport(records=3, inserted=1, unpriced=1)
    assert statuses(ledger) == {event_id(1): "ok"}
    assert reader.open_records("writer-1") == (opened(an_event(2)),)
    assert drained(reader, ledger) == DrainReport()


@pytest.mark.parametrize("limit", [1, 2, 500])
def test_opening_and_settlement_find_each_other_in_any_batch(
    reader: FakeSpoolReader, ledger: FakeLedger, limit: int
) -> None:
    for number in (1, 2, 3):
        reader.write(opened(an_event(number)))
    for number in (3, 1):
        reader.write(settled(an_event(number)))
    reader.end()

    report = drained(reader, ledger, limit)

    assert (report.records, report.inserted, report.unknown) == (5, 3, 1)
    assert statuses(ledger) == {event_id(3): "ok", event_id(1): "ok", event_id(2): "unknown"}


def test_what_is_open_when_its_writer_is_gone_is_booked_as_unknown(
    reader: FakeSpoolReader, ledger: FakeLedger
) -> None:
    reader.write(opened(an_event(1)))
    drained(reader, ledger)
    reader.end()

    report = drained(reader, ledger)

    (row,) = ledger.rows(EVERYTHING)
    assert report == DrainReport(inserted=1, unknown=1, unpriced=1)
    assert (row["status"], row["detail"], row["cost"]) == ("unknown", "writer_gone", None)
    assert row["settled_at_ns"] == row["occurred_at_ns"] == NOON_NS
    assert ledger.count_attempts() == 1
    assert reader.open_records("writer-1") == ()


def test_a_batch_that_was_booked_but_not_acknowledged_counts_once(ledger: FakeLedger) -> None:
    for _ in range(2):
        reader = FakeSpoolReader()
        reader.write(opened(an_event(1)), opened(an_event(2)), settled(an_event(1)))
        reader.write(settled(an_unknown(3)), settled(an_event(3)))
        reader.end()
        report = drained(reader, ledger)

    assert report == DrainReport(records=5, duplicates=4, unknown=1, unpriced=4)
    assert len(ledger.lines) == 4


def test_other_facts_under_the_same_id_are_reported_by_id(
    reader: FakeSpoolReader, ledger: FakeLedger
) -> None:
    reader.write(settled(an_event(1)), settled(an_event(1, outcome=an_outcome(http_status=201))))

    assert drained(reader, ledger).conflicts == (event_id(1),)


def test_a_settlement_after_the_attempt_was_booked_as_unknown_is_its_correction(
    reader: FakeSpoolReader, ledger: FakeLedger
) -> None:
    reader.write(opened(an_event(1)), settled(an_unknown(1)))
    drained(reader, ledger)
    reader.write(settled(an_event(1)))

    report = drained(reader, ledger)

    unknown, correction = ledger.rows(EVERYTHING)
    assert report.conflicts == ()
    assert (unknown["status"], unknown["kind"]) == ("unknown", "attempt")
    assert (correction["status"], correction["kind"]) == ("ok", "correction")
    assert correction["corrects_event_id"] == unknown["event_id"] != correction["event_id"]
    assert ledger.count_attempts() == 1


def test_the_same_late_settlement_is_the_same_correction_in_whatever_batch(
    ledger: FakeLedger,
) -> None:
    late = settled(an_event(1))
    for limit in (1, 500):
        reader = FakeSpoolReader()
        reader.write(opened(an_event(1)), settled(an_unknown(1)), late, late)
        drained(reader, ledger, limit)

    assert [row["kind"] for row in ledger.rows(EVERYTHING)] == ["attempt", "correction"]
    assert ledger.conflicts == {}


def test_unknown_is_never_the_correction_of_anything(
    reader: FakeSpoolReader, ledger: FakeLedger
) -> None:
    another = an_unknown(1, outcome=replace(an_outcome(), status=Status.UNKNOWN))
    reader.write(settled(an_unknown(1)), settled(another))
    assert drained(reader, ledger).conflicts == (event_id(1),)

    reader.write(settled(an_unknown(1)))
    assert drained(reader, ledger).duplicates == 1
    assert len(ledger.lines) == 1


def test_a_correction_by_the_gate_itself_is_booked_as_it_is(
    reader: FakeSpoolReader, ledger: FakeLedger
) -> None:
    correction = an_event(2, kind=EventKind.CORRECTION, corrects_event_id=event_id(1))
    reader.write(settled(an_unknown(1)), settled(correction), settled(a_refusal(3)))

    drained(reader, ledger)

    assert [row["kind"] for row in ledger.rows(EVERYTHING)] == ["attempt", "correction", "refusal"]
    assert ledger.total(EVERYTHING).unpriced == 1


@pytest.mark.parametrize(
    ("event", "status"),
    [
        pytest.param(an_event(1, outcome=None), "unknown", id="attempt"),
        pytest.param(a_refusal(1, outcome=None), "refused", id="refusal"),
    ],
)
def test_a_settled_record_without_an_outcome_is_booked_all_the_same(
    reader: FakeSpoolReader, ledger: FakeLedger, event: object, status: str
) -> None:
    reader.write(settled(event))  # type: ignore[arg-type]  # parametrised

    drained(reader, ledger)

    assert statuses(ledger) == {event_id(1): status}


def test_a_refusal_costs_nothing(reader: FakeSpoolReader, ledger: FakeLedger) -> None:
    reader.write(settled(a_refusal(1)))

    assert drained(reader, ledger).unpriced == 0
    assert [row["cost"] for row in ledger.rows(EVERYTHING)] == [Decimal(0)]


def test_a_ledger_that_is_down_leaves_the_batch_in_the_spool(
    reader: FakeSpoolReader, ledger: FakeLedger
) -> None:
    reader.write(settled(an_event(1)))
    ledger.out_of_reach = "locked"
    with pytest.raises(LedgerUnavailable):
        drained(reader, ledger)

    ledger.out_of_reach = ""

    assert drained(reader, ledger).inserted == 1


def test_who_stops_asking_stops_between_two_batches(
    reader: FakeSpoolReader, ledger: FakeLedger
) -> None:
    reader.write(*(settled(an_event(number)) for number in range(1, 4)))
    batches = drain_batches(reader, ledger, NoBooks(), limit=1)

    next(batches)
    batches.close()

    assert len(ledger.lines) == 1


# The drain that goes on


def test_a_drain_asks_again_at_once_while_there_is_more(
    reader: FakeSpoolReader, ledger: FakeLedger
) -> None:
    drain = Drain(reader, ledger, NoBooks())
    reader.write(settled(an_event(1)))

    first, second = drain.step(), drain.step()

    assert (first.report.inserted, first.wait_ms, first.notice) == (1, 0, None)
    assert (second.report.records, second.wait_ms, second.finished) == (0, POLL_MS, False)


def test_a_drain_finishes_after_it_was_idle_for_some_passes(
    reader: FakeSpoolReader, ledger: FakeLedger
) -> None:
    drain = Drain(reader, ledger, NoBooks())
    reader.write(settled(an_event(1)))
    reader.end()

    steps = [drain.step() for _ in range(IDLE_PASSES + 1)]

    assert [step.finished for step in steps] == [False] * IDLE_PASSES + [True]


def test_a_drain_says_once_that_the_ledger_is_down_and_once_that_it_is_back(
    reader: FakeSpoolReader, ledger: FakeLedger
) -> None:
    drain = Drain(reader, ledger, NoBooks())
    reader.write(settled(an_event(1)))
    ledger.out_of_reach = "locked"

    down = [drain.step() for _ in range(9)]
    ledger.out_of_reach = ""
    up = [drain.step(), drain.step()]

    assert [step.notice for step in down] == [Notice.LEDGER_UNAVAILABLE] + [None] * 8
    assert {step.reason for step in down} == {"locked"}
    assert [step.wait_ms for step in down[:3]] == [FIRST_WAIT_MS, 1000, 2000]
    assert down[-1].wait_ms == LONGEST_WAIT_MS
    assert [step.notice for step in up] == [Notice.LEDGER_BACK, None]
    assert statuses(ledger) == {event_id(1): "ok"}


class ReaderOnAFullDisk(FakeSpoolReader):
    full = True

    def acknowledge(self, batch: SpoolBatch, still_open: Sequence[SpoolRecord]) -> None:
        if self.full:
            raise SpoolFull("its disk is full")
        super().acknowledge(batch, still_open)


def test_a_drain_that_cannot_keep_its_place_waits_for_room_and_books_nothing_twice(
    ledger: FakeLedger,
) -> None:
    reader = ReaderOnAFullDisk()
    drain = Drain(reader, ledger, NoBooks())
    reader.write(settled(an_event(1)))

    full = [drain.step() for _ in range(3)]
    reader.full = False
    after = [drain.step(), drain.step()]

    assert [step.notice for step in full] == [Notice.SPOOL_FULL, None, None]
    assert [step.wait_ms for step in full] == [FIRST_WAIT_MS, 1000, 2000]
    assert [step.notice for step in after] == [Notice.SPOOL_WRITABLE, None]
    assert (after[0].report.inserted, after[0].report.duplicates) == (0, 1)
    assert statuses(ledger) == {event_id(1): "ok"}


class GivesOutAfterEachBatch(FakeLedger):
    def append(self, entries: Sequence[Entry]) -> Appended:
        appended = super().append(entries)
        self.out_of_reach = "locked"
        return appended


def test_a_drain_that_got_somewhere_does_not_wait_longer(reader: FakeSpoolReader) -> None:
    ledger = GivesOutAfterEachBatch()
    drain = Drain(reader, ledger, NoBooks(), limit=1)
    reader.write(*(settled(an_event(number)) for number in range(1, 4)))

    first = drain.step()
    ledger.out_of_reach = ""
    second = drain.step()

    assert (first.report.inserted, first.wait_ms) == (1, FIRST_WAIT_MS)
    assert (second.report.inserted, second.wait_ms, second.notice) == (1, FIRST_WAIT_MS, None)


def test_a_drain_that_is_told_to_stop_finishes_its_batch(
    reader: FakeSpoolReader, ledger: FakeLedger
) -> None:
    drain = Drain(reader, ledger, NoBooks(), limit=1)
    reader.write(settled(an_event(1)), settled(an_event(2)))

    step = drain.step(stop=lambda: True)

    assert step.report.records == 1
    assert reader.open_records("writer-1") == ()
    assert drain.step().report.inserted == 1
