"""
How far a writer was read and acknowledged, and what of it is still open, as a checked file.

Shapes  `sha256:<digest of the rest>`, a newline, one JSON object.
Errors  RecordInvalid when the digest or a key is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import orjson

from tallygate.domain.kernel.digests import digest_of_bytes
from tallygate.domain.ledger.codec import bytes_from_record, record_from_bytes
from tallygate.domain.ledger.events import SpoolRecord
from tallygate.domain.ledger.openings import UnreadOpening
from tallygate.errors import RecordInvalid

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two records of one writer."""

    segment: int
    offset: int
    sequence: int
    """Of the record before this place; -1 when that is not known, after damage."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What one acknowledgement keeps."""

    position: Position
    still_open: tuple[SpoolRecord, ...] = ()
    finished: bool = False
    """The writer is gone and nothing of it is open: its files are only to be removed."""


START: Final = Position(segment=0, offset=0, sequence=0)
UNKNOWN: Final = Position(segment=0, offset=0, sequence=-1)


def bytes_from_kept(kept: Kept) -> bytes:
    """Encode with a digest in front."""
    content = orjson.dumps(
        {
            "version": _VERSION,
            "segment": kept.position.segment,
            "offset": kept.position.offset,
            "sequence": kept.position.sequence,
            "finished": kept.finished,
            "open": [orjson.Fragment(_content_of(record)) for record in kept.still_open],
        }
    )
    return digest_of_bytes(content).encode() + b"\n" + content


def _content_of(record: SpoolRecord) -> bytes:
    return record.content if isinstance(record, UnreadOpening) else bytes_from_record(record)


def kept_from_bytes(stored: bytes) -> Kept:
    """Check and decode."""
    digest, _, content = stored.partition(b"\n")
    if digest_of_bytes(content).encode() != digest:
        raise RecordInvalid("the digest in front does not belong to what follows")
    match orjson.loads(content):
        case {
            "version": version,
            "segment": int(segment),
            "offset": int(offset),
            "sequence": int(sequence),
            "finished": bool(finished),
            "open": list(still_open),
        } if version == _VERSION:
            return Kept(
                Position(segment, offset, sequence),
                tuple(record_from_bytes(orjson.dumps(record)) for record in still_open),
                finished,
            )
    raise RecordInvalid(f"the form is not version {_VERSION}; was it written by another tallygate?")
