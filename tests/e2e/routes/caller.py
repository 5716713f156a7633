"""
A client of the proxy for one scenario: the official clients under one trace, and what they got.

Every text is one of a kind, so that LiteLLM's cache answers only where a scenario wants it to.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from secrets import token_hex
from types import TracebackType
from typing import Any, Self

import anthropic
import httpx
import openai
from websockets.sync.client import ClientConnection, connect

from e2e.gated import OWNED

KEY = "sk-demo-support"
MINI = "gpt-5.4-mini"
CLAUDE = "claude-sonnet-5-5"
FORTY_AND_SEVEN = "input=40 output=7"


class Caller:
    """Sends as a service does; `answers` are the headers of every response."""

    def __init__(self, url: str, key: str = KEY, headers: Mapping[str, str] = OWNED) -> None:
        self.url, self.key = url, key
        self.trace_id, self.span_id = token_hex(16), token_hex(8)
        self.answers: list[Mapping[str, str]] = []
        self._texts = count()
        self.headers = {**headers, "traceparent": f"00-{self.trace_id}-{self.span_id}-01"}
        seen: Any = {"trust_env": False, "event_hooks": {"response": [self.note]}}
        self.http = httpx.Client(
            base_url=url,
            timeout=30,
            headers={"authorization": f"Bearer {key}", **self.headers},
            **seen,
        )
        shared: Any = {"api_key": key, "max_retries": 0, "default_headers": self.headers}
        self.openai = openai.OpenAI(
            base_url=f"{url}/v1", http_client=openai.DefaultHttpxClient(**seen), **shared
        )
        self.anthropic = anthropic.Anthropic(
            base_url=url, http_client=anthropic.DefaultHttpxClient(**seen), **shared
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for client in (self.http, self.openai, self.anthropic):
            client.close()

    def unowned(self) -> Self:
        """Give a caller under the same trace that does not say who pays."""
        caller = type(self)(self.url, self.key, {})
        caller.trace_id, caller.answers = self.trace_id, self.answers
        caller.headers["traceparent"] = self.headers["traceparent"]
        caller.http.headers["traceparent"] = self.headers["traceparent"]
        return caller

    def note(self, response: Any) -> None:
        """Take a response of any of the clients."""
        self.answers.append(response.headers)

    def text(self, wishes: str = FORTY_AND_SEVEN) -> str:
        return f"[[standin: {wishes}]] {self.trace_id} {next(self._texts)}"

    def messages(self, wishes: str = FORTY_AND_SEVEN) -> list[Any]:
        return [{"role": "user", "content": self.text(wishes)}]

    def chat(self, wishes: str = FORTY_AND_SEVEN, model: str = MINI, **options: Any) -> Any:
        return self.openai.chat.completions.create(
            model=model, messages=self.messages(wishes), **options
        )

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        """Post JSON; what is no success is the scenario's to look at."""
        return self.http.post(path, json=body, headers=_named(headers))

    def ok(self, path: str, body: Any, **headers: str) -> httpx.Response:
        answer = self.post(path, body, **headers)
        assert answer.status_code == httpx.codes.OK, answer.text[:500]
        return answer

    @contextmanager
    def streaming(self, path: str, body: Any, **headers: str) -> Iterator[Iterator[str]]:
        """Open a stream and give its lines; leaving the block leaves the stream."""
        asked: Any = {"json": {**body, "stream": True}, "headers": _named(headers)}
        with self.http.stream("POST", path, **asked) as response:
            assert response.status_code == httpx.codes.OK, response.read()[:500]
            yield response.iter_lines()

    @contextmanager
    def realtime(self) -> Iterator[ClientConnection]:
        """Open a session and take its greeting."""
        address = self.url.replace("http", "ws", 1) + "/v1/realtime?model=gpt-realtime"
        headers = {"authorization": f"Bearer {self.key}", **self.headers}
        with connect(address, additional_headers=headers, proxy=None) as socket:
            if socket.response is not None:
                sent = socket.response.headers.raw_items()
                self.answers.append({name.lower(): value for name, value in sent})
            assert json.loads(socket.recv())["type"] == "session.created"
            yield socket

    def turn(self, socket: ClientConnection, wishes: str = FORTY_AND_SEVEN) -> None:
        content = [{"type": "input_text", "text": self.text(wishes)}]
        item = {"type": "message", "role": "user", "content": content}
        socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
        socket.send(json.dumps({"type": "response.create"}))
        while json.loads(socket.recv())["type"] != "response.done":
            pass

    def gemini(self, wishes: str = FORTY_AND_SEVEN) -> dict[str, Any]:
        return {"contents": [{"role": "user", "parts": [{"text": self.text(wishes)}]}]}

    def converse(self, wishes: str = FORTY_AND_SEVEN) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": [{"text": self.text(wishes)}]}]}

    def claude(self, wishes: str = FORTY_AND_SEVEN) -> dict[str, Any]:
        return {"model": CLAUDE, "max_tokens": 50, "messages": self.messages(wishes)}

    def invoke(self, wishes: str = FORTY_AND_SEVEN) -> dict[str, Any]:
        version = "bedrock-2023-05-31"
        return {
            "anthropic_version": version,
            "max_tokens": 50,
            "messages": self.messages(wishes),
        }


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
