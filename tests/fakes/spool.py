"""The two ports of the spool in memory: a folder that fakes of both sides share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tallygate.application.ports import SpoolBatch
from tallygate.domain.ledger.events import SpoolRecord, Stage
from tallygate.errors import SpoolFull, SpoolUnusable


@dataclass
class _Writer:
    records: list[SpoolRecord] = field(default_factory=list)
    acknowledged: int = 0
    still_open: tuple[SpoolRecord, ...] = ()
    gone: bool = False


@dataclass
class FakeSpoolFolder:
    """What the disk is for the real ones. `limit` counts records that are not acknowledged."""

    limit: int | None = None
    writers: dict[str, _Writer] = field(default_factory=dict)

    def has_room(self) -> bool:
        waiting = sum(len(each.records) - each.acknowledged for each in self.writers.values())
        return self.limit is None or waiting < self.limit


class FakeSpool:
    """The gate's side."""

    def __init__(self, folder: FakeSpoolFolder | None = None) -> None:
        self.folder = folder or FakeSpoolFolder()
        self._writer_id = f"writer-{len(self.folder.writers) + 1}"
        self._writer = self.folder.writers[self._writer_id] = _Writer()

    @property
    def writer_id(self) -> str:
        return self._writer_id

    @property
    def records(self) -> Sequence[SpoolRecord]:
        return tuple(self._writer.records)

    def has_room(self) -> bool:
        return self.folder.has_room()

    def append(self, record: SpoolRecord, *, owed: bool | None = None) -> None:
        if self._writer.gone:
            raise SpoolUnusable("the spool is closed")
        if owed is None:
            owed = record.stage is Stage.SETTLED
        if not owed and not self.has_room():
            raise SpoolFull("the spool has reached its limit")
        self._writer.records.append(record)

    def close(self) -> None:
        self._writer.gone = True


class FakeReader:
    """The drain's side."""

    def __init__(self, folder: FakeSpoolFolder) -> None:
        self._folder = folder

    def batches(self, limit: int) -> Iterator[SpoolBatch]:
        for writer_id, writer in list(self._folder.writers.items()):
            gone, reached = writer.gone, writer.acknowledged
            if gone and not writer.records and not writer.still_open:
                del self._folder.writers[writer_id]
                continue
            end = len(writer.records)
            while reached < end or gone:
                records = tuple(writer.records[reached : min(end, reached + limit)])
                reached += len(records)
                last = gone and reached == end
                yield SpoolBatch(writer_id, records, reached, writer_gone=last)
                if last:
                    break

    def acknowledge(self, batch: SpoolBatch, still_open: Sequence[SpoolRecord]) -> None:
        writer = self._folder.writers[batch.writer_id]
        assert isinstance(batch.position, int)
        writer.acknowledged = batch.position
        writer.still_open = tuple(still_open)
        if batch.writer_gone and not still_open:
            del self._folder.writers[batch.writer_id]

    def open_records(self, writer_id: str) -> Sequence[SpoolRecord]:
        writer = self._folder.writers.get(writer_id)
        return writer.still_open if writer else ()

    def is_idle(self) -> bool:
        return all(
            each.gone and not each.records and not each.still_open
            for each in self._folder.writers.values()
        )
