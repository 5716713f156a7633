"""Segments that were cut, flipped, overwritten or removed: all else is read, all is said."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import pytest

from fakes.entries import an_event, opened, settled
from tallygate.adapters.spool import SegmentReader, SegmentSpool
from tallygate.adapters.spool.segments import (
    FRAME_HEAD_BYTES,
    HEADER_BYTES,
    Stretch,
    frame_at,
    frame_bytes,
    header_bytes,
    is_unfinished,
    walk,
)
from tallygate.domain.ledger.events import SpoolRecord
from tallygate.errors import (
    RecordInvalid,
    SegmentCorrupt,
    SegmentTorn,
    SpoolError,
    SpoolUnusable,
)


def some(count: int) -> list[SpoolRecord]:
    return [(opened if number % 2 else settled)(an_event(number)) for number in range(count)]


def written(folder: Path, records: Sequence[SpoolRecord], **sizes: int) -> list[Path]:
    """Write records as a writer that then ends; return its segments."""
    writer = SegmentSpool(folder, **sizes)
    for record in records:
        writer.append(record)
    writer.close()
    return sorted(folder.glob("*.seg"))


def read(folder: Path, limit: int = 100) -> tuple[list[SpoolRecord], list[SpoolError]]:
    """Read and acknowledge everything; return the records and the faults."""
    reader = SegmentReader(folder)
    found: list[SpoolRecord] = []
    for batch in reader.batches(limit):
        found += batch.records
        reader.acknowledge(batch, ())
    reader.close()
    return found, reader.faults


def kept_aside(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*.bad"))]


def frame_ends(content: bytes) -> Iterator[int]:
    at = HEADER_BYTES
    while (frame := frame_at(content, at)) is not None:
        yield frame.end
        at = frame.end


def test_a_segment_that_was_cut_gives_every_whole_record(tmp_path: Path) -> None:
    records = some(3)
    (segment,) = written(tmp_path / "whole", records)
    content = segment.read_bytes()
    ends = list(frame_ends(content))

    # Every byte near a border, and some in between; the next test takes every byte.
    near = {at + by for at in (0, HEADER_BYTES, *ends) for by in range(-6, FRAME_HEAD_BYTES + 6)}
    between = random.Random(20261121).sample(range(len(content)), 40)
    for cut in sorted(near.intersection(range(len(content))).union(between)):
        folder = tmp_path / "cut"
        folder.mkdir(exist_ok=True)
        (folder / segment.name).write_bytes(content[:cut])
        found, faults = read(folder)
        whole = sum(end <= cut for end in ends)
        rest = content[max(end for end in (0, HEADER_BYTES, *ends) if end <= cut) : cut]
        assert found == records[:whole], cut
        assert [type(fault) for fault in faults] == ([SegmentTorn] if rest else []), cut
        assert kept_aside(folder) == ([rest] if rest else []), cut
        for path in folder.glob("*.bad"):
            path.unlink()
        assert list(folder.glob("*.seg")) == []


def test_no_cut_at_any_byte_is_taken_for_damage(tmp_path: Path) -> None:
    (segment,) = written(tmp_path, some(3))
    content = segment.read_bytes()
    ends = list(frame_ends(content))

    for cut in range(HEADER_BYTES, len(content)):
        *frames, rest = [*walk(content[:cut], HEADER_BYTES), None]
        if frames and isinstance(frames[-1], Stretch):
            rest = frames.pop()
        assert [frame.end for frame in frames] == [end for end in ends if end <= cut]
        assert rest is None or is_unfinished(content[:cut], rest.start), cut


def test_a_flipped_bit_costs_one_record_and_says_so(tmp_path: Path) -> None:
    records = some(3)
    (segment,) = written(tmp_path / "whole", records)
    content = segment.read_bytes()
    starts = [HEADER_BYTES, *frame_ends(content)]
    chance = random.Random(20261121)
    # Every byte of header and frame heads, and some of each payload.
    places = [*range(HEADER_BYTES)]
    for start, end in pairwise(starts):
        payload = range(start + FRAME_HEAD_BYTES, end)
        places += [*range(start, start + FRAME_HEAD_BYTES), *chance.sample(payload, 40)]

    for place in places:
        folder = tmp_path / "flipped"
        folder.mkdir(exist_ok=True)
        damaged = bytearray(content)
        damaged[place] ^= 1 << chance.randrange(8)
        (folder / segment.name).write_bytes(damaged)
        hit = sum(start <= place for start in starts) - 1
        found, faults = read(folder)
        assert found == [record for at, record in enumerate(records) if at != hit], place
        assert len(faults) == 1, (place, faults)
        assert isinstance(faults[0], SegmentCorrupt | SegmentTorn), place
        begin, end = (starts[hit], starts[hit + 1]) if hit >= 0 else (0, HEADER_BYTES)
        assert kept_aside(folder) == [bytes(damaged[begin:end])], place
        for path in folder.glob("*.bad"):
            path.unlink()


@pytest.mark.parametrize("seed", range(20))
def test_random_damage_never_costs_an_untouched_record(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    records = some(40)
    segments = written(tmp_path, records, segment_bytes=16_384, reserved_bytes=0)
    at, untouched = 0, []
    for segment in segments:
        content = bytearray(segment.read_bytes())
        ends = list(frame_ends(bytes(content)))
        begin = chance.randrange(len(content))
        length = chance.choice([1, 7, 500, 5000])
        content[begin : begin + length] = chance.choice(
            [bytes(len(content[begin : begin + length])), chance.randbytes(length), b""]
        )
        segment.write_bytes(content)
        for start, end in zip([HEADER_BYTES, *ends], ends, strict=False):
            if end <= begin or start >= begin + length:
                untouched.append(records[at])
            at += 1

    found, faults = read(tmp_path, limit=chance.randrange(1, 50))

    assert [record for record in found if record in untouched] == untouched
    assert at == len(records)
    assert faults
    assert list(tmp_path.glob("*.seg")) == []


def test_a_whole_record_that_is_no_event_is_kept_aside(tmp_path: Path) -> None:
    records = some(2)
    (segment,) = written(tmp_path, records[:1])
    strange = frame_bytes(b'{"stage":"opened"}', 2)
    with segment.open("ab") as file:
        file.write(strange)

    found, faults = read(tmp_path)

    assert found == records[:1]
    assert [type(fault) for fault in faults] == [RecordInvalid]
    assert kept_aside(tmp_path) == [strange]


def test_zeros_at_the_end_as_a_power_loss_leaves_them_are_kept_aside(tmp_path: Path) -> None:
    records = some(2)
    (segment,) = written(tmp_path, records)
    with segment.open("ab") as file:
        file.write(bytes(4096))

    found, faults = read(tmp_path)

    assert found == records
    assert [type(fault) for fault in faults] == [SegmentCorrupt]
    assert kept_aside(tmp_path) == [bytes(4096)]


def test_a_segment_that_somebody_removed_is_missed(tmp_path: Path) -> None:
    records = some(30)
    segments = written(tmp_path, records, segment_bytes=16_384, reserved_bytes=0)
    lost = len(list(frame_ends(segments[1].read_bytes())))
    segments[1].unlink()

    found, faults = read(tmp_path)

    assert len(found) == len(records) - lost
    assert [str(fault).partition(": ")[2].partition(" before")[0] for fault in faults] == [
        f"{lost} records are missing"
    ]


def test_the_segment_that_was_being_read_is_missed_too(tmp_path: Path) -> None:
    records = some(4)
    (segment,) = written(tmp_path, records)
    reader = SegmentReader(tmp_path)
    reader.acknowledge(next(iter(reader.batches(2))), ())
    segment.unlink()

    (batch,) = list(reader.batches(10))
    reader.close()

    assert (batch.records, batch.writer_gone) == ((), True)
    assert [type(fault) for fault in reader.faults] == [SegmentCorrupt]
    assert "is gone" in str(reader.faults[0])


def test_a_fault_is_said_once_though_its_batch_comes_again(tmp_path: Path) -> None:
    (segment,) = written(tmp_path, some(3))
    content = bytearray(segment.read_bytes())
    content[HEADER_BYTES + FRAME_HEAD_BYTES] ^= 1
    segment.write_bytes(content)
    reader = SegmentReader(tmp_path)

    for _ in range(3):
        (batch,) = list(reader.batches(10))
    reader.close()

    assert len(batch.records) == 2
    assert len(reader.faults) == 1


def test_a_living_writer_s_unfinished_record_is_waited_for(tmp_path: Path) -> None:
    records = some(2)
    writer = SegmentSpool(tmp_path)
    writer.append(records[0])
    (segment,) = tmp_path.glob("*.seg")
    whole = frame_bytes(b"x" * 100, 2)
    reader = SegmentReader(tmp_path)

    with segment.open("ab") as file:
        file.write(whole[:50])
    (first,) = list(reader.batches(10))
    reader.acknowledge(first, ())
    nothing = list(reader.batches(10))
    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size - 50)
    writer.append(records[1])
    (second,) = list(reader.batches(10))
    reader.close()
    writer.close()

    assert (*first.records, *second.records) == tuple(records)
    assert nothing == []
    assert reader.faults == []


def test_damage_under_a_living_writer_is_passed_over_once_more_is_written(tmp_path: Path) -> None:
    records = some(3)
    writer = SegmentSpool(tmp_path)
    writer.append(records[0])
    writer.append(records[1])
    (segment,) = tmp_path.glob("*.seg")
    content = bytearray(segment.read_bytes())
    content[-10] ^= 1
    segment.write_bytes(content)
    reader = SegmentReader(tmp_path)

    before = [record for batch in reader.batches(10) for record in batch.records]
    faults_before = len(reader.faults)
    writer.append(records[2])
    after = [record for batch in reader.batches(10) for record in batch.records]
    reader.close()
    writer.close()

    assert before == [records[0]]
    assert faults_before == 0
    assert after == [records[0], records[2]]
    assert [type(fault) for fault in reader.faults] == [SegmentCorrupt]


def test_a_segment_of_another_version_holds_its_writer_back(tmp_path: Path) -> None:
    (segment,) = written(tmp_path, some(2))
    content = segment.read_bytes()
    newer = bytearray(header_bytes())
    newer[8] += 1
    newer[12:] = crc32(newer[:12]).to_bytes(4, "little")
    segment.write_bytes(bytes(newer) + content[HEADER_BYTES:])
    reader = SegmentReader(tmp_path)

    batches = list(reader.batches(10)) + list(reader.batches(10))
    idle = reader.is_idle()
    reader.close()

    assert batches == []
    assert idle, "a drain that can do nothing here may leave, so that another version can come"
    assert [type(fault) for fault in reader.faults] == [SpoolUnusable]
    assert "another version" in str(reader.faults[0])
    assert segment.exists()


def test_a_damaged_offset_reads_again_and_says_so(tmp_path: Path) -> None:
    records = some(6)
    written(tmp_path, records)
    reader = SegmentReader(tmp_path)
    reader.acknowledge(next(iter(reader.batches(4))), records[:1])
    reader.close()
    (offset,) = tmp_path.glob("*.offset")
    content = bytearray(offset.read_bytes())
    content[-5] ^= 1
    offset.write_bytes(content)

    found, faults = read(tmp_path)

    assert found == records
    assert [type(fault) for fault in faults] == [RecordInvalid]
    assert [path.name for path in tmp_path.glob("*.offset.bad")] == [offset.name + ".bad"]
