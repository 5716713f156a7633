"""
An `EventFilter` as SQL, and the one way to sum money.

Exact   SQLite's SUM raises past 2**63, which is 9.22 million dollars at 10**-12; quotient and
        remainder are summed apart and put together in Python. Both databases cut a quotient
        towards zero and give the remainder its dividend's sign.
Errors  ValueError for a column that is not offered; names never reach SQL unchecked.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Boolean, ColumnElement, and_, func, literal, literal_column, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import Select
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from tallygate.adapters.stores.tables import EVENTS, SUBJECTS
from tallygate.application.ports import EventFilter
from tallygate.domain.kernel.money import amount_from_e12

_MILLION: Final = 1_000_000

FILTER_COLUMNS: Final = frozenset(
    {
        "action",
        "billing_rule_version",
        "booked_period",
        "business_unit",
        "call_type",
        "corrects_event_id",
        "cost_center",
        "currency",
        "decision_id",
        "decision_status",
        "environment",
        "error_type",
        "event_id",
        "feature",
        "initiator",
        "kind",
        "mode",
        "model_group",
        "operation",
        "owner_team",
        "parent_call_id",
        "policy_revision",
        "price_status",
        "principal_team",
        "provider",
        "provider_request_id",
        "region",
        "response_id",
        "request_model",
        "response_model",
        "route",
        "service",
        "service_tier",
        "status",
        "trace_source",
        "unpriced_reason",
        "usage_source",
        "workflow_id",
        "would_action",
        "writer_id",
    }
)


def _any_model(value: str) -> ColumnElement[bool]:
    names = (EVENTS.c.request_model, EVENTS.c.response_model, EVENTS.c.model_group)
    return or_(*(name == value for name in names))


class _HoldsCode(FunctionElement[bool]):
    """Whether the first argument, JSON text, is a list with an object of that `code`."""

    type = Boolean()
    inherit_cache = True


@compiles(_HoldsCode, "sqlite")
def _in_sqlite(element: _HoldsCode, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as SQLAlchemy hands them on
    entries, code = (compiler.process(each, **options) for each in element.clauses)
    return (
        f"EXISTS (SELECT 1 FROM json_each({entries}) AS entry"  # noqa: S608 - compiled columns and binds
        f" WHERE json_extract(entry.value, '$.code') = {code})"
    )


@compiles(_HoldsCode, "postgresql")
def _in_postgres(element: _HoldsCode, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - as SQLAlchemy hands them on
    entries, code = (compiler.process(each, **options) for each in element.clauses)
    return (
        f"EXISTS (SELECT 1 FROM json_array_elements(CAST({entries} AS json)) AS entry"  # noqa: S608 - compiled columns and binds
        f" WHERE entry ->> 'code' = {code})"
    )


def _violation(value: str) -> ColumnElement[bool]:
    holds: ColumnElement[bool] = _HoldsCode(EVENTS.c.violations, literal(value))
    return holds


def _subject(column: Any) -> Callable[[str], ColumnElement[bool]]:  # noqa: ANN401 - Core's own
    def stands_for(value: str) -> ColumnElement[bool]:
        known = select(SUBJECTS.c.surrogate).where(SUBJECTS.c.subject_hash == value)
        found: ColumnElement[bool] = column.in_(known)
        return found

    return stands_for


_MEANINGS: Final[dict[str, Callable[[str], ColumnElement[bool]]]] = {
    "model": _any_model,
    "violation": _violation,
    "tenant_id_hash": _subject(EVENTS.c.tenant_ref),
    "user_id_hash": _subject(EVENTS.c.user_ref),
}
"""What one may ask for that is not one column: any of the model names, a violation's code."""


def conditions(wanted: EventFilter) -> list[ColumnElement[bool]]:
    """List what the filter asks for, to be joined by AND."""
    found: list[ColumnElement[bool]] = []
    if wanted.since_ns is not None:
        found.append(EVENTS.c.occurred_at_ns >= wanted.since_ns)
    if wanted.until_ns is not None:
        found.append(EVENTS.c.occurred_at_ns < wanted.until_ns)
    if wanted.call_id is not None:
        found.append(EVENTS.c.call_id == wanted.call_id)
    if wanted.trace_id is not None:
        found.append(EVENTS.c.trace_id == wanted.trace_id)
    found.extend(_equal(name, value) for name, value in wanted.equals.items())
    return found


def _equal(name: str, value: str) -> ColumnElement[bool]:
    if name in _MEANINGS:
        return _MEANINGS[name](value)
    if name not in FILTER_COLUMNS:
        offered = sorted(FILTER_COLUMNS | _MEANINGS.keys())
        close = difflib.get_close_matches(name, offered, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"choose of {', '.join(offered)}"
        raise ValueError(f"events cannot be filtered by {name!r}: {hint}")
    if value == "":
        return EVENTS.c[name].is_(None)
    return EVENTS.c[name] == value


def page(wanted: EventFilter, size: int, *, after: int | None, last: int) -> Select[Any]:
    """Build the page of rows beyond `after`; `last` is the newest that counts."""
    tenant, user = SUBJECTS.alias("tenant"), SUBJECTS.alias("person")
    query = (
        select(
            EVENTS,
            tenant.c.subject_hash.label("tenant_id_hash"),
            user.c.subject_hash.label("user_id_hash"),
        )
        .outerjoin_from(EVENTS, tenant, EVENTS.c.tenant_ref == tenant.c.surrogate)
        .outerjoin(user, EVENTS.c.user_ref == user.c.surrogate)
        .where(*conditions(wanted), EVENTS.c.seq <= last)
        .limit(size)
    )
    if wanted.newest_first:
        query = query.order_by(EVENTS.c.seq.desc())
        return query if after is None else query.where(EVENTS.c.seq < after)
    query = query.order_by(EVENTS.c.seq)
    return query if after is None else query.where(EVENTS.c.seq > after)


def sum_of(e12: ColumnElement[Any]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Split a sum in two, each far from 2**63, for `amount_from_sums` to put together."""
    # `op`: SQLAlchemy's own division is not the integers' of the databases.
    return func.sum(e12.op("/")(_MILLION)), func.sum(e12.op("%")(_MILLION))


def amount_from_sums(millions: int | Decimal | None, rest: int | Decimal | None) -> Decimal:
    """Put the two sums of `sum_of` together; nothing summed is 0."""
    # PostgreSQL sums whole numbers into a Decimal without places.
    return amount_from_e12(int(millions or 0) * _MILLION + int(rest or 0))


def is_unpriced() -> ColumnElement[bool]:
    """
    Tell a line without a price.

    One that a later line corrects is known by then, so the correction is counted in its place.
    """
    later = EVENTS.alias("later")
    corrected = (
        select(literal_column("1"))
        .where(later.c.corrects_event_id == EVENTS.c.event_id)
        .correlate(EVENTS)
        .exists()
    )
    return and_(EVENTS.c.cost_e12.is_(None), ~corrected)


def totals(wanted: EventFilter) -> Select[Any]:
    """Build the sums, lines, lines without a price and currencies of what the filter takes."""
    return (
        select(
            *sum_of(EVENTS.c.cost_e12),
            func.count(),
            func.count().filter(is_unpriced()),
            func.count(EVENTS.c.currency.distinct()).filter(EVENTS.c.cost_e12 != 0),
        )
        .select_from(EVENTS)
        .where(*conditions(wanted))
    )
