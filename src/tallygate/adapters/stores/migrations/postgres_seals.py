"""
Seals and archives in PostgreSQL, and the one way past the guard against DELETE.

Shapes  As in SQLite: a seal continues the newest one or is refused; a line may be deleted once a
        line of `archives` names its range. Who may write there is a matter of grants.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

_NOW_NS: Final = "(extract(epoch FROM statement_timestamp()) * 1000000000)::bigint"

_SEALS: Final = """
CREATE TABLE seals (
    number BIGINT PRIMARY KEY,
    from_seq BIGINT NOT NULL,
    to_seq BIGINT NOT NULL,
    events BIGINT NOT NULL CHECK (events >= 1),
    chain_events BIGINT NOT NULL,
    column_set INTEGER NOT NULL,
    rows_digest TEXT NOT NULL,
    event_index BYTEA NOT NULL,
    previous_head TEXT NOT NULL,
    sealed_at_ns BIGINT NOT NULL,
    head TEXT NOT NULL
)
"""

_ARCHIVES: Final = f"""
CREATE TABLE archives (
    number BIGINT PRIMARY KEY,
    first_seal BIGINT NOT NULL,
    last_seal BIGINT NOT NULL,
    from_seq BIGINT NOT NULL,
    to_seq BIGINT NOT NULL,
    events BIGINT NOT NULL CHECK (events >= 1),
    manifest_digest TEXT NOT NULL,
    archived_at_ns BIGINT NOT NULL DEFAULT ({_NOW_NS})
)
"""


def _guard(table: str, when: str, name: str, function: str, rest: str = "") -> tuple[str, ...]:
    return (
        f"CREATE TRIGGER {name} {when} ON {table} {rest} EXECUTE FUNCTION {function}()",
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}",
    )


_CHAINED: Final = """
CREATE FUNCTION ledger_require_chain() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM seals)
    OR EXISTS (
        SELECT 1 FROM seals WHERE number = NEW.number - 1
        AND (NEW.previous_head <> head OR NEW.from_seq <= to_seq)
    ) THEN
        RAISE EXCEPTION 'a seal continues the newest one' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$
"""

_ARCHIVED_IN_ORDER: Final = """
CREATE FUNCTION ledger_require_archive_order() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM archives)
    OR NEW.first_seal <> (SELECT coalesce(max(last_seal), 0) + 1 FROM archives)
    OR NOT EXISTS (
        SELECT 1 FROM seals WHERE number = NEW.first_seal AND from_seq = NEW.from_seq
    )
    OR NOT EXISTS (SELECT 1 FROM seals WHERE number = NEW.last_seal AND to_seq = NEW.to_seq)
    OR NEW.last_seal >= (SELECT max(number) FROM seals) THEN
        RAISE EXCEPTION 'an archive holds the oldest seals, and never the newest'
        USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$body$
"""

_DELETE_ARCHIVED_ONLY: Final = """
CREATE FUNCTION ledger_require_archived() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF EXISTS (
        SELECT 1 FROM gone WHERE NOT EXISTS (
            SELECT 1 FROM archives WHERE gone.seq BETWEEN archives.from_seq AND archives.to_seq
        )
    ) THEN
        RAISE EXCEPTION 'events is append-only: post a correction instead'
        USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END
$body$
"""


def m003_seals(connection: Connection) -> None:
    """Room for the hash chain and for the list of what was archived."""
    each = "FOR EACH STATEMENT"
    for statement in (
        _SEALS,
        _ARCHIVES,
        _CHAINED,
        _ARCHIVED_IN_ORDER,
        _DELETE_ARCHIVED_ONLY,
        *(
            statement
            for table in ("seals", "archives")
            for statement in _guard(
                table,
                "BEFORE UPDATE OR DELETE OR TRUNCATE",
                f"{table}_append_only",
                "ledger_refuse_change",
                each,
            )
        ),
        *_guard("seals", "BEFORE INSERT", "seals_chained", "ledger_require_chain", "FOR EACH ROW"),
        *_guard(
            "archives",
            "BEFORE INSERT",
            "archives_in_order",
            "ledger_require_archive_order",
            "FOR EACH ROW",
        ),
        "DROP TRIGGER events_append_only ON events",
        *_guard(
            "events",
            "BEFORE UPDATE OR TRUNCATE",
            "events_append_only",
            "ledger_refuse_change",
            each,
        ),
        *_guard(
            "events",
            "AFTER DELETE",
            "events_archived_only",
            "ledger_require_archived",
            f"REFERENCING OLD TABLE AS gone {each}",
        ),
    ):
        connection.exec_driver_sql(statement)
