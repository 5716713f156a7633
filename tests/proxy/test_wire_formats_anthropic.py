"""
What Anthropic really sends, on its own route and behind the chat route, to an event and its price.

Method and layout as in test_wire_formats.py. On its own route LiteLLM passes the provider's answer
through (usage in Anthropic's words, unless it is streamed); behind the chat route it converts it.
Source: Anthropic's API reference; `wire_formats/` holds the bodies.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Final

import litellm
import openai
import pytest

from litellm_release import since
from proxy.provider_calls import (
    LEFT_OUT,
    LITELLM_WARNINGS,
    REQUEST_ID,
    SECRET,
    GatedCall,
    Provider,
    converted,
    is_priced,
    is_unpriced,
    messages,
    wire_events,
    wire_json,
)
from tallygate.domain.ledger.events import PriceStatus, Status, UsageSource

pytestmark = LITELLM_WARNINGS

Ask = Callable[..., Awaitable[None]]
USAGE: Final[dict[str, Any]] = wire_json("anthropic_message.json")["usage"]
BOTH: Final = pytest.mark.parametrize("ask", [messages, converted])
METERS: Final = {
    "input": 300,
    "cache_read": 5000,
    "cache_write_5m": 1000,
    "cache_write_1h": 200,
    "output": 90,
}

ERROR_EVENT: Final = (
    b"event: error\n"
    b'data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
)


def a_message(**changes: Any) -> dict[str, Any]:
    """Change the usage of the message on file."""
    usage = {key: value for key, value in (USAGE | changes).items() if value is not LEFT_OUT}
    return wire_json("anthropic_message.json", usage=usage)


# Whole messages.


@pytest.mark.parametrize(
    ("ask", "usage_format", "request_id"),
    [
        pytest.param(messages, "anthropic", REQUEST_ID, id="messages"),
        pytest.param(converted, "litellm", REQUEST_ID, id="converted"),
    ],
)
async def test_a_message_with_both_lifetimes_of_cache(
    gated: GatedCall, provider: Provider, ask: Ask, usage_format: str, request_id: str
) -> None:
    provider.answers(a_message())

    await ask(gated)

    outcome, price = await gated.outcome()
    assert (outcome.status, outcome.usage_source) == (Status.OK, UsageSource.REPORTED)
    assert outcome.usage_format == usage_format
    assert outcome.response_model == "claude-sonnet-5-5-20260915"
    assert outcome.provider_request_id == request_id
    assert outcome.service_tier == "standard"
    # 300 x 2 + 5,000 x 0.10 + 1,000 x 2.50 + 200 x 4 + 90 x 10 = 600 + 500 + 2500 + 800 + 900
    is_priced(price, "0.0053", **METERS)
    assert price.usage is not None
    assert price.usage.normaliser == "anthropic/1"
    assert price.usage.counts.input_tokens == 6500


@BOTH
@pytest.mark.parametrize(
    ("changes", "cost", "meters"),
    [
        pytest.param(
            {"server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1}},
            "0.0253",  # 0.0053 + 2 x 0.01
            METERS | {"web_searches": 2},
            id="web searches, and fetches, which are free",
        ),
        pytest.param(
            {"inference_geo": "us"},
            "0.00583",  # 0.0053 x 1.1
            METERS,
            id="in the US",
        ),
        pytest.param(
            {"inference_geo": "us", "server_tool_use": {"web_search_requests": 1}},
            "0.01583",  # 0.0053 x 1.1 + 0.01: the search is not uplifted
            METERS | {"web_searches": 1},
            id="a search in the US",
        ),
        pytest.param(
            {"output_tokens_details": {"thinking_tokens": 40}},
            "0.0053",
            METERS | {"output": 50, "reasoning": 40},
            id="thinking",
        ),
        pytest.param(
            dict.fromkeys(USAGE, LEFT_OUT) | {"input_tokens": 10, "output_tokens": 5},
            "0.00007",  # 10 x 2 + 5 x 10
            {"input": 10, "output": 5},
            id="bare counts",
        ),
        pytest.param(
            {
                "cache_creation_input_tokens": 0,
                "cache_read_input_tokens": 0,
                "server_tool_use": None,
            }
            | {"cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}},
            "0.0015",  # 300 x 2 + 90 x 10
            {"input": 300, "output": 90},
            id="no cache",
        ),
    ],
)
async def test_every_count_of_a_message_has_its_meter(
    gated: GatedCall,
    provider: Provider,
    ask: Ask,
    changes: dict[str, Any],
    cost: str,
    meters: dict[str, int],
) -> None:
    provider.answers(a_message(**changes))

    await ask(gated)

    _, price = await gated.outcome()
    is_priced(price, cost, **meters)


@BOTH
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"service_tier": "priority"}, "unknown_axis", id="a contracted tier"),
        pytest.param({"speed": "fast"}, "unknown_axis", id="fast mode"),
        pytest.param({"inference_geo": "mars"}, "unknown_axis", id="a new place"),
        pytest.param({"cache_creation": None}, "usage_unreadable", id="no split by lifetime"),
        pytest.param(
            {"input_tokens": 0, "output_tokens": 0, "cache_creation_input_tokens": 0}
            | {"cache_read_input_tokens": 0, "cache_creation": None},
            "usage_missing",
            id="zeros",
        ),
    ],
)
async def test_a_message_that_the_book_cannot_price_is_unpriced(
    gated: GatedCall, provider: Provider, ask: Ask, changes: dict[str, Any], reason: str
) -> None:
    provider.answers(a_message(**changes))

    await ask(gated)

    outcome, price = await gated.outcome()
    assert outcome.status is Status.OK
    is_unpriced(price, reason)


async def test_a_new_count_is_refused_unless_litellm_has_lost_it(
    gated: GatedCall, provider: Provider
) -> None:
    provider.answers(a_message(video_tokens=7))

    await messages(gated)

    _, price = await gated.outcome()
    is_unpriced(price, "usage_unreadable")


async def test_a_new_count_is_lost_where_litellm_converts(
    gated: GatedCall, provider: Provider
) -> None:
    provider.answers(a_message(video_tokens=7))

    await converted(gated)

    outcome, _ = await gated.outcome()
    assert "video_tokens" not in (outcome.usage or {})


@pytest.mark.parametrize("usage", [None, LEFT_OUT])
async def test_a_message_without_usage_is_unpriced(
    gated: GatedCall, provider: Provider, usage: object
) -> None:
    provider.answers(wire_json("anthropic_message.json", usage=usage))

    await messages(gated)

    outcome, price = await gated.outcome()
    assert (outcome.status, outcome.usage) == (Status.OK, None)
    is_unpriced(price, "usage_missing")


@pytest.mark.parametrize("usage", [None, LEFT_OUT])
async def test_an_answer_that_litellm_cannot_convert_may_be_billed(
    gated: GatedCall, provider: Provider, usage: object
) -> None:
    provider.answers(wire_json("anthropic_message.json", usage=usage))

    with pytest.raises(litellm.exceptions.APIConnectionError):
        await converted(gated)

    outcome, price = await gated.outcome()
    assert (outcome.status, outcome.http_status) == (Status.ERROR, 200)
    is_unpriced(price, "usage_missing")


# Streams.


@BOTH
async def test_the_counts_of_a_streams_message_delta_are_cumulative(
    gated: GatedCall, provider: Provider, ask: Ask
) -> None:
    provider.streams(wire_events("anthropic_message.sse"))

    await ask(gated, stream=True)

    outcome, price = await gated.outcome()
    assert (outcome.status, outcome.usage_source) == (Status.OK, UsageSource.REPORTED)
    assert outcome.time_to_first_token_us is not None
    is_priced(price, "0.0053", **METERS)


@BOTH
async def test_a_streams_searches_and_what_they_read_come_with_its_last_counts(
    gated: GatedCall, provider: Provider, ask: Ask
) -> None:
    provider.streams(wire_events("anthropic_web_search.sse"))

    await ask(gated, stream=True)

    _, price = await gated.outcome()
    # 10,682 x 2 + 510 x 10 = 21364 + 5100 dollars per million, and 0.01 for the search.
    is_priced(price, "0.036464", input=10_682, output=510, web_searches=1)


@since("1.105.0")
async def test_a_converted_stream_names_the_model_that_answered(
    gated: GatedCall, provider: Provider
) -> None:
    provider.streams(wire_events("anthropic_message.sse"))

    await converted(gated, stream=True)

    outcome, _ = await gated.outcome()
    assert outcome.response_model == "claude-sonnet-5-5-20260915"
    assert outcome.provider_request_id == REQUEST_ID


async def test_a_stream_that_ends_in_an_error_is_one_where_litellm_converts(
    gated: GatedCall, provider: Provider
) -> None:
    provider.streams([*wire_events("anthropic_message.sse")[:4], ERROR_EVENT])

    with pytest.raises(litellm.exceptions.MidStreamFallbackError):
        await converted(gated, stream=True)

    outcome, price = await gated.outcome()
    assert (outcome.status, outcome.http_status) == (Status.ERROR, 200)
    assert outcome.usage_source is UsageSource.ESTIMATED
    assert price.usage is not None
    assert price.usage.counts.input_tokens == 6500


@BOTH
async def test_the_tier_of_a_stream_is_lost_by_litellm(
    gated: GatedCall, provider: Provider, ask: Ask
) -> None:
    events = wire_events("anthropic_message.sse")
    provider.streams([event.replace(b'"standard"', b'"priority"') for event in events])

    await ask(gated, stream=True)

    outcome, _ = await gated.outcome()
    assert outcome.service_tier is None


# Failures.


@BOTH
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("http_status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (529, "overloaded_error"),
    ],
)
async def test_an_answered_error_is_not_billed_and_its_text_is_not_kept(
    gated: GatedCall, provider: Provider, ask: Ask, stream: bool, http_status: int, kind: str
) -> None:
    body = {"type": "error", "error": {"type": kind, "message": SECRET}, "request_id": REQUEST_ID}
    provider.answers(body, http_status)

    with pytest.raises(openai.APIError) as raised:
        await ask(gated, stream=stream)

    outcome, price = await gated.outcome()
    assert (outcome.status, outcome.http_status) == (Status.ERROR, http_status)
    assert outcome.error_type == type(raised.value).__name__
    assert (outcome.usage, outcome.usage_source) == (None, UsageSource.NONE)
    assert (price.status, price.cost) == (PriceStatus.NOT_BILLED, Decimal(0))
