"""Responses that are kept: background, got again, cancelled, deleted, counted."""

from __future__ import annotations

from typing import Any

import httpx
import openai
import pytest

MODEL = "gpt-5.4"
TOLD = "[[standin: input=50 cached=10 output=9 reasoning=4]]"


def _creation(book: httpx.Client) -> dict[str, Any]:
    return next(call for call in book.get("/calls").json() if call["path"] == "/v1/responses")


def test_a_background_response_is_billed_once_it_was_seen_to_end(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    made = openai_client.responses.create(model=MODEL, input=TOLD, background=True)
    before = _creation(book)
    looks = [openai_client.responses.retrieve(made.id) for _ in range(3)]

    assert (made.status, made.usage, made.background) == ("queued", None, True)
    assert [look.status for look in looks] == ["in_progress", "completed", "completed"]
    assert looks[-1].usage is not None
    assert looks[-1].usage.output_tokens == 9
    assert looks[-1].output_text.startswith("This answer")
    assert (before["generates"], before["usage"], before["billed"]) == (True, None, None)
    after = _creation(book)
    assert (after["usage"], after["billed"]["cached"]) == (looks[-1].usage.to_dict(), 10)
    assert [c["usage"] for c in book.get("/calls").json()[1:]] == [None] * 3
    assert book.get("/count").json()["generating"] == 1


def test_a_background_response_that_is_cancelled_is_not_billed(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    made = openai_client.responses.create(model=MODEL, input="hi", background=True)

    assert openai_client.responses.cancel(made.id).status == "cancelled"
    assert openai_client.responses.retrieve(made.id).status == "cancelled"
    assert _creation(book)["billed"] is None


def test_a_background_response_may_fail(openai_client: openai.OpenAI, book: httpx.Client) -> None:
    wishes = "[[standin: ends=failed polls=1]]"
    made = openai_client.responses.create(model=MODEL, input=wishes, background=True)

    failed = openai_client.responses.retrieve(made.id)

    assert failed.status == "failed"
    assert failed.error is not None
    assert (_creation(book)["billed"], _creation(book)["usage"]) == (None, None)


def test_a_response_is_got_again_without_being_billed_again(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    made = openai_client.responses.create(model=MODEL, input=TOLD)

    assert openai_client.responses.retrieve(made.id).usage == made.usage
    first, second = book.get("/calls").json()
    assert first["billed"]["input"] == 50
    assert (second["billed"], second["usage"], second["generates"]) == (None, None, False)
    assert first["response_id"] == second["response_id"] == made.id
    with pytest.raises(openai.BadRequestError, match="synchronous"):
        openai_client.responses.cancel(made.id)


def test_a_deleted_or_unstored_response_is_gone(openai_client: openai.OpenAI) -> None:
    stored = openai_client.responses.create(model=MODEL, input="hi")
    unstored = openai_client.responses.create(model=MODEL, input="hi", store=False)
    openai_client.responses.delete(stored.id)

    for gone in (stored, unstored):
        with pytest.raises(openai.NotFoundError):
            openai_client.responses.retrieve(gone.id)


def test_input_tokens_are_counted_for_nothing(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    counted = openai_client.responses.input_tokens.count(model=MODEL, input="three words here")

    assert counted.input_tokens == 3
    (call,) = book.get("/calls").json()
    assert (call["operation"], call["generates"], call["billed"]) == ("count_tokens", False, None)
