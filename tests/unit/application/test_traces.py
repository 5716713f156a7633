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
    an_activation,
    an_attempt,
    an_entry,
    an_event,
    an_ownership,
    an_unknown,
    event_id,
    no_charge,
)
from fakes.ledger import FakeLedger
from tallygate.application.traces import MOST_BEYOND, Cause, Trace, trace_in
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


def hop(
    call_id: str,
    number: int,
    service: str,
    *,
    parent: str | None = None,
    trace: str = TRACE,
    trace_source: str = "received",
    at_ns: int | None = None,
) -> Entry:
    call = a_call(call_id=call_id, trace_id=trace, trace_source=trace_source, parent_call_id=parent)
    when = an_attempt(opened_at_ns=at_ns or NOON_NS + number * SECOND_NS)
    return an_entry(number, call=call, attempt=when, ownership=an_ownership(service=service))


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


def test_an_activation_is_no_call_of_a_trace() -> None:
    activation = Entry(an_activation(2), no_charge())
    ledger = FakeLedger()
    ledger.append([activation])

    assert [call.call_id for call in trace_of(an_attempt_of("call-1", 1), activation).calls] == [
        "call-1"
    ]
    assert trace_in(ledger, TRACE) is None


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
    assert [call.cause for call in trace.calls].count(Cause.CIRCLE) == 1


def test_a_circle_is_cut_at_its_earliest_call_and_not_at_what_hangs_below() -> None:
    trace = trace_of(
        an_attempt_of("hanging", 1, parent="b"),
        an_attempt_of("b", 3, parent="a"),
        an_attempt_of("a", 2, parent="b"),
    )

    assert [(call.call_id, call.parent, call.cause) for call in trace.tree] == [
        ("a", None, Cause.CIRCLE),
        ("b", "a", Cause.CALL),
        ("hanging", "b", Cause.CALL),
    ]


def test_a_call_says_where_its_parent_is() -> None:
    ledger = FakeLedger()
    elsewhere = a_call(call_id="far", trace_id="tr_far")
    ledger.append(
        [
            an_entry(1, call=elsewhere),
            an_attempt_of("root", 2),
            an_attempt_of("child", 3, parent="root"),
            an_attempt_of("orphan", 4, parent="nobody"),
            an_attempt_of("guest", 5, parent="far"),
        ]
    )

    trace = trace_in(ledger, TRACE)

    assert trace is not None
    found = {call.call_id: (call.cause, call.parent_trace_id) for call in trace.tree}
    assert found == {
        "root": (Cause.NONE, None),
        "child": (Cause.CALL, None),
        "orphan": (Cause.UNKNOWN, None),
        "guest": (Cause.ELSEWHERE, "tr_far"),
    }


def test_a_parent_may_be_named_by_an_id_of_the_provider() -> None:
    parent = an_entry(1, call=a_call(call_id="root"))  # its outcome has req_1

    trace = trace_of(parent, an_attempt_of("child", 2, parent="req_1"))

    assert [(call.call_id, call.parent) for call in trace.tree][1] == ("child", "root")


def test_a_fan_out_of_services_is_one_tree_though_a_hop_lost_the_trace() -> None:
    trace = trace_of(
        hop("plan", 1, "support-assistant", trace_source="minted"),
        hop("search", 2, "knowledge-search", parent="plan"),
        hop("lost", 3, "batch-summaries", parent="plan", trace="tr_new", trace_source="minted"),
        hop("after", 4, "knowledge-search", parent="lost", trace="tr_new"),
        hop("alien", 5, "knowledge-search", trace="tr_alien"),
    )

    assert [(call.call_id, call.parent, call.is_broken_hop) for call in trace.tree] == [
        ("plan", None, False),
        ("search", "plan", False),
        ("lost", "plan", True),
        ("after", "lost", False),
    ]
    assert [call.service for call in trace.calls] == ["support-assistant", "knowledge-search"]
    assert [call.call_id for call in trace.beyond] == ["lost", "after"]
    assert trace.total == Decimal("0.00906"), "another trace's cost is in another trace's sum"
    assert not trace.is_cut


def test_what_a_broken_hop_caused_is_followed_up_to_a_limit() -> None:
    many = MOST_BEYOND + 5
    ledger = FakeLedger()
    ledger.append(
        [
            hop("plan", 1, "support-assistant"),
            *(hop(f"lost-{n}", n + 2, "s", parent="plan", trace=f"tr_{n}") for n in range(many)),
        ]
    )

    trace = trace_in(ledger, TRACE)

    assert trace is not None
    assert len(trace.beyond) == MOST_BEYOND
    assert trace.is_cut


@pytest.mark.parametrize(
    ("seconds", "is_found"), [(-60, True), (-61, False), (86_399, True), (86_400, False)]
)
def test_effects_in_other_traces_are_looked_for_within_a_day(seconds: int, is_found: bool) -> None:
    trace = trace_of(
        hop("plan", 1, "support-assistant", at_ns=NOON_NS),
        hop("lost", 2, "s", parent="plan", trace="tr_new", at_ns=NOON_NS + seconds * SECOND_NS),
    )

    assert [call.call_id for call in trace.beyond] == ["lost"] * is_found


def test_orphans_of_one_parent_are_all_told() -> None:
    trace = trace_of(hop("first", 1, "s", parent="nobody"), hop("second", 2, "s", parent="nobody"))

    assert [call.cause for call in trace.tree] == [Cause.UNKNOWN] * 2


def test_usage_that_came_apart_is_no_attempt_and_is_in_the_sum() -> None:
    turn = an_event(2, kind=EventKind.USAGE, attempt=an_attempt(parent_event_id=event_id(1)))
    later = an_event(3, kind=EventKind.USAGE, attempt=an_attempt(parent_event_id=event_id(1)))

    trace = trace_of(an_entry(1), Entry(turn, a_price("2")), Entry(later, a_price(None)))

    assert [attempt.event_id for attempt in trace.attempts] == [event_id(1)]
    assert [line.event_id for line in trace.usage] == [event_id(2), event_id(3)]
    assert (trace.total, trace.unpriced) == (Decimal("2.00453"), 1)


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
