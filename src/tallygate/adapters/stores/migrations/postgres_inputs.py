"""
What each decision was about, in PostgreSQL: its digest on the line, the input itself once.

Shapes  As in SQLite. Whoever may read `events` may read the inputs, and whoever books there may
        add one: a drain that runs under a role of its own goes on without new grants.
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
    input_digest TEXT PRIMARY KEY,
    content TEXT NOT NULL
)
"""

_APPEND_ONLY: Final = (
    """
    CREATE TRIGGER decision_inputs_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON decision_inputs
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()
    """,
    "ALTER TABLE decision_inputs ENABLE ALWAYS TRIGGER decision_inputs_append_only",
)

_GRANTED_AS_EVENTS: Final = """
DO $body$
DECLARE granted record;
BEGIN
    FOR granted IN
        SELECT entry.privilege_type AS what,
            CASE entry.grantee WHEN 0 THEN 'PUBLIC' ELSE entry.grantee::regrole::text END AS who
        FROM pg_catalog.pg_class, pg_catalog.aclexplode(relacl) AS entry
        WHERE pg_class.oid = 'events'::regclass AND entry.grantee <> relowner
        AND entry.privilege_type IN ('SELECT', 'INSERT')
    LOOP
        EXECUTE format('GRANT %%s ON decision_inputs TO %%s', granted.what, granted.who);
    END LOOP;
END
$body$
"""


def m006_inputs(connection: Connection) -> None:
    """Add the columns and the table, with its guard and the grants that `events` has."""
    for statement in (*_COLUMNS, _DECISION_INPUTS, *_APPEND_ONLY, _GRANTED_AS_EVENTS):
        connection.exec_driver_sql(statement)
