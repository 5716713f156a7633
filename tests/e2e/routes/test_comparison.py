"""The comparison itself: what it must find, shown on books that are wrong in one place each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from e2e.routes.caller import Caller
from e2e.routes.comparison import Book, differences
from e2e.routes.scenario import CHAT, REFUSED_BY_PROVIDER, Scenario

SCENARIO = Scenario(
    name="retried",
    act=Caller.chat,
    attempts=(REFUSED_BY_PROVIDER, CHAT),
    cost="0.0000615",
    traceparent="minted",
)
COUNTS = {"cached": 0, "cache_write_5m": 0, "cache_write_1h": 0, "reasoning": 0}


@pytest.fixture
def caller() -> Iterator[Caller]:
    with Caller("http://127.0.0.1:1") as made:
        said = {"call-id": "call", "decision-id": "decision", "trace-id": made.trace_id}
        said |= {"mode": "enforce", "action": "admit"}
        made.answers.append({f"x-tallygate-{name}": value for name, value in said.items()})
        yield made


def call(caller: Caller, number: int, **known: Any) -> dict[str, Any]:
    return {
        "operation": "chat",
        "path": "/v1/chat/completions",
        "model": "gpt-5.4-mini",
        "status": 200,
        "ended": "complete",
        "provider_request_id": f"req_{number}",
        "usage": {"prompt_tokens": 40},
        "billed": {"input": 40, "output": 7, **COUNTS},
        "parts": [],
        "headers": {"traceparent": f"00-{caller.trace_id}-{number:016x}-01"},
        **known,
    }


def row(caller: Caller, number: int, **known: Any) -> dict[str, Any]:
    return {
        "kind": "attempt",
        "operation": "chat",
        "status": "ok",
        "http_status": 200,
        "detail": None,
        "request_model": "gpt-5.4-mini",
        "provider_request_id": f"req_{number}",
        "usage_source": "reported",
        "price_status": "priced",
        "input_tokens": 40,
        "output_tokens": 7,
        "cache_read_input_tokens": 0,
        "cache_creation_input_tokens": None,
        "reasoning_output_tokens": None,
        "cost": Decimal("0.0000615"),
        "owner_team": "team-support",
        "trace_id": caller.trace_id,
        "action": "admit",
        "mode": "enforce",
        "decision_id": "decision",
        "call_id": "call",
        "policy_revision": "sha256:0",
        "route": "/v1/chat/completions",
        **known,
    }


def agreeing(caller: Caller) -> tuple[Book, Book]:
    refused = {"status": 500, "ended": "error", "usage": None, "billed": None}
    calls = [call(caller, 1, **refused), call(caller, 2)]
    failed = {"status": "error", "http_status": 500, "usage_source": "none", "cost": Decimal()}
    failed |= {"price_status": "not_billed", "input_tokens": None, "output_tokens": None}
    return calls, [row(caller, 1, **failed), row(caller, 2)]


def test_books_that_agree_have_no_difference(caller: Caller) -> None:
    assert differences(SCENARIO, caller, *agreeing(caller)) == []


Spoil = Callable[[Book, Book], object]
SPOILED: dict[str, tuple[Spoil, str]] = {
    "an attempt is missing": (lambda calls, rows: rows.pop(0), "req_1 is not in the ledger"),
    "an attempt is there twice": (
        lambda calls, rows: rows.append(rows[1]),
        "req_2 once more than the provider",
    ),
    "a provider call is in no book": (
        lambda calls, rows: calls.append({**calls[1], "provider_request_id": "req_3"}),
        "req_3 is not in the ledger",
    ),
    "ids are swapped": (
        lambda calls, rows: [
            rows[0].update(provider_request_id="req_2"),
            rows[1].update(provider_request_id="req_1"),
        ],
        "HTTP 500 is booked as 200",
    ),
    "a count is off by one": (
        lambda calls, rows: rows[1].update(output_tokens=8),
        "booked as reported",
    ),
    "cached tokens are not told apart": (
        lambda calls, rows: calls[1]["billed"].update(cached=10),
        "booked as reported",
    ),
    "the cost is wrong": (
        lambda calls, rows: rows[1].update(cost=Decimal("0.0000616")),
        "0.0000615 expected",
    ),
    "the price is not known": (
        lambda calls, rows: rows[1].update(cost=None, price_status="unpriced"),
        "'unpriced'",
    ),
    "another team pays": (
        lambda calls, rows: rows[0].update(owner_team="team-search"),
        "owner_team is team-search",
    ),
    "the trace is another": (lambda calls, rows: rows[0].update(trace_id="x"), "trace_id is x"),
    "the decision is missing": (
        lambda calls, rows: rows[1].update(decision_id=""),
        "has no decision_id",
    ),
    "a stream that was cut is taken for whole": (
        lambda calls, rows: calls[1].update(ended="cut"),
        "taken for the provider's word",
    ),
    "an estimate is far above the bill": (
        lambda calls, rows: [
            calls[1].update(ended="cut"),
            rows[1].update(usage_source="estimated", input_tokens=400),
        ],
        "400 input tokens estimated",
    ),
    "a call is still open": (lambda calls, rows: calls[1].update(ended="open"), "not ended yet"),
    "the provider got no trace": (
        lambda calls, rows: calls[1]["headers"].clear(),
        "got the trace none",
    ),
    "two attempts went out as one span": (
        lambda calls, rows: calls[1].update(headers=calls[0]["headers"]),
        "spans that the provider got",
    ),
    "usage is billed beside the attempt": (
        lambda calls, rows: rows.append({**rows[1], "kind": "usage", "provider_request_id": None}),
        "usage events",
    ),
    "the ledger invents a cache hit": (
        lambda calls, rows: rows.append({**rows[1], "status": "cache_hit"}),
        "rows that no provider saw",
    ),
    "the model is another": (
        lambda calls, rows: rows[1].update(request_model="gpt-5.4"),
        "booked as gpt-5.4",
    ),
}


@pytest.mark.parametrize(("spoil", "found"), SPOILED.values(), ids=SPOILED)
def test_what_is_wrong_is_found(spoil: Spoil, found: str, caller: Caller) -> None:
    calls, rows = agreeing(caller)

    spoil(calls, rows)

    assert found in "\n".join(differences(SCENARIO, caller, calls, rows))


@pytest.mark.parametrize("name", ["call-id", "decision-id", "trace-id", "mode", "action"])
def test_a_response_that_does_not_say_who_decided_is_found(name: str, caller: Caller) -> None:
    calls, rows = agreeing(caller)
    said = dict(caller.answers.pop())
    del said[f"x-tallygate-{name}"]

    caller.answers.append(said)

    assert any(name in line for line in differences(SCENARIO, caller, calls, rows))
