"""
Indexes for what is asked by parent and by person in PostgreSQL, and persons that nobody swaps.

Shapes  As in SQLite. The indexes are made in the migration's own transaction, so a drain waits
        until they are there.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

_INDEXES: Final = tuple(
    f"CREATE INDEX events_by_{name} ON events ({column}) WHERE {column} IS NOT NULL"
    for name, column in (
        ("parent", "parent_call_id"),
        ("tenant", "tenant_ref"),
        ("user", "user_ref"),
    )
)

_REFUSE_CHANGED_SUBJECT: Final = """
CREATE FUNCTION ledger_refuse_changed_subject() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'a subject is added or forgotten, never changed'
    USING ERRCODE = 'restrict_violation';
END
$body$
"""

_SUBJECTS_NO_UPDATE: Final = (
    """
    CREATE TRIGGER subjects_no_update BEFORE UPDATE ON subjects
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_changed_subject()
    """,
    "ALTER TABLE subjects ENABLE ALWAYS TRIGGER subjects_no_update",
)


def m004_lookups(connection: Connection) -> None:
    """Index the columns, and guard `subjects` against UPDATE."""
    for statement in (*_INDEXES, _REFUSE_CHANGED_SUBJECT, *_SUBJECTS_NO_UPDATE):
        connection.exec_driver_sql(statement)


def m005_answers(connection: Connection) -> None:
    """Find who asked for an answer that was made in the background."""
    connection.exec_driver_sql(
        "CREATE INDEX events_by_answer ON events (response_id) WHERE call_type = 'aresponses'"
    )
