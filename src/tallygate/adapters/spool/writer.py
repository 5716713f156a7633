"""
The gate's side of the spool: one writer per process, one write(2) per record.

Shapes  A record is on its way to the disk when `append` returns: a killed process loses nothing,
        a power loss at most `sync_interval_s` (0 syncs each record before `append` returns).
Errors  SpoolUnusable at construction names the folder and the remedy; later it says that the
        disk failed. SpoolFull is for what is owed no record: what was opened can settle.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from pathlib import Path
from typing import Final

from tallygate.adapters.spool import folder as places
from tallygate.adapters.spool.segments import (
    HEADER_BYTES,
    MAX_RECORD_BYTES,
    frame_bytes,
    header_bytes,
)
from tallygate.application.ports import Clock
from tallygate.domain.kernel.ids import uuid7
from tallygate.domain.ledger.codec import bytes_from_record
from tallygate.domain.ledger.events import SpoolRecord, Stage
from tallygate.errors import RecordInvalid, SpoolFull, SpoolUnusable

_LOG: Final = logging.getLogger("tallygate.spool")
_MIB: Final = 1024 * 1024
_LOOK_INTERVAL_S: Final = 1.0
"""How often the folder is measured while records come in or room is short."""

_sync_data: Final = getattr(os, "fdatasync", os.fsync)


class SegmentSpool:
    """Implements ports.Spool on a local folder."""

    def __init__(
        self,
        folder: Path,
        *,
        limit_bytes: int = 1024 * _MIB,
        segment_bytes: int | None = None,
        reserved_bytes: int | None = None,
        sync_interval_s: float = 0.1,
        clock: Clock | None = None,
    ) -> None:
        """Segment (at most 64 MiB) and reserve (at most 8) are an eighth of the limit, or given."""
        if segment_bytes is None:
            segment_bytes = min(64 * _MIB, limit_bytes // 8)
        if reserved_bytes is None:
            reserved_bytes = min(8 * _MIB, limit_bytes // 8)
        if limit_bytes < reserved_bytes + 2 * segment_bytes:
            raise SpoolUnusable(
                f"the limit of the spool folder {folder} is {limit_bytes} bytes, and one writer "
                f"needs its reserve and two segments, {reserved_bytes + 2 * segment_bytes} bytes; "
                "raise the limit, or lower the size of a segment or the reserve"
            )
        self._folder = places.prepared_folder(folder)
        self._segment_bytes = segment_bytes
        self._limit_bytes = limit_bytes
        self._sync_interval_s = sync_interval_s
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._retired: list[int] = []
        self._names_unsynced = False
        self._own_sizes: dict[int, int] = {}
        self._used_bytes = 0
        self._sequence = 0
        self._number = 0
        self._segment = -1
        self._disk_full = False
        self._sync_failed = False
        self._failure_logged = False
        self._writer_id, self._lock_file = self._new_writer(clock)
        self._reserve = places.Reserve(
            places.reserve_path(self._folder, self._writer_id), reserved_bytes
        )
        try:
            self._disk_full = not self._reserve.take()
            self._look_around()
        except OSError as error:
            self._reserve.release()
            os.close(self._lock_file)
            raise SpoolUnusable(
                f"the spool folder {self._folder} cannot be used ({error.strerror}); "
                "see whether its disk is sound and TALLYGATE_SPOOL names the right folder"
            ) from error
        self._thread = threading.Thread(
            target=self._keep_synced, name="tallygate-spool-sync", daemon=True
        )
        self._thread.start()
        _LIVING.add(self)

    def _new_writer(self, clock: Clock | None) -> tuple[str, int]:
        """Mint an id and take its lock; a reader may be quicker to take it, then try another."""
        while True:
            writer_id = uuid7(clock.now_ns() if clock else time.time_ns(), os.urandom(8))
            path = places.lock_path(self._folder, writer_id)
            try:
                lock_file = places.taken_lock(path, create=True)
            except OSError as error:
                raise SpoolUnusable(
                    f"the spool folder {self._folder} takes no new file ({error.strerror}); "
                    "free space on its disk"
                ) from error
            if lock_file is not None and places.is_in_place(lock_file, path):
                return writer_id, lock_file
            if lock_file is not None:
                os.close(lock_file)

    # The port

    @property
    def writer_id(self) -> str:
        return self._writer_id

    def has_room(self) -> bool:
        """Whether a new attempt may be opened; a few integer comparisons, no system call."""
        return (
            self._used_bytes < self._limit_bytes and not self._disk_full and not self._sync_failed
        )

    def append(self, record: SpoolRecord, *, owed: bool | None = None) -> None:
        """Write one record; SpoolFull when it finds no room and is owed none."""
        if os.getpid() != self._pid:
            raise SpoolUnusable(
                "this spool belongs to the process that made it and was carried over by a fork; "
                "make a spool in each worker"
            )
        payload = bytes_from_record(record)
        if len(payload) > MAX_RECORD_BYTES:
            raise RecordInvalid(
                f"a record of {len(payload)} bytes is over the spool's {MAX_RECORD_BYTES}; "
                "the provider's usage is the only part that can grow so: cut it at the edge"
            )
        if owed is None:
            owed = record.stage is Stage.SETTLED
        if not owed and not self.has_room():
            raise self._full()
        with self._lock:
            if self._stop.is_set():
                raise SpoolUnusable(f"the spool in {self._folder} is closed")
            self._write_frame(frame_bytes(payload, self._sequence + 1), owed=owed)
            self._sequence += 1
            if not self._sync_interval_s:
                self._sync_inline()
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Sync, give back the reserve, release the lock. Idempotent."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            if self._stop.is_set():
                return
            self._stop.set()
        self._wake.set()
        self._thread.join()
        try:
            self._sync()
        finally:
            self._reserve.release()
            _LIVING.discard(self)
            self._let_go()

    # Writing, under the lock

    def _write_frame(self, frame: bytes, *, owed: bool) -> None:
        """Write the frame whole, or leave no byte of it."""
        try:
            if self._segment < 0 or self._own_sizes[self._number] + len(frame) > max(
                self._segment_bytes, HEADER_BYTES + len(frame)
            ):
                self._start_segment()
            self._write_whole(frame)
        except OSError as error:
            self._write_after_failure(frame, error, owed=owed)

    def _write_after_failure(self, frame: bytes, error: OSError, *, owed: bool) -> None:
        """Refuse what is owed nothing; else free the reserve, then try a new segment."""
        no_room = error.errno in places.NO_SPACE
        if no_room:
            self._disk_full = True
            self._wake.set()
        if no_room and not owed:
            raise self._full() from error
        if no_room:
            self._reserve.release()
        last = error
        for in_new_segment in (False, True):
            try:
                if in_new_segment or self._segment < 0:
                    self._start_segment()
                self._write_whole(frame)
            except OSError as again:
                last = again
            else:
                return
        raise SpoolUnusable(
            f"the spool folder {self._folder} takes no record ({last.strerror}); "
            "free space on its disk, or replace the disk"
        ) from last

    def _write_whole(self, frame: bytes) -> None:
        size = self._own_sizes[self._number]
        try:
            written = os.write(self._segment, frame)
            while written < len(frame):
                written += os.write(self._segment, frame[written:])
            self._own_sizes[self._number] = size + written
        except BaseException:
            self._cut(size)
            raise
        self._used_bytes += written

    def _cut(self, size: int) -> None:
        """Take half a frame out again; where that fails too, nothing may follow it here."""
        try:
            os.ftruncate(self._segment, size)
        except OSError:
            self._retire()

    def _start_segment(self) -> None:
        number = self._number + 1
        path = places.segment_path(self._folder, self._writer_id, number)
        segment = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        try:
            written = os.write(segment, header_bytes())
            if written != HEADER_BYTES:
                os.write(segment, header_bytes()[written:])
        except OSError:
            os.close(segment)
            path.unlink()
            raise
        self._retire()
        self._segment, self._number = segment, number
        self._own_sizes[number] = HEADER_BYTES
        self._used_bytes += HEADER_BYTES
        self._names_unsynced = True

    def _retire(self) -> None:
        if self._segment >= 0:
            self._retired.append(self._segment)
            self._segment = -1

    def _full(self) -> SpoolFull:
        if self._sync_failed:
            why = "its disk does not take what is synced to it"
        elif self._disk_full:
            why = "its disk is full"
        else:
            why = f"it has reached its limit of {self._limit_bytes} bytes"
        return SpoolFull(
            f"no new attempt can be accounted for in the spool folder {self._folder}: {why}; "
            "see whether the drain runs and reaches the ledger"
        )

    # Syncing and looking around, in a thread of their own

    def _keep_synced(self) -> None:
        looked_at = time.monotonic()
        while True:
            self._wake.wait(None if self.has_room() else _LOOK_INTERVAL_S)
            self._wake.clear()
            if self._stop.wait(self._sync_interval_s):
                return
            try:
                self._sync()
                if not self.has_room() or time.monotonic() - looked_at >= _LOOK_INTERVAL_S:
                    looked_at = time.monotonic()
                    self._look_around()
            except OSError as error:
                self._note_failure(error)

    def _note_failure(self, error: OSError) -> None:
        """Stop opening until a sync passes: the failed one may have dropped what was written."""
        self._sync_failed = True
        if not self._failure_logged:
            self._failure_logged = True
            _LOG.error(
                "spool_sync_failed", extra={"folder": str(self._folder), "error": str(error)}
            )
        with self._lock:
            self._retire()

    def _sync(self) -> None:
        with self._lock:
            retired, self._retired = self._retired, []
            current = self._segment
            names_unsynced, self._names_unsynced = self._names_unsynced, False
        try:
            for descriptor in (*retired, *([current] if current >= 0 else [])):
                _sync_data(descriptor)
            if names_unsynced:
                places.sync_folder(self._folder)
        finally:
            for descriptor in retired:
                os.close(descriptor)
        self._sync_failed = False

    def _sync_inline(self) -> None:
        try:
            _sync_data(self._segment)
            if self._names_unsynced:
                places.sync_folder(self._folder)
                self._names_unsynced = False
        except OSError as error:
            self._sync_failed = True
            raise SpoolUnusable(
                f"the disk of the spool folder {self._folder} did not sync ({error.strerror}); "
                "what was written last may not survive a power loss; replace the disk"
            ) from error

    def _look_around(self) -> None:
        """Measure the folder; where room is short, win back what can be won back."""
        sizes = places.sizes_in(self._folder)
        own = f"{self._writer_id}."
        others = sum(size for name, size in sizes.items() if not name.startswith(own))
        with self._lock:
            # A segment that is not there any more was read, acknowledged and removed.
            for number in list(self._own_sizes):
                name = places.segment_path(self._folder, self._writer_id, number).name
                if number < self._number and name not in sizes:
                    del self._own_sizes[number]
            self._used_bytes = others + sum(self._own_sizes.values()) + self._reserve.held_bytes
            if not self.has_room():
                self._win_back_room()

    def _win_back_room(self) -> None:
        """End the current segment, so that the drain can remove it; take the reserve again."""
        if self._own_sizes.get(self._number, 0) > HEADER_BYTES:
            with contextlib.suppress(OSError):
                self._start_segment()
        self._disk_full = not self._reserve.take()

    # Ending

    def _let_go(self) -> None:
        """Close every descriptor, the lock's too; in a forked child the parent keeps its own."""
        held = (self._segment, *self._retired, self._lock_file)
        self._segment, self._retired, self._lock_file = -1, [], -1
        for descriptor in held:
            if descriptor >= 0:
                os.close(descriptor)


_LIVING: Final[weakref.WeakSet[SegmentSpool]] = weakref.WeakSet()


def _let_go_after_fork() -> None:
    for spool in list(_LIVING):
        spool._let_go()  # noqa: SLF001 -- the module's own class, by the module's own hook
    _LIVING.clear()


# A child that kept the lock's descriptor would make a dead parent look alive to the drain.
os.register_at_fork(after_in_child=_let_go_after_fork)
