"""Gemini's own API and Vertex AI's paths: what is said, how it is framed, what the book has."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

MODEL = "gemini-2.5-flash"
GEMINI = f"/v1beta/models/{MODEL}"
VERTEX = f"/v1/projects/p-1/locations/europe-west1/publishers/google/models/{MODEL}"
KEY = {"x-goog-api-key": "any-key"}
TOLD = "[[standin: input=1000 cached=600 output=20 reasoning=8 chunks=4]]"


def _asked(text: str, **more: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": text}]}], **more}


def _ask(url: str, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
    return httpx.post(f"{url}{path}", json=body, headers=headers or KEY)


def _last_call(book: httpx.Client) -> dict[str, Any]:
    return book.get("/calls").json()[-1]


@pytest.mark.parametrize("path", [GEMINI, VERTEX, GEMINI.replace("v1beta", "v1alpha")])
def test_content_is_generated_under_every_path(
    standin_url: str, book: httpx.Client, path: str
) -> None:
    answer = _ask(standin_url, f"{path}:generateContent", _asked(TOLD)).json()

    assert answer["usageMetadata"] == {
        "promptTokenCount": 1000,
        "candidatesTokenCount": 12,
        "totalTokenCount": 1020,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1000}],
        "cachedContentTokenCount": 600,
        "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 600}],
        "thoughtsTokenCount": 8,
    }
    assert answer["candidates"][0]["finishReason"] == "STOP"
    call = _last_call(book)
    assert (call["operation"], call["model"], call["response_id"]) == (
        "chat",
        MODEL,
        answer["responseId"],
    )
    assert (call["usage"], call["billed"]["cached"]) == (answer["usageMetadata"], 600)


def test_the_words_of_the_system_count_and_a_limit_ends_the_answer(standin_url: str) -> None:
    body = _asked(
        "three words here",
        systemInstruction={"parts": [{"text": "and two"}]},
        generationConfig={"maxOutputTokens": 2},
    )

    answer = _ask(standin_url, f"{GEMINI}:generateContent", body).json()

    assert answer["usageMetadata"]["promptTokenCount"] == 5
    assert answer["usageMetadata"]["candidatesTokenCount"] == 2
    assert answer["candidates"][0]["finishReason"] == "MAX_TOKENS"


def test_a_stream_counts_as_it_goes(standin_url: str, book: httpx.Client) -> None:
    path = f"{GEMINI}:streamGenerateContent?alt=sse"
    answer = _ask(standin_url, path, _asked(TOLD))
    events = [json.loads(line[6:]) for line in answer.text.split("\r\n") if line]

    counted = [event["usageMetadata"]["candidatesTokenCount"] for event in events]
    assert counted == [3, 6, 9, 12, 12]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [event["candidates"][0].get("finishReason") for event in events][-2:] == [None, "STOP"]
    assert _last_call(book)["usage"] == events[-1]["usageMetadata"]


def test_a_stream_without_events_is_one_list(standin_url: str, book: httpx.Client) -> None:
    answer = _ask(standin_url, f"{VERTEX}:streamGenerateContent", _asked(TOLD))

    assert len(answer.json()) == 5
    assert _last_call(book)["chunks_sent"] == 4


def test_a_cut_stream_has_said_what_it_had_counted(standin_url: str, book: httpx.Client) -> None:
    body = _asked("[[standin: input=90 output=8 chunks=4 cut=2]]")

    with pytest.raises(httpx.RemoteProtocolError):
        _ask(standin_url, f"{GEMINI}:streamGenerateContent?alt=sse", body)

    call = _last_call(book)
    assert (call["ended"], call["usage"]["candidatesTokenCount"]) == ("cut", 4)
    assert call["billed"]["output"] == 8


def test_tokens_are_counted_for_free(standin_url: str, book: httpx.Client) -> None:
    inner = _asked("three words here")

    for body in (inner, {"generateContentRequest": {"model": MODEL, **inner}}):
        answer = _ask(standin_url, f"{GEMINI}:countTokens", body).json()
        assert answer["totalTokens"] == 3
    assert _last_call(book)["billed"] is None
    assert book.get("/count").json()["generating"] == 0


def test_embeddings_one_several_and_predicted(standin_url: str, book: httpx.Client) -> None:
    def content(text: str) -> dict[str, Any]:
        return {"content": {"parts": [{"text": text}]}, "outputDimensionality": 4}

    one = _ask(standin_url, f"{GEMINI}:embedContent", content("one two")).json()
    requests = {"requests": [content("one"), content("two three")]}
    several = _ask(standin_url, f"{GEMINI}:batchEmbedContents", requests).json()
    instances = {"instances": [{"content": "one"}, {"content": "two three"}]}
    predicted = _ask(standin_url, f"{VERTEX}:predict", instances).json()

    assert (one["embedding"]["values"], one["usageMetadata"]["promptTokenCount"]) == ([0.5] * 4, 2)
    assert len(several["embeddings"]) == 2
    counted = [p["embeddings"]["statistics"]["token_count"] for p in predicted["predictions"]]
    assert counted == [1, 2]
    assert [c["billed"]["input"] for c in book.get("/calls").json()] == [2, 3, 3]


@pytest.mark.parametrize(
    ("status", "word"),
    [(400, "INVALID_ARGUMENT"), (429, "RESOURCE_EXHAUSTED"), (500, "INTERNAL")],
)
def test_an_error_on_demand_has_google_s_shape(standin_url: str, status: int, word: str) -> None:
    answer = _ask(standin_url, f"{GEMINI}:generateContent", _asked(f"[[standin: status={status}]]"))

    assert answer.status_code == status
    assert (answer.json()["error"]["code"], answer.json()["error"]["status"]) == (status, word)


def test_the_key_may_stand_in_the_query_and_must_stand_somewhere(standin_url: str) -> None:
    path = f"{standin_url}{GEMINI}:generateContent"

    assert httpx.post(f"{path}?key=any", json=_asked("hi")).status_code == 200
    assert httpx.post(path, json=_asked("hi")).json()["error"]["status"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("body", [{}, {"contents": []}])
def test_no_contents_are_refused(standin_url: str, body: dict[str, Any]) -> None:
    assert _ask(standin_url, f"{GEMINI}:generateContent", body).status_code == 400


def test_anthropic_s_messages_answer_on_vertex_ai(standin_url: str, book: httpx.Client) -> None:
    path = "/v1/projects/p-1/locations/us-east5/publishers/anthropic/models/claude-sonnet-5-5"
    body = {
        "anthropic_version": "vertex-2023-10-16",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "[[standin: input=40 output=7]]"}],
    }

    whole = _ask(standin_url, f"{path}:rawPredict", body, authorization="Bearer ya29.x").json()
    stream = _ask(
        standin_url,
        f"{path}:streamRawPredict",
        {**body, "stream": True},
        authorization="Bearer ya29.x",
    )

    assert (whole["model"], whole["usage"]["output_tokens"]) == ("claude-sonnet-5-5", 7)
    assert "event: message_stop" in stream.text
    assert [c["usage"]["input_tokens"] for c in book.get("/calls").json()] == [40, 40]
