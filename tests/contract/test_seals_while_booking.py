"""Four drains book into PostgreSQL while somebody seals: no line appears under a seal later."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fakes.entries import an_entry
from tallygate.adapters.stores.archive_folder import ParquetFolder
from tallygate.adapters.stores.postgres import PostgresLedger
from tallygate.adapters.stores.sealing import SqlSealStore
from tallygate.application.sealing import seal_events
from tallygate.application.verification import InlineChecker, verify

DRAINS = 4
BATCHES = 12
BATCH = 20


def book(url: str, drain: int) -> None:
    ledger = PostgresLedger(url)
    for batch in range(BATCHES):
        first = (drain * BATCHES + batch) * BATCH + 1
        ledger.append([an_entry(number) for number in range(first, first + BATCH)])
    ledger.close()


def test_a_seal_waits_for_what_is_being_booked(postgres_url: str, tmp_path: Path) -> None:
    ledger = PostgresLedger(postgres_url)
    ledger.prepare()
    store = SqlSealStore(ledger)

    with ThreadPoolExecutor(DRAINS) as pool:
        drains = [pool.submit(book, postgres_url, drain) for drain in range(DRAINS)]
        while not all(drain.done() for drain in drains):
            seal_events(store)
    for drain in drains:
        drain.result()
    seal_events(store)
    archive = ParquetFolder(tmp_path)
    verification = verify(store, archive, (), InlineChecker(store, archive))
    ledger.close()

    assert verification.findings == ()
    assert (verification.events, verification.unsealed) == (DRAINS * BATCHES * BATCH, 0)
    assert verification.seals > 1
