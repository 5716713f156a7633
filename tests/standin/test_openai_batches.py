"""Files and batches: what is uploaded, what comes out, and what the book says it cost."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest

CHAT = "/v1/chat/completions"


def _line(custom_id: str, text: str, url: str = CHAT) -> dict[str, Any]:
    body = {"model": "gpt-5.4", "messages": [{"role": "user", "content": text}]}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


def _upload(client: openai.OpenAI, *lines: dict[str, Any]) -> str:
    data = "\n".join(json.dumps(line) for line in lines).encode()
    return client.files.create(file=("in.jsonl", data), purpose="batch").id


def _batch(client: openai.OpenAI, file_id: str, wishes: str = "", endpoint: Any = CHAT) -> Any:
    return client.batches.create(
        input_file_id=file_id,
        endpoint=endpoint,
        completion_window="24h",
        metadata={"standin": wishes},
    )


def _written(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    assert file_id is not None
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


def _creation(book: httpx.Client) -> dict[str, Any]:
    calls = book.get("/calls").json()
    return next(c for c in calls if (c["method"], c["path"]) == ("POST", "/v1/batches"))


def test_a_file_comes_back_as_it_was_until_it_is_deleted(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    data = b"\x00\r\n--\r\n\r\nany bytes\n" * 3
    stored = openai_client.files.create(file=("any.bin", data), purpose="user_data")

    assert (stored.bytes, stored.filename, stored.purpose) == (len(data), "any.bin", "user_data")
    assert openai_client.files.content(stored.id).content == data
    assert openai_client.files.retrieve(stored.id) == stored
    assert stored.id in [file.id for file in openai_client.files.list(purpose="user_data")]
    assert openai_client.files.delete(stored.id).deleted
    with pytest.raises(openai.NotFoundError):
        openai_client.files.retrieve(stored.id)
    assert {c["operation"] for c in book.get("/calls").json()} == {"files"}
    assert book.get("/count").json()["generating"] == 0


def test_files_are_listed_a_page_at_a_time(openai_client: openai.OpenAI) -> None:
    made = [
        openai_client.files.create(file=(f"{i}.txt", b"x"), purpose="vision").id for i in range(5)
    ]

    page = openai_client.files.list(purpose="vision", limit=2)

    assert [file.id for file in page.data] == made[:-3:-1]
    assert page.has_more
    assert [file.id for file in page] == made[::-1]


def test_a_batch_is_billed_when_it_was_seen_to_end(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    file_id = _upload(
        openai_client,
        _line("a", "[[standin: input=100 cached=40 output=10 reasoning=3]]"),
        _line("b", "[[standin: input=50 output=5]]"),
        _line("c", "[[standin: status=400]]"),
    )
    made = _batch(openai_client, file_id)
    before = _creation(book)
    looks = [openai_client.batches.retrieve(made.id) for _ in range(3)]

    assert (made.status, made.object) == ("validating", "batch")
    assert [look.status for look in looks] == ["in_progress", "completed", "completed"]
    counts = looks[-1].request_counts
    assert counts is not None
    assert (counts.total, counts.completed, counts.failed) == (3, 2, 1)
    usage = looks[-1].usage
    assert usage is not None
    assert (usage.input_tokens, usage.input_tokens_details.cached_tokens) == (150, 40)
    assert (usage.output_tokens, usage.output_tokens_details.reasoning_tokens) == (15, 3)
    assert (before["billed"], before["usage"], before["records"]) == (None, None, None)
    after = _creation(book)
    assert (after["generates"], after["operation"], after["records"]) == (False, "batches", 3)
    assert after["usage"] == usage.to_dict()
    assert (after["billed"]["input"], after["billed"]["output"]) == (150, 15)
    assert book.get("/count").json()["generating"] == 0


def test_each_record_has_a_line_with_its_own_usage(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    file_id = _upload(
        openai_client, _line("a", "[[standin: output=7]] one two"), _line("b", "[[standin: oops]]")
    )
    made = _batch(openai_client, file_id, "[[standin: polls=1]]")
    done = openai_client.batches.retrieve(made.id)
    (good,) = _written(openai_client, done.output_file_id)
    (bad,) = _written(openai_client, done.error_file_id)

    assert (good["custom_id"], good["error"]) == ("a", None)
    assert good["response"]["status_code"] == 200
    body = openai.types.chat.ChatCompletion.model_validate(good["response"]["body"])
    assert body.usage is not None
    assert (body.usage.prompt_tokens, body.usage.completion_tokens) == (2, 7)
    assert (bad["custom_id"], bad["response"]["status_code"]) == ("b", 400)
    assert "unknown word 'oops'" in bad["response"]["body"]["error"]["message"]
    parts = _creation(book)["parts"]
    assert [part["custom_id"] for part in parts] == ["a", "b"]
    assert parts[0]["provider_request_id"] == good["response"]["request_id"]
    assert (parts[0]["response_id"], parts[0]["usage"]) == (body.id, body.usage.to_dict())
    assert (parts[1]["billed"], parts[1]["status"]) == (None, 400)


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "one two three"}),
        ("/v1/responses", {"model": "gpt-5.4", "input": "one two three"}),
        ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "one two three"}),
    ],
)
def test_a_batch_may_be_of_other_routes(
    openai_client: openai.OpenAI, endpoint: str, body: dict[str, Any]
) -> None:
    line = {"custom_id": "a", "method": "POST", "url": endpoint, "body": body}
    made = _batch(openai_client, _upload(openai_client, line), "[[standin: polls=1]]", endpoint)

    done = openai_client.batches.retrieve(made.id)

    assert done.usage is not None
    assert (done.status, done.usage.input_tokens) == ("completed", 3)


def test_a_cancelled_batch_bills_what_it_had_done(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    lines = [_line(name, "[[standin: input=10 output=1]]") for name in "abcd"]
    made = _batch(openai_client, _upload(openai_client, *lines), "[[standin: polls=9]]")
    openai_client.batches.retrieve(made.id)

    assert openai_client.batches.cancel(made.id).status == "cancelling"
    done = openai_client.batches.retrieve(made.id)

    assert done.status == "cancelled"
    assert done.request_counts is not None
    assert (done.request_counts.completed, done.request_counts.failed) == (2, 2)
    assert _creation(book)["billed"]["input"] == 20
    error = _written(openai_client, done.error_file_id)[0]
    assert (error["response"], error["error"]["code"]) == (None, "batch_cancelled")
    with pytest.raises(openai.BadRequestError):
        openai_client.batches.cancel(made.id)


def test_a_batch_that_was_never_begun_is_cancelled_for_nothing(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    made = _batch(openai_client, _upload(openai_client, _line("a", "hi")))
    openai_client.batches.cancel(made.id)

    assert openai_client.batches.retrieve(made.id).output_file_id is None
    assert _creation(book)["billed"]["input"] == 0


@pytest.mark.parametrize("ends", ["failed", "expired"])
def test_a_batch_may_end_badly(openai_client: openai.OpenAI, book: httpx.Client, ends: str) -> None:
    lines = [_line(name, "[[standin: input=10 output=1]]") for name in "ab"]
    wishes = f"[[standin: polls=1 ends={ends}]]"
    made = _batch(openai_client, _upload(openai_client, *lines), wishes)

    done = openai_client.batches.retrieve(made.id)

    assert done.status == ends
    assert (done.output_file_id is None) == (ends == "failed")
    billed = _creation(book)["billed"]
    assert billed is None if ends == "failed" else billed["input"] == 10


def test_an_input_file_that_does_not_read_fails_the_batch(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    file_id = _upload(openai_client, _line("a", "hi"), _line("a", "not unique"))
    made = _batch(openai_client, file_id, "[[standin: polls=1]]")

    done = openai_client.batches.retrieve(made.id)

    assert done.status == "failed"
    assert done.errors is not None
    assert done.errors.data is not None
    assert done.errors.data[0].line == 2
    assert (_creation(book)["records"], _creation(book)["billed"]) == (0, None)


def test_a_batch_may_take_time_whoever_looks(openai_client: openai.OpenAI) -> None:
    file_id = _upload(openai_client, _line("a", "hi"))
    slow = _batch(openai_client, file_id, "[[standin: takes=600]]")
    quick = _batch(openai_client, file_id, "[[standin: takes=0]]")

    assert [openai_client.batches.retrieve(slow.id).status for _ in range(4)] == ["in_progress"] * 4
    assert openai_client.batches.retrieve(quick.id).status == "completed"
    assert {slow.id, quick.id} <= {batch.id for batch in openai_client.batches.list()}


def test_the_book_holds_nothing_of_the_records(
    openai_client: openai.OpenAI, book: httpx.Client
) -> None:
    file_id = _upload(openai_client, _line("a", "pineapple on the numbers"))
    made = _batch(openai_client, file_id, "[[standin: polls=1]]")
    openai_client.batches.retrieve(made.id)

    assert _creation(book)["records"] == 1
    assert "pineapple" not in book.get("/calls").text
