"""A ledger that an older tallygate made is brought up to date and keeps every line."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.entries import a_decision, an_activation, an_entry, event_id, no_charge
from tallygate.adapters.stores.decision_lines import SqlDecisionLines
from tallygate.adapters.stores.migrations import runner
from tallygate.adapters.stores.migrations.runner import DIALECTS
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.application.ports import EventFilter
from tallygate.domain.ledger.events import Entry, EventKind
from tallygate.domain.policy.recorded_input import digest_of_input


@pytest.fixture
def old_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a ledger of schema 1 with one line, written in the columns that it had."""
    path = tmp_path / "ledger.db"
    with monkeypatch.context() as before:
        newest = DIALECTS["sqlite"]
        oldest = replace(newest, migrations=newest.migrations[:1])
        before.setattr(runner, "DIALECTS", {"sqlite": oldest})
        SqliteLedger(path).prepare()
    other = SqliteLedger(tmp_path / "newest.db")
    other.append([an_entry(1)])
    other.close()
    connection = sqlite3.connect(path)
    columns = ", ".join(row[1] for row in connection.execute("PRAGMA table_info(events)"))
    connection.execute("ATTACH ? AS newest", (str(tmp_path / "newest.db"),))
    written = ", ".join(
        name for name in columns.split(", ") if name not in {"recorded_at_ns", "booked_period"}
    )
    connection.execute(f"INSERT INTO events ({written}) SELECT {written} FROM newest.events")
    connection.commit()
    connection.close()
    return path


def test_an_old_ledger_keeps_its_lines_and_takes_new_kinds(old_ledger: Path) -> None:
    store = SqliteLedger(old_ledger)
    store.append([an_entry(2, kind=EventKind.USAGE)])

    rows = list(store.rows(EventFilter()))
    store.close()

    assert [(row["event_id"], row["kind"], row["seq"]) for row in rows] == [
        (event_id(1), "attempt", 1),
        (event_id(2), "usage", 2),
    ]


@pytest.mark.parametrize("schema", [1, 4, 6, 7])
def test_a_ledger_of_any_age_takes_activations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schema: int
) -> None:
    path = tmp_path / "ledger.db"
    newest = DIALECTS["sqlite"]
    with monkeypatch.context() as before:
        older = replace(newest, migrations=newest.migrations[:schema])
        before.setattr(runner, "DIALECTS", {"sqlite": older})
        SqliteLedger(path).prepare()
    store, new = SqliteLedger(path), SqliteLedger(tmp_path / "new.db")
    new.prepare()

    store.append([Entry(an_activation(1), no_charge())])

    assert [row["kind"] for row in store.rows(EventFilter())] == ["activation"]
    store.close()
    assert schema_of(path) == schema_of(tmp_path / "new.db")


def schema_of(path: Path) -> dict[str, str]:
    """Return every table, index and guard by name, but for the spaces in between."""
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {name: " ".join(sql.split()) for name, sql in found}


def test_an_old_ledger_stays_append_only(old_ledger: Path) -> None:
    store = SqliteLedger(old_ledger)
    store.prepare()
    store.close()

    connection = sqlite3.connect(old_ledger)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("UPDATE events SET owner_team = 'team-other'")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("DELETE FROM events")
    connection.close()


def test_an_old_ledger_gets_the_newest_indexes_and_guards(old_ledger: Path) -> None:
    store = SqliteLedger(old_ledger)
    store.prepare()
    store.close()

    connection = sqlite3.connect(old_ledger)
    (plan,) = connection.execute(
        "EXPLAIN QUERY PLAN SELECT 1 FROM events WHERE parent_call_id = 'call-1'"
    )
    assert "events_by_parent" in plan[-1]
    plans = connection.execute(
        "EXPLAIN QUERY PLAN SELECT 1 FROM events WHERE tenant_ref = 'sub_1' OR user_ref = 'sub_1'"
    ).fetchall()
    assert {"events_by_tenant", "events_by_user"} <= set(" ".join(p[-1] for p in plans).split())
    connection.execute("INSERT INTO subjects (surrogate, subject_hash) VALUES ('sub_1', 'hk1_1')")
    with pytest.raises(sqlite3.IntegrityError, match="never changed"):
        connection.execute("UPDATE subjects SET subject_hash = 'hk1_2'")
    connection.close()


def test_an_old_ledger_takes_inputs_and_its_lines_have_none(old_ledger: Path) -> None:
    recorded = {"claims": {"service": "support-assistant"}}
    digest = digest_of_input(recorded)
    decision = a_decision(input=recorded, input_digest=digest, call_bucket=42)
    store = SqliteLedger(old_ledger)
    store.append([an_entry(2, decision=decision)])

    rows = list(store.rows(EventFilter()))
    inputs = dict(SqlDecisionLines(store).decision_inputs())
    store.close()

    assert [(row["input_digest"], row["call_bucket"]) for row in rows] == [
        (None, None),
        (digest, 42),
    ]
    assert inputs == {digest: recorded}
