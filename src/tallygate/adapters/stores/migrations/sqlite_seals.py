"""
Seals and archives in SQLite, and the one way past the guard against DELETE.

Shapes  A seal continues the newest one or is refused. A line may be deleted once a line of
        `archives` names its range; that line is append-only itself, and `verify` asks for the
        files that it stands for.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

_NOW_NS: Final = (
    "CAST(strftime('%s', 'now') AS INTEGER) * 1000000000"
    " + CAST(substr(strftime('%f', 'now'), 4) AS INTEGER) * 1000000"
)

_SEALS: Final = """
CREATE TABLE seals (
    number INTEGER PRIMARY KEY,
    from_seq INTEGER NOT NULL,
    to_seq INTEGER NOT NULL,
    events INTEGER NOT NULL CHECK (events >= 1),
    chain_events INTEGER NOT NULL,
    column_set INTEGER NOT NULL,
    rows_digest TEXT NOT NULL,
    event_index BLOB NOT NULL,
    previous_head TEXT NOT NULL,
    sealed_at_ns INTEGER NOT NULL,
    head TEXT NOT NULL
) STRICT
"""

_ARCHIVES: Final = f"""
CREATE TABLE archives (
    number INTEGER PRIMARY KEY,
    first_seal INTEGER NOT NULL,
    last_seal INTEGER NOT NULL,
    from_seq INTEGER NOT NULL,
    to_seq INTEGER NOT NULL,
    events INTEGER NOT NULL CHECK (events >= 1),
    manifest_digest TEXT NOT NULL,
    archived_at_ns INTEGER NOT NULL DEFAULT ({_NOW_NS})
) STRICT
"""


def _append_only(table: str) -> tuple[str, ...]:
    refusal = f"SELECT RAISE(ABORT, '{table} is append-only')"
    return (
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} BEGIN {refusal}; END",
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} BEGIN {refusal}; END",
        f"""
        CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table}
        WHEN EXISTS (SELECT 1 FROM {table} WHERE number = NEW.number)
        BEGIN {refusal}; END
        """,  # noqa: S608 - a literal of this module
    )


_CHAINED: Final = """
CREATE TRIGGER seals_chained BEFORE INSERT ON seals
WHEN NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM seals)
OR EXISTS (
    SELECT 1 FROM seals WHERE number = NEW.number - 1
    AND (NEW.previous_head <> head OR NEW.from_seq <= to_seq)
)
BEGIN SELECT RAISE(ABORT, 'a seal continues the newest one'); END
"""

_ARCHIVED_IN_ORDER: Final = """
CREATE TRIGGER archives_in_order BEFORE INSERT ON archives
WHEN NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM archives)
OR NEW.first_seal <> (SELECT coalesce(max(last_seal), 0) + 1 FROM archives)
OR NOT EXISTS (
    SELECT 1 FROM seals WHERE number = NEW.first_seal AND from_seq = NEW.from_seq
)
OR NOT EXISTS (SELECT 1 FROM seals WHERE number = NEW.last_seal AND to_seq = NEW.to_seq)
OR NEW.last_seal >= (SELECT max(number) FROM seals)
BEGIN SELECT RAISE(ABORT, 'an archive holds the oldest seals, and never the newest'); END
"""

_DELETE_ARCHIVED_ONLY: Final = """
CREATE TRIGGER events_no_delete BEFORE DELETE ON events
WHEN NOT EXISTS (SELECT 1 FROM archives WHERE OLD.seq BETWEEN from_seq AND to_seq)
BEGIN SELECT RAISE(ABORT, 'events is append-only: post a correction instead'); END
"""


def m004_seals(connection: Connection) -> None:
    """Room for the hash chain and for the list of what was archived."""
    for statement in (
        _SEALS,
        _ARCHIVES,
        *_append_only("seals"),
        *_append_only("archives"),
        _CHAINED,
        _ARCHIVED_IN_ORDER,
        "DROP TRIGGER events_no_delete",
        _DELETE_ARCHIVED_ONLY,
    ):
        connection.exec_driver_sql(statement)
