"""
The books' wiring: a ledger to read, and a drain that runs until it is told to stop.

Errors  SettingsInvalid, SpoolError, LedgerError and PoliciesInvalid leave it as they are; a drain
        that runs on waits out LedgerUnavailable.
"""

from __future__ import annotations

import gc
import logging
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from tallygate.adapters.files.rule_books import RuleBookFolder
from tallygate.adapters.spool.reader import SegmentReader
from tallygate.adapters.stores.opening import StoredLedger, ledger_at
from tallygate.application.drain import Drain, DrainReport, Notice, Step, drain_batches
from tallygate.bootstrap.drain_sealing import DrainSealing
from tallygate.errors import LedgerUnavailable
from tallygate.settings import Settings

log = logging.getLogger("tallygate.drain")

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class DrainPlaces:
    """Where a drain reads, prices and writes."""

    spool: Path
    ledger_url: str
    policies: Path

    @classmethod
    def chosen(
        cls, settings: Settings, *, spool: Path | None, ledger: str | None, policies: Path | None
    ) -> DrainPlaces:
        """Take what the caller names, else what the environment says, else the defaults."""
        here = Path()
        return cls(
            spool=spool or settings.spool_folder(here),
            ledger_url=ledger or settings.ledger(here),
            policies=policies or settings.policies_folder(here),
        )


@contextmanager
def open_ledger(
    settings: Settings, ledger: str | None = None, *, unhurried: bool = False
) -> Generator[StoredLedger]:
    """Open a ledger that is there, to read it; a reader never makes one."""
    url = ledger or settings.ledger(Path())
    with closing(ledger_at(url, create=False, unhurried=unhurried)) as opened:
        try:
            opened.prepare()
        except LedgerUnavailable as error:
            raise LedgerUnavailable(
                f"{error} Name another with --ledger, TALLYGATE_LEDGER_URL or TALLYGATE_STATE; "
                "a new one is made by the drain with the first event."
            ) from error
        yield opened


def drain_what_is_there(
    places: DrainPlaces, on_batch: Callable[[DrainReport], None] = lambda _: None
) -> DrainReport:
    """Make one pass over the spool; LedgerUnavailable ends it, and nothing is lost."""
    report = DrainReport()
    with _opened(places) as (reader, ledger, books):
        ledger.prepare()
        for done in drain_batches(reader, ledger, books):
            report = report.plus(done)
            _tell_batch(reader, done)
            on_batch(report)
        _tell_faults(reader)
        DrainSealing(ledger).at_the_end()
    return report


def follow_spool(places: DrainPlaces, *, until_idle: bool) -> None:
    """Drain until SIGTERM or SIGINT, which let a batch finish, or until all writers are gone."""
    with _opened(places) as (reader, ledger, books), _stopped_by_signal() as stop:
        try:
            ledger.prepare()
        except LedgerUnavailable as error:
            log.info("ledger_not_ready %s", error)
        log.info("drain_started spool=%s ledger=%s", places.spool, ledger.place)
        drain, sealing = Drain(reader, ledger, books), DrainSealing(ledger)
        while not stop.is_set():
            step = drain.step(stop.is_set)
            _tell_batch(reader, step.report)
            _tell_notice(step)
            if not step.reason:
                sealing.after_batch(step.report.inserted, stop.is_set)
            if until_idle and step.finished:
                break
            stop.wait(step.wait_ms / 1000)
        sealing.at_the_end()
        log.info("drain_ended")


@contextmanager
def _opened(
    places: DrainPlaces,
) -> Iterator[tuple[SegmentReader, StoredLedger, RuleBookFolder]]:
    # Books first: entries must not be booked without a price because of a broken file.
    books = RuleBookFolder(places.policies)
    spare_the_collector()
    with (
        closing(ledger_at(places.ledger_url)) as ledger,
        closing(SegmentReader(places.spool)) as reader,
    ):
        yield reader, ledger, books


def spare_the_collector() -> None:
    """
    Let Python's collector look less often, and not at what stays.

    A batch is some hundred thousand objects that refer to one another in no ring, and are freed
    without it; at its usual pace it takes a third of the drain's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@contextmanager
def _stopped_by_signal() -> Iterator[threading.Event]:
    stop = threading.Event()

    def heard(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, heard) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell_batch(reader: SegmentReader, report: DrainReport) -> None:
    _tell_faults(reader)
    for event_id in report.conflicts:
        log.error("event_conflict event_id=%s kept_in=event_conflicts", event_id)
    for event_id in report.rejected:
        log.error("entry_rejected event_id=%s kept_in=rejected_entries", event_id)
    if report.unknown:
        log.warning("attempts_unknown count=%d reason=writer_gone", report.unknown)


def _tell_faults(reader: SegmentReader) -> None:
    faults, reader.faults = reader.faults, []
    for fault in faults:
        log.error("%s %s", fault.code, fault)


def _tell_notice(step: Step) -> None:
    if step.notice in {Notice.LEDGER_UNAVAILABLE, Notice.SPOOL_FULL}:
        log.error("%s next_try_in_ms=%d %s", step.notice, step.wait_ms, step.reason)
    elif step.notice is not None:
        log.warning("%s", step.notice)
