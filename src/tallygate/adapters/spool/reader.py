"""
The drain's side of the spool: batches per writer, acknowledged durably, freed by whole segments.

Shapes  One pass reads what was there when it came to a writer. Whether the writer is gone is
        settled before its segments are listed and read, so a last batch misses nothing.
Errors  What cannot be read is kept in a `.bad` file, said once in `faults`, and passed over.
        A segment of another format, or a stretch that cannot be kept, holds its writer back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from tallygate.adapters.spool import folder as places
from tallygate.adapters.spool.offsets import (
    START,
    UNKNOWN,
    Kept,
    Position,
    bytes_from_kept,
    kept_from_bytes,
)
from tallygate.adapters.spool.segments import (
    HEADER_BYTES,
    Frame,
    Header,
    Stretch,
    header_in,
    is_unfinished,
    walk,
)
from tallygate.application.ports import SpoolBatch
from tallygate.domain.ledger.codec import record_from_bytes
from tallygate.domain.ledger.events import SpoolRecord
from tallygate.domain.ledger.openings import UnreadOpening
from tallygate.errors import (
    DrainRunning,
    RecordInvalid,
    SegmentCorrupt,
    SegmentTorn,
    SpoolError,
    SpoolFull,
    SpoolUnusable,
)

DRAIN_LOCK: Final = "drain.lock"
_RESERVED_BYTES: Final = 1024 * 1024
"""Kept so that on a full disk the drain can still write how far it has come."""
_LEAST_RESERVED_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class _Segment:
    """One segment as it was when its writer's turn came."""

    writer_id: str
    number: int
    path: Path
    data: bytes
    """From `base` to the end."""
    base: int
    last: bool
    gone: bool

    @property
    def sealed(self) -> bool:
        """Whether nothing will be added any more."""
        return self.gone or not self.last


