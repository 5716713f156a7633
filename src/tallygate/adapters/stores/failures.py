"""What SQLite and SQLAlchemy raise, in tallygate's own words."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DBAPIError

from tallygate.errors import LedgerError, LedgerUnavailable

_REMEDIES: Final = {
    "SQLITE_BUSY": "another process holds its lock; it is tried again",
    "SQLITE_LOCKED": "another process holds its lock; it is tried again",
    "SQLITE_CANTOPEN": "it cannot be opened; see that the folder exists and can be written",
    "SQLITE_READONLY": "it is read-only; see who owns the file and its folder",
    "SQLITE_PERM": "it may not be opened; see who owns the file and its folder",
    "SQLITE_FULL": "the disk is full; make room, nothing is lost meanwhile",
    "SQLITE_IOERR": "the disk failed; see the system's log",
    "SQLITE_NOTADB": "the file is no SQLite database; point TALLYGATE_LEDGER_URL elsewhere",
    "SQLITE_CORRUPT": "the file is damaged; restore it from a copy",
    "SQLITE_CONSTRAINT": "",
}


@contextmanager
def translated(place: str) -> Generator[None]:
    """Raise LedgerUnavailable for what may pass, LedgerError for an entry that breaks a rule."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as error:
        raise ledger_error_from(error, place) from error


def ledger_error_from(error: DBAPIError | sqlite3.Error, place: str) -> LedgerError:
    """Find our error for the vendor's; its text holds no row and no value."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    name = getattr(cause, "sqlite_errorname", "") or type(cause).__name__
    if name.startswith("SQLITE_CONSTRAINT"):
        return LedgerError(f"the ledger {place} refuses an entry: {cause}.")
    for prefix, remedy in _REMEDIES.items():
        if name.startswith(prefix):
            return LedgerUnavailable(f"the ledger {place} is not available: {remedy} ({name}).")
    return LedgerUnavailable(f"the ledger {place} is not available ({name}).")
