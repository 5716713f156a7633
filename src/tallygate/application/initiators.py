"""
Whose a batch is: who created it pays for what it used, not who happened to poll it.

Shapes  A provider's batch is created by one call and billed when another one finds it done,
        perhaps at another proxy. Its usage takes owner and principal from the creation, and
        names it as its parent, also where only a correction knows the batch's id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any, Final, Protocol

from tallygate.application.ports import EventFilter
from tallygate.domain.ledger.events import Event, EventKind, OwnershipFacts
from tallygate.domain.usage.normalisers import SHORTEST

CREATES_BATCH: Final = "acreate_batch"
"""Call type of a batch's usage too: it is part of what the creating call caused."""
READ_BACK: Final = "aget_responses"
"""Of an answer whose beginning the process that read it back has not seen."""
BEGUN_BY: Final[Mapping[str, str]] = MappingProxyType(
    {CREATES_BATCH: CREATES_BATCH, READ_BACK: "aresponses"}
)
"""Call type of usage that comes later, and of the call that began what it is of."""
INITIATOR_UNKNOWN: Final = "initiator_unknown"
"""Detail of usage whose creation nobody saw: it stays with who asked."""

_CREATIONS: Final = (EventKind.ATTEMPT, EventKind.CORRECTION)
"""One whose end came late was booked as unknown, without the batch's id; its correction has it."""

_OWNERSHIP: Final = tuple(field.name for field in fields(OwnershipFacts))
_PRINCIPAL: Final = ("principal_team", "principal_key_hash", "principal_org", "principal_bound")


class Lines(Protocol):
    """What of a ledger is asked here."""

    def rows(self, wanted: EventFilter) -> Iterator[Mapping[str, Any]]: ...


def with_initiators(events: Iterable[Event], lines: Lines) -> list[Event]:
    """Give what is billed later to who began it, found among the events or in the ledger."""
    whole = list(events)
    if not any(_comes_later(event) for event in whole):
        return whole
    whole = [event for event in whole if not _is_billed_otherwise(event, whole, lines)]
    created: dict[str | None, Event] = {}
    for event in whole:
        if event.kind in _CREATIONS and event.call.call_type in BEGUN_BY.values():
            created.setdefault(event.outcome.response_id if event.outcome else None, event)
    return [_initiated(event, created, lines) if _comes_later(event) else event for event in whole]


def _comes_later(event: Event) -> bool:
    return event.kind is EventKind.USAGE and event.call.call_type in BEGUN_BY


def _is_billed_otherwise(event: Event, beside: Iterable[Event], lines: Lines) -> bool:
    """
    Whether a batch's usage is there already in the other way: summed, or record by record.

    One proxy may have seen its records and another only LiteLLM's sum; the first way booked
    stays, and of two that come together the records.
    """
    batch_id = _batch_of(event)
    if batch_id is None:
        return False
    is_sum = _is_sum(event.outcome.usage if event.outcome else None)
    if is_sum and any(
        _batch_of(other) == batch_id and not _is_sum(other.outcome.usage if other.outcome else None)
        for other in beside
    ):
        return True
    named = {"response_id": batch_id, "call_type": CREATES_BATCH, "kind": EventKind.USAGE.value}
    booked = next(iter(lines.rows(EventFilter(equals=named, limit=1))), None)
    return booked is not None and _is_sum(booked["usage"]) != is_sum


def _batch_of(event: Event) -> str | None:
    is_usage = event.kind is EventKind.USAGE and event.call.call_type == CREATES_BATCH
    return event.outcome.response_id if is_usage and event.outcome else None


def _is_sum(usage: Mapping[str, Any] | None) -> bool:
    """Tell LiteLLM's sum over a whole batch: how short its shortest record is, it does not know."""
    return usage is not None and usage.get(SHORTEST) == 0


def _initiated(event: Event, created: Mapping[str | None, Event], lines: Lines) -> Event:
    provider_id = event.outcome.response_id if event.outcome else None
    if provider_id:
        row = _booked_creation(provider_id, BEGUN_BY[event.call.call_type], lines)
        if row is not None:
            ownership = OwnershipFacts(**{name: row[name] for name in _OWNERSHIP})
            return _of(event, ownership, row, row["corrects_event_id"] or row["event_id"])
        creation = created.get(provider_id)
        if creation is not None:
            principal = {name: getattr(creation.call, name) for name in _PRINCIPAL}
            created_id = creation.corrects_event_id or creation.event_id
            return _of(event, creation.ownership, principal, created_id)
    if event.outcome is None:
        return event
    return replace(event, outcome=replace(event.outcome, detail=INITIATOR_UNKNOWN))


def _booked_creation(provider_id: str, call_type: str, lines: Lines) -> Mapping[str, Any] | None:
    for kind in _CREATIONS:
        named = {"response_id": provider_id, "call_type": call_type, "kind": kind.value}
        for row in lines.rows(EventFilter(equals=named, limit=1)):
            return row
    return None


def _of(
    event: Event, ownership: OwnershipFacts, principal: Mapping[str, Any], creation_id: str
) -> Event:
    return replace(
        event,
        ownership=ownership,
        call=replace(event.call, **{name: principal[name] for name in _PRINCIPAL}),
        attempt=event.attempt and replace(event.attempt, parent_event_id=creation_id),
    )
