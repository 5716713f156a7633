"""What the SQLite ledger promises beside the port: see test_ledger.py for that."""

from __future__ import annotations

import dataclasses
import multiprocessing
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from fakes.entries import (
    TENANT,
    a_decision,
    a_refusal,
    an_entry,
    an_event,
    an_outcome,
    event_id,
    no_charge,
)
from tallygate.adapters.stores.rows import digest_of_facts, facts_of
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.adapters.stores.tables import ASSIGNED_BY_STORE, EVENTS, LedgerTable
from tallygate.application.ports import Appended, EventFilter, Ledger
from tallygate.domain.ledger.events import Entry
from tallygate.domain.policy.recorded_input import digest_of_input
from tallygate.errors import LedgerSchemaMismatch, LedgerUnavailable, SettingsInvalid

EVERYTHING = EventFilter()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteLedger]:
    store = SqliteLedger(path, busy_timeout_s=0.2)
    yield store
    store.close()


def ids_of(ledger: Ledger, wanted: EventFilter = EVERYTHING) -> list[str]:
    return [row["event_id"] for row in ledger.rows(wanted)]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET owner_team = 'team-other'",
        "UPDATE OR REPLACE events SET event_id = 'x'",
        "DELETE FROM events",
        "INSERT OR REPLACE INTO events ({written}) SELECT {written} FROM events",
        "REPLACE INTO events (seq, {written}) SELECT seq, {written} FROM events",
        "UPDATE event_conflicts SET facts = 'x'",
        "DELETE FROM event_conflicts",
        "REPLACE INTO event_conflicts SELECT * FROM event_conflicts",
        "UPDATE decision_inputs SET content = '{{}}'",
        "DELETE FROM decision_inputs",
        "REPLACE INTO decision_inputs SELECT * FROM decision_inputs",
    ],
)
@pytest.mark.parametrize("recursive_triggers", ["ON", "OFF"])
def test_what_is_booked_cannot_be_changed_in_sql(
    store: SqliteLedger, path: Path, statement: str, recursive_triggers: str
) -> None:
    recorded = {"claims": {}}
    decision = a_decision(input=recorded, input_digest=digest_of_input(recorded))
    store.append([an_entry(1, decision=decision)])
    store.append([an_entry(1, outcome=an_outcome(http_status=500))])
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA recursive_triggers = {recursive_triggers}")
    written = ", ".join(c.name for c in EVENTS.columns if c.name not in ASSIGNED_BY_STORE)

    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement.format(written=written))
    connection.close()
    assert ids_of(store) == [event_id(1)]


def test_the_stores_clock_cannot_be_set_by_who_inserts(store: SqliteLedger, path: Path) -> None:
    store.append([an_entry(1)])
    connection = sqlite3.connect(path)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(events)")]
    values = ", ".join(
        {"seq": "2", "event_id": "'another'"}.get(column, column) for column in columns
    )

    with pytest.raises(sqlite3.IntegrityError, match="the store's to assign"):
        connection.execute(f"INSERT INTO events SELECT {values} FROM events")
    connection.close()


def test_the_book_is_kept_in_utc_by_the_stores_clock(store: SqliteLedger, path: Path) -> None:
    store.append([an_entry(1)])

    connection = sqlite3.connect(path)
    (agrees,) = connection.execute(
        "SELECT abs(recorded_at_ns / 1000000000 - CAST(strftime('%s', 'now') AS INTEGER)) < 60"
        " AND booked_period = strftime('%Y-%m', recorded_at_ns / 1000000000, 'unixepoch')"
        " FROM events"
    ).fetchone()
    connection.close()
    assert agrees == 1


def test_a_conflict_is_kept_once_with_its_facts_and_no_hash(
    store: SqliteLedger, path: Path
) -> None:
    store.append([an_entry(1)])
    other = an_entry(1, outcome=an_outcome(http_status=500))

    store.append([other])
    store.append([other])

    connection = sqlite3.connect(path)
    kept = connection.execute("SELECT event_id, facts FROM event_conflicts").fetchall()
    connection.close()
    assert [row[0] for row in kept] == [event_id(1)]
    assert '"http_status":500' in kept[0][1]
    assert TENANT not in kept[0][1]


