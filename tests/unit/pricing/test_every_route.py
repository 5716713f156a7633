"""One call on each route, as its provider reports it, by the price lists that we ship."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fakes.entries import an_attempt, an_event, an_outcome
from tallygate.adapters.files.rule_books import RuleBookFolder
from tallygate.application.pricing import price_of
from tallygate.domain.ledger.events import Event, PriceStatus

BOOKS = RuleBookFolder(Path(__file__).parents[3] / "policies")


def a_call(
    provider: str, model: str, usage_format: str, usage: dict[str, Any], **attempt: Any
) -> Event:
    return an_event(
        attempt=an_attempt(provider=provider, request_model=model, **attempt),
        outcome=an_outcome(
            response_model=None, service_tier=None, usage=usage, usage_format=usage_format
        ),
    )


PRICED = [
    # 60 x 0.75 + 40 x 0.075 + 7 x 4.50
    pytest.param(
        a_call(
            "openai",
            "gpt-5.4-mini",
            "openai_chat",
            {
                "prompt_tokens": 100,
                "prompt_tokens_details": {"cached_tokens": 40, "audio_tokens": 0},
                "completion_tokens": 7,
                "total_tokens": 107,
            },
        ),
        "0.0000795",
        id="chat by pass-through",
    ),
    pytest.param(
        a_call(
            "text-completion-openai",
            "gpt-3.5-turbo-instruct",
            "litellm",
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        ),
        "0.000025",
        id="text completion",
    ),
    pytest.param(
        a_call(
            "openai",
            "text-embedding-3-large",
            "openai_chat",
            {"prompt_tokens": 10, "total_tokens": 10},
            operation="embeddings",
        ),
        "0.0000013",
        id="embedding",
    ),
    # 10 x 5.00 + 200 x 8.00 + 1000 x 32.00
    pytest.param(
        a_call(
            "openai",
            "gpt-image-1.5",
            "openai_images",
            {
                "input_tokens": 210,
                "input_tokens_details": {"text_tokens": 10, "image_tokens": 200},
                "output_tokens": 1000,
                "output_tokens_details": {"text_tokens": 0, "image_tokens": 1000},
                "total_tokens": 1210,
            },
        ),
        "0.03365",
        id="images",
    ),
    pytest.param(
        a_call("gemini", "imagen-3.0-fast-generate-001", "counted", {"images": 3}),
        "0.06",
        id="images by the piece",
    ),
    pytest.param(
        a_call("openai", "tts-1", "counted", {"characters": 200}), "0.003", id="speech by length"
    ),
    pytest.param(
        a_call(
            "openai",
            "gpt-4o-mini-tts",
            "openai_audio",
            {"input_tokens": 10, "output_tokens": 100, "total_tokens": 110},
        ),
        "0.001206",
        id="speech by tokens",
    ),
    pytest.param(
        a_call("openai", "whisper-1", "openai_audio", {"type": "duration", "seconds": 3.2}),
        "0.00032",
        id="transcription by length",
    ),
    pytest.param(
        a_call(
            "openai",
            "gpt-4o-mini-transcribe",
            "openai_audio",
            {
                "type": "tokens",
                "input_tokens": 14,
                "input_token_details": {"text_tokens": 4, "audio_tokens": 10},
                "output_tokens": 45,
                "total_tokens": 59,
            },
        ),
        "0.0002425",
        id="transcription by tokens",
    ),
    pytest.param(
        a_call("openai", "omni-moderation-latest", "counted", {"requests": 1}),
        "0",
        id="moderation, at an explicit 0",
    ),
    pytest.param(
        a_call("cohere", "rerank-v4.0-pro", "cohere_rerank", {"billed_units": {"search_units": 2}}),
        "0.005",
        id="rerank",
    ),
    # 7 x 4.00 + 3 x 0.40 + 10 x 32.00 + 5 x 24.00 + 20 x 64.00
    pytest.param(
        a_call(
            "openai",
            "gpt-realtime-2.1",
            "openai_realtime",
            {
                "input_tokens": 20,
                "input_token_details": {
                    "text_tokens": 10,
                    "audio_tokens": 10,
                    "cached_tokens": 3,
                    "cached_tokens_details": {"text_tokens": 3, "audio_tokens": 0},
                },
                "output_tokens": 25,
                "output_token_details": {"text_tokens": 5, "audio_tokens": 20},
                "total_tokens": 45,
            },
            operation="realtime",
        ),
        "0.0017492",
        id="a turn of a session",
    ),
    # 100 x 0.75 + 30 x 3.75
    pytest.param(
        a_call(
            "gemini",
            "gemini-3.8-flash",
            "gemini",
            {
                "promptTokenCount": 100,
                "candidatesTokenCount": 20,
                "thoughtsTokenCount": 10,
                "totalTokenCount": 130,
            },
        ),
        "0.0001875",
        id="Gemini native",
    ),
    pytest.param(
        a_call(
            "vertex_ai",
            "gemini-2.5-pro",
            "gemini",
            {"promptTokenCount": 1000, "trafficType": "ON_DEMAND_PRIORITY"},
        ),
        "0.00225",
        id="Vertex AI, served with priority",
    ),
    pytest.param(
        a_call(
            "bedrock",
            "us.anthropic.claude-sonnet-5-5",
            "bedrock_converse",
            {
                "inputTokens": 30,
                "outputTokens": 9,
                "totalTokens": 72,
                "cacheReadInputTokens": 11,
                "cacheWriteInputTokens": 22,
                "cacheDetails": [
                    {"ttl": "5m", "inputTokens": 20},
                    {"ttl": "1h", "inputTokens": 2},
                ],
            },
        ),
        "0.00023001",
        id="Converse",
    ),
    pytest.param(
        a_call(
            "bedrock",
            "invoke/us.anthropic.claude-sonnet-5-5",
            "anthropic",
            {"input_tokens": 30, "output_tokens": 9, "cache_read_input_tokens": 11},
        ),
        "0.00016621",
        id="Anthropic by Bedrock's invoke",
    ),
    pytest.param(
        a_call(
            "openai",
            "gpt-4o-mini",
            "openai_chat",
            {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100},
            operation="batch",
        ),
        "0.000105",
        id="a record of a batch",
    ),
    pytest.param(
        a_call(
            "openai",
            "gpt-4o-mini",
            "openai_batch",
            {"input_tokens": 10**6, "output_tokens": 1000, "total_tokens": 1_001_000},
            operation="batch",
        ),
        "0.0753",
        id="a whole batch",
    ),
    pytest.param(
        a_call(
            "anthropic",
            "claude-haiku-4-5",
            "anthropic",
            {"input_tokens": 1000, "output_tokens": 100, "service_tier": "batch"},
            operation="batch",
        ),
        "0.00075",
        id="a record of Anthropic's batch",
    ),
]


@pytest.mark.parametrize(("event", "cost"), PRICED)
def test_a_call_is_priced_to_the_last_digit(event: Event, cost: str) -> None:
    price = price_of(event, BOOKS)

    assert (price.status, price.unpriced_reason) == (PriceStatus.PRICED, None)
    assert price.cost == Decimal(cost)
    assert sum(line.cost for line in price.lines) == price.cost


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        pytest.param(
            a_call("openai", "gpt-4o-mini-tts", "counted", {"characters": 200}),
            "no_meter_rate",
            id="speech that is sold by tokens, of which only the characters are known",
        ),
        pytest.param(
            a_call(
                "openai",
                "gpt-5.4",
                "openai_batch",
                {"input_tokens": 300_000, "output_tokens": 1, "total_tokens": 300_001},
                operation="batch",
            ),
            "unknown_axis",
            id="a sum of which nobody knows whether its calls were long",
        ),
        pytest.param(
            a_call(
                "vertex_ai",
                "gemini-2.5-pro",
                "gemini",
                {"promptTokenCount": 1000, "trafficType": "PROVISIONED_THROUGHPUT"},
            ),
            "unknown_axis",
            id="paid for by the hour",
        ),
        pytest.param(
            a_call(
                "gemini",
                "gemini-2.5-flash",
                "gemini",
                {"promptTokenCount": 1000, "webSearchQueries": 1},
            ),
            "no_meter_rate",
            id="a search that is billed by the prompt",
        ),
        pytest.param(
            a_call(
                "bedrock",
                "anthropic.claude-sonnet-5-5",
                "bedrock_converse",
                {"inputTokens": 1, "cacheWriteInputTokens": 5},
            ),
            "no_meter_rate",
            id="a cache write of unknown lifetime",
        ),
        pytest.param(
            a_call("mcp", "search_tickets", "counted", {"requests": 1}, operation="execute_tool"),
            "no_rule_book",
            id="a tool of whose price nobody wrote a book",
        ),
    ],
)
def test_a_call_without_a_sure_price_says_why(event: Event, reason: str) -> None:
    assert price_of(event, BOOKS).unpriced_reason == reason
