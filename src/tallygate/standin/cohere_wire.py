"""
Cohere: rerank in both versions, and chat in the second.

Units: a rerank is billed in search units: one query with up to 100 documents. Chat says tokens
    twice, as billed and as counted.
Source: what LiteLLM reads (tests/standin); the fields of api.cohere.com's answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import orjson

from tallygate.standin.answers import (
    Answer,
    Asked,
    Frame,
    RequestUnacceptable,
    last_user_text,
    model_in,
    texts_of,
    whole_number,
)
from tallygate.standin.book import Ending
from tallygate.standin.directives import without_directives
from tallygate.standin.generation import Generation, generation
from tallygate.standin.routing import Call, Route, World

_DOCUMENTS_PER_UNIT = 100
_ASKING_FOR_LINES = frozenset({b"application/json", b"application/stream+json"})
"""LiteLLM asks so, and reads each line of the stream as an object; events fail it (1.106.2)."""


class Chat:
    """POST /v2/chat; a stream is of events or, in `lines`, of JSON objects."""

    def __init__(self, *, lines: bool = False) -> None:
        self._lines = lines

    def read(self, body: Mapping[str, Any]) -> Asked:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise RequestUnacceptable("invalid request: messages must not be empty", "messages")
        texts = (texts_of(m.get("content")) for m in messages if isinstance(m, dict))
        return Asked(
            model=model_in(body, "invalid request: model is required"),
            stream=body.get("stream") is True,
            input_tokens=sum(len(without_directives(text).split()) for text in texts),
            most_output_tokens=whole_number(body.get("max_tokens")),
            directive_text=last_user_text(messages),
            extra={},
        )

    def new_response_id(self) -> str:
        return str(uuid4())

    def served_tier(self, asked: str) -> str:
        del asked
        return ""

    def whole(self, answer: Answer) -> dict[str, Any]:
        content = [{"type": "text", "text": answer.text}]
        body: dict[str, Any] = {
            "id": answer.response_id,
            "finish_reason": _finish_reason(answer),
            "message": {"role": "assistant", "content": content},
        }
        if answer.reports_usage:
            body["usage"] = _usage(answer)
        return body

    def frames(self, answer: Answer) -> Iterator[Frame]:
        for frame in self._events(answer):
            if not self._lines:
                yield frame
            else:
                yield replace(frame, data=frame.data.partition(b"\ndata: ")[2][:-1])
        if not self._lines:
            yield Frame(data=b"data: [DONE]\n\n")

    def _events(self, answer: Answer) -> Iterator[Frame]:
        start: dict[str, Any] = {
            "role": "assistant",
            "content": [],
            "tool_plan": "",
            "tool_calls": [],
            "citations": [],
        }
        yield _event("message-start", id=answer.response_id, delta={"message": start})
        empty = {"message": {"content": {"type": "text", "text": ""}}}
        yield _event("content-start", index=0, delta=empty)
        for word in answer.words:
            delta = {"message": {"content": {"text": word}}}
            yield _event("content-delta", is_chunk=True, index=0, delta=delta)
        yield _event("content-end", index=0)
        last: dict[str, Any] = {"finish_reason": _finish_reason(answer)}
        if answer.reports_usage:
            last["usage"] = _usage(answer)
        yield _event("message-end", reported=last.get("usage"), delta=last)


async def rerank(call: Call) -> Ending:
    """POST /v1/rerank and /v2/rerank: the documents come back in the order given."""
    fields = call.asked.extra
    documents = fields.get("documents")
    if not isinstance(documents, list) or not documents:
        raise RequestUnacceptable("invalid request: documents must not be empty", "documents")
    if not isinstance(fields.get("query"), str):
        raise RequestUnacceptable("invalid request: query is required", "query")
    units = -(-len(documents) // _DOCUMENTS_PER_UNIT)
    record = call.record
    record.response_id = str(uuid4())
    record.response_model = call.asked.model
    record.billed = {"search_units": units}
    shown = documents[: whole_number(fields.get("top_n"))]
    body: dict[str, Any] = {
        "id": record.response_id,
        "results": [
            _result(number, given, shows=fields.get("return_documents") is True)
            for number, given in enumerate(shown)
        ],
        "meta": {"api_version": {"version": call.request.path.split("/")[-2].removeprefix("v")}},
    }
    if call.wishes.no_usage:
        return await call.json(body)
    body["meta"]["billed_units"] = {"search_units": units}
    return await call.json(body, body["meta"])


def table(world: World) -> Iterator[Route]:
    """List the routes of api.cohere.com."""
    del world
    cohere = Cohere()
    events = generation("/v2/chat", Chat(), cohere, "chat")
    lines = Generation(wire=Chat(lines=True), stream_type="application/stream+json")

    async def chat(call: Call) -> Ending:
        wants_lines = call.request.headers.get(b"accept") in _ASKING_FOR_LINES
        return await (lines if wants_lines else events).answer(call)

    yield replace(events, answer=chat)
    for version in ("v1", "v2"):
        yield Route(
            method="POST",
            pattern=f"/{version}/rerank",
            provider=cohere,
            operation="rerank",
            answer=rerank,
        )


_ERRORS: Mapping[int, str] = {
    400: "invalid request: the stand-in was asked to refuse it",
    401: "invalid api token",
    404: "model not found",
    429: "You are past the per minute request limit, please wait and try again later.",
}


class Cohere:
    """What all routes of api.cohere.com share."""

    def error_body(
        self, status: int, request_id: str, message: str = "", param: str | None = None
    ) -> dict[str, Any]:
        del param  # Cohere names the field in the message
        said = message or _ERRORS.get(status, "internal server error")
        return {"id": request_id, "message": said}

    def error_frame(self, request_id: str) -> bytes:
        del request_id
        delta = {"finish_reason": "ERROR", "error": "internal server error"}
        return _event("message-end", delta=delta).data

    def new_request_id(self) -> str:
        return str(uuid4())

    def headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        return [(b"x-debug-trace-id", request_id.encode())]


def _result(number: int, given: object, *, shows: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"index": number, "relevance_score": 1 / (number + 1)}
    if shows:
        result["document"] = given if isinstance(given, dict) else {"text": str(given)}
    return result


def _usage(answer: Answer) -> dict[str, Any]:
    counts = answer.counts
    tokens = {"input_tokens": counts.input, "output_tokens": counts.output}
    return {"billed_units": dict(tokens), "tokens": tokens, "cached_tokens": counts.cached}


def _finish_reason(answer: Answer) -> str:
    return "MAX_TOKENS" if answer.ended_by_limit else "COMPLETE"


def _event(
    kind: str,
    *,
    is_chunk: bool = False,
    reported: Mapping[str, Any] | None = None,
    **fields: object,
) -> Frame:
    data = orjson.dumps({"type": kind, **fields})
    return Frame(
        data=b"event: %b\ndata: %b\n\n" % (kind.encode(), data), is_chunk=is_chunk, usage=reported
    )
