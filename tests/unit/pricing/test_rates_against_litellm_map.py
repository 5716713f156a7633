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
KEYS = {
    Meter.INPUT: "input_cost_per_token",
    Meter.CACHE_READ: "cache_read_input_token_cost",
    Meter.CACHE_READ_AUDIO: "cache_read_input_audio_token_cost",
    Meter.CACHE_READ_IMAGE: "cache_read_input_image_token_cost",
    Meter.OUTPUT: "output_cost_per_token",
    Meter.AUDIO_INPUT: "input_cost_per_audio_token",
    Meter.AUDIO_OUTPUT: "output_cost_per_audio_token",
    Meter.IMAGE_INPUT: "input_cost_per_image_token",
    Meter.IMAGE_OUTPUT: "output_cost_per_image_token",
    Meter.AUDIO_MILLISECONDS: "input_cost_per_second",
    Meter.CHARACTERS: "input_cost_per_character",
    Meter.IMAGES: "output_cost_per_image",
    Meter.SEARCH_UNITS: "input_cost_per_query",
}
OPENAI = KEYS | {Meter.CACHE_WRITE: "cache_creation_input_token_cost"}
OTHERS = KEYS | {
    Meter.CACHE_WRITE_5M: "cache_creation_input_token_cost",
    Meter.CACHE_WRITE_1H: "cache_creation_input_token_cost_above_1hr",
}
# How the map names the provider of a model that LiteLLM calls by another name.
PROVIDERS = {
    "bedrock": ("bedrock", "bedrock_converse"),
    "vertex_ai": (
        "vertex_ai-language-models",
        "vertex_ai-embedding-models",
        "vertex_ai-anthropic_models",
        "vertex_ai",
    ),
}


def not_taken(book: RuleBook, name: str, meter: str) -> bool:
    """Tell the prices of the map that our books leave out on purpose."""
    if book.provider in ("gemini", "vertex_ai") and "gemini-2.5" in name:
        return meter == Meter.WEB_SEARCHES  # billed by the prompt, and queries are counted
    # `images` is an estimate from the price of the tokens, which are what is reported.
    is_token_priced = "output_cost_per_image_token" in MAP[name]
    return meter == Meter.IMAGES and is_token_priced


def the_map() -> dict[str, Any]:
    spec = importlib.util.find_spec("litellm")  # finds the folder, does not run the package
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "model_prices_and_context_window_backup.json"
    text = path.read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    return found


MAP = the_map()
BOOKS = RuleBookFolder(POLICIES).books


def called(book: RuleBook, name: str) -> str:
    """Return the name under which LiteLLM calls a model of its map."""
    return name.removeprefix(f"{book.provider}/")


def is_of(book: RuleBook, name: str) -> bool:
    return MAP[name].get("litellm_provider") in PROVIDERS.get(book.provider, (book.provider,))


MODELS = [
    pytest.param(book, model, name, id=f"{book.billing_rule_version}/{name}")
    for book in BOOKS
    for model in book.models
    for name in MAP
    if is_of(book, name) and model.matches(called(book, name))
]


def context_of(model: ModelRates) -> tuple[str, ...]:
    return tuple(step.name for step in model.context) or ("any",)


def ours(model: ModelRates, name: str) -> Iterator[tuple[Key, Decimal]]:
    for row in model.rows:
        for tier in row.when.get("service_tier", ("standard",)):
            for context in row.when.get(CONTEXT, ("any",)):
                for meter, price in row.prices.items():
                    per_second = 1000 if meter is Meter.AUDIO_MILLISECONDS else 1
                    yield (name, tier, context, meter.value), price * per_second


