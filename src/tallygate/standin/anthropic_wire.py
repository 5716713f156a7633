"""
Anthropic's side of the stand-in: messages, token counts, models, errors.

Units: `input_tokens` leaves out what was read from or written to the cache, unlike OpenAI's.
Source: what the official `anthropic` client reads; the fields of api.anthropic.com's answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from secrets import token_hex
from typing import Any

import orjson

from tallygate.standin.answers import (
    Answer,
    Asked,
    Counts,
    Frame,
    RequestUnacceptable,
    last_user_text,
    model_in,
    only_tool_results,
    texts_of,
    whole_number,
)
from tallygate.standin.directives import without_directives
from tallygate.standin.tool_calls import ToolCall, names_of, rounds_in

_MODELS = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-4-5-20251001")


class Messages:
    """POST /v1/messages."""

    def read(self, body: Mapping[str, Any]) -> Asked:
        asked_limit = whole_number(body.get("max_tokens"))
        if asked_limit is None:
            raise RequestUnacceptable("max_tokens: Field required")
        return Asked(
            model=model_in(body, "model: Field required"),
            stream=body.get("stream") is True,
            tier=str(body.get("service_tier") or ""),
            input_tokens=_input_tokens(body),
            most_output_tokens=asked_limit,
            directive_text=last_user_text(body["messages"]),
            tools=names_of(body.get("tools")),
            tool_rounds=rounds_in(_tool_results(body["messages"])),
            extra={},
        )

    def new_response_id(self) -> str:
        return f"msg_01{token_hex(11)}"

    def served_tier(self, asked: str) -> str:
        del asked  # a tier is what the account has; the caller can only decline it
        return "standard"

    def whole(self, answer: Answer) -> dict[str, Any]:
        body = _message(answer)
        body["content"] = [{"type": "text", "text": answer.text}]
        if answer.tool is not None:
            body["content"] = [_tool_use(answer.tool, answer.tool.arguments)]
        body["stop_reason"] = _stop_reason(answer)
        if answer.reports_usage:
            body["usage"] = _usage(answer.counts, answer.tier, answer.counts.output)
        return body

    def frames(self, answer: Answer) -> Iterator[Frame]:
        counts, tier = answer.counts, answer.tier
        message = _message(answer)
        if answer.reports_usage:
            message["usage"] = _usage(counts, tier, min(1, counts.output))
        yield _event("message_start", reported=message.get("usage"), message=message)
        block: dict[str, Any] = {"type": "text", "text": ""}
        if answer.tool is not None:
            block = _tool_use(answer.tool, {})
        yield _event("content_block_start", index=0, content_block=block)
        yield _event("ping")
        for word in answer.words:
            delta: dict[str, Any] = {"type": "text_delta", "text": word}
            yield _event("content_block_delta", is_chunk=True, index=0, delta=delta)
        if answer.tool is not None:
            written = answer.tool.written_arguments
            delta = {"type": "input_json_delta", "partial_json": written}
            yield _event("content_block_delta", is_chunk=True, index=0, delta=delta)
        yield _event("content_block_stop", index=0)
        delta = {"stop_reason": _stop_reason(answer), "stop_sequence": None}
        if answer.reports_usage:
            usage = _usage(counts, tier, counts.output)
            last = {name: usage[name] for name in _IN_MESSAGE_DELTA}
            yield _event("message_delta", reported=usage, delta=delta, usage=last)
        else:
            yield _event("message_delta", delta=delta)
        yield _event("message_stop")


class CountTokens:
    """POST /v1/messages/count_tokens: free, and generates nothing."""

    def read(self, body: Mapping[str, Any]) -> Asked:
        return Asked(
            model=model_in(body, "model: Field required"),
            reports_usage=False,
            input_tokens=_input_tokens(body),
            directive_text=last_user_text(body["messages"]),
            extra={},
        )

    def new_response_id(self) -> str:
        return ""

    def served_tier(self, asked: str) -> str:
        del asked
        return ""

    def whole(self, answer: Answer) -> dict[str, Any]:
        return {"input_tokens": answer.counts.input}

    def frames(self, answer: Answer) -> Iterator[Frame]:
        del answer  # never streamed
        return iter(())


_ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("invalid_request_error", "The stand-in was asked to refuse this request."),
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key does not have permission to use this resource."),
    404: ("not_found_error", "model: not found"),
    413: ("request_too_large", "Request exceeds the maximum size."),
    429: ("rate_limit_error", "This request would exceed your rate limit."),
    504: ("timeout_error", "The request timed out."),
    529: ("overloaded_error", "Overloaded"),
}
_API_ERROR = ("api_error", "Internal server error")


class Anthropic:
    """What all routes of api.anthropic.com share."""

    def models(self, created_s: int) -> dict[str, Any]:
        del created_s  # Anthropic dates its models by their release
        entries = [
            {
                "type": "model",
                "id": name,
                "display_name": name,
                "created_at": "2026-01-01T00:00:00Z",
            }
            for name in _MODELS
        ]
        return {"data": entries, "has_more": False, "first_id": _MODELS[0], "last_id": _MODELS[-1]}

    def error_body(
        self, status: int, request_id: str, message: str = "", param: str | None = None
    ) -> dict[str, Any]:
        del param  # Anthropic names the field in the message
        kind, said = _ERRORS.get(status, _API_ERROR)
        return {
            "type": "error",
            "error": {"type": kind, "message": message or said},
            "request_id": request_id,
        }

    def error_frame(self, request_id: str) -> bytes:
        return b"event: error\ndata: " + orjson.dumps(self.error_body(529, request_id)) + b"\n\n"

    def new_request_id(self) -> str:
        return f"req_011C{token_hex(10)}"

    def headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        return [
            (b"request-id", request_id.encode()),
            (b"anthropic-organization-id", b"00000000-0000-4000-8000-000000000000"),
            (b"anthropic-ratelimit-requests-limit", b"4000"),
            (b"anthropic-ratelimit-requests-remaining", b"3999"),
            (b"anthropic-ratelimit-requests-reset", b"2030-01-01T00:00:00Z"),
        ]


_IN_MESSAGE_DELTA = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
)


def _usage(counts: Counts, tier: str, output_so_far: int) -> dict[str, Any]:
    written = counts.cache_write_5m + counts.cache_write_1h
    return {
        "input_tokens": counts.input - counts.cached - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": counts.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": counts.cache_write_5m,
            "ephemeral_1h_input_tokens": counts.cache_write_1h,
        },
        "output_tokens": output_so_far,
        "service_tier": tier,
    }


def _input_tokens(body: Mapping[str, Any]) -> int:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestUnacceptable("messages: Field required")
    texts = [texts_of(m.get("content")) for m in messages if isinstance(m, dict)]
    texts.append(texts_of(body.get("system")))
    return sum(len(without_directives(text).split()) for text in texts)


def _message(answer: Answer) -> dict[str, Any]:
    return {
        "id": answer.response_id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _tool_use(tool: ToolCall, arguments: dict[str, str]) -> dict[str, Any]:
    return {
        "type": "tool_use",
        "id": tool.call_id("toolu"),
        "name": tool.name,
        "input": arguments,
    }


def _tool_results(messages: list[Any]) -> Iterator[object]:
    """Give the ids of the calls that were answered since the user last spoke."""
    for message in reversed(messages):
        if not isinstance(message, dict) or message.get("role") != "user":
            continue
        if not only_tool_results(message.get("content")):
            return
        yield from (part.get("tool_use_id") for part in message["content"])


def _stop_reason(answer: Answer) -> str:
    if answer.tool is not None:
        return "tool_use"
    return "max_tokens" if answer.ended_by_limit else "end_turn"


def _event(
    name: str,
    *,
    is_chunk: bool = False,
    reported: Mapping[str, Any] | None = None,
    **fields: object,
) -> Frame:
    data = orjson.dumps({"type": name, **fields})
    return Frame(
        data=b"event: %b\ndata: %b\n\n" % (name.encode(), data), is_chunk=is_chunk, usage=reported
    )
