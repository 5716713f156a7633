"""
Google's Gemini, as its own API and Vertex AI word it: content, token counts, errors.

Units: `promptTokenCount` includes cached tokens; `candidatesTokenCount` leaves out the thoughts,
    which `totalTokenCount` has.
Source: what LiteLLM reads (tests/standin); the fields of generativelanguage.googleapis.com.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from secrets import token_urlsafe
from typing import Any

import orjson

from tallygate.standin.answers import (
    Answer,
    Asked,
    Counts,
    Frame,
    RequestUnacceptable,
    model_in,
    texts_of,
    whole_number,
)
from tallygate.standin.directives import without_directives

_NO_CONTENTS = "* GenerateContentRequest.contents: contents is not specified"
_NO_MODEL = "* GenerateContentRequest.model: unexpected model name format"
_TIERS = frozenset({"standard", "flex", "priority"})


class GenerateContent:
    """POST …:generateContent and :streamGenerateContent, whose stream is a list without alt=sse."""

    def __init__(self, *, streams: bool = False, as_list: bool = False) -> None:
        self._streams = streams
        self._as_list = as_list

    def read(self, body: Mapping[str, Any]) -> Asked:
        settings = body.get("generationConfig")
        contents = contents_of(body)
        return Asked(
            model=model_in(body, _NO_MODEL).removeprefix("models/"),
            stream=self._streams,
            tier=str(body.get("serviceTier") or ""),
            input_tokens=input_tokens(body),
            most_output_tokens=whole_number(
                settings.get("maxOutputTokens") if isinstance(settings, dict) else None
            ),
            directive_text=_last_user_text(contents),
            extra={},
        )

    def new_response_id(self) -> str:
        return token_urlsafe(16)

    def served_tier(self, asked: str) -> str:
        return asked if asked in _TIERS else "standard"

    def whole(self, answer: Answer) -> dict[str, Any]:
        return _response(answer, answer.text, _finish_reason(answer), answer.counts)

    def frames(self, answer: Answer) -> Iterator[Frame]:
        first = True
        for body, is_chunk in self._responses(answer):
            data = orjson.dumps(body)
            if self._as_list:
                data = (b"[" if first else b",\r\n") + data
            else:
                data = b"data: %b\r\n\r\n" % data
            yield Frame(data=data, is_chunk=is_chunk, usage=body.get("usageMetadata"))
            first = False
        if self._as_list:
            yield Frame(data=b"]")

    def _responses(self, answer: Answer) -> Iterator[tuple[dict[str, Any], bool]]:
        """Each response counts what has been generated so far, as Google's do."""
        counts, parts = answer.counts, len(answer.words)
        visible = counts.output - counts.reasoning
        for number, word in enumerate(answer.words, start=1):
            so_far = Counts(
                input=counts.input,
                cached=counts.cached,
                output=counts.reasoning + visible * number // parts,
                reasoning=counts.reasoning,
            )
            yield _response(answer, word, None, so_far), True
        yield _response(answer, "", _finish_reason(answer), counts), False


class CountTokens:
    """POST …:countTokens: free, and generates nothing."""

    def read(self, body: Mapping[str, Any]) -> Asked:
        inner = body.get("generateContentRequest")
        given = inner if isinstance(inner, dict) else body
        return Asked(
            model=model_in(body, _NO_MODEL),
            reports_usage=False,
            input_tokens=input_tokens(given),
            directive_text=_last_user_text(contents_of(given)),
            extra={},
        )

    def new_response_id(self) -> str:
        return ""

    def served_tier(self, asked: str) -> str:
        del asked
        return ""

    def whole(self, answer: Answer) -> dict[str, Any]:
        tokens = answer.counts.input
        return {"totalTokens": tokens, "promptTokensDetails": _of_text(tokens)}

    def frames(self, answer: Answer) -> Iterator[Frame]:
        del answer  # never streamed
        return iter(())