def theirs(book: RuleBook, model: ModelRates, name: str) -> Iterator[tuple[Key, Decimal]]:
    entry = MAP[name]
    search = entry.get("search_context_cost_per_query", {}).get("search_context_size_medium")
    tiers = book.axes["service_tier"].values if book.axes else ("standard",)
    for context in context_of(model):
        above = f"_above_{model.context[0].up_to}_tokens" if context == "long" else ""
        above = above.replace("000_tokens", "k_tokens")
        for tier in tiers:
            if tier not in SUFFIX:
                continue
            for meter, key in (OPENAI if book.provider == "openai" else OTHERS).items():
                price = entry.get(f"{key}{above}{SUFFIX[tier]}")
                if price:  # an output price of 0 means that there is no output
                    yield (name, tier, context, meter.value), price
            sold = entry.get(f"input_cost_per_token{above}{SUFFIX[tier]}")
            if search and sold:
                yield (name, tier, context, Meter.WEB_SEARCHES.value), search
    if entry["mode"] == "moderation":
        assert entry["input_cost_per_token"] == 0
        yield (name, "standard", "any", Meter.REQUESTS.value), Decimal(0)


@pytest.mark.parametrize(("book", "model", "name"), MODELS)
def test_every_price_is_the_one_of_the_map(book: RuleBook, model: ModelRates, name: str) -> None:
    mine, map_ = dict(ours(model, name)), dict(theirs(book, model, name))

    differences = {
        key: (mine.get(key), map_.get(key))
        for key in mine.keys() | map_.keys()
        if mine.get(key) != map_.get(key)
        and not (key not in mine and not_taken(book, name, key[-1]))
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
    specific = entry.get("provider_specific_entry", {})
    map_ |= {k: v for k, v in specific.items() if k not in ("fast", "bedrock_invocation_schema")}
    if "residency" in book.axes:
        map_ |= {"global": Decimal(1)}

    assert model.uplifts.get("residency", {}) == map_


@pytest.mark.parametrize(("book", "model", "name"), MODELS)
def test_reasoning_costs_what_output_does(book: RuleBook, model: ModelRates, name: str) -> None:
    entry = MAP[name]

    if "output_cost_per_reasoning_token" in entry:
        assert book.inherit[Meter.REASONING] is Meter.OUTPUT
        assert entry["output_cost_per_reasoning_token"] == entry["output_cost_per_token"]


def test_fast_mode_has_a_factor_in_the_map_and_deliberately_no_price_here() -> None:
    fast = {name for name in MAP if "fast" in MAP[name].get("provider_specific_entry", {})}
    anthropic = [book for book in BOOKS if book.provider == "anthropic"]

    assert any(model.matches(name) for book in anthropic for model in book.models for name in fast)
    assert all(book.axes["speed"].meanings == {"standard": "standard"} for book in anthropic)


def test_every_name_of_our_books_is_in_the_map() -> None:
    for book in BOOKS:
        known = {called(book, name) for name in MAP if is_of(book, name)}
        assert {name for model in book.models for name in model.names} <= known, book.provider


def test_a_new_book_lists_what_the_one_before_it_did() -> None:
    by_version = {book.billing_rule_version: book for book in BOOKS}
    for book in BOOKS:
        if book.supersedes is not None:
            before = by_version[book.supersedes]
            names = {name for model in before.models for name in model.names}
            assert names <= {name for model in book.models for name in model.names}


def test_a_pattern_takes_in_no_snapshot_with_other_prices() -> None:
    """Each name of the map that a pattern matches is compared above; this shows they are there."""
    compared = {str(param.id).split("/", 1)[1] for param in MODELS}

    assert {"gpt-5.4-2026-03-05", "claude-haiku-4-5-20251001", "gpt-4o-2024-11-20"} <= compared
    assert {"gpt-realtime-2025-08-28", "gpt-4o-mini-tts-2025-12-15"} <= compared
    assert {"gemini/gemini-2.5-pro", "gemini-2.5-pro", "vertex_ai/claude-sonnet-5-5"} <= compared
    assert {"us.anthropic.claude-sonnet-5-5", "rerank-v3.5", "cohere/embed-v4.0"} <= compared
    assert "gpt-4o-2024-05-13" not in compared


def test_rows_are_sold_or_not_never_half() -> None:
    rows: list[Row] = [r for book in BOOKS for m in book.models for r in m.rows]

    assert all(bool(row.prices) == row.sold for row in rows)
