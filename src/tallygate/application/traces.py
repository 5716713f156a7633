"""
One trace out of the ledger: its calls, their attempts, what each cost and what they cost together.

A call names the one that caused it, so calls of many services make one tree. Where a service did
not pass the trace on, the proxy minted another one: such a call is found by the parent that it
names, stands in the tree, and is not in the sum, because it is in another trace's.

Shapes  Rows of a ledger -> `Trace`. A correction is no attempt of its own: its facts stand in the
        place of the attempt that it corrects, and its cost is added to that attempt's.
Units   Dollars; a cost in another currency is not converted, its attempt counts as unpriced.
Exact   The total is the sum of the attempts that have a cost, with what they used apart, and
        nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from typing import Any, Final

from tallygate.application.ports import EventFilter, Ledger
from tallygate.domain.kernel.money import exact_arithmetic
from tallygate.domain.ledger.events import EventKind

CURRENCY: Final = "USD"
SHARED_FIELDS: Final = ("owner_team", "workflow_id", "feature", "tenant_id_hash", "user_id_hash")
"""What a trace says of itself where all of its lines say the same."""

MOST_BEYOND: Final = 1000
"""Calls of other traces that are looked for; callers name the parents, so there is a limit."""
CLOCKS_APART_NS: Final = 60 * 1_000_000_000
"""How far the clocks of two hosts may differ before an effect is missed before its cause."""
FOLLOWED_NS: Final = 24 * 3600 * 1_000_000_000
"""How long after a call its effects in other traces are looked for; a ledger is large."""

Row = Mapping[str, Any]


class Cause(StrEnum):
    """What the ledger knows of the call that a call names as its parent."""

    NONE = "none"
    """It names none: work begins here."""
    CALL = "call"
    """It stands above."""
    ELSEWHERE = "elsewhere"
    """It is in another trace."""
    UNKNOWN = "unknown"
    """It is not in the ledger: an orphan."""
    CIRCLE = "circle"
    """It stands below; callers name the parents, so circles are cut open."""


@dataclass(frozen=True, slots=True)
class TracedAttempt:
    """One try at a provider, or what it used; `row` is the newest that the ledger knows of it."""

    event_id: str
    kind: str
    """As it was booked first; a correction's row has the kind of a correction."""
    row: Row
    cost: Decimal | None
    unpriced_reason: str | None
    corrections: tuple[str, ...] = ()
    """Ids of the events that corrected it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedCall:
    """One client request, a hop of the trace."""

    call_id: str
    trace_id: str
    trace_source: str
    """`received`, or `minted` because the service passed none on."""
    service: str | None
    environment: str | None
    named_parent: str | None
    """The cause as the caller named it."""
    parent: str | None
    """The call of this tree that caused it, if it is known."""
    cause: Cause
    parent_trace_id: str | None = None
    """Where the parent is when it is elsewhere."""
    attempts: tuple[TracedAttempt, ...]
    usage: tuple[TracedAttempt, ...] = ()
    """What attempts used, where it came apart from them; no tries of their own."""
    refusals: tuple[Row, ...]

    @property
    def started_at_ns(self) -> int:
        rows = [attempt.row for attempt in self.charges] or list(self.refusals)
        return min(int(row["occurred_at_ns"]) for row in rows)

    @property
    def charges(self) -> tuple[TracedAttempt, ...]:
        """All that has a cost."""
        return self.attempts + self.usage

    @property
    def is_broken_hop(self) -> bool:
        """Whether the trace was lost on the way here: work that was caused, under a new trace."""
        return self.trace_source == "minted" and self.named_parent is not None


@dataclass(frozen=True, slots=True)
class Trace:
    """All that the ledger knows under one trace id; a parent stands before its children."""

    trace_id: str
    tree: tuple[TracedCall, ...]
    """The trace's calls, and those of other traces that they caused."""
    shared: Mapping[str, str | None]
    """`SHARED_FIELDS`; None where nothing is known or the lines differ."""
    differing: tuple[str, ...]
    """Those of `SHARED_FIELDS` in which the lines differ."""
    is_cut: bool = False
    """Whether there may be more calls of other traces than `MOST_BEYOND`."""

    @property
    def calls(self) -> tuple[TracedCall, ...]:
        return tuple(call for call in self.tree if call.trace_id == self.trace_id)

    @property
    def beyond(self) -> tuple[TracedCall, ...]:
        """Calls of other traces that this one caused."""
        return tuple(call for call in self.tree if call.trace_id != self.trace_id)

    @property
    def attempts(self) -> Iterator[TracedAttempt]:
        return (attempt for call in self.calls for attempt in call.attempts)

    @property
    def usage(self) -> Iterator[TracedAttempt]:
        return (line for call in self.calls for line in call.usage)

    @property
    def refusals(self) -> Iterator[Row]:
        return (row for call in self.calls for row in call.refusals)

    @property
    def total(self) -> Decimal:
        return total_of(charge for call in self.calls for charge in call.charges)

    @property
    def unpriced(self) -> int:
        """How many attempts, or lines of usage, have no known cost."""
        return unpriced_in(charge for call in self.calls for charge in call.charges)


def total_of(charges: Iterable[TracedAttempt]) -> Decimal:
    """Add up what is known, exactly."""
    with exact_arithmetic():
        return sum((one.cost for one in charges if one.cost is not None), Decimal(0))


