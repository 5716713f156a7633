"""
The provider's book beside the ledger: how many calls each has, and whether they are the same.

Shapes  A call is joined by the trace id that its client gave it, wherever both have it; the
        counts are compared whether they have it or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from tallygate.adapters.stores.opening import ledger_at
from tallygate.application.ports import EventFilter
from tallygate.domain.ledger.events import NOT_SENT

SENT_AGAIN = "sent_again"


@dataclass(frozen=True, slots=True)
class Compared:
    """What one side has and the other has not, since the last time."""

    provider: int
    attempts: int
    statuses: Mapping[str, int]
    missing: tuple[str, ...] = ()
    """Traces of which the provider got more calls than the ledger has attempts."""
    extra: tuple[str, ...] = ()
    sent_again: int = 0
    """Attempts that a client library repeated on a connection that had just been closed."""
    total: int = 0
    """Attempts in the whole ledger, by its own count."""
    faults: tuple[str, ...] = field(default=())

    @property
    def unknown(self) -> int:
        return self.statuses.get("unknown", 0)

    @property
    def settled(self) -> int:
        return self.attempts - self.unknown

    @property
    def same(self) -> bool:
        return not (self.missing or self.extra or self.faults) and self.provider == self.attempts

    def __str__(self) -> str:
        return (
            f"provider {self.provider}, ledger {self.attempts} {dict(self.statuses)}, "
            f"missing {list(self.missing)}, extra {list(self.extra)}, "
            f"sent again {self.sent_again}, faults {list(self.faults)}"
        )


class Books:
    """Reads a ledger from where it was read to before."""

    def __init__(self, ledger_url: str) -> None:
        self._url = ledger_url
        self._seen: set[str] = set()
        self.writers: set[str] = set()

    def attempts(self) -> list[dict[str, Any]]:
        """Return the attempts at a provider that were booked since the last time."""
        with closing(ledger_at(self._url)) as ledger:
            ledger.prepare()
            found = [
                dict(row)
                for row in ledger.rows(EventFilter(equals={"kind": "attempt"}))
                if row["status"] != "cache_hit" and row["detail"] != NOT_SENT
            ]
        return [row for row in found if row["event_id"] not in self._seen]

    def compare(self, calls: Iterable[Mapping[str, Any]], alarms: Sequence[str] = ()) -> Compared:
        """Hold what was booked since the last time against these calls of the stand-in's book."""
        billed = [call for call in calls if not _is_of_litellm_itself(call)]
        attempts = self.attempts()
        with closing(ledger_at(self._url)) as ledger:
            total, rejected = ledger.count_attempts(), ledger.count_rejected()
        faults = [*alarms, *([f"{rejected} rejected entries"] if rejected else [])]
        ids = Counter(row["event_id"] for row in attempts)
        faults += [f"{event_id} stands {n} times" for event_id, n in ids.items() if n > 1]
        self._seen |= ids.keys()
        self.writers |= {row["writer_id"] for row in attempts}
        if total != len(self._seen):
            faults.append(f"count_attempts says {total}, and {len(self._seen)} were read")
        there = Counter(filter(None, map(_trace_of_call, billed)))
        here = Counter(row["trace_id"] for row in attempts)
        traced = len(billed) == there.total()
        return Compared(
            provider=len(billed),
            attempts=len(attempts),
            statuses=Counter(row["status"] for row in attempts),
            missing=tuple(sorted((there - here).elements())),
            extra=tuple(sorted((here - there).elements())) if traced else (),
            sent_again=sum(row["detail"] == SENT_AGAIN for row in attempts),
            total=total,
            faults=tuple(faults),
        )


def _is_of_litellm_itself(call: Mapping[str, Any]) -> bool:
    return bool(call["method"] == "GET" and call["path"] == "/v1/models")


def _trace_of_call(call: Mapping[str, Any]) -> str | None:
    parts = str(call["headers"].get("traceparent", "")).split("-")
    return parts[1] if len(parts) == 4 else None
