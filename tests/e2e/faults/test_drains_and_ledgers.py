"""
What happens to the books when the ledger's database goes away, or a drain dies while it books.

Method: a real proxy under load all the while; SQLite by its file, PostgreSQL by a real server.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import time

from e2e.faults.conftest import MakeRig
from e2e.faults.rig import Rig, Setup, wait_for
from e2e.faults.test_no_room import wait_for_answers
from e2e.faults.troubles import LedgerGone, troubles_of
from fakes.postgres import PostgresServer


def test_a_postgresql_that_is_stopped_and_started_again_loses_no_attempt(
    make_rig: MakeRig, postgres: PostgresServer
) -> None:
    rig = make_rig(Setup(ledger_url=postgres.url(postgres.new_database())))
    rig.start()
    with rig.load("stopped") as load:
        wait_for_answers(load, 10)
        postgres.stop()
        wait_for(lambda: "ledger_unavailable" in rig.drain_log(), "the drain to notice")
        wait_for_answers(load, 40)
        rig.kill_drains()
        wait_for_answers(load, 10)
        postgres.start()
        wait_for_answers(load, 10)
    rig.end(signal.SIGTERM)

    compared = rig.compare()

    assert compared.same, compared
    assert "unknown" not in compared.statuses


def test_a_ledger_whose_folder_is_away_for_a_while_loses_no_attempt(make_rig: MakeRig) -> None:
    rig = make_rig(Setup())
    gone = troubles_of(rig, None, None)["ledger gone"]
    assert isinstance(gone, LedgerGone)
    chance = random.Random(1)
    rig.start()
    with rig.load("away") as load:
        wait_for_answers(load, 10)
        gone.begin(chance)
        wait_for_answers(load, 10)
        rig.kill_drains()
        wait_for(lambda: "ledger_" in rig.drain_log(), "a drain to notice")
        wait_for_answers(load, 10)
        gone.end()
        wait_for_answers(load, 10)
    rig.end(signal.SIGTERM)

    compared = rig.compare()

    assert compared.same, compared
    assert "unknown" not in compared.statuses


def test_drains_that_are_killed_as_they_book_or_started_twice_book_nothing_twice(
    make_rig: MakeRig,
) -> None:
    rig = make_rig(Setup())
    troubles_of(rig, None, None)  # makes the ledger
    rig.start()
    with rig.load("drains") as load:
        wait_for_answers(load, 5)
        kill_as_it_books(rig)
        second = a_drain_that_finds_another(rig)
        kill_as_it_books(rig)
        rig.end(signal.SIGINT)

    compared = rig.compare()

    assert second.returncode != 0
    assert "another drain reads the spool folder" in second.stderr
    assert compared.same, compared


def a_drain_that_finds_another(rig: Rig) -> subprocess.CompletedProcess[str]:
    """Start a second drain; where the first is between two lives, it just does its work."""
    for _ in range(10):
        wait_for(rig.is_drained_by_somebody, "the next drain")
        second = rig.drain_by_hand()
        if second.returncode != 0:
            break
    return second


def kill_as_it_books(rig: Rig) -> None:
    """Kill the drain in the moment in which the ledger has changed: before it acknowledges."""
    ledger = sqlite3.connect(rig.ledger_url.removeprefix("sqlite:///"), timeout=30)

    def version() -> int:
        return int(ledger.execute("PRAGMA data_version").fetchone()[0])

    wait_for(lambda: bool(rig.drains()), "a drain")
    seen = version()
    deadline = time.monotonic() + 120
    while version() == seen:
        assert time.monotonic() < deadline, "nothing is booked"
    assert rig.kill_drains()
    ledger.close()
