"""The commands on a ledger whose address stands in the environment."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from fakes.entries import a_call, an_entry, an_event, event_id, opened, settled
from tallygate.adapters.spool.writer import SegmentSpool
from tallygate.adapters.stores.postgres import PostgresLedger
from tallygate.adapters.stores.sealing import SqlLedger
from tallygate.bootstrap.books import open_ledger
from tallygate.bootstrap.sealed_ledger import open_sealed_ledger
from tallygate.cli import main
from tallygate.settings import read_settings

ROOT = Path(__file__).parents[2]
COMMANDS = ("events", "trace show x", "doctor --format json")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALLYGATE_LEDGER_URL", postgres_url)
    monkeypatch.setenv("TALLYGATE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("TALLYGATE_POLICIES", str(ROOT / "policies"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_what_the_drain_books_the_other_commands_show(tmp_path: Path) -> None:
    event = an_event(1, call=a_call(trace_id="tr_1"))
    spool = SegmentSpool(tmp_path / "state" / "spool")
    spool.append(opened(event))
    spool.append(settled(event))
    spool.close()

    drained = run("drain", "--format", "json")
    events = run("events", "--format", "json")
    trace = run("trace", "show", "tr_1", "--format", "json")
    doctor = run("doctor", "--format", "json")

    assert orjson.loads(drained.stdout)["inserted"] == 1, drained.output
    assert [row["event_id"] for row in orjson.loads(events.stdout)] == [event_id(1)]
    assert "0.0151" in trace.stdout
    assert "1 events, 0 unpriced" in doctor.stdout


def test_a_reader_of_a_ledger_that_is_not_there_is_told_what_makes_one() -> None:
    shown = run("events")

    assert shown.exit_code != 0
    assert "there is no ledger at postgresql://" in shown.output
    assert "is made by the drain" in shown.output


def test_a_server_that_is_away_is_named_without_who_or_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TALLYGATE_LEDGER_URL", "postgresql://someone:hunter2@127.0.0.1:1/ledger")

    told = [run(*command.split()).output for command in COMMANDS]

    for each in told:
        assert "postgresql://127.0.0.1:1/ledger" in each
        assert "someone" not in each
        assert "hunter2" not in each


def test_commands_that_read_every_line_are_given_all_the_time_they_need(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    ledger = PostgresLedger(postgres_url)
    ledger.append([an_entry(1)])
    ledger.close()
    bounds: dict[str, str] = {}

    def bound_of(ledger: SqlLedger) -> str:
        with ledger.reading() as connection:
            return str(connection.exec_driver_sql("SHOW statement_timeout").scalar())

    def counted(ledger: PostgresLedger) -> int:
        bounds["doctor"] = bound_of(ledger)
        return 0

    monkeypatch.setattr(PostgresLedger, "count_rejected", counted)
    run("doctor")
    with open_sealed_ledger(read_settings(), None) as opened:
        bounds["ledger"] = bound_of(opened.store._ledger)
    with open_ledger(read_settings()) as hurried:
        assert isinstance(hurried, PostgresLedger)
        bounds["events"] = bound_of(hurried)

    assert bounds == {"doctor": "0", "ledger": "0", "events": "1min"}
