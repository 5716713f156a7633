"""
What does not agree with its seal, and where.

Shapes  `findings_in_rows` looks at one seal's rows, `findings_in_link` at the seal itself and the
        one before it, `findings_in_anchors` at the chain as it was written down elsewhere.
Errors  Findings are data; nothing here raises for what somebody stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tallygate.domain.kernel.digests import digest_of_bytes
from tallygate.domain.ledger.sealed_rows import (
    SealedRow,
    columns_past,
    digest_of_row,
    edited_column,
    event_id_of,
    seq_of,
)
from tallygate.domain.ledger.seals import (
    GENESIS,
    IndexEntry,
    Seal,
    digest_of_digests,
    head_of,
    index_of,
    is_readable,
)


class FindingCode(StrEnum):
    """Stable words for programs."""

    EVENT_EDITED = "event_edited"
    EVENT_DELETED = "event_deleted"
    EVENT_ADDED = "event_added"
    EVENT_MOVED = "event_moved"
    SEAL_EDITED = "seal_edited"
    SEAL_MISSING = "seal_missing"
    TAIL_CUT = "tail_cut"
    HISTORY_REWRITTEN = "history_rewritten"
    SEALS_BEHIND = "seals_behind"
    ARCHIVE_EDITED = "archive_edited"
    ARCHIVE_MISSING = "archive_missing"
    ARCHIVE_UNFINISHED = "archive_unfinished"
    INPUT_EDITED = "input_edited"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it was sealed. What is not known is None."""

    code: FindingCode
    message: str
    seal: int | None = None
    seq: int | None = None
    event_id: str | None = None
    column: str | None = None
    place: str | None = None
    """The archive's file, or another table than that of events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The chain's head as it stood at an instant, kept outside the database."""

    at: str
    seals: int
    events: int
    last_seq: int
    head: str


def findings_in_rows(
    seal: Seal, rows: Sequence[SealedRow], place: str | None = None
) -> list[Finding]:
    """Compare the rows that stand where the seal says with what was sealed."""
    if not is_readable(seal):
        return []  # the seal itself is a finding; nothing can be compared with it
    digests = [digest_of_row(row, seal.column_set) for row in rows]
    late = [
        _edited(seal, row, name, place)
        for row in rows
        for name in columns_past(row, seal.column_set)
    ]
    if len(rows) == seal.events and digest_of_digests(digests) == seal.rows_digest:
        return late
    found = list(_differences(seal, rows, digests, place))
    if not found and not late:
        message = (
            "the digest of the seal's rows differs though no row does: the seal was edited, or a "
            "row was edited together with the seal's index"
        )
        found = [Finding(code=FindingCode.SEAL_EDITED, message=message, seal=seal.number)]
    return [*found, *late]


def _differences(
    seal: Seal, rows: Sequence[SealedRow], digests: Sequence[bytes], place: str | None
) -> Iterator[Finding]:
    sealed = {entry.seq: entry for entry in index_of(seal)}
    home = {entry.event_id: entry for entry in sealed.values() if entry.event_id}
    present = {event_id_of(row) for row in rows}
    seen: set[int] = set()
    for row, digest in zip(rows, digests, strict=True):
        seq = seq_of(row)
        entry = sealed.get(seq)
        seen.add(seq)
        if entry is not None and digest[:8] == entry.digest_start:
            continue
        moved_from = home.get(event_id_of(row))
        if moved_from is not None and moved_from.seq != seq:
            yield from _moved(seal, row, moved_from, place)
        elif entry is None:
            yield _finding(
                seal, FindingCode.EVENT_ADDED, row, "was added after it was sealed", place
            )
        else:
            column = edited_column(entry.locator, row, seal.column_set)
            yield _edited(seal, row, column, place, sealed_as=entry.event_id)
    for seq in sorted(sealed.keys() - seen):
        if sealed[seq].event_id not in present:
            yield _deleted(seal, sealed[seq], place)


def _moved(seal: Seal, row: SealedRow, home: IndexEntry, place: str | None) -> Iterator[Finding]:
    yield _finding(
        seal, FindingCode.EVENT_MOVED, row, f"stands at another place, sealed at {home.seq}", place
    )
    as_sealed = (home.seq, *row[1:])
    if digest_of_row(as_sealed, seal.column_set)[:8] != home.digest_start:
        column = edited_column(home.locator, as_sealed, seal.column_set)
        yield _edited(seal, row, column, place)


