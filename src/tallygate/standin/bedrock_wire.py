"""
Amazon Bedrock's runtime, the part that is its own: Converse, token counts, errors, metadata.

Units: `inputTokens` leaves out what was read from or written to the cache; `totalTokens` has all.
Source: the service model in botocore; what boto3 and LiteLLM read (tests/standin).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

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
from tallygate.standin.event_stream import event, exception

METADATA_HEADER = b"x-amzn-bedrock-request-metadata"
_MOST_PAIRS = 16
_KEY = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{1,256}")
_VALUE = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")
_TIERS = frozenset({"default", "flex", "priority", "reserved"})
_LATENCY_MS = 1
_NO_MODEL = "The provided model identifier is invalid."


class Converse:
    """POST /model/{model}/converse and, streamed, /converse-stream."""

    def __init__(self, *, streams: bool) -> None:
        self._streams = streams

    def read(self, body: Mapping[str, Any]) -> Asked:
        limits = body.get("inferenceConfig")
        tier = body.get("serviceTier")
        return Asked(
            model=model_of(body),
            stream=self._streams,
            tier=str(tier.get("type") or "") if isinstance(tier, dict) else "",
            input_tokens=input_tokens(body),
            most_output_tokens=whole_number(
                limits.get("maxTokens") if isinstance(limits, dict) else None
            ),
            directive_text=last_user_text(body["messages"]),
            request_metadata=checked_metadata(body.get("requestMetadata")),
            extra={},
        )

    def new_response_id(self) -> str:
        return ""  # an answer of Converse has no id but its request's

    def served_tier(self, asked: str) -> str:
        return asked if asked in _TIERS else "default"

    def whole(self, answer: Answer) -> dict[str, Any]:
        content = [{"text": answer.text}]
        body: dict[str, Any] = {
            "metrics": {"latencyMs": _LATENCY_MS},
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": _stop_reason(answer),
            "serviceTier": {"type": answer.tier},
        }
        if answer.reports_usage:
            body["usage"] = _usage(answer.counts)
        return body

    def frames(self, answer: Answer) -> Iterator[Frame]:
        yield Frame(data=event("messageStart", {"role": "assistant"}))
        for word in answer.words:
            delta = {"contentBlockIndex": 0, "delta": {"text": word}}
            yield Frame(data=event("contentBlockDelta", delta), is_chunk=True)
        yield Frame(data=event("contentBlockStop", {"contentBlockIndex": 0}))
        yield Frame(data=event("messageStop", {"stopReason": _stop_reason(answer)}))
        metadata: dict[str, Any] = {
            "metrics": {"latencyMs": _LATENCY_MS},
            "serviceTier": {"type": answer.tier},
        }
        if answer.reports_usage:
            metadata["usage"] = _usage(answer.counts)
        yield Frame(data=event("metadata", metadata), usage=metadata.get("usage"))


def model_of(body: Mapping[str, Any]) -> str:
    """Read the model of the path: a name without slashes, or an ARN."""
    model = model_in(body, _NO_MODEL)
    if "/" in model and not model.startswith("arn:"):
        raise RequestUnacceptable(_NO_MODEL)
    return model


def input_tokens(body: Mapping[str, Any]) -> int:
    """Count the words of a Converse request, or refuse it."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestUnacceptable("The messages field is required.", "messages")
    texts = [texts_of(m.get("content")) for m in messages if isinstance(m, dict)]
    texts.append(texts_of(body.get("system")))
    return sum(len(without_directives(text).split()) for text in texts)


def metadata_of_header(raw: bytes | None) -> Mapping[str, str] | None:
    """Read what InvokeModel carries in a header and Converse in the body."""
    if raw is None:
        return None
    try:
        return checked_metadata(orjson.loads(raw))
    except orjson.JSONDecodeError:
        raise RequestUnacceptable("The request metadata is not valid JSON.") from None


def checked_metadata(given: object) -> Mapping[str, str] | None:
    """Hold metadata to the service's limits: 16 pairs, 256 signs of a small alphabet."""
    if given is None:
        return None
    if not isinstance(given, dict) or len(given) > _MOST_PAIRS:
        raise RequestUnacceptable("requestMetadata must be a map of at most 16 pairs.")
    for key, value in given.items():
        if not isinstance(value, str) or not (_KEY.fullmatch(key) and _VALUE.fullmatch(value)):
            raise RequestUnacceptable("requestMetadata has a key or a value outside its pattern.")
    return given


_ERRORS: Mapping[int, tuple[str, str]] = {
    400: ("ValidationException", "The stand-in was asked to refuse this request."),
    401: ("UnrecognizedClientException", "The security token in the request is invalid."),
    403: ("AccessDeniedException", "You don't have access to the model."),
    404: ("ResourceNotFoundException", "The model does not exist."),
    408: ("ModelTimeoutException", "The model took too long."),
    424: ("ModelErrorException", "The model failed."),
    429: ("ThrottlingException", "Too many requests, please wait before trying again."),
    503: ("ServiceUnavailableException", "The service is unavailable."),
}
_INTERNAL = ("InternalServerException", "The service failed.")


class Bedrock:
    """What all routes of the runtime share."""

    def error_body(
        self, status: int, request_id: str, message: str = "", param: str | None = None
    ) -> dict[str, Any]:
        del request_id, param  # in the header, in the message
        kind, said = _ERRORS.get(status, _INTERNAL)
        return {"__type": kind, "message": message or said}

    def error_frame(self, request_id: str) -> bytes:
        del request_id
        return exception(
            "modelStreamErrorException",
            {"message": "The model failed.", "originalStatusCode": 500},
        )

    def new_request_id(self) -> str:
        return str(uuid4())

    def headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        return [(b"x-amzn-requestid", request_id.encode())]


def _usage(counts: Counts) -> dict[str, Any]:
    written = counts.cache_write_5m + counts.cache_write_1h
    usage: dict[str, Any] = {
        "inputTokens": counts.input - counts.cached - written,
        "outputTokens": counts.output,
        "totalTokens": counts.input + counts.output,
        "cacheReadInputTokens": counts.cached,
        "cacheWriteInputTokens": written,
    }
    if written:
        by_ttl = {"5m": counts.cache_write_5m, "1h": counts.cache_write_1h}
        usage["cacheDetails"] = [
            {"ttl": ttl, "inputTokens": tokens} for ttl, tokens in by_ttl.items() if tokens
        ]
    return usage


def _stop_reason(answer: Answer) -> str:
    return "max_tokens" if answer.ended_by_limit else "end_turn"
