"""
The drain seals what it booked: at its start, then once a minute, and before it leaves.

A drain whose role may not seal, or whose ledger is out of reach just then, says so once and goes
on: an event that is not sealed is booked all the same, and `tallygate ledger seal` does it later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from tallygate.adapters.stores.opening import StoredLedger
from tallygate.adapters.stores.sealing import SqlSealStore
from tallygate.application.sealing import SealSchedule, seal_due
from tallygate.errors import LedgerError

_LAST_NS: Final = 5 * 1_000_000_000

log = logging.getLogger("tallygate.drain")


class DrainSealing:
    """Seals beside a drain, over the drain's own ledger."""

    def __init__(self, ledger: StoredLedger, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._store = SqlSealStore(ledger)
        self._schedule = SealSchedule()
        self._now_ns = now_ns
        self._failed = False

    def after_batch(self, inserted: int, stop: Callable[[], bool] = lambda: False) -> None:
        """Note what was booked, and seal if it is time."""
        self._schedule.noted(inserted)
        self._seal(stop)

    def at_the_end(self) -> None:
        """Seal what is left, as far as a few seconds go."""
        self._schedule = SealSchedule()
        until_ns = self._now_ns() + _LAST_NS
        self._seal(lambda: self._now_ns() > until_ns)

    def _seal(self, stop: Callable[[], bool]) -> None:
        now_ns = self._now_ns()
        try:
            report = seal_due(self._store, self._schedule, now_ns, stop=stop)
        except LedgerError as error:
            self._schedule.put_off(now_ns)
            if not self._failed:
                log.warning("events_not_sealed %s", error)
            self._failed = True
            return
        if report is None:
            return
        self._failed = False
        if report.events and report.last:
            log.info(
                "events_sealed events=%d seal=%d head=%s",
                report.events,
                report.last.number,
                report.last.head,
            )