class SegmentReader:
    """Implements ports.SpoolReader on a local folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = places.prepared_folder(folder)
        self._held: dict[str, int] = {}
        self._kept: dict[str, Kept] = {}
        self._said: set[tuple[str, int, int]] = set()
        self._held_back: set[str] = set()
        self.faults: list[SpoolError] = []
        """What could not be read, in the order found; whoever reports them may clear the list."""
        lock = places.taken_lock(self._folder / DRAIN_LOCK, create=True)
        if lock is None:
            raise DrainRunning(
                f"another drain reads the spool folder {self._folder}; "
                "let it, or end it before you start one by hand"
            )
        self._lock = lock
        self._reserve = places.Reserve(
            self._folder / "drain.reserve", _RESERVED_BYTES, least=_LEAST_RESERVED_BYTES
        )
        self._reserve.take()

    @classmethod
    def try_open(cls, folder: Path) -> Self | None:
        """Return a reader; None when another drain has the folder."""
        try:
            return cls(folder)
        except DrainRunning:
            return None

    def close(self) -> None:
        """Let go of all locks. Idempotent."""
        for descriptor in (*self._held.values(), self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._held, self._lock = {}, -1
        self._reserve.release()

    # The port

    def batches(self, limit: int) -> Iterator[SpoolBatch]:
        """One pass over all writers, oldest first."""
        assert limit > 0, limit
        for writer_id in places.writers_in(self._folder):
            yield from self._batches_of(writer_id, limit)

    def acknowledge(self, batch: SpoolBatch, still_open: Sequence[SpoolRecord]) -> None:
        """
        Keep position and open records, then free segments.

        A writer that is gone is forgotten when nothing of it is open; else its last batch
        comes again.
        """
        position = batch.position
        assert isinstance(position, Position), position
        readable = tuple(
            record for record in still_open if not self._kept_aside(batch.writer_id, record)
        )
        finished = batch.writer_gone and not readable
        self._keep(batch.writer_id, Kept(position, readable, finished=finished))

    def open_records(self, writer_id: str) -> Sequence[SpoolRecord]:
        return self._kept_of(writer_id).still_open

    def is_idle(self) -> bool:
        """
        Whether no writer lives and nothing is left.

        Writers held back do not count, for this reader will never read them.
        """
        for writer_id in places.writers_in(self._folder):
            if writer_id in self._held_back:
                continue
            if not self._is_gone(writer_id) or not self._is_spent(writer_id):
                return False
            self._forget(writer_id)
        return True

    # One writer

    def _batches_of(self, writer_id: str, limit: int) -> Iterator[SpoolBatch]:
        gone = self._is_gone(writer_id)
        if gone and self._is_spent(writer_id):
            self._forget(writer_id)
            return
        self._held_back.discard(writer_id)
        start = self._kept_of(writer_id).position
        position = (start.segment, start.offset, start.sequence)
        records: list[SpoolRecord] = []
        for record, reached in self._steps(writer_id, start, gone=gone):
            if record is not None:
                if len(records) == limit:
                    place = Position(*position)
                    yield SpoolBatch(writer_id, tuple(records), place, writer_gone=False)
                    records = []
                records.append(record)
            position = reached
        place = Position(*position)
        ended = gone and writer_id not in self._held_back
        if records or ended:
            yield SpoolBatch(writer_id, tuple(records), place, writer_gone=ended)
        elif place != start:
            # Nothing but the end of an acknowledged segment, or a stretch that was kept aside.
            self._keep(writer_id, replace(self._kept_of(writer_id), position=place))

    def _steps(
        self, writer_id: str, start: Position, *, gone: bool
    ) -> Iterator[tuple[SpoolRecord | None, tuple[int, int, int]]]:
        """
        Every record from there on, and the position behind it; None where only that moves.

        A position is the fields of `Position`, which is made where one is kept.
        """
        reached, sequence = start.segment, start.sequence
        for segment in self._segments(writer_id, start, gone=gone):
            if segment.number != reached:
                reached = segment.number
                yield None, (reached, 0, sequence)
            header = header_in(segment.data) if segment.base == 0 else None
            if header is Header.FOREIGN:
                self._hold_back(
                    segment,
                    f"{segment.path} was written by another version of tallygate; "
                    "run the drain of that version, and its records will be read",
                )
                return
            begin = HEADER_BYTES if header is Header.KNOWN else 0
            for found in walk(segment.data, begin):
                record = self._taken(segment, found, sequence)
                if record is None and not self._passed_over(segment, found):
                    return
                # After damage nobody knows the number of the record that comes next.
                sequence = found.sequence if isinstance(found, Frame) else -1
                yield record, (reached, segment.base + found.end, sequence)

    def _segments(self, writer_id: str, start: Position, *, gone: bool) -> Iterator[_Segment]:
        # Listed before they are read: a segment with a successor is complete.
        numbers = [
            number
            for number in places.segment_numbers(self._folder, writer_id)
            if number >= start.segment
        ]
        if start.segment and start.segment not in numbers:
            path = places.segment_path(self._folder, writer_id, start.segment)
            self._say(
                (writer_id, start.segment, -1),
                SegmentCorrupt(f"{path} is gone, and not all of it was read; who removed it?"),
            )
        for number in numbers:
            path = places.segment_path(self._folder, writer_id, number)
            base = start.offset if number == start.segment else 0
            last = number == numbers[-1]
            yield _Segment(writer_id, number, path, _rest_of(path, base), base, last, gone)

    def _taken(self, segment: _Segment, found: Frame | Stretch, before: int) -> SpoolRecord | None:
        """Return the record of a frame that holds one; a jump in the sequence is a fault too."""
        if isinstance(found, Stretch):
            return None
        missing = found.sequence - before - 1
        if before >= 0 and missing > 0:
            self._say(
                (segment.writer_id, segment.number, segment.base + found.start),
                SegmentCorrupt(
                    f"{segment.path}: {missing} records are missing before offset "
                    f"{segment.base + found.start}; was a segment removed or cut by hand?"
                ),
            )
        place = (segment.number, segment.base + found.start)
        try:
            return UnreadOpening.found_in(found.payload, place) or record_from_bytes(found.payload)
        except RecordInvalid:
            return None

    def _passed_over(self, segment: _Segment, found: Frame | Stretch) -> bool:
        """Keep aside what cannot be read; False when it may still change or cannot be kept."""
        at_end = isinstance(found, Stretch) and found.at_end
        if not segment.sealed and (at_end or not _is_settled(segment)):
            return False
        offset = segment.base + found.start
        aside = places.bad_path(self._folder, segment.writer_id, segment.number, offset)
        try:
            self._write(aside, segment.data[found.start : found.end])
        except OSError as error:
            self._hold_back(
                segment, f"{aside} cannot be written ({error.strerror}); free space on its disk"
            )
            return False
        place = f"{segment.path}, offset {offset}: {found.end - found.start} bytes"
        kept = f"they are kept in {aside.name}"
        fault: SpoolError
        if isinstance(found, Frame):
            fault = RecordInvalid(f"{place} are a whole record but no event; {kept}")
        elif at_end and segment.last and is_unfinished(segment.data, found.start):
            fault = SegmentTorn(f"{place} are a record that its writer did not finish; {kept}")
        else:
            fault = SegmentCorrupt(f"{place} have a wrong checksum; {kept}; check the disk")
        self._say((segment.writer_id, segment.number, offset), fault)
        return True

    def _kept_aside(self, writer_id: str, record: SpoolRecord) -> bool:
        """Keep an opening aside that nobody had to look into before, and that is no event."""
        if not isinstance(record, UnreadOpening):
            return False
        try:
            record.event  # noqa: B018 - reads and checks it, once
        except RecordInvalid:
            number, offset = record.place
            aside = places.bad_path(self._folder, writer_id, number, offset)
            self._write(aside, record.content)
            path = places.segment_path(self._folder, writer_id, number)
            place = f"{path}, offset {offset}: {len(record.content)} bytes"
            fault = RecordInvalid(f"{place} are a whole record but no event; kept in {aside.name}")
            self._say((writer_id, number, offset), fault)
            return True
        return False

    # What is kept, and what is removed

    def _kept_of(self, writer_id: str) -> Kept:
        kept = self._kept.get(writer_id)
        if kept is None:
            kept = self._kept[writer_id] = self._kept_on_disk(writer_id)
        return kept

    def _kept_on_disk(self, writer_id: str) -> Kept:
        path = places.offset_path(self._folder, writer_id)
        try:
            return kept_from_bytes(path.read_bytes())
        except FileNotFoundError:
            return Kept(START)
        except RecordInvalid as error:
            aside = path.with_name(path.name + ".bad")
            path.replace(aside)
            self.faults.append(
                RecordInvalid(
                    f"{path}: {error}; it is kept as {aside.name}, its segments are read again "
                    "from the start, and attempts that were open in it may stay open"
                )
            )
            return Kept(UNKNOWN)

    def _keep(self, writer_id: str, kept: Kept) -> None:
        path = places.offset_path(self._folder, writer_id)
        try:
            self._write(path, bytes_from_kept(kept))
        except OSError as error:
            if error.errno not in places.NO_SPACE:
                raise
            raise SpoolFull(
                f"{path} cannot be written: its disk is full, the drain's reserve too; free space "
                "on it, for until then nothing of the spool can be removed"
            ) from error
        self._kept[writer_id] = kept
        for number in places.segment_numbers(self._folder, writer_id):
            if number < kept.position.segment:
                places.segment_path(self._folder, writer_id, number).unlink()
        if kept.finished:
            self._forget(writer_id)
        self._reserve.take()

    def _write(self, path: Path, content: bytes) -> None:
        """Write durably, out of the reserve where the disk is full."""
        try:
            places.write_durably(path, content)
        except OSError as error:
            if error.errno not in places.NO_SPACE or not self._reserve.release():
                raise
            places.write_durably(path, content)

    def _is_gone(self, writer_id: str) -> bool:
        """Whether the writer's process has ended; its lock is then ours until it is forgotten."""
        if writer_id in self._held:
            return True
        try:
            held = places.taken_lock(places.lock_path(self._folder, writer_id))
        except FileNotFoundError:
            return True
        if held is None:
            return False
        self._held[writer_id] = held
        return True

    def _is_spent(self, writer_id: str) -> bool:
        kept = self._kept_of(writer_id)
        nothing_left = not kept.position.segment and not kept.still_open
        return kept.finished or (
            nothing_left and not places.segment_numbers(self._folder, writer_id)
        )

    def _forget(self, writer_id: str) -> None:
        """Remove every file of a writer that is gone, its lock last: a crash leaves it to us."""
        for number in places.segment_numbers(self._folder, writer_id):
            places.segment_path(self._folder, writer_id, number).unlink()
        places.reserve_path(self._folder, writer_id).unlink(missing_ok=True)
        places.sync_folder(self._folder)
        places.offset_path(self._folder, writer_id).unlink(missing_ok=True)
        places.lock_path(self._folder, writer_id).unlink(missing_ok=True)
        self._kept.pop(writer_id, None)
        held = self._held.pop(writer_id, None)
        if held is not None:
            os.close(held)

    def _hold_back(self, segment: _Segment, why: str) -> None:
        self._held_back.add(segment.writer_id)
        self._say((segment.writer_id, segment.number, -1), SpoolUnusable(why))

    def _say(self, what: tuple[str, int, int], fault: SpoolError) -> None:
        if what not in self._said:
            self._said.add(what)
            self.faults.append(fault)


def _rest_of(path: Path, base: int) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(base)
            return file.read()
    except FileNotFoundError:
        return b""


def _is_settled(segment: _Segment) -> bool:
    """Whether the same bytes are read again: a writer on a full disk takes half a frame out."""
    return _rest_of(segment.path, segment.base).startswith(segment.data)
