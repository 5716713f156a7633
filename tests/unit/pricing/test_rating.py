"""
Rating is exact, adds up, and refuses to guess.

The table holds prices worked by hand; the properties hold for every book, so they use made-up ones.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.rule_books import a_book, book_data
from tallygate.domain.kernel.instants import ns_from_text
from tallygate.domain.pricing.rating import rate, total_of
from tallygate.domain.pricing.rule_book import Conditions, RuleBook
from tallygate.domain.pricing.rule_book_data import rule_book_from_data
from tallygate.domain.usage.meters import Meter, NormalisedUsage, TokenCounts
from tallygate.errors import NoMeterRate, NoModelRate, NoRuleBook, UnknownAxis

NOON_NS = ns_from_text("2026-11-21T12:00:00Z")
BOOK = a_book()


def used(input_total: int | None = None, **meters: int) -> NormalisedUsage:
    quantities = {Meter(name): count for name, count in meters.items()}
    total = sum(meters.values()) if input_total is None else input_total
    return NormalisedUsage("test/1", TokenCounts(input_tokens=total, output_tokens=0), quantities)


def cost_of(usage: NormalisedUsage, model: str = "gpt-5.4", **conditions: Any) -> Decimal:
    return total_of(rate(usage, BOOK, model, Conditions(**conditions), NOON_NS))


@pytest.mark.parametrize(
    ("usage", "conditions", "cost"),
    [
        pytest.param(used(), {}, "0", id="nothing used costs nothing"),
        pytest.param(used(input=1), {}, "0.0000025", id="one token"),
        pytest.param(used(input=8000, cache_read=2000), {}, "0.0205", id="cached tokens"),
        pytest.param(used(1, output=2, reasoning=3), {}, "0.000075", id="reasoning as output"),
        pytest.param(used(input=1000), {"service_tier": "flex"}, "0.00125", id="flex"),
        pytest.param(used(input=1000), {"service_tier": "auto"}, "0.0025", id="auto"),
        pytest.param(used(272_000, input=2), {}, "0.000005", id="at the boundary: short"),
        pytest.param(used(272_001, input=2), {}, "0.00001", id="past the boundary: long, all"),
        pytest.param(used(input=1000), {"residency": "us"}, "0.00275", id="uplift"),
        pytest.param(
            used(1, input=1, web_searches=3), {"residency": "us"}, "0.03000275", id="not on fees"
        ),
        pytest.param(
            used(input=5), {"requested_service_tier": "default"}, "0.0000125", id="asked: default"
        ),
        pytest.param(
            used(input=4),
            {"requested_service_tier": "flex", "service_tier": "default"},
            "0.00001",
            id="served, not asked, counts",
        ),
    ],
)
def test_the_cost_is_the_one_worked_by_hand(
    usage: NormalisedUsage, conditions: dict[str, str], cost: str
) -> None:
    assert cost_of(usage, **conditions) == Decimal(cost)


def test_lines_stand_in_the_order_of_meters() -> None:
    lines = rate(
        used(1, web_searches=1, output=2, input=3, cache_read=0),
        BOOK,
        "gpt-5.4",
        Conditions(),
        NOON_NS,
    )

    assert [(line.meter, line.quantity) for line in lines] == [
        (Meter.INPUT, 3),
        (Meter.OUTPUT, 2),
        (Meter.WEB_SEARCHES, 1),
    ]
    assert [line.unit_price for line in lines] == [
        Decimal("0.0000025"),
        Decimal("0.000015"),
        Decimal("0.01"),
    ]


def test_usage_without_a_rate_is_never_free() -> None:
    with pytest.raises(NoMeterRate, match=r"no price for cache_write_1h of gpt-5\.4"):
        cost_of(used(input=5, cache_write_1h=1))


def test_inheriting_from_a_meter_without_a_price_is_no_price_either() -> None:
    with pytest.raises(NoMeterRate, match="reasoning of text-embedding-3-small"):
        cost_of(used(input=5, reasoning=1), "text-embedding-3-small")


def test_a_meter_that_was_not_used_needs_no_rate() -> None:
    assert cost_of(used(input=4, cache_write_1h=0)) == Decimal("0.00001")


def test_a_model_that_is_not_listed_has_no_price() -> None:
    with pytest.raises(NoModelRate, match=r"does not list the model 'gpt-5\.4-ultra'"):
        cost_of(used(input=1), "gpt-5.4-ultra")


def test_a_pattern_matches_whole_names_only() -> None:
    assert cost_of(used(input=4), "gpt-5.4-2026-03-05") == Decimal("0.00001")
    with pytest.raises(NoModelRate):
        cost_of(used(input=4), "gpt-5.4-2026-03-05\n")


def test_a_model_that_two_entries_match_has_no_price() -> None:
    data = book_data()
    data["models"][1]["match"]["patterns"] = [r"^gpt-5\.4-2026-.*$"]
    book = rule_book_from_data(data)

    with pytest.raises(NoModelRate, match=r"under gpt-5\.4 and text-embedding-3-small"):
        rate(used(input=1), book, "gpt-5.4-2026-03-05", Conditions(), NOON_NS)


@pytest.mark.parametrize(
    ("usage", "conditions", "said"),
    [
        pytest.param(used(input=1), {"service_tier": "turbo"}, "'turbo' is not in", id="a tier"),
        pytest.param(used(input=1), {"residency": "mars"}, "residency 'mars'", id="a place"),
        pytest.param(used(input=1), {"residency": "eu"}, "residency eu", id="a place not sold"),
        pytest.param(
            used(300_000, input=1),
            {"service_tier": "flex"},
            "service_tier flex, context long",
            id="a row not sold",
        ),
        pytest.param(
            used(input=1),
            {"requested_service_tier": "flex"},
            "'flex' was asked for, and which one served",
            id="asked for, and not reported",
        ),
        pytest.param(used(input=1), {"batch": True}, "'batch' is not in", id="a batch"),
        pytest.param(
            used(input=1),
            {"batch": True, "service_tier": "default"},
            "'batch' is not in",
            id="a batch whose records name another tier",
        ),
    ],
)
def test_a_condition_without_a_price_is_unknown(
    usage: NormalisedUsage, conditions: dict[str, str], said: str
) -> None:
    with pytest.raises(UnknownAxis, match=said):
        cost_of(usage, **conditions)


@pytest.mark.parametrize(
    ("usage", "tier"),
    [
        pytest.param(used(input=1), "turbo", id="a tier that the book does not know"),
        pytest.param(used(300_000, input=1), "flex", id="a tier that this model is not sold in"),
    ],
)
def test_a_tier_that_cannot_have_been_bought_hides_nothing(
    usage: NormalisedUsage, tier: str
) -> None:
    assert cost_of(usage, requested_service_tier=tier) == cost_of(usage)


def test_a_tier_at_the_same_price_is_no_question() -> None:
    embedded = used(input=1000)

    assert cost_of(embedded, "text-embedding-3-small", requested_service_tier="flex") == Decimal(
        "0.00002"
    )


def test_what_was_worked_out_once_is_not_taken_for_another_call() -> None:
    book = a_book()

    def cost(usage: NormalisedUsage, **conditions: Any) -> Decimal:
        return total_of(rate(usage, book, "gpt-5.4", Conditions(**conditions), NOON_NS))

    in_turn = [
        cost(used(input=1000)),
        cost(used(input=1000), service_tier="flex"),
        cost(used(input=1000), residency="us"),
        cost(used(300_000, input=1000)),
        cost(used(input=1000)),
    ]

    assert in_turn == [
        Decimal(text) for text in ["0.0025", "0.00125", "0.00275", "0.005", "0.0025"]
    ]


def test_names_that_callers_make_up_do_not_fill_the_memory() -> None:
    book = a_book()
    for i in range(10_000):
        asked = Conditions(requested_service_tier=f"tier-{i}")
        rate(used(input=1), book, "gpt-5.4", asked, NOON_NS)

    assert len(book.settled_prices) < 5000


def summed(**meters: int) -> NormalisedUsage:
    usage = used(**meters)
    return NormalisedUsage(usage.normaliser, usage.counts, usage.meters, summed=True)


def test_a_sum_over_many_calls_is_priced_where_length_cannot_matter() -> None:
    assert cost_of(summed(input=272_000)) == Decimal("0.68")
    assert cost_of(summed(input=10**6), "text-embedding-3-small") == Decimal("0.02")


def test_a_sum_that_may_hold_long_calls_is_unknown() -> None:
    with pytest.raises(UnknownAxis, match="only the sum over several is known"):
        cost_of(summed(input=272_001))


IMAGES = book_data(
    per_meter={"images": 1, "requests": 1},
    axes=book_data()["axes"]
    | {
        "size": {"map": {"1024x1024": "square", "1792x1024": "wide"}, "absent": None}
        | {"unknown": "error"},
        "quality": {"map": {"hd": "hd"}, "absent": "standard", "unknown": "error"},
    },
    models=[
        *book_data()["models"],
        {
            "match": {"names": ["painter"]},
            "uplifts": {"residency": {"global": "1"}},
            "prices": [
                {
                    "when": {"service_tier": ["standard", "flex"], "size": size}
                    | {"quality": quality},
                    "images": price,
                }
                for size, quality, price in [
                    ("square", "standard", "0.04"),
                    ("square", "hd", "0.08"),
                    ("wide", "standard", "0.08"),
                    ("wide", "hd", "0.12"),
                ]
            ],
        },
    ],
)


@pytest.mark.parametrize(
    ("conditions", "cost"),
    [
        ({"size": "1024x1024"}, "0.08"),
        ({"size": "1024x1024", "quality": "hd"}, "0.16"),
        ({"size": "1792x1024", "quality": "hd"}, "0.24"),
    ],
)
def test_an_image_costs_by_its_size_and_quality(conditions: dict[str, str], cost: str) -> None:
    book = rule_book_from_data(IMAGES)

    lines = rate(used(0, images=2), book, "painter", Conditions(**conditions), NOON_NS)

    assert total_of(lines) == Decimal(cost)


@pytest.mark.parametrize("conditions", [{}, {"size": "1x1"}])
def test_an_image_of_a_size_without_a_price_is_unknown(conditions: dict[str, str]) -> None:
    with pytest.raises(UnknownAxis, match="size"):
        rate(
            used(0, images=1),
            rule_book_from_data(IMAGES),
            "painter",
            Conditions(**conditions),
            NOON_NS,
        )


def test_size_and_quality_concern_only_the_models_whose_rows_name_them() -> None:
    book = rule_book_from_data(IMAGES)

    lines = rate(used(input=1000), book, "gpt-5.4", Conditions(quality="any"), NOON_NS)

    assert total_of(lines) == Decimal("0.0025")


def test_a_book_without_tiers_has_no_batch_price() -> None:
    rows = [{"when": {}, "input": "1"}]
    example = {"model": "m", "usage": {"input": 0}, "at": "2026-06-01T00:00:00Z", "cost": "0"}
    book = a_book(axes={}, models=[{"match": {"names": ["m"]}, "prices": rows}], examples=[example])

    with pytest.raises(UnknownAxis, match="no batch prices"):
        rate(used(input=1), book, "m", Conditions(batch=True), NOON_NS)


def test_a_condition_must_be_reported_where_the_book_has_no_default() -> None:
    data = book_data()
    data["axes"]["speed"] = {"map": {"standard": "standard"}, "absent": None, "unknown": "error"}
    data["examples"][0]["speed"] = "standard"
    book = rule_book_from_data(data)

    with pytest.raises(UnknownAxis, match="speed was not reported"):
        rate(used(input=1), book, "gpt-5.4", Conditions(), NOON_NS)


def test_a_book_prices_nothing_outside_its_period() -> None:
    with pytest.raises(NoRuleBook):
        rate(used(input=1), BOOK, "gpt-5.4", Conditions(), ns_from_text("2025-12-31T23:59:59Z"))


def between(begin: str, end: str | None) -> RuleBook:
    example = book_data()["examples"][0] | {"at": f"{begin}T00:00:00Z"}
    effective = {"from": f"{begin}T00:00:00Z", "to": end and f"{end}T00:00:00Z"}
    return a_book(effective=effective, examples=[example])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("2026-01-01", "2026-03-01"), ("2026-03-01", None), False),
        (("2026-01-01", "2026-03-02"), ("2026-03-01", None), True),
        (("2026-01-01", None), ("2026-03-01", "2026-04-01"), True),
        (("2026-01-01", "2026-02-01"), ("2026-03-01", "2026-04-01"), False),
    ],
)
def test_periods_overlap_as_half_open_ones_do(
    one: tuple[str, str | None], other: tuple[str, str | None], expected: bool
) -> None:
    assert between(*one).overlaps(between(*other)) is expected
    assert between(*other).overlaps(between(*one)) is expected


prices = st.decimals(min_value=0, max_value=1000, places=6).map(lambda price: format(price, "f"))
quantities = st.dictionaries(st.sampled_from(Meter), st.integers(min_value=0, max_value=10**9))


@given(card=st.fixed_dictionaries(dict.fromkeys(Meter, prices)), quantity=quantities)
def test_the_total_equals_the_sum_in_rational_arithmetic(
    card: dict[Meter, str], quantity: dict[Meter, int]
) -> None:
    row = {"when": {}, **{meter.value: price for meter, price in card.items()}}
    example = {"model": "m", "usage": {"input": 0}, "at": "2026-06-01T00:00:00Z", "cost": "0"}
    book = a_book(
        axes={},
        inherit={},
        models=[{"match": {"names": ["m"]}, "prices": [row]}],
        examples=[example],
    )
    usage = NormalisedUsage("test/1", TokenCounts(input_tokens=0, output_tokens=0), quantity)
    per = {meter: 1000 if meter is Meter.WEB_SEARCHES else 10**6 for meter in Meter}

    lines = rate(usage, book, "m", Conditions(), NOON_NS)

    expected = sum(Fraction(card[m]) * n / per[m] for m, n in quantity.items())
    assert Fraction(total_of(lines)) == expected
    assert [line.meter for line in lines] == [m for m in Meter if quantity.get(m)]
