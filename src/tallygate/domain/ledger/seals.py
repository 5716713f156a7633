"""
Seals: batches of lines in ingest order, chained by digest, so that a later change shows.

Shapes  A seal covers the lines from the last one of the seal before it (not included) up to
        `to_seq`, in the order of `seq`, which may have gaps. `head` is the digest of everything
        that the seal says, the head before it included.
Exact   `rows_digest` is over the whole digests of the rows: it is what proves. `index` keeps 48
        bytes an event (seq, event id, 8 bytes of the digest, locator), which is what tells where:
        under two parts in a hundred of what an event takes anyway.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tallygate.domain.kernel.digests import digest_of_bytes, digest_of_value
from tallygate.domain.ledger.sealed_rows import (
    COLUMN_SETS,
    NEWEST_SET,
    SealedRow,
    digest_of_row,
    event_id_of,
    locator_of,
    seq_of,
)

SEAL_EVENTS_MAX: Final = 2000
"""Events a seal covers at most: what one reader holds in memory at a time."""
GENESIS: Final = "sha256:" + "0" * 64
"""The head before the first seal."""
BEFORE_ALL: Final = -(1 << 63)

_FORMAT: Final = "tallygate-seal/1"
_ENTRY: Final = struct.Struct(">q16s8sQQ")
_NO_UUID: Final = bytes(16)


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """What a seal remembers of one event. `event_id` is empty where it was no UUID."""

    seq: int
    event_id: str
    digest_start: bytes
    locator: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """One link of the chain. `chain_events` counts the events up to and with this seal."""

    number: int
    from_seq: int
    to_seq: int
    events: int
    chain_events: int
    column_set: int
    rows_digest: str
    index: bytes
    previous_head: str
    sealed_at_ns: int
    head: str


def seal_of(rows: Sequence[SealedRow], before: Seal | None, sealed_at_ns: int) -> Seal:
    """Seal rows that come after the last seal, in the order of their seq."""
    assert rows, "a seal covers at least one event"
    assert before is None or seq_of(rows[0]) > before.to_seq, "rows after the last seal"

    digests = [digest_of_row(row) for row in rows]
    seal = Seal(
        number=before.number + 1 if before else 1,
        from_seq=seq_of(rows[0]),
        to_seq=seq_of(rows[-1]),
        events=len(rows),
        chain_events=(before.chain_events if before else 0) + len(rows),
        column_set=NEWEST_SET,
        rows_digest=digest_of_digests(digests),
        index=b"".join(map(_entry, rows, digests)),
        previous_head=before.head if before else GENESIS,
        sealed_at_ns=sealed_at_ns,
        head="",
    )
    return with_head(seal)


def with_head(seal: Seal) -> Seal:
    """Return the seal with the head that its content asks for."""
    return Seal(
        number=seal.number,
        from_seq=seal.from_seq,
        to_seq=seal.to_seq,
        events=seal.events,
        chain_events=seal.chain_events,
        column_set=seal.column_set,
        rows_digest=seal.rows_digest,
        index=seal.index,
        previous_head=seal.previous_head,
        sealed_at_ns=seal.sealed_at_ns,
        head=head_of(seal),
    )


def head_of(seal: Seal) -> str:
    """Digest what a seal says."""
    return digest_of_value(
        [
            _FORMAT,
            seal.number,
            seal.previous_head,
            seal.from_seq,
            seal.to_seq,
            seal.events,
            seal.chain_events,
            seal.column_set,
            seal.rows_digest,
            digest_of_bytes(seal.index),
            seal.sealed_at_ns,
        ]
    )


def digest_of_digests(digests: Sequence[bytes]) -> str:
    """Digest the digests of a seal's rows, in their order."""
    return f"sha256:{hashlib.sha256(b''.join(digests)).hexdigest()}"


def is_readable(seal: Seal) -> bool:
    """Tell whether the index and the column set can be used at all; a forger may write anything."""
    return seal.column_set in COLUMN_SETS and len(seal.index) % _ENTRY.size == 0


def index_of(seal: Seal) -> tuple[IndexEntry, ...]:
    """Read what the seal remembers, event by event."""
    return tuple(
        IndexEntry(seq, _text_of_uuid(uuid), start, (plain, weighted))
        for seq, uuid, start, plain, weighted in _ENTRY.iter_unpack(seal.index)
    )


def _entry(row: SealedRow, digest: bytes) -> bytes:
    return _ENTRY.pack(seq_of(row), _bytes_of_uuid(event_id_of(row)), digest[:8], *locator_of(row))


def _bytes_of_uuid(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        return _NO_UUID
    return raw if len(raw) == 16 and _text_of_uuid(raw) == text else _NO_UUID


def _text_of_uuid(raw: bytes) -> str:
    if raw == _NO_UUID:
        return ""
    text = raw.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
