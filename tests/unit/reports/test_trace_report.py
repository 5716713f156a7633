"""A fan-out of three services, with a broken hop, an orphan, a circle and refusals."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from fakes.entries import (
    NOON_NS,
    SECOND_NS,
    a_call,
    a_price,
    a_refusal,
    an_attempt,
    an_entry,
    an_event,
    an_ownership,
    event_id,
    no_charge,
)
from fakes.ledger import FakeLedger
from tallygate.application.traces import Trace, trace_in
from tallygate.domain.ledger.events import Entry, EventKind
from tallygate.reports.trace import trace_document, trace_tree

TRACE = "tr_9f4c"


def facts_of(service: str, **call: Any) -> dict[str, Any]:
    return {"call": a_call(**call), "ownership": an_ownership(service=service)}


def hop(number: int, service: str, cost: str | None = "0.5", **call: Any) -> Entry:
    when = an_attempt(opened_at_ns=NOON_NS + number * SECOND_NS)
    return an_entry(number, cost=cost, attempt=when, **facts_of(service, **call))


def ledger_of(*entries: Entry) -> FakeLedger:
    ledger = FakeLedger()
    ledger.append(entries)
    return ledger


def shown(trace: Trace) -> list[str]:
    console = Console(width=200, file=io.StringIO(), force_terminal=False)
    with console.capture() as capture:
        console.print(trace_tree(trace))
    return [line.rstrip() for line in capture.get().splitlines()]


def trace_of(*entries: Entry, trace_id: str = TRACE) -> Trace:
    found = trace_in(ledger_of(*entries), trace_id)
    assert found is not None
    return found


@pytest.fixture
def fan_out() -> Trace:
    at_ns = NOON_NS + 4 * SECOND_NS
    refused = facts_of(
        "batch-summaries", call_id="denied", parent_call_id="plan", started_at_ns=at_ns
    )
    return trace_of(
        hop(1, "support-assistant", call_id="plan", trace_source="minted"),
        hop(2, "knowledge-search", call_id="search", parent_call_id="plan"),
        hop(3, "knowledge-search", None, call_id="rank", parent_call_id="search"),
        Entry(a_refusal(4, call_count=2, **refused), no_charge(cost=Decimal(0))),
        hop(
            5,
            "batch-summaries",
            "0.25",
            call_id="lost",
            parent_call_id="plan",
            trace_id="tr_new",
            trace_source="minted",
        ),
        hop(6, "knowledge-search", call_id="orphan", parent_call_id="nobody"),
    )


def test_the_tree_shows_each_hop_below_its_cause(fan_out: Trace) -> None:
    lines = shown(fan_out)

    tree = lines[lines.index("trace tr_9f4c") :]
    attempt = "#1 ok  openai/gpt-5.4-2026-03-05  3,400 in (1,200 cached), 620 out  812 ms  "
    lost = "call lost  batch-summaries  2026-11-21T12:00:05Z"
    orphan = "call orphan  knowledge-search  2026-11-21T12:00:06Z"
    assert tree == [
        "trace tr_9f4c",
        "├── call plan  support-assistant  2026-11-21T12:00:01Z  trace minted",
        f"│   ├── {attempt}$0.5",
        "│   ├── call search  knowledge-search  2026-11-21T12:00:02Z  trace received",
        f"│   │   ├── {attempt}$0.5",
        "│   │   └── call rank  knowledge-search  2026-11-21T12:00:03Z  trace received",
        "│   │       └── #1 ok  openai/gpt-5.4-2026-03-05  812 ms  unpriced  (usage_missing)",
        "│   ├── call denied  batch-summaries  2026-11-21T12:00:04Z  trace received",
        "│   │   └── refused 400  ownership_missing:feature",
        f"│   └── {lost}  trace minted here: broken hop as tr_new",
        f"│       └── {attempt}$0.25",
        f"└── {orphan}  trace received  orphan: its parent nobody is not in the ledger",
        f"    └── {attempt}$0.5",
        "support-assistant: 1 call, 1 attempt, $0.5, 1 minted",
        "knowledge-search: 3 calls, 3 attempts, $1, 1 unpriced",
        "batch-summaries: 1 call, 0 attempts, $0, 2 refused",
        "4 attempts, $1.5, 1 unpriced, 2 refused",
        "not in the sum: 1 call in other traces, $0.25",
    ]


def test_the_document_has_the_hops_and_sums_only_its_own(fan_out: Trace) -> None:
    document = trace_document(fan_out)

    assert [
        (hop["call_id"], hop["parent_call_id"], hop["parent"], hop["trace_source"])
        for hop in document["hops"]
    ] == [
        ("plan", None, "none", "minted"),
        ("search", "plan", "call", "received"),
        ("rank", "search", "call", "received"),
        ("denied", "plan", "call", "received"),
        ("lost", "plan", "call", "minted"),
        ("orphan", "nobody", "unknown", "received"),
    ]
    by_id = {hop["call_id"]: hop for hop in document["hops"]}
    assert [name for name, hop in by_id.items() if hop["is_broken_hop"]] == ["lost"]
    assert by_id["lost"]["trace_id"] == "tr_new"
    assert by_id["rank"]["estimated_cost_usd"] is None
    assert by_id["denied"]["refused"] == 2
    costs = [call["estimated_cost_usd"] for call in document["provider_calls"]]
    assert document["total_estimated_cost_usd"] == "1.5"
    assert sum(Decimal(cost) for cost in costs if cost) == Decimal("1.5")
    assert document["services"][1] == {
        "service": "knowledge-search",
        "calls": 3,
        "attempts": 3,
        "refused": 0,
        "minted": 0,
        "estimated_cost_usd": "1",
        "unpriced_calls": 1,
    }


def test_a_broken_off_trace_says_where_it_came_from() -> None:
    trace = trace_of(
        hop(1, "support-assistant", call_id="plan"),
        hop(2, "s", call_id="lost", parent_call_id="plan", trace_id="new", trace_source="minted"),
        trace_id="new",
    )

    line = next(line for line in shown(trace) if "call lost" in line)
    assert line.endswith("minted here: broken hop  its parent plan is in trace tr_9f4c")
    assert trace_document(trace)["hops"][0]["parent_trace_id"] == TRACE


def test_a_circle_is_shown_where_it_was_cut() -> None:
    trace = trace_of(
        hop(1, "s", call_id="a", parent_call_id="b"), hop(2, "s", call_id="b", parent_call_id="a")
    )

    line = next(line for line in shown(trace) if "call a" in line)
    assert line.endswith("circle: its parent b stands below it")
    assert [hop["parent"] for hop in trace_document(trace)["hops"]] == ["circle", "call"]


def test_usage_that_came_apart_stands_below_its_call_and_in_the_sum() -> None:
    turn = an_event(2, kind=EventKind.USAGE, attempt=an_attempt(parent_event_id=event_id(1)))
    trace = trace_of(an_entry(1, cost="0.5"), Entry(turn, a_price("0.25")))

    lines, document = shown(trace), trace_document(trace)

    assert any("1 attempt, $0.75 with its usage" in line for line in lines)
    assert any("usage  gpt-5.4-2026-03-05  3,400 in, 620 out  $0.25" in line for line in lines)
    assert lines[-1] == "1 attempts, $0.75"
    assert [one["event_id"] for one in document["provider_calls"]] == [event_id(1)]
    (line,) = document["usage_lines"]
    assert (line["parent_event_id"], line["estimated_cost_usd"]) == (event_id(1), "0.25")
    assert document["total_estimated_cost_usd"] == "0.75"


def test_a_call_of_which_nothing_is_known_costs_no_zero() -> None:
    retried = an_attempt(number=2)
    trace = trace_of(an_entry(1, cost=None), an_entry(2, cost=None, attempt=retried))

    assert any("2 attempts: unpriced" in line for line in shown(trace))


def test_a_callers_text_in_a_parent_is_no_markup() -> None:
    trace = trace_of(hop(1, "s", call_id="a", parent_call_id="[red]\x1b[31mx"))

    assert any("its parent [red]\N{REPLACEMENT CHARACTER}[31mx is" in line for line in shown(trace))
