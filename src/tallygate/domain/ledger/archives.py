"""
What an archive says of itself: which seals it holds, in which files, and what they add up to.

Shapes  A manifest is canonical JSON; its digest stands in the ledger's table `archives`. Archives
        are numbered from 1 and hold the oldest seals, without a gap. A name holds a part of what
        it stands for, so that ledgers may share a folder and none overwrites another's file.
Errors  ValueError for a manifest that cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson

from tallygate.domain.kernel.digests import canonical_json, digest_of_bytes
from tallygate.domain.ledger.seals import Seal

_FORMAT: Final = "tallygate-archive/1"
_FILE_NAME: Final = re.compile(r"events-\d{8,}-\d{8,}-[0-9a-f]{12}\.parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchivedRange:
    """A line of the table `archives`."""

    number: int
    first_seal: int
    last_seal: int
    from_seq: int
    to_seq: int
    events: int
    manifest_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFile:
    """One file of an archive: whole seals."""

    name: str
    digest: str
    bytes: int
    first_seal: int
    last_seal: int
    from_seq: int
    to_seq: int
    events: int
    head: str
    """Of its last seal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All of one archive. `sums` is currency to cost as decimal text, events, unpriced."""

    number: int
    before: str
    first_seal: int
    last_seal: int
    from_seq: int
    to_seq: int
    events: int
    previous_head: str
    head: str
    files: tuple[ArchiveFile, ...]
    seals: tuple[Mapping[str, Any], ...]
    sums: Mapping[str, Mapping[str, str | int]]


def manifest_name(number: int, digest: str) -> str:
    """Name a manifest by its archive and its own digest: no other can have the name."""
    return f"archive-{number:06d}-{_start_of(digest)}.json"


def file_name(first_seal: int, last_seal: int, head: str) -> str:
    """
    Name a file by its seals and the last one's head, which stands for the chain up to there.

    So an interrupted run finds its own files again, and never another ledger's.
    """
    return f"events-{first_seal:08d}-{last_seal:08d}-{_start_of(head)}.parquet"


def _start_of(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


def seals_for_manifest(seals: Sequence[Seal]) -> tuple[Mapping[str, Any], ...]:
    """Say of each seal what its head is made of, so that the files prove themselves alone."""
    return tuple(
        {
            "number": seal.number,
            "from_seq": seal.from_seq,
            "to_seq": seal.to_seq,
            "events": seal.events,
            "chain_events": seal.chain_events,
            "column_set": seal.column_set,
            "rows_digest": seal.rows_digest,
            "index_digest": digest_of_bytes(seal.index),
            "sealed_at_ns": seal.sealed_at_ns,
            "head": seal.head,
        }
        for seal in seals
    )


def bytes_of_manifest(manifest: Manifest) -> bytes:
    """Write the one text of a manifest."""
    return canonical_json({"format": _FORMAT, **asdict(manifest)})


def range_of(manifest: Manifest) -> ArchivedRange:
    """Build the line that stands for a manifest in the ledger."""
    return ArchivedRange(
        number=manifest.number,
        first_seal=manifest.first_seal,
        last_seal=manifest.last_seal,
        from_seq=manifest.from_seq,
        to_seq=manifest.to_seq,
        events=manifest.events,
        manifest_digest=digest_of_bytes(bytes_of_manifest(manifest)),
    )


def manifest_from_bytes(content: bytes) -> Manifest:
    """Read a manifest that `bytes_of_manifest` wrote."""
    try:
        found = orjson.loads(content)
        if found.pop("format") != _FORMAT:
            raise ValueError("the manifest is of another format")
        files = tuple(ArchiveFile(**file) for file in found.pop("files"))
        for file in files:  # a name that leads elsewhere is no name of ours
            named = file_name(file.first_seal, file.last_seal, file.head)
            if file.name != named or not _FILE_NAME.fullmatch(named):
                raise ValueError("the manifest names a file that is none of an archive")
        return Manifest(files=files, seals=tuple(found.pop("seals")), **found)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("the manifest cannot be read") from error
