"""The writer at its limits: full folders, full disks, forks, threads, syncs that fail."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fakes.entries import an_event, an_outcome, opened, settled
from tallygate.adapters.spool import SegmentReader, SegmentSpool
from tallygate.adapters.spool import writer as writing
from tallygate.domain.ledger.events import SpoolRecord
from tallygate.errors import RecordInvalid, SpoolFull, SpoolUnusable

SMALL = {"segment_bytes": 8192, "limit_bytes": 65536, "reserved_bytes": 16384}


def drained(folder: Path) -> list[SpoolRecord]:
    reader = SegmentReader(folder)
    found: list[SpoolRecord] = []
    for batch in reader.batches(100):
        found += batch.records
        reader.acknowledge(batch, ())
    reader.close()
    assert reader.faults == []
    return found


def filled(spool: SegmentSpool) -> int:
    """Open attempts until there is no room; return how many."""
    count = 0
    while spool.has_room():
        spool.append(opened(an_event(count)))
        count += 1
    return count


def test_segments_are_ended_when_full_and_removed_when_read(tmp_path: Path) -> None:
    spool = SegmentSpool(tmp_path, segment_bytes=8192)
    written = [opened(an_event(number)) for number in range(20)]
    for record in written:
        spool.append(record)
    sizes = [path.stat().st_size for path in sorted(tmp_path.glob("*.seg"))]

    found = drained(tmp_path)
    left = sorted(tmp_path.glob("*.seg"))
    spool.close()

    assert found == written
    assert len(sizes) > 3
    assert max(sizes) <= 8192
    assert [path.stat().st_size for path in left] == sizes[-1:]


def test_a_record_larger_than_a_segment_has_one_of_its_own(tmp_path: Path) -> None:
    large = settled(an_event(2, outcome=an_outcome(usage={"x": "y" * 20_000})))
    spool = SegmentSpool(tmp_path, **SMALL)
    for record in (written := [settled(an_event(1)), large, settled(an_event(3))]):
        spool.append(record)
    spool.close()

    assert drained(tmp_path) == written


def test_a_record_past_all_measure_is_refused_and_the_next_is_not(tmp_path: Path) -> None:
    spool = SegmentSpool(tmp_path)
    monstrous = settled(an_event(1, outcome=an_outcome(usage={"x": "y" * 9_000_000})))

    with pytest.raises(RecordInvalid, match="over the spool's"):
        spool.append(monstrous)
    spool.append(settled(an_event(2)))
    spool.close()

    assert drained(tmp_path) == [settled(an_event(2))]


def test_a_full_folder_has_room_again_once_it_was_drained(tmp_path: Path) -> None:
    spool = SegmentSpool(tmp_path, **SMALL)
    count = filled(spool)
    with pytest.raises(SpoolFull, match=r"reached its limit of 65536 bytes; see whether the drain"):
        spool.append(opened(an_event(count)))

    spool._look_around()
    found = drained(tmp_path)
    room_before = spool.has_room()
    spool._look_around()
    room_after = spool.has_room()
    spool.close()

    assert len(found) == count
    assert (room_before, room_after) == (False, True)


def test_what_others_wrote_counts_towards_the_limit(tmp_path: Path) -> None:
    spool = SegmentSpool(tmp_path, **SMALL)
    (tmp_path / "somebody.else").write_bytes(bytes(SMALL["limit_bytes"]))

    spool._look_around()
    room = spool.has_room()
    (tmp_path / "somebody.else").unlink()
    spool._look_around()
    room_after = spool.has_room()
    spool.close()

    assert (room, room_after) == (False, True)


def test_a_fork_may_not_write_and_does_not_keep_the_writer_alive(tmp_path: Path) -> None:
    script = """
import os, pathlib, sys, time
from fakes.entries import an_event, opened
from tallygate.adapters.spool import SegmentSpool
from tallygate.errors import SpoolUnusable
spool = SegmentSpool(pathlib.Path(sys.argv[1]))
spool.append(opened(an_event(1)))
child = os.fork()
if not child:
    try:
        spool.append(opened(an_event(2)))
    except SpoolUnusable as error:
        print(error, flush=True)
    spool.close()
    os.close(1)
    os.read(0, 1)
    os._exit(0)
os._exit(0)
"""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
    ) as parent:
        assert parent.stdout is not None
        said = parent.stdout.read()
        parent.wait()

        found = drained(tmp_path)  # while the forked child still lives
        left = list(tmp_path.glob("*.lock"))
        parent.communicate("x")

    assert "was carried over by a fork; make a spool in each worker" in said
    assert found == [opened(an_event(1))]
    assert [path.name for path in left] == ["drain.lock"]


LIMITED = """
import pathlib, resource, sys
from fakes.entries import an_event, opened, settled
from tallygate.adapters.spool import SegmentSpool
from tallygate.errors import SpoolFull
spool = SegmentSpool(
    pathlib.Path(sys.argv[1]), segment_bytes=1 << 20, limit_bytes=1 << 24, reserved_bytes=1 << 14
)
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))
count = 0
try:
    while True:
        spool.append(opened(an_event(count)))
        count += 1
except SpoolFull as error:
    print(error)
for number in range(count):
    spool.append(settled(an_event(number)))
