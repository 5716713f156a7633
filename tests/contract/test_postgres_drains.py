"""Many spools, one ledger: drains at once, drains that die, drains in each other's way."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fakes.entries import a_call, an_attempt, an_event, an_outcome, event_id, opened, settled
from fakes.rule_books import FakeRuleBooks
from tallygate.adapters.spool.reader import SegmentReader
from tallygate.adapters.spool.writer import SegmentSpool
from tallygate.adapters.stores.postgres import PostgresLedger
from tallygate.application.drain import drain_once
from tallygate.application.ports import EventFilter, SpoolBatch
from tallygate.domain.ledger.events import Event, EventKind, SpoolRecord

ROOT = Path(__file__).parents[2]
EVERYTHING = EventFilter()
EACH = 1500
BATCH_ID = 900_001


@pytest.fixture
def ledger(postgres_url: str) -> Iterator[PostgresLedger]:
    ledger = PostgresLedger(postgres_url)
    yield ledger
    ledger.close()


def attempts_of(proxy: int) -> list[Event]:
    return [
        an_event(
            proxy * 100_000 + number,
            call=a_call(call_id=f"call-{proxy}-{number}"),
            outcome=None if number % 50 == 0 else an_outcome(),
        )
        for number in range(1, EACH + 1)
    ]


def a_polled_batch(proxy: int) -> Event:
    """Return the usage of one batch, as each proxy saw it that asked for it."""
    return an_event(
        BATCH_ID,
        kind=EventKind.USAGE,
        call=a_call(call_type="acreate_batch", call_id=f"poll-{proxy}"),
        attempt=an_attempt(operation="batch"),
        outcome=an_outcome(response_id="batch_1"),
    )


def write_spool(folder: Path, events: Sequence[Event]) -> None:
    spool = SegmentSpool(folder)
    for event in events:
        spool.append(opened(event))
        if event.outcome is not None:
            spool.append(settled(event))
    spool.close()


def a_drain(spool: Path, url: str) -> subprocess.Popen[str]:
    arguments = ["--spool", spool, "--ledger", url, "--policies", ROOT / "policies"]
    command = [sys.executable, "-m", "tallygate", "drain", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_four_proxies_with_their_drains_at_once_are_booked_exactly_once(
    ledger: PostgresLedger, postgres_url: str, tmp_path: Path
) -> None:
    written: list[Event] = []
    for proxy in range(1, 5):
        events = [*attempts_of(proxy), a_polled_batch(proxy)]
        write_spool(tmp_path / str(proxy), events)
        written += events

    drains = [a_drain(tmp_path / str(proxy), postgres_url) for proxy in range(1, 5)]
    ended = [(*drain.communicate(timeout=200), drain.returncode) for drain in drains]

    assert [code for _, _, code in ended] == [0, 0, 0, 0], ended
    booked = list(ledger.rows(EVERYTHING))
    assert Counter(row["event_id"] for row in booked) == Counter({e.event_id for e in written})
    assert Counter(row["status"] for row in booked) == {"ok": 4 * 1470 + 1, "unknown": 4 * 30}
    assert ledger.count_attempts() == 4 * EACH
    assert ledger.count_rejected() == 0
    assert len({row["tenant_ref"] for row in booked}) == 1
    assert len({row["seq"] for row in booked}) == len(booked)


class DiesBeforeItAcknowledges(SegmentReader):
    def acknowledge(self, batch: SpoolBatch, still_open: Sequence[SpoolRecord]) -> None:
        raise KeyboardInterrupt


def test_a_drain_that_dies_between_booking_and_acknowledging_counts_once(
    ledger: PostgresLedger, tmp_path: Path
) -> None:
    write_spool(tmp_path, attempts_of(1))
    dying = DiesBeforeItAcknowledges(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        drain_once(dying, ledger, FakeRuleBooks([]), limit=400)
    booked_before = ledger.total(EVERYTHING).events
    dying.close()

    reader = SegmentReader(tmp_path)
    report = drain_once(reader, ledger, FakeRuleBooks([]), limit=1000)
    reader.close()

    assert booked_before > 0
    assert (report.inserted, report.duplicates) == (EACH - booked_before, booked_before)
    assert ledger.count_attempts() == EACH


def test_of_two_drains_on_one_folder_one_gives_way(
    ledger: PostgresLedger, postgres_url: str, tmp_path: Path
) -> None:
    write_spool(tmp_path, [an_event(1)])
    reader = SegmentReader(tmp_path)

    second = a_drain(tmp_path, postgres_url)
    _, said = second.communicate(timeout=100)

    assert second.returncode != 0
    assert "another drain reads the spool folder" in said
    drain_once(reader, ledger, FakeRuleBooks([]))
    reader.close()
    assert [row["event_id"] for row in ledger.rows(EVERYTHING)] == [event_id(1)]
