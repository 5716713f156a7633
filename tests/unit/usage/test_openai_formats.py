"""OpenAI's usage beside chat: images, sound, realtime, batches; as its API reference prints it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallygate.domain.usage.meters import TOKENS, Meter
from tallygate.domain.usage.normalisers import normalise
from tallygate.errors import UsageMissing, UsageUnreadable

REALTIME: dict[str, Any] = {
    "total_tokens": 253,
    "input_tokens": 132,
    "output_tokens": 121,
    "input_token_details": {
        "text_tokens": 119,
        "audio_tokens": 13,
        "image_tokens": 0,
        "cached_tokens": 64,
        "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 4, "image_tokens": 0},
    },
    "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
}
IMAGE: dict[str, Any] = {
    "total_tokens": 100,
    "input_tokens": 50,
    "output_tokens": 50,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
}


@pytest.mark.parametrize(
    ("usage_format", "usage", "meters"),
    [
        pytest.param(
            "openai_realtime",
            REALTIME,
            {
                Meter.INPUT: 59,
                Meter.CACHE_READ: 60,
                Meter.CACHE_READ_AUDIO: 4,
                Meter.OUTPUT: 30,
                Meter.AUDIO_INPUT: 9,
                Meter.AUDIO_OUTPUT: 91,
            },
            id="realtime",
        ),
        pytest.param(
            "openai_realtime",
            {"input_tokens": 9, "input_token_details": {"text_tokens": 9, "cached_tokens": 4}},
            {Meter.INPUT: 5, Meter.CACHE_READ: 4},
            id="realtime, all of it text",
        ),
        pytest.param(
            "openai_realtime",
            {
                "input_tokens": 30,
                "input_token_details": {
                    "image_tokens": 20,
                    "cached_tokens": 15,
                    "cached_tokens_details": {"image_tokens": 15},
                },
            },
            {Meter.INPUT: 10, Meter.CACHE_READ_IMAGE: 15, Meter.IMAGE_INPUT: 5},
            id="realtime with a cached image",
        ),
        pytest.param(
            "openai_images",
            IMAGE,
            {Meter.INPUT: 10, Meter.IMAGE_INPUT: 40, Meter.IMAGE_OUTPUT: 50},
            id="an image",
        ),
        pytest.param(
            "openai_images",
            IMAGE | {"output_tokens_details": {"text_tokens": 8, "image_tokens": 42}},
            {
                Meter.INPUT: 10,
                Meter.OUTPUT: 8,
                Meter.IMAGE_INPUT: 40,
                Meter.IMAGE_OUTPUT: 42,
            },
            id="an image and text",
        ),
        pytest.param(
            "openai_images",
            {
                "input_tokens": 50,
                "output_tokens": 1,
                "input_tokens_details": {
                    "text_tokens": 10,
                    "image_tokens": 40,
                    "cached_tokens": 25,
                    "cached_tokens_details": {"text_tokens": 5, "image_tokens": 20},
                },
            },
            {
                Meter.INPUT: 5,
                Meter.CACHE_READ: 5,
                Meter.CACHE_READ_IMAGE: 20,
                Meter.IMAGE_INPUT: 20,
                Meter.IMAGE_OUTPUT: 1,
            },
            id="an edit of a cached image",
        ),
        pytest.param(
            "openai_audio",
            {
                "type": "tokens",
                "input_tokens": 14,
                "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
                "output_tokens": 45,
                "total_tokens": 59,
            },
            {Meter.INPUT: 4, Meter.OUTPUT: 45, Meter.AUDIO_INPUT: 10},
            id="a transcription by tokens",
        ),
        pytest.param(
            "openai_audio",
            {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115},
            {Meter.INPUT: 14, Meter.AUDIO_OUTPUT: 101},
            id="speech",
        ),
        pytest.param(
            "openai_audio",
            {"type": "duration", "seconds": 9},
            {Meter.AUDIO_MILLISECONDS: 9000},
            id="whole seconds",
        ),
        pytest.param(
            "openai_audio",
            {"seconds": 3.2},
            {Meter.AUDIO_MILLISECONDS: 3200},
            id="parts of a second, which as floats are 3.2000000000000001776",
        ),
        pytest.param(
            "openai_audio",
            {"seconds": 0.0001},
            {Meter.AUDIO_MILLISECONDS: 1},
            id="a part of a millisecond counts as one",
        ),
        pytest.param(
            "openai_chat",
            {
                "prompt_tokens": 19,
                "completion_tokens": 10,
                "total_tokens": 29,
                "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 3, "audio_tokens": 0},
            },
            {Meter.INPUT: 15, Meter.CACHE_READ: 4, Meter.OUTPUT: 7, Meter.REASONING: 3},
            id="chat as it comes",
        ),
        pytest.param(
            "openai_chat",
            {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12},
            {Meter.INPUT: 5, Meter.OUTPUT: 7},
            id="a text completion",
        ),
    ],
)
def test_usage_becomes_disjoint_meters(
    usage_format: str, usage: dict[str, Any], meters: dict[Meter, int]
) -> None:
    normalised = normalise("openai", usage_format, usage)

    assert normalised.meters == meters
    assert list(normalised.meters) == [meter for meter in Meter if meter in meters]
    assert not normalised.summed
    tokens = sum(n for meter, n in meters.items() if meter in TOKENS)
    assert normalised.counts.input_tokens + normalised.counts.output_tokens == tokens


@pytest.mark.parametrize(
    "usage",
    [
        {"input_tokens": 50, "input_tokens_details": {"cached_tokens": 20}, "output_tokens": 7},
        {"prompt_tokens": 50, "completion_tokens": 7, "total_tokens": 57}
        | {"prompt_tokens_details": {"cached_tokens": 20}},
    ],
)
def test_a_batch_is_a_sum_under_either_names(usage: dict[str, Any]) -> None:
    normalised = normalise("openai", "openai_batch", usage)

    assert normalised.summed
    assert normalised.meters == {Meter.INPUT: 30, Meter.CACHE_READ: 20, Meter.OUTPUT: 7}


@pytest.mark.parametrize(
    ("usage_format", "usage", "said"),
    [
        pytest.param(
            "openai_realtime",
            {
                "input_tokens": 9,
                "input_token_details": {"audio_tokens": 4, "cached_tokens": 4},
            },
            "without cached_tokens_details",
            id="which of them were cached?",
        ),
        pytest.param(
            "openai_realtime",
            REALTIME
            | {
                "input_token_details": {
                    "audio_tokens": 13,
                    "cached_tokens": 64,
                    "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 5},
                }
            },
            "do not make up 64",
            id="a split that does not add up",
        ),
        pytest.param("openai_realtime", REALTIME | {"total_tokens": 9}, "add up to 253", id="sum"),
        pytest.param("openai_realtime", REALTIME | {"video_tokens": 1}, "video_tokens", id="new"),
        pytest.param(
            "openai_images",
            IMAGE | {"input_tokens_details": {"image_tokens": 40, "cached_tokens": 2}},
            "without cached_tokens_details",
            id="a cached image, perhaps",
        ),
        pytest.param(
            "openai_images",
            IMAGE | {"output_tokens_details": {"image_tokens": 51}},
            "50 output tokens cannot hold",
            id="more image than output",
        ),
        pytest.param("openai_images", IMAGE | {"thinking": {"n": 3}}, "thinking is a", id="nested"),
        pytest.param("openai_audio", {"seconds": "9"}, "seconds is str", id="text"),
        pytest.param("openai_audio", {"seconds": -1}, "seconds is -1", id="before it began"),
        pytest.param(
            "openai_audio", {"seconds": float("nan")}, "seconds is nan", id="not a number"
        ),
        pytest.param("openai_audio", {"seconds": 10**7}, "expected 0 to", id="three months"),
        pytest.param(
            "openai_audio", {"seconds": 1, "words": 3}, "words is a count", id="and words"
        ),
        pytest.param(
            "openai_audio",
            {"type": "tokens", "input_tokens": 4, "output_tokens": 1},
            "how much was sound",
            id="a transcription that does not say how much of it was sound",
        ),
    ],
)
def test_usage_that_cannot_be_priced_surely_is_unreadable(
    usage_format: str, usage: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageUnreadable, match=said):
        normalise("openai", usage_format, usage)


@pytest.mark.parametrize(
    ("usage_format", "usage"),
    [
        ("openai_realtime", {"input_tokens": 0, "output_tokens": 0}),
        ("openai_images", {"total_tokens": 0}),
        ("openai_audio", {"seconds": 0}),
        ("openai_audio", {"type": "tokens"}),
        ("openai_batch", {"input_tokens": 0, "output_tokens": 0}),
    ],
)
def test_counts_of_0_are_no_usage(usage_format: str, usage: dict[str, Any]) -> None:
    with pytest.raises(UsageMissing):
        normalise("openai", usage_format, usage)


few = st.integers(min_value=0, max_value=10**6)


@given(parts=st.lists(few, min_size=8, max_size=8))
def test_the_meters_of_a_turn_add_up_to_what_was_reported(parts: list[int]) -> None:
    text, audio, image, read_text, read_audio, read_image, out, audio_out = parts
    reported = {
        "input_tokens": sum(parts[:6]),
        "output_tokens": out + audio_out + 1,
        "input_token_details": {
            "text_tokens": text + read_text,
            "audio_tokens": audio + read_audio,
            "image_tokens": image + read_image,
            "cached_tokens": sum(parts[3:6]),
            "cached_tokens_details": {
                "text_tokens": read_text,
                "audio_tokens": read_audio,
                "image_tokens": read_image,
            },
        },
        "output_token_details": {"text_tokens": out + 1, "audio_tokens": audio_out},
    }

    usage = normalise("openai", "openai_realtime", reported)

    assert sum(usage.meters.values()) == sum(parts) + 1
    assert usage.meters.get(Meter.AUDIO_INPUT, 0) == audio
    assert usage.meters.get(Meter.CACHE_READ_IMAGE, 0) == read_image
    assert usage.meters.get(Meter.INPUT, 0) == text
