"""What the PostgreSQL ledger promises beside the port: see test_ledger.py for that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import select

from fakes.entries import TENANT, a_refusal, an_entry, an_event, an_outcome, event_id, no_charge
from fakes.postgres import PostgresServer
from tallygate.adapters.stores.opening import ledger_at
from tallygate.adapters.stores.postgres import PostgresLedger
from tallygate.adapters.stores.rows import digest_of_facts, facts_of
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.adapters.stores.tables import ASSIGNED_BY_STORE, EVENTS, LedgerTable
from tallygate.application.ports import Appended, EventFilter, Ledger
from tallygate.domain.ledger.events import Entry
from tallygate.errors import LedgerSchemaMismatch, LedgerUnavailable, SettingsInvalid

EVERYTHING = EventFilter()
UPSERT = (
    "INSERT INTO events OVERRIDING SYSTEM VALUE SELECT * FROM events"
    " ON CONFLICT (event_id) DO UPDATE SET owner_team = 'team-other'"
)
UPSERT_INPUT = (
    "INSERT INTO decision_inputs VALUES ('sha256:1', '{}')"
    " ON CONFLICT (input_digest) DO UPDATE SET content = '{}'"
)


@pytest.fixture
def store(postgres_url: str) -> Iterator[PostgresLedger]:
    store = PostgresLedger(postgres_url, lock_timeout_s=0.2)
    yield store
    store.close()


def ids_of(ledger: Ledger) -> list[str]:
    return [row["event_id"] for row in ledger.rows(EVERYTHING)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET owner_team = 'team-other'",
        "DELETE FROM events",
        "TRUNCATE events",
        "TRUNCATE events, subjects CASCADE",
        UPSERT,
        "UPDATE event_conflicts SET facts = 'x'",
        "DELETE FROM event_conflicts",
        "TRUNCATE event_conflicts",
        "DELETE FROM rejected_entries",
        "UPDATE decision_inputs SET content = '{}'",
        "DELETE FROM decision_inputs",
        "TRUNCATE decision_inputs",
        UPSERT_INPUT,
        "SET session_replication_role = replica; DELETE FROM events",
    ],
)
def test_what_is_booked_cannot_be_changed_even_by_the_owner(
    store: PostgresLedger, postgres_url: str, statement: str
) -> None:
    store.append([an_entry(1)])
    store.append([an_entry(1, outcome=an_outcome(http_status=500))])

    with (
        psycopg.connect(postgres_url) as connection,
        pytest.raises(psycopg.errors.RestrictViolation, match="append-only"),
    ):
        connection.execute(statement)  # type: ignore[call-overload]  # parametrised
    assert ids_of(store) == [event_id(1)]


def test_the_stores_clock_cannot_be_set_by_who_inserts(
    store: PostgresLedger, postgres_url: str
) -> None:
    store.append([an_entry(1)])
    names = [c.name for c in EVENTS.columns if c.name not in ASSIGNED_BY_STORE | {"event_id"}]
    columns = ", ".join(names)
    insert = f"INSERT INTO events (recorded_at_ns, event_id, {columns}) SELECT 17, 'x', {columns}"

    with (
        psycopg.connect(postgres_url) as connection,
        pytest.raises(psycopg.errors.RestrictViolation, match="the store's to assign"),
    ):
        connection.execute(f"{insert} FROM events")  # type: ignore[call-overload]  # own text


def test_the_book_is_kept_in_utc_by_the_servers_clock(
    store: PostgresLedger, postgres_server: PostgresServer, postgres_url: str
) -> None:
    store.append([an_entry(1)])

    with psycopg.connect(postgres_url) as connection:
        found = connection.execute(
            "SELECT abs(recorded_at_ns / 1e9 - extract(epoch FROM now())) < 60,"
            " booked_period, recorded_at_ns FROM events"
        ).fetchone()
    assert found is not None
    agrees, period, recorded_at_ns = found
    assert agrees
    assert period == datetime.fromtimestamp(recorded_at_ns / 1e9, UTC).strftime("%Y-%m")


def test_a_conflict_is_kept_once_with_its_facts_and_no_hash(
    store: PostgresLedger, postgres_url: str
) -> None:
    other = an_entry(1, outcome=an_outcome(http_status=500))
    store.append([an_entry(1)])

    store.append([other])
    store.append([other])

    with psycopg.connect(postgres_url) as connection:
        ((kept, facts),) = connection.execute("SELECT event_id, facts FROM event_conflicts")
    assert kept == event_id(1)
    assert '"http_status":500' in facts
    assert TENANT not in facts


def test_text_that_postgresql_cannot_hold_is_kept_aside(store: PostgresLedger) -> None:
    odd = an_entry(1, outcome=an_outcome(response_model="gpt\x00"))

    appended = store.append([odd, an_entry(2)])

    assert appended == Appended(inserted=1, duplicates=0, rejected=(event_id(1),))
    assert store.count_rejected() == 1


def test_long_answers_are_read_page_by_page(store: PostgresLedger) -> None:
    store.append([an_entry(number) for number in range(1, 2346)])

    newest_first = [row["seq"] for row in store.rows(EventFilter(newest_first=True, limit=2001))]

    assert len(newest_first) == 2001
    assert newest_first == sorted(newest_first, reverse=True)


def test_the_tables_in_python_are_those_that_the_migrations_make(
    store: PostgresLedger, postgres_url: str
) -> None:
    store.prepare()
    described = {
        "VARCHAR": "text",
        "BIGINT": "bigint",
        "BOOLEAN": "boolean",
        "INTEGER": "integer",
        "BLOB": "bytea",
    }

    with psycopg.connect(postgres_url) as connection:
        for table in LedgerTable.metadata.tables.values():
            made = connection.execute(
                "SELECT column_name, data_type, is_nullable = 'NO' FROM"
                " information_schema.columns WHERE table_name = %s",
                (table.name,),
            ).fetchall()
            expected = [(c.name, described[str(c.type)], not c.nullable) for c in table.columns]
            assert sorted(made) == sorted(expected)


def test_the_digest_can_be_made_again_from_the_stored_row(store: PostgresLedger) -> None:
    store.append([an_entry(1), Entry(a_refusal(2, outcome=None), no_charge())])
    names = facts_of(an_event(1), "tenant", "person").keys()

    with store._ready().connect() as connection:
        rows = connection.execute(select(EVENTS)).mappings().all()

    assert [digest_of_facts({name: row[name] for name in names}) for row in rows] == [
        row["payload_digest"] for row in rows
    ]


def test_both_databases_write_the_same_digest(store: PostgresLedger, tmp_path: object) -> None:
    files = SqliteLedger(f"{tmp_path}/ledger.db")
    entry = Entry(
        an_event(1, ownership=an_event().ownership.__class__(owner_team="é", extra={"b": "1"})),
        no_charge(),
    )
    for ledger in (files, store):
        ledger.append([entry])

    (one,), (other,) = files.rows(EVERYTHING), store.rows(EVERYTHING)

    files.close()
    assert one["payload_digest"] == other["payload_digest"]


# Out of reach


def test_a_server_that_restarts_loses_nothing_and_books_nothing_twice(
    store: PostgresLedger, postgres_server: PostgresServer
) -> None:
    store.append([an_entry(1)])
    postgres_server.stop()

    with pytest.raises(LedgerUnavailable, match="cannot be reached"):
        store.append([an_entry(1), an_entry(2)])
    with pytest.raises(LedgerUnavailable, match="cannot be reached"):
        list(store.rows(EVERYTHING))

    postgres_server.start()
    assert store.append([an_entry(1), an_entry(2)]) == Appended(inserted=1, duplicates=1)


def test_a_session_that_is_ended_in_the_middle_of_a_batch_takes_all_of_it_back(
    store: PostgresLedger, postgres_url: str
) -> None:
    store = PostgresLedger(postgres_url)
    store.append([an_entry(1)])
    with psycopg.connect(postgres_url) as other, ThreadPoolExecutor(1) as thread:
        other.execute("LOCK TABLE events IN EXCLUSIVE MODE")
        appending = thread.submit(store.append, [an_entry(2), an_entry(3)])
        ended = 0
        while not ended:
            found = other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE wait_event_type = 'Lock' AND datname = current_database()"
            )
            ended = len(found.fetchall())
        with pytest.raises(LedgerUnavailable, match="stopping, starting or was restarted"):
            appending.result()

    assert ids_of(store) == [event_id(1)]
    assert store.append([an_entry(2), an_entry(3)]).inserted == 2
    store.close()


def test_a_locked_table_is_unavailable_and_then_takes_the_batch(
    store: PostgresLedger, postgres_url: str
) -> None:
    store.append([an_entry(1)])
    with psycopg.connect(postgres_url) as other:
        other.execute("LOCK TABLE events IN EXCLUSIVE MODE")
        with pytest.raises(LedgerUnavailable, match="another transaction holds a lock"):
            store.append([an_entry(2)])

    assert store.append([an_entry(2)]).inserted == 1


def test_a_database_or_role_that_is_not_there_is_named_as_such(
    postgres_server: PostgresServer,
) -> None:
    for url, said in (
        (postgres_server.url("nowhere"), "there is no such database"),
        (postgres_server.url("postgres", "nobody"), "does not let the role in"),
    ):
        with pytest.raises(LedgerUnavailable, match=said):
            PostgresLedger(url).prepare()


def test_a_server_without_a_free_connection_is_unavailable(
    postgres_server: PostgresServer,
) -> None:
    database = postgres_server.new_database()
    postgres_server.run(f"CREATE ROLE crowded_{database} LOGIN CONNECTION LIMIT 0")

    ledger = PostgresLedger(postgres_server.url(database, f"crowded_{database}"))

    with pytest.raises(LedgerUnavailable, match="no connection left"):
        ledger.prepare()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql://someone:hunter2@127.0.0.1:1/ledger", "cannot be reached"),
        ("postgres://someone:hunter2@127.0.0.1:1/ledger", "cannot be reached"),
        ("postgresql+psycopg://someone:hunter2@127.0.0.1:1/ledger", "cannot be reached"),
        ("postgresql://someone:hun%40ter2@no-such-host.invalid/ledger", "cannot be reached"),
    ],
)
def test_no_error_tells_who_or_the_password(address: str, said: str) -> None:
    ledger = ledger_at(address)

    with pytest.raises(LedgerUnavailable, match=said) as caught:
        ledger.append([an_entry(1)])

    told = f"{caught.value} {ledger.place}"
    assert not any(part in told for part in ("someone", "hunter2", "hun", "%40"))
    assert caught.value.__suppress_context__  # no traceback prints the driver's own text


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql://someone:hun@ter2@host/ledger", "percent-encode|more than one @"),
        ("postgresql+asyncpg://someone:hunter2@host/ledger", "brings its own driver"),
        ("postgresql://someone:hunter2@host", "names no database"),
        ("postgresql://someone:hunter2@host:port/ledger", "cannot be read"),
        ("mysql://someone:hunter2@host/ledger", "of a kind that tallygate does not know"),
        ("postgresql:/someone:hunter2@host/ledger", "looks like that of a server"),
        ("postgresql//someone:hunter2@host/ledger", "looks like that of a server"),
        ("someone:hunter2@host:5432/ledger", "looks like that of a server"),
        ("Postgres:/hunter2/ledger", "looks like that of a server"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused_with_how_to_write_it(
    address: str, said: str
) -> None:
    with pytest.raises(SettingsInvalid, match=said) as caught:
        ledger_at(address)

    assert "hun" not in str(caught.value)
    assert "ter2" not in str(caught.value)


def test_a_reader_makes_no_ledger(postgres_url: str) -> None:
    ledger = PostgresLedger(postgres_url, create=False)

    with pytest.raises(LedgerUnavailable, match="there is no ledger at"):
        ledger.total(EVERYTHING)


def test_a_newer_ledger_is_refused_with_what_to_do(
    store: PostgresLedger, postgres_url: str
) -> None:
    store.append([an_entry(1)])
    store.close()
    with psycopg.connect(postgres_url) as connection:
        connection.execute("INSERT INTO schema_version (version, name) VALUES (99, 'm099')")

    with pytest.raises(LedgerSchemaMismatch, match=r"has schema 99.*Run the newer tallygate"):
        store.append([an_entry(2)])


def test_a_database_of_something_else_is_left_alone(
    store: PostgresLedger, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE customers (id int)")

    with pytest.raises(LedgerSchemaMismatch, match=r"no tallygate ledger: it holds customers"):
        store.prepare()


def test_ledgers_that_begin_at_once_make_the_schema_once(postgres_url: str) -> None:
    together = threading.Barrier(4)

    def begin(number: int) -> Appended:
        ledger = PostgresLedger(postgres_url)
        together.wait()
        try:
            return ledger.append([an_entry(number), an_entry(9)])
        finally:
            ledger.close()

    with ThreadPoolExecutor(4) as threads:
        appended = list(threads.map(begin, range(1, 5)))

    assert sum(each.inserted for each in appended) == 5
    with psycopg.connect(postgres_url) as connection:
        versions = [v for (v,) in connection.execute("SELECT version FROM schema_version")]
        subjects = connection.execute("SELECT count(*) FROM subjects").fetchone()
    assert versions == sorted(set(versions))
    assert subjects == (2,)


def test_numbers_that_are_behind_the_lines_are_the_ledgers_fault_not_the_entrys(
    store: PostgresLedger, postgres_url: str
) -> None:
    store.append([an_entry(1), an_entry(2)])
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("ALTER SEQUENCE events_seq_seq RESTART WITH 1")  # as a copy has it

    with pytest.raises(LedgerUnavailable, match="sequence"):
        store.append([an_entry(3)])

    assert store.count_rejected() == 0
