"""
Recorded decisions, grouped by what they were about: the `DecisionLines` port over a ledger.

Shapes  One GROUP BY for both kinds of database. Events are taken by when they occurred, as in
        every other sum; a call lies between the cuts by when it came in, which is when it was
        decided, so that all of its attempts lie there together.
Exact   Costs are summed in two parts, as `queries.totals` sums them, and a later correction of an
        unpriced line is counted in its place.
Errors  As the ledger's own; LedgerError for costs in more than one currency.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import pairwise
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, and_, case, func, literal_column, null, select
from sqlalchemy.sql import Select

from tallygate.adapters.stores.inputs import read_inputs
from tallygate.adapters.stores.queries import amount_from_sums, is_unpriced, sum_of
from tallygate.adapters.stores.reading import read_rows
from tallygate.adapters.stores.sealing import SqlLedger
from tallygate.adapters.stores.tables import EVENTS
from tallygate.application.ports import EventFilter
from tallygate.application.replay_ports import DecisionLine, RecordedCalls
from tallygate.domain.kernel.ids import ns_of_uuid7
from tallygate.domain.kernel.instants import NS_PER_SECOND
from tallygate.domain.ledger.events import EventKind
from tallygate.errors import LedgerError

_KINDS: Final = ("attempt", "refusal", "usage", "correction")
"""What stands for a call, or is part of what one cost."""
_PAGE_SIZE: Final = 1000
_NEAR_NS: Final = 600 * NS_PER_SECOND
"""Between a decision and its first event there is rarely more than a second."""


class SqlDecisionLines:
    """Reads over a ledger's own connections; what was archived is not there."""

    def __init__(self, ledger: SqlLedger) -> None:
        self._ledger = ledger

    def recorded_calls(
        self,
        since_ns: int | None,
        until_ns: int | None,
        *,
        by_call_bucket: bool,
        cuts_ns: Sequence[int] = (),
    ) -> Iterator[RecordedCalls]:
        query = _grouped(by_call_bucket=by_call_bucket, cuts_ns=cuts_ns).where(
            *_occurred(since_ns, until_ns)
        )
        currencies: set[str | None] = {None}
        streaming = query.execution_options(yield_per=_PAGE_SIZE)
        with (
            self._ledger.reading() as connection,
            closing(connection.execute(streaming)) as found,
        ):
            for *row, first, last in found:
                currencies.update((first, last))
                if len(currencies) > 2:
                    raise LedgerError(
                        "the calls cost money in more than one currency and cannot be summed; "
                        "choose a time in which there is one."
                    )
                yield _calls_from(row)

    def decision_inputs(
        self, digests: Collection[str] | None = None
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for digest, content in read_inputs(self._ledger.reading, digests):
            yield digest, orjson.loads(content)

    def decision_line(self, decision_id: str) -> DecisionLine | None:
        event_id = self._first_event(decision_id)
        if event_id is None:
            return None
        wanted = EventFilter(equals={"event_id": event_id}, limit=1)
        (row,) = read_rows(self._ledger.reading, wanted)
        digest = row["input_digest"]
        inputs = dict(self.decision_inputs([digest])) if digest else {}
        return DecisionLine(
            decision_id=decision_id,
            decided_at_ns=row["call_started_at_ns"],
            input_digest=digest,
            call_bucket=row["call_bucket"],
            recorded=inputs.get(digest),
            event=row,
        )

    def _first_event(self, decision_id: str) -> str | None:
        """Look near the instant that the id carries, by the index on time, before everywhere."""
        columns = EVENTS.c
        query = (
            select(columns.event_id)
            .where(columns.decision_id == decision_id)
            .order_by(columns.occurred_at_ns, columns.seq)
            .limit(1)
        )
        near = query.where(*_near(decision_id))
        for each in (near, query):
            with self._ledger.reading() as connection:
                found = connection.execute(each).scalar()
            if found is not None:
                return str(found)
        return None


def _near(decision_id: str) -> list[ColumnElement[bool]]:
    try:
        at_ns = ns_of_uuid7(decision_id)
    except ValueError:
        return []
    return _occurred(at_ns - _NEAR_NS, at_ns + _NEAR_NS)


def _occurred(since_ns: int | None, until_ns: int | None) -> list[ColumnElement[bool]]:
    at = EVENTS.c.occurred_at_ns
    conditions: list[ColumnElement[bool]] = []
    if since_ns is not None:
        conditions.append(at >= since_ns)
    if until_ns is not None:
        conditions.append(at < until_ns)
    return conditions


def _grouped(*, by_call_bucket: bool, cuts_ns: Sequence[int]) -> Select[Any]:
    columns = EVENTS.c
    span: ColumnElement[Any] = literal_column("span")
    said = (columns.service, columns.owner_team, columns.environment)
    decided = (columns.action, columns.would_action, columns.mode)
    groups = [columns.input_digest, *([span] if cuts_ns else []), *said, *decided]
    if by_call_bucket:
        groups.append(columns.call_bucket)
    is_attempt = columns.kind == EventKind.ATTEMPT.value
    is_refusal = columns.kind == EventKind.REFUSAL.value
    costs = and_(columns.cost_e12.is_not(None), columns.cost_e12 != 0)
    return (
        select(
            columns.input_digest,
            columns.call_bucket if by_call_bucket else null(),
            _span_of(cuts_ns).label("span"),
            *said,
            *decided,
            func.count(columns.call_id.distinct()).filter(is_attempt),
            func.coalesce(func.sum(columns.call_count).filter(is_refusal), 0),
            *sum_of(columns.cost_e12),
            func.count().filter(is_unpriced()),
            func.min(columns.call_started_at_ns),
            func.max(columns.call_started_at_ns),
            func.min(columns.decision_id),
            func.max(columns.decision_id),
            func.min(columns.currency).filter(costs),
            func.max(columns.currency).filter(costs),
        )
        .select_from(EVENTS)
        .where(columns.kind.in_(_KINDS))
        .group_by(*groups)
        .order_by(*groups)
    )


def _span_of(cuts_ns: Sequence[int]) -> ColumnElement[Any]:
    """Say between which cuts a call came in, by halving: few comparisons a line, however many."""
    assert all(before < after for before, after in pairwise(cuts_ns)), "cuts ascend"

    def halved(first: int, last: int) -> ColumnElement[Any]:
        if first == last:
            return literal_column(str(first))
        middle = (first + last) // 2
        is_before = EVENTS.c.call_started_at_ns < literal_column(str(int(cuts_ns[middle])))
        return case((is_before, halved(first, middle)), else_=halved(middle + 1, last))

    return halved(0, len(cuts_ns))


def _calls_from(row: Sequence[Any]) -> RecordedCalls:
    digest, bucket, span, service, team, environment, action, would_action, mode, *rest = row
    attempted, refused, millions, remainder, unpriced, first_ns, last_ns, *samples = rest
    return RecordedCalls(
        input_digest=digest,
        call_bucket=bucket,
        span=span,
        service=service,
        owner_team=team,
        environment=environment,
        action=action,
        would_action=would_action,
        mode=mode,
        calls=int(attempted) + int(refused),
        cost=amount_from_sums(millions, remainder),
        unpriced=unpriced,
        first_at_ns=first_ns,
        last_at_ns=last_ns,
        samples=tuple(dict.fromkeys(samples)),
    )