_STATUSES: Mapping[int, tuple[str, str]] = {
    400: ("INVALID_ARGUMENT", "The stand-in was asked to refuse this request."),
    401: ("UNAUTHENTICATED", "API key not valid. Please pass a valid API key."),
    403: ("PERMISSION_DENIED", "The caller does not have permission."),
    404: ("NOT_FOUND", "The model is not found."),
    429: ("RESOURCE_EXHAUSTED", "You exceeded your current quota."),
    503: ("UNAVAILABLE", "The model is overloaded. Please try again later."),
    504: ("DEADLINE_EXCEEDED", "The deadline expired before the operation could complete."),
}
_INTERNAL = ("INTERNAL", "An internal error has occurred.")


class Google:
    """What all routes of Google's two hosts share."""

    def error_body(
        self, status: int, request_id: str, message: str = "", param: str | None = None
    ) -> dict[str, Any]:
        del request_id, param
        kind, said = _STATUSES.get(status, _INTERNAL)
        return {"error": {"code": status, "message": message or said, "status": kind}}

    def error_frame(self, request_id: str) -> bytes:
        return b"data: %b\r\n\r\n" % orjson.dumps(self.error_body(503, request_id))

    def new_request_id(self) -> str:
        return token_urlsafe(16)

    def headers(self, request_id: str) -> list[tuple[bytes, bytes]]:
        return [
            (b"server-timing", b"gfet4t7; dur=1"),
            (b"x-request-id", request_id.encode()),
            (b"vary", b"Origin, X-Origin, Referer"),
        ]


def contents_of(body: Mapping[str, Any]) -> list[Any]:
    """Give the contents; one alone may stand without its list."""
    contents = body.get("contents")
    contents = [contents] if isinstance(contents, dict | str) else contents
    if not isinstance(contents, list) or not contents:
        raise RequestUnacceptable(_NO_CONTENTS)
    return contents


def input_tokens(body: Mapping[str, Any]) -> int:
    """Count the words of contents and system instruction."""
    texts = [text_of_content(content) for content in contents_of(body)]
    texts.append(text_of_content(body.get("systemInstruction") or body.get("system_instruction")))
    return sum(len(without_directives(text).split()) for text in texts)


def text_of_content(content: object) -> str:
    """Join the texts of a content's parts; one part alone may stand without its list."""
    if not isinstance(content, dict):
        return content if isinstance(content, str) else ""
    parts = content.get("parts")
    return texts_of([parts] if isinstance(parts, dict) else parts)


def _last_user_text(contents: list[Any]) -> str:
    for content in reversed(contents):
        if not isinstance(content, dict) or content.get("role", "user") == "user":
            return text_of_content(content)
    return ""


def _response(
    answer: Answer, text: str, finish_reason: str | None, counts: Counts
) -> dict[str, Any]:
    candidate: dict[str, Any] = {
        "content": {"parts": [{"text": text}], "role": "model"},
        "index": 0,
    }
    if finish_reason is not None:
        candidate["finishReason"] = finish_reason
    body: dict[str, Any] = {"candidates": [candidate]}
    if answer.reports_usage:
        body["usageMetadata"] = _usage(counts)
    body["modelVersion"] = answer.model
    body["responseId"] = answer.response_id
    return body


def _usage(counts: Counts) -> dict[str, Any]:
    usage: dict[str, Any] = {
        "promptTokenCount": counts.input,
        "candidatesTokenCount": counts.output - counts.reasoning,
        "totalTokenCount": counts.input + counts.output,
        "promptTokensDetails": _of_text(counts.input),
    }
    if counts.cached:
        usage["cachedContentTokenCount"] = counts.cached
        usage["cacheTokensDetails"] = _of_text(counts.cached)
    if counts.reasoning:
        usage["thoughtsTokenCount"] = counts.reasoning
    return usage


def _of_text(tokens: int) -> list[dict[str, Any]]:
    return [{"modality": "TEXT", "tokenCount": tokens}]


def _finish_reason(answer: Answer) -> str:
    return "MAX_TOKENS" if answer.ended_by_limit else "STOP"
