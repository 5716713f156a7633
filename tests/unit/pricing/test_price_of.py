"""From an event to a price: what is known, what is known to be free, and what is not known."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.entries import (
    NOON_NS,
    a_refusal,
    an_activation,
    an_attempt,
    an_event,
    an_outcome,
    an_unknown,
)
from fakes.rule_books import FakeRuleBooks, a_book, book_data
from tallygate.application.pricing import price_of
from tallygate.domain.ledger.events import Event, EventKind, Outcome, Price, PriceStatus, Status
from tallygate.domain.pricing.rule_book_data import rule_book_from_data
from tallygate.domain.usage.meters import Meter
from tallygate.domain.usage.normalisers import FORMATS

BOOK = a_book()
BOOKS = FakeRuleBooks([BOOK])
USAGE: dict[str, Any] = {
    "prompt_tokens": 10_000,
    "completion_tokens": 1000,
    "total_tokens": 11_000,
    "prompt_tokens_details": {"cached_tokens": 2000},
}


def answered(**changes: Any) -> Event:
    facts: dict[str, Any] = {"usage": USAGE, "usage_format": "litellm"}
    return an_event(outcome=an_outcome(**facts | changes))


def unanswered(status: Status, **changes: Any) -> Event:
    return an_event(outcome=Outcome(status=status, settled_at_ns=NOON_NS, **changes))


def test_an_answer_is_priced_with_lines_that_add_up() -> None:
    price = price_of(answered(), BOOKS)

    assert price.status is PriceStatus.PRICED
    assert price.cost == Decimal("0.0355")
    assert sum(line.cost for line in price.lines) == price.cost
    assert [line.meter for line in price.lines] == [Meter.INPUT, Meter.CACHE_READ, Meter.OUTPUT]
    assert price.billing_rule_version == "openai-pricing-2026-01-01"
    assert price.billing_rule_digest == BOOK.digest
    assert price.currency == "USD"
    assert price.usage is not None
    assert price.usage.normaliser == "openai/1"


def test_a_correction_is_priced_as_the_attempt_would_have_been() -> None:
    event = an_event(kind=EventKind.CORRECTION, outcome=answered().outcome, corrects_event_id="e0")

    assert price_of(event, BOOKS) == price_of(answered(), BOOKS)


@pytest.mark.parametrize(
    "event",
    [a_refusal(), an_event(outcome=an_outcome(status=Status.REFUSED)), an_activation()],
    ids=["refusal", "refused attempt", "activation"],
)
def test_what_calls_no_provider_costs_nothing(event: Event) -> None:
    assert price_of(event, BOOKS) == Price(status=PriceStatus.NOT_BILLED, cost=Decimal(0))


def test_a_cache_hit_costs_nothing_and_says_what_it_avoided() -> None:
    price = price_of(answered(status=Status.CACHE_HIT), BOOKS)

    assert price.status is PriceStatus.NOT_BILLED
    assert price.cost == 0
    assert price.avoided_cost == Decimal("0.0355")
    assert price.lines == ()
    assert price.billing_rule_version == "openai-pricing-2026-01-01"


def test_a_cache_hit_of_unknown_price_costs_nothing_all_the_same() -> None:
    price = price_of(answered(status=Status.CACHE_HIT, response_model="gpt-9"), BOOKS)

    assert price.status is PriceStatus.NOT_BILLED
    assert price.cost == 0
    assert price.avoided_cost is None


def test_an_error_that_the_provider_answered_is_not_billed() -> None:
    event = unanswered(Status.ERROR, http_status=429, error_type="RateLimitError")

    assert price_of(event, BOOKS) == Price(status=PriceStatus.NOT_BILLED, cost=Decimal(0))


def test_zeros_beside_an_answered_error_are_no_usage() -> None:
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    event = unanswered(Status.ERROR, http_status=500, usage=zeros, usage_format="litellm")

    assert price_of(event, BOOKS).status is PriceStatus.NOT_BILLED


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(an_unknown(), id="unknown"),
        pytest.param(unanswered(Status.TIMEOUT, http_status=408), id="timeout"),
        pytest.param(unanswered(Status.CANCELLED), id="cancelled"),
        pytest.param(unanswered(Status.OK, http_status=200), id="an answer without usage"),
        pytest.param(unanswered(Status.ERROR), id="an error without an answer"),
        pytest.param(
            unanswered(Status.ERROR, http_status=500, error_type="APIConnectionError"),
            id="a connection that broke, with LiteLLM's made-up 500",
        ),
        pytest.param(an_event(outcome=None), id="opened only"),
        pytest.param(an_event(attempt=None), id="no attempt"),
    ],
)
def test_what_may_have_been_billed_is_unpriced(event: Event) -> None:
    price = price_of(event, BOOKS)

    assert price.status is PriceStatus.UNPRICED
    assert price.cost is None
    assert price.unpriced_reason == "usage_missing"


@pytest.mark.parametrize("status", [Status.ERROR, Status.TIMEOUT, Status.CANCELLED])
def test_usage_that_was_seen_is_priced_however_it_ended(status: Status) -> None:
    assert price_of(answered(status=status), BOOKS).cost == Decimal("0.0355")


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        pytest.param(answered(usage={"prompt_tokens": -1}), "usage_unreadable", id="usage"),
        pytest.param(answered(usage_format="morse"), "usage_unreadable", id="format"),
        pytest.param(answered(response_model="gpt-9"), "no_model_rate", id="model"),
        pytest.param(answered(service_tier="turbo"), "unknown_axis", id="tier"),
        pytest.param(
            answered(usage={"prompt_tokens": 1, "prompt_tokens_details": {"audio_tokens": 1}}),
            "no_meter_rate",
            id="meter",
        ),
        pytest.param(
            an_event(attempt=an_attempt(provider="cohere"), outcome=answered().outcome),
            "no_rule_book",
            id="provider",
        ),
    ],
)
def test_the_reason_is_the_code_of_the_error(event: Event, reason: str) -> None:
    price = price_of(event, BOOKS)

    assert (price.status, price.cost, price.unpriced_reason) == (
        PriceStatus.UNPRICED,
        None,
        reason,
    )


def test_an_unpriced_event_keeps_its_tokens_and_the_book_that_lacks_the_price() -> None:
    price = price_of(answered(response_model="gpt-9"), BOOKS)

    assert price.usage is not None
    assert price.usage.counts.input_tokens == 10_000
    assert price.billing_rule_version == "openai-pricing-2026-01-01"


def test_the_model_asked_for_counts_when_the_answer_names_none() -> None:
    event = an_event(
        attempt=an_attempt(request_model="openai/gpt-5.4"),
        outcome=an_outcome(usage=USAGE, usage_format="litellm", response_model=None),
    )

    assert price_of(event, BOOKS).cost == Decimal("0.0355")


def with_tiers(asked: str | None, served: str | None, usage: dict[str, Any] | None = None) -> Event:
    return an_event(
        attempt=an_attempt(request_service_tier=asked),
        outcome=an_outcome(
            usage=usage or {"prompt_tokens": 1000}, usage_format="litellm", service_tier=served
        ),
    )


def test_the_tier_that_served_the_call_counts() -> None:
    assert price_of(with_tiers("flex", "default"), BOOKS).cost == Decimal("0.0025")
    assert price_of(with_tiers(None, "flex"), BOOKS).cost == Decimal("0.00125")
    assert price_of(with_tiers("auto", None), BOOKS).cost == Decimal("0.0025")


def test_the_tier_within_the_usage_counts_when_nothing_else_says_it() -> None:
    usage = {"prompt_tokens": 1000, "service_tier": "flex"}

    assert price_of(with_tiers(None, None, usage), BOOKS).cost == Decimal("0.00125")


def test_a_tier_that_was_only_asked_for_is_not_assumed() -> None:
    assert price_of(with_tiers("flex", None), BOOKS).unpriced_reason == "unknown_axis"


def test_where_it_was_computed_counts() -> None:
    usage = {"prompt_tokens": 1000, "inference_geo": "us"}
    by_region = an_event(attempt=an_attempt(region="us"), outcome=with_tiers(None, None).outcome)

    assert price_of(with_tiers(None, None, usage), BOOKS).cost == Decimal("0.00275")
    assert price_of(by_region, BOOKS).cost == Decimal("0.00275")


def test_a_cost_that_the_ledger_cannot_hold_is_a_fault_of_the_usage() -> None:
    rows = [{"when": {}, "input": "10000000"}]
    example = {"model": "m", "usage": {"input": 0}, "at": "2026-06-01T00:00:00Z", "cost": "0"}
    book = a_book(axes={}, models=[{"match": {"names": ["m"]}, "prices": rows}], examples=[example])

    price = price_of(
        answered(response_model="m", usage={"prompt_tokens": 10**6}), FakeRuleBooks([book])
    )

    assert price.unpriced_reason == "usage_unreadable"


def test_a_tier_that_nobody_sells_does_not_make_a_call_invisible() -> None:
    assert price_of(with_tiers("zzz", None), BOOKS).cost == Decimal("0.0025")


@pytest.mark.parametrize("operation", ["count_tokens", "retrieve_batch", "file_content"])
@pytest.mark.parametrize(
    "outcome",
    [
        an_outcome(usage=None, usage_format=None),
        an_outcome(usage=USAGE),
        an_outcome(status=Status.ERROR, http_status=500, usage=None),
        an_outcome(status=Status.UNKNOWN, http_status=None, usage=None),
    ],
)
def test_what_generates_nothing_is_not_billed_however_it_ends(
    operation: str, outcome: Outcome
) -> None:
    event = an_event(attempt=an_attempt(operation=operation), outcome=outcome)

    assert price_of(event, BOOKS) == Price(status=PriceStatus.NOT_BILLED, cost=Decimal(0))


@pytest.mark.parametrize("operation", ["execute_tool", "ocr", "anything else"])
def test_what_may_be_billed_is_unpriced_without_usage(operation: str) -> None:
    event = an_event(
        attempt=an_attempt(operation=operation), outcome=an_outcome(usage=None, usage_format=None)
    )

    assert price_of(event, BOOKS).unpriced_reason == "usage_missing"


def test_usage_that_stands_on_events_of_its_own_is_not_charged_twice() -> None:
    session = an_event(
        attempt=an_attempt(operation="realtime"),
        outcome=an_outcome(detail="usage_apart", usage=None, usage_format=None),
    )

    assert price_of(session, BOOKS) == Price(status=PriceStatus.NOT_BILLED, cost=Decimal(0))


def test_the_usage_of_a_batch_is_priced_as_a_batch_whatever_its_records_say() -> None:
    data = book_data()
    data["axes"]["service_tier"]["map"]["batch"] = "flex"
    books = FakeRuleBooks([rule_book_from_data(data)])
    event = an_event(
        kind=EventKind.USAGE,
        attempt=an_attempt(operation="batch"),
        outcome=an_outcome(usage={"prompt_tokens": 1000}, service_tier="default"),
    )

    assert price_of(event, books).cost == Decimal("0.00125")
    assert price_of(event, BOOKS).unpriced_reason == "unknown_axis"


@pytest.mark.parametrize(
    ("words", "cost"),
    [
        ({"serviceTier": "flex"}, "0.00125"),
        ({"trafficType": "auto"}, "0.0025"),
        ({"serviceTier": "flex", "trafficType": "auto"}, "0.00125"),
    ],
)
def test_googles_words_for_a_tier_are_read(words: dict[str, str], cost: str) -> None:
    usage = {"promptTokenCount": 1000, **words}

    price = price_of(answered(usage=usage, usage_format="gemini", service_tier=None), BOOKS)

    assert price.cost == Decimal(cost)


def test_a_request_with_a_price_of_its_own_is_priced_by_the_book_of_its_host() -> None:
    rows = [{"when": {}, "requests": "0.05"}]
    example = {
        "model": "/v1/ask",
        "usage": {"requests": 3},
        "at": "2026-06-01T00:00:00Z",
        "cost": "0.15",
    }
    book = a_book(
        provider="gateway.example.com",
        per=1,
        per_meter={},
        axes={},
        models=[{"match": {"names": ["any"], "patterns": ["^.*$"]}, "prices": rows}],
        examples=[example],
    )
    event = an_event(
        attempt=an_attempt(
            provider="gateway.example.com", operation="pass_through", request_model="/v1/ask"
        ),
        outcome=an_outcome(
            response_model=None, usage={"requests": 1}, usage_format="counted", service_tier=None
        ),
    )

    assert price_of(event, FakeRuleBooks([book])).cost == Decimal("0.05")


words = st.none() | st.text(max_size=12)
junk = st.dictionaries(
    st.sampled_from(
        [
            *USAGE,
            "service_tier",
            "speed",
            "x",
            "seconds",
            "input_tokens",
            "images",
            "size",
            "promptTokenCount",
            "promptTokensDetails",
            "inputTokens",
            "cacheDetails",
            "billed_units",
        ]
    ),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.lists(st.none()),
)


@given(
    status=st.sampled_from(Status),
    usage=st.none() | junk,
    usage_format=st.sampled_from([None, *FORMATS, "x"]),
    model=words,
    tier=words,
    http_status=st.none() | st.integers(),
)
def test_no_event_makes_it_raise(
    status: Status,
    usage: dict[str, Any] | None,
    usage_format: str | None,
    model: str | None,
    tier: str | None,
    http_status: int | None,
) -> None:
    price = price_of(
        answered(
            status=status,
            usage=usage,
            usage_format=usage_format,
            response_model=model,
            service_tier=tier,
            http_status=http_status,
        ),
        BOOKS,
    )

    assert (price.cost is None) == (price.status is PriceStatus.UNPRICED)
