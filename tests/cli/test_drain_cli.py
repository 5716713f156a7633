from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from fakes.entries import an_event, an_outcome, event_id, opened, settled
from tallygate.adapters.spool.reader import SegmentReader
from tallygate.adapters.spool.writer import SegmentSpool
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.application.ports import EventFilter
from tallygate.cli import main

ROOT = Path(__file__).parents[2]
EVERYTHING = EventFilter()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("TALLYGATE_STATE", str(tmp_path))
    monkeypatch.setenv("TALLYGATE_POLICIES", str(ROOT / "policies"))
    return lambda *words: CliRunner().invoke(main, ["drain", *words])


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[SegmentSpool]:
    spool = SegmentSpool(tmp_path / "spool")
    yield spool
    spool.close()


def booked(folder: Path) -> list[tuple[str, str]]:
    ledger = SqliteLedger(folder / "ledger.db", create=False)
    rows = [(row["event_id"], row["status"]) for row in ledger.rows(EVERYTHING)]
    ledger.close()
    return rows


def test_one_pass_books_what_is_there_and_says_what_it_did(
    run: Callable[..., Result], spool: SegmentSpool, tmp_path: Path
) -> None:
    spool.append(opened(an_event(1)))
    spool.append(settled(an_event(1)))
    spool.append(opened(an_event(2)))

    result = run("--format", "json")
    spool.close()
    again = run()

    assert result.exit_code == again.exit_code == 0, result.output + again.output
    report = orjson.loads(result.stdout)
    assert (report["records"], report["inserted"], report["unknown"]) == (3, 1, 0)
    assert "0 records read, 1 events booked, 0 already there." in again.stdout
    assert "1 unknown: their proxy ended before they did." in again.stdout
    assert booked(tmp_path) == [(event_id(1), "ok"), (event_id(2), "unknown")]


def test_a_conflict_is_a_finding_with_its_id(
    run: Callable[..., Result], spool: SegmentSpool
) -> None:
    spool.append(settled(an_event(1)))
    spool.append(settled(an_event(1, outcome=an_outcome(http_status=201))))

    result = run()

    assert result.exit_code == 1
    assert f"conflict: {event_id(1)}" in result.stdout


def test_another_drain_is_named_by_hand_and_left_in_peace_by_the_child(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    other = SegmentReader(tmp_path / "spool")

    by_hand, by_hand_following, child = run(), run("--follow"), run("--follow", "--until-idle")

    other.close()
    assert by_hand.exit_code == by_hand_following.exit_code == 3
    assert "another drain reads the spool folder" in by_hand.stderr
    assert child.exit_code == 0
    assert "another drain" not in child.output


def test_a_broken_rule_book_books_nothing(
    run: Callable[..., Result], spool: SegmentSpool, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "policies" / "schemas", tmp_path / "policies" / "schemas")
    rates = tmp_path / "policies" / "rates" / "openai"
    rates.mkdir(parents=True)
    (rates / "openai-pricing-2026-05-31.yaml").write_text("price: [1.5\n")
    spool.append(settled(an_event(1)))

    result = run("--policies", str(tmp_path / "policies"))

    assert result.exit_code == 3
    assert "openai-pricing-2026-05-31.yaml:" in result.stderr
    assert not (tmp_path / "ledger.db").exists()


def test_a_ledger_out_of_reach_is_said_and_nothing_is_lost(
    run: Callable[..., Result], spool: SegmentSpool, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"no database" * 100)
    spool.append(settled(an_event(1)))

    refused = run()
    path.unlink()

    assert refused.exit_code == 3
    assert "no SQLite database" in refused.stderr
    assert run().exit_code == 0
    assert booked(tmp_path) == [(event_id(1), "ok")]


def test_an_idle_drain_leaves_by_itself(
    run: Callable[..., Result], spool: SegmentSpool, tmp_path: Path
) -> None:
    spool.append(opened(an_event(1)))
    spool.close()

    result = run("--until-idle")

    assert result.exit_code == 0, result.output
    assert booked(tmp_path) == [(event_id(1), "unknown")]


@pytest.fixture
def following(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a drain that goes on, in a process of its own."""
    environment = os.environ | {
        "TALLYGATE_STATE": str(tmp_path),
        "TALLYGATE_POLICIES": str(ROOT / "policies"),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tallygate", "drain", "--follow"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen")


def test_a_following_drain_waits_out_a_locked_ledger_and_ends_on_sigterm(
    spool: SegmentSpool, tmp_path: Path, following: subprocess.Popen[str]
) -> None:
    path = tmp_path / "ledger.db"
    spool.append(settled(an_event(1)))
    until(lambda: path.exists() and _has_tables(path) and len(booked(tmp_path)) == 1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    spool.append(settled(an_event(2)))
    assert following.stderr is not None
    line = following.stderr.readline()
    while "ledger_unavailable" not in line:
        assert line
        line = following.stderr.readline()
    other.execute("ROLLBACK")
    other.close()
    until(lambda: len(booked(tmp_path)) == 2)

    following.send_signal(signal.SIGTERM)
    _, errors = following.communicate(timeout=30)

    assert following.returncode == 0
    assert errors.count("ledger_back") == 1
    assert "ledger_unavailable" not in errors
    assert "drain_ended" in errors


def _has_tables(path: Path) -> bool:
    connection = sqlite3.connect(path)
    try:
        return bool(
            connection.execute("SELECT 1 FROM sqlite_master WHERE name='events'").fetchone()
        )
    finally:
        connection.close()
