"""
Indexes for what is asked by parent and by person in SQLite, and persons that nobody swaps.

Shapes  A row of `subjects` is added or deleted, never changed: whose a surrogate is lies outside
        the seals, and an exchange of two persons would show nowhere.
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

_SUBJECTS_NO_UPDATE: Final = """
CREATE TRIGGER subjects_no_update BEFORE UPDATE ON subjects
BEGIN SELECT RAISE(ABORT, 'a subject is added or forgotten, never changed'); END
"""


def m005_lookups(connection: Connection) -> None:
    """Index the columns, and guard `subjects` against UPDATE."""
    for statement in (*_INDEXES, _SUBJECTS_NO_UPDATE):
        connection.exec_driver_sql(statement)


def m006_answers(connection: Connection) -> None:
    """Find who asked for an answer that was made in the background."""
    connection.exec_driver_sql(
        "CREATE INDEX events_by_answer ON events (response_id) WHERE call_type = 'aresponses'"
    )
