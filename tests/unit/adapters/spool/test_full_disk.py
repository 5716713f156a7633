"""A drain on a disk that has no room: what it gives back, and what it says when that is gone."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from fakes.entries import an_event, opened
from tallygate.adapters.spool import SegmentReader, SegmentSpool
from tallygate.adapters.spool import folder as places
from tallygate.errors import SpoolFull


class Disk:
    """Has room for so many pages of 4096 bytes; what is allocated counts too."""

    def __init__(self, pages: int) -> None:
        self.pages = pages

    def fallocate(self, _descriptor: int, _offset: int, size: int) -> None:
        if size > self.pages * 4096:
            raise OSError(errno.ENOSPC, "No space left on device")

    def write_durably(self, path: Path, content: bytes) -> None:
        if not self.pages:
            raise OSError(errno.ENOSPC, "No space left on device")
        path.write_bytes(content)


def test_a_drain_without_any_room_says_so_and_goes_on_once_there_is_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = SegmentSpool(tmp_path)
    spool.append(opened(an_event(1)))
    reader = SegmentReader(tmp_path)
    disk = Disk(pages=0)
    monkeypatch.setattr(places, "write_durably", disk.write_durably)
    (batch,) = reader.batches(10)

    with pytest.raises(SpoolFull, match="the drain's reserve too; free space"):
        reader.acknowledge(batch, batch.records)
    open_before = reader.open_records(batch.writer_id)
    disk.pages = 1
    (again,) = reader.batches(10)
    reader.acknowledge(again, again.records)

    assert again == batch
    assert open_before == ()
    assert [record.event_id for record in reader.open_records(batch.writer_id)] == [
        an_event(1).event_id
    ]
    reader.close()
    spool.close()


def test_a_reserve_takes_less_where_it_cannot_have_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places.os, "posix_fallocate", Disk(pages=40).fallocate, raising=False)
    path = tmp_path / "reserve"
    modest = places.Reserve(path, 1024 * 1024, least=16 * 1024)
    proud = places.Reserve(tmp_path / "other", 1024 * 1024)

    taken = modest.take(), proud.take()

    assert taken == (True, False)
    assert modest.held_bytes == 128 * 1024
    assert not (tmp_path / "other").exists()
    assert modest.release()
    assert (modest.held, path.exists()) == (False, False)
