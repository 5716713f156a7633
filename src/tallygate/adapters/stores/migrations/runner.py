"""
The one way in which migrations run: each once, in order, all in one transaction.

Shapes  A migration is a function over an open connection; its number is its place in the list
        of its dialect. The caller holds the lock under which no other process migrates.
Errors  LedgerSchemaMismatch for a database that a newer tallygate made, or that is no ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from tallygate.adapters.stores.migrations import postgres, sqlite
from tallygate.errors import LedgerSchemaMismatch

Migration = Callable[[Connection], None]


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between two kinds of database."""

    migrations: tuple[Migration, ...]
    schema_version: str
    """DDL of the table that says which migrations the database has had."""
    tables: str
    """Query for the names of the tables that are there."""
    unhurried: str = ""
    """Lifts the bound on a statement's time: an index over every line takes what it takes."""


DIALECTS: Final[Mapping[str, Dialect]] = {
    "sqlite": Dialect(sqlite.MIGRATIONS, sqlite.SCHEMA_VERSION, sqlite.TABLES),
    "postgresql": Dialect(
        postgres.MIGRATIONS,
        postgres.SCHEMA_VERSION,
        postgres.TABLES,
        unhurried="SET LOCAL statement_timeout = 0",
    ),
}
"""By SQLAlchemy's name."""


def newest_version(connection: Connection) -> int:
    """How many migrations this tallygate knows for the database's kind."""
    return len(DIALECTS[connection.dialect.name].migrations)


def version_of(connection: Connection) -> int:
    """How many migrations the database has had; 0 for an empty one."""
    dialect = DIALECTS[connection.dialect.name]
    names = {name for (name,) in connection.exec_driver_sql(dialect.tables)}
    if "schema_version" in names:
        newest = connection.exec_driver_sql("SELECT max(version) FROM schema_version").scalar()
        return int(newest or 0)
    if names:
        raise LedgerSchemaMismatch(
            f"the database is no tallygate ledger: it holds {', '.join(sorted(names)[:5])}. "
            "Point TALLYGATE_LEDGER_URL at a database of its own."
        )
    return 0


def require_known(connection: Connection, version: int) -> None:
    """Refuse a database from the future, before anything in it is read or written."""
    known = newest_version(connection)
    if version > known:
        raise LedgerSchemaMismatch(
            f"the ledger has schema {version}, this tallygate knows up to {known}. "
            "Run the newer tallygate that made it, or point TALLYGATE_LEDGER_URL at another "
            "database."
        )


def migrate(connection: Connection) -> None:
    """Bring the database up to date; the caller holds the lock and commits."""
    dialect = DIALECTS[connection.dialect.name]
    done = version_of(connection)
    require_known(connection, done)
    if dialect.unhurried:
        connection.exec_driver_sql(dialect.unhurried)
    if done == 0:
        connection.exec_driver_sql(dialect.schema_version)
    for number, migration in enumerate(dialect.migrations[done:], start=done + 1):
        migration(connection)
        connection.exec_driver_sql(
            f"INSERT INTO schema_version (version, name) VALUES ({number}, '{migration.__name__}')"  # noqa: S608 - our own number and name
        )
