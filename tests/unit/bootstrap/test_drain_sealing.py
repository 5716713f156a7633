"""The drain seals beside its work, and never stops for it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fakes.clock import FakeClock
from fakes.entries import an_entry
from tallygate.adapters.stores.sealing import SqlSealStore
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.bootstrap.drain_sealing import DrainSealing


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    ledger = SqliteLedger(tmp_path / "ledger.db", busy_timeout_s=0.1)
    yield ledger
    ledger.close()


def sealed(ledger: SqliteLedger) -> list[int]:
    return [seal.events for seal in SqlSealStore(ledger).seals()]


def test_a_drain_seals_at_its_start_each_minute_and_at_its_end(ledger: SqliteLedger) -> None:
    clock = FakeClock()
    sealing = DrainSealing(ledger, clock.now_ns)
    ledger.append([an_entry(1)])
    sealing.after_batch(1)
    ledger.append([an_entry(2), an_entry(3)])
    sealing.after_batch(2)
    assert sealed(ledger) == [1]

    clock.go_on(seconds=61)
    sealing.after_batch(0)
    assert sealed(ledger) == [1, 2]

    ledger.append([an_entry(4)])
    sealing.after_batch(1)
    sealing.at_the_end()
    assert sealed(ledger) == [1, 2, 1]


def test_a_ledger_that_takes_no_seal_is_told_once_and_tried_again(
    ledger: SqliteLedger, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    ledger.append([an_entry(1)])
    sealing = DrainSealing(ledger, clock.now_ns)

    with closing(sqlite3.connect(tmp_path / "ledger.db")) as other:
        other.execute("BEGIN IMMEDIATE")
        with caplog.at_level(logging.WARNING, "tallygate.drain"):
            sealing.after_batch(1)
            sealing.after_batch(0)
            clock.go_on(seconds=61)
            sealing.after_batch(0)
        other.rollback()

    assert [record.message.split()[0] for record in caplog.records] == ["events_not_sealed"]
    assert sealed(ledger) == []
    clock.go_on(seconds=61)
    sealing.after_batch(0)
    assert sealed(ledger) == [1]
