"""What every spool promises: the segments on disk and the fake in memory alike."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from fakes.entries import an_event, opened, settled
from fakes.spool import FakeReader, FakeSpool, FakeSpoolFolder
from tallygate.adapters.spool import SegmentReader, SegmentSpool
from tallygate.application.ports import Spool, SpoolBatch, SpoolReader
from tallygate.domain.ledger.events import SpoolRecord
from tallygate.errors import SpoolFull, SpoolUnusable


class Place(Protocol):
    """Where spools of one kind live."""

    def writer(self, *, small: bool = False) -> Spool: ...

    def reader(self) -> SpoolReader:
        """Return a reader as of a drain that has just started."""

    def leave(self) -> None: ...


class OnDisk:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writers: list[SegmentSpool] = []
        self._reader: SegmentReader | None = None

    def writer(self, *, small: bool = False) -> SegmentSpool:
        sizes = {"segment_bytes": 8192, "limit_bytes": 40_000, "reserved_bytes": 4096}
        made = SegmentSpool(self._folder, **sizes) if small else SegmentSpool(self._folder)
        self._writers.append(made)
        return made

    def reader(self) -> SegmentReader:
        if self._reader is not None:
            self._reader.close()
        self._reader = SegmentReader(self._folder)
        return self._reader

    def leave(self) -> None:
        for writer in self._writers:
            writer.close()
        if self._reader is not None:
            self._reader.close()


class InMemory:
    def __init__(self) -> None:
        self._folder = FakeSpoolFolder()

    def writer(self, *, small: bool = False) -> FakeSpool:
        if small:
            self._folder.limit = 10
        return FakeSpool(self._folder)

    def reader(self) -> FakeReader:
        return FakeReader(self._folder)

    def leave(self) -> None: ...


@pytest.fixture(params=["segments", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    made = OnDisk(tmp_path / "spool") if request.param == "segments" else InMemory()
    yield made
    made.leave()


def some(count: int, start: int = 1) -> list[SpoolRecord]:
    """Return records that open an attempt and settle it, in turn."""
    events = [an_event(number) for number in range(start, start + count)]
    return [step(event) for event in events for step in (opened, settled)][:count]


def read(reader: SpoolReader, limit: int = 100) -> list[SpoolBatch]:
    """Read to the end and acknowledge everything."""
    found = []
    for batch in reader.batches(limit):
        reader.acknowledge(batch, ())
        found.append(batch)
    return found


def records_of(batches: list[SpoolBatch]) -> list[SpoolRecord]:
    return [record for batch in batches for record in batch.records]


def test_records_come_out_as_they_went_in(place: Place) -> None:
    writer, written = place.writer(), some(7)
    for record in written:
        writer.append(record)

    batches = read(place.reader(), limit=3)

    assert records_of(batches) == written
    assert [len(batch.records) for batch in batches] == [3, 3, 1]
    assert {batch.writer_id for batch in batches} == {writer.writer_id}


def test_a_living_writer_is_never_said_to_be_gone(place: Place) -> None:
    writer = place.writer()
    writer.append(some(1)[0])

    batches = read(place.reader())

    assert [batch.writer_gone for batch in batches] == [False]


@pytest.mark.parametrize("count", [0, 1, 2, 4, 5])
def test_only_the_last_batch_of_an_ended_writer_says_so(place: Place, count: int) -> None:
    writer = place.writer()
    for record in some(count + 1):
        writer.append(record)
    reader = place.reader()
    first = next(iter(reader.batches(1)))
    reader.acknowledge(first, ())
    writer.close()

    batches = read(reader, limit=2)

    assert [batch.writer_gone for batch in batches][-1]
    assert not any(batch.writer_gone for batch in batches[:-1])
    assert len(records_of(batches)) == count


def test_a_writer_that_wrote_nothing_leaves_nothing_to_read(place: Place) -> None:
    place.writer().close()
    reader = place.reader()

    assert records_of(read(reader)) == []
    assert reader.is_idle()


def test_what_was_acknowledged_does_not_come_again(place: Place) -> None:
    writer, written = place.writer(), some(6)
    for record in written[:4]:
        writer.append(record)
    read(place.reader(), limit=3)
    for record in written[4:]:
        writer.append(record)

    batches = read(place.reader())

    assert records_of(batches) == written[4:]


def test_a_batch_that_was_not_acknowledged_comes_again(place: Place) -> None:
    writer, written = place.writer(), some(5)
    for record in written:
        writer.append(record)
    reader = place.reader()
    first, *_ = list(reader.batches(2))
    reader.acknowledge(first, ())

    again = list(reader.batches(2))
    by_another = list(place.reader().batches(2))

    assert records_of(again) == records_of(by_another) == written[2:]


def test_a_last_batch_that_was_not_acknowledged_comes_again(place: Place) -> None:
    writer, written = place.writer(), some(1)
    writer.append(written[0])
    writer.close()
    list(place.reader().batches(10))

    (batch,) = list(place.reader().batches(10))

    assert batch.records == tuple(written)
    assert batch.writer_gone


def test_open_records_are_given_back_to_the_next_drain(place: Place) -> None:
    writer, still_open = place.writer(), opened(an_event(1))
    writer.append(still_open)
    reader = place.reader()
    (batch,) = list(reader.batches(10))
    reader.acknowledge(batch, [still_open])

    given = place.reader().open_records(writer.writer_id)

    assert list(given) == [still_open]


def test_an_ended_writer_comes_back_for_what_is_still_open(place: Place) -> None:
    writer, still_open = place.writer(), opened(an_event(1))
    writer.append(still_open)
    reader = place.reader()
    (batch,) = list(reader.batches(10))
    reader.acknowledge(batch, [still_open])
    writer.close()
    reader = place.reader()

    (last,) = list(reader.batches(10))
    held = list(reader.open_records(writer.writer_id))
    idle_before = reader.is_idle()
    reader.acknowledge(last, ())

    assert (last.records, last.writer_gone) == ((), True)
    assert held == [still_open]
    assert not idle_before
    assert reader.is_idle()
    assert list(reader.batches(10)) == []


def test_a_writer_nobody_heard_of_has_no_open_records(place: Place) -> None:
    assert list(place.reader().open_records("0191b3a0-0000-7000-8000-000000000001")) == []


def test_the_folder_is_idle_only_when_all_have_ended_and_all_is_read(place: Place) -> None:
    reader = place.reader()
    idle_at_first = reader.is_idle()
    writer = place.writer()
    idle_beside_a_writer = reader.is_idle()
    writer.append(some(1)[0])
    writer.close()
    idle_with_a_record_left = reader.is_idle()
    read(reader)

    assert idle_at_first
    assert not idle_beside_a_writer
    assert not idle_with_a_record_left
    assert reader.is_idle()


def test_several_writers_are_read_apart_and_oldest_first(place: Place) -> None:
    writers = [place.writer() for _ in range(3)]
    for number, record in enumerate(some(9)):
        writers[number % 3].append(record)

    batches = read(place.reader())

    assert [batch.writer_id for batch in batches] == [each.writer_id for each in writers]
    assert [list(batch.records) for batch in batches] == [some(9)[n::3] for n in range(3)]


def test_a_full_spool_opens_nothing_and_settles_what_was_opened(place: Place) -> None:
    writer, count = place.writer(small=True), 0
    while writer.has_room():
        writer.append(opened(an_event(count)))
        count += 1

    with pytest.raises(SpoolFull):
        writer.append(opened(an_event(count)))
    for number in range(count):
        writer.append(settled(an_event(number)))

    assert len(records_of(read(place.reader()))) == 2 * count


def test_a_full_spool_takes_what_is_owed_a_record_and_nothing_else(place: Place) -> None:
    writer, count = place.writer(small=True), 0
    while writer.has_room():
        writer.append(opened(an_event(count)))
        count += 1

    writer.append(opened(an_event(count)), owed=True)
    with pytest.raises(SpoolFull):
        writer.append(settled(an_event(count + 1)), owed=False)

    found = records_of(read(place.reader()))
    assert found[-1] == opened(an_event(count))
    assert len(found) == count + 1


def test_a_closed_spool_takes_nothing_and_closes_twice(place: Place) -> None:
    writer = place.writer()
    writer.close()

    writer.close()

    with pytest.raises(SpoolUnusable):
        writer.append(some(1)[0])


def test_threads_may_write_at_once(place: Place) -> None:
    writer = place.writer()
    threads = [
        threading.Thread(target=lambda n=n: [writer.append(each) for each in some(50, n * 50)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    found = records_of(read(place.reader()))

    assert len(found) == 200
    for n in range(4):
        own = some(50, n * 50)
        assert [record for record in found if record in own] == own