def unpriced_in(charges: Iterable[TracedAttempt]) -> int:
    """Count what is not known."""
    return sum(one.cost is None for one in charges)


def trace_in(ledger: Ledger, trace_id: str) -> Trace | None:
    """Read a trace; None when the ledger has no line of it."""
    found = ledger.rows(EventFilter(trace_id=trace_id))
    rows = sorted((row for row in found if row["kind"] != EventKind.ACTIVATION), key=_in_time)
    if not rows:
        return None
    values = {name: {row[name] for row in rows} - {None} for name in SHARED_FIELDS}
    beyond, is_cut = _rows_beyond(ledger, rows)
    calls = _calls_in(sorted([*rows, *beyond], key=_in_time))
    return Trace(
        trace_id=trace_id,
        tree=tuple(_orphans_told(ledger, _parents_first(calls))),
        shared={
            name: next(iter(found)) if len(found) == 1 else None for name, found in values.items()
        },
        differing=tuple(name for name, found in values.items() if len(found) > 1),
        is_cut=is_cut,
    )


def _in_time(row: Row) -> tuple[int, str]:
    return row["occurred_at_ns"], row["event_id"]


def _rows_beyond(ledger: Ledger, rows: Sequence[Row]) -> tuple[list[Row], bool]:
    """Follow causes into other traces; also whether the limit ended it."""
    begun: dict[str, int] = {}
    for row in rows:
        begun.setdefault(row["call_id"], row["occurred_at_ns"])
    waiting = list(begun)
    found: list[Row] = []
    left = MOST_BEYOND
    while waiting and left > 0:
        call_id = waiting.pop()
        caused = list(_caused_by(ledger, call_id, begun[call_id]))
        new = {
            row["call_id"]: row["occurred_at_ns"] for row in caused if row["call_id"] not in begun
        }
        taken = dict(islice(new.items(), left))
        left -= len(taken)
        begun |= taken
        waiting.extend(taken)
        found += [row for row in caused if row["call_id"] in taken]
    return found, left == 0


def _caused_by(ledger: Ledger, call_id: str, begun_ns: int) -> Iterator[Row]:
    return ledger.rows(
        EventFilter(
            since_ns=begun_ns - CLOCKS_APART_NS,
            until_ns=begun_ns + FOLLOWED_NS,
            equals={"parent_call_id": call_id},
        )
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
    ids = _ids_of_calls(rows)
    return [_call_of(of_call, corrections, ids) for of_call in lines.values() if of_call]


def _ids_of_calls(rows: Sequence[Row]) -> dict[str, str]:
    """Give the call for each id by which a caller may know it; ours outranks a provider's."""
    ids: dict[str, str] = {}
    for column in ("provider_request_id", "response_id", "call_id"):
        # Of two under one id the earlier: it may have caused the other.
        ids |= {row[column]: row["call_id"] for row in reversed(rows) if row[column] is not None}
    return ids


def _call_of(
    lines: Sequence[Row], corrections: Mapping[str, Sequence[Row]], ids: Mapping[str, str]
) -> TracedCall:
    first = lines[0]
    named = first["parent_call_id"]
    parent = None if named is None else ids.get(named)
    charges = [
        _attempt_of(row, corrections.get(row["event_id"], ()))
        for row in sorted(lines, key=_attempt_order)
        if row["kind"] != EventKind.REFUSAL
    ]
    return TracedCall(
        call_id=first["call_id"],
        trace_id=first["trace_id"],
        trace_source=first["trace_source"],
        service=first["service"],
        environment=first["environment"],
        named_parent=named,
        parent=parent,
        cause=Cause.NONE if named is None else Cause.UNKNOWN if parent is None else Cause.CALL,
        attempts=tuple(one for one in charges if one.kind != EventKind.USAGE),
        usage=tuple(one for one in charges if one.kind == EventKind.USAGE),
        refusals=tuple(row for row in lines if row["kind"] == EventKind.REFUSAL),
    )


def _orphans_told(ledger: Ledger, calls: Iterable[TracedCall]) -> Iterator[TracedCall]:
    """Tell orphans from calls whose parent is in another trace."""
    traces: dict[str, str | None] = {}
    for call in calls:
        if call.cause is Cause.UNKNOWN and call.named_parent not in traces:
            wanted = EventFilter(call_id=call.named_parent, limit=1)
            there = next(iter(ledger.rows(wanted)), None)
            traces[str(call.named_parent)] = None if there is None else there["trace_id"]
        elsewhere = traces.get(str(call.named_parent)) if call.cause is Cause.UNKNOWN else None
        yield (
            replace(call, cause=Cause.ELSEWHERE, parent_trace_id=elsewhere) if elsewhere else call
        )


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
        kind=row["kind"],
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
        waiting = list(reversed(roots)) or [
            replace(_earliest_in_circle(left), parent=None, cause=Cause.CIRCLE)
        ]
        while waiting:
            call = waiting.pop()
            if left.pop(call.call_id, None) is not None:
                yield call
                waiting.extend(reversed(children[call.call_id]))


def _earliest_in_circle(left: Mapping[str, TracedCall]) -> TracedCall:
    """Climb to where parents repeat themselves; each of `left` has its parent there."""
    order = list(left)
    at, passed = order[0], list[str]()
    while at not in passed:
        passed.append(at)
        at = left[at].parent or at
    return left[min(passed[passed.index(at) :], key=order.index)]
