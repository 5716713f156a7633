from __future__ import annotations

import csv
import io
from decimal import Decimal

import orjson
from rich.console import Console, RenderableType

from fakes.entries import (
    a_call,
    a_decision,
    a_price,
    a_refusal,
    an_activation,
    an_attempt,
    an_entry,
    an_event,
    an_outcome,
    an_ownership,
    an_unknown,
    event_id,
    no_charge,
)
from fakes.ledger import FakeLedger
from tallygate.application.ports import EventFilter
from tallygate.application.traces import Trace, trace_in
from tallygate.domain.ledger.events import Entry, EventKind, Status
from tallygate.reports.events import events_table, write_csv, write_json
from tallygate.reports.trace import trace_document, trace_tree

EVERYTHING = EventFilter()


def ledger_of(*entries: Entry) -> FakeLedger:
    ledger = FakeLedger()
    ledger.append(entries)
    return ledger


def trace_of(*entries: Entry) -> Trace:
    trace = trace_in(ledger_of(*entries), "tr_9f4c")
    assert trace is not None
    return trace


def as_shown(what: RenderableType, width: int = 200) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def table_of(*entries: Entry, width: int = 200) -> str:
    ledger = ledger_of(*entries)
    return as_shown(events_table(list(ledger.rows(EVERYTHING)), ledger.total(EVERYTHING)), width)


def test_an_activation_shows_what_was_taken_and_why() -> None:
    shown = table_of(
        Entry(an_activation(1), no_charge()), Entry(an_activation(2, ended=True), no_charge())
    )

    assert "bg-support-outage: the flag service is down" in shown
    assert "activated" in shown
    assert "ended" in shown
    assert "unattributed" not in shown


def test_a_callers_text_is_no_markup_and_no_control_sequence() -> None:
    shown = table_of(an_entry(1, ownership=an_ownership(service="[red]a\x1b[31mb\u202ec")))

    assert "[red]a\N{REPLACEMENT CHARACTER}[31mb\N{REPLACEMENT CHARACTER}c" in shown


def test_an_unpriced_event_is_never_shown_as_nothing() -> None:
    shown = table_of(an_entry(1, cost=None))

    assert "unpriced" in shown
    assert "$0" not in shown


def test_a_narrow_terminal_still_shows_whole_costs() -> None:
    assert "$1234567.000000000001" in table_of(an_entry(1, cost="1234567.000000000001"), width=80)


def test_aggregates_corrections_and_other_currencies_are_told_apart() -> None:
    shown = table_of(
        Entry(a_refusal(1, call_count=40), no_charge()),
        Entry(an_event(2, kind=EventKind.CORRECTION, corrects_event_id=event_id(9)), a_price("-1")),
    )
    assert "refused x40" in shown
    assert "ok (corrects)" in shown
    assert "$-1" in shown

    assert "EUR 2" in table_of(Entry(an_event(1), a_price("2", currency="EUR")))


def test_report_only_shows_what_would_have_happened() -> None:
    event = an_event(1, decision=a_decision(would_action="reject", mode="report_only"))

    assert "admit, would reject" in table_of(Entry(event, a_price()))


def test_dollars_are_never_another_currency() -> None:
    stream = io.StringIO()

    rows = ledger_of(Entry(an_event(1), a_price("2", currency="EUR"))).rows(EVERYTHING)
    write_json(rows, stream, articles=True)

    assert orjson.loads(stream.getvalue())[0]["computed_cost_usd"] is None


def test_csv_keeps_negative_numbers_and_defuses_formulas() -> None:
    correction = an_event(
        1,
        kind=EventKind.CORRECTION,
        corrects_event_id=event_id(9),
        ownership=an_ownership(workflow_id="@sum(a1)", feature="-2+3"),
    )
    stream = io.StringIO()

    write_csv(ledger_of(Entry(correction, a_price("-0.5"))).rows(EVERYTHING), stream)

    (row,) = csv.DictReader(io.StringIO(stream.getvalue()))
    assert (row["cost"], row["workflow_id"], row["feature"]) == ("-0.5", "'@sum(a1)", "'-2+3")


def test_a_trace_shows_causes_above_effects_and_marks_what_differs() -> None:
    child = an_entry(
        2,
        call=a_call(call_id="child", parent_call_id="call-1"),
        ownership=an_ownership(owner_team="team-platform"),
        outcome=an_outcome(status=Status.CACHE_HIT),
    )

    shown = as_shown(trace_tree(trace_of(an_entry(1), child)))

    assert "owner_team: differs between calls" in shown
    assert shown.index("call call-1") < shown.index("call child")
    assert "    └── #1 cache_hit" in shown


def test_a_trace_says_where_a_cost_comes_from_or_why_there_is_none() -> None:
    unknown = Entry(an_unknown(1), a_price(None))
    correction = an_event(2, kind=EventKind.CORRECTION, corrects_event_id=event_id(1))
    elsewhere = an_entry(3, attempt=an_attempt(number=2, retry_of_event_id=event_id(7)), cost=None)

    trace = trace_of(unknown, Entry(correction, a_price("0.5")), elsewhere)
    shown = as_shown(trace_tree(trace))
    document = trace_document(trace)

    assert "$0.5  (corrected)" in shown
    assert "unpriced  (usage_missing, a retry)" in shown
    assert document["provider_calls"][0]["corrected_by"] == [event_id(2)]
    assert document["total_estimated_cost_usd"] == "0.5"
    assert document["unpriced_calls"] == 1


def test_a_trace_of_refusals_alone_costs_nothing() -> None:
    trace = trace_of(Entry(a_refusal(1, call_count=3, outcome=None), no_charge(cost=Decimal(0))))

    assert "0 attempts, $0, 3 refused" in as_shown(trace_tree(trace))
    assert trace_document(trace)["refusals"][0]["call_count"] == 3
