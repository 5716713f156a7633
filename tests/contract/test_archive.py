"""Old events in files: nothing is lost wherever it stops, and the chain still proves them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from fakes.entries import a_decision, an_entry, event_id
from fakes.ledger import FakeLedger
from fakes.seal_store import FakeSealStore
from fakes.tampering import (
    Tampering,
    TamperingInMemory,
    TamperingInPostgres,
    TamperingInSqlite,
)
from tallygate.adapters.stores.archive_folder import ParquetFolder
from tallygate.adapters.stores.postgres import PostgresLedger
from tallygate.adapters.stores.sealing import SqlSealStore
from tallygate.adapters.stores.sqlite import SqliteLedger
from tallygate.application import archiving
from tallygate.application.archiving import Archived, Phase, archive_before
from tallygate.application.ledger_ports import SealStore
from tallygate.application.sealing import seal_events
from tallygate.application.verification import InlineChecker, Verification, verify
from tallygate.domain.kernel.digests import digest_of_bytes
from tallygate.domain.ledger.archives import (
    ArchivedRange,
    Manifest,
    bytes_of_manifest,
    file_name,
    manifest_from_bytes,
    manifest_name,
    range_of,
)
from tallygate.domain.ledger.sealed_rows import SEALED_COLUMNS, SealedRow
from tallygate.errors import LedgerError, LedgerUnavailable

FUTURE_NS = 1 << 62


@dataclass
class Kept:
    """A ledger of nine events under three seals, and a folder."""

    store: SealStore
    tampering: Tampering
    folder: ParquetFolder
    path: Path
    booked: Callable[[int], None]

    def archive(self, before_ns: int = FUTURE_NS) -> Archived:
        return archive_before(self.store, self.folder, before_ns)

    def verify(self) -> Verification:
        return verify(self.store, self.folder, (), InlineChecker(self.store, self.folder))

    def codes(self) -> list[str]:
        return sorted({finding.code.value for finding in self.verify().findings})

    def file(self, seal: int) -> str:
        """Name the file that holds one seal alone."""
        (head,) = (each.head for each in self.store.seals() if each.number == seal)
        return file_name(seal, seal, head)

    def only(self, pattern: str) -> Path:
        (path,) = self.path.glob(pattern)
        return path

    def seqs(self) -> list[int]:
        return [row[0] for row in self.store.sealed_rows(-1, 10**9)]


@pytest.fixture(params=["sqlite", "postgres", "fake"])
def kept(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Kept]:
    monkeypatch.setattr(archiving, "FILE_EVENTS", 3)
    monkeypatch.setattr(archiving, "DELETE_SLICE", 2)
    ledger: SqliteLedger | PostgresLedger | FakeLedger
    if request.param == "fake":
        ledger = FakeLedger()
        store: Any = FakeSealStore(ledger)
        tampering: Tampering = TamperingInMemory(store)
    elif request.param == "sqlite":
        ledger = SqliteLedger(tmp_path / "ledger.db", busy_timeout_s=0.2)
        store, tampering = SqlSealStore(ledger), TamperingInSqlite(tmp_path / "ledger.db")
    else:
        url = request.getfixturevalue("postgres_url")
        ledger = PostgresLedger(url)
        store, tampering = SqlSealStore(ledger), TamperingInPostgres(url)

    def booked(number: int) -> None:
        decision = a_decision(input_digest="sha256:1", call_bucket=number)
        ledger.append([an_entry(number, decision=decision)])

    for numbers in ((1, 2, 3), (4, 5, 6), (7, 8, 9)):
        for number in numbers:
            booked(number)
        seal_events(store)
    folder = ParquetFolder(tmp_path / "archive")
    yield Kept(store, tampering, folder, tmp_path / "archive", booked)
    ledger.close()


def test_old_seals_move_and_the_newest_stays(kept: Kept) -> None:
    before = kept.store.sums()

    archived = kept.archive()

    assert kept.seqs() == [7, 8, 9]
    manifest = archived.manifest
    assert manifest is not None
    assert (manifest.first_seal, manifest.last_seal, manifest.events) == (1, 2, 6)
    assert [file.name for file in manifest.files] == [kept.file(1), kept.file(2)]
    assert dict(manifest.sums) == {"USD": {"cost": "0.02718", "events": 6, "unpriced": 0}}
    assert archived.sums_before == before
    assert archived.sums_archived["USD"].cost + archived.sums_after["USD"].cost == (
        before["USD"].cost
    )
    verification = kept.verify()
    assert verification.holds, verification.findings
    assert (verification.events, verification.archived) == (9, 6)


def test_the_manifest_on_disk_is_the_one_that_the_ledger_names(kept: Kept) -> None:
    manifest = kept.archive().manifest

    content = kept.only("archive-*").read_bytes()

    assert manifest_from_bytes(content) == manifest


def test_what_was_archived_comes_back_as_it_was(kept: Kept) -> None:
    rows = kept.store.sealed_rows(0, 3)

    kept.archive()

    assert kept.folder.lines(kept.file(1)).sealed_rows(0, 3) == rows


def test_a_second_archive_continues_the_first(kept: Kept) -> None:
    kept.archive()
    kept.booked(10)
    seal_events(kept.store)

    manifest = kept.archive().manifest

    assert manifest is not None
    assert (manifest.number, manifest.first_seal, manifest.last_seal) == (2, 3, 3)
    assert kept.seqs() == [10]
    assert kept.verify().holds


def test_ledgers_that_share_a_folder_keep_their_archives_apart(kept: Kept) -> None:
    other = FakeSealStore(FakeLedger())
    for numbers in ((101, 102, 103), (104, 105, 106), (107, 108, 109)):
        other.ledger.append([an_entry(number) for number in numbers])
        seal_events(other)
    kept.archive()
    whole = {path.name: path.read_bytes() for path in kept.path.glob("*-*")}

    archive_before(other, kept.folder, FUTURE_NS)

    assert {name: (kept.path / name).read_bytes() for name in whole} == whole
    assert kept.verify().holds
    assert verify(other, kept.folder, (), InlineChecker(other, kept.folder)).holds


def test_archives_in_two_folders_are_proven_together(kept: Kept) -> None:
    kept.archive()
    kept.booked(10)
    seal_events(kept.store)
    elsewhere = kept.path.parent / "elsewhere"
    archive_before(kept.store, ParquetFolder(elsewhere), FUTURE_NS)
    assert kept.codes() == ["archive_missing"]

    kept.folder = ParquetFolder(elsewhere, kept.path)

    assert kept.verify().holds


def test_what_is_not_old_enough_stays(kept: Kept) -> None:
    archived = kept.archive(before_ns=1)

    assert archived.manifest is None
    assert len(kept.seqs()) == 9
    assert kept.store.archives() == kept.store.archives()[:0]


def test_an_event_that_was_edited_is_never_archived(kept: Kept) -> None:
    kept.tampering.edit(event_id(5), cost_e12=1)

    with pytest.raises(LedgerError, match=r"nothing is deleted: .* edited in cost_e12 \(seal 2"):
        kept.archive()

    assert len(kept.seqs()) == 9
    assert not kept.store.archives()


def test_a_seal_whose_events_are_gone_is_never_archived(kept: Kept) -> None:
    kept.tampering.delete(*map(event_id, (1, 2, 3)))

    with pytest.raises(LedgerError, match="was deleted"):
        kept.archive()

    assert not kept.store.archives()


class _Stopped(Exception):
    pass


@pytest.mark.parametrize(
    ("where", "calls"),
    [
        pytest.param("write_rows", 1, id="before the first file"),
        pytest.param("write_rows", 2, id="between two files"),
        pytest.param("write_manifest", 1, id="before the manifest"),
        pytest.param("add_archive", 1, id="before the ledger knows"),
        pytest.param("delete_archived", 1, id="before the first delete"),
        pytest.param("delete_archived", 2, id="between two deletes"),
    ],
)
def test_interrupted_anywhere_nothing_is_lost_and_the_next_run_finishes(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, where: str, calls: int
) -> None:
    left = calls

    def stopped(real: Callable[..., Any]) -> Callable[..., Any]:
        def once_more(*given: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise _Stopped
            return real(*given)

        return once_more

    owner: Any = kept.store if hasattr(kept.store, where) else kept.folder
    with monkeypatch.context() as patched:
        patched.setattr(owner, where, stopped(getattr(owner, where)))
        with pytest.raises(_Stopped):
            kept.archive()

    in_files = {
        row[0] for path in kept.path.glob("*.parquet") for row in _rows_of(kept.folder, path.name)
    }
    assert in_files | set(kept.seqs()) == set(range(1, 10))
    assert kept.codes() == (["archive_unfinished"] if kept.store.archives() else [])
    archived = kept.archive()
    assert kept.seqs() == [7, 8, 9]
    assert kept.verify().holds
    assert len(kept.store.archives()) == 1
    assert bool(archived.finished) is (where == "delete_archived")


def _rows_of(folder: ParquetFolder, name: str) -> Sequence[SealedRow]:
    return folder.lines(name).sealed_rows(-1, 10**9)


def test_a_file_that_an_interrupted_run_left_half_written_is_written_anew(kept: Kept) -> None:
    kept.path.mkdir()
    (kept.path / kept.file(1)).write_bytes(b"PAR1 and then the power went")

    kept.archive()

    assert kept.verify().holds


def test_rows_are_not_deleted_while_a_file_of_theirs_is_lost(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(kept.store, "delete_archived", lambda *_: 0, raising=False)
        kept.archive()
    kept.only("events-00000002-*").unlink()

    with pytest.raises(LedgerError, match=r"events-00000002-00000002-\w{12}\.parquet is not in"):
        kept.archive()

    assert len(kept.seqs()) == 9
    assert kept.codes() == ["archive_missing", "archive_unfinished"]


@pytest.mark.parametrize("content", [None, b"{}"], ids=["gone", "edited"])
def test_rows_are_not_deleted_without_the_manifest_that_the_ledger_names(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(kept.store, "delete_archived", lambda *_: 0, raising=False)
        kept.archive()
    path = kept.only("archive-*")
    path.unlink()
    if content:
        path.write_bytes(content)

    with pytest.raises(LedgerError, match=r"archive-000001-\w{12}\.json is not"):
        kept.archive()

    assert len(kept.seqs()) == 9


def test_rows_that_differ_from_their_archive_are_not_deleted(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(kept.store, "delete_archived", lambda *_: 0, raising=False)
        kept.archive()
    kept.tampering.edit(event_id(2), cost_e12=1)

    with pytest.raises(LedgerError, match="the events to be deleted differ"):
        kept.archive()

    assert len(kept.seqs()) == 9


@pytest.mark.parametrize("pattern", ["archive-*", "events-00000002-*"])
def test_an_archive_that_was_touched_is_found(kept: Kept, pattern: str) -> None:
    kept.archive()
    path = kept.only(pattern)
    path.write_bytes(path.read_bytes()[:-9] + b"tampered!")

    assert kept.codes() == ["archive_edited"]


def test_an_archive_whose_file_was_written_anew_is_found_row_by_row(kept: Kept) -> None:
    kept.archive()
    name = kept.file(1)
    rows = [list(row) for row in _rows_of(kept.folder, name)]
    rows[1][SEALED_COLUMNS.index("cost_e12")] = 1
    kept.folder.write_rows(name, [tuple(row) for row in rows])

    findings = kept.verify().findings

    assert [(f.code.value, f.seq, f.column, f.place) for f in findings] == [
        ("archive_edited", 1, None, name),
        ("event_edited", 2, "cost_e12", name),
    ]


@pytest.mark.parametrize("pattern", ["archive-*", "events-00000001-*"])
def test_an_archive_that_is_gone_is_found(kept: Kept, pattern: str) -> None:
    kept.archive()
    kept.only(pattern).unlink()

    assert kept.codes() == ["archive_missing"]


def test_rows_that_stand_in_an_archived_range_are_found(kept: Kept) -> None:
    kept.archive()
    kept.booked(99)
    kept.tampering.edit(event_id(99), seq=2)

    assert kept.codes() == ["archive_unfinished"]


def test_two_runs_at_once_are_one_run_and_a_refusal(kept: Kept) -> None:
    with (
        kept.folder.one_writer(),
        pytest.raises(LedgerUnavailable, match="another process archives"),
    ):
        ParquetFolder(kept.path).one_writer().__enter__()


def test_an_archive_made_while_somebody_verifies_is_told_and_not_found(kept: Kept) -> None:
    class Racing(InlineChecker):
        def check(self, spans: Any) -> Any:
            kept.archive()
            return super().check(spans)

    with pytest.raises(LedgerUnavailable, match="run verify again"):
        verify(kept.store, kept.folder, (), Racing(kept.store, kept.folder))


def test_rows_that_a_running_archive_still_deletes_are_no_finding(kept: Kept) -> None:
    told: list[str] = []

    def verified_meanwhile(phase: Phase, _done: int, _whole: int) -> None:
        if phase is Phase.DELETING and kept.seqs() != [7, 8, 9]:
            with pytest.raises(LedgerUnavailable, match="an archive is running") as caught:
                kept.verify()
            told.append(str(caught.value))

    archive_before(kept.store, kept.folder, FUTURE_NS, verified_meanwhile)

    assert told
    assert kept.verify().holds


def test_rows_that_fewer_become_meanwhile_are_an_archive_run_elsewhere(kept: Kept) -> None:
    kept.store.add_archive(range_of(_written_only(kept)))

    class Deleting(InlineChecker):
        def check(self, spans: Any) -> Any:
            kept.store.delete_archived(kept.store.archives()[0], 2)
            return super().check(spans)

    assert kept.codes() == ["archive_unfinished"]
    with pytest.raises(LedgerUnavailable, match="an archive is running"):
        verify(kept.store, kept.folder, (), Deleting(kept.store, kept.folder))


def _range(**changes: int | str) -> ArchivedRange:
    facts: dict[str, Any] = {
        "number": 1,
        "first_seal": 1,
        "last_seal": 1,
        "from_seq": 1,
        "to_seq": 3,
        "events": 3,
        "manifest_digest": "sha256:0",
    }
    return ArchivedRange(**facts | changes)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"last_seal": 3, "to_seq": 9, "events": 9}, id="the newest seal"),
        pytest.param({"first_seal": 2, "last_seal": 2, "from_seq": 4, "to_seq": 6}, id="a gap"),
        pytest.param({"to_seq": 9}, id="more than its seals"),
        pytest.param({"number": 2}, id="another number"),
    ],
)
def test_the_database_takes_no_archive_that_is_out_of_order(
    kept: Kept, changes: dict[str, int]
) -> None:
    if isinstance(kept.store, FakeSealStore):
        pytest.skip("the ledger in memory has no rules of its own")

    with pytest.raises((LedgerError, psycopg.Error)):
        kept.store.add_archive(_range(**changes))

    assert not kept.store.archives()


def test_a_line_of_archives_that_somebody_made_up_is_found(kept: Kept) -> None:
    kept.store.add_archive(_range())
    while kept.store.delete_archived(_range(), 100):
        pass

    assert kept.codes() == ["archive_missing"]


def test_a_manifest_of_somebody_else_is_no_manifest(kept: Kept) -> None:
    kept.path.mkdir()
    digest = digest_of_bytes(b"{}")
    (kept.path / manifest_name(1, digest)).write_bytes(b"{}")
    kept.store.add_archive(_range(manifest_digest=digest))

    assert kept.codes() == ["archive_edited", "archive_unfinished"]


def _written_only(kept: Kept) -> Manifest:
    """Write files and manifest, and tell the ledger nothing."""
    with kept.folder.one_writer():
        manifest = archiving._new_archive(kept.store, kept.folder, FUTURE_NS, lambda *_: None)
    assert manifest is not None
    return manifest


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param({"files": ()}, id="that names no file"),
        pytest.param({"to_seq": 3, "events": 3}, id="of another range than its line"),
    ],
)
def test_a_forged_manifest_hides_no_edit(kept: Kept, forged: dict[str, Any]) -> None:
    """Its line in `archives` carries the right digest; only what it says is not true."""
    manifest = _written_only(kept)
    real = range_of(manifest)
    content = bytes_of_manifest(replace(manifest, **forged))
    digest = digest_of_bytes(content)
    kept.folder.write_manifest(manifest_name(1, digest), content)
    kept.store.add_archive(replace(real, manifest_digest=digest))
    kept.tampering.edit(event_id(2), cost_e12=1)

    assert kept.codes() == ["archive_edited", "archive_unfinished"]


def test_an_archive_of_too_short_a_range_hides_no_edit(kept: Kept) -> None:
    """The files are whole, the line in `archives` leaves edited rows outside its range."""
    manifest = _written_only(kept)
    short = replace(manifest, to_seq=3, events=3)
    content = bytes_of_manifest(short)
    kept.folder.write_manifest(manifest_name(1, digest_of_bytes(content)), content)
    kept.tampering.edit(event_id(5), cost_e12=1)
    kept.tampering.delete(*map(event_id, (1, 2, 3)))
    kept.store.add_archive(range_of(short))

    assert kept.codes() == ["archive_unfinished"]
