"""What is kept of a usage object: counts and short names, in whose convention; never a text."""

from __future__ import annotations

from enum import Enum
from types import SimpleNamespace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tallygate.domain.usage.normalisers import FORMATS
from tallygate.proxy.usage import (
    counted_from,
    counted_in,
    counts_in,
    usage_format_of,
    usage_of,
    used,
    whole_of,
)

SECRET: Final = "the prompt of a person"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["input_tokens", "iterations", "type", "promptTokensDetails", "a b"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


class Modality(Enum):
    """As Google's own library types it."""

    TEXT = "TEXT"


@pytest.mark.parametrize(
    ("usage", "kept"),
    [
        pytest.param({"input_tokens": 3}, {"input_tokens": 3}, id="a count"),
        pytest.param({"a": 3, "b": 2.0}, {"a": 3, "b": 2}, id="a whole number that is a float"),
        pytest.param({"a": 3, "b": 2.5}, {"a": 3}, id="a part of one"),
        pytest.param({"seconds": 2.5}, {"seconds": 2.5}, id="seconds have parts"),
        pytest.param({"a": 3, "cost": 7}, {"a": 3}, id="a price that the provider adds"),
        pytest.param({"a": 3, "b": True, "c": None}, {"a": 3}, id="what is no count"),
        pytest.param({"a": 3, "b": SECRET, "c": "x"}, {"a": 3}, id="a text"),
        pytest.param(
            {"a": 3, "service_tier": "flex", "speed": "fast", "inference_geo": "us"},
            {"a": 3, "service_tier": "flex", "speed": "fast", "inference_geo": "us"},
            id="words that prices depend on",
        ),
        pytest.param({"a": 3, "service_tier": SECRET}, {"a": 3}, id="a text for a word"),
        pytest.param({"a": 3, SECRET: 4, 7: 1, "": 2}, {"a": 3}, id="a text for a name"),
        pytest.param({"a": 3, "b": {"c": SECRET}}, {"a": 3}, id="a text inside"),
        pytest.param({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 1}}}, id="counts inside"),
        pytest.param(
            {"a": 3, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}, SECRET]},
            {"a": 3, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}]},
            id="Gemini's details",
        ),
        pytest.param(
            {"a": 3, "promptTokensDetails": [{"modality": Modality.TEXT, "tokenCount": 3}]},
            {"a": 3, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}]},
            id="typed",
        ),
        pytest.param(
            {"a": 3, "cacheDetails": [{"ttl": "1h", "inputTokens": 2}]},
            {"a": 3, "cacheDetails": [{"ttl": "1h", "inputTokens": 2}]},
            id="Bedrock's cache",
        ),
        pytest.param(
            {"a": 3, "iterations": [{"type": "compaction", "input_tokens": 9, "text": SECRET}]},
            {"a": 3, "iterations": [{"type": "compaction", "input_tokens": 9}]},
            id="Anthropic's iterations",
        ),
        pytest.param({"a": 3, "texts": [{"n": 1}]}, {"a": 3}, id="another list"),
    ],
)
def test_counts_and_short_names_are_kept(usage: object, kept: dict[str, Any]) -> None:
    assert counts_in(usage) == kept


@pytest.mark.parametrize(
    "usage", [None, [], "3", 3, {}, {"a": 0}, {"a": {"b": 0}}, {"a": -1}, {"service_tier": "flex"}]
)
def test_zeros_and_words_alone_are_no_usage(usage: object) -> None:
    assert counts_in(usage) is None


@given(usage=st.dictionaries(st.text(max_size=20) | st.sampled_from(["usage"]), json_values))
def test_no_text_is_kept_whatever_stands_there(usage: dict[str, Any]) -> None:
    kept = counts_in(usage)

    for text in _texts(kept):
        assert text.isprintable()
        assert " " not in text


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(text for inner in value.values() for text in _texts(inner))]
    if isinstance(value, list):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


def test_nesting_without_end_is_cut() -> None:
    usage: dict[str, Any] = {"a": 1}
    for _ in range(2000):
        usage = {"b": usage, "a": 1}

    kept = counts_in(usage)

    assert kept is not None
    assert repr(kept).count("{") == 5


