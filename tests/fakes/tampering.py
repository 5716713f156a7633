"""Somebody who gets past the ledger's guards: on SQLite, PostgreSQL and the ledger in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import psycopg

from fakes.seal_store import FakeSealStore
from tallygate.application.ledger_ports import SealStore
from tallygate.domain.kernel.digests import canonical_json
from tallygate.domain.ledger.seals import Seal, seal_of, with_head


class Tampering(Protocol):
    def edit(self, event_id: str, /, **values: Any) -> None: ...

    def delete(self, *event_ids: str) -> None: ...

    def edit_input(self, digest: str, recorded: Mapping[str, Any]) -> None: ...

    def drop_seals(self, after: int) -> None: ...

    def put_seal(self, seal: Seal) -> None:
        """Overwrite the seal of that number, or append it."""
        ...


def swap(tampering: Tampering, seqs: Mapping[str, int]) -> None:
    """Give two events each other's place."""
    (one, one_seq), (two, two_seq) = seqs.items()
    tampering.edit(one, seq=10**9)
    tampering.edit(two, seq=one_seq)
    tampering.edit(one, seq=two_seq)


def chain_anew(tampering: Tampering, store: SealStore) -> None:
    """Seal what stands there now in the same batches, as somebody would who knows how."""
    before: Seal | None = None
    for seal in list(store.seals()):
        rows = store.sealed_rows(before.to_seq if before else -1, seal.to_seq)
        before = seal_of(rows, before, seal.sealed_at_ns)
        tampering.put_seal(before)


def edit_seal(tampering: Tampering, store: SealStore, number: int, **values: Any) -> None:
    """Change a seal, with a head that fits it where none is given."""
    seal = next(seal for seal in store.seals() if seal.number == number)
    changed = replace(seal, **values)
    tampering.put_seal(changed if "head" in values else with_head(changed))


class TamperingInMemory:
    def __init__(self, store: FakeSealStore) -> None:
        self._store = store

    def edit(self, event_id: str, /, **values: Any) -> None:
        lines = self._store.ledger.lines
        line = lines.pop(event_id) | values
        lines[line["event_id"]] = line

    def delete(self, *event_ids: str) -> None:
        for event_id in event_ids:
            del self._store.ledger.lines[event_id]

    def edit_input(self, digest: str, recorded: Mapping[str, Any]) -> None:
        self._store.ledger.inputs[digest] = recorded

    def drop_seals(self, after: int) -> None:
        self._store.chain = [seal for seal in self._store.chain if seal.number <= after]

    def put_seal(self, seal: Seal) -> None:
        kept = [each for each in self._store.chain if each.number != seal.number]
        self._store.chain = sorted([*kept, seal], key=lambda each: each.number)


class _TamperingInSql:
    mark = "?"

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        raise NotImplementedError

    def edit(self, event_id: str, /, **values: Any) -> None:
        changes = ", ".join(f"{name} = {self.mark}" for name in values)
        self.execute(
            f"UPDATE events SET {changes} WHERE event_id = {self.mark}",
            (*values.values(), event_id),
        )

    def delete(self, *event_ids: str) -> None:
        for event_id in event_ids:
            self.execute(f"DELETE FROM events WHERE event_id = {self.mark}", (event_id,))

    def edit_input(self, digest: str, recorded: Mapping[str, Any]) -> None:
        self.execute(
            f"UPDATE decision_inputs SET content = {self.mark} WHERE input_digest = {self.mark}",
            (canonical_json(recorded).decode(), digest),
        )

    def drop_seals(self, after: int) -> None:
        self.execute(f"DELETE FROM seals WHERE number > {self.mark}", (after,))

    def put_seal(self, seal: Seal) -> None:
        row = {name: getattr(seal, name) for name in Seal.__dataclass_fields__}
        row["event_index"] = row.pop("index")
        marks = ", ".join([self.mark] * len(row))
        self.execute(f"DELETE FROM seals WHERE number = {self.mark}", (seal.number,))
        self.execute(f"INSERT INTO seals ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


class TamperingInSqlite(_TamperingInSql):
    def __init__(self, path: Path) -> None:
        self._path = path

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        with closing(sqlite3.connect(self._path)) as file, file:
            triggers = file.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for (name,) in triggers.fetchall():
                file.execute(f"DROP TRIGGER {name}")
            file.execute("PRAGMA ignore_check_constraints = ON")
            assert file.execute(statement, values).rowcount != 0 or "seals" in statement


class TamperingInPostgres(_TamperingInSql):
    mark = "%s"

    def __init__(self, url: str) -> None:
        self._url = url

    def execute(self, statement: str, values: tuple[Any, ...] = ()) -> None:
        with psycopg.connect(self._url) as connection:
            for table in ("events", "seals", "archives", "decision_inputs"):
                connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            connection.execute("ALTER TABLE events ALTER COLUMN seq SET GENERATED BY DEFAULT")
            done = connection.execute(statement, values)
            assert done.rowcount != 0 or "seals" in statement
