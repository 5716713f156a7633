"""The official `anthropic` client cannot tell the stand-in from the provider."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx
import pytest

MODEL = "claude-sonnet-5-5"


def _asked(text: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": MODEL, "max_tokens": 100, "messages": messages}


def _last_call(book: httpx.Client) -> dict[str, Any]:
    return book.get("/calls").json()[-1]


def test_a_message_has_the_shape_and_the_headers_of_the_provider(
    anthropic_client: anthropic.Anthropic, book: httpx.Client
) -> None:
    message = anthropic_client.messages.create(**_asked("three words here"), system="one more")

    assert message.id.startswith("msg_01")
    assert message.stop_reason == "end_turn"
    assert message.content[0].type == "text"
    assert message.usage.input_tokens == 5
    assert message.usage.service_tier == "standard"
    assert message._request_id == _last_call(book)["provider_request_id"]


def test_cache_tokens_are_not_part_of_the_input_count(
    anthropic_client: anthropic.Anthropic, book: httpx.Client
) -> None:
    told = "[[standin: usage input=1000 cached=600 cache_write_5m=200 cache_write_1h=50 output=9]]"

    usage = anthropic_client.messages.create(**_asked(told)).usage

    assert usage.input_tokens == 150
    assert usage.cache_read_input_tokens == 600
    assert usage.cache_creation_input_tokens == 250
    assert usage.cache_creation is not None
    assert usage.cache_creation.ephemeral_5m_input_tokens == 200
    assert usage.cache_creation.ephemeral_1h_input_tokens == 50
    assert usage.output_tokens == 9
    assert _last_call(book)["billed"]["input"] == 1000


def test_a_stream_accumulates_to_the_whole_message(
    anthropic_client: anthropic.Anthropic, book: httpx.Client
) -> None:
    told = "[[standin: chunks=6 input=100 cached=40]]"

    with anthropic_client.messages.stream(**_asked(told)) as stream:
        events = [event.type for event in stream]
        final = stream.get_final_message()

    assert events[0] == "message_start"
    assert events.count("content_block_delta") == 6
    assert events[-1] == "message_stop"
    assert (final.usage.input_tokens, final.usage.cache_read_input_tokens) == (60, 40)
    assert final.usage.output_tokens == 6
    assert final.content[0].type == "text"
    assert final.content[0].text == "This answer comes from the stand-in"
    assert _last_call(book)["usage"]["output_tokens"] == 6


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (403, anthropic.PermissionDeniedError),
        (404, anthropic.NotFoundError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.InternalServerError),
    ],
)
def test_an_error_on_demand_raises_the_client_s_own_exception(
    anthropic_client: anthropic.Anthropic,
    book: httpx.Client,
    status: int,
    error: type[anthropic.APIStatusError],
) -> None:
    with pytest.raises(error) as raised:
        anthropic_client.messages.create(**_asked(f"[[standin: status={status}]]"))

    assert raised.value.body["type"] == "error"
    assert raised.value.body["request_id"] == _last_call(book)["provider_request_id"]
    assert raised.value.request_id == _last_call(book)["provider_request_id"]
    assert _last_call(book)["ended"] == "error"


def test_a_cut_stream_has_reported_its_input_already(
    anthropic_client: anthropic.Anthropic, book: httpx.Client
) -> None:
    with (
        pytest.raises(Exception, match="peer closed connection"),
        anthropic_client.messages.stream(**_asked("[[standin: input=77 cut=2]]")) as stream,
    ):
        list(stream)

    assert _last_call(book)["ended"] == "cut"
    assert _last_call(book)["usage"]["input_tokens"] == 77
    assert _last_call(book)["usage"]["output_tokens"] == 1


def test_an_error_event_inside_a_stream_is_an_api_error(
    anthropic_client: anthropic.Anthropic,
) -> None:
    with (
        pytest.raises(anthropic.APIStatusError, match="Overloaded"),
        anthropic_client.messages.stream(**_asked("[[standin: error_after=2]]")) as stream,
    ):
        list(stream)


def test_tokens_are_counted_without_being_billed(
    anthropic_client: anthropic.Anthropic, book: httpx.Client
) -> None:
    counted = anthropic_client.messages.count_tokens(
        model=MODEL, messages=[{"role": "user", "content": "three words here"}]
    )

    assert counted.input_tokens == 3
    assert _last_call(book)["billed"] is None


def test_models_are_listed(anthropic_client: anthropic.Anthropic) -> None:
    assert MODEL in [model.id for model in anthropic_client.models.list()]
