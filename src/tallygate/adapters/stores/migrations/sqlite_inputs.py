"""
What each decision was about, in SQLite: its digest on the line, the input itself once.

Shapes  `decision_inputs` is append-only as `events` is, and nothing of it is ever archived.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

_COLUMNS: Final = (
    "ALTER TABLE events ADD COLUMN input_digest TEXT",
    "ALTER TABLE events ADD COLUMN call_bucket INTEGER CHECK (call_bucket BETWEEN 0 AND 99)",
)

_DECISION_INPUTS: Final = """
CREATE TABLE decision_inputs (
    input_digest TEXT PRIMARY KEY NOT NULL,
    content TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""

_REFUSAL: Final = "SELECT RAISE(ABORT, 'decision_inputs is append-only')"
_APPEND_ONLY: Final = (
    f"""
    CREATE TRIGGER decision_inputs_no_update BEFORE UPDATE ON decision_inputs
    BEGIN {_REFUSAL}; END
    """,
    f"""
    CREATE TRIGGER decision_inputs_no_delete BEFORE DELETE ON decision_inputs
    BEGIN {_REFUSAL}; END
    """,
    f"""
    CREATE TRIGGER decision_inputs_no_replace BEFORE INSERT ON decision_inputs
    WHEN EXISTS (SELECT 1 FROM decision_inputs WHERE input_digest = NEW.input_digest)
    BEGIN {_REFUSAL}; END
    """,  # noqa: S608 - a literal of this module
)


def m007_inputs(connection: Connection) -> None:
    """Add the columns and the table, with its guards."""
    for statement in (*_COLUMNS, _DECISION_INPUTS, *_APPEND_ONLY):
        connection.exec_driver_sql(statement)
