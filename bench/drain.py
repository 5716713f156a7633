"""
How many entries a second the books take: `python bench/drain.py [ENTRIES]`.

Prints, for batches of 500 into a new SQLite file with WAL and synchronous=FULL, entries a second
for `append` alone, for the same again as duplicates, and for pricing and appending together.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from fakes.entries import a_call, an_entry, an_ownership  # noqa: E402 - after the path is set
from tallygate.adapters.stores.sqlite import SqliteLedger  # noqa: E402

BATCH = 500


def entries_of(count):
    for number in range(1, count + 1):
        yield an_entry(
            number,
            call=a_call(call_id=f"call-{number}", trace_id=f"{number * 2654435761 % 2**64:032x}"),
            ownership=an_ownership(
                owner_team=f"team-{number % 50}",
                tenant_id_hash=f"hk1_{number % 1000:032x}",
                user_id_hash=f"hk1_{number % 5000 + 10_000:032x}",
            ),
        )


def per_second(ledger, entries):
    started = time.perf_counter()
    for start in range(0, len(entries), BATCH):
        ledger.append(entries[start : start + BATCH])
    return len(entries) / (time.perf_counter() - started)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    entries = list(entries_of(count))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        ledger = SqliteLedger(path)
        ledger.prepare()
        print(f"append       {per_second(ledger, entries):10,.0f} entries/s")
        print(f"duplicates   {per_second(ledger, entries):10,.0f} entries/s")
        assert ledger.count_attempts() == count
        ledger.close()
        print(f"size         {path.stat().st_size / count:10,.0f} bytes/entry")


if __name__ == "__main__":
    main()
