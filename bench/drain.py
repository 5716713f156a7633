"""
How many entries a second the books take: `PYTHONPATH=tests python bench/drain.py [N]`.

Prints, in batches of 500 into a new SQLite file with WAL and synchronous=FULL: `append` alone,
the same entries again as duplicates, and the whole drain, from a real spool (an opened and a
settled record for each entry), priced by the rule books of this repository.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from fakes.entries import a_call, an_attempt, an_entry, an_outcome, an_ownership, opened, settled
from tallygate.adapters.files.rule_books import RuleBookFolder
from tallygate.adapters.spool.reader import SegmentReader
from tallygate.adapters.spool.writer import SegmentSpool
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.application.drain import BATCH_RECORDS, drain_once
from tallygate.application.ports import EventFilter

ROOT = Path(__file__).parents[1]
EVERYTHING = EventFilter()


def entries_of(count, model):
    for number in range(1, count + 1):
        yield an_entry(
            number,
            call=a_call(call_id=f"call-{number}", trace_id=f"{number * 2654435761 % 2**64:032x}"),
            attempt=an_attempt(request_model=model),
            outcome=an_outcome(response_model=model),
            ownership=an_ownership(
                owner_team=f"team-{number % 50}",
                tenant_id_hash=f"hk1_{number % 1000:032x}",
                user_id_hash=f"hk1_{number % 5000 + 10_000:032x}",
            ),
        )


def appended_per_second(ledger, entries):
    started = time.perf_counter()
    for start in range(0, len(entries), BATCH_RECORDS):
        ledger.append(entries[start : start + BATCH_RECORDS])
    return len(entries) / (time.perf_counter() - started)


def drained_per_second(folder, books, entries):
    spool = SegmentSpool(folder / "spool")
    for entry in entries:
        spool.append(opened(entry.event))
        spool.append(settled(entry.event))
    spool.close()
    reader, ledger = SegmentReader(folder / "spool"), SqliteLedger(folder / "drained.db")
    ledger.prepare()
    started = time.perf_counter()
    drain_once(reader, ledger, books)
    seconds = time.perf_counter() - started
    total = ledger.total(EVERYTHING)
    reader.close()
    ledger.close()
    assert total.events == len(entries), total
    assert total.unpriced == 0, total
    return len(entries) / seconds


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 30_000
    books = RuleBookFolder(ROOT / "policies")
    entries = list(entries_of(count, model="gpt-5.4-mini"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "ledger.db"
        ledger = SqliteLedger(path)
        ledger.prepare()
        print(f"append       {appended_per_second(ledger, entries):10,.0f} entries/s")
        print(f"duplicates   {appended_per_second(ledger, entries):10,.0f} entries/s")
        assert ledger.count_attempts() == count
        ledger.close()
        print(f"size         {path.stat().st_size / count:10,.0f} bytes/entry")
        print(f"drain        {drained_per_second(folder, books, entries):10,.0f} entries/s")


if __name__ == "__main__":
    main()
