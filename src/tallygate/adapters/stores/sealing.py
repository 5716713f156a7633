"""
The chain of seals in a ledger's database, with the lines under it; SQLite and PostgreSQL alike.

Shapes  Rows come as the database keeps them, truth values as 0 and 1, so that a line has one
        digest wherever it lies. Each method is a transaction of its own.
Errors  As the ledger's own.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from typing import Any, Final, Protocol

from sqlalchemy import Boolean, Connection, Engine, func, or_, select, text

from tallygate.adapters.stores.inputs import read_inputs
from tallygate.adapters.stores.locks import APPEND, SEAL, SPACE
from tallygate.adapters.stores.queries import amount_from_sums, sum_of
from tallygate.adapters.stores.tables import ARCHIVES, EVENTS, SEALS, SUBJECTS
from tallygate.application.ledger_ports import CurrencySum
from tallygate.domain.ledger.archives import ArchivedRange
from tallygate.domain.ledger.sealed_rows import SEALED_COLUMNS, SealedRow
from tallygate.domain.ledger.seals import Seal

_SEALS_PER_PAGE: Final = 100
_PURGE_S: Final = 5
_PURGE_AGAIN_S: Final = 0.1
_BOOLEANS: Final = {column.name for column in EVENTS.columns if isinstance(column.type, Boolean)}
_COLUMNS: Final = ", ".join(
    f"CAST({name} AS INTEGER)" if name in _BOOLEANS else name for name in SEALED_COLUMNS
)
_ROWS: Final = f"SELECT {_COLUMNS} FROM events WHERE seq > :after AND seq <= :last ORDER BY seq"  # noqa: S608 - names of our own columns
_DELETE: Final = text(
    "DELETE FROM events WHERE seq IN"
    " (SELECT seq FROM events WHERE seq BETWEEN :from_seq AND :to_seq ORDER BY seq LIMIT :size)"
)
_CLOCKS: Final = {
    "sqlite": (
        "SELECT CAST(strftime('%s', 'now') AS INTEGER) * 1000000000"
        " + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000000"
    ),
    "postgresql": "SELECT (extract(epoch FROM statement_timestamp()) * 1000000000)::bigint",
}
_COLUMN_OF: Final = {"index": "event_index"}
_SEAL_FIELDS: Final = tuple(Seal.__dataclass_fields__)


class SqlLedger(Protocol):
    """What both ledgers offer to the modules beside them."""

    def reading(self) -> AbstractContextManager[Connection]: ...

    def writing(self) -> AbstractContextManager[Connection]: ...


class SqlSealStore:
    """The `SealStore` and `Subjects` ports over a ledger's own connections."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger

    def now_ns(self) -> int:
        with self._ledger.reading() as connection:
            clock = text(_CLOCKS[connection.dialect.name].replace(":", r"\:"))
            return int(connection.execute(clock).scalar_one())

    def settled_seq(self) -> int | None:
        newest = select(func.max(EVENTS.c.seq))
        with self._ledger.writing() as connection:
            if connection.dialect.name == "postgresql":  # waits for every append under way
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SPACE}, {APPEND})")
            found = connection.execute(newest).scalar()
            return None if found is None else int(found)

    def sealed_rows(
        self, after_seq: int, to_seq: int, limit: int | None = None
    ) -> Sequence[SealedRow]:
        query = text(_ROWS if limit is None else f"{_ROWS} LIMIT {int(limit)}")
        with self._ledger.reading() as connection:
            cursor = connection.execute(query, {"after": after_seq, "last": to_seq}).cursor
            assert cursor is not None, "a SELECT has a cursor"
            return cursor.fetchall()  # the driver's own tuples: SQLAlchemy's would cost as much

    def last_seal(self) -> Seal | None:
        query = select(SEALS).order_by(SEALS.c.number.desc()).limit(1)
        with self._ledger.reading() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else _seal_from(row)

    def seals(self, after: int = 0) -> Iterator[Seal]:
        query = select(SEALS).order_by(SEALS.c.number).limit(_SEALS_PER_PAGE)
        number: int | None = after or None  # a forger's seal may have any number
        while True:
            paged = query if number is None else query.where(SEALS.c.number > number)
            with self._ledger.reading() as connection:
                found = [_seal_from(row) for row in connection.execute(paged).mappings()]
            yield from found
            if len(found) < _SEALS_PER_PAGE:
                return
            number = found[-1].number

    def add_seal(self, seal: Seal) -> bool:
        with self._ledger.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SPACE}, {SEAL})")
            newest = connection.execute(select(func.max(SEALS.c.number))).scalar() or 0
            if newest != seal.number - 1:
                return False
            row = {_COLUMN_OF.get(name, name): getattr(seal, name) for name in _SEAL_FIELDS}
            connection.execute(SEALS.insert().values(row))
        return True

    def count_rows(self, after_seq: int, to_seq: int | None = None) -> int:
        query = select(func.count()).select_from(EVENTS).where(EVENTS.c.seq > after_seq)
        if to_seq is not None:
            query = query.where(EVENTS.c.seq <= to_seq)
        with self._ledger.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def sums(
        self, after_seq: int | None = None, to_seq: int | None = None
    ) -> Mapping[str, CurrencySum]:
        query = select(
            EVENTS.c.currency,
            *sum_of(EVENTS.c.cost_e12),
            func.count(),
            func.count().filter(EVENTS.c.cost_e12.is_(None)),
        ).group_by(EVENTS.c.currency)
        if after_seq is not None:
            query = query.where(EVENTS.c.seq > after_seq)
        if to_seq is not None:
            query = query.where(EVENTS.c.seq <= to_seq)
        with self._ledger.reading() as connection:
            return {
                currency: CurrencySum(amount_from_sums(millions, rest), events, unpriced)
                for currency, millions, rest, events, unpriced in connection.execute(
                    query.order_by(EVENTS.c.currency)
                )
            }

    def recorded_before(self, after_seq: int, to_seq: int, before_ns: int) -> bool:
        newest = select(func.max(EVENTS.c.recorded_at_ns)).where(
            EVENTS.c.seq > after_seq, EVENTS.c.seq <= to_seq
        )
        with self._ledger.reading() as connection:
            found = connection.execute(newest).scalar()
        return found is None or int(found) < before_ns

    def first_recorded_ns(self, after_seq: int) -> int | None:
        earliest = select(func.min(EVENTS.c.recorded_at_ns)).where(EVENTS.c.seq > after_seq)
        with self._ledger.reading() as connection:
            found = connection.execute(earliest).scalar()
        return None if found is None else int(found)

    def inputs(self) -> Iterator[tuple[str, str]]:
        return read_inputs(self._ledger.reading)

    def archives(self) -> Sequence[ArchivedRange]:
        names = ArchivedRange.__dataclass_fields__
        query = select(*(ARCHIVES.c[name] for name in names)).order_by(ARCHIVES.c.number)
        with self._ledger.reading() as connection:
            return [ArchivedRange(**row) for row in connection.execute(query).mappings()]

    def add_archive(self, archived: ArchivedRange) -> None:
        row = {name: getattr(archived, name) for name in ArchivedRange.__dataclass_fields__}
        with self._ledger.writing() as connection:
            connection.execute(ARCHIVES.insert().values(row))

    def delete_archived(self, archived: ArchivedRange, limit: int) -> int:
        bounds = {"from_seq": archived.from_seq, "to_seq": archived.to_seq, "size": limit}
        with self._ledger.writing() as connection:
            return connection.execute(_DELETE, bounds).rowcount

    def surrogate_of(self, subject: str) -> str | None:
        known = select(SUBJECTS.c.surrogate).where(
            or_(SUBJECTS.c.subject_hash == subject, SUBJECTS.c.surrogate == subject)
        )
        with self._ledger.reading() as connection:
            found = connection.execute(known).scalar()
        return None if found is None else str(found)

    def count_lines(self, surrogate: str) -> int:
        named = or_(EVENTS.c.tenant_ref == surrogate, EVENTS.c.user_ref == surrogate)
        with self._ledger.reading() as connection:
            return int(
                connection.execute(
                    select(func.count()).select_from(EVENTS).where(named)
                ).scalar_one()
            )

    def forget(self, surrogate: str) -> None:
        with self._ledger.writing() as connection:
            connection.execute(SUBJECTS.delete().where(SUBJECTS.c.surrogate == surrogate))

    def purge(self) -> bool:
        with self._ledger.reading() as connection:
            engine = connection.engine
        if engine.dialect.name != "sqlite":
            return True
        until_s = time.monotonic() + _PURGE_S
        while not _truncate_wal(engine):
            if time.monotonic() > until_s:
                return False
            time.sleep(_PURGE_AGAIN_S)
        return True


def _truncate_wal(engine: Engine) -> bool:
    """Empty the -wal file, where the old page lies; False when a reader still needs it."""
    with closing(engine.raw_connection()) as raw:
        try:
            busy, _pages, _moved = (
                raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            )
        except sqlite3.OperationalError:
            return False
    return not busy


def _seal_from(row: Mapping[Any, Any]) -> Seal:
    fields = {name: row[_COLUMN_OF.get(name, name)] for name in _SEAL_FIELDS}
    fields["index"] = bytes(fields["index"])
    return Seal(**fields)
