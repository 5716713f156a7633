"""
What OpenAI really sends, through the real LiteLLM and the real gate, to an event and its price.

Method: bodies as the provider sends them are served below LiteLLM's HTTP client; the event is read
where the gate writes it, and priced by the books that we ship. Costs are worked by hand.
Source: OpenAI's API reference; `wire_formats/` holds the bodies.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

import httpx
import litellm
import openai
import orjson
import pytest

from litellm_release import since
from proxy.provider_calls import (
    BOOKS,
    LEFT_OUT,
    LITELLM_WARNINGS,
    REQUEST_ID,
    SECRET,
    GatedCall,
    Provider,
    chat,
    chat_stream,
    embed,
    is_priced,
    is_unpriced,
    wire_events,
    wire_json,
)
from tallygate.application.pricing import price_of
from tallygate.domain.ledger.events import PriceStatus, Status, UsageSource
from tallygate.proxy.sends import SENT_AGAIN

pytestmark = LITELLM_WARNINGS

USAGE: Final = {"prompt_tokens": 3400, "completion_tokens": 620, "total_tokens": 4020}


def with_usage(events: Iterable[bytes], **changes: Any) -> list[bytes]:
    """Change the usage in the last chunk of an OpenAI stream."""
    *before, last, done = events
    chunk = orjson.loads(last.removeprefix(b"data: "))
    chunk["usage"] = {k: v for k, v in (chunk["usage"] | changes).items() if v is not LEFT_OUT}
    return [*before, b"data: " + orjson.dumps(chunk) + b"\n\n", done]


def openai_error(code: str | None, kind: str) -> dict[str, Any]:
    return {"error": {"message": SECRET, "type": kind, "param": None, "code": code}}


# Whole answers.


async def test_a_chat_with_cached_and_reasoning_tokens(
    gated: GatedCall, provider: Provider
) -> None:
    provider.answers(wire_json("openai_chat.json"))

    await chat(gated)

    outcome, price = await gated.outcome()
    assert (outcome.status, outcome.usage_source) == (Status.OK, UsageSource.REPORTED)
    assert outcome.usage_format == "litellm"
    assert outcome.response_model == "gpt-5.4-mini-2026-03-17"
    assert outcome.provider_request_id == REQUEST_ID
    assert outcome.service_tier == "default"
    assert outcome.usage is not None
    assert outcome.usage["prompt_tokens_details"]["cached_tokens"] == 1200
    # 2,200 x 0.75 + 1,200 x 0.075 + 620 x 4.50 = 1650 + 90 + 2790 dollars per million.
    is_priced(price, "0.00453", input=2200, cache_read=1200, output=120, reasoning=500)
    assert price.usage is not None
    assert price.usage.normaliser == "openai/1"


@pytest.mark.parametrize(
    ("asked", "served", "cost"),
    [
        pytest.param({}, "default", "0.00453", id="default"),
        pytest.param({}, None, "0.00453", id="null, as before tiers"),
        # 2,200 x 0.375 + 1,200 x 0.0375 + 620 x 2.25 = 825 + 45 + 1395
        pytest.param({"service_tier": "flex"}, "flex", "0.002265", id="flex"),
        # 2,200 x 1.50 + 1,200 x 0.15 + 620 x 9.00 = 3300 + 180 + 5580
        pytest.param({"service_tier": "priority"}, "priority", "0.00906", id="priority"),
        pytest.param(
            {"service_tier": "auto"}, "priority", "0.00906", id="auto, served as priority"
        ),
        pytest.param({"service_tier": "flex"}, "default", "0.00453", id="flex, served as default"),
        pytest.param({"service_tier": "flex"}, None, None, id="flex, and not said what served it"),
        pytest.param({}, "scale", None, id="a tier that the book does not know"),
    ],
)
async def test_the_tier_that_served_a_chat_makes_its_price(
    gated: GatedCall,
    provider: Provider,
    asked: dict[str, str],
    served: str | None,
    cost: str | None,
) -> None:
    provider.answers(wire_json("openai_chat.json", service_tier=served))

    await chat(gated, **asked)

    (event,) = await gated.settled()
    outcome, price = await gated.outcome()
    assert outcome.service_tier == served
    assert event.attempt is not None
    assert event.attempt.request_service_tier == asked.get("service_tier")
    if cost is None:
        is_unpriced(price, "unknown_axis")
    else:
        assert price.cost == Decimal(cost)


@pytest.mark.parametrize(
    ("model", "usage", "cost", "meters"),
    [
        pytest.param(
            "gpt-5.4-mini-2026-03-17",
            USAGE,
            "0.00534",  # 3,400 x 0.75 + 620 x 4.50 = 2550 + 2790
            {"input": 3400, "output": 620},
            id="bare totals, as compatible servers send them",
        ),
        pytest.param(
            "gpt-5.4-mini-2026-03-17",
            USAGE | {"completion_tokens_details": {"reasoning_tokens": 620}},
            "0.00534",
            {"input": 3400, "reasoning": 620},
            id="nothing but reasoning",
        ),
        pytest.param(
            "gpt-5.4-mini-2026-03-17",
            USAGE | {"prompt_tokens_details": {"cached_tokens": 3400}},
            "0.003045",  # 3,400 x 0.075 + 620 x 4.50 = 255 + 2790
            {"cache_read": 3400, "output": 620},
            id="all of the prompt cached",
        ),
        pytest.param(
            "gpt-5.6",
            USAGE | {"prompt_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 1000}},
            "0.02556",  # 2,000 x 4 + 400 x 0.40 + 1,000 x 5 + 620 x 20 = 8000 + 160 + 5000 + 12400
            {"input": 2000, "cache_read": 400, "cache_write": 1000, "output": 620},
            id="written to the cache",
        ),
        pytest.param(
            "gpt-5.4",
            {"prompt_tokens": 300_000, "completion_tokens": 1000, "total_tokens": 301_000},
            "1.5225",  # 300,000 x 5 + 1,000 x 22.50
            {"input": 300_000, "output": 1000},
            id="long context",
        ),
        pytest.param(
            "gpt-5.4-mini-2026-03-17",
            USAGE | {"new_tokens": 0, "prompt_tokens_details": {"new_tokens": 0}, "note": SECRET},
            "0.00534",
            {"input": 3400, "output": 620},
            id="unknown keys that count nothing",
        ),
    ],
)
async def test_every_count_of_a_chat_has_its_meter(
    gated: GatedCall,
    provider: Provider,
    model: str,
    usage: dict[str, Any],
    cost: str,
    meters: dict[str, int],
) -> None:
    provider.answers(wire_json("openai_chat.json", model=model, usage=usage))

    await chat(gated)

    _, price = await gated.outcome()
    is_priced(price, cost, **meters)


@pytest.mark.parametrize("usage", [LEFT_OUT, None, dict.fromkeys(USAGE, 0)])
async def test_a_chat_without_counts_is_unpriced_never_free(
    gated: GatedCall, provider: Provider, usage: object
) -> None:
    provider.answers(wire_json("openai_chat.json", usage=usage))

    await chat(gated)

    outcome, price = await gated.outcome()
    assert (outcome.status, outcome.usage) == (Status.OK, None)
    assert outcome.usage_source is UsageSource.NONE
    is_unpriced(price, "usage_missing")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"usage": USAGE | {"video_tokens": 7}}, "usage_unreadable", id="a new count"),
        pytest.param(
            {"usage": USAGE | {"completion_tokens_details": {"video_tokens": 7}}},
            "usage_unreadable",
            id="a new count inside",
        ),
        pytest.param(
            {"usage": USAGE | {"total_tokens": 5000}}, "usage_unreadable", id="a wrong sum"
        ),
        pytest.param(
            {"usage": USAGE | {"prompt_tokens_details": {"cached_tokens": 3401}}},
            "usage_unreadable",
            id="more cached than there was",
        ),
        pytest.param(
            {"usage": USAGE | {"prompt_tokens_details": {"audio_tokens": 100}}},
            "no_meter_rate",
            id="audio that the book does not price",
        ),
        pytest.param({"model": "gpt-9"}, "no_model_rate", id="a model that is in no book"),
    ],
)
async def test_what_a_book_cannot_price_is_unpriced_and_kept(
    gated: GatedCall, provider: Provider, changes: dict[str, Any], reason: str
) -> None:
    provider.answers(wire_json("openai_chat.json", **changes))

    await chat(gated)

    outcome, price = await gated.outcome()
    is_unpriced(price, reason)
    assert outcome.usage is not None
    assert outcome.usage["prompt_tokens"] == 3400


async def test_an_embedding_has_input_only(gated: GatedCall, provider: Provider) -> None:
    provider.answers(wire_json("openai_embeddings.json"))

    await embed(gated)

    outcome, price = await gated.outcome()
    assert outcome.response_model == "text-embedding-3-small"
    assert outcome.provider_request_id == REQUEST_ID
    is_priced(price, "0.000025", input=1250)  # 1,250 x 0.02


async def test_an_embedding_without_usage_is_unpriced(gated: GatedCall, provider: Provider) -> None:
    provider.answers(wire_json("openai_embeddings.json", usage=LEFT_OUT))

    await embed(gated)

    _, price = await gated.outcome()
    is_unpriced(price, "usage_missing")


async def test_a_retry_of_the_providers_client_is_an_attempt_of_its_own(
    gated: GatedCall, provider: Provider
) -> None:
    provider.answers(openai_error("rate_limit_exceeded", "requests"), 429, {"retry-after-ms": "1"})
    provider.answers(wire_json("openai_embeddings.json"))

    await embed(gated)

    first, second = await gated.settled(2)
    assert first.outcome is not None
    assert (first.outcome.http_status, first.outcome.detail) == (429, SENT_AGAIN)
    assert price_of(first, BOOKS).cost == 0
    assert second.attempt is not None
    assert second.attempt.retry_of_event_id == first.event_id
    assert price_of(second, BOOKS).cost == Decimal("0.000025")


# Streams.


@since("1.105.0")
async def test_a_streams_usage_comes_last_beside_no_choices(
    gated: GatedCall, provider: Provider
) -> None:
    provider.streams(wire_events("openai_chat.sse"))

    await chat_stream(gated)

    (event,) = await gated.settled()
    outcome, price = await gated.outcome()
    assert event.attempt is not None
    assert event.attempt.stream
    assert (outcome.status, outcome.usage_source) == (Status.OK, UsageSource.REPORTED)
    assert outcome.response_model == "gpt-5.4-mini-2026-03-17"
    assert outcome.provider_request_id == REQUEST_ID
    assert outcome.service_tier == "default"
    assert outcome.time_to_first_token_us is not None
    # 644 x 0.75 + 256 x 0.075 + 150 x 4.50 = 483 + 19.2 + 675
    is_priced(price, "0.0011772", input=644, cache_read=256, output=86, reasoning=64)


@since("1.105.0")
async def test_the_tier_of_a_stream_stands_in_its_chunks(
    gated: GatedCall, provider: Provider
) -> None:
    events = wire_events("openai_chat.sse")
    provider.streams([event.replace(b'"default"', b'"flex"') for event in events])

    await chat_stream(gated, service_tier="flex")

    outcome, price = await gated.outcome()
    assert outcome.service_tier == "flex"
    assert price.cost == Decimal("0.0005886")  # half of default


async def test_a_stream_that_reports_no_usage_is_estimated(
    gated: GatedCall, provider: Provider
) -> None:
    provider.streams([e for e in wire_events("openai_chat.sse") if b'"choices":[],' not in e])

    await chat_stream(gated)

    outcome, _ = await gated.outcome()
    assert outcome.usage_source is UsageSource.ESTIMATED


@pytest.mark.parametrize(
    ("usage", "reason"),
    [
        pytest.param(
            USAGE
            | dict.fromkeys(USAGE, 0)
            | {"prompt_tokens_details": LEFT_OUT}
            | {"completion_tokens_details": LEFT_OUT},
            "usage_missing",
            id="zeros",
            marks=since("1.105.0"),
        ),
        pytest.param(
            {"prompt_tokens_details": {"cached_tokens": 256, "video_tokens": 7}},
            "usage_unreadable",
            id="a new count inside",
        ),
    ],
)
async def test_a_streams_usage_is_read_as_strictly(
    gated: GatedCall, provider: Provider, usage: dict[str, Any], reason: str
) -> None:
    provider.streams(with_usage(wire_events("openai_chat.sse"), **usage))

    await chat_stream(gated)

    _, price = await gated.outcome()
    is_unpriced(price, reason)


async def test_a_new_count_at_the_top_of_a_streams_usage_is_lost_by_litellm(
    gated: GatedCall, provider: Provider
) -> None:
    provider.streams(with_usage(wire_events("openai_chat.sse"), video_tokens=7))

    await chat_stream(gated)

    outcome, _ = await gated.outcome()
    assert "video_tokens" not in (outcome.usage or {})


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(
            [b'data: {"error": {"message": "overloaded", "code": null}}\n\n'], id="said so"
        ),
        pytest.param([], id="cut off"),
    ],
)
async def test_a_stream_that_breaks_off_is_an_error_with_an_estimate(
    gated: GatedCall, provider: Provider, end: list[bytes]
) -> None:
    def breaking() -> Iterable[bytes]:
        yield from wire_events("openai_chat.sse")[:3]
        yield from end
        raise httpx.RemoteProtocolError(SECRET)

    provider.streams(breaking())

    with pytest.raises(litellm.exceptions.MidStreamFallbackError):
        await chat_stream(gated)

    outcome, _ = await gated.outcome()
    assert (outcome.status, outcome.http_status) == (Status.ERROR, 200)
    assert outcome.usage_source is UsageSource.ESTIMATED
    assert outcome.usage is not None


# Failures.


@pytest.mark.parametrize(
    ("http_status", "kind", "code"),
    [
        pytest.param(400, "invalid_request_error", "context_length_exceeded", id="400"),
        pytest.param(401, "invalid_request_error", "invalid_api_key", id="401"),
        pytest.param(403, "request_forbidden", "unsupported_country_region_territory", id="403"),
        pytest.param(404, "invalid_request_error", "model_not_found", id="404"),
        pytest.param(429, "requests", "rate_limit_exceeded", id="429"),
        pytest.param(429, "insufficient_quota", "insufficient_quota", id="429 for a quota"),
        pytest.param(500, "server_error", None, id="500"),
        pytest.param(503, "service_unavailable_error", None, id="503"),
        pytest.param(529, "overloaded_error", None, id="529, as compatible servers answer"),
    ],
)
@pytest.mark.parametrize("ask", [chat, chat_stream])
async def test_an_answered_error_is_not_billed_and_its_text_is_not_kept(
    gated: GatedCall, provider: Provider, ask: Any, http_status: int, kind: str, code: str | None
) -> None:
    provider.answers(openai_error(code, kind), http_status)

    with pytest.raises(openai.APIError) as raised:
        await ask(gated)

    outcome, price = await gated.outcome()
    assert (outcome.status, outcome.http_status) == (Status.ERROR, http_status)
    assert outcome.error_type == type(raised.value).__name__
    assert (outcome.usage, outcome.usage_source) == (None, UsageSource.NONE)
    assert (price.status, price.cost) == (PriceStatus.NOT_BILLED, Decimal(0))


async def test_an_answer_that_never_comes_may_be_billed(
    gated: GatedCall, provider: Provider
) -> None:
    provider.says_nothing()

    with pytest.raises(litellm.exceptions.Timeout):
        await chat(gated)

    outcome, price = await gated.outcome()
    assert (outcome.status, outcome.http_status) == (Status.TIMEOUT, None)
    is_unpriced(price, "usage_missing")
