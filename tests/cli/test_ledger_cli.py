from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from fakes.entries import PERSON, an_entry, event_id
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.bootstrap import worker_processes
from tallygate.cli import main

DATABASE = Path(".tallygate/ledger.db")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run a command over a ledger with three sealed events."""
    book(1, 2, 3)
    assert CliRunner().invoke(main, ["ledger", "seal"]).exit_code == 0
    return lambda *words: CliRunner().invoke(main, ["ledger", *words])


def book(*numbers: int) -> None:
    ledger = SqliteLedger(DATABASE)
    ledger.append([an_entry(number) for number in numbers])
    ledger.close()


def tamper(statement: str) -> None:
    with closing(sqlite3.connect(DATABASE)) as file, file:
        for (name,) in file.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            file.execute(f"DROP TRIGGER {name}")
        file.execute(statement)


def backdate() -> None:
    """Make everything look booked in October, seal it as such."""
    tamper("UPDATE events SET recorded_at_ns = 1, booked_period = '2026-10'")


def test_a_ledger_that_nobody_touched_holds(run: Callable[..., Result]) -> None:
    result = run("verify")

    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("The ledger holds: 3 events under 1 seals.")
    assert "tallygate ledger anchor" in result.stdout


def test_an_edit_is_a_finding_with_its_place_and_column(run: Callable[..., Result]) -> None:
    tamper("UPDATE events SET cost_e12 = 1 WHERE seq = 2")

    result = run("verify")

    assert result.exit_code == 1
    assert (
        f"event_edited: seal 1, seq 2: event {event_id(2)} was edited in cost_e12" in result.stdout
    )
    assert "The ledger does not hold: 1 findings" in result.stdout


def test_findings_are_json_for_programs(run: Callable[..., Result]) -> None:
    tamper("DELETE FROM events WHERE seq = 3")

    result = run("verify", "--format", "json")

    document = orjson.loads(result.stdout)
    assert result.exit_code == 1
    assert document["holds"] is False
    (finding,) = document["findings"]
    assert finding["code"] == "event_deleted"
    assert (finding["seal"], finding["seq"], finding["event_id"]) == (1, 3, event_id(3))


def test_what_is_not_sealed_is_said_to_be_unprotected(run: Callable[..., Result]) -> None:
    book(4, 5)

    assert "2 events are not sealed yet" in run("verify").stdout
    assert "2 events sealed, 1 seals" in run("seal").stdout
    assert "not sealed" not in run("verify").stdout


def test_a_ledger_that_is_not_there_could_not_be_told() -> None:
    result = CliRunner().invoke(main, ["ledger", "verify"])

    assert result.exit_code == 3
    assert "there is no ledger at" in result.stderr
    assert not DATABASE.exists()


def test_an_anchor_that_is_not_there_is_wrong_use(run: Callable[..., Result]) -> None:
    assert run("verify", "--anchor", "nowhere.yaml").exit_code == 2


def test_an_anchor_is_appended_once_and_compared_from_then_on(
    run: Callable[..., Result], here: Path
) -> None:
    first = run("anchor")
    again = run("anchor")
    book(4)
    run("seal")
    run("anchor")

    assert first.exit_code == 0, first.output
    assert "Anchored in ledger-anchors.yaml: 3 events up to seq 3, sha256:" in first.stdout
    assert "Anchored before" in again.stdout
    text = (here / "ledger-anchors.yaml").read_text()
    assert text.count("- at: ") == 2
    assert text.startswith("# Where the ledger's hash chain stood")
    held = run("verify")
    assert held.exit_code == 0
    assert "2 anchors of ledger-anchors.yaml compared; 0 sealed events came after" in held.stdout


def test_a_cut_tail_shows_at_the_anchor(run: Callable[..., Result]) -> None:
    run("anchor", "kept.yaml")
    tamper("DELETE FROM events")
    tamper("DELETE FROM seals")

    assert run("verify").exit_code == 0
    result = run("verify", "--anchor", "kept.yaml")
    assert result.exit_code == 1
    assert "tail_cut: seal 1, seq 3: the tail is cut" in result.stdout


def test_a_chain_that_contradicts_its_anchor_is_not_anchored(
    run: Callable[..., Result], here: Path
) -> None:
    run("anchor")
    before = (here / "ledger-anchors.yaml").read_bytes()
    tamper("DELETE FROM seals")
    run("seal")  # at another instant, so another head

    result = run("anchor")

    assert result.exit_code == 1
    assert "history_rewritten" in result.stdout
    assert (here / "ledger-anchors.yaml").read_bytes() == before


def test_nothing_sealed_cannot_be_anchored() -> None:
    book(1)

    result = CliRunner().invoke(main, ["ledger", "anchor"])

    assert result.exit_code == 3
    assert "tallygate ledger seal" in result.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("at: now\n", "not a list"),
        ("- at: today\n", "an anchor has exactly at, seals"),
        (
            '- at: "x"\n  seals: "1"\n  events: 1\n  last_seq: 1\n  head: "sha256:0"\n',
            "anchors.yaml:2:3: 0.seals: seals is a whole number.",
        ),
    ],
)
def test_an_anchor_file_that_was_spoilt_is_named_with_its_line(
    run: Callable[..., Result], here: Path, text: str, said: str
) -> None:
    (here / "anchors.yaml").write_text(text)

    result = run("verify", "--anchor", "anchors.yaml")

    assert result.exit_code == 3
    assert said in result.stderr


def test_a_person_is_forgotten_and_everything_else_stands(run: Callable[..., Result]) -> None:
    result = run("forget", PERSON, "--yes")

    assert result.exit_code == 0, result.output
    assert "Sums before: 0.01359 USD in 3 events" in result.stdout
    assert "Sums after:  0.01359 USD in 3 events (unchanged)" in result.stdout
    assert "The ledger holds: 3 events" in result.stdout
    assert "on 3 lines" in result.stdout
    events = CliRunner().invoke(main, ["events", "--format", "json"]).stdout
    assert PERSON not in events
    for file in DATABASE.parent.glob("ledger.db*"):
        assert PERSON.encode() not in file.read_bytes()


def test_a_hash_that_a_reader_keeps_in_the_wal_is_told_until_it_is_gone(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallygate.adapters.stores.sealing._PURGE_S", 0)
    monkeypatch.setitem(SqliteLedger.__init__.__kwdefaults__, "busy_timeout_s", 0.1)
    wal = DATABASE.with_name("ledger.db-wal")
    with closing(sqlite3.connect(DATABASE, isolation_level=None)) as reader:
        book(4)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()

        result = run("forget", PERSON, "--yes")

        assert result.exit_code == 1
        assert "NOT GONE YET" in result.stdout
        again = run("forget", PERSON, "--yes")
        assert again.exit_code == 3
        assert "may still stand in the ledger's -wal file" in again.stderr
        reader.execute("COMMIT")
        assert "Nobody is known" in run("forget", PERSON, "--yes").stdout
        assert not wal.exists() or PERSON.encode() not in wal.read_bytes()
        assert PERSON.encode() not in DATABASE.read_bytes()


def test_whom_nobody_knows_cannot_be_forgotten(run: Callable[..., Result]) -> None:
    run("forget", PERSON, "--yes")

    result = run("forget", PERSON, "--yes")

    assert result.exit_code == 1
    assert "Nobody is known" in result.stdout


def test_forgetting_asks_first(run: Callable[..., Result]) -> None:
    result = run("forget", PERSON)

    assert result.exit_code == 1
    assert PERSON in CliRunner().invoke(main, ["events", "--format", "json"]).stdout


def test_old_events_move_to_files_and_are_still_proven(here: Path) -> None:
    book(1, 2, 3)
    backdate()
    command = CliRunner()
    command.invoke(main, ["ledger", "seal"])
    book(4)
    command.invoke(main, ["ledger", "seal"])

    result = command.invoke(main, ["ledger", "archive", "--before", "2026-11-01"])

    assert result.exit_code == 0, result.output
    assert "Archive 1: 3 events, seals 1 to 1, seq 1 to 3, in 1 files" in result.stdout
    assert "Sums before:   0.01812 USD in 4 events" in result.stdout
    assert "Archived:      0.01359 USD in 3 events" in result.stdout
    assert "Left in place: 0.00453 USD in 1 events" in result.stdout
    held = command.invoke(main, ["ledger", "verify"])
    assert held.exit_code == 0, held.output
    assert "4 events under 2 seals, 3 of them archived" in held.stdout
    lost = command.invoke(main, ["ledger", "verify", "--archive", "elsewhere"])
    assert lost.exit_code == 1
    assert "archive_missing" in lost.stdout
    both = ["--archive", "elsewhere", "--archive", ".tallygate/archive"]
    assert command.invoke(main, ["ledger", "verify", *both]).exit_code == 0


def test_what_is_too_young_stays(run: Callable[..., Result]) -> None:
    result = run("archive", "--before", "2020-01-01")

    assert result.exit_code == 0
    assert "Nothing to archive" in result.stdout


@pytest.mark.parametrize("day", ["yesterday", "2999-01-01", "2026-13-01"])
def test_a_day_that_is_none_is_wrong_use(run: Callable[..., Result], day: str) -> None:
    assert run("archive", "--before", day).exit_code == 2


def test_many_spans_are_checked_in_processes_of_their_own(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallygate.application.verification.SPAN_EVENTS", 1)
    for number in range(4, 9):
        book(number)
        run("seal")
    tamper("UPDATE events SET cost_e12 = 1 WHERE seq IN (2, 7)")
    forked: list[int] = []
    real = worker_processes.ProcessPoolExecutor
    monkeypatch.setattr(
        worker_processes,
        "ProcessPoolExecutor",
        lambda workers, **how: forked.append(workers) or real(workers, **how),
    )

    result = run("verify")

    assert forked, "a pool was made"
    assert result.exit_code == 1
    assert [line.split(":")[1].strip() for line in result.stdout.splitlines()[:2]] == [
        "seal 1, seq 2",
        "seal 5, seq 7",
    ]


def test_a_ledger_is_made_by_migrate() -> None:
    result = CliRunner().invoke(main, ["ledger", "migrate"])

    assert result.exit_code == 0, result.output
    assert DATABASE.exists()
    assert "is up to date" in result.stdout
