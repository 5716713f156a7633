"""
What sealing, verification, archiving and erasure need from the world.

Each port has one contract suite in tests/contract, which every adapter and its fake must pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from tallygate.domain.ledger.archives import ArchivedRange, ArchiveFile
from tallygate.domain.ledger.findings import Anchor, Finding
from tallygate.domain.ledger.sealed_rows import SealedRow
from tallygate.domain.ledger.seals import Seal


@dataclass(frozen=True, slots=True)
class CurrencySum:
    """The lines of one currency; those without a price are counted, never summed as 0."""

    cost: Decimal
    events: int
    unpriced: int


class SealedLines(Protocol):
    """Lines as they were sealed, from the database or from an archive's file."""

    def sealed_rows(
        self, after_seq: int, to_seq: int, limit: int | None = None
    ) -> Sequence[SealedRow]:
        """Return what stands behind `after_seq` and up to `to_seq`, in the order of seq."""
        ...


class SealStore(SealedLines, Protocol):
    """The ledger's chain of seals, and the lines under it."""

    def now_ns(self) -> int:
        """Read the store's clock."""
        ...

    def settled_seq(self) -> int | None:
        """Return the greatest seq below which nothing will appear any more; None when empty."""
        ...

    def last_seal(self) -> Seal | None: ...

    def seals(self, after: int = 0) -> Iterator[Seal]:
        """Read the seals with a greater number, in order."""
        ...

    def add_seal(self, seal: Seal) -> bool:
        """Append it; False where another sealer came first."""
        ...

    def count_rows(self, after_seq: int, to_seq: int | None = None) -> int: ...

    def sums(
        self, after_seq: int | None = None, to_seq: int | None = None
    ) -> Mapping[str, CurrencySum]:
        """Sum the lines of a range, or all, by currency."""
        ...

    def recorded_before(self, after_seq: int, to_seq: int, before_ns: int) -> bool:
        """Tell whether every line of a range was booked before an instant."""
        ...

    def first_recorded_ns(self, after_seq: int) -> int | None:
        """Tell when the earliest line behind a seq was booked; None where there is none."""
        ...

    def inputs(self) -> Iterator[tuple[str, str]]:
        """Read the recorded inputs as they are stored: digest and text."""
        ...

    def archives(self) -> Sequence[ArchivedRange]: ...

    def add_archive(self, archived: ArchivedRange) -> None:
        """Write down that the range is in files, from when on its lines may be deleted."""
        ...

    def delete_archived(self, archived: ArchivedRange, limit: int) -> int:
        """Delete at most so many lines of the range; return how many went."""
        ...


class Subjects(Protocol):
    """Who the surrogates stand for."""

    def surrogate_of(self, subject: str) -> str | None:
        """Find the surrogate by the person's hash or by itself; None when nobody is known."""
        ...

    def count_lines(self, surrogate: str) -> int: ...

    def forget(self, surrogate: str) -> None:
        """Delete the row."""
        ...

    def purge(self) -> bool:
        """Let the bytes of deleted rows leave the files; False while somebody is in the way."""
        ...


class ArchiveFolder(Protocol):
    """Files of old lines with their manifests."""

    @property
    def place(self) -> str: ...

    def one_writer(self) -> AbstractContextManager[None]:
        """Hold the folder; LedgerUnavailable when somebody else does."""
        ...

    def is_held(self) -> bool:
        """Tell whether somebody holds it, as far as this machine knows."""
        ...

    def write_rows(self, name: str, rows: Sequence[SealedRow]) -> None:
        """Write a file durably: after this it survives a power loss."""
        ...

    def has(self, name: str) -> bool: ...

    def lines(self, name: str) -> SealedLines:
        """Open a file that was written; LedgerError when it cannot be read as one."""
        ...

    def digest(self, name: str) -> tuple[str, int]:
        """Return the digest of a file's bytes, and how many they are."""
        ...

    def write_manifest(self, name: str, content: bytes) -> None: ...

    def read_manifest(self, name: str) -> bytes: ...


class Anchors(Protocol):
    """The file, meant for git, in which heads are kept outside the database."""

    @property
    def place(self) -> str: ...

    def read(self) -> Sequence[Anchor]:
        """Return what was written down, oldest first; nothing where there is no file."""
        ...

    def append(self, anchor: Anchor) -> None: ...


@dataclass(frozen=True, slots=True)
class Span:
    """Seals whose rows lie together: in the database, or in one file of an archive."""

    after_seq: int
    seals: tuple[Seal, ...]
    file: ArchiveFile | None = None

    @property
    def events(self) -> int:
        return sum(seal.events for seal in self.seals)


@dataclass(frozen=True, slots=True)
class CheckedSpan:
    """What one look at a span found."""

    events: int
    findings: tuple[Finding, ...]


class SpanChecker(Protocol):
    """Looks at spans, in any order, and takes no more of them than it works on."""

    def check(self, spans: Iterable[Span]) -> Iterator[CheckedSpan]: ...
