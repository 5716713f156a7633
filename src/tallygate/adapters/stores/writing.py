"""
Entries into an open write transaction, each at most once.

Shapes  A line that is there already is a duplicate when its facts are the same, a conflict when
        they are not. A person who was forgotten in between does not make it a conflict.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, Connection, select
from sqlalchemy.dialects import sqlite

from tallygate.adapters.stores.rows import Row, digest_of_facts, facts_of, price_columns
from tallygate.adapters.stores.tables import ASSIGNED_BY_STORE, EVENT_CONFLICTS, EVENTS, SUBJECTS
from tallygate.application.ports import Appended
from tallygate.domain.kernel.digests import canonical_json
from tallygate.domain.ledger.events import Entry, Event

_LOOKUP_SIZE: Final = 500
_WRITTEN: Final = tuple(c.name for c in EVENTS.columns if c.name not in ASSIGNED_BY_STORE)
# Compiled once, bound by place: SQLAlchemy's own binding would cost more than the insert.
_INSERT: Final = str(
    sqlite.insert(EVENTS)
    .values(dict.fromkeys(_WRITTEN))
    .on_conflict_do_nothing(index_elements=["event_id"])
    .compile(dialect=sqlite.dialect())
)


@dataclass(frozen=True, slots=True)
class _Stored:
    digest: str
    tenant_ref: str | None
    user_ref: str | None


def append_entries(connection: Connection, entries: Sequence[Entry]) -> Appended:
    """Write what is new; the caller holds the write lock, commits, or takes all of it back."""
    stored = _stored_lines(connection, {entry.event.event_id for entry in entries})
    subjects = _Subjects(connection, _hashes_in(entries))
    fresh: list[Row] = []
    conflicts: dict[str, None] = {}
    for entry in entries:
        event = entry.event
        line = stored.get(event.event_id)
        if line is None:
            row = _row_of(entry, subjects)
            fresh.append(row)
            stored[event.event_id] = _Stored(
                row["payload_digest"], row["tenant_ref"], row["user_ref"]
            )
        elif not _is_same(event, line, subjects):
            _keep_conflict(connection, event, subjects)
            conflicts[event.event_id] = None
    subjects.write()
    if fresh:
        connection.exec_driver_sql(_INSERT, [tuple(map(row.get, _WRITTEN)) for row in fresh])
    return Appended(
        inserted=len(fresh),
        duplicates=len(entries) - len(fresh) - len(conflicts),
        conflicts=tuple(conflicts),
    )


def _row_of(entry: Entry, subjects: _Subjects) -> Row:
    row = _facts_of(entry.event, subjects)
    row["payload_digest"] = digest_of_facts(row)
    row.update(price_columns(entry.price))
    return row


def _facts_of(event: Event, subjects: _Subjects) -> Row:
    owner = event.ownership
    return facts_of(event, subjects.ref(owner.tenant_id_hash), subjects.ref(owner.user_id_hash))


def _is_same(event: Event, line: _Stored, subjects: _Subjects) -> bool:
    owner = event.ownership
    facts = facts_of(
        event,
        subjects.ref_as_stored(owner.tenant_id_hash, line.tenant_ref),
        subjects.ref_as_stored(owner.user_id_hash, line.user_ref),
    )
    return digest_of_facts(facts) == line.digest


def _keep_conflict(connection: Connection, event: Event, subjects: _Subjects) -> None:
    facts = {name: value for name, value in _facts_of(event, subjects).items() if value is not None}
    digest = digest_of_facts(facts)
    columns = EVENT_CONFLICTS.c
    kept = connection.execute(
        select(columns.seq).where(
            columns.event_id == event.event_id, columns.payload_digest == digest
        )
    ).first()
    if kept is None:
        connection.execute(
            EVENT_CONFLICTS.insert().values(
                event_id=event.event_id,
                payload_digest=digest,
                facts=canonical_json(facts).decode(),
            )
        )


def _stored_lines(connection: Connection, ids: set[str]) -> dict[str, _Stored]:
    columns = (
        EVENTS.c.event_id,
        EVENTS.c.payload_digest,
        EVENTS.c.tenant_ref,
        EVENTS.c.user_ref,
    )
    return {
        event_id: _Stored(digest, tenant_ref, user_ref)
        for event_id, digest, tenant_ref, user_ref in _where_in(
            connection, columns, EVENTS.c.event_id, ids
        )
    }


def _hashes_in(entries: Iterable[Entry]) -> set[str]:
    owners = [entry.event.ownership for entry in entries]
    hashes = {owner.tenant_id_hash for owner in owners} | {owner.user_id_hash for owner in owners}
    return {subject_hash for subject_hash in hashes if subject_hash is not None}


def _where_in(
    connection: Connection, columns: Sequence[Column[Any]], key: Column[Any], values: set[str]
) -> Iterator[Any]:
    ordered = sorted(values)
    for start in range(0, len(ordered), _LOOKUP_SIZE):
        wanted = ordered[start : start + _LOOKUP_SIZE]
        yield from connection.execute(select(*columns).where(key.in_(wanted)))


class _Subjects:
    """Surrogates for hashes: found again while the row is there, made anew when it is not."""

    def __init__(self, connection: Connection, hashes: set[str]) -> None:
        self._connection = connection
        columns = (SUBJECTS.c.subject_hash, SUBJECTS.c.surrogate)
        found = _where_in(connection, columns, SUBJECTS.c.subject_hash, hashes)
        self._refs: dict[str, str] = dict(map(tuple, found))
        self._minted: dict[str, str] = {}

    def ref(self, subject_hash: str | None) -> str | None:
        if subject_hash is None:
            return None
        if subject_hash not in self._refs:
            self._refs[subject_hash] = self._minted[subject_hash] = f"sub_{secrets.token_hex(16)}"
        return self._refs[subject_hash]

    def ref_as_stored(self, subject_hash: str | None, stored: str | None) -> str | None:
        """Find the surrogate that a line of the same facts would carry."""
        if subject_hash is None or stored is None:
            return self.ref(subject_hash)
        if self._refs.get(subject_hash) != stored and not self._stands(stored):
            return stored  # forgotten since; nobody can say that it was another person
        return self.ref(subject_hash)

    def _stands(self, ref: str) -> bool:
        if ref in self._minted.values():
            return True
        known = select(SUBJECTS.c.surrogate).where(SUBJECTS.c.surrogate == ref)
        return self._connection.execute(known).first() is not None

    def write(self) -> None:
        if self._minted:
            self._connection.execute(
                SUBJECTS.insert(),
                [
                    {"surrogate": ref, "subject_hash": subject_hash}
                    for subject_hash, ref in self._minted.items()
                ],
            )
