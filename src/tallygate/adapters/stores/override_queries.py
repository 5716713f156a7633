"""
What overrides have excused, from a ledger's lines, grouped by the database.

Shapes  What was waived is the same on every line of a call, and few decisions differ in it, so the
        database groups by its text as it stands, and only the groups are read as JSON.
Exact   A call counts once, however often it was tried. Money is summed as `queries.sum_of` does.
Errors  LedgerError where amounts of several currencies would be added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, RowMapping, and_, case, func, literal_column, select
from sqlalchemy.sql import Select

from tallygate.adapters.stores.queries import amount_from_sums, sum_of
from tallygate.adapters.stores.reading import Connect
from tallygate.adapters.stores.tables import EVENTS
from tallygate.application.override_ports import ExcusedCalls
from tallygate.domain.ledger.events import ActivationFacts, EventKind
from tallygate.domain.policy.decision import Action, Waived
from tallygate.errors import LedgerError

_ALIKE: Final = (EVENTS.c.waived, EVENTS.c.service, EVENTS.c.workflow_id, EVENTS.c.mode)
_NOTHING: Final[ColumnElement[str]] = literal_column("'[]'")
"""Written out, as the index over what was waived has it."""


class StoredOverrideUse:
    """The `OverrideUse` port on a ledger in a database; `connect` opens it to read."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    def excused(self, since_ns: int, until_ns: int) -> Sequence[ExcusedCalls]:
        with self._connect() as connection:
            rows = connection.execute(_grouped(since_ns, until_ns)).mappings().all()
        currencies = {row[name] for row in rows for name in ("currency", "another")} - {None}
        if len(currencies) > 1:
            raise LedgerError(
                "what overrides excused is in more than one currency "
                f"({', '.join(sorted(currencies))}) and cannot be summed."
            )
        return [_excused(row) for row in rows if row["calls"]]

    def activations(self, since_ns: int) -> Sequence[ActivationFacts]:
        wanted = (
            select(EVENTS.c.activation)
            .where(
                EVENTS.c.kind == literal_column(f"'{EventKind.ACTIVATION.value}'"),
                EVENTS.c.occurred_at_ns >= since_ns,
            )
            .order_by(EVENTS.c.occurred_at_ns, EVENTS.c.seq)
        )
        with self._connect() as connection:
            found = connection.execute(wanted).scalars().all()
        return [ActivationFacts(**orjson.loads(text)) for text in found]


def _grouped(since_ns: int, until_ns: int) -> Select[Any]:
    later = EVENTS.alias("later")
    corrected = (
        select(literal_column("1"))
        .where(later.c.corrects_event_id == EVENTS.c.event_id)
        .correlate(EVENTS)
        .exists()
    )
    is_attempt = EVENTS.c.kind == EventKind.ATTEMPT.value
    costs = EVENTS.c.cost_e12 != 0
    millions, rest = sum_of(EVENTS.c.cost_e12)
    return (
        select(
            *_ALIKE,
            func.count(case((is_attempt, EVENTS.c.call_id)).distinct()).label("calls"),
            millions.label("millions"),
            rest.label("rest"),
            func.count().filter(and_(EVENTS.c.cost_e12.is_(None), ~corrected)).label("unpriced"),
            func.max(case((is_attempt, EVENTS.c.call_started_at_ns))).label("last_ns"),
            func.min(case((costs, EVENTS.c.currency))).label("currency"),
            func.max(case((costs, EVENTS.c.currency))).label("another"),
        )
        .where(
            EVENTS.c.waived != _NOTHING,
            EVENTS.c.action != Action.REJECT.value,
            # No line is older than its call; the index is by the line.
            EVENTS.c.occurred_at_ns >= since_ns,
            EVENTS.c.call_started_at_ns >= since_ns,
            EVENTS.c.call_started_at_ns < until_ns,
        )
        .group_by(*_ALIKE)
    )


def _excused(row: RowMapping) -> ExcusedCalls:
    return ExcusedCalls(
        waived=tuple(
            Waived(each["code"], each["field"], each["override"])
            for each in orjson.loads(row["waived"])
        ),
        service=row["service"],
        workflow_id=row["workflow_id"],
        mode=row["mode"],
        calls=int(row["calls"]),
        cost=amount_from_sums(row["millions"], row["rest"]),
        unpriced=int(row["unpriced"]),
        last_ns=int(row["last_ns"]),
    )
