"""
Lines of the kind `activation` in SQLite, and indexes for what overrides excused.

Shapes  SQLite cannot change a CHECK, so the table is made anew, from what the database itself says
        that it is: columns, indexes and guards of other migrations stay as they are.
Errors  RuntimeError for a table that no migration of ours made.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

_KINDS: Final = "'refusal', 'usage', 'correction')"
_KINDS_NOW: Final = "'refusal', 'usage', 'correction', 'activation')"
_INDEXES: Final = (
    "CREATE INDEX events_by_waived ON events (occurred_at_ns) WHERE waived <> '[]'",
    "CREATE INDEX events_of_activations ON events (occurred_at_ns) WHERE kind = 'activation'",
)


def m008_activations(connection: Connection) -> None:
    """Take the new kind and its column, and index what overrides excused."""
    described = connection.exec_driver_sql(
        "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = 'events' AND sql IS NOT NULL"
    ).all()
    (table,) = (sql for kind, _, sql in described if kind == "table")
    if table.count(_KINDS) != 1:
        raise RuntimeError("the table `events` does not name its kinds as our migrations do")
    beside = [(kind, name, sql) for kind, name, sql in described if kind != "table"]
    kept = ", ".join(
        name for (_, name, *_) in connection.exec_driver_sql("PRAGMA table_info(events)")
    )
    for kind, name, _ in beside:
        connection.exec_driver_sql(f"DROP {kind} {name}")
    for statement in (
        "ALTER TABLE events RENAME TO events_before",
        table.replace(_KINDS, _KINDS_NOW),
        f"INSERT INTO events ({kept}) SELECT {kept} FROM events_before",  # noqa: S608 - own names
        "DROP TABLE events_before",
        "ALTER TABLE events ADD COLUMN activation TEXT",
        *(sql for _, _, sql in beside),
        *_INDEXES,
    ):
        connection.exec_driver_sql(statement)
