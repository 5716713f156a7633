"""
The ledger in PostgreSQL, for many proxies and their drains at once.

Shapes  READ COMMITTED; drains write side by side, `event_id` keeps each line single. The schema
        is looked at on the first use, and migrated there where the role may.
Units   Every wait is bounded: to connect, for a lock, for a statement, for a silent network.
Errors  LedgerUnavailable for what may pass, or is the server's to mend. LedgerSchemaMismatch
        where the schema is not ours to change. SettingsInvalid for an address that cannot be
        one. None of them, and no `place`, holds a user's name or a password.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from tallygate.adapters.stores.background import Appender
from tallygate.adapters.stores.failures import sqlstate_of, translated
from tallygate.adapters.stores.locks import MIGRATE, SPACE
from tallygate.adapters.stores.migrations.runner import (
    migrate,
    newest_version,
    require_known,
    version_of,
)
from tallygate.adapters.stores.reading import (
    read_attempts,
    read_rejected,
    read_rows,
    read_total,
)
from tallygate.adapters.stores.writing import append_or_reject
from tallygate.application.ports import Appended, EventFilter, Total
from tallygate.domain.ledger.events import Entry
from tallygate.errors import LedgerSchemaMismatch, LedgerUnavailable, SettingsInvalid

CONNECT_TIMEOUT_S: Final = 5
_STATEMENT_TIMEOUT: Final = "60s"
_NETWORK: Final = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds
    "application_name": "tallygate",
}
"""libpq's own parameters; what the address says of them counts more."""

_BACKENDS: Final = frozenset({"postgres", "postgresql"})
_DRIVERS: Final = frozenset({"postgres", "postgresql", "postgresql+psycopg"})
_INSUFFICIENT_PRIVILEGE: Final = "42501"
_TRIES_PER_APPEND: Final = 3


def is_postgres(url: str) -> bool:
    """Whether the address is meant for this store."""
    return url.partition("://")[0].partition("+")[0] in _BACKENDS


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise SettingsInvalid(
            "the ledger's address cannot be read; write postgresql://role@host:5432/database, "
            "and percent-encode what is odd in a password (TALLYGATE_LEDGER_URL or --ledger)."
        ) from None
    if parsed.drivername not in _DRIVERS:
        raise SettingsInvalid(
            f"the ledger's address asks for {parsed.drivername}; tallygate brings its own driver: "
            "write postgresql:// (TALLYGATE_LEDGER_URL or --ledger)."
        )
    if "@" in (parsed.host or ""):  # libpq's message would print what follows the first @
        raise SettingsInvalid(
            "the ledger's address has more than one @; write %40 for one in a password."
        )
    if not parsed.database:
        raise SettingsInvalid(
            "the ledger's address names no database; write postgresql://role@host:5432/database."
        )
    return parsed.set(drivername="postgresql+psycopg")


