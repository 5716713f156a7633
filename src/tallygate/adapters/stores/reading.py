"""
What every relational ledger answers, over a connection of its own.

Shapes  Rows are read page by page, each in a transaction of its own, so that a reader who takes
        long holds up nobody. What is booked after the first page is not part of the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

from sqlalchemy import Connection, func, select

from tallygate.adapters.stores.queries import amount_from_sums, page, totals
from tallygate.adapters.stores.rows import readable
from tallygate.adapters.stores.tables import EVENTS, REJECTED_ENTRIES
from tallygate.application.ports import EventFilter, Total
from tallygate.domain.ledger.events import NOT_SENT, EventKind, Status
from tallygate.errors import LedgerError

_PAGE_SIZE: Final = 1000

Connect = Callable[[], AbstractContextManager[Connection]]
"""Opens a connection to read with, and translates what goes wrong on it."""


def read_rows(connect: Connect, wanted: EventFilter) -> Iterator[Mapping[str, Any]]:
    """Yield what the filter takes, in order."""
    left = wanted.limit
    after: int | None = None
    last: int | None = None
    while left is None or left > 0:
        size = _PAGE_SIZE if left is None else min(left, _PAGE_SIZE)
        with connect() as connection:
            if last is None:  # what is booked from here on is not part of the answer
                last = connection.execute(select(func.max(EVENTS.c.seq))).scalar() or 0
            found = connection.execute(page(wanted, size, after=after, last=last)).mappings()
            rows = [readable(row) for row in found]
        yield from rows
        if len(rows) < size:
            return
        after = rows[-1]["seq"]
        left = None if left is None else left - size


def read_total(connect: Connect, wanted: EventFilter) -> Total:
    """Sum what the filter takes."""
    with connect() as connection:
        row = connection.execute(totals(wanted)).one()
    millions, rest, events, unpriced, currencies = row
    if currencies > 1:
        raise LedgerError(
            "the entries are in more than one currency and cannot be summed; "
            "ask for one of them (currency)."
        )
    return Total(cost=amount_from_sums(millions, rest), events=events, unpriced=unpriced)


def read_attempts(connect: Connect) -> int:
    """Count the attempts that went to a provider."""
    attempts = (
        select(func.count())
        .select_from(EVENTS)
        .where(
            EVENTS.c.kind == EventKind.ATTEMPT.value,
            EVENTS.c.status != Status.CACHE_HIT.value,
            EVENTS.c.detail.is_distinct_from(NOT_SENT),
        )
    )
    with connect() as connection:
        return int(connection.execute(attempts).scalar_one())


def read_rejected(connect: Connect) -> int:
    """Count what was kept aside because the database's own rules refuse it."""
    with connect() as connection:
        rejected = select(func.count()).select_from(REJECTED_ENTRIES)
        return int(connection.execute(rejected).scalar_one())
