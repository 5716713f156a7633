"""
The sealed ledger's wiring: its store, its archive, its anchors, and all cores to verify it.

Shapes  Worker processes are spawned, each with a connection of its own; spans go out a few at a
        time and come back in order, so memory stays flat however long the ledger is.
Errors  As the ledger's own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tallygate.adapters.files.anchors import AnchorFile
from tallygate.adapters.stores.archive_folder import ParquetFolder
from tallygate.adapters.stores.opening import ledger_at
from tallygate.adapters.stores.sealing import SqlSealStore
from tallygate.application.ledger_ports import CheckedSpan, Span
from tallygate.application.verification import Verification, check_span, verify
from tallygate.bootstrap.books import open_ledger
from tallygate.bootstrap.worker_processes import cores, in_processes
from tallygate.errors import LedgerUnavailable
from tallygate.settings import Settings

ANCHOR_FILE: Final = Path("ledger-anchors.yaml")
_INLINE_SPANS: Final = 2
"""So few are checked here: starting a process takes as long."""
_WORKERS_MAX: Final = 8
_SPANS_AHEAD: Final = 2


@dataclass(frozen=True, slots=True)
class SealedLedger:
    """A ledger that is there, and where its archives lie."""

    store: SqlSealStore
    archive: ParquetFolder
    url: str
    archive_folders: tuple[Path, ...]

    def verify(self, anchors: Path | None, on_progress: Callable[[int, int], None]) -> Verification:
        """Check everything, against the anchors of a file or of none."""
        written = () if anchors is None else AnchorFile(anchors).read()
        checker = _PoolChecker(self)
        return verify(self.store, self.archive, written, checker, on_progress)


@contextmanager
def open_sealed_ledger(
    settings: Settings, ledger: str | None, archives: Sequence[Path] = ()
) -> Generator[SealedLedger]:
    """Open a ledger that is there; it is not made, its archives' folders neither."""
    folders = tuple(archives) or (settings.state_folder(Path()) / "archive",)
    with open_ledger(settings, ledger, unhurried=True) as opened:  # all lines, in one sum
        url = ledger or settings.ledger(Path())
        yield SealedLedger(SqlSealStore(opened), ParquetFolder(*folders), url, folders)


def migrate_ledger(settings: Settings, ledger: str | None) -> str:
    """Bring the schema up to date as the role of the address; return the ledger's place."""
    opened = ledger_at(ledger or settings.ledger(Path()), create=True)
    try:
        opened.prepare()
    finally:
        opened.close()
    return opened.place


class _PoolChecker:
    def __init__(self, opened: SealedLedger) -> None:
        self._opened = opened

    def check(self, spans: Iterable[Span]) -> Iterator[CheckedSpan]:
        left = iter(spans)
        first = list(itertools.islice(left, _INLINE_SPANS + 1))
        if len(first) <= _INLINE_SPANS:
            for span in first:
                yield check_span(span, self._opened.store, self._opened.archive)
            return
        try:
            yield from self._in_processes(itertools.chain(first, left))
        except BrokenProcessPool as error:
            raise LedgerUnavailable(
                "a process that verified was ended from outside, perhaps for want of memory; "
                "run verify again."
            ) from error

    def _in_processes(self, spans: Iterator[Span]) -> Iterator[CheckedSpan]:
        return in_processes(
            _check_in_worker,
            spans,
            min(_WORKERS_MAX, cores()),
            ahead=_SPANS_AHEAD,
            prepare=_open_in_worker,
            prepared_with=(self._opened.url, self._opened.archive_folders),
        )


_OPENED_IN_WORKER: list[tuple[SqlSealStore, ParquetFolder]] = []


def _open_in_worker(url: str, archive_folders: tuple[Path, ...]) -> None:
    ledger = ledger_at(url, create=False, unhurried=True)
    _OPENED_IN_WORKER[:] = [(SqlSealStore(ledger), ParquetFolder(*archive_folders))]


def _check_in_worker(span: Span) -> CheckedSpan:
    store, archive = _OPENED_IN_WORKER[0]
    return check_span(span, store, archive)