def test_usage_is_read_from_mappings_objects_and_models() -> None:
    class Typed(BaseModel):
        input_tokens: int = 3
        output_tokens: int | None = None

    found = {"input_tokens": 3}
    assert usage_of({"usage": found}) == found
    assert usage_of(SimpleNamespace(usage=found)) == found
    assert usage_of(SimpleNamespace(usage=Typed())) == found
    assert usage_of(None) is None


@pytest.mark.parametrize(
    ("usage", "operation", "expected"),
    [
        ({"prompt_tokens": 1}, "chat", "litellm"),
        ({"inputTokens": 1}, "chat", "bedrock_converse"),
        ({"input_tokens": 1, "total_tokens": 1}, "chat", "openai_responses"),
        ({"input_tokens": 1, "input_tokens_details": {}}, "chat", "openai_responses"),
        ({"input_tokens": 1}, "chat", "anthropic"),
        ({"input_tokens": 1}, "image_generation", "openai_images"),
        ({"prompt_tokens": 1}, "image_generation", "litellm"),
        ({"seconds": 1}, "transcription", "openai_audio"),
        ({"input_tokens": 1}, "speech", "openai_audio"),
        ({"prompt_tokens": 1}, "transcription", "litellm"),
    ],
)
def test_the_convention_shows_in_the_names_and_the_operation(
    usage: dict[str, Any], operation: str, expected: str
) -> None:
    assert usage_format_of(usage, operation) == expected
    assert expected in FORMATS


def test_what_an_answer_used_is_found_where_its_provider_puts_it() -> None:
    google, cohere = {"promptTokenCount": 3}, {"search_units": 2}

    assert used({"usageMetadata": google}, "generate_content") == (google, "gemini")
    assert used({"usage_metadata": google}, "generate_content") == (google, "gemini")
    assert used({"meta": {"billed_units": cohere}}, "rerank") == (cohere, "cohere_rerank")
    assert used({"usage": {"input_tokens": 3}}, "chat") == ({"input_tokens": 3}, "anthropic")
    assert used({"usage": {"input_tokens": 0}}, "chat") is None
    assert used(None, "chat") is None


def test_an_images_usage_has_not_its_counts_by_chats_names_beside() -> None:
    own = {"input_tokens": 9, "output_tokens": 5, "input_tokens_details": {"text_tokens": 9}}

    assert used({"usage": {**own, "prompt_tokens": 9}}, "image_generation") == (
        own,
        "openai_images",
    )


@pytest.mark.parametrize("kind", ["response.completed", "response.incomplete", "response.done"])
def test_the_answer_is_inside_the_last_event_of_its_stream(kind: str) -> None:
    answer = {"usage": {"input_tokens": 3}}

    assert whole_of({"type": kind, "response": answer}) is answer
    assert whole_of({"type": "response.created", "response": answer}) is not answer


# Counted in the request.


@pytest.mark.parametrize(
    ("operation", "kwargs", "counted"),
    [
        ("speech", {"input": SECRET}, {"characters": len(SECRET)}),
        ("speech", {"input": ""}, None),
        ("speech", {"input": [SECRET]}, None),
        ("moderation", {"input": SECRET}, {"requests": 1}),
        ("search", {"query": SECRET}, {"requests": 1}),
        ("image_generation", {"prompt": SECRET}, {"images": 1}),
        (
            "image_generation",
            {"n": 2, "size": "1024x1024", "quality": "high"},
            {"images": 2, "size": "1024x1024", "quality": "high"},
        ),
        ("image_generation", {"n": 2, "size": SECRET, "quality": 7}, {"images": 2}),
        ("image_generation", {"n": -1}, None),
        ("image_generation", {"n": 10**10}, None),
        ("image_generation", {"n": "2"}, None),
        ("chat", {"input": SECRET}, None),
    ],
)
def test_a_request_is_counted_and_not_kept(
    operation: str, kwargs: dict[str, Any], counted: dict[str, Any] | None
) -> None:
    assert counted_from(operation, kwargs) == counted
    assert SECRET not in repr(counted_from(operation, kwargs))


def test_the_images_that_came_back_count_before_those_asked_for() -> None:
    asked = {"images": 4, "size": "1024x1024"}

    assert counted_in({"data": [1, 2]}, asked) == {"images": 2, "size": "1024x1024"}
    assert counted_in({"data": []}, asked) == asked
    assert counted_in({}, asked) == asked
    assert counted_in({"data": [1, 2]}, {"characters": 9}) == {"characters": 9}
