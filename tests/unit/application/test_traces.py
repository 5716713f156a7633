from __future__ import annotations

from decimal import Decimal

import pytest

from fakes.entries import (
    NOON_NS,
    SECOND_NS,
    TENANT,
    a_call,
    a_price,
    a_refusal,
    an_attempt,
    an_entry,
    an_event,
    an_ownership,
    an_unknown,
    event_id,
    no_charge,
)
from fakes.ledger import FakeLedger
from tallygate.application.traces import Trace, trace_in
from tallygate.domain.ledger.events import Entry, EventKind

TRACE = "tr_9f4c"


def trace_of(*entries: Entry) -> Trace:
    ledger = FakeLedger()
    ledger.append(entries)
    trace = trace_in(ledger, TRACE)
    assert trace is not None
    return trace


def an_attempt_of(call_id: str, number: int, parent: str | None = None) -> Entry:
    return an_entry(
        number,
        call=a_call(call_id=call_id, parent_call_id=parent),
        attempt=an_attempt(number=number, opened_at_ns=NOON_NS + number * SECOND_NS),
    )


def test_a_trace_that_nobody_knows_is_none() -> None:
    assert trace_in(FakeLedger(), TRACE) is None


def test_the_total_is_the_exact_sum_of_the_attempts() -> None:
    costs = ["0.000000000001", "1234567.000000000001", "0.1"]

    trace = trace_of(*(an_entry(n, cost=cost) for n, cost in enumerate(costs, start=1)))

    assert trace.total == Decimal("1234567.100000000002")
    assert [attempt.cost for attempt in trace.attempts] == [Decimal(cost) for cost in costs]
    assert trace.unpriced == 0


def test_an_attempt_without_a_price_is_counted_and_not_summed() -> None:
    trace = trace_of(an_entry(1), an_entry(2, cost=None))

    assert (trace.total, trace.unpriced) == (Decimal("0.00453"), 1)
    assert [attempt.unpriced_reason for attempt in trace.attempts] == [None, "usage_missing"]


def test_another_currency_is_never_added_to_dollars() -> None:
    euros = Entry(an_event(2), a_price("1", currency="EUR"))

    trace = trace_of(an_entry(1), euros)

    assert (trace.total, trace.unpriced) == (Decimal("0.00453"), 1)
    assert [attempt.unpriced_reason for attempt in trace.attempts] == [None, "currency_EUR"]


def test_a_refusal_stands_apart_from_the_attempts() -> None:
    trace = trace_of(Entry(a_refusal(1), no_charge()), an_entry(2))

    assert [row["event_id"] for row in trace.refusals] == [event_id(1)]
    assert [attempt.event_id for attempt in trace.attempts] == [event_id(2)]


def test_a_call_that_was_only_refused_has_its_place_in_time() -> None:
    trace = trace_of(Entry(a_refusal(1), no_charge()))

    assert [call.started_at_ns for call in trace.calls] == [NOON_NS]


def test_a_correction_stands_in_the_place_of_what_it_corrects() -> None:
    unknown = Entry(an_unknown(1), a_price(None))
    first = an_event(3, kind=EventKind.CORRECTION, corrects_event_id=event_id(1))
    second = an_event(2, kind=EventKind.CORRECTION, corrects_event_id=event_id(1))

    trace = trace_of(unknown, Entry(first, a_price("2")), Entry(second, a_price("-0.5")))

    (attempt,) = trace.attempts
    assert attempt.event_id == event_id(1)
    assert attempt.row["event_id"] == event_id(2)
    assert attempt.row["status"] == "ok"
    assert attempt.corrections == (event_id(3), event_id(2))
    assert (attempt.cost, attempt.unpriced_reason) == (Decimal("1.5"), None)


def test_a_correction_whose_original_is_elsewhere_is_shown_all_the_same() -> None:
    correction = an_event(2, kind=EventKind.CORRECTION, corrects_event_id=event_id(1))

    trace = trace_of(Entry(correction, a_price("2")))

    assert [attempt.event_id for attempt in trace.attempts] == [event_id(2)]
    assert trace.total == Decimal(2)


def test_attempts_stand_in_their_own_order_and_calls_in_that_of_time() -> None:
    trace = trace_of(
        an_attempt_of("call-b", 3), an_attempt_of("call-a", 2), an_attempt_of("call-a", 1)
    )

    assert [call.call_id for call in trace.calls] == ["call-a", "call-b"]
    assert [attempt.row["attempt_number"] for attempt in trace.attempts] == [1, 2, 3]


def test_a_parent_stands_before_its_children() -> None:
    trace = trace_of(
        an_attempt_of("child", 1, parent="root"),
        an_attempt_of("root", 2),
        an_attempt_of("grandchild", 3, parent="child"),
        an_attempt_of("stranger", 4, parent="not-in-this-trace"),
    )

    assert [(call.call_id, call.parent) for call in trace.calls] == [
        ("root", None),
        ("child", "root"),
        ("grandchild", "child"),
        ("stranger", None),
    ]


@pytest.mark.parametrize(
    "parents",
    [
        pytest.param({"a": "a"}, id="its own parent"),
        pytest.param({"a": "c", "b": "a", "c": "b"}, id="a circle of three"),
        pytest.param({"root": None, "a": "b", "b": "a"}, id="a circle beside a tree"),
    ],
)
def test_a_circle_of_parents_loses_no_call(parents: dict[str, str | None]) -> None:
    trace = trace_of(
        *(
            an_attempt_of(call_id, number, parent)
            for number, (call_id, parent) in enumerate(parents.items(), start=1)
        )
    )

    assert sorted(call.call_id for call in trace.calls) == sorted(parents)
    seen: set[str | None] = {None}
    for call in trace.calls:
        assert call.parent in seen
        seen.add(call.call_id)


def test_what_all_lines_say_is_said_of_the_trace_and_what_differs_is_named() -> None:
    trace = trace_of(
        an_entry(1, ownership=an_ownership(user_id_hash=None)),
        an_entry(2, ownership=an_ownership(owner_team="team-platform", user_id_hash=None)),
    )

    assert trace.shared == {
        "owner_team": None,
        "workflow_id": "wf-17",
        "feature": "ticket-triage",
        "tenant_id_hash": TENANT,
        "user_id_hash": None,
    }
    assert trace.differing == ("owner_team",)
