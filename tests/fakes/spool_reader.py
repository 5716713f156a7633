"""The `SpoolReader` port in memory: what a test puts in comes out in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tallygate.application.ports import SpoolBatch
from tallygate.domain.ledger.events import SpoolRecord


@dataclass
class _Writer:
    records: list[SpoolRecord] = field(default_factory=list)
    read: int = 0
    open_records: tuple[SpoolRecord, ...] = ()
    gone: bool = False
    farewell: bool = False
    """Whether the last batch was acknowledged."""


class FakeSpoolReader:
    def __init__(self) -> None:
        self._writers: dict[str, _Writer] = {}

    def write(self, *records: SpoolRecord, writer_id: str = "writer-1") -> None:
        self._writers.setdefault(writer_id, _Writer()).records.extend(records)

    def end(self, writer_id: str = "writer-1") -> None:
        self._writers[writer_id].gone = True

    def batches(self, limit: int) -> Iterator[SpoolBatch]:
        for writer_id, writer in self._writers.items():
            start, last = writer.read, writer.farewell
            while not last and (writer.gone or start < len(writer.records)):
                records = tuple(writer.records[start : start + limit])
                start += len(records)
                last = writer.gone and start == len(writer.records)
                yield SpoolBatch(writer_id, records, (start, last), last)

    def acknowledge(self, batch: SpoolBatch, still_open: Sequence[SpoolRecord]) -> None:
        writer = self._writers[batch.writer_id]
        assert isinstance(batch.position, tuple)
        writer.read, writer.farewell = batch.position
        writer.open_records = tuple(still_open)

    def open_records(self, writer_id: str) -> Sequence[SpoolRecord]:
        return self._writers[writer_id].open_records

    def is_idle(self) -> bool:
        return all(writer.farewell for writer in self._writers.values())
