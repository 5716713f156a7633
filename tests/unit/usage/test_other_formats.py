"""Usage of Google, AWS and Cohere as they print it, LiteLLM's view of Google's, the gate's own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallygate.domain.usage.meters import Meter
from tallygate.domain.usage.normalisers import FORMATS, normalise
from tallygate.domain.usage.operations import BILLED_OPERATIONS, FREE_OPERATIONS
from tallygate.errors import UsageMissing, UsageUnreadable


def of(modality: str, tokens: int) -> dict[str, Any]:
    return {"modality": modality, "tokenCount": tokens}


GEMINI: dict[str, Any] = {
    "promptTokenCount": 1000,
    "cachedContentTokenCount": 400,
    "candidatesTokenCount": 100,
    "thoughtsTokenCount": 50,
    "toolUsePromptTokenCount": 30,
    "totalTokenCount": 1180,
    "promptTokensDetails": [of("TEXT", 700), of("AUDIO", 200), of("VIDEO", 100)],
    "cacheTokensDetails": [of("TEXT", 300), of("AUDIO", 100)],
    "candidatesTokensDetails": [of("TEXT", 60), of("IMAGE", 40)],
    "trafficType": "ON_DEMAND",
}
CONVERSE: dict[str, Any] = {
    "inputTokens": 30,
    "outputTokens": 9,
    "totalTokens": 72,
    "cacheReadInputTokens": 11,
    "cacheWriteInputTokens": 22,
    "cacheDetails": [{"ttl": "5m", "inputTokens": 20}, {"ttl": "1h", "inputTokens": 2}],
}


@pytest.mark.parametrize(
    ("usage_format", "usage", "meters"),
    [
        pytest.param(
            "gemini",
            GEMINI,
            {
                Meter.INPUT: 430,
                Meter.CACHE_READ: 300,
                Meter.CACHE_READ_AUDIO: 100,
                Meter.OUTPUT: 60,
                Meter.REASONING: 50,
                Meter.AUDIO_INPUT: 100,
                Meter.IMAGE_INPUT: 100,
                Meter.IMAGE_OUTPUT: 40,
            },
            id="everything that Gemini counts",
        ),
        pytest.param(
            "gemini",
            {
                "promptTokenCount": 8,
                "candidatesTokenCount": 6,
                "thoughtsTokenCount": 5,
                "totalTokenCount": 14,
            },
            {Meter.INPUT: 8, Meter.OUTPUT: 1, Meter.REASONING: 5},
            id="an old model, whose answer holds its thoughts",
        ),
        pytest.param(
            "gemini",
            {"promptTokenCount": 8, "thoughtsTokenCount": 5, "totalTokenCount": 13},
            {Meter.INPUT: 8, Meter.REASONING: 5},
            id="thoughts only",
        ),
        pytest.param(
            "gemini",
            {
                "promptTokenCount": 358,
                "cachedContentTokenCount": 300,
                "promptTokensDetails": [of("TEXT", 100), of("IMAGE", 258)],
            },
            {Meter.CACHE_READ: 100, Meter.CACHE_READ_IMAGE: 200, Meter.IMAGE_INPUT: 58},
            id="a cache that does not say what it held",
        ),
        pytest.param(
            "gemini",
            {"promptTokenCount": 300, "promptTokensDetails": [of("TEXT", 42), of("DOCUMENT", 258)]},
            {Meter.INPUT: 42, Meter.IMAGE_INPUT: 258},
            id="a document is billed as images",
        ),
        pytest.param(
            "gemini",
            {
                "promptTokenCount": 8,
                "toolUsePromptTokenCount": 70,
                "candidatesTokenCount": 6,
                "totalTokenCount": 84,
                "webSearchQueries": 2,
            },
            {Meter.INPUT: 8, Meter.OUTPUT: 6, Meter.WEB_SEARCHES: 2},
            id="a grounded search is billed by the query, not by what it read",
        ),
        pytest.param(
            "gemini",
            {
                "promptTokenCount": 8,
                "promptTokensDetails": [of("AUDIO", 8)],
                "responseTokenCount": 6,
                "responseTokensDetails": [of("AUDIO", 6)],
                "totalTokenCount": 14,
            },
            {Meter.AUDIO_INPUT: 8, Meter.AUDIO_OUTPUT: 6},
            id="the Live API",
        ),
        pytest.param(
            "bedrock_converse",
            CONVERSE,
            {
                Meter.INPUT: 30,
                Meter.CACHE_READ: 11,
                Meter.CACHE_WRITE_5M: 20,
                Meter.CACHE_WRITE_1H: 2,
                Meter.OUTPUT: 9,
            },
            id="Converse",
        ),
        pytest.param(
            "bedrock_converse",
            {"inputTokens": 30, "outputTokens": 9, "totalTokens": 39, "cacheWriteInputTokens": 22},
            {Meter.INPUT: 30, Meter.CACHE_WRITE: 22, Meter.OUTPUT: 9},
            id="Converse, written to a cache of one price",
        ),
        pytest.param(
            "cohere_rerank",
            {"api_version": {"version": "2"}, "billed_units": {"search_units": 3}}
            | {"tokens": {"input_tokens": 900}},
            {Meter.SEARCH_UNITS: 3},
            id="rerank",
        ),
        pytest.param(
            "cohere_rerank", {"search_units": 1}, {Meter.SEARCH_UNITS: 1}, id="units only"
        ),
        pytest.param(
            "cohere_rerank",
            {"billed_units": {"input_tokens": 5, "output_tokens": 7}, "cached_tokens": 3}
            | {"tokens": {"input_tokens": 75, "output_tokens": 7}},
            {Meter.INPUT: 5, Meter.OUTPUT: 7},
            id="Cohere's chat bills less than it reads",
        ),
        pytest.param(
            "cohere_rerank",
            {"billed_units": {"input_tokens": 5, "images": 2}},
            {Meter.INPUT: 5, Meter.IMAGES: 2},
            id="what else Cohere bills",
        ),
        pytest.param("counted", {"characters": 40}, {Meter.CHARACTERS: 40}, id="speech"),
        pytest.param(
            "counted",
            {"images": 2, "size": "1024x1024", "quality": "hd"},
            {Meter.IMAGES: 2},
            id="images",
        ),
        pytest.param("counted", {"requests": 1}, {Meter.REQUESTS: 1}, id="a request"),
    ],
)
def test_usage_becomes_disjoint_meters(
    usage_format: str, usage: dict[str, Any], meters: dict[Meter, int]
) -> None:
    normalised = normalise("any", usage_format, usage)

    assert normalised.meters == meters
    assert list(normalised.meters) == [meter for meter in Meter if meter in meters]


def test_inclusive_counts_hold_what_converse_leaves_out() -> None:
    counts = normalise("bedrock", "bedrock_converse", CONVERSE).counts

    assert (counts.input_tokens, counts.output_tokens) == (63, 9)
    assert (counts.cache_read_input_tokens, counts.cache_creation_input_tokens) == (11, 22)


def test_what_litellm_makes_of_gemini_means_the_same() -> None:
    """`VertexGeminiConfig._calculate_usage`: its details leave out what was cached."""
    native = {
        "promptTokenCount": 500,
        "cachedContentTokenCount": 100,
        "candidatesTokenCount": 40,
        "thoughtsTokenCount": 10,
        "totalTokenCount": 550,
        "promptTokensDetails": [of("TEXT", 300), of("VIDEO", 150), of("IMAGE", 50)],
    }
    through = {
        "prompt_tokens": 500,
        "completion_tokens": 50,
        "total_tokens": 550,
        "prompt_tokens_details": {
            "cached_tokens": 100,
            "text_tokens": 200,
            "video_tokens": 150,
            "image_tokens": 50,
        },
        "completion_tokens_details": {"reasoning_tokens": 10, "text_tokens": 40},
        "cache_read_input_tokens": 100,
    }

    read = normalise("gemini", "litellm", through)

    assert read.meters == normalise("gemini", "gemini", native).meters
    assert read.normaliser == "litellm-gemini/1"


def test_the_tool_tokens_of_a_grounded_search_may_exceed_litellms_sum() -> None:
    usage = {
        "prompt_tokens": 8,
        "completion_tokens": 6,
        "total_tokens": 84,
        "prompt_tokens_details": {"tool_use_tokens": 70, "web_search_requests": 1},
    }

    assert normalise("vertex_ai", "litellm", usage).meters == {
        Meter.INPUT: 8,
        Meter.OUTPUT: 6,
        Meter.WEB_SEARCHES: 1,
    }


def test_claude_at_vertex_keeps_what_it_wrote_to_its_cache() -> None:
    usage = {
        "prompt_tokens": 30,
        "cache_creation_input_tokens": 10,
        "prompt_tokens_details": {
            "cache_creation_tokens": 10,
            "cache_creation_token_details": {"ephemeral_1h_input_tokens": 10},
        },
    }

    assert normalise("vertex_ai", "litellm", usage).meters == {
        Meter.INPUT: 20,
        Meter.CACHE_WRITE_1H: 10,
    }


@pytest.mark.parametrize(
    ("usage_format", "usage", "said"),
    [
        pytest.param(
            "gemini", GEMINI | {"totalTokenCount": 1181}, "add up to 1180", id="a wrong total"
        ),
        pytest.param(
            "gemini",
            {
                "promptTokenCount": 10,
                "cachedContentTokenCount": 5,
                "promptTokensDetails": [of("AUDIO", 8)],
            },
            "without cacheTokensDetails",
            id="cached sound, perhaps",
        ),
        pytest.param(
            "gemini",
            {"promptTokenCount": 10, "promptTokensDetails": [of("SMELL", 1)]},
            "a modality",
            id="a new sense",
        ),
        pytest.param(
            "gemini",
            {"candidatesTokenCount": 10, "candidatesTokensDetails": [of("VIDEO", 10)]},
            "candidatesTokensDetails holds a modality",
            id="a video made",
        ),
        pytest.param(
            "gemini",
            {"promptTokenCount": 10, "promptTokensDetails": [of("TEXT", 11)]},
            "more than the 10 tokens",
            id="more parts than the whole",
        ),
        pytest.param(
            "gemini",
            GEMINI | {"cacheTokensDetails": [of("TEXT", 100), of("AUDIO", 300)]},
            "300 tokens of one modality were cached, of 200",
            id="more cached than there were",
        ),
        pytest.param(
            "gemini", {"promptTokenCount": 1, "promptTokensDetails": {}}, "not a list", id="list"
        ),
        pytest.param(
            "gemini", GEMINI | {"dreamTokenCount": 3}, "dreamTokenCount is a count", id="new"
        ),
        pytest.param(
            "bedrock_converse", CONVERSE | {"totalTokens": 40}, "add up to 72", id="total"
        ),
        pytest.param(
            "bedrock_converse",
            CONVERSE | {"cacheDetails": [{"ttl": "5m", "inputTokens": 20}]},
            "22 tokens were written",
            id="a split that does not add up",
        ),
        pytest.param(
            "bedrock_converse",
            CONVERSE | {"cacheDetails": [{"ttl": "7d", "inputTokens": 22}]},
            "a lifetime other than",
            id="a week",
        ),
        pytest.param(
            "bedrock_converse",
            CONVERSE | {"serverToolUsage": {"nova_grounding": 1}},
            "nova_grounding is a count",
            id="a tool",
        ),
        pytest.param(
            "cohere_rerank",
            {"billed_units": {"search_units": 1, "classifications": 2}},
            "classifications is a count",
            id="a unit that we have no meter for",
        ),
        pytest.param("counted", {"pages": 2}, "pages is a count", id="pages"),
        pytest.param("counted", {"characters": -1}, "characters is -1", id="negative"),
        pytest.param(
            "litellm",
            {
                "prompt_tokens": 10,
                "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 2},
            },
            "how many of the cached ones are audio",
            id="cached sound, through LiteLLM",
        ),
        pytest.param(
            "litellm",
            {"completion_tokens": 3, "completion_tokens_details": {"video_tokens": 3}},
            "video_tokens is a count",
            id="a video, through LiteLLM",
        ),
    ],
)
def test_usage_that_cannot_be_priced_surely_is_unreadable(
    usage_format: str, usage: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageUnreadable, match=said):
        normalise("gemini", usage_format, usage)


@pytest.mark.parametrize(
    ("usage_format", "usage"),
    [
        ("gemini", {"promptTokenCount": 0}),
        ("bedrock_converse", {"inputTokens": 0, "outputTokens": 0}),
        ("cohere_rerank", {"billed_units": {"search_units": 0}}),
        ("cohere_rerank", {"tokens": {}, "billed_units": {}}),
        ("counted", {"size": "1024x1024"}),
    ],
)
def test_counts_of_0_are_no_usage(usage_format: str, usage: dict[str, Any]) -> None:
    with pytest.raises(UsageMissing):
        normalise("any", usage_format, usage)


few = st.integers(min_value=0, max_value=10**6)


@given(parts=st.lists(few, min_size=8, max_size=8))
def test_the_meters_of_gemini_add_up_to_what_was_reported(parts: list[int]) -> None:
    text, audio, image, read_text, read_audio, read_image, out, thoughts = parts
    reported = {
        "promptTokenCount": sum(parts[:6]),
        "cachedContentTokenCount": sum(parts[3:6]),
        "promptTokensDetails": [
            of("TEXT", text + read_text),
            of("AUDIO", audio + read_audio),
            of("IMAGE", image + read_image),
        ],
        "cacheTokensDetails": [
            of("TEXT", read_text),
            of("AUDIO", read_audio),
            of("IMAGE", read_image),
        ],
        "candidatesTokenCount": out + 1,
        "thoughtsTokenCount": thoughts,
        "totalTokenCount": sum(parts[:6]) + out + 1 + thoughts,
    }

    usage = normalise("gemini", "gemini", reported)

    assert sum(usage.meters.values()) == sum(parts) + 1
    assert usage.meters.get(Meter.INPUT, 0) == text
    assert usage.meters.get(Meter.AUDIO_INPUT, 0) == audio
    assert usage.meters.get(Meter.CACHE_READ_IMAGE, 0) == read_image
    assert usage.meters.get(Meter.REASONING, 0) == thoughts


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["modality", "tokenCount", "ttl", "inputTokens", "search_units", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
keys = st.sampled_from(
    [
        *GEMINI,
        *CONVERSE,
        "billed_units",
        "seconds",
        "input_tokens",
        "output_tokens",
        "type",
        "input_token_details",
        "input_tokens_details",
        "output_tokens_details",
        "images",
    ]
)


@given(usage=st.dictionaries(keys, junk), usage_format=st.sampled_from(FORMATS))
def test_whatever_is_reported_is_read_or_refused(usage: dict[str, Any], usage_format: str) -> None:
    try:
        normalised = normalise("gemini", usage_format, usage)
    except (UsageMissing, UsageUnreadable):
        return

    assert all(type(n) is int and n > 0 for n in normalised.meters.values())


def test_no_operation_is_both_billed_and_free() -> None:
    assert not BILLED_OPERATIONS & FREE_OPERATIONS
