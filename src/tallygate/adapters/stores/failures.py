"""
What the databases and SQLAlchemy raise, in tallygate's own words.

Errors  A vendor's text is never passed on: PostgreSQL's quotes the row, libpq's the address.
        Where it may hold either it is not chained, so that no traceback prints it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import orjson
from sqlalchemy.exc import DBAPIError

from tallygate.errors import LedgerError, LedgerUnavailable

CHECK_FAILED: Final = "check_failed"
VALUE_MISSING: Final = "value_missing"
NUMBER_OUT_OF_RANGE: Final = "number_out_of_range"
TEXT_NOT_STORABLE: Final = "text_not_storable"
RULE_BROKEN: Final = "rule_broken"

_SQLITE_REMEDIES: Final = {
    "SQLITE_BUSY": "another process holds its lock; it is tried again",
    "SQLITE_LOCKED": "another process holds its lock; it is tried again",
    "SQLITE_CANTOPEN": "it cannot be opened; see that the folder exists and can be written",
    "SQLITE_READONLY": "it is read-only; see who owns the file and its folder",
    "SQLITE_PERM": "it may not be opened; see who owns the file and its folder",
    "SQLITE_FULL": "the disk is full; make room, nothing is lost meanwhile",
    "SQLITE_IOERR": "the disk failed; see the system's log",
    "SQLITE_NOTADB": "the file is no SQLite database; point TALLYGATE_LEDGER_URL elsewhere",
    "SQLITE_CORRUPT": "the file is damaged; restore it from a copy",
}
_SQLITE_REFUSALS: Final = {
    "SQLITE_CONSTRAINT_CHECK": CHECK_FAILED,
    "SQLITE_CONSTRAINT_NOTNULL": VALUE_MISSING,
    "SQLITE_CONSTRAINT": RULE_BROKEN,
    "SQLITE_TOOBIG": TEXT_NOT_STORABLE,
}
_POSTGRES_REMEDIES: Final = {
    "": "the server cannot be reached; see that it runs, and the host and port of its address",
    "08": "the connection was lost; it is tried again",
    "28": "the server does not let the role in; see its name, its password and pg_hba.conf",
    "25006": "the server is read-only; point TALLYGATE_LEDGER_URL at the primary",
    "3D": "there is no such database; see docs/operating.md for how it is made",
    "40": "another transaction was in the way; it is tried again",
    "42501": "the role may not do this; see docs/operating.md for what each role is granted",
    "53100": "its disk is full; make room, nothing is lost meanwhile",
    "53300": "it has no connection left; raise max_connections or end other clients",
    "53": "the server is out of resources; see its log",
    "55P03": "another transaction holds a lock; it is tried again",
    "57014": "the statement took too long and was ended; it is tried again",
    "57P": "the server is stopping, starting or was restarted; it is tried again",
    "58": "the server's own system failed; see its log",
}
_REFUSED_CONNECTIONS: Final = {
    "too many c": "53300",
    "connection slots": "53300",
    "authentication": "28",
    "pg_hba.conf": "28",
    "no password": "28",
    "starting up": "57P",
    "shutting down": "57P",
    "not yet accepting": "57P",
    'role "': "28",
    'database "': "3D",
}
"""A server that lets nobody in says so in words only; libpq keeps no code of it."""
_POSTGRES_REFUSALS: Final = {
    "23514": CHECK_FAILED,
    "23502": VALUE_MISSING,
    "22003": NUMBER_OUT_OF_RANGE,
    "22P05": TEXT_NOT_STORABLE,
    "22021": TEXT_NOT_STORABLE,
    "23": RULE_BROKEN,
    "22": RULE_BROKEN,
    "54000": TEXT_NOT_STORABLE,
}


class EntryRefused(LedgerError):
    """The database's own rules do not take an entry; it would be refused again."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@contextmanager
def translated(place: str) -> Generator[None]:
    """Raise LedgerUnavailable for what may pass, EntryRefused for an entry that breaks a rule."""
    try:
        yield
    except sqlite3.Error as error:
        raise _from_sqlite(error, place) from error
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise _from_sqlite(error.orig, place) from error
        raise _from_postgres(error, place) from None
    except (ArithmeticError, orjson.JSONEncodeError) as error:
        refused = f"the ledger {place} refuses an entry: a number in it has too many digits."
        raise EntryRefused(refused, NUMBER_OUT_OF_RANGE) from error


def sqlstate_of(error: DBAPIError) -> str:
    """Return PostgreSQL's code; empty where the server was not reached."""
    return getattr(error.orig, "sqlstate", None) or ""


def _from_sqlite(cause: sqlite3.Error, place: str) -> LedgerError:
    name = getattr(cause, "sqlite_errorname", "") or type(cause).__name__
    for prefix, reason in _SQLITE_REFUSALS.items():
        if name.startswith(prefix):
            return EntryRefused(f"the ledger {place} refuses an entry: {cause}.", reason)
    for prefix, remedy in _SQLITE_REMEDIES.items():
        if name.startswith(prefix):
            return LedgerUnavailable(f"the ledger {place} is not available: {remedy} ({name}).")
    return LedgerUnavailable(f"the ledger {place} is not available ({name}).")


def _from_postgres(error: DBAPIError, place: str) -> LedgerError:
    code = sqlstate_of(error)
    if not code and type(error.orig).__name__ == "DataError":  # psycopg's own, for a NUL
        code = "22021"
    if not code:
        words = str(error.orig)
        code = next((c for phrase, c in _REFUSED_CONNECTIONS.items() if phrase in words), "")
    diagnosis = getattr(error.orig, "diag", None)
    rule_name = getattr(diagnosis, "constraint_name", None)
    if code == "23505" and rule_name is not None and rule_name.endswith("_pkey"):
        table = rule_name.removesuffix("_pkey")
        return LedgerUnavailable(
            f"the ledger {place} is not available: the numbers of {table} are behind its lines, as "
            "after a promoted copy; set its sequence past the highest seq."
        )
    for prefix, reason in _POSTGRES_REFUSALS.items():
        if code.startswith(prefix):
            rule = rule_name or reason
            return EntryRefused(
                f"the ledger {place} refuses an entry: {rule} (SQLSTATE {code}).", reason
            )
    # The longest prefix says most; the empty one is for no code at all.
    for prefix in sorted(_POSTGRES_REMEDIES, key=len, reverse=True):
        if code.startswith(prefix) and (prefix or not code):
            said = f" (SQLSTATE {code})" if code else ""
            remedy = _POSTGRES_REMEDIES[prefix]
            return LedgerUnavailable(f"the ledger {place} is not available: {remedy}{said}.")
    return LedgerUnavailable(f"the ledger {place} is not available (SQLSTATE {code}).")
