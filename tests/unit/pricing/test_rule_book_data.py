"""What a schema cannot say about a rule book; faults are data, all of them at once."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from fakes.rule_books import a_book, book_data
from tallygate.domain.pricing.rule_book_data import rule_book_from_data
from tallygate.domain.usage.meters import Meter
from tallygate.errors import Problem, RuleBookInvalid


def problems_of(data: dict[str, Any]) -> tuple[Problem, ...]:
    with pytest.raises(RuleBookInvalid) as caught:
        rule_book_from_data(data)
    return caught.value.problems


def test_a_sound_document_becomes_a_book() -> None:
    book = a_book()

    assert book.billing_rule_version == "openai-pricing-2026-01-01"
    assert book.currency == "USD"
    assert book.inherit == {Meter.REASONING: Meter.OUTPUT}
    row = book.models[0].rows[0]
    assert row.prices[Meter.INPUT] == Decimal("0.0000025")
    assert row.prices[Meter.WEB_SEARCHES] == Decimal("0.01")
    assert book.axes["residency"].values == ("us", "eu", "global")


def test_equal_documents_have_equal_digests_and_a_price_changes_it() -> None:
    other = book_data()
    other["models"][1]["prices"][0]["input"] = "0.03"

    assert a_book().digest == a_book().digest
    assert rule_book_from_data(other).digest != a_book().digest


def test_what_is_optional_may_be_absent() -> None:
    data = book_data(
        axes={}, models=[{"match": {"names": ["m"]}, "prices": [{"when": {}, "input": "1"}]}]
    )
    data["examples"] = [
        {"model": "m", "usage": {"input": 1}, "at": "2026-01-01T00:00:00Z", "cost": "0.000001"}
    ]
    del data["inherit"], data["per_meter"]

    assert rule_book_from_data(data).models[0].context == ()


def a_float(data: dict[str, Any]) -> None:
    data["models"][0]["prices"][0]["input"] = 2.5


def a_whole_number(data: dict[str, Any]) -> None:
    data["models"][0]["prices"][0]["input"] = 2


def seven_decimals(data: dict[str, Any]) -> None:
    data["models"][0]["prices"][0]["input"] = "2.5000001"


def an_exponent(data: dict[str, Any]) -> None:
    data["models"][0]["prices"][0]["input"] = "25E-1"


def a_price_longer_than_any(data: dict[str, Any]) -> None:
    data["models"][0]["prices"][0]["input"] = "9" * 31


def prices_and_not_sold(data: dict[str, Any]) -> None:
    data["models"][0]["prices"][3]["input"] = "1"


def neither_prices_nor_not_sold(data: dict[str, Any]) -> None:
    del data["models"][0]["prices"][3]["not_sold"]


def a_row_without_an_axis(data: dict[str, Any]) -> None:
    del data["models"][0]["prices"][0]["when"]["context"]


def a_row_on_an_axis_of_the_uplifts(data: dict[str, Any]) -> None:
    data["models"][1]["prices"][0]["when"]["residency"] = "global"


def a_value_that_the_map_does_not_have(data: dict[str, Any]) -> None:
    data["models"][1]["prices"][0]["when"]["service_tier"] = ["standard", "turbo"]


def an_uncovered_combination(data: dict[str, Any]) -> None:
    del data["models"][0]["prices"][3]


def a_combination_covered_twice(data: dict[str, Any]) -> None:
    data["models"][1]["prices"].append({"when": {"service_tier": "flex"}, "input": "1"})


def a_row_twice_without_axes(data: dict[str, Any]) -> None:
    data["axes"] = {}
    rows = [{"when": {}, "input": "1"}, {"when": {}, "input": "1"}]
    data["models"] = [{"match": {"names": ["m"]}, "prices": rows}]


def a_size_without_a_price(data: dict[str, Any]) -> None:
    meanings = {"1024x1024": "square", "1792x1024": "wide"}
    data["axes"]["size"] = {"map": meanings, "absent": None, "unknown": "error"}
    data["models"][1]["prices"][0]["when"]["size"] = "square"


def an_uplift_on_no_axis(data: dict[str, Any]) -> None:
    data["models"][1]["uplifts"]["planet"] = {"mars": "2"}


def an_uplift_of_no_value(data: dict[str, Any]) -> None:
    data["models"][1]["uplifts"]["residency"]["mars"] = "2"


def an_uplift_that_is_a_float(data: dict[str, Any]) -> None:
    data["models"][1]["uplifts"]["residency"]["us"] = 1.1


def an_uplift_with_too_many_decimals(data: dict[str, Any]) -> None:
    data["models"][1]["uplifts"]["residency"]["us"] = "1.000001"


def a_pattern_without_anchors(data: dict[str, Any]) -> None:
    data["models"][1]["match"]["patterns"] = ["gpt-.*"]


def a_pattern_that_does_not_compile(data: dict[str, Any]) -> None:
    data["models"][1]["match"]["patterns"] = ["^gpt-($"]


def an_exact_name_twice(data: dict[str, Any]) -> None:
    data["models"][1]["match"]["names"].append("gpt-5.4")


def a_name_that_another_pattern_matches(data: dict[str, Any]) -> None:
    data["models"][1]["match"]["names"].append("gpt-5.4-2026-03-05")


def a_pattern_over_an_earlier_name(data: dict[str, Any]) -> None:
    data["models"][1]["match"]["patterns"] = ["^gpt-.*$"]


def a_chain_of_inheritance(data: dict[str, Any]) -> None:
    data["inherit"]["output"] = "input"


def tokens_at_the_price_of_a_search(data: dict[str, Any]) -> None:
    data["inherit"] = {"reasoning": "web_searches"}


def a_period_that_ends_before_it_begins(data: dict[str, Any]) -> None:
    data["effective"]["to"] = "2026-01-01T00:00:00Z"


def a_day_that_does_not_exist(data: dict[str, Any]) -> None:
    data["effective"]["from"] = "2026-02-30T00:00:00Z"


def a_context_that_does_not_begin_at_0(data: dict[str, Any]) -> None:
    data["models"][0]["context"]["steps"][0]["above"] = 10


def a_context_that_ends(data: dict[str, Any]) -> None:
    data["models"][0]["context"]["steps"][1]["up_to"] = 10**6


def a_context_with_a_gap(data: dict[str, Any]) -> None:
    data["models"][0]["context"]["steps"][1]["above"] = 272_001


def a_context_with_one_name_twice(data: dict[str, Any]) -> None:
    data["models"][0]["context"]["steps"][1]["name"] = "short"


def a_wrong_example(data: dict[str, Any]) -> None:
    data["examples"][0]["cost"] = "0.0356"


def an_example_that_has_no_price(data: dict[str, Any]) -> None:
    data["examples"][0]["usage"] = {"audio_input": 1}


def an_example_outside_the_period(data: dict[str, Any]) -> None:
    data["examples"][0]["at"] = "2025-12-31T23:59:59Z"


def an_example_with_a_float(data: dict[str, Any]) -> None:
    data["examples"][0]["cost"] = 0.0355


@pytest.mark.parametrize(
    ("spoil", "where", "said"),
    [
        (a_float, "models.0.prices.0.input", "2.5 is not a quoted decimal"),
        (a_whole_number, "models.0.prices.0.input", "2 is not a quoted decimal"),
        (seven_decimals, "models.0.prices.0.input", "at most 6 decimals"),
        (an_exponent, "models.0.prices.0.input", "'25E-1' is not"),
        (a_price_longer_than_any, "models.0.prices.0.input", "is not a quoted decimal"),
        (prices_and_not_sold, "models.0.prices.3", "both or neither"),
        (neither_prices_nor_not_sold, "models.0.prices.3", "both or neither"),
        (a_row_without_an_axis, "models.0.prices.0.when", "says nothing about context"),
        (a_row_on_an_axis_of_the_uplifts, "models.1.prices.0.when.residency", "not an axis"),
        (a_value_that_the_map_does_not_have, "models.1.prices.0.when.service_tier", "turbo"),
        (an_uncovered_combination, "models.0.prices", "covers service_tier flex, context long"),
        (a_size_without_a_price, "models.1.prices", "covers service_tier standard, size wide"),
        (a_combination_covered_twice, "models.1.prices.1", "rows 0 and 1 overlap"),
        (a_row_twice_without_axes, "models.0.prices.1", "both cover any call"),
        (an_uplift_on_no_axis, "models.1.uplifts.planet", "planet is not an axis"),
        (an_uplift_of_no_value, "models.1.uplifts.residency.mars", "mars is not a value"),
        (an_uplift_that_is_a_float, "models.1.uplifts.residency.us", "1.1 is not a quoted"),
        (an_uplift_with_too_many_decimals, "models.1.uplifts", "more than 6 decimals"),
        (a_pattern_without_anchors, "models.1.match.patterns.0", "not of the form ^…$"),
        (a_pattern_that_does_not_compile, "models.1.match.patterns.0", "not a pattern"),
        (an_exact_name_twice, "models.1.match", "gpt-5.4 is matched by models.0 and by models.1"),
        (a_name_that_another_pattern_matches, "models.1.match", "gpt-5.4-2026-03-05 is matched"),
        (a_pattern_over_an_earlier_name, "models.1.match", "gpt-5.4 is matched"),
        (tokens_at_the_price_of_a_search, "inherit.reasoning", "does not count what"),
        (a_chain_of_inheritance, "inherit.reasoning", "output, which takes another's"),
        (a_period_that_ends_before_it_begins, "effective.to", "ends before it begins"),
        (a_day_that_does_not_exist, "effective.from", "2026-02-30T00:00:00Z is not an instant"),
        (a_context_that_does_not_begin_at_0, "models.0.context.steps", "gap or overlap"),
        (a_context_that_ends, "models.0.context.steps", "gap or overlap"),
        (a_context_with_a_gap, "models.0.context.steps", "gap or overlap"),
        (a_context_with_one_name_twice, "models.0.context.steps", "gap or overlap"),
        (a_wrong_example, "examples.0", "costs 0.0355 by the prices above"),
        (an_example_that_has_no_price, "examples.0", "no price for audio_input of gpt-5.4"),
        (an_example_outside_the_period, "examples.0", "not in force"),
        (an_example_with_a_float, "examples.0.cost", "at most 12 decimals"),
    ],
)
def test_a_fault_is_told_with_its_place(
    spoil: Callable[[dict[str, Any]], None], where: str, said: str
) -> None:
    data = book_data()
    spoil(data)

    found = problems_of(data)

    assert any(p.where == where and said in p.message for p in found), [str(p) for p in found]


def test_the_words_of_the_caller_say_where() -> None:
    def located(path: Any, code: str, message: str, remedy: str) -> Problem:
        return Problem(code=code, message=message, remedy=remedy, file="f.yaml", line=len(path))

    data = book_data()
    a_float(data)

    with pytest.raises(RuleBookInvalid, match=r"f\.yaml:5: "):
        rule_book_from_data(data, located)


def test_every_fault_of_a_document_is_told() -> None:
    data = book_data()
    for spoil in (a_float, a_pattern_without_anchors, a_day_that_does_not_exist):
        spoil(data)

    assert {p.code for p in problems_of(data)} == {
        "rule_book_number",
        "rule_book_pattern",
        "rule_book_instant",
    }