def _edited(
    seal: Seal, row: SealedRow, column: str | None, place: str | None, sealed_as: str = ""
) -> Finding:
    where = f"in {column}" if column else "in more than one column"
    if sealed_as and sealed_as != event_id_of(row):
        where += f"; it was sealed as {sealed_as}"
    return _finding(
        seal, FindingCode.EVENT_EDITED, row, f"was edited {where}", place, column=column
    )


def _deleted(seal: Seal, entry: IndexEntry, place: str | None) -> Finding:
    name = entry.event_id or "of an unknown id"
    return Finding(
        code=FindingCode.EVENT_DELETED,
        message=f"event {name} was deleted",
        seal=seal.number,
        seq=entry.seq,
        event_id=entry.event_id or None,
        place=place,
    )


def _finding(
    seal: Seal,
    code: FindingCode,
    row: SealedRow,
    what: str,
    place: str | None,
    column: str | None = None,
) -> Finding:
    return Finding(
        code=code,
        message=f"event {event_id_of(row)} {what}",
        seal=seal.number,
        seq=seq_of(row),
        event_id=event_id_of(row),
        column=column,
        place=place,
    )


def findings_in_link(seal: Seal, before: Seal | None) -> list[Finding]:
    """Compare a seal with its own head and with the seal before it."""
    expected = before.number + 1 if before else 1
    if seal.number != expected:
        last = seal.number - 1
        lost = f"seal {expected} is" if last == expected else f"seals {expected} to {last} are"
        message = f"{lost} missing; the events that they covered are not proven"
        missing = [Finding(code=FindingCode.SEAL_MISSING, message=message, seal=expected)]
    else:
        missing = []
    if missing or _follows(seal, before):
        broken = []
    else:
        broken = [_seal_edited(seal, "does not continue the seal before it")]
    if head_of(seal) != seal.head:
        broken = [_seal_edited(seal, "differs from its own head")]
    elif not is_readable(seal):
        what = "cannot be read: somebody else made it, or a newer tallygate; verify with that one"
        broken = [_seal_edited(seal, what)]
    return [*missing, *broken]


def _follows(seal: Seal, before: Seal | None) -> bool:
    return (
        seal.previous_head == (before.head if before else GENESIS)
        and seal.chain_events == (before.chain_events if before else 0) + seal.events
        and (before is None or seal.from_seq > before.to_seq)
        and seal.from_seq <= seal.to_seq
    )


def _seal_edited(seal: Seal, what: str) -> Finding:
    return Finding(
        code=FindingCode.SEAL_EDITED, message=f"seal {seal.number} {what}", seal=seal.number
    )


def findings_in_anchors(
    anchors: Sequence[Anchor], heads: Mapping[int, tuple[str, int, int]]
) -> list[Finding]:
    """
    Compare the chain with what was written down; `heads` is number to head, events, last seq.

    Between the last anchor that holds and the first that does not lies what was rewritten.
    """
    found = []
    held: Anchor | None = None
    for anchor in anchors:
        now = heads.get(anchor.seals)
        if now == (anchor.head, anchor.events, anchor.last_seq):
            held = anchor
            continue
        since = f"after seq {held.last_seq} (anchored {held.at})" if held else "from the start on"
        if now is None:
            left = max(heads.values(), key=lambda head: head[1], default=("", 0, 0))
            message = (
                f"the tail is cut: anchored at {anchor.at} were {anchor.events} events up to seq "
                f"{anchor.last_seq}, the chain ends at {left[1]} events, seq {left[2]}"
            )
            code = FindingCode.TAIL_CUT
        else:
            message = (
                f"history was rewritten and chained anew {since}, up to seq {anchor.last_seq}: "
                f"seal {anchor.seals} is not the one that was anchored at {anchor.at}"
            )
            code = FindingCode.HISTORY_REWRITTEN
        found.append(Finding(code=code, message=message, seal=anchor.seals, seq=anchor.last_seq))
    return found


def findings_in_inputs(inputs: Iterable[tuple[str, str]]) -> list[Finding]:
    """Compare each recorded input, as it is stored, with the digest that sealed events name."""
    return [
        Finding(
            code=FindingCode.INPUT_EDITED,
            message=f"the recorded input {digest} is not the one that the digest is of",
            place="decision_inputs",
        )
        for digest, content in inputs
        if digest_of_bytes(content.encode()) != digest
    ]
