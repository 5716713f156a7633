"""What PostgreSQL needs of a migration beside what SQLite does."""

from __future__ import annotations

from dataclasses import replace

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import Connection

from fakes.entries import a_decision, an_entry
from fakes.postgres import PostgresServer
from tallygate.adapters.stores import postgres
from tallygate.adapters.stores.decision_lines import SqlDecisionLines
from tallygate.adapters.stores.migrations import runner
from tallygate.adapters.stores.migrations.runner import DIALECTS
from tallygate.adapters.stores.postgres import PostgresLedger
from tallygate.domain.policy.recorded_input import digest_of_input


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


def test_who_could_book_and_read_before_inputs_were_kept_goes_on_without_new_grants(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = postgres_server.new_database()
    url = postgres_server.url(name)
    newest = DIALECTS["postgresql"]
    with monkeypatch.context() as before:
        oldest = replace(newest, migrations=newest.migrations[:5])
        before.setattr(runner, "DIALECTS", {"postgresql": oldest})
        PostgresLedger(url).migrate()
    for role, right in (("booking", "SELECT, INSERT"), ("Reading-Clerk", "SELECT")):
        postgres_server.run(f'CREATE ROLE "{role}" LOGIN')
        postgres_server.run(f'GRANT {right} ON ALL TABLES IN SCHEMA public TO "{role}"', name)

    PostgresLedger(url).migrate()

    recorded = {"claims": {}}
    digest = digest_of_input(recorded)
    drain = PostgresLedger(postgres_server.url(name, "booking"), create=False)
    drain.append([an_entry(1, decision=a_decision(input=recorded, input_digest=digest))])
    reader = PostgresLedger(postgres_server.url(name, "Reading-Clerk"), create=False)
    assert dict(SqlDecisionLines(reader).decision_inputs()) == {digest: recorded}
    with (
        psycopg.connect(postgres_server.url(name, "Reading-Clerk")) as connection,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        connection.execute("INSERT INTO decision_inputs VALUES ('sha256:1', '{}')")
    drain.close()
    reader.close()
