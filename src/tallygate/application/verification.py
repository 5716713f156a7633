"""
Prove the ledger, and write down where its chain stands.

Every line is held against its seal, every seal against the one before, the chain against anchors.

Shapes  Lines come from the database or, where they were archived, from files that the manifest
        names. Spans of seals are checked wherever the checker likes; the chain itself here.
Errors  LedgerUnavailable when an archive was or is made meanwhile: nothing can be said, run again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tallygate.application.ledger_ports import (
    Anchors,
    ArchiveFolder,
    CheckedSpan,
    SealedLines,
    SealStore,
    Span,
    SpanChecker,
)
from tallygate.application.sealing import SEALS_BEHIND_NS, seals_behind_ns
from tallygate.domain.kernel.digests import digest_of_bytes
from tallygate.domain.kernel.instants import text_from_ns
from tallygate.domain.ledger.archives import (
    ArchivedRange,
    ArchiveFile,
    Manifest,
    manifest_from_bytes,
    manifest_name,
    range_of,
)
from tallygate.domain.ledger.findings import (
    Anchor,
    Finding,
    FindingCode,
    findings_in_anchors,
    findings_in_inputs,
    findings_in_link,
    findings_in_rows,
)
from tallygate.domain.ledger.sealed_rows import seq_of
from tallygate.domain.ledger.seals import BEFORE_ALL, Seal
from tallygate.errors import LedgerError, LedgerUnavailable

SPAN_EVENTS: Final = 20_000
READ_EVENTS: Final = 5_000
"""What a worker reads and holds at a time, 25 MB of rows or so."""
_NS_PER_MINUTE: Final = 60_000_000_000
FINDINGS_MAX: Final = 1000
"""More are counted, not kept; a ledger that was emptied has a million."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was proven, and what was not."""

    seals: int
    events: int
    """Sealed events, archived ones included."""
    archived: int
    last_seq: int | None
    head: str | None
    unsealed: int
    """Events behind the last seal: not protected yet."""
    anchors: int
    anchored_events: int
    findings: tuple[Finding, ...]
    more_findings: int

    @property
    def holds(self) -> bool:
        return not self.findings


class _Findings:
    def __init__(self) -> None:
        self.kept: list[Finding] = []
        self.more = 0

    def add(self, found: Sequence[Finding]) -> None:
        room = FINDINGS_MAX - len(self.kept)
        self.kept.extend(found[:room])
        self.more += max(0, len(found) - room)


class _Chain:
    """Walks the seals once: links, heads for the anchors, and spans for the checker."""

    def __init__(
        self, store: SealStore, files: Mapping[int, ArchiveFile | None], findings: _Findings
    ) -> None:
        self._store = store
        self._files = files
        self._findings = findings
        self.last: Seal | None = None
        self.archived: Seal | None = None
        """The last one whose events are said to be in files."""
        self.seals = 0
        self.events = 0
        self.heads: dict[int, tuple[str, int, int]] = {}

    def spans(self) -> Iterator[Span]:
        waiting: list[Seal] = []
        after_seq, events = BEFORE_ALL, 0
        file: ArchiveFile | None = None
        for seal in self._store.seals():
            gap = seal.number != (self.last.number + 1 if self.last else 1)
            known = self._files.get(seal.number) if seal.number in self._files else None
            if waiting and (gap or events >= SPAN_EVENTS or known != file):
                yield Span(after_seq, tuple(waiting), file)
                waiting, events = [], 0
            self._findings.add(findings_in_link(seal, self.last))
            if not waiting:
                file = known
                after_seq = self._start(seal, gap=gap)
            lost = seal.number in self._files and known is None
            if not lost:  # its archive is a finding already
                waiting.append(seal)
                events += seal.events
            self._passed(seal)
        if waiting:
            yield Span(after_seq, tuple(waiting), file)

    def _start(self, seal: Seal, *, gap: bool) -> int:
        if gap or self.last is None:
            return seal.from_seq - 1 if gap else BEFORE_ALL
        return self.last.to_seq

    def _passed(self, seal: Seal) -> None:
        self.last = seal
        if seal.number in self._files:
            self.archived = seal
        self.seals += 1
        self.events += seal.events
        self.heads[seal.number] = (seal.head, seal.chain_events, seal.to_seq)


