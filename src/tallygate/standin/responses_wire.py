"""
OpenAI's Responses API, as far as a text answer goes: POST /v1/responses, whole or streamed.

Units: `input_tokens` includes cached tokens, `output_tokens` includes reasoning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from secrets import token_hex
from typing import Any

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
from tallygate.standin.directives import without_directives
from tallygate.standin.openai_wire import served_tier
from tallygate.standin.tool_calls import ToolCall, names_of, rounds_in

Event = Callable[..., bytes]
"""Words an event by its name and fields, and numbers it."""


class Responses:
    """POST /v1/responses."""

    def read(self, body: Mapping[str, Any]) -> Asked:
        model = model_in(body, "Missing required parameter: 'model'.")
        given = body.get("input")
        if not isinstance(given, str | list) or not given:
            raise RequestUnacceptable("Missing required parameter: 'input'.", "input")
        items = [] if isinstance(given, str) else [i for i in given if isinstance(i, dict)]
        texts = [given] if isinstance(given, str) else [texts_of(i.get("content")) for i in items]
        texts.append(texts_of(body.get("instructions")))
        return Asked(
            model=model,
            stream=body.get("stream") is True,
            tier=str(body.get("service_tier") or ""),
            input_tokens=sum(len(without_directives(text).split()) for text in texts),
            most_output_tokens=whole_number(body.get("max_output_tokens")),
            directive_text=given if isinstance(given, str) else last_user_text(items),
            tools=names_of(body.get("tools")),
            tool_rounds=rounds_in(_tool_results(items)),
            extra={
                "message_id": f"msg_{token_hex(24)}",
                "background": body.get("background") is True,
                "store": body.get("store") is not False,
                "previous_response_id": body.get("previous_response_id"),
            },
        )

    def new_response_id(self) -> str:
        return f"resp_{token_hex(24)}"

    def served_tier(self, asked: str) -> str:
        return served_tier(asked)

    def whole(self, answer: Answer) -> dict[str, Any]:
        body = started(answer)
        body["status"] = "incomplete" if answer.ended_by_limit else "completed"
        if answer.ended_by_limit:
            body["incomplete_details"] = {"reason": "max_output_tokens"}
        body["output"] = [_item(answer)]
        if answer.reports_usage:
            body["usage"] = _usage(answer)
        return body

    def frames(self, answer: Answer) -> Iterator[Frame]:
        numbers = count()

        def event(name: str, **fields: object) -> bytes:
            body = {"type": name, "sequence_number": next(numbers), **fields}
            return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps(body))

        begun = started(answer)
        yield Frame(data=event("response.created", response=begun))
        yield Frame(data=event("response.in_progress", response=begun))
        if answer.tool is not None:
            yield from _tool_frames(answer.tool, event)
        else:
            yield from self._text_frames(answer, event)
        whole = self.whole(answer)
        last = f"response.{whole['status']}"
        yield Frame(data=event(last, response=whole), usage=whole.get("usage"))

    def _text_frames(self, answer: Answer, event: Event) -> Iterator[Frame]:
        place: dict[str, Any] = {"item_id": answer.asked.extra["message_id"], "output_index": 0}
        inside: dict[str, Any] = {**place, "content_index": 0}
        item = _message(answer, "in_progress", [])
        yield Frame(data=event("response.output_item.added", output_index=0, item=item))
        yield Frame(data=event("response.content_part.added", **inside, part=_part("")))
        for word in answer.words:
            delta = event("response.output_text.delta", **inside, delta=word, logprobs=[])
            yield Frame(data=delta, is_chunk=True)
        text = answer.text
        yield Frame(data=event("response.output_text.done", **inside, text=text, logprobs=[]))
        yield Frame(data=event("response.content_part.done", **inside, part=_part(text)))
        item = _message(answer, "completed", [_part(text)])
        yield Frame(data=event("response.output_item.done", output_index=0, item=item))


def stream_error() -> bytes:
    """Word an error inside a stream, in which the Responses API differs from chat."""
    body = {
        "type": "error",
        "sequence_number": 0,
        "code": "server_error",
        "message": "The server had an error while processing your request.",
        "param": None,
    }
    return b"event: error\ndata: " + orjson.dumps(body) + b"\n\n"


def started(answer: Answer) -> dict[str, Any]:
    """Word a response that has said nothing yet."""
    extra = answer.asked.extra
    return {
        "id": answer.response_id,
        "object": "response",
        "created_at": answer.created_s,
        "status": "in_progress",
        "background": extra["background"],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": answer.asked.most_output_tokens,
        "model": answer.model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": extra["previous_response_id"],
        "reasoning": {"effort": None, "summary": None},
        "service_tier": answer.tier,
        "store": extra["store"],
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "metadata": {},
    }


def _message(answer: Answer, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": answer.asked.extra["message_id"],
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def _item(answer: Answer) -> dict[str, Any]:
    if answer.tool is not None:
        return _function_call(answer.tool, answer.tool.written_arguments, "completed")
    return _message(answer, "completed", [_part(answer.text)])


def _tool_frames(tool: ToolCall, event: Event) -> Iterator[Frame]:
    place: dict[str, Any] = {"item_id": tool.call_id("fc"), "output_index": 0}
    arguments = tool.written_arguments
    item = _function_call(tool, "", "in_progress")
    yield Frame(data=event("response.output_item.added", output_index=0, item=item))
    delta = event("response.function_call_arguments.delta", **place, delta=arguments)
    yield Frame(data=delta, is_chunk=True)
    done = event("response.function_call_arguments.done", **place, arguments=arguments)
    yield Frame(data=done)
    item = _function_call(tool, arguments, "completed")
    yield Frame(data=event("response.output_item.done", output_index=0, item=item))


def _function_call(tool: ToolCall, arguments: str, status: str) -> dict[str, Any]:
    return {
        "id": tool.call_id("fc"),
        "type": "function_call",
        "status": status,
        "call_id": tool.call_id("call"),
        "name": tool.name,
        "arguments": arguments,
    }


def _tool_results(items: list[dict[str, Any]]) -> Iterator[object]:
    """Give the ids of the calls that were answered since the user last spoke."""
    for item in reversed(items):
        if item.get("role") == "user":
            return
        if item.get("type") == "function_call_output":
            yield item.get("call_id")


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(answer: Answer) -> dict[str, Any]:
    counts = answer.counts
    return {
        "input_tokens": counts.input,
        "input_tokens_details": {"cached_tokens": counts.cached},
        "output_tokens": counts.output,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
        "total_tokens": counts.input + counts.output,
    }