def test_long_answers_are_read_page_by_page(store: SqliteLedger) -> None:
    count = 2345
    store.append([an_entry(number) for number in range(1, count + 1)])

    oldest_first = ids_of(store)
    newest_first = ids_of(store, EventFilter(newest_first=True, limit=2001))

    assert oldest_first == [event_id(number) for number in range(1, count + 1)]
    assert newest_first == oldest_first[::-1][:2001]


def test_a_locked_database_is_unavailable_and_then_takes_the_batch(
    store: SqliteLedger, path: Path
) -> None:
    store.append([an_entry(1)])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(LedgerUnavailable, match="another process holds its lock"):
        store.append([an_entry(2)])
    assert ids_of(store) == [event_id(1)]

    other.execute("ROLLBACK")
    other.close()
    assert store.append([an_entry(2)]).inserted == 1


def test_a_database_that_is_gone_is_not_begun_anew(store: SqliteLedger, path: Path) -> None:
    store.append([an_entry(1)])
    aside = path.with_suffix(".aside")
    path.rename(aside)

    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match=r"moved or replaced|was there and is gone"):
            store.append([an_entry(2)])
    assert not path.exists()

    aside.rename(path)
    assert store.append([an_entry(1), an_entry(2)]) == Appended(inserted=1, duplicates=1)


def test_a_database_that_is_not_there_is_not_made_for_a_reader(path: Path) -> None:
    ledger = SqliteLedger(path, create=False)

    with pytest.raises(LedgerUnavailable, match="there is no ledger at"):
        list(ledger.rows(EVERYTHING))
    assert not path.exists()


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ledger = SqliteLedger(tmp_path / "file" / "ledger.db")

    with pytest.raises(LedgerUnavailable, match="cannot be made"):
        ledger.prepare()


def test_a_file_that_is_no_database_says_so(path: Path) -> None:
    path.write_bytes(b"a text that is longer than the header of a database" * 100)

    with pytest.raises(LedgerUnavailable, match="no SQLite database"):
        SqliteLedger(path).prepare()


def test_a_full_disk_loses_nothing(store: SqliteLedger, path: Path) -> None:
    store.append([an_entry(1)])
    engine = store._ready()
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    with engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(LedgerUnavailable, match="disk is full"):
        store.append([an_entry(number) for number in range(2, 500)])

    store.close()
    assert ids_of(store) == [event_id(1)]


def test_a_newer_ledger_is_refused_with_what_to_do(store: SqliteLedger, path: Path) -> None:
    store.append([an_entry(1)])
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO schema_version (version, name) VALUES (99, 'm099')")
    connection.commit()
    connection.close()

    with pytest.raises(LedgerSchemaMismatch, match=r"has schema 99.*Run the newer tallygate"):
        store.append([an_entry(2)])


def test_a_database_of_something_else_is_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE events (id)")
    connection.commit()
    connection.close()

    with pytest.raises(LedgerSchemaMismatch, match=r"no tallygate ledger: it holds events"):
        SqliteLedger(path).prepare()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///ledger.db?mode=ro",
        "postgresql://user:secret@host/ledger",
        "://",
    ],
)
def test_an_address_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(SettingsInvalid, match="sqlite:///path") as caught:
        SqliteLedger(url)

    assert "secret" not in str(caught.value)


def test_the_file_is_the_owners_alone(store: SqliteLedger, path: Path) -> None:
    store.append([an_entry(1)])

    assert {file.stat().st_mode & 0o777 for file in path.parent.glob("ledger.db*")} == {0o600}