def verify(
    store: SealStore,
    archive: ArchiveFolder,
    anchors: Sequence[Anchor],
    checker: SpanChecker,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Verification:
    """Check everything; `on_progress` hears how many events of how many are done."""
    findings = _Findings()
    ranges = store.archives()
    newest = store.last_seal()
    left_at_first = _count_left(store, ranges)
    files = _archived_files(archive, ranges, newest.number if newest else 0, findings)
    chain = _Chain(store, files, findings)
    done = 0
    for checked in checker.check(chain.spans()):
        findings.add(checked.findings)
        done += checked.events
        on_progress(done, newest.chain_events if newest else 0)
    unfinished = _left_rows(store, chain)
    if unfinished and (_count_left(store, ranges) < left_at_first or archive.is_held()):
        raise LedgerUnavailable(
            "an archive is running and deletes what it has moved; run verify again when it is done."
        )
    findings.add(unfinished)
    findings.add(_behind(store))
    findings.add(findings_in_inputs(store.inputs()))
    findings.add(findings_in_anchors(anchors, chain.heads))
    if list(store.archives()) != list(ranges):
        raise LedgerUnavailable("events were archived while they were verified; run verify again.")
    last = chain.last
    return Verification(
        seals=chain.seals,
        events=chain.events,
        archived=sum(archived.events for archived in ranges),
        last_seq=last.to_seq if last else None,
        head=last.head if last else None,
        unsealed=store.count_rows(last.to_seq if last else BEFORE_ALL),
        anchors=len(anchors),
        anchored_events=max((anchor.events for anchor in anchors), default=0),
        findings=tuple(findings.kept),
        more_findings=findings.more,
    )


def _archived_files(
    archive: ArchiveFolder, ranges: Sequence[ArchivedRange], seals: int, findings: _Findings
) -> dict[int, ArchiveFile | None]:
    """Map each archived seal to its file; to None where there is none, which is a finding."""
    files: dict[int, ArchiveFile | None] = {}
    for archived in ranges:
        own = range(max(archived.first_seal, 1), min(archived.last_seal, seals) + 1)
        files.update(dict.fromkeys(own))
        manifest = _manifest(archive, archived, findings)
        if manifest is None:
            continue
        unnamed = set(own)
        for file in manifest.files:
            covered = [number for number in own if file.first_seal <= number <= file.last_seal]
            unnamed.difference_update(covered)
            if archive.has(file.name):
                files.update(dict.fromkeys(covered, file))
                continue
            message = (
                f"{file.name} of archive {archived.number} is not in {archive.place}; bring it "
                "back or name its folder with --archive"
            )
            findings.add([_about_archive(FindingCode.ARCHIVE_MISSING, archived, message)])
        if unnamed:
            message = f"the manifest names no file for seal {min(unnamed)}"
            findings.add([_about_archive(FindingCode.ARCHIVE_EDITED, archived, message)])
    return files


def _count_left(store: SealStore, ranges: Sequence[ArchivedRange]) -> int:
    last = max((archived.to_seq for archived in ranges), default=None)
    return 0 if last is None else store.count_rows(BEFORE_ALL, last)


def _left_rows(store: SealStore, chain: _Chain) -> list[Finding]:
    """Find what stands in the database up to the last seal that is said to be archived."""
    if chain.archived is None:
        return []
    left = store.count_rows(BEFORE_ALL, chain.archived.to_seq)
    if not left:
        return []
    message = (
        f"{left} events up to seq {chain.archived.to_seq} are archived and still stand in the "
        "database, where reports count them; run `tallygate ledger archive` again to finish"
    )
    return [
        Finding(
            code=FindingCode.ARCHIVE_UNFINISHED,
            message=message,
            seal=chain.archived.number,
            seq=chain.archived.to_seq,
        )
    ]


def _behind(store: SealStore) -> list[Finding]:
    """Find that nobody seals: whoever deletes every seal would look like that too."""
    last = store.last_seal()  # as of now: a drain may have sealed meanwhile
    waited_ns = seals_behind_ns(store, last)
    if waited_ns is None:
        return []
    message = (
        f"an event has no seal {waited_ns // _NS_PER_MINUTE} minutes after it was booked, and a "
        f"drain seals within {SEALS_BEHIND_NS // _NS_PER_MINUTE}: nobody seals, or seals were "
        "deleted; see the drain's log for events_not_sealed, then run `tallygate ledger seal`"
    )
    return [
        Finding(
            code=FindingCode.SEALS_BEHIND,
            message=message,
            seal=last.number if last else None,
            seq=last.to_seq if last else None,
        )
    ]


def _manifest(
    archive: ArchiveFolder, archived: ArchivedRange, findings: _Findings
) -> Manifest | None:
    name = manifest_name(archived.number, archived.manifest_digest)
    if not archive.has(name):
        message = (
            f"{name} is not in {archive.place}; bring it back or name its folder with --archive"
        )
        findings.add([_about_archive(FindingCode.ARCHIVE_MISSING, archived, message)])
        return None
    content = archive.read_manifest(name)
    if digest_of_bytes(content) == archived.manifest_digest:
        try:
            manifest = manifest_from_bytes(content)
        except ValueError:
            manifest = None  # a line of `archives` that somebody made up, for a file of his own
        if manifest is not None and range_of(manifest) == archived:
            return manifest
    message = f"{name} is not the manifest that the ledger wrote down"
    findings.add([_about_archive(FindingCode.ARCHIVE_EDITED, archived, message)])
    return None


def _about_archive(code: FindingCode, archived: ArchivedRange, message: str) -> Finding:
    return Finding(
        code=code,
        message=message,
        seal=archived.first_seal,
        seq=archived.from_seq,
        place=manifest_name(archived.number, archived.manifest_digest),
    )


def check_span(span: Span, store: SealedLines, archive: ArchiveFolder) -> CheckedSpan:
    """Compare the rows of each seal of a span with it."""
    findings: list[Finding] = []
    lines = store
    if span.file is not None:
        name = span.file.name
        if archive.digest(name) != (span.file.digest, span.file.bytes):
            message = f"{name} is not the file that the manifest names"
            findings.append(
                Finding(
                    code=FindingCode.ARCHIVE_EDITED,
                    message=message,
                    seal=span.file.first_seal,
                    seq=span.file.from_seq,
                    place=name,
                )
            )
        try:
            lines = archive.lines(name)
        except LedgerError:
            assert findings, name  # its bytes are those that were read when they were written
            return CheckedSpan(span.events, tuple(findings))
    place = span.file.name if span.file else None
    after_seq = span.after_seq
    for seals in _read_together(span.seals):
        ends = [seal.to_seq for seal in seals]  # in any order, where somebody forged one
        rows = lines.sealed_rows(min(after_seq, *ends), max(ends))
        seqs = [seq_of(row) for row in rows]
        for seal in seals:
            own = slice(bisect_right(seqs, after_seq), bisect_right(seqs, seal.to_seq))
            findings.extend(findings_in_rows(seal, rows[own], place))
            after_seq = seal.to_seq
    return CheckedSpan(span.events, tuple(findings))


def _read_together(seals: Sequence[Seal]) -> Iterator[list[Seal]]:
    """Group seals whose rows are read at once: a seal of a quiet minute holds one event."""
    group: list[Seal] = []
    events = 0
    for seal in seals:
        if group and (events + seal.events > READ_EVENTS or len(group) == READ_EVENTS):
            yield group
            group, events = [], 0
        group.append(seal)
        events += seal.events
    if group:
        yield group


class InlineChecker:
    """Checks one span after the other, here."""

    def __init__(self, store: SealedLines, archive: ArchiveFolder) -> None:
        self._store = store
        self._archive = archive

    def check(self, spans: Iterator[Span]) -> Iterator[CheckedSpan]:
        return (check_span(span, self._store, self._archive) for span in spans)


@dataclass(frozen=True, slots=True)
class Anchored:
    """What `anchor` did. Without an anchor there was nothing to write, or findings forbid it."""

    anchor: Anchor | None
    findings: tuple[Finding, ...] = ()
    is_new: bool = True


def anchor_head(store: SealStore, anchors: Anchors) -> Anchored:
    """
    Write the chain's head down, unless the chain contradicts itself or what was written before.

    Only seals are read; whether the lines still agree with them is for `verify`.
    """
    chain = _Chain(store, {}, findings := _Findings())
    for _ in chain.spans():
        pass
    written = anchors.read()
    findings.add(findings_in_anchors(written, chain.heads))
    if chain.last is None or findings.kept:
        return Anchored(None, tuple(findings.kept))
    anchor = Anchor(
        at=text_from_ns(store.now_ns()),
        seals=chain.last.number,
        events=chain.last.chain_events,
        last_seq=chain.last.to_seq,
        head=chain.last.head,
    )
    if written and written[-1].head == anchor.head:
        return Anchored(written[-1], is_new=False)
    anchors.append(anchor)
    return Anchored(anchor)
