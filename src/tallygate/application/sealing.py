"""
Seal what the ledger holds: batches in the order of ingest, each chained to the one before.

What is not sealed yet can be changed unseen, so the drain seals as it goes, every so often.

Shapes  `seal_events` takes all that is settled. `SealSchedule` says when it is time again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tallygate.application.ledger_ports import SealStore
from tallygate.domain.ledger.seals import BEFORE_ALL, SEAL_EVENTS_MAX, Seal, seal_of

SEAL_EVERY_NS: Final = 60 * 1_000_000_000
SEAL_EVENTS: Final = 50_000
"""Far more than the calls of a minute, so that a drain with much to catch up does that first."""

SEALS_BEHIND_NS: Final = 10 * SEAL_EVERY_NS
"""So long without a seal and nobody seals, or nobody may."""


@dataclass(frozen=True, slots=True)
class SealReport:
    """What was sealed just now, and where the chain stands."""

    seals: int
    events: int
    last: Seal | None


def seal_events(
    store: SealStore,
    on_sealed: Callable[[int], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> SealReport:
    """Seal every settled event that has none; `on_sealed` hears how many, seal by seal."""
    last = store.last_seal()
    seals = events = 0
    to_seq = store.settled_seq()
    while to_seq is not None and not stop():
        after_seq = last.to_seq if last else BEFORE_ALL
        rows = store.sealed_rows(after_seq, to_seq, SEAL_EVENTS_MAX)
        if not rows:
            break
        seal = seal_of(rows, last, store.now_ns())
        if not store.add_seal(seal):
            last = store.last_seal()  # another sealer was faster; go on behind it
            continue
        last = seal
        seals += 1
        events += seal.events
        on_sealed(events)
    return SealReport(seals, events, last)


class SealSchedule:
    """When a drain seals: after so many events, or so long after it sealed last."""

    def __init__(self, *, every_ns: int = SEAL_EVERY_NS, events: int = SEAL_EVENTS) -> None:
        self._every_ns = every_ns
        self._events = events
        self._waiting = 0
        self._sealed_at_ns: int | None = None

    def noted(self, inserted: int) -> None:
        """Count what was booked."""
        self._waiting += inserted

    def is_due(self, now_ns: int) -> bool:
        """Tell whether to seal; at the start always, for what an earlier drain left."""
        if self._sealed_at_ns is None or self._waiting >= self._events:
            return True
        return self._waiting > 0 and now_ns - self._sealed_at_ns >= self._every_ns

    def sealed(self, now_ns: int) -> None:
        """Begin to count anew."""
        self._waiting = 0
        self._sealed_at_ns = now_ns

    def put_off(self, now_ns: int) -> None:
        """Try again after a while, whatever is booked until then."""
        self._waiting = 1
        self._sealed_at_ns = now_ns


def seal_due(
    store: SealStore,
    schedule: SealSchedule,
    now_ns: int,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> SealReport | None:
    """Seal where the schedule says so; None where it does not."""
    if not schedule.is_due(now_ns):
        return None
    report = seal_events(store, stop=stop)
    schedule.sealed(now_ns)
    return report


def seals_behind_ns(store: SealStore, last: Seal | None) -> int | None:
    """Tell how long the oldest event without a seal has waited, where that is far too long."""
    booked_ns = store.first_recorded_ns(last.to_seq if last else BEFORE_ALL)
    if booked_ns is None:
        return None
    waited_ns = store.now_ns() - booked_ns
    return waited_ns if waited_ns > SEALS_BEHIND_NS else None
