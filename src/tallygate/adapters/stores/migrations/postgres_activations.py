"""Lines of the kind `activation` in PostgreSQL, and indexes for what overrides excused."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

_STATEMENTS: Final = (
    "ALTER TABLE events DROP CONSTRAINT events_kind_check",
    """
    ALTER TABLE events ADD CONSTRAINT events_kind_check
    CHECK (kind IN ('attempt', 'refusal', 'usage', 'correction', 'activation'))
    """,
    "ALTER TABLE events ADD COLUMN activation TEXT",
    "CREATE INDEX events_by_waived ON events (occurred_at_ns) WHERE waived <> '[]'",
    "CREATE INDEX events_of_activations ON events (occurred_at_ns) WHERE kind = 'activation'",
)


def m007_activations(connection: Connection) -> None:
    """Take the new kind and its column, and index what overrides excused."""
    for statement in _STATEMENTS:
        connection.exec_driver_sql(statement)
