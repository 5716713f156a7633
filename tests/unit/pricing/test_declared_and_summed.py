"""
Prices that come with the request, and usage that is a sum over the records of a batch.

A sum is priced by the length of its calls only where all of them lie in one step.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.entries import NOON_NS, an_attempt, an_event, an_outcome
from fakes.rule_books import FakeRuleBooks, a_book, book_data
from tallygate.application.pricing import DECLARED, DECLARED_RULE, price_of
from tallygate.domain.kernel.money import e12_from_amount
from tallygate.domain.ledger.events import Event, Price, PriceStatus, Status
from tallygate.domain.pricing.rating import rate, total_of
from tallygate.domain.pricing.rule_book import Conditions
from tallygate.domain.pricing.rule_book_data import rule_book_from_data
from tallygate.domain.usage.meters import Meter, NormalisedUsage, TokenCounts
from tallygate.domain.usage.normalisers import LONGEST, RECORDS, SHORTEST, normalise
from tallygate.errors import UnknownAxis, UsageMissing, UsageUnreadable

BOOK: Final = a_book()
BOOKS: Final = FakeRuleBooks([BOOK])
STEP: Final = 272_000
"""Up to here a call is short in the book."""


# Declared by the proxy's config.


def declared(unit_price: object, requests: object = 1, **changes: Any) -> Event:
    usage = {"requests": requests, "unit_price": unit_price}
    return an_event(outcome=an_outcome(usage=usage, usage_format=DECLARED, **changes))


def test_a_declared_price_is_the_cost() -> None:
    price = price_of(declared("0.25"), BOOKS)

    assert (price.status, price.cost) == (PriceStatus.PRICED, Decimal("0.25"))
    (line,) = price.lines
    assert (line.meter, line.quantity, line.cost) == (Meter.REQUESTS, 1, Decimal("0.25"))
    assert price.billing_rule_version == DECLARED_RULE
    assert price.billing_rule_digest is None


def test_a_declared_price_needs_no_rule_book() -> None:
    assert price_of(declared("0.25"), FakeRuleBooks([])).cost == Decimal("0.25")


def test_it_counts_before_what_the_answer_says_was_used() -> None:
    usage = {"requests": 1, "unit_price": "0.25", "reported": {"prompt_tokens": 10**6}}
    event = an_event(outcome=an_outcome(usage=usage, usage_format=DECLARED))

    assert price_of(event, BOOKS).cost == Decimal("0.25")


@pytest.mark.parametrize(
    "unit_price",
    ["-0.01", "9000000.01", "1e30", "Infinity", "NaN", "sNaN", "free", "", None, [], "1e-13"],
)
def test_a_declared_price_that_cannot_be_booked_is_not_known(unit_price: object) -> None:
    price = price_of(declared(unit_price), BOOKS)

    assert (price.status, price.cost) == (PriceStatus.UNPRICED, None)
    assert price.unpriced_reason == UsageUnreadable.code


@pytest.mark.parametrize("requests", [None, [1], {}, "one", -1])
def test_a_number_of_requests_that_is_none_is_not_known(requests: object) -> None:
    assert price_of(declared("0.25", requests), BOOKS).status is PriceStatus.UNPRICED


@given(cost=st.floats(min_value=0, exclude_min=True))
def test_whatever_float_a_config_holds_the_ledger_can_hold_its_price_or_it_is_not_known(
    cost: float,
) -> None:
    price = price_of(declared(repr(cost)), BOOKS)

    if price.cost is None:
        assert price.status is PriceStatus.UNPRICED
    else:
        assert e12_from_amount(price.cost) == price.cost * 10**12
        assert price.cost == Decimal(repr(cost))


def test_an_answer_from_the_cache_avoids_the_declared_price() -> None:
    price = price_of(declared("0.25", status=Status.CACHE_HIT), BOOKS)

    assert (price.status, price.cost) == (PriceStatus.NOT_BILLED, 0)
    assert price.avoided_cost == Decimal("0.25")


# Sums over records.


def a_sum(shortest: int, longest: int, tokens: int = 400_000, **usage: Any) -> dict[str, Any]:
    counts = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
    return {**counts, RECORDS: 7, SHORTEST: shortest, LONGEST: longest, **usage}


def test_a_sum_is_read_by_the_convention_of_its_records() -> None:
    alone = {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35}
    found = normalise("openai", "openai_chat", {**alone, RECORDS: 3, SHORTEST: 5, LONGEST: 15})
    single = normalise("openai", "openai_chat", alone)

    assert (found.meters, found.counts) == (single.meters, single.counts)
    assert (found.summed, found.span) == (True, (5, 15))
    assert (single.summed, single.span) == (False, None)


@pytest.mark.parametrize(
    ("provider", "usage_format", "counts", "normaliser"),
    [
        ("anthropic", "anthropic", {"input_tokens": 30, "output_tokens": 5}, "anthropic/1"),
        ("openai", "openai_responses", {"input_tokens": 30, "output_tokens": 5}, "openai/1"),
        ("openai", "litellm", {"prompt_tokens": 30, "completion_tokens": 5}, "openai/1"),
    ],
)
def test_records_stand_beside_any_convention(
    provider: str, usage_format: str, counts: dict[str, int], normaliser: str
) -> None:
    found = normalise(provider, usage_format, {**counts, RECORDS: 2, SHORTEST: 1, LONGEST: 9})

    assert (found.normaliser, found.span) == (normaliser, (1, 9))


@pytest.mark.parametrize("odd", [-1, "5", 2.5, True, 10**12])
@pytest.mark.parametrize("name", [SHORTEST, LONGEST])
def test_a_length_that_is_no_count_is_unreadable(name: str, odd: object) -> None:
    with pytest.raises(UsageUnreadable):
        normalise("openai", "openai_chat", {**a_sum(5, 15), name: odd})


def test_records_without_a_count_are_no_usage() -> None:
    with pytest.raises(UsageMissing):
        normalise("openai", "openai_chat", {RECORDS: 3, SHORTEST: 0, LONGEST: 0})


def test_a_count_that_nobody_knows_is_no_less_unknown_in_a_sum() -> None:
    with pytest.raises(UsageUnreadable):
        normalise("openai", "openai_chat", {**a_sum(5, 15), "new_tokens": 3})


def summed(span: tuple[int, int] | None, total: int = 400_000) -> NormalisedUsage:
    counts = TokenCounts(input_tokens=total, output_tokens=0)
    return NormalisedUsage("test/1", counts, {Meter.INPUT: total}, summed=True, span=span)


def cost_of(usage: NormalisedUsage, model: str = "gpt-5.4") -> Decimal:
    return total_of(rate(usage, BOOK, model, Conditions(), NOON_NS))


@pytest.mark.parametrize(
    ("span", "cost"),
    [
        pytest.param((1, 10), "1.00", id="all short, though their sum is long"),
        pytest.param((STEP, STEP), "1.00", id="all at the step"),
        pytest.param((STEP + 1, 300_000), "2.00", id="all long"),
        pytest.param((STEP + 1, STEP + 1), "2.00", id="all just past it"),
    ],
)
def test_a_sum_whose_records_lie_on_one_side_of_a_step_has_its_price(
    span: tuple[int, int], cost: str
) -> None:
    assert cost_of(summed(span)) == Decimal(cost)


@pytest.mark.parametrize("span", [(STEP, STEP + 1), (0, 400_000), None])
def test_a_sum_whose_records_may_lie_on_both_sides_has_none(span: tuple[int, int] | None) -> None:
    with pytest.raises(UnknownAxis):
        cost_of(summed(span))


def test_a_sum_that_is_short_as_a_whole_has_only_short_records() -> None:
    assert cost_of(summed((0, 100), total=100)) == cost_of(summed(None, total=100))
    assert cost_of(summed(None, total=STEP)) == Decimal("0.68")


def test_a_model_without_steps_is_priced_whatever_the_span() -> None:
    spans = [None, (0, 400_000), (1, 10)]
    costs = {cost_of(summed(span), "text-embedding-3-small") for span in spans}

    assert costs == {Decimal("0.008")}


@given(
    lengths=st.lists(st.integers(1, 2 * STEP), min_size=1, max_size=6),
)
def test_a_sum_costs_what_its_records_cost_or_is_not_known(lengths: list[int]) -> None:
    def alone(length: int) -> NormalisedUsage:
        counts = TokenCounts(input_tokens=length, output_tokens=0)
        return NormalisedUsage("test/1", counts, {Meter.INPUT: length})

    each = sum(cost_of(alone(length)) for length in lengths)
    whole = summed((min(lengths), max(lengths)), total=sum(lengths))
    try:
        found = cost_of(whole)
    except UnknownAxis:
        assert min(lengths) <= STEP < max(lengths)
    else:
        assert found == each


# To a price.


def with_batches() -> FakeRuleBooks:
    data = book_data()
    data["axes"]["service_tier"]["map"]["batch"] = "batch"
    data["models"] = data["models"][:1]
    half = {"when": {"service_tier": "batch", "context": "short"}, "input": "1.25", "output": "7.5"}
    long = {"when": {"service_tier": "batch", "context": "long"}, "input": "2.5", "output": "11"}
    data["models"][0]["prices"] += [half, long]
    return FakeRuleBooks([rule_book_from_data(data)])


def batch_price(usage: dict[str, Any]) -> Price:
    outcome = an_outcome(usage=usage, usage_format="openai_chat", service_tier=None)
    event = an_event(attempt=an_attempt(operation="batch"), outcome=outcome)
    return price_of(event, with_batches())


def test_a_batch_is_priced_by_its_records_at_batch_prices() -> None:
    short, long = batch_price(a_sum(1, 10)), batch_price(a_sum(STEP + 1, STEP + 9))

    assert (short.status, short.cost) == (PriceStatus.PRICED, Decimal("0.5"))
    assert (long.status, long.cost) == (PriceStatus.PRICED, Decimal(1))


def test_a_batch_of_which_only_the_sum_is_known_may_have_no_price() -> None:
    price = batch_price(a_sum(0, 400_000))

    assert (price.status, price.unpriced_reason) == (PriceStatus.UNPRICED, UnknownAxis.code)
    assert price.cost is None
    assert batch_price(a_sum(0, 100, tokens=100)).status is PriceStatus.PRICED
