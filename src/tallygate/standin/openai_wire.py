"""
OpenAI's side of the stand-in: chat completions, embeddings, models, errors.

Units: `prompt_tokens` includes cached tokens, `completion_tokens` includes reasoning.
Source: what the official `openai` client reads; the fields of api.openai.com's answers.
"""

from __future__ import annotations

import base64
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
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
    texts_of,
    whole_number,
)
from tallygate.standin.directives import without_directives
from tallygate.standin.tool_calls import ToolCall, names_of, rounds_in

_TIERS = frozenset({"default", "flex", "priority", "scale"})
_FINGERPRINT = "fp_5ca1ab1e01"
_NO_MODEL = "you must provide a model parameter"
_DIMENSIONS: Mapping[str, int] = {"text-embedding-3-large": 3072}
_DEFAULT_DIMENSIONS = 1536
_MODELS = (
    "gpt-5.4",
    "gpt-5.4-mini",
    "gpt-5.5",
    "text-embedding-3-small",
    "text-embedding-3-large",
)


def served_tier(asked: str) -> str:
    """`auto` and no wish at all are served as `default`."""
    return asked if asked in _TIERS else "default"


class ChatCompletions:
    """POST /v1/chat/completions."""

    def read(self, body: Mapping[str, Any]) -> Asked:
        model = model_in(body, _NO_MODEL)
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise RequestUnacceptable("Missing required parameter: 'messages'.", "messages")
        options = body.get("stream_options")
        texts = (texts_of(m.get("content")) for m in messages if isinstance(m, dict))
        return Asked(
            model=model,
            stream=body.get("stream") is True,
            reports_usage=body.get("stream") is not True
            or (isinstance(options, dict) and options.get("include_usage") is True),
            tier=str(body.get("service_tier") or ""),
            input_tokens=sum(len(without_directives(text).split()) for text in texts),
            most_output_tokens=whole_number(
                body.get("max_completion_tokens") or body.get("max_tokens")
            ),
            directive_text=last_user_text(messages),
            tools=names_of(body.get("tools")),
            tool_rounds=rounds_in(_tool_results(messages)),
            extra={},
        )

    def new_response_id(self) -> str:
        return f"chatcmpl-{token_hex(15)[:29]}"

    def served_tier(self, asked: str) -> str:
        return served_tier(asked)

    def whole(self, answer: Answer) -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": answer.text,
            "refusal": None,
            "annotations": [],
        }
        if answer.tool is not None:
            message["content"] = None
            arguments = answer.tool.written_arguments
            message["tool_calls"] = [_tool_call(answer.tool, arguments)]
        body: dict[str, Any] = {
            "id": answer.response_id,
            "object": "chat.completion",
            "created": answer.created_s,
            "model": answer.model,
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "logprobs": None,
                    "finish_reason": _finish_reason(answer),
                }
            ],
        }
        if answer.reports_usage:
            body["usage"] = usage_of(answer.counts)
        body["service_tier"] = answer.tier
        body["system_fingerprint"] = _FINGERPRINT
        return body

    def frames(self, answer: Answer) -> Iterator[Frame]:
        first = {"role": "assistant", "content": "", "refusal": None}
        yield _chat_frame(answer, [_choice(first)])
        for word in answer.words:
            yield _chat_frame(answer, [_choice({"content": word})], is_chunk=True)
        if answer.tool is not None:
            call = {"index": 0, **_tool_call(answer.tool, "")}
            yield _chat_frame(answer, [_choice({"tool_calls": [call]})])
            call = {"index": 0, "function": {"arguments": answer.tool.written_arguments}}
            yield _chat_frame(answer, [_choice({"tool_calls": [call]})], is_chunk=True)
        yield _chat_frame(answer, [_choice({}, _finish_reason(answer))])
        if answer.reports_usage:
            yield _chat_frame(answer, [], usage=usage_of(answer.counts))
        yield Frame(data=b"data: [DONE]\n\n")


class Embeddings:
    """POST /v1/embeddings: every vector is the same, and of length one."""

    def read(self, body: Mapping[str, Any]) -> Asked:
        model = model_in(body, _NO_MODEL)
        given = body.get("input")
        if not isinstance(given, str | list) or not given:
            raise RequestUnacceptable("'input' is a required property", "input")
        texts = [given] if isinstance(given, str) else [t for t in given if isinstance(t, str)]
        words = sum(len(without_directives(text).split()) for text in texts)
        numbers, vectors = (0, 1) if isinstance(given, str) else _token_arrays(given)
        return Asked(
            model=model,
            input_tokens=words + numbers,
            directive_text=" ".join(texts),
            extra={
                "vectors": vectors,
                "base64": body.get("encoding_format") == "base64",
                "dimensions": whole_number(body.get("dimensions"))
                or _DIMENSIONS.get(model, _DEFAULT_DIMENSIONS),
            },
        )

    def new_response_id(self) -> str:
        return ""

    def served_tier(self, asked: str) -> str:
        del asked
        return ""

    def whole(self, answer: Answer) -> dict[str, Any]:
        extra = answer.asked.extra
        vector = _vector(extra["dimensions"], as_base64=extra["base64"])
        body: dict[str, Any] = {
            "object": "list",
            "data": [
                {"object": "embedding", "index": i, "embedding": vector}
                for i in range(extra["vectors"])
            ],
            "model": answer.model,
        }
        if answer.reports_usage:
            body["usage"] = {
                "prompt_tokens": answer.counts.input,
                "total_tokens": answer.counts.input,
            }
        return body

    def frames(self, answer: Answer) -> Iterator[Frame]:
        del answer  # never streamed
        return iter(())


