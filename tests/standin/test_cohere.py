"""Cohere's rerank and chat: search units, tokens, and the two ways of streaming."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

KEY = {"authorization": "Bearer any-key"}


def _rerank(url: str, version: str = "v2", **fields: Any) -> httpx.Response:
    body = {"model": "rerank-v3.5", "query": "which", "documents": ["a", "b", "c"], **fields}
    return httpx.post(f"{url}/{version}/rerank", json=body, headers=KEY)


def _chat(url: str, text: str, accept: str = "text/event-stream") -> httpx.Response:
    body = {
        "model": "command-a-03-2025",
        "stream": True,
        "messages": [{"role": "user", "content": text}],
    }
    return httpx.post(f"{url}/v2/chat", json=body, headers={**KEY, "accept": accept})


def _last_call(book: httpx.Client) -> dict[str, Any]:
    return book.get("/calls").json()[-1]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(("documents", "units"), [(1, 1), (100, 1), (101, 2), (250, 3)])
def test_a_search_unit_is_a_query_with_up_to_a_hundred_documents(
    standin_url: str, book: httpx.Client, version: str, documents: int, units: int
) -> None:
    answer = _rerank(standin_url, version, documents=["text"] * documents).json()

    assert answer["meta"]["billed_units"] == {"search_units": units}
    assert answer["meta"]["api_version"] == {"version": version[1:]}
    assert len(answer["results"]) == documents
    call = _last_call(book)
    assert (call["operation"], call["model"]) == ("rerank", "rerank-v3.5")
    assert (call["billed"], call["usage"]) == ({"search_units": units}, answer["meta"])
    assert call["response_id"] == answer["id"]


def test_the_best_come_with_their_documents_where_asked(standin_url: str) -> None:
    answer = _rerank(standin_url, top_n=2, return_documents=True).json()

    assert [result["document"] for result in answer["results"]] == [{"text": "a"}, {"text": "b"}]


def test_faults_and_a_missing_usage(standin_url: str, book: httpx.Client) -> None:
    assert _rerank(standin_url, query="[[standin: status=429]]").status_code == 429
    assert _rerank(standin_url, documents=[]).status_code == 400
    assert "billed_units" not in _rerank(standin_url, query="[[standin: no_usage]]").json()["meta"]
    with pytest.raises(httpx.RemoteProtocolError):
        _rerank(standin_url, query="[[standin: cut=0]]")

    calls = book.get("/calls").json()
    assert [call["ended"] for call in calls] == ["error", "error", "complete", "cut"]
    billed = [call["billed"] for call in calls]
    assert billed == [None, None, {"search_units": 1}, {"search_units": 1}]


def test_chat_streams_events_or_lines_as_the_caller_accepts(
    standin_url: str, book: httpx.Client
) -> None:
    told = "[[standin: input=30 output=7 chunks=3]]"
    events = _chat(standin_url, told).text.split("\n\n")
    lines = _chat(standin_url, told, "application/json").text.splitlines()

    assert events[-2:] == ["data: [DONE]", ""]
    kinds = [json.loads(line)["type"] for line in lines if line]
    assert kinds == [
        "message-start",
        "content-start",
        *["content-delta"] * 3,
        "content-end",
        "message-end",
    ]
    assert [event.partition("\n")[0][7:] for event in events[:-2]] == kinds
    tokens = {"input_tokens": 30, "output_tokens": 7}
    assert [c["usage"]["tokens"] for c in book.get("/calls").json()] == [tokens, tokens]


def test_an_error_inside_a_chat_ends_the_message(standin_url: str, book: httpx.Client) -> None:
    text = _chat(standin_url, "[[standin: error_after=1]]").text

    assert '"finish_reason":"ERROR"' in text
    assert _last_call(book)["ended"] == "error"
