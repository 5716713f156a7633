"""
The ledger's calls added up for the rollout: one pass over the window, grouped by the database.

Exact   A call is counted once, by its id, however often it was tried; an aggregate of refusals is
        as many calls as it says. What a correction amends is not counted beside it. Money is
        summed as `queries.sum_of` does.
Errors  LedgerError where amounts of several currencies would be added.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Protocol

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.sql import Select

from tallygate.adapters.stores.queries import amount_from_sums, sum_of
from tallygate.adapters.stores.tables import EVENTS
from tallygate.application.deciding import UNAVAILABLE
from tallygate.application.rollout_ports import SeenAs, TrafficFilter
from tallygate.domain.ledger.events import EventKind, PriceStatus, UsageSource
from tallygate.domain.policy.traffic import Amount, Fault, Group
from tallygate.errors import LedgerError

_CALLS: Final = (EventKind.ATTEMPT.value, EventKind.REFUSAL.value)
_ALIKE: Final[Sequence[ColumnElement[Any]]] = (
    EVENTS.c.service,
    EVENTS.c.environment,
    EVENTS.c.owner_team,
    EVENTS.c.principal_team,
    EVENTS.c.principal_key_hash,
    EVENTS.c.mode,
    EVENTS.c.action,
    EVENTS.c.would_action,
    EVENTS.c.decision_status,
    EVENTS.c.violations,
    EVENTS.c.waived,
)
"""What every event of one call has in common, so that no call is in two groups."""


class Readable(Protocol):
    """A ledger of this package."""

    def reading(self) -> AbstractContextManager[Connection]: ...


class StoredTraffic:
    """The `RolloutTraffic` port on a ledger in a database."""

    def __init__(self, ledger: Readable) -> None:
        self._connect = ledger.reading

    def groups(self, wanted: TrafficFilter) -> Iterator[Group]:
        with self._connect() as connection:
            rows = connection.execute(_grouped(wanted)).mappings().all()
        _require_one_currency(rows)
        return (_group_of(row) for row in rows)

    def first_seen(self, wanted: TrafficFilter) -> Mapping[SeenAs, int]:
        alike = (EVENTS.c.service, EVENTS.c.environment, EVENTS.c.mode)
        query = (
            select(*alike, func.min(EVENTS.c.occurred_at_ns))
            .where(*_conditions(wanted), EVENTS.c.kind.in_(_CALLS))
            .group_by(*alike)
        )
        with self._connect() as connection:
            rows = connection.execute(query).all()
        return {(service, environment, mode): int(at) for service, environment, mode, at in rows}


def _grouped(wanted: TrafficFilter) -> Select[Any]:
    later = EVENTS.alias("later")
    corrected = (
        select(literal_column("1"))
        .where(later.c.corrects_event_id == EVENTS.c.event_id)
        .correlate(EVENTS)
        .exists()
    )
    is_attempt = EVENTS.c.kind == EventKind.ATTEMPT.value
    # Its own usage, or what came apart from it or after it: whatever a provider may bill.
    billable = and_(
        EVENTS.c.price_status != PriceStatus.NOT_BILLED.value,
        or_(is_attempt, _tried_in_the_window(wanted)),
    )
    unreported = and_(billable, EVENTS.c.usage_source != UsageSource.REPORTED.value, ~corrected)
    millions, rest = sum_of(EVENTS.c.cost_e12)
    priced = EVENTS.c.cost_e12 != 0
    return (
        select(
            *_ALIKE,
            _distinct_calls(is_attempt).label("tried"),
            func.sum(
                case((EVENTS.c.kind == EventKind.REFUSAL.value, EVENTS.c.call_count), else_=0)
            ).label("refused"),
            millions.label("millions"),
            rest.label("rest"),
            func.count().filter(and_(EVENTS.c.cost_e12.is_(None), ~corrected)).label("unpriced"),
            _distinct_calls(billable).label("billable"),
            _distinct_calls(unreported).label("unreported"),
            func.min(case((priced, EVENTS.c.currency))).label("currency"),
            func.max(case((priced, EVENTS.c.currency))).label("another_currency"),
        )
        .where(*_conditions(wanted))
        .group_by(*_ALIKE)
    )


def _tried_in_the_window(wanted: TrafficFilter) -> ColumnElement[bool]:
    """Tell late lines of a call that is counted from those of an older one."""
    attempt = EVENTS.alias("attempt")
    return (
        select(literal_column("1"))
        .where(
            attempt.c.call_id == EVENTS.c.call_id,
            attempt.c.kind == EventKind.ATTEMPT.value,
            attempt.c.occurred_at_ns >= wanted.since_ns,
            attempt.c.occurred_at_ns < wanted.until_ns,
        )
        .correlate(EVENTS)
        .exists()
    )


def _distinct_calls(which: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((which, EVENTS.c.call_id)).distinct())


def _conditions(wanted: TrafficFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [
        EVENTS.c.occurred_at_ns >= wanted.since_ns,
        EVENTS.c.occurred_at_ns < wanted.until_ns,
        EVENTS.c.kind != EventKind.ACTIVATION.value,
    ]
    if wanted.environment is not None:
        found.append(EVENTS.c.environment == wanted.environment)
    return found


def _require_one_currency(rows: Sequence[RowMapping]) -> None:
    found = {row[name] for row in rows for name in ("currency", "another_currency")} - {None}
    if len(found) > 1:
        raise LedgerError(
            f"the entries are in more than one currency ({', '.join(sorted(found))}) and cannot "
            "be summed."
        )


def _group_of(row: RowMapping) -> Group:
    tried, refused = int(row["tried"]), int(row["refused"])
    return Group(
        service=row["service"],
        environment=row["environment"],
        owner_team=row["owner_team"],
        principal_team=row["principal_team"],
        principal_key=row["principal_key_hash"],
        mode=row["mode"],
        action=row["action"],
        would_action=row["would_action"],
        is_decided=row["decision_status"] != UNAVAILABLE,
        violations=_faults(row["violations"]),
        waived=_faults(row["waived"]),
        amount=Amount(
            calls=tried + refused,
            cost=amount_from_sums(row["millions"], row["rest"]),
            unpriced=int(row["unpriced"]),
        ),
        refused=refused,
        billable=int(row["billable"]),
        unreported=int(row["unreported"]),
    )


def _faults(text: str) -> tuple[Fault, ...]:
    return tuple((found["code"], found["field"]) for found in orjson.loads(text))
