"""
A host that nobody knows, under /gateway/{anything}: a target for custom pass-through.

The path's end decides what it speaks: `chat/completions` as OpenAI does, `messages` as Anthropic
does, anything else plain JSON that says no usage. A plain stream says usage in its last event.
It asks for no key, and takes a body of any type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from secrets import token_hex
from typing import Any

import orjson

from tallygate.standin.answers import Answer, Asked, Frame, RequestUnacceptable
from tallygate.standin.anthropic_wire import Anthropic, Messages
from tallygate.standin.asgi import Headers
from tallygate.standin.directives import without_directives
from tallygate.standin.generation import Generation, generation
from tallygate.standin.openai_wire import ChatCompletions, OpenAI
from tallygate.standin.routing import Request, Route, World

_METHODS = ("GET", "PUT", "PATCH", "DELETE")


class Host:
    """What the plain routes share."""

    def error_body(
        self, status: int, request_id: str, message: str = "", param: str | None = None
    ) -> dict[str, Any]:
        del request_id, param
        return {"status": status, "error": message or "The stand-in was asked to refuse this."}

    def error_frame(self, request_id: str) -> bytes:
        return _event(self.error_body(500, request_id)).data

    def new_request_id(self) -> str:
        return f"gw_{token_hex(12)}"

    def headers(self, request_id: str) -> Headers:
        return [(b"x-request-id", request_id.encode())]


class Plain:
    """What the host says of its own."""

    def read(self, body: Mapping[str, Any]) -> Asked:
        model = body.get("model")
        return Asked(
            model=model[:128] if isinstance(model, str) else "",
            stream=body.get("stream") is True,
            extra={},
        )

    def new_response_id(self) -> str:
        return f"out_{token_hex(12)}"

    def served_tier(self, asked: str) -> str:
        del asked
        return ""

    def whole(self, answer: Answer) -> dict[str, Any]:
        return {"id": answer.response_id, "output": answer.text}

    def frames(self, answer: Answer) -> Iterator[Frame]:
        for word in answer.words:
            yield replace(_event({"id": answer.response_id, "output": word}), is_chunk=True)
        last: dict[str, Any] = {"id": answer.response_id, "done": True}
        if answer.reports_usage:
            counts = answer.counts
            last["usage"] = {"input_tokens": counts.input, "output_tokens": counts.output}
        yield replace(_event(last), usage=last.get("usage"))


def table(world: World) -> Iterator[Route]:
    """List the routes of the host."""
    del world
    for prefix in ("/gateway/", "/gateway/{host:path}/"):
        chat = generation(f"{prefix}chat/completions", ChatCompletions(), OpenAI(), "chat")
        yield replace(chat, needs_key=False, read=_read_chat)
        messages = generation(f"{prefix}messages", Messages(), Anthropic(), "chat")
        yield replace(messages, needs_key=False)
    plain = Route(
        method="POST",
        pattern="/gateway/{anything:path}",
        provider=Host(),
        operation="pass_through",
        answer=Generation(wire=Plain()).answer,
        read=_read,
        needs_key=False,
    )
    yield plain
    for method in _METHODS:
        yield replace(plain, method=method, generates=False)


def _read_chat(request: Request) -> Asked:
    """Unlike OpenAI, such hosts say the usage of a stream without being asked."""
    return replace(ChatCompletions().read(request.json()), reports_usage=True)


def _read(request: Request) -> Asked:
    """Read JSON and forms for what they say; of any other body only the words count."""
    try:
        fields, text = request.fields()
    except RequestUnacceptable:
        fields, text = {}, request.raw.decode("utf-8", "replace")
    words = without_directives(text).split()
    return replace(Plain().read(fields), input_tokens=len(words), directive_text=text)


def _event(body: Mapping[str, Any]) -> Frame:
    return Frame(data=b"data: %b\n\n" % orjson.dumps(body))