print(count)
"""


def run(script: str, folder: Path) -> list[str]:
    return subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()


def test_a_file_that_may_not_grow_leaves_no_half_record(tmp_path: Path) -> None:
    full, counted = run(LIMITED, tmp_path)
    count = int(counted)

    found = drained(tmp_path)

    assert "its disk is full" in full
    assert count > 5
    assert found == [
        *(opened(an_event(number)) for number in range(count)),
        *(settled(an_event(number)) for number in range(count)),
    ]


TINY_DISK = """
import pathlib, subprocess, sys, time
from fakes.entries import an_event, opened, settled
from tallygate.adapters.spool import SegmentReader, SegmentSpool
from tallygate.errors import SpoolFull
folder = pathlib.Path(sys.argv[1])
mounted = subprocess.run(
    ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True
)
if mounted.returncode:
    print("cannot mount")
    sys.exit()
spool = SegmentSpool(folder, segment_bytes=1 << 19, limit_bytes=1 << 26, reserved_bytes=1 << 20)
(folder / "somebody.else").write_bytes(bytes(1 << 20))
count = 0
try:
    while True:
        spool.append(opened(an_event(count)))
        count += 1
except SpoolFull as error:
    print(error)
for number in range(200):
    spool.append(settled(an_event(number)))
reserve_gone = not list(folder.glob("*.reserve"))
reader = SegmentReader(folder)
found = []
for batch in reader.batches(100):
    found += batch.records
    reader.acknowledge(batch, batch.records[:5])
for _ in range(100):  # what the sync thread still holds open is not free yet
    spool._look_around()
    if spool.has_room():
        break
    time.sleep(0.05)
print(count, len(found), reader.faults, reserve_gone, spool.has_room())
"""


def test_on_a_full_disk_what_was_opened_settles_and_the_drain_goes_on(tmp_path: Path) -> None:
    inside = f"import sys; sys.argv[1:] = [{str(tmp_path)!r}]\n{TINY_DISK}"
    command = ["unshare", "--mount", sys.executable, "-c", inside]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in done.stderr or "cannot mount" in done.stdout:
        pytest.skip("a file system of its own cannot be mounted here")

    full, counts = done.stdout.splitlines()

    assert "its disk is full" in full
    opened_count, found, *rest = counts.split(" ")
    assert int(found) == int(opened_count) + 200
    assert rest == ["[]", "True", "True"]


class Sync:
    """A disk that does not sync while `failing`."""

    def __init__(self) -> None:
        self.failing = False
        self.calls = 0

    def __call__(self, descriptor: int) -> None:
        self.calls += 1
        if self.failing:
            raise OSError(errno.EIO, "Input/output error")


@pytest.fixture
def sync(monkeypatch: pytest.MonkeyPatch) -> Sync:
    made = Sync()
    monkeypatch.setattr(writing, "_sync_data", made)
    return made


def test_with_an_interval_of_0_a_record_is_synced_before_append_returns(
    tmp_path: Path, sync: Sync
) -> None:
    spool = SegmentSpool(tmp_path, sync_interval_s=0)
    sync.failing = True

    with pytest.raises(SpoolUnusable, match=r"did not sync .*; replace the disk"):
        spool.append(opened(an_event(1)))
    sync.failing = False
    spool.close()

    assert sync.calls >= 1


def test_a_sync_that_fails_stops_opening_until_one_passes(tmp_path: Path, sync: Sync) -> None:
    spool = SegmentSpool(tmp_path, sync_interval_s=3600)
    spool.append(opened(an_event(1)))

    spool._note_failure(OSError(errno.EIO, "Input/output error"))
    with pytest.raises(SpoolFull, match="does not take what is synced to it"):
        spool.append(opened(an_event(2)))
    spool.append(settled(an_event(1)))
    spool._sync()
    spool.append(opened(an_event(2)))
    spool.close()

    assert drained(tmp_path) == [opened(an_event(1)), settled(an_event(1)), opened(an_event(2))]


def test_a_disk_that_fails_in_one_place_is_tried_in_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = SegmentSpool(tmp_path, sync_interval_s=3600)
    spool.append(opened(an_event(1)))
    bad = spool._segment
    write, cut = os.write, os.ftruncate

    def failing_write(descriptor: int, content: bytes) -> int:
        if descriptor == bad:
            write(descriptor, content[:100])
            raise OSError(errno.EIO, "Input/output error")
        return write(descriptor, content)

    def failing_cut(descriptor: int, size: int) -> None:
        if descriptor == bad:
            raise OSError(errno.EIO, "Input/output error")
        cut(descriptor, size)

    monkeypatch.setattr(os, "write", failing_write)
    monkeypatch.setattr(os, "ftruncate", failing_cut)
    spool.append(settled(an_event(1)))
    monkeypatch.undo()
    spool.close()
    reader = SegmentReader(tmp_path)
    (batch,) = list(reader.batches(10))
    reader.close()

    assert batch.records == (opened(an_event(1)), settled(an_event(1)))
    assert len(reader.faults) == 1, "the half record that could not be taken out is kept and said"


def test_a_disk_that_takes_nothing_at_all_is_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = SegmentSpool(tmp_path, sync_interval_s=3600)

    def failing_write(descriptor: int, content: bytes) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "write", failing_write)
    with pytest.raises(SpoolUnusable, match=r"takes no record \(Input/output error\)"):
        spool.append(settled(an_event(1)))
    monkeypatch.undo()
    spool.append(settled(an_event(2)))
    spool.close()

    assert drained(tmp_path) == [settled(an_event(2))]


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = SegmentSpool(tmp_path, sync_interval_s=3600)
    write = os.write
    monkeypatch.setattr(os, "write", lambda where, content: write(where, content[:10]))

    spool.append(settled(an_event(1)))
    spool.append(settled(an_event(2)))
    monkeypatch.undo()
    spool.close()

    assert drained(tmp_path) == [settled(an_event(1)), settled(an_event(2))]
