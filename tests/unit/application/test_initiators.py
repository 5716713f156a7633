from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fakes.entries import (
    a_call,
    an_attempt,
    an_event,
    an_outcome,
    an_ownership,
    event_id,
    settled,
)
from fakes.ledger import FakeLedger
from fakes.rule_books import FakeRuleBooks
from fakes.spool_reader import FakeSpoolReader
from tallygate.application.drain import drain_once
from tallygate.application.ports import EventFilter
from tallygate.domain.ledger.events import Event, EventKind, Status

EVERYTHING = EventFilter()


def a_creation(number: int = 1, batch: str = "batch_1", **changes: Any) -> Event:
    return an_event(
        number,
        call=a_call(
            call_type="acreate_batch", principal_team="team-creator", principal_key_hash="key-1"
        ),
        outcome=an_outcome(response_id=batch, usage=None),
        ownership=an_ownership(
            owner_team="team-creator", environment="staging", extra={"campaign": "spring"}
        ),
        **changes,
    )


def a_batch_usage(number: int = 2, batch: str | None = "batch_1", **call: Any) -> Event:
    return an_event(
        number,
        kind=EventKind.USAGE,
        call=a_call(
            **{"call_type": "acreate_batch", "principal_team": "team-poller", "call_id": "call-2"}
            | call
        ),
        attempt=an_attempt(operation="batch"),
        outcome=an_outcome(response_id=batch),
        ownership=an_ownership(owner_team="team-poller"),
    )


def booked(ledger: FakeLedger, *batches: tuple[Event, ...]) -> dict[str, Any]:
    """Drain each group in a batch of its own and return the line of the usage."""
    for number, events in enumerate(batches):
        reader = FakeSpoolReader()
        reader.write(*map(settled, events), writer_id=f"writer-{number}")
        drain_once(reader, ledger, FakeRuleBooks([]))
    (row,) = ledger.rows(EventFilter(equals={"kind": "usage"}))
    return dict(row)


@pytest.mark.parametrize(
    "batches",
    [
        pytest.param([(a_creation(),), (a_batch_usage(),)], id="booked before"),
        pytest.param([(a_creation(), a_batch_usage())], id="in the same batch"),
        pytest.param([(a_batch_usage(), a_creation())], id="in the same batch, later"),
    ],
)
def test_a_batch_is_paid_by_who_created_it(batches: list[tuple[Event, ...]]) -> None:
    ledger = FakeLedger()

    row = booked(ledger, *batches)

    assert row["owner_team"] == row["principal_team"] == "team-creator"
    assert row["principal_key_hash"] == "key-1"
    assert (row["environment"], row["extra"]) == ("staging", {"campaign": "spring"})
    assert row["sources"] == {"owner_team": "header", "service": "header"}
    assert row["tenant_id_hash"] == an_ownership().tenant_id_hash
    assert row["parent_event_id"] == event_id(1)
    assert row["call_id"] == "call-2"
    assert row["detail"] is None


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "booked before"])
def test_a_creation_whose_end_came_late_is_still_the_creation(*, together: bool) -> None:
    unknown = replace(
        a_creation(), outcome=an_outcome(status=Status.UNKNOWN, response_id=None, usage=None)
    )
    late = ((a_creation(), a_batch_usage()),) if together else ((a_creation(),), (a_batch_usage(),))

    row = booked(FakeLedger(), (unknown,), *late)

    assert row["owner_team"] == row["principal_team"] == "team-creator"
    assert row["parent_event_id"] == event_id(1)
    assert row["detail"] is None


def test_the_first_of_two_creations_counts() -> None:
    row = booked(FakeLedger(), (a_creation(1), a_creation(3)), (a_batch_usage(),))

    assert row["parent_event_id"] == event_id(1)


@pytest.mark.parametrize("batch", ["batch_2", None])
def test_a_batch_whose_creation_nobody_saw_stays_with_who_asked(batch: str | None) -> None:
    row = booked(FakeLedger(), (a_creation(),), (a_batch_usage(batch=batch),))

    assert row["owner_team"] == row["principal_team"] == "team-poller"
    assert row["parent_event_id"] is None
    assert row["detail"] == "initiator_unknown"


def test_usage_of_anything_else_keeps_its_owner() -> None:
    row = booked(FakeLedger(), (a_creation(),), (a_batch_usage(call_type="_arealtime"),))

    assert (row["owner_team"], row["detail"]) == ("team-poller", None)


def test_an_answer_of_the_background_is_paid_by_who_asked_for_it() -> None:
    ledger = FakeLedger()
    asked = replace(a_creation(batch="resp_1"), call=a_call(call_type="aresponses"))
    read = a_batch_usage(batch="resp_1", call_type="aget_responses")

    row = booked(ledger, (asked,), (read,))

    assert row["owner_team"] == "team-creator"
    assert row["parent_event_id"] == asked.event_id


def test_what_its_own_process_has_seen_begin_is_not_looked_for() -> None:
    ledger = FakeLedger()

    row = booked(ledger, (a_batch_usage(batch="resp_1", call_type="aresponses"),))

    assert row["owner_team"] == "team-poller"
    assert row["detail"] is None


RECORDS = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
SUM = {**RECORDS, "records": 1, "shortest_input_tokens": 0, "longest_input_tokens": 9}
EACH = {**RECORDS, "records": 1, "shortest_input_tokens": 9, "longest_input_tokens": 9}


def a_bill(number: int, usage: dict[str, Any]) -> Event:
    return replace(a_batch_usage(number), outcome=an_outcome(response_id="batch_1", usage=usage))


@pytest.mark.parametrize(
    ("batches", "kept"),
    [
        pytest.param([(a_bill(2, SUM),), (a_bill(3, EACH),)], 2, id="the sum first"),
        pytest.param([(a_bill(2, EACH),), (a_bill(3, SUM),)], 2, id="the records first"),
        pytest.param([(a_bill(2, SUM), a_bill(3, EACH))], 3, id="together: the records"),
    ],
)
def test_a_batch_is_billed_in_one_way_only(batches: list[tuple[Event, ...]], kept: int) -> None:
    row = booked(FakeLedger(), *batches)

    assert row["event_id"] == event_id(kept)


def test_several_groups_of_one_batchs_records_are_all_billed() -> None:
    ledger = FakeLedger()
    reader = FakeSpoolReader()
    reader.write(settled(a_bill(2, EACH)), settled(a_bill(3, EACH)))
    drain_once(reader, ledger, FakeRuleBooks([]))
    more = FakeSpoolReader()
    more.write(settled(a_bill(4, EACH)), writer_id="writer-2")
    drain_once(more, ledger, FakeRuleBooks([]))

    rows = ledger.rows(EventFilter(equals={"kind": "usage"}))
    assert [row["event_id"] for row in rows] == [event_id(2), event_id(3), event_id(4)]