def _append_in_a_process(path: Path, numbers: range) -> None:
    ledger = SqliteLedger(path, busy_timeout_s=60)
    for start in range(numbers.start, numbers.stop, 50):
        ledger.append([an_entry(n) for n in range(start, min(start + 50, numbers.stop))])
    ledger.close()


def test_processes_that_begin_at_once_and_overlap_book_each_entry_once(path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [
        spawn.Process(target=_append_in_a_process, args=(path, numbers))
        for numbers in (range(1, 601), range(301, 901), range(1, 901))
    ]

    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    ledger = SqliteLedger(path)
    assert sorted(ids_of(ledger)) == [event_id(number) for number in range(1, 901)]
    assert ledger.total(EVERYTHING).cost == 900 * Decimal("0.00453")
    ledger.close()


def test_the_tables_in_python_are_those_that_the_migrations_make(
    store: SqliteLedger, path: Path
) -> None:
    store.prepare()
    connection = sqlite3.connect(path)
    described = {
        "VARCHAR": "TEXT",
        "BIGINT": "INTEGER",
        "BOOLEAN": "INTEGER",
        "INTEGER": "INTEGER",
        "BLOB": "BLOB",
    }

    for table in LedgerTable.metadata.tables.values():
        made = [
            (name, kind, bool(required or primary))
            for _, name, kind, required, _, primary in connection.execute(
                f"PRAGMA table_info({table.name})"
            )
        ]
        assert made == [
            (column.name, described[str(column.type)], not column.nullable)
            for column in table.columns
        ]
    connection.close()


def test_the_digest_can_be_made_again_from_the_stored_row(store: SqliteLedger, path: Path) -> None:
    store.append([an_entry(1), Entry(a_refusal(2, outcome=None), no_charge())])
    names = facts_of(an_event(1), "tenant", "person").keys()

    with store._ready().connect() as connection:
        rows = connection.execute(select(EVENTS)).mappings().all()

    assert [digest_of_facts({name: row[name] for name in names}) for row in rows] == [
        row["payload_digest"] for row in rows
    ]


@pytest.mark.parametrize("part", ["call", "ownership", "decision", "attempt", "outcome"])
def test_every_fact_of_an_event_is_kept(part: str) -> None:
    event = an_event(1)
    facts = getattr(event, part)
    before = digest_of_facts(facts_of(event, "sub_1", "sub_2"))

    for field in dataclasses.fields(facts):
        if field.name in {"tenant_id_hash", "user_id_hash", "input"}:
            continue  # their surrogates are digested in their place, and the input's digest
        changed = replace(event, **{part: replace(facts, **{field.name: _another(facts, field)})})
        assert digest_of_facts(facts_of(changed, "sub_1", "sub_2")) != before, field.name


def _another(facts: Any, field: dataclasses.Field[Any]) -> Any:
    value = getattr(facts, field.name)
    if isinstance(value, bool):
        return not value
    if isinstance(value, StrEnum):
        return next(one for one in type(value) if one is not value)
    if isinstance(value, int):
        return value + 1
    if isinstance(value, tuple):
        return ({"code": "another", "field": "another"},)
    if isinstance(value, dict):
        return {"another": "another"}
    return 17 if field.name in {"http_status", "time_to_first_token_us"} else "another"


def test_what_cannot_even_be_kept_aside_is_named_and_does_not_hold_up_the_rest(
    store: SqliteLedger, path: Path
) -> None:
    usage: dict[str, Any] = {"prompt_tokens": 1}
    inner = usage
    for _ in range(300):  # deeper than the writer of JSON goes
        inner["a"] = inner = {}
    deep = an_entry(2, outcome=an_outcome(usage=usage))

    for _ in range(2):  # the same batch may come again
        assert store.append([an_entry(1), deep, an_entry(3)]).rejected == (event_id(2),)

    assert ids_of(store) == [event_id(1), event_id(3)]
    connection = sqlite3.connect(path)
    kept = connection.execute("SELECT event_id, facts FROM rejected_entries").fetchall()
    connection.close()
    assert kept == [(event_id(2), "{}")]
