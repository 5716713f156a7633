"""
How fast a ledger is sealed and proven: `python bench/verify.py [N [URL]]`.

Books N events (a million by default) into a new SQLite file, or into the empty database at URL
(a postgresql:// address): the first 10,000 as a drain does, the rest as copies of them with ids of
their own, made in SQL within the database's own rules. Seals them, verifies them with all cores,
archives all but the newest seal, and verifies again, files and rows. Prints events a second,
how many cores that took, and the most memory that this process, and the largest of its workers,
ever held.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from fakes.entries import a_call, an_entry, an_ownership  # noqa: E402 - after the path
from tallygate.adapters.stores.archive_folder import ParquetFolder  # noqa: E402 - as above
from tallygate.adapters.stores.opening import ledger_at  # noqa: E402 - as above
from tallygate.adapters.stores.sealing import SqlSealStore  # noqa: E402 - as above
from tallygate.adapters.stores.tables import ASSIGNED_BY_STORE, EVENTS  # noqa: E402 - as above
from tallygate.application.archiving import archive_before  # noqa: E402 - as above
from tallygate.application.sealing import seal_events  # noqa: E402 - as above
from tallygate.bootstrap.sealed_ledger import SealedLedger  # noqa: E402 - as above

BATCH = 500


COPIED = 10_000


def booked(ledger, count):
    appended(ledger, min(count, COPIED))
    names = [c.name for c in EVENTS.columns if c.name not in ASSIGNED_BY_STORE | {"event_id"}]
    columns = ", ".join(names)
    for block in range(1, -(-count // COPIED)):
        size = min(COPIED, count - block * COPIED)
        with ledger.writing() as connection:
            sqlite = connection.dialect.name == "sqlite"
            tail = (
                f"printf('%012x', {block} * 100000 + seq)"
                if sqlite
                else (f"lpad(to_hex({block}::bigint * 100000 + seq), 12, '0')")
            )
            connection.exec_driver_sql(
                f"INSERT INTO events (event_id, {columns})"
                f" SELECT substr(event_id, 1, 24) || {tail.replace('%', '%' if sqlite else '%%')},"
                f" {columns} FROM events WHERE seq <= {size}"
            )


def appended(ledger, count):
    for start in range(1, count + 1, BATCH):
        ledger.append(
            [
                an_entry(
                    number,
                    call=a_call(
                        call_id=f"call-{number}", trace_id=f"{number * 2654435761 % 2**64:032x}"
                    ),
                    ownership=an_ownership(
                        owner_team=f"team-{number % 50}",
                        tenant_id_hash=f"hk1_{number % 1000:032x}",
                        user_id_hash=f"hk1_{number % 5000 + 10_000:032x}",
                    ),
                )
                for number in range(start, min(start + BATCH, count + 1))
            ]
        )


def processor_s():
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def told(what, count, started):
    seconds = time.perf_counter() - started[0]
    cores = (processor_s() - started[1]) / seconds
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(
        f"{what:16} {seconds:7.1f} s  {count / seconds:9,.0f} events/s  on {cores:.2f} cores  "
        f"{own:5} MB, worker {workers} MB",
        flush=True,
    )


def begun():
    return time.perf_counter(), processor_s()


def verified(what, opened, count):
    started = begun()
    verification = opened.verify(None, lambda _done, _all: None)
    told(what, count, started)
    assert verification.holds, verification.findings[:3]
    assert verification.events == count, verification


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as name:
        url = sys.argv[2] if len(sys.argv) > 2 else f"sqlite:///{name}/ledger.db"
        ledger = ledger_at(url)
        folder = Path(name) / "archive"
        opened = SealedLedger(SqlSealStore(ledger), ParquetFolder(folder), url, (folder,))
        started = begun()
        booked(ledger, count)
        told("book", count, started)
        started = begun()
        seal_events(opened.store)
        told("seal", count, started)
        verified("verify", opened, count)
        started = begun()
        done = archive_before(opened.store, opened.archive, time.time_ns() + 10**9)
        told("archive", done.manifest.events, started)
        size = sum(file.bytes for file in done.manifest.files)
        print(f"archive's size   {size / done.manifest.events:7.0f} bytes/event")
        verified("verify archive", opened, count)
        ledger.close()


if __name__ == "__main__":
    main()
