"""The official `openai` client cannot tell the stand-in from the provider."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import pytest

MODEL = "gpt-5.4"


def _ask(client: openai.OpenAI, text: str, **wishes: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    return client.chat.completions.create(model=MODEL, messages=messages, **wishes)


def _last_call(book: httpx.Client) -> dict[str, Any]:
    return book.get("/calls").json()[-1]


def test_a_chat_answer_has_the_shape_and_the_headers_of_the_provider(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    raw = openai_client.chat.completions.with_raw_response.create(
        model=MODEL, messages=[{"role": "user", "content": "three words here"}]
    )
    answer = raw.parse()

    assert answer.id.startswith("chatcmpl-")
    assert answer.object == "chat.completion"
    assert answer.model == "gpt-5.4-2026-03-05"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens == 3
    assert answer.usage.completion_tokens == len(answer.choices[0].message.content.split())
    assert answer.service_tier == "default"
    assert raw.headers["x-request-id"] == answer._request_id
    assert _last_call(book)["provider_request_id"] == answer._request_id
    assert _last_call(book)["response_id"] == answer.id


def test_usage_is_told_by_the_caller_and_reported_inclusively(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    told = "[[standin: usage input=3400 cached=1200 output=620 reasoning=20]] hi"

    usage = _ask(openai_client, told).usage

    assert (usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens) == (3400, 1200)
    assert (usage.completion_tokens, usage.completion_tokens_details.reasoning_tokens) == (620, 20)
    assert usage.total_tokens == 4020
    assert _last_call(book)["usage"] == usage.to_dict()
    assert _last_call(book)["billed"]["cached"] == 1200


@pytest.mark.parametrize(
    ("asked", "served"), [("auto", "default"), ("flex", "flex"), ("priority", "priority")]
)
def test_the_service_tier_is_echoed(openai_client: openai.OpenAI, asked: str, served: str) -> None:
    assert _ask(openai_client, "hi", service_tier=asked).service_tier == served
    assert _ask(openai_client, "[[standin: tier=priority]]").service_tier == "priority"


def test_a_limit_ends_the_answer_early(openai_client: openai.OpenAI) -> None:
    answer = _ask(openai_client, "hi", max_completion_tokens=2)

    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 2


def test_a_stream_ends_with_usage_only_where_the_caller_asked(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    with_usage = list(
        _ask(
            openai_client,
            "[[standin: chunks=4]] hi",
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    without = list(_ask(openai_client, "[[standin: chunks=4]] hi", stream=True))

    assert [bool(c.choices) for c in with_usage] == [True] * 6 + [False]
    assert with_usage[-1].usage.completion_tokens == 4
    assert all(c.usage is None for c in with_usage[:-1])
    assert all(c.usage is None for c in without)
    first, second = book.get("/calls").json()
    assert (first["usage"]["prompt_tokens"], first["chunks_sent"]) == (1, 4)
    assert (second["usage"], second["billed"]["output"]) == (None, 4)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_an_error_on_demand_raises_the_client_s_own_exception(
    openai_client: openai.OpenAI,
    book: httpx.Client,
    status: int,
    error: type[openai.APIStatusError],
) -> None:
    with pytest.raises(error) as raised:
        _ask(openai_client, f"[[standin: status={status} retry_after=1]]")

    assert raised.value.response.headers["retry-after"] == "1"
    assert raised.value.request_id == _last_call(book)["provider_request_id"]
    assert (_last_call(book)["status"], _last_call(book)["ended"]) == (status, "error")
    assert _last_call(book)["billed"] is None


def test_the_first_tries_of_a_key_fail_and_then_it_starts_over(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    retrying = openai_client.with_options(max_retries=3)
    flaky = "[[standin: fail=2 status=503 retry_after=0.01]] hi"

    assert _ask(retrying, flaky).usage.prompt_tokens == 1
    assert _ask(retrying, flaky).usage.prompt_tokens == 1

    assert [c["status"] for c in book.get("/calls").json()] == [503, 503, 200, 503, 503, 200]
    retries = [c["headers"]["x-stainless-retry-count"] for c in book.get("/calls").json()]
    assert retries == ["0", "1", "2", "0", "1", "2"]


def test_a_fault_for_one_model_leaves_the_others_alone(openai_client: openai.OpenAI) -> None:
    text = "[[standin: status=500 only=gpt-5.4 output=7]]"

    with pytest.raises(openai.InternalServerError):
        _ask(openai_client, text)

    answer = openai_client.chat.completions.create(
        model="gpt-5.4-mini", messages=[{"role": "user", "content": text}]
    )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 7


def test_a_cut_stream_ends_in_a_connection_error_after_that_many_chunks(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    seen = []

    with pytest.raises(Exception, match="peer closed connection"):
        seen.extend(_ask(openai_client, "[[standin: chunks=9 cut=5]]", stream=True))

    assert _last_call(book)["ended"] == "cut"
    assert _last_call(book)["chunks_sent"] == 5
    assert _last_call(book)["billed"]["output"] == 9


def test_a_cut_whole_answer_is_a_connection_error(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    with pytest.raises(openai.APIConnectionError):
        _ask(openai_client, "[[standin: cut=0]]")

    assert _last_call(book)["ended"] == "cut"


def test_an_error_event_inside_a_stream_is_an_api_error(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    with pytest.raises(openai.APIError, match="server had an error"):
        list(_ask(openai_client, "[[standin: error_after=2]]", stream=True))

    assert (_last_call(book)["status"], _last_call(book)["ended"]) == (200, "error")


def test_a_malformed_answer_does_not_read(openai_client: openai.OpenAI, book: httpx.Client) -> None:
    with pytest.raises((openai.APIError, ValueError)):
        _ask(openai_client, "[[standin: malformed]]")
    with pytest.raises((openai.APIError, ValueError)):
        list(_ask(openai_client, "[[standin: malformed]]", stream=True))

    assert [c["ended"] for c in book.get("/calls").json()] == ["malformed", "malformed"]


def test_usage_can_be_withheld(openai_client: openai.OpenAI, book: httpx.Client) -> None:
    assert _ask(openai_client, "[[standin: no_usage]]").usage is None
    assert _last_call(book)["usage"] is None


def test_a_client_that_leaves_is_seen(openai_client: openai.OpenAI, book: httpx.Client) -> None:
    stream = _ask(openai_client, "[[standin: chunks=500 interval=0.02]]", stream=True)
    next(stream)
    stream.close()
    with pytest.raises(openai.APITimeoutError):
        _ask(openai_client.with_options(timeout=0.2), "[[standin: delay=30]]")

    counts: dict[str, int] = {}
    while counts.get("client_gone") != 2:  # pytest-timeout ends a wait in vain
        counts = book.get("/count").json()["by_end"]
    assert counts == {"client_gone": 2, "open": 0}


def test_embeddings_come_as_floats_and_as_base64(openai_client: openai.OpenAI) -> None:
    model = "text-embedding-3-small"
    packed = openai_client.embeddings.create(model=model, input=["one two", "three"])
    plain = openai_client.embeddings.create(
        model=model, input="one two", encoding_format="float", dimensions=8
    )

    assert [len(e.embedding) for e in packed.data] == [1536, 1536]
    assert packed.usage.prompt_tokens == 3
    assert len(plain.data[0].embedding) == 8
    assert sum(x * x for x in plain.data[0].embedding) == pytest.approx(1)


def test_the_responses_api_answers_whole_and_streamed(openai_client: openai.OpenAI) -> None:
    told = "[[standin: input=50 cached=10 output=9 reasoning=4 chunks=3]]"
    whole = openai_client.responses.create(model=MODEL, input=told)
    with openai_client.responses.stream(model=MODEL, input=told) as stream:
        events = [event.type for event in stream]
        final = stream.get_final_response()

    assert whole.output_text == "This answer comes"
    assert whole.usage is not None
    assert whole.usage.input_tokens_details.cached_tokens == 10
    assert whole.usage.output_tokens_details.reasoning_tokens == 4
    assert events.count("response.output_text.delta") == 3
    assert events[-1] == "response.completed"
    assert final.usage == whole.usage


def test_an_error_inside_a_responses_stream_is_an_event_of_its_own(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    events = list(
        openai_client.responses.create(model=MODEL, input="[[standin: error_after=1]]", stream=True)
    )

    assert events[-1].type == "error"
    assert _last_call(book)["ended"] == "error"


def test_models_are_listed(openai_client: openai.OpenAI) -> None:
    assert MODEL in [model.id for model in openai_client.models.list()]
