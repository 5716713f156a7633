"""Openings that turn out to be no event: kept aside when somebody has to look, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.entries import an_event, event_id, opened, settled
from fakes.ledger import FakeLedger
from fakes.rule_books import FakeRuleBooks
from tallygate.adapters.spool.reader import SegmentReader
from tallygate.adapters.spool.segments import frame_bytes, header_bytes
from tallygate.adapters.spool.writer import SegmentSpool
from tallygate.application.drain import DrainReport, drain_once
from tallygate.application.ports import EventFilter
from tallygate.domain.ledger.codec import bytes_from_record
from tallygate.errors import RecordInvalid


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


def written(folder: Path, *payloads: bytes) -> SegmentReader:
    """Write a writer's segment by hand, as if another release had written it."""
    spool = SegmentSpool(folder)
    spool.append(settled(an_event(99)))
    spool.close()
    (segment,) = folder.glob("*.seg*")
    frames = [frame_bytes(payload, n) for n, payload in enumerate(payloads, start=1)]
    segment.write_bytes(header_bytes() + b"".join(frames))
    return SegmentReader(folder)


def drained(reader: SegmentReader, ledger: FakeLedger) -> DrainReport:
    return drain_once(reader, ledger, FakeRuleBooks([]))


def odd_opening(number: int) -> bytes:
    return bytes_from_record(opened(an_event(number))).replace(b'"call_id"', b'"call_ib"')


def test_an_odd_opening_that_nobody_settled_is_kept_aside_once(
    tmp_path: Path, ledger: FakeLedger
) -> None:
    whole = bytes_from_record(opened(an_event(2)))
    reader = written(tmp_path, odd_opening(1), whole)

    report = drained(reader, ledger)

    assert (report.records, report.unknown) == (2, 1)
    assert list(ledger.lines) == [event_id(2)]
    (fault,) = reader.faults
    assert isinstance(fault, RecordInvalid)
    (aside,) = tmp_path.glob("*.bad")
    assert aside.read_bytes() == odd_opening(1)
    assert reader.is_idle()
    reader.close()


def test_an_odd_opening_loses_nothing_once_it_is_settled(
    tmp_path: Path, ledger: FakeLedger
) -> None:
    reader = written(tmp_path, odd_opening(1), bytes_from_record(settled(an_event(1))))

    report = drained(reader, ledger)

    assert (report.records, report.inserted) == (2, 1)
    assert next(iter(ledger.rows(EventFilter())))["status"] == "ok"
    assert reader.faults == []
    reader.close()
