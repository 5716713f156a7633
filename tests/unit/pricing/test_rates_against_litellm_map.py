"""
Our price lists against the map that LiteLLM bundles, price by price, in both directions.

A difference is either a mistake of ours or a decision; decisions are listed here, with the reason.
After an upgrade of LiteLLM the differences are what has to be reviewed, in a new rule book.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tallygate.adapters.files.rule_books import RuleBookFolder
from tallygate.domain.pricing.rule_book import CONTEXT, ModelRates, Row, RuleBook
from tallygate.domain.usage.meters import Meter

POLICIES = Path(__file__).parents[3] / "policies"

Key = tuple[str, str, str, str]
"""Model, service tier, context, meter."""

SUFFIX = {
    "standard": "",
    "flex": "_flex",
    "priority": "_priority",
    "batch": "_batches",
    "ultrafast": "_ultrafast",
}
FLAT = {
    Meter.INPUT: "input_cost_per_token",
    Meter.CACHE_READ: "cache_read_input_token_cost",
    Meter.OUTPUT: "output_cost_per_token",
}
OPENAI = FLAT | {Meter.CACHE_WRITE: "cache_creation_input_token_cost"}
ANTHROPIC = FLAT | {
    Meter.CACHE_WRITE_5M: "cache_creation_input_token_cost",
    Meter.CACHE_WRITE_1H: "cache_creation_input_token_cost_above_1hr",
}

NOT_TAKEN: dict[Key, str] = {}
"""Prices of the map that our books leave out on purpose."""


def the_map() -> dict[str, Any]:
    spec = importlib.util.find_spec("litellm")  # finds the folder, does not run the package
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "model_prices_and_context_window_backup.json"
    text = path.read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    return found


def books() -> dict[str, RuleBook]:
    return {book.provider: book for book in RuleBookFolder(POLICIES).books}


MAP = the_map()
MODELS = [
    pytest.param(book, model, name, id=name)
    for book in books().values()
    for model in book.models
    for name in MAP
    if model.matches(name)
]


def context_of(model: ModelRates) -> tuple[str, ...]:
    return tuple(step.name for step in model.context) or ("any",)


def ours(model: ModelRates, name: str) -> Iterator[tuple[Key, Decimal]]:
    for row in model.rows:
        for tier in row.when["service_tier"]:
            for context in row.when.get(CONTEXT, ("any",)):
                for meter, price in row.prices.items():
                    yield (name, tier, context, meter.value), price


def theirs(book: RuleBook, model: ModelRates, name: str) -> Iterator[tuple[Key, Decimal]]:
    entry = MAP[name]
    search = entry.get("search_context_cost_per_query", {}).get("search_context_size_medium")
    for context in context_of(model):
        above = f"_above_{model.context[0].up_to}_tokens" if context == "long" else ""
        above = above.replace("000_tokens", "k_tokens")
        for tier in book.axes["service_tier"].values:
            for meter, key in (OPENAI if book.provider == "openai" else ANTHROPIC).items():
                price = entry.get(f"{key}{above}{SUFFIX[tier]}")
                if price:  # an output price of 0 means that there is no output
                    yield (name, tier, context, meter.value), price
            sold = entry.get(f"input_cost_per_token{above}{SUFFIX[tier]}")
            if search and sold:
                yield (name, tier, context, Meter.WEB_SEARCHES.value), search


@pytest.mark.parametrize(("book", "model", "name"), MODELS)
def test_every_price_is_the_one_of_the_map(book: RuleBook, model: ModelRates, name: str) -> None:
    mine, map_ = dict(ours(model, name)), dict(theirs(book, model, name))

    differences = {
        key: (mine.get(key), map_.get(key))
        for key in mine.keys() | map_.keys()
        if mine.get(key) != map_.get(key) and key not in NOT_TAKEN
    }

    assert differences == {}


@pytest.mark.parametrize(("book", "model", "name"), MODELS)
def test_every_context_threshold_is_in_the_book(
    book: RuleBook, model: ModelRates, name: str
) -> None:
    thresholds = {
        int(part.removesuffix("k")) * 1000
        for key in MAP[name]
        if "_above_" in key and "cost" in key
        for part in key.split("_")
        if part.endswith("k") and part[:-1].isdigit()
    }

    assert thresholds == {step.up_to for step in model.context[:-1]}


@pytest.mark.parametrize(("book", "model", "name"), MODELS)
def test_every_published_factor_is_in_the_book(
    book: RuleBook, model: ModelRates, name: str
) -> None:
    entry = MAP[name]
    prefix = "regional_processing_uplift_multiplier_"
    map_ = {key.removeprefix(prefix): entry[key] for key in entry if key.startswith(prefix)}
    map_ |= {k: v for k, v in entry.get("provider_specific_entry", {}).items() if k != "fast"}

    assert model.uplifts["residency"] == {"global": 1, **map_}


def test_fast_mode_has_a_factor_in_the_map_and_deliberately_no_price_here() -> None:
    fast = {name for name in MAP if "fast" in MAP[name].get("provider_specific_entry", {})}
    anthropic = books()["anthropic"]

    assert any(model.matches(name) for model in anthropic.models for name in fast)
    assert anthropic.axes["speed"].meanings == {"standard": "standard"}


def test_every_name_of_our_books_is_in_the_map() -> None:
    names = {name for book in books().values() for model in book.models for name in model.names}

    assert names - MAP.keys() == set()
    assert 20 <= len([m for book in books().values() for m in book.models]) <= 40


def test_a_pattern_takes_in_no_snapshot_with_other_prices() -> None:
    """Each name of the map that a pattern matches is compared above; this shows they are there."""
    compared = {str(param.id) for param in MODELS}

    assert {"gpt-5.4-2026-03-05", "claude-haiku-4-5-20251001", "gpt-4o-2024-11-20"} <= compared
    assert "gpt-4o-2024-05-13" not in compared


def test_rows_are_sold_or_not_never_half() -> None:
    rows: list[Row] = [r for book in books().values() for m in book.models for r in m.rows]

    assert all(bool(row.prices) == row.sold for row in rows)
