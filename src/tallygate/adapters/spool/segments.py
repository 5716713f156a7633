"""
Segments as bytes: a header, then frames.

Shapes  Header: 8 bytes magic, u16 format, u16 event schema version, u32 checksum.
        Frame: 4 bytes marker, u32 checksum, u32 length, u64 sequence, then the record. Numbers
        are little endian; the checksum (CRC-32) covers all that follows it.
        The sequence counts a writer's records from 1, across segments.
Exact   The marker has bytes that UTF-8 never has, so it cannot occur inside a record.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple
from zlib import crc32

from tallygate.domain.ledger.events import SCHEMA_VERSION

FORMAT_VERSION: Final = 1
MAX_RECORD_BYTES: Final = 8 * 1024 * 1024
"""A length above this is damage, not a record."""

_MAGIC: Final = b"TALLYSPL"
_HEADER: Final = struct.Struct("<8sHHI")
_MARKER: Final = b"\xff\xf8\xfe\xf5"
_COVERED: Final = struct.Struct("<IQ")
_CHECKSUM: Final = struct.Struct("<I")
_HEAD: Final = struct.Struct("<4sIIQ")
"""Marker, checksum, and what `_COVERED` has."""

HEADER_BYTES: Final = _HEADER.size
_COVERED_AT: Final = len(_MARKER) + _CHECKSUM.size
FRAME_HEAD_BYTES: Final = _COVERED_AT + _COVERED.size


class Header(Enum):
    """What the first bytes of a segment say."""

    KNOWN = "known"
    UNREADABLE = "unreadable"
    """Damaged, or not all written yet."""
    FOREIGN = "foreign"
    """Whole, and of a format or event schema that this version does not know."""


class Frame(NamedTuple):
    """A whole record whose checksum is right."""

    start: int
    end: int
    sequence: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes that are no frame, up to the next frame or to the end of the data."""

    start: int
    end: int
    at_end: bool


def header_bytes() -> bytes:
    """Return the first bytes of every segment that this version writes."""
    bare = _HEADER.pack(_MAGIC, FORMAT_VERSION, SCHEMA_VERSION, 0)[: -_CHECKSUM.size]
    return bare + _CHECKSUM.pack(crc32(bare))


def header_in(data: bytes) -> Header:
    """Judge the first bytes of a segment."""
    if len(data) < HEADER_BYTES:
        return Header.UNREADABLE
    magic, form, schema, checksum = _HEADER.unpack_from(data)
    if magic != _MAGIC or checksum != crc32(data[: HEADER_BYTES - _CHECKSUM.size]):
        return Header.UNREADABLE
    if (form, schema) != (FORMAT_VERSION, SCHEMA_VERSION):
        return Header.FOREIGN
    return Header.KNOWN


def frame_bytes(payload: bytes, sequence: int) -> bytes:
    """Frame one record."""
    covered = _COVERED.pack(len(payload), sequence)
    return _MARKER + _CHECKSUM.pack(crc32(payload, crc32(covered))) + covered + payload


def frame_at(data: bytes, at: int) -> Frame | None:
    """Return the frame that begins there, if a whole and sound one does."""
    start = at + FRAME_HEAD_BYTES
    if len(data) < start:
        return None
    marker, checksum, length, sequence = _HEAD.unpack_from(data, at)
    end = start + length
    if marker != _MARKER or length > MAX_RECORD_BYTES or len(data) < end:
        return None
    if checksum != crc32(memoryview(data)[at + _COVERED_AT : end]):
        return None
    return Frame(at, end, sequence, data[start:end])


def walk(data: bytes, at: int) -> Iterator[Frame | Stretch]:
    """Yield everything from there on: frames, and what lies between them."""
    while at < len(data):
        frame = frame_at(data, at)
        if frame is not None:
            yield frame
            at = frame.end
            continue
        following = _next_frame_start(data, at + 1)
        if following is None:
            yield Stretch(at, len(data), at_end=True)
            return
        yield Stretch(at, following, at_end=False)
        at = following


def _next_frame_start(data: bytes, at: int) -> int | None:
    while (at := data.find(_MARKER, at)) >= 0:
        if frame_at(data, at) is not None:
            return at
        at += 1
    return None


def is_unfinished(data: bytes, at: int) -> bool:
    """Whether the rest of the data could be the beginning of a header or of one frame."""
    rest = data[at:]
    if at == 0 and header_bytes().startswith(rest):
        return True
    if len(rest) < FRAME_HEAD_BYTES:
        return rest[: len(_MARKER)] == _MARKER[: len(rest)]
    length, _ = _COVERED.unpack_from(rest, _COVERED_AT)
    return (
        rest.startswith(_MARKER)
        and length <= MAX_RECORD_BYTES
        and len(rest) < FRAME_HEAD_BYTES + length
    )
