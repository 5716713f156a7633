"""What PostgreSQL needs of a migration beside what SQLite does."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import Connection

from tallygate.adapters.stores import postgres
from tallygate.adapters.stores.migrations import runner
from tallygate.adapters.stores.migrations.runner import DIALECTS
from tallygate.adapters.stores.postgres import PostgresLedger


def test_a_migration_may_take_longer_than_any_other_statement(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def m005_slow(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT pg_sleep(0.8)")

    newest = DIALECTS["postgresql"]
    longer = replace(newest, migrations=(*newest.migrations, m005_slow))
    monkeypatch.setattr(runner, "DIALECTS", {"postgresql": longer})
    monkeypatch.setattr(postgres, "_STATEMENT_TIMEOUT", "500ms")
    ledger = PostgresLedger(postgres_url)

    assert ledger.migrate() == (0, len(newest.migrations) + 1)

    ledger.close()


def test_lines_are_found_by_parent_and_by_person(postgres_url: str) -> None:
    PostgresLedger(postgres_url).migrate()

    with psycopg.connect(postgres_url) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = connection.execute(
            "EXPLAIN SELECT 1 FROM events WHERE parent_call_id = 'x'"
            " OR tenant_ref = 'x' OR user_ref = 'x'"
        ).fetchall()

    told = " ".join(line for (line,) in plan)
    assert all(f"events_by_{name}" in told for name in ("parent", "tenant", "user"))


def test_a_subject_is_never_changed(postgres_url: str) -> None:
    PostgresLedger(postgres_url).migrate()

    with psycopg.connect(postgres_url) as connection:
        connection.execute("INSERT INTO subjects VALUES ('sub_1', 'hk1_1')")
        with pytest.raises(errors.RestrictViolation, match="never changed"):
            connection.execute("UPDATE subjects SET subject_hash = 'hk1_2'")
