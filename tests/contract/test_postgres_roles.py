"""The roles of docs/operating.md, made by the very statements that stand there."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from fakes.entries import PERSON, an_entry, event_id
from fakes.postgres import PostgresServer
from tallygate.adapters.stores.postgres import PostgresLedger
from tallygate.adapters.stores.sealing import SqlSealStore
from tallygate.application.ports import Appended, EventFilter
from tallygate.bootstrap.drain_sealing import DrainSealing
from tallygate.errors import LedgerSchemaMismatch, LedgerUnavailable

GUIDE = Path(__file__).parents[2] / "docs" / "operating.md"
CHANGES = (
    "UPDATE events SET owner_team = 'x'",
    "UPDATE subjects SET subject_hash = 'x'",
    "DELETE FROM events",
    "DELETE FROM event_conflicts",
    "UPDATE decision_inputs SET content = '{}'",
    "TRUNCATE events",
    "TRUNCATE subjects",
    "ALTER TABLE events DISABLE TRIGGER ALL",
    "DROP TRIGGER events_append_only ON events",
    "DROP TABLE events",
    "CREATE TABLE public.mine (id int)",
    "CREATE TEMPORARY TABLE archives (from_seq bigint, to_seq bigint)",
    "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SET session_replication_role = replica",
)


def statements() -> tuple[list[str], list[str]]:
    """Return the guide's statements: the superuser's, and the owner's."""
    section = GUIDE.read_text().partition("## PostgreSQL")[2].partition("\n## ")[0]
    made, granted = re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
    return tuple(
        [part.strip() for part in block.split(";") if part.strip()] for block in (made, granted)
    )  # type: ignore[return-value]  # two blocks


@pytest.fixture(scope="module")
def guided(postgres_server: PostgresServer) -> PostgresServer:
    """Set a server up as the guide says, with one event in the ledger."""
    made, granted = statements()
    for statement in made:
        postgres_server.run(statement)
    drain = PostgresLedger(postgres_server.url("tallygate", "tallygate_drain"))
    with pytest.raises(LedgerSchemaMismatch, match=r"tallygate_drain may not make.*ledger migrate"):
        drain.prepare()
    with pytest.raises(LedgerUnavailable, match="there is no ledger"):
        PostgresLedger(
            postgres_server.url("tallygate", "tallygate_reports"), create=False
        ).prepare()

    owner = postgres_server.url("tallygate", "tallygate_owner")
    PostgresLedger(owner).migrate()
    with psycopg.connect(owner, autocommit=True) as connection:
        for statement in granted:
            connection.execute(statement)  # type: ignore[call-overload]  # the guide's own text
    assert drain.append([an_entry(1)]) == Appended(inserted=1, duplicates=0)
    drain.close()
    return postgres_server


def refused(server: PostgresServer, role: str, statement: str) -> None:
    with (
        psycopg.connect(server.url("tallygate", role)) as connection,
        pytest.raises((errors.InsufficientPrivilege, errors.RestrictViolation)),
    ):
        connection.execute(statement)  # type: ignore[call-overload]  # a test's own text


@pytest.mark.parametrize("statement", CHANGES)
@pytest.mark.parametrize("role", ["drain", "reports", "sealer", "eraser", "archiver"])
def test_no_role_but_the_owner_can_change_anything(
    guided: PostgresServer, role: str, statement: str
) -> None:
    refused(guided, f"tallygate_{role}", statement)


@pytest.mark.parametrize("statement", CHANGES[:6])
def test_the_owner_is_stopped_by_the_triggers(guided: PostgresServer, statement: str) -> None:
    refused(guided, "tallygate_owner", statement)


@pytest.mark.parametrize("role", ["reports", "sealer", "eraser", "archiver"])
def test_only_the_drain_books(guided: PostgresServer, role: str) -> None:
    ledger = PostgresLedger(guided.url("tallygate", f"tallygate_{role}"), create=False)

    with pytest.raises(LedgerUnavailable, match="the role may not do this"):
        ledger.append([an_entry(2)])

    assert event_id(1) in [row["event_id"] for row in ledger.rows(EventFilter())]
    ledger.close()


@pytest.mark.parametrize("role", ["drain", "reports", "sealer", "archiver"])
def test_only_the_eraser_forgets(guided: PostgresServer, role: str) -> None:
    refused(guided, f"tallygate_{role}", "DELETE FROM subjects")


@pytest.mark.parametrize("role", ["reports", "eraser", "archiver"])
def test_only_the_drain_and_the_sealer_seal(guided: PostgresServer, role: str) -> None:
    refused(guided, f"tallygate_{role}", "INSERT INTO seals (number) VALUES (1)")


@pytest.mark.parametrize("role", ["drain", "sealer"])
def test_what_is_booked_is_sealed(guided: PostgresServer, role: str) -> None:
    drain = PostgresLedger(guided.url("tallygate", "tallygate_drain"), create=False)
    drain.append([an_entry(100 + len(role))])
    ledger = PostgresLedger(guided.url("tallygate", f"tallygate_{role}"), create=False)

    DrainSealing(ledger).at_the_end()

    store = SqlSealStore(ledger)
    last = store.last_seal()
    assert last is not None
    assert store.count_rows(last.to_seq) == 0
    ledger.close()
    drain.close()


def test_the_eraser_forgets_a_person_and_the_sums_stay(guided: PostgresServer) -> None:
    with psycopg.connect(guided.url("tallygate", "tallygate_eraser")) as connection:
        gone = connection.execute("DELETE FROM subjects WHERE subject_hash = %s", (PERSON,))
        assert gone.rowcount == 1

    ledger = PostgresLedger(guided.url("tallygate", "tallygate_reports"), create=False)
    (row,) = ledger.rows(EventFilter(equals={"event_id": event_id(1)}))
    ledger.close()
    assert (row["user_id_hash"], row["cost"]) == (None, an_entry(1).price.cost)


def test_a_stranger_does_not_get_in(guided: PostgresServer) -> None:
    guided.run("CREATE ROLE stranger LOGIN")

    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(guided.url("tallygate", "stranger"))