_ERRORS: Mapping[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The stand-in was asked to refuse this request."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", "unsupported_country_region_territory", "Not here."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist."),
    408: ("invalid_request_error", None, "Request timed out."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
}
_SERVER_ERROR = ("server_error", None, "The server had an error while processing your request.")


@dataclass(frozen=True, slots=True)
class OpenAI:
    """What all routes of api.openai.com share."""

    stream_error: Callable[[], bytes] | None = None
    """Where a route words an error inside a stream its own way."""

    def models(self, created_s: int) -> dict[str, Any]:
        entries = [
            {"id": name, "object": "model", "created": created_s, "owned_by": "openai"}
            for name in _MODELS
        ]
        return {"object": "list", "data": entries}

    def error_body(
        self, status: int, request_id: str, message: str = "", param: str | None = None
    ) -> dict[str, Any]:
        del request_id  # OpenAI names it in the header only
        kind, code, said = _ERRORS.get(status, _SERVER_ERROR)
        return {
            "error": {"message": message or said, "type": kind, "param": param, "code": code},
        }

    def error_frame(self, request_id: str) -> bytes:
        if self.stream_error is not None:
            return self.stream_error()
        return b"data: " + orjson.dumps(self.error_body(500, request_id)) + b"\n\n"

    def new_request_id(self) -> str:
        return f"req_{token_hex(16)}"

    def headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        return [
            (b"x-request-id", request_id.encode()),
            (b"openai-organization", b"org-standin"),
            (b"openai-processing-ms", b"1"),
            (b"openai-version", b"2020-10-01"),
            (b"x-ratelimit-limit-requests", b"10000"),
            (b"x-ratelimit-remaining-requests", b"9999"),
            (b"x-ratelimit-reset-requests", b"6ms"),
        ]


def usage_of(counts: Counts) -> dict[str, Any]:
    """Word the usage of a completion."""
    return {
        "prompt_tokens": counts.input,
        "completion_tokens": counts.output,
        "total_tokens": counts.input + counts.output,
        "prompt_tokens_details": {
            "cached_tokens": counts.cached,
            "audio_tokens": counts.audio_input,
        },
        "completion_tokens_details": {
            "reasoning_tokens": counts.reasoning,
            "audio_tokens": counts.audio_output,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _tool_results(messages: list[Any]) -> Iterator[object]:
    """Give the ids of the calls that were answered since the user last spoke."""
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            return
        if isinstance(message, dict) and message.get("role") == "tool":
            yield message.get("tool_call_id")


def _tool_call(tool: ToolCall, arguments: str) -> dict[str, Any]:
    function = {"name": tool.name, "arguments": arguments}
    return {"id": tool.call_id("call"), "type": "function", "function": function}


def _finish_reason(answer: Answer) -> str:
    if answer.tool is not None:
        return "tool_calls"
    return "length" if answer.ended_by_limit else "stop"


def _choice(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _chat_frame(
    answer: Answer,
    choices: list[dict[str, Any]],
    *,
    is_chunk: bool = False,
    usage: dict[str, Any] | None = None,
) -> Frame:
    body: dict[str, Any] = {
        "id": answer.response_id,
        "object": "chat.completion.chunk",
        "created": answer.created_s,
        "model": answer.model,
        "service_tier": answer.tier,
        "system_fingerprint": _FINGERPRINT,
        "choices": choices,
    }
    if answer.reports_usage:
        body["usage"] = usage
    return Frame(data=b"data: " + orjson.dumps(body) + b"\n\n", is_chunk=is_chunk, usage=usage)


def _token_arrays(given: list[Any]) -> tuple[int, int]:
    """How many token numbers a list holds, and how many vectors it asks for."""
    if isinstance(given[0], int):
        return len(given), 1
    return sum(len(entry) for entry in given if isinstance(entry, list)), len(given)


@lru_cache(maxsize=32)
def _vector(dimensions: int, *, as_base64: bool) -> str | list[float]:
    vector = [dimensions**-0.5] * min(dimensions, 4096)
    if not as_base64:
        return vector
    return base64.b64encode(array("f", vector).tobytes()).decode()