class PostgresLedger:
    """
    The `Ledger` port on one database; `create` migrates it where the role may.

    `unhurried` bounds no statement: for commands that read every line, by hand and at leisure.
    """

    def __init__(
        self,
        url: str,
        *,
        create: bool = True,
        lock_timeout_s: float = 30,
        unhurried: bool = False,
    ) -> None:
        self._url = _parsed(url)
        self._create = create
        self._lock_timeout_s = lock_timeout_s
        self._statement_timeout = "0" if unhurried else _STATEMENT_TIMEOUT
        self._engine: Engine | None = None
        self._appender = Appender()

    @property
    def place(self) -> str:
        """Server and database, as messages name them: no user, no password."""
        host = self._url.host or self._url.query.get("host") or "localhost"
        port = f":{self._url.port}" if self._url.port else ""
        return f"postgresql://{host}{port}/{self._url.database}"

    def prepare(self) -> None:
        """Look at the schema now rather than at the first use."""
        self._ready()

    def migrate(self) -> tuple[int, int]:
        """Bring the schema up to date, as its owner; returns the versions before and after."""
        engine = self._engine or _engine_for(
            self._url, self._lock_timeout_s, self._statement_timeout
        )
        try:
            with translated(self.place):
                return _migrated(engine)
        finally:
            if engine is not self._engine:
                engine.dispose()

    def append(self, entries: Sequence[Entry]) -> Appended:
        if not entries:
            return Appended(inserted=0, duplicates=0)
        engine = self._ready()
        for _ in range(_TRIES_PER_APPEND - 1):
            try:
                return append_or_reject(engine, self.place, entries)
            except LedgerUnavailable as error:
                if not _was_in_the_way(error):
                    raise
        return append_or_reject(engine, self.place, entries)

    def append_soon(self, entries: Sequence[Entry]) -> Callable[[], Appended]:
        return self._appender.start(self.append, entries)

    def rows(self, wanted: EventFilter) -> Iterator[Mapping[str, Any]]:
        return read_rows(self._reading, wanted)

    def total(self, wanted: EventFilter) -> Total:
        return read_total(self._reading, wanted)

    def count_attempts(self) -> int:
        return read_attempts(self._reading)

    def count_rejected(self) -> int:
        """How many entries were kept aside, in `rejected_entries`."""
        return read_rejected(self._reading)

    def close(self) -> None:
        self._appender.close()
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def reading(self) -> AbstractContextManager[Connection]:
        """Open a connection to read, for the modules beside this one."""
        return self._reading()

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """Open a transaction, which is kept where the block ends well."""
        with translated(self.place), self._ready().begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Generator[Connection]:
        with translated(self.place), self._ready().connect() as connection:
            yield connection

    def _ready(self) -> Engine:
        if self._engine is not None:
            return self._engine
        engine = _engine_for(self._url, self._lock_timeout_s, self._statement_timeout)
        try:
            with translated(self.place):
                self._require_schema(engine)
        except BaseException:
            engine.dispose()
            raise
        self._engine = engine
        return engine

    def _require_schema(self, engine: Engine) -> None:
        with engine.connect() as connection:
            version, newest = version_of(connection), newest_version(connection)
            require_known(connection, version)
            role = connection.exec_driver_sql("SELECT current_user").scalar()
        if version == newest:
            return
        if not self._create and version == 0:
            raise LedgerUnavailable(f"there is no ledger at {self.place}.")
        if self._create:
            try:
                _migrated(engine)
            except DBAPIError as error:
                if sqlstate_of(error) != _INSUFFICIENT_PRIVILEGE:
                    raise
            else:
                return
        raise LedgerSchemaMismatch(
            f"the ledger {self.place} has schema {version} and this tallygate needs {newest}, "
            f"which the role {role} may not make: run `tallygate ledger migrate` once with the "
            "address of the role that owns the tables (docs/operating.md, PostgreSQL)."
        ) from None


def _migrated(engine: Engine) -> tuple[int, int]:
    with engine.begin() as connection:
        # Until the end of the transaction; who waited finds the work done.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SPACE}, {MIGRATE})")
        before = version_of(connection)
        migrate(connection)
        return before, newest_version(connection)


def _was_in_the_way(error: LedgerUnavailable) -> bool:
    """Whether it was a deadlock or the like, of which the server ended one side: this one."""
    cause = error.__context__
    return isinstance(cause, DBAPIError) and sqlstate_of(cause).startswith("40")


def _engine_for(url: URL, lock_timeout_s: float, statement_timeout: str) -> Engine:
    arguments = {name: value for name, value in _NETWORK.items() if name not in url.query}
    engine = create_engine(
        url,
        connect_args=arguments,
        pool_size=2,
        max_overflow=2,
        pool_pre_ping=True,  # so that a server's restart costs a reader nothing
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def bound(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT set_config('lock_timeout', %s, false),"
            " set_config('statement_timeout', %s, false), set_config('timezone', 'UTC', false)",
            (f"{lock_timeout_s * 1000:.0f}ms", statement_timeout),
        )
        cursor.close()
        connection.commit()

    return engine
