"""
Old events move from the database to files, and the chain still proves every one of them.

Shapes  Whole seals, the oldest first, never the newest. In this order, so that nothing is lost
        wherever it stops: files, each synced, read again and held against its seals; the
        manifest; the ledger's line that names both; then, slice by slice, the rows. Whoever runs
        it again goes on where it stopped.
Errors  LedgerError where the database, or what was read again, differs from the seals: nothing
        is deleted then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

from tallygate.application.ledger_ports import ArchiveFolder, CurrencySum, SealStore, Span
from tallygate.application.verification import check_span
from tallygate.domain.kernel.digests import digest_of_bytes
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.domain.kernel.money import text_from_amount
from tallygate.domain.ledger.archives import (
    ArchivedRange,
    ArchiveFile,
    Manifest,
    bytes_of_manifest,
    file_name,
    manifest_from_bytes,
    manifest_name,
    range_of,
    seals_for_manifest,
)
from tallygate.domain.ledger.findings import Finding, FindingCode, findings_in_rows
from tallygate.domain.ledger.seals import BEFORE_ALL, Seal
from tallygate.errors import LedgerError

FILE_EVENTS: Final = 10_000
"""Events a file holds, more or less: what is in memory at a time."""
DELETE_SLICE: Final = 5_000
"""Lines deleted in one transaction, so that a drain never waits long."""


class Phase(StrEnum):
    """What an archive run is doing."""

    WRITING = "writing"
    DELETING = "deleting"


OnProgress = Callable[[Phase, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """What one run did. `manifest` is None where no sealed event is old enough."""

    manifest: Manifest | None
    finished: tuple[int, ...]
    """Earlier archives whose rows were still there and are deleted now."""
    sums_before: Mapping[str, CurrencySum]
    sums_after: Mapping[str, CurrencySum]
    sums_archived: Mapping[str, CurrencySum]


def archive_before(
    store: SealStore,
    folder: ArchiveFolder,
    before_ns: int,
    on_progress: OnProgress = lambda _phase, _done, _all: None,
) -> Archived:
    """Finish what an earlier run began, then move what was booked before an instant."""
    with folder.one_writer():
        to_seq = store.settled_seq()  # what is booked meanwhile is not compared
        before = store.sums(to_seq=to_seq)
        finished = tuple(
            archived.number
            for archived in store.archives()
            if _delete(store, folder, archived, on_progress)
        )
        manifest = _new_archive(store, folder, before_ns, on_progress)
        if manifest is None:
            moved: Mapping[str, CurrencySum] = {}
        else:
            archived = range_of(manifest)
            moved = store.sums(archived.from_seq - 1, archived.to_seq)
            store.add_archive(archived)
            _delete(store, folder, archived, on_progress)
        return Archived(
            manifest=manifest,
            finished=finished,
            sums_before=before,
            sums_after=store.sums(to_seq=to_seq),
            sums_archived=moved,
        )


def _new_archive(
    store: SealStore, folder: ArchiveFolder, before_ns: int, on_progress: OnProgress
) -> Manifest | None:
    done = store.archives()
    groups, previous_head = _old_seals(store, done, before_ns)
    if not groups:
        return None
    seals = [seal for group in groups for seal in group]
    files: list[ArchiveFile] = []
    after_seq = done[-1].to_seq if done else BEFORE_ALL
    written, total = 0, sum(seal.events for seal in seals)
    for group in groups:
        file = _written(store, folder, after_seq, group)
        files.append(file)
        written += file.events
        after_seq = file.to_seq
        on_progress(Phase.WRITING, written, total)
    manifest = Manifest(
        number=len(done) + 1,
        before=text_from_ns(before_ns),
        first_seal=seals[0].number,
        last_seal=seals[-1].number,
        from_seq=seals[0].from_seq,
        to_seq=seals[-1].to_seq,
        events=total,
        previous_head=previous_head,
        head=seals[-1].head,
        files=tuple(files),
        seals=seals_for_manifest(seals),
        sums=_sums_for_manifest(store.sums(seals[0].from_seq - 1, seals[-1].to_seq)),
    )
    content = bytes_of_manifest(manifest)
    folder.write_manifest(manifest_name(manifest.number, digest_of_bytes(content)), content)
    return manifest


def _old_seals(
    store: SealStore, done: Sequence[ArchivedRange], before_ns: int
) -> tuple[list[tuple[Seal, ...]], str]:
    """Group the oldest seals by file; the newest of the chain stays, so that seq goes on."""
    last = store.last_seal()
    groups: list[tuple[Seal, ...]] = []
    group: list[Seal] = []
    events = 0
    after_seq = done[-1].to_seq if done else BEFORE_ALL
    previous_head = ""
    for seal in store.seals(after=done[-1].last_seal if done else 0):
        if last is None or seal.number >= last.number:
            break
        if not store.recorded_before(after_seq, seal.to_seq, before_ns):
            break
        previous_head = previous_head or seal.previous_head
        group.append(seal)
        events += seal.events
        after_seq = seal.to_seq
        if events >= FILE_EVENTS:
            groups.append(tuple(group))
            group, events = [], 0
    return ([*groups, tuple(group)] if group else groups), previous_head


def _written(
    store: SealStore, folder: ArchiveFolder, after_seq: int, seals: tuple[Seal, ...]
) -> ArchiveFile:
    name = file_name(seals[0].number, seals[-1].number, seals[-1].head)
    if folder.has(name):  # of a run that was interrupted
        file = _described(folder, name, seals)
        if not _read_again(folder, after_seq, seals, file):
            return file
    folder.write_rows(name, store.sealed_rows(after_seq, seals[-1].to_seq))
    file = _described(folder, name, seals)
    _require_none(_read_again(folder, after_seq, seals, file), "the events to be archived differ")
    return file


def _described(folder: ArchiveFolder, name: str, seals: tuple[Seal, ...]) -> ArchiveFile:
    digest, size = folder.digest(name)
    return ArchiveFile(
        name=name,
        digest=digest,
        bytes=size,
        first_seal=seals[0].number,
        last_seal=seals[-1].number,
        from_seq=seals[0].from_seq,
        to_seq=seals[-1].to_seq,
        events=sum(seal.events for seal in seals),
        head=seals[-1].head,
    )


def _read_again(
    folder: ArchiveFolder, after_seq: int, seals: tuple[Seal, ...], file: ArchiveFile
) -> tuple[Finding, ...]:
    try:
        lines = folder.lines(file.name)
    except LedgerError as error:
        return (Finding(code=FindingCode.ARCHIVE_EDITED, message=str(error)),)
    return check_span(Span(after_seq, seals, file), lines, folder).findings


def _delete(
    store: SealStore, folder: ArchiveFolder, archived: ArchivedRange, on_progress: OnProgress
) -> bool:
    """Delete the rows of an archive whose files are whole; tell whether there were any."""
    left = store.count_rows(archived.from_seq - 1, archived.to_seq)
    if not left:
        return False
    _require_whole(store, folder, archived)
    gone = 0
    while deleted := store.delete_archived(archived, DELETE_SLICE):
        gone += deleted
        on_progress(Phase.DELETING, gone, left)
    return True


def _require_whole(store: SealStore, folder: ArchiveFolder, archived: ArchivedRange) -> None:
    """Hold files and left rows against the seals once more, before anything is deleted."""
    name = manifest_name(archived.number, archived.manifest_digest)
    if not folder.has(name):
        raise LedgerError(
            f"{name} is not in {folder.place}, so nothing is deleted; name the folder of the "
            "earlier run, or bring the file back."
        )
    content = folder.read_manifest(name)
    if digest_of_bytes(content) != archived.manifest_digest:
        raise LedgerError(f"{name} is not the manifest that the ledger wrote down.")
    after_seq = archived.from_seq - 1
    for file, seals in _seals_by_file(store, manifest_from_bytes(content)):
        if not folder.has(file.name):
            raise LedgerError(f"{file.name} is not in {folder.place}, so nothing is deleted.")
        found = _read_again(folder, after_seq, seals, file)
        _require_none(found, "the archive differs")
        for seal in seals:
            rows = store.sealed_rows(after_seq, seal.to_seq)
            differing = [
                finding
                for finding in findings_in_rows(seal, rows)
                if finding.code is not FindingCode.EVENT_DELETED  # by the run that was interrupted
            ]
            _require_none(differing, "the events to be deleted differ")
            after_seq = seal.to_seq


def _seals_by_file(
    store: SealStore, manifest: Manifest
) -> Iterator[tuple[ArchiveFile, tuple[Seal, ...]]]:
    seals = store.seals(after=manifest.first_seal - 1)
    for file in manifest.files:
        yield file, tuple(next(seals) for _ in range(file.first_seal, file.last_seal + 1))


def _require_none(findings: Sequence[Finding], what: str) -> None:
    if findings:
        first = findings[0]
        raise LedgerError(
            f"{what} from their seals, so nothing is deleted: {first.message} (seal {first.seal}, "
            f"seq {first.seq}). `tallygate ledger verify` lists everything."
        )


def _sums_for_manifest(
    sums: Mapping[str, CurrencySum],
) -> Mapping[str, Mapping[str, str | int]]:
    return {
        currency: asdict(one) | {"cost": text_from_amount(one.cost)}
        for currency, one in sums.items()
    }
