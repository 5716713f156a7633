"""A host that nobody knows: what it says depends on the path, and it asks for no key."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

TOLD = "[[standin: input=30 output=7 chunks=3]]"
ASKED = {"model": "any-model", "max_tokens": 50, "messages": [{"role": "user", "content": TOLD}]}


def _events(answer: httpx.Response) -> list[dict[str, Any]]:
    lines = [line for line in answer.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line[6:]) for line in lines]


def _last_call(book: httpx.Client) -> dict[str, Any]:
    return book.get("/calls").json()[-1]


@pytest.mark.parametrize("host", ["", "acme/v1/"])
def test_a_path_that_ends_like_openai_s_answers_as_openai(
    standin_url: str, book: httpx.Client, host: str
) -> None:
    path = f"{standin_url}/gateway/{host}chat/completions"
    whole = httpx.post(path, json=ASKED).json()
    events = _events(httpx.post(path, json={**ASKED, "stream": True}))

    assert (whole["usage"]["prompt_tokens"], whole["usage"]["completion_tokens"]) == (30, 7)
    assert events[-1]["usage"]["completion_tokens"] == 7
    assert [c["usage"]["total_tokens"] for c in book.get("/calls").json()] == [37, 37]


def test_a_path_that_ends_like_anthropic_s_answers_as_anthropic(
    standin_url: str, book: httpx.Client
) -> None:
    path = f"{standin_url}/gateway/acme/messages"
    whole = httpx.post(path, json=ASKED).json()
    events = _events(httpx.post(path, json={**ASKED, "stream": True}))

    assert (whole["type"], whole["usage"]["output_tokens"]) == ("message", 7)
    assert events[-2]["usage"]["output_tokens"] == 7
    assert _last_call(book)["operation"] == "chat"


def test_any_other_path_says_no_usage_but_at_a_stream_s_end(
    standin_url: str, book: httpx.Client
) -> None:
    path = f"{standin_url}/gateway/acme/render?size=2"
    whole = httpx.post(path, json=ASKED).json()
    first = _last_call(book)
    events = _events(httpx.post(path, json={**ASKED, "stream": True}))

    assert whole == {"id": first["response_id"], "output": "This answer comes"}
    assert (first["usage"], first["billed"]["output"]) == (None, 7)
    assert (first["operation"], first["model"]) == ("pass_through", "any-model")
    assert "".join(event.get("output", "") for event in events) == "This answer comes"
    assert events[-1]["usage"] == {"input_tokens": 30, "output_tokens": 7}
    assert _last_call(book)["usage"] == {"input_tokens": 30, "output_tokens": 7}


def test_a_body_of_any_type_is_taken(standin_url: str, book: httpx.Client) -> None:
    path = f"{standin_url}/gateway/upload"

    assert httpx.put(path, content=b"\xff\x00 not JSON").status_code == 200
    assert httpx.get(f"{path}/1").status_code == 200
    assert httpx.post(path, content=b"plain [[standin: status=418]]").status_code == 418
    assert httpx.post(path, files={"file": b"x"}).status_code == 200
    assert [c["generates"] for c in book.get("/calls").json()] == [False, False, True, True]


@pytest.mark.parametrize("kind", ["chat/completions", "messages", "render"])
def test_a_stream_ends_badly_on_demand(standin_url: str, book: httpx.Client, kind: str) -> None:
    def ask(wish: str) -> httpx.Response:
        messages = [{"role": "user", "content": f"[[standin: {wish}]]"}]
        body = {**ASKED, "messages": messages, "stream": True}
        return httpx.post(f"{standin_url}/gateway/acme/{kind}", json=body)

    with pytest.raises(httpx.RemoteProtocolError):
        ask("cut=2")
    assert '"error"' in ask("error_after=1").text
    assert ask("malformed").status_code == 200

    calls = book.get("/calls").json()
    assert [call["ended"] for call in calls] == ["cut", "error", "malformed"]
