"""Usage as LiteLLM 1.106.2 dumps it, as the providers print it, and as neither should."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallygate.domain.usage.meters import Meter, NormalisedUsage, TokenCounts
from tallygate.domain.usage.normalisers import normalise
from tallygate.domain.usage.reading import MAX_COUNT
from tallygate.errors import UsageMissing, UsageUnreadable

INPUT_SIDE = {
    *(Meter.INPUT, Meter.CACHE_READ, Meter.CACHE_WRITE, Meter.CACHE_WRITE_5M),
    *(Meter.CACHE_WRITE_1H, Meter.AUDIO_INPUT, Meter.IMAGE_INPUT),
}
OUTPUT_SIDE = {Meter.OUTPUT, Meter.REASONING, Meter.AUDIO_OUTPUT, Meter.IMAGE_OUTPUT}

# `Usage(...).model_dump()` of an OpenAI answer.
OPENAI_CHAT: dict[str, Any] = {
    "completion_tokens": 620,
    "prompt_tokens": 3400,
    "total_tokens": 4020,
    "completion_tokens_details": {
        "accepted_prediction_tokens": 5,
        "audio_tokens": 0,
        "reasoning_tokens": 200,
        "rejected_prediction_tokens": 7,
        "text_tokens": None,
        "image_tokens": None,
        "video_tokens": None,
    },
    "prompt_tokens_details": {
        "audio_tokens": 0,
        "cache_write_tokens": 100,
        "cached_tokens": 1200,
        "text_tokens": None,
        "image_tokens": None,
        "video_tokens": None,
        "cache_creation_tokens": 100,
    },
}
# `AnthropicConfig().calculate_usage(...)` of 30 + 11 read + 22 written, 9 out, two searches.
ANTHROPIC_CHAT: dict[str, Any] = {
    "completion_tokens": 9,
    "prompt_tokens": 63,
    "total_tokens": 72,
    "completion_tokens_details": {
        "accepted_prediction_tokens": None,
        "audio_tokens": None,
        "reasoning_tokens": 0,
        "rejected_prediction_tokens": None,
        "text_tokens": 9,
        "image_tokens": None,
        "video_tokens": None,
    },
    "prompt_tokens_details": {
        "audio_tokens": None,
        "cache_write_tokens": 22,
        "cached_tokens": 11,
        "text_tokens": 30,
        "image_tokens": None,
        "video_tokens": None,
        "cache_creation_tokens": 22,
        "cache_creation_token_details": {
            "ephemeral_5m_input_tokens": 20,
            "ephemeral_1h_input_tokens": 2,
        },
    },
    "server_tool_use": {
        "web_search_requests": 2,
        "tool_search_requests": 4,
        "browser_open_requests": None,
    },
    "cache_creation_input_tokens": 22,
    "cache_read_input_tokens": 11,
    "iterations": None,
    "inference_geo": "us",
    "speed": None,
    "service_tier": "standard",
}
ANTHROPIC_NATIVE: dict[str, Any] = {
    "input_tokens": 30,
    "output_tokens": 9,
    "cache_read_input_tokens": 11,
    "cache_creation_input_tokens": 22,
    "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 2},
    "output_tokens_details": {"thinking_tokens": 4},
    "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
    "service_tier": "standard",
    "inference_geo": "us",
}


def changed(usage: dict[str, Any], place: str, **changes: Any) -> dict[str, Any]:
    return usage | {place: {**usage[place], **changes}}


def test_openai_counts_are_inclusive_and_become_disjoint() -> None:
    usage = normalise("openai", "litellm", OPENAI_CHAT)

    assert usage == NormalisedUsage(
        "openai/1",
        TokenCounts(
            input_tokens=3400,
            output_tokens=620,
            cache_read_input_tokens=1200,
            cache_creation_input_tokens=100,
            reasoning_output_tokens=200,
        ),
        {
            Meter.INPUT: 2100,
            Meter.CACHE_READ: 1200,
            Meter.CACHE_WRITE: 100,
            Meter.OUTPUT: 420,
            Meter.REASONING: 200,
        },
    )


def test_anthropic_through_litellm_keeps_the_split_of_cache_writes() -> None:
    usage = normalise("anthropic", "litellm", ANTHROPIC_CHAT)

    assert usage.normaliser == "anthropic/1"
    assert usage.counts == TokenCounts(
        input_tokens=63,
        output_tokens=9,
        cache_read_input_tokens=11,
        cache_creation_input_tokens=22,
    )
    assert usage.meters == {
        Meter.INPUT: 30,
        Meter.CACHE_READ: 11,
        Meter.CACHE_WRITE_5M: 20,
        Meter.CACHE_WRITE_1H: 2,
        Meter.OUTPUT: 9,
        Meter.WEB_SEARCHES: 2,
    }


def test_the_native_and_the_litellm_form_of_one_answer_mean_the_same_tokens() -> None:
    native = normalise("anthropic", "anthropic", ANTHROPIC_NATIVE)
    through = normalise(
        "anthropic",
        "litellm",
        changed(ANTHROPIC_CHAT, "completion_tokens_details", reasoning_tokens=4),
    )

    assert native == through


def test_responses_usage_is_inclusive_under_other_names() -> None:
    usage = normalise(
        "openai",
        "openai_responses",
        {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 0},
            "output_tokens": 50,
            "output_tokens_details": {"reasoning_tokens": 30},
            "total_tokens": 150,
        },
    )

    assert usage.normaliser == "openai/1"
    assert usage.meters == {
        Meter.INPUT: 60,
        Meter.CACHE_READ: 40,
        Meter.OUTPUT: 20,
        Meter.REASONING: 30,
    }


def test_embeddings_have_input_only() -> None:
    usage = normalise(
        "openai", "litellm", {"prompt_tokens": 34, "completion_tokens": 0, "total_tokens": 34}
    )

    assert usage.meters == {Meter.INPUT: 34}


def test_audio_and_images_are_apart_from_text() -> None:
    usage = normalise(
        "openai",
        "litellm",
        {
            "prompt_tokens": 100,
            "prompt_tokens_details": {
                "audio_tokens": 30,
                "image_tokens": 20,
                "cached_tokens": 10,
                "cached_tokens_details": {"text_tokens": 10, "audio_tokens": 0},
            },
            "completion_tokens": 60,
            "completion_tokens_details": {"audio_tokens": 25, "image_tokens": 5},
        },
    )

    assert usage.meters == {
        Meter.INPUT: 40,
        Meter.CACHE_READ: 10,
        Meter.OUTPUT: 30,
        Meter.AUDIO_INPUT: 30,
        Meter.AUDIO_OUTPUT: 25,
        Meter.IMAGE_INPUT: 20,
        Meter.IMAGE_OUTPUT: 5,
    }


@pytest.mark.parametrize(
    ("provider", "name"),
    [("openai", "openai/1"), ("azure", "openai/1"), ("mistral", "litellm/1")],
)
def test_the_convention_is_chosen_by_provider(provider: str, name: str) -> None:
    assert normalise(provider, "litellm", {"prompt_tokens": 1}).normaliser == name


def test_native_iterations_hold_what_the_top_level_leaves_out() -> None:
    usage = normalise(
        "anthropic",
        "anthropic",
        {
            "input_tokens": 30,
            "output_tokens": 9,
            "iterations": [
                {
                    "type": "compaction",
                    "input_tokens": 1000,
                    "output_tokens": 100,
                    "cache_creation_input_tokens": 5,
                    "cache_creation": {"ephemeral_5m_input_tokens": 5},
                },
                {"type": "message", "input_tokens": 30, "output_tokens": 9},
            ],
        },
    )

    assert usage.counts.input_tokens == 1035
    assert usage.meters == {Meter.INPUT: 1030, Meter.CACHE_WRITE_5M: 5, Meter.OUTPUT: 109}


def test_a_split_that_litellm_drops_is_not_guessed() -> None:
    without = changed(ANTHROPIC_CHAT, "prompt_tokens_details", cache_creation_token_details=None)

    with pytest.raises(UsageUnreadable, match="without the split into 5 minutes and 1 hour"):
        normalise("anthropic", "litellm", without)


def test_nothing_written_to_the_cache_needs_no_split() -> None:
    usage = normalise(
        "anthropic", "anthropic", {"input_tokens": 1, "cache_creation_input_tokens": 0}
    )

    assert usage.meters == {Meter.INPUT: 1}


@pytest.mark.parametrize(
    ("usage_format", "usage"),
    [
        pytest.param("litellm", None, id="None"),
        pytest.param("litellm", {}, id="empty"),
        pytest.param(None, None, id="no format either"),
        pytest.param(
            "litellm",
            {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
            id="LiteLLM's zeros for a stream that reported nothing",
        ),
    ],
)
def test_usage_that_nobody_reported_is_missing(
    usage_format: str | None, usage: dict[str, Any] | None
) -> None:
    with pytest.raises(UsageMissing):
        normalise("openai", usage_format, usage)


@pytest.mark.parametrize(
    ("usage", "said"),
    [
        pytest.param({"prompt_tokens": -1}, "prompt_tokens is -1", id="negative"),
        pytest.param({"prompt_tokens": 1.0}, "prompt_tokens is float", id="a float"),
        pytest.param({"prompt_tokens": True}, "prompt_tokens is bool", id="a bool"),
        pytest.param({"prompt_tokens": "12"}, "prompt_tokens is str", id="text"),
        pytest.param({"prompt_tokens": MAX_COUNT + 1}, "expected 0 to", id="absurdly many"),
        pytest.param(
            {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 6}},
            "5 input tokens cannot hold 6 cached",
            id="more cached than there are",
        ),
        pytest.param(
            {"completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 6}},
            "5 output tokens cannot hold 6 of reasoning",
            id="more reasoning than output",
        ),
        pytest.param(
            {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 11},
            "total_tokens is 11",
            id="a total with something more in it",
        ),
        pytest.param(
            {
                "prompt_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 1},
                "cache_read_input_tokens": 2,
            },
            "cached_tokens 1, cache_read_input_tokens 2",
            id="two names, two counts",
        ),
        pytest.param(
            {
                "prompt_tokens": 5,
                "prompt_tokens_details": {
                    "cache_creation_tokens": 5,
                    "cache_creation_token_details": {"ephemeral_5m_input_tokens": 4},
                },
            },
            "4 for 5 minutes and 0 for 1 hour",
            id="a split that does not add up",
        ),
        pytest.param(
            {
                "prompt_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 1},
            },
            "how many of the cached ones are audio",
            id="cached audio, perhaps",
        ),
        pytest.param({"prompt_tokens_details": 3}, "expected an object", id="not an object"),
        pytest.param({"prompt_tokens": 1, "iterations": 3}, "not a list", id="not a list"),
        pytest.param(
            {"prompt_tokens": 1, "iterations": [{"type": "advisor_message"}]},
            "another model's price",
            id="an advisor",
        ),
        pytest.param({"prompt_tokens": 1, "iterations": [1]}, "another", id="a number in a list"),
        pytest.param(
            {"prompt_tokens": 1, "warp_tokens": 4}, "warp_tokens is a count", id="unknown meter"
        ),
        pytest.param(
            {"prompt_tokens": 1, "new_details": [{"deep": {"warp_tokens": 0.5}}]},
            "new_details is a count",
            id="unknown meter, nested",
        ),
        pytest.param(
            {"prompt_tokens": 1, "prompt_tokens_details": {"video_tokens": 4}},
            "video_tokens is a count",
            id="video",
        ),
        pytest.param(
            {"prompt_tokens": 1, "server_tool_use": {"browser_open_requests": 1}},
            "browser_open_requests is a count",
            id="a tool that we do not know",
        ),
    ],
)
def test_usage_that_contradicts_itself_is_unreadable(usage: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageUnreadable, match=said):
        normalise("openai", "litellm", usage)


def test_an_unknown_format_is_unreadable() -> None:
    with pytest.raises(UsageUnreadable, match="'cohere' has no normaliser"):
        normalise("cohere", "cohere", {"tokens": 1})


def test_unknown_keys_without_a_count_are_let_be() -> None:
    usage = {"prompt_tokens": 1, "note": "x", "flag": True, "zero": 0, "list": [None, {"a": 0}]}

    assert normalise("openai", "litellm", usage).meters == {Meter.INPUT: 1}


counts = st.integers(min_value=0, max_value=10**6)


@given(parts=st.lists(counts, min_size=9, max_size=9))
def test_meters_add_up_to_the_inclusive_counts(parts: list[int]) -> None:
    plain, read, written, audio, image, out, reasoning, audio_out, image_out = parts
    if read:  # beside cached tokens the modalities need a split
        audio = image = 0
    total_in, total_out = plain + read + written + audio + image, sum(parts[5:])
    reported = {
        "prompt_tokens": total_in,
        "completion_tokens": total_out,
        "prompt_tokens_details": {
            "cached_tokens": read,
            "cache_write_tokens": written,
            "audio_tokens": audio,
            "image_tokens": image,
        },
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": audio_out,
            "image_tokens": image_out,
        },
    }
    if total_in + total_out == 0:
        return

    usage = normalise("openai", "litellm", reported)

    assert sum(n for m, n in usage.meters.items() if m in INPUT_SIDE) == total_in
    assert sum(n for m, n in usage.meters.items() if m in OUTPUT_SIDE) == total_out
    assert usage.meters.get(Meter.OUTPUT, 0) == out
    assert all(n > 0 for n in usage.meters.values())


@given(plain=counts, read=counts, five=counts, hour=counts, out=counts, thinking=counts)
def test_both_forms_of_anthropic_usage_give_equal_meters(
    plain: int, read: int, five: int, hour: int, out: int, thinking: int
) -> None:
    split = {"ephemeral_5m_input_tokens": five, "ephemeral_1h_input_tokens": hour}
    native = {
        "input_tokens": plain,
        "output_tokens": out + thinking + 1,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": five + hour,
        "cache_creation": split,
        "output_tokens_details": {"thinking_tokens": thinking},
    }
    through = {
        "prompt_tokens": plain + read + five + hour,
        "completion_tokens": out + thinking + 1,
        "prompt_tokens_details": {
            "cached_tokens": read,
            "cache_creation_tokens": five + hour,
            "cache_creation_token_details": split,
        },
        "completion_tokens_details": {"reasoning_tokens": thinking},
    }

    usage = normalise("anthropic", "anthropic", native)

    assert usage == normalise("anthropic", "litellm", through)
    assert sum(n for m, n in usage.meters.items() if m in INPUT_SIDE) == through["prompt_tokens"]


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*OPENAI_CHAT, *ANTHROPIC_NATIVE, "x"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(
    usage=st.dictionaries(
        st.sampled_from([*OPENAI_CHAT, *ANTHROPIC_CHAT, *ANTHROPIC_NATIVE]), junk
    ),
    usage_format=st.sampled_from(["litellm", "anthropic", "openai_responses"]),
)
def test_whatever_is_reported_is_read_or_refused(usage: dict[str, Any], usage_format: str) -> None:
    try:
        normalised = normalise("anthropic", usage_format, usage)
    except (UsageMissing, UsageUnreadable):
        return

    assert all(type(n) is int and n > 0 for n in normalised.meters.values())
