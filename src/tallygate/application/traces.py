"""
One trace out of the ledger: its calls, their attempts, what each cost and what they cost together.

Shapes  Rows of a ledger -> `Trace`. A correction is no attempt of its own: its facts stand in the
        place of the attempt that it corrects, and its cost is added to that attempt's.
Units   Dollars; a cost in another currency is not converted, its attempt counts as unpriced.
Exact   The total is the sum of the attempts that have a cost, and nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from tallygate.application.ports import EventFilter, Ledger
from tallygate.domain.kernel.money import exact_arithmetic
from tallygate.domain.ledger.events import EventKind

CURRENCY: Final = "USD"
SHARED_FIELDS: Final = ("owner_team", "workflow_id", "feature", "tenant_id_hash", "user_id_hash")
"""What a trace says of itself where all of its lines say the same."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TracedAttempt:
    """One try at a provider; `row` is the newest that the ledger knows about it."""

    event_id: str
    row: Row
    cost: Decimal | None
    unpriced_reason: str | None
    corrections: tuple[str, ...] = ()
    """Ids of the events that corrected it."""


@dataclass(frozen=True, slots=True)
class TracedCall:
    """One client request; `parent` is the call of this trace that caused it, if it is known."""

    call_id: str
    parent: str | None
    attempts: tuple[TracedAttempt, ...]
    refusals: tuple[Row, ...]

    @property
    def started_at_ns(self) -> int:
        rows = [attempt.row for attempt in self.attempts] or list(self.refusals)
        return min(int(row["occurred_at_ns"]) for row in rows)


@dataclass(frozen=True, slots=True)
class Trace:
    """All that the ledger knows under one trace id; a parent stands before its children."""

    trace_id: str
    calls: tuple[TracedCall, ...]
    shared: Mapping[str, str | None]
    """`SHARED_FIELDS`; None where nothing is known or the lines differ."""
    differing: tuple[str, ...]
    """Those of `SHARED_FIELDS` in which the lines differ."""

    @property
    def attempts(self) -> Iterator[TracedAttempt]:
        return (attempt for call in self.calls for attempt in call.attempts)

    @property
    def refusals(self) -> Iterator[Row]:
        return (row for call in self.calls for row in call.refusals)

    @property
    def total(self) -> Decimal:
        return total_of(self.attempts)

    @property
    def unpriced(self) -> int:
        """How many attempts have no known cost."""
        return sum(attempt.cost is None for attempt in self.attempts)


def total_of(attempts: Iterable[TracedAttempt]) -> Decimal:
    """Add up what is known, exactly."""
    with exact_arithmetic():
        return sum((a.cost for a in attempts if a.cost is not None), Decimal(0))


def trace_in(ledger: Ledger, trace_id: str) -> Trace | None:
    """Read a trace; None when the ledger has no line of it."""
    rows = list(ledger.rows(EventFilter(trace_id=trace_id)))
    if not rows:
        return None
    rows.sort(key=lambda row: (row["occurred_at_ns"], row["event_id"]))
    values = {name: {row[name] for row in rows} - {None} for name in SHARED_FIELDS}
    return Trace(
        trace_id=trace_id,
        calls=tuple(_parents_first(_calls_in(rows))),
        shared={
            name: next(iter(found)) if len(found) == 1 else None for name, found in values.items()
        },
        differing=tuple(name for name, found in values.items() if len(found) > 1),
    )


def _calls_in(rows: Sequence[Row]) -> list[TracedCall]:
    known = {row["event_id"] for row in rows}
    corrections: defaultdict[str, list[Row]] = defaultdict(list)
    lines: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        corrected = row["corrects_event_id"]
        if row["kind"] == EventKind.CORRECTION and corrected in known:
            corrections[corrected].append(row)
        else:
            lines[row["call_id"]].append(row)
    calls = {row["call_id"]: row["parent_call_id"] for row in reversed(rows)}
    return [
        TracedCall(
            call_id=call_id,
            parent=calls[call_id] if calls[call_id] in calls else None,
            attempts=tuple(
                _attempt_of(row, corrections[row["event_id"]])
                for row in sorted(of_call, key=_attempt_order)
                if row["kind"] != EventKind.REFUSAL
            ),
            refusals=tuple(row for row in of_call if row["kind"] == EventKind.REFUSAL),
        )
        for call_id, of_call in lines.items()
    ]


def _attempt_order(row: Row) -> tuple[int, int, str]:
    return row["attempt_number"] or 0, row["occurred_at_ns"], row["event_id"]


def _attempt_of(row: Row, corrections: Sequence[Row]) -> TracedAttempt:
    newest_last = sorted(corrections, key=lambda correction: correction["seq"])
    facts = newest_last[-1] if newest_last else row
    lines = [row, *newest_last]
    # An attempt that was unknown and was then corrected is known; a foreign currency never is.
    costs = [line["cost"] for line in lines if line["cost"] is not None]
    foreign = next((line["currency"] for line in lines if _is_foreign(line)), None)
    known = bool(costs) and foreign is None
    with exact_arithmetic():
        cost = sum(costs, Decimal(0)) if known else None
    reason = f"currency_{foreign}" if foreign else facts["unpriced_reason"]
    return TracedAttempt(
        event_id=row["event_id"],
        row=facts,
        cost=cost,
        unpriced_reason=None if known else reason,
        corrections=tuple(correction["event_id"] for correction in newest_last),
    )


def _is_foreign(row: Row) -> bool:
    return bool(row["cost"]) and row["currency"] != CURRENCY


def _parents_first(calls: Sequence[TracedCall]) -> Iterator[TracedCall]:
    """Order calls as a tree is read; callers name the parents, so circles are cut open."""
    children: defaultdict[str | None, list[TracedCall]] = defaultdict(list)
    for call in calls:
        children[call.parent].append(call)
    left = {call.call_id: call for call in calls}
    while left:
        roots = [call for call in children[None] if call.call_id in left]
        first = next(iter(left.values()))
        waiting = list(reversed(roots)) or [
            TracedCall(first.call_id, None, first.attempts, first.refusals)
        ]
        while waiting:
            call = waiting.pop()
            if left.pop(call.call_id, None) is not None:
                yield call
                waiting.extend(reversed(children[call.call_id]))
