"""
The ledger in one SQLite file.

Shapes  WAL, synchronous=FULL, one writer at a time (BEGIN IMMEDIATE), readers never wait. The
        file is opened, and migrated, at the first use, and again after it was out of reach.
Errors  LedgerUnavailable for what may pass: locked, gone, read-only, disk full.
        LedgerSchemaMismatch for a database of a newer tallygate. SettingsInvalid for an address
        that names no file.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import QueuePool

from tallygate.adapters.stores.background import Appender
from tallygate.adapters.stores.failures import translated
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
from tallygate.errors import LedgerUnavailable, SettingsInvalid

_BEGIN: Final = "tallygate_begin"
_STATEMENTS: Final = 16
"""Kept prepared: one that inserts many lines takes half a megabyte."""


def path_from_url(url: str | Path) -> Path:
    """Return the file of `sqlite:///relative`, `sqlite:////absolute` or a plain path."""
    if isinstance(url, Path) or "://" not in url:
        return Path(url)
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SettingsInvalid(
            "the ledger's address cannot be read; write sqlite:///path"
        ) from error
    if parsed.get_backend_name() != "sqlite":
        raise SettingsInvalid(
            f"the ledger's address names {parsed.get_backend_name()}, and this is the store for "
            "files: write sqlite:///path (TALLYGATE_LEDGER_URL or --ledger)."
        )
    if not parsed.database or parsed.database == ":memory:" or parsed.query:
        raise SettingsInvalid(
            "the ledger must be a file that outlives the process: write sqlite:///path, "
            "with nothing after it (TALLYGATE_LEDGER_URL or --ledger)."
        )
    return Path(parsed.database)


class SqliteLedger:
    """The `Ledger` port on one file; `create` makes it, and its folder, when it is not there."""

    def __init__(self, url: str | Path, *, create: bool = True, busy_timeout_s: float = 5) -> None:
        self._path = path_from_url(url).absolute()
        self._create = create
        self._busy_timeout_s = busy_timeout_s
        self._engine: Engine | None = None
        self._appender = Appender()
        self._opened: tuple[int, int] | None = None

    @property
    def place(self) -> str:
        """The file, as messages name it."""
        return str(self._path)

    def prepare(self) -> None:
        """Open and migrate now rather than at the first use."""
        self._ready()

    def append(self, entries: Sequence[Entry]) -> Appended:
        if not entries:
            return Appended(inserted=0, duplicates=0)
        appended = append_or_reject(self._ready(), self.place, entries)
        self._require_same_file()  # what went into an unlinked file is not kept
        return appended

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
        self._let_go()

    def _let_go(self) -> None:
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def reading(self) -> AbstractContextManager[Connection]:
        """Open a transaction to read, for the modules beside this one."""
        return self._reading()

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """Open the one write transaction, which is kept where the block ends well."""
        with translated(self.place), self._ready().begin() as connection:
            yield connection
        self._require_same_file()

    @contextmanager
    def _reading(self) -> Generator[Connection]:
        with (
            translated(self.place),
            self._ready().execution_options(**{_BEGIN: "BEGIN"}).connect() as connection,
        ):
            yield connection

    def _ready(self) -> Engine:
        if self._engine is not None:
            self._require_same_file()
            return self._engine
        self._require_file()
        engine = _engine_for(self._path, self._busy_timeout_s)
        try:
            with translated(self.place):
                _bring_up_to_date(engine, self._busy_timeout_s)
        except BaseException:
            engine.dispose()
            raise
        self._engine, self._opened = engine, self._file_identity()
        return engine

    def _require_file(self) -> None:
        try:
            if self._file_identity() is not None:
                return
            if self._create and self._opened is None:
                self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._path.touch(mode=0o600)
                return
        except OSError as error:
            raise LedgerUnavailable(
                f"the ledger {self.place} cannot be made: {error.strerror}."
            ) from error
        if self._opened is None:
            raise LedgerUnavailable(f"there is no ledger at {self.place}.")
        raise LedgerUnavailable(
            f"the ledger {self.place} was there and is gone; bring it back, or start again to "
            "begin a new one."
        )

    def _require_same_file(self) -> None:
        if self._file_identity() != self._opened:
            self._let_go()
            raise LedgerUnavailable(
                f"the ledger {self.place} was moved or replaced while it was open."
            )

    def _file_identity(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise LedgerUnavailable(
                f"the ledger {self.place} is not available: {error.strerror}."
            ) from error
        return found.st_dev, found.st_ino


def _engine_for(path: Path, busy_timeout_s: float) -> Engine:
    def connect() -> sqlite3.Connection:
        # mode=rw: only `_require_file` makes files; isolation_level=None: we say BEGIN ourselves
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=rw",
            uri=True,
            timeout=busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=_STATEMENTS,
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA recursive_triggers = ON")  # REPLACE runs delete triggers
            connection.execute("PRAGMA secure_delete = ON")  # a forgotten subject's bytes go too
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    engine = create_engine(
        "sqlite://", creator=connect, poolclass=QueuePool, pool_size=2, hide_parameters=True
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(
            connection.get_execution_options().get(_BEGIN, "BEGIN IMMEDIATE")
        )

    return engine


def _bring_up_to_date(engine: Engine, busy_timeout_s: float) -> None:
    with engine.execution_options(**{_BEGIN: "BEGIN"}).connect() as connection:
        version = version_of(connection)
        require_known(connection, version)
        if version == newest_version(connection):
            return
    _switch_to_wal(engine, time.monotonic() + busy_timeout_s)
    with engine.begin() as connection:
        migrate(connection)


def _switch_to_wal(engine: Engine, deadline_s: float) -> None:
    """Switch for good; SQLite does not wait for another process that does the same."""
    while True:
        try:
            with closing(engine.raw_connection()) as connection:
                connection.cursor().execute("PRAGMA journal_mode = WAL")
        except (sqlite3.OperationalError, DBAPIError):
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.02)
        else:
            return
