"""Anthropic's batches through the official client, and its routes under /anthropic."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx
import pytest

MODEL = "claude-sonnet-5-5"


def _request(custom_id: str, text: str) -> Any:
    messages = [{"role": "user", "content": text}]
    params = {"model": MODEL, "max_tokens": 50, "messages": messages}
    return {"custom_id": custom_id, "params": params}


def _created(book: httpx.Client) -> dict[str, Any]:
    return next(call for call in book.get("/calls").json() if call["operation"] == "batches")


def test_a_batch_ends_by_being_looked_at_and_is_billed_once(
    anthropic_client: anthropic.Anthropic, book: httpx.Client
) -> None:
    batches = anthropic_client.messages.batches
    made = batches.create(
        requests=[
            _request("a", "[[standin: input=100 output=5]]"),
            _request("b", "[[standin: input=200 cached=50 output=6]]"),
            _request("c", "[[standin: status=429]]"),
        ]
    )
    states = [batches.retrieve(made.id).processing_status for _ in range(3)]
    results = {entry.custom_id: entry.result for entry in batches.results(made.id)}

    assert made.processing_status == "in_progress"
    assert made.request_counts.processing == 3
    assert states == ["in_progress", "ended", "ended"]
    assert [results[name].type for name in "abc"] == ["succeeded", "succeeded", "errored"]
    assert results["b"].message.usage.cache_read_input_tokens == 50
    assert results["c"].error.error.type == "rate_limit_error"
    record = _created(book)
    assert (record["response_id"], record["records"]) == (made.id, 3)
    assert (record["billed"]["input"], record["billed"]["output"]) == (300, 11)
    assert [part["custom_id"] for part in record["parts"]] == ["a", "b", "c"]
    assert record["parts"][2]["billed"] is None
    assert book.get("/count").json()["generating"] == 0


def test_a_cancelled_batch_leaves_its_messages_and_is_billed_nothing(
    anthropic_client: anthropic.Anthropic, book: httpx.Client
) -> None:
    batches = anthropic_client.messages.batches
    made = batches.create(requests=[_request("a", "hi")])

    assert batches.cancel(made.id).processing_status == "canceling"
    with pytest.raises(anthropic.BadRequestError):
        batches.delete(made.id)
    assert batches.retrieve(made.id).request_counts.canceled == 1
    assert next(iter(batches.list())).id == made.id
    assert _created(book)["billed"]["input"] == 0
    assert batches.delete(made.id).id == made.id
    with pytest.raises(anthropic.NotFoundError):
        batches.retrieve(made.id)


def test_wishes_for_the_batch_stand_in_the_header(
    anthropic_client: anthropic.Anthropic, book: httpx.Client
) -> None:
    batches = anthropic_client.messages.batches
    made = batches.create(
        requests=[_request(name, "hi") for name in "abc"],
        extra_headers={"x-standin": "polls=1 ends=expired"},
    )
    counts = batches.retrieve(made.id).request_counts

    assert (counts.succeeded, counts.expired) == (2, 1)
    with pytest.raises(anthropic.InternalServerError):
        batches.create(requests=[_request("a", "hi")], extra_headers={"x-standin": "status=500"})


def test_the_same_routes_stand_under_anthropic(standin_url: str, book: httpx.Client) -> None:
    with anthropic.Anthropic(
        api_key="sk-any-key", base_url=f"{standin_url}/anthropic", max_retries=0
    ) as client:
        messages: Any = [{"role": "user", "content": "three words here"}]
        message = client.messages.create(model=MODEL, max_tokens=9, messages=messages)
        counted = client.messages.count_tokens(model=MODEL, messages=messages)

        assert MODEL in [model.id for model in client.models.list()]
    assert (message.usage.input_tokens, counted.input_tokens) == (3, 3)
    assert [c["operation"] for c in book.get("/calls").json()] == [
        "chat",
        "count_tokens",
        "models",
    ]
